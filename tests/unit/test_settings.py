"""The config: every mistake one sentence, every default from the schema, nothing out of step."""

import copy
import importlib.util
import json
import random
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

import markers
import preprocess
import threshold
import watershed
from nucleiflow import columns, distance, kernel, settings

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
TOP = ", ".join(SCHEMA["properties"])
STAGES = {
    "preprocess.denoise": preprocess,
    "threshold": threshold,
    "markers": markers,
    "watershed": watershed,
}


def entry(schema, name):
    """The schema's entry of a dotted key."""
    for part in name.split("."):
        schema = schema["properties"][part]
    return schema


def document():
    """The module that writes the config's pages."""
    spec = importlib.util.spec_from_file_location("document", ROOT / "config/document.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Mistakes


UNKNOWN = [
    ("image: x", f"image, did you mean images? (known: {TOP})"),
    ("preproces: {}", f"preproces, did you mean preprocess? (known: {TOP})"),
    ("Threshold: {}", f"Threshold, did you mean threshold? (known: {TOP})"),
    (
        "preprocess: {chanel: red}",
        "preprocess.chanel, did you mean combine? "
        "(known: crop, resize, combine, denoise, background, log)",
    ),
    (
        "preprocess: {crop: {x: 1, y: 1, w: 3, height: 3}}",
        "preprocess.crop.w, did you mean width? (known: x, y, width, height)",
    ),
    (
        "preprocess: {resize: {factr: 3}}",
        "preprocess.resize.factr, did you mean factor? (known: factor, width, height)",
    ),
    (
        "preprocess: {denoise: {gausian: {}}}",
        "preprocess.denoise.gausian, did you mean gaussian? "
        "(known: method, gaussian, median, bilateral, nlmeans, nlmeans_multi, nlmeans_colored)",
    ),
    (
        "preprocess: {denoise: {median: {kernl: 3}}}",
        "preprocess.denoise.median.kernl, did you mean kernel? (known: kernel)",
    ),
    (
        "threshold: {morphology: [{operation: open}, {operation: open, siz: 3}]}",
        "threshold.morphology[1].siz, did you mean size? "
        "(known: operation, shape, size, iterations)",
    ),
    (
        "markers: {sure_background: {iteration: 3}}",
        "markers.sure_background.iteration, did you mean iterations? "
        "(known: shape, size, iterations)",
    ),
    (
        "threshold: {method: adaptive, window: 101, block_size: 101}",
        "threshold.window, did you mean niblack.window? "
        "(known: method, manual, adaptive, multiotsu, kmeans, gaussian_mixture, "
        "robust_background, hysteresis, niblack, sauvola, local_otsu, edges, half_maximum, "
        "morphology, fill_holes, clear_border, min_area)",
    ),
    (
        "cells: {method: watershed, channel: GFP}",
        "cells.channel, did you mean watershed.channel? (known: method, distance, watershed, ring)",
    ),
    (
        "threshold: {method: sauvola, window: 101}",
        "threshold.window, did you mean sauvola.window? "
        "(known: method, manual, adaptive, multiotsu, kmeans, gaussian_mixture, "
        "robust_background, hysteresis, niblack, sauvola, local_otsu, edges, half_maximum, "
        "morphology, fill_holes, clear_border, min_area)",
    ),
    (
        "watershed: {minarea: 3}",
        "watershed.minarea, did you mean min_area? "
        "(known: method, distance, intensity, combined, background, min_area, "
        "max_area, drop_border, split, merge, refine, debris, filters)",
    ),
    (
        "measure: {property: [area]}",
        "measure.property, did you mean properties? (known: objects, channels, properties, ratios, "
        "families, max_intensity, texture, granularity, radial_distribution, radial_zernikes, "
        "zernike, colocalization)",
    ),
    (
        "overlay: {colour: red}",
        "overlay.colour, did you mean color? (known: color, cells_color, thickness, format, "
        "stretch)",
    ),
]


@pytest.mark.parametrize(("text", "sentence"), UNKNOWN, ids=[text for text, _ in UNKNOWN])
def test_unknown_key_is_refused_with_the_nearest_known_one(schema, text, sentence):
    with pytest.raises(settings.ConfigError) as caught:
        settings.load(yaml.safe_load(text), schema)
    assert str(caught.value) == f"config: unknown key {sentence}"


def test_key_without_a_space_after_its_colon_is_told_what_it_lacks(schema):
    with pytest.raises(settings.ConfigError) as caught:
        settings.load(yaml.safe_load("tiles: {size:4096}"), schema)
    told = "config: tiles.size:4096 lacks a space after the colon, write size: 4096"
    assert str(caught.value) == told


COLOR = "a colour's name, #rrggbb or [red, green, blue] from 0 to 255"
CHANNEL = "auto, a channel's name, colour or number"
ENDINGS = "tif, tiff, stk, lsm, png, jpg, jpeg, bmp, zarr, czi, nd2, lif"
PRODUCTS = (
    "channel, preprocessed, mask, sure_background, sure_foreground, unknown, distance, markers, "
    "labels, cells, cytoplasm, ring, csv, overlay"
)
THRESHOLDS = (
    "otsu, triangle, li, manual, adaptive, yen, isodata, minimum, multiotsu, kmeans, "
    "gaussian_mixture, robust_background, hysteresis, niblack, sauvola, local_otsu, edges, "
    "half_maximum"
)
DIAMETER = "auto, a number of pixels above 0 or micrometres such as 12 um"
RESIZE = "null or one of factor, width and height"
WRONG = [
    # Types
    ("images: 5", "images is 5, must be the path of a directory or of a CSV or TSV file"),
    (
        "images: [a, b]",
        'images is ["a", "b"], must be the path of a directory or of a CSV or TSV file',
    ),
    ("results: null", "results is null, must be a text, not empty"),
    ("results: ''", 'results is "", must be a text, not empty'),
    ("extensions: tif", f'extensions is "tif", must be a list of {ENDINGS}, not empty'),
    ("extensions: []", f"extensions is [], must be a list of {ENDINGS}, not empty"),
    ("batch_size: true", "batch_size is true, must be a whole number from 1 or null"),
    ("batch_size: 2.5", "batch_size is 2.5, must be a whole number from 1 or null"),
    ("batch_size: many", 'batch_size is "many", must be a whole number from 1 or null'),
    ("max_failed: true", "max_failed is true, must be a number from 0 to 1"),
    ("keep: labels", f'keep is "labels", must be a list of {PRODUCTS}'),
    ("preprocess: null", "preprocess is null, must be a group of keys"),
    ("preprocess: []", "preprocess is [], must be a group of keys"),
    ("preprocess: {denoise: null}", "preprocess.denoise is null, must be a group of keys"),
    (
        "preprocess: {denoise: {gaussian: null}}",
        "preprocess.denoise.gaussian is null, must be a group of keys",
    ),
    ("segment: 1.5", f"segment is 1.5, must be {CHANNEL}"),
    ("segment: true", f"segment is true, must be {CHANNEL}"),
    ("segment: null", f"segment is null, must be {CHANNEL}"),
    (
        "preprocess: {crop: [1, 2, 3, 4]}",
        "preprocess.crop is [1, 2, 3, 4], must be null or x, y, width and height",
    ),
    ("preprocess: {resize: 0.5}", f"preprocess.resize is 0.5, must be {RESIZE}"),
    ("threshold: {manual: {value: high}}", 'threshold.manual.value is "high", must be a number'),
    ("threshold: {manual: {value: null}}", "threshold.manual.value is null, must be a number"),
    ("threshold: {fill_holes: maybe}", 'threshold.fill_holes is "maybe", must be true or false'),
    ("threshold: {fill_holes: 1}", "threshold.fill_holes is 1, must be true or false"),
    ("threshold: {morphology: open}", 'threshold.morphology is "open", must be a list'),
    (
        "threshold: {morphology: [open]}",
        'threshold.morphology[0] is "open", must be a group of keys',
    ),
    ("overlay: {color: 5}", f"overlay.color is 5, must be {COLOR}"),
    # Ranges
    ("batch_megapixels: 0", "batch_megapixels is 0, must be auto or a number above 0"),
    ("batch_megapixels: car", 'batch_megapixels is "car", must be auto or a number above 0'),
    ("batch_size: 0", "batch_size is 0, must be a whole number from 1 or null"),
    ("batch_size: -3", "batch_size is -3, must be a whole number from 1 or null"),
    ("max_failed: 1.5", "max_failed is 1.5, must be a number from 0 to 1"),
    ("max_failed: -0.1", "max_failed is -0.1, must be a number from 0 to 1"),
    ("segment: -1", f"segment is -1, must be {CHANNEL}"),
    (
        "preprocess: {crop: {x: -1, y: 1, width: 3, height: 3}}",
        "preprocess.crop.x is -1, must be a whole number from 0",
    ),
    (
        "preprocess: {crop: {x: 1, y: 1, width: 0, height: 3}}",
        "preprocess.crop.width is 0, must be a whole number from 1",
    ),
    (
        "preprocess: {resize: {factor: 0}}",
        "preprocess.resize.factor is 0, must be a number above 0 to 100",
    ),
    ("preprocess: {resize: {}}", f"preprocess.resize is {{}}, must be {RESIZE}"),
    (
        "preprocess: {resize: {width: 3, height: 3}}",
        f'preprocess.resize is {{"width": 3, "height": 3}}, must be {RESIZE}',
    ),
    (
        "preprocess: {denoise: {gaussian: {sigma: 0}}}",
        "preprocess.denoise.gaussian.sigma is 0, must be a number above 0 or null",
    ),
    ("threshold: {min_area: -1}", "threshold.min_area is -1, must be a whole number from 0"),
    (
        "markers: {fraction: {value: 1}}",
        "markers.fraction.value is 1, must be a number from 0 and below 1",
    ),
    (
        "markers: {sure_background: {iterations: -1}}",
        "markers.sure_background.iterations is -1, must be a whole number from 0",
    ),
    ("watershed: {max_area: 0}", "watershed.max_area is 0, must be a whole number from 1 or null"),
    ("overlay: {thickness: 51}", "overlay.thickness is 51, must be a whole number from 1 to 50"),
    # Odd numbers
    (
        "preprocess: {denoise: {gaussian: {kernel: 4}}}",
        "preprocess.denoise.gaussian.kernel is 4, must be an odd number from 1 or null",
    ),
    (
        "preprocess: {denoise: {median: {kernel: 4}}}",
        "preprocess.denoise.median.kernel is 4, must be an odd number from 3",
    ),
    (
        "preprocess: {denoise: {median: {kernel: 1}}}",
        "preprocess.denoise.median.kernel is 1, must be an odd number from 3",
    ),
    (
        "preprocess: {denoise: {nlmeans: {search_window: 20}}}",
        "preprocess.denoise.nlmeans.search_window is 20, must be an odd number from 1",
    ),
    (
        "threshold: {adaptive: {block_size: 10}}",
        "threshold.adaptive.block_size is 10, must be an odd number from 3",
    ),
    # Choices
    (
        "extensions: [gif]",
        'extensions[0] is "gif", must be one of tif, tiff, stk, lsm, png, jpg, jpeg, bmp, zarr, '
        "czi, nd2, lif (did you mean tif?)",
    ),
    ("segment: ''", f'segment is "", must be {CHANNEL}'),
    ("z: middle", 'z is "middle", must be max, mean, sum, focus or the number of a plane'),
    ("z: -1", "z is -1, must be max, mean, sum, focus or the number of a plane"),
    ("pages: c", 'pages is "c", must be null, z, time or channel'),
    ("pixel_size_um: 0", "pixel_size_um is 0, must be null, a number above 0 or resolution_tag"),
    ("channels: [a, a]", 'channels is ["a", "a"], which names something twice'),
    (
        "channels: {a: 1}",
        'channels is {"a": 1}, must be null, a list of names, or names by channel',
    ),
    ("metadata: {join: well}", 'metadata.join is "well", must be auto or a list of columns'),
    ("max_image_megapixels: 0", "max_image_megapixels is 0, must be a number above 0"),
    (
        "preprocess: {denoise: {method: gauss}}",
        'preprocess.denoise.method is "gauss", must be one of gaussian, median, bilateral, '
        "nlmeans, nlmeans_multi, nlmeans_colored, none (did you mean gaussian?)",
    ),
    (
        "threshold: {method: null}",
        f"threshold.method is null, must be one of {THRESHOLDS}",
    ),
    (
        "threshold: {method: percolate}",
        f'threshold.method is "percolate", must be one of {THRESHOLDS}',
    ),
    (
        "threshold: {morphology: [{operation: opne}]}",
        'threshold.morphology[0].operation is "opne", must be one of open, close, erode, dilate, '
        "gradient (did you mean open?)",
    ),
    ("markers: {distance_mask: 4}", "markers.distance_mask is 4, must be one of 3, 5, precise"),
    ("overlay: {format: gif}", 'overlay.format is "gif", must be one of jpg, png'),
    ("overlay: {color: yelow}", f'overlay.color is "yelow", must be {COLOR}'),
    ("overlay: {color: '#12345'}", f'overlay.color is "#12345", must be {COLOR}'),
    ("overlay: {color: [1, 2]}", f"overlay.color is [1, 2], must be {COLOR}"),
    ("overlay: {color: [1, 2, 300]}", f"overlay.color is [1, 2, 300], must be {COLOR}"),
    # What is missing or named twice
    (
        "preprocess: {crop: {x: 1, y: 1, width: 3}}",
        "preprocess.crop.height is missing, set it to a whole number from 1",
    ),
    (
        "threshold: {morphology: [{size: 3}]}",
        "threshold.morphology[0].operation is missing, set it to one of open, close, erode, "
        "dilate, gradient",
    ),
    (
        "keep: [labels, labels]",
        'keep is ["labels", "labels"], which names something twice',
    ),
    (
        "measure: {properties: [area, area]}",
        'measure.properties is ["area", "area"], which names something twice',
    ),
    # Keys that must fit together
    (
        "preprocess: {denoise: {gaussian: {sigma: null}}}",
        "preprocess.denoise.gaussian.sigma and preprocess.denoise.gaussian.kernel are both null, "
        "set at least one of them",
    ),
    (
        "markers: {method: image}",
        "markers.method is image, which needs markers.image.path: name the directory of the "
        "images of seeds",
    ),
    ("diameter: 0", f"diameter is 0, must be {DIAMETER}"),
    ("diameter: 12 mm", f'diameter is "12 mm", must be {DIAMETER}'),
    ("diameter: 12 um2", f'diameter is "12 um2", must be {DIAMETER}'),
    ("diameter: null", f"diameter is null, must be {DIAMETER}"),
    (
        "watershed: {background: true, method: distance}",
        "watershed.background is true, which needs watershed.method opencv, not distance",
    ),
    (
        "measure: {ratios: {x-y: area / area}}",
        "measure.ratios.x-y is called x-y, must be letters, digits and _, as it becomes a column",
    ),
    (
        "measure: {ratios: {x: area}}",
        "measure.ratios.x is area, must be two columns with / between them, such as "
        "intensity_mean / cytoplasm_intensity_mean",
    ),
    (
        "measure: {ratios: {x: aera / area}}",
        "measure.ratios.x names aera, which is no column that can be measured (did you mean area?)",
    ),
    (
        "measure: {ratios: {x: area / cells_area}}",
        "measure.ratios.x names cells_area, but cells are not measured: see cells",
    ),
    (
        "measure: {ratios: {x: intensity_median_GFP / area}}",
        "measure.ratios.x names intensity_median_GFP, but measure.properties has no "
        "intensity_median: add it there",
    ),
    (
        "measure: {ratios: {}}",
        "measure.ratios is {}, must be null, or columns with / between them by name",
    ),
    ("tables: {csv: zip}", 'tables.csv is "zip", must be one of plain, gzip (did you mean gzip?)'),
    ("tables: {sqlite: 2}", "tables.sqlite is 2, must be true or false"),
    (
        "tables: {partition_by: well}",
        'tables.partition_by is "well", must be null, directory or plate',
    ),
    ("summary: {group_by: []}", "summary.group_by is [], must be a list of columns of images.csv"),
    (
        "summary: {group_by: [well, well]}",
        'summary.group_by is ["well", "well"], which names something twice',
    ),
    ("measure: {channels: [1, 1]}", "measure.channels is [1, 1], which names something twice"),
    (
        "summary: {measurements: area}",
        'summary.measurements is "area", must be auto or a list of columns of objects',
    ),
    (
        "summary: {measurements: [excentricity]}",
        "summary.measurements names excentricity, which is no column that can be measured (did "
        "you mean eccentricity?)",
    ),
    (
        "summary: {measurements: [orientation]}",
        "summary.measurements names orientation, but measure.properties has no orientation: add "
        "it there",
    ),
    (
        "summary: {measurements: [ring_area]}",
        "summary.measurements names ring_area, but ring are not measured: see cells",
    ),
    (
        "report: {measurements: [area, aera]}",
        "report.measurements names aera, which is no column that can be measured (did you mean "
        "area?)",
    ),
    (
        "report: {measurements: [ratio_x]}",
        "report.measurements names ratio_x, which is no column that can be measured",
    ),
    (
        "summary: {controls: {negative: null}}",
        "summary.controls.negative is null, must be auto, a value or a list of values",
    ),
    ("qc: {focus: sharp}", 'qc.focus is "sharp", must be a number from 0, auto or null'),
    ("qc: {uneven: 1.5}", "qc.uneven is 1.5, must be a number from 0 to 1, auto or null"),
    ("qc: {debris: true}", "qc.debris is true, must be a number from 0, auto or null"),
    (
        "qc: {exclude: [focus]}",
        'qc.exclude[0] is "focus", must be one of out_of_focus, saturated, empty, too_crowded, '
        "debris, uneven",
    ),
    (
        "qc: {focus: null, exclude: [empty, out_of_focus]}",
        "qc.exclude names out_of_focus, which no image gets with qc.focus null: set it to auto or "
        "a number",
    ),
    ("naming: fiji", 'naming is "fiji", must be one of skimage, cellprofiler'),
    (
        "watershed: {min_area: 50, max_area: 20}",
        "watershed.max_area is 20, must be at least watershed.min_area, which is 50",
    ),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG, ids=[text for text, _ in WRONG])
def test_wrong_value_is_refused_with_key_value_and_what_is_allowed(schema, text, sentence):
    config = yaml.safe_load(text)
    before = copy.deepcopy(config)
    with pytest.raises(settings.ConfigError) as caught:
        settings.load(config, schema)
    assert str(caught.value) == f"config: {sentence}"
    assert config == before


@pytest.mark.parametrize("name", ["keep", "measure.properties"])
def test_misspelt_name_in_a_list_is_refused_with_the_nearest_one(schema, name):
    names = entry(schema, name)["items"]["enum"]
    config = {name: ["lables"]} if name == "keep" else {"measure": {"properties": ["aera"]}}
    wrong, near = ("lables", "labels") if name == "keep" else ("aera", "area")
    with pytest.raises(settings.ConfigError) as caught:
        settings.load(config, schema)
    assert str(caught.value) == (
        f'config: {name}[0] is "{wrong}", must be one of {", ".join(names)} (did you mean {near}?)'
    )


def test_one_mistake_of_several_is_named(schema):
    config = {"batch_size": 0, "threshold": {"method": "x"}, "extra": 1}
    with pytest.raises(settings.ConfigError) as caught:
        settings.load(config, schema)
    assert str(caught.value).count("config: ") == 1


@pytest.mark.parametrize("value", [None, [], "threshold"])
def test_file_that_is_no_group_of_keys_is_refused(schema, value):
    with pytest.raises(settings.ConfigError, match=r"^config: the whole config is .*, must be a"):
        settings.load(value, schema)


def test_every_group_refuses_unknown_keys(schema):
    groups = [schema, *(entry for _, entry in settings.keys(schema) if "properties" in entry)]
    groups += [entry["items"] for entry in groups if "properties" in entry.get("items", {})]
    assert len(groups) > 15
    assert all(group["additionalProperties"] is False for group in groups)
    assert entry(schema, "threshold.morphology")["items"]["additionalProperties"] is False


# Loading


def test_nothing_gives_every_default_in_the_schemas_order(schema):
    loaded = settings.load({}, schema)
    assert list(loaded) == list(schema["properties"])
    for name, value in settings.keys(schema):
        if name.startswith(("preprocess.crop.", "preprocess.resize.")):
            continue
        found = loaded
        for part in name.split("."):
            found = found[part]
        if "properties" in value and value.get("default") == {}:
            assert list(found) == list(value["properties"])
        else:
            assert found == value["default"], name


def filled():
    """A config that sets something at every level."""
    return {
        "images": "x",
        "batch_size": 20,
        "max_failed": 1,
        "channels": {"w2": "GFP", "1": "DAPI"},
        "segment": 1,
        "z": 2,
        "pixel_size_um": 1,
        "measure": {"channels": [0, "GFP"]},
        "preprocess": {
            "crop": {"x": 0, "y": 2, "width": 30, "height": 40},
            "resize": {"factor": 2},
            "denoise": {"method": "nlmeans", "nlmeans": {"h": 3, "search_window": 11}},
        },
        "threshold": {
            "manual": {"value": 100},
            "morphology": [{"operation": "open"}, {"size": 5, "operation": "close"}],
        },
        "markers": {"h_maxima": {"h": 1}, "distance_mask": 3},
        "watershed": {"max_area": 900, "min_area": 5},
        "overlay": {"color": [255, 0, 0], "thickness": 2},
    }


def test_loading_what_was_loaded_changes_nothing(schema):
    for config in ({}, filled()):
        once = settings.load(config, schema)
        assert repr(settings.load(once, schema)) == repr(once)


def shuffled(value, rng):
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        return {key: shuffled(entry, rng) for key, entry in items}
    return [shuffled(entry, rng) for entry in value] if isinstance(value, list) else value


def respelt(value, kind):
    """The same with its whole numbers as floats, or its whole floats as integers."""
    if isinstance(value, dict):
        return {key: respelt(entry, kind) for key, entry in value.items()}
    if isinstance(value, list):
        return [respelt(entry, kind) for entry in value]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        return value
    return kind(value)


@pytest.mark.parametrize("seed", range(5))
def test_order_of_the_keys_does_not_matter(schema, seed):
    expected = repr(settings.load(filled(), schema))
    config = shuffled(filled(), random.Random(seed))
    assert repr(settings.load(config, schema)) == expected


@pytest.mark.parametrize("kind", [int, float])
def test_spelling_of_whole_numbers_does_not_matter(schema, kind):
    loaded = settings.load(filled(), schema)
    for config in (respelt(filled(), kind), respelt(loaded, kind)):
        assert repr(settings.load(config, schema)) == repr(loaded)


def texts(value):
    """A config as it comes from the braces of `--config`: every number and word a text."""
    if isinstance(value, dict):
        return {key: texts(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [texts(entry) for entry in value]
    return json.dumps(value) if not isinstance(value, str) else value


def test_texts_of_the_command_line_mean_what_they_say(schema):
    config = filled() | {"threshold": {"fill_holes": False, "manual": {"value": 1.5}}}
    assert repr(settings.load(texts(config), schema)) == repr(settings.load(config, schema))
    whole = settings.load({"overlay": {"color": "[1, 2, 3]"}, "keep": "[labels]"}, schema)
    assert (whole["overlay"]["color"], whole["keep"]) == ([1, 2, 3], ["labels"])


def test_wrong_number_of_the_command_line_is_shown_as_a_number(schema):
    with pytest.raises(settings.ConfigError, match=r"tiles\.size is 4, must be"):
        settings.load({"images": "a", "tiles": {"size": "4"}}, schema)


def test_text_that_is_a_name_stays_one(schema):
    loaded = settings.load({"images": "12", "results": "true", "overlay": {"color": "red"}}, schema)
    assert (loaded["images"], loaded["results"]) == ("12", "true")
    assert loaded["overlay"]["color"] == "red"


def test_numbers_have_the_types_that_functions_need(schema):
    loaded = settings.load(respelt(filled(), float), schema)
    assert isinstance(loaded["segment"], int) and isinstance(loaded["z"], int)
    assert isinstance(loaded["markers"]["distance_mask"], int)
    assert isinstance(loaded["batch_size"], int)
    assert isinstance(loaded["preprocess"]["crop"]["x"], int)
    assert all(isinstance(value, int) for value in loaded["overlay"]["color"])
    loaded = settings.load(respelt(filled(), int), schema)
    assert isinstance(loaded["max_failed"], float)
    assert isinstance(loaded["preprocess"]["resize"]["factor"], float)
    assert isinstance(loaded["threshold"]["manual"]["value"], float)


def test_steps_of_the_morphology_are_completed(schema):
    steps = settings.load(filled(), schema)["threshold"]["morphology"]
    defaults = entry(schema, "threshold.morphology")["items"]["properties"]
    assert steps[0] == {
        "operation": "open",
        **{name: defaults[name]["default"] for name in ("shape", "size", "iterations")},
    }
    assert steps[1]["size"] == 5


def test_config_of_the_user_is_not_changed(schema):
    config = filled()
    settings.load(config, schema)
    assert config == filled()


# What a stage depends on


@pytest.mark.parametrize("name", STAGES)
def test_active_keeps_the_options_of_the_chosen_method_alone(schema, name):
    section = entry(schema, name)
    methods = section["properties"]["method"]["enum"]
    loaded = settings.load({}, schema)
    for part in name.split("."):
        loaded = loaded[part]
    for method in methods:
        result = settings.active(loaded | {"method": method}, section)
        assert result["method"] == method
        assert result["options"] == loaded.get(method, {})
        others = {key: value for key, value in loaded.items() if key not in {*methods, "method"}}
        assert {key: result[key] for key in result.keys() - {"method", "options"}} == others


def test_editing_another_methods_option_changes_nothing_that_a_stage_depends_on(schema):
    stage = schema["properties"]["preprocess"]
    before = settings.load({}, schema)["preprocess"]
    after = settings.load({"preprocess": {"denoise": {"median": {"kernel": 9}}}}, schema)
    assert settings.active(before, stage) == settings.active(after["preprocess"], stage)
    chosen = {"method": "median", "median": {"kernel": 9}}
    after = settings.load({"preprocess": {"denoise": chosen}}, schema)["preprocess"]
    assert settings.active(after, stage)["denoise"] == {
        "method": "median",
        "options": {"kernel": 9},
    }


def test_active_keeps_groups_that_are_no_methods(schema):
    stage = schema["properties"]["preprocess"]
    section = settings.load(filled(), schema)["preprocess"]
    result = settings.active(section, stage)
    assert result["crop"] == {"x": 0, "y": 2, "width": 30, "height": 40}
    assert result["resize"] == {"factor": 2.0}


# Schema, functions and pages in step


@pytest.mark.parametrize("name", STAGES)
def test_every_method_of_the_schema_is_a_function_with_its_options_and_no_other(schema, name):
    section, stage = entry(schema, name)["properties"], STAGES[name]
    methods = section["method"]["enum"]
    # They work on the colours, before the channel is taken, and on several times.
    extra = {"nlmeans_colored", "nlmeans_multi"} if name == "preprocess.denoise" else set()
    assert set(methods) == {*stage.METHODS} | extra
    inputs = {"image", "mask", "distance", "markers", "seeds"}
    # Nuclei have a diameter by then; that of a filter is an option.
    inputs |= {"diameter"} if name != "preprocess.denoise" else set()
    for method in methods:
        code = getattr(stage, method).__code__
        arguments = set(code.co_varnames[: code.co_argcount]) - inputs
        options = set(section.get(method, {}).get("properties", {}))
        # The file is read before.
        options -= {"path"} if method == "image" else set()
        assert arguments == options, method


def test_every_morphological_operation_and_shape_of_the_schema_exists(schema):
    step = entry(schema, "threshold.morphology")["items"]["properties"]
    assert set(step["operation"]["enum"]) == set(threshold.OPERATIONS)
    shapes = entry(schema, "markers.sure_background.shape")["enum"]
    assert set(step["shape"]["enum"]) == set(shapes) == set(kernel.SHAPES)
    assert set(entry(schema, "markers.distance_mask")["enum"]) == set(distance.MASKS)


def test_every_key_has_a_description_and_a_default_that_its_own_entry_allows(schema):
    for name, value in settings.keys(schema):
        assert re.search(r"\.$", value["description"]), name
        if not name.startswith(("preprocess.crop.", "preprocess.resize.")):
            Draft202012Validator(value).validate(value["default"])


def test_schema_holds_known_words_only(schema):
    # An unquoted comma in a description makes another word of what follows.
    known = {
        *("type", "enum", "anyOf", "not", "items", "properties", "required", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength"),
        *("minItems", "maxItems", "minProperties", "maxProperties", "uniqueItems"),
        *("additionalProperties", "default", "description", "x-allowed"),
    }
    for name, value in settings.keys(schema):
        assert set(value) <= known, name


def test_config_yaml_holds_every_key_at_its_default(schema):
    text = (ROOT / "config/config.yaml").read_text()
    config = yaml.safe_load(text)
    assert repr(settings.load(config, schema)) == repr(settings.load({}, schema))
    for name, value in settings.keys(schema):
        if "default" in value:
            found = config
            for part in name.split("."):
                found = found[part]
            if value["default"] != {}:
                assert found == value["default"], name
    assert text == document().config_yaml(schema)


def test_readme_of_the_config_is_made_from_the_schema(schema):
    text = (ROOT / "config/README.md").read_text()
    assert text == document().readme(schema)
    for name, _ in settings.keys(schema):
        assert f"| `{name}` |" in text


def test_tables_of_columns_in_the_readme_are_made_from_the_table_in_the_code(schema):
    text = (ROOT / "README.md").read_text()
    assert text == document().with_columns(text, schema)
    for name in columns.PROPERTIES:
        assert f"| `{name}` |" in text or f"| `{name}_CHANNEL` |" in text


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config/presets").glob("*.yaml")), ids=lambda p: p.stem
)
def test_preset_is_a_valid_config(schema, path):
    settings.load(yaml.safe_load(path.read_text()), schema)


def test_conda_environment_has_the_pins_of_requirements():
    def pins(lines):
        return {line.split("#")[0].strip().lower() for line in lines if "==" in line.split("#")[0]}

    packages = yaml.safe_load((ROOT / "workflow/envs/nucleiflow.yaml").read_text())["dependencies"]
    conda = pins(next(entry for entry in packages if isinstance(entry, dict))["pip"])
    pip = pins((ROOT / "requirements.txt").read_text().splitlines())
    of_snakemake = ("snakemake", "pygments")
    assert conda == {pin for pin in pip if not pin.startswith(of_snakemake)}
    assert len(conda) > 8


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_setting(schema, value):
    with pytest.raises(settings.ConfigError, match=r"threshold\.manual\.value is .* a number"):
        settings.load({"threshold": {"manual": {"value": value}}}, schema)


@pytest.mark.parametrize(
    ("old", "new"),
    [("mean_intensity", "intensity_mean"), ("equivalent_diameter", "equivalent_diameter_area")],
)
def test_old_names_of_properties_are_answered_with_the_new_ones(schema, old, new):
    with pytest.raises(settings.ConfigError, match=rf"did you mean {new}\?"):
        settings.load({"measure": {"properties": [old]}}, schema)


def test_no_property_at_all_is_refused(schema):
    with pytest.raises(settings.ConfigError) as caught:
        settings.load({"measure": {"properties": []}}, schema)
    sentence = str(caught.value)
    assert sentence.startswith("config: measure.properties is [], must be a list of area, ")
    assert sentence.endswith(", perimeter_crofton, solidity, not empty")


def test_channels_may_be_named_by_numbers(schema):
    loaded = settings.load({"channels": {2: "GFP", 1: "DAPI"}}, schema)
    assert repr(loaded["channels"]) == "{'1': 'DAPI', '2': 'GFP'}"


@pytest.mark.parametrize(
    ("given", "loaded"),
    [("auto", "auto"), (12, 12.0), ("12", 12.0), ("12.50 µm", "12.5 um"), ("12um", "12 um")],
)
def test_diameter_has_one_spelling(schema, given, loaded):
    assert repr(settings.load({"diameter": given}, schema)["diameter"]) == repr(loaded)


def test_ratios_are_of_what_is_measured(schema):
    ratios = {"a": "area_um2 / perimeter_um", "b": "intensity_mean_x / cells_intensity_mean"}
    config = {"measure": {"ratios": ratios}, "cells": {"method": "distance"}}
    assert settings.load(config, schema)["measure"]["ratios"] == ratios


def test_summary_is_of_what_is_measured(schema):
    names = ["area_um2", "intensity_mean", "intensity_max_GFP", "ratio_a", "ratio_a_GFP"]
    config = {
        "measure": {"ratios": {"a": "intensity_mean / intensity_max"}},
        "summary": {"measurements": names},
    }
    assert settings.load(config, schema)["summary"]["measurements"] == names


def test_null_of_the_command_line_is_null(schema):
    loaded = settings.load({"metadata": {"pattern": "null", "plate_map": "null"}}, schema)
    assert loaded["metadata"] == {"pattern": None, "plate_map": None, "join": "auto"}


@pytest.mark.parametrize("method", ["multiotsu", "kmeans", "gaussian_mixture"])
def test_classes_of_background_leave_one_to_the_nuclei(schema, method):
    options = {"classes": 3, "background_classes": 3}
    with pytest.raises(settings.ConfigError) as caught:
        settings.load({"threshold": {"method": method, method: options}}, schema)
    key = f"threshold.{method}"
    assert str(caught.value) == (
        f"config: {key}.background_classes is 3, must be below {key}.classes, which is 3"
    )
    # Another method's options count for nothing.
    settings.load({"threshold": {method: options}}, schema)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"preprocess": {"resize": {"factor": 0.5}}}, 'preprocess.resize is {"factor": 0.5}'),
        ({"watershed": {"method": "opencv"}}, 'watershed.method is "opencv"'),
        (
            {"markers": {"method": "image", "image": {"path": "seeds"}}},
            'markers.method is "image"',
        ),
        ({"labels": "elsewhere"}, 'labels is "elsewhere"'),
    ],
)
def test_what_takes_whole_images_is_refused_with_tiles(config, named):
    settings.load(config, SCHEMA)
    with pytest.raises(settings.ConfigError) as caught:
        settings.load(config | {"tiles": {"size": 512}}, SCHEMA)
    assert str(caught.value) == (
        f"config: {named}, which takes whole images: change it, or set tiles.size to null"
    )
