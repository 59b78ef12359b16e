"""Simulated plates: reproducible, with labels that are true."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from simulate import PLATES, field_name, simulate, write_plates


def test_same_seed_same_field():
    first, second, other = (simulate(seed, (200, 300)) for seed in (3, 3, 4))
    assert first[0].shape == first[1].shape == (200, 300)
    assert (first[0].dtype, first[1].dtype) == (np.uint16, np.int32)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("plate", PLATES)
def test_labels_are_whole_nuclei_without_gaps(plate):
    _, labels = simulate(1, **plate)
    areas = np.bincount(labels.ravel())[1:]
    assert areas.size > 50
    assert areas.min() > 0
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        assert ndimage.label(labels[box] == label)[1] == 1
    inner = areas[np.setdiff1d(np.arange(areas.size), np.unique(labels[[0, -1]]) - 1)]
    median_diameter = np.sqrt(4 / np.pi * np.median(inner))
    assert median_diameter == pytest.approx(plate["diameter"], rel=0.15)


def test_nuclei_touch_and_differ_in_brightness():
    image, labels = simulate(1)
    touching = (labels[:, 1:] != labels[:, :-1]) & (labels[:, 1:] > 0) & (labels[:, :-1] > 0)
    assert touching.any()
    means = ndimage.mean(image, labels, np.arange(1, labels.max() + 1)) - np.median(image)
    assert 1200 < np.median(means) < 2200
    assert means.min() < np.median(means) / 2.5 < np.median(means) * 1.5 < means.max()


def test_camera():
    dark, labels = simulate(1, (256, 256), density=0, background=0, offset=100, read_noise=4)
    assert labels.max() == 0
    assert dark.mean() == pytest.approx(100, abs=0.1)
    assert dark.std() == pytest.approx(4, rel=0.03)
    lit, _ = simulate(1, (256, 256), density=0, background=400, vignetting=0, read_noise=0)
    assert lit.mean() == pytest.approx(500, rel=0.01)
    assert lit.std() == pytest.approx(20, rel=0.03), "photons: the square root of 400"
    uneven, _ = simulate(1, (256, 256), density=0, background=400, vignetting=0.5, read_noise=0)
    corners = [uneven[y, x].mean() for y in _ENDS for x in _ENDS]
    assert min(corners) == pytest.approx(300, rel=0.05), "half of the light, and the offset"


_ENDS = (slice(0, 12), slice(-12, None))


def test_plates_on_disk(tmp_path):
    write_plates(tmp_path, images=2, size=96, seed=5)
    names = ["plate1/A01_f1.tif", "plate1/A02_f1.tif", "plate2/A01_f1.tif", "plate2/A02_f1.tif"]
    for kind, dtype in (("images", np.uint16), ("truth", np.int32)):
        folder = tmp_path / kind
        assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*.tif")) == names
        for name in names:
            array = tifffile.imread(folder / name)
            assert (array.shape, array.dtype) == ((96, 96), dtype)


def test_field_names():
    assert [field_name(i) for i in (0, 11, 12, 95, 96)] == [
        "A01_f1",
        "A12_f1",
        "B01_f1",
        "H12_f1",
        "A01_f2",
    ]
