"""What is known of images beside their pixels: names, sheets and plate maps, as typed columns."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from nucleiflow.batch import RECORDS
from nucleiflow.plan import Plan, load
from nucleiflow.plate_map import PlateMap, read_plate_map

NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})")
# Columns of all tables before those that names, sheets and the plate map give.
PLACE = ("directory", "batch", "image", "file")


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


def read_batches(measured: list[Path], plans: Path) -> Iterator[tuple[Plan, list[dict]]]:
    """Each batch with its records, read when its turn comes."""
    for folder in measured:
        records = json.loads((folder / RECORDS).read_text())
        yield load(plans / f"{folder.name}.json"), records


def known_of(
    measured: list[Path],
    plans: str,
    plate_map: dict | None,
    look: Callable[[list[dict]], None] | None = None,
) -> Metadata:
    """What is known of the images of all batches, one batch in memory at a time.

    `plate_map` are the arguments of `read_plate_map`, or None where there is none. `look` is
    called with the records of each batch.
    """

    def batches() -> Iterator[tuple[Plan, list[dict]]]:
        for plan, records in read_batches(measured, Path(plans)):
            if look:
                look(records)
            yield plan, records

    joined = plate_map and read_plate_map(**plate_map)
    return metadata(batches(), joined)
