"""Objects set side by side: each whole, once, apart from others, and with the values it had."""

import warnings

import numpy as np
import pytest
from cp_measure.core.measureobjectintensitydistribution import get_radial_distribution
from scipy.ndimage import binary_dilation, find_objects

from nucleiflow import packed as module
from nucleiflow.labels import numbered
from nucleiflow.packed import packed
from simulate import simulate


def touching():
    """Squares of all sizes without any background between them, and a frame of one around them."""
    labels = np.zeros((60, 70), np.int32)
    number = 2
    for row in range(2, 50, 8):
        for column in range(3, 60, 7):
            labels[row : row + 8, column : column + 7] = number
            number += 1
    labels[labels == 0] = 1
    labels[20, 3:60] = number
    return numbered(labels)


def speckled():
    """Objects of single pixels and of several parts, all over the image."""
    labels = np.random.default_rng(4).integers(0, 90, (40, 50)).astype(np.int32)
    labels[labels > 60] = 0
    return numbered(labels)


def field():
    return simulate(3, (400, 300), density=1.5)[1]


IMAGES = pytest.mark.parametrize("labels", [touching(), speckled(), field()])


@IMAGES
@pytest.mark.parametrize("enough", [1, 900, 1 << 16])
def test_every_object_is_whole_in_one_image(monkeypatch, labels, enough):
    monkeypatch.setattr(module, "ENOUGH", enough)
    light = np.random.default_rng(1).random(labels.shape)
    seen = []
    for numbers, small, image in packed(labels, light):
        assert small.dtype == np.int32 and image.dtype == np.float64
        boxes, before = find_objects(small), find_objects(labels)
        assert len(boxes) == len(numbers)
        for index, number in enumerate(numbers):
            own = small[boxes[index]] == index + 1
            was = labels[before[number - 1]] == number
            np.testing.assert_array_equal(own, was)
            values = image[boxes[index]][own]
            np.testing.assert_array_equal(values, light[before[number - 1]][was])
        assert not image[small == 0].any()
        seen += numbers
    assert sorted(seen) == list(range(1, labels.max() + 1))


@IMAGES
def test_objects_have_background_around_them_but_at_the_border(labels):
    for numbers, small, _ in packed(labels, labels * 1.0):
        if len(numbers) > 1:
            edges = (small[0], small[-1], small[:, 0], small[:, -1])
            assert not any(edge.any() for edge in edges)
            for index in range(1, len(numbers) + 1):
                near = binary_dilation(small == index, np.ones((3, 3))) & (small != index)
                assert not small[near].any()
            continue
        own = labels == numbers[0]
        sides = [(own[0], small[0]), (own[-1], small[-1])]
        sides += [(own[:, 0], small[:, 0]), (own[:, -1], small[:, -1])]
        assert [was.any() for was, _ in sides] == [now.any() for _, now in sides]


@IMAGES
@pytest.mark.parametrize("options", [(True, 4, 100), (False, 3, 8)])
def test_rings_are_bit_for_bit_those_of_the_whole_image(labels, options):
    light = np.random.default_rng(1).random(labels.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = get_radial_distribution(labels, light, *options)
        for numbers, small, image in packed(labels, light):
            part = get_radial_distribution(small, image, *options)
            for name, values in whole.items():
                np.testing.assert_array_equal(part[name], values[np.array(numbers) - 1], name)


def test_most_objects_share_an_image():
    labels = field()
    shared = [len(numbers) for numbers, *_ in packed(labels, labels * 1.0) if len(numbers) > 1]
    assert sum(shared) > 0.7 * labels.max() and len(shared) == 1


def test_image_without_objects_gives_none():
    assert list(packed(np.zeros((5, 5), np.int32), np.zeros((5, 5)))) == []


def test_object_that_is_the_whole_image_stays_as_it_is():
    ((numbers, small, image),) = packed(np.ones((9, 4), np.int32), np.full((9, 4), 0.5))
    assert numbers == [1]
    assert small.tolist() == [[1] * 4] * 9 and image.tolist() == [[0.5] * 4] * 9
