"""Settings to try: all combinations of some values of some keys of the config."""

import copy
import difflib
import hashlib
import itertools
import json
import math
import re
from decimal import Decimal
from typing import Any

from nucleiflow import settings
from nucleiflow.settings import ConfigError

# In this order. What concerns a stage concerns all after it.
STAGES = ("preprocess", "threshold", "markers", "watershed", "overlay")
# Keys that stand elsewhere, or in a section of which not all can be swept, and the first stage that
# may depend on them.
OTHERS = {
    "segment": "preprocess",
    "z": "preprocess",
    "diameter": "threshold",
    "overlay.color": "overlay",
}
# The name of the config as it is.
PLAIN = "config"
LONGEST = 160


def stage_of(key: str) -> str | None:
    """The first stage that a key concerns, or None for a key that no label depends on."""
    section = key.partition(".")[0]
    return OTHERS.get(key, section if section in STAGES[:-1] else None)


def combinations(parameters: dict, schema: dict, limit: int) -> list[dict[str, Any]]:
    """All combinations of values, each a value by the dotted name of its key.

    Parameters
    ----------
    parameters : dict
        By dotted name a list of values, `{from, to, step}` or `{from, to, number}`.
    schema : dict
        Of the config. Keys come in its order, whatever that of the parameters.
    limit : int

    Raises
    ------
    ConfigError
        Where a key does not exist or changes no label, values are no list or range, or there are
        more combinations than the limit.
    """
    known = [name for name, _ in settings.keys(schema) if stage_of(name)]
    for name in parameters:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1, 0.6)
            raise ConfigError(
                f"config: sweep.parameters names {name}, which cannot be swept"
                + (f" (did you mean {near[0]}?)" if near else "")
                + f": the keys of {', '.join(STAGES[:-2])} and {STAGES[-2]} can, and "
                f"{', '.join(key for key in OTHERS if key in known)}"
            )
    names = sorted(parameters, key=lambda name: (STAGES.index(stage_of(name)), known.index(name)))
    values = [values_of(name, parameters[name]) for name in names]
    number = math.prod(map(len, values))
    if number > limit:
        product = " x ".join(str(len(each)) for each in values)
        raise ConfigError(
            f"config: sweep.parameters makes {number} settings ({product}), more than "
            f"sweep.max_settings, which is {limit}: take fewer values, or raise it"
        )
    return [
        dict(zip(names, combination, strict=True)) for combination in itertools.product(*values)
    ]


def values_of(name: str, values: Any) -> list:
    """The values of a parameter, of which a range may be given; raises ConfigError."""
    if isinstance(values, list) and values:
        return values
    shown = json.dumps(values, default=str)
    wrong = ConfigError(
        f"config: sweep.parameters: {name} is {shown}, must be a list of values, "
        "{from, to, step} or {from, to, number}"
    )
    if not isinstance(values, dict) or values.keys() not in (
        {"from", "to", "step"},
        {"from", "to", "number"},
    ):
        raise wrong
    try:
        low, high, third = (Decimal(str(values[key])) for key in values_order(values))
        if not all(number.is_finite() for number in (low, high, third)):
            raise wrong
    except ArithmeticError:
        raise wrong from None
    if third <= 0 or high < low or ("number" in values and third != int(third)):
        raise ConfigError(
            f"config: sweep.parameters: {name} is {shown}, must go up from `from` to `to`, with a "
            "step above 0 or a whole number"
        )
    if "number" in values:
        steps = int(third)
        step = (high - low) / (steps - 1) if steps > 1 else Decimal(0)
    else:
        step = third
        steps = int((high - low) / step) + 1
    return [_number(low + index * step) for index in range(steps)]


def values_order(values: dict) -> tuple[str, str, str]:
    """The keys of a range in the order in which they are read."""
    return "from", "to", "step" if "step" in values else "number"


def _number(value: Decimal) -> int | float:
    """As a person would write it: 0.3, not 0.30000000000000004."""
    rounded = float(f"{value:.12g}")
    return int(rounded) if rounded.is_integer() else rounded


def up_to(values: dict[str, Any], stage: str) -> dict[str, Any]:
    """Those of the values that concern a stage or one before it."""
    last = STAGES.index(stage)
    return {key: value for key, value in values.items() if STAGES.index(stage_of(key)) <= last}


def name_of(values: dict[str, Any]) -> str:
    """A name for some values that can be part of a path: `threshold.method=li_...`."""
    parts = [f"{key}={_spelled(value)}" for key, value in values.items()]
    name = "_".join(parts) or PLAIN
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}.{_hash(name)}"


def _spelled(value: Any) -> str:
    text = shown(value)
    plain = re.sub(r"[^A-Za-z0-9+.-]+", "-", text)
    return plain if plain == text else f"{plain[:40].strip('-')}.{_hash(text)}"


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def applied(config: dict, values: dict[str, Any], schema: dict) -> dict:
    """The whole config with these values in it, checked as any config; raises ConfigError."""
    changed = copy.deepcopy(config)
    for key, value in values.items():
        *sections, last = key.split(".")
        group = changed
        for section in sections:
            if not isinstance(group.get(section), dict):
                group[section] = {}
            group = group[section]
        group[last] = copy.deepcopy(value)
    try:
        return settings.load(changed, schema)
    except ConfigError as error:
        sentence = str(error).removeprefix("config: ")
        raise ConfigError(f"config: sweep.parameters: {sentence}") from None


def distinct(
    combined: list[dict[str, Any]], effects: list[str]
) -> list[tuple[int, dict[str, Any]]]:
    """The combinations that come to something of their own, without values that do not count.

    An option of a method that a combination does not choose does not count in it.

    Parameters
    ----------
    combined : list of dict
        What `combinations` gave.
    effects : list of str
        What each comes to, in the same words where it is the same.

    Returns
    -------
    list of (index of the combination, dict)

    Raises
    ------
    ConfigError
        Where a key of several values counts in no combination.
    """
    effect_of = {repr(values): effect for values, effect in zip(combined, effects, strict=True)}
    choices: dict[str, dict[str, Any]] = {}
    for values in combined:
        for key, value in values.items():
            choices.setdefault(key, {})[repr(value)] = value

    def counts(key: str, values: dict, effect: str) -> bool:
        others = (values | {key: other} for other in choices[key].values())
        return len(choices[key]) == 1 or any(effect_of[repr(one)] != effect for one in others)

    found: list[tuple[int, dict]] = []
    seen: set[str] = set()
    counted: set[str] = set()
    for index, (values, effect) in enumerate(zip(combined, effects, strict=True)):
        if effect in seen:
            continue
        seen.add(effect)
        kept = {key: value for key, value in values.items() if counts(key, values, effect)}
        counted |= kept.keys()
        found.append((index, kept))
    for key in choices:
        if key not in counted:
            raise ConfigError(
                f"config: sweep.parameters: {key} changes nothing, all its values give the same: "
                "if it belongs to a method that is not chosen, set or sweep that, too"
            )
    return found


def nested(values: dict[str, Any]) -> dict:
    """Values by dotted names as groups of keys."""
    result: dict = {}
    for key, value in values.items():
        *sections, last = key.split(".")
        group = result
        for section in sections:
            group = group.setdefault(section, {})
        group[last] = value
    return result


def restricted(config: dict, schema: dict, values: dict[str, Any]) -> dict:
    """What of a config labels depend on, as far as it is not the default, and these values."""
    defaults = settings.load({}, schema)
    sections = ("channels", "pages", "scenes", *STAGES[:-1], *OTHERS)
    kept = {key: config[key] for key in config if key in sections}
    merged = _merged(_differing(kept, defaults), nested(values))
    return {key: merged[key] for key in config if key in merged}


def _differing(value: dict, default: dict) -> dict:
    result = {}
    for key, entry in value.items():
        if isinstance(entry, dict) and isinstance(default.get(key), dict):
            entry = _differing(entry, default[key])
            if entry:
                result[key] = entry
        elif key not in default or entry != default[key]:
            result[key] = entry
    return result


def _merged(one: dict, other: dict) -> dict:
    result = dict(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def shown(value: Any) -> str:
    """A value as it stands in a config, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)
