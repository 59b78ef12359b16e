"""Stage 4: labels that cover what they should, without gaps."""

from contextlib import nullcontext
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.segmentation import watershed as flood

import watershed
from nucleiflow.display import for_display
from nucleiflow.field import Field, View
from nucleiflow.labels import border_pixels, outlines
from nucleiflow.readers import Channel

PLAIN = {
    "method": "distance",
    "options": {"compactness": 0.0},
    "background": False,
    "min_area": 0,
    "max_area": None,
    "drop_border": False,
    "split": {"solidity": None},
    "merge": {"solidity": None, "saddle": None},
    "refine": {"level": None},
    "debris": {"area": 0.0, "contrast": 0.0, "content": 0.0},
    "filters": [],
}


def run(mask, markers, image=None, **settings):
    """The labels alone."""
    chosen = PLAIN | settings
    if chosen["method"] == "opencv":
        chosen["options"] = {}
    return watershed.watershed(image, mask, markers, **chosen)[0]


def rectangles(*boxes, shape=(40, 60)):
    """A mask of rectangles (x, y, width, height), and markers with a seed in each one's middle."""
    mask, markers = np.zeros(shape, np.uint8), np.ones(shape, np.int32)
    for x, y, width, height in boxes:
        mask[y : y + height, x : x + width] = 255
    markers[cv2.dilate(mask, np.ones((3, 3))) > 0] = 0
    for index, (x, y, width, height) in enumerate(boxes):
        markers[y + height // 2, x + width // 2] = index + 2
    return mask, markers


def gapless(labels):
    return np.unique(labels[labels > 0]).tolist() == list(range(1, labels.max() + 1))


random_masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14)))


def random_markers(mask, seed):
    """Seeds on some pixels of a mask."""
    rng = np.random.default_rng(seed)
    seeds = ndimage.label(mask & (rng.random(mask.shape) < 0.2), np.ones((3, 3)))[0]
    return np.where(seeds > 0, seeds + 1, np.where(mask, 0, 1)).astype(np.int32)


@given(random_masks, st.integers(0, 9))
def test_distance_covers_every_pixel_of_an_object_that_holds_a_seed(mask, seed):
    markers = random_markers(mask, seed)
    labels = run(mask.astype(np.uint8) * 255, markers)
    assert labels.dtype == np.int32 and gapless(labels)
    objects = ndimage.label(mask, np.ones((3, 3)))[0]
    seeded = np.unique(objects[markers > 1])
    np.testing.assert_array_equal(labels > 0, np.isin(objects, seeded[seeded > 0]))
    assert labels.max() == max(markers.max() - 1, 0)


@settings(max_examples=60)
@given(
    random_masks,
    st.integers(0, 9),
    st.sampled_from(["distance", "opencv"]),
    st.integers(0, 6),
    st.one_of(st.none(), st.integers(6, 20)),
    st.booleans(),
)
def test_labels_are_int32_and_without_gaps(mask, seed, method, min_area, max_area, drop_border):
    markers = random_markers(mask, seed)
    image = np.random.default_rng(seed).integers(0, 256, (*mask.shape, 3), np.uint8)
    before = image.copy(), markers.copy()
    labels = run(
        mask.astype(np.uint8) * 255,
        markers,
        image,
        method=method,
        min_area=min_area,
        max_area=max_area,
        drop_border=drop_border,
    )
    assert labels.dtype == np.int32 and labels.shape == mask.shape and gapless(labels)
    areas = np.bincount(labels.ravel())[1:]
    assert (areas >= max(min_area, 1)).all()
    assert max_area is None or (areas <= max_area).all()
    if drop_border:
        assert not border_pixels(labels, 1 if method == "opencv" else 0).any()
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(markers, before[1])


def test_two_touching_disks_are_cut_in_the_middle():
    mask = np.zeros((60, 100), np.uint8)
    for x in (30, 54):
        cv2.circle(mask, (x, 30), 14, 255, -1)
    markers = np.where(mask > 0, 0, 1).astype(np.int32)
    markers[30, 30], markers[30, 54] = 2, 3
    labels = run(mask, markers)
    np.testing.assert_array_equal(labels > 0, mask > 0)
    assert (labels[:, :42][mask[:, :42] > 0] == 1).all()
    assert (labels[:, 43:][mask[:, 43:] > 0] == 2).all()


def test_pixels_that_hang_on_by_a_corner_belong_to_the_object():
    mask = np.zeros((5, 5), np.uint8)
    mask[1:3, 1:3] = mask[3, 3] = 255
    markers = np.where(mask > 0, 0, 1).astype(np.int32)
    markers[1, 1] = 2
    np.testing.assert_array_equal(run(mask, markers), mask // 255)


def test_objects_without_a_seed_are_dropped():
    mask, markers = rectangles((5, 5, 10, 10), (30, 5, 10, 10))
    markers[markers == 2] = 0
    labels = run(mask, markers)
    assert np.count_nonzero(labels) == 100 and labels[10, 35] == 1


@pytest.mark.parametrize("seed", range(5))
def test_opencv_is_opencvs_watershed_on_the_colours(seed):
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.integers(0, 256, (50, 60, 3)).astype(float), (2, 2, 0))
    image = np.clip(image, 0, 255).astype(np.uint8)
    mask = (image[..., 0] > 130).astype(np.uint8) * 255
    markers = random_markers(mask > 0, seed)
    expected = cv2.watershed(np.ascontiguousarray(image[..., ::-1]), markers.copy())
    labels = run(mask, markers, image, method="opencv")
    # A basin that OpenCV leaves without any pixel is no nucleus.
    present = np.unique(expected[expected > 1])
    for number, basin in enumerate(present, start=1):
        np.testing.assert_array_equal(labels == number, expected == basin)
    assert labels.max() == len(present)


def test_opencv_leaves_lines_and_the_frame_of_the_image_empty():
    mask, markers = rectangles((0, 0, 30, 40), (30, 0, 30, 40))
    image = np.zeros((40, 60, 3), np.uint8)
    labels = run(mask, markers, image, method="opencv")
    assert not border_pixels(labels).any()
    assert set(np.unique(border_pixels(labels, 1))) >= {1, 2}
    assert np.count_nonzero(labels[1:-1, 1:-1] == 0) == 38


def test_background_becomes_object_1_and_filters_do_not_touch_it():
    mask, markers = rectangles((10, 10, 10, 10), (35, 10, 10, 20))
    image = np.dstack([mask] * 3)
    plain = run(mask, markers, image, method="opencv")
    filters = {"min_area": 1, "max_area": 10_000, "drop_border": True}
    labels = run(mask, markers, image, method="opencv", background=True, **filters)
    np.testing.assert_array_equal(labels[plain > 0], plain[plain > 0] + 1)
    assert labels.max() == 3
    assert (labels[1, 1:-1] == 1).all() and (labels[0] == 0).all()
    small = run(mask, markers, image, method="opencv", background=True, max_area=20)
    assert np.unique(small).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("min_area", "max_area", "kept"),
    [
        (0, None, [20, 50, 100]),
        (20, None, [20, 50, 100]),
        (21, None, [50, 100]),
        (0, 100, [20, 50, 100]),
        (0, 99, [20, 50]),
        (21, 50, [50]),
        (101, None, []),
    ],
)
def test_area_limits_are_inclusive_and_the_rest_is_renumbered(min_area, max_area, kept):
    mask, markers = rectangles((5, 5, 5, 4), (15, 5, 10, 5), (30, 5, 10, 10))
    labels = run(mask, markers, min_area=min_area, max_area=max_area)
    assert np.bincount(labels.ravel())[1:].tolist() == kept


def test_labels_follow_the_order_of_the_markers():
    mask, markers = rectangles((30, 20, 10, 10), (5, 5, 5, 5), (50, 2, 5, 5))
    labels = run(mask, markers)
    assert [labels[25, 35], labels[7, 7], labels[4, 52]] == [1, 2, 3]


def test_drop_border_drops_what_touches_the_edge_and_nothing_else():
    mask, markers = rectangles((0, 5, 5, 5), (20, 35, 5, 5), (30, 10, 5, 5), (55, 20, 5, 5))
    labels = run(mask, markers, drop_border=True)
    assert labels.max() == 1 and labels[12, 32] == 1
    inside, markers = rectangles((1, 1, 5, 5), (54, 34, 5, 5))
    assert run(inside, markers, drop_border=True).max() == 2


def test_drop_border_counts_the_empty_frame_of_opencv():
    mask, markers = rectangles((0, 5, 10, 10), (30, 10, 10, 10))
    labels = run(mask, markers, np.dstack([mask] * 3), method="opencv", drop_border=True)
    assert labels.max() == 1 and labels[15, 35] == 1


@pytest.mark.parametrize("method", ["distance", "opencv"])
@pytest.mark.parametrize("shape", [(20, 30), (1, 1), (1, 9)])
def test_nothing_in_the_mask_gives_no_label(method, shape):
    image = np.zeros((*shape, 3), np.uint8)
    labels = run(np.zeros(shape, np.uint8), np.ones(shape, np.int32), image, method=method)
    assert labels.dtype == np.int32 and not labels.any()


def test_full_mask_is_one_object():
    mask = np.full((20, 30), 255, np.uint8)
    assert (run(mask, np.full((20, 30), 2, np.int32)) == 1).all()


def test_more_than_65535_objects_keep_their_numbers():
    mask = np.zeros((600, 600), np.uint8)
    mask[::2, ::2] = 255
    markers = np.ones((600, 600), np.int32)
    markers[::2, ::2] = np.arange(2, 90_002).reshape(300, 300)
    labels = run(mask, markers)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels[::2, ::2].ravel(), np.arange(1, 90_001))
    assert np.count_nonzero(labels) == 90_000


def test_distance_is_scikit_images_watershed_of_the_distance():
    rng = np.random.default_rng(0)
    mask = ndimage.gaussian_filter(rng.normal(size=(60, 70)), 2) > 0
    markers = random_markers(mask, 1)
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    seeds = np.maximum(markers - 1, 0)
    expected = flood(-depth, seeds, connectivity=2, mask=mask)
    np.testing.assert_array_equal(run(mask.astype(np.uint8) * 255, markers), expected)


# The whole stage


def computed(stack, stated, method, background=False):
    """What the stage makes of a (C, Z, Y, X) array with two seeds, and what it notes."""
    mask, markers = rectangles((5, 5, 20, 30), (25, 5, 20, 30))
    field = Field(
        *(tuple(channel.name for channel in stated), stated, (range(stack.shape[1]),) * len(stack)),
        *(*stack.shape[2:], stack.dtype, None, "", View(segment=1 if len(stack) > 1 else 0)),
        lambda channel, z: stack[channel, z],
    )
    item = SimpleNamespace(
        field=lambda view: nullcontext(field),
        read={"mask": mask, "markers": markers}.get,
        facts={},
        record={"diameter": 20.0},
    )
    settings = PLAIN | {"method": method, "background": background}
    settings["options"] = {} if method == "opencv" else PLAIN["options"]
    labels = watershed.compute(item, settings | {"view": {}})["labels"]
    return labels, item.facts, mask, markers


RGB = tuple(Channel(color, color) for color in ("red", "green", "blue"))


def stack_of(count, planes=1, dtype=np.uint8):
    rng = np.random.default_rng(4)
    smooth = ndimage.gaussian_filter(rng.random((count, planes, 40, 60)), (0, 0, 2, 2))
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(dtype)


def test_stage_floods_the_colours_of_an_rgb_image():
    stack = stack_of(3)
    labels, facts, mask, markers = computed(stack, RGB, "opencv", background=True)
    image = np.dstack(list(stack[:, 0]))
    expected = run(mask, markers, image, method="opencv", background=True)
    np.testing.assert_array_equal(labels, expected)
    assert facts == {"objects": 3, "dropped": ""} and labels.max() == 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_stage_floods_the_projected_channel_of_other_images_as_it_is_shown(dtype):
    stack = stack_of(2, 3, dtype)
    labels, facts, mask, markers = computed(stack, (Channel("a"), Channel("b")), "opencv")
    shown = for_display(stack[1].max(axis=0))
    np.testing.assert_array_equal(labels, run(mask, markers, shown, method="opencv"))
    assert facts == {"objects": 2, "dropped": ""}


def test_stage_reads_no_image_to_flood_the_distance():
    labels, facts, mask, markers = computed(stack_of(1), (Channel(),), "distance")
    np.testing.assert_array_equal(labels, run(mask, markers))
    assert facts == {"objects": 2, "dropped": ""}
    read = {"mask": mask, "markers": markers}.get
    item = SimpleNamespace(field=None, read=read, facts={}, record={"diameter": 20.0})
    again = watershed.compute(item, PLAIN | {"view": {}})["labels"]
    np.testing.assert_array_equal(again, labels)


# What several stages ask of labels


def test_border_pixels_are_the_outermost_after_the_frame():
    labels = np.arange(1, 26).reshape(5, 5)
    outer = {1, 2, 3, 4, 5, 6, 10, 11, 15, 16, 20, 21, 22, 23, 24, 25}
    assert set(border_pixels(labels)) == outer
    assert set(border_pixels(labels, 1)) == {7, 8, 9, 12, 14, 17, 18, 19}
    assert set(border_pixels(labels, 2)) == {13}
    assert border_pixels(labels, 3).size == 0
    assert set(border_pixels(np.ones((1, 1), int))) == {1}


def test_outlines_are_the_outermost_pixels_of_each_object():
    labels = np.zeros((8, 10), np.int32)
    labels[1:6, 1:5] = 1
    labels[1:6, 5:9] = 2
    expected = np.zeros((8, 10), bool)
    expected[1:6, 1:9] = True
    expected[2:5, 2:4] = expected[2:5, 6:8] = False
    np.testing.assert_array_equal(outlines(labels), expected)
