"""A field of view: the files of one image as named channels, projected along z."""

import fnmatch
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from nucleiflow.geometry import cut_out
from nucleiflow.images import ImageError
from nucleiflow.readers import Channel, Part, Scene, open_image

RGB = ("red", "green", "blue")
# What channels with nuclei are called, after `plain`.
NUCLEAR = re.compile(r"dapi|hoechst|draq|nucle|h2b|sytox|(?<![a-z])(dna|topro)(?![a-z])", re.I)


class File(NamedTuple):
    """A file of an image, and what its name says: `channel` or `z` where there are others."""

    path: str
    channel: str = ""
    z: int | None = None


@dataclass(frozen=True)
class View:
    """What of an image is looked at, and how: a part of the config.

    Attributes
    ----------
    segment : str or int
        Channel with the nuclei: its name, colour or index, or `auto`.
    channels : list of str, dict of str, or None
        Names of the channels, in their order or by their names in the file; None for the file's.
    z : str or int
        `max`, `mean`, `sum`, `focus` or the number of a plane.
    pages : str or None
        What the pages of a TIFF are that does not say so.
    scenes : list of str
        Patterns as of the shell of the scenes to take of a file that has several; none for all.
    crop, resize : dict or None
        See `nucleiflow.geometry.cut_out`.
    max_megapixels : float
    segmented : int or None
        Index of the channel with the nuclei where it is known by now.
    """

    segment: str | int = "auto"
    channels: list[str] | dict[str, str] | None = None
    z: str | int = "max"
    pages: str | None = None
    scenes: Sequence[str] = ()
    crop: dict | None = None
    resize: dict | None = None
    max_megapixels: float = np.inf
    segmented: int | None = None


@dataclass(frozen=True)
class Field:
    """An open field of view at one time.

    Attributes
    ----------
    names : tuple of str
        Of the channels; one empty text where there is one channel without a name.
    stated : tuple of Channel
        The channels as files or file names state them.
    planes : tuple of tuple of int
        Numbers of the planes of each channel, from 0 or as in the file names.
    height, width : int
        In pixels of the file.
    dtype : numpy dtype
    pixel_size_um, pixel_size_source
        As in `nucleiflow.readers.Scene`.
    view : View
    load : function
        From the index of a channel and the number of a plane to a (Y, X) array.
    time, times : int
        Which of how many times of its files it is.
    load_at : function
        `load` of any time, which comes first.
    part : Part or None
        What of each plane `load` gives, where that is not all of it.
    """

    names: tuple[str, ...]
    stated: tuple[Channel, ...]
    planes: tuple[tuple[int, ...], ...]
    height: int
    width: int
    dtype: np.dtype
    pixel_size_um: float | None
    pixel_size_source: str
    view: View
    load: Callable[[int, int], np.ndarray]
    time: int = 0
    times: int = 1
    load_at: Callable[[int, int, int], np.ndarray] | None = None
    part: Part | None = None

    def at(self, time: int) -> "Field":
        """The same field at another time of its files, from 0 to below `times`."""
        return replace(self, time=time, load=functools.partial(self.load_at, time))

    def image(self, channel: int) -> np.ndarray:
        """A channel, projected, cropped and resized: a (Y, X) array."""
        planes = self.planes[channel]
        how = self.view.z
        if len(planes) == 1:
            projected = self.load(channel, planes[0])
        elif isinstance(how, str):
            projected = project((self.load(channel, z) for z in planes), how)
        else:
            refuse_plane(how, planes)
            projected = self.load(channel, how)
        return cut_out(projected, self.view.crop, self.view.resize)

    def rgb(self) -> np.ndarray | None:
        """The colour image as a (Y, X, 3) array, or None where there is none."""
        if tuple(channel.name for channel in self.stated) != RGB:
            return None
        return np.dstack([self.image(index) for index in range(3)])

    def segmented(self) -> int:
        """Index of the channel with the nuclei."""
        if self.view.segmented is not None:
            return self.view.segmented
        if self.view.segment != "auto":
            return pick(self.view.segment, self.names, self.stated, "segment")
        nuclear = nuclear_channel(self.names)
        return self._only_lit() if nuclear is None else nuclear

    def sharpest(self, channel: int) -> int:
        """Number of the plane of a channel in which most is in focus."""
        planes = self.planes[channel]
        if len(planes) == 1:
            return planes[0]
        return planes[int(np.argmax([sharpness(self.load(channel, z)) for z in planes]))]

    def _only_lit(self) -> int:
        """The only channel that is not black, or any where all that are not are equal."""
        if self.part is not None:
            raise ImageError(
                "none of its channels is named like a stain of nuclei, and a tile does not show "
                f"which of them holds something: set segment ({_names_shown(self.names)})"
            )
        images = (self.image(index) for index in range(len(self.names)))
        lit, first, equal = [], None, True
        for index, image in enumerate(images):
            if image.any():
                lit.append(index)
                first = image if first is None else first
                equal = equal and np.array_equal(first, image)
        if equal:
            return lit[0] if lit else 0
        raise ImageError(
            f"{len(lit)} of the image's {len(self.names)} channels hold something: set segment "
            f"to the one with the nuclei ({_names_shown(self.names)})"
        )


class Header(NamedTuple):
    """What the headers of an image's files state.

    `scenes` are the names of its scenes and their numbers of times: each time is an image. The
    rest is that of the largest scene, as in Field; `planes` are the numbers of those of the channel
    with the most. `sizes` are rows and columns of each scene.
    """

    scenes: tuple[tuple[str, int], ...]
    names: tuple[str, ...]
    stated: tuple[Channel, ...]
    planes: tuple[int, ...]
    height: int
    width: int
    dtype: np.dtype
    pixel_size_um: float | None
    pixel_size_source: str
    sizes: tuple[tuple[int, int], ...] = ()


@contextmanager
def open_field(
    folder: Path,
    files: Sequence[File],
    view: View,
    scene: int = 0,
    time: int = 0,
    part: Part | None = None,
) -> Iterator[Field]:
    """Open an image to read its channels.

    Parameters
    ----------
    folder : Path
        Where the paths of the files start.
    files : sequence of File
        One with all channels and planes, several of one OME-TIFF dataset, or one for each
        channel or plane.
    view : View
    scene, time : int
        Which image of a file that holds several, see Header.
    part : Part, optional
        What of each plane is looked at, in the place of the view's crop.

    Raises ImageError and OSError as `nucleiflow.readers.open_image` does.
    """
    if part is not None:
        view = replace(view, crop=None)
    if _are_parts(files):
        yield _joined(folder, files, view, time, part)[0]
        return
    with _opened(folder, files, view) as scenes:
        chosen = _cut(scenes[scene], part)
        yield Field(
            channel_names(chosen.channels, view.channels),
            chosen.channels,
            (tuple(range(chosen.planes)),) * len(chosen.channels),
            *_facts(chosen),
            view,
            lambda channel, z: chosen.load(time, channel, z),
            time,
            chosen.times,
            chosen.load,
            part,
        )


def header(folder: Path, files: Sequence[File], view: View) -> Header:
    """Look at an image without reading its pixels; raises as `open_field` does."""
    if _are_parts(files):
        field, times = _joined(folder, files, view, 0)
        planes, scenes = max(field.planes, key=len), (("", times),)
        size = (field.pixel_size_um, field.pixel_size_source)
        shape = field.height, field.width
        channels = field.names, field.stated
        return Header(scenes, *channels, planes, *shape, field.dtype, *size, (shape,))
    with _opened(folder, files, view) as scenes:
        largest = max(scenes, key=lambda scene: scene.height * scene.width)
        return Header(
            tuple((scene.name, scene.times) for scene in scenes),
            channel_names(largest.channels, view.channels),
            largest.channels,
            tuple(range(largest.planes)),
            *_facts(largest),
            tuple((scene.height, scene.width) for scene in scenes),
        )


def is_wanted(scene: str, wanted: Sequence[str]) -> bool:
    """Whether the name of a scene fits one of some patterns; all do where either is missing."""
    return not wanted or not scene or any(fnmatch.fnmatchcase(scene, pattern) for pattern in wanted)


def channel_names(
    stated: Sequence[Channel], given: list[str] | dict[str, str] | None = None
) -> tuple[str, ...]:
    """Names of channels that can be parts of column names, each once.

    Those of the config, else those of the file, else numbers from 0; empty for the only channel
    of a file that does not name it.
    """
    names = [channel.name for channel in stated]
    if isinstance(given, list):
        if len(given) != len(names):
            raise ImageError(
                f"the image has {len(names)} channels and the config names {len(given)}: "
                "change channels"
            )
        names = list(given)
    elif given:
        known = channel_names(stated)
        indices = {key: pick(key, known, stated, "channels") for key in given}
        for key, index in indices.items():
            names[index] = given[key]
    if len(names) == 1 and not names[0]:
        return ("",)
    unique: list[str] = []
    for index, name in enumerate(names):
        name = plain(name) or str(index)
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        spellings = itertools.chain([name], numbered)
        unique.append(next(each for each in spellings if each not in unique))
    return tuple(unique)


def plain(name: str) -> str:
    """A name without what column names should not hold: `FITC - 488` is `FITC_488`."""
    return re.sub(r"\W+", "_", name).strip("_")


def pick(which: str | int, names: Sequence[str], stated: Sequence[Channel], key: str) -> int:
    """Index of a channel by its name, its name in the file, its colour or its index, in this order.

    `key` is the one of the config that says which.
    """
    wanted = plain(str(which)).lower()
    for known in (
        names,
        [channel.name for channel in stated],
        [channel.color for channel in stated],
    ):
        found = [index for index, name in enumerate(known) if plain(name).lower() == wanted]
        if len(found) == 1 and wanted:
            return found[0]
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    raise ImageError(
        f"there is no channel {which}, the image has {_names_shown(names)}: change {key}"
    )


def refuse_plane(plane: int, planes: Sequence[int]) -> None:
    """Raise ImageError where there is no plane of this number."""
    if plane not in planes:
        raise ImageError(f"there is no plane {plane}, there are {_listed(planes)}: change z")


def nuclear_channel(names: Sequence[str]) -> int | None:
    """The only channel, or the only one that is called like a stain of nuclei."""
    if len(names) == 1:
        return 0
    found = [index for index, name in enumerate(names) if NUCLEAR.search(name)]
    return found[0] if len(found) == 1 else None


def project(planes: Iterable[np.ndarray], how: str) -> np.ndarray:
    """Project a stack along z, with no more than three planes in memory.

    Parameters
    ----------
    planes : iterable of (Y, X) arrays of one dtype
    how : str
        `max`, of the same dtype; `mean`, float32 (float64 for those of 64 bits); `sum`, uint32
        for unsigned integers of 8 and 16 bits, else float64; `focus`, the sharpest plane.

    Raises ImageError where planes are of different types.
    """
    planes = _of_one_type(planes)
    first = next(planes)
    if how == "max":
        result = first.copy()
        del first
        for plane in planes:
            np.maximum(result, plane, out=result)
        return result
    if how == "focus":
        best, score = first, sharpness(first)
        del first
        for plane in planes:
            if (other := sharpness(plane)) > score:
                best, score = plane, other
        return best
    dtype = first.dtype
    small = dtype.kind == "u" and dtype.itemsize <= 2
    total, count = first.astype(np.uint32 if small else np.float64), 1
    del first
    for plane in planes:
        total += plane
        count += 1
    if how == "sum":
        return total
    return (total / count).astype(np.float64 if dtype.itemsize == 8 else np.float32)


def _of_one_type(planes: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Planes that can be projected: NumPy wraps values that do not fit the first one's type."""
    dtype = None
    for plane in planes:
        if dtype not in (None, plane.dtype):
            raise ImageError(
                f"its planes are of different types ({dtype} and {plane.dtype}), export them alike"
            )
        dtype = plane.dtype
        yield plane


def sharpness(image: np.ndarray) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000); larger is sharper."""
    laplacian = cv2.Laplacian(image.astype(np.float32), cv2.CV_32F)
    return float(laplacian.var(dtype=np.float64))


def _are_parts(files: Sequence[File]) -> bool:
    return any(file.channel or file.z is not None for file in files)


def _cut(scene: Scene, part: Part | None) -> Scene:
    """A scene whose `load` gives a part of each plane; its size stays that of the file."""
    return scene if part is None else replace(scene, load=functools.partial(scene.load, part=part))


def _joined(
    folder: Path, files: Sequence[File], view: View, time: int, part: Part | None = None
) -> tuple[Field, int]:
    """A field with a file for each channel or plane, opened when asked for, and its times."""
    by_channel: dict[str, dict[int | None, File]] = {}
    for file in files:
        by_channel.setdefault(file.channel, {})[file.z] = file
    with _opened(folder, files[:1], view) as scenes:
        first = _only_scene(scenes)
    apart = list(by_channel) != [""]
    stated = tuple(map(Channel, by_channel)) if apart else first.channels

    def of_channel(channel: int) -> dict[int | None, File]:
        return by_channel[stated[channel].name if apart else ""]

    def load(time: int, channel: int, z: int) -> np.ndarray:
        file = of_channel(channel).get(z) or of_channel(channel)[None]
        with _opened(folder, [file], view) as scenes:
            scene = _cut(_only_scene(scenes), part)
            if (scene.height, scene.width) != (first.height, first.width):
                raise ImageError(
                    f"{file.path} has {scene.width} x {scene.height} pixels and {files[0].path} "
                    f"{first.width} x {first.height}, though their names say that they are one "
                    "field: set metadata.pattern"
                )
            plane = z if file.z is None else 0
            if time >= scene.times or plane >= scene.planes:
                raise ImageError(f"{file.path} has fewer times or planes than {files[0].path}")
            if apart:
                return _only_sample(scene, file, time, plane)
            return scene.load(time, channel, plane)

    planes = []
    for channel in range(len(stated)):
        numbers = tuple(z for z in of_channel(channel) if z is not None)
        if numbers and first.planes > 1:
            raise ImageError(
                f"{files[0].path} holds {first.planes} planes, though its name says that it is "
                f"one: set metadata.pattern"
            )
        planes.append(numbers or tuple(range(first.planes)))
    names = channel_names(stated, view.channels)
    at_time = functools.partial(load, time)
    facts = (*_facts(first), view, at_time, time, first.times, load, part)
    return Field(names, stated, tuple(planes), *facts), first.times


def _only_sample(scene: Scene, file: File, time: int, z: int) -> np.ndarray:
    """The plane of a file of one channel, also where it was exported as a colour image."""
    samples = [scene.load(time, index, z) for index in range(len(scene.channels))]
    lit = [sample for sample in samples if sample.any()] or samples[:1]
    if all(np.array_equal(lit[0], sample) for sample in lit[1:]):
        return lit[0]
    raise ImageError(
        f"{file.path} holds {len(lit)} channels, though its name says that it is channel "
        f"{file.channel}: set metadata.pattern"
    )


@contextmanager
def _opened(folder: Path, files: Sequence[File], view: View) -> Iterator[list[Scene]]:
    paths = [folder / file.path for file in files]
    with open_image(*paths, pages=view.pages, max_megapixels=view.max_megapixels) as scenes:
        yield scenes


def _only_scene(scenes: list[Scene]) -> Scene:
    if len(scenes) != 1:
        raise ImageError(
            f"the file holds {len(scenes)} images, though its name says that it is a part of one: "
            "set metadata.pattern to null"
        )
    return scenes[0]


def _facts(scene: Scene) -> tuple:
    size = (scene.pixel_size_um, scene.pixel_size_source)
    return scene.height, scene.width, scene.dtype, *size


def _names_shown(names: Sequence[str]) -> str:
    return "one" if len(names) == 1 and not names[0] else ", ".join(names)


def _listed(planes: Sequence[int]) -> str:
    few = planes if len(planes) <= 6 else (*planes[:3], "...", planes[-1])
    return ", ".join(map(str, few))
