"""Pictures of our own: written so that Fiji, napari and QuPath open them."""

from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile

# Rows that are compressed together.
STRIP = 256
# So many rows tell how much an image shrinks. By less it is not worth the time; by much, the
# quickest way to compress it is good enough.
SOME, WORTH, MUCH = 32, 2, 6


class ImageError(ValueError):
    """Why one image cannot be processed, in a sentence for a biologist."""


def full_scale(dtype: np.dtype) -> float:
    """The largest value of so many bits, which is white to CellProfiler; 1 where no integer."""
    return float(2 ** (8 * dtype.itemsize) - 1) if dtype.kind in "ui" else 1.0


def encode_tiff(path: Path, image: np.ndarray) -> None:
    """Write an array as a TIFF of one page.

    It is compressed unless it would hardly shrink, as noise of 16 bits: to compress that and read
    it again in three stages takes a tenth of all the time.
    """
    options = {"photometric": "minisblack", "metadata": None}
    first = max(len(image) // 2 - SOME // 2, 0)
    some = image[first : first + SOME].tobytes()
    shrinks = len(some) / max(len(_compressed(some)), 1)
    if image.dtype == np.int32 or (shrinks >= MUCH and image.dtype == np.uint8):
        # On labels, markers and masks zlib-ng is five times as fast as libdeflate, which tifffile
        # uses.
        strips = (image[row : row + STRIP] for row in range(0, len(image), STRIP))
        encoded = (_compressed(strip.tobytes()) for strip in strips)
        shape = {"shape": image.shape, "dtype": image.dtype, "rowsperstrip": STRIP}
        tifffile.imwrite(path, encoded, compression="zlib", **shape, **options)
    elif shrinks >= WORTH or image.dtype == bool:
        # Level 1 is nearly as small as level 6 on camera noise, and several times as fast.
        args = {"level": 1}
        tifffile.imwrite(path, image, compression="zlib", compressionargs=args, **options)
    else:
        # The pixels by Python's own means: NumPy's do not say why a disk takes no more.
        place, _ = tifffile.imwrite(
            path, shape=image.shape, dtype=image.dtype, returnoffset=True, **options
        )
        with path.open("r+b") as file:
            file.seek(place)
            file.write(np.ascontiguousarray(image).data)


def _compressed(data: bytes) -> bytes:
    return imagecodecs.zlibng_encode(data, level=1)


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
