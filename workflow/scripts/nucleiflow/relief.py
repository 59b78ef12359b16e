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
    values : (Y, X) array of numbers
        The image.
    owner : (Y, X) array of int32
        The nucleus nearest to each pixel, 0 where none is near.
    ground, height : (largest label + 1,) arrays of float64
        The intensity around each nucleus, and how far its median lies above that.
    """

    values: np.ndarray
    owner: np.ndarray
    ground: np.ndarray
    height: np.ndarray


def relief_of(basins: np.ndarray, image: np.ndarray, diameter: float, reach: float) -> Relief:
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
    reach : float
        How far from a nucleus what is nearest to it belongs to it, in diameters.
    """
    count = int(basins.max())
    owner, distance = nearest(basins, first=2)
    near = (distance > 1.5) & (distance <= 1 + max(0.3 * diameter, 2))
    near = np.flatnonzero(near)
    ring = owner.ravel().take(near)
    ground = quantiles(ring, image.ravel().take(near), 0.3, count)
    without = np.bincount(ring, minlength=count + 1) < 4
    without[:2] = False
    # What a large image's stage holds at a time is most of its memory.
    del near, ring
    if without.any():
        # Along rows and columns alike: so many pixels apart, all could be of few columns.
        step = max(int((image.size / SAMPLE) ** 0.5), 1)
        ground[without] = np.quantile(image[::step, ::step], 0.05)
    np.copyto(owner, 0, where=distance > max(reach * diameter, 2))
    del distance
    height = np.maximum(quantiles(basins, image, 0.5, count, first=2) - ground, 0)
    return Relief(image, owner, ground, height)


def refined(basins: np.ndarray, relief: Relief, level: float) -> np.ndarray:
    """Draw the outline of each nucleus anew, half-way between it and the ground around it.

    Parameters
    ----------
    basins : (Y, X) array of int32
        0 and 1 background, 2.. nuclei.
    relief : Relief
        Of these nuclei, which end where nothing is theirs.
    level : float
        From 0, the ground, to 1, the median of the nucleus.

    Returns
    -------
    basins : (Y, X) array of int32
        Nuclei in one piece (4-connected) without holes or hairs; some can be gone.
    """
    cut = (relief.ground + level * relief.height).astype(np.float32)
    mask = relief.values > looked_up(cut, relief.owner)
    mask &= relief.owner > 0
    mask = mask.view(np.uint8) * np.uint8(255)
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
    np.copyto(result, relief.owner, where=smooth > 0)
    del filled, smooth
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
