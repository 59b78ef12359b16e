"""How large the nuclei of an image are, before they are told apart."""

import math

import cv2
import numpy as np

from nucleiflow.counting import occurrences
from nucleiflow.distance import distance_transform
from nucleiflow.runs import components

SIGMA = 1.0
# Heights in pixels up to which peaks of the distance are specks and roughness of outlines.
SPECK = 1.5


def diameter(mask: np.ndarray) -> float:
    """Typical diameter of the nuclei in a mask, also where they touch.

    Twice the median distance to the background at the peaks of the smoothed distance, weighted by
    that distance: neither many specks nor a few clumps outweigh the nuclei. Of elongated nuclei
    it is the shorter diameter.

    Parameters
    ----------
    mask : (Y, X) array of uint8, 0 or 255

    Returns
    -------
    diameter : float, in pixels
        0.0 where there is no nucleus of more than some pixels. No longer than the shorter side of
        the image.
    """
    distance = distance_transform(mask, 5)
    height = cv2.GaussianBlur(distance, (0, 0), SIGMA)
    # In a flat region all pixels are as high as their neighbours; it is one peak.
    tops = cv2.compare(height, cv2.dilate(height, np.ones((3, 3), np.uint8)), cv2.CMP_EQ)
    tops &= mask
    places = np.flatnonzero((tops > 0) & (height > SPECK))
    if not places.size:
        return 0.0
    _, first = np.unique(groups(places, tops.shape[1]), return_index=True)
    # Blur rounds off the tops; distances are to the middle of a pixel, half a pixel too far.
    heights = np.sort(distance.ravel()[places[first]]).astype(np.float64) - 0.5
    weights = np.cumsum(heights)
    middle = heights[np.searchsorted(weights, weights[-1] / 2)]
    return float(min(2 * middle, min(mask.shape)))


def groups(places: np.ndarray, width: int) -> np.ndarray:
    """Which pixels hang together at sides or corners, as numbers from 0 in the order of the first.

    Takes places in a flat image, few of its pixels in ascending order, and the image's width.
    """
    row, column = np.divmod(places, width)
    # A row longer by one, so that the ends of a row do not touch the next one.
    wide = row * (width + 1) + column
    pairs = []
    for step in (1, width, width + 1, width + 2):
        beside = np.searchsorted(wide, wide + step)
        one = np.flatnonzero(wide[np.minimum(beside, wide.size - 1)] == wide + step)
        pairs.append((one, beside[one]))
    return components(*np.concatenate(pairs, axis=1), places.size)


def diameter_of_share(mask: np.ndarray, markers: np.ndarray) -> float:
    """Diameter in pixels of a disc with a seed's share of a mask; seeds are numbered from 2."""
    area = np.count_nonzero(mask) / max(int(markers.max()) - 1, 1)
    return max(math.sqrt(4 / math.pi * area), 1.0)


def median_diameter(labels: np.ndarray) -> float:
    """Diameter in pixels of the disc whose area is the median of that of the labelled objects."""
    areas = occurrences(labels)[1:]
    return float(np.sqrt(np.median(areas[areas > 0]) * 4 / np.pi))
