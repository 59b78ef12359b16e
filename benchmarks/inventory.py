"""What an inventory of many files costs: seconds, CPU seconds and memory.

Files are links to a few real ones, so that the disk's cache holds what is read: it is the
programs that are measured.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from measured import cost

ROOT = Path(__file__).resolve().parent.parent
A_DIRECTORY = 500
# Files that are linked to: file systems limit the links to one.
SOURCES = 8


def main() -> None:
    """Print what inventories of plain TIFF, OME-TIFF and joined files cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    count = parser.parse_args().files
    print(f"snakemake inventory of {count:,} files, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as temporary:
        for kind, (write, name) in KINDS.items():
            folder = Path(temporary, kind.replace(" ", "-"))
            make(folder / "images", count, write, name)
            options = ["--config", "images=images", "segment=0"]
            command = [sys.executable, "-m", "snakemake", "inventory", "--cores", "all", *options]
            result = cost([*command, "--snakefile", str(ROOT / "Snakefile")], folder)
            lines = (folder / "results" / "inventory.csv").read_text().count("\n") - 1
            print(
                f"  {kind:24}{lines:8,} images{result.seconds:7.1f} s{result.cpu:7.1f} CPU s"
                f"{result.memory:6.0f} MB"
            )


def make(folder: Path, count: int, write, name: str) -> None:
    """So many links; `name` is formatted with the number of the file in its directory."""
    folder.mkdir(parents=True)
    sources = [folder / f".{number}.tif" for number in range(SOURCES)]
    for source in sources:
        write(source)
    for start in range(0, count, A_DIRECTORY):
        directory = folder / f"plate{start // A_DIRECTORY:03}"
        directory.mkdir()
        for number in range(min(A_DIRECTORY, count - start)):
            site, channel = divmod(number, 2)
            file = name.format(number=number, site=site + 1, channel=channel + 1)
            os.link(sources[number % SOURCES], directory / file)


def plain(path: Path) -> None:
    """A TIFF without metadata."""
    tifffile.imwrite(path, np.zeros((64, 64), np.uint16), metadata=None)


def ome(path: Path) -> None:
    """An OME-TIFF of two named channels."""
    names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}, "PhysicalSizeX": 0.65}
    tifffile.imwrite(path, np.zeros((2, 64, 64), np.uint16), metadata=names, ome=True)


KINDS = {
    "plain TIFF": (plain, "field_{number:04}.tif"),
    "OME-TIFF": (ome, "field_{number:04}.ome.tif"),
    "ImageXpress, 2 channels": (plain, "exp_B02_s{site}_w{channel}.tif"),
}

if __name__ == "__main__":
    main()
