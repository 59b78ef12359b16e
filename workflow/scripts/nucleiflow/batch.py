"""The walk over a batch: each image read, computed and written on its own.

A stage's file gives the function that turns one image into its products. What is written
becomes visible at once when the whole batch is done. An image that fails leaves a sentence in
the batch's records and costs no other image anything; what is not the image's fault (a full
disk, too little memory, a missing batch) fails the job, so that Snakemake tries it again.
"""

import json
import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from nucleiflow import dataset
from nucleiflow.files import replaced
from nucleiflow.images import ImageError, decode_tiff, encode_tiff, read
from nucleiflow.job import logged

RECORDS = "batch.json"


@dataclass
class Item:
    """One image of a batch on its way through a stage.

    Attributes
    ----------
    record : dict
        What is known of the image from this and earlier stages: a row of `images.csv`.
    facts : dict
        What the stage adds to the record.
    result : object
        What the stage's function hands back to the job.
    """

    record: dict
    source: Path
    inputs: dict[str, Path]
    facts: dict = field(default_factory=dict)
    result: Any = None

    def read_source(self) -> np.ndarray:
        """The image file, as `nucleiflow.images.read` gives it."""
        return read(self.source)

    def read(self, product: str) -> np.ndarray:
        """A product of an earlier stage."""
        return decode_tiff(self.inputs[product] / f"{self.record['image']}.tif")


class Batch:
    """A stage's job: `with open_batch(snakemake) as batch: batch.map(compute)`.

    The job's parts have fixed names. `params.plan` is the file of the batch, `params.settings`
    the stage's part of the config; `input` and `output` are directories by the name of what
    they hold, the first input being that of the stage before.
    """

    def __init__(self, snakemake, folders: dict[str, Path]):
        self.stage = snakemake.rule
        self.settings = snakemake.params.settings
        self.threads = snakemake.threads
        self.folders = folders
        self.plan, root = dataset.load(Path(snakemake.params.plan))
        inputs = {name: Path(path) for name, path in snakemake.input.items()}
        before = next(iter(inputs.values()), None)
        records = json.loads((before / RECORDS).read_text()) if before else self._new_records()
        directory = Path(root, self.plan.directory)
        self.items = [Item(record, directory / record["file"], inputs) for record in records]

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
        pending = [index for index, item in enumerate(self.items) if item.record["status"] == "ok"]
        workers = max(1, min(self.threads, len(pending)))
        share = max(1, self.threads // workers)
        start = time.perf_counter()
        logging.info("%s: %d images, %d workers", self.plan.name, len(pending), workers)
        jobs = [(compute, self.items[i], self.stage, self.settings, self.folders) for i in pending]
        if workers == 1:
            _limit_threads(share)
            self._collect(pending, map(_process, jobs))
        else:
            # Forked, so that imports are paid once; nothing has started a thread before.
            with ProcessPoolExecutor(
                workers, multiprocessing.get_context("fork"), _limit_threads, (share,)
            ) as pool:
                self._collect(pending, pool.map(_process, jobs))
        failed = sum(self.items[index].record["status"] == "failed" for index in pending)
        seconds = time.perf_counter() - start
        logging.info("%d done, %d failed in %.1f s", len(pending) - failed, failed, seconds)

    def _collect(self, pending: list[int], done: Iterable[Item]) -> None:
        for index, item in zip(pending, done, strict=True):
            self.items[index] = item
            record = item.record
            if record["status"] == "failed":
                sentence = f"{self.stage} failed for {item.source}: {record['message']}"
                logging.warning("%s", sentence)
                print(f"nucleiflow: {sentence}", file=sys.stderr)

    def _new_records(self) -> list[dict]:
        return [
            {
                "directory": self.plan.directory,
                "batch": self.plan.name,
                "image": dataset.stem(name),
                "file": name,
                "status": "ok",
                "stage": "",
                "message": "",
                "objects": 0,
                "seconds": {},
            }
            for name, _, _ in self.plan.files
        ]


@contextmanager
def open_batch(snakemake) -> Iterator[Batch]:
    """The batch of a job, whose outputs appear when the block ends without an error.

    An error goes to the job's log with its traceback and to the terminal in one sentence.
    """
    with logged(snakemake), ExitStack() as stack:
        folders = {}
        for name, path in snakemake.output.items():
            folders[name] = stack.enter_context(replaced(Path(path)))
            folders[name].mkdir()
        batch = Batch(snakemake, folders)
        yield batch
        records = [item.record for item in batch.items]
        (batch.folder / RECORDS).write_text(json.dumps(records))


def _process(job: tuple) -> Item:
    """One image: compute, note success or failure, write. Runs in a worker."""
    compute, item, stage, settings, folders = job
    start = time.perf_counter()
    try:
        products = compute(item, settings)
    except (MemoryError, OSError):
        raise
    except Exception as error:
        logging.info("%s", item.source, exc_info=True)
        message = str(error)
        if not isinstance(error, ImageError):
            message = f"unexpected {type(error).__name__}, please report it: {message.strip()}"
        item.record.update(status="failed", stage=stage, message=" ".join(message.split()))
        products = {}
    for name in folders.keys() & products.keys():
        _write(folders[name], item.record["image"], products[name])
    item.record.update(item.facts)
    item.record["seconds"][stage] = round(time.perf_counter() - start, 4)
    return item


def _write(folder: Path, image: str, product: np.ndarray | tuple[str, bytes]) -> None:
    if isinstance(product, tuple):
        ending, data = product
        (folder / f"{image}.{ending}").write_bytes(data)
    else:
        encode_tiff(folder / f"{image}.tif", product)


def _limit_threads(count: int) -> None:
    cv2.setNumThreads(count)
    threadpool_limits(count)
