"""Columns of families: their names, CellProfiler's for them, and the config that asks for them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nucleiflow import columns as known
from nucleiflow import settings
from nucleiflow.families import COLOCALIZATION, FAMILIES, chosen, columns, named

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"


@pytest.fixture
def families(schema):
    """All families with the options of a config, the default's where it says none."""

    def given(**options):
        config = {"measure": {"families": list(FAMILIES), **options}}
        return chosen(settings.load(config, schema)["measure"])

    return given


def test_config_takes_all_families_and_metrics_in_any_order(schema):
    keys = schema["properties"]["measure"]["properties"]
    assert keys["families"]["items"]["enum"] == list(FAMILIES)
    metrics = keys["colocalization"]["properties"]["metrics"]
    assert metrics["items"]["enum"] == metrics["default"] == list(COLOCALIZATION)
    config = settings.load({"measure": {"families": ["zernike", "granularity"]}}, schema)
    assert list(chosen(config["measure"])) == ["zernike", "granularity"]
    assert chosen(settings.load({}, schema)["measure"]) == {}


@pytest.mark.parametrize(
    ("family", "count", "names"),
    [
        ("texture", 13 * 4, {"texture_contrast_3_00_256": "Texture_Contrast_{channel}_3_00_256"}),
        ("granularity", 16, {"granularity_16": "Granularity_16_{channel}"}),
        (
            "radial_distribution",
            3 * 4,
            {"radial_distribution_frac_at_d_1of4": "RadialDistribution_FracAtD_{channel}_1of4"},
        ),
        (
            "radial_zernikes",
            2 * 30,
            {"radial_zernikes_phase_9_7": "RadialDistribution_ZernikePhase_{channel}_9_7"},
        ),
        ("zernike", 30, {"zernike_0_0": "AreaShape_Zernike_0_0"}),
        (
            "colocalization",
            6,
            {
                "colocalization_correlation": "Correlation_Correlation_{channel}",
                "colocalization_k": "Correlation_K_{channel}",
                "colocalization_rwc": "Correlation_RWC_{channel}",
            },
        ),
    ],
)
def test_columns_of_a_family_have_names_meanings_and_cellprofilers_names(
    families, family, count, names
):
    found = columns(family, families()[family])
    assert len(found) == len({column.name for column in found}) == count
    theirs = {column.name: column.cellprofiler for column in found}
    assert {name: theirs[name] for name in names} == names
    for column in found:
        assert re.fullmatch(family + r"(_[a-z0-9]+)+", column.name)
        assert column.meaning and not column.meaning.endswith(".")
        assert ("{channel}" in column.cellprofiler) == (column.per != "object")


def test_options_show_in_the_columns(families):
    given = families(
        texture={"scale": [5, 1], "gray_levels": 8},
        granularity={"spectrum_length": 2},
        radial_distribution={"bins": 1, "maximum_radius": 7},
        zernike={"degree": 2},
        radial_zernikes={"degree": 1},
        colocalization={"metrics": ["costes", "correlation"]},
    )
    names = {family: [c.name for c in columns(family, given[family])] for family in given}
    assert len(names["texture"]) == 2 * 52
    assert names["texture"][0] == "texture_angular_second_moment_5_00_8"
    assert names["texture"][-1] == "texture_info_meas2_1_03_8"
    assert names["granularity"] == ["granularity_1", "granularity_2"]
    assert names["radial_distribution"] == [
        f"radial_distribution_{feature}_{place}"
        for place in ("1of1", "overflow")
        for feature in ("frac_at_d", "mean_frac", "radial_cv")
    ]
    assert names["zernike"] == ["zernike_0_0", "zernike_1_1", "zernike_2_0", "zernike_2_2"]
    assert names["radial_zernikes"] == [
        f"radial_zernikes_{part}_{place}"
        for place in ("0_0", "1_1")
        for part in ("magnitude", "phase")
    ]
    assert names["colocalization"] == ["colocalization_costes", "colocalization_correlation"]
    theirs = named(given, ["DNA"])
    overflow = "RadialDistribution_RadialCV_DNA_Overflow"
    assert theirs["radial_distribution_radial_cv_overflow_DNA"] == overflow


def test_columns_of_channels_are_each_one_of_cellprofiler(families):
    found = named(families(), ["DAPI", "GFP", "Cy5"])
    assert len(found) == 3 * (52 + 16 + 12 + 60) + 30 + 3 * (2 + 2 * 4)
    assert len(set(found.values())) == len(found)
    assert found["texture_contrast_3_00_256_DAPI"] == "Texture_Contrast_DAPI_3_00_256"
    assert found["granularity_1_DAPI"] == "Granularity_1_DAPI"
    assert found["zernike_0_0"] == "AreaShape_Zernike_0_0"
    pairs = {name: theirs for name, theirs in found.items() if name.startswith("colocalization_k")}
    assert pairs == {
        f"colocalization_k_{pair}": f"Correlation_K_{pair}"
        for pair in ("DAPI_GFP", "GFP_DAPI", "DAPI_Cy5", "Cy5_DAPI", "GFP_Cy5", "Cy5_GFP")
    }
    once = [name for name in found if name.startswith("colocalization_overlap")]
    assert once == [
        f"colocalization_overlap_{pair}" for pair in ("DAPI_GFP", "DAPI_Cy5", "GFP_Cy5")
    ]


@pytest.mark.parametrize("of", ["", "cytoplasm_"])
def test_columns_are_found_by_name_in_the_tables(families, of):
    others = [
        known.Column(*each[:4]) for name in FAMILIES for each in columns(name, families()[name])
    ]
    for name, theirs in named(families(), ["DAPI", "1"]).items():
        found = known.find(of + name, others)
        spelt = (of or "nuclei_").capitalize() + theirs
        assert known.cellprofiler(found, of + name) == (spelt, 1.0)


def test_columns_stand_by_family_then_by_measurement_then_by_channel(families):
    order = [family for name in named(families(), ["A", "B"]) for family in _of(name)]
    assert list(dict.fromkeys(order)) == list(FAMILIES)
    assert order == sorted(order, key=list(FAMILIES).index)
    assert list(named({"granularity": families()["granularity"]}, ["A", "B"]))[:3] == [
        *("granularity_1_A", "granularity_1_B", "granularity_2_A"),
    ]


def _of(name):
    return [family for family in FAMILIES if name.startswith(f"{family}_")]


def test_one_channel_has_no_pairs_and_needs_no_name(families):
    given = {family: families()[family] for family in ("granularity", "colocalization")}
    assert next(iter(named(given, [""]))) == "granularity_1"
    assert len(named(given, [""])) == len(named(given, ["DAPI"])) == 16
    assert named(given, []) == {}


def test_columns_are_known_without_any_library():
    code = (
        "import sys, nucleiflow.families; "
        "print([name for name in ('numpy', 'cp_measure', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"families": ["textures"]}, r"measure.families\[0\] is .*did you mean texture\?"),
        ({"families": ["texture", "texture"]}, "measure.families .* names something twice"),
        ({"texture": {"scale": []}}, "measure.texture.scale is .*, not empty"),
        ({"texture": {"scale": [0]}}, r"measure.texture.scale\[0\] is 0, must be .* from 1"),
        ({"texture": {"gray_levels": 257}}, "measure.texture.gray_levels is 257, .* to 256"),
        ({"granularity": {"subsample": 2}}, "measure.granularity.subsample is 2, .* to 1"),
        ({"radial_distribution": {"bins": 0}}, "measure.radial_distribution.bins is 0"),
        ({"zernike": {"degrees": 4}}, r"measure.zernike.degrees, did you mean degree\?"),
        ({"colocalization": {"metrics": []}}, "colocalization.metrics is .*, not empty"),
        ({"colocalization": {"threshold": 100}}, "threshold is 100, must be .* below 100"),
        ({"max_intensity": 0}, "max_intensity is 0, must be a number above 0 or null"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(schema, options, sentence):
    with pytest.raises(settings.ConfigError, match=sentence):
        settings.load({"measure": options}, schema)
