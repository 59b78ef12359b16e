"""What can be measured of labelled objects, by the names of scikit-image's `regionprops`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from skimage.measure import regionprops_table


def of_intensity(name: str) -> bool:
    """Whether a property is one of a channel rather than of the shape."""
    return name.startswith("intensity_") or "_weighted" in name


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
