"""Tables that users write, as CSV or TSV."""

import codecs
import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

# What a spreadsheet runs: a cell that begins with one of four characters, also where it separates
# cells by others than commas. Apostrophes before them make it a text, see nucleiflow.spreadsheet.
FORMULA = re.compile(r"(^|[;,\t\r\n])('*[=+\-@])")


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
        if FORMULA.search(name):
            raise SheetError(
                f"{path} has a column {name}, which a spreadsheet would take for a formula: rename "
                "it"
            )
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
