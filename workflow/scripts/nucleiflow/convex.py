"""Convex hulls of all objects at once: convex areas and Feret diameters.

A hull passes, as in scikit-image, through the middles of the edges of pixels. Coordinates are
doubled, so that all of them are whole numbers and nothing is rounded.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nucleiflow.runs import Runs

# Pairs of corners that are compared at a time.
PAIRS = 1 << 21


class Rows(NamedTuple):
    """How far objects reach in each row: (k,) arrays, by object, then by row.

    Objects are numbered 0..n-1. A row without a pixel may be missing.
    """

    owner: np.ndarray
    row: np.ndarray
    left: np.ndarray
    right: np.ndarray


class Chain(NamedTuple):
    """Corners of one side of the hulls, from top to bottom, by object: (c,) arrays of int64."""

    owner: np.ndarray
    y: np.ndarray
    x: np.ndarray


def rows_of(runs: Runs) -> Rows:
    """First and last column of each object in each of its rows."""
    key = runs.owner * runs.shape[0] + runs.row
    order = np.argsort(key, kind="stable")
    key, left = key[order], runs.start[order]
    right = left + runs.length[order] - 1
    first = np.flatnonzero(np.diff(key, prepend=-1))
    last = np.append(first, key.size)[1:] - 1
    owner, row = np.divmod(key[first], max(runs.shape[0], 1))
    return Rows(owner, row, left[first], right[last])


def left_chain(owner: np.ndarray, row: np.ndarray, left: np.ndarray) -> Chain:
    """The left side of the hulls; the right side is that of the columns times -1."""
    y = (2 * row[:, None] + np.array([-1, 0, 1])).ravel()
    x = (2 * left[:, None] + np.array([0, -1, 0])).ravel()
    owner = np.repeat(owner, 3)
    # The lower corner of a row and the upper one of the next are at the same height.
    twice = np.flatnonzero((owner[1:] == owner[:-1]) & (y[1:] == y[:-1]))
    x[twice] = np.minimum(x[twice], x[twice + 1])
    chain = Chain(*(np.delete(each, twice + 1) for each in (owner, y, x)))
    while chain.y.size > 2:
        # A point that is not left of the line from the one above to the one below is no corner,
        # whether or not these are, so that all such points can go at once.
        owner, y, x = chain
        between = owner[2:] == owner[:-2]
        inner = (x[1:-1] - x[:-2]) * (y[2:] - y[:-2]) >= (x[2:] - x[:-2]) * (y[1:-1] - y[:-2])
        gone = between & inner
        if not gone.any():
            break
        keep = np.ones(y.size, bool)
        keep[1:-1] = ~gone
        chain = Chain(*(each[keep] for each in chain))
    return chain


def _first_inside(chain: Chain, owner: np.ndarray, row: np.ndarray, height: int) -> np.ndarray:
    """The first column of each row that is not left of a chain."""
    stride = 2 * height + 2
    at = np.searchsorted(
        chain.owner * stride + chain.y + 1, owner * stride + 2 * row + 1, side="right"
    )
    y0, y1, x0, x1 = chain.y[at - 1], chain.y[at], chain.x[at - 1], chain.x[at]
    down = y1 - y0
    return -((-(x0 * down + (2 * row - y0) * (x1 - x0))) // (2 * down))


def filled_hulls(rows: Rows, height: int) -> Rows:
    """The pixels whose middle is inside the hulls or on them, which are `image_convex`."""
    if rows.row.size == 0:
        return rows
    left = left_chain(rows.owner, rows.row, rows.left)
    right = left_chain(rows.owner, rows.row, -rows.right)
    first = np.flatnonzero(np.diff(rows.owner, prepend=-1))
    last = np.append(first, rows.row.size)[1:] - 1
    tall = rows.row[last] - rows.row[first] + 1
    owner = np.repeat(np.arange(first.size), tall)
    offset = rows.row[first] - (np.cumsum(tall) - tall)
    row = np.repeat(offset, tall) + np.arange(owner.size)
    begin = _first_inside(left, owner, row, height)
    end = -_first_inside(right, owner, row, height)
    there = end >= begin
    return Rows(owner[there], row[there], begin[there], end[there])


def areas(hulls: Rows, count: int) -> np.ndarray:
    """Pixels of each hull, (count,) array of float64."""
    pixels = np.bincount(hulls.owner, hulls.right - hulls.left + 1, count)
    # Of nothing, NumPy gives whole numbers.
    return pixels.astype(np.float64, copy=False)


def _corners(rows: Rows) -> Chain:
    """The corners of the hulls in their order around, by object."""
    left = left_chain(rows.owner, rows.row, rows.left)
    right = left_chain(rows.owner, rows.row, -rows.right)
    owner = np.concatenate([left.owner, right.owner])
    y = np.concatenate([left.y, right.y])
    x = np.concatenate([left.x, -right.x])
    # Down the left side, up the right one.
    along = np.concatenate([left.y, 2 * right.y.max(initial=0) + 2 - right.y])
    order = np.lexsort((along, owner))
    return Chain(owner[order], y[order], x[order])


def _blocks(size: np.ndarray) -> Iterator[slice]:
    """Objects, so many at a time that pairs of their corners are about `PAIRS`."""
    begin, pairs = 0, np.cumsum(size * size)
    while begin < size.size:
        before = pairs[begin - 1] if begin else 0
        end = max(int(np.searchsorted(pairs, before + PAIRS, side="right")), begin + 1)
        yield slice(begin, end)
        begin = end


def feret_diameters(hulls: Rows, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest and least distance of two parallel lines between which a hull fits.

    The largest is scikit-image's `feret_diameter_max`; the least is that of the same outline, that
    of filled hulls. CellProfiler's diameters are between middles of pixels, about one pixel less.

    Parameters
    ----------
    hulls : Rows
        As `filled_hulls` gives them.
    count : int
        Number of objects.

    Returns
    -------
    largest, least : (count,) arrays of float64
        In pixels.
    """
    largest, least = np.zeros(count), np.zeros(count)
    owner, y, x = _corners(hulls)
    size = np.bincount(owner, minlength=count)
    start = np.cumsum(size) - size
    following = np.arange(owner.size) + 1
    ends = start + size - 1
    following[ends] = start
    for block in _blocks(size):
        begin, end = start[block][0], ends[block][-1] + 1
        own = owner[begin:end]
        many = size[own]
        first = np.cumsum(many) - many
        one = np.repeat(np.arange(begin, end), many)
        other = np.repeat(start[own] - first, many) + np.arange(one.size)
        dy, dx = y[other] - y[one], x[other] - x[one]
        apart = np.maximum.reduceat(dy * dy + dx * dx, first)
        to_y, to_x = y[following] - y, x[following] - x
        across = np.abs(dy * to_x[one] - dx * to_y[one])
        length = np.hypot(to_y, to_x)[begin:end]
        with np.errstate(all="ignore"):
            width = np.maximum.reduceat(across, first) / length
        # The two sides of the top or bottom of one pixel's width meet in a point.
        width[length == 0] = np.inf
        corner = start[block] - begin
        largest[block] = np.sqrt(np.maximum.reduceat(apart, corner)) / 2
        least[block] = np.minimum.reduceat(width, corner) / 2
    return largest, least
