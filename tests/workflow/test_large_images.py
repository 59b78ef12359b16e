"""Whole runs with images that are cut into tiles."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from project import ROOT, Project, nuclei, pixels
from skimage.measure import regionprops_table
from skimage.segmentation import expand_labels

from simulate import simulate

pytestmark = pytest.mark.long

SHAPE = (1300, 1100)
DISTANCE = 4
CONFIG = [
    "batch_size=9",
    "segment=DAPI",
    f"cells={{method: distance, distance: {{max_distance: {DISTANCE}}}}}",
    "keep=[mask, labels, cells, csv, overlay]",
]
TILED = [*CONFIG, "tiles={size: 512, overlap: 96}"]


def run_on(images: Path, folder: Path, *config: str) -> Project:
    project = Project(ROOT, images, folder)
    folder.mkdir()
    project.snakemake(*config)
    return project


@pytest.fixture(scope="module")
def truth() -> tuple[np.ndarray, np.ndarray]:
    """A simulated image of two channels, (2, Y, X) uint16, and its true labels."""
    dna, labels = simulate(11, SHAPE, diameter=26, vignetting=0.0)
    stain = cv2.GaussianBlur(dna.astype(np.float32), (0, 0), 3) / 2
    return np.stack([dna, stain.astype(np.uint16)]), labels


@pytest.fixture(scope="module")
def images(truth, tmp_path_factory) -> Path:
    """It, and an image that is smaller than a tile."""
    folder = tmp_path_factory.mktemp("large") / "images"
    folder.mkdir()
    small = np.stack([nuclei(3), nuclei(3) // 2])
    for name, image, options in (("slide", truth[0], {"tile": (256, 256)}), ("small", small, {})):
        tifffile.imwrite(
            folder / f"{name}.ome.tif",
            image,
            metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}},
            **options,
        )
    return folder


@pytest.fixture(scope="module")
def whole(images) -> Project:
    return run_on(images, images.parent / "whole", *CONFIG)


@pytest.fixture(scope="module")
def tiled(images) -> Project:
    return run_on(images, images.parent / "tiled", *TILED)


def row_of(project: Project, image: str) -> dict[str, str]:
    return next(row for row in project.rows("images.csv") if row["image"] == image)


def labels_of(project: Project, image: str, product: str = "labels") -> np.ndarray:
    return pixels(project.results / row_of(project, image)[product])


def objects_of(project: Project, image: str) -> pd.DataFrame:
    table = pd.read_csv(project.results / "objects.csv")
    return table[table["image"] == image].reset_index(drop=True)


def f1(one: np.ndarray, other: np.ndarray, least: float) -> float:
    """Of objects whose overlap over their union is above a number, that is at least a half."""
    both = (one > 0) & (other > 0)
    pairs, shared = np.unique(np.stack([one[both], other[both]]), axis=1, return_counts=True)
    areas = [np.bincount(labels.ravel()) for labels in (one, other)]
    united = areas[0][pairs[0]] + areas[1][pairs[1]] - shared
    found = sum(np.count_nonzero(area[1:]) for area in areas)
    return 2 * np.count_nonzero(shared / united > least) / found


def test_tiled_and_untiled_results_agree(truth, whole, tiled):
    with_tiles, without = labels_of(tiled, "slide"), labels_of(whole, "slide")
    assert with_tiles.dtype == np.int32
    assert with_tiles.shape == SHAPE
    assert f1(with_tiles, without, 0.9) > 0.99
    scores = [f1(truth[1], labels, 0.7) for labels in (with_tiles, without)]
    assert scores[0] > 0.9
    assert scores[0] == pytest.approx(scores[1], abs=0.01)


def test_image_in_tiles_has_one_row_and_one_label_image(whole, tiled):
    rows, others = tiled.rows("images.csv"), whole.rows("images.csv")
    assert [row["image"] for row in rows] == ["slide", "small"]
    assert rows[0].keys() - others[0].keys() == {"seconds_join"}
    large, same = rows[0], others[0]
    assert large["status"] == "ok"
    assert (
        int(large["objects"]) == labels_of(tiled, "slide").max() == len(objects_of(tiled, "slide"))
    )
    for name in ("height", "width", "dtype", "channels", "segmented", "planes"):
        assert large[name] == same[name]
    for name, near in (("foreground", 0.02), ("median_area", 0.05), ("background_DAPI", 0.02)):
        assert float(large[name]) == pytest.approx(float(same[name]), rel=near)
    assert float(large["border_share"]) == pytest.approx(float(same["border_share"]), abs=0.005)
    # Stages before leave a file a tile.
    assert large["mask"] == ""
    folder = tiled.results / "threshold" / large["batch"]
    assert len(list(folder.glob("slide_y*_x*.tif"))) == 9


def test_rows_are_those_of_the_whole_label_image(truth, tiled):
    labels, table = labels_of(tiled, "slide"), objects_of(tiled, "slide")
    names = ("label", "area", "centroid", "bbox", "intensity_mean")
    expected = regionprops_table(labels, np.moveaxis(truth[0], 0, -1), properties=names)
    expected = pd.DataFrame(expected).rename(
        columns={
            "intensity_mean-0": "intensity_mean_DAPI",
            "intensity_mean-1": "intensity_mean_GFP",
        }
    )
    np.testing.assert_array_equal(table["label"], np.arange(1, labels.max() + 1))
    for name in set(expected) & set(table):
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-9, err_msg=name)
    assert {"area", "centroid-0", "centroid-1", "bbox-3", "intensity_mean_GFP"} <= set(table)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    assert set(table["label"][table["on_border"]]) == set(edge) - {0}


def test_cells_reach_over_seams(tiled):
    labels, cells = (labels_of(tiled, "slide", name) for name in ("labels", "cells"))
    expected = expand_labels(labels, DISTANCE)
    # Of pixels as far from one nucleus as from another, either may be right.
    assert np.count_nonzero(cells != expected) < 1e-4 * cells.size
    np.testing.assert_array_equal(cells > 0, expected > 0)
    table = objects_of(tiled, "slide")
    areas = np.bincount(cells.ravel())[1:]
    np.testing.assert_array_equal(table["cells_area"], areas)


def test_image_that_fits_is_as_without_tiles(whole, tiled):
    drop = ["batch"]
    pd.testing.assert_frame_equal(
        objects_of(tiled, "small").drop(columns=drop), objects_of(whole, "small").drop(columns=drop)
    )
    for product in ("labels", "cells", "mask"):
        np.testing.assert_array_equal(
            labels_of(tiled, "small", product), labels_of(whole, "small", product)
        )


def test_csv_and_picture_are_of_the_whole_image(tiled):
    row, table = row_of(tiled, "slide"), objects_of(tiled, "slide")
    alone = pd.read_csv(tiled.results / row["csv"])
    np.testing.assert_array_equal(alone["label"], table["label"])
    np.testing.assert_array_equal(alone["centroid-0"], table["centroid-0"])
    picture = cv2.imread(str(tiled.results / row["overlay"]))
    assert picture.shape == (*SHAPE, 3)


def test_only_what_changed_runs_again(tiled):
    assert tiled.stages_planned(*TILED) == {}
    planned = tiled.planned(*TILED, "overlay={color: red}")
    assert {rule for rule in planned if rule in ("join", "measure", "watershed")} == set()
    assert planned["overlay"] == 1
    planned = tiled.planned(*CONFIG, "tiles={size: 600}")
    assert planned["preprocess"] == planned["join"] == planned["cells"] == planned["measure"] == 1


def test_image_of_which_a_tile_fails_fails_alone(tmp_path):
    (tmp_path / "images").mkdir()
    image = np.tile(nuclei(1), (5, 5)).astype(np.float32)
    tifffile.imwrite(tmp_path / "images" / "good.tif", image)
    image[-1, -1] = np.nan
    tifffile.imwrite(tmp_path / "images" / "nan.tif", image)
    project = Project(ROOT, tmp_path / "images", tmp_path / "run")
    project.run.mkdir()
    output = project.snakemake("tiles={size: 300}", "max_failed=0.5", "batch_size=9").stdout
    good, bad = project.rows("images.csv")
    assert good["status"] == "ok"
    assert bad["status"] == "failed"
    assert bad["stage"] == "preprocess"
    assert bad["message"] == "1 pixels are not numbers (NaN or infinite), export it again"
    assert output.count("nan.tif: 1 pixels are not numbers") == 1
    assert {row["image"] for row in project.rows("objects.csv")} == {"good"}
