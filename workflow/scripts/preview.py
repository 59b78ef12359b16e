"""The preview: a sample of the images on their way through the stages, in one picture."""

import json
from pathlib import Path

import numpy as np

from nucleiflow import mosaic, plan, sample
from nucleiflow.batch import RECORDS
from nucleiflow.display import for_display
from nucleiflow.files import printable, replaced
from nucleiflow.images import decode_tiff, encode_picture
from nucleiflow.job import logged, tell
from nucleiflow.joining import counted
from nucleiflow.workers import in_processes

TEXT = 250
# Products, as columns of the picture and as directories.
COLUMNS = {"raw": "channel", "mask": "mask", "seeds": "markers", "labels": "labels"}


def row(
    products: dict[str, np.ndarray], side: int, color: str | list[int], lines: bool
) -> list[np.ndarray]:
    """Tiles of an image at each stage: whole, raw, mask, seeds, labels, outlines.

    Parameters
    ----------
    products : dict of (Y, X) arrays
        `channel`, `mask`, `markers` and `labels`, as far as the image came.
    side : int
        Of a tile in pixels. Of a large image all tiles but the first show a part.
    color, lines
        See `nucleiflow.mosaic.drawn`.

    Returns
    -------
    tiles : list of (side, side, 3) arrays of uint8, RGB
        White where the image did not come so far.
    """
    empty = np.zeros((0, 0, 3), np.uint8)
    tiles = [empty] * 6
    if "channel" in products:
        whole = for_display(products["channel"])
        part = mosaic.window(products["channel"], side)
        shown = {name: product[part] for name, product in products.items()}
        raw = whole[part]
        tiles[0] = mosaic.overview(whole, part, side)
        tiles[1] = mosaic.resized(raw, side, smooth=True)
        if "mask" in products:
            tiles[2] = mosaic.resized(for_display(shown["mask"], stretch=False), side, smooth=False)
        if "markers" in products:
            seeds = mosaic.resized(shown["markers"], side, smooth=False)
            tiles[3] = mosaic.seeded(tiles[1], seeds)
        if "labels" in products:
            # The background is object 1 there.
            objects = np.maximum(shown["labels"] - 1, 0) if lines else shown["labels"]
            tiles[4] = mosaic.colored(mosaic.resized(objects, side, smooth=False))
            tiles[5] = mosaic.outlined(raw, shown["labels"], side, color, lines)
    return [mosaic.in_tile(tile, side) for tile in tiles]


def described(
    record: dict, name: str, whole: bool, lines: bool
) -> list[tuple[str, tuple[int, int, int]]]:
    """What stands beside an image, in lines with their colours."""
    text = [(name, mosaic.INK)]
    if record["status"] == "failed":
        stage = record["stage"].removeprefix("tune_")
        return [*text, (f"failed in {stage}: {record['message']}", mosaic.RED)]
    count = record["objects"] - (1 if lines and record["objects"] else 0)
    text.append((counted(count, "nucleus", "nuclei"), mosaic.INK))
    for fact, unit in (("diameter", " px"), ("threshold", "")):
        value = record.get(fact)
        shown = "-" if value is None else f"{value:.4g}{unit}"
        text.append((f"{fact} {shown}", mosaic.INK))
    size = f"{record['width']} x {record['height']} px"
    text.append((size if whole else f"{size}, the framed part pixel by pixel", mosaic.DIM))
    return text


def sheet(rows: list[tuple[list, list[np.ndarray]]], side: int, whole: bool) -> np.ndarray:
    """One picture: a row for each image, with text beside its tiles and a head above them.

    Parameters
    ----------
    rows : list of (lines of text, tiles)
    side : int
    whole : bool
        Whether every image is shown whole, so that its first tile can be left out.

    Returns
    -------
    picture : (Y, X, 3) array of uint8, RGB
    """
    heads = ["image", *COLUMNS, "outlines"][1 if whole else 0 :]
    head = [mosaic.text_block([("", mosaic.INK)], TEXT)]
    head += [mosaic.text_block([(name, mosaic.INK)], side) for name in heads]
    blocks = [mosaic.beside(head)]
    for text, tiles in rows:
        if text[-1][1] == mosaic.RED:
            # Nothing but a sentence, which takes little room.
            blocks.append(mosaic.text_block(text, blocks[0].shape[1]))
            continue
        left = mosaic.text_block(text, TEXT)
        blocks.append(mosaic.beside([left, *tiles[1 if whole else 0 :]]))
    return mosaic.below(blocks)


def tiles_of(job: tuple) -> tuple[list[np.ndarray], bool]:
    """The tiles of an image from its files, and whether it is shown whole."""
    record, folders, side, outlines = job
    products = {}
    if record["status"] == "ok":
        for name, folder in folders.items():
            products[name] = decode_tiff(folder / f"{record['image']}.tif")
    raw = products.get("channel")
    whole = raw is None or mosaic.is_whole(raw, mosaic.window(raw, side))
    return row(products, side, **outlines), whole


if "snakemake" in globals():
    with logged(snakemake):
        settings, outlines = snakemake.params.sample, snakemake.params.outlines
        batches = [plan.load(Path(path)).batch for path in snakemake.params.plans]
        folders = {name: list(map(Path, snakemake.input[name])) for name in COLUMNS.values()}
        records = [json.loads((folder / RECORDS).read_text()) for folder in folders["labels"]]
        entries = sample.entries(batches, records, settings["images"])
        jobs = []
        for entry in entries:
            there = {name: paths[entry.batch] for name, paths in folders.items()}
            record = records[entry.batch][entry.record]
            jobs.append((record, there, settings["tile"], outlines))
        done = list(in_processes(tiles_of, jobs, snakemake.threads))
        rows = [
            (described(job[0], entry.name, whole, outlines["lines"]), tiles)
            for job, entry, (tiles, whole) in zip(jobs, entries, done, strict=True)
        ]
        picture = sheet(rows, settings["tile"], all(whole for _, whole in done))
        with replaced(Path(snakemake.output[0])) as part:
            part.write_bytes(encode_picture(picture, "jpg"))
        failed = sum(job[0]["status"] == "failed" for job in jobs)
        sentence = f"{counted(len(jobs), 'image')}, {failed} failed: look at {snakemake.output[0]}"
        tell(printable(sentence))
