"""What happens to runs on a cluster: the tables must be those of an undisturbed run."""

import contextlib
import os
import signal
import time
from collections import Counter
from pathlib import Path

from cluster import MARK, NODES, wait_until
from cluster_runs import (
    BATCHES,
    CONFIG,
    SACCT,
    SECONDS,
    assert_done,
    assert_same,
    computed,
    finish,
    main_process,
    megabytes,
    members,
    minutes,
    states,
    tables,
    terminal,
)


def command(folder: Path, name: str, text: str) -> None:
    """Put a command before Slurm's own, which it ends with unless it exits."""
    folder.mkdir(exist_ok=True)
    others = f'PATH="${{PATH/"{folder}":/}}"'
    path = folder / name
    path.write_text(f'#!/bin/bash\n{others}\n{text}\nexec {name} "$@"\n')
    path.chmod(0o755)


def running(slurm, earlier: list[dict[str, str]]) -> list[dict[str, str]]:
    return [job for job in slurm.jobs_after(earlier) if job["JobState"] == "RUNNING"]


def freeze(slurm, job: dict[str, str]) -> None:
    """Stop all processes of a job, as a disk that does not answer does."""
    mine = {f"{MARK}={slurm.folder}".encode(), f"SLURM_JOB_ID={job['JobId']}".encode()}
    for process in slurm.processes():
        with contextlib.suppress(OSError):
            environment = Path("/proc", str(process), "environ").read_bytes().split(b"\0")
            if mine <= set(environment):
                os.kill(process, signal.SIGSTOP)


def test_slurm_ends_jobs_and_its_controller_is_away(accounting, clone, images, local, tmp_path):
    slurm, commands = accounting, tmp_path / "commands"
    # The second and fourth submission are refused.
    command(
        commands,
        "sbatch",
        f"exec 9>>{tmp_path}/calls; flock 9; echo x >&9; calls=$(wc -l <{tmp_path}/calls)\n"
        "exec 9>&-\n"
        "if ((calls == 2 || calls == 4)); then\n"
        "    echo 'sbatch: error: Batch job submission failed: try again later' >&2; exit 1\n"
        "fi",
    )
    # Every question takes long, and every third has no answer.
    command(
        commands,
        "sacct",
        f"echo x >>{tmp_path}/questions; sleep 3\n"
        f"if (($(wc -l <{tmp_path}/questions) % 3 == 0)); then\n"
        "    echo 'sacct: error: slurmdbd: Connection timed out' >&2; exit 1\n"
        "fi",
    )
    config = ["tables", "--config", f"images={images}", *CONFIG]
    earlier = slurm.jobs()

    def busy():
        """Two jobs on n1, and two elsewhere."""
        found = running(slurm, earlier)
        places = [job["NodeList"] for job in found]
        return found if places.count("n1") == 2 and len(places) >= 4 else None

    with main_process(slurm, clone, *config, options=SACCT, commands=commands) as process:
        jobs = wait_until(busy, 120, "jobs run on several nodes")
        lost, moved = (job for job in jobs if job["NodeList"] == "n1")
        cancelled, frozen = [job for job in jobs if job["NodeList"] != "n1"][:2]
        freeze(slurm, frozen)
        slurm("scontrol", "update", f"JobId={frozen['JobId']}", "TimeLimit=1")
        slurm("scancel", cancelled["JobId"])
        slurm("scontrol", "update", f"JobId={lost['JobId']}", "Requeue=0")
        slurm("scontrol", "update", "NodeName=n1", "State=DOWN", "Reason=test")
        slurm.stop_controller()
        time.sleep(60)
        slurm.start_controller()
        # A node that speaks again to a controller is taken up again (ReturnToService=2).
        slurm.wait_until_answers()
        assert_done(process.wait(SECONDS), clone)
    assert_same(tables(clone / "results"), local)

    jobs = {job["JobId"]: job for job in slurm.jobs_after(earlier)}
    ended = {
        cancelled["JobId"]: "CANCELLED",
        frozen["JobId"]: "TIMEOUT",
        lost["JobId"]: "NODE_FAIL",
    }
    assert {name: jobs[name]["JobState"] for name in ended} == ended
    # What starts a step while the controller is away cannot, and is run again as well.
    failed = [job for job in jobs.values() if job["JobState"] == "FAILED"]
    for job in failed:
        assert "Unable to contact slurm controller" in Path(job["StdOut"]).read_text()
    expected = Counter(ended.values()) + Counter(COMPLETED=BATCHES, FAILED=len(failed))
    assert states(list(jobs.values())) == expected
    # Two were refused at first.
    attempts = [members(slurm, job)[::2] for job in jobs.values()]
    first = {batch for batches, attempt in attempts if attempt == 1 for batch in batches}
    assert len(first) == BATCHES - 2
    # Slurm itself starts again what may be queued again.
    assert jobs[moved["JobId"]]["JobState"] == "COMPLETED"
    assert jobs[moved["JobId"]]["Restarts"] == "1"
    assert jobs[moved["JobId"]]["NodeList"] in NODES
    # The others come again with more time.
    for name in ended:
        batches, _, attempt = members(slurm, jobs[name])
        again = [
            job
            for job in jobs.values()
            if job["JobState"] == "COMPLETED" and members(slurm, job)[0] == batches
        ]
        assert len(again) == 1
        assert members(slurm, again[0])[2] == attempt + 1
        assert minutes(again[0]["TimeLimit"]) == 30 * (attempt + 1)


def test_job_beyond_its_memory_is_run_again_with_more(accounting, clone, few, few_tables):
    slurm = accounting
    stages = ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")
    # Too little for a start, as Snakemake itself needs more.
    little = [f"{stage}:mem_mb=150 * attempt ** 3" for stage in stages]
    earlier = slurm.jobs()
    status = finish(
        slurm, clone, "tables", "--set-resources", *little, "--config", *few, options=SACCT
    )
    assert_done(status, clone)
    assert_same(tables(clone / "results"), few_tables)
    jobs = slurm.jobs_after(earlier)
    first, second = ([job for job in jobs if members(slurm, job)[2] == i] for i in (1, 2))
    assert len(jobs) == len(first) + len(second) == 4
    assert {megabytes(job["MinMemoryNode"]) for job in first} == {150}
    assert states(second) == {"COMPLETED": 2}
    assert {megabytes(job["MinMemoryNode"]) for job in second} == {1200}
    # By the limit, and by nothing else.
    for job in first:
        assert job["JobState"] != "COMPLETED"
        logs = "".join((slurm.folder / f"{node}.log").read_text() for node in NODES)
        assert f"StepId={job['JobId']}" in logs
        assert "exceeded memory limit" in logs


def test_run_that_is_asked_to_end_goes_on_where_it_was(accounting, clone, images, local):
    slurm = accounting
    config = ["tables", "--config", f"images={images}", *CONFIG]
    earlier = slurm.jobs()
    with main_process(slurm, clone, *config, "--jobs", "2", options=SACCT) as process:
        wait_until(lambda: len(running(slurm, earlier)) == 2, 120, "two jobs run")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 1
    # It waits for what runs, and begins nothing.
    assert states(slurm.jobs_after(earlier)) == {"COMPLETED": 2}
    assert not (clone / "results" / "objects.csv").exists()
    assert_done(finish(slurm, clone, *config, options=SACCT), clone)
    assert_same(tables(clone / "results"), local)
    jobs = slurm.jobs_after(earlier)
    assert states(jobs) == {"COMPLETED": BATCHES}
    assert set(computed(slurm, jobs).values()) == {1}


def test_jobs_of_a_killed_run_do_not_outlive_it(accounting, clone, few, few_tables):
    """They would overwrite tables, by the settings of then, whenever Slurm starts them."""
    slurm = accounting
    earlier = slurm.jobs()
    old = ["tables", "--config", *few, "threshold={method: triangle}"]
    slurm("scontrol", "update", "PartitionName=test", "State=DOWN")
    with main_process(slurm, clone, *old, options=SACCT) as process:
        wait_until(lambda: len(slurm.jobs_after(earlier)) == 2, 120, "two jobs wait")
        held, begun = slurm.jobs_after(earlier)
        slurm("scontrol", "hold", held["JobId"])
        slurm("scontrol", "update", "PartitionName=test", "State=UP")
        wait_until(lambda: running(slurm, earlier), 60, "one of them runs")
        process.send_signal(signal.SIGKILL)
        process.wait()
    new = ["tables", "--config", *few]
    assert_done(finish(slurm, clone, *new, "--unlock", options=SACCT), clone)
    assert_done(finish(slurm, clone, *new, options=SACCT), clone)
    jobs = {job["JobId"]: job["JobState"] for job in slurm.jobs_after(earlier)}
    assert jobs.pop(held["JobId"]) == jobs.pop(begun["JobId"]) == "CANCELLED"
    assert list(jobs.values()) == ["COMPLETED"] * 2
    ids = f"{held['JobId']}, {begun['JobId']}"
    assert f"ended Slurm jobs of an earlier run: {ids}" in terminal(clone)
    assert_same(tables(clone / "results"), few_tables)


def test_second_person_is_sent_away_and_squeue_has_no_answer(
    slurm, clone, few, few_tables, tmp_path
):
    commands = tmp_path / "commands"
    # As where there is no accounting.
    command(commands, "sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    config = ["tables", "--config", *few]
    earlier = slurm.jobs()
    with main_process(slurm, clone, *config, commands=commands) as process:
        wait_until(lambda: running(slurm, earlier), 120, "a job runs")
        before = terminal(clone)
        assert finish(slurm, clone, *config) == 1
        second = terminal(clone).removeprefix(before)
        assert "Directory cannot be locked" in second
        assert "--unlock" in second
        # Longer than questions are asked without an answer.
        slurm.stop_controller()
        time.sleep(45)
        slurm.start_controller()
        slurm.wait_until_answers()
        assert_done(process.wait(SECONDS), clone)
    assert_same(tables(clone / "results"), few_tables)
    jobs = slurm.jobs_after(earlier)
    assert states(jobs) == {"COMPLETED": 2}
    assert set(computed(slurm, jobs).values()) == {1}
