"""Stage 1: every denoiser against its library, for every type of image."""

from contextlib import nullcontext
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scipy import ndimage

import preprocess
from nucleiflow.field import Field, View, channel_names
from nucleiflow.images import ImageError
from nucleiflow.readers import Channel

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


def run(image, method, options=None):
    return preprocess.preprocess(image, method, OPTIONS[method] if options is None else options)


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


def compute(field, method, options=None):
    """What the stage makes of a field, and what it notes."""
    options = OPTIONS[method] if options is None else options
    denoise = {"method": method, "options": options}
    item = SimpleNamespace(field=lambda view: nullcontext(field), facts={})
    products = preprocess.compute(item, {"denoise": denoise, "view": {"z": field.view.z}})
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
