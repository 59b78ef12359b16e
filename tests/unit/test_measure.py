"""Stage 5: the values of scikit-image, in tables that keep their shape."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from skimage.measure import regionprops
from skimage.measure._regionprops import OBJECT_COLUMNS, RegionProperties

import measure
from nucleiflow.images import ImageError

pytestmark = pytest.mark.filterwarnings("ignore")

RNG = np.random.default_rng(5)
RAW = RNG.integers(0, 4096, (40, 50)).astype(np.uint16)
DEFAULT = ["area", "centroid", "bbox", "perimeter", "intensity_mean", "intensity_sum"]


def drawn():
    """Four objects: one inside, one inside, one of a single pixel, one at the upper edge."""
    labels = np.zeros((40, 50), np.int32)
    labels[5:15, 6:18] = 1
    labels[20:35, 25:45] = 2
    labels[30:33, 30:33] = 0
    labels[37, 3] = 3
    labels[0, 30:34] = 4
    return labels


@pytest.fixture(scope="module")
def names(schema):
    """Every property that the config takes."""
    return schema["properties"]["measure"]["properties"]["properties"]["items"]["enum"]


def test_config_takes_every_number_that_scikit_image_measures(names):
    members = {
        name
        for name in dir(RegionProperties)
        if isinstance(getattr(RegionProperties, name), property)
    }
    objects = {*OBJECT_COLUMNS, "label"}
    assert set(names) == members - objects | {"intensity_sum"}


def test_every_property_is_that_of_scikit_image(names):
    labels = drawn()
    table = measure.measure(labels, RAW, names, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row, region in enumerate(regionprops(labels, RAW)):
            for name in names:
                columns = [column for column in table if column.split("-")[0] == name]
                if name == "intensity_sum":
                    expected = RAW[labels == region.label].sum()
                else:
                    expected = region[name]
                ours = table.loc[row, columns].to_numpy(float)
                np.testing.assert_allclose(ours, np.ravel(expected), rtol=1e-12, err_msg=name)
                assert len(columns) == np.size(expected)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]
)
def test_table_without_objects_has_the_same_columns_and_types(names, dtype):
    raw = (RAW % 200).astype(dtype)
    full = measure.measure(drawn(), raw, names, 0)
    empty = measure.measure(np.zeros_like(drawn()), raw, names, 0)
    assert len(full) == 4 and len(empty) == 0
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()
    assert list(full.columns) == list(empty.columns)


def test_types_of_columns_do_not_depend_on_the_image():
    tables = [measure.measure(drawn(), RAW.astype(t), DEFAULT, 0) for t in (np.uint8, np.float64)]
    assert tables[0].dtypes.to_dict() == tables[1].dtypes.to_dict()
    assert {str(tables[0][name].dtype) for name in ("label", "area", "bbox-0")} == {"int64"}
    assert {str(tables[0][name].dtype) for name in ("centroid-0", "intensity_sum")} == {"float64"}
    assert tables[0]["on_border"].dtype == bool


def test_columns_are_in_the_order_of_the_config_between_label_and_on_border():
    table = measure.measure(drawn(), RAW, ["intensity_sum", "centroid", "area", "bbox"], 0)
    assert list(table.columns) == [
        *("label", "intensity_sum", "centroid-0", "centroid-1", "area"),
        *("bbox-0", "bbox-1", "bbox-2", "bbox-3", "on_border"),
    ]


def test_values_of_a_drawn_rectangle():
    labels = np.zeros((20, 30), np.int32)
    labels[4:10, 5:15] = 1
    raw = np.zeros((20, 30), np.uint16)
    raw[4:10, 5:15] = 1000
    raw[4, 5] = 4000
    wanted = ["area", "centroid", "bbox", "intensity_mean", "intensity_max", "intensity_sum"]
    table = measure.measure(labels, raw, wanted, 0)
    assert table.iloc[0].tolist() == [1, 60, 6.5, 9.5, 4, 5, 10, 15, 1050.0, 4000.0, 63000.0, False]


def test_sum_of_16_bit_intensities_does_not_overflow():
    labels = np.ones((300, 300), np.int32)
    raw = np.full((300, 300), 65535, np.uint16)
    assert measure.measure(labels, raw, ["intensity_sum"], 0)["intensity_sum"][0] == 5_898_150_000


def test_sum_of_negative_values_is_negative():
    raw = np.full((40, 50), -2.5, np.float32)
    table = measure.measure(drawn(), raw, ["area", "intensity_sum"], 0)
    assert (table["intensity_sum"] == -2.5 * table["area"]).all()


@pytest.mark.parametrize(("frame", "expected"), [(0, [0, 0, 0, 1]), (3, [0, 0, 0, 0])])
def test_objects_at_the_edge_are_marked(frame, expected):
    labels = drawn()
    labels[:frame] = 0
    table = measure.measure(labels, RAW, ["area"], frame)
    assert table["on_border"].astype(int).tolist() == expected[: len(table)]


def test_objects_at_the_frame_of_the_image_are_marked():
    labels = np.zeros((20, 20), np.int32)
    labels[1:5, 5:9], labels[8:12, 2:6], labels[15:19, 10:14], labels[8:12, 10:14] = 1, 2, 3, 4
    table = measure.measure(labels, labels, ["area"], 1)
    assert table["on_border"].tolist() == [True, False, True, False]
    assert not measure.measure(labels, labels, ["area"], 0)["on_border"].any()


def test_image_of_another_shape_is_refused():
    with pytest.raises(ImageError) as caught:
        measure.measure(drawn(), RAW[:-1], ["area"], 0)
    assert str(caught.value) == (
        "the labels have (40, 50) pixels and the image (39, 50): "
        "the image changed while the workflow ran, run it again"
    )


def test_inputs_stay_as_they_were(names):
    labels, raw = drawn(), RAW.copy()
    measure.measure(labels, raw, names, 0)
    np.testing.assert_array_equal(labels, drawn())
    np.testing.assert_array_equal(raw, RAW)


def test_more_than_65535_objects_have_a_row_each():
    labels = np.arange(1, 70_001, dtype=np.int32).reshape(250, 280)
    table = measure.measure(labels, np.ones_like(labels), ["intensity_sum"], 0)
    assert table["label"].tolist() == list(range(1, 70_001))
    assert (table["intensity_sum"] == 1).all()


def test_csv_of_a_table():
    labels = np.zeros((3, 9), np.int32)
    labels[1, 1:4] = 1
    table = measure.measure(labels, labels * 0.5, ["area", "centroid", "intensity_mean"], 0)
    header = b'"label","area","centroid-0","centroid-1","intensity_mean","on_border"\n'
    assert measure.as_csv(table) == header + b"1,3,1,2,0.5,false\n"


def test_csv_without_objects_is_its_header():
    table = measure.measure(np.zeros((3, 9), np.int32), RAW[:3, :9], ["area", "bbox"], 0)
    header = b'"label","area","bbox-0","bbox-1","bbox-2","bbox-3","on_border"\n'
    assert measure.as_csv(table) == header


def batch(*tables):
    items = [
        SimpleNamespace(result=table, record={"image": f"i{index}"})
        for index, table in enumerate(tables)
    ]
    return SimpleNamespace(items=items, plan=SimpleNamespace(directory="day 1/ä", name="day-1-a.x"))


def test_table_of_a_batch_names_directory_batch_and_image_of_each_object():
    one = measure.measure(drawn(), RAW, DEFAULT, 0)
    none = measure.measure(drawn() * 0, RAW, DEFAULT, 0)
    table = measure.batch_table(batch(none, one, None, one), DEFAULT).to_pandas()
    assert table["image"].tolist() == ["i1"] * 4 + ["i3"] * 4
    assert set(table["directory"]) == {"day 1/ä"} and set(table["batch"]) == {"day-1-a.x"}
    pd.testing.assert_frame_equal(table.iloc[4:, 3:].reset_index(drop=True), one, check_dtype=True)


def test_table_of_a_batch_keeps_its_columns_and_types_without_objects():
    one = measure.measure(drawn(), RAW, DEFAULT, 0)
    none = measure.measure(drawn() * 0, RAW, DEFAULT, 0)
    full = measure.batch_table(batch(one), DEFAULT).schema
    for tables in ((), (None,), (none,), (none, None)):
        empty = measure.batch_table(batch(*tables), DEFAULT)
        assert empty.num_rows == 0
        assert empty.schema.names == full.names
        assert empty.schema.types[3:] == full.types[3:]
