"""TIFF of every kind but OME-TIFF: stacks, axes, one plane at a time."""

import struct
import time
import tracemalloc

import numpy as np
import pytest
import tifffile
from tiffs import GREY, GREY16, RGB, RNG, SAY_PAGES, TCZYX, one, pixels, refusal

from nucleiflow.readers import Channel
from nucleiflow.readers.tiff import opened


@pytest.mark.parametrize("level", ["subifds", "pages", "ome"])
def test_only_the_full_size_of_a_pyramid_is_read(tmp_path, level):
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=level == "ome") as tiff:
        options = {"photometric": "minisblack", "tile": (16, 16)}
        below = {} if level == "pages" else {"subifds": 2}
        tiff.write(GREY16, metadata={"axes": "YX"} if level == "ome" else None, **options, **below)
        for step in (2, 4):
            tiff.write(GREY16[::step, ::step], subfiletype=1, metadata=None, **options)
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), GREY16)


def test_a_thumbnail_beside_the_image_does_not_matter(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(RGB[::5, ::3], photometric="rgb", subfiletype=1, metadata=None)
        tiff.write(GREY16, photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), GREY16)


@pytest.mark.parametrize(("pages", "axis"), [("time", 0), ("channel", 1), ("z", 2)])
@pytest.mark.parametrize(
    "options", [{"metadata": None}, {"metadata": None, "compression": "zlib"}, {}], ids=str
)
def test_pages_that_do_not_say_what_they_are_are_what_the_config_says(
    tmp_path, pages, axis, options
):
    stack = TCZYX.reshape(-1, 20, 30)[:5]
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **options)
    assert refusal(tmp_path / "a.tif") == SAY_PAGES.format(5)
    scene, result = one(tmp_path / "a.tif", pages=pages)
    assert [scene.times, len(scene.channels), scene.planes][axis] == 5
    np.testing.assert_array_equal(result.reshape(stack.shape), stack)


def test_pages_of_12_are_found_with_any_metadata(tmp_path):
    # tifffile looks at files of less than eight pages in another way.
    stack = np.moveaxis(TCZYX, 2, 0).reshape(-1, 20, 30)[:12]
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(one(tmp_path / "a.tif", pages="z")[1][0, 0], stack)
    tifffile.imwrite(tmp_path / "b.tif", stack.reshape(3, 4, 20, 30), photometric="minisblack")
    assert refusal(tmp_path / "b.tif") == SAY_PAGES.format(12)
    np.testing.assert_array_equal(one(tmp_path / "b.tif", pages="time")[1][:, 0, 0], stack)


def test_axes_that_tifffile_wrote_are_known(tmp_path):
    for axes, image in (("ZYX", TCZYX[0, 0]), ("TCYX", TCZYX[:, :, 0]), ("CTZYX", TCZYX)):
        stored = np.swapaxes(image, 0, 1) if axes == "CTZYX" else image
        tifffile.imwrite(
            tmp_path / "a.tif", stored, photometric="minisblack", metadata={"axes": axes}
        )
        _, result = one(tmp_path / "a.tif")
        np.testing.assert_array_equal(np.squeeze(result), image)


def test_unknown_axis_is_refused_by_name(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", TCZYX[0, 0], photometric="minisblack", metadata={"axes": "RYX"}
    )
    assert refusal(tmp_path / "a.tif") == (
        "the file has an axis R (tile) of 4, which is not supported: export it as an OME-TIFF of "
        "channels, planes and times"
    )


@pytest.mark.parametrize("unit", ["micron", "um", "µm", "\\u00B5m"])
def test_imagej_hyperstack_has_its_axes_and_pixel_size(tmp_path, unit):
    stack = np.swapaxes(TCZYX, 1, 2)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stack,
        imagej=True,
        resolution=(1 / 0.65, 1 / 0.65),
        resolutionunit="NONE",
        metadata={"axes": "TZCYX", "unit": unit.replace("µ", "X")},
    )
    # ImageJ writes one byte for µ, tifffile none.
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content.replace(b"unit=Xm", b"unit=\xb5m"))
    scene, result = one(tmp_path / "a.tif")
    np.testing.assert_array_equal(result, TCZYX)
    assert scene.pixel_size_um == pytest.approx(0.65)
    assert scene.pixel_size_source == "ImageJ"
    assert scene.channels == (Channel(),) * 3


def imagej_of_one_page(path, stack, byteorder):
    """As ImageJ writes stacks of more than 4 GB: one page, the others follow behind its pixels."""
    description = f"ImageJ=1.53t\nimages={len(stack)}\nslices={len(stack)}\n"
    content = stack.astype(stack.dtype.newbyteorder(byteorder))
    tifffile.imwrite(path, content[0], description=description, metadata=None, byteorder=byteorder)
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages.first.dataoffsets[0]
    file = path.read_bytes()
    assert start + stack[0].nbytes >= len(file) - 4
    path.write_bytes(file[:start] + content.tobytes())


@pytest.mark.parametrize("order", ["<", ">"])
def test_stack_of_one_page_is_read_from_its_bytes(tmp_path, order):
    stack = TCZYX[0, 0]
    imagej_of_one_page(tmp_path / "a.tif", stack, order)
    scene, result = one(tmp_path / "a.tif")
    assert (scene.planes, scene.dtype.isnative) == (4, True)
    np.testing.assert_array_equal(result[0, 0], stack)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: -stack[0].nbytes])
    assert refusal(tmp_path / "a.tif") == (
        "the file's metadata state 4 planes, but it holds 1: copy or export it again"
    )


def test_shaped_file_of_one_page_is_read_from_its_bytes(tmp_path):
    options = {"photometric": "minisblack", "metadata": {"axes": "TCZYX"}, "truncate": True}
    tifffile.imwrite(tmp_path / "a.tif", TCZYX, byteorder=">", **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == 1
    np.testing.assert_array_equal(one(tmp_path / "a.tif")[1], TCZYX)


def metamorph_stack(path, planes, calibration=(13, 20), distance=2):
    """A MetaMorph STK: one page, its planes one after the other, four private tags."""
    count, height, width = planes.shape
    tags, values = [], b""
    offset = 8 + 2 + 12 * 12 + 4

    def add(code, kind, number, value):
        nonlocal values
        if isinstance(value, bytes):
            tags.append(struct.pack("<HHII", code, kind, number, offset + len(values)))
            values += value + b"\0" * (len(value) % 2)
        else:
            tags.append(struct.pack("<HHII", code, kind, number, value))

    uic2 = b"".join(
        struct.pack("<6I", distance, 1, 2459000, at, 2459000, at) for at in range(count)
    )
    # SpatialCalibration, XCalibration, YCalibration, CalibrationUnits; the last three by offset.
    rational = offset + 8 * 4
    uic1 = struct.pack("<8I", 3, 1, 4, rational, 5, rational, 6, rational + 8)
    uic1 += struct.pack("<2I", *calibration) + struct.pack("<I", 3) + b"um\0"
    for code, value in ((256, width), (257, height), (258, 16), (259, 1), (262, 1), (277, 1)):
        add(code, 4 if code < 258 else 3, 1, value)
    add(278, 4, 1, height)
    add(279, 4, 1, height * width * 2)
    add(33628, 4, 4, uic1)
    add(33629, 5, count, uic2)
    data = offset + len(values)
    tags.append(struct.pack("<HHII", 273, 4, 1, data))
    tags.append(struct.pack("<HHII", 296, 3, 1, 1))
    assert len(tags) == 12
    directory = struct.pack("<H", 12) + b"".join(sorted(tags)) + struct.pack("<I", 0)
    head = b"II" + struct.pack("<HI", 42, 8)
    path.write_bytes(head + directory + values + planes.astype("<u2").tobytes())


def test_metamorph_stack_has_its_planes_and_calibration(tmp_path):
    metamorph_stack(tmp_path / "a.stk", TCZYX[0, 0])
    scene, result = one(tmp_path / "a.stk")
    assert (scene.times, scene.planes) == (1, 4)
    assert (scene.pixel_size_um, scene.pixel_size_source) == (0.65, "MetaMorph")
    np.testing.assert_array_equal(result[0, 0], TCZYX[0, 0])
    metamorph_stack(tmp_path / "t.stk", TCZYX[0, 0], distance=0)
    scene, result = one(tmp_path / "t.stk")
    assert (scene.times, scene.planes) == (4, 1)
    np.testing.assert_array_equal(result[:, 0, 0], TCZYX[0, 0])


def test_metamorph_stack_that_is_cut_short_is_refused(tmp_path):
    metamorph_stack(tmp_path / "a.stk", TCZYX[0, 0])
    content = (tmp_path / "a.stk").read_bytes()
    (tmp_path / "a.stk").write_bytes(content[:-100])
    assert refusal(tmp_path / "a.stk") == (
        "the file's metadata state 4 planes, but it holds 1: copy or export it again"
    )


@pytest.mark.parametrize("kind", ["ome", "imagej", "zlib", "bytes"])
def test_one_plane_of_a_stack_is_read_without_the_rest(tmp_path, kind):
    stack = RNG.integers(0, 65536, (20, 64, 64), np.uint16)
    path = tmp_path / "a.tif"
    options = {
        "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "zlib": {"compression": "zlib", "metadata": {"axes": "ZYX"}},
    }
    if kind == "bytes":
        imagej_of_one_page(path, stack, "<")
    else:
        tifffile.imwrite(path, stack, photometric="minisblack", **options[kind])
    with opened(path) as (scene,):
        # Nothing but the seventh plane is left of the pixels.
        with tifffile.TiffFile(path) as tiff, path.open("r+b") as file:
            start = tiff.pages.first.dataoffsets[0]
            size = stack[0].nbytes
            for at in range(20):
                page = tiff.pages[at] if kind == "zlib" else None
                where = page.dataoffsets[0] if page else start + at * size
                if at != 7:
                    file.seek(where)
                    file.write(b"\xff" * (page.databytecounts[0] if page else size))
        np.testing.assert_array_equal(scene.load(0, 0, 7), stack[7])


def test_memory_does_not_grow_with_the_stack(tmp_path):
    stack = np.zeros((50, 512, 512), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", metadata={"axes": "ZYX"})
    tracemalloc.start()
    with opened(tmp_path / "a.tif") as (scene,):
        for z in range(50):
            scene.load(0, 0, z)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * stack[0].nbytes


def test_pages_of_several_kinds_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GREY)
        tiff.write(GREY16[:10])
    assert refusal(tmp_path / "a.tif") == (
        "the file holds 2 images of different kinds (30 x 20 uint8, 30 x 10 uint16): export each "
        "as a file of its own"
    )


@pytest.mark.parametrize(
    ("options", "maker"),
    [
        ({"description": "Aperio Image Library v12"}, "Aperio"),
        ({"description": '<?xml version="1.0"?><scn></scn>'}, "Leica"),
        ({"software": "Philips DP v1.0", "description": "<DataObject></DataObject>"}, "Philips"),
    ],
)
def test_whole_slides_are_refused(tmp_path, options, maker):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", metadata=None, **options)
    assert refusal(tmp_path / "a.tif") == (
        f"the file is a whole slide of a {maker} scanner, which is not supported: export fields "
        "of it as OME-TIFF"
    )


@pytest.mark.parametrize(
    "description",
    [
        '{"shape": [1000000000000, 20, 30], "axes": "ZYX"}',
        "ImageJ=1.53t\nimages=1000000000000\nslices=1000000000000\n",
    ],
)
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
def test_absurd_numbers_of_planes_cost_nothing(tmp_path, description, options):
    tifffile.imwrite(tmp_path / "a.tif", GREY, description=description, metadata=None, **options)
    tracemalloc.start()
    start = time.perf_counter()
    assert refusal(tmp_path / "a.tif", pages="z") == (
        "the file's metadata state 1000000000000 planes, but it holds 1: copy or export it again"
    )
    assert tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.stop()
    assert time.perf_counter() - start < 5


def test_reading_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY16)
    before = path.read_bytes(), path.stat().st_mtime_ns
    path.chmod(0o444)
    np.testing.assert_array_equal(pixels(path), GREY16)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_thumbnail_beside_the_channels_of_a_slide_scanners_field_does_not_matter(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        options = {"software": "PerkinElmer-QPI", "metadata": None, "contiguous": False}
        for page in TCZYX[0, :, 0]:
            tiff.write(page, photometric="minisblack", **options)
        tiff.write(RGB[::5, ::3], photometric="rgb", **options)
    np.testing.assert_array_equal(one(tmp_path / "a.tif")[1][0, :, 0], TCZYX[0, :, 0])


def test_page_whose_strips_are_in_another_order_than_the_first_ones(tmp_path):
    path = tmp_path / "a.tif"
    stack = TCZYX[0].reshape(12, 20, 30)
    with tifffile.TiffWriter(path) as tiff:
        for page in stack:
            tiff.write(page, rowsperstrip=10, metadata=None, contiguous=False)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.is_contiguous
        where = tiff.pages[2].tags[273].valueoffset
        offsets = tiff.pages[2].dataoffsets
    content = bytearray(path.read_bytes())
    content[where : where + 8] = struct.pack("<II", *offsets[::-1])
    path.write_bytes(content)
    expected = stack.copy()
    expected[2] = np.roll(expected[2], 10, axis=0)
    np.testing.assert_array_equal(one(path, pages="z")[1][0, 0], expected)
