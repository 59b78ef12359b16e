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
from matplotlib.figure import Figure
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
    """F1 of all nuclei together against the IoU: what is shipped, and every method in grey."""
    figure = Figure(figsize=(8.5, 6), layout="constrained")
    axes = figure.subplots()
    values = {}
    for name, scores in curves.items():
        total = pooled(scores)
        values[name] = [total.f1(threshold) for threshold in THRESHOLDS]
    styles = {
        DEFAULT: {"color": "#0072b2", "linewidth": 3.5, "zorder": 3},
        WORKSHOP: {"color": "#d55e00", "linewidth": 2, "zorder": 2},
    }
    plain = {"color": "0.65", "linewidth": 0.8, "zorder": 1}
    for name, curve in values.items():
        axes.plot(THRESHOLDS, curve, **styles.get(name, plain))
    order = sorted(values, key=lambda name: values[name][0])
    places = spread([values[name][0] for name in order], 0.031)
    for name, place in zip(order, places, strict=True):
        style = styles.get(name, plain | {"color": "0.35"})
        axes.plot([0.482, 0.5], [place, values[name][0]], color=style["color"], linewidth=0.6)
        weight = "bold" if name in styles else "normal"
        text = {"color": style["color"], "fontsize": 8, "fontweight": weight}
        axes.text(0.479, place, name, ha="right", va="center", **text)
    axes.set(xlim=(0.3, 0.96), xticks=np.arange(0.5, 1, 0.1), ylim=(0, max(1.0, places[-1] + 0.02)))
    axes.set(xlabel="intersection over union above", ylabel="F1 of all nuclei")
    axes.hlines(np.arange(0.2, 1.1, 0.2), 0.5, 0.96, color="0.9", linewidth=0.6, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def spread(places: list[float], gap: float) -> np.ndarray:
    """Sorted places moved apart as little as needed, so that texts do not overlap."""
    # Without the gaps the order must only not fall: pools of neighbours take their mean.
    pools: list[list[float]] = []
    for index, place in enumerate(places):
        pools.append([place - index * gap, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, size = pools.pop()
            before, count = pools.pop()
            pools.append([(mean * size + before * count) / (size + count), size + count])
    moved = np.repeat([mean for mean, _ in pools], [size for _, size in pools])
    moved = moved + np.arange(len(places)) * gap
    return moved + max(0.0, 0.015 - moved[0])


def main() -> None:
    """Print F1 of every config, on the half that the defaults were tuned on and on the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw F1 of the other half")
    parser.add_argument("--every", type=int, default=1, help="take each so manieth image (1)")
    arguments = parser.parse_args()
    data = Path(os.environ.get("NUCLEIFLOW_TEST_DATA", ROOT.parent / "shared" / "data"))
    folder = data / "dsb2018"
    print("Accuracy on dsb2018: F1, and CPU seconds a megapixel from preprocess to watershed")
    if not folder.is_dir():
        print(f"  skipped: there is no {folder}, set NUCLEIFLOW_TEST_DATA to the folder above it")
        return
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
