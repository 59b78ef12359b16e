"""What a Slurm job wastes: from its submission to its end, without the seconds of computing.

One batch runs on the cluster of the tests, which starts and ends with this. Computing is what each
stage's log says of its images. The rest is waiting for Slurm, the start of Snakemake in the job and
of a process for each stage, and writing down. Until the main process hears of the end, up to
20 seconds more pass (`slurm-init-seconds-before-status-checks`), which many jobs share. The job has
as many workers as this machine has cores, whatever the nodes of the tests say that they have: its
time is asked for by their number.

With --batches, instead: so many batches of one small image with at most --jobs of Slurm's in the
queue, and --together of them in each. The tables are compared with those of a run on this machine
alone. Each batch takes some 15 CPU seconds, less where several share a job.
"""

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from measured import skip

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "slurm"))

from cluster import BIN, Cluster, why_not  # noqa: E402
from cluster_runs import (  # noqa: E402
    STAGES,
    assert_same,
    in_queue,
    local_tables,
    minutes,
    states,
    tables,
    without_batches,
)

COMPUTED = re.compile(r"\d+ done, \d+ failed in ([\d.]+) s$", re.MULTILINE)


def main() -> None:
    """Make images, run them as one job and print what it wasted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=300, help="number of images (300)")
    parser.add_argument("--size", type=int, default=2048, help="rows and columns (2048)")
    parser.add_argument("--time-factor", type=float, default=1.0, help="of the config (1)")
    parser.add_argument("--batches", type=int, help="number of batches (one, not this)")
    parser.add_argument("--jobs", type=int, default=20, help="Slurm jobs in the queue (20)")
    parser.add_argument("--together", type=int, default=1, help="batches of a Slurm job (1)")
    arguments = parser.parse_args()
    if reason := why_not():
        skip(reason)
    cluster = Cluster()
    try:
        cluster.start()
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            if arguments.batches:
                limited(cluster, folder, arguments.batches, arguments.jobs, arguments.together)
            else:
                wasted(cluster, folder, arguments.images, arguments.size, arguments.time_factor)
    finally:
        cluster.stop()


def simulated(folder: Path, images: int, size: int) -> Path:
    """A directory of images, which are one batch."""
    simulate = [sys.executable, ROOT / "benchmarks" / "speed.py", "--part", "simulate"]
    simulate += ["--images", str(images), "--size", str(size), "--folder", str(folder)]
    subprocess.run(simulate, check=True, capture_output=True)
    return folder / "images"


def command(cluster: Cluster, *arguments: str) -> list:
    """A run on the cluster."""
    run = [BIN / "snakemake", "tables", "--snakefile", ROOT / "Snakefile"]
    run += ["--profile", ROOT / "profiles" / "slurm", "--slurm-no-account"]
    if not cluster.accounting:
        run += ["--slurm-status-command", "squeue"]
    return [*run, *arguments]


def threads(count: int) -> list[str]:
    """Options that give each stage so many workers."""
    return ["--set-threads", *(f"{stage}={count}" for stage in sorted(STAGES))]


def wasted(cluster: Cluster, folder: Path, images: int, size: int, factor: float) -> None:
    """Run one batch and print its seconds."""
    whole = simulated(folder, images, size)
    config = [f"images={whole}", f"batch_size={10 * images}", f"time_factor={factor}"]
    cores = min(4, len(os.sched_getaffinity(0)))
    done = subprocess.run(
        command(cluster, *threads(cores), "--config", *config),
        cwd=folder,
        env=cluster.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"the run failed: {done.stderr[-5000:]}")
    (job,) = cluster.jobs()
    submitted, started, ended = (
        datetime.fromisoformat(job[name]) for name in ("SubmitTime", "StartTime", "EndTime")
    )
    logs = (folder / "results" / "logs").glob("*/*.log")
    stages = [float(seconds) for log in logs for seconds in COMPUTED.findall(log.read_text())]
    total, computing = (ended - submitted).total_seconds(), sum(stages)
    print(f"Slurm: one job, {len(stages)} stages, {cores} workers")
    print(f"  {images} images of {size} x {size} pixels, time_factor {factor:g}")
    print(f"  submitted to started    {(started - submitted).total_seconds():8.1f} s")
    print(f"  computing               {computing:8.1f} s")
    print(
        f"  wasted                  {total - computing:8.1f} s ({(total - computing) / total:.3f})"
    )
    told("time", "s", (ended - started).total_seconds(), 60 * minutes(job["TimeLimit"]))
    # What Slurm's accounting says, where it is kept.
    for path in (folder / ".snakemake" / "slurm_efficiency").glob("*.csv"):
        with path.open(newline="") as file:
            for step in csv.DictReader(file):
                told("memory", "MB", float(step["MaxRSS_MB"]), float(step["RequestedMem_MB"]))


def told(what: str, unit: str, used: float, asked: float) -> None:
    """Print how much of what was asked for was used."""
    print(f"  {what:24}{used:8.0f} of {asked:.0f} {unit} asked, {asked / used:.2f} times")


def limited(cluster: Cluster, folder: Path, batches: int, jobs: int, together: int) -> None:
    """Run many batches and print how many jobs were in the queue."""
    whole = simulated(folder, batches, 128)
    here = folder / "here"
    here.mkdir()
    alone = local_tables(cluster, here, ROOT, f"images={whole}", f"batch_size={10 * batches}")
    run = command(cluster, "--jobs", str(jobs))
    if together > 1:
        run += ["--group-components", f"batch={together}", *threads(1)]
    run += ["--config", f"images={whole}", "batch_size=1"]
    most, started = 0, time.monotonic()
    with (folder / "terminal.txt").open("w") as terminal:
        process = subprocess.Popen(
            run, cwd=folder, env=cluster.environment(), stdout=terminal, stderr=terminal
        )
        while process.poll() is None:
            most = max(most, in_queue(cluster))
            time.sleep(0.5)
    seconds = time.monotonic() - started
    if process.returncode:
        sys.exit(f"the run failed: {(folder / 'terminal.txt').read_text()[-5000:]}")
    found = tables(folder / "results")
    assert_same(without_batches(found), without_batches(alone))
    images, ended = found["images.csv"], states(cluster.jobs())
    print(f"Slurm: {images['batch'].nunique()} batches of an image, jobs: {dict(ended)}")
    print(f"  in the queue at most    {most:8} of {jobs}")
    print(f"  the run                 {seconds:8.1f} s")
    print(f"  nuclei                  {len(found['objects.csv']):8}, as in a run on this machine")


if __name__ == "__main__":
    main()
