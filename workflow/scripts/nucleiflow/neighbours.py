"""What is around each object: how many others, how near, and how much they touch."""

import numpy as np
import scipy

from nucleiflow.labels import outlines
from nucleiflow.regions import nearest

# Objects are neighbours that touch once each has grown by so many pixels: CellProfiler's default.
REACH = 5
# Radius within which neighbours are counted for their density, in typical diameters.
RADIUS = 5
# Chords of circles that are held at a time.
CHORDS = 1 << 22


def neighbour_counts(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """How many others touch each object after all of them have grown by `REACH` pixels.

    Each pixel goes to the nearest object, as in scikit-image's `expand_labels`; distances are
    OpenCV's, right to some percent. Touching is at sides of pixels.

    Parameters
    ----------
    labels : (Y, X) array of int32
    numbers : (n,) array
        The labels in ascending order.

    Returns
    -------
    (n,) array of int64
    """
    if numbers.size == 0:
        return np.zeros(0, np.int64)
    grown, distance = nearest(labels)
    grown[distance > REACH] = 0
    pairs = []
    for one, other in ((grown[1:], grown[:-1]), (grown[:, 1:], grown[:, :-1])):
        meet = (one != other) & (one > 0) & (other > 0)
        index = [np.searchsorted(numbers, each[meet]) for each in (one, other)]
        pairs.append(np.minimum(*index) * numbers.size + np.maximum(*index))
    both = np.divmod(np.unique(np.concatenate(pairs)), numbers.size)
    return np.bincount(np.concatenate(both), minlength=numbers.size)


def touching(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Share of an object's edge that is beside another object.

    Edge pixels have another label above, below or beside them; the border of the image is no edge.
    They touch where one of the eight pixels around is of another object.

    Parameters
    ----------
    labels : (Y, X) array of integers
    numbers : (n,) array
        The labels in ascending order.

    Returns
    -------
    (n,) array of float64
        From 0 to 1; 0 for an object without edge.
    """
    framed = np.pad(labels, 1)
    width, flat = framed.shape[1], framed.ravel()
    places = np.flatnonzero(outlines(labels))
    places += 2 * (places // max(labels.shape[1], 1)) + width + 1
    own = flat[places]
    beside = np.zeros(places.size, bool)
    for step in (1, width - 1, width, width + 1):
        for other in (flat[places - step], flat[places + step]):
            beside |= (other > 0) & (other != own)
    owner = np.searchsorted(numbers, own)
    size = np.bincount(owner, minlength=numbers.size)
    return np.bincount(owner, beside, numbers.size) / np.maximum(size, 1)


def distances(centroids: np.ndarray) -> np.ndarray:
    """Distance of each centroid to the nearest other, in pixels, NaN for a single one.

    (n, 2) array of float64 in, (n,) array of float64 out.
    """
    if len(centroids) < 2:
        return np.full(len(centroids), np.nan)
    return scipy.spatial.cKDTree(centroids).query(centroids, k=2)[0][:, 1]


def densities(centroids: np.ndarray, diameter: float, shape: tuple[int, int]) -> np.ndarray:
    """Other objects around each, per square pixel.

    Those whose centroid is within `RADIUS` typical diameters count, over the part of that circle
    that is inside of the image.

    Parameters
    ----------
    centroids : (n, 2) array of float64
    diameter : float
        Typical diameter of an object in pixels.
    shape : rows and columns of the image

    Returns
    -------
    (n,) array of float64
    """
    if len(centroids) == 0:
        return np.zeros(0)
    radius = RADIUS * diameter
    others = (
        scipy.spatial.cKDTree(centroids).query_ball_point(centroids, radius, return_length=True) - 1
    )
    return others / circles_inside(centroids, radius, shape)


def circles_inside(centres: np.ndarray, radius: float, shape: tuple[int, int]) -> np.ndarray:
    """Area of the part of each circle that is inside of an image, as strips a pixel high.

    (n, 2) array of float64 of centres in, (n,) array of float64 in square pixels out.
    """
    steps = np.arange(-np.ceil(radius), np.ceil(radius) + 1)
    areas = np.zeros(len(centres))
    many = max(CHORDS // steps.size, 1)
    for begin in range(0, len(centres), many):
        y, x = centres[begin : begin + many].T
        row = np.rint(y)[:, None] + steps
        half = np.sqrt(np.maximum(radius**2 - (row - y[:, None]) ** 2, 0))
        left = np.maximum(x[:, None] - half, -0.5)
        right = np.minimum(x[:, None] + half, shape[1] - 0.5)
        inside = (row >= 0) & (row < shape[0])
        areas[begin : begin + many] = np.where(inside, right - left, 0).sum(axis=1)
    return areas
