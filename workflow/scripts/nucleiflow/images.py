"""Pictures of our own: written so that Fiji, napari and QuPath open them."""

from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile

# Rows that are compressed together.
STRIP = 256


class ImageError(ValueError):
    """Why one image cannot be processed, in a sentence for a biologist."""


def full_scale(dtype: np.dtype) -> float:
    """The largest value of so many bits, which is white to CellProfiler; 1 where no integer."""
    return float(2 ** (8 * dtype.itemsize) - 1) if dtype.kind in "ui" else 1.0


def encode_tiff(path: Path, image: np.ndarray) -> None:
    """Write an array as a compressed TIFF of one page."""
    options = {"photometric": "minisblack", "compression": "zlib", "metadata": None}
    if image.dtype == np.int32:
        # On labels and markers zlib-ng is five times as fast as libdeflate, which tifffile uses.
        strips = (image[row : row + STRIP] for row in range(0, len(image), STRIP))
        encoded = (imagecodecs.zlibng_encode(strip.tobytes(), level=1) for strip in strips)
        shape = {"shape": image.shape, "dtype": image.dtype, "rowsperstrip": STRIP}
        tifffile.imwrite(path, encoded, **shape, **options)
    else:
        # Level 1 is nearly as small as level 6 on camera noise, and several times as fast.
        tifffile.imwrite(path, image, compressionargs={"level": 1}, **options)


def decode_tiff(path: Path) -> np.ndarray:
    """Read an array that `encode_tiff` wrote."""
    return tifffile.imread(path)


def encode_picture(rgb: np.ndarray, ending: str) -> bytes:
    """An 8-bit RGB array as the bytes of a `jpg` or `png` file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if ending == "jpg" else []
    done, data = cv2.imencode(f".{ending}", np.ascontiguousarray(rgb[..., ::-1]), options)
    if not done:
        raise RuntimeError(f"OpenCV did not encode a picture of shape {rgb.shape}")
    return data.tobytes()
