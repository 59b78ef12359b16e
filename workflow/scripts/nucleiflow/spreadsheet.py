"""CSV tables that a spreadsheet can open without running what a file is called.

Excel and others take a cell that begins with `=`, `+`, `-` or `@` for a formula, also where it is
the name of a file. Such texts get an apostrophe in front, which `true_text` takes away again.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nucleiflow.sheets import FORMULA

# What FORMULA finds, with an apostrophe more. Those that are there already are kept apart, so that
# each text has one spelling and each spelling one text.
SPELLED = re.compile(FORMULA.pattern.replace("('*", "'('*"))
# Texts that are numbers, as doses, are harmless and stay what programs can read.
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"


def safe(value: Any) -> Any:
    """A cell as it is written: texts that a spreadsheet would run get apostrophes."""
    if not isinstance(value, str) or re.fullmatch(NUMBER, value, re.ASCII):
        return value
    return FORMULA.sub(r"\1'\2", value)


def true_text(cell: str) -> str:
    """The text that `safe` was given."""
    return SPELLED.sub(r"\1\2", cell) if "'" in cell else cell


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[dict]) -> None:
    """Write a CSV table in UTF-8, of rows by column; what a row does not have stays empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        plain = csv.writer(file, lineterminator="\n")
        # Python quotes the end of lines that it writes and no other, programs end lines at both.
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(columns)
        for row in rows:
            cells = [row.get(name, "") for name in columns]
            texts = "\n".join(cell for cell in cells if isinstance(cell, str))
            if FORMULA.search(texts):
                cells = list(map(safe, cells))
            (quoted if "\r" in texts else plain).writerow(cells)
