"""Leica LIF files.

Read with liffile, which is kept by the author of tifffile and needs numpy alone; readlif rounds
pixel sizes and knows fewer axes. Planes are cut out by the distances that the file states: liffile
takes rows for gapless, and keeps one of two series of the same name.
"""

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element

import numpy as np

from nucleiflow.images import ImageError
from nucleiflow.readers import Channel, Scene, vendor

# From Leica's description of the format, version 3.2.
AXES = {
    1: "X",
    2: "Y",
    3: "Z",
    4: "T",
    5: "emission wavelength",
    6: "rotation",
    7: "XT slice",
    8: "T slice",
    9: "excitation wavelength",
    10: "tile",
    11: "loop",
}
SCENE_AXES = ("X", "Y", "Z", "T", "tile")
METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "nm": 1e-9, "inch": 0.0254}
# Colours of channels in colour images.
TAGS = {1: 0, 2: 1, 3: 2}


@dataclass(frozen=True)
class Axis:
    """An axis of a series: its length, and from one element to the next in the file and in µm."""

    count: int
    step: int
    um: float


@contextmanager
def opened(path: Path) -> Iterator[list[Scene]]:
    """The image series of a LIF file; its headers are read and nothing else.

    A series of several tiles that were not merged is one scene a tile. What is no image of X and Y
    is a scene whose `load` raises an ImageError with the reason, so that it costs no other series
    anything. Series that hold no pixels (settings, acquisitions that were stopped at once) are
    left out.

    Raises
    ------
    ImageError
        Where liffile is missing, or the file holds no image.
    ValueError, KeyError, xml.etree.ElementTree.ParseError and others
        Where the file is damaged.
    """
    liffile = vendor.library("liffile", "LIF")
    with ExitStack() as stack:
        with vendor.header():
            lif = stack.enter_context(liffile.LifFile(path))
            size = os.fstat(lif.filehandle.fileno()).st_size
            scenes = [
                scene
                for name, element in _series(lif.xml_element)
                for scene in _scenes(name, element, lif, size)
            ]
        if not scenes:
            raise ImageError("the LIF file holds no image")
        names = vendor.distinct([scene.name for scene in scenes])
        yield [replace(scene, name=name) for scene, name in zip(scenes, names, strict=True)]


def _series(parent: Element, folder: str = "") -> Iterator[tuple[str, Element]]:
    """Elements that are images, each with the path of its name below the project."""
    for element in [*parent.findall("./Element"), *parent.findall("./Children/Element")]:
        is_project = parent.tag != "Element"
        name = element.get("Name", "")
        path = f"{folder}/{name}" if folder else name
        if element.find("./Data/Image") is not None:
            yield path, element
        yield from _series(element, "" if is_project else path)


def _scenes(name: str, element: Element, lif: Any, size: int) -> Iterator[Scene]:
    memory = element.find("./Memory")
    if memory is None:
        return
    block = lif.memory_blocks.get(memory.get("MemoryBlockID"))
    if (int(memory.get("Size", -1)) if block is None else block.size) == 0:
        return
    if block is None or block.offset + block.size > size:
        raise ValueError(f"the pixels of {name} are not in the file")
    axes, channels, dtypes, offsets = _described(element)
    tiles = axes.get("tile", Axis(1, 0, 0.0))
    reason = _unsupported(element, axes)
    if reason:
        yield _refused(name, reason, axes, channels, dtypes)
        return
    _check_extent(axes, dtypes, offsets, block.size)
    for tile in range(tiles.count):
        start = block.offset + tile * tiles.step
        yield _scene(
            f"{name}/tile {tile}" if tiles.count > 1 else name,
            axes,
            channels,
            dtypes,
            [start + offset for offset in offsets],
            lif.filehandle,
        )


def _described(
    element: Element,
) -> tuple[dict[str, Axis], tuple[Channel, ...], list[np.dtype], list[int]]:
    """Axes, and for each channel its name, type and the distance of its pixels in the block."""
    description = element.find("./Data/Image/ImageDescription")
    axes = {}
    for axis in description.findall("./Dimensions/DimensionDescription"):
        count, number = int(axis.get("NumberOfElements")), int(axis.get("DimID"))
        metres = METRES.get(axis.get("Unit", ""), math.nan)
        # The length is that from the first to the last pixel.
        um = abs(float(axis.get("Length"))) / max(count - 1, 1) * metres * 1e6
        word = AXES.get(number, f"number {number}")
        if word in axes:
            word = f"second {word}"
        axes[word] = Axis(count, int(axis.get("BytesInc")), um)
    described = description.findall("./Channels/ChannelDescription")
    tags = [int(channel.get("ChannelTag", 0)) for channel in described]
    if sorted(tags) == [1, 2, 3]:
        channels = tuple(vendor.RGB[TAGS[tag]] for tag in tags)
    else:
        dyes = _dyes(element, described)
        channels = tuple(map(_channel, described, dyes))
    dtypes = [_dtype(channel) for channel in described]
    return axes, channels, dtypes, [int(channel.get("BytesInc", 0)) for channel in described]


def _dyes(element: Element, described: list[Element]) -> list[str]:
    """The dye or the name that a user gave, for each channel; empty where none is stated."""
    dyes = []
    for channel in described:
        values = {
            pair.findtext("Key"): pair.findtext("Value") or ""
            for pair in channel.findall("./ChannelProperty")
        }
        # LAS X puts its library of dyes before the name, as in Leica/ALEXA 488.
        dyes.append(values.get("DyeName", "").rpartition("/")[2].strip())
    if not any(dyes):
        # Cameras state it with the settings, in the order of the channels.
        settings = element.findall(".//WideFieldChannelInfo")
        if len(settings) == len(described):
            keys = ("UserDefName", "FluoCubeName")
            dyes = [next((v for k in keys if (v := one.get(k))), "").strip() for one in settings]
    return dyes


def _channel(described: Element, dye: str) -> Channel:
    table = described.get("LUTName", "").strip()
    color = table.lower() if table.lower() in {*vendor.HUES, "white"} else ""
    if table.lower() in ("gray", "grey"):
        color = "white"
    return Channel(dye or table, color)


def _dtype(channel: Element) -> np.dtype:
    kind, bits = int(channel.get("DataType", 0)), int(channel.get("Resolution"))
    if kind not in (0, 1) or not 0 < bits <= 64:
        raise ValueError(f"pixels of {bits} bits and type {kind}")
    size = next(size for size in (1, 2, 4, 8) if bits <= 8 * size)
    return np.dtype(f"<{'uf'[kind]}{size}")


def _unsupported(element: Element, axes: dict[str, Axis]) -> str:
    """Why a series is no image that can be measured; empty where it is one."""
    for word, axis in axes.items():
        if word not in SCENE_AXES and axis.count > 1:
            return f"it has {axis.count} steps of an axis ({word}) that is not supported"
    if not {"X", "Y"} <= axes.keys():
        return f"it is a scan along {' and '.join(axes)}, not an image of X and Y"
    packed = element.findall(".//Channels/ChannelDescription[@BitInc]")
    if any(int(channel.get("BitInc")) for channel in packed):
        return "its pixels are packed into bits"
    return ""


def _check_extent(
    axes: dict[str, Axis], dtypes: list[np.dtype], offsets: list[int], size: int
) -> None:
    """Raise ValueError where a plane would reach out of the series' part of the file."""
    for dtype, offset in zip(dtypes, offsets, strict=True):
        steps = [(axis.count - 1) * axis.step for axis in axes.values()]
        narrow = any(axis.count > 1 and axis.step < dtype.itemsize for axis in axes.values())
        if narrow or offset < 0 or offset + sum(steps) + dtype.itemsize > size:
            raise ValueError("the axes do not fit the pixels")


def _scene(
    name: str,
    axes: dict[str, Axis],
    channels: tuple[Channel, ...],
    dtypes: list[np.dtype],
    starts: list[int],
    file: BinaryIO,
) -> Scene:
    one = Axis(1, 0, 0.0)
    x, y, z, t = axes["X"], axes["Y"], axes.get("Z", one), axes.get("T", one)

    def load(time: int, channel: int, plane: int) -> np.ndarray:
        dtype = dtypes[channel]
        count = (y.count - 1) * y.step + (x.count - 1) * x.step + dtype.itemsize
        file.seek(starts[channel] + time * t.step + plane * z.step)
        data = file.read(count)
        if len(data) < count:
            raise EOFError(f"{count} bytes of pixels, {len(data)} found")
        return np.ndarray((y.count, x.count), dtype, data, 0, (y.step, x.step)).copy()

    size, source = vendor.pixel_size(x.um, y.um, "LIF")
    return Scene(
        name=name,
        times=t.count,
        channels=channels,
        planes=z.count,
        height=y.count,
        width=x.count,
        dtype=np.result_type(*dtypes),
        pixel_size_um=size,
        pixel_size_source=source,
        load=load,
    )


def _refused(
    name: str,
    reason: str,
    axes: dict[str, Axis],
    channels: tuple[Channel, ...],
    dtypes: list[np.dtype],
) -> Scene:
    """A scene that says why it cannot be read when it is."""

    def load(time: int, channel: int, plane: int) -> np.ndarray:
        raise ImageError(f"the series {name} of the LIF file cannot be read: {reason}")

    count = {word: axes[word].count if word in axes else 1 for word in SCENE_AXES}
    return Scene(
        name=name,
        times=count["T"],
        channels=channels,
        planes=count["Z"],
        height=count["Y"],
        width=count["X"],
        dtype=np.result_type(*dtypes),
        pixel_size_um=None,
        pixel_size_source="",
        load=load,
    )
