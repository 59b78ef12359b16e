"""Numbers and pictures of the OpenCV workshop, to the last digit, from the stages' functions."""

import csv
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml

import markers
import measure
import overlay
import preprocess
import threshold
import watershed
from nucleiflow import settings
from nucleiflow.display import for_display
from nucleiflow.field import File, View, open_field
from nucleiflow.geometry import cut_out

PRESET = Path(__file__).resolve().parents[2] / "config/presets/workshop.yaml"


def read(path: Path, **view: dict) -> np.ndarray:
    """All channels of an image, as (Y, X) or (Y, X, 3), RGB."""
    with open_field(path.parent, [File(path.name)], View(**view)) as field:
        return field.image(0) if len(field.names) == 1 else field.rgb()


def preprocessed(path: Path, section: dict) -> tuple[np.ndarray, np.ndarray]:
    """The channel with the nuclei and what stage preprocess makes of it."""
    view = View(segment=section["segment"])
    with open_field(path.parent, [File(path.name)], view) as field:
        item = SimpleNamespace(field=lambda _: nullcontext(field), facts={}, record={})
        steps = ("combine", "denoise", "background", "log")
        settings = {key: section[key] for key in steps} | {"view": {"z": view.z}}
        products = preprocess.compute(item, settings)
    return products["channel"], products["preprocessed"]


@pytest.fixture(scope="module")
def workshop(data, schema):
    """Every picture and the table, made by the stages' functions with the preset."""
    config = settings.load(yaml.safe_load(PRESET.read_text()), schema)
    options = {
        stage: settings.active(config[stage], schema["properties"][stage])
        for stage in ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")
    }
    path = data / "workshop/fluorescent-cells.png"
    image = read(path)
    result = {"image": image}
    section = options["preprocess"] | {"segment": config["segment"]}
    result["channel"], blurred = preprocessed(path, section)
    result["preprocessed"] = blurred
    result["mask"] = threshold.threshold(blurred, **options["threshold"])
    result |= markers.find_markers(result["mask"], **options["markers"])
    seeds = result["markers"]
    labels, _ = watershed.watershed(image, result["mask"], seeds, **options["watershed"])
    result["labels"] = labels
    # Columns of intensities end in nothing, as in the workshop.
    wanted = settings.of_stage_measure(options["measure"])
    assert wanted.pop("channels") == "segmented"
    assert (wanted.pop("objects"), wanted.pop("families")) == ("all", {})
    channels = [("", result["channel"])]
    result["table"] = measure.measure(labels, channels, frame=1, **wanted)
    drawing = {key: options["overlay"][key] for key in ("color", "thickness")}
    shown = for_display(image, options["overlay"]["stretch"])
    result["overlay"] = overlay.overlay(shown, labels, lines=True, **drawing)
    return result


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("channel", "nuclei"),
        ("mask", "nuclei-opening"),
        ("sure_background", "nuclei-sure_bg"),
        ("sure_foreground", "nuclei-sure_fg"),
        ("unknown", "nuclei-unknown"),
        ("overlay", "image-segmented"),
    ],
)
def test_preset_gives_the_workshops_picture_pixel_for_pixel(workshop, data, ours, theirs):
    expected = read(data / f"workshop/{theirs}.png")
    assert workshop[ours].dtype == np.uint8
    np.testing.assert_array_equal(workshop[ours], expected)


def test_otsus_threshold_is_126(workshop):
    blurred = workshop["preprocessed"]
    foreground = threshold.otsu(blurred)
    np.testing.assert_array_equal(foreground, blurred > 126)
    assert (blurred == 126).any() and (blurred == 127).any()


def test_preset_gives_all_rows_of_the_workshops_table_to_every_printed_digit(workshop, data):
    with (data / "workshop/nuclei-data.csv").open(newline="") as file:
        printed = list(csv.reader(file))
    assert printed.pop(0) == ["label", "area", "equivalent_diameter", "mean_intensity", "perimeter"]
    names = ["label", "area", "equivalent_diameter_area", "intensity_mean", "perimeter"]
    rows = workshop["table"][names].itertuples(index=False)
    ours = [[str(row[0]), str(row[1]), *(f"{value:.6f}" for value in row[2:])] for row in rows]
    assert len(printed) == 24
    assert ours == printed


def test_markers_are_1_for_background_and_2_to_24_for_seeds(workshop):
    seeds = workshop["markers"]
    assert seeds.dtype == np.int32
    assert np.unique(seeds).tolist() == list(range(25))
    np.testing.assert_array_equal(seeds == 0, workshop["unknown"] == 255)


def test_pixel_of_the_clown_has_the_workshops_colours_in_the_order_of_their_names(data):
    path = data / "workshop/clown.png"
    assert read(path)[100, 50].tolist() == [184, 35, 15]
    colors = []
    for name in ("red", "green", "blue"):
        with open_field(path.parent, [File(path.name)], View(segment=name)) as field:
            colors.append(int(field.image(field.segmented())[100, 50]))
    assert colors == [184, 35, 15]


@pytest.mark.parametrize(("index", "name"), [(0, "red"), (1, "green"), (2, "blue")])
def test_nlmeans_colored_gives_the_workshops_denoised_clown(data, index, name):
    noisy = data / "workshop/clown-noisy.png"
    denoise = {
        "method": "nlmeans_colored",
        "options": {"h": 15.0, "h_color": 15.0, "template_window": 7, "search_window": 21},
    }
    others = {"combine": None, "background": {"method": "none", "options": {}}, "log": False}
    raw, ours = preprocessed(noisy, {"segment": name, "denoise": denoise} | others)
    expected = read(data / "workshop/clown-denoised.png")[..., index]
    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(raw, read(noisy)[..., index])


def test_gradient_of_a_kernel_of_2_gives_the_workshops_edges(data):
    image = read(data / "workshop/morph-input.png")
    assert np.unique(image).tolist() == [0, 255]
    ours = threshold.morph(image, "gradient", "rectangle", 2, 1)
    np.testing.assert_array_equal(ours, read(data / "workshop/morph-gradient.png"))


@pytest.mark.parametrize(
    ("operation", "theirs"),
    [
        ("dilate", lambda image, kernel: cv2.dilate(image, kernel, iterations=1)),
        ("erode", lambda image, kernel: cv2.erode(image, kernel, iterations=1)),
        ("open", lambda image, kernel: cv2.morphologyEx(image, cv2.MORPH_OPEN, kernel)),
        ("close", lambda image, kernel: cv2.morphologyEx(image, cv2.MORPH_CLOSE, kernel)),
    ],
)
def test_morphology_of_a_square_of_7_is_the_workshops(data, operation, theirs):
    image = read(data / "workshop/morph-input.png")
    ours = threshold.morph(image, operation, "rectangle", 7, 1)
    np.testing.assert_array_equal(ours, theirs(image, np.ones((7, 7), np.uint8)))
    assert (ours != image).any()


def test_opening_drops_the_small_dot_and_closing_fills_the_holes(data):
    image = read(data / "workshop/morph-input.png")
    dot, holes = (slice(25, 29), slice(92, 96)), (slice(60, 74), slice(38, 50))
    assert np.count_nonzero(image[dot]) == 12
    assert np.count_nonzero(image[holes] == 0) == 12 + 96
    opened = threshold.morph(image, "open", "rectangle", 5, 1)
    closed = threshold.morph(image, "close", "rectangle", 7, 1)
    assert np.count_nonzero(opened[dot]) == 0
    assert np.count_nonzero(closed[dot]) == 12
    assert np.count_nonzero(closed[holes] == 0) == 0


def test_crop_is_the_workshops_slice(data):
    path = data / "workshop/clown.png"
    crop = {"x": 120, "y": 60, "width": 100, "height": 100}
    np.testing.assert_array_equal(read(path, crop=crop), read(path)[60:160, 120:220])


def test_resize_to_a_width_keeps_the_aspect_ratio_as_the_workshop_does(data):
    image = read(data / "workshop/clown.png")
    ours = cut_out(image, None, {"width": 640})
    assert ours.shape == (int(640 * (200 / 320)), 640, 3)
    np.testing.assert_array_equal(ours, cv2.resize(image, (640, 400)))
