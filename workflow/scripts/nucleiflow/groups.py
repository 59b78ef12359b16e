"""Measurements of groups of objects: of directories, of wells, of doses.

A column of `objects.parquet` is read at a time, so that memory holds 4 bytes an object.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

QUANTILES = {"p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95}
# Rows in memory before they are taken apart.
ROWS = 1 << 16

Key = tuple[str, ...]


def values_of(path: Path, keys: Sequence[str], column: str) -> dict[Key, list[np.ndarray]]:
    """The values of a column by those of others, in pieces.

    Parameters
    ----------
    path : Path
        A Parquet file in which objects of one image follow each other.
    keys : sequence of str
        Columns by which to tell groups apart, such as directory, plate and well.
    column : str
        Of numbers.

    Returns
    -------
    dict
        From the values of `keys` as texts, empty where there is none, to arrays of float32, in the
        order of the file. Values that are missing or not finite are left out.
    """
    groups: dict[Key, list[np.ndarray]] = {}
    file = pq.ParquetFile(path)
    for batch in file.iter_batches(ROWS, columns=[*keys, column]):
        starts, names = _runs([batch[key] for key in keys])
        values = batch[column].cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
        for start, end, name in zip(starts, [*starts[1:], len(values)], names, strict=True):
            part = values[start:end]
            finite = np.isfinite(part)
            groups.setdefault(name, []).append(part if finite.all() else part[finite])
    return groups


def _runs(keys: Sequence[pa.Array]) -> tuple[list[int], list[Key]]:
    """Where rows of other keys than those before begin, and their keys."""
    changed = np.zeros(len(keys[0]), bool)
    changed[:1] = True
    columns = []
    for key in keys:
        if not pa.types.is_dictionary(key.type):
            key = pc.dictionary_encode(key)
        codes = key.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        changed[1:] |= codes[1:] != codes[:-1]
        columns.append((codes, [text_of(value) for value in key.dictionary.to_pylist()] + [""]))
    starts = np.flatnonzero(changed)
    names = zip(*([names[code] for code in codes[starts]] for codes, names in columns), strict=True)
    return starts.tolist(), list(names)


def text_of(value: object) -> str:
    """A value of a key as a text: the same for whole numbers of any type."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def regrouped(
    values: dict[Key, list[np.ndarray]], group_of: Callable[[Key], Key | None]
) -> dict[Key, np.ndarray]:
    """Values by larger groups; those of no group are left out."""
    groups: dict[Key, list[np.ndarray]] = {}
    for key, parts in values.items():
        group = group_of(key)
        if group is not None:
            groups.setdefault(group, []).extend(parts)
    return {group: np.concatenate(parts) for group, parts in groups.items()}


def quantiles(values: Iterable[np.ndarray]) -> pd.DataFrame:
    """`n` and the quantiles of each group, NaN of empty ones: columns `n`, `p5` ... `p95`."""
    rows = [
        [len(group), *(np.percentile(group, [*QUANTILES.values()]) if len(group) else [np.nan] * 5)]
        for group in values
    ]
    table = pd.DataFrame(rows, columns=["n", *QUANTILES])
    return table.astype({"n": int} | dict.fromkeys(QUANTILES, float))


def histogram(
    values: Iterable[np.ndarray], classes: int, seen: int = 1_000_000
) -> tuple[np.ndarray, np.ndarray]:
    """Counts and edges between the 0.5th and 99.5th percentile, which a sample of values tells."""
    groups = [group for group in values if len(group)]
    if not groups:
        return np.zeros(1, int), np.array([0.0, 1.0])
    step = -(-sum(map(len, groups)) // seen)
    sample = np.concatenate([group[::step] for group in groups])
    low = float(np.percentile(sample, 0.5, method="lower"))
    high = float(np.percentile(sample, 99.5, method="higher"))
    if low >= 0 and low < high / 4:
        low = 0.0
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, classes + 1)
    return sum(np.histogram(group, edges)[0] for group in groups), edges
