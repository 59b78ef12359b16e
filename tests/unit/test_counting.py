"""Whole numbers counted and looked up, by NumPy's own results."""

import numpy as np
import pytest

from nucleiflow import counting

RNG = np.random.default_rng(5)
# Few pixels are NumPy's business, many OpenCV's, and large numbers NumPy's again.
SHAPES = [(0, 4), (1, 1), (3, 5), (300, 301), (1, 70_000)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("least", [0, 3, 100_000])
def test_occurrences_are_those_of_bincount(dtype, shape, least):
    top = min(np.iinfo(dtype).max, 90_000)
    for high in (1, 200, top + 1):
        values = RNG.integers(0, high, shape).astype(dtype)
        found = counting.occurrences(values, least)
        expected = np.bincount(values.ravel(), minlength=least)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_more_pixels_of_a_number_than_float32_tells_apart(monkeypatch):
    assert np.float32(counting.EXACT) + np.float32(1) == counting.EXACT
    monkeypatch.setattr(counting, "EXACT", 1000)
    values = RNG.integers(0, 3, (270, 271)).astype(np.uint8)
    np.testing.assert_array_equal(counting.occurrences(values), np.bincount(values.ravel()))


def test_parts_of_images_are_counted():
    whole = RNG.integers(0, 4000, (600, 700)).astype(np.int32)
    part = whole[10:400, ::2]
    np.testing.assert_array_equal(counting.occurrences(part), np.bincount(part.ravel()))
    table = RNG.integers(0, 255, 4000).astype(np.uint8)
    np.testing.assert_array_equal(counting.looked_up(table, part), table[part])


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int32, np.float32])
@pytest.mark.parametrize("size", [1, 200, 65_536, 65_537, 90_000])
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_looked_up_is_what_the_table_says(kind, size, shape):
    table = RNG.integers(0, 2 if kind is bool else 1 << 20, size).astype(kind)
    numbers = RNG.integers(0, size, shape).astype(np.int32)
    found = counting.looked_up(table, numbers)
    assert found.dtype == table.dtype
    np.testing.assert_array_equal(found, table[numbers])
