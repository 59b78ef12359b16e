"""What stands in the plots: places, labels and colours of numbers that are known."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from nucleiflow import groups, plots


def texts(figure) -> list[str]:
    """The texts of a figure's file."""
    root = ElementTree.fromstring(plots.svg(figure))
    return [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]


def boxes_of(*values: list[float], few=()):
    """Boxes of groups a, b ..."""
    arrays = [np.array(each, np.float32) for each in values]
    names = [chr(ord("a") + number) for number in range(len(values))]
    return plots.boxes(groups.quantiles(arrays).assign(name=names), "size (µm²)", few)


def test_file_is_the_same_each_time_and_its_letters_are_letters():
    first, second = (plots.svg(boxes_of([1, 2, 3], [4])) for _ in range(2))
    assert first == second
    assert {"a (3)", "b (1)", "size (µm²)"} <= set(texts(boxes_of([1, 2, 3], [4])))


def test_places_are_hundredths_of_a_point_and_texts_stay_as_they_are():
    table = groups.quantiles([np.array([0.123, 0.5])]).assign(name=["0.12345"])
    text = plots.svg(plots.boxes(table, "x"))
    assert re.search(r"\d\.\d{3}", re.sub(r">[^<]*<", "><", text)) is None
    assert ">0.12345 (2)<" in text


@pytest.mark.parametrize("name", ["a$b$c", "<b>&amp;", "x_{2}^3", "Zürich 日本", "\\alpha"])
def test_names_are_no_formulas_and_no_markup(name):
    table = groups.quantiles([np.array([1.0, 2.0])]).assign(name=[name])
    assert f"{name} (2)" in texts(plots.boxes(table, "x"))


def test_control_characters_and_long_names_are_shown_in_short():
    assert plots.short("a\nb\x00c") == "a\ufffdb\ufffdc"
    assert plots.short("x" * 30) == "x" * 30
    assert plots.short("start" + "y" * 30) == "…" + "y" * 29


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1200.0, "1200"), (0.035, "0.035"), (2.5e6, "2.5e+06"), (1e-5, "1e-05")],
)
def test_numbers_are_written_as_people_do(value, text):
    assert plots.plain(value) == text


def test_boxes_are_the_quartiles():
    (panel,) = boxes_of(list(range(101)), [5.0]).axes
    (box,) = [patch for patch in panel.patches if patch.get_width() > 0]
    assert (box.get_x(), box.get_width()) == (25, 50)
    assert box.get_y() + box.get_height() / 2 == pytest.approx(0)
    whiskers = panel.collections[0].get_segments()
    assert whiskers[0][:, 0].tolist() == [5, 95]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["a (101)", "b (1)"]
    # From top to bottom.
    bottom, top = panel.get_ylim()
    assert bottom > 1 > 0 > top


def test_few_values_are_drawn_one_by_one():
    values = [[1.0, 2.0, 4.0], list(range(50))]
    figure = boxes_of(*values, few=[np.array(values[0]), np.array([])])
    (panel,) = figure.axes
    points = [line for line in panel.lines if line.get_marker() == "o"]
    assert points[0].get_xdata().tolist() == [1, 2, 4]
    assert len([patch for patch in panel.patches if patch.get_width() > 0]) == 1


@pytest.mark.parametrize(("count", "panels"), [(1, 1), (48, 1), (49, 2), (96, 2), (144, 3)])
def test_many_groups_stand_in_columns(count, panels):
    figure = boxes_of(*[[number, number + 1.0] for number in range(count)])
    assert len(figure.axes) == panels
    names = [label.get_text() for panel in figure.axes for label in panel.get_yticklabels()]
    assert len(names) == count


def test_wide_ranges_have_a_logarithmic_axis():
    assert boxes_of([1, 10, 1000]).axes[0].get_xscale() == "log"
    assert boxes_of([100, 110, 1000]).axes[0].get_xscale() == "linear"
    assert boxes_of([-1, 10, 1000], [-5.0]).axes[0].get_xscale() == "linear"


@pytest.mark.parametrize("values", [[], [[]], [[], [1.0]], [[7.0, 7.0]], [[0.0]], [[-3.0, -1.0]]])
def test_boxes_of_nothing_and_of_equal_values_are_a_picture(values):
    assert "</svg>" in plots.svg(boxes_of(*values))


def test_histograms_have_their_counts_and_labels():
    figure = plots.histograms([("x (px)", np.array([1, 4]), np.array([0.0, 5, 10]))], "nuclei")
    (panel,) = figure.axes
    assert panel.get_xlim() == (0, 10)
    assert panel.patches[0].get_data().values.tolist() == [1, 4]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("x (px)", "nuclei")


def plate(shape=(8, 12), **wells):
    """A plate with values by well, A01=..."""
    values = np.full(shape, np.nan)
    for name, value in wells.items():
        values[ord(name[0]) - ord("A"), int(name[1:]) - 1] = value
    return values, np.zeros(shape, bool), np.zeros(shape, bool)


def test_plates_share_a_scale_and_missing_wells_are_grey():
    panels = [("one", *plate(A01=1.0, H12=3.0)), ("two", *plate(B02=2.0))]
    panels[1][2][7, 0] = panels[1][3][0, 11] = True
    figure = plots.plate_maps(panels, "nuclei an image", (1, 3))
    first, second, bar = figure.axes
    assert [panel.get_title("left") for panel in (first, second)] == ["one", "two"]
    picture = first.images[0]
    assert picture.get_clim() == (1, 3)
    colors = picture.to_rgba(picture.get_array())
    assert colors[0, 0].tolist() != colors[7, 11].tolist()
    assert colors[3, 3, :3].tolist() == pytest.approx([0xD9 / 255] * 3)
    assert bar.get_ylabel() == "nuclei an image"
    marks = {line.get_marker(): line.get_xydata().tolist() for line in second.lines[1:]}
    assert marks == {"x": [[0, 7]], "o": [[11, 0]]}
    assert [label.get_text() for label in first.get_yticklabels()] == list("ABCDEFGH")


@pytest.mark.parametrize(
    ("shape", "count"),
    [((2, 3), 12), ((3, 4), 1), ((6, 8), 5), ((8, 12), 2), ((16, 24), 5), ((32, 48), 12)],
)
def test_plates_of_any_format_are_drawn(shape, count):
    panels = [(f"plate {number}", *plate(shape, A01=1.0)) for number in range(count)]
    figure = plots.plate_maps(panels, "area (µm²)", (0, 2))
    assert len([axes for axes in figure.axes if axes.images]) == count
    # A dozen plates of 1536 wells stay small: squares are pixels of a picture, not paths.
    assert len(plots.svg(figure)) < 12_000 * count + 10_000


def wells(doses, values):
    return pd.DataFrame({"dose": doses, "value": values})


def dose_panel(table, kinds=None, dose="dose (µM)"):
    kinds = pd.Series("" if kinds is None else kinds, index=table.index)
    figure = plots.dose_curves(table, kinds, [("value", "area (µm²)")], dose, "aspirin")
    return figure, figure.axes[0]


def lines_of(panel, marker):
    return [line for line in panel.lines if line.get_marker() == marker and len(line.get_xdata())]


def test_doses_are_logarithmic_and_0_stands_apart():
    table = wells([0, 0, 1, 1, 10, 10, 100], [5, 7, 1, 3, 10, 20, 40])
    figure, panel = dose_panel(table)
    apart, curve = lines_of(panel, "s")
    assert curve.get_xdata().tolist() == [0, 1, 2]
    assert curve.get_ydata().tolist() == [2, 15, 40]
    assert apart.get_ydata().tolist() == [6]
    (zero,) = apart.get_xdata()
    assert zero < 0
    ticks = dict(
        zip(panel.get_xticks(), (t.get_text() for t in panel.get_xticklabels()), strict=True)
    )
    assert ticks[zero] == "0"
    assert [ticks[place] for place in (0, 1, 2)] == ["1", "10", "100"]
    bars = [c for c in panel.collections if len(c.get_segments()) == 3]
    assert [segment[:, 1].tolist() for segment in bars[0].get_segments()] == [
        [1.5, 2.5],
        [12.5, 17.5],
        [40, 40],
    ]
    (points,) = lines_of(panel, "o")
    assert sorted(points.get_ydata()) == sorted(table["value"])
    assert panel.get_xlabel() == "dose (µM)"
    assert {"aspirin", "area (µm²)", "median and quartiles of a dose"} <= set(texts(figure))


def test_controls_have_a_marker_and_a_line_and_are_in_no_curve():
    table = wells([0, 0, 1, 10, np.nan], [5, 7, 1, 3, 50])
    figure, panel = dose_panel(table, ["DMSO", "DMSO", "", "", "kill"])
    (curve,) = lines_of(panel, "s")
    assert curve.get_ydata().tolist() == [1, 3]
    dmso, kill = lines_of(panel, "^") + lines_of(panel, "v")
    assert dmso.get_ydata().tolist() == [5, 7]
    assert (dmso.get_xdata() < 0).all()
    # A well without a dose stands apart on the other side.
    assert kill.get_xdata()[0] > 1
    assert "none" in [label.get_text() for label in panel.get_xticklabels()]
    dashed = [line.get_ydata()[0] for line in panel.lines if line.get_linestyle() == "--"]
    assert dashed == [6, 50]
    assert {"DMSO (2 wells)", "kill (1 well)"} <= set(texts(figure))


def test_doses_below_0_are_logarithms_already():
    _, panel = dose_panel(wells([-2.0, -1.0, 0.0], [1, 2, 3]))
    xs = np.concatenate([line.get_xdata() for line in lines_of(panel, "s")])
    assert sorted(xs) == [-2, -1, 0]


@pytest.mark.parametrize("doses", [[0, 0], [1, 1], [1, 1.01], [np.nan, 1], [1e-9, 1e9]])
def test_any_doses_are_a_picture(doses):
    figure, _ = dose_panel(wells(doses, [1.0, 2.0]))
    assert "</svg>" in plots.svg(figure)


def test_many_doses_have_decades_as_ticks():
    doses = np.repeat(10 ** np.arange(-3, 3, 0.25), 2)
    _, panel = dose_panel(wells(doses, doses))
    ticks = [label.get_text() for label in panel.get_xticklabels()]
    assert ticks == ["0.001", "0.01", "0.1", "1", "10", "100"]


def sequence(values, directories, flagged=(), others=(), numbers=None, channels=None):
    which = [np.isin(np.arange(len(values)), places) for places in (flagged, others)]
    shown = channels or [("", np.array(values, float))]
    return plots.sequence(shown, "focus", directories, *which, numbers or {})


def test_images_stand_in_their_order_with_flagged_ones_marked():
    figure = sequence([5, 6, 1, np.nan], list("aabb"), flagged=[2], others=[0], numbers={2: 1})
    (panel,) = figure.axes
    points = {line.get_marker() + str(line.get_markersize()): line for line in panel.lines}
    assert points["o4.0"].get_xdata().tolist() == [1, 2, 3, 4]
    assert points["X8.0"].get_xydata().tolist() == [[3, 1]]
    assert points["o7.0"].get_xydata().tolist() == [[1, 5]]
    # One stripe for the second directory, and the names of both.
    (stripe,) = panel.collections[0].get_paths()
    assert stripe.get_extents().intervalx.tolist() == [2.5, 4.5]
    said = set(texts(figure))
    assert {"a", "b", "1", "focus", "flagged for this (1)"} <= said
    assert "flagged for something else (1)" in said


def test_channels_have_a_panel_each():
    channels = [("DAPI", np.array([1.0, 2.0])), ("GFP", np.array([1.0, 5000.0]))]
    figure = sequence([0, 0], ["a", "a"], channels=channels)
    assert [panel.get_ylabel() for panel in figure.axes] == ["DAPI: focus", "GFP: focus"]
    assert [panel.get_yscale() for panel in figure.axes] == ["linear", "log"]


def test_very_many_images_are_bands_of_their_neighbours():
    count = 100_000
    values = np.random.default_rng(1).normal(5, 1, count)
    values[:500] = np.arange(500)
    directories = np.repeat([f"plate {number}" for number in range(200)], count // 200).tolist()
    figure = sequence(values, directories, flagged=range(0, count, 50))
    (panel,) = figure.axes
    (median,) = [line for line in panel.lines if line.get_color() == plots.BLUE]
    # The 500 images of a directory are two pieces.
    assert median.get_xdata()[:5].tolist()[:4] == [0.5, 250.5, 250.5, 500.5]
    assert median.get_ydata()[:4].tolist() == [124.5, 124.5, 374.5, 374.5]
    assert np.isnan(median.get_ydata()[4])
    (band,) = panel.patches
    corners = band.get_path().vertices[:4].tolist()
    assert corners == [[0.5, 2.49], [0.5, 246.51], [250.5, 246.51], [250.5, 2.49]]
    assert "98 % of the images nearby" in texts(figure)
    assert len(plots.svg(figure)) < 120_000


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [0.0, 0.0]])
def test_sequences_of_nothing_are_a_picture(values):
    figure = sequence(values, ["a"] * len(values))
    assert "</svg>" in plots.svg(figure)
