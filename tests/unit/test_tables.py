"""Tables of the whole dataset keep their shape, their order and their types."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import measure
import tables

COLUMNS = ["directory", "batch", "image", "label", "area", "intensity_mean", "on_border"]


def part(folder, batch, counts, directory="day 1"):
    """The table of a batch with so many objects in each image, as stage measure writes it."""
    rows = [(image, label) for image, count in enumerate(counts) for label in range(1, count + 1)]
    images, labels = [f"i{image}" for image, _ in rows], [label for _, label in rows]
    frame = pd.DataFrame(
        {
            "directory": pd.Series([directory] * len(rows), dtype=object),
            "batch": pd.Series([batch] * len(rows), dtype=object),
            "image": pd.Series(images, dtype=object),
            "label": np.array(labels, np.int64),
            "area": np.array(labels, np.int64) * 10,
            "intensity_mean": np.array(labels, np.float64) / 3,
            "on_border": np.array(labels, int) % 2 == 0,
        }
    )
    path = folder / f"{batch}.parquet"
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    return path


def write(folder, parts):
    count = tables.write_objects(parts, folder / "objects.csv", folder / "objects.parquet")
    return count, pa.csv.read_csv(folder / "objects.csv"), pq.read_table(folder / "objects.parquet")


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
    types = [str(table.schema.field(name).type) for name in COLUMNS]
    assert types == ["string", "string", "string", "int64", "int64", "double", "bool"]


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
    for batch, image in (("a", labels * 0), ("b", labels), ("c", None)):
        result = None if image is None else measure.measure(image, labels * 7, names, 0)
        item = SimpleNamespace(result=result, record={"image": "i"})
        plan = SimpleNamespace(directory="ä", name=batch)
        parts.append(tmp_path / f"{batch}.parquet")
        whole = measure.batch_table(SimpleNamespace(items=[item], plan=plan), names)
        pq.write_table(whole, parts[-1])
    for order in (parts, parts[::-1], parts[:1]):
        count, text, table = write(tmp_path, order)
        assert count == (0 if len(order) == 1 else 1)
        assert [str(field.type) for field in table.schema] == [
            *("string", "string", "string", "int64", "int64", "double", "bool"),
        ]
        if count:
            assert (
                table.to_pylist()
                == text.to_pylist()
                == [
                    {
                        **{"directory": "ä", "batch": "b", "image": "i", "label": 1, "area": 6},
                        **{"intensity_mean": 7.0, "on_border": False},
                    }
                ]
            )


def test_numbers_of_the_csv_are_those_of_the_parquet_file_to_the_last_digit(tmp_path):
    _, text, table = write(tmp_path, [part(tmp_path, "a", [500])])
    assert text["intensity_mean"].to_pylist() == table["intensity_mean"].to_pylist()


def test_names_with_commas_quotes_and_umlauts_survive(tmp_path):
    name = 'Zürich, "Tag 1"'
    _, text, table = write(tmp_path, [part(tmp_path, "a", [2], name)])
    assert text["directory"].to_pylist() == table["directory"].to_pylist() == [name] * 2


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


def test_tables_do_not_depend_on_how_images_were_batched(tmp_path):
    one = write(tmp_path, [part(tmp_path, "a", [3, 4])])[2].drop_columns(["batch", "image"])
    parts = [part(tmp_path, "a", [3]), part(tmp_path, "b", [4])]
    two = write(tmp_path, parts)[2].drop_columns(["batch", "image"])
    assert one.to_pydict() == two.to_pydict()


def test_keys_of_objects_are_unique(tmp_path):
    _, _, table = write(tmp_path, [part(tmp_path, f"b{index}", [5, 6]) for index in range(3)])
    keys = table.select(["batch", "image", "label"]).to_pandas()
    assert not keys.duplicated().any()


def test_missing_batch_leaves_no_table(tmp_path):
    parts = [part(tmp_path, "a", [2]), tmp_path / "none.parquet"]
    with pytest.raises(FileNotFoundError):
        write(tmp_path, parts)
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


# One row an image


FOLDERS = {"mask": "threshold", "labels": "watershed", "csv": "measure", "overlay": "overlay"}


def record(image, **facts):
    return {
        **{"directory": "day 1", "batch": "b", "image": image, "file": f"{image}.tif"},
        **{"status": "ok", "stage": "", "message": "", "objects": 3},
        **{"height": 10, "width": 20, "dtype": "uint16"},
        "seconds": {"preprocess": 0.5, "measure": 0.25},
        **facts,
    }


def folder(tmp_path, stage, records):
    path = tmp_path / stage / records[0]["batch"]
    path.mkdir(parents=True)
    (path / tables.RECORDS).write_text(json.dumps(records))
    return path


def test_image_has_its_facts_seconds_and_the_paths_of_its_files(tmp_path):
    measured = folder(tmp_path, "measure", [record("a")])
    drawn = folder(tmp_path, "overlay", [record("a", seconds={"overlay": 0.125})])
    (row,) = tables.image_rows([measured], [drawn], FOLDERS, "jpg")
    assert row == {
        **{"directory": "day 1", "batch": "b", "image": "a", "file": "a.tif", "status": "ok"},
        **{"stage": "", "message": "", "objects": 3, "height": 10, "width": 20},
        **{"dtype": "uint16", "seconds_preprocess": 0.5, "seconds_threshold": ""},
        **{"seconds_markers": "", "seconds_watershed": "", "seconds_measure": 0.25},
        **{"seconds_overlay": 0.125, "mask": "threshold/b/a.tif", "labels": "watershed/b/a.tif"},
        **{"csv": "measure/b/a.csv", "overlay": "overlay/b/a.jpg"},
    }


def test_failed_image_has_no_files(tmp_path):
    facts = {"status": "failed", "stage": "threshold", "message": "why", "objects": 0}
    measured = folder(tmp_path, "measure", [record("a", **facts), record("b")])
    first, second = tables.image_rows([measured], [], FOLDERS, "jpg")
    assert [first[name] for name in ("status", "stage", "message")] == [
        "failed",
        "threshold",
        "why",
    ]
    assert [first[name] for name in FOLDERS] == ["", "", "", ""]
    assert second["labels"] == "watershed/b/b.tif"


def test_image_that_could_not_be_read_has_empty_facts(tmp_path):
    unread = record("a", status="failed")
    for name in ("height", "width", "dtype"):
        del unread[name]
    (row,) = tables.image_rows([folder(tmp_path, "measure", [unread])], [], FOLDERS, "jpg")
    assert [row["height"], row["width"], row["dtype"]] == ["", "", ""]


def test_overlay_that_failed_leaves_the_measurements(tmp_path):
    measured = folder(tmp_path, "measure", [record("a")])
    failed = record("a", status="failed", stage="overlay", message="why")
    drawn = folder(tmp_path, "overlay", [failed])
    (row,) = tables.image_rows([measured], [drawn], FOLDERS, "png")
    assert (row["status"], row["message"], row["objects"]) == ("ok", "why", 3)
    assert (row["overlay"], row["csv"]) == ("", "measure/b/a.csv")


def test_images_csv_has_one_row_an_image_in_the_order_of_the_batches(tmp_path):
    batches = [
        folder(tmp_path, "measure", [record(name, batch=batch) for name in names])
        for batch, names in (("y", "ba"), ("x", "dc"))
    ]
    path = tmp_path / "images.csv"
    tables.write_images(tables.image_rows(batches, [], FOLDERS, "jpg"), FOLDERS, path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["b", "a", "d", "c"]
    assert list(rows[0]) == [
        *tables.COLUMNS,
        *(f"seconds_{stage}" for stage in tables.STAGES),
        *FOLDERS,
    ]


def test_message_with_commas_and_umlauts_survives_the_csv(tmp_path):
    message = 'größer, "als" gedacht'
    batch = folder(tmp_path, "measure", [record("a", status="failed", message=message)])
    path = tmp_path / "images.csv"
    tables.write_images(tables.image_rows([batch], [], FOLDERS, "jpg"), FOLDERS, path)
    assert pd.read_csv(path)["message"][0] == message


def test_columns_of_images_csv_do_not_depend_on_its_rows(tmp_path):
    tables.write_images(iter(()), FOLDERS, tmp_path / "none.csv")
    batch = folder(tmp_path, "measure", [record("a")])
    rows = tables.image_rows([batch], [], FOLDERS, "jpg")
    tables.write_images(rows, FOLDERS, tmp_path / "one.csv")
    header = (tmp_path / "one.csv").read_text().splitlines()[0]
    assert (tmp_path / "none.csv").read_text() == header + "\n"
