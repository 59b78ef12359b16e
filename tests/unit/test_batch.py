"""The walk over a batch: one bad image costs one image, a broken machine the whole job.

Jobs run in processes of their own, as under Snakemake: they fork workers and end with sys.exit.
"""

import errno
import json
import multiprocessing
import os
import resource
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile

import markers
import measure
import overlay
import preprocess
import threshold
import watershed
from nucleiflow import dataset, settings
from nucleiflow.batch import RECORDS, open_batch
from nucleiflow.images import ImageError, encode_tiff


@pytest.fixture
def job(tmp_path):
    """Makes what Snakemake puts into a script, for a batch of images 0.tif, 1.tif ..."""

    def make(count=5, rule="preprocess", threads=1, inputs=(), outputs=("first",), **params):
        root = tmp_path / "images"
        (root / "day 1").mkdir(parents=True, exist_ok=True)
        for index in range(count):
            tifffile.imwrite(root / f"day 1/{index}.tif", np.full((4, 5), index, np.uint16))
        return fake(tmp_path, root, rule, threads, inputs, outputs, params)

    return make


def fake(tmp_path, root, rule, threads, inputs, outputs, params):
    found = dataset.find(str(root), ["tif", "png"], 1000, lambda path: 1.0)
    (name,) = found.batches
    plan = tmp_path / "plan.json"
    dataset.save(found.batches[name], str(root), plan)
    return SimpleNamespace(
        rule=rule,
        threads=threads,
        params=SimpleNamespace(plan=str(plan), settings=params),
        input={entry: str(tmp_path / "out" / entry) for entry in inputs},
        output={entry: str(tmp_path / "out" / entry) for entry in outputs},
        log=[str(tmp_path / f"{rule}.log")],
        wildcards={"batch": name},
    )


# Each job starts from a process that has imported what takes long and done nothing.
LIBRARIES = ["cv2", "pandas", "pyarrow.parquet", "scipy.ndimage", "skimage.measure", "pytest"]
multiprocessing.set_forkserver_preload([*LIBRARIES, "skimage.filters", "skimage.segmentation"])


def run(snakemake, compute, prepare=None, start="forkserver"):
    """A job, in a process of its own; gives the results that the images handed back."""
    with ProcessPoolExecutor(1, multiprocessing.get_context(start)) as pool:
        return pool.submit(_job, snakemake, compute, prepare).result()


def _job(snakemake, compute, prepare):
    if prepare:
        prepare()
    with open_batch(snakemake) as batch:
        batch.map(compute)
        return [item.result for item in batch.items]


def records(snakemake):
    return json.loads(Path(next(iter(snakemake.output.values())), RECORDS).read_text())


def listing(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def double(item, settings):
    image = item.read_source()
    item.facts["brightest"] = int(image.max())
    item.result = os.getpid()
    return {"first": image * 2, "second": image * 3, "text": ("csv", b"x,y\n")}


def refuse_the_third(item, settings):
    if item.record["image"] == "2":
        raise ImageError("it is\n  too blurred")
    return double(item, settings)


def divide(item, settings):
    return {"first": np.ones((2, 2)) / (int(item.record["image"]) // 1 and 1 // 0)}


def fill_the_disk(item, settings):
    if item.record["image"] == "3":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return double(item, settings)


def want_too_much(item, settings):
    raise MemoryError


def die(item, settings):
    if item.record["image"] == "3":
        os.kill(os.getpid(), signal.SIGKILL)
    return double(item, settings)


def large(item, settings):
    return {"first": np.random.default_rng(0).random((300, 300))}


def limit_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def add(item, settings):
    item.facts["called"] = True
    return {"sum": item.read("first") + settings["amount"]}


def test_each_image_gives_its_products_and_a_record(job):
    snakemake = job(3, outputs=("first", "second", "text"))
    run(snakemake, double)
    first, second, text = snakemake.output.values()
    assert listing(first) == ["0.tif", "1.tif", "2.tif", RECORDS]
    assert listing(second) == ["0.tif", "1.tif", "2.tif"]
    assert listing(text) == ["0.csv", "1.csv", "2.csv"]
    assert (tifffile.imread(f"{first}/2.tif") == 4).all()
    assert (tifffile.imread(f"{second}/2.tif") == 6).all()
    assert Path(text, "1.csv").read_bytes() == b"x,y\n"
    found = records(snakemake)
    assert all(record.pop("seconds")["preprocess"] >= 0 for record in found)
    assert found[1] == {
        **{"directory": "day 1", "batch": snakemake.wildcards["batch"], "image": "1"},
        **{"file": "1.tif", "status": "ok", "stage": "", "message": "", "objects": 0},
        "brightest": 1,
    }


def test_products_that_are_no_output_are_not_written(job):
    snakemake = job(2, outputs=("second",))
    run(snakemake, double)
    (folder,) = snakemake.output.values()
    assert listing(folder) == ["0.tif", "1.tif", RECORDS]
    assert listing(Path(folder).parent) == ["second"]


@pytest.mark.parametrize("threads", [1, 2])
def test_failing_image_costs_itself_alone(job, threads, capfd):
    snakemake = job(4, threads=threads)
    run(snakemake, refuse_the_third, start="spawn")
    (folder,) = snakemake.output.values()
    assert listing(folder) == ["0.tif", "1.tif", "3.tif", RECORDS]
    found = records(snakemake)
    assert [record["status"] for record in found] == ["ok", "ok", "failed", "ok"]
    assert (found[2]["stage"], found[2]["message"]) == ("preprocess", "it is too blurred")
    printed = capfd.readouterr().err
    path = Path(snakemake.params.plan).parent / "images/day 1/2.tif"
    assert printed.splitlines() == [f"nucleiflow: preprocess failed for {path}: it is too blurred"]
    log = Path(snakemake.log[0]).read_text()
    assert "4 images" in log and "3 done, 1 failed" in log and "too blurred" in log


def test_unexpected_error_costs_one_image_and_asks_for_a_report(job):
    snakemake = job(2)
    run(snakemake, divide)
    first, second = records(snakemake)
    assert first["status"] == "ok"
    assert (second["status"], second["message"]) == (
        "failed",
        "unexpected ZeroDivisionError, please report it: integer division or modulo by zero",
    )
    assert "Traceback" in Path(snakemake.log[0]).read_text()


@pytest.mark.parametrize("threads", [1, 3])
def test_full_disk_fails_the_job_and_leaves_nothing(job, threads):
    snakemake = job(5, threads=threads, outputs=("first", "second"))
    with pytest.raises(SystemExit) as caught:
        run(snakemake, fill_the_disk)
    name = snakemake.wildcards["batch"]
    assert str(caught.value) == (
        f"nucleiflow: preprocess {name} failed: OSError: [Errno 28] No space left on device"
    )
    assert listing(Path(snakemake.output["first"]).parent) == []
    assert "No space left on device" in Path(snakemake.log[0]).read_text()


def test_file_that_cannot_be_written_whole_fails_the_job_and_leaves_nothing(job):
    snakemake = job(2)
    with pytest.raises(SystemExit, match=r"failed: OSError: .*File too large"):
        run(snakemake, large, limit_files)
    assert listing(Path(snakemake.output["first"]).parent) == []


def test_failed_job_leaves_what_was_there(job):
    snakemake = job(5)
    run(snakemake, double)
    before = records(snakemake)
    with pytest.raises(SystemExit):
        run(snakemake, fill_the_disk)
    assert records(snakemake) == before
    assert listing(Path(snakemake.output["first"]).parent) == ["first"]


@pytest.mark.parametrize(("compute", "threads"), [(want_too_much, 1), (want_too_much, 2), (die, 2)])
def test_too_little_memory_fails_the_job_in_one_sentence(job, compute, threads):
    snakemake = job(5, threads=threads)
    with pytest.raises(SystemExit) as caught:
        run(snakemake, compute)
    name = snakemake.wildcards["batch"]
    assert str(caught.value) == (
        f"nucleiflow: preprocess {name} failed: the memory did not suffice, ask for more mem_mb"
    )
    assert listing(Path(snakemake.output["first"]).parent) == []


def test_number_of_threads_changes_nothing(job):
    results, workers = [], []
    for threads in (1, 3):
        snakemake = job(7, threads=threads, outputs=("first", "second", "text"))
        workers.append(len(set(run(snakemake, refuse_the_third)) - {None}))
        found = records(snakemake)
        for record in found:
            del record["seconds"]
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for folder in map(Path, snakemake.output.values())
            for path in sorted(folder.iterdir())
            if path.name != RECORDS
        }
        results.append((found, files))
    assert results[0] == results[1]
    assert workers[0] == 1 < workers[1]


def test_later_stages_leave_failed_images_alone(job):
    first = job(4)
    run(first, refuse_the_third)
    second = job(4, rule="threshold", inputs=("first",), outputs=("sum",), amount=100)
    run(second, add)
    found = records(second)
    assert [record.get("called") for record in found] == [True, True, None, True]
    assert (found[2]["stage"], found[2]["message"]) == ("preprocess", "it is too blurred")
    assert set(found[2]["seconds"]) == {"preprocess"}
    assert set(found[1]["seconds"]) == {"preprocess", "threshold"}
    assert found[3]["brightest"] == 3
    assert listing(second.output["sum"]) == ["0.tif", "1.tif", "3.tif", RECORDS]
    assert (tifffile.imread(f"{second.output['sum']}/3.tif") == 106).all()


def test_batch_in_which_every_image_failed_goes_on_with_records_alone(job):
    first = job(2)
    run(first, refuse_all)
    second = job(2, rule="threshold", threads=4, inputs=("first",), outputs=("sum",))
    run(second, add)
    assert listing(second.output["sum"]) == [RECORDS]
    assert [record["message"] for record in records(second)] == ["no", "no"]


def refuse_all(item, settings):
    raise ImageError("no")


def test_image_that_went_away_between_two_stages_costs_itself_alone(job, tmp_path):
    snakemake = job(3)
    (tmp_path / "images/day 1/1.tif").unlink()
    run(snakemake, double)
    assert [record["message"] for record in records(snakemake)] == [
        "",
        "the file is not there any more, or is a link to nothing",
        "",
    ]


def test_missing_product_of_an_earlier_stage_fails_the_job(job):
    first = job(3)
    run(first, double)
    Path(first.output["first"], "1.tif").unlink()
    second = job(3, rule="threshold", inputs=("first",), outputs=("sum",), amount=1)
    with pytest.raises(SystemExit, match=r"nucleiflow: threshold .* failed: FileNotFoundError"):
        run(second, add)
    assert not Path(second.output["sum"]).exists()


# The stages' own work on awkward images


def stages(config, schema):
    """The stages with the settings that their rules give them, and what they read and write."""
    sections = {
        name: settings.active(config[name], schema["properties"][name])
        for name in ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")
    }
    again = {key: config["preprocess"][key] for key in ("channel", "crop", "resize")}
    frame = 1 if config["watershed"]["method"] == "opencv" else 0
    return [
        (preprocess, sections["preprocess"], (), ("preprocessed", "channel")),
        (threshold, sections["threshold"], ("preprocessed",), ("mask",)),
        (markers, sections["markers"], ("mask",), ("markers", "distance")),
        (watershed, sections["watershed"] | again, ("markers", "mask"), ("labels",)),
        (
            measure,
            sections["measure"] | again | {"frame": frame, "csv": True},
            ("labels",),
            ("csv",),
        ),
        (overlay, sections["overlay"] | again | {"lines": False}, ("labels",), ("overlay",)),
    ]


def square(dtype=np.uint16, value=1000):
    image = np.zeros((40, 50), dtype)
    image[10:20, 12:30] = value
    return image


AWKWARD = {
    "good 16": square(),
    "good 8": square(np.uint8, 200),
    "good float": square(np.float32, 0.5),
    "good int32": square(np.int32, 70000),
    "green": np.dstack([square() * 0, square(), square() * 0]),
    "black": square() * 0,
    "white": np.full((40, 50), 65535, np.uint16),
    "pixel": np.ones((1, 1), np.uint8),
    "row": np.arange(9, dtype=np.uint8)[None],
    "nan": np.where(square() > 0, np.nan, 1).astype(np.float32),
    "colours": np.random.default_rng(0).integers(1, 255, (40, 50, 3), np.uint8),
}


@pytest.mark.parametrize("method", ["distance", "opencv"])
def test_awkward_images_give_rows_and_sentences(tmp_path, schema, method):
    root = tmp_path / "images"
    root.mkdir()
    for name, image in AWKWARD.items():
        if image.ndim == 3:
            tifffile.imwrite(root / f"{name}.tif", image, photometric="rgb")
        else:
            encode_tiff(root / f"{name}.tif", image)
    (root / "text.tif").write_text("nothing")
    (root / "web.png").write_text("<html>")
    (root / "link.tif").symlink_to("nowhere")
    config = settings.load(
        {
            "preprocess": {"denoise": {"method": "none"}},
            "threshold": {"method": "otsu", "fill_holes": True, "min_area": 0},
            "markers": {"method": "fraction", "sure_background": {"size": 1, "iterations": 1}},
            "watershed": {"method": method, "min_area": 0},
            "measure": {"properties": ["area", "intensity_mean", "intensity_sum"]},
        },
        schema,
    )
    for stage, options, inputs, outputs in stages(config, schema):
        snakemake = fake(tmp_path, root, stage.__name__, 1, inputs, outputs, options)
        results = run(snakemake, stage.compute)
        if stage is measure:
            names = [record["image"] for record in records(snakemake)]
            measured = {
                name: table["area"].tolist()
                for name, table in zip(names, results, strict=True)
                if table is not None
            }
    rows = {record["image"]: record for record in records(snakemake)}
    failed = {name: row["message"] for name, row in rows.items() if row["status"] == "failed"}
    assert failed == {
        "nan": "180 pixels are not numbers (NaN or infinite), export it again",
        "text": "the TIFF file is damaged or cut short, copy it again",
        "web": "the file is a web page, not an image: download it again",
        "link": "the file is not there any more, or is a link to nothing",
        "colours": "3 of the image's 3 channels hold something: set preprocess.channel to the one "
        "with the nuclei (red, green, blue or a number from 0)",
    }
    assert {rows[name]["stage"] for name in failed} == {"preprocess"}
    for name in ("black", "white", "pixel"):
        assert (rows[name]["objects"], measured[name]) == (0, [])
    good = [name for name in rows if name.startswith(("good", "green"))]
    assert len(good) == 5
    if method == "distance":
        assert all(measured[name] == [180] and rows[name]["objects"] == 1 for name in good)
        assert measured["row"] == [4]
    else:
        assert all(len(measured[name]) == rows[name]["objects"] == 1 for name in good)
    assert (rows["good 8"]["height"], rows["good 8"]["width"]) == (40, 50)
    assert rows["good 16"]["dtype"] == "uint16"
    csv = pd.read_csv(tmp_path / "out/csv/black.csv")
    assert csv.columns.tolist() == ["label", "area", "intensity_mean", "intensity_sum", "on_border"]
    assert listing(tmp_path / "out/overlay")[-1] == "white.jpg"
    assert tifffile.imread(tmp_path / "out/labels/black.tif").dtype == np.int32
