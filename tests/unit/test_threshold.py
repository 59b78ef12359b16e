"""Stage 2: every threshold against its library, and masks known by hand."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.filters import threshold_li, threshold_otsu, threshold_triangle

import threshold
from nucleiflow.images import ImageError

RNG = np.random.default_rng(4)
WORKING = [np.uint8, np.uint16, np.float32]
OPTIONS = {
    "otsu": {},
    "triangle": {},
    "li": {},
    "manual": {"value": 100.0},
    "adaptive": {"block_size": 31, "weights": "mean", "offset": 5.0},
}
PLAIN = {"morphology": [], "fill_holes": False, "clear_border": False, "min_area": 0}


def field(dtype=np.uint8, seed=4):
    """Two bright squares of 20 x 20 on a dark, noisy ground."""
    image = np.random.default_rng(seed).normal(40, 6, (80, 90))
    image[10:30, 10:30] += 120
    image[45:65, 50:70] += 90
    scale = {np.uint16: 100, np.float32: 0.37}.get(dtype, 1)
    return (np.clip(image, 0, 255) * scale).astype(dtype)


def run(image, method, options=None, **steps):
    options = OPTIONS[method] if options is None else options
    return threshold.threshold(image, method, options, **(PLAIN | steps))


def mask_of(*rows):
    """A mask from rows of '.' and '#'."""
    return np.array([[255 * (char == "#") for char in row] for row in rows], np.uint8)


def on_mask(mask, **steps):
    """The steps after the threshold, on a mask."""
    return run(mask, "manual", {"value": 0.0}, **steps)


# Thresholds


@pytest.mark.parametrize("seed", range(5))
def test_otsu_of_8_bit_is_opencvs(seed):
    image = field(seed=seed)
    _, expected = cv2.threshold(image, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    np.testing.assert_array_equal(run(image, "otsu"), expected)


def test_otsu_of_16_bit_is_scikit_images_without_classes_lost():
    image = field(np.uint16)
    expected = image > threshold_otsu(image)
    np.testing.assert_array_equal(run(image, "otsu"), expected * 255)


def test_otsu_of_floats_is_scikit_images_with_65536_classes():
    image = field(np.float32)
    expected = image > threshold_otsu(image, nbins=65536)
    np.testing.assert_array_equal(run(image, "otsu"), expected * 255)


def test_triangle_of_8_bit_is_opencvs():
    image = field()
    _, expected = cv2.threshold(image, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_TRIANGLE)
    np.testing.assert_array_equal(run(image, "triangle"), expected)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_triangle_of_other_types_uses_256_classes(dtype, seed):
    image = field(dtype, seed)
    low, width = float(image.min()), (float(image.max()) - float(image.min())) / 255
    ours = run(image, "triangle")
    scaled = ((image - low) / width).astype(np.uint8)
    _, opencvs = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_TRIANGLE)
    assert np.count_nonzero(ours != opencvs) <= 2
    # scikit-image's own triangle is a few classes lower than OpenCV's.
    level = threshold_triangle(image.astype(np.float64), nbins=256)
    assert 0 < float(image[ours > 0].min()) - level < 6 * width


@pytest.mark.parametrize("dtype", WORKING)
def test_li_is_scikit_images(dtype):
    image = field(dtype)
    np.testing.assert_array_equal(run(image, "li"), (image > threshold_li(image)) * 255)


@pytest.mark.parametrize("dtype", WORKING)
def test_manual_is_above_the_value(dtype):
    image = np.array([[0, 99, 100, 101]], dtype)
    assert run(image, "manual").tolist() == [[0, 0, 0, 255]]


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("method", ["otsu", "li", "triangle"])
def test_nuclei_are_found_and_ground_is_not(dtype, method):
    image = field(dtype)
    expected = np.zeros((80, 90), bool)
    expected[10:30, 10:30] = expected[45:65, 50:70] = True
    wrong = np.count_nonzero((run(image, method) > 0) != expected)
    assert wrong <= (30 if method == "triangle" else 1)


@pytest.mark.parametrize("block_size", [3, 11, 51])
@pytest.mark.parametrize("offset", [-7.0, 0.0, 4.5])
@pytest.mark.parametrize("dtype", WORKING)
def test_adaptive_mean_is_above_the_mean_of_the_window_plus_the_offset(dtype, block_size, offset):
    image = field(dtype)
    mean = ndimage.uniform_filter(image.astype(np.float64), block_size, mode="nearest")
    excess = image - (mean + offset)
    options = {"block_size": block_size, "weights": "mean", "offset": offset}
    ours = run(image, "adaptive", options) > 0
    sure = np.abs(excess) > 1e-5 * mean
    assert sure.mean() > 0.95
    np.testing.assert_array_equal(ours[sure], excess[sure] > 0)


@pytest.mark.parametrize("block_size", [3, 11, 51])
@pytest.mark.parametrize("offset", [-10, 0, 10])
@pytest.mark.parametrize(
    ("weights", "theirs"),
    [("mean", cv2.ADAPTIVE_THRESH_MEAN_C), ("gaussian", cv2.ADAPTIVE_THRESH_GAUSSIAN_C)],
)
def test_adaptive_is_opencvs_up_to_its_rounded_mean(weights, theirs, block_size, offset):
    image = field()
    # OpenCV subtracts its constant where the offset is added.
    expected = cv2.adaptiveThreshold(image, 255, theirs, cv2.THRESH_BINARY, block_size, -offset)
    lower, ours, upper = (
        run(image, "adaptive", {"block_size": block_size, "weights": weights, "offset": value})
        for value in (offset + 1.0, float(offset), offset - 1.0)
    )
    assert np.count_nonzero(ours != expected) < 0.06 * image.size
    assert (expected >= lower).all() and (expected <= upper).all()


@pytest.mark.parametrize("weights", ["mean", "gaussian"])
def test_larger_offset_asks_for_brighter_pixels(weights):
    image = field()
    counts = [
        np.count_nonzero(
            run(image, "adaptive", {"block_size": 31, "weights": weights, "offset": offset})
        )
        for offset in (-5.0, 0.0, 5.0, 50.0)
    ]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1] > 0


@pytest.mark.parametrize("weights", ["mean", "gaussian"])
@pytest.mark.parametrize("block_size", [3, 11, 21, 51, 101])
@pytest.mark.parametrize("dtype", WORKING)
def test_flat_ground_does_not_lie_above_its_own_mean(dtype, block_size, weights):
    options = {"block_size": block_size, "weights": weights, "offset": 0.0}
    for value in (1, 7, 100, 255):
        assert not run(np.full((120, 120), value, dtype), "adaptive", options).any()


# Images without anything to divide


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("value", [0, 7, 255])
@pytest.mark.parametrize("method", ["otsu", "triangle", "li", "adaptive"])
@pytest.mark.parametrize("shape", [(40, 50), (1, 1), (1, 9)])
def test_constant_image_has_no_foreground(dtype, value, method, shape):
    options = OPTIONS[method] if method != "adaptive" else OPTIONS[method] | {"block_size": 1}
    mask = run(np.full(shape, value, dtype), method, options)
    assert (mask.dtype, mask.shape) == (np.uint8, shape)
    assert not mask.any()


@pytest.mark.parametrize("dtype", WORKING)
def test_manual_value_below_a_constant_image_gives_a_full_mask(dtype):
    assert (run(np.full((4, 5), 101, dtype), "manual") == 255).all()


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize(
    ("method", "low", "high"),
    [
        *(("otsu", *pair) for pair in ((0, 255), (0, 1), (10, 200), (254, 255))),
        *(("li", *pair) for pair in ((0, 255), (0, 1), (10, 200), (254, 255))),
        *(("triangle", *pair) for pair in ((0, 255), (10, 200), (20, 30))),
    ],
)
def test_two_values_are_divided(dtype, low, high, method):
    image = np.full((20, 20), low, dtype)
    image[5:10, 5:10] = high
    expected = np.zeros((20, 20), np.uint8)
    expected[5:10, 5:10] = 255
    np.testing.assert_array_equal(run(image, method), expected)


@pytest.mark.parametrize("method", OPTIONS)
@pytest.mark.parametrize("dtype", WORKING)
def test_mask_is_0_and_255_and_the_image_stays_as_it_was(dtype, method):
    image = field(dtype)
    before = image.copy()
    mask = run(image, method)
    assert (mask.dtype, mask.shape) == (np.uint8, image.shape)
    assert set(np.unique(mask)) <= {0, 255}
    np.testing.assert_array_equal(image, before)


def test_negative_floats_are_divided_as_others():
    image = field(np.float32) - np.float32(1000)
    for method in ("otsu", "triangle", "li"):
        ours = run(image, method)
        assert np.count_nonzero(ours != run(field(np.float32), method)) < 20


# Steps on the mask


TOUCHING = mask_of(
    "..........",
    ".###......",
    ".#.#...##.",
    ".###...##.",
    "..........",
    "#......##.",
    "##.....##.",
    "..........",
)


def test_fill_holes_fills_what_background_cannot_reach():
    expected = TOUCHING.copy()
    expected[2, 2] = 255
    np.testing.assert_array_equal(on_mask(TOUCHING, fill_holes=True), expected)


def test_hole_open_to_the_edge_is_not_filled():
    mask = mask_of("###", "#.#", "#.#")
    np.testing.assert_array_equal(on_mask(mask, fill_holes=True), mask)


def test_clear_border_drops_what_touches_the_edge():
    expected = TOUCHING.copy()
    expected[5:7, :2] = 0
    np.testing.assert_array_equal(on_mask(TOUCHING, clear_border=True), expected)


@pytest.mark.parametrize(("min_area", "objects"), [(0, 4), (1, 4), (3, 4), (4, 3), (5, 1), (9, 0)])
def test_min_area_keeps_objects_of_that_many_pixels(min_area, objects):
    result = on_mask(TOUCHING, min_area=min_area)
    assert cv2.connectedComponents(result)[0] - 1 == objects


def test_pixels_that_touch_at_corners_are_one_object():
    mask = mask_of("#..", ".#.", "..#")
    np.testing.assert_array_equal(on_mask(mask, min_area=3), mask)
    assert not on_mask(mask, min_area=4).any()
    expected = mask_of("....", ".#..", "..#.", "....")
    np.testing.assert_array_equal(on_mask(expected, clear_border=True), expected)


def test_holes_are_filled_before_objects_are_measured():
    mask = mask_of("#####", "#...#", "#...#", "#...#", "#####")
    assert np.count_nonzero(on_mask(mask, fill_holes=True, min_area=25)) == 25
    assert np.count_nonzero(on_mask(mask, fill_holes=False, min_area=17)) == 0


def test_morphology_is_done_in_its_order():
    dot_and_hole = np.zeros((30, 30), np.uint8)
    dot_and_hole[3, 3] = 255
    dot_and_hole[10:25, 10:25] = 255
    dot_and_hole[17, 17] = 0
    opened = {"operation": "open", "shape": "rectangle", "size": 3, "iterations": 1}
    dilated = {"operation": "dilate", "shape": "rectangle", "size": 3, "iterations": 1}
    first = on_mask(dot_and_hole, morphology=[opened, dilated])
    assert not first[3, 3]
    assert np.count_nonzero(first) == 17 * 17
    second = on_mask(dot_and_hole, morphology=[dilated, opened])
    assert np.count_nonzero(second[2:5, 2:5]) == 9
    assert np.count_nonzero(second) == 9 + 17 * 17


@pytest.mark.parametrize("shape", ["rectangle", "ellipse", "cross"])
@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("operation", threshold.OPERATIONS)
def test_step_is_opencvs_morphology(operation, shape, size, iterations):
    mask = (ndimage.gaussian_filter(RNG.normal(size=(60, 70)), 3) > 0).astype(np.uint8) * 255
    before = mask.copy()
    shapes = {"rectangle": cv2.MORPH_RECT, "ellipse": cv2.MORPH_ELLIPSE, "cross": cv2.MORPH_CROSS}
    kernel = cv2.getStructuringElement(shapes[shape], (size, size))
    code = getattr(cv2, f"MORPH_{operation.upper()}")
    step = {"operation": operation, "shape": shape, "size": size, "iterations": iterations}
    expected = cv2.morphologyEx(mask, code, kernel, iterations=iterations)
    np.testing.assert_array_equal(on_mask(mask, morphology=[step]), expected)
    np.testing.assert_array_equal(mask, before)


def test_gradient_of_a_square_is_its_outline():
    mask = np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 255
    result = threshold.morph(mask, "gradient", "rectangle", 3, 1)
    assert np.count_nonzero(result) == 7 * 7 - 3 * 3


# Refusals


def test_kernel_larger_than_the_image_is_refused():
    step = {"operation": "open", "shape": "rectangle", "size": 81, "iterations": 1}
    with pytest.raises(ImageError) as caught:
        run(field(), "otsu", morphology=[step])
    assert str(caught.value) == (
        "a kernel of 81 pixels is larger than the image of 90 x 80: "
        "make size in threshold.morphology smaller"
    )


def test_block_larger_than_the_image_is_refused():
    with pytest.raises(ImageError) as caught:
        run(field(), "adaptive", OPTIONS["adaptive"] | {"block_size": 81})
    assert str(caught.value) == (
        "a block of 81 pixels is larger than the image of 90 x 80: "
        "make threshold.adaptive.block_size smaller"
    )


@given(hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_filled_holes_are_scipys(image):
    mask = image.astype(np.uint8) * np.uint8(255)
    expected = ndimage.binary_fill_holes(image)
    np.testing.assert_array_equal(threshold.without_holes(mask) > 0, expected)
