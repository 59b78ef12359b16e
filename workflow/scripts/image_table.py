"""images.csv: one row an image, how it went and where its files are."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from nucleiflow import columns
from nucleiflow.batch import RECORDS
from nucleiflow.files import replaced
from nucleiflow.flags import Judge, Seen
from nucleiflow.job import logged
from nucleiflow.metadata import PLACE, Metadata, known_of, read_batches
from nucleiflow.pixel_size import pixel_size
from nucleiflow.plan import Plan
from nucleiflow.spreadsheet import write_rows

STAGES = ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")
# What an image that is cut into tiles has one file of.
WHOLE = ("labels", "cells", "cytoplasm", "ring", "csv", "overlay")
# Columns after those that names, sheets and the plate map give.
COLUMNS = tuple(column.name for column in columns.OUTCOME)


def image_rows(
    batches: Iterable[tuple[Plan, list[dict]]],
    overlays: list[Path],
    known: Metadata,
    folders: dict[str, str],
    picture: str,
    pixel_size_um: float | str | None,
    judge: Judge,
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
    judge : Judge
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
                | judge.of_record(record)
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
        # Stages before their labels were joined left a file a tile.
        whole = whole and (product in WHOLE or not record.get("tiles"))
        path = f"{folder}/{record['batch']}/{record['image']}.{ending}"
        row[product] = path if whole else ""
    return row


def write_images(
    rows: Iterator[dict],
    known: pa.Schema,
    folders: dict[str, str],
    path: Path,
    judge: Judge,
    stages: Sequence[str] = STAGES,
) -> None:
    """Write images.csv."""
    names = [*PLACE, *known.names, *COLUMNS, *judge.columns]
    names += [*(f"seconds_{stage}" for stage in stages), *folders]
    with replaced(path) as part:
        write_rows(part, names, rows)


if "snakemake" in globals():
    with logged(snakemake):
        params = snakemake.params
        measured, drawn = (
            [Path(folder) for folder in snakemake.input.get(name, [])]
            for name in ("measured", "overlays")
        )
        seen = Seen()
        known = known_of(measured, params.plans, params.plate_map, seen.add)
        judge = Judge(params.qc, tuple(seen.channels), seen.usual())
        rows = image_rows(
            read_batches(measured, Path(params.plans)),
            drawn,
            known,
            params.folders,
            params.ending,
            params.pixel_size_um,
            judge,
            params.stages,
        )
        path = Path(snakemake.output[0])
        write_images(rows, known.schema, params.folders, path, judge, params.stages)
