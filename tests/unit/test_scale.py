"""The typical diameter of nuclei."""

import numpy as np
import pytest

from nucleiflow.scale import diameter


def discs(radii: list[int]) -> np.ndarray:
    mask = np.zeros((120, 120 * len(radii)), np.uint8)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    for index, radius in enumerate(radii):
        mask[(y - 60) ** 2 + (x - 60 - 120 * index) ** 2 <= radius**2] = 255
    return mask


@pytest.mark.parametrize("radius", [4, 8, 15, 30, 45])
def test_the_diameter_of_discs(radius: int):
    assert diameter(discs([radius] * 3)) == pytest.approx(2 * radius, rel=0.1)


def test_specks_do_not_outweigh_nuclei():
    # Four discs of radius 4 weigh about as much as one of radius 15.
    assert diameter(discs([4] * 3 + [15])) == pytest.approx(30, rel=0.1)


def test_a_clump_does_not_outweigh_many_nuclei():
    assert diameter(discs([8] * 10 + [50])) == pytest.approx(16, rel=0.1)


def test_without_objects_it_is_zero():
    assert diameter(np.zeros((50, 60), np.uint8)) == 0
    assert diameter(np.zeros((1, 1), np.uint8)) == 0
    speck = np.zeros((9, 9), np.uint8)
    speck[4, 4] = 255
    assert diameter(speck) == 0


def test_a_full_image_has_that_of_its_shorter_side():
    assert diameter(np.full((40, 70), 255, np.uint8)) == 40
