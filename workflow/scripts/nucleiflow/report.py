"""What the pages of the report share: the images, and what is measured."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from nucleiflow import columns, derived
from nucleiflow.safe_tables import true_names

# The columns of names, sheets and the plate map stand between these of images.csv.
FIRST, LAST = "file", "status"
TEXTS = ("directory", "image", "file", "plate", "well", "status", "stage", "message", "channels")
FLAGS = ("flags", "flag_reasons", "excluded")
HINTS = {
    "area": "Many small objects are debris or parts of nuclei (raise min_area of watershed, or "
    "look at markers); areas of twice the others are nuclei that were not separated.",
    "intensity": "A group that is brighter or dimmer than all others is rarely biology: compare "
    "exposure, staining and lamp, and the background in the plots of quality.",
    "eccentricity": "0 is a circle, 1 a line. Where it is high, nuclei are long, or touching ones "
    "are one object: their outlines tell which.",
    "": "A group that stands apart deserves a look at its outlines and at the plots of quality.",
}


class Measure(NamedTuple):
    """A column of numbers with the label of its axis, and what to think of when it looks wrong."""

    name: str
    label: str
    hint: str = ""


def read_images(
    path: Path, numbers: Sequence[str] = (), texts: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """images.csv, as far as the report needs it.

    Parameters
    ----------
    path : Path
    numbers, texts : sequence of str
        Columns to read beside those that are always read, as far as they are there. With a column
        of numbers, those that begin with it and `_` are read, too.

    Returns
    -------
    images : DataFrame
        A row an image: texts as in the file, empty where there is nothing; `ok`, whether it worked;
        `excluded`; `used`, whether its objects are in the tables; `flags`, a set, `flagged` and
        `reasons`; `plate_of`, its plate or else its directory; `objects` and other numbers, NaN
        where there are none.
    told : list of str
        Its columns that names, sheets and the plate map give.
    """
    names = pd.read_csv(path, nrows=0).columns.tolist()
    told = names[names.index(FIRST) + 1 : names.index(LAST)]
    texts = {*TEXTS, *FLAGS, *told, *texts}
    found = [
        name
        for name in names
        if name not in texts
        and any(name == each or name.startswith(f"{each}_") for each in ("objects", *numbers))
    ]
    wanted = texts.union(found)
    images = pd.read_csv(
        path, dtype=str, keep_default_na=False, usecols=lambda name: name in wanted
    )
    images = true_names(images)
    for name in found:
        images[name] = pd.to_numeric(images[name], errors="coerce")
    for name in FLAGS:
        images[name] = images.get(name, "")
    images["ok"] = images["status"] == "ok"
    images["excluded"] = images["excluded"].str.lower().isin(["true", "yes", "1"])
    images["used"] = images["ok"] & ~images["excluded"]
    images["flags"] = images["flags"].map(lambda text: frozenset(text.split()))
    images["flagged"] = images["flags"].map(bool).astype(bool)
    images["plate_of"] = images["plate"].where(images["plate"] != "", images["directory"])
    return images.rename(columns={"flag_reasons": "reasons"}), told


def channels_of(images: pd.DataFrame) -> list[str]:
    """Names of all channels, in their order."""
    sets = dict.fromkeys(images["channels"])
    return list(dict.fromkeys(name for text in sets for name in text.split(";") if name))


def path_of(directory: str, image: str) -> str:
    """An image as people call it."""
    return image if directory == "." else f"{directory}/{image}"


def measures(
    wanted: Sequence[str], available: Iterable[str], channels: Sequence[str], in_um: bool
) -> tuple[list[Measure], list[str]]:
    """The columns of `objects` that names ask for, and the names that ask for none.

    Parameters
    ----------
    wanted : sequence of str
        Columns, or those of all channels by their name without one.
    available : iterable of str
        All columns.
    channels : sequence of str
    in_um : bool
        Whether to take areas and lengths in micrometres where there are such.
    """
    available, found, missing = set(available), {}, []
    for name in wanted:
        every = (name, *(f"{name}_{channel}" for channel in channels))
        fitting = [each for each in every if each in available]
        missing += [] if fitting else [name]
        for each in fitting:
            known = columns.find(each)
            if in_um and known and columns.power_of(known.column.name):
                inside = derived.in_micrometres(each, known)
                each = inside if inside in available else each
            found[each] = Measure(each, label_of(each), hint_of(each))
    return list(found.values()), missing


def label_of(name: str) -> str:
    """The label of an axis: what is measured, of what, and its unit."""
    found = columns.find(name)
    if found is None:
        return name.replace("_", " ")
    of = "" if found.of == "nuclei" else f"{found.of}: "
    index = "".join(f" {number}" for number in found.index)
    channel = f" {found.channel}" if found.channel else ""
    unit = f" ({found.column.unit})" if found.column.unit else ""
    return f"{of}{found.property.replace('_', ' ')}{index}{channel}{unit}"


def hint_of(name: str) -> str:
    """What to think of when a measurement looks wrong."""
    found = columns.find(name)
    return HINTS[next((kind for kind in HINTS if found and found.property.startswith(kind)), "")]
