"""Whole runs with flat fields: estimated, kept, given, and what runs again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from project import STAGES, Project, pixels

from nucleiflow.flat_field import rank
from nucleiflow.plan import directory_name

pytestmark = pytest.mark.long

SIZE = 128
OFFSET = 100
ESTIMATE = f"illumination={{method: estimate, offset: {OFFSET}, estimate: {{images: 6}}}}"
NESTED = "day 2/plate3"


def light() -> np.ndarray:
    """Light that falls from left to right to two fifths."""
    return np.linspace(1, 0.4, SIZE)[None, :] * np.ones((SIZE, 1))


def field(seed: int) -> np.ndarray:
    """Six equal nuclei in places of their own on an even ground, in this light."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    even = np.full((SIZE, SIZE), 300.0)
    for row, column in np.ndindex(2, 3):
        center = np.array([row * 64 + 32, column * 42 + 21]) + random.uniform(-8, 8, 2)
        even[np.hypot(y - center[0], x - center[1]) < 8] = 3000
    image = random.poisson(even * light()) + random.normal(OFFSET, 3, even.shape)
    return np.rint(image).astype(np.uint16)


def write(project: Project, directory: str, names: list[str]) -> None:
    folder = project.images / directory
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        tifffile.imwrite(folder / f"{name}.tif", field(int.from_bytes(rank(name)[:4], "big")))


def names_by_rank(last: bool) -> list[str]:
    """Names that come late in any sample, or early."""
    names = [f"field_{number:03}" for number in range(200)]
    return sorted(names, key=rank, reverse=last)


@pytest.fixture(scope="module")
def lit(tmp_path_factory) -> Project:
    """A complete run with estimated flat fields. Not to be changed: see `even`."""
    folder = tmp_path_factory.mktemp("lit")
    for name in ("images", "run"):
        (folder / name).mkdir()
    project = Project(Path(__file__).resolve().parents[2], folder / "images", folder / "run")
    names = sorted([*names_by_rank(False)[20:26], *names_by_rank(True)[20:23]])
    write(project, "plate1", names)
    write(project, NESTED, names[:4])
    project.snakemake("all", ESTIMATE)
    return project


@pytest.fixture
def even(lit: Project, tmp_path: Path) -> Project:
    """A copy of the complete run, to be changed, with the same workflow."""
    for part in (lit.images, lit.run):
        shutil.copytree(part, tmp_path / part.name)
    return Project(lit.clone, tmp_path / "images", tmp_path / "run")


def flat_of(project: Project, directory: str) -> np.ndarray:
    return pixels(project.results / "illumination" / directory_name(directory) / "0.tif")


def objects(project: Project) -> dict[str, np.ndarray]:
    rows = project.rows("objects.csv")
    names = ("centroid-1", "intensity_mean", "intensity_max")
    return {name: np.array([float(row[name]) for row in rows]) for name in names}


def test_nuclei_are_equally_bright_wherever_they_are(lit: Project):
    for directory in ("plate1", NESTED):
        flat = flat_of(lit, directory)
        assert flat.dtype == np.float32
        assert flat.mean(dtype=float) == pytest.approx(1, abs=1e-6)
        assert np.abs(flat / (light() / light().mean()) - 1).max() < 0.03
    table = objects(lit)
    assert len(table["intensity_mean"]) == 6 * 13
    # As they are in the middle of the light.
    brightness = 3000 * light().mean() + OFFSET
    inner = table["intensity_max"] > 0.8 * brightness
    assert inner.all()
    left, right = (table["centroid-1"] < 42, table["centroid-1"] > 84)
    means = [table["intensity_mean"][side].mean() for side in (left, right)]
    assert means[0] == pytest.approx(means[1], rel=0.02)
    assert means[0] == pytest.approx(brightness, rel=0.1)
    assert (lit.results / "report" / "illumination.jpg").stat().st_size > 2000


def test_preprocess_is_corrected_too_and_keeps_its_type(lit: Project):
    for row in lit.rows("images.csv"):
        image = pixels(lit.results / row["preprocessed"])
        assert image.dtype == np.uint16
        ground = [
            np.percentile(image[:, columns], 20) for columns in (slice(0, 42), slice(84, 128))
        ]
        assert ground[0] == pytest.approx(ground[1], rel=0.04)
        assert row["status"] == "ok"


def test_nothing_runs_again_when_nothing_changed(lit: Project):
    assert lit.planned(ESTIMATE) == {}
    assert lit.planned(ESTIMATE, "segment=auto") == {}


def test_options_of_another_method_rerun_nothing(lit: Project):
    change = "{method: estimate, offset: 100, estimate: {images: 6}, flat_field: {path: x.tif}}"
    assert lit.stages_planned(f"illumination={change}") == {}
    assert "illumination" not in lit.planned(f"illumination={change}")


@pytest.mark.parametrize("change", ["offset: 90", "estimate: {images: 6, degree: 2}"])
def test_a_setting_of_the_estimate_reruns_it_and_all_after_it(lit: Project, change: str):
    settings = {"offset": "offset: 100", "estimate": "estimate: {images: 6}"}
    settings[change.partition(":")[0]] = change
    planned = lit.planned(f"illumination={{method: estimate, {', '.join(settings.values())}}}")
    batches = len(lit.batches())
    assert planned["illumination"] == 2
    assert {name: planned[name] for name in STAGES} == dict.fromkeys(STAGES, batches)


def test_a_sample_of_other_size_that_holds_the_same_images_reruns_nothing(lit: Project):
    more = "illumination={method: estimate, offset: 100, estimate: {images: 7}}"
    # Four of the nested directory's four images either way; a seventh of the other's nine.
    planned = lit.planned(more)
    assert planned["illumination"] == 1
    of_plate = [batch for batch in lit.batches() if batch.startswith("plate1.")]
    assert planned["preprocess"] == len(of_plate) < len(lit.batches())


def test_without_the_correction_all_is_as_it_was_measured(even: Project):
    planned = even.planned()
    batches = len(even.batches())
    assert {name: planned[name] for name in STAGES} == dict.fromkeys(STAGES, batches)
    assert not {"illumination", "illumination_maps"} & planned.keys()
    even.snakemake()
    row = even.rows("images.csv")[0]
    raw = tifffile.imread(even.images / row["directory"] / row["file"]).astype(float)
    labels = pixels(even.results / row["labels"])
    for nucleus in even.rows(row["csv"]):
        values = raw[labels == int(nucleus["label"])]
        assert float(nucleus["intensity_sum"]) == values.sum()


def test_an_image_outside_of_the_sample_reruns_its_batch_alone(even: Project):
    write(even, "plate1", [names_by_rank(True)[0]])
    planned = even.planned(ESTIMATE)
    assert "illumination" not in planned
    assert 1 <= planned["preprocess"] <= 2


def test_an_image_of_the_sample_reruns_its_directory_alone(even: Project):
    write(even, "plate1", [names_by_rank(False)[0]])
    planned = even.planned(ESTIMATE)
    assert planned["illumination"] == 1
    of_nested = [batch for batch in even.batches() if batch.startswith("day-2-plate3.")]
    assert planned["preprocess"] >= len(even.batches()) - len(of_nested)
    even.snakemake(ESTIMATE)
    facts = even.results / "illumination" / "plate1" / "flat_fields.json"
    assert json.loads(facts.read_text())["flat_fields"][0]["images"] == 6
    assert even.planned(ESTIMATE) == {}


def test_kept_flat_fields_give_the_same_tables(lit: Project, tmp_path: Path):
    (tmp_path / "run").mkdir()
    other = Project(lit.clone, lit.images, tmp_path / "run")
    path = lit.results / "illumination" / "{directory}" / "{channel}.tif"
    config = tmp_path / "flat.yaml"
    flat_field = {"method": "flat_field", "offset": OFFSET, "flat_field": {"path": str(path)}}
    config.write_text(json.dumps({"illumination": flat_field}))
    other.snakemake("--configfile", str(config))
    assert other.tables() == lit.tables()
    assert other.planned("--configfile", str(config)) == {}


def test_a_missing_flat_field_is_refused_before_anything_runs(fresh: Project):
    write(fresh, "plate1", ["a"])
    wrong = "illumination={method: flat_field, flat_field: {path: flats/none.tif}}"
    output = fresh.snakemake(wrong, success=False).stdout
    path = fresh.run / "flats" / "none.tif"
    assert f"nucleiflow: config: illumination.flat_field.path: there is no file {path}" in output
    assert "Traceback" not in output
    assert not fresh.results.exists()
    output = fresh.snakemake("illumination={method: flat_field}", success=False).stdout
    assert "nucleiflow: config: illumination.flat_field.path is not set, name an image" in output
    assert "Traceback" not in output


def test_a_directory_without_light_costs_its_own_images_alone(fresh: Project):
    write(fresh, "plate1", ["a", "b"])
    dark = "plate2/dark"
    (fresh.images / dark).mkdir(parents=True)
    tifffile.imwrite(fresh.images / dark / "c.tif", np.zeros((SIZE, SIZE), np.uint16))
    (fresh.images / dark / "broken.tif").write_bytes(b"")
    output = fresh.snakemake(ESTIMATE, "max_failed=1").stdout
    assert output.count(f"nucleiflow: illumination of {dark}: ") == 1
    rows = {row["image"]: row for row in fresh.rows("images.csv")}
    assert {name: row["status"] for name, row in rows.items()} == {
        **{"a": "ok", "b": "ok"},
        **{"c": "failed", "broken": "failed"},
    }
    assert rows["c"]["message"] == (
        "no flat field could be estimated: no image of the sample has a background above "
        "illumination.offset (100): set it to what the camera gives without light"
    )
    assert rows["broken"]["message"].startswith("the file is empty")
    name = directory_name(dark)
    assert (fresh.results / "illumination" / name / "flat_fields.json").is_file()
    # What belongs to the directory goes when it is gone.
    shutil.rmtree(fresh.images / dark)
    fresh.snakemake(ESTIMATE, "max_failed=1")
    assert not (fresh.results / "illumination" / name).exists()
    assert not (fresh.results / "batches" / "illumination" / f"{name}.json").exists()
    assert (fresh.results / "illumination" / "plate1" / "0.tif").is_file()
