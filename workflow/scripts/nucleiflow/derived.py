"""Columns that follow from others: micrometres, ratios, and all under CellProfiler's names.

They are made where tables are joined, so that a pixel size, a ratio or a name runs no stage again.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nucleiflow import columns
from nucleiflow.columns import Column
from nucleiflow.job import JobError
from nucleiflow.lengths import side_of_pixel

# Under which a column of Parquet keeps the name that the rest of the workflow knows it by.
OURS = b"nucleiflow"


class Ratio(NamedTuple):
    """A column that is one over another."""

    name: str
    above: str
    below: str


class Derived(NamedTuple):
    """What is added to the columns of `objects`.

    Attributes
    ----------
    measured, schema : pyarrow schemas
        Columns that are measured; and all, each in micrometres behind that in pixels, ratios last.
    scaled : dict
        From a column in micrometres to that in pixels, and 1 for a length or 2 for an area.
    ratios : tuple of Ratio
    """

    measured: pa.Schema
    schema: pa.Schema
    scaled: dict[str, tuple[str, int]]
    ratios: tuple[Ratio, ...]

    def applied(self, table: pa.Table, sides: np.ndarray) -> pa.Table:
        """A table with these columns as well.

        Parameters
        ----------
        table : pyarrow table
            Of the columns that are measured.
        sides : (n,) array of float64
            Side of a pixel of each row's image in micrometres, NaN where it is not known.
        """
        made = {}
        for name, (source, power) in self.scaled.items():
            # Of an image whose pixel size is not known, there is no value.
            side = pa.array(sides**power, from_pandas=True)
            made[name] = pc.multiply(table[source].cast(pa.float64()), side)
        for name, above, below in self.ratios:
            over, under = (
                pc.cast(made[side] if side in made else table[side], pa.float64())
                for side in (above, below)
            )
            under = pc.if_else(pc.equal(under, 0), None, under)
            made[name] = pc.divide(over, under)
        arrays = [made[name] if name in made else table[name] for name in self.schema.names]
        return pa.table(arrays, schema=self.schema)


def derived(
    schema: pa.Schema,
    known: Iterable[str],
    in_um: bool,
    ratios: dict[str, str],
    others: Iterable[Column] = (),
) -> Derived:
    """What to add to the columns that are measured.

    Parameters
    ----------
    schema : pyarrow schema
        Columns of `objects` as measured.
    known : iterable of str
        Those that tell what is known of images, which may be called like anything.
    in_um : bool
        Whether any image has a pixel size.
    ratios : dict
        `measure: ratios` of the config: `COLUMN / COLUMN` by name. Where neither tells a channel,
        there is a ratio for each.
    others : iterable of Column
        See `columns.find`.

    Raises
    ------
    JobError
        Where a ratio is of columns that are not there.
    """
    known, fields, scaled = set(known), [], {}
    for field in schema:
        fields.append(field)
        found = None if field.name in known else columns.find(field.name)
        power = found and columns.power_of(found.column.name)
        if in_um and power:
            name = in_micrometres(field.name, found)
            scaled[name] = field.name, power
            fields.append(pa.field(name, pa.float64()))
    names = [field.name for field in fields if field.name not in known]
    channels = {
        name: found.channel for name in names if (found := columns.find(name, others)) is not None
    }
    made = [each for name, sides in ratios.items() for each in ratios_of(name, sides, channels)]
    fields += [pa.field(each.name, pa.float64()) for each in made]
    return Derived(schema, pa.schema(fields), scaled, tuple(made))


def in_micrometres(name: str, found: columns.Found) -> str:
    """Name of the column that says the same in micrometres: `_um` or `_um2` before a channel."""
    (column,) = columns.micrometre_columns(found.column)
    channel = f"_{found.channel}" if found.channel else ""
    return f"{name.removesuffix(channel).removesuffix(found.column.name)}{column.name}{channel}"


def ratios_of(name: str, sides: str, measured: dict[str, str]) -> list[Ratio]:
    """The columns of a ratio: one, or one for each channel.

    `measured` are the channels of all columns by their names, empty where they are of none.
    """
    above, below = (side.strip() for side in sides.split("/"))
    if above in measured and below in measured:
        return [Ratio(f"ratio_{name}", above, below)]
    channels = {
        side: [
            channel
            for column, channel in measured.items()
            if channel and column == f"{side}_{channel}"
        ]
        for side in (above, below)
    }
    found = []
    for channel in channels[above] or channels[below]:
        pair = [side if side in measured else f"{side}_{channel}" for side in (above, below)]
        if set(pair) <= set(measured):
            found.append(Ratio(f"ratio_{name}_{channel}", *pair))
    if not found:
        missing = next(
            (side for side in (above, below) if side not in measured and not channels[side]), above
        )
        raise JobError(
            f"config: measure.ratios.{name} names {missing}, which is not measured: there are "
            f"{', '.join(measured)}"
        )
    return found


def is_in_um(records: list[dict], pixel_size_um: float | str | None) -> bool:
    """Whether the size of the pixels of any of a batch's images is known."""
    return bool(np.isfinite(sides_of_pixels(records, pixel_size_um, None)).any())


def sides_of_pixels(
    records: list[dict], pixel_size_um: float | str | None, crop: dict | None
) -> np.ndarray:
    """Sides of the pixels of a batch's images, after crop and resize, in micrometres.

    Parameters
    ----------
    records : list of dict
        `size` is that of the labels, in rows and columns; images without have no objects.
    pixel_size_um, crop
        Those of the config.

    Returns
    -------
    (n,) array of float64
        NaN where it is not known.
    """
    sides = (
        side_of_pixel(record, record["size"], pixel_size_um, crop) if "size" in record else None
        for record in records
    )
    return np.array([np.nan if side is None else side for side in sides], np.float64)


def in_cellprofilers_names(
    schema: pa.Schema, known: Iterable[str], others: Iterable[Column]
) -> tuple[pa.Schema, list[float]]:
    """A schema under CellProfiler's names, and the factors to its units.

    Each column keeps its own name in its metadata, for `own_names`.
    """
    try:
        names = columns.renamed(schema.names, known, others)
    except ValueError as error:
        raise JobError(str(error)) from None
    fields = [
        pa.field(name, field.type if factor == 1 else pa.float64(), metadata={OURS: field.name})
        for field, (name, factor) in zip(schema, names, strict=True)
    ]
    return pa.schema(fields), [factor for _, factor in names]


def renamed(table: pa.Table, schema: pa.Schema, factors: list[float]) -> pa.Table:
    """A table under the names and in the units that `in_cellprofilers_names` gave."""
    arrays = [
        column if factor == 1 else pc.multiply(column.cast(pa.float64()), factor)
        for column, factor in zip(table.columns, factors, strict=True)
    ]
    return pa.table(arrays, schema=schema)


def own_names(schema: pa.Schema) -> dict[str, str]:
    """From our names of columns to those in a file, whatever `naming` was."""
    return {
        (field.metadata or {}).get(OURS, field.name.encode()).decode(): field.name
        for field in schema
    }
