"""Sheets of pictures: what of an image is shown, how large, and text beside it."""

import functools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from nucleiflow.labels import outlines

# Images up to so many times the side of a tile are shown whole.
WHOLE = 1.6
GAP = 6
FONT = 18
LINE = 24
INK, DIM, RED, PAPER = (20, 20, 20), (110, 110, 110), (190, 0, 0), (255, 255, 255)


def _colors(count: int) -> np.ndarray:
    """Black and so many colours, of which neighbours differ much."""
    numbers = np.arange(count)
    # Steps of the golden ratio keep neighbouring numbers far apart in hue.
    hue = (numbers * 0.618034 % 1 * 180).astype(np.uint8)
    saturation = (190 - numbers % 2 * 70).astype(np.uint8)
    value = (255 - numbers % 3 * 45).astype(np.uint8)
    hsv = np.stack([hue, saturation, value], axis=1)[np.newaxis]
    return np.vstack([np.zeros((1, 3), np.uint8), cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]])


COLORS = _colors(720)


def window(image: np.ndarray, side: int) -> tuple[slice, slice]:
    """The square part of an image in which there is most to see, or all of an image that fits.

    Parameters
    ----------
    image : (Y, X) array
    side : int
        Of the square, in pixels. Images up to 1.6 times as large are shown whole.

    Returns
    -------
    (slice, slice)
        Rows and columns. Most to see is most edges, which count by their logarithm: specks of dirt
        do not win, however bright. The middle where there are none.
    """
    height, width = image.shape
    if max(height, width) <= WHOLE * side:
        return slice(0, height), slice(0, width)
    rows, columns = min(side, height), min(side, width)
    step = max(1, side // 50)
    values = image.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        values[~finite] = np.median(values[finite]) if finite.any() else 0
    shape = max(1, width // step), max(1, height // step)
    small = cv2.resize(values, shape, interpolation=cv2.INTER_AREA)
    edges = cv2.morphologyEx(small, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    # Noise is everywhere, so the median of all edges is noise.
    noise = float(np.median(edges)) or float(edges.max()) / 100
    if noise:
        edges = np.log1p(np.maximum(edges / noise - 2, 0))
    size = max(1, rows // step), max(1, columns // step)
    sums = cv2.boxFilter(edges, cv2.CV_32F, size[::-1], anchor=(0, 0), normalize=False)
    sums = sums[: small.shape[0] - size[0] + 1, : small.shape[1] - size[1] + 1]
    if sums.max() <= 0:
        top, left = (height - rows) // 2, (width - columns) // 2
    else:
        top, left = (int(each) * step for each in np.unravel_index(sums.argmax(), sums.shape))
    top, left = min(top, height - rows), min(left, width - columns)
    return slice(top, top + rows), slice(left, left + columns)


def is_whole(image: np.ndarray, part: tuple[slice, slice]) -> bool:
    """Whether a window shows all of an image."""
    return image.shape[:2] == tuple(each.stop - each.start for each in part)


def resized(picture: np.ndarray, side: int, smooth: bool) -> np.ndarray:
    """A picture enlarged or shrunk so that its longer side has so many pixels.

    `smooth` is for intensities; labels and masks take the nearest pixel.
    """
    factor = side / max(picture.shape[:2])
    size = [max(1, round(length * factor)) for length in picture.shape[1::-1]]
    how = cv2.INTER_AREA if smooth and factor < 1 else cv2.INTER_NEAREST
    return cv2.resize(picture, size, interpolation=how)


def drawn(
    picture: np.ndarray, labels: np.ndarray, color: str | list[int], lines: bool
) -> np.ndarray:
    """Outlines of labels on a picture of their size, (Y, X, 3) array of uint8, RGB.

    With `lines` the labels cover everything but the lines between them, as OpenCV's watershed
    gives them with its background.
    """
    edges = (labels == 0) if lines else outlines(labels)
    result = picture.copy()
    result[edges] = ImageColor.getrgb(color)[:3] if isinstance(color, str) else color
    return result


def outlined(
    raw: np.ndarray, labels: np.ndarray, side: int, color: str | list[int], lines: bool
) -> np.ndarray:
    """A tile of an image with the outlines of its objects, each one pixel of the tile wide.

    Parameters
    ----------
    raw : (Y, X, 3) array of uint8, RGB
    labels : (Y, X) array of int32
    side, color, lines
        See `resized` and `drawn`.
    """
    if lines:
        # They are one pixel wide in the labels, and would get lost between the nearest pixels.
        lines_there = np.where(labels == 0, np.uint8(255), np.uint8(0))
        shown = (resized(lines_there, side, smooth=True) < 64).astype(np.int32)
    else:
        shown = resized(labels, side, smooth=False)
    return drawn(resized(raw, side, smooth=True), shown, color, lines)


def colored(labels: np.ndarray) -> np.ndarray:
    """Labels in colours that are the same for the same number, (Y, X, 3) array of uint8, RGB."""
    return COLORS[np.where(labels > 0, 1 + labels % (len(COLORS) - 1), 0)]


def seeded(raw: np.ndarray, markers: np.ndarray) -> np.ndarray:
    """Seeds over an image of their size, each with a dark rim, (Y, X, 3) array of uint8, RGB."""
    result = raw // 4 * 3
    seeds = (markers > 1).astype(np.uint8)
    rim = cv2.dilate(seeds, np.ones((3, 3), np.uint8)) > seeds
    result[rim] = 0
    result[seeds > 0] = (255, 80, 0)
    return result


def in_tile(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture in the upper left corner of a square, on paper."""
    result = np.full((side, side, 3), PAPER, np.uint8)
    result[: picture.shape[0], : picture.shape[1]] = picture
    return result


def overview(picture: np.ndarray, part: tuple[slice, slice], side: int) -> np.ndarray:
    """A whole picture as a tile, with a frame around the part of it that others show."""
    factor = side / max(picture.shape[:2])
    result = resized(picture, side, smooth=True)
    top, bottom, left, right = (
        round(edge * factor) for each in part for edge in (each.start, each.stop - 1)
    )
    if not is_whole(picture, part):
        cv2.rectangle(result, (left, top), (right, bottom), (255, 255, 0), 2)
    return result


def text_block(
    lines: Sequence[tuple[str, tuple[int, int, int]]], width: int, height: int | None = None
) -> np.ndarray:
    """Lines of text in their colours on paper, wrapped to a width: (Y, width, 3) array of uint8.

    Without a height, as high as needed.
    """
    wrapped = [(part, ink) for line, ink in lines for part in wrap(line, width - 2 * GAP)]
    block = Image.new("RGB", (width, height or LINE * len(wrapped) + 2 * GAP), PAPER)
    draw = ImageDraw.Draw(block)
    for number, (line, ink) in enumerate(wrapped):
        draw.text((GAP, GAP + LINE * number), line, ink, font())
    return np.asarray(block)


def wrap(text: str, width: int) -> list[str]:
    """A text in lines of so many pixels, broken after spaces and other characters that part words.

    Where there are none, within a word.
    """
    lines = [""]
    for word in _words(text):
        if font().getlength((lines[-1] + word).rstrip()) <= width:
            lines[-1] += word
            continue
        if lines[-1]:
            lines.append("")
        for char in word:
            if lines[-1] and font().getlength(lines[-1] + char) > width:
                lines.append("")
            lines[-1] += char
    return [line.strip() for line in lines]


def _words(text: str) -> list[str]:
    words = [""]
    for char in text:
        words[-1] += char
        if char in " /_-.,:":
            words.append("")
    return words


@functools.cache
def font() -> ImageFont.FreeTypeFont:
    """A font with the letters of most languages, which comes with Matplotlib."""
    import matplotlib

    return ImageFont.truetype(
        Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), FONT
    )


def beside(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures from left to right with gaps between them, on paper."""
    height = max(block.shape[0] for block in blocks)
    padded = []
    for block in blocks:
        padded.append(_paper(height, block.shape[1]))
        padded[-1][: block.shape[0]] = block
        padded.append(_paper(height, GAP))
    return np.hstack(padded)


def below(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures from top to bottom with gaps between them, on paper."""
    width = max(block.shape[1] for block in blocks)
    padded = []
    for block in blocks:
        padded.append(_paper(block.shape[0] + GAP, width))
        padded[-1][: block.shape[0], : block.shape[1]] = block
    return np.vstack(padded)


def _paper(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), PAPER, np.uint8)
