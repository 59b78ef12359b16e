"""Columns are found in the one table that explains them all."""

import pytest

from nucleiflow import columns
from nucleiflow.properties import NAMES, of_intensity


def found(name, others=()):
    result = columns.find(name, others)
    return result and (result.of, result.column.name, result.index, result.channel)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("area", ("nuclei", "area", (), "")),
        ("area_bbox", ("nuclei", "area_bbox", (), "")),
        ("area_um2", ("nuclei", "area_um2", (), "")),
        ("cells_perimeter_um", ("cells", "perimeter_um", (), "")),
        ("centroid-1", ("nuclei", "centroid", (1,), "")),
        ("ring_bbox-3", ("ring", "bbox", (3,), "")),
        ("inertia_tensor-0-1", ("nuclei", "inertia_tensor", (0, 1), "")),
        ("inertia_tensor_eigvals-1", ("nuclei", "inertia_tensor_eigvals", (1,), "")),
        ("intensity_mean", ("nuclei", "intensity_mean", (), "")),
        ("intensity_mean_DAPI", ("nuclei", "intensity_mean", (), "DAPI")),
        ("intensity_mean_corrected", ("nuclei", "intensity_mean_corrected", (), "")),
        ("intensity_mean_Alexa 488_2", ("nuclei", "intensity_mean", (), "Alexa 488_2")),
        ("cytoplasm_intensity_edge_sum_0", ("cytoplasm", "intensity_edge_sum", (), "0")),
        ("centroid_weighted-0_GFP", ("nuclei", "centroid_weighted", (0,), "GFP")),
        (
            "intensity_mass_displacement_um_GFP",
            ("nuclei", "intensity_mass_displacement_um", (), "GFP"),
        ),
        ("cells_on_border", ("cells", "on_border", (), "")),
        ("label", ("nuclei", "label", (), "")),
        # What is known of images, and what is no column at all.
        ("well", None),
        ("area_DAPI", None),
        ("areas", None),
        ("drug", None),
        ("", None),
    ],
)
def test_a_column_is_of_an_object_a_property_and_a_channel(name, expected):
    assert found(name) == expected


def test_ratios_of_the_config_are_columns_too():
    others = columns.added({"nuclear": "intensity_mean / cytoplasm_intensity_mean"}, None)
    assert found("ratio_nuclear_GFP") is None
    assert found("ratio_nuclear_GFP", others) == ("nuclei", "ratio_nuclear", (), "GFP")
    assert columns.renamed(["ratio_nuclear_GFP"], (), others) == [("Nuclei_Ratio_nuclear_GFP", 1.0)]
    name = "ratio_nuclear_GFP"
    unit, meaning = columns.explained(columns.find(name, others), name)
    assert (unit, meaning) == ("", "channel GFP: intensity_mean / cytoplasm_intensity_mean")


def test_families_are_columns_too():
    chosen = {"texture": {"scale": [3], "gray_levels": 256}, "colocalization": {"metrics": ["rwc"]}}
    chosen |= {"zernike": {"degree": 9}, "granularity": {"spectrum_length": 16}}
    others = columns.added(None, chosen)
    theirs = {
        "texture_contrast_3_00_256_DAPI": "Nuclei_Texture_Contrast_DAPI_3_00_256",
        "cells_granularity_1_GFP": "Cells_Granularity_1_GFP",
        "granularity_16_GFP": "Nuclei_Granularity_16_GFP",
        "zernike_9_1": "Nuclei_AreaShape_Zernike_9_1",
        "colocalization_rwc_DAPI_GFP": "Nuclei_Correlation_RWC_DAPI_GFP",
    }
    names = list(theirs)
    assert [name for name, _ in columns.renamed(names, (), others)] == list(theirs.values())
    assert all(columns.find(name) is None for name in names)
    meaning = columns.explained(columns.find(names[1], others), names[1])[1]
    assert meaning.startswith("cells, channel GFP: share of the intensity")


def test_every_property_is_found_under_its_own_name_and_explained():
    assert list(columns.PROPERTIES) == list(NAMES)
    for name, column in columns.PROPERTIES.items():
        assert columns.find(name).column is column
        assert columns.find(f"{name}_DAPI") is None or of_intensity(name)
        assert column.meaning and column.cellprofiler


def test_lengths_and_areas_have_a_column_in_micrometres():
    assert [columns.power_of(name) for name in ("area", "perimeter", "solidity")] == [2, 1, None]
    assert columns.power_of("intensity_mass_displacement") == 1
    assert columns.power_of("centroid") is None
    (column,) = columns.micrometre_columns(columns.PROPERTIES["area_convex"])
    assert (column.name, column.unit) == ("area_convex_um2", "µm²")
    assert columns.micrometre_columns(columns.PROPERTIES["extent"]) == ()


# CellProfiler's own names, as its Nuclei.csv has them.
THEIRS = {
    "area": "Nuclei_AreaShape_Area",
    "area_bbox": "Nuclei_AreaShape_BoundingBoxArea",
    "bbox-0": "Nuclei_AreaShape_BoundingBoxMinimum_Y",
    "bbox-1": "Nuclei_AreaShape_BoundingBoxMinimum_X",
    "bbox-2": "Nuclei_AreaShape_BoundingBoxMaximum_Y",
    "bbox-3": "Nuclei_AreaShape_BoundingBoxMaximum_X",
    "centroid-0": "Nuclei_AreaShape_Center_Y",
    "centroid-1": "Nuclei_AreaShape_Center_X",
    "compactness": "Nuclei_AreaShape_Compactness",
    "eccentricity": "Nuclei_AreaShape_Eccentricity",
    "equivalent_diameter_area": "Nuclei_AreaShape_EquivalentDiameter",
    "euler_number": "Nuclei_AreaShape_EulerNumber",
    "extent": "Nuclei_AreaShape_Extent",
    "form_factor": "Nuclei_AreaShape_FormFactor",
    "axis_major_length": "Nuclei_AreaShape_MajorAxisLength",
    "axis_minor_length": "Nuclei_AreaShape_MinorAxisLength",
    "feret_diameter_max": "Nuclei_AreaShape_MaxFeretDiameter",
    "feret_diameter_min": "Nuclei_AreaShape_MinFeretDiameter",
    "orientation": "Nuclei_AreaShape_Orientation",
    "perimeter": "Nuclei_AreaShape_Perimeter",
    "solidity": "Nuclei_AreaShape_Solidity",
    "intensity_sum_DNA": "Nuclei_Intensity_IntegratedIntensity_DNA",
    "intensity_edge_sum_DNA": "Nuclei_Intensity_IntegratedIntensityEdge_DNA",
    "intensity_quartile_lower_DNA": "Nuclei_Intensity_LowerQuartileIntensity_DNA",
    "intensity_mad_DNA": "Nuclei_Intensity_MADIntensity_DNA",
    "intensity_mass_displacement_DNA": "Nuclei_Intensity_MassDisplacement_DNA",
    "intensity_edge_max_DNA": "Nuclei_Intensity_MaxIntensityEdge_DNA",
    "intensity_max_DNA": "Nuclei_Intensity_MaxIntensity_DNA",
    "intensity_edge_mean_DNA": "Nuclei_Intensity_MeanIntensityEdge_DNA",
    "intensity_mean_DNA": "Nuclei_Intensity_MeanIntensity_DNA",
    "intensity_median_DNA": "Nuclei_Intensity_MedianIntensity_DNA",
    "intensity_min_DNA": "Nuclei_Intensity_MinIntensity_DNA",
    "intensity_edge_std_DNA": "Nuclei_Intensity_StdIntensityEdge_DNA",
    "intensity_std_DNA": "Nuclei_Intensity_StdIntensity_DNA",
    "intensity_quartile_upper_DNA": "Nuclei_Intensity_UpperQuartileIntensity_DNA",
    "centroid_weighted-0_DNA": "Nuclei_Location_CenterMassIntensity_Y_DNA",
    "centroid_weighted-1_DNA": "Nuclei_Location_CenterMassIntensity_X_DNA",
}


def test_cellprofilers_names_are_those_that_it_writes(data):
    header = (data / "cellprofiler-human/Nuclei.csv").read_text().splitlines()[0].split(",")
    names = {
        name: theirs
        for name, (theirs, _) in zip(THEIRS, columns.renamed(list(THEIRS)), strict=True)
    }
    assert names == THEIRS
    assert {theirs.removeprefix("Nuclei_") for theirs in THEIRS.values()} <= set(header)


def test_what_is_no_measurement_is_metadata():
    names = ["directory", "image", "plate", "well", "label", "dose", "Metadata_line", "area"]
    names += ["on_border", "cells_on_border", "cells_intensity_mean_GFP", "intensity_mean"]
    # A plate map's column that is called like a property.
    assert [theirs for theirs, _ in columns.renamed([*names, "solidity"], ["solidity"])] == [
        *("Metadata_Directory", "Metadata_Image", "Metadata_Plate", "Metadata_Well"),
        *("Metadata_ObjectNumber", "Metadata_dose", "Metadata_line", "Nuclei_AreaShape_Area"),
        *("Metadata_Nuclei_OnBorder", "Metadata_Cells_OnBorder"),
        *("Cells_Intensity_MeanIntensity_GFP", "Nuclei_Intensity_MeanIntensity"),
        "Metadata_solidity",
    ]


def test_units_that_differ_are_those_of_cellprofiler():
    factors = dict(columns.renamed(["orientation", "neighbors_touching", "area"]))
    assert factors == {
        "Nuclei_AreaShape_Orientation": pytest.approx(57.2957795),
        "Nuclei_Neighbors_PercentTouching_5": 100.0,
        "Nuclei_AreaShape_Area": 1.0,
    }


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(ValueError, match="calls both well and Well Metadata_Well: rename one"):
        columns.renamed(["well", "Well"], ["well", "Well"])


@pytest.mark.parametrize(
    ("name", "unit", "meaning"),
    [
        ("area", "square pixels", "size"),
        ("area_um2", "µm²", "`area` in µm²"),
        (
            "cytoplasm_intensity_mean_GFP",
            *("units of the image", "cytoplasm, channel GFP: mean of its pixels"),
        ),
        ("image", "", "the image's name"),
        ("dose", "", "as file names, the sheet or the plate map tell"),
    ],
)
def test_columns_are_explained_with_units(name, unit, meaning):
    assert columns.explained(columns.find(name), name) == (unit, meaning)


def test_columns_of_images_are_explained_with_units():
    assert columns.image_explained("height") == ("pixels", "rows of the file")
    assert columns.image_explained("well")[1].startswith("row and column, such as `B03`")
    assert columns.image_explained("dose")[1].endswith("the plate map tell")


@pytest.mark.parametrize(
    ("name", "unit", "words"),
    [
        ("images", "", "number of its images"),
        ("directory", "", "path of the image's directory"),
        ("median_area_um2", "µm²", "median of its objects"),
        ("mad_intensity_mean_GFP", "units of the image", "channel GFP"),
        ("percent_area", "%", "100 the positive"),
        ("robust_z_cells_area", "standard deviations", "`cells_area` (cells: size)"),
        ("zprime_robust_area", "", "from medians of wells"),
        ("zprime_area", "", "from means of wells"),
        ("dose", "", "the plate map tell"),
    ],
)
def test_columns_of_the_summary_are_explained_with_units(name, unit, words):
    found = columns.summary_explained(name)
    assert found[0] == unit and words in found[1]
    meaning = "share of its pixels that have its lowest value"
    assert columns.image_explained("lowest") == ("0 to 1", meaning)
    assert columns.image_explained("lowest_GFP_2") == ("0 to 1", f"channel GFP_2: {meaning}")
