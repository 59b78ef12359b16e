"""What a dry run costs: seconds and memory against the number of images.

The yardstick is a plain Snakefile of five rules and 1,000 batches without any images.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from measured import Cost, cost

ROOT = Path(__file__).resolve().parent.parent
IMAGES_A_DIRECTORY = 500
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


def main() -> None:
    """Print what the yardstick and dry runs cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    counts = parser.parse_args().images
    print("Dry run (snakemake --dry-run), as a ratio to the yardstick in brackets")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        text = YARDSTICK + "".join(
            STEP.format(name=name, before=before)
            for before, name in zip("abcd", "bcde", strict=True)
        )
        (folder / "plain").mkdir()
        (folder / "plain" / "Snakefile").write_text(text)
        yardstick = dry_run(folder / "plain", folder / "plain" / "Snakefile")
        show("yardstick: 5 rules, 1,000 batches", yardstick, yardstick)
        for count in counts:
            run = folder / "run"
            run.mkdir()
            directories = make_images(run / "images", count)
            result = dry_run(run, ROOT / "Snakefile", "--config", "images=images")
            show(f"{count:,} images in {directories} directories", result, yardstick)
            shutil.rmtree(run)


def make_images(folder: Path, count: int) -> int:
    """So many empty files that are named like images; returns the number of directories."""
    directories = -(-count // IMAGES_A_DIRECTORY)
    for number in range(directories):
        directory = folder / f"plate{number + 1:03}"
        directory.mkdir(parents=True)
        for image in range(min(IMAGES_A_DIRECTORY, count - number * IMAGES_A_DIRECTORY)):
            # Names of their own, or all directories would be cut into the same number of batches.
            (directory / f"plate{number + 1:03}_well{image:04}_f1.tif").touch()
    return directories


def dry_run(folder: Path, snakefile: Path, *options: str) -> Cost:
    """What `snakemake --dry-run` costs in a run directory."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"]
    return cost([*command, "--snakefile", str(snakefile), *options], folder)


def show(what: str, result: Cost, yardstick: Cost) -> None:
    """One line."""
    print(
        f"  {what:36}{result.seconds:7.1f} s ({result.seconds / yardstick.seconds:4.2f} x)"
        f"{result.cpu:7.1f} CPU s ({result.cpu / yardstick.cpu:4.2f} x)"
        f"{result.memory:8.0f} MB ({result.memory / yardstick.memory:4.2f} x)",
        flush=True,
    )


if __name__ == "__main__":
    main()
