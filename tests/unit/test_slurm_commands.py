"""nucleiflow.slurm and the sbatch of scripts/slurm, beside commands that answer as Slurm's do."""

import asyncio
import os
import subprocess
import sys
import types

import pytest

from nucleiflow import slurm
from nucleiflow.job import JobError


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A directory that is first in PATH; `commands(name, script)` puts a command there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)

    def add(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)

    return add


def executor(monkeypatch, answers, age=3600):
    """The plugin and its executor, with what it is answered to its questions about jobs."""
    plugin = types.ModuleType("plugin_of_slurm")
    ages = iter([age, None])

    async def ask(command, logger):
        return next(answers)

    class Executor:
        __module__ = plugin.__name__
        wait = True

    plugin.query_job_status, plugin.get_min_job_age = ask, lambda: next(ages)
    monkeypatch.setitem(sys.modules, plugin.__name__, plugin)
    monkeypatch.setattr(slurm, "PAUSE", 0)
    return plugin, Executor()


def test_questions_are_asked_until_slurm_answers(monkeypatch):
    answers = iter([(None, None)] * 20 + [({"7": "CANCELLED by 1000", "8": "RUNNING"}, 0.1)])
    plugin, one = executor(monkeypatch, answers)
    slurm.outlast(one)
    asked = asyncio.run(plugin.query_job_status("sacct", None))
    assert asked == ({"7": "CANCELLED", "8": "RUNNING"}, 0.1)
    assert plugin.get_min_job_age() == 3600


def test_job_that_slurm_starts_again_has_not_failed(commands, monkeypatch):
    lost = {"7": "NODE_FAIL", "8": "NODE_FAIL", "9": "COMPLETED"}
    plugin, one = executor(monkeypatch, iter([(dict(lost), 0.1)] * 2))
    slurm.outlast(one)
    commands("squeue", "echo '7|PENDING'; echo '12|RUNNING'")
    states, _ = asyncio.run(plugin.query_job_status("sacct", None))
    assert states == lost | {"7": "PENDING"}
    # Nobody knows yet.
    commands("squeue", "exit 1")
    states, _ = asyncio.run(plugin.query_job_status("sacct", None))
    assert states == {"7": "PENDING", "8": "PENDING", "9": "COMPLETED"}


def test_a_run_that_ends_asks_no_more(monkeypatch):
    plugin, one = executor(monkeypatch, iter([(None, None)]))
    slurm.outlast(one)
    one.wait = False
    assert asyncio.run(plugin.query_job_status("sacct", None)) == (None, None)


def test_age_that_slurm_does_not_tell_is_asked_again(monkeypatch):
    plugin, one = executor(monkeypatch, iter([]), age=None)
    before = plugin.get_min_job_age
    slurm.outlast(one)
    assert plugin.get_min_job_age is before


def test_jobs_of_an_earlier_run_are_ended(commands, tmp_path):
    (tmp_path / "jobs").write_text("12\n9\n")
    commands("squeue", '[[ $* == *"--name nucleiflow_1" ]] && cat jobs')
    commands("scancel", 'echo "$*" >> ended; : > jobs')
    (tmp_path / "slurm.txt").write_text("nucleiflow_1")
    assert slurm.end_earlier(tmp_path / "slurm.txt") == ["9", "12"]
    assert (tmp_path / "ended").read_text() == "12 9\n"
    assert slurm.end_earlier(tmp_path / "slurm.txt") == []
    assert slurm.end_earlier(tmp_path / "other.txt") == []


def test_jobs_that_do_not_end_are_named(commands, tmp_path):
    commands("squeue", "echo 12")
    commands("scancel", "exit 1")
    (tmp_path / "slurm.txt").write_text("nucleiflow_1")
    with pytest.raises(JobError, match=r"\(12\): end them with `scancel --name nucleiflow_1`"):
        slurm.end_earlier(tmp_path / "slurm.txt", 0)


def test_slurm_that_does_not_answer_is_no_sign_that_jobs_ended(commands, tmp_path):
    commands("squeue", "echo no controller >&2; exit 1")
    (tmp_path / "slurm.txt").write_text("nucleiflow_1")
    with pytest.raises(JobError, match=r"\(no controller\): end them"):
        slurm.end_earlier(tmp_path / "slurm.txt", 0)


UNREACHED = "Batch job submission failed: Unable to contact slurm controller (connect failure)"


@pytest.fixture
def submit(commands):
    """Call `sbatch` as the main process does."""
    slurm.wait_to_submit()

    def call(*arguments: str) -> subprocess.CompletedProcess:
        command = ["sbatch", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return call


def test_sbatch_waits_for_the_controller(commands, submit, tmp_path):
    commands("sleep", ":")
    commands(
        "sbatch",
        'echo "$*" >> asked; '
        f'if (( $(wc -l < asked) < 3 )); then echo "sbatch: error: {UNREACHED}" >&2; exit 1; fi; '
        "echo 5; echo a note >&2",
    )
    done = submit("--parsable", "--wrap=echo 'two  words'")
    assert (done.returncode, done.stdout, done.stderr) == (0, "5\n", "a note\n")
    assert (tmp_path / "asked").read_text() == "--parsable --wrap=echo 'two  words'\n" * 3


UNANSWERED = "Batch job submission failed: Socket timed out on send/recv operation"
SCRIPT = "run --attempt 1 --of 'two  words'"
SUBMISSION = ("--parsable", "--job-name", "nucleiflow_1", f"--wrap={SCRIPT}")
# The controller writes down the script of the job, and has no time to say so.
BUSY = f"""
echo x >> asked
if (( $(wc -l < asked) > 1 )); then echo 12; exit; fi
if [[ -e takes ]]; then
    echo "11|$(date +%FT%T)" >> queue
    printf '#!/bin/sh\\n# wrapped\\n\\n%s\\n' "${{4#--wrap=}}" > 11
fi
echo "sbatch: error: {UNANSWERED}" >&2; exit 1
"""


@pytest.mark.parametrize(("takes", "job", "times"), [(True, "11", 1), (False, "12", 2)])
def test_sbatch_that_gets_no_answer_submits_no_job_twice(
    commands, submit, tmp_path, takes, job, times
):
    commands("sleep", ":")
    commands("sbatch", BUSY)
    # Slurm answers the second question.
    commands(
        "squeue",
        "if [[ ! -e early ]]; then touch early; exit 1; fi; "
        '[[ $* == *"--name nucleiflow_1" ]] && cat queue',
    )
    commands("scontrol", '[[ "$1 $2 $4" == "write batch_script -" ]] && cat $3')
    # A job of long ago with the same script, and one of now with another.
    (tmp_path / "queue").write_text("9|2020-01-01T10:00:00\n10|9999-01-01T10:00:00\n")
    (tmp_path / "9").write_text(f"#!/bin/sh\n\n{SCRIPT}\n")
    (tmp_path / "10").write_text(f"#!/bin/sh\n\n{SCRIPT.replace('1', '2')}\n")
    if takes:
        (tmp_path / "takes").touch()
    done = submit(*SUBMISSION)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{job}\n", "")
    assert (tmp_path / "asked").read_text() == "x\n" * times


def test_sbatch_that_learns_nothing_submits_no_second_job(commands, submit, tmp_path, monkeypatch):
    # All but a second of the time for that is over.
    monkeypatch.setenv("SECONDS", "599")
    commands("sleep", ":")
    commands("sbatch", BUSY)
    commands("squeue", "exit 1")
    done = submit(*SUBMISSION)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"sbatch: error: {UNANSWERED}\n"
    assert (tmp_path / "asked").read_text() == "x\n"


def test_sbatch_refuses_what_slurm_refuses(commands, submit, tmp_path):
    refusal = "sbatch: error: Batch job submission failed: Invalid qos specification"
    commands("sbatch", f'echo x >> asked; echo "{refusal}" >&2; exit 3')
    done = submit("--parsable")
    assert (done.returncode, done.stdout, done.stderr) == (3, "", f"{refusal}\n")
    assert (tmp_path / "asked").read_text() == "x\n"


def test_sbatch_leaves_what_comes_through_a_pipe_alone(commands, submit, tmp_path):
    commands("sbatch", f'echo x >> asked; echo "{UNREACHED}" >&2; exit 1')
    assert submit("--parsable", "/dev/stdin").returncode == 1
    assert (tmp_path / "asked").read_text() == "x\n"
