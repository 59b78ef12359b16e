"""The table 'your microscope, your config': each row on files as that microscope names them."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from nucleiflow import field, settings
from nucleiflow.survey import survey

ROOT = Path(__file__).resolve().parents[2]
# Planes of a stack, sharp in the middle, and the two channels of the tests.
SHAPE = (24, 32)
UUID = "-4CA9-A6E8-7DC9BC9565F2"


def plane(value: int) -> np.ndarray:
    image = np.full(SHAPE, value, np.uint16)
    image[8:16, 8:16] += 100
    return image


def write(path: Path, value: int = 7) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, plane(value))


def imagexpress(folder: Path) -> None:
    number = 0
    for site in (1, 2):
        for channel in (1, 2):
            for z in (1, 2, 3):
                number += 1
                name = f"Plate_E07_s{site}_w{channel}{number:08X}-AF44{UUID}.tif"
                write(folder / f"2023/1/ZStep_{z}/{name}", 10 * channel + z)
            write(folder / f"2023/1/Plate_E07_s{site}_w{channel}_thumb{number:08X}-AF44{UUID}.tif")


def names(*files: str):
    def make(folder: Path) -> None:
        for index, file in enumerate(files):
            write(folder / file, 10 * (index + 1))

    return make


def vendor(folder: Path) -> None:
    czi = pytest.importorskip("pylibCZIrw.czi", reason="needs requirements-vendor.txt")
    with czi.create_czi(str(folder / "slide.czi")) as file:
        for time in range(2):
            for channel in range(2):
                for z in range(3):
                    data = plane(10 * channel + z)[..., None]
                    file.write(data, plane={"C": channel, "Z": z, "T": time})
        file.write_metadata(channel_names={0: "GFP", 1: "DAPI"})


def ome(folder: Path) -> None:
    metadata = {"axes": "CZYX", "Channel": {"Name": ["GFP", "Hoechst 33342"]}}
    stack = np.stack([np.stack([plane(10 * c + z) for z in range(3)]) for c in range(2)])
    tifffile.imwrite(folder / "field.ome.tif", stack, metadata=metadata)


def zarr(folder: Path) -> None:
    import zarr

    root = zarr.open_group(folder / "field.zarr", mode="w", zarr_format=2)
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "yx")]
    root.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    root["0"] = np.stack([plane(10), plane(20)])


def imagej(folder: Path) -> None:
    stack = np.zeros((2, 3, 2, *SHAPE), np.uint16)
    for time, z, channel in np.ndindex(2, 3, 2):
        stack[time, z, channel] = plane(10 * channel) if z == 1 else 10 * channel
    tifffile.imwrite(folder / "stack.tif", stack, imagej=True, metadata={"axes": "TZCYX"})


def pages(folder: Path) -> None:
    stack = np.stack([plane(z) for z in (3, 9, 5)])
    tifffile.imwrite(folder / "stack.tif", stack, photometric="minisblack", metadata=None)


def colours(folder: Path) -> None:
    image = np.stack([plane(3), plane(5), plane(7)], -1).astype(np.uint8)
    Image.fromarray(image).save(folder / "photo.png")
    Image.fromarray(image).save(folder / "photo2.jpg", quality=100, subsampling=0)


def sheet(folder: Path) -> None:
    names("a/DAPI.tif", "a/GFP.tif", "b/DAPI.tif", "b/GFP.tif")(folder)
    rows = ["file,image,directory,channel,well,dose"]
    rows += [f"{d}/{c}.tif,{d},day1,{c},{d}1,0.5" for d in "ab" for c in ("DAPI", "GFP")]
    (folder / "sheet.csv").write_text("\n".join(rows))


class Row(NamedTuple):
    """What must come of a row: images, channels, the segmented one and its first pixel."""

    make: object
    images: list[str]
    channels: tuple[str, ...]
    segmented: str
    pixel: int
    times: int = 1


ROWS = {
    "ImageXpress, MetaXpress": Row(
        imagexpress, ["Plate_E07_s1", "Plate_E07_s2"], ("1", "2"), "1", 13
    ),
    "Opera Phenix, Operetta": Row(
        names("Images/r01c01f01p01-ch2sk1fk1fl1.tiff", "Images/r01c01f01p01-ch5sk1fk1fl1.tiff"),
        ["A01_s1_t1"],
        ("2", "5"),
        "5",
        20,
    ),
    "IN Cell Analyzer": Row(
        names("A - 01(fld 1 wv FITC - FITC).tif", "A - 01(fld 1 wv DAPI - DAPI).tif"),
        ["A01_s1"],
        ("DAPI", "FITC"),
        "DAPI",
        20,
    ),
    "CellVoyager": Row(
        names("Plate_D03_T0001F001L01A01Z01C01.tif", "Plate_D03_T0001F001L01A01Z01C02.tif"),
        ["Plate_D03_s1_t1"],
        ("1", "2"),
        "1",
        10,
    ),
    "ArrayScan, CellInsight": Row(
        names("AS_09125_D03f00d0.TIF", "AS_09125_D03f00d1.TIF"),
        ["AS_09125_D03_s0"],
        ("0", "1"),
        "0",
        10,
    ),
    "Incucyte": Row(
        names("VID1_A1_1_2020y05m04d_12h30m.tif", "VID1_A1_2_2020y05m04d_12h30m.tif"),
        ["VID1_A1_1_2020y05m04d_12h30m", "VID1_A1_2_2020y05m04d_12h30m"],
        ("",),
        "",
        10,
    ),
    "Micro-Manager": Row(
        names("Pos0/img_000000000_DAPI_000.tif", "Pos0/img_000000000_GFP_000.tif"),
        ["s0_t0"],
        ("DAPI", "GFP"),
        "DAPI",
        10,
    ),
    "channel and well in the name": Row(
        names("Channel1-01-A-01.tif", "Channel2-01-A-01.tif"), ["A01"], ("1", "2"), "2", 20
    ),
    "Zeiss CZI, Nikon ND2, Leica LIF": Row(vendor, ["slide"], ("GFP", "DAPI"), "DAPI", 12, 2),
    "OME-TIFF": Row(ome, ["field"], ("GFP", "Hoechst_33342"), "Hoechst_33342", 12),
    "OME-Zarr": Row(zarr, ["field"], ("0", "1"), "0", 10),
    "ImageJ, Fiji": Row(imagej, ["stack"], ("DAPI", "GFP"), "DAPI", 0, 2),
    "a TIFF that does not say what its pages are": Row(pages, ["stack"], ("",), "", 9),
    "a camera with colours": Row(colours, ["photo", "photo2"], ("red", "green", "blue"), "blue", 7),
    "names of your own": Row(
        names("x/DAPI/day3_B2_4.tif", "x/GFP/day3_B2_4.tif"),
        ["B02_s4_3"],
        ("DAPI", "GFP"),
        "DAPI",
        10,
    ),
    "a list of files": Row(sheet, ["a", "b"], ("DAPI", "GFP"), "DAPI", 10),
}


def table() -> dict[str, dict]:
    """The README's rows: the microscope and its config."""
    text = (ROOT / "README.md").read_text()
    text = text.partition("<!-- microscopes -->")[2].partition("<!-- /microscopes -->")[0]
    rows = {}
    for line in text.strip().splitlines()[2:]:
        microscope, _, config = (cell.strip() for cell in line.strip("|").split("|"))
        code = re.match(r"`(.+)`$", config)
        rows[microscope] = yaml.safe_load(code.group(1)) if code else {}
    return rows


def test_every_row_of_the_readme_is_tried():
    assert list(table()) == list(ROWS)


def test_the_two_pages_have_the_same_table():
    page = (ROOT / "config" / "README.md").read_text()
    for microscope in table():
        assert page.count(f"\n| {microscope} |") == 1


@pytest.mark.parametrize("microscope", ROWS)
def test_row(microscope: str, tmp_path: Path, schema: dict):
    row = ROWS[microscope]
    row.make(tmp_path)
    given = table()[microscope]
    images = tmp_path / given.pop("images", "")
    config = settings.load(given | {"images": str(images)}, schema)
    view = {key: config[key] for key in ("segment", "channels", "z", "pages", "scenes")}
    found = survey(config, view, str(tmp_path / "results"))
    entries = [image for batch in found.batches.values() for image in batch.images]
    assert [image.name for image in entries] == row.images
    assert not found.incomplete
    files = [field.File(file.path, file.channel, file.z) for file in entries[0].files]
    folder = Path(found.root, next(iter(found.batches.values())).folder)
    assert sum(t for _, t in field.header(folder, files, field.View(**view)).scenes) == row.times
    with field.open_field(folder, files, field.View(**view)) as opened:
        assert opened.names == row.channels
        assert opened.names[opened.segmented()] == row.segmented
        image = opened.image(opened.segmented())
        assert image.shape == SHAPE
        assert image[0, 0] == row.pixel
        # JPEG, too, at this quality.
        assert image[10, 10] == (row.pixel + 100) % 256
