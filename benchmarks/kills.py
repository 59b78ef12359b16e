"""Kill runs at random moments and see whether the next one gives the tables of an undisturbed one.

    python benchmarks/kills.py [KILLS] [SEED]

Each time a run starts from nothing, with all its processes is killed by SIGKILL at a moment drawn
from the seconds that an undisturbed run takes, is unlocked and completed. Exit status 1 if any
table differs by a byte, order and times aside.
"""

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "workflow"), str(ROOT / "workflow" / "scripts")]

import tifffile  # noqa: E402
from project import Project, nuclei  # noqa: E402

# One batch a directory.
CONFIG = ("batch_size=100",)


def write_images(folder: Path) -> None:
    """Five tiny images in two directories."""
    for number, count in enumerate((2, 3)):
        (folder / f"plate{number}").mkdir(parents=True)
        for index in range(count):
            image = nuclei(10 * number + index, 64)
            tifffile.imwrite(folder / f"plate{number}" / f"{index}.tif", image)


def main(kills: int, seed: int) -> int:
    """Print what came of it; the exit status."""
    moments, differing, number = random.Random(seed), [], 0
    with tempfile.TemporaryDirectory() as folder:
        images, run = Path(folder, "images"), Path(folder, "run")
        write_images(images)
        run.mkdir()
        project = Project(ROOT, images, run)
        start = time.perf_counter()
        project.snakemake(*CONFIG)
        whole = time.perf_counter() - start
        expected = project.table_bytes()
        print(f"an undisturbed run takes {whole:.1f} s, {len(expected['objects']) - 1} objects")
        while number < kills:
            shutil.rmtree(run)
            run.mkdir()
            moment, start = moments.uniform(0, whole), time.perf_counter()
            if not project.kill_after(moment, *CONFIG):
                # It had ended: the first run, which finds nothing compiled, took longer.
                whole = time.perf_counter() - start
                continue
            number += 1
            project.snakemake("--unlock", *CONFIG)
            project.snakemake(*CONFIG)
            left = list(run.rglob("*.part"))
            equal = project.table_bytes() == expected and not left
            differing += [] if equal else [number]
            print(f"{number:3} killed after {moment:5.2f} s: {'equal' if equal else 'DIFFERENT'}")
    told = f"differ after kills {differing}" if differing else "equal"
    print(f"{kills} kills before the end of a run, tables {told}")
    return 1 if differing else 0


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    sys.exit(main(*given, *(50, 1)[len(given) :]))
