"""Memory of jobs: what is asked of Slurm, and what is looked at before an image is handled.

This module is imported wherever a config is read, so it imports nothing that is slow.
"""

import os
from pathlib import Path
from typing import NamedTuple

# Bytes that a worker holds for each pixel of an image. Seen with the default methods: 26 in
# watershed, less elsewhere; with others 35 in `sauvola`, 40 where seeds leave something to be
# flooded, 44 in `edges`, 47 where nuclei are split or merged by their solidity.
PIXEL, HUNGRY = 40, 48
# In measure, where objects cover a third of the image; seen: 13.
MEASURED = 28
# The same with CellProfiler's families of measurements, where nuclei alone are measured (seen: 135
# where they cover 40 % of the image) and where cells are (290 where they cover all of it); and for
# each channel where pairs of channels are compared.
FAMILIES, FAMILIES_OF_CELLS, HELD = 150, 300, 8
# And for each time of a series of floats.
FRAME = 12


class Footprint(NamedTuple):
    """MB of a job's own processes and of each worker, with their imports, and bytes a pixel."""

    processes: float
    worker: float
    pixel: float

    def worker_mb(self, megapixels: float) -> float:
        """MB of a worker on images of this size."""
        return self.worker + self.pixel * megapixels

    def job_mb(self, workers: int, megapixels: float) -> float:
        """MB of a job with so many workers, and of Snakemake that starts it."""
        return self.processes + workers * self.worker_mb(megapixels)


def of_stage(settings: dict, channels: int = 1) -> Footprint:
    """What a stage with these settings holds, on images of so many channels.

    Seen: 200 MB of Snakemake, and of a stage 60 MB and 60 MB a worker in watershed, 90 MB and 90 MB
    a worker in measure, where the library of the families comes with 70 MB more.
    """
    if settings.get("families"):
        processes, worker = 360, 120
    else:
        processes, worker = (310, 100) if "families" in settings else (280, 75)
    return Footprint(processes, worker, _pixel_bytes(settings, channels))


def _pixel_bytes(settings: dict, channels: int) -> float:
    families = settings.get("families")
    if families:
        cells = not {"cells", "cytoplasm"}.isdisjoint(settings["objects"])
        held = HELD * channels if "colocalization" in families else 0
        return (FAMILIES_OF_CELLS if cells else FAMILIES) + held
    if families is not None:
        return MEASURED
    solid = [(settings.get(rule) or {}).get("solidity") for rule in ("split", "merge")]
    if settings.get("method") == "edges" or any(solid):
        return HUNGRY
    denoise = settings.get("denoise") or {}
    return max(PIXEL, FRAME * denoise.get("options", {}).get("frames", 0))


def machine_mb() -> float:
    """MB that this machine has, or that the container leaves of it."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        path = Path("/sys/fs/cgroup", limit)
        text = path.read_text().strip() if path.exists() else ""
        if text.isdecimal():
            found.append(int(text))
    return min(found) / 1e6
