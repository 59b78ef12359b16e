"""Which files make one image: by what their names tell, or by what OME-TIFF files say."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from nucleiflow import names
from nucleiflow.plan import File, Image
from nucleiflow.readers import ome_zarr
from nucleiflow.walk import DatasetError

# What every image has, whether its name tells or not.
STANDARD = names.STANDARD
UNKNOWN = ("",) * len(STANDARD)
OME_TIFF = (".ome.tif", ".ome.tiff")

# From the path of a folder and that of a file in it to the names of the files of its OME-TIFF
# dataset, if there are several.
SetOf = Callable[[str, str], Sequence[str]]


def how_named(pattern: str | None, paths: Sequence[str]) -> names.Naming | None:
    """How names are to be read; refuses what would silently be read wrongly."""
    try:
        if pattern != "auto":
            naming = names.by_config(pattern)
            if naming and paths and not any(map(naming.pattern.search, paths)):
                raise DatasetError(
                    f"config: metadata.pattern {pattern} matches none of "
                    f"{counted(len(paths), 'file')} such as {paths[0]}, change it or set it to null"
                )
            return naming
        naming = names.auto(paths)
        near = None if naming else names.nearest(paths)
    except names.NamesError as error:
        raise DatasetError(str(error)) from None
    if near and near[0].joins:
        other = next(path for path in paths if not _explains(near[0], path))
        raise DatasetError(
            f"images: {near[1]:,} of {len(paths):,} files are named as by {near[0].name}, but not "
            f"{other}: name what is no image in exclude, or set metadata.pattern to "
            f"{near[0].name} (the others then fail alone) or to null (each file is an image)"
        )
    return naming


def _explains(naming: names.Naming, path: str) -> bool:
    return naming.is_companion(path) or naming.pattern.search(path) is not None


def plain(files: list[File], folder: str, set_of: SetOf) -> list[Image]:
    """Each file an image, but for OME-TIFF datasets of several files."""
    sets = [file for file in files if file.path.lower().endswith(OME_TIFF)]
    groups: dict[str, list[File]] = {}
    # Datasets of one file and of several do not lie side by side in practice. A file that
    # belongs to a dataset which was not seen here fails when it is read.
    if len(sets) > 1 and set_of(folder, max(sets, key=lambda file: file.size).path):
        of_path = {file.path: file for file in files}
        for file in sets:
            others = [name for name in set_of(folder, file.path) if name in of_path]
            first = min([file.path, *others])
            groups.setdefault(first, []).append(file)
    grouped = {file.path for group in groups.values() for file in group}
    images = [
        Image(stem(file.path), (file,), UNKNOWN) for file in files if file.path not in grouped
    ]
    for first, group in groups.items():
        images.append(Image(stem(first), tuple(sorted(group)), UNKNOWN))
    return images


def named(
    files: dict[str, list[File]],
    naming: names.Naming,
    root: str,
    set_of: SetOf,
    set_aside: dict[str, list[str]],
) -> dict[str, list[Image]]:
    """Images by directory, joined from the files whose names say that they belong together.

    What is no image of its own is added to `set_aside`, by the reason. Raises DatasetError where
    two files say that they are the same, or none is named like that.
    """
    images: dict[str, list[Image]] = {}
    joined: dict[tuple[str, str, tuple[str, ...]], list[File]] = {}
    companions: dict[str, list[File]] = {}
    nothing = ("",) * len(naming.columns)
    for directory, found in files.items():
        below = "" if directory == "." else directory + "/"
        for file in found:
            path = below + file.path
            if naming.is_companion(path):
                companions.setdefault(directory, []).append(file)
                continue
            told = _told(naming, path)
            if isinstance(told, str):
                image = Image(stem(file.path), (file,), nothing, told)
                images.setdefault(directory, []).append(image)
            elif naming.joins:
                base = "" if told.directory == "." else told.directory + "/"
                part = File(path.removeprefix(base), *file[1:3], told.channel, told.z)
                joined.setdefault((told.directory, told.name, told.metadata), []).append(part)
            else:
                image = Image(told.name, (file,), told.metadata)
                images.setdefault(directory, []).append(image)
    for (directory, name, metadata), parts in joined.items():
        image = Image(name, tuple(parts), metadata)
        image = ordered(_without_projections(directory, image, set_aside))
        _refuse_doubles(directory, image)
        images.setdefault(directory, []).append(image)
    for directory, found in companions.items():
        folder = root if directory == "." else f"{root}/{directory}"
        left = _continued(images.get(directory, []), found, folder, set_of)
        below = "" if directory == "." else directory + "/"
        if left:
            aside = set_aside.setdefault(f"companions of {naming.name}", [])
            aside += [below + file.path for file in left]
    if files and all(image.problem for found in images.values() for image in found):
        first = next((image for found in images.values() for image in found), None)
        raise DatasetError(
            f"images: none of the names can be read as metadata.pattern says; the first, "
            f"{first.files[0].path}: {first.problem}"
            if first
            else f"images: all files are companions of {naming.name}, none is an image"
        )
    return images


def _told(naming: names.Naming, path: str) -> names.Parsed | str:
    """What a name tells, or why it tells nothing that can be used."""
    try:
        told = naming.parse(path)
    except names.NamesError as error:
        return str(error)
    if told is not None:
        return told
    preset = f" {naming.name}" if naming.name in names.PRESETS else ""
    return f"its name does not match metadata.pattern{preset}"


def _continued(
    images: list[Image], companions: list[File], folder: str, set_of: SetOf
) -> list[File]:
    """Add to OME-TIFF images the files in which they go on; gives the companions left over.

    Micro-Manager begins another file when one is full.
    """
    more = {file.path: file for file in companions if file.path.lower().endswith(OME_TIFF)}
    used: list[File] = []
    for index, image in enumerate(images if more else ()):
        if len(image.files) == 1 and image.files[0].path.lower().endswith(OME_TIFF):
            files = [more[path] for path in set_of(folder, image.files[0].path) if path in more]
            images[index] = image._replace(files=(*image.files, *files))
            used += files
    return [file for file in companions if file not in used]


def _without_projections(directory: str, image: Image, set_aside: dict[str, list[str]]) -> Image:
    """Leave out the projection that a microscope wrote beside the planes of a channel."""
    stacked = {file.channel for file in image.files if file.z is not None}
    kept = [file for file in image.files if file.z is not None or file.channel not in stacked]
    if len(kept) < len(image.files):
        below = "" if directory == "." else directory + "/"
        left = [below + file.path for file in image.files if file not in kept]
        set_aside.setdefault("projections beside their planes", []).extend(left)
    return image._replace(files=tuple(kept))


def ordered(image: Image) -> Image:
    """Files in the order of channels and planes, channels that are numbers by their value."""
    files = sorted(image.files, key=lambda file: (*_place(file.channel, file.z), file.path))
    return image._replace(files=tuple(files))


def _place(channel: str, z: int | None) -> tuple:
    """What channels and planes are sorted by."""
    number = int(channel) if channel.isdecimal() else math.inf
    return number, channel, -1 if z is None else z


def complete(images: list[Image]) -> list[Image]:
    """Mark the images that lack a channel or plane which at least half of the directory has."""
    fields = [image for image in images if not image.problem]
    parts = Counter((file.channel, file.z) for image in fields for file in image.files)
    expected = [part for part, count in parts.items() if 2 * count >= len(fields)]
    if all(part == ("", None) for part in expected):
        return images
    result = []
    for image in images:
        found = {(file.channel, file.z) for file in image.files}
        lacking = [part for part in expected if part not in found]
        if lacking and not image.problem:
            image = image._replace(problem=_lacking(lacking, found))
        result.append(image)
    return result


def _lacking(parts: list[tuple[str, int | None]], found: set[tuple[str, int | None]]) -> str:
    channel, z = min(parts, key=lambda part: _place(*part))
    whole = channel and channel not in {name for name, _ in found}
    what = f"channel {channel}" if whole or z is None else f"plane {z}"
    what += "" if whole or z is None or not channel else f" of channel {channel}"
    more = f" (and {len(parts) - 1} more)" if len(parts) > 1 and not whole else ""
    return f"the file of {what} is missing{more}, which other images of the directory have"


def refuse_twins(directory: str, images: list[Image]) -> None:
    """Two files of one name would write the same results and count the same nuclei twice."""
    for one, other in itertools.pairwise(images):
        if one.name == other.name:
            first, second = sorted((one.files[0].path, other.files[0].path))
            raise DatasetError(
                f"images: {directory} holds both {first} and {second}, which would be the same "
                "image: move one of them away, or set extensions to the ending to use"
            )


def _refuse_doubles(directory: str, image: Image) -> None:
    """One of two files that are joined as the same channel and plane would not be measured."""
    seen: dict[tuple[str, int | None], File] = {}
    for file in image.files:
        twin = seen.setdefault((file.channel, file.z), file)
        if twin is not file:
            raise DatasetError(
                f"images: {twin.path} and {file.path} in {directory} would be the same channel "
                f"and plane of {image.name}: move one of them away, or add to metadata.pattern "
                "a group for what tells them apart"
            )


def fields_of_plate(plate: str, wells: list[tuple[str, str, str]], path: str) -> list[Image]:
    """The images of an OME-Zarr plate. What is no well of a plate as others are keeps its name."""
    images = []
    for below, well, site in wells:
        try:
            well = names.normal("well", well)
        except ValueError:
            well = well.replace("/", "-")
        file = File(below, *ome_zarr.size_and_time(Path(path, below)))
        images.append(Image(f"{well}_s{site.replace('/', '-')}", (file,), (plate, well, site, "")))
    return images


def stem(path: str) -> str:
    """The name of an image: its file name without the ending, and without OME's."""
    name = path.rpartition("/")[2].rpartition(".")[0]
    return name[:-4] if name.lower().endswith(".ome") else name


def counted(number: int, one: str, many: str = "") -> str:
    """A number and what it counts, `1 image` or `2 images`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
