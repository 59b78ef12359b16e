"""Agreement of labels with the truth, on images small enough to count by hand."""

import numpy as np
import pytest

from evaluate import Matches, match, overlaps


def picture(*rows: str) -> np.ndarray:
    """A label image drawn with digits and dots."""
    return np.array([[0 if char == "." else int(char) for char in row] for row in rows], np.int32)


EMPTY = picture("......", "......")
TWO = picture("1111..", "...222")


def test_equal_images_match():
    for threshold in (0, 0.5, 0.99):
        assert match(TWO, TWO, threshold) == (2, 0, 0)
    assert match(TWO, TWO).f1 == 1


def test_numbers_do_not_matter():
    assert match(TWO, np.where(TWO == 1, 7, TWO * 2)) == (2, 0, 0)


def test_empty_images():
    assert match(EMPTY, EMPTY) == (0, 0, 0)
    assert match(EMPTY, EMPTY).f1 == 1
    assert match(EMPTY, TWO) == (0, 2, 0)
    assert match(TWO, EMPTY) == (0, 0, 2)
    assert match(EMPTY, TWO).f1 == match(TWO, EMPTY).f1 == 0
    assert match(EMPTY, TWO, 0.1) == (0, 2, 0)
    nothing = np.zeros((0, 5), np.int32)
    assert match(nothing, nothing).f1 == 1


def test_iou_of_exactly_the_threshold_is_no_match():
    truth, half = picture("1111"), picture("11..")
    assert overlaps(truth, half)[0][1, 1] == 0.5
    assert match(truth, half, 0.5) == (0, 1, 1)
    assert match(truth, half, 0.49) == (1, 0, 0)
    seven = picture("1111111..."), picture("1111111111")
    assert match(*seven, 0.7) == (0, 1, 1)


def test_overlaps():
    truth = picture("111.", "111.", "..22")
    found = picture("11..", "1111", "..11")
    iou, true_objects, found_objects = overlaps(truth, found)
    assert (true_objects, found_objects) == (2, 1)
    assert iou.shape == (3, 2)
    # 5 of 6 pixels of object 1 in 8 found; both of object 2.
    np.testing.assert_allclose(iou.toarray(), [[0, 0], [0, 5 / 9], [0, 2 / 8]])
    assert match(truth, found) == (1, 0, 1)


def test_split_and_merge():
    whole = picture("111111", "111111")
    split = picture("111112", "111122")
    assert match(whole, split) == (1, 1, 0), "9 of 12 pixels"
    assert match(split, whole) == (1, 0, 1)
    halves = picture("111222", "111222")
    assert match(whole, halves) == (0, 2, 1)
    assert match(halves, whole, 0.4) == (1, 0, 1), "one to one: the second half stays missed"


def test_most_pairs_below_a_half():
    # Label 1 overlaps both, label 2 only object 1: only label 1 to object 2 leaves room for both.
    truth = picture("11112222")
    found = picture("22111122")
    assert match(truth, found, 0.3) == (2, 0, 0)
    truth = picture("1111122.")
    found = picture("22111111")
    np.testing.assert_allclose(
        overlaps(truth, found)[0].toarray()[1:, 1:], [[3 / 8, 2 / 5], [2 / 6, 0]]
    )
    assert match(truth, found, 0.3) == (2, 0, 0)


def test_scores():
    matches = Matches(tp=6, fp=2, fn=4)
    assert matches.precision == 0.75
    assert matches.recall == 0.6
    assert matches.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))


def test_many_objects():
    truth = np.arange(300 * 300, dtype=np.int32).reshape(300, 300)
    assert match(truth, truth) == (89999, 0, 0)
    # Of one pixel each: the first of the truth and the last of the shifted ones meet none.
    assert match(truth, np.roll(truth, 1)) == (89998, 1, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.int64])
def test_integer_types(dtype):
    found = TWO.astype(dtype)
    assert match(TWO, found) == (2, 0, 0)
    np.testing.assert_array_equal(found, TWO)


def test_refusals():
    with pytest.raises(ValueError, match=r"truth has the shape \(2, 6\) and labels \(1, 6\)"):
        match(TWO, TWO[:1])
    with pytest.raises(ValueError, match="labels are of type float64, must be integers"):
        match(TWO, TWO.astype(float))
    with pytest.raises(ValueError, match="truth hold negative numbers"):
        match(-TWO, TWO)
    with pytest.raises(ValueError, match="threshold is 1, must be from 0 to below 1"):
        match(TWO, TWO, 1)
