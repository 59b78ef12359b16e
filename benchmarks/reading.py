"""What the reader costs: CPU and wall time against `tifffile.imread` on the same files.

The files are as microscopes write them: OME-TIFF, 16 bits, one channel, uncompressed. Both read
every plane of every file, one after the other in the same process, in turns. The first round
brings the files into the page cache and is not counted.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from nucleiflow.readers.tiff import opened  # noqa: E402

BAR = 1.2


class Seconds(NamedTuple):
    """CPU and wall time of one round."""

    cpu: float
    wall: float


def main() -> None:
    """Write files, read them in turns and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100, help="number of files (100)")
    parser.add_argument("--size", type=int, default=2048, help="rows and columns (2048)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (7)")
    arguments = parser.parse_args()
    bench = ROOT / "bench"
    bench.mkdir(exist_ok=True)
    rounds = {"tifffile": [], "nucleiflow": []}
    with tempfile.TemporaryDirectory(dir=bench) as temporary:
        paths = write(Path(temporary), arguments.files, arguments.size)
        for number in range(1 + arguments.rounds):
            # Each is the first as often as the other.
            order = list(rounds) if number % 2 else list(rounds)[::-1]
            for name in order:
                seconds = timed(READERS[name], paths)
                if number:
                    rounds[name].append(seconds)
    megapixels = arguments.files * arguments.size**2 / 1e6
    print(
        f"Reading {arguments.files} OME-TIFFs of {arguments.size} x {arguments.size} pixels, "
        f"median of {arguments.rounds} rounds"
    )
    medians = {
        name: Seconds(*map(statistics.median, zip(*each, strict=True)))
        for name, each in rounds.items()
    }
    for name, seconds in medians.items():
        print(
            f"  {name:12}{seconds.cpu:8.3f} CPU s{seconds.wall:8.3f} s"
            f"{1e3 * seconds.cpu / megapixels:8.3f} CPU ms a megapixel"
        )
    ratios = [
        ours / theirs
        for ours, theirs in zip(medians["nucleiflow"], medians["tifffile"], strict=True)
    ]
    print(f"  ratio {ratios[0]:.2f} of CPU time, {ratios[1]:.2f} of wall time (bar: {BAR})")


def write(folder: Path, count: int, size: int) -> list[Path]:
    """Fields of camera noise, each as an OME-TIFF with a channel's name and a pixel size."""
    rng = np.random.default_rng(1)
    noise = rng.normal(400, 30, (size, size)).astype(np.uint16)
    metadata = {
        "axes": "YX",
        "PhysicalSizeX": 0.325,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.325,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": ["DAPI"]},
    }
    paths = [folder / f"{index:03}.ome.tif" for index in range(count)]
    for index, path in enumerate(paths):
        tifffile.imwrite(path, np.roll(noise, 37 * index), ome=True, metadata=metadata)
    return paths


def timed(read: Callable[[Path], None], paths: list[Path]) -> Seconds:
    """Read all files."""
    cpu, wall = time.process_time(), time.perf_counter()
    for path in paths:
        read(path)
    return Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def read_with_tifffile(path: Path) -> None:
    """The yardstick."""
    tifffile.imread(path)


def read_with_nucleiflow(path: Path) -> None:
    """Headers, metadata and every plane."""
    with opened(path) as scenes:
        for scene in scenes:
            for time_ in range(scene.times):
                for channel in range(len(scene.channels)):
                    for z in range(scene.planes):
                        scene.load(time_, channel, z)


READERS = {"tifffile": read_with_tifffile, "nucleiflow": read_with_nucleiflow}


if __name__ == "__main__":
    main()
