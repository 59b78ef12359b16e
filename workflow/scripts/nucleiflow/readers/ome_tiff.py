"""OME-TIFF: OME-XML to scenes, of one file or of a dataset of several.

The XML is read here and not by tifffile, for two reasons: a dataset must be read from the files
that the caller knows, and numbers in damaged metadata must not decide how much memory is taken.
"""

import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path, PureWindowsPath
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from tifffile import TiffFile, TiffPage

from nucleiflow.images import ImageError
from nucleiflow.readers import Channel, Part, Scene
from nucleiflow.readers.tiff_check import check, description, open_file, open_tiff
from nucleiflow.readers.tiff_metadata import COLORS, sides_um, square, tag_pixel_size
from nucleiflow.readers.tiff_pages import Layout, Page, layout_of, read_page, scene_of
from nucleiflow.readers.vendor import RGB

# Files of a dataset that are kept open beside the first.
MOST_OPEN = 8
MOST_PLANES = 10**7


def ome_files(path: Path) -> list[str]:
    """Names of the files that make up one OME-TIFF dataset, as one of them states.

    Returns
    -------
    names : list of str
        Without directories, sorted, with the name of the file itself. Empty where it is no
        OME-TIFF, is complete in itself or cannot be read.
    """
    try:
        with open_file(path) as file:
            root = _root(file)
        if root is None:
            return []
        names, own = _names(root, path)
        names = {name for name in names if name.lower() not in own} | {path.name}
    except Exception:
        # Whatever is wrong with the file, reading it will say it better.
        return []
    return sorted(names) if len(names) > 1 else []


def metadata(file: BinaryIO, others: tuple[Path, ...]) -> tuple[Element, int] | None:
    """The OME-XML that describes a TIFF file's pages, and the rank of the file that it is in.

    A file of a dataset may hold nothing but the name of another file that has it. Ranks count
    from 0, the file itself. None where there is no such XML.
    """
    root = _root(file)
    if root is None:
        return None
    if _below(root, "Image", "Pixels"):
        return root, 0
    for rank, path in enumerate(others, 1):
        with open_file(path) as other:
            root = _root(other)
        if root is not None and _below(root, "Image", "Pixels"):
            return root, rank
    return None


def ome_scenes(
    root: Element, source: int, tiff: TiffFile, paths: tuple[Path, ...], stack: ExitStack
) -> list[Scene]:
    """The scenes of OME-XML that have pages in the given files.

    Parameters
    ----------
    root, source
        As `metadata` gives them.
    tiff : TiffFile
        The first of the files.
    paths : tuple of Path
    stack : ExitStack
        Closes the others.
    """
    ranks = {path.name.lower(): rank for rank, path in reversed(list(enumerate(paths)))}
    ranks = dict.fromkeys(_names(root, paths[source])[1], source) | ranks
    # Of TiffData without a name.
    ranks[""] = source
    divided = _divided(root)
    files = _opener(tiff, paths, stack)
    images = [image for image in _below(root, "Image") if _below(image, "Pixels")]
    scenes = []
    for image in images:
        for reference in image.iter() if divided else ():
            if reference.tag.endswith("AnnotationRef") and reference.get("ID") in divided:
                raise ImageError(
                    f"the OME metadata divide an axis into {divided[reference.get('ID')]}, "
                    "which is not supported: export one of them as an OME-TIFF of its own"
                )
        scene = _scene(image, len(images) > 1, ranks, files)
        if scene is not None:
            scenes.append(scene)
    if not scenes:
        raise ImageError(
            "the OME metadata of the file name none of its pages, export it again as an OME-TIFF"
        )
    return scenes


def _root(file: BinaryIO) -> Element | None:
    """The OME-XML of a TIFF file, or of a file that is nothing else; None where there is none."""
    file.seek(0)
    start = file.read(4)
    # Some writers on Windows put three bytes in front of UTF-8.
    marks = (b"<", b"\xef\xbb\xbf")
    text = start + file.read() if start.startswith(marks) else description(file)
    text = text.strip(b"\0 \t\r\n")
    if not text.startswith(marks) or b"OME" not in text[:4096]:
        return None
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    return root if root.tag.rpartition("}")[2] == "OME" else None


def _below(element: Element, *tags: str) -> list[Element]:
    """Elements by their path, in any version of OME's namespace, as `findall` gives them.

    Its paths with wildcards cost as much as all else that is done for a small file.
    """
    found = [element]
    for tag in tags:
        found = [each for above in found for each in above if each.tag.rpartition("}")[2] == tag]
    return found


def _base(name: str) -> str:
    """A file's name. Writers may put a directory in front that other computers do not have."""
    return PureWindowsPath(name).name


def _names(root: Element, path: Path) -> tuple[set[str], set[str]]:
    """Names that OME-XML calls files by, and those, in lower case, that mean the file itself.

    The file may have been renamed.
    """
    uuids = _below(root, "Image", "Pixels", "TiffData", "UUID")
    named = [(uuid.text, uuid.get("FileName")) for uuid in uuids]
    names = {_base(name) for _, name in named if name}
    uuid = root.get("UUID", "")
    own = {_base(name).lower() for text, name in named if name and text == uuid}
    holders = [each.get("MetadataFile") for each in _below(root, "BinaryOnly")]
    if len(names) == 1 and not holders and not own and not (path.parent / min(names)).exists():
        own = {min(names).lower()}
    return names | {_base(name) for name in holders if name}, own | {path.name.lower()}


def _opener(tiff: TiffFile, paths: tuple[Path, ...], stack: ExitStack) -> Callable[[int], TiffFile]:
    """Give the open file of a rank; few are open at once."""
    held: dict[int, TiffFile] = {}

    def file(rank: int) -> TiffFile:
        if rank == 0:
            return tiff
        if rank not in held:
            if len(held) >= MOST_OPEN:
                held.pop(next(iter(held))).close()
            with open_file(paths[rank]) as other:
                check(other)
            held[rank] = open_tiff(paths[rank])
        return held[rank]

    def close() -> None:
        for other in held.values():
            other.close()

    stack.callback(close)
    return file


def _scene(
    image: Element, several: bool, ranks: dict[str, int], files: Callable[[int], TiffFile]
) -> Scene | None:
    """The scene of an OME Image; None where none of its pages is in the given files."""
    pixels = _below(image, "Pixels")[0]
    order = pixels.get("DimensionOrder", "XYCZT")[2:]
    size = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in "XYCZT"}
    if sorted(order) != ["C", "T", "Z"] or min(size.values()) < 1:
        raise ValueError(f"OME sizes {size} in order {order}")
    channels = _below(pixels, "Channel")
    spp = {int(channel.get("SamplesPerPixel", 1)) for channel in channels} or {1}
    if len(spp) > 1:
        raise ImageError(
            "some channels of the file are grey and others are in colour, export them as files "
            "of their own"
        )
    samples = spp.pop()
    first = _first_page(pixels, ranks, files)
    if first is None:
        layout = _stated_layout(pixels, size, samples)
    else:
        layout = layout_of(first)
        if size["C"] % first.samplesperpixel == 0:
            samples = first.samplesperpixel
        if (layout.height, layout.width) != (size["Y"], size["X"]):
            raise ImageError(
                f"the OME metadata state {size['X']} x {size['Y']} pixels, but the pages hold "
                f"{layout.width} x {layout.height}: export the file again"
            )
    if samples < 1 or size["C"] % samples or math.prod(size[axis] for axis in order) > MOST_PLANES:
        raise ValueError(f"OME sizes {size}, {samples} samples a channel")
    size["C"] //= samples
    blocks = _blocks(pixels, order, size, ranks, files)
    if not blocks.found:
        return None
    steps = {axis: math.prod(size[each] for each in order[:at]) for at, axis in enumerate(order)}
    if not blocks.absent:
        # Where an acquisition was stopped, the last times are not there.
        size["T"] = 1 + max(number // steps["T"] % size["T"] for number in blocks.found)
    held = len(blocks.found) + sum(count for _, count, _ in blocks.absent)
    if size["C"] * size["Z"] * max(size["T"] - 1, 1) > held:
        raise ImageError(
            f"the OME metadata state {size['C'] * size['Z'] * size['T']} planes, but the file "
            f"holds {held}: copy or export it again"
        )

    def read(number: int, part: Part | None = None) -> Page:
        if number not in blocks.found:
            names = [name for first, n, name in blocks.absent if first <= number < first + n]
            where = f"names another file for this plane, which is not there: {names[0]}"
            raise ImageError(f"the OME-TIFF {where if names else 'does not hold this plane'}")
        rank, page = blocks.found[number]
        return read_page(files(rank).pages[page], part)

    pixel_size = _pixel_size(pixels)
    if pixel_size[0] is None and first is not None:
        pixel_size = tag_pixel_size(first)
    name = image.get("Name") or (image.get("ID", "") if several else "")
    return scene_of(name, size, steps, _channels(channels, size["C"]), layout, pixel_size, read)


def _rank(data: Element, ranks: dict[str, int]) -> int | None:
    """Which of the given files holds a TiffData; None for another one."""
    name = next((uuid.get("FileName") for uuid in _below(data, "UUID")), None)
    return ranks.get(_base(name or "").lower())


def _first_page(
    pixels: Element, ranks: dict[str, int], files: Callable[[int], TiffFile]
) -> TiffPage | None:
    """A page of an OME Image that is in the first file, which is open anyway."""
    for data in _below(pixels, "TiffData"):
        if _rank(data, ranks) == 0:
            return files(0).pages[int(data.get("IFD", 0))]
    return None


def _stated_layout(pixels: Element, size: dict[str, int], samples: int) -> Layout:
    """What OME-XML says of pages that are in files which are not open."""
    kind = pixels.get("Type", pixels.get("PixelType", ""))
    names = {"float": "float32", "double": "float64", "bit": "bool", "complex": "complex64"}
    dtype = np.dtype(names.get(kind, kind))
    channels = RGB if samples in (3, 4) else (Channel(),) * samples
    return Layout(size["Y"], size["X"], dtype, channels, tuple(range(len(channels))))


class Blocks(NamedTuple):
    """Where the planes of an OME Image are.

    `found` gives the rank of a file and the page in it for the number of a plane, `absent` the
    first plane, the count and the name of what is in other files.
    """

    found: dict[int, tuple[int, int]]
    absent: list[tuple[int, int, str]]


def _blocks(
    pixels: Element,
    order: str,
    size: dict[str, int],
    ranks: dict[str, int],
    files: Callable[[int], TiffFile],
) -> Blocks:
    """Where the planes of an OME Image are.

    https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html#the-tiffdata-element
    """
    blocks = Blocks({}, [])
    total = math.prod(size[axis] for axis in order)
    for data in _below(pixels, "TiffData"):
        start, step = 0, 1
        for axis in order:
            start += step * int(data.get(f"First{axis}", 0))
            step *= size[axis]
        page = int(data.get("IFD", 0))
        # Until 2008 it was called NumPlanes.
        stated = data.get("PlaneCount") or data.get("NumPlanes")
        stated = stated or ("1" if "IFD" in data.attrib else None)
        rank = _rank(data, ranks)
        if rank is None:
            count = min(int(stated or total), total - start)
            name = _base(_below(data, "UUID")[0].get("FileName"))
            blocks.absent.append((start, count, name))
            continue
        # One page is taken on trust, so that files which are not needed stay closed.
        held = 1 if stated == "1" else len(files(rank).pages) - page
        count = min(held if stated is None else int(stated), held, total - start)
        for index in range(max(0, count)):
            place = (rank, page + index)
            blocks.found[start + index] = min(place, blocks.found.get(start + index, place))
    return blocks


def _divided(root: Element) -> dict[str, str]:
    """What annotations divide an axis into, by the annotations' names."""
    return {
        annotation.get("ID"): element.get("Type") or "parts without a name"
        for annotations in _below(root, "StructuredAnnotations")
        for annotation in annotations
        for element in annotation.iter()
        if element.tag.rpartition("}")[2].startswith("ModuloAlong")
    }


def _channels(elements: list[Element], count: int) -> tuple[Channel, ...]:
    """Names and colours; a name that is not stated is that of the dye."""
    channels = [
        Channel((each.get("Name") or each.get("Fluor") or "").strip(), _color(each.get("Color")))
        for each in elements[:count]
    ]
    return (*channels, *(Channel(),) * (count - len(channels)))


def _color(text: str | None) -> str:
    """The name of a colour that is stated as a signed 32-bit number, red first, alpha last."""
    try:
        return COLORS.get(tuple((int(text) & 0xFFFFFFFF).to_bytes(4, "big")[:3]), "")
    except (TypeError, ValueError):
        return ""


def _pixel_size(pixels: Element) -> tuple[float | None, str]:
    sides = []
    for axis in "XY":
        unit = pixels.get(f"PhysicalSize{axis}Unit", "um")
        sides += sides_um([pixels.get(f"PhysicalSize{axis}")], unit)
    return square(sides, "OME")
