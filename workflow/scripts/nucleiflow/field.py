"""The part of an image that the workflow works on: one channel, cropped and resized."""

import cv2
import numpy as np

from nucleiflow.images import ImageError

COLORS = ("red", "green", "blue")


def cut_out(image: np.ndarray, crop: dict | None, resize: dict | None) -> np.ndarray:
    """Crop an image, then resize it.

    `crop` is `{x, y, width, height}`, `resize` one of `{factor}`, `{width}` and `{height}`.
    Shape (Y, X) or (Y, X, C) in, the same number of dimensions and the same dtype out.
    """
    if crop is not None:
        x, y, width, height = (crop[key] for key in ("x", "y", "width", "height"))
        if x + width > image.shape[1] or y + height > image.shape[0]:
            raise ImageError(
                f"the crop of {width} x {height} pixels at x={x}, y={y} reaches out of the image "
                f"of {image.shape[1]} x {image.shape[0]} pixels: change preprocess.crop"
            )
        image = image[y : y + height, x : x + width]
    if resize is not None:
        image = _resized(image, resize)
    return image


def channel(image: np.ndarray, which: int | str) -> np.ndarray:
    """One channel of an image as a (Y, X) array of the same dtype.

    Parameters
    ----------
    image : (Y, X) or (Y, X, C) array
    which : int or str
        Its index, or `red`, `green` or `blue` where C is 3, or `auto`: the only channel that is
        not black, or the first where all channels are equal.
    """
    if which == "auto":
        return _only_channel(image)
    if which in COLORS:
        if image.ndim != 3 or image.shape[2] != len(COLORS):
            raise ImageError(
                f"the image is not RGB and has no {which} channel: change preprocess.channel"
            )
        return image[..., COLORS.index(which)]
    channels = 1 if image.ndim == 2 else image.shape[2]
    if which >= channels:
        raise ImageError(
            f"there is no channel {which}, the image has {channels} (counted from 0): "
            "change preprocess.channel"
        )
    return image if image.ndim == 2 else image[..., which]


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
        low, high = np.percentile(
            grey[:: 1 + grey.shape[0] // 512, :: 1 + grey.shape[1] // 512], (0.1, 99.9)
        )
    elif grey.dtype.kind == "u":
        low, high = 0, np.iinfo(grey.dtype).max
    else:
        low, high = grey.min(), grey.max()
    if (low, high) != (0, 255) or grey.dtype != np.uint8:
        scale = 255 / (high - low) if high > low else 0.0
        grey = np.clip((grey.astype(np.float32) - np.float32(low)) * np.float32(scale), 0, 255)
        grey = grey.astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def _only_channel(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        return image
    lit = [index for index in range(image.shape[2]) if image[..., index].any()]
    first = image[..., lit[0] if lit else 0]
    if all(np.array_equal(first, image[..., index]) for index in lit[1:]):
        return first
    raise ImageError(
        f"{len(lit)} of the image's {image.shape[2]} channels hold something: set "
        "preprocess.channel to the one with the nuclei (red, green, blue or a number from 0)"
    )


def _resized(image: np.ndarray, resize: dict) -> np.ndarray:
    if image.ndim == 3 and image.shape[2] > 4:
        # OpenCV shrinks at most four channels at once.
        return np.dstack([_resized(image[..., index], resize) for index in range(image.shape[2])])
    height, width = image.shape[:2]
    # Truncated as in the workshop: int(new_width * aspect).
    if "width" in resize:
        new_width = resize["width"]
        new_height = max(1, int(new_width * (height / width)))
    elif "height" in resize:
        new_height = resize["height"]
        new_width = max(1, int(new_height * (width / height)))
    else:
        new_width = max(1, int(width * resize["factor"]))
        new_height = max(1, int(height * resize["factor"]))
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
