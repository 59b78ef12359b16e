"""What run.json counts."""

import pandas as pd
import pytest

from run_record import counts


@pytest.fixture
def tables(tmp_path):
    """Writes images.csv of so many columns and objects.parquet of so many rows."""

    def write(images: dict, objects: int):
        paths = tmp_path / "images.csv", tmp_path / "objects.parquet"
        pd.DataFrame(images).to_csv(paths[0], index=False)
        pd.DataFrame({"label": range(objects)}).to_parquet(paths[1])
        return paths

    return write


def test_images_failed_and_flagged_ones_and_objects_are_counted(tables):
    images = {
        "image": ["a", "b", "c", "d"],
        "status": ["ok", "failed", "ok", "ok"],
        "flags": ["", "", "empty", "out_of_focus saturated"],
        # Those of flagged images need not be in the table of objects.
        "objects": [7, 0, 0, 5],
    }
    assert counts(*tables(images, 7)) == {"images": 4, "failed": 1, "flagged": 2, "objects": 7}


def test_without_quality_control_no_image_is_flagged(tables):
    images = {"image": ["a", "b"], "status": ["failed", "failed"], "objects": [0, 0]}
    assert counts(*tables(images, 0)) == {"images": 2, "failed": 2, "flagged": 0, "objects": 0}


def test_dataset_without_images_has_none(tables):
    assert set(counts(*tables({"image": [], "status": [], "flags": []}, 0)).values()) == {0}
