"""Overlays: the image with the outlines of nuclei and cells, to see whether it worked."""

import cv2
import numpy as np
from PIL import ImageColor

from nucleiflow.batch import open_batch
from nucleiflow.display import for_display
from nucleiflow.images import ImageError, encode_picture
from nucleiflow.kernel import structuring_element
from nucleiflow.labels import outlines


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
    picture[drawn] = ImageColor.getrgb(color)[:3] if isinstance(color, str) else color
    return picture


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    settings = dict(settings)
    view, stretch, ending, cells_color = (
        settings.pop(key) for key in ("view", "stretch", "format", "cells_color")
    )
    with item.field(view) as field:
        image = field.rgb()
        if image is None or image.dtype != np.uint8:
            image = field.image(field.segmented())
    picture = for_display(image, stretch)
    if cells_color is not None:
        picture = overlay(picture, item.read("cells"), **settings | {"color": cells_color})
    picture = overlay(picture, item.read("labels"), **settings)
    return {"overlay": (ending, encode_picture(picture, ending))}


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        batch.map(compute)
