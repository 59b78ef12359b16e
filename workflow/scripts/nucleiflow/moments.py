"""Moments of labelled objects, plain and weighted by intensity, with scikit-image's definitions.

Arrays of moments are (n, 4, 4): of row and column to the powers 0 to 3 each.
"""

from math import comb

import numpy as np

from nucleiflow.runs import Runs, begins, total


def _combined(runs: Runs, along: list[np.ndarray], top: np.ndarray) -> np.ndarray:
    """Moments from the sums along each run of the powers of columns."""
    y = runs.row - top[runs.owner]
    sums = [[total(runs, y**p * each) for each in along] for p in range(4)]
    return np.moveaxis(np.array(sums), 2, 0)


def moments(runs: Runs, top: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Moments about a point of each object.

    Exact as long as they are below 2**53 where the point is a whole number of pixels.

    Parameters
    ----------
    runs : Runs
    top, left : (n,) arrays of float64
        Row and column of the point.
    """
    size = runs.length.astype(np.float64)
    middle = runs.start - left[runs.owner] + (size - 1) / 2
    # Sums of powers of consecutive numbers, about their middle, in closed form.
    spread = size * (size * size - 1) / 12
    squares = size * middle * middle
    along = [size, size * middle, squares + spread, middle * (squares + 3 * spread)]
    return _combined(runs, along, top)


def central_moments(runs: Runs, centre: np.ndarray) -> np.ndarray:
    """Moments about the centres of gravity, which `centre` gives: (n, 2) array of float64."""
    # About the pixel next to it sums are exact; only the rest of the way is rounded. So what is
    # symmetric stays so to the last digit.
    near = np.rint(centre)
    sums = moments(runs, near[:, 0], near[:, 1])
    area = np.maximum(sums[:, 0, 0], 1)
    rest = -sums[:, [1, 0], [0, 1]] / area[:, None]
    # Down, then across.
    for axis in range(2):
        power = rest[:, axis, None, None] ** np.arange(4)
        shifted = np.zeros_like(sums)
        for p in range(4):
            for i in range(p + 1):
                shifted[:, p] += comb(p, i) * power[..., p - i] * sums[:, i]
        sums = np.swapaxes(shifted, 1, 2)
    return sums


def weighted_moments(
    runs: Runs, values: np.ndarray, top: np.ndarray, left: np.ndarray
) -> np.ndarray:
    """Moments about a point of each object, pixels weighted by intensity.

    Parameters
    ----------
    runs : Runs
    values : (p,) array of float64
        Intensities of the pixels in the order of `runs.pixels`.
    top, left : (n,) arrays of float64
        Row and column of the point.
    """
    if values.size == 0:
        return np.zeros((runs.numbers.size, 4, 4))
    first = begins(runs)
    column = np.repeat(runs.start - left[runs.owner] - first, runs.length)
    column = column + np.arange(values.size)
    along, weight = [], values
    for _ in range(4):
        along.append(np.add.reduceat(weight, first))
        weight = weight * column
    return _combined(runs, along, top)


def normalized(central: np.ndarray) -> np.ndarray:
    """Moments that do not depend on the size, NaN where row and column have a power below 2."""
    power = np.add.outer(np.arange(4), np.arange(4))
    with np.errstate(all="ignore"):
        result = central / central[:, :1, :1] ** (power / 2 + 1)
    result[:, power < 2] = np.nan
    return result


def hu(nu: np.ndarray) -> np.ndarray:
    """The seven invariants of Hu (1962) of normalized moments, (n, 7) array of float64."""
    n11, n20, n02 = nu[:, 1, 1], nu[:, 2, 0], nu[:, 0, 2]
    n30, n21, n12, n03 = nu[:, 3, 0], nu[:, 2, 1], nu[:, 1, 2], nu[:, 0, 3]
    d, a, b = n20 - n02, n30 - 3 * n12, 3 * n21 - n03
    u, v = n30 + n12, n21 + n03
    s, t = u * (u * u - 3 * v * v), v * (3 * u * u - v * v)
    invariants = (
        n20 + n02,
        d * d + 4 * n11 * n11,
        a * a + b * b,
        u * u + v * v,
        a * s + b * t,
        d * (u * u - v * v) + 4 * n11 * u * v,
        b * s - a * t,
    )
    return np.stack(invariants, axis=1)


def inertia_tensors(central: np.ndarray) -> np.ndarray:
    """Inertia tensors of objects from their central moments, (n, 2, 2) array of float64."""
    area = np.maximum(central[:, 0, 0], 1)
    yy, xx, xy = (central[:, p, q] / area for p, q in ((2, 0), (0, 2), (1, 1)))
    return np.stack([xx, -xy, -xy, yy], axis=1).reshape(-1, 2, 2)


def eigenvalues(tensors: np.ndarray) -> np.ndarray:
    """Eigenvalues of inertia tensors, the larger first, at least 0: (n, 2) array of float64."""
    return np.maximum(np.linalg.eigvalsh(tensors)[:, ::-1], 0)


def orientations(tensors: np.ndarray) -> np.ndarray:
    """Angle of the rows' axis to the major axis, from -pi / 2 to pi / 2, (n,) array of float64.

    As in scikit-image, -pi / 4 where no axis is the longer.
    """
    xx, xy, yy = tensors[:, 0, 0], tensors[:, 0, 1], tensors[:, 1, 1]
    angle = 0.5 * np.arctan2(-2 * xy, yy - xx)
    return np.where(xx == yy, np.where(xy < 0, np.pi / 4, -np.pi / 4), angle)
