"""Families of measurements: the library's values, CellProfiler's own, and those drawn by hand."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import tifffile
from cp_measure.core import (
    measurecolocalization,
    measuregranularity,
    measureobjectintensitydistribution,
    measureobjectsizeshape,
    measuretexture,
)
from scipy.ndimage import binary_fill_holes, gaussian_filter, label
from skimage.measure import regionprops_table
from threadpoolctl import threadpool_limits

from nucleiflow import settings
from nucleiflow.cellprofiler import columns_of
from nucleiflow.families import FAMILIES, chosen, named
from nucleiflow.images import ImageError
from nucleiflow.labels import numbered

# A warning on a user's terminal is a fault.
pytestmark = pytest.mark.filterwarnings("error")

RNG = np.random.default_rng(11)


@pytest.fixture
def families(schema):
    """Some families, with options or those of the default config."""

    def given(*names, **options):
        config = {"measure": {"families": list(names or FAMILIES), **options}}
        return chosen(settings.load(config, schema)["measure"])

    return given


def drawn():
    """Two objects that touch, one at a corner, an odd one, a line, a pair and a single pixel."""
    labels = np.zeros((90, 80), np.int32)
    labels[10:30, 8:26], labels[12:34, 26:40] = 1, 2
    labels[70:, 55:] = 3
    labels[45:62, 5:30] = np.tri(17, 25, 4, np.int32) * 4
    labels[40, 50:70] = 5
    labels[48:50, 60] = 6
    labels[55, 45] = 7
    return labels


def textured():
    """Two channels of 16 bits that are alike in part."""
    first = gaussian_filter(RNG.random((90, 80)), 1.5)
    first = (first - first.min()) / np.ptp(first)
    second = 0.6 * first + 0.4 * RNG.random((90, 80))
    return [(image * 60_000 + 500).astype(np.uint16) for image in (first, second)]


def library(labels, images, families, steps):
    """Everything from the library, by CellProfiler's names with channels A and B."""
    found = {}
    for number, image in enumerate(images):
        results = {}
        for scale in families["texture"]["scale"]:
            levels = families["texture"]["gray_levels"]
            part = measuretexture.get_texture(labels, image, scale, levels)
            results |= {f"Texture_{name}": values for name, values in part.items()}
        options = families["granularity"]
        results |= measuregranularity.get_granularity(
            labels,
            image,
            subsample_size=options["subsample"],
            image_sample_size=options["background_subsample"],
            element_size=options["background_radius"],
            granular_spectrum_length=options["spectrum_length"],
        )
        bins, radius = families["radial_distribution"].values()
        way = {"scaled": True} if radius is None else {"scaled": False, "maximum_radius": radius}
        module = measureobjectintensitydistribution
        results |= module.get_radial_distribution(labels, image, bin_count=bins, **way)
        degree = families["radial_zernikes"]["degree"]
        results |= module.get_radial_zernikes(labels, image, zernike_degree=degree)
        for name, values in results.items():
            # The channel comes third.
            parts = name.split("_")
            found["_".join([*parts[:2], "AB"[number], *parts[2:]])] = values
    shape = measureobjectsizeshape.get_zernike(labels, None, families["zernike"]["degree"])
    found |= {f"AreaShape_{name}": values for name, values in shape.items()}
    module, options = measurecolocalization, families["colocalization"]
    pair, threshold = (*images, labels), options["threshold"]
    found["Correlation_Correlation_A_B"] = module.get_correlation_pearson(*pair)[
        "Correlation_Pearson"
    ]
    results = module.get_correlation_manders_fold(*pair, thr=threshold)
    results |= module.get_correlation_rwc(*pair, thr=threshold)
    results |= module.get_correlation_overlap(*pair, thr=threshold)
    search = options["costes_search"].capitalize()
    results |= module.get_correlation_costes(*pair, fast_costes=search, scale_max=steps)
    for name, values in results.items():
        order = {"1": "A_B", "2": "B_A"}.get(name[-1], "A_B")
        found[f"{name.rstrip('_12')}_{order}"] = values
    return found


def everything(labels, channels, families, white=None):
    """All columns of two channels."""
    found = columns_of(labels, {}, families, white)
    for name, raw in channels.items():
        found |= columns_of(labels, {name: raw}, families, white)
    return found | (columns_of(labels, channels, families, white) if len(channels) == 2 else {})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "texture": {"scale": [2, 5], "gray_levels": 8},
            "granularity": {
                **{"spectrum_length": 3, "subsample": 0.8, "background_subsample": 0.5},
                "background_radius": 4,
            },
            "radial_distribution": {"bins": 3, "maximum_radius": 6},
            "radial_zernikes": {"degree": 4},
            "zernike": {"degree": 12},
            "colocalization": {"threshold": 40, "costes_search": "fast"},
        },
    ],
    ids=["defaults", "others"],
)
def test_every_column_is_the_librarys_of_intensities_from_0_to_1(families, options):
    labels, raws = drawn(), textured()
    given = families(**options)
    # Sums of several threads are rounded in another way.
    with warnings.catch_warnings(), np.errstate(all="ignore"), threadpool_limits(1):
        warnings.simplefilter("ignore")
        expected = library(labels, [raw / 65535 for raw in raws], given, 65535)
    found = everything(labels, dict(zip("AB", raws, strict=True)), given)
    names = named(given, ["A", "B"])
    assert set(found) == set(names) and set(names.values()) == set(expected)
    for name, theirs in names.items():
        assert found[name].dtype == np.float64
        np.testing.assert_array_equal(found[name], expected[theirs], err_msg=name)
    # Of the larger objects, nothing is missing but a direction of Costes.
    missing = [name for name, values in found.items() if np.isnan(values[:4]).any()]
    assert all("costes" in name for name in missing)


def test_zernike_moments_are_cellprofilers_own(families, data):
    """Of nuclei whose outlines are found again: what is above its threshold in a blurred image."""
    folder = data / "cellprofiler-human"
    image = tifffile.imread(folder / "AS_09125_050116030001_D03f00d0.tif") / 255
    threshold = pd.read_csv(folder / "Image.csv")["Threshold_FinalThreshold_Nuclei"][0]
    weight = gaussian_filter(np.ones_like(image), 1, mode="constant")
    mask = gaussian_filter(image, 1, mode="constant") / weight >= threshold
    labels = label(binary_fill_holes(mask), np.ones((3, 3)))[0].astype(np.int32)
    table = pd.DataFrame(regionprops_table(labels, properties=["label", "area", "bbox"]))
    theirs = pd.read_csv(folder / "Nuclei.csv").rename(
        columns={
            "AreaShape_Area": "area",
            "AreaShape_BoundingBoxMinimum_Y": "bbox-0",
            "AreaShape_BoundingBoxMinimum_X": "bbox-1",
            "AreaShape_BoundingBoxMaximum_Y": "bbox-2",
            "AreaShape_BoundingBoxMaximum_X": "bbox-3",
        }
    )
    both = table.merge(theirs, on=["area", *(f"bbox-{side}" for side in range(4))])
    assert len(theirs) == 289 and len(both) == 189
    given = families("zernike")
    found = columns_of(labels, {}, given)
    names = named(given, [])
    assert len(names) == 30
    for name, cellprofilers in names.items():
        ours = found[name][both["label"] - 1]
        np.testing.assert_allclose(ours, both[cellprofilers], rtol=0, atol=1e-12, err_msg=name)


# Values by hand


def disc(radius=20, size=61):
    """A disc whose radius is that of the circle around it."""
    away = np.arange(size) - size // 2
    return (away**2 + away[:, None] ** 2 <= radius**2).astype(np.int32)


def test_even_disc_has_no_texture_no_rings_and_no_moments(families):
    labels = disc()
    raw = np.where(labels, 100, 7).astype(np.uint8)
    given = families("texture", "radial_distribution", "radial_zernikes", "zernike")
    found = {name: values[0] for name, values in everything(labels, {"A": raw}, given).items()}
    for direction in range(4):
        values = {
            name.removeprefix("texture_").removesuffix(f"_3_{direction:02}_256_A"): value
            for name, value in found.items()
            if name.endswith(f"_3_{direction:02}_256_A")
        }
        assert values["angular_second_moment"] == values["inverse_difference_moment"] == 1
        assert values["contrast"] == values["entropy"] == values["variance"] == 0
        assert values["sum_average"] == 200
    shares = [found[f"radial_distribution_frac_at_d_{ring}of4_A"] for ring in (1, 2, 3, 4)]
    assert sum(shares) == pytest.approx(1)
    # Rings of equal width: 1, 3, 5 and 7 sixteenths.
    np.testing.assert_allclose(shares, [1 / 16, 3 / 16, 5 / 16, 7 / 16], atol=0.03)
    for ring in (1, 2, 3, 4):
        assert found[f"radial_distribution_mean_frac_{ring}of4_A"] == pytest.approx(1)
        assert found[f"radial_distribution_radial_cv_{ring}of4_A"] == pytest.approx(0, abs=1e-12)
    assert found["zernike_0_0"] == pytest.approx(labels.sum() / (np.pi * 400))
    assert found["radial_zernikes_magnitude_0_0_A"] == pytest.approx(100 / 255)
    # What is the same on opposite sides has no odd moments.
    odd = [
        value for name, value in found.items() if re.search(r"(?<!phase)_[13579]_\d(_A)?$", name)
    ]
    assert len(odd) == 30 and max(odd) < 1e-12


def test_stripes_differ_across_and_not_along(families):
    raw = np.where(np.arange(30)[:, None] // 2 % 2, 40, 20).astype(np.uint8) * np.ones(
        (30, 30), np.uint8
    )
    given = families("texture", texture={"scale": [2]})
    found = columns_of(np.ones((30, 30), np.int32), {"A": raw}, given)
    contrast = [found[f"texture_contrast_2_0{direction}_256_A"][0] for direction in range(4)]
    assert contrast == pytest.approx([0, 400, 400, 400])
    assert found["texture_correlation_2_02_256_A"][0] == pytest.approx(-1)


def test_specks_and_blobs_are_grains_of_their_radius(families):
    labels = np.zeros((60, 60), np.int32)
    labels[:, :30], labels[:, 30:] = 1, 2
    raw = np.zeros((60, 60), np.uint8)
    raw[10:50:8, 5:25:6] = 200
    raw[10:50:9, 35] = raw[9:49:9, 35] = raw[11:51:9, 35] = 200
    raw[10:50:9, 34] = raw[10:50:9, 36] = 200
    given = families("granularity", granularity={"subsample": 1, "spectrum_length": 3})
    found = columns_of(labels, {"A": raw}, given)
    spectrum = [found[f"granularity_{size}_A"].round(9).tolist() for size in (1, 2, 3)]
    # Crosses of radius 1 outlive the first erosion, single pixels do not.
    assert spectrum == [[100, 0], [0, 100], [0, 0]]


def test_colocalization_of_a_few_pixels(families):
    labels = np.ones((1, 4), np.int32)
    first = np.array([[10, 20, 200, 40]], np.uint8)
    second = np.array([[100, 5, 50, 80]], np.uint8)
    given = families("colocalization", colocalization={"threshold": 20})
    found = columns_of(labels, {"A": first, "B": second}, given)
    found = {name.removeprefix("colocalization_"): values[0] for name, values in found.items()}
    # From 40 and 20 on: both in the last two pixels, the first there alone, the second also in one.
    assert found["manders_A_B"] == pytest.approx(1)
    assert found["manders_B_A"] == pytest.approx(130 / 230)
    assert found["k_A_B"] == pytest.approx((200 * 50 + 40 * 80) / (200**2 + 40**2))
    assert found["k_B_A"] == pytest.approx((200 * 50 + 40 * 80) / (50**2 + 80**2))
    assert found["overlap_A_B"] == pytest.approx((found["k_A_B"] * found["k_B_A"]) ** 0.5)
    # Ranks 0, 1, 3, 2 and 3, 0, 1, 2: weights of the last two pixels 1/2 and 1.
    assert found["rwc_A_B"] == pytest.approx((200 / 2 + 40) / 240)
    assert found["rwc_B_A"] == pytest.approx((50 / 2 + 80) / 230)
    assert found["correlation_A_B"] == pytest.approx(np.corrcoef(first[0], second[0])[0, 1])


# What is white


def test_texture_is_the_same_of_8_and_of_16_bits(families):
    raw = (textured()[0] // 257).astype(np.uint8)
    given = families("texture", "granularity")
    labels = drawn()
    eight = columns_of(labels, {"A": raw}, given)
    sixteen = columns_of(labels, {"A": raw.astype(np.uint16) * 257}, given)
    unit = columns_of(labels, {"A": raw / 255}, given)
    for name, values in eight.items():
        for others in (sixteen, unit):
            np.testing.assert_allclose(others[name], values, rtol=1e-9, atol=1e-9, err_msg=name)


def test_intensities_of_12_bits_are_those_of_16_bits_where_the_config_says_what_is_white(families):
    given = families()
    raws = dict(zip("AB", textured(), strict=True))
    twelve = {name: raw // 16 for name, raw in raws.items()}
    told = everything(drawn(), twelve, given, white=4095.0)
    expected = everything(drawn(), {n: raw / 4095 for n, raw in twelve.items()}, given)
    for name, values in told.items():
        # Costes' grid has 4095 steps rather than 255.
        if "costes" not in name:
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
    untold = columns_of(drawn(), {"A": twelve["A"]}, given)
    # A sixteenth of the grey levels.
    ratio = (
        told["texture_sum_average_3_00_256_A"][:4] / untold["texture_sum_average_3_00_256_A"][:4]
    )
    np.testing.assert_allclose(ratio, 16, rtol=0.02)


def test_what_is_above_white_is_white_to_texture_and_costes(families):
    first, second = textured()
    given = families("texture", "colocalization", colocalization={"metrics": ["costes"]})
    bright = everything(drawn(), {"A": first, "B": second}, given, white=20_000.0)
    cut = {"A": np.minimum(first, 20_000), "B": np.minimum(second, 20_000)}
    for name, values in everything(drawn(), cut, given, white=20_000.0).items():
        np.testing.assert_array_equal(bright[name], values, err_msg=name)


@pytest.mark.parametrize(
    ("dtype", "white", "steps"),
    [
        (np.uint8, None, 255),
        (np.uint16, None, 65535),
        (np.int16, None, 65535),
        (np.uint32, None, 65535),
        (np.float32, None, 255),
        (np.uint16, 4095.0, 4095),
    ],
)
def test_costes_searches_the_steps_of_the_full_scale(families, monkeypatch, dtype, white, steps):
    asked = []

    def get_correlation_costes(first, second, labels, search, *, scale_max):
        asked.append((search, scale_max))
        return {"1": [0.5], "2": [0.25]}

    monkeypatch.setattr("nucleiflow.cellprofiler.get_correlation_costes", get_correlation_costes)
    given = families("colocalization", colocalization={"metrics": ["costes"]})
    raw = np.eye(5, dtype=dtype)
    found = columns_of(np.ones((5, 5), np.int32), {"A": raw, "B": raw}, given, white)
    assert asked == [("Faster", steps)]
    assert {name: values.tolist() for name, values in found.items()} == {
        "colocalization_costes_A_B": [0.5],
        "colocalization_costes_B_A": [0.25],
    }


@pytest.mark.parametrize("family", ["texture", "colocalization"])
def test_numbers_that_are_not_whole_and_exceed_1_need_to_know_what_is_white(families, family):
    raw = np.full((20, 20), 3.5, np.float32)
    raw[3, 3] = 812.25
    channels = {"A": raw} if family == "texture" else {"A": raw, "B": raw}
    labels = np.ones((20, 20), np.int32)
    with pytest.raises(ImageError) as caught:
        columns_of(labels, channels, families(family))
    assert str(caught.value) == (
        "its intensities are no whole numbers and reach 812.25, and texture and Costes' method "
        "must know which is white: set measure.max_intensity"
    )
    assert columns_of(labels, channels, families(family), white=1000.0)
    metrics = families("colocalization", colocalization={"metrics": ["manders", "rwc"]})
    assert columns_of(labels, {"A": raw, "B": raw}, metrics)
    assert columns_of(labels, {"A": raw}, families("granularity", "radial_zernikes"))


# Unhappy images


def test_objects_may_lack_numbers():
    labels = drawn()
    gaps = np.array([0, 3, 4, 70_000, 70_001, 70_002, 80_000, 90_000], np.int32)[labels]
    np.testing.assert_array_equal(numbered(gaps), labels)
    assert numbered(labels) is labels
    assert numbered(gaps).dtype == np.int32
    np.testing.assert_array_equal(numbered(labels - 1), np.maximum(labels - 1, 0))
    np.testing.assert_array_equal(numbered(labels * 0), labels * 0)
    assert numbered(np.zeros((0, 4), np.int32)).shape == (0, 4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (3, 3), (9, 8)])
@pytest.mark.parametrize("objects", ["none", "one", "pixels"])
@pytest.mark.parametrize("values", ["black", "even", "nan", "inf", "negative", "noise", "bool"])
def test_any_image_has_all_columns(families, shape, objects, values):
    pixels = np.arange(1, shape[0] * shape[1] + 1, dtype=np.int32).reshape(shape)
    labels = {"none": pixels * 0, "one": pixels * 0 + 1, "pixels": pixels}[objects]
    raw = {
        "black": np.zeros(shape, np.uint8),
        "even": np.full(shape, 255, np.uint8),
        "nan": np.full(shape, np.nan),
        "inf": np.full(shape, np.inf, np.float32),
        "negative": np.full(shape, -7, np.int16),
        "noise": np.random.default_rng(1).integers(0, 65536, shape, np.uint16),
        "bool": np.random.default_rng(1).random(shape) > 0.5,
    }[values]
    given = families()
    found = everything(labels, {"A": raw, "B": raw}, given)
    assert list(found) and set(found) == set(named(given, ["A", "B"]))
    count = labels.max()
    assert {values.shape for values in found.values()} == {(count,)}
    assert not any(np.isinf(values).any() for values in found.values())
    if values in ("nan", "inf") and count:
        known = {name for name, values in found.items() if not np.isnan(values).all()}
        assert {name.split("_")[0] for name in known} <= {"zernike"}


def test_single_pixel_has_rings_but_no_shape_and_no_texture(families):
    found = everything(drawn(), dict(zip("AB", textured(), strict=True)), families())
    single = {name: values[6] for name, values in found.items()}
    assert single["radial_distribution_frac_at_d_1of4_A"] == 1
    assert single["colocalization_manders_A_B"] == 1
    for name in ("zernike_0_0", "texture_contrast_3_00_256_A", "colocalization_correlation_A_B"):
        assert np.isnan(single[name])


def test_black_object_leaves_the_others_their_overlap(families):
    first, second = textured()
    given = families("colocalization")
    expected = columns_of(drawn(), {"A": first, "B": second}, given)
    dark = np.where(drawn() == 2, 0, first).astype(np.uint16)
    found = columns_of(drawn(), {"A": dark, "B": second}, given)
    others = np.arange(7) != 1
    for name, values in found.items():
        np.testing.assert_array_equal(values[others], expected[name][others], err_msg=name)
    for name in ("overlap_A_B", "k_A_B", "k_B_A", "correlation_A_B", "manders_A_B"):
        assert np.isnan(found[f"colocalization_{name}"][1])


def test_pixel_that_is_no_number_costs_its_object_alone_its_values(families):
    first, second = (raw / 65535 for raw in textured())
    given = families()
    expected = everything(drawn(), {"A": first, "B": second}, given)
    first[20, 35] = np.nan
    found = everything(drawn(), {"A": first, "B": second}, given)
    others = np.arange(7) != 1
    for name, values in found.items():
        if name.startswith("zernike") or (name.endswith("_B") and "_A_" not in name):
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
        else:
            assert np.isnan(values[1]), name
            # Grains are those of the whole image, in which the pixel is black.
            if not name.startswith("granularity"):
                np.testing.assert_array_equal(values[others], expected[name][others], err_msg=name)
    assert not np.isnan(found["granularity_1_A"][others]).any()


def test_inputs_stay_as_they_were(families):
    labels, raws = drawn(), textured()
    raws[0] = raws[0] / 65535
    raws[0][2, 3] = np.nan
    before = [raw.copy() for raw in raws]
    everything(labels, dict(zip("AB", raws, strict=True)), families())
    np.testing.assert_array_equal(labels, drawn())
    for raw, old in zip(raws, before, strict=True):
        np.testing.assert_array_equal(raw, old)


def test_objects_beside_do_not_change_an_object(families):
    """But for grains, which are of the whole image."""
    labels, (first, second) = drawn(), textured()
    given = families(*(name for name in FAMILIES if name != "granularity"))
    together = everything(labels, {"A": first, "B": second}, given)
    for number in (1, 2, 3, 4):
        alone = everything((labels == number) * np.int32(1), {"A": first, "B": second}, given)
        for name, values in alone.items():
            expected = together[name][number - 1]
            np.testing.assert_allclose(values[0], expected, rtol=1e-9, atol=1e-12, err_msg=name)


def test_random_small_objects_are_measured(families):
    labels = RNG.integers(0, 100, (30, 30)).astype(np.int32)
    labels[labels > 80] = 0
    labels = numbered(labels)
    raw = RNG.integers(0, 65536, (30, 30)).astype(np.uint16)
    found = everything(labels, {"A": raw, "B": raw[::-1]}, families())
    assert {values.size for values in found.values()} == {labels.max()}
    shares = [found[f"radial_distribution_frac_at_d_{ring}of4_A"] for ring in (1, 2, 3, 4)]
    assert np.nanmax(np.abs(np.sum(shares, 0) - 1)) < 1e-9
