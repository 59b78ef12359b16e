"""The table of all objects keeps its shape, its order and its types."""

import weakref
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from records import NOTHING, PLATE_MAP, STANDARD, batch_of, record, records_of

import measure
import object_formats
import object_table
from nucleiflow.metadata import metadata
from nucleiflow.plate_map import read_plate_map

MEASURED = ["label", "area", "intensity_mean", "on_border"]
COLUMNS = ["directory", "batch", "image", *STANDARD, *MEASURED]


@pytest.fixture
def plate_map(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("\n".join(PLATE_MAP))
    return read_plate_map(path)


def part(folder, name, counts, directory="day 1", channels=("",), batch=None, records=None):
    """The table of a batch with so many objects in each image, as stage measure writes it."""
    batch = batch or batch_of(name, [NOTHING] * len(counts), directory)
    records = records or records_of(batch)
    rows = [
        (each["image"], label)
        for each, count in zip(records, counts, strict=True)
        for label in range(1, count + 1)
    ]
    labels = np.array([label for _, label in rows], np.int64)
    frame = pd.DataFrame(
        {
            "directory": pd.Series([directory] * len(rows), dtype=object),
            "batch": pd.Series([name] * len(rows), dtype=object),
            "image": pd.Series([image for image, _ in rows], dtype=object),
            "label": labels,
            "area": labels * 10,
            **{
                f"intensity_mean_{channel}".strip("_"): labels / (3 + index)
                for index, channel in enumerate(channels)
            },
            "on_border": labels % 2 == 0,
        }
    )
    path = folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    return path, (batch, records)


def write(folder, parts, plate_map=None):
    """Number of objects, objects.csv with the types of objects.parquet, and that one."""
    paths, batches = [path for path, _ in parts], [batch for _, batch in parts]
    known = metadata(iter(batches), plate_map)
    text, binary = folder / "objects.csv", folder / "objects.parquet"
    count = object_table.write_objects(paths, known, iter(batches), binary)
    object_formats.write_csv(binary, text)
    table = pq.read_table(binary)
    options = pa.csv.ConvertOptions(
        column_types=table.schema, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    return count, pa.csv.read_csv(text, convert_options=options), table


def types(table, *names):
    return [str(table.schema.field(name).type) for name in names]


def test_objects_of_all_batches_are_joined_in_their_order(tmp_path):
    parts = [part(tmp_path, "b", [2, 0, 1]), part(tmp_path, "a", [0]), part(tmp_path, "c", [3])]
    count, text, table = write(tmp_path, parts)
    assert count == table.num_rows == 6
    assert table.column_names == COLUMNS
    assert table["batch"].to_pylist() == ["b"] * 3 + ["c"] * 3
    assert table["image"].to_pylist() == ["i0", "i0", "i2", "i0", "i0", "i0"]
    assert table["label"].to_pylist() == [1, 2, 1, 1, 2, 3]
    assert table.to_pydict() == text.to_pydict()


def test_types_of_the_columns(tmp_path):
    _, _, table = write(tmp_path, [part(tmp_path, "a", [2])])
    assert types(table, *COLUMNS) == [
        *("string", "string", "string", "string", "string", "int64", "int64"),
        *("int64", "int64", "double", "bool"),
    ]


@pytest.mark.parametrize("counts", [[[0]], [[0, 0], []], [[], [2]], [[2], []]])
def test_first_batch_without_objects_changes_no_column(tmp_path, counts):
    reference = write(tmp_path, [part(tmp_path, "x", [2])])[2].schema
    parts = [part(tmp_path, f"b{index}", each) for index, each in enumerate(counts)]
    count, _, table = write(tmp_path, parts)
    assert count == table.num_rows == sum(map(sum, counts))
    assert table.schema.equals(reference)
    header = (tmp_path / "objects.csv").read_text().splitlines()[0].replace('"', "")
    assert header.split(",") == COLUMNS


def test_batches_as_stage_measure_writes_them_are_joined_with_and_without_objects(tmp_path):
    names, labels = ["area", "intensity_mean"], np.zeros((9, 9), np.int32)
    labels[2:4, 2:5] = 1
    parts = []
    for name, image in (("a", labels * 0), ("b", labels), ("c", None)):
        columns = {} if image is None else {"nuclei": image}
        columns = columns and measure.columns_of(columns, [("", labels * 7)], names, 0)
        result = measure.as_table(columns)
        item = SimpleNamespace(result=result, record={"image": "i0"})
        where = SimpleNamespace(directory="ä", name=name)
        path = tmp_path / f"{name}.parquet"
        whole = measure.joined(where, [item] if image is not None else [], names)
        pq.write_table(whole, path)
        batch = batch_of(name, [("P1", "B02", "3", "")], "ä")
        parts.append((path, (batch, records_of(batch))))
    for order in (parts, parts[::-1], parts[:1]):
        count, text, table = write(tmp_path, order)
        assert count == (0 if len(order) == 1 else 1)
        assert table.column_names == COLUMNS
        assert types(table, *MEASURED) == ["int64", "int64", "double", "bool"]
        if count:
            assert (
                table.to_pylist()
                == text.to_pylist()
                == [
                    {
                        **{"directory": "ä", "batch": "b", "image": "i0", "plate": "P1"},
                        **{"well": "B02", "site": 3, "time": None, "label": 1, "area": 6},
                        **{"intensity_mean": 7.0, "on_border": False},
                    }
                ]
            )


def test_numbers_of_the_csv_are_those_of_the_parquet_file_to_the_last_digit(tmp_path):
    _, text, table = write(tmp_path, [part(tmp_path, "a", [500])])
    assert text["intensity_mean"].to_pylist() == table["intensity_mean"].to_pylist()


def test_names_with_commas_quotes_and_umlauts_survive(tmp_path):
    name = 'Zürich, "Tag 1"'
    batch = batch_of("a", [('P, "1"', "A01", "ü", "")], name)
    _, text, table = write(tmp_path, [part(tmp_path, "a", [2], name, batch=batch)])
    for column, value in (("directory", name), ("plate", 'P, "1"'), ("site", "ü")):
        assert text[column].to_pylist() == table[column].to_pylist() == [value] * 2


def test_many_batches_are_written_in_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(object_table, "GROUP", 50)
    parts = [part(tmp_path, f"b{index:03}", [index % 7, 2]) for index in range(100)]
    count, text, table = write(tmp_path, parts)
    assert count == sum(index % 7 + 2 for index in range(100))
    assert table.to_pydict() == text.to_pydict()
    groups = pq.ParquetFile(tmp_path / "objects.parquet").metadata
    sizes = [groups.row_group(index).num_rows for index in range(groups.num_row_groups)]
    assert sum(sizes) == count and max(sizes) < 50 + 8
    assert len(sizes) <= count / 50 + 1


def test_groups_have_fewer_rows_where_there_are_many_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(object_table, "VALUES", 10 * len(COLUMNS) + 1)
    # One batch is larger than a group.
    parts = [part(tmp_path, name, [count]) for name, count in (("a", 4), ("b", 37), ("c", 3))]
    count, text, table = write(tmp_path, parts)
    assert count == 44 and table.to_pydict() == text.to_pydict()
    groups = pq.ParquetFile(tmp_path / "objects.parquet").metadata
    sizes = [groups.row_group(index).num_rows for index in range(groups.num_row_groups)]
    assert sizes == [4 + 10, 10, 10, 7 + 3]


def test_texts_are_dictionaries_in_the_file_and_texts_when_read(tmp_path, plate_map):
    batches = [batch_of(f"b{index}", [("P", "A01", "ü", "")] * 3) for index in range(3)]
    parts = [part(tmp_path, each.batch.name, [9, 0, 9], batch=each) for each in batches]
    _, _, table = write(tmp_path, parts, plate_map)
    texts = [field.name for field in table.schema if field.type == pa.string()]
    assert texts == ["directory", "batch", "image", "plate", "well", "site", "drug"]
    file = pq.ParquetFile(tmp_path / "objects.parquet")
    group = file.metadata.row_group(0)
    for index, name in enumerate(table.column_names):
        column = group.column(index)
        # A dictionary that is given up ends in plain pages behind coded ones.
        coded = "RLE_DICTIONARY" in column.encodings
        assert (column.compression, coded) == ("ZSTD", name in texts)
    assert group.column(1).total_uncompressed_size < 200
    frame = pd.read_parquet(tmp_path / "objects.parquet")
    assert frame["batch"].dtype == pd.Series(["x"]).dtype
    assert frame["batch"].tolist() == ["b0"] * 18 + ["b1"] * 18 + ["b2"] * 18


def test_batches_are_looked_at_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(object_table, "GROUP", 5)
    paths = [part(tmp_path, f"b{index}", [2])[0] for index in range(20)]
    made, most = [], []

    def batches():
        most.append(0)
        for index in range(20):
            batch = batch_of(f"b{index}", [("P", "A01", str(index), "")])
            made.append(weakref.ref(batch.batch))
            most[-1] = max(most[-1], sum(each() is not None for each in made))
            yield batch, records_of(batch)
            del batch

    known = metadata(batches())
    where = tmp_path / "objects.parquet"
    assert object_table.write_objects(paths, known, batches(), where) == 40
    # The one at work, and the next while it is being made.
    assert most == [2, 2]


def test_tables_do_not_depend_on_how_images_were_batched(tmp_path):
    left_out = ["batch", "image"]
    one = write(tmp_path, [part(tmp_path, "a", [3, 4])])[2].drop_columns(left_out)
    parts = [part(tmp_path, "a", [3]), part(tmp_path, "b", [4])]
    two = write(tmp_path, parts)[2].drop_columns(left_out)
    assert one.to_pydict() == two.to_pydict()


def test_keys_of_objects_are_unique(tmp_path):
    _, _, table = write(tmp_path, [part(tmp_path, f"b{index}", [5, 6]) for index in range(3)])
    keys = table.select(["batch", "image", "label"]).to_pandas()
    assert not keys.duplicated().any()


def test_missing_batch_leaves_no_table(tmp_path):
    path, batch = part(tmp_path, "a", [2])
    with pytest.raises(FileNotFoundError):
        write(tmp_path, [(path, batch), (tmp_path / "none.parquet", batch)])
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_channels_that_a_batch_lacks_are_null_and_the_widest_batch_gives_the_order(tmp_path):
    parts = [
        part(tmp_path, "a", [1], channels=["GFP"]),
        part(tmp_path, "b", [2], channels=["DAPI", "GFP", "Cy3"]),
        part(tmp_path, "c", [0], channels=["Cy5"]),
        part(tmp_path, "d", [1], channels=[]),
    ]
    count, text, table = write(tmp_path, parts)
    assert count == 4
    assert table.column_names == [
        *("directory", "batch", "image", *STANDARD, "label", "area"),
        *("intensity_mean_DAPI", "intensity_mean_GFP", "intensity_mean_Cy3"),
        *("on_border", "intensity_mean_Cy5"),
    ]
    assert table["intensity_mean_DAPI"].to_pylist() == [None, 1 / 3, 2 / 3, None]
    assert table["intensity_mean_GFP"].to_pylist() == [1 / 3, 1 / 4, 2 / 4, None]
    assert table["intensity_mean_Cy5"].to_pylist() == [None] * 4
    assert types(table, "intensity_mean_Cy5") == ["double"]
    assert text.to_pydict() == table.to_pydict()
    reordered = write(tmp_path, parts[::-1])[2]
    assert reordered.schema.equals(table.schema)


# What is known of images


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1", "2", "10"], "int64", [1, 2, 10]),
        (["0", "-3"], "int64", [0, -3]),
        (["1", ""], "int64", [1, None]),
        (["", ""], "int64", [None, None]),
        (["01", "2"], "string", ["01", "2"]),
        (["1", "a"], "string", ["1", "a"]),
        (["1", "1.5"], "string", ["1", "1.5"]),
        (["+1", "2"], "string", ["+1", "2"]),
        (["x", ""], "string", ["x", None]),
        (["9" * 18, "1"], "int64", [10**18 - 1, 1]),
        (["9" * 19, "1"], "string", ["9" * 19, "1"]),
        (["-01", "1"], "string", ["-01", "1"]),
    ],
)
@pytest.mark.parametrize("apart", [False, True])
def test_column_is_of_whole_numbers_where_every_value_is_one(
    tmp_path, values, kind, expected, apart
):
    groups = [[value] for value in values] if apart else [values]
    parts = []
    for index, group in enumerate(groups):
        told = [(*NOTHING, each) for each in group]
        batch = batch_of(f"b{index}", told, "day 1", (*STANDARD, "dose"))
        parts.append(part(tmp_path, f"b{index}", [1] * len(group), batch=batch))
    _, text, table = write(tmp_path, parts)
    assert types(table, "dose") == [kind]
    assert text["dose"].to_pylist() == table["dose"].to_pylist() == expected


def test_plates_and_wells_are_texts_whatever_they_are(tmp_path):
    batch = batch_of("a", [("1", "2", "3", "4"), ("10", "20", "30", "40")])
    _, text, table = write(tmp_path, [part(tmp_path, "a", [1, 1], batch=batch)])
    assert types(table, *STANDARD) == ["string", "string", "int64", "int64"]
    assert [table[name].to_pylist() for name in STANDARD] == [
        *(["1", "10"], ["2", "20"], [3, 30], [4, 40]),
    ]
    assert text.to_pydict() == table.to_pydict()


def test_objects_have_what_the_name_of_their_image_tells(tmp_path):
    told = [("P1", "A01", "1", ""), ("P1", "A02", "1", ""), ("P1", "A02", "2", "")]
    batch = batch_of("a", told)
    # Records that lie in another order than the images.
    records = [record(f"i{member}", member=member) for member in (2, 0, 1)]
    _, _, table = write(tmp_path, [part(tmp_path, "a", [2, 1, 0], batch=batch, records=records)])
    assert table["image"].to_pylist() == ["i2", "i2", "i0"]
    assert table["well"].to_pylist() == ["A02", "A02", "A01"]
    assert table["site"].to_pylist() == [2, 2, 1]


def test_time_inside_of_a_file_is_that_of_its_images(tmp_path):
    batch = batch_of("a", [("P1", "A01", "1", "7"), ("P1", "A02", "1", "8")])
    records = [
        record("i0_t0", member=0, frame=0, time="0"),
        record("i0_t1", member=0, frame=1, time="1"),
        record("i1", member=1),
    ]
    parts = [part(tmp_path, "a", [1, 2, 1], batch=batch, records=records)]
    _, _, table = write(tmp_path, parts)
    assert table["image"].to_pylist() == ["i0_t0", "i0_t1", "i0_t1", "i1"]
    assert table["time"].to_pylist() == [0, 1, 1, 8]
    assert table["well"].to_pylist() == ["A01", "A01", "A01", "A02"]


def test_plate_map_is_joined_with_its_types(tmp_path, plate_map):
    told = [(plate, well, "1", "") for plate in "PQ" for well in ("A01", "A02", "B01", "")]
    batch = batch_of("a", told)
    _, text, table = write(tmp_path, [part(tmp_path, "a", [1] * 8, batch=batch)], plate_map)
    names = ["drug", "dose", "times", "control"]
    assert table.column_names == [*COLUMNS[:7], *names, *MEASURED]
    assert types(table, *names) == ["string", "double", "int64", "bool"]
    assert table["drug"].to_pylist() == ["none", 'X, "Y"', "0012", None] * 2
    assert table["dose"].to_pylist() == [0.0, 1.5, 2000.0, None] * 2
    assert table["times"].to_pylist() == [None, 3, 4, None] * 2
    assert table["control"].to_pylist() == [True, False, None, None] * 2
    assert text.to_pydict() == table.to_pydict()


def test_plate_map_of_plates_is_joined_by_plate_and_well(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("Barcode,well,dose\n1,A01,5\n2,A01,6\n")
    batch = batch_of("a", [("2", "A01", "", ""), ("1", "A01", "", ""), ("3", "A01", "", "")])
    parts = [part(tmp_path, "a", [1, 1, 1], batch=batch)]
    _, _, table = write(tmp_path, parts, read_plate_map(path))
    assert table["dose"].to_pylist() == [6, 5, None]


def test_columns_of_a_plate_map_do_not_depend_on_the_objects(tmp_path, plate_map):
    batch = batch_of("a", [("P", "A01", "1", "")])
    some = write(tmp_path, [part(tmp_path, "a", [2], batch=batch)], plate_map)[2].schema
    none = write(tmp_path, [part(tmp_path, "a", [0], batch=batch)], plate_map)[2]
    assert none.num_rows == 0 and none.schema.equals(some)


def test_objects_of_excluded_images_are_left_out(tmp_path):
    paths, batches = zip(*(part(tmp_path, name, [2, 1, 3]) for name in "ab"), strict=True)
    known, path = metadata(iter(batches)), tmp_path / "objects.parquet"
    out = {("a", "i2"), ("b", "i0"), ("b", "i1"), ("b", "i2"), ("c", "i0")}
    assert object_table.write_objects(list(paths), known, iter(batches), path, excluded=out) == 3
    table = pq.read_table(path)
    assert table["image"].to_pylist() == ["i0", "i0", "i1"]
    assert table["label"].to_pylist() == [1, 2, 1]


def test_each_image_has_its_own_pixel_size(tmp_path):
    stated = {"stated_pixel_size_source": "OME", "size": [10, 20]}
    records = [
        record("i0", **stated | {"stated_pixel_size_um": 0.5}),
        record("i1", member=1, **stated | {"stated_pixel_size_um": None}),
        record("i2", member=2, **stated | {"stated_pixel_size_um": 2.0}),
    ]
    one, batch = part(tmp_path, "a", [1, 1, 1], records=records)
    known, path = metadata(iter([batch])), tmp_path / "objects.parquet"
    ratios = {"dense": "intensity_mean / area_um2"}
    added = object_table.Added(True, ratios=ratios, naming="cellprofiler")
    object_table.write_objects([one], known, iter([batch]), path, added)
    table = pq.read_table(path)
    assert table["Nuclei_AreaShape_Area"].to_pylist() == [10, 10, 10]
    assert table["Nuclei_AreaShape_Area_um2"].to_pylist() == [2.5, None, 40.0]
    assert table["Nuclei_Ratio_dense"].to_pylist() == [1 / 3 / 2.5, None, 1 / 3 / 40]
    assert table["Metadata_Directory"].to_pylist() == ["day 1"] * 3
