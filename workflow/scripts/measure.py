"""Stage 5, measure: from labels to one row a nucleus."""

import io
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from skimage.measure import regionprops_table

from nucleiflow.batch import Batch, open_batch
from nucleiflow.field import Field, pick
from nucleiflow.images import ImageError
from nucleiflow.labels import border_pixels

# Numbers of pixels, which scikit-image gives as floats.
COUNTS = ("label", "num_pixels", "area", "area_bbox", "area_convex", "area_filled", "euler_number")


def measure(
    labels: np.ndarray,
    channels: Iterable[tuple[str, np.ndarray]],
    properties: list[str],
    frame: int,
) -> pd.DataFrame:
    """Measure every labelled nucleus in one or more channels.

    Parameters
    ----------
    labels : (Y, X) array of int32
    channels : iterable of (name, (Y, X) array of numbers)
        What the camera wrote. Columns of intensities end in the name, or in nothing where it is
        empty. One at a time is in memory where they are generated.
    properties : list of str
        Names of scikit-image's `regionprops`, or `intensity_sum`.
    frame : int
        Width of the frame of the image in which there can be no label: nuclei that touch it
        are on the border.

    Returns
    -------
    DataFrame
        One row a nucleus with `label`, the properties (several columns `NAME-0`, `NAME-1` ...
        where a property has several numbers) and `on_border`. Counts are int64, others float64.
        The same columns of the same types without any nucleus. Lengths in pixels, areas in
        pixels, intensities in the units of the image, `orientation` in radians.
    """
    shapes = [name for name in properties if not of_intensity(name)]
    table = pd.DataFrame(regionprops_table(labels, properties=["label", *shapes]))
    parts = [table]
    for channel, raw in channels:
        if labels.shape != raw.shape:
            raise ImageError(
                f"the labels have {labels.shape} pixels and the image {raw.shape}: "
                "the image changed while the workflow ran, run it again"
            )
        part = _intensities(labels, raw, [name for name in properties if of_intensity(name)])
        parts.append(part.add_suffix(f"_{channel}") if channel else part)
    table = pd.concat(parts, axis=1)
    table = table[_in_order(table.columns, ["label", *properties])]
    whole = [name for name in table if name in COUNTS or name.startswith("bbox-")]
    table = table.astype({name: np.int64 if name in whole else np.float64 for name in table})
    table["on_border"] = table["label"].isin(np.unique(border_pixels(labels, frame)))
    return table


def of_intensity(name: str) -> bool:
    """Whether a property is one of a channel rather than of the shape."""
    return name.startswith("intensity_") or "_weighted" in name


def _intensities(labels: np.ndarray, raw: np.ndarray, properties: list[str]) -> pd.DataFrame:
    """The properties of one channel, a row a nucleus in the order of the labels."""
    from_library = [name for name in properties if name != "intensity_sum"]
    table = pd.DataFrame(regionprops_table(labels, raw, properties=["label", *from_library]))
    if "intensity_sum" in properties:
        table["intensity_sum"] = intensity_sum(labels, raw)[table["label"]]
    return table.drop(columns="label")


def intensity_sum(labels: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Sum of the intensities under each label, (largest label + 1,) array of float64."""
    inside = labels > 0
    return np.bincount(
        labels[inside], weights=raw[inside].astype(np.float64), minlength=int(labels.max()) + 1
    )


def _in_order(columns: Iterable[str], names: list[str]) -> list[str]:
    """Columns in the order of their properties: `NAME`, `NAME-0`, `NAME-1-0`, and `_CHANNEL`."""
    columns, ordered = list(columns), []
    # Of `area` and `area_bbox`, the longer name is that of the column.
    for name in sorted(names, key=len, reverse=True):
        found = [column for column in columns if re.match(rf"{name}(-\d+)*(_|$)", column)]
        columns = [column for column in columns if column not in found]
        ordered.append((names.index(name), found))
    return [column for _, found in sorted(ordered) for column in found]


def measured(field: Field, which: str | list[str | int]) -> list[int]:
    """Indices of the channels to measure: `all`, `segmented`, or those of a list."""
    if which == "all":
        return list(range(len(field.names)))
    if which == "segmented":
        return [field.segmented()]
    indices = (pick(name, field.names, field.stated, "measure.channels") for name in which)
    return list(dict.fromkeys(indices))


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    settings = dict(settings)
    view, which, csv = (settings.pop(key) for key in ("view", "channels", "csv"))
    with item.field(view) as field:
        # Columns of a channel that the user did not choose among others need not tell which.
        names = [""] * len(field.names) if which == "segmented" else field.names
        channels = ((names[index], field.image(index)) for index in measured(field, which))
        table = measure(item.read("labels"), channels, **settings)
    item.facts["objects"] = len(table)
    item.result = table
    return {"csv": ("csv", as_csv(table))} if csv else {}


def as_csv(table: pd.DataFrame) -> bytes:
    """A table as CSV, spelled as in `objects.csv`."""
    sink = io.BytesIO()
    pa.csv.write_csv(pa.Table.from_pandas(table, preserve_index=False), sink)
    return sink.getvalue()


def batch_table(batch: Batch, properties: list[str]) -> pa.Table:
    """The tables of a batch's images in one, with the names of directory, batch and image.

    Of a channel that an image does not have, its nuclei have no values.
    """
    tables = [
        item.result.assign(image=item.record["image"])
        for item in batch.items
        if item.result is not None
    ]
    if not tables:
        table = measure(np.zeros((1, 1), np.int32), [], properties, 0).assign(image="")
    else:
        # Columns of the image with the most channels come first. Empty tables have their say.
        widest = max(tables, key=lambda table: table.shape[1])
        table = pd.concat([widest.iloc[:0], *tables])
    table.insert(0, "directory", batch.plan.directory)
    table.insert(1, "batch", batch.plan.name)
    table.insert(2, "image", table.pop("image"))
    return pa.Table.from_pandas(table, preserve_index=False)


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        batch.map(compute)
        pq.write_table(
            batch_table(batch, batch.settings["properties"]),
            batch.folder / "objects.parquet",
            compression="zstd",
        )
