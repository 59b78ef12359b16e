"""Which settings are tried: ranges, combinations, names, and what is refused."""

import pytest

from nucleiflow import grid, settings
from nucleiflow.settings import ConfigError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["otsu", "li"], ["otsu", "li"]),
        ([[], [{"operation": "open"}]], [[], [{"operation": "open"}]]),
        ({"from": 0.1, "to": 0.5, "step": 0.1}, [0.1, 0.2, 0.3, 0.4, 0.5]),
        # 10 is not reached.
        ({"from": 1, "to": 10, "step": 4}, [1, 5, 9]),
        ({"from": 0, "to": 1, "number": 5}, [0, 0.25, 0.5, 0.75, 1]),
        ({"from": 3, "to": 3, "number": 1}, [3]),
        ({"from": -1, "to": 1, "step": 1}, [-1, 0, 1]),
        # As Snakemake gives what stands in braces on the command line.
        ({"from": "10", "to": "30", "step": "10"}, [10, 20, 30]),
    ],
)
def test_values_of_lists_and_ranges(values, expected):
    found = grid.values_of("threshold.min_area", values)
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ("otsu", "must be a list of values"),
        ([], "must be a list of values"),
        (None, "must be a list of values"),
        ({"from": 1, "to": 2}, "must be a list of values"),
        ({"from": 1, "to": 2, "step": 1, "number": 2}, "must be a list of values"),
        ({"from": "a", "to": 2, "step": 1}, "must be a list of values"),
        ({"from": 1, "to": float("inf"), "step": 1}, "must be a list of values"),
        ({"from": 1, "to": 2, "step": 0}, "must go up"),
        ({"from": 1, "to": 2, "step": -1}, "must go up"),
        ({"from": 2, "to": 1, "step": 1}, "must go up"),
        ({"from": 1, "to": 2, "number": 2.5}, "must go up"),
        ({"from": 1, "to": 2, "number": 0}, "must go up"),
    ],
)
def test_values_that_are_refused(values, part):
    with pytest.raises(ConfigError, match=part) as refused:
        grid.values_of("threshold.min_area", values)
    assert str(refused.value).startswith("config: sweep.parameters: threshold.min_area is ")


def test_all_combinations_in_the_order_of_the_stages(schema):
    parameters = {"markers.h_maxima.h": [0.1, 0.2, 0.3], "threshold.method": ["otsu", "li"]}
    combined = grid.combinations(parameters, schema, 6)
    assert [tuple(values.values()) for values in combined] == [
        *(("otsu", 0.1), ("otsu", 0.2), ("otsu", 0.3), ("li", 0.1), ("li", 0.2), ("li", 0.3)),
    ]
    assert list(combined[0]) == ["threshold.method", "markers.h_maxima.h"]


def test_too_many_combinations_are_refused_with_their_number(schema):
    parameters = {
        "markers.h_maxima.h": [0.1, 0.2, 0.3],
        "threshold.min_area": {"from": 1, "to": 5, "step": 1},
    }
    with pytest.raises(ConfigError, match=r"makes 15 settings \(5 x 3\).*which is 14"):
        grid.combinations(parameters, schema, 14)


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("threshold.metod", r"did you mean threshold.method\?"),
        ("measure.properties", "cannot be swept"),
        ("overlay.thickness", "cannot be swept"),
        ("batch_size", "cannot be swept"),
        ("images", "cannot be swept"),
        ("sample.images", "cannot be swept"),
        (7, "names 7, which cannot be swept"),
    ],
)
def test_keys_that_change_no_label_are_refused(schema, key, part):
    with pytest.raises(ConfigError, match=part) as refused:
        grid.combinations({key: [1, 2]}, schema, 9)
    named = str(refused.value)
    assert "preprocess, threshold, markers and watershed can" in named
    assert "overlay.color" in named


def test_values_concern_their_stage_and_those_after_it():
    values = {
        "segment": "blue",
        "threshold.method": "li",
        "watershed.min_area": 5,
        "overlay.color": "red",
    }
    assert list(grid.up_to(values, "preprocess")) == ["segment"]
    assert list(grid.up_to(values, "markers")) == ["segment", "threshold.method"]
    assert list(grid.up_to(values, "watershed")) == list(values)[:3]
    assert grid.up_to(values, "overlay") == values


def test_names_are_readable_and_can_be_parts_of_paths():
    assert grid.name_of({}) == "config"
    values = {"threshold.method": "li", "markers.h_maxima.h": 0.3, "threshold.fill_holes": True}
    assert (
        grid.name_of(values)
        == "threshold.method=li_markers.h_maxima.h=0.3_threshold.fill_holes=true"
    )
    steps = [[{"operation": "open", "size": size}] for size in (3, 5)]
    names = {grid.name_of({"threshold.morphology": step}) for step in steps}
    names |= {grid.name_of({"segment": text}) for text in ("a b", "a/b", "é", "a-b")}
    names |= {grid.name_of({f"threshold.{'k' * 60}{n}": n, "x": "y" * 90}) for n in range(3)}
    assert len(names) == 9
    for name in names:
        assert len(name) <= 160
        assert set(name) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.=+-"
        )


def test_values_stand_in_the_whole_config(schema):
    config = settings.load({"preprocess": {"resize": None}}, schema)
    values = {"preprocess.resize.factor": 0.5, "threshold.manual.value": 7}
    changed = grid.applied(config, values, schema)
    assert changed["preprocess"]["resize"] == {"factor": 0.5}
    assert changed["threshold"]["manual"] == {"value": 7.0}
    assert config["preprocess"]["resize"] is None
    changed["threshold"]["manual"]["value"], changed["preprocess"]["resize"] = 128.0, None
    assert changed == config


def test_a_wrong_value_is_refused_as_in_the_config(schema):
    config = settings.load({}, schema)
    with pytest.raises(ConfigError) as refused:
        grid.applied(config, {"threshold.method": "otso"}, schema)
    assert str(refused.value).startswith(
        'config: sweep.parameters: threshold.method is "otso", must'
    )
    with pytest.raises(ConfigError, match="max_area is 5, must be at least"):
        grid.applied(config, {"watershed.max_area": 5, "watershed.min_area": 9}, schema)


def test_settings_that_come_to_the_same_are_tried_once():
    combined = [
        {"threshold.method": method, "threshold.manual.value": value}
        for method in ("otsu", "manual", "li")
        for value in (50, 100)
    ]
    # Only `manual` looks at the value.
    effects = [
        f"{one['threshold.method']} {one['threshold.manual.value']}"
        if one["threshold.method"] == "manual"
        else one["threshold.method"]
        for one in combined
    ]
    assert grid.distinct(combined, effects) == [
        (0, {"threshold.method": "otsu"}),
        (2, {"threshold.method": "manual", "threshold.manual.value": 50}),
        (3, {"threshold.method": "manual", "threshold.manual.value": 100}),
        (4, {"threshold.method": "li"}),
    ]


def test_a_key_that_never_counts_is_refused():
    combined = [{"markers.fraction.value": value} for value in (0.4, 0.6)]
    with pytest.raises(ConfigError, match=r"markers\.fraction\.value changes nothing"):
        grid.distinct(combined, ["same", "same"])
    # With one value there is nothing to compare.
    assert grid.distinct(combined[:1], ["same"]) == [(0, combined[0])]


def test_the_best_config_holds_what_differs_and_what_was_swept(schema):
    config = settings.load(
        {"images": "x", "segment": "blue", "threshold": {"method": "li"}, "max_failed": 0.5}, schema
    )
    values = {"threshold.method": "li", "markers.h_maxima.h": 0.25}
    kept = grid.restricted(grid.applied(config, values, schema), schema, values)
    # 0.25 may be the default: it is the best all the same.
    assert kept == {
        "segment": "blue",
        "threshold": {"method": "li"},
        "markers": {"h_maxima": {"h": 0.25}},
    }
    assert list(kept) == ["segment", "threshold", "markers"]
    again = settings.load({"images": "x", "max_failed": 0.5, **kept}, schema)
    assert again == grid.applied(config, values, schema)


def test_values_are_shown_as_in_a_config():
    steps = [{"operation": "open", "size": 3}, {"operation": "erode"}]
    assert grid.shown(steps) == "[{operation: open, size: 3}, {operation: erode}]"
    assert [grid.shown(value) for value in (None, True, 0.5, "li")] == ["null", "true", "0.5", "li"]
