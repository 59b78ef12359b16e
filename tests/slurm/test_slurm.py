"""Runs on a real Slurm, whose tables must be those of a run on this machine alone."""

import shutil
import signal

import pandas as pd
import pytest
from cluster import CPUS, wait_until
from cluster_runs import (
    BATCHES,
    CONFIG,
    SECONDS,
    STAGES,
    assert_done,
    assert_same,
    computed,
    finish,
    main_process,
    megabytes,
    members,
    minutes,
    requested,
    states,
    tables,
    terminal,
)


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
        assert minutes(job["TimeLimit"]) == sum(stage["runtime"] for stage in stages.values()) == 6
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
        return (
            "Finished jobid: " in terminal(clone) and states(slurm.jobs_after(earlier))["RUNNING"]
        )

    with main_process(slurm, clone, *config, "--jobs", "3") as process:
        wait_until(midway, 120, "a job has ended and others run")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (clone / "results" / "objects.csv").exists()
    finished = [job for job in slurm.jobs_after(earlier) if job["JobState"] == "COMPLETED"]
    assert finished

    # Snakemake says what to type. The jobs of the killed run still run or wait meanwhile.
    assert finish(slurm, clone, *config) == 1
    assert "--unlock" in terminal(clone)
    assert_done(finish(slurm, clone, *config, "--unlock"), clone)
    assert_done(finish(slurm, clone, *config), clone)
    assert_same(tables(clone / "results"), local)
    leftovers = [path for path in (clone / "results").rglob(".*") if path.name.endswith(".part")]
    assert leftovers == []
    # What had ended is computed no second time, but for what the killed run had not heard of.
    again = computed(slurm, slurm.jobs_after(earlier))
    assert sum(again[batch] == 1 for batch in computed(slurm, finished)) >= 1
