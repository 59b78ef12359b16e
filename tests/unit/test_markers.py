"""Stage 3: distances and seeds that are known by hand."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.morphology import reconstruction

import markers
from nucleiflow import settings

GROWN = {"shape": "rectangle", "size": 3, "iterations": 2}
METHODS = ("fraction", "fraction_of_object", "h_maxima")


@pytest.fixture(scope="module")
def options(schema):
    """Each method's options by default."""
    return {name: settings.load({}, schema)["markers"][name] for name in METHODS}


def disks(*circles, shape=(60, 100)):
    """A mask of disks (x, y, radius)."""
    mask = np.zeros(shape, np.uint8)
    for x, y, radius in circles:
        cv2.circle(mask, (x, y), radius, 255, -1)
    return mask


def blobs(seed, shape=(60, 70)):
    """A random mask of irregular objects of several sizes."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0.5, 4))
    return (smooth > 0).astype(np.uint8) * np.uint8(255)


def seeds_of(result):
    return int(result["markers"].max()) - 1


def find(mask, method, options, distance_mask=5, grown=GROWN):
    return markers.find_markers(mask, method, options, distance_mask, grown)


# The distance


@pytest.mark.parametrize("distance_mask", [3, 5, "precise"])
def test_distance_in_a_rectangle_counts_pixels_to_the_background(distance_mask):
    mask = np.zeros((9, 13), np.uint8)
    mask[2:7, 2:11] = 255
    distance = find(mask, "fraction", {"value": 0.5}, distance_mask)["distance"]
    assert distance.dtype == np.float32
    step = {3: 0.955, 5: 1.0, "precise": 1.0}[distance_mask]
    expected = np.array([0, 1, 2, 3, 2, 1, 0]) * step
    np.testing.assert_allclose(distance[1:8, 6], expected, rtol=1e-3)
    assert distance[0].max() == distance[:, :2].max() == 0


def test_precise_distance_is_that_of_scipy():
    mask = blobs(1)
    distance = find(mask, "fraction", {"value": 0.5}, "precise")["distance"]
    np.testing.assert_allclose(distance, ndimage.distance_transform_edt(mask), rtol=1e-5)


def test_distance_of_a_disk_is_its_radius():
    distance = find(disks((50, 30, 20)), "fraction", {"value": 0.5}, "precise")["distance"]
    assert distance.argmax() == 30 * 100 + 50
    assert abs(distance.max() - 20.5) < 1


# Seeds


@pytest.mark.parametrize("method", METHODS)
def test_two_touching_disks_get_a_seed_each(method, options):
    result = find(disks((30, 30, 14), (54, 30, 14)), method, options[method])
    assert seeds_of(result) == 2
    assert sorted((result["markers"][30, 30], result["markers"][30, 54])) == [2, 3]


@pytest.mark.parametrize("method", METHODS)
def test_disk_gets_one_seed_in_its_middle(method, options):
    result = find(disks((50, 30, 20)), method, options[method])
    assert seeds_of(result) == 1
    y, x = np.nonzero(result["sure_foreground"])
    assert abs(y.mean() - 30) < 1 and abs(x.mean() - 50) < 1


def test_fraction_keeps_what_exceeds_that_share_of_the_largest_distance_of_the_image():
    mask = disks((25, 30, 20), (75, 30, 8))
    result = find(mask, "fraction", {"value": 0.6}, "precise")
    expected = result["distance"] > 0.6 * result["distance"].max()
    np.testing.assert_array_equal(result["sure_foreground"] > 0, expected)
    assert seeds_of(result) == 1


@pytest.mark.parametrize("method", ["fraction_of_object", "h_maxima"])
def test_small_object_beside_a_large_one_keeps_its_seed(method, options):
    result = find(disks((25, 30, 20), (75, 30, 8), (95, 5, 2)), method, options[method])
    assert seeds_of(result) == 3


def test_fraction_of_object_takes_each_objects_own_largest_distance():
    mask = disks((25, 30, 20), (75, 30, 8))
    result = find(mask, "fraction_of_object", {"value": 0.5}, "precise")
    distance = result["distance"]
    expected = np.zeros_like(mask, bool)
    expected[:, :50] = distance[:, :50] > 0.5 * distance[:, :50].max()
    expected[:, 50:] = distance[:, 50:] > 0.5 * distance[:, 50:].max()
    np.testing.assert_array_equal(result["sure_foreground"] > 0, expected)


@pytest.mark.parametrize("method", ["fraction", "fraction_of_object"])
def test_pixels_at_the_very_fraction_are_no_seed(method):
    mask = np.zeros((9, 13), np.uint8)
    mask[2:5, 2:11] = 255
    seeds = find(mask, method, {"value": 0.5}, "precise")["sure_foreground"]
    expected = np.zeros_like(mask)
    expected[3, 3:10] = 255
    np.testing.assert_array_equal(seeds, expected)


@pytest.mark.parametrize("method", ["fraction_of_object", "h_maxima"])
@pytest.mark.parametrize("seed", range(30))
def test_every_object_of_the_mask_has_a_seed(method, seed, options):
    mask = blobs(seed)
    count, objects = cv2.connectedComponents(mask)
    result = find(mask, method, options[method])
    assert set(objects[result["sure_foreground"] > 0]) == set(range(1, count))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("distance_mask", [3, 5, "precise"])
def test_grid_of_single_pixels_has_as_many_seeds(method, distance_mask, options):
    mask = np.zeros((40, 50), np.uint8)
    mask[::2, ::2] = 255
    assert seeds_of(find(mask, method, options[method], distance_mask)) == 20 * 25


def test_higher_h_gives_fewer_seeds(options):
    mask = blobs(7, (200, 200))
    counts = [
        seeds_of(find(mask, "h_maxima", options["h_maxima"] | {"h": height, "fraction": 0.0}))
        for height in (0.0, 0.5, 1.0, 3.0)
    ]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_h_is_the_depth_of_the_saddle_below_the_lower_peak():
    mask = disks((30, 30, 14), (54, 30, 14))
    distance = find(mask, "fraction", {"value": 0.5}, "precise")["distance"]
    depth = float(distance[30, 30] - distance[30, 42])
    for height, seeds in ((depth - 0.3, 2), (depth + 0.3, 1)):
        options = {"h": height, "fraction": 0.0, "sigma": 0.0}
        assert seeds_of(find(mask, "h_maxima", options, "precise")) == seeds


# The rest


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(5))
def test_markers_are_1_for_background_and_2_and_more_for_seeds(method, seed, options):
    mask = blobs(seed)
    mask[:, 40:] = 0
    before = mask.copy()
    result = find(mask, method, options[method])
    types = {name: str(image.dtype) for name, image in result.items()}
    assert types == {
        "distance": "float32",
        "sure_foreground": "uint8",
        "sure_background": "uint8",
        "unknown": "uint8",
        "markers": "int32",
    }
    for name in ("sure_foreground", "sure_background", "unknown"):
        assert set(np.unique(result[name])) <= {0, 255}
    found, seeds = result["markers"], result["sure_foreground"] > 0
    possible = cv2.dilate(mask, np.ones((3, 3)), iterations=2) > 0
    np.testing.assert_array_equal(result["sure_background"] > 0, possible)
    np.testing.assert_array_equal(found == 1, ~possible)
    np.testing.assert_array_equal(found == 0, possible & ~seeds)
    np.testing.assert_array_equal(found >= 2, seeds)
    assert np.unique(found).tolist() == list(range(found.max() + 1))
    connected, count = ndimage.label(seeds, np.ones((3, 3)))
    pairs = set(zip(found[seeds], connected[seeds], strict=True))
    assert len(pairs) == count == found.max() - 1
    assert not (seeds & (mask == 0)).any()
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("method", METHODS)
def test_markers_do_not_depend_on_the_number_of_threads(method, options):
    mask, before, results = blobs(3, (700, 800)), cv2.getNumThreads(), []
    try:
        for count in (1, 2, 7):
            cv2.setNumThreads(count)
            results.append(find(mask, method, options[method])["markers"])
    finally:
        cv2.setNumThreads(before)
    assert results[0].max() > 100
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(20, 30), (1, 1), (1, 9)])
def test_empty_mask_has_no_seed(method, shape, options):
    grown = GROWN | {"size": 1}
    result = find(np.zeros(shape, np.uint8), method, options[method], grown=grown)
    assert (result["markers"] == 1).all()
    assert not any(result[name].any() for name in result.keys() - {"markers"})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("distance_mask", [3, 5, "precise"])
@pytest.mark.parametrize("shape", [(20, 30), (1, 1), (1, 9)])
def test_full_mask_is_one_seed(method, distance_mask, shape, options):
    mask = np.full(shape, 255, np.uint8)
    grown = GROWN | {"size": 1}
    result = find(mask, method, options[method], distance_mask, grown)
    assert np.isfinite(result["distance"]).all()
    assert (result["markers"] == 2).all()


@pytest.mark.parametrize("shape", ["rectangle", "ellipse", "cross"])
def test_sure_background_is_opencvs_dilation(shape):
    mask = disks((50, 30, 5))
    code = {"rectangle": cv2.MORPH_RECT, "ellipse": cv2.MORPH_ELLIPSE, "cross": cv2.MORPH_CROSS}
    kernel = cv2.getStructuringElement(code[shape], (5, 5))
    ours = markers.dilated(mask, shape, 5, 3)
    np.testing.assert_array_equal(ours, cv2.dilate(mask, kernel, iterations=3))


def test_no_iterations_leave_the_mask_as_the_only_possible_place():
    mask = disks((50, 30, 5))
    np.testing.assert_array_equal(markers.dilated(mask, "rectangle", 3, 0), mask)


def test_an_image_smaller_than_the_kernel_is_all_open_around_a_nucleus():
    mask = np.zeros((8, 9), np.uint8)
    assert not markers.dilated(mask, "rectangle", 31, 1).any()
    mask[4, 4] = 255
    assert (markers.dilated(mask, "rectangle", 31, 1) == 255).all()


@given(
    sixteenths=hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        elements=st.integers(0, 255),
    ),
    ground=st.integers(0, 200),
    height=st.integers(0, 64),
    fraction=st.sampled_from([0, 0.0625, 0.25, 0.5]),
)
def test_h_maxima_are_those_of_reconstruction(sixteenths, ground, height, fraction):
    # Numbers that floats hold exactly, in steps of more than the one that finds the maxima.
    distance, h = (sixteenths / 16).astype(np.float32), height / 16
    inside = sixteenths > ground
    limit = np.where(inside, distance, -1000.0)
    marker = np.where(inside, distance * (1 - fraction) - h, -1000.0)
    cut = reconstruction(marker, limit, footprint=np.ones((3, 3)))
    tops = cut - reconstruction(cut - 1 / 512, cut, footprint=np.ones((3, 3))) > 0
    found = markers.h_maxima(distance, inside.astype(np.uint8) * np.uint8(255), h, fraction, 0)
    np.testing.assert_array_equal(found > 0, tops & inside)


def test_flat_object_is_one_seed_however_long_and_winding():
    mask = np.zeros((41, 41), np.uint8)
    mask[::2] = 255
    mask[1::4, -1] = mask[3::4, 0] = 255
    distance = (mask > 0).astype(np.float32)
    np.testing.assert_array_equal(markers.h_maxima(distance, mask, 0.5, 0.1, 0), mask)
