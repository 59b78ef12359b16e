# What rules depend on beside their inputs: Snakemake runs a job again when a value changes.

import hashlib
import os

from nucleiflow import families, lengths, sources


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


def light_fingerprint(wildcards):
    return light_sample(wildcards.directory).fingerprint


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


def fingerprint(wildcards):
    return batch_of(wildcards.batch).fingerprint


def modules(stage):
    """Changes with the shared modules of a script: Snakemake looks at the script alone."""
    return f"modules {sources.fingerprint(SCRIPTS / f'{stage}.py')}"


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


def evaluate_masks():
    """Where the masks are, or None."""
    path = CONFIG["evaluate"]["masks"]
    return path and os.path.abspath(os.path.expanduser(path))


def evaluate_fingerprint(wildcards):
    return hashlib.blake2b(repr(masks_of(wildcards.batch)).encode()).hexdigest()


def plate_map():
    """Where the plate map is, and how it is joined."""
    path, join = (CONFIG["metadata"][key] for key in ("plate_map", "join"))
    return path and {"path": os.path.abspath(os.path.expanduser(path)), "join": join}


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


def summary_settings(wildcards):
    """What summary.csv depends on beside the tables."""
    controls = found().controls
    return CONFIG["summary"] | {
        "controls": controls and controls._asdict(),
        "added": ADDED,
    }


def report_settings(*names):
    """What a rule of the report depends on, in one value."""
    return {name: CONFIG["report"][name] for name in names}


def plate_settings(wildcards):
    """What the report's plates and doses depend on."""
    controls = found().controls
    return report_settings("measurements", "dose") | {
        "controls": controls and controls._asdict()
    }
