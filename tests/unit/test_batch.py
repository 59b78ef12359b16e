"""The walk over a batch: one bad image costs one image, a broken machine the whole job.

Jobs run in processes of their own, as under Snakemake: they fork workers and end with sys.exit.
"""

import errno
import faulthandler
import functools
import json
import multiprocessing
import os
import re
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
import nucleiflow.batch
import overlay
import preprocess
import threshold
import watershed
from nucleiflow import dataset, footprint, plan, settings
from nucleiflow.batch import RECORDS, expanded, open_batch, progress
from nucleiflow.images import ImageError, encode_tiff
from nucleiflow.plan import File, Image
from nucleiflow.terminal import told
from nucleiflow.walk import size_and_time

VIEW = {
    **{"segment": "auto", "channels": None, "z": "max", "pages": None, "scenes": []},
    **{"crop": None},
    **{"resize": None, "max_megapixels": 1000.0},
}


@pytest.fixture
def job(tmp_path):
    """Makes what Snakemake puts into a script, for a batch of images 0.tif, 1.tif ..."""

    def make(count=5, rule="preprocess", threads=1, inputs=(), outputs=("first",), **params):
        root = tmp_path / "images"
        (root / "day 1").mkdir(parents=True, exist_ok=True)
        for index in range(count):
            tifffile.imwrite(root / f"day 1/{index}.tif", np.full((4, 5), index, np.uint16))
        settings = {"view": VIEW} | params
        return fake(tmp_path, root, rule, threads, inputs, outputs, settings)

    return make


def fake(tmp_path, root, rule, threads, inputs, outputs, params, images=None):
    """What Snakemake puts into a script, for all images of a directory or for those named."""
    if images is None:
        look = dataset.Look(lambda folder, files: None)
        (batch,) = dataset.find(
            str(root), ["tif", "png"], plan.BatchSize(1000), look
        ).batches.values()
    else:
        images = [stamped(image, root / "day 1") for image in images]
        batch = plan.Batch("a.b.c", "day 1", "day 1", images, dataset.FALLBACK)
    path = tmp_path / "plan.json"
    plan.save(batch, str(root), str(root), dataset.STANDARD, path)
    return SimpleNamespace(
        rule=rule,
        threads=threads,
        params=SimpleNamespace(plan=str(path), settings=params),
        input={entry: str(tmp_path / "out" / entry) for entry in inputs},
        output={entry: str(tmp_path / "out" / entry) for entry in outputs},
        log=[str(tmp_path / f"{rule}.log")],
        wildcards={"batch": batch.name},
    )


def stamped(image, folder):
    """The image with sizes and times of its files, as far as they are there."""
    files = []
    for file in image.files:
        size, changed = size_and_time(str(folder / file.path))
        files.append(file._replace(size=size or file.size, changed=changed))
    return image._replace(files=tuple(files))


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


def sentences(snakemake):
    """What the job's log holds for the terminal."""
    return [sentence for _, sentence in told(Path(snakemake.log[0]).read_text())]


def listing(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def double(item, settings):
    with item.field(settings["view"]) as field:
        image = field.image(0)
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


def crash(item, settings):
    if item.record["image"] == "3":
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)
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
        **{"member": 1, "scene": 0, "frame": 0, "pixels": [4, 5], "brightest": 1},
    }


def machine(megabytes):
    footprint.machine_mb = lambda: megabytes


def test_images_that_need_more_memory_than_there_is_fail_with_a_sentence(job):
    snakemake = job(2)
    # 75 MB a worker beside 280 MB for all.
    run(snakemake, double, functools.partial(machine, 300.0))
    found = records(snakemake)
    assert {record["status"] for record in found} == {"failed"}
    assert found[0]["message"] == (
        "its 5 x 4 pixels need about 0.355 GB of memory in this stage and there are 0.3 GB: set "
        "tiles to {size: 4096}, or run where there is more"
    )
    run(snakemake, double, functools.partial(machine, 800.0))
    assert {record["status"] for record in records(snakemake)} == {"ok"}


def test_no_more_workers_than_there_is_memory_for(job):
    snakemake = job(12, threads=8)
    run(snakemake, double, functools.partial(machine, 800.0))
    assert "12 images, 6 workers" in Path(snakemake.log[0]).read_text()


def halves(item, settings):
    """Of an image of 300 columns in two tiles."""
    left = item.record.get("core", [0, 0])[1]
    if left and "broken" in settings:
        raise ImageError("it is too blurred")
    with item.field(settings["view"]) as field:
        image = field.image(0)
    item.facts["objects"] = 1 + left
    item.result = item.record["image"]
    return {"first": image}


def with_a_large_image(job, **settings):
    """A job of three images, the second in two tiles; and that one."""
    snakemake = job(3, tiles={"size": 256, "overlap": 10}, **settings)
    image = np.arange(4 * 300).reshape(4, 300).astype(np.uint16)
    plan_path = Path(snakemake.params.plan)
    (path,) = plan_path.parent.rglob("1.tif")
    tifffile.imwrite(path, image)
    document = json.loads(plan_path.read_text())
    document["images"][1][1][0][1:3] = size_and_time(str(path))
    plan_path.write_text(json.dumps(document))
    return snakemake, image


def test_tiles_are_handled_like_images_and_their_image_has_one_record(job):
    snakemake, image = with_a_large_image(job)
    results = run(snakemake, halves)
    assert results == ["0", "1_y0_x0", "1_y0_x150", "2"]
    (folder,) = snakemake.output.values()
    assert listing(folder) == ["0.tif", "1_y0_x0.tif", "1_y0_x150.tif", "2.tif", RECORDS]
    np.testing.assert_array_equal(tifffile.imread(f"{folder}/1_y0_x0.tif"), image[:, :160])
    np.testing.assert_array_equal(tifffile.imread(f"{folder}/1_y0_x150.tif"), image[:, 140:])
    found = records(snakemake)
    assert [record["image"] for record in found] == ["0", "1", "2"]
    assert [record["objects"] for record in found] == [1, 152, 1]
    assert [tile["facts"] for tile in found[1]["tiles"]] == [{"objects": 1}, {"objects": 151}]
    assert ["tiles" in record for record in found] == [False, True, False]


def test_image_of_which_a_tile_fails_has_failed_and_is_named_once(job):
    snakemake, _ = with_a_large_image(job, broken=True)
    assert run(snakemake, halves) == ["0", None, None, "2"]
    found = records(snakemake)
    assert [record["status"] for record in found] == ["ok", "failed", "ok"]
    assert found[1]["message"] == "it is too blurred"
    assert len(sentences(snakemake)) == 1


def test_image_whose_tiles_need_more_memory_than_there_is_is_named_once(job):
    snakemake, _ = with_a_large_image(job)
    run(snakemake, halves, functools.partial(machine, 300.0))
    assert [record["status"] for record in records(snakemake)] == ["failed"] * 3
    assert len(sentences(snakemake)) == 3


def halve_and_join(snakemake):
    with open_batch(snakemake) as batch:
        batch.map(halves)
        batch.join_tiles()


def test_files_of_tiles_are_joined(job):
    snakemake, image = with_a_large_image(job)
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as pool:
        pool.submit(halve_and_join, snakemake).result()
    (folder,) = snakemake.output.values()
    assert listing(folder) == ["0.tif", "1.tif", "2.tif", RECORDS]
    np.testing.assert_array_equal(tifffile.imread(f"{folder}/1.tif"), image)


def read_again(item, settings):
    item.result = item.read("first")
    return {}


def test_tiles_are_cut_out_of_what_was_joined(job):
    snakemake, image = with_a_large_image(job)
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as pool:
        pool.submit(halve_and_join, snakemake).result()
    following = job(3, "threshold", inputs=("first",), outputs=("second",))
    _, left, right, _ = run(following, read_again)
    np.testing.assert_array_equal(left, image[:, :160])
    np.testing.assert_array_equal(right, image[:, 140:])


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
    path = Path(snakemake.params.plan).parent / "images/day 1/2.tif"
    assert sentences(snakemake) == [f"nucleiflow: preprocess failed for {path}: it is too blurred"]
    # On a cluster what a job prints does not come to the terminal.
    assert capfd.readouterr().err == ""
    log = Path(snakemake.log[0]).read_text()
    assert "4 images" in log and "3 done, 1 failed in " in log and "too blurred" in log


def refuse_odd_ones(item, settings):
    if int(item.record["image"]) % 2:
        raise ImageError("it is odd")
    return double(item, settings)


def test_of_many_failed_images_the_first_are_named_and_all_are_in_the_log(job):
    snakemake = job(20, threads=2)
    run(snakemake, refuse_odd_ones)
    folder, name = Path(snakemake.params.plan).parent / "images/day 1", snakemake.wildcards["batch"]
    # In the order of the batch: by name.
    odd = sorted(f"{number}.tif" for number in range(1, 20, 2))
    failed = [f"preprocess failed for {folder / file}: it is odd" for file in odd]
    assert sentences(snakemake) == [
        *(f"nucleiflow: {sentence}" for sentence in failed[:5]),
        f"nucleiflow: preprocess failed for 5 more of batch {name}, see {snakemake.log[0]}",
    ]
    log = Path(snakemake.log[0]).read_text()
    assert all(sentence in log for sentence in failed)


@pytest.mark.parametrize(
    ("total", "lines"),
    [
        (1, [1]),
        (4, [1, 2, 3, 4]),
        (12, [2, 3, 4, 5, 6, 8, 9, 10, 11, 12]),
        (100, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]),
        (1234, [124, 247, 371, 494, 617, 741, 864, 988, 1111, 1234]),
    ],
)
def test_log_has_a_line_at_each_tenth_of_a_batch(total, lines):
    found = [number for number in range(1, total + 1) if progress(number, 0, total, 1.0)]
    assert found == lines


@pytest.mark.parametrize(
    ("finished", "failed", "total", "seconds", "line"),
    [
        # 2 s an image, of which 9 are left.
        (3, 1, 12, 6.0, "2 done, 1 failed of 12, 18 s left"),
        (50, 50, 100, 7.4, "0 done, 50 failed of 100, 7 s left"),
        (100, 2, 100, 900.0, "98 done, 2 failed of 100, 0 s left"),
        (1, 0, 1, 0.5, "1 done, 0 failed of 1, 0 s left"),
        (51, 0, 100, 7.4, ""),
    ],
)
def test_line_tells_what_is_done_and_the_seconds_that_are_left(
    finished, failed, total, seconds, line
):
    assert progress(finished, failed, total, seconds) == line


def test_log_of_a_batch_has_its_tenths_and_one_summary(job):
    snakemake = job(20)
    run(snakemake, refuse_odd_ones)
    lines = Path(snakemake.log[0]).read_text().splitlines()
    tenths = [line.split(" INFO ")[1].split(" of 20, ")[0] for line in lines if " s left" in line]
    # 0, 1, 10, 11 ... 19, 2, 3 ... 9, two at a time.
    odd = [int(name) % 2 for name in sorted(map(str, range(20)))]
    assert tenths == [
        f"{number - sum(odd[:number])} done, {sum(odd[:number])} failed"
        for number in range(2, 21, 2)
    ]
    assert sum("10 done, 10 failed in " in line for line in lines) == 1
    assert "10 done, 10 failed in " in lines[-2]


def test_batch_of_failed_images_alone_has_a_summary_and_no_tenths(job):
    first = job(2)
    run(first, refuse)
    second = job(2, rule="threshold", inputs=("first",), outputs=("sum",), amount=1)
    run(second, add)
    log = Path(second.log[0]).read_text()
    assert "0 images, 1 workers" in log and "0 done, 0 failed in " in log
    assert " left" not in log


def refuse(item, settings):
    raise ImageError("no")


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


@pytest.mark.parametrize("threads", [1, 2])
def test_image_on_which_a_library_crashes_costs_itself_alone(job, threads):
    snakemake = job(5, threads=threads, outputs=("first", "second"))
    run(snakemake, crash)
    assert [record["message"] for record in records(snakemake)] == [
        *("", "", ""),
        "reading or computing it crashed (SIGSEGV), the file is probably damaged: copy it again",
        "",
    ]
    assert records(snakemake)[3]["stage"] == "preprocess"
    for folder in snakemake.output.values():
        assert set(listing(folder)) - {RECORDS} == {"0.tif", "1.tif", "2.tif", "4.tif"}


@pytest.mark.parametrize("threads", [1, 3])
def test_full_disk_fails_the_job_and_leaves_nothing(job, threads):
    snakemake = job(5, threads=threads, outputs=("first", "second"))
    with pytest.raises(SystemExit):
        run(snakemake, fill_the_disk)
    name = snakemake.wildcards["batch"]
    assert sentences(snakemake) == [
        f"nucleiflow: preprocess {name} failed: the disk is full, run again when that is mended"
    ]
    assert listing(Path(snakemake.output["first"]).parent) == []


def test_file_that_cannot_be_written_whole_fails_the_job_and_leaves_nothing(job):
    snakemake = job(2)
    with pytest.raises(SystemExit):
        run(snakemake, large, limit_files)
    (sentence,) = sentences(snakemake)
    assert re.search("failed: OSError: .*File too large", sentence)
    assert listing(Path(snakemake.output["first"]).parent) == []


def test_failed_job_leaves_what_was_there(job):
    snakemake = job(5)
    run(snakemake, double)
    before = records(snakemake)
    with pytest.raises(SystemExit):
        run(snakemake, fill_the_disk)
    assert records(snakemake) == before
    assert listing(Path(snakemake.output["first"]).parent) == ["first"]


@pytest.mark.parametrize(
    ("compute", "threads"), [(want_too_much, 1), (want_too_much, 2), (die, 1), (die, 2)]
)
def test_too_little_memory_fails_the_job_in_one_sentence(job, compute, threads):
    snakemake = job(5, threads=threads)
    with pytest.raises(SystemExit):
        run(snakemake, compute)
    name = snakemake.wildcards["batch"]
    assert sentences(snakemake) == [
        f"nucleiflow: preprocess {name} failed: the memory did not suffice, ask for more mem_mb"
    ]
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


@pytest.mark.parametrize(
    ("seconds", "more", "said"),
    [
        (10, 0, "the file was changed while the run went on, run again"),
        (0, 9, "the file was changed while the run went on, run again"),
        # Other machines may round.
        (1, 0, ""),
    ],
)
def test_image_that_changes_between_two_stages_costs_itself_alone(
    job, tmp_path, seconds, more, said
):
    run(job(3), double)
    second = job(0, "measure", inputs=["first"], outputs=["second"])
    path = tmp_path / "images/day 1/1.tif"
    before = path.stat()
    tifffile.imwrite(path, np.full((4, 5), 1, np.uint16), description="x" * more)
    os.utime(path, ns=(0, before.st_mtime_ns + seconds * 10**9))
    run(second, double)
    assert [record["message"] for record in records(second)] == ["", said, ""]


def test_missing_product_of_an_earlier_stage_fails_the_job(job):
    first = job(3)
    run(first, double)
    Path(first.output["first"], "1.tif").unlink()
    second = job(3, rule="threshold", inputs=("first",), outputs=("sum",), amount=1)
    with pytest.raises(SystemExit):
        run(second, add)
    (sentence,) = sentences(second)
    name = second.wildcards["batch"]
    assert sentence.startswith(f"nucleiflow: threshold {name} failed: FileNotFoundError: ")
    assert not Path(second.output["sum"]).exists()


# Files that hold several images, and images of several files


@pytest.mark.parametrize(
    ("scenes", "expected"),
    [
        ([("", 1)], [("a", 0, 0, "")]),
        ([("Pos 1", 1)], [("a", 0, 0, "")]),
        ([("", 3)], [("a_t0", 0, 0, "0"), ("a_t1", 0, 1, "1"), ("a_t2", 0, 2, "2")]),
        (
            [("left", 1), ("on the right", 1)],
            [("a_left", 0, 0, ""), ("a_on_the_right", 1, 0, "")],
        ),
        # Names that tell nothing apart are left out.
        ([("", 1), ("x", 1)], [("a_s0", 0, 0, ""), ("a_x", 1, 0, "")]),
        (
            [("x", 1), ("y", 1), ("x", 1)],
            [("a_s0", 0, 0, ""), ("a_y", 1, 0, ""), ("a_s2", 2, 0, "")],
        ),
        ([("x-1", 1), ("x 1", 1)], [("a_s0", 0, 0, ""), ("a_s1", 1, 0, "")]),
        ([("../..", 1), ("x", 1)], [("a_s0", 0, 0, ""), ("a_x", 1, 0, "")]),
        (
            [("x", 2), ("y", 1)],
            [("a_x_t0", 0, 0, "0"), ("a_x_t1", 0, 1, "1"), ("a_y", 1, 0, "")],
        ),
    ],
)
def test_images_in_a_file_are_its_scenes_and_times(scenes, expected):
    assert list(expanded("a", scenes)) == expected


def test_scenes_are_chosen_by_patterns_of_their_names():
    scenes = [("left", 1), ("right", 1), ("", 2), ("Left 2", 1)]
    for wanted, names in (
        ([], ["a_left", "a_right", "a_s2_t0", "a_s2_t1", "a_Left_2"]),
        (["left"], ["a_left", "a_s2_t0", "a_s2_t1"]),
        (["*ft*"], ["a_left", "a_s2_t0", "a_s2_t1", "a_Left_2"]),
    ):
        assert [name for name, *_ in expanded("a", scenes, wanted)] == names


@pytest.mark.parametrize(
    ("times", "first", "last"),
    [(10, "a_t0", "a_t9"), (11, "a_t00", "a_t10"), (101, "a_t000", "a_t100")],
)
def test_numbers_of_times_are_as_long_as_the_last(times, first, last):
    names = [name for name, *_ in expanded("a", [("", times)])]
    assert (names[0], names[-1], len(set(names))) == (first, last, times)
    assert names == sorted(names)


def write_ome(path, *stacks):
    """An OME-TIFF with a (T, C, Z, Y, X) array for each scene."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path, ome=True) as file:
        for index, stack in enumerate(stacks):
            metadata = {"axes": "TCZYX", "Name": f"scene {index}"}
            file.write(stack, photometric="minisblack", metadata=metadata)


def numbered(*shape):
    """A constant plane for each time, channel and plane: 100 T + 10 C + Z + 1."""
    times, channels, planes = np.indices(shape[:3])
    values = 100 * times + 10 * channels + planes + 1
    return (values[..., None, None] * np.ones(shape[3:])).astype(np.uint16)


def several(tmp_path, scenes=(), **facts):
    """A job on a file with times, one with scenes, and one whose name is taken."""
    folder = tmp_path / "images/day 1"
    write_ome(folder / "film.ome.tif", numbered(3, 1, 2, 4, 5))
    write_ome(folder / "both.ome.tif", numbered(1, 1, 1, 4, 5), numbered(2, 1, 1, 6, 5) * 2)
    tifffile.imwrite(folder / "film_t1.tif", np.full((4, 5), 77, np.uint16))
    names = ["both.ome.tif", "film.ome.tif", "film_t1.tif"]
    images = [Image(dataset.stem(name), (File(name, 1, 1),), ("",) * 4) for name in names]
    job = {"rule": "preprocess", "threads": 1, "inputs": (), "outputs": ("first",)} | facts
    params = {"view": VIEW | {"scenes": list(scenes)}}
    return fake(tmp_path, tmp_path / "images", params=params, images=images, **job)


def test_each_time_and_scene_of_a_file_is_an_image(tmp_path):
    snakemake = several(tmp_path)
    run(snakemake, double)
    told = ("image", "file", "member", "scene", "frame", "time", "brightest", "status")
    assert [tuple(record.get(name) for name in told) for record in records(snakemake)] == [
        ("both_scene_0", "both.ome.tif", 0, 0, 0, None, 1, "ok"),
        ("both_scene_1_t0", "both.ome.tif", 0, 1, 0, "0", 2, "ok"),
        ("both_scene_1_t1", "both.ome.tif", 0, 1, 1, "1", 202, "ok"),
        ("film_t0", "film.ome.tif", 1, 0, 0, "0", 2, "ok"),
        ("film_t1", "film.ome.tif", 1, 0, 1, "1", 102, "ok"),
        ("film_t2", "film.ome.tif", 1, 0, 2, "2", 202, "ok"),
        # The name of a time of another file.
        ("film_t1_", "film_t1.tif", 2, 0, 0, None, 77, "ok"),
    ]
    (folder,) = snakemake.output.values()
    assert listing(folder) == [
        *(RECORDS, "both_scene_0.tif", "both_scene_1_t0.tif", "both_scene_1_t1.tif"),
        *("film_t0.tif", "film_t1.tif", "film_t1_.tif", "film_t2.tif"),
    ]
    assert (tifffile.imread(f"{folder}/film_t2.tif") == 404).all()
    assert tifffile.imread(f"{folder}/both_scene_1_t0.tif").shape == (6, 5)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["*1"], ["both_scene_1_t0", "both_scene_1_t1"]),
        (["scene 0", "x"], ["both_scene_0"]),
        (["scene ?"], ["both_scene_0", "both_scene_1_t0", "both_scene_1_t1"]),
    ],
)
def test_scenes_that_are_not_wanted_are_left_out_and_the_others_keep_their_names(
    tmp_path, wanted, expected
):
    snakemake = several(tmp_path, wanted)
    run(snakemake, double)
    names = [record["image"] for record in records(snakemake)]
    assert [name for name in names if name.startswith("both")] == expected


def test_file_without_any_wanted_scene_fails_alone(tmp_path):
    snakemake = several(tmp_path, ["Pos*"])
    run(snakemake, double)
    failed = {record["image"]: record["message"] for record in records(snakemake)}
    sentence = "none of its scenes (scene 0, scene 1) is one of scenes in the config"
    assert failed["both"] == sentence
    assert failed["film_t1"] == ""


def test_one_time_that_fails_costs_itself_alone(tmp_path):
    snakemake = several(tmp_path)
    run(snakemake, refuse_the_second_time)
    found = [record for record in records(snakemake) if record["status"] == "failed"]
    assert [(record["image"], record["message"]) for record in found] == [
        ("both_scene_1_t1", "no"),
        ("film_t1", "no"),
    ]


def refuse_the_second_time(item, settings):
    if item.record["frame"] == 1:
        raise ImageError("no")
    return double(item, settings)


def test_number_of_threads_changes_nothing_where_files_hold_several_images(tmp_path):
    results = []
    for threads in (1, 2):
        snakemake = several(tmp_path, threads=threads)
        run(snakemake, double)
        assert f"7 images, {threads} workers" in Path(snakemake.log[0]).read_text()
        (folder,) = map(Path, snakemake.output.values())
        found = [record | {"seconds": None} for record in records(snakemake)]
        pictures = {path.name: path.read_bytes() for path in folder.glob("*.tif")}
        results.append((found, pictures))
    assert results[0] == results[1]
    assert len(results[0][1]) == 7


def test_file_for_each_channel_and_plane_is_one_image(tmp_path):
    folder = tmp_path / "images/day 1"
    folder.mkdir(parents=True)
    images = []
    for well in ("A01", "A02"):
        files = []
        for channel in ("DAPI", "GFP"):
            for z in (1, 2):
                name = f"{well}_{channel}_{z}.tif"
                value = 10 * (channel == "GFP") + z + 100 * (well == "A02")
                tifffile.imwrite(folder / name, np.full((4, 5), value, np.uint16))
                files.append(File(name, 1, 1, channel, z))
        images.append(Image(well, tuple(files), ("P1", well, "1", "")))
    snakemake = fake(
        *(tmp_path, tmp_path / "images", "preprocess", 1, (), ("first",), {"view": VIEW}, images)
    )
    assert run(snakemake, channels_seen) == [
        [("DAPI", 2), ("GFP", 12)],
        [("DAPI", 102), ("GFP", 112)],
    ]
    assert [record["file"] for record in records(snakemake)] == [
        *("A01_DAPI_1.tif", "A02_DAPI_1.tif"),
    ]


def channels_seen(item, settings):
    with item.field(settings["view"]) as field:
        item.result = [
            (name, int(field.image(index).max())) for index, name in enumerate(field.names)
        ]
    return {}


def test_image_with_a_problem_fails_alone_with_its_sentence(tmp_path):
    folder = tmp_path / "images/day 1"
    folder.mkdir(parents=True)
    for name in ("a.tif", "b.tif", "c.tif"):
        tifffile.imwrite(folder / name, np.full((4, 5), 3, np.uint16))
    problem = "the file of channel 2 is missing, which other images of the directory have"
    images = [
        Image("a", (File("a.tif", 1, 1),)),
        Image("b", (File("b.tif", 1, 1, "1"),), (), problem),
        Image("c", (File("c.tif", 1, 1),)),
    ]
    common = (tmp_path, tmp_path / "images")
    first = fake(*common, "preprocess", 1, (), ("first",), {"view": VIEW}, images)
    run(first, double)
    found = records(first)
    assert [record["status"] for record in found] == ["ok", "failed", "ok"]
    assert (found[1]["stage"], found[1]["message"]) == ("preprocess", problem)
    assert found[1]["seconds"] == {}
    said = f"preprocess failed for {folder / 'b.tif'}: {problem}"
    assert Path(first.log[0]).read_text().count(said) == 1
    # A later stage does not say it again.
    second = fake(*common, "threshold", 1, ("first",), ("sum",), {"amount": 1}, images)
    run(second, add)
    assert "failed for" not in Path(second.log[0]).read_text()
    assert listing(second.output["sum"]) == ["a.tif", RECORDS, "c.tif"]


def test_file_whose_header_cannot_be_read_fails_alone(job, tmp_path):
    folder = tmp_path / "images/day 1"
    folder.mkdir(parents=True)
    (folder / "bad.tif").write_bytes(b"II*\0nothing of a TIFF file")
    (folder / "empty.png").touch()
    # Failed images are told of whatever scenes are wanted.
    snakemake = job(2, view=VIEW | {"scenes": ["Pos*"]})
    run(snakemake, double)
    assert {record["image"]: record["message"] for record in records(snakemake)} == {
        **{"0": "", "1": ""},
        "bad": "the TIFF file is damaged or cut short, copy it again",
        "empty": "the file is empty (0 bytes), copy it again",
    }


def disk_fails():
    def header(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    nucleiflow.batch.header = header


def memory_ends():
    def header(*arguments):
        raise MemoryError

    nucleiflow.batch.header = header


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (disk_fails, "OSError: [Errno 5] Input/output error"),
        (memory_ends, "the memory did not suffice, ask for more mem_mb"),
    ],
)
def test_header_that_the_machine_does_not_give_fails_the_job(job, prepare, reason):
    snakemake = job(2)
    with pytest.raises(SystemExit):
        run(snakemake, double, prepare)
    name = snakemake.wildcards["batch"]
    assert sentences(snakemake) == [f"nucleiflow: preprocess {name} failed: {reason}"]
    assert listing(Path(snakemake.output["first"]).parent) == []


def test_later_stages_look_at_the_channel_and_plane_that_the_first_chose(tmp_path):
    write_ome(tmp_path / "images/day 1/a.ome.tif", numbered(2, 3, 4, 5, 6))
    images = [Image("a", (File("a.ome.tif", 1, 1),))]
    params = {"view": VIEW | {"z": "focus"}}
    common = (tmp_path, tmp_path / "images")
    first = fake(*common, "preprocess", 1, (), ("first",), params, images)
    run(first, choose)
    second = fake(*common, "measure", 1, ("first",), ("second",), params, images)
    # Time 0 has its plane 2 and time 1 its plane 3, in all channels.
    assert run(second, chosen) == [(1, [3, 13, 23]), (2, [104, 114, 124])]


def choose(item, settings):
    """Channel 1 and plane 2 of the first time, channel 2 and plane 3 of the second."""
    frame = item.record["frame"]
    item.facts |= {"segmented_index": 1 + frame, "plane": 2 + frame}
    return {}


def chosen(item, settings):
    with item.field(settings["view"]) as field:
        values = [int(field.image(index).max()) for index in range(3)]
        item.result = (field.segmented(), values)
    return {}


# The stages' own work on awkward images


def view(config):
    """What the rules make of the config."""
    result = {key: config[key] for key in ("segment", "channels", "z", "pages", "scenes")}
    result |= {key: config["preprocess"][key] for key in ("crop", "resize")}
    return result | {"max_megapixels": config["max_image_megapixels"]}


def stages(config, schema):
    """The stages with the settings that their rules give them, and what they read and write."""
    sections = {
        name: settings.active(config[name], schema["properties"][name])
        for name in ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")
    }
    sections["measure"] = settings.of_stage_measure(sections["measure"])
    again = {"view": view(config)}
    steps = ("combine", "denoise", "background", "log")
    first = {key: sections["preprocess"][key] for key in steps} | again
    frame = 1 if config["watershed"]["method"] == "opencv" else 0
    return [
        (preprocess, first, (), ("preprocessed", "channel")),
        (threshold, sections["threshold"] | {"diameter": "auto"}, ("preprocessed",), ("mask",)),
        (markers, sections["markers"], ("mask", "preprocessed"), ("markers", "distance")),
        (
            watershed,
            sections["watershed"] | again,
            ("markers", "mask", "preprocessed"),
            ("labels",),
        ),
        (
            measure,
            sections["measure"] | again | {"frame": frame, "csv": True, "objects": ["nuclei"]},
            ("labels",),
            ("csv",),
        ),
        (
            overlay,
            sections["overlay"] | again | {"lines": False, "cells_color": None},
            ("labels",),
            ("overlay",),
        ),
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
            "watershed": {
                "method": method,
                "min_area": 0,
                "refine": {"level": None},
                "debris": {"area": 0, "contrast": 0, "content": 0},
            },
            "measure": {
                "channels": "segmented",
                "properties": ["area", "intensity_mean", "intensity_sum"],
            },
        },
        schema,
    )
    for stage, options, inputs, outputs in stages(config, schema):
        snakemake = fake(tmp_path, root, stage.__name__, 1, inputs, outputs, options)
        results = run(snakemake, stage.compute)
        if stage is measure:
            names = [record["image"] for record in records(snakemake)]
            measured = {
                name: table["area"].to_pylist()
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
        "colours": "3 of the image's 3 channels hold something: set segment to the one with the "
        "nuclei (red, green, blue)",
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


def test_name_that_is_too_long_for_a_results_file_fails_alone(tmp_path):
    folder = tmp_path / "images/day 1"
    longest, long = "n" * 251, "ü" * 124 + "f"
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / f"{longest}.tif", np.full((4, 5), 7, np.uint16))
    tifffile.imwrite(folder / f"{long}.tif", np.zeros((2, 4, 5), np.uint16))
    images = [Image(name, (File(f"{name}.tif", 1, 1),), ("",) * 4) for name in (longest, long)]
    job = {"rule": "preprocess", "threads": 1, "inputs": (), "outputs": ("first",)}
    params = {"view": VIEW | {"pages": "time"}}
    snakemake = fake(tmp_path, tmp_path / "images", params=params, images=images, **job)
    run(snakemake, double)
    sentence = (
        "its name, with those of scene and time, has 252 bytes and its results can have 251: "
        "give the file a shorter one"
    )
    found = [(record["image"], record["message"]) for record in records(snakemake)]
    assert found == [(longest, ""), *((f"{long}_t{time}", sentence) for time in (0, 1))]
