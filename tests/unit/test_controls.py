"""Controls are found by what people call them, and by what the config says."""

import pytest

from nucleiflow import controls
from nucleiflow.plate_map import read_plate_map

AUTO = {"column": "auto", "negative": "auto", "positive": "auto"}


def find(texts, **settings):
    found = controls.find(texts, AUTO | settings)
    return found and found[:3]


@pytest.mark.parametrize(
    ("texts", "negative", "positive"),
    [
        (["-1", "0", "1"], ["-1"], ["1"]),
        (["-1.0", "0.0", "1.0"], ["-1.0"], ["1.0"]),
        (["-1", "0"], ["-1"], []),
        (["Negative", "positive", "drug"], ["Negative"], ["positive"]),
        (["neg", "pos", "none"], ["neg"], ["pos"]),
        (["negcon", "poscon", "trt"], ["negcon"], ["poscon"]),
        (["Neg. control", "pos_ctrl", "negligible", "position"], ["Neg. control"], ["pos_ctrl"]),
        (["negative 1", "NEGATIVE 2"], ["negative 1", "NEGATIVE 2"], []),
    ],
)
def test_conventions_are_understood(texts, negative, positive):
    found = find({"dose": ["1"], "My_Controls": texts})
    assert found == ("My_Controls", tuple(negative), tuple(positive))


@pytest.mark.parametrize(
    "texts",
    [[], ["0", "1"], ["-1", "0", "1", "2"], ["True", "False"], ["positive"], ["DMSO", "drug"]],
)
def test_values_that_may_mean_anything_are_no_controls(texts):
    assert find({"control": texts}) is None
    assert find({"kind": ["negative", "positive"]}) is None
    assert find({}) is None


def test_first_column_that_is_understood_is_taken():
    texts = {"controller": ["x"], "control": ["neg", "x"], "control2": ["negative"]}
    assert find(texts) == ("control", ("neg",), ())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"column": None}, None),
        ({"column": "drug", "negative": "dmso"}, ("drug", ("DMSO",), ())),
        ({"column": "dose", "negative": 0, "positive": 10}, ("dose", ("0.0",), ("10.0",))),
        ({"column": "dose", "negative": "0", "positive": "1e1"}, ("dose", ("0.0",), ("10.0",))),
        (
            {"column": "drug", "negative": ["DMSO", "none"], "positive": "x"},
            ("drug", ("DMSO", "none"), ("x",)),
        ),
        ({"column": "used", "negative": False, "positive": True}, ("used", ("False",), ("True",))),
        ({"column": "is_control"}, ("is_control", ("neg",), ("pos",))),
        ({"positive": None}, ("is_control", ("neg",), ())),
        ({"negative": "other"}, ("is_control", ("other",), ("pos",))),
        ({"negative": ["neg", "other"]}, ("is_control", ("neg", "other"), ("pos",))),
    ],
)
def test_config_names_columns_and_values(settings, expected):
    texts = {
        "drug": ["DMSO", "none", "x"],
        "dose": ["0.0", "10.0"],
        "used": ["True", "False"],
        "is_control": ["neg", "pos", "other"],
    }
    assert find(texts, **settings) == expected


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"column": "drugs"},
            "column is drugs, which neither the plate map nor names tell (there are drug, "
            "control), did you mean drug?",
        ),
        (
            {"column": "batch"},
            "column is batch, which neither the plate map nor names tell (there are drug, "
            "control): name one, or null",
        ),
        (
            {"column": "drug"},
            "negative is auto, which is no value of the column drug: there are 1, 2, DMSO",
        ),
        (
            {"column": "drug", "negative": "DMSO", "positive": 3},
            "positive is 3, which is no value of the column drug: there are 1, 2, DMSO",
        ),
        (
            {"negative": "none"},
            "negative is none, which is no value of the column control: there are a, b, c, d, e, "
            "f, g, h, i, j ...",
        ),
    ],
)
def test_what_is_not_there_is_refused_in_a_sentence(settings, sentence):
    texts = {"drug": {"DMSO", "1", "2"}, "control": set("abcdefghijkl")}
    with pytest.raises(ValueError) as caught:
        find(texts, **settings)
    assert str(caught.value) == f"config: summary.controls.{sentence}"


def test_values_without_a_column_are_refused_in_a_sentence():
    with pytest.raises(ValueError) as caught:
        find({"drug": ["DMSO"]}, negative="DMSO")
    assert str(caught.value) == (
        "config: summary.controls names values, but no column of the plate map has control in its "
        "name: set summary.controls.column"
    )


def test_controls_of_a_real_plate_map(data):
    wells = read_plate_map(data / "sbs-plate" / "1049_Metadata.csv")
    texts = {
        name: set(map(str, wells.table[name].to_pylist())) for name in wells.table.schema.names
    }
    found = controls.find(texts, AUTO, wells.join)
    assert found == ("SBS_Controls", ("-1",), ("1",), ("well",))
    column = wells.table["SBS_Controls"].to_pylist()
    negative = {well for (well,), row in wells.rows.items() if column[row] == -1}
    assert negative >= {"A01", "A02", "H12"} and len(negative) == 16
    assert sum(value == 1 for value in column) == 8
