"""Tables under CellProfiler's names, for pycytominer and beside CellProfiler's own."""

import numpy as np
import pandas as pd
import pytest
from project import Project
from scipy.spatial import cKDTree

from simulate import write_plates

pytestmark = pytest.mark.long

PLATES = "metadata={pattern: '(?P<plate>[^/]+)/(?P<well>[A-H][0-9]+)_f(?P<site>[0-9]+)'}"


@pytest.fixture(scope="module")
def plates(tmp_path_factory) -> Project:
    """Two plates of six wells, measured under scikit-image's names."""
    from project import ROOT

    folder = tmp_path_factory.mktemp("plates")
    write_plates(folder, images=6, size=200)
    (folder / "run").mkdir()
    project = Project(ROOT, folder / "images", folder / "run")
    project.snakemake(*CONFIG)
    return project


CONFIG = (
    PLATES,
    "pixel_size_um=0.5",
    "cells={method: distance}",
    "measure={ratios: {nuclear: intensity_mean / cytoplasm_intensity_mean}}",
)
STRATA = ["Metadata_Plate", "Metadata_Well"]


def test_naming_runs_the_tables_alone_and_pycytominer_takes_them(plates: Project):
    before = pd.read_parquet(plates.results / "objects.parquet")
    assert plates.stages_planned(*CONFIG, "naming=cellprofiler") == {}
    plates.snakemake(*CONFIG, "naming=cellprofiler")
    table = pd.read_parquet(plates.results / "objects.parquet")
    assert len(table) == len(before) > 50
    for name, theirs in (
        ("well", "Metadata_Well"),
        ("label", "Metadata_ObjectNumber"),
        ("area", "Nuclei_AreaShape_Area"),
        ("area_um2", "Nuclei_AreaShape_Area_um2"),
        ("cytoplasm_intensity_mean", "Cytoplasm_Intensity_MeanIntensity"),
        ("ratio_nuclear", "Nuclei_Ratio_nuclear"),
    ):
        np.testing.assert_array_equal(before[name], table[theirs])
    np.testing.assert_array_equal(before["area_um2"], before["area"] / 4)
    ratio = before["intensity_mean"] / before["cytoplasm_intensity_mean"]
    np.testing.assert_allclose(before["ratio_nuclear"], ratio)

    pycytominer = pytest.importorskip("pycytominer", reason="needs requirements-dev.txt")
    csv = pd.read_csv(plates.results / "objects.csv")
    profiles = pycytominer.aggregate(csv, strata=STRATA)
    assert len(profiles) == 12
    assert set(profiles[STRATA].itertuples(index=False, name=None)) == {
        (f"plate{plate}", f"A{well:02}") for plate in (1, 2) for well in range(1, 7)
    }
    of_well = csv[(csv["Metadata_Plate"] == "plate2") & (csv["Metadata_Well"] == "A03")]
    row = profiles.set_index(STRATA).loc["plate2", "A03"]
    for name in ("Nuclei_AreaShape_Area", "Cells_Intensity_MeanIntensity"):
        assert row[name] == of_well[name].median()
    normal = pycytominer.normalize(profiles, method="standardize")
    features = [name for name in normal if not name.startswith("Metadata_")]
    assert "Nuclei_AreaShape_Solidity" in features and "Cytoplasm_AreaShape_Area" in features
    np.testing.assert_allclose(normal["Nuclei_AreaShape_Area"].mean(), 0, atol=1e-9)
    np.testing.assert_allclose(normal["Nuclei_AreaShape_Area"].std(ddof=0), 1)
    operations = ["variance_threshold", "correlation_threshold", "drop_na_columns", "blocklist"]
    chosen = pycytominer.feature_select(normal, operation=operations)
    kept = [name for name in chosen if not name.startswith("Metadata_")]
    assert 5 <= len(kept) < len(features)
    assert {*STRATA} <= set(chosen)


def test_columns_are_explained_in_the_results(plates: Project):
    plates.snakemake(*CONFIG)
    ours = {row["column"]: row for row in plates.rows("columns.csv") if row["table"] == "objects"}
    assert list(ours) == pd.read_parquet(plates.results / "objects.parquet").columns.tolist()
    assert ours["area"] == {
        **{"table": "objects", "column": "area", "unit": "square pixels", "meaning": "size"},
        "also_called": "Nuclei_AreaShape_Area",
    }
    assert ours["ratio_nuclear"]["meaning"] == "intensity_mean / cytoplasm_intensity_mean"
    images = [row["column"] for row in plates.rows("columns.csv") if row["table"] == "images"]
    assert images == list(plates.rows("images.csv")[0])
    for row in plates.rows("columns.csv"):
        assert row["meaning"], row


# The threshold that CellProfiler's pipeline found, 0.0986, in the units of the image; it drops
# nuclei at the border, and draws no outline anew.
THEIRS = (
    "channels=[DNA, PH3, cell]",
    "segment=DNA",
    "naming=cellprofiler",
    "threshold={method: manual, manual: {value: 25}}",
    "watershed={drop_border: true, refine: {level: null}}",
    "cells={method: watershed, watershed: {channel: cell}}",
)
# CellProfiler measured two of the channels.
SAME = (
    "AreaShape_Area",
    *(
        f"Intensity_{name}_{channel}"
        for name in ("MeanIntensity", "IntegratedIntensity")
        for channel in ("DNA", "PH3")
    ),
)
SIMILAR = ("AreaShape_MajorAxisLength", "AreaShape_Perimeter", "AreaShape_EquivalentDiameter")


def test_nuclei_of_cellprofilers_example_are_found_and_measured_as_there(fresh: Project, data):
    fresh.images = data / "cellprofiler-human"
    fresh.snakemake(*THEIRS)
    ours = pd.read_csv(fresh.results / "objects.csv")
    theirs = pd.read_csv(data / "cellprofiler-human" / "Nuclei.csv")
    assert len(theirs) == 289
    assert len(ours) == 291
    where = [
        table[[f"{prefix}AreaShape_Center_{axis}" for axis in "YX"]].to_numpy()
        for table, prefix in ((ours, "Nuclei_"), (theirs, ""))
    ]
    # Pairs of which each is the nearest to the other, less than 5 pixels apart.
    distance, nearest = cKDTree(where[0]).query(where[1])
    back = cKDTree(where[1]).query(where[0])[1]
    pairs = (distance < 5) & (back[nearest] == np.arange(len(theirs)))
    assert pairs.sum() >= 280
    matched = ours.iloc[nearest[pairs]].reset_index(drop=True)
    theirs = theirs[pairs].reset_index(drop=True)
    for names, least in ((SAME, 0.95), (SIMILAR, 0.9)):
        for name in names:
            assert np.corrcoef(matched[f"Nuclei_{name}"], theirs[name])[0, 1] > least, name
    for name in ("Cells_Intensity_MeanIntensity_DNA", "Cytoplasm_Intensity_MeanIntensity_cell"):
        assert name in ours


def test_default_config_counts_as_cellprofiler_does(fresh: Project, data):
    fresh.images = data / "cellprofiler-human"
    fresh.snakemake("segment=0", "watershed={drop_border: true}")
    assert abs(len(fresh.rows("objects.csv")) - 289) <= 28
