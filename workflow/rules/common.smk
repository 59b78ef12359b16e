# What the rules are made of: the config, names of files, and what stages make.

import gc
import os
import sys
import tomllib
from pathlib import Path

import yaml

# Planning makes millions of objects that stay. Searching them for garbage as often as Python does
# by default takes a fifth of the time of a large dry run, and frees nothing.
gc.freeze()
gc.set_threshold(20_000)
# In all jobs: NumPy's linear algebra would start a thread for each CPU of the node, which a worker
# has no use for. It takes as long as all other imports of a stage.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

WORKFLOW = Path(workflow.current_basedir).parent
SCRIPTS = WORKFLOW / "scripts"
sys.path.insert(0, str(SCRIPTS))

from nucleiflow import files, settings

VERSION = tomllib.loads((WORKFLOW.parent / "pyproject.toml").read_text())["project"][
    "version"
]
# libyaml reads it in a tenth of the time, in each process that plans.
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SCHEMA = yaml.load(
    (WORKFLOW / "schemas" / "config.schema.yaml").read_text(), SAFE_LOADER
)


def refuse(error):
    """End with one sentence instead of a traceback."""
    sys.exit(f"nucleiflow: {files.printable(str(error))}")


try:
    CONFIG = settings.load(config, SCHEMA)
except settings.ConfigError as error:
    refuse(error)


def view_of(chosen):
    """What of an image is looked at, and how: arguments of nucleiflow.field.View."""
    view = {key: chosen[key] for key in ("segment", "channels", "z", "pages", "scenes")}
    view |= {key: chosen["preprocess"][key] for key in ("crop", "resize")}
    return view | {"max_megapixels": chosen["max_image_megapixels"]}


VIEW = view_of(CONFIG)
RESULTS = CONFIG["results"].rstrip("/")
PLAN = f"{RESULTS}/batches/{{batch}}.json"
START = f"{RESULTS}/logs/start.txt"
SLURM_RUN = f"{RESULTS}/logs/slurm.txt"
ILLUMINATION_PLAN = f"{RESULTS}/batches/illumination/{{directory}}.json"
LOG = f"{RESULTS}/logs/{{}}/{{{{batch}}}}.log"
BENCHMARK = f"{RESULTS}/benchmarks/{{}}/{{{{batch}}}}.tsv"

# Where what `keep` names is written, one file an image.
FOLDERS = {
    "channel": "channel",
    "preprocessed": "preprocess",
    "mask": "threshold",
    "sure_background": "sure_background",
    "sure_foreground": "sure_foreground",
    "unknown": "unknown",
    "distance": "distance",
    "markers": "markers",
    "tiles": "tiles",
    "labels": "watershed",
    "cells": "cells",
    "cytoplasm": "cytoplasm",
    "ring": "ring",
    "csv": "measure",
    "overlay": "overlay",
}


def tiles_of(chosen):
    """How large images are cut: arguments of nucleiflow.tiles.cut, or None where they are not."""
    size, overlap = (chosen["tiles"][key] for key in ("size", "overlap"))
    if size is None:
        return None
    # It imports what is slow, and every job comes by here.
    from nucleiflow.tiles import overlap_of

    return {"size": size, "overlap": overlap_of(overlap, chosen["diameter"])}


TILES = tiles_of(CONFIG)

# Objects beside nuclei, and what is measured.
SECONDARY = settings.secondary(CONFIG)
OBJECTS = [
    name
    for name in ("nuclei", *SECONDARY)
    if CONFIG["measure"]["objects"] == "all" or name in CONFIG["measure"]["objects"]
]
# The stages, and what of FOLDERS they make and `keep` names.
FOUND_HERE = CONFIG["labels"] is None
STAGES = (
    ["preprocess", "threshold", "markers", "watershed"] if FOUND_HERE else ["labels"]
)
STAGES += ["join"] if TILES else []
STAGES += ["cells"] if SECONDARY else []
STAGES += ["measure", "overlay"]
KEPT = [
    name
    for name in FOLDERS
    if name in CONFIG["keep"]
    and (FOUND_HERE or name in ("labels", *SECONDARY, "csv", "overlay"))
    and (name in SECONDARY or name not in ("cells", "cytoplasm", "ring"))
]


wildcard_constraints:
    batch=r"[A-Za-z0-9_.-]+",
    directory=r"[A-Za-z0-9_.-]+",


def products(main, *others):
    """Outputs of a stage by name: the main one, temporary unless kept, and the others if kept."""
    folder = directory(f"{RESULTS}/{FOLDERS[main]}/{{batch}}")
    outputs = {main: folder if main in CONFIG["keep"] else temp(folder)}
    for name in others:
        if name in CONFIG["keep"]:
            outputs[name] = directory(f"{RESULTS}/{FOLDERS[name]}/{{batch}}")
    return outputs


def watershed_products():
    """Outputs of the watershed: label images, of tiles where another stage joins them."""
    if TILES:
        return {"labels": temp(directory(f"{RESULTS}/{FOLDERS['tiles']}/{{batch}}"))}
    return products("labels")


def secondary_products():
    """Outputs of the stage of cells: temporary unless kept."""
    folders = {name: directory(f"{RESULTS}/{name}/{{batch}}") for name in SECONDARY}
    return {
        name: folder if name in KEPT else temp(folder)
        for name, folder in folders.items()
    }


def labelled(*names):
    """Inputs of the stages that look at objects; the first is that of the stage before them."""
    beside = [name for name in SECONDARY if name in names]
    before = list(dict.fromkeys([*SECONDARY[:1], "labels", *beside]))
    return {name: f"{RESULTS}/{FOLDERS[name]}/{{batch}}" for name in before}
