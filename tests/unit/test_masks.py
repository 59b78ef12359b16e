"""Which mask belongs to an image, and what it says."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from nucleiflow.field import View
from nucleiflow.images import ImageError
from nucleiflow.masks import (
    as_labels,
    find_mask,
    fitted,
    listed,
    nearest,
    read_mask,
    read_truth,
    without_gaps,
)

WHOLE = View()


def write(path: Path, values: np.ndarray) -> Path:
    """A TIFF, or a PNG by the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        cv2.imwrite(str(path), values)
    else:
        tifffile.imwrite(path, values)
    return path


LABELS = np.array([[0, 1, 1, 0], [0, 0, 3, 3], [7, 7, 0, 0]], np.uint8)
NUMBERED = [[0, 1, 1, 0], [0, 0, 2, 2], [3, 3, 0, 0]]


@pytest.mark.parametrize("name", ["a.png", "a.TIF", "a_mask.tif", "a_cp_masks.png", "a_labels.tif"])
def test_a_mask_is_found_by_the_name_of_its_image(tmp_path: Path, name: str):
    path = write(tmp_path / "plate 1" / name, LABELS)
    assert find_mask(tmp_path, "plate 1", "a") == path
    assert find_mask(tmp_path, "plate 1", "ab") is None
    assert find_mask(tmp_path, "plate 2", "a") is None
    assert find_mask(tmp_path, ".", "a") is None


def test_a_mask_may_be_called_like_a_file_of_the_image(tmp_path: Path):
    path = write(tmp_path / "A01_w1.tif", LABELS)
    assert find_mask(tmp_path, ".", "A01", ["A01_w1", "A01_w2"]) == path


def test_other_files_are_no_masks(tmp_path: Path):
    (tmp_path / "a.csv").write_text("")
    (tmp_path / ".a.tif").write_text("")
    assert find_mask(tmp_path, ".", "a") is None


def test_two_masks_are_refused(tmp_path: Path):
    write(tmp_path / "a.png", LABELS)
    write(tmp_path / "a.tif", LABELS)
    with pytest.raises(ImageError, match=r"several masks of it \(a\.png, a\.tif in "):
        find_mask(tmp_path, ".", "a")


@pytest.mark.parametrize(
    ("directory", "folder"), [("d", "d/a/masks"), ("d", "d/a"), ("d/a/images", "d/a/masks")]
)
def test_files_of_one_object_each_are_joined(tmp_path: Path, directory: str, folder: str):
    for number, where in enumerate((np.s_[0, :2], np.s_[2, 1:], np.s_[0, 1:3])):
        one = np.zeros((3, 4), np.uint8)
        one[where] = 255
        write(tmp_path / folder / f"{number}.png", one)
    path = find_mask(tmp_path, directory, "a")
    assert path == tmp_path / folder
    truth = read_truth(path, (3, 4), WHOLE)
    assert truth.labels.tolist() == [[1, 3, 3, 0], [0, 0, 0, 0], [0, 2, 2, 2]]
    assert truth.kind == "files"
    write(tmp_path / folder / "3.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(ImageError, match=r"3\.png has 2 x 2 pixels and 0\.png 4 x 3"):
        read_mask(path, (3, 4), WHOLE)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.float32])
def test_label_images_of_all_types(tmp_path: Path, dtype):
    values = LABELS.astype(dtype)
    path = write(tmp_path / "a.tif", values)
    truth = read_truth(path, (3, 4), WHOLE)
    assert truth.labels.dtype == np.int32
    assert truth.labels.tolist() == NUMBERED
    assert truth.kind == "labels"


def test_large_numbers():
    values = np.array([[0, 2**31 - 1], [5, 2**31 - 1]], np.uint32)
    assert without_gaps(values).tolist() == [[0, 2], [1, 2]]
    assert without_gaps(values[:, 1:]).tolist() == [[1], [1]]
    assert without_gaps(np.zeros((0, 3), np.uint8)).shape == (0, 3)


@pytest.mark.parametrize(("white", "dtype"), [(255, np.uint8), (65535, np.uint16), (1, np.uint8)])
def test_pieces_of_a_binary_mask_are_objects(white: int, dtype):
    # The second and the third touch at a corner.
    mask = np.array([[1, 0, 1, 0], [1, 0, 0, 1]], dtype) * dtype(white)
    truth = as_labels(mask)
    assert truth.labels.tolist() == [[1, 0, 2, 0], [1, 0, 0, 2]]
    assert truth.kind == "binary"


def test_one_object_and_none():
    one = np.array([[0, 1], [0, 1]], np.uint8)
    assert as_labels(one).kind == "labels"
    assert as_labels(one * 255).kind == "binary"
    assert as_labels(one * 255).labels.tolist() == as_labels(one).labels.tolist() == one.tolist()
    assert not as_labels(one * 0).labels.any()


def test_colours_are_objects(tmp_path: Path):
    colors = np.zeros((2, 4, 3), np.uint8)
    colors[0, 1], colors[0, 2], colors[1, 3] = (0, 0, 255), (255, 0, 0), (0, 0, 255)
    path = write(tmp_path / "a.png", colors)
    truth = read_truth(path, (2, 4), WHOLE)
    assert truth.kind == "colours"
    # OpenCV writes blue first: what was written as (255, 0, 0) is blue, the smaller number.
    assert truth.labels.tolist() == [[0, 2, 1, 0], [0, 0, 0, 2]]
    colors[colors.max(axis=2) == 0] = 255
    with pytest.raises(ImageError, match="colour image without black: make the background black"):
        as_labels(colors)


def test_numbers_count_and_not_how_a_tiff_shows_them(tmp_path: Path):
    # A palette of two colours that repeat, and zero as white, as tifffile and ImageJ write masks.
    palette = np.zeros((3, 256), np.uint16)
    palette[0], palette[1, ::2] = 65535, 65535
    tifffile.imwrite(tmp_path / "a.tif", LABELS, photometric="palette", colormap=palette)
    assert read_mask(tmp_path / "a.tif", (3, 4), WHOLE).tolist() == NUMBERED
    tifffile.imwrite(tmp_path / "b.tif", LABELS == 1)
    tifffile.imwrite(tmp_path / "c.tif", (LABELS == 1) * np.uint8(255), photometric="miniswhite")
    for name in ("b.tif", "c.tif"):
        assert read_mask(tmp_path / name, (3, 4), WHOLE).tolist() == (LABELS == 1).tolist()


def test_grey_as_rgb_is_grey():
    assert as_labels(np.dstack([LABELS] * 3)).labels.tolist() == NUMBERED


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (LABELS.astype(np.float32) / 2, "fractions such as 0.5, so it is no label image"),
        (LABELS.astype(np.int16) - 1, "negative numbers such as -1"),
        (np.stack([LABELS, LABELS]), "several planes or images"),
    ],
)
def test_what_is_no_label_image_is_refused(tmp_path: Path, values: np.ndarray, message: str):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, photometric="minisblack")
    with pytest.raises(ImageError, match=rf"^the mask a\.tif cannot be used: .*{message}"):
        read_mask(path, (3, 4), WHOLE)


def test_jpeg_and_damaged_masks_are_refused(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(cv2.imencode(".jpg", LABELS)[1].tobytes())
    with pytest.raises(ImageError, match="JPEG changes values of pixels"):
        read_mask(tmp_path / "a.jpg", (3, 4), WHOLE)
    (tmp_path / "b.tif").write_bytes(b"II*\0")
    with pytest.raises(ImageError, match=r"the mask b\.tif cannot be used: the TIFF file is damag"):
        read_mask(tmp_path / "b.tif", (3, 4), WHOLE)


CROP = {"x": 1, "y": 2, "width": 4, "height": 3}
BIG = np.arange(1, 81, dtype=np.int32).reshape(8, 10)


@pytest.mark.parametrize("full", [(8, 10), None])
def test_masks_are_cut_as_their_image(full):
    cropped = View(crop=CROP)
    np.testing.assert_array_equal(fitted(BIG, (3, 4), cropped, full), BIG[2:5, 1:5])
    np.testing.assert_array_equal(fitted(BIG[2:5, 1:5], (3, 4), cropped, full), BIG[2:5, 1:5])
    both = View(crop=CROP, resize={"factor": 2})
    twice = BIG[2:5, 1:5].repeat(2, axis=0).repeat(2, axis=1)
    for mask in (BIG, BIG[2:5, 1:5], twice):
        np.testing.assert_array_equal(fitted(mask, (6, 8), both, full), twice)
    half = View(resize={"factor": 0.5})
    np.testing.assert_array_equal(fitted(BIG, (4, 5), half, full), BIG[1::2, 1::2])


@pytest.mark.parametrize(
    ("view", "shape"),
    [
        (View(), (8, 10)),
        (View(crop=CROP), (3, 4)),
        (View(resize={"factor": 2}), (16, 20)),
        (View(crop=CROP, resize={"factor": 2}), (6, 8)),
    ],
)
def test_masks_of_another_size_are_refused(view: View, shape: tuple[int, int]):
    with pytest.raises(ImageError, match="it has 9 x 7 pixels and the image 10 x 8"):
        fitted(BIG[1:, 1:], shape, view, (8, 10))


def test_nearest():
    assert nearest(np.array([[1, 2]]), (2, 4)).tolist() == [[1, 1, 2, 2]] * 2
    assert nearest(np.array([[1, 2, 3]]), (1, 1)).tolist() == [[2]]


def test_listed_files_are_those_of_the_images(tmp_path: Path):
    for name in ("a.tif", "a_mask.png", "b.tif", "ab.tif", "a/1.png", "a/masks/2.png", "c.csv"):
        path = tmp_path / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    found = listed(tmp_path, "d", ["a", "c"])
    assert [path for path, _, _ in found] == [
        "d/a/1.png",
        "d/a/masks/2.png",
        "d/a.tif",
        "d/a_mask.png",
    ]
    status = (tmp_path / "d" / "a.tif").stat()
    assert found[2][1:] == (5, status.st_mtime_ns)
    assert listed(tmp_path, "e", ["a"]) == []
