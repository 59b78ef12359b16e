"""Every column of the tables: its name, unit and meaning, and what CellProfiler calls it.

The README's tables and `columns.csv` are made from it. This module is imported wherever a config is
read, so it imports nothing that is slow.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nucleiflow import families

# What belongs to a nucleus and is measured in its row, in columns that begin with this and `_`.
SECONDARY = ("cells", "cytoplasm", "ring")
PIXELS, SQUARE, IMAGE = "pixels", "square pixels", "units of the image"
DEGREES = 57.29577951308232


class Column(NamedTuple):
    """A property, or any other column.

    Attributes
    ----------
    name : str
        Without object, number and channel.
    unit : str
        Empty for what is a name, a text or a number without unit.
    meaning : str
    cellprofiler : str
        Its name there, after the object's and before the channel's; `{0}`, `{1}` are the numbers
        of a property that has several. Of columns of images empty.
    factor : float
        By which values are multiplied to be in CellProfiler's unit.
    cellprofiler_unit : str
        That unit where the factor is not 1.
    """

    name: str
    unit: str
    meaning: str
    cellprofiler: str = ""
    factor: float = 1.0
    cellprofiler_unit: str = ""


# Of the shape; what `measure: properties` takes, with all of the next two.
SHAPE = (
    Column("area", SQUARE, "size", "AreaShape_Area"),
    Column("num_pixels", SQUARE, "number of its pixels, which is its area", "AreaShape_NumPixels"),
    Column("area_bbox", SQUARE, "size of the box around it", "AreaShape_BoundingBoxArea"),
    Column("area_convex", SQUARE, "size of its convex hull", "AreaShape_ConvexArea"),
    Column("area_filled", SQUARE, "size with its holes", "AreaShape_FilledArea"),
    Column(
        "centroid",
        PIXELS,
        "row (`-0`) and column (`-1`) of the centre, from 0 at the upper left",
        "AreaShape_Center_{yx}",
    ),
    Column(
        "centroid_local",
        PIXELS,
        "row and column of the centre, from the upper left of the box around it",
        "AreaShape_CenterLocal_{yx}",
    ),
    Column(
        "bbox",
        PIXELS,
        "first row and column (`-0`, `-1`), last row and column, not included (`-2`, `-3`)",
        "AreaShape_BoundingBox{box}",
    ),
    Column(
        "axis_major_length",
        PIXELS,
        "long axis of the ellipse with the same second moments",
        "AreaShape_MajorAxisLength",
    ),
    Column(
        "axis_minor_length",
        PIXELS,
        "short axis of the ellipse with the same second moments",
        "AreaShape_MinorAxisLength",
    ),
    Column(
        "orientation",
        "radians",
        "angle of the axis of rows to its long axis",
        "AreaShape_Orientation",
        DEGREES,
        "degrees",
    ),
    Column(
        "eccentricity",
        "0 to 1",
        "of the ellipse with the same second moments; 0 is a circle",
        "AreaShape_Eccentricity",
    ),
    Column("solidity", "0 to 1", "area over the area of the convex hull", "AreaShape_Solidity"),
    Column("extent", "0 to 1", "area over the area of the box around it", "AreaShape_Extent"),
    Column("perimeter", PIXELS, "length of the outline", "AreaShape_Perimeter"),
    Column(
        "perimeter_crofton",
        PIXELS,
        "length of the outline by Crofton's formula, in four directions",
        "AreaShape_PerimeterCrofton",
    ),
    Column(
        "equivalent_diameter_area",
        PIXELS,
        "diameter of the circle of the same area",
        "AreaShape_EquivalentDiameter",
    ),
    Column(
        "form_factor",
        "",
        "4 pi area over the square of the perimeter, 1 for a circle",
        "AreaShape_FormFactor",
    ),
    Column("compactness", "", "1 over the form factor", "AreaShape_Compactness"),
    Column(
        "feret_diameter_max",
        PIXELS,
        "largest distance of two parallel lines that hold the object",
        "AreaShape_MaxFeretDiameter",
    ),
    Column(
        "feret_diameter_min",
        PIXELS,
        "least distance of two parallel lines that hold the object",
        "AreaShape_MinFeretDiameter",
    ),
    Column(
        "euler_number", "", "number of its parts less that of its holes", "AreaShape_EulerNumber"
    ),
    Column(
        "inertia_tensor",
        SQUARE,
        "inertia tensor: second moments of rows and columns about the centre",
        "AreaShape_InertiaTensor_{0}_{1}",
    ),
    Column(
        "inertia_tensor_eigvals",
        SQUARE,
        "eigenvalues of the inertia tensor, the larger first",
        "AreaShape_InertiaTensorEigenvalues_{0}",
    ),
    Column(
        "moments",
        "",
        "sums of powers of rows (first number) and columns (second) over its pixels",
        "AreaShape_SpatialMoment_{0}_{1}",
    ),
    Column("moments_central", "", "moments about its centre", "AreaShape_CentralMoment_{0}_{1}"),
    Column(
        "moments_normalized",
        "",
        "central moments that do not depend on its size",
        "AreaShape_NormalizedMoment_{0}_{1}",
    ),
    Column(
        "moments_hu",
        "",
        "the seven moments of Hu, which do not depend on size and direction",
        "AreaShape_HuMoment_{0}",
    ),
)
# Of a channel.
INTENSITY = (
    Column("intensity_mean", IMAGE, "mean of its pixels", "Intensity_MeanIntensity"),
    Column("intensity_sum", IMAGE, "sum of its pixels", "Intensity_IntegratedIntensity"),
    Column("intensity_std", IMAGE, "standard deviation of its pixels", "Intensity_StdIntensity"),
    Column("intensity_min", IMAGE, "least of its pixels", "Intensity_MinIntensity"),
    Column("intensity_max", IMAGE, "largest of its pixels", "Intensity_MaxIntensity"),
    Column("intensity_median", IMAGE, "median of its pixels", "Intensity_MedianIntensity"),
    Column(
        "intensity_quartile_lower",
        IMAGE,
        "lower quartile of its pixels",
        "Intensity_LowerQuartileIntensity",
    ),
    Column(
        "intensity_quartile_upper",
        IMAGE,
        "upper quartile of its pixels",
        "Intensity_UpperQuartileIntensity",
    ),
    Column(
        "intensity_mad",
        IMAGE,
        "median absolute deviation of its pixels from their median",
        "Intensity_MADIntensity",
    ),
    Column(
        "intensity_edge_mean",
        IMAGE,
        "mean of its edge pixels: its own that are beside another object or the background",
        "Intensity_MeanIntensityEdge",
    ),
    Column(
        "intensity_edge_sum", IMAGE, "sum of its edge pixels", "Intensity_IntegratedIntensityEdge"
    ),
    Column(
        "intensity_edge_std",
        IMAGE,
        "standard deviation of its edge pixels",
        "Intensity_StdIntensityEdge",
    ),
    Column("intensity_edge_min", IMAGE, "least of its edge pixels", "Intensity_MinIntensityEdge"),
    Column("intensity_edge_max", IMAGE, "largest of its edge pixels", "Intensity_MaxIntensityEdge"),
    Column(
        "intensity_mass_displacement",
        PIXELS,
        "distance of its centre from the one weighted by intensity",
        "Intensity_MassDisplacement",
    ),
    Column(
        "intensity_background",
        IMAGE,
        "median of the pixels in no object, nearby",
        "Intensity_Background",
    ),
    Column(
        "intensity_mean_corrected",
        IMAGE,
        "mean less the background nearby",
        "Intensity_MeanIntensityCorrected",
    ),
    Column(
        "intensity_sum_corrected",
        IMAGE,
        "sum less the background nearby times the area",
        "Intensity_IntegratedIntensityCorrected",
    ),
    Column(
        "centroid_weighted",
        PIXELS,
        "row and column of the centre weighted by intensity",
        "Location_CenterMassIntensity_{yx}",
    ),
    Column(
        "centroid_weighted_local",
        PIXELS,
        "row and column of the weighted centre, from the upper left of the box around it",
        "Location_CenterMassIntensityLocal_{yx}",
    ),
    Column(
        "moments_weighted",
        "",
        "moments of its pixels, weighted by intensity",
        "Intensity_SpatialMoment_{0}_{1}",
    ),
    Column(
        "moments_weighted_central",
        "",
        "weighted moments about the weighted centre",
        "Intensity_CentralMoment_{0}_{1}",
    ),
    Column(
        "moments_weighted_normalized",
        "",
        "weighted central moments that do not depend on its size",
        "Intensity_NormalizedMoment_{0}_{1}",
    ),
    Column(
        "moments_weighted_hu",
        "",
        "weighted moments of Hu, which do not depend on size and direction",
        "Intensity_HuMoment_{0}",
    ),
)
# Of the objects around.
NEIGHBORS = (
    Column(
        "neighbors_number",
        "",
        "objects that touch it once all have grown by 5 pixels",
        "Neighbors_NumberOfNeighbors_5",
    ),
    Column(
        "neighbors_distance",
        PIXELS,
        "distance from its centre to the nearest other one",
        "Neighbors_FirstClosestDistance_5",
    ),
    Column(
        "neighbors_touching",
        "0 to 1",
        "share of its edge that is beside another object",
        "Neighbors_PercentTouching_5",
        100.0,
        "0 to 100",
    ),
    Column(
        "neighbors_density",
        "per square pixel",
        "others within 5 typical diameters, over the area of that circle",
        "Neighbors_Density_5",
    ),
)
PROPERTIES = {column.name: column for column in (*SHAPE, *INTENSITY, *NEIGHBORS)}
LENGTHS = tuple(
    name
    for name, column in PROPERTIES.items()
    if column.unit == PIXELS and not name.startswith(("centroid", "bbox"))
)
AREAS = ("area", "num_pixels", "area_bbox", "area_convex", "area_filled")


# Where a row is, in all tables; those of names, sheets and plate maps follow.
PLACE = (
    Column("directory", "", "path of the image's directory below the dataset", "Directory"),
    Column("batch", "", "images that one job handled", "Batch"),
    Column("image", "", "the image's name", "Image"),
)
NAMED = (
    Column("plate", "", "its name, as file names, the sheet or the file tell", "Plate"),
    Column(
        "well",
        "",
        "row and column, such as `B03`, as file names, the sheet or the file tell",
        "Well",
    ),
    Column("site", "", "number of the field of view in the well", "Site"),
    Column("time", "", "number of the time", "Time"),
)
# Of objects beside what is measured.
OBJECT = (
    Column("label", "", "its number in the label image", "ObjectNumber"),
    Column(
        "on_border",
        "true, false",
        "touches the edge of the image, so that part of it may be missing",
        "OnBorder",
    ),
)
# Of images, after where they are and what is known of them.
OUTCOME = (
    Column("status", "", "`ok`, or `failed`"),
    Column("stage", "", "the stage in which it failed"),
    Column("message", "", "why it failed"),
    Column("objects", "", "number of nuclei"),
    Column(
        "dropped", "", "how many nuclei each limit of `watershed` dropped: `min_area 3, solidity 2`"
    ),
    Column("height", PIXELS, "rows of the file"),
    Column("width", PIXELS, "columns of the file"),
    Column("dtype", "", "type of its values, such as `uint16`"),
    Column("channels", "", "names of its channels"),
    Column("segmented", "", "that of the channel with the nuclei"),
    Column("planes", "", "number of planes"),
    Column("plane", "", "the plane that `z: focus` took"),
    Column("pixel_size_um", "µm", "side of a pixel of the file"),
    Column("pixel_size_source", "", "who says so"),
    Column(
        "diameter",
        PIXELS,
        "the `diameter` of the config, or the typical one estimated from the mask",
    ),
    Column(
        "threshold",
        "units of the preprocessed image",
        "its median along the outlines of the mask",
    ),
)
IMAGES = (
    Column("file", "", "its (first) file, below its directory"),
    *OUTCOME,
    Column("foreground", "0 to 1", "share of its pixels that nuclei cover"),
    Column("median_area", SQUARE, "median area of its nuclei"),
    Column("border_share", "0 to 1", "share of its nuclei that touch the edge of the image"),
    Column(
        "debris",
        "nuclei",
        "dirt: pixels six times as far above the background as nuclei, in areas of a nucleus, and "
        "a tenth for each piece that `watershed` dropped as `debris` or below `min_area`",
    ),
    Column("flags", "", "what is wrong with it, see [quality control](#quality-control)"),
    Column("flag_reasons", "", "the same in sentences"),
    Column("excluded", "true, false", "its nuclei are kept out of `objects`, see `qc: exclude`"),
)
# Of each measured channel of an image: its name follows these, after a `_`.
CHANNELS = (
    Column(
        "focus",
        "",
        "fine detail of nuclei: variance of the Laplacian over that of the image, in and around "
        "them, without noise, times squares of blur and diameter; 5 to 10 where they are sharp",
    ),
    Column(
        "power_slope",
        "",
        "slope of the power spectrum on logarithmic axes, more negative for more blur; of tiles of "
        "256 pixels, from 1/128 to 1/8 cycles a pixel",
    ),
    Column("saturated", "0 to 1", "share of its pixels at the top of the camera's scale"),
    Column("lowest", "0 to 1", "share of its pixels that have its lowest value"),
    Column("background", IMAGE, "median of its pixels away from nuclei"),
    Column(
        "noise", IMAGE, "deviation of its pixels away from nuclei from what their neighbours tell"
    ),
    Column(
        "signal_to_noise", "", "median of the pixels of nuclei less the background, over the noise"
    ),
    Column(
        "evenness",
        "0 to 1",
        "evenness of light: the background where it is dark (5th percentile of 8 x 8 tiles) over "
        "where it is bright (95th)",
    ),
)
STAGES = (
    "preprocess",
    "threshold",
    "markers",
    "watershed",
    "labels",
    "join",
    "cells",
    "measure",
    "overlay",
)
PRODUCTS = {
    "channel": "the segmented channel as it was read",
    "preprocessed": "what stage preprocess made of it",
    "mask": "what is nuclei",
    "sure_background": "what is background for sure",
    "sure_foreground": "what is nuclei for sure",
    "unknown": "what is neither",
    "distance": "distance to the background",
    "markers": "seeds of the nuclei",
    "labels": "0 background, 1..n nuclei",
    "cells": "labels of cells",
    "cytoplasm": "labels of cytoplasms",
    "ring": "labels of rings",
    "csv": "the rows of its nuclei",
    "overlay": "outlines drawn on it",
}
IMAGES += tuple(Column(f"seconds_{stage}", "seconds", f"in stage {stage}") for stage in STAGES)
IMAGES += tuple(
    Column(name, "", f"file, relative to `results/`: {meaning}")
    for name, meaning in PRODUCTS.items()
)

# Of summary.csv, after those that tell the rows.
SUMMARY = (
    Column("images", "", "number of its images"),
    Column("failed", "", "number of those that failed"),
    Column("flagged", "", "number of those that have a flag of quality"),
    Column("excluded", "", "number of those that `qc: exclude` keeps out of `objects`"),
    Column("objects", "", "number of its nuclei"),
)
# And of measurements there, by what their names begin with; without unit where theirs is kept.
STATISTICS = {
    "median": Column("median", "", "median of its objects"),
    "mad": Column("mad", "", "median absolute deviation of its objects from that"),
    "percent": Column(
        "percent",
        "%",
        "median of its objects, where 0 is the negative controls of the plate, 100 the positive",
    ),
    "robust_z": Column(
        "robust_z",
        "standard deviations",
        "distance of its median from the negative controls of the plate, over 1.4826 times their "
        "median absolute deviation",
    ),
    "zprime": Column("zprime", "", "Z'-factor of the controls of its plate, from means of wells"),
    "zprime_robust": Column(
        "zprime_robust", "", "Z'-factor of the controls of its plate, from medians of wells"
    ),
}


class Found(NamedTuple):
    """What a column of `objects` is: of which object, property, number of it, and channel."""

    of: str
    column: Column
    index: tuple[int, ...] = ()
    channel: str = ""

    @property
    def property(self) -> str:
        """What `measure: properties` calls it, in pixels."""
        return re.sub(r"_um2?$", "", self.column.name)


def power_of(name: str) -> int | None:
    """1 for a property that is a length, 2 for an area, None for what is neither."""
    return 1 if name in LENGTHS else 2 if name in AREAS else None


def micrometre_columns(column: Column) -> tuple[Column, ...]:
    """The column beside one in pixels that says the same in micrometres, where there is one."""
    power = power_of(column.name)
    if power is None:
        return ()
    unit, ending = ("µm", "um") if power == 1 else ("µm²", "um2")
    name, meaning = f"{column.name}_{ending}", f"`{column.name}` in {unit}"
    return (Column(name, unit, meaning, f"{column.cellprofiler}_{ending}"),)


def added(ratios: dict[str, str] | None, chosen: dict[str, dict] | None) -> tuple[Column, ...]:
    """What the config adds to properties.

    Parameters
    ----------
    ratios : dict or None
        `measure: ratios`.
    chosen : dict or None
        The options of the families that it switches on, by their names.
    """
    return (
        *(
            Column(f"ratio_{name}", "", sides, f"Ratio_{name}")
            for name, sides in (ratios or {}).items()
        ),
        *(
            Column(column.name, column.unit, column.meaning, column.cellprofiler)
            for family, options in (chosen or {}).items()
            for column in families.columns(family, options)
        ),
    )


def by_name(columns: Iterable[Column]) -> dict[str, Column]:
    """By name, with those in micrometres."""
    every = (each for column in columns for each in (column, *micrometre_columns(column)))
    return {column.name: column for column in every}


# What has a channel's name behind it, and what has not.
OF_SHAPE = by_name((*SHAPE, *NEIGHBORS, *OBJECT))
OF_CHANNEL = by_name(INTENSITY)


def find(name: str, others: Iterable[Column] = ()) -> Found | None:
    """What a column of `objects` is; None for one that tells where a row is or what is known of it.

    Parameters
    ----------
    name : str
        Such as `cytoplasm_intensity_mean_GFP`.
    others : iterable of Column
        What the config adds, such as ratios, whose names may have a channel behind them.
    """
    prefix = next((each for each in SECONDARY if name.startswith(f"{each}_")), "")
    rest = name.removeprefix(f"{prefix}_") if prefix else name
    of_channel = OF_CHANNEL | {column.name: column for column in others}
    fitting = [known for known in (*OF_SHAPE, *of_channel) if rest.startswith(known)]
    # Of `intensity_mean` and `intensity_mean_corrected`, the longer one is meant.
    for known in sorted(fitting, key=len, reverse=True):
        match = re.fullmatch(r"((?:-\d+)*)(?:_(.+))?", rest.removeprefix(known), re.S)
        if match and (match[2] is None or known in of_channel):
            index = tuple(map(int, match[1].split("-")[1:]))
            column = of_channel.get(known) or OF_SHAPE[known]
            return Found(prefix or "nuclei", column, index, match[2] or "")
    return None


def cellprofiler(found: Found | None, name: str) -> tuple[str, float]:
    """CellProfiler's name for a column of `objects`, and the factor to its unit.

    Names, wells and the columns of plate maps become `Metadata_...`, as pycytominer wants them.
    """
    if found is None:
        known = {column.name: column.cellprofiler for column in (*PLACE, *NAMED)}
        return f"Metadata_{known.get(name, name.removeprefix('Metadata_'))}", 1.0
    of, column, index, channel = found
    if column.name == "label":
        return f"Metadata_{column.cellprofiler}", 1.0
    if column.name == "on_border":
        return f"Metadata_{of.capitalize()}_{column.cellprofiler}", 1.0
    template = column.cellprofiler
    if channel and "{channel}" not in template:
        template += "_{channel}"
    # Of no name, nothing is left but the underscore before it.
    template = template if channel else template.replace("_{channel}", "")
    words = {"channel": channel}
    if len(index) == 1:
        words["yx"] = "YX"[index[0] % 2]
        words["box"] = ("Minimum_", "Maximum_")[index[0] // 2 % 2] + words["yx"]
    return f"{of.capitalize()}_{template.format(*index, **words)}", column.factor


def explained(found: Found | None, name: str) -> tuple[str, str]:
    """Unit and meaning of a column of `objects`."""
    if found is None:
        return _among((*PLACE, *NAMED), name)
    of, column, _, channel = found
    parts = [] if of == "nuclei" else [of]
    parts += [f"channel {channel}"] if channel else []
    return column.unit, f"{', '.join(parts)}: {column.meaning}" if parts else column.meaning


def image_explained(name: str) -> tuple[str, str]:
    """The same of a column of `images.csv`."""
    for column in CHANNELS:
        if name.startswith(f"{column.name}_"):
            channel = name.removeprefix(f"{column.name}_")
            return column.unit, f"channel {channel}: {column.meaning}"
    return _among((*PLACE, *NAMED, *IMAGES, *CHANNELS), name)


def summary_explained(name: str, others: Iterable[Column] = ()) -> tuple[str, str]:
    """The same of a column of `summary.csv`."""
    for beginning in sorted(STATISTICS, key=len, reverse=True):
        measured = name.removeprefix(f"{beginning}_")
        found = find(measured, others) if measured != name else None
        if found:
            column, (unit, meaning) = STATISTICS[beginning], explained(found, measured)
            keeps = beginning in ("median", "mad")
            return unit if keeps else column.unit, f"`{measured}` ({meaning}): {column.meaning}"
    return _among((*SUMMARY, *PLACE, *NAMED, *IMAGES), name)


def _among(known: Iterable[Column], name: str) -> tuple[str, str]:
    for column in known:
        if column.name == name:
            return column.unit, column.meaning
    return "", "as file names, the sheet or the plate map tell"


def renamed(
    names: Sequence[str], known: Iterable[str] = (), others: Iterable[Column] = ()
) -> list[tuple[str, float]]:
    """CellProfiler's names for all columns of `objects`, and the factors to its units.

    `known` are those that tell what is known of images. Raises ValueError, with a sentence for the
    user, where two columns would have one name.
    """
    apart = set(known)
    found = [cellprofiler(None if name in apart else find(name, others), name) for name in names]
    first: dict[str, str] = {}
    for name, (theirs, _) in zip(names, found, strict=True):
        if theirs in first:
            raise ValueError(
                f"naming: cellprofiler calls both {first[theirs]} and {name} {theirs}: rename one "
                "in the plate map, the sheet or the file names"
            )
        first[theirs] = name
    return found
