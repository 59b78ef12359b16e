# Which images and which settings `preview` and `sweep` try: what their rules are made of.

import functools
import hashlib

from nucleiflow import grid, sample

TUNING = f"{RESULTS}/tuning"
SAMPLE_PLAN = f"{TUNING}/plans/{{batch}}.json"
# One directory a stage, setting and batch. A setting's name holds the values that concern the
# stage and those before it, and no others: settings that differ later share it.
TUNED = f"{TUNING}/{{}}/{{{{setting}}}}/{{{{batch}}}}"
TUNING_LOG = f"{RESULTS}/logs/tuning/{{}}/{{{{setting}}}}/{{{{batch}}}}.log"
TUNING_BENCHMARK = f"{RESULTS}/benchmarks/tuning/{{}}/{{{{setting}}}}/{{{{batch}}}}.tsv"
SWEEP = CONFIG["sweep"]
PRODUCTS = ("channel", "preprocess", "threshold", "markers", "watershed")


wildcard_constraints:
    setting=r"[A-Za-z0-9_.=+-]+",


if workflow.nodes is not None:
    # On a cluster, the settings of a batch are one Slurm job, which computes them one after
    # another: else it would ask for the CPUs and memory of all.
    workflow.global_resources["settings_at_once"] = 1


@functools.cache
def sampled():
    """The batches of the sample by name. In the main process, when `preview` or `sweep` asks."""
    dataset = found()
    masks = SWEEP["masks"]
    chosen = sample.draw(
        dataset.batches.values(),
        CONFIG["sample"]["images"],
        CONFIG["sample"]["seed"],
        has_mask if masks else None,
    )
    if not chosen:
        refuse(
            f"config: sweep.masks: no image of {dataset.path} has a mask in "
            f"{masks_folder()}, masks are named as their images"
        )
    batches = sample.in_batches(chosen)
    logger.info(
        f"nucleiflow: a sample of {len(chosen)} of them, sample.seed draws another"
    )
    return batches


@functools.cache
def masks_folder():
    path = Path(SWEEP["masks"]).expanduser().absolute()
    if not path.is_dir():
        refuse(f"config: sweep.masks: there is no directory {path}, check the path")
    return path


def has_mask(batch, image):
    from nucleiflow.masks import find_mask

    try:
        others = names_of_files(image)
        mask = find_mask(masks_folder(), batch.directory, image.name, others)
    except ValueError as error:
        refuse(f"config: sweep.masks: {batch.directory}/{image.name}: {error}")
    return mask is not None


def names_of_files(image):
    from nucleiflow.joining import stem

    return [stem(file.path) for file in image.files]


def sample_batch(wildcards):
    """A batch: from the dataset in the main process, from its own small file in a job."""
    if workflow.is_main_process:
        return sampled()[wildcards.batch]
    return plan.load(Path(SAMPLE_PLAN.format(batch=wildcards.batch))).batch


def sample_fingerprint(wildcards):
    return sample_batch(wildcards).fingerprint


def directories_of(wildcards):
    """The directory of each image of a batch."""
    return [image.metadata[0] for image in sample_batch(wildcards).images]


def sample_flat_fields(wildcards):
    directories = dict.fromkeys(directories_of(wildcards))
    return [path for directory in directories for path in flat_fields_of(directory)]


def sample_mem_mb(wildcards, threads, attempt):
    return int(memory(sample_batch(wildcards), threads, cut=None) * attempt)


def sample_runtime(wildcards, attempt):
    return int((2 + sample_batch(wildcards).work / 60) * attempt)


@functools.cache
def combinations():
    """What is swept: all combinations of values."""
    try:
        return grid.combinations(
            SWEEP["parameters"] or {}, SCHEMA, SWEEP["max_settings"]
        )
    except grid.ConfigError as error:
        refuse(error)


@functools.cache
def config_of(stage, setting):
    """The whole config in which a setting of a stage stands: from the config alone."""
    if setting == grid.PLAIN:
        return CONFIG
    try:
        for values in combinations():
            if grid.name_of(grid.up_to(values, stage)) == setting:
                return grid.applied(CONFIG, values, SCHEMA)
    except grid.ConfigError as error:
        refuse(error)
    refuse(
        f"the config has no setting {setting} of {stage}, run with the config of the sweep"
    )


def tuned(stage):
    """The settings of a stage as a function of the setting's name."""

    def settings_there(wildcards):
        section = settings_of(stage, config_of(stage, wildcards.setting))
        # Pictures show whole images.
        section.pop("tiles", None)
        if "illumination" in section:
            # A batch of the sample is of many directories, each with flat fields of its own.
            section["illumination"]["directories"] = directories_of(wildcards)
        if stage == "markers" and section["method"] == "image":
            section["directories"] = directories_of(wildcards)
        return section

    return settings_there


def tuned_seeds(wildcards):
    """Changes with the user's seeds of a batch of the sample."""
    batch, parts = sample_batch(wildcards), {}
    for image in batch.images:
        directory, name = image.metadata
        parts.setdefault(directory, []).append(image._replace(name=name))
    batches = [
        plan.Batch(batch.name, directory, directory, images, batch.extent)
        for directory, images in parts.items()
    ]
    chosen = config_of("markers", wildcards.setting)
    return fingerprint_of_seeds(chosen, *batches)


def before(stage, folder):
    """Where an earlier stage put a product, for the part of a setting that concerns that stage."""

    def path(wildcards):
        setting = wildcards.setting
        if setting != grid.PLAIN:
            for values in combinations():
                if grid.name_of(grid.up_to(values, stage)) == setting:
                    setting = grid.name_of(grid.up_to(values, folder))
                    break
        return f"{TUNING}/{folder}/{setting}/{wildcards.batch}"

    return path


@functools.cache
def tried():
    """The settings to try: values to show, names at each stage, and what pictures need."""
    if not SWEEP["parameters"]:
        refuse(
            "config: sweep.parameters is not set, name keys and their values, such as "
            "{threshold.method: [otsu, li]}"
        )
    try:
        combined = combinations()
        configs = [grid.applied(CONFIG, values, SCHEMA) for values in combined]
        effects = [
            repr([settings_of(stage, chosen) for stage in grid.STAGES])
            for chosen in configs
        ]
        kept = grid.distinct(combined, effects)
    except grid.ConfigError as error:
        refuse(error)
    if SWEEP["masks"] and any(grid.stage_of(key) == "overlay" for key in combined[0]):
        refuse(
            "config: sweep.parameters names overlay.color, which no mask can judge: take it out, or "
            "set sweep.masks to null"
        )
    alike = len(combined) - len(kept)
    logger.info(
        f"nucleiflow: {len(kept)} settings to try"
        + (f", {alike} more would come to the same as one of them" if alike else "")
    )
    return [
        {
            "values": values,
            "names": names_at(combined[index]),
            "outlines": outlines_of(configs[index]),
            "view": view_of(configs[index]),
            "config": grid.restricted(configs[index], SCHEMA, combined[index]),
        }
        for index, values in kept
    ]


def names_at(values):
    """The names of a setting, by stage."""
    return {
        stage: grid.name_of(grid.up_to(values, stage)) for stage in grid.STAGES[:-1]
    }


def outlines_of(chosen):
    return {
        "color": chosen["overlay"]["color"],
        "lines": chosen["watershed"]["background"],
    }


def of_sample(folder, names):
    """Directories of a product of all batches, for the settings of these names."""
    return [
        f"{TUNING}/{folder}/{name}/{batch}"
        for name in dict.fromkeys(names)
        for batch in sampled()
    ]


def previewed(folder):
    """The sample's directories of a product, with the config as it is."""

    def paths(wildcards):
        return of_sample(folder, [grid.PLAIN])

    return paths


def swept(folder):
    """The sample's directories of a product, with all settings."""
    stage = "preprocess" if folder == "channel" else folder

    def paths(wildcards):
        return of_sample(folder, [setting["names"][stage] for setting in tried()])

    return paths


def plans_of_sample(wildcards):
    return [SAMPLE_PLAN.format(batch=batch) for batch in sampled()]


def settings_tried(wildcards):
    return tried()


def masks_fingerprint(wildcards):
    """Changes with the masks of the sample."""
    if SWEEP["masks"] is None:
        return None
    from nucleiflow.masks import listed

    names = {}
    for batch in sampled().values():
        for image in batch.images:
            directory, name = image.metadata
            names.setdefault(directory, set()).update([name, *names_of_files(image)])
    there = [listed(masks_folder(), directory, names[directory]) for directory in names]
    return hashlib.blake2b(repr(there).encode()).hexdigest()


def write_sample():
    """Write down the sample's batches for the jobs, where `preview` or `sweep` is to run."""
    if workflow.is_main_process and sampled.cache_info().currsize:
        dataset = found()
        for batch in sampled().values():
            path = Path(SAMPLE_PLAN.format(batch=batch.name))
            plan.save(batch, dataset.path, dataset.root, sample.COLUMNS, path)


def remove_untried():
    """Remove what earlier sweeps and samples left, after a sweep that is complete."""
    if not (workflow.is_main_process and tried.cache_info().currsize):
        return
    for folder in PRODUCTS:
        stage = "preprocess" if folder == "channel" else folder
        settings_there = {grid.PLAIN, *(setting["names"][stage] for setting in tried())}
        for path in Path(TUNING, folder).glob("*"):
            if path.name not in settings_there:
                files.remove(path)
            else:
                for batch in path.glob("*"):
                    if batch.name not in sampled():
                        files.remove(batch)
