# What jobs ask for: CPUs, memory and time, by the size of their images and the config.

import sys

from nucleiflow import duration, footprint, slurm

if workflow.nodes is not None:
    # On a cluster, the cores of the login node (`cores: all` of profiles/default) are no limit.
    workflow.resource_settings.cores = sys.maxsize
    workflow.global_resources["_cores"] = sys.maxsize
    if workflow.is_main_process:
        slurm.wait_to_submit()


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


def runtime_of(stage, own=None):
    """How many minutes a stage's job asks for; `own` are settings that are not of the config."""
    own = settings_of(stage) if own is None else own

    def runtime(wildcards, threads, attempt):
        batch = batch_of(wildcards.batch)
        channels = measured_channels(batch) if stage == "measure" else 1
        rate = duration.rate(stage, own, channels)
        workers = workers_of(batch, threads)
        resized = worked_on(batch) / batch.extent.megapixels
        factor = CONFIG["time_factor"]
        return duration.minutes(rate, batch, workers, attempt, factor, resized)

    return runtime


def light_mem_mb(wildcards, threads, attempt):
    # Whole images are looked at, whatever is cut out of them later.
    sample = light_sample(wildcards.directory)
    workers = workers_of(sample, threads, None)
    return int(HUNGRIEST.job_mb(workers, sample.extent.megapixels) * attempt)


def light_runtime(wildcards, attempt):
    minutes = 5 + light_sample(wildcards.directory).work / 60
    return duration.whole(minutes * CONFIG["time_factor"]) * attempt
