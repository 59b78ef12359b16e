"""Hills of an image: their slopes, the saddles between them, and which of them stand out."""

import cv2
import numpy as np


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
    # Comparing whole rows is several times as fast as looking up the pixels of the mask. Of ways
    # equally steep the first one counts, so it has the highest number; a top has a higher one.
    width = height.shape[1]
    steps = np.array((-width - 1, -width, 1 - width, -1, 1, width - 1, width, width + 1))
    highest = cv2.dilate(height, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    way = cv2.compare(height[1:-1, 1:-1], highest, cv2.CMP_EQ) & np.uint8(len(steps) + 1)
    for number, step in enumerate(steps.tolist()):
        row, column = divmod(step + width + 1, width)
        beside = height[row : row + way.shape[0], column : column + way.shape[1]]
        leads = cv2.compare(beside, highest, cv2.CMP_EQ)
        np.bitwise_and(leads, np.uint8(len(steps) - number), out=leads)
        np.maximum(way, leads, out=way)
    way = cv2.copyMakeBorder(way, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    target = pixels + np.append(0, np.append(steps[::-1], 0))[way.ravel()[pixels]]
    # What a large image's stage holds at a time is most of its memory.
    del highest, beside, leads, way
    top = pixels[target == pixels]
    flat_tops = np.zeros(height.shape, np.uint8)
    flat_tops.ravel()[top] = 1
    # Tops side by side are equally high, so they are one.
    count, number = cv2.connectedComponents(flat_tops)
    del flat_tops
    slope = number.ravel()
    slope -= 1
    peaks = np.zeros(count - 1, np.intp)
    peaks[slope[top]] = top
    # By their place among the pixels, each jumps to where the one it points at points.
    place = np.zeros(height.size, np.int32 if height.size < 1 << 31 else np.intp)
    place[pixels] = np.arange(pixels.size)
    target = place[target].astype(np.intp)
    del place
    while True:
        further = target[target]
        if np.array_equal(further, target):
            break
        target = further
    slope[pixels] = slope[pixels][target]
    return slope, peaks


def saddles(
    height: np.ndarray, pixels: np.ndarray, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The highest way over from each slope to each slope beside it.

    Takes what `climb` takes and gives. Returns the heights of the saddles (n,), from high to low,
    and the numbers of the peaks on both sides, (n,) and (n,).
    """
    # All pixels of the image at once, as whole rows are compared several times as fast.
    flat, number, width = height.ravel(), slope.ravel(), height.shape[1]
    inside = number >= 0
    found = []
    for step in (1, width - 1, width, width + 1):
        differs = number[:-step] != number[step:]
        differs &= inside[:-step]
        differs &= inside[step:]
        here = np.flatnonzero(differs)
        pair = np.sort([number[here], number[here + step]], axis=0)
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


def partition(
    surface: np.ndarray, mask: np.ndarray, h: float = 0.0, fraction: float = 0.0
) -> np.ndarray:
    """Divide a mask between the peaks that stand out: each pixel goes where the way up leads.

    Parameters
    ----------
    surface : (Y, X) array of float32
        What lies below 0 counts as 0.
    mask : (Y, X) array of bool
    h, fraction : float
        A peak stands out if it rises above the saddle to any higher one by more than `h` plus
        this fraction of its height.

    Returns
    -------
    labels : (Y, X) array of int32
        0 outside of the mask, 1..n.
    """
    surface = cv2.max(surface, 0)
    height = np.full((mask.shape[0] + 2, mask.shape[1] + 2), -1, np.float32)
    np.copyto(height[1:-1, 1:-1], surface, where=mask)
    del surface
    pixels = np.flatnonzero(height >= 0)
    if not pixels.size:
        return np.zeros(mask.shape, np.int32)
    slope, peaks = climb(height, pixels)
    tops = height.ravel()[peaks]
    owner = clear_peaks(tops, *saddles(height, pixels, slope), h, fraction)
    _, number = np.unique(owner, return_inverse=True)
    shape = height.shape
    del height
    # Where there is no slope, it is -1.
    labels = np.maximum(slope, 0, out=slope)
    labels[pixels] = (number + 1).astype(np.int32)[slope[pixels]]
    return np.ascontiguousarray(labels.reshape(shape)[1:-1, 1:-1])
