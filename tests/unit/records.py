"""Batches and their records, as stages leave them, for the tests of tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from nucleiflow import plan
from nucleiflow.plan import File, Image, Plan

STANDARD = ("plate", "well", "site", "time")
NOTHING = ("", "", "", "")


def frame(columns):
    """Columns as stage measure makes them: whole numbers of other objects can be missing."""
    return pd.DataFrame(
        {
            name: pd.arrays.IntegerArray(each.data, np.ma.getmaskarray(each))
            if isinstance(each, np.ma.MaskedArray)
            else each
            for name, each in columns.items()
        }
    )


def batch_of(name, metadata, directory="day 1", columns=STANDARD):
    """A batch of images i0, i1 ... and what their names tell."""
    images = [
        Image(f"i{index}", (File(f"i{index}.tif", 1, 1),), values)
        for index, values in enumerate(metadata)
    ]
    batch = plan.Batch(name, directory, directory, images, plan.Extent(1.0))
    return Plan(batch, "/data", Path("/data"), columns)


def record(image, **facts):
    return {
        **{"directory": "day 1", "batch": "b", "image": image, "file": f"{image}.tif"},
        **{"member": 0, "scene": 0, "frame": 0},
        **{"status": "ok", "stage": "", "message": "", "objects": 3},
        **{"height": 10, "width": 20, "dtype": "uint16", "channels": "DAPI;GFP"},
        **{"segmented": "DAPI", "segmented_index": 0, "planes": 5},
        **{"stated_pixel_size_um": None, "stated_pixel_size_source": ""},
        "seconds": {"preprocess": 0.5, "measure": 0.25},
        **facts,
    }


def records_of(batch):
    return [record(image.name, member=index) for index, image in enumerate(batch.batch.images)]


PLATE_MAP = [
    "well,drug,dose,times,control",
    "A1,none,0,,TRUE",
    'a02,"X, ""Y""",1.5,3,false',
    "B01,0012,2e3,4,",
]
