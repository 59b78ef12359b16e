"""Pixel sizes, and names and colours of channels, as programs write them into TIFF files."""

import html
import math
import re
from collections.abc import Iterable

import numpy as np
from tifffile import TiffFile, TiffPage

from nucleiflow.readers import RESOLUTION_TAG, Channel

COLORS = {
    (255, 0, 0): "red",
    (0, 255, 0): "green",
    (0, 0, 255): "blue",
    (0, 255, 255): "cyan",
    (255, 0, 255): "magenta",
    (255, 255, 0): "yellow",
    (255, 255, 255): "white",
}
# Micrometres, in lower case; u stands for µ.
UNITS = {
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "pm": 1e-6,
    "å": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25400.0,
}
# Of the tag ResolutionUnit; the last two are tifffile's.
TAG_UNITS = {2: "in", 3: "cm", 4: "mm", 5: "um"}


def pixel_size(tiff: TiffFile, page: TiffPage) -> tuple[float | None, str]:
    """The side of a pixel in micrometres and its source, in a file that is no OME-TIFF."""
    sides, source = [], ""
    if tiff.is_imagej:
        unit = (tiff.imagej_metadata or {}).get("unit")
        sides, source = sides_um(_tag_sides(page), unit), "ImageJ"
    elif tiff.is_stk:
        plane = tiff.stk_metadata or {}
        if plane.get("SpatialCalibration", 1):
            values = (plane.get("XCalibration"), plane.get("YCalibration"))
            sides, source = sides_um(values, plane.get("CalibrationUnits")), "MetaMorph"
    elif tiff.is_metaseries:
        if _metaseries(tiff, "spatial-calibration-state") == "on":
            keys = ("x", "y", "units")
            *values, unit = (_metaseries(tiff, f"spatial-calibration-{key}") for key in keys)
            sides, source = sides_um(values, unit), "MetaMorph"
    elif tiff.is_lsm:
        metres = [(tiff.lsm_metadata or {}).get(f"VoxelSize{axis}") for axis in "XY"]
        sides, source = sides_um(metres, "m"), "LSM"
    return square(sides, source) if sides else tag_pixel_size(page)


def tag_pixel_size(page: TiffPage) -> tuple[float | None, str]:
    """What the tags XResolution, YResolution and ResolutionUnit state, as `pixel_size`."""
    unit = TAG_UNITS.get(page.tags.valueof(296, 2))
    return square(sides_um(_tag_sides(page), unit), RESOLUTION_TAG)


def sides_um(values: Iterable[object], unit: str | None) -> list[float]:
    """Values that can be sides of a pixel, in micrometres; none where the unit is not known."""
    # There are two letters that look like µ, and ImageJ escapes one.
    unit = re.sub(r"\\u00b5|\u00b5|\u03bc", "u", str(unit).strip().lower())
    sides = []
    for value in values:
        try:
            side = float(value) * UNITS[unit]
        except (KeyError, TypeError, ValueError):
            continue
        if 0 < side < math.inf:
            sides.append(side)
    return sides


def square(sides: list[float], source: str) -> tuple[float | None, str]:
    """One side for both axes and its source, where they agree within 1 %."""
    if not sides or max(sides) > 1.01 * min(sides):
        return None, ""
    return sides[0], source


def channels(tiff: TiffFile, count: int, each: int) -> tuple[Channel, ...]:
    """Channels of a file that is no OME-TIFF and has so many planes of each of them."""
    if tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        names = _label_names(metadata.get("Labels"), count, each)
        return tuple(map(Channel, names, _lut_colors(metadata.get("LUTs"), count)))
    if tiff.is_metaseries and count == 1:
        setting, name = _metaseries(tiff, "_IllumSetting_"), _metaseries(tiff, "image-name")
        # Two wavelengths with the same setting are told apart by a number behind it.
        return (Channel(name if name.startswith(setting) else setting),)
    return (Channel(),) * count


def _metaseries(tiff: TiffFile, name: str) -> str:
    """A property of MetaMorph's plane.

    Parsing its XML, of a hundred properties, takes as long as all else.
    """
    found = re.search(f'<prop id="{name}" [^>]*value="([^"]*)"', tiff.pages.first.description)
    return html.unescape(found[1]) if found else ""


def _tag_sides(page: TiffPage) -> list[float]:
    """Sides of a pixel in an unknown unit, where the tags state both."""
    values = [page.tags.valueof(code) for code in (282, 283)]
    if not all(isinstance(value, tuple) and len(value) == 2 and value[0] for value in values):
        return []
    return [under / over for over, under in values]


def _label_names(labels: list[str] | None, count: int, each: int) -> list[str]:
    """Channel names from ImageJ's labels of slices, where the same ones stand all over."""
    unnamed = [""] * count
    if not labels or count < 2 or each < 2 or len(labels) != count * each:
        return unnamed
    labels = [str(label).strip() for label in labels]
    names = labels[:count]
    usable = names * each == labels and all(names) and len(set(names)) == count
    numbered = any(re.search(r"\d+/\d+", name) for name in names)
    return names if usable and not numbered else unnamed


def _lut_colors(luts: list[np.ndarray] | None, count: int) -> list[str]:
    """Colours of ImageJ's look-up tables that run from black to one colour."""
    colors = [""] * count
    for at, lut in enumerate((luts or [])[:count]):
        straight = np.outer(np.asarray(lut)[:, -1] > 0, np.arange(256))
        if np.array_equal(lut, straight):
            colors[at] = COLORS.get(tuple(straight[:, -1].tolist()), "")
    return colors
