"""The plots of the report, in one style: for print, and for people who confuse colours.

What differs by colour differs by its marker or place as well. Every function gives a Figure, and
`svg` its file.
"""

import functools
import io
import itertools
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

# Colours that people who confuse red and green can tell apart (Okabe and Ito 2008).
BLUE, SKY, ORANGE, VERMILION = "#0072b2", "#56b4e9", "#e69f00", "#d55e00"
GREEN, PURPLE, INK, GREY, PALE = "#009e73", "#cc79a7", "#222222", "#8c8c8c", "#d9d9d9"
STYLE = {
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "figure.constrained_layout.use": True,
    # Names are no formulas: a $ in one is a $.
    "text.parse_math": False,
    # The same file each time, with letters that stay letters.
    "svg.hashsalt": "nucleiflow",
    "svg.fonttype": "none",
}
CLASSES = 40
# Groups in a column of boxes, and in a plot.
ROWS, MOST = 48, 144
# Values of a group that are shown one by one, as quartiles of so few say little.
FEW = 10
# Points of a plot from which on they are pixels: each costs 100 bytes otherwise.
MANY = 200
# Images from which on points would cover each other, and bands of so many pieces are drawn.
DENSE, BINS = 3000, 400
# Plates in a plot.
PANELS = 12


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """A function that draws, in the style of all."""

    @functools.wraps(draw)
    def wrapped(*arguments, **keywords):
        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **keywords)

    return wrapped


def svg(figure: Figure) -> str:
    """A figure as the text of an SVG file, the same each time."""
    sink = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(sink, format="svg", dpi=110, metadata={"Date": None})
    # Half of what Matplotlib writes says nothing: digits of a thousandth of a pixel, empty groups.
    text = re.sub(r"<[^>]+>", lambda tag: _shorter(tag[0]), sink.getvalue())
    return re.sub(r"\s*\n\s*", "\n", re.sub(r'<g id="[^"]*"/>', "", text))


def _shorter(tag: str) -> str:
    tag = re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", tag)


def short(name: str, length: int = 30) -> str:
    """The end of a name that is too long, which tells more than its start; letters only."""
    text = "".join(char if char.isprintable() else "\ufffd" for char in name)
    return text if len(text) <= length else f"\u2026{text[1 - length :]}"


def plain(value: float) -> str:
    """A number as people write it: 1200, 0.035, 2.5e+06."""
    return f"{value:.6g}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.3g}"


def is_wide(low: float, high: float) -> bool:
    """Whether a range is better shown on a logarithmic axis."""
    return low > 0 and high / low > 50


def _logarithmic(axis: Axis) -> None:
    """Decades and some numbers between, as numbers."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    subs = (1.0,) if high / low > 1e4 else (1.0, 2.0, 5.0) if high / low < 200 else (1.0, 3.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(NullFormatter())


@styled
def histograms(counts: Sequence[tuple[str, np.ndarray, np.ndarray]], unit: str) -> Figure:
    """Histograms beside each other.

    Parameters
    ----------
    counts : sequence of (label, counts, edges)
        The label of the axis, which holds its unit; as `numpy.histogram` gives them.
    unit : str
        What is counted.
    """
    columns = min(3, max(len(counts), 1))
    rows = -(-len(counts) // columns) or 1
    figure = Figure(figsize=(3.5 * columns + 0.4, 2.4 * rows))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (label, numbers, edges) in zip(panels, counts, strict=False):
        panel.stairs(numbers, edges, fill=True, color=SKY)
        panel.stairs(numbers, edges, color=BLUE, linewidth=1)
        panel.set(xlabel=label, ylabel=unit, xlim=(edges[0], edges[-1]))
        panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.xaxis.set_major_locator(MaxNLocator(5))
    for panel in panels[len(counts) :]:
        panel.set_axis_off()
    return figure


@styled
def boxes(table: pd.DataFrame, label: str, few: Sequence[np.ndarray] = ()) -> Figure:
    """Groups below each other, each with its quartiles, its median, and 90 % of its values.

    Parameters
    ----------
    table : DataFrame
        A row a group, at most `MOST`: `name`, `n`, `p5`, `p25`, `median`, `p75`, `p95`.
    label : str
        Of the axis, with its unit.
    few : sequence of array
        The values of groups with few of them, which are drawn one by one; of others none.
    """
    columns = max(1, -(-len(table) // ROWS))
    rows = max(1, -(-len(table) // columns))
    figure = Figure(figsize=((7.4, 10.0, 12.0)[columns - 1], 0.75 + 0.185 * max(rows, 3)))
    panels = figure.subplots(1, columns, squeeze=False, sharex=True).ravel()
    filled = table["median"].notna()
    low, high = table["p5"].min(), table["p95"].max()
    middle = table["median"].median()
    for index, panel in enumerate(panels):
        part = slice(index * rows, (index + 1) * rows)
        _boxes(panel, table[part], list(few[part]))
        if filled.sum() > 2:
            panel.axvline(middle, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        panel.set_ylim(rows - 0.3, -0.7)
        panel.set_xlabel(label)
        panel.grid(axis="x")
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
    if filled.any():
        if is_wide(low, high):
            panels[0].set_xlim(low / 1.1, high * 1.1)
            for panel in panels:
                _logarithmic(panel.xaxis)
        else:
            margin = (high - low or abs(high) or 1) * 0.04
            panels[0].set_xlim(min(low - margin, max(low, 0) - margin), high + margin)
    return figure


def _boxes(panel: Axes, table: pd.DataFrame, few: list[np.ndarray]) -> None:
    y = np.arange(len(table))
    p5, p25, median, p75, p95 = (
        table[name].to_numpy(float) for name in ("p5", "p25", "median", "p75", "p95")
    )
    few = few or [np.array([])] * len(table)
    whole = np.array([not len(values) for values in few], bool) & ~np.isnan(median)
    panel.hlines(y[whole], p5[whole], p95[whole], color=GREY, linewidth=0.9, zorder=1)
    panel.barh(
        y[whole],
        (p75 - p25)[whole],
        left=p25[whole],
        height=0.62,
        color=SKY,
        edgecolor=BLUE,
        linewidth=0.6,
    )
    panel.vlines(median, y - 0.36, y + 0.36, color=INK, linewidth=1.6)
    for place, values in zip(y, few, strict=True):
        panel.plot(values, np.full(len(values), place), "o", color=BLUE, markersize=3, alpha=0.7)
    names = [f"{short(name)} ({n})" for name, n in zip(table["name"], table["n"], strict=True)]
    panel.set_yticks(y, names)


@styled
def plate_maps(
    plates: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    label: str,
    limits: tuple[float, float],
) -> Figure:
    """Plates as heat maps of one scale.

    Parameters
    ----------
    plates : sequence of (name, values, failed, flagged)
        At most `PANELS`. Values of wells, (rows, columns) array, NaN where there is none, and which
        wells have no image that worked, or one that is flagged.
    label : str
        What is shown, with its unit.
    limits : (float, float)
        Ends of the scale.
    """
    shape = max((values.shape for _, values, _, _ in plates), key=np.prod)
    columns = 3 if len(plates) > 4 and shape[1] <= 24 else min(2, len(plates))
    rows = -(-len(plates) // columns)
    width = {1: 4.8, 2: 4.9, 3: 3.6}[columns]
    height = (width - 0.5) * shape[0] / shape[1] + 0.55
    figure = Figure(figsize=(width * columns + 0.7, height * rows))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    colors = matplotlib.colormaps["viridis"].with_extremes(bad=PALE)
    picture = None
    for panel, (name, values, failed, flagged) in zip(panels, plates, strict=False):
        picture = panel.imshow(
            values, cmap=colors, vmin=limits[0], vmax=limits[1], interpolation="none"
        )
        _wells(panel, values.shape, width)
        size = width * 20 / values.shape[1]
        for wells, marker, ink in ((failed, "x", INK), (flagged, "o", "white")):
            y, x = np.nonzero(wells)
            panel.plot(
                x,
                y,
                marker,
                color=ink,
                markersize=min(size / 2, 6),
                markeredgecolor=INK,
                markeredgewidth=0.8,
                linestyle="",
            )
        panel.set_title("" if name == "." else short(name, 40), loc="left")
    for panel in panels[len(plates) :]:
        panel.set_axis_off()
    shown = panels[: len(plates)].tolist()
    shrink = 0.9 if rows == 1 else 0.5
    figure.colorbar(picture, ax=shown, label=_in_lines(label), shrink=shrink, aspect=25)
    return figure


def _wells(panel: Axes, shape: tuple[int, int], width: float) -> None:
    """Letters and numbers, and lines between the wells."""
    from nucleiflow.names import ROWS as LETTERS

    step = max(1, round(shape[1] / (width * 4)))
    numbers = [index for index in range(shape[1]) if index == 0 or (index + 1) % step == 0]
    panel.set_xticks(numbers, [str(index + 1) for index in numbers])
    letters = range(0, shape[0], step)
    panel.set_yticks(letters, [LETTERS[index] for index in letters])
    panel.tick_params(length=0, labelsize=7, labeltop=True, labelbottom=False)
    panel.spines[:].set_visible(False)
    # One path of them all, with gaps.
    lines = [[(-0.5, y), (shape[1] - 0.5, y)] for y in np.arange(0.5, shape[0] - 1)]
    lines += [[(x, -0.5), (x, shape[0] - 0.5)] for x in np.arange(0.5, shape[1] - 1)]
    points = np.array([point for line in lines for point in (*line, (np.nan, np.nan))])
    panel.plot(*points.T, color="white", linewidth=min(1.0, width * 2.5 / shape[1]))


@styled
def dose_curves(
    wells: pd.DataFrame, kinds: pd.Series, shown: Sequence[tuple[str, str]], dose: str, title: str
) -> Figure:
    """Wells by their dose, with the median and the quartiles of each dose: a panel a measurement.

    Doses stand on a logarithmic axis, 0 apart on its left and wells without a dose on its right; on
    a linear one where some are below 0, as they then are logarithms already.

    Parameters
    ----------
    wells : DataFrame
        `dose`, which may be NaN, and columns of numbers.
    kinds : Series
        What kind of control each well is, empty for the others.
    shown : sequence of (column, label)
        Of `wells`, with the labels of their axes.
    dose : str
        The label of the axis of doses.
    title : str
        Whose doses they are; may be empty.
    """
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(0.6 + 3.6 * columns, 0.9 + 2.6 * rows))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    marks = ((VERMILION, "^"), (GREEN, "v"))
    named = dict(zip(dict.fromkeys(kinds[kinds != ""]), marks, strict=False))
    place = _dose_axis(wells["dose"].to_numpy(float))
    for panel, (column, label) in zip(panels, shown, strict=False):
        place.ticks(panel)
        samples = wells[kinds == ""].dropna(subset=["dose", column])
        x = place(samples["dose"])
        few = len(wells) * len(shown) <= MANY
        points = {"linestyle": "", "rasterized": not few, "zorder": 1.5}
        panel.plot(x, samples[column], "o", color=GREY, markersize=3, label="well", **points)
        quartiles = samples.groupby("dose")[column].quantile([0.25, 0.5, 0.75]).unstack()
        # No line leads to 0, which is nowhere on a logarithmic axis.
        for part in (quartiles[quartiles.index == 0], quartiles[quartiles.index != 0]):
            if part.empty:
                continue
            x = place(part.index.to_numpy(float))
            panel.vlines(x, part[0.25], part[0.75], color=BLUE, linewidth=3, alpha=0.45)
            panel.plot(x, part[0.5], "s-", color=BLUE, markersize=4)
        for kind, (color, marker) in named.items():
            part = wells[kinds == kind].dropna(subset=column)
            middle = part[column].median()
            panel.axhline(middle, color=color, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
            panel.plot(
                place(part["dose"]),
                part[column],
                marker,
                color=color,
                markersize=5,
                markeredgecolor="white",
                markeredgewidth=0.4,
                label=f"{kind} ({len(part)} {'well' if len(part) == 1 else 'wells'})",
                **points,
            )
        panel.set_xlabel(dose)
        panel.set_ylabel(_in_lines(label))
        panel.grid(axis="y")
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    panels[0].plot([], [], "s-", color=BLUE, markersize=4, label="median and quartiles of a dose")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    if title:
        figure.suptitle(short(title, 60), x=0.01, ha="left", fontsize=10)
    return figure


def _in_lines(label: str) -> str:
    """A label with its unit in a second line if it is long."""
    return label.replace(" (", "\n(", 1) if len(label) > 28 else label


class _DoseAxis(NamedTuple):
    """Where doses stand on an axis, and its ticks.

    Attributes
    ----------
    zero, none : float or None
        Where 0 stands, and where what has no dose stands; None on a linear axis.
    ends : (float, float) or None
    marks : list of (float, str)
        Ticks with their texts.
    lines : list of float
        Between what stands apart and the rest.
    """

    zero: float | None
    none: float | None
    ends: tuple[float, float] | None
    marks: list[tuple[float, str]]
    lines: list[float]

    def __call__(self, doses: pd.Series | np.ndarray) -> np.ndarray:
        """Places of doses."""
        doses = np.asarray(doses, float)
        if self.ends is None:
            return doses
        with np.errstate(divide="ignore", invalid="ignore"):
            places = np.where(doses == 0, self.zero, np.log10(doses))
        return np.where(np.isnan(doses), self.none, places)

    def ticks(self, panel: Axes) -> None:
        """Put the ticks on a plot."""
        if self.ends is None:
            return
        panel.set_xticks([place for place, _ in self.marks], [text for _, text in self.marks])
        panel.set_xlim(*self.ends)
        for line in self.lines:
            panel.axvline(line, color=GREY, linewidth=0.8, linestyle=":")


def _dose_axis(doses: np.ndarray) -> _DoseAxis:
    above = np.unique(doses[doses > 0])
    if not above.size or (doses < 0).any():
        return _DoseAxis(None, None, None, [], [])
    logs = np.log10(above)
    step = max((logs[-1] - logs[0]) / 8, 0.1)
    left, right = logs[0], logs[-1]
    marks, lines = _dose_ticks(above), []
    if (doses == 0).any():
        lines.append(left - step / 2)
        left -= step
        marks.append((left, "0"))
    if np.isnan(doses).any():
        lines.append(right + step * 0.75)
        right += step * 1.5
        marks.append((right, "none"))
    ends = left - step / 2, right + step / 2
    return _DoseAxis(logs[0] - step, logs[-1] + step * 1.5, ends, marks, lines)


def _dose_ticks(doses: np.ndarray) -> list[tuple[float, str]]:
    """Few doses themselves, of many as far as they have room, or decades."""
    logs = np.log10(doses)
    reach = logs[-1] - logs[0]
    decades = np.arange(np.ceil(logs[0] - 1e-9), np.floor(logs[-1] + 1e-9) + 1)
    if len(doses) > 7 and len(decades) > 2:
        doses, logs = 10.0**decades, decades
    marks: list[tuple[float, str]] = []
    for place, dose in zip(logs, doses, strict=True):
        if not marks or place - marks[-1][0] >= reach / 7.5:
            marks.append((float(place), plain(float(f"{dose:.3g}"))))
    return marks


@styled
def sequence(
    channels: Sequence[tuple[str, np.ndarray]],
    label: str,
    directories: Sequence[str],
    flagged: np.ndarray,
    others: np.ndarray,
    numbers: dict[int, int],
) -> Figure:
    """A number of each image, in their order, with flagged ones marked: a panel a channel.

    Parameters
    ----------
    channels : sequence of (name, values)
        Values of all images, NaN where there is none.
    label : str
        Of the axis, with its unit.
    directories : sequence of str
        That of each image; images of one follow each other.
    flagged, others : array of bool
        Images that are flagged for what is shown, and for something else.
    numbers : dict of int to int
        Numbers to write beside images, by their place.
    """
    figure = Figure(figsize=(9.6, 0.7 + 1.75 * len(channels)))
    panels = figure.subplots(len(channels), 1, squeeze=False, sharex=True).ravel()
    names = pd.Series(list(directories), dtype=object)
    starts = np.flatnonzero((names != names.shift()).to_numpy())
    ends = np.append(starts, len(names))[1:]
    x = np.arange(1, len(names) + 1)
    for panel, (name, values) in zip(panels, channels, strict=True):
        finite = values[np.isfinite(values)]
        stripes = list(zip(starts[1::2] + 0.5, (ends - starts)[1::2], strict=True))
        across = panel.get_xaxis_transform()
        panel.broken_barh(stripes, (0, 1), color="#f0f0f0", linewidth=0, zorder=0, transform=across)
        if len(x) > DENSE:
            _bands(panel, values, starts, ends)
        else:
            size = 4.0 if len(x) < 300 else 2.5
            panel.plot(
                x, values, "o", color=BLUE, markersize=size, alpha=0.8, markeredgewidth=0,
                linestyle="", rasterized=len(x) > MANY,
            )  # fmt: skip
        _mark(panel, x[others], values[others], INK, "o", "flagged for something else")
        _mark(panel, x[flagged], values[flagged], VERMILION, "X", "flagged for this")
        for place, number in numbers.items() if flagged.sum() <= MANY else ():
            if flagged[place] and np.isfinite(values[place]):
                panel.annotate(
                    str(number), (x[place], values[place]), (4, 3),
                    textcoords="offset points", fontsize=7,
                )  # fmt: skip
        if len(finite) and is_wide(*np.percentile(finite, (0.5, 99.5))) and finite.min() > 0:
            panel.set_yscale("log")
            _logarithmic(panel.yaxis)
        else:
            panel.yaxis.set_major_locator(MaxNLocator(5))
            if len(finite) and finite.min() >= 0:
                # Else noise fills the plot, and looks like differences.
                panel.set_ylim(0, finite.max() * 1.08 or 1)
        panel.set_ylabel(_in_lines(f"{short(name, 12)}: {label}" if name else label))
        panel.grid(axis="y")
        panel.set_xlim(0.5, max(len(x), 1) + 0.5)
    panels[-1].set_xlabel("images, in the order of images.csv")
    panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    if len(starts) <= 8:
        for start, end in zip(starts, ends, strict=True):
            panels[0].annotate(
                short(names[start], 18), ((start + end) / 2 + 0.5, 1),
                xycoords=("data", "axes fraction"), xytext=(0, 4), textcoords="offset points",
                ha="center", fontsize=8, color=INK,
            )  # fmt: skip
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


def _mark(
    panel: Axes, x: np.ndarray, values: np.ndarray, color: str, marker: str, label: str
) -> None:
    """Mark images with circles or crosses, very many of them with dots."""
    if not len(x):
        return
    look = {
        "o": {"markerfacecolor": "none", "markeredgecolor": color, "markersize": 7},
        "X": {"color": color, "markeredgecolor": "white", "markeredgewidth": 0.4, "markersize": 8},
    }[marker]
    if len(x) > MANY:
        # Edges would make a picture of them as large as all else.
        marker = "s"
        look = {"color": color, "markeredgewidth": 0, "markersize": 2.2, "rasterized": True}
    panel.plot(x, values, marker, linestyle="", label=f"{label} ({len(x)})", **look)


def _bands(panel: Axes, values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
    """Of neighbouring images of a directory 98 % of them and the median."""
    step = -(-len(values) // BINS)
    boxes, middles = [], []
    for start, end in zip(starts, ends, strict=True):
        pieces = -(-(end - start) // step)
        edges = np.linspace(start, end, pieces + 1).round().astype(int)
        for first, last in itertools.pairwise(edges):
            part = values[first:last]
            part = part[np.isfinite(part)]
            if len(part):
                low, middle, high = np.percentile(part, (1, 50, 99))
                # Each piece is as wide as its images.
                left, right = first + 0.5, last + 0.5
                boxes.append(Path([(left, low), (left, high), (right, high), (right, low)]))
                middles += [(left, middle), (right, middle)]
        middles.append((np.nan, np.nan))
    label = "98 % of the images nearby"
    # One path of them all: a path of its own costs as much as 20 points.
    shape = Path.make_compound_path(*boxes)
    panel.add_patch(PathPatch(shape, color=SKY, linewidth=0, label=label))
    panel.plot(*np.array(middles).T, color=BLUE, linewidth=1, label="their median")
    panel.autoscale_view()
