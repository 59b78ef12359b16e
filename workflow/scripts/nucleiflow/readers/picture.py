"""PNG, JPEG and BMP: sizes from the header, pixels through OpenCV."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from nucleiflow.images import ImageError
from nucleiflow.readers import Channel, Scene

# Pillow looks at headers alone here, and how large an image may be is not its to say.
Image.MAX_IMAGE_PIXELS = None

DAMAGED = "the file is damaged or not a PNG, JPEG or BMP image"
PNG = b"\x89PNG\r\n\x1a\n"
GREY = (Channel(),)
RGB = tuple(Channel(color, color) for color in ("red", "green", "blue"))


@contextmanager
def opened(path: Path) -> Iterator[list[Scene]]:
    """The one scene of a PNG, JPEG or BMP file.

    Grey images have one channel without a name, others red, green and blue; alpha is dropped,
    palettes are resolved and the orientation that a photo camera notes is left alone. Values are
    the file's own, uint8 or uint16: OpenCV stretches grey PNGs of 1, 2 and 4 bits to 255, which
    is undone, as the bits of a TIFF are not stretched either.

    Yields
    ------
    scenes : list of one Scene
        The file is decoded when a plane is first loaded.

    Raises
    ------
    ImageError
        Where the file is no such image, is cut short or holds printing colours.
    OSError
        Where the disk failed.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
            size, mode = image.size, image.mode
    except UnidentifiedImageError:
        raise ImageError(DAMAGED) from None
    if mode == "CMYK":
        raise ImageError("the JPEG file holds CMYK printing colours, export it as grey or RGB")
    bits, grey = _png_samples(path) or (8, mode in ("1", "L"))
    channels = GREY if grey else RGB
    decoded: list[np.ndarray] = []

    def load(time: int, channel: int, z: int) -> np.ndarray:
        if not decoded:
            decoded.append(_decode(np.fromfile(path, np.uint8)))
        return _channel(decoded[0], channel, len(channels), bits)

    dtype = np.dtype(np.uint16 if bits == 16 else np.uint8)
    yield [Scene("", 1, channels, 1, size[1], size[0], dtype, None, "", load)]


def _png_samples(path: Path) -> tuple[int, bool] | None:
    """Bits of a PNG's samples, and whether they are grey; None for other files."""
    with path.open("rb") as file:
        start = file.read(26)
    if not start.startswith(PNG):
        return None
    bits, kind = start[24:26]
    if kind == 3:
        # A palette's bits are those of its indices, its colours have 8.
        return 8, False
    return bits, kind in (0, 4)


def _decode(data: np.ndarray) -> np.ndarray:
    start, end = data[:8].tobytes(), data[-64:].tobytes()
    # OpenCV fills what is missing with black, in silence.
    if start == PNG and b"IEND" not in end:
        raise ImageError("the PNG file is cut short, copy it again")
    if start.startswith(b"\xff\xd8") and b"\xff\xd9" not in end:
        raise ImageError("the JPEG file is cut short, copy it again")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(DAMAGED)
    return image


def _channel(image: np.ndarray, channel: int, channels: int, bits: int) -> np.ndarray:
    """One channel of what OpenCV decoded: grey, or blue, green, red and perhaps alpha."""
    if image.ndim == 2:
        plane = image.copy()
    else:
        # OpenCV gives grey with alpha as colours, all alike.
        plane = image[..., 0 if channels == 1 else 2 - channel].copy()
    return plane // (255 // (2**bits - 1)) if bits < 8 else plane
