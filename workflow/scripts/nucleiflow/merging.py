"""Nuclei that touch and belong together become one."""

import heapq
from typing import NamedTuple

import cv2
import numpy as np

from nucleiflow.counting import occurrences
from nucleiflow.hulls import hull_area, hulls
from nucleiflow.regions import surroundings
from nucleiflow.scale import diameter_of_share


class Contacts(NamedTuple):
    """Pairs of pixels of two nuclei that touch: (n,) arrays.

    `first` and `second` are the nuclei, the lower number first; `here` and `there` the pixels on
    both sides, as indices of the flat array with a frame of one pixel. On a line between two
    nuclei both are the pixel on it.
    """

    first: np.ndarray
    second: np.ndarray
    here: np.ndarray
    there: np.ndarray


def contacts(basins: np.ndarray, mask: np.ndarray) -> Contacts:
    """Where nuclei touch, by edges or corners or across a line one pixel wide in the mask.

    Parameters
    ----------
    basins : (Y, X) array of int32
        0 and 1 no nucleus, 2.. nuclei.
    mask : (Y, X) array of uint8, 0 or 255
    """
    framed = np.pad(basins, 1)
    flat, width = framed.ravel(), framed.shape[1]
    inside = np.flatnonzero(flat > 1)
    lines = np.flatnonzero((framed == 0) & (np.pad(mask, 1) > 0))
    found = []
    for step in (1, width - 1, width, width + 1):
        one, other = flat[inside], flat[inside + step]
        touch = np.flatnonzero((other > 1) & (one != other))
        found.append((one[touch], other[touch], inside[touch], inside[touch] + step))
        one, other = flat[lines - step], flat[lines + step]
        touch = np.flatnonzero((one > 1) & (other > 1) & (one != other))
        found.append((one[touch], other[touch], lines[touch], lines[touch]))
    one, other, here, there = (np.concatenate(part) for part in zip(*found, strict=True))
    return Contacts(np.minimum(one, other), np.maximum(one, other), here, there)


def merged(
    basins: np.ndarray,
    mask: np.ndarray,
    image: np.ndarray | None,
    solidity: float | None,
    saddle: float | None,
) -> np.ndarray:
    """Make one of nuclei that touch and belong together.

    Parameters
    ----------
    basins : (Y, X) array of int32
        0 and 1 no nucleus, 2.. nuclei.
    mask : (Y, X) array of uint8, 0 or 255
    image : (Y, X) array of numbers, or None
        Looked at for `saddle` alone.
    solidity : float or None
        Two are merged where together they cover at least this fraction of their convex hull.
    saddle : float or None
        Two are merged where the mean intensity on their border, above ground, is at least this
        fraction of that of the dimmer one.

    Where both are given, both must hold. The pair with the most solid union comes first (without
    `solidity`, that with the shallowest saddle), and what is merged is judged anew with its
    neighbours.

    Returns
    -------
    (Y, X) array of int32
        Merged nuclei have the lowest of their numbers, so that there are gaps. A line between
        them is filled.
    """
    touching = contacts(basins, mask)
    if touching.first.size == 0:
        return basins
    count = int(basins.max()) + 1
    area = occurrences(basins, count).astype(float).tolist()
    # Equal scores are taken from above, whatever the numbers.
    place = np.zeros(count, np.int64)
    place[basins.ravel()[::-1]] = np.arange(basins.size)[::-1]
    place = place.tolist()
    code, pair = np.unique(
        touching.first.astype(np.int64) << 32 | touching.second, return_inverse=True
    )
    length = np.bincount(pair).astype(float)
    light, border = [0.0] * count, np.zeros(code.size)
    if saddle is not None:
        net = _above_ground(image, mask, basins)
        light = np.bincount(basins.ravel(), net.ravel(), count).tolist()
        framed = np.pad(net, 1).ravel()
        border = np.bincount(pair, (framed[touching.here] + framed[touching.there]) / 2)
    outlines = {} if solidity is None else hulls(basins)
    neighbours: dict[int, dict[int, tuple[float, float]]] = {}
    for pair_code, pixels_, sum_ in zip(
        code.tolist(), length.tolist(), border.tolist(), strict=True
    ):
        one, other = pair_code >> 32, pair_code & 0xFFFFFFFF
        neighbours.setdefault(one, {})[other] = (pixels_, sum_)
        neighbours.setdefault(other, {})[one] = (pixels_, sum_)

    def candidate(one: int, other: int) -> tuple | None:
        """How well two belong together, and their hull; None where they do not."""
        score, hull = 1.0, None
        if saddle is not None:
            pixels_, sum_ = neighbours[one][other]
            dimmer = min(light[one] / area[one], light[other] / area[other])
            if sum_ / pixels_ < saddle * dimmer:
                return None
            score = sum_ / pixels_ / max(dimmer, 1e-9)
        if solidity is not None:
            hull = cv2.convexHull(np.concatenate([outlines[one], outlines[other]]))
            score = (area[one] + area[other]) / hull_area(hull)
            if score < solidity:
                return None
        ends = sorted([(place[one], one), (place[other], other)])
        return -score, ends[0][0], ends[1][0], ends[0][1], ends[1][1], area[one] + area[other], hull

    found = (
        candidate(one, other) for one in neighbours for other in neighbours[one] if one < other
    )
    queue = [(*entry[:6], index, entry[6]) for index, entry in enumerate(filter(None, found))]
    heapq.heapify(queue)
    tick, into = len(queue), np.arange(count)
    while queue:
        _, _, _, one, other, union, _, hull = heapq.heappop(queue)
        # What was judged before one of the two grew, or was swallowed, does not count.
        if into[one] != one or into[other] != other or area[one] + area[other] != union:
            continue
        one, other = min(one, other), max(one, other)
        into[other] = one
        area[one], light[one] = union, light[one] + light[other]
        place[one] = min(place[one], place[other])
        if hull is not None:
            outlines[one] = hull
        del neighbours[one][other]
        for beside, (pixels_, sum_) in neighbours.pop(other).items():
            if beside != one:
                more = neighbours[one].get(beside, (0.0, 0.0))
                total = (pixels_ + more[0], sum_ + more[1])
                del neighbours[beside][other]
                neighbours[one][beside] = neighbours[beside][one] = total
        for beside in sorted(neighbours[one], key=place.__getitem__):
            entry = candidate(one, beside)
            if entry:
                heapq.heappush(queue, (*entry[:6], tick, entry[6]))
                tick += 1
    while not np.array_equal(into[into], into):
        into = into[into]
    return _without_lines(into.astype(np.int32)[basins], into, touching)


def _without_lines(result: np.ndarray, into: np.ndarray, touching: Contacts) -> np.ndarray:
    """Lines between nuclei that became one are filled, where no third one and no background is."""
    on_line = (touching.here == touching.there) & (into[touching.first] == into[touching.second])
    lines = np.unique(touching.here[on_line])
    if lines.size == 0:
        return result
    framed = np.pad(result, 1)
    flat, width = framed.ravel(), framed.shape[1]
    steps = np.array((-width - 1, -width, 1 - width, -1, 1, width - 1, width, width + 1))
    around = flat[lines[:, None] + steps]
    highest = around.max(axis=1)
    alone = ((around == 0) | (around == highest[:, None])).all(axis=1)
    flat[lines[alone]] = highest[alone]
    return np.ascontiguousarray(framed[1:-1, 1:-1])


def _above_ground(image: np.ndarray, mask: np.ndarray, basins: np.ndarray) -> np.ndarray:
    """Intensity above that around the nuclei, (Y, X) array of float32."""
    smooth = image.astype(np.float32)
    nuclei, reach = (mask > 0) | (basins > 1), 2 * diameter_of_share(mask, basins)
    return smooth - surroundings(smooth, nuclei, reach)
