"""Pictures of our own: written so that Fiji, napari and QuPath open them."""

import itertools
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import imagecodecs
import numpy as np

from nucleiflow.files import write

if TYPE_CHECKING:
    # Its import takes longer than a small image.
    import tifffile

# Rows that are compressed together.
STRIP = 256
# So many rows tell how much an image shrinks. By less it is not worth the time; by much, the
# quickest way to compress it is good enough.
SOME, WORTH, MUCH = 16, 2, 6
# Of zlib-ng's levels the first takes a tenth less, for files half as large again.
QUICK = 2
# Side of the squares in which a large image is written, so that a part of it is read alone.
SQUARE = 512
# Bytes of an image beyond which places in the file need 64 bits.
LARGE = 2**32 - 2**20
# Bytes of a PNG that belong together; there are no more than 2 GB.
CHUNK = 2**30
# What a TIFF starts with: its kind, where its directory is and how many entries that has. An entry
# is a tag, the type of its values (3 and 4 are integers of 16 and 32 bits), their number, and the
# value itself or the place of several.
START, ENTRY = struct.Struct("<4sIH"), struct.Struct("<HHII")
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
PLACES, SAMPLES, ROWS, LENGTHS, NUMBERS = 273, 277, 278, 279, 339
TYPES = {WIDTH: 4, HEIGHT: 4, BITS: 3, COMPRESSION: 3, PHOTOMETRIC: 3}
TYPES |= {PLACES: 4, SAMPLES: 3, ROWS: 4, LENGTHS: 4, NUMBERS: 3}
BEGIN = START.pack(b"II*\0", 8, len(TYPES))
PLAIN, DEFLATE = 1, 8
# Numbers without sign, with sign, and floats.
KINDS = " uif"


class ImageError(ValueError):
    """Why one image cannot be processed, in a sentence for a biologist."""


def full_scale(dtype: np.dtype) -> float:
    """The largest value of so many bits, which is white to CellProfiler; 1 where no integer."""
    return float(2 ** (8 * dtype.itemsize) - 1) if dtype.kind in "ui" else 1.0


def encode_tiff(path: Path, image: np.ndarray) -> None:
    """Write an array as a TIFF of one page.

    It is compressed unless it would hardly shrink, as noise of 16 bits: to compress that and read
    it again in three stages takes a tenth of all the time. Put together here, as tifffile takes
    longer for that than for the pixels of a small image.
    """
    if image.dtype.kind not in KINDS or image.nbytes > LARGE:
        import tifffile

        options = {"compression": "zlib", "compressionargs": {"level": 1}, "metadata": None}
        tifffile.imwrite(path, image, photometric="minisblack", **options)
        return
    image = np.ascontiguousarray(image)
    encode = _encoder(image)
    rows = STRIP if encode else len(image)
    strips = [image[row : row + rows].data.cast("B") for row in range(0, len(image), rows)]
    if encode:
        strips = [encode(strip) for strip in strips]
    lengths, count = [len(strip) for strip in strips], len(strips)
    # Behind the directory, which ends in four bytes that tell of no other. One value stands in its
    # entry.
    table = len(BEGIN) + len(TYPES) * ENTRY.size + 4
    pixels = table if count == 1 else table + 8 * count
    values = {
        **{WIDTH: image.shape[1], HEIGHT: image.shape[0], BITS: 8 * image.itemsize},
        **{COMPRESSION: DEFLATE if encode else PLAIN, PHOTOMETRIC: 1, SAMPLES: 1, ROWS: rows},
        PLACES: pixels if count == 1 else table,
        LENGTHS: lengths[0] if count == 1 else table + 4 * count,
        NUMBERS: KINDS.index(image.dtype.kind),
    }
    numbers = {PLACES: count, LENGTHS: count}
    entries = [
        ENTRY.pack(tag, kind, numbers.get(tag, 1), values[tag]) for tag, kind in TYPES.items()
    ]
    *places, _ = itertools.accumulate(lengths, initial=pixels)
    several = struct.pack(f"<{2 * count}I", *places, *lengths) if count > 1 else b""
    write(path, [BEGIN, *entries, bytes(4), several, *strips])


def _encoder(image: np.ndarray) -> Callable | None:
    """What compresses an image, None where it would hardly shrink."""
    quick = partial(imagecodecs.zlibng_encode, level=QUICK)
    if image.dtype == np.int32:
        return quick
    first = max(len(image) // 2 - SOME // 2, 0)
    some = image[first : first + SOME]
    shrinks = some.nbytes / max(len(quick(some)), 1)
    # On labels, markers, masks and distances zlib-ng is five times as fast as libdeflate.
    if shrinks >= MUCH and image.dtype in (np.uint8, np.float32):
        return quick
    return partial(imagecodecs.deflate_encode, level=1) if shrinks >= WORTH else None


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
                yield imagecodecs.zlibng_encode(square, level=QUICK)

    import tifffile

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
    """Read an array that `encode_tiff` wrote, or any TIFF that tifffile reads, or a part of it."""
    if rows is not None:
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            return read_part(tiff.pages.first, rows, columns)[0, 0, :, :, 0]
    with path.open("rb") as file:
        start = file.read(len(BEGIN) + len(TYPES) * ENTRY.size)
        values = {}
        if start.startswith(BEGIN):
            values = {tag: value for tag, _, _, value in ENTRY.iter_unpack(start[len(BEGIN) :])}
        if values.keys() != TYPES.keys():
            import tifffile

            return tifffile.imread(path)
        dtype = np.dtype(f"{KINDS[values[NUMBERS]]}{values[BITS] // 8}")
        image, rows = np.empty((values[HEIGHT], values[WIDTH]), dtype), values[ROWS]
        strips = [image[row : row + rows].data.cast("B") for row in range(0, len(image), rows)]
        if len(strips) == 1:
            places, lengths = [values[PLACES]], [values[LENGTHS]]
        else:
            file.seek(values[PLACES])
            table = struct.unpack(f"<{2 * len(strips)}I", file.read(8 * len(strips)))
            places, lengths = table[: len(strips)], table[len(strips) :]
        for strip, place, length in zip(strips, places, lengths, strict=True):
            file.seek(place)
            if values[COMPRESSION] == PLAIN:
                read = file.readinto(strip)
            else:
                read = len(imagecodecs.zlibng_decode(file.read(length), out=strip))
            if read != len(strip):
                raise ValueError(f"{path} is cut short")
    return image


def read_part(page: "tifffile.TiffPage", rows: slice, columns: slice) -> np.ndarray:
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
    if ending == "png":
        return _png(rgb)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(f".{ending}", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not done:
        raise RuntimeError(f"OpenCV did not encode a picture of shape {rgb.shape}")
    return data.tobytes()


def _png(rgb: np.ndarray) -> bytes:
    """A PNG, put together here as zlib-ng takes a quarter of the time of OpenCV and libpng."""
    height, width, _ = rgb.shape
    lines = np.empty((height, 1 + 3 * width), np.uint8)
    # What a line begins with says that each pixel is the difference from the one before.
    lines[:, 0] = 1
    flat = rgb.reshape(height, -1)
    lines[:, 1:4] = flat[:, :3]
    np.subtract(flat[:, 3:], flat[:, :-3], out=lines[:, 4:])
    pixels = memoryview(imagecodecs.zlibng_encode(lines, level=QUICK))
    # 8 bits, RGB, and the only ways of compression and filters that there are, not interlaced.
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks += [(b"IDAT", pixels[at : at + CHUNK]) for at in range(0, len(pixels), CHUNK)]
    written = [b"\x89PNG\r\n\x1a\n"]
    for name, data in (*chunks, (b"IEND", b"")):
        check = zlib.crc32(data, zlib.crc32(name))
        written += [struct.pack(">I", len(data)), name, data, struct.pack(">I", check)]
    return b"".join(written)
