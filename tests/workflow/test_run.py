"""Whole runs: what comes out, also where the input is bad or the run is killed."""

import csv
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from project import AFTERWARDS, RECORD, STAGES, Project, nuclei, pixels, write_dataset

WORKSHOP_PICTURES = {
    "nuclei": "channel",
    "nuclei-opening": "mask",
    "nuclei-sure_bg": "sure_background",
    "nuclei-sure_fg": "sure_foreground",
    "nuclei-unknown": "unknown",
    "image-segmented": "overlay",
}
WORKSHOP_COLUMNS = {
    "label": "label",
    "area": "area",
    "equivalent_diameter": "equivalent_diameter_area",
    "mean_intensity": "intensity_mean",
    "perimeter": "perimeter",
}


def digest(folder: Path) -> dict[str, tuple[str, int]]:
    """Content and time of every file below a directory."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_workshop_preset_gives_the_workshops_numbers_and_pictures(fresh: Project, data: Path):
    shutil.copy(data / "workshop" / "fluorescent-cells.png", fresh.images)
    preset = fresh.clone / "config" / "presets" / "workshop.yaml"
    fresh.snakemake("--configfile", str(preset))
    with (data / "workshop" / "nuclei-data.csv").open() as file:
        printed = list(csv.DictReader(file))
    assert len(printed) == 24
    row = fresh.rows("images.csv")[0]
    for table in ("objects.csv", row["csv"]):
        measured = fresh.rows(table)
        assert len(measured) == 24
        for ours, theirs in zip(measured, printed, strict=True):
            for name, column in WORKSHOP_COLUMNS.items():
                digits = len(theirs[name].partition(".")[2])
                assert f"{float(ours[column]):.{digits}f}" == theirs[name], (table, name, theirs)
    for picture, product in WORKSHOP_PICTURES.items():
        expected = pixels(data / "workshop" / f"{picture}.png")
        np.testing.assert_array_equal(pixels(fresh.results / row[product]), expected)
    labels = pixels(fresh.results / row["labels"])
    assert labels.dtype == np.int32
    assert labels.max() == 24


def test_tables_of_a_finished_run(finished: Project):
    rows = finished.rows("images.csv")
    assert [row["directory"] for row in rows] == ["day 2/plate3"] * 4 + ["plate1"] * 9 + [
        "plate2"
    ] * 7
    assert {row["status"] for row in rows} == {"ok"}
    assert {(row["height"], row["width"], row["dtype"]) for row in rows} == {("96", "96", "uint16")}
    objects = pd.read_csv(finished.results / "objects.csv")
    parquet = pd.read_parquet(finished.results / "objects.parquet")
    pd.testing.assert_frame_equal(objects, parquet, check_dtype=False)
    assert not objects.duplicated(["directory", "image", "label"]).any()
    counted = objects.groupby(["directory", "image"]).size()
    for row in rows:
        assert counted.get((row["directory"], row["image"]), 0) == int(row["objects"]) > 0
        labels = pixels(finished.results / row["labels"])
        assert np.unique(labels).tolist() == list(range(int(row["objects"]) + 1))
        for product in ("preprocessed", "mask", "markers", "csv", "overlay"):
            assert (finished.results / row[product]).is_file()
        assert all(float(row[f"seconds_{stage}"]) >= 0 for stage in STAGES)


def test_summary_has_a_row_a_directory(finished: Project):
    objects = pd.read_csv(finished.results / "objects.csv").groupby("directory")
    rows = finished.rows("summary.csv")
    assert list(rows[0]) == [
        *("directory", "images", "failed", "flagged", "excluded", "objects"),
        *("median_area", "mad_area"),
        *("median_eccentricity", "mad_eccentricity"),
        *("median_intensity_mean", "mad_intensity_mean"),
    ]
    assert [(row["directory"], row["images"]) for row in rows] == [
        *(("day 2/plate3", "4"), ("plate1", "9"), ("plate2", "7"))
    ]
    for row in rows:
        group = objects.get_group(row["directory"])
        assert (int(row["objects"]), row["failed"]) == (len(group), "0")
        for name in ("area", "eccentricity", "intensity_mean"):
            assert float(row[f"median_{name}"]) == group[name].median()


def test_measured_values_are_the_raw_ones(finished: Project):
    row = finished.rows("images.csv")[0]
    raw = tifffile.imread(finished.images / row["directory"] / row["file"]).astype(float)
    labels = pixels(finished.results / row["labels"])
    for nucleus in pd.read_csv(finished.results / row["csv"]).itertuples():
        values = raw[labels == nucleus.label]
        assert nucleus.area == values.size
        assert nucleus.intensity_sum == values.sum()
        assert nucleus.intensity_mean == pytest.approx(values.mean(), rel=1e-12)
        assert nucleus.intensity_std == pytest.approx(values.std(), rel=1e-9)
        assert (nucleus.intensity_min, nucleus.intensity_max) == (values.min(), values.max())


def test_run_json_tells_what_ran(finished: Project):
    run = json.loads((finished.results / "run.json").read_text())
    assert run["python"] == platform.python_version()
    assert run["packages"]["opencv-python-headless"] == "5.0.0.93"
    assert (run["images"], run["failed"]) == (20, 0)
    assert run["objects"] == len(finished.rows("objects.csv"))
    assert run["config"]["overlay"]["color"] == "yellow"
    assert run["config"]["batch_size"] == 3
    version = re.search(r'^version = "(.+)"', (finished.clone / "pyproject.toml").read_text(), re.M)
    assert run["nucleiflow"] == version.group(1)


@pytest.mark.parametrize(("size", "cores"), [(1, 1), (100, 2)])
def test_tables_do_not_depend_on_batch_size_or_threads(
    finished: Project, tmp_path: Path, size: int, cores: int
):
    (tmp_path / "run").mkdir()
    other = Project(finished.clone, finished.images, tmp_path / "run")
    shutil.copytree(finished.images / "plate2", tmp_path / "images" / "plate2")
    other.images = tmp_path / "images"
    other.snakemake(f"batch_size={size}", "--cores", str(cores))
    assert len(other.batches()) == {1: 7, 100: 1}[size]
    expected = {
        table: [row for row in rows if row["directory"] == "plate2"]
        for table, rows in finished.tables().items()
    }
    assert other.tables() == expected


def bad_images(folder: Path, data: Path) -> dict[str, str]:
    """Write images that cannot be processed; their names and the sentences they must give."""
    for path in (data / "broken").iterdir():
        shutil.copy(path, folder / f"{path.stem}-{path.suffix[1:]}{path.suffix}")
    rgb = np.dstack([nuclei(1), nuclei(2), nuclei(3)])
    tifffile.imwrite(folder / "rgb.tif", rgb, photometric="rgb")
    tifffile.imwrite(folder / "nan.tif", np.full((20, 20), np.nan, np.float32))
    stack = np.zeros((4, 20, 20), np.uint16)
    tifffile.imwrite(folder / "stack.tif", stack, photometric="minisblack")
    (folder / "text.png").write_text("not an image")
    (folder / "to-nothing.tif").symlink_to("nothing.tif")
    return {
        "html_as-tif": "the file is a web page, not an image: download it again",
        "lfs_pointer-tif": "the file is a Git LFS pointer, not an image: run `git lfs pull`",
        "truncated_half-tif": "the TIFF file is damaged or cut short, copy it again",
        "truncated_head200-tif": "the TIFF file is damaged or cut short, copy it again",
        "truncated_label-png": "the PNG file is cut short, copy it again",
        "zero_byte-png": "the file is empty (0 bytes), copy it again",
        "zero_byte-tif": "the file is empty (0 bytes), copy it again",
        "rgb": "3 of the image's 3 channels hold something: set segment to the one with the nuclei "
        "(red, green, blue)",
        "nan": "400 pixels are not numbers (NaN or infinite), export it again",
        "stack": "the file holds 4 pages and does not say what they are: set pages to z, time or "
        "channel in the config",
        "text": "the file is damaged or not a PNG, JPEG or BMP image",
        "to-nothing": "the file is not there any more, or is a link to nothing",
    }


def good_images(folder: Path) -> list[str]:
    """Write images of every kind, with awkward names; their names without endings."""
    small = (nuclei(5) >> 3).astype(np.uint8)
    tifffile.imwrite(folder / "UPPER.TIF", nuclei(5))
    tifffile.imwrite(folder / "float.tiff", nuclei(5).astype(np.float32) / 7)
    cv2.imwrite(str(folder / "grey 8.png"), small)
    cv2.imwrite(str(folder / "grey.16.PNG"), nuclei(5))
    cv2.imwrite(str(folder / "photo.jpeg"), small)
    cv2.imwrite(str(folder / "bitmap.bmp"), small)
    Image.fromarray(small).convert("RGBA").save(folder / "Zellkörper (1).png")
    palette = Image.fromarray(small).quantize()
    palette.save(folder / "palette.png")
    blue = np.zeros((*small.shape, 3), np.uint8)
    blue[..., 2] = small
    Image.fromarray(blue).save(folder / "blue & nothing.png")
    return [
        "UPPER",
        "Zellkörper (1)",
        "bitmap",
        "blue & nothing",
        "float",
        "grey 8",
        "grey.16",
        "palette",
        "photo",
    ]


EMPTY = {
    "black": np.zeros((30, 40), np.uint16),
    "white": np.full((30, 40), 65535, np.uint16),
    "one-pixel": np.full((1, 1), 7, np.uint8),
}


def test_bad_images_cost_nothing_but_themselves(fresh: Project, data: Path):
    sentences = bad_images(fresh.images, data)
    good = good_images(fresh.images)
    for name, image in EMPTY.items():
        tifffile.imwrite(fresh.images / f"{name}.tif", image)
    (fresh.images / ".hidden.tif").write_bytes(b"")
    (fresh.images / "notes.txt").write_text("other files are left alone")
    (fresh.images / "deep" / "er").mkdir(parents=True)
    (fresh.images / "deep" / "er" / "loop").symlink_to(fresh.images, target_is_directory=True)
    tifffile.imwrite(fresh.images / "deep" / "er" / "UPPER.TIF", nuclei(5))
    before = digest(fresh.images)

    output = fresh.snakemake(success=False).stdout
    assert f"{len(sentences)} of 25 images failed, more than max_failed (0.05) allows" in output
    assert "1 other file left alone; not followed, as it links back" in output
    assert "Traceback" not in output

    rows = {row["image"]: row for row in fresh.rows("images.csv") if row["directory"] == "."}
    failed = {name: row["message"] for name, row in rows.items() if row["status"] == "failed"}
    assert failed == sentences
    assert {row["stage"] for row in rows.values() if row["status"] == "failed"} == {"preprocess"}
    assert {name: rows[name]["objects"] for name in EMPTY} == dict.fromkeys(EMPTY, "0")
    assert {name for name, row in rows.items() if int(row["objects"]) > 2} == set(good)
    for name in EMPTY:
        header = (fresh.results / rows[name]["csv"]).read_text().splitlines()
        assert len(header) == 1
        assert header[0].startswith('"label","area"')
    assert digest(fresh.images) == before
    # The same image in other formats: the same nuclei.
    assert {rows[name]["objects"] for name in ("UPPER", "float", "grey.16")} == {
        rows["UPPER"]["objects"]
    }

    # What failed is accepted: nothing is computed again.
    assert fresh.planned("max_failed=0.9") == RECORD
    fresh.snakemake("max_failed=0.9")
    assert fresh.planned("max_failed=0.9") == {}


def test_settings_that_do_not_fit_an_image_fail_it_with_their_key(fresh: Project):
    tifffile.imwrite(fresh.images / "small.tif", nuclei(1)[:20, :20])
    tifffile.imwrite(fresh.images / "large.tif", nuclei(1))
    for config, message in (
        (
            "preprocess={denoise: {gaussian: {kernel: 31}}}",
            "a kernel of 31 pixels is larger than the image of 20 x 20: "
            "make preprocess.denoise.gaussian.kernel smaller",
        ),
        (
            "threshold={method: adaptive, adaptive: {block_size: 51}}",
            "a block of 51 pixels is larger than the image of 20 x 20: "
            "make threshold.adaptive.block_size smaller",
        ),
        (
            "preprocess={crop: {x: 10, y: 0, width: 20, height: 20}}",
            "the crop of 20 x 20 pixels at x=10, y=0 reaches out of the image of 20 x 20 pixels: "
            "change preprocess.crop",
        ),
    ):
        fresh.snakemake("results/images.csv", config)
        messages = {row["image"]: row["message"] for row in fresh.rows("images.csv")}
        assert messages == {"small": message, "large": ""}
    fresh.snakemake("preprocess={denoise: {gaussian: {kernel: 99}}}", "results/objects.csv")
    assert {row["message"] for row in fresh.rows("images.csv")} == {
        f"a kernel of 99 pixels is larger than the image of {size} x {size}: make "
        "preprocess.denoise.gaussian.kernel smaller"
        for size in (20, 96)
    }
    # What no image has is told by their headers.
    output = fresh.snakemake("--dry-run", "segment=1", success=False).stdout
    sentence = "there is no channel 1, the image has one: change segment"
    assert f"nucleiflow: images: in {fresh.images}, {sentence}\n" in output
    assert fresh.rows("objects.csv") == []
    columns = list(pd.read_csv(fresh.results / "objects.csv").columns)
    assert columns[:7] == ["directory", "batch", "image", "plate", "well", "site", "time"]
    assert columns[7:9] == ["label", "area"]
    assert columns[-1] == "on_border"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["images="], "config: images is not set, name a directory"),
        (["images=[a]"], 'config: images is ["a"], must be the path of a directory'),
        (["images=nowhere"], "images: there is no directory {run}/nowhere, check the path"),
        (["images=."], "images: no file below {run} ends in tif, tiff, stk, lsm, png"),
        (["batch_size=0"], "config: batch_size is 0, must be a whole number from 1"),
        (["batch_size=-1"], "config: batch_size is -1, must be a whole number from 1"),
        (["thresold={}"], "config: unknown key thresold, did you mean threshold?"),
        (
            ["threshold={method: otsuu}"],
            'config: threshold.method is "otsuu", must be one of otsu, triangle, li, manual, '
            "adaptive, yen, isodata, minimum, multiotsu, kmeans, gaussian_mixture, "
            "robust_background, hysteresis, niblack, sauvola, local_otsu, edges, half_maximum "
            "(did you mean otsu?)",
        ),
        (["results=taken"], "config: results is taken, but {run}/taken is a file"),
    ],
)
def test_wrong_use_is_refused_in_one_sentence(fresh: Project, arguments, sentence):
    tifffile.imwrite(fresh.images / "one.tif", nuclei(1))
    (fresh.run / "taken").write_text("")
    for dry in ((), ("--dry-run",)):
        output = fresh.snakemake(*dry, *arguments, success=False).stdout
        said = [line for line in output.splitlines() if line.startswith("nucleiflow: ")]
        assert len(said) == 1
        assert sentence.format(run=fresh.run) in said[0]
        assert "Traceback" not in output


def test_images_that_would_be_the_same_are_refused(fresh: Project):
    tifffile.imwrite(fresh.images / "a.tif", nuclei(1))
    cv2.imwrite(str(fresh.images / "a.png"), nuclei(1))
    output = fresh.snakemake("--dry-run", success=False).stdout
    assert "images: . holds both a.png and a.tif, which would be the same image" in output
    fresh.snakemake("--dry-run", "extensions=[tif]")


def test_no_images_named_is_refused(fresh: Project):
    command = fresh.command("--dry-run")
    done = subprocess.run(
        command[: command.index("--config")], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "nucleiflow: config: images is not set, name a directory" in done.stdout + done.stderr


def test_results_inside_the_images_are_no_images(fresh: Project):
    tifffile.imwrite(fresh.images / "one.tif", nuclei(1))
    inside = f"results={fresh.images}/results"
    fresh.snakemake(inside)
    assert fresh.planned(inside) == {}
    assert len(list((fresh.images / "results" / "watershed").glob("*/one.tif"))) == 1


def test_keep_decides_what_stays(fresh: Project):
    tifffile.imwrite(fresh.images / "one.tif", nuclei(1))
    fresh.snakemake("keep=[]")
    folders = {path.name for path in fresh.results.iterdir() if path.is_dir()}
    assert folders == {"batches", "benchmarks", "logs", "measure"}
    names = {path.name for path in next((fresh.results / "measure").iterdir()).iterdir()}
    assert names == {"batch.json", "objects.parquet", ".snakemake_timestamp"}
    assert "labels" not in fresh.rows("images.csv")[0]
    objects = fresh.rows("objects.csv")
    assert fresh.planned("keep=[]") == {}

    fresh.snakemake("keep=[labels, distance]")
    row = fresh.rows("images.csv")[0]
    assert pixels(fresh.results / row["labels"]).max() == len(objects)
    assert pixels(fresh.results / row["distance"]).dtype == np.float32
    assert not (fresh.results / "threshold").exists()
    assert fresh.rows("objects.csv") == objects


def test_overlay_shows_the_outlines_in_the_colour_of_the_config(fresh: Project):
    tifffile.imwrite(fresh.images / "one.tif", nuclei(1))
    fresh.snakemake("overlay={color: [255, 0, 255], format: png}")
    row = fresh.rows("images.csv")[0]
    picture = pixels(fresh.results / row["overlay"])
    labels = pixels(fresh.results / row["labels"])
    drawn = (picture == (255, 0, 255)).all(axis=2)
    assert drawn.any()
    assert not drawn[labels == 0].any()


@pytest.mark.long
@pytest.mark.parametrize("moment", [r"localrule image_table|rule measure", r"rule threshold"])
def test_a_killed_run_is_completed_by_the_next(finished: Project, tmp_path: Path, moment: str):
    (tmp_path / "run").mkdir()
    killed = Project(finished.clone, finished.images, tmp_path / "run")
    killed.kill_when(moment)
    assert not (killed.results / "objects.csv").exists()
    output = killed.snakemake(success=False).stdout
    assert "--unlock" in output
    killed.snakemake("--unlock")
    killed.snakemake()
    assert killed.tables() == finished.tables()
    assert not list(killed.results.rglob("*.part"))
    assert killed.planned() == {}


def test_runs_from_anywhere_with_a_config_file(fresh: Project, tmp_path: Path):
    write_dataset(fresh.images)
    config = tmp_path / "my.yaml"
    config.write_text(f"images: {fresh.images}\nthreshold:\n  method: li\nresults: out\n")
    command = [sys.executable, "-m", "snakemake", "-s", str(fresh.clone / "Snakefile")]
    command += ["-d", str(fresh.run), "--configfile", str(config)]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    run = json.loads((fresh.run / "out" / "run.json").read_text())
    assert run["config"]["threshold"]["method"] == "li"
    assert run["config"]["watershed"]["method"] == "distance"
    assert run["images"] == 20


def test_dry_run_says_what_it_found_and_writes_nothing(fresh: Project):
    write_dataset(fresh.images)
    output = fresh.snakemake("--dry-run").stdout
    found = r"20 images in 3 directories, \d+ batches, 37\d kB on disk"
    assert re.search(found, output)
    assert output.index("20 images") < output.index("rule preprocess")
    assert not fresh.results.exists()


def test_snakemakes_own_views_work(finished: Project, project: Project):
    assert "rule" in finished.snakemake("--summary").stdout
    graph = finished.snakemake("--rulegraph").stdout
    assert all(f'"{stage}"' in graph for stage in (*STAGES, "object_table"))
    project.snakemake("--report", "report.html")
    page = (project.run / "report.html").read_text()
    for name in ("run.html", "quality.html", "pictures.html", "plots.html", "tables/failed.csv"):
        assert f"results/report/{name}" in page
    assert len(page) < 20_000_000


def test_logs_benchmarks_and_batches_are_where_the_readme_says(finished: Project):
    for stage in STAGES:
        for batch in finished.batches():
            assert "failed in" in (finished.results / "logs" / stage / f"{batch}.log").read_text()
    costs = {(row["rule"], row["job"]): row for row in finished.rows("benchmarks.csv")}
    assert {(stage, batch) for stage in STAGES for batch in finished.batches()} == costs.keys()
    assert all(float(row["s"]) > 0 and row["max_rss"] for row in costs.values())
    left = list((finished.results / "benchmarks").iterdir())
    assert all(path.is_file() for path in left)
    assert finished.results / "benchmarks" / "object_table.tsv" in left
    plans = {path.stem for path in (finished.results / "batches").iterdir()}
    assert plans == set(finished.batches())
    assert os.path.getsize(finished.results / "summary.txt") > 0


def test_few_batches_use_all_cores_of_this_machine(fresh: Project):
    tifffile.imwrite(fresh.images / "one.tif", nuclei(1))
    output = fresh.snakemake("--dry-run", "--cores", "16").stdout
    assert output.count("threads: 16\n") == len(STAGES)
    write_dataset(fresh.images)
    output = fresh.snakemake("--dry-run", "--cores", "16").stdout
    assert output.count("threads: 4\n") == len(STAGES) * output.count("rule preprocess:")


def test_the_catalogs_snakefile_plans_the_same(fresh: Project):
    write_dataset(fresh.images)
    expected = fresh.planned("all")
    assert set(expected) > {*STAGES, *AFTERWARDS, "report_plots"}
    command = fresh.command("--dry-run")
    command.remove("tables")
    command[command.index("--snakefile") + 1] = str(fresh.clone / "workflow" / "Snakefile")
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=fresh.clone)
    for rule, count in expected.items():
        assert re.search(rf"^{rule} +{count}$", output.stdout, re.M)


def test_a_job_looks_at_its_own_batch_alone(project: Project):
    """As on a node of a cluster, here with a dataset that is not there at all."""
    project.images.rename(project.images.with_name("away"))
    batch = project.batches()[1]
    labels = project.results / "watershed" / batch
    shutil.rmtree(labels)
    job = ["--mode", "subprocess", "--target-jobs", f"watershed:batch={batch}"]
    job += ["--allowed-rules", "watershed", "--force", "--nolock", "--quiet", "all"]
    command = project.command(*job)
    # Profiles are for the main process; jobs get their settings on the command line.
    subprocess.run(command, check=True, capture_output=True)
    assert (labels / "batch.json").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is there on Linux only")
def test_results_that_cannot_be_written_are_refused(fresh: Project):
    tifffile.imwrite(fresh.images / "one.tif", nuclei(1))
    output = fresh.snakemake("results=/proc/nucleiflow", success=False).stdout
    assert "nucleiflow: config: results is /proc/nucleiflow, " in output
    assert "Traceback" not in output


def test_without_a_readable_image_the_tables_are_empty_and_the_run_fails(fresh: Project):
    (fresh.images / "text.tif").write_text("not an image")
    output = fresh.snakemake(success=False).stdout
    assert "1 of 1 images failed, more than max_failed (0.05) allows: see " in output
    assert "the first: ./text.tif: the TIFF file is damaged or cut short, copy it again" in output
    assert fresh.rows("objects.csv") == []
    assert len(pd.read_parquet(fresh.results / "objects.parquet")) == 0
    (row,) = fresh.rows("images.csv")
    assert (row["status"], row["stage"], row["labels"]) == ("failed", "preprocess", "")


def test_memory_is_asked_for_images_as_crop_and_resize_leave_them(fresh: Project):
    tifffile.imwrite(fresh.images / "a.tif", nuclei(1, 1000))

    def asked(preprocess: str) -> dict[str, int]:
        config = ("illumination={method: estimate}", f"preprocess={preprocess}")
        output = fresh.snakemake("--dry-run", *config).stdout
        told = r"^ *(?:local)?rule (\w+):\n(?: .*\n)*? +resources:.*mem_mb=(\d+)"
        jobs = re.findall(told, output, re.M)
        return {rule: int(megabytes) for rule, megabytes in jobs}

    whole, large = asked("{crop: null}"), asked("{resize: {factor: 3}}")
    small = asked("{crop: {x: 0, y: 0, width: 64, height: 64}}")
    # One worker, 40 bytes a pixel; half of it at least, for the image that is read.
    assert large["threshold"] - whole["threshold"] == 320
    assert whole["threshold"] - small["threshold"] == 20
    # Whole images are looked at, whatever is cut out of them later.
    assert whole["illumination"] == large["illumination"] == small["illumination"]
