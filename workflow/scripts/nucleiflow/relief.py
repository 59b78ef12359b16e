"""How far nuclei rise above the ground around them: where they end, and what is debris."""

from typing import NamedTuple

import cv2
import numpy as np

from nucleiflow.counting import looked_up
from nucleiflow.kernel import structuring_element
from nucleiflow.labels import border_pixels
from nucleiflow.regions import nearest, quantiles
from nucleiflow.runs import parts_of, pixels, runs_of, some_of

# So many pixels are enough to tell how dark the darkest of an image are.
SAMPLE = 20_000


class Relief(NamedTuple):
    """An image as seen from its nuclei.

    Attributes
    ----------
    values : (Y, X) array of float32
        The image.
    owner, distance : (Y, X) arrays of int32 and float32
        The nucleus nearest to each pixel, and how far it is in pixels.
    ground, height : (largest label + 1,) arrays of float64
        The intensity around each nucleus, and how far its median lies above that.
    """

    values: np.ndarray
    owner: np.ndarray
    distance: np.ndarray
    ground: np.ndarray
    height: np.ndarray


def relief_of(basins: np.ndarray, image: np.ndarray, diameter: float) -> Relief:
    """How far nuclei rise above the ground.

    The ground is the third decile in a ring of 0.3 diameters, a pixel away from the outline, as
    neighbours and haze are in it, too. A nucleus without such a ring has the darkest twentieth of
    the image.

    Parameters
    ----------
    basins : (Y, X) array of int32
        0 and 1 background, 2.. nuclei; some must be there.
    image : (Y, X) array of numbers
    diameter : float
        Of a typical nucleus in pixels.
    """
    labels, values = np.where(basins > 1, basins, 0), image.astype(np.float32)
    count = int(labels.max())
    owner, distance = nearest(labels)
    near = (distance > 1.5) & (distance <= 1 + max(0.3 * diameter, 2))
    ring = owner[near]
    ground = quantiles(ring, values[near], 0.3, count)
    without = np.bincount(ring, minlength=count + 1)[1:] < 4
    del near, ring
    if without.any():
        some = values.ravel()[:: max(values.size // SAMPLE, 1)]
        ground[1:][without] = np.quantile(some, 0.05)
    height = np.maximum(quantiles(labels, values, 0.5, count) - ground, 0)
    return Relief(values, owner, distance, ground, height)


def refined(
    basins: np.ndarray, relief: Relief, diameter: float, level: float, reach: float
) -> np.ndarray:
    """Draw the outline of each nucleus anew, half-way between it and the ground around it.

    Parameters
    ----------
    basins : (Y, X) array of int32
        0 and 1 background, 2.. nuclei.
    relief : Relief
        Of these nuclei.
    diameter : float
        Of a typical nucleus in pixels.
    level : float
        From 0, the ground, to 1, the median of the nucleus.
    reach : float
        How far from its present outline a nucleus may end, in diameters.

    Returns
    -------
    basins : (Y, X) array of int32
        Nuclei in one piece (4-connected) without holes or hairs; some can be gone.
    """
    cut = (relief.ground + level * relief.height).astype(np.float32)
    owner = np.where(relief.distance > max(reach * diameter, 2), 0, relief.owner)
    mask = ((relief.values > looked_up(cut, owner)) & (owner > 0)).view(np.uint8) * np.uint8(255)
    _, outside = cv2.connectedComponents(~mask, connectivity=4)
    closed = np.ones(int(outside.max()) + 1, np.uint8)
    closed[border_pixels(outside)] = 0
    # Component 0 is the nuclei themselves.
    closed[0] = 1
    filled = looked_up(closed, outside)
    del mask, outside
    kernel = structuring_element("ellipse", 3)
    smooth = cv2.morphologyEx(filled, cv2.MORPH_OPEN, kernel)
    result = np.minimum(basins, 1)
    np.copyto(result, owner, where=smooth > 0)
    del owner, filled, smooth
    return largest_parts(result)


def largest_parts(basins: np.ndarray) -> np.ndarray:
    """Of each nucleus the largest part (4-connected); the others become background."""
    runs = runs_of(basins - 1)
    part = parts_of(runs)
    if not part.size:
        return basins.astype(np.int32)
    area = np.bincount(part, runs.length)
    owner = np.zeros(area.size, np.intp)
    owner[part] = runs.owner
    largest = np.zeros(runs.numbers.size)
    np.maximum.at(largest, owner, area)
    # Of equal parts, the first.
    chosen = np.flatnonzero(area == largest[owner])
    _, first = np.unique(owner[chosen], return_index=True)
    lesser = np.ones(area.size, bool)
    lesser[chosen[first]] = False
    result = basins.astype(np.int32)
    result.ravel()[pixels(some_of(runs, lesser[part]))] = 1
    return result


def is_debris(
    areas: np.ndarray,
    relief: Relief,
    diameter: float,
    area: float,
    contrast: float,
    content: float,
) -> np.ndarray:
    """Which nuclei are much less than the others, (largest basin + 1,) array of bool.

    Parameters
    ----------
    areas : (largest basin + 1,) array of int64
        Pixels of each; 0 and 1 are background, 2.. nuclei.
    relief : Relief
        Of these nuclei, whose outlines may have been others.
    diameter : float
        Of a typical nucleus in pixels.
    area : float
        Least area, as a fraction of a disc of this diameter.
    contrast : float
        Least height of the median above the ground around it, as a fraction of that of typical
        nuclei: half of the area of all nuclei belongs to higher ones.
    content : float
        Least area times height, which is what it holds of the stain, as a fraction of a typical
        nucleus.
    """
    areas = areas.copy()
    areas[:2] = 0
    bad = np.zeros(areas.size, bool)
    if not areas.any():
        return bad
    height = relief.height[: bad.size]
    order = np.argsort(height)
    share = np.cumsum(areas[order])
    typical = height[order][np.searchsorted(share, share[-1] / 2)]
    disc = np.pi / 4 * diameter**2
    bad |= areas < area * disc
    bad |= height < contrast * typical
    bad |= areas * height < content * typical * disc
    bad[:2] = False
    return bad
