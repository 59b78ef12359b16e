"""Tables of the whole dataset keep their shape, their order and their types."""

import csv
import json
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import measure
import tables
from nucleiflow import plan
from nucleiflow.plan import File, Image, Plan
from nucleiflow.plate_map import read_plate_map

STANDARD = ("plate", "well", "site", "time")
NOTHING = ("", "", "", "")
MEASURED = ["label", "area", "intensity_mean", "on_border"]
COLUMNS = ["directory", "batch", "image", *STANDARD, *MEASURED]


def batch_of(name, metadata, directory="day 1", columns=STANDARD):
    """A batch of images i0, i1 ... and what their names tell."""
    images = [
        Image(f"i{index}", (File(f"i{index}.tif", 1, 1),), values)
        for index, values in enumerate(metadata)
    ]
    batch = plan.Batch(name, directory, directory, images, plan.Extent(1.0))
    return Plan(batch, "/data", Path("/data"), columns)


def record(image, **facts):
    return {
        **{"directory": "day 1", "batch": "b", "image": image, "file": f"{image}.tif"},
        **{"member": 0, "scene": 0, "frame": 0},
        **{"status": "ok", "stage": "", "message": "", "objects": 3},
        **{"height": 10, "width": 20, "dtype": "uint16", "channels": "DAPI;GFP"},
        **{"segmented": "DAPI", "segmented_index": 0, "planes": 5},
        **{"stated_pixel_size_um": None, "stated_pixel_size_source": ""},
        "seconds": {"preprocess": 0.5, "measure": 0.25},
        **facts,
    }


def records_of(batch):
    return [record(image.name, member=index) for index, image in enumerate(batch.batch.images)]


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
    known = tables.metadata(iter(batches), plate_map)
    where = folder / "objects.csv", folder / "objects.parquet"
    count = tables.write_objects(paths, known, iter(batches), *where)
    table = pq.read_table(where[1])
    options = pa.csv.ConvertOptions(
        column_types=table.schema, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    return count, pa.csv.read_csv(where[0], convert_options=options), table


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
        result = None if image is None else measure.measure(image, [("", labels * 7)], names, 0)
        item = SimpleNamespace(result=result, record={"image": "i0"})
        where = SimpleNamespace(directory="ä", name=name)
        path = tmp_path / f"{name}.parquet"
        whole = measure.batch_table(SimpleNamespace(items=[item], plan=where), names)
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
    monkeypatch.setattr(tables, "GROUP", 50)
    parts = [part(tmp_path, f"b{index:03}", [index % 7, 2]) for index in range(100)]
    count, text, table = write(tmp_path, parts)
    assert count == sum(index % 7 + 2 for index in range(100))
    assert table.to_pydict() == text.to_pydict()
    groups = pq.ParquetFile(tmp_path / "objects.parquet").metadata
    sizes = [groups.row_group(index).num_rows for index in range(groups.num_row_groups)]
    assert sum(sizes) == count and max(sizes) < 50 + 8
    assert len(sizes) <= count / 50 + 1


def test_batches_are_looked_at_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "GROUP", 5)
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

    known = tables.metadata(batches())
    where = tmp_path / "objects.csv", tmp_path / "objects.parquet"
    assert tables.write_objects(paths, known, batches(), *where) == 40
    rows = tables.image_rows(batches(), [], known, FOLDERS, "jpg", None)
    tables.write_images(rows, known.schema, FOLDERS, tmp_path / "images.csv")
    # The one at work, and the next while it is being made.
    assert most == [2, 2, 2]


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


PLATE_MAP = [
    "well,drug,dose,times,control",
    "A1,none,0,,TRUE",
    'a02,"X, ""Y""",1.5,3,false',
    "B01,0012,2e3,4,",
]


@pytest.fixture
def plate_map(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("\n".join(PLATE_MAP))
    return read_plate_map(path)


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


# One row an image


FOLDERS = {"mask": "threshold", "labels": "watershed", "csv": "measure", "overlay": "overlay"}


def drawn_in(tmp_path, records):
    path = tmp_path / "overlay" / records[0]["batch"]
    path.mkdir(parents=True)
    (path / tables.RECORDS).write_text(json.dumps(records))
    return path


def rows_of(*batches, overlays=(), plate_map=None, ending="jpg", asked=None):
    known = tables.metadata(batches, plate_map)
    return list(tables.image_rows(batches, list(overlays), known, FOLDERS, ending, asked))


def one(**facts):
    """A batch of one image."""
    return batch_of("b", [("P1", "A01", "2", "")]), [record("a", **facts)]


def test_image_has_its_facts_seconds_and_the_paths_of_its_files(tmp_path):
    drawn = drawn_in(tmp_path, [record("a", seconds={"overlay": 0.125})])
    facts = {"stated_pixel_size_um": 0.325, "stated_pixel_size_source": "OME", "plane": 3}
    facts |= {"diameter": 23.5, "threshold": 812.0, "dropped": "min_area 2"}
    (row,) = rows_of(one(**facts), overlays=[drawn])
    assert row == {
        **{"directory": "day 1", "batch": "b", "image": "a", "file": "a.tif", "plate": "P1"},
        **{"well": "A01", "site": 2, "time": None, "status": "ok"},
        **{"stage": "", "message": "", "objects": 3, "height": 10, "width": 20},
        **{"dtype": "uint16", "channels": "DAPI;GFP", "segmented": "DAPI", "planes": 5},
        **{"plane": 3, "pixel_size_um": 0.325, "pixel_size_source": "OME"},
        **{"diameter": 23.5, "threshold": 812.0, "dropped": "min_area 2"},
        **{"seconds_preprocess": 0.5, "seconds_threshold": "", "seconds_markers": ""},
        **{"seconds_watershed": "", "seconds_measure": 0.25, "seconds_overlay": 0.125},
        **{"mask": "threshold/b/a.tif", "labels": "watershed/b/a.tif"},
        **{"csv": "measure/b/a.csv", "overlay": "overlay/b/a.jpg"},
    }


@pytest.mark.parametrize(
    ("stated", "asked", "size", "source"),
    [
        ((None, ""), None, "", ""),
        ((0.325, "OME"), None, 0.325, "OME"),
        ((0.325, "OME"), 0.5, 0.5, "config"),
        ((None, ""), 0.5, 0.5, "config"),
        (
            (84.6666667, "TIFF resolution tag"),
            None,
            "",
            "TIFF resolution tag says 84.6667 µm, not used",
        ),
        ((0.65, "TIFF resolution tag"), "resolution_tag", 0.65, "TIFF resolution tag"),
        ((0.65, "ImageJ"), "resolution_tag", 0.65, "ImageJ"),
    ],
)
def test_pixel_size_is_that_of_the_config_or_of_the_file(stated, asked, size, source):
    facts = {"stated_pixel_size_um": stated[0], "stated_pixel_size_source": stated[1]}
    (row,) = rows_of(one(**facts), asked=asked)
    assert (row["pixel_size_um"], row["pixel_size_source"]) == (size, source)


def test_failed_image_has_no_files():
    facts = {"status": "failed", "stage": "threshold", "message": "why", "objects": 0}
    batch = batch_of("b", [NOTHING, NOTHING])
    first, second = rows_of((batch, [record("a", **facts), record("b", member=1)]))
    assert [first[name] for name in ("status", "stage", "message")] == [
        "failed",
        "threshold",
        "why",
    ]
    assert [first[name] for name in FOLDERS] == ["", "", "", ""]
    assert second["labels"] == "watershed/b/b.tif"


def test_image_that_could_not_be_read_has_empty_facts_and_what_its_name_tells():
    batch, (unread,) = one(status="failed")
    facts = ("height", "width", "dtype", "channels", "segmented", "planes")
    for name in (*facts, "stated_pixel_size_um", "stated_pixel_size_source"):
        del unread[name]
    (row,) = rows_of((batch, [unread]))
    names = (*facts, "plane", "pixel_size_um", "pixel_size_source")
    assert [row[name] for name in names] == [""] * 9
    assert [row[name] for name in STANDARD] == ["P1", "A01", 2, None]


def test_image_without_objects_has_what_is_known_of_it(tmp_path, plate_map):
    batch = batch_of("b", [("P1", "A02", "2", ""), ("P1", "A01", "x", "")])
    records = [record("a", objects=0), record("c", member=1, objects=0, status="failed")]
    path = tmp_path / "images.csv"
    known = tables.metadata([(batch, records)], plate_map)
    rows = rows_of((batch, records), plate_map=plate_map)
    tables.write_images(iter(rows), known.schema, FOLDERS, path)
    with path.open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    names = (*STANDARD, "drug", "dose", "times", "control", "objects")
    assert [first[name] for name in names] == [
        *("P1", "A02", "2", "", 'X, "Y"', "1.5", "3", "False", "0"),
    ]
    assert [second[name] for name in names] == [
        *("P1", "A01", "x", "", "none", "0.0", "", "True", "0"),
    ]


def test_overlay_that_failed_leaves_the_measurements(tmp_path):
    failed = record("a", status="failed", stage="overlay", message="why")
    (row,) = rows_of(one(), overlays=[drawn_in(tmp_path, [failed])], ending="png")
    assert (row["status"], row["message"], row["objects"]) == ("ok", "why", 3)
    assert (row["overlay"], row["csv"]) == ("", "measure/b/a.csv")


def test_images_csv_has_one_row_an_image_in_the_order_of_the_batches(tmp_path):
    batches = [
        (
            batch_of(name, [NOTHING] * 2),
            [record(image, batch=name, member=index) for index, image in enumerate(images)],
        )
        for name, images in (("y", "ba"), ("x", "dc"))
    ]
    path = tmp_path / "images.csv"
    known = tables.metadata(batches)
    rows = tables.image_rows(iter(batches), [], known, FOLDERS, "jpg", None)
    tables.write_images(rows, known.schema, FOLDERS, path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["b", "a", "d", "c"]
    assert list(rows[0]) == [
        *("directory", "batch", "image", "file", "plate", "well", "site", "time"),
        *("status", "stage", "message", "objects", "dropped", "height", "width", "dtype"),
        "channels",
        *("segmented", "planes", "plane", "pixel_size_um", "pixel_size_source"),
        *("diameter", "threshold"),
        *("seconds_preprocess", "seconds_threshold", "seconds_markers", "seconds_watershed"),
        *("seconds_measure", "seconds_overlay", "mask", "labels", "csv", "overlay"),
    ]


def test_message_with_commas_and_umlauts_survives_the_csv(tmp_path):
    message = 'größer, "als" gedacht'
    path = tmp_path / "images.csv"
    rows = rows_of(one(status="failed", message=message))
    tables.write_images(iter(rows), tables.metadata([one()]).schema, FOLDERS, path)
    assert pd.read_csv(path)["message"][0] == message


def test_columns_of_images_csv_do_not_depend_on_its_rows(tmp_path):
    known = tables.metadata([one()]).schema
    tables.write_images(iter(()), known, FOLDERS, tmp_path / "none.csv")
    tables.write_images(iter(rows_of(one())), known, FOLDERS, tmp_path / "one.csv")
    header = (tmp_path / "one.csv").read_text().splitlines()[0]
    assert (tmp_path / "none.csv").read_text() == header + "\n"


def test_batches_are_read_with_the_records_of_their_last_stage(tmp_path):
    for name in ("y", "x"):
        batch = batch_of(name, [("P1", "A01", "1", "")])
        plan.save(batch.batch, "/data", "/data", STANDARD, tmp_path / f"plans/{name}.json")
        (tmp_path / name).mkdir()
        (tmp_path / name / tables.RECORDS).write_text(json.dumps([record("a", batch=name)]))
    found = list(tables.read_batches([tmp_path / "y", tmp_path / "x"], tmp_path / "plans"))
    assert [batch.batch.name for batch, _ in found] == ["y", "x"]
    assert [records[0]["batch"] for _, records in found] == ["y", "x"]
    assert found[0][0].batch.images[0].metadata == ("P1", "A01", "1", "")
