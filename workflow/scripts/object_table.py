"""objects.parquet: one row an object, from the tables of the batches."""

import base64
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nucleiflow import columns, table_parts
from nucleiflow.derived import (
    Derived,
    derived,
    in_cellprofilers_names,
    is_in_um,
    renamed,
    sides_of_pixels,
)
from nucleiflow.files import replaced
from nucleiflow.flags import excluded_images
from nucleiflow.job import logged
from nucleiflow.metadata import PLACE, Metadata, known_of, read_batches
from nucleiflow.plan import Plan

# Rows of a group of objects.parquet, fewer where they have many columns: what is in memory.
GROUP = 100_000
VALUES = 10_000_000
# A text stands once in memory and in a group of the file, and its number in every row.
TEXT = pa.dictionary(pa.int32(), pa.string())


class Added(NamedTuple):
    """What follows from what is measured, see `nucleiflow.derived`.

    Attributes
    ----------
    in_um : bool
        Whether any image has a pixel size.
    pixel_size_um, crop, ratios, naming
        Those of the config.
    families : dict or None
        Options of the families that are measured.
    """

    in_um: bool = False
    pixel_size_um: float | str | None = None
    crop: dict | None = None
    ratios: dict[str, str] | None = None
    families: dict[str, dict] | None = None
    naming: str = "skimage"


NOTHING = Added()


def objects_schema(parts: list[Path], known: pa.Schema) -> pa.Schema:
    """Columns of objects: where it is, what is known of the image, what was measured.

    Those of the batch with the most channels come first, then what others have more. Texts are
    dictionaries.
    """
    # Few differ: of each, one is kept.
    schemas = dict.fromkeys(pq.read_schema(part).remove_metadata() for part in parts)
    fields = {field.name: field for field in table_parts.joined(schemas)}
    place = [pa.field(name, pa.string()) for name in PLACE if fields.pop(name, None)]
    return _as_written(pa.schema([*place, *known, *fields.values()]))


def _as_written(schema: pa.Schema) -> pa.Schema:
    return _retyped(schema, pa.string(), TEXT)


def _as_read(schema: pa.Schema) -> pa.Schema:
    """Texts, as pandas would group by every pair of categories, whether it occurs or not."""
    return _retyped(schema, TEXT, pa.string())


def _retyped(schema: pa.Schema, old: pa.DataType, new: pa.DataType) -> pa.Schema:
    return pa.schema(field.with_type(new) if field.type == old else field for field in schema)


def write_objects(
    parts: list[Path],
    known: Metadata,
    batches: Iterable[tuple[Plan, list[dict]]],
    path: Path,
    added: Added = NOTHING,
    excluded: Set[tuple[str, str]] = frozenset(),
) -> int:
    """Join the tables of the batches, in their order, one group of rows at a time.

    Objects of `excluded` images, by batch and name, are left out. Returns the number of objects.
    """
    ratios = added.ratios or {}
    others = columns.added(ratios, added.families)
    measured = objects_schema(parts, known.schema)
    made = derived(measured, known.schema.names, added.in_um, ratios, others)
    schema, factors = made.schema, []
    if added.naming == "cellprofiler":
        schema, factors = in_cellprofilers_names(schema, known.schema.names, others)
    texts = [field.name for field in schema if field.type == TEXT]
    options = {"compression": "zstd", "use_dictionary": texts, "store_schema": False}
    count = 0
    with replaced(path) as part, pq.ParquetWriter(part, schema, **options) as file:
        for group in _groups(parts, known, batches, made, added, excluded):
            file.write_table(renamed(group, schema, factors) if factors else group)
            count += group.num_rows
        read_as = base64.b64encode(_as_read(schema).serialize())
        file.add_key_value_metadata({"ARROW:schema": read_as.decode()})
    return count


def _groups(
    parts: list[Path],
    known: Metadata,
    batches: Iterable[tuple[Plan, list[dict]]],
    made: Derived,
    added: Added,
    excluded: Set[tuple[str, str]],
) -> Iterator[pa.Table]:
    """The batches' tables, joined to pieces of as many rows as a group has, or more."""
    size = min(GROUP, max(1, VALUES // len(made.schema)))
    waiting, rows = [], 0
    for part, (plan, records) in zip(parts, batches, strict=True):
        images = _images(plan, records, known)
        sides = sides_of_pixels(records, added.pixel_size_um, added.crop)
        names = pa.array([record["image"] for record in records], pa.string())
        kept = np.array([(plan.batch.name, name) not in excluded for name in names.to_pylist()])
        with pq.ParquetFile(part) as file:
            for measured in file.iter_batches(size, use_threads=False):
                image = pc.index_in(measured["image"].cast(pa.string()), names).to_numpy()
                if not kept.all():
                    measured, image = measured.filter(pa.array(kept[image])), image[kept[image]]
                described = _described(measured, images.take(image), made.measured)
                waiting.append(made.applied(described, sides[image]))
                rows += measured.num_rows
                if rows >= size:
                    yield pa.concat_tables(waiting).unify_dictionaries()
                    waiting, rows = [], 0
    if waiting:
        yield pa.concat_tables(waiting).unify_dictionaries()


def _images(plan: Plan, records: list[dict], known: Metadata) -> pa.Table:
    """Where the images of a batch are and what is known of them, a row for each record."""
    where = {
        "directory": [plan.batch.directory] * len(records),
        "batch": [plan.batch.name] * len(records),
        "image": [record["image"] for record in records],
    }
    of_records = known.of_records(plan, records)
    columns = {name: pa.array(texts, pa.string()) for name, texts in where.items()}
    columns |= zip(of_records.column_names, of_records.columns, strict=True)
    table = pa.table(columns)
    return table.cast(_as_written(table.schema))


def _described(measured: pa.RecordBatch, images: pa.Table, schema: pa.Schema) -> pa.Table:
    """Objects with what is known of the image of each, in the columns of all batches."""
    columns = dict(zip(measured.schema.names, measured.columns, strict=True))
    columns |= zip(images.column_names, images.columns, strict=True)
    return table_parts.fitted(columns, measured.num_rows, schema)


if "snakemake" in globals():
    with logged(snakemake):
        params = snakemake.params
        measured = [Path(folder) for folder in snakemake.input.measured]
        sized: list[bool] = []

        def look(records: list[dict]) -> None:
            """Whether the images of any batch have a pixel size."""
            sized[:] = sized or [True] * is_in_um(records, params.added["pixel_size_um"])

        known = known_of(measured, params.plans, params.plate_map, look)
        write_objects(
            [folder / "objects.parquet" for folder in measured],
            known,
            read_batches(measured, Path(params.plans)),
            Path(snakemake.output[0]),
            Added(bool(sized), **params.added),
            excluded_images(Path(snakemake.input.images)),
        )
