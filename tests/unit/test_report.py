"""The pages of the report and the numbers on them, from tables made by hand."""

import re

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import report_pictures
import report_plates
import report_plots
import report_run
import simulate
from nucleiflow import groups, pages, plots, report, settings
from nucleiflow.controls import Controls
from nucleiflow.job import JobError
from nucleiflow.plate_map import read_plate_map
from nucleiflow.report import Measure

AREA = Measure("area", "area (square pixels)", "look")
# Names of files are data: none of this may become markup.
EVIL = "<script>alert(1)</script>&amp;\"'"


def write_images(path, *rows, told=("plate", "well", "site", "time")):
    """An images.csv of rows that differ from a plain one."""
    plain = {
        **{"directory": "d", "batch": "b", "image": "i", "file": "i.tif"},
        **dict.fromkeys(told, ""),
        **{"status": "ok", "stage": "", "message": "", "objects": 3, "channels": ""},
        "pixel_size_um": "",
    }
    pd.DataFrame([plain | row for row in rows]).to_csv(path, index=False)
    return path


def images_of(tmp_path, *rows, numbers=(), texts=(), **options):
    path = write_images(tmp_path / "images.csv", *rows, **options)
    return report.read_images(path, numbers, texts)[0]


# Values by group


def write_objects(path, rows, columns=("directory", "well", "area"), **options):
    table = pd.DataFrame(rows, columns=list(columns))
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path, **options)
    return path


def joined(values):
    return {key: np.concatenate(parts).tolist() for key, parts in values.items()}


@pytest.mark.parametrize("dictionaries", [True, False])
@pytest.mark.parametrize("rows_at_a_time", [2, 1000])
def test_values_stand_by_their_keys(tmp_path, monkeypatch, rows_at_a_time, dictionaries):
    monkeypatch.setattr(groups, "ROWS", rows_at_a_time)
    rows = [("a", "A01", 1), ("a", "A01", 2), ("a", "A02", 3), ("b", "A01", 4), ("a", "A01", 5)]
    path = write_objects(tmp_path / "o.parquet", rows)
    if dictionaries:
        table = pq.read_table(path)
        for index, name in enumerate(("directory", "well")):
            table = table.set_column(index, name, table[name].dictionary_encode())
        pq.write_table(table, path, row_group_size=3)
    values = groups.values_of(path, ["directory", "well"], "area")
    assert joined(values) == {("a", "A01"): [1, 2, 5], ("a", "A02"): [3], ("b", "A01"): [4]}
    assert joined(groups.values_of(path, ["well"], "area")) == {
        ("A01",): [1, 2, 4, 5],
        ("A02",): [3],
    }
    by_directory = groups.regrouped(values, lambda key: key[:1])
    assert {key: part.tolist() for key, part in by_directory.items()} == {
        ("a",): [1, 2, 5, 3],
        ("b",): [4],
    }


def test_what_is_missing_or_not_finite_is_left_out(tmp_path):
    rows = [("a", None, 1.5), ("a", None, None), (None, "x", np.inf), (None, "x", 2.0)]
    path = write_objects(tmp_path / "o.parquet", rows)
    values = groups.values_of(path, ["directory", "well"], "area")
    assert joined(values) == {("a", ""): [1.5], ("", "x"): [2]}


def test_numbers_are_keys_as_they_stand_in_images_csv(tmp_path):
    rows = [(1.0, 7, 5), (0.5, 7, 6), (None, 8, 7)]
    path = write_objects(tmp_path / "o.parquet", rows, ("dose", "site", "area"))
    assert joined(groups.values_of(path, ["dose", "site"], "area")) == {
        ("1", "7"): [5],
        ("0.5", "7"): [6],
        ("", "8"): [7],
    }


def test_a_table_without_rows_has_no_groups(tmp_path):
    path = tmp_path / "o.parquet"
    schema = pa.schema([("directory", pa.string()), ("area", pa.float64())])
    pq.write_table(schema.empty_table(), path)
    assert groups.values_of(path, ["directory"], "area") == {}


def test_quantiles_are_numpys():
    table = groups.quantiles([np.arange(101), np.array([]), np.array([4.0])])
    assert table["n"].tolist() == [101, 0, 1]
    assert table.loc[0, ["p5", "p25", "median", "p75", "p95"]].tolist() == [5, 25, 50, 75, 95]
    assert table.loc[1, ["p5", "median"]].isna().all()
    assert table.loc[2, ["p5", "p25", "median", "p75", "p95"]].tolist() == [4] * 5


def test_histogram_leaves_out_what_is_far_off():
    counts, edges = groups.histogram([np.arange(1000.0), np.array([1e9]), np.array([])], 10)
    assert edges[0] == 0
    assert edges[-1] == pytest.approx(995)
    assert counts.sum() == 996
    assert counts[0] == 100


@pytest.mark.parametrize("values", [[], [[]], [[5.0, 5.0]], [[0.0]], [[-2.0, 2.0]]])
def test_histogram_of_any_values_has_edges_that_rise(values):
    counts, edges = groups.histogram([np.array(each) for each in values], 4)
    assert (np.diff(edges) > 0).all()
    assert counts.sum() == sum(map(len, values))


# What images.csv and objects tell


def test_images_are_read_as_far_as_needed(tmp_path):
    rows = [
        {"image": "1", "well": "A01", "plate": "p", "dose": "0010", "objects": 4, "focus_D": 2.5},
        {"image": "2", "status": "failed", "objects": 0, "channels": "D;G", "overlay": "x"},
        {"image": "3", "flags": "debris empty", "flag_reasons": "dirt", "excluded": "true"},
    ]
    told = ("plate", "well", "dose", "focus_of_plate")
    path = write_images(tmp_path / "images.csv", *rows, told=told)
    images, known = report.read_images(path, ["focus"], ["overlay"])
    assert known == list(told)
    assert images["ok"].tolist() == [True, False, True]
    assert images["used"].tolist() == [True, False, False]
    assert images["plate_of"].tolist() == ["p", "d", "d"]
    assert images["dose"].tolist() == ["0010", "", ""]
    assert images["focus_D"].iloc[0] == 2.5
    assert images["flags"].tolist() == [set(), set(), {"debris", "empty"}]
    assert images["reasons"].tolist() == ["", "", "dirt"]
    assert images["overlay"].tolist() == ["", "x", ""]
    assert report.channels_of(images) == ["D", "G"]


def test_images_of_a_run_without_quality_have_no_flags(tmp_path):
    images = images_of(tmp_path, {}, {"status": "failed"})
    assert images["flags"].tolist() == [set(), set()]
    assert images["used"].tolist() == [True, False]


AVAILABLE = [
    *("area", "area_um2", "eccentricity", "intensity_mean_DAPI", "intensity_mean_GFP"),
    *("intensity_mean_corrected_DAPI", "cells_area", "cells_area_um2", "ratio_x_GFP"),
]


def test_names_without_channel_mean_all_channels():
    wanted = ["area", "intensity_mean", "intensity_mean_corrected_DAPI", "ratio_x", "size"]
    found, missing = report.measures(wanted, AVAILABLE, ["DAPI", "GFP"], in_um=False)
    assert [(each.name, each.label) for each in found] == [
        ("area", "area (square pixels)"),
        ("intensity_mean_DAPI", "intensity mean DAPI (units of the image)"),
        ("intensity_mean_GFP", "intensity mean GFP (units of the image)"),
        ("intensity_mean_corrected_DAPI", "intensity mean corrected DAPI (units of the image)"),
        ("ratio_x_GFP", "ratio x GFP"),
    ]
    assert missing == ["size"]


def test_lengths_and_areas_are_in_micrometres_where_they_are_known():
    wanted = ["area", "cells_area", "eccentricity", "area_um2"]
    found, _ = report.measures(wanted, AVAILABLE, [], in_um=True)
    assert [(each.name, each.label) for each in found] == [
        ("area_um2", "area (µm²)"),
        ("cells_area_um2", "cells: area (µm²)"),
        ("eccentricity", "eccentricity (0 to 1)"),
    ]
    assert report.measures(["area"], ["area"], [], in_um=True)[0][0].name == "area"


# Pages


def test_every_text_on_a_page_is_escaped():
    table = pages.Table((EVIL, "n"), [(EVIL, 3)], EVIL)
    parts = [
        table.html(),
        pages.facts([(EVIL, EVIL, True)]),
        pages.paragraph(EVIL),
        pages.folded(EVIL, pages.preformatted(EVIL)),
        pages.heading(EVIL),
        pages.figure("<?xml?><svg></svg>", EVIL),
        report_pictures.gallery(EVIL, EVIL, [(EVIL, EVIL, b"x")]),
    ]
    text = pages.page(EVIL, parts)
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;&quot;&#x27;") == 17


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1\u202f234\u202f567"),
        (0.5, "0.5"),
        (123456.7, "123\u202f457"),
        (float("nan"), ""),
        ("007", "007"),
        (True, "True"),
    ],
)
def test_numbers_are_shown_with_spaces_and_texts_as_they_are(value, text):
    assert pages.shown(value) == text


# What was run


def test_durations_are_said_as_people_do():
    shown = [report_run.duration(seconds) for seconds in (0.4, 59.6, 185, 7800)]
    assert shown == ["0 s", "1 min 0 s", "3 min 5 s", "2 h 10 min"]


def test_only_what_differs_from_its_default_is_shown(schema):
    defaults = settings.load({}, schema)
    chosen = {"images": "x", "threshold": {"method": "li"}, "watershed": {"filters": []}}
    found = list(report_run.changed(settings.load(chosen, schema), defaults))
    assert found == [("images", "x", None), ("threshold.method", "li", "half_maximum")]
    assert list(report_run.changed(defaults, defaults)) == []


def run_of(schema, **config):
    return {
        **{"nucleiflow": "1.2", "started": "2026-01-31T23:59:00+01:00"},
        **{"finished": "2026-02-01T00:01:30+01:00", "directory": "/run", "host": "h"},
        **{"user": "u", "system": "Linux", "python": "3.12.1", "packages": {"numpy": "2.4.6"}},
        **{"images": 3, "failed": 1, "objects": 1234, "config": settings.load(config, schema)},
    }


def test_page_of_the_run_tells_counts_versions_config_and_failures(tmp_path, schema):
    rows = [
        {"image": "1", "seconds_measure": 3.0, "flags": "empty"},
        {"image": "2", "seconds_measure": 4.0, "seconds_overlay": 1.0},
        {"image": EVIL, "status": "failed", "stage": "measure", "message": EVIL, "objects": 0},
    ]
    images = images_of(tmp_path, *rows, numbers=["seconds"])
    defaults = settings.load({}, schema)
    run = run_of(schema, images="/data", diameter=20)
    page = report_run.run_page(run, images, defaults)
    for label, value in (("images", 3), ("failed", 1), ("flagged", 1), ("nuclei", "1\u202f234")):
        assert f"<b>{value}</b>{label}" in page
    assert "2 min 30 s" in page
    assert "8 s of all images: measure 7 s, overlay 1 s" in page
    assert "<td>numpy</td><td>2.4.6</td>" in page
    assert "<td>diameter</td><td>20.0</td><td>auto</td>" in page
    assert "<script>alert" not in page
    assert "d/&lt;script&gt;" in page
    whole = re.search(r"The whole config</summary><pre>(.*?)</pre>", page, re.DOTALL)[1]
    assert yaml.safe_load(whole.replace("&#x27;", "'")) == run["config"]


def test_failed_images_are_capped(tmp_path):
    rows = [{"image": str(number), "status": "failed", "message": "m"} for number in range(250)]
    html = report_run.failed_table(images_of(tmp_path, *rows))
    assert html.count("<td>m</td>") == 200
    assert "And 50 more, in images.csv." in html
    assert report_run.failed_table(images_of(tmp_path, {})) == "<p>None.</p>"


def test_tables_of_the_report_are_small(tmp_path):
    rows = [
        {"image": "1"},
        {"image": "2", "file": "a,b.tif", "status": "failed", "message": "x\ny"},
    ]
    few = report_run.failed_csv(images_of(tmp_path, *rows))
    assert few == 'directory,file,stage,message\nd,"a,b.tif",,"x\ny"\n'
    assert report_run.failed_csv(images_of(tmp_path, {})) == "directory,file,stage,message\n"
    lines = [{"status": "failed", "message": "é" * 100}] * 5000
    many = report_run.failed_csv(images_of(tmp_path, *lines))
    assert 0.9 * pages.LARGEST_TABLE < len(many.encode()) <= pages.LARGEST_TABLE
    assert set(many.splitlines()[1:]) == {f"d,i.tif,,{'é' * 100}"}

    wells = wells_table(dose=[0.1] * 40_000)
    report_plates.write_wells(wells[:9], tmp_path)
    assert pd.read_csv(tmp_path / "wells.csv").equals(wells[:9])
    (tmp_path / "wells.csv").unlink()
    report_plates.write_wells(wells, tmp_path)
    assert not (tmp_path / "wells.csv").exists()
    assert pd.read_csv(tmp_path / "wells.csv.gz").equals(wells)


# Quality


def quality_images(tmp_path):
    rows = [
        {"image": "1", "focus_DAPI": 9, "focus_GFP": 8, "saturated_DAPI": 0.01},
        {"image": "2", "focus_DAPI": 1, "focus_GFP": 1, "saturated_DAPI": 0.02},
        {"image": "3", "focus_DAPI": 7, "focus_GFP": 6, "saturated_DAPI": 0.5},
    ]
    for row in rows:
        row.update(channels="DAPI;GFP", background_DAPI=200, evenness_DAPI=0.9, objects=5)
    rows[1].update(flags="out_of_focus", flag_reasons="blurred")
    rows[2].update(flags="saturated debris", flag_reasons="bright; dirty")
    names = [quality.name for quality in report_run.QUALITY]
    images = images_of(tmp_path, *rows, numbers=names)
    return images.assign(number=images["flagged"].cumsum().where(images["flagged"]))


def test_quality_is_plotted_with_what_is_flagged_for_it(tmp_path):
    images = quality_images(tmp_path)
    made = {plot.name: plot for plot in report_run.quality_plots(images, ["DAPI", "GFP"])}
    assert list(made) == ["focus", "saturated", "background", "evenness", "objects"]
    focus, saturated = made["focus"].figure.axes, made["saturated"].figure.axes
    assert [panel.get_ylabel() for panel in focus] == ["DAPI: focus", "GFP: focus"]
    marks = {line.get_marker(): line.get_xydata().tolist() for line in focus[0].lines[1:]}
    assert marks == {"o": [[3, 7]], "X": [[2, 1]]}
    assert [text.get_text() for text in focus[0].texts] == ["1", "d"]
    # In per cent.
    assert saturated[0].lines[0].get_ydata().tolist() == [1, 2, 50]
    (crosses,) = [line for line in saturated[0].lines if line.get_marker() == "X"]
    assert crosses.get_xydata().tolist() == [[3, 50]]


def test_flagged_images_are_named_with_their_sentences(tmp_path):
    page = report_run.quality_page(quality_images(tmp_path), ["<svg></svg>"], True)
    assert "<td>d/2</td><td>out_of_focus</td><td>blurred</td>" in page
    assert "<td>d/3</td><td>debris saturated</td><td>bright; dirty</td>" in page
    assert "<td>d/1</td>" not in page


def test_a_run_without_quality_has_what_it_knows(tmp_path):
    images = images_of(tmp_path, {"threshold": 7.0}, {}, numbers=["threshold"])
    images = images.assign(number=np.nan)
    made = report_run.quality_plots(images, [])
    assert [plot.name for plot in made] == ["objects", "threshold"]
    assert report_run.quality_plots(images[:0], []) == []
    assert "Images were not checked." in report_run.quality_page(images, [], False)


# Measurements by group


def test_groups_are_wells_plates_or_directories(tmp_path):
    plain = images_of(tmp_path, {}, {"directory": "e"})
    assert report_plots.grouping(plain, "auto") == ("directory", ("directory",))
    wells = images_of(tmp_path, {"well": "A01"}, {"well": "A02"})
    assert report_plots.grouping(wells, "auto") == ("well", ("plate_of", "well"))
    many = [{"well": f"{row}{column:02}"} for row in "ABCDEFGHIJKLM" for column in range(1, 13)]
    assert len(many) > plots.MOST
    assert report_plots.grouping(images_of(tmp_path, *many), "auto") == ("plate", ("plate_of",))
    assert report_plots.grouping(wells, "directory") == ("directory", ("directory",))
    assert report_plots.grouping(wells, "dose") == ("dose", ("dose",))


def test_names_of_groups_leave_out_what_is_the_same_in_all():
    assert report_plots.shown_names([("p", "A01"), ("p", "A02")]) == ["A01", "A02"]
    assert report_plots.shown_names([("p", "A01"), ("q", "A01")]) == ["p", "q"]
    assert report_plots.shown_names([("p", "A01"), ("q", "")]) == ["p A01", "q none"]
    assert report_plots.shown_names([("p", "A01")]) == ["A01"]
    assert report_plots.shown_names([]) == []


def test_the_most_different_groups_stay_in_their_order():
    medians = pd.Series([5.0, 9.0, 5.1, np.nan, 1.0, 4.9])
    assert report_plots.most_different(medians, 2) == [1, 4]
    assert report_plots.most_different(medians, 9) == [0, 1, 2, 3, 4, 5]


def test_measurements_have_a_plot_each_and_a_table_of_quantiles():
    counts = {("b",): np.array([3.0, 5.0], np.float32), ("a",): np.array([0.0], np.float32)}
    areas = {("b",): np.arange(101, dtype=np.float32)}
    other = Measure("intensity_mean", "intensity", "look")
    made, table = report_plots.measurement_plots(
        iter([(AREA, areas), (other, {})]), counts, "directory"
    )
    assert [plot.name for plot in made] == [
        *("all_nuclei", "objects_by_directory", "area_by_directory"),
        "intensity_mean_by_directory",
    ]
    assert made[2].caption == "look"
    assert made[3].caption == ""
    assert table["directory"].tolist() == ["b", "a"]
    assert table["images used"].tolist() == [2, 1]
    assert table["nuclei an image"].tolist() == [4, 0]
    assert table["area (square pixels)"].tolist()[0] == 50
    assert table.loc[1, ["area (square pixels)", "intensity"]].isna().all()
    html = report_plots.medians_table(table).html()
    assert '<td>b</td><td class="number">2</td><td class="number">4</td>' in html


def test_very_many_groups_are_cut_with_a_note():
    counts = {(f"{number:03}",): np.array([number]) for number in range(200)}
    (plot,), table = report_plots.measurement_plots([], counts, "directory")
    assert plot.caption.startswith("Of 200, these are the 144 that differ most from the median")
    assert len(table) == 200
    names = [label.get_text() for axes in plot.figure.axes for label in axes.get_yticklabels()]
    assert (names[0], names[-1], len(names)) == ("000 (1)", "199 (1)", 144)


def test_a_dataset_of_failures_has_pages_all_the_same(tmp_path, schema):
    images = images_of(tmp_path, {"status": "failed", "objects": 0}, numbers=["seconds"])
    made, table = report_plots.measurement_plots(iter([(AREA, {})]), {}, "directory")
    assert [len(plots.svg(plot.figure)) > 1000 for plot in made] == [True] * 3
    assert table.empty
    assert report_plots.medians_table(table).html()
    assert report_run.run_page(run_of(schema), images, settings.load({}, schema))
    empty = images[images["ok"]].assign(overlay="")
    assert [len(rows) for rows in report_pictures.rows_to_show(empty, 12)] == [0, 0]


def test_names_that_are_no_columns_are_told():
    assert report_plots.not_measured([]) == ""
    assert "Not in the tables: &lt;b&gt;, size." in report_plots.not_measured(["<b>", "size"])


def test_objects_are_grouped_by_plate_or_else_by_directory(tmp_path):
    rows = [("d", "p", "A01", 1.0), ("d", None, "A01", 2.0), ("e", "p", "A01", 3.0)]
    path = write_objects(tmp_path / "o.parquet", rows, ("directory", "plate", "well", "area"))
    ((_, values),) = report_plots.measured_by_group(
        path, [AREA], report_plots.KEYS, ("plate_of", "well")
    )
    assert {key: part.tolist() for key, part in values.items()} == {
        ("p", "A01"): [1, 3],
        ("d", "A01"): [2],
    }


def test_cellprofilers_names_and_units_make_no_difference(tmp_path):
    turned = Measure("orientation", "orientation (radians)")
    schema = pa.schema(
        [
            *(
                pa.field(
                    f"Metadata_{name.capitalize()}", pa.string(), metadata={"nucleiflow": name}
                )
                for name in report_plots.KEYS
            ),
            pa.field("Nuclei_X", pa.float64(), metadata={"nucleiflow": "orientation"}),
        ]
    )
    path = tmp_path / "o.parquet"
    pq.write_table(pa.table([["d"], [None], [None], [90.0]], schema=schema), path)
    ((_, values),) = report_plots.measured_by_group(
        path, [turned], report_plots.KEYS, ("directory",)
    )
    assert values[("d",)] == pytest.approx([np.pi / 2])


# Plates and doses


def test_wells_are_summed_up(tmp_path):
    told = ("plate", "well", "site", "dose", "drug")
    one = {"plate": "p", "well": "A01", "dose": "1", "drug": "x"}
    rows = [
        one | {"image": "1", "site": "1", "objects": 4},
        one | {"image": "2", "site": "2", "objects": 7, "flags": "empty"},
        one | {"image": "3", "site": "3", "objects": 0, "status": "failed"},
        {"plate": "p", "well": "B02", "dose": "10", "drug": "", "status": "failed"},
        {"well": "", "image": "4"},
    ]
    images = images_of(tmp_path, *rows, told=told)
    values = {("p", "A01"): np.array([1, 2, 9], np.float32)}
    wells = report_plates.wells_of(images, told, [(AREA, values)])
    assert wells.columns.tolist() == [
        *("plate", "well", "dose", "drug", "images", "failed", "flagged", "objects_an_image"),
        "median_area",
    ]
    assert wells.iloc[0].tolist() == ["p", "A01", "1", "x", 3, 1, 1, 5.5, 2]
    assert wells.iloc[1, :7].tolist() == ["p", "B02", "10", "", 1, 1, 0]
    assert wells.iloc[1, 7:].isna().all()


@pytest.mark.parametrize(
    ("wells", "shape"),
    [
        (["A01"], (2, 3)),
        (["B03"], (2, 3)),
        (["C01"], (3, 4)),
        (["A05"], (4, 6)),
        (["E01"], (6, 8)),
        (["A12", "H01"], (8, 12)),
        (["A13"], (16, 24)),
        (["I01"], (16, 24)),
        (["Q01"], (32, 48)),
        (["AF48"], (32, 48)),
    ],
)
def test_plates_are_the_smallest_that_hold_all_wells(wells, shape):
    assert report_plates.plate_shape(map(report_plates.place_of, wells)) == shape


def test_wells_have_places():
    assert report_plates.place_of("AF48") == (31, 47)
    assert report_plates.place_of("b 3") == (1, 2)
    assert report_plates.place_of("slide 1") is None


def wells_table(**columns):
    count = len(next(iter(columns.values())))
    plain = {"plate": ["p"] * count, "well": [f"A{number + 1:02}" for number in range(count)]}
    table = plain | {"images": [1] * count, "failed": [0] * count, "flagged": [0] * count}
    return pd.DataFrame(table | columns)


COUNTS = Measure("objects_an_image", "nuclei an image")


def test_heat_maps_show_values_failures_and_flags():
    table = wells_table(objects_an_image=[5.0, np.nan, 7.0], failed=[0, 1, 0], flagged=[1, 0, 0])
    (plot,) = report_plates.plate_plots(table, [COUNTS, Measure("x", "x")][:1])
    assert plot.name == "plates_objects_an_image"
    panel = plot.figure.axes[0]
    values = np.ma.filled(panel.images[0].get_array().astype(float), np.nan)
    np.testing.assert_array_equal(values[0], [5, np.nan, 7])
    assert np.isnan(values[1]).all()
    assert panel.images[0].get_clim() == (5, 7)
    marks = {line.get_marker(): line.get_xydata().tolist() for line in panel.lines[1:]}
    assert marks == {"x": [[1, 0]], "o": [[0, 0]]}


def test_many_plates_are_pages_of_a_dozen_and_then_cut():
    names = [f"plate {number:03}" for number in range(300)]
    table = wells_table(objects_an_image=np.arange(300.0)).assign(plate=names, well="A01")
    made = report_plates.plate_plots(table, [COUNTS, COUNTS])
    most = report_plates.PANELS // 2
    assert len(made) == 2 * most // 12
    assert f"Plates 13 to 24 of 300; those after {most} are in wells.csv alone." in made[1].caption
    assert len([axes for axes in made[0].figure.axes if axes.images]) == 12


def test_wells_with_other_names_are_on_no_plate():
    table = wells_table(objects_an_image=[1.0, 2.0])
    assert report_plates.plate_plots(table.assign(well="slide"), [COUNTS]) == []
    assert len(report_plates.plate_plots(table.assign(well=["slide", "B01"]), [COUNTS])) == 1


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"SBS_Doses": ["0", "1.5"]}, "SBS_Doses"),
        ({"drug": ["1", "2"], "conc_uM": ["1e-3", ""]}, "conc_uM"),
        ({"dose": ["low", "high"], "Concentration": ["1", "2"]}, "Concentration"),
        ({"dose": ["", ""]}, None),
        ({"drug": ["1", "2"]}, None),
    ],
)
def test_doses_are_found_by_their_name(columns, found):
    table = wells_table(**columns)
    assert report_plates.dose_column(table, list(columns), "auto") == found
    assert report_plates.dose_column(table, list(columns), None) is None


def test_a_column_of_texts_is_no_dose():
    table = wells_table(drug=["x", "1"], level=["1", "2"])
    assert report_plates.dose_column(table, [], "level") == "level"
    for name in ("drug", "site"):
        with pytest.raises(JobError, match=f"report.dose is {name}, which must hold a number"):
            report_plates.dose_column(table, [], name)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("SBS_Doses", "SBS_Doses"),
        ("dose_uM", "dose (µM)"),
        ("dose (nM)", "dose (nM)"),
        ("drug concentration [µM]", "drug concentration (µM)"),
        ("conc_ng_ml", "conc (ng/ml)"),
        ("dose_M", "dose (M)"),
        ("conc %", "conc (%)"),
        ("dose", "dose"),
    ],
)
def test_units_of_doses_are_those_of_their_column(name, label):
    assert report_plates.dose_label(name) == label


def test_controls_are_those_of_the_summary():
    table = wells_table(control=["neg", "x", "", "pos"])
    controls = Controls("control", ("neg",), ("pos", "kill"))
    kinds = report_plates.kinds_of(table, controls)
    assert kinds.tolist() == ["negative control", "", "", "positive control"]
    assert report_plates.kinds_of(table, None).tolist() == [""] * 4
    assert report_plates.kinds_of(table, controls._replace(column="site")).tolist() == [""] * 4


def test_each_compound_has_its_curves_with_the_controls_of_its_plates():
    table = wells_table(
        dose=["0", "1", "10", "1", "10", "0"],
        compound=["DMSO", "x", "x", "y", "y", "DMSO"],
        control=["neg", "", "", "", "", "neg"],
        objects_an_image=[9.0, 8, 4, 7, 7, 2],
        median_area=[np.nan] * 6,
    )
    table["plate"] = ["p", "p", "p", "q", "q", "q"]
    shown = [COUNTS, Measure("median_area", "area")]
    told, controls = ["dose", "compound", "control"], Controls("control", ("neg",), ())
    first, second = report_plates.dose_plots(table, shown, "dose", told, controls)
    assert (first.name, second.name) == ("dose_01_x", "dose_02_y")
    # Nothing is known of areas.
    (panel,) = first.figure.axes
    assert panel.get_ylabel() == "nuclei an image"
    curve = [line for line in panel.lines if line.get_marker() == "s" and len(line.get_xdata())]
    assert curve[0].get_xydata().tolist() == [[0, 8], [1, 4]]
    (control,) = [line for line in panel.lines if line.get_marker() == "^"]
    assert control.get_ydata().tolist() == [9]


def test_wells_without_compound_have_one_curve():
    table = wells_table(dose=["1", "1", "2"], objects_an_image=[1.0, 3.0, 5.0])
    (plot,) = report_plates.dose_plots(table, [COUNTS], "dose", ["dose"])
    assert plot.name == "dose_01"
    curve = next(line for line in plot.figure.axes[0].lines if line.get_marker() == "s")
    assert curve.get_ydata().tolist() == [2, 5]
    assert report_plates.dose_plots(table.assign(dose=""), [COUNTS], "dose", ["dose"]) == []


def test_very_many_compounds_are_cut_with_a_note():
    count = report_plates.CURVES + 4
    table = wells_table(
        dose=["1"] * count,
        compound=[f"c{number}" for number in range(count)],
        objects_an_image=[1.0] * count,
    )
    shown = [COUNTS] * 24
    made = report_plates.dose_plots(table, shown, "dose", ["compound"])
    assert len(made) == report_plates.CURVES // 24
    assert made[-1].caption.startswith(f"These are the first {len(made)} of {count} compounds")


# Pictures


def test_pictures_come_from_all_directories_and_are_the_same_each_time():
    table = pd.DataFrame({"directory": list("aaaabbcccccc"), "image": [str(n) for n in range(12)]})
    chosen = report_pictures.drawn_by_lot(table, 3)
    assert chosen["directory"].tolist() == ["a", "b", "c"]
    assert chosen.index.tolist() == report_pictures.drawn_by_lot(table, 3).index.tolist()
    six = report_pictures.drawn_by_lot(table, 6)
    assert six["directory"].value_counts().to_dict() == {"a": 2, "b": 2, "c": 2}
    assert set(chosen.index) <= set(six.index)
    assert len(report_pictures.drawn_by_lot(table, 99)) == 12
    others = {tuple(report_pictures.drawn_by_lot(table, 3, seed).index) for seed in range(9)}
    assert len(others) > 3


def test_flagged_images_are_capped_and_not_shown_twice(tmp_path):
    rows = [{"image": f"f{number}", "flags": "empty"} for number in range(40)]
    rows += [{"image": f"o{number}"} for number in range(20)]
    flagged, others = report_pictures.rows_to_show(images_of(tmp_path, *rows), 12)
    assert (len(flagged), len(others)) == (report_pictures.FLAGGED, 12)
    assert set(flagged["image"].str[0]) == {"f"}
    assert set(others["image"].str[0]) == {"o"}
    picture = [("a", "", b"x")] * 24
    page = report_pictures.pictures_page(picture, picture[:12], 40)
    assert "There are 16 more, which images.csv names." in page
    assert len(re.findall("<img src", page)) == 36


@pytest.mark.parametrize("shape", [(2048, 2048), (500, 3000), (3000, 40)])
@pytest.mark.parametrize("limit", [20_000, 100_000])
def test_pictures_are_as_large_as_their_bytes_allow(shape, limit):
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 3)
    content = report_pictures.fitted(picture, limit)
    assert len(content) <= limit
    height, width = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    assert height / width == pytest.approx(shape[0] / shape[1], rel=0.05)
    assert max(height, width) <= report_pictures.SIDE
    assert len(content) > limit / 4 or max(height, width) == report_pictures.SIDE


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (64, 64)])
def test_small_pictures_stay_as_they_are(shape):
    picture = np.zeros((*shape, 3), np.uint8)
    picture[..., 0] = 250
    content = report_pictures.fitted(picture, 50_000)
    read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert read.shape == picture.shape
    np.testing.assert_allclose(read.mean(axis=(0, 1)), [250, 0, 0], atol=8)


def test_pictures_of_overlays_tell_what_is_known_of_them(tmp_path):
    cv2.imwrite(str(tmp_path / "o.png"), np.full((30, 20, 3), (0, 0, 200), np.uint8))
    rows = [{"overlay": "o.png", "flags": "empty", "flag_reasons": "dark", "directory": "."}]
    images = images_of(tmp_path, *rows, texts=["overlay"])
    ((name, said, content),) = report_pictures.pictures_of(images, tmp_path, 50_000)
    assert (name, said) == ("i", "3 nuclei; empty: dark")
    read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_allclose(read.mean(axis=(0, 1)), [200, 0, 0], atol=8)


# The plate map of the demo


def test_plate_map_of_the_demo_has_doses_and_controls(tmp_path):
    path = tmp_path / "map.csv"
    simulate.write_plate_map(path, plates=2)
    found = read_plate_map(path)
    assert found.join == ("plate", "well")
    table = found.table.to_pandas()
    assert len(table) == 24
    assert table["dose_uM"][:12].tolist()[:11] == [0, 0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100]
    assert np.isnan(table["dose_uM"][11])
    assert table["control"].value_counts().to_dict() == {
        "negative control": 4,
        "positive control": 2,
    }
    assert table["compound"].nunique() == 4
