"""What jobs cost: Snakemake's file of each job, joined to one table when a run is done."""

import csv
from collections.abc import Set
from pathlib import Path

from nucleiflow.files import replaced

# Of `results/benchmarks/RULE/JOB.tsv`. Those of rules with one job, `RULE.tsv`, stay: Snakemake
# takes the file for missing where such a rule is the target, and runs it again.
PLACE = ["rule", "job"]


def join(folder: Path, table: Path, gone: Set[str] = frozenset()) -> None:
    """Move what the files in a folder tell to a table with a row a job.

    A job that ran before loses its old row. What Snakemake writes is kept as it is: seconds,
    MB of memory, and others. Where the process dies in the middle, the next call does the rest.

    Parameters
    ----------
    folder : Path
        With files `RULE/JOB.tsv`, which go, and `RULE.tsv`, which stay.
    table : Path
        CSV, with columns `rule` and `job` before Snakemake's.
    gone : set of str
        Names of jobs that the dataset has no more: their rows are dropped.
    """
    paths = sorted(folder.glob("*/**/*.tsv"))
    if not paths and not gone:
        return
    rows: dict[tuple[str, str], dict[str, str]] = {}
    if table.exists():
        with table.open(newline="", encoding="utf-8") as file:
            rows = {(row["rule"], row["job"]): row for row in csv.DictReader(file)}
    for path in paths:
        rule, _, job = path.relative_to(folder).with_suffix("").as_posix().partition("/")
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                rows[rule, job] = dict.fromkeys(PLACE) | {"rule": rule, "job": job} | row
    rows = {place: rows[place] for place in sorted(rows) if place[1] not in gone}
    names = list(dict.fromkeys([*PLACE, *(name for row in rows.values() for name in row)]))
    with replaced(table) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows.values())
    for path in paths:
        path.unlink()
    for below in sorted({parent for path in paths for parent in path.parents}, reverse=True):
        if folder in (below, *below.parents) and not any(below.iterdir()):
            below.rmdir()
