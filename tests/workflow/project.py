"""A clone, a dataset and a run directory, and what a test of the whole workflow does with them."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from nucleiflow.readers import open_image

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")
# What a changed config is written down in.
RECORD = {"run_record": 1, "summary": 1}
# What follows the stages up to the tables.
AFTERWARDS = {
    *("image_table", "object_table", "object_formats", "summary_table", "column_table"),
    *RECORD,
}
# Runs are asked for tables alone, without the report, where nothing else is.
TARGETS = {"all", "tables", "inventory", "preview", "sweep", "evaluate"}
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".snakemake", "demo", "bench", ".*_cache")


@dataclass
class Project:
    """A clone, a dataset and a run directory."""

    clone: Path
    images: Path
    run: Path

    @property
    def results(self) -> Path:
        return self.run / "results"

    def command(self, *arguments: str) -> list[str]:
        """The command line of a run, with `KEY=VALUE` arguments as config."""
        config = [text for text in arguments if re.match(r"[a-z_]+=", text)]
        others = [text for text in arguments if text not in config]
        chosen = TARGETS & {*others} or {"--report", "--target-jobs"} & {*others}
        if not chosen and not any(text.startswith("results/") for text in others):
            others.insert(0, "tables")
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.clone / "Snakefile")]
        command += ["--directory", str(self.run), "--cores", "2", *others]
        return [
            *command,
            "--config",
            f"images={os.path.relpath(self.images, self.run)}",
            "batch_size=3",
            *config,
        ]

    def snakemake(self, *arguments: str, success: bool = True) -> subprocess.CompletedProcess:
        """Run Snakemake; `success` is what must come of it."""
        done = subprocess.run(
            self.command(*arguments),
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.run.parent,
        )
        assert (done.returncode == 0) == success, done.stdout
        return done

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs that a dry run would start, by rule, without the target rule."""
        output = self.snakemake("--dry-run", *arguments).stdout
        table = re.search(r"^job +count\n[- ]+\n(.*?)^total ", output, re.M | re.S)
        lines = table.group(1).split("\n")[:-1] if table else []
        jobs = {line.split()[0]: int(line.split()[1]) for line in lines}
        return {rule: count for rule, count in jobs.items() if rule not in ("all", "tables")}

    def stages_planned(self, *arguments: str) -> dict[str, int]:
        """The same for the stages alone."""
        return {rule: n for rule, n in self.planned(*arguments).items() if rule in STAGES}

    def rows(self, table: str) -> list[dict[str, str]]:
        """A CSV table of the results."""
        with (self.results / table).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def tables(self) -> dict[str, list[dict[str, str]]]:
        """Objects and images, without times and without what names batches."""
        return {
            table: [
                {
                    key: value
                    for key, value in row.items()
                    if key != "batch" and row["batch"] not in value and "seconds" not in key
                }
                for row in self.rows(table)
            ]
            for table in ("objects.csv", "images.csv")
        }

    def batches(self) -> list[str]:
        """Names of the batches, in the order of the dataset."""
        return list(dict.fromkeys(row["batch"] for row in self.rows("images.csv")))

    def copy(self, folder: Path) -> "Project":
        """The same elsewhere, with the times of all files."""
        parts = [getattr(self, part) for part in ("clone", "images", "run")]
        for part in parts:
            shutil.copytree(part, folder / part.name, symlinks=True)
        return Project(*(folder / part.name for part in parts))

    def kill_when(self, pattern: str, *arguments: str) -> None:
        """Start a run and kill it, with all its processes, when its output shows a pattern."""
        process = subprocess.Popen(
            self.command(*arguments),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with process.stdout:
            seen = any(re.search(pattern, line) for line in process.stdout)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert seen, f"the run ended before it said {pattern}"

    def kill_after(self, seconds: float, *arguments: str) -> bool:
        """Start a run and kill it, with all its processes, after so long; whether it still ran."""
        with (self.run.parent / "killed.log").open("w") as output:
            process = subprocess.Popen(
                self.command(*arguments),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        return process.wait() == -signal.SIGKILL

    def table_bytes(self) -> dict[str, list[bytes]]:
        """The sorted lines of both tables, byte for byte, without the times that images took."""
        lines = (self.results / "objects.csv").read_bytes().splitlines()
        rows = [
            "\t".join(value for name, value in row.items() if not name.startswith("seconds"))
            for row in self.rows("images.csv")
        ]
        return {"objects": sorted(lines), "images": sorted(row.encode() for row in rows)}


def pixels(path: Path) -> np.ndarray:
    """An image file as the workflow reads it, (Y, X) or (Y, X, 3)."""
    with open_image(path) as (scene,):
        image = scene.read()[:, 0]
    return image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)


def nuclei(seed: int, size: int = 96) -> np.ndarray:
    """A few round nuclei on a noisy background, (size, size) uint16."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    image = random.normal(200, 5, (size, size))
    for center in random.uniform(10, size - 10, (5, 2)):
        inside = (y - center[0]) ** 2 + (x - center[1]) ** 2 < random.uniform(6, 9) ** 2
        image[inside] = random.normal(2000, 40, inside.sum())
    return image.clip(0).astype(np.uint16)


def write_dataset(folder: Path) -> None:
    """Three directories, one of them deep, with 20 images."""
    for number, (name, count) in enumerate((("plate1", 9), ("plate2", 7), ("day 2/plate3", 4))):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            tifffile.imwrite(folder / name / f"field_{index:02}.tif", nuclei(100 * number + index))
