"""A sample of the dataset to try settings on: the same images each time, from all over it."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from nucleiflow.plan import Batch, Extent, File, Image, batch_name

# Images in one job. A job costs more to start than a few images cost to compute.
BATCH = 12
# What plans of samples tell of an image, in place of its metadata.
COLUMNS = ("directory", "image")


def draw(
    batches: Iterable[Batch],
    count: int,
    seed: int,
    wanted: Callable[[Batch, Image], bool] | None = None,
) -> list[tuple[Batch, Image]]:
    """So many images, as evenly from all directories as possible.

    Each directory gives one image before any gives two. Which ones decides a hash of the seed and
    their names: the sample is the same in every run, and an image more or less in the dataset
    changes it by one at most. Images that are known to fail come last.

    Parameters
    ----------
    batches : iterable of Batch
        Of the whole dataset.
    count, seed : int
    wanted : function, optional
        Whether to take an image of a batch; asked for no more images than needed.

    Returns
    -------
    list of (Batch, Image)
        By directory and name.
    """
    by_directory: dict[str, list] = {}
    for batch in batches:
        for image in batch.images:
            text = f"{seed}\0{batch.directory}\0{image.name}"
            digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8)
            key = (bool(image.problem), digest.digest())
            by_directory.setdefault(batch.directory, []).append((key, batch, image))
    turns = []
    for directory in by_directory.values():
        directory.sort(key=lambda entry: entry[0])
        for rank, ((problem, digest), batch, image) in enumerate(directory):
            turns.append(((problem, rank, digest), batch, image))
    turns.sort(key=lambda turn: turn[0])
    chosen = []
    for _, batch, image in turns:
        if len(chosen) == count:
            break
        if wanted is None or wanted(batch, image):
            chosen.append((batch, image))
    return sorted(chosen, key=lambda pair: (pair[0].directory, pair[1].name))


def in_batches(chosen: list[tuple[Batch, Image]], size: int = BATCH) -> dict[str, Batch]:
    """Batches of a sample by name: images of several directories together, to save jobs.

    An image's name holds that of its directory, and its metadata are the two apart.
    """
    batches = {}
    for start in range(0, len(chosen), size):
        part = chosen[start : start + size]
        extents = [batch.extent for batch, _ in part]
        name = f"sample-{start // size + 1}"
        batches[name] = Batch(
            name,
            directory=".",
            folder=".",
            images=[_member(batch, image) for batch, image in part],
            extent=Extent(*map(max, zip(*extents, strict=True))),
        )
    return batches


def _member(batch: Batch, image: Image) -> Image:
    files = tuple(
        file._replace(path=os.path.normpath(os.path.join(batch.folder, file.path)))
        for file in image.files
    )
    name = batch_name(batch.directory, image.name)
    return Image(name, files, (batch.directory, image.name), image.problem)


class Entry(NamedTuple):
    """An image of a sample: a row on a sheet.

    Attributes
    ----------
    batch : int
        Number of its batch in the sample, from 0.
    record : int
        Number of its record in the batch.
    directory, image : str
        As in the tables of the whole dataset.
    files : tuple of File
    """

    batch: int
    record: int
    directory: str
    image: str
    files: tuple[File, ...]

    @property
    def name(self) -> str:
        return f"{self.directory}/{self.image}".removeprefix("./")


def entries(batches: Sequence[Batch], records: Sequence[list[dict]], count: int) -> list[Entry]:
    """The images of a sample, of files that hold several no more than a number in all.

    Each file gives one image before any gives two, and they are evenly spread in it.

    Parameters
    ----------
    batches : sequence of Batch
        What `in_batches` gave.
    records : sequence of list of dict
        The records of each, a record an image.
    count : int
    """
    found: dict[tuple[int, int], list[Entry]] = {}
    for number, (batch, of_batch) in enumerate(zip(batches, records, strict=True)):
        for index, record in enumerate(of_batch):
            member = batch.images[record["member"]]
            directory, image = member.metadata
            # A scene or time of a file adds to its name what it adds in the whole dataset.
            image += record["image"].removeprefix(member.name)
            entry = Entry(number, index, directory, image, member.files)
            found.setdefault((number, record["member"]), []).append(entry)
    shares = dict.fromkeys(found, 0)
    left = min(count, sum(map(len, found.values())))
    while left:
        for file, images in found.items():
            if left and shares[file] < len(images):
                shares[file] += 1
                left -= 1
    return [
        images[turn * len(images) // shares[file]]
        for file, images in found.items()
        for turn in range(shares[file])
    ]
