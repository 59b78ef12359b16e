"""Crop and resize."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleiflow.geometry import cut_out
from nucleiflow.images import ImageError

RNG = np.random.default_rng(2)
GREY = RNG.integers(0, 256, (12, 18), np.uint8)
RGB = RNG.integers(0, 256, (12, 18, 3), np.uint8)


# Crop


def test_crop_counts_from_the_upper_left_corner():
    crop = {"x": 3, "y": 2, "width": 5, "height": 4}
    np.testing.assert_array_equal(cut_out(GREY, crop, None), GREY[2:6, 3:8])
    np.testing.assert_array_equal(cut_out(RGB, crop, None), RGB[2:6, 3:8])


def test_crop_may_end_at_the_edge():
    crop = {"x": 17, "y": 11, "width": 1, "height": 1}
    assert cut_out(GREY, crop, None).tolist() == [[GREY[11, 17]]]


@pytest.mark.parametrize(
    ("x", "y", "width", "height"), [(14, 0, 5, 1), (0, 9, 1, 4), (18, 0, 1, 1), (0, 0, 19, 12)]
)
def test_crop_out_of_the_image_is_refused(x, y, width, height):
    with pytest.raises(ImageError) as caught:
        cut_out(GREY, {"x": x, "y": y, "width": width, "height": height}, None)
    assert str(caught.value) == (
        f"the crop of {width} x {height} pixels at x={x}, y={y} reaches out of the image of "
        "18 x 12 pixels: change preprocess.crop"
    )


# Resize


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    new=st.integers(1, 300),
)
def test_new_size_is_truncated_as_in_the_workshop(height, width, new):
    image = np.zeros((height, width), np.uint8)
    expected = (max(1, int(new * (height / width))), new)
    if expected[0] <= 2000:
        assert cut_out(image, None, {"width": new}).shape == expected
    expected = (new, max(1, int(new * (width / height))))
    if expected[1] <= 2000:
        assert cut_out(image, None, {"height": new}).shape == expected


@pytest.mark.parametrize("new", [1, 7, 64, 299, 640])
def test_square_image_stays_square(new):
    image = np.zeros((299, 299), np.uint8)
    assert cut_out(image, None, {"width": new}).shape == (new, new)
    assert cut_out(image, None, {"height": new}).shape == (new, new)


@pytest.mark.parametrize(
    ("factor", "shape"), [(0.5, (6, 9)), (2, (24, 36)), (0.3, (3, 5)), (0.01, (1, 1))]
)
def test_factor_scales_both_sides(factor, shape):
    assert cut_out(GREY, None, {"factor": factor}).shape == shape
    assert cut_out(RGB, None, {"factor": factor}).shape == (*shape, 3)


def test_resize_takes_the_mean_of_pixels_when_smaller_and_interpolates_when_larger():
    smaller = cut_out(GREY, None, {"width": 6})
    np.testing.assert_array_equal(smaller, cv2.resize(GREY, (6, 4), interpolation=cv2.INTER_AREA))
    assert cut_out(np.float32([[1, 2, 9]] * 3), None, {"width": 1}).tolist() == [[4.0]]
    assert cut_out(np.float32([[1, 3], [5, 7]]), None, {"factor": 0.5}).tolist() == [[4.0]]
    larger = cut_out(GREY, None, {"factor": 2})
    np.testing.assert_array_equal(larger, cv2.resize(GREY, (36, 24)))


@pytest.mark.parametrize(
    "dtype",
    ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"],
)
@pytest.mark.parametrize("channels", [None, 2, 3, 5])
@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_resize_keeps_type_and_channels(dtype, channels, factor):
    shape = (12, 18) if channels is None else (12, 18, channels)
    image = RNG.integers(0, 100, shape).astype(dtype)
    before = image.copy()
    result = cut_out(image, None, {"factor": factor})
    assert result.dtype == image.dtype
    assert result.shape == (int(12 * factor), int(18 * factor), *shape[2:])
    assert abs(result.mean() - image.mean()) < 5
    np.testing.assert_array_equal(image, before)


def test_each_of_five_channels_is_resized_as_if_alone():
    image = RNG.integers(0, 60000, (12, 18, 5)).astype(np.uint16)
    result = cut_out(image, None, {"factor": 0.5})
    for index in range(5):
        np.testing.assert_array_equal(
            result[..., index], cut_out(image[..., index], None, {"factor": 0.5})
        )


def test_32_bit_integers_are_rounded():
    image = np.array([[1, 2], [2, 2]], np.int32)
    assert cut_out(image, None, {"factor": 0.5}).tolist() == [[2]]


def test_crop_comes_before_resize():
    crop = {"x": 2, "y": 2, "width": 8, "height": 4}
    result = cut_out(GREY, crop, {"width": 16})
    np.testing.assert_array_equal(result, cv2.resize(GREY[2:6, 2:10].copy(), (16, 8)))


def test_without_crop_and_resize_the_image_stays():
    np.testing.assert_array_equal(cut_out(RGB, None, None), RGB)
