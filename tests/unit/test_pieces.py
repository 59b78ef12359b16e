"""Pieces that touch, and which of them are one nucleus."""

import numpy as np
import pytest

from nucleiflow.distance import distance_transform
from nucleiflow.pieces import Pieces, joined, likeness, log_odds, merge, pieces
from nucleiflow.regions import moments


def halves() -> tuple[np.ndarray, np.ndarray]:
    """A rectangle of 4 x 10 pixels in two pieces; the left one has intensity 10, the other 30."""
    labels = np.zeros((8, 14), np.int32)
    labels[2:6, 2:7], labels[2:6, 7:12] = 1, 2
    return labels, np.choose(labels, [0, 10, 30]).astype(np.float32)


def looked_at(labels: np.ndarray, net: np.ndarray) -> Pieces:
    mask = (labels > 0).astype(np.uint8) * np.uint8(255)
    return pieces(labels, net, distance_transform(mask, 5))


def test_what_is_seen_of_two_halves():
    labels, net = halves()
    found = looked_at(labels, net)
    assert found.count == 2
    assert found.light.tolist() == [0, 20 * 10, 20 * 30]
    assert found.first.tolist() == [1] and found.second.tolist() == [2]
    # Four rows, with 8 neighbours: 4 straight and 6 oblique pairs of pixels.
    number, dimmer, both, _ = found.border[0]
    assert (number, dimmer, both) == (10, 100, 200)
    told = likeness(found, diameter=10)
    assert told["valley"][0] == 1
    assert told["middle"][0] == 2
    assert told["evenness"][0] == pytest.approx(1 / 3)
    assert told["waist"][0] == 1
    assert told["size"][0] == pytest.approx(np.sqrt(20 * 4 / np.pi) / 10)


def test_joined_pieces_are_as_if_looked_at_anew():
    random = np.random.default_rng(5)
    blocks = np.kron(np.arange(1, 13).reshape(3, 4), np.ones((7, 6), int)).astype(np.int32)
    labels = np.pad(blocks, 2)
    net = random.normal(50, 5, labels.shape).astype(np.float32)
    found = looked_at(labels, net)
    pairs = np.isin(found.first, [1, 6]) & np.isin(found.second, [2, 7])
    pairs &= found.second - found.first == 1
    assert pairs.sum() == 2
    result, new = joined(found, pairs)
    assert new[1] == new[2] and new[6] == new[7]
    expected = looked_at(new[labels].astype(np.int32), net)
    assert result.count == expected.count == 10
    for name in ("shape", "light", "depth", "first", "second", "border", "pass_"):
        assert getattr(result, name) == pytest.approx(getattr(expected, name), rel=1e-6)


def test_one_nucleus_in_two_pieces_is_joined_and_two_nuclei_are_not():
    y, x = np.mgrid[:60, :90]
    whole = ((y - 30) / 18) ** 2 + ((x - 45) / 22) ** 2 <= 1
    labels = np.where(whole, np.where(x < 40, 1, 2), 0).astype(np.int32)
    net = np.where(whole, 100, 0).astype(np.float32)
    assert merge(looked_at(labels, net), 36, 0).tolist() == [0, 1, 1]
    left, right = ((y - 30) ** 2 + (x - center) ** 2 <= 15**2 for center in (30, 59))
    labels = np.where(left, 1, np.where(right, 2, 0)).astype(np.int32)
    # Side by side, one three times as bright as the other.
    net = np.choose(labels, [0, 100, 300]).astype(np.float32)
    assert merge(looked_at(labels, net), 30, 0).tolist() == [0, 1, 2]
    # Equally bright, with a waist.
    net = np.where(labels > 0, 100, 0).astype(np.float32)
    assert merge(looked_at(labels, net), 30, 0).tolist() == [0, 1, 2]


def test_bias_joins_all_or_nothing():
    labels, net = halves()
    assert merge(looked_at(labels, net), 8, 1000).tolist() == [0, 1, 1]
    assert merge(looked_at(labels, net), 8, -1000).tolist() == [0, 1, 2]


def test_many_pieces_of_one_nucleus_become_one():
    blocks = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((5, 5), int)).astype(np.int32)
    labels = np.pad(blocks, 3)
    net = np.where(labels > 0, 100, 0).astype(np.float32)
    owner = merge(looked_at(labels, net), 23, 0)
    assert owner[0] == 0
    assert set(owner[1:]) == {1}


def test_without_pieces_nothing_is_joined():
    labels = np.zeros((5, 6), np.int32)
    found = looked_at(labels, labels.astype(np.float32))
    assert found.count == 0
    assert merge(found, 10, 0).tolist() == [0]


def test_pieces_without_light_have_finite_odds():
    labels, net = halves()
    told = likeness(looked_at(labels, np.zeros_like(net)), 10)
    assert np.isfinite(log_odds(told)).all()


def test_the_shape_is_that_of_moments():
    labels, net = halves()
    assert looked_at(labels, net).shape.tolist() == moments(labels, 2).tolist()
