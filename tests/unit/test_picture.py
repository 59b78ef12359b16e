"""PNG, JPEG and BMP: values as the camera wrote them, every broken file one sentence."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from nucleiflow.images import ImageError
from nucleiflow.readers.picture import opened

RNG = np.random.default_rng(1)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
GREY16 = RNG.integers(0, 65536, (20, 30), np.uint16)
RGB = RNG.integers(0, 256, (20, 30, 3), np.uint8)
RGB16 = RNG.integers(0, 65536, (20, 30, 3), np.uint16)
ALPHA = RNG.integers(0, 256, (20, 30), np.uint8)
COLORS = RNG.integers(0, 256, (256, 3), np.uint8)
RAMP = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
NAMES = ["red", "green", "blue"]

DAMAGED = "the file is damaged or not a PNG, JPEG or BMP image"
PNG_SHORT = "the PNG file is cut short, copy it again"
JPEG_SHORT = "the JPEG file is cut short, copy it again"


def pixels(path) -> np.ndarray:
    """All channels, as (Y, X) or (Y, X, 3), after what the header states was compared with them."""
    with opened(path) as (scene,):
        assert (scene.name, scene.times, scene.planes) == ("", 1, 1)
        assert (scene.pixel_size_um, scene.pixel_size_source) == (None, "")
        planes = [scene.load(0, channel, 0) for channel in range(len(scene.channels))]
        for plane in planes:
            assert (plane.shape, plane.dtype) == ((scene.height, scene.width), scene.dtype)
        names = [channel.name for channel in scene.channels]
        assert names == [channel.color for channel in scene.channels]
        assert names == ([""] if len(planes) == 1 else NAMES)
    return planes[0] if len(planes) == 1 else np.dstack(planes)


def refusal(path) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(ImageError) as caught:
        pixels(path)
    return str(caught.value)


def palette(indices, colors):
    image = Image.fromarray(indices).convert("L")
    image.putpalette(colors.ravel().tolist())
    return image


def write_png(path, samples, bits, kind=0):
    """A PNG of packed samples (Y, X), which Pillow and OpenCV do not write."""

    def chunk(name, data):
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    height, width = samples.shape
    planes = (samples[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(planes.reshape(height, -1).astype(np.uint8), axis=1)
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.mark.parametrize("ending", ["png", "bmp", "PNG", "Bmp"])
@pytest.mark.parametrize("image", [GREY, RGB], ids=["grey", "rgb"])
def test_8_bit_image_keeps_its_values_and_the_order_red_green_blue(tmp_path, image, ending):
    path = tmp_path / f"a b.ü.{ending}"
    Image.fromarray(image).save(path)
    assert pixels(path).dtype == np.uint8
    np.testing.assert_array_equal(pixels(path), image)


@pytest.mark.parametrize("image", [GREY16, RGB16], ids=["grey", "rgb"])
def test_16_bit_png_keeps_its_values(tmp_path, image):
    cv2.imwrite(str(tmp_path / "a.png"), image if image.ndim == 2 else image[..., ::-1])
    assert pixels(tmp_path / "a.png").dtype == np.uint16
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), image)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_png_of_few_bits_keeps_its_values(tmp_path, bits):
    samples = (np.arange(13 * 7).reshape(7, 13) % 2**bits).astype(np.uint8)
    write_png(tmp_path / "a.png", samples, bits)
    result = pixels(tmp_path / "a.png")
    np.testing.assert_array_equal(result, samples)
    assert (result.dtype, result.max()) == (np.uint8, 2**bits - 1)


def test_1_bit_bmp_is_the_palette_of_black_and_white_that_it_holds(tmp_path):
    Image.fromarray(GREY > 128).save(tmp_path / "a.bmp")
    np.testing.assert_array_equal(pixels(tmp_path / "a.bmp"), (GREY > 128) * 255)


def test_jpeg_is_rgb_up_to_its_losses(tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)
    image[:] = (200, 100, 20)
    for name in ("a.jpg", "A.JPEG"):
        Image.fromarray(image).save(tmp_path / name, quality=95)
        np.testing.assert_allclose(pixels(tmp_path / name).astype(int), image, atol=3)


def test_grey_jpeg_has_one_channel(tmp_path):
    Image.fromarray(np.full((20, 30), 77, np.uint8)).save(tmp_path / "a.jpg")
    np.testing.assert_array_equal(pixels(tmp_path / "a.jpg"), np.full((20, 30), 77))


def test_alpha_is_dropped_and_does_not_touch_the_colours(tmp_path):
    Image.fromarray(np.dstack([RGB, ALPHA])).save(tmp_path / "8.png")
    np.testing.assert_array_equal(pixels(tmp_path / "8.png"), RGB)
    cv2.imwrite(str(tmp_path / "16.png"), np.dstack([RGB16[..., ::-1], GREY16]))
    np.testing.assert_array_equal(pixels(tmp_path / "16.png"), RGB16)


def test_alpha_beside_grey_is_dropped(tmp_path):
    Image.fromarray(np.dstack([GREY, ALPHA])).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), GREY)


def test_a_grey_that_is_transparent_stays_that_grey(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png", transparency=int(GREY[0, 0]))
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), GREY)


@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_coloured_palette_gives_red_green_blue(tmp_path, ending):
    palette(GREY, COLORS).save(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(pixels(tmp_path / f"a.{ending}"), COLORS[GREY])


def test_grey_palette_gives_its_greys(tmp_path):
    palette(GREY, RAMP).save(tmp_path / "a.bmp")
    np.testing.assert_array_equal(pixels(tmp_path / "a.bmp"), GREY)
    for ending in ("png", "bmp"):
        palette(GREY, RAMP[::-1]).save(tmp_path / f"b.{ending}")
        np.testing.assert_array_equal(pixels(tmp_path / f"b.{ending}"), np.dstack([255 - GREY] * 3))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_orientation_of_a_photo_camera_turns_nothing(tmp_path, orientation, ending):
    image = np.zeros((24, 40), np.uint8)
    image[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(image).save(tmp_path / f"a.{ending}", exif=exif)
    np.testing.assert_allclose(pixels(tmp_path / f"a.{ending}").astype(int), image, atol=3)


def test_planes_may_be_written_to(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with opened(tmp_path / "a.png") as (scene,):
        scene.load(0, 0, 0)[:] = 0
        np.testing.assert_array_equal(scene.load(0, 0, 0), RGB[..., 0])


def test_headers_alone_are_read_until_a_plane_is_loaded(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    decoded = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *of: decoded.append(1) or decode(*of))
    with opened(tmp_path / "a.png") as (scene,):
        assert (scene.height, scene.width, decoded) == (20, 30, [])
        for channel in (0, 1, 2):
            scene.load(0, channel, 0)
        assert decoded == [1]


def test_size_of_a_huge_image_is_stated_without_its_pixels(tmp_path):
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"
    header = struct.pack(">IIBBBBB", 100_000, 90_000, 16, 0, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (tmp_path / "a.png").write_bytes(start + header + check + struct.pack(">I", 5) + b"IDAT")
    with opened(tmp_path / "a.png") as (scene,):
        assert (scene.height, scene.width, scene.dtype) == (90_000, 100_000, np.uint16)


# Refusals


def test_printing_colours_are_refused(tmp_path):
    Image.fromarray(np.dstack([RGB, ALPHA]), "CMYK").save(tmp_path / "a.jpg")
    sentence = "the JPEG file holds CMYK printing colours, export it as grey or RGB"
    assert refusal(tmp_path / "a.jpg") == sentence


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
@pytest.mark.parametrize("content", [b"field,well\n1,A01\n", bytes(5000)], ids=["text", "zeros"])
def test_file_that_is_no_image_is_refused(tmp_path, content, ending):
    (tmp_path / f"a.{ending}").write_bytes(content)
    assert refusal(tmp_path / f"a.{ending}") == DAMAGED


def test_tiff_named_png_is_refused(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "a.png")
    assert refusal(tmp_path / "a.png") == DAMAGED


@pytest.mark.parametrize(
    ("ending", "sentence"), [("png", PNG_SHORT), ("jpg", JPEG_SHORT), ("bmp", DAMAGED)]
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_file_that_is_cut_short_is_refused(tmp_path, ending, sentence, share):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(np.tile(GREY, (6, 6))).save(path)
    content = path.read_bytes()
    # Behind the headers, which are the first 1,078 bytes of such a BMP.
    path.write_bytes(content[: int(len(content) * share)])
    assert refusal(path) == sentence


def test_png_with_a_changed_byte_is_refused(tmp_path):
    Image.fromarray(np.tile(GREY, (6, 6))).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(content)
    assert refusal(tmp_path / "a.png") == DAMAGED


def test_failing_disk_is_not_the_images_fault(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "a.png")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(np, "fromfile", fail)
    with pytest.raises(OSError, match="Input/output error"):
        pixels(tmp_path / "a.png")


# Real files


def test_real_truncated_png_is_refused(data):
    assert refusal(data / "broken/truncated_label.png") == PNG_SHORT


def test_workshop_image_has_the_colours_that_the_workshop_states(data):
    assert pixels(data / "workshop/clown.png")[100, 50].tolist() == [184, 35, 15]
    cells = pixels(data / "workshop/fluorescent-cells.png")
    assert cells.shape == (411, 615, 3)
    np.testing.assert_array_equal(
        cells, np.asarray(Image.open(data / "workshop/fluorescent-cells.png").convert("RGB"))
    )


def test_real_16_bit_labels_keep_their_values(data):
    path = data / "dsb2018/masks/b1e3aeb0c562.png"
    np.testing.assert_array_equal(pixels(path), np.asarray(Image.open(path)))
    assert pixels(path).dtype == np.uint16
