"""The report's first pages: what was run and what became of it, and the quality of the images."""

import datetime
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from nucleiflow import figures, pages, plots, report
from nucleiflow.figures import Plot
from nucleiflow.files import replaced
from nucleiflow.job import logged
from nucleiflow.pages import Table
from nucleiflow.report import path_of
from nucleiflow.safe_tables import as_csv

# Rows of tables on the pages, and flagged images that have a number in plots.
LISTED, NUMBERED = 200, 40
PACKAGES = ("snakemake", "numpy", "opencv-python-headless", "scikit-image", "scipy", "tifffile")


class Quality(NamedTuple):
    """A number of images, or of each of their channels, whose columns end in their names.

    Attributes
    ----------
    name, label, hint : str
        As of `Measure`.
    flags : frozenset of str
        Those that it decides.
    factor : float
        To the unit of the label.
    """

    name: str
    label: str
    hint: str
    flags: frozenset[str] = frozenset()
    factor: float = 1.0


QUALITY = (
    Quality(
        "focus",
        "focus",
        "Fine detail of nuclei: high where they are sharp, low where they are blurred. If marked "
        "images are sharp, lower the limit (focus of qc); if a whole directory is low, the "
        "autofocus was off.",
        frozenset({"out_of_focus"}),
    ),
    Quality(
        "saturated",
        "saturated pixels (%)",
        "Pixels at the end of the camera's range, whose intensity is not known: means and sums of "
        "their nuclei are too low. Leave such images out (exclude of qc) and expose shorter.",
        frozenset({"saturated"}),
        100,
    ),
    Quality(
        "background",
        "background (units of the image)",
        "The level where there is no nucleus. A step between directories is another exposure, "
        "offset or medium, a slope along them bleaching or drying: compare intensities that are "
        "corrected for it, such as intensity_mean_corrected.",
    ),
    Quality(
        "signal_to_noise",
        "signal to noise",
        "How far nuclei stand out of the noise of the background. Where it is low, outlines of dim "
        "nuclei are guesses: expose longer, or denoise in preprocess.",
    ),
    Quality(
        "evenness",
        "evenness of light (1 is even)",
        "Background where it is dark over where it is bright. Where most images of a directory are "
        "low, correct them with the method estimate of illumination; where single ones are, look "
        "for dirt or a meniscus.",
        frozenset({"uneven"}),
    ),
    Quality(
        "foreground",
        "covered by nuclei (%)",
        "Close to nothing is an empty field or a threshold that is too high; close to everything a "
        "threshold that is too low, or a field in which nuclei cannot be told apart.",
        frozenset({"empty", "too_crowded"}),
        100,
    ),
    Quality(
        "objects",
        "nuclei an image",
        "Images far above the others hold debris, or nuclei cut in pieces; images far below are "
        "empty, out of focus, or hold nuclei that were not separated: look at their outlines.",
        frozenset({"empty", "too_crowded"}),
    ),
    Quality(
        "debris",
        "debris (areas of a nucleus)",
        "Dirt that is far brighter than nuclei, and pieces that were dropped as too small. Look "
        "whether it was taken for nuclei, and raise min_area of watershed if so.",
        frozenset({"debris"}),
    ),
    Quality(
        "threshold",
        "threshold (preprocessed)",
        "The level between nuclei and background, found in each image, in units of the "
        "preprocessed image. It follows the stain; an image far off its neighbours has a wrong "
        "mask.",
    ),
)


def run_facts(images: pd.DataFrame, objects: int) -> list[tuple[str, object, bool]]:
    """The numbers to be seen first: label, value, and whether it is a bad sign."""
    failed = int((~images["ok"]).sum())
    flagged = int(images["flagged"].sum())
    excluded = int(images["excluded"].sum())
    plates = images.loc[images["well"] != "", "plate_of"].nunique()
    numbers = [
        ("images", len(images), False),
        ("failed", failed, failed > 0),
        ("flagged", flagged, flagged > 0),
        ("left out", excluded, False) if excluded else None,
        ("nuclei", objects, objects == 0),
        ("directories", images["directory"].nunique(), False),
        ("plates", plates, False) if plates else None,
    ]
    return [number for number in numbers if number]


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 5 s, 2 h 10 min."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def changed(config: dict, defaults: dict, prefix: str = "") -> Iterator[tuple[str, object, object]]:
    """Keys that differ from their defaults: dotted name, value, default."""
    for name, value in config.items():
        default = defaults.get(name)
        if isinstance(value, dict) and isinstance(default, dict):
            yield from changed(value, default, f"{prefix}{name}.")
        elif value != default:
            yield prefix + name, value, default


def as_yaml(value: object) -> str:
    """A value in one line, as it is written in a config."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("...").strip()


def run_page(run: dict, images: pd.DataFrame, defaults: dict) -> str:
    """What was run, with which config and versions, and which images failed.

    Parameters
    ----------
    run : dict
        What run.json holds.
    images : DataFrame
        As `report.read_images` gives them, with `seconds_STAGE`.
    defaults : dict
        The config that nobody changed.
    """
    parts = [pages.facts(run_facts(images, run["objects"]))]
    seconds = images[[name for name in images if name.startswith("seconds_")]].sum()
    started, finished = (
        datetime.datetime.fromisoformat(run[name]) for name in ("started", "finished")
    )
    took = duration((finished - started).total_seconds())
    rows = [
        ("finished", f"{finished:%Y-%m-%d %H:%M:%S %z}"),
        ("took", f"{took} until the tables were there, what was there before not counted"),
    ]
    computing = ", ".join(
        f"{name.removeprefix('seconds_')} {duration(value)}" for name, value in seconds.items()
    )
    rows += [
        ("computing", f"{duration(seconds.sum())} of all images: {computing}"),
        ("run directory", run["directory"]),
        ("host", f"{run['host']}, {run['system']}"),
        ("nucleiflow", run["nucleiflow"]),
        ("Python", run["python"]),
        *((name, run["packages"][name]) for name in PACKAGES if name in run["packages"]),
    ]
    parts.append(Table(("", ""), [(name, str(value)) for name, value in rows]).html())
    every = "\n".join(f"{name} {version}" for name, version in run["packages"].items())
    parts.append(pages.folded("All packages and their versions", pages.preformatted(every)))
    parts += [pages.heading("Failed images"), failed_table(images), pages.heading("Config")]
    differing = list(changed(run["config"], defaults))
    rows = [(name, *map(as_yaml, values)) for name, *values in differing]
    if rows:
        parts.append(Table(("key", "value", "default"), rows).html())
    else:
        parts.append(pages.paragraph("All keys have their defaults."))
    whole = yaml.safe_dump(run["config"], sort_keys=False, allow_unicode=True, width=100)
    parts.append(pages.folded("The whole config", pages.preformatted(whole)))
    parts += [pages.heading("Directories"), directory_table(images).html()]
    return pages.page("What was run", parts)


def failed_table(images: pd.DataFrame) -> str:
    """HTML of the images that failed, each with its sentence."""
    failed = images[~images["ok"]]
    if failed.empty:
        return pages.paragraph("None.")
    rows = [
        (path_of(row.directory, row.image), row.stage, row.message)
        for row in failed.head(LISTED).itertuples()
    ]
    left = len(failed) - len(rows)
    more = f"And {left} more, in images.csv." if left else ""
    text = (
        "They are in no other table and plot. Mend what the sentences say and run again: only the "
        "batches of these images are computed."
    )
    return pages.paragraph(text) + Table(("image", "stage", "why"), rows, more).html()


def failed_csv(images: pd.DataFrame) -> str:
    """The images that failed as CSV: all, or as many of the first as the report has room for."""
    failed = images.loc[~images["ok"], ["directory", "file", "stage", "message"]]
    # A text has a comma or line end behind it, and may have quotes around it.
    rows = failed.itertuples(index=False)
    sizes = [sum(len(text.encode()) + 3 for text in row) for row in rows]
    shown = int((np.cumsum(sizes) <= pages.LARGEST_TABLE).sum())
    return as_csv(failed.head(shown))


def directory_table(images: pd.DataFrame) -> Table:
    """What became of each directory."""
    rows = [
        (
            name,
            len(part),
            int((~part["ok"]).sum()),
            int(part["flagged"].sum()),
            int(part["objects"].sum()),
        )
        for name, part in images.groupby("directory", sort=False)
    ]
    left = len(rows) - LISTED
    more = f"And {left} more, in images.csv." if left > 0 else ""
    return Table(("directory", "images", "failed", "flagged", "nuclei"), rows[:LISTED], more)


def quality_plots(images: pd.DataFrame, channels: Sequence[str]) -> list[Plot]:
    """Numbers of images in their order, with flagged ones marked.

    Parameters
    ----------
    images : DataFrame
        As `report.read_images` gives them, of images that worked, with `number` of flagged ones.
    channels : sequence of str
        Whose names columns end in.
    """
    flagged = images["flagged"].to_numpy(bool)
    made = []
    for quality in QUALITY:
        every = [("", quality.name), *((one, f"{quality.name}_{one}") for one in channels)]
        shown = [
            (channel, images[name].to_numpy(float) * quality.factor)
            for channel, name in every
            if name in images and images[name].notna().any()
        ]
        if not shown:
            continue
        here = [not flags.isdisjoint(quality.flags) for flags in images["flags"]]
        marked = {
            at: int(number)
            for at, number in enumerate(images["number"])
            if here[at] and number <= NUMBERED
        }
        here = np.array(here, bool)
        directories = images["directory"].tolist()
        figure = plots.sequence(shown, quality.label, directories, here, flagged & ~here, marked)
        made.append(Plot(quality.name, figure, quality.hint))
    return made


def quality_page(images: pd.DataFrame, drawn: Sequence[str], is_checked: bool) -> str:
    """The plots of quality, and the flagged images with their sentences."""
    flagged = images[images["number"].notna()]
    text = (
        "Every image that worked, in the order of images.csv; grey and white stripes are "
        "directories. Crosses are images that are flagged for what is shown, with the number that "
        "they have in the table below; circles are flagged for something else. Of very many "
        "images, flagged ones are dots in the same colours, and the others a band."
    )
    parts = [pages.paragraph(text)]
    rows = [
        (number, path_of(row.directory, row.image), " ".join(sorted(row.flags)), row.reasons)
        for number, row in enumerate(flagged.head(LISTED).itertuples(), 1)
    ]
    left = len(flagged) - len(rows)
    more = f"And {left} more, in images.csv." if left else ""
    table = Table(("number", "image", "flags", "why"), rows, more).html()
    if not rows:
        table = pages.paragraph("None." if is_checked else "Images were not checked.")
    return pages.page("Quality", [*parts, *drawn, pages.heading("Flagged images"), table])


if "snakemake" in globals():
    with logged(snakemake):
        output = snakemake.output
        run = json.loads(Path(snakemake.input.run).read_text())
        path = Path(snakemake.input.images)
        others = ["seconds", *(quality.name for quality in QUALITY)]
        images, _ = report.read_images(path, others)
        pages.write(Path(output.run), run_page(run, images, snakemake.params.defaults))
        with replaced(Path(output.tables)) as folder:
            folder.mkdir()
            pages.write(folder / "failed.csv", failed_csv(images))
            summary = Path(snakemake.input.summary)
            if summary.stat().st_size <= pages.LARGEST_TABLE:
                shutil.copyfile(summary, folder / "summary.csv")
        done = images[images["ok"]].reset_index(drop=True)
        flagged = done["flagged"]
        done["number"] = flagged.cumsum().where(flagged)
        with replaced(Path(output.plots)) as folder:
            folder.mkdir()
            drawn = figures.drawn(quality_plots(done, report.channels_of(done)), folder)
        is_checked = "foreground" in images
        pages.write(Path(output.quality), quality_page(done, drawn, is_checked))
