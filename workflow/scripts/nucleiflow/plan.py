"""The plan: batches of images, written down by the main process and read by jobs.

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
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nucleiflow.files import replaced

# Of a batch, if nothing else is said: four CPUs segment a megapixel in 0.05 to 0.15 seconds, so
# that a job takes minutes and its start, ten seconds, hardly counts.
MEGAPIXELS = 4000
# Small images cost more than their pixels.
MOST_IMAGES = 2000


class File(NamedTuple):
    """A file of an image: its path below the batch's folder, bytes, time of change in ns.

    `channel` and `z` are what its name says where the image has several files.
    """

    path: str
    size: int
    changed: int
    channel: str = ""
    z: int | None = None


class Image(NamedTuple):
    """An image to be: its name, its files, what their names say, and what keeps it from being one.

    A file can turn out to hold several images, times and scenes; a job finds out.
    """

    name: str
    files: tuple[File, ...]
    metadata: tuple[str, ...] = ()
    problem: str = ""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)


class Extent(NamedTuple):
    """How large the images of a directory are, from the header of the largest.

    Megapixels of a plane, images in a file (scenes and times), channels times planes, channels.
    """

    megapixels: float
    images: int = 1
    layers: int = 1
    channels: int = 1

    @property
    def work(self) -> float:
        """Megapixels of a file to segment, and a tenth of those to read."""
        return self.images * self.megapixels * (1 + 0.1 * self.layers)

    def after(self, crop: dict | None, resize: dict | None) -> float:
        """Megapixels of a plane that is cropped and resized, see `nucleiflow.geometry.cut_out`.

        A whole image, whose sides are not known here, counts as square where one side is asked for.
        """
        aspect, megapixels = 1.0, self.megapixels
        if crop:
            aspect = crop["width"] / crop["height"]
            megapixels = min(crop["width"] * crop["height"] / 1e6, megapixels)
        resize = resize or {}
        if "width" in resize:
            return resize["width"] ** 2 / aspect / 1e6
        if "height" in resize:
            return resize["height"] ** 2 * aspect / 1e6
        return megapixels * resize.get("factor", 1) ** 2


class BatchSize(NamedTuple):
    """How large batches are: a number of images, or else of megapixels."""

    images: int | None = None
    megapixels: float = MEGAPIXELS

    def of(self, extent: Extent) -> int:
        """Mean number of images in a batch of a directory.

        Megapixels of an image count as the nearest power of two: a larger image than all others
        of its directory seldom changes the size of the batches, which cuts all of them anew.
        """
        if self.images:
            return self.images
        # What is read counts little, and nothing where it is the segmented channel alone.
        work = max(extent.work / 1.1, 2**-10)
        return min(max(round(self.megapixels / 2 ** round(math.log2(work))), 1), MOST_IMAGES)


@dataclass(frozen=True)
class Batch:
    """Images of one directory that one job handles.

    Attributes
    ----------
    name : str
        Letters, digits, `-`, `_` and `.` only: it becomes part of paths and of Slurm's job names.
    directory : str
        Path of the directory below the dataset, with `/`; `.` for the dataset itself.
    folder : str
        Where the paths of files start: the directory, below the dataset or the sheet's folder.
    images : list of Image
        Sorted by name.
    extent : Extent
    """

    name: str
    directory: str
    folder: str
    images: list[Image]
    extent: Extent

    @property
    def work(self) -> float:
        """Megapixels to segment, and a tenth of those to read."""
        return self.megapixels * (1 + 0.1 * self.extent.layers)

    @functools.cached_property
    def megapixels(self) -> float:
        """Megapixels to segment, an estimate from file sizes."""
        largest = max(image.size for image in self.images) or 1
        files = sum(max(image.size / largest, 0.1) for image in self.images)
        return self.extent.images * self.extent.megapixels * files

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes when an image is added, removed or changed, not with what its name tells."""
        images = [(image.name, image.files, image.problem) for image in self.images]
        text = json.dumps([self.directory, images])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Plan(NamedTuple):
    """What `save` wrote: a batch, its dataset, where that lies, and the names of metadata."""

    batch: Batch
    dataset: str
    root: Path
    columns: tuple[str, ...]


def batch_name(directory: str, first: str) -> str:
    """`DIRECTORY.FIRST-IMAGE.HASH`, where the hash keeps names apart that look the same."""
    digest = hashlib.blake2b(f"{directory}\0{first}".encode(), digest_size=4).hexdigest()
    return f"{_slug('root' if directory == '.' else directory)}.{_slug(first)}.{digest}"


def directory_name(directory: str) -> str:
    """A directory as a part of paths: itself where it is a plain short name, else `SLUG.HASH`."""
    # Of the 255 letters that a file system takes, endings and names of parts need some.
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{,199}", directory):
        return directory
    digest = hashlib.blake2b(directory.encode(), digest_size=4).hexdigest()
    return f"{_slug('root' if directory == '.' else directory)}.{digest}"


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


def save(batch: Batch, dataset: str, root: str, columns: tuple[str, ...], path: Path) -> None:
    """Write down what the jobs of a batch have to know."""
    plan = {"dataset": dataset, "root": root, "columns": columns}
    for name in ("name", "directory", "folder", "images", "extent"):
        plan[name] = getattr(batch, name)
    text = json.dumps(plan)
    if path.exists() and path.read_text() == text:
        return
    with replaced(path) as temporary:
        temporary.write_text(text)


def load(path: Path) -> Plan:
    """What `save` wrote."""
    plan = json.loads(path.read_text())
    images = [
        Image(name, tuple(File(*file) for file in files), tuple(metadata), problem)
        for name, files, metadata, problem in plan["images"]
    ]
    extent = Extent(*plan["extent"])
    batch = Batch(plan["name"], plan["directory"], plan["folder"], images, extent)
    return Plan(batch, plan["dataset"], Path(plan["root"]), tuple(plan["columns"]))


def dataset_of(path: Path) -> str | None:
    """The dataset of a batch, or None where another version wrote the file."""
    return json.loads(path.read_text()).get("dataset")


def _slug(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", ascii_text).strip("-")[-60:] or "x"
