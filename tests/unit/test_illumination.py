"""Uneven light: flat fields from images whose shading is known, and images without it."""

import functools
import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

import illumination_maps
from illumination import Background, background, estimate, flat_field, gathered
from nucleiflow import flat_field as flat_fields
from nucleiflow import plan
from nucleiflow.field import File, View, open_field
from nucleiflow.flat_field import correct, corrected, files_of, normalised, sampled
from nucleiflow.images import ImageError
from nucleiflow.plan import Batch, Extent, Image, directory_name
from simulate import simulate

# An estimate forks workers, which this process must not do after OpenCV has started threads.
FRESH = multiprocessing.get_context("forkserver")
SHAPE = (512, 512)
OFFSET = 100.0
MARGIN = 64


@functools.cache
def shading(shape=SHAPE):
    """Light that falls off by 35 % to the darkest corner, from a centre off that of the image."""
    y = np.linspace(-1, 1, shape[0])[:, None] - 0.2
    x = np.linspace(-1, 1, shape[1])[None, :] + 0.3
    squares = y**2 + x**2
    light = 1 - 0.35 * squares / squares.max()
    return light / light.mean()


@functools.cache
def shaded(seed, density=1.0):
    """A field of nuclei in this light, with offset and noise of a camera, and its true mask."""
    size = [length + 2 * MARGIN for length in SHAPE]
    even, labels = simulate([3, seed], size, density=density, vignetting=0, offset=0, read_noise=0)
    # Nuclei beside the field shine into it, too.
    inside = (slice(MARGIN, -MARGIN),) * 2
    random = np.random.default_rng([5, seed])
    photons = random.binomial(even[inside], shading() / shading().max())
    image = np.rint(photons + random.normal(OFFSET, 4, SHAPE)).clip(0)
    return image.astype(np.uint16), labels[inside] > 0


@functools.cache
def found(count, density=1.0, first=0):
    return [background(shaded(first + seed, density)[0]) for seed in range(count)]


def unevenness(images, masks):
    """Mean background of the corners over that of the centre, less 1: the worst of four."""
    far = [cv2.dilate(mask.astype(np.uint8), np.ones((25, 25), np.uint8)) == 0 for mask in masks]
    total = sum(image * away for image, away in zip(images, far, strict=True))
    count = sum(away.astype(int) for away in far)
    ends = (slice(0, 64), slice(-64, None))
    center = total[192:320, 192:320].sum() / count[192:320, 192:320].sum()
    corners = [total[y, x].sum() / count[y, x].sum() for y in ends for x in ends]
    return max(abs(corner / center - 1) for corner in corners)


def batch_of(*names, directory="plate"):
    """A batch of the files of a directory, as the plan of an estimate."""
    images = [Image(Path(name).stem, (plan.File(name, 1, 1),)) for name in names]
    return Batch(directory_name(directory), directory, directory, images, Extent(1.0))


def in_fresh_process(function, *arguments):
    with ProcessPoolExecutor(1, FRESH) as pool:
        return pool.submit(function, *arguments).result()


def written(folder, batch, **options):
    """Estimate the flat fields of a batch below a folder, as its rule does."""
    path, output = folder / "plan.json", folder / "flat_fields"
    output.mkdir(exist_ok=True)
    plan.save(batch, str(folder), str(folder), ("well",), path)
    view = {"channels": None, "z": "max", "pages": None, "scenes": []}
    options = {"offset": 0.0, "degree": 4, "view": view} | options
    in_fresh_process(estimate, path, options, 1, output)
    return json.loads((output / "flat_fields.json").read_text())


# Estimates


# Largest and mean (root of the mean square) relative error: as seen, and a fifth or more. The
# largest is that of the outermost corner.
@pytest.mark.parametrize(
    ("count", "density", "covered", "largest", "mean"),
    [
        (12, 1.0, 0.21, 0.02, 0.005),
        (12, 1.5, 0.30, 0.06, 0.01),
        (40, 1.5, 0.30, 0.06, 0.008),
        (3, 1.0, 0.21, 0.04, 0.01),
    ],
)
def test_flat_field_is_the_shading(count, density, covered, largest, mean):
    masks = [shaded(seed, density)[1] for seed in range(count)]
    assert np.mean(masks) == pytest.approx(covered, abs=0.04)
    flat = flat_field(found(count, density), SHAPE, OFFSET)
    assert (flat.shape, flat.dtype) == (SHAPE, np.float32)
    assert flat.mean(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    error = flat / shading() - 1
    assert np.abs(error).max() < largest
    assert error.std() < mean


@pytest.mark.parametrize(("count", "density"), [(12, 1.0), (12, 1.5), (40, 1.5)])
def test_background_is_even_after_the_correction(count, density):
    images, masks = zip(*(shaded(seed, density) for seed in range(count)), strict=True)
    flat = flat_field(found(count, density), SHAPE, OFFSET)
    even = [correct(image, flat, OFFSET, np.float64) for image in images]
    assert unevenness(images, masks) > 0.14
    assert unevenness(even, masks) < 0.02
    # The same of the light alone, without the offset.
    assert unevenness([image - OFFSET for image in images], masks) > 0.24
    assert unevenness([image - OFFSET for image in even], masks) < 0.025


def test_background_is_even_too_where_the_offset_is_not_known():
    images, masks = zip(*(shaded(seed) for seed in range(12)), strict=True)
    flat = flat_field(found(12), SHAPE, 0.0)
    assert unevenness(images, masks) > 0.15
    assert unevenness([correct(image, flat, 0.0, np.float64) for image in images], masks) < 0.02
    # But light is corrected by less than it was shaded, as the help of the key says.
    assert 0.4 < np.ptp(flat) / np.ptp(shading()) < 0.8


def test_nuclei_are_as_bright_in_the_corners_as_in_the_centre():
    """The same nucleus everywhere, on the background of the images: exactly what is measured."""
    flat = flat_field(found(12), SHAPE, OFFSET)
    nuclei = shading() * 2000 + OFFSET
    even = correct(nuclei, flat, OFFSET, np.float64)
    assert np.ptp(nuclei) / np.ptp(even) > 8
    assert even[:32, -32:].mean() == pytest.approx(even[240:272, 240:272].mean(), rel=0.02)


def test_one_image_gives_its_own_smooth_background():
    flat = flat_field(found(1), SHAPE, OFFSET)
    error = flat / shading() - 1
    assert error.std() < 0.02
    # A surface of the second degree: third differences vanish.
    assert np.abs(np.diff(flat.astype(np.float64)[::64], n=3, axis=0)).max() < 1e-5


def test_flat_field_has_no_nuclei():
    """Nuclei in the same place of all images but few do not show."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    spot = 1500 * (np.hypot(y - 300, x - 200) < 20)
    crowded = [background((shaded(seed)[0] + spot).astype(np.uint16)) for seed in range(12)]
    flat = flat_field(crowded, SHAPE, OFFSET)
    without = flat_field(found(12), SHAPE, OFFSET)
    assert np.abs(flat / without - 1).max() < 0.004
    assert np.abs(np.diff(flat, axis=0)).max() < 0.004


def test_images_differ_in_brightness_and_some_are_spoilt():
    bright = [Background(3 * each.levels - 2 * OFFSET, each.seen) for each in found(6)]
    spoilt = Background(found(1)[0].levels[::-1] * 40, found(1)[0].seen)
    flat = flat_field([*found(12)[6:], *bright, spoilt], SHAPE, OFFSET)
    assert (flat / shading() - 1).std() < 0.01


def test_order_of_the_images_does_not_matter():
    flat = flat_field(found(12), SHAPE, OFFSET)
    np.testing.assert_allclose(flat_field(found(12)[::-1], SHAPE, OFFSET), flat, rtol=1e-6)


def test_degree_0_is_even():
    assert (flat_field(found(12), SHAPE, OFFSET, 0) == 1).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_types_of_images(dtype):
    image = np.rint(100 * shading((96, 128))).astype(dtype)
    before = image.copy()
    flat = flat_field([background(image)], image.shape)
    assert np.abs(flat / shading((96, 128)) - 1).max() < 0.01
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 2), (30, 7)])
def test_tiny_images(shape):
    flat = flat_field([background(np.full(shape, 7, np.uint8))] * 6, shape)
    np.testing.assert_allclose(flat, np.ones(shape), rtol=1e-6)


def test_large_images_are_reduced():
    shape = (1300, 900)
    random = np.random.default_rng(0)
    images = [random.poisson(200 * shading(shape)) for _ in range(3)]
    flat = flat_field([background(image) for image in images], shape)
    assert np.abs(flat / shading(shape) - 1).max() < 0.005


@pytest.mark.parametrize("level", [0, 100])
def test_images_without_light_are_refused(level):
    dark = [background(np.full((40, 40), level, np.uint16))] * 3
    with pytest.raises(ImageError) as caught:
        flat_field(dark, (40, 40), float(level))
    assert str(caught.value) == (
        f"no image of the sample has a background above illumination.offset ({level}): "
        "set it to what the camera gives without light"
    )


def test_dark_images_count_for_nothing_beside_others():
    dark = [Background(np.full((24, 24), OFFSET), np.ones((24, 24)))] * 5
    flat = flat_field([*found(12), *dark], SHAPE, OFFSET)
    np.testing.assert_allclose(flat, flat_field(found(12), SHAPE, OFFSET), rtol=1e-6)


def test_light_never_falls_to_nothing():
    levels = np.linspace(-50, 200, 24)[None, :] * np.ones((24, 1))
    flat = flat_field([Background(levels, np.ones((24, 24)))] * 6, (48, 48))
    assert flat.min() > 0.04


def test_uneven_field(data):
    """Twelve real fields: the figures before and after."""
    files = sorted((data / "uneven-field").iterdir())
    images = [tifffile.imread(file) for file in files]
    backgrounds = [background(image) for image in images]
    flat = flat_field(backgrounds, SHAPE)
    assert flat.min() == pytest.approx(0.43, abs=0.02)
    assert flat.max() == pytest.approx(1.36, abs=0.02)

    def spread(images):
        """Deviation of the mean background of 8 x 8 tiles over their mean."""
        tiles = np.mean([background(image).levels for image in images], axis=0)
        tiles = tiles.reshape(8, 3, 8, 3).mean(axis=(1, 3))
        return tiles.std() / tiles.mean()

    even = [correct(image, flat, 0.0, np.float64) for image in images]
    assert spread(images) > 0.2
    assert spread(even) < 0.06
    # Light that is estimated from six fields makes six others even, too.
    flat = flat_field(backgrounds[::2], SHAPE)
    others = images[1::2]
    assert spread([correct(image, flat, 0.0, np.float64) for image in others]) < 0.13


# What the rule of a directory writes


def write_images(folder, count=6, shape=(64, 80), level=200):
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        image = np.random.default_rng(seed).poisson(level * shading(shape))
        tifffile.imwrite(folder / f"{seed}.tif", image.astype(np.uint16))
    return [f"{seed}.tif" for seed in range(count)]


def test_files_of_an_estimate(tmp_path):
    names = write_images(tmp_path / "plate")
    facts = written(tmp_path, batch_of(*names))
    flat = tifffile.imread(tmp_path / "flat_fields" / "0.tif")
    assert np.abs(flat / shading((64, 80)) - 1).max() < 0.03
    (entry,) = facts.pop("flat_fields")
    assert facts == {"directory": "plate", "offset": 0.0, "problems": [], "left_out": []}
    assert entry == {
        **{"channel": "", "file": "0.tif", "height": 64, "width": 80, "images": 6},
        **{"low": round(float(flat.min()), 4), "high": round(float(flat.max()), 4)},
    }


def test_threads_do_not_matter(tmp_path):
    names = write_images(tmp_path / "plate")
    batch = batch_of(*names)
    one, two = (in_fresh_process(gathered, batch, tmp_path, View(), n)[0] for n in (1, 2))
    assert one.keys() == two.keys() == {("", (64, 80))}
    for first, second in zip(one["", (64, 80)], two["", (64, 80)], strict=True):
        np.testing.assert_array_equal(first.levels, second.levels)
        np.testing.assert_array_equal(first.seen, second.seen)


def test_each_shape_and_channel_has_its_own(tmp_path):
    names = write_images(tmp_path / "plate", 4)
    channels = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    for name in ("a.ome.tif", "b.ome.tif"):
        image = np.stack([200 * shading((64, 80)), np.full((64, 80), 30)]).astype(np.uint16)
        tifffile.imwrite(tmp_path / "plate" / name, image, metadata=channels)
    tifffile.imwrite(tmp_path / "plate" / "small.tif", np.full((20, 30), 9, np.uint8))
    names += ["a.ome.tif", "b.ome.tif", "small.tif"]
    facts = written(tmp_path, batch_of(*names))
    assert [(each["file"], each["images"]) for each in facts["flat_fields"]] == [
        ("0_30x20.tif", 1),
        ("0.tif", 4),
        ("DAPI.tif", 2),
        ("GFP.tif", 2),
    ]
    low = {each["file"]: each["low"] for each in facts["flat_fields"]}
    assert low["DAPI.tif"] < 0.8
    assert low["GFP.tif"] == low["0_30x20.tif"] == 1
    assert facts["problems"] == []


def test_images_that_cannot_be_read_are_left_out(tmp_path):
    names = write_images(tmp_path / "plate")
    expected = written(tmp_path, batch_of(*names))["flat_fields"]
    nan = np.full((64, 80), np.nan, np.float32)
    tifffile.imwrite(tmp_path / "plate" / "nan.tif", nan)
    (tmp_path / "plate" / "empty.tif").write_bytes(b"")
    batch = batch_of(*names, "nan.tif", "empty.tif", "gone.tif")
    batch.images.append(Image("x", (plan.File("x.tif", 1, 1),), (), "its channel GFP is missing"))
    facts = written(tmp_path, batch)
    assert facts["flat_fields"] == expected
    assert sorted(facts["left_out"]) == [
        "empty.tif: the file is empty (0 bytes), copy it again",
        "gone.tif: the file is not there any more, or is a link to nothing",
        "nan.tif: 5120 pixels are not numbers (NaN or infinite), export it again",
        "x.tif: its channel GFP is missing",
    ]
    assert facts["problems"] == []


def test_a_directory_of_unreadable_images_says_so_once(tmp_path):
    (tmp_path / "plate").mkdir()
    (tmp_path / "plate" / "empty.tif").write_bytes(b"")
    facts = written(tmp_path, batch_of("empty.tif"))
    assert facts["flat_fields"] == []
    assert facts["problems"] == [
        "no image of the sample could be read: raise illumination.estimate.images, or give one "
        "with illumination.flat_field"
    ]


def test_black_images_say_so_once(tmp_path):
    (tmp_path / "plate").mkdir()
    tifffile.imwrite(tmp_path / "plate" / "black.tif", np.zeros((20, 30), np.uint8))
    facts = written(tmp_path, batch_of("black.tif"))
    assert facts["flat_fields"] == []
    assert facts["problems"] == [
        "no image of the sample has a background above illumination.offset (0): set it to what "
        "the camera gives without light"
    ]


@pytest.mark.parametrize(("times", "images"), [(9, 9), (220, 200)])
def test_a_file_of_many_images_gives_many(tmp_path, times, images):
    (tmp_path / "plate").mkdir()
    stack = np.full((times, 5, 7), 50, np.uint8)
    tifffile.imwrite(tmp_path / "plate" / "a.tif", stack, imagej=True, metadata={"axes": "TYX"})
    (entry,) = written(tmp_path, batch_of("a.tif"))["flat_fields"]
    assert entry["images"] == images


def test_planes_are_averaged_where_their_sum_is_measured(tmp_path):
    (tmp_path / "plate").mkdir()
    stack = np.stack([200 * shading((64, 80)) + OFFSET] * 5).astype(np.uint16)
    tifffile.imwrite(tmp_path / "plate" / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    view = {"channels": None, "z": "sum", "pages": None, "scenes": []}
    written(tmp_path, batch_of("a.tif"), offset=OFFSET, view=view)
    flat = tifffile.imread(tmp_path / "flat_fields" / "0.tif")
    assert np.abs(flat / shading((64, 80)) - 1).max() < 0.01


# The sample


def batches(*names, directory="plate", size=3):
    images = [Image(name, (plan.File(f"{name}.tif", 5, 6),)) for name in sorted(names)]
    return [
        Batch(f"b{start}", directory, directory, images[start : start + size], Extent(1.0))
        for start in range(0, len(images), size)
    ]


def taken(names, count=20):
    return [image.name for image in sampled(batches(*names), count)["plate"].images]


def test_sample_hardly_changes_with_the_images():
    names = [f"A{number:03}" for number in range(200)]
    sample = taken(names)
    assert len(sample) == 20
    assert sample == sorted(sample)
    assert taken(reversed(names)) == sample
    changed = 0
    for number in range(50):
        more = taken([*names, f"B{number}"])
        assert len(set(more) - set(sample)) <= 1
        changed += more != sample
    # One of ten new images, about, is in a sample of 20 of 200.
    assert changed < 12
    others = [name for name in names if name not in sample]
    assert taken(set(names) - set(others[:30])) == sample


def test_fingerprint_of_the_sample_is_that_of_its_images():
    names = [f"A{number:03}" for number in range(30)]
    sample = sampled(batches(*names), 10)["plate"]
    assert sampled(batches(*names, size=30), 10)["plate"].fingerprint == sample.fingerprint
    assert sampled(batches(*names), 11)["plate"].fingerprint != sample.fingerprint


def test_sample_of_each_directory():
    found = sampled([*batches("a", "b", directory="day 2/x"), *batches("c", directory=".")], 5)
    assert [(name, batch.directory, len(batch.images)) for name, batch in found.items()] == [
        (directory_name("day 2/x"), "day 2/x", 2),
        (directory_name("."), ".", 1),
    ]


def test_images_known_to_fail_are_in_no_sample_unless_alone():
    bad = Image("0", (plan.File("0.tif", 1, 1),), (), "a file is missing")
    (batch,) = batches("a", "b")
    batch.images.append(bad)
    assert [image.name for image in sampled([batch], 5)["plate"].images] == ["a", "b"]
    batch.images[:] = [bad]
    assert sampled([batch], 5)["plate"].images == [bad]


@pytest.mark.parametrize(
    ("directory", "name"),
    [("plate1", "plate1"), ("2024-01-02_a.b", "2024-01-02_a.b"), (".", "root."), ("a/b", "a-b.")],
)
def test_name_of_a_directory(directory, name):
    assert directory_name(directory) in (name, *[f"{name}{directory_name(directory)[-8:]}"])
    assert "/" not in directory_name(directory)


def test_names_of_directories_are_different():
    directories = [".", "root", "a b", "a/b", "a-b", "a_b", "ä", "..a", ".a", "a."]
    assert len({directory_name(each) for each in directories}) == len(directories)


# The correction


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.float64, [[180.0, 90 / 0.8 + 10, 10.0]]),
        (np.float32, [[180.0, 122.5, 10.0]]),
        (np.uint16, [[180, 122, 10]]),
        (np.uint8, [[180, 122, 10]]),
    ],
)
def test_correction(dtype, expected):
    image = np.array([[95, 100, 10]], np.uint8)
    flat = np.array([[0.5, 0.8, 1.7]], np.float32)
    even = correct(image, flat, 10.0, dtype)
    assert even.dtype == dtype
    np.testing.assert_allclose(even, expected, rtol=1e-7 if dtype == np.float64 else 1e-6)
    np.testing.assert_array_equal(image, [[95, 100, 10]])


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [(np.uint8, 0, 255), (np.uint16, 0, 65535), (np.int16, -32768, 32767)]
)
def test_integers_are_clipped_to_their_type(dtype, low, high):
    limits = np.array([[low, high]], dtype)
    even = correct(limits, np.array([[0.5, 0.5]], np.float32), 20.0, dtype)
    assert (even.dtype, even.tolist()) == (dtype, [[low, high]])


def test_another_shape_is_refused():
    with pytest.raises(ImageError) as caught:
        correct(np.zeros((4, 5)), np.ones((5, 4), np.float32), 0.0, np.float64)
    assert str(caught.value) == (
        "the image has 5 x 4 pixels and its flat field 4 x 5: give a flat field of the size of "
        "the image, before crop and resize"
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_flat_fields_of_any_type_and_scale(dtype):
    flat = normalised(np.array([[50, 100], [100, 150]], dtype))
    assert flat.dtype == np.float32
    np.testing.assert_array_equal(flat, [[0.5, 1], [1, 1.5]])


@pytest.mark.parametrize("bad", [0, -1, np.nan, np.inf])
def test_flat_fields_that_cannot_be_are_refused(bad):
    flat = np.ones((3, 4), np.float32)
    flat[1, 2] = bad
    with pytest.raises(ImageError) as caught:
        normalised(flat)
    assert str(caught.value) == (
        "1 of 12 pixels of the flat field are zero, negative or not a number: each must be above 0"
    )


RECORD = {"directory": "plate", "member": 0}


def two_channels(tmp_path):
    """An image of two channels, the second of them twice as bright, in stripes of light."""
    stripes = np.repeat([[100, 50]], 6, axis=0).repeat(4, axis=1)
    image = np.stack([stripes, stripes * 2]).astype(np.uint16)
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", image, metadata=metadata)
    tifffile.imwrite(tmp_path / "stripes.tif", (stripes * 7).astype(np.float32))
    return image


def evened(tmp_path, path, exact=True, view=None, record=RECORD, offset=0.0):
    """Both channels, corrected with the flat field of a path."""
    given = {"method": "flat_field", "offset": offset, "path": path}
    with open_field(tmp_path, [File("a.ome.tif")], view or View()) as field:
        even = corrected(field, given, record, exact)
        return [even.image(index) for index in range(2)]


def test_a_flat_field_of_the_user(tmp_path):
    two_channels(tmp_path)
    first, second = evened(tmp_path, str(tmp_path / "stripes.tif"))
    assert first.dtype == np.float64
    np.testing.assert_allclose(first, np.full((6, 8), 75), rtol=1e-6)
    np.testing.assert_allclose(second, np.full((6, 8), 150), rtol=1e-6)
    first, second = evened(tmp_path, str(tmp_path / "stripes.tif"), exact=False)
    assert first.dtype == np.uint16
    assert (np.unique(first).tolist(), np.unique(second).tolist()) == ([75], [150])


def test_flat_fields_by_channel_leave_others_as_they_are(tmp_path):
    image = two_channels(tmp_path)
    first, second = evened(tmp_path, {"gfp": str(tmp_path / "stripes.tif")})
    np.testing.assert_array_equal(first, image[0])
    assert first.dtype == np.float64
    np.testing.assert_allclose(second, np.full((6, 8), 150), rtol=1e-6)
    with pytest.raises(ImageError) as caught:
        evened(tmp_path, {"Cy5": str(tmp_path / "stripes.tif")})
    assert str(caught.value) == (
        "there is no channel Cy5, the image has DAPI, GFP: change illumination.flat_field.path"
    )


def test_channel_and_directory_in_the_path(tmp_path):
    two_channels(tmp_path)
    for directory in ("day 2/x", directory_name("day 2/y")):
        (tmp_path / "flats" / directory).mkdir(parents=True)
        for channel in ("DAPI", "GFP"):
            shutil.copy(tmp_path / "stripes.tif", tmp_path / "flats" / directory / f"{channel}.tif")
    path = str(tmp_path / "flats" / "{directory}" / "{channel}.tif")
    for directory in ("day 2/x", "day 2/y"):
        for even in evened(tmp_path, path, record={"directory": directory, "member": 0}):
            np.testing.assert_allclose(even, even.mean(), rtol=1e-6)
        names = [Path(file).name for file in files_of(path, directory)]
        assert names == ["DAPI.tif", "GFP.tif"]
    with pytest.raises(ImageError, match=r"there is no file .*/flats/z/\{channel\}\.tif, check"):
        files_of(path, "z")
    with pytest.raises(ImageError, match=r"there is no flat field .*/flats/z/DAPI\.tif: change"):
        evened(tmp_path, path, record={"directory": "z", "member": 0})
    with pytest.raises(ImageError, match=r"flats is a directory, name an image file"):
        files_of(str(tmp_path / "flats"), "z")
    with pytest.raises(ImageError, match=r"flat_field\.path is not set, name an image file"):
        files_of(None, "z")


def test_a_flat_field_of_all_channels(tmp_path):
    image = two_channels(tmp_path)
    image[1] = 90
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite(tmp_path / "both.ome.tif", image, metadata=metadata)
    first, second = evened(tmp_path, str(tmp_path / "both.ome.tif"))
    np.testing.assert_allclose(first, np.full((6, 8), 75), rtol=1e-6)
    np.testing.assert_array_equal(np.unique(second), [100, 200])


def test_crop_and_resize_are_those_of_the_image(tmp_path):
    two_channels(tmp_path)
    crop = {"x": 3, "y": 1, "width": 4, "height": 4}
    view = View(crop=crop, resize={"factor": 0.5})
    for even in evened(tmp_path, str(tmp_path / "stripes.tif"), view=view):
        assert even.shape == (2, 2)
        np.testing.assert_allclose(even, even.mean(), rtol=1e-6)


@pytest.mark.parametrize(
    ("flat", "sentence"),
    [
        (np.ones((8, 6)), "the image has 8 x 6 pixels and its flat field flat.tif 6 x 8: give"),
        (np.zeros((6, 8)), "flat field flat.tif: 48 of 48 pixels of the flat field are zero"),
        (np.full((6, 8), np.nan), "flat field flat.tif: 48 pixels are not numbers"),
        (np.ones((3, 6, 8)), "flat field flat.tif: there is no channel DAPI, the image has"),
    ],
)
def test_flat_fields_of_the_user_that_do_not_fit(tmp_path, flat, sentence):
    two_channels(tmp_path)
    tifffile.imwrite(tmp_path / "flat.tif", flat.astype(np.float32), photometric="minisblack")
    with pytest.raises(ImageError) as caught:
        evened(tmp_path, str(tmp_path / "flat.tif"))
    assert str(caught.value).startswith(sentence)


def test_an_estimate_is_found_by_channel_and_shape(tmp_path):
    (tmp_path / "plate").mkdir()
    two_channels(tmp_path / "plate")
    folder = tmp_path / "illumination" / "plate"
    folder.parent.mkdir()
    written(tmp_path, batch_of("a.ome.tif")), (tmp_path / "flat_fields").rename(folder)
    given = {"method": "estimate", "offset": 0.0, "folder": str(folder.parent)}
    with open_field(tmp_path / "plate", [File("a.ome.tif")], View()) as field:
        for index, name in enumerate(("DAPI", "GFP")):
            flat = normalised(tifffile.imread(folder / f"{name}.tif"))
            even = corrected(field, given, RECORD, True).image(index)
            np.testing.assert_array_equal(even, field.image(index) / flat.astype(np.float64))
        # Of a batch with images of several directories, each has its own.
        several = given | {"directories": ["other", "plate"]}
        record = {"directory": ".", "member": 1}
        np.testing.assert_array_equal(corrected(field, several, record, True).image(1), even)
    tifffile.imwrite(tmp_path / "plate" / "other.tif", np.ones((4, 4), np.uint8))
    with (
        open_field(tmp_path / "plate", [File("other.tif")], View()) as field,
        pytest.raises(ImageError) as caught,
    ):
        corrected(field, given, RECORD, True).image(0)
    assert str(caught.value) == (
        "no flat field could be estimated for images of 4 x 4 pixels from the sample of its "
        "directory (none was usable): raise illumination.estimate.images, or give one with "
        "illumination.flat_field"
    )


def test_image_without_an_estimate_says_why_there_is_none(tmp_path):
    two_channels(tmp_path)
    folder = tmp_path / "out" / directory_name("plate")
    folder.mkdir(parents=True)
    facts = {"flat_fields": [], "problems": ["channel DAPI: it is dark: light it"]}
    (folder / "flat_fields.json").write_text(json.dumps(facts))
    given = {"method": "estimate", "offset": 0.0, "folder": str(folder.parent)}
    said = []
    with open_field(tmp_path, [File("a.ome.tif")], View()) as field:
        for index in range(2):
            with pytest.raises(ImageError) as caught:
                corrected(field, given, RECORD, True).image(index)
            said.append(str(caught.value))
    assert said[0] == "no flat field of channel DAPI could be estimated: it is dark: light it"
    assert said[1].startswith("no flat field of channel GFP could be estimated for images of 8 x 6")


def test_without_a_correction_a_field_is_what_it_was(tmp_path):
    two_channels(tmp_path)
    with open_field(tmp_path, [File("a.ome.tif")], View()) as field:
        assert corrected(field, None, RECORD, True) is field


def test_other_times_are_corrected_too(tmp_path):
    stack = np.stack([np.repeat([[100, 50]], 6, axis=0), np.repeat([[40, 20]], 6, axis=0)])
    tifffile.imwrite(tmp_path / "a.ome.tif", stack.astype(np.uint8), metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "stripes.tif", stack[0].astype(np.uint8))
    given = {"method": "flat_field", "offset": 0.0, "path": str(tmp_path / "stripes.tif")}
    with open_field(tmp_path, [File("a.ome.tif")], View()) as field:
        even = corrected(field, given, RECORD, exact=False)
        assert np.unique(even.image(0)).tolist() == [75]
        assert np.unique(even.at(1).image(0)).tolist() == [30]


def test_part_of_a_field_is_corrected_with_that_part_of_the_flat_field(tmp_path):
    two_channels(tmp_path)
    light = np.random.default_rng(0).uniform(0.5, 1.5, (6, 8)).astype(np.float32)
    tifffile.imwrite(tmp_path / "light.tif", light)
    given = {"method": "flat_field", "offset": 3.0, "path": str(tmp_path / "light.tif")}
    whole = evened(tmp_path, given["path"], offset=3.0)[1]
    part = slice(1, 5), slice(2, 8)
    with open_field(tmp_path, [File("a.ome.tif")], View(), part=part) as field:
        found = corrected(field, given, RECORD, True).image(1)
    np.testing.assert_array_equal(found, whole[part])


# Pictures of flat fields


def test_maps_show_the_worst_first(tmp_path):
    maps = []
    for number, low in enumerate((0.9, 0.5, 0.7)):
        flat = np.full((30, 60), 1, np.float32)
        flat[:, :20] = low
        flat_fields.save(flat, tmp_path / f"{number}.tif")
        path = tmp_path / f"{number}.tif"
        maps.append(illumination_maps.Map(f"plate{number}", "DAPI", path, low, 1.0, 1))
    chosen = illumination_maps.worst(maps, 2)
    assert [each.directory for each in chosen] == ["plate1", "plate2"]
    sheet = illumination_maps.sheet(chosen, 3)
    side, line = illumination_maps.SIDE, illumination_maps.LINE
    assert sheet.shape == (side + 5 * line, 2 * side, 3)
    # Half of the light is the darkest colour, all of it the middle of the scale.
    first = sheet[2 * line + 6 + 50]
    assert first[20].tolist() == [68, 1, 84]
    assert first[150].tolist() == [33, 145, 140]
    assert illumination_maps.sheet([], 0).shape == (side + 5 * line, side, 3)
