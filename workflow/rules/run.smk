# What the main process does as a run begins and ends.

import contextlib
import datetime
import json
import os
import sys

from snakemake.logging import logger
from snakemake.settings.enums import Quietness

from nucleiflow import files, job, job_costs, plan, slurm, terminal


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


def refuse_unwritable(results):
    """Say before anything runs that the results will have no place."""
    nearest = next(path for path in (results, *results.parents) if path.exists())
    if not nearest.is_dir():
        refuse(
            f"config: results is {RESULTS}, but {nearest} is a file, name a directory"
        )
    if not os.access(nearest, os.W_OK):
        refuse(f"config: results is {RESULTS}, but {nearest} may not be written to")


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


def listen():
    """Hear of each job that ends, which Snakemake does not say with `--quiet`."""
    if workflow.is_main_process:
        workflow.scheduler.print_progress = True


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


def hand_back():
    """Forget the Slurm jobs of this run, which have all ended."""
    if workflow.is_main_process:
        Path(SLURM_RUN).unlink(missing_ok=True)


# What a later stage takes: Snakemake itself keeps it, or makes it again with what it is made of.
TAKEN = {"preprocessed", "mask", "markers", "tiles", "labels", "csv", *SECONDARY}


def remove_unkept():
    """Remove pictures that an earlier run kept and this one does not: it may have other settings."""
    if not workflow.is_main_process:
        return
    if "image_table" not in {job.rule.name for job in workflow.dag.jobs}:
        return
    for name in FOLDERS.keys() - TAKEN - {*KEPT}:
        for batch in present(FOLDERS[name]) & found().batches.keys():
            files.remove(Path(RESULTS, FOLDERS[name], batch))
        # Not where something else is in it, or has its name.
        with contextlib.suppress(OSError):
            Path(RESULTS, FOLDERS[name]).rmdir()


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


def end():
    """Say what came out when all else is said."""
    if workflow.is_main_process:
        TERMINAL.ended = True
