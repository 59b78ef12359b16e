"""Writes the config's pages from the schema, and the README's tables of columns: `make docs`."""

import json
import sys
import textwrap
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from nucleiflow import columns  # noqa: E402
from nucleiflow.settings import allowed, keys  # noqa: E402

HEAD = """\
# The config of nucleiflow: what is done to the images. Every key, with its default.
# Change it here, or better keep only the keys that you change in a file of your own:
#     snakemake --configfile my.yaml
# What each key means and allows stands in config/README.md, too.
"""

INTRODUCTION = """\
# The config

Keys that you do not set keep their defaults, which are those of [`config.yaml`](config.yaml).
Put yours into a file of your own and name it with `--configfile my.yaml`, or set single keys
with `--config`:

    snakemake -c all --config images=/data/plates threshold='{method: li}'

A file needs only the keys that differ. This one segments the green channel and drops specks:

```yaml
images: /data/plates
segment: green
watershed:
  min_area: 100
```

## Your microscope, your config

MICROSCOPES

## How keys work

A method's own keys stand under its name, so that changing the method needs one word and going
back forgets nothing. Only the keys of the chosen method count. Lengths are in pixels and areas in
square pixels of the image after crop and resize; intensities are in the image's own units (0 to
255 for 8 bits, to 4095 for 12 and to 65,535 for 16). A mistake is refused before anything runs,
in a sentence that names the key.

`preprocess` to `measure` are the five stages; `overlay` draws the outlines. Changing a key re-runs
its stage and those after it, nothing else.

[`presets/workshop.yaml`](presets/workshop.yaml) gives the results of the workshop 'Scientific Image
Processing with Python OpenCV' to the last digit:

    snakemake -c all --configfile config/presets/workshop.yaml --config images=/path/to/images

This page is made from [the schema](../workflow/schemas/config.schema.yaml) by `make docs`.

## Keys
"""


def config_yaml(schema: dict) -> str:
    """The config file with every key at its default and its description above it."""
    return HEAD + "\n".join(_yaml_lines(schema, 0)) + "\n"


def microscopes() -> str:
    """The table of the README with a config for each microscope."""
    text = (ROOT / "README.md").read_text()
    return text.partition("<!-- microscopes -->")[2].partition("<!-- /microscopes -->")[0].strip()


def readme(schema: dict) -> str:
    """The page with a table of all keys."""
    rows = ["| key | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    for name, entry in keys(schema):
        default = "" if entry.get("default", {}) == {} else f"`{_show(entry['default'])}`"
        group = "properties" in entry and "null" not in entry.get("type", [])
        rows.append(
            f"| `{name}` | {default} | {'' if group else _escape(allowed(entry))} "
            f"| {_escape(entry['description'])} |"
        )
        for step, value in entry.get("items", {}).get("properties", {}).items():
            default = f"`{_show(value['default'])}`" if "default" in value else ""
            rows.append(
                f"| `{name}[].{step}` | {default} | {_escape(allowed(value))} "
                f"| {_escape(value['description'])} |"
            )
    introduction = INTRODUCTION.replace("MICROSCOPES", microscopes())
    return introduction + "\n" + "\n".join(rows) + "\n"


def with_columns(text: str, schema: dict) -> str:
    """The README, with what stands between its marks for tables of columns made anew."""
    chosen = schema["properties"]["measure"]["properties"]["properties"]["default"]
    default = [columns.PROPERTIES[name] for name in chosen]
    others = [column for name, column in columns.PROPERTIES.items() if name not in chosen]
    images = [*columns.PLACE, *columns.NAMED, *columns.IMAGES]
    images += [each._replace(name=f"{each.name}_CHANNEL") for each in columns.CHANNELS]
    tables = {
        "default columns": [_property_row(column) for column in (*default, *columns.OBJECT)],
        "other columns": [_property_row(column) for column in others],
        "image columns": [(f"`{each.name}`", each.unit, each.meaning) for each in images],
    }
    for mark, rows in tables.items():
        head = ("column", "unit", "what", "`naming: cellprofiler`")[: len(rows[0])]
        lines = [head, ["---"] * len(head), *rows]
        table = "\n".join("| " + " | ".join(map(_escape, line)) + " |" for line in lines)
        before, _, rest = text.partition(f"<!-- {mark} -->")
        _, _, after = rest.partition(f"<!-- /{mark} -->")
        text = f"{before}<!-- {mark} -->\n\n{table}\n\n<!-- /{mark} -->{after}"
    return text


def _property_row(column: columns.Column) -> tuple[str, ...]:
    """A property with CellProfiler's name, that of its first number where it has several."""
    numbers = column.cellprofiler.count("{")
    found = columns.find(column.name + "-0" * numbers)
    theirs, _ = columns.cellprofiler(found, column.name)
    channel = "_CHANNEL" if column in columns.INTENSITY else ""
    return f"`{column.name}{channel}`", column.unit, column.meaning, f"`{theirs}{channel}`"


def _yaml_lines(schema: dict, depth: int) -> list[str]:
    lines = []
    for name, entry in schema["properties"].items():
        if "default" not in entry:
            continue
        pad = "  " * depth
        comment = textwrap.wrap(entry["description"].replace("`", ""), 92 - len(pad))
        lines += ["", *(f"{pad}# {line}" for line in comment)] if depth < 2 else []
        nested = entry["default"] == {}
        end = "" if depth < 2 or nested else f"  # {entry['description'].replace('`', '')}"
        lines.append(f"{pad}{name}:{'' if nested else ' ' + _show(entry['default'])}{end}")
        if nested:
            lines += _yaml_lines(entry, depth + 1)
    return lines


def _show(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[" + ", ".join(map(_show, value)) + "]"
    return json.dumps(value)


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    (ROOT / "config/config.yaml").write_text(config_yaml(schema))
    (ROOT / "config/README.md").write_text(readme(schema))
    page = ROOT / "README.md"
    page.write_text(with_columns(page.read_text(), schema))
