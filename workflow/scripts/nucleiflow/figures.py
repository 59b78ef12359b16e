"""Plots with captions: on pages of the report, and as files beside them."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from nucleiflow import pages, plots


class Plot(NamedTuple):
    """A plot, the name of its file without ending, and what is to be said of it."""

    name: str
    figure: Figure
    caption: str


def drawn(made: Iterable[Plot], folder: Path) -> list[str]:
    """HTML of plots with their captions; each is an SVG file in a folder, too."""
    parts = []
    for name, figure, caption in made:
        text = plots.svg(figure)
        (folder / f"{name}.svg").write_text(text, encoding="utf-8")
        parts.append(pages.figure(text, caption))
    return parts
