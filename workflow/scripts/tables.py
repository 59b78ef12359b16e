"""Tables of the whole dataset: one row an object, one row an image."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from nucleiflow.batch import RECORDS
from nucleiflow.files import replaced
from nucleiflow.job import logged

STAGES = ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")
COLUMNS = (
    "directory",
    "batch",
    "image",
    "file",
    "status",
    "stage",
    "message",
    "objects",
    "height",
    "width",
    "dtype",
)
# Rows of a group of objects.parquet: what is in memory at a time.
GROUP = 100_000


def write_objects(parts: list[Path], csv_path: Path, parquet_path: Path) -> int:
    """Join the tables of the batches, in their order, one at a time.

    Returns the number of objects.
    """
    schema = pq.read_schema(parts[0]).remove_metadata()
    for name in ("directory", "batch", "image"):
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.string()))
    count = 0
    with (
        replaced(csv_path) as csv_part,
        replaced(parquet_path) as parquet_part,
        pa.csv.CSVWriter(csv_part, schema) as csv_file,
        pq.ParquetWriter(parquet_part, schema, compression="zstd") as parquet_file,
    ):
        for group in _groups(parts, schema):
            csv_file.write_table(group)
            parquet_file.write_table(group)
            count += group.num_rows
    return count


def _groups(parts: list[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """The batches' tables, joined to pieces of at least GROUP rows."""
    waiting, rows = [], 0
    for part in parts:
        waiting.append(pq.read_table(part).cast(schema))
        rows += waiting[-1].num_rows
        if rows >= GROUP:
            yield pa.concat_tables(waiting)
            waiting, rows = [], 0
    yield pa.concat_tables([schema.empty_table(), *waiting])


def image_rows(
    batches: list[Path], overlays: list[Path], folders: dict[str, str], picture: str
) -> Iterator[dict]:
    """One row an image, from the records that the last stages of each batch left.

    Parameters
    ----------
    batches : list of Path
        Directories of stage measure.
    overlays : list of Path
        Directories of the overlays, of the same batches, or none.
    folders : dict
        Directory below the results of each product that is kept.
    picture : str
        Ending of overlays.
    """
    for index, folder in enumerate(batches):
        records = json.loads((folder / RECORDS).read_text())
        drawn = json.loads((overlays[index] / RECORDS).read_text()) if overlays else records
        for record, overlay in zip(records, drawn, strict=True):
            yield _image_row(record, overlay, folders, picture)


def _image_row(record: dict, drawn: dict, folders: dict[str, str], picture: str) -> dict:
    row = {name: record.get(name, "") for name in COLUMNS}
    for stage in STAGES:
        row[f"seconds_{stage}"] = drawn["seconds"].get(stage, record["seconds"].get(stage, ""))
    # An overlay that could not be drawn leaves the image's measurements as they are.
    row["message"] = record["message"] or drawn["message"]
    for product, folder in folders.items():
        ending = {"csv": "csv", "overlay": picture}.get(product, "tif")
        whole = record["status"] == "ok" and (product != "overlay" or drawn["status"] == "ok")
        path = f"{folder}/{record['batch']}/{record['image']}.{ending}"
        row[product] = path if whole else ""
    return row


def write_images(rows: Iterator[dict], folders: dict[str, str], path: Path) -> None:
    """Write images.csv."""
    columns = [*COLUMNS, *(f"seconds_{stage}" for stage in STAGES), *folders]
    with replaced(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if "snakemake" in globals():
    with logged(snakemake):
        measured = [Path(folder) for folder in snakemake.input.measured]
        drawn = [Path(folder) for folder in snakemake.input.overlays]
        kept = snakemake.params.folders
        write_objects(
            [folder / "objects.parquet" for folder in measured],
            Path(snakemake.output.objects),
            Path(snakemake.output.parquet),
        )
        rows = image_rows(measured, drawn, kept, snakemake.params.ending)
        write_images(rows, kept, Path(snakemake.output.images))
