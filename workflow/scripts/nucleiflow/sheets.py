"""Tables that users write: plate maps, and sample sheets that list images."""

import codecs
import csv
import functools
import io
import posixpath
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from nucleiflow import names

# How columns of plate maps are called, in the order in which they are looked for.
SPELLINGS = {
    "well": ("well", "wellposition", "wellid", "wellname"),
    "row": ("row", "wellrow", "rowname"),
    "column": ("column", "col", "wellcolumn", "wellcol"),
    "plate": ("plate", "plateid", "barcode", "platebarcode", "platename"),
}
# Columns of a sample sheet that are no metadata of the image.
OF_FILES = ("file", "image", "directory", "channel", "z", "row", "column")
# A number that says no more than its value: 0012 is an article or a barcode.
INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class SheetError(ValueError):
    """What is wrong with a table that a user wrote, in one sentence for its author."""


class Sheet(NamedTuple):
    """A table as it was written: texts without the spaces around them.

    `lines` are the lines of the rows in the file, as an editor counts.
    """

    path: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    lines: list[int]


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


class Sample(NamedTuple):
    """A row of a sample sheet.

    Attributes
    ----------
    line : int
        In the file.
    file : str
        Path as written, from the sheet's folder on or absolute.
    directory : str
        A label, no path: without a column of this name it is the folder of the file as written,
        and can be absolute or start with `..`.
    image : str
        Can be the name of a file.
    channel : str
    z : int or None
    metadata : tuple of str
        In the order of `SampleSheet.columns`.
    """

    line: int
    file: str
    directory: str
    image: str
    channel: str
    z: int | None
    metadata: tuple[str, ...]


@dataclass(frozen=True)
class SampleSheet:
    """The images that a user listed.

    `columns` are plate, well, site, time, then those of the sheet's own.
    """

    path: str
    columns: tuple[str, ...]
    samples: list[Sample]


def read_sheet(path: str | Path) -> Sheet:
    """A table with commas, semicolons or tabs between its cells and names in its first line.

    UTF-8, or UTF-16 with a byte order mark as Excel's "Unicode text". Empty lines are skipped, as
    are columns without name and values. Numbers stay as they are written: `1,5` is a text.

    Raises SheetError, whose text names the file, the line and what to do.
    """
    path = str(path)
    text = _text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = re.fullmatch(r"sep=([,;\t])\s*", first)
    delimiter = separator[1] if separator else _delimiter(first)
    header, rows, lines = None, [], []
    # Strict, as a quote that is never closed swallows the rest of the file.
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    line = 0
    try:
        for cells in reader:
            start, line = line + 1, reader.line_num
            cells = tuple(map(str.strip, cells))
            if not any(cells) or (separator and header is None and cells[0] == "sep="):
                continue
            if header is None:
                header = cells
            elif len(cells) != len(header):
                raise SheetError(
                    f"{path} line {start}: the number of cells is {len(cells)}, that of columns "
                    f"{len(header)}: put a cell that holds {delimiter!r} in double quotes, "
                    "leave no cell out"
                )
            else:
                rows.append(cells)
                lines.append(start)
    except csv.Error as error:
        raise SheetError(
            f"{path} line {line + 1}: the quotes do not fit ({error}), put a whole cell in double "
            "quotes or none of it"
        ) from None
    if header is None:
        raise SheetError(f"{path} is empty, write the names of columns in its first line")
    if not rows:
        raise SheetError(f"{path} holds names of columns and no row, add one")
    return Sheet(path, *_named_columns(path, header, rows), lines)


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


def read_samples(path: str | Path, schema: dict) -> SampleSheet:
    """A sample sheet: a row a file.

    Parameters
    ----------
    path : str or Path
        A table as `read_sheet` takes it.
    schema : dict
        `workflow/schemas/sheet.schema.yaml`, which says what columns mean and hold.

    Raises
    ------
    SheetError
        Where a column is missing or not allowed, a value is not what the schema says, or two
        rows are of one file, or of one channel and plane of one image.
    """
    sheet = read_sheet(path)
    _check_columns(sheet, schema)
    cells = dict(zip(sheet.columns, zip(*sheet.rows, strict=True), strict=True))
    for name in cells:
        if name in schema["properties"]:
            _each(sheet, name, cells[name], _checker(schema["properties"][name]))
    nothing = ("",) * len(sheet.rows)
    if "row" in cells:
        pairs = list(zip(cells["row"], cells["column"], strict=True))
        cells["well"] = _each(sheet, "row", pairs, _well_of_pair)
    known = [
        _each(sheet, name, cells.get(name, nothing), functools.partial(names.normal, name))
        for name in names.STANDARD
    ]
    others = [name for name in sheet.columns if name not in (*OF_FILES, *names.STANDARD)]
    folders = [file[: file.rfind("/") + 1] for file in cells["file"]]
    folders = _each(sheet, "file", folders, posixpath.normpath)
    directories = zip(cells.get("directory", nothing), folders, strict=True)
    images = zip(cells.get("image", nothing), cells["file"], strict=True)
    rows = zip(
        sheet.lines,
        cells["file"],
        [given or folder for given, folder in directories],
        [given or _stem(file) for given, file in images],
        cells.get("channel", nothing),
        _each(sheet, "z", cells.get("z", nothing), lambda text: int(text) if text else None),
        zip(*known, *[cells[name] for name in others], strict=True),
        strict=True,
    )
    samples = list(map(Sample._make, rows))
    _refuse_twins(sheet, samples)
    return SampleSheet(sheet.path, (*names.STANDARD, *others), samples)


def _text(path: str) -> str:
    """The file as text, whatever a spreadsheet made of it."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise SheetError(f"there is no file {path}, check the path") from None
    except OSError as error:
        raise SheetError(
            f"{path} cannot be read ({error.strerror}), check that it is a file and its permissions"
        ) from None
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise SheetError(f"{path} is a spreadsheet, not a text: export it as CSV")
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = data.decode("utf-16")
        else:
            text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SheetError(
            f'{path} line {line}: a letter is not in UTF-8, save it as "CSV UTF-8"'
        ) from None
    if "\0" in text:
        raise SheetError(f'{path} is not a text in UTF-8, save it as "CSV UTF-8"')
    return text


def _delimiter(header: str) -> str:
    """What stands most often between names, outside of quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max("\t;,", key=bare.count) if any(map(bare.count, "\t;,")) else ","


def _named_columns(
    path: str, header: tuple[str, ...], rows: list[tuple[str, ...]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns with names, and rows without the cells of empty columns."""
    for index, name in enumerate(header):
        if name and header.index(name) < index:
            raise SheetError(f"{path} has two columns {name}, rename one")
        if not name and any(cells[index] for cells in rows):
            raise SheetError(
                f"{path}: column {index + 1} holds values and has no name in the first line, "
                "give it one"
            )
    if all(header):
        return header, rows
    return tuple(filter(None, header)), [
        tuple(cell for name, cell in zip(header, cells, strict=True) if name) for cells in rows
    ]


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


def _check_columns(sheet: Sheet, schema: dict) -> None:
    """Refuse a sheet without a needed column, or with one that cannot be."""
    known = {name: name for name in schema["properties"]}
    for name in sheet.columns:
        if name not in known and name.lower() in known:
            raise SheetError(f"{sheet.path} has a column {name}, write it {name.lower()}")
    for error in Draft202012Validator(schema).iter_errors(dict.fromkeys(sheet.columns, "")):
        if not error.absolute_path:
            raise SheetError(f"{sheet.path} {_about_columns(error, sheet.columns)}")


def _about_columns(error: ValidationError, columns: Sequence[str]) -> str:
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in columns)
        return f"has no column {missing}, there are {', '.join(columns)}: rename or add one"
    if error.validator == "dependentRequired":
        one, other = ("row", "column") if "row" in columns else ("column", "row")
        return f"has a column {one}, add a column {other} to it"
    if "propertyNames" in error.absolute_schema_path:
        return f"has a column {error.instance}, as the tables have: rename it"
    return "has the columns well and row: remove well, or row and column"


def _each(sheet: Sheet, name: str, values: Sequence, function: Callable) -> list:
    """What a function gives for each cell of a column, called once for each distinct value.

    A ValueError that it raises names the line where the value stands.
    """
    results = {}
    for value in dict.fromkeys(values):
        try:
            results[value] = function(value)
        except ValueError as error:
            line = sheet.lines[values.index(value)]
            raise SheetError(
                f"{sheet.path} line {line}, column {name}: {error}, correct it"
            ) from None
    return [results[value] for value in values]


def _checker(entry: dict) -> Callable[[str], None]:
    """A function that raises ValueError for a cell that is not what the schema says."""
    if entry.keys() <= {"type", "pattern", "description", "x-allowed"}:
        # Cells are texts, so that the pattern is all there is to check: ten times as fast.
        valid = re.compile(entry.get("pattern", "")).search
    else:
        valid = Draft202012Validator(entry).is_valid

    def check(text: str) -> None:
        if not valid(text):
            raise ValueError(f"{text!r} is not {entry['x-allowed']}")

    return check


def _well_of_pair(pair: tuple[str, str]) -> str:
    return names.well_at(*pair) if any(pair) else ""


def _stem(file: str) -> str:
    name = file[file.rfind("/") + 1 :]
    return name.rpartition(".")[0] or name


def _refuse_twins(sheet: Sheet, samples: list[Sample]) -> None:
    """What stands twice would be counted twice."""
    files: dict[str, Sample] = {}
    parts: dict[tuple, Sample] = {}
    for sample in samples:
        twin = files.setdefault(sample.file, sample)
        if twin is not sample:
            raise SheetError(
                f"{sheet.path} lines {twin.line} and {sample.line} are both of the file "
                f"{sample.file}, remove one"
            )
        part = (sample.directory, sample.image, sample.channel, sample.z)
        twin = parts.setdefault(part, sample)
        if twin is not sample:
            shown = [f"image {sample.image} of {sample.directory}"]
            shown += [f"channel {sample.channel}"] if sample.channel else []
            shown += [f"z {sample.z}"] if sample.z is not None else []
            raise SheetError(
                f"{sheet.path} lines {twin.line} and {sample.line} are both of "
                f"{', '.join(shown)}: remove one, or tell them apart by image, directory, channel "
                "or z"
            )
