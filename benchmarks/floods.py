"""What floods, rules and filters of the watershed cost: CPU milliseconds a megapixel.

The image is a simulated field of 16 bits whose mask is that of the default config; the seeds are
those of `h_maxima`, which leave something to flood. Each method is compared to the libraries'
functions that it rests on: OpenCV's distance transform and Gaussian, as far as the method takes
them, and scikit-image's watershed of the method's landscape. Rules and filters are compared to
nothing. The best of several rounds counts, taken in turn.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from unittest import mock

import cv2
import numpy as np
from skimage.segmentation import watershed as flood
from stages import SCHEMA, markers, preprocess, stage_settings, threshold, watershed

from nucleiflow.merging import merged
from nucleiflow.splitting import split_by_shape
from simulate import simulate

RULES = {
    "split": {"split": {"solidity": 0.9}},
    "merge by solidity": {"merge": {"solidity": 0.95}},
    "merge by saddles": {"merge": {"saddle": 0.95}},
}


def library(name: str, method: Callable, image: np.ndarray, mask: np.ndarray) -> Callable:
    """The functions of libraries that a method calls, on the very landscape that it floods."""
    with mock.patch.object(watershed.segmentation, "watershed", side_effect=flood) as spy:
        method()
    values = image.astype(np.float32)

    def calls() -> None:
        if name != "intensity":
            cv2.distanceTransform(mask, cv2.DIST_L2, 5)
        if name != "distance":
            cv2.GaussianBlur(values, (0, 0), 1)
        flood(*spy.call_args.args, **spy.call_args.kwargs)

    return calls


def best_of(functions: list[Callable], rounds: int) -> list[float]:
    """CPU seconds that each function takes in its best round."""
    best = [np.inf] * len(functions)
    for _ in range(rounds):
        for index, function in enumerate(functions):
            start = time.process_time()
            function()
            best[index] = min(best[index], time.process_time() - start)
    return best


def main() -> None:
    """Print what every method and rule costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns (2048)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    raw = simulate(1, (arguments.size, arguments.size))[0]
    options = stage_settings({"markers": {"method": "h_maxima"}})
    steps = {key: options["preprocess"][key] for key in ("denoise", "background", "log")}
    image = preprocess.preprocess(raw, **steps)
    mask = threshold.threshold(image, **options["threshold"])
    seeds = markers.find_markers(mask, **options["markers"])["markers"]
    megapixels = raw.size / 1e6
    print(
        f"Watershed on {raw.shape[1]} x {raw.shape[0]} pixels of 16 bits, {seeds.max() - 1} seeds"
    )
    section = SCHEMA["properties"]["watershed"]["properties"]
    for method in section["method"]["enum"]:
        if method == "opencv":
            continue
        for compactness in (0.0, 0.5):
            config = {"watershed": {"method": method, method: {"compactness": compactness}}}
            ours = partial(
                watershed.METHODS[method],
                *(image, mask, seeds),
                **stage_settings(config)["watershed"]["options"],
            )
            mine, theirs = best_of([ours, library(method, ours, image, mask)], arguments.rounds)
            name = f"{method}, compact" if compactness else method
            print(
                f"  {name:28}{mine * 1e3 / megapixels:8.1f} ms a megapixel"
                f"{mine / theirs:8.2f} x the library's",
                flush=True,
            )
    basins = watershed.distance(None, mask, seeds, 0.0)
    for name, config in RULES.items():
        chosen = stage_settings({"watershed": config})["watershed"]
        if "split" in config:
            rule = partial(split_by_shape, basins, **chosen["split"])
        else:
            rule = partial(merged, basins, mask, image, **chosen["merge"])
        (seconds,) = best_of([rule], arguments.rounds)
        print(f"  {name:28}{seconds * 1e3 / megapixels:8.1f} ms a megapixel", flush=True)
    labels = watershed.relabelled(basins, np.arange(basins.max() + 1) > 1)
    for name in ("area", "eccentricity", "intensity_mean", "solidity"):
        limit = [{"property": name, "min": 0, "max": None}]
        (seconds,) = best_of([partial(watershed.filtered, labels, raw, limit)], 2)
        print(f"  filter {name:21}{seconds * 1e3 / megapixels:8.1f} ms a megapixel", flush=True)


if __name__ == "__main__":
    main()
