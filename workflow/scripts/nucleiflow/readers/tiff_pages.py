"""Pages of a TIFF file to planes of a scene."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tifffile
from tifffile import PHOTOMETRIC, TiffFrame, TiffPage

from nucleiflow.images import ImageError, read_part
from nucleiflow.readers import Channel, Part, Scene
from nucleiflow.readers.tiff_check import wrong_offsets
from nucleiflow.readers.vendor import RGB

NO_LIGHT = {
    PHOTOMETRIC.SEPARATED: "CMYK printing colours",
    PHOTOMETRIC.MASK: "a transparency mask",
    PHOTOMETRIC.CIELAB: "L*a*b* colours",
    PHOTOMETRIC.ICCLAB: "L*a*b* colours",
    PHOTOMETRIC.ITULAB: "L*a*b* colours",
    PHOTOMETRIC.CFA: "the raw data of a colour camera",
    PHOTOMETRIC.LINEAR_RAW: "the raw data of a colour camera",
    PHOTOMETRIC.LOGL: "logarithms of light",
    PHOTOMETRIC.LOGLUV: "logarithms of light",
    PHOTOMETRIC.DEPTH_MAP: "distances",
}
# Codecs that convert YCbCr to RGB: JPEG and its successors.
CONVERTING = (6, 7, 33007, 34892, 33003, 33004, 33005, 34712, 22610, 34934, 50001, 50002, 52546)
# More can only come from a damaged file: samples of a pixel, bytes of a tile.
MOST_SAMPLES = 4096
MOST_TILE = 2**26

# The samples of a page, of the shape (sample, 1, Y, X, sample), and a page that tells what they
# are.
Page = tuple[TiffPage, np.ndarray]


class Layout(NamedTuple):
    """What a page's samples are.

    `samples` are those that are kept, in the order of `channels`; a colour palette has one sample
    and three channels.
    """

    height: int
    width: int
    dtype: np.dtype
    channels: tuple[Channel, ...]
    samples: tuple[int, ...]


def layout_of(page: TiffPage) -> Layout:
    """What a page's samples are; raises ImageError where they are not light."""
    kind = page.photometric
    if kind in NO_LIGHT:
        raise ImageError(f"the TIFF file holds {NO_LIGHT[kind]}, export it as grey or RGB")
    if kind == PHOTOMETRIC.YCBCR and page.compression not in CONVERTING:
        raise ImageError("the TIFF file holds YCbCr colours, export it as grey or RGB")
    if page.compression not in tifffile.TIFF.DECOMPRESSORS:
        name = getattr(page.compression, "name", f"method {page.compression}")
        raise ImageError(
            f"the TIFF file is compressed by {name}, which is not supported: export it with "
            "another compression"
        )
    if page.dtype is None:
        raise ImageError(
            f"the TIFF file holds numbers of {page.bitspersample} bits, which are not supported: "
            "export it with 8, 16 or 32 bits"
        )
    if page.imagedepth > 1:
        raise ImageError(
            f"the file holds volumes of {page.imagedepth} planes in one page, which are not "
            "supported: export it with one plane a page"
        )
    if page.samplesperpixel > MOST_SAMPLES:
        raise ValueError(f"{page.samplesperpixel} samples a pixel")
    size = (page.imagelength, page.imagewidth)
    if kind == PHOTOMETRIC.PALETTE and _is_colorful(page.colormap):
        return Layout(*size, np.dtype(np.uint8), RGB, (0,))
    if kind == PHOTOMETRIC.MINISWHITE and page.dtype.kind not in "biu":
        raise ImageError(
            "the TIFF file holds decimal numbers with white as zero, export it with black as zero"
        )
    count = page.shaped[0] * page.shaped[4]
    if kind in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) and 3 <= count <= 4:
        return Layout(*size, page.dtype, RGB, (0, 1, 2))
    extra = page.extrasamples
    first = count - len(extra)
    # 1 and 2 are alpha.
    samples = tuple(at for at in range(count) if at < first or extra[at - first] not in (1, 2))
    return Layout(*size, page.dtype, (Channel(),) * len(samples), samples)


def scene_of(
    name: str,
    size: dict[str, int],
    steps: dict[str, int],
    channels: tuple[Channel, ...],
    layout: Layout,
    pixel_size: tuple[float | None, str],
    read: Callable[[int, Part | None], Page],
) -> Scene:
    """A scene whose pages are all of one layout.

    `size` and `steps` are by the axes T, C and Z: a page's number is the sum of its indices times
    their steps. `read` reads a page by its number, or a part of it.
    """
    each = layout.channels
    if len(each) > 1:
        channels = tuple(
            Channel(f"{channel.name} {sample.name}".strip(), sample.color)
            for channel in (channels if len(channels) > 1 else (Channel(),))
            for sample in each
        )
    # The last page with several channels is kept, as the next plane is most likely in it.
    kept: dict[str, list[np.ndarray]] = {}

    def load(time: int, channel: int, z: int, part: Part | None = None) -> np.ndarray:
        outer, sample = divmod(channel, len(each))
        number = steps["T"] * time + steps["C"] * outer + steps["Z"] * z
        # Slices are no keys before Python 3.12.
        what = f"{number} {part}"
        if what in kept:
            return kept[what][sample].copy()
        with wrong_offsets():
            planes = _planes(*read(number, part), layout)
        if len(each) == 1:
            return planes[0]
        kept.clear()
        kept[what] = planes
        return planes[sample].copy()

    return Scene(
        name=name,
        times=size["T"],
        channels=channels,
        planes=size["Z"],
        height=layout.height,
        width=layout.width,
        dtype=layout.dtype,
        pixel_size_um=pixel_size[0],
        pixel_size_source=pixel_size[1],
        load=load,
        load_part=load,
    )


def read_page(page: TiffPage | TiffFrame, part: Part | None = None) -> Page:
    """A page's samples, or some; what is missing in the file is not filled with black."""
    key = page.keyframe
    offsets, counts = page.dataoffsets, page.databytecounts
    if key.is_contiguous:
        if page.is_frame and any(
            start + count != after
            for start, count, after in zip(offsets, counts, offsets[1:], strict=False)
        ):
            page = key = page.aspage()
    elif not len(offsets) == len(counts) == math.prod(key.chunked) or 0 in counts:
        raise ValueError("parts of the page were not written")
    elif max(counts) > page.parent.filehandle.size:
        raise ValueError(f"{max(counts)} bytes in one part of the page")
    if 0 in offsets:
        raise ValueError("parts of the page were not written")
    if key.is_tiled:
        tile = key.tilewidth * key.tilelength * max(key.tiledepth, 1) * key.samplesperpixel
        if tile * key.dtype.itemsize > max(4 * key.nbytes, MOST_TILE):
            raise ValueError(f"tiles of {key.tilewidth} x {key.tilelength} pixels")
    if part is not None:
        return key, read_part(page, *part)
    # Whoever opens many images does so in several processes.
    return key, page.asarray(squeeze=False, maxworkers=1)


def _is_colorful(colormap: np.ndarray) -> bool:
    """Whether a palette has colours; a grey ramp has the camera's values as its indices."""
    grey = (colormap == colormap[0]).all()
    return not (grey and (np.diff(colormap[0].astype(int)) >= 0).all())


def _planes(page: TiffPage, samples: np.ndarray, expected: Layout) -> list[np.ndarray]:
    """The channels of a page."""
    layout = layout_of(page)
    if layout[:3] != expected[:3] or len(layout.channels) != len(expected.channels):
        raise ImageError(
            f"the pages of the file differ: {expected.width} x {expected.height} "
            f"{expected.dtype} and {layout.width} x {layout.height} {layout.dtype}, export it again"
        )
    planes = [
        samples[at, 0, :, :, 0] if samples.shape[0] > 1 else samples[0, 0, :, :, at]
        for at in layout.samples
    ]
    if page.photometric == PHOTOMETRIC.PALETTE and len(layout.channels) > 1:
        planes = [(color[planes[0]] >> 8).astype(np.uint8) for color in page.colormap]
    elif page.photometric == PHOTOMETRIC.MINISWHITE:
        planes = [_turned_round(plane, page.bitspersample) for plane in planes]
    return [np.ascontiguousarray(plane, dtype=layout.dtype) for plane in planes]


def _turned_round(plane: np.ndarray, bits: int) -> np.ndarray:
    """White-is-zero as black-is-zero, within the bits of the file."""
    if plane.dtype == bool:
        return ~plane
    top = np.array(2 ** min(bits, 8 * plane.dtype.itemsize) - 1)
    return top.astype(plane.dtype) - plane
