"""Stage 2: every threshold against its library, and masks known by hand."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.filters import (
    threshold_isodata,
    threshold_li,
    threshold_minimum,
    threshold_multiotsu,
    threshold_niblack,
    threshold_otsu,
    threshold_sauvola,
    threshold_triangle,
    threshold_yen,
)
from skimage.segmentation import clear_border

import threshold
from nucleiflow.images import ImageError
from nucleiflow.scale import diameter

RNG = np.random.default_rng(4)
WORKING = [np.uint8, np.uint16, np.float32]
OPTIONS = {
    "otsu": {},
    "triangle": {},
    "li": {},
    "manual": {"value": 100.0},
    "adaptive": {"block_size": 31, "weights": "mean", "offset": 5.0},
    "yen": {},
    "isodata": {},
    "minimum": {},
    "multiotsu": {"classes": 3, "background_classes": 1},
    "kmeans": {"classes": 3, "background_classes": 1},
    "gaussian_mixture": {"classes": 3, "background_classes": 1},
    "robust_background": {
        "lower_fraction": 0.05,
        "upper_fraction": 0.12,
        "average": "mean",
        "deviation": "sd",
        "deviations": 6.0,
    },
    "hysteresis": {"low": None, "high": None, "low_factor": 0.5, "high_factor": 1.0},
    "niblack": {"window": 51, "k": 0.2, "min_contrast": 6.0},
    "sauvola": {"window": 51, "k": 0.2, "min_contrast": 6.0},
    "local_otsu": {"window": 40, "min_contrast": 6.0},
    "edges": {"sigma": 1.0, "low": 0.2, "high": 0.5, "min_contrast": 5.0, "close": 5},
}
# Options that are lengths, which may not exceed the image.
LENGTHS = ("block_size", "window", "close")
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


def fitting(method, shape):
    """The method's options with lengths that an image has."""
    lengths = {name: 1 for name in LENGTHS if name in OPTIONS[method] and min(shape) < 40}
    lengths |= {name: 31 for name in LENGTHS if name in OPTIONS[method] and min(shape) >= 40}
    return OPTIONS[method] | lengths


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


def truth():
    """Where the squares of `field` are."""
    squares = np.zeros((80, 90), bool)
    squares[10:30, 10:30] = squares[45:65, 50:70] = True
    return squares


def coarse(image):
    """Classes of equally many values, 256 at most; the middle of the first and their width."""
    low = int(image.min())
    width = -(-(int(image.max()) - low + 1) // 256)
    return (image - low) // width, low + (width - 1) / 2, width


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("isodata", 1),
        ("minimum", 1),
        ("kmeans", 1),
        ("multiotsu", 1),
        ("gaussian_mixture", 1),
        ("robust_background", 1),
        ("hysteresis", 12),
        ("niblack", 1),
        ("sauvola", 1),
        ("local_otsu", 1),
        ("edges", 100),
    ],
)
@pytest.mark.parametrize(
    ("dtype", "shift"), [(np.uint8, 0), (np.uint16, 0), (np.float32, 0), (np.float32, -1000)]
)
def test_squares_are_found(dtype, method, wrong, shift):
    found = run(field(dtype) + dtype(shift), method) > 0
    assert np.count_nonzero(found != truth()) <= wrong


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", WORKING)
def test_yen_is_scikit_images(dtype, seed):
    image = field(dtype, seed)
    level = threshold_yen(image.astype(np.float64) if dtype == np.float32 else image, 65536)
    np.testing.assert_array_equal(run(image, "yen"), (image > level) * 255)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", WORKING)
def test_isodata_is_scikit_images(dtype, seed):
    image = field(dtype, seed)
    level = threshold_isodata(image.astype(np.float64) if dtype == np.float32 else image, 65536)
    np.testing.assert_array_equal(run(image, "isodata"), (image > level) * 255)


def test_isodata_is_midway_between_the_means():
    # The means of 0, 2 and of 10, 14 are 1 and 12: midway lies 6.5, no value up to 10.
    image = np.array([[0, 2, 10, 14]], np.uint8)
    assert run(image, "isodata").tolist() == [[0, 0, 255, 255]]


@pytest.mark.parametrize("seed", range(5))
def test_minimum_of_floats_has_scikit_images_256_classes(seed):
    image = field(np.float32, seed)
    level = threshold_minimum(image.astype(np.float64), 256)
    np.testing.assert_array_equal(run(image, "minimum"), (image > level) * 255)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_minimum_is_scikit_images_of_256_classes(dtype, seed):
    image = field(dtype, seed)
    grouped, first, width = coarse(image)
    level = first + width * float(threshold_minimum(grouped))
    np.testing.assert_array_equal(run(image, "minimum"), (image > level) * 255)


def test_minimum_refuses_a_histogram_with_one_peak():
    image = np.repeat(np.arange(40, dtype=np.uint8), [min(n, 40 - n) for n in range(40)])[None]
    with pytest.raises(ImageError, match=r"^the histogram has no two peaks, .* to otsu or li$"):
        run(image, "minimum")


@pytest.mark.parametrize(("classes", "background"), [(2, 1), (3, 1), (3, 2), (4, 1), (4, 3)])
@pytest.mark.parametrize("dtype", WORKING)
def test_multiotsu_is_scikit_images_of_256_classes(dtype, classes, background):
    image = field(dtype)
    options = {"classes": classes, "background_classes": background}
    if dtype == np.float32:
        level = threshold_multiotsu(image.astype(np.float64), classes, 256)[background - 1]
        level += (float(image.max()) - float(image.min())) / 512
    else:
        grouped, first, width = coarse(image)
        level = first + width * (float(threshold_multiotsu(grouped, classes)[background - 1]) + 0.5)
    np.testing.assert_array_equal(run(image, "multiotsu", options), (image > level) * 255)


def three_levels(dtype=np.uint16):
    """Ground at 100, dim columns at 300, bright ones at 1000, each with 20 values around."""
    image = np.repeat([[100] * 8 + [300] * 3 + [1000] * 2], 20, axis=0)
    return (image + np.arange(20)[:, None]).astype(dtype)


@pytest.mark.parametrize("method", ["multiotsu", "kmeans", "gaussian_mixture"])
@pytest.mark.parametrize(("background", "columns"), [(1, 5), (2, 2)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_classes_of_background_are_left_out(dtype, method, background, columns):
    options = {"classes": 3, "background_classes": background}
    found = run(three_levels(dtype), method, options)
    assert (found[:, -columns:] == 255).all() and not found[:, :-columns].any()


@pytest.mark.parametrize("method", ["multiotsu", "kmeans", "gaussian_mixture"])
def test_fewer_values_than_classes_are_a_class_each(method):
    image = np.array([[0, 0, 0, 9, 9]], np.uint8)
    options = {"classes": 4, "background_classes": 3}
    assert run(image, method, options).tolist() == [[0, 0, 0, 255, 255]]


@pytest.mark.parametrize("method", ["multiotsu", "kmeans", "gaussian_mixture"])
def test_classes_without_foreground_are_refused(method):
    with pytest.raises(ImageError) as caught:
        run(field(), method, {"classes": 3, "background_classes": 3})
    assert str(caught.value) == (
        f"threshold.{method}.background_classes is 3, which leaves no class of "
        f"threshold.{method}.classes, 3, to the nuclei: make it smaller"
    )


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("dtype", WORKING)
def test_kmeans_is_as_compact_as_the_best_of_opencvs_starts(dtype, classes):
    image = field(dtype)
    values = image.reshape(-1, 1).astype(np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 1000, 0.0)
    cv2.setRNGSeed(1)
    best, _, _ = cv2.kmeans(values, classes, None, criteria, 20, cv2.KMEANS_PP_CENTERS)
    member = sum(
        (run(image, "kmeans", {"classes": classes, "background_classes": below}) > 0).astype(int)
        for below in range(1, classes)
    )
    spread = sum(
        np.square(part - part.mean()).sum()
        for part in (image[member == index].astype(np.float64) for index in range(classes))
    )
    assert spread <= best * (1 + 1e-4)


def test_gaussian_mixture_divides_where_both_are_as_probable():
    rng = np.random.default_rng(1)
    image = np.concatenate([rng.normal(1000, 30, 80000), rng.normal(1400, 100, 20000)])
    image = np.rint(image).reshape(400, 250).astype(np.uint16)
    # 0.8 / 30 exp(-(x - 1000)^2 / 1800) = 0.2 / 100 exp(-(x - 1400)^2 / 20000) at 1110.3
    a, b = 1 / 1800 - 1 / 20000, 2 * (1000 / 1800 - 1400 / 20000)
    c = 1000**2 / 1800 - 1400**2 / 20000 - np.log(0.8 / 30 * 100 / 0.2)
    expected = (b + np.sqrt(b * b - 4 * a * c)) / (2 * a)
    found = run(image, "gaussian_mixture", {"classes": 2, "background_classes": 1}) > 0
    assert abs(image[found].min() - expected) < 2
    # The wide class is more probable far below the narrow one, too: that is no nucleus.
    assert image[~found].min() == image.min()


@pytest.mark.parametrize("dtype", WORKING)
def test_robust_background_is_mean_and_deviation_of_what_is_left(dtype):
    # Without the lowest and the two highest of ten: 2, 2, 2, 4, 4, 4, 10, mean 4, median 4.
    image = np.array([[0, 2, 2, 2, 4, 4, 4, 10, 90, 99]], dtype)

    def count(average, deviation, deviations):
        options = {"lower_fraction": 0.1, "upper_fraction": 0.2, "average": average}
        options |= {"deviation": deviation, "deviations": deviations}
        return np.count_nonzero(run(image, "robust_background", options))

    # The standard deviation is the root of 48 / 7, 2.62; the median absolute deviation 2.
    assert count("mean", "sd", 2.29) == 3
    assert count("mean", "sd", 2.30) == 2
    assert count("median", "mad", 2.99) == 3
    assert count("median", "mad", 3.0) == 2


@pytest.mark.parametrize("dtype", WORKING)
def test_hysteresis_keeps_what_is_connected_to_something_bright(dtype):
    image = np.array([[0, 5, 9, 0, 5, 5], [0, 0, 0, 5, 0, 0], [0, 0, 0, 0, 0, 0]], dtype)
    image = np.vstack([image, np.array([[5, 5, 0, 0, 0, 6]], dtype)])
    numbers = {"low": 4.0, "high": 8.0, "low_factor": 9.0, "high_factor": 9.0}
    expected = mask_of(".##.##", "...#..", "......", "......")
    np.testing.assert_array_equal(run(image, "hysteresis", numbers), expected)
    # A low threshold above the high one counts as the high one.
    found = run(image, "hysteresis", numbers | {"low": 20.0, "high": 5.0})
    np.testing.assert_array_equal(found, (image > 5) * 255)


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize(("low", "high"), [(0.5, 1.0), (0.2, 1.5), (1.0, 1.0)])
def test_hysteresis_derives_its_thresholds_from_otsus(dtype, low, high):
    image = field(dtype)
    level = threshold_otsu(image, nbins=65536)
    ground = np.median(image[image <= level])
    above = [image > ground + factor * (level - ground) for factor in (low, high)]
    expected = ndimage.binary_propagation(above[1], np.ones((3, 3)), above[0])
    options = {"low": None, "high": None, "low_factor": low, "high_factor": high}
    np.testing.assert_array_equal(run(image, "hysteresis", options), expected * 255)


@pytest.mark.parametrize("window", [3, 15, 51])
@pytest.mark.parametrize("k", [-0.3, 0.2, 1.0])
@pytest.mark.parametrize("dtype", WORKING)
def test_niblack_is_scikit_images_with_k_negated(dtype, k, window):
    image = field(dtype)
    expected = image > threshold_niblack(image.astype(np.float64), window, -k)
    options = {"window": window, "k": k, "min_contrast": -1e9}
    np.testing.assert_array_equal(run(image, "niblack", options), expected * 255)


@pytest.mark.parametrize("window", [3, 15, 51])
@pytest.mark.parametrize("dtype", WORKING)
def test_sauvola_is_scikit_images_of_the_inverted_image(dtype, window):
    image = field(dtype).astype(np.float64)
    white = np.sort(image.ravel())[-1 - image.size // 1000]
    inverted = white - np.minimum(image, white)
    level = threshold_sauvola(inverted, window, 0.2, (white - image.min()) / 2)
    options = {"window": window, "k": 0.2, "min_contrast": -1e9}
    found = run(field(dtype), "sauvola", options)
    np.testing.assert_array_equal(found, (inverted < level) * 255)


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("method", ["niblack", "sauvola", "local_otsu", "edges"])
def test_noise_without_nuclei_stays_dark(dtype, method):
    noise = np.random.default_rng(2).normal(100, 10, (300, 300))
    image = (cv2.GaussianBlur(noise, (0, 0), 1) * (1 if dtype == np.uint8 else 20)).astype(dtype)
    assert np.count_nonzero(run(image, method, min_area=20)) == 0


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("method", ["niblack", "sauvola", "local_otsu", "edges"])
def test_uneven_ground_is_no_nucleus(dtype, method):
    # Ground to the right is brighter than the nuclei to the left.
    rng = np.random.default_rng(5)
    squares = np.zeros((200, 200), bool)
    for row in range(20, 180, 50):
        squares[row : row + 20, 20:40] = squares[row : row + 20, 70:90] = True
        squares[row : row + 20, 120:140] = squares[row : row + 20, 160:180] = True
    ground = np.linspace(200, 2000, 200)
    image = (ground * (1 + squares) + rng.normal(0, 5, (200, 200))).astype(dtype)
    assert (image[:, 180:].min() > image[squares].min()).all()

    def wrong(name, options):
        found = run(image, name, options, min_area=20) > 0
        return np.count_nonzero(found != squares) / squares.sum()

    options = OPTIONS[method] | {"window": 51} if "window" in OPTIONS[method] else OPTIONS[method]
    assert wrong(method, options) < 0.3 < 0.5 < wrong("otsu", {})


def test_local_otsu_of_one_tile_is_otsu():
    image = field(np.uint16)
    found = run(image, "local_otsu", {"window": 80, "min_contrast": 6.0})
    np.testing.assert_array_equal(found, run(image, "otsu"))


@pytest.mark.parametrize("dtype", WORKING)
def test_edges_enclose_discs_also_at_the_border(dtype):
    y, x = np.mgrid[:120, :120]
    discs = (np.hypot(y - 60, x - 70) < 20) | (np.hypot(y - 60, x - 5) < 20)
    dark = np.hypot(y - 60, x - 70) < 5
    image = np.where(discs & ~dark, 150, 20).astype(dtype)
    found = run(image, "edges") > 0
    # Up to a pixel off along the outlines, and the dark core is no nucleus.
    outline = cv2.morphologyEx(
        (discs & ~dark).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((5, 5))
    )
    np.testing.assert_array_equal(found[outline == 0], (discs & ~dark)[outline == 0])
    assert found[60, 0] and not found[60, 70]
    assert run(image, "edges", fill_holes=True)[60, 70] == 255


@pytest.mark.parametrize("method", sorted(OPTIONS.keys() - {"minimum"}))
def test_floats_next_to_each_other_are_no_error(method):
    image = np.full((50, 50), 1000, np.float32)
    image[10:30, 10:30] = np.nextafter(np.float32(1000), np.float32(2000))
    assert run(image, method, fitting(method, image.shape)).shape == (50, 50)
    if method in ("otsu", "isodata", "kmeans", "multiotsu", "yen"):
        np.testing.assert_array_equal(run(image, method) > 0, image > 1000)


@pytest.mark.parametrize(
    ("method", "key", "what"),
    [
        ("niblack", "window", "window"),
        ("sauvola", "window", "window"),
        ("local_otsu", "window", "window"),
        ("edges", "close", "kernel"),
    ],
)
def test_window_larger_than_the_image_is_refused(method, key, what):
    with pytest.raises(ImageError) as caught:
        run(field(), method, OPTIONS[method] | {key: 81})
    assert str(caught.value) == (
        f"a {what} of 81 pixels is larger than the image of 90 x 80: "
        f"make threshold.{method}.{key} smaller"
    )


# Images without anything to divide


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("value", [0, 7, 255])
@pytest.mark.parametrize("method", sorted(OPTIONS.keys() - {"manual"}))
@pytest.mark.parametrize("shape", [(40, 50), (1, 1), (1, 9)])
def test_constant_image_has_no_foreground(dtype, value, method, shape):
    mask = run(np.full(shape, value, dtype), method, fitting(method, shape))
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


# What is told of an image


class Item:
    """An image that was preprocessed, of half a micrometre a pixel before it was halved."""

    def __init__(self, image, stated=0.5):
        self.image, self.facts = image, {}
        self.record = {"height": 160, "width": 180, "stated_pixel_size_um": stated}
        self.record["stated_pixel_size_source"] = "OME"

    def read(self, product):
        assert product == "preprocessed"
        return self.image


MANUAL = PLAIN | {"method": "manual", "options": {"value": 100.0}}


@pytest.mark.parametrize("dtype", WORKING)
def test_threshold_that_is_told_is_the_median_along_the_outline(dtype):
    image = np.full((20, 20), 10, dtype)
    image[5:10, 5:10] = 200
    image[5:10, 5:10][1:-1, 1:-1] = 250
    image[6, 5] = 120
    mask = threshold.threshold(image, **MANUAL)
    assert threshold.edge_level(image, mask) == 200.0
    image[5:10, 5] = image[5:10, 9] = 150
    assert threshold.edge_level(image, mask) == 150.0
    # A hole has an outline, the edge of the image is none.
    mask[:] = 255
    assert threshold.edge_level(image, mask) is None
    mask[7, 7] = 0
    assert threshold.edge_level(image, mask) == 250.0
    assert threshold.edge_level(image, np.zeros_like(mask)) is None


def test_diameter_is_estimated_where_it_is_not_given():
    item = Item(field())
    mask = threshold.compute(item, MANUAL | {"diameter": "auto"})["mask"]
    assert item.facts["diameter"] == diameter(mask)
    assert 18 < item.facts["diameter"] < 22
    assert 140 < item.facts["threshold"] < 180


@pytest.mark.parametrize(
    ("asked", "scale", "pixels"),
    [
        (12.0, {}, 12.0),
        ("12 um", {"pixel_size_um": None, "crop": None}, 12.0),
        ("12 um", {"pixel_size_um": 0.25, "crop": None}, 24.0),
        ("12 um", {"pixel_size_um": 0.25, "crop": {"height": 80, "width": 90}}, 48.0),
    ],
)
def test_diameter_that_is_given_is_in_pixels_after_crop_and_resize(asked, scale, pixels):
    item = Item(field())
    settings = MANUAL | {"diameter": asked} | ({"scale": scale} if scale else {})
    threshold.compute(item, settings)
    assert item.facts["diameter"] == pytest.approx(pixels, rel=1e-12)


def test_micrometres_of_an_image_without_pixel_size_fail_it_in_a_sentence():
    settings = MANUAL | {"diameter": "12 um", "scale": {"pixel_size_um": None, "crop": None}}
    with pytest.raises(ImageError, match="set pixel_size_um, or give pixels"):
        threshold.compute(Item(field(), stated=None), settings)


def test_image_without_nuclei_has_no_diameter_and_no_threshold():
    item = Item(np.zeros((20, 30), np.uint8))
    threshold.compute(item, MANUAL | {"diameter": "auto"})
    assert item.facts == {"diameter": 0.0, "threshold": None}


@pytest.mark.parametrize("name", ["otsu", "clear_border"])
def test_equal_to_scikit_image(name):
    rng = np.random.default_rng(3)
    for size in ((40, 50), (1, 9), (6, 1)):
        image = rng.gamma(2, 20, size).astype(np.float32)
        if name == "otsu":
            counts, values = threshold.fine_histogram(image)
            wanted = threshold_otsu(hist=(counts, values))
            assert threshold.otsu_class(counts, values) == wanted
        else:
            mask = (image > np.quantile(image, 0.7)).astype(np.uint8) * np.uint8(255)
            np.testing.assert_array_equal(
                threshold.without_border_objects(mask), clear_border(mask)
            )
