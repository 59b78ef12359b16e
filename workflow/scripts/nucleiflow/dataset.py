"""What is in the dataset: its directories, their images and batches.

Names and sizes of files are all that is looked at, and one header in each directory.
"""

import fnmatch
import itertools
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from nucleiflow import joining
from nucleiflow.controls import Controls
from nucleiflow.field import Header
from nucleiflow.files import printable
from nucleiflow.joining import STANDARD, SetOf, counted, stem
from nucleiflow.plan import Batch, BatchSize, Extent, File, Image, batch_name, cut
from nucleiflow.readers import ome_zarr
from nucleiflow.samples import SampleSheet
from nucleiflow.walk import DatasetError, Leaving, is_below, links_below, size_and_time, walk

# Assumed where no header of a directory can be read: its images fail, but that is for its job
# to say.
FALLBACK = Extent(4.0)


class Look(NamedTuple):
    """How files are looked into: functions that take the path of a folder first.

    `header` is that of an image, or None if it cannot be read. `set_of` names the files of the
    OME-TIFF dataset that a file belongs to, if there are several.
    """

    header: Callable[[str, Sequence[File]], Header | None]
    set_of: SetOf = lambda folder, path: ()


@dataclass
class Dataset:
    """All batches, in the order of their directories and images, and what else was found.

    Attributes
    ----------
    path : str
        The directory, or the sample sheet.
    root : str
        The directory, or that of the sheet.
    columns : tuple of str
        What names of files, or the sheet, tell of each image.
    naming : str
        Who told it: a preset, `metadata.pattern` or `sheet`; empty for nobody.
    set_aside : dict of str to list of str
        Image files that are no images of their own, by the reason.
    headers : dict of Header to list of str
        Of the largest readable image of each directory, with the directories of which it is.
    unfit : dict of str
        Directories of which no image will do, by such a header, with a sentence on the reason.
    incomplete : list of str
        Sentences on images that lack a file, or whose name tells nothing.
    channel_sets : dict of tuple of str to str
        Channels that file names tell of most images of a directory, with the first such directory.
    endings : set of str
        Of the files, in lower case without the dot.
    plate_map : str
        Changes with the content of the plate map.
    controls : Controls or None
        Which images are controls, where anything tells.
    """

    path: str
    root: str
    columns: tuple[str, ...] = STANDARD
    naming: str = ""
    batches: dict[str, Batch] = field(default_factory=dict)
    directories: int = 0
    images: int = 0
    size: int = 0
    ignored: int = 0
    channel_sets: dict[tuple[str, ...], str] = field(default_factory=dict)
    endings: set[str] = field(default_factory=set)
    plate_map: str = ""
    controls: Controls | None = None
    set_aside: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[Header, list[str]] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    incomplete: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One sentence for the terminal."""
        text = (
            f"{self.path}: {counted(self.images, 'image')} in "
            f"{counted(self.directories, 'directory', 'directories')}, "
            f"{counted(len(self.batches), 'batch', 'batches')}, {_bytes(self.size)} on disk"
        )
        if self.naming:
            told = ", ".join(self.told()) or "nothing told"
            read = "by the sheet" if self.naming == "sheet" else f"names read as {self.naming}"
            text += f"; {read}: {told}"
        if kinds := self.kinds():
            more = f" and {len(kinds) - 2} other kinds" if len(kinds) > 2 else ""
            text += f"; {' or '.join(kinds[:2])}{more}"
        for why, files in self.set_aside.items():
            text += f"; {counted(len(files), 'file')} set aside ({why}), such as {files[0]}"
        if self.incomplete:
            text += f"; {counted(len(self.incomplete), 'image')} will fail: {self.incomplete[0]}"
        for directory, why in itertools.islice(self.unfit.items(), 1):
            where = counted(len(self.unfit), "directory", "directories")
            text += f"; the images of {where} will fail, such as {directory}: {why}"
        if self.ignored:
            text += f"; {counted(self.ignored, 'other file')} left alone"
        if self.loops:
            text += f"; not followed, as it links back to a directory above it: {self.loops[0]}"
        return printable(text)

    def kinds(self) -> list[str]:
        """What the largest images of directories are, in words."""
        return list(dict.fromkeys(map(_described, self.headers)))

    def told(self) -> list[str]:
        """How many plates, wells ... there are, as far as names tell."""
        found: list[set[str]] = [set() for _ in self.columns]
        for batch in self.batches.values():
            for image in batch.images:
                for values, value in zip(found, image.metadata, strict=True):
                    if value:
                        values.add(value)
        texts = [
            counted(len(values), column)
            for column, values in zip(self.columns, found, strict=True)
            if values
        ]
        return texts


def find(
    root: str,
    extensions: list[str],
    batch_size: BatchSize,
    look: Look,
    results: str = "",
    exclude: Sequence[str] = (),
    pattern: str | None = None,
    follow_links: str = "inside",
    labels: Sequence[str] = (),
) -> Dataset:
    """Look at a directory of images once.

    Parameters
    ----------
    root : str
        Its directory. Hidden files and directories in it are left alone.
    extensions : list of str
        Endings of images, in lower case without the dot.
    batch_size : BatchSize
    look : Look
        Called for the largest image of each directory.
    results : str
        A directory that is left out if it lies in the dataset: that of the results.
    exclude : sequence of str
        Patterns as of the shell of paths below the dataset that are left out.
    pattern : str or None
        What names tell: `auto`, a preset's name or a regular expression, see `nucleiflow.names`.
    follow_links : str
        `inside` the dataset alone, or `anywhere`.
    labels : sequence of str
        Patterns of label images, or images of seeds, that lie among the images.

    Raises
    ------
    DatasetError
        Where the directory is missing, cannot be read, holds no image or is that of the
        results, where a link leaves it, or where two files would be the same image.
    """
    dataset = Dataset(root, root)
    if not os.path.isdir(root):
        raise DatasetError(
            f"images: {root} is neither a directory nor a sample sheet (.csv, .tsv), "
            "set it to the directory of the images"
            if os.path.exists(root)
            else f"images: there is no directory {root}, check the path"
        )
    if results and os.path.realpath(results) == os.path.realpath(root):
        raise DatasetError(
            f"results: {root} is the directory of the images, where nothing may be written: "
            "set results to another one"
        )
    endings = tuple("." + ending for ending in extensions)
    files: dict[str, list[File]] = {}
    plates: dict[str, list[Image]] = {}
    leave_out = _matcher({"exclude": exclude, "labels": labels})
    aside = dataset.set_aside
    leaving = None if follow_links == "anywhere" else _refuses_links(endings, leave_out, aside)
    for directory, entries in walk(
        root, dataset.loops, os.path.realpath(results) if results else "", leaving
    ):
        below = "" if directory == "." else directory + "/"
        for name, size, changed in entries:
            if not name.lower().endswith(endings):
                dataset.ignored += 1
            elif why := leave_out(below + name):
                dataset.set_aside.setdefault(why, []).append(below + name)
            elif size is None:
                path = Path(root, below + name)
                wells = ome_zarr.wells(path)
                if wells is not None:
                    plates[below + name] = joining.fields_of_plate(stem(name), wells, str(path))
                    continue
                entry = File(name, *ome_zarr.size_and_time(path))
                files.setdefault(directory, []).append(entry)
            else:
                files.setdefault(directory, []).append(File(name, size, changed))
    paths = [
        file.path if directory == "." else f"{directory}/{file.path}"
        for directory, found in files.items()
        for file in found
    ]
    naming = joining.how_named(pattern, paths)
    images: dict[str, list[Image]] = {}
    if naming:
        dataset.columns, dataset.naming = naming.columns, naming.name
        images = joining.named(files, naming, root, look.set_of, dataset.set_aside)
    else:
        for directory, found in files.items():
            folder = os.path.join(root, directory)
            images[directory] = joining.plain(found, folder, look.set_of)
    more = ("",) * (len(dataset.columns) - len(STANDARD))
    for directory, fields in plates.items():
        images[directory] = [image._replace(metadata=image.metadata + more) for image in fields]
    if not images:
        aside = sum(map(len, dataset.set_aside.values()))
        raise DatasetError(
            f"images: {' and '.join(dataset.set_aside)} leaves out all of "
            f"{counted(aside, 'image')} below {root}, change it"
            if aside
            else f"images: no file below {root} ends in {', '.join(extensions)} "
            f"({counted(dataset.ignored, 'other file')} there), check the path or set extensions"
        )
    for directory in sorted(images, key=lambda path: path.split("/") if path != "." else []):
        _add(dataset, directory, directory, images[directory], batch_size, look)
    return dataset


def find_in_sheet(
    sheet: SampleSheet, batch_size: BatchSize, look: Look, follow_links: str = "inside"
) -> Dataset:
    """Look at the images of a sample sheet once.

    Raises DatasetError where none is there or, unless links are followed `anywhere`, one lies
    outside of the sheet's directory.
    """
    root = os.path.dirname(os.path.abspath(sheet.path))
    if follow_links != "anywhere":
        _refuse_outside(sheet, root)
    dataset = Dataset(sheet.path, root, sheet.columns, "sheet")
    images: dict[str, dict[str, Image]] = {}
    there = 0
    for sample in sheet.samples:
        path = os.path.join(root, sample.file)
        is_directory = os.path.isdir(path)
        size, changed = ome_zarr.size_and_time(Path(path)) if is_directory else size_and_time(path)
        there += changed > 0
        file = File(sample.file, size, changed, sample.channel, sample.z)
        of_directory = images.setdefault(sample.directory, {})
        image = of_directory.get(sample.image)
        if image is not None and image.metadata != sample.metadata:
            raise DatasetError(
                f"{sheet.path} line {sample.line}: image {sample.image} of {sample.directory} "
                "stands there with other values above, use the same in all of its lines"
            )
        files = image.files if image else ()
        of_directory[sample.image] = Image(sample.image, (*files, file), sample.metadata)
    if not there:
        first = sheet.samples[0]
        raise DatasetError(
            f"{sheet.path} line {first.line}, column file: there is no file "
            f"{os.path.join(root, first.file)}, nor any other of the sheet: paths start at the "
            "sheet's folder"
        )
    for directory, of_directory in sorted(images.items()):
        found = [joining.ordered(image) for image in of_directory.values()]
        _add(dataset, directory, "", found, batch_size, look)
    return dataset


def _refuses_links(
    endings: tuple[str, ...],
    leave_out: Callable[[str], str],
    set_aside: dict[str, list[str]],
) -> Leaving:
    """Refuses links that leave the dataset, but for those that would not be followed."""

    def leaving(path: str, target: str, is_directory: bool) -> None:
        if not is_directory and not path.lower().endswith(endings):
            return
        if why := leave_out(path) or (is_directory and leave_out(path + "/")):
            if is_directory:
                set_aside.setdefault(why, []).append(path)
            return
        raise DatasetError(
            f"images: {path} is a link to {target}, outside of the dataset: set follow_links to "
            "anywhere to follow it, or name it in exclude"
        )

    return leaving


def _refuse_outside(sheet: SampleSheet, root: str) -> None:
    """Refuse what leads out of the sheet's directory: `..`, a whole path or a link."""
    top = os.path.realpath(root)
    real: dict[str, str] = {}
    for sample in sheet.samples:
        path = os.path.join(root, sample.file)
        folder, name = os.path.split(path)
        if folder not in real:
            # Asked once a directory, as it looks at each one above.
            real[folder] = os.path.realpath(folder)
        target = os.path.join(real[folder], name)
        if name in ("", ".", "..") or os.path.islink(target):
            target = os.path.realpath(target)
        found = [target]
        if os.path.isdir(target):
            found += [leads for _, leads in links_below(target)]
        outside = next((each for each in found if not is_below(each, top)), None)
        if outside is not None:
            raise DatasetError(
                f"{sheet.path} line {sample.line}, column file: {sample.file} leads to {outside}, "
                "outside of the sheet's directory: set follow_links to anywhere to allow it"
            )


def _add(
    dataset: Dataset,
    directory: str,
    folder: str,
    images: list[Image],
    size: BatchSize,
    look: Look,
) -> None:
    """Cut the images of a directory into batches."""
    images = joining.complete(sorted(images))
    joining.refuse_twins(directory, images)
    dataset.directories += 1
    dataset.images += len(images)
    for image in images:
        dataset.size += image.size
        dataset.endings |= {file.path.rpartition(".")[2].lower() for file in image.files}
        if image.problem:
            where = image.name if directory == "." else f"{directory}/{image.name}"
            dataset.incomplete.append(f"{where}: {image.problem}")
    sets = Counter(
        tuple(dict.fromkeys(file.channel for file in image.files))
        for image in images
        if not image.problem
    )
    for channels, _ in sets.most_common(1):
        dataset.channel_sets.setdefault(channels, directory)
    header = _header(os.path.join(dataset.root, folder), images, look)
    if header is not None:
        dataset.headers.setdefault(header, []).append(directory)
    extent = _extent(header)
    for part in cut([image.name for image in images], size.of(extent)):
        name = batch_name(directory, images[part.start].name)
        if name in dataset.batches:
            raise DatasetError(
                f"images: two batches of {directory} would be called {name}, "
                f"rename the image {images[part.start].name}"
            )
        dataset.batches[name] = Batch(name, directory, folder, images[part], extent)


def _header(folder: str, images: list[Image], look: Look) -> Header | None:
    """That of the largest image of a directory, or of the next two where it is not readable."""
    for image in sorted(images, key=lambda image: -image.size)[:3]:
        header = look.header(folder, image.files) if image.size else None
        if header is not None:
            return header
    return None


def _extent(header: Header | None) -> Extent:
    """Size of the images of a directory by the header of its largest one."""
    if header is None:
        return FALLBACK
    times = sum(times for _, times in header.scenes)
    channels = len(header.names)
    megapixels = header.height * header.width / 1e6
    return Extent(megapixels, times, channels * len(header.planes), channels)


def _described(header: Header) -> str:
    text = f"{header.width} x {header.height} pixels of {header.dtype}"
    if header.names != ("",):
        text += f", {counted(len(header.names), 'channel')} ({', '.join(header.names)})"
    for number, what in ((len(header.planes), "plane"), (len(header.scenes), "scene")):
        text += f", {counted(number, what)}" if number > 1 else ""
    times = max(times for _, times in header.scenes)
    return text + (f", {counted(times, 'time')}" if times > 1 else "")


def _matcher(globs: dict[str, Sequence[str]]) -> Callable[[str], str]:
    """Which patterns of the shell a path, or its file name, fits, by their key; empty for none."""
    given = [(why, glob) for why, several in globs.items() for glob in several]

    def why_out(path: str) -> str:
        if not given:
            return ""
        name = path.rpartition("/")[2]
        match = fnmatch.fnmatchcase
        fits = (why for why, glob in given if match(path, glob) or match(name, glob))
        return next(fits, "")

    return why_out


def _bytes(size: int) -> str:
    step = min(int(math.log(size, 1000)), 4) if size else 0
    return f"{size / 1000**step:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[step]}"
