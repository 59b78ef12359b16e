"""Overlays: the image with the outlines of nuclei and cells, to see whether it worked."""

import math
from collections.abc import Callable

import cv2
import numpy as np
from PIL import ImageColor

from nucleiflow.batch import open_batch
from nucleiflow.display import for_display
from nucleiflow.images import ImageError, encode_picture
from nucleiflow.kernel import structuring_element
from nucleiflow.labels import outlines
from nucleiflow.tiles import shape_of

# Longest side of the picture of an image that is cut into tiles.
LONGEST = 4096


def overlay(
    image: np.ndarray, labels: np.ndarray, color: str | list[int], thickness: int, lines: bool
) -> np.ndarray:
    """Draw outlines.

    Parameters
    ----------
    image : (Y, X, 3) array of uint8, RGB
        Left unmodified.
    labels : (Y, X) array of int32
    color : str or list of int
        A name, `#rrggbb` or `[red, green, blue]`.
    thickness : int
        Width in pixels.
    lines : bool
        The labels cover the whole image but for lines between them, which are the outlines
        (OpenCV's watershed with its background). Else the outlines are the outermost pixels of
        each object.

    Returns
    -------
    picture : (Y, X, 3) array of uint8, RGB
    """
    if image.shape[:2] != labels.shape:
        raise ImageError(
            f"the labels have {labels.shape} pixels and the image {image.shape[:2]}: "
            "the image changed while the workflow ran, run it again"
        )
    drawn = labels == 0 if lines else outlines(labels)
    if thickness > 1:
        kernel = structuring_element("ellipse", thickness)
        drawn = cv2.dilate(drawn.astype(np.uint8), kernel) > 0
    picture = image.copy()
    shade = ImageColor.getrgb(color)[:3] if isinstance(color, str) else color
    # By their places, which is several times as fast as by an image of bool.
    picture.reshape(-1, 3)[np.flatnonzero(drawn)] = shade
    return picture


def looked_at(item, view: dict) -> np.ndarray:
    """What outlines are drawn on: the colours of an image of 8 bits, else the segmented channel."""
    with item.field(view) as field:
        image = field.rgb()
        if image is None or image.dtype != np.uint8:
            image = field.image(field.segmented())
    return image


def reduced(item, read: Callable, smooth: bool) -> np.ndarray:
    """An image that is cut into tiles, made smaller by a whole number, one tile in memory.

    `read` gives a tile's window. Of labels, which are not `smooth`, every so many pixels are taken.
    """
    shape = shape_of(item.record)
    factor = math.ceil(max(shape) / LONGEST)
    result = None
    for tile in item.parts():
        top, left, bottom, right = tile.record["window"]
        rows, columns = (
            np.arange(-(-start // factor), -(-end // factor))
            for start, end in zip(tile.record["core"][:2], tile.record["core"][2:], strict=True)
        )
        found = read(tile)
        if smooth:
            high, wide = rows.size * factor, columns.size * factor
            up, begin = rows[0] * factor - top, columns[0] * factor - left
            block = found[up : up + high, begin : begin + wide]
            if block.dtype not in (np.uint8, np.uint16, np.int16, np.float32):
                # OpenCV knows no others.
                block = block.astype(np.float64)
            # The image may end within a pixel of the picture.
            beyond = (0, high - block.shape[0], 0, wide - block.shape[1])
            block = cv2.copyMakeBorder(block, *beyond, cv2.BORDER_REPLICATE)
            small = cv2.resize(block, (columns.size, rows.size), interpolation=cv2.INTER_AREA)
        else:
            middle = factor // 2
            small = found[
                np.ix_(
                    np.minimum(rows * factor + middle, bottom - 1) - top,
                    np.minimum(columns * factor + middle, right - 1) - left,
                )
            ]
        if result is None:
            size = (-(-length // factor) for length in shape)
            result = np.zeros((*size, *found.shape[2:]), small.dtype)
        result[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = small
    return result


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    settings = dict(settings)
    view, stretch, ending, cells_color = (
        settings.pop(key) for key in ("view", "stretch", "format", "cells_color")
    )
    whole = not item.record.get("tiles")

    def labels(name: str) -> np.ndarray:
        return item.read(name) if whole else reduced(item, lambda tile: tile.read(name), False)

    image = looked_at(item, view) if whole else reduced(item, lambda t: looked_at(t, view), True)
    picture = for_display(image, stretch)
    if cells_color is not None:
        picture = overlay(picture, labels("cells"), **settings | {"color": cells_color})
    picture = overlay(picture, labels("labels"), **settings)
    return {"overlay": (ending, encode_picture(picture, ending))}


if "snakemake" in globals():
    with open_batch(snakemake, whole=True) as batch:
        batch.map(compute)
