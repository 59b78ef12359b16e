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
from skimage.measure import regionprops
from skimage.segmentation import watershed as flood

import watershed
from nucleiflow.display import for_display
from nucleiflow.field import Field, View
from nucleiflow.hulls import hull_area, hulls
from nucleiflow.images import ImageError
from nucleiflow.labels import border_pixels, outlines
from nucleiflow.merging import merged
from nucleiflow.properties import of_objects
from nucleiflow.readers import Channel
from nucleiflow.settings import ConfigError, load
from nucleiflow.splitting import large_enough, split_by_shape

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


def computed(stack, stated, method, background=False, filters=()):
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
    settings = PLAIN | {"method": method, "background": background, "filters": filters}
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


# Methods on the intensity


def smooth_case(dtype=np.float32):
    """An image with hills, its mask of several hundred pixels, and markers in it."""
    rng = np.random.default_rng(2)
    hills = ndimage.gaussian_filter(rng.normal(size=(60, 70)), 3)
    hills = (hills - hills.min()) / np.ptp(hills)
    mask = (hills > 0.45).astype(np.uint8) * 255
    return (200 * hills).astype(dtype), mask, random_markers(mask > 0, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_intensity_is_scikit_images_watershed_of_the_inverted_image(dtype, sigma):
    image, mask, markers = smooth_case(dtype)
    before = image.copy()
    smooth = image.astype(np.float32)
    if sigma:
        smooth = cv2.GaussianBlur(smooth, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    seeds = np.maximum(markers - 1, 0)
    expected = flood(-smooth, seeds, connectivity=2, mask=mask > 0)
    found = watershed.intensity(image, mask, markers, sigma, 0.0)
    np.testing.assert_array_equal(np.maximum(found - 1, 0), expected)
    np.testing.assert_array_equal(image, before)
    assert image.dtype == dtype


@pytest.mark.parametrize("compactness", [0.0, 0.5])
def test_combined_is_scikit_images_watershed_of_distance_times_relative_intensity(compactness):
    image, mask, markers = smooth_case()
    diameter = np.sqrt(4 / np.pi * np.count_nonzero(mask) / (markers.max() - 1))
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    depth *= watershed.relative(image, mask, diameter)
    seeds = np.maximum(markers - 1, 0)
    expected = flood(-depth, seeds, connectivity=2, mask=mask > 0, compactness=compactness)
    found = watershed.combined(image, mask, markers, 0.0, compactness)
    np.testing.assert_array_equal(np.maximum(found - 1, 0), expected)


@pytest.mark.parametrize("compactness", [0.3, 1.0, 10.0])
def test_compact_distance_is_scikit_images(compactness):
    _, mask, markers = smooth_case()
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    seeds = np.maximum(markers - 1, 0)
    expected = flood(-depth, seeds, connectivity=2, mask=mask > 0, compactness=compactness)
    found = run(mask, markers, options={"compactness": compactness})
    np.testing.assert_array_equal(found, expected)


def test_compactness_does_not_depend_on_the_units_of_the_image():
    image, mask, markers = smooth_case()
    one = watershed.intensity(image, mask, markers, 1.0, 0.5)
    np.testing.assert_array_equal(watershed.intensity(image * 16, mask, markers, 1.0, 0.5), one)
    plain = watershed.intensity(image, mask, markers, 1.0, 0.0)
    assert (one != plain).any()


def test_very_compact_regions_are_those_of_the_nearest_seed():
    mask, markers = rectangles((5, 5, 40, 20))
    markers[markers > 1] = 0
    markers[15, 10], markers[15, 30] = 2, 3
    image = np.tile(np.arange(60, dtype=np.float32), (40, 1))
    found = watershed.intensity(image, mask, markers, 0.0, 100.0)
    assert (found[5:25, 5:20] == 2).all() and (found[5:25, 21:45] == 3).all()


def test_intensity_cuts_at_the_dark_line_wherever_the_waist_is():
    mask, markers = rectangles((4, 5, 40, 20))
    markers[markers > 1] = 0
    markers[15, 8], markers[15, 38] = 2, 3
    image = np.tile(np.abs(np.arange(60) - 30) * 5 + 20, (40, 1)).astype(np.uint16)
    found = watershed.intensity(image, mask, markers, 0.0, 0.0)
    assert (found[5:25, 4:30] == 2).all() and (found[5:25, 31:44] == 3).all()
    assert (found[mask == 0] == 0).all()


def test_relative_intensity_is_about_1_in_bright_and_in_dim_nuclei():
    mask = np.zeros((120, 300), np.uint8)
    cv2.circle(mask, (60, 60), 15, 255, -1)
    cv2.circle(mask, (240, 60), 15, 255, -1)
    image = np.full(mask.shape, 50, np.float32)
    image[:, :150][mask[:, :150] > 0] = 1050
    image[:, 150:][mask[:, 150:] > 0] = 150
    result = watershed.relative(image, mask, 30.0)
    np.testing.assert_allclose(result[mask > 0], 1, atol=0.01)
    np.testing.assert_allclose(result[mask == 0], 0, atol=0.01)


@pytest.mark.parametrize("method", ["intensity", "combined"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (20, 30)])
def test_methods_on_the_intensity_take_empty_full_and_flat_images(method, dtype, shape):
    function = getattr(watershed, method)
    image = np.full(shape, 7, dtype)
    empty = function(image, np.zeros(shape, np.uint8), np.ones(shape, np.int32), 1.0, 0.0)
    assert not empty.any() and empty.dtype == np.int32
    for compactness in (0.0, 0.5):
        full, seed = np.full(shape, 255, np.uint8), np.zeros(shape, np.int32)
        seed[0, 0] = 2
        assert (function(image, full, seed, 1.0, compactness) == 2).all()


# Solidity


def test_hull_of_rectangles_passes_through_the_middles_of_edges():
    basins = np.ones((40, 40), np.int32)
    basins[3:13, 5:25] = 2
    basins[30, 30] = 7
    # Each corner lacks a triangle of half a pixel by half a pixel.
    found = {number: hull_area(hull) for number, hull in hulls(basins).items()}
    assert found == {2: 200 - 4 / 8, 7: 1 - 4 / 8}


def test_hull_of_an_angle_leaves_out_a_triangle():
    basins = np.zeros((20, 20), np.int32)
    basins[4:14, 4:14] = 5
    basins[4:9, 9:14] = 0
    area = hull_area(hulls(basins)[5])
    assert area == 100 - 5.5**2 / 2 - 3 / 8
    assert 75 / area == pytest.approx(regionprops((basins > 0) * 1)[0].solidity, abs=0.01)


def bent(shape=(90, 120)):
    """A bean: 160 degrees of a ring of radius 30 whose tube is 20 pixels wide."""
    image = np.zeros(shape, np.uint8)
    cv2.ellipse(image, (60, 65), (30, 30), 0, 190, 350, 1, 20)
    return image.astype(np.int32) * 2


def ring(outer=24, inner=10):
    y, x = np.mgrid[:60, :60] - 30
    return ((y * y + x * x <= outer**2) & (y * y + x * x > inner**2)).astype(np.int32) * 2


def solidity_of(basins, number=2):
    return np.count_nonzero(basins == number) / hull_area(hulls(basins)[number])


def test_solidity_of_known_shapes():
    # A ring of radii 24 and 10 covers 1 - 100 / 576 of its hull.
    assert solidity_of(ring()) == pytest.approx(1 - 100 / 576, abs=0.025)
    assert solidity_of(ring(inner=0)) == pytest.approx(1, abs=0.03)
    two = discs((20, 30, 10), (40, 30, 10))
    # Two discs that touch: 2 pi over pi + 4.
    assert solidity_of(np.minimum(two, 2)) == pytest.approx(2 * np.pi / (np.pi + 4), abs=0.04)
    for basins in (ring(), bent(), np.minimum(two, 2)):
        library = regionprops((basins > 0) * 1)[0].solidity
        assert solidity_of(basins) == pytest.approx(library, abs=0.015)


def discs(*circles, shape=(60, 80)):
    """Basins 2.. that are discs (x, y, radius); where two overlap, the later one."""
    image = np.zeros(shape, np.uint8)
    for number, (x, y, radius) in enumerate(circles, start=2):
        cv2.circle(image, (x, y), radius, number, -1)
    return image.astype(np.int32)


def partition(basins):
    """The nuclei as sets of pixels, whatever their numbers."""
    flat = basins.ravel()
    return {tuple(np.flatnonzero(flat == number)) for number in np.unique(flat) if number > 1}


# Split


def test_split_cuts_two_discs_at_their_waist():
    basins = np.minimum(discs((25, 30, 12), (45, 30, 12)), 2)
    result = split_by_shape(basins, 0.93, 1.0, 0.25)
    assert result.dtype == np.int32 and np.unique(result).tolist() == [0, 2, 3]
    assert (result[:, :35][basins[:, :35] > 0] == 2).all()
    assert (result[:, 36:][basins[:, 36:] > 0] == 3).all()
    np.testing.assert_array_equal(result > 0, basins > 0)


def test_split_cuts_a_chain_of_three():
    basins = np.minimum(discs((20, 30, 10), (37, 30, 10), (54, 30, 10)), 2)
    result = split_by_shape(basins, 0.93, 1.0, 0.25, diameter=20.0)
    assert [result[30, x] for x in (20, 37, 54)] == [2, 3, 4]
    np.testing.assert_allclose(np.bincount(result.ravel())[2:], 317, atol=30)


@pytest.mark.parametrize(
    "basins", [ring(), bent(), discs((30, 30, 14))], ids=["ring", "bean", "disc"]
)
def test_split_leaves_alone_what_has_no_waist(basins):
    for limit in (0.9, 1.0):
        result = split_by_shape(basins, limit, 1.0, 0.25)
        np.testing.assert_array_equal(result, basins)


def test_split_touches_nothing_above_the_limit():
    basins = np.minimum(discs((25, 30, 12), (45, 30, 12)), 2)
    at = solidity_of(basins)
    assert split_by_shape(basins, at - 0.001, 1.0, 0.25).max() == 2
    assert split_by_shape(basins, at + 0.001, 1.0, 0.25).max() == 3


@pytest.mark.parametrize(("min_part", "parts"), [(0.05, 2), (0.11, 2), (0.12, 1), (0.25, 1)])
def test_parts_are_no_smaller_than_a_fraction_of_the_typical_area(min_part, parts):
    # A bud of radius 5, 80 pixels of it: 0.11 of a disc of 30 pixels are 78.
    basins = np.minimum(discs((30, 30, 15), (49, 30, 5)), 2)
    result = split_by_shape(basins, 1.0, 0.5, min_part, diameter=30.0)
    sizes = np.bincount(result.ravel())[2:]
    assert len(sizes) == parts
    assert sizes.sum() == np.count_nonzero(basins) and (sizes >= min_part * 707).all()


def test_typical_area_is_the_median_where_no_diameter_is_known():
    twins = [(15, 15, 8), (28, 15, 8)]
    many = [(15 + 30 * column, 50, 14) for column in range(3)]
    basins = discs(*twins, *many, shape=(80, 100))
    basins[basins == 3] = 2
    # A half has about 200 pixels, the median nucleus 613.
    assert split_by_shape(basins, 0.95, 0.5, 0.3).max() == 6 + 1
    assert split_by_shape(basins, 0.95, 0.5, 0.4).max() == 6


def test_split_leaves_neighbours_as_they_are_and_numbers_parts_in_place():
    basins = discs((14, 30, 9), (30, 30, 12), (50, 30, 12), (70, 30, 7))
    basins[basins == 4] = 3
    basins[basins == 5] = 4
    result = split_by_shape(basins, 0.93, 1.0, 0.25)
    np.testing.assert_array_equal(result == 2, basins == 2)
    np.testing.assert_array_equal(result == 5, basins == 4)
    np.testing.assert_array_equal((result == 3) | (result == 4), basins == 3)
    assert result[30, 30] == 3 and result[30, 52] == 4


def test_touching_nuclei_are_each_split_in_themselves():
    # Two dumb-bells above each other share a long border.
    one = np.minimum(discs((25, 20, 11), (45, 20, 11), shape=(64, 80)), 2)
    other = np.minimum(discs((25, 42, 11), (45, 42, 11), shape=(64, 80)), 2)
    basins = np.where(one > 0, 2, np.where(other > 0, 3, 0)).astype(np.int32)
    basins[29:33, 25:46] = np.where(basins[29:33, 25:46] > 0, basins[29:33, 25:46], 3)
    result = split_by_shape(basins, 0.95, 1.0, 0.25)
    np.testing.assert_array_equal(np.isin(result, (2, 3)), basins == 2)
    np.testing.assert_array_equal(np.isin(result, (4, 5)), basins == 3)
    for number in (2, 3, 4, 5):
        assert ndimage.label(result == number, np.ones((3, 3)))[1] == 1


def test_a_waist_that_neighbours_fill_is_a_waist():
    waist = discs((25, 30, 12), (45, 30, 12)) > 0
    basins = np.zeros((60, 80), np.int32)
    basins[12:30, 8:62], basins[30:48, 8:62] = 3, 4
    basins[waist] = 2
    result = split_by_shape(basins, 0.97, 1.0, 0.25)
    inside = np.unique(result[waist])
    assert inside.size == 2 and result[30, 25] != result[30, 45]
    assert (result[:, :34][waist[:, :34]] == result[30, 25]).all()


@pytest.mark.parametrize(
    ("sizes", "whole", "saddles", "joined"),
    [
        # The small one hangs on both others, higher on the second.
        ([100, 100, 5], [7, 7, 7], [(3.0, 1, 2), (1.0, 0, 2)], [0, 1, 1]),
        ([100, 100, 5], [7, 7, 7], [(3.0, 0, 2), (1.0, 1, 2)], [0, 1, 0]),
        # The smallest goes first and makes the other large enough.
        ([9, 11, 100], [7, 7, 7], [(3.0, 1, 2), (2.0, 0, 1)], [1, 1, 2]),
        # Large enough neither alone nor with another: the object stays whole.
        ([9, 5, 4], [7, 7, 7], [(3.0, 1, 2), (2.0, 0, 1)], [1, 1, 1]),
        # What two had for a neighbour is the neighbour of both.
        ([9, 8, 100, 100], [7] * 4, [(4.0, 0, 1), (3.0, 0, 2), (2.0, 1, 3)], [2, 2, 2, 3]),
        # Of a part that hangs on none, the largest of its object gets the pixels.
        ([30, 100, 5, 500], [7, 7, 7, 8], [], [0, 1, 1, 3]),
        ([5, 500], [7, 8], [], [0, 1]),
        ([20, 20], [7, 7], [(1.0, 0, 1)], [0, 1]),
    ],
)
def test_small_parts_join_across_their_highest_saddle(sizes, whole, saddles, joined):
    level, first, second = np.array(saddles, float).reshape(-1, 3).T
    arrays = (np.array(sizes), np.array(whole), level, first.astype(int), second.astype(int))
    assert large_enough(*arrays, 19.0).tolist() == joined


def blobs(seed, shape=(90, 90)):
    """Basins of random blobs, some of which touch, with random numbers."""
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=shape), 4) > 0.005
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    tops = (depth == ndimage.maximum_filter(depth, 13)) & (depth > 1)
    seeds = ndimage.label(tops, np.ones((3, 3)))[0]
    labels = flood(-depth, seeds, connectivity=2, mask=mask)
    order = np.concatenate([[0], 2 + rng.permutation(labels.max())])
    return order[labels].astype(np.int32), mask.astype(np.uint8) * 255, rng


def renumbered(basins, rng):
    numbers = np.unique(basins[basins > 1])
    order = np.arange(basins.max() + 1)
    order[numbers] = rng.permutation(numbers)
    return order[basins].astype(np.int32)


@pytest.mark.parametrize("seed", range(8))
def test_rules_do_not_depend_on_the_order_of_the_numbers(seed):
    basins, mask, rng = blobs(seed)
    image = ndimage.gaussian_filter(rng.random(mask.shape), 2).astype(np.float32) + mask
    other = renumbered(basins, rng)
    split = [split_by_shape(each, 0.9, 0.5, 0.2) for each in (basins, other)]
    assert partition(split[0]) == partition(split[1])
    for limits in ((0.8, None), (None, 0.95), (0.8, 0.9)):
        joined = [merged(each, mask, image, *limits) for each in (basins, other)]
        assert partition(joined[0]) == partition(joined[1])
        assert len(partition(joined[0])) < len(partition(basins)) <= len(partition(split[0]))


# Merge


def halves(boundary=30):
    """A disc cut in two at a column."""
    basins = discs((30, 30, 14))
    basins[:, boundary:][basins[:, boundary:] > 0] = 3
    return basins


def test_two_halves_of_a_disc_are_one_again():
    basins = halves()
    mask = (basins > 0).astype(np.uint8) * 255
    result = merged(basins, mask, None, 0.95, None)
    np.testing.assert_array_equal(result, (basins > 0) * 2)
    assert result.dtype == np.int32


def test_pieces_merge_one_after_the_other():
    basins = discs((30, 30, 14))
    inside = basins > 0
    basins[inside] = 2 + (np.indices(basins.shape)[1][inside] - 16) // 7
    assert np.unique(basins[inside]).size == 5
    mask = inside.astype(np.uint8) * 255
    np.testing.assert_array_equal(merged(basins, mask, None, 0.9, None), inside * 2)


def test_two_discs_stay_two_by_their_solidity():
    basins = discs((20, 30, 10), (40, 30, 10))
    mask = (basins > 0).astype(np.uint8) * 255
    # 2 pi / (pi + 4) is 0.88, with pixels of this size 0.84.
    assert merged(basins, mask, None, 0.85, None).max() == 3
    assert merged(basins, mask, None, 0.83, None).max() == 2


def dimmed(level, second=100):
    """Two squares of 10 pixels, whose columns side by side are of a level, on a ground of 0."""
    basins, image = np.zeros((60, 80), np.int32), np.zeros((60, 80), np.uint16)
    basins[20:30, 30:40], basins[20:30, 40:50] = 2, 3
    image[20:30, 30:40], image[20:30, 40:50] = 100, second
    image[20:30, 39:41] = level
    return basins, (basins > 0).astype(np.uint8) * 255, image


@pytest.mark.parametrize(
    ("saddle", "level", "second", "number"),
    [
        # Means of both are (90 * 100 + 10 * 50) / 100 = 95, and 50 / 95 is 0.526.
        (0.52, 50, 100, 1),
        (0.53, 50, 100, 2),
        # The dimmer one has (90 * 60 + 10 * 50) / 100 = 59, and 50 / 59 is 0.847.
        (0.84, 50, 60, 1),
        (0.85, 50, 60, 2),
        (1.0, 100, 100, 1),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_shallow_saddles_merge(saddle, level, second, number, dtype):
    basins, mask, image = dimmed(level, second)
    before = basins.copy()
    result = merged(basins, mask, image.astype(dtype), None, saddle)
    assert len(partition(result)) == number
    np.testing.assert_array_equal(basins, before)


def test_saddles_count_from_the_ground():
    # On a ground of 1000 they are as deep as before, though 1050 / 1095 is 0.96.
    basins, mask, image = dimmed(50)
    assert merged(basins, mask, image + 1000, None, 0.55).max() == 3
    assert merged(basins, mask, image + 1000, None, 0.50).max() == 2


@pytest.mark.parametrize(
    ("solidity", "saddle", "number"),
    [(0.9, 0.5, 1), (0.9, 0.6, 2), (1.0, 0.5, 1), (None, 0.5, 1), (None, 0.6, 2), (0.9, None, 1)],
)
def test_both_limits_must_be_reached(solidity, saddle, number):
    basins, mask, image = dimmed(50)
    assert len(partition(merged(basins, mask, image, solidity, saddle))) == number


def test_a_union_with_gaps_in_its_hull_is_not_merged_however_bright_the_border():
    basins = discs((20, 30, 10), (40, 30, 10))
    mask = (basins > 0).astype(np.uint8) * 255
    assert merged(basins, mask, mask, None, 0.9).max() == 2
    assert merged(basins, mask, mask, 0.95, 0.9).max() == 3


def test_the_most_solid_union_comes_first():
    # The piece in the middle makes a square with the left one, a worse rectangle with the right.
    basins = np.zeros((40, 60), np.int32)
    basins[10:30, 10:20] = 4
    basins[10:30, 20:25] = 3
    basins[5:35, 25:45] = 2
    mask = (basins > 0).astype(np.uint8) * 255
    result = merged(basins, mask, None, 0.93, None)
    assert result[20, 12] == result[20, 22] == 3 and result[20, 30] == 2


def lined():
    """Two basins with a line between them and background around, as OpenCV leaves them."""
    basins = np.ones((30, 40), np.int32)
    basins[[0, -1]] = basins[:, [0, -1]] = 0
    basins[9:21, 9:31] = 0
    basins[10:20, 10:20], basins[10:20, 21:30] = 2, 3
    mask = np.zeros((30, 40), np.uint8)
    mask[9:21, 9:31] = 255
    return basins, mask


def test_lines_between_merged_nuclei_are_filled_and_others_stay():
    basins, mask = lined()
    result = merged(basins, mask, None, 0.9, None)
    expected = basins.copy()
    expected[10:20, 20:30] = 2
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(merged(basins, mask * 0, None, 0.9, None), basins)


@pytest.mark.parametrize("seed", range(6))
def test_equal_scores_are_taken_from_above_whatever_the_numbers(seed):
    # Squares, numbered here from 0 in rows of four without 3 and 8. Pairs are the most solid, those
    # from above first: 0 1, 2 6, 4 5, 7 11, 9 10. Then 0 1 4 5 is a square, with 2 6 a rectangle.
    basins = np.zeros((60, 80), np.int32)
    numbers = 2 + np.random.default_rng(seed).permutation(12)
    for index, number in enumerate(numbers):
        y, x = 5 + 10 * (index // 4), 5 + 10 * (index % 4)
        basins[y : y + 10, x : x + 10] = number
    basins[5:15, 35:45] = basins[25:35, 5:15] = 0
    mask = (basins > 0).astype(np.uint8) * 255
    result = merged(basins, mask, None, 0.97, None)
    # The pixel in the middle of each square.
    found = result[10:31:10, 10:41:10]
    same = {tuple(np.flatnonzero(found.ravel() == number)) for number in np.unique(found)}
    assert same == {(0, 1, 2, 4, 5, 6), (7, 11), (9, 10), (3, 8)}


def squares(numbers):
    """Squares of 10 x 10 above each other and one of 20 x 10 beside both, at 100 on ground of 0.

    On the border between them the upper one has 50, the lower one 95.
    """
    basins, image = np.zeros((60, 80), np.int32), np.zeros((60, 80), np.float32)
    basins[10:20, 10:20], basins[20:30, 10:20], basins[10:30, 20:30] = numbers
    image[basins > 0] = 100
    image[10:20, 19:21], image[20:30, 19:21] = 50, 95
    return basins, (basins > 0).astype(np.uint8) * 255, image


@pytest.mark.parametrize("numbers", [(2, 3, 4), (3, 2, 4), (4, 3, 2), (3, 4, 2)])
@pytest.mark.parametrize(("saddle", "number"), [(0.8, 2), (0.7, 1)])
def test_what_merged_has_the_borders_of_both(numbers, saddle, number):
    # 50 / 95 and 95 / 97.25 apart; together 72.5 / 97.25, which is 0.75.
    result = merged(*squares(numbers), None, saddle)
    assert len(partition(result)) == number
    assert result[15, 15] == result[25, 15]


def test_what_merged_has_the_light_of_both():
    basins, image = np.zeros((60, 80), np.int32), np.zeros((60, 80), np.float32)
    for number in (2, 3, 4):
        basins[20:30, 10 * number : 10 * number + 10] = number
    image[basins > 0] = 100
    image[20:30, 39:41] = 70
    mask = (basins > 0).astype(np.uint8) * 255
    result = merged(basins, mask, image, None, 0.9)
    assert len(partition(result)) == 2 and result[25, 25] == result[25, 35] != result[25, 45]


def test_a_line_stays_where_it_meets_the_background():
    basins, mask = lined()
    basins[9, 20] = 1
    result = merged(basins, mask, None, 0.9, None)
    assert result[10, 20] == 0 and (result[11:20, 20] == 2).all()


def test_rules_leave_the_background_alone():
    basins, mask = lined()
    joined = merged(basins, mask, mask, 0.1, 0.0)
    split = split_by_shape(basins, 1.0, 0.0, 0.01)
    for result in (joined, split):
        np.testing.assert_array_equal(result == 1, basins == 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (20, 30)])
@pytest.mark.parametrize("value", [0, 1, 2])
def test_rules_take_nothing_background_and_a_full_image(shape, value):
    basins = np.full(shape, value, np.int32)
    mask = np.full(shape, 255, np.uint8)
    np.testing.assert_array_equal(merged(basins, mask, mask, 0.5, 0.5), basins)
    np.testing.assert_array_equal(split_by_shape(basins, 1.0, 0.5, 0.25), basins)


def test_the_stage_splits_before_it_merges():
    basins = np.minimum(discs((25, 30, 12), (45, 30, 12)), 2)
    mask = (basins > 0).astype(np.uint8) * 255
    markers = np.where(mask > 0, 0, 1).astype(np.int32)
    markers[30, 25] = 2
    image = np.where(mask > 0, 100, 0).astype(np.uint8)
    cut = {"solidity": 0.93, "h": 1.0, "min_part": 0.25}
    whole = {"solidity": None, "saddle": 0.9}
    assert run(mask, markers).max() == 1
    assert run(mask, markers, split=cut).max() == 2
    assert run(mask, markers, split=cut, merge=whole, preprocessed=image).max() == 1


# Filters


def kept(filters, raw=None, dropped=None, **settings):
    """Areas of what filters leave of rectangles of 20, 50, 100 and 300 pixels."""
    boxes = ((2, 2, 5, 4), (12, 2, 10, 5), (25, 2, 10, 10), (38, 2, 10, 30))
    mask, markers = rectangles(*boxes)
    filters = [{"min": None, "max": None} | each for each in filters]
    labels, found = watershed.watershed(
        None, mask, markers, **PLAIN | settings | {"filters": filters}, raw=raw
    )
    assert gapless(labels)
    if dropped is not None:
        assert found == dropped
    return np.bincount(labels.ravel())[1:].tolist()


@pytest.mark.parametrize(
    ("filters", "areas"),
    [
        ([{"property": "area", "min": 50}], [50, 100, 300]),
        ([{"property": "area", "min": 50.5}], [100, 300]),
        ([{"property": "num_pixels", "min": 50, "max": 100}], [50, 100]),
        ([{"property": "area", "max": 19}], []),
        # The eccentricity of a rectangle is the root of 1 - (short² - 1) / (long² - 1).
        ([{"property": "eccentricity", "max": 0.7}], [20, 100]),
        ([{"property": "perimeter", "min": 26.5}], [100, 300]),
        ([{"property": "extent", "min": 1}], [20, 50, 100, 300]),
        ([{"property": "euler_number", "min": 2}], []),
        ([{"property": "area", "min": 30}, {"property": "eccentricity", "max": 0.9}], [50, 100]),
    ],
)
def test_filters_keep_what_lies_between_limits(filters, areas):
    assert kept(filters) == areas


def test_filters_of_intensity_measure_the_raw_channel():
    raw = np.zeros((40, 60), np.uint16)
    raw[2:6, 2:7], raw[2:7, 12:22], raw[2:12, 25:35], raw[2:32, 38:48] = 100, 300, 299, 400
    assert kept([{"property": "intensity_mean", "min": 300}], raw) == [50, 300]
    assert kept([{"property": "intensity_sum", "max": 15000}], raw) == [20, 50]
    raw[2, 38] = 5000
    assert kept([{"property": "intensity_max", "max": 400}], raw) == [20, 50, 100]
    assert kept([{"property": "intensity_median", "min": 400}], raw.astype(np.float64)) == [300]


def test_solidity_is_that_of_scikit_image():
    basins = ring()
    mask = (basins > 0).astype(np.uint8) * 255
    markers = np.where(mask > 0, 2, 1).astype(np.int32)
    at = regionprops((mask > 0) * 1)[0].solidity
    for limit, number in ((at, 1), (at + 1e-6, 0)):
        filters = [{"property": "solidity", "min": limit, "max": None}]
        assert run(mask, markers, filters=filters).max() == number


def test_each_nucleus_counts_for_the_first_limit_that_drops_it():
    filters = [{"property": "area", "max": 200}, {"property": "eccentricity", "max": 0.7}]
    dropped = {"min_area": 1, "area": 1, "eccentricity": 1}
    assert kept(filters, dropped=dropped, min_area=21) == [100]
    assert kept([], dropped={}) == [20, 50, 100, 300]
    twice = [{"property": "area", "min": 30}, {"property": "area", "max": 60}]
    assert kept(twice, dropped={"area": 3}) == [50]


def test_filters_do_not_touch_the_background_object():
    mask, markers = rectangles((10, 10, 10, 10), (35, 10, 10, 20))
    filters = [{"property": "area", "min": None, "max": 100}]
    image = np.dstack([mask] * 3)
    labels = run(mask, markers, image, method="opencv", background=True, filters=filters)
    assert labels.max() == 2 and labels[1, 1] == 1 and labels[15, 15] == 2 and labels[15, 40] == 0


@pytest.mark.parametrize("number", [0, 2])
def test_every_property_of_the_schema_can_be_a_filter(schema, number):
    section = schema["properties"]["watershed"]["properties"]["filters"]["items"]
    names = section["properties"]["property"]["enum"]
    assert len(names) == 41
    labels = np.zeros((20, 20), np.int32)
    labels[5:10, 5:12] = min(number, 1)
    # Alone, a nucleus has no distance to the nearest.
    labels[12:16, 5:12] = number
    filters = [{"property": name, "min": -1e9, "max": None} for name in names]
    for name, bad in watershed.filtered(labels, labels + 7, filters):
        assert bad.tolist() == [False] * number, name


def test_other_properties_of_measure_are_no_single_number(schema):
    sections = schema["properties"]
    measured = sections["measure"]["properties"]["properties"]["items"]["enum"]
    single = sections["watershed"]["properties"]["filters"]["items"]["properties"]["property"]
    labels = np.ones((8, 8), np.int32)
    for name in set(measured) - set(single["enum"]):
        assert of_objects(labels, labels, [name]).shape[1] > 2, name
    for name in single["enum"]:
        assert of_objects(labels, labels, [name]).columns.tolist() == ["label", name]


def test_nothing_to_filter_is_no_error():
    mask = np.zeros((9, 9), np.uint8)
    filters = [{"property": "intensity_mean", "min": 3, "max": None}]
    labels = run(mask, np.ones((9, 9), np.int32), filters=filters, raw=mask)
    assert not labels.any()


# Micrometres


def test_limits_in_micrometres_become_pixels():
    filters = [
        {"property": "area", "min": "50 um2", "max": 400.0},
        {"property": "perimeter", "min": None, "max": "8 um"},
    ]
    assert watershed.in_pixels(filters, 0.5) == [
        {"property": "area", "min": 200.0, "max": 400.0},
        {"property": "perimeter", "min": None, "max": 16.0},
    ]
    with pytest.raises(ImageError) as caught:
        watershed.in_pixels(filters, None)
    assert str(caught.value) == (
        "the config says 50 um2, and the image does not state the size of its pixels: set "
        "pixel_size_um, or give square pixels"
    )


@pytest.mark.parametrize(
    ("stated", "asked", "crop", "areas"),
    [
        # A pixel of 0.5 um has 0.25 um2, so that 25 um2 are 100 pixels.
        (0.5, None, None, [100, 300]),
        (None, 0.5, None, [100, 300]),
        (0.5, 1.0, None, [50, 100, 300]),
        (None, None, None, None),
    ],
)
def test_stage_knows_the_size_of_pixels(stated, asked, crop, areas):
    boxes = ((2, 2, 5, 4), (12, 2, 10, 5), (25, 2, 10, 10), (38, 2, 10, 30))
    mask, markers = rectangles(*boxes)
    record = {"height": 40, "width": 60, "stated_pixel_size_um": stated}
    item = SimpleNamespace(
        field=None, read={"mask": mask, "markers": markers}.get, facts={}, record=record
    )
    filters = [{"property": "area", "min": "25 um2", "max": None}]
    settings = PLAIN | {"filters": filters, "pixel_size_um": asked, "view": {"crop": crop}}
    if areas is None:
        with pytest.raises(ImageError, match="does not state the size of its pixels"):
            watershed.compute(item, settings)
        return
    labels = watershed.compute(item, settings)["labels"]
    assert np.bincount(labels.ravel())[1:].tolist() == areas
    assert item.facts == {"objects": len(areas), "dropped": f"area {4 - len(areas)}"}


def test_stage_reads_the_raw_channel_for_filters_of_intensity():
    stack = np.zeros((2, 1, 40, 60), np.uint16)
    stack[1, 0, 5:35, 5:25], stack[1, 0, 5:35, 25:45] = 100, 300
    filters = [{"property": "intensity_mean", "min": 200.0, "max": None}]
    channels = (Channel("a"), Channel("b"))
    labels, facts, *_ = computed(stack, channels, "distance", filters=filters)
    assert facts == {"objects": 1, "dropped": "intensity_mean 1"}
    assert labels[20, 40] == 1 and labels[20, 10] == 0


# Mistakes in the config


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        (
            {"filters": [{"property": "solidty", "min": 0.8}]},
            r'filters\[0\]\.property is "solidty", must be one of .* \(did you mean solidity\?\)',
        ),
        (
            {"filters": [{"property": "centroid", "min": 3}]},
            r'filters\[0\]\.property is "centroid", must be one of area, area_bbox, .* solidity ',
        ),
        ({"filters": [{"min": 3}]}, r"filters\[0\]\.property is missing, set it to one of area, "),
        (
            {"filters": [{"property": "area"}]},
            r"filters\[0\] has neither min nor max, set one for area$",
        ),
        (
            {"filters": [{"property": "area", "min": 2, "mx": 3}]},
            r"watershed\.filters\[0\]\.mx, did you mean max\?",
        ),
        (
            {"filters": [{"property": "area", "min": 1}, {"property": "area", "min": "8 um"}]},
            r'filters\[1\]\.min is "8 um", must be a number or an area such as 50 um2 for area$',
        ),
        (
            {"filters": [{"property": "perimeter", "max": "8 um2"}]},
            r'max is "8 um2", must be a number or a length such as 8 um for perimeter$',
        ),
        (
            {"filters": [{"property": "solidity", "max": "8 um"}]},
            r'filters\[0\]\.max is "8 um", must be a number for solidity$',
        ),
        (
            {"filters": [{"property": "area", "min": "50 px"}]},
            r'min is "50 px", must be a number, a length such as 8 um, an area such as 50 um2, or',
        ),
        (
            {"filters": [{"property": "area", "min": 50, "max": 20}]},
            r"\[0\]\.max is 20\.0, must be at least watershed\.filters\[0\]\.min, which is 50",
        ),
        (
            {"filters": [{"property": "area", "min": "50 um2", "max": "20 um2"}]},
            r"filters\[0\]\.max is 20 um2, must be at least .*, which is 50 um2$",
        ),
        (
            {"split": {"solidity": 0.9}, "merge": {"solidity": 0.8}},
            r"watershed\.merge\.solidity is 0\.8, must be at least watershed\.split\.solidity",
        ),
        (
            {"merge": {"saddle": 1.5}},
            r"merge\.saddle is 1\.5, must be a number from 0 to 1 or null$",
        ),
    ],
)
def test_mistakes_are_refused_in_a_sentence(schema, section, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        load({"watershed": section}, schema)
    assert str(caught.value).startswith("config: ") and "\n" not in str(caught.value)


def test_micro_is_micro_however_it_is_written(schema):
    loaded = [
        load({"watershed": {"filters": [{"property": "area", "min": text}]}}, schema)
        for text in ("50 um2", "50 µm²", "50.0 μm^2", "50um2")
    ]
    assert {repr(each) for each in loaded} == {repr(loaded[0])}
    assert loaded[0]["watershed"]["filters"] == [{"property": "area", "min": "50 um2", "max": None}]


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
