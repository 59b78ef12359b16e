"""objects.csv and objects.parquet: one row an object, from the tables of the batches."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from nucleiflow.files import replaced
from nucleiflow.job import logged
from nucleiflow.metadata import PLACE, Metadata, known_of, read_batches
from nucleiflow.plan import Plan

# Rows of a group of objects.parquet: what is in memory at a time.
GROUP = 100_000


def objects_schema(parts: list[Path], known: pa.Schema) -> pa.Schema:
    """Columns of objects: where it is, what is known of the image, what was measured.

    Those of the batch with the most channels come first, then what others have more.
    """
    schemas = [pq.read_schema(part).remove_metadata() for part in parts]
    fields = {
        field.name: pa.field(field.name, pa.string()) if field.name in PLACE else field
        for schema in (max(schemas, key=len), *schemas)
        for field in schema
    }
    place = [fields.pop(name) for name in PLACE if name in fields]
    return pa.schema([*place, *known, *fields.values()])


def write_objects(
    parts: list[Path],
    known: Metadata,
    batches: Iterable[tuple[Plan, list[dict]]],
    csv_path: Path,
    parquet_path: Path,
) -> int:
    """Join the tables of the batches, in their order, one at a time.

    Returns the number of objects.
    """
    schema = objects_schema(parts, known.schema)
    count = 0
    with (
        replaced(csv_path) as csv_part,
        replaced(parquet_path) as parquet_part,
        pa.csv.CSVWriter(csv_part, schema) as csv_file,
        pq.ParquetWriter(parquet_part, schema, compression="zstd") as parquet_file,
    ):
        for group in _groups(parts, known, batches, schema):
            csv_file.write_table(group)
            parquet_file.write_table(group)
            count += group.num_rows
    return count


def _groups(
    parts: list[Path],
    known: Metadata,
    batches: Iterable[tuple[Plan, list[dict]]],
    schema: pa.Schema,
) -> Iterator[pa.Table]:
    """The batches' tables, joined to pieces of at least GROUP rows."""
    waiting, rows = [], 0
    for part, (plan, records) in zip(parts, batches, strict=True):
        waiting.append(_described(pq.read_table(part), known, plan, records, schema))
        rows += waiting[-1].num_rows
        if rows >= GROUP:
            yield pa.concat_tables(waiting)
            waiting, rows = [], 0
    yield pa.concat_tables([schema.empty_table(), *waiting])


def _described(
    part: pa.Table, known: Metadata, plan: Plan, records: list[dict], schema: pa.Schema
) -> pa.Table:
    """The objects of a batch with what is known of their images, in the columns of all."""
    images = pa.array([record["image"] for record in records], pa.string())
    member = pc.index_in(part["image"].cast(pa.string()), images)
    of_object = known.of_records(plan, records).take(member)
    columns = []
    for field in schema:
        if field.name in known.schema.names:
            columns.append(of_object[field.name])
        elif field.name in part.column_names:
            columns.append(part[field.name].cast(field.type))
        else:
            columns.append(pa.nulls(part.num_rows, field.type))
    return pa.table(columns, schema=schema)


if "snakemake" in globals():
    with logged(snakemake):
        params, output = snakemake.params, snakemake.output
        measured = [Path(folder) for folder in snakemake.input.measured]
        write_objects(
            [folder / "objects.parquet" for folder in measured],
            known_of(measured, params.plans, params.plate_map),
            read_batches(measured, Path(params.plans)),
            Path(output.objects),
            Path(output.parquet),
        )
