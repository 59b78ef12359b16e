"""Objects of tiles become those of the image: each once, by hand."""

import numpy as np
import pytest
from scipy.ndimage import label as components

import join
from nucleiflow import tiles

SHAPE = (256, 512)


def disc(labels, number, y, x, radius):
    at = np.hypot(*(np.indices(labels.shape) - np.array([y, x])[:, None, None])) <= radius
    labels[at] = number


def joined(tmp_path, labels_of, overlap=30, shape=SHAPE, size=256):
    parts = tiles.split({"image": "a", "tiles": tiles.cut(shape, size, overlap)})
    with join.canvas(tmp_path / "a.canvas", shape) as on:
        numbers, places = join.join(parts, lambda index: labels_of(index, parts[index]), on)
        found = numbers[on.read(slice(0, shape[0]), slice(0, shape[1]))]
    assert not (tmp_path / "a.canvas").exists()
    return found, places


def cut_out(truth):
    """What each tile finds of a true image: what is in its window, numbered anew."""

    def labels_of(index, part):
        window = truth[tiles.part_of(part["window"])]
        return np.unique(window, return_inverse=True)[1].reshape(window.shape).astype(np.int32)

    return labels_of


@pytest.fixture
def truth():
    """Discs in rows, of which many are on the seam between two tiles at column 256."""
    labels, number = np.zeros(SHAPE, np.int32), 0
    for y in range(15, 245, 25):
        for x in range(6 + y % 7, 505, 25):
            number += 1
            disc(labels, number, y, x, 10)
    return labels


def test_object_on_a_seam_is_one_object(tmp_path, truth):
    found, places = joined(tmp_path, cut_out(truth))
    # Each true object has one number, and each number one true object.
    pairs = np.unique(np.stack([truth[truth > 0], found[truth > 0]]), axis=1)
    assert pairs.shape[1] == len(np.unique(truth)) - 1 == found.max()
    assert ((found > 0) == (truth > 0)).all()
    assert places[0]["first"] == 1
    assert places[1]["first"] == places[0]["last"] + 1
    assert places[1]["last"] == found.max()


def test_objects_of_a_tile_are_whole_in_its_window(tmp_path, truth):
    found, places = joined(tmp_path, cut_out(truth), overlap=12)
    for place in places:
        inside = found[tiles.part_of(place["window"])]
        for number in range(place["first"], place["last"] + 1):
            assert (inside == number).sum() == (found == number).sum() > 0


def test_object_larger_than_the_overlap_is_put_together(tmp_path):
    truth = np.zeros(SHAPE, np.int32)
    truth[100:150, 40:480] = 1
    found, places = joined(tmp_path, cut_out(truth))
    np.testing.assert_array_equal(found, truth)
    owner = next(place for place in places if place["last"] == 1)
    _top, left, _bottom, right = owner["window"]
    assert left <= 40
    assert right >= 480


def test_object_over_four_tiles(tmp_path):
    truth = np.zeros((400, 400), np.int32)
    disc(truth, 1, 200, 200, 20)
    disc(truth, 2, 200, 60, 20)
    found, _ = joined(tmp_path, cut_out(truth), shape=(400, 400))
    assert found.max() == 2
    assert len(np.unique(found[truth == 1])) == len(np.unique(found[truth == 2])) == 1
    assert ((found > 0) == (truth > 0)).all()


def test_touching_objects_stay_two(tmp_path):
    truth = np.zeros(SHAPE, np.int32)
    truth[100:120, 236:256] = 1
    truth[100:120, 256:276] = 2
    found, _ = joined(tmp_path, cut_out(truth))
    np.testing.assert_array_equal(found, truth)


def test_object_whose_centre_either_tile_sees_in_the_other_is_not_lost(tmp_path):
    def labels_of(index, part):
        top, left, bottom, right = part["window"]
        labels = np.zeros((bottom - top, right - left), np.int32)
        # Each sees a little more of it on the other's side.
        start = 252 if index == 0 else 244
        labels[100:110, start - left : start + 14 - left] = 1
        return labels

    found, _ = joined(tmp_path, labels_of)
    assert components(found)[1] == found.max() == 1


def test_object_that_both_tiles_see_a_little_differently_is_that_of_the_first(tmp_path):
    def labels_of(index, part):
        top, left, bottom, right = part["window"]
        labels = np.zeros((bottom - top, right - left), np.int32)
        labels[100 : 112 - index, 240 - left : 268 - left + 4 * index] = 1
        return labels

    found, _ = joined(tmp_path, labels_of)
    expected = np.zeros(SHAPE, np.int32)
    expected[100:112, 240:268] = 1
    np.testing.assert_array_equal(found, expected)


def test_piece_at_the_border_of_a_window_is_no_object(tmp_path):
    """Of a nucleus that the tile in whose core it lies does not see as one."""

    def labels_of(index, part):
        top, left, bottom, right = part["window"]
        labels = np.zeros((bottom - top, right - left), np.int32)
        if index == 0:
            labels[100:110, -8:] = 1
        return labels

    found, places = joined(tmp_path, labels_of)
    assert not found.any()
    assert [place["last"] for place in places] == [0, 0]


def test_tiles_without_objects(tmp_path):
    found, places = joined(tmp_path, cut_out(np.zeros(SHAPE, np.int32)))
    assert not found.any()
    assert [(place["first"], place["last"]) for place in places] == [(1, 0), (1, 0)]


def test_objects_at_the_border_of_the_image_are_not_cut(tmp_path):
    truth = np.zeros(SHAPE, np.int32)
    truth[:10, 250:262] = 1
    truth[-10:, :12] = 2
    found, _ = joined(tmp_path, cut_out(truth))
    assert ((found > 0) == (truth > 0)).all()
    assert found.max() == 2
