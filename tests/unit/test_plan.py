"""How a directory is cut into batches, what they are called, and what is written down of them."""

import itertools
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleiflow.plan import (
    Batch,
    BatchSize,
    Extent,
    File,
    Image,
    batch_name,
    cut,
    dataset_of,
    directory_name,
    load,
    save,
)

# Cutting


def runs(names, size):
    return [tuple(names[part]) for part in cut(names, size)]


texts = st.lists(st.text("abc01", min_size=1, max_size=4), min_size=2, max_size=60, unique=True)


@settings(max_examples=500)
@given(texts, st.integers(1, 20), st.data())
def test_one_name_more_or_less_changes_two_runs_at_most(names, size, data):
    names = sorted(names)
    one = data.draw(st.sampled_from(names))
    without = [name for name in names if name != one]
    more, less = set(runs(names, size)), set(runs(without, size))
    assert len(more - less) <= 2
    assert len(less - more) <= 2


@pytest.mark.parametrize("size", [5, 10, 20])
def test_one_name_more_or_less_changes_two_runs_at_most_in_a_long_list(size):
    # Where a run begins must not depend on where the one before it did: 3 and more would change.
    wells = itertools.product(range(16), range(24), range(4))
    names = [f"r{row:02}c{column:02}f{field}.tif" for row, column, field in wells]
    whole = set(runs(names, size))
    for index in range(0, len(names), 5):
        less = set(runs(names[:index] + names[index + 1 :], size))
        assert len(less - whole) <= 2 and len(whole - less) <= 2


@given(texts, st.integers(1, 1000))
def test_runs_hold_every_name_once_in_order(names, size):
    parts = runs(names, size)
    assert [name for part in parts for name in part] == names
    assert all(parts)


@given(texts)
def test_size_1_gives_every_name_a_run_of_its_own(names):
    assert runs(names, 1) == [(name,) for name in names]


@pytest.mark.parametrize("size", [2, 5, 20, 100, 500])
def test_runs_have_the_wanted_size_on_average_and_are_seldom_much_longer(size):
    names = [f"image_{index:06}.tif" for index in range(20_000)]
    lengths = [len(part) for part in runs(names, size)]
    assert 20_000 / len(lengths) == pytest.approx(size, rel=0.25)
    assert sum(length > 3 * size for length in lengths) <= 0.06 * len(lengths)


def test_runs_are_the_same_in_every_process():
    # A run that is continued next year must find its batches again.
    names = [f"image_{index:03}.tif" for index in range(60)]
    assert [part.start for part in cut(names, 20)] == [0, 19, 27, 38]


# Names


AWKWARD = ["plate 1", "Zürich/Tag.1", "日本", "a/b", "a-b", "a_b", "x" * 200, "--", "[1]{2}*?"]


def test_names_of_batches_are_plain_and_tell_apart_what_looks_the_same():
    names = [batch_name(directory, "1 ä") for directory in (*AWKWARD, ".")]
    assert len(set(names)) == len(AWKWARD) + 1
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) and len(name) < 150


@pytest.mark.parametrize(
    ("directory", "first", "name"),
    [
        (".", "1", "root.1"),
        ("plate 1", "A01 s1", "plate-1.A01-s1"),
        ("Zürich/Tag.1", "ä", "Zurich-Tag-1.a"),
        ("a/b", "1", "a-b.1"),
        ("a-b", "1", "a-b.1"),
        ("../other", "A/1/0", "other.A-1-0"),
        ("日本", "--", "x.x"),
        ("x" * 100, "y" * 100, f"{'x' * 60}.{'y' * 60}"),
    ],
)
def test_name_of_a_batch_tells_its_directory_and_first_image(directory, first, name):
    found, digest = batch_name(directory, first).rsplit(".", 1)
    assert found == name
    assert re.fullmatch("[0-9a-f]{8}", digest)


def test_name_of_a_batch_is_the_same_in_every_process():
    assert batch_name("plate 1", "A01") == "plate-1.A01.37bcb215"


def test_directories_are_parts_of_paths_that_a_file_system_takes():
    names = ["plate-1", "a" * 200, "a" * 201, "a" * 255, "a b", ".", "x/" * 200 + "x"]
    parts = [directory_name(name) for name in names]
    assert parts[:2] == names[:2]
    assert len(set(parts)) == len(names)
    assert max(map(len, parts)) == 200


# Batches


FILES = (File("a/1.tif", 10, 5, "1", 2), File("a/2.tif", 20, 6, "2", 2))
FIRST = Image("1", FILES, ("p", "A01", "1", ""))
SECOND = Image("2", (File("b.tif", 7, 8),), ("p", "A02", "1", ""))
BASE = Batch("name", "a", "a", [FIRST, SECOND], Extent(1.0, 2, 3))


def batch(*images, directory="a"):
    return Batch("name", directory, "a", list(images), Extent(1.0, 2, 3))


def file(image, index=0, **changes):
    """The image with one of its files changed."""
    files = list(image.files)
    files[index] = files[index]._replace(**changes)
    return image._replace(files=tuple(files))


def test_size_of_an_image_is_that_of_its_files():
    assert (FIRST.size, SECOND.size) == (30, 7)


@pytest.mark.parametrize(
    "images",
    [
        [file(FIRST, size=11), SECOND],
        [file(FIRST, 1, changed=7), SECOND],
        [file(FIRST, path="a/3.tif"), SECOND],
        [file(FIRST, channel="3"), SECOND],
        [file(FIRST, z=3), SECOND],
        [FIRST._replace(name="3"), SECOND],
        [FIRST._replace(files=FILES[:1]), SECOND],
        [FIRST._replace(files=FILES[::-1]), SECOND],
        [FIRST._replace(problem="the file of channel 3 is missing"), SECOND],
        [FIRST],
        [FIRST, SECOND, SECOND._replace(name="3")],
    ],
    ids=[
        *("size", "time", "path", "channel", "plane", "name", "file less", "order", "problem"),
        *("removed", "added"),
    ],
)
def test_fingerprint_changes_with_each_image_and_its_files(images):
    assert batch(*images).fingerprint != BASE.fingerprint


def test_fingerprint_changes_with_the_directory():
    assert batch(FIRST, SECOND, directory="b").fingerprint != BASE.fingerprint


def test_fingerprint_does_not_change_with_what_names_tell_nor_with_anything_else():
    told = [image._replace(metadata=("q", "B02", "2", "1", "10 uM")) for image in (FIRST, SECOND)]
    assert batch(*told).fingerprint == BASE.fingerprint
    other = Batch("other", "a", "elsewhere", [FIRST, SECOND], Extent(9.0))
    assert other.fingerprint == BASE.fingerprint


def sized(*sizes):
    return [Image(str(i), (File(f"{i}.tif", size, 0),)) for i, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "extent", "work"),
    [
        ([1000], Extent(2.0), 2.0 * 1.1),
        ([1000, 500, 0], Extent(2.0), 2.0 * (1 + 0.5 + 0.1) * 1.1),
        ([1000, 10], Extent(2.0, images=3), 2.0 * (1 + 0.1) * 3 * 1.1),
        ([1000, 1000], Extent(0.5, layers=20), 0.5 * 2 * (1 + 2)),
        ([1000, 1000], Extent(0.5, 4, 5), 0.5 * 2 * 4 * (1 + 0.5)),
        ([0], Extent(4.0), 4.0 * 0.1 * 1.1),
    ],
    ids=["one", "shares", "times", "layers", "both", "nothing"],
)
def test_work_of_a_batch_follows_file_sizes_and_what_its_largest_image_holds(sizes, extent, work):
    assert Batch("b", ".", ".", sized(*sizes), extent).work == pytest.approx(work)


def test_work_follows_all_files_of_an_image():
    parts = tuple(File(f"{channel}.tif", 500, 0, str(channel)) for channel in range(2))
    images = [Image("a", parts), *sized(500)]
    assert Batch("b", ".", ".", images, Extent(1.0, 1, 2)).work == pytest.approx(1.5 * 1.2)


# Plans


COLUMNS = ("plate", "well", "site", "time", "dose")


def test_plan_of_a_batch_gives_back_what_was_saved(tmp_path):
    images = [
        Image("a b", (File("ü 1/a b.tif", 10, 5, "DAPI", 2),), ("", "A01", "1", "", "10 µM")),
        Image("c", (File("c.tif", 0, 0),), ("",) * 5, "its name does not match"),
    ]
    batch = Batch("x", "ü 1", "ü 1", images, Extent(1.5, 2, 6))
    path = tmp_path / "plans/x.json"
    save(batch, "/data/sheet.csv", "/data", COLUMNS, path)
    plan = load(path)
    assert plan.batch == batch
    assert plan.batch.fingerprint == batch.fingerprint
    assert plan.batch.work == batch.work
    assert (plan.dataset, str(plan.root), plan.columns) == ("/data/sheet.csv", "/data", COLUMNS)
    assert {type(image) for image in plan.batch.images} == {Image}
    assert type(plan.batch.images[0].files[0]) is File
    assert type(plan.batch.extent) is Extent


def test_plan_is_written_again_only_when_it_changed(tmp_path):
    path = tmp_path / "x.json"
    save(BASE, "/root", "/root", COLUMNS[:4], path)
    os.utime(path, ns=(1, 1))
    save(BASE, "/root", "/root", COLUMNS[:4], path)
    assert path.stat().st_mtime_ns == 1
    save(batch(FIRST), "/root", "/root", COLUMNS[:4], path)
    assert path.stat().st_mtime_ns != 1
    assert load(path).batch.images == [FIRST]
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def test_plan_is_written_again_when_names_tell_something_else(tmp_path):
    path = tmp_path / "x.json"
    save(BASE, "/root", "/root", COLUMNS[:4], path)
    told = [image._replace(metadata=("q", "B02", "2", "")) for image in (FIRST, SECOND)]
    save(batch(*told), "/root", "/root", COLUMNS[:4], path)
    assert [image.metadata[1] for image in load(path).batch.images] == ["B02", "B02"]


def test_dataset_of_a_plan_and_of_one_that_another_version_wrote(tmp_path):
    batch = Batch("a", ".", ".", [Image("x", (File("x.tif", 1, 2),))], Extent(1))
    save(batch, "/data", "/data", ("plate",), tmp_path / "a.json")
    assert dataset_of(tmp_path / "a.json") == "/data"
    (tmp_path / "b.json").write_text('{"batch": "b", "root": "/data", "files": []}')
    assert dataset_of(tmp_path / "b.json") is None


@pytest.mark.parametrize(
    ("extent", "count"),
    [
        # 2048 x 2048, 2160 x 2160 and 1992 x 1992 count the same, as do 1 to 2 channels of them.
        (Extent(4.194), 1000),
        (Extent(4.666), 1000),
        (Extent(3.968, layers=2), 1000),
        # Three channels, ten planes.
        (Extent(4.194, layers=30), 250),
        # Files of 100 times.
        (Extent(4.194, images=100), 8),
        # A slide; a thumbnail; a header that says nothing.
        (Extent(10_000.0), 1),
        (Extent(0.01), 2000),
        (Extent(0.0), 2000),
    ],
)
def test_batches_have_so_many_images_as_are_minutes_of_work(extent, count):
    assert BatchSize().of(extent) == count
    assert BatchSize(3).of(extent) == 3


def test_batches_are_as_large_as_the_config_says():
    assert BatchSize(megapixels=400).of(Extent(4.194)) == 100
    assert BatchSize(megapixels=0.1).of(Extent(4.194)) == 1
    assert BatchSize(5000, megapixels=0.1).of(Extent(4.194)) == 5000


@pytest.mark.parametrize(
    ("crop", "resize", "megapixels"),
    [
        (None, None, 4.0),
        (None, {"factor": 0.5}, 1.0),
        (None, {"width": 3000}, 9.0),
        (None, {"height": 1000}, 1.0),
        ((1000, 500), None, 0.5),
        ((1000, 500), {"factor": 2}, 2.0),
        ((1000, 500), {"width": 2000}, 2.0),
        ((1000, 500), {"height": 1000}, 2.0),
        # One that reaches out of the image fails later, alone.
        ((5000, 5000), None, 4.0),
    ],
)
def test_pixels_after_crop_and_resize(crop, resize, megapixels: float):
    part = crop and {"x": 7, "y": 9, "width": crop[0], "height": crop[1]}
    assert Extent(4.0).after(part, resize) == pytest.approx(megapixels)
