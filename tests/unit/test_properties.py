"""Properties of whole label images: scikit-image's values, plain definitions of the rest."""

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.spatial.distance import cdist
from skimage.measure import label, regionprops_table
from skimage.measure._regionprops import COL_DTYPES
from skimage.segmentation import expand_labels, find_boundaries

from nucleiflow import neighbours
from nucleiflow.properties import INTENSITY, NAMES, NEIGHBORS, SHAPE, of_intensity, of_objects
from nucleiflow.properties import of_neighbours as is_of_neighbours

pytestmark = pytest.mark.filterwarnings("ignore")

KNOWN = [name for name in NAMES if name in COL_DTYPES]
WHOLE = ("label", "num_pixels", "area", "area_bbox", "area_convex", "area_filled", "euler_number")


def same(labels, raw, names=KNOWN):
    """Compare all columns with those of scikit-image."""
    ours = of_objects(labels, raw, names)
    theirs = pd.DataFrame(regionprops_table(labels, raw, properties=["label", *names]))
    assert list(ours) == list(theirs)
    for name in theirs:
        base = name.split("-")[0]
        if name in WHOLE or base == "bbox":
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
            continue
        # What is 0 but for rounding is so beside the other numbers of the property.
        group = theirs[[each for each in theirs if each.split("-")[0] == base]].to_numpy(float)
        scale = np.nanmax(np.abs(group), axis=1, initial=0) if "moments" in base else 1.0
        # scikit-image rounds the variance across a line of pixels, which is 0, before its root.
        small = 1e-6 if base == "axis_minor_length" else 1e-9 * scale
        expected = theirs[name].to_numpy(float)
        excess = np.abs(ours[name] - expected) - 1e-9 * np.abs(expected) - small
        wrong = ~((excess <= 0) | (np.isnan(ours[name]) & np.isnan(expected)))
        if base == "orientation":
            # Half a turn is none.
            wrong &= np.abs(np.abs(ours[name] - expected) - np.pi) > 1e-9
            # Where the axes are equal but for rounding, any angle is.
            axes = of_objects(labels, None, ["axis_major_length", "axis_minor_length"])
            wrong &= ~np.isclose(*axes[["axis_major_length", "axis_minor_length"]].to_numpy().T)
        if base == "eccentricity":
            wrong &= np.abs(ours[name] ** 2 - expected**2) > 1e-9
        assert not wrong.any(), (name, ours[name][wrong].tolist(), expected[wrong].tolist())


def scattered(rng, shape, count, size):
    """Touching objects that grow from points; numbers in between are missing."""
    seeds = np.zeros(shape, np.int32)
    places = rng.choice(seeds.size, count, replace=False)
    seeds.ravel()[places] = rng.permutation(3 * count)[:count] + 1
    return expand_labels(seeds, size)


def pair():
    """Two rectangles of 4 x 6 and 4 x 4 pixels, three apart, and one pixel far off."""
    labels = np.zeros((40, 60), np.int32)
    labels[10:14, 10:16], labels[10:14, 19:23], labels[39, 59] = 2, 5, 9
    return labels


# Names


def test_names_are_those_of_all_three_kinds_each_once():
    assert len(set(NAMES)) == len(NAMES) == len(SHAPE) + len(INTENSITY) + len(NEIGHBORS)
    assert all(of_intensity(name) for name in INTENSITY)
    assert not any(of_intensity(name) for name in (*SHAPE, *NEIGHBORS))
    assert [name for name in NAMES if is_of_neighbours(name)] == list(NEIGHBORS)


def test_every_number_of_scikit_image_has_a_faster_form():
    objects = {"coords", "coords_scaled", "image", "image_convex", "image_filled", "slice"}
    assert set(COL_DTYPES) - objects - {"label", "image_intensity"} == set(KNOWN)


# scikit-image's values


@settings(max_examples=60)
@given(
    arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 4)),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["uint8", "uint16", "int16", "float64"]),
)
def test_any_labels_have_the_values_of_scikit_image(labels, seed, dtype):
    raw = np.random.default_rng(seed).integers(0, 32000, labels.shape).astype(dtype)
    if labels.any():
        same(labels * 7, raw)
    assert len(of_objects(labels, raw, NAMES)) == np.unique(labels[labels > 0]).size


@pytest.mark.parametrize("size", [1, 3, 8])
def test_touching_objects_have_the_values_of_scikit_image(size):
    rng = np.random.default_rng(size)
    labels = scattered(rng, (150, 170), 120, size)
    for high in (255, 4095, 65535):
        same(labels, rng.integers(0, high, labels.shape).astype(np.uint16))


def test_objects_with_holes_parts_and_bays_have_the_values_of_scikit_image():
    rng = np.random.default_rng(3)
    for share in (0.3, 0.5, 0.6, 0.7):
        noise = rng.random((60, 70)) < share
        same(label(noise).astype(np.int32), rng.normal(0, 5, noise.shape))
        same(noise.astype(np.int32), rng.normal(0, 5, noise.shape))


def test_nuclei_of_real_images_have_the_values_of_scikit_image(data):
    for path in sorted((data / "dsb2018" / "masks").glob("*.png"))[:60:12]:
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int32)
        raw = cv2.imread(str(data / "dsb2018" / "images" / path.name), cv2.IMREAD_GRAYSCALE)
        same(labels, raw)


def test_hundred_thousand_objects():
    labels = np.zeros((1000, 1000), np.int32)
    labels[::2, ::5] = np.arange(1, 100_001).reshape(500, 200)
    labels[::2, 1::5] = labels[::2, ::5]
    raw = np.arange(1_000_000, dtype=np.float64).reshape(1000, 1000)
    table = of_objects(labels, raw, NAMES)
    assert table["label"].tolist() == list(range(1, 100_001))
    assert (table["area"] == 2).all() and (table["perimeter"] == 0).all()
    assert (table["intensity_mean"] == raw[::2, ::5].ravel() + 0.5).all()
    assert (table["feret_diameter_max"] == 2).all()
    few = labels.copy()
    few[labels > 50] = 0
    same(few, raw)
    for name in set(table) - {each for each in table if each.startswith("neighbors")}:
        if "background" not in name and "corrected" not in name:
            alone = of_objects(few, raw, [name.split("-")[0]])[name]
            np.testing.assert_array_equal(table[name][:50], alone, err_msg=name)


def test_one_object_of_four_million_pixels():
    labels = np.ones((2048, 2048), np.int32)
    raw = np.full(labels.shape, 65535, np.uint16)
    names = [name for name in NAMES if "moments" not in name]
    row = of_objects(labels, raw, names).iloc[0]
    assert row["area"] == row["area_convex"] == row["area_filled"] == 2048**2
    assert row["intensity_sum"] == 2048**2 * 65535 and row["intensity_std"] == 0
    assert row["centroid-0"] == row["centroid_weighted-1"] == 1023.5
    assert row["perimeter"] == 4 * 2047 and row["euler_number"] == 1 and row["solidity"] == 1
    assert row["axis_major_length"] == pytest.approx(4 * np.sqrt((2048**2 - 1) / 12), rel=1e-12)
    # Without edge and background these have no value.
    assert np.isnan(row[["intensity_edge_mean", "intensity_background"]].astype(float)).all()
    assert row["neighbors_number"] == row["neighbors_touching"] == row["neighbors_density"] == 0


# Unhappy paths


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (0, 4), (4, 0)])
def test_no_object_gives_every_column_and_no_row(shape):
    full = of_objects(np.ones((3, 3), np.int32), np.ones((3, 3)), NAMES)
    empty = of_objects(np.zeros(shape, np.int32), np.ones(shape), NAMES)
    assert list(empty) == list(full) and len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_one_pixel():
    row = of_objects(np.full((1, 1), 3, np.int32), np.full((1, 1), 7, np.uint8), NAMES).iloc[0]
    assert row["label"] == 3 and row["area"] == row["solidity"] == row["feret_diameter_max"] == 1
    assert row["feret_diameter_min"] == pytest.approx(np.sqrt(0.5))
    assert row["intensity_median"] == row["intensity_quartile_lower"] == row["intensity_sum"] == 7
    assert row["intensity_mad"] == row["intensity_mass_displacement"] == row["perimeter"] == 0
    assert np.isnan(row["form_factor"]) and np.isnan(row["compactness"])
    assert np.isnan(row["neighbors_distance"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_object_with_a_pixel_that_is_no_number_has_no_value_and_others_do(dtype):
    labels = pair()
    raw = np.random.default_rng(1).normal(100, 9, labels.shape).astype(dtype)
    clean = of_objects(labels, raw, INTENSITY)
    raw[11, 12] = np.nan
    table = of_objects(labels, raw, INTENSITY)
    columns = [name for name in table if name not in ("label", "intensity_background")]
    assert table.loc[0, columns].isna().all()
    pd.testing.assert_frame_equal(table.loc[1:], clean.loc[1:])
    theirs = regionprops_table(labels, raw, properties=["intensity_mean", "intensity_max"])
    assert np.isnan(theirs["intensity_mean"][0]) and np.isnan(theirs["intensity_max"][0])


def test_infinite_pixels_count_as_such():
    raw = pair() * 1.0
    raw[11, 12] = np.inf
    table = of_objects(pair(), raw, ["intensity_sum", "intensity_max", "intensity_median"])
    assert table.iloc[0].tolist() == [2, np.inf, np.inf, 2] and table.iloc[1].tolist() == [
        5,
        80,
        5,
        5,
    ]


def test_labels_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match="labels must be whole numbers, not float64"):
        of_objects(np.ones((3, 3)), None, ["area"])
    with pytest.raises(ValueError, match="labels must have two dimensions, not 3"):
        of_objects(np.ones((3, 3, 3), np.int32), None, ["area"])


def test_a_channel_of_another_shape_or_none_is_refused():
    with pytest.raises(ValueError, match=r"the shape \(40, 60\) and the channel \(60, 40\)"):
        of_objects(pair(), pair().T, ["intensity_sum"])
    with pytest.raises(ValueError, match="intensity_mean needs a channel"):
        of_objects(pair(), None, ["area", "intensity_mean"])


def test_inputs_stay_as_they_were():
    labels, raw = pair(), np.random.default_rng(2).normal(5, 1, pair().shape)
    kept = raw.copy()
    labels.flags.writeable = raw.flags.writeable = False
    of_objects(labels, raw, NAMES)
    np.testing.assert_array_equal(labels, pair())
    np.testing.assert_array_equal(raw, kept)


def test_layout_in_memory_does_not_matter():
    rng = np.random.default_rng(4)
    labels = scattered(rng, (60, 50), 20, 5)
    raw = rng.integers(0, 99, labels.shape).astype(np.uint16)
    expected = of_objects(labels, raw, NAMES)
    turned = of_objects(np.asfortranarray(labels), np.asfortranarray(raw), NAMES)
    pd.testing.assert_frame_equal(turned, expected)


def test_what_scikit_image_alone_knows_is_taken_from_it():
    table = of_objects(pair(), None, ["slice", "area"])
    assert table["slice"][0] == (slice(10, 14), slice(10, 16)) and table["area"][0] == 24


# Shapes of our own


def test_feret_diameters_of_rectangles_and_a_diagonal():
    labels = pair()
    labels[np.arange(25, 35), np.arange(25, 35)] = 7
    table = of_objects(labels, None, ["feret_diameter_min", "feret_diameter_max"])
    assert table["feret_diameter_min"].tolist()[:2] == [4, 4]
    # From the middle of an edge to that of another: one row or column less than the corners.
    assert table["feret_diameter_max"].tolist()[:2] == [np.hypot(6, 3), np.hypot(4, 3)]
    assert table["feret_diameter_min"][2] == pytest.approx(np.sqrt(0.5))


def test_least_feret_diameter_is_that_over_all_angles():
    rng = np.random.default_rng(6)
    labels = scattered(rng, (90, 90), 12, 14)
    table = of_objects(labels, None, ["feret_diameter_min"])
    angles = np.linspace(0, np.pi, 20001)
    for number, least in zip(table["label"], table["feret_diameter_min"], strict=True):
        image = regionprops_table((labels == number).astype(int), properties=["image_convex"])[
            "image_convex"
        ][0]
        y, x = np.nonzero(image)
        points = np.concatenate(
            [np.stack([y + dy, x + dx]) for dy, dx in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))],
            axis=1,
        )
        along = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ points
        assert np.ptp(along, axis=1).min() == pytest.approx(least, abs=5e-3)


def test_form_factor_and_compactness():
    table = of_objects(pair(), None, ["form_factor", "compactness", "perimeter"])
    # Through the middles of border pixels, the perimeter of 4 x 6 is 2 * (3 + 5).
    assert table["form_factor"][0] == pytest.approx(4 * np.pi * 24 / 16**2)
    assert table["compactness"][0] == pytest.approx(16**2 / (4 * np.pi * 24))


# Intensities of our own


@pytest.mark.parametrize(
    "dtype",
    [
        *("bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
        *("float16", "float32", "float64"),
    ],
)
def test_ranks_sums_and_edges_are_those_of_plain_numpy(dtype):
    rng = np.random.default_rng(8)
    labels = scattered(rng, (80, 90), 60, 4)
    if dtype[0] in "ui":
        bounds = np.iinfo(dtype)
        raw = rng.integers(bounds.min, bounds.max, labels.shape, dtype, endpoint=True)
    else:
        raw = rng.normal(0, 50, labels.shape).astype(dtype)
    edge = find_boundaries(labels, mode="inner")
    table = of_objects(labels, raw, [name for name in INTENSITY if "moments" not in name])
    for row in table.itertuples():
        values = raw[labels == row.label].astype(np.float64)
        rim = raw[(labels == row.label) & edge].astype(np.float64)
        low, middle, high = np.percentile(values, [25, 50, 75])
        expected = {
            "sum": values.sum(),
            "mean": values.mean(),
            "std": values.std(),
            "min": values.min(),
            "max": values.max(),
            "median": middle,
            "quartile_lower": low,
            "quartile_upper": high,
            "mad": np.median(np.abs(values - middle)),
            "edge_sum": rim.sum(),
            "edge_mean": rim.mean(),
            "edge_std": rim.std(),
            "edge_min": rim.min(),
            "edge_max": rim.max(),
        }
        scale = np.abs(values).sum()
        for name, value in expected.items():
            ours = getattr(row, f"intensity_{name}")
            assert ours == pytest.approx(value, rel=1e-9, abs=1e-14 * scale), name


@given(st.lists(st.lists(st.integers(-50, 50), min_size=1, max_size=9), min_size=1, max_size=6))
def test_median_absolute_deviation_of_any_values(objects):
    width = max(map(len, objects))
    labels = np.zeros((len(objects), width), np.int32)
    raw = np.zeros(labels.shape)
    for row, values in enumerate(objects):
        labels[row, : len(values)], raw[row, : len(values)] = row + 1, values
    expected = [np.median(np.abs(np.array(each) - np.median(each))) for each in objects]
    for dtype in (np.int16, np.float64):
        table = of_objects(labels, raw.astype(dtype), ["intensity_mad"])
        assert table["intensity_mad"].tolist() == expected


def test_edges_are_not_at_the_border_of_the_image():
    labels = np.zeros((6, 8), np.int32)
    labels[:, :3] = 1
    raw = np.tile(np.arange(8), (6, 1))
    table = of_objects(labels, raw, ["intensity_edge_sum", "intensity_edge_min"])
    assert table.iloc[0].tolist() == [1, 12, 2]


def test_mass_displacement_is_the_distance_of_the_two_centroids():
    labels = np.zeros((9, 20), np.int32)
    labels[2:5, 4:14] = 1
    raw = np.ones(labels.shape, np.uint8)
    raw[2:5, 13] = 21
    table = of_objects(labels, raw, ["intensity_mass_displacement", "centroid_weighted"])
    # Columns 4 to 13, the last one with a weight of 21 rather than 1: (76.5 + 20 * 13) / 30 - 8.5.
    assert table["intensity_mass_displacement"][0] == pytest.approx((85 + 260) / 30 - 8.5)
    dark = of_objects(labels, raw * 0, ["intensity_mass_displacement"])
    assert np.isnan(dark["intensity_mass_displacement"][0])


def test_background_is_that_of_the_ground_nearby():
    rng = np.random.default_rng(9)
    labels = np.zeros((400, 400), np.int32)
    ramp = np.tile(np.linspace(100, 500, 400), (400, 1))
    for number, (y, x) in enumerate(np.ndindex(7, 7)):
        labels[40 + 50 * y : 60 + 50 * y, 40 + 50 * x : 60 + 50 * x] = number + 1
    raw = ramp + rng.normal(0, 5, labels.shape) + 1000 * (labels > 0)
    names = ["intensity_background", "intensity_mean_corrected", "intensity_sum_corrected"]
    table = of_objects(labels, raw, [*names, "centroid", "area"])
    expected = np.interp(table["centroid-1"], np.arange(400), ramp[0])
    inner = table["centroid-1"].between(60, 340)
    assert np.abs(table["intensity_background"] - expected)[inner].max() < 3
    assert np.abs(table["intensity_background"] - expected).max() < 25
    assert np.abs(table["intensity_mean_corrected"] - 1000)[inner].max() < 6
    sums = table["intensity_mean_corrected"] * table["area"]
    np.testing.assert_allclose(table["intensity_sum_corrected"], sums, rtol=1e-12)


def test_the_hole_of_a_cytoplasm_is_no_background():
    labels = np.zeros((64, 64), np.int32)
    labels[8:56, 8:56] = 1
    labels[10:54, 10:54] = 0
    raw = np.full(labels.shape, 10.0)
    raw[10:54, 10:54] = 900
    table = of_objects(labels, raw, ["intensity_background"])
    assert table["intensity_background"][0] == 10


# Neighbours


def test_neighbours_of_two_rectangles_and_a_pixel():
    table = of_objects(pair(), None, NEIGHBORS)
    assert table["neighbors_number"].tolist() == [1, 1, 0]
    assert table["neighbors_distance"].tolist()[:2] == [8, 8]
    assert table["neighbors_touching"].tolist() == [0, 0, 0]


def test_neighbours_are_those_that_touch_when_grown():
    rng = np.random.default_rng(10)
    labels = scattered(rng, (120, 130), 25, 6)
    grown = expand_labels(labels, neighbours.REACH)
    table = of_objects(labels, None, ["neighbors_number"]).set_index("label")["neighbors_number"]
    wrong = 0
    for number, count in table.items():
        own = grown == number
        around = np.zeros_like(own)
        around[1:] |= own[:-1]
        around[:-1] |= own[1:]
        around[:, 1:] |= own[:, :-1]
        around[:, :-1] |= own[:, 1:]
        wrong += count != len(set(grown[around].tolist()) - {0, number})
    # Distances are right to some percent.
    assert wrong <= 2 and table.sum() > 20


def test_touching_is_the_share_of_the_edge_beside_others():
    labels = np.zeros((12, 12), np.int32)
    labels[4:8, 2:6], labels[4:8, 6:10] = 1, 2
    table = of_objects(labels, None, ["neighbors_touching"])
    # Four of twelve edge pixels of each.
    assert table["neighbors_touching"].tolist() == [4 / 12, 4 / 12]
    labels[4:8, 6] = 0
    assert of_objects(labels, None, ["neighbors_touching"])["neighbors_touching"].sum() == 0


def test_distances_and_densities_are_those_of_all_pairs():
    rng = np.random.default_rng(11)
    labels = scattered(rng, (200, 150), 40, 4)
    names = ["neighbors_distance", "neighbors_density", "centroid", "equivalent_diameter_area"]
    table = of_objects(labels, None, names)
    apart = cdist(*[table[["centroid-0", "centroid-1"]]] * 2)
    np.fill_diagonal(apart, np.inf)
    np.testing.assert_allclose(table["neighbors_distance"], apart.min(axis=1), rtol=1e-12)
    radius = neighbours.RADIUS * table["equivalent_diameter_area"].median()
    y, x = np.indices(labels.shape)
    for index, row in table.iterrows():
        inside = (y - row["centroid-0"]) ** 2 + (x - row["centroid-1"]) ** 2 <= radius**2
        density = (apart[index] <= radius).sum() / np.count_nonzero(inside)
        assert row["neighbors_density"] == pytest.approx(density, rel=0.02)


def test_circles_inside_of_an_image():
    centres = np.array([[50.0, 50.0], [-0.5, 50.0], [-0.5, -0.5]])
    areas = neighbours.circles_inside(centres, 20.0, (100, 100)) / (np.pi * 400)
    np.testing.assert_allclose(areas, [1, 0.5, 0.25], rtol=0.01)
