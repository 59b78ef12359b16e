"""Pictures of our own: written so that Fiji, napari and QuPath open them."""

import itertools
from collections.abc import Callable
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
# Side of the squares in which a large image is written, so that a part of it is read alone.
SQUARE = 512


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


def encode_large_tiff(
    path: Path,
    shape: tuple[int, int],
    dtype: np.dtype,
    part: Callable[[slice, slice], np.ndarray],
) -> None:
    """Write an image as a TIFF of one page that is never whole in memory.

    `part` gives some rows and columns of it.
    """
    height, width = shape

    def squares():
        for row in range(0, height, SQUARE):
            rows = slice(row, min(row + SQUARE, height))
            strip = part(rows, slice(0, width))
            for column in range(0, width, SQUARE):
                square = np.zeros((SQUARE, SQUARE), dtype)
                piece = strip[:, column : column + SQUARE]
                square[: piece.shape[0], : piece.shape[1]] = piece
                yield _compressed(square.tobytes())

    tifffile.imwrite(
        path,
        squares(),
        shape=shape,
        dtype=dtype,
        tile=(SQUARE, SQUARE),
        compression="zlib",
        photometric="minisblack",
        metadata=None,
        # Where it would not shrink.
        bigtiff=height * width * np.dtype(dtype).itemsize > 2**31,
    )


def decode_tiff(path: Path, rows: slice | None = None, columns: slice | None = None) -> np.ndarray:
    """Read an array that `encode_tiff` or `encode_large_tiff` wrote, or a part of it."""
    if rows is None or columns is None:
        return tifffile.imread(path)
    with tifffile.TiffFile(path) as tiff:
        return read_part(tiff.pages.first, rows, columns)[0, 0, :, :, 0]


def read_part(page: tifffile.TiffPage, rows: slice, columns: slice) -> np.ndarray:
    """Some rows and columns of a page, of which no more is decoded than the strips or tiles there.

    Shape (sample, 1, y, x, sample), as `page.asarray(squeeze=False)` has it.
    """
    key = page.keyframe
    samples, _, height, width, inner = key.shaped
    result = np.zeros(
        (samples, 1, rows.stop - rows.start, columns.stop - columns.start, inner), key.dtype
    )
    tall, wide = (key.tilelength, key.tilewidth) if key.is_tiled else (key.rowsperstrip, width)
    tall = min(tall, height)
    down, across = -(-height // tall), -(-width // wide)
    options = {"_fullsize": False}
    if key.compression in (6, 7, 34892, 33007):
        options |= {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader}
    file = page.parent.filehandle
    for sample, row, column in itertools.product(
        range(samples),
        range(rows.start // tall, -(-rows.stop // tall)),
        range(columns.start // wide, -(-columns.stop // wide)),
    ):
        index = (sample * down + row) * across + column
        file.seek(page.dataoffsets[index])
        data = file.read(page.databytecounts[index])
        segment, _, shape = key.decode(data, index, **options)
        if segment is None:
            raise ValueError("parts of the page were not written")
        top, left = row * tall, column * wide
        bottom, right = top + shape[1], left + shape[2]
        first, last = max(top, rows.start), min(bottom, rows.stop)
        begin, end = max(left, columns.start), min(right, columns.stop)
        result[
            sample,
            0,
            first - rows.start : last - rows.start,
            begin - columns.start : end - columns.start,
        ] = segment[0, first - top : last - top, begin - left : end - left]
    return result


def encode_picture(rgb: np.ndarray, ending: str) -> bytes:
    """An 8-bit RGB array as the bytes of a `jpg` or `png` file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if ending == "jpg" else []
    done, data = cv2.imencode(f".{ending}", np.ascontiguousarray(rgb[..., ::-1]), options)
    if not done:
        raise RuntimeError(f"OpenCV did not encode a picture of shape {rgb.shape}")
    return data.tobytes()
