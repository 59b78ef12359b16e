"""Stage 4, watershed: from seeds to labelled nuclei."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from skimage import segmentation

from nucleiflow.batch import open_batch
from nucleiflow.columns import power_of
from nucleiflow.counting import looked_up, occurrences
from nucleiflow.display import for_display
from nucleiflow.distance import distance_transform
from nucleiflow.flat_field import corrected
from nucleiflow.labels import border_pixels
from nucleiflow.lengths import pixels, side_of_pixel
from nucleiflow.merging import merged
from nucleiflow.properties import columns_of_objects, of_intensity
from nucleiflow.reduced import enlarged, reduced
from nucleiflow.relief import is_debris, refined, relief_of
from nucleiflow.runs import runs_of
from nucleiflow.scale import diameter_of_share, median_diameter
from nucleiflow.splitting import split_by_shape

# Settings of `grown`. The others are those of `chosen`.
GROWING = ("options", "split", "merge")


def watershed(
    image: np.ndarray | None,
    mask: np.ndarray,
    markers: np.ndarray,
    method: str,
    preprocessed: np.ndarray | None = None,
    diameter: float | None = None,
    **settings,
) -> tuple[np.ndarray, dict[str, int]]:
    """Grow the seeds to nuclei, split and merge them by rules, and drop some.

    Takes what `grown` and `chosen` take, and returns what `chosen` does.
    """
    known = {"preprocessed": preprocessed, "diameter": diameter}
    growing = {name: settings.pop(name) for name in GROWING if name in settings}
    basins = grown(image, mask, markers, method, **growing, **known)
    return chosen(basins, method, **settings, **known)


def grown(
    image: np.ndarray | None,
    mask: np.ndarray,
    markers: np.ndarray,
    method: str,
    options: dict,
    split: dict | None = None,
    merge: dict | None = None,
    preprocessed: np.ndarray | None = None,
    diameter: float | None = None,
) -> np.ndarray:
    """Grow the seeds to nuclei, and split and merge them by rules.

    Parameters
    ----------
    image : (Y, X, 3) array of uint8, RGB, or None
        Flooded by `opencv`.
    mask : (Y, X) array of uint8, 0 or 255
    markers : (Y, X) array of int32
        1 background, 2 and more seeds, 0 unknown.
    method, options
        The name of a function below and its arguments.
    split, merge : dict
        Arguments of `split_by_shape` and `merged`; nothing is done where their limits are None.
    preprocessed : (Y, X) array of numbers, or None
        Flooded by `intensity` and `combined`; looked at by a merge by saddles.
    diameter : float or None
        Typical diameter of the nuclei in pixels; None or 0 for that of the median area.

    Returns
    -------
    basins : (Y, X) array of int32
        0 and 1 background, 2.. nuclei.
    """
    surface = image if method == "opencv" else preprocessed
    basins = METHODS[method](surface, mask, markers, **options)
    if split and split["solidity"] is not None:
        basins = split_by_shape(basins, **split, diameter=diameter)
    if merge and (merge["solidity"], merge["saddle"]) != (None, None):
        basins = merged(basins, mask, preprocessed, **merge)
    return basins


def chosen(
    basins: np.ndarray,
    method: str,
    background: bool,
    min_area: int,
    max_area: int | None,
    drop_border: bool,
    refine: dict | None = None,
    debris: dict | None = None,
    filters: Sequence[dict] = (),
    preprocessed: np.ndarray | None = None,
    raw: np.ndarray | None = None,
    diameter: float | None = None,
) -> tuple[np.ndarray, dict[str, int]]:
    """Draw the outlines of nuclei anew, and drop some.

    Parameters
    ----------
    basins, method
        What `grown` returned, and by which method.
    background : bool
        Make the background object 1. Rules and filters do not touch it.
    min_area, max_area : int, or None for no limit
        Nuclei with fewer or more pixels are dropped.
    drop_border : bool
        Drop nuclei that touch the edge of the image.
    refine : dict
        `reach` of `relief_of` and `level` of `refined`; nothing is done where `level` is None.
    debris : dict
        Arguments of `is_debris`.
    filters : sequence of dict
        `{property, min, max}` in pixels, units of the image or radians; None for no limit.
    preprocessed : (Y, X) array of numbers, or None
        Looked at by `refine` and by `debris`.
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
    redraw, sort_out = bool(refine and refine["level"] is not None), any((debris or {}).values())
    relief = None
    if (redraw or sort_out) and (basins > 1).any():
        typical = diameter or median_diameter(np.where(basins > 1, basins, 0))
        relief = relief_of(basins, preprocessed, typical, refine["reach"] if redraw else 0)
    if redraw and relief is not None:
        basins = refined(basins, relief, refine["level"])
    areas = occurrences(basins, 2)
    failing = limits(basins, areas, edge(method), min_area, max_area, drop_border)
    if sort_out and relief is not None:
        failing = [("debris", is_debris(areas, relief, typical, **debris)), *failing]
    keep = areas > 0
    keep[:2] = False
    keep, dropped = judged(keep, failing)
    if filters:
        labels, numbers = relabelled(basins, keep), np.flatnonzero(keep)
        failing = []
        for name, bad in filtered(labels, raw, filters):
            wrong = np.zeros(keep.size, bool)
            wrong[numbers] = bad
            failing.append((name, wrong))
        keep, more = judged(keep, failing)
        dropped |= more
    return relabelled(basins, keep, background and areas[1] > 0), dropped


# Methods


def opencv(image: np.ndarray, mask: np.ndarray, markers: np.ndarray) -> np.ndarray:
    """OpenCV's watershed on the colours of the image (Meyer 1992), as in its workshop.

    Returns 1 for background, 2.. for nuclei and 0 for the lines between them, which include the
    outermost pixels of the image.
    """
    basins = cv2.watershed(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), markers.copy())
    return np.maximum(basins, 0, out=basins)


def distance(
    image: np.ndarray | None, mask: np.ndarray, markers: np.ndarray, compactness: float
) -> np.ndarray:
    """Each pixel of the mask goes to the seed from which the distance transform leads down to it.

    Returns 0 for background and 2.. for nuclei, which cover all of each object of the mask that
    holds a seed. With `compactness`, so many times the distance to the seed counts as well
    (Neubert and Protzel 2014); both are in pixels.
    """
    # Right to some percent in a fraction of the time of the precise one; as accurate on dsb2018.
    return flood_inside(lambda: distance_transform(mask, 5), mask, markers, compactness)


def intensity(
    image: np.ndarray, mask: np.ndarray, markers: np.ndarray, sigma: float, compactness: float
) -> np.ndarray:
    """Each pixel of the mask goes to the seed from which the intensity leads down to it.

    The image is smoothed by a Gaussian of `sigma` pixels before. Returns what `distance` does.
    With `compactness`, intensities count from 0 to half a typical diameter in pixels, the 1st to
    the 99th percentile of the mask, so that the same value does for other cameras.
    """

    def height() -> np.ndarray:
        smooth = _smoothed(image, sigma)
        if compactness > 0 and mask.any():
            low, high = np.percentile(smooth[mask > 0], (1, 99))
            smooth *= np.float32(diameter_of_share(mask, markers) / 2 / max(high - low, 1e-9))
        return smooth

    return flood_inside(height, mask, markers, compactness)


def combined(
    image: np.ndarray, mask: np.ndarray, markers: np.ndarray, sigma: float, compactness: float
) -> np.ndarray:
    """Flood the distance transform times the intensity that a pixel has among its like.

    That is the smoothed intensity above the ground nearby, over the mean of the same in the mask
    nearby, so that it is about 1 in bright and in dim nuclei. Nearby is within some diameters.
    Returns what `distance` does; compactness as there.
    """

    def height() -> np.ndarray:
        depth = distance_transform(mask, 5)
        depth *= relative(_smoothed(image, sigma), mask, diameter_of_share(mask, markers))
        return depth

    return flood_inside(height, mask, markers, compactness)


METHODS = {function.__name__: function for function in (distance, intensity, combined, opencv)}


def flood_inside(
    height: Callable[[], np.ndarray], mask: np.ndarray, markers: np.ndarray, compactness: float
) -> np.ndarray:
    """The watershed of a landscape upside down inside a mask, from the seeds: scikit-image's.

    `height` gives the landscape, an array of its own of float32, where something is left to flood.
    """
    inside = mask > 0
    taken = (markers > 1) & inside
    seeds = markers * taken
    if np.count_nonzero(taken) == np.count_nonzero(inside):
        # Seeds that leave nothing open, as those of `pieces`.
        return seeds
    landscape = height()
    np.negative(landscape, out=landscape)
    # Objects of the mask hang together at corners, too.
    return segmentation.watershed(
        landscape, seeds, connectivity=2, mask=inside, compactness=compactness
    )


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
    shrink = max(int(diameter / 3), 1)
    whole, bright, share = (reduced(part, shrink) for part in (image, image * inside, inside))
    ground = _mean_nearby(whole - bright, 1 - share, 2 * diameter / shrink)
    level = np.maximum(_mean_nearby(bright, share, diameter / shrink) - ground, 0)
    # Where there are no nuclei nearby, the level means nothing.
    level = np.maximum(level, max(0.01 * float(level.max()), 1e-6))
    ground, level = (enlarged(part, shrink, mask.shape) for part in (ground, level))
    net = image - ground
    np.maximum(net, 0, out=net)
    return np.divide(net, level, out=net)


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


def edge(method: str) -> int:
    """Width of the frame of the image in which a method cannot put a nucleus."""
    return 1 if method == "opencv" else 0


# Filters


def limits(
    basins: np.ndarray,
    areas: np.ndarray,
    frame: int,
    min_area: int,
    max_area: int | None,
    drop_border: bool,
) -> list[tuple[str, np.ndarray]]:
    """By the name of a limit the basins that fail it: (largest basin + 1,) arrays of bool."""
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
    table = columns_of_objects(labels, runs_of(labels), raw, names)
    failing = []
    for each in filters:
        values = table[each["property"]][each["property"]]
        good = ~np.isnan(values)
        if each["min"] is not None:
            good &= values >= each["min"]
        if each["max"] is not None:
            good &= values <= each["max"]
        failing.append((each["property"], ~good))
    return failing


def judged(
    keep: np.ndarray, failing: list[tuple[str, np.ndarray]]
) -> tuple[np.ndarray, dict[str, int]]:
    """Which of the basins to keep stay, (n,) arrays of bool, and how many each limit dropped."""
    dropped: dict[str, int] = {}
    for name, bad in failing:
        number = np.count_nonzero(keep & bad)
        if number:
            dropped[name] = dropped.get(name, 0) + number
        keep = keep & ~bad
    return keep, dropped


def relabelled(basins: np.ndarray, keep: np.ndarray, background: bool = False) -> np.ndarray:
    """The basins to keep, numbered in their order from 1, or after a background that is 1."""
    number = np.where(keep, np.cumsum(keep) + background, 0).astype(np.int32)
    number[1] = background
    return looked_up(number, basins)


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
    method = settings["method"]
    view, illumination = settings.pop("view"), settings.pop("illumination", None)
    if "pixel_size_um" in settings:
        stated = settings.pop("pixel_size_um")
        side = side_of_pixel(item.record, item.read("mask").shape, stated, view["crop"])
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
    known = {"preprocessed": preprocessed, "diameter": item.record.get("diameter")}
    growing = {name: settings.pop(name) for name in GROWING}
    # What a large image's stage holds at a time is most of its memory: mask and markers go now.
    basins = grown(image, item.read("mask"), item.read("markers"), method, **growing, **known)
    labels, dropped = chosen(basins, **settings, filters=filters, raw=raw, **known)
    item.facts["objects"] = int(labels.max())
    item.facts["dropped"] = ", ".join(f"{name} {number}" for name, number in dropped.items())
    return {"labels": labels}


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        batch.map(compute)
