"""Convex hulls of labelled objects."""

import cv2
import numpy as np


def hulls(basins: np.ndarray) -> dict[int, np.ndarray]:
    """Convex hulls of nuclei, (n, 1, 2) arrays of int32 of x and y in half pixels.

    As those of scikit-image's `solidity` they pass through the middles of pixels' edges.

    Parameters
    ----------
    basins : (Y, X) array of int32
        0 and 1 no nucleus, 2.. nuclei.
    """
    framed = np.pad(basins, 1)
    flat, width = framed.ravel(), framed.shape[1]
    points, owner = [], []
    # The ends of a nucleus in each row hold all corners of its hull.
    for step in (-1, 1):
        ends = np.flatnonzero(flat > 1)
        ends = ends[flat[ends] != flat[ends + step]]
        y, x = np.divmod(ends, width)
        x, y = 2 * (x - 1), 2 * (y - 1)
        for dx, dy in ((step, 0), (0, -1), (0, 1)):
            points.append(np.stack([x + dx, y + dy], axis=1))
            owner.append(flat[ends])
    owner_of = np.concatenate(owner)
    order = np.argsort(owner_of, kind="stable")
    sorted_points = np.concatenate(points)[order].astype(np.int32)
    numbers, starts = np.unique(owner_of[order], return_index=True)
    groups = np.split(sorted_points, starts[1:]) if numbers.size else []
    return {
        number: cv2.convexHull(group)
        for number, group in zip(numbers.tolist(), groups, strict=True)
    }


def hull_area(hull: np.ndarray) -> float:
    """Area of a hull of `hulls` in pixels."""
    return cv2.contourArea(hull) / 4
