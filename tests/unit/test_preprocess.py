"""Stage 1: every filter against its library, for every type of image."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.restoration import rolling_ball

import preprocess
from nucleiflow import settings
from nucleiflow.field import Field, File, View, channel_names, open_field
from nucleiflow.images import ImageError
from nucleiflow.readers import Channel
from simulate import simulate

RNG = np.random.default_rng(3)
WORKING = [np.uint8, np.uint16, np.float32]
OPTIONS = {
    "gaussian": {"sigma": 1.5, "kernel": None},
    "median": {"kernel": 3},
    "bilateral": {"diameter": 5, "sigma_color": 30.0, "sigma_space": 2.0},
    "nlmeans": {"h": 10.0, "template_window": 3, "search_window": 7},
    "none": {},
}
NOTHING = {"method": "none", "options": {}}


def noisy(dtype, shape=(40, 50)):
    """A bright square on a darker ground, with noise."""
    image = RNG.normal(50, 8, shape)
    image[10:30, 10:30] += 120
    scale = {np.uint16: 20, np.float32: 3.3}.get(dtype, 1)
    return (np.clip(image, 0, 255) * scale).astype(dtype)


def run(image, method, options=None):
    denoise = {"method": method, "options": OPTIONS[method] if options is None else options}
    return preprocess.preprocess(image, denoise, NOTHING, False)


def opened(stack, stated=None, planes=None, **view):
    """A field of a (C, Z, Y, X) array."""
    stated = stated or (Channel(),) * len(stack)
    planes = planes or (tuple(range(stack.shape[1])),) * len(stack)
    return Field(
        channel_names(stated),
        stated,
        planes,
        *stack.shape[2:],
        stack.dtype,
        0.325,
        "OME",
        View(**view),
        lambda channel, z: stack[channel, planes[channel].index(z)],
    )


def compute(field, method, options=None, background=NOTHING, log=False, combine=None):
    """What the stage makes of a field, and what it notes."""
    options = OPTIONS[method] if options is None else options
    steps = {
        "combine": combine,
        "denoise": {"method": method, "options": options},
        "background": background,
        "log": log,
    }
    item = SimpleNamespace(field=lambda view: nullcontext(field), facts={}, record={})
    products = preprocess.compute(item, steps | {"view": {"z": field.view.z}})
    return products["channel"], products["preprocessed"], item.facts


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize(
    ("sigma", "kernel", "theirs"),
    [(1.5, None, ((0, 0), 1.5)), (None, 5, ((5, 5), 0)), (2.0, 7, ((7, 7), 2.0))],
)
def test_gaussian_is_opencvs(dtype, sigma, kernel, theirs):
    image = noisy(dtype)
    ours = run(image, "gaussian", {"sigma": sigma, "kernel": kernel})
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, cv2.GaussianBlur(image, *theirs))


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("kernel", [3, 5, 7, 11])
def test_median_is_that_of_the_window(dtype, kernel):
    image = noisy(dtype)
    ours = run(image, "median", {"kernel": kernel})
    assert ours.dtype == dtype
    expected = ndimage.median_filter(image, kernel, mode="nearest")
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_bilateral_is_opencvs(dtype):
    image = noisy(dtype)
    ours = run(image, "bilateral")
    np.testing.assert_array_equal(ours, cv2.bilateralFilter(image, 5, 30.0, 2.0))


def test_bilateral_of_16_bit_is_that_of_the_same_numbers_as_floats():
    image = noisy(np.uint16)
    ours = run(image, "bilateral")
    assert ours.dtype == np.uint16
    expected = cv2.bilateralFilter(image.astype(np.float32), 5, 30.0, 2.0)
    np.testing.assert_array_equal(ours, np.rint(expected))


def test_nlmeans_of_8_bit_is_opencvs():
    image = noisy(np.uint8)
    ours = run(image, "nlmeans")
    np.testing.assert_array_equal(ours, cv2.fastNlMeansDenoising(image, None, 10.0, 3, 7))


def test_nlmeans_of_16_bit_is_opencvs_with_absolute_differences():
    image = noisy(np.uint16)
    ours = run(image, "nlmeans", {"h": 200.0, "template_window": 3, "search_window": 7})
    assert ours.dtype == np.uint16
    expected = cv2.fastNlMeansDenoising(image, [200.0], None, 3, 7, cv2.NORM_L1)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("dtype", WORKING)
def test_nlmeans_takes_away_noise_and_keeps_the_edge(dtype):
    image = noisy(dtype)
    unit = {np.uint8: 1.0, np.uint16: 20.0, np.float32: 3.3}[dtype]
    ours = run(image, "nlmeans", {"h": 25 * unit, "template_window": 3, "search_window": 15})
    flat = (slice(13, 27), slice(13, 27))
    assert ours.dtype == dtype
    assert ours[flat].std() < image[flat].std() / 3
    assert abs(float(ours[flat].mean()) - float(image[flat].mean())) < 3 * unit
    assert ours[20, 10] - float(ours[20, 9]) > 80 * unit


def test_nlmeans_of_floats_does_not_depend_on_their_offset():
    image = noisy(np.float32)
    options = {"h": 60.0, "template_window": 3, "search_window": 7}
    ours = run(image, "nlmeans", options)
    shifted = run(image - np.float32(1000), "nlmeans", options)
    np.testing.assert_allclose(shifted + 1000, ours, atol=0.1)


@pytest.mark.parametrize("dtype", WORKING)
def test_none_is_the_image_itself(dtype):
    image = noisy(dtype)
    np.testing.assert_array_equal(run(image, "none"), image)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "float64"])
@pytest.mark.parametrize("method", OPTIONS)
def test_other_types_become_float32_and_the_raw_channel_keeps_its_own(dtype, method):
    image = (noisy(np.uint8) // 3).astype(dtype)
    raw, ours, _ = compute(opened(image[None, None]), method)
    assert (raw.dtype, ours.dtype) == (np.dtype(dtype), np.float32)
    np.testing.assert_array_equal(raw, image)
    expected = run(image.astype(np.float32), method)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("method", OPTIONS)
def test_input_and_raw_channel_stay_as_they_were(dtype, method):
    image = noisy(dtype)
    before = image.copy()
    raw, _, _ = compute(opened(image[None, None]), method)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(raw, before)


def test_raw_channel_is_cropped_and_resized_as_the_preprocessed_one():
    image = noisy(np.uint16)
    crop = {"x": 5, "y": 4, "width": 40, "height": 30}
    raw, ours, facts = compute(
        opened(image[None, None], crop=crop, resize={"width": 20}), "gaussian"
    )
    expected = cv2.resize(image[4:34, 5:45].copy(), (20, 15), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(raw, expected)
    np.testing.assert_array_equal(ours, cv2.GaussianBlur(expected, (0, 0), 1.5))
    # The size of the file's pixels is that of the file.
    assert (facts["height"], facts["width"]) == (40, 50)


@pytest.mark.parametrize(
    ("method", "options", "size", "key"),
    [
        ("gaussian", {"sigma": None, "kernel": 41}, 41, "gaussian.kernel"),
        ("median", {"kernel": 41}, 41, "median.kernel"),
        ("bilateral", OPTIONS["bilateral"] | {"diameter": 41}, 41, "bilateral.diameter"),
        ("nlmeans", OPTIONS["nlmeans"] | {"template_window": 41}, 41, "nlmeans.template_window"),
    ],
)
def test_kernel_larger_than_the_image_is_refused(method, options, size, key):
    with pytest.raises(ImageError) as caught:
        run(noisy(np.uint8), method, options)
    assert str(caught.value) == (
        f"a kernel of {size} pixels is larger than the image of 50 x 40: "
        f"make preprocess.denoise.{key} smaller"
    )


@pytest.mark.parametrize("dtype", [*WORKING, np.int32, np.float64])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gaussian", {"sigma": 1.0, "kernel": None}),
        ("gaussian", {"sigma": None, "kernel": 1}),
        ("bilateral", OPTIONS["bilateral"] | {"diameter": 1}),
        ("nlmeans", OPTIONS["nlmeans"] | {"template_window": 1}),
        ("none", {}),
    ],
)
def test_single_pixel_keeps_its_value(dtype, method, options):
    ours = run(np.array([[9]], dtype), method, options)
    np.testing.assert_allclose(ours, [[9]], rtol=1e-6)


def test_window_larger_than_a_single_pixel_is_refused():
    with pytest.raises(ImageError, match="a kernel of 3 pixels is larger than the image of 1 x 1"):
        run(np.array([[9]], np.uint8), "median")


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("value", [0, 7, 255])
@pytest.mark.parametrize("method", OPTIONS)
def test_constant_image_stays_constant(dtype, value, method):
    ours = run(np.full((20, 20), value, dtype), method)
    np.testing.assert_allclose(ours, value, rtol=1e-6)


def test_image_whose_memory_is_not_in_one_piece_is_taken():
    image = noisy(np.uint8, (80, 100))[::2, ::2]
    expected = run(image.copy(), "median")
    np.testing.assert_array_equal(run(image, "median"), expected)


# A time series

MULTI = {"frames": 3, "h": 20.0, "template_window": 3, "search_window": 7}


def series(dtype, times):
    """The same scene in several times, each with its own noise."""
    return [noisy(dtype) for _ in range(times)]


@pytest.mark.parametrize(
    ("time", "times", "frames", "window"),
    [
        (2, 5, 3, [1, 2, 3]),
        (2, 5, 5, [0, 1, 2, 3, 4]),
        # Shifted at the ends; the time itself stays in the middle.
        (0, 5, 3, [1, 0, 2]),
        (4, 5, 3, [2, 4, 3]),
        (1, 6, 5, [0, 2, 1, 3, 4]),
        (5, 6, 5, [1, 2, 5, 3, 4]),
        (0, 3, 3, [1, 0, 2]),
    ],
)
def test_neighbours_of_a_time(time, times, frames, window):
    assert preprocess.neighbours(time, times, frames) == window


@pytest.mark.parametrize(
    ("times", "frames", "end"),
    [
        (1, 3, "one time: set preprocess.denoise.method to nlmeans"),
        (2, 3, "2 times: set preprocess.denoise.method to nlmeans"),
        (
            4,
            5,
            "4 times: set preprocess.denoise.method to nlmeans, or make "
            "preprocess.denoise.nlmeans_multi.frames smaller",
        ),
    ],
)
def test_series_that_is_too_short_is_refused(times, frames, end):
    with pytest.raises(ImageError) as caught:
        preprocess.neighbours(0, times, frames)
    assert str(caught.value) == (
        f"nlmeans_multi compares {frames} times of a series in one file, which has {end}"
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nlmeans_multi_is_opencvs_whatever_the_order_of_the_neighbours(dtype):
    images = series(dtype, 5)
    strength = [20.0 if dtype == np.uint8 else 400.0]
    norm = [cv2.NORM_L2 if dtype == np.uint8 else cv2.NORM_L1]
    expected = cv2.fastNlMeansDenoisingMulti(images, 2, 5, strength, None, 3, 7, *norm)
    assert (expected != images[2]).mean() > 0.9
    for order in ([0, 1, 2, 3, 4], [4, 0, 2, 1, 3]):
        ours = preprocess.nlmeans_multi([images[i] for i in order], 5, strength[0], 3, 7)
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours, expected)


def test_nlmeans_multi_of_floats_is_that_of_16_bits_between_their_extremes():
    images = series(np.float32, 3)
    low, high = min(map(np.min, images)), max(map(np.max, images))
    scale = 65535 / (float(high) - float(low))
    integers = [np.rint((image - low) * scale).astype(np.uint16) for image in images]
    expected = preprocess.nlmeans_multi(integers, 3, 60.0 * scale, 3, 7) / scale + low
    ours = preprocess.nlmeans_multi(images, 3, 60.0, 3, 7)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=1.5 / scale)


@pytest.mark.parametrize("dtype", WORKING)
def test_neighbours_in_time_take_away_more_noise_than_one_image_has_to_offer(dtype):
    unit = {np.uint8: 1.0, np.uint16: 20.0, np.float32: 3.3}[dtype]
    images = series(dtype, 5)
    flat = (slice(13, 27), slice(13, 27))
    options = {"h": 25 * unit, "template_window": 3, "search_window": 5}
    alone = run(images[2], "nlmeans", options)[flat].std()
    together = preprocess.nlmeans_multi(images, 5, **options)[flat].std()
    assert together < 0.65 * alone < 0.65 * images[2][flat].std() / 2


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize(("value", "shape"), [(0, (9, 12)), (255, (9, 12)), (9, (1, 1))])
def test_nlmeans_multi_of_a_constant_series_is_the_same(dtype, value, shape):
    images = [np.full(shape, value, dtype)] * 3
    ours = preprocess.nlmeans_multi(images, **MULTI | {"template_window": 1})
    np.testing.assert_array_equal(ours, images[0])
    assert ours.dtype == dtype


def test_nlmeans_multi_with_patches_larger_than_the_image_is_refused():
    with pytest.raises(ImageError, match=r"than the image of 2 x 2: make .*nlmeans_multi\.templ"):
        preprocess.nlmeans_multi([np.zeros((2, 2), np.uint8)] * 3, **MULTI)


# Background


BALLS = {
    "rolling_ball": {"radius": 5},
    "tophat": {"radius": 5},
    "gaussian": {"sigma": 4.0},
    "constant": {"value": None},
    "none": {},
}
LARGE = {"rolling_ball": {"radius": 25}, "tophat": {"radius": 25}, "gaussian": {"sigma": 30.0}}


def without(image, method, options=None):
    options = BALLS[method] if options is None else options
    before = image.copy()
    result = preprocess.finish(image, {"method": method, "options": options}, False)
    np.testing.assert_array_equal(image, before)
    assert result.dtype == image.dtype
    return result


@pytest.fixture(scope="module")
def uneven():
    """Simulated nuclei, 16-bit, on ground that is 600 brighter at the right; slightly blurred."""
    image = simulate(4, (300, 403))[0]
    return cv2.GaussianBlur(image + np.linspace(0, 600, 403).astype(np.uint16), (0, 0), 1)


def types_of(image):
    """The same picture in each type, over the range of the smallest."""
    reduced = (image / (image.max() / 255)).astype(np.uint8)
    return [reduced, image, (image / 1000).astype(np.float32)]


def test_every_background_of_the_schema_is_a_function_with_its_options_and_no_other(schema):
    group = schema["properties"]["preprocess"]["properties"]["background"]["properties"]
    assert set(group["method"]["enum"]) == set(preprocess.BACKGROUNDS)
    for method, function in preprocess.BACKGROUNDS.items():
        code = function.__code__
        arguments = set(code.co_varnames[: code.co_argcount]) - {"image"}
        assert arguments == set(group.get(method, {}).get("properties", {})), method


@pytest.mark.parametrize("radius", [1, 4, 10])
def test_small_balls_are_scikit_images(uneven, radius):
    for image in types_of(uneven[:90, :110])[:2]:
        expected = image - rolling_ball(image, radius=radius)
        np.testing.assert_array_equal(without(image, "rolling_ball", {"radius": radius}), expected)


@pytest.mark.parametrize(("radius", "largest"), [(11, 0.2), (25, 0.02), (50, 0.01)])
def test_large_balls_are_scikit_images_but_for_a_thousandth_of_the_range(uneven, radius, largest):
    # Where a nucleus is as large as the ball, it depends on a pixel whether the ball fits in.
    for image in types_of(uneven)[:2]:
        exact = image - rolling_ball(image, radius=radius)
        ours = without(image, "rolling_ball", {"radius": radius})
        difference = np.abs(ours.astype(float) - exact) / (float(image.max()) - image.min())
        assert difference.mean() < 0.001
        assert difference.max() < largest


@pytest.mark.parametrize("radius", [8, 25])
@pytest.mark.parametrize(("unit", "offset"), [(1.0, 0), (1e-4, 0), (1e-4, -30), (1e5, 7)])
def test_balls_under_floats_do_not_depend_on_their_unit(uneven, radius, unit, offset):
    full = uneven.astype(np.float64) - uneven.min()
    full *= 65535 / full.max()
    exact = full - rolling_ball(full, radius=radius)
    image = (full * unit + offset).astype(np.float32)
    ours = without(image, "rolling_ball", {"radius": radius}) / unit
    difference = np.abs(ours - exact) / 65535
    assert difference.mean() < (1e-3 if radius > 10 else 1e-4)


def test_ball_under_a_plane_touches_it_everywhere():
    # Away from the edges, and by less than the plane falls on the way to the ball's foot.
    plane = np.broadcast_to(np.arange(200, dtype=np.uint16) * 2 + 100, (150, 200))
    left = without(np.ascontiguousarray(plane), "rolling_ball", {"radius": 30})
    # On a slope of 2 the ball of radius 30 stands 30 (sqrt(1 + 2 ** 2) - 1) = 37 below.
    assert abs(left[40:110, 40:160].astype(float) - 37).max() <= 6


@pytest.mark.parametrize("radius", [1, 10, 11, 25, 60, 250])
def test_tophat_of_every_size_is_opencvs(uneven, radius):
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    for image in types_of(uneven[:120, :170]):
        expected = cv2.morphologyEx(image, cv2.MORPH_TOPHAT, disc)
        np.testing.assert_array_equal(without(image, "tophat", {"radius": radius}), expected)


def test_tophat_of_negative_floats_is_opencvs(uneven):
    image = -(uneven / 100).astype(np.float32)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (41, 41))
    expected = cv2.morphologyEx(image, cv2.MORPH_TOPHAT, disc)
    np.testing.assert_array_equal(without(image, "tophat", {"radius": 20}), expected)


@pytest.mark.parametrize("sigma", [0.5, 3.0, 15.9])
def test_small_gaussian_background_is_opencvs(uneven, sigma):
    for image in types_of(uneven):
        blurred = cv2.GaussianBlur(image, (0, 0), sigma)
        expected = np.where(image > blurred, image - blurred, 0)
        np.testing.assert_array_equal(without(image, "gaussian", {"sigma": sigma}), expected)


@pytest.mark.parametrize("sigma", [16.0, 30.0, 100.0])
def test_large_gaussian_background_is_opencvs_but_for_a_ten_thousandth_of_the_range(uneven, sigma):
    for image in types_of(uneven):
        exact = np.maximum(image - cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma), 0)
        ours = without(image, "gaussian", {"sigma": sigma})
        rounding = 0.25 if image.dtype != np.float32 else 0.0
        difference, span = np.abs(ours - exact), float(image.max()) - image.min()
        assert difference.mean() < rounding + 1e-4 * span
        assert difference.max() < 2 * rounding + 0.005 * span


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, [0, 0, 3, 193]), (0.0, [0, 5, 10, 200]), (200, [0, 0, 0, 0]), (1e6, [0, 0, 0, 0])],
)
def test_constant_background_is_subtracted_and_nothing_is_below_0(dtype, value, expected):
    image = np.array([[0, 5, 10, 200]], dtype)
    assert without(image, "constant", {"value": value}).tolist() == [expected]


@pytest.mark.parametrize("dtype", WORKING)
def test_constant_background_of_integers_is_rounded(dtype):
    left = without(np.array([[10]], dtype), "constant", {"value": 6.7})
    assert left[0, 0] == pytest.approx(3.3 if dtype == np.float32 else 3)


@pytest.mark.parametrize("dtype", WORKING)
def test_constant_background_that_is_not_given_is_the_5th_percentile(dtype):
    # 100 values from 20 to 119: 5 of them are below 25, the highest of those is 24.
    image = RNG.permutation(np.arange(20, 120)).reshape(10, 10).astype(dtype)
    np.testing.assert_array_equal(without(image, "constant"), np.maximum(image, 24) - 24)


@pytest.mark.parametrize("method", ["rolling_ball", "tophat", "gaussian", "constant"])
def test_uneven_ground_becomes_even_and_nuclei_stay(method):
    # 600 more at the right than at the left, a nucleus of 1000 more than that at either side.
    ground = np.round(np.linspace(200, 800, 400))
    image = np.tile(ground, (200, 1)).astype(np.uint16)
    nuclei = np.zeros(image.shape, bool)
    for x in (100, 300):
        nuclei |= np.hypot(*np.ogrid[-100:100, -x : 400 - x]) < 10
    image[nuclei] += 1000
    options = {"radius": 40} if method in ("rolling_ball", "tophat") else BALLS[method]
    left = without(image, method, {"sigma": 40.0} if method == "gaussian" else options)
    inner = (slice(50, -50), slice(50, -50))
    outside = left[inner][~nuclei[inner]]
    # A percentile, 229, leaves all that the ground rises.
    tilt = {"constant": 470, "tophat": 75, "rolling_ball": 75, "gaussian": 45}
    assert int(outside.max()) - int(outside.min()) <= tilt[method]
    assert (left[100, 100], left[100, 300]) > (850, 850)


@pytest.mark.parametrize("method", ["tophat", "gaussian"])
def test_background_does_not_depend_on_the_type(uneven, method):
    # Floats that are integers give what the integers give, up to their rounding.
    floats = without(uneven.astype(np.float32), method, LARGE[method])
    assert np.abs(floats - without(uneven, method, LARGE[method])).max() <= 1.01


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("method", BALLS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (4, 1), (7, 200)])
def test_background_of_images_of_every_shape(dtype, large, method, shape):
    options = LARGE.get(method, BALLS[method]) if large else BALLS[method]
    top = {np.uint8: 255, np.uint16: 65535, np.float32: 1e6}[dtype]
    for value in (0, 1, top):
        expected = value if method == "none" else 0
        left = without(np.full(shape, value, dtype), method, options)
        assert left.shape == shape
        assert np.abs(left - dtype(expected)).max() <= 1e-6 * top * (dtype == np.float32)
    image = (RNG.random(shape) * top).astype(dtype)
    left = without(image, method, options)
    assert left.min() >= 0
    assert (left <= image).all()


# The logarithm


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        # 255 log2(1 + x) / 8
        (np.uint8, [0, 1, 3, 7, 15, 63, 255], [0, 32, 64, 96, 128, 191, 255]),
        # 4080 log2(1 + 255 x / 4080) / 8 = 510 log2(1 + x / 16)
        (np.uint16, [0, 16, 48, 112, 1008, 4080], [0, 510, 1020, 1530, 3060, 4080]),
        # log2(1 + 255 x) / 8
        (np.float32, [0, 1 / 255, 3 / 255, 31 / 255, 1], [0, 0.125, 0.25, 0.625, 1]),
        # 51 log2(1 + 5 x) / 8
        (np.float32, [-1000, -1e-3, 0, 0.2, 0.6, 51], [0, 0, 0, 6.375, 12.75, 51]),
    ],
)
def test_logarithm_of_hand_computed_values(dtype, values, expected):
    image = np.array([values], dtype)
    ours = preprocess.logarithm(image)
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, [expected], rtol=1e-6)
    np.testing.assert_array_equal(image, np.array([values], dtype))


@pytest.mark.parametrize("dtype", WORKING)
def test_logarithm_is_monotone_and_keeps_0_and_the_largest_value(dtype):
    top = {np.uint8: 251, np.uint16: 65535, np.float32: 1.7e-3}[dtype]
    image = np.linspace(0, top, 70_000).astype(dtype).reshape(200, 350)
    ours = preprocess.logarithm(image)
    assert (ours[0, 0], ours[-1, -1]) == (0, image[-1, -1])
    assert (np.diff(ours.ravel().astype(np.float64)) >= 0).all()
    assert (ours >= image).all()


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize(("value", "shape"), [(0, (5, 6)), (200, (5, 6)), (9, (1, 1))])
def test_logarithm_of_a_constant_image_is_the_image(dtype, value, shape):
    image = np.full(shape, value, dtype)
    np.testing.assert_array_equal(preprocess.logarithm(image), image)


def test_logarithm_of_nothing_but_negative_values_is_0():
    np.testing.assert_array_equal(preprocess.logarithm(np.float32([[-3, -1]])), [[0, 0]])


def test_logarithm_does_not_depend_on_the_unit():
    image = noisy(np.uint16)
    floats = preprocess.logarithm((image / 4000).astype(np.float32))
    np.testing.assert_allclose(floats * 4000, preprocess.logarithm(image), atol=0.51)


def test_logarithm_brings_a_dim_nucleus_above_the_threshold_of_otsu():
    image = np.full((60, 120), 20, np.uint8)
    image[20:40, 20:40], image[20:40, 80:100] = 250, 60
    level = cv2.threshold(image, 0, 255, cv2.THRESH_OTSU)[0]
    assert image[30, 90] <= level
    ours = preprocess.logarithm(image)
    level = cv2.threshold(ours, 0, 255, cv2.THRESH_OTSU)[0]
    assert ours[10, 10] <= level < ours[30, 90]


# Several channels


@pytest.mark.parametrize(
    ("dtype", "weights", "expected"),
    [
        (np.uint8, (1, 1), [30, 255, 255]),
        (np.uint8, (1, -0.25), [5, 50, 237]),
        (np.uint8, (0.5, 0.25), [10, 100, 146]),
        (np.uint8, (0, 0), [0, 0, 0]),
        (np.uint8, (-1, 0), [0, 0, 0]),
        (np.uint16, (1, 1), [30, 300, 328]),
        (np.uint16, (300, 0), [3000, 30000, 65535]),
        (np.float32, (1, -1), [-10, -100, 182]),
        (np.int16, (1, -1), [-10, -100, 182]),
    ],
)
def test_weighted_sum_of_hand_computed_values(dtype, weights, expected):
    # 255 - 0.25 * 73 = 236.75, 0.5 * 255 + 0.25 * 73 = 145.75
    channels = np.array([[[10, 100, 255]], [[20, 200, 73]]], np.int64).astype(dtype)
    before = channels.copy()
    ours = preprocess.weighted_sum(zip(channels, weights, strict=True))
    assert ours.tolist() == [expected]
    assert ours.dtype == (dtype if dtype in (np.uint8, np.uint16) else np.float32)
    np.testing.assert_array_equal(channels, before)


def test_weighted_sum_of_two_types_has_the_larger_one():
    channels = [(np.uint8([[200]]), 1.0), (np.uint16([[5000]]), 1.0)]
    ours = preprocess.weighted_sum(channels)
    assert (ours.tolist(), ours.dtype) == ([[5200]], np.uint16)


# The whole stage

COLORED = {"h": 15.0, "h_color": 15.0, "template_window": 7, "search_window": 21}
RGB = tuple(Channel(color, color) for color in ("red", "green", "blue"))


def colored(*images):
    return np.stack(images)[:, None]


@pytest.mark.parametrize(
    "field",
    [
        opened(colored(noisy(np.uint8))),
        opened(colored(*[noisy(np.uint16)] * 3), RGB),
        opened(np.zeros((3, 1, 20, 20), np.uint8)),
    ],
    ids=["grey", "16-bit", "three channels"],
)
def test_nlmeans_colored_takes_8_bit_rgb_only(field):
    with pytest.raises(ImageError) as caught:
        compute(field, "nlmeans_colored", COLORED)
    assert str(caught.value) == (
        "nlmeans_colored needs an 8-bit RGB image: set preprocess.denoise.method to nlmeans"
    )


def test_nlmeans_colored_uses_red_green_and_blue_by_name():
    stack = colored(noisy(np.uint8), noisy(np.uint8) // 2, noisy(np.uint8) // 3)
    bgr = np.dstack([stack[2, 0], stack[1, 0], stack[0, 0]])
    expected = cv2.fastNlMeansDenoisingColored(bgr, None, 15.0, 15.0, 7, 21)
    for index, name in enumerate(("blue", "green", "red")):
        field = opened(stack, RGB, segment=name)
        raw, ours, facts = compute(field, "nlmeans_colored", COLORED)
        np.testing.assert_array_equal(ours, expected[..., index])
        np.testing.assert_array_equal(raw, stack[2 - index, 0])
        assert (facts["segmented"], facts["segmented_index"]) == (name, 2 - index)


def test_nlmeans_colored_with_patches_larger_than_the_image_is_refused():
    with pytest.raises(ImageError) as caught:
        compute(opened(np.zeros((3, 1, 5, 9), np.uint8), RGB), "nlmeans_colored", COLORED)
    assert str(caught.value) == (
        "a kernel of 7 pixels is larger than the image of 9 x 5: "
        "make preprocess.denoise.nlmeans_colored.template_window smaller"
    )


def test_stage_notes_what_the_tables_say_of_an_image():
    stack = np.stack([np.stack([noisy(np.uint16)] * 3)] * 2)
    field = opened(stack, (Channel("GFP"), Channel("DAPI 405")), ((0, 1, 2), (4, 5, 6)))
    raw, _, facts = compute(field, "none")
    assert facts == {
        **{"height": 40, "width": 50, "dtype": "uint16", "channels": "GFP;DAPI_405"},
        **{"segmented": "DAPI_405", "segmented_index": 1, "planes": 3},
        **{"stated_pixel_size_um": 0.325, "stated_pixel_size_source": "OME"},
    }
    np.testing.assert_array_equal(raw, stack[1, 0])


def test_focus_takes_and_notes_the_sharpest_plane_of_the_segmented_channel():
    sharp, blurred = noisy(np.uint16), cv2.GaussianBlur(noisy(np.uint16), (0, 0), 3)
    stack = np.stack([[sharp, blurred, blurred], [blurred, blurred, sharp]])
    planes = ((7, 8, 9), (7, 8, 9))
    field = opened(stack, (Channel("GFP"), Channel("DAPI")), planes, z="focus")
    raw, _, facts = compute(field, "none")
    np.testing.assert_array_equal(raw, sharp)
    assert (facts["segmented"], facts["plane"]) == ("DAPI", 9)


def test_colours_in_focus_are_those_of_the_plane_of_the_segmented_channel():
    sharp, blurred = noisy(np.uint8), cv2.GaussianBlur(noisy(np.uint8), (0, 0), 3)
    stack = np.stack([[sharp, blurred], [sharp, blurred], [blurred, sharp]])
    field = opened(stack, RGB, z="focus", segment="blue")
    _, ours, facts = compute(field, "nlmeans_colored", COLORED)
    expected = preprocess.nlmeans_colored(np.dstack([blurred, blurred, sharp]), **COLORED)
    np.testing.assert_array_equal(ours, expected[..., 2])
    assert facts["plane"] == 1


@pytest.mark.parametrize(("z", "dtype"), [("max", "uint16"), ("sum", "uint32"), (1, "uint16")])
def test_projection_is_the_raw_channel(z, dtype):
    stack = np.stack([noisy(np.uint16), noisy(np.uint16)])
    expected = {"max": stack.max(axis=0), "sum": stack.sum(axis=0), 1: stack[1]}[z]
    raw, ours, facts = compute(opened(stack[None], z=z), "none")
    np.testing.assert_array_equal(raw, expected)
    assert raw.dtype == dtype
    np.testing.assert_array_equal(ours, expected)
    assert ours.dtype == ("float32" if z == "sum" else "uint16")
    assert "plane" not in facts


def test_time_series_is_denoised_with_its_neighbours():
    images = series(np.uint16, 4)
    options = MULTI | {"h": 400.0}
    for time, others in ((0, [1, 2]), (1, [0, 2]), (2, [1, 3]), (3, [1, 2])):
        field = replace(
            opened(images[time][None, None]),
            **{"time": time, "times": 4, "load_at": lambda time, channel, z: images[time]},
        )
        raw, ours, _ = compute(field, "nlmeans_multi", options)
        window = [images[others[0]], images[time], images[others[1]]]
        expected = cv2.fastNlMeansDenoisingMulti(window, 1, 3, [400.0], None, 3, 7, cv2.NORM_L1)
        np.testing.assert_array_equal(raw, images[time])
        np.testing.assert_array_equal(ours, expected)


def test_image_without_times_before_and_after_is_refused_by_nlmeans_multi():
    with pytest.raises(ImageError, match="of a series in one file, which has one time: set prep"):
        compute(opened(noisy(np.uint8)[None, None]), "nlmeans_multi", MULTI)


def test_denoising_comes_before_the_background_and_the_logarithm_last():
    image = noisy(np.uint16)
    background = {"method": "tophat", "options": {"radius": 15}}
    raw, ours, _ = compute(opened(image[None, None]), "gaussian", None, background, log=True)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (31, 31))
    blurred = cv2.GaussianBlur(image, (0, 0), 1.5)
    expected = cv2.morphologyEx(blurred, cv2.MORPH_TOPHAT, disc)
    np.testing.assert_array_equal(raw, image)
    np.testing.assert_array_equal(ours, preprocess.logarithm(expected))


@pytest.mark.parametrize("method", ["nlmeans_colored", "nlmeans_multi"])
def test_background_and_logarithm_follow_every_denoiser(method):
    image = noisy(np.uint8)
    field = replace(
        opened(colored(image, image, image), RGB, segment="blue"),
        **{"times": 3, "load_at": lambda time, channel, z: image},
    )
    options = {"nlmeans_colored": COLORED, "nlmeans_multi": MULTI}[method]
    _, denoised, _ = compute(field, method, options)
    background = {"method": "constant", "options": {"value": 40}}
    _, ours, _ = compute(field, method, options, background, log=True)
    expected = preprocess.logarithm(np.maximum(denoised, 40) - 40)
    np.testing.assert_array_equal(ours, expected)


STAINS = (Channel("DAPI"), Channel("GFP"), Channel("RFP"))


def test_nuclei_are_found_in_the_sum_of_the_channels_that_are_named():
    stack = np.stack([noisy(np.uint16) for _ in STAINS])[:, None]
    raw, ours, facts = compute(opened(stack, STAINS), "none", combine={"2": -0.5, "dapi": 1.0})
    expected = np.rint(stack[0, 0] - 0.5 * stack[2, 0]).clip(0)
    np.testing.assert_array_equal(raw, expected)
    np.testing.assert_array_equal(ours, expected)
    assert (raw.dtype, facts["segmented"], facts["channels"]) == (np.uint16, "DAPI", "DAPI;GFP;RFP")


@pytest.mark.parametrize(
    ("names", "segment", "shown"),
    [
        (("DAPI", "GFP", "RFP"), "auto", "DAPI"),
        (("DAPI", "GFP", "RFP"), "GFP", "GFP"),
        # Nobody says which one has the nuclei: the one that counts most.
        (("CFP", "GFP", "RFP"), "auto", "RFP"),
    ],
)
def test_pictures_of_combined_channels_show_one_of_them(names, segment, shown):
    stack = np.stack([noisy(np.uint16) for _ in names])[:, None]
    field = opened(stack, tuple(map(Channel, names)), segment=segment)
    assert compute(field, "none", combine={"1": 0.5, "2": 1.0})[2]["segmented"] == shown


@pytest.mark.parametrize(
    ("combine", "sentence"),
    [
        (
            {"DAPI": 1.0, "Cy5": 1.0},
            "there is no channel Cy5, the image has DAPI, GFP, RFP: change preprocess.combine",
        ),
        (
            {"0": 1.0, "DAPI": 1.0},
            "preprocess.combine names channel DAPI twice: leave out one of 0, DAPI",
        ),
    ],
)
def test_channels_that_are_not_there_or_named_twice_are_refused(combine, sentence):
    with pytest.raises(ImageError) as caught:
        compute(opened(np.ones((3, 1, 5, 5), np.uint8), STAINS), "none", combine=combine)
    assert str(caught.value) == sentence


def test_weights_may_be_given_by_numbers_in_any_order_and_as_texts(schema):
    def loaded(weights):
        section = settings.load({"preprocess": {"combine": weights}}, schema)["preprocess"]
        return repr(section["combine"])

    assert loaded({1: -1, "DAPI": 1}) == loaded({"DAPI": "1.0", "1": -1.0})
    assert loaded({1: -1, "DAPI": 1}) == "{'1': -1.0, 'DAPI': 1.0}"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ({"DAPI": "much"}, 'combine.DAPI is "much", must be a number'),
        ({}, "combine is {}, must be"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(schema, text, key):
    with pytest.raises(settings.ConfigError) as caught:
        settings.load({"preprocess": {"combine": text}}, schema)
    assert str(caught.value).startswith(f"config: preprocess.{key}")


def clown(data, **keys):
    """Stage preprocess of the workshop's clown, without denoising."""
    folder = data / "workshop"
    with open_field(folder, [File("clown.png")], View(segment="blue")) as field:
        return compute(field, "none", **keys)[1]


def test_channels_of_the_workshop_are_split_merged_and_masked(data):
    picture = cv2.imread(str(data / "workshop/clown.png"))
    split = {name: clown(data, combine={name: 1.0}) for name in ("red", "green", "blue")}
    assert [int(split[name][100, 50]) for name in split] == [184, 35, 15]
    np.testing.assert_array_equal(cv2.merge(list(split.values())[::-1]), picture)
    # Red is masked: of the merged channels nothing is left of it.
    assert not clown(data, combine={"red": 0.0}).any()
    merged = clown(data, combine={"red": 0.0, "green": 1.0, "blue": 1.0})
    assert merged[100, 50] == 50
    np.testing.assert_array_equal(merged, cv2.add(picture[..., 0], picture[..., 1]))
    np.testing.assert_array_equal(merged, clown(data, combine={"green": 1.0, "blue": 1.0}))


def test_colours_are_denoised_before_they_are_combined():
    stack = colored(noisy(np.uint8), noisy(np.uint8) // 2, noisy(np.uint8) // 3)
    field = opened(stack, RGB, segment="red")
    _, ours, _ = compute(field, "nlmeans_colored", COLORED, combine={"red": 1.0, "blue": 0.5})
    denoised = preprocess.nlmeans_colored(np.dstack(list(stack[:, 0])), **COLORED)
    np.testing.assert_array_equal(
        ours, np.rint(denoised[..., 0] + denoised[..., 2] * 0.5).clip(0, 255)
    )
