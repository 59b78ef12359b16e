"""columns.csv: the unit and meaning of each column of each table of a run."""

import csv
import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nucleiflow import columns
from nucleiflow.columns import Column
from nucleiflow.derived import own_names
from nucleiflow.files import replaced
from nucleiflow.job import logged

COLUMNS = ("table", "column", "unit", "meaning", "also_called")


def object_rows(
    schema: pa.Schema, known: Iterable[str], others: Iterable[Column]
) -> Iterator[tuple[str, ...]]:
    """A row for each column of `objects`, with the name that the other `naming` gives it.

    `known` are those that tell what is known of images, `others` what the config adds.
    """
    ours, known, others = own_names(schema), set(known), tuple(others)
    theirs = columns.renamed(list(ours), known, others)
    for (name, used), (other, factor) in zip(ours.items(), theirs, strict=True):
        found = None if name in known else columns.find(name, others)
        unit, meaning = columns.explained(found, name)
        if used == name:
            yield "objects", name, unit, meaning, other
        else:
            unit = unit if factor == 1 else found.column.cellprofiler_unit
            yield "objects", used, unit, meaning, name


def rows(
    table: str, names: Iterable[str], explained: Callable[[str], tuple[str, str]]
) -> Iterator[tuple[str, ...]]:
    """A row for each column of another table."""
    for name in names:
        yield table, name, *explained(name), ""


def header(path: Path) -> list[str]:
    """Names of the columns of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file))


if "snakemake" in globals():
    with logged(snakemake):
        params, source = snakemake.params, snakemake.input
        images, groups = header(Path(source.images)), header(Path(source.summary))
        others = columns.added(**params.added)
        summary_explained = functools.partial(columns.summary_explained, others=others)
        lines = [
            *object_rows(pq.read_schema(source.objects), images, others),
            *rows("images", images, columns.image_explained),
            *rows("summary", groups, summary_explained),
        ]
        with (
            replaced(Path(snakemake.output[0])) as part,
            part.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *lines])
