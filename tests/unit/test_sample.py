"""Which images are tried: from all directories, the same each time, and no more than asked for."""

from collections import Counter

import pytest

from nucleiflow.plan import Batch, Extent, File, Image
from nucleiflow.sample import draw, entries, in_batches

ONE = Extent(1.0)


def batch(directory: str, names: list[str], extent: Extent = ONE, problem: str = ""):
    images = [Image(name, (File(f"{name}.tif", 9, 5),), ("A01",), problem) for name in names]
    return Batch(f"{directory}.b", directory, directory, images, extent)


def numbered(count: int, start: int = 0) -> list[str]:
    return [f"field_{number:02}" for number in range(start, start + count)]


DATASET = [batch(f"plate{number}", numbered(10)) for number in range(4)]


def names(chosen: list[tuple[Batch, Image]]) -> list[tuple[str, str]]:
    return [(batch.directory, image.name) for batch, image in chosen]


@pytest.mark.parametrize(
    ("count", "shares"), [(1, [1]), (3, [1, 1, 1]), (6, [1, 1, 2, 2]), (8, [2] * 4), (50, [10] * 4)]
)
def test_every_directory_gives_one_before_any_gives_two(count: int, shares: list[int]):
    chosen = names(draw(DATASET, count, seed=1))
    assert len(set(chosen)) == sum(shares)
    assert sorted(Counter(directory for directory, _ in chosen).values()) == shares
    assert chosen == sorted(chosen)


def test_the_sample_depends_on_names_and_seed_alone():
    chosen = names(draw(DATASET, 8, seed=1))
    split = [batch("plate1", numbered(4)), *DATASET[::-1]]
    split.remove(DATASET[1])
    split.append(batch("plate1", numbered(6, 4)))
    assert names(draw(split, 8, seed=1)) == chosen
    assert names(draw(DATASET, 8, seed=2)) != chosen


def test_an_image_more_changes_one_of_the_sample_at_most():
    before = set(names(draw(DATASET, 8, seed=1)))
    changes = []
    for number in range(40):
        more = [*DATASET[1:], batch("plate0", [*numbered(10), f"new_{number}"])]
        changes.append(len(before - set(names(draw(more, 8, seed=1)))))
    assert set(changes) == {0, 1}


def test_images_known_to_fail_come_last():
    dataset = [batch("broken", numbered(3), problem="lacks a channel"), batch("good", numbered(2))]
    assert names(draw(dataset, 2, seed=1)) == [("good", "field_00"), ("good", "field_01")]
    assert len(draw(dataset, 9, seed=1)) == 5


def test_only_wanted_images_are_taken_and_no_more_are_asked_for_than_needed():
    asked = []

    def wanted(_, image: Image) -> bool:
        asked.append(image.name)
        return image.name in ("field_03", "field_07")

    chosen = names(draw(DATASET, 8, 1, wanted))
    assert chosen == [(f"plate{n}", name) for n in range(4) for name in ("field_03", "field_07")]
    assert len(asked) <= 40
    asked.clear()
    assert len(draw(DATASET, 5, 1, lambda *pair: bool(asked.append(pair)) or True)) == 5
    assert len(asked) == 5


def test_batches_of_the_sample_hold_images_of_several_directories():
    dataset = [
        batch("day 1/a", ["x"], Extent(1.0, 3, 1)),
        batch(".", ["x"], Extent(4.0, 1, 2)),
        batch("/elsewhere/b", ["x"], Extent(2.0)),
    ]
    chosen = draw(dataset, 3, seed=1)
    parts = in_batches(chosen, size=2)
    assert {name: len(part.images) for name, part in parts.items()} == {
        "sample-1": 2,
        "sample-2": 1,
    }
    whole = in_batches(chosen)["sample-1"]
    assert (whole.directory, whole.folder, whole.extent) == (".", ".", Extent(4.0, 3, 2))
    paths = [image.files[0].path for image in whole.images]
    assert paths == ["x.tif", "/elsewhere/b/x.tif", "day 1/a/x.tif"]
    assert [image.metadata for image in whole.images] == [
        (".", "x"),
        ("/elsewhere/b", "x"),
        ("day 1/a", "x"),
    ]
    # They become names of files, in one directory.
    names_there = [image.name for image in whole.images]
    assert len(set(names_there)) == 3
    assert not any("/" in name or " " in name for name in names_there)


def test_a_changed_file_changes_the_fingerprint_of_its_batch():
    before = in_batches(draw(DATASET, 3, 1))["sample-1"].fingerprint
    changed = [
        Batch(
            part.name,
            part.directory,
            part.folder,
            [image._replace(files=(image.files[0]._replace(size=10),)) for image in part.images],
            part.extent,
        )
        for part in DATASET
    ]
    assert in_batches(draw(DATASET, 3, 1))["sample-1"].fingerprint == before
    assert in_batches(draw(changed, 3, 1))["sample-1"].fingerprint != before


def test_files_that_hold_several_images_share_the_rows():
    part = in_batches(draw([batch("a", ["x", "y"])], 2, 1))["sample-1"]
    first, second = (image.name for image in part.images)
    records = [{"member": 0, "image": first}]
    records += [{"member": 1, "image": f"{second}_t{time:02}"} for time in range(20)]
    rows = entries([part], [records], 5)
    assert [row.name for row in rows] == ["a/x", "a/y_t00", "a/y_t05", "a/y_t10", "a/y_t15"]
    assert [(row.batch, row.record) for row in rows][:2] == [(0, 0), (0, 1)]
    assert [row.files[0].path for row in rows][:2] == ["a/x.tif", "a/y.tif"]
    assert len(entries([part], [records], 99)) == 21
    assert entries([part], [[]], 5) == []
