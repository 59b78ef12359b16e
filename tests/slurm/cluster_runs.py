"""Runs of the workflow on the cluster, and what is known of them afterwards."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from cluster import BIN
from pandas.testing import assert_frame_equal

STAGES = {"preprocess", "threshold", "markers", "watershed", "measure", "overlay"}
BATCHES = 6
CONFIG = ["batch_size=4"]
# Nothing else is added to what users type: nobody has an account on this cluster.
SACCT = ["--profile", "slurm", "--slurm-no-account"]
# As where there is no accounting.
SLURM = [*SACCT, "--slurm-status-command", "squeue"]
SECONDS = 300


def local_tables(slurm, run: Path, source: Path, *config: str) -> dict[str, pd.DataFrame]:
    """The tables of a run on this machine alone."""
    command = ["--snakefile", source / "Snakefile", "--config", *config]
    done = subprocess.run(
        [BIN / "snakemake", "tables", "--cores", "all", *command],
        cwd=run,
        env=slurm.environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tables(run / "results")


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
def main_process(
    slurm, clone: Path, *arguments, options=SLURM, commands: Path | None = None
) -> Iterator[subprocess.Popen]:
    """`snakemake --profile slurm` in a clone; ends with the block, with what it prints on disk.

    `commands` is a directory of commands that are taken before those of Slurm.
    """
    environment = slurm.environment()
    if commands:
        environment["PATH"] = f"{commands}{os.pathsep}{environment['PATH']}"
    with (clone / "terminal.txt").open("a") as terminal:
        process = subprocess.Popen(
            [BIN / "snakemake", *options, *map(str, arguments)],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def finish(slurm, clone: Path, *arguments, **others) -> int:
    """The exit status of a run that is left alone."""
    with main_process(slurm, clone, *arguments, **others) as process:
        return process.wait(SECONDS)


def terminal(clone: Path) -> str:
    return (clone / "terminal.txt").read_text()


def assert_done(status: int, clone: Path) -> None:
    assert status == 0, terminal(clone)[-10000:]


def command(folder: Path, name: str, text: str) -> None:
    """Put a command before Slurm's own, which it ends with unless it exits."""
    folder.mkdir(exist_ok=True)
    others = f'PATH="${{PATH/"{folder}":/}}"'
    path = folder / name
    path.write_text(f'#!/bin/bash\n{others}\n{text}\nexec {name} "$@"\n')
    path.chmod(0o755)


def running(slurm, earlier: list[dict[str, str]]) -> list[dict[str, str]]:
    return [job for job in slurm.jobs_after(earlier) if job["JobState"] == "RUNNING"]


def in_queue(slurm) -> int:
    """How many jobs wait or run."""
    return len(slurm("squeue", "--noheader", "--states=PENDING,RUNNING").splitlines())


def without_batches(found: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables of all images, without the name of each one's batch, also in paths."""
    names = ("objects.csv", "objects.parquet", "images.csv")
    result = {name: found[name].drop(columns="batch") for name in names}
    batches, images = found["images.csv"]["batch"], result["images.csv"]
    for column in images.select_dtypes(exclude="number"):
        pairs = zip(images[column].astype(str), batches, strict=True)
        images[column] = [text.replace(f"/{batch}/", "/") for text, batch in pairs]
    return result


def begun(clone: Path) -> int:
    """How many batches have begun with their first stage."""
    return len(list((clone / "results" / "logs" / "preprocess").glob("*.log")))


def states(jobs: list[dict[str, str]]) -> Counter:
    return Counter(job["JobState"] for job in jobs)


def members(slurm, job: dict[str, str]) -> tuple[set[str], set[str], int]:
    """Batches and rules that a Slurm job was submitted for, and the attempt."""
    script = slurm("scontrol", "write", "batch_script", job["JobId"], "-")
    targets = re.search(r"--target-jobs (.*?) --", script)[1].replace("'", "").split()
    rules, batches = zip(*(target.split(":batch=") for target in targets), strict=True)
    return set(batches), set(rules), int(re.search(r"--attempt '?(\d+)", script)[1])


def computed(slurm, jobs: list[dict[str, str]]) -> Counter:
    """How many of the jobs each batch is in."""
    return Counter(batch for job in jobs for batch in members(slurm, job)[0])


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
