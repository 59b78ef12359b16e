"""Pictures of our own: what was written comes back, and opens elsewhere."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from nucleiflow import images
from nucleiflow.images import (
    decode_tiff,
    encode_large_tiff,
    encode_picture,
    encode_tiff,
    read_part,
)

RNG = np.random.default_rng(1)
GREY16 = RNG.integers(0, 65536, (20, 30), np.uint16)
RGB = RNG.integers(0, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64, bool])
@pytest.mark.parametrize("shape", [(20, 30), (1, 1), (1, 7), (7, 1), (3, 5), (20, 4)])
def test_tiff_gives_back_what_was_written(tmp_path, dtype, shape):
    image = (GREY16[: shape[0], : shape[1]] % 251).astype(dtype)
    before = image.copy()
    encode_tiff(tmp_path / "a.tif", image)
    result = decode_tiff(tmp_path / "a.tif")
    assert (result.dtype, result.shape) == (np.dtype(dtype), shape)
    np.testing.assert_array_equal(result, before)
    np.testing.assert_array_equal(image, before)


def test_labels_beyond_65535_survive_the_file(tmp_path):
    labels = np.arange(300 * 300, dtype=np.int32).reshape(300, 300)
    encode_tiff(tmp_path / "a.tif", labels)
    np.testing.assert_array_equal(decode_tiff(tmp_path / "a.tif"), labels)


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 700])
def test_labels_open_in_other_programs(tmp_path, rows):
    labels = np.random.default_rng(1).integers(0, 70_000, (rows, 40)).astype(np.int32)
    encode_tiff(tmp_path / "a.tif", labels)
    with Image.open(tmp_path / "a.tif") as opened:
        np.testing.assert_array_equal(np.asarray(opened), labels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), labels)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_labels_are_compressed(tmp_path):
    labels = np.repeat(np.repeat(np.arange(100, dtype=np.int32), 50)[None], 200, axis=0)
    encode_tiff(tmp_path / "a.tif", labels)
    assert (tmp_path / "a.tif").stat().st_size < labels.nbytes / 20


def test_masks_are_compressed_and_noise_of_16_bits_is_not(tmp_path):
    mask = np.kron(np.eye(8, dtype=np.uint8) * 255, np.ones((40, 40), np.uint8))
    dark = np.minimum(GREY16.repeat(20, axis=0) % 4, 3).astype(np.uint16)
    for image, smaller in ((mask, 20), (dark, 2), (GREY16, 0)):
        encode_tiff(tmp_path / "a.tif", image)
        with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
            compressed = tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert compressed == bool(smaller)
        assert (tmp_path / "a.tif").stat().st_size * smaller < image.nbytes
        np.testing.assert_array_equal(decode_tiff(tmp_path / "a.tif"), image)
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.tif"), -1), image)


def test_png_picture_is_exact_and_in_the_order_red_green_blue():
    picture = cv2.imdecode(np.frombuffer(encode_picture(RGB, "png"), np.uint8), -1)
    np.testing.assert_array_equal(picture[..., ::-1], RGB)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (9, 1, 3), (33, 47, 3)])
def test_png_of_any_shape_in_any_number_of_chunks_opens_elsewhere(monkeypatch, shape):
    picture = RNG.integers(0, 256, shape, np.uint8)
    for chunk in (images.CHUNK, 11):
        monkeypatch.setattr(images, "CHUNK", chunk)
        data = encode_picture(picture, "png")
        assert data.count(b"IDAT") >= min(picture.size // chunk, 2)
        with Image.open(io.BytesIO(data)) as opened:
            np.testing.assert_array_equal(np.asarray(opened), picture)


def test_jpg_picture_is_in_the_order_red_green_blue():
    image = np.full((32, 32, 3), (250, 120, 10), np.uint8)
    picture = cv2.imdecode(np.frombuffer(encode_picture(image, "jpg"), np.uint8), -1)
    np.testing.assert_allclose(picture[..., ::-1].astype(int), image, atol=4)


@pytest.mark.parametrize("shape", [(1300, 700), (512, 512), (1, 1), (513, 1025)])
def test_large_image_is_written_from_parts_and_parts_are_read(tmp_path, shape):
    labels = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape) * 70_000
    asked = []

    def part(rows, columns):
        asked.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return labels[rows, columns]

    encode_large_tiff(tmp_path / "a.tif", shape, np.int32, part)
    assert max(asked) <= 512 * shape[1]
    assert sum(asked) == labels.size
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), labels)
    rows, columns = slice(shape[0] // 3, shape[0]), slice(0, -(-shape[1] // 2))
    found = decode_tiff(tmp_path / "a.tif", rows, columns)
    np.testing.assert_array_equal(found, labels[rows, columns])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Tiles or strips that the part is in.
        ({"tile": (64, 64)}, 6),
        ({"tile": (64, 64), "compression": "zlib", "predictor": True}, 6),
        ({"rowsperstrip": 50}, 2),
        ({"rowsperstrip": 50, "compression": "lzw"}, 2),
    ],
)
def test_of_a_part_no_more_is_decoded_than_there_is(tmp_path, monkeypatch, options, expected):
    image = np.random.default_rng(0).integers(0, 65536, (300, 200), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image, **options)
    decoded = []
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages.first
        decode = page.decode
        monkeypatch.setattr(
            page, "decode", lambda *a, **b: decoded.append(a) or decode(*a, **b), raising=False
        )
        found = read_part(page, slice(60, 130), slice(30, 100))
    np.testing.assert_array_equal(found[0, 0, :, :, 0], image[60:130, 30:100])
    assert len(decoded) == expected


def test_part_of_labels_that_were_written_whole(tmp_path):
    labels = np.arange(600 * 40, dtype=np.int32).reshape(600, 40)
    encode_tiff(tmp_path / "a.tif", labels)
    part = slice(200, 513), slice(3, 40)
    np.testing.assert_array_equal(decode_tiff(tmp_path / "a.tif", *part), labels[part])


def test_tiff_of_another_program_is_read(tmp_path):
    for options in ({}, {"bigtiff": True}, {"byteorder": ">"}, {"tile": (16, 16)}):
        tifffile.imwrite(tmp_path / "a.tif", GREY16, **options)
        np.testing.assert_array_equal(decode_tiff(tmp_path / "a.tif"), GREY16)


@pytest.mark.parametrize("image", [GREY16, np.tile(GREY16.astype(np.int32), (20, 1))])
def test_tiff_that_is_cut_short_is_refused(tmp_path, image):
    encode_tiff(tmp_path / "a.tif", image)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[:-3])
    with pytest.raises((ValueError, RuntimeError)):
        decode_tiff(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 30), (700, 40)])
def test_tiff_states_what_it_holds(tmp_path, dtype, shape):
    image = np.resize(GREY16 % 251, shape).astype(dtype)
    encode_tiff(tmp_path / "a.tif", image)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        (page,) = file.pages
        assert (page.shape, page.dtype, page.samplesperpixel) == (shape, np.dtype(dtype), 1)
        assert page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        np.testing.assert_array_equal(page.asarray(), image)
