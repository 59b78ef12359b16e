"""What long runs on Slurm need beside Snakemake's plugin for it (version 2.8)."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from nucleiflow.job import JobError

# Seconds between two questions to a controller that does not answer.
PAUSE = 5
COMMANDS = Path(__file__).resolve().parents[1] / "slurm"


def wait_to_submit() -> None:
    """From now on `sbatch` is the one that waits for a controller which cannot be reached."""
    os.environ["PATH"] = f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"


def outlast(executor) -> None:
    """Let the plugin wait for a controller that does not answer, and see what was cancelled.

    A job that `scancel` ended is `CANCELLED by 1000` in `sacct`, which the plugin takes to be
    running. Where a question about its jobs fails five times, it forgets them and waits for ever.
    Where it cannot learn MinJobAge, it asks `sacct` in the place of `squeue`, in vain where there
    is no accounting. A job that Slurm queues again, as its node failed, is NODE_FAIL in `sacct`
    until it starts: the plugin would submit it a second time.

    Parameters
    ----------
    executor : snakemake_executor_plugin_slurm.Executor
    """
    plugin = sys.modules[type(executor).__module__]
    ask, age = plugin.query_job_status, plugin.get_min_job_age()

    async def answer(command, logger):
        while True:
            states, seconds = await ask(command, logger)
            if states is not None:
                states = {job: state.split()[0] for job, state in states.items() if state}
                lost = [job for job, state in states.items() if state == "NODE_FAIL"]
                states |= started_again(lost)
            if states is not None or not executor.wait:
                return states, seconds
            await asyncio.sleep(PAUSE)

    plugin.query_job_status = answer
    if age is not None:
        plugin.get_min_job_age = lambda: age


def started_again(jobs: list[str]) -> dict[str, str]:
    """States of those jobs that lost their node and are in the queue again.

    All of them are taken to be where Slurm does not answer: the next question will tell.
    """
    if not jobs:
        return {}
    command = ["squeue", "--noheader", "--format=%A|%T"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        return dict.fromkeys(jobs, "PENDING")
    queue = dict(line.split("|") for line in asked.stdout.split())
    return {job: queue[job] for job in jobs if job in queue}


def end_earlier(record: Path, seconds: float = 120) -> list[str]:
    """End jobs that still wait or run for an earlier run with the same results.

    They would write the same files as new ones, and by the settings of then. To be called under
    Snakemake's lock: whoever held it before is gone.

    Parameters
    ----------
    record : Path
        The file with the name of all Slurm jobs of that run; there need be none.
    seconds : float
        How long to wait for Slurm and for the jobs' end.

    Returns
    -------
    list of str
        The ids of the jobs.

    Raises
    ------
    JobError
        Where they did not end in time, or Slurm does not answer.
    """
    if not record.exists() or not shutil.which("squeue"):
        return []
    name, ended = record.read_text().strip(), []
    deadline = time.monotonic() + seconds
    while True:
        command = ["squeue", "--noheader", "--format=%A", "--name", name]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        left = asked.stdout.split()
        if asked.returncode == 0 and not left:
            return ended
        if time.monotonic() > deadline:
            raise JobError(
                f"Slurm jobs of an earlier run may still write to these results "
                f"({', '.join(left) or asked.stderr.strip()}): end them with "
                f"`scancel --name {name}`, and start again"
            )
        if left:
            ended = sorted({*ended, *left}, key=int)
            subprocess.run(["scancel", *left], capture_output=True, check=False)
        time.sleep(1)
