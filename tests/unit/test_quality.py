"""Numbers of quality are those of drawn images, and defined for every image."""

import math
import warnings

import cv2
import numpy as np
import pytest

from nucleiflow import quality
from simulate import simulate

NUMBERS = {
    *("focus", "power_slope", "saturated", "lowest", "background", "noise", "signal_to_noise"),
    *("evenness", "span", "glare"),
}


def drawn() -> np.ndarray:
    """Three objects of 4, 6 and 20 pixels, the first in a corner."""
    labels = np.zeros((40, 60), np.int32)
    labels[:2, :2] = 2
    labels[10:12, 20:23] = 3
    labels[20:24, 40:45] = 7
    return labels


def numbers_of(image: np.ndarray, labels: np.ndarray | None = None) -> dict:
    """What is told of an image, with every warning an error."""
    labels = np.zeros(image.shape, np.int32) if labels is None else labels
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return quality.of_channel(image, quality.of_nuclei(labels)[1])


def noise(shape: tuple[int, int] = (256, 256), seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_numbers_of_the_labels():
    labels = drawn()
    numbers, places = quality.of_nuclei(labels)
    assert numbers == {
        "objects": 3,
        "foreground": 0.0125,
        "median_area": 6.0,
        "border_share": pytest.approx(1 / 3, rel=1e-5),
    }
    # Half of the 30 pixels belong to objects as large as the largest.
    assert places.area == 20
    # Near are 4 pixels around.
    assert places.near[16:28, 36:49].all() and places.near.sum() == 12 * 13 + 10 * 11 + 6 * 6
    assert (labels.ravel()[places.nuclei] > 0).all() and places.nuclei.size == 30
    assert sorted(places.ground) == np.flatnonzero(places.near == 0).tolist()
    # Tiles of 5 x 7 or 8 pixels: the first one holds all but those near the object in the corner.
    first = np.zeros((40, 60), bool)
    first[:5, :8] = True
    assert set(places.ground[: places.ends[0]]) == set(
        np.flatnonzero(first & (places.near == 0)).tolist()
    )
    assert places.ends[-1] == places.ground.size


def test_a_frame_without_labels_is_no_border():
    labels = np.zeros((20, 20), np.int32)
    labels[1:4, 5:9] = 1
    assert quality.of_nuclei(labels, frame=0)[0]["border_share"] == 0
    assert quality.of_nuclei(labels, frame=1)[0]["border_share"] == 1


def test_labels_without_an_object_and_without_background():
    numbers, places = quality.of_nuclei(np.zeros((9, 9), np.int32))
    assert numbers == {
        **{"objects": 0, "foreground": 0.0, "median_area": None, "border_share": None},
    }
    assert places.area == 0 and places.ground.size == 81 and not places.near.any()
    numbers, places = quality.of_nuclei(np.ones((9, 9), np.int32))
    assert numbers == {
        **{"objects": 1, "foreground": 1.0, "median_area": 81.0, "border_share": 1.0},
    }
    assert places.ground.size == 0 and places.near.all()


def test_all_that_is_no_nucleus_is_ground_where_nuclei_leave_little():
    labels = np.ones((50, 50), np.int32)
    labels[:, 10] = 0
    places = quality.of_nuclei(labels)[1]
    assert sorted(places.ground) == list(range(10, 2500, 50))


@pytest.mark.parametrize(
    ("dtype", "level"),
    [
        (np.uint8, 255),
        (np.uint16, 1023),
        (np.uint16, 4095),
        (np.uint16, 65535),
        (np.uint16, 65520),
        # No full scale: a plateau above a thin tail tells.
        (np.uint16, 3021),
        (np.uint8, 201),
        (np.float32, 1.0),
        (np.float64, 0.7),
        (np.int32, 100_000),
    ],
)
def test_saturated_are_pixels_at_the_top_of_the_scale(dtype, level):
    # Of bright pixels there are ever fewer.
    values = np.random.default_rng(2).exponential(level / 5, (200, 300))
    cut = np.count_nonzero(values >= level)
    assert 300 < cut < 600
    image = np.minimum(values, level).astype(dtype)
    saturated, lowest = quality.extremes(image)
    assert saturated == np.count_nonzero(image == image.max()) / 60000
    assert saturated == pytest.approx(cut / 60000)
    assert lowest == np.count_nonzero(image == image.min()) / 60000


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_image_below_its_scale_is_not_saturated(dtype):
    values = np.random.default_rng(2).exponential(10, (200, 300))
    assert values.max() < 150
    assert quality.extremes(values.astype(dtype))[0] == 0
    # Nor one of two values.
    assert quality.extremes(np.where(values > 20, 90, 10).astype(dtype))[0] == 0


def test_a_single_pixel_at_full_scale_counts_as_one():
    image = np.full((100, 100), 7, np.uint16)
    image[3, 4] = 4095
    assert quality.extremes(image) == (1e-4, 0.9999)
    image[3, 4] = 4094
    assert quality.extremes(image) == (0, 0.9999)


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 0.1), (np.uint16, 1), (np.float32, 1e-4)])
def test_background_noise_and_signal(dtype, scale):
    labels = np.zeros((400, 400), np.int32)
    labels[50:90, 60:100] = 1
    labels[200:240, 300:340] = 2
    values = 300 + 20 * noise((400, 400)) + 1500 * (labels > 0)
    found = numbers_of((values * scale).astype(dtype), labels)
    # A cut off fraction is half a unit on average.
    off = 0 if dtype == np.float32 else 0.5
    assert found["background"] == pytest.approx(300 * scale - off, abs=max(2 * scale, 0.5))
    assert found["noise"] == pytest.approx(20 * scale, rel=0.06)
    assert found["signal_to_noise"] == pytest.approx(75, rel=0.07)
    assert found["glare"] == 0


def test_noise_is_that_of_neighbours_and_not_the_slope_of_the_ground():
    ground = np.linspace(100, 900, 300)[None, :] + np.zeros((300, 1))
    found = numbers_of(ground + 5 * noise((300, 300)))
    assert found["noise"] == pytest.approx(5, rel=0.03)
    assert found["background"] == pytest.approx(500, abs=3)


def test_glare_is_what_outshines_nuclei_in_areas_of_one():
    labels = np.zeros((300, 300), np.int32)
    for number, row in enumerate(range(20, 280, 40)):
        labels[row : row + 10, 50:60] = number + 1
    image = np.where(labels > 0, 600.0, 100.0)
    image[100:120, 200:210] = 100 + 6.1 * 500
    image[200:220, 200:210] = 100 + 5.9 * 500
    assert numbers_of(image.astype(np.uint16), labels)["glare"] == 2.0


def test_evenness_is_the_dark_part_of_the_ground_over_the_bright_part():
    ramp = np.linspace(1000, 500, 1024)[None, :] + np.zeros((1024, 1))
    # Columns of tiles, of 8 along a side, and more than 5 % of them at each end.
    low, high = 500 + 500 / 16, 1000 - 500 / 16
    found = numbers_of(ramp.astype(np.uint16))
    assert found["evenness"] == pytest.approx(low / high, rel=2e-3)
    labels = np.zeros(ramp.shape, np.int32)
    labels[::64, ::64] = 1
    labels = cv2.dilate(labels.astype(np.uint8), np.ones((15, 15))).astype(np.int32)
    bright = np.where(labels > 0, 9000, ramp)
    assert numbers_of(bright.astype(np.uint16), labels)["evenness"] == pytest.approx(
        low / high, rel=5e-3
    )
    assert numbers_of(ramp - 600)["evenness"] == 0
    # How far the ground falls, beside how far nuclei rise above its median.
    labels[labels > 0] = 1
    nuclei = np.where(labels > 0, 9000, ramp).astype(np.float32)
    assert numbers_of(nuclei, labels)["span"] == pytest.approx((high - low) / 8250, rel=0.01)
    assert numbers_of(np.full((300, 200), 40, np.uint8))["evenness"] == 1


def spectrum(power: float, size: int, seed: int = 3) -> np.ndarray:
    """Noise whose power falls with a power of the frequency."""
    along = np.fft.fftfreq(size)
    frequency = np.hypot(along[:, None], along[None, :])
    frequency[0, 0] = 1
    field = np.fft.fft2(noise((size, size), seed)) / frequency ** (power / 2)
    return np.fft.ifft2(field).real


@pytest.mark.parametrize("power", [0, 1, 2, 3, 4])
@pytest.mark.parametrize(("size", "images"), [(256, 12), (700, 3)])
def test_slope_of_a_known_spectrum(power: float, size: int, images: int):
    found = [numbers_of(spectrum(power, size, seed))["power_slope"] for seed in range(images)]
    assert np.mean(found) == pytest.approx(1 - power, abs=0.1 if power < 4 else 0.2)


def ring_slope(image: np.ndarray) -> float:
    """CellProfiler's definition: one spectrum without a window, rings counted from 1."""
    along = np.minimum(np.arange(len(image)), len(image) - np.arange(len(image)))
    ring = np.hypot(along[:, None], along[None, :]).astype(int) + 1
    power = np.abs(np.fft.fft2(image - image.mean())) ** 2
    sums = np.bincount(ring.ravel(), power.ravel())
    radii = np.arange(2, len(image) // 8)
    return np.polyfit(np.log(radii), np.log(sums[radii]), 1)[0]


@pytest.mark.parametrize("power", [0, 2, 3])
def test_slope_is_cellprofilers_where_an_image_has_no_edges(power: float):
    images = [spectrum(power, 256, seed) for seed in range(12)]
    ours = np.mean([quality.power_slope(quality.opened(image)) for image in images])
    assert ours == pytest.approx(np.mean([ring_slope(image) for image in images]), abs=0.3)


def test_small_images_have_no_slope():
    assert numbers_of(noise((31, 500)))["power_slope"] is None
    assert numbers_of(noise((33, 500)))["power_slope"] is not None


def field(**options) -> tuple[np.ndarray, np.ndarray]:
    return simulate(5, (400, 400), **{"diameter": 24.0, "psf": 1.2} | options)


def test_focus_falls_with_the_blur():
    image, labels = field()
    sharp = numbers_of(image, labels)["focus"]
    assert 5 < sharp < 8
    before = sharp
    for sigma in (1, 2, 3, 4, 6):
        blurred = cv2.GaussianBlur(image, (0, 0), sigma)
        found = numbers_of(blurred, labels)["focus"]
        assert found < 0.85 * before
        before = found
        if sigma == 2:
            assert found < 0.55 * sharp
    assert before < 1


def test_focus_depends_neither_on_exposure_nor_on_the_offset_of_the_camera():
    image, labels = field()
    found = numbers_of(image, labels)["focus"]
    assert numbers_of(4 * image, labels)["focus"] == pytest.approx(found, rel=1e-4)
    assert numbers_of(image + 20_000, labels)["focus"] == pytest.approx(found, rel=1e-4)
    assert numbers_of(image / 1e9, labels)["focus"] == pytest.approx(found, rel=1e-4)
    assert numbers_of(1e9 * image.astype(float), labels)["focus"] == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize("psf", [1.2, 3.0])
def test_focus_hardly_depends_on_noise_density_and_magnification(psf: float):
    plain = numbers_of(*field(psf=psf))["focus"]
    dim = numbers_of(*field(psf=psf, brightness=120.0))["focus"]
    sparse = numbers_of(*field(psf=psf, density=0.2))["focus"]
    image, labels = field(psf=psf)
    size = (1200, 1200)
    larger = numbers_of(
        cv2.resize(image, size, interpolation=cv2.INTER_LINEAR),
        cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST),
    )["focus"]
    assert dim == pytest.approx(plain, rel=0.2)
    assert sparse == pytest.approx(plain, rel=0.3)
    assert larger == pytest.approx(plain, rel=0.3)


@pytest.mark.parametrize("diameter", [20.0, 75.0])
def test_focus_does_not_depend_on_the_strips_in_which_it_is_measured(monkeypatch, diameter: float):
    # 75 pixels are seen at half the size, of which the last row and column are not whole.
    image, labels = simulate(5, (401, 303), diameter=diameter)
    whole = numbers_of(image, labels)["focus"]
    for rows in (1, 7, 1000):
        monkeypatch.setattr(quality, "ROWS", rows)
        assert numbers_of(image, labels)["focus"] == pytest.approx(whole, rel=1e-4)


def test_a_channel_of_a_colour_image_is_as_if_it_stood_alone():
    image, labels = field()
    colors = np.stack([image // 2, image, image // 3], axis=2)
    assert numbers_of(colors[:, :, 1], labels) == numbers_of(image, labels)


def test_noise_alone_has_no_focus():
    labels = np.zeros((200, 200), np.int32)
    labels[50:70, 50:70] = 1
    image = 200 + 10 * noise((200, 200))
    assert numbers_of(image, labels)["focus"] is None


@pytest.mark.parametrize("labels", ["none", "all", "one pixel", "half"])
@pytest.mark.parametrize(
    "image",
    [
        np.zeros((70, 50), np.uint8),
        np.full((70, 50), 255, np.uint8),
        np.full((70, 50), 65535, np.uint16),
        np.full((70, 50), 0.25, np.float32),
        np.full((70, 50), np.nan, np.float32),
        np.full((70, 50), -np.inf),
        np.full((70, 50), 1e308) * np.where(np.arange(50) % 2, 1, -1),
        np.where(np.arange(50) % 2, np.nan, 3.5) + np.zeros((70, 1)),
        np.zeros((1, 1), np.uint16),
        np.full((1, 1), 9.0),
        np.full((1, 1), np.nan),
        np.full((300, 1), 7, np.uint8),
        np.arange(3500, dtype=np.int64).reshape(70, 50) * 10**12,
        np.arange(3500, dtype=np.float16).reshape(70, 50),
        np.full((70, 50), -5, np.int16),
    ],
)
def test_every_image_has_defined_numbers_and_is_left_as_it_is(image: np.ndarray, labels: str):
    drawn = np.zeros(image.shape, np.int32)
    if labels == "all":
        drawn[:] = 1
    if labels == "one pixel":
        drawn[0, 0] = 1
    if labels == "half":
        drawn[:, : image.shape[1] // 2] = 1
    before, labelled = image.copy(), drawn.copy()
    found = numbers_of(image, drawn)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(drawn, labelled)
    assert set(found) == NUMBERS
    for value in found.values():
        assert value is None or (type(value) is float and math.isfinite(value))


def test_numbers_of_a_constant_and_of_nothing():
    white = numbers_of(np.full((70, 50), 255, np.uint8))
    assert {name: value for name, value in white.items() if value is not None} == {
        **{"saturated": 1.0, "lowest": 1.0, "background": 255.0, "noise": 0.0, "evenness": 1.0},
    }
    black = numbers_of(np.zeros((70, 50), np.uint16))
    assert {name: value for name, value in black.items() if value is not None} == {
        **{"saturated": 0.0, "lowest": 1.0, "background": 0.0, "noise": 0.0},
    }
    assert numbers_of(np.full((70, 50), np.nan)) == dict.fromkeys(NUMBERS)


def test_pixels_that_are_no_numbers_count_as_background():
    labels = np.zeros((100, 100), np.int32)
    labels[20:40, 20:40] = 1
    image = 50 + noise((100, 100)) + 900 * (labels > 0)
    image[90, 10:20] = np.nan
    found = numbers_of(image, labels)
    assert found["background"] == pytest.approx(50, abs=0.2)
    assert found["signal_to_noise"] == pytest.approx(900, rel=0.1)
    # Of all pixels, the lowest one.
    assert found["lowest"] == 1e-4


def test_saturation_is_that_of_the_camera_where_light_is_corrected():
    image, labels = field()
    camera = np.minimum(image.astype(float) * 4, 4095).astype(np.uint16)
    corrected = camera / np.linspace(1.2, 0.8, 400)[None, :]
    places = quality.of_nuclei(labels)[1]
    found = quality.of_channel(corrected, places, camera)
    assert found["saturated"] == pytest.approx(np.mean(camera == 4095), rel=1e-5)
    assert quality.of_channel(corrected, places)["saturated"] == 0
