"""Intensities of a channel under all objects at once, by the names of their columns."""

from collections.abc import Callable

import numpy as np

from nucleiflow import intensity, moments
from nucleiflow.convex import rows_of
from nucleiflow.labels import outlines
from nucleiflow.runs import Runs, boxes, total
from nucleiflow.surround import background

RANKED = {
    *("intensity_median", "intensity_quartile_lower", "intensity_quartile_upper"),
    "intensity_mad",
}
WEIGHTED = {
    *("centroid_weighted", "centroid_weighted_local", "intensity_mass_displacement"),
    *("moments_weighted", "moments_weighted_central", "moments_weighted_hu"),
    "moments_weighted_normalized",
}
GROUND = {"intensity_background", "intensity_mean_corrected", "intensity_sum_corrected"}
EDGE = {f"intensity_edge_{name}" for name in ("max", "mean", "min", "std", "sum")}


def intensities(
    labels: np.ndarray, runs: Runs, raw: np.ndarray, names: set[str]
) -> dict[str, np.ndarray]:
    """Some properties of intensity, and those that come with them.

    Parameters
    ----------
    labels : (Y, X) array of integers
    runs : Runs
        Those of the labels.
    raw : (Y, X) array of numbers
        The channel.
    names : set of str

    Returns
    -------
    dict of (n, ...) arrays
        By the name of the property. An object with a pixel that is not a number has no value.
    """
    if raw.dtype == bool or raw.dtype == np.float16:
        raw = raw.astype(np.float32)
    # In the order of the pixels of the runs.
    values = raw[labels > 0]
    area = total(runs, runs.length)
    with np.errstate(all="ignore"):
        added = intensity.sums(runs, values)
        mean = added / area
        found = {"intensity_sum": added, "intensity_mean": mean}
        groups: tuple[tuple[set[str], Callable], ...] = (
            ({"intensity_std"}, lambda: _deviation(runs, values, mean)),
            ({"intensity_min", "intensity_max"}, lambda: _extremes(runs, values)),
            (RANKED, lambda: ranked(runs, values)),
            (WEIGHTED, lambda: weighted(runs, values.astype(np.float64))),
            (EDGE, lambda: edges(labels, runs, raw)),
            (GROUND, lambda: corrected(runs, raw, mean, area)),
        )
        for group, compute in groups:
            if names & group:
                found |= compute()
    missing = np.isnan(added)
    if missing.any() and values.dtype.kind == "f":
        missing = total(runs, np.add.reduceat(np.isnan(values), intensity.begins(runs))) > 0
        for name, each in found.items():
            if name != "intensity_background":
                each[missing] = np.nan
    return found


def _deviation(runs: Runs, values: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    return {"intensity_std": intensity.deviations(runs, values, mean)}


def _extremes(runs: Runs, values: np.ndarray) -> dict[str, np.ndarray]:
    low, high = intensity.extremes(runs, values)
    return {"intensity_min": low, "intensity_max": high}


def ranked(runs: Runs, values: np.ndarray) -> dict[str, np.ndarray]:
    """Quartiles, median and median absolute deviation (MAD, not scaled)."""
    size = total(runs, runs.length).astype(np.int64)
    ordered = intensity.in_order(np.repeat(runs.owner, runs.length), values)
    return {
        "intensity_quartile_lower": intensity.quantiles(ordered, size, 0.25),
        "intensity_median": intensity.quantiles(ordered, size, 0.5),
        "intensity_quartile_upper": intensity.quantiles(ordered, size, 0.75),
        "intensity_mad": intensity.median_deviations(ordered, size),
    }


def weighted(runs: Runs, values: np.ndarray) -> dict[str, np.ndarray]:
    """Weighted moments and centroids, and how far these are from the centroids of the pixels.

    That is CellProfiler's mass displacement, in pixels. Missing where intensities add up to 0.
    Pixels of other objects do not count, also where they are not numbers, which scikit-image
    spreads to objects beside.
    """
    corner = boxes(runs)[:, :2].astype(np.float64)
    plain = moments.weighted_moments(runs, values, corner[:, 0], corner[:, 1])
    local = np.stack([plain[:, 1, 0], plain[:, 0, 1]], axis=1) / plain[:, :1, 0]
    centre = local + corner
    central = moments.weighted_moments(runs, values, centre[:, 0], centre[:, 1])
    nu = moments.normalized(central)
    unweighted = moments.moments(runs, corner[:, 0], corner[:, 1])
    middle = np.stack([unweighted[:, 1, 0], unweighted[:, 0, 1]], axis=1) / unweighted[:, :1, 0]
    return {
        "centroid_weighted": centre,
        "centroid_weighted_local": local,
        "intensity_mass_displacement": np.hypot(*(local - middle).T),
        "moments_weighted": plain,
        "moments_weighted_central": central,
        "moments_weighted_hu": moments.hu(nu),
        "moments_weighted_normalized": nu,
    }


def edges(labels: np.ndarray, runs: Runs, raw: np.ndarray) -> dict[str, np.ndarray]:
    """Intensities at the edges of objects, whose pixels are inside of them.

    As in CellProfiler, they are those with another label above, below or beside them; the border
    of the image is no edge. Missing for objects without edge.
    """
    places = np.flatnonzero(outlines(labels))
    owner = np.searchsorted(runs.numbers, labels.ravel()[places])
    found = intensity.at_edges(owner, raw.ravel()[places], runs.numbers.size)
    return {f"intensity_edge_{name}": values for name, values in found.items()}


def corrected(
    runs: Runs, raw: np.ndarray, mean: np.ndarray, area: np.ndarray
) -> dict[str, np.ndarray]:
    """The background at each object, see `surround.background`, and what is above it.

    Of the sum, the background is taken from each pixel.
    """
    sums = moments.moments(runs, np.zeros(area.size), np.zeros(area.size))
    centroids = np.stack([sums[:, 1, 0], sums[:, 0, 1]], axis=1) / area[:, None]
    diameter = float(np.median(np.sqrt(4 * area / np.pi))) if area.size else 0.0
    ground = background(rows_of(runs), raw, centroids, diameter)
    return {
        "intensity_background": ground,
        "intensity_mean_corrected": mean - ground,
        "intensity_sum_corrected": (mean - ground) * area,
    }
