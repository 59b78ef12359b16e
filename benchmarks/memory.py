"""Memory of the jobs of each stage, in bytes of a decoded image a thread, and what they ask for.

A job is a process with its workers, and Snakemake's that started it. Its memory is the most that
all of them held together at one time, as Linux tells every 50 milliseconds. Pages that several
share count once (PSS of /proc), as in the control groups that hold Slurm's jobs to their memory.
What is asked is compared with more: each such page counted for each process (RSS), as in Slurm's
efficiency report. Linux only.

By default one worker on images of 2048 x 2048 and of 4096 x 4096 pixels, 16-bit, four of each,
then a batch of many small images, of which the first tenth of the time is compared with the last.
--large takes one image of 20,000 x 20,000, made of copies of a smaller one, through all stages.
--tiles compares images of 4000 x 4000 and 8000 x 8000 as they are and in tiles of 2000.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from measured import cost

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("preprocess", "threshold", "markers", "watershed", "join", "measure", "overlay")
SECONDS = 0.05


def main() -> None:
    """Run the workflow on images of some sizes and print what its stages held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="workers of a job (1)")
    parser.add_argument("--many", type=int, default=1000, help="images of the long batch (1000)")
    parser.add_argument("--large", action="store_true", help="one image of 20,000 x 20,000")
    parser.add_argument("--tiles", action="store_true", help="large images whole and in tiles")
    arguments = parser.parse_args()
    if arguments.large:
        _report(20_000, 1, 1)
        return
    if arguments.tiles:
        for config in ([], ["tiles={size: 2000}"]):
            for size in (4000, 8000):
                _report(size, 1, 1, config)
        return
    for size in (2048, 4096):
        _report(size, 4 * arguments.threads, arguments.threads)
    held = _report(512, arguments.many, arguments.threads)
    print("A batch's memory in MB, at most in the first and the last tenth of its time:")
    for stage, values in held.items():
        values, tenth = [once for once, _ in values], max(len(values) // 10, 1)
        print(f"  {stage:12}{max(values[:tenth]):8.0f}{max(values[-tenth:]):8.0f}")


def _report(
    size: int, count: int, threads: int, config: Sequence[str] = ()
) -> dict[str, list[tuple[float, float]]]:
    """Print what the stages hold on so many images; give it back, in MB, in the order of time.

    Shared pages are counted once in the first number, and for each process in the second.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write(folder / "images", size, count)
        held: dict[str, list[tuple[float, float]]] = defaultdict(list)
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(held, done))
        watcher.start()
        try:
            cost(
                [
                    *(sys.executable, "-m", "snakemake", "--cores", str(threads)),
                    *("--snakefile", str(ROOT / "Snakefile")),
                    *("--config", "images=images", "batch_size=1000", *config),
                ],
                folder,
            )
        finally:
            done.set()
            watcher.join()
        asked = _asked(folder, threads, config)
    image = size**2 * 2 / 1e6
    how = f", {' '.join(config)}" if config else ""
    print(f"{count} images of {size} x {size}, {image:.1f} MB each, {threads} threads{how}:")
    for stage in (stage for stage in STAGES if held[stage]):
        once, each = map(max, zip(*held[stage], strict=True))
        print(
            f"  {stage:12}{once:8.0f} MB, 250 MB and {(once - 250) / image / threads:5.1f} images "
            f"a thread; asked {asked[stage]:.0f} MB, {asked[stage] / each:.2f} x {each:.0f} MB"
        )
    return {stage: held[stage] for stage in STAGES if held[stage]}


def _write(folder: Path, size: int, count: int) -> None:
    """Nuclei on 16 bits; a large image is made of copies of a field of 2000 x 2000 or less."""
    import numpy as np
    import stages  # noqa: F401 (finds the scripts)
    import tifffile

    from simulate import PLATES, simulate

    side = min(size, 2048 if size % 2000 else 2000)
    field, _ = simulate([1, 0], (side, side), **PLATES[0])
    image = np.tile(field, (-(-size // side),) * 2)[:size, :size]
    folder.mkdir()
    for index in range(count):
        # Shifted, lest an image be taken for a copy of another.
        shifted = np.roll(image, index, axis=0) if count > 1 else image
        tifffile.imwrite(folder / f"{index:04}.tif", shifted, photometric="minisblack")


def _watch(held: dict[str, list[tuple[float, float]]], done: threading.Event) -> None:
    """Note what the job of a stage holds, until nothing more runs."""
    while not done.is_set():
        jobs = _descendants(os.getpid())
        stage = next(filter(None, map(_stage, jobs)), None)
        if stage:
            once, each = map(sum, zip(*map(_memory, jobs), strict=True))
            held[stage].append((once, each))
        time.sleep(SECONDS)


def _descendants(root: int) -> list[int]:
    """Processes that Snakemake, which is a child of `root`, started, and theirs."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children[parent].append(int(path.name))
    found = [job for snakemake in children[root] for job in children[snakemake]]
    for process in found:
        found += children[process]
    return found


def _stage(process: int) -> str | None:
    """The stage whose script a process runs."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_text().split("\0")
    except OSError:
        return None
    scripts = [word for word in words if "/.snakemake/scripts/" in word]
    return next(
        (stage for stage in STAGES for word in scripts if word.endswith(f".{stage}.py")), None
    )


def _memory(process: int) -> tuple[float, float]:
    """MB of a process, its share of what several hold and all of it; 0 of one that has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0.0, 0.0
    found = dict(re.findall(r"^(Pss|Rss):\s+(\d+) kB$", text, re.M))
    return int(found.get("Pss", 0)) / 1024, int(found.get("Rss", 0)) / 1024


def _asked(folder: Path, threads: int, config: Sequence[str]) -> dict[str, float]:
    """The mem_mb of each stage's job, as Snakemake's dry run tells it."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(threads)]
    command += ["--dry-run", "--forceall", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--config", "images=images", "batch_size=1000", *config]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    asked, rule = {}, ""
    for line in (done.stdout + done.stderr).splitlines():
        if line.strip().startswith("rule "):
            rule = line.strip()[5:].rstrip(":")
        elif line.strip().startswith("resources:") and rule in STAGES:
            asked[rule] = float(re.search(r"mem_mb=(\d+)", line)[1])
    return asked


if __name__ == "__main__":
    main()
