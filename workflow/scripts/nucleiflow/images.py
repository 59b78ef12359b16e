"""Image files: read as the camera wrote them, written so that Fiji, napari and QuPath open them."""

import errno
import os
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image

# Errors of the operating system that are the file's own. Others (a disk that does not answer, a
# network file system that went away) must stop the job, so that it is tried again.
OWN_ERRORS = {
    errno.ENOENT: "is not there any more, or is a link to nothing",
    errno.EACCES: "may not be read, check its permissions",
    errno.EPERM: "may not be read, check its permissions",
    errno.EISDIR: "is a directory",
    errno.ELOOP: "is a link that leads back to itself",
}
TIFF_ENDINGS = (".tif", ".tiff")
# Rows that are compressed together.
STRIP = 256


class ImageError(ValueError):
    """Why one image cannot be processed, in a sentence for a biologist."""


def read(path: str | Path) -> np.ndarray:
    """The pixels of an image file.

    Returns
    -------
    image : (Y, X) array, or (Y, X, C) array with the channels in the order red, green, blue
        In the file's own type and with its own values: 12-bit data stay below 4096. Palettes
        are resolved, alpha is dropped.

    Raises
    ------
    ImageError
        Where the file is no image, cut short, or of a kind that is not supported.
    OSError
        Where the disk failed, rather than the file.
    """
    path = Path(path)
    data = _bytes(path)
    image = _read_tiff(path) if path.name.lower().endswith(TIFF_ENDINGS) else _decode(data)
    if image.size == 0:
        raise ImageError("the file holds an image without pixels")
    if image.dtype.kind == "c":
        raise ImageError("the file holds complex numbers, which are not an image of light")
    if image.dtype.kind == "f":
        bad = image.size - np.count_nonzero(np.isfinite(image))
        if bad:
            raise ImageError(f"{bad} pixels are not numbers (NaN or infinite), export it again")
        return image.astype(np.float32) if image.dtype.itemsize == 2 else image
    return image.astype(np.uint8) if image.dtype == bool else image


def megapixels(path: str | Path) -> float | None:
    """The size that a file's header states, or None where it states none."""
    try:
        if str(path).lower().endswith(TIFF_ENDINGS):
            with tifffile.TiffFile(path) as tiff:
                page = tiff.pages.first
                return page.imagelength * page.imagewidth / 1e6
        with Image.open(path) as image:
            return image.width * image.height / 1e6
    except Exception:
        # Whatever is wrong with the file, its job will say it better.
        return None


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


def _bytes(path: Path) -> np.ndarray:
    """The file as bytes, for a TIFF its first ones.

    What users mistake for images is refused.
    """
    try:
        if os.path.getsize(path) == 0:
            raise ImageError("the file is empty (0 bytes), copy it again")
        count = 512 if path.name.lower().endswith(TIFF_ENDINGS) else -1
        data = np.fromfile(path, np.uint8, count)
    except OSError as error:
        if error.errno in OWN_ERRORS:
            raise ImageError(f"the file {OWN_ERRORS[error.errno]}") from None
        raise
    start = data[:512].tobytes().lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        raise ImageError("the file is a Git LFS pointer, not an image: run `git lfs pull`")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ImageError("the file is a web page, not an image: download it again")
    return data


def _decode(data: np.ndarray) -> np.ndarray:
    """PNG, JPEG and BMP through OpenCV, with the channels put into the order of the file."""
    start, end = data[:8].tobytes(), data[-64:].tobytes()
    # OpenCV fills what is missing with black, in silence.
    if start.startswith(b"\x89PNG") and b"IEND" not in end:
        raise ImageError("the PNG file is cut short, copy it again")
    if start.startswith(b"\xff\xd8") and b"\xff\xd9" not in end:
        raise ImageError("the JPEG file is cut short, copy it again")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError("the file is damaged or not a PNG, JPEG or BMP image")
    if image.ndim == 2:
        return image
    if image.shape[2] == 2:
        return image[..., 0]
    return image[..., 2::-1]


def _read_tiff(path: Path) -> np.ndarray:
    damaged = "the TIFF file is damaged or cut short, copy it again"
    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            planes = len(tiff.pages) if len(tiff.series) > 1 else len(series.pages)
            depth = series.keyframe.imagedepth
            planes = depth if series.is_pyramidal else max(planes, depth)
            if planes > 1:
                raise ImageError(
                    f"the file holds {planes} planes, channels or times, one plane a file is read"
                )
            return _plane(series.keyframe, series.keyframe.asarray())
    except (ImageError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise ImageError(damaged) from error
    except Exception as error:
        # tifffile and imagecodecs raise a dozen types for damaged files.
        raise ImageError(damaged) from error


def _plane(page: tifffile.TiffPage, image: np.ndarray) -> np.ndarray:
    """A page's samples as (Y, X) or (Y, X, C), with palette and alpha resolved."""
    kind = page.photometric
    if kind == tifffile.PHOTOMETRIC.SEPARATED:
        raise ImageError("the TIFF file holds CMYK printing colours, export it as grey or RGB")
    image = image.reshape(page.shape)
    if image.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        image = np.moveaxis(image, 0, -1)
    if image.ndim not in (2, 3):
        raise ImageError(f"the TIFF page has the shape {page.shape}, not rows and columns")
    if kind == tifffile.PHOTOMETRIC.PALETTE:
        return _resolve_palette(image, page.colormap)
    if kind == tifffile.PHOTOMETRIC.MINISWHITE:
        top = np.array(2 ** min(page.bitspersample, 8 * image.dtype.itemsize) - 1)
        image = ~image if image.dtype == bool else top.astype(image.dtype) - image
    if image.ndim == 3:
        colors = 3 if kind in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR) else None
        if colors is None and page.extrasamples:
            colors = image.shape[2] - sum(1 for extra in page.extrasamples if extra in (1, 2))
        image = image[..., :colors]
        return image[..., 0] if image.shape[2] == 1 else image
    return image


def _resolve_palette(image: np.ndarray, colormap: np.ndarray) -> np.ndarray:
    """A grey ramp holds the camera's values as its indices; other palettes give colours."""
    if (colormap == colormap[0]).all() and (np.diff(colormap[0].astype(int)) >= 0).all():
        return image
    return np.moveaxis(colormap[:, image] >> 8, 0, -1).astype(np.uint8)
