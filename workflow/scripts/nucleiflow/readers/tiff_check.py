"""TIFF directories of pages, looked through before tifffile sees them.

tifffile follows a list of pages that runs in a circle of more than 100 pages until memory ends,
takes the end of a file that was cut short for the end of the list, and makes a tuple of as many
numbers as a damaged tag states. TIFF 6.0 and BigTIFF.
"""

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tifffile import TiffFile

# More can only come from a damaged file: tags of a page, parts of a page, bytes of other tags.
MOST_TAGS = 4096
MOST_SEGMENTS = 2**22
MOST_BYTES = 2**29
# Offsets and byte counts of strips, of tiles and of pages below a page.
LISTS_OF_SEGMENTS = (273, 279, 324, 325, 330)
# A network's file system may ask for a buffer of megabytes, which every page would fill anew.
BUFFER = 8192


def open_file(path: Path) -> BinaryIO:
    """A file to be looked through page by page."""
    return path.open("rb", buffering=BUFFER)


def open_tiff(file: Path | BinaryIO) -> TiffFile:
    """A file that was checked; tifffile does not close one that is open already.

    It is kept from looking for files beside this one, for OME-TIFF and for both formats of
    Micro-Manager.
    """
    return TiffFile(file, _multifile=False, is_ome=False, is_mmstack=False, is_ndtiff=False)


def check(file: BinaryIO) -> None:
    """Raise, an error of any type, where not all pages of a file are there or a tag is absurd."""
    for _ in _directories(file):
        pass


def description(file: BinaryIO) -> bytes:
    """The text of the tag ImageDescription of the first page; empty where it has none."""
    order, tags = next(_directories(file))
    for code, _, count, value in tags:
        if code == 270 and len(value) < count <= os.fstat(file.fileno()).st_size:
            file.seek(int.from_bytes(value, "little" if order == "<" else "big"))
            return file.read(count)
    return b""


@contextmanager
def wrong_offsets() -> Iterator[None]:
    """Tell places that no file has, which are damage, from a disk that failed."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise ValueError("an offset beyond what a file can have") from error
        raise


def _directories(file: BinaryIO) -> Iterator[tuple[str, list[tuple[int, int, int, bytes]]]]:
    """Byte order and tags (code, type, count, value or its offset) of one page after the other."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}[head[:2]]
    version = struct.unpack(f"{order}H", head[2:4])[0]
    if version not in (42, 43):
        raise ValueError(f"TIFF of version {version}")
    number, entry, link = ("Q", "HHQ8s", "Q") if version == 43 else ("H", "HHI4s", "I")
    number, entry, link = (struct.Struct(order + each) for each in (number, entry, link))
    offset = link.unpack(head[link.size : 2 * link.size])[0]
    if not offset:
        raise ValueError("no page")
    seen = set()
    while offset:
        if offset in seen or offset >= size:
            raise ValueError(f"page at {offset}")
        seen.add(offset)
        file.seek(offset)
        tags = number.unpack(file.read(number.size))[0]
        if tags > MOST_TAGS:
            raise ValueError(f"{tags} tags")
        entries = list(entry.iter_unpack(file.read(tags * entry.size)))
        for code, _, count, _ in entries:
            if count > (MOST_SEGMENTS if code in LISTS_OF_SEGMENTS else MOST_BYTES):
                raise ValueError(f"tag {code} of {count} values")
        offset = link.unpack(file.read(link.size))[0]
        yield order, entries
