# What the rules are made of: config, batches, outputs and resources.

import ast
import functools
import gc
import hashlib
import os
import sys
import tomllib
from pathlib import Path

import yaml
from snakemake.logging import logger

# Planning makes millions of objects that stay. Searching them for garbage as often as Python does
# by default takes a fifth of the time of a large dry run, and frees nothing.
gc.freeze()
gc.set_threshold(20_000)

WORKFLOW = Path(workflow.current_basedir).parent
SCRIPTS = WORKFLOW / "scripts"
sys.path.insert(0, str(SCRIPTS))

from nucleiflow import dataset, files, settings

VERSION = tomllib.loads((WORKFLOW.parent / "pyproject.toml").read_text())["project"][
    "version"
]
SCHEMA = yaml.safe_load((WORKFLOW / "schemas" / "config.schema.yaml").read_text())


def refuse(error):
    """End with one sentence instead of a traceback."""
    sys.exit(f"nucleiflow: {error}")


try:
    CONFIG = settings.load(config, SCHEMA)
except settings.ConfigError as error:
    refuse(error)

RESULTS = CONFIG["results"].rstrip("/")
PLAN = f"{RESULTS}/batches/{{batch}}.json"
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
    "labels": "watershed",
    "csv": "measure",
    "overlay": "overlay",
}


if workflow.nodes is not None:
    # On a cluster, the cores of the login node (`cores: all` of profiles/default) are no limit.
    workflow.resource_settings.cores = sys.maxsize
    workflow.global_resources["_cores"] = sys.maxsize


wildcard_constraints:
    batch=r"[A-Za-z0-9_.-]+",


def products(main, *others):
    """Outputs of a stage by name: the main one, temporary unless kept, and the others if kept."""
    folder = directory(f"{RESULTS}/{FOLDERS[main]}/{{batch}}")
    outputs = {main: folder if main in CONFIG["keep"] else temp(folder)}
    for name in others:
        if name in CONFIG["keep"]:
            outputs[name] = directory(f"{RESULTS}/{FOLDERS[name]}/{{batch}}")
    return outputs


def settings_of(stage):
    """The part of the config that a stage depends on, in one value.

    Snakemake compares the values of params as a set, without their names.
    """
    section = settings.active(CONFIG[stage], SCHEMA["properties"][stage])
    if stage in ("watershed", "measure", "overlay"):
        # They read the image file again.
        section |= {
            key: CONFIG["preprocess"][key] for key in ("channel", "crop", "resize")
        }
    if stage == "measure":
        # OpenCV's watershed leaves a frame of one pixel without labels.
        section["frame"] = 1 if CONFIG["watershed"]["method"] == "opencv" else 0
        section["csv"] = "csv" in CONFIG["keep"]
    if stage == "overlay":
        section["lines"] = CONFIG["watershed"]["background"]
    return section


def modules(stage):
    """A hash of the shared modules that a script imports: Snakemake looks at the script alone."""
    pending, seen = [SCRIPTS / f"{stage}.py"], {}
    while pending:
        text = pending.pop().read_text()
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ImportFrom):
                continue
            for name in (
                node.module,
                *(f"{node.module}.{alias.name}" for alias in node.names),
            ):
                path = SCRIPTS / f"{name.replace('.', '/')}.py"
                if path not in seen and path.exists():
                    seen[path] = path.read_text()
                    pending.append(path)
    text = "\0".join(seen[path] for path in sorted(seen))
    return f"modules {hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def refuse_unwritable(results):
    """Say before anything runs that the results will have no place."""
    nearest = next(path for path in (results, *results.parents) if path.exists())
    if not nearest.is_dir():
        refuse(
            f"config: results is {RESULTS}, but {nearest} is a file, name a directory"
        )
    if not os.access(nearest, os.W_OK):
        refuse(f"config: results is {RESULTS}, but {nearest} may not be written to")


@functools.cache
def found():
    """The dataset, looked at once, when the first input function asks for it."""
    from nucleiflow import images

    refuse_unwritable(Path(RESULTS).absolute())
    if CONFIG["images"] is None:
        refuse(
            "config: images is not set, name a directory: --config images=/path/to/images"
        )
    try:
        result = dataset.find(
            str(Path(CONFIG["images"]).expanduser().absolute()),
            CONFIG["extensions"],
            CONFIG["batch_size"],
            images.megapixels,
            exclude=RESULTS,
        )
    except dataset.DatasetError as error:
        refuse(error)
    logger.info(f"nucleiflow: {result.summary()}")
    return result


@functools.cache
def batch_of(name):
    """A batch: from the dataset in the main process, from its own small file in a job."""
    if workflow.is_main_process:
        return found().batches[name]
    return dataset.load(Path(PLAN.format(batch=name)))[0]


def fingerprint(wildcards):
    return batch_of(wildcards.batch).fingerprint


def mem_mb(wildcards, threads, attempt):
    """Snakemake's own processes and imports, and for each worker 60 MB and 45 bytes a pixel.

    Seen: 290 MB, 55 MB and 33 bytes a pixel in markers and watershed, the hungriest stages.
    """
    batch = batch_of(wildcards.batch)
    workers = min(threads, len(batch.files))
    return int((400 + workers * (60 + 45 * batch.megapixels)) * attempt)


def runtime(wildcards, attempt):
    """Minutes: a generous second a megapixel and stage, whatever the number of threads."""
    return int((5 + batch_of(wildcards.batch).total_megapixels / 60) * attempt)


def of_batches(folder):
    """One directory a batch, in the order of the dataset."""
    return [f"{RESULTS}/{folder}/{batch}" for batch in found().batches]


def measured(wildcards):
    return of_batches("measure")


def overlays(wildcards):
    return of_batches("overlay") if "overlay" in CONFIG["keep"] else []


def lacking():
    """What is to be kept of finished batches and is not there: removed, or not kept before.

    Nothing else asks for it, as their tables are made. Of other batches it comes by itself.
    """
    finished = present("measure") & found().batches.keys()
    folders = {FOLDERS[name] for name in CONFIG["keep"]} | {"measure"}
    return [
        f"{RESULTS}/{folder}/{batch}"
        for folder in folders
        for batch in finished - present(folder)
    ]


def present(folder):
    path = Path(RESULTS, folder)
    return set(os.listdir(path)) if path.is_dir() else set()


def everything(wildcards):
    names = ["objects.csv", "objects.parquet", "images.csv", "run.json", "summary.txt"]
    names += ["report/directories.csv", "report/failed.csv", "report/areas.svg"]
    if "overlay" in CONFIG["keep"]:
        names.append("report/overlays.jpg")
    return [f"{RESULTS}/{name}" for name in names] + overlays(wildcards) + lacking()


def write_plan():
    """Write down the batches for the jobs. Runs in the main process, under Snakemake's lock."""
    if workflow.is_main_process:
        try:
            for batch in found().batches.values():
                dataset.save(batch, found().root, Path(PLAN.format(batch=batch.name)))
        except OSError as error:
            refuse(
                f"config: results is {RESULTS}, which cannot be written ({error.strerror})"
            )


def remove_stale():
    """Remove what earlier runs on the same dataset left of batches that exist no more.

    Their images are gone or stand in other batches. Results of another dataset stay.
    """
    if not workflow.is_main_process:
        return
    for path in sorted(Path(PLAN).parent.glob("*.json")):
        name = path.stem
        if name not in found().batches and dataset.load(path)[1] == found().root:
            for folder in FOLDERS.values():
                files.remove(Path(RESULTS, folder, name))
            path.unlink()
