"""Files that promise more than there is, or memory for: refused before any of it is taken."""

import json
import multiprocessing
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucleiflow.images import ImageError
from nucleiflow.readers import open_image

LEFT = 400 * 2**20
TIFF_DAMAGED = "the TIFF file is damaged or cut short, copy it again"
PNG_DAMAGED = "the PNG file is damaged or cut short, copy it again"
TOO_LARGE = "the header states {0:,} x {0:,} pixels and 1 channels, more than max_image_megapixels "
ABSURD = "the header states 1,000,000,000 {}, more than any image has: export it again"


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(path, size, more=b""):
    """A grey PNG with pixels for 10 x 10, whatever its header says."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(110)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + more + rows + chunk(b"IEND", b""))


def tiff(path, data, **changes):
    """A TIFF of 10 x 10 pixels of 16 bits; `changes` are its tags, `None` leaves one out."""
    tags = {"t256": 10, "t257": 10, "t258": 16, "t259": 8, "t262": 1, "t273": 8, "t277": 1}
    tags |= {"t278": 10, "t279": len(data)} | changes
    entries = [
        struct.pack("<HHII", int(name[1:]), 4, 1, value)
        for name, value in sorted(tags.items())
        if value is not None
    ]
    data += b"\0" * (len(data) % 2)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)


def ome(path, size=10, times=1, planes=1, data=""):
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels'
        f' DimensionOrder="XYZCT" ID="Pixels:0" SizeC="1" SizeT="{times}" SizeX="{size}" SizeY="'
        f'{size}" SizeZ="{planes}" Type="uint16"><TiffData {data}/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, np.zeros((10, 10), np.uint16), description=text, metadata=None)


def ome_zarr(path, *shape, chunks=(1, 1, 1, 10, 10)):
    (path / "0").mkdir(parents=True)
    axes = [{"name": name} for name in "tczyx"]
    images = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    array = {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "<u2", "order": "C"}
    array |= {"compressor": None, "filters": None, "fill_value": 0, "dimension_separator": "/"}
    for name, content in {
        ".zgroup": {"zarr_format": 2},
        ".zattrs": {"multiscales": images},
        "0/.zarray": array,
    }.items():
        (path / name).write_text(json.dumps(content))
    (path / "0/0/0/0/0").mkdir(parents=True)
    (path / "0/0/0/0/0/0").write_bytes(bytes(200))


BILLION, MILLION = 10**9, 10**6
ZEROS = zlib.compress(bytes(5 * 10**8))
TILES = {"t273": None, "t278": None, "t279": None, "t322": 2**20, "t323": 2**20, "t324": 8}
PROMISES = {
    "size.png": (png, (MILLION,), {}, TOO_LARGE.format(MILLION)),
    "most.png": (png, (2**31 - 1,), {}, TOO_LARGE.format(2**31 - 1)),
    # Within what is allowed, without the pixels.
    "pixels.png": (png, (60_000,), {}, "the file is damaged or not a PNG, JPEG or BMP image"),
    "text.png": (png, (10, chunk(b"zTXt", b"a\0\0" + ZEROS)), {}, PNG_DAMAGED),
    "color.png": (png, (10, chunk(b"iCCP", b"a\0\0" + ZEROS)), {}, PNG_DAMAGED),
    "size.tif": (tiff, (b"x",), {"t256": MILLION, "t257": MILLION}, TOO_LARGE.format(MILLION)),
    "pixels.tif": (tiff, (b"x",), {"t256": 60_000, "t257": 60_000}, TIFF_DAMAGED),
    "strip.tif": (tiff, (ZEROS,), {}, TIFF_DAMAGED),
    "tile.tif": (tiff, (b"x",), {**TILES, "t325": 1}, TIFF_DAMAGED),
    "samples.tif": (tiff, (b"x",), {"t259": 1, "t277": 65_535}, TIFF_DAMAGED),
    "times.ome.tif": (ome, (), {"times": BILLION}, TIFF_DAMAGED),
    "planes.ome.tif": (ome, (), {"planes": BILLION}, TIFF_DAMAGED),
    "pages.ome.tif": (
        ome,
        (),
        {"times": BILLION, "data": 'IFD="0" PlaneCount="1000000000"'},
        TIFF_DAMAGED,
    ),
    "size.ome.tif": (
        *(ome, (MILLION,), {}),
        "the OME metadata state 1000000 x 1000000 pixels, but the pages hold 10 x 10: export the "
        "file again",
    ),
    "times.zarr": (ome_zarr, (BILLION, 1, 1, 10, 10), {}, ABSURD.format("times")),
    "channels.zarr": (ome_zarr, (1, BILLION, 1, 10, 10), {}, ABSURD.format("channels")),
    "planes.zarr": (ome_zarr, (1, 1, BILLION, 10, 10), {}, ABSURD.format("planes")),
    "size.zarr": (ome_zarr, (1, 1, 1, MILLION, MILLION), {}, TOO_LARGE.format(MILLION)),
    "chunk.zarr": (
        *(ome_zarr, (1, 1, 1, 10, 10), {"chunks": (1, 1, 1, MILLION, MILLION)}),
        "the OME-Zarr image is damaged or cut short, copy it again",
    ),
}


def said_of(path: Path) -> str:
    """What reading says of a file, with less memory than it promises."""
    if path.suffix == ".zarr":
        # Its imports take memory, too.
        import zarr  # noqa: F401
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LEFT, used + LEFT))
    try:
        with open_image(path, max_megapixels=4000) as (scene,):
            scene.load(0, 0, 0)
    except ImageError as error:
        return str(error)
    return "read"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc tells the memory used")
@pytest.mark.parametrize("name", PROMISES)
def test_promise_of_more_than_there_is_takes_no_memory(tmp_path, name):
    write, arguments, options, sentence = PROMISES[name]
    write(tmp_path / name, *arguments, **options)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        said = pool.apply(said_of, (tmp_path / name,))
    assert said.startswith(sentence)
