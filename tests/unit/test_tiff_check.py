"""Damaged TIFF files: a sentence, at no cost of time or memory."""

import errno
import struct
import time
import tracemalloc

import imagecodecs
import numpy as np
import pytest
import tifffile
from tiffs import DAMAGED, GREY, TCZYX, patched, refusal

from nucleiflow.images import ImageError
from nucleiflow.readers import open_image, tiff
from nucleiflow.readers.tiff import opened


@pytest.mark.parametrize("name", ["truncated_half.tif", "truncated_head200.tif"])
def test_real_truncated_file_is_refused(data, name):
    assert refusal(data / "broken" / name) == DAMAGED


@pytest.mark.parametrize("name", ["html_as.tif", "lfs_pointer.tif", "zero_byte.tif"])
def test_what_is_no_tiff_raises(data, name):
    with pytest.raises((ValueError, KeyError)), opened(data / "broken" / name):
        pass


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"compression": "zlib"}])
@pytest.mark.parametrize("share", [0.3, 0.75, 0.95])
def test_file_that_is_cut_short_is_refused(tmp_path, options, share):
    tifffile.imwrite(tmp_path / "a.tif", np.tile(GREY, (6, 6)), rowsperstrip=10, **options)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: int(len(content) * share)])
    assert refusal(tmp_path / "a.tif") == DAMAGED


def test_stack_whose_last_pages_are_missing_is_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for z in range(4):
            tiff.write(TCZYX[0, 0, z], metadata=None, contiguous=False)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    assert refusal(tmp_path / "a.tif", pages="z") == DAMAGED


@pytest.mark.parametrize("length", [1, 3, 150])
def test_list_of_pages_that_runs_in_a_circle_ends(tmp_path, length):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(length):
            tiff.write(GREY, metadata=None, contiguous=False)
    with tifffile.TiffFile(path) as tiff:
        first, link = tiff.pages.first.offset, tiff.pages.next_page_offset
    content = bytearray(path.read_bytes())
    content[link : link + 4] = struct.pack("<I", first)
    path.write_bytes(content)
    start = time.perf_counter()
    assert refusal(path, pages="z") == DAMAGED
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("code", "kind", "value"),
    [
        (277, 4, 4_000_000_000),
        (277, 4, 60_000),
        (273, 4, 0),
        (273, 4, 4_000_000_000),
        (279, 4, 0),
        (279, 4, 10),
        (257, 4, 5000),
        (278, 4, 3),
    ],
    ids=str,
)
def test_absurd_tags_cost_nothing(tmp_path, code, kind, value):
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="zlib", metadata=None)
    patched(tmp_path / "a.tif", code, kind, value)
    tracemalloc.start()
    assert refusal(tmp_path / "a.tif") == DAMAGED
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2e7


@pytest.mark.parametrize("code", [270, 273, 279])
def test_numbers_beyond_any_file_are_neither_a_failing_disk_nor_little_memory(tmp_path, code):
    path = tmp_path / "a.tif"
    options = {"bigtiff": True, "compression": "zlib", "metadata": None}
    tifffile.imwrite(path, GREY, description="<OME " * 99, **options)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages.first.tags[code].offset
    content = bytearray(path.read_bytes())
    content[offset + 12 : offset + 20] = struct.pack("<Q", 2**62 if code == 279 else 2**63 + 5)
    path.write_bytes(content)
    assert refusal(path) == DAMAGED


def test_size_of_a_huge_image_is_stated_without_its_pixels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="zlib", metadata=None)
    patched(tmp_path / "a.tif", 256, 4, 300_000)
    patched(tmp_path / "a.tif", 257, 4, 200_000)
    with opened(tmp_path / "a.tif") as (scene,):
        assert (scene.height, scene.width) == (200_000, 300_000)


@pytest.mark.parametrize("side", [16, 20])
def test_absurd_tile_costs_nothing(tmp_path, side):
    image = GREY[:side, :side]
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(16, 16), compression="zlib", metadata=None)
    patched(tmp_path / "a.tif", 322, 4, 160_000)
    patched(tmp_path / "a.tif", 323, 4, 160_000)
    tracemalloc.start()
    assert refusal(tmp_path / "a.tif") == DAMAGED
    assert tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.stop()


@pytest.mark.parametrize("compression", ["zlib", "zstd", "packbits"])
def test_strip_that_inflates_to_more_than_the_image_is_refused(tmp_path, compression):
    bomb = {
        "zlib": lambda: imagecodecs.zlib_encode(bytes(50_000_000)),
        "zstd": lambda: imagecodecs.zstd_encode(bytes(50_000_000)),
        # 128 zeros, over and over.
        "packbits": lambda: b"\x81\0" * 400_000,
    }[compression]()
    options = {"shape": GREY.shape, "dtype": GREY.dtype, "rowsperstrip": 20}
    tifffile.imwrite(tmp_path / "a.tif", iter([bomb]), compression=compression, **options)
    tracemalloc.start()
    assert refusal(tmp_path / "a.tif") == DAMAGED
    assert tracemalloc.get_traced_memory()[1] < 2e7
    tracemalloc.stop()


def test_tiles_that_were_not_written_are_not_black(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.tile(GREY, (4, 4)), tile=(32, 32), metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        where = tiff.pages.first.tags[324].valueoffset
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[where + 4 : where + 8] = bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    assert refusal(tmp_path / "a.tif") == DAMAGED


@pytest.mark.parametrize("ending", ["ome.tif", "tif"])
def test_random_damage_gives_a_sentence_or_an_image(tmp_path, ending):
    """No error of another kind, no endless loop."""
    source = tmp_path / f"source.{ending}"
    tifffile.imwrite(source, TCZYX[0, 0], photometric="minisblack", metadata={"axes": "ZYX"})
    content = source.read_bytes()
    rng = np.random.default_rng(7)
    start, refused = time.perf_counter(), 0
    for _ in range(150):
        damaged = bytearray(content)
        for at in rng.integers(0, min(1200, len(content)), 3):
            damaged[at] = rng.integers(256)
        path = tmp_path / f"damaged.{ending}"
        path.write_bytes(damaged)
        try:
            with open_image(path, pages="z", max_megapixels=10) as scenes:
                for scene in scenes:
                    scene.load(0, 0, 0)
        except ImageError:
            refused += 1
    assert refused > 10
    assert time.perf_counter() - start < 60


@pytest.mark.parametrize("code", [270, 273])
def test_place_beyond_the_largest_file_is_not_a_failing_disk(tmp_path, code):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, bigtiff=True, description="<OME " * 99, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages.first.tags[code].offset
    content = bytearray(path.read_bytes())
    content[offset + 12 : offset + 20] = struct.pack("<Q", 2**62)
    path.write_bytes(content)
    assert refusal(path) == DAMAGED


def test_file_without_a_page_is_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(100))
    assert refusal(tmp_path / "a.tif") == DAMAGED


def test_disk_that_fails_is_no_damage(tmp_path, monkeypatch):
    def fail(file):
        raise OSError(errno.EIO, "Input/output error")

    tifffile.imwrite(tmp_path / "a.tif", GREY)
    monkeypatch.setattr(tiff, "check", fail)
    with pytest.raises(OSError, match="Input/output error"), open_image(tmp_path / "a.tif"):
        pass
