"""Stage 3, markers: from the mask to one seed a nucleus."""

import cv2
import numpy as np

from nucleiflow.batch import open_batch
from nucleiflow.distance import distance_transform
from nucleiflow.kernel import structuring_element


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
        See `nucleiflow.distance`.
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
    distance = distance_transform(mask, distance_mask)
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
    method independent of the size of the nuclei. A seed is the peak down to that much below its
    top. Each object of the mask has at least one.

    The seeds are the regional maxima after a morphological reconstruction (Soille 2003, 6.3.4).
    They are found from the saddles between the slopes of all peaks, because the time for that
    does not grow with the size of the nuclei.
    """
    smooth = cv2.GaussianBlur(distance, (0, 0), sigma) if sigma else distance
    # The frame gives every pixel of the mask eight neighbours.
    height = np.pad(np.where(mask > 0, smooth, np.float32(-1)), 1, constant_values=-1)
    pixels = np.flatnonzero(height >= 0)
    slope, peaks = climb(height, pixels)
    tops = height.ravel()[peaks]
    owner = clear_peaks(tops, *saddles(height, pixels, slope), h, fraction)
    cut = (tops * np.float32(1 - fraction) - np.float32(h))[owner]
    high = np.zeros(height.shape, np.uint8)
    high.ravel()[pixels] = height.ravel()[pixels] >= cut[slope[pixels]]
    # A peak that is not clear can reach above the cut of the one that owns it, with a gap between.
    _, parts = cv2.connectedComponents(high)
    seeds = np.zeros(parts.max() + 1, np.uint8)
    seeds[parts.ravel()[peaks[owner]]] = 255
    return np.ascontiguousarray(seeds[parts[1:-1, 1:-1]])


def climb(height: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The peak that the steepest way up from each pixel leads to, over 8 neighbours.

    Parameters
    ----------
    height : (Y, X) array of float32
        Negative outside the mask and in the outermost pixels.
    pixels : (n,) array of int
        Indices of the other pixels in the flat array.

    Returns
    -------
    slope : (Y * X,) array of int32
        The number of the peak, from 0, or -1 outside the mask.
    peaks : (number of peaks,) array of int
        The index of a pixel at the top of each.
    """
    flat, width = height.ravel(), height.shape[1]
    best, target = flat[pixels], pixels.copy()
    for step in (-width - 1, -width, 1 - width, -1, 1, width - 1, width, width + 1):
        there = flat[pixels + step]
        higher = np.flatnonzero(there > best)
        best[higher] = there[higher]
        target[higher] = pixels[higher] + step
    top = pixels[target == pixels]
    flat_tops = np.zeros(height.shape, np.uint8)
    flat_tops.ravel()[top] = 1
    # Tops side by side are equally high, so they are one.
    count, number = cv2.connectedComponents(flat_tops)
    slope = number.ravel() - 1
    peaks = np.zeros(count - 1, np.intp)
    peaks[slope[top]] = top
    way = np.zeros(flat.size, np.intp)
    while True:
        way[pixels] = target
        further = way[target]
        if np.array_equal(further, target):
            break
        target = further
    slope[pixels] = slope[target]
    return slope, peaks


def saddles(
    height: np.ndarray, pixels: np.ndarray, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The highest way over from each slope to each slope beside it.

    Takes what `climb` takes and gives. Returns the heights of the saddles (n,), from high to low,
    and the numbers of the peaks on both sides, (n,) and (n,).
    """
    flat, width = height.ravel(), height.shape[1]
    found = []
    for step in (1, width - 1, width, width + 1):
        here = pixels[(slope[pixels + step] >= 0) & (slope[pixels] != slope[pixels + step])]
        pair = np.sort([slope[here], slope[here + step]], axis=0)
        found.append((np.minimum(flat[here], flat[here + step]), *pair))
    level, first, second = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((first, second, -level))
    level, first, second = level[order], first[order], second[order]
    _, highest = np.unique(first.astype(np.int64) << 32 | second, return_index=True)
    highest.sort()
    return level[highest], first[highest], second[highest]


def clear_peaks(
    tops: np.ndarray,
    level: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    h: float,
    fraction: float,
) -> np.ndarray:
    """For each peak itself if it is clear, else the clear one to whose nucleus it belongs.

    Takes the heights of the peaks and what `saddles` returns. As the water sinks from saddle to
    saddle, islands join; the lower of two peaks is clear if it rises far enough above the saddle.
    """
    island = list(range(len(tops)))
    owner = np.arange(len(tops))
    tops = tops.tolist()

    def highest(peak: int) -> int:
        while island[peak] != peak:
            island[peak] = island[island[peak]]
            peak = island[peak]
        return peak

    for saddle, one, other in zip(level.tolist(), first.tolist(), second.tolist(), strict=True):
        low, high = highest(one), highest(other)
        if low == high:
            continue
        if tops[low] > tops[high]:
            low, high, other = high, low, one
        island[low] = high
        if tops[low] - saddle <= h + fraction * tops[low]:
            owner[low] = other
    while not np.array_equal(owner[owner], owner):
        owner = owner[owner]
    return owner


METHODS = {function.__name__: function for function in (fraction, fraction_of_object, h_maxima)}


def dilated(mask: np.ndarray, shape: str, size: int, iterations: int) -> np.ndarray:
    """The mask after a number of dilations."""
    if iterations == 0:
        return mask.copy()
    return cv2.dilate(mask, structuring_element(shape, size), iterations=iterations)


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    return find_markers(item.read("mask"), **settings)


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        batch.map(compute)
