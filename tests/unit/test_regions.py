"""What regions are like, against NumPy, scikit-image and answers by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import regionprops
from skimage.segmentation import expand_labels

from nucleiflow.regions import ellipticity, moments, nearest, quantiles, surroundings


def disc(shape: tuple[int, int], center: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - center[0]) ** 2 + (x - center[1]) ** 2 <= radius**2


def random_labels(seed: int, shape: tuple[int, int] = (40, 50), count: int = 9) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.integers(0, count + 1, shape) * (random.random(shape) < 0.7)).astype(np.int32)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]))
def test_quantiles_are_the_values_of_that_rank(seed: int, q: float):
    random = np.random.default_rng(seed)
    labels = random_labels(seed)
    values = random.normal(1000, 300, labels.shape).astype(np.float32)
    result = quantiles(labels, values, q, 12)
    assert result[0] == 0 and (result[10:] == 0).all()
    for label in range(1, 10):
        inside = np.sort(values[labels == label])
        expected = inside[min(int(len(inside) * q), len(inside) - 1)] if len(inside) else 0
        assert result[label] == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_quantiles_of_every_type_and_of_equal_values(dtype: type):
    labels = np.array([[0, 1, 1], [2, 2, 2]], np.int32)
    values = np.array([[9, 3, 5], [7, 7, 7]], dtype)
    assert quantiles(labels, values, 0.5, 2).tolist() == pytest.approx([0, 5, 7])
    assert quantiles(np.zeros((2, 3), np.int32), values, 0.5, 2).tolist() == [0, 0, 0]
    equal = np.full((2, 3), 4, dtype)
    assert quantiles(labels, equal, 0.5, 2).tolist() == pytest.approx([0, 4, 4])


def test_moments_are_scikit_images_and_add_up():
    labels = random_labels(3)
    sums = moments(labels, 9)
    assert sums.shape == (10, 6)
    assert (sums[0] == 0).all()
    for region in regionprops(labels):
        raw = np.zeros((3, 3))
        y, x = np.nonzero(labels == region.label)
        for i, j in ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1)):
            raw[i, j] = (y.astype(float) ** i * x.astype(float) ** j).sum()
        expected = [raw[0, 0], raw[1, 0], raw[0, 1], raw[2, 0], raw[0, 2], raw[1, 1]]
        assert sums[region.label].tolist() == pytest.approx(expected)
    joined = np.where(labels == 2, 1, labels)
    assert moments(joined, 9)[1].tolist() == pytest.approx((sums[1] + sums[2]).tolist())


def test_an_ellipse_is_elliptic_and_two_discs_are_less():
    shape = (120, 160)
    one = disc(shape, (60, 50), 25)
    y, x = np.mgrid[:120, :160]
    ellipse = ((y - 60) / 20) ** 2 + ((x - 80) / 60) ** 2 <= 1
    two = one | disc(shape, (60, 100), 25)
    found = [ellipticity(moments(part.astype(np.int32), 1))[1] for part in (one, ellipse, two)]
    # Two discs that touch: 2 pi r^2 over 4 pi sqrt(1.25 r^2 * 0.25 r^2) is 0.894.
    assert found == pytest.approx([1, 1, 0.894], abs=0.012)


def test_a_pixel_and_a_line_have_an_ellipticity():
    pixel = moments(np.array([[1]], np.int32), 1)
    # 1 / (4 pi / 12)
    assert ellipticity(pixel)[1] == pytest.approx(0.955, abs=0.001)
    line = moments(np.ones((1, 30), np.int32), 1)
    assert 0.9 < ellipticity(line)[1] <= 1


def test_the_nearest_region_is_that_of_expand_labels():
    labels = np.zeros((60, 80), np.int32)
    labels[disc(labels.shape, (20, 20), 6)] = 1
    labels[disc(labels.shape, (40, 60), 9)] = 2
    found, distance = nearest(labels)
    expected = expand_labels(labels, 200)
    assert (found == expected).mean() > 0.99
    assert (found[labels > 0] == labels[labels > 0]).all()
    assert (distance[labels > 0] == 0).all()
    assert distance[0, 20] == pytest.approx(14, rel=0.03)


def test_the_ground_below_objects_is_that_around_them():
    shape = (100, 140)
    slope = np.add.outer(np.zeros(100), np.linspace(100, 240, 140)).astype(np.float32)
    objects = disc(shape, (50, 70), 15)
    image = slope + objects * np.float32(1000)
    ground = surroundings(image, objects, 10)
    assert ground.dtype == np.float32
    assert np.abs(ground - slope)[objects].max() < 8
    assert np.abs(ground - slope)[:, 30:110].mean() < 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 7)])
def test_ground_of_small_images_and_without_any(shape: tuple[int, int]):
    image = np.full(shape, 7, np.float32)
    assert surroundings(image, np.zeros(shape, bool), 12) == pytest.approx(7)
    assert (surroundings(image, np.ones(shape, bool), 12) == 0).all()
