"""What the report shows of the tables: one row a directory, the failures, the areas as a plot."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from nucleiflow.files import replaced
from nucleiflow.job import logged

CLASSES = 40


def by_directory(images: pd.DataFrame, objects: pd.DataFrame) -> pd.DataFrame:
    """One row a directory: images, failures, objects, and the median of area and intensity."""
    table = images.groupby("directory", sort=False).agg(
        images=("image", "size"),
        failed=("status", lambda status: int((status == "failed").sum())),
        objects=("objects", "sum"),
    )
    for name in ("area", "intensity_mean"):
        if name in objects:
            table[f"median_{name}"] = objects.groupby("directory")[name].median()
    return table.reset_index()


def area_plot(areas: np.ndarray) -> str:
    """A histogram of areas as an SVG picture; its axis ends at the 99th percentile."""
    width, height, left, bottom = 640, 320, 60, 46
    text = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    top = float(np.percentile(areas, 99)) if areas.size else 0.0
    counts, edges = np.histogram(areas, bins=CLASSES, range=(0, max(top, 1)))
    most = max(int(counts.max()), 1)
    step = (width - left - 20) / CLASSES
    for index, count in enumerate(counts):
        bar = (height - bottom - 20) * count / most
        text.append(
            f'<rect x="{left + index * step:.1f}" y="{height - bottom - bar:.1f}" '
            f'width="{step - 1:.1f}" height="{bar:.1f}" fill="#4477aa"/>'
        )
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = left + share * CLASSES * step
        text.append(
            f'<text x="{x:.0f}" y="{height - bottom + 16}" text-anchor="middle">'
            f"{edges[-1] * share:.0f}</text>"
        )
    for share in (0, 0.5, 1):
        y = height - bottom - share * (height - bottom - 20)
        text.append(
            f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{most * share:g}</text>'
        )
    text.append(
        f'<text x="{(width + left) / 2:.0f}" y="{height - 8}" text-anchor="middle">'
        "area of a nucleus (pixels)</text>"
    )
    text.append(
        f'<text transform="translate(14,{(height - bottom) / 2:.0f}) rotate(-90)" '
        'text-anchor="middle">nuclei</text></svg>'
    )
    return "\n".join(text) + "\n"


if "snakemake" in globals():
    with logged(snakemake):
        images = pd.read_csv(snakemake.input.images, keep_default_na=False)
        present = pq.read_schema(snakemake.input.objects).names
        wanted = [name for name in ("directory", "area", "intensity_mean") if name in present]
        objects = pd.read_parquet(snakemake.input.objects, columns=wanted)
        failed = images.loc[images["status"] == "failed", ["directory", "file", "stage", "message"]]
        areas = objects["area"].to_numpy() if "area" in objects else np.array([])
        for path, text in (
            (snakemake.output.directories, by_directory(images, objects).to_csv(index=False)),
            (snakemake.output.failed, failed.to_csv(index=False)),
            (snakemake.output.areas, area_plot(areas)),
        ):
            with replaced(Path(path)) as part:
                part.write_text(text)
