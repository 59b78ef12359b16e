"""Flags say what is wrong with images, with the number and the limit, and leave good ones alone."""

import csv

import cv2
import numpy as np
import pytest
from records import record

from nucleiflow import columns, quality
from nucleiflow.flags import FLAGS, KEYS, Judge, Seen, Usual, excluded_images, flags
from simulate import PLATES, simulate

AUTO = dict.fromkeys(KEYS.values(), "auto") | {"exclude": []}
OFF = dict.fromkeys(KEYS.values()) | {"exclude": []}
UNEXPLAINED = columns.image_explained("dose")[1]
GOOD = {
    **{"focus": 6.0, "power_slope": -2.5, "saturated": 0.0, "lowest": 0.01, "background": 200.0},
    **{"noise": 10.0, "signal_to_noise": 100.0, "evenness": 0.9, "span": 0.02, "glare": 0.0},
}
IMAGE = {"objects": 70, "foreground": 0.2, "median_area": 500.0, "border_share": 0.1}


def told(dropped: str = "", channels: dict | None = None, **changed) -> dict:
    """A record of an image that is good but for some numbers."""
    image = IMAGE | {name: changed.pop(name) for name in IMAGE.keys() & changed.keys()}
    channels = channels or {"DAPI": GOOD | changed}
    found = {"image": image, "channels": channels}
    return record("i", quality=found, dropped=dropped)


def usual_of(records: list[dict]) -> dict[str, Usual]:
    seen = Seen()
    seen.add(records)
    return seen.usual()["day 1"]


def test_keys_and_flags_are_those_of_the_config(schema):
    section = schema["properties"]["qc"]["properties"]
    assert set(section) == {*KEYS.values(), "exclude"}
    assert tuple(section["exclude"]["items"]["enum"]) == FLAGS


def test_a_good_image_has_no_flag():
    assert flags(told(), AUTO, {}) == {}
    assert flags(told(), AUTO, usual_of([told()] * 20)) == {}


@pytest.mark.parametrize(
    ("changed", "flag", "sentence"),
    [
        ({"focus": 0.812}, "out_of_focus", "out of focus: the focus of DAPI is 0.812, below 1.5"),
        (
            {"saturated": 0.0234},
            "saturated",
            "saturated: 2.34 % of the pixels of DAPI are at the top of the scale, more than 0.1 %",
        ),
        ({"objects": 0}, "empty", "empty: no nucleus was found"),
        (
            {"signal_to_noise": 1.234},
            "empty",
            "empty: what was found is noise, 1.23 of its deviations above the background, less "
            "than 2",
        ),
        (
            {"signal_to_noise": 2.5, "power_slope": 0.3},
            "empty",
            "empty: what was found is noise, 2.5 of its deviations above the background, less "
            "than 3",
        ),
        (
            {"foreground": 0.612},
            "too_crowded",
            "too crowded: nuclei cover 61.2 % of the image, more than 50 %",
        ),
        (
            {"dropped": "debris 31, min_area 4, area 90"},
            "debris",
            "debris: dirt that counts as 3.5 nuclei, more than 3.4",
        ),
        ({"glare": 3.41}, "debris", "debris: dirt that counts as 3.41 nuclei, more than 3.4"),
        (
            {"evenness": 0.4, "span": 0.31},
            "uneven",
            "uneven light: where the background of DAPI is dark, it is 40 % of what it is where "
            "it is bright, less than 50 %",
        ),
    ],
)
def test_a_fault_gets_its_flag_and_a_sentence_also_in_a_single_image(changed, flag, sentence):
    assert flags(told(**changed), AUTO, {}) == {flag: sentence}
    assert flags(told(**changed), OFF, {}) == {}


@pytest.mark.parametrize(
    ("key", "limit", "good", "bad", "flag", "sentence"),
    [
        (
            "focus",
            4.0,
            {"focus": 4.0},
            {"focus": 3.99},
            "out_of_focus",
            "out of focus: the focus of DAPI is 3.99, below 4",
        ),
        (
            "saturated",
            0.05,
            {"saturated": 0.05},
            {"saturated": 0.051},
            "saturated",
            "saturated: 5.1 % of the pixels of DAPI are at the top of the scale, more than 5 %",
        ),
        (
            "empty",
            12.0,
            {"objects": 12},
            {"objects": 11},
            "empty",
            "nearly empty: 11 nuclei were found, fewer than 12",
        ),
        (
            "too_crowded",
            0.25,
            {"foreground": 0.25},
            {"foreground": 0.251},
            "too_crowded",
            "too crowded: nuclei cover 25.1 % of the image, more than 25 %",
        ),
        (
            "debris",
            0.3,
            {"dropped": "min_area 3"},
            {"dropped": "debris 4"},
            "debris",
            "debris: dirt that counts as 0.4 nuclei, more than 0.3",
        ),
        (
            "uneven",
            0.8,
            {"evenness": 0.8},
            {"evenness": 0.799},
            "uneven",
            "uneven light: where the background of DAPI is dark, it is 79.9 % of what it is where "
            "it is bright, less than 80 %",
        ),
    ],
)
def test_a_limit_of_the_config_counts_alone(key, limit, good, bad, flag, sentence):
    qc = OFF | {key: limit}
    usual = usual_of([told()] * 20)
    assert flags(told(**good), qc, usual) == {}
    assert flags(told(**bad), qc, usual) == {flag: sentence}


def test_no_limit_for_empty_images_lets_them_be():
    assert flags(told(objects=0), OFF | {"empty": 0.0}, {}) == {}


@pytest.mark.parametrize(
    ("changed", "flag", "sentence"),
    [
        (
            {"focus": 3.2},
            "out_of_focus",
            "out of focus: the focus of DAPI is 3.2, below 3.29 (usual in its directory: 6)",
        ),
        (
            {"objects": 3},
            "empty",
            "nearly empty: 3 nuclei were found, fewer than 3.5 (usual in its directory: 70)",
        ),
        (
            {"foreground": 0.45},
            "too_crowded",
            "too crowded: nuclei cover 45 % of the image, more than 40 % "
            "(usual in its directory: 20 %)",
        ),
        (
            {"dropped": "debris 22"},
            "debris",
            "debris: dirt that counts as 2.2 nuclei, more than 2 (usual in its directory: 0)",
        ),
        (
            {"evenness": 0.6, "span": 0.06},
            "uneven",
            "uneven light: where the background of DAPI is dark, it is 60 % of what it is where "
            "it is bright, less than 66.7 % (usual in its directory: 90 %)",
        ),
    ],
)
def test_what_is_far_from_usual_is_flagged_from_8_images_on(changed, flag, sentence):
    good = [told()] * 8
    assert flags(told(**changed), AUTO, usual_of([*good, told(**changed)])) == {flag: sentence}
    assert flags(told(**changed), AUTO, usual_of(good[:7])) == {}


def test_images_that_differ_make_others_usual():
    focus = np.exp(np.random.default_rng(1).normal(np.log(6), 0.35, 40))
    usual = usual_of([told(focus=value) for value in focus])
    assert flags(told(focus=3.2), AUTO, usual) == {}
    assert usual["focus"].median == pytest.approx(np.median(np.log(focus)))
    away = np.abs(np.log(focus) - usual["focus"].median)
    assert usual["focus"].deviation == pytest.approx(1.4826 * np.median(away))


def test_usual_is_what_is_usual_in_each_directory():
    seen = Seen()
    for directory, focus in (("a", 6.0), ("b", 3.0)):
        for _ in range(4):
            seen.add([told(focus=focus) | {"directory": directory}] * 2)
    usual = seen.usual()
    assert {name: np.exp(each["focus"].median) for name, each in usual.items()} == {
        **{"a": pytest.approx(6), "b": pytest.approx(3)},
    }
    assert seen.channels == {"DAPI": None}


def test_empty_and_failed_images_do_not_say_what_is_usual():
    failed = [told(focus=0.1) | {"status": "failed"}] * 9
    noise = [told(focus=0.1, signal_to_noise=1.0)] * 9
    usual = usual_of([told()] * 9 + failed + noise)
    assert usual["focus"] == (pytest.approx(np.log(6)), 0)
    # Those of noise alone have no objects.
    assert usual["objects"].median == 35


def test_uneven_ground_that_nuclei_outshine_is_no_fault():
    usual = usual_of([told()] * 20)
    assert flags(told(evenness=0.3, span=0.04), AUTO, usual) == {}
    # Nor haze between many nuclei.
    assert flags(told(evenness=0.3, foreground=0.31, span=0.5), AUTO, usual) == {}


def test_specks_that_may_be_noise_are_no_dirt():
    assert flags(told(dropped="debris 80", signal_to_noise=4.0), AUTO, {}) == {}
    assert list(flags(told(dropped="debris 80", signal_to_noise=6.0), AUTO, {})) == ["debris"]


def test_focus_is_that_of_the_nuclei_and_saturation_that_of_any_channel():
    blurred = GOOD | {"focus": 0.5, "saturated": 0.01}
    found = flags(told(channels={"DAPI": GOOD, "GFP": blurred, "Cy5": blurred}), AUTO, {})
    assert found == {
        "saturated": "saturated: 1 % of the pixels of GFP, 1 % of the pixels of Cy5 are at the "
        "top of the scale, more than 0.1 %"
    }
    # Where the nuclei's channel was not measured, nothing is known of it.
    assert flags(told(channels={"GFP": GOOD | {"focus": 0.5}}), AUTO, {}) == {}
    # The measured one alone has no name.
    found = flags(told(channels={"": GOOD | {"focus": 0.5}}), AUTO, {})
    assert list(found) == ["out_of_focus"]


def test_a_channel_without_a_name_is_not_named():
    nameless = told(channels={"": GOOD | {"focus": 0.5, "saturated": 0.5}}) | {"segmented": ""}
    assert list(flags(nameless, AUTO, {}).values()) == [
        "out of focus: the focus is 0.5, below 1.5",
        "saturated: 50 % of the pixels are at the top of the scale, more than 0.1 %",
    ]


def test_numbers_that_are_missing_are_no_fault():
    channels = {"DAPI": dict.fromkeys(GOOD)}
    assert flags(told(channels=channels), AUTO, usual_of([told()] * 9)) == {}
    assert flags(record("i"), AUTO, {}) == {}
    nothing = told(objects=0, foreground=None, median_area=None, border_share=None)
    assert list(flags(nothing, AUTO, {})) == ["empty"]


def test_columns_of_an_image():
    judge = Judge(AUTO | {"exclude": ["debris", "saturated"]}, ("DAPI", ""))
    faulty = told(saturated=0.5, focus=0.1, noise=None)
    row = judge.of_record(faulty)
    assert list(row) == judge.columns
    assert judge.columns == [
        *("foreground", "median_area", "border_share", "debris"),
        *("flags", "flag_reasons", "excluded", "focus_DAPI", "power_slope_DAPI"),
        *("saturated_DAPI", "lowest_DAPI", "background_DAPI", "noise_DAPI"),
        *("signal_to_noise_DAPI", "evenness_DAPI", "focus", "power_slope", "saturated", "lowest"),
        *("background", "noise", "signal_to_noise", "evenness"),
    ]
    assert (row["flags"], row["excluded"]) == ("out_of_focus saturated", "true")
    assert row["flag_reasons"] == (
        "out of focus: the focus of DAPI is 0.1, below 1.5; saturated: 50 % of the pixels of DAPI "
        "are at the top of the scale, more than 0.1 %"
    )
    assert (row["foreground"], row["debris"], row["noise_DAPI"], row["focus"]) == (0.2, 0, "", "")
    assert judge.of_record(told(focus=0.1))["excluded"] == "false"
    assert all(columns.image_explained(name)[1] != UNEXPLAINED for name in judge.columns)
    failed = judge.of_record(faulty | {"status": "failed"})
    assert failed == dict.fromkeys(judge.columns, "") | {"excluded": "false"}


def test_excluded_images_are_those_that_the_table_says(tmp_path):
    path = tmp_path / "images.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["batch", "image", "flags", "excluded"])
        rows.writerow(["b", "a, 1", "debris", "true"])
        rows.writerow(["b", "c", "debris", "false"])
        rows.writerow(["d", "c", "", "true"])
    assert excluded_images(path) == {("b", "a, 1"), ("d", "c")}


# Known faults of known images.


def measured(image: np.ndarray, labels: np.ndarray) -> dict:
    numbers, places = quality.of_nuclei(labels)
    found = {"image": numbers, "channels": {"": quality.of_channel(image, places)}}
    return record("i", segmented="", quality=found)


def fault(name: str, plate: dict) -> tuple[np.ndarray, np.ndarray]:
    """A field with a fault of a known amount, and its true labels."""
    seed, shape = 77, (384, 384)
    image, labels = simulate(seed, shape, **plate)
    if name in ("blurred", "very blurred"):
        return simulate(
            seed, shape, **plate, psf=plate["diameter"] / (6 if name == "blurred" else 4)
        )
    if name == "blurred after the camera":
        return cv2.GaussianBlur(image, (0, 0), 3), labels
    if name == "saturated":
        # The brightest hundredth is cut off.
        scale = 4095 / np.quantile(image, 0.99)
        return np.minimum(image * scale, 4095).astype(np.uint16), labels
    if name == "crowded":
        return simulate(seed, shape, **plate | {"density": 5.0})
    if name == "uneven":
        return (image * np.linspace(1, 0.25, shape[1])).astype(np.uint16), labels
    if name == "dirty":
        light = np.zeros(shape, np.float32)
        cv2.line(light, (60, 330), (300, 80), 8 * plate["brightness"], 6, cv2.LINE_AA)
        return np.minimum(image + cv2.GaussianBlur(light, (0, 0), 1.5), 65535).astype(
            np.uint16
        ), labels
    image, labels = simulate(seed, shape, **plate | {"density": 0.0})
    return image, labels


@pytest.mark.parametrize("plate", PLATES, ids=["large", "small"])
def test_each_known_fault_is_flagged_in_its_directory_and_no_clean_image(plate: dict):
    clean = [measured(*simulate([7, seed], (384, 384), **plate)) for seed in range(10)]
    faults = {
        "blurred": "out_of_focus",
        "blurred after the camera": "out_of_focus",
        "saturated": "saturated",
        "crowded": "too_crowded",
        "uneven": "uneven",
        "dirty": "debris",
        "empty": "empty",
    }
    bad = {name: measured(*fault(name, plate)) for name in faults}
    usual = usual_of([*clean, *bad.values()])
    assert [flags(each, AUTO, usual) for each in clean] == [{}] * 10
    found = {name: list(flags(each, AUTO, usual)) for name, each in bad.items()}
    assert found == {name: [flag] for name, flag in faults.items()}


@pytest.mark.parametrize("plate", PLATES, ids=["large", "small"])
def test_gross_faults_are_flagged_in_a_single_image(plate: dict):
    for name, flag in (("very blurred", "out_of_focus"), ("saturated", "saturated")):
        assert list(flags(measured(*fault(name, plate)), AUTO, {})) == [flag]
