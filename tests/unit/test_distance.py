"""The distance transform gives the same bits wherever its input lies in memory."""

import numpy as np
import pytest
from scipy import ndimage

from nucleiflow.distance import distance_transform


def blobs() -> np.ndarray:
    noise = np.random.default_rng(3).normal(size=(97, 113))
    return (ndimage.gaussian_filter(noise, 3) > 0).astype(np.uint8) * np.uint8(255)


@pytest.mark.parametrize("size", [3, 5, "precise"])
def test_result_does_not_depend_on_the_place_in_memory(size):
    mask = blobs()
    results = set()
    for offset in range(64):
        moved = np.empty(mask.size + offset, np.uint8)[offset:].reshape(mask.shape)
        moved[:] = mask
        results.add(distance_transform(moved, size).tobytes())
    assert len(results) == 1


def test_precise_equals_scipy():
    mask = blobs()
    expected = ndimage.distance_transform_edt(mask).astype(np.float32)
    np.testing.assert_array_equal(distance_transform(mask, "precise"), expected)


def test_distances_of_a_square_by_hand():
    mask = np.zeros((7, 7), np.uint8)
    mask[1:6, 1:6] = 255
    assert distance_transform(mask, "precise")[3].tolist() == [0, 1, 2, 3, 2, 1, 0]


@pytest.mark.parametrize("size", [3, 5, "precise"])
def test_a_mask_without_background_has_finite_distances(size):
    assert distance_transform(np.full((4, 6), 255, np.uint8), size).max() == 10
