"""Label images that were made elsewhere: whether they are there, before any is read."""

import glob
import hashlib
import os
from pathlib import Path

from nucleiflow.joining import stem
from nucleiflow.masks import SUFFIXES, listed
from nucleiflow.plan import Batch, Image


def folder_of(path: str) -> Path:
    """The directory that the config names; a relative path starts at the run directory."""
    return Path(os.path.abspath(os.path.expanduser(path)))


def fingerprint_of(folder: Path, batch: Batch) -> str:
    """Changes when a label image of a batch is added, removed or changed."""
    found = repr(_of_batch(folder, batch))
    return hashlib.blake2b(found.encode(), digest_size=16).hexdigest()


def without_labels(folder: Path, batch: Batch) -> list[Image]:
    """Images of a batch to which no label image belongs, as far as names tell."""
    known = set()
    for path, *_ in _of_batch(folder, batch):
        # Of a directory with a file an object, it is the directory that is called like the image.
        below = os.path.relpath(path, batch.directory)
        if below.startswith(".."):
            return []
        name = below.split(os.sep)[0]
        name = stem(name) if below == name else name
        # A file can hold several images, whose names are its own and more.
        known |= {name, *(name[:end] for end, char in enumerate(name) if char == "_")}
    return [image for image in batch.images if not known.intersection(_names(image))]


def inside(folder: Path, root: str) -> list[str]:
    """Patterns of the label images that lie among the images of a dataset."""
    below = os.path.relpath(os.path.realpath(folder), os.path.realpath(root))
    if below == os.curdir:
        return [f"*{suffix}.*" for suffix in SUFFIXES if suffix]
    return [] if below.startswith(os.pardir) else [f"{glob.escape(below)}/*"]


def _of_batch(folder: Path, batch: Batch) -> list[tuple[str, int, int]]:
    names = {name for image in batch.images for name in _names(image)}
    return listed(folder, batch.directory, names)


def _names(image: Image) -> set[str]:
    return {image.name, *(stem(file.path.rpartition("/")[2]) for file in image.files)}
