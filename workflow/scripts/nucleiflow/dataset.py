"""What is in the dataset: its directories, their images, and the batches that jobs work on.

The main process of Snakemake looks at the dataset once and writes down one small file a batch.
A job reads the file of its own batch and nothing else, so that its start costs the same for
ten images and for a million.
"""

import functools
import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nucleiflow.files import replaced

# Assumed where no header of a directory can be read: its images fail, but that is for its job
# to say.
FALLBACK_MEGAPIXELS = 4.0


class DatasetError(ValueError):
    """What is wrong with the dataset as a whole, in one sentence for its owner."""


@dataclass(frozen=True)
class Batch:
    """Images of one directory that one job handles.

    Attributes
    ----------
    name : str
        Letters, digits, `-`, `_` and `.` only: it becomes part of paths and of Slurm's job names.
    directory : str
        Path of the directory below the dataset, with `/`; `.` for the dataset itself.
    files : list of (name, size in bytes, time of change in ns)
        Sorted by name.
    megapixels : float
        Of the largest image of the directory.
    """

    name: str
    directory: str
    files: list[tuple[str, int, int]]
    megapixels: float

    @functools.cached_property
    def total_megapixels(self) -> float:
        """An estimate from file sizes, one header of the directory being known."""
        largest = max(size for _, size, _ in self.files) or 1
        shares = sum(max(size / largest, 0.1) for _, size, _ in self.files)
        return self.megapixels * shares

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes when an image is added, removed or changed."""
        text = json.dumps([self.directory, self.files])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass
class Dataset:
    """All batches, in the order of their directories and images, and what else was found."""

    root: str
    batches: dict[str, Batch] = field(default_factory=dict)
    directories: int = 0
    images: int = 0
    size: int = 0
    ignored: int = 0
    loops: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One sentence for the terminal."""
        text = (
            f"{self.root}: {_count(self.images, 'image')} in "
            f"{_count(self.directories, 'directory', 'directories')}, "
            f"{_count(len(self.batches), 'batch', 'batches')}, {_bytes(self.size)} on disk"
        )
        if self.ignored:
            text += f"; {_count(self.ignored, 'other file')} left alone"
        if self.loops:
            text += f"; not followed, as it links back to a directory above it: {self.loops[0]}"
        return text


def stem(file: str) -> str:
    """The name of an image: its file name without the ending."""
    return file.rpartition(".")[0]


def find(
    root: str,
    extensions: list[str],
    batch_size: int,
    megapixels: Callable[[str], float | None],
    exclude: str = "",
) -> Dataset:
    """Look at a dataset once.

    Parameters
    ----------
    root : str
        Its directory. Hidden files and directories in it are left alone, links are followed.
    extensions : list of str
        Endings of images, in lower case without the dot.
    batch_size : int
        Mean number of images in a batch, see `cut`.
    megapixels : function
        From the path of an image to its size, or None if that cannot be read. Called for the
        largest file of each directory.
    exclude : str
        A directory that is left out if it lies in the dataset: that of the results.

    Raises
    ------
    DatasetError
        Where the directory is missing, cannot be read, holds no image or is that of the
        results, or where two files would be the same image.
    """
    dataset = Dataset(root)
    if not os.path.isdir(root):
        raise DatasetError(
            f"images: {root} is not a directory, set it to the directory of the images"
            if os.path.exists(root)
            else f"images: there is no directory {root}, check the path"
        )
    if exclude and os.path.realpath(exclude) == os.path.realpath(root):
        raise DatasetError(
            f"results: {root} is the directory of the images, where nothing may be written: "
            "set results to another one"
        )
    endings = tuple("." + ending for ending in extensions)
    for directory, files in _walk(root, dataset, os.path.realpath(exclude) if exclude else ""):
        images = [file for file in files if file[0].lower().endswith(endings)]
        dataset.ignored += len(files) - len(images)
        if not images:
            continue
        images.sort()
        _refuse_twins(directory, [name for name, _, _ in images])
        dataset.directories += 1
        dataset.images += len(images)
        dataset.size += sum(size for _, size, _ in images)
        largest = _largest(os.path.join(root, directory), images, megapixels)
        for part in cut([name for name, _, _ in images], batch_size):
            batch = Batch(_name(directory, images[part.start][0]), directory, images[part], largest)
            if batch.name in dataset.batches:
                raise DatasetError(
                    f"images: two batches of {directory} would be called {batch.name}, "
                    f"rename the image {images[part.start][0]}"
                )
            dataset.batches[batch.name] = batch
    if not dataset.images:
        raise DatasetError(
            f"images: no file below {root} ends in {', '.join(extensions)} "
            f"({_count(dataset.ignored, 'other file')} there), check the path or set extensions"
        )
    return dataset


def cut(names: list[str], size: int) -> list[slice]:
    """Cut a sorted list of names into runs of about `size`, each decided by its own names alone.

    A name is a mark if its hash is small enough. A mark begins a run unless another mark stands
    among the `reach` names before it; the first name counts as one. So a name that comes or goes
    can change its own state and that of the next mark, and no other: at most two runs change,
    whatever the length of the list. The share of marks is chosen so that runs have `size`
    names on average; they rarely have more than three times as many.
    """
    reach, share = _marks(size)
    limit = share * 2.0**64
    starts, last = [0], 0
    for index in range(1, len(names)):
        digest = hashlib.blake2b(os.fsencode(names[index]), digest_size=8).digest()
        if int.from_bytes(digest, "big") < limit:
            if index - last > reach:
                starts.append(index)
            last = index
    return [slice(*pair) for pair in zip(starts, [*starts[1:], len(names)], strict=True)]


@functools.cache
def _marks(size: int) -> tuple[int, float]:
    """The largest reach with which runs of a mean of `size` exist, and the share of marks.

    A name begins a run with probability share * (1 - share)**reach, largest at
    share = 1 / (reach + 1).
    """

    def begins(share: float, reach: int) -> float:
        return share * (1 - share) ** reach

    reach = 0
    while begins(1 / (reach + 2), reach + 1) >= 1 / size:
        reach += 1
    low, high = 0.0, 1 / (reach + 1)
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if begins(middle, reach) < 1 / size else (low, middle)
    return reach, high


def save(batch: Batch, root: str, path: Path) -> None:
    """Write down what the jobs of a batch have to know."""
    plan = {
        "batch": batch.name,
        "directory": batch.directory,
        "root": root,
        "megapixels": batch.megapixels,
        "files": batch.files,
    }
    text = json.dumps(plan)
    if path.exists() and path.read_text() == text:
        return
    with replaced(path) as temporary:
        temporary.write_text(text)


def load(path: Path) -> tuple[Batch, str]:
    """A batch and the dataset's directory, as `save` wrote them."""
    plan = json.loads(path.read_text())
    files = [tuple(file) for file in plan["files"]]
    return Batch(plan["batch"], plan["directory"], files, plan["megapixels"]), plan["root"]


def _walk(
    root: str, dataset: Dataset, exclude: str
) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """Directories from `root` on in the order of their names, with their files.

    A file is its name, its size in bytes and the time of its last change in ns.
    """
    pending = [("", (os.path.realpath(root),))]
    while pending:
        directory, above = pending.pop()
        files, below = [], []
        try:
            entries = list(os.scandir(os.path.join(root, directory)))
        except OSError as error:
            where = os.path.join(root, directory)
            raise DatasetError(
                f"images: cannot look into {where} ({error.strerror}), check its permissions"
            ) from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not _is_text(entry.name):
                raise DatasetError(
                    f"images: the name {os.fsencode(entry.name)!r} in {directory or root} "
                    "is not valid UTF-8, rename it"
                )
            path = f"{directory}/{entry.name}" if directory else entry.name
            if _is_directory(entry):
                real = os.path.realpath(entry.path) if entry.is_symlink() else ""
                real = real or os.path.join(above[-1], entry.name)
                if real in above:
                    dataset.loops.append(path)
                elif real != exclude:
                    below.append((path, (*above, real)))
            else:
                files.append((entry.name, *_size_and_time(entry)))
        pending.extend(sorted(below, reverse=True))
        yield directory or ".", files


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_directory(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads back to itself: as an image, its job reports it.
        return False


def _size_and_time(entry: os.DirEntry) -> tuple[int, int]:
    """Of the file, or zeros for a link to nothing, which is for its job to report."""
    try:
        status = entry.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _refuse_twins(directory: str, names: list[str]) -> None:
    """Two files of one name would write the same results and count the same nuclei twice."""
    seen: dict[str, str] = {}
    for name in names:
        twin = seen.setdefault(stem(name), name)
        if twin != name:
            raise DatasetError(
                f"images: {directory} holds both {twin} and {name}, which would be the same "
                "image: move one of them away, or set extensions to the ending to use"
            )


def _largest(
    directory: str,
    images: list[tuple[str, int, int]],
    megapixels: Callable[[str], float | None],
) -> float:
    """Size of the largest image of a directory, from the header of its largest readable file."""
    for name, size, _ in sorted(images, key=lambda image: -image[1])[:3]:
        found = megapixels(os.path.join(directory, name)) if size else None
        if found is not None:
            return found
    return FALLBACK_MEGAPIXELS


def _name(directory: str, first: str) -> str:
    """`DIRECTORY.FIRST-IMAGE.HASH`, where the hash keeps names apart that look the same."""
    digest = hashlib.blake2b(f"{directory}\0{first}".encode(), digest_size=4).hexdigest()
    return f"{_slug('root' if directory == '.' else directory)}.{_slug(stem(first))}.{digest}"


def _slug(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", ascii_text).strip("-")[-60:] or "x"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _bytes(size: int) -> str:
    step = min(int(math.log(size, 1000)), 4) if size else 0
    return f"{size / 1000**step:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[step]}"
