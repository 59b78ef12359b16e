"""What is found in a dataset, and how it is cut into batches."""

import itertools
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleiflow import dataset
from nucleiflow.dataset import DatasetError, cut, find, load, save, stem

EXTENSIONS = ["tif", "tiff", "png", "jpg", "jpeg", "bmp"]


@pytest.fixture
def make(tmp_path):
    """Makes files of some bytes below a new directory and gives it back."""
    root = tmp_path / "images"
    root.mkdir()

    def make(*names, size=7):
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(size))
        return root

    return make


def look(root, batch_size=100, exclude="", extensions=EXTENSIONS, megapixels=lambda path: 1.0):
    return find(str(root), extensions, batch_size, megapixels, str(exclude))


def names(found):
    """Every image found, as its path below the root, in the order of the dataset."""
    return [
        f"{batch.directory}/{file}"
        for batch in found.batches.values()
        for file, _, _ in batch.files
    ]


def refusal(root, **options):
    with pytest.raises(DatasetError) as caught:
        look(root, **options)
    return str(caught.value)


# Finding


def test_images_are_found_at_any_depth_in_the_order_of_their_names(make):
    root = make("b/2.tif", "b/1.tif", "a/x/y/z/1.png", "a/1.jpg", "0.bmp", "c d.e/ü 1.2.jpeg")
    found = look(root)
    assert names(found) == [
        *("./0.bmp", "a/1.jpg", "a/x/y/z/1.png", "b/1.tif", "b/2.tif", "c d.e/ü 1.2.jpeg"),
    ]
    assert (found.images, found.directories, found.size, found.ignored) == (6, 5, 42, 0)


def test_endings_count_in_any_case(make):
    found = look(make("1.TIF", "2.Tiff", "3.PNG", "4.jPeG"))
    assert names(found) == ["./1.TIF", "./2.Tiff", "./3.PNG", "./4.jPeG"]


def test_hidden_files_and_directories_are_left_alone(make):
    found = look(make("1.tif", ".2.tif", "._1.tif", ".tif", ".git/3.tif", "a/.cache/4.tif"))
    assert names(found) == ["./1.tif"]
    assert found.ignored == 0


def test_other_files_are_counted(make):
    found = look(make("1.tif", "notes.txt", "a/plate.csv", "b/tif", "b/1.tif.bak"))
    assert names(found) == ["./1.tif"]
    assert (found.ignored, found.directories) == (4, 1)


def test_endings_of_the_config_are_the_only_ones_taken(make):
    found = look(make("1.tif", "1.png", "2.tiff"), extensions=["png"])
    assert names(found) == ["./1.png"]
    assert found.ignored == 2


@pytest.mark.parametrize("other", ["a/1.png", "a/1.TIF", "a/1.tiff"])
def test_two_files_of_one_name_in_a_directory_are_refused(make, other):
    root = make("a/1.tif", other, "b/1.tif")
    first, second = sorted(["1.tif", other[2:]])
    assert refusal(root) == (
        f"images: a holds both {first} and {second}, which would be the same image: "
        "move one of them away, or set extensions to the ending to use"
    )


def test_the_same_name_in_two_directories_is_fine(make):
    found = look(make("a/1.tif", "b/1.png", "1.tif"))
    assert len(found.batches) == found.images == 3


def test_link_that_leads_back_is_not_followed_and_named(make):
    root = make("a/b/1.tif")
    (root / "a/b/up").symlink_to("..")
    found = look(root)
    assert names(found) == ["a/b/1.tif"]
    assert found.loops == ["a/b/up"]
    assert found.summary().endswith(
        "; not followed, as it links back to a directory above it: a/b/up"
    )


def test_links_between_two_directories_end(make):
    root = make("a/1.tif", "b/2.tif")
    (root / "a/other").symlink_to("../b")
    (root / "b/other").symlink_to("../a")
    found = look(root)
    assert names(found) == ["a/1.tif", "a/other/2.tif", "b/2.tif", "b/other/1.tif"]
    assert found.loops == ["a/other/other", "b/other/other"]


def test_link_to_a_directory_elsewhere_is_followed(make, tmp_path):
    root = make("1.tif")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/2.tif").write_bytes(b"x")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    assert names(look(root)) == ["./1.tif", "linked/2.tif"]


@pytest.mark.parametrize("target", ["nowhere", "2.tif"], ids=["nothing", "itself"])
def test_link_that_leads_nowhere_counts_as_an_image_so_that_its_failure_is_reported(make, target):
    root = make("1.tif")
    (root / "2.tif").symlink_to(target)
    found = look(root)
    assert [file for batch in found.batches.values() for file in batch.files][1] == ("2.tif", 0, 0)


def test_root_may_be_a_link(make, tmp_path):
    root = make("a/1.tif")
    (tmp_path / "link").symlink_to(root)
    found = look(tmp_path / "link")
    assert names(found) == ["a/1.tif"] and found.root == str(tmp_path / "link")


@pytest.mark.parametrize("results", ["results", "a/results"])
def test_results_inside_the_images_are_left_out(make, results):
    root = make("1.tif", "a/2.tif", f"{results}/overlay/b/1.jpg", "b/results/3.tif")
    found = look(root, exclude=root / results)
    assert names(found) == ["./1.tif", "a/2.tif", "b/results/3.tif"]


def test_results_in_the_directory_of_the_images_itself_are_refused(make):
    root = make("1.tif")
    assert refusal(root, exclude=root) == (
        f"results: {root} is the directory of the images, where nothing may be written: "
        "set results to another one"
    )


def test_missing_directory_is_refused(tmp_path):
    path = tmp_path / "none"
    assert refusal(path) == f"images: there is no directory {path}, check the path"


def test_file_instead_of_a_directory_is_refused(make):
    path = make("1.tif") / "1.tif"
    assert refusal(path) == (
        f"images: {path} is not a directory, set it to the directory of the images"
    )


@pytest.mark.parametrize(
    ("files", "count"),
    [([], "0 other files"), (["a.txt"], "1 other file"), (["a.txt", "b/c.gif"], "2 other files")],
)
def test_directory_without_images_is_refused(make, files, count):
    root = make(*files)
    assert refusal(root) == (
        f"images: no file below {root} ends in tif, tiff, png, jpg, jpeg, bmp ({count} there), "
        "check the path or set extensions"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every directory")
def test_directory_that_may_not_be_looked_into_is_refused(make):
    root = make("a/1.tif")
    (root / "a").chmod(0)
    try:
        assert refusal(root) == (
            f"images: cannot look into {root / 'a'} (Permission denied), check its permissions"
        )
    finally:
        (root / "a").chmod(0o755)


def test_name_that_is_no_text_is_refused(make):
    root = make("1.tif")
    (root / os.fsdecode(b"\xff.tif")).write_bytes(b"x")
    assert refusal(root) == (
        f"images: the name b'\\xff.tif' in {root} is not valid UTF-8, rename it"
    )


@pytest.mark.parametrize(
    ("count", "sizes", "text"),
    [
        (1, 7, "1 image in 1 directory, 1 batch, 7 bytes on disk"),
        (3, 1500, "3 images in 1 directory, 3 batches, 4.5 kB on disk"),
        (1200, 1000, "1,200 images in 1 directory, 1,200 batches, 1.2 MB on disk"),
    ],
)
def test_summary_counts_directories_images_batches_and_bytes(make, count, sizes, text):
    root = make(*(f"a/{index}.tif" for index in range(count)), size=sizes)
    assert look(root, batch_size=1).summary() == f"{root}: {text}"


def test_summary_counts_what_was_left_alone(make):
    root = make("1.tif", "a.txt", "b.txt")
    assert look(root).summary().endswith("7 bytes on disk; 2 other files left alone")


def test_nothing_is_written_to_the_images(make):
    root = make("a/1.tif", "2.tif")
    before = sorted((path, path.stat().st_mtime_ns) for path in [root, *root.rglob("*")])
    look(root)
    assert sorted((path, path.stat().st_mtime_ns) for path in [root, *root.rglob("*")]) == before


# Sizes


def test_size_of_a_directory_is_that_of_its_largest_file(make):
    root = make("a/1.tif", size=10)
    make("a/2.tif", size=1000)
    make("b/1.tif", size=10)
    asked = []

    def megapixels(path):
        asked.append(os.path.relpath(path, root))
        return 4.0 if path.endswith("2.tif") else 0.5

    found = look(root, megapixels=megapixels)
    assert asked == ["a/2.tif", "b/1.tif"]
    assert [batch.megapixels for batch in found.batches.values()] == [4.0, 0.5]


def test_size_is_guessed_where_no_header_can_be_read(make):
    found = look(make(*(f"{index}.tif" for index in range(9))), megapixels=lambda path: None)
    assert {batch.megapixels for batch in found.batches.values()} == {dataset.FALLBACK_MEGAPIXELS}


def test_total_size_of_a_batch_follows_the_sizes_of_its_files():
    files = [("1.tif", 1000, 0), ("2.tif", 500, 0), ("3.tif", 0, 0)]
    batch = dataset.Batch("b", ".", files, 2.0)
    assert batch.total_megapixels == pytest.approx(2.0 * (1 + 0.5 + 0.1))
    assert dataset.Batch("b", ".", [("1.tif", 0, 0)], 2.0).total_megapixels > 0


# Names of batches


AWKWARD = ["plate 1", "Zürich/Tag.1", "日本", "a/b", "a-b", "a_b", "x" * 200, "--", "[1]{2}*?"]


def test_names_of_batches_are_plain_unique_and_tell_their_directory(make):
    root = make(*(f"{directory}/1 ä.tif" for directory in AWKWARD), "1.tif")
    found = look(root, batch_size=1)
    assert len(found.batches) == len(AWKWARD) + 1
    for name, batch in found.batches.items():
        assert name == batch.name
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) and len(name) < 150
    told = {batch.directory: name.split(".")[0] for name, batch in found.batches.items()}
    assert told["."] == "root"
    assert told["plate 1"] == "plate-1"
    assert told["Zürich/Tag.1"] == "Zurich-Tag-1"
    assert told["a/b"] == told["a-b"] == "a-b"


def test_name_of_a_batch_holds_its_first_image(make):
    found = look(make("plate/A01 s1.tif"))
    assert re.fullmatch(r"plate\.A01-s1\.[0-9a-f]{8}", next(iter(found.batches)))


def test_images_that_differ_in_letters_outside_ascii_get_batches_of_different_names(make):
    found = look(make("日.tif", "月.tif", "ä.tif", "a.tif"), batch_size=1)
    assert len(found.batches) == 4


@pytest.mark.parametrize(
    ("file", "name"), [("a.tif", "a"), ("a.b.ome.tif", "a.b.ome"), (".x.y", ".x")]
)
def test_name_of_an_image_is_its_file_without_the_last_ending(file, name):
    assert stem(file) == name


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


def test_directories_are_cut_each_on_its_own(make):
    files = [f"{index:03}.tif" for index in range(50)]
    one = look(make(*(f"b/{file}" for file in files)), batch_size=5)
    two = look(make(*(f"a/{file}" for file in files[::2])), batch_size=5)
    assert one.batches.items() <= two.batches.items()
    assert all(len({batch.directory}) == 1 for batch in two.batches.values())


def test_removed_image_leaves_all_but_two_batches_as_they_were(make):
    root = make(*(f"a/{index:03}.tif" for index in range(200)))
    before = look(root, batch_size=10).batches
    (root / "a/100.tif").unlink()
    after = look(root, batch_size=10).batches
    changed = [
        name
        for name, batch in after.items()
        if name not in before or before[name].fingerprint != batch.fingerprint
    ]
    assert len(changed) <= 2


# Fingerprints and plans


BASE = dataset.Batch("name", "a", [("1.tif", 10, 5), ("2.tif", 20, 6)], 1.0)


@pytest.mark.parametrize(
    "files",
    [
        [("1.tif", 11, 5), ("2.tif", 20, 6)],
        [("1.tif", 10, 5), ("2.tif", 20, 7)],
        [("1.tif", 10, 5), ("3.tif", 20, 6)],
        [("1.tif", 10, 5)],
        [("1.tif", 10, 5), ("2.tif", 20, 6), ("3.tif", 1, 1)],
    ],
    ids=["size", "time", "name", "removed", "added"],
)
def test_fingerprint_changes_with_each_image(files):
    assert dataset.Batch("name", "a", files, 1.0).fingerprint != BASE.fingerprint


def test_fingerprint_changes_with_the_directory_and_nothing_else():
    assert dataset.Batch("name", "b", BASE.files, 1.0).fingerprint != BASE.fingerprint
    assert dataset.Batch("other", "a", list(BASE.files), 9.0).fingerprint == BASE.fingerprint


def test_changed_file_changes_the_fingerprint(make):
    root = make("1.tif")
    before = next(iter(look(root).batches.values())).fingerprint
    assert next(iter(look(root).batches.values())).fingerprint == before
    os.utime(root / "1.tif", ns=(1, 1))
    assert next(iter(look(root).batches.values())).fingerprint != before


def test_plan_of_a_batch_gives_back_what_was_saved(tmp_path, make):
    root = make("ü 1/a b.tif", "ü 1/c.tif")
    batch = next(iter(look(root).batches.values()))
    path = tmp_path / "plans/x.json"
    save(batch, str(root), path)
    loaded, loaded_root = load(path)
    assert (loaded, loaded_root) == (batch, str(root))
    assert loaded.fingerprint == batch.fingerprint


def test_plan_is_written_again_only_when_it_changed(tmp_path):
    path = tmp_path / "x.json"
    save(BASE, "/root", path)
    os.utime(path, ns=(1, 1))
    save(BASE, "/root", path)
    assert path.stat().st_mtime_ns == 1
    save(dataset.Batch("name", "a", BASE.files[:1], 1.0), "/root", path)
    assert path.stat().st_mtime_ns != 1
    assert load(path)[0].files == BASE.files[:1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]
