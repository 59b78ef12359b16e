"""Masks that people drew: which file belongs to an image, and what it says, as labels."""

import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from tifffile import PHOTOMETRIC

from nucleiflow.field import RGB, View
from nucleiflow.geometry import cut_out
from nucleiflow.images import ImageError
from nucleiflow.joining import stem
from nucleiflow.readers import FAMILIES, open_image

# What programs append to the name of an image, in the order of preference.
SUFFIXES = ("_cp_masks", "_masks", "_mask", "_labels", "_label", "")
# Values of binary masks that no one counts up to.
WHITE = (255, 65535)
# Largest value up to which values are counted in a table rather than sorted.
TABLE = 1 << 24


class Truth(NamedTuple):
    """Objects that somebody drew.

    Attributes
    ----------
    labels : (Y, X) array of int32
        0 background, 1..n objects without gaps.
    kind : str
        What the mask was: `labels`, `binary` (its pieces, connected by edges and corners, are the
        objects), `colours` (each colour is an object) or `files` (each file is an object).
    """

    labels: np.ndarray
    kind: str


def find_mask(folder: Path, directory: str, image: str, others: Iterable[str] = ()) -> Path | None:
    """The mask of an image, or None where there is none.

    It is a file of the image's name in the same directory below the masks, with any ending that
    can be read, also with `_mask`, `_masks`, `_cp_masks`, `_label` or `_labels` after the name; or
    a directory of files that hold one object each: `IMAGE/` or `IMAGE/masks/`, or, as the Data
    Science Bowl gives them, `IMAGE/masks/` beside `IMAGE/images/`.

    Parameters
    ----------
    folder : Path
        Of all masks.
    directory, image : str
        As in `images.csv`.
    others : iterable of str
        Other names that the mask may have: those of the image's files without endings.

    Raises ImageError where there are several.
    """
    for name in dict.fromkeys((image, *others)):
        for suffix in SUFFIXES:
            files = _files(folder / directory).get(name + suffix, ())
            if len(files) > 1:
                raise ImageError(
                    f"there are several masks of it ({', '.join(files)} in {folder / directory}): "
                    "leave one"
                )
            if files:
                return folder / directory / files[0]
        for path in _folders(folder / directory, name):
            if _files(path):
                return path
    return None


def read_mask(
    path: Path, shape: tuple[int, int], view: View, full: tuple[int, int] | None = None
) -> np.ndarray:
    """The objects of a mask, as labels that fit those of the workflow.

    Parameters
    ----------
    path : Path
        A file, or a directory of files that hold one object each.
    shape : (int, int)
        Rows and columns of the workflow's labels.
    view : View
        How the image was cropped and resized. The mask is one of the whole image, of the crop
        before it was resized, or of what came out.
    full : (int, int), optional
        Rows and columns of the whole image, where they are known.

    Returns
    -------
    labels : (Y, X) array of int32
        0 background, 1..n objects without gaps, in the order of the mask's values.

    Raises
    ------
    ImageError
        Where the mask cannot be read, fits no image of this size or is no label image.
    """
    return read_truth(path, shape, view, full).labels


def read_truth(
    path: Path, shape: tuple[int, int], view: View, full: tuple[int, int] | None = None
) -> Truth:
    """The same, with what kind of mask it was."""
    try:
        if path.is_dir() and path.suffix.lower() != ".zarr":
            truth = Truth(_joined(path, view), "files")
        else:
            truth = as_labels(_values(path, view))
        labels = fitted(truth.labels, shape, view, full)
    except ImageError as error:
        raise ImageError(f"the mask {path.name} cannot be used: {error}") from error
    return Truth(without_gaps(labels), truth.kind)


def as_labels(values: np.ndarray) -> Truth:
    """What the values of a mask mean.

    Parameters
    ----------
    values : (Y, X) or (Y, X, 3) array
        Integers, or floats that are whole numbers, as ImageJ's 32-bit label images are. Three
        channels are colours, black is background.

    Raises ImageError where a mask holds fractions or negative numbers.
    """
    if values.ndim == 3:
        if (values == values[..., :1]).all():
            return as_labels(values[..., 0])
        codes = np.zeros(values.shape[:2], np.int64)
        for channel in range(3):
            codes = (codes << 16) | values[..., channel].astype(np.int64)
        if codes.size and codes.min() > 0:
            raise ImageError("it is a colour image without black: make the background black")
        return Truth(without_gaps(codes), "colours")
    if values.dtype.kind == "f":
        broken = values[values != np.rint(values)]
        if broken.size:
            raise ImageError(
                f"it holds fractions such as {broken[0]:g}, so it is no label image: export labels "
                "as whole numbers, 0 for background and a number for each nucleus"
            )
    if values.size and values.min() < 0:
        raise ImageError(
            f"it holds negative numbers such as {values.min():g}: export labels as whole numbers "
            "from 0 for background"
        )
    labels = without_gaps(values.astype(np.int64))
    if labels.size and labels.max() == 1:
        pieces = connected(labels)
        if pieces.max() > 1 or values.max() in WHITE:
            return Truth(pieces, "binary")
    return Truth(labels, "labels")


def connected(mask: np.ndarray) -> np.ndarray:
    """Pieces of a mask that hang together by edges or corners, numbered from 1, as int32."""
    import cv2

    return cv2.connectedComponents((mask > 0).astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)[1]


def without_gaps(labels: np.ndarray) -> np.ndarray:
    """Labels of any integer type numbered 1..n in the order of their values, as int32."""
    top = labels.max(initial=0)
    if top > TABLE:
        values, inverse = np.unique(labels, return_inverse=True)
        return (inverse.reshape(labels.shape) + (values[0] != 0)).astype(np.int32)
    present = np.bincount(labels.ravel(), minlength=1) > 0
    present[0] = False
    return np.where(present, np.cumsum(present), 0).astype(np.int32)[labels]


def fitted(
    labels: np.ndarray, shape: tuple[int, int], view: View, full: tuple[int, int] | None = None
) -> np.ndarray:
    """Labels cropped and resized as the image was; see `read_mask`."""
    crop = view.crop and (view.crop["height"], view.crop["width"])
    if labels.shape == full or (full is None and labels.shape not in (crop, shape)):
        labels = cut_out(labels, view.crop, None)
    elif labels.shape not in (crop, shape):
        raise ImageError(_misfit(labels, shape, full))
    if view.resize and labels.shape != shape:
        labels = nearest(labels, shape)
    if labels.shape != shape:
        raise ImageError(_misfit(labels, shape, full))
    return labels


def nearest(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels in another size, each pixel that of the nearest old one."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for new, old in zip(shape, labels.shape, strict=True)
    )
    return labels[rows[:, None], columns]


def listed(folder: Path, directory: str, names: Iterable[str]) -> list[tuple[str, int, int]]:
    """Files that may be masks of images of one directory: path, bytes, time of change in ns."""
    names, here = set(names), folder / directory
    found = [
        here / file
        for name, files in _files(here).items()
        if any(name[:end] in names for end in _ends(name))
        for file in files
    ]
    for name in names:
        for path in _folders(here, name):
            found += [path / file for files in _files(path).values() for file in files]
    result = []
    for path in sorted(set(found)):
        status = path.stat()
        result.append((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
    return result


def _misfit(labels: np.ndarray, shape: tuple[int, int], full: tuple[int, int] | None) -> str:
    expected = " or ".join(
        f"{size[1]} x {size[0]}" for size in dict.fromkeys((full or shape, shape))
    )
    return (
        f"it has {labels.shape[1]} x {labels.shape[0]} pixels and the image {expected}: draw it on "
        "the image itself"
    )


def _ends(name: str) -> Iterator[int]:
    """Where the name of an image may end in that of a mask."""
    yield len(name)
    yield from (index for index, char in enumerate(name) if char == "_")


def _folders(here: Path, name: str) -> Iterator[Path]:
    yield here / name / "masks"
    yield here / name
    if here.name == "images" and here.parent.name == name:
        yield here.parent / "masks"


def _files(folder: Path) -> dict[str, list[str]]:
    """Image files in a directory by their names without endings; none where it is not there."""
    try:
        return _listing(str(folder), os.stat(folder).st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return {}


@functools.lru_cache(maxsize=256)
def _listing(folder: str, changed: int) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)):
        if not name.startswith(".") and name.rpartition(".")[2].lower() in FAMILIES:
            names.setdefault(stem(name), []).append(name)
    return names


def _values(path: Path, view: View) -> np.ndarray:
    """The values of a mask file, (Y, X) or (Y, X, 3) array."""
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise ImageError("JPEG changes values of pixels, which are labels here: save PNG or TIFF")
    with open_image(path, pages="z", max_megapixels=view.max_megapixels) as scenes:
        scene = scenes[0]
        if len(scenes) * scene.times * scene.planes > 1:
            raise ImageError("the file holds several planes or images: save one as a file")
        names = tuple(channel.name for channel in scene.channels)
        if len(names) > 1 and names != RGB:
            raise ImageError(f"the file holds {len(names)} channels: save a label image of one")
        if (stored := _stored(path)) is not None:
            return stored
        values = np.dstack([scene.load(0, channel, 0) for channel in range(len(names))])
    return values if len(names) > 1 else values[..., 0]


def _stored(path: Path) -> np.ndarray | None:
    """The numbers in a TIFF that looks different from what they say, else None.

    Programs show labels in colours, and ImageJ and tifffile binary masks with zero as white.
    """
    if FAMILIES.get(path.suffix[1:].lower()) != "tiff":
        return None
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        if page.photometric not in (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.PALETTE):
            return None
        values = page.asarray()
    return values.astype(np.uint8) if values.dtype == bool else values


def _joined(folder: Path, view: View) -> np.ndarray:
    """One object from each file, later ones over earlier ones."""
    labels = None
    names = [name for files in _files(folder).values() for name in files]
    for number, name in enumerate(names, 1):
        values = _values(folder / name, view)
        inside = (values if values.ndim == 2 else values.max(axis=2)) > 0
        labels = np.zeros(inside.shape, np.int32) if labels is None else labels
        if inside.shape != labels.shape:
            raise ImageError(
                f"{name} has {inside.shape[1]} x {inside.shape[0]} pixels and {names[0]} "
                f"{labels.shape[1]} x {labels.shape[0]}"
            )
        labels[inside] = number
    return labels
