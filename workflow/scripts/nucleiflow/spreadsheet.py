"""CSV tables that a spreadsheet can open without running what a file is called.

Excel and others take a cell that begins with `=`, `+`, `-` or `@` for a formula, also where it is
the name of a file. Such texts get an apostrophe in front, which `true_text` takes away again.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

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


def safe_column(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """`safe` of a column; one without texts, or with harmless ones alone, comes back as it is."""
    if not pa.types.is_string(values.type):
        return values
    # Many rows, few names.
    if not pc.any(pc.match_substring_regex(values.unique(), FORMULA.pattern)).as_py():
        return values
    is_number = pc.match_substring_regex(values, f"^({NUMBER})$")
    return pc.if_else(
        is_number, values, pc.replace_substring_regex(values, FORMULA.pattern, r"\1'\2")
    )


def safe_table(table: pa.Table) -> pa.Table:
    """The same of each column."""
    return pa.table(list(map(safe_column, table.columns)), schema=table.schema)


def true_column(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """`true_text` of a column of texts, or of a dictionary of them."""
    if pa.types.is_dictionary(values.type):
        chunks = [
            pa.DictionaryArray.from_arrays(chunk.indices, true_column(chunk.dictionary))
            for chunk in values.chunks
        ]
        return pa.chunked_array(chunks, values.type)
    return pc.replace_substring_regex(values, SPELLED.pattern, r"\1\2")


def true_names(table: pd.DataFrame) -> pd.DataFrame:
    """`true_text` of all texts of a table."""
    texts = table.select_dtypes(exclude="number").columns
    return table.assign(
        **{
            name: table[name].map(lambda cell: true_text(cell) if isinstance(cell, str) else cell)
            for name in texts
        }
    )


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


def as_csv(table: pd.DataFrame, **options: Any) -> str:
    """A table as CSV without its index; `options` are those of `DataFrame.to_csv`."""
    spelled = table.copy()
    for index, (_, values) in enumerate(table.items()):
        if not pd.api.types.is_numeric_dtype(values):
            spelled.isetitem(index, values.astype(object).map(safe, na_action="ignore"))
    texts = spelled.select_dtypes(exclude="number").to_numpy().ravel()
    if any(isinstance(cell, str) and "\r" in cell for cell in texts):
        options |= {"quoting": csv.QUOTE_NONNUMERIC}
    return spelled.to_csv(index=False, lineterminator="\n", **options)
