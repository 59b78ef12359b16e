"""The distance transform, the same on every machine."""

import cv2
import numpy as np

MASKS = {3: cv2.DIST_MASK_3, 5: cv2.DIST_MASK_5, "precise": cv2.DIST_MASK_PRECISE}


def distance_transform(mask: np.ndarray, size: int | str) -> np.ndarray:
    """Euclidean distance of each pixel of a mask to the nearest background.

    Parameters
    ----------
    mask : (Y, X) array of uint8, 0 or 255
    size : 3, 5 or "precise"
        Side of the mask with which OpenCV approximates the distance (Borgefors 1986), or its
        exact algorithm (Felzenszwalb and Huttenlocher 2012).

    Returns
    -------
    distance : (Y, X) array of float32, in pixels
        The sum of height and width where there is no background at all.
    """
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, MASKS[size])
    if mask.all():
        # OpenCV answers with infinity where there is no background at all.
        np.minimum(distance, np.float32(sum(mask.shape)), out=distance)
    if size == "precise":
        # OpenCV's last bit depends on where in memory the array begins. The squares of exact
        # distances are whole numbers.
        squares = np.rint(np.square(distance, dtype=np.float64))
        distance = np.sqrt(squares.astype(np.float32))
    return distance
