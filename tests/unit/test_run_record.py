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


def test_images_failed_flagged_and_excluded_ones_and_objects_are_counted(tables):
    images = {
        "image": ["a", "b", "c", "d"],
        "status": ["ok", "failed", "ok", "ok"],
        "flags": ["", "", "empty", "out_of_focus saturated"],
        "excluded": ["false", "false", "false", "true"],
        # Those of excluded images are not in the table of objects.
        "objects": [7, 0, 0, 5],
    }
    found = counts(*tables(images, 7))
    assert found == {"images": 4, "failed": 1, "flagged": 2, "excluded": 1, "objects": 7}


def test_dataset_without_images_has_none(tables):
    nothing = {key: [] for key in ("image", "status", "flags", "excluded")}
    assert set(counts(*tables(nothing, 0)).values()) == {0}
