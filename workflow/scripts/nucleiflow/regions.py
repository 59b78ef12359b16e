"""What many regions of an image are like, from one look at its pixels."""

import cv2
import numpy as np

from nucleiflow.reduced import enlarged, reduced

# Classes at most in which the values of a region are counted, and least pixels at a time.
CLASSES, STRETCH = 256, 1 << 20


def quantiles(
    labels: np.ndarray, values: np.ndarray, q: float, count: int, first: int = 1
) -> np.ndarray:
    """A quantile of the values under each label.

    Parameters
    ----------
    labels : array of int32
        Regions up to `count`, which may have no pixel; below `first`, background.
    values : array of numbers, of the same shape
    q : float
        From 0 to 1. It is the value of that rank, without interpolation.
    count, first : int

    Returns
    -------
    (count + 1,) array of float64
        0 for regions without pixels.
    """
    # Of bool it is several times as fast.
    inside = np.flatnonzero(labels >= first)
    result = np.zeros(count + 1)
    if inside.size == 0:
        return result
    label, value = labels.ravel().take(inside), values.ravel().take(inside)
    # What a large image's stage holds at a time is most of its memory.
    del inside
    # Counts of the values in classes of equal width tell the class that holds the rank. Only what
    # is in that class is sorted, which takes a third of the time of sorting all.
    classes = int(min(CLASSES, max(value.size // (count + 1), 1)))
    class_ = _classes(value, classes)
    counts = np.zeros((count + 1) * classes, np.int64)
    # No fewer at a time than there are counts, which are added up each time.
    stretch = max(STRETCH, counts.size)
    for start in range(0, value.size, stretch):
        part = slice(start, start + stretch)
        key = label[part].astype(np.intp)
        key *= classes
        key += class_[part]
        counts += np.bincount(key, minlength=counts.size)
    counts = counts.reshape(count + 1, classes)
    upto = counts.cumsum(axis=1)
    pixels = upto[:, -1]
    rank = np.minimum((pixels * q).astype(np.intp), pixels - 1)[:, None]
    middle = (upto > rank).argmax(axis=1)[:, None]
    some = np.flatnonzero(class_ == middle.astype(class_.dtype).ravel().take(label))
    value, label = value[some], label[some]
    ordered = value[np.lexsort((value, label))]
    found = np.flatnonzero(pixels)
    size, above = (np.take_along_axis(each, middle, 1)[found, 0] for each in (counts, upto))
    result[found] = ordered[np.cumsum(size) - above + rank[found, 0]]
    return result


def _classes(values: np.ndarray, count: int) -> np.ndarray:
    """Numbers from 0 to below `count` <= 256 in the order of the values, as uint8."""
    low, high = values.min(), values.max()
    span = float(high) - float(low)
    if not 0 < span < np.inf:
        return np.zeros(values.shape, np.uint8)
    away = values.astype(np.float32 if values.itemsize <= 4 else np.float64)
    away -= away.dtype.type(low)
    # Rounding must not lead beyond the last.
    away *= away.dtype.type((count - 1e-3) / span)
    return away.astype(np.uint8)


def moments(labels: np.ndarray, count: int) -> np.ndarray:
    """Area, first and second moments of each region; those of regions that join add up.

    Parameters
    ----------
    labels : (Y, X) array of int32
        0 background, 1..count regions.
    count : int

    Returns
    -------
    (count + 1, 6) array of float64
        Numbers of pixels, and sums of y, x, y * y, x * x and x * y. Row 0 is zero.
    """
    # Of each run of equal pixels in a row at once: whole numbers, so sums are exact in any order.
    starts = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=starts[:, 1:])
    first = np.flatnonzero(starts)
    length = np.diff(first, append=labels.size)
    label = labels.ravel()[first]
    inside = label > 0
    first, length, label = first[inside], length[inside], label[inside]
    y, x = np.divmod(first, max(labels.shape[1], 1))
    along = length * x + length * (length - 1) // 2
    squares = length * x * x + x * length * (length - 1)
    squares += (length - 1) * length * (2 * length - 1) // 6
    weights = (length, length * y, along, length * y * y, squares, along * y)
    return np.stack([np.bincount(label, weight, count + 1) for weight in weights], axis=1)


def ellipticity(sums: np.ndarray) -> np.ndarray:
    """Area of regions over that of the ellipse with the same second moments, at most 1.

    1 for an ellipse, 0.89 for two discs of a size that touch. It tells what solidity tells, and is
    known for a union of regions without another look at the pixels.

    Parameters
    ----------
    sums : (n, 6) array of float64
        As `moments` gives them.

    Returns
    -------
    (n,) array of float64
    """
    area = np.maximum(sums[:, 0], 1)
    y, x, yy, xx, xy = (sums[:, 1:] / area[:, None]).T
    # The second moment of a pixel, which is a square, about its own centre is a twelfth.
    spread = (yy - y * y + 1 / 12) * (xx - x * x + 1 / 12) - (xy - x * y) ** 2
    return np.minimum(area / (4 * np.pi * np.sqrt(np.maximum(spread, 1e-9))), 1)


def nearest(labels: np.ndarray, first: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The region nearest to each pixel.

    Parameters
    ----------
    labels : (Y, X) array of int32
        Below `first`, background; some region must be there.
    first : int

    Returns
    -------
    labels : (Y, X) array of int32
    distance : (Y, X) array of float32
        In pixels, 0 inside of regions; right to some percent, as OpenCV's 5 x 5 mask.
    """
    inside = labels >= first
    distance, places = cv2.distanceTransformWithLabels(
        (~inside).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the pixels of regions from 1, in their order.
    # Not `take`, which would hold all of the numbers once more, in 64 bits.
    return np.append(np.int32(0), labels[inside])[places], distance


def surroundings(image: np.ndarray, objects: np.ndarray, sigma: float) -> np.ndarray:
    """The ground around and below objects: a Gaussian mean of what lies outside of them.

    Where next to nothing of it is near, ground up to four times as far counts.

    Parameters
    ----------
    image : (Y, X) array of float32
    objects : (Y, X) array of bool
    sigma : float
        Standard deviation of the mean in pixels.

    Returns
    -------
    (Y, X) array of float32
        0 without any ground.
    """
    # On a smaller image, and of its squares what of them is outside.
    shrink = max(int(sigma / 3), 1)
    outside = (~objects).astype(np.float32)
    share = reduced(outside, shrink)
    outside *= image
    light = _nearby(reduced(outside, shrink), sigma / shrink)
    light /= np.maximum(_nearby(share, sigma / shrink), np.float32(1e-12))
    return enlarged(light, shrink, image.shape)


def _nearby(part: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean of a float32 image, with a little of one four times as wide, and of all."""
    shrink, border = max(int(4 * sigma / 3), 1), cv2.BORDER_REPLICATE
    wide = cv2.GaussianBlur(reduced(part, shrink), (0, 0), 4 * sigma / shrink, borderType=border)
    mean = enlarged(wide, shrink, part.shape) * np.float32(1e-3)
    mean += cv2.GaussianBlur(part, (0, 0), max(sigma, 0.3), borderType=border)
    mean += float(part.mean()) * np.float32(1e-9)
    return mean
