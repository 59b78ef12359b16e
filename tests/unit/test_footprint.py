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
    assert footprint.of_stage(section(stage, {})).pixel == footprint.PIXEL


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
    assert footprint.of_stage(section(stage, {stage: config})).pixel == expected


def test_families_hold_more_and_those_of_pairs_all_channels():
    texture = {"families": {"texture": {}}, "objects": ["nuclei"]}
    assert footprint.of_stage(texture, channels=3).pixel == footprint.FAMILIES
    cells = texture | {"objects": ["nuclei", "cells"]}
    assert footprint.of_stage(cells, channels=3).pixel == footprint.FAMILIES_OF_CELLS
    pairs = texture | {"families": {"colocalization": {}}}
    assert footprint.of_stage(pairs, 3).pixel == footprint.FAMILIES + 3 * footprint.HELD
    assert footprint.of_stage(texture | {"families": {}}).pixel == footprint.MEASURED


def test_a_worker_is_its_imports_and_its_pixels():
    stage = footprint.Footprint(300, 70, 40)
    assert stage.worker_mb(4) == 70 + 160
    assert stage.job_mb(3, 4) == 300 + 3 * (70 + 160)


def test_measure_imports_more_and_holds_less_of_large_images():
    measure, threshold = (footprint.of_stage(each) for each in ({"families": {}}, {}))
    assert measure.job_mb(4, 0.1) > threshold.job_mb(4, 0.1) + 100
    families = footprint.of_stage({"families": {"texture": {}}, "objects": ["nuclei"]})
    assert families.job_mb(4, 0.1) > measure.job_mb(4, 0.1) + 100
    assert measure.job_mb(1, 400) < threshold.job_mb(1, 400)


def test_this_machine_has_memory():
    lines = Path("/proc/meminfo").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("MemTotal"))
    total = int(line.split()[1]) * 1024 / 1e6
    assert 0 < footprint.machine_mb() <= total * 1.001
