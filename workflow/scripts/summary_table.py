"""summary.csv: one row a directory, or well, or whatever columns of images.csv tell."""

from collections.abc import Callable, Iterable, Sequence
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

AUTO = ("area", "eccentricity", "intensity_mean")
# Standard deviations of a normal distribution in its median absolute deviation.
NORMAL = 1.4826
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

    One measurement of all objects is in memory at a time: about 60 bytes an object.

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
        each measurement `median_` and `mad_`, unscaled; with controls those of `compared`, too.
        NaN where there is no value.

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
    result["objects"] = np.bincount(group[image], minlength=count)
    wells = wells_of(table, controls) if controls else None
    names = own_names(pq.read_schema(objects))
    for name in chosen(measurements, names, others):
        values = pq.read_table(objects, columns=[names[name]])[0].cast(pa.float64()).to_numpy()
        medians = median_of_groups(values, group[image], count)
        result[f"median_{name}"] = medians
        deviations = np.abs(values - medians[group[image]])
        result[f"mad_{name}"] = median_of_groups(deviations, group[image], count)
        if wells:
            for prefix, column in compared(values, image, group, wells).items():
                result[f"{prefix}_{name}"] = column
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
    return pa.csv.read_csv(path, parse_options=PARSE, convert_options=options).to_pandas()


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


def median_of_groups(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """The median of the values in each of so many groups; NaN is no value."""
    return pd.Series(values).groupby(groups).median().reindex(range(count)).to_numpy()


# Controls


class Wells(NamedTuple):
    """Which wells there are, and which are controls.

    Attributes
    ----------
    of_image : (images,) array of int32
        The number of each image's well.
    plate_of_image : (images,) array of int32
        And of its plate.
    plate : (wells,) array of int32
        The plate of each well.
    kind : (wells,) array of int8
        -1 for a negative control, 1 for a positive one, 0 for others.
    """

    of_image: np.ndarray
    plate_of_image: np.ndarray
    plate: np.ndarray
    kind: np.ndarray


def wells_of(table: pd.DataFrame, controls: Controls) -> Wells:
    """The wells of a dataset.

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
    return Wells(well, plate, plate[first], kind[first])


def compared(
    values: np.ndarray, image: np.ndarray, group: np.ndarray, wells: Wells
) -> dict[str, np.ndarray]:
    """A measurement compared with the controls of each plate, by the medians of their wells.

    Parameters
    ----------
    values : (objects,) array of float64
    image : (objects,) array of int
        The image of each object.
    group : (images,) array of int
        The group of each image.
    wells : Wells

    Returns
    -------
    dict of (groups,) arrays
        `percent`: medians where 0 is the negative controls of the plate and 100 the positive ones.
        Without positive controls in the dataset `robust_z` instead: distance from the negative
        ones in standard deviations, as from their MAD. Objects are normalised by their own plate,
        so that a group can have several. With positive ones also `zprime` and `zprime_robust` of
        the group's plate, NaN where it has several.
    """
    count, plates = group.max() + 1, wells.plate.max() + 1
    medians = median_of_groups(values, wells.of_image[image], len(wells.plate))
    centre, scale, ordinary, robust = np.full((4, plates), np.nan)
    usable = np.isfinite(medians)
    both = bool((wells.kind == 1).any())
    for plate in np.unique(wells.plate[wells.kind == -1]):
        here = usable & (wells.plate == plate)
        negative, positive = (medians[here & (wells.kind == kind)] for kind in (-1, 1))
        centre[plate] = _median(negative)
        scale[plate] = (_median(positive) - centre[plate]) / 100 if both else _spread(negative)
        ordinary[plate] = z_prime(negative, positive, np.mean, _deviation)
        robust[plate] = z_prime(negative, positive, _median, _spread)
    # Where controls do not differ, nothing can be said in their units.
    scale[scale == 0] = np.nan
    plate = wells.plate_of_image[image]
    normal = (values - centre[plate]) / scale[plate]
    result = {"percent" if both else "robust_z": median_of_groups(normal, group[image], count)}
    if both:
        of_group = pd.Series(wells.plate_of_image).groupby(group)
        first, single = of_group.min().to_numpy(), (of_group.min() == of_group.max()).to_numpy()
        for name, values_of_plates in (("zprime", ordinary), ("zprime_robust", robust)):
            result[name] = np.where(single, values_of_plates[first], np.nan)
    return result


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
            table.to_csv(part, index=False)
