"""Median and percentiles are NumPy's to the last digit."""

import numpy as np
import pytest

from nucleiflow.medians import median, percentiles


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 1000, 1001])
def test_median_is_that_of_numpy(dtype, size):
    rng = np.random.default_rng(size)
    values = (rng.normal(100, 20, size) * (1 if dtype == np.uint8 else 1.7)).astype(dtype)
    before = values.copy()
    assert median(values) == np.median(values)
    np.testing.assert_array_equal(values, before)


def test_median_of_an_image_and_of_the_largest_values():
    image = np.array([[65535, 65535], [3, 65534]], np.uint16)
    assert median(image) == 65534.5
    assert median(image.T[:1]) == (65535 + 3) / 2
    assert median(np.array([255, 255, 0], np.uint8)) == 255


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000, 1001, 70_000])
def test_percentiles_are_those_of_numpy(dtype, size):
    rng = np.random.default_rng(size)
    values = (rng.normal(100, 20, size) * (1 if dtype == np.uint8 else 1.7)).astype(dtype)
    wanted = (0, 0.1, 5, 33.3, 50, 77.7, 99.9, 100)
    assert percentiles(values, wanted) == np.percentile(values, wanted).tolist()
