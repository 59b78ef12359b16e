"""images.csv has a row for each image, and says what is known of it."""

import csv
import json
import weakref

import pandas as pd
import pytest
from records import NOTHING, PLATE_MAP, STANDARD, batch_of, record, records_of

import image_table
from nucleiflow.batch import RECORDS
from nucleiflow.flags import KEYS, Judge
from nucleiflow.metadata import metadata
from nucleiflow.plate_map import read_plate_map

# Nothing is known of the quality of these images.
JUDGE = Judge(dict.fromkeys(KEYS.values(), "auto") | {"exclude": []})
UNKNOWN = {"foreground": "", "median_area": "", "border_share": "", "debris": ""}
UNKNOWN |= {"flags": "", "flag_reasons": "", "excluded": "false"}
FOLDERS = {"mask": "threshold", "labels": "watershed", "csv": "measure", "overlay": "overlay"}


@pytest.fixture
def plate_map(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("\n".join(PLATE_MAP))
    return read_plate_map(path)


def drawn_in(tmp_path, records):
    path = tmp_path / "overlay" / records[0]["batch"]
    path.mkdir(parents=True)
    (path / RECORDS).write_text(json.dumps(records))
    return path


def rows_of(*batches, overlays=(), plate_map=None, ending="jpg", asked=None):
    known = metadata(batches, plate_map)
    rows = image_table.image_rows(batches, list(overlays), known, FOLDERS, ending, asked, JUDGE)
    return list(rows)


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
        **UNKNOWN,
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
    known = metadata([(batch, records)], plate_map)
    rows = rows_of((batch, records), plate_map=plate_map)
    image_table.write_images(iter(rows), known.schema, FOLDERS, path, JUDGE)
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
    known = metadata(batches)
    rows = image_table.image_rows(iter(batches), [], known, FOLDERS, "jpg", None, JUDGE)
    image_table.write_images(rows, known.schema, FOLDERS, path, JUDGE)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["b", "a", "d", "c"]
    assert list(rows[0]) == [
        *("directory", "batch", "image", "file", "plate", "well", "site", "time"),
        *("status", "stage", "message", "objects", "dropped", "height", "width", "dtype"),
        "channels",
        *("segmented", "planes", "plane", "pixel_size_um", "pixel_size_source"),
        *("diameter", "threshold", "foreground", "median_area", "border_share", "debris"),
        *("flags", "flag_reasons", "excluded"),
        *("seconds_preprocess", "seconds_threshold", "seconds_markers", "seconds_watershed"),
        *("seconds_measure", "seconds_overlay", "mask", "labels", "csv", "overlay"),
    ]


def test_message_with_commas_and_umlauts_survives_the_csv(tmp_path):
    message = 'größer, "als" gedacht'
    path = tmp_path / "images.csv"
    rows = rows_of(one(status="failed", message=message))
    image_table.write_images(iter(rows), metadata([one()]).schema, FOLDERS, path, JUDGE)
    assert pd.read_csv(path)["message"][0] == message


def test_columns_of_images_csv_do_not_depend_on_its_rows(tmp_path):
    known = metadata([one()]).schema
    image_table.write_images(iter(()), known, FOLDERS, tmp_path / "none.csv", JUDGE)
    image_table.write_images(iter(rows_of(one())), known, FOLDERS, tmp_path / "one.csv", JUDGE)
    header = (tmp_path / "one.csv").read_text().splitlines()[0]
    assert (tmp_path / "none.csv").read_text() == header + "\n"


def test_batches_are_looked_at_one_after_the_other(tmp_path):
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
    rows = image_table.image_rows(batches(), [], known, FOLDERS, "jpg", None, JUDGE)
    image_table.write_images(rows, known.schema, FOLDERS, tmp_path / "images.csv", JUDGE)
    # The one at work, and the next while it is being made.
    assert most == [2, 2]
