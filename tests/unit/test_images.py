"""The reader: values as the camera wrote them, every broken file one sentence."""

import os

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from nucleiflow.images import (
    ImageError,
    decode_tiff,
    encode_picture,
    encode_tiff,
    megapixels,
    read,
)

RNG = np.random.default_rng(1)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
GREY16 = RNG.integers(0, 65536, (20, 30), np.uint16)
RGB = RNG.integers(0, 256, (20, 30, 3), np.uint8)
RGB16 = RNG.integers(0, 65536, (20, 30, 3), np.uint16)
ALPHA = RNG.integers(0, 256, (20, 30), np.uint8)
BITS = GREY > 128
COLORS = RNG.integers(0, 256, (256, 3), np.uint8)
RAMP = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)

DAMAGED_TIFF = "the TIFF file is damaged or cut short, copy it again"
DAMAGED = "the file is damaged or not a PNG, JPEG or BMP image"
EMPTY = "the file is empty (0 bytes), copy it again"
WEB_PAGE = "the file is a web page, not an image: download it again"
LFS = "the file is a Git LFS pointer, not an image: run `git lfs pull`"
GONE = "the file is not there any more, or is a link to nothing"


def refusal(path) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(ImageError) as caught:
        read(path)
    return str(caught.value)


def palette(indices, colors):
    image = Image.fromarray(indices).convert("L")
    image.putpalette(colors.ravel().tolist())
    return image


# Real broken and awkward files


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("html_as.tif", WEB_PAGE),
        ("lfs_pointer.tif", LFS),
        ("truncated_half.tif", DAMAGED_TIFF),
        ("truncated_head200.tif", DAMAGED_TIFF),
        ("truncated_label.png", "the PNG file is cut short, copy it again"),
        ("zero_byte.png", EMPTY),
        ("zero_byte.tif", EMPTY),
    ],
)
def test_real_broken_file_is_refused_in_one_sentence(data, name, sentence):
    assert refusal(data / "broken" / name) == sentence


def test_no_broken_file_is_left_out_of_these_tests(data):
    assert len(list((data / "broken").iterdir())) == 7


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "low", "high"),
    [
        ("12bit.cropped.tiff", (64, 64), "uint16", 0, 27),
        ("BigTIFF.tif", (64, 64, 3), "uint8", 0, 255),
        ("fax4.tiff", (671, 1080), "uint8", 0, 1),
        ("gradient-1c-32b-float.tiff", (1, 256), "float32", 0.00089352764, 0.99826515),
        ("int16.tif", (64, 64), "int16", -5000, 4998),
        ("int16_zstd.tif", (64, 64), "int16", -5000, 4998),
        ("issue_69_lzw.tiff", (45, 45), "uint16", 430, 598),
        ("minisblack-2c-8b-alpha.tiff", (64, 64), "uint8", 0, 152),
        ("miniswhite-1c-12b.tiff", (2, 4), "uint16", 0, 4095),
        ("palette-1c-8b.tiff", (151, 157, 3), "uint8", 0, 233),
        ("predictor-3-gray-f32.tif", (200, 200), "float32", 0.0, 0.99926436),
        ("quad-tile.jpg.tiff", (384, 512, 3), "uint8", 0, 255),
        ("rgb-3c-16b.tiff", (151, 157, 3), "uint16", 0, 62272),
        ("seq-1c-16b-tiled-68f373a0.tiff", (16, 16), "uint16", 0, 255),
    ],
)
def test_awkward_tiff_keeps_shape_type_and_values(data, name, shape, dtype, low, high):
    image = read(data / "formats" / name)
    assert (image.shape, str(image.dtype)) == (shape, dtype)
    assert (image.min(), image.max()) == (np.dtype(dtype).type(low), np.dtype(dtype).type(high))


@pytest.mark.parametrize(
    "name",
    [
        "12bit.cropped.tiff",
        "BigTIFF.tif",
        "fax4.tiff",
        "gradient-1c-32b-float.tiff",
        "int16.tif",
        "int16_zstd.tif",
        "issue_69_lzw.tiff",
        "predictor-3-gray-f32.tif",
        "quad-tile.jpg.tiff",
        "rgb-3c-16b.tiff",
        "seq-1c-16b-tiled-68f373a0.tiff",
    ],
)
def test_awkward_tiff_has_the_pixels_that_tifffile_reads(data, name):
    path = data / "formats" / name
    np.testing.assert_array_equal(read(path), tifffile.imread(path))


def test_white_is_zero_is_turned_round_within_the_bits_of_the_file(data):
    path = data / "formats/miniswhite-1c-12b.tiff"
    np.testing.assert_array_equal(read(path), 4095 - tifffile.imread(path))


def test_alpha_beside_grey_in_planes_of_its_own_is_dropped(data):
    path = data / "formats/minisblack-2c-8b-alpha.tiff"
    np.testing.assert_array_equal(read(path), tifffile.imread(path)[0])


def test_coloured_palette_gives_its_colours(data):
    path = data / "formats/palette-1c-8b.tiff"
    with tifffile.TiffFile(path) as tiff:
        indices, colormap = tiff.pages[0].asarray(), tiff.pages[0].colormap
    ours = read(path)
    for y, x in ((0, 0), (75, 80), (150, 156)):
        assert ours[y, x].tolist() == (colormap[:, indices[y, x]] >> 8).tolist()


@pytest.mark.parametrize("name", ["cmyk-3c-8b.tiff", "cmyk-3c-16b.tiff"])
def test_printing_colours_are_refused(data, name):
    sentence = "the TIFF file holds CMYK printing colours, export it as grey or RGB"
    assert refusal(data / "formats" / name) == sentence


@pytest.mark.parametrize(
    ("pattern", "shape", "dtype"),
    [
        ("cellprofiler-human/*d0.tif", (512, 512), "uint8"),
        ("sbs-plate/Channel2-01-A-01.tif", (640, 640), "uint8"),
        ("phenix/*ch5*.tiff", (1080, 1080), "uint16"),
    ],
)
def test_microscopes_grey_files_hold_the_indices_of_their_palette(data, pattern, shape, dtype):
    path = next(data.glob(pattern))
    image = read(path)
    assert (image.shape, str(image.dtype)) == (shape, dtype)
    np.testing.assert_array_equal(image, tifffile.imread(path))


# Every supported kind, written here


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "PNG", "Bmp", "TIFF"])
@pytest.mark.parametrize("image", [GREY, RGB], ids=["grey", "rgb"])
def test_8_bit_image_keeps_its_values_and_the_order_red_green_blue(tmp_path, image, ending):
    path = tmp_path / f"a b.ü.{ending}"
    Image.fromarray(image).save(path)
    result = read(path)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("image", [GREY16, RGB16], ids=["grey", "rgb"])
def test_16_bit_png_keeps_its_values(tmp_path, image):
    cv2.imwrite(str(tmp_path / "a.png"), image if image.ndim == 2 else image[..., ::-1])
    result = read(tmp_path / "a.png")
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, image)


def test_jpeg_is_rgb_up_to_its_losses(tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)
    image[:] = (200, 100, 20)
    for name in ("a.jpg", "A.JPEG"):
        Image.fromarray(image).save(tmp_path / name, quality=95)
        np.testing.assert_allclose(read(tmp_path / name).astype(int), image, atol=3)


def test_grey_jpeg_has_no_channels(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").shape == (20, 30)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_alpha_of_rgba_is_dropped_and_does_not_touch_the_colours(tmp_path, ending):
    Image.fromarray(np.dstack([RGB, ALPHA])).save(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(read(tmp_path / f"a.{ending}"), RGB)


def test_alpha_of_16_bit_rgba_is_dropped(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([RGB16[..., ::-1], GREY16]))
    np.testing.assert_array_equal(read(tmp_path / "a.png"), RGB16)


def test_alpha_beside_grey_is_dropped(tmp_path):
    both = np.dstack([GREY, ALPHA])
    Image.fromarray(both).save(tmp_path / "a.png")
    # OpenCV gives grey with alpha as colours, all alike.
    png = read(tmp_path / "a.png")
    for index in range(3):
        np.testing.assert_array_equal(png[..., index], GREY)
    tifffile.imwrite(
        tmp_path / "a.tif", both, photometric="minisblack", extrasamples=["unassalpha"]
    )
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), GREY)


def test_grey_palette_of_a_tiff_or_bmp_gives_the_indices(tmp_path):
    for ending in ("tif", "bmp"):
        palette(GREY, RAMP).save(tmp_path / f"a.{ending}")
        np.testing.assert_array_equal(read(tmp_path / f"a.{ending}"), GREY)


def test_grey_palette_of_a_png_gives_the_indices_in_every_channel(tmp_path):
    palette(GREY, RAMP).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), np.dstack([GREY] * 3))


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_coloured_palette_gives_red_green_blue(tmp_path, ending):
    palette(GREY, COLORS).save(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(read(tmp_path / f"a.{ending}"), COLORS[GREY])


@pytest.mark.parametrize(("ending", "white"), [("png", 255), ("bmp", 255), ("tif", 1)])
def test_1_bit_image_becomes_8_bit(tmp_path, ending, white):
    Image.fromarray(BITS).save(tmp_path / f"a.{ending}")
    result = read(tmp_path / f"a.{ending}")
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, BITS * white)


@pytest.mark.parametrize(
    ("dtype", "becomes"),
    [
        *((name, name) for name in ("uint8", "uint16", "uint32", "float32", "float64")),
        *((name, name) for name in ("int8", "int16", "int32")),
        ("float16", "float32"),
        ("bool", "uint8"),
    ],
)
def test_tiff_keeps_its_type_or_takes_the_next_larger(tmp_path, dtype, becomes):
    image = (GREY16 % 200 / 7 - 3 * (dtype[0] != "u")).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack")
    result = read(tmp_path / "a.tif")
    assert str(result.dtype) == becomes
    np.testing.assert_array_equal(result, image)


def test_colours_in_planes_of_their_own_become_the_last_axis(tmp_path):
    planes = np.moveaxis(RGB16, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), RGB16)


def test_five_channels_of_a_pixel_are_all_kept(tmp_path):
    image = np.dstack([GREY16, RGB16, GREY16[::-1]])
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), image)


@pytest.mark.parametrize(("image", "top"), [(GREY, 255), (GREY16, 65535)], ids=["8", "16"])
def test_white_is_zero_gives_light_as_large_values(tmp_path, image, top):
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="miniswhite")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), top - image)


def test_smaller_copies_of_the_same_image_do_not_matter(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GREY, subifds=1)
        tiff.write(GREY[::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), GREY)


# Refusals


PLANES = "the file holds {} planes, channels or times, one plane a file is read"


@pytest.mark.parametrize(
    ("shape", "count", "options"),
    [
        ((3, 20, 30), 3, {"photometric": "minisblack"}),
        ((2, 3, 20, 30), 6, {"imagej": True}),
        ((16, 32, 32), 16, {"photometric": "minisblack", "volumetric": True, "tile": (16, 16, 16)}),
    ],
    ids=["pages", "imagej", "volume"],
)
def test_several_planes_are_refused_with_their_number(tmp_path, shape, count, options):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), **options)
    assert refusal(tmp_path / "a.tif") == PLANES.format(count)


def test_pages_of_several_shapes_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GREY)
        tiff.write(GREY16[:10])
    assert refusal(tmp_path / "a.tif") == PLANES.format(2)


def test_what_is_not_a_number_is_refused_with_the_count_of_pixels(tmp_path):
    image = np.ones((4, 4), np.float32)
    image[0, 0], image[1, 1], image[2, 2] = np.nan, np.inf, -np.inf
    tifffile.imwrite(tmp_path / "a.tif", image)
    sentence = "3 pixels are not numbers (NaN or infinite), export it again"
    assert refusal(tmp_path / "a.tif") == sentence


def test_complex_numbers_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), np.complex64))
    sentence = "the file holds complex numbers, which are not an image of light"
    assert refusal(tmp_path / "a.tif") == sentence


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.JPG", "a.bmp"])
def test_what_is_no_file_is_refused(tmp_path, name):
    path = tmp_path / name
    assert refusal(path) == GONE
    path.symlink_to("nowhere")
    assert refusal(path) == GONE
    path.unlink()
    path.symlink_to(name)
    assert refusal(path) == "the file is a link that leads back to itself"
    path.unlink()
    path.mkdir()
    assert refusal(path) == "the file is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_without_permission_is_refused(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    assert refusal(tmp_path / "a.png") == "the file may not be read, check its permissions"


@pytest.mark.parametrize("ending", ["tif", "png", "jpg", "bmp"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", EMPTY),
        (b"\n<!DOCTYPE html><html>404</html>", WEB_PAGE),
        (b'<?xml version="1.0"?><Error/>', WEB_PAGE),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", LFS),
        (b"field,well\n1,A01\n", None),
        (bytes(5000), None),
    ],
    ids=["empty", "html", "xml", "lfs", "text", "zeros"],
)
def test_file_that_is_no_image_is_refused(tmp_path, content, sentence, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    assert refusal(path) == (sentence or (DAMAGED_TIFF if ending == "tif" else DAMAGED))


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        ("png", "the PNG file is cut short, copy it again"),
        ("jpg", "the JPEG file is cut short, copy it again"),
        ("bmp", DAMAGED),
        ("tif", DAMAGED_TIFF),
    ],
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_file_that_is_cut_short_is_refused(tmp_path, ending, sentence, share):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(np.tile(GREY, (6, 6))).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert refusal(path) == sentence


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"compression": "zlib"}])
def test_tiff_that_is_cut_short_is_refused_with_any_compression(tmp_path, options):
    image = np.tile(GREY, (6, 6))
    tifffile.imwrite(tmp_path / "a.tif", image, rowsperstrip=10, **options)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) * 3 // 4])
    assert refusal(tmp_path / "a.tif") == DAMAGED_TIFF


def test_png_with_a_changed_byte_is_refused(tmp_path):
    Image.fromarray(np.tile(GREY, (6, 6))).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(content)
    assert refusal(tmp_path / "a.png") == DAMAGED


def test_png_named_tif_is_refused(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    assert refusal(tmp_path / "a.tif") == DAMAGED_TIFF


def test_failing_disk_is_not_the_images_fault(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "a.png")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(np, "fromfile", fail)
    with pytest.raises(OSError, match="Input/output error"):
        read(tmp_path / "a.png")


def test_reading_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY16)
    before = path.read_bytes(), path.stat().st_mtime_ns
    path.chmod(0o444)
    read(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


# Writing


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


def test_png_picture_is_exact_and_in_the_order_red_green_blue():
    picture = cv2.imdecode(np.frombuffer(encode_picture(RGB, "png"), np.uint8), -1)
    np.testing.assert_array_equal(picture[..., ::-1], RGB)


def test_jpg_picture_is_in_the_order_red_green_blue():
    image = np.full((32, 32, 3), (250, 120, 10), np.uint8)
    picture = cv2.imdecode(np.frombuffer(encode_picture(image, "jpg"), np.uint8), -1)
    np.testing.assert_allclose(picture[..., ::-1].astype(int), image, atol=4)


# Sizes from headers


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif", "TIF"])
def test_size_in_megapixels_comes_from_the_header(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(np.tile(GREY, (10, 10))).save(path)
    assert megapixels(path) == 200 * 300 / 1e6


def test_size_of_a_file_without_a_header_is_unknown(tmp_path):
    for name in ("a.png", "a.tif"):
        assert megapixels(tmp_path / name) is None
        (tmp_path / name).write_bytes(b"nothing")
        assert megapixels(tmp_path / name) is None
