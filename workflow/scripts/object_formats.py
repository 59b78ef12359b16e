"""objects.csv, objects.sqlite and directories of Parquet, from objects.parquet."""

import csv
import gzip
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from nucleiflow.derived import own_names
from nucleiflow.files import remove, replaced
from nucleiflow.job import JobError, logged
from nucleiflow.metadata import PLACE
from nucleiflow.safe_tables import safe_table, true_column

FORMATS = ("objects.csv", "objects.csv.gz", "objects.sqlite", "objects")
# Values that are Python's own objects at a time.
PYTHON = 200_000
# How other programs name a directory of rows without a value.
NULL = "__HIVE_DEFAULT_PARTITION__"
# Bytes that a file system takes for the name of a directory.
LONGEST = 255
# Columns of images.csv that are texts also where each of them is a number.
NAMES = {*PLACE, "plate", "well", "channels", "segmented"}
# How the numbers of images.csv look; anything else, as the zeros of 0012, says more than a number.
KINDS = {
    "INTEGER": r"-?(0|[1-9]\d{0,17})",
    "REAL": r"-?(0|[1-9]\d{0,17})(\.\d+)?(e[+-]?\d+)?",
    "BOOLEAN": "[Tt]rue|[Ff]alse",
}


def groups(source: Path) -> Iterator[pa.Table]:
    """The row groups of a Parquet file, one in memory at a time."""
    with pq.ParquetFile(source) as file:
        for index in range(file.num_row_groups):
            yield file.read_row_group(index)


def write_csv(source: Path, path: Path) -> None:
    """Write objects.csv, compressed where its name ends in `.gz`."""
    with (
        replaced(path) as part,
        _opened(part, path.suffix == ".gz") as sink,
        pa.csv.CSVWriter(sink, pq.read_schema(source)) as file,
    ):
        for group in groups(source):
            file.write_table(safe_table(group))


@contextmanager
def _opened(path: Path, compressed: bool) -> Iterator[BinaryIO]:
    with path.open("wb") as sink:
        if compressed:
            # Of level 6 it takes four times as long, and gets 7 % smaller.
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=sink) as file:
                yield file
        else:
            yield sink


def write_sqlite(source: Path, images: Path, path: Path) -> None:
    """Write objects.sqlite: tables `objects` and `images`, with an index of directory and image.

    True is 1 and false 0, what is missing is NULL.
    """
    schema = pq.read_schema(source)
    objects = {field.name: _kind(field.type) for field in schema}
    rows = (row for group in groups(source) for row in _rows(group))
    kinds = image_kinds(images)
    place = [own_names(schema)[name] for name in ("directory", "image")]
    with replaced(path) as part, closing(sqlite3.connect(part)) as database:
        # The file takes its name when it is whole, so that nothing needs to be undone.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        _fill(database, "objects", objects, rows, place)
        _fill(database, "images", kinds, image_rows(images, kinds), ["directory", "image"])
        database.commit()


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "BOOLEAN"
    if pa.types.is_floating(kind):
        return "REAL"
    return "INTEGER" if pa.types.is_integer(kind) else "TEXT"


def _rows(table: pa.Table) -> Iterator[tuple]:
    for piece in table.to_batches(max_chunksize=max(1, PYTHON // table.num_columns)):
        yield from zip(*(column.to_pylist() for column in piece.columns), strict=True)


def _fill(
    database: sqlite3.Connection,
    name: str,
    columns: dict[str, str],
    rows: Iterable[tuple],
    place: list[str],
) -> None:
    """A table of the database with its rows and the index of where they are."""
    declared = ", ".join(f"{_quoted(column)} {kind}" for column, kind in columns.items())
    try:
        database.execute(f"CREATE TABLE {name} ({declared})")
    except sqlite3.OperationalError as error:
        raise JobError(
            f"config: tables.sqlite is true, but SQLite cannot hold the columns of {name} "
            f"({error}): set it to false"
        ) from None
    marks = ", ".join("?" * len(columns))
    database.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
    database.execute(f"CREATE INDEX {name}_place ON {name} ({', '.join(map(_quoted, place))})")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def image_kinds(images: Path) -> dict[str, str]:
    """SQLite's type of each column of images.csv: the narrowest that loses nothing of its texts."""
    possible, seen = {}, set()
    for table in _texts(images):
        for name in table.schema.names:
            values = table[name].drop_null()
            seen |= {name} if len(values) else set()
            possible[name] = [
                kind
                for kind in possible.get(name, KINDS)
                if pc.all(pc.match_substring_regex(values, f"^({KINDS[kind]})$")).as_py()
                is not False
            ]
    return {
        name: kinds[0] if kinds and name in seen - NAMES else "TEXT"
        for name, kinds in possible.items()
    }


def image_rows(images: Path, kinds: dict[str, str]) -> Iterator[tuple]:
    """The rows of images.csv; SQLite makes numbers of the texts in columns of numbers."""
    for table in _texts(images):
        columns = (
            pc.equal(pc.utf8_lower(table[name]), "true") if kind == "BOOLEAN" else table[name]
            for name, kind in kinds.items()
        )
        yield from zip(*(column.to_pylist() for column in columns), strict=True)


def _texts(images: Path) -> Iterator[pa.RecordBatch]:
    """images.csv in pieces, all columns as texts, nulls where a cell is empty."""
    with images.open(newline="", encoding="utf-8") as file:
        names = next(csv.reader(file))
    with pa.csv.open_csv(
        images,
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    ) as reader:
        for piece in reader:
            columns = [true_column(column) for column in piece.columns]
            yield pa.RecordBatch.from_arrays(columns, names=names)


def write_parts(source: Path, by: str, folder: Path) -> None:
    """Write a directory of Parquet files, `BY=VALUE/part-0.parquet`, by the value of a column.

    A value has a file for each group of objects.parquet that it is in. Values are escaped as in
    URLs, but for letters and digits of all languages. As Hive, Spark and others have it, the
    column is not in the files: readers take it from the names of the directories. Without any
    object there is one file, with all columns.
    """
    schema = pq.read_schema(source)
    column = own_names(schema)[by]
    with replaced(folder) as whole:
        whole.mkdir()
        for group in groups(source):
            values = group[column].combine_chunks()
            for value in values.unique():
                same = pc.equal(values, value) if value.is_valid else pc.is_null(values)
                part = whole / f"{column}={_escaped(column, value.as_py())}"
                part.mkdir(exist_ok=True)
                rows = group.filter(same).drop_columns(column)
                _write_parquet(rows, part / f"part-{len(list(part.iterdir()))}.parquet")
        if not any(whole.iterdir()):
            _write_parquet(schema.empty_table(), whole / "part-0.parquet")


def _write_parquet(table: pa.Table, path: Path) -> None:
    texts = [field.name for field in table.schema if field.type == pa.string()]
    pq.write_table(table, path, compression="zstd", use_dictionary=texts)


def _escaped(column: str, value: str | None) -> str:
    if value is None:
        return NULL
    text = "".join(
        char if char.isalnum() or char in "-_." else quote(char, safe="") for char in value
    )
    if len(f"{column}={text}".encode()) > LONGEST:
        raise JobError(
            f"config: tables.partition_by is {column}, but {value} is too long for the name of a "
            "directory: set it to null or to another column"
        )
    return text


if "snakemake" in globals():
    with logged(snakemake):
        source, output = Path(snakemake.input.objects), snakemake.output
        write_csv(source, Path(output.csv))
        if output.get("sqlite"):
            write_sqlite(source, Path(snakemake.input.images), Path(output.sqlite))
        if output.get("parts"):
            write_parts(source, snakemake.params.settings["partition_by"], Path(output.parts))
        made = set(map(Path, output))
        for other in {source.with_name(name) for name in FORMATS} - made:
            remove(other)
