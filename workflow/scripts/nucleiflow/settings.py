"""The config: every mistake refused in one sentence, every default filled in from the schema."""

import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker, validators
from jsonschema.exceptions import ValidationError

from nucleiflow import columns, families, lengths
from nucleiflow.columns import Column, Found

TYPES = {
    "object": "a group of keys",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


class ConfigError(ValueError):
    """What is wrong with the config, in one sentence for its author."""


def _is_color(value: object) -> bool:
    from PIL import ImageColor

    if isinstance(value, str):
        ImageColor.getrgb(value)
    return True


def _is_length_or_area(value: object) -> bool:
    if isinstance(value, str):
        lengths.micrometres(value)
    return True


def _is_length(value: object) -> bool:
    return not isinstance(value, str) or lengths.micrometres(value)[1] == 1


def _is_number(_, value: object) -> bool:
    """YAML's .nan and .inf are no settings."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("number", _is_number),
)
FORMATS = FormatChecker(formats=())
FORMATS.checks("color", raises=ValueError)(_is_color)
FORMATS.checks("length", raises=ValueError)(_is_length)
FORMATS.checks("length or area", raises=ValueError)(_is_length_or_area)


def load(config: dict, schema: dict) -> dict:
    """The config, checked against the schema, complete, and in the schema's order.

    Two configs that mean the same give equal results with equal `repr`, whatever the order and
    spelling of their numbers: Snakemake compares settings by `repr`.

    Raises ConfigError, whose text names the key, its value and what is allowed.
    """
    config = _typed(config, schema)
    errors = Validator(schema, format_checker=FORMATS).iter_errors(config)
    first = min(errors, key=lambda error: list(map(str, error.absolute_path)), default=None)
    if first is not None:
        raise ConfigError(_sentence(first))
    settings = _complete(config, schema)
    # What no schema can say: keys that must fit together.
    gaussian = settings["preprocess"]["denoise"]["gaussian"]
    if gaussian["sigma"] is None and gaussian["kernel"] is None:
        raise ConfigError(
            "config: preprocess.denoise.gaussian.sigma and preprocess.denoise.gaussian.kernel "
            "are both null, set at least one of them"
        )
    threshold = settings["threshold"]
    options = threshold.get(threshold["method"], {})
    if options.get("background_classes", 0) >= options.get("classes", 1):
        key = f"threshold.{threshold['method']}"
        raise ConfigError(
            f"config: {key}.background_classes is {options['background_classes']}, must be below "
            f"{key}.classes, which is {options['classes']}"
        )
    if settings["markers"]["method"] == "image" and settings["markers"]["image"]["path"] is None:
        raise ConfigError(
            "config: markers.method is image, which needs markers.image.path: name the directory "
            "of the images of seeds"
        )
    watershed = settings["watershed"]
    _check_tiles(settings)
    if watershed["background"] and watershed["method"] != "opencv":
        raise ConfigError(
            f"config: watershed.background is true, which needs watershed.method opencv, "
            f"not {watershed['method']}"
        )
    if watershed["max_area"] is not None and watershed["max_area"] < watershed["min_area"]:
        raise ConfigError(
            f"config: watershed.max_area is {watershed['max_area']}, must be at least "
            f"watershed.min_area, which is {watershed['min_area']}"
        )
    cut, whole = (watershed[rule]["solidity"] for rule in ("split", "merge"))
    if cut is not None and whole is not None and whole < cut:
        raise ConfigError(
            f"config: watershed.merge.solidity is {whole}, must be at least "
            f"watershed.split.solidity, which is {cut}, or what is split is merged again"
        )
    for index, limits in enumerate(watershed["filters"]):
        _check_limits(f"watershed.filters[{index}]", limits)
    for flag in settings["qc"]["exclude"]:
        key = "focus" if flag == "out_of_focus" else flag
        if settings["qc"][key] is None:
            raise ConfigError(
                f"config: qc.exclude names {flag}, which no image gets with qc.{key} null: set it "
                "to auto or a number"
            )
    made = secondary(settings)
    if made and watershed["background"] and settings["labels"] is None:
        key = "cells.method" if "cells" in made else "cells.ring.width"
        raise ConfigError(
            f"config: {key} is set, which leaves no place to watershed.background true, set one of "
            "them back"
        )
    measure = settings["measure"]
    chosen = families.chosen(measure)
    for name, sides in (measure["ratios"] or {}).items():
        others = columns.added(None, chosen)
        _check_ratio(f"measure.ratios.{name}", name, sides, measure, made, others)
    others = columns.added(measure["ratios"], chosen)
    if settings["summary"]["measurements"] != "auto":
        for name in settings["summary"]["measurements"]:
            _check_measured("summary.measurements", name, measure, made, others)
    for name in settings["report"]["measurements"]:
        # What could be measured and is not is said on the page: by default it names three.
        _find_column("report.measurements", name, measure, others)
    for name in settings["measure"]["objects"]:
        if settings["measure"]["objects"] != "all" and name not in ("nuclei", *made):
            key = "cells.ring.width" if name == "ring" else "cells.method"
            raise ConfigError(
                f"config: measure.objects names {name}, which {key} does not make: set that, too"
            )
    return settings


def _check_tiles(settings: dict) -> None:
    """Tiles are cut out of the pixels of the file, and no label may be that of a whole image."""
    if settings["tiles"]["size"] is None:
        return
    whole = {"preprocess.resize": settings["preprocess"]["resize"], "labels": settings["labels"]}
    for stage, method in (("markers", "image"), ("watershed", "opencv")):
        if settings[stage]["method"] == method:
            whole[f"{stage}.method"] = method
    for key, value in whole.items():
        if value is not None:
            raise ConfigError(
                f"config: {key} is {json.dumps(value)}, which takes whole images: change it, or "
                "set tiles.size to null"
            )


def _check_ratio(
    key: str,
    name: str,
    sides: str,
    measure: dict,
    beside: tuple[str, ...],
    others: Iterable[Column],
) -> None:
    """A ratio has a plain name and is of two columns that are measured."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ConfigError(
            f"config: {key} is called {name}, must be letters, digits and _, as it becomes a column"
        )
    parts = [part.strip() for part in sides.split("/")]
    if len(parts) != 2 or not all(parts):
        raise ConfigError(
            f"config: {key} is {sides}, must be two columns with / between them, such as "
            "intensity_mean / cytoplasm_intensity_mean"
        )
    for part in parts:
        _check_measured(key, part, measure, beside, others)


def _check_measured(
    key: str, name: str, measure: dict, beside: tuple[str, ...], others: Iterable[Column] = ()
) -> None:
    """A column of `objects` is measured, or one of `others`."""
    objects = ("nuclei", *beside) if measure["objects"] == "all" else measure["objects"]
    found = _find_column(key, name, measure, others)
    if found.of not in objects:
        raise ConfigError(
            f"config: {key} names {name}, but {found.of} are not measured: "
            f"{'set measure.objects' if found.of == 'nuclei' else 'see cells'}"
        )
    measured = (*measure["properties"], "label", "on_border")
    if found.column not in others and found.property not in measured:
        raise ConfigError(
            f"config: {key} names {name}, but measure.properties has no {found.property}: add "
            "it there"
        )


def _find_column(key: str, name: str, measure: dict, others: Iterable[Column]) -> Found:
    """What a column of `objects` is, if there can be one of this name."""
    found = columns.find(name, others)
    if found is None:
        known = [*measure["properties"], *(column.name for column in others)]
        near = _nearest(name, known, 0.6)
        raise ConfigError(
            f"config: {key} names {name}, which is no column that can be measured"
            + (f" (did you mean {near}?)" if near else "")
        )
    return found


def _check_limits(key: str, limits: dict) -> None:
    """Limits of a property fit it and each other; in micrometres they get one spelling."""
    name, power = limits["property"], columns.power_of(limits["property"])
    for end in ("min", "max"):
        value = limits[end]
        if not isinstance(value, str):
            continue
        if lengths.micrometres(value)[1] != power:
            takes = {
                1: "a number or a length such as 8 um",
                2: "a number or an area such as 50 um2",
            }
            raise ConfigError(
                f"config: {key}.{end} is {json.dumps(value, ensure_ascii=False)}, must be "
                f"{takes.get(power, 'a number')} for {name}"
            )
        limits[end] = lengths.spelled(value)
    low, high = limits["min"], limits["max"]
    if low is None and high is None:
        raise ConfigError(f"config: {key} has neither min nor max, set one for {name}")
    texts = isinstance(low, str), isinstance(high, str)
    if None not in (low, high) and texts[0] == texts[1]:
        ends = [lengths.micrometres(end)[0] if texts[0] else end for end in (low, high)]
        if ends[1] < ends[0]:
            raise ConfigError(
                f"config: {key}.max is {high}, must be at least {key}.min, which is {low}"
            )


def secondary(config: dict) -> tuple[str, ...]:
    """Objects beside nuclei that a config asks for: `cells` and `cytoplasm`, `ring`."""
    cells = ("cells", "cytoplasm") if config["cells"]["method"] != "none" else ()
    return (*cells, "ring") if config["cells"]["ring"]["width"] > 0 else cells


def active(section: dict, schema: dict) -> dict:
    """A section without the options of the methods that it does not use.

    What is left is what a stage depends on: editing an option of another method re-runs nothing.
    The options of the chosen method stand under `options`.
    """
    keys = schema["properties"]
    methods = keys["method"]["enum"] if "method" in keys else []
    result = {}
    for key, value in section.items():
        if key in methods:
            continue
        nested = isinstance(value, dict) and keys.get(key, {}).get("default") == {}
        result[key] = active(value, keys[key]) if nested else value
    if methods:
        result["options"] = section.get(section["method"], {})
    return result


def of_stage_measure(section: dict) -> dict:
    """What the stage measure depends on of its section, without what it does not use.

    `families` become their options by their names. Ratios are made where the tables are joined.
    """
    left_out = {"ratios", *families.FAMILIES}
    if not section["families"]:
        left_out.add("max_intensity")
    used = {key: value for key, value in section.items() if key not in left_out}
    return used | {"families": families.chosen(section)}


def keys(schema: dict, prefix: str = "") -> Iterator[tuple[str, dict]]:
    """Every key of a schema with its dotted name, parents before their children."""
    for name, entry in schema.get("properties", {}).items():
        yield prefix + name, entry
        yield from keys(entry, f"{prefix}{name}.")


def _typed(value: Any, schema: dict) -> Any:
    """Texts read as YAML where only that makes them valid.

    Snakemake gives what stands in the braces of `--config key='{other: 3}'` as texts.
    """
    properties, items = schema.get("properties"), schema.get("items")
    others = schema.get("additionalProperties")
    if isinstance(value, dict) and properties:
        return {
            key: _typed(entry, properties[key]) if key in properties else entry
            for key, entry in value.items()
        }
    if isinstance(value, dict) and others:
        return {key: _typed(entry, others) for key, entry in value.items()}
    if isinstance(value, list) and items:
        return [_typed(entry, items) for entry in value]
    for choice in schema.get("anyOf", []):
        typed = _typed(value, choice)
        if _valid(typed, choice):
            return typed
    if value == "null" and "null" in schema.get("type", []):
        return None
    if isinstance(value, str) and not _valid(value, schema):
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError:
            return value
        # What is wrong with a number is not that it is a text: so it comes from a command line.
        return read if _valid(read, schema) or isinstance(read, (int, float)) else value
    return value


def _valid(value: Any, schema: dict) -> bool:
    return Validator(schema, format_checker=FORMATS).is_valid(value)


def _complete(value: Any, schema: dict) -> Any:
    properties = schema.get("properties")
    if isinstance(value, dict) and properties:
        return {
            name: _complete(value.get(name, entry.get("default")), entry)
            for name, entry in properties.items()
            if name in value or "default" in entry
        }
    others = schema.get("additionalProperties")
    if isinstance(value, dict) and others:
        # YAML takes `1: DAPI` for a number.
        return {str(key): _complete(value[key], others) for key in sorted(value, key=str)}
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_complete(item, schema["items"]) for item in value]
    for choice in schema.get("anyOf", []):
        if _valid(value, choice):
            return _complete(value, choice)
    if isinstance(value, str) and schema.get("format") == "length":
        return lengths.spelled(value)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if "number" in types and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # 3.0 is a whole number to JSON schema, but not to range() or OpenCV.
    if "number" not in types and isinstance(value, float):
        return int(value)
    return value


def _sentence(error: ValidationError) -> str:
    key = ""
    for part in error.absolute_path:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    schema, rule = error.schema, error.validator
    if rule == "additionalProperties":
        known = list(schema["properties"])
        unknown = next(str(name) for name in error.instance if name not in known)
        name = f"{key}.{unknown}" if key else unknown
        before, _, after = unknown.partition(":")
        if before in known:
            return f"config: {name} lacks a space after the colon, write {before}: {after}"
        near = (
            _nearest(unknown, known, 0.8)
            or _inside(unknown, schema, error.instance)
            or _nearest(unknown, known, 0.0)
        )
        return f"config: unknown key {name}, did you mean {near}? (known: {', '.join(known)})"
    if rule == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        takes = allowed(schema["properties"][missing])
        return f"config: {key}.{missing} is missing, set it to {takes}"
    takes, shown = allowed(schema), json.dumps(error.instance, default=str, ensure_ascii=False)
    # Of several forms that a value may have, it is that of a list.
    if "uniqueItems" in (rule, *(part.validator for part in error.context)):
        return f"config: {key} is {shown}, which names something twice"
    if rule == "enum" and isinstance(error.instance, str):
        near = _nearest(error.instance, list(map(str, schema["enum"])), 0.6)
        takes += f" (did you mean {near}?)" if near else ""
    return f"config: {key or 'the whole config'} is {shown}, must be {takes}"


def _inside(key: str, schema: dict, section: dict) -> str | None:
    """Where a key belongs that stands one level too high: to the chosen method, if that has it."""
    groups = [
        name for name, entry in schema["properties"].items() if key in entry.get("properties", {})
    ]
    groups.sort(key=lambda name: name != section.get("method"))
    return f"{groups[0]}.{key}" if groups else None


def _nearest(word: str, known: list[str], cutoff: float) -> str | None:
    """The known word most like another, also where its parts stand in another order."""
    spelled = {name: name for name in known}
    spelled |= {"_".join(sorted(name.split("_"))): name for name in known}
    words = {word, "_".join(sorted(word.split("_")))}
    ratios = [
        (difflib.SequenceMatcher(None, spelling, one).ratio(), name)
        for one in words
        for spelling, name in spelled.items()
    ]
    ratio, name = max(ratios, key=lambda pair: pair[0], default=(0.0, None))
    return name if ratio >= cutoff else None


def allowed(schema: dict) -> str:
    """What a schema entry takes, in words."""
    if "x-allowed" in schema:
        return schema["x-allowed"]
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    text = " or ".join(TYPES[name] for name in types if name != "null")
    if "minimum" in schema:
        text += f" from {schema['minimum']}"
    if "exclusiveMinimum" in schema:
        text += f" above {schema['exclusiveMinimum']}"
    if "maximum" in schema:
        text += f" to {schema['maximum']}"
    if "exclusiveMaximum" in schema:
        text += f" and below {schema['exclusiveMaximum']}"
    if "enum" in schema.get("items", {}):
        text += " of " + ", ".join(map(str, schema["items"]["enum"]))
    if schema.get("minItems") or schema.get("minLength"):
        text += ", not empty"
    return text + (" or null" if "null" in types else "")
