"""Tables that follow one another and become one, of which only some rows are in memory."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_parquet(tables: Iterable[pa.Table], path: Path, **options: Any) -> None:
    """Write tables as one Parquet file, in which each has its rows together.

    They wait beside the file until the columns of all of them are known.

    Parameters
    ----------
    tables : iterable of Table
        At least one. A column has the same type in all that have it.
    path : Path
    options
        Those of `pyarrow.parquet.ParquetWriter`.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        parts, schemas = [], []
        for table in tables:
            schemas.append(table.schema)
            parts.append(Path(folder, f"{len(parts)}.arrow"))
            with pa.ipc.new_file(parts[-1], table.schema) as file:
                file.write_table(table)
            # Not while the next one is made.
            del table
        schema = joined(schemas)
        with pq.ParquetWriter(path, schema, **options) as file:
            for part in parts:
                with pa.memory_map(str(part)) as source:
                    table = pa.ipc.open_file(source).read_all()
                    columns = dict(zip(table.column_names, table.columns, strict=True))
                    file.write_table(fitted(columns, table.num_rows, schema))
                    del table, columns


def joined(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """The columns of the table that has the most, then what others have more."""
    schemas = list(schemas)
    widest = max(schemas, key=len)
    fields = {field.name: field for schema in (widest, *schemas) for field in schema}
    return pa.schema(fields.values(), widest.metadata)


def fitted(columns: Mapping[str, pa.ChunkedArray], rows: int, schema: pa.Schema) -> pa.Table:
    """A table of so many rows with the columns of a schema, without values where it has none."""
    return pa.table(
        [
            columns[field.name].cast(field.type)
            if field.name in columns
            else pa.nulls(rows, field.type)
            for field in schema
        ],
        schema=schema,
    )
