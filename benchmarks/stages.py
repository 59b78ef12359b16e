"""The workflow's stage functions on arrays, with the settings that the workflow passes them."""

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import numpy as np  # noqa: E402

import markers  # noqa: E402
import preprocess  # noqa: E402
import threshold  # noqa: E402
import watershed  # noqa: E402
from nucleiflow import settings  # noqa: E402
from nucleiflow.display import for_display  # noqa: E402
from nucleiflow.field import File, View, open_field  # noqa: E402
from nucleiflow.scale import diameter  # noqa: E402

SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
STAGES = ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")


def stage_settings(config: dict) -> dict[str, dict]:
    """Each stage's part of a config, without the keys that only concern files."""
    complete = settings.load(config, SCHEMA)
    return {
        stage: settings.active(complete[stage], SCHEMA["properties"][stage]) for stage in STAGES
    }


def read(path: Path) -> np.ndarray:
    """The channel with the nuclei of an image file, (Y, X) array."""
    with open_field(path.parent, [File(path.name)], View()) as field:
        return field.image(field.segmented())


def segment(raw: np.ndarray, options: dict[str, dict]) -> np.ndarray:
    """The first four stages: from the channel with the nuclei to labels."""
    steps = {key: options["preprocess"][key] for key in ("denoise", "background", "log")}
    preprocessed = preprocess.preprocess(raw, **steps)
    mask = threshold.threshold(preprocessed, **options["threshold"])
    size = diameter(mask)
    found = markers.find_markers(mask, **options["markers"], image=preprocessed, diameter=size)
    flooded = for_display(raw) if options["watershed"]["method"] == "opencv" else None
    others = {"preprocessed": preprocessed, "raw": raw, "diameter": size}
    return watershed.watershed(flooded, mask, found["markers"], **options["watershed"], **others)[0]
