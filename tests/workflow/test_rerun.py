"""Exactly what changed runs again: the jobs that a dry run would start after each change."""

import os
import shutil
import sqlite3
import time

import pandas as pd
import pytest
import tifffile
import yaml
from project import AFTERWARDS, RECORD, STAGES, Project, nuclei

pytestmark = pytest.mark.long


def from_stage(first: str, count: int) -> dict[str, int]:
    """Jobs of a stage and those after it; overlays and measures do not depend on each other."""
    follow = {"measure": ["measure"], "overlay": ["overlay"]}
    rules = follow.get(first, STAGES[STAGES.index(first) :])
    return dict.fromkeys(rules, count)


def test_nothing_runs_again_when_nothing_changed(project: Project):
    assert project.planned() == {}


@pytest.mark.parametrize(
    ("first", "change"),
    [
        ("preprocess", "preprocess={denoise: {gaussian: {sigma: 2}}}"),
        ("preprocess", "preprocess={background: {method: tophat}}"),
        ("preprocess", "preprocess={combine: {0: 2}}"),
        ("preprocess", "preprocess={log: true}"),
        ("preprocess", "segment=0"),
        ("preprocess", "channels=[DAPI]"),
        ("threshold", "threshold={min_area: 21}"),
        ("threshold", "threshold={method: li}"),
        ("threshold", "threshold={morphology: [{operation: open}]}"),
        ("threshold", "diameter=20"),
        ("markers", "markers={method: fraction_of_object}"),
        ("markers", "markers={method: intensity}"),
        ("markers", "markers={sure_background: {iterations: 3}}"),
        ("watershed", "watershed={drop_border: true}"),
        ("watershed", "watershed={split: {solidity: 0.9}}"),
        ("watershed", "watershed={filters: [{property: area, min: 50}]}"),
        ("measure", "measure={properties: [area]}"),
        ("measure", "measure={channels: segmented}"),
        ("measure", "measure={families: [zernike]}"),
        ("overlay", "overlay={color: magenta}"),
    ],
)
def test_a_setting_reruns_its_stage_and_those_after_it(project: Project, first: str, change: str):
    planned = project.planned(change)
    batches = len(project.batches())
    assert batches >= 5
    stages = {rule: count for rule, count in planned.items() if rule in STAGES}
    assert stages == from_stage(first, batches)
    assert set(planned) - set(STAGES) == AFTERWARDS


@pytest.mark.parametrize(
    "change",
    [
        "threshold={manual: {value: 7}}",
        "preprocess={denoise: {median: {kernel: 5}}}",
        "preprocess={background: {tophat: {radius: 5}}}",
        "markers={fraction: {value: 0.3}}",
        "markers={image: {path: seeds}}",
        "measure={zernike: {degree: 3}}",
        "measure={max_intensity: 4095}",
        "max_failed=0.5",
    ],
)
def test_a_setting_that_no_stage_uses_reruns_no_stage(project: Project, change: str):
    assert project.planned(change) == RECORD


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ("report={pictures: 3}", ["report_pictures"]),
        ("report={group_by: plate}", ["report_plots"]),
        ("report={measurements: [solidity]}", ["report_plots"]),
        # There are no wells, and no doses.
        ("report={dose: null}", []),
    ],
)
def test_a_setting_of_the_report_reruns_its_page(project: Project, change: str, rules: list[str]):
    planned = project.planned("all", change)
    assert planned == RECORD | {"report_run": 1} | dict.fromkeys(rules, 1)


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ("tables={sqlite: true}", ["object_formats"]),
        ("tables={csv: gzip}", ["object_formats"]),
        ("tables={partition_by: directory}", ["object_formats"]),
        ("summary={group_by: [plate, well]}", ["summary_table", "column_table"]),
        ("summary={measurements: [solidity]}", ["summary_table", "column_table"]),
        # Nothing tells of controls.
        ("summary={controls: {column: null}}", []),
    ],
)
def test_another_table_runs_the_rule_that_makes_it(project: Project, change: str, rules):
    assert project.planned(change) == RECORD | dict.fromkeys(rules, 1)


def test_formats_are_there_as_long_as_they_are_asked_for(project: Project):
    asked = "tables={csv: gzip, sqlite: true, partition_by: directory}"
    project.snakemake(asked)
    assert project.planned(asked) == {}
    objects = pd.read_parquet(project.results / "objects.parquet")
    assert len(objects) > 50
    packed = pd.read_csv(project.results / "objects.csv.gz")
    pd.testing.assert_frame_equal(packed, objects, check_dtype=False)
    with sqlite3.connect(project.results / "objects.sqlite") as database:
        found = pd.read_sql("SELECT * FROM objects ORDER BY rowid", database)
        images = pd.read_sql("SELECT * FROM images ORDER BY rowid", database)
    pd.testing.assert_frame_equal(found.astype(objects.dtypes), objects)
    assert images["image"].tolist() == [row["image"] for row in project.rows("images.csv")]
    parts = pd.read_parquet(project.results / "objects")
    parts["directory"] = parts["directory"].astype(str)
    pd.testing.assert_frame_equal(parts[objects.columns], objects, check_dtype=False)
    names = {path.name for path in (project.results / "objects").glob("*/")}
    assert names == {"directory=plate1", "directory=plate2", "directory=day%202%2Fplate3"}
    assert not (project.results / "objects.csv").exists()
    project.snakemake()
    assert {path.name for path in project.results.glob("objects*")} == {
        *("objects.csv", "objects.parquet")
    }


def test_z_reruns_all_stages(project: Project):
    # Snakemake takes no key of one letter on the command line.
    path = project.run / "stack.yaml"
    path.write_text("z: mean\n")
    planned = project.stages_planned("--configfile", str(path))
    assert planned == from_stage("preprocess", len(project.batches()))


PATTERN = r"metadata={pattern: 'field_(?P<number>[0-9]+)'}"


@pytest.mark.parametrize("change", ["pixel_size_um=0.65", PATTERN])
def test_what_only_the_tables_tell_reruns_no_stage(project: Project, change: str):
    assert project.planned(change) == dict.fromkeys(AFTERWARDS, 1)
    project.snakemake(change)
    row = project.rows("images.csv")[4]
    assert (row["image"], row["pixel_size_um"], row.get("number")) in [
        ("field_00", "0.65", None),
        ("field_00", "", "00"),
    ]


@pytest.mark.parametrize("change", ["qc={uneven: 0.2}", "qc={exclude: [debris]}"])
def test_a_limit_of_quality_control_reruns_the_tables_alone(project: Project, change: str):
    assert project.planned(change) == dict.fromkeys(AFTERWARDS, 1)


def test_a_number_written_in_another_way_reruns_nothing(project: Project):
    assert project.planned("markers={pieces: {bias: 0}}") == {}


def test_a_comment_or_another_order_in_the_config_reruns_nothing(project: Project):
    path = project.clone / "config" / "config.yaml"
    keys = yaml.safe_load(path.read_text())
    path.write_text("# A comment.\n" + yaml.safe_dump(keys, sort_keys=True))
    assert list(keys) != sorted(keys)
    assert project.planned() == {}


@pytest.mark.parametrize("first", STAGES)
def test_an_edited_script_reruns_its_stage_and_those_after_it(project: Project, first: str):
    script = project.clone / "workflow" / "scripts" / f"{first}.py"
    script.write_text(script.read_text() + "\n# An edit.\n")
    assert project.stages_planned() == from_stage(first, len(project.batches()))


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        ("images", STAGES),
        ("batch", STAGES),
        ("field", STAGES),
        # Used by threshold, too, so that all after it follow.
        ("kernel", STAGES),
        ("distance", STAGES[1:]),
        # Readers are found by the ending, so that all of them count.
        ("readers/picture", STAGES),
        ("quality", ["measure"]),
        # Where tables are made.
        ("flags", ()),
        # The config is checked before any stage, and no stage imports this.
        ("settings", ()),
    ],
)
def test_an_edited_module_reruns_the_stages_that_use_it(project: Project, module: str, stages):
    path = project.clone / "workflow" / "scripts" / "nucleiflow" / f"{module}.py"
    path.write_text(path.read_text() + "\n# An edit.\n")
    assert project.stages_planned() == dict.fromkeys(stages, len(project.batches()))


def test_an_added_image_reruns_at_most_two_batches(project: Project):
    for number in range(3):
        path = project.images / "plate1" / f"field_0{number}b.tif"
        tifffile.imwrite(path, nuclei(7))
        count = project.stages_planned()["preprocess"]
        assert count in (1, 2)
        assert project.stages_planned() == dict.fromkeys(STAGES, count)
        path.unlink()


@pytest.mark.parametrize("name", ["field_00.tif", "field_04.tif", "field_08.tif"])
def test_a_removed_image_reruns_at_most_two_batches(project: Project, name: str):
    (project.images / "plate1" / name).unlink()
    planned = project.stages_planned()
    assert planned in ({}, dict.fromkeys(STAGES, 1), dict.fromkeys(STAGES, 2))
    assert "object_table" in project.planned()


def test_a_changed_image_reruns_its_batch(project: Project):
    tifffile.imwrite(project.images / "plate2" / "field_03.tif", nuclei(8))
    assert project.stages_planned() == dict.fromkeys(STAGES, 1)


def test_a_touched_image_reruns_its_batch(project: Project):
    path = project.images / "day 2" / "plate3" / "field_00.tif"
    os.utime(path, (time.time() - 1000, time.time() - 1000))
    assert project.stages_planned() == dict.fromkeys(STAGES, 1)


def test_a_new_directory_reruns_nothing_of_the_others(project: Project):
    (project.images / "plate0").mkdir()
    tifffile.imwrite(project.images / "plate0" / "one.tif", nuclei(9))
    assert project.stages_planned() == dict.fromkeys(STAGES, 1)


def test_a_moved_dataset_and_run_directory_rerun_no_stage(project: Project, tmp_path):
    moved = Project(project.clone, tmp_path / "elsewhere", tmp_path / "moved")
    project.images.rename(moved.images)
    project.run.rename(moved.run)
    assert moved.planned() == RECORD


def test_another_thing_to_keep_reruns_the_stage_that_makes_it(project: Project):
    kept = ["preprocessed", "mask", "markers", "labels", "csv", "overlay"]
    batches = len(project.batches())
    assert project.stages_planned(f"keep=[{', '.join([*kept, 'distance'])}]") == from_stage(
        "markers", batches
    )
    assert project.stages_planned(f"keep=[{', '.join(kept[1:])}]") == {}
    assert project.stages_planned(f"keep=[{', '.join(reversed(kept))}]") == {}


def test_pictures_that_are_not_kept_any_more_are_removed(project: Project):
    project.snakemake("keep=[labels, csv, overlay, distance]")
    assert (project.results / "distance").is_dir() and (project.results / "overlay").is_dir()
    # A file of the user's that has the name of such pictures.
    (project.results / "unknown").write_text("mine")
    project.snakemake("keep=[labels, csv, distance]", "--dry-run")
    assert (project.results / "overlay").is_dir()
    project.snakemake("keep=[labels, csv, distance]")
    assert not (project.results / "overlay").exists()
    assert (project.results / "unknown").read_text() == "mine"
    assert all((project.results / "distance" / batch).is_dir() for batch in project.batches())
    # Other targets than the tables remove nothing.
    project.snakemake("inventory", "keep=[labels, csv]")
    assert (project.results / "distance").is_dir()
    assert project.stages_planned("keep=[labels, csv, distance]") == {}
    overlays = project.stages_planned("keep=[labels, csv, overlay, distance]")
    assert overlays == {"overlay": len(project.batches())}


def test_removed_results_are_made_again(project: Project):
    first = project.batches()[0]
    shutil.rmtree(project.results / "overlay" / first)
    assert project.stages_planned() == {"overlay": 1}
    shutil.rmtree(project.results / "watershed" / first)
    assert project.stages_planned() == {"watershed": 1, "measure": 1, "overlay": 1}


def test_running_again_after_each_change_gives_the_tables_of_a_new_run(project: Project, tmp_path):
    (project.images / "plate1" / "field_04.tif").unlink()
    tifffile.imwrite(project.images / "plate2" / "field_03.tif", nuclei(8))
    tifffile.imwrite(project.images / "plate2" / "new.tif", nuclei(10))
    project.snakemake()
    (tmp_path / "new").mkdir()
    new = Project(project.clone, project.images, tmp_path / "new")
    new.snakemake()
    assert project.tables() == new.tables()


def test_results_of_batches_that_exist_no_more_are_removed(fresh: Project):
    for name in ("plate1", "plate2"):
        (fresh.images / name).mkdir()
        tifffile.imwrite(fresh.images / name / "one.tif", nuclei(11))
    fresh.snakemake()
    gone, stays = sorted(fresh.batches(), reverse=True)
    shutil.rmtree(fresh.images / "plate2")
    fresh.snakemake()
    for folder in STAGES:
        assert [path.name for path in (fresh.results / folder).iterdir()] == [stays]
    assert not (fresh.results / "batches" / f"{gone}.json").exists()
    assert len(fresh.rows("images.csv")) == 1
