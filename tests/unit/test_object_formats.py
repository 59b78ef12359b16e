"""All formats of the table of objects have the same rows."""

import csv
import gzip
import sqlite3
import weakref

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import object_formats
from nucleiflow.derived import OURS
from nucleiflow.job import JobError
from nucleiflow.safe_tables import true_column

PLACES = [
    ("day 1", "0012", "A01"),
    ("Zürich/é, β", None, "A02"),
    (".", 'P "1"', None),
    ("a=b%20c", "=SUM(A1)", "B12"),
]
IMAGES = [
    ["directory", "batch", "image", "file", "plate", "status", "objects", "pixel_size_um"],
    ["day 1", "b0", "i0", "i0.tif", "0012", "ok", "3", "0.65"],
    ["day 1", "b0", "i1", "i1.tif", "13", "ok", "0", "1e-05"],
    [".", "b1", "0012", "12", "7", "failed", "", ""],
]


def objects(count, group, folder):
    """objects.parquet with so many objects, in groups of so many rows, and its table."""
    place = [PLACES[index // 5 % len(PLACES)] for index in range(count)]
    table = pa.table(
        {
            "directory": pa.array([each[0] for each in place], pa.string()),
            "batch": pa.array([f"b{index // 10}" for index in range(count)], pa.string()),
            "image": pa.array([f"i{index // 5}" for index in range(count)], pa.string()),
            "plate": pa.array([each[1] for each in place], pa.string()),
            "well": pa.array([each[2] for each in place], pa.string()),
            "site": pa.array([None if index % 3 else index for index in range(count)], pa.int64()),
            "label": pa.array(range(1, count + 1), pa.int64()),
            "intensity_mean": pa.array(
                [None if index % 4 == 3 else index / 7 for index in range(count)], pa.float64()
            ),
            "on_border": pa.array([index % 2 == 0 for index in range(count)], pa.bool_()),
        }
    )
    path = folder / "objects.parquet"
    with pq.ParquetWriter(path, table.schema) as file:
        for start in range(0, count, group):
            file.write_table(table.slice(start, group))
    return path, table


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "images.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(IMAGES)
    return path


def read_csv(source, schema):
    options = pa.csv.ConvertOptions(
        column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    table = pa.csv.read_csv(source, convert_options=options)
    assert "=SUM(A1)" not in table["plate"].to_pylist()
    texts = {name: true_column(table[name]) for name in ("directory", "image", "plate", "well")}
    return [
        row | {name: column[index].as_py() for name, column in texts.items()}
        for index, row in enumerate(table.to_pylist())
    ]


def select(path, question):
    with sqlite3.connect(path) as database:
        return database.execute(question).fetchall()


def parts_of(folder, column, schema):
    """The table in a directory of Parquet, in the order of the labels."""
    keys = ds.partitioning(pa.schema([schema.field(column)]), flavor="hive")
    found = ds.dataset(folder, partitioning=keys).to_table()
    return found.select(schema.names).sort_by("label")


@pytest.mark.parametrize("count", [0, 1, 47])
def test_all_formats_have_the_same_rows(tmp_path, images, count):
    source, table = objects(count, 10, tmp_path)
    rows = table.to_pylist()
    object_formats.write_csv(source, tmp_path / "objects.csv")
    assert read_csv(tmp_path / "objects.csv", table.schema) == rows
    object_formats.write_csv(source, tmp_path / "objects.csv.gz")
    with gzip.open(tmp_path / "objects.csv.gz") as file:
        assert file.read() == (tmp_path / "objects.csv").read_bytes()
    object_formats.write_sqlite(source, images, tmp_path / "objects.sqlite")
    found = select(tmp_path / "objects.sqlite", "SELECT * FROM objects ORDER BY rowid")
    assert found == [tuple(row.values()) for row in rows]
    for column in ("directory", "plate"):
        object_formats.write_parts(source, column, tmp_path / column)
        if count:
            assert parts_of(tmp_path / column, column, table.schema).to_pylist() == rows


def test_cells_of_the_csv_are_spelled_as_before(tmp_path):
    source, _ = objects(9, 5, tmp_path)
    object_formats.write_csv(source, tmp_path / "objects.csv")
    assert (tmp_path / "objects.csv").read_text().splitlines()[:6] == [
        '"directory","batch","image","plate","well","site","label","intensity_mean","on_border"',
        '"day 1","b0","i0","0012","A01",0,1,0,true',
        '"day 1","b0","i0","0012","A01",,2,0.14285714285714285,false',
        '"day 1","b0","i0","0012","A01",,3,0.2857142857142857,true',
        '"day 1","b0","i0","0012","A01",3,4,,false',
        '"day 1","b0","i0","0012","A01",,5,0.5714285714285714,true',
    ]


def test_pandas_reads_the_csv_whether_it_is_compressed_or_not(tmp_path):
    source, _ = objects(30, 7, tmp_path)
    for name in ("objects.csv", "objects.csv.gz"):
        object_formats.write_csv(source, tmp_path / name)
    plain, packed = (pd.read_csv(tmp_path / name) for name in ("objects.csv", "objects.csv.gz"))
    assert plain.equals(packed) and len(plain) == 30
    assert (tmp_path / "objects.csv.gz").stat().st_size < (tmp_path / "objects.csv").stat().st_size


# SQLite


def test_types_in_the_database_are_those_of_the_columns(tmp_path, images):
    source, _ = objects(12, 5, tmp_path)
    path = tmp_path / "objects.sqlite"
    object_formats.write_sqlite(source, images, path)
    types = "typeof(plate), typeof(site), typeof(label), typeof(intensity_mean), typeof(on_border)"
    assert select(path, f"SELECT {types} FROM objects WHERE label IN (1, 4, 8)") == [
        ("text", "integer", "integer", "real", "integer"),
        ("text", "integer", "integer", "null", "integer"),
        ("null", "null", "integer", "null", "integer"),
    ]
    assert select(path, "SELECT count(*) FROM objects WHERE on_border") == [(6,)]


def test_images_in_the_database_keep_texts_that_look_like_numbers(tmp_path, images):
    source, _ = objects(1, 5, tmp_path)
    path = tmp_path / "objects.sqlite"
    object_formats.write_sqlite(source, images, path)
    assert select(path, "SELECT * FROM images ORDER BY rowid") == [
        ("day 1", "b0", "i0", "i0.tif", "0012", "ok", 3, 0.65),
        ("day 1", "b0", "i1", "i1.tif", "13", "ok", 0, 1e-5),
        (".", "b1", "0012", "12", "7", "failed", None, None),
    ]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2", ""], [1, -2, None]),
        (["1", "2.5", "3e+20"], [1.0, 2.5, 3e20]),
        (["True", "False", ""], [1, 0, None]),
        (["true", "", "false"], [1, None, 0]),
        (["True", "1", "0"], ["True", "1", "0"]),
        (["01", "2", "3"], ["01", "2", "3"]),
        # More digits than a number of a database has.
        (["12345678901234567890", "1", "2"], ["12345678901234567890", "1", "2"]),
        (["nan", "1", "2"], ["nan", "1", "2"]),
        (["", "", ""], [None, None, None]),
        (["a\nb", '"', "=1"], ["a\nb", '"', "=1"]),
    ],
)
def test_columns_of_images_get_the_type_that_loses_nothing(tmp_path, cells, values):
    path = tmp_path / "images.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["image", "known"], *([f"i{c}", c] for c in cells)])
    kinds = object_formats.image_kinds(path)
    assert kinds["image"] == "TEXT"
    with sqlite3.connect(":memory:") as database:
        database.execute(f"CREATE TABLE t (image TEXT, known {kinds['known']})")
        rows = list(object_formats.image_rows(path, kinds))
        database.executemany("INSERT INTO t VALUES (?, ?)", rows)
        found = [known for (known,) in database.execute("SELECT known FROM t")]
    assert found == values and list(map(type, found)) == list(map(type, values))


def test_both_tables_are_found_by_directory_and_image(tmp_path, images):
    source, _ = objects(12, 5, tmp_path)
    path = tmp_path / "objects.sqlite"
    object_formats.write_sqlite(source, images, path)
    for name in ("objects", "images"):
        question = f"EXPLAIN QUERY PLAN SELECT * FROM {name} WHERE directory = 'a' AND image = 'b'"
        assert f"USING INDEX {name}_place (directory=? AND image=?)" in select(path, question)[0][3]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["directory", "image", "Dose", "dose"], "duplicate column name: dose"),
        (["directory", "image", *(f"x{n}" for n in range(2000))], "too many columns on objects"),
    ],
)
def test_columns_that_sqlite_cannot_hold_are_refused_in_a_sentence(tmp_path, images, names, why):
    source = tmp_path / "objects.parquet"
    pq.write_table(pa.table({name: ["x"] for name in names}), source)
    with pytest.raises(JobError) as caught:
        object_formats.write_sqlite(source, images, tmp_path / "objects.sqlite")
    assert str(caught.value) == (
        "config: tables.sqlite is true, but SQLite cannot hold the columns of objects "
        f"({why}): set it to false"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.csv", "objects.parquet"]


# Directories of Parquet


def test_names_of_parts_are_safe_and_say_what_is_in_them(tmp_path):
    source, _ = objects(20, 20, tmp_path)
    for column, names in {
        "directory": ["day%201", "Zürich%2Fé%2C%20β", ".", "a%3Db%2520c"],
        "plate": ["0012", "__HIVE_DEFAULT_PARTITION__", "P%20%221%22", "%3DSUM%28A1%29"],
    }.items():
        object_formats.write_parts(source, column, tmp_path / column)
        found = [path.relative_to(tmp_path / column) for path in tmp_path.rglob(f"{column}/*/*")]
        assert {str(path) for path in found} == {f"{column}={n}/part-0.parquet" for n in names}


def test_a_value_has_a_part_for_each_group_that_it_is_in(tmp_path):
    source, table = objects(40, 10, tmp_path)
    object_formats.write_parts(source, "directory", tmp_path / "objects")
    folder = tmp_path / "objects" / "directory=day%201"
    assert sorted(path.name for path in folder.iterdir()) == ["part-0.parquet", "part-1.parquet"]
    first = pq.ParquetFile(folder / "part-0.parquet")
    assert first.schema_arrow.names == table.column_names[1:]
    assert first.read()["label"].to_pylist() == [1, 2, 3, 4, 5]
    column = first.metadata.row_group(0).column(0)
    assert (column.compression, column.has_dictionary_page) == ("ZSTD", True)


def test_parts_of_no_object_have_all_columns(tmp_path):
    source, table = objects(0, 10, tmp_path)
    object_formats.write_parts(source, "plate", tmp_path / "objects")
    found = pd.read_parquet(tmp_path / "objects")
    assert (len(found), list(found.columns)) == (0, table.column_names)


def test_directory_whose_name_is_too_long_is_refused_in_a_sentence(tmp_path):
    name = "ä" * 130
    table = pa.table({"directory": [name], "image": ["i"], "label": [1]})
    pq.write_table(table, tmp_path / "objects.parquet")
    with pytest.raises(JobError) as caught:
        object_formats.write_parts(tmp_path / "objects.parquet", "directory", tmp_path / "objects")
    assert str(caught.value) == (
        f"config: tables.partition_by is directory, but {name} is too long for the name of a "
        "directory: set it to null or to another column"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["objects.parquet"]


def test_columns_under_cellprofilers_names_are_found(tmp_path, images):
    source, table = objects(12, 5, tmp_path)
    theirs = {"directory": "Metadata_Directory", "image": "Metadata_Image"}
    fields = [
        field.with_name(theirs.get(field.name, field.name)).with_metadata({OURS: field.name})
        for field in table.schema
    ]
    pq.write_table(pa.table(table.columns, schema=pa.schema(fields)), source)
    object_formats.write_parts(source, "directory", tmp_path / "objects")
    assert (tmp_path / "objects" / "Metadata_Directory=day%201").is_dir()
    object_formats.write_sqlite(source, images, tmp_path / "objects.sqlite")
    rows = select(tmp_path / "objects.sqlite", "SELECT Metadata_Image FROM objects ORDER BY rowid")
    assert [image for (image,) in rows] == table["image"].to_pylist()


# Whole or not at all


WRITERS = {
    "objects.csv": lambda source, _, path: object_formats.write_csv(source, path),
    "objects.csv.gz": lambda source, _, path: object_formats.write_csv(source, path),
    "objects.sqlite": object_formats.write_sqlite,
    "objects": lambda source, _, path: object_formats.write_parts(source, "plate", path),
}


@pytest.mark.parametrize("name", object_formats.FORMATS)
def test_interrupted_write_leaves_what_was_there(tmp_path, images, monkeypatch, name):
    source, _ = objects(30, 10, tmp_path)
    path = tmp_path / "made" / name
    WRITERS[name](source, images, path)
    before = {file: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()}
    whole = object_formats.groups

    def broken(source):
        yield next(whole(source))
        raise KeyboardInterrupt

    monkeypatch.setattr(object_formats, "groups", broken)
    with pytest.raises(KeyboardInterrupt):
        WRITERS[name](source, images, path)
    assert before == {file: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", object_formats.FORMATS)
def test_one_group_is_in_memory_at_a_time(tmp_path, images, monkeypatch, name):
    source, _ = objects(200, 10, tmp_path)
    read, most = [], [0]
    original = pq.ParquetFile.read_row_group

    def watched(self, *arguments, **options):
        table = original(self, *arguments, **options)
        read.append(weakref.ref(table))
        most[0] = max(most[0], sum(each() is not None for each in read))
        return table

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    WRITERS[name](source, images, tmp_path / "made" / name)
    assert len(read) == 20
    # The one at work, and the next while it is being read.
    assert most[0] <= 2
