"""Pixel sizes, names and colours of channels as TIFF files state them."""

import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from tiffs import GREY, TCZYX, one

from nucleiflow.readers import RESOLUTION_TAG, Channel


def test_phenix_has_the_pixel_size_of_its_tag(data):
    paths = sorted((data / "phenix").glob("*.tiff"))
    assert len(paths) == 3
    for path, low, high in zip(paths, (279, 248, 177), (39513, 56064, 65535), strict=True):
        scene, image = one(path)
        assert image.shape == (1, 1, 1, 1080, 1080)
        # As the file's own tags SMinSampleValue and SMaxSampleValue state.
        assert (image.dtype, image.min(), image.max()) == (np.uint16, low, high)
        # 4294967295 / 2770410 pixels a centimetre.
        assert scene.pixel_size_um == pytest.approx(1e4 / (4294967295 / 2770410))
        assert scene.pixel_size_source == RESOLUTION_TAG == "TIFF resolution tag"
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            strip = path.read_bytes()[page.dataoffsets[0] :][: page.databytecounts[0]]
        values = np.frombuffer(imagecodecs.lzw_decode(strip), "<u2")
        np.testing.assert_array_equal(image.ravel(), values[: image.size])


def test_imagexpress_has_metamorphs_calibration_and_wavelength(data):
    paths = sorted(path for path in data.glob("imagexpress/**/*.tif") if "_thumb" not in path.name)
    assert len(paths) > 10
    for path in paths:
        scene, image = one(path)
        assert image.shape == (1, 1, 1, 512, 512)
        assert image.dtype == np.uint16
        assert (scene.pixel_size_um, scene.pixel_size_source) == (1.3668, "MetaMorph")
        wavelength = path.name.split("_w")[1][0]
        ending = "" if wavelength == "1" else f"-{wavelength}"
        assert scene.channels == (Channel(f"FITC_05{ending}"),)
    np.testing.assert_array_equal(image[0, 0, 0], np.asarray(Image.open(path)))


def test_pixels_that_are_not_square_have_no_size(data):
    # 8.74752 x 10.9344 µm, as the file states.
    scene, image = one(next(data.glob("imagexpress/**/*_w2_thumb*.tif")))
    assert image.shape == (1, 1, 1, 64, 80)
    assert (scene.pixel_size_um, scene.pixel_size_source) == (None, "")


@pytest.mark.parametrize(
    ("unit", "size", "source"),
    [
        *(("nm", 0.00065, "ImageJ"), ("mm", 650, "ImageJ"), ("cm", 6500, "ImageJ")),
        *(("inch", None, ""), ("pixel", None, ""), ("", None, "")),
    ],
)
def test_imagej_unit_is_metric_or_ignored(tmp_path, unit, size, source):
    options = {"resolution": (1 / 0.65, 1 / 0.65), "resolutionunit": "NONE"}
    tifffile.imwrite(tmp_path / "a.tif", GREY, imagej=True, metadata={"unit": unit}, **options)
    scene, _ = one(tmp_path / "a.tif")
    assert scene.pixel_size_um == (size and pytest.approx(size, rel=1e-5))
    assert scene.pixel_size_source == source


def test_imagej_channels_have_names_that_stand_all_over_and_simple_colours(tmp_path):
    ramp = np.arange(256, dtype=np.uint8)
    luts = [np.outer(on, ramp).astype(np.uint8) for on in ((0, 0, 1), (1, 0, 1), (0.5, 0, 0))]
    metadata = {"axes": "TZCYX", "LUTs": luts, "Labels": ["DAPI", "GFP", "Cy5"] * 8}
    stack = np.swapaxes(TCZYX, 1, 2)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata=metadata)
    assert one(tmp_path / "a.tif")[0].channels == (
        Channel("DAPI", "blue"),
        Channel("GFP", "magenta"),
        Channel("Cy5", ""),
    )
    for labels in ([f"c:{1 + at % 3}/3 t:1/2" for at in range(24)], ["a", "b", "c", "d"] * 6):
        tifffile.imwrite(
            tmp_path / "a.tif", stack, imagej=True, metadata=metadata | {"Labels": labels}
        )
        assert [channel.name for channel in one(tmp_path / "a.tif")[0].channels] == ["", "", ""]


@pytest.mark.parametrize(
    ("unit", "size"), [("CENTIMETER", 5), ("INCH", 12.7), ("MICROMETER", 0.0005), ("NONE", None)]
)
@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
def test_resolution_tag_is_recorded_where_nothing_else_is_stated(tmp_path, name, unit, size):
    options = {"resolution": (2000, 2000), "resolutionunit": unit}
    tifffile.imwrite(tmp_path / name, GREY, **options)
    scene, _ = one(tmp_path / name)
    assert scene.pixel_size_um == (size and pytest.approx(size))
    assert scene.pixel_size_source == (RESOLUTION_TAG if size else "")


@pytest.mark.parametrize(
    ("old", "new", "size", "source", "name"),
    [
        (b'state" type="bool" value="on"', b'state" type="bool" value="no"', 25400, "tag", ""),
        (b'value="um"', b'value="nm"', 0.00065, "MetaMorph", ""),
        (b'value="um"', b'value="xx"', 25400, "tag", ""),
        (b'value="A &#38; B"', b'value="&#181;C 5"', 0.65, "MetaMorph", "µC 5"),
    ],
)
def test_metamorphs_properties(tmp_path, old, new, size, source, name):
    properties = {"state": "bool", "x": "float", "y": "float", "units": "string"}
    values = {"state": "on", "x": "0.65", "y": "0.65", "units": "um"}
    text = "".join(
        f'<prop id="spatial-calibration-{key}" type="{kind}" value="{values[key]}"/>\n'
        for key, kind in properties.items()
    )
    text += '<prop id="_IllumSetting_" type="string" value="A &#38; B"/>'
    text = f"<MetaData><PlaneInfo>{text}</PlaneInfo></MetaData>"
    path = tmp_path / "a.tif"
    options = {"software": "MetaSeries", "resolution": (1, 1), "resolutionunit": "INCH"}
    tifffile.imwrite(path, GREY, description=text, metadata=None, **options)
    assert one(path)[0].channels == (Channel("A & B"),)
    assert one(path)[0].pixel_size_um == 0.65
    content = path.read_bytes()
    assert content.count(old) == 1 and len(old) == len(new)
    path.write_bytes(content.replace(old, new))
    scene, _ = one(path)
    assert scene.pixel_size_um == pytest.approx(size)
    assert scene.pixel_size_source == (RESOLUTION_TAG if source == "tag" else source)
    assert scene.channels == (Channel(name or "A & B"),)


def test_lsm_has_its_planes_channels_and_pixel_size(tmp_path):
    path = tmp_path / "a.lsm"
    # CZ_LSMINFO until the kind of scan: a stack of three channels, a voxel of 0.2 x 0.2 x 1 µm.
    info = struct.pack("<Ii8i", 67127628, 90, 30, 20, 4, 3, 1, 2, 10, 4)
    info += struct.pack("<6dH", 2e-7, 2e-7, 1e-6, 0, 0, 0, 0)
    with tifffile.TiffWriter(path) as tiff:
        options = {"photometric": "minisblack", "planarconfig": "separate", "metadata": None}
        options |= {"contiguous": False}
        for z in range(4):
            extra = [(34412, 1, len(info), info, True)] if z == 0 else []
            tiff.write(TCZYX[0, :, z], extratags=extra, **options)
            tiff.write(np.zeros((3, 4, 10), np.uint16), subfiletype=1, **options)
    scene, result = one(path)
    assert (scene.times, len(scene.channels), scene.planes) == (1, 3, 4)
    np.testing.assert_array_equal(result, TCZYX[:1])
    assert scene.pixel_size_um == pytest.approx(0.2)
    assert scene.pixel_size_source == "LSM"
