"""Stage 2, threshold: from the denoised image to a mask of the nuclei."""

import cv2
import numpy as np
from skimage.filters import threshold_li, threshold_otsu
from skimage.segmentation import clear_border as without_border_objects

from nucleiflow.batch import open_batch
from nucleiflow.images import ImageError
from nucleiflow.kernel import structuring_element
from nucleiflow.labels import border_pixels

OPERATIONS = {
    "open": cv2.MORPH_OPEN,
    "close": cv2.MORPH_CLOSE,
    "erode": cv2.MORPH_ERODE,
    "dilate": cv2.MORPH_DILATE,
    "gradient": cv2.MORPH_GRADIENT,
}


def threshold(
    image: np.ndarray,
    method: str,
    options: dict,
    morphology: list[dict],
    fill_holes: bool,
    clear_border: bool,
    min_area: int,
) -> np.ndarray:
    """Separate nuclei from background.

    Parameters
    ----------
    image : (Y, X) array of uint8, uint16 or float32
        Left unmodified.
    method, options
        The name of a function below and its arguments.
    morphology : list of dict
        Steps `{operation, shape, size, iterations}`, in order.
    fill_holes, clear_border : bool
    min_area : int
        Objects with fewer pixels are dropped.

    Returns
    -------
    mask : (Y, X) array of uint8, 0 or 255
    """
    mask = METHODS[method](image, **options).astype(np.uint8) * np.uint8(255)
    for step in morphology:
        mask = morph(mask, **step)
    if fill_holes:
        mask = without_holes(mask)
    if clear_border:
        mask = without_border_objects(mask)
    if min_area > 1:
        mask = drop_small(mask, min_area)
    return mask


def otsu(image: np.ndarray) -> np.ndarray:
    """Above the threshold that best separates two classes (Otsu 1979)."""
    if constant(image):
        return np.zeros(image.shape, bool)
    if image.dtype == np.uint8:
        level, _ = cv2.threshold(image, 0, 255, cv2.THRESH_OTSU)
        return image > level
    counts, centers = histogram(image)
    return image > threshold_otsu(hist=(counts, centers))


def triangle(image: np.ndarray) -> np.ndarray:
    """Above the threshold farthest from the line from peak to end of the histogram (Zack 1977)."""
    if constant(image):
        return np.zeros(image.shape, bool)
    if image.dtype == np.uint8:
        level, _ = cv2.threshold(image, 0, 255, cv2.THRESH_TRIANGLE)
        return image > level
    low, high = float(image.min()), float(image.max())
    # The method needs a smooth histogram, so 256 classes for other types, too.
    scaled = ((image - np.float32(low)) * np.float32(255 / (high - low))).astype(np.uint8)
    return triangle(scaled)


def li(image: np.ndarray) -> np.ndarray:
    """Above the threshold of minimum cross-entropy (Li and Tam 1998)."""
    if constant(image):
        return np.zeros(image.shape, bool)
    return image > threshold_li(image)


def manual(image: np.ndarray, value: float) -> np.ndarray:
    """Above a given value, in the image's own units."""
    return image > value


def adaptive(image: np.ndarray, block_size: int, weights: str, offset: float) -> np.ndarray:
    """Above the mean of the neighbourhood plus an offset, in the image's own units.

    For `weights` gaussian, the standard deviation follows from the block size as in OpenCV's
    `adaptiveThreshold`, which this equals on 8 bits up to its rounding of the mean.
    """
    if block_size > min(image.shape):
        raise ImageError(
            f"a block of {block_size} pixels is larger than the image of {image.shape[1]} x "
            f"{image.shape[0]}: make threshold.adaptive.block_size smaller"
        )
    size = (block_size, block_size)
    values = image.astype(np.float32)
    border = cv2.BORDER_REPLICATE | cv2.BORDER_ISOLATED
    if weights == "gaussian":
        local_mean = cv2.GaussianBlur(values, size, 0, borderType=border)
    else:
        local_mean = cv2.blur(values, size, borderType=border)
    # The mean is rounded: with nothing to spare, flat ground would lie above itself.
    spare = np.abs(local_mean) * np.float32(4e-6)
    return values > local_mean + np.float32(offset) + spare


METHODS = {function.__name__: function for function in (otsu, triangle, li, manual, adaptive)}


def morph(
    mask: np.ndarray, operation: str, shape: str = "rectangle", size: int = 3, iterations: int = 1
) -> np.ndarray:
    """One morphological step on a 0/255 mask."""
    if size > min(mask.shape):
        raise ImageError(
            f"a kernel of {size} pixels is larger than the image of {mask.shape[1]} x "
            f"{mask.shape[0]}: make size in threshold.morphology smaller"
        )
    kernel = structuring_element(shape, size)
    return cv2.morphologyEx(mask, OPERATIONS[operation], kernel, iterations=iterations)


def without_holes(mask: np.ndarray) -> np.ndarray:
    """The mask with the background that objects (8-connected) enclose filled.

    Equal to SciPy's `binary_fill_holes`, several times as fast.
    """
    _, background = cv2.connectedComponents(~mask, connectivity=4)
    outside = np.zeros(background.max() + 1, bool)
    outside[border_pixels(background)] = True
    # Component 0 is the mask itself.
    outside[0] = False
    return (~outside[background]).astype(np.uint8) * np.uint8(255)


def drop_small(mask: np.ndarray, min_area: int) -> np.ndarray:
    """The mask without objects (8-connected) of fewer than `min_area` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area
    keep[0] = False
    return keep[labels].astype(np.uint8) * np.uint8(255)


def constant(image: np.ndarray) -> bool:
    """Whether all pixels are equal: no threshold divides them, so there is no nucleus."""
    return image.min() == image.max()


def histogram(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts and their values: one class a value for integers, 65,536 classes for floats."""
    if image.dtype.kind == "u":
        low = int(image.min())
        counts = np.bincount(image.ravel())[low:]
        return counts, np.arange(low, low + counts.size)
    counts, edges = np.histogram(image, bins=1 << 16)
    return counts, (edges[:-1] + edges[1:]) / 2


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    return {"mask": threshold(item.read("preprocessed"), **settings)}


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        batch.map(compute)
