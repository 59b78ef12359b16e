"""Medians and percentiles, which NumPy finds by a partition, by means that are faster on images."""

from collections.abc import Sequence

import numpy as np

from nucleiflow.counting import occurrences


def median(values: np.ndarray) -> float:
    """The median of an array of one number or more, without NaN: NumPy's, in half its time.

    Of uint8 and uint16 from the counts of each value, of other types from a sort, which
    processors do on many numbers at a time.
    """
    low, high = (values.size - 1) // 2, values.size // 2
    if values.dtype in (np.uint8, np.uint16):
        upto = np.cumsum(occurrences(values))
        return float(np.searchsorted(upto, (low, high), side="right").mean())
    values = np.sort(values, axis=None)
    return float((values[low] + values[high]) / values.dtype.type(2))


def percentiles(values: np.ndarray, wanted: Sequence[float]) -> list[float]:
    """Percentiles from 0 to 100 of an array of one number or more, as NumPy interpolates them.

    Of uint8 and uint16 from the counts of each value.
    """
    if values.dtype not in (np.uint8, np.uint16):
        return np.percentile(values, wanted).tolist()
    upto = np.cumsum(occurrences(values))
    rank = np.asarray(wanted) / 100 * (values.size - 1)
    share, below = np.modf(rank)
    ends = np.stack([below, np.minimum(below + 1, values.size - 1)])
    low, high = np.searchsorted(upto, ends, side="right").astype(np.float64)
    # From the nearer end, as NumPy.
    near = np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))
    return near.tolist()
