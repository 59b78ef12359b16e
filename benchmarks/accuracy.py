"""Accuracy on dsb2018: the default config against the parameters of the OpenCV workshop.

The images are those of the Data Science Bowl 2018 (stage 1, fluorescence), in `dsb2018/images`
and `dsb2018/masks` below NUCLEIFLOW_TEST_DATA, or else below `../shared/data` beside the checkout.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import yaml
from stages import ROOT, read, segment, stage_settings

from evaluate import Matches, match

THRESHOLDS = (0.5, 0.7, 0.9)


def configs() -> dict[str, dict]:
    """What is compared, by name."""
    workshop = yaml.safe_load((ROOT / "config/presets/workshop.yaml").read_text())
    # The images are grey, and the background is no nucleus.
    workshop["segment"] = "auto"
    workshop["watershed"]["background"] = False
    with_border = workshop | {"threshold": workshop["threshold"] | {"clear_border": False}}
    return {
        "default": {},
        "workshop": workshop,
        "workshop, with nuclei at the border": with_border,
    }


def scores(folder: Path, names: list[str], config: dict) -> dict[float, tuple[float, float]]:
    """F1 of all nuclei together, and its mean over the images, by threshold of IoU."""
    options = stage_settings(config)
    found: dict[float, list[Matches]] = {threshold: [] for threshold in THRESHOLDS}
    for name in names:
        truth = read(folder / "masks" / name)
        labels = segment(read(folder / "images" / name), options)
        for threshold in THRESHOLDS:
            found[threshold].append(match(truth, labels, threshold))
    return {
        threshold: (Matches(*np.sum(each, axis=0)).f1, np.mean([one.f1 for one in each]))
        for threshold, each in found.items()
    }


def main() -> None:
    """Print F1 of every config, on the half that the defaults were tuned on and on the other."""
    data = Path(os.environ.get("NUCLEIFLOW_TEST_DATA", ROOT.parent / "shared" / "data"))
    folder = data / "dsb2018"
    print("Accuracy on dsb2018: F1 of all nuclei together (mean over images)")
    if not folder.is_dir():
        print(f"  skipped: there is no {folder}, set NUCLEIFLOW_TEST_DATA to the folder above it")
        return
    cv2.setNumThreads(1)
    names = sorted(path.name for path in (folder / "images").iterdir())
    print(f"  {'':44}" + "".join(f"IoU > {threshold:<10}" for threshold in THRESHOLDS))
    for half, part in (("half used for tuning", names[::2]), ("other half", names[1::2])):
        for name, config in configs().items():
            result = scores(folder, part, config)
            columns = "".join(
                f"{f'{together:.3f} ({mean:.3f})':<16}" for together, mean in result.values()
            )
            print(f"  {name:44}{columns}", flush=True)
        print(f"  ({half}, {len(part)} images)")


if __name__ == "__main__":
    main()
