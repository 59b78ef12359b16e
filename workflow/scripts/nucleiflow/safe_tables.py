"""Tables of pandas and pyarrow whose CSV a spreadsheet can open: `nucleiflow.spreadsheet` of them.

Apart from it, as these libraries take a third of a second to import.
"""

import csv
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from nucleiflow.sheets import FORMULA
from nucleiflow.spreadsheet import NUMBER, SPELLED, safe, true_text

if TYPE_CHECKING:
    import pandas as pd


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


def true_names(table: "pd.DataFrame") -> "pd.DataFrame":
    """`true_text` of all texts of a table."""
    texts = table.select_dtypes(exclude="number").columns
    return table.assign(
        **{
            name: table[name].map(lambda cell: true_text(cell) if isinstance(cell, str) else cell)
            for name in texts
        }
    )


def as_csv(table: "pd.DataFrame", **options: Any) -> str:
    """A table as CSV without its index; `options` are those of `DataFrame.to_csv`."""
    import pandas as pd

    spelled = table.copy()
    for index, (_, values) in enumerate(table.items()):
        if not pd.api.types.is_numeric_dtype(values):
            spelled.isetitem(index, values.astype(object).map(safe, na_action="ignore"))
    texts = spelled.select_dtypes(exclude="number").to_numpy().ravel()
    if any(isinstance(cell, str) and "\r" in cell for cell in texts):
        options |= {"quoting": csv.QUOTE_NONNUMERIC}
    return spelled.to_csv(index=False, lineterminator="\n", **options)
