"""ZEISS CZI files.

Read with pylibCZIrw, ZEISS's own library: it knows every compression of the format, composes the
tiles of a mosaic and reads those of one plane only. It pulls in packages that are not used here
(cmake, xmltodict, validators); czifile, the alternative, loads a whole scene at once.

The library trusts the numbers of a file, and wrong ones end the process, and with it the work on
all other images. So the directory of tiles, and the header of each tile before it is read, are
looked at here first. Their layout is that of libCZI's `CziStructs.h`.
"""

import functools
import os
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np

from nucleiflow.images import ImageError
from nucleiflow.readers import Channel, Scene, vendor

# By their number in the file: what libCZI calls the types of pixels, and their numpy type.
PIXEL_TYPES = {
    0: ("Gray8", np.dtype(np.uint8)),
    1: ("Gray16", np.dtype(np.uint16)),
    2: ("Gray32Float", np.dtype(np.float32)),
    3: ("Bgr24", np.dtype(np.uint8)),
    4: ("Bgr48", np.dtype(np.uint16)),
    8: ("Bgr96Float", np.dtype(np.float32)),
}
# The name of a segment, its space and its size; then what it holds, of a tile 16 bytes of sizes.
SEGMENT = struct.Struct("<16sqq")
TILE_SIZES = struct.Struct("<iiq")
# Of a tile: schema, type of pixels, position, part, compression, pyramid, number of dimensions;
# of a dimension: name, start, size, coordinate, stored size.
ENTRY = struct.Struct("<2siqii6xi")
DIMENSION = struct.Struct("<4siifi")
DIRECTORY_AT = 84
ENTRIES_AT = 128
# The format knows twelve.
MAX_DIMENSIONS = 16
# Axes that a scene does not have.
OTHER_AXES = {
    "R": "rotations",
    "I": "illuminations",
    "H": "phases",
    "V": "views",
    "B": "blocks",
}
# Names of detectors, which say less than the dye.
DETECTOR = re.compile(r"(Ch(S|A)?\d*|T ?PMT\d*|ESID|Airyscan|Track ?\d+)(-T\d+)?", re.IGNORECASE)
IMAGE = "./Metadata/Information/Image/"


@contextmanager
def opened(path: Path) -> Iterator[list[Scene]]:
    """The scenes of a CZI file, mosaics composed; its headers are read and nothing else.

    Raises
    ------
    ImageError
        Where pylibCZIrw is missing, or the file is of a kind that is not supported.
    RuntimeError, xml.etree.ElementTree.ParseError
        Where the file is damaged.
    """
    czi = vendor.library("pylibCZIrw.czi", "CZI")
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        with vendor.header(), _disk_errors():
            tiles = _tiles(file, path.stat().st_size)
            reader = stack.enter_context(czi.open_czi(str(path)))
            metadata = ElementTree.fromstring(reader.raw_metadata or "<ImageDocument/>")
        _refuse_brightfield(metadata)
        if not tiles:
            raise ImageError("the CZI file holds no image")
        names = vendor.distinct(_scene_names(metadata, list(tiles)))
        yield [
            _scene(reader, file, metadata, name, index, tiles[index])
            for name, index in zip(names, tiles, strict=True)
        ]


@dataclass(frozen=True)
class Tile:
    """Where the header of a tile is in the file, and where the tile is in its scene."""

    position: int
    pixel_type: int
    # Along axes other than X and Y.
    where: dict[str, int]
    # Left, top, right, bottom.
    rect: tuple[int, int, int, int]


def _tiles(file: BinaryIO, size: int) -> dict[int | None, list[Tile]]:
    """The tiles of each scene at full resolution, from the directory of the file."""
    start = file.read(SEGMENT.size + DIRECTORY_AT)
    if not start.startswith(b"ZISRAWFILE"):
        raise ValueError("no CZI file")
    (place,) = struct.unpack_from("<q", start, DIRECTORY_AT)
    file.seek(place)
    name, _, length = SEGMENT.unpack(file.read(SEGMENT.size))
    if not name.startswith(b"ZISRAWDIRECTORY") or not ENTRIES_AT <= length <= size - place:
        raise ValueError("no directory")
    data = file.read(length)
    (count,) = struct.unpack_from("<i", data)
    scenes = defaultdict(list)
    at = ENTRIES_AT
    for _ in range(count):
        tile, scene, pyramid = _tile(data, at, size)
        if not pyramid:
            scenes[scene].append(tile)
        at += ENTRY.size + DIMENSION.size * ENTRY.unpack_from(data, at)[-1]
    return dict(sorted(scenes.items(), key=lambda item: item[0] or 0))


def _tile(data: bytes, at: int, size: int) -> tuple[Tile, int | None, bool]:
    """An entry of the directory: the tile, its scene, and whether it is of a smaller copy."""
    schema, pixel_type, position, _, _, dimensions = ENTRY.unpack_from(data, at)
    if schema != b"DV" or not 0 < dimensions <= MAX_DIMENSIONS or not 0 < position < size:
        raise ValueError("a tile of an unknown kind")
    where, sides = {}, {}
    for number in range(dimensions):
        axis, start, extent, _, stored = DIMENSION.unpack_from(
            data, at + ENTRY.size + number * DIMENSION.size
        )
        axis = axis.rstrip(b"\0").decode()
        if axis in ("X", "Y"):
            sides[axis] = start, extent, stored
        else:
            where[axis] = start
    (left, width, stored_width), (top, height, stored_height) = sides["X"], sides["Y"]
    if width < 1 or height < 1:
        raise ValueError("a tile without pixels")
    pyramid = (stored_width or width, stored_height or height) != (width, height)
    scene = where.pop("S", None)
    rect = left, top, left + width, top + height
    return Tile(position, pixel_type, where, rect), scene, pyramid


def _check_tile(file: BinaryIO, size: int, tile: Tile) -> None:
    """Raise ValueError where the header of a tile would lead libCZI astray."""
    file.seek(tile.position)
    data = file.read(SEGMENT.size + TILE_SIZES.size + ENTRY.size)
    name, _, _ = SEGMENT.unpack_from(data)
    sizes = TILE_SIZES.unpack_from(data, SEGMENT.size)
    schema, _, _, _, compression, dimensions = ENTRY.unpack_from(
        data, SEGMENT.size + TILE_SIZES.size
    )
    whole = min(sizes) >= 0 and tile.position + sum(sizes) <= size
    known = schema == b"DV" and 0 < dimensions <= MAX_DIMENSIONS
    if compression == 0:
        kind, dtype = PIXEL_TYPES[tile.pixel_type]
        left, top, right, bottom = tile.rect
        samples = len(vendor.RGB) if kind.startswith("Bgr") else 1
        # libCZI would give black for what is missing.
        whole &= sizes[-1] >= (right - left) * (bottom - top) * dtype.itemsize * samples
    if not (name.startswith(b"ZISRAWSUBBLOCK") and whole and known):
        raise ValueError("the header of a tile is wrong")


def _scene(
    reader: Any,
    file: BinaryIO,
    metadata: ElementTree.Element,
    name: str,
    index: int | None,
    tiles: list[Tile],
) -> Scene:
    found = {
        axis: sorted({tile.where[axis] for tile in tiles if axis in tile.where})
        for axis in ("T", "C", "Z", *OTHER_AXES)
    }
    for axis, word in OTHER_AXES.items():
        if len(found[axis]) > 1:
            raise ImageError(
                f"the CZI file holds {len(found[axis])} {word} of each plane, which is not "
                "supported: process it in ZEN to one image first"
            )
    # An axis that the file does not have has one step without a number.
    times, planes = found["T"] or [None], found["Z"] or [None]
    pixel_types = _pixel_types(tiles)
    rects = np.array([tile.rect for tile in tiles])
    left, top = rects[:, :2].min(axis=0).tolist()
    right, bottom = rects[:, 2:].max(axis=0).tolist()
    held = defaultdict(list)
    for tile in tiles:
        held[tuple(tile.where.get(axis) for axis in ("T", "C", "Z"))].append(tile)

    def read(time: int, number: int, z: int) -> np.ndarray:
        where = {"T": time, "C": number, "Z": z}
        size = os.fstat(file.fileno()).st_size
        for tile in held[time, number, z]:
            _check_tile(file, size, tile)
        with _disk_errors():
            return reader.read(
                roi=(left, top, right - left, bottom - top),
                plane={axis: start for axis, start in where.items() if start is not None},
                scene=index,
                pixel_type=PIXEL_TYPES[pixel_types[number]][0],
            )

    # The three colours of a plane are asked for one after the other.
    read_color = functools.lru_cache(maxsize=1)(read)
    channels, samples = _channels(metadata, pixel_types)

    def load(time: int, channel: int, z: int) -> np.ndarray:
        number, sample = samples[channel]
        where = times[time], number, planes[z]
        if where not in held:
            # libCZI would give black.
            raise vendor.absent(time, channel, z)
        pixels = read(*where)[..., 0] if sample is None else read_color(*where)[..., sample]
        return pixels.copy()

    size, source = _pixel_size(metadata)
    return Scene(
        name=name,
        times=len(times),
        channels=channels,
        planes=len(planes),
        height=bottom - top,
        width=right - left,
        dtype=np.result_type(*(PIXEL_TYPES[kind][1] for kind in pixel_types.values())),
        pixel_size_um=size,
        pixel_size_source=source,
        load=load,
    )


def _pixel_types(tiles: list[Tile]) -> dict[int | None, int]:
    """The type of the pixels of each channel."""
    found = defaultdict(set)
    for tile in tiles:
        found[tile.where.get("C")].add(tile.pixel_type)
    for channel, kinds in found.items():
        if len(kinds) > 1 or not kinds <= PIXEL_TYPES.keys():
            raise ImageError(
                f"channel {channel or 0} of the CZI file holds pixels of a kind that is not "
                f"supported (number {' and '.join(map(str, sorted(kinds)))}): export it as TIFF"
            )
    return {channel: kind for channel, (kind,) in found.items()}


def _channels(
    metadata: ElementTree.Element, pixel_types: dict[int | None, int]
) -> tuple[tuple[Channel, ...], list[tuple[int | None, int | None]]]:
    """The channels, and for each its number in the file and its sample in colour images."""
    described = metadata.findall(IMAGE + "Dimensions/Channels/Channel")
    shown = metadata.findall("./Metadata/DisplaySetting/Channels/Channel")
    channels, samples = [], []
    for number in sorted(pixel_types, key=lambda number: number or 0):
        if PIXEL_TYPES[pixel_types[number]][0].startswith("Bgr"):
            channels += vendor.RGB
            samples += [(number, sample) for sample in (2, 1, 0)]
            continue
        position = number or 0
        both = [
            element
            for elements in (described, shown)
            for element in [_by_id(elements, position)]
            if element is not None
        ]
        channels.append(Channel(_channel_name(both), _color(both)))
        samples.append((number, None))
    return tuple(channels), samples


def _by_id(elements: list[ElementTree.Element], number: int) -> ElementTree.Element | None:
    for element in elements:
        if element.get("Id") == f"Channel:{number}":
            return element
    return elements[number] if number < len(elements) else None


def _channel_name(elements: list[ElementTree.Element]) -> str:
    """What a channel is called, or its dye where that is the name of a detector."""
    names = [element.get("Name", "").strip() for element in elements]
    dyes = [
        element.findtext(tag, "").strip() for element in elements for tag in ("DyeName", "Fluor")
    ]
    names, dyes = [name for name in names if name], [dye for dye in dyes if dye]
    better = [name for name in names if not DETECTOR.fullmatch(name)]
    return next(iter(better + dyes + names), "")


def _color(elements: list[ElementTree.Element]) -> str:
    """From `#AARRGGBB` or `#RRGGBB`."""
    for element in reversed(elements):
        digits = re.fullmatch(
            "#(?:[0-9A-Fa-f]{2})?([0-9A-Fa-f]{6})", element.findtext("Color", "").strip()
        )
        if digits:
            return vendor.color_name(*bytes.fromhex(digits[1]))
    return ""


def _pixel_size(metadata: ElementTree.Element) -> tuple[float | None, str]:
    """From the scaling, which is in metres."""
    sides = {
        distance.get("Id"): float(distance.findtext("Value") or 0) * 1e6
        for distance in metadata.findall("./Metadata/Scaling/Items/Distance")
    }
    return vendor.pixel_size(sides.get("X", 0), sides.get("Y", 0), "CZI")


def _scene_names(metadata: ElementTree.Element, indices: list[int | None]) -> list[str]:
    """`WELL-NAME` on a plate, else the name; a number where there are several without a name."""
    named = {}
    for scene in metadata.findall(IMAGE + "Dimensions/S/Scenes/Scene"):
        shape = scene.find("Shape")
        well = scene.findtext("ArrayName") or (shape.get("Name") if shape is not None else "")
        parts = dict.fromkeys(part.strip() for part in (well, scene.get("Name")) if part)
        named[scene.get("Index")] = "-".join(parts)
    return [
        named.get(str(index or 0)) or (f"scene {index or 0}" if len(indices) > 1 else "")
        for index in indices
    ]


def _refuse_brightfield(metadata: ElementTree.Element) -> None:
    channels = metadata.findall(IMAGE + "Dimensions/Channels/Channel")
    if channels and all(
        channel.findtext("ContrastMethod", "").lower() == "brightfield"
        or channel.findtext("IlluminationType", "").lower() == "transmitted"
        for channel in channels
    ):
        raise ImageError(
            "the CZI file is an image in transmitted light (brightfield), not of fluorescence"
        )


@contextmanager
def _disk_errors() -> Iterator[None]:
    """libCZI raises RuntimeErrors of everything; those of the disk are told by their number."""
    try:
        yield
    except RuntimeError as error:
        number = re.search(r"errno=(\d+)", str(error))
        if number is None:
            raise
        with vendor.header():
            raise OSError(int(number[1]), str(error)) from error
