"""What befalls a run: nothing is lost, and running again gives the tables of an undisturbed one."""

import json
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tifffile
from project import ROOT, STAGES, Project, nuclei

pytestmark = pytest.mark.long

# A batch a directory.
ONE = "batch_size=100"
FUTURE = time.time() + 20 * 365 * 86400


def write_images(folder: Path) -> None:
    """Five tiny images in two directories."""
    for number, count in enumerate((2, 3)):
        (folder / f"plate{number}").mkdir(parents=True)
        for index in range(count):
            image = nuclei(10 * number + index, 64)
            tifffile.imwrite(folder / f"plate{number}" / f"{index}.tif", image)


def said(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("nucleiflow: ")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Project, float]:
    """A complete run, and how many seconds it took. Not to be changed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_images(folder / "images")
    (folder / "run").mkdir()
    project = Project(ROOT, folder / "images", folder / "run")
    start = time.perf_counter()
    project.snakemake(ONE)
    return project, time.perf_counter() - start


@pytest.fixture
def again(undisturbed: tuple[Project, float], tmp_path: Path) -> Project:
    """The same images, and nothing run yet."""
    (tmp_path / "run").mkdir()
    return Project(ROOT, undisturbed[0].images, tmp_path / "run")


def mount(*arguments: str | Path) -> None:
    done = subprocess.run(
        ["mount", *map(str, arguments)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"mounting is refused here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount")
    mount("-t", "tmpfs", "-o", "size=8m", "none", path)
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(disk: Path, pages: int) -> Path:
    """Leave room for so many small files."""
    filler = disk / "filler"
    room = os.statvfs(disk)
    filler.write_bytes(bytes((room.f_bavail - pages) * room.f_bsize))
    return filler


def test_disk_that_is_full_while_each_stage_writes(
    undisturbed: tuple[Project, float], again: Project, disk: Path
):
    again.results.symlink_to(disk / "results")
    (disk / "results").mkdir()
    # There is room for the logs of both batches and a part of their images; of tables, for the time
    # at which the run began and for no byte more.
    room = dict.fromkeys(STAGES, 3)
    room |= dict.fromkeys(("image_table", "object_table"), 1)
    for rule, pages in room.items():
        before = {path.name: path.read_bytes() for path in disk.glob("results/*.csv")}
        (disk / "results" / "logs" / "start.txt").unlink(missing_ok=True)
        filler = fill(disk, pages)
        output = again.snakemake("--until", rule, ONE, success=False).stdout
        failed = [line for line in said(output) if line.startswith(f"nucleiflow: {rule}")]
        assert failed and all("failed: the disk is full" in line for line in failed), output
        made = disk / "results" / rule
        assert not made.is_dir() or len(list(made.iterdir())) < 2
        assert {path.name: path.read_bytes() for path in disk.glob("results/*.csv")} == before
        filler.unlink()
        again.snakemake("--until", rule, ONE)
    again.snakemake(ONE)
    assert again.table_bytes() == undisturbed[0].table_bytes()
    assert not list(disk.rglob("*.part"))


def test_results_that_become_read_only(
    undisturbed: tuple[Project, float], again: Project, disk: Path
):
    config = (ONE, f"results={disk}/results")
    again.snakemake("--until", "threshold", *config)
    mount("-o", "remount,ro", disk)
    output = again.snakemake(*config, success=False).stdout
    (sentence,) = (line for line in said(output) if line.startswith("nucleiflow: config: "))
    assert sentence == (
        f"nucleiflow: config: results is {disk}/results, but {disk}/results may not be written to"
    )
    assert "Traceback" not in output
    mount("-o", "remount,rw", disk)
    assert "preprocess" not in again.planned(*config)
    again.snakemake(*config)
    again.results.symlink_to(disk / "results")
    assert again.table_bytes() == undisturbed[0].table_bytes()


def test_images_from_the_future_on_a_read_only_disk_and_results_on_another(
    undisturbed: tuple[Project, float], again: Project, disk: Path
):
    again.images = disk / "images"
    write_images(again.images)
    moments = (FUTURE, 0, FUTURE, -9, 1)
    for path, moment in zip(sorted(again.images.rglob("*.tif")), moments, strict=True):
        os.utime(path, (moment, moment))
    mount("-o", "remount,ro", disk)
    again.snakemake(ONE)
    assert again.table_bytes() == undisturbed[0].table_bytes()
    assert again.planned(ONE) == {}


def test_files_that_change_or_go_between_planning_and_reading(
    undisturbed: tuple[Project, float], again: Project, tmp_path: Path
):
    again.images = tmp_path / "images"
    write_images(again.images)
    again.snakemake("--until", "preprocess", ONE)
    (batch,) = (path.stem for path in again.results.glob("batches/plate1*.json"))
    folder = again.images / "plate1"
    tifffile.imwrite(folder / "0.tif", nuclei(99, 80))
    (folder / "1.tif").unlink()
    # As a job that waited in the queue of a cluster, with what the main process wrote down before.
    job = ["--mode", "subprocess", "--target-jobs", f"preprocess:batch={batch}"]
    job += ["--allowed-rules", "preprocess", "--force", "--nolock", "--quiet", "all"]
    subprocess.run(again.command(*job, ONE), check=True, capture_output=True)
    log = (again.results / "logs" / "preprocess" / f"{batch}.log").read_text()
    changed = "the file was changed while the run went on, run again"
    assert f"preprocess failed for {folder}/0.tif: {changed}" in log
    gone = "the file is not there any more, or is a link to nothing"
    assert f"preprocess failed for {folder}/1.tif: {gone}" in log
    assert " 1 failed" in log and "1 done" in log
    again.snakemake(ONE)
    rows = [(row["image"], row["height"], row["status"]) for row in again.rows("images.csv")]
    assert rows == [
        *(("0", "64", "ok"), ("1", "64", "ok")),
        *(("0", "80", "ok"), ("2", "64", "ok")),
    ]
    # What stayed as it was, to the last byte.
    changed = (b'"plate1","%s","0"' % batch.encode(), b'"plate1","%s","1"' % batch.encode())
    tables = (again.table_bytes(), undisturbed[0].table_bytes())
    kept = [[line for line in table["objects"] if not line.startswith(changed)] for table in tables]
    assert kept[0] == kept[1]
    assert len(kept[0]) > 8


def test_runs_that_are_killed_at_random_moments(undisturbed: tuple[Project, float], again: Project):
    project, seconds = undisturbed
    moments = random.Random(7)
    killed = [again.kill_after(moments.uniform(0.3, 1) * seconds, ONE)]
    for _ in range(2):
        again.snakemake("--unlock", ONE)
        killed.append(again.kill_after(moments.uniform(0.2, 0.7) * seconds, ONE))
    assert killed[0]
    again.snakemake("--unlock", ONE)
    again.snakemake(ONE)
    assert again.table_bytes() == project.table_bytes()
    assert not list(again.results.rglob("*.part"))
    assert again.planned(ONE) == {}


def test_ten_thousand_images_in_one_directory(fresh: Project):
    folder = fresh.images / "plate"
    folder.mkdir()
    tifffile.imwrite(folder / "00000.tif", nuclei(1, 64))
    for index in range(1, 10_000):
        os.link(folder / "00000.tif", folder / f"{index:05}.tif")
    output = fresh.snakemake("--dry-run", ONE).stdout
    (line,) = said(output)
    assert "10,000 images in 1 directory" in line
    batches = set(re.findall(r"results/measure/(plate\.[A-Za-z0-9_.-]+)", output))
    assert f" {len(batches)} batches" in line
    first = min(batches)
    fresh.snakemake(f"results/measure/{first}", ONE)
    assert [path.name for path in (fresh.results / "measure").iterdir()] == [first]
    plan = json.loads((fresh.results / "batches" / f"{first}.json").read_text())
    tables = sorted(path.stem for path in (fresh.results / "measure" / first).glob("*.csv"))
    assert tables == [image[0] for image in plan["images"]]
