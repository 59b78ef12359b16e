"""What came out of a run, unless too many images failed."""

import csv
import json
from pathlib import Path

from nucleiflow.files import replaced
from nucleiflow.job import JobError, logged
from nucleiflow.spreadsheet import true_text
from nucleiflow.terminal import outcome


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
            rows = [row for row in csv.DictReader(file) if row["status"] == "failed"]
        failed = [
            "{}/{}: {}".format(*(true_text(row[name]) for name in ("directory", "file", "message")))
            for row in rows
        ]
        check(run, failed, snakemake.params.max_failed, path.parent)
        with replaced(Path(snakemake.output[0])) as part:
            part.write_text("".join(f"{line}\n" for line in outcome(run, path.parent)))
