"""The report's plates and doses: wells as heat maps, and curves where the plate map has doses."""

import gzip
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from nucleiflow import derived, figures, groups, names, pages, plots, report
from nucleiflow.controls import Controls
from nucleiflow.figures import Plot
from nucleiflow.files import replaced
from nucleiflow.job import JobError, logged
from nucleiflow.report import Measure
from nucleiflow.safe_tables import as_csv
from report_plots import KEYS, measured_by_group, not_measured

FORMATS = ((2, 3), (3, 4), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))
# Plates in the heat maps of all measurements together, and panels with curves: the report stays
# small.
PANELS, CURVES = 192, 60
DOSE = re.compile("dose|conc", re.IGNORECASE)
COMPOUND = re.compile("compound|drug|treatment|substance", re.IGNORECASE)
PLATES = (
    "Each square is a well, all plates have one scale. Grey wells have no value; a cross marks "
    "those whose images all failed, a circle those with a flagged image. Rows, columns or edges "
    "that stand out come from pipetting, drying or the microscope, and not from treatment; single "
    "wells deserve a look at their outlines. The numbers are in wells.csv, which is beside the "
    "report, compressed, if it is large."
)
DOSES = (
    "Each point is a well; squares are medians of a dose, and bars reach from the lower to the "
    "upper quartile of its wells. 0 stands apart, as a logarithmic axis has no place for it, and "
    "so do wells without a dose. Controls are those of the same plates, with a dashed line at "
    "their median. A curve that jumps between neighbouring doses has too few wells or follows the "
    "plate (see the heat maps); a flat one has no effect, or its doses are too low or too high."
)
NO_WELLS = "No well is called as on a plate, such as A01, or none has a value."
NO_DOSES = "No well that is no control has a dose and a value."
UNIT = re.compile(r"(.*[^\W\d_])[\s_(\[]+([pnuµm]?M|[pnuµm]?g[_/]m?[lL]|%)[)\]]?")


def wells_of(
    images: pd.DataFrame,
    told: Sequence[str],
    measured: Iterable[tuple[Measure, dict[groups.Key, np.ndarray]]],
) -> pd.DataFrame:
    """One row a well: what is known of it, its images, nuclei an image, medians of its nuclei.

    Parameters
    ----------
    images : DataFrame
        As `report.read_images` gives them, of which some have a well.
    told : sequence of str
        Columns of names, sheets and the plate map, of which those that are the same in all images
        of each well are kept.
    measured : iterable of (Measure, values by plate and well)
    """
    images = images[images["well"] != ""]
    by_well = images.groupby(["plate_of", "well"], sort=False)
    table = pd.DataFrame({"images": by_well.size()})
    table["failed"] = table["images"] - by_well["ok"].sum()
    table["flagged"] = by_well["flagged"].sum()
    used = images[images["used"]].groupby(["plate_of", "well"])
    table["objects_an_image"] = used["objects"].mean()
    for measure, values in measured:
        medians = {key: float(np.median(part)) for key, part in values.items() if len(part)}
        table[f"median_{measure.name}"] = [medians.get(key, np.nan) for key in table.index]
    others = [name for name in told if name not in ("plate", "well")]
    others = [name for name in others if (images[name] != "").any()]
    kept = [name for name in others if by_well[name].nunique().max() == 1]
    table = by_well[kept].first().join(table) if kept else table
    return table.reset_index(names=["plate", "well"])


def write_wells(wells: pd.DataFrame, folder: Path) -> None:
    """The table of wells, compressed if it is too large for the report."""
    text = as_csv(wells, float_format="%.7g")
    if len(text) <= pages.LARGEST_TABLE:
        pages.write(folder / "wells.csv", text)
    else:
        (folder / "wells.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def place_of(well: str) -> tuple[int, int] | None:
    """Row and column of a well such as `B03`, from 0; None where it is called otherwise."""
    try:
        name = names.well(well)
    except ValueError:
        return None
    letters = name.rstrip("0123456789")
    return names.ROWS.index(letters), int(name[len(letters) :]) - 1


def plate_shape(places: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Rows and columns of the smallest usual plate that has these wells."""
    rows, columns = (max(each) + 1 for each in zip(*places, strict=True))
    return next(shape for shape in FORMATS if shape[0] >= rows and shape[1] >= columns)


def plate_plots(wells: pd.DataFrame, shown: Sequence[Measure]) -> list[Plot]:
    """Heat maps of wells.

    Parameters
    ----------
    wells : DataFrame
        See `wells_of`.
    shown : sequence of Measure
        Columns of `wells`.
    """
    wells = wells.assign(place=wells["well"].map(place_of))
    # OME-Zarr plates may call their wells as they like.
    wells = wells[wells["place"].notna()]
    if wells.empty:
        return []
    shape = plate_shape(wells["place"])
    plates = list(wells.groupby("plate", sort=False))
    most = max(PANELS // max(len(shown), 1) // plots.PANELS, 1) * plots.PANELS
    made = []
    for measure in shown:
        values = wells[measure.name].dropna()
        if values.empty:
            continue
        cut = len(values) >= 50
        limits = np.percentile(values, (1, 99) if cut else (0, 100)).tolist()
        for start in range(0, min(len(plates), most), plots.PANELS):
            some = plates[start : min(start + plots.PANELS, most)]
            panels = [(name, *plate_panel(plate, measure.name, shape)) for name, plate in some]
            told = ["Colours end at the 1st and 99th percentile of all wells."] if cut else []
            if len(plates) > len(some):
                left = f"; those after {most} are in wells.csv alone" if len(plates) > most else ""
                told.append(f"Plates {start + 1} to {start + len(some)} of {len(plates)}{left}.")
            number = f"_{start // plots.PANELS + 1}" if len(plates) > plots.PANELS else ""
            figure = plots.plate_maps(panels, measure.label, limits)
            made.append(Plot(f"plates_{measure.name}{number}", figure, " ".join(told)))
    return made


def plate_panel(plate: pd.DataFrame, column: str, shape: tuple[int, int]) -> list[np.ndarray]:
    """Values of a plate's wells, which of them failed, and which are flagged: arrays of a shape."""
    places = tuple(np.array(plate["place"].tolist()).T)
    panel = [np.full(shape, np.nan), np.zeros(shape, bool), np.zeros(shape, bool)]
    panel[0][places] = plate[column]
    panel[1][places] = plate["failed"] == plate["images"]
    panel[2][places] = plate["flagged"] > 0
    return panel


def dose_column(wells: pd.DataFrame, told: Sequence[str], dose: str | None) -> str | None:
    """The column of doses: the one that is named, or the first of numbers that is called so."""
    if dose is None:
        return None
    if dose != "auto":
        texts = wells.loc[wells[dose] != "", dose] if dose in wells else pd.Series(dtype=str)
        if texts.empty or pd.to_numeric(texts, errors="coerce").isna().any():
            raise JobError(
                f"config: report.dose is {dose}, which must hold a number for each well: set it to "
                "another column of the plate map, or to null"
            )
        return dose
    for name in told:
        texts = wells.loc[wells[name] != "", name] if name in wells else []
        if DOSE.search(name) and len(texts) and pd.to_numeric(texts, errors="coerce").notna().all():
            return name
    return None


def dose_label(name: str) -> str:
    """A column's name as the label of an axis: `dose_uM` is dose (µM)."""
    match = UNIT.fullmatch(name)
    if match is None:
        return name
    unit = match[2].replace("u", "µ", 1).replace("_", "/")
    return f"{match[1].replace('_', ' ')} ({unit})"


def kinds_of(wells: pd.DataFrame, controls: Controls | None) -> pd.Series:
    """What kind of control each well is, empty for the others."""
    kinds = pd.Series("", index=wells.index)
    # A column that differs in the images of a well says nothing of it.
    if controls and controls.column in wells:
        kinds[wells[controls.column].isin(controls.negative)] = "negative control"
        kinds[wells[controls.column].isin(controls.positive)] = "positive control"
    return kinds


def dose_plots(
    wells: pd.DataFrame,
    shown: Sequence[Measure],
    dose: str,
    told: Sequence[str],
    controls: Controls | None = None,
) -> list[Plot]:
    """Curves over doses, one for each compound where a column tells compounds.

    Parameters
    ----------
    wells, shown
        See `plate_plots`.
    dose : str
        Column of `wells`.
    told : sequence of str
        Columns that may tell compounds.
    controls : Controls or None
    """
    wells = wells.assign(dose=pd.to_numeric(wells[dose], errors="coerce"))
    others = [name for name in told if name in wells and name != dose]
    kinds = kinds_of(wells, controls)
    compound = next(filter(COMPOUND.search, others), None)
    compounds = wells[compound] if compound else pd.Series("", index=wells.index)
    sampled = (kinds == "") & wells["dose"].notna()
    columns = [(measure.name, measure.label) for measure in shown]
    columns = [(name, label) for name, label in columns if wells.loc[sampled, name].notna().any()]
    made = []
    every = list(dict.fromkeys(compounds[sampled])) if columns else []
    most = max(CURVES // max(len(columns), 1), 1)
    for name in every[:most]:
        samples = sampled & (compounds == name)
        beside = (kinds != "") & wells["plate"].isin(set(wells.loc[samples, "plate"]))
        chosen = samples | beside
        figure = plots.dose_curves(wells[chosen], kinds[chosen], columns, dose_label(dose), name)
        number = f"{len(made) + 1:02}"
        ending = re.sub(r"[^A-Za-z0-9.-]+", "_", name)
        made.append(Plot(f"dose_{number}_{ending}".strip("_"), figure, ""))
    if len(every) > most:
        note = f"These are the first {most} of {len(every)} compounds; wells.csv has all."
        made[-1] = made[-1]._replace(caption=note)
    return made


if "snakemake" in globals():
    with logged(snakemake):
        settings = snakemake.params.settings
        path = Path(snakemake.input.objects)
        images, told = report.read_images(Path(snakemake.input.images), ["pixel_size_um"])
        wanted, missing = report.measures(
            settings["measurements"],
            derived.own_names(pq.read_schema(path)),
            report.channels_of(images),
            in_um=bool(images.loc[images["used"], "pixel_size_um"].notna().all()),
        )
        measured = measured_by_group(path, wanted, KEYS, ("plate_of", "well"))
        wells = wells_of(images, told, measured)
        shown = [
            Measure("objects_an_image", "nuclei an image"),
            *(Measure(f"median_{each.name}", f"median of {each.label}") for each in wanted),
        ]
        with replaced(Path(snakemake.output[0])) as folder:
            folder.mkdir()
            write_wells(wells, folder)
            drawn = figures.drawn(plate_plots(wells, shown), folder)
            parts = [pages.paragraph(PLATES), not_measured(missing)]
            parts.append(pages.flow(drawn) if drawn else pages.paragraph(NO_WELLS, "note"))
            pages.write(folder / "plates.html", pages.page("Plates", parts))
            if dose := dose_column(wells, told, settings["dose"]):
                controls = settings["controls"] and Controls(**settings["controls"])
                drawn = figures.drawn(dose_plots(wells, shown, dose, told, controls), folder)
                parts = [pages.paragraph(DOSES), *(drawn or [pages.paragraph(NO_DOSES, "note")])]
                pages.write(folder / "doses.html", pages.page("Doses", parts))
