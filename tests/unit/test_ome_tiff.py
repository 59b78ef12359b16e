"""OME-TIFF: axes, scenes, channels and datasets of several files."""

import time
import tracemalloc

import numpy as np
import pytest
import tifffile
from tiffs import (
    ALPHA,
    DAMAGED,
    GREY,
    GREY16,
    PRIMARIES,
    RGB,
    RNG,
    TCZYX,
    everything,
    one,
    pixels,
    refusal,
)

from nucleiflow.images import ImageError
from nucleiflow.readers import Channel
from nucleiflow.readers.ome_tiff import ome_files
from nucleiflow.readers.tiff import opened


@pytest.mark.parametrize("order", ["TCZYX", "CTZYX", "TZCYX", "ZTCYX", "CZTYX", "ZCTYX"])
def test_ome_axes_come_from_the_dimension_order(tmp_path, order):
    image = np.transpose(TCZYX, ["TCZYX".index(axis) for axis in order])
    tifffile.imwrite(tmp_path / "a.ome.tif", image, metadata={"axes": order})
    scene, result = one(tmp_path / "a.ome.tif")
    assert (scene.times, len(scene.channels), scene.planes) == (2, 3, 4)
    np.testing.assert_array_equal(result, TCZYX)


def test_ome_channels_have_names_and_colours(tmp_path):
    colors = [0xFF0000FF - (1 << 32), 0x00FFFFFF, -1]
    metadata = {"axes": "CYX", "Name": "field 3"}
    metadata["Channel"] = {"Name": ["DAPI", "", " Cy5 "], "Fluor": ["x", "GFP", "y"]}
    metadata["Channel"]["Color"] = colors
    tifffile.imwrite(tmp_path / "a.ome.tif", TCZYX[0, :, 0], metadata=metadata)
    scene, _ = one(tmp_path / "a.ome.tif")
    assert scene.name == "field 3"
    assert scene.channels == (
        Channel("DAPI", "red"),
        Channel("GFP", "cyan"),
        Channel("Cy5", "white"),
    )


@pytest.mark.parametrize(
    ("number", "color"),
    [
        (0xFF0000FF, "red"),
        (0x00FF0000, "green"),
        (0x0000FFFF, "blue"),
        (0x00FFFFFF, "cyan"),
        (0xFF00FFFF, "magenta"),
        (0xFFFF00FF, "yellow"),
        (0xFFFFFFFF, "white"),
        (0xFF8000FF, ""),
        (0x000000FF, ""),
    ],
)
def test_ome_colour_is_a_signed_number(tmp_path, number, color):
    signed = number - (1 << 32) * (number >> 31)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", GREY, metadata={"axes": "YX", "Channel": {"Color": [signed]}}
    )
    assert one(tmp_path / "a.ome.tif")[0].channels == (Channel("", color),)


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        (None, 0.325),
        ("µm", 0.325),
        ("\u03bcm", 0.325),
        ("nm", 0.000325),
        ("mm", 325),
        ("cm", 3250),
        ("in", 8255),
        ("pixel", None),
        ("reference frame", None),
    ],
)
def test_ome_pixel_size_is_converted(tmp_path, unit, size):
    metadata = {"axes": "YX", "PhysicalSizeX": 0.325, "PhysicalSizeY": 0.326}
    if unit:
        metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY, metadata=metadata)
    scene, _ = one(tmp_path / "a.ome.tif")
    assert scene.pixel_size_um == (size and pytest.approx(size))
    assert scene.pixel_size_source == ("OME" if size else "")


def test_ome_pixels_that_are_not_square_have_no_size(tmp_path):
    metadata = {"axes": "YX", "PhysicalSizeX": 0.3, "PhysicalSizeY": 0.31}
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY, metadata=metadata)
    assert one(tmp_path / "a.ome.tif")[0].pixel_size_um is None


def test_ome_of_rgb_has_three_channels(tmp_path):
    stack = RNG.integers(0, 256, (4, 20, 30, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, photometric="rgb", metadata={"axes": "ZYXS"})
    scene, result = one(tmp_path / "a.ome.tif")
    assert (scene.channels, scene.planes) == (PRIMARIES, 4)
    np.testing.assert_array_equal(result[0], np.moveaxis(stack, -1, 0))
    planar = np.moveaxis(stack, -1, 1)
    options = {"photometric": "rgb", "planarconfig": "separate", "metadata": {"axes": "ZSYX"}}
    tifffile.imwrite(tmp_path / "b.ome.tif", planar, **options)
    np.testing.assert_array_equal(one(tmp_path / "b.ome.tif")[1], result)


def test_every_ome_image_is_a_scene(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        tiff.write(GREY16, metadata={"axes": "YX", "Name": "A1"})
        tiff.write(TCZYX[0, 0], photometric="minisblack", metadata={"axes": "ZYX", "Name": "A2"})
        tiff.write(GREY[:10], metadata={"axes": "YX"})
    with opened(tmp_path / "a.ome.tif") as scenes:
        assert [scene.name for scene in scenes[:2]] == ["A1", "A2"]
        assert len({scene.name for scene in scenes}) == 3
        np.testing.assert_array_equal(scenes[0].load(0, 0, 0), GREY16)
        np.testing.assert_array_equal(everything(scenes[1])[0, 0], TCZYX[0, 0])
        np.testing.assert_array_equal(scenes[2].load(0, 0, 0), GREY[:10])
    assert ome_files(tmp_path / "a.ome.tif") == []


OME = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{uuid}">{inner}'
    "</OME>"
)


def ome_image(number, blocks, c=1, z=1, t=1, extra="", order="XYZCT"):
    """XML of an Image of 20 x 30 uint16, whose blocks are (C, Z, T, IFD, file)."""
    data = "".join(
        f'<TiffData FirstC="{at[0]}" FirstZ="{at[1]}" FirstT="{at[2]}" IFD="{at[3]}" '
        f'PlaneCount="1"><UUID FileName="{at[4]}">urn:uuid:{at[4]}</UUID></TiffData>'
        for at in blocks
    )
    channels = "".join(f'<Channel ID="Channel:{number}:{at}" Name="c{at}"/>' for at in range(c))
    return (
        f'<Image ID="Image:{number}" Name="scene {number}">{extra}<Pixels ID="Pixels:{number}" '
        f'DimensionOrder="{order}" Type="uint16" SizeX="30" SizeY="20" SizeZ="{z}" SizeC="{c}" '
        f'SizeT="{t}">{channels}{data}</Pixels></Image>'
    )


def write_pages(path, pages, inner):
    description = OME.format(uuid=path.name, inner=inner)
    with tifffile.TiffWriter(path) as tiff:
        for at, page in enumerate(pages):
            text = {"description": description} if at == 0 else {}
            tiff.write(page, photometric="minisblack", metadata=None, **text)


def one_file_a_channel(folder):
    """Three files, each with the four planes of a channel and the XML of all."""
    names = [f"plate_C{at}.ome.tif" for at in range(3)]
    blocks = [(c, z, 0, z, names[c]) for c in range(3) for z in range(4)]
    for c, name in enumerate(names):
        write_pages(folder / name, TCZYX[0, c], ome_image(0, blocks, c=3, z=4))
    return [folder / name for name in names]


def test_dataset_of_one_file_a_channel_is_one_scene(tmp_path):
    paths = one_file_a_channel(tmp_path)
    for path in paths:
        assert ome_files(path) == [each.name for each in paths]
        scene, result = one(path, *(each for each in paths if each != path))
        assert (scene.name, scene.planes) == ("scene 0", 4)
        assert scene.channels == (Channel("c0"), Channel("c1"), Channel("c2"))
        np.testing.assert_array_equal(result, TCZYX[:1])


def test_plane_in_a_file_that_is_not_given_is_refused_by_its_name(tmp_path):
    first, _, third = one_file_a_channel(tmp_path)
    with opened(first, third) as (scene,):
        assert len(scene.channels) == 3
        np.testing.assert_array_equal(scene.load(0, 0, 1), TCZYX[0, 0, 1])
        np.testing.assert_array_equal(scene.load(0, 2, 3), TCZYX[0, 2, 3])
        with pytest.raises(ImageError) as caught:
            scene.load(0, 1, 0)
    assert str(caught.value) == (
        "the OME-TIFF names another file for this plane, which is not there: plate_C1.ome.tif"
    )


def test_siblings_that_are_not_given_are_not_opened(tmp_path):
    first, second, third = one_file_a_channel(tmp_path)
    second.write_bytes(b"no TIFF")
    third.write_bytes(b"no TIFF")
    with opened(first) as (scene,):
        np.testing.assert_array_equal(scene.load(0, 0, 2), TCZYX[0, 0, 2])


def one_file_a_position(folder, count=12):
    names = [f"pos{at:02}.ome.tif" for at in range(count)]
    images = "".join(ome_image(at, [(0, 0, 0, 0, name)]) for at, name in enumerate(names))
    for at, name in enumerate(names):
        write_pages(folder / name, [GREY16 + at], images)
    return [folder / name for name in names]


def test_dataset_of_one_file_a_position_has_a_scene_a_file(tmp_path):
    paths = one_file_a_position(tmp_path)
    with opened(paths[3]) as scenes:
        assert [scene.name for scene in scenes] == ["scene 3"]
        np.testing.assert_array_equal(scenes[0].load(0, 0, 0), GREY16 + 3)
    # More than are kept open at once.
    with opened(*paths) as scenes:
        assert [scene.name for scene in scenes] == [f"scene {at}" for at in range(12)]
        for at in (*range(12), 0, 11):
            np.testing.assert_array_equal(scenes[at].load(0, 0, 0), GREY16 + at)
            assert scenes[at].dtype == np.uint16


def test_page_is_taken_from_the_first_given_file_that_has_it(tmp_path):
    blocks = [(0, 0, 0, 0, "a.ome.tif"), (0, 0, 0, 0, "b.ome.tif")]
    for name, image in (("a.ome.tif", GREY16), ("b.ome.tif", GREY16 // 2)):
        write_pages(tmp_path / name, [image], ome_image(0, blocks))
    both = tmp_path / "a.ome.tif", tmp_path / "b.ome.tif"
    np.testing.assert_array_equal(one(*both)[1][0, 0, 0], GREY16)
    np.testing.assert_array_equal(one(*both[::-1])[1][0, 0, 0], GREY16 // 2)


@pytest.mark.parametrize("ending", ["ome.tif", "companion.ome"])
def test_metadata_in_another_file_are_found_there(tmp_path, ending):
    blocks = [(0, at, 0, 0, f"{at}.ome.tif") for at in range(2)]
    holder = tmp_path / f"meta.{ending}"
    only = f'<BinaryOnly MetadataFile="{holder.name}" UUID="urn:uuid:{holder.name}"/>'
    for at in range(2):
        write_pages(tmp_path / f"{at}.ome.tif", [TCZYX[0, 0, at]], only)
    if ending == "ome.tif":
        write_pages(holder, [GREY16], ome_image(0, blocks, z=2))
    else:
        holder.write_text(OME.format(uuid="x", inner=ome_image(0, blocks, z=2)))
    paths = [tmp_path / "0.ome.tif", tmp_path / "1.ome.tif"]
    assert ome_files(paths[0]) == ["0.ome.tif", holder.name]
    assert ome_files(holder) == ["0.ome.tif", "1.ome.tif", holder.name]
    scene, result = one(*paths, holder)
    assert scene.planes == 2
    np.testing.assert_array_equal(result[0, 0], TCZYX[0, 0, :2])
    # Without that file it is a plain image.
    np.testing.assert_array_equal(pixels(paths[1]), TCZYX[0, 0, 1])


def test_renamed_file_is_still_its_own(tmp_path):
    blocks = [(0, at, 0, at, "a.ome.tif") for at in range(4)]
    write_pages(tmp_path / "a.ome.tif", TCZYX[0, 0], ome_image(0, blocks, z=4))
    (tmp_path / "a.ome.tif").rename(tmp_path / "b.tif")
    assert ome_files(tmp_path / "b.tif") == []
    np.testing.assert_array_equal(one(tmp_path / "b.tif")[1][0, 0], TCZYX[0, 0])


def test_acquisition_that_was_stopped_ends_with_its_last_time(tmp_path):
    blocks = [(0, 0, at, at, "a.ome.tif") for at in range(4)]
    write_pages(tmp_path / "a.ome.tif", TCZYX[0, 0], ome_image(0, blocks, t=100))
    scene, result = one(tmp_path / "a.ome.tif")
    assert scene.times == 4
    np.testing.assert_array_equal(result[:, 0, 0], TCZYX[0, 0])


def test_divided_axis_is_refused(tmp_path):
    extra = '<AnnotationRef ID="Annotation:1"/>'
    modulo = (
        '<StructuredAnnotations><XMLAnnotation ID="Annotation:1" '
        'Namespace="openmicroscopy.org/omero/dimension/modulo"><Value><Modulo>'
        '<ModuloAlongZ Type="lifetime" Start="0" End="3"/></Modulo></Value></XMLAnnotation>'
        "</StructuredAnnotations>"
    )
    blocks = [(0, at, 0, at, "a.ome.tif") for at in range(4)]
    inner = ome_image(0, blocks, z=4, extra=extra) + modulo
    write_pages(tmp_path / "a.ome.tif", TCZYX[0, 0], inner)
    assert refusal(tmp_path / "a.ome.tif") == (
        "the OME metadata divide an axis into lifetime, which is not supported: export one of them "
        "as an OME-TIFF of its own"
    )


@pytest.mark.parametrize("size", ["z", "c"])
def test_more_planes_than_the_file_holds_are_refused(tmp_path, size):
    blocks = [(0, 0, 0, 0, "a.ome.tif")]
    write_pages(tmp_path / "a.ome.tif", [GREY16], ome_image(0, blocks, **{size: 1000}))
    assert refusal(tmp_path / "a.ome.tif") == (
        "the OME metadata state 1000 planes, but the file holds 1: copy or export it again"
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('SizeT="1"', 'SizeT="1000000000"', DAMAGED),
        ('PlaneCount="1"', 'PlaneCount="1000000000"', None),
        ('IFD="0"', 'IFD="1000000000"', DAMAGED),
        ('SizeX="30"', 'SizeX="300000"', "state 300000 x 20 pixels, but the pages hold 30 x 20"),
        ('SizeZ="1"', 'SizeZ="0"', DAMAGED),
        ('DimensionOrder="XYZCT"', 'DimensionOrder="XYZ"', DAMAGED),
    ],
)
def test_absurd_ome_metadata_cost_nothing(tmp_path, old, new, sentence):
    image = ome_image(0, [(0, 0, 0, 0, "a.ome.tif")])
    assert old in image
    write_pages(tmp_path / "a.ome.tif", [GREY16], image.replace(old, new))
    tracemalloc.start()
    start = time.perf_counter()
    if sentence is None:
        np.testing.assert_array_equal(pixels(tmp_path / "a.ome.tif"), GREY16)
    else:
        assert sentence in refusal(tmp_path / "a.ome.tif")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.perf_counter() - start < 5
    assert most < 1e7


def test_damaged_ome_xml_leaves_a_plain_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY16, description="<OME><Image></OME>", metadata=None)
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), GREY16)
    assert ome_files(tmp_path / "a.tif") == []


@pytest.mark.parametrize("content", [b"", b"II", b"II*\0\x08\0\0\0", b"text", bytes(100)])
def test_files_of_a_dataset_are_not_sought_in_damaged_files(tmp_path, content):
    (tmp_path / "a.ome.tif").write_bytes(content)
    assert ome_files(tmp_path / "a.ome.tif") == []
    assert ome_files(tmp_path / "missing.ome.tif") == []


@pytest.mark.parametrize("stated", [3, 4])
def test_alpha_is_dropped_whether_ome_counts_it_or_not(tmp_path, stated):
    image = ome_image(0, [(0, 0, 0, 0, "a.ome.tif")], c=1)
    image = image.replace('SizeC="1"', f'SizeC="{stated}"').replace("uint16", "uint8")
    image = image.replace('Name="c0"', f'SamplesPerPixel="{stated}"')
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"], "metadata": None}
    description = OME.format(uuid="a", inner=image)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", np.dstack([RGB, ALPHA]), description=description, **options
    )
    np.testing.assert_array_equal(pixels(tmp_path / "a.ome.tif"), RGB)


def test_colours_of_several_channels_have_both_names(tmp_path):
    image = ome_image(0, [(at, 0, 0, at, "a.ome.tif") for at in range(2)], c=2)
    image = image.replace('SizeC="2"', 'SizeC="6"').replace("uint16", "uint8")
    image = image.replace("Name=", 'SamplesPerPixel="3" Name=').replace(
        'SamplesPerPixel="3" Name="scene', 'Name="scene'
    )
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        options = {"photometric": "rgb", "metadata": None, "contiguous": False}
        tiff.write(RGB, description=OME.format(uuid="a", inner=image), **options)
        tiff.write(RGB[::-1], **options)
    scene, result = one(tmp_path / "a.ome.tif")
    assert [channel.name for channel in scene.channels] == [
        *("c0 red", "c0 green", "c0 blue", "c1 red", "c1 green", "c1 blue")
    ]
    np.testing.assert_array_equal(result[0, 3:, 0], np.moveaxis(RGB[::-1], -1, 0))


def test_channels_in_grey_and_in_colour_are_refused(tmp_path):
    image = ome_image(0, [(0, 0, 0, 0, "a.ome.tif")], c=2)
    image = image.replace('Name="c1"', 'SamplesPerPixel="3"')
    write_pages(tmp_path / "a.ome.tif", [GREY16], image)
    assert refusal(tmp_path / "a.ome.tif") == (
        "some channels of the file are grey and others are in colour, export them as files of "
        "their own"
    )


def test_ome_that_names_no_page_is_refused(tmp_path):
    write_pages(tmp_path / "a.ome.tif", [GREY16], ome_image(0, []))
    assert refusal(tmp_path / "a.ome.tif") == (
        "the OME metadata of the file name none of its pages, export it again as an OME-TIFF"
    )


def test_pages_of_another_size_are_refused_when_they_are_read(tmp_path):
    image = ome_image(0, [(0, at, 0, at, "a.ome.tif") for at in range(2)], z=2)
    write_pages(tmp_path / "a.ome.tif", [GREY16, GREY16[:10]], image)
    with opened(tmp_path / "a.ome.tif") as (scene,):
        np.testing.assert_array_equal(scene.load(0, 0, 0), GREY16)
        with pytest.raises(ImageError) as caught:
            scene.load(0, 0, 1)
    assert str(caught.value) == (
        "the pages of the file differ: 30 x 20 uint16 and 30 x 10 uint16, export it again"
    )


def test_renamed_file_without_an_identifier_is_its_own(tmp_path):
    blocks = [(0, at, 0, at, "a.ome.tif") for at in range(4)]
    image = ome_image(0, blocks, z=4).replace("urn:uuid:a.ome.tif", "")
    write_pages(tmp_path / "b.tif", TCZYX[0, 0], image)
    assert ome_files(tmp_path / "b.tif") == []
    np.testing.assert_array_equal(one(tmp_path / "b.tif")[1][0, 0], TCZYX[0, 0])


@pytest.mark.parametrize("name", ["PlaneCount", "NumPlanes"])
def test_block_of_several_pages(tmp_path, name):
    image = ome_image(0, [(0, 0, 0, 0, "a.ome.tif")], z=4)
    image = image.replace('PlaneCount="1"', f'{name}="4"')
    write_pages(tmp_path / "a.ome.tif", TCZYX[0, 0], image)
    np.testing.assert_array_equal(one(tmp_path / "a.ome.tif")[1][0, 0], TCZYX[0, 0])
