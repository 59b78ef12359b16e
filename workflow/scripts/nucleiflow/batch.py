"""The walk over a batch: each image read, computed and written on its own.

A stage's file gives the function that turns one image into its products. What is written
becomes visible at once when the whole batch is done. An image that fails leaves a sentence in
the batch's records and costs no other image anything; what is not the image's fault (a full
disk, too little memory, a missing batch) fails the job, so that Snakemake tries it again.
"""

import dataclasses
import functools
import glob
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from nucleiflow import footprint, plan, tiles
from nucleiflow.field import Field, File, View, header, is_wanted, open_field, plain
from nucleiflow.files import printable, replaced, write
from nucleiflow.geometry import size_after
from nucleiflow.images import ImageError, decode_tiff, encode_large_tiff, encode_tiff
from nucleiflow.job import logged, tell
from nucleiflow.walk import size_and_time
from nucleiflow.workers import Crash, in_processes, reuse_memory

RECORDS = "batch.json"
# Nanoseconds.
ROUNDED = 2_000_000_000
# So many failed images of a batch are named on the terminal by each stage.
NAMED = 5
# Images that go to a worker at a time have so many pixels together, and are no more than that.
MEGAPIXEL, TOGETHER = 1 << 20, 16
CRASHED = "reading or computing it crashed ({}), the file is probably damaged: copy it again"
# Bytes of the name of an image: a file system takes 255, and results end in .tif, .csv and so on.
LONGEST = 251
TOO_LARGE = (
    "its {:,} x {:,} pixels need about {:.3g} GB of memory in this stage and there are {:.3g} GB: "
    "set tiles to {{size: 4096}}, or run where there is more"
)
# What the name of a tile may have beside it.
PLACE = len("_y100000_x100000")
TOO_LONG = (
    "its name, with those of scene and time, has {} bytes and its results can have "
    "{}: give the file a shorter one"
)


@dataclass
class Item:
    """One image of a batch, or a tile of it, on its way through a stage.

    Attributes
    ----------
    record : dict
        What is known of the image from this and earlier stages: a row of `images.csv`.
    folder : Path
        Where the paths of its files start.
    files : list of File
    stamps : list of (int, int)
        Bytes of each file and the time of its last change in ns, as planned.
    inputs, outputs : dicts of Path
        Directories of what earlier stages made, and of what this one makes.
    facts : dict
        What the stage adds to the record.
    result : object
        What the stage's function hands back to the job.
    """

    record: dict
    folder: Path
    files: list[File]
    stamps: list[tuple[int, int]]
    inputs: dict[str, Path]
    outputs: dict[str, Path]
    facts: dict = dataclasses.field(default_factory=dict)
    result: Any = None

    @contextmanager
    def field(self, view: dict) -> Iterator[Field]:
        """The image, open to be read.

        What the first stage chose, `auto` channel and `focus` plane, is chosen no second time.
        """
        segmented, z = self.record.get("segmented_index"), self.record.get("plane", view["z"])
        chosen = View(**view | {"segmented": segmented, "z": z})
        scene, time, part = self.record["scene"], self.record["frame"], None
        if "window" in self.record:
            crop = view["crop"] or {"x": 0, "y": 0}
            part = tiles.part_of(self.record["window"], (-crop["y"], -crop["x"]))
        self._refuse_changed()
        with open_field(self.folder, self.files, chosen, scene, time, part) as field:
            yield field

    def _refuse_changed(self) -> None:
        """Refuse files that are others than those of the plan, as their stages would not fit.

        What is gone the reader says; an OME-Zarr has too many files to look at each time.
        """
        for file, (size, changed) in zip(self.files, self.stamps, strict=True):
            path = self.folder / file.path
            now = size_and_time(str(path))
            # File systems round times differently on other machines.
            differs = now[0] != size or abs(now[1] - changed) > ROUNDED
            if differs and now != (0, 0) and path.is_file():
                raise ImageError("the file was changed while the run went on, run again")

    @property
    def source(self) -> Path:
        """Its file, or the first of them."""
        return self.folder / self.record["file"]

    def read(self, product: str) -> np.ndarray:
        """A product of an earlier stage, that of a tile from that of its image where joined."""
        path = self.inputs[product] / f"{self.record['image']}.tif"
        if "window" not in self.record or path.exists():
            return decode_tiff(path)
        whole = self.inputs[product] / f"{self.record['whole']}.tif"
        return decode_tiff(whole, *tiles.part_of(self.record["window"]))

    def parts(self) -> list["Item"]:
        """Its tiles, or itself where it is whole."""
        return [dataclasses.replace(self, record=each) for each in tiles.split(self.record)]


class Batch:
    """A stage's job: `with open_batch(snakemake) as batch: batch.map(compute)`.

    The job's parts have fixed names. `params.plan` is the file of the batch, `params.settings`
    the stage's part of the config; `input` and `output` are directories by the name of what
    they hold, the first input being that of the stage before.
    """

    def __init__(self, snakemake, folders: dict[str, Path], whole: bool = False):
        self.stage = snakemake.rule
        self.log = snakemake.log[0]
        self.failed = 0
        self.settings = snakemake.params.settings
        self.threads = snakemake.threads
        self.folders = folders
        self.plan, _, root, _ = plan.load(Path(snakemake.params.plan))
        source = root / self.plan.folder
        inputs = {name: Path(path) for name, path in snakemake.input.items()}
        before = next(iter(inputs.values()), None)
        if before:
            records = json.loads((before / RECORDS).read_text())
        else:
            records = list(self._new_records(source, View(**self.settings["view"])))
        parts = [
            (_parts(image), [(file.size, file.changed) for file in image.files])
            for image in self.plan.images
        ]
        self.images = [
            Item(record, source, *parts[record["member"]], inputs, folders) for record in records
        ]
        self._tiled = not whole
        # Of each image its tiles, unless the stage is one of whole images.
        self.groups = [image.parts() if self._tiled else [image] for image in self.images]
        self._report([image for image in self.images if image.record["stage"] == self.stage])

    @property
    def items(self) -> list[Item]:
        """Images and tiles, one after another."""
        return [item for group in self.groups for item in group]

    def records(self) -> list[dict]:
        """What is known of each image after the stage."""
        return [
            tiles.joined(
                image.record, [item.record for item in group], [item.facts for item in group]
            )
            if self._tiled and image.record.get("tiles")
            else group[0].record
            for image, group in zip(self.images, self.groups, strict=True)
        ]

    @property
    def folder(self) -> Path:
        """Where the stage's first product is being written."""
        return next(iter(self.folders.values()))

    def map(self, compute: Callable[[Item, dict], dict]) -> None:
        """Compute and write every image that did not fail before.

        `compute` takes an item and the stage's settings and gives the products by name: arrays,
        which become TIFF files, or pairs of an ending and bytes. What is no output of the rule
        is not written.
        """
        for _ in self.each(compute):
            pass

    def each(self, compute: Callable[[Item, dict], dict]) -> Iterator[list[Item]]:
        """The same, and the image or its tiles when they are done, one image after another.

        Of an image of which a tile failed no result is left.
        """
        self._refuse_too_large()
        every = [(group, at) for group in self.groups for at in range(len(group))]
        pending = [(group, at) for group, at in every if group[at].record["status"] == "ok"]
        workers = max(1, min(self.threads, len(pending), self._fitting()))
        share = max(1, self.threads // workers)
        start, failed = time.perf_counter(), 0
        logging.info("%s: %d images, %d workers", self.plan.name, len(pending), workers)
        jobs = [(compute, group[at], self.stage, self.settings) for group, at in pending]
        sizes = [math.prod(job[1].record.get("pixels", (1, MEGAPIXEL))) for job in jobs]
        together = _together(len(jobs), workers, sum(sizes) // max(len(sizes), 1))
        done = in_processes(_process, jobs, workers, _prepare, (share,), together)
        for number, ((group, at), item) in enumerate(zip(pending, done, strict=True), 1):
            if isinstance(item, Crash):
                item = self._crashed(group[at], item)
            if not any(each.record["status"] == "failed" for each in group[:at]):
                self._report([item])
            group[at] = item
            failed += item.record["status"] == "failed"
            if line := progress(number, failed, len(pending), time.perf_counter() - start):
                logging.info("%s", line)
            if number == len(pending) or pending[number][0] is not group:
                if any(each.record["status"] == "failed" for each in group):
                    for each in group:
                        each.result = None
                yield group
        seconds = time.perf_counter() - start
        logging.info("%d done, %d failed in %.1f s", len(pending) - failed, failed, seconds)

    def _need(self, item: Item) -> float:
        """MB of a worker on an image, one tile after another, or on a tile."""
        windows = [part["window"] for part in tiles.split(item.record) if "window" in part]
        sizes = [tiles.area(window) for window in windows]
        height, width = item.record.get("pixels", (0, 0))
        pixels = max(sizes, default=height * width)
        return footprint.of_stage(self.settings).worker_mb(pixels / 1e6)

    def _fitting(self) -> int:
        """How many workers this machine has the memory for."""
        most = max((self._need(item) for item in self.items), default=1)
        own = footprint.of_stage(self.settings).processes
        return int((footprint.machine_mb() - own) / most)

    def _refuse_too_large(self) -> None:
        """Let images fail that need more memory than there is, before they take it from others."""
        there, own = footprint.machine_mb(), footprint.of_stage(self.settings).processes
        for group in self.groups if self._tiled else ():
            refused = []
            for item in group:
                needed = own + self._need(item)
                if item.record["status"] == "ok" and needed > there:
                    height, width = item.record["pixels"]
                    message = TOO_LARGE.format(width, height, needed / 1000, there / 1000)
                    item.record.update(status="failed", stage=self.stage, message=message)
                    refused.append(item)
            # Of an image once, however many tiles it has.
            self._report(refused[:1])

    def join_tiles(self) -> None:
        """Make one file of those of an image's tiles, of each product that is an image.

        Each pixel is that of the tile in whose core it is.
        """
        for image, group in zip(self.images, self.groups, strict=True):
            if len(group) == 1 or any(item.record["status"] == "failed" for item in group):
                continue
            for folder in self.folders.values():
                paths = [folder / f"{item.record['image']}.tif" for item in group]
                if paths[0].exists():
                    shape, dtype = tiles.shape_of(image.record), decode_tiff(paths[0]).dtype
                    part = functools.partial(_from_tiles, image.record["tiles"], paths)
                    encode_large_tiff(folder / f"{image.record['image']}.tif", shape, dtype, part)
                    for path in paths:
                        path.unlink()

    def _crashed(self, item: Item, crash: Crash) -> Item:
        """An image that ended the process which worked on it, without what it left behind."""
        message = CRASHED.format(crash.signal)
        item.record.update(status="failed", stage=self.stage, message=message)
        for folder in self.folders.values():
            for left in folder.glob(f"{glob.escape(item.record['image'])}.*"):
                left.unlink()
        return item

    def _report(self, items: list[Item]) -> None:
        for item in items:
            if item.record["status"] == "failed":
                self.failed += 1
                where = printable(str(item.source))
                sentence = f"{self.stage} failed for {where}: {item.record['message']}"
                if self.failed <= NAMED:
                    tell(sentence, logging.WARNING)
                else:
                    logging.warning("%s", sentence)

    def report_others(self) -> None:
        """Say how many images failed besides those that were named."""
        if self.failed > NAMED:
            others = f"{self.failed - NAMED:,} more of batch {self.plan.name}"
            tell(f"{self.stage} failed for {others}, see {self.log}", logging.WARNING)

    def _new_records(self, source: Path, view: View) -> Iterator[dict]:
        """A record for each scene and time of each image of the plan."""
        members = [image for image in self.plan.images if not image.problem]
        jobs = [(source, _parts(image), view) for image in members]
        workers = max(1, min(self.threads, len(jobs)))
        together = _together(len(jobs), workers)
        found = in_processes(_scenes, jobs, workers, together=together)
        headers = dict(zip(members, found, strict=True))
        taken = set()
        for member, image in enumerate(self.plan.images):
            record = {
                "directory": self.plan.directory,
                "batch": self.plan.name,
                "image": image.name,
                "file": image.files[0].path,
                "member": member,
                "scene": 0,
                "frame": 0,
                "status": "ok",
                "stage": "",
                "message": "",
                "objects": 0,
                "seconds": {},
            }
            found = headers.get(image, image.problem)
            if isinstance(found, Crash):
                found = CRASHED.format(found.signal)
            if isinstance(found, str):
                record |= {"status": "failed", "stage": self.stage, "message": found}
                found = [("", 1)], []
            scenes, sizes = found
            for name, scene, frame, moment in expanded(image.name, scenes, view.scenes):
                while name in taken:
                    name += "_"
                taken.add(name)
                new = record | {"image": name, "scene": scene, "frame": frame, "seconds": {}}
                cut = {}
                if sizes:
                    new["pixels"] = size_after(sizes[scene], view.crop, view.resize)
                    cut = self._cut(new["pixels"])
                if len(os.fsencode(name)) > LONGEST - PLACE * bool(cut) and new["status"] == "ok":
                    message = TOO_LONG.format(len(os.fsencode(name)), LONGEST - PLACE * bool(cut))
                    new |= {"status": "failed", "stage": self.stage, "message": message}
                yield new | cut | ({"time": moment} if moment else {})

    def _cut(self, size: tuple[int, int]) -> dict:
        """The tiles of an image of this size, for its record."""
        chosen = self.settings.get("tiles")
        found = tiles.cut(size, chosen["size"], chosen["overlap"]) if chosen else []
        return {"tiles": found} if found else {}


def progress(finished: int, failed: int, total: int, seconds: float) -> str:
    """The line of a log after so many of all images, empty between tenths of them.

    What is left takes as long for each image as those that are finished, among them the failed.
    """
    if 10 * finished // total == 10 * (finished - 1) // total:
        return ""
    left = seconds / finished * (total - finished)
    return f"{finished - failed} done, {failed} failed of {total}, {left:.0f} s left"


def expanded(
    image: str, scenes: Sequence[tuple[str, int]], wanted: Sequence[str] = ()
) -> Iterator[tuple[str, int, int, str]]:
    """The images in a file: name, index of the scene, index of the time, and the time as text.

    `NAME`, with `_SCENE` where there are several scenes and `_tTIME` where there are several times.
    The time is empty where there is one. Other scenes than those `wanted` are left out.
    """
    taken = [index for index, (name, _) in enumerate(scenes) if is_wanted(name, wanted)]
    labels = [plain(name) for name, _ in scenes]
    for scene in taken:
        label, times = labels[scene], scenes[scene][1]
        label = label if label and labels.count(label) == 1 else f"s{scene}"
        name = f"{image}_{label}" if len(scenes) > 1 else image
        for frame in range(times):
            if times == 1:
                yield name, scene, frame, ""
            else:
                yield f"{name}_t{frame:0{len(str(times - 1))}}", scene, frame, str(frame)


@contextmanager
def open_batch(snakemake, whole: bool = False) -> Iterator[Batch]:
    """The batch of a job, whose outputs appear when the block ends without an error.

    Large images come in tiles, unless the stage is one of whole images.

    An error goes to the job's log with its traceback and to the terminal in one sentence, as
    failed images do.
    """
    with logged(snakemake), ExitStack() as stack:
        folders = {}
        for name, path in snakemake.output.items():
            folders[name] = stack.enter_context(replaced(Path(path)))
            folders[name].mkdir()
        batch = Batch(snakemake, folders, whole)
        yield batch
        batch.report_others()
        (batch.folder / RECORDS).write_text(json.dumps(batch.records()))


def _together(count: int, workers: int, pixels: int = 1) -> int:
    """How many of so many images, of so many pixels on average, go to a worker at a time.

    More where they are small, but few enough that all workers have something to do to the end.
    """
    return max(1, min(TOGETHER, MEGAPIXEL // max(pixels, 1), count // (4 * workers)))


def _parts(image: plan.Image) -> list[File]:
    return [File(file.path, file.channel, file.z) for file in image.files]


def _scenes(job: tuple) -> tuple[Sequence[tuple[str, int]], Sequence[tuple[int, int]]] | str:
    """The scenes in the files of an image with their times, and their sizes, or what is wrong."""
    source, files, view = job
    try:
        found = header(source, files, view)
        scenes = found.scenes
        if not any(is_wanted(name, view.scenes) for name, _ in scenes):
            raise ImageError(
                f"none of its scenes ({', '.join(name for name, _ in scenes)}) is one of scenes in "
                "the config"
            )
        return scenes, found.sizes
    except Exception as error:
        return _sentence(error, source / files[0].path)


def _process(job: tuple) -> Item:
    """One image: compute, note success or failure, write. Runs in a worker."""
    compute, item, stage, settings = job
    start = time.perf_counter()
    try:
        products = compute(item, settings)
    except Exception as error:
        message = _sentence(error, item.source)
        item.record.update(status="failed", stage=stage, message=message)
        products = {}
    for name in item.outputs.keys() & products.keys():
        _write(item.outputs[name], item.record["image"], products[name])
    item.record.update(item.facts)
    item.record["seconds"][stage] = round(time.perf_counter() - start, 4)
    return item


def _from_tiles(places: list[dict], paths: list[Path], rows: slice, columns: slice) -> np.ndarray:
    """Some rows and columns of an image, from the files of its tiles."""
    result = None
    for tile, path in zip(places, paths, strict=True):
        core, (top, left, *_) = tile["core"], tile["window"]
        up, down = max(rows.start, core[0]), min(rows.stop, core[2])
        begin, end = max(columns.start, core[1]), min(columns.stop, core[3])
        if up < down and begin < end:
            box = [up, begin, down, end]
            found = decode_tiff(path, *tiles.part_of(box, (top, left)))
            if result is None:
                shape = rows.stop - rows.start, columns.stop - columns.start
                result = np.zeros(shape, found.dtype)
            result[tiles.part_of(box, (rows.start, columns.start))] = found
    return result


def _sentence(error: Exception, source: Path) -> str:
    """What is wrong with an image; raises again what is not the image's fault."""
    if isinstance(error, (MemoryError, OSError)):
        raise error
    logging.info("%s", printable(str(source)), exc_info=error)
    message = str(error)
    if not isinstance(error, ImageError):
        message = f"unexpected {type(error).__name__}, please report it: {message.strip()}"
    return " ".join(message.split())


def _write(folder: Path, image: str, product: np.ndarray | tuple[str, bytes]) -> None:
    if isinstance(product, tuple):
        ending, data = product
        write(folder / f"{image}.{ending}", [data])
    else:
        encode_tiff(folder / f"{image}.tif", product)


def _prepare(count: int) -> None:
    """A worker: so many threads, and memory that it keeps."""
    reuse_memory()
    cv2.setNumThreads(count)
    threadpool_limits(count)
