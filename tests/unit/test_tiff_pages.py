"""Pages of TIFF files: values as they are in the file, whatever its layout."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from tiffs import (
    ALPHA,
    COLORS,
    GREY,
    GREY16,
    PRIMARIES,
    RAMP,
    RGB,
    RGB16,
    everything,
    one,
    patched,
    pixels,
    refusal,
)

from nucleiflow.readers.tiff import opened


def palette(indices, colors):
    image = Image.fromarray(indices).convert("L")
    image.putpalette(colors.ravel().tolist())
    return image


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "low", "high"),
    [
        ("12bit.cropped.tiff", (64, 64), "uint16", 0, 27),
        ("BigTIFF.tif", (64, 64, 3), "uint8", 0, 255),
        ("fax4.tiff", (671, 1080), "bool", 0, 1),
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
    image = pixels(data / "formats" / name)
    assert (image.shape, str(image.dtype)) == (shape, dtype)
    assert (image.min(), image.max()) == (np.dtype(dtype).type(low), np.dtype(dtype).type(high))


def test_no_awkward_tiff_is_left_out_of_these_tests(data):
    assert len(list((data / "formats").iterdir())) == 16


def test_tiled_sequence_counts_up(data):
    image = pixels(data / "formats/seq-1c-16b-tiled-68f373a0.tiff")
    np.testing.assert_array_equal(image, np.arange(256).reshape(16, 16))


def test_both_compressions_of_the_same_image_agree(data):
    plain, zstd = (pixels(data / "formats" / name) for name in ("int16.tif", "int16_zstd.tif"))
    np.testing.assert_array_equal(plain, zstd)


def test_12_bit_values_are_those_of_the_packed_bits(data):
    path = data / "formats/12bit.cropped.tiff"
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        start, length = page.dataoffsets[0], sum(page.databytecounts)
    bits = np.unpackbits(np.frombuffer(path.read_bytes()[start : start + length], np.uint8))
    values = bits[: 64 * 64 * 12].reshape(-1, 12) @ (1 << np.arange(11, -1, -1))
    np.testing.assert_array_equal(pixels(path), values.reshape(64, 64))


@pytest.mark.parametrize("name", ["rgb-3c-16b.tiff", "quad-tile.jpg.tiff", "BigTIFF.tif"])
def test_colours_are_those_that_tifffile_reads(data, name):
    path = data / "formats" / name
    scene, _ = one(path)
    assert scene.channels == PRIMARIES
    np.testing.assert_array_equal(pixels(path), tifffile.imread(path))


def test_white_is_zero_is_turned_round_within_the_bits_of_the_file(data):
    path = data / "formats/miniswhite-1c-12b.tiff"
    np.testing.assert_array_equal(pixels(path), 4095 - tifffile.imread(path))


def test_alpha_beside_grey_in_planes_of_its_own_is_dropped(data):
    path = data / "formats/minisblack-2c-8b-alpha.tiff"
    np.testing.assert_array_equal(pixels(path), tifffile.imread(path)[0])


def test_real_coloured_palette_gives_its_colours(data):
    path = data / "formats/palette-1c-8b.tiff"
    with tifffile.TiffFile(path) as tiff:
        indices, colormap = tiff.pages[0].asarray(), tiff.pages[0].colormap
    for y, x in ((0, 0), (75, 80), (150, 156)):
        assert pixels(path)[y, x].tolist() == (colormap[:, indices[y, x]] >> 8).tolist()


@pytest.mark.parametrize("name", ["cmyk-3c-8b.tiff", "cmyk-3c-16b.tiff"])
def test_printing_colours_are_refused(data, name):
    sentence = "the TIFF file holds CMYK printing colours, export it as grey or RGB"
    assert refusal(data / "formats" / name) == sentence


@pytest.mark.parametrize(
    ("pattern", "shape"),
    [
        ("cellprofiler-human/*.tif", (512, 512)),
        ("sbs-plate/Channel?-0?-A-0?.tif", (640, 640)),
        ("uneven-field/*.TIF", (512, 512)),
    ],
)
def test_microscopes_grey_files_hold_the_indices_of_their_palette(data, pattern, shape):
    for path in sorted(data.glob(pattern))[:4]:
        image = pixels(path)
        assert (image.shape, image.dtype) == (shape, np.uint8)
        np.testing.assert_array_equal(image, np.asarray(Image.open(path)))


@pytest.mark.parametrize("image", [GREY, RGB], ids=["grey", "rgb"])
def test_8_bit_image_keeps_its_values_and_the_order_red_green_blue(tmp_path, image):
    path = tmp_path / "a b.ü.TIFF"
    Image.fromarray(image).save(path)
    np.testing.assert_array_equal(pixels(path), image)


@pytest.mark.parametrize(
    "dtype",
    [
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32"),
        *("float16", "float32", "float64"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_keeps_its_type(tmp_path, dtype, order):
    image = (GREY16 % 200 / 7 - 3 * (dtype[0] in "if")).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", byteorder=order)
    result = pixels(tmp_path / "a.tif")
    assert result.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(result, image)


def test_alpha_is_dropped_and_does_not_touch_the_colours(tmp_path):
    Image.fromarray(np.dstack([RGB, ALPHA])).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), RGB)
    options = {"photometric": "minisblack", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "b.tif", np.dstack([GREY, ALPHA]), **options)
    np.testing.assert_array_equal(pixels(tmp_path / "b.tif"), GREY)


def test_palettes_give_indices_or_colours(tmp_path):
    palette(GREY, RAMP).save(tmp_path / "grey.tif")
    np.testing.assert_array_equal(pixels(tmp_path / "grey.tif"), GREY)
    palette(GREY, COLORS).save(tmp_path / "color.tif")
    np.testing.assert_array_equal(pixels(tmp_path / "color.tif"), COLORS[GREY])


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_colours_in_planes_of_their_own_are_channels(tmp_path, options):
    planes = np.moveaxis(RGB16, -1, 0)
    options = {"photometric": "rgb", "planarconfig": "separate"} | options
    tifffile.imwrite(tmp_path / "a.tif", planes, **options)
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), RGB16)


@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
def test_five_channels_of_a_pixel_are_all_kept(tmp_path, photometric):
    image = np.dstack([GREY16, RGB16, GREY16[::-1]])
    tifffile.imwrite(tmp_path / "a.tif", image, photometric=photometric, planarconfig="contig")
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), image)


@pytest.mark.parametrize(
    ("image", "top"), [(GREY, 255), (GREY16, 65535), (GREY > 99, 1)], ids=["8", "16", "1"]
)
def test_white_is_zero_gives_light_as_large_values(tmp_path, image, top):
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="miniswhite")
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), top - image.astype(int))


@pytest.mark.parametrize(
    "options",
    [
        {"bigtiff": True},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "lzw", "predictor": True},
        {"compression": "zlib", "rowsperstrip": 7},
        {"compression": "zstd"},
        {"compression": "packbits"},
        {"byteorder": ">", "rowsperstrip": 3},
    ],
    ids=str,
)
def test_layout_of_the_file_does_not_matter(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", GREY16, **options)
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), GREY16)


def test_three_channels_of_a_page_cost_one_decoding(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", compression="zlib")
    decoded = []
    read = tifffile.TiffPage.asarray
    monkeypatch.setattr(
        tifffile.TiffPage, "asarray", lambda page, **of: decoded.append(1) or read(page, **of)
    )
    with opened(tmp_path / "a.tif") as (scene,):
        assert decoded == []
        scene.load(0, 0, 0)[:] = 0
        np.testing.assert_array_equal(np.moveaxis(everything(scene)[0, :, 0], 0, -1), RGB)
    assert decoded == [1]


def test_volume_in_one_page_is_refused(tmp_path):
    volume = np.zeros((16, 32, 32), np.uint8)
    options = {"photometric": "minisblack", "volumetric": True, "tile": (16, 16, 16)}
    tifffile.imwrite(tmp_path / "a.tif", volume, **options)
    assert refusal(tmp_path / "a.tif") == (
        "the file holds volumes of 16 planes in one page, which are not supported: export it with "
        "one plane a page"
    )


@pytest.mark.parametrize(
    ("photometric", "image", "what"),
    [
        ("separated", np.dstack([RGB, ALPHA]), "holds CMYK printing colours"),
        ("cielab", RGB, "holds L*a*b* colours"),
        ("ycbcr", RGB, "holds YCbCr colours"),
        ("cfa", GREY16, "holds the raw data of a colour camera"),
        ("logl", GREY16, "holds logarithms of light"),
    ],
)
def test_what_is_no_light_is_refused(tmp_path, photometric, image, what):
    tifffile.imwrite(tmp_path / "a.tif", image, photometric=photometric)
    assert refusal(tmp_path / "a.tif") == f"the TIFF file {what}, export it as grey or RGB"


def test_decimal_numbers_with_white_as_zero_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), np.float32), photometric="miniswhite")
    assert refusal(tmp_path / "a.tif") == (
        "the TIFF file holds decimal numbers with white as zero, export it with black as zero"
    )


def test_unknown_compression_is_refused_by_name(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    patched(tmp_path / "a.tif", 259, 3, 34718)
    assert refusal(tmp_path / "a.tif") == (
        "the TIFF file is compressed by MDI_BINARY, which is not supported: export it with another "
        "compression"
    )


def test_unknown_number_of_bits_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    patched(tmp_path / "a.tif", 258, 3, 33)
    assert refusal(tmp_path / "a.tif") == (
        "the TIFF file holds numbers of 33 bits, which are not supported: export it with 8, 16 or "
        "32 bits"
    )
