"""Stage 5, measure: from labels to one row a nucleus."""

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from nucleiflow import plan, table_parts
from nucleiflow.batch import Batch, Item, open_batch
from nucleiflow.counting import occurrences
from nucleiflow.families import named
from nucleiflow.field import Field, pick
from nucleiflow.flat_field import corrected
from nucleiflow.images import ImageError, full_scale
from nucleiflow.labels import border_pixels, numbered
from nucleiflow.properties import columns_of_objects, of_intensity
from nucleiflow.quality import of_channel, of_nuclei
from nucleiflow.runs import Runs, runs_of
from nucleiflow.tiles import local, offsets, part_of, renumbered

if TYPE_CHECKING:
    import pandas as pd

# Whole numbers, some of which scikit-image gives as floats.
COUNTS = (
    *("label", "num_pixels", "area", "area_bbox", "area_convex", "area_filled", "euler_number"),
    "neighbors_number",
)
# Values of objects that wait in memory until they are written, 8 bytes each; joining them takes as
# much again.
CELLS = 1 << 20
# Columns of properties, by the names of both.
Columns = dict[str, dict[str, np.ndarray]]


def measure(
    labels: np.ndarray,
    channels: Iterable[tuple[str, np.ndarray]],
    properties: list[str],
    frame: int,
) -> "pd.DataFrame":
    """Measure every labelled nucleus in one or more channels.

    Parameters
    ----------
    labels : (Y, X) array of int32
    channels : iterable of (name, (Y, X) array of numbers)
        What the camera wrote. Columns of intensities end in the name, or in nothing where it is
        empty. One at a time is in memory where they are generated.
    properties : list of str
        From `properties.NAMES`.
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
    # A third of a second to import, which jobs do without.
    import pandas as pd

    return pd.DataFrame(columns_of({"nuclei": labels}, channels, properties, frame))


def columns_of(
    objects: dict[str, np.ndarray],
    channels: Iterable[tuple[str, np.ndarray]],
    properties: list[str],
    frame: int,
    nuclei: bool = True,
    families: dict[str, dict] | None = None,
    white: float | None = None,
) -> dict[str, np.ndarray]:
    """Measure nuclei, and what belongs to each, in one or more channels.

    Parameters
    ----------
    objects : dict of (Y, X) arrays of int32
        `nuclei`, and other objects by their names, which have the numbers of their nuclei.
    channels, properties, frame
        As in `measure`. Only nuclei keep off the frame.
    nuclei : bool
        Measure nuclei, too. Their `label` and `on_border` are always there.
    families : dict of dict
        Options of CellProfiler's families of measurements, see `nucleiflow.families`. For
        `colocalization` all channels are in memory.
    white : float or None
        Intensity that is white to these families, see `nucleiflow.cellprofiler.columns_of`.

    Returns
    -------
    dict of arrays
        The columns of `measure` by their names, with those of the families before `on_border`, and
        the same columns for each of the other objects, with its name and `_` before theirs, `label`
        left out. Of an object without a pixel, `area` and `num_pixels` are 0, `on_border` is false,
        and other values are missing: whole numbers of other objects are in masked arrays.
    """
    properties_of = dict.fromkeys(objects, properties) | ({} if nuclei else {"nuclei": []})
    families = families or {}
    measured = [name for name in objects if families and (nuclei or name != "nuclei")]
    numbers = {name: numbered(objects[name]) for name in measured}
    if families:
        # Its import takes a second.
        from nucleiflow import cellprofiler
    runs = {name: runs_of(labels) for name, labels in objects.items()}
    parts: dict[str, list[Columns]] = {name: [] for name in objects}
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in objects}
    names: dict[str, None] = {}
    for group in _groups(channels, "colocalization" in families):
        names |= dict.fromkeys(group)
        for name, labels in objects.items():
            if len(group) < 2:
                part = _properties(labels, runs[name], group, properties_of[name])
                parts[name].append(part)
            if name in numbers:
                found[name] |= cellprofiler.columns_of(numbers[name], group, families, white)
    result: dict[str, np.ndarray] = {}
    for name, labels in objects.items():
        columns = {"label": runs[name].numbers.astype(np.int64)}
        columns |= _typed(parts[name], properties_of[name])
        if name in numbers:
            columns |= {column: found[name][column] for column in named(families, list(names))}
        inset = frame if name == "nuclei" else 0
        columns["on_border"] = np.isin(columns["label"], border_pixels(labels, inset))
        result |= columns if name == "nuclei" else _beside(result["label"], columns, name)
    return result


def _groups(
    channels: Iterable[tuple[str, np.ndarray]], pairs: bool
) -> Iterator[dict[str, np.ndarray]]:
    """No channel, each channel, and each two channels where pairs are asked for."""
    yield {}
    held = {}
    for name, raw in channels:
        yield {name: raw}
        if pairs:
            held[name] = raw
    for pair in combinations(held, 2):
        yield {name: held[name] for name in pair}


def _typed(parts: list[Columns], properties: list[str]) -> dict[str, np.ndarray]:
    """Columns of one kind of objects, by properties and of each by channels, in their types."""
    ordered = {}
    for property_ in dict.fromkeys(properties):
        for part in parts:
            for name, values in part.get(property_, {}).items():
                ordered[name] = values.astype(np.int64 if _is_whole(name) else np.float64)
    return ordered


def _beside(nuclei: np.ndarray, columns: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The columns of other objects in the order of their nuclei, where some may have none."""
    own = columns.pop("label")
    there = np.isin(nuclei, own)
    place = np.searchsorted(own, nuclei[there])
    found = {}
    for column, values in columns.items():
        whole = _is_whole(column)
        ordered = np.full(nuclei.size, 0 if whole or values.dtype == bool else np.nan, values.dtype)
        ordered[there] = values[place]
        if whole and column not in ("area", "num_pixels"):
            ordered = np.ma.masked_array(ordered, ~there)
        found[f"{name}_{column}"] = ordered
    return found


def _is_whole(column: str) -> bool:
    return column in COUNTS or column.startswith("bbox-")


def _properties(
    labels: np.ndarray, runs: Runs, channels: dict[str, np.ndarray], properties: list[str]
) -> Columns:
    """The properties of one channel, or those of shape."""
    wanted = [name for name in properties if of_intensity(name) == bool(channels)]
    if not channels:
        return columns_of_objects(labels, runs, None, wanted)
    ((channel, raw),) = channels.items()
    if labels.shape != raw.shape:
        raise ImageError(
            f"the labels have {labels.shape} pixels and the image {raw.shape}: "
            "the image changed while the workflow ran, run it again"
        )
    ending = f"_{channel}" if channel else ""
    return {
        name: {column + ending: values for column, values in columns.items()}
        for name, columns in columns_of_objects(labels, runs, raw, wanted).items()
    }


def measured(field: Field, which: str | list[str | int]) -> list[int]:
    """Indices of the channels to measure: `all`, `segmented`, or those of a list."""
    if which == "all":
        return list(range(len(field.names)))
    if which == "segmented":
        return [field.segmented()]
    indices = (pick(name, field.names, field.stated, "measure.channels") for name in which)
    return list(dict.fromkeys(indices))


def looked_at(
    field: Field,
    even: Field,
    chosen: dict[int, str],
    nuclei: np.ndarray,
    frame: int,
    quality: dict,
    core: tuple[slice, slice] | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Channels of a corrected field with their names, one at a time, by their indices.

    `quality` gets what `nucleiflow.quality` tells of the image, or of a core of it, and of its
    channels by their names: of each after it was measured.
    """
    core = core or np.s_[:, :]
    quality["image"], places = of_nuclei(nuclei[core], frame)
    quality["channels"] = {}
    for index, name in chosen.items():
        raw = even.image(index)
        yield name, raw
        camera = None if even is field else field.image(index)
        camera = camera if camera is None else camera[core]
        quality["channels"][name] = of_channel(raw[core], places, camera)


def white_of(field: Field, corrected: bool) -> float | None:
    """Intensity that is white where the type of a channel does not tell, as that of its file does.

    That is where light was corrected, and in means and sums of planes.
    """
    planes = max(map(len, field.planes))
    projection = field.view.z if planes > 1 else None
    if field.dtype.kind not in "ui" or not (corrected or projection in ("mean", "sum")):
        return None
    return full_scale(field.dtype) * (planes if projection == "sum" else 1)


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    settings = dict(settings)
    background = settings.pop("background", False)
    view, which, csv, objects = (
        settings.pop(key) for key in ("view", "channels", "csv", "objects")
    )
    illumination, white = (settings.pop(key, None) for key in ("illumination", "max_intensity"))
    labels = {"nuclei": item.read("labels")}
    labels |= {name: item.read(name) for name in objects if name != "nuclei"}
    tile = item.record if "window" in item.record else None
    if tile:
        labels["nuclei"], numbers = local(labels["nuclei"], tile)
        others = {name: renumbered(labels[name], numbers) for name in labels if name != "nuclei"}
        labels |= others
    with item.field(view) as field:
        # Columns of a channel that the user did not choose among others need not tell which.
        names = [""] * len(field.names) if which == "segmented" else field.names
        even = corrected(field, illumination, item.record, exact=True)
        chosen = {index: names[index] for index in measured(field, which)}
        quality: dict = {}
        # Object 1 can be the background.
        nuclei = labels["nuclei"]
        if background:
            nuclei = np.maximum(nuclei, 1)
            nuclei -= 1
        core = part_of(tile["core"], tile["window"][:2]) if tile else None
        channels = looked_at(field, even, chosen, nuclei, settings["frame"], quality, core)
        white = white or white_of(field, illumination is not None)
        columns = columns_of(labels, channels, nuclei="nuclei" in objects, white=white, **settings)
    if tile:
        columns = of_tile(columns, tile, numbers)
        quality["image"] |= of_objects_alone(columns, labels["nuclei"])
    item.result = as_table(columns)
    item.facts |= {"objects": len(item.result), "quality": quality}
    # From which the size of their pixels follows, after crop and resize.
    item.facts["size"] = labels["nuclei"].shape
    return {"csv": ("csv", as_csv(item.result))} if csv and not tile else {}


def of_tile(columns: dict[str, np.ndarray], tile: dict, numbers: np.ndarray) -> dict:
    """The rows of a tile's own objects, with their numbers and places in the image.

    `columns` are of all objects in the window of the tile, its own first, by the places of their
    numbers; see `nucleiflow.tiles.local`.
    """
    count = tile["last"] - tile["first"] + 1
    columns = {name: values[:count] for name, values in columns.items()}
    columns["label"] = numbers[columns["label"]].astype(np.int64)
    for name, shift in offsets(columns, tile).items():
        columns[name] = columns[name] + shift
    return columns


def of_objects_alone(columns: dict[str, np.ndarray], labels: np.ndarray) -> dict:
    """Of `quality`, what the core of a tile does not tell, as it cuts objects."""
    count = len(columns["label"])
    areas = occurrences(labels, count + 1)[1 : count + 1]
    return {
        "objects": count,
        "median_area": float(np.median(areas)) if count else None,
        "border_share": float(columns["on_border"].mean()) if count else None,
    }


def as_table(columns: dict[str, np.ndarray]) -> pa.Table:
    """Columns of numbers as a table, in which what is masked or not a number is missing."""
    return pa.table({name: _as_arrow(each) for name, each in columns.items()})


def _as_arrow(values: np.ndarray) -> pa.Array:
    """Of its memory: `pyarrow.array` imports pandas, a third of a second in each worker."""
    missing = np.ma.getmaskarray(values)
    if values.dtype.kind == "f":
        missing = missing | np.isnan(values)
    data = np.ascontiguousarray(np.ma.getdata(values))
    kind = pa.from_numpy_dtype(data.dtype)
    if data.dtype == bool:
        data = np.packbits(data, bitorder="little")
    there = np.packbits(~missing, bitorder="little") if missing.any() else None
    buffers = [None if part is None else pa.py_buffer(part) for part in (there, data)]
    return pa.Array.from_buffers(kind, len(values), buffers)


def as_csv(table: pa.Table) -> bytes:
    """A table as CSV, spelled as in `objects.csv`."""
    sink = io.BytesIO()
    pa.csv.write_csv(table, sink)
    return sink.getvalue()


def tables(batch: Batch, csv: bool, *measured: Any) -> Iterator[pa.Table]:
    """Measure a batch; gives the tables of some images at a time, `CELLS` or so, and at least one.

    Images that come in tiles have their CSV files written, where these are wanted; `measured` are
    further arguments of `joined`.
    """
    waiting, cells, none = [], 0, True
    for image in batch.each(compute):
        done = [item for item in image if item.result is not None]
        if csv and done and "window" in done[0].record:
            table = pa.concat_tables([item.result for item in done], promote_options="default")
            (batch.folder / f"{done[0].record['whole']}.csv").write_bytes(as_csv(table))
        waiting += done
        cells += sum(len(item.result) * item.result.num_columns for item in done)
        if cells >= CELLS:
            yield joined(batch.plan, waiting, *measured)
            for item in waiting:
                item.result = None
            waiting, cells, none = [], 0, False
    if waiting or none:
        yield joined(batch.plan, waiting, *measured)


def joined(
    planned: plan.Batch,
    items: Sequence[Item],
    properties: list[str],
    objects: Sequence[str] = ("nuclei",),
    families: dict[str, dict] | None = None,
) -> pa.Table:
    """The tables of images in one, with the names of directory, batch and image.

    Of a channel that an image does not have, its nuclei have no values.
    """
    tables = [item.result for item in items]
    if not tables:
        nothing = dict.fromkeys(["nuclei", *objects], np.zeros((1, 1), np.int32))
        table = as_table(columns_of(nothing, [], properties, 0, "nuclei" in objects, families))
    else:
        # Columns of the image with the most channels come first. Empty tables have their say.
        widest = max(tables, key=lambda table: table.num_columns)
        table = pa.concat_tables([widest.slice(0, 0), *tables], promote_options="default")
    names = [item.record.get("whole", item.record["image"]) for item in items]
    image = [_repeated(name, len(each)) for name, each in zip(names, tables, strict=True)]
    place = {
        "directory": _repeated(planned.directory, len(table)),
        "batch": _repeated(planned.name, len(table)),
        # Of text also where there is none.
        "image": pa.chunked_array(image, pa.string()),
    }
    return pa.table(place | dict(zip(table.column_names, table.columns, strict=True)))


def _repeated(text: str, count: int) -> pa.Array:
    """The same text so many times; of its memory, see `_as_arrow`."""
    data = text.encode()
    places = np.arange(count + 1, dtype=np.int32) * np.int32(len(data))
    return pa.StringArray.from_buffers(count, pa.py_buffer(places), pa.py_buffer(data * count))


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        if batch.settings["families"]:
            # Once, and not in each worker.
            from nucleiflow import cellprofiler  # noqa: F401
        keys = ("csv", "properties", "objects", "families")
        table_parts.write_parquet(
            tables(batch, *(batch.settings[key] for key in keys)),
            batch.folder / "objects.parquet",
            compression="zstd",
            # Numbers hardly repeat: looking for it doubles the time to write and to read them.
            use_dictionary=["directory", "batch", "image"],
        )
