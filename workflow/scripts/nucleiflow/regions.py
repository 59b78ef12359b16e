"""What many regions of an image are like, from one look at its pixels."""

import cv2
import numpy as np

from nucleiflow.reduced import enlarged, reduced


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
        From 0 to 1. It is the value of that rank, without interpolation, to nine digits of the
        range of all values.
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
    label, value = labels.ravel()[inside], values.ravel()[inside].astype(np.float64)
    low = value.min()
    span = (value.max() - low) * (1 + 1e-6) or 1.0
    # With the label as the whole part of a number and the value as its fraction, one sort does.
    value -= low
    value /= span
    value += label
    value.sort()
    pixels = np.bincount(label, minlength=count + 1)
    found = np.flatnonzero(pixels)
    pixels = pixels[found]
    begins = np.cumsum(pixels) - pixels
    rank = np.minimum((pixels * q).astype(np.intp), pixels - 1)
    result[found] = (value[begins + rank] - found) * span + low
    return result


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
