"""Stage 1: every denoiser against its library, for every type of image."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

import preprocess
from nucleiflow.images import ImageError

RNG = np.random.default_rng(3)
WORKING = [np.uint8, np.uint16, np.float32]
OPTIONS = {
    "gaussian": {"sigma": 1.5, "kernel": None},
    "median": {"kernel": 3},
    "bilateral": {"diameter": 5, "sigma_color": 30.0, "sigma_space": 2.0},
    "nlmeans": {"h": 10.0, "template_window": 3, "search_window": 7},
    "none": {},
}


def noisy(dtype, shape=(40, 50)):
    """A bright square on a darker ground, with noise."""
    image = RNG.normal(50, 8, shape)
    image[10:30, 10:30] += 120
    scale = {np.uint16: 20, np.float32: 3.3}.get(dtype, 1)
    return (np.clip(image, 0, 255) * scale).astype(dtype)


def run(image, method, options=None, channel="auto", crop=None, resize=None):
    denoise = {"method": method, "options": OPTIONS[method] if options is None else options}
    return preprocess.preprocess(image, channel, crop, resize, denoise)


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize(
    ("sigma", "kernel", "theirs"),
    [(1.5, None, ((0, 0), 1.5)), (None, 5, ((5, 5), 0)), (2.0, 7, ((7, 7), 2.0))],
)
def test_gaussian_is_opencvs(dtype, sigma, kernel, theirs):
    image = noisy(dtype)
    _, ours = run(image, "gaussian", {"sigma": sigma, "kernel": kernel})
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, cv2.GaussianBlur(image, *theirs))


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("kernel", [3, 5, 7, 11])
def test_median_is_that_of_the_window(dtype, kernel):
    image = noisy(dtype)
    _, ours = run(image, "median", {"kernel": kernel})
    assert ours.dtype == dtype
    expected = ndimage.median_filter(image, kernel, mode="nearest")
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_bilateral_is_opencvs(dtype):
    image = noisy(dtype)
    _, ours = run(image, "bilateral")
    np.testing.assert_array_equal(ours, cv2.bilateralFilter(image, 5, 30.0, 2.0))


def test_bilateral_of_16_bit_is_that_of_the_same_numbers_as_floats():
    image = noisy(np.uint16)
    _, ours = run(image, "bilateral")
    assert ours.dtype == np.uint16
    expected = cv2.bilateralFilter(image.astype(np.float32), 5, 30.0, 2.0)
    np.testing.assert_array_equal(ours, np.rint(expected))


def test_nlmeans_of_8_bit_is_opencvs():
    image = noisy(np.uint8)
    _, ours = run(image, "nlmeans")
    np.testing.assert_array_equal(ours, cv2.fastNlMeansDenoising(image, None, 10.0, 3, 7))


def test_nlmeans_of_16_bit_is_opencvs_with_absolute_differences():
    image = noisy(np.uint16)
    _, ours = run(image, "nlmeans", {"h": 200.0, "template_window": 3, "search_window": 7})
    assert ours.dtype == np.uint16
    expected = cv2.fastNlMeansDenoising(image, [200.0], None, 3, 7, cv2.NORM_L1)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("dtype", WORKING)
def test_nlmeans_takes_away_noise_and_keeps_the_edge(dtype):
    image = noisy(dtype)
    unit = {np.uint8: 1.0, np.uint16: 20.0, np.float32: 3.3}[dtype]
    _, ours = run(image, "nlmeans", {"h": 25 * unit, "template_window": 3, "search_window": 15})
    flat = (slice(13, 27), slice(13, 27))
    assert ours.dtype == dtype
    assert ours[flat].std() < image[flat].std() / 3
    assert abs(float(ours[flat].mean()) - float(image[flat].mean())) < 3 * unit
    assert ours[20, 10] - float(ours[20, 9]) > 80 * unit


def test_nlmeans_of_floats_does_not_depend_on_their_offset():
    image = noisy(np.float32)
    options = {"h": 60.0, "template_window": 3, "search_window": 7}
    _, ours = run(image, "nlmeans", options)
    _, shifted = run(image - np.float32(1000), "nlmeans", options)
    np.testing.assert_allclose(shifted + 1000, ours, atol=0.1)


@pytest.mark.parametrize("dtype", WORKING)
def test_none_is_the_channel_itself(dtype):
    image = noisy(dtype)
    raw, ours = run(image, "none")
    np.testing.assert_array_equal(ours, image)
    np.testing.assert_array_equal(raw, image)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "float64"])
@pytest.mark.parametrize("method", OPTIONS)
def test_other_types_become_float32_and_the_raw_channel_keeps_its_own(dtype, method):
    image = (noisy(np.uint8) // 3).astype(dtype)
    raw, ours = run(image, method)
    assert (raw.dtype, ours.dtype) == (np.dtype(dtype), np.float32)
    np.testing.assert_array_equal(raw, image)
    _, expected = run(image.astype(np.float32), method)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("method", OPTIONS)
def test_input_and_raw_channel_stay_as_they_were(dtype, method):
    image = np.dstack([noisy(dtype), np.zeros((40, 50, 2), dtype)])
    before = image.copy()
    raw, _ = run(image, method, channel="red")
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(raw, before[..., 0])


def test_raw_channel_is_cropped_and_resized_as_the_preprocessed_one():
    image = noisy(np.uint16)
    crop = {"x": 5, "y": 4, "width": 40, "height": 30}
    raw, ours = run(image, "gaussian", crop=crop, resize={"width": 20})
    expected = cv2.resize(image[4:34, 5:45].copy(), (20, 15), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(raw, expected)
    np.testing.assert_array_equal(ours, cv2.GaussianBlur(expected, (0, 0), 1.5))


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
    raw, ours = run(np.array([[9]], dtype), method, options)
    assert raw.tolist() == [[9]]
    np.testing.assert_allclose(ours, [[9]], rtol=1e-6)


def test_window_larger_than_a_single_pixel_is_refused():
    with pytest.raises(ImageError, match="a kernel of 3 pixels is larger than the image of 1 x 1"):
        run(np.array([[9]], np.uint8), "median")


@pytest.mark.parametrize("dtype", WORKING)
@pytest.mark.parametrize("value", [0, 7, 255])
@pytest.mark.parametrize("method", OPTIONS)
def test_constant_image_stays_constant(dtype, value, method):
    _, ours = run(np.full((20, 20), value, dtype), method)
    np.testing.assert_allclose(ours, value, rtol=1e-6)


COLORED = {"h": 15.0, "h_color": 15.0, "template_window": 7, "search_window": 21}


@pytest.mark.parametrize(
    "image",
    [noisy(np.uint8), np.dstack([noisy(np.uint16)] * 3), np.zeros((20, 20, 2), np.uint8)],
    ids=["grey", "16-bit", "two channels"],
)
def test_nlmeans_colored_takes_8_bit_rgb_only(image):
    with pytest.raises(ImageError) as caught:
        run(image, "nlmeans_colored", COLORED)
    assert str(caught.value) == (
        "nlmeans_colored needs an 8-bit RGB image: set preprocess.denoise.method to nlmeans"
    )


def test_nlmeans_colored_uses_red_green_and_blue_by_name():
    image = np.dstack([noisy(np.uint8), noisy(np.uint8) // 2, noisy(np.uint8) // 3])
    bgr = np.ascontiguousarray(image[..., ::-1])
    expected = cv2.fastNlMeansDenoisingColored(bgr, None, 15.0, 15.0, 7, 21)
    for index, name in enumerate(("blue", "green", "red")):
        raw, ours = run(image, "nlmeans_colored", COLORED, channel=name)
        np.testing.assert_array_equal(ours, expected[..., index])
        np.testing.assert_array_equal(raw, image[..., 2 - index])


def test_nlmeans_colored_with_patches_larger_than_the_image_is_refused():
    with pytest.raises(ImageError) as caught:
        run(np.zeros((5, 9, 3), np.uint8), "nlmeans_colored", COLORED)
    assert str(caught.value) == (
        "a kernel of 7 pixels is larger than the image of 9 x 5: "
        "make preprocess.denoise.nlmeans_colored.template_window smaller"
    )
