"""What measuring costs: CPU milliseconds an image, beside scikit-image's `regionprops_table`.

The image is a simulated field of 16 bits with its true nuclei. First come the default properties,
as far as scikit-image knows them, then all that both know, then each of these alone. What it does
not know is compared to nothing. Numbers of quality follow, and what a plain blur of the image takes
beside them. CellProfiler's families come last, with default options, white at 4095, and the
image turned over as a second channel. The best of several rounds counts, taken in turn.
"""

import argparse
from functools import partial
from unittest.mock import patch

import cv2
import numpy as np
from floods import best_of
from skimage.measure import regionprops_table
from skimage.measure._regionprops import COL_DTYPES
from stages import SCHEMA

from nucleiflow import properties, settings
from nucleiflow.cellprofiler import columns_of
from nucleiflow.families import FAMILIES, chosen
from nucleiflow.properties import NAMES, of_intensity, of_objects
from nucleiflow.quality import of_channel, of_nuclei
from simulate import simulate


def library(labels: np.ndarray, channels: list[np.ndarray], names: list[str]) -> None:
    """The same from scikit-image: shapes once, intensities of each channel."""
    shapes = [name for name in names if not of_intensity(name)]
    intensities = [name for name in names if of_intensity(name)]
    regionprops_table(labels, properties=["label", *shapes])
    for raw in channels if intensities else ():
        regionprops_table(labels, raw, properties=["label", *intensities])


def ours(labels: np.ndarray, channels: list[np.ndarray], names: list[str]) -> None:
    """Shapes once, intensities of each channel."""
    of_objects(labels, None, [name for name in names if not of_intensity(name)])
    intensities = [name for name in names if of_intensity(name)]
    for raw in channels if intensities else ():
        of_objects(labels, raw, intensities)


def of_families(labels: np.ndarray, raw: np.ndarray, families: dict[str, dict]) -> None:
    """Families of the shape, of a channel, and of it with another one."""
    for channels in ({}, {"A": raw}, {"A": raw, "B": raw[::-1]}):
        columns_of(labels, channels, families, 4095.0)


def main() -> None:
    """Print what sets of properties, each property and the numbers of quality cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns (2048)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--density", type=float, default=0.35, help="of simulated nuclei (0.35)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    raw, labels = simulate(1, (arguments.size, arguments.size), density=arguments.density)
    default = SCHEMA["properties"]["measure"]["properties"]["properties"]["default"]
    default = [name for name in default if name in COL_DTYPES]
    known = [name for name in NAMES if name in COL_DTYPES]
    print(f"Measuring {labels.max()} objects on {raw.shape[1]} x {raw.shape[0]} pixels of 16 bits")
    sets = {"default": (default, 1), "default, 4 channels": (default, 4), "all of both": (known, 1)}
    sets |= {name: ([name], 1) for name in known}
    for title, (names, count) in sets.items():
        call = (labels, [raw] * count, names)
        mine, theirs = best_of([partial(ours, *call), partial(library, *call)], arguments.rounds)
        print(
            f"  {title:28}{mine * 1e3:8.1f} ms{theirs * 1e3:10.1f} ms of scikit-image"
            f"{theirs / mine:8.1f} x as fast",
            flush=True,
        )
    for name in NAMES:
        if name not in COL_DTYPES:
            (seconds,) = best_of([partial(ours, labels, [raw], [name])], arguments.rounds)
            print(f"  {name:28}{seconds * 1e3:8.1f} ms", flush=True)
    places = of_nuclei(labels)[1]
    parts = {
        "quality of the labels": partial(of_nuclei, labels),
        "quality of a channel": partial(of_channel, raw, places),
        "a Gaussian of 1.5 pixels": partial(cv2.GaussianBlur, raw.astype(np.float32), (9, 9), 1.5),
    }
    for name, seconds in zip(parts, best_of(list(parts.values()), arguments.rounds), strict=True):
        print(
            f"  {name:28}{seconds * 1e3:8.1f} ms{seconds * 1e9 / raw.size:10.1f} ms a megapixel",
            flush=True,
        )
    with patch.object(properties, "_library", wraps=properties._library) as borrowed:
        of_objects(labels, raw, NAMES)
    taken = [call.args[2] for call in borrowed.call_args_list]
    print(f"Taken from scikit-image: {', '.join(taken) or 'none of these'}")
    print("Taken from cp_measure: families, here with milliseconds a megapixel and channel or pair")
    options = {"families": list(FAMILIES)}
    families = chosen(settings.load({"measure": options}, SCHEMA)["measure"])
    rows = {name: {name: each} for name, each in families.items()}
    metrics = [name for name in families["colocalization"]["metrics"] if name != "costes"]
    swift = families["colocalization"] | {"metrics": metrics}
    rows["colocalization, without costes"] = {"colocalization": swift}
    for title, family in rows.items():
        (seconds,) = best_of([partial(of_families, labels, raw, family)], arguments.rounds)
        print(f"  {title:32}{seconds * 1e9 / raw.size:8.1f} ms", flush=True)


if __name__ == "__main__":
    main()
