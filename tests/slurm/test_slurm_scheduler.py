"""What Slurm does to jobs of a run, and jobs of several batches: the tables stay the same."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

from cluster import MARK, ROOT, wait_until
from cluster_runs import (
    SACCT,
    SECONDS,
    STAGES,
    assert_done,
    assert_same,
    begun,
    command,
    computed,
    finish,
    in_queue,
    main_process,
    megabytes,
    members,
    minutes,
    requested,
    running,
    states,
    tables,
    without_batches,
)

# Slurm is asked about its jobs more often than the profile says, so that tests take less time.
OFTEN = [*SACCT, "--slurm-init-seconds-before-status-checks", "5"]
FAILED = "sbatch: error: Batch job submission failed:"
UNANSWERED = f"{FAILED} Socket timed out on send/recv operation"
LIMIT = f"{FAILED} Job violates accounting/QOS policy (job submit limit)"


def freeze(slurm, job: dict[str, str]) -> bool:
    """Stop all processes of a job, as a disk that does not answer does; whether there are any."""
    mine = {f"{MARK}={slurm.folder}".encode(), f"SLURM_JOB_ID={job['JobId']}".encode()}
    found = False
    for process in slurm.processes():
        with contextlib.suppress(OSError):
            environment = Path("/proc", str(process), "environ").read_bytes().split(b"\0")
            if mine <= set(environment):
                os.kill(process, signal.SIGSTOP)
                found = True
    return found


def starts(slurm, job: dict[str, str]) -> bool:
    """Whether a job that Slurm queued again runs, which is asked for at once: Slurm would wait."""
    (now,) = (one for one in slurm.jobs() if one["JobId"] == job["JobId"])
    if now["JobState"] == "PENDING":
        slurm("scontrol", "update", f"JobId={job['JobId']}", "StartTime=now")
    return now["Restarts"] == "1" and now["JobState"] in ("RUNNING", "COMPLETED")


def test_job_beyond_its_time_is_run_again_with_more(accounting, clone, few, few_tables):
    slurm = accounting
    earlier = slurm.jobs()
    with main_process(slurm, clone, "tables", "--config", *few, options=OFTEN) as process:
        victim = wait_until(lambda: running(slurm, earlier), 120, "a job runs")[0]
        wait_until(lambda: freeze(slurm, victim), 60, "its processes are stopped")
        # Not now, which is in the past where a second ends before the controller reads it.
        slurm("scontrol", "update", f"JobId={victim['JobId']}", "EndTime=now+5")
        assert_done(process.wait(SECONDS), clone)
    assert_same(tables(clone / "results"), few_tables)
    jobs = slurm.jobs_after(earlier)
    assert states(jobs) == {"COMPLETED": 2, "TIMEOUT": 1}
    (again,) = (job for job in jobs if members(slurm, job)[2] == 2)
    assert members(slurm, again)[0] == members(slurm, victim)[0]
    assert minutes(again["TimeLimit"]) == 2 * minutes(victim["TimeLimit"])


def test_node_goes_down_under_its_jobs(accounting, clone, few, few_tables):
    slurm = accounting
    earlier = slurm.jobs()

    def both():
        found = running(slurm, earlier)
        return found if len(found) == 2 else None

    with main_process(slurm, clone, "tables", "--config", *few, options=OFTEN) as process:
        lost, moved = wait_until(both, 120, "both jobs run")
        nodes = {lost["NodeList"], moved["NodeList"]}
        # As on clusters that do not start jobs again by themselves.
        slurm("scontrol", "update", f"JobId={lost['JobId']}", "Requeue=0")
        try:
            # DRAIN, as they answer still, and would be taken up again at once.
            for what in ("DRAIN", "DOWN"):
                names = f"NodeName={','.join(nodes)}"
                slurm("scontrol", "update", names, f"State={what}", "Reason=test")
            wait_until(lambda: starts(slurm, moved), 60, "Slurm starts it again")
            assert_done(process.wait(SECONDS), clone)
        finally:
            slurm.resume_nodes()
    assert_same(tables(clone / "results"), few_tables)
    jobs = {job["JobId"]: job for job in slurm.jobs_after(earlier)}
    assert states(list(jobs.values())) == {"COMPLETED": 2, "NODE_FAIL": 1}
    # Slurm itself starts one of them on another node, the run the other one.
    assert jobs[moved["JobId"]]["JobState"] == "COMPLETED"
    assert jobs[moved["JobId"]]["Restarts"] == "1"
    assert jobs[lost["JobId"]]["JobState"] == "NODE_FAIL"
    (again,) = (job for job in jobs.values() if members(slurm, job)[2] == 2)
    assert members(slurm, again)[0] == members(slurm, lost)[0]
    assert not nodes & {jobs[moved["JobId"]]["NodeList"], again["NodeList"]}


def test_controller_is_away_for_a_minute(accounting, clone, few, few_tables, tmp_path):
    slurm, commands = accounting, tmp_path / "commands"
    # The second submission is held until the controller is away.
    command(
        commands,
        "sbatch",
        f"exec 9>>{tmp_path}/calls; flock 9; echo x >&9\n"
        f"if (($(wc -l <{tmp_path}/calls) == 2)); then\n"
        f"    while [[ ! -e {tmp_path}/away ]]; do sleep 0.2; done\n"
        "fi\n"
        "exec 9>&-",
    )
    earlier = slurm.jobs()
    run = main_process(slurm, clone, "tables", "--config", *few, options=OFTEN, commands=commands)
    with run as process:
        wait_until(lambda: begun(clone), 120, "a job is at work")
        with slurm.without_controller(60):
            (tmp_path / "away").touch()
        assert_done(process.wait(SECONDS), clone)
    assert_same(tables(clone / "results"), few_tables)
    jobs = slurm.jobs_after(earlier)
    assert states(jobs) == {"COMPLETED": 2}
    assert set(computed(slurm, jobs).values()) == {1}
    # Neither the job nor the submission failed.
    assert {members(slurm, job)[2] for job in jobs} == {1}
    assert len((tmp_path / "calls").read_text().split()) > 2


def test_sbatch_fails_now_and_then_and_slurm_is_slow(accounting, clone, few, few_tables, tmp_path):
    slurm, commands = accounting, tmp_path / "commands"
    # The first submission reaches the controller, its answer comes too late. The second does not
    # reach it, the third is refused.
    command(
        commands,
        "sbatch",
        f"exec 9>>{tmp_path}/calls; flock 9; echo x >&9; sleep 2\n"
        f"case $(wc -l <{tmp_path}/calls) in\n"
        f'    1) sbatch "$@" >/dev/null 9>&-; echo "{UNANSWERED}" >&2; exit 1 ;;\n'
        f'    2) echo "{UNANSWERED}" >&2; exit 1 ;;\n'
        f'    3) echo "{LIMIT}" >&2; exit 1 ;;\n'
        "esac\n"
        "exec 9>&-",
    )
    # Every question takes long, and every third has no answer.
    for name, refusal in (
        ("sacct", "sacct: error: slurmdbd: Connection timed out"),
        ("squeue", "slurm_load_jobs error: Socket timed out on send/recv operation"),
    ):
        command(
            commands,
            name,
            f"echo x >>{tmp_path}/{name}; sleep 3\n"
            f"if (($(wc -l <{tmp_path}/{name}) % 3 == 0)); then\n"
            f"    echo '{refusal}' >&2; exit 1\n"
            "fi",
        )
    earlier = slurm.jobs()
    config = ["tables", "--config", *few]
    assert_done(finish(slurm, clone, *config, options=OFTEN, commands=commands), clone)
    assert_same(tables(clone / "results"), few_tables)
    jobs = slurm.jobs_after(earlier)
    assert states(jobs) == {"COMPLETED": 2}
    assert set(computed(slurm, jobs).values()) == {1}
    # Only what Slurm itself refused costs an attempt.
    assert sorted(members(slurm, job)[2] for job in jobs) == [1, 2]
    assert len((tmp_path / "calls").read_text().split()) == 4


def test_no_more_jobs_in_the_queue_than_asked_for(accounting, clone, few, few_tables):
    slurm, most = accounting, 0
    earlier = slurm.jobs()
    # A batch and a job for each of the eight images.
    config = ["tables", "--config", *few, "batch_size=1"]
    with main_process(slurm, clone, "--jobs", "3", *config, options=OFTEN) as process:
        while process.poll() is None:
            most = max(most, in_queue(slurm))
            time.sleep(0.5)
        assert_done(process.returncode, clone)
    assert most == 3
    assert_same(without_batches(tables(clone / "results")), without_batches(few_tables))
    # On a machine with too much to do, a job may fail to start and be submitted again.
    done = [job for job in slurm.jobs_after(earlier) if job["JobState"] == "COMPLETED"]
    assert len(done) == 8
    assert set(computed(slurm, done).values()) == {1}


def test_several_batches_share_a_job(accounting, clone, few, few_tables):
    slurm = accounting
    earlier = slurm.jobs()
    example = re.search(
        r"\n    snakemake --profile slurm (--jobs .*?) --config images=/path/to/images\n",
        (ROOT / "README.md").read_text(),
        re.DOTALL,
    )[1]
    together = example.replace("\\\n", " ").split()
    config = ["--config", *few, "batch_size=1"]
    assert_done(finish(slurm, clone, "tables", *together, *config, options=OFTEN), clone)
    assert_same(without_batches(tables(clone / "results")), without_batches(few_tables))
    jobs = slurm.jobs_after(earlier)
    assert states(jobs) == {"COMPLETED": 2}
    assert set(computed(slurm, jobs).values()) == {1}
    for job in jobs:
        batches, rules, _ = members(slurm, job)
        assert len(batches) == 4
        assert rules == STAGES
        # CPUs and memory of the batches that run side by side, and the time of one of them.
        one = [requested(clone, batch) for batch in batches]
        assert job["NumCPUs"] == "4"
        assert megabytes(job["MinMemoryNode"]) == max(
            sum(batch[stage]["mem_mb"] for batch in one) for stage in STAGES
        )
        assert minutes(job["TimeLimit"]) == sum(one[0][stage]["runtime"] for stage in STAGES)
