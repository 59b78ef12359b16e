"""Time of jobs: what is asked of Slurm, which ends what takes longer.

This module is imported wherever a config is read, so it imports nothing that is slow.
"""

import math
from typing import NamedTuple

from nucleiflow.plan import Batch


class Rate(NamedTuple):
    """Seconds of a worker for each megapixel, for each image, and for each megapixel it reads."""

    megapixel: float
    image: float
    read: float = 0.0


# To decode a megapixel of a compressed file, at 200 MB a second; not measured.
READ = 0.01
# Of each stage with the default methods, rounded up from what was seen: images of 2048 x 2048 told
# seconds a megapixel, those of the Data Science Bowl 2018 seconds an image. Those of labels, join,
# cells and evaluate are guesses on the safe side.
RATES = {
    "preprocess": Rate(0.012, 0.0015, READ),
    "threshold": Rate(0.08, 0.0025),
    "markers": Rate(0.08, 0.001),
    "watershed": Rate(0.045, 0.001),
    "labels": Rate(0.05, 0.002),
    "join": Rate(0.1, 0.002),
    "cells": Rate(0.3, 0.01, READ),
    "measure": Rate(0.035, 0.006, READ),
    "overlay": Rate(0.015, 0.001, READ),
    "evaluate": Rate(0.3, 0.02),
}
# Of methods that take longer, a megapixel more. Those of nlmeans are with a window of 21 pixels.
MORE = {
    "bilateral": 0.05,
    "nlmeans": 0.8,
    "nlmeans_multi": 0.8,
    "tophat": 0.06,
    "rolling_ball": 0.02,
}
WINDOW, COMPACT, RULES = 21, 0.3, 0.05
# Of CellProfiler's families of measurements, a megapixel for each channel, pair of channels or
# shape: with 280 nuclei in it that have all grey levels.
FAMILIES = {
    "texture": 1,
    "granularity": 1,
    "radial_distribution": 1,
    "radial_zernikes": 0.5,
    "zernike": 0.5,
    "colocalization": 4,
}
# A job may take so many times what was seen, and so many seconds to start. Slow cores were seen to
# take 1.4 times as long.
SPARE, START = 1.5, 20


def rate(stage: str, settings: dict, channels: int = 1) -> Rate:
    """What a stage takes with some settings.

    Parameters
    ----------
    stage : str
        Of `RATES`.
    settings : dict
        The stage's part of the config, as the rule passes it.
    channels : int
        That are measured.
    """
    known = RATES[stage]
    return known._replace(megapixel=known.megapixel + _more(settings, channels))


def minutes(
    rate: Rate, batch: Batch, workers: int, attempt: int, factor: float, resized: float = 1.0
) -> int:
    """Minutes that a job asks for, twice as many at each further attempt.

    Parameters
    ----------
    rate : Rate
    batch : Batch
    workers : int
        That share the images.
    attempt : int
        From 1.
    factor : float
        What the user takes of the time that slow cores need.
    resized : float
        How many pixels the config makes of one.
    """
    images = len(batch.images) * batch.extent.images
    each = rate.megapixel * resized + rate.read * batch.extent.layers
    seconds = (batch.megapixels * each + images * rate.image) / workers
    return whole((SPARE * seconds + START) / 60 * factor) * 2 ** (attempt - 1)


def whole(minutes: float) -> int:
    """Minutes as Slurm takes them, to the nearest: those of all stages of a batch add up."""
    return max(math.floor(minutes + 0.5), 1)


def _more(settings: dict, channels: int) -> float:
    """Seconds a megapixel beyond those of default methods."""
    seconds = 0.0
    for step in ("denoise", "background"):
        chosen = settings.get(step)
        if isinstance(chosen, dict):
            options = chosen.get("options", {})
            wide = (options.get("search_window", WINDOW) / WINDOW) ** 2
            seconds += MORE.get(chosen["method"], 0) * wide * options.get("frames", 1)
    seconds += COMPACT * (settings.get("options", {}).get("compactness", 0) > 0)
    for rule in ("split", "merge"):
        asked = settings.get(rule) or {}
        seconds += RULES * any(asked.get(key) is not None for key in ("solidity", "saddle"))
    families = settings.get("families") or {}
    times = dict.fromkeys(FAMILIES, channels) | {"zernike": 1}
    times["colocalization"] = channels * (channels - 1) / 2
    if "texture" in families:
        times["texture"] *= len(families["texture"]["scale"])
    of_families = sum(FAMILIES[name] * times[name] for name in families)
    return seconds + of_families * len(settings.get("objects", ["nuclei"]))
