"""Nikon ND2 files.

Read with nd2, which is well kept, tested on hundreds of files and reads one frame without the
rest; nd2reader is no longer kept up.
"""

import functools
import itertools
import struct
import types
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nucleiflow.images import ImageError
from nucleiflow.readers import Channel, Scene, vendor

# What the loops of an experiment are: time, z, position.
AXES = {"TimeLoop": "T", "NETimeLoop": "T", "ZStackLoop": "Z", "XYPosLoop": "P"}
# From the start of a frame's chunk to its pixels: header, padded name and time stamp.
FRAME_HEADER = 4096
MAGIC = 0x0ABECEDA
# An axis of a picture that is no distance.
TIME = 2


@contextmanager
def opened(path: Path) -> Iterator[list[Scene]]:
    """The positions of an ND2 file; its headers are read and nothing else.

    Raises
    ------
    ImageError
        Where nd2 is missing, or the file is of a kind that is not supported.
    ValueError, KeyError, struct.error and others
        Where the file is damaged.
    """
    nd2 = vendor.library("nd2", "ND2")
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        size = path.stat().st_size
        # nd2 maps a file of its own into memory, and a disk that fails ends the process then.
        plain = types.SimpleNamespace(
            read=file.read, seek=file.seek, close=file.close, closed=False
        )
        with vendor.header():
            reader = stack.enter_context(nd2.ND2File(plain))
            scenes = _scenes(reader, file, size)
        yield scenes


def _scenes(reader: Any, file: BinaryIO, size: int) -> list[Scene]:
    if reader.is_legacy:
        raise ImageError(
            "the ND2 file is of the old kind (JPEG 2000), save it again with NIS-Elements"
        )
    attributes = reader.attributes
    if attributes.compressionType == "lossy":
        raise ImageError("the ND2 file is compressed with loss, save it again without")
    picture = _picture(reader)
    if TIME in (picture.get("ePictureXAxis"), picture.get("ePictureYAxis")):
        raise ImageError("the ND2 file is a line scan over time, not an image")
    counts, points = _loops(reader.experiment)
    if attributes.sequenceCount > 1 and not counts:
        raise ImageError(
            f"the ND2 file holds {attributes.sequenceCount} images and does not say what they "
            "are: save it again with NIS-Elements"
        )
    channels, samples = _channels(picture, attributes.componentCount)
    frames = _frames(reader, size)
    size_um, source = _pixel_size(picture)
    shape = attributes.heightPx, attributes.widthPx

    # The channels of a frame lie side by side and are asked for one after the other.
    @functools.lru_cache(maxsize=1)
    def read(number: int) -> np.ndarray:
        _check_frame(file, number, frames[number])
        return reader.read_frame(number)

    def load_at(position: int, time: int, channel: int, z: int) -> np.ndarray:
        steps = {"P": position, "T": time, "Z": z}
        index = 0
        for axis, count in counts.items():
            index = index * count + steps[axis]
        if index not in frames:
            # nd2 would give black.
            raise vendor.absent(time, channel, z)
        each = attributes.componentCount // (attributes.channelCount or 1)
        outer, inner = divmod(samples[channel], each)
        return read(index).reshape(-1, *shape, each)[outer, ..., inner].copy()

    names = [point.name or f"position {number}" for number, point in enumerate(points)]
    if len(points) == 1:
        names = [points[0].name or ""]
    return [
        Scene(
            name=name,
            times=counts.get("T", 1),
            channels=channels,
            planes=counts.get("Z", 1),
            height=shape[0],
            width=shape[1],
            dtype=np.dtype(reader.dtype),
            pixel_size_um=size_um,
            pixel_size_source=source,
            load=lambda time, channel, z, position=position: load_at(position, time, channel, z),
        )
        for position, name in enumerate(vendor.distinct(names) or [""])
    ]


def _loops(experiment: list) -> tuple[dict[str, int], list]:
    """The length of each axis, the slowest first, and the points of the stage."""
    counts, points = {}, []
    for loop in experiment:
        axis = AXES.get(loop.type)
        if loop.count == 1 and axis != "P":
            continue
        if axis is None or axis in counts:
            raise ImageError(
                f"the ND2 file has an axis ({loop.type}) besides one time, z and positions, which "
                "is not supported: split the file with NIS-Elements"
            )
        counts[axis] = loop.count
        if axis == "P":
            points = list(loop.parameters.points)
    return counts, points


def _frames(reader: Any, size: int) -> dict[int, int]:
    """Where each frame that the file holds begins, by its number.

    Raises ValueError where one of them ends after the file.
    """
    # Only the reader inside tells: the public functions fill what is missing with zeros.
    chunks = {
        int(name[13:-1]): offset
        for name, (offset, _) in reader._rdr.chunkmap.items()
        if name.startswith(b"ImageDataSeq|")
    }
    attributes = reader.attributes
    pixels = attributes.heightPx * attributes.widthBytes
    if attributes.compressionType == "lossless":
        pixels = 0
    for number, offset in chunks.items():
        if offset + FRAME_HEADER + pixels > size:
            raise ValueError(f"frame {number} ends after the file")
    return chunks


def _check_frame(file: BinaryIO, number: int, offset: int) -> None:
    """Raise ValueError where no such frame begins there, which nd2 does not look at."""
    name = f"ImageDataSeq|{number}!".encode()
    file.seek(offset)
    magic, length = struct.unpack("<II8x", file.read(16))
    begins = magic == MAGIC and length == FRAME_HEADER - 24
    if not begins or file.read(len(name)) != name:
        raise ValueError(f"frame {number} is not where the file's map says")


def _picture(reader: Any) -> dict[str, Any]:
    """What NIS-Elements notes of the channels and the objective, under its own names.

    `ND2File.metadata` has the same, but fails where a channel names no dye.
    """
    key = "ImageMetadataSeqLV|0" if reader.version >= (3, 0) else "ImageMetadataSeq|0"
    stated = reader.unstructured_metadata(strip_prefix=False, include={key})[key]
    return stated.get("SLxPictureMetadata", stated)


def _channels(picture: dict, components: int) -> tuple[tuple[Channel, ...], list[int]]:
    """The channels, and for each its component in a frame."""
    planes = picture.get("sPicturePlanes", {})
    planes = list((planes.get("sPlaneNew") or planes.get("sPlane") or {}).values())
    counts = [plane.get("uiCompCount", 1) for plane in planes]
    if sum(counts) != components:
        return (Channel(),) * components, list(range(components))
    channels, samples = [], []
    starts = itertools.accumulate(counts, initial=0)
    for plane, count, start in zip(planes, counts, starts, strict=False):
        if count >= len(vendor.RGB):
            # Stored as blue, green, red, alpha.
            channels += vendor.RGB
            samples += [start + 2, start + 1, start]
        else:
            red, green, blue, _ = plane.get("uiColor", 0).to_bytes(4, "little")
            name = plane.get("sDescription") or ""
            channels += [Channel(name, vendor.color_name(red, green, blue))] * count
            samples += range(start, start + count)
    return tuple(channels), samples


def _pixel_size(picture: dict) -> tuple[float | None, str]:
    """In micrometres, where the objective was calibrated."""
    if not picture.get("bCalibrated"):
        return None, ""
    side, aspect = picture.get("dCalibration", 0), picture.get("dAspect", 1)
    return vendor.pixel_size(side, side * aspect if aspect > 0 else side, "ND2")
