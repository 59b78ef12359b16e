"""Kernels of morphological filters."""

import cv2
import numpy as np

SHAPES = {
    "rectangle": cv2.MORPH_RECT,
    "ellipse": cv2.MORPH_ELLIPSE,
    "cross": cv2.MORPH_CROSS,
}


def structuring_element(shape: str, size: int) -> np.ndarray:
    """A kernel of `size` x `size` pixels, uint8, by the name of its shape in the config."""
    return cv2.getStructuringElement(SHAPES[shape], (size, size))
