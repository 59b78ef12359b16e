"""Stage of large images alone, after watershed: one label image from those of tiles."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import find_objects

from nucleiflow import tiles
from nucleiflow.batch import open_batch
from nucleiflow.images import decode_tiff, encode_large_tiff

# Objects of two tiles that share more than so much of either are the same one.
SAME = 0.5
# What no tile has in its core is taken if no more than so much of it is taken already.
TAKEN = 0.25
# Around an object that reaches out of the window of its tile, in pixels.
MARGIN = 16


class Canvas:
    """A label image on disk, of which parts are read and written; zeros at first."""

    def __init__(self, path: Path, shape: tuple[int, int]):
        self.path, self.shape = path, shape
        with path.open("wb") as file:
            file.truncate(shape[0] * shape[1] * 4)

    def _mapped(self) -> np.ndarray:
        # Opened for each part: what was mapped would count as memory of the job.
        return np.memmap(self.path, np.int32, "r+", shape=self.shape)

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        return np.array(self._mapped()[rows, columns])

    def write(self, rows: slice, columns: slice, values: np.ndarray) -> None:
        self._mapped()[rows, columns] = values


@contextlib.contextmanager
def canvas(path: Path, shape: tuple[int, int]) -> Iterator[Canvas]:
    """A canvas whose file goes with the block."""
    try:
        yield Canvas(path, shape)
    finally:
        path.unlink(missing_ok=True)


class Objects:
    """What is known of the objects on a canvas, by their numbers from 1.

    Attributes
    ----------
    owners : list of int
        The tile that each belongs to.
    boxes : list of (4,) lists of int
        Rows and columns in the image, the last not included.
    cut : list of bool
        Whether the border of a window went through it.
    """

    def __init__(self):
        self.owners, self.boxes, self.cut = [-1], [[0, 0, 0, 0]], [False]

    def add(self, owner: int, box: list[int], cut: bool) -> int:
        self.owners.append(owner)
        self.boxes.append(box)
        self.cut.append(cut)
        return len(self.owners) - 1

    def extend(self, number: int, box: list[int], cut: bool) -> None:
        top, left, bottom, right = self.boxes[number]
        self.boxes[number] = [
            min(top, box[0]),
            min(left, box[1]),
            max(bottom, box[2]),
            max(right, box[3]),
        ]
        self.cut[number] = cut


def join(
    parts: list[dict], labels_of: Callable[[int], np.ndarray], on: Canvas
) -> tuple[np.ndarray, list[dict]]:
    """Draw the objects of all tiles on a canvas, each once.

    An object belongs to the tile in whose core its centre is. Those of two tiles that share more
    than half of either are one: that of the earlier tile, and both together where the border of its
    window cut that one. What no tile has in its core, as tiles differ in where its centre is, is
    taken in a second round if no object is there.

    Parameters
    ----------
    parts : list of dict
        Records of the tiles, with `core` and `window`.
    labels_of : function
        From the index of a tile to its labels, a (y, x) array of int32 of its window.
    on : Canvas
        Empty; gets the objects with numbers of no order.

    Returns
    -------
    numbers : (n + 1,) array of int32
        1 to n for the numbers on the canvas, tile by tile.
    places : list of dict
        Of each tile `first` and `last` of its objects, and a `window` in which they are whole.
    """
    known = Objects()
    for mine in (True, False):
        for index, part in enumerate(parts):
            _draw(index, part, labels_of(index), on, known, mine)
    owners = np.array(known.owners)
    order = np.argsort(owners, kind="stable")
    numbers = np.empty(owners.size, np.int32)
    numbers[order] = np.arange(owners.size)
    places, last = [], 0
    for index, part in enumerate(parts):
        own = np.flatnonzero(owners == index)
        window = np.array(
            [part["window"]]
            + [tiles.grown(known.boxes[number], MARGIN, on.shape) for number in own]
        )
        window = [*window[:, :2].min(axis=0).tolist(), *window[:, 2:].max(axis=0).tolist()]
        places.append({"first": last + 1, "last": last + own.size, "window": window})
        last += own.size
    return numbers, places


def _draw(
    index: int, part: dict, labels: np.ndarray, on: Canvas, known: Objects, mine: bool
) -> None:
    """Draw the objects of a tile: with their centre in its core, or in a second round others."""
    rows, columns = tiles.part_of(part["window"])
    at = np.nonzero(labels)
    if not at[0].size:
        return
    label = labels[at]
    area = np.bincount(label)
    middle = [
        np.bincount(label, each) / np.maximum(area, 1) + start
        for each, start in zip(at, (rows.start, columns.start), strict=True)
    ]
    top, left, bottom, right = part["core"]
    inside = (middle[0] >= top) & (middle[0] < bottom) & (middle[1] >= left) & (middle[1] < right)
    cut = _cut(labels, part["window"], on.shape)
    found = find_objects(labels)
    drawn = on.read(rows, columns)
    below = drawn[at]
    shared = _shared(label, below, drawn)
    covered = np.bincount(label[below > 0], minlength=area.size)
    # Which number each object is drawn with, 0 for none.
    numbers = np.zeros(area.size, np.int32)
    for each in np.flatnonzero((inside == mine) & (area > 0)):
        truncated, other = bool(cut[each]), shared.get(each)
        (up, down), (begin, end) = ((span.start, span.stop) for span in found[each - 1])
        box = [up + rows.start, begin + columns.start, down + rows.start, end + columns.start]
        if other:
            if known.cut[other]:
                known.extend(other, box, truncated)
                numbers[each] = other
        elif covered[each] < area[each] and (
            mine or (not truncated and covered[each] <= TAKEN * area[each])
        ):
            numbers[each] = known.add(index, box, truncated)
    free = below == 0
    drawn[at[0][free], at[1][free]] = numbers[label[free]]
    on.write(rows, columns, drawn)


def _cut(labels: np.ndarray, window: list[int], shape: tuple[int, int]) -> np.ndarray:
    """Of each label whether the border of the window, unless it is that of the image, cuts it."""
    top, left, bottom, right = window
    edges = (
        (labels[0], top > 0),
        (labels[-1], bottom < shape[0]),
        (labels[:, 0], left > 0),
        (labels[:, -1], right < shape[1]),
    )
    cut = np.zeros(int(labels.max()) + 1, bool)
    for edge, inner in edges:
        if inner:
            cut[edge] = True
    cut[0] = False
    return cut


def _shared(label: np.ndarray, below: np.ndarray, drawn: np.ndarray) -> dict[int, int]:
    """From each label to the object on the canvas that is the same one, if any."""
    both = below > 0
    pairs = label[both].astype(np.int64) << 32 | below[both]
    pairs, counts = np.unique(pairs, return_counts=True)
    own = np.bincount(label)
    numbers, areas = np.unique(drawn[drawn > 0], return_counts=True)
    found: dict[int, tuple[int, int]] = {}
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        each, other = pair >> 32, pair & 0xFFFFFFFF
        seen = areas[np.searchsorted(numbers, other)]
        if count > SAME * min(own[each], seen) and count > found.get(each, (0, 0))[1]:
            found[each] = other, count
    return {each: other for each, (other, _) in found.items()}


def compute(item, settings: dict) -> dict:
    """One image of the batch, whose file it writes itself."""
    target = item.outputs["labels"] / f"{item.record['image']}.tif"
    if not item.record.get("tiles"):
        shutil.copyfile(item.inputs["labels"] / target.name, target)
        return {}
    parts = tiles.split(item.record)

    def labels_of(index: int) -> np.ndarray:
        return decode_tiff(item.inputs["labels"] / f"{parts[index]['image']}.tif")

    shape = tiles.shape_of(item.record)
    with canvas(target.with_suffix(".canvas"), shape) as on:
        numbers, places = join(parts, labels_of, on)
        encode_large_tiff(target, shape, np.int32, lambda *part: numbers[on.read(*part)])
    joined = [tile | place for tile, place in zip(item.record["tiles"], places, strict=True)]
    item.facts.update(tiles=joined, objects=len(numbers) - 1)
    return {}


if "snakemake" in globals():
    with open_batch(snakemake, whole=True) as batch:
        batch.map(compute)
