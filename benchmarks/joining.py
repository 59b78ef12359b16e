"""What `tables.py` measures: `joining.py STEP FOLDER` in a process of its own."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from stages import SCHEMA

import object_formats
import object_table
import summary_table
from measure import measure
from nucleiflow import plan
from nucleiflow.batch import RECORDS
from nucleiflow.controls import Controls
from nucleiflow.metadata import known_of, read_batches
from simulate import simulate

ROWS, IMAGES, WELLS = 1000, 10, 96
CONTROLS = Controls(
    "well", tuple(f"{row}01" for row in "ABCD"), tuple(f"{row}12" for row in "ABCD")
)


def make(folder: Path) -> None:
    """Batches as stage measure leaves them, and images.csv; how many says the folder's name."""
    properties = SCHEMA["properties"]["measure"]["properties"]["properties"]["default"]
    raw, labels = simulate(1, (2048, 2048))
    table = measure(labels, [("DAPI", raw)], properties, 0)
    random = np.random.default_rng(1)
    drawn = [resampled(table, random) for _ in range(20)]
    rows = []
    for number in range(int(folder.name)):
        directory, well = f"plate_{number // WELLS + 1:04}", number % WELLS
        well = f"{'ABCDEFGH'[well // 12]}{well % 12 + 1:02}"
        names = [f"{directory}_{well}_s{site + 1}" for site in range(IMAGES)]
        name = plan.batch_name(directory, names[0])
        images = [
            plan.Image(
                image,
                (plan.File(f"{image}.tif", 8_000_000, 1),),
                (directory, well, str(site + 1), ""),
            )
            for site, image in enumerate(names)
        ]
        batch = plan.Batch(name, directory, directory, images, plan.Extent(4.2))
        columns = ("plate", "well", "site", "time")
        plan.save(batch, "/images", "/images", columns, folder / "batches" / f"{name}.json")
        part = folder / "measure" / name
        part.mkdir(parents=True)
        (part / RECORDS).write_text(json.dumps([record(batch, site) for site in range(IMAGES)]))
        where = {"directory": directory, "batch": name, "image": np.repeat(names, ROWS // IMAGES)}
        whole = pd.concat([pd.DataFrame(where), drawn[number % len(drawn)]], axis=1)
        # As stage measure writes them.
        pq.write_table(
            pa.Table.from_pandas(whole, preserve_index=False),
            part / "objects.parquet",
            compression="zstd",
            use_dictionary=list(where),
        )
        told = {"directory": directory, "batch": name, "plate": directory, "well": well}
        found = {"status": "ok", "objects": ROWS // IMAGES, "flags": "", "excluded": "false"}
        rows += [told | {"image": image, "file": f"{image}.tif"} | found for image in names]
    pd.DataFrame(rows).to_csv(folder / "images.csv", index=False)


def resampled(table: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """As many nuclei as a part has, whose values are like those of a table, and no copies."""
    drawn = table.sample(ROWS, replace=True, random_state=random).reset_index(drop=True)
    for name in drawn.select_dtypes("float64"):
        drawn[name] *= random.normal(1, 0.01, ROWS)
    drawn["label"] = np.tile(np.arange(1, ROWS // IMAGES + 1), IMAGES)
    return drawn


def record(batch: plan.Batch, site: int) -> dict:
    """What stages leave of an image."""
    image = batch.images[site]
    return {
        **{"directory": batch.directory, "batch": batch.name, "image": image.name},
        **{"file": image.files[0].path, "member": site, "scene": 0, "frame": 0},
        **{"status": "ok", "stage": "", "message": "", "objects": ROWS // IMAGES},
        **{"height": 2048, "width": 2048, "dtype": "uint16", "channels": "DAPI"},
        **{"segmented": "DAPI", "segmented_index": 0, "planes": 1, "size": [2048, 2048]},
        **{"stated_pixel_size_um": None, "stated_pixel_size_source": ""},
        "seconds": dict.fromkeys(("preprocess", "threshold", "markers", "watershed"), 0.1234),
    }


def inputs(folder: Path) -> tuple:
    """Directories of the batches, and what is known of their images."""
    measured = sorted((folder / "measure").iterdir())
    return measured, known_of(measured, str(folder / "batches"), None)


# What is measured


def copy(folder: Path) -> None:
    """Each part read, and written to one file."""
    parts = sorted(folder.glob("measure/*/objects.parquet"))
    with pq.ParquetWriter(folder / "copy", pq.read_schema(parts[0]), compression="zstd") as file:
        for part in parts:
            file.write_table(pq.read_table(part))
    (folder / "copy").unlink()


def copy_as_csv(folder: Path) -> None:
    """The same with CSV."""
    parts = sorted(folder.glob("measure/*/objects.parquet"))
    with pa.csv.CSVWriter(folder / "copy", pq.read_schema(parts[0])) as file:
        for part in parts:
            file.write_table(pq.read_table(part))
    (folder / "copy").unlink()


def join(folder: Path) -> None:
    """As rule object_table does it."""
    measured, known = inputs(folder)
    parts = [part / "objects.parquet" for part in measured]
    batches = read_batches(measured, folder / "batches")
    object_table.write_objects(parts, known, batches, folder / "objects.parquet")


def formatted(write, name: str):
    """A format of the joined table, as rule object_formats writes it."""

    def run(folder: Path) -> None:
        write(folder / "objects.parquet", folder / name)

    return run


def summarise(folder: Path) -> None:
    """As rule summary_table does it, by well, with controls."""
    tables = folder / "images.csv", folder / "objects.parquet"
    table = summary_table.summary_table(*tables, ["plate", "well"], "auto", CONTROLS)
    table.to_csv(folder / "summary.csv", index=False)


STEPS = {
    "make": make,
    "plain copy": copy,
    "objects.parquet": join,
    "plain copy as CSV": copy_as_csv,
    "objects.csv": formatted(object_formats.write_csv, "objects.csv"),
    "objects.csv.gz": formatted(object_formats.write_csv, "objects.csv.gz"),
    "objects.sqlite": formatted(
        lambda source, path: object_formats.write_sqlite(
            source, source.with_name("images.csv"), path
        ),
        "objects.sqlite",
    ),
    "objects/ by directory": formatted(
        lambda source, path: object_formats.write_parts(source, "directory", path), "objects"
    ),
    "summary.csv by well": summarise,
}


if __name__ == "__main__":
    STEPS[sys.argv[1]](Path(sys.argv[2]))
