"""Seeds that the user made, and the size of nuclei, through the whole workflow."""

import json

import cv2
import numpy as np
import pytest
import tifffile
from project import Project, pixels

pytestmark = pytest.mark.long


def discs(seed: int, touching: bool) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Two flat discs that touch along a straight line or do not, and their middles (x, y)."""
    image = np.random.default_rng(seed).normal(200, 5, (60, 90))
    middles = [(30, 30), (46 if touching else 66, 30)]
    y, x = np.mgrid[:60, :90]
    for across, down in middles:
        image[(x - across) ** 2 + (y - down) ** 2 <= 12**2] += 1000
    return image.astype(np.uint16), middles


@pytest.fixture
def seeded(fresh: Project) -> Project:
    """Two directories of two images, and points in them as seeds; the last image has none."""
    for directory in ("day 1", "day 2"):
        for folder in (fresh.images / directory, fresh.run / "seeds" / directory):
            folder.mkdir(parents=True)
        for number, name in enumerate("ab"):
            image, middles = discs(number, touching=True)
            tifffile.imwrite(fresh.images / directory / f"{name}.tif", image)
            if (directory, name) != ("day 2", "b"):
                points = np.zeros((60, 90), np.uint8)
                points[[down for _, down in middles], [across for across, _ in middles]] = 255
                cv2.imwrite(str(fresh.run / "seeds" / directory / f"{name}.png"), points)
    return fresh


SEEDS = ("markers={method: image, image: {path: seeds}}", "max_failed=0.5")


def test_seeds_of_the_user_make_nuclei_and_a_changed_one_reruns_its_batch(seeded: Project):
    output = seeded.snakemake(*SEEDS).stdout
    assert "1 image will fail: day 2/b: it has no image of seeds" in output
    rows = {(row["directory"], row["image"]): row for row in seeded.rows("images.csv")}
    failed = rows.pop(("day 2", "b"))
    assert [failed[name] for name in ("status", "stage", "message")] == [
        "failed",
        "markers",
        f"it has no image of seeds: put one into {seeded.run}/seeds/day 2, called b.tif",
    ]
    assert [row["objects"] for row in rows.values()] == ["2"] * 3
    markers = pixels(seeded.results / rows["day 1", "a"]["markers"])
    assert (markers[30, 30], markers[30, 46], (markers > 1).sum()) == (2, 3, 2)
    assert seeded.stages_planned(*SEEDS) == {}
    path = seeded.run / "seeds" / "day 1" / "b.png"
    cv2.imwrite(str(path), np.zeros((60, 90), np.uint8))
    after = ("markers", "watershed", "measure", "overlay")
    assert seeded.stages_planned(*SEEDS) == dict.fromkeys(after, 1)
    seeded.snakemake(*SEEDS)
    rows = {(row["directory"], row["image"]): row["objects"] for row in seeded.rows("images.csv")}
    assert rows == {
        ("day 1", "a"): "2",
        ("day 1", "b"): "0",
        ("day 2", "a"): "2",
        ("day 2", "b"): "0",
    }


def test_preview_finds_the_seeds_of_each_directory(seeded: Project):
    seeded.snakemake("preview", *SEEDS)
    (path,) = (seeded.results / "tuning" / "watershed" / "config").glob("*/batch.json")
    found = {record["image"]: record for record in json.loads(path.read_text())}
    assert [record["objects"] for record in found.values()] == [2, 2, 2, 0]
    assert [record["status"] for record in found.values()] == ["ok", "ok", "ok", "failed"]
    assert seeded.planned("preview", *SEEDS) == {}
    cv2.imwrite(str(seeded.run / "seeds" / "day 2" / "a.png"), np.zeros((60, 90), np.uint8))
    planned = seeded.planned("preview", *SEEDS)
    assert planned == dict.fromkeys(("tune_markers", "tune_watershed", "preview"), 1)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("markers={method: image}", "needs markers.image.path: name the directory"),
        (
            "markers={method: image, image: {path: nowhere}}",
            "config: markers.image.path is {run}/nowhere, where there is no directory",
        ),
        (
            "markers={method: image, image: {path: empty}}",
            "config: markers.image.path: no file in {run}/empty is called like an image",
        ),
    ],
)
def test_seeds_that_are_not_there_are_refused_before_anything_runs(
    seeded: Project, config: str, sentence: str
):
    (seeded.run / "empty").mkdir()
    output = seeded.snakemake(config, success=False).stdout
    assert sentence.format(run=seeded.run) in output
    assert "Traceback" not in output
    assert not seeded.results.exists()


def test_diameter_in_micrometres_is_that_of_each_image_and_needs_its_pixel_size(fresh: Project):
    for name, stated in (("none", {}), ("ome", {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"})):
        image, _ = discs(1, touching=False)
        both = stated | {"PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"} if stated else {}
        path = fresh.images / (f"{name}.ome.tif" if stated else f"{name}.tif")
        tifffile.imwrite(path, image, metadata=both or None)
    half = "preprocess={resize: {factor: 0.5}}"
    asked = ("diameter=12 um", "max_failed=0.5", half)
    fresh.snakemake(*asked)
    first, second = fresh.rows("images.csv")
    assert (first["image"], first["status"], first["stage"]) == ("none", "failed", "threshold")
    assert first["message"] == (
        "the config says 12 um, and the image does not state the size of its pixels: set "
        "pixel_size_um, or give pixels"
    )
    assert (first["diameter"], first["threshold"]) == ("", "")
    assert (second["status"], second["objects"], second["diameter"]) == ("ok", "2", "12.0")
    assert 300 < float(second["threshold"]) < 1200
    # Another spelling is the same, and only micrometres depend on the size of pixels.
    after = ("threshold", "markers", "watershed", "measure", "overlay")
    assert fresh.stages_planned("diameter=12.0um", *asked[1:]) == {}
    assert fresh.stages_planned("pixel_size_um=0.4", *asked) == dict.fromkeys(after, 1)
    fresh.snakemake("pixel_size_um=0.4", *asked)
    assert [row["diameter"] for row in fresh.rows("images.csv")] == ["15.0", "15.0"]
    fresh.snakemake("diameter=30", *asked[1:])
    assert [row["diameter"] for row in fresh.rows("images.csv")] == ["30.0", "30.0"]
    assert fresh.stages_planned("diameter=30", "pixel_size_um=0.4", *asked[1:]) == {}
