"""What the preview shows: the right part of an image, the stages, and text that fits."""

import cv2
import numpy as np
import pytest

import preview
from nucleiflow import mosaic

SIDE = 100


def field(height: int, width: int, centers: list[tuple[int, int]], dtype=np.uint16) -> np.ndarray:
    """Discs of radius 8 and value 200 on noise of 10 to 12."""
    image = np.random.default_rng(1).integers(10, 13, (height, width)).astype(dtype)
    for row, column in centers:
        cv2.circle(image, (column, row), 8, 200, -1)
    return image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_window_lies_where_there_is_most_to_see(dtype):
    centers = [(500 + 20 * (n // 3), 300 + 25 * (n % 3)) for n in range(9)]
    image = field(800, 600, [*centers, (50, 50)], dtype)
    before = image.copy()
    rows, columns = mosaic.window(image, SIDE)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (SIDE, SIDE)
    assert all(rows.start <= row < rows.stop for row, _ in centers)
    assert all(columns.start <= column < columns.stop for _, column in centers)
    assert (image == before).all()


def test_a_very_bright_speck_does_not_win():
    image = field(800, 800, [(620, 100), (640, 120), (660, 100), (640, 80)])
    image[100:103, 700:703] = 65535
    rows, columns = mosaic.window(image, SIDE)
    assert rows.start <= 612 <= 668 < rows.stop
    assert columns.start <= 72 <= 128 < columns.stop


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (160, 160), (90, 160), (161, 161), (900, 1)])
def test_windows_fit_into_images_of_any_shape(shape):
    image = np.zeros(shape, np.uint8)
    part = mosaic.window(image, SIDE)
    whole = max(shape) <= 160
    assert mosaic.is_whole(image, part) == whole
    size = image[part].shape
    assert size == (shape if whole else tuple(min(SIDE, length) for length in shape))
    # Nothing to see anywhere: the middle.
    start = tuple((length - seen) // 2 for length, seen in zip(shape, size, strict=True))
    assert tuple(each.start for each in part) == start


def test_values_that_are_no_numbers_do_not_disturb():
    image = field(400, 400, [(300, 300)], np.float32)
    image[:50] = np.nan
    image[60] = np.inf
    rows, columns = mosaic.window(image, SIDE)
    assert rows.start <= 292 <= 308 < rows.stop
    assert columns.start <= 292 <= 308 < columns.stop


def products(size: int = 200) -> dict[str, np.ndarray]:
    labels = np.zeros((size, size), np.int32)
    labels[20:40, 20:40], labels[20:40, 60:90] = 1, 2
    markers = np.ones_like(labels)
    markers[28:32, 28:32], markers[28:32, 70:80] = 2, 3
    mask = np.where(labels, 255, 0).astype(np.uint8)
    return {"channel": mask // 2 + 20, "mask": mask, "markers": markers, "labels": labels}


def test_a_row_shows_all_stages_at_the_same_place():
    made = products()
    before = {name: image.copy() for name, image in made.items()}
    tiles = preview.row(made, 200, "magenta", lines=False)
    assert [tile.shape for tile in tiles] == [(200, 200, 3)] * 6
    _, raw, mask, seeds, labels, outlines = tiles
    assert (mask[..., 0] == made["mask"]).all()
    seen = (seeds == (255, 80, 0)).all(axis=2)
    assert (seen == (made["markers"] > 1)).all()
    colors = {tuple(color) for color in labels[made["labels"] > 0].tolist()}
    assert len(colors) == 2
    assert not labels[made["labels"] == 0].any()
    edge = (outlines == (255, 0, 255)).all(axis=2)
    # The rims of squares of 20 x 20 and 20 x 30 pixels.
    assert edge.sum() == 76 + 96
    assert (outlines[~edge] == raw[~edge]).all()
    assert all((made[name] == before[name]).all() for name in made)


def test_a_large_image_is_shown_by_a_part_and_whole_beside_it():
    made = products(400)
    tiles = preview.row(made, SIDE, "yellow", lines=False)
    part = mosaic.window(made["channel"], SIDE)
    assert (tiles[2][..., 0] == made["mask"][part]).all()
    frame = (tiles[0] == (255, 255, 0)).all(axis=2)
    assert frame.any()
    # Of 400 pixels 100 are left, and the part is 25 of them wide, with a frame of 2 pixels.
    rows = np.flatnonzero(frame.any(axis=1))
    assert 24 <= rows[-1] - rows[0] <= 28


def test_an_image_that_failed_early_has_white_tiles():
    made = products()
    tiles = preview.row({"channel": made["channel"]}, SIDE, "yellow", False)
    assert [bool((tile == 255).all()) for tile in tiles] == [False, False, True, True, True, True]
    assert all((tile == 255).all() for tile in preview.row({}, SIDE, "yellow", False))


def test_lines_of_the_opencv_watershed_survive_shrinking():
    labels = np.ones((160, 160), np.int32)
    labels[50:90, 50:90] = 2
    labels[49, 49:91] = labels[90, 49:91] = labels[49:91, 49] = labels[49:91, 90] = 0
    raw = np.full((160, 160, 3), 30, np.uint8)
    picture = mosaic.outlined(raw, labels, SIDE, "yellow", lines=True)
    edge = (picture == (255, 255, 0)).all(axis=2).astype(np.uint8)
    parts, _ = cv2.connectedComponents(1 - edge, connectivity=4)
    # The outside and the inside of one closed line.
    assert parts == 3


def test_colors_are_the_same_for_the_same_number():
    labels = np.arange(300, dtype=np.int32).reshape(10, 30)
    colors = mosaic.colored(labels)
    assert (mosaic.colored(labels[:4]) == colors[:4]).all()
    steps = np.abs(np.diff(colors.reshape(-1, 3)[1:].astype(int), axis=0)).sum(axis=1)
    # Neighbours, which often touch, can be told apart.
    assert steps.min() > 60
    assert colors[0, 0].tolist() == [0, 0, 0]
    assert (colors.reshape(-1, 3)[1:].max(axis=1) > 100).all()
    assert mosaic.colored(np.zeros((2, 2), np.int32)).shape == (2, 2, 3)


def test_text_is_wrapped_to_the_width_and_loses_nothing():
    text = "plate-17/a_name_without_end_that_goes_on_and_on_äöü_0123456789/field_00001"
    lines = mosaic.wrap(text, 120)
    assert "".join(lines) == text
    assert all(mosaic.font().getlength(line) <= 120 for line in lines)
    assert mosaic.wrap("", 100) == [""]
    assert len(mosaic.wrap("W" * 200, 100)) > 10
    assert (
        " ".join(mosaic.wrap("one two three four five six", 110)) == "one two three four five six"
    )


RECORD = {"status": "ok", "stage": "", "message": "", "objects": 3, "width": 20, "height": 10}


@pytest.mark.parametrize(
    ("record", "whole", "lines", "expected"),
    [
        (RECORD, True, False, ["a/b", "3 nuclei", "diameter -", "threshold -", "20 x 10 px"]),
        (
            RECORD | {"objects": 2, "diameter": 23.456, "threshold": 812.0},
            False,
            True,
            [
                *("a/b", "1 nucleus", "diameter 23.46 px", "threshold 812"),
                "20 x 10 px, the framed part pixel by pixel",
            ],
        ),
        (RECORD | {"objects": 0}, True, True, None),
        (
            RECORD | {"status": "failed", "stage": "tune_markers", "message": "it is broken"},
            True,
            False,
            ["a/b", "failed in markers: it is broken"],
        ),
    ],
)
def test_what_stands_beside_an_image(record, whole, lines, expected):
    text = [line for line, _ in preview.described(record, "a/b", whole, lines)]
    assert text == expected if expected else text[1] == "0 nuclei"


def test_the_sheet_has_a_row_an_image_and_a_sentence_for_a_failure():
    tiles = preview.row(products(), SIDE, "yellow", False)
    good = (preview.described(RECORD, "good", True, False), tiles)
    broken = RECORD | {"status": "failed", "stage": "tune_preprocess", "message": "word " * 100}
    failed = (preview.described(broken, "bad", True, False), tiles)
    whole = preview.sheet([good, good], SIDE, whole=True)
    part = preview.sheet([good, good], SIDE, whole=False)
    assert part.shape[1] - whole.shape[1] == SIDE + mosaic.GAP
    three = preview.sheet([good, failed, good], SIDE, whole=True)
    assert three.shape[1] == whole.shape[1]
    assert three.shape[0] - whole.shape[0] >= 3 * mosaic.LINE
    assert ((three == mosaic.RED).all(axis=2)).any()
    assert not ((whole == mosaic.RED).all(axis=2)).any()
