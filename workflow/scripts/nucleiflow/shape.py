"""Shapes of all objects at once, with scikit-image's definitions."""

from collections.abc import Callable

import numpy as np
import scipy

from nucleiflow import moments
from nucleiflow.contours import CROFTON, EULER_4, EULER_8, perimeters, squares
from nucleiflow.convex import areas, feret_diameters, filled_hulls, rows_of
from nucleiflow.runs import Runs, boxes, parts, total

# What is known from moments alone.
INVARIANTS = {"moments_hu", "moments_normalized"}
# What is known from areas, boxes and moments, which the runs alone give.
FROM_RUNS = INVARIANTS | {
    *("num_pixels", "area", "area_bbox", "axis_major_length", "axis_minor_length", "bbox"),
    *("centroid", "centroid_local", "eccentricity", "equivalent_diameter_area", "extent"),
    *("inertia_tensor", "inertia_tensor_eigvals", "moments", "moments_central", "orientation"),
}


def shapes(labels: np.ndarray, runs: Runs, names: set[str]) -> dict[str, np.ndarray]:
    """Some properties of shape, and those that come with them.

    Parameters
    ----------
    labels : (Y, X) array of integers
    runs : Runs
        Those of the labels.
    names : set of str

    Returns
    -------
    dict of (n, ...) arrays
        By the name of the property.
    """
    found = {}
    groups: tuple[tuple[set[str], Callable], ...] = (
        (FROM_RUNS, lambda: from_runs(runs)),
        (INVARIANTS, lambda: invariants(found["moments_central"])),
        ({"perimeter", "form_factor", "compactness"}, lambda: roundness(labels, runs)),
        ({"euler_number", "perimeter_crofton"}, lambda: topology(labels, runs)),
        (
            {"area_convex", "solidity", "feret_diameter_max", "feret_diameter_min"},
            lambda: hulls(runs, bool(names & {"feret_diameter_max", "feret_diameter_min"})),
        ),
        ({"area_filled"}, lambda: {"area_filled": filled_areas(labels, runs)}),
    )
    for group, compute in groups:
        if names & group:
            found |= compute()
    return found


def from_runs(runs: Runs) -> dict[str, np.ndarray]:
    """Everything of `FROM_RUNS` but the invariants."""
    box = boxes(runs)
    corner = box[:, :2].astype(np.float64)
    plain = moments.moments(runs, corner[:, 0], corner[:, 1])
    area = plain[:, 0, 0]
    local = np.stack([plain[:, 1, 0], plain[:, 0, 1]], axis=1) / area[:, None]
    # From sums of whole numbers, so that this is rounded once.
    centroid = (np.stack([plain[:, 1, 0], plain[:, 0, 1]], axis=1) + corner * area[:, None]) / (
        area[:, None]
    )
    central = moments.central_moments(runs, centroid)
    tensors = moments.inertia_tensors(central)
    eigenvalues = moments.eigenvalues(tensors)
    major, minor = eigenvalues.T
    area_bbox = np.prod(box[:, 2:] - box[:, :2], axis=1).astype(np.float64)
    return {
        "num_pixels": area.astype(np.int64),
        "area": area,
        "area_bbox": area_bbox,
        "axis_major_length": 4 * np.sqrt(major),
        "axis_minor_length": 4 * np.sqrt(minor),
        "bbox": box,
        "centroid": centroid,
        "centroid_local": local,
        "eccentricity": np.sqrt(1 - minor / np.where(major > 0, major, 1)) * (major > 0),
        "equivalent_diameter_area": np.sqrt(4 * area / np.pi),
        "extent": area / area_bbox,
        "inertia_tensor": tensors,
        "inertia_tensor_eigvals": eigenvalues,
        "moments": plain,
        "moments_central": central,
        "orientation": moments.orientations(tensors),
    }


def invariants(central: np.ndarray) -> dict[str, np.ndarray]:
    """Moments that do not depend on the size, and those that do not on the angle, either."""
    nu = moments.normalized(central)
    return {"moments_normalized": nu, "moments_hu": moments.hu(nu)}


def roundness(labels: np.ndarray, runs: Runs) -> dict[str, np.ndarray]:
    """Perimeter, and form factor and compactness as CellProfiler has them.

    Form factor is 4 pi area / perimeter**2, 1 for a circle, and compactness is 1 over it. Both are
    missing where the perimeter is 0, as that of one pixel is.
    """
    perimeter = perimeters(labels, runs.numbers)
    circle = 4 * np.pi * total(runs, runs.length)
    square = np.where(perimeter > 0, perimeter**2, np.nan)
    return {
        "perimeter": perimeter,
        "form_factor": circle / square,
        "compactness": square / circle,
    }


def topology(labels: np.ndarray, runs: Runs) -> dict[str, np.ndarray]:
    """Euler number, where pixels hold together at corners, and Crofton's perimeter."""
    counts = squares(labels, runs.numbers)
    return {
        "euler_number": np.rint(counts @ EULER_8).astype(np.int64),
        "perimeter_crofton": counts @ CROFTON,
    }


def hulls(runs: Runs, feret: bool) -> dict[str, np.ndarray]:
    """Convex area and solidity, and Feret diameters where they are asked for."""
    filled = filled_hulls(rows_of(runs), runs.shape[0])
    convex = areas(filled, runs.numbers.size)
    found = {"area_convex": convex, "solidity": total(runs, runs.length) / convex}
    if feret:
        largest, least = feret_diameters(filled, runs.numbers.size)
        found |= {"feret_diameter_max": largest, "feret_diameter_min": least}
    return found


def filled_areas(labels: np.ndarray, runs: Runs) -> np.ndarray:
    """Areas with the holes of objects, which are closed at corners of pixels, too.

    Only the few objects with a hole are looked at one by one.
    """
    area = total(runs, runs.length)
    euler = squares(labels, runs.numbers) @ EULER_4
    # The Euler number is that of parts that hold together at sides, less that of holes.
    holes = parts(runs) - np.rint(euler)
    box = boxes(runs)
    for index in np.flatnonzero(holes > 0):
        top, left, bottom, right = box[index]
        own = labels[top:bottom, left:right] == runs.numbers[index]
        area[index] = np.count_nonzero(scipy.ndimage.binary_fill_holes(own, np.ones((3, 3))))
    return area
