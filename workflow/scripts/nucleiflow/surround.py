"""The background around objects: a robust local value of a channel where there is no object."""

import numpy as np
import scipy

from nucleiflow.convex import Rows
from nucleiflow.intensity import in_order, quantiles

# Side of a tile in typical diameters of an object, and in pixels at least.
DIAMETERS, LEAST = 3, 32
# Every second pixel of every second row tells as much.
STEP = 2
# A tile with less ground than this share of it does not tell.
SHARE = 0.05


def uncovered(rows: Rows, shape: tuple[int, int]) -> np.ndarray:
    """Pixels that are in no object, nor between two pixels of one in their row.

    So a nucleus inside of its cytoplasm is no background of the cytoplasm.
    """
    # One column more, so that the end of an object at the right border is not in the next row.
    width = shape[1] + 1
    change = np.zeros(shape[0] * width, np.int32)
    np.add.at(change, rows.row * width + rows.left, 1)
    np.add.at(change, rows.row * width + rows.right + 1, -1)
    return (np.cumsum(change, dtype=np.int32, out=change) == 0).reshape(shape[0], width)[:, :-1]


def background(rows: Rows, raw: np.ndarray, centroids: np.ndarray, diameter: float) -> np.ndarray:
    """Background of a channel at each object.

    Medians of the pixels outside of objects, in square tiles of three typical diameters (at least
    32 pixels), of every second pixel of every second row; between the middles of tiles linear, at
    the centroid of the object. A tile that has less than 5 % of such pixels has the value of the
    nearest one that has.

    Parameters
    ----------
    rows : Rows
        How far the objects reach in each row.
    raw : (Y, X) array of numbers
        Pixels that are not finite do not count.
    centroids : (n, 2) array of float64
    diameter : float
        Typical diameter of an object in pixels.

    Returns
    -------
    (n,) array of float64
        NaN where no tile of the image has enough pixels outside of objects.
    """
    side = int(max(LEAST, np.ceil(DIAMETERS * diameter)))
    # As many tiles as fit, of a size.
    count = [max(length // side, 1) for length in raw.shape]
    ground = uncovered(rows, raw.shape)[::STEP, ::STEP]
    sampled = raw[::STEP, ::STEP]
    if sampled.dtype.kind == "f":
        ground = ground & np.isfinite(sampled)
    index = [
        np.arange(0, length, STEP) * tiles // length
        for length, tiles in zip(raw.shape, count, strict=True)
    ]
    tile = (index[0][:, None] * count[1] + index[1]).astype(np.int32)
    owner = tile[ground]
    size = np.bincount(owner, minlength=count[0] * count[1])
    # Tiles too poor in ground leave here, so that quantiles meet none that is empty.
    good = size >= np.maximum(SHARE * np.bincount(tile.ravel(), minlength=size.size), 1)
    if not good.any():
        return np.full(len(centroids), np.nan)
    kept = good[owner]
    ordered = in_order(owner[kept], sampled[ground][kept])
    medians = np.zeros(size.size)
    medians[good] = quantiles(ordered, size[good], 0.5)
    good, medians = good.reshape(count), medians.reshape(count)
    nearest = scipy.ndimage.distance_transform_edt(
        ~good, return_distances=False, return_indices=True
    )
    places = [(centroids[:, axis] + 0.5) * count[axis] / raw.shape[axis] - 0.5 for axis in (0, 1)]
    return scipy.ndimage.map_coordinates(medians[tuple(nearest)], places, order=1, mode="nearest")
