"""The sweep: many settings on a sample of the images, ranked by masks or drawn side by side."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from evaluate import Score, score
from nucleiflow import mosaic, plan, sample
from nucleiflow.batch import RECORDS
from nucleiflow.display import for_display
from nucleiflow.field import View
from nucleiflow.files import printable, replaced
from nucleiflow.grid import shown
from nucleiflow.images import ImageError, decode_tiff, encode_picture
from nucleiflow.job import JobError, logged, tell
from nucleiflow.joining import counted, stem
from nucleiflow.masks import find_mask, read_mask
from nucleiflow.plots import BLUE, GREY, styled, svg
from nucleiflow.workers import in_processes

THRESHOLDS = tuple(round(0.5 + 0.05 * index, 2) for index in range(10))
SHOWN = (0.5, 0.7, 0.9)
# Settings on a sheet, beside the image itself.
COLUMNS = 6
TEXT = 220
HEAD = """\
# The best of {settings}, by the masks of {images}: F1 is {f1:.3f} as a mean over
# IoU from 0.5 to 0.95. Everything that labels depend on and that is not the default:
#     snakemake -c all --configfile {path} --config images=...
"""


class Case(NamedTuple):
    """An image of the sample with one setting.

    Attributes
    ----------
    record : dict
    channel, labels : Path
        Files. Neither is there where the image failed before.
    setting : dict
        As the rule gives it: `values`, `names`, `outlines`, `view`, `config`.
    """

    record: dict
    channel: Path
    labels: Path
    setting: dict


def ranking(settings: Sequence[dict], scores: Sequence[Sequence[Score | None]]) -> pd.DataFrame:
    """A row a setting, the best first.

    Parameters
    ----------
    settings : sequence of dict
        Values by the names of their keys, as far as they count in a setting.
    scores : sequence of sequence of Score or None
        Of each setting those of the images; None where an image has no labels with it, which
        counts as nothing found.

    Returns
    -------
    DataFrame
        `rank`, a column a parameter (empty where its value does not count), `f1_mean`, the mean
        over IoU from 0.5 to 0.95, `f1_0.50`, `f1_0.70` and `f1_0.90`, all averaged over images;
        `truth`, `found`, `splits`, `merges`, `missed`, `false`: numbers of objects in all images.
    """
    names = list(dict.fromkeys(name for values in settings for name in values))
    rows = []
    for values, of_setting in zip(settings, scores, strict=True):
        row: dict[str, Any] = {
            name: shown(values[name]) if name in values else "" for name in names
        }
        row["f1_mean"] = float(np.mean([one.mean_f1 for one in of_setting]))
        for threshold in SHOWN:
            f1 = [one.f1(threshold) for one in of_setting]
            row[f"f1_{threshold:.2f}"] = float(np.mean(f1))
        for name in ("truth", "found", "splits", "merges", "missed", "false"):
            row[name] = sum(getattr(one, name) for one in of_setting)
        rows.append(row)
    table = pd.DataFrame(rows)
    order = table["f1_mean"].sort_values(ascending=False, kind="stable").index
    table.insert(0, "rank", 0)
    table.loc[order, "rank"] = range(1, len(table) + 1)
    return table.loc[order]


@styled
def plot(settings: Sequence[dict], f1: Sequence[float]) -> Figure:
    """F1 over the parameters: a line or points for one, a heat map for two, a panel each for more.

    Parameters
    ----------
    settings : sequence of dict
        Values by the names of their keys. A key that is missing does not count there: the setting
        stands for all its values.
    f1 : sequence of float
        Mean F1 of each setting.
    """
    choices: dict[str, list] = {}
    for values in settings:
        for name, value in values.items():
            if value not in choices.setdefault(name, []):
                choices[name].append(value)
    cells = {}
    names = list(choices)
    for place in itertools.product(*(range(len(choices[name])) for name in names)):
        wanted = {name: choices[name][index] for name, index in zip(names, place, strict=True)}
        fitting = [
            value
            for values, value in zip(settings, f1, strict=True)
            if all(wanted[name] == values[name] for name in values)
        ]
        cells[place] = max(fitting, default=np.nan)
    grid = np.full([len(choices[name]) for name in names], np.nan)
    for place, value in cells.items():
        grid[place] = value
    if len(names) == 2:
        return _heat_map(names, list(choices.values()), grid)
    columns, rows = min(len(names), 3), -(-len(names) // 3)
    figure = Figure(figsize=(4.6 * columns, 3.4 * rows + 0.4))
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for index, name in enumerate(names):
        others = tuple(axis for axis in range(grid.ndim) if axis != index)
        best, mean = np.nanmax(grid, axis=others), np.nanmean(grid, axis=others)
        _panel(panels[index], name, choices[name], best, mean if others else None)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    figure.supylabel("F1, mean over IoU 0.5 to 0.95", fontsize="medium")
    if len(names) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _panel(panel, name: str, values: list, best: np.ndarray, mean: np.ndarray | None) -> None:
    """F1 over the values of a parameter: a line for numbers, points for others."""
    numbers = all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values
    )
    order = np.argsort(values) if numbers else np.arange(len(values))
    x = np.array(values, float)[order] if numbers else order
    style = "-" if numbers else ""
    panel.plot(x, best[order], f"o{style}", color=BLUE, label="best of all others")
    if mean is not None:
        panel.plot(x, mean[order], f"s{style}", color=GREY, label="mean of all others")
    if not numbers:
        turned = {"rotation": 30, "ha": "right"} if _long(values) else {}
        panel.set_xticks(x, [_short(value) for value in values], **turned)
    elif len(x) <= 6:
        panel.set_xticks(x, [f"{value:g}" for value in x])
    panel.set_xlabel(name)
    panel.margins(x=0.1, y=0.15)
    panel.grid(axis="y")


def _heat_map(names: list[str], values: list[list], grid: np.ndarray) -> Figure:
    rows, columns = grid.shape
    size = (2.8 + 0.8 * columns, 1.8 + 0.5 * rows)
    figure = Figure(figsize=size)
    axes = figure.subplots()
    picture = axes.imshow(grid, cmap="viridis", aspect="auto")
    middle = (np.nanmin(grid) + np.nanmax(grid)) / 2
    for (row, column), value in np.ndenumerate(grid):
        ink = "white" if value < middle else "black"
        axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=ink, fontsize=9)
    axes.set_yticks(range(rows), [_short(value) for value in values[0]])
    turned = {"rotation": 30, "ha": "right"} if columns > 1 and _long(values[1]) else {}
    axes.set_xticks(range(columns), [_short(value) for value in values[1]], **turned)
    axes.set(xlabel=names[1], ylabel=names[0])
    figure.colorbar(picture, label="F1, mean over IoU 0.5 to 0.95")
    return figure


def _long(values: list) -> bool:
    return any(len(_short(value)) > 6 for value in values)


def _short(value: Any) -> str:
    text = shown(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def scored(job: tuple[sample.Entry, list[Case], Path]) -> list[Score] | str | None:
    """The scores of an image with each setting; a sentence where it cannot be judged.

    None where it has no mask.
    """
    entry, cases, folder = job
    others = [stem(file.path) for file in entry.files]
    if len(others) == 1 and entry.image.startswith(f"{others[0]}_"):
        # One of several positions or times in a file.
        others = []
    try:
        path = find_mask(folder, entry.directory, entry.image, others)
        if path is None:
            return None
        result, truths = [], {}
        for case in cases:
            labels = labels_of(case)
            if labels is None:
                return case.record["message"]
            view, full = case.setting["view"], (case.record["height"], case.record["width"])
            seen = labels.shape, repr(view["crop"])
            if seen not in truths:
                truths[seen] = read_mask(path, labels.shape, View(**view), full)
            result.append(score(truths[seen], labels, THRESHOLDS))
    except ImageError as error:
        return str(error)
    return result


def labels_of(case: Case) -> np.ndarray | None:
    """Nuclei of an image with a setting; without any where a stage failed; None if it is unread."""
    if case.record["status"] == "ok":
        labels = decode_tiff(case.labels)
        return np.maximum(labels - 1, 0) if case.setting["outlines"]["lines"] else labels
    if not case.channel.exists():
        return None
    return np.zeros(decode_tiff(case.channel).shape, np.int32)


def tiles(job: tuple[sample.Entry, list[Case], int]) -> np.ndarray:
    """A row of a sheet: an image, then its outlines with each setting and their number."""
    entry, cases, side = job
    first = next((case.channel for case in cases if case.channel.exists()), None)
    lines = [(entry.name, mosaic.INK)]
    blocks = []
    if first is not None:
        raw = decode_tiff(first)
        part = mosaic.window(raw, side)
        if not mosaic.is_whole(raw, part):
            size = (
                f"part of {raw.shape[1]} x {raw.shape[0]} px, from {part[1].start}, {part[0].start}"
            )
            lines.append((size, mosaic.DIM))
        picture = mosaic.resized(for_display(raw)[part], side, smooth=True)
        blocks.append(mosaic.in_tile(picture, side))
    else:
        blocks.append(mosaic.in_tile(np.zeros((0, 0, 3), np.uint8), side))
    for case in cases:
        blocks.append(_tile(case, side))
    return mosaic.beside([mosaic.text_block(lines, TEXT), *blocks])


def _tile(case: Case, side: int) -> np.ndarray:
    if case.record["status"] == "failed":
        text = [(f"failed: {case.record['message']}", mosaic.RED)]
        return mosaic.text_block(text, side)
    raw, labels = decode_tiff(case.channel), decode_tiff(case.labels)
    part = mosaic.window(raw, side)
    outlines = case.setting["outlines"]
    picture = mosaic.outlined(for_display(raw)[part], labels[part], side, **outlines)
    count = int(labels.max()) - (1 if outlines["lines"] and labels.any() else 0)
    text = counted(count, "nucleus", "nuclei")
    text += "" if mosaic.is_whole(raw, part) else " in the whole image"
    below = mosaic.text_block([(text, mosaic.INK)], side)
    return mosaic.below([mosaic.in_tile(picture, side), below])


def head(settings: Sequence[dict], numbers: Sequence[int], side: int) -> np.ndarray:
    """The head of a sheet: above each column the values of its setting."""
    blocks = [mosaic.text_block([("", mosaic.INK)], width) for width in (TEXT, side)]
    for number, values in zip(numbers, settings, strict=True):
        lines = [(f"setting {number}", mosaic.DIM)]
        lines += [(f"{name}: {shown(value)}", mosaic.INK) for name, value in values.items()]
        blocks.append(mosaic.text_block(lines, side))
    return mosaic.beside(blocks)


def cases_of(snakemake, plans: list) -> tuple[list[sample.Entry], list[list[Case]]]:
    """The images of the sample, and each with every setting."""
    names = [batch.name for batch in plans]
    folder = Path(snakemake.params.folder)
    settings = snakemake.params.settings
    records = {}
    for setting in settings:
        place = folder / "watershed" / setting["names"]["watershed"]
        records[place] = [json.loads((place / name / RECORDS).read_text()) for name in names]
    entries = sample.entries(plans, next(iter(records.values())), snakemake.params.sample["images"])
    result = []
    for entry in entries:
        cases = []
        for setting in settings:
            place = folder / "watershed" / setting["names"]["watershed"]
            record = records[place][entry.batch][entry.record]
            file = f"{names[entry.batch]}/{record['image']}.tif"
            channel = folder / "channel" / setting["names"]["preprocess"] / file
            cases.append(Case(record, channel, place / file, setting))
        result.append(cases)
    return entries, result


def write_ranking(snakemake, entries: list, cases: list[list[Case]], folder: Path) -> str:
    """Tables and plot in a folder; returns the sentence for the terminal."""
    masks = Path(snakemake.params.masks).expanduser().absolute()
    jobs = [(entry, of_entry, masks) for entry, of_entry in zip(entries, cases, strict=True)]
    done = list(in_processes(scored, jobs, snakemake.threads))
    judged = [scores for scores in done if isinstance(scores, list)]
    left_out = [
        f"{entry.name}: {scores or 'it has no mask'}"
        for entry, scores in zip(entries, done, strict=True)
        if not isinstance(scores, list)
    ]
    if not judged:
        raise JobError(f"sweep.masks: no image of the sample can be judged; {left_out[0]}")
    settings = snakemake.params.settings
    values = [setting["values"] for setting in settings]
    by_setting = list(zip(*judged, strict=True))
    table = ranking(values, by_setting)
    table.to_csv(folder / "ranking.csv", index=False, float_format="%.4f")
    f1 = [float(np.mean([one.mean_f1 for one in scores])) for scores in by_setting]
    (folder / "f1.svg").write_text(svg(plot(values, f1)))
    best = settings[table.index[0]]
    target = Path(snakemake.output[0]) / "best.yaml"
    counts = {"settings": counted(len(settings), "setting")}
    counts["images"] = counted(len(judged), "image")
    text = HEAD.format(f1=max(f1), path=target, **counts)
    text += yaml.safe_dump(best["config"], sort_keys=False)
    (folder / "best.yaml").write_text(text)
    chosen = ", ".join(f"{name} {shown(value)}" for name, value in best["values"].items())
    sentence = (
        f"the best of {counts['settings']} on {counts['images']} is {chosen}: mean F1 "
        f"{max(f1):.3f}, as {target}; all of them are in {target.with_name('ranking.csv')}"
    )
    if left_out:
        sentence += f"; {counted(len(left_out), 'image')} could not be judged, {left_out[0]}"
    return sentence


def write_sheets(snakemake, entries: list, cases: list[list[Case]], folder: Path) -> str:
    """Sheets of outlines in a folder; returns the sentence for the terminal."""
    settings, side = snakemake.params.settings, snakemake.params.sample["tile"]
    sheets = -(-len(settings) // COLUMNS)
    # As many on each as on the others.
    columns = -(-len(settings) // sheets)
    for number in range(sheets):
        part = slice(number * columns, (number + 1) * columns)
        jobs = [
            (entry, of_entry[part], side) for entry, of_entry in zip(entries, cases, strict=True)
        ]
        values = [setting["values"] for setting in settings[part]]
        top = head(values, range(part.start + 1, part.start + 1 + len(values)), side)
        picture = mosaic.below([top, *in_processes(tiles, jobs, snakemake.threads)])
        digits = len(str(sheets))
        name = f"sheet-{number + 1:0{digits}}.jpg" if sheets > 1 else "sheet.jpg"
        (folder / name).write_bytes(encode_picture(picture, "jpg"))
    tried = f"{counted(len(settings), 'setting')} on {counted(len(entries), 'image')}"
    place = snakemake.output[0]
    return f"{tried}: look at the outlines in {place}, then set the values that you like best"


if "snakemake" in globals():
    with logged(snakemake):
        cv2.setNumThreads(1)
        plans = [plan.load(Path(path)).batch for path in snakemake.params.plans]
        entries, cases = cases_of(snakemake, plans)
        write = write_ranking if snakemake.params.masks else write_sheets
        with replaced(Path(snakemake.output[0])) as part:
            part.mkdir()
            sentence = write(snakemake, entries, cases, part)
        tell(printable(sentence))
