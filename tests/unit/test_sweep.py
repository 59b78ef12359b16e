"""The ranking of settings, its plots and the sheets, on scores and labels made by hand."""

import cv2
import numpy as np
import pytest

import sweep
from evaluate import score
from nucleiflow.images import encode_tiff
from nucleiflow.mosaic import GAP, RED
from nucleiflow.plan import File
from nucleiflow.sample import Entry

TRUTH = np.zeros((60, 60), np.int32)
TRUTH[5:25, 5:25], TRUTH[35:55, 35:55] = 1, 2
ONE = np.where(TRUTH == 1, 1, 0).astype(np.int32)
NONE = np.zeros_like(TRUTH)


def scores(*images: np.ndarray) -> list:
    return [score(TRUTH, labels, sweep.THRESHOLDS) for labels in images]


def test_settings_are_ranked_by_the_mean_over_images():
    settings = [
        {"threshold.method": "otsu"},
        {"threshold.method": "manual", "threshold.manual.value": 50},
        {"threshold.method": "manual", "threshold.manual.value": 99},
    ]
    # F1 is 2/3 where one of two is found and nothing else.
    table = sweep.ranking(settings, [scores(ONE, NONE), scores(TRUTH, ONE), scores(ONE, ONE)])
    assert table["rank"].tolist() == [1, 2, 3]
    assert table.index.tolist() == [1, 2, 0]
    assert table["threshold.method"].tolist() == ["manual", "manual", "otsu"]
    assert table["threshold.manual.value"].tolist() == ["50", "99", ""]
    for column in ("f1_mean", "f1_0.50", "f1_0.70", "f1_0.90"):
        assert table[column].tolist() == pytest.approx([5 / 6, 2 / 3, 1 / 3])
    assert table["truth"].tolist() == [4, 4, 4]
    assert table["found"].tolist() == [3, 2, 1]
    assert table["missed"].tolist() == [1, 2, 3]
    assert table["false"].tolist() == [0, 0, 0]


def test_equal_settings_keep_their_order():
    settings = [{"markers.h_maxima.h": value} for value in (0.3, 0.1, 0.2)]
    table = sweep.ranking(settings, [scores(ONE)] * 3)
    assert table["markers.h_maxima.h"].tolist() == ["0.3", "0.1", "0.2"]


def curves(figure) -> list[list[float]]:
    return [list(line.get_ydata()) for axes in figure.axes for line in axes.get_lines()]


def test_one_parameter_is_a_line_in_the_order_of_its_numbers():
    settings = [{"markers.h_maxima.h": value} for value in (0.5, 0.1, 0.3)]
    figure = sweep.plot(settings, [0.7, 0.5, 0.6])
    (line,) = figure.axes[0].get_lines()
    assert list(line.get_xdata()) == [0.1, 0.3, 0.5]
    assert list(line.get_ydata()) == [0.5, 0.6, 0.7]
    assert figure.axes[0].get_xlabel() == "markers.h_maxima.h"


def test_methods_and_lists_are_points_with_names():
    settings = [{"threshold.morphology": value} for value in ([], [{"operation": "open"}])]
    figure = sweep.plot(settings, [0.2, 0.4])
    assert curves(figure) == [[0.2, 0.4]]
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert shown == ["[]", "[{operation: open}]"]


def test_two_parameters_are_a_heat_map_also_where_one_does_not_count():
    settings = [
        {"threshold.method": "otsu"},
        {"threshold.method": "manual", "threshold.manual.value": 50},
        {"threshold.method": "manual", "threshold.manual.value": 99},
    ]
    figure = sweep.plot(settings, [0.3, 0.4, 0.5])
    (picture,) = figure.axes[0].get_images()
    assert picture.get_array().tolist() == [[0.3, 0.3], [0.4, 0.5]]
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "0.300",
        "0.300",
        "0.400",
        "0.500",
    ]


def test_more_parameters_have_a_panel_each_with_best_and_mean_of_the_others():
    settings = [
        {"threshold.min_area": area, "markers.h_maxima.h": h, "watershed.drop_border": drop}
        for area in (10, 20)
        for h in (0.1, 0.2)
        for drop in (False, True)
    ]
    figure = sweep.plot(settings, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert np.allclose(
        curves(figure),
        [[0.4, 0.8], [0.25, 0.65], [0.6, 0.8], [0.35, 0.55], [0.7, 0.8], [0.4, 0.5]],
    )


def test_a_plot_is_the_same_text_each_time():
    settings = [{"markers.h_maxima.h": value} for value in (0.1, 0.2)]
    first, second = (sweep.svg(sweep.plot(settings, [0.1, 0.2])) for _ in range(2))
    assert first == second
    assert "markers.h_maxima.h" in first


VIEW = {
    "segment": "auto",
    "channels": None,
    "z": "max",
    "pages": None,
    "scenes": [],
    "crop": None,
    "resize": None,
    "max_megapixels": 9.0,
}
SETTING = {"outlines": {"color": "magenta", "lines": False}, "view": VIEW}
RECORD = {"image": "x", "status": "ok", "message": "", "height": 60, "width": 60}
ENTRY = Entry(0, 0, "plate", "x", (File("plate/x.tif", 1, 1),))


@pytest.fixture
def case(tmp_path):
    def made(labels: np.ndarray | None, name: str, setting: dict = SETTING, **changes):
        channel, there = tmp_path / "channel.tif", tmp_path / f"{name}.tif"
        encode_tiff(channel, np.where(TRUTH, 200, 20).astype(np.uint8))
        if labels is not None:
            encode_tiff(there, labels)
        return sweep.Case(RECORD | changes, channel, there, setting)

    return made


@pytest.fixture
def masks(tmp_path):
    (tmp_path / "masks" / "plate").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "masks" / "plate" / "x.png"), TRUTH.astype(np.uint16))
    return tmp_path / "masks"


def test_every_setting_is_scored_and_a_failure_finds_nothing(case, masks):
    broken = case(None, "broken", status="failed", message="a kernel of 99 pixels is larger")
    cases = [case(TRUTH, "all"), case(ONE, "one"), broken]
    found = sweep.scored((ENTRY, cases, masks))
    assert [one.mean_f1 for one in found] == pytest.approx([1, 2 / 3, 0])
    assert [one.truth for one in found] == [2, 2, 2]


def test_the_background_object_of_the_opencv_watershed_does_not_count(case, masks):
    lines = SETTING | {"outlines": {"color": "yellow", "lines": True}}
    (found,) = sweep.scored((ENTRY, [case(TRUTH + 1, "all", lines)], masks))
    assert (found.found, found.mean_f1) == (2, 1)


def test_a_mask_is_cut_as_the_image_is(case, masks):
    crop = {"x": 30, "y": 30, "width": 30, "height": 30}
    cut = SETTING | {"view": VIEW | {"crop": crop}}
    labels = np.where(TRUTH == 2, 1, 0).astype(np.int32)
    cases = [case(TRUTH, "all"), case(labels[30:, 30:], "cut", cut)]
    assert [one.mean_f1 for one in sweep.scored((ENTRY, cases, masks))] == [1, 1]


def test_images_without_a_mask_or_with_a_wrong_one_are_not_judged(case, masks):
    cases = [case(TRUTH, "all")]
    other = ENTRY._replace(image="y", files=(File("plate/y.tif", 1, 1),))
    assert sweep.scored((other, cases, masks)) is None
    cv2.imwrite(str(masks / "plate" / "x.png"), np.zeros((9, 9), np.uint8))
    assert "9 x 9" in sweep.scored((ENTRY, cases, masks))
    unread = case(None, "none", status="failed", message="the file is empty")
    unread = unread._replace(channel=unread.channel.with_name("missing.tif"))
    cv2.imwrite(str(masks / "plate" / "x.png"), TRUTH.astype(np.uint16))
    assert sweep.scored((ENTRY, [unread], masks)) == "the file is empty"


def test_a_row_of_a_sheet_shows_each_setting(case):
    other = SETTING | {"outlines": {"color": "#00ff00", "lines": False}}
    broken = case(None, "broken", status="failed", message="a kernel of 99 pixels is larger")
    cases = [case(TRUTH, "all"), case(ONE, "one", other), broken]
    picture = sweep.tiles((ENTRY, cases, 100))
    assert picture.shape[1] == sweep.TEXT + 4 * 100 + 5 * GAP
    starts = [sweep.TEXT + GAP + (100 + GAP) * index for index in range(4)]
    raw, first, second, third = (picture[:100, start : start + 100] for start in starts)
    assert {tuple(color) for color in raw.reshape(-1, 3).tolist()} == {(0,) * 3, (255,) * 3}
    for tile, color, objects in ((first, (255, 0, 255), 2), (second, (0, 255, 0), 1)):
        edge = (tile == color).all(axis=2).astype(np.uint8)
        assert cv2.connectedComponents(edge)[0] - 1 == objects
    assert (third == RED).all(axis=2).any()


def test_the_head_names_the_values_of_each_setting():
    plain = sweep.head([{"threshold.method": "li"}] * 2, [1, 2], 300)
    structured = {"threshold.morphology": [{"operation": "open", "size": 3}] * 4}
    longer = sweep.head([{"threshold.method": "li"}, structured], [1, 2], 300)
    assert plain.shape[1] == longer.shape[1]
    assert longer.shape[0] > plain.shape[0]
