"""Lengths and areas of the config: numbers are pixels, texts such as `12 um` micrometres.

This module is imported wherever a config is read, so it imports what is slow when it needs it.
"""

import math
import re

NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?"
# Micro is written in three ways, and squares in three.
TEXT = re.compile(rf"\s*({NUMBER})\s*[uµμ]m\s*(2|\^2|²)?\s*")


def micrometres(text: str) -> tuple[float, int]:
    """What `12 um` or `50 um2` says: the number, and 1 for a length or 2 for an area.

    Raises ValueError where a text is neither, or not above 0.
    """
    match = TEXT.fullmatch(text)
    number = float(match[1]) if match else 0.0
    if not (0 < number < math.inf):
        raise ValueError(f"{text} is no length or area")
    return number, 2 if match[2] else 1


def spelled(text: str) -> str:
    """The same length or area in the one spelling that stands for all: `12 um`, `50 um2`."""
    number, power = micrometres(text)
    return f"{number:.12g} um{'2' if power == 2 else ''}"


def needs_pixel_size(*values: object) -> bool:
    """Whether any value of the config is in micrometres; those that are no lengths do not count."""
    return any(isinstance(value, str) and TEXT.fullmatch(value) for value in values)


def pixels(value: float | str, pixel_size_um: float | None, power: int = 1) -> float:
    """A length or area of the config in pixels or square pixels.

    Parameters
    ----------
    value : float or str
        Pixels, or a text in micrometres (`12 um`, `50 um2`).
    pixel_size_um : float or None
        Side of a pixel in micrometres, after crop and resize; see `side_of_pixel`.
    power : 1 or 2
        Length or area.

    Raises
    ------
    ImageError
        Where a length is in micrometres and the size of a pixel is not known.
    """
    if not isinstance(value, str):
        return float(value)
    number, found = micrometres(value)
    if found != power:
        raise ValueError(f"{value} is no {'length' if power == 1 else 'area'}")
    if pixel_size_um is None:
        from nucleiflow.images import ImageError

        raise ImageError(
            f"the config says {value}, and the image does not state the size of its pixels: set "
            f"pixel_size_um, or give {'pixels' if power == 1 else 'square pixels'}"
        )
    return number / pixel_size_um**power


def side_of_pixel(
    record: dict,
    shape: tuple[int, int],
    pixel_size_um: float | str | None = None,
    crop: dict | None = None,
) -> float | None:
    """Side of a pixel in micrometres after crop and resize, or None where it is not known.

    Parameters
    ----------
    record : dict
        Of the image: `height` and `width` of its file, and what it states of its pixels.
    shape : (int, int)
        Rows and columns after crop and resize.
    pixel_size_um, crop
        Those of the config.
    """
    from nucleiflow.pixel_size import pixel_size

    stated = record.get("stated_pixel_size_um"), record.get("stated_pixel_size_source", "")
    side, _ = pixel_size(*stated, pixel_size_um)
    if side == "":
        return None
    if "window" in record:
        # A tile, of an image that is not resized.
        return side
    whole = crop or record
    # Both sides are truncated to whole pixels, so that their factors differ a little.
    return side * math.sqrt(whole["height"] * whole["width"] / (shape[0] * shape[1]))
