"""How large the nuclei of an image are, before they are told apart."""

import math

import cv2
import numpy as np

from nucleiflow.distance import distance_transform

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
    tops = (height == cv2.dilate(height, np.ones((3, 3), np.uint8))) & (height > SPECK) & (mask > 0)
    _, number = cv2.connectedComponents(tops.astype(np.uint8))
    places = np.flatnonzero(tops)
    _, first = np.unique(number.ravel()[places], return_index=True)
    # Blur rounds off the tops; distances are to the middle of a pixel, half a pixel too far.
    heights = np.sort(distance.ravel()[places[first]]).astype(np.float64) - 0.5
    if not heights.size:
        return 0.0
    weights = np.cumsum(heights)
    middle = heights[np.searchsorted(weights, weights[-1] / 2)]
    return float(min(2 * middle, min(mask.shape)))


def diameter_of_share(mask: np.ndarray, markers: np.ndarray) -> float:
    """Diameter in pixels of a disc with a seed's share of a mask; seeds are numbered from 2."""
    area = np.count_nonzero(mask) / max(int(markers.max()) - 1, 1)
    return max(math.sqrt(4 / math.pi * area), 1.0)


def median_diameter(labels: np.ndarray) -> float:
    """Diameter in pixels of the disc whose area is the median of that of the labelled objects."""
    areas = np.bincount(labels.ravel())[1:]
    return float(np.sqrt(np.median(areas[areas > 0]) * 4 / np.pi))
