"""What happens to runs on a cluster: the tables must be those of an undisturbed run."""

import signal

from cluster import NODES, wait_until
from cluster_runs import (
    BATCHES,
    CONFIG,
    SACCT,
    SECONDS,
    assert_done,
    assert_same,
    begun,
    command,
    computed,
    finish,
    main_process,
    megabytes,
    members,
    running,
    states,
    tables,
    terminal,
)


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
        # What starts its step while the controller is away fails, and is run again.
        wait_until(lambda: begun(clone) == 2, 60, "both jobs are at work")
        # Longer than questions are asked without an answer.
        with slurm.without_controller(60):
            pass
        assert_done(process.wait(SECONDS), clone)
    assert_same(tables(clone / "results"), few_tables)
    jobs = slurm.jobs_after(earlier)
    assert states(jobs) == {"COMPLETED": 2}
    assert set(computed(slurm, jobs).values()) == {1}
