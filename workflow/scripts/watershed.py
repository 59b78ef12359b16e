"""Stage 4, watershed: from seeds to labelled nuclei."""

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from skimage.measure import label as components
from skimage.segmentation import watershed as flood

from nucleiflow.basins import clear_peaks, climb, saddles
from nucleiflow.batch import open_batch
from nucleiflow.display import for_display
from nucleiflow.distance import distance_transform
from nucleiflow.flat_field import corrected
from nucleiflow.kernel import structuring_element
from nucleiflow.labels import border_pixels
from nucleiflow.lengths import pixels, power_of, side_of_pixel
from nucleiflow.properties import of_intensity, of_objects
from nucleiflow.regions import nearest, quantiles, surroundings


def watershed(
    image: np.ndarray | None,
    mask: np.ndarray,
    markers: np.ndarray,
    method: str,
    options: dict,
    background: bool,
    min_area: int,
    max_area: int | None,
    drop_border: bool,
    split: dict | None = None,
    merge: dict | None = None,
    refine: dict | None = None,
    debris: dict | None = None,
    filters: Sequence[dict] = (),
    preprocessed: np.ndarray | None = None,
    raw: np.ndarray | None = None,
    diameter: float | None = None,
) -> tuple[np.ndarray, dict[str, int]]:
    """Grow the seeds to nuclei, split and merge them by rules, and drop some.

    Parameters
    ----------
    image : (Y, X, 3) array of uint8, RGB, or None
        Flooded by `opencv`.
    mask : (Y, X) array of uint8, 0 or 255
    markers : (Y, X) array of int32
        1 background, 2 and more seeds, 0 unknown.
    method, options
        The name of a function below and its arguments.
    background : bool
        Make the background object 1. Rules and filters do not touch it.
    min_area, max_area : int, or None for no limit
        Nuclei with fewer or more pixels are dropped.
    drop_border : bool
        Drop nuclei that touch the edge of the image.
    split, merge : dict
        Arguments of `split_by_shape` and `merged`; nothing is done where their limits are None.
    refine : dict
        Arguments of `refined`; nothing is done where `level` is None.
    debris : dict
        Arguments of `is_debris`.
    filters : sequence of dict
        `{property, min, max}` in pixels, units of the image or radians; None for no limit.
    preprocessed : (Y, X) array of numbers, or None
        Flooded by `intensity` and `combined`; looked at by a merge by saddles, by `refine` and by
        `debris`.
    raw : (Y, X) array of numbers, or None
        What filters of intensities measure.
    diameter : float or None
        Typical diameter of the nuclei in pixels; None or 0 for that of the median area.

    Returns
    -------
    labels : (Y, X) array of int32
        0 background, 1..n nuclei without gaps, in the order of the markers.
    dropped : dict of int
        How many nuclei each limit dropped, by its name; those that two would drop count for the
        first: `debris`, `min_area`, `max_area`, `drop_border`, and filters in their order.
    """
    surface = image if method == "opencv" else preprocessed
    basins = METHODS[method](surface, mask, markers, **options)
    if split and split["solidity"] is not None:
        basins = split_by_shape(basins, **split, diameter=diameter)
    if merge and (merge["solidity"], merge["saddle"]) != (None, None):
        basins = merged(basins, mask, preprocessed, **merge)
    if refine and refine["level"] is not None:
        basins = refined(basins, preprocessed, diameter, **refine)
    failing = limits(basins, edge(method), min_area, max_area, drop_border)
    if debris and any(debris.values()):
        failing = [("debris", is_debris(basins, preprocessed, diameter, **debris)), *failing]
    keep, dropped = judged(basins, failing)
    if filters:
        labels, numbers = relabelled(basins, keep), np.flatnonzero(keep)
        failing = []
        for name, bad in filtered(labels, raw, filters):
            wrong = np.zeros(keep.size, bool)
            wrong[numbers] = bad
            failing.append((name, wrong))
        still, more = judged(basins, failing, keep)
        keep, dropped = still, dropped | more
    labels = relabelled(basins, keep)
    if background and (basins == 1).any():
        labels[labels > 0] += 1
        labels[basins == 1] = 1
    return labels, dropped


# Methods


def opencv(image: np.ndarray, mask: np.ndarray, markers: np.ndarray) -> np.ndarray:
    """OpenCV's watershed on the colours of the image (Meyer 1992), as in its workshop.

    Returns 1 for background, 2.. for nuclei and 0 for the lines between them, which include the
    outermost pixels of the image.
    """
    basins = cv2.watershed(np.ascontiguousarray(image[..., ::-1]), markers.copy())
    return np.maximum(basins, 0)


def distance(
    image: np.ndarray | None, mask: np.ndarray, markers: np.ndarray, compactness: float
) -> np.ndarray:
    """Each pixel of the mask goes to the seed from which the distance transform leads down to it.

    Returns 0 for background and 2.. for nuclei, which cover all of each object of the mask that
    holds a seed. With `compactness`, so many times the distance to the seed counts as well
    (Neubert and Protzel 2014); both are in pixels.
    """
    # Right to some percent in a fraction of the time of the precise one; as accurate on dsb2018.
    depth = distance_transform(mask, 5)
    return flood_inside(np.negative(depth, out=depth), mask, markers, compactness)


def intensity(
    image: np.ndarray, mask: np.ndarray, markers: np.ndarray, sigma: float, compactness: float
) -> np.ndarray:
    """Each pixel of the mask goes to the seed from which the intensity leads down to it.

    The image is smoothed by a Gaussian of `sigma` pixels before. Returns what `distance` does.
    With `compactness`, intensities count from 0 to half a typical diameter in pixels, the 1st to
    the 99th percentile of the mask, so that the same value does for other cameras.
    """
    smooth = _smoothed(image, sigma)
    if compactness > 0 and mask.any():
        low, high = np.percentile(smooth[mask > 0], (1, 99))
        smooth *= np.float32(_diameter(mask, markers) / 2 / max(high - low, 1e-9))
    return flood_inside(np.negative(smooth, out=smooth), mask, markers, compactness)


def combined(
    image: np.ndarray, mask: np.ndarray, markers: np.ndarray, sigma: float, compactness: float
) -> np.ndarray:
    """Flood the distance transform times the intensity that a pixel has among its like.

    That is the smoothed intensity above the ground nearby, over the mean of the same in the mask
    nearby, so that it is about 1 in bright and in dim nuclei. Nearby is within some diameters.
    Returns what `distance` does; compactness as there.
    """
    if not mask.any():
        return np.zeros_like(markers)
    depth = distance_transform(mask, 5)
    depth *= relative(_smoothed(image, sigma), mask, _diameter(mask, markers))
    return flood_inside(np.negative(depth, out=depth), mask, markers, compactness)


METHODS = {function.__name__: function for function in (distance, intensity, combined, opencv)}


def flood_inside(
    landscape: np.ndarray, mask: np.ndarray, markers: np.ndarray, compactness: float
) -> np.ndarray:
    """The watershed of a landscape inside a mask, from the seeds: scikit-image's."""
    seeds = np.where((markers > 1) & (mask > 0), markers, 0)
    if np.array_equal(seeds > 0, mask > 0):
        # Seeds that leave nothing open, as those of `pieces`.
        return seeds
    # Objects of the mask hang together at corners, too.
    return flood(landscape, seeds, connectivity=2, mask=mask > 0, compactness=compactness)


def relative(image: np.ndarray, mask: np.ndarray, diameter: float) -> np.ndarray:
    """Intensity above ground in units of that of the nuclei nearby, 0 or more.

    Parameters
    ----------
    image : (Y, X) array of float32
    mask : (Y, X) array of uint8, 0 or 255
    diameter : float
        Of the nuclei, in pixels. Ground is what lies outside of the mask within some diameters,
        nuclei nearby what lies inside of it within about one.

    Returns
    -------
    (Y, X) array of float32
    """
    inside = (mask > 0).astype(np.float32)
    height, width = mask.shape
    # Means that are so wide are the same on a smaller image.
    shrink = max(int(diameter / 4), 1)
    small = (-(-width // shrink), -(-height // shrink))
    whole, bright, share = (
        cv2.resize(part, small, interpolation=cv2.INTER_AREA)
        for part in (image, image * inside, inside)
    )
    ground = _mean_nearby(whole - bright, 1 - share, 2 * diameter / shrink)
    level = np.maximum(_mean_nearby(bright, share, diameter / shrink) - ground, 0)
    # Where there are no nuclei nearby, the level means nothing.
    level = np.maximum(level, max(0.01 * float(level.max()), 1e-6))
    ground, level = (cv2.resize(part, (width, height)) for part in (ground, level))
    return np.maximum(image - ground, 0) / level


def _mean_nearby(light: np.ndarray, share: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean of an image over part of its pixels: of all where none is near, 0 of none.

    Takes the sums of their values and their numbers, as means of small areas.
    """
    near, many = (
        cv2.GaussianBlur(part, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        + np.float32(1e-6) * part.mean()
        for part in (light, share)
    )
    return near / np.maximum(many, np.float32(1e-12))


def _smoothed(image: np.ndarray, sigma: float) -> np.ndarray:
    """The image as float32, after a Gaussian of so many pixels; a copy."""
    smooth = image.astype(np.float32)
    if sigma > 0:
        cv2.GaussianBlur(smooth, (0, 0), sigma, dst=smooth, borderType=cv2.BORDER_REPLICATE)
    return smooth


def _diameter(mask: np.ndarray, markers: np.ndarray) -> float:
    """Diameter of a disc that has a seed's share of the mask."""
    area = np.count_nonzero(mask) / max(int(markers.max()) - 1, 1)
    return max(math.sqrt(4 / math.pi * area), 1.0)


# Outlines, and what is no nucleus


def refined(
    basins: np.ndarray, image: np.ndarray, diameter: float | None, level: float, reach: float
) -> np.ndarray:
    """Draw the outline of each nucleus anew, half-way between it and the ground around it.

    Parameters
    ----------
    basins : (Y, X) array of int32
        0 and 1 background, 2.. nuclei.
    image : (Y, X) array of numbers
    diameter : float or None
        Of a typical nucleus in pixels.
    level : float
        From 0, the ground, to 1, the median of the nucleus.
    reach : float
        How far from its present outline a nucleus may end, in diameters.

    Returns
    -------
    basins : (Y, X) array of int32
        Nuclei in one piece (4-connected) without holes or hairs; some can be gone.
    """
    labels = np.where(basins > 1, basins, 0)
    if not labels.any():
        return basins
    diameter = diameter or median_diameter(labels)
    values = image.astype(np.float32)
    owner, distance = nearest(labels)
    ground, height = heights(labels, values, owner, distance, diameter)
    cut = (ground + level * height).astype(np.float32)
    owner[distance > max(reach * diameter, 2)] = 0
    mask = ((values > cut[owner]) & (owner > 0)).view(np.uint8) * np.uint8(255)
    _, outside = cv2.connectedComponents(~mask, connectivity=4)
    open_ = np.zeros(int(outside.max()) + 1, bool)
    open_[border_pixels(outside)] = True
    # Component 0 is the nuclei themselves.
    open_[0] = False
    filled = (~open_[outside]).view(np.uint8)
    kernel = structuring_element("ellipse", 3)
    smooth = cv2.morphologyEx(filled, cv2.MORPH_OPEN, kernel)
    return largest_parts(np.where(smooth > 0, owner, np.minimum(basins, 1)))


def largest_parts(basins: np.ndarray) -> np.ndarray:
    """Of each nucleus the largest part (4-connected); the others become background."""
    nuclei = np.where(basins > 1, basins, 0)
    parts = components(nuclei, connectivity=1, background=0)
    area = np.bincount(parts.ravel())
    owner = np.zeros(area.size, np.intp)
    owner[parts.ravel()] = nuclei.ravel()
    largest = np.zeros(int(nuclei.max()) + 1, np.intp)
    np.maximum.at(largest, owner[1:], area[1:])
    keep = area == largest[owner]
    keep[0] = False
    # Of equal parts, the first.
    chosen = np.flatnonzero(keep)
    _, first = np.unique(owner[chosen], return_index=True)
    keep[:] = False
    keep[chosen[first]] = True
    return np.where(keep[parts], nuclei, np.minimum(basins, 1)).astype(np.int32)


def heights(
    labels: np.ndarray,
    values: np.ndarray,
    owner: np.ndarray,
    distance: np.ndarray,
    diameter: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The ground around each nucleus, and how high its median lies above that.

    The ground is the third decile in a ring of 0.3 diameters, a pixel away from the outline, as
    neighbours and haze are in it, too. A nucleus without such a ring has the darkest twentieth of
    the image.

    Takes labels, the image, and what `nearest` gives. Returns two (largest label + 1,) arrays.
    """
    count = int(labels.max())
    ring = np.where((distance > 1.5) & (distance <= 1 + max(0.3 * diameter, 2)), owner, 0)
    ground = quantiles(ring, values, 0.3, count)
    without = np.bincount(ring.ravel(), minlength=count + 1)[1:] < 4
    if without.any():
        ground[1:][without] = np.quantile(values, 0.05)
    return ground, np.maximum(quantiles(labels, values, 0.5, count) - ground, 0)


def is_debris(
    basins: np.ndarray,
    image: np.ndarray,
    diameter: float | None,
    area: float,
    contrast: float,
    content: float,
) -> np.ndarray:
    """Which nuclei are much less than the others, (largest basin + 1,) array of bool.

    Parameters
    ----------
    basins : (Y, X) array of int32
        0 and 1 background, 2.. nuclei.
    image : (Y, X) array of numbers
    diameter : float or None
        Of a typical nucleus in pixels.
    area : float
        Least area, as a fraction of a disc of this diameter.
    contrast : float
        Least height of the median above the ground around it, as a fraction of that of typical
        nuclei: half of the area of all nuclei belongs to higher ones.
    content : float
        Least area times height, which is what it holds of the stain, as a fraction of a typical
        nucleus.
    """
    labels = np.where(basins > 1, basins, 0)
    bad = np.zeros(int(basins.max()) + 1, bool)
    if not labels.any():
        return bad
    diameter = diameter or median_diameter(labels)
    _, height = heights(labels, image.astype(np.float32), *nearest(labels), diameter)
    pixels_of = np.bincount(labels.ravel(), minlength=bad.size)
    pixels_of[0] = 0
    order = np.argsort(height)
    share = np.cumsum(pixels_of[order])
    typical = height[order][np.searchsorted(share, share[-1] / 2)]
    disc = np.pi / 4 * diameter**2
    bad |= pixels_of < area * disc
    bad |= height < contrast * typical
    bad |= pixels_of * height < content * typical * disc
    bad[:2] = False
    return bad


def median_diameter(labels: np.ndarray) -> float:
    """Diameter of the disc whose area is the median of the nuclei's."""
    areas = np.bincount(labels.ravel())[1:]
    return float(np.sqrt(np.median(areas[areas > 0]) * 4 / np.pi))


def edge(method: str) -> int:
    """Width of the frame of the image in which a method cannot put a nucleus."""
    return 1 if method == "opencv" else 0


# Rules


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
    areas = np.bincount(basins.ravel(), minlength=2)
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
    area = np.bincount(basins.ravel(), minlength=count).astype(float).tolist()
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
    return smooth - surroundings(smooth, (mask > 0) | (basins > 1), 2 * _diameter(mask, basins))


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


# Filters


def limits(
    basins: np.ndarray, frame: int, min_area: int, max_area: int | None, drop_border: bool
) -> list[tuple[str, np.ndarray]]:
    """By the name of a limit the basins that fail it: (largest basin + 1,) arrays of bool."""
    areas = np.bincount(basins.ravel(), minlength=2)
    failing = [("min_area", areas < min_area)]
    if max_area is not None:
        failing.append(("max_area", areas > max_area))
    if drop_border:
        outside = np.zeros(areas.size, bool)
        outside[np.unique(border_pixels(basins, frame))] = True
        failing.append(("drop_border", outside))
    return failing


def filtered(
    labels: np.ndarray, raw: np.ndarray | None, filters: Sequence[dict]
) -> list[tuple[str, np.ndarray]]:
    """By the name of a property the nuclei beyond its limits: (largest label,) arrays of bool.

    A nucleus of which a property has no value is beyond its limits.
    """
    names = list(dict.fromkeys(each["property"] for each in filters))
    table = of_objects(labels, raw, names)
    failing = []
    for each in filters:
        values = table[each["property"]].to_numpy()
        good = ~np.isnan(values)
        if each["min"] is not None:
            good &= values >= each["min"]
        if each["max"] is not None:
            good &= values <= each["max"]
        failing.append((each["property"], ~good))
    return failing


def judged(
    basins: np.ndarray, failing: list[tuple[str, np.ndarray]], keep: np.ndarray | None = None
) -> tuple[np.ndarray, dict[str, int]]:
    """Which basins stay, (largest basin + 1,) array of bool, and how many each limit dropped."""
    if keep is None:
        keep = np.bincount(basins.ravel(), minlength=2) > 0
        keep[:2] = False
    dropped: dict[str, int] = {}
    for name, bad in failing:
        number = np.count_nonzero(keep & bad)
        if number:
            dropped[name] = dropped.get(name, 0) + number
        keep = keep & ~bad
    return keep, dropped


def relabelled(basins: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The basins to keep, numbered 1..n in their order, as int32."""
    return np.where(keep, np.cumsum(keep), 0).astype(np.int32)[basins]


def in_pixels(filters: Sequence[dict], pixel_size_um: float | None) -> list[dict]:
    """Filters with limits in pixels; raises ImageError where the size of a pixel is not known."""

    def number(each: dict, key: str) -> float | None:
        if each[key] is None:
            return None
        return pixels(each[key], pixel_size_um, power_of(each["property"]) or 1)

    return [each | {key: number(each, key) for key in ("min", "max")} for each in filters]


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    settings = dict(settings)
    image = preprocessed = raw = side = None
    mask, method = item.read("mask"), settings["method"]
    view, illumination = settings.pop("view"), settings.pop("illumination", None)
    if "pixel_size_um" in settings:
        stated = settings.pop("pixel_size_um")
        side = side_of_pixel(item.record, mask.shape, stated, view["crop"])
    filters = in_pixels(settings.pop("filters"), side)
    by_intensity = any(of_intensity(each["property"]) for each in filters)
    if (
        method in ("intensity", "combined")
        or settings["merge"]["saddle"] is not None
        or settings["refine"]["level"] is not None
        or any(settings["debris"].values())
    ):
        preprocessed = item.read("preprocessed")
    if method == "opencv" or by_intensity:
        with item.field(view) as field:
            if method == "opencv":
                colors = field.rgb()
                image = for_display(field.image(field.segmented()) if colors is None else colors)
            if by_intensity:
                even = corrected(field, illumination, item.record, exact=True)
                raw = even.image(field.segmented())
    labels, dropped = watershed(
        image,
        mask,
        item.read("markers"),
        **settings,
        filters=filters,
        preprocessed=preprocessed,
        raw=raw,
        diameter=item.record.get("diameter"),
    )
    item.facts["objects"] = int(labels.max())
    item.facts["dropped"] = ", ".join(f"{name} {number}" for name, number in dropped.items())
    return {"labels": labels}


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        batch.map(compute)
