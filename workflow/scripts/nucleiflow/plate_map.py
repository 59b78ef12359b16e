"""Plate maps: what was done to wells, to join to images."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from nucleiflow import names
from nucleiflow.sheets import Sheet, SheetError, read_sheet

# How columns of plate maps are called, in the order in which they are looked for.
SPELLINGS = {
    "well": ("well", "wellposition", "wellid", "wellname"),
    "row": ("row", "wellrow", "rowname"),
    "column": ("column", "col", "wellcolumn", "wellcol"),
    "plate": ("plate", "plateid", "barcode", "platebarcode", "platename"),
}
# A number that says no more than its value: 0012 is an article or a barcode.
INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class PlateMap:
    """What was done to wells, to join to images.

    Attributes
    ----------
    path : str
    join : tuple of str
        Names of the metadata that tell a row.
    table : pyarrow.Table
        The other columns: int64, float64, bool or string, with nulls for empty cells.
    rows : dict
        From the values of `join` (as `nucleiflow.names.normal` gives them) to the row.
    """

    path: str
    join: tuple[str, ...]
    table: pa.Table
    rows: dict[tuple[str, ...], int]


def read_plate_map(
    path: str | Path, join: str | Sequence[str] = "auto", reserved: Collection[str] = ()
) -> PlateMap:
    """A plate map, to join to images by what their names say.

    Parameters
    ----------
    path : str or Path
        A table as `read_sheet` takes it.
    join : str or sequence of str
        Metadata by which rows are found. The map's columns can be spelled a little otherwise
        (`Metadata_Well`, `plate id`, `Barcode`), and `well` can be two columns, row and column.
        `auto`: the well, and the plate where the map has one.
    reserved : collection of str
        Names that the map's other columns may not have.

    Raises
    ------
    SheetError
        Where a column is missing or reserved, a well is none, or two rows are of one key.
    """
    sheet = read_sheet(path)
    if join == "auto":
        join = ("plate", "well") if _find(sheet, "plate") else ("well",)
    else:
        join = (join,) if isinstance(join, str) else tuple(join)
    sources = [_sources(sheet, name) for name in join]
    rows: dict[tuple[str, ...], int] = {}
    for index, cells in enumerate(sheet.rows):
        key = tuple(
            _key(sheet, index, name, [cells[i] for i in source])
            for name, source in zip(join, sources, strict=True)
        )
        twin = rows.setdefault(key, index)
        if twin != index:
            raise SheetError(
                f"{sheet.path} lines {sheet.lines[twin]} and {sheet.lines[index]} are both of "
                f"{_shown(join, key)}: remove one, or add a column that tells them apart to "
                "metadata.join"
            )
    used = {index for source in sources for index in source}
    values = {
        name: _typed([cells[index] for cells in sheet.rows])
        for index, name in enumerate(sheet.columns)
        if index not in used
    }
    for name in values:
        if name in reserved:
            raise SheetError(f"{sheet.path} has a column {name}, as the tables have: rename it")
    if not values:
        raise SheetError(
            f"{sheet.path} has no column but {', '.join(sheet.columns)}: add one with what it is "
            "to tell of them, such as a dose"
        )
    return PlateMap(sheet.path, join, pa.table(values), rows)


def _plain(name: str) -> str:
    """A column's name without case, separators and CellProfiler's prefix."""
    return re.sub(r"[\s_-]+", "", name).lower().removeprefix("metadata")


def _find(sheet: Sheet, name: str) -> list[int]:
    """The column of a plate map that is called so, or nearly so."""
    if name in sheet.columns:
        return [sheet.columns.index(name)]
    plain = [_plain(column) for column in sheet.columns]
    for spelling in SPELLINGS.get(name, (_plain(name),)):
        if spelling in plain:
            return [plain.index(spelling)]
    return []


def _sources(sheet: Sheet, name: str) -> list[int]:
    """The columns of a plate map that hold what rows are found by."""
    found = _find(sheet, name)
    if not found and name == "well":
        row, column = _find(sheet, "row"), _find(sheet, "column")
        found = row + column if row and column else []
    if not found:
        wanted = f"{name} (nor row and column)" if name == "well" else name
        raise SheetError(
            f"{sheet.path} has no column {wanted}, there are {', '.join(sheet.columns)}: rename "
            "one, or name in metadata.join what tells a row"
        )
    return found


def _key(sheet: Sheet, index: int, name: str, texts: list[str]) -> str:
    """What a row of a plate map is found by."""
    if not all(texts):
        raise SheetError(
            f"{sheet.path} line {sheet.lines[index]}: there is no {name}, write it or remove the "
            "line"
        )
    try:
        return names.well_at(*texts) if len(texts) == 2 else names.normal(name, texts[0])
    except ValueError as error:
        raise SheetError(f"{sheet.path} line {sheet.lines[index]}: {error}, correct it") from None


def _shown(columns: Sequence[str], values: Sequence[str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(columns, values, strict=True))


def _typed(texts: list[str]) -> pa.Array:
    """A column of the narrowest type that holds all its texts and loses nothing of them."""
    distinct = {text for text in texts if text}
    convert, kind = str, pa.string()
    if distinct and all(map(INTEGER.fullmatch, distinct)):
        if all(-(2**63) <= int(text) < 2**63 for text in distinct):
            convert, kind = int, pa.int64()
    elif distinct and all(map(NUMBER.fullmatch, distinct)):
        convert, kind = float, pa.float64()
    elif distinct and {text.lower() for text in distinct} <= {"true", "false"}:
        convert, kind = _is_true, pa.bool_()
    return pa.array([convert(text) if text else None for text in texts], kind)


def _is_true(text: str) -> bool:
    return text.lower() == "true"
