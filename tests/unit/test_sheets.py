"""Plate maps and sample sheets, as users and their spreadsheets write them."""

import copy
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from jsonschema import Draft202012Validator

from nucleiflow.plate_map import read_plate_map
from nucleiflow.samples import Sample, read_samples
from nucleiflow.sheets import SheetError, read_sheet

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/sheet.schema.yaml").read_text())


@pytest.fixture
def write(tmp_path):
    """Writes text or bytes to a file and gives back its path."""

    def write(content, name="sheet.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refusal(path, function=read_sheet, *arguments):
    with pytest.raises(SheetError) as caught:
        function(path, *arguments)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text
    return text.replace(str(path), "SHEET")


# Tables


@pytest.mark.parametrize(
    "content",
    [
        "well,dose\nA01,1\nA02,2\n",
        "well;dose\nA01;1\nA02;2",
        "well\tdose\nA01\t1\nA02\t2\n",
        "\ufeffwell,dose\r\nA01,1\r\nA02,2\r\n",
        "well,dose\rA01,1\rA02,2\r",
        "\n , \nwell, dose \n\n A01 ,1\n,\nA02,2\n,\n\n",
        '"well","dose"\n"A01","1"\n"A02", "2"\n',
        "well,dose,,\nA01,1,,\nA02,2,,\n",
        "sep=;\nwell;dose\nA01;1\nA02;2\n",
        "sep=,\nwell,dose\nA01,1\nA02,2\n",
        "well\tdose\nA01\t1\nA02\t2\n".encode("utf-16"),
        b"\xfe\xff" + "well,dose\nA01,1\nA02,2\n".encode("utf-16-be"),
    ],
)
def test_tables_read_the_same_however_they_are_written(write, content):
    sheet = read_sheet(write(content))
    assert sheet.columns == ("well", "dose")
    assert sheet.rows == [("A01", "1"), ("A02", "2")]


def test_quotes_hold_delimiters_line_ends_and_quotes(write):
    path = write('well;"dose, ""mM""; all"\nA01;"a;b"\n\nA02;"first\nsecond"\nA03;1,5\n')
    sheet = read_sheet(path)
    assert sheet.columns == ("well", 'dose, "mM"; all')
    assert sheet.rows == [("A01", "a;b"), ("A02", "first\nsecond"), ("A03", "1,5")]
    assert sheet.lines == [2, 4, 6]


def test_delimiters_in_quoted_names_are_not_counted(write):
    sheet = read_sheet(write('well;"a, b, c, d";e\nA01;1;2\n'))
    assert sheet.columns == ("well", "a, b, c, d", "e")


def test_letters_of_all_languages_are_read(write):
    assert read_sheet(write("µM,größe\n1,名\n")).rows == [("1", "名")]


def test_a_table_of_one_column_is_a_table(write):
    assert read_sheet(write("file\na b.tif\n")).rows == [("a b.tif",)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "SHEET is empty, write the names of columns"),
        ("\n , ,\n", "SHEET is empty"),
        ("well,dose\n\n", "SHEET holds names of columns and no row"),
        ("well,dose\nA01,1\nA02\n", "SHEET line 3: the number of cells is 1, that of columns 2"),
        (
            "well,dose\n\n\nA01,1,5\n",
            "SHEET line 4: the number of cells is 3, that of columns 2: put a cell that holds ','",
        ),
        ("well,dose,well\nA01,1,2\n", "SHEET has two columns well, rename one"),
        ("well,,dose\nA01,x,2\n", "SHEET: column 2 holds values and has no name"),
        ('well,dose\nA01,1\nA02,"2\nA03,3\n', "SHEET line 3: the quotes do not fit"),
        ('well,dose\n"A01"x,1\n', "SHEET line 2: the quotes do not fit"),
        (b"PK\x03\x04rest", "SHEET is a spreadsheet, not a text: export it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "SHEET is a spreadsheet"),
        ("dose\n1 µM\n".encode("latin-1"), "SHEET line 2: a letter is not in UTF-8, save it as"),
        ("dose\n1\n".encode("utf-16-le"), "SHEET is not a text in UTF-8"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(write, content, expected):
    assert expected in refusal(write(content))


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    assert "there is no file SHEET, check the path" in refusal(tmp_path / "no.csv")
    assert "SHEET cannot be read (Is a directory)" in refusal(tmp_path)


# Plate maps


def test_the_real_plate_map_is_joined_by_row_and_column(data):
    found = read_plate_map(data / "sbs-plate" / "1049_Metadata.csv")
    assert found.join == ("well",)
    assert found.table.schema.names == ["ImageNumber", "SBS_Doses", "SBS_Controls"]
    assert set(found.table.schema.types) == {pa.int64()}
    assert len(found.rows) == found.table.num_rows == 96
    row = found.table.slice(found.rows[("A03",)], 1).to_pylist()
    assert row == [{"ImageNumber": 3, "SBS_Doses": 1, "SBS_Controls": 0}]
    assert found.table["ImageNumber"][found.rows[("H12",)]].as_py() == 96


@pytest.mark.parametrize(
    ("header", "join"),
    [
        ("well,,,dose", ("well",)),
        ("Well ID,,,dose", ("well",)),
        ("well_position,,,dose", ("well",)),
        ("Metadata_Well,Metadata_Plate,,dose", ("plate", "well")),
        ("WELL-NAME,Barcode,,dose", ("plate", "well")),
        ("well,plate_id,,dose", ("plate", "well")),
        (",PLATE,,dose,Row,Col", ("plate", "well")),
        (",,,dose,well row,Metadata_Column", ("well",)),
    ],
)
def test_wells_and_plates_are_found_however_they_are_spelled(write, header, join):
    names = header.split(",")
    cells = [
        {0: "a - 3", 1: "P007", 3: "5", 4: "A", 5: "03"}[i] if n else ""
        for i, n in enumerate(names)
    ]
    found = read_plate_map(write(f"{header}\n{','.join(cells)}\n"))
    assert found.join == join
    assert found.rows == {(("P007", "A03") if "plate" in join else ("A03",)): 0}
    assert found.table.to_pydict() == {"dose": [5]}


def test_a_map_can_be_joined_by_any_metadata(write):
    path = write("Site,drug,well,dose\n01,dmso,A1,0\n2,dmso,A1,1\n02,taxol,A1,2\n")
    found = read_plate_map(path, ["drug", "site"])
    assert found.join == ("drug", "site")
    assert found.rows == {("dmso", "1"): 0, ("dmso", "2"): 1, ("taxol", "2"): 2}
    assert found.table.schema.names == ["well", "dose"]
    assert read_plate_map(path, ["well", "drug", "site"]).rows[("A01", "taxol", "2")] == 2


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["1", "-2", "", "+3"], pa.int64(), [1, -2, None, 3]),
        (["1", "2.5", "1e-3", ".5", "3."], pa.float64(), [1.0, 2.5, 0.001, 0.5, 3.0]),
        (["true", "FALSE", ""], pa.bool_(), [True, False, None]),
        (["0012", "13", ""], pa.string(), ["0012", "13", None]),
        (["01.5", "2"], pa.string(), ["01.5", "2"]),
        (["1,5", "2"], pa.string(), ["1,5", "2"]),
        (["1", "n.d."], pa.string(), ["1", "n.d."]),
        (["1", "NaN"], pa.string(), ["1", "NaN"]),
        (["1", "true"], pa.string(), ["1", "true"]),
        (["", ""], pa.string(), [None, None]),
        (["9223372036854775807"], pa.int64(), [2**63 - 1]),
        (["9223372036854775808"], pa.string(), ["9223372036854775808"]),
        (["0", "-0"], pa.int64(), [0, 0]),
        (["١"], pa.string(), ["١"]),  # noqa: RUF001
    ],
)
def test_values_have_the_type_that_loses_nothing(write, texts, kind, values):
    rows = "".join(f"A{index + 1};{text}\n" for index, text in enumerate(texts))
    found = read_plate_map(write("well;value\n" + rows))
    assert found.table.schema.field("value").type == kind
    assert found.table["value"].to_pylist() == values


@pytest.mark.parametrize(
    ("content", "join", "expected"),
    [
        (
            "Position,dose\nA1,1\n",
            "auto",
            "SHEET has no column well (nor row and column), there are Position, dose: rename",
        ),
        ("row,dose\nA,1\n", "auto", "has no column well (nor row and column)"),
        ("well,dose\nA1,1\n", ["site"], "SHEET has no column site, there are well, dose"),
        ("well,dose\nA1,1\nA2,2\n\na01,3\n", "auto", "lines 2 and 5 are both of well A01: remove"),
        (
            "plate,well,dose\nP,A1,1\nQ,A1,2\nP,A01,3\n",
            "auto",
            "SHEET lines 2 and 4 are both of plate P, well A01",
        ),
        ("well,dose\nA1,1\nQ77,2\n", "auto", "SHEET line 3: '77' is no column of a plate"),
        ("well,dose\n1,1\n", "auto", "SHEET line 2: '1' is no well such as A01"),
        ("row,column,dose\nA,1,1\nA,,1\n", "auto", "SHEET line 3: there is no well, write it"),
        ("plate,well,dose\n,A1,1\n", "auto", "SHEET line 2: there is no plate"),
        ("well,area\nA1,1\n", "auto", "SHEET has a column area, as the tables have: rename it"),
        ("well\nA1\n", "auto", "SHEET has no column but well: add one with what it is to tell"),
    ],
)
def test_maps_that_cannot_be_joined_are_refused(write, content, join, expected):
    assert expected in refusal(write(content), read_plate_map, join, {"area", "image"})


def test_what_is_reserved_can_still_be_joined_by(write):
    found = read_plate_map(write("well,site,dose\nA1,1,5\n"), ["well", "site"], {"well", "site"})
    assert found.table.to_pydict() == {"dose": [5]}


# Sample sheets


def samples(path):
    return read_samples(path, SCHEMA)


def test_a_list_of_files_is_a_sample_sheet(write):
    path = write("file\na.tif\np1/b.c.tif\n/data/x/y.png\n../raw/z\n./p1//d.tif\n")
    sheet = samples(path)
    assert (sheet.path, sheet.columns) == (str(path), ("plate", "well", "site", "time"))
    nothing = ("", None, ("", "", "", ""))
    assert sheet.samples == [
        Sample(2, "a.tif", ".", "a", *nothing),
        Sample(3, "p1/b.c.tif", "p1", "b.c", *nothing),
        Sample(4, "/data/x/y.png", "/data/x", "y", *nothing),
        Sample(5, "../raw/z", "../raw", "z", *nothing),
        Sample(6, "./p1//d.tif", "p1", "d", *nothing),
    ]


def test_all_columns_of_a_sample_sheet(write):
    path = write(
        "drug;z;channel;file;time;well;plate;site;image;directory;dose, µM\n"
        "dmso;03;DAPI;a.tif;012;a - 1;P1;007;field 1;day 1/p;1,5\n"
        ";;;b.tif;;;;;;;\n"
    )
    sheet = samples(path)
    assert sheet.columns == ("plate", "well", "site", "time", "drug", "dose, µM")
    assert sheet.samples == [
        Sample(
            *(2, "a.tif", "day 1/p", "field 1", "DAPI", 3),
            ("P1", "A01", "7", "12", "dmso", "1,5"),
        ),
        Sample(3, "b.tif", ".", "b", "", None, ("", "", "", "", "", "")),
    ]


def test_row_and_column_are_a_well(write):
    sheet = samples(write("column,file,row\n12,a.tif,B\n3,b.tif,27\n,c.tif,\n"))
    assert sheet.columns == ("plate", "well", "site", "time")
    assert [sample.metadata[1] for sample in sheet.samples] == ["B12", "AA03", ""]


def test_files_of_channels_and_planes_are_one_image(write):
    sheet = samples(
        write("file,image,channel,z\na,i,DAPI,1\nb,i,DAPI,2\nc,i,GFP,1\nd,i,GFP,\ne,j,GFP,1\n")
    )
    assert [sample[3:6] for sample in sheet.samples] == [
        *(("i", "DAPI", 1), ("i", "DAPI", 2), ("i", "GFP", 1), ("i", "GFP", None), ("j", "GFP", 1)),
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("path,well", "SHEET has no column file, there are path, well: rename or add one"),
        ("File,well", "SHEET has a column File, write it file"),
        ("file,Channel", "SHEET has a column Channel, write it channel"),
        ("file,row", "SHEET has a column row, add a column column to it"),
        ("file,column", "SHEET has a column column, add a column row to it"),
        ("file,well,row,column", "SHEET has the columns well and row: remove"),
        *(
            (f"file,{name}", f"SHEET has a column {name}, as the tables have: rename it")
            for name in ("batch", "status", "stage", "message", "objects", "label", "field")
        ),
    ],
)
def test_columns_that_cannot_be_are_refused(write, header, expected):
    cells = ",".join("1" for _ in header.split(","))
    assert refusal(write(f"{header}\n{cells}\n"), samples).startswith(expected)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("file", ["p1/", "p1\\a.tif", ".hidden.tif", "p1/.a.tif", "..", "a\nb.tif"]),
        ("image", ["a/b", "/a", "..", ".", ".a", "a\\b", "a\nb", "x" * 201]),
        ("directory", ["/a", "a/", "a//b", "..", "../a", "a/../b", "a/..", "./a", "a/.", "a\\b"]),
        ("z", ["1.5", "-1", "top", "1e3", "1" * 10]),
        ("time", ["24h", "0.5"]),
        ("well", ["A", "12", "well A1", "A0", "A49", "A1B", "1A"]),
        ("channel", ["DA\nPI"]),
    ],
)
def test_values_that_cannot_be_are_refused_with_line_and_column(write, column, values):
    for value in values:
        cells = f'"{value}"' if column == "file" else f'b.tif,"{value}"'
        header, first = (column, "a.tif") if column == "file" else (f"file,{column}", "a.tif,")
        text = refusal(write(f"{header}\n{first}\n{cells}\n"), samples)
        assert text.startswith(f"SHEET line 3, column {column}: {value!r} is n") or (
            column == "well" and text.startswith(f"SHEET line 3, column well: {value[1:]!r} is no")
        )


def test_an_empty_file_and_half_a_well_are_refused(write):
    text = refusal(write("file,well\na.tif,A1\n,A2\n"), samples)
    assert text == (
        "SHEET line 3, column file: '' is not the path of an image file with / between folders, "
        "correct it"
    )
    text = refusal(write("file,row,column\na.tif,B,3\nb.tif,B,\n"), samples)
    assert text.startswith("SHEET line 3, column row: '' is no column of a plate")


@pytest.mark.parametrize("value", [".", "a", "a/b", "...", ".a", "a..b/c.", "day 1/größe"])
def test_directories_that_lead_nowhere_else_are_taken(write, value):
    assert samples(write(f"file,directory\na.tif,{value}\n")).samples[0].directory == value


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "file,image\na.tif,i\nb.tif,j\nc.tif,i\n",
            "SHEET lines 2 and 4 are both of image i of .: remove one, or tell them apart by",
        ),
        (
            "file,image,channel,z\na,i,DAPI,1\nb,i,DAPI,01\n",
            "SHEET lines 2 and 3 are both of image i of ., channel DAPI, z 1: remove one",
        ),
        ("file\np/a.tif\np/a.png\n", "SHEET lines 2 and 3 are both of image a of p: remove"),
        (
            "file,image\na.tif,i\n\na.tif,j\n",
            "SHEET lines 2 and 4 are both of the file a.tif, remove one",
        ),
    ],
)
def test_what_stands_twice_is_refused_with_both_lines(write, content, expected):
    assert refusal(write(content), samples).startswith(expected)


def test_the_schema_is_one_and_says_all_that_is_checked():
    Draft202012Validator.check_schema(SCHEMA)
    for name, entry in SCHEMA["properties"].items():
        assert entry["type"] == "string" and entry["description"] and entry["x-allowed"], name
    good = {"file": "p/a.tif", "directory": "p/q", "well": "A01", "z": "3", "dose": "x"}
    validator = Draft202012Validator(SCHEMA)
    assert validator.is_valid(good)
    for bad in ({"file": "p/"}, {"z": "x"}, {"directory": "../x"}, {"row": "A"}, {"label": "1"}):
        assert not validator.is_valid(good | bad)


def test_a_schema_that_asks_for_more_is_followed(write):
    schema = copy.deepcopy(SCHEMA)
    schema["properties"]["channel"] |= {"enum": ["DAPI", "GFP"], "x-allowed": "DAPI or GFP"}
    path = write("file,channel\na.tif,DAPI\nb.tif,Cy5\n")
    text = refusal(path, read_samples, schema)
    assert text == "SHEET line 3, column channel: 'Cy5' is not DAPI or GFP, correct it"
