"""Runs on a real Slurm, whose tables must be those of a run on this machine alone."""

import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from cluster import BIN, CPUS, wait_until
from pandas.testing import assert_frame_equal

STAGES = {"preprocess", "threshold", "markers", "watershed", "measure", "overlay"}
BATCHES = 6
CONFIG = ["batch_size=4"]
# There is no accounting here. Nothing else is added to what users type.
SLURM = ["--profile", "slurm", "--slurm-status-command", "squeue", "--slurm-no-account"]
SECONDS = 300


@pytest.fixture(scope="session")
def local(slurm, tmp_path_factory, source, images) -> dict[str, pd.DataFrame]:
    """The tables of a run without Slurm."""
    run = tmp_path_factory.mktemp("local")
    command = ["--snakefile", source / "Snakefile", "--config", f"images={images}"]
    done = subprocess.run(
        [BIN / "snakemake", "--cores", "all", *command, *CONFIG],
        cwd=run,
        env=slurm.environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = tables(run / "results")
    assert len(found["images.csv"]) == 24
    assert found["images.csv"]["batch"].nunique() == BATCHES
    assert len(found["objects.csv"]) > 100
    return found


def tables(results: Path) -> dict[str, pd.DataFrame]:
    """Every table of a run by its path, but for how long stages took."""
    found = {"objects.parquet": pd.read_parquet(results / "objects.parquet")}
    for path in ("objects.csv", "images.csv", *sorted(results.glob("measure/*/*.csv"))):
        name = str(path if isinstance(path, str) else path.relative_to(results))
        found[name] = pd.read_csv(results / path, keep_default_na=False)
    times = [name for name in found["images.csv"] if name.startswith("seconds_")]
    assert len(times) == len(STAGES)
    found["images.csv"] = found["images.csv"].drop(columns=times)
    return found


def assert_same(found: dict[str, pd.DataFrame], expected: dict[str, pd.DataFrame]) -> None:
    assert found.keys() == expected.keys()
    for name, table in expected.items():
        assert_frame_equal(found[name], table, check_exact=True, obj=name)


@contextmanager
def main_process(slurm, clone: Path, *arguments) -> Iterator[subprocess.Popen]:
    """`snakemake --profile slurm` in a clone; ends with the block, with what it prints on disk."""
    with (clone / "terminal.txt").open("a") as terminal:
        process = subprocess.Popen(
            [BIN / "snakemake", *SLURM, *map(str, arguments)],
            cwd=clone,
            env=slurm.environment(),
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def finish(slurm, clone: Path, *arguments) -> int:
    """The exit status of a run that is left alone."""
    with main_process(slurm, clone, *arguments) as process:
        return process.wait(SECONDS)


def terminal(clone: Path) -> str:
    return (clone / "terminal.txt").read_text()


def assert_done(status: int, clone: Path) -> None:
    assert status == 0, terminal(clone)[-10000:]


def states(jobs: list[dict[str, str]]) -> Counter:
    return Counter(job["JobState"] for job in jobs)


def members(slurm, job: dict[str, str]) -> tuple[set[str], set[str], int]:
    """Batches and rules that a Slurm job was submitted for, and the attempt."""
    script = slurm("scontrol", "write", "batch_script", job["JobId"], "-")
    targets = re.search(r"--target-jobs (.*?) --", script)[1].replace("'", "").split()
    rules, batches = zip(*(target.split(":batch=") for target in targets), strict=True)
    return set(batches), set(rules), int(re.search(r"--attempt '?(\d+)", script)[1])


def requested(clone: Path, batch: str) -> dict[str, dict[str, int]]:
    """Threads, memory and minutes of each rule of a batch, as Snakemake printed them."""
    found = {}
    for block in re.split(r"\n\s+rule ", terminal(clone))[1:]:
        if f"wildcards: batch={batch}\n" not in block:
            continue
        values = {
            name: re.search(rf"\b{name}[:=] ?(\d+)", block)
            for name in ("threads", "mem_mb", "runtime")
        }
        found.setdefault(
            block.split(":")[0],
            {name: int(value[1]) if value else 1 for name, value in values.items()},
        )
    return found


def minutes(limit: str) -> int:
    """Of a time as Slurm writes it, `HH:MM:SS`."""
    hours, rest, _ = limit.split(":")
    return 60 * int(hours) + int(rest)


def megabytes(memory: str) -> int:
    return int(memory.removesuffix("M"))


def test_run_gives_the_tables_of_a_local_run(slurm, clone, images, local):
    earlier = slurm.jobs()
    assert_done(finish(slurm, clone, "--config", f"images={images}", *CONFIG), clone)
    assert_same(tables(clone / "results"), local)

    # One batch is one Slurm job, with all stages in it.
    jobs = slurm.jobs_after(earlier)
    assert states(jobs) == {"COMPLETED": BATCHES}
    seen = set()
    for job in jobs:
        batches, rules, attempt = members(slurm, job)
        assert len(batches) == 1
        assert rules == STAGES
        assert attempt == 1
        seen |= batches

        # The job asks for the largest stage's memory and CPUs, and for the time of all of them.
        stages = requested(clone, *batches)
        assert stages.keys() == STAGES
        assert megabytes(job["MinMemoryNode"]) == max(stage["mem_mb"] for stage in stages.values())
        assert minutes(job["TimeLimit"]) == sum(stage["runtime"] for stage in stages.values()) == 30
        assert job["NumCPUs"] == "4"
    assert seen == set(local["images.csv"]["batch"])


def test_more_threads_than_this_machine_has_cores(slurm, clone, images):
    earlier = slurm.jobs()
    one = f"images={images / 'day 2'}"
    threads = ["--set-threads", f"preprocess={CPUS}", "threshold=3"]
    until = ["--until", "preprocess", "threshold"]
    status = finish(slurm, clone, *threads, *until, "--config", one, "batch_size=1000")
    assert_done(status, clone)
    (job,) = slurm.jobs_after(earlier)
    (batch,), rules, _ = members(slurm, job)
    assert rules == {"preprocess", "threshold"}
    assert job["NumCPUs"] == str(CPUS)
    stages = requested(clone, batch)
    assert stages["preprocess"]["threads"] == CPUS
    assert stages["threshold"]["threads"] == 3
    assert stages["preprocess"]["mem_mb"] > stages["threshold"]["mem_mb"]
    assert megabytes(job["MinMemoryNode"]) == stages["preprocess"]["mem_mb"]


def test_failed_image_is_named_on_the_terminal_as_on_this_machine(slurm, clone, images, tmp_path):
    broken = shutil.copytree(images / "day 2", tmp_path / "images") / "broken.tif"
    broken.write_bytes(b"")
    # The stages that know of it leave nothing but their logs.
    config = [f"images={tmp_path / 'images'}", "batch_size=1000", "max_failed=0.2", "keep=[]"]
    assert_done(finish(slurm, clone, "--config", *config), clone)
    output = terminal(clone)
    assert not (clone / "results" / "preprocess").exists()
    sentence = f"preprocess failed for {broken}: the file is empty (0 bytes), copy it again"
    assert output.count(sentence) == 1
    assert f"\nnucleiflow: {sentence}\n" in output
    objects = len(pd.read_csv(clone / "results" / "objects.csv"))
    # The image without any nucleus is flagged.
    assert output.splitlines()[-3:-1] == [
        "nucleiflow: 8 of 9 images done, 1 failed, 1 flagged: results/images.csv",
        f"nucleiflow: {objects:,} objects: results/objects.csv",
    ]
    assert "nucleiflow: report: snakemake --report results/report.html --profile slurm" in output


def test_job_that_dies_is_run_again(slurm, clone, images, local):
    earlier = slurm.jobs()

    def running():
        jobs = slurm.jobs_after(earlier)
        ended = states(jobs)["COMPLETED"]
        return [job for job in jobs if job["JobState"] == "RUNNING"] if ended else []

    with main_process(slurm, clone, "--config", f"images={images}", *CONFIG) as process:
        victim = wait_until(running, 120, "a job has ended and others run")[0]
        slurm("scancel", victim["JobId"])
        assert_done(process.wait(SECONDS), clone)
    assert_same(tables(clone / "results"), local)

    jobs = slurm.jobs_after(earlier)
    assert states(jobs) == {"COMPLETED": BATCHES, "CANCELLED": 1}
    again = [job for job in jobs if members(slurm, job)[2] == 2]
    assert len(again) == 1
    assert members(slurm, again[0])[0] == members(slurm, victim)[0]
    # With more memory and time.
    first, second = (megabytes(job["MinMemoryNode"]) for job in (victim, again[0]))
    assert second == pytest.approx(2 * first, abs=1)
    assert minutes(again[0]["TimeLimit"]) == 2 * minutes(victim["TimeLimit"])


def test_run_that_is_killed_goes_on_when_started_again(slurm, clone, images, local):
    config = ["--config", f"images={images}", *CONFIG]
    earlier = slurm.jobs()

    def midway():
        found = states(slurm.jobs_after(earlier))
        return found["COMPLETED"] and found["RUNNING"]

    with main_process(slurm, clone, *config) as process:
        wait_until(midway, 120, "a job has ended and others run")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (clone / "results" / "objects.csv").exists()

    # Snakemake says what to type. The jobs of the killed run still run or wait meanwhile.
    assert finish(slurm, clone, *config) == 1
    assert "--unlock" in terminal(clone)
    assert_done(finish(slurm, clone, *config, "--unlock"), clone)
    assert_done(finish(slurm, clone, *config), clone)
    assert_same(tables(clone / "results"), local)
    leftovers = [path for path in (clone / "results").rglob(".*") if path.name.endswith(".part")]
    assert leftovers == []
