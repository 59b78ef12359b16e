"""Stage 1, preprocess: from the image file to the denoised channel with the nuclei."""

from dataclasses import replace

import cv2
import numpy as np

from nucleiflow.batch import open_batch
from nucleiflow.field import Field
from nucleiflow.images import ImageError


def preprocess(raw: np.ndarray, method: str, options: dict) -> np.ndarray:
    """Denoise the channel with the nuclei.

    Parameters
    ----------
    raw : (Y, X) array
        The channel as the camera wrote it, cropped and resized; left unmodified.
    method : str
        The name of a function below.
    options : dict
        Its arguments.

    Returns
    -------
    preprocessed : (Y, X) array of uint8, uint16 or float32
        Integers of 8 and 16 bits without sign keep their type, others become float32.
    """
    working = raw if raw.dtype in (np.uint8, np.uint16) else raw.astype(np.float32)
    return METHODS[method](np.ascontiguousarray(working), **options)


def gaussian(image: np.ndarray, sigma: float | None, kernel: int | None) -> np.ndarray:
    """Gaussian blur; what is not given is derived from the other, as OpenCV does."""
    _fits(image, kernel or 1, "preprocess.denoise.gaussian.kernel")
    return cv2.GaussianBlur(image, (kernel or 0, kernel or 0), sigma or 0)


def median(image: np.ndarray, kernel: int) -> np.ndarray:
    """Median of a square window."""
    _fits(image, kernel, "preprocess.denoise.median.kernel")
    if image.dtype == np.uint8 or kernel <= 5:
        return cv2.medianBlur(image, kernel)
    # OpenCV has large windows for 8 bits only. SciPy takes as long to import as all the rest.
    from scipy import ndimage

    return ndimage.median_filter(image, kernel, mode="nearest")


def bilateral(
    image: np.ndarray, diameter: int, sigma_color: float, sigma_space: float
) -> np.ndarray:
    """Bilateral filter; `sigma_color` in the image's own units."""
    _fits(image, diameter, "preprocess.denoise.bilateral.diameter")
    if image.dtype == np.uint16:
        result = cv2.bilateralFilter(image.astype(np.float32), diameter, sigma_color, sigma_space)
        return np.rint(result).astype(np.uint16)
    return cv2.bilateralFilter(image, diameter, sigma_color, sigma_space)


def nlmeans(image: np.ndarray, h: float, template_window: int, search_window: int) -> np.ndarray:
    """Non-local means (Buades et al. 2005); `h` in the image's own units.

    16-bit images are compared by absolute differences, the only way that OpenCV has for them.
    Floats are processed as 16-bit integers between their minimum and maximum.
    """
    _fits(image, template_window, "preprocess.denoise.nlmeans.template_window")
    if image.dtype == np.uint8:
        return cv2.fastNlMeansDenoising(image, None, h, template_window, search_window)
    if image.dtype == np.uint16:
        return cv2.fastNlMeansDenoising(
            image, [h], None, template_window, search_window, cv2.NORM_L1
        )
    low, high = float(image.min()), float(image.max())
    scale = np.iinfo(np.uint16).max / (high - low) if high > low else 1.0
    integers = np.rint((image - low) * scale).astype(np.uint16)
    denoised = nlmeans(integers, h * scale, template_window, search_window)
    return (denoised / scale + low).astype(np.float32)


def nlmeans_colored(
    image: np.ndarray | None, h: float, h_color: float, template_window: int, search_window: int
) -> np.ndarray:
    """Non-local means on an 8-bit RGB image, (Y, X, 3) in and out, as in the OpenCV workshop."""
    if image is None or image.dtype != np.uint8:
        raise ImageError(
            "nlmeans_colored needs an 8-bit RGB image: set preprocess.denoise.method to nlmeans"
        )
    _fits(image, template_window, "preprocess.denoise.nlmeans_colored.template_window")
    bgr = np.ascontiguousarray(image[..., ::-1])
    result = cv2.fastNlMeansDenoisingColored(bgr, None, h, h_color, template_window, search_window)
    return result[..., ::-1]


def none(image: np.ndarray) -> np.ndarray:
    """The image as it is."""
    return image


METHODS = {function.__name__: function for function in (gaussian, median, bilateral, nlmeans, none)}


def _fits(image: np.ndarray, size: int, key: str) -> None:
    if size > min(image.shape[:2]):
        raise ImageError(
            f"a kernel of {size} pixels is larger than the image of {image.shape[1]} x "
            f"{image.shape[0]}: make {key} smaller"
        )


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    method, options = settings["denoise"]["method"], settings["denoise"]["options"]
    with item.field(settings["view"]) as field:
        segmented = field.segmented()
        item.facts.update(facts(field, segmented))
        if settings["view"]["z"] == "focus":
            plane = field.sharpest(segmented)
            item.facts["plane"] = plane
            field = replace(field, view=replace(field.view, z=plane))
        raw = field.image(segmented)
        if method == "nlmeans_colored":
            preprocessed = nlmeans_colored(field.rgb(), **options)[..., segmented]
        else:
            preprocessed = preprocess(raw, method, options)
    return {"channel": raw, "preprocessed": preprocessed}


def facts(field: Field, segmented: int) -> dict:
    """What the tables say of an image."""
    return {
        "height": field.height,
        "width": field.width,
        "dtype": str(field.dtype),
        "channels": ";".join(field.names),
        "segmented": field.names[segmented],
        "segmented_index": segmented,
        "planes": max(map(len, field.planes)),
        "stated_pixel_size_um": field.pixel_size_um,
        "stated_pixel_size_source": field.pixel_size_source,
    }


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        batch.map(compute)
