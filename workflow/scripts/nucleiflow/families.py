"""Families of measurements by CellProfiler's definitions: their columns, by name and meaning.

What is computed stands in `nucleiflow.cellprofiler`. This module needs no library, so that whoever
only wants to know the columns can import it.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

# Haralick's features in the library's order: our name, CellProfiler's, and what it is.
TEXTURE = (
    ("angular_second_moment", "AngularSecondMoment", "evenness, 1 where all is one grey level"),
    ("contrast", "Contrast", "mean square of the difference of two pixels"),
    ("correlation", "Correlation", "correlation of two pixels"),
    ("variance", "Variance", "variance of grey levels"),
    (
        "inverse_difference_moment",
        "InverseDifferenceMoment",
        "high where two pixels are mostly alike",
    ),
    ("sum_average", "SumAverage", "mean of the sum of two pixels"),
    ("sum_variance", "SumVariance", "variance of the sum of two pixels"),
    ("sum_entropy", "SumEntropy", "entropy of the sum of two pixels"),
    ("entropy", "Entropy", "entropy of pairs of grey levels"),
    (
        "difference_variance",
        "DifferenceVariance",
        "variance of how often each difference of two pixels occurs",
    ),
    ("difference_entropy", "DifferenceEntropy", "entropy of the difference of two pixels"),
    ("info_meas1", "InfoMeas1", "first measure of what one pixel tells of the other"),
    ("info_meas2", "InfoMeas2", "second measure of what one pixel tells of the other"),
)
DIRECTIONS = ("to the right", "to the lower right", "below", "to the lower left")

# By feature: our name, CellProfiler's, unit, and what it is.
RADIAL = (
    ("frac_at_d", "FracAtD", "0 to 1", "share of the object's intensity that is"),
    ("mean_frac", "MeanFrac", "", "mean intensity over that of the object,"),
    (
        "radial_cv",
        "RadialCV",
        "",
        "coefficient of variation of the mean intensities of eight wedges",
    ),
)

# By metric: our name, CellProfiler's, unit, for one or both orders of the channels, and what it is.
COLOCALIZATION = {
    "correlation": (
        ("correlation", "Correlation", "-1 to 1", "pair", "Pearson's correlation of two channels"),
    ),
    "overlap": (
        (
            "overlap",
            "Overlap",
            "0 to 1",
            "pair",
            "sum of products over the root of the product of the sums of squares, where both "
            "channels are above their thresholds",
        ),
        (
            "k",
            "K",
            "",
            "both",
            "sum of products over the sum of squares of the first channel, where both are above "
            "their thresholds",
        ),
    ),
    "manders": (
        (
            "manders",
            "Manders",
            "0 to 1",
            "both",
            "share of the first channel's intensity above its threshold that is where the second "
            "is above its own, too (Manders' coefficient)",
        ),
    ),
    "rwc": (
        (
            "rwc",
            "RWC",
            "0 to 1",
            "both",
            "as `manders`, each pixel weighted by how near its ranks in the two channels are",
        ),
    ),
    "costes": (
        (
            "costes",
            "Costes",
            "0 to 1",
            "both",
            "as `manders`, with thresholds by Costes' method, found for each object; CellProfiler "
            "finds them for the whole image",
        ),
    ),
}


class Column(NamedTuple):
    """A column, or one for each channel or pair of channels.

    Attributes
    ----------
    name : str
        Without channels.
    unit : str
        Empty where it has none.
    meaning : str
        What it is, in part of a sentence.
    cellprofiler : str
        Its name there, without the object's; `{channel}` stands where the channels do.
    per : str
        `object`: one column. `channel`: one for each, named `NAME_DAPI`. `pair`: one for each two
        channels, `NAME_DAPI_GFP`. `both`: two for each two, and `NAME_GFP_DAPI`.
    """

    name: str
    unit: str
    meaning: str
    cellprofiler: str
    per: str


def columns(family: str, options: dict) -> list[Column]:
    """The columns of a family, in their order.

    Parameters
    ----------
    family : str
        From `FAMILIES`.
    options : dict
        The group of that name of the config's `measure`, complete.
    """
    return FAMILIES[family](**options)


def named(families: dict[str, dict], channels: Sequence[str]) -> dict[str, str]:
    """Columns of objects with some channels, in their order, and CellProfiler's names for them.

    Parameters
    ----------
    families : dict of dict
        Options by family.
    channels : sequence of str
        Names of the measured channels. An only one may have no name: its columns end in nothing.
    """
    pairs = list(combinations(channels, 2))
    both = [names for pair in pairs for names in (pair, pair[::-1])]
    groups = {"object": [()], "channel": [(name,) for name in channels], "pair": pairs} | {
        "both": both
    }
    result = {}
    for family, options in families.items():
        for column in columns(family, options):
            for group in groups[column.per]:
                name = "_".join(filter(None, (column.name, *group)))
                result[name] = column.cellprofiler.format(channel="_".join(group))
    return result


def chosen(section: dict) -> dict[str, dict]:
    """The families that the config's `measure` switches on, in their order, with their options."""
    return {family: section[family] for family in section["families"]}


def texture(scale: list[int], gray_levels: int) -> list[Column]:
    """Haralick's features, for each scale in four directions."""
    return [
        Column(
            f"texture_{name}_{pixels}_{direction:02}_{gray_levels}",
            "",
            f"Haralick's feature of two pixels, the second {pixels} pixels {where}: {meaning}",
            f"Texture_{theirs}_{{channel}}_{pixels}_{direction:02}_{gray_levels}",
            "channel",
        )
        for pixels in scale
        for direction, where in enumerate(DIRECTIONS)
        for name, theirs, meaning in TEXTURE
    ]


def granularity(spectrum_length: int, **_: float) -> list[Column]:
    """The spectrum of sizes of bright grains."""
    return [
        Column(
            f"granularity_{size}",
            "per cent",
            f"share of the intensity that is in bright grains of radius {size}, in pixels of the "
            "subsampled image",
            f"Granularity_{size}_{{channel}}",
            "channel",
        )
        for size in range(1, spectrum_length + 1)
    ]


def radial_distribution(bins: int, maximum_radius: int | None) -> list[Column]:
    """In rings around the pixel that is farthest from the edge."""
    way = "of the way from the centre to the edge"
    if maximum_radius is not None:
        way = f"of {maximum_radius} pixels from the centre"
    places = {
        f"{ring}of{bins}": f"from {ring - 1}/{bins} to {ring}/{bins} {way}"
        for ring in range(1, bins + 1)
    }
    if maximum_radius is not None:
        places["Overflow"] = f"more than {maximum_radius} pixels from the centre"
    return [
        Column(
            f"radial_distribution_{name}_{place.lower()}",
            unit,
            f"{meaning} {where}",
            f"RadialDistribution_{theirs}_{{channel}}_{place}",
            "channel",
        )
        for place, where in places.items()
        for name, theirs, unit, meaning in RADIAL
    ]


def radial_zernikes(degree: int) -> list[Column]:
    """Zernike moments weighted by intensity."""
    return [
        Column(
            f"radial_zernikes_{part}_{n}_{m}",
            unit,
            f"{part} of the Zernike moment {n}, {m} of the intensities in the circle around it",
            f"RadialDistribution_Zernike{part.capitalize()}_{{channel}}_{n}_{m}",
            "channel",
        )
        for n, m in _moments(degree)
        for part, unit in (("magnitude", "share of the full scale"), ("phase", "radians"))
    ]


def zernike(degree: int) -> list[Column]:
    """Zernike moments of the shape."""
    return [
        Column(
            f"zernike_{n}_{m}",
            "",
            f"magnitude of the Zernike moment {n}, {m} of the shape in the circle around it",
            f"AreaShape_Zernike_{n}_{m}",
            "object",
        )
        for n, m in _moments(degree)
    ]


def _moments(degree: int) -> list[tuple[int, int]]:
    """Degrees and orders of Zernike moments in the library's order."""
    return [(n, m) for n in range(degree + 1) for m in range(n % 2, n + 1, 2)]


def colocalization(metrics: list[str], **_: float | str) -> list[Column]:
    """How alike two channels are in an object."""
    return [
        Column(f"colocalization_{name}", unit, meaning, f"Correlation_{theirs}_{{channel}}", per)
        for metric in metrics
        for name, theirs, unit, per, meaning in COLOCALIZATION[metric]
    ]


FAMILIES = {
    function.__name__: function
    for function in (
        *(texture, granularity, radial_distribution, radial_zernikes, zernike),
        colocalization,
    )
}
