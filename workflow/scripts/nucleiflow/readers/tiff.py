"""TIFF as microscopes write it: OME-TIFF, ImageJ, MetaMorph, LSM and plain files.

tifffile finds the pages and decodes them, and knows what the pages of all but OME-TIFF are.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import tifffile
from tifffile import TiffFile, TiffPageSeries

from nucleiflow.images import ImageError
from nucleiflow.readers import Part, Scene
from nucleiflow.readers.ome_tiff import metadata, ome_scenes
from nucleiflow.readers.tiff_check import check, open_file, open_tiff, wrong_offsets
from nucleiflow.readers.tiff_metadata import channels, pixel_size
from nucleiflow.readers.tiff_pages import Page, layout_of, read_page, scene_of

# What `pages` may be, as axes.
PAGES = {"z": "Z", "time": "T", "channel": "C"}
# Axes of tifffile that say nothing.
UNKNOWN = "IQ"
# A page says that it was made by a slide scanner.
SLIDES = {
    "is_svs": "Aperio",
    "is_ndpi": "Hamamatsu",
    "is_scn": "Leica",
    "is_bif": "Ventana",
    "is_philips": "Philips",
    "is_avs": "Argos",
}


@contextmanager
def opened(path: Path, *others: Path, pages: str | None = None) -> Iterator[list[Scene]]:
    """The scenes of a TIFF file.

    White-is-zero is turned round, a palette of colours becomes red, green and blue (uint8), one
    of greys keeps its indices, alpha is dropped, and of a pyramid the full size is read.

    Parameters
    ----------
    path : Path
    others : Path
        Other files of one OME-TIFF dataset, see `ome_tiff.ome_files`; no file is looked for.
        Scenes that have no page in the given files are left out.
    pages : str, optional
        What pages are that the file does not tell apart: `z`, `time` or `channel`.

    Yields
    ------
    scenes : list of Scene
        Planes can be loaded as long as the file is open. `load` raises ImageError for a plane
        that is in none of the given files.

    Raises
    ------
    ImageError
        Where the file holds something else than planes of light, or does not say what.
    Exception
        Of many types, where the file is damaged.
    """
    with ExitStack() as stack:
        with wrong_offsets():
            file = stack.enter_context(open_file(path))
            check(file)
            ome = metadata(file, others)
            file.seek(0)
            tiff = open_tiff(file)
            if ome is None:
                scenes = [_scene(tiff, pages)]
            else:
                scenes = ome_scenes(*ome, tiff, (path, *others), stack)
        yield scenes


def _scene(tiff: TiffFile, pages: str | None) -> Scene:
    """The one image of a file without OME-XML."""
    series = _the_series(tiff)
    page = series.keyframe
    layout = layout_of(page)
    size, steps, count = dict.fromkeys("TCZ", 1), dict.fromkeys("TCZ", 0), 1
    for axis, length in reversed(_outer_axes(series, pages)):
        size[axis], steps[axis] = length, count
        count *= length
    read = _reader(tiff, series, count)
    names = channels(tiff, size["C"], size["Z"] * size["T"])
    return scene_of("", size, steps, names, layout, pixel_size(tiff, page), read)


def _the_series(tiff: TiffFile) -> TiffPageSeries:
    """The image of a file, thumbnails and pyramids left aside."""
    first = tiff.pages.first
    for flag, maker in SLIDES.items():
        if getattr(first, flag):
            raise ImageError(
                f"the file is a whole slide of a {maker} scanner, which is not supported: export "
                "fields of it as OME-TIFF"
            )
    every = tiff.series
    # Masks, reduced copies and pages below pages.
    series = [s for s in every if not int(s.keyframe.subfiletype) & 5 and not s.keyframe.is_subifd]
    if not series or every[0].kind == "qpi":
        series = every[:1]
    if len(series) > 1:
        kinds = ", ".join(
            f"{s.keyframe.imagewidth} x {s.keyframe.imagelength} {s.dtype}" for s in series[:3]
        )
        raise ImageError(
            f"the file holds {len(series)} images of different kinds ({kinds}"
            f"{', ...' if len(series) > 3 else ''}): export each as a file of its own"
        )
    if tiff.is_imagej and series[0].kind != "imagej":
        # tifffile gives up on a stack whose end is missing, and leaves its first plane.
        stated = tiff.imagej_metadata or {}
        count = math.prod(int(stated.get(key, 1)) for key in ("frames", "slices", "channels"))
        _refuse_missing(count, len(tiff.pages))
    return series[0]


def _outer_axes(series: TiffPageSeries, pages: str | None) -> list[tuple[str, int]]:
    """The axes among T, C and Z that a series' pages are counted along, with their sizes."""
    axes, shape = series.get_axes(False), series.get_shape(False)
    # Those of one page are at the end.
    inner, values = 0, 1
    each = math.prod(series.keyframe.shape)
    while inner < len(axes) and (values < each or not {"Y", "X"} <= set(axes[-inner:])):
        inner += 1
        values *= shape[-inner]
    split = len(axes) - inner
    every = list(zip(axes, shape, strict=True))
    if values != each or any(size > 1 and axis not in "YXSC" for axis, size in every[split:]):
        stated = " x ".join(f"{size} {axis}" for axis, size in every)
        raise ImageError(
            f"the file's metadata state {stated}, which its pages do not hold: export it again"
        )
    named = [(axis, size) for axis, size in every[:split] if size > 1]
    unknown = math.prod(size for axis, size in named if axis in UNKNOWN)
    if unknown > 1 and pages is None:
        raise ImageError(
            f"the file holds {unknown} pages and does not say what they are: set pages to z, time "
            "or channel in the config"
        )
    result: list[tuple[str, int]] = []
    for at, (axis, size) in enumerate(named):
        letter = PAGES[pages] if axis in UNKNOWN else axis
        if at and axis in UNKNOWN and named[at - 1][0] in UNKNOWN:
            result[-1] = (letter, result[-1][1] * size)
        elif letter not in "TCZ" or letter in dict(result):
            name = tifffile.TIFF.AXES_NAMES.get(axis, axis)
            raise ImageError(
                f"the file has an axis {axis} ({name}) of {size}, which is not supported: export "
                "it as an OME-TIFF of channels, planes and times"
            )
        else:
            result.append((letter, size))
    return result


def _reader(
    tiff: TiffFile, series: TiffPageSeries, count: int
) -> Callable[[int, Part | None], Page]:
    """How a page of a series is read, or a part, from its number; there must be so many."""
    page = series.keyframe
    size = page.nbytes
    start = series.dataoffset
    if count > 1 and start is not None and start + count * size <= tiff.filehandle.size:
        dtype = page._dtype.newbyteorder(tiff.byteorder)

        def contiguous(number: int, part: Part | None = None) -> Page:
            if part is not None:
                place = {"dtype": dtype, "mode": "r", "offset": start + number * size}
                pixels = np.memmap(tiff.filehandle.path, shape=page.shaped, **place)
                return page, np.array(pixels[:, :, *part])
            tiff.filehandle.seek(start + number * size)
            samples = tiff.filehandle.read_array(dtype, math.prod(page.shaped))
            return page, samples.reshape(page.shaped)

        return contiguous
    _refuse_missing(count, min(len(series), len(tiff.pages)))
    return lambda number, part=None: read_page(series[number], part)


def _refuse_missing(stated: int, held: int) -> None:
    if stated > held:
        raise ImageError(
            f"the file's metadata state {stated} planes, but it holds {held}: copy or export it "
            "again"
        )
