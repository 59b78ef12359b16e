"""Stage 5: the values of scikit-image, in tables that keep their shape."""

import subprocess
import sys
import warnings
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from records import frame
from skimage.measure import regionprops, regionprops_table
from skimage.measure._regionprops import OBJECT_COLUMNS, RegionProperties

import measure
from nucleiflow import settings, table_parts
from nucleiflow.cellprofiler import columns_of
from nucleiflow.families import FAMILIES, chosen, named
from nucleiflow.field import Field, View
from nucleiflow.images import ImageError
from nucleiflow.labels import numbered
from nucleiflow.properties import NAMES
from nucleiflow.readers import Channel

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


def one(raw):
    """A channel without a name."""
    return [("", raw)]


def close(ours, theirs, name):
    """Equal to 12 digits; sums in which much cancels out are rounded in scikit-image."""
    atol = 1e-12 if "hu" in name or "normalized" in name else 1e-7 if "moments" in name else 0
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=atol, err_msg=name)


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
    assert set(names) > members - objects
    assert set(names) == set(NAMES) and len(names) == len(NAMES)


def test_every_property_is_that_of_scikit_image(names):
    labels = drawn()
    table = measure.measure(labels, one(RAW), names, 0)
    names = [name for name in names if hasattr(RegionProperties, name) or name == "intensity_sum"]
    assert len(names) == 37
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
                close(ours, np.ravel(expected), name)
                assert len(columns) == np.size(expected)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]
)
def test_table_without_objects_has_the_same_columns_and_types(names, dtype):
    raw = (RAW % 200).astype(dtype)
    full = measure.measure(drawn(), one(raw), names, 0)
    empty = measure.measure(np.zeros_like(drawn()), one(raw), names, 0)
    assert len(full) == 4 and len(empty) == 0
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()
    assert list(full.columns) == list(empty.columns)


def test_types_of_columns_do_not_depend_on_the_image():
    tables = [
        measure.measure(drawn(), one(RAW.astype(t)), DEFAULT, 0) for t in (np.uint8, np.float64)
    ]
    assert tables[0].dtypes.to_dict() == tables[1].dtypes.to_dict()
    assert {str(tables[0][name].dtype) for name in ("label", "area", "bbox-0")} == {"int64"}
    assert {str(tables[0][name].dtype) for name in ("centroid-0", "intensity_sum")} == {"float64"}
    assert tables[0]["on_border"].dtype == bool


def test_columns_are_in_the_order_of_the_config_between_label_and_on_border():
    table = measure.measure(drawn(), one(RAW), ["intensity_sum", "centroid", "area", "bbox"], 0)
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
    table = measure.measure(labels, one(raw), wanted, 0)
    assert table.iloc[0].tolist() == [1, 60, 6.5, 9.5, 4, 5, 10, 15, 1050.0, 4000.0, 63000.0, False]


def test_sum_of_16_bit_intensities_does_not_overflow():
    labels = np.ones((300, 300), np.int32)
    raw = np.full((300, 300), 65535, np.uint16)
    assert (
        measure.measure(labels, one(raw), ["intensity_sum"], 0)["intensity_sum"][0] == 5_898_150_000
    )


def test_sum_of_negative_values_is_negative():
    raw = np.full((40, 50), -2.5, np.float32)
    table = measure.measure(drawn(), one(raw), ["area", "intensity_sum"], 0)
    assert (table["intensity_sum"] == -2.5 * table["area"]).all()


@pytest.mark.parametrize(("frame", "expected"), [(0, [0, 0, 0, 1]), (3, [0, 0, 0, 0])])
def test_objects_at_the_edge_are_marked(frame, expected):
    labels = drawn()
    labels[:frame] = 0
    table = measure.measure(labels, one(RAW), ["area"], frame)
    assert table["on_border"].astype(int).tolist() == expected[: len(table)]


def test_objects_at_the_frame_of_the_image_are_marked():
    labels = np.zeros((20, 20), np.int32)
    labels[1:5, 5:9], labels[8:12, 2:6], labels[15:19, 10:14], labels[8:12, 10:14] = 1, 2, 3, 4
    table = measure.measure(labels, one(labels), ["area"], 1)
    assert table["on_border"].tolist() == [True, False, True, False]
    assert not measure.measure(labels, one(labels), ["area"], 0)["on_border"].any()


def test_image_of_another_shape_is_refused():
    with pytest.raises(ImageError) as caught:
        measure.measure(drawn(), one(RAW[:-1]), ["area"], 0)
    assert str(caught.value) == (
        "the labels have (40, 50) pixels and the image (39, 50): "
        "the image changed while the workflow ran, run it again"
    )


def test_inputs_stay_as_they_were(names):
    labels, raw = drawn(), RAW.copy()
    measure.measure(labels, one(raw), names, 0)
    np.testing.assert_array_equal(labels, drawn())
    np.testing.assert_array_equal(raw, RAW)


def test_more_than_65535_objects_have_a_row_each():
    labels = np.arange(1, 70_001, dtype=np.int32).reshape(250, 280)
    table = measure.measure(labels, one(np.ones_like(labels)), ["intensity_sum"], 0)
    assert table["label"].tolist() == list(range(1, 70_001))
    assert (table["intensity_sum"] == 1).all()


def test_csv_of_a_table():
    labels = np.zeros((3, 9), np.int32)
    labels[1, 1:4] = 1
    table = measure.measure(labels, one(labels * 0.5), ["area", "centroid", "intensity_mean"], 0)
    header = b'"label","area","centroid-0","centroid-1","intensity_mean","on_border"\n'
    assert measure.as_csv(pa.Table.from_pandas(table)) == header + b"1,3,1,2,0.5,false\n"


def test_csv_without_objects_is_its_header():
    table = measure.measure(np.zeros((3, 9), np.int32), one(RAW[:3, :9]), ["area", "bbox"], 0)
    header = b'"label","area","bbox-0","bbox-1","bbox-2","bbox-3","on_border"\n'
    assert measure.as_csv(pa.Table.from_pandas(table)) == header


def batch(*tables):
    items = [
        SimpleNamespace(
            result=None if table is None else pa.Table.from_pandas(table),
            record={"image": f"i{index}"},
        )
        for index, table in enumerate(tables)
    ]
    done = [item for item in items if item.result is not None]
    return SimpleNamespace(directory="day 1/ä", name="day-1-a.x"), done


def test_table_of_a_batch_names_directory_batch_and_image_of_each_object():
    some = measure.measure(drawn(), one(RAW), DEFAULT, 0)
    none = measure.measure(drawn() * 0, one(RAW), DEFAULT, 0)
    table = measure.joined(*batch(none, some, None, some), DEFAULT).to_pandas()
    assert table["image"].tolist() == ["i1"] * 4 + ["i3"] * 4
    assert set(table["directory"]) == {"day 1/ä"} and set(table["batch"]) == {"day-1-a.x"}
    pd.testing.assert_frame_equal(table.iloc[4:, 3:].reset_index(drop=True), some, check_dtype=True)


def test_table_of_a_batch_keeps_its_columns_and_types_without_objects():
    some = measure.measure(drawn(), one(RAW), DEFAULT, 0)
    none = measure.measure(drawn() * 0, one(RAW), DEFAULT, 0)
    full = measure.joined(*batch(some), DEFAULT).schema
    for tables in ((none,), (none, None), (None, none, none)):
        empty = measure.joined(*batch(*tables), DEFAULT)
        assert empty.num_rows == 0
        assert empty.schema.names == full.names
        assert empty.schema.types[3:] == full.types[3:]


def test_table_of_a_batch_without_any_image_has_the_columns_that_need_no_channel():
    some = measure.measure(drawn(), one(RAW), DEFAULT, 0)
    full = measure.joined(*batch(some), DEFAULT).schema
    for tables in ((), (None, None)):
        empty = measure.joined(*batch(*tables), DEFAULT)
        assert empty.num_rows == 0
        assert empty.schema.names == [
            *("directory", "batch", "image", "label", "area", "centroid-0", "centroid-1"),
            *("bbox-0", "bbox-1", "bbox-2", "bbox-3", "perimeter", "on_border"),
        ]
        for name in empty.schema.names[3:]:
            assert empty.schema.field(name).type == full.field(name).type


# Several channels


CHANNELS = [
    ("DAPI", RAW),
    ("GFP", (RAW // 17).astype(np.uint8)),
    ("ratio", (RAW / 4096 - 0.5).astype(np.float32)),
]


def test_every_property_of_every_channel_is_that_of_scikit_image(names):
    names = [name for name in names if hasattr(RegionProperties, name) or name == "intensity_sum"]
    table = measure.measure(drawn(), iter(CHANNELS), names, 0)
    shapes = [name for name in names if not measure.of_intensity(name)]
    theirs = [name for name in names if name != "intensity_sum"]
    compared = {"label", "on_border"}
    for channel, raw in CHANNELS:
        # Of float32, scikit-image has means of float32.
        double = raw if raw.dtype.kind in "iu" else raw.astype(np.float64)
        expected = regionprops_table(drawn(), double, properties=theirs)
        expected["intensity_sum"] = [
            raw[drawn() == label].sum(dtype=float) for label in (1, 2, 3, 4)
        ]
        for name, values in expected.items():
            column = name if name.split("-")[0] in shapes else f"{name}_{channel}"
            close(table[column], values, column)
            compared.add(column)
    assert compared == set(table)


def test_types_of_columns_do_not_depend_on_those_of_the_channels():
    table = measure.measure(drawn(), CHANNELS, ["area", "intensity_max", "intensity_sum"], 0)
    types = table.dtypes.astype(str).to_dict()
    assert types.pop("on_border") == "bool"
    assert {types.pop(name) for name in ("label", "area")} == {"int64"}
    assert set(types.values()) == {"float64"} and len(types) == 6


def test_columns_stand_by_property_then_by_channel():
    wanted = ["intensity_sum", "area_bbox", "centroid_weighted", "area", "centroid"]
    table = measure.measure(drawn(), CHANNELS[1::-1], wanted, 0)
    assert list(table.columns) == [
        *("label", "intensity_sum_GFP", "intensity_sum_DAPI", "area_bbox"),
        *("centroid_weighted-0_GFP", "centroid_weighted-1_GFP"),
        *("centroid_weighted-0_DAPI", "centroid_weighted-1_DAPI"),
        *("area", "centroid-0", "centroid-1", "on_border"),
    ]


@pytest.mark.parametrize(
    "wanted",
    [
        ["area", "area_bbox", "area_convex", "area_filled"],
        ["area_filled", "area", "area_convex", "area_bbox"],
        ["centroid", "centroid_local", "centroid_weighted", "centroid_weighted_local"],
        ["centroid_weighted_local", "centroid", "centroid_weighted", "centroid_local"],
        ["perimeter_crofton", "perimeter"],
        ["moments_weighted_hu", "moments", "moments_weighted", "moments_hu", "moments_central"],
        ["inertia_tensor", "inertia_tensor_eigvals"],
        ["inertia_tensor_eigvals", "inertia_tensor"],
    ],
)
@pytest.mark.parametrize("channel", ["", "local", "bbox", "2"])
def test_names_that_begin_like_others_keep_their_place(wanted, channel):
    table = measure.measure(drawn(), [(channel, RAW)], wanted, 0)
    theirs = regionprops_table(drawn(), RAW, properties=wanted)
    suffix = f"_{channel}" if channel else ""
    expected = [f"{name}{suffix}" if measure.of_intensity(name) else name for name in theirs]
    assert list(table.columns) == ["label", *expected, "on_border"]
    for name, column in zip(theirs, expected, strict=True):
        close(table[column], theirs[name], name)


def test_table_without_channels_has_the_shapes_alone():
    table = measure.measure(drawn(), [], DEFAULT, 0)
    assert [name for name in table if name.startswith("intensity")] == []
    assert table["area"].tolist() == [120, 291, 1, 4]


def test_channel_of_another_shape_is_refused_whichever_it_is():
    channels = [("DAPI", RAW), ("GFP", RAW[:, 1:])]
    with pytest.raises(ImageError) as caught:
        measure.measure(drawn(), channels, ["area"], 0)
    assert str(caught.value) == (
        "the labels have (40, 50) pixels and the image (40, 49): "
        "the image changed while the workflow ran, run it again"
    )


def opened(**view):
    """A field of three channels, of which the second is of nuclei."""
    stated = (Channel("GFP", "green"), Channel("DAPI 405", "blue"), Channel("1", "red"))
    planes = np.stack([raw for _, raw in CHANNELS[:2]] + [RAW])[:, None]
    return Field(
        ("GFP", "DAPI_405", "1"),
        stated,
        ((0,),) * 3,
        *RAW.shape,
        RAW.dtype,
        None,
        "",
        View(**view),
        lambda channel, z: planes[channel, z],
    )


@pytest.mark.parametrize(
    ("which", "indices"),
    [
        ("all", [0, 1, 2]),
        ("segmented", [1]),
        (["GFP"], [0]),
        (["dapi 405", "GFP"], [1, 0]),
        (["red", 0], [2, 0]),
        # A name before an index.
        ([1], [2]),
        ([1, 0], [2, 0]),
        # The same channel called twice is one channel.
        (["blue", "DAPI_405", "GFP"], [1, 0]),
    ],
)
def test_channels_to_measure(which, indices):
    assert measure.measured(opened(), which) == indices


def test_channel_to_measure_that_is_not_there_is_refused():
    with pytest.raises(ImageError) as caught:
        measure.measured(opened(), ["GFP", "Cy5"])
    assert str(caught.value) == (
        "there is no channel Cy5, the image has GFP, DAPI_405, 1: change measure.channels"
    )


@pytest.mark.parametrize(
    ("which", "columns"),
    [
        ("all", ["intensity_mean_GFP", "intensity_mean_DAPI_405", "intensity_mean_1"]),
        ("segmented", ["intensity_mean"]),
        (["blue"], ["intensity_mean_DAPI_405"]),
    ],
)
def test_stage_measures_the_channels_that_are_asked_for(which, columns):
    item = SimpleNamespace(
        field=lambda view: nullcontext(opened(**view)),
        read={"labels": drawn()}.get,
        record={},
        facts={},
    )
    settings = {"channels": which, "properties": ["intensity_mean"], "frame": 0}
    settings["objects"] = ["nuclei"]
    products = measure.compute(item, settings | {"view": {"segment": "blue"}, "csv": True})
    assert item.result.column_names == ["label", *columns, "on_border"]
    quality = item.facts.pop("quality")
    assert item.facts == {"objects": 4, "size": (40, 50)}
    names = [column.removeprefix("intensity_mean").removeprefix("_") for column in columns]
    assert list(quality["channels"]) == names
    assert quality["image"]["objects"] == 4
    for each in quality["channels"].values():
        assert set(each) > {"focus", "power_slope", "saturated", "background", "evenness"}
    assert products == {"csv": ("csv", measure.as_csv(item.result))}
    raw = {"GFP": RAW, "1": RAW}
    for column in columns:
        values = raw.get(column.removeprefix("intensity_mean_"), CHANNELS[1][1])
        means = [values[drawn() == label].mean() for label in (1, 2, 3, 4)]
        np.testing.assert_allclose(item.result[column], means, rtol=1e-12)
    assert measure.compute(item, settings | {"view": {"segment": 1}, "csv": False}) == {}


def test_nuclei_of_images_with_fewer_channels_have_no_values_of_the_others():
    wanted = ["area", "intensity_mean"]
    three = measure.measure(drawn(), CHANNELS, wanted, 0)
    first = measure.measure(drawn(), CHANNELS[1:2], wanted, 0)
    other = measure.measure(drawn(), [("Cy5", RAW)], wanted, 0)
    nothing = measure.measure(drawn() * 0, [("Cy3", RAW)], wanted, 0)
    table = measure.joined(*batch(first, None, three, other, nothing), wanted)
    assert table.schema.names == [
        *("directory", "batch", "image", "label", "area"),
        *("intensity_mean_DAPI", "intensity_mean_GFP", "intensity_mean_ratio", "on_border"),
        *("intensity_mean_Cy5", "intensity_mean_Cy3"),
    ]
    types = {name: str(table.schema.field(name).type) for name in table.schema.names[3:]}
    assert types.pop("on_border") == "bool"
    assert (types.pop("label"), types.pop("area")) == ("int64", "int64")
    assert set(types.values()) == {"double"}
    known = {
        name: [value is not None for value in table[f"intensity_mean_{name}"].to_pylist()]
        for name in ("DAPI", "GFP", "ratio", "Cy5", "Cy3")
    }
    yes, no = [True] * 4, [False] * 4
    assert known == {
        **{"DAPI": no + yes + no, "GFP": yes + yes + no, "ratio": no + yes + no},
        **{"Cy5": no + no + yes, "Cy3": no + no + no},
    }
    assert table["image"].to_pylist() == ["i0"] * 4 + ["i2"] * 4 + ["i3"] * 4
    np.testing.assert_array_equal(table["intensity_mean_GFP"][:4], first["intensity_mean_GFP"])


def test_columns_of_a_batch_do_not_depend_on_whether_the_widest_image_has_nuclei():
    wanted = ["area", "intensity_mean"]
    few = measure.measure(drawn(), CHANNELS[:1], wanted, 0)
    schemas = []
    for labels in (drawn(), drawn() * 0):
        widest = measure.measure(labels, CHANNELS, wanted, 0)
        schemas += [
            measure.joined(*batch(*order), wanted).schema.remove_metadata()
            for order in ((few, widest), (widest, few))
        ]
    assert all(schema == schemas[0] for schema in schemas)


def test_tables_of_many_images_do_not_wait_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(measure, "CELLS", 100)
    wanted = ["area", "intensity_mean"]
    few, all_, nothing = (
        pa.Table.from_pandas(measure.measure(labels, CHANNELS[:count], wanted, 0))
        for labels, count in ((drawn(), 1), (drawn(), 3), (drawn() * 0, 1))
    )
    images = [few] * 9 + [None, nothing] + [all_] * 5 + [few] * 2
    plan, _ = batch()
    done = [
        SimpleNamespace(result=image, record={"image": f"i{index}"})
        for index, image in enumerate(images)
        if image is not None
    ]
    whole = measure.joined(plan, done, wanted)
    waiting = []

    def each(compute):
        assert compute is measure.compute
        # New ones, as those of `done` belong to `whole`.
        for image in images:
            item = SimpleNamespace(result=image, record={"image": f"i{len(waiting)}"})
            waiting.append(item)
            yield [item]
            held = [item.result for item in waiting if item.result is not None]
            assert sum(len(table) * table.num_columns for table in held) < 100

    job = SimpleNamespace(each=each, plan=plan)
    path = tmp_path / "objects.parquet"
    table_parts.write_parquet(measure.tables(job, False, wanted), path, compression="zstd")
    assert [entry.name for entry in tmp_path.iterdir()] == ["objects.parquet"]
    file = pq.ParquetFile(path)
    assert file.num_row_groups == 3
    found = file.read()
    assert found.schema.remove_metadata() == whole.schema.remove_metadata()
    assert found.to_pydict() == whole.to_pydict()


def test_tables_of_no_image_are_one_without_rows():
    plan, _ = batch()
    job = SimpleNamespace(each=lambda compute: iter([]), plan=plan)
    (table,) = measure.tables(job, False, ["area"])
    assert table.num_rows == 0 and table.column_names[3:] == ["label", "area", "on_border"]


# Families of CellProfiler's measurements


@pytest.fixture
def families(schema):
    """The options of some families."""

    def given(*names, **options):
        config = {"measure": {"families": list(names), **options}}
        return chosen(settings.load(config, schema)["measure"])

    return given


def beside():
    """Nuclei with missing numbers, and rings of all but one of them."""
    nuclei = np.array([0, 2, 3, 7, 9])[drawn()].astype(np.int32)
    rings = np.roll(nuclei, 3, axis=1) * (nuclei == 0) * (np.roll(nuclei, 3, axis=1) != 3)
    return {"nuclei": nuclei, "ring": rings.astype(np.int32)}


def test_columns_of_families_follow_the_properties(families):
    given = families("zernike", "colocalization", "granularity", zernike={"degree": 1})
    given["colocalization"]["metrics"] = ["manders", "correlation"]
    given["granularity"]["spectrum_length"] = 2
    wanted = ["intensity_mean", "area"]
    table = frame(measure.columns_of(beside(), iter(CHANNELS), wanted, 0, families=given))
    columns = [
        *("intensity_mean_DAPI", "intensity_mean_GFP", "intensity_mean_ratio", "area"),
        *("zernike_0_0", "zernike_1_1"),
        *(
            f"colocalization_manders_{pair}"
            for pair in ("DAPI_GFP", "GFP_DAPI", "DAPI_ratio", "ratio_DAPI", "GFP_ratio")
        ),
        "colocalization_manders_ratio_GFP",
        *(f"colocalization_correlation_{pair}" for pair in ("DAPI_GFP", "DAPI_ratio", "GFP_ratio")),
        *(f"granularity_{size}_{name}" for size in (1, 2) for name, _ in CHANNELS),
        "on_border",
    ]
    assert list(table) == ["label", *columns, *(f"ring_{name}" for name in columns)]
    assert set(table.filter(regex="zernike|colocalization|granularity").dtypes) == {np.dtype(float)}


def test_families_of_every_object_are_in_the_row_of_its_nucleus(families):
    given, objects = families(*FAMILIES), beside()
    channels = CHANNELS[:2]
    table = frame(measure.columns_of(objects, iter(channels), ["area"], 0, families=given))
    assert table["label"].tolist() == [2, 3, 7, 9]
    for prefix, name, rows in (("", "nuclei", [0, 1, 2, 3]), ("ring_", "ring", [0, 2, 3])):
        labels = numbered(objects[name])
        assert labels.max() == len(rows)
        expected = columns_of(labels, {}, given)
        expected |= columns_of(labels, dict(channels[:1]), given)
        expected |= columns_of(labels, dict(channels[1:]), given)
        expected |= columns_of(labels, dict(channels), given)
        shown = table.filter(regex=f"^{prefix}({'|'.join(FAMILIES)})_").columns
        assert [*shown.str.removeprefix(prefix)] == list(named(given, ["DAPI", "GFP"]))
        for column, values in expected.items():
            found = table[f"{prefix}{column}"]
            np.testing.assert_array_equal(found.iloc[rows], values, err_msg=column)
            assert len(rows) == 4 or np.isnan(found[1])


def test_families_of_nuclei_that_are_not_measured_are_left_out(families):
    given = families("zernike", "texture")
    table = frame(measure.columns_of(beside(), CHANNELS[:1], ["area"], 0, False, given))
    measured = [name for name in table if "zernike" in name or "texture" in name]
    assert len(measured) == 30 + 52
    assert all(name.startswith("ring_") for name in measured)


@pytest.mark.filterwarnings("error")
def test_table_with_families_keeps_its_columns_and_types_without_objects(families):
    given, objects = families(*FAMILIES), beside()
    none = {name: labels * 0 for name, labels in objects.items()}
    full, empty = (
        frame(measure.columns_of(each, CHANNELS[:2], DEFAULT, 0, families=given))
        for each in (objects, none)
    )
    assert (len(full), len(empty)) == (4, 0)
    assert list(full) == list(empty)
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()


def test_table_of_a_batch_without_any_image_has_the_families_of_shapes(families):
    given = families("zernike", "texture", "colocalization", zernike={"degree": 1})
    table = measure.joined(*batch(None), ["area"], ["nuclei", "ring"], given)
    assert table.schema.names[3:] == [
        *("label", "area", "zernike_0_0", "zernike_1_1", "on_border"),
        *("ring_area", "ring_zernike_0_0", "ring_zernike_1_1", "ring_on_border"),
    ]
    assert str(table.schema.field("zernike_0_0").type) == "double"


def test_nuclei_of_images_without_a_channel_have_no_families_of_it(families):
    given = families("granularity", "colocalization")
    two, one = (
        frame(measure.columns_of({"nuclei": drawn()}, channels, ["area"], 0, families=given))
        for channels in (CHANNELS[:2], CHANNELS[:1])
    )
    table = measure.joined(*batch(one, two), ["area"], families=given)
    assert table.schema.names[3:] == list(two)
    for name in ("granularity_1_GFP", "colocalization_manders_GFP_DAPI"):
        assert [value is None for value in table[name].to_pylist()] == [True] * 4 + [False] * 4


def test_single_channel_has_no_colocalization_and_needs_no_name(families):
    given = families("colocalization", "granularity", granularity={"spectrum_length": 1})
    table = measure.columns_of({"nuclei": drawn()}, one(RAW), ["area"], 0, families=given)
    assert list(table) == ["label", "area", "granularity_1", "on_border"]


def item_of(field):
    """An image of a batch."""
    return SimpleNamespace(
        field=lambda view: nullcontext(field), read={"labels": drawn()}.get, record={}, facts={}
    )


@pytest.mark.parametrize(("white", "factor"), [(None, 1), (4095, 16)])
def test_stage_measures_families_by_what_is_white(families, white, factor):
    given = families("texture", "zernike")
    options = {"channels": ["DAPI_405", "1"], "properties": ["area"], "frame": 0, "view": {}}
    options |= {"objects": ["nuclei"], "csv": False, "families": given, "max_intensity": white}
    item = item_of(opened())
    measure.compute(item, options)
    assert len(item.result.columns) == 1 + 1 + 2 * 52 + 30 + 1
    expected = columns_of(drawn(), {"1": RAW}, given, white or 65535.0)
    average = item.result["texture_sum_average_3_00_256_1"].to_numpy()
    np.testing.assert_array_equal(average, expected["texture_sum_average_3_00_256_1"])
    # Grey levels of two pixels of 2048 on average.
    assert average[1] == pytest.approx(2 * 2048 / 257 * factor, rel=0.1)


@pytest.mark.parametrize(
    ("dtype", "planes", "z", "corrected", "white"),
    [
        (np.uint16, 1, "max", False, None),
        (np.uint16, 5, "max", False, None),
        (np.uint16, 5, 2, False, None),
        (np.uint16, 5, "mean", False, 65535),
        (np.uint8, 5, "sum", False, 5 * 255),
        # A sum of one plane is that plane.
        (np.uint8, 1, "sum", False, None),
        (np.uint8, 1, "max", True, 255),
        (np.uint8, 5, "sum", True, 5 * 255),
        (np.float32, 5, "mean", True, None),
    ],
)
def test_white_is_that_of_the_file_where_values_were_computed(dtype, planes, z, corrected, white):
    field = opened(z=z)
    field = replace(field, planes=(tuple(range(planes)),) * 3, dtype=np.dtype(dtype))
    assert measure.white_of(field, corrected) == white


def test_tables_of_a_batch_are_made_without_pandas():
    """Its import takes a third of a second of each worker."""
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from types import SimpleNamespace as Name\n"
            "import numpy as np\n"
            "import measure\n"
            "labels = {name: np.ones((9, 9), np.int32) for name in ('nuclei', 'cells')}\n"
            "wanted, channels = ['area', 'bbox', 'intensity_mean'], [('', np.ones((9, 9)))]\n"
            "columns = measure.columns_of(labels, channels, wanted, 0)\n"
            "item = Name(result=measure.as_table(columns), record={'image': 'a'})\n"
            "measure.as_csv(item.result)\n"
            "measure.joined(Name(directory='a', name='b'), [item, item], [])\n"
            "print('pandas' in sys.modules)",
        ],
        cwd=Path(measure.__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "False\n"
