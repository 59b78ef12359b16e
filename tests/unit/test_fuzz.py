"""Damaged files: never a crash, a hang, or memory without bound."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

FUZZ = Path(__file__).with_name("fuzz.py")


def fuzz(examples: int, *files: Path) -> None:
    """Damage files so often, in a process that may crash."""
    command = [sys.executable, str(FUZZ), str(examples), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]


def ramp(*shape: int, dtype: type = np.uint16) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def write_tiffs(folder: Path) -> None:
    stack = ramp(2, 3, 24, 32)
    names = {"axes": "CZYX", "Channel": {"Name": ["a", "b"]}, "PhysicalSizeX": 0.5}
    tifffile.imwrite(folder / "ome.ome.tif", stack, metadata=names)
    tifffile.imwrite(folder / "tiled.ome.tif", stack, tile=(16, 16), compression="zlib")
    tifffile.imwrite(folder / "imagej.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    tifffile.imwrite(folder / "big.tif", stack[0, 0], bigtiff=True, compression="zstd")
    tifffile.imwrite(folder / "shaped.tif", stack[0], compression="lzw", metadata={"axes": "ZYX"})
    with tifffile.TiffWriter(folder / "pyramid.ome.tif") as tiff:
        tiff.write(ramp(64, 64), subifds=1, tile=(16, 16), compression="zlib")
        tiff.write(ramp(32, 32), subfiletype=1, tile=(16, 16), compression="zlib")


def write_pictures(folder: Path) -> None:
    colors = ramp(24, 32, 3, dtype=np.uint8)
    Image.fromarray(colors).save(folder / "rgb.png")
    Image.fromarray(ramp(24, 32)).save(folder / "grey.png")
    Image.fromarray(colors).save(folder / "rgb.jpg")
    Image.fromarray(colors).save(folder / "rgb.bmp")
    Image.fromarray(colors).quantize(7).save(folder / "palette.png")


def write_stores(folder: Path) -> None:
    for version, name in ((2, "four.zarr"), (3, "five.zarr")):
        root = zarr.open_group(folder / name, mode="w", zarr_format=version)
        axes = [{"name": text, "type": "space"} for text in "zyx"]
        levels = {"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}
        ome = {"multiscales": [levels]}
        root.attrs.update(ome if version == 2 else {"ome": ome | {"version": "0.5"}})
        root["0"] = ramp(2, 24, 32)


@pytest.mark.parametrize(
    ("write", "examples"), [(write_tiffs, 300), (write_pictures, 300), (write_stores, 100)]
)
def test_damaged_files(tmp_path, write, examples):
    write(tmp_path)
    fuzz(examples, *sorted(tmp_path.iterdir()))


def test_damaged_czi(tmp_path):
    czi = pytest.importorskip("pylibCZIrw.czi", reason="needs requirements-vendor.txt")
    with czi.create_czi(str(tmp_path / "a.czi"), compression_options="zstd1:") as file:
        file.write(ramp(24, 32, 1), plane={"C": 0, "Z": 0})
        file.write(ramp(24, 32, 1), plane={"C": 0, "Z": 1})
    fuzz(600, tmp_path / "a.czi")


def test_damaged_real_files(data):
    real = [
        *sorted((data / "formats").iterdir()),
        *sorted((data / "broken").iterdir()),
        *sorted((data / "imagexpress").rglob("*_thumb*.tif"))[:1],
        data / "workshop" / "morph-input.png",
    ]
    assert len(real) > 20
    fuzz(150, *(path for path in real if path.stat().st_size))


def test_the_test_notices_memory_that_is_taken_and_time_that_passes(tmp_path):
    Image.fromarray(ramp(24, 32)).save(tmp_path / "a.png")
    for body, message in (
        ("bytearray(4_000_000_000)", "MemoryError"),
        ("time.sleep(60)", "Timeout"),
        ("os.kill(os.getpid(), 11)", ""),
        ("raise KeyError", "KeyError"),
    ):
        text = f"import os, sys, time; sys.path.insert(0, {str(FUZZ.parent)!r}); import fuzz\n"
        text += f"def bad(*a, **k): {body}\nfuzz.open_image, fuzz.PATIENCE = bad, 1\n"
        text += f"fuzz.main(1, [fuzz.Path({str(tmp_path / 'a.png')!r})])"
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
        assert done.returncode != 0 and message in done.stderr, body
