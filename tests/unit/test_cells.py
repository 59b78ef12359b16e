"""Secondary objects: drawn by hand, and equal to scikit-image's on random labels."""

from contextlib import nullcontext
from types import SimpleNamespace

import cv2
import numpy as np
import pyarrow as pa
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from records import frame
from scipy import ndimage
from skimage.measure import regionprops_table
from skimage.segmentation import expand_labels

import cells
import measure
import threshold
from nucleiflow import settings
from nucleiflow.field import Field, View
from nucleiflow.images import ImageError
from nucleiflow.readers import Channel

OPTIONS = {
    "channel": "auto",
    "sigma": 0.0,
    "threshold": 10.0,
    "borders": "edges",
    "compactness": 0.0,
    "max_distance": None,
    "fill_holes": False,
}
TYPES = [np.uint8, np.uint16, np.float32]


def flooded(labels, image, **options):
    return cells.watershed(labels, image, **OPTIONS | options)


def points(*numbers, length=11):
    """One row with nuclei of one pixel: label by place."""
    labels = np.zeros((1, length), np.int32)
    for label, place in enumerate(numbers, 1):
        labels[0, place] = label
    return labels


# Distance


@given(st.integers(0, 2**32), st.floats(0, 12), st.sampled_from([0.003, 0.02, 0.2, 0.7]))
def test_distance_is_expand_labels_of_scikit_image(seed, distance, density):
    random = np.random.default_rng(seed)
    shape = random.integers(1, 40, 2)
    labels = np.where(random.random(shape) < density, random.integers(1, 9, shape), 0)
    labels = labels.astype(np.int32)
    grown = cells.distance(labels, None, distance)
    if labels.any():
        np.testing.assert_array_equal(grown, expand_labels(labels, distance))
    else:
        assert not grown.any()
    assert grown.dtype == np.int32


@pytest.mark.parametrize("square", [1, 2, 3, 5, 6, 7, 8, 10, 13, 1_000_003])
def test_a_distance_that_is_a_root_reaches_its_square(square):
    # 3 is not below the square of its own root, as floats have it.
    assert cells.square_below(square**0.5) == square
    assert cells.square_below(np.nextafter(square**0.5, 0)) == square - 1


def test_distance_stops_where_it_is_told_and_in_the_middle_between_nuclei():
    grown = cells.distance(points(2, 7), None, 2.0)
    assert grown[0].tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 0]
    assert cells.distance(points(2, 7), None, 0.5)[0].tolist() == points(2, 7)[0].tolist()


def test_squares_of_long_distances_do_not_overflow():
    # From 46,341 pixels on the square of a distance does not fit into 32 bits.
    labels = points(0, length=60_000)
    assert np.count_nonzero(cells.distance(labels, None, 50_000.0)) == 50_001


# Watershed


def test_cells_meet_where_the_channel_is_darkest():
    image = np.array([[0, 40, 50, 60, 50, 30, 20, 60, 90, 60, 0]], np.uint16)
    grown = flooded(points(3, 8), image, borders="dark")
    # The pixel of 20 is the lowest between both; it belongs to the cell that reaches it first.
    assert grown[0, :6].tolist() == [0, 1, 1, 1, 1, 1]
    assert grown[0, 7:].tolist() == [2, 2, 2, 0]
    assert grown[0, 6] in (1, 2)


def test_cells_meet_on_a_bright_membrane():
    image = np.full((1, 11), 20, np.uint8)
    image[0, 4] = 200
    grown = flooded(points(3, 9), image, borders="bright")
    assert grown[0, :4].tolist() == [1] * 4
    assert grown[0, 5:].tolist() == [2] * 6


def test_cells_meet_on_the_edge_between_a_dim_and_a_bright_cell():
    labels, image = np.zeros((9, 40), np.int32), np.full((9, 40), 20, np.float32)
    image[:, 12:] = 90
    labels[4, 5], labels[4, 34] = 1, 2
    grown = flooded(labels, image)
    assert set(np.unique(grown[:, :11])) == {1}
    assert set(np.unique(grown[:, 13:])) == {2}


def test_with_much_compactness_a_pixel_goes_to_the_nearest_nucleus():
    image = np.full((1, 11), 20, np.uint8)
    image[0, 2] = 90
    far = flooded(points(1, 9), image, borders="bright", compactness=1000.0)
    assert far[0].tolist() == [1] * 5 + [far[0, 5]] + [2] * 5
    near = flooded(points(1, 9), image, borders="bright")
    assert near[0].tolist() == [1] * 2 + [near[0, 2]] + [2] * 8


@pytest.mark.parametrize(("factor", "dtype"), [(1, np.uint8), (257, np.uint16), (1e-3, np.float32)])
def test_another_camera_gives_the_same_cells(factor, dtype):
    random = np.random.default_rng(3)
    image = cv2.GaussianBlur(random.integers(20, 250, (60, 60)).astype(np.uint8), (0, 0), 3)
    labels = np.zeros((60, 60), np.int32)
    labels[10:14, 10:14], labels[30:36, 40:44], labels[50:52, 8:12] = 1, 2, 3
    options = {"threshold": "none", "compactness": 0.4}
    expected = flooded(labels, image, **options)
    grown = flooded(labels, (image * float(factor)).astype(dtype), **options)
    assert np.mean(grown == expected) > 0.99


@pytest.mark.parametrize("method", ["li", "otsu", "triangle"])
def test_foreground_is_that_of_the_threshold_stage(method):
    image = np.full((30, 30), 5, np.uint16)
    image[5:25, 5:25] = np.random.default_rng(1).integers(80, 99, (20, 20))
    labels = np.zeros((30, 30), np.int32)
    labels[12:15, 12:15] = 1
    grown = flooded(labels, image, threshold=method)
    np.testing.assert_array_equal(grown > 0, threshold.METHODS[method](image) | (labels > 0))
    assert np.count_nonzero(grown) == 400


def test_foreground_apart_from_all_nuclei_is_no_cell_and_a_dim_nucleus_is_one():
    labels, image = points(1, 5, length=12), np.zeros((1, 12), np.uint16)
    image[0, [0, 1, 2, 9, 10]] = 50
    assert flooded(labels, image)[0].tolist() == [1, 1, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0]
    assert flooded(labels, image, threshold="none").min() > 0


def test_corners_hold_a_cell_together():
    image = np.eye(6, dtype=np.uint8) * 50
    labels = np.zeros((6, 6), np.int32)
    labels[0, 0] = 1
    np.testing.assert_array_equal(flooded(labels, image), np.eye(6))


def test_max_distance_limits_a_watershed():
    image = np.full((1, 11), 50, np.uint8)
    grown = flooded(points(5), image, max_distance=2.0)
    assert grown[0].tolist() == [0] * 3 + [1] * 5 + [0] * 3


def test_hole_that_one_cell_encloses_is_filled_and_no_other():
    drawn = np.zeros((9, 16), np.int32)
    drawn[1:8, 1:8], drawn[1:8, 8:15] = 1, 2
    drawn[3:5, 3:5] = 0  # within cell 1
    drawn[3, 7:9] = 0  # between both
    drawn[6, 14] = 0  # open to the outside
    filled = cells.without_holes(drawn)
    assert (filled[3:5, 3:5] == 1).all()
    changed = np.count_nonzero(filled != drawn)
    assert changed == 4
    # A hole that is closed at corners only is closed: the cell is held together there.
    ring = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.int32)
    assert cells.without_holes(ring).tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    image = np.where(drawn > 0, 50, 0).astype(np.uint8)
    image[:, 8] = 0
    labels = np.zeros_like(drawn)
    labels[2, 2], labels[6, 12] = 1, 2
    assert flooded(labels, image, fill_holes=True)[3:5, 3:5].tolist() == [[1, 1], [1, 1]]
    assert not flooded(labels, image)[3:5, 3:5].any()


# All of it


def random_field(seed, dtype=np.uint16):
    """Some nuclei on a channel of blobs."""
    random = np.random.default_rng(seed)
    labels, _ = ndimage.label(ndimage.gaussian_filter(random.random((90, 110)), 3) > 0.515)
    image = ndimage.gaussian_filter(random.random((90, 110)), 4)
    image = (image - image.min()) / np.ptp(image) * 240
    return labels.astype(np.int32), image.astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("distance", {"max_distance": 4.5}),
        *(
            ("watershed", OPTIONS | {"borders": borders, "compactness": weight, "threshold": "li"})
            for borders in cells.SURFACES
            for weight in (0.0, 0.4)
        ),
        ("watershed", OPTIONS | {"sigma": 2.0, "fill_holes": True, "max_distance": 9.0}),
    ],
)
def test_parts_of_a_cell_have_the_number_of_their_nucleus(method, options, seed, dtype):
    labels, image = random_field(seed, dtype)
    before = labels.copy(), image.copy()
    made = cells.secondary(labels, image, method, options, {"gap": 1.0, "width": 3.0})
    assert list(made) == ["cells", "cytoplasm", "ring"]
    assert {array.dtype for array in made.values()} == {np.dtype(np.int32)}
    whole, cytoplasm, ring = made.values()
    nuclei = labels > 0
    assert labels.max() > 10
    np.testing.assert_array_equal(whole[nuclei], labels[nuclei])
    assert np.count_nonzero(whole) > 1.2 * np.count_nonzero(nuclei)
    np.testing.assert_array_equal(cytoplasm, whole * ~nuclei)
    assert set(np.unique(whole)) == set(np.unique(labels))
    assert ring.any() and not ring[nuclei].any()
    np.testing.assert_array_equal(ring[ring > 0], cytoplasm[ring > 0])
    depth = ndimage.distance_transform_edt(~nuclei)
    assert depth[ring > 0].min() > 1.0 and depth[ring > 0].max() <= 4.0
    # Each cell is one piece, as far as its nucleus is.
    for label in range(1, labels.max() + 1):
        pieces = [ndimage.label(part == label, np.ones((3, 3)))[1] for part in (whole, labels)]
        assert pieces[0] <= pieces[1]
    np.testing.assert_array_equal(labels, before[0])
    np.testing.assert_array_equal(image, before[1])


def test_ring_of_a_pixel_by_hand():
    labels = np.zeros((7, 7), np.int32)
    labels[3, 3] = 1
    ring = cells.ring_around(labels, 1.0, 1.0)
    # From above 1 to 2 pixels: the diagonal neighbours and those two pixels away.
    expected = np.zeros((7, 7), np.int32)
    for row, column in ((2, 2), (2, 4), (4, 2), (4, 4), (1, 3), (5, 3), (3, 1), (3, 5)):
        expected[row, column] = 1
    np.testing.assert_array_equal(ring, expected)


def test_rings_of_neighbours_share_no_pixel_and_leave_nuclei_alone():
    ring = cells.secondary(points(2, 6), None, "none", {}, {"gap": 0.0, "width": 3.0})
    assert list(ring) == ["ring"]
    assert ring["ring"][0].tolist() == [1, 1, 0, 1, 1, 2, 0, 2, 2, 2, 0]


def test_ring_stays_in_its_own_cell():
    labels, image = points(2, 5), np.full((1, 11), 50, np.uint8)
    image[0, 3] = 200
    options = OPTIONS | {"borders": "bright"}
    made = cells.secondary(labels, image, "watershed", options, {"gap": 0.0, "width": 3.0})
    membrane = made["cells"][0, 3]
    assert made["cells"][0].tolist() == [1, 1, 1, membrane, 2, 2, 2, 2, 2, 2, 2]
    assert made["ring"][0, 4:].tolist() == [2, 0, 2, 2, 2, 0, 0]
    assert made["ring"][0, 3] == (1 if membrane == 1 else 0)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("method", ["distance", "watershed"])
@pytest.mark.parametrize("value", [0, 200])
def test_no_nucleus_all_nucleus_and_one_pixel(method, dtype, value):
    ring = {"gap": 1.0, "width": 2.0}
    options = {"max_distance": 5.0} if method == "distance" else OPTIONS | {"threshold": "li"}
    for shape in ((1, 1), (1, 7), (20, 30)):
        image = np.full(shape, value, dtype)
        nothing = cells.secondary(np.zeros(shape, np.int32), image, method, options, ring)
        assert not any(array.any() for array in nothing.values())
        full = cells.secondary(np.ones(shape, np.int32), image, method, options, ring)
        assert full["cells"].all()
        assert not full["cytoplasm"].any() and not full["ring"].any()


def test_more_than_65535_cells():
    labels = np.zeros((560, 560), np.int32)
    labels[::2, ::2] = np.arange(1, 280 * 280 + 1).reshape(280, 280)
    made = cells.secondary(labels, None, "distance", {"max_distance": 1.0}, None)
    assert made["cells"].max() == made["cytoplasm"].max() == 78_400
    assert np.bincount(made["cells"].ravel(), minlength=78_401)[1:].min() >= 2


@pytest.mark.parametrize(("borders", "least"), [("edges", 0.88), ("dark", 0.8)])
def test_areas_of_real_cells_follow_those_of_cellprofiler(data, borders, least):
    """CellProfiler's nuclei are not at hand, so these are ours where they are the same."""
    folder = data / "cellprofiler-human"
    dna, stain = (
        tifffile.imread(folder / f"AS_09125_050116030001_D03f00d{channel}.tif")
        for channel in (0, 2)
    )
    blurred = cv2.GaussianBlur(dna, (0, 0), 1)
    mask = threshold.threshold(blurred, "otsu", {}, [], True, False, 20)
    _, labels, stats, centers = cv2.connectedComponentsWithStats(mask, ltype=cv2.CV_32S)
    options = OPTIONS | {"sigma": 1.0, "threshold": "li", "borders": borders, "compactness": 0.4}
    made = cells.secondary(labels, stain, "watershed", options | {"fill_holes": True}, None)
    theirs = np.genfromtxt(folder / "Cells.csv", delimiter=",", names=True)
    nuclei = np.genfromtxt(folder / "Nuclei.csv", delimiter=",", names=True)
    places = np.c_[nuclei["AreaShape_Center_X"], nuclei["AreaShape_Center_Y"]]
    apart = np.linalg.norm(centers[1:, None] - places, axis=2)
    ratio = stats[1:, cv2.CC_STAT_AREA] / nuclei["AreaShape_Area"][apart.argmin(axis=1)]
    same = (apart.min(axis=1) < 1.5) & (ratio > 0.6) & (ratio < 1.4)
    assert np.count_nonzero(same) > 150
    areas = np.bincount(made["cells"].ravel())[1:][same]
    expected = theirs["AreaShape_Area"][apart.argmin(axis=1)][same]
    assert np.corrcoef(np.log(areas), np.log(expected))[0, 1] > least
    assert np.median(areas / expected) == pytest.approx(1, abs=0.1)


# Which channel


def opened(*names, segment=0, shape=(4, 5)):
    stated = tuple(map(Channel, names))
    facts = (*shape, np.dtype(np.uint8), None, "")
    return Field(
        *(tuple(names), stated, ((0,),) * len(names), *facts),
        View(segment=segment),
        lambda channel, z: np.full(shape, 50 * channel, np.uint8),
    )


def test_auto_takes_the_only_other_channel():
    assert cells.cell_channel(opened("DAPI", "GFP"), "auto") == 1
    assert cells.cell_channel(opened("GFP", "DAPI", segment="DAPI"), "auto") == 0
    assert cells.cell_channel(opened("DAPI", "GFP", "Cy5"), "cy5") == 2
    assert cells.cell_channel(opened("DAPI"), 0) == 0


@pytest.mark.parametrize(("names", "found"), [(("DAPI",), "none"), (("D", "G", "R"), "G, R")])
def test_auto_refuses_none_and_several(names, found):
    with pytest.raises(ImageError) as caught:
        cells.cell_channel(opened(*names), "auto")
    assert str(caught.value) == (
        f"besides that of the nuclei there has to be one channel, and there is {found}: set "
        "cells.watershed.channel to the one that shows cells, or cells.method to distance"
    )


def test_channel_that_is_not_there_is_refused_with_its_key():
    with pytest.raises(
        ImageError, match=r"there is no channel Cy7.* change cells\.watershed\.chan"
    ):
        cells.cell_channel(opened("DAPI", "GFP"), "Cy7")


def item(labels, field):
    return SimpleNamespace(
        record={}, read={"labels": labels}.get, field=lambda view: nullcontext(field)
    )


def test_stage_floods_the_channel_and_reads_no_image_for_distances():
    labels = np.zeros((4, 5), np.int32)
    labels[1, 1] = 1
    chosen = {"method": "watershed", "options": OPTIONS, "ring": None, "view": {}}
    made = cells.compute(item(labels, opened("DAPI", "GFP")), chosen)
    assert (made["cells"] == 1).all()
    chosen = {"method": "distance", "options": {"max_distance": 1.0}, "ring": None}
    assert cells.compute(item(labels, None), chosen)["cells"].sum() == 5
    with pytest.raises(ImageError, match=r"the labels have \(4, 5\) pixels and the image \(4, 6\)"):
        cells.compute(
            item(labels, opened("DAPI", "GFP", shape=(4, 6))),
            {"method": "watershed", "options": OPTIONS, "ring": None, "view": {}},
        )


# Config


def test_methods_and_options_are_those_of_the_schema(schema):
    section = schema["properties"]["cells"]["properties"]
    assert set(section["method"]["enum"]) == {"none", *cells.METHODS}
    for name, function in cells.METHODS.items():
        code = function.__code__
        arguments = set(code.co_varnames[: code.co_argcount]) - {"labels", "image"}
        assert arguments == set(section[name]["properties"])
    options = section["watershed"]["properties"]
    assert set(options["borders"]["enum"]) == set(cells.SURFACES)
    assert set(options["threshold"]["anyOf"][0]["enum"]) - {"none"} <= set(cells.THRESHOLDS)


@pytest.mark.parametrize(
    ("config", "made"),
    [
        ({}, ()),
        ({"method": "distance"}, ("cells", "cytoplasm")),
        ({"ring": {"width": 3}}, ("ring",)),
        ({"method": "watershed", "ring": {"width": 0.5}}, ("cells", "cytoplasm", "ring")),
    ],
)
def test_objects_that_a_config_asks_for(schema, config, made):
    assert settings.secondary(settings.load({"cells": config}, schema)) == made


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"measure": {"objects": ["nuclei", "cells"]}},
            "config: measure.objects names cells, which cells.method does not make: set that, too",
        ),
        (
            {"measure": {"objects": ["ring"]}, "cells": {"method": "distance"}},
            "config: measure.objects names ring, which cells.ring.width does not make: set that, "
            "too",
        ),
        (
            {
                "cells": {"method": "distance"},
                "watershed": {"method": "opencv", "background": True},
            },
            "config: cells.method is set, which leaves no place to watershed.background true, set "
            "one of them back",
        ),
        (
            {"cells": {"watershed": {"threshold": "lee"}}},
            'config: cells.watershed.threshold is "lee", must be li, otsu, triangle, none or a '
            "number",
        ),
    ],
)
def test_wrong_config_is_refused_in_a_sentence(schema, config, sentence):
    with pytest.raises(settings.ConfigError) as caught:
        settings.load(config, schema)
    assert str(caught.value) == sentence


# Measured beside nuclei

RAW = np.random.default_rng(8).integers(0, 4096, (20, 30)).astype(np.uint16)
WANTED = ["area", "num_pixels", "bbox", "centroid", "intensity_mean", "intensity_sum", "area_bbox"]


def objects():
    """Two nuclei with cells; the second fills its cell, so that it has no cytoplasm."""
    nuclei = np.zeros((20, 30), np.int32)
    nuclei[5:9, 5:9], nuclei[12:16, 20:26] = 1, 2
    whole = nuclei.copy()
    whole[3:11, 0:11] = 1
    return {"nuclei": nuclei, "cells": whole, "cytoplasm": np.where(nuclei > 0, 0, whole)}


def test_columns_of_other_objects_have_a_prefix_and_those_of_nuclei_stay():
    channels = [("DAPI", RAW), ("GFP", RAW // 3)]
    table = frame(measure.columns_of(objects(), iter(channels), WANTED, 0))
    nuclei = measure.measure(objects()["nuclei"], channels, WANTED, 0)
    assert table[nuclei.columns].equals(nuclei)
    assert list(table) == [
        *nuclei,
        *(f"{name}_{column}" for name in ("cells", "cytoplasm") for column in list(nuclei)[1:]),
    ]
    assert table["label"].tolist() == [1, 2]
    for name in ("cells", "cytoplasm"):
        labels = objects()[name]
        theirs = regionprops_table(labels, RAW // 3, properties=["area", "bbox", "intensity_mean"])
        assert table[f"{name}_area"][0] == theirs["area"][0]
        assert table[f"{name}_bbox-3"][0] == theirs["bbox-3"][0]
        assert table[f"{name}_intensity_mean_GFP"][0] == theirs["intensity_mean"][0]
        assert table[f"{name}_intensity_sum_DAPI"][0] == RAW[labels == 1].sum()
    assert table["cells_on_border"].tolist() == [True, False]
    assert table["on_border"].tolist() == [False, False]


def test_values_of_an_empty_cytoplasm_are_missing_and_its_area_is_0():
    table = frame(measure.columns_of(objects(), [("", RAW)], WANTED, 0))
    empty = table.loc[1, [name for name in table if name.startswith("cytoplasm_")]]
    there = empty.dropna().to_dict()
    assert there == {
        "cytoplasm_area": 0,
        "cytoplasm_num_pixels": 0,
        "cytoplasm_on_border": False,
    }
    columns = measure.columns_of(objects(), [("", RAW)], WANTED, 0)
    some = {name: columns[name] for name in ("label", "cytoplasm_area", "cytoplasm_bbox-0")}
    text = measure.as_csv(measure.as_table(some)).decode()
    assert text.splitlines()[1:] == ["1,72,3", "2,0,"]


def test_table_has_the_same_columns_and_types_without_any_object():
    full = frame(measure.columns_of(objects(), [("", RAW)], WANTED, 0))
    nothing = {name: labels * 0 for name, labels in objects().items()}
    empty = frame(measure.columns_of(nothing, [("", RAW)], WANTED, 0))
    alone = {name: np.ones((20, 30), np.int32) for name in objects()}
    one = frame(measure.columns_of(alone, [("", RAW)], WANTED, 0))
    assert (len(full), len(empty), len(one)) == (2, 0, 1)
    assert full.dtypes.to_dict() == empty.dtypes.to_dict() == one.dtypes.to_dict()
    kinds = {str(full[f"cytoplasm_{name}"].dtype) for name in ("bbox-0", "area_bbox")}
    assert kinds == {"Int64"}
    plan = SimpleNamespace(directory=".", name="b")
    schemas = []
    for table in (full, empty, None):
        items = []
        if table is not None:
            result = pa.Table.from_pandas(table)
            items.append(SimpleNamespace(result=result, record={"image": "a"}))
        schema = measure.joined(plan, items, WANTED, list(objects())).schema
        schemas.append({field.name: str(field.type) for field in schema})
    assert schemas[0].items() >= schemas[2].items()
    assert schemas[0] == schemas[1]
    assert schemas[0]["cytoplasm_bbox-0"] == "int64"
    assert [name for name in schemas[2] if name.startswith("cells_")] == [
        *("cells_area", "cells_num_pixels"),
        *(f"cells_bbox-{index}" for index in range(4)),
        *("cells_centroid-0", "cells_centroid-1", "cells_area_bbox", "cells_on_border"),
    ]


def test_objects_that_are_not_asked_for_are_not_measured():
    table = frame(measure.columns_of(objects(), [("", RAW)], ["area", "intensity_mean"], 0, False))
    assert list(table)[:3] == ["label", "on_border", "cells_area"]
    assert table["cells_area"].tolist() == [88, 24]
