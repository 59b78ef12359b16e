"""The tables and plots of `snakemake evaluate`, from what every batch found."""

import json
import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evaluate import OBJECTS, Matches, Score, badness, pooled
from nucleiflow.batch import RECORDS
from nucleiflow.files import replaced
from nucleiflow.job import logged
from nucleiflow.plots import BLUE, GREEN, ORANGE, PURPLE, VERMILION, styled, svg
from nucleiflow.safe_tables import safe_table
from nucleiflow.spreadsheet import write_rows

PLACE = ("directory", "batch", "image", "status", "stage", "message")
FACTS = ("mask", "mask_kind", "truth", "found", "count_error", "mean_f1")
COUNTS = ("splits", "merges", "missed", "false", "boundary_offset")
MEASURES = ("f1", "precision", "recall", "ap")
NAMES = {"f1": "F1", "precision": "precision", "recall": "recall", "ap": "AP"}
COLORS = {"f1": BLUE, "precision": ORANGE, "recall": GREEN, "ap": PURPLE}


def image_row(record: dict) -> dict:
    """A row of images.csv, from the record of an image; without numbers where it has no score."""
    row = {name: record[name] for name in PLACE}
    if "score" not in record:
        return row | ({"status": "no mask"} if row["status"] == "ok" else {})
    result = score_of(record)
    row |= {"mask": record["mask"], "mask_kind": record["mask_kind"]}
    row |= {name: getattr(result, name) for name in ("truth", "found", *COUNTS)}
    row |= {"count_error": result.found - result.truth, "mean_f1": result.mean_f1}
    if math.isnan(result.boundary_offset):
        row["boundary_offset"] = ""
    for threshold in result.thresholds:
        for name in MEASURES:
            row[f"{name}_{shown(threshold)}"] = getattr(result.at(threshold), name)
    return row


def score_of(record: dict) -> Score:
    """The score in the record of an image."""
    told = record["score"]
    return Score(**told | {"tp": np.array(told["tp"]), "thresholds": tuple(told["thresholds"])})


def shown(threshold: float) -> str:
    """A threshold with two digits, or with as many as it has."""
    return f"{threshold:.2f}" if round(threshold, 2) == threshold else f"{threshold:g}"


def overall(scores: Sequence[Score], thresholds: Sequence[float]) -> list[dict]:
    """Rows of overall.csv, one for each threshold.

    `f1_pooled` and the like are of the objects of all images together, `f1_mean_of_images` are
    means over the images, each of which counts the same; see `evaluate.pooled`.
    """
    rows = []
    for threshold in thresholds:
        each = [score.at(threshold) for score in scores]
        total = pooled(scores).at(threshold) if scores else Matches(0, 0, 0)
        row = {"iou_above": threshold, "images": len(scores)}
        row |= {"truth": total.tp + total.fn, "found": total.tp + total.fp, **total._asdict()}
        for name in MEASURES:
            row[f"{name}_pooled"] = getattr(total, name) if scores else ""
        for name in MEASURES:
            means = [getattr(one, name) for one in each]
            row[f"{name}_mean_of_images"] = float(np.mean(means)) if scores else ""
        rows.append(row)
    return rows


@styled
def score_plot(rows: list[dict]) -> Figure:
    """F1, precision, recall and AP by intersection over union, pooled and averaged."""
    figure = Figure(figsize=(6.4, 4.0))
    axes = figure.subplots()
    thresholds = [row["iou_above"] for row in rows]
    for name, color in COLORS.items():
        for kind, style in (("pooled", "-"), ("mean_of_images", ":")):
            values = [row[f"{name}_{kind}"] for row in rows]
            if values and values[0] != "":
                label = NAMES[name] if kind == "pooled" else None
                axes.plot(thresholds, values, style, color=color, label=label, marker=".")
    axes.plot([], [], "k-", label="all nuclei together")
    axes.plot([], [], "k:", label="mean over images")
    axes.set(xlabel="intersection over union above", ylabel="score", ylim=(0, 1.02))
    axes.grid()
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@styled
def count_plot(scores: Sequence[Score]) -> Figure:
    """Numbers of found nuclei against true ones, a point an image."""
    figure = Figure(figsize=(4.6, 4.2))
    axes = figure.subplots()
    truth, found = ([getattr(score, name) for score in scores] for name in ("truth", "found"))
    top = max([1, *truth, *found]) * 1.05
    axes.plot([0, top], [0, top], color="0.6", linewidth=1, label="equal numbers")
    # Rasterized: a point of an SVG costs 100 bytes.
    axes.scatter(truth, found, 16, BLUE, alpha=0.5, edgecolor="none", rasterized=True)
    axes.set(xlabel="true nuclei in an image", ylabel="found nuclei", xlim=(0, top), ylim=(0, top))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


@styled
def offset_plot(offsets: np.ndarray) -> Figure:
    """A histogram of boundary offsets; its axis ends at their 1st and 99th percentile."""
    figure = Figure(figsize=(6.4, 3.2))
    axes = figure.subplots()
    side = float(np.percentile(np.abs(offsets), 99)) if offsets.size else 1.0
    side = max(side, 1.0)
    axes.hist(offsets, bins=41, range=(-side, side), color=BLUE, edgecolor="white")
    axes.axvline(0, color="0.3", linewidth=1)
    if offsets.size:
        mean = offsets.mean()
        axes.axvline(mean, color=VERMILION, linestyle="--", label=f"mean {mean:+.2f}")
        axes.legend()
    label = "boundary offset of a matched nucleus (pixels): too small < 0 < too large"
    axes.set(xlabel=label, ylabel="nuclei", xlim=(-side, side))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def write_table(rows: list[dict], columns: list[str], path: Path) -> None:
    """Write a CSV table; what a row does not have stays empty."""
    with replaced(path) as part:
        write_rows(part, columns, rows)


def write_objects(parts: list[Path], path: Path) -> np.ndarray:
    """Join the objects of the batches, one batch at a time; returns the boundary offsets."""
    offsets = []
    with replaced(path) as part, pa.csv.CSVWriter(part, OBJECTS) as file:
        for batch in parts:
            table = pq.read_table(batch).cast(OBJECTS)
            file.write_table(safe_table(table))
            truth = table.filter(pa.compute.equal(table["of"], "truth"))
            offsets.append(truth["boundary_offset"].drop_null().to_numpy())
    return np.concatenate(offsets) if offsets else np.zeros(0)


def write_worst(records: list[tuple[Path, dict]], count: int, path: Path) -> None:
    """Copy the pictures of the worst images, numbered from the worst."""
    records = sorted(records, key=lambda pair: badness(pair[1]["score"]))
    with replaced(path) as part:
        part.mkdir()
        for number, (folder, record) in enumerate(records[:count], 1):
            place = re.sub(r"[^\w.-]+", "-", f"{record['directory']}_{record['image']}")
            name = f"{number:02}_{place.removeprefix('._')[-80:]}.jpg"
            shutil.copyfile(folder / f"{record['image']}.jpg", part / name)


if "snakemake" in globals():
    with logged(snakemake):
        folders = [Path(folder) for folder in snakemake.input.batches]
        records = [
            (folder, record)
            for folder in folders
            for record in json.loads((folder / RECORDS).read_text())
        ]
        compared = [(folder, record) for folder, record in records if "score" in record]
        scores = [score_of(record) for _, record in compared]
        params, output = snakemake.params.settings, snakemake.output
        columns = [
            f"{name}_{shown(threshold)}" for name in MEASURES for threshold in params["thresholds"]
        ]
        rows = [image_row(record) for _, record in records]
        write_table(rows, [*PLACE, *FACTS, *COUNTS, *columns], Path(output.images))
        table = overall(scores, params["thresholds"])
        write_table(table, list(table[0]), Path(output.overall))
        parts = [folder / "objects.parquet" for folder in folders]
        offsets = write_objects(parts, Path(output.objects))
        for path, figure in (
            (output.scores, score_plot(table)),
            (output.counts, count_plot(scores)),
            (output.offsets, offset_plot(offsets)),
        ):
            with replaced(Path(path)) as part:
                part.write_text(svg(figure))
        write_worst(compared, params["worst"], Path(output.worst))
