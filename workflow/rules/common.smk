# What the rules are made of: config, batches, outputs and resources.

import datetime
import functools
import gc
import hashlib
import json
import os
import sys
import tomllib
from pathlib import Path

import yaml
from snakemake.logging import logger
from snakemake.settings.enums import Quietness

# Planning makes millions of objects that stay. Searching them for garbage as often as Python does
# by default takes a fifth of the time of a large dry run, and frees nothing.
gc.freeze()
gc.set_threshold(20_000)

WORKFLOW = Path(workflow.current_basedir).parent
SCRIPTS = WORKFLOW / "scripts"
sys.path.insert(0, str(SCRIPTS))

from nucleiflow import (
    duration,
    families,
    files,
    footprint,
    job,
    job_costs,
    lengths,
    plan,
    settings,
    slurm,
    sources,
    terminal,
)

VERSION = tomllib.loads((WORKFLOW.parent / "pyproject.toml").read_text())["project"][
    "version"
]
SCHEMA = yaml.safe_load((WORKFLOW / "schemas" / "config.schema.yaml").read_text())


def refuse(error):
    """End with one sentence instead of a traceback."""
    sys.exit(f"nucleiflow: {files.printable(str(error))}")


try:
    CONFIG = settings.load(config, SCHEMA)
except settings.ConfigError as error:
    refuse(error)


def last_words():
    """What a run of the whole workflow says at its end, if it came to its tables."""
    record = [job for job in workflow.dag.jobs if job.rule.name == "run_record"]
    made = [job for job in record if not workflow.dag.needrun(job)]
    made += filter(workflow.dag.finished, record)
    if not made or Quietness.ALL in (workflow.output_settings.quiet or ()):
        return []
    run = json.loads(Path(RESULTS, "run.json").read_text())
    return terminal.last_words(run, Path(RESULTS), sys.argv[1:], Path(workflow.rundir))


if workflow.is_main_process and not workflow.output_settings.dryrun:
    TERMINAL = terminal.Terminal(logger, last_words)


def listen():
    """Hear of each job that ends, which Snakemake does not say with `--quiet`."""
    if workflow.is_main_process:
        workflow.scheduler.print_progress = True


def end_earlier():
    """End what an earlier run, which was killed, left on Slurm; gives ids of jobs."""
    try:
        return slurm.end_earlier(Path(SLURM_RUN))
    except job.JobError as error:
        refuse(error)


def take_over():
    """Let this run alone write to the results, and outlast Slurm's controller."""
    if not workflow.is_main_process:
        return
    if ended := end_earlier():
        refuse(
            f"Slurm jobs of an earlier run ({', '.join(ended)}) went on while this one was planned, "
            "they have been ended: start again"
        )
    record = Path(SLURM_RUN)
    record.unlink(missing_ok=True)
    executor = workflow.scheduler._executor
    if type(executor).__module__ == "snakemake_executor_plugin_slurm":
        slurm.outlast(executor)
        with files.replaced(record) as part:
            part.write_text(executor.run_uuid)


def hand_back():
    """Forget the Slurm jobs of this run, which have all ended."""
    if workflow.is_main_process:
        Path(SLURM_RUN).unlink(missing_ok=True)


def end():
    """Say what came out when all else is said."""
    if workflow.is_main_process:
        TERMINAL.ended = True


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

if workflow.nodes is not None:
    # On a cluster, the cores of the login node (`cores: all` of profiles/default) are no limit.
    workflow.resource_settings.cores = sys.maxsize
    workflow.global_resources["_cores"] = sys.maxsize
    if workflow.is_main_process:
        slurm.wait_to_submit()


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


def settings_of(stage, chosen=CONFIG):
    """The part of a config that a stage depends on, in one value.

    Snakemake compares the values of params as a set, without their names.
    """
    section = settings.active(chosen[stage], SCHEMA["properties"][stage])
    if stage == "illumination":
        section = {
            "offset": section["offset"],
            "degree": section["options"].get("degree"),
        }
        section["view"] = view_of(chosen) | dict.fromkeys(("crop", "resize"))
        del section["view"]["segment"]
    if stage == "preprocess":
        steps = ("combine", "denoise", "background", "log")
        section = {key: section[key] for key in steps}
        if TILES:
            section["tiles"] = TILES
    if stage in ("preprocess", "measure"):
        section |= illumination_of(chosen)
    if stage in ("preprocess", "watershed", "measure", "overlay"):
        # They read the image file.
        section["view"] = view_of(chosen)
    if stage == "threshold":
        section["diameter"] = chosen["diameter"]
        if lengths.needs_pixel_size(chosen["diameter"]):
            section["scale"] = {
                "pixel_size_um": chosen["pixel_size_um"],
                "crop": chosen["preprocess"]["crop"],
            }
    if stage == "markers" and section["method"] == "image":
        # They say how the seeds of the whole image are cut out.
        view = view_of(chosen)
        keys = ("crop", "resize", "max_megapixels")
        section["view"] = {key: view[key] for key in keys}
    if stage == "watershed":
        limits = [each[end] for each in section["filters"] for end in ("min", "max")]
        if lengths.needs_pixel_size(*limits):
            section["pixel_size_um"] = chosen["pixel_size_um"]
        if any(
            each["property"].startswith("intensity_") for each in section["filters"]
        ):
            section |= illumination_of(chosen)
    if stage == "cells":
        section["ring"] = section["ring"] if "ring" in SECONDARY else None
        if section["method"] == "watershed":
            section["view"] = view_of(chosen)
    if stage == "measure":
        section = settings.of_stage_measure(section) | {"objects": OBJECTS}
        # OpenCV's watershed leaves a frame of one pixel without labels.
        opencv = chosen["watershed"]["method"] == "opencv" and FOUND_HERE
        section["frame"] = 1 if opencv else 0
        section["csv"] = "csv" in chosen["keep"]
        if chosen["watershed"]["background"] and FOUND_HERE:
            section["background"] = True
    if stage == "overlay":
        section["lines"] = chosen["watershed"]["background"] and FOUND_HERE
        if "cells" not in SECONDARY:
            section["cells_color"] = None
    if stage == "evaluate":
        section["masks"] = evaluate_masks()
        section["thresholds"] = sorted(section["thresholds"])
        section["view"] = view_of(chosen)
        section["background"] = chosen["watershed"]["background"] and FOUND_HERE
    return section


def labels_fingerprint(wildcards):
    """Changes with the label images that were made elsewhere."""
    from nucleiflow import label_files

    folder = label_files.folder_of(CONFIG["labels"])
    return label_files.fingerprint_of(folder, batch_of(wildcards.batch))


def seeds_fingerprint(wildcards):
    """Changes with the seeds that the user made."""
    return fingerprint_of_seeds(CONFIG, batch_of(wildcards.batch))


def fingerprint_of_seeds(chosen, *batches):
    """The same of any config and for several batches; nothing where seeds are found here."""
    if chosen["markers"]["method"] != "image":
        return None
    from nucleiflow import label_files

    folder = label_files.folder_of(chosen["markers"]["image"]["path"])
    return " ".join(label_files.fingerprint_of(folder, batch) for batch in batches)


def evaluate_masks():
    """Where the masks are, or None."""
    path = CONFIG["evaluate"]["masks"]
    return path and os.path.abspath(os.path.expanduser(path))


def illumination_of(chosen):
    """What stages need to correct uneven light: nothing where it is not corrected."""
    section = chosen["illumination"]
    if section["method"] == "none":
        return {}
    needed = {"method": section["method"], "offset": section["offset"]}
    if section["method"] == "estimate":
        needed["folder"] = f"{RESULTS}/illumination"
    else:
        needed["path"] = section["flat_field"]["path"]
    return {"illumination": needed}


def flat_fields(wildcards):
    """The flat fields of a batch's directory."""
    return flat_fields_of(batch_of(wildcards.batch).directory)


@functools.cache
def flat_fields_of(directory):
    section = CONFIG["illumination"]
    if section["method"] == "estimate":
        return [f"{RESULTS}/illumination/{plan.directory_name(directory)}"]
    if section["method"] == "none":
        return []
    from nucleiflow.flat_field import files_of
    from nucleiflow.images import ImageError

    try:
        return files_of(section["flat_field"]["path"], directory)
    except ImageError as error:
        refuse(error)


@functools.cache
def light_samples():
    """The images of each directory from which its flat fields are estimated."""
    if CONFIG["illumination"]["method"] != "estimate":
        return {}
    from nucleiflow.flat_field import sampled

    count = CONFIG["illumination"]["estimate"]["images"]
    return sampled(found().batches.values(), count)


@functools.cache
def light_sample(name):
    """One of them: from the dataset in the main process, from its own small file in a job."""
    if workflow.is_main_process:
        return light_samples()[name]
    return plan.load(Path(ILLUMINATION_PLAN.format(directory=name))).batch


def light_fingerprint(wildcards):
    return light_sample(wildcards.directory).fingerprint


def light_mem_mb(wildcards, threads, attempt):
    # Whole images are looked at, whatever is cut out of them later.
    sample = light_sample(wildcards.directory)
    workers = workers_of(sample, threads, None)
    return int(HUNGRIEST.job_mb(workers, sample.extent.megapixels) * attempt)


def light_runtime(wildcards, attempt):
    return int((5 + light_sample(wildcards.directory).work / 60) * attempt)


def estimates(wildcards):
    return [f"{RESULTS}/illumination/{name}" for name in light_samples()]


def modules(stage):
    """Changes with the shared modules of a script: Snakemake looks at the script alone."""
    return f"modules {sources.fingerprint(SCRIPTS / f'{stage}.py')}"


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
    runs = (
        workflow.is_main_process
        and workflow.execution_settings is not None
        and not workflow.output_settings.dryrun
    )
    if runs and not any(Path(".snakemake/locks").glob("*")):
        # Before anything is planned: a job that is ended removes what it was writing. The lock is
        # that of a run whose jobs these are.
        if ended := end_earlier():
            logger.info(
                f"nucleiflow: ended Slurm jobs of an earlier run: {', '.join(ended)}"
            )
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
    batches = dataset.batches.values()
    largest = max(
        max(memory(batch, 4), memory(batch, 4, measure_footprint(batch)))
        for batch in batches
    )
    return result | {
        "names": list(dataset.batches),
        "batches": len(dataset.batches),
        "mem_mb": int(largest),
    }


@functools.cache
def masks_of(name):
    """Files that may be masks of a batch's images, with their sizes and times."""
    from nucleiflow.joining import stem
    from nucleiflow.masks import listed

    images = batch_of(name).images
    names = {image.name for image in images}
    names |= {stem(file.path) for image in images for file in image.files}
    return listed(Path(evaluate_masks()), batch_of(name).directory, names)


def evaluate_fingerprint(wildcards):
    return hashlib.blake2b(repr(masks_of(wildcards.batch)).encode()).hexdigest()


@functools.cache
def masked():
    """Batches of which some image has a mask. Others need no evaluation, and no segmentation."""
    masks = evaluate_masks()
    if masks is None:
        refuse(
            "config: evaluate.masks is not set, name the directory of the masks: "
            "--config evaluate='{masks: /path/to/masks}'"
        )
    if not os.path.isdir(masks):
        refuse(
            f"config: evaluate.masks is {masks}, where there is no directory, check the path"
        )
    batches = [name for name in found().batches if masks_of(name)]
    if not batches:
        first = next(iter(found().batches.values()))
        image = os.path.normpath(f"{first.directory}/{first.images[0].name}")
        refuse(
            f"config: evaluate.masks: no file in {masks} is called like an image, "
            f"such as {image}.png or {image}.tif: check names and directories"
        )
    return batches


def evaluated(wildcards):
    return [f"{RESULTS}/evaluate/batches/{batch}" for batch in masked()]


def unmasked(wildcards):
    """How many images are left out with their batches."""
    batches = found().batches
    return sum(len(batches[name].images) for name in batches.keys() - set(masked()))


def plate_map():
    """Where the plate map is, and how it is joined."""
    path, join = (CONFIG["metadata"][key] for key in ("plate_map", "join"))
    return path and {"path": os.path.abspath(os.path.expanduser(path)), "join": join}


def mem_mb(wildcards, threads, attempt):
    """That of all stages but measure: they share a Slurm job, which asks for the most."""
    return int(memory(batch_of(wildcards.batch), threads) * attempt)


HUNGRIEST = max(
    (
        footprint.of_stage(settings_of(stage))
        for stage in ("preprocess", "threshold", "markers", "watershed")
    ),
    key=lambda each: each.pixel,
)


def worked_on(batch):
    """Megapixels of an image as the stages have it."""
    return batch.extent.after(
        *(CONFIG["preprocess"][key] for key in ("crop", "resize"))
    )


def memory(batch, threads, stage=HUNGRIEST, cut=TILES):
    workers = workers_of(batch, threads, cut)
    # What is cropped or made smaller was read whole before.
    megapixels = max(worked_on(batch), batch.extent.megapixels / 2)
    if cut:
        megapixels = min(megapixels, (cut["size"] + 2 * cut["overlap"]) ** 2 / 1e6)
    return stage.job_mb(workers, megapixels)


def workers(wildcards):
    """CPUs of a stage's job: four, and more where this machine has more than batches need."""
    if workflow.nodes is not None or not workflow.is_main_process:
        return 4
    return max(4, (workflow.resource_settings.cores or 1) // len(found().batches))


def workers_of(batch, threads, cut=TILES):
    images = len(batch.images) * batch.extent.images
    if cut and worked_on(batch) > cut["size"] ** 2 / 1e6:
        # Each of at least two tiles.
        images *= 1 + int(worked_on(batch) / (cut["size"] ** 2 / 1e6))
    return min(threads, images)


def runtime_of(stage, own=None):
    """How many minutes a stage's job asks for; `own` are settings that are not of the config."""
    own = settings_of(stage) if own is None else own

    def runtime(wildcards, threads, attempt):
        batch = batch_of(wildcards.batch)
        channels = measured_channels(batch) if stage == "measure" else 1
        rate = duration.rate(stage, own, channels)
        workers = workers_of(batch, threads)
        resized = worked_on(batch) / batch.extent.megapixels
        return duration.minutes(rate, batch, workers, attempt, resized)

    return runtime


MEASURE = settings_of("measure")


def measured_channels(batch):
    which = CONFIG["measure"]["channels"]
    if isinstance(which, list):
        return len(which)
    return batch.extent.channels if which == "all" else 1


def measure_footprint(batch):
    return footprint.of_stage(MEASURE, measured_channels(batch))


def measure_mem_mb(wildcards, threads, attempt):
    batch = batch_of(wildcards.batch)
    return int(memory(batch, threads, measure_footprint(batch)) * attempt)


def of_batches(folder):
    """One directory a batch, in the order of the dataset."""
    return [f"{RESULTS}/{folder}/{batch}" for batch in found().batches]


def measured(wildcards):
    return of_batches("measure")


def overlays(wildcards):
    return of_batches("overlay") if "overlay" in CONFIG["keep"] else []


# Columns of objects beside properties: arguments of nucleiflow.columns.added.
ADDED = {
    "ratios": CONFIG["measure"]["ratios"],
    "chosen": families.chosen(CONFIG["measure"]),
}
# What follows from what is measured where tables are joined.
FOLLOWING = {
    "pixel_size_um": CONFIG["pixel_size_um"],
    "crop": CONFIG["preprocess"]["crop"],
    "ratios": ADDED["ratios"],
    "families": ADDED["chosen"],
    "naming": CONFIG["naming"],
}


def table_formats():
    """What the table of all objects is written as, beside Parquet."""
    chosen = CONFIG["tables"]
    ending = "csv.gz" if chosen["csv"] == "gzip" else "csv"
    outputs = {"csv": f"{RESULTS}/objects.{ending}"}
    if chosen["sqlite"]:
        outputs["sqlite"] = f"{RESULTS}/objects.sqlite"
    if chosen["partition_by"]:
        outputs["parts"] = directory(f"{RESULTS}/objects")
    return outputs


def table_sources():
    """What that is made of: the database has a table of the images, too."""
    inputs = {"objects": f"{RESULTS}/objects.parquet"}
    return inputs | (
        {"images": f"{RESULTS}/images.csv"} if CONFIG["tables"]["sqlite"] else {}
    )


def summary_settings(wildcards):
    """What summary.csv depends on beside the tables."""
    controls = found().controls
    return CONFIG["summary"] | {
        "controls": controls and controls._asdict(),
        "added": ADDED,
    }


def lacking():
    """What is to be kept of finished batches and is not there: removed, or not kept before.

    Nothing else asks for it, as their tables are made. Of other batches it comes by itself.
    """
    finished = present("measure") & found().batches.keys()
    folders = {FOLDERS[name] for name in KEPT} | {"measure"}
    return [
        f"{RESULTS}/{folder}/{batch}"
        for folder in folders
        for batch in finished - present(folder)
    ]


def present(folder):
    path = Path(RESULTS, folder)
    return set(os.listdir(path)) if path.is_dir() else set()


def wells_known():
    """Whether any image has a well, so that there is a plate to draw."""
    dataset = found()
    place = dataset.columns.index("well")
    return any(
        image.metadata[place]
        for batch in dataset.batches.values()
        for image in batch.images
    )


# What a page or table is that is there in some runs only, and where the report has it.
PAGES = {
    "failed": ("7 Tables", {"table": "failed.csv: images that failed"}),
    "summary": (
        "7 Tables",
        {"table": "summary.csv: medians by directory, or group_by"},
    ),
    "plates": ("5 Plates", {"page": "Wells as heat maps"}),
    "doses": ("6 Doses", {"page": "Dose curves"}),
    "wells": ("7 Tables", {"table": "wells.csv: a row a well"}),
}


def page_category(wildcards):
    return PAGES[wildcards.page][0]


def page_labels(wildcards):
    return PAGES[wildcards.page][1]


def report_settings(*names):
    """What a rule of the report depends on, in one value."""
    return {name: CONFIG["report"][name] for name in names}


def plate_settings(wildcards):
    """What the report's plates and doses depend on."""
    controls = found().controls
    return report_settings("measurements", "dose") | {
        "controls": controls and controls._asdict()
    }


def all_tables(wildcards):
    """Tables, and what of each image is to be kept."""
    names = ["objects.parquet", "images.csv", "summary.csv", "columns.csv"]
    names += ["run.json", "summary.txt"]
    tables = [f"{RESULTS}/{name}" for name in names]
    tables += map(str, table_formats().values())
    return tables + overlays(wildcards) + lacking()


def pages(wildcards):
    """Of the report."""
    names = ["run.html", "plots.html"]
    if "overlay" in CONFIG["keep"]:
        names.append("pictures.html")
    if wells_known():
        names.append("plates")
    if CONFIG["illumination"]["method"] == "estimate":
        names.append("illumination.jpg")
    return [f"{RESULTS}/report/{name}" for name in names]


def everything(wildcards):
    return all_tables(wildcards) + pages(wildcards)


def write_start():
    """Write down when the run began, for run.json: as a param it would differ in each run."""
    if workflow.is_main_process:
        try:
            with files.replaced(Path(START)) as part:
                now = datetime.datetime.now().astimezone()
                part.write_text(now.isoformat(timespec="seconds"))
        except OSError as error:
            refuse_unwritten(error)


def refuse_unwritten(error):
    """Say what the disk of the results says."""
    refuse(f"config: results is {RESULTS}, which cannot be written ({error.strerror})")


def write_plan():
    """Write down the batches for the jobs. Runs in the main process, under Snakemake's lock."""
    if workflow.is_main_process:
        try:
            looked = found()
            for batch in looked.batches.values():
                path = Path(PLAN.format(batch=batch.name))
                plan.save(batch, looked.path, looked.root, looked.columns, path)
            for name, batch in light_samples().items():
                path = Path(ILLUMINATION_PLAN.format(directory=name))
                plan.save(batch, looked.path, looked.root, looked.columns, path)
        except OSError as error:
            refuse_unwritten(error)


def remove_stale():
    """Remove what earlier runs on the same dataset left of batches that exist no more.

    Their images are gone or stand in other batches. Results of another dataset stay. The files
    of what each job cost become one table: at a million images, half of all files.
    """
    if not workflow.is_main_process:
        return
    gone = set()
    for path in sorted(Path(PLAN).parent.glob("*.json")):
        name = path.stem
        if name not in found().batches and plan.dataset_of(path) == found().path:
            for folder in (*FOLDERS.values(), "evaluate/batches"):
                files.remove(Path(RESULTS, folder, name))
            path.unlink()
            gone.add(name)
    directories = {batch.directory for batch in found().batches.values()}
    names = set(map(plan.directory_name, directories))
    for path in sorted(Path(ILLUMINATION_PLAN).parent.glob("*.json")):
        if path.stem not in names and plan.dataset_of(path) == found().path:
            files.remove(Path(RESULTS, "illumination", path.stem))
            path.unlink()
            gone.add(path.stem)
    job_costs.join(
        Path(RESULTS, "benchmarks"), Path(RESULTS, "benchmarks.csv"), frozenset(gone)
    )
