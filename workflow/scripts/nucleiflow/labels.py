"""Questions that several stages ask of a label image."""

import numpy as np


def border_pixels(labels: np.ndarray, frame: int = 0) -> np.ndarray:
    """The outermost pixels of a label image, after a frame of so many pixels, in one row."""
    inner = labels[frame : labels.shape[0] - frame, frame : labels.shape[1] - frame]
    if inner.size == 0:
        return inner.ravel()
    return np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])


def outlines(labels: np.ndarray) -> np.ndarray:
    """Pixels of objects next to another object or to background, (Y, X) array of bool."""
    edge = np.zeros(labels.shape, bool)
    differs = labels[1:] != labels[:-1]
    edge[1:] |= differs
    edge[:-1] |= differs
    differs = labels[:, 1:] != labels[:, :-1]
    edge[:, 1:] |= differs
    edge[:, :-1] |= differs
    return edge & (labels > 0)


def numbered(labels: np.ndarray) -> np.ndarray:
    """The same objects with the numbers 1..n in the same order, where numbers may be missing.

    (Y, X) arrays of int32. Background is 0, also where it was below.
    """
    numbers = np.unique(labels)
    inside = numbers[numbers > 0]
    if numbers.size and numbers[0] >= 0 and inside.size == numbers[-1]:
        return labels
    return (np.searchsorted(inside, labels, side="right") * (labels > 0)).astype(np.int32)
