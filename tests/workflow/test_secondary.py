"""Whole runs with cells, cytoplasm and rings, and with labels that were made elsewhere."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from project import AFTERWARDS, Project, nuclei, pixels
from skimage.measure import label, regionprops_table
from skimage.segmentation import expand_labels

pytestmark = pytest.mark.long

AFTER = {"measure", "overlay"}


def two_channels(seed: int) -> np.ndarray:
    """Nuclei, and a stain that reaches beyond them, (2, Y, X) uint16."""
    dna = nuclei(seed)
    stain = cv2.GaussianBlur((dna > 1000).astype(np.float32), (0, 0), 4)
    return np.stack([dna, (stain * 3000 + 100).astype(np.uint16)])


def write_stained(folder: Path, count: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        tifffile.imwrite(
            folder / f"field_{index}.ome.tif",
            two_channels(index),
            metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}},
        )


def run_rules(project: Project, *config: str) -> dict[str, int]:
    """Jobs of a batch that a dry run would start, by rule."""
    return {rule: n for rule, n in project.planned(*config).items() if rule not in AFTERWARDS}


RING = "cells={method: distance, distance: {max_distance: 5}, ring: {gap: 1, width: 2}}"


def test_cells_by_distance_are_expand_labels_and_measured_beside_nuclei(fresh: Project):
    write_stained(fresh.images)
    keep = "keep=[labels, cells, cytoplasm, ring, csv, overlay]"
    config = [RING, keep, "overlay={format: png, cells_color: [1, 2, 3]}", "segment=DAPI"]
    fresh.snakemake(*config)
    assert fresh.planned(*config) == {}
    objects = pd.read_csv(fresh.results / "objects.csv")
    assert objects["label"].notna().all() and len(objects) > 4
    for row in fresh.rows("images.csv"):
        assert row["status"] == "ok"
        assert float(row["seconds_cells"]) > 0
        labels, cells, cytoplasm, ring = (
            pixels(fresh.results / row[name]) for name in ("labels", "cells", "cytoplasm", "ring")
        )
        np.testing.assert_array_equal(cells, expand_labels(labels, 5))
        np.testing.assert_array_equal(cytoplasm, np.where(labels > 0, 0, cells))
        wide = expand_labels(labels, 3)
        np.testing.assert_array_equal(ring, np.where(expand_labels(labels, 1) > 0, 0, wide))
        assert cells.dtype == cytoplasm.dtype == ring.dtype == np.int32
        _, green = tifffile.imread(fresh.images / row["file"])
        ours = objects[objects["image"] == row["image"]]
        parts = (("", labels), ("cells_", cells), ("cytoplasm_", cytoplasm), ("ring_", ring))
        for prefix, image in parts:
            theirs = regionprops_table(image, green, properties=["area", "intensity_mean"])
            np.testing.assert_array_equal(ours[f"{prefix}area"], theirs["area"])
            np.testing.assert_allclose(
                ours[f"{prefix}intensity_mean_GFP"], theirs["intensity_mean"]
            )
        picture = pixels(fresh.results / row["overlay"])
        drawn = (picture == (1, 2, 3)).all(axis=2)
        assert drawn.sum() > 50
        assert (cells[drawn] > 0).all() and not labels[drawn].any()
        assert (picture == (255, 255, 0)).all(axis=2).sum() > 50


def test_cells_by_watershed_contain_their_nuclei(fresh: Project):
    write_stained(fresh.images)
    config = ["segment=DAPI", "cells={method: watershed}", "measure={objects: [cells]}"]
    fresh.snakemake(*config)
    (first, _) = fresh.rows("images.csv")
    labels, cells = (pixels(fresh.results / first[name]) for name in ("labels", "cells"))
    np.testing.assert_array_equal(cells[labels > 0], labels[labels > 0])
    assert np.count_nonzero(cells) > 1.3 * np.count_nonzero(labels)
    # Not kept, as `keep` does not name it.
    assert not (fresh.results / "cytoplasm").exists()
    columns = list(pd.read_csv(fresh.results / "objects.csv").columns)
    columns = columns[columns.index("label") :]
    assert columns[:3] == ["label", "on_border", "cells_area"]
    assert all(name.startswith("cells_") for name in columns[2:])


def test_only_what_concerns_cells_runs_again(project: Project):
    batches = len(project.batches())
    after = dict.fromkeys(AFTER, batches)
    before = project.tables()
    one = "cells={method: distance}"
    assert run_rules(project, one) == after | {"cells": batches}
    assert run_rules(project, "cells={ring: {width: 2}}") == {"cells": batches} | after
    # Of what is not there, nothing depends on it.
    for nothing in (
        "cells={distance: {max_distance: 3}}",
        "overlay={cells_color: red}",
        "measure={objects: [nuclei]}",
        "keep=[preprocessed, mask, markers, labels, ring, csv, overlay]",
    ):
        assert set(project.planned(nothing)) <= AFTERWARDS
        assert run_rules(project, nothing) == {}

    project.snakemake(one)
    assert run_rules(project, one) == {}
    nuclei_alone = [
        {name: value for name, value in row.items() if not name.startswith(("cells", "cytoplasm"))}
        for row in project.tables()["objects.csv"]
    ]
    assert nuclei_alone == before["objects.csv"]
    farther = "cells={method: distance, distance: {max_distance: 3}}"
    assert run_rules(project, farther) == after | {"cells": batches}
    assert run_rules(project, one, "overlay={cells_color: red}") == {"overlay": batches}
    assert run_rules(project, one, "measure={objects: [nuclei]}") == {"measure": batches}
    other = "cells={method: distance, watershed: {sigma: 3}, ring: {gap: 4}}"
    assert run_rules(project, other) == {}
    project.snakemake()
    assert project.tables() == before


def test_a_channel_that_does_not_show_cells_is_refused_image_by_image(fresh: Project):
    tifffile.imwrite(fresh.images / "one.tif", nuclei(1))
    output = fresh.snakemake("cells={method: watershed}", success=False).stdout
    assert "set cells.watershed.channel to the one that shows cells" in output
    assert "Traceback" not in output
    (row,) = fresh.rows("images.csv")
    assert (row["status"], row["stage"], row["cells"]) == ("failed", "cells", "")


@pytest.mark.parametrize(
    ("channels", "channel", "sentence"),
    [
        ("12", "7", "there is no channel 7, the image has 1, 2: change cells.watershed.channel"),
        (
            "123",
            "auto",
            "the files are of the channels 1, 2, 3: set cells.watershed.channel to the one that "
            "shows cells",
        ),
    ],
)
def test_a_channel_that_no_file_has_is_refused_before_anything_runs(
    fresh: Project, channels: str, channel: str, sentence: str
):
    for name in channels:
        tifffile.imwrite(fresh.images / f"Channel{name}-01-A-01.tif", nuclei(1))
    config = f"cells={{method: watershed, watershed: {{channel: {channel}}}}}"
    output = fresh.snakemake("--dry-run", "segment=1", config, success=False).stdout
    said = [line for line in output.splitlines() if line.startswith("nucleiflow: ")]
    assert said == [f"nucleiflow: images: in {fresh.images}, {sentence}"]


def test_real_cells_by_watershed(fresh: Project, data: Path):
    fresh.images = data / "cellprofiler-human"
    fresh.snakemake("segment=0", "cells={method: watershed, watershed: {channel: 2}}")
    objects = pd.read_csv(fresh.results / "objects.csv")
    # CellProfiler finds 289, with cells of a median of 381 pixels.
    assert 260 <= len(objects) <= 330
    assert 320 < objects["cells_area"].median() < 440
    assert (objects["cells_area"] == objects["area"] + objects["cytoplasm_area"]).all()
    brighter = objects["cytoplasm_intensity_mean_2"] > objects["intensity_mean_2"]
    assert brighter[objects["cytoplasm_area"] > 50].mean() > 0.5


# Labels made elsewhere


def write_labels(folder: Path, images: Path, name: str = "{}_cp_masks.png") -> dict[str, int]:
    """Labels as Cellpose leaves them, by the threshold 1000; how many nuclei each image has."""
    counts = {}
    for path in sorted(images.rglob("field_*.tif")):
        below = path.parent.relative_to(images)
        found = label(tifffile.imread(path) > 1000)
        (folder / below).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / below / name.format(path.stem)), found.astype(np.uint16))
        counts[f"{below}/{path.stem}"] = int(found.max())
    return counts


def test_labels_made_elsewhere_are_measured_and_only_they_are(finished: Project, tmp_path: Path):
    (tmp_path / "run").mkdir()
    project = Project(finished.clone, finished.images, tmp_path / "run")
    labels = tmp_path / "masks"
    counts = write_labels(labels, finished.images)
    config = f"labels={labels}"
    batches = len(finished.batches())
    expected = dict.fromkeys(("labels", "measure", "overlay"), batches)
    assert run_rules(project, config) == expected
    project.snakemake(config, "--cores", "2")
    assert project.planned(config) == {}
    rows = project.rows("images.csv")
    assert {f"{row['directory']}/{row['image']}": int(row["objects"]) for row in rows} == counts
    assert {(row["status"], row["height"], row["dtype"]) for row in rows} == {
        ("ok", "96", "uint16")
    }
    assert {"seconds_labels", "seconds_measure", "labels"} <= rows[0].keys()
    assert not {"mask", "preprocessed", "seconds_threshold"} & rows[0].keys()
    assert not (project.results / "threshold").exists()
    first = rows[0]
    image = tifffile.imread(finished.images / first["directory"] / first["file"])
    theirs = regionprops_table(label(image > 1000), image, properties=["area", "intensity_mean"])
    ours = pd.read_csv(project.results / first["csv"])
    np.testing.assert_array_equal(ours["area"], theirs["area"])
    np.testing.assert_allclose(ours["intensity_mean"], theirs["intensity_mean"], rtol=1e-12)
    assert (project.results / first["overlay"]).is_file()

    # A label image that changed, was removed, or moved with all others.
    one = labels / "plate2" / "field_03_cp_masks.png"
    cv2.imwrite(str(one), np.eye(96, dtype=np.uint16) * 35_000)
    assert run_rules(project, config) == dict.fromkeys(expected, 1)
    project.snakemake(config)
    changed = {f"{row['directory']}/{row['image']}": row for row in project.rows("images.csv")}
    assert changed["plate2/field_03"]["objects"] == "1"
    labels.rename(tmp_path / "moved")
    moved = f"labels={tmp_path / 'moved'}"
    assert run_rules(project, moved) == {}
    (tmp_path / "moved" / "plate2" / "field_03_cp_masks.png").unlink()
    assert run_rules(project, moved) == dict.fromkeys(expected, 1)
    output = project.snakemake(moved).stdout
    assert "1 image will fail: plate2/field_03: it has no label image" in output
    failed = [row for row in project.rows("images.csv") if row["status"] == "failed"]
    assert [(row["stage"], row["message"]) for row in failed] == [
        (
            "labels",
            f"it has no label image: put one into {tmp_path / 'moved' / 'plate2'}, called "
            "field_03.tif or field_03_cp_masks.png",
        )
    ]
    # Settings of stages that do not run change nothing, those of the crop do.
    assert run_rules(project, moved, "threshold={method: li}") == {}
    assert run_rules(project, moved, "watershed={method: opencv}") == {}
    crop = "preprocess={crop: {x: 0, y: 0, width: 50, height: 50}}"
    assert run_rules(project, moved, crop) == expected
    # And back again.
    planned = run_rules(project)
    assert planned["watershed"] == planned["threshold"] == batches and "labels" not in planned


def write_kinds(folder: Path) -> dict[str, tuple[np.ndarray, int | str]]:
    """Label images of every kind for images of 40 x 50 pixels; how many objects, or what is wrong.

    Objects are squares of 4 x 4 pixels.
    """
    squares = np.zeros((40, 50), np.int64)
    for number, (row, column) in enumerate(((4, 4), (4, 20), (20, 4), (30, 40)), 1):
        squares[row : row + 4, column : column + 4] = number
    gaps = np.array([0, 7, 70_000, 2**31 + 5, 3])[squares].astype(np.uint32)
    binary = ((squares > 0) * 255).astype(np.uint8)
    many = np.arange(1, 2001, dtype=np.uint32).reshape(40, 50)
    return {
        "uint8": (squares.astype(np.uint8), 4),
        "uint16": (squares.astype(np.uint16), 4),
        "gaps": (gaps, 4),
        "float": (squares.astype(np.float32), 4),
        "empty": (np.zeros((40, 50), np.uint16), 0),
        "full": (np.ones((40, 50), np.uint8), 1),
        "many": (many, 2000),
        "binary": (binary, 4),
        "nan": (np.where(squares == 2, np.nan, squares).astype(np.float32), "are not numbers"),
        "fractions": (squares.astype(np.float32) / 3, "it holds fractions such as 0.33"),
        "negative": (-squares.astype(np.int16), "it holds negative numbers such as -4"),
        "small": (squares[:, :30].astype(np.uint8), "30 x 40 pixels and the image 50 x 40"),
        "colours": (
            np.dstack([binary, binary // 2, binary // 3]),
            "the label image colours.tif holds colours, and labels are numbers: save it as 16 or "
            "32 bits of grey, 0 for background and a number for each nucleus",
        ),
    }


def test_label_images_of_every_kind(fresh: Project, tmp_path: Path):
    kinds = write_kinds(tmp_path)
    labels = tmp_path / "labels"
    labels.mkdir()
    for name, (image, _) in kinds.items():
        tifffile.imwrite(fresh.images / f"{name}.tif", np.full((40, 50), 9, np.uint16))
        tifffile.imwrite(labels / f"{name}.tif", image, compression="zlib")
    fresh.snakemake(f"labels={labels}", "max_failed=1")
    rows = {row["image"]: row for row in fresh.rows("images.csv")}
    for name, (_, expected) in kinds.items():
        if isinstance(expected, str):
            assert expected in rows[name]["message"]
            assert rows[name]["stage"] == "labels"
            continue
        assert (rows[name]["message"], int(rows[name]["objects"])) == ("", expected)
        made = pixels(fresh.results / rows[name]["labels"])
        assert made.dtype == np.int32
        assert set(np.unique(made)) | {0} == set(range(expected + 1))
    # In the order of their numbers, which were 3, 7, 70000 and more.
    made = pixels(fresh.results / rows["gaps"]["labels"])
    assert [made[5, 5], made[5, 21], made[21, 5], made[31, 41]] == [2, 3, 4, 1]
    areas = pd.read_csv(fresh.results / "objects.csv").groupby("image")["area"].sum()
    assert areas.to_dict() == {
        **{"uint8": 64, "uint16": 64, "gaps": 64, "float": 64, "binary": 64},
        **{"full": 2000, "many": 2000},
    }


def test_label_images_are_cut_and_shrunk_as_images_are(fresh: Project, tmp_path: Path):
    labels = np.zeros((40, 60), np.uint16)
    labels[10:20, 10:30], labels[24:30, 44:50], labels[0:4, 0:4] = 5, 9, 2
    (tmp_path / "labels").mkdir()
    shown = labels[8:32, 8:56]
    for name, image in (("whole", labels), ("cut", shown), ("done", shown[::2, ::2])):
        tifffile.imwrite(fresh.images / f"{name}.tif", np.ones((40, 60), np.uint8))
        tifffile.imwrite(tmp_path / "labels" / f"{name}_mask.tif", image)
    crop = "crop: {x: 8, y: 8, width: 48, height: 24}, resize: {factor: 0.5}"
    fresh.snakemake(f"labels={tmp_path / 'labels'}", f"preprocess={{{crop}}}")
    for row in fresh.rows("images.csv"):
        made = pixels(fresh.results / row["labels"])
        assert made.shape == (12, 24)
        assert np.bincount(made.ravel()).tolist() == [12 * 24 - 50 - 9, 50, 9]
        assert (row["height"], row["width"]) == ("40", "60")


def test_labels_beside_their_images_are_no_images(fresh: Project):
    for number in range(3):
        tifffile.imwrite(fresh.images / f"field_{number}.tif", nuclei(number))
    counts = write_labels(fresh.images, fresh.images)
    (fresh.images / "field_2_cp_masks.png").unlink()
    fresh.snakemake(f"labels={fresh.images}", "max_failed=0.5")
    rows = fresh.rows("images.csv")
    assert [row["image"] for row in rows] == ["field_0", "field_1", "field_2"]
    assert [int(row["objects"]) for row in rows[:2]] == list(counts.values())[:2]
    assert rows[2]["message"].startswith("it has no label image: put one into ")

    # Or in a directory below.
    (fresh.images / "masks").mkdir()
    for path in fresh.images.glob("*_cp_masks.png"):
        shutil.move(path, fresh.images / "masks")
    found = fresh.snakemake("--dry-run", f"labels={fresh.images}/masks").stdout
    assert "3 images in 1 directory" in found


def test_labels_called_like_the_files_of_a_field_belong_to_it(fresh: Project, tmp_path: Path):
    (tmp_path / "labels").mkdir()
    for well in ("A-01", "A-02"):
        for channel in (1, 2):
            tifffile.imwrite(fresh.images / f"Channel{channel}-01-{well}.tif", nuclei(channel))
    found = label(nuclei(2) > 1000)
    cv2.imwrite(str(tmp_path / "labels" / "Channel2-01-A-01_cp_masks.png"), found.astype(np.uint16))
    tifffile.imwrite(tmp_path / "labels" / "A02.tif", found.astype(np.int32))
    fresh.snakemake(f"labels={tmp_path / 'labels'}", "segment=2")
    rows = fresh.rows("images.csv")
    assert [(row["image"], int(row["objects"])) for row in rows] == [
        ("A01", found.max()),
        ("A02", found.max()),
    ]


def test_each_time_of_a_file_has_labels_of_its_own(fresh: Project, tmp_path: Path):
    (tmp_path / "labels").mkdir()
    movie = np.stack([nuclei(1), nuclei(2)])
    tifffile.imwrite(fresh.images / "movie.ome.tif", movie, metadata={"axes": "TYX"})
    for time in (0, 1):
        found = label(movie[time] > 1000).astype(np.int32)
        tifffile.imwrite(tmp_path / "labels" / f"movie_t{time}_labels.tif", found)
    # One for all times cannot be right.
    tifffile.imwrite(tmp_path / "labels" / "movie.tif", found)
    (tmp_path / "labels" / "movie_t1_labels.tif").unlink()
    fresh.snakemake(f"labels={tmp_path / 'labels'}", "max_failed=0.5")
    rows = fresh.rows("images.csv")
    assert [row["image"] for row in rows] == ["movie_t0", "movie_t1"]
    assert int(rows[0]["objects"]) == label(movie[0] > 1000).max()
    assert rows[1]["message"].startswith("it has no label image")


def test_cells_grow_from_labels_made_elsewhere(fresh: Project, tmp_path: Path):
    write_stained(fresh.images, 1)
    (tmp_path / "labels").mkdir()
    found = label(two_channels(0)[0] > 1000)
    tifffile.imwrite(tmp_path / "labels" / "field_0.tif", found.astype(np.uint16))
    config = [f"labels={tmp_path / 'labels'}", "segment=DAPI", RING]
    jobs = {"labels": 1, "cells": 1, "measure": 1, "overlay": 1}
    assert run_rules(fresh, *config) == jobs
    fresh.snakemake(*config)
    (row,) = fresh.rows("images.csv")
    np.testing.assert_array_equal(pixels(fresh.results / row["cells"]), expand_labels(found, 5))


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ("nowhere", "config: labels is {run}/nowhere, where there is no directory, check the path"),
        (
            "others",
            "config: labels: no file in {run}/others is called like an image, such as one.tif or "
            "one_cp_masks.png, check names and directories",
        ),
    ],
)
def test_labels_that_are_not_there_are_refused_before_anything_runs(fresh, labels, sentence):
    tifffile.imwrite(fresh.images / "one.tif", nuclei(1))
    (fresh.run / "others").mkdir()
    tifffile.imwrite(fresh.run / "others" / "two_cp_masks.tif", nuclei(1))
    for dry in ((), ("--dry-run",)):
        output = fresh.snakemake(*dry, f"labels={labels}", success=False).stdout
        said = [line for line in output.splitlines() if line.startswith("nucleiflow: ")]
        assert said == [f"nucleiflow: {sentence.format(run=fresh.run)}"]
        assert "Traceback" not in output
    assert not fresh.results.exists()


def test_a_job_with_labels_looks_at_its_own_batch_alone(finished: Project, tmp_path: Path):
    """As on a node of a cluster, here with a dataset that is not there at all."""
    other = finished.copy(tmp_path)
    write_labels(tmp_path / "masks", other.images, "{}.tif")
    shutil.rmtree(other.results)
    config = f"labels={tmp_path / 'masks'}"
    other.snakemake(config)
    other.images.rename(other.images.with_name("away"))
    batch = other.batches()[0]
    made = other.results / "watershed" / batch
    shutil.rmtree(made)
    job = ["--mode", "subprocess", "--target-jobs", f"labels:batch={batch}"]
    job += ["--allowed-rules", "labels", "--force", "--nolock", "--quiet", "all"]
    output = other.snakemake(*job, config).stdout
    assert (made / "batch.json").exists(), output
