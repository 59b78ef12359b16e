"""Accuracy on dsb2018: the default config, the OpenCV workshop's, and every method by itself.

The images are those of the Data Science Bowl 2018 (stage 1, fluorescence), in `dsb2018/images`
and `dsb2018/masks` below NUCLEIFLOW_TEST_DATA, or else below `../shared/data` beside the checkout.
A method is everything at its default but for the one word that is printed. CPU seconds are those
of the stages from preprocess to watershed, without reading files.
"""

import argparse
import os
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import yaml
from matplotlib import rc_context
from matplotlib.figure import Figure
from measured import skip
from stages import ROOT, SCHEMA, read, segment, stage_settings

from evaluate import Score, pooled, score
from nucleiflow.images import ImageError

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
SHOWN = (0.5, 0.7, 0.9)
DEFAULT, WORKSHOP = "default", "workshop"
STAGES = ("threshold", "markers", "watershed")


class Result(NamedTuple):
    """What became of some images: a score each, CPU seconds and megapixels of all together."""

    scores: list[Score]
    seconds: float
    megapixels: float
    failed: int


def configs() -> dict[str, dict]:
    """What is compared, by name."""
    workshop = yaml.safe_load((ROOT / "config/presets/workshop.yaml").read_text())
    # The images are grey, and the background is no nucleus.
    workshop["segment"] = "auto"
    workshop["watershed"]["background"] = False
    with_border = workshop | {"threshold": workshop["threshold"] | {"clear_border": False}}
    result = {DEFAULT: {}, WORKSHOP: workshop, "workshop, with border": with_border}
    for stage in STAGES:
        method = SCHEMA["properties"][stage]["properties"]["method"]
        for name in method["enum"]:
            # Seeds that a user made are no method to compare.
            if name not in (method["default"], "image"):
                result[f"{stage}: {name}"] = {stage: {"method": name}}
    return result


def evaluate(folder: Path, names: list[str], config: dict) -> Result:
    """Segment images and compare them with their masks; one that fails has no object."""
    options = stage_settings(config)
    scores, seconds, pixels, failed = [], 0.0, 0, 0
    for name in names:
        truth, raw = read(folder / "masks" / name), read(folder / "images" / name)
        start = time.process_time()
        try:
            labels = segment(raw, options)
        except ImageError:
            labels, failed = np.zeros(truth.shape, np.int32), failed + 1
        seconds += time.process_time() - start
        pixels += raw.size
        scores.append(score(truth, labels, THRESHOLDS))
    return Result(scores, seconds, pixels / 1e6, failed)


def columns(result: Result) -> list[float]:
    """F1 at some thresholds and its mean, over the images and of all nuclei together."""
    total = pooled(result.scores)
    images = [np.mean([one.f1(threshold) for one in result.scores]) for threshold in SHOWN]
    images.append(np.mean([one.mean_f1 for one in result.scores]))
    return [*images, *(total.f1(threshold) for threshold in SHOWN), total.mean_f1]


def plot(curves: dict[str, list[Score]], path: Path) -> None:
    """F1 at some limits, a row a config, the best mean at the top: what is shipped in colour."""
    rows = {name: columns(Result(scores, 0.0, 0.0, 0))[:4] for name, scores in curves.items()}
    order = sorted(rows, key=lambda name: rows[name][3])
    figure = Figure(figsize=(7, 0.22 * len(order) + 1.2), layout="constrained")
    axes = figure.subplots()
    colours = {DEFAULT: "#0072b2", WORKSHOP: "#d55e00"}
    markers = ("o", "s", "D")
    for place, name in enumerate(order):
        values, colour = rows[name][:3], colours.get(name, "0.45")
        axes.plot([min(values), max(values)], [place, place], color=colour, linewidth=0.8)
        for value, marker in zip(values, markers, strict=True):
            axes.plot(value, place, marker, color=colour, markersize=5)
    axes.set(yticks=range(len(order)), yticklabels=order, ylim=(-0.7, len(order) - 0.3))
    for text in axes.get_yticklabels():
        text.set(fontsize=8, color=colours.get(text.get_text(), "0.25"))
        text.set_fontweight("bold" if text.get_text() in colours else "normal")
    images = len(next(iter(curves.values())))
    axes.set(xlim=(0, 1), xlabel=f"F1, mean over {images} images that no default was chosen on")
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    for limit, marker in zip(SHOWN, markers, strict=True):
        axes.plot([], [], marker, color="0.45", markersize=5, label=f"IoU above {limit}")
    figure.legend(loc="outside upper center", ncols=len(SHOWN), frameon=False, fontsize=8)
    # The same figures make the same file.
    with rc_context({"svg.hashsalt": "accuracy"}):
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    """Print F1 of every config, on the half that the defaults were tuned on and on the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw F1 of the other half")
    parser.add_argument("--every", type=int, default=1, help="take each so manieth image (1)")
    arguments = parser.parse_args()
    data = Path(os.environ.get("NUCLEIFLOW_TEST_DATA", ROOT.parent / "shared" / "data"))
    folder = data / "dsb2018"
    if not folder.is_dir():
        skip(f"there is no {folder}, set NUCLEIFLOW_TEST_DATA to the folder above it")
    print("Accuracy on dsb2018: F1, and CPU seconds a megapixel from preprocess to watershed")
    cv2.setNumThreads(1)
    names = sorted(path.name for path in (folder / "images").iterdir())
    curves = {}
    for half, part in (("half used for tuning", names[::2]), ("other half", names[1::2])):
        part = part[:: arguments.every]
        print(f"  {half}, {len(part)} images")
        print(f"  {'':32}{'mean over images':30}{'all nuclei together':30}")
        heads = "".join(f"{f'>{threshold}':>7}" for threshold in SHOWN) + f"{'mean':>7}"
        print(f"  {'IoU':28}{heads}  {heads}    CPU s")
        for name, config in configs().items():
            result = evaluate(folder, part, config)
            values = [f"{value:7.3f}" for value in columns(result)]
            text = f"{''.join(values[:4])}  {''.join(values[4:])}"
            text += f"{result.seconds / result.megapixels:9.3f}"
            text += f"   {result.failed} failed" if result.failed else ""
            print(f"  {name:28}{text}", flush=True)
            curves[name] = result.scores
    if arguments.plot:
        plot(curves, arguments.plot)


if __name__ == "__main__":
    main()
