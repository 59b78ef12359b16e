"""What can be measured of labelled objects, by the names of scikit-image's `regionprops`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from skimage.measure import regionprops_table

from nucleiflow import neighbours
from nucleiflow.channels import intensities
from nucleiflow.runs import Runs, runs_of
from nucleiflow.shape import from_runs, shapes

SHAPE = (
    *("num_pixels", "area", "area_bbox", "area_convex", "area_filled", "axis_major_length"),
    *("axis_minor_length", "bbox", "centroid", "centroid_local", "compactness", "eccentricity"),
    *("equivalent_diameter_area", "euler_number", "extent", "feret_diameter_max"),
    *("feret_diameter_min", "form_factor", "inertia_tensor", "inertia_tensor_eigvals", "moments"),
    *("moments_central", "moments_hu", "moments_normalized", "orientation", "perimeter"),
    *("perimeter_crofton", "solidity"),
)
INTENSITY = (
    *("centroid_weighted", "centroid_weighted_local", "intensity_background"),
    *("intensity_edge_max", "intensity_edge_mean", "intensity_edge_min", "intensity_edge_std"),
    *("intensity_edge_sum", "intensity_mad", "intensity_mass_displacement", "intensity_max"),
    *("intensity_mean", "intensity_mean_corrected", "intensity_median", "intensity_min"),
    *("intensity_quartile_lower", "intensity_quartile_upper", "intensity_std", "intensity_sum"),
    *("intensity_sum_corrected", "moments_weighted", "moments_weighted_central"),
    *("moments_weighted_hu", "moments_weighted_normalized"),
)
NEIGHBORS = (
    *("neighbors_density", "neighbors_distance", "neighbors_number", "neighbors_touching"),
)
# All that can be measured, and so all that the config takes.
NAMES = SHAPE + INTENSITY + NEIGHBORS


def of_intensity(name: str) -> bool:
    """Whether a property is one of a channel rather than of the shape."""
    return name.startswith("intensity_") or "_weighted" in name


def of_neighbours(name: str) -> bool:
    """Whether a property is one of the objects around an object."""
    return name.startswith("neighbors_")


def of_objects(labels: np.ndarray, raw: np.ndarray | None, names: Sequence[str]) -> pd.DataFrame:
    """Some properties of every object.

    Values are those of scikit-image's `regionprops_table`, whole numbers exactly and others to nine
    digits; what is left of sums that cancel out is rounding in either. It takes up to 16 bytes a
    pixel where objects cover a third of the image, 50 where they cover all of it.

    Parameters
    ----------
    labels : (Y, X) array of int32
        0 background; numbers may be missing.
    raw : (Y, X) array of numbers, or None
        A channel; None where no property is one of intensity.
    names : sequence of str
        From `NAMES`, or others that scikit-image's `regionprops` knows.

    Returns
    -------
    DataFrame
        One row an object in the order of the labels, with `label` and the properties, in columns
        `NAME-0`, `NAME-1` ... where a property has several numbers.

    Raises
    ------
    TypeError
        Where the labels are no integers.
    ValueError
        Where the channel has another shape, or there is none for a property of intensity.
    """
    runs = runs_of(labels)
    wanted = set(names)
    by_intensity = [name for name in names if of_intensity(name)]
    if by_intensity and raw is None:
        raise ValueError(f"{by_intensity[0]} needs a channel")
    if raw is not None and raw.shape != labels.shape:
        raise ValueError(f"labels have the shape {labels.shape} and the channel {raw.shape}")
    found = shapes(labels, runs, wanted)
    if wanted & set(INTENSITY):
        found |= intensities(labels, runs, raw, wanted)
    if wanted & set(NEIGHBORS):
        found |= surroundings(labels, runs, wanted)
    columns = {"label": runs.numbers.astype(np.int64)}
    for name in names:
        columns |= _columns(name, found[name]) if name in found else _library(labels, raw, name)
    return pd.DataFrame(columns)


def _columns(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of a property, one for each of its numbers."""
    return {
        "-".join(map(str, (name, *index))): values[(slice(None), *index)]
        for index in np.ndindex(values.shape[1:])
    }


def _library(labels: np.ndarray, raw: np.ndarray | None, name: str) -> dict[str, np.ndarray]:
    """Columns of a property that is scikit-image's alone."""
    return regionprops_table(labels, raw, properties=[name])


def surroundings(labels: np.ndarray, runs: Runs, names: set[str]) -> dict[str, np.ndarray]:
    """Properties of the objects around each object, (n,) arrays by name."""
    shape, found = from_runs(runs), {}
    if "neighbors_number" in names:
        found["neighbors_number"] = neighbours.neighbour_counts(labels, runs.numbers)
    if "neighbors_touching" in names:
        found["neighbors_touching"] = neighbours.touching(labels, runs.numbers)
    if "neighbors_distance" in names:
        found["neighbors_distance"] = neighbours.distances(shape["centroid"])
    if "neighbors_density" in names:
        diameter = typical(shape["equivalent_diameter_area"])
        found["neighbors_density"] = neighbours.densities(shape["centroid"], diameter, runs.shape)
    return found


def typical(diameters: np.ndarray) -> float:
    """The median, 0 of none."""
    return float(np.median(diameters)) if diameters.size else 0.0
