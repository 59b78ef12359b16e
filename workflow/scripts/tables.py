"""Tables of the whole dataset: one row an object, one row an image."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from nucleiflow.batch import RECORDS
from nucleiflow.files import replaced
from nucleiflow.job import logged
from nucleiflow.pixel_size import pixel_size
from nucleiflow.plan import Plan, load
from nucleiflow.plate_map import PlateMap, read_plate_map

NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})")

STAGES = ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")
# Columns of images.csv before and after those that names, sheets and the plate map give.
PLACE = ("directory", "batch", "image", "file")
COLUMNS = (
    "status",
    "stage",
    "message",
    "objects",
    "dropped",
    "height",
    "width",
    "dtype",
    "channels",
    "segmented",
    "planes",
    "plane",
    "pixel_size_um",
    "pixel_size_source",
    "diameter",
    "threshold",
)
# Rows of a group of objects.parquet: what is in memory at a time.
GROUP = 100_000


@dataclass(frozen=True)
class Metadata:
    """What is known of images beside their pixels, as typed columns of all tables.

    Attributes
    ----------
    schema : pyarrow schema
        plate, well, site, time, other groups of file names, columns of the plate map.
    plate_map : PlateMap or None
    """

    schema: pa.Schema
    plate_map: PlateMap | None

    def of_records(self, plan: Plan, records: list[dict]) -> pa.Table:
        """A row for each record of a batch."""
        rows = [told(plan, record) for record in records]
        columns = []
        for index, name in enumerate(plan.columns):
            texts = [row[index] or None for row in rows]
            columns.append(pa.array(texts, pa.string()).cast(self.schema.field(name).type))
        if self.plate_map is not None:
            places = [plan.columns.index(name) for name in self.plate_map.join]
            keys = [tuple(row[place] for place in places) for row in rows]
            found = pa.array([self.plate_map.rows.get(key) for key in keys], pa.int64())
            columns += [column.take(found) for column in self.plate_map.table.columns]
        return pa.table(columns, schema=self.schema)


def told(plan: Plan, record: dict) -> tuple[str, ...]:
    """What names tell of an image; a time inside of the file is more than that."""
    values = plan.batch.images[record["member"]].metadata
    if "time" not in record:
        return values
    place = plan.columns.index("time")
    return (*values[:place], record["time"], *values[place + 1 :])


def metadata(
    batches: Iterable[tuple[Plan, list[dict]]], plate_map: PlateMap | None = None
) -> Metadata:
    """Columns and their types: whole numbers where every value is one, else texts.

    Plates and wells are texts. `0012` is no number: a barcode keeps its zeros.
    """
    texts: dict[str, bool] = {"plate": True, "well": True}
    for plan, records in batches:
        values = zip(*(told(plan, record) for record in records), strict=True)
        for name, column in zip(plan.columns, values, strict=False):
            others = (value for value in set(column) if value)
            texts[name] = texts.get(name, False) or not all(map(NUMBER.fullmatch, others))
        for name in plan.columns:
            texts.setdefault(name, False)
    fields = [pa.field(name, pa.string() if text else pa.int64()) for name, text in texts.items()]
    return Metadata(pa.schema([*fields, *(plate_map.table.schema if plate_map else ())]), plate_map)


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


def image_rows(
    batches: Iterable[tuple[Plan, list[dict]]],
    overlays: list[Path],
    known: Metadata,
    folders: dict[str, str],
    picture: str,
    pixel_size_um: float | str | None,
    stages: Sequence[str] = STAGES,
) -> Iterator[dict]:
    """One row an image, from the records that the last stages of each batch left.

    Parameters
    ----------
    batches : iterable of (Plan, list of dict)
        Each batch with the records of stage measure.
    overlays : list of Path
        Directories of the overlays, of the same batches, or none.
    known : Metadata
    folders : dict
        Directory below the results of each product that is kept.
    picture : str
        Ending of overlays.
    pixel_size_um : float, str or None
        That of the config, see `pixel_size`.
    stages : sequence of str
        Whose seconds are told.
    """
    for index, (plan, records) in enumerate(batches):
        drawn = json.loads((overlays[index] / RECORDS).read_text()) if overlays else records
        described = known.of_records(plan, records).to_pylist()
        for record, overlay, row in zip(records, drawn, described, strict=True):
            stated = record.get("stated_pixel_size_um"), record.get("stated_pixel_size_source", "")
            size, source = pixel_size(*stated, pixel_size_um)
            facts = record | {"pixel_size_um": size, "pixel_size_source": source}
            yield (
                {name: facts[name] for name in PLACE}
                | row
                | _outcome(facts, overlay, folders, picture, stages)
            )


def _outcome(
    record: dict, drawn: dict, folders: dict[str, str], picture: str, stages: Sequence[str]
) -> dict:
    row = {name: record.get(name, "") for name in COLUMNS}
    for stage in stages:
        row[f"seconds_{stage}"] = drawn["seconds"].get(stage, record["seconds"].get(stage, ""))
    # An overlay that could not be drawn leaves the image's measurements as they are.
    row["message"] = record["message"] or drawn["message"]
    for product, folder in folders.items():
        ending = {"csv": "csv", "overlay": picture}.get(product, "tif")
        whole = record["status"] == "ok" and (product != "overlay" or drawn["status"] == "ok")
        path = f"{folder}/{record['batch']}/{record['image']}.{ending}"
        row[product] = path if whole else ""
    return row


def write_images(
    rows: Iterator[dict],
    known: pa.Schema,
    folders: dict[str, str],
    path: Path,
    stages: Sequence[str] = STAGES,
) -> None:
    """Write images.csv."""
    columns = [*PLACE, *known.names, *COLUMNS, *(f"seconds_{stage}" for stage in stages), *folders]
    with replaced(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_batches(measured: list[Path], plans: Path) -> Iterator[tuple[Plan, list[dict]]]:
    """Each batch with its records, read when its turn comes."""
    for folder in measured:
        records = json.loads((folder / RECORDS).read_text())
        yield load(plans / f"{folder.name}.json"), records


if "snakemake" in globals():
    with logged(snakemake):
        measured = [Path(folder) for folder in snakemake.input.measured]
        drawn = [Path(folder) for folder in snakemake.input.overlays]
        params, output = snakemake.params, snakemake.output

        def batches() -> Iterator[tuple[Plan, list[dict]]]:
            """Once more from the first, so that one is in memory at a time."""
            return read_batches(measured, Path(params.plans))

        plate_map = params.plate_map and read_plate_map(**params.plate_map)
        known = metadata(batches(), plate_map)
        parts = [folder / "objects.parquet" for folder in measured]
        write_objects(parts, known, batches(), Path(output.objects), Path(output.parquet))
        rows = image_rows(
            batches(),
            drawn,
            known,
            params.folders,
            params.ending,
            params.pixel_size_um,
            params.stages,
        )
        write_images(rows, known.schema, params.folders, Path(output.images), params.stages)
