"""The report's plots of measurements: of all nuclei, and by directory or well."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nucleiflow import columns, derived, figures, groups, pages, plots, report
from nucleiflow.figures import Plot
from nucleiflow.files import replaced
from nucleiflow.job import logged
from nucleiflow.report import Measure

# Groups in the table on the page.
LISTED = 200
KEYS = ("directory", "plate", "well")


def grouping(images: pd.DataFrame, group_by: str) -> tuple[str, tuple[str, ...]]:
    """What a group is called, and the columns of images that tell it.

    `auto` are wells, where they are known and have room in a plot; else plates; else directories.
    """
    if group_by == "auto":
        wells = images.loc[images["well"] != "", ["plate_of", "well"]].drop_duplicates()
        group_by = "plate" if len(wells) > plots.MOST else "well" if len(wells) else "directory"
    known = {"well": ("plate_of", "well"), "plate": ("plate_of",)}
    return group_by, known.get(group_by, (group_by,))


def shown_names(keys: Sequence[groups.Key]) -> list[str]:
    """Names of groups, without the parts that are the same in all."""
    parts = list(zip(*keys, strict=True))
    telling = [part for part in parts if len(set(part)) > 1] or parts[-1:]
    return [" ".join(text or "none" for text in key) for key in zip(*telling, strict=True)]


def most_different(medians: pd.Series, count: int) -> list[int]:
    """The places of so many values that differ most from the median of all, in their order."""
    away = (medians - medians.median()).abs().fillna(-1)
    return sorted(away.sort_values(ascending=False, kind="stable").index[:count])


def measurement_plots(
    measured: Iterable[tuple[Measure, dict[groups.Key, np.ndarray]]],
    counts: dict[groups.Key, np.ndarray],
    kind: str,
) -> tuple[list[Plot], pd.DataFrame]:
    """Plots of all objects and by group, and a table of the medians of groups.

    Parameters
    ----------
    measured : iterable of (Measure, values by group)
        Of one measurement after the other, so that one is in memory at a time.
    counts : dict
        Numbers of objects of the images of each group, in the order of the groups.
    kind : str
        What a group is.
    """
    table = pd.DataFrame({kind: shown_names(list(counts))})
    of_images = Measure(
        "objects",
        "nuclei an image",
        f"A {kind} with fewer or more nuclei than its neighbours was seeded or treated "
        "differently, or segmented wrongly: its outlines tell which.",
    )
    histograms, made = [], []
    for measure, values in itertools.chain([(of_images, counts)], measured):
        # One hint is enough for all channels.
        told = any(plot.caption.endswith(measure.hint) for plot in made)
        if measure is not of_images:
            counted = groups.histogram(values.values(), plots.CLASSES)
            histograms.append((measure.label, *counted))
        rows = [values.get(key, np.array([], np.float32)) for key in counts]
        made.append(group_plot(rows, table[kind], measure._replace(hint="") if told else measure))
        quantiles = groups.quantiles(rows)
        if measure is of_images:
            table["images used"] = quantiles["n"]
        table[measure.label] = quantiles["median"]
    if histograms:
        caption = (
            "All nuclei, without the outermost 0.5 % on each side. Areas near zero are debris "
            "(raise min_area of watershed); a second peak at twice the first are nuclei that were "
            "not separated (see markers). Several peaks of intensity can be the cell cycle, or "
            "directories that were exposed differently, which the plots below show."
        )
        figure = plots.histograms(histograms, "nuclei")
        made.insert(0, Plot("all_nuclei", figure, caption))
    return made, table


def group_plot(rows: Sequence[np.ndarray], names: pd.Series, measure: Measure) -> Plot:
    """Boxes of the values of each group."""
    kind = names.name
    table = groups.quantiles(rows).assign(name=names)
    places = most_different(table["median"], plots.MOST)
    few = [rows[at] if len(rows[at]) <= plots.FEW else rows[at][:0] for at in places]
    figure = plots.boxes(table.loc[places], measure.label, few)
    caption = measure.hint
    if len(places) < len(table):
        caption = (
            f"Of {len(table)}, these are the {len(places)} that differ most from the median of "
            f"all; summary.csv has all that summary: group_by names. {caption}"
        )
    return Plot(f"{measure.name}_by_{kind}", figure, caption)


def medians_table(table: pd.DataFrame) -> pages.Table:
    """The medians of groups, to be read."""
    rows = table.head(LISTED).astype(object).to_numpy().tolist()
    left = len(table) - len(rows)
    more = f"And {left} more, which summary.csv has if summary: group_by names them."
    return pages.Table(table.columns.tolist(), rows, more if left else "")


def not_measured(missing: Sequence[str]) -> str:
    """HTML of a note on names that are no columns."""
    if not missing:
        return ""
    return pages.paragraph(
        f"Not in the tables: {', '.join(missing)}. Names in measurements of report are columns of "
        "objects.csv, with or without their channel; properties of measure says which there are.",
        "note",
    )


def measured_by_group(
    path: Path,
    wanted: Sequence[Measure],
    keys: Sequence[str],
    group: Sequence[str],
) -> Iterator[tuple[Measure, dict[groups.Key, np.ndarray]]]:
    """Values of objects by group, of one measurement after the other.

    Parameters
    ----------
    path : Path
        objects.parquet.
    wanted : sequence of Measure
    keys : sequence of str
        Columns of objects that tell the group.
    group : sequence of str
        Of those, and `plate_of`, the plate or else the directory.
    """
    names = derived.own_names(pq.read_schema(path))
    in_file = [names[key] for key in keys]

    def group_of(key: groups.Key) -> groups.Key:
        row = dict(zip(keys, key, strict=True))
        row["plate_of"] = row["plate"] or row["directory"]
        return tuple(row[name] for name in group)

    for measure in wanted:
        values = groups.regrouped(groups.values_of(path, in_file, names[measure.name]), group_of)
        if names[measure.name] != measure.name:
            # The file has CellProfiler's names, and its units.
            _, factor = columns.cellprofiler(columns.find(measure.name), measure.name)
            values = {key: part / np.float32(factor) for key, part in values.items()}
        yield measure, values


if "snakemake" in globals():
    with logged(snakemake):
        settings, output = snakemake.params.settings, snakemake.output
        path = Path(snakemake.input.objects)
        schema = pq.read_schema(path)
        names = derived.own_names(schema)
        images, told = report.read_images(Path(snakemake.input.images), ["pixel_size_um"])
        kind, group = grouping(images, settings["group_by"])
        keys = list(dict.fromkeys([*KEYS, *(name for name in group if name in told)]))
        for key in keys:
            if pa.types.is_floating(schema.field(names[key]).type):
                images[key] = images[key].map(lambda text: groups.text_of(float(text or "nan")))
        used = images[images["used"]]
        wanted, missing = report.measures(
            settings["measurements"],
            names,
            report.channels_of(images),
            in_um=bool(used["pixel_size_um"].notna().all()),
        )
        counts = {
            key: part["objects"].to_numpy(np.float32)
            for key, part in used.groupby(list(group), sort=False)
        }
        measured = measured_by_group(path, wanted, keys, group)
        made, table = measurement_plots(measured, counts, kind)
        with replaced(Path(output.plots)) as folder:
            folder.mkdir()
            drawn = figures.drawn(made, folder)
        text = (
            "Each box holds the middle half of the nuclei (or images), the mark in it is their "
            "median, and the thin line leaves out 5 % on each side. Beside the name stands their "
            f"number; up to {plots.FEW} are shown one by one. The dashed line is the median of all "
            "medians."
        )
        all_nuclei, by_group = drawn[: -len(wanted) - 1], drawn[-len(wanted) - 1 :]
        parts = [not_measured(missing), *all_nuclei, pages.heading(f"By {kind}")]
        parts += [pages.paragraph(text), *by_group]
        parts.append(pages.folded(f"Medians by {kind}", medians_table(table).html()))
        pages.write(Path(output.page), pages.page("Measurements", parts))
