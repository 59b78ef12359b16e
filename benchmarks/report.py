"""What the report of a large run costs: seconds, memory, and the size of its parts and of the file.

The run is made up: tables of so many images in plates of 384 wells, with three channels, doses,
flags and failures, and the same outlines for all of them. All of its batches are there, so that
Snakemake's own part of the report is of the same size, too.
"""

import argparse
import base64
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from measured import cost  # noqa: E402

import overlay  # noqa: E402
import run_record  # noqa: E402
import simulate  # noqa: E402
from nucleiflow import dataset, names, plan, settings  # noqa: E402
from nucleiflow.display import for_display  # noqa: E402

IMAGES_A_DIRECTORY = 500
TOLD = ("compound", "dose_uM", "control")
CHANNELS = ("DAPI", "GFP", "Cy5")
PATTERN = r"(?P<plate>[^/]+)/(?P<well>[A-P][0-9]+)_s(?P<site>[0-9]+)"
STAGES = ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")
FLAGS = {
    "out_of_focus": "the variance of its Laplacian is far below that of its directory",
    "saturated": "2.1 % of its pixels are at the end of the camera's range",
    "empty": "there is no nucleus in it",
    "too_crowded": "nuclei cover 81 % of it",
    "debris": "most of its objects are much smaller than nuclei",
    "uneven": "its light falls to 55 % in the corners",
}


def main() -> None:
    """Make the run, its report, and print what that cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--objects", type=int, default=50, help="objects an image")
    parser.add_argument("--folder", type=Path, help="where to keep it all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(options.folder or Path(temporary), options.images, options.objects)


def measure(folder: Path, count: int, objects: int) -> None:
    """Make the run in a folder, and print what its report costs."""
    images = made_images(count)
    for directory, part in images.groupby("directory", sort=False):
        (folder / "images" / directory).mkdir(parents=True)
        for name in part["file"]:
            (folder / "images" / directory / name).touch()
    wells = images.drop_duplicates(["plate", "well"])
    wells[["plate", "well", *TOLD]].to_csv(folder / "plate_map.csv", index=False)
    config = {"images": "images", "metadata": {"pattern": PATTERN, "plate_map": "plate_map.csv"}}
    (folder / "config.yaml").write_text(json.dumps(config))
    write_run(folder, images, objects)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", "config.yaml", "--cores", "1"]
    command += ["--quiet", "all"]
    subprocess.run([*command, "--touch"], cwd=folder, check=True)
    shutil.rmtree(folder / "results" / "report", ignore_errors=True)
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    for name in ("report_run", "report_pictures", "report_plots", "report_plates"):
        path = folder / "results" / "benchmarks" / f"{name}.tsv"
        told = pd.read_csv(path, sep="\t").iloc[0]
        print(f"  {name:24}{told['s']:8.1f} s{told['max_rss']:8.0f} MB of memory")
    for path in sorted((folder / "results" / "report").rglob("*")):
        if path.suffix in (".html", ".csv"):
            print(f"  {path.name:24}{path.stat().st_size / 1e6:8.2f} MB")
    remember(folder)
    spent = cost([*command, "--report", "report.html"], folder)
    size = (folder / "report.html").stat().st_size / 1e6
    print(f"  snakemake --report      {spent.seconds:8.1f} s{spent.memory:8.0f} MB of memory")
    print(f"  report.html             {size:8.2f} MB")


def remember(folder: Path) -> None:
    """Let Snakemake believe that it ran the stages, whose times its report shows."""
    place = folder / ".snakemake" / "metadata"
    known = json.loads(next(place.iterdir()).read_text())
    for number, path in enumerate(sorted((folder / "results").glob("*/*.*/"))):
        if path.parent.name in STAGES:
            record = known | {"rule": path.parent.name, "job_hash": number}
            name = base64.urlsafe_b64encode(str(path.relative_to(folder)).encode()).decode()
            (place / name).write_text(json.dumps(record))


def made_images(count: int) -> pd.DataFrame:
    """What images.csv says of images, less what is measured of them."""
    number = np.arange(count)
    plate, place = np.divmod(number, IMAGES_A_DIRECTORY)
    site, well = np.divmod(place, 384)
    row, column = np.divmod(well, 24)
    images = pd.DataFrame({"directory": [f"plate{index + 1:03}" for index in plate]})
    images["batch"] = ""
    images["well"] = [f"{names.ROWS[y]}{x + 1:02}" for y, x in zip(row, column, strict=True)]
    images["image"] = images["well"] + [f"_s{index + 1}" for index in site]
    images["file"] = images["image"] + ".tif"
    images["plate"] = images["directory"]
    images["site"] = site + 1
    images["time"] = ""
    # Columns 1 and 2 are controls, the others hold doses of one of 40 compounds.
    images["compound"] = [
        f"compound {1 + (index + y) % 40}" for index, y in zip(plate, row, strict=True)
    ]
    images["dose_uM"] = np.where(column > 1, np.round(10.0 ** ((column - 16) / 4), 5), 0)
    images["control"] = np.select([column == 0, column == 1], ["negative", "positive"], "")
    return images


def write_run(folder: Path, images: pd.DataFrame, objects: int) -> None:
    """What the stages and the tables leave, as if all of it had run."""
    results = folder / "results"
    look = dataset.Look(lambda *_: None)
    size = plan.BatchSize(100)
    found = dataset.find(str(folder / "images"), ["tif"], size, look, str(results), pattern=PATTERN)
    batch_of = {
        (batch.directory, image.name): name
        for name, batch in found.batches.items()
        for image in batch.images
    }
    for name in found.batches:
        for stage in STAGES:
            (results / stage / name).mkdir(parents=True)
    keys = zip(images["directory"], images["image"], strict=True)
    images["batch"] = [batch_of[key] for key in keys]
    images["overlay"] = "overlay/" + images["batch"] + "/" + images["image"] + ".jpg"
    picture = results / "overlay.jpg"
    image, labels = simulate.simulate(1, (2048, 2048))
    drawn = overlay.overlay(for_display(image), labels, "yellow", 1, False)
    cv2.imwrite(str(picture), drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    for path in images["overlay"]:
        (results / path).symlink_to(picture.absolute())
    rng = np.random.default_rng(1)
    write_images(results / "images.csv", images, objects, rng)
    write_objects(results / "objects.parquet", images, objects, rng)
    for name in ("objects.csv", "summary.csv", "columns.csv"):
        (results / name).touch()
    (results / "summary.txt").write_text(f"{len(images)} images, made up\n")
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    numbers = {"images": len(images), "failed": 0, "flagged": 0}
    numbers["objects"] = pq.read_metadata(results / "objects.parquet").num_rows
    chosen, began = settings.load({}, schema), "2026-01-01T10:00:00+00:00"
    told = run_record.run_record(chosen, "0", began, numbers)
    (results / "run.json").write_text(json.dumps(told))
    (results / "report").mkdir()


def write_images(path: Path, images: pd.DataFrame, objects: int, rng: np.random.Generator) -> None:
    """images.csv with numbers of quality, flags and failures."""
    count = len(images)
    failed, flagged = rng.random(count) < 0.01, rng.random(count) < 0.02
    table = images.drop(columns="overlay")
    table["status"] = np.where(failed, "failed", "ok")
    table["stage"] = np.where(failed, "preprocess", "")
    table["message"] = np.where(failed, images["file"] + " holds HTML and not an image", "")
    table["objects"] = np.where(failed, 0, objects)
    table["channels"] = np.where(failed, "", ";".join(CHANNELS))
    table["pixel_size_um"] = 0.65
    table["threshold"] = rng.normal(800, 50, count)
    kinds = rng.choice(list(FLAGS), count)
    table["flags"] = np.where(flagged & ~failed, kinds, "")
    table["flag_reasons"] = [FLAGS.get(kind, "") for kind in table["flags"]]
    table["excluded"] = ""
    table["foreground"] = rng.beta(5, 20, count)
    for channel in CHANNELS:
        table[f"focus_{channel}"] = rng.lognormal(5, 0.3, count) / np.where(flagged, 9, 1)
        table[f"saturated_{channel}"] = rng.beta(1, 400, count)
        table[f"background_{channel}"] = rng.normal(200, 10, count)
        table[f"signal_to_noise_{channel}"] = rng.normal(30, 4, count)
        table[f"evenness_{channel}"] = 1 - rng.beta(2, 20, count)
    for stage in STAGES:
        table[f"seconds_{stage}"] = 0.3
    table["overlay"] = images["overlay"].where(~failed, "")
    table.to_csv(path, index=False)


def write_objects(path: Path, images: pd.DataFrame, objects: int, rng: np.random.Generator) -> None:
    """objects.parquet, one directory after the other."""
    keys = ["directory", "batch", "image", "plate", "well", *TOLD]
    writer = None
    for _, part in images.groupby("directory", sort=False):
        table = part.loc[part.index.repeat(objects), keys].reset_index(drop=True)
        count = len(table)
        table["area"] = rng.lognormal(5.5, 0.4, count)
        table["area_um2"] = table["area"] * 0.65**2
        table["eccentricity"] = rng.beta(5, 3, count)
        strength = table["dose_uM"] / (table["dose_uM"] + 3)
        for channel in CHANNELS:
            table[f"intensity_mean_{channel}"] = rng.lognormal(6, 0.4, count) * (1 + strength)
        rows = pa.Table.from_pandas(table, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, rows.schema, compression="zstd")
        writer.write_table(rows)
    writer.close()


if __name__ == "__main__":
    main()
