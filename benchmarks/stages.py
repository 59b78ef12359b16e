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
from nucleiflow.field import for_display  # noqa: E402

SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
STAGES = ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")


def stage_settings(config: dict) -> dict[str, dict]:
    """Each stage's part of a config, without the keys that only concern files."""
    complete = settings.load(config, SCHEMA)
    return {
        stage: settings.active(complete[stage], SCHEMA["properties"][stage]) for stage in STAGES
    }


def segment(image: np.ndarray, options: dict[str, dict]) -> tuple[np.ndarray, np.ndarray]:
    """The first four stages: from an image as read from its file to the raw channel and labels."""
    raw, preprocessed = preprocess.preprocess(image, **options["preprocess"])
    mask = threshold.threshold(preprocessed, **options["threshold"])
    seeds = markers.find_markers(mask, **options["markers"])["markers"]
    flooded = for_display(raw) if options["watershed"]["method"] == "opencv" else None
    return raw, watershed.watershed(flooded, mask, seeds, **options["watershed"])
