"""summary.csv: one row a directory, or well, or whatever columns of images.csv tell."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from nucleiflow import columns
from nucleiflow.columns import Column
from nucleiflow.controls import Controls
from nucleiflow.derived import own_names
from nucleiflow.files import replaced
from nucleiflow.job import JobError, logged
from nucleiflow.safe_tables import as_csv, true_column

AUTO = ("area", "eccentricity", "intensity_mean")
# Standard deviations of a normal distribution in its median absolute deviation.
NORMAL = 1.4826
# Objects whose medians are taken at a time, or those of one group.
BLOCK = 1_000_000
TEXT = pa.dictionary(pa.int32(), pa.string())
PARSE = pa.csv.ParseOptions(newlines_in_values=True)


def summary_table(
    images: Path,
    objects: Path,
    group_by: Sequence[str],
    measurements: Sequence[str] | str,
    controls: Controls | None,
    others: Iterable[Column] = (),
) -> pd.DataFrame:
    """Images and objects of each group, median and MAD of measurements, compared with controls.

    One measurement of all objects is in memory at a time, with what tells their groups and wells:
    about 35 bytes an object.

    Parameters
    ----------
    images, objects : Path
        images.csv and objects.parquet.
    group_by : sequence of str
        Columns of images.csv. Rows are in the order in which their values come first there.
    measurements : sequence of str, or `auto`
        Columns of objects, or properties without channel, which stand for their columns of all
        channels, by the names of `naming: skimage`.
    controls : Controls or None
    others : iterable of Column
        See `columns.find`.

    Returns
    -------
    DataFrame
        `images`, `failed`, `flagged` and `excluded` (where images.csv tells), `objects`, and of
        each measurement `median_` and `mad_`, unscaled; with controls those of `compared` and
        `quality_of_plates`, too. NaN where there is no value.

    Raises
    ------
    JobError
        Where a column is not there.
    """
    needed = (controls.column, *controls.wells) if controls else ()
    table = read_images(images, [*group_by, *needed])
    group, first = numbered(table, group_by)
    count = len(first)
    result = pd.DataFrame({"images": np.bincount(group, minlength=count)})
    for name, counted in _counted(table).items():
        result[name] = np.bincount(group[counted], minlength=count)
    image = images_of_objects(objects, table)
    groups = grouped(group[image], count)
    result["objects"] = np.diff(groups.starts)
    wells = wells_of(table, image, controls) if controls else None
    names = own_names(pq.read_schema(objects))
    for name in chosen(measurements, names, others):
        values = values_of(objects, names[name])
        found = statistics(values, groups)
        if wells:
            of_wells = median_of_groups(values, wells.objects)
            found |= compared(values, groups, of_wells, wells)
            found |= quality_of_plates(of_wells, group, wells)
        for statistic, column in found.items():
            result[f"{statistic}_{name}"] = column
    told = table.loc[first, list(group_by)].astype(object).reset_index(drop=True)
    # The plate map may have columns of the same names.
    return pd.concat([told, result], axis=1)


def read_images(path: Path, wanted: Sequence[str]) -> pd.DataFrame:
    """Some columns of images.csv as categories, missing where a cell is empty.

    Raises JobError where one of `wanted` is not there.
    """
    with pa.csv.open_csv(path, parse_options=PARSE) as reader:
        there = reader.schema.names
    for name in wanted:
        if name not in there:
            raise JobError(
                f"config: summary names {name}, which is no column of {path}: there are "
                f"{', '.join(there)}"
            )
    others = ("directory", "batch", "image", "plate", "status", "flags", "excluded")
    names = [name for name in there if name in {*wanted, *others}]
    options = pa.csv.ConvertOptions(
        include_columns=names,
        column_types=dict.fromkeys(names, TEXT),
        null_values=[""],
        strings_can_be_null=True,
    )
    table = pa.csv.read_csv(path, parse_options=PARSE, convert_options=options)
    columns = [true_column(column) for column in table.columns]
    return pa.table(columns, names=table.schema.names).to_pandas()


def numbered(table: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The number of each row's group by the values of some columns, and each group's first row.

    Groups are numbered from 0 as they come. A missing value is one like others.
    """
    codes = pd.DataFrame({name: table[name].cat.codes for name in names})
    groups = codes.groupby(list(names), sort=False).ngroup().to_numpy(np.int32)
    return groups, np.unique(groups, return_index=True)[1]


def _counted(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which images count as what."""
    found = {"failed": table["status"] == "failed"}
    if "flags" in table:
        found["flagged"] = table["flags"].notna()
    if "excluded" in table:
        found["excluded"] = table["excluded"].astype(object).str.lower() == "true"
    return {name: rows.to_numpy(bool) for name, rows in found.items()}


def images_of_objects(objects: Path, table: pd.DataFrame) -> np.ndarray:
    """The row of each object's image in the table of images."""
    names = own_names(pq.read_schema(objects))
    where = [names[name] for name in ("batch", "image")]
    runs, lengths = [], []
    with pq.ParquetFile(objects) as file:
        for index in range(file.num_row_groups):
            group = file.read_row_group(index, columns=where)
            keys = pc.binary_join_element_wise(*(group[name] for name in where), "/")
            # Objects of an image follow each other: many rows, few names. Batches have no slash.
            for run in (pc.run_end_encode(chunk) for chunk in keys.chunks):
                runs.append(run.values)
                lengths.append(np.diff(run.run_ends.to_numpy(), prepend=0))
    keys = pa.array(table["batch"].astype(object) + "/" + table["image"].astype(object))
    found = pc.index_in(pa.chunked_array(runs, pa.string()), keys)
    if found.null_count:
        raise JobError(
            f"{objects} has objects of images that are not in images.csv: remove both and run again"
        )
    return np.repeat(found.to_numpy(), np.concatenate([[], *lengths]).astype(np.int64))


def chosen(
    measurements: Sequence[str] | str, names: Iterable[str], others: Iterable[Column] = ()
) -> list[str]:
    """Columns of objects that `summary: measurements` means, of which each has its name once.

    Raises JobError where it means none.
    """
    others, properties = list(others), {}
    for name in names:
        found = columns.find(name, others)
        if found is not None:
            prefix = "" if found.of == "nuclei" else f"{found.of}_"
            properties.setdefault(prefix + found.column.name, []).append(name)
    measured = {name for same in properties.values() for name in same}
    if measurements == "auto":
        measurements = [name for name in AUTO if name in properties]
    result = []
    for name in measurements:
        if name not in measured | properties.keys():
            raise JobError(
                f"config: summary.measurements names {name}, which objects do not have: there "
                f"are {', '.join(properties)}"
            )
        result += [name] if name in measured else properties[name]
    return list(dict.fromkeys(result))


def values_of(objects: Path, column: str) -> np.ndarray:
    """A column of objects.parquet, (objects,) array of float64, NaN where a value is missing."""
    with pq.ParquetFile(objects) as file:
        values, start = np.empty(file.metadata.num_rows), 0
        for index in range(file.num_row_groups):
            part = file.read_row_group(index, columns=[column])[0].cast(pa.float64())
            values[start : start + len(part)] = part.to_numpy()
            start += len(part)
    return values


class Groups(NamedTuple):
    """Objects by group: those of group i are the rows `order[starts[i]:starts[i + 1]]`.

    Attributes
    ----------
    order : (objects,) array of int32
    starts : (groups + 1,) array of int64
    """

    order: np.ndarray
    starts: np.ndarray


def grouped(numbers: np.ndarray, count: int) -> Groups:
    """Objects by the numbers of their groups, of which there are so many."""
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    return Groups(order, np.append(0, np.cumsum(np.bincount(numbers, minlength=count))))


def median_of_groups(
    values: np.ndarray, groups: Groups, change: Callable | None = None
) -> np.ndarray:
    """The median of the values in each group; NaN is no value.

    `change` gives other values for some of them, from these, their rows and their groups.
    """
    starts, first = groups.starts, 0
    result = np.full(len(starts) - 1, np.nan)
    while first < len(result):
        last = np.searchsorted(starts, starts[first] + BLOCK, "right") - 1
        last = max(first + 1, last)
        rows = groups.order[starts[first] : starts[last]]
        numbers = np.repeat(np.arange(first, last), np.diff(starts[first : last + 1]))
        part = values[rows]
        if change is not None:
            part = change(part, rows, numbers)
        medians = pd.Series(part).groupby(numbers).median()
        result[medians.index.to_numpy()] = medians.to_numpy()
        first = last
    return result


def statistics(values: np.ndarray, groups: Groups) -> dict[str, np.ndarray]:
    """`median` of each group, and `mad`, the median absolute deviation from it."""
    medians = median_of_groups(values, groups)

    def deviation(part: np.ndarray, _: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return np.abs(part - medians[numbers])

    return {"median": medians, "mad": median_of_groups(values, groups, deviation)}


# Controls


class Wells(NamedTuple):
    """Which wells there are, and which are controls.

    Attributes
    ----------
    objects : Groups
        Objects by well.
    plate_of_object, plate_of_image : (objects,) and (images,) arrays of int32
        The number of the plate.
    plate : (wells,) array of int32
        The plate of each well.
    kind : (wells,) array of int8
        -1 for a negative control, 1 for a positive one, 0 for others.
    """

    objects: Groups
    plate_of_object: np.ndarray
    plate_of_image: np.ndarray
    plate: np.ndarray
    kind: np.ndarray

    def controls(self, medians: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Each plate that has any, with the medians of its negative and positive wells."""
        usable = np.isfinite(medians)
        for plate in np.unique(self.plate[self.kind != 0]):
            here = usable & (self.plate == plate)
            yield plate, medians[here & (self.kind == -1)], medians[here & (self.kind == 1)]


def wells_of(table: pd.DataFrame, image: np.ndarray, controls: Controls) -> Wells:
    """The wells of a dataset, from its images and the image of each object.

    Where names tell no plates, each directory is a plate if all of them have negative controls;
    otherwise the whole dataset is one. A well is then one of its directory in any case.
    """
    kind = np.zeros(len(table), np.int8)
    kind[table[controls.column].isin(controls.negative)] = -1
    kind[table[controls.column].isin(controls.positive)] = 1
    folder = "plate" if table["plate"].notna().any() else "directory"
    plate, _ = numbered(table, [folder])
    if folder == "directory" and len(set(plate)) > len(set(plate[kind == -1])):
        plate = np.zeros_like(plate)
    well, first = numbered(table, [folder, *controls.wells, controls.column])
    objects = grouped(well[image], len(first))
    return Wells(objects, plate[image], plate, plate[first], kind[first])


def compared(
    values: np.ndarray, groups: Groups, of_wells: np.ndarray, wells: Wells
) -> dict[str, np.ndarray]:
    """Medians of groups in units of the controls, from those of wells.

    Objects are normalised by the medians of the control wells of their own plate, so that a group
    can have several. NaN where a plate has no controls, or they do not differ.

    Returns
    -------
    dict of one (groups,) array
        `percent`, where 0 is the median of the negative control wells and 100 that of the positive
        ones. Without any positive control in the dataset `robust_z`, the distance from that of the
        negative ones in standard deviations, which are 1.4826 times their MAD.
    """
    centre, scale = np.full((2, wells.plate_of_image.max() + 1), np.nan)
    positives = bool((wells.kind == 1).any())
    for plate, negative, positive in wells.controls(of_wells):
        centre[plate] = _median(negative)
        distance = (_median(positive) - centre[plate]) / 100
        scale[plate] = distance if positives else _spread(negative)
    scale[scale == 0] = np.nan

    def normalised(part: np.ndarray, rows: np.ndarray, _: np.ndarray) -> np.ndarray:
        plate = wells.plate_of_object[rows]
        return (part - centre[plate]) / scale[plate]

    return {"percent" if positives else "robust_z": median_of_groups(values, groups, normalised)}


def quality_of_plates(
    of_wells: np.ndarray, group: np.ndarray, wells: Wells
) -> dict[str, np.ndarray]:
    """Z'-factors of the plate of each group, from the medians of wells.

    `zprime`, and `zprime_robust` with median and MAD instead of mean and standard deviation. NaN
    where the images of a group, which have its number, are of several plates. Nothing without
    positive controls.
    """
    if not (wells.kind == 1).any():
        return {}
    ordinary, robust = np.full((2, wells.plate_of_image.max() + 1), np.nan)
    for plate, negative, positive in wells.controls(of_wells):
        ordinary[plate] = z_prime(negative, positive, np.mean, _deviation)
        robust[plate] = z_prime(negative, positive, _median, _spread)
    plates = pd.Series(wells.plate_of_image).groupby(group)
    first, last = plates.min().to_numpy(), plates.max().to_numpy()
    return {
        name: np.where(first == last, of_plate[first], np.nan)
        for name, of_plate in (("zprime", ordinary), ("zprime_robust", robust))
    }


def z_prime(
    negative: np.ndarray, positive: np.ndarray, centre: Callable, spread: Callable
) -> float:
    """Z'-factor of a plate (Zhang, Chung and Oldenburg, J Biomol Screen 4:67, 1999).

    1 - 3 (spread of positive + spread of negative) / distance of their centres; NaN with fewer
    than two wells of either, or where the centres do not differ.
    """
    if min(len(negative), len(positive)) < 2:
        return np.nan
    distance = abs(centre(positive) - centre(negative))
    return 1 - 3 * (spread(positive) + spread(negative)) / distance if distance else np.nan


def _deviation(values: np.ndarray) -> float:
    return np.std(values, ddof=1)


def _median(values: np.ndarray) -> float:
    return np.median(values) if len(values) else np.nan


def _spread(values: np.ndarray) -> float:
    return NORMAL * _median(np.abs(values - _median(values)))


if "snakemake" in globals():
    with logged(snakemake):
        settings = dict(snakemake.params.settings)
        controls, added = settings.pop("controls"), settings.pop("added")
        table = summary_table(
            Path(snakemake.input.images),
            Path(snakemake.input.objects),
            controls=controls and Controls(**controls),
            others=columns.added(**added),
            **settings,
        )
        with replaced(Path(snakemake.output[0])) as part:
            part.write_text(as_csv(table), encoding="utf-8")
