"""`snakemake preview` and `snakemake sweep`: what they compute, share, draw, rank and refuse."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import yaml
from project import LEFT_OUT, ROOT, Project, nuclei, write_dataset

pytestmark = pytest.mark.long

# 20 images in three directories, of which 15 are tried in two batches.
SAMPLE = "sample={images: 15, tile: 120}"
SWEEP = """\
sweep:
  parameters:
    threshold.min_area: [20, 60]
    markers.pieces.bias: {from: 0.1, to: 0.5, step: 0.2}
"""


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> Project:
    """A preview and a sweep that are complete. Not to be changed: see `tuned`."""
    folder = tmp_path_factory.mktemp("tried")
    shutil.copytree(ROOT, folder / "clone", symlinks=True, ignore=LEFT_OUT)
    write_dataset(folder / "images")
    (folder / "run").mkdir()
    (folder / "run" / "sweep.yaml").write_text(SWEEP)
    project = Project(folder / "clone", folder / "images", folder / "run")
    project.snakemake("preview", SAMPLE)
    project.snakemake(*sweep_of(project), SAMPLE)
    return project


@pytest.fixture
def tuned(tried: Project, tmp_path: Path) -> Project:
    """A copy of the complete preview and sweep, to be changed."""
    return tried.copy(tmp_path)


def sweep_of(project: Project, text: str | None = None) -> list[str]:
    """Arguments of a sweep, with other parameters than before if a text is given."""
    path = project.run / "sweep.yaml"
    if text is not None:
        path.write_text(text)
    return ["sweep", "--configfile", str(path)]


def parameters(**values) -> str:
    """A config of a sweep; `__` stands for dots."""
    named = {name.replace("__", "."): value for name, value in values.items()}
    return yaml.safe_dump({"sweep": {"parameters": named}})


def stages(preprocess: int = 0, threshold: int = 0, markers: int = 0, watershed: int = 0) -> dict:
    counts = {
        "tune_preprocess": preprocess,
        "tune_threshold": threshold,
        "tune_markers": markers,
        "tune_watershed": watershed,
    }
    return {rule: count for rule, count in counts.items() if count}


def test_stages_that_settings_share_are_planned_once(fresh: Project):
    write_dataset(fresh.images)
    batches = 2
    assert fresh.planned("preview", SAMPLE) == stages(*[batches] * 4) | {"preview": 1}
    expected = stages(batches, 2 * batches, 6 * batches, 6 * batches)
    assert fresh.planned(*sweep_of(fresh, SWEEP), SAMPLE) == expected | {"sweep": 1}
    # By default a dozen images are one batch.
    expected = stages(1, 2, 6, 6)
    assert fresh.planned(*sweep_of(fresh)) == expected | {"sweep": 1}
    assert not (fresh.results / "tuning").exists()


def test_a_plain_run_knows_nothing_of_them(fresh: Project):
    write_dataset(fresh.images)
    sweep_of(fresh, SWEEP)
    planned = fresh.planned("--configfile", str(fresh.run / "sweep.yaml"))
    assert not {rule for rule in planned if rule.startswith(("tune_", "preview", "sweep"))}
    assert planned["preprocess"] >= 5


def test_preview_and_sweep_share_what_they_can_and_run_once(tried: Project):
    tuning = tried.results / "tuning"
    assert {path.name for path in (tuning / "preprocess").iterdir()} == {"config"}
    areas = {"config", "threshold.min_area=20", "threshold.min_area=60"}
    assert {path.name for path in (tuning / "threshold").iterdir()} == areas
    for stage in ("markers", "watershed"):
        names = {path.name for path in (tuning / stage).iterdir()}
        assert len(names) == 7
        assert "threshold.min_area=60_markers.pieces.bias=0.3" in names
    assert tried.planned("preview", SAMPLE) == {}
    assert tried.planned(*sweep_of(tried), SAMPLE) == {}
    # Only the sample's plans were needed by jobs, and no stage of the whole dataset ran.
    assert not (tried.results / "preprocess").exists()


def test_the_pictures_show_every_image_and_setting(tried: Project):
    tile, gap = 120, 6
    preview = cv2.imread(str(tried.results / "preview" / "preview.jpg"))
    assert preview.shape[0] > 15 * tile
    # Every image is shown whole, so that five tiles do.
    assert preview.shape[1] == 250 + 5 * tile + 6 * gap
    (sheet,) = (tried.results / "sweep").glob("*.jpg")
    sheet = cv2.imread(str(sheet))
    assert sheet.shape[0] > 15 * tile
    assert sheet.shape[1] == 220 + 7 * tile + 8 * gap


def test_labels_are_those_of_a_full_run(tuned: Project):
    tuned.snakemake(SAMPLE, "--until", "watershed")
    plans = [json.loads(path.read_text()) for path in tuned.results.glob("tuning/plans/*.json")]
    assert sorted(len(plan["images"]) for plan in plans) == [3, 12]
    batches = {
        (plan["directory"], image[0]): plan["name"]
        for plan in (json.loads(path.read_text()) for path in tuned.results.glob("batches/*.json"))
        for image in plan["images"]
    }
    shares = {}
    for plan in plans:
        for name, _, (directory, image), _ in plan["images"]:
            shares[directory] = shares.get(directory, 0) + 1
            sampled = tuned.results / "tuning/watershed/config" / plan["name"] / f"{name}.tif"
            whole = tuned.results / "watershed" / batches[directory, image] / f"{image}.tif"
            assert (tifffile.imread(sampled) == tifffile.imread(whole)).all()
    # The smallest directory has four images.
    assert sorted(shares.values()) == [4, 5, 6]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("max_failed=0.5", {}),
        ("measure={properties: [area]}", {}),
        ("threshold={manual: {value: 7}}", {}),
        ("markers={sure_background: {iterations: 3}}", stages(0, 0, 2, 2)),
        ("watershed={drop_border: true}", stages(0, 0, 0, 2)),
        ("overlay={color: magenta}", {}),
    ],
)
def test_a_setting_reruns_what_depends_on_it(tuned: Project, change: str, expected: dict):
    drawn = {"preview": 1} if expected or "overlay" in change else {}
    assert tuned.planned("preview", SAMPLE, change) == expected | drawn


def test_an_edited_script_reruns_its_stage_and_those_after_it(tuned: Project):
    script = tuned.clone / "workflow" / "scripts" / "markers.py"
    script.write_text(script.read_text() + "\n# An edit.\n")
    assert tuned.planned(*sweep_of(tuned), SAMPLE) == stages(0, 0, 12, 12) | {"sweep": 1}


def test_a_changed_image_reruns_its_batch(tuned: Project):
    plan = json.loads((tuned.results / "tuning/plans/sample-2.json").read_text())
    path = plan["images"][0][1][0][0]
    tifffile.imwrite(tuned.images / path, nuclei(77))
    assert tuned.planned(*sweep_of(tuned), SAMPLE) == stages(1, 2, 6, 6) | {"sweep": 1}


def test_one_more_value_computes_that_alone_and_others_are_removed(tuned: Project):
    changed = parameters(threshold__min_area=[20, 60], markers__pieces__bias=[0.1, 0.4])
    planned = tuned.planned(*sweep_of(tuned, changed), SAMPLE)
    assert planned == stages(0, 0, 4, 4) | {"sweep": 1}
    tuned.snakemake(*sweep_of(tuned), SAMPLE)
    names = {path.name for path in (tuned.results / "tuning" / "watershed").iterdir()}
    assert names == {
        "config",
        *(
            f"threshold.min_area={area}_markers.pieces.bias={h}"
            for area in (20, 60)
            for h in (0.1, 0.4)
        ),
    }
    # A smaller sample leaves nothing of a batch that is no more.
    tuned.snakemake(*sweep_of(tuned))
    folders = {path.name for path in tuned.results.glob("tuning/watershed/*/*")}
    assert folders == {"sample-1"}


def test_options_of_methods_that_are_not_chosen_make_no_settings(fresh: Project):
    write_dataset(fresh.images)
    text = parameters(threshold__method=["otsu", "manual"], threshold__manual__value=[500, 900])
    done = fresh.snakemake("-n", *sweep_of(fresh, text))
    assert "3 settings to try, 1 more would come to the same" in done.stdout
    assert fresh.planned(*sweep_of(fresh)) == stages(1, 3, 3, 3) | {"sweep": 1}


@pytest.fixture
def masks(tuned: Project) -> Path:
    """What one of the settings finds, as the truth of all but one image."""
    folder = tuned.run / "masks"
    found = tuned.results / "tuning/watershed/threshold.min_area=60_markers.pieces.bias=0.3"
    for path in tuned.results.glob("tuning/plans/*.json"):
        plan = json.loads(path.read_text())
        for name, _, (directory, image), _ in plan["images"]:
            labels = tifffile.imread(found / plan["name"] / f"{name}.tif")
            (folder / directory).mkdir(parents=True, exist_ok=True)
            # A nucleus that no setting finds as a whole.
            labels[0, 0] = labels.max() + 1
            tifffile.imwrite(folder / directory / f"{image}.tif", labels.astype(np.uint16))
    return folder


def test_masks_rank_the_settings(tuned: Project, masks: Path):
    # Areas below 60 pixels are nuclei of no image, and no `h` splits a disc.
    text = yaml.safe_load(
        parameters(threshold__min_area=[20, 150], markers__pieces__bias=[0.1, 0.3])
    )
    text["sweep"]["masks"] = "masks"
    done = tuned.snakemake(*sweep_of(tuned, yaml.safe_dump(text)), SAMPLE)
    folder = tuned.results / "sweep"
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        *("ranking.csv", "best.yaml", "f1.svg"),
    }
    rows = tuned.rows("sweep/ranking.csv")
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    f1 = [float(row["f1_mean"]) for row in rows]
    assert f1 == sorted(f1, reverse=True)
    assert rows[0]["threshold.min_area"] == "20"
    # All are found but one in each image.
    assert (rows[0]["missed"], rows[0]["false"]) == ("15", "0")
    assert int(rows[-1]["missed"]) > 15
    assert int(rows[0]["truth"]) == int(rows[0]["found"]) + 15
    assert "the best of 4 settings on 15 images is threshold.min_area 20" in done.stdout
    best = yaml.safe_load((folder / "best.yaml").read_text())
    assert best["threshold"] == {"min_area": 20}
    tuned.snakemake("-n", "--configfile", str(folder / "best.yaml"))
    assert tuned.planned(*sweep_of(tuned), SAMPLE) == {}
    # A changed mask is judged anew, and nothing else is computed.
    path = next(masks.rglob("*.tif"))
    tifffile.imwrite(path, np.zeros((96, 96), np.uint8))
    assert tuned.planned(*sweep_of(tuned), SAMPLE) == {"sweep": 1}


def test_where_there_are_masks_the_sample_is_of_images_that_have_one(tuned: Project, masks: Path):
    kept = sorted(masks.rglob("*.tif"))[::4]
    for path in set(masks.rglob("*.tif")) - set(kept):
        path.unlink()
    text = yaml.safe_load(SWEEP)
    text["sweep"]["masks"] = str(masks)
    tuned.snakemake(*sweep_of(tuned, yaml.safe_dump(text)))
    plan = json.loads((tuned.results / "tuning/plans/sample-1.json").read_text())
    drawn = {"/".join(image[2]) for image in plan["images"]}
    assert drawn == {str(path.relative_to(masks).with_suffix("")) for path in kept}


def refusals() -> dict[str, tuple[str, str]]:
    """Configs and the sentence with which each is refused."""
    masks = "sweep: {parameters: {threshold.min_area: [1]}, masks: %s}"
    return {
        "nothing": ("{}", "sweep.parameters is not set, name keys and their values"),
        "unknown": (parameters(treshold__method=["li"]), "did you mean threshold.method?"),
        "no label": (
            parameters(measure__properties=[["area"]]),
            "measure.properties, which cannot",
        ),
        "value": (parameters(threshold__method=["otsu", "lee"]), 'method is "lee", must be one of'),
        "together": (
            parameters(watershed__min_area=[10, 50], watershed__max_area=[20, 90]),
            "watershed.max_area is 20, must be at least watershed.min_area, which is 50",
        ),
        "many": (
            parameters(threshold__min_area={"from": 1, "to": 100, "step": 1}),
            "makes 100 settings (100), more than sweep.max_settings, which is 64",
        ),
        "idle": (parameters(markers__fraction__value=[0.4, 0.5]), "fraction.value changes nothing"),
        "color": (
            parameters(overlay__color=["red", "blue"]) + "  masks: /\n",
            "overlay.color, which no mask can judge",
        ),
        "no masks": (masks % "/nowhere", "sweep.masks: there is no directory /nowhere"),
        "other masks": (masks % "empty", "has a mask in"),
    }


@pytest.mark.parametrize("case", refusals())
def test_what_cannot_be_swept_is_refused_in_a_sentence(fresh: Project, case: str):
    text, sentence = refusals()[case]
    write_dataset(fresh.images)
    (fresh.run / "empty").mkdir()
    done = fresh.snakemake("--dry-run", *sweep_of(fresh, text), success=False)
    (line,) = (line for line in done.stdout.split("\n") if line.startswith("nucleiflow: config:"))
    assert sentence in line
    assert "Traceback" not in done.stdout
    assert not fresh.results.exists()


def test_images_that_fail_have_a_row_with_their_sentence(fresh: Project):
    tifffile.imwrite(fresh.images / "good.tif", nuclei(1))
    (fresh.images / "bad.tif").write_text("<html>")
    done = fresh.snakemake("preview")
    assert "2 images, 1 failed: look at results/preview/preview.jpg" in done.stdout
    picture = cv2.imread(str(fresh.results / "preview/preview.jpg"))[..., ::-1].astype(int)
    assert ((picture[..., 0] - picture[..., 1:].max(axis=2)) > 120).any()
    text = parameters(preprocess__denoise__gaussian__kernel=[3, 501])
    fresh.snakemake(*sweep_of(fresh, text))
    assert (fresh.results / "sweep" / "sheet.jpg").exists()


def test_many_settings_need_several_sheets(fresh: Project):
    tifffile.imwrite(fresh.images / "a.tif", nuclei(1))
    text = parameters(overlay__color=["red", "green", "blue", "yellow", "cyan", "magenta", "white"])
    fresh.snakemake(*sweep_of(fresh, text))
    sheets = sorted((fresh.results / "sweep").glob("*.jpg"))
    assert [path.name for path in sheets] == ["sheet-1.jpg", "sheet-2.jpg"]
    # The colour of outlines concerns no stage.
    assert {path.name for path in fresh.results.glob("tuning/*/*/")} >= {"config"}
    assert [path.name for path in fresh.results.glob("tuning/watershed/*")] == ["config"]


def test_the_exercises_of_the_workshop(fresh: Project, data: Path):
    shutil.copy(data / "workshop" / "fluorescent-cells.png", fresh.images)
    presets = [ROOT / "config/presets" / f"workshop{name}.yaml" for name in ("", "-exercises")]
    arguments = ["sweep", "--configfile", *map(str, presets)]
    # Three openings, two dilations, two fractions; two colours need no computing.
    assert fresh.planned(*arguments) == stages(1, 3, 12, 12) | {"sweep": 1}
    fresh.snakemake(*arguments)
    assert len(list((fresh.results / "sweep").glob("sheet-*.jpg"))) == 4
    counts = {}
    for path in fresh.results.glob("tuning/watershed/*/*/batch.json"):
        (record,) = json.loads(path.read_text())
        counts[path.parts[-3]] = record["objects"]
    assert len(counts) == 12
    (workshop,) = (
        count
        for name, count in counts.items()
        if "iterations=10" in name and "value=0.6" in name and "size-3-iterations-7" in name
    )
    # The workshop's table: 23 nuclei and the background.
    assert workshop == 24
