"""The last word of a run: how many images and objects, and whether too many images failed."""

import csv
import json
import sys
from pathlib import Path

from nucleiflow.files import replaced
from nucleiflow.job import JobError, logged


def summary(run: dict, results: Path) -> str:
    """The lines for the terminal."""
    flagged = f"{run['flagged']} flagged"
    if run["excluded"]:
        flagged += f" and {run['excluded']} of them kept out of the objects (qc: exclude)"
    objects = "objects.csv.gz" if run["config"]["tables"]["csv"] == "gzip" else "objects.csv"
    lines = [
        f"{run['images']} images, {run['failed']} failed, {flagged}, {run['objects']} objects",
        f"tables    {results / objects}, {results / 'images.csv'}",
    ]
    if "overlay" in run["config"]["keep"]:
        lines.append(f"outlines  {results / 'overlay'}, {results / 'report' / 'overlays.jpg'}")
    return "\n".join(lines) + "\n"


def check(run: dict, failed: list[str], max_failed: float, results: Path) -> None:
    """Raise JobError where more than a fraction of the images failed.

    `failed` are the sentences of failed images, of which the first is quoted.
    """
    if len(failed) > max_failed * run["images"]:
        raise JobError(
            f"{len(failed)} of {run['images']} images failed, more than max_failed "
            f"({max_failed:g}) allows: see {results / 'images.csv'}; the first: {failed[0]}"
        )


if "snakemake" in globals():
    with logged(snakemake):
        path = Path(snakemake.input.images)
        run = json.loads(Path(snakemake.input.run).read_text())
        with path.open(newline="", encoding="utf-8") as file:
            failed = [
                f"{row['directory']}/{row['file']}: {row['message']}"
                for row in csv.DictReader(file)
                if row["status"] == "failed"
            ]
        check(run, failed, snakemake.params.max_failed, path.parent)
        text = summary(run, path.parent)
        print(f"nucleiflow: {text}", end="", file=sys.stderr)
        with replaced(Path(snakemake.output[0])) as part:
            part.write_text(text)
