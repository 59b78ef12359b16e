"""Objects cut out and set side by side: small images for what is slow on large ones."""

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import find_objects

# Pixels of a packed image, about.
ENOUGH = 1 << 16

Box = tuple[slice, slice]


def packed(
    labels: np.ndarray, image: np.ndarray
) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """All objects in small images, each in one of them with background around it.

    Objects at the border of the image, around which there is none on one side, stay there, alone.

    Parameters
    ----------
    labels : (Y, X) array of int32
        0 background, 1..n without gaps.
    image : (Y, X) array of float64

    Yields
    ------
    numbers : list of int
        Labels of the objects.
    labels : (y, x) array of int32
        The objects, numbered 1..k in the order of `numbers`.
    image : (y, x) array of float64
        The intensities under them, 0 elsewhere.
    """
    inner, area = [], 0
    for number, (rows, columns) in enumerate(find_objects(labels), start=1):
        box = (
            slice(max(rows.start - 1, 0), min(rows.stop + 1, labels.shape[0])),
            slice(max(columns.start - 1, 0), min(columns.stop + 1, labels.shape[1])),
        )
        size = [side.stop - side.start for side in box]
        if size == [rows.stop - rows.start + 2, columns.stop - columns.start + 2]:
            inner.append((number, box))
            area += size[0] * size[1]
        else:
            yield _side_by_side([(number, box)], labels, image)
        if area > ENOUGH:
            yield _side_by_side(inner, labels, image)
            inner, area = [], 0
    if inner:
        yield _side_by_side(inner, labels, image)


def _side_by_side(
    objects: list[tuple[int, Box]], labels: np.ndarray, image: np.ndarray
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Some objects on shelves, the highest first."""
    sizes = np.array([[side.stop - side.start for side in box] for _, box in objects])
    # One alone keeps its borders.
    wide = int(np.sqrt(sizes.prod(axis=1).sum())) if len(objects) > 1 else 0
    width = max(sizes[:, 1].max(), wide)
    places = np.zeros_like(sizes)
    top = left = below = 0
    for index in np.argsort(-sizes[:, 0], kind="stable"):
        if left + sizes[index, 1] > width:
            top, left = below, 0
        if left == 0:
            below = top + sizes[index, 0]
        places[index] = top, left
        left += sizes[index, 1]
    small, light = np.zeros((below, width), np.int32), np.zeros((below, width))
    for index, ((number, box), corner) in enumerate(zip(objects, places, strict=True), start=1):
        own = labels[box] == number
        there = tuple(slice(at, at + side) for at, side in zip(corner, own.shape, strict=True))
        small[there][own] = index
        light[there][own] = image[box][own]
    return [number for number, _ in objects], small, light
