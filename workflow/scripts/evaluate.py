"""How well labels agree with the truth: nuclei found, missed and invented."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching


class Matches(NamedTuple):
    """Numbers of objects; those of several images may be added up.

    Attributes
    ----------
    tp : int
        True positives: objects that match one of the truth.
    fp : int
        False positives: objects that match none.
    fn : int
        False negatives: objects of the truth that nothing matches.
    """

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        """Share of the objects that are true; 1 without any object."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the truth that was found; 1 where there was nothing to find."""
        return _share(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where both images are empty."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def match(truth: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> Matches:
    """Match objects one to one where their intersection over union exceeds a threshold.

    From a threshold of 0.5 on, an object can exceed it with one other at most. Below, the most
    pairs that are possible are made.

    Parameters
    ----------
    truth, labels : (Y, X) array of integers
        0 background, other numbers objects. Gaps in the numbers are no objects.
    threshold : float
        From 0 to below 1. A pair of exactly this intersection over union is no match.

    Returns
    -------
    Matches

    Raises
    ------
    ValueError
        Where the shapes differ, the arrays are not of integers or hold negative numbers, or the
        threshold is out of range.

    References
    ----------
    Caicedo et al. 2019, Nucleus segmentation across imaging experiments: the 2018 Data Science
    Bowl, Nature Methods 16, 1247-1253.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold is {threshold}, must be from 0 to below 1")
    iou, true_objects, found_objects = overlaps(truth, labels)
    pairs = iou.copy()
    pairs.data = (pairs.data > threshold).astype(np.int8)
    pairs.eliminate_zeros()
    tp = pairs.nnz
    if threshold < 0.5:
        tp = int((maximum_bipartite_matching(pairs) >= 0).sum())
    return Matches(tp, found_objects - tp, true_objects - tp)


def overlaps(truth: np.ndarray, labels: np.ndarray) -> tuple[csr_array, int, int]:
    """Intersection over union of all pairs of objects that share a pixel.

    Parameters
    ----------
    truth, labels : (Y, X) array of integers
        0 background, other numbers objects.

    Returns
    -------
    iou : sparse (largest of truth + 1, largest of labels + 1) array of float64, CSR
        By the numbers of the objects; row and column 0 are empty.
    true_objects, found_objects : int
        How many objects there are in `truth` and in `labels`.
    """
    for name, array in (("truth", truth), ("labels", labels)):
        if array.dtype.kind not in "iu":
            raise ValueError(f"{name} are of type {array.dtype}, must be integers")
        if array.size and array.min() < 0:
            raise ValueError(f"{name} hold negative numbers")
    if truth.shape != labels.shape:
        raise ValueError(f"truth has the shape {truth.shape} and labels {labels.shape}")
    true_areas, found_areas = (np.bincount(array.ravel(), minlength=1) for array in (truth, labels))
    both = (truth > 0) & (labels > 0)
    rows, columns = truth[both].astype(np.int64), labels[both].astype(np.int64)
    # Equal pairs are added up, which gives the intersections.
    iou = coo_array(
        (np.ones(rows.size), (rows, columns)), shape=(true_areas.size, found_areas.size)
    ).tocsr()
    rows, columns = iou.nonzero()
    iou.data /= true_areas[rows] + found_areas[columns] - iou.data
    return iou, int(np.count_nonzero(true_areas[1:])), int(np.count_nonzero(found_areas[1:]))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
