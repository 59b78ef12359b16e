"""Sample sheets: the images that a user listed, instead of a directory."""

import functools
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from nucleiflow import names
from nucleiflow.sheets import Sheet, SheetError, read_sheet

# Columns of a sample sheet that are no metadata of the image.
OF_FILES = ("file", "image", "directory", "channel", "z", "row", "column")


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
