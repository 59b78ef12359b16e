"""Crop and resize."""

import cv2
import numpy as np

from nucleiflow.images import ImageError


def size_after(size: tuple[int, int], crop: dict | None, resize: dict | None) -> tuple[int, int]:
    """Rows and columns of an image of so many after `cut_out`."""
    height, width = (crop["height"], crop["width"]) if crop else size
    if resize is None:
        return height, width
    # Truncated as in the workshop: int(new_width * aspect).
    if "width" in resize:
        new_width = resize["width"]
        return max(1, int(new_width * (height / width))), new_width
    if "height" in resize:
        new_height = resize["height"]
        return new_height, max(1, int(new_height * (width / height)))
    return max(1, int(height * resize["factor"])), max(1, int(width * resize["factor"]))


def refuse_outside(size: tuple[int, int], crop: dict | None) -> None:
    """Raise ImageError where a crop reaches out of an image of so many rows and columns."""
    if crop is None:
        return
    x, y, width, height = (crop[key] for key in ("x", "y", "width", "height"))
    if x + width > size[1] or y + height > size[0]:
        raise ImageError(
            f"the crop of {width} x {height} pixels at x={x}, y={y} reaches out of the image "
            f"of {size[1]} x {size[0]} pixels: change preprocess.crop"
        )


def cut_out(image: np.ndarray, crop: dict | None, resize: dict | None) -> np.ndarray:
    """Crop an image, then resize it.

    `crop` is `{x, y, width, height}`, `resize` one of `{factor}`, `{width}` and `{height}`.
    Shape (Y, X) or (Y, X, C) in, the same number of dimensions and the same dtype out.
    """
    refuse_outside(image.shape[:2], crop)
    if crop is not None:
        x, y, width, height = (crop[key] for key in ("x", "y", "width", "height"))
        image = image[y : y + height, x : x + width]
    if resize is not None:
        image = _resized(image, resize)
    return image


def _resized(image: np.ndarray, resize: dict) -> np.ndarray:
    if image.ndim == 3 and image.shape[2] > 4:
        # OpenCV shrinks at most four channels at once.
        return np.dstack([_resized(image[..., index], resize) for index in range(image.shape[2])])
    height, width = image.shape[:2]
    new_height, new_width = size_after((height, width), None, resize)
    # Only these types are known to OpenCV's resize.
    known = image.dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64)
    source = np.ascontiguousarray(image if known else image.astype(np.float64))
    smaller = new_width < width or new_height < height
    result = cv2.resize(
        source,
        (new_width, new_height),
        interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR,
    )
    return result if known else np.rint(result).astype(image.dtype)
