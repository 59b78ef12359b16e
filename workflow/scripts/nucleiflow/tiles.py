"""Tiles of a large image: where it is cut, and one record for what is found in them.

A tile has a core, and cores cover the image without overlap; stages look at a window around it.
An image has one record in each stage, in which its tiles stand under `tiles`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np

from nucleiflow import columns

# Pixels around a core where the config says `auto`, and diameters of a nucleus where it names one.
OVERLAP, DIAMETERS = 128, 4
# Of a tile's record, what says where it is and which objects are its own.
PLACE = ("core", "window", "first", "last")
# Columns of places in the image, in pairs of row and column.
PLACES = ("centroid", "centroid_weighted", "bbox")


def overlap_of(asked: int | str, diameter: float | str) -> int:
    """Pixels around the core of a tile, from `tiles: overlap` and `diameter` of the config."""
    if asked != "auto":
        return int(asked)
    wide = 0 if isinstance(diameter, str) else math.ceil(DIAMETERS * diameter)
    return max(OVERLAP, wide)


def cut(shape: tuple[int, int], size: int, overlap: int) -> list[dict]:
    """The tiles of an image, row by row; none where it is not larger than a tile.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    size : int
        Largest side of a core, in pixels.
    overlap : int
        Pixels by which a window is larger than its core, on each side.

    Returns
    -------
    list of dict
        `core` and `window` as `[top, left, bottom, right]`, the last two not included.
    """
    height, width = shape
    down, across = (math.ceil(length / size) for length in shape)
    if down * across == 1:
        return []
    rows, edges = (
        [round(index * length / count) for index in range(count + 1)]
        for length, count in ((height, down), (width, across))
    )
    tiles = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(edges):
            core = [top, left, bottom, right]
            tiles.append({"core": core, "window": grown(core, overlap, shape)})
    return tiles


def grown(box: Sequence[int], margin: int, shape: tuple[int, int]) -> list[int]:
    """A box with a margin, as far as the image reaches."""
    top, left, bottom, right = box
    return [
        max(top - margin, 0),
        max(left - margin, 0),
        min(bottom + margin, shape[0]),
        min(right + margin, shape[1]),
    ]


def part_of(box: Sequence[int], origin: tuple[int, int] = (0, 0)) -> tuple[slice, slice]:
    """Rows and columns of a box, in an array whose first pixel is at the origin."""
    top, left, bottom, right = box
    rows, columns = origin
    return slice(top - rows, bottom - rows), slice(left - columns, right - columns)


def area(box: Sequence[int]) -> int:
    """Pixels of a box."""
    top, left, bottom, right = box
    return (bottom - top) * (right - left)


def shape_of(record: dict) -> tuple[int, int]:
    """Rows and columns of an image that is cut, after its crop."""
    _, _, bottom, right = record["tiles"][-1]["core"]
    return bottom, right


def split(record: dict) -> list[dict]:
    """Records of an image's tiles, each with its own facts; the record itself where it is whole.

    A tile is called as its image, with the place of its core behind: `NAME_y4096_x0`.
    """
    if not record.get("tiles"):
        return [record]
    base = {key: value for key, value in record.items() if key != "tiles"}
    records = []
    for tile in record["tiles"]:
        top, left, *_ = tile["core"]
        place = {key: tile[key] for key in PLACE if key in tile}
        name = {"whole": record["image"], "image": f"{record['image']}_y{top}_x{left}"}
        records.append(base | tile.get("facts", {}) | place | name | {"seconds": {}})
    return records


def joined(record: dict, parts: list[dict], facts: list[dict]) -> dict:
    """The record of an image after a stage, from those of its tiles and what each found.

    An image of which a tile failed has failed.
    """
    tiles = [
        tile | {"facts": tile.get("facts", {}) | found}
        for tile, found in zip(record["tiles"], facts, strict=True)
    ]
    result = record | {"tiles": tiles, "seconds": dict(record["seconds"])}
    for part in parts:
        for stage, seconds in part["seconds"].items():
            result["seconds"][stage] = round(result["seconds"].get(stage, 0) + seconds, 4)
    failed = next((part for part in parts if part["status"] == "failed"), None)
    if failed:
        return result | {key: failed[key] for key in ("status", "stage", "message")}
    for name in dict.fromkeys(key for found in facts for key in found):
        values = [found.get(name) for found in facts]
        result[name] = MERGED.get(name, _first)(values, tiles)
    if "size" in result:
        result["size"] = shape_of(record)
    return result


def _first(values: list, tiles: list[dict]) -> object:
    return values[0]


def _sum(values: list, tiles: list[dict]) -> float:
    return sum(value for value in values if value is not None)


def _median(values: list, tiles: list[dict]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _mean(values: list, tiles: list[dict]) -> float | None:
    return _weighted(values, [area(tile["core"]) for tile in tiles])


def _weighted(values: list, weights: list[int]) -> float | None:
    known = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None and w]
    return sum(v * w for v, w in known) / sum(w for _, w in known) if known else None


def _counts(values: list[str], tiles: list[dict]) -> str:
    """Numbers behind names, `small 2, border 1`, added up: of each tile its core's share."""
    total: dict[str, float] = {}
    for value, tile in zip(values, tiles, strict=True):
        for each in filter(None, (value or "").split(", ")):
            name, number = each.rsplit(" ", 1)
            share = area(tile["core"]) / area(tile["window"])
            total[name] = total.get(name, 0) + int(number) * share
    return ", ".join(f"{name} {round(number)}" for name, number in total.items())


def _quality(values: list[dict], tiles: list[dict]) -> dict:
    """That of an image from `quality` of its tiles."""
    objects = [value["image"]["objects"] for value in values]
    image = _each([value["image"] for value in values], tiles, OF_IMAGE)
    shares = [value["image"]["border_share"] for value in values]
    image["border_share"] = _weighted(shares, objects)
    channels = {
        name: _each([value["channels"][name] for value in values], tiles, OF_CHANNEL)
        for name in values[0]["channels"]
    }
    return {"image": image, "channels": channels}


def _each(tables: list[dict], tiles: list[dict], how: dict[str, Callable]) -> dict:
    return {
        name: how.get(name, _median)([table[name] for table in tables], tiles) for name in tables[0]
    }


# How facts of tiles become those of their image: else it has those of the first.
MERGED: dict[str, Callable] = {
    "objects": _sum,
    "dropped": _counts,
    "threshold": _median,
    "diameter": _median,
    "quality": _quality,
}
# The same for numbers of quality, which else are medians over tiles.
OF_IMAGE: dict[str, Callable] = {"objects": _sum, "foreground": _mean}
OF_CHANNEL: dict[str, Callable] = {"saturated": _mean, "lowest": _mean, "glare": _sum}


def local(labels: np.ndarray, record: dict) -> tuple[np.ndarray, np.ndarray]:
    """Labels of a tile with small numbers, its own objects first, and their numbers in the image.

    Parameters
    ----------
    labels : (Y, X) array of int32
        Of the tile's window, with the numbers of the image.
    record : dict
        Of the tile: `first` and `last` of its own objects, all of which are in the window.

    Returns
    -------
    labels : (Y, X) array of int32
        1 to n without gaps; the first last - first + 1 are the tile's own.
    numbers : (n + 1,) array of int32
        That of each in the image; 0 for the background.
    """
    first, last = record["first"], record["last"]
    present = np.unique(labels)
    others = present[(present > 0) & ((present < first) | (present > last))]
    numbers = np.concatenate([[0], np.arange(first, last + 1), others]).astype(np.int32)
    return renumbered(labels, numbers), numbers


def renumbered(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Labels by the places of their numbers in an array; 0 where they are not in it."""
    order = np.argsort(numbers, kind="stable")
    at = np.clip(np.searchsorted(numbers, labels, sorter=order), 0, numbers.size - 1)
    places = order[at]
    return np.where(numbers[places] == labels, places, 0).astype(np.int32)


def offsets(names: Iterable[str], record: dict) -> dict[str, int]:
    """What to add to columns of places in a tile's window so that they are places in the image."""
    found = ((name, columns.find(name)) for name in names)
    return {
        name: record["window"][each.index[0] % 2]
        for name, each in found
        if each and each.column.name in PLACES
    }
