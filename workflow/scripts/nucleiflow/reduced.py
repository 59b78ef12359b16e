"""Smaller images, on which wide filters give the same for less."""

import cv2
import numpy as np


def reduced(image: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of `factor` pixels; where the last ones reach out, edges are continued.

    (Y, X) array of a type that OpenCV resizes; the result has its type.
    """
    # Averaging whole pixels is several times as fast as averaging parts of them.
    below, right = (-side % factor for side in image.shape)
    if below or right:
        image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def enlarged(small: np.ndarray, factor: int, shape: tuple[int, int]) -> np.ndarray:
    """A reduced image in the shape it had, linear between the middles of its squares."""
    size = (small.shape[1] * factor, small.shape[0] * factor)
    return cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)[: shape[0], : shape[1]]
