"""Hills of an image: their slopes, the saddles between them, and which of them stand out."""

import functools

import cv2
import numpy as np

# Pixels that are looked at together.
STRIP = 1 << 16


def climb(height: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The peak that the steepest way up from each pixel leads to, over 8 neighbours.

    Heights that differ by less than a millionth count as equal. Of a flat top there can be several
    peaks, whose saddles are as high as they are.

    Parameters
    ----------
    height : (Y, X) array of float32
        Negative outside the mask and in the outermost pixels; below 1e38.
    pixels : (n,) array of int
        Indices of the other pixels in the flat array.

    Returns
    -------
    slope : (Y * X,) array of int32
        The number of the peak, from 0, or -1 outside the mask.
    peaks : (number of peaks,) array of int
        The index of a pixel at the top of each.
    """
    way = _ways(height).ravel().take(pixels)
    # By their place among the pixels, each jumps to where the one it points at points.
    slope = np.full(height.size, -1, np.int32 if pixels.size < 1 << 31 else np.intp)
    slope[pixels] = np.arange(pixels.size)
    target = slope.take(pixels + _steps(height.shape[1]).take(way)).astype(np.intp)
    del way
    while True:
        # A third faster than by index.
        further = target.take(target)
        # Some at a time: that of all would be the most that a large image's stage holds.
        parts = (slice(at, at + STRIP) for at in range(0, target.size, STRIP))
        if all(np.array_equal(further[part], target[part]) for part in parts):
            break
        target = further
    del further
    number = np.arange(pixels.size, dtype=slope.dtype)
    tops = np.flatnonzero(target == number)
    number[tops] = np.arange(tops.size)
    slope[pixels] = number.take(target)
    return slope, pixels[tops]


def _ways(height: np.ndarray) -> np.ndarray:
    """Where in the 3 x 3 pixels around it the highest one is, as a number for `_steps`.

    Rows and columns are counted in threes, so that in any 3 x 3 pixels each has a number of its
    own. It takes the place of the last four of a height's 24 bits, so that the largest of these
    tells the number, and no two pixels side by side are equal.
    """
    way = np.empty(height.shape, np.uint8)
    across = np.arange(height.shape[1], dtype=np.int32) % 3
    # Some rows at a time, whose copies stay in the processor's cache.
    rows = max(STRIP // height.shape[1], 16)
    for row in range(0, len(height), rows):
        first, last = max(row - 1, 0), min(row + rows + 1, len(height))
        own = (np.arange(first, last, dtype=np.int32) % 3 << 2)[:, None] | across
        # The exponent is one more, as processors may take the smallest numbers for 0.
        key = height[first:last].view(np.int32) + np.int32(1 << 23)
        key &= ~np.int32(15)
        key |= own
        key = cv2.dilate(key.view(np.float32), np.ones((3, 3), np.uint8)).view(np.int32)
        key &= 15
        own <<= 4
        key |= own
        way[row : row + rows] = key[row - first :][:rows]
    return way


@functools.cache
def _steps(width: int) -> np.ndarray:
    """By a pixel's own number and that of the highest one, the step to it in the flat array."""
    number = np.arange(16)
    down, right = ((part - part[:, None] + 1) % 3 - 1 for part in (number >> 2, number & 3))
    return (down * width + right).ravel().astype(np.int32)


def saddles(
    height: np.ndarray, pixels: np.ndarray, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The highest way over from each slope to each slope beside it.

    Takes what `climb` takes and gives. Returns the heights of the saddles (n,), from high to low,
    and the numbers of the peaks on both sides, (n,) and (n,).
    """
    flat, own, width = height.ravel(), slope.take(pixels), height.shape[1]
    found = []
    for step in (1, width - 1, width, width + 1):
        other = slope[step:].take(pixels)
        border = np.flatnonzero((other != own) & (other >= 0))
        here, one, other = pixels[border], own[border], other[border]
        level = np.minimum(flat[here], flat[here + step])
        found.append((level, np.minimum(one, other), np.maximum(one, other)))
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
    mask : (Y, X) array of bool, or of uint8, 0 outside
    h, fraction : float
        A peak stands out if it rises above the saddle to any higher one by more than `h` plus
        this fraction of its height.

    Returns
    -------
    labels : (number of pixels of the mask,) array of int32
        1..n, in the order of the pixels.
    """
    framed = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), bool)
    framed[1:-1, 1:-1] = mask
    height = np.full(framed.shape, -1, np.float32)
    np.copyto(height[1:-1, 1:-1], surface, where=framed[1:-1, 1:-1])
    # What a large image's stage holds at a time is most of its memory.
    del surface
    np.maximum(height, 0, out=height, where=framed)
    pixels = np.flatnonzero(framed)
    del framed
    slope, peaks = climb(height, pixels)
    tops = height.ravel()[peaks]
    owner = clear_peaks(tops, *saddles(height, pixels, slope), h, fraction)
    _, number = np.unique(owner, return_inverse=True)
    return (number + 1).astype(np.int32).take(slope.take(pixels))
