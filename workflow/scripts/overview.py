"""What the report shows of the tables: the failures, and the areas as a plot."""

import io
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nucleiflow.files import replaced
from nucleiflow.job import logged

CLASSES = 40


def area_plot(areas: np.ndarray) -> Figure:
    """A histogram of areas; its axis ends at their 99th percentile."""
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    top = float(np.percentile(areas, 99)) if areas.size else 1.0
    axes.hist(areas, bins=CLASSES, range=(0, max(top, 1.0)), color="#4477aa", edgecolor="white")
    axes.set(xlabel="area of a nucleus (pixels)", ylabel="nuclei", xlim=(0, max(top, 1.0)))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def svg(figure: Figure) -> str:
    """A figure as the text of an SVG file, the same each time."""
    sink = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "nucleiflow", "svg.fonttype": "none"}):
        figure.savefig(sink, format="svg", metadata={"Date": None})
    return sink.getvalue()


if "snakemake" in globals():
    with logged(snakemake):
        images = pd.read_csv(snakemake.input.images, keep_default_na=False)
        failed = images.loc[images["status"] == "failed", ["directory", "file", "stage", "message"]]
        areas = np.array([])
        if "area" in pq.read_schema(snakemake.input.objects).names:
            areas = pq.read_table(snakemake.input.objects, columns=["area"])["area"].to_numpy()
        for path, text in (
            (snakemake.output.failed, failed.to_csv(index=False)),
            (snakemake.output.areas, svg(area_plot(areas))),
        ):
            with replaced(Path(path)) as part:
                part.write_text(text)
