"""The contact sheet: a dozen overlays from all over the dataset in one picture."""

import csv
from pathlib import Path

import cv2
import numpy as np

from nucleiflow.files import replaced
from nucleiflow.images import encode_picture
from nucleiflow.job import logged

TILES = 12
COLUMNS = 4
SIDE = 480


def contact_sheet(pictures: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Pictures in a grid, each with its title.

    Parameters
    ----------
    pictures : list of (title, (Y, X, 3) array of uint8, RGB)

    Returns
    -------
    sheet : (Y, X, 3) array of uint8, RGB
    """
    tiles = [tile(title, picture) for title, picture in pictures]
    columns = min(COLUMNS, max(len(tiles), 1))
    empty = np.full((SIDE + 28, SIDE, 3), 255, np.uint8)
    tiles += [empty] * (-len(tiles) % columns or (not tiles))
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def tile(title: str, picture: np.ndarray) -> np.ndarray:
    """A picture scaled into a square under its title."""
    factor = (SIDE - 8) / max(picture.shape[:2])
    size = [max(1, round(length * factor)) for length in picture.shape[1::-1]]
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    scaled = cv2.resize(picture, size, interpolation=method)
    result = np.full((SIDE + 28, SIDE, 3), 255, np.uint8)
    result[26 : 26 + scaled.shape[0], 4 : 4 + scaled.shape[1]] = scaled
    # OpenCV's font has no letters outside ASCII.
    shown = title.encode("ascii", "replace").decode()[-60:]
    cv2.putText(result, shown, (4, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return result


def spread(rows: list[dict], count: int) -> list[dict]:
    """So many rows, evenly spread over all."""
    step = max(len(rows) / count, 1)
    return [rows[int(index * step)] for index in range(min(count, len(rows)))]


if "snakemake" in globals():
    with logged(snakemake):
        images = Path(snakemake.input.images)
        with images.open(newline="", encoding="utf-8") as file:
            drawn = [row for row in csv.DictReader(file) if row["overlay"]]
        pictures = []
        for row in spread(drawn, TILES):
            data = np.fromfile(images.parent / row["overlay"], np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
            name = f"{row['directory']}/{row['image']}".removeprefix("./")
            title = f"{name}: {row['objects']}"
            pictures.append((title, picture))
        with replaced(Path(snakemake.output[0])) as part:
            part.write_bytes(encode_picture(contact_sheet(pictures), "jpg"))
