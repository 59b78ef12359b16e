"""Perimeters and topology of all objects at once, from the pixels at their borders.

Definitions and values are those of `perimeter`, `perimeter_crofton` and `euler_number` of
scikit-image: an object ends at the border of the image and where the label is another.
"""

import numpy as np

# What a border pixel adds, by 1 + 2 times its border neighbours beside it + 10 times those at its
# corners. Benkrid and Crookes, Design and FPGA implementation of a perimeter estimator (2000).
STEPS = np.zeros(50)
STEPS[[5, 7, 15, 17, 25, 27]] = 1
STEPS[[21, 33]] = np.sqrt(2)
STEPS[[13, 23]] = (1 + np.sqrt(2)) / 2

# What a square of 2 x 2 pixels adds: 1, 2, 4 and 8 stand for its lower right, upper right, lower
# left and upper left pixel. Ohser, Nagel and Schladitz, The Euler number of discretized sets
# (2002), for objects that hold together at corners, and at sides alone; and Crofton's formula with
# four directions.
EULER_8 = np.array([0, 0, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0, 0, -1, 0], np.float64)
EULER_4 = np.array([0, 1, 0, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0, 0, 0], np.float64)
_SIDE, _CORNER = np.pi / 4, np.pi / (4 * np.sqrt(2))
CROFTON = np.zeros(16)
CROFTON[[1, 5]] = _SIDE + _CORNER
CROFTON[[2, 4 + 3, 10, 11]] = _CORNER
CROFTON[[3]] = 2 * _CORNER
CROFTON[[8, 12]] = _SIDE
CROFTON[[9, 13]] = 2 * _SIDE


def _summed(numbers: np.ndarray, labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    added = np.bincount(np.searchsorted(numbers, labels), values, numbers.size)
    # Of nothing, NumPy gives whole numbers.
    return added.astype(np.float64, copy=False)


def perimeters(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Length of the border of each object through the middles of its pixels.

    Takes some ten bytes a pixel of the image.

    Parameters
    ----------
    labels : (Y, X) array of integers
    numbers : (n,) array
        The labels in ascending order.

    Returns
    -------
    (n,) array of float64
        0 for one pixel.
    """
    if numbers.size == 0:
        return np.zeros(0)
    ends = np.zeros(labels.shape, bool)
    ends[[0, -1]] = ends[:, [0, -1]] = True
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = labels[one] != labels[other]
        ends[one] |= differs
        ends[other] |= differs
    places = np.flatnonzero(ends)
    own = labels.ravel()[places]
    places, own = places[own > 0], own[own > 0]
    # Border pixels alone, framed: what is never written or read takes no memory.
    width = labels.shape[1] + 2
    places += 2 * (places // labels.shape[1]) + width + 1
    flat = np.zeros(width * (labels.shape[0] + 2), labels.dtype)
    flat[places] = own
    code = np.ones(places.size, np.int8)
    for weight, steps in ((2, (1, width)), (10, (width - 1, width + 1))):
        for step in steps:
            code += np.int8(weight) * (flat[places - step] == own)
            code += np.int8(weight) * (flat[places + step] == own)
    return _summed(numbers, own, STEPS[code])


def squares(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """How many squares of 2 x 2 pixels of each kind each object has.

    Parameters
    ----------
    labels : (Y, X) array of integers
    numbers : (n,) array
        The labels in ascending order.

    Returns
    -------
    (n, 16) array of float64
        By the kinds of `EULER_8`. Those without the object or full of it are left out.
    """
    framed = np.pad(labels, 1)
    mixed = framed[1:, 1:] != framed[:-1, :-1]
    mixed |= framed[1:, :-1] != framed[:-1, 1:]
    mixed |= framed[1:, 1:] != framed[1:, :-1]
    width, flat = framed.shape[1], framed.ravel()
    places = np.flatnonzero(mixed)
    places += places // mixed.shape[1]
    corners = [flat[places + step] for step in (width + 1, 1, width, 0)]
    counts = np.zeros(numbers.size * 16)
    for index, label in enumerate(corners):
        # An object with several pixels in a square counts once.
        counted = label > 0
        for earlier in corners[:index]:
            counted &= label != earlier
        own = label[counted]
        kind = sum((other[counted] == own) << bit for bit, other in enumerate(corners))
        counts += np.bincount(np.searchsorted(numbers, own) * 16 + kind, minlength=counts.size)
    return counts.reshape(-1, 16)
