"""Nuclei that are not solid are cut at their waists."""

import heapq
import math

import numpy as np

from nucleiflow.basins import clear_peaks, climb, saddles
from nucleiflow.counting import occurrences
from nucleiflow.distance import distance_transform
from nucleiflow.hulls import hull_area, hulls


def split_by_shape(
    basins: np.ndarray,
    solidity: float,
    h: float,
    min_part: float,
    diameter: float | None = None,
) -> np.ndarray:
    """Cut nuclei that are not solid at their waists.

    Parameters
    ----------
    basins : (Y, X) array of int32
        0 and 1 no nucleus, 2.. nuclei.
    solidity : float
        Nuclei that cover less than this fraction of their convex hull are looked at; no other
        one is touched.
    h : float
        Their parts are the peaks of their distance transform, each without its neighbours, that
        rise by more than this above the saddle to any higher one, in pixels.
    min_part : float
        Parts smaller than this fraction of the typical area join the one across the highest
        saddle.
    diameter : float or None
        Typical diameter in pixels; None or 0 for that of the median area of the nuclei.

    Returns
    -------
    (Y, X) array of int32
        The same with the parts of a nucleus numbered one after another in its place.
    """
    areas = occurrences(basins, 2)
    areas[:2] = 0
    numbers = np.flatnonzero(areas)
    if numbers.size == 0:
        return basins
    typical = math.pi / 4 * diameter**2 if diameter else float(np.median(areas[numbers]))
    smallest = min_part * typical
    hull_areas = {number: hull_area(hull) for number, hull in hulls(basins).items()}
    loose = np.zeros(areas.size, bool)
    for number in numbers.tolist():
        loose[number] = areas[number] < solidity * hull_areas[number]
    loose &= areas >= max(2 * smallest, 2)
    if not loose.any():
        return basins
    # The frame gives every pixel eight neighbours.
    objects = np.pad(np.where(loose[basins], basins, 0), 1)
    inside = np.flatnonzero(objects)
    height = np.full(objects.shape, -1, np.float32)
    height[1:-1, 1:-1] = distance_transform(apart(objects)[1:-1, 1:-1], 5)
    height[objects == 0] = -1
    number_of = objects.ravel()
    slope, peaks = climb(height, inside)
    level, first, second = saddles(height, inside, slope)
    same = number_of[peaks[first]] == number_of[peaks[second]]
    owner = clear_peaks(height.ravel()[peaks], level[same], first[same], second[same], h, 0.0)
    code = number_of[inside].astype(np.int64) << 32 | owner[slope[inside]]
    codes, part = np.unique(code, return_inverse=True)
    parts = np.full(objects.size, -1, np.int32)
    parts[inside] = part
    level, first, second = saddles(height, inside, parts)
    whole = codes >> 32
    same = whole[first] == whole[second]
    sizes = np.bincount(part)
    joined = large_enough(sizes, whole, level[same], first[same], second[same], smallest)
    # Parts in the order of their objects, and in it of their peaks, that is from above.
    kept = np.flatnonzero(joined == np.arange(joined.size))
    extra = np.bincount(whole[kept], minlength=areas.size)
    extra[loose] -= 1
    start = np.arange(areas.size) + np.cumsum(extra) - extra
    number = np.zeros(joined.size, np.int64)
    number[kept] = start[whole[kept]] + np.arange(kept.size) - _first_of_runs(whole[kept])
    result = np.pad(start[basins], 1)
    result.ravel()[inside] = number[joined][part]
    return np.ascontiguousarray(result[1:-1, 1:-1], np.int32)


def apart(objects: np.ndarray) -> np.ndarray:
    """A mask, 0 or 255, of objects without the pixels beside another one; the frame is empty."""
    mask = (objects > 0).astype(np.uint8) * np.uint8(255)
    flat, width = objects.ravel(), objects.shape[1]
    inside = np.flatnonzero(flat)
    for step in (1, width - 1, width, width + 1):
        here = inside[(flat[inside + step] > 0) & (flat[inside + step] != flat[inside])]
        mask.ravel()[here] = mask.ravel()[here + step] = 0
    return mask


def large_enough(
    sizes: np.ndarray,
    whole: np.ndarray,
    level: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    smallest: float,
) -> np.ndarray:
    """The part that each part joins, so that all are large enough, or one object is left whole.

    Parameters
    ----------
    sizes, whole : (n,) arrays
        Pixels of each part and the object that it is a part of.
    level, first, second : (m,) arrays
        Saddles between parts of an object.
    smallest : float
        In pixels. The smallest part comes first and joins the one across its highest saddle.

    Returns
    -------
    (n,) array of int
        The number of a part that stays, for those that stay their own.
    """
    neighbours: dict[int, dict[int, float]] = {}
    for height, one, other in zip(level.tolist(), first.tolist(), second.tolist(), strict=True):
        neighbours.setdefault(one, {})[other] = height
        neighbours.setdefault(other, {})[one] = height
    size, joined = sizes.tolist(), np.arange(sizes.size)
    small = [(area, part) for part, area in enumerate(size) if area < smallest]
    heapq.heapify(small)
    while small:
        area, part = heapq.heappop(small)
        if joined[part] != part or area != size[part]:
            continue
        around = neighbours.pop(part, {})
        if around:
            target = min(around, key=lambda other: (-around[other], other))
        else:
            # What hangs nowhere on the rest of its object belongs to it all the same.
            others = np.flatnonzero((whole == whole[part]) & (joined == np.arange(joined.size)))
            others = others[others != part]
            if others.size == 0:
                continue
            target = int(others[np.argmax([size[other] for other in others])])
        joined[part] = target
        size[target] += size[part]
        for other, height in around.items():
            del neighbours[other][part]
            if other != target:
                highest = max(height, neighbours[other].get(target, -math.inf))
                neighbours[other][target] = neighbours[target][other] = highest
        if size[target] < smallest:
            heapq.heappush(small, (size[target], target))
    while not np.array_equal(joined[joined], joined):
        joined = joined[joined]
    return joined


def _first_of_runs(values: np.ndarray) -> np.ndarray:
    """For each of some sorted values the place of the first one like it."""
    return np.searchsorted(values, values)
