"""Intensities of all objects at once, from the pixels under them.

Objects with a pixel that is not a number have no value, whatever is asked. Everything is computed
in float64 and exact for integers, also for images of float32, of which scikit-image gives means
and deviations with the seven digits of float32.
"""

from collections.abc import Callable

import numpy as np

from nucleiflow.runs import Runs, begins, total


def sums(runs: Runs, values: np.ndarray) -> np.ndarray:
    """Sums of intensities, (n,) array of float64, exact for integers up to 2**53.

    Parameters
    ----------
    runs : Runs
    values : (p,) array of numbers
        Intensities of the pixels in the order of `runs.pixels`.
    """
    if values.size == 0:
        return np.zeros(runs.numbers.size)
    wide = np.int64 if values.dtype.kind in "iu" and values.dtype.itemsize < 8 else np.float64
    return total(runs, np.add.reduceat(values, begins(runs), dtype=wide))


def deviations(runs: Runs, values: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Standard deviations of the population, (n,) array of float64."""
    if values.size == 0:
        return np.zeros(runs.numbers.size)
    away = values - np.repeat(means[runs.owner], runs.length)
    away *= away
    area = total(runs, runs.length)
    return np.sqrt(total(runs, np.add.reduceat(away, begins(runs))) / area)


def extremes(runs: Runs, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest intensities, two (n,) arrays of float64."""
    low = np.full(runs.numbers.size, np.inf)
    high = -low
    if values.size:
        first = begins(runs)
        np.minimum.at(low, runs.owner, np.minimum.reduceat(values, first))
        np.maximum.at(high, runs.owner, np.maximum.reduceat(values, first))
    return low, high


def in_order(owner: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values sorted by object, then by size.

    Parameters
    ----------
    owner : (p,) array of integers
        Object of each value, from 0.
    values : (p,) array of numbers
        Where one is not a number, the order in its object is any.

    Returns
    -------
    (p,) array
        Of the type of the values.
    """
    if values.size == 0:
        return values
    rank, of_rank = _ranks(values)
    # One sort of whole numbers, whose upper digits are the object, is several times as fast as
    # sorting twice.
    bits = max(int(rank.max()).bit_length(), 1)
    small = int(owner.max()).bit_length() + bits <= 32
    key = owner.astype(np.uint32 if small else np.uint64)
    key <<= key.dtype.type(bits)
    key |= rank.astype(key.dtype)
    key.sort()
    key &= key.dtype.type((1 << bits) - 1)
    return of_rank(key)


def _ranks(values: np.ndarray) -> tuple[np.ndarray, Callable]:
    """Whole numbers from 0, below 2**32, in the order of the values, and the way back."""
    if values.dtype.kind in "iu":
        low = int(values.min())
        if int(values.max()) - low < 1 << 32:
            wide = values.astype(np.int64) if values.dtype.itemsize < 8 else values
            return wide - wide.dtype.type(low), lambda rank: rank.astype(wide.dtype) + low
    by_size = np.argsort(values)
    rank = np.empty(values.size, np.int64)
    rank[by_size] = np.arange(values.size)
    return rank, values[by_size].__getitem__


def quantiles(ordered: np.ndarray, size: np.ndarray, q: float) -> np.ndarray:
    """A quantile of each object, linear between values as NumPy's.

    CellProfiler takes rank q * n rather than q * (n - 1), which in a small object is a little more.

    Parameters
    ----------
    ordered : (p,) array
        As `in_order` gives it.
    size : (n,) array of int64
        Numbers of values, at least 1.
    q : float
        From 0 to 1.

    Returns
    -------
    (n,) array of float64
    """
    rank = (size - 1) * q
    below = np.floor(rank).astype(np.int64)
    share, first = rank - below, np.cumsum(size) - size
    low = ordered[first + below].astype(np.float64)
    high = ordered[first + np.minimum(below + 1, size - 1)].astype(np.float64)
    # Without a share, infinite values count as they are.
    with np.errstate(invalid="ignore"):
        return np.where(share == 0, low, low + (high - low) * share)


def median_deviations(ordered: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Median of the absolute deviations from the median, (n,) array of float64.

    Parameters as of `quantiles`.
    """
    middle = quantiles(ordered, size, 0.5)
    lower = _nearest(ordered, size, middle, (size - 1) // 2)
    return (lower + _nearest(ordered, size, middle, size // 2)) / 2


def _nearest(
    ordered: np.ndarray, size: np.ndarray, middle: np.ndarray, rank: np.ndarray
) -> np.ndarray:
    """The distance from `middle` of the value that is the `rank`-th nearest to it."""
    # The nearest values are consecutive: of all stretches of so many, the one whose farther end is
    # nearest. It is where the upper end becomes farther than the lower one.
    first = np.cumsum(size) - size
    low, high = np.zeros_like(size), size - rank

    def ends(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = first + np.clip(at, 0, size - rank - 1)
        return middle - ordered[at], ordered[at + rank] - middle

    while (low < high).any():
        at = (low + high) // 2
        below, above = ends(at)
        # Done ones stay.
        farther = (above >= below) | (low >= high)
        low, high = np.where(farther, low, at + 1), np.where(farther & (low < high), at, high)
    return np.minimum(np.maximum(*ends(low)), np.maximum(*ends(low - 1)))


def at_edges(owner: np.ndarray, values: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Mean, sum, deviation and extremes of some pixels of objects, as of those at their edges.

    Parameters
    ----------
    owner : (e,) array of integers
        Object of each pixel, from 0.
    values : (e,) array of numbers
    count : int
        Number of objects.

    Returns
    -------
    dict of (count,) arrays of float64
        `mean`, `sum`, `std`, `min` and `max`, NaN for objects without such a pixel.
    """
    values = values.astype(np.float64)
    size = np.bincount(owner, minlength=count)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, owner, values)
    np.maximum.at(high, owner, values)
    added = np.bincount(owner, values, count)
    with np.errstate(all="ignore"):
        mean = added / size
        away = values - mean[owner]
        std = np.sqrt(np.bincount(owner, away * away, count) / size)
    found = {"mean": mean, "sum": added, "std": std, "min": low, "max": high}
    return {name: np.where(size > 0, each, np.nan) for name, each in found.items()}
