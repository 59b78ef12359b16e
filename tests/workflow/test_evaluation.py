"""`snakemake evaluate` on images whose masks are known."""

import re
import shutil

import cv2
import numpy as np
import pytest
import tifffile
from project import RECORD, ROOT, Project

pytestmark = pytest.mark.long

RULES = {"evaluate_batch": 1, "evaluate_tables": 1, "evaluate": 1}


def field() -> tuple[np.ndarray, np.ndarray]:
    """An image of five discs on black, far from each other, and their labels."""
    y, x = np.mgrid[:96, :128]
    labels = np.zeros((96, 128), np.int32)
    for number, (row, column) in enumerate([(20, 20), (20, 64), (20, 108), (70, 40), (70, 90)], 1):
        labels[(y - row) ** 2 + (x - column) ** 2 <= 12**2] = number
    return np.where(labels, 3000, 100).astype(np.uint16), labels


def masks(project: Project, text: str = "") -> str:
    """The config that names the masks."""
    return f"evaluate={{masks: {project.images.parent / 'masks'}{text}}}"


def evaluate(project: Project, *arguments: str, success: bool = True) -> str:
    """What a run prints."""
    # The key before --config would take the target for a setting.
    config = [text for text in arguments if re.match(r"[a-z_]+=", text)]
    others = [text for text in arguments if text not in config]
    return project.snakemake("evaluate", *others, *config, success=success).stdout


@pytest.fixture
def drawn(fresh: Project) -> Project:
    """Five images in two directories; of d1 all have masks, of d2 none."""
    image, labels = field()
    for name in ("d1/equal", "d1/lacks", "d1/more", "d1/none", "d2/other"):
        path = fresh.images / f"{name}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, image)
    folder = fresh.images.parent / "masks" / "d1"
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "equal.tif", labels)
    # An object more in the mask is missed, one less is false.
    cv2.imwrite(str(folder / "more.png"), np.where(labels == 5, 0, labels).astype(np.uint8))
    more = labels.copy()
    more[40:50, 60:70] = 6
    tifffile.imwrite(folder / "lacks_mask.tif", more.astype(np.uint16))
    return fresh


ALONE = ("batch_size=10", "preprocess={denoise: {method: none}}", "threshold={method: otsu}")


def test_numbers_of_a_whole_evaluation(drawn: Project):
    output = evaluate(drawn, masks(drawn), *ALONE)
    assert "3 images compared with their masks, 2 without a mask, 0 failed" in output
    assert "15 true nuclei, 15 found" in output
    rows = {row["image"]: row for row in drawn.rows("evaluate/images.csv")}
    shown = ("status", "mask", "mask_kind", "truth", "found", "count_error", "missed", "false")
    assert [[rows[name][key] for key in shown] for name in sorted(rows)] == [
        ["ok", "d1/equal.tif", "labels", "5", "5", "0", "0", "0"],
        ["ok", "d1/lacks_mask.tif", "labels", "6", "5", "-1", "1", "0"],
        ["ok", "d1/more.png", "labels", "4", "5", "1", "0", "1"],
        ["no mask", *[""] * 7],
    ]
    scores = ("f1_0.50", "precision_0.50", "recall_0.95", "ap_0.95", "mean_f1", "boundary_offset")
    for name, expected in {
        "equal": [1, 1, 1, 1, 1, 0],
        "lacks": [10 / 11, 1, 5 / 6, 5 / 6, 10 / 11, 0],
        "more": [8 / 9, 0.8, 1, 0.8, 8 / 9, 0],
    }.items():
        assert [float(rows[name][key]) for key in scores] == pytest.approx(expected)

    overall = drawn.rows("evaluate/overall.csv")
    assert [float(row["iou_above"]) for row in overall] == pytest.approx(np.arange(0.5, 1, 0.05))
    for row in overall:
        assert [row[key] for key in ("images", "tp", "fp", "fn")] == ["3", "14", "1", "1"]
        assert float(row["f1_pooled"]) == pytest.approx(28 / 30)
        assert float(row["ap_pooled"]) == pytest.approx(14 / 16)
        assert float(row["f1_mean_of_images"]) == pytest.approx((1 + 10 / 11 + 8 / 9) / 3)
        assert float(row["ap_mean_of_images"]) == pytest.approx((1 + 5 / 6 + 4 / 5) / 3)

    objects = drawn.rows("evaluate/objects.csv")
    assert len(objects) == 30
    wrong = [row for row in objects if row["kind"] != "matched"]
    told = ("image", "of", "label", "kind", "area", "centroid-0")
    assert [[row[key] for key in told] for row in wrong] == [
        ["lacks", "truth", "6", "missed", "100", "44.5"],
        ["more", "found", "5", "false", "441", "70"],
    ]
    folder = drawn.results / "evaluate"
    pictures = sorted(path.name for path in (folder / "worst").glob("*.jpg"))
    assert pictures == ["01_d1_more.jpg", "02_d1_lacks.jpg", "03_d1_equal.jpg"]
    for name in ("scores", "counts", "offsets"):
        assert "</svg>" in (folder / f"{name}.svg").read_text()
    # Batches without masks are not even segmented.
    assert len(list((drawn.results / "watershed").iterdir())) == 1

    drawn.snakemake("--report", str(drawn.run / "report.html"), "evaluate", masks(drawn), *ALONE)
    page = (drawn.run / "report.html").read_text()
    assert "01_d1_more.jpg" in page
    assert "Worst images" in page


def planned(project: Project, *arguments: str) -> dict[str, int]:
    """Jobs of `evaluate` that a dry run would start, by rule."""
    output = evaluate(project, "--dry-run", *arguments)
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total ", output, re.M | re.S)
    lines = table.group(1).split("\n")[:-1] if table else []
    return {line.split()[0]: int(line.split()[1]) for line in lines}


def test_only_what_changed_is_evaluated_again(drawn: Project):
    evaluate(drawn, masks(drawn), *ALONE)
    assert planned(drawn, masks(drawn), *ALONE) == {}
    assert planned(drawn, masks(drawn), *ALONE, "overlay={color: red}") == {}
    path = drawn.images.parent / "masks" / "d1" / "equal.tif"
    tifffile.imwrite(path, field()[1] > 3)
    assert planned(drawn, masks(drawn), *ALONE) == RULES
    evaluate(drawn, masks(drawn), *ALONE)
    (row,) = (row for row in drawn.rows("evaluate/images.csv") if row["image"] == "equal")
    assert [row[key] for key in ("mask_kind", "truth", "false")] == ["binary", "2", "3"]
    assert planned(drawn, masks(drawn), *ALONE) == {}
    # A mask of another batch concerns that batch and the tables.
    other = drawn.images.parent / "masks" / "d2"
    other.mkdir()
    shutil.copy(path, other / "other.tif")
    stages = dict.fromkeys(("preprocess", "threshold", "markers", "watershed"), 1)
    assert planned(drawn, masks(drawn), *ALONE) == stages | RULES
    assert planned(drawn, masks(drawn, ", thresholds: [0.6]"), *ALONE)["evaluate_batch"] == 2
    watershed = "watershed={min_area: 30}"
    assert planned(drawn, masks(drawn), *ALONE, watershed) == stages | RULES | {
        "watershed": 2,
        "evaluate_batch": 2,
    }


def test_a_finished_run_is_shared(drawn: Project):
    drawn.snakemake(*ALONE)
    assert planned(drawn, masks(drawn), *ALONE) == RULES
    evaluate(drawn, masks(drawn), *ALONE)
    # The masks are no business of the tables.
    assert drawn.planned(*ALONE, masks(drawn)) == RECORD


def test_a_job_reads_its_own_batch_alone(drawn: Project):
    """As on a node of a cluster, here with images that are not there any more."""
    evaluate(drawn, masks(drawn), *ALONE)
    drawn.images.rename(drawn.images.with_name("away"))
    (folder,) = (drawn.results / "evaluate" / "batches").iterdir()
    shutil.rmtree(folder)
    job = ["--mode", "subprocess", "--target-jobs", f"evaluate_batch:batch={folder.name}"]
    job += ["--allowed-rules", "evaluate_batch", "--force", "--nolock", "--quiet", "all"]
    drawn.snakemake(*job, masks(drawn), *ALONE)
    pictures = sorted(path.name for path in folder.glob("*.jpg"))
    assert pictures == ["equal.jpg", "lacks.jpg", "more.jpg"]
    log = drawn.results / "logs" / "evaluate" / f"{folder.name}.log"
    assert "outlines are drawn on black" in log.read_text()


def test_masks_that_cannot_be_used_cost_their_image(drawn: Project):
    folder = drawn.images.parent / "masks" / "d1"
    tifffile.imwrite(folder / "none.tif", np.zeros((50, 60), np.uint8))
    tifffile.imwrite(folder / "equal.tif", field()[1] / np.float32(2))
    output = evaluate(drawn, masks(drawn), *ALONE, success=False)
    assert "Traceback" not in re.sub(r"(?s)Logfile.*?={10,}.*?={10,}", "", output)
    assert (
        "2 of 4 images could not be compared, more than max_failed (0.05) allows: see "
        "results/evaluate/images.csv; the first: d1/equal: the mask equal.tif cannot be used: it "
        "holds fractions such as 0.5"
    ) in output
    rows = {row["image"]: row for row in drawn.rows("evaluate/images.csv")}
    assert [rows[name]["status"] for name in sorted(rows)] == ["failed", "ok", "ok", "failed"]
    assert rows["none"]["message"] == (
        "the mask none.tif cannot be used: it has 60 x 50 pixels and the image 128 x 96: draw it "
        "on the image itself"
    )
    output = evaluate(drawn, masks(drawn), *ALONE, "max_failed=0.5")
    assert "2 images compared with their masks, 1 without a mask, 2 failed" in output


def test_masks_of_the_whole_image_are_cut_as_the_image_is(drawn: Project):
    cut = "preprocess={denoise: {method: none}, crop: {x: 0, y: 0, width: 128, height: 48}}"
    evaluate(drawn, masks(drawn), "batch_size=10", cut, "threshold={method: otsu}")
    rows = {row["image"]: row for row in drawn.rows("evaluate/images.csv")}
    assert [rows["equal"][key] for key in ("truth", "found", "f1_0.95")] == ["3", "3", "1.0"]
    assert [rows["lacks"][key] for key in ("truth", "found", "missed")] == ["4", "3", "1"]


def test_the_background_object_of_the_workshop_is_no_nucleus(drawn: Project):
    preset = str(ROOT / "config" / "presets" / "workshop.yaml")
    evaluate(drawn, "--configfile", preset, masks(drawn), "batch_size=10", "segment=auto")
    rows = {row["image"]: row for row in drawn.rows("evaluate/images.csv")}
    assert [rows["equal"][key] for key in ("truth", "found", "f1_0.50")] == ["5", "5", "1.0"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("evaluate={worst: 3}", "config: evaluate.masks is not set, name the directory of the mas"),
        ("evaluate={masks: nowhere}", "/nowhere, where there is no directory, check the path"),
        ("evaluate={masks: empty}", "is called like an image, such as d1/equal.png or d1/equal."),
        ("evaluate={thresholds: [1.5]}", "must be a number from 0 and below 1"),
        ("evaluate={mask: x}", "unknown key evaluate.mask, did you mean masks?"),
    ],
)
def test_refusals(drawn: Project, config: str, message: str):
    (drawn.run / "empty").mkdir()
    output = evaluate(drawn, config, success=False)
    assert message in output
    assert "Traceback" not in output


def test_evaluation_is_no_part_of_a_run(drawn: Project):
    assert not {"evaluate_batch", "evaluate_tables", "evaluate"} & set(drawn.planned(masks(drawn)))
