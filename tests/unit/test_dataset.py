"""What is found in a dataset, and which files make one image."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleiflow import dataset, plan
from nucleiflow.dataset import DatasetError, Look, find, find_in_sheet, stem
from nucleiflow.field import Header
from nucleiflow.plan import BatchSize, Extent, File, Image
from nucleiflow.readers import Channel
from nucleiflow.samples import Sample, SampleSheet

EXTENSIONS = ["tif", "tiff", "png", "jpg", "jpeg", "bmp", "zarr"]
WELLS = r"(?P<well>[A-H]\d\d)_s(?P<site>\d+)(?:_w(?P<channel>\d+))?(?:_z(?P<z>\d+))?\.tif"
UNREADABLE = Look(lambda folder, files: None)


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


def look(root, batch_size=100, results="", extensions=EXTENSIONS, look=UNREADABLE, **options):
    return find(str(root), extensions, BatchSize(batch_size), look, str(results), **options)


def images(found):
    """Every image found, in the order of the dataset."""
    return [image for batch in found.batches.values() for image in batch.images]


def names(found):
    """Every file found, as its path below the root, in the order of the dataset."""
    return [
        f"{batch.directory}/{file.path}"
        for batch in found.batches.values()
        for image in batch.images
        for file in image.files
    ]


def parts(image):
    return [(file.path, file.channel, file.z) for file in image.files]


def problems(found):
    return {image.name: image.problem for image in images(found) if image.problem}


def changed(before, after):
    """Names of the batches that would run again."""
    return [
        name
        for name, batch in after.batches.items()
        if name not in before.batches or before.batches[name].fingerprint != batch.fingerprint
    ]


def a_header(height=1000, width=2000, scenes=(("", 1),), names=("",), planes=1, dtype="uint16"):
    stated, numbers = tuple(map(Channel, names)), tuple(range(planes))
    return Header(scenes, names, stated, numbers, height, width, np.dtype(dtype), None, "")


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


@pytest.fixture
def elsewhere(tmp_path):
    """A directory beside the images, with a file and an OME-Zarr."""
    folder = tmp_path / "images2"
    (folder / "3.zarr").mkdir(parents=True)
    (folder / "2.tif").write_bytes(b"x")
    return folder


def test_links_that_leave_the_dataset_are_followed_where_that_is_allowed(make, elsewhere):
    root = make("1.tif")
    (root / "linked").symlink_to(elsewhere)
    (root / "2.tif").symlink_to(elsewhere / "2.tif")
    assert names(look(root, follow_links="anywhere")) == [
        "./1.tif",
        "./2.tif",
        "linked/2.tif",
        "linked/3.zarr",
    ]


@pytest.mark.parametrize("target", ["", "2.tif", "3.zarr", "nothing", "../images2", ".."])
def test_links_that_leave_the_dataset_are_refused(make, elsewhere, target):
    root = make("1.tif")
    target = (elsewhere / target).resolve()
    for name in ("a/link.zarr", "a/link.tif"):
        (root / "a").mkdir(exist_ok=True)
        (root / name).symlink_to(target)
        assert refusal(root) == (
            f"images: {name} is a link to {target}, outside of the dataset: set follow_links to "
            "anywhere to follow it, or name it in exclude"
        )
        (root / name).unlink()


def test_links_in_an_image_that_leave_the_dataset_are_refused(make, elsewhere):
    root = make("1.tif", "2.zarr/0/c/0")
    (root / "2.zarr/0/c/1").symlink_to("0")
    assert names(look(root)) == ["./1.tif", "./2.zarr"]
    (root / "2.zarr/0/c/2").symlink_to(elsewhere / "2.tif")
    assert refusal(root).startswith(
        f"images: 2.zarr/0/c/2 is a link to {elsewhere}/2.tif, outside of the dataset: "
    )
    assert names(look(root, follow_links="anywhere")) == ["./1.tif", "./2.zarr"]


def test_links_that_are_not_followed_may_lead_anywhere(make, elsewhere):
    root = make("1.tif", "results/x.tif")
    (root / "notes.txt").symlink_to(elsewhere / "2.tif")
    (root / ".hidden.tif").symlink_to(elsewhere / "2.tif")
    (root / "old").symlink_to(elsewhere)
    (root / "2_mask.tif").symlink_to(elsewhere / "2.tif")
    (root / "out").symlink_to(elsewhere)
    found = look(root, results=elsewhere, exclude=["*_mask.tif", "results/*"])
    assert names(found) == ["./1.tif"]
    assert found.set_aside == {"exclude": ["2_mask.tif", "results/x.tif"]}
    found = look(root, exclude=["*_mask.tif", "results/*", "old/*", "out"])
    assert names(found) == ["./1.tif"]
    assert sorted(found.set_aside["exclude"]) == ["2_mask.tif", "old", "out", "results/x.tif"]


def test_links_within_the_dataset_are_followed(make, tmp_path):
    root = make("a/1.tif")
    (root / "b").symlink_to("a")
    (root / "2.tif").symlink_to(root / "a/1.tif")
    (tmp_path / "link").symlink_to(root)
    for path in (root, tmp_path / "link"):
        assert names(look(path)) == ["./2.tif", "a/1.tif", "b/1.tif"]


@pytest.mark.parametrize("target", ["nowhere", "2.tif"], ids=["nothing", "itself"])
def test_link_that_leads_nowhere_counts_as_an_image_so_that_its_failure_is_reported(make, target):
    root = make("1.tif")
    (root / "2.tif").symlink_to(target)
    found = look(root)
    assert images(found)[1] == Image("2", (File("2.tif", 0, 0),), ("",) * 4)


def test_root_may_be_a_link(make, tmp_path):
    root = make("a/1.tif")
    (tmp_path / "link").symlink_to(root)
    found = look(tmp_path / "link")
    assert names(found) == ["a/1.tif"] and found.root == str(tmp_path / "link")


@pytest.mark.parametrize("results", ["results", "a/results"])
def test_results_inside_the_images_are_left_out(make, results):
    root = make("1.tif", "a/2.tif", f"{results}/overlay/b/1.jpg", "b/results/3.tif")
    found = look(root, results=root / results)
    assert names(found) == ["./1.tif", "a/2.tif", "b/results/3.tif"]


def test_results_in_the_directory_of_the_images_itself_are_refused(make):
    root = make("1.tif")
    assert refusal(root, results=root) == (
        f"results: {root} is the directory of the images, where nothing may be written: "
        "set results to another one"
    )


def test_missing_directory_is_refused(tmp_path):
    path = tmp_path / "none"
    assert refusal(path) == f"images: there is no directory {path}, check the path"


def test_file_instead_of_a_directory_is_refused(make):
    path = make("1.tif") / "1.tif"
    assert refusal(path) == (
        f"images: {path} is neither a directory nor a sample sheet (.csv, .tsv), "
        "set it to the directory of the images"
    )


@pytest.mark.parametrize(
    ("files", "count"),
    [([], "0 other files"), (["a.txt"], "1 other file"), (["a.txt", "b/c.gif"], "2 other files")],
)
def test_directory_without_images_is_refused(make, files, count):
    root = make(*files)
    assert refusal(root) == (
        f"images: no file below {root} ends in {', '.join(EXTENSIONS)} ({count} there), "
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


def test_what_is_excluded_is_set_aside_with_its_folder(make):
    root = make("a/1.tif", "a/1_overlay.png", "a/old/2.tif", "a/old/b/3.tif", "old/4.tif")
    found = look(root, exclude=["*_overlay.png", "a/old/*"])
    assert names(found) == ["a/1.tif", "old/4.tif"]
    assert found.set_aside == {"exclude": ["a/1_overlay.png", "a/old/2.tif", "a/old/b/3.tif"]}
    assert found.summary().endswith("; 3 files set aside (exclude), such as a/1_overlay.png")


def test_label_images_are_set_aside_as_such(make):
    root = make("a/1.tif", "a/1_cp_masks.png", "seeds/1.tif", "b/x.tif")
    found = look(root, exclude=["b/*"], labels=["*_cp_masks.*", "seeds/*"])
    assert names(found) == ["a/1.tif"]
    aside = {"labels": ["a/1_cp_masks.png", "seeds/1.tif"], "exclude": ["b/x.tif"]}
    assert found.set_aside == aside
    assert "; 2 files set aside (labels), such as a/1_cp_masks.png" in found.summary()


def test_exclude_tells_letters_in_upper_and_lower_case_apart(make):
    found = look(make("1.tif", "X_1.tif", "x_2.tif"), exclude=["x_*"])
    assert names(found) == ["./1.tif", "./X_1.tif"]


def test_dataset_whose_images_are_all_excluded_is_refused(make):
    root = make("1.tif", "2.txt")
    assert refusal(root, exclude=["*.tif"], extensions=["tif"]) == (
        f"images: exclude leaves out all of 1 image below {root}, change it"
    )


# Sizes


def test_header_of_a_directory_is_that_of_its_largest_image(make):
    root = make("a/1.tif", size=10)
    make("a/2.tif", size=1000)
    make("b/1.tif", size=10)
    asked = []

    def header(folder, files):
        asked.append((os.path.relpath(folder, root), [file.path for file in files]))
        return a_header() if files[0].path == "2.tif" else a_header(500, 1000)

    found = look(root, look=Look(header))
    assert asked == [("a", ["2.tif"]), ("b", ["1.tif"])]
    assert [batch.extent for batch in found.batches.values()] == [Extent(2.0), Extent(0.5)]


def test_header_of_a_joined_image_is_that_of_all_its_files(make):
    root = make("A01_s1_w1.tif", "A01_s1_w2.tif", size=10)
    make("A02_s1_w1.tif", "A02_s1_w2.tif", size=9)
    asked = []

    def header(folder, files):
        asked.append([(file.path, file.channel) for file in files])
        return a_header(names=("1", "2"))

    found = look(root, pattern=WELLS, look=Look(header))
    assert asked == [[("A01_s1_w1.tif", "1"), ("A01_s1_w2.tif", "2")]]
    assert [batch.extent for batch in found.batches.values()] == [Extent(2.0, 1, 2, 2)]


def test_extent_counts_all_times_of_all_scenes_and_the_planes_of_all_channels(make):
    header = a_header(scenes=(("a", 3), ("b", 4)), names=("DAPI", "GFP"), planes=5)
    found = look(make("1.tif"), look=Look(lambda folder, files: header))
    assert next(iter(found.batches.values())).extent == Extent(2.0, 7, 10, 2)


def test_next_largest_image_is_asked_where_a_header_cannot_be_read(make):
    root = make("0.tif", size=0)
    for index in range(1, 6):
        make(f"{index}.tif", size=index)
    asked = []

    def header(folder, files):
        asked.append(files[0].path)
        return a_header() if files[0].path == "3.tif" else None

    found = look(root, look=Look(header))
    assert asked == ["5.tif", "4.tif", "3.tif"]
    assert next(iter(found.batches.values())).extent == Extent(2.0)


def test_extent_is_guessed_where_no_header_can_be_read(make):
    asked = []
    unreadable = Look(lambda folder, files: asked.append(files[0].path))
    found = look(make(*(f"{index}.tif" for index in range(9))), look=unreadable)
    assert {batch.extent for batch in found.batches.values()} == {Extent(4.0, 1, 1)}
    assert asked == ["0.tif", "1.tif", "2.tif"]


def test_empty_files_are_not_opened(make):
    def header(folder, files):
        raise AssertionError(files)

    assert look(make("1.tif", size=0), look=Look(header)).images == 1


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({}, "2000 x 1000 pixels of uint16"),
        (
            {"names": ("DAPI", "GFP"), "planes": 3, "dtype": "uint8"},
            "2000 x 1000 pixels of uint8, 2 channels (DAPI, GFP), 3 planes",
        ),
        (
            {"scenes": (("a", 2), ("b", 5)), "names": ("DAPI",)},
            "2000 x 1000 pixels of uint16, 1 channel (DAPI), 2 scenes, 5 times",
        ),
    ],
)
def test_summary_says_what_the_images_are(make, header, text):
    found = look(make("1.tif"), look=Look(lambda folder, files: a_header(**header)))
    assert found.summary().endswith(f"7 bytes on disk; {text}")


@pytest.mark.parametrize(
    ("heights", "text"),
    [
        ([5, 5, 5], "7 x 5 pixels of uint16"),
        ([5, 6, 5], "7 x 5 pixels of uint16 or 7 x 6 pixels of uint16"),
        ([5, 6, 7, 8], "7 x 5 pixels of uint16 or 7 x 6 pixels of uint16 and 2 other kinds"),
    ],
)
def test_summary_names_two_kinds_of_directories(make, heights, text):
    root = make(*(f"{index}/1.tif" for index in range(len(heights))))

    def header(folder, files):
        return a_header(heights[int(Path(folder).name)], 7)

    assert look(root, look=Look(header)).summary().endswith(f"bytes on disk; {text}")


# Batches


def test_names_of_batches_tell_their_directory_and_first_image(make):
    found = look(make("plate 1/A01 s1.tif", "1.tif"))
    assert [name.rsplit(".", 1)[0] for name in found.batches] == ["root.1", "plate-1.A01-s1"]
    assert all(name == batch.name for name, batch in found.batches.items())


def test_images_that_differ_in_letters_outside_ascii_get_batches_of_different_names(make):
    found = look(make("日.tif", "月.tif", "ä.tif", "a.tif"), batch_size=1)
    assert len(found.batches) == 4


def test_two_batches_of_one_name_are_refused(make, monkeypatch):
    monkeypatch.setattr(dataset, "batch_name", lambda directory, first: "same")
    assert refusal(make("1.tif", "2.tif"), batch_size=1) == (
        "images: two batches of . would be called same, rename the image 2"
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.tif", "a"),
        ("a.b.tif", "a.b"),
        ("a.b.ome.tif", "a.b"),
        ("x/a.OME.TIFF", "a"),
        ("a.ome.zarr", "a"),
        ("rome.tif", "rome"),
        ("x.y/a", ""),
        (".x.y", ".x"),
    ],
)
def test_name_of_an_image_is_its_file_without_the_ending(file, name):
    assert stem(file) == name


def test_directories_are_cut_each_on_its_own(make):
    files = [f"{index:03}.tif" for index in range(50)]
    one = look(make(*(f"b/{file}" for file in files)), batch_size=5)
    two = look(make(*(f"a/{file}" for file in files[::2])), batch_size=5)
    assert one.batches.items() <= two.batches.items()
    assert all(len({batch.directory}) == 1 for batch in two.batches.values())


def test_removed_image_leaves_all_but_two_batches_as_they_were(make):
    root = make(*(f"a/{index:03}.tif" for index in range(200)))
    before = look(root, batch_size=10)
    (root / "a/100.tif").unlink()
    after = look(root, batch_size=10)
    assert 1 <= len(changed(before, after)) <= 2


def field_files(well, site):
    return [f"{well}_s{site}_w{channel}.tif" for channel in (1, 2)]


fields = st.lists(
    st.tuples(st.sampled_from(["A01", "A02", "B01", "H12"]), st.integers(1, 12)),
    min_size=2,
    max_size=40,
    unique=True,
)


@settings(max_examples=60)
@given(fields, st.integers(1, 10), st.data())
def test_one_field_more_or_less_changes_two_batches_at_most(
    tmp_path_factory, fields, batch_size, data
):
    root = tmp_path_factory.mktemp("fields")
    for field in fields:
        for file in field_files(*field):
            (root / file).touch()
            os.utime(root / file, ns=(1, 1))
    more = look(root, batch_size, pattern=WELLS)
    assert more.images == len(fields)
    for file in field_files(*data.draw(st.sampled_from(fields))):
        (root / file).unlink()
    less = look(root, batch_size, pattern=WELLS)
    assert less.images == len(fields) - 1
    assert len(changed(more, less)) <= 2
    assert len(changed(less, more)) <= 2


def test_changed_file_of_a_field_changes_its_batch_alone(make):
    wells = [f"A{column:02}" for column in range(1, 13)]
    root = make(*itertools.chain(*(field_files(well, 1) for well in wells)))
    before = look(root, batch_size=1, pattern=WELLS)
    assert changed(before, look(root, batch_size=1, pattern=WELLS)) == []
    os.utime(root / "A05_s1_w2.tif", ns=(1, 1))
    (name,) = changed(before, look(root, batch_size=1, pattern=WELLS))
    assert name.startswith("root.A05_s1.")


def test_what_names_tell_does_not_run_a_batch_again(make):
    root = make("A01_s1.tif", "A02_s1.tif")
    told = look(root, pattern=r"(?P<well>[A-H]\d\d)_s(?P<site>\d+)\.tif")
    assert [image.metadata for image in images(told)] == [
        ("", "A01", "1", ""),
        ("", "A02", "1", ""),
    ]
    assert [image.metadata for image in images(look(root))] == [("",) * 4] * 2
    assert changed(look(root), told) == []


def test_lost_channel_runs_the_batch_of_its_field_again(make):
    root = make(*field_files("A01", 1), *field_files("A02", 1), *field_files("A03", 1))
    before = look(root, batch_size=1, pattern=WELLS)
    (root / "A02_s1_w2.tif").unlink()
    (name,) = changed(before, look(root, batch_size=1, pattern=WELLS))
    assert name.startswith("root.A02_s1.")


def test_plan_of_what_was_found_is_what_a_job_reads(make, tmp_path):
    root = make("ü 1/A01_s1_w1_z2.tif", "ü 1/A01_s1_w2_z2.tif")
    found = look(root, pattern=WELLS)
    (batch,) = found.batches.values()
    plan.save(batch, found.path, found.root, found.columns, tmp_path / "plan.json")
    loaded = plan.load(tmp_path / "plan.json")
    assert loaded == (batch, str(root), root, ("plate", "well", "site", "time"))
    assert loaded.batch.fingerprint == batch.fingerprint


# Files of one field


def test_files_of_one_field_become_one_image_in_each_directory(make):
    root = make(
        *("p1/A01_s1_w2.tif", "p1/A01_s1_w10.tif", "p1/A01_s1_w1.tif"),
        *("p1/A01_s2_w1.tif", "p1/A01_s2_w2.tif", "p1/A01_s2_w10.tif"),
        *("p2/A01_s1_w1.tif", "p2/A01_s1_w2.tif"),
    )
    found = look(root, pattern=WELLS)
    assert (found.images, found.directories, found.size) == (3, 2, 56)
    first, second = found.batches.values()
    assert (first.directory, first.folder, second.directory) == ("p1", "p1", "p2")
    assert [image.name for image in first.images] == ["A01_s1", "A01_s2"]
    assert [image.metadata for image in first.images] == [
        ("", "A01", "1", ""),
        ("", "A01", "2", ""),
    ]
    assert parts(first.images[0]) == [
        ("A01_s1_w1.tif", "1", None),
        ("A01_s1_w2.tif", "2", None),
        ("A01_s1_w10.tif", "10", None),
    ]
    assert parts(second.images[0]) == [
        ("A01_s1_w1.tif", "1", None),
        ("A01_s1_w2.tif", "2", None),
    ]
    assert found.channel_sets == {("1", "2", "10"): "p1", ("1", "2"): "p2"}
    assert problems(found) == {}


def test_planes_are_sorted_as_numbers_within_their_channels(make):
    files = [f"A01_s1_w{w}_z{z}.tif" for w in (2, 1) for z in (10, 2, 9)]
    (image,) = images(look(make(*files), pattern=WELLS))
    assert [part[1:] for part in parts(image)] == [
        *(("1", 2), ("1", 9), ("1", 10), ("2", 2), ("2", 9), ("2", 10)),
    ]


def test_channels_with_names_come_after_those_with_numbers(make):
    pattern = r"(?P<well>A\d\d)_(?P<channel>\w+)\.tif"
    files = [f"A01_{channel}.tif" for channel in ("GFP", "10", "DAPI", "9")]
    (image,) = images(look(make(*files), pattern=pattern))
    assert [file.channel for file in image.files] == ["9", "10", "DAPI", "GFP"]


def test_folders_of_planes_and_channels_are_joined_and_stay_in_the_paths(make):
    stacks = [f"p/TimePoint_1/ZStep_{z}/x_A01_s1_w{w}.TIF" for z in (1, 2, 10) for w in (1, 2)]
    found = look(make(*stacks), pattern="auto")
    (batch,) = found.batches.values()
    assert (batch.directory, batch.folder) == ("p/TimePoint_1", "p/TimePoint_1")
    (image,) = batch.images
    assert (image.name, image.metadata) == ("x_A01_s1_t1", ("x", "A01", "1", "1"))
    assert parts(image) == [
        (f"ZStep_{z}/x_A01_s1_w{w}.TIF", str(w), z) for w in (1, 2) for z in (1, 2, 10)
    ]


def test_joined_files_in_the_dataset_itself(make):
    root = make(*(f"{channel}/A01.tif" for channel in ("dapi", "gfp")))
    found = look(root, pattern=r"(?P<channel>\w+)/(?P<well>A\d\d)\.tif")
    (batch,) = found.batches.values()
    assert (batch.directory, batch.folder, batch.images[0].name) == (".", ".", "A01")
    assert parts(batch.images[0]) == [
        ("dapi/A01.tif", "dapi", None),
        ("gfp/A01.tif", "gfp", None),
    ]


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        (["w2_z1", "w2_z2"], "the file of channel 2 is missing"),
        (["w2_z2"], "the file of plane 2 of channel 2 is missing"),
        (["w1_z2", "w2_z2"], "the file of plane 2 of channel 1 is missing (and 1 more)"),
        (["w2_z1", "w2_z2", "w11_z1"], "the file of channel 2 is missing"),
    ],
    ids=["channel", "plane", "two", "both"],
)
def test_field_that_lacks_what_others_have_is_alone_in_failing(make, missing, sentence):
    parts = [f"w{w}_z{z}" for w in (1, 2, 11) for z in (1, 2)]
    files = [f"A0{well}_s1_{part}.tif" for well in (1, 2, 3) for part in parts]
    root = make(*files)
    for part in missing:
        (root / f"A02_s1_{part}.tif").unlink()
    found = look(root, pattern=WELLS)
    sentence += ", which other images of the directory have"
    assert problems(found) == {"A02_s1": sentence}
    assert found.incomplete == [f"A02_s1: {sentence}"]
    assert found.summary().endswith(f"; 1 image will fail: A02_s1: {sentence}")


def test_missing_plane_of_a_stack_without_channels(make):
    files = [f"p/A0{well}_s1_z{z}.tif" for well in (1, 2, 3) for z in (1, 2)]
    root = make(*files)
    (root / "p/A03_s1_z1.tif").unlink()
    assert look(root, pattern=WELLS).incomplete == [
        "p/A03_s1: the file of plane 1 is missing, which other images of the directory have"
    ]


def test_channel_that_half_of_the_fields_have_is_missed_in_the_others(make):
    root = make("A01_s1_w1.tif", "A01_s1_w2.tif", "A02_s1_w1.tif")
    assert list(problems(look(root, pattern=WELLS))) == ["A02_s1"]


def test_channel_that_fewer_fields_have_is_missed_in_none(make):
    root = make(*field_files("A01", 1), *field_files("A02", 1), *field_files("A03", 1))
    make("A03_s1_w3.tif")
    found = look(root, pattern=WELLS)
    assert problems(found) == {}
    assert [file.channel for file in images(found)[2].files] == ["1", "2", "3"]
    assert list(found.channel_sets) == [("1", "2")]


def test_fields_of_other_directories_are_no_measure(make):
    root = make("a/A01_s1_w1.tif", "a/A01_s1_w2.tif", "b/A01_s1_w1.tif")
    assert problems(look(root, pattern=WELLS)) == {}


def test_projection_beside_the_planes_of_its_channel_is_set_aside(make):
    folder = "p/TimePoint_1"
    root = make(
        f"{folder}/x_A01_s1_w1.TIF",
        *(f"{folder}/ZStep_{z}/x_A01_s1_w1.TIF" for z in (1, 2)),
        f"{folder}/x_A01_s1_w2.TIF",
    )
    found = look(root, pattern="auto")
    (image,) = images(found)
    assert [part[1:] for part in parts(image)] == [("1", 1), ("1", 2), ("2", None)]
    assert found.set_aside == {"projections beside their planes": [f"{folder}/x_A01_s1_w1.TIF"]}
    assert found.summary().endswith(
        "; names read as imagexpress: 1 plate, 1 well, 1 site, 1 time; 1 file set aside "
        f"(projections beside their planes), such as {folder}/x_A01_s1_w1.TIF"
    )


def test_companions_are_set_aside_and_counted(make):
    root = make(*(f"p/x_A01_s1_w{w}{thumb}.tif" for w in (1, 2) for thumb in ("", "_thumb")))
    found = look(root, pattern="auto")
    assert (found.images, found.size) == (1, 14)
    assert found.set_aside == {
        "companions of imagexpress": ["p/x_A01_s1_w1_thumb.tif", "p/x_A01_s1_w2_thumb.tif"]
    }
    assert found.summary().endswith(
        "; 2 files set aside (companions of imagexpress), such as p/x_A01_s1_w1_thumb.tif"
    )


def test_image_whose_name_does_not_match_fails_alone(make):
    root = make(*field_files("A01", 1), *field_files("A02", 1), "p/overview.tif", "notes.png")
    found = look(root, pattern=WELLS)
    sentence = "its name does not match metadata.pattern"
    assert problems(found) == {"overview": sentence, "notes": sentence}
    assert [image.name for image in images(found)] == ["A01_s1", "A02_s1", "notes", "overview"]
    assert found.incomplete == [f"notes: {sentence}", f"p/overview: {sentence}"]
    assert images(found)[2] == Image(
        "notes", (File("notes.png", 7, images(found)[2].files[0].changed),), ("",) * 4, sentence
    )


def test_images_whose_names_do_not_match_are_no_measure_for_the_others(make):
    # As many files as fields: neither lacks what the other has.
    root = make(*field_files("A01", 1), *field_files("A02", 1), "x.tif", "y.tif", "z.tif")
    assert list(problems(look(root, pattern=WELLS))) == ["x", "y", "z"]
    root = make("A03_s1_w1.tif")
    assert problems(look(root, pattern=WELLS))["A03_s1"] == (
        "the file of channel 2 is missing, which other images of the directory have"
    )


def test_image_whose_name_does_not_match_a_preset_names_it(make):
    root = make("r01c01f01p01-ch1sk1fk1fl1.tiff", "overview.tif")
    assert problems(look(root, pattern="phenix")) == {
        "overview": "its name does not match metadata.pattern phenix"
    }


@pytest.mark.parametrize("pattern", ["phenix", WELLS], ids=["preset", "expression"])
def test_pattern_that_matches_nothing_is_refused(make, pattern):
    assert refusal(make("a/1.tif", "a/2.tif"), pattern=pattern) == (
        f"config: metadata.pattern {pattern} matches none of 2 files such as a/1.tif, change it "
        "or set it to null"
    )


def test_wrong_pattern_is_refused_with_its_own_sentence(make):
    assert refusal(make("1.tif"), pattern="phenyx").startswith(
        "config: metadata.pattern 'phenyx' is no preset, did you mean phenix? (known: auto, "
    )


PHENIX = [f"Images/r01c01f{site:02}p01-ch1sk1fk1fl1.tiff" for site in range(1, 11)]


def test_refused_auto_says_three_ways_out_and_each_works(make):
    root = make(*PHENIX[:9], "overview.png")
    assert refusal(root, pattern="auto") == (
        "images: 9 of 10 files are named as by phenix, but not overview.png: name what is no image "
        "in exclude, or set metadata.pattern to phenix (the others then fail alone) or to null "
        "(each file is an image)"
    )
    assert look(root, pattern="auto", exclude=["overview.png"]).naming == "phenix"
    assert list(problems(look(root, pattern="phenix"))) == ["overview"]
    assert look(root, pattern=None).images == 10


@pytest.mark.parametrize(("matching", "others"), [(5, 5), (2, 1), (9, 1)])
def test_auto_is_refused_where_half_of_the_names_are_those_of_a_microscope(make, matching, others):
    root = make(*PHENIX[:matching], *(f"x{index}.png" for index in range(others)))
    total = matching + others
    assert refusal(root, pattern="auto").startswith(
        f"images: {matching} of {total} files are named as by phenix, but not x0.png: "
    )


def test_auto_reads_nothing_where_fewer_names_are_those_of_a_microscope(make):
    found = look(make(*PHENIX[:4], *(f"x{index}.png" for index in range(5))), pattern="auto")
    assert (found.naming, found.images, problems(found)) == ("", 9, {})
    assert "names read" not in found.summary()


def test_auto_is_not_refused_where_a_file_is_an_image_anyhow(make):
    root = make(*(f"VID1_A{column}_1.tif" for column in range(1, 20)), "overview.tif")
    found = look(root, pattern="auto")
    assert (found.naming, found.images) == ("", 20)


def test_auto_counts_companions_as_explained(make):
    root = make(*(f"x_A01_s{site}_w1.tif" for site in range(1, 10)), "x_A01_s1_w1_thumb.tif")
    assert look(root, pattern="auto").naming == "imagexpress"


def test_summary_counts_what_names_tell(make):
    found = look(make(*PHENIX, "Images/r02c01f01p01-ch1sk1fk1fl1.tiff"), pattern="auto")
    assert found.summary().endswith(
        "77 bytes on disk; names read as phenix: 2 wells, 10 sites, 1 time"
    )
    found = look(make("A01_s1.tif"), pattern=r"(?P<plate>X?)\d_s")
    assert "; names read as metadata.pattern: nothing told; " in found.summary()


def test_groups_of_the_pattern_become_columns(make):
    pattern = r"(?P<well>[A-H]\d\d)_(?P<dose>\d+uM)_w(?P<channel>\d)\.tif"
    found = look(make("A01_5uM_w1.tif", "A01_7uM_w1.tif", "x.tif"), pattern=pattern)
    assert found.columns == ("plate", "well", "site", "time", "dose")
    assert [(image.name, image.metadata) for image in images(found)] == [
        ("A01_5uM", ("", "A01", "", "", "5uM")),
        ("A01_7uM", ("", "A01", "", "", "7uM")),
        ("x", ("",) * 5),
    ]
    assert "names read as metadata.pattern: 1 well, 2 doses; " in found.summary()


def test_names_that_tell_no_channel_are_joined_to_nothing(make):
    found = look(make("1_A01.tif", "2_A01.tif"), pattern=r"(?P<well>A\d\d)")
    assert [(image.name, image.metadata[1]) for image in images(found)] == [
        ("1_A01", "A01"),
        ("2_A01", "A01"),
    ]
    assert found.channel_sets == {("",): "."}


DOUBLES = (
    "images: {} and {} in {} would be the same channel and plane of {}: move one of them away, or "
    "add to metadata.pattern a group for what tells them apart"
)


@pytest.mark.parametrize(
    ("files", "pattern", "sentence"),
    [
        (
            ["p/A01_s1_w01.tif", "p/A01_s1_w1.tif"],
            WELLS,
            DOUBLES.format("A01_s1_w01.tif", "A01_s1_w1.tif", "p", "A01_s1"),
        ),
        (
            ["A01_s1_w2_z3.tif", "A01_s1_w1_z3.tif", "A01_s01_w2_z03.tif"],
            WELLS,
            DOUBLES.format("A01_s01_w2_z03.tif", "A01_s1_w2_z3.tif", ".", "A01_s1"),
        ),
        (
            ["A - 01(fld 1).tif", "A - 01(fld 1).png"],
            "auto",
            DOUBLES.format("A - 01(fld 1).png", "A - 01(fld 1).tif", ".", "A01_s1"),
        ),
        (
            ["A01_1_.tif", "A01_2_.tif"],
            r"(?P<well>A\d\d)_\d_(?:w(?P<channel>\d))?\.tif",
            DOUBLES.format("A01_1_.tif", "A01_2_.tif", ".", "A01"),
        ),
    ],
    ids=["channel", "plane", "ending", "neither"],
)
def test_two_files_of_one_channel_and_plane_are_refused(make, files, pattern, sentence):
    assert refusal(make(*files), pattern=pattern) == sentence


# OME-TIFF datasets of several files


def of_set(*sets):
    """A Look that finds these sets of files."""

    def set_of(folder, path):
        return next((sorted(names) for names in sets if path in names), ())

    return Look(lambda folder, files: None, set_of)


def test_files_of_one_ome_tiff_dataset_are_one_image(make):
    root = make("a/x_1.ome.tif", "a/x_0.ome.tif", "a/y_0.ome.tif", "a/y_1.ome.tif", "a/z.ome.tif")
    make("a/x_1.ome.tif", size=9)
    make("a/other.tif", size=100)
    sets = of_set({"x_0.ome.tif", "x_1.ome.tif"}, {"y_0.ome.tif", "y_1.ome.tif"})
    found = look(root, look=sets)
    assert [(image.name, [file.path for file in image.files]) for image in images(found)] == [
        ("other", ["other.tif"]),
        ("x_0", ["x_0.ome.tif", "x_1.ome.tif"]),
        ("y_0", ["y_0.ome.tif", "y_1.ome.tif"]),
        ("z", ["z.ome.tif"]),
    ]
    assert (found.images, images(found)[1].size, problems(found)) == (4, 16, {})


def test_ome_tiff_datasets_are_asked_for_only_when_the_largest_file_is_of_one(make):
    root = make(*(f"{index}.ome.tif" for index in range(5)))
    make("3.ome.tif", size=9)
    asked = []

    def set_of(folder, path):
        asked.append((folder, path))
        return () if path == "3.ome.tif" else ("0.ome.tif", "1.ome.tif")

    found = look(root, look=Look(lambda folder, files: None, set_of))
    assert asked == [(os.path.join(root, "."), "3.ome.tif")]
    assert found.images == 5


def test_files_of_an_ome_tiff_dataset_that_are_not_there_are_not_made_up(make):
    found = look(make("b.ome.tif", "c.ome.tif"), look=of_set({f"{i}.ome.tif" for i in "abcd"}))
    assert [[file.path for file in image.files] for image in images(found)] == [
        ["b.ome.tif", "c.ome.tif"]
    ]
    found = look(make("b.ome.tif"), look=of_set({"b.ome.tif", "x.ome.tif"}))
    assert images(found)[0].name == "b"


def test_changed_file_of_an_ome_tiff_dataset_runs_its_batch_again(make):
    root = make("a.ome.tif", "b.ome.tif")
    sets = of_set({"a.ome.tif", "b.ome.tif"})
    before = look(root, look=sets)
    os.utime(root / "b.ome.tif", ns=(1, 1))
    assert changed(before, look(root, look=sets)) == list(before.batches)


# OME-Zarr


def store(path, attributes, chunks=()):
    """A store of Zarr 2 with some chunks of 10 bytes."""
    path.mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(attributes))
    for chunk in chunks:
        (path / chunk).parent.mkdir(parents=True, exist_ok=True)
        (path / chunk).write_bytes(bytes(10))
    return path


def plate(path, **wells):
    """A plate with fields of one chunk: `B12=3` is well B/12 with the fields 0, 1 and 2."""
    paths = [f"{name[0]}/{name[1:]}" for name in wells]
    store(path, {"plate": {"wells": [{"path": below} for below in paths]}})
    for below, count in zip(paths, wells.values(), strict=True):
        sites = [{"path": str(site)} for site in range(count)]
        store(path / below, {"well": {"images": sites}})
        for site in range(count):
            store(path / below / str(site), {"multiscales": []}, ["0/0/0"])
    return path


def bytes_below(path):
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())


def test_zarr_directory_is_one_image_of_the_size_of_all_its_files(make):
    root = make("a/1.tif")
    path = store(root / "a/x.ome.zarr", {"multiscales": []}, ["0/0/0", "0/0/1", "1/0/0", "1/a.tif"])
    found = look(root)
    assert [(image.name, image.files[0].path) for image in images(found)] == [
        ("1", "1.tif"),
        ("x", "x.ome.zarr"),
    ]
    assert images(found)[1].size == bytes_below(path) > 40
    assert (found.directories, found.ignored, found.endings) == (1, 0, {"tif", "zarr"})
    newest = max(entry.stat().st_mtime_ns for entry in path.rglob("*") if entry.is_file())
    assert images(found)[1].files[0].changed == newest


def test_changed_chunk_of_a_zarr_directory_runs_its_batch_again(make):
    root = make()
    path = store(root / "x.zarr", {"multiscales": []}, ["0/0/0", "0/0/1"])
    before = look(root)
    assert changed(before, look(root)) == []
    os.utime(path / "0/0/1", ns=(2**61, 2**61))
    assert changed(before, look(root)) == list(before.batches)
    (path / "0/0/0").unlink()
    assert images(look(root))[0].size == images(before)[0].size - 10


def test_zarr_directory_is_not_looked_into_where_it_is_no_image(make):
    root = make("1.tif", "x.zarr/0/1.tif", "y.ZARR/2.tif")
    found = look(root, extensions=["tif"])
    assert names(found) == ["./1.tif"]
    assert (found.ignored, found.directories) == (2, 1)


def test_plate_gives_an_image_for_each_field_with_its_well_and_site(make):
    root = make("a/1.tif")
    plate(root / "a/p 1.ome.zarr", A1=2, B12=1)
    found = look(root)
    single, batch = found.batches.values()
    assert (single.directory, single.images[0].metadata) == ("a", ("",) * 4)
    assert (batch.directory, batch.folder) == ("a/p 1.ome.zarr", "a/p 1.ome.zarr")
    assert [(image.name, image.metadata, image.files[0].path) for image in batch.images] == [
        ("A01_s0", ("p 1", "A01", "0", ""), "A/1/0"),
        ("A01_s1", ("p 1", "A01", "1", ""), "A/1/1"),
        ("B12_s0", ("p 1", "B12", "0", ""), "B/12/0"),
    ]
    assert {image.size for image in batch.images} == {bytes_below(root / batch.folder / "A/1/0")}
    assert (found.images, found.directories) == (4, 2)


def test_changed_chunk_of_a_plate_runs_the_batch_of_its_field_again(make):
    root = make()
    path = plate(root / "p.zarr", A1=2, B12=1)
    before = look(root, batch_size=1)
    os.utime(path / "A/1/1/0/0/0", ns=(2**61, 2**61))
    (name,) = changed(before, look(root, batch_size=1))
    assert name.startswith("p-zarr.A01_s1.")


def test_plate_beside_files_whose_names_tell_more(make):
    root = make("A01_5uM.tif")
    plate(root / "p.zarr", C3=1)
    found = look(root, pattern=r"(?P<well>[A-H]\d\d)_(?P<dose>\d+uM)")
    assert [image.metadata for image in images(found)] == [
        ("", "A01", "", "", "5uM"),
        ("p", "C03", "0", "", ""),
    ]


def test_header_of_a_plate_is_that_of_a_field(make):
    root = make()
    plate(root / "p.zarr", A1=1)
    asked = []

    def header(folder, files):
        asked.append((folder, [file.path for file in files]))
        return a_header()

    look(root, look=Look(header))
    assert asked == [(str(root / "p.zarr"), ["A/1/0"])]


# Sample sheets


def sample(file, image="", directory="p", channel="", z=None, metadata=("", "A01", "1", "")):
    return file, directory, image or stem(file), channel, z, metadata


def sheet(root, *samples, columns=("plate", "well", "site", "time")):
    """A sheet in a folder, whose first row stands in line 2."""
    rows = [Sample(line, *values) for line, values in enumerate(samples, 2)]
    return SampleSheet(str(root / "sheet.csv"), columns, rows)


def listed(root, *samples, batch_size=100, look=UNREADABLE, follow_links="inside", **options):
    return find_in_sheet(
        sheet(root, *samples, **options), BatchSize(batch_size), look, follow_links
    )


def sheet_refusal(root, *samples):
    with pytest.raises(DatasetError) as caught:
        listed(root, *samples)
    return str(caught.value)


def test_sheet_groups_files_into_images_and_directories(make):
    root = make("a/1.tif", "a/2.tif", "b/3.tif", "4.tif")
    columns = ("plate", "well", "site", "time", "dose")
    one, two = ("", "A01", "1", "", "5"), ("", "A02", "1", "", "7")
    found = listed(
        root,
        sample("a/2.tif", "x", channel="10", metadata=one),
        sample("b/3.tif", "x", channel="9", metadata=one),
        sample("4.tif", "w", channel="9", metadata=two),
        sample("a/1.tif", "w", channel="10", metadata=two),
        sample("a/1.tif", "v", directory="a day", channel="9", metadata=two),
        columns=columns,
    )
    assert (found.path, found.root) == (str(root / "sheet.csv"), str(root))
    assert (found.columns, found.naming) == (columns, "sheet")
    assert (found.images, found.directories, found.size) == (3, 2, 35)
    other, batch = found.batches.values()
    assert (other.directory, batch.directory, batch.folder) == ("a day", "p", "")
    assert [(image.name, parts(image), image.metadata) for image in batch.images] == [
        ("w", [("4.tif", "9", None), ("a/1.tif", "10", None)], two),
        ("x", [("b/3.tif", "9", None), ("a/2.tif", "10", None)], one),
    ]
    assert problems(found) == {}
    assert found.summary() == (
        f"{root / 'sheet.csv'}: 3 images in 2 directories, 2 batches, 35 bytes on disk; by the "
        "sheet: 2 wells, 1 site, 2 doses"
    )


def test_files_of_a_sheet_are_relative_to_it_or_absolute(make, tmp_path):
    root = make("a/1.tif")
    outside = tmp_path / "outside.tif"
    outside.write_bytes(bytes(3))
    files = [sample("a/1.tif"), sample(str(outside)), sample("../outside.tif", "o")]
    found = listed(root, *files, follow_links="anywhere")
    assert [(image.files[0].path, image.size) for image in images(found)] == [
        ("a/1.tif", 7),
        ("../outside.tif", 3),
        (str(outside), 3),
    ]


@pytest.mark.parametrize(
    "file",
    ["../images2/2.tif", "{}/2.tif", "a/../../images2/2.tif", "link.tif", "to/2.tif", "z.zarr"],
)
def test_files_outside_of_the_sheets_directory_are_refused(make, elsewhere, file):
    root = make("a/1.tif", "z.zarr/zarr.json")
    for link, target in (("link.tif", "2.tif"), ("to", ""), ("z.zarr/link", "2.tif")):
        (root / link).symlink_to(elsewhere / target)
    file = file.format(elsewhere)
    assert sheet_refusal(root, sample("a/1.tif"), sample(file)) == (
        f"{root / 'sheet.csv'} line 3, column file: {file} leads to {elsewhere / '2.tif'}, outside "
        "of the sheet's directory: set follow_links to anywhere to allow it"
    )


def test_files_of_a_sheet_may_be_written_whole_or_reached_through_links(make, tmp_path):
    root = make("a/1.tif", "b/2.tif")
    (root / "c").symlink_to("b")
    (tmp_path / "link").symlink_to(root)
    files = [sample(f"{tmp_path}/link/a/1.tif"), sample("a/../b/2.tif"), sample("c/2.tif", "x")]
    assert listed(root, *files).images == 3


def test_headers_are_looked_up_in_the_folder_of_the_sheet(make):
    root = make("a/1.tif")
    asked = []

    def header(folder, files):
        asked.append(os.path.join(folder, files[0].path))
        return a_header()

    found = listed(root, sample("a/1.tif"), look=Look(header))
    assert asked == [str(root / "a/1.tif")]
    assert next(iter(found.batches.values())).extent == Extent(2.0)


def test_other_values_for_one_image_of_a_sheet_are_refused(make):
    root = make("1.tif", "2.tif")
    assert sheet_refusal(
        root,
        sample("1.tif", "x", channel="1"),
        sample("2.tif", "x", channel="2", metadata=("", "A02", "1", "")),
    ) == (
        f"{root}/sheet.csv line 3: image x of p stands there with other values above, use the same "
        "in all of its lines"
    )


def test_sheet_none_of_whose_files_is_there_is_refused(make):
    root = make("1.tif")
    assert sheet_refusal(root, sample("a/1.tif"), sample("a/2.tif")) == (
        f"{root}/sheet.csv line 2, column file: there is no file {root}/a/1.tif, nor any other of "
        "the sheet: paths start at the sheet's folder"
    )


def test_missing_file_of_a_sheet_passes_so_that_its_failure_is_reported(make):
    found = listed(make("1.tif"), sample("1.tif"), sample("2.tif"))
    assert images(found)[1] == Image("2", (File("2.tif", 0, 0),), ("", "A01", "1", ""))
    assert (found.images, found.size) == (2, 7)


def test_missing_channel_of_an_image_of_a_sheet_is_told(make):
    root = make("1.tif")
    found = listed(
        root,
        *(sample(f"{name}{w}.tif", name, channel=w) for name in "ab" for w in ("DAPI", "GFP")),
        sample("1.tif", "c", channel="GFP"),
    )
    assert found.incomplete == [
        "p/c: the file of channel DAPI is missing, which other images of the directory have"
    ]
    assert found.channel_sets == {("DAPI", "GFP"): "p"}


def test_batches_of_a_sheet_are_cut_as_those_of_a_directory(make):
    root = make(*(f"p/{index:03}.tif" for index in range(50)))
    rows = [sample(f"p/{index:03}.tif") for index in range(50)]
    by_sheet, by_directory = listed(root, *rows, batch_size=5), look(root, batch_size=5)
    assert list(by_sheet.batches) == list(by_directory.batches)
    assert len(changed(by_sheet, listed(root, *rows[:20], *rows[21:], batch_size=5))) <= 2


def test_values_of_a_sheet_do_not_run_its_batches_again(make):
    root = make("1.tif", "2.tif")
    before = listed(root, sample("1.tif"), sample("2.tif"))
    rows = [sample(file, metadata=("q", "B02", "", "3")) for file in ("1.tif", "2.tif")]
    assert changed(before, listed(root, *rows)) == []
    make("2.tif", size=8)
    assert changed(before, listed(root, *rows)) == list(before.batches)


def test_zarr_directory_in_a_sheet_counts_with_all_its_files(make):
    root = make()
    path = store(root / "x.zarr", {"multiscales": []}, ["0/0/0", "0/0/1"])
    before = listed(root, sample("x.zarr"))
    assert before.size == bytes_below(path)
    os.utime(path / "0/0/1", ns=(2**61, 2**61))
    assert changed(before, listed(root, sample("x.zarr"))) == list(before.batches)


def test_one_wrong_well_fails_alone(make):
    found = look(make("A01_x.tif", "Z99_x.tif"), pattern="(?P<well>[A-Z][0-9]+)_")
    assert [(image.name, bool(image.problem)) for image in images(found)] == [
        ("A01_x", False),
        ("Z99_x", True),
    ]
    assert "finds a wrong well in Z99_x.tif" in images(found)[1].problem
    assert "finds a wrong well in Z99_x.tif" in refusal(
        make("Z99_x.tif"), exclude=["A01*"], pattern="(?P<well>[A-Z][0-9]+)_"
    )


def test_micro_managers_next_file_belongs_to_the_image_and_is_no_companion(make):
    pair = ["a_MMStack_Pos0.ome.tif", "a_MMStack_Pos0_1.ome.tif"]
    root = make(*(f"x/{name}" for name in (*pair, "a_MMStack_Pos1.ome.tif")))
    asked = []

    def set_of(folder, path):
        asked.append((folder, path))
        return pair if "Pos0" in path else []

    found = look(root, pattern="auto", look=Look(lambda folder, files: None, set_of))
    assert [[file.path for file in image.files] for image in images(found)] == [
        pair,
        ["a_MMStack_Pos1.ome.tif"],
    ]
    assert found.set_aside == {}
    assert {folder for folder, _ in asked} == {f"{root}/x"}


@pytest.mark.parametrize(("row", "well"), [("a", "A01"), ("odd", "odd01")])
def test_wells_of_a_zarr_plate_are_spelled_as_all_wells(make, row, well):
    root = make(f"p.zarr/{row}/1/0/.zattrs", f"p.zarr/{row}/1/.zattrs")
    plate = {"plate": {"wells": [{"path": f"{row}/1"}]}}
    (root / "p.zarr/.zattrs").write_text(json.dumps(plate))
    field = {"well": {"images": [{"path": "0"}]}}
    (root / f"p.zarr/{row}/1/.zattrs").write_text(json.dumps(field))
    (image,) = images(look(root))
    assert (image.name, image.metadata) == (f"{well}_s0", ("p", well, "0", ""))
