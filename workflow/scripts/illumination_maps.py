"""Pictures of flat fields: how unevenly the light fell in each directory and channel."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib import colormaps

from nucleiflow.files import replaced
from nucleiflow.flat_field import facts_of
from nucleiflow.images import decode_tiff, encode_picture
from nucleiflow.job import logged

MAPS = 24
COLUMNS = 6
SIDE = 220
LINE = 17
# How much light is violet and how much is yellow: the same in all maps, to compare them.
DARK, BRIGHT = 0.5, 1.5


class Map(NamedTuple):
    """A flat field to be drawn: `low` and `high` are its range, `images` how many it is made of."""

    directory: str
    channel: str
    path: Path
    low: float
    high: float
    images: int


def worst(maps: list[Map], count: int = MAPS) -> list[Map]:
    """So many flat fields, those with the widest range of light first."""
    return sorted(maps, key=lambda each: (each.low / each.high, each.path))[:count]


def sheet(maps: list[Map], total: int) -> np.ndarray:
    """Flat fields in a grid under their names, (Y, X, 3) array of uint8, RGB."""
    columns = max(1, min(COLUMNS, len(maps)))
    tiles = [tile(each) for each in maps]
    empty = np.full((SIDE + 3 * LINE, SIDE, 3), 255, np.uint8)
    tiles += [empty] * (-len(tiles) % columns or (not tiles))
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    foot = np.full((2 * LINE, SIDE * columns, 3), 255, np.uint8)
    text = f"{len(maps)} of {total} flat fields, violet {DARK:g} to yellow {BRIGHT:g}"
    _write(foot, text if maps else "no flat field", LINE)
    return np.vstack([*rows, foot])


def tile(flat_field: Map) -> np.ndarray:
    """One flat field under its directory, channel and range."""
    flat = decode_tiff(flat_field.path)
    factor = (SIDE - 8) / max(flat.shape)
    size = [max(1, round(length * factor)) for length in flat.shape[::-1]]
    small = cv2.resize(flat, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    colors = colormaps["viridis"](np.clip((small - DARK) / (BRIGHT - DARK), 0, 1))[..., :3]
    result = np.full((SIDE + 3 * LINE, SIDE, 3), 255, np.uint8)
    top = 2 * LINE + 6
    result[top : top + size[1], 4 : 4 + size[0]] = np.rint(colors * 255)
    _write(result, f"{flat_field.directory} {flat_field.channel}".strip()[-32:], LINE - 2)
    images = f"{flat_field.images} image{'' if flat_field.images == 1 else 's'}"
    _write(result, f"{flat_field.low:.2f} to {flat_field.high:.2f}, {images}", 2 * LINE - 2)
    return result


def _write(picture: np.ndarray, text: str, bottom: int) -> None:
    # OpenCV's font has no letters outside ASCII.
    shown = text.encode("ascii", "replace").decode()
    cv2.putText(
        picture, shown, (4, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA
    )


def found_in(folder: Path) -> list[Map]:
    """The flat fields of a directory's estimate."""
    facts = facts_of(folder)
    return [
        Map(
            facts["directory"],
            each["channel"],
            folder / each["file"],
            each["low"],
            each["high"],
            each["images"],
        )
        for each in facts["flat_fields"]
    ]


if "snakemake" in globals():
    with logged(snakemake):
        maps = [each for folder in snakemake.input for each in found_in(Path(folder))]
        with replaced(Path(snakemake.output[0])) as part:
            part.write_bytes(encode_picture(sheet(worst(maps), len(maps)), "jpg"))
