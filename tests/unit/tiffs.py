"""What tests of TIFF have in common: images, and what the reader makes of a file."""

import struct

import numpy as np
import pytest
import tifffile

from nucleiflow.images import ImageError
from nucleiflow.readers import Channel, open_image
from nucleiflow.readers.tiff import opened

RNG = np.random.default_rng(1)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
GREY16 = RNG.integers(0, 65536, (20, 30), np.uint16)
RGB = RNG.integers(0, 256, (20, 30, 3), np.uint8)
RGB16 = RNG.integers(0, 65536, (20, 30, 3), np.uint16)
ALPHA = RNG.integers(0, 256, (20, 30), np.uint8)
COLORS = RNG.integers(0, 256, (256, 3), np.uint8)
RAMP = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
# Every plane differs: two times, three channels, four planes.
TCZYX = RNG.integers(0, 65536, (2, 3, 4, 20, 30), np.uint16)
PRIMARIES = tuple(Channel(color, color) for color in ("red", "green", "blue"))
DAMAGED = "the TIFF file is damaged or cut short, copy it again"
SAY_PAGES = (
    "the file holds {} pages and does not say what they are: set pages to z, time or channel in "
    "the config"
)


def everything(scene) -> np.ndarray:
    """All planes of a scene as (T, C, Z, Y, X), in its stated type and size; parts agree."""
    result = np.zeros(
        (scene.times, len(scene.channels), scene.planes, scene.height, scene.width), scene.dtype
    )
    for t, c, z in np.ndindex(result.shape[:3]):
        plane = scene.load(t, c, z)
        assert (plane.shape, plane.dtype) == (result.shape[3:], scene.dtype)
        result[t, c, z] = plane
    ends = ((length // 3, max(length - length // 5, 1)) for length in result.shape[3:])
    part = tuple(slice(*pair) for pair in ends)
    for t, c, z in np.ndindex(result.shape[:3]):
        np.testing.assert_array_equal(scene.load_part(t, c, z, part), result[(t, c, z, *part)])
    return result


def one(path, *others, **options):
    """The only scene's facts, and its planes."""
    with opened(path, *others, **options) as (scene,):
        return scene, everything(scene)


def pixels(path) -> np.ndarray:
    """A file of one time and plane as (Y, X) or (Y, X, C)."""
    scene, planes = one(path)
    assert (scene.times, scene.planes) == (1, 1)
    return planes[0, 0, 0] if len(scene.channels) == 1 else np.moveaxis(planes[0, :, 0], 0, -1)


def refusal(path, **options) -> str:
    """The sentence with which a file or its planes are refused."""
    with pytest.raises(ImageError) as caught, open_image(path, **options) as scenes:
        for scene in scenes:
            everything(scene)
    return str(caught.value)


def patched(path, code, kind, value, page=0):
    """Change a tag's type and value in place."""
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[page].tags[code]
        offset = tag.offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 12] = struct.pack("<HHII", code, kind, 1, value)
    path.write_bytes(content)
