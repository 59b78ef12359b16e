"""Label images that were made elsewhere: which images have one, and when they changed."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

import import_labels
from nucleiflow import label_files
from nucleiflow.field import open_field
from nucleiflow.images import ImageError
from nucleiflow.plan import Batch, Extent, File, Image


def batch(*images: str, directory: str = "day 1") -> Batch:
    """Images by their names, each of a file of its own or of those after a colon."""
    made = []
    for text in images:
        name, _, files = text.partition(":")
        names = files.split(",") if files else [f"{name}.tif"]
        made.append(Image(name, tuple(File(file, 1, 1) for file in names)))
    return Batch("b", directory, directory, made, Extent(1.0))


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("there", "lacking"),
    [
        ([], ["a", "b.c"]),
        (["day 1/a.tif"], ["b.c"]),
        (["day 1/a_cp_masks.png", "day 1/b.c_labels.tif"], []),
        # The labels of one scene or time of a file.
        (["day 1/a_s0_t3.png", "day 1/b.c_t0_mask.png"], []),
        (["day 1/ab.tif", "day 1/b.tif", "day 1/notes_a.tif"], ["a", "b.c"]),
        (["day 2/a.tif", "a.tif", "day 1/.a.tif", "day 1/a.txt"], ["a", "b.c"]),
        # A file an object.
        (["day 1/a/masks/1.png", "day 1/b.c/1.png"], []),
    ],
)
def test_images_without_a_label_image(tmp_path: Path, there, lacking):
    write(tmp_path, *there)
    found = label_files.without_labels(tmp_path, batch("a", "b.c"))
    assert [image.name for image in found] == lacking


def test_label_image_may_be_called_like_any_file_of_its_image(tmp_path: Path):
    write(tmp_path, "w1_A01_cp_masks.png")
    fields = batch("A01:w0_A01.tif,w1_A01.tif", "A02:w0_A02.tif,w1_A02.tif", directory=".")
    assert [image.name for image in label_files.without_labels(tmp_path, fields)] == ["A02"]


def test_fingerprint_changes_with_the_label_images_of_the_batch_alone(tmp_path: Path):
    write(tmp_path, "day 1/a.png", "day 1/c.png", "day 2/a.png")
    fingerprint = label_files.fingerprint_of(tmp_path, batch("a", "b"))
    for other in ("day 1/c.png", "day 2/a.png"):
        (tmp_path / other).write_bytes(b"other")
    assert label_files.fingerprint_of(tmp_path, batch("a", "b")) == fingerprint
    write(tmp_path, "day 1/b_masks.png")
    more = label_files.fingerprint_of(tmp_path, batch("a", "b"))
    os.utime(tmp_path / "day 1/a.png", (1, 1))
    touched = label_files.fingerprint_of(tmp_path, batch("a", "b"))
    assert len({fingerprint, more, touched}) == 3
    tmp_path.rename(tmp_path.with_name("moved"))
    assert label_files.fingerprint_of(tmp_path.with_name("moved"), batch("a", "b")) == touched


@pytest.mark.parametrize(
    ("labels", "patterns"),
    [
        (".", ["*_cp_masks.*", "*_masks.*", "*_mask.*", "*_labels.*", "*_label.*"]),
        ("masks", ["masks/*"]),
        ("deep/[x]", ["deep/[[]x]/*"]),
        ("../masks", []),
        ("../images2", []),
    ],
)
def test_label_images_among_the_images_are_left_out(tmp_path: Path, labels, patterns):
    root = tmp_path / "images"
    assert label_files.inside(root / labels, str(root)) == patterns


def test_a_link_to_the_images_is_the_images(tmp_path: Path):
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to("images")
    assert len(label_files.inside(tmp_path / "link", str(tmp_path / "images"))) == 5


@pytest.mark.parametrize(
    ("crop", "resize"),
    [
        (None, None),
        ({"x": 3, "y": 5, "width": 20, "height": 11}, None),
        (None, {"factor": 0.37}),
        ({"x": 3, "y": 5, "width": 20, "height": 11}, {"width": 7}),
        (None, {"height": 90}),
    ],
)
def test_shape_is_that_of_the_image_after_crop_and_resize(tmp_path: Path, crop, resize):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((31, 47), np.uint16))
    view = import_labels.View(crop=crop, resize=resize)
    with open_field(tmp_path, [File("a.tif", 1, 1)], view) as field:
        assert import_labels.shape_of(field) == field.image(0).shape


def test_file_of_an_image(tmp_path: Path):
    image = write(tmp_path, "images/w1_a.tif") / "images/w1_a.tif"
    labels = write(tmp_path / "labels", "w1_a_cp_masks.png")
    found = import_labels.label_file(labels, ".", "a", [image], True)
    assert found == labels / "w1_a_cp_masks.png"
    for folder, alone in ((labels, False), (tmp_path / "images", True)):
        with pytest.raises(ImageError, match=f"it has no label image: put one into {folder}, call"):
            import_labels.label_file(folder, ".", "a", [image], alone)
    write(labels, "a.tif", "a.png")
    with pytest.raises(ImageError, match="several"):
        import_labels.label_file(labels, ".", "a", [image], True)
