"""What is shown of an image."""

import numpy as np
import pytest

from nucleiflow.display import for_display

RNG = np.random.default_rng(2)
GREY = RNG.integers(0, 256, (12, 18), np.uint8)
RGB = RNG.integers(0, 256, (12, 18, 3), np.uint8)


def test_8_bit_rgb_is_shown_as_it_is():
    np.testing.assert_array_equal(for_display(RGB), RGB)


def test_8_bit_grey_without_stretch_is_shown_as_it_is():
    np.testing.assert_array_equal(for_display(GREY, stretch=False), np.dstack([GREY] * 3))


def test_16_bit_without_stretch_is_scaled_by_its_type():
    image = np.array([[0, 257, 25700, 65535]], np.uint16)
    assert for_display(image, stretch=False)[0, :, 0].tolist() == [0, 1, 100, 255]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32])
def test_other_types_without_stretch_are_scaled_by_their_range(dtype):
    image = np.array([[-10, 0, 41]], dtype)
    assert for_display(image, stretch=False)[0, :, 0].tolist() == [0, 50, 255]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int32])
def test_stretch_makes_the_darkest_black_and_the_brightest_white(dtype):
    image = np.repeat(np.arange(50, 151), 100).reshape(101, 100).astype(dtype)
    before = image.copy()
    shown = for_display(image)
    assert (shown.shape, shown.dtype) == ((101, 100, 3), np.uint8)
    assert (shown[0] == 0).all() and (shown[-1] == 255).all()
    assert abs(int(shown[50, 0, 0]) - 127) <= 1
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("value", [0, 9, 200])
def test_constant_image_is_shown_black_by_stretch(dtype, value):
    assert (for_display(np.full((5, 6), value, dtype)) == 0).all()


def test_one_hot_pixel_does_not_darken_the_rest():
    image = np.zeros((100, 100), np.uint16)
    image[50:] = 1000
    image[0, 0] = 65535
    assert (for_display(image)[50:] == 255).all()


def test_channels_other_than_8_bit_rgb_are_shown_as_their_maximum():
    image = np.zeros((2, 2, 2), np.uint16)
    image[0, 0] = (65535, 0)
    image[1, 1] = (0, 25700)
    shown = for_display(image, stretch=False)
    assert shown[..., 0].tolist() == [[255, 0], [0, 100]]
