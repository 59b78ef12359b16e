"""Images as people look at them."""

import cv2
import numpy as np

from nucleiflow.medians import percentiles

ROWS = 64


def for_display(image: np.ndarray, stretch: bool = True) -> np.ndarray:
    """An image as 8-bit RGB, shape (Y, X, 3), to be looked at.

    8-bit RGB stays as it is. With `stretch`, grey images and other types are scaled so that the
    darkest and the brightest 0.1 % of the pixels are black and white; without it, integers are
    scaled by their type and floats by their range.
    """
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return image
    grey = image if image.ndim == 2 else image.max(axis=2)
    if stretch:
        # A sample of the pixels is enough for two percentiles.
        some = grey[:: 1 + grey.shape[0] // 512, :: 1 + grey.shape[1] // 512]
        low, high = percentiles(some, (0.1, 99.9))
    elif grey.dtype.kind == "u":
        low, high = 0, np.iinfo(grey.dtype).max
    else:
        low, high = grey.min(), grey.max()
    if (low, high) != (0, 255) or grey.dtype != np.uint8:
        grey = _as_8_bit(grey, np.float32(low), np.float32(255 / (high - low) if high > low else 0))
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def _as_8_bit(grey: np.ndarray, low: np.float32, scale: np.float32) -> np.ndarray:
    result = np.empty(grey.shape, np.uint8)
    # Some rows at a time, whose copies stay in the processor's cache.
    for row in range(0, len(grey), ROWS):
        part = grey[row : row + ROWS].astype(np.float32)
        part -= low
        part *= scale
        result[row : row + ROWS] = np.clip(part, 0, 255, out=part)
    return result
