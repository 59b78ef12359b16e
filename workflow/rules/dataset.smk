# The dataset: found once in the main process, and read from a batch's own file in a job.

import functools
import os

from snakemake.logging import logger

from nucleiflow import plan


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


def estimates(wildcards):
    return [f"{RESULTS}/illumination/{name}" for name in light_samples()]


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
def masks_of(name):
    """Files that may be masks of a batch's images, with their sizes and times."""
    from nucleiflow.joining import stem
    from nucleiflow.masks import listed

    images = batch_of(name).images
    names = {image.name for image in images}
    names |= {stem(file.path) for image in images for file in image.files}
    return listed(Path(evaluate_masks()), batch_of(name).directory, names)


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
