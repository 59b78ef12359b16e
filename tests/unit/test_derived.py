"""Columns that follow from others: micrometres, ratios, CellProfiler's names."""

import numpy as np
import pyarrow as pa
import pytest

from nucleiflow.derived import (
    derived,
    in_cellprofilers_names,
    own_names,
    renamed,
    sides_of_pixels,
)
from nucleiflow.job import JobError

MEASURED = {
    "image": ["a", "a", "b"],
    "dose": [1.0, 2.0, None],
    "label": [1, 2, 1],
    "area": [100, 0, 50],
    "perimeter": [40.0, 0.0, 30.0],
    "intensity_mean_DAPI": [10.0, 20.0, 30.0],
    "intensity_mean_GFP": [1.0, 2.0, 3.0],
    "cytoplasm_area": [10, None, 0],
    "cytoplasm_intensity_mean_DAPI": [5.0, 0.0, None],
    "cytoplasm_intensity_mean_GFP": [4.0, 4.0, 4.0],
}
KNOWN = ["image", "dose"]


def applied(ratios=None, sides=None):
    table = pa.table(MEASURED)
    made = derived(table.schema, KNOWN, sides is not None, ratios or {})
    sides = [np.nan] * 3 if sides is None else sides
    return made.applied(table, np.array(sides, float))


def test_without_pixel_sizes_and_ratios_nothing_is_added():
    assert applied().equals(pa.table(MEASURED))


def test_lengths_and_areas_in_micrometres_stand_behind_those_in_pixels():
    table = applied(sides=[0.5, 0.5, np.nan])
    names = table.column_names
    assert names[names.index("area") + 1] == "area_um2"
    assert names[names.index("cytoplasm_area") + 1] == "cytoplasm_area_um2"
    assert table["area_um2"].to_pylist() == [25.0, 0.0, None]
    assert table["perimeter_um"].to_pylist() == [20.0, 0.0, None]
    assert table["cytoplasm_area_um2"].to_pylist() == [2.5, None, None]
    assert set(names) - set(MEASURED) == {"area_um2", "perimeter_um", "cytoplasm_area_um2"}


def test_the_channel_stays_at_the_end_in_micrometres():
    table = pa.table({"intensity_mass_displacement_A_um": [2.0]})
    made = derived(table.schema, [], True, {})
    assert made.applied(table, np.array([0.25])).to_pydict() == {
        "intensity_mass_displacement_A_um": [2.0],
        "intensity_mass_displacement_um_A_um": [0.5],
    }


def test_a_column_of_the_plate_map_is_no_length():
    table = pa.table({"perimeter": [1.0]})
    assert derived(table.schema, ["perimeter"], True, {}).scaled == {}


def test_a_ratio_of_each_channel():
    table = applied({"nuclear": "intensity_mean / cytoplasm_intensity_mean"})
    assert table.column_names[-2:] == ["ratio_nuclear_DAPI", "ratio_nuclear_GFP"]
    assert table["ratio_nuclear_DAPI"].to_pylist() == [2.0, None, None]
    assert table["ratio_nuclear_GFP"].to_pylist() == [0.25, 0.5, 0.75]


def test_a_ratio_of_two_columns_and_one_of_all_channels_over_one_column():
    ratios = {
        "two": "intensity_mean_GFP/intensity_mean_DAPI",
        "density": "intensity_mean / area",
        "share": "area / area_um2",
    }
    table = applied(ratios, sides=[0.5] * 3)
    assert table["ratio_two"].to_pylist() == [0.1, 0.1, 0.1]
    assert table["ratio_density_GFP"].to_pylist() == [0.01, None, 0.06]
    assert table["ratio_share"].to_pylist() == [4.0, None, 4.0]


@pytest.mark.parametrize(
    ("sides", "missing"),
    [
        ("intensity_mean_RFP / area", "intensity_mean_RFP"),
        ("area / solidity", "solidity"),
        ("area / area_um2", "area_um2"),
        ("dose / area", "dose"),
    ],
)
def test_a_ratio_of_what_is_not_measured_is_refused(sides, missing):
    with pytest.raises(JobError) as caught:
        applied({"x": sides})
    sentence = f"config: measure.ratios.x names {missing}, which is not measured: there are label, "
    assert str(caught.value).startswith(sentence)


def test_sides_of_pixels_follow_the_config_the_file_and_a_resize():
    stated = {"stated_pixel_size_um": 0.5, "stated_pixel_size_source": "OME"}
    whole = {"height": 100, "width": 200, "size": [100, 200]}
    records = [
        whole | stated,
        whole | stated | {"size": [50, 100]},
        whole | {"stated_pixel_size_um": None, "stated_pixel_size_source": ""},
        stated,
    ]
    np.testing.assert_array_equal(sides_of_pixels(records, None, None), [0.5, 1.0, np.nan, np.nan])
    np.testing.assert_array_equal(sides_of_pixels(records, 2.0, None), [2.0, 4.0, 2.0, np.nan])


def test_cellprofilers_names_and_units_keep_the_way_back():
    table = pa.table({"well": ["A01"], "orientation": [np.pi / 2], "neighbors_touching": [0.25]})
    schema, factors = in_cellprofilers_names(table.schema, ["well"], [])
    theirs = renamed(table, schema, factors)
    assert theirs.column_names == [
        *("Metadata_Well", "Nuclei_AreaShape_Orientation", "Nuclei_Neighbors_PercentTouching_5"),
    ]
    assert theirs["Nuclei_AreaShape_Orientation"].to_pylist() == [90.0]
    assert theirs["Nuclei_Neighbors_PercentTouching_5"].to_pylist() == [25.0]
    assert own_names(theirs.schema) == dict(
        zip(table.column_names, theirs.column_names, strict=True)
    )
    assert own_names(table.schema) == {name: name for name in table.column_names}
