"""Quality control in whole runs: faults of known amounts are flagged, and kept out if asked."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from project import AFTERWARDS, Project

from nucleiflow.images import encode_tiff
from simulate import simulate

pytestmark = pytest.mark.long

SHAPE = (320, 320)
FIELD = {"diameter": 22.0, "brightness": 1500.0}
FAULTS = {
    "blurred": "out_of_focus",
    "crowded": "too_crowded",
    "dirty": "debris",
    "dusty": "debris",
    "empty": "empty",
    "saturated": "saturated",
    "uneven": "uneven",
}


def faulty(name: str) -> np.ndarray:
    """A field with a fault of a known amount."""
    image = simulate(50, SHAPE, **FIELD)[0]
    random = np.random.default_rng(1)
    light = np.zeros(SHAPE, np.float32)
    if name == "blurred":
        return cv2.GaussianBlur(image, (0, 0), 3)
    if name == "crowded":
        return simulate(50, SHAPE, **FIELD, density=5.0)[0]
    if name == "dirty":
        # A fibre eight times as bright as nuclei.
        cv2.line(light, (30, 290), (260, 60), 8 * FIELD["brightness"], 6, cv2.LINE_AA)
    if name == "dusty":
        # Fifty grains of two pixels' radius, as bright as nuclei.
        for x, y in random.integers(0, SHAPE[0], (50, 2)).tolist():
            cv2.circle(light, (x, y), 2, FIELD["brightness"], -1, cv2.LINE_AA)
    if name == "empty":
        return simulate(50, SHAPE, **FIELD, density=0.0)[0]
    if name == "saturated":
        # The brightest hundredth is cut off, as a camera of 12 bits does.
        scale = 4095 / np.quantile(image, 0.99)
        return np.minimum(image * scale, 4095).astype(np.uint16)
    if name == "uneven":
        return (image * np.linspace(1, 0.25, SHAPE[1])).astype(np.uint16)
    light = cv2.GaussianBlur(light, (0, 0), 1.2)
    return np.minimum(image + random.poisson(light), 65535).astype(np.uint16)


def write(folder: Path) -> None:
    folder.mkdir(parents=True)
    for index in range(10):
        image = simulate([3, index], SHAPE, **FIELD)[0]
        tifffile.imwrite(folder / f"clean_{index}.tif", image)
    for name in FAULTS:
        tifffile.imwrite(folder / f"{name}.tif", faulty(name))


@pytest.fixture(scope="module")
def flagged(tmp_path_factory) -> Project:
    """A complete run. Not to be changed: see `changing`."""
    folder = tmp_path_factory.mktemp("flagged")
    (folder / "run").mkdir()
    write(folder / "images" / "plate")
    # A single image tells nothing of what is usual.
    (folder / "images" / "alone").mkdir()
    shutil.copy(folder / "images/plate/dusty.tif", folder / "images/alone/dusty.tif")
    shutil.copy(folder / "images/plate/saturated.tif", folder / "images/alone/saturated.tif")
    project = Project(Path(__file__).resolve().parents[2], folder / "images", folder / "run")
    project.snakemake()
    return project


@pytest.fixture
def changing(flagged: Project, tmp_path: Path) -> Project:
    """A copy of the complete run, to be changed, with the same workflow."""
    for part in (flagged.images, flagged.run):
        shutil.copytree(part, tmp_path / part.name)
    return Project(flagged.clone, tmp_path / "images", tmp_path / "run")


def flags_of(project: Project, directory: str = "plate") -> dict[str, str]:
    rows = [row for row in project.rows("images.csv") if row["directory"] == directory]
    return {row["image"]: row["flags"] for row in rows}


def test_each_fault_has_its_flag_and_no_clean_image_has_any(flagged: Project):
    clean = {f"clean_{index}": "" for index in range(10)}
    assert flags_of(flagged) == clean | FAULTS
    # Images of the same directory are in several batches.
    assert len(flagged.batches()) >= 5
    rows = {row["image"]: row for row in flagged.rows("images.csv") if row["directory"] == "plate"}
    sentences = {name: rows[name]["flag_reasons"].split(":")[0] for name in FAULTS}
    assert sentences == {
        **{"blurred": "out of focus", "crowded": "too crowded", "dirty": "debris"},
        **{"dusty": "debris", "empty": "empty", "saturated": "saturated"},
        **{"uneven": "uneven light"},
    }
    assert {row["excluded"] for row in rows.values()} == {"false"}
    assert float(rows["saturated"]["saturated"]) == pytest.approx(0.01, abs=0.0005)
    assert float(rows["clean_0"]["saturated"]) == 0


def test_a_directory_of_few_images_is_judged_by_itself(flagged: Project):
    assert flags_of(flagged, "alone") == {"dusty": "debris", "saturated": "saturated"}


def test_numbers_of_an_image_are_those_of_its_pixels(flagged: Project):
    row = next(row for row in flagged.rows("images.csv") if row["image"] == "clean_0")
    image = tifffile.imread(flagged.images / "plate" / "clean_0.tif").astype(float)
    labels = tifffile.imread(flagged.results / row["labels"])
    assert float(row["foreground"]) == pytest.approx(np.mean(labels > 0), rel=1e-5)
    assert float(row["median_area"]) == np.median(np.bincount(labels.ravel())[1:])
    assert float(row["lowest"]) == pytest.approx(np.mean(image == image.min()), rel=1e-5)
    ground = cv2.dilate((labels > 0).astype(np.uint8), np.ones((13, 13))) == 0
    assert float(row["background"]) == pytest.approx(np.median(image[ground]), abs=1)
    touching = {*labels[0], *labels[-1], *labels[:, 0], *labels[:, -1]} - {0}
    assert float(row["border_share"]) == pytest.approx(len(touching) / labels.max(), rel=1e-5)


def test_flagged_images_are_kept_out_of_the_objects_if_asked(changing: Project):
    before = changing.rows("images.csv")
    planned = changing.planned("qc={exclude: [debris, saturated]}")
    assert planned == dict.fromkeys(AFTERWARDS, 1)
    changing.snakemake("qc={exclude: [debris, saturated]}")
    rows = changing.rows("images.csv")
    out = [(row["directory"], row["image"]) for row in rows if row["excluded"] == "true"]
    assert out == [
        *(("alone", "dusty"), ("alone", "saturated"), ("plate", "dirty"), ("plate", "dusty")),
        ("plate", "saturated"),
    ]
    # All else that is told of them stays.
    assert [row | {"excluded": "false"} for row in rows] == before
    objects = changing.rows("objects.csv")
    there = {(row["directory"], row["image"]) for row in objects}
    assert there == {
        (row["directory"], row["image"])
        for row in rows
        if row["excluded"] == "false" and row["objects"] != "0"
    }
    run = json.loads((changing.results / "run.json").read_text())
    assert (run["images"], run["flagged"], run["excluded"]) == (19, 9, 5)
    assert run["objects"] == len(objects)
    assert "5 of them kept out" in (changing.results / "summary.txt").read_text()


def test_limits_rerun_the_tables_alone(changing: Project):
    change = "qc={focus: null, saturated: 0.5, empty: 500, too_crowded: null, uneven: 0.0}"
    assert changing.planned(change) == dict.fromkeys(AFTERWARDS, 1)
    changing.snakemake(change)
    few = dict.fromkeys(flags_of(changing), "empty")
    assert flags_of(changing) == few | {"dusty": "empty debris", "dirty": "empty debris"}


def test_labels_that_were_made_elsewhere_are_judged_too(fresh: Project):
    (fresh.run / "labels").mkdir()
    for index in range(2):
        image, labels = simulate([3, index], SHAPE, **FIELD)
        image = cv2.GaussianBlur(image, (0, 0), 6) if index else image
        tifffile.imwrite(fresh.images / f"i{index}.tif", image)
        encode_tiff(fresh.run / "labels" / f"i{index}.tif", labels)
    fresh.snakemake("labels=labels")
    first, second = fresh.rows("images.csv")
    assert (first["flags"], second["flags"]) == ("", "out_of_focus")
    assert 5 < float(first["focus"]) < 8 and float(second["focus"]) < 1.5


def test_channels_have_columns_of_their_own_and_light_is_that_after_its_correction(fresh: Project):
    light = np.linspace(1, 0.25, SHAPE[1])
    dark = {"offset": 0.0, "vignetting": 0.0, "background": 600.0}
    for index in range(3):
        image = simulate([3, index], SHAPE, **FIELD, **dark)[0] * light
        two = np.stack([image, np.minimum(image, 500)]).astype(np.uint16)
        options = {"imagej": True, "metadata": {"axes": "CYX"}}
        tifffile.imwrite(fresh.images / f"i{index}.tif", two, **options)
    (fresh.run / "light").mkdir()
    encode_tiff(fresh.run / "light" / "flat.tif", np.tile(light, (SHAPE[0], 1)).astype("f4"))
    named = ["channels=[DAPI, GFP]", "segment=DAPI"]
    fresh.snakemake(*named)
    for row in fresh.rows("images.csv"):
        assert row["flags"] == "saturated uneven"
        assert (float(row["saturated_DAPI"]), row["saturated_GFP"] > "0.01") == (0, True)
        assert float(row["evenness_DAPI"]) < 0.4
        assert row["flag_reasons"].startswith("saturated: ") and "of GFP are" in row["flag_reasons"]
    flat = "illumination={method: flat_field, flat_field: {path: light/flat.tif}}"
    fresh.snakemake(*named, flat)
    for row in fresh.rows("images.csv"):
        # What the camera cut off stays so.
        assert row["flags"] == "saturated" and row["saturated_GFP"] > "0.01"
        assert float(row["evenness_DAPI"]) > 0.9


def test_the_background_object_of_the_workshop_is_no_nucleus(fresh: Project, data: Path):
    shutil.copy(data / "workshop" / "fluorescent-cells.png", fresh.images)
    preset = fresh.clone / "config" / "presets" / "workshop.yaml"
    fresh.snakemake("--configfile", str(preset))
    (row,) = fresh.rows("images.csv")
    assert int(row["objects"]) == 24
    labels = tifffile.imread(fresh.results / row["labels"])
    assert float(row["foreground"]) == pytest.approx(np.mean(labels > 1), rel=1e-5)
    assert float(row["median_area"]) == np.median(np.bincount(labels.ravel())[2:])
    assert float(row["focus"]) > 1.5


def test_real_plates_have_the_faults_that_they_have(fresh: Project, data: Path):
    fresh.images = data / "uneven-field"
    fresh.snakemake()
    assert all("uneven" in row["flags"] for row in fresh.rows("images.csv"))
