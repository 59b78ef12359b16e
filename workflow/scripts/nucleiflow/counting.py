"""Whole numbers in images, counted and looked up by OpenCV, which is faster at it than NumPy."""

import cv2
import numpy as np

# What OpenCV counts and looks up are numbers of 16 bits, in images of which it counts so many
# pixels exactly, as it does so in float32.
NUMBERS, EXACT = 1 << 16, 1 << 24


def occurrences(values: np.ndarray, least: int = 0) -> np.ndarray:
    """How often each number occurs: NumPy's `bincount` of all values.

    Parameters
    ----------
    values : array of integers, 0 or more
    least : int
        Length of the result at least.

    Returns
    -------
    (max(largest value + 1, least),) array of int64
    """
    numbers, length = _short(values)
    if numbers is None:
        return np.bincount(values.ravel(), minlength=least)
    found = np.zeros(max(length, least), np.int64)
    numbers = numbers.reshape(-1, 1)
    for start in range(0, len(numbers), EXACT):
        part = [numbers[start : start + EXACT]]
        found[:length] += cv2.calcHist(part, [0], None, [length], [0, length]).ravel().astype(int)
    return found


def looked_up(table: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """`table[numbers]` for an image of whole numbers, 0 or more.

    Parameters
    ----------
    table : (n,) array of bool, uint8, int32 or float32
    numbers : (Y, X) array of integers
    """
    short, _ = _short(numbers, table.size)
    if short is None:
        return table[numbers]
    whole = np.zeros((1, NUMBERS), table.dtype)
    whole[0, : min(table.size, NUMBERS)] = table[:NUMBERS]
    kind = np.uint8 if table.dtype == bool else table.dtype
    return cv2.LUT(short, whole.view(kind)).view(table.dtype)


def _short(values: np.ndarray, length: int | None = None) -> tuple[np.ndarray | None, int]:
    """The values as 16 bits, and one more than the largest; None where it is not worth it.

    Where a `length` is given, values are known to be below it.
    """
    if values.size < NUMBERS or values.dtype.kind not in "iu":
        return None, 0
    if length is None:
        length = int(values.max()) + 1
    if length > NUMBERS:
        return None, 0
    return np.ascontiguousarray(values).astype(np.uint16, copy=False), length
