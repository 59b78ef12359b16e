"""Agreement of labels with the truth, on images small enough to count by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import evaluate
from evaluate import (
    COLORS,
    OBJECTS,
    PLAIN,
    Matches,
    compare,
    draw,
    match,
    object_table,
    overlaps,
    pooled,
    score,
)


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


def kinds(truth: np.ndarray, found: np.ndarray) -> tuple[list[str], list[str]]:
    """What became of the true objects and of the found ones."""
    compared = compare(truth, found)
    return compared.truth.kinds.tolist(), compared.found.kinds.tolist()


def test_a_perfect_result():
    one = score(TWO, TWO, (0.5, 0.95))
    assert (one.truth, one.found, one.tp.tolist()) == (2, 2, [2, 2])
    assert (one.fp.tolist(), one.fn.tolist()) == ([0, 0], [0, 0])
    assert (one.splits, one.merges, one.missed, one.false, one.pairs) == (0, 0, 0, 0, 2)
    assert one.f1(0.5) == one.mean_f1 == one.at(0.95).ap == 1
    assert one.boundary_offset == 0


def test_a_shifted_result():
    # 4 x 8 pixels shifted by one: 28 shared of 36, 0.778.
    truth = np.zeros((6, 12), np.int32)
    truth[1:5, 1:9] = 1
    one = score(truth, np.roll(truth, 1, axis=1), (0.5, 0.75, 0.8))
    assert one.tp.tolist() == [1, 1, 0]
    assert one.f1(0.75) == 1
    assert one.f1(0.8) == 0
    assert one.mean_f1 == pytest.approx(2 / 3)
    assert one.boundary_offset == 0
    with pytest.raises(ValueError, match=r"threshold is 0\.6, must be one of"):
        one.at(0.6)


def test_one_split_in_two():
    truth, found = picture("11111111", "11111111"), picture("11111222", "11111222")
    assert kinds(truth, found) == (["split"], ["split", "split"])
    one = score(truth, found, (0.5, 0.7))
    assert (one.splits, one.merges, one.missed, one.false) == (1, 0, 0, 0)
    assert one.tp.tolist() == [1, 0], "10 of 16 pixels"


def test_two_merged():
    truth, found = picture("11111222", "11111222"), picture("11111111", "11111111")
    assert kinds(truth, found) == (["merged", "merged"], ["merged"])
    one = score(truth, found, (0.5,))
    assert (one.splits, one.merges, one.missed, one.false) == (0, 1, 0, 0)


def test_a_clump_of_twelve_found_as_one_is_one_merge():
    truth = np.repeat(np.arange(1, 13), 5)[None].astype(np.int32)
    one = score(truth, np.ones_like(truth), (0.5,))
    assert (one.merges, one.missed, one.false, one.at(0.5)) == (1, 0, 0, (0, 1, 12))


def test_a_crumb_is_no_part():
    # 1 of 20 pixels is less than a tenth of the other 19; 2 of 20 are more than one of 18.
    truth = np.ones((1, 20), np.int32)
    found = truth.copy()
    found[0, 19:] = 2
    assert kinds(truth, found) == (["matched"], ["matched", "false"])
    found[0, 18:] = 2
    assert kinds(truth, found) == (["split"], ["split", "split"])


def test_missed_and_false():
    truth, found = picture("11..22.."), picture("11....33")
    assert kinds(truth, found) == (["matched", "missed"], ["matched", "false"])
    compared = compare(truth, found)
    assert compared.found.labels.tolist() == [1, 3]
    assert compared.truth.match.tolist() == [1, 0]
    one = score(truth, found, (0.5,))
    assert (one.missed, one.false, one.at(0.5)) == (1, 1, (1, 1, 1))
    assert one.f1(0.5) == 0.5
    assert one.at(0.5).ap == pytest.approx(1 / 3)


def test_empty_images_score_one_or_zero():
    nothing = score(EMPTY, EMPTY, (0.5, 0.9))
    assert (nothing.mean_f1, nothing.at(0.5).ap) == (1, 1)
    assert math.isnan(nothing.boundary_offset)
    assert score(EMPTY, TWO, (0.5,)).mean_f1 == score(TWO, EMPTY, (0.5,)).mean_f1 == 0
    assert score(EMPTY, TWO, (0.5,)).false == score(TWO, EMPTY, (0.5,)).missed == 2


@pytest.mark.parametrize("f1", [0, 0.25, 0.5, 1])
def test_f1_tells_ap(f1: float):
    matches = {0: (0, 1, 1), 0.25: (1, 3, 3), 0.5: (1, 1, 1), 1: (3, 0, 0)}[f1]
    assert Matches(*matches).f1 == f1
    assert Matches(*matches).ap == pytest.approx(f1 / (2 - f1))


def test_boundary_offset():
    # Circles of radius 20 and 22: the found one lies two pixels outside.
    y, x = np.mgrid[-30:31, -30:31]
    truth, found = ((y**2 + x**2 < radius**2).astype(np.int32) for radius in (20, 22))
    assert score(truth, found, (0.5,)).boundary_offset == pytest.approx(2, abs=0.05)
    assert score(found, truth, (0.5,)).boundary_offset == pytest.approx(-2, abs=0.05)
    assert math.isnan(score(truth, np.zeros_like(truth), (0.5,)).boundary_offset)


def test_pooled_and_mean_over_images_differ():
    # One image of one nucleus, found; one of four, none of which is found.
    four = picture("1.2.3.4.")
    both = [score(picture("1......."), picture("1......."), (0.5,))]
    both.append(score(four, np.zeros_like(four), (0.5,)))
    total = pooled(both)
    assert total.at(0.5) == (1, 0, 4)
    assert total.f1(0.5) == pytest.approx(2 / 6)
    assert np.mean([one.f1(0.5) for one in both]) == 0.5
    assert (total.truth, total.found, total.missed, total.pairs) == (5, 1, 4, 1)
    assert total.boundary_offset == 0


LABELS = arrays(np.int32, (6, 7), elements=st.integers(0, 5))


@given(LABELS, LABELS, st.sampled_from([0.1, 0.3, 0.5, 0.7]))
@example(picture("11112222"), picture("22111122"), 0.3)
def test_agrees_with_brute_force(truth: np.ndarray, found: np.ndarray, threshold: float):
    true_objects, found_objects = ([n for n in np.unique(a) if n] for a in (truth, found))
    pairs = {}
    for i in true_objects:
        for j in found_objects:
            inside = ((truth == i) & (found == j)).sum()
            pairs[i, j] = inside / ((truth == i) | (found == j)).sum()

    def most(rest: list[int], free: frozenset) -> int:
        """Most pairs of what is left, by trying all."""
        if not rest:
            return 0
        taken = [1 + most(rest[1:], free - {j}) for j in free if pairs[rest[0], j] > threshold]
        return max([most(rest[1:], free), *taken])

    best = most(true_objects, frozenset(found_objects))
    compared = compare(truth, found)
    one = score(truth, found, (threshold,))
    assert one.tp.tolist() == [best]
    assert (one.fn.tolist(), one.fp.tolist()) == (
        [len(true_objects) - best],
        [len(found_objects) - best],
    )
    assert compared.truth.labels.tolist() == true_objects
    largest = [max((pairs[i, j] for j in found_objects), default=0) for i in true_objects]
    np.testing.assert_allclose(compared.truth.iou, largest)
    for whole, part, n, of_several in (
        (truth, found, one.splits, compared.found.labels[compared.found.kinds == "split"]),
        (found, truth, one.merges, None),
    ):
        composed, pieces = set(), set()
        for i in np.unique(whole[whole > 0]):
            inside = {
                j: ((whole == i) & (part == j)).sum()
                for j in np.unique(part[part > 0])
                if 2 * ((whole == i) & (part == j)).sum() > (part == j).sum()
            }
            parts = [j for j, area in inside.items() if area * 10 > max(inside.values())]
            if len(parts) > 1:
                composed.add(i)
                pieces.update(parts)
        assert n == len(composed)
        if of_several is not None:
            assert set(of_several) == {*pieces}


def test_a_table_of_objects():
    truth, found = picture("11..22..", "11......"), picture("111...33", "111.....")
    table = object_table(truth, found, compare(truth, found)).to_pydict()
    assert table["of"] == ["truth", "truth", "found", "found"]
    assert table["label"] == [1, 2, 1, 3]
    assert table["kind"] == ["matched", "missed", "matched", "false"]
    assert table["match"] == [1, 0, 1, 0]
    assert table["area"] == [4, 2, 6, 2]
    assert table["iou"] == [4 / 6, 0, 4 / 6, 0]
    assert table["centroid-0"] == [0.5, 0, 0.5, 0]
    assert table["centroid-1"] == [0.5, 4.5, 1, 6.5]
    offset = math.sqrt(6 / math.pi) - math.sqrt(4 / math.pi)
    assert table["boundary_offset"] == [pytest.approx(offset), None, pytest.approx(offset), None]
    empty = object_table(EMPTY, EMPTY, compare(EMPTY, EMPTY))
    assert (empty.num_rows, empty.schema) == (0, pa.schema(list(OBJECTS)[3:]))


def test_tables_of_many_images_do_not_wait_in_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(evaluate, "ROWS", 6)
    rows = object_table(TWO, TWO, compare(TWO, TWO))
    items = [
        SimpleNamespace(record={"directory": "d", "batch": "b", "image": str(i)}, result=result)
        for i, result in enumerate((rows, None, rows, rows))
    ]
    batch = SimpleNamespace(each=lambda compute: ([item] for item in items))
    tables = list(evaluate.tables(batch))
    assert [table.num_rows for table in tables] == [8, 4]
    assert all(table.schema == OBJECTS for table in tables)
    assert pa.concat_tables(tables)["image"].to_pylist() == ["0"] * 4 + ["2"] * 4 + ["3"] * 4
    assert [item.result for item in items] == [None] * 4
    assert [table.num_rows for table in evaluate.tables(batch)] == [0]


def test_a_picture_of_what_is_wrong():
    truth, found = np.zeros((2, 60, 80), np.int32)
    truth[5:20, 5:20], truth[5:20, 40:55], truth[30:50, 5:45] = 1, 2, 3
    found[5:20, 5:20], found[30:50, 5:25], found[30:50, 25:45], found[40:55, 60:75] = 1, 2, 3, 4
    grey = np.full((60, 80, 3), 100, np.uint8)
    drawn = draw(grey, truth, found, compare(truth, found), "title")
    # Enlarged 15 times, with a title above of 34 rows.
    assert drawn.shape == (60 * 15 + 68, 80 * 15, 3)
    inside = drawn[34:-34]
    assert tuple(inside[12 * 15, 5 * 15]) == PLAIN
    assert (inside[12 * 15, 10 * 15] == 70).all(), "dimmed"
    assert tuple(inside[47 * 15, 60 * 15]) == COLORS["false"]
    assert tuple(inside[40 * 15, 5 * 15]) == COLORS["split"]
    edge = inside[5 * 15, 41 * 15 : 54 * 15]
    share = (edge == COLORS["missed"]).all(axis=1).mean()
    assert 0.4 < share < 0.8, "dashed"
    assert not (inside == COLORS["merged"]).all(axis=2).any()
    assert (grey == 100).all()


def test_a_large_picture_is_shrunk():
    labels = np.zeros((3000, 1500), np.int32)
    image = np.zeros((3000, 1500, 3), np.uint8)
    assert draw(image, labels, labels, compare(labels, labels), "").shape == (1268, 700, 3)
