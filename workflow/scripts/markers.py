"""Stage 3, markers: from the mask to one seed a nucleus."""

import cv2
import numpy as np

from nucleiflow.batch import open_batch
from nucleiflow.images import ImageError
from nucleiflow.kernel import structuring_element

DISTANCE_MASKS = {3: cv2.DIST_MASK_3, 5: cv2.DIST_MASK_5, "precise": cv2.DIST_MASK_PRECISE}


def find_markers(
    mask: np.ndarray, method: str, options: dict, distance_mask: int | str, sure_background: dict
) -> dict[str, np.ndarray]:
    """Seeds of the nuclei, and the way to them.

    Parameters
    ----------
    mask : (Y, X) array of uint8, 0 or 255
    method, options
        The name of a function below and its arguments.
    distance_mask : 3, 5 or "precise"
        Of OpenCV's distance transform.
    sure_background : dict
        `{shape, size, iterations}` of the dilation outside of which all is background.

    Returns
    -------
    dict of (Y, X) arrays
        distance : float32, pixels to the background
        sure_foreground : uint8, 255 in the seeds
        sure_background : uint8, 0 where there certainly is no nucleus, 255 elsewhere
        unknown : uint8, 255 where it is open to which nucleus a pixel belongs, if to any
        markers : int32, 1 background, 2 and more seeds, 0 unknown
    """
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, DISTANCE_MASKS[distance_mask])
    # OpenCV answers with infinity where there is no background at all.
    np.minimum(distance, np.float32(sum(mask.shape)), out=distance)
    seeds = METHODS[method](distance, mask, **options)
    possible = dilated(mask, **sure_background)
    unknown = cv2.subtract(possible, seeds)
    _, markers = cv2.connectedComponents(seeds)
    markers += 1
    markers[unknown == 255] = 0
    return {
        "distance": distance,
        "sure_foreground": seeds,
        "sure_background": possible,
        "unknown": unknown,
        "markers": markers,
    }


def fraction(distance: np.ndarray, mask: np.ndarray, value: float) -> np.ndarray:
    """Where the distance exceeds a fraction of the image's largest, as in the OpenCV workshop."""
    _, seeds = cv2.threshold(distance, value * distance.max(), 255, cv2.THRESH_BINARY)
    return seeds.astype(np.uint8)


def fraction_of_object(distance: np.ndarray, mask: np.ndarray, value: float) -> np.ndarray:
    """Where the distance exceeds a fraction of the largest in the same object of the mask."""
    count, objects = cv2.connectedComponents(mask)
    largest = np.zeros(count, np.float32)
    inside = mask > 0
    np.maximum.at(largest, objects[inside], distance[inside])
    return ((distance > value * largest[objects]) & inside).astype(np.uint8) * np.uint8(255)


def h_maxima(
    distance: np.ndarray, mask: np.ndarray, h: float, fraction: float, sigma: float
) -> np.ndarray:
    """Peaks of the smoothed distance that rise clearly above the saddle to any higher one.

    Clearly is by more than `h` pixels plus a `fraction` of their own height, which makes the
    method independent of the size of the nuclei. By morphological reconstruction (Vincent 1993)
    inside each object of the mask, so that none is left without a seed.
    """
    inside = mask > 0
    smooth = cv2.GaussianBlur(distance, (0, 0), sigma) if sigma else distance
    ground = np.float32(-4 * sum(mask.shape))
    smooth = np.where(inside, smooth, ground)
    lowered = np.where(inside, smooth * np.float32(1 - fraction) - np.float32(h), ground)
    cut = reconstruct(lowered, smooth)
    # Tops of what is left: what a second, tiny step takes away.
    step = np.float32(1 / 512)
    tops = cut - reconstruct(cut - step, cut) > step / 2
    return (tops & inside).astype(np.uint8) * np.uint8(255)


def reconstruct(marker: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Morphological reconstruction by dilation, with 8 neighbours, of float32 arrays.

    Equal to scikit-image's `reconstruction` and much faster where values spread a short way,
    as from the peaks of a distance transform.
    """
    kernel = structuring_element("rectangle", 3)
    result = marker
    while True:
        previous = result
        for _ in range(8):
            result = np.minimum(cv2.dilate(result, kernel), limit)
        if np.array_equal(result, previous):
            return result


METHODS = {function.__name__: function for function in (fraction, fraction_of_object, h_maxima)}


def dilated(mask: np.ndarray, shape: str, size: int, iterations: int) -> np.ndarray:
    """The mask after a number of dilations."""
    if size > min(mask.shape):
        raise ImageError(
            f"a kernel of {size} pixels is larger than the image of {mask.shape[1]} x "
            f"{mask.shape[0]}: make markers.sure_background.size smaller"
        )
    if iterations == 0:
        return mask.copy()
    return cv2.dilate(mask, structuring_element(shape, size), iterations=iterations)


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    return find_markers(item.read("mask"), **settings)


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        batch.map(compute)
