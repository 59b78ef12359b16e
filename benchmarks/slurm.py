"""What a Slurm job wastes: from its submission to its end, without the seconds of computing.

One batch runs on the cluster of the tests, which starts and ends with this. Computing is what each
stage's log says of its images. The rest is waiting for Slurm, the start of Snakemake in the job and
of a process for each stage, and writing down. Until the main process hears of the end, up to
20 seconds more pass (`slurm-init-seconds-before-status-checks`), which many jobs share.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "slurm"))

from cluster import BIN, Cluster, why_not  # noqa: E402

COMPUTED = re.compile(r"\d+ done, \d+ failed in ([\d.]+) s$", re.MULTILINE)


def main() -> None:
    """Make images, run them as one job and print what it wasted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100, help="number of images (100)")
    parser.add_argument("--size", type=int, default=2048, help="rows and columns (2048)")
    arguments = parser.parse_args()
    if reason := why_not():
        print(f"Slurm: skipped, {reason}")
        return
    cluster = Cluster()
    try:
        cluster.start()
        with tempfile.TemporaryDirectory() as temporary:
            wasted(cluster, Path(temporary), arguments.images, arguments.size)
    finally:
        cluster.stop()


def wasted(cluster: Cluster, folder: Path, images: int, size: int) -> None:
    """Run one batch and print its seconds."""
    simulate = [sys.executable, ROOT / "benchmarks" / "speed.py", "--part", "simulate"]
    simulate += ["--images", str(images), "--size", str(size), "--folder", str(folder)]
    subprocess.run(simulate, check=True, capture_output=True)
    # One directory, and so one batch.
    whole = folder / "images" / "whole"
    whole.mkdir()
    for path in (folder / "images").glob("plate*/*.tif"):
        path.rename(whole / path.name)
    run = [BIN / "snakemake", "tables", "--snakefile", ROOT / "Snakefile"]
    run += ["--profile", ROOT / "profiles" / "slurm", "--slurm-no-account"]
    if not cluster.accounting:
        run += ["--slurm-status-command", "squeue"]
    run += ["--config", f"images={whole}", f"batch_size={10 * images}"]
    done = subprocess.run(
        run, cwd=folder, env=cluster.environment(), capture_output=True, text=True, check=False
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
    print(f"Slurm: one job, {images} images of {size} x {size} pixels, {len(stages)} stages")
    print(f"  submitted to started    {(started - submitted).total_seconds():8.1f} s")
    print(f"  computing               {computing:8.1f} s")
    print(
        f"  wasted                  {total - computing:8.1f} s ({(total - computing) / total:.3f})"
    )


if __name__ == "__main__":
    main()
