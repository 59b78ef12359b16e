"""What can be measured of labelled objects, by the names of scikit-image's `regionprops`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nucleiflow import columns, neighbours
from nucleiflow.channels import intensities
from nucleiflow.runs import Runs, runs_of
from nucleiflow.shape import from_runs, shapes

if TYPE_CHECKING:
    import pandas as pd

SHAPE, INTENSITY, NEIGHBORS = (
    tuple(column.name for column in kind)
    for kind in (columns.SHAPE, columns.INTENSITY, columns.NEIGHBORS)
)
# All that can be measured, and so all that the config takes.
NAMES = SHAPE + INTENSITY + NEIGHBORS


def of_intensity(name: str) -> bool:
    """Whether a property is one of a channel rather than of the shape."""
    return name.startswith("intensity_") or "_weighted" in name


def of_neighbours(name: str) -> bool:
    """Whether a property is one of the objects around an object."""
    return name.startswith("neighbors_")


def of_objects(labels: np.ndarray, raw: np.ndarray | None, names: Sequence[str]) -> "pd.DataFrame":
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
    # Half a second to import, which watershed's filters do without.
    import pandas as pd

    runs = runs_of(labels)
    table = {"label": runs.numbers.astype(np.int64)}
    for of_property in columns_of_objects(labels, runs, raw, names).values():
        table |= of_property
    return pd.DataFrame(table)


def columns_of_objects(
    labels: np.ndarray, runs: Runs, raw: np.ndarray | None, names: Sequence[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Some properties of every object as arrays: by their names, by those of their columns.

    Takes and raises what `of_objects` does, and the runs of the labels.
    """
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
    return {
        name: _columns(name, found[name]) if name in found else _library(labels, raw, name)
        for name in names
    }


def _columns(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of a property, one for each of its numbers."""
    return {
        "-".join(map(str, (name, *index))): values[(slice(None), *index)]
        for index in np.ndindex(values.shape[1:])
    }


def _library(labels: np.ndarray, raw: np.ndarray | None, name: str) -> dict[str, np.ndarray]:
    """Columns of a property that is scikit-image's alone."""
    from skimage.measure import regionprops_table

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
