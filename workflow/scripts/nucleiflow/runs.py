"""Labelled objects as runs of pixels along rows: short to hold, quick to sum."""

from typing import NamedTuple

import numpy as np


class Runs(NamedTuple):
    """The runs of all objects of a label image, row by row.

    numbers : (n,) array, the labels in ascending order; numbers may be missing
    owner : (r,) array of intp, which of `numbers` a run belongs to
    row, start, length : (r,) arrays of int64
    shape : rows and columns of the image
    """

    numbers: np.ndarray
    owner: np.ndarray
    row: np.ndarray
    start: np.ndarray
    length: np.ndarray
    shape: tuple[int, int]


def runs_of(labels: np.ndarray) -> Runs:
    """Find the runs of a label image.

    Takes a byte a pixel and some 50 bytes a run.

    Parameters
    ----------
    labels : (Y, X) array of integers
        0 background. What is below 0 is background, too, as in scikit-image.

    Raises
    ------
    TypeError
        Where the labels are no integers.
    ValueError
        Where the image is not two-dimensional.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be whole numbers, not {labels.dtype}")
    if labels.ndim != 2:
        raise ValueError(f"labels must have two dimensions, not {labels.ndim}")
    begins = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    first = np.flatnonzero(begins)
    label = labels.ravel()[first]
    length = np.diff(first, append=labels.size)
    inside = label > 0
    numbers, owner = np.unique(label[inside], return_inverse=True)
    row, start = np.divmod(first[inside], max(labels.shape[1], 1))
    return Runs(numbers, owner, row, start, length[inside], labels.shape)


def begins(runs: Runs) -> np.ndarray:
    """Where each run begins among the pixels of `pixels`, (r,) array of int64."""
    return np.cumsum(runs.length) - runs.length


def pixels(runs: Runs) -> np.ndarray:
    """Places in the flattened image of the pixels of all runs, run by run, (p,) array of int64."""
    flat = runs.row * runs.shape[1] + runs.start
    return np.repeat(flat - begins(runs), runs.length) + np.arange(runs.length.sum())


def some_of(runs: Runs, which: np.ndarray) -> Runs:
    """Some of the runs, (r,) array of bool, of the same objects."""
    own = (each[which] for each in (runs.owner, runs.row, runs.start, runs.length))
    return Runs(runs.numbers, *own, runs.shape)


def total(runs: Runs, values: np.ndarray) -> np.ndarray:
    """Sum of a number of each run by object, (n,) array of float64."""
    # Of nothing, NumPy gives whole numbers.
    return np.bincount(runs.owner, values, runs.numbers.size).astype(np.float64, copy=False)


def boxes(runs: Runs) -> np.ndarray:
    """First row and column, and those after the last, of each object: (n, 4) array of int64."""
    low = np.full((2, runs.numbers.size), np.iinfo(np.int64).max)
    high = np.zeros((2, runs.numbers.size), np.int64)
    np.minimum.at(low[0], runs.owner, runs.row)
    np.minimum.at(low[1], runs.owner, runs.start)
    np.maximum.at(high[0], runs.owner, runs.row + 1)
    np.maximum.at(high[1], runs.owner, runs.start + runs.length)
    return np.concatenate([low, high]).T


def parts(runs: Runs) -> np.ndarray:
    """Of how many parts, which do not touch at sides of pixels, each object is: (n,) array."""
    part = parts_of(runs)
    owner = np.empty(part.max(initial=-1) + 1, np.int64)
    owner[part] = runs.owner
    return np.bincount(owner, minlength=runs.numbers.size)


def parts_of(runs: Runs) -> np.ndarray:
    """The part of its object that each run belongs to, (r,) array of int32.

    Numbers from 0 of all objects' parts, in the order of their first pixels.
    """
    if runs.owner.size == 0:
        return np.zeros(0, np.int32)
    # A row longer by one, so that the ends of a row do not touch the next one.
    width = runs.shape[1] + 1
    start = runs.row * width + runs.start
    stop = start + runs.length
    # Runs of the row below that reach past the first column and begin before the last.
    low = np.searchsorted(stop, start + width, side="right")
    high = np.searchsorted(start, stop + width, side="left")
    many = np.maximum(high - low, 0)
    upper = np.repeat(np.arange(start.size), many)
    lower = np.repeat(low - (np.cumsum(many) - many), many) + np.arange(upper.size)
    same = runs.owner[upper] == runs.owner[lower]
    return components(upper[same], lower[same], start.size)


def components(one: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """The connected component of each of some things, in pairs of which the two are connected.

    Parameters
    ----------
    one, other : (m,) arrays of int
        From 0 to below `count`.
    count : int

    Returns
    -------
    (count,) array of int
        Numbers from 0, in the order of their first things.
    """
    # Of what is connected, each points at the lowest that is known by now.
    first = np.arange(count)
    while one.size:
        low, high = first[one], first[other]
        low, high = np.minimum(low, high), np.maximum(low, high)
        np.minimum.at(first, high, low)
        while not np.array_equal(further := first[first], first):
            first = further
        apart = first[one] != first[other]
        one, other = one[apart], other[apart]
    return np.unique(first, return_inverse=True)[1]
