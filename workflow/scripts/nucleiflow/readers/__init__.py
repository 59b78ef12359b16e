"""Image files as microscopes write them: one way to open them all.

A file holds scenes, a scene has times, channels and planes. Each family of formats is one module
with a function `opened`; it reads headers at once and pixels when they are asked for.
"""

import errno
import functools
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nucleiflow.images import ImageError

# The module of each ending.
FAMILIES = {
    "tif": "tiff",
    "tiff": "tiff",
    "stk": "tiff",
    "lsm": "tiff",
    "png": "picture",
    "jpg": "picture",
    "jpeg": "picture",
    "bmp": "picture",
    "zarr": "ome_zarr",
    "czi": "zeiss",
    "nd2": "nikon",
    "lif": "leica",
}
# A source of pixel sizes that is no calibration: printers and cameras write it at will.
RESOLUTION_TAG = "TIFF resolution tag"
KINDS = {"tiff": "TIFF file", "ome_zarr": "OME-Zarr image"}
# Libraries that are not installed by default, by family.
VENDOR = {"zeiss": "pylibCZIrw", "nikon": "nd2", "leica": "liffile"}
# Errors of the operating system that are the file's own. Others (a disk that does not answer, a
# network file system that went away) must stop the job, so that it is tried again.
OWN_ERRORS = {
    errno.ENOENT: "is not there any more, or is a link to nothing",
    errno.EACCES: "may not be read, check its permissions",
    errno.EPERM: "may not be read, check its permissions",
    errno.EISDIR: "is a directory",
    errno.ELOOP: "is a link that leads back to itself",
}


# More can only be a lie of the header: each time is an image, and each has its rows and files.
MOST = 100_000


# Rows and columns of a plane.
Part = tuple[slice, slice]


@dataclass(frozen=True)
class Channel:
    """What a file states of a channel.

    `name` is empty where it states none. `color` is `red`, `green`, `blue`, `cyan`, `magenta`,
    `yellow` or `white` where it states such a colour to show the channel in, else empty.
    """

    name: str = ""
    color: str = ""


@dataclass(frozen=True)
class Scene:
    """One image of a file, with axes time, channel, z, y and x.

    Attributes
    ----------
    name : str
        What the file calls it; empty where there is one scene without a name.
    times, planes : int
    channels : tuple of Channel
    height, width : int
        In pixels.
    dtype : numpy dtype
        Of the file's values.
    pixel_size_um : float or None
        Side of a pixel in micrometres, where the file states it.
    pixel_size_source : str
        Where that comes from: `OME`, `ImageJ`, `MetaMorph`, `LSM`, `CZI`, `ND2`, `LIF`, `OME-Zarr`
        or RESOLUTION_TAG; empty where there is none.
    load : function
        From time, channel and z, counted from 0, to the plane as a (Y, X) array. Reads no more
        than it must. That of `open_image` takes a Part as well, and gives that of the plane.
    load_part : function or None
        The same with a Part; None where a file gives no less than a plane.
    """

    name: str
    times: int
    channels: tuple[Channel, ...]
    planes: int
    height: int
    width: int
    dtype: np.dtype
    pixel_size_um: float | None
    pixel_size_source: str
    load: Callable[..., np.ndarray]
    load_part: Callable[[int, int, int, Part], np.ndarray] | None = None

    def read(
        self,
        time: int = 0,
        channels: Iterable[int] | None = None,
        planes: Iterable[int] | None = None,
    ) -> np.ndarray:
        """Some or all channels and planes of a time as a (channel, z, y, x) array."""
        channels = range(len(self.channels)) if channels is None else channels
        planes = range(self.planes) if planes is None else planes
        return np.stack([np.stack([self.load(time, c, z) for z in planes]) for c in channels])


@contextmanager
def open_image(
    path: Path, *others: Path, pages: str | None = None, max_megapixels: float = np.inf
) -> Iterator[list[Scene]]:
    """Open an image file, or a directory that is one.

    Parameters
    ----------
    path : Path
    others : Path
        Other files of one OME-TIFF dataset.
    pages : str, optional
        What the pages of a TIFF are that does not say so: `z`, `time` or `channel`.
    max_megapixels : float
        Largest size of a plane, its channels counted.

    Yields
    ------
    scenes : list of Scene
        Of integers and floats of 32 or 64 bits; nothing but their headers is read. Planes can be
        loaded as long as the file is open.

    Raises
    ------
    ImageError
        Where the file is no image, damaged, or of a kind that is not supported; also by `load`.
    OSError
        Where the disk failed, rather than the file.
    """
    family = family_of(path)
    _refuse_mistaken(path)
    module = importlib.import_module(f"nucleiflow.readers.{family}")
    options = {"pages": pages} if family == "tiff" else {}
    with ExitStack() as stack:
        with _one_sentence(path):
            scenes = stack.enter_context(module.opened(path, *others, **options))
            scenes = [_checked(scene, path, max_megapixels) for scene in scenes]
        yield scenes


def family_of(path: Path) -> str:
    """The module for a file, by its ending; a path inside a `.zarr` directory is an OME-Zarr."""
    ending = path.suffix[1:].lower()
    if ending in FAMILIES:
        return FAMILIES[ending]
    if any(part.lower().endswith(".zarr") for part in path.parts):
        return FAMILIES["zarr"]
    raise ImageError(f"no reader knows files that end in .{ending}")


def missing_library(ending: str) -> str | None:
    """The library that files of an ending need and that is not installed."""
    library = VENDOR.get(FAMILIES.get(ending, ""))
    return library if library and importlib.util.find_spec(library) is None else None


def refuse_absurd(name: str, size: int) -> None:
    """Raise ImageError for a number of channels, planes or times that cannot be."""
    if size > MOST:
        raise ImageError(
            f"the header states {size:,} {name}, more than any image has: export it again"
        )


def _checked(scene: Scene, path: Path, max_megapixels: float) -> Scene:
    """A scene that is known to fit, and whose planes are numbers of a type that stages know."""
    sizes = {"rows": scene.height, "columns": scene.width, "channels": len(scene.channels)}
    sizes |= {"planes": scene.planes, "times": scene.times}
    for name, size in sizes.items():
        if size < 1:
            raise ImageError(f"the file holds an image without {name}")
        if name not in ("rows", "columns"):
            refuse_absurd(name, size)
    total = scene.height * scene.width * len(scene.channels) / 1e6
    if total > max_megapixels:
        raise ImageError(
            f"the header states {scene.width:,} x {scene.height:,} pixels and "
            f"{len(scene.channels)} channels, more than max_image_megapixels "
            f"({max_megapixels:g}) allows"
        )
    dtype = np.dtype(scene.dtype).newbyteorder("=")
    if dtype.kind == "c":
        raise ImageError("the file holds complex numbers, which are not an image of light")
    if dtype.kind not in "buif":
        raise ImageError(f"the file holds values of type {dtype}, not numbers")
    dtype = {"bool": np.dtype(np.uint8), "float16": np.dtype(np.float32)}.get(dtype.name, dtype)

    @functools.wraps(scene.load)
    def load(time: int, channel: int, z: int, part: Part | None = None) -> np.ndarray:
        cut = part is not None and scene.load_part is not None
        expected = (scene.height, scene.width)
        if cut:
            expected = tuple(each.stop - each.start for each in part)
        with _one_sentence(path):
            plane = (scene.load_part if cut else scene.load)(time, channel, z, *[part] * cut)
            if plane.shape != expected:
                raise ValueError(f"{plane.shape} pixels instead of {expected}")
        if part is not None and not cut:
            plane = plane[part].copy()
        if plane.dtype.kind == "f":
            bad = plane.size - np.count_nonzero(np.isfinite(plane))
            if bad:
                raise ImageError(f"{bad} pixels are not numbers (NaN or infinite), export it again")
        return plane.astype(dtype, copy=False)

    return replace(scene, dtype=dtype, load=load)


def _refuse_mistaken(path: Path) -> None:
    """What users mistake for images, and what is not there."""
    try:
        if path.is_dir() and family_of(path) == FAMILIES["zarr"]:
            return
        if os.path.getsize(path) == 0:
            raise ImageError("the file is empty (0 bytes), copy it again")
        with path.open("rb") as file:
            start = file.read(512).lstrip().lower()
    except OSError as error:
        if error.errno in OWN_ERRORS:
            raise ImageError(f"the file {OWN_ERRORS[error.errno]}") from None
        raise
    if start.startswith(b"version https://git-lfs"):
        raise ImageError("the file is a Git LFS pointer, not an image: run `git lfs pull`")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ImageError("the file is a web page, not an image: download it again")


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Turn what readers raise on damaged files, a dozen types, into a sentence."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        kind = KINDS.get(family_of(path)) or path.suffix[1:].upper() + " file"
        raise ImageError(f"the {kind} is damaged or cut short, copy it again") from error
