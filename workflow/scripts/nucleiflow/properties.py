"""What can be measured of labelled objects, by the names of scikit-image's `regionprops`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from skimage.measure import regionprops_table

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

    Parameters
    ----------
    labels : (Y, X) array of int32
    raw : (Y, X) array of numbers, or None
        A channel; None where no property is one of intensity.
    names : sequence of str
        Names of scikit-image's `regionprops`, or `intensity_sum`.

    Returns
    -------
    DataFrame
        One row an object in the order of the labels, with `label` and the properties.
    """
    from_library = [name for name in names if name != "intensity_sum"]
    table = pd.DataFrame(regionprops_table(labels, raw, properties=["label", *from_library]))
    if "intensity_sum" in names:
        table["intensity_sum"] = intensity_sum(labels, raw)[table["label"]]
    return table


def intensity_sum(labels: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Sum of the intensities under each label, (largest label + 1,) array of float64."""
    inside = labels > 0
    return np.bincount(
        labels[inside], weights=raw[inside].astype(np.float64), minlength=int(labels.max()) + 1
    )
