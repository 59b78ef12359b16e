"""Flat fields: how much of the light each pixel gets, and images without that unevenness.

A flat field is 1 on average. Shading multiplies the light and leaves the camera's offset alone,
so that a corrected value is (value - offset) / flat + offset.
"""

import functools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from glob import escape, glob
from hashlib import blake2b
from pathlib import Path

import numpy as np

from nucleiflow.field import Field, pick
from nucleiflow.images import ImageError, decode_tiff, encode_tiff
from nucleiflow.plan import Batch, directory_name
from nucleiflow.readers import Channel, open_image

# What an estimate leaves beside its flat fields.
FACTS = "flat_fields.json"
KEY = "illumination.flat_field.path"


def normalised(flat: np.ndarray) -> np.ndarray:
    """A flat field of any type and scale as a (Y, X) array of float32 whose mean is 1.

    Raises ImageError where a pixel is not above 0.
    """
    values = flat.astype(np.float64)
    bad = values.size - np.count_nonzero(np.isfinite(values) & (values > 0))
    if bad:
        raise ImageError(
            f"{bad} of {values.size} pixels of the flat field are zero, negative or not a number: "
            "each must be above 0"
        )
    return (values / values.mean()).astype(np.float32)


def correct(image: np.ndarray, flat: np.ndarray, offset: float, dtype: np.dtype) -> np.ndarray:
    """Take unevenness of the light out of an image: (value - offset) / flat + offset.

    Parameters
    ----------
    image : (Y, X) array of numbers
        Left unmodified.
    flat : (Y, X) array of float32
    offset : float
        What the camera adds to the light, in units of the image.
    dtype : numpy dtype
        Of the result. Integers are rounded, and clipped to the range of their type.

    Raises ImageError where the shapes differ.
    """
    if image.shape != flat.shape:
        raise ImageError(
            f"the image has {_shown(image.shape)} pixels and its flat field {_shown(flat.shape)}: "
            "give a flat field of the size of the image, before crop and resize"
        )
    result = image.astype(np.float64)
    result -= offset
    result /= flat
    result += offset
    dtype = np.dtype(dtype)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        result = np.clip(np.rint(result, out=result), limits.min, limits.max, out=result)
    return result.astype(dtype, copy=False)


def corrected(field: Field, illumination: dict | None, record: dict, exact: bool) -> Field:
    """A field whose channels are corrected, plane by plane, before projection, crop and resize.

    Parameters
    ----------
    field : Field
    illumination : dict or None
        `method`, `offset`, and `folder` of the estimates or `path` of the user's flat fields;
        None for no correction. `directories` are those of the members of a batch that has
        images of several.
    record : dict
        Of the image in its batch.
    exact : bool
        Values become float64; else they keep their type.

    Its planes raise ImageError where there is no flat field for them, or one that does not fit.
    """
    if illumination is None:
        return field
    shape = (field.height, field.width)
    directory = record["directory"]
    if "directories" in illumination:
        directory = illumination["directories"][record["member"]]

    def even(plane: np.ndarray, channel: int) -> np.ndarray:
        if illumination["method"] == "estimate":
            flat = _estimated(illumination, field, channel, directory, shape)
        else:
            path = illumination["path"]
            flat = given(path, field.names, field.stated, channel, directory, shape)
        if flat is not None and field.part is not None:
            flat = flat[field.part]
        dtype = np.dtype(np.float64) if exact else plane.dtype
        if flat is None:
            return plane.astype(dtype, copy=False)
        return correct(plane, flat, illumination["offset"], dtype)

    def load(channel: int, z: int) -> np.ndarray:
        return even(field.load(channel, z), channel)

    def load_at(time: int, channel: int, z: int) -> np.ndarray:
        return even(field.load_at(time, channel, z), channel)

    return replace(field, load=load, load_at=load_at)


def files_of(path: str | dict[str, str] | None, directory: str) -> list[str]:
    """The user's flat fields for a directory, all that exist of any channel.

    Raises ImageError where one is missing.
    """
    if path is None:
        raise ImageError(
            f"config: {KEY} is not set, name an image file, or set illumination.method to estimate"
        )
    found = []
    for text in [path] if isinstance(path, str) else path.values():
        spellings = list(_spellings(text, directory))
        paths = [glob(escape(name).replace("{channel}", "*")) for name in spellings]
        there = next((sorted(each) for each in paths if each), [])
        folders = [each for each in there if os.path.isdir(each) and not each.endswith(".zarr")]
        if folders:
            raise ImageError(f"config: {KEY}: {folders[0]} is a directory, name an image file")
        if not there:
            raise ImageError(f"config: {KEY}: there is no file {spellings[0]}, check the path")
        found += [name for name in there if name not in found]
    return found


def channel_file(channel: str) -> str:
    """The name of the file of a channel without its ending; a channel without a name is 0."""
    return channel or "0"


def save(flat: np.ndarray, path: Path) -> None:
    """Write a flat field as `corrected` finds it."""
    encode_tiff(path, flat)


def sampled(batches: Iterable[Batch], count: int) -> dict[str, Batch]:
    """Of each directory so many images at most, as a batch of their own, by its name.

    An image is taken for its name's sake alone, so that one more or less rarely changes the
    others.
    """
    directories: dict[str, list[Batch]] = {}
    for batch in batches:
        directories.setdefault(batch.directory, []).append(batch)
    result = {}
    for directory, parts in directories.items():
        images = [image for part in parts for image in part.images]
        # Those that are known to fail are taken where there are no others.
        images = [image for image in images if not image.problem] or images
        images.sort(key=lambda image: (rank(image.name), image.name))
        taken = sorted(images[:count], key=lambda image: image.name)
        name = directory_name(directory)
        result[name] = Batch(name, directory, parts[0].folder, taken, parts[0].extent)
    return result


def rank(name: str) -> bytes:
    """What images are chosen by: the smallest come first, whatever others there are."""
    return blake2b(os.fsencode(name), digest_size=8).digest()


def _spellings(path: str, directory: str) -> Iterator[str]:
    """A path of the config for a directory, by its own path or by that of its estimates."""
    path = os.path.abspath(os.path.expanduser(path))
    for name in dict.fromkeys((directory, directory_name(directory))):
        yield path.replace("{directory}", name)


def given(
    path: str | dict[str, str],
    names: Sequence[str],
    stated: Sequence[Channel],
    channel: int,
    directory: str,
    shape: tuple[int, int],
) -> np.ndarray | None:
    """The user's flat field of a channel, or None where the user names those of others.

    Parameters
    ----------
    path : str, or dict of str by channels
        Of the config.
    names, stated
        The channels of the image, as in `nucleiflow.field.Field`.
    channel : int
    directory : str
        Of the image.
    shape : (int, int)
        Rows and columns of the image.

    Raises ImageError where there is none, or one that does not fit.
    """
    name = names[channel]
    if not isinstance(path, str):
        of_channel = {pick(key, names, stated, KEY): path[key] for key in path}
        if channel not in of_channel:
            return None
        path = of_channel[channel]
    spellings = [
        spelling.replace("{channel}", channel_file(name))
        for spelling in _spellings(path, directory)
    ]
    file = next((Path(spelling) for spelling in spellings if os.path.exists(spelling)), None)
    if file is None:
        raise ImageError(f"there is no flat field {spellings[0]}: change {KEY}")
    try:
        flat = _loaded(file, file.stat().st_mtime_ns, name, channel, len(names))
    except ImageError as error:
        raise ImageError(f"flat field {file.name}: {error}") from None
    if flat.shape != shape:
        raise ImageError(
            f"the image has {_shown(shape)} pixels and its flat field {file.name} "
            f"{_shown(flat.shape)}: give one of the size of the image, before crop and resize"
        )
    return flat


@functools.lru_cache(maxsize=4)
def _loaded(file: Path, changed: int, name: str, channel: int, channels: int) -> np.ndarray:
    """A flat field from a file of one channel, or from that with all of the image's channels."""
    with open_image(file, pages="channel") as scenes:
        scene = scenes[0]
        if len(scenes) * scene.times * scene.planes > 1:
            raise ImageError("the file holds several images, times or planes: save one as a file")
        index = 0
        if len(scene.channels) == channels:
            index = channel
        elif len(scene.channels) > 1:
            index = pick(name, [each.name for each in scene.channels], scene.channels, KEY)
        return normalised(scene.load(0, index, 0))


def _estimated(
    illumination: dict, field: Field, channel: int, directory: str, shape: tuple[int, int]
) -> np.ndarray:
    """The flat field of a channel that was estimated from the images of the directory."""
    folder = Path(illumination["folder"], directory_name(directory))
    name, facts = field.names[channel], facts_of(folder)
    of_channel = {
        (each["height"], each["width"]): each["file"]
        for each in facts["flat_fields"]
        if each["channel"] == name
    }
    what = f"no flat field of channel {name}" if name else "no flat field"
    if not of_channel:
        begin = f"channel {name}: " if name else ""
        for problem in facts["problems"]:
            if problem.startswith(begin):
                raise ImageError(f"{what} could be estimated: {problem.removeprefix(begin)}")
    if shape not in of_channel:
        others = ", ".join(_shown(other) for other in of_channel)
        raise ImageError(
            f"{what} could be estimated for images of {_shown(shape)} pixels from the sample of "
            f"its directory ({f'those there have {others}' if others else 'none was usable'}): "
            "raise illumination.estimate.images, or give one with illumination.flat_field"
        )
    file = folder / of_channel[shape]
    return _decoded(file, file.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _decoded(file: Path, changed: int) -> np.ndarray:
    return normalised(decode_tiff(file))


def facts_of(folder: Path) -> dict:
    """What an estimate says of its flat fields."""
    path = folder / FACTS
    return _facts(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _facts(path: Path, changed: int) -> dict:
    return json.loads(path.read_text())


def _shown(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
