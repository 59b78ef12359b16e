"""What memory is asked for and looked at."""

from pathlib import Path

import pytest
import yaml

from nucleiflow import footprint, settings

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())


def section(stage, config):
    return settings.active(settings.load(config, SCHEMA)[stage], SCHEMA["properties"][stage])


@pytest.mark.parametrize("stage", ["preprocess", "threshold", "markers", "watershed"])
def test_stages_as_they_are(stage):
    assert footprint.pixel_bytes(section(stage, {})) == footprint.PIXEL


@pytest.mark.parametrize(
    ("stage", "config", "expected"),
    [
        ("threshold", {"method": "edges"}, footprint.HUNGRY),
        ("watershed", {"split": {"solidity": 0.9}}, footprint.HUNGRY),
        ("watershed", {"merge": {"solidity": 0.9}}, footprint.HUNGRY),
        ("preprocess", {"denoise": {"method": "nlmeans_multi"}}, footprint.PIXEL),
        (
            "preprocess",
            {"denoise": {"method": "nlmeans_multi", "nlmeans_multi": {"frames": 9}}},
            9 * footprint.FRAME,
        ),
    ],
)
def test_methods_that_hold_more(stage, config, expected):
    assert footprint.pixel_bytes(section(stage, {stage: config})) == expected


def test_families_hold_more_and_those_of_pairs_all_channels():
    texture = {"families": {"texture": {}}, "objects": ["nuclei"]}
    assert footprint.pixel_bytes(texture, channels=3) == footprint.FAMILIES
    cells = texture | {"objects": ["nuclei", "cells"]}
    assert footprint.pixel_bytes(cells, channels=3) == footprint.FAMILIES_OF_CELLS
    pairs = texture | {"families": {"colocalization": {}}}
    assert footprint.pixel_bytes(pairs, 3) == footprint.FAMILIES + 3 * footprint.HELD
    assert footprint.pixel_bytes(texture | {"families": {}}) == footprint.PIXEL


def test_a_worker_is_its_imports_and_its_pixels():
    assert footprint.worker_mb(4, 40) == footprint.WORKER + 160


def test_this_machine_has_memory():
    lines = Path("/proc/meminfo").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("MemTotal"))
    total = int(line.split()[1]) * 1024 / 1e6
    assert 0 < footprint.machine_mb() <= total * 1.001
