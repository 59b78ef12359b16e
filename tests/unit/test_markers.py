"""Stage 3: distances and seeds that are known by hand."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.feature import blob_log, peak_local_max
from skimage.morphology import reconstruction

import markers
from nucleiflow import settings
from nucleiflow.field import View
from nucleiflow.images import ImageError

GROWN = {"shape": "rectangle", "size": 3, "iterations": 2}
METHODS = ("fraction", "fraction_of_object", "h_maxima")
BY_SCALE = ("peaks", "log", "intensity")
WORKING = [np.uint8, np.uint16, np.float32]


@pytest.fixture(scope="module")
def options(schema):
    """Each method's options by default."""
    return {name: settings.load({}, schema)["markers"][name] for name in (*METHODS, *BY_SCALE)}


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


def find(mask, method, options, distance_mask=5, grown=GROWN, **known):
    return markers.find_markers(mask, method, options, distance_mask, grown, **known)


def domes(shape, middles, sigma, heights=(80, 80, 80)):
    """Bright Gaussians around points (x, y) on a ground of 20, float32."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, 20.0)
    for (across, down), height in zip(middles, heights, strict=False):
        image += height * np.exp(-((y - down) ** 2 + (x - across) ** 2) / (2 * sigma**2))
    return image.astype(np.float32)


def lit(mask, dtype=np.uint16, ground=20, height=80, sigma=2.0):
    """The mask as a camera would see it, brighter in the middle of large objects."""
    smooth = ndimage.gaussian_filter((mask > 0).astype(float), sigma)
    image = ground + height * smooth
    return (image if dtype == np.float32 else np.rint(image)).astype(dtype)


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


# Peaks of the distance


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("reach", [1, 3, 8])
def test_peaks_are_those_of_scikit_image(seed, reach):
    mask = blobs(seed, (150, 170))
    mask[:, 85:90] = 0
    distance = find(mask, "fraction", {"value": 0.5})["distance"]
    for sigma in (0.0, 1.0):
        height = np.where(mask > 0, markers.smoothed(distance, sigma), 0)
        theirs = np.zeros_like(mask)
        where = peak_local_max(height, min_distance=reach, exclude_border=False, threshold_abs=0)
        theirs[tuple(where.T)] = 255
        ours = markers.peaks(distance, mask, 10.0, reach / 10, sigma)
        assert theirs.any()
        np.testing.assert_array_equal(ours, theirs)


def test_of_peaks_nearer_than_the_least_distance_the_higher_one_stays(options):
    mask = disks((30, 30, 14), (54, 30, 12))
    distance = find(mask, "fraction", {"value": 0.5}, "precise")["distance"]
    for fraction, expected in ((0.7, [(30, 30), (30, 54)]), (0.9, [(30, 30)])):
        seeds = markers.peaks(distance, mask, 28.0, fraction, 0.0)
        assert list(zip(*map(np.ndarray.tolist, np.nonzero(seeds)), strict=True)) == expected


# Blobs and peaks of the image


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("radius", [3, 7, 12, 30])
def test_blobs_are_those_of_scikit_image(dtype, radius):
    step = 3 * radius
    circles = [(step * (1 + x) + x, step * (1 + y) - y, radius) for x in range(3) for y in range(2)]
    mask = disks(*circles, shape=(4 * step, 5 * step))
    image = lit(mask, dtype, sigma=0.7)
    before = image.copy()
    seeds = markers.log(image, mask, 2 * radius + 1.0, 0.2)
    sigma = (radius + 0.5) / 2**0.5
    theirs = blob_log(image.astype(float) - 20, sigma, sigma, 1, threshold=10)[:, :2]
    *_, centres = cv2.connectedComponentsWithStats(seeds)
    ours = centres[1:, ::-1]
    assert len(ours) == len(theirs) == 6
    gaps = np.abs(ours[:, None] - theirs[None]).max(axis=2).min(axis=1)
    assert gaps.max() <= max(1, radius / 8)
    truth = np.array([(y, x) for x, y, _ in circles])
    assert np.abs(ours[:, None] - truth[None]).max(axis=2).min(axis=1).max() <= max(1, radius / 8)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("min_contrast", "count"), [(0.3, 2), (0.5, 1), (1.5, 1), (1.7, 0)])
def test_contrast_of_a_disc_of_the_right_size_is_its_own(min_contrast, count):
    # 80 and 20 above the ground; half of the mask is the one and half the other, so 50 is a whole.
    mask = disks((30, 30, 10), (70, 30, 10))
    image = np.where(mask > 0, 100, 20).astype(np.float32)
    image[:, 50:] = np.where(mask[:, 50:] > 0, 40, 20)
    seeds = markers.log(image, mask, 21.0, min_contrast)
    assert cv2.connectedComponents(seeds)[0] - 1 == count


def test_touching_nuclei_without_a_waist_are_told_by_the_dark_line_between_them(options):
    mask = np.zeros((60, 100), np.uint8)
    mask[20:40, 20:80] = 255
    image = domes(mask.shape, [(35, 30), (65, 30)], 8, (100, 40))
    for method in ("log", "intensity"):
        known = {"image": image, "diameter": 22.0}
        result = find(mask, method, options[method], **known)
        assert seeds_of(result) == 2, method
        found = result["markers"]
        assert found[28:33, 33:38].max() == 2 and found[28:33, 63:68].max() == 3
    # The saddle lies below the lower peak by half of its height above the ground.
    ground = np.median(image[mask == 0])
    share = 1 - (image[30, 35:65].min() - ground) / (image[30, 65] - ground)
    for fraction, count in ((share - 0.02, 2), (share + 0.02, 1)):
        flat = find(mask, "intensity", {"fraction": fraction, "smoothing": 0.0}, **known)
        assert seeds_of(flat) == count
    assert 0.45 < share < 0.5


@pytest.mark.parametrize("dtype", WORKING)
def test_a_seed_by_intensity_is_the_peak_down_to_that_fraction(dtype):
    y, x = np.mgrid[:41, :41]
    image = (10 + np.maximum(0, 200 - 10 * np.hypot(y - 20, x - 20))).astype(dtype)
    mask = (image > 60).astype(np.uint8) * np.uint8(255)
    ground = float(np.median(image[mask == 0]))
    top = float(image.max()) - ground
    seeds = markers.intensity(image, mask, 20.0, 0.25, 0.0)
    expected = image.astype(np.float32) - np.float32(ground) >= np.float32(top * 0.75)
    np.testing.assert_array_equal(seeds > 0, expected)


@pytest.mark.parametrize("seed", range(10))
def test_every_object_has_a_seed_by_intensity_also_where_it_is_dark(seed, options):
    mask = blobs(seed)
    image = np.random.default_rng(seed).integers(0, 50, mask.shape).astype(np.uint8)
    count, objects = cv2.connectedComponents(mask)
    result = find(mask, "intensity", options["intensity"], image=image, diameter=8.0)
    assert set(objects[result["sure_foreground"] > 0]) == set(range(1, count))


# Seeds of the user


def test_seeds_of_the_user_may_touch_and_are_cut_off_by_the_mask():
    mask = disks((30, 30, 14))
    seeds = np.zeros(mask.shape, np.int32)
    seeds[28:32, 26:30], seeds[28:32, 30:34], seeds[:5, :5], seeds[30, 40:60] = 7, 3, 5, 9
    result = find(mask, "image", {}, seeds=seeds)
    found = result["markers"]
    assert seeds_of(result) == 3
    assert (found[28:32, 30:34] == 2).all() and (found[28:32, 26:30] == 3).all()
    np.testing.assert_array_equal(found == 4, (seeds == 9) & (mask > 0))
    np.testing.assert_array_equal(result["sure_foreground"] > 0, (seeds > 0) & (mask > 0))
    assert not (found[:5, :5] > 1).any()


@pytest.mark.parametrize("shape", [(30, 50), (7, 11), (120, 200), (60, 33)])
def test_no_seed_is_lost_in_another_size_unless_two_need_one_pixel(shape):
    seeds = np.zeros((60, 100), np.int32)
    points = [(1, 2), (13, 47), (30, 30), (31, 60), (59, 99), (45, 80)]
    for number, (y, x) in enumerate(points, 1):
        seeds[y, x] = number
    seeds[3:9, 70:80] = 7
    found = markers.placed(seeds, shape)
    assert found.shape == shape and found.dtype == np.int32
    assert set(np.unique(found)) == set(range(8))
    for number, (y, x) in enumerate(points, 1):
        rows, columns = np.nonzero(found == number)
        assert abs(rows.mean() + 0.5 - (y + 0.5) * shape[0] / 60) <= 1
        assert abs(columns.mean() + 0.5 - (x + 0.5) * shape[1] / 100) <= 1


@pytest.mark.parametrize("drawn", ["whole", "cropped", "what came out"])
def test_points_are_read_at_any_of_the_sizes_that_an_image_has(tmp_path, drawn):
    crop = {"x": 10, "y": 20, "width": 80, "height": 40}
    view = View(crop=crop, resize={"factor": 0.25})
    points = np.zeros((100, 120), np.uint8)
    points[[21, 29, 57], [13, 58, 83]] = 255
    if drawn != "whole":
        points = points[20:60, 10:90]
    if drawn == "what came out":
        points = np.zeros((10, 20), np.uint8)
        points[[0, 2, 9], [0, 12, 18]] = 255
    cv2.imwrite(str(tmp_path / "a.png"), points)
    found = markers.read_seeds(tmp_path / "a.png", (10, 20), view, (100, 120))
    assert np.argwhere(found).tolist() == [[0, 0], [2, 12], [9, 18]]
    assert sorted(found[found > 0]) == [1, 2, 3]


def test_seeds_of_another_size_are_refused_in_a_sentence(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 30), np.uint8))
    for resize in (None, {"factor": 0.5}):
        with pytest.raises(ImageError, match="has 30 x 30 pixels and the image 120 x 100"):
            markers.read_seeds(tmp_path / "a.png", (50, 60), View(resize=resize), (100, 120))


def test_image_without_seeds_is_told_where_they_belong(tmp_path):
    (tmp_path / "day 1").mkdir()
    (tmp_path / "day 1" / "other.png").write_bytes(b"")
    with pytest.raises(ImageError) as caught:
        markers.seeds_file(tmp_path, ("day 1", "a", ["a_w1"]), [])
    assert str(caught.value) == (
        f"it has no image of seeds: put one into {tmp_path}/day 1, called a.tif"
    )
    here = tmp_path / "day 1" / "a_w1.png"
    here.write_bytes(b"")
    assert markers.seeds_file(tmp_path, ("day 1", "a", ["a_w1"]), []) == here
    # The image itself is none.
    with pytest.raises(ImageError, match="it has no image of seeds"):
        markers.seeds_file(tmp_path, ("day 1", "a", ["a_w1"]), [here])


# Every method that knows how large nuclei are


@pytest.mark.parametrize("method", BY_SCALE)
@pytest.mark.parametrize("dtype", WORKING)
def test_three_touching_disks_get_a_seed_each_in_their_middles(method, dtype, options):
    middles = [(30, 30), (54, 30), (42, 51)]
    mask = disks(*((x, y, 13) for x, y in middles), shape=(80, 90))
    image = domes(mask.shape, middles, 6).astype(dtype)
    before = (mask.copy(), image.copy())
    result = find(mask, method, options[method], image=image, diameter=26.0)
    assert seeds_of(result) == 3
    rows, columns = np.nonzero(result["sure_foreground"])
    numbers = result["markers"][rows, columns]
    for x, y in middles:
        gaps = [
            np.hypot(rows[numbers == n].mean() - y, columns[numbers == n].mean() - x)
            for n in (2, 3, 4)
        ]
        assert min(gaps) < 4
    np.testing.assert_array_equal(mask, before[0])
    np.testing.assert_array_equal(image, before[1])


@pytest.mark.parametrize("method", BY_SCALE)
@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("diameter", [0.0, 0.3, 12.0, 500.0])
@pytest.mark.parametrize("shape", [(20, 30), (1, 1), (1, 9), (9, 1)])
def test_masks_without_and_without_anything_but_nuclei(method, dtype, diameter, shape, options):
    image = np.full(shape, 7, dtype)
    known = {"image": image, "diameter": diameter, "grown": GROWN | {"size": 1}}
    empty = find(np.zeros(shape, np.uint8), method, options[method], **known)
    assert (empty["markers"] == 1).all() and not empty["sure_foreground"].any()
    full = find(np.full(shape, 255, np.uint8), method, options[method], **known)
    # An even image has no blob; else all of the mask is one seed.
    assert np.unique(full["markers"]).tolist() == ([0] if method == "log" else [2])
    mask = np.zeros(shape, np.uint8)
    mask[0, 0] = 255
    alone = find(mask, method, options[method], **known | {"image": image + (mask > 0)})
    assert seeds_of(alone) == 1 or method == "log"


@pytest.mark.parametrize("method", BY_SCALE)
def test_seeds_do_not_depend_on_the_number_of_threads(method, options):
    mask, before, results = blobs(3, (700, 800)), cv2.getNumThreads(), []
    image = lit(mask)
    try:
        for count in (1, 2, 7):
            cv2.setNumThreads(count)
            found = find(mask, method, options[method], image=image, diameter=15.0)
            results.append(found["markers"])
    finally:
        cv2.setNumThreads(before)
    assert results[0].max() > 100
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])
