"""What planning costs against the number of images: all, nothing, or one changed image to do.

The images are empty files in directories of 1,000, whose headers cannot be read. For the second
run all outputs are made up and recorded by `snakemake --touch --forceall`. Where there is strace,
the system calls of one stage job are counted, too: its start must not know how large the dataset
is. Ends with an error where the plans themselves are wrong. `--full` goes up to a million images.

The yardstick is a plain Snakefile of five rules and 1,000 batches without any images.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from measured import Cost, cost

ROOT = Path(__file__).resolve().parent.parent
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--cores", "1"]
# Its --touch sleeps for a tenth of a second for each job, so that times of files differ.
TOUCH = """
from snakemake.cli import main
from snakemake.executors.touch import Executor
Executor.SLEEPING_TIME = 0
main()
"""
IMAGES_A_DIRECTORY = 1000
STAGES = ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")
YARDSTICK = """
BATCHES = range(1000)

rule all:
    input: expand("results/e/{batch}", batch=BATCHES)

rule a:
    output: "results/a/{batch}"
    shell: "touch {output}"
"""
STEP = """
rule {name}:
    input: "results/{before}/{{batch}}"
    output: "results/{name}/{{batch}}"
    shell: "touch {{output}}"
"""


class Calls(NamedTuple):
    """System calls of a job, those that name a file, and the dataset's directories in them."""

    all: int
    files: int
    directories: set[str]


def main() -> None:
    """Print what the yardstick and dry runs cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--full", action="store_true", help="a million images, too")
    arguments = parser.parse_args()
    counts = arguments.images + [1_000_000] * arguments.full
    print("Dry run (snakemake --dry-run), as a ratio to the yardstick in brackets")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        text = YARDSTICK + "".join(
            STEP.format(name=name, before=before)
            for before, name in zip("abcd", "bcde", strict=True)
        )
        (folder / "plain").mkdir()
        (folder / "plain" / "Snakefile").write_text(text)
        yardstick, _ = dry_run(folder / "plain", folder / "plain" / "Snakefile")
        show("yardstick: 5 rules, 1,000 batches", yardstick, yardstick)
        first = None
        for count in counts:
            run = folder / f"run{count}"
            run.mkdir()
            first = measure(run, count, yardstick, first)
            shutil.rmtree(run)


def measure(run: Path, count: int, yardstick: Cost, first: Calls | None) -> Calls | None:
    """All plans of so many images; returns the calls of a job of the first directory."""
    directories = make_images(run / "images", count)
    command = ["tables", "--config", "images=images"]
    result, output = dry_run(run, ROOT / "Snakefile", *command)
    show(f"{count:,} images in {directories:,} directories", result, yardstick)
    jobs = planned(output)
    print(f"      {jobs['total']:,} jobs, {jobs['measure']:,} of them Slurm's")

    make_up(run, output)
    # A thousand cores: so many jobs are recorded at a time.
    touch = [sys.executable, "-c", TOUCH, "--cores", "1000", "--touch", "--forceall"]
    cost([*touch, "--snakefile", str(ROOT / "Snakefile"), *command], run)
    result, output = dry_run(run, ROOT / "Snakefile", *command)
    show("    again, with nothing to do", result, yardstick)
    if "Nothing to be done" not in output:
        sys.exit(f"a second run plans {planned(output)}")

    changed = run / "images" / "plate0001" / "plate0001_well0500_f1.tif"
    changed.write_bytes(b"changed")
    result, output = dry_run(run, ROOT / "Snakefile", *command)
    show("    again, one image changed", result, yardstick)
    jobs = planned(output)
    if {jobs.get(stage) for stage in STAGES} != {1}:
        sys.exit(f"one changed image plans {jobs}")

    calls = calls_of_a_job(run)
    if calls:
        ratio = f" ({calls.files / first.files:.2f} x)" if first else ""
        print(f"      a stage job: {calls.all:,} system calls, {calls.files:,} on files{ratio}")
        if calls.directories - {"plate0001"}:
            sys.exit(f"a job of plate0001 looked at {sorted(calls.directories)}")
    return first or calls


def make_images(folder: Path, count: int) -> int:
    """So many empty files that are named like images; returns the number of directories."""
    directories = -(-count // IMAGES_A_DIRECTORY)
    for number in range(1, directories + 1):
        directory = folder / f"plate{number:04}"
        directory.mkdir(parents=True)
        for image in range(min(IMAGES_A_DIRECTORY, count - (number - 1) * IMAGES_A_DIRECTORY)):
            # Names of their own, or all directories would be cut into the same number of batches.
            (directory / f"plate{number:04}_well{image:04}_f1.tif").touch()
    return directories


def make_up(run: Path, plan: str) -> None:
    """Empty outputs of all jobs of a dry run."""
    for line in re.findall(r"^\s+output: (.*)$", plan, re.M):
        for output in line.split(", "):
            path = run / output.split(" (")[0]
            if path.suffix in (".csv", ".parquet", ".json", ".txt"):
                path.touch()
            else:
                path.mkdir(parents=True)
                (path / ".snakemake_timestamp").touch()


def dry_run(folder: Path, snakefile: Path, *options: str) -> tuple[Cost, str]:
    """What `snakemake --dry-run` costs in a run directory, and what it prints."""
    output = folder / "plan.txt"
    command = [*SNAKEMAKE, "--dry-run", "--snakefile", str(snakefile), *options]
    result = cost(command, folder, output)
    return result, output.read_text()


def planned(output: str) -> dict[str, int]:
    """Jobs by rule."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)\n\n", output, re.M | re.S)
    lines = table[1].split("\n") if table else []
    return {line.split()[0]: int(line.split()[1]) for line in lines}


def calls_of_a_job(run: Path) -> Calls | None:
    """Of the first stage of the first batch, started as on a node; None without strace."""
    if not shutil.which("strace"):
        return None
    batch = min((run / "results" / "batches").glob("plate0001*.json")).stem
    trace = run / "trace.txt"
    job = ["--target-jobs", f"preprocess:batch={batch}", "--allowed-rules", "preprocess"]
    command = ["strace", "-f", "-o", str(trace), *SNAKEMAKE, "--force", "--nolock", *job]
    command += ["--mode", "remote", "--snakefile", str(ROOT / "Snakefile")]
    subprocess.run(
        [*command, "--config", "images=images"], cwd=run, capture_output=True, check=True
    )
    every = files = 0
    directories = set()
    with trace.open(errors="replace") as lines:
        for line in lines:
            every += 1
            if '"' in line:
                files += 1
                directories |= set(re.findall(r'images/(plate\d+)[/"]', line))
    return Calls(every, files, directories)


def show(what: str, result: Cost, yardstick: Cost) -> None:
    """One line."""
    print(
        f"  {what:40}{result.seconds:7.1f} s ({result.seconds / yardstick.seconds:5.2f} x)"
        f"{result.cpu:7.1f} CPU s ({result.cpu / yardstick.cpu:5.2f} x)"
        f"{result.memory:8.0f} MB ({result.memory / yardstick.memory:4.2f} x)",
        flush=True,
    )


if __name__ == "__main__":
    main()
