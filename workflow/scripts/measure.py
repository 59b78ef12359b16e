"""Stage 5, measure: from labels to one row a nucleus."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from skimage.measure import regionprops_table

from nucleiflow.batch import Batch, open_batch
from nucleiflow.field import channel, cut_out
from nucleiflow.images import ImageError
from nucleiflow.labels import border_pixels

# Numbers of pixels, which scikit-image gives as floats.
COUNTS = ("label", "num_pixels", "area", "area_bbox", "area_convex", "area_filled", "euler_number")


def measure(labels: np.ndarray, raw: np.ndarray, properties: list[str], frame: int) -> pd.DataFrame:
    """Measure every labelled nucleus.

    Parameters
    ----------
    labels : (Y, X) array of int32
    raw : (Y, X) array of numbers
        The segmented channel as the camera wrote it.
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
    if labels.shape != raw.shape:
        raise ImageError(
            f"the labels have {labels.shape} pixels and the image {raw.shape}: "
            "the image changed while the workflow ran, run it again"
        )
    from_library = ["label", *(name for name in properties if name != "intensity_sum")]
    table = pd.DataFrame(regionprops_table(labels, raw, properties=from_library))
    if "intensity_sum" in properties:
        table["intensity_sum"] = intensity_sum(labels, raw)[table["label"]]
    table = table[_in_order(table.columns, ["label", *properties])]
    whole = [name for name in table if name in COUNTS or name.startswith("bbox-")]
    table = table.astype({name: np.int64 if name in whole else np.float64 for name in table})
    table["on_border"] = table["label"].isin(np.unique(border_pixels(labels, frame)))
    return table


def intensity_sum(labels: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Sum of the intensities under each label, (largest label + 1,) array of float64."""
    inside = labels > 0
    return np.bincount(
        labels[inside], weights=raw[inside].astype(np.float64), minlength=int(labels.max()) + 1
    )


def _in_order(columns: list[str], names: list[str]) -> list[str]:
    """Columns sorted as the names of their properties, `NAME` or `NAME-0`, `NAME-1-0` ..."""
    of_name: dict[str, list[str]] = {}
    for column in columns:
        of_name.setdefault(column.split("-")[0], []).append(column)
    return [column for name in dict.fromkeys(names) for column in of_name[name]]


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    settings = dict(settings)
    which, crop, resize, csv = (settings.pop(key) for key in ("channel", "crop", "resize", "csv"))
    raw = channel(cut_out(item.read_source(), crop, resize), which)
    table = measure(item.read("labels"), raw, **settings)
    item.facts["objects"] = len(table)
    item.result = table
    return {"csv": ("csv", as_csv(table))} if csv else {}


def as_csv(table: pd.DataFrame) -> bytes:
    """A table as CSV, spelled as in `objects.csv`."""
    sink = io.BytesIO()
    pa.csv.write_csv(pa.Table.from_pandas(table, preserve_index=False), sink)
    return sink.getvalue()


def batch_table(batch: Batch, properties: list[str]) -> pa.Table:
    """The tables of a batch's images in one, with the names of directory, batch and image."""
    none = measure(np.zeros((1, 1), np.int32), np.zeros((1, 1), np.uint8), properties, 0)
    tables = [none]
    for item in batch.items:
        if item.result is not None:
            tables.append(item.result.assign(image=item.record["image"]))
    table = pd.concat([none.assign(image=""), *tables[1:]])
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
