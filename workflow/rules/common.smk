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

from nucleiflow import files, plan, settings

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

# What of an image is looked at, and how: arguments of nucleiflow.field.View.
VIEW = {key: CONFIG[key] for key in ("segment", "channels", "z", "pages", "scenes")}
VIEW |= {key: CONFIG["preprocess"][key] for key in ("crop", "resize")}
VIEW["max_megapixels"] = CONFIG["max_image_megapixels"]
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
    if stage == "preprocess":
        section = {"denoise": section["denoise"]}
    if stage in ("preprocess", "watershed", "measure", "overlay"):
        # They read the image file.
        section["view"] = VIEW
    if stage == "measure":
        # OpenCV's watershed leaves a frame of one pixel without labels.
        section["frame"] = 1 if CONFIG["watershed"]["method"] == "opencv" else 0
        section["csv"] = "csv" in CONFIG["keep"]
    if stage == "overlay":
        section["lines"] = CONFIG["watershed"]["background"]
    return section


def modules(stage):
    """A hash of the shared modules that a script imports: Snakemake looks at the script alone."""
    pending, seen = [SCRIPTS / f"{stage}.py"], set()
    while pending:
        for path in imported(pending.pop()) - seen:
            seen.add(path)
            pending.append(path)
    text = "\0".join(path.read_text() for path in sorted(seen))
    return f"modules {hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


@functools.cache
def imported(path):
    """The shared modules that a file imports; the package of readers counts as one."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            for module in (
                SCRIPTS / name.replace(".", "/") for name in (node.module, *names)
            ):
                found.add(module.with_suffix(".py"))
                if module.name == "readers":
                    found.update(module.glob("*.py"))
    return {path for path in found if path.exists()}


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
    from nucleiflow.survey import DatasetError, survey

    refuse_unwritable(Path(RESULTS).absolute())
    try:
        result = survey(CONFIG, VIEW, RESULTS)
    except DatasetError as error:
        refuse(error)
    logger.info(f"nucleiflow: {result.summary()}")
    return result


@functools.cache
def batch_of(name):
    """A batch: from the dataset in the main process, from its own small file in a job."""
    if workflow.is_main_process:
        return found().batches[name]
    return plan.load(Path(PLAN.format(batch=name))).batch


def fingerprint(wildcards):
    return batch_of(wildcards.batch).fingerprint


def metadata(wildcards):
    """Changes with what file names and the plate map tell, which concerns the tables alone."""
    told = hashlib.blake2b(digest_size=16)
    for batch in found().batches.values():
        told.update(repr([image.metadata for image in batch.images]).encode())
    return f"{found().columns} {told.hexdigest()} {found().plate_map}"


def facts(wildcards):
    """What the inventory tells besides headers."""
    dataset = found()
    names = ("path", "columns", "naming", "ignored", "loops", "set_aside")
    result = {name: getattr(dataset, name) for name in names}
    result["set_aside"] = {
        why: (len(paths), paths[0]) for why, paths in dataset.set_aside.items()
    }
    largest = max(memory(batch, 4) for batch in dataset.batches.values())
    return result | {
        "names": list(dataset.batches),
        "batches": len(dataset.batches),
        "mem_mb": int(largest),
    }


def plate_map():
    """Where the plate map is, and how it is joined."""
    path, join = (CONFIG["metadata"][key] for key in ("plate_map", "join"))
    return path and {"path": os.path.abspath(os.path.expanduser(path)), "join": join}


def mem_mb(wildcards, threads, attempt):
    """Snakemake's own processes and imports, and for each worker 60 MB and 45 bytes a pixel.

    Seen: 290 MB, 55 MB and 33 bytes a pixel in markers and watershed, the hungriest stages.
    """
    return int(memory(batch_of(wildcards.batch), threads) * attempt)


def memory(batch, threads):
    workers = min(threads, len(batch.images) * batch.extent.images)
    return 400 + workers * (60 + 45 * batch.extent.megapixels)


def runtime(wildcards, attempt):
    """Minutes: a generous second a megapixel and stage, whatever the number of threads."""
    return int((5 + batch_of(wildcards.batch).work / 60) * attempt)


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
            looked = found()
            for batch in looked.batches.values():
                path = Path(PLAN.format(batch=batch.name))
                plan.save(batch, looked.path, looked.root, looked.columns, path)
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
        if name not in found().batches and plan.dataset_of(path) == found().path:
            for folder in FOLDERS.values():
                files.remove(Path(RESULTS, folder, name))
            path.unlink()
