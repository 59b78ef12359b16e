"""run.json: what ran, when, where and with which versions."""

import csv
import datetime
import getpass
import json
import platform
from importlib import metadata
from pathlib import Path

import pyarrow.parquet as pq

from nucleiflow.files import replaced
from nucleiflow.job import logged


def run_record(config: dict, version: str, started: str, numbers: dict[str, int]) -> dict:
    """Everything needed to say later how a result came about."""
    # Name and version by themselves would each parse the text once more.
    found = [package.metadata for package in metadata.distributions()]
    packages = {package["Name"]: package["Version"] for package in found}
    return {
        "nucleiflow": version,
        "started": started,
        "finished": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "directory": str(Path.cwd()),
        "host": platform.node(),
        "user": getpass.getuser(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
        **numbers,
        "config": config,
    }


def counts(images: Path, objects: Path) -> dict[str, int]:
    """How many images there are, failed, flagged and excluded ones, and objects in their table."""
    numbers = dict.fromkeys(("images", "failed", "flagged", "excluded"), 0)
    with images.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            numbers["images"] += 1
            numbers["failed"] += row["status"] == "failed"
            numbers["flagged"] += bool(row["flags"])
            numbers["excluded"] += row["excluded"] == "true"
    return numbers | {"objects": pq.read_metadata(objects).num_rows}


if "snakemake" in globals():
    with logged(snakemake):
        numbers = counts(Path(snakemake.input.images), Path(snakemake.input.objects))
        params = snakemake.params
        started = Path(params.start).read_text()
        record = run_record(params.config, params.version, started, numbers)
        with replaced(Path(snakemake.output[0])) as part:
            part.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
