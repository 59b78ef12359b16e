"""Outlines known by hand."""

from contextlib import nullcontext
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import overlay
from nucleiflow import tiles
from nucleiflow.display import for_display
from nucleiflow.field import Field, View
from nucleiflow.images import ImageError
from nucleiflow.readers import Channel

GREY = np.full((12, 14, 3), 100, np.uint8)


def square():
    labels = np.zeros((12, 14), np.int32)
    labels[3:8, 4:10] = 1
    return labels


def draw(labels, color="yellow", thickness=1, lines=False, image=GREY):
    return overlay.overlay(image, labels, color, thickness, lines)


def test_outline_is_the_outermost_ring_of_a_square():
    picture = draw(square())
    ring = np.zeros((12, 14), bool)
    ring[3:8, 4:10] = True
    ring[4:7, 5:9] = False
    assert (picture[ring] == (255, 255, 0)).all()
    assert (picture[~ring] == 100).all()
    assert picture.dtype == np.uint8


def test_touching_objects_are_both_outlined():
    labels = square()
    labels[3:8, 7:10] = 2
    drawn = (draw(labels) != 100).any(axis=2)
    assert drawn[5, 4:10].tolist() == [True, False, True, True, False, True]


@pytest.mark.parametrize(
    ("color", "rgb"),
    [
        ("yellow", (255, 255, 0)),
        ("magenta", (255, 0, 255)),
        ("#ff8000", (255, 128, 0)),
        ("#0f0", (0, 255, 0)),
        ("#11223344", (17, 34, 51)),
        ([1, 2, 3], (1, 2, 3)),
    ],
)
def test_colour_by_name_number_or_list_is_red_green_blue(color, rgb):
    assert tuple(draw(square(), color)[3, 4]) == rgb


@pytest.mark.parametrize("thickness", [2, 3, 5])
def test_thickness_widens_the_outline(thickness):
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:30] = 1
    image = np.zeros((40, 40, 3), np.uint8)
    picture = draw(labels, thickness=thickness, image=image)
    assert np.count_nonzero(picture[20, :20, 0]) == thickness


def test_lines_are_drawn_where_there_is_no_label():
    labels = np.ones((12, 14), np.int32)
    labels[:, 7:] = 2
    labels[:, 6] = 0
    drawn = (draw(labels, lines=True) != 100).any(axis=2)
    np.testing.assert_array_equal(drawn, labels == 0)


def test_without_objects_the_picture_is_the_image():
    np.testing.assert_array_equal(draw(square() * 0), GREY)


def test_image_stays_as_it_was():
    image, labels = GREY.copy(), square()
    draw(labels, thickness=3, image=image)
    np.testing.assert_array_equal(image, GREY)
    np.testing.assert_array_equal(labels, square())


def test_labels_of_another_shape_are_refused():
    with pytest.raises(ImageError) as caught:
        draw(square()[:-1])
    assert str(caught.value) == (
        "the labels have (11, 14) pixels and the image (12, 14): "
        "the image changed while the workflow ran, run it again"
    )


# The whole stage


def computed(stack, stated, stretch, segment=0, **view):
    """The picture that the stage writes of a (C, Z, Y, X) array."""
    planes = (tuple(range(stack.shape[1])),) * len(stack)
    names = tuple(channel.name for channel in stated)
    field = Field(
        *(names, stated, planes, *stack.shape[2:], stack.dtype, None, ""),
        View(segment=segment, **view),
        lambda channel, z: stack[channel, z],
    )
    labels = square()[2:10, 3:11] if view else square()
    item = SimpleNamespace(
        record={}, field=lambda view: nullcontext(field), read={"labels": labels}.get
    )
    settings = {"view": {}, "stretch": stretch, "format": "png", "cells_color": None}
    drawing = {"color": "yellow", "thickness": 1, "lines": False}
    ending, data = overlay.compute(item, settings | drawing)["overlay"]
    assert ending == "png"
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


COLORS = tuple(Channel(color, color) for color in ("red", "green", "blue"))


def random(*shape, dtype=np.uint8):
    return np.random.default_rng(6).integers(0, np.iinfo(dtype).max + 1, (*shape, 12, 14), dtype)


@pytest.mark.parametrize("stretch", [True, False])
def test_8_bit_rgb_is_drawn_on_in_its_colours(stretch):
    stack = random(3, 1)
    expected = draw(square(), image=np.dstack(list(stack[:, 0])))
    np.testing.assert_array_equal(computed(stack, COLORS, stretch, "blue"), expected)


@pytest.mark.parametrize("stretch", [True, False])
@pytest.mark.parametrize(
    ("dtype", "stated"),
    [(np.uint16, COLORS), (np.uint8, tuple(map(Channel, "abc"))), (np.int16, COLORS)],
)
def test_of_other_images_the_segmented_channel_is_drawn_on(dtype, stated, stretch):
    stack = random(3, 4, dtype=dtype)
    expected = draw(square(), image=for_display(stack[1].max(axis=0), stretch))
    np.testing.assert_array_equal(computed(stack, stated, stretch, 1), expected)


def test_picture_shows_what_the_crop_leaves():
    stack = random(1, 1)
    crop = {"x": 3, "y": 2, "width": 8, "height": 8}
    expected = draw(square()[2:10, 3:11], image=for_display(stack[0, 0, 2:10, 3:11]))
    np.testing.assert_array_equal(computed(stack, (Channel(),), True, crop=crop), expected)


def test_cells_are_outlined_in_their_own_colour_below_the_nuclei():
    cells = np.zeros((12, 14), np.int32)
    cells[3:11, 2:12] = 1
    field = Field(
        *(("",), (Channel(),), ((0,),), 12, 14, np.dtype(np.uint8), None, ""),
        View(segment=0),
        lambda channel, z: np.zeros((12, 14), np.uint8),
    )
    item = SimpleNamespace(
        record={},
        field=lambda view: nullcontext(field),
        read={"labels": square(), "cells": cells}.get,
    )
    settings = {"view": {}, "stretch": False, "format": "png", "cells_color": [0, 9, 9]}
    drawing = {"color": "yellow", "thickness": 1, "lines": False}
    _, data = overlay.compute(item, settings | drawing)["overlay"]
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    yellow, other = ((picture == color).all(axis=2) for color in ((255, 255, 0), (0, 9, 9)))
    # Of the 32 pixels around the cell, 6 are those of the nucleus, whose ring has 18.
    assert (yellow.sum(), other.sum()) == (18, 32 - 6)
    assert picture[3, 2:12, 0].tolist() == [0, 0, *[255] * 6, 0, 0]


@pytest.mark.parametrize("longest", [400, 100, 90])
def test_picture_of_an_image_in_tiles_is_that_of_the_whole_made_smaller(monkeypatch, longest):
    monkeypatch.setattr(overlay, "LONGEST", longest)
    image = cv2.GaussianBlur(np.random.default_rng(0).random((301, 399)), (0, 0), 5)
    image = (image * 60000).astype(np.uint16)
    labels = np.zeros(image.shape, np.int32)
    labels[90:200, 120:300] = 7

    def item(record):
        part = tiles.part_of(record["window"]) if "window" in record else np.s_[:, :]
        field = Field(
            *(("",), (Channel(),), ((0,),), 301, 399, np.dtype(np.uint16), None, "", View()),
            lambda channel, z: image[part],
        )
        return SimpleNamespace(
            record=record,
            field=lambda view: nullcontext(field),
            read={"labels": labels[part]}.get,
            parts=lambda: [item(each) for each in tiles.split(record)],
        )

    large = item({"image": "a", "tiles": tiles.cut(image.shape, 128, 16)})
    factor = -(-399 // longest)
    found = overlay.reduced(large, lambda tile: overlay.looked_at(tile, {}), smooth=True)
    assert found.dtype == np.uint16
    assert found.shape == (-(-301 // factor), -(-399 // factor))
    whole = image[: 301 // factor * factor, : 399 // factor * factor]
    expected = cv2.resize(whole, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    inner = tuple(slice(length) for length in expected.shape)
    np.testing.assert_array_equal(found[inner], expected)
    small = overlay.reduced(large, lambda tile: tile.read("labels"), smooth=False)
    rows, columns = (np.arange(length) * factor + factor // 2 for length in expected.shape)
    np.testing.assert_array_equal(small[inner], labels[np.ix_(rows, columns)])
