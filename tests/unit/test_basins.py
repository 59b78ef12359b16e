"""Hills whose peaks and saddles are known by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label
from skimage.morphology import local_maxima

from nucleiflow import basins


def framed(*rows):
    """Heights within a frame of background, and the pixels of the mask."""
    height = np.pad(np.array(rows, np.float32), 1, constant_values=-1)
    return height, np.flatnonzero(height >= 0)


heights = hnp.arrays(
    np.int8, st.tuples(st.integers(1, 10), st.integers(1, 10)), elements=st.integers(-1, 6)
)


def test_each_pixel_climbs_to_the_peak_up_its_steepest_way():
    height, pixels = framed([1, 4, 3, 1, 2, 6, 5])
    slope, peaks = basins.climb(height, pixels)
    assert slope.dtype == np.int32
    assert slope.reshape(3, 9)[1].tolist() == [-1, 0, 0, 0, 0, 1, 1, 1, -1]
    assert (slope.reshape(3, 9)[[0, 2]] == -1).all()
    assert (peaks - 9).tolist() == [2, 6]


def test_equal_tops_side_by_side_are_one_peak_also_across_a_corner():
    height, pixels = framed([4, 1, 0], [1, 4, 0], [0, 0, 0])
    slope, peaks = basins.climb(height, pixels)
    assert len(peaks) == 1
    assert set(slope[pixels]) == {0}


@pytest.mark.parametrize("scale", [1e-38, 1.0, 1e37])
def test_heights_of_any_size_lead_to_the_same_peaks(scale):
    rng = np.random.default_rng(3)
    height, pixels = framed(*rng.permutation(np.arange(130 * 90)).reshape(130, 90) / (130 * 90))
    height[height >= 0] *= scale
    slope, peaks = basins.climb(height, pixels)
    around = np.stack(
        [np.roll(height, (down, right), (0, 1)) for down in (1, 0, -1) for right in (1, 0, -1)]
    )
    highest = around.max(axis=0)
    np.testing.assert_array_equal(peaks, np.flatnonzero((height == highest) & (height >= 0)))
    # One step up is on the same slope.
    step = -np.array([down * 92 + right for down in (1, 0, -1) for right in (1, 0, -1)])
    above = pixels + step[around.argmax(axis=0).ravel()[pixels]]
    np.testing.assert_array_equal(slope[above], slope[pixels])


def test_objects_of_the_mask_have_slopes_of_their_own():
    height, pixels = framed([1, -1, 1, -1, 3])
    slope, peaks = basins.climb(height, pixels)
    assert slope[pixels].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(peaks, pixels)
    level, first, second = basins.saddles(height, pixels, slope)
    assert level.size == first.size == second.size == 0


@given(heights)
def test_clear_peaks_without_a_height_are_the_regional_maxima(values):
    height, pixels = framed(*values)
    slope, peaks = basins.climb(height, pixels)
    tops = height.ravel()[peaks]
    owner = basins.clear_peaks(tops, *basins.saddles(height, pixels, slope), 0.0, 0.0)
    maxima = label(local_maxima(height) & (height >= 0), connectivity=2)
    found = maxima.ravel()[peaks[np.unique(owner)]]
    assert sorted(found) == list(range(1, maxima.max() + 1))
    assert (height.ravel()[peaks[slope[pixels]]] >= height.ravel()[pixels]).all()


def test_saddles_come_from_high_to_low_once_a_pair():
    height, pixels = framed([5, 2, 4, 3, 6], [1, 1, 1, 1, 1])
    slope, peaks = basins.climb(height, pixels)
    assert height.ravel()[peaks].tolist() == [5, 4, 6]
    level, first, second = basins.saddles(height, pixels, slope)
    assert list(zip(level.tolist(), first.tolist(), second.tolist(), strict=True)) == [
        (3, 1, 2),
        (2, 0, 1),
    ]


# Peaks 5, 4 and 6 in a row, with saddles of 2 and 3 between them.
ROW = (
    np.array([5, 4, 6], np.float32),
    np.array([3, 2], np.float32),
    np.array([1, 0]),
    np.array([2, 1]),
)


@pytest.mark.parametrize(
    ("h", "fraction", "owners"),
    [
        (0.5, 0.0, [0, 1, 2]),
        (1.0, 0.0, [0, 2, 2]),
        (2.9, 0.0, [0, 2, 2]),
        (3.0, 0.0, [2, 2, 2]),
        (0.0, 0.2, [0, 1, 2]),
        (0.0, 0.25, [0, 2, 2]),
        (0.0, 0.6, [2, 2, 2]),
        (0.2, 0.2, [0, 2, 2]),
    ],
)
def test_a_peak_is_clear_that_rises_by_more_than_h_and_a_fraction_of_itself(h, fraction, owners):
    assert basins.clear_peaks(*ROW, h, fraction).tolist() == owners


def test_a_peak_without_saddles_is_clear_however_low():
    none = np.zeros(0, int)
    found = basins.clear_peaks(np.array([0.1, 9.0]), np.zeros(0), none, none, 5.0, 0.9)
    assert found.tolist() == [0, 1]
