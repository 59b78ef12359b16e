"""OME-Zarr: images that are directories, as the Zarr library stores them.

Versions 0.4 (Zarr 2) and 0.5 (Zarr 3) of https://ngff.openmicroscopy.org, and the older ones.
Headers are JSON and read as such: Zarr is slow to import and starts threads, which a process that
is about to fork has better not started.
"""

import functools
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from nucleiflow.images import ImageError
from nucleiflow.readers import OWN_ERRORS, Channel, Part, Scene, refuse_absurd

AXES = ("t", "c", "z", "y", "x")
# Planes of one chunk are kept together up to this size, so that each chunk is read once.
KEPT_BYTES = 2**27
AXIS_OF_TYPE = {"time": "t", "channel": "c"}
# By UDUNITS-2, which the specification names, and as written in practice.
MICROMETRES = {
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "nm": 1e-3,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "micron": 1.0,
    "um": 1.0,
    "\N{MICRO SIGN}m": 1.0,
    "\N{GREEK SMALL LETTER MU}m": 1.0,
    "millimeter": 1e3,
    "mm": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
COLORS = {
    "FF0000": "red",
    "00FF00": "green",
    "0000FF": "blue",
    "00FFFF": "cyan",
    "FF00FF": "magenta",
    "FFFF00": "yellow",
    "FFFFFF": "white",
}


@dataclass(frozen=True)
class _Node:
    """The metadata of a group or an array: `array` as Zarr wants it, `ome` as OME does."""

    directory: Path
    zarr_format: int
    is_array: bool
    array: dict
    ome: dict


@contextmanager
def opened(path: Path) -> Iterator[list[Scene]]:
    """The images of an OME-Zarr directory, each at its full resolution.

    Parameters
    ----------
    path : Path
        Directory of an image, a series of images (bioformats2raw's layout) or a plate's field.

    Raises
    ------
    ImageError
        Where the directory holds no image, a label image or a whole plate, lacks metadata or
        pixels, or has axes, values or a compression that are not known.
    """
    with _own_errors():
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise ImageError("the file is named like an OME-Zarr directory, but is none: unpack it")
        scenes = _scenes(path)
    yield scenes


def wells(path: Path) -> list[tuple[str, str, str]] | None:
    """The fields of a plate, in the order of its metadata.

    Returns
    -------
    fields : list of (path below the plate, well, site), such as ("A/1/0", "A01", "0")
        Of a well whose own metadata cannot be read there is one field, the well: opening it says
        what is wrong. None where the directory is no plate or cannot be read.
    """
    try:
        plate = _node(path).ome["plate"]
        names = dict.fromkeys(_below(well["path"]) for well in plate["wells"])
        return [field for name in names for field in _fields(path, name)]
    except Exception:
        # Whatever is wrong with it, its job will say it better.
        return None


def size_and_time(path: Path) -> tuple[int, int]:
    """Bytes of all files below a directory, and the newest time of their changes in ns."""
    size, newest = 0, 0
    for directory, _, names in os.walk(path):
        for name in names:
            try:
                status = os.stat(os.path.join(directory, name))
            except OSError:
                # A link to nothing, or gone since: reading the image will tell.
                continue
            size += status.st_size
            newest = max(newest, status.st_mtime_ns)
    return size, newest


def _fields(plate: Path, well: str) -> list[tuple[str, str, str]]:
    row, _, column = well.rpartition("/")
    name = f"{row}{column:0>2}".replace("/", "")
    try:
        sites = [_below(image["path"]) for image in _node(plate / well).ome["well"]["images"]]
    except Exception:
        return [(well, name, "0")]
    return [(f"{well}/{site}", name, site) for site in sites]


def _scenes(path: Path) -> list[Scene]:
    node = _node(path)
    if node.is_array:
        raise ImageError(
            "the directory is a Zarr array without OME metadata, export it as OME-Zarr"
        )
    if "plate" in node.ome:
        raise ImageError(
            "the OME-Zarr directory is a plate whose list of wells is empty or damaged, "
            "export it again"
        )
    if "well" in node.ome:
        raise ImageError(
            "the OME-Zarr directory is a well whose list of fields is damaged, export it again"
        )
    if "bioformats2raw.layout" not in node.ome or "multiscales" in node.ome:
        return [_scene(node)]
    series = {name: _node(path / name) for name in _series(path)}
    scenes = {k: _scene(node) for k, node in series.items() if "image-label" not in node.ome}
    if not scenes:
        raise ImageError("the OME-Zarr directory holds no image, copy the whole directory again")
    names = {scene.name for scene in scenes.values()} - {""}
    if len(names) < len(scenes) > 1:
        return [replace(scene, name=directory) for directory, scene in scenes.items()]
    return list(scenes.values())


def _series(path: Path) -> list[str]:
    """The images' directories, in the order in which the microscope's file had them."""
    try:
        listed = _node(path / "OME").ome.get("series")
    except ImageError:
        listed = None
    if listed:
        return [_below(name) for name in listed]
    return sorted((name for name in os.listdir(path) if re.fullmatch("[0-9]+", name)), key=int)


def _scene(node: _Node) -> Scene:
    if "image-label" in node.ome:
        raise ImageError("the OME-Zarr directory holds labels of objects, not an image of light")
    if not node.ome.get("multiscales"):
        raise ImageError(
            f"the directory {node.directory.name} holds no image with OME metadata (multiscales), "
            "export it as OME-Zarr"
        )
    image = node.ome["multiscales"][0]
    array, dataset = _full_resolution(node.directory, image["datasets"])
    axes = _axes(image.get("axes"), array)
    length = dict(zip(axes, array.array["shape"], strict=True))
    refuse_absurd("channels", length.get("c", 1))
    dtype = _dtype(array)
    size = _pixel_size(image, dataset, axes)
    load, load_part = _loaders(array, axes, dtype)
    return Scene(
        name=str(image.get("name") or "").strip("/"),
        times=length.get("t", 1),
        channels=_channels(node.ome, length.get("c", 1)),
        planes=length.get("z", 1),
        height=length["y"],
        width=length["x"],
        dtype=dtype,
        pixel_size_um=size,
        pixel_size_source="OME-Zarr" if size else "",
        load=load,
        load_part=load_part,
    )


def _loaders(
    array: _Node, axes: list[str], dtype: np.dtype
) -> tuple[Callable[[int, int, int], np.ndarray], Callable[[int, int, int, Part], np.ndarray]]:
    """`load` and `load_part` of a scene. The array is opened when pixels are asked for."""
    pixels = functools.cache(functools.partial(_pixels, array))

    @functools.lru_cache(maxsize=1)
    def block(corner: tuple[int, ...], depth: tuple[int, ...]) -> np.ndarray:
        spans = zip(axes, corner, depth, strict=True)
        return pixels()[
            tuple(
                slice(None) if axis in ("y", "x") else slice(start, start + count)
                for axis, start, count in spans
            )
        ]

    def load(time: int, channel: int, z: int) -> np.ndarray:
        wanted = {"t": time, "c": channel, "z": z}
        index = [wanted.get(axis, 0) for axis in axes]
        with _own_errors():
            depth = _depth(pixels(), axes)
            corner = tuple(i // count * count for i, count in zip(index, depth, strict=True))
            planes = block(corner, depth)
        inside = (
            slice(None) if axis in ("y", "x") else i - start
            for axis, i, start in zip(axes, index, corner, strict=True)
        )
        return plane_of(planes[tuple(inside)])

    def load_part(time: int, channel: int, z: int, part: Part) -> np.ndarray:
        wanted = {"t": time, "c": channel, "z": z, "y": part[0], "x": part[1]}
        with _own_errors():
            return plane_of(pixels()[tuple(wanted.get(axis, 0) for axis in axes)])

    def plane_of(found: np.ndarray) -> np.ndarray:
        plane = found if axes.index("y") < axes.index("x") else found.T
        return np.array(plane, dtype, order="C")

    return load, load_part


def _depth(pixels, axes: list[str]) -> tuple[int, ...]:
    """Times, channels and planes to read at once, by axis; 1 for rows and columns."""
    sizes = list(zip(axes, pixels.chunks, pixels.shape, strict=True))
    depth = tuple(1 if a in ("y", "x") else min(chunk, length) for a, chunk, length in sizes)
    area = math.prod(length for axis, _, length in sizes if axis in ("y", "x"))
    fits = math.prod(depth) * area * pixels.dtype.itemsize <= KEPT_BYTES
    return depth if fits else (1,) * len(axes)


def _full_resolution(directory: Path, datasets: list[dict]) -> tuple[_Node, dict]:
    """The level with the most pixels, by the specification the first, and its metadata."""
    levels = []
    for dataset in datasets:
        try:
            node = _node(directory / _below(dataset["path"]))
            if not node.is_array:
                raise ImageError(
                    f"the directory {node.directory.name} of the OME-Zarr image holds no array, "
                    "copy the image again"
                )
        except ImageError:
            # Smaller levels are of no use here.
            if not levels:
                raise
            continue
        levels.append((node, dataset))
    return max(levels, key=lambda level: math.prod(level[0].array["shape"]))


def _axes(axes: list | None, array: _Node) -> list[str]:
    """The letter of each axis of the array, or the name of one that has a single position."""
    shape = array.array["shape"]
    if axes is None and array.zarr_format == 2 and len(shape) == len(AXES):
        # Versions 0.1 and 0.2 know these axes alone.
        return list(AXES)
    letters = []
    for axis in axes or []:
        axis = axis if isinstance(axis, dict) else {"name": axis}
        name = str(axis["name"])
        letter = AXIS_OF_TYPE.get(axis.get("type"), name)
        letters.append(name.lower() if name.lower() in AXES else letter)
    if len(letters) != len(shape) or len(set(letters)) < len(letters):
        raise ImageError(
            f"the axes in the OME-Zarr metadata ({', '.join(letters) or 'none'}) do not fit "
            f"pixels with {len(shape)} axes, export the image again"
        )
    if not {"y", "x"} <= set(letters):
        raise ImageError(
            f"the OME-Zarr image has the axes {', '.join(letters)}, but x and y are needed"
        )
    for letter, length in zip(letters, shape, strict=True):
        if letter not in AXES and length > 1:
            raise ImageError(
                f"the OME-Zarr image has {length} positions on the axis {letter}, which is not "
                "known: export one of them"
            )
    return letters


def _dtype(array: _Node) -> np.dtype:
    stated = array.array["dtype" if array.zarr_format == 2 else "data_type"]
    try:
        dtype = np.dtype(stated)
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or dtype.kind not in "buifc":
        raise ImageError(f"the OME-Zarr holds values of the type {stated}, which are no image")
    return dtype.newbyteorder("=")


def _channels(ome: dict, count: int) -> tuple[Channel, ...]:
    stated = ((ome.get("omero") or {}).get("channels") or [])[:count]
    channels = [
        Channel(
            str(channel.get("label") or ""),
            COLORS.get(str(channel.get("color", "")).lstrip("#").upper(), ""),
        )
        for channel in stated
    ]
    return tuple(channels + [Channel()] * (count - len(channels)))


def _pixel_size(image: dict, dataset: dict, axes: list[str]) -> float | None:
    """Micrometres, from the scales of the level and of all levels and the unit of the axes."""
    sizes = []
    for letter in "xy":
        index = axes.index(letter)
        axis = image["axes"][index] if image.get("axes") else ""
        size = MICROMETRES.get(axis.get("unit")) if isinstance(axis, dict) else None
        scales = [
            transformation.get("scale")
            for level in (dataset, image)
            for transformation in level.get("coordinateTransformations") or []
            if transformation.get("type") == "scale"
        ]
        if size is None or not scales or any(len(scale or []) != len(axes) for scale in scales):
            return None
        sizes.append(math.prod([size, *(scale[index] for scale in scales)]))
    if not all(0 < size < math.inf for size in sizes):
        return None
    return sizes[0] if math.isclose(*sizes, rel_tol=0.01) else None


def _pixels(array: _Node):
    """The array as Zarr opens it."""
    import zarr
    from numcodecs.errors import UnknownCodecError

    # A worker has a share of the cores, which is one.
    zarr.config.set({"threading.max_workers": 1})
    codecs = [array.array.get("compressor"), *(array.array.get("filters") or [])]
    if any(codec and codec.get("id") == "pickle" for codec in codecs):
        # Reading them would run whatever program they hold.
        raise ImageError("the OME-Zarr holds Python objects (pickle), which are not read")
    try:
        opened = zarr.open_array(_store(array), mode="r", zarr_format=array.zarr_format)
    except (UnknownCodecError, zarr.errors.UnknownCodecError) as error:
        raise ImageError(
            f"the OME-Zarr is compressed in a way that is not known ({error}), "
            "export it with Blosc, Zstandard or gzip"
        ) from error
    chunk = re.escape(opened.metadata.encode_chunk_key((0,) * opened.ndim)).replace("0", "[0-9]+")
    if not any(re.fullmatch(chunk, key) for key in _keys(array.directory)):
        raise ImageError(
            f"the directory {array.directory.name} of the OME-Zarr image holds no pixels (no "
            "chunk files), copy the image again"
        )
    return opened


def _store(array: _Node):
    """The files of an array, where those that are empty or cut short are refused.

    Zarr takes an empty shard for one that was never written, and Blosc reads beyond the end of
    what it is given: both give wrong pixels in silence, or end the process.
    """
    from zarr.abc.store import RangeByteRequest
    from zarr.storage import LocalStore

    codec = (array.array.get("codecs") or [array.array.get("compressor") or {}])[-1]
    is_blosc = isinstance(codec, dict) and "blosc" in (codec.get("id"), codec.get("name"))

    class Store(LocalStore):
        async def get(self, key, prototype=None, byte_range=None):
            found = await super().get(key, prototype, byte_range)
            if found is None:
                return None
            least, state = 1, "cut short" if len(found) else "empty (0 bytes)"
            if isinstance(byte_range, RangeByteRequest):
                state = "cut short"
                least = byte_range.end - byte_range.start
            elif is_blosc and key[-1].isdigit():
                # Bytes 12 to 15 of Blosc's header: https://github.com/Blosc/c-blosc
                header = found[:16].to_bytes()
                least = max(16, int.from_bytes(header[12:], "little"))
            if len(found) < least:
                raise ImageError(
                    f"the file {array.directory.name}/{key} of the OME-Zarr image is {state}, "
                    "copy the image again"
                )
            return found

    return Store(array.directory, read_only=True)


@contextmanager
def _own_errors() -> Iterator[None]:
    """Say of a file in the directory what the operating system has against it."""
    try:
        yield
    except OSError as error:
        if error.errno in OWN_ERRORS:
            raise ImageError(f"a file of the OME-Zarr image {OWN_ERRORS[error.errno]}") from error
        raise


def _keys(directory: Path) -> Iterator[str]:
    """The files below a directory, links to nothing left out."""

    def fail(error: OSError) -> None:
        raise error

    for parent, _, names in os.walk(directory, onerror=fail):
        below = Path(parent).relative_to(directory)
        yield from ((below / n).as_posix() for n in names if os.path.isfile(f"{parent}/{n}"))


def _node(directory: Path) -> _Node:
    """Metadata of a group or an array, of whichever version of Zarr."""
    document = _json(directory / "zarr.json")
    if document is not None:
        attributes = document.get("attributes", {})
        is_array = document["node_type"] == "array"
        return _Node(directory, 3, is_array, document, attributes.get("ome", attributes))
    array, ome = _json(directory / ".zarray"), _json(directory / ".zattrs")
    if array is None and ome is None and not (directory / ".zgroup").exists():
        raise ImageError(
            f"the directory {directory.name} holds no Zarr metadata (zarr.json, .zattrs or "
            ".zarray), copy the image again"
        )
    return _Node(directory, 2, array is not None, array or {}, ome or {})


def _json(path: Path) -> dict | None:
    """The object in a file, or None where there is no file."""
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ImageError(
            f"the OME-Zarr metadata in {path.parent.name}/{path.name} are damaged or cut short, "
            "copy the image again"
        ) from error
    if not isinstance(document, dict):
        raise ImageError(f"{path.parent.name}/{path.name} holds no OME-Zarr metadata")
    return document


def _below(path: object) -> str:
    """A path that metadata name, made sure to stay within the directory."""
    below = PurePosixPath(str(path))
    if below.is_absolute() or ".." in below.parts or not below.parts:
        raise ImageError(f"the OME-Zarr metadata name {path}, which is no directory of the image")
    return str(below)
