"""Names that a spreadsheet would run: what tables hold of them, and that they come back."""

import csv
import io
import re

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleiflow import safe_tables, spreadsheet
from nucleiflow.sheets import SheetError, read_sheet

SPELLINGS = {
    "=cmd()": "'=cmd()",
    "+1+1": "'+1+1",
    "-x": "'-x",
    "@SUM(A1)": "'@SUM(A1)",
    "'=cmd()": "''=cmd()",
    "\t=1": "\t'=1",
    "a\r=1": "a\r'=1",
    # In a spreadsheet that separates by semicolons.
    "a;=1+1;b": "a;'=1+1;b",
    "a,@b": "a,'@b",
    # Harmless.
    "plain": "plain",
    "'plain'": "'plain'",
    "a=b": "a=b",
    "a; =b": "a; =b",
    "": "",
    "-1": "-1",
    "+2.5e-3": "+2.5e-3",
    "-.5": "-.5",
}
AWKWARD = st.text(st.sampled_from("=+-@';,\t\r\n\"1e.a ü"), max_size=8)


@pytest.mark.parametrize(("text", "spelled"), SPELLINGS.items())
def test_formulas_get_an_apostrophe_and_numbers_none(text, spelled):
    assert spreadsheet.safe(text) == spelled
    assert spreadsheet.true_text(spelled) == text


@pytest.mark.parametrize("value", [None, -1, -1.5, float("-inf"), True])
def test_what_is_no_text_stays(value):
    assert spreadsheet.safe(value) is value


@given(AWKWARD)
def test_every_text_comes_back_and_no_cell_of_it_is_a_formula(text):
    cell = spreadsheet.safe(text)
    assert spreadsheet.true_text(cell) == text
    number = re.fullmatch(spreadsheet.NUMBER, text)
    assert number or not any(part[:1] in tuple("=+-@") for part in re.split("[;,\t\r\n]", cell))
    # As the README says it for other programs.
    series = pd.Series([cell])
    assert series.str.replace(r"(^|[;,\t\r\n])'('*[=+\-@])", r"\1\2", regex=True).tolist() == [text]


@given(st.lists(AWKWARD | st.none(), min_size=1))
def test_columns_are_spelled_like_cells(texts):
    column = pa.chunked_array([pa.array(texts, pa.string())])
    spelled = safe_tables.safe_column(column)
    assert spelled.to_pylist() == [spreadsheet.safe(text) for text in texts]
    assert safe_tables.true_column(spelled).to_pylist() == texts
    dictionary = spelled.dictionary_encode()
    assert safe_tables.true_column(dictionary).type == dictionary.type
    assert safe_tables.true_column(dictionary).to_pylist() == texts


def test_other_columns_are_left_alone():
    table = pa.table({"a": [-1, 2], "b": [-0.5, None], "c": ["x", "y"]})
    assert safe_tables.safe_table(table).equals(table)
    column = table["c"]
    assert safe_tables.safe_column(column) is column


@given(st.lists(AWKWARD, min_size=1, max_size=4))
def test_rows_come_back_from_every_reader(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("rows") / "t.csv"
    rows = [{"name": text, "x": -1.5, "more": "m"} for text in texts] + [{"name": "last"}]
    spreadsheet.write_rows(path, ["name", "x", "more"], rows)
    expected = [*texts, "last"]
    with path.open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [spreadsheet.true_text(row["name"]) for row in read] == expected
    assert [row["x"] for row in read] == ["-1.5"] * len(texts) + [""]
    frame = pd.read_csv(path, keep_default_na=False, dtype=str)
    assert safe_tables.true_names(frame)["name"].tolist() == expected
    options = pa.csv.ParseOptions(newlines_in_values=True)
    kinds = pa.csv.ConvertOptions(column_types={"name": pa.string()})
    table = pa.csv.read_csv(path, parse_options=options, convert_options=kinds)
    assert safe_tables.true_column(table["name"]).to_pylist() == expected


@given(st.lists(AWKWARD, min_size=1, max_size=4))
def test_frames_come_back(texts):
    table = pd.DataFrame({"name": texts, "x": [-1.0 - index for index in range(len(texts))]})
    table["kind"] = table["name"].astype("category")
    before = table.copy()
    text = safe_tables.as_csv(table)
    found = pd.read_csv(io.StringIO(text, newline=""), keep_default_na=False, dtype={"name": str})
    assert safe_tables.true_names(found)["name"].tolist() == texts
    assert found["x"].tolist() == table["x"].tolist()
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("name", ["=1+1", "-dose", "@x", "'+y", "a;=b"])
def test_columns_of_a_users_sheet_are_no_formulas(tmp_path, name):
    path = tmp_path / "map.csv"
    path.write_text(f'well,"{name}"\nA01,1\n')
    with pytest.raises(SheetError) as caught:
        read_sheet(path)
    assert str(caught.value) == (
        f"{path} has a column {name}, which a spreadsheet would take for a formula: rename it"
    )
