"""The inventory: a row for each image from its header, and a page that tells what is there."""

import faulthandler
import os
import re
import signal

import numpy as np
import pytest
import tifffile

import inventory
from nucleiflow import plan
from nucleiflow.field import View
from nucleiflow.job import JobError
from nucleiflow.plan import File, Image
from nucleiflow.plate_map import read_plate_map

STANDARD = ("plate", "well", "site", "time")
NOTHING = ("", "", "", "")


def saved(tmp_path, images, name="b", columns=STANDARD):
    """The plan of a batch of images in the directory `day 1`."""
    (tmp_path / "day 1").mkdir(exist_ok=True)
    batch = plan.Batch(name, "day 1", "day 1", images, plan.Extent(1.0))
    path = tmp_path / f"{name}.json"
    plan.save(batch, str(tmp_path), str(tmp_path), columns, path)
    return path


def image(name, *files, metadata=NOTHING, problem=""):
    return Image(name, files or (File(f"{name}.tif", 100, 1),), metadata, problem)


def write(tmp_path, name, *stacks, channels=None):
    """An OME-TIFF with a (T, C, Z, Y, X) array for each scene."""
    (tmp_path / "day 1").mkdir(exist_ok=True)
    with tifffile.TiffWriter(tmp_path / "day 1" / name, ome=True) as file:
        for index, stack in enumerate(stacks):
            metadata = {"axes": "TCZYX", "Name": f"scene {index}"}
            metadata |= {"PhysicalSizeX": 0.325, "PhysicalSizeY": 0.325}
            metadata |= {"Channel": {"Name": channels}} if channels else {}
            file.write(stack, photometric="minisblack", metadata=metadata)


def plane(*shape, dtype=np.uint16):
    return np.ones(shape, dtype)


# Rows


def test_row_of_an_image_says_what_its_header_states(tmp_path):
    write(tmp_path, "a.ome.tif", plane(1, 2, 3, 20, 30), channels=["DAPI", "FITC - 488"])
    path = saved(
        tmp_path, [image("a", File("a.ome.tif", 1234, 1), metadata=("P1", "A01", "2", ""))]
    )
    assert inventory.rows(path, View(), None) == [
        {
            **{"directory": "day 1", "image": "a", "file": "a.ome.tif"},
            **{"plate": "P1", "well": "A01", "site": "2", "time": ""},
            **{"files": 1, "bytes": 1234, "scenes": "scene 0", "times": 1},
            **{"channels": "DAPI;FITC_488", "planes": 3, "height": 20, "width": 30},
            **{"dtype": "uint16", "pixel_size_um": 0.325, "pixel_size_source": "OME"},
            **{"status": "ok", "message": ""},
        }
    ]


def test_row_of_a_file_with_scenes_and_times_counts_its_images(tmp_path):
    write(tmp_path, "a.ome.tif", plane(3, 1, 1, 8, 9), plane(2, 1, 4, 30, 9))
    path = saved(tmp_path, [image("a", File("a.ome.tif", 1, 1))])
    (row,) = inventory.rows(path, View(), 0.5)
    told = ("scenes", "times", "planes", "height", "pixel_size_um", "pixel_size_source")
    assert [row[name] for name in told] == ["scene 0;scene 1", 5, 4, 30, 0.5, "config"]
    (row,) = inventory.rows(path, View(scenes=["*0"]), 0.5)
    assert (row["scenes"], row["times"]) == ("scene 0", 3)


def test_row_of_a_field_of_several_files(tmp_path):
    write(tmp_path, "w1.tif", plane(1, 1, 1, 8, 9))
    write(tmp_path, "w2.tif", plane(1, 1, 1, 8, 9, dtype=np.uint8))
    files = (File("w1.tif", 100, 1, "1"), File("w2.tif", 50, 1, "2"))
    path = saved(tmp_path, [image("a", *files)])
    for names, expected in ((None, "1;2"), (["a", "b"], "a;b"), ({"2": "nuclei"}, "1;nuclei")):
        (row,) = inventory.rows(path, View(channels=names), None)
        told = ("files", "bytes", "channels", "status", "message", "file")
        assert [row[name] for name in told] == [2, 150, expected, "ok", "", "w1.tif"]


def test_images_that_lack_a_file_or_cannot_be_read_say_why(tmp_path):
    write(tmp_path, "w1.tif", plane(1, 1, 1, 8, 9))
    write(tmp_path, "w2.tif", plane(1, 1, 1, 8, 10))
    folder = tmp_path / "day 1"
    (folder / "empty.tif").touch()
    (folder / "web.tif").write_text("<html>")
    (folder / "cut.tif").write_bytes((folder / "w1.tif").read_bytes()[:50])
    problem = "the file of channel 2 is missing, which other images of the directory have"
    sizes = File("w1.tif", 1, 1, "1"), File("w2.tif", 1, 1, "2")
    part_gone = File("w1.tif", 1, 1, "1"), File("gone.tif", 1, 1, "2")
    images = [
        image("cut"),
        image("empty"),
        image("gone"),
        image("lacking", File("w1.tif", 7, 1, "1"), problem=problem),
        image("part gone", *part_gone),
        image("sizes", *sizes),
        image("web"),
    ]
    rows = inventory.rows(saved(tmp_path, images), View(), None)
    gone = "the file is not there any more, or is a link to nothing"
    assert {row["image"]: (row["status"], row["message"]) for row in rows} == {
        "cut": ("unreadable", "the TIFF file is damaged or cut short, copy it again"),
        "empty": ("unreadable", "the file is empty (0 bytes), copy it again"),
        "gone": ("unreadable", gone),
        "lacking": ("incomplete", problem),
        "part gone": ("unreadable", gone),
        "sizes": (
            "unreadable",
            "w2.tif has 10 x 8 pixels, other files of the field have 9 x 8",
        ),
        "web": ("unreadable", "the file is a web page, not an image: download it again"),
    }
    known = {"directory", "image", "file", *STANDARD, "files", "bytes", "status", "message"}
    assert all(set(row) == known for row in rows)
    assert (rows[3]["files"], rows[3]["bytes"]) == (1, 7)


def test_other_columns_of_names_are_columns_of_rows(tmp_path):
    columns = (*STANDARD, "dose")
    path = saved(tmp_path, [image("a", metadata=(*NOTHING, "5"))], columns=columns)
    (row,) = inventory.rows(path, View(), None)
    assert (row["dose"], row["status"]) == ("5", "unreadable")


def many(tmp_path):
    paths = []
    for index in range(7):
        images = []
        for name in (f"{index}a", f"{index}b"):
            write(tmp_path, f"{name}.ome.tif", plane(1, 1, 1, 8 + index, 9))
            images.append(image(name, File(f"{name}.ome.tif", index, 1)))
        paths.append(saved(tmp_path, images, f"b{index}"))
    return paths


@pytest.mark.parametrize("workers", [1, 3])
def test_rows_of_all_batches_are_in_their_order_whoever_reads_them(tmp_path, workers):
    found = list(inventory.read(many(tmp_path), View(), None, workers))
    assert [row["image"] for row in found] == [f"{i}{x}" for i in range(7) for x in "ab"]
    assert [row["height"] for row in found] == [8 + i for i in range(7) for _ in "ab"]
    assert {row["status"] for row in found} == {"ok"}


def crash(path, view, asked):
    if path.name == "b3.json":
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)
    return [{"image": path.stem}]


def test_header_that_crashes_its_reader_ends_with_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(inventory, "rows", crash)
    paths = [tmp_path / f"b{index}.json" for index in range(5)]
    with pytest.raises(JobError) as caught:
        list(inventory.read(paths, View(), None, 2))
    assert str(caught.value) == (
        f"reading the headers of the images in {tmp_path / 'b3.json'} crashed (SIGSEGV): "
        "name the damaged file in exclude"
    )


# The page


def row(name, well="", **facts):
    """A row as `rows` gives it for a good image."""
    return {
        **{"directory": "day 1", "image": name, "file": f"{name}.tif"},
        **{"plate": "P1" if well else "", "well": well, "site": "", "time": ""},
        **{"files": 1, "bytes": 1_500_000, "scenes": "", "times": 1, "channels": "DAPI;GFP"},
        **{"planes": 1, "height": 20, "width": 30, "dtype": "uint16"},
        **{"pixel_size_um": 0.325, "pixel_size_source": "OME", "status": "ok", "message": ""},
        **facts,
    }


def bad(name, status, message, well=""):
    known = {"directory", "image", "file", *STANDARD, "files", "bytes"}
    facts = {key: value for key, value in row(name, well).items() if key in known}
    return facts | {"status": status, "message": message}


def dataset(**facts):
    return {
        **{"path": "/data/screen", "columns": STANDARD, "naming": "", "batches": 1},
        **{"ignored": 0, "loops": [], "set_aside": {}, "mem_mb": 512},
        **facts,
    }


def lines(rows, known=None, plate_map=None):
    """The lines of the page by their titles, where each stands once."""
    text = inventory.page(rows, known or dataset(), plate_map).split("\n\n")[0]
    found = [re.split(r"\s{2,}", line, maxsplit=1) for line in text.splitlines()[1:]]
    assert len(dict(found)) == len(found)
    return dict(found)


PAGE = """\
inventory of /data/screen
images        7 in 2 directories, 3 batches; 6 files or fields hold them
files         8 of images, 0.011 GB
set aside     1,200 thumbnails, such as day 1/a_thumb.tif
set aside     1 matches exclude, such as day 1/x.tif
left alone    14 files with other endings
not followed  day 1/back, which links back
names         read as imagexpress
plate         2: P1, P2
well          3: A01, A02, B12
site          2: 2, 10
channels      DAPI + GFP (3), DAPI (1)
planes        1 (3), 5 (1)
times         1 (3), 2 (1)
pixels        30 x 20 (3), 60 x 20 (1)
type          uint16 (4)
pixel size    0.325 (4)
stated by     OME (3), config (1)
missing       day 1/e: the file of channel 2 is missing
unreadable    d: the file is empty (0 bytes), copy it again
plate map     4 rows in {plate_map}, 2 of them without images: C01, C02
jobs          3 on Slurm, the largest asks for 1,234 MB

plate P1: images in 2 wells
    1  2  3  4  5  6  7  8  9 10 11 12
 A  2  1  .  .  .  .  .  .  .  .  .  .
 B  .  .  .  .  .  .  .  .  .  .  .  .
 C  .  .  .  .  .  .  .  .  .  .  .  .
 D  .  .  .  .  .  .  .  .  .  .  .  .
 E  .  .  .  .  .  .  .  .  .  .  .  .
 F  .  .  .  .  .  .  .  .  .  .  .  .
 G  .  .  .  .  .  .  .  .  .  .  .  .
 H  .  .  .  .  .  .  .  .  .  .  .  .

plate P2: images in 1 well
    1  2  3  4  5  6  7  8  9 10 11 12
 A  .  .  .  .  .  .  .  .  .  .  .  .
 B  .  .  .  .  .  .  .  .  .  .  .  2
 C  .  .  .  .  .  .  .  .  .  .  .  .
 D  .  .  .  .  .  .  .  .  .  .  .  .
 E  .  .  .  .  .  .  .  .  .  .  .  .
 F  .  .  .  .  .  .  .  .  .  .  .  .
 G  .  .  .  .  .  .  .  .  .  .  .  .
 H  .  .  .  .  .  .  .  .  .  .  .  .
"""


def test_page_tells_all_that_was_found(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("well,dose\nA01,1\nA02,2\nC01,3\nC02,4\n")
    rows = [
        row("a", "A01", site="10", files=3),
        row("b", "A01", site="2", times=2, planes=5),
        row("c", "A02", channels="DAPI", width=60, pixel_size_source="config"),
        bad("d", "unreadable", "the file is empty (0 bytes), copy it again") | {"directory": "."},
        bad("e", "incomplete", "the file of channel 2 is missing", "B12") | {"plate": "P2"},
        row("f", "B12", plate="P2"),
    ]
    known = dataset(
        naming="imagexpress",
        batches=3,
        ignored=14,
        loops=["day 1/back"],
        set_aside={
            "thumbnails": (1200, "day 1/a_thumb.tif"),
            "matches exclude": (1, "day 1/x.tif"),
        },
        mem_mb=1234,
    )
    rows[0]["bytes"] = 3_500_000
    text = inventory.page(iter(rows), known, read_plate_map(path))
    assert text == PAGE.format(plate_map=path)


def test_page_of_images_without_metadata_is_short():
    rows = [row(name, channels="", pixel_size_um="", pixel_size_source="") for name in "ab"]
    assert inventory.page(rows, dataset(), None) == (
        "inventory of /data/screen\n"
        "images  2 in 1 directory, 1 batch\n"
        "files   2 of images, 0.003 GB\n"
        "planes  1\n"
        "times   1\n"
        "pixels  30 x 20\n"
        "type    uint16\n"
        "jobs    1 on Slurm, the largest asks for 512 MB\n"
    )


def test_page_of_nothing_but_damaged_images_names_the_first_and_counts_the_rest():
    rows = [bad(f"i{index}", "unreadable", "why") for index in range(1010)]
    text = inventory.page(rows, dataset(), None)
    assert text.count("day 1/i") == 8
    assert "images      1,010 in 1 directory, 1 batch\n" in text
    assert "unreadable  day 1/i7: why\nunreadable  and 1,002 more, see the table\n" in text


def test_single_value_of_all_images_is_told_without_its_number():
    found = lines([row("a"), row("b"), bad("c", "unreadable", "why")])
    assert found["channels"] == "DAPI + GFP (2)"
    found = lines([row("a"), row("b")])
    assert (found["channels"], found["pixels"]) == ("DAPI + GFP", "30 x 20")


def test_many_values_are_the_most_common_and_how_many_more():
    rows = [row(f"i{index}", width=100 + index % 10) for index in range(1, 25)]
    assert lines(rows)["pixels"] == (
        "101 x 20 (3), 102 x 20 (3), 103 x 20 (3), 104 x 20 (3), 105 x 20 (2), 106 x 20 (2), "
        "107 x 20 (2), 108 x 20 (2) and 2 more"
    )


def test_metadata_is_listed_in_the_order_of_its_numbers():
    rows = [row(f"i{index}", site=str(index), time="3") for index in range(1, 1201)]
    found = lines(rows)
    assert found["site"] == "1,200: 1, 2, 3, 4, 5, 6, 7, 8 ... 1200"
    assert found["time"] == "3"


def test_plate_map_whose_wells_all_have_images_says_no_more(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("plate,well,dose\nP1,A01,1\n")
    found = lines([row("a", "A01")], plate_map=read_plate_map(path))
    assert found["plate map"] == f"1 row in {path}"
    found = lines([row("a", "A02")], plate_map=read_plate_map(path))
    assert found["plate map"] == f"1 row in {path}, 1 of them without images: P1 A01"


def test_wells_without_a_plate_are_on_that_of_their_directory():
    text = inventory.page([row("a", "A01", plate=""), row("b", "B01")], dataset(), None)
    assert re.findall(r"plate (.*):", text) == ["P1", "day 1"]


def test_wells_that_no_plate_has_are_listed_and_have_no_grid():
    rows = [row(str(index), well) for index, well in enumerate(["a1", "AG01", "A49", "R1C2"])]
    text = inventory.page([*rows, row("b", "AF48")], dataset(), None)
    assert "well        5: A49, AF48, AG01, R1C2, a1\n" in text
    assert "plate P1: images in 1 well\n" in text
    assert "images in" not in inventory.page(rows, dataset(), None)


# The grid


@pytest.mark.parametrize(
    ("wells", "rows", "columns", "last"),
    [
        (["A01"], 8, 12, "H"),
        (["H12"], 8, 12, "H"),
        (["I01"], 16, 24, "P"),
        (["A13"], 16, 24, "P"),
        (["P24"], 16, 24, "P"),
        (["A25"], 32, 48, "AF"),
        (["Q01"], 32, 48, "AF"),
        (["AF48"], 32, 48, "AF"),
        (["A01", "AA01"], 32, 48, "AF"),
    ],
)
def test_grid_is_that_of_the_smallest_plate_that_has_all_wells(wells, rows, columns, last):
    text = inventory.grid("P1", dict.fromkeys(wells, 1)).splitlines()
    assert text[0] == f"plate P1: images in {len(wells)} well{'s' * (len(wells) > 1)}"
    assert text[1].split() == [str(column) for column in range(1, columns + 1)]
    assert len(text) == 2 + rows
    assert text[-1].split()[0] == last
    assert {len(line) for line in text[1:]} == {2 + 3 * columns}


def test_wells_stand_in_their_row_and_column():
    counts = {"A01": 1, "Z48": 2, "AA01": 3, "AB10": 45, "AF48": 6}
    text = inventory.grid("", counts).splitlines()
    assert text[0] == "plate: images in 5 wells"
    rows = {line.split()[0]: line.split()[1:] for line in text[2:]}
    assert list(rows) == [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "AA", "AB", "AC", "AD", "AE", "AF"]
    found = {
        f"{letters}{column + 1:02}": int(count)
        for letters, cells in rows.items()
        for column, count in enumerate(cells)
        if count != "."
    }
    assert found == counts


@pytest.mark.parametrize(("count", "width"), [(9, 3), (99, 3), (100, 4), (12345, 6)])
def test_cells_are_as_wide_as_the_largest_number(count, width):
    text = inventory.grid("P", {"A01": count, "B02": 1}).splitlines()
    assert {len(line) for line in text[1:]} == {2 + 12 * width}
    assert text[2].split()[:2] == ["A", str(count)]
    assert text[3].split()[:3] == ["B", ".", "1"]
