"""What time is asked for: by stage, methods, images and workers."""

from pathlib import Path

import pytest
import yaml

from nucleiflow import duration, families, settings
from nucleiflow.plan import Batch, Extent, File, Image

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
STAGES = ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")


def section(stage, config):
    return settings.active(settings.load(config, SCHEMA)[stage], SCHEMA["properties"][stage])


def batch(images, megapixels, layers=1):
    files = [Image(f"{n}", [File(f"{n}.tif", 1000, 0)]) for n in range(images)]
    return Batch("b", ".", ".", files, Extent(megapixels, 1, layers))


def asked(images, megapixels, workers=4, attempt=1, factor=1.0, config=None):
    """Minutes of all stages of a batch."""
    chosen = {stage: section(stage, config or {}) for stage in STAGES}
    chosen["measure"] = settings.of_stage_measure(chosen["measure"])
    own = batch(images, megapixels)
    return sum(
        duration.minutes(duration.rate(stage, chosen[stage]), own, workers, attempt, factor)
        for stage in STAGES
    )


def test_a_batch_asks_for_about_twice_of_what_it_was_seen_to_take():
    # Images of 2048 x 2048 took 0.256 seconds a megapixel: 1000 of them four workers 268 seconds.
    assert 268 * 1.5 < 60 * asked(1000, 4.194) < 268 * 2.3
    # Fewer of them cannot ask for less than a minute a stage.
    assert asked(1, 0.1) == 6
    # Small images take longer: of 380 x 380 on average 38 milliseconds, 11,000 of them 418 seconds.
    assert 418 * 1.3 < 60 * asked(11_000, 0.1446, workers=1) < 418 * 2.6


def test_time_follows_images_and_workers_and_doubles_at_each_attempt():
    one = asked(2000, 4.194, workers=1)
    assert asked(4000, 4.194, workers=1) == pytest.approx(2 * one, rel=0.03)
    assert asked(2000, 4.194, workers=2) == pytest.approx(one / 2, rel=0.06)
    assert [asked(2000, 4.194, 1, attempt) for attempt in (2, 3)] == [2 * one, 4 * one]


def test_user_asks_for_less_or_more_but_for_no_less_than_a_minute_a_stage():
    one = asked(2000, 4.194, workers=1)
    assert [asked(2000, 4.194, 1, 1, factor) / one for factor in (0.6, 2)] == [
        pytest.approx(0.6, rel=0.03),
        pytest.approx(2, rel=0.03),
    ]
    assert asked(1, 0.1, factor=0.1) == 6


def test_enlarged_images_take_longer_but_not_to_read():
    rate, own = duration.Rate(0.1, 0.0, 0.1), batch(1000, 3.0)
    once, enlarged = (duration.minutes(rate, own, 1, 1, 1.0, pixels) for pixels in (1, 4))
    assert once == round((1.5 * 3000 * 0.2 + 20) / 60)
    assert enlarged == round((1.5 * 3000 * 0.5 + 20) / 60)


@pytest.mark.parametrize(
    ("stage", "config", "more"),
    [
        ("preprocess", {"denoise": {"method": "bilateral"}}, 0.05),
        ("preprocess", {"denoise": {"method": "nlmeans"}}, 0.8),
        ("preprocess", {"denoise": {"method": "nlmeans", "nlmeans": {"search_window": 63}}}, 7.2),
        ("preprocess", {"denoise": {"method": "nlmeans_multi"}}, 2.4),
        ("preprocess", {"background": {"method": "tophat"}}, 0.06),
        ("watershed", {"method": "distance", "distance": {"compactness": 0.5}}, 0.3),
        ("watershed", {"split": {"solidity": 0.9}}, 0.05),
        ("watershed", {"split": {"solidity": 0.9}, "merge": {"saddle": 0.9}}, 0.1),
        ("threshold", {"method": "otsu"}, 0),
    ],
)
def test_methods_that_take_longer_ask_for_more(stage, config, more):
    rate = duration.rate(stage, section(stage, {stage: config}))
    assert rate.megapixel == pytest.approx(duration.RATES[stage].megapixel + more)


def test_families_count_for_channels_pairs_and_objects():
    chosen = settings.load({"measure": {"families": list(families.FAMILIES)}}, SCHEMA)["measure"]
    plain = settings.of_stage_measure(chosen) | {"objects": ["nuclei"]}
    scales = len(chosen["texture"]["scale"])
    three = scales * 3 + 3 + 3 + 1.5 + 0.5 + 4 * 3
    start = duration.RATES["measure"].megapixel
    assert duration.rate("measure", plain, 3).megapixel == pytest.approx(start + three)
    both = plain | {"objects": ["nuclei", "cells"]}
    assert duration.rate("measure", both, 3).megapixel == pytest.approx(start + 2 * three)


def test_stacks_take_the_time_to_read_them():
    rate = duration.rate("preprocess", section("preprocess", {}))
    few, many = (duration.minutes(rate, batch(1000, 4.0, layers), 1, 1, 1.0) for layers in (1, 30))
    assert 60 * (many - few) == pytest.approx(1.5 * 4000 * 29 * duration.READ, rel=0.05)
    # Nothing is read from the file again where the stage before left what is needed.
    assert duration.RATES["threshold"].read == 0
