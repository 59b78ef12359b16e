"""A field of view: names of channels, the one with the nuclei, planes, and files that are one."""

import weakref
from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tifffile

from nucleiflow import field
from nucleiflow.field import Field, File, View, channel_names, header, open_field, pick, project
from nucleiflow.images import ImageError
from nucleiflow.readers import Channel, Scene
from simulate import simulate

RNG = np.random.default_rng(2)
GREY = RNG.integers(1, 256, (12, 18), np.uint8)
RGB = tuple(Channel(color, color) for color in ("red", "green", "blue"))


def channels(*names):
    return tuple(map(Channel, names))


def made(stack, stated=(), view=None, planes=None):
    """A field of a (C, Z, Y, X) array."""
    stack = np.asarray(stack)
    stated = stated or (Channel(),) * len(stack)
    view = view or View()
    numbers = planes or (tuple(range(stack.shape[1])),) * len(stack)
    return Field(
        channel_names(stated, view.channels),
        stated,
        numbers,
        *stack.shape[2:],
        stack.dtype,
        None,
        "",
        view,
        lambda channel, z: stack[channel, numbers[channel].index(z)],
    )


def refusal(function, *arguments):
    """The sentence with which something is refused."""
    with pytest.raises(ImageError) as caught:
        function(*arguments)
    return str(caught.value)


# Names


@pytest.mark.parametrize(
    ("stated", "given", "names"),
    [
        # Those of the file.
        ([""], None, ("",)),
        (["DAPI"], None, ("DAPI",)),
        (["", "", ""], None, ("0", "1", "2")),
        (["DAPI", ""], None, ("DAPI", "1")),
        (["FITC - 488", "(Alexa 647)"], None, ("FITC_488", "Alexa_647")),
        (["-", "µ-opsin"], None, ("0", "µ_opsin")),
        # A list.
        (["", ""], ["nuclei", "pH3"], ("nuclei", "pH3")),
        (["a", "b"], ["nuclei", "p H3"], ("nuclei", "p_H3")),
        ([""], ["nuclei"], ("nuclei",)),
        # A mapping, by name or index; others keep theirs.
        (["FITC - 488", "b"], {"FITC - 488": "actin"}, ("actin", "b")),
        (["FITC - 488", "b"], {"fitc_488": "actin"}, ("actin", "b")),
        (["a", "b"], {"1": "nuclei"}, ("a", "nuclei")),
        (["", ""], {"1": "nuclei"}, ("0", "nuclei")),
        ([""], {"0": "nuclei"}, ("nuclei",)),
        (["1", "2"], {"1": "nuclei", "2": "actin"}, ("nuclei", "actin")),
        (["a", "b"], {"a": "b", "b": "a"}, ("b", "a")),
        (["a", "b"], {}, ("a", "b")),
        # Each once.
        (["a", "a", "a"], None, ("a", "a_2", "a_3")),
        (["A 1", "A-1"], None, ("A_1", "A_1_2")),
        (["1", ""], None, ("1", "1_2")),
        (["a", "b"], ["x", "x"], ("x", "x_2")),
        (["a", "b"], {"b": "a"}, ("a", "a_2")),
        (["a", "a", "a_2"], None, ("a", "a_2", "a_2_2")),
    ],
)
def test_names_of_channels(stated, given, names):
    assert channel_names(channels(*stated), given) == names


@pytest.mark.parametrize(("count", "given"), [(2, ["a"]), (1, ["a", "b"]), (3, ["a", "b"])])
def test_list_of_names_of_another_length_is_refused(count, given):
    assert refusal(channel_names, channels(*"abc"[:count]), given) == (
        f"the image has {count} channels and the config names {len(given)}: change channels"
    )


@pytest.mark.parametrize(
    ("stated", "key", "shown"),
    [
        (["DAPI", "FITC - 488"], "GFP", "DAPI, FITC_488"),
        (["DAPI", "GFP"], "2", "DAPI, GFP"),
        (["", ""], "GFP", "0, 1"),
        ([""], "GFP", "one"),
    ],
)
def test_mapping_of_a_channel_that_is_not_there_is_refused(stated, key, shown):
    assert refusal(channel_names, channels(*stated), {key: "actin"}) == (
        f"there is no channel {key}, the image has {shown}: change channels"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [("FITC - 488", "FITC_488"), ("a/b\\c", "a_b_c"), (" DAPI ", "DAPI"), ("--", ""), ("", "")],
)
def test_plain_names_are_letters_digits_and_underscores(name, expected):
    assert field.plain(name) == expected


# Which channel


@pytest.mark.parametrize(
    ("which", "names", "stated", "index"),
    [
        # By name, whatever the case and the separators.
        ("DAPI", ("GFP", "DAPI"), channels("GFP", "DAPI"), 1),
        ("dapi", ("GFP", "DAPI"), channels("GFP", "DAPI"), 1),
        ("fitc 488", ("DAPI", "FITC_488"), channels("DAPI", "FITC - 488"), 1),
        ("2", ("2", "a", "b"), channels("2", "a", "b"), 0),
        (2, ("2", "a", "b"), channels("2", "a", "b"), 0),
        (1, ("2", "a", "b"), channels("2", "a", "b"), 1),
        # By the name in the file, where the config gives others.
        (1, ("nuclei", "actin"), channels("1", "2"), 0),
        (2, ("nuclei", "actin"), channels("1", "2"), 1),
        (0, ("nuclei", "actin"), channels("1", "2"), 0),
        ("a", ("b", "a"), channels("a", "b"), 1),
        # By colour.
        ("blue", ("GFP", "DAPI"), (Channel("GFP", "green"), Channel("DAPI", "blue")), 1),
        ("Blue", ("red", "green", "blue"), RGB, 2),
        ("blue", ("blue", "DAPI"), (Channel("blue", "red"), Channel("DAPI", "blue")), 0),
        ("blue", ("x", "y"), (Channel("a", "blue"), Channel("blue", "red")), 1),
        # By index.
        ("1", ("GFP", "DAPI"), channels("GFP", "DAPI"), 1),
        (0, ("",), channels(""), 0),
        (1, ("0", "1"), channels("", ""), 1),
    ],
)
def test_channel_by_name_name_in_the_file_colour_and_index_in_this_order(
    which, names, stated, index
):
    assert pick(which, names, stated, "segment") == index


@pytest.mark.parametrize(
    ("which", "names", "stated", "shown"),
    [
        ("GFP", ("DAPI", "actin"), channels("DAPI", "actin"), "DAPI, actin"),
        (2, ("DAPI", "actin"), channels("DAPI", "actin"), "DAPI, actin"),
        (1, ("",), channels(""), "one"),
        ("red", ("",), channels(""), "one"),
        # Two of one colour: which is meant is not known.
        ("blue", ("a", "b"), (Channel("a", "blue"), Channel("b", "blue")), "a, b"),
    ],
)
@pytest.mark.parametrize("key", ["segment", "measure.channels"])
def test_channel_that_is_not_there_is_refused(which, names, stated, shown, key):
    assert refusal(pick, which, names, stated, key) == (
        f"there is no channel {which}, the image has {shown}: change {key}"
    )


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (("",), 0),
        (("GFP",), 0),
        (("GFP", "DAPI"), 1),
        (("GFP", "dapi_405"), 1),
        (("Hoechst_33342", "Cy5"), 0),
        (("a", "DRAQ5"), 1),
        (("a", "Nuclei"), 1),
        (("a", "nucleus", "b"), 1),
        (("H2B_mCherry", "GFP"), 0),
        (("SYTOX_Green", "b"), 0),
        (("DNA", "b"), 0),
        (("b", "anti_dna"), 1),
        (("TOPRO_3", "b"), 0),
        (("cDNA", "DNA"), 1),
        (("cDNA", "b"), None),
        (("DNAse", "b"), None),
        (("DAPI", "Hoechst"), None),
        (("red", "green", "blue"), None),
        (("0", "1"), None),
    ],
)
def test_channel_that_is_called_like_a_stain_of_nuclei(names, index):
    assert field.nuclear_channel(names) == index


def lit(*which, count=3):
    """Channels of which only some are not black."""
    stack = np.zeros((count, 1, 12, 18), np.uint8)
    stack[list(which), 0] = GREY
    return stack


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("stated", [RGB, ()], ids=["rgb", "unnamed"])
def test_auto_takes_the_only_channel_that_is_not_black(index, stated):
    opened = made(lit(index), stated)
    assert opened.segmented() == index
    np.testing.assert_array_equal(opened.image(index), GREY)


def test_auto_takes_the_only_channel_of_a_grey_image_without_reading_it():
    grey = replace(made(GREY[None, None]), load=None)
    assert grey.segmented() == 0
    assert replace(grey, view=View(segment=0)).segmented() == 0


def test_auto_takes_the_channel_that_is_called_so_without_reading_any():
    assert replace(made(lit(0, 1), channels("a", "b", "DAPI")), load=None).segmented() == 2


@pytest.mark.parametrize(
    ("which", "index"), [((0, 1, 2), 0), ((1, 2), 1), ((), 0)], ids=["all", "two", "black"]
)
def test_auto_takes_the_first_of_equal_channels(which, index):
    assert made(lit(*which), RGB).segmented() == index


def test_auto_looks_at_what_the_crop_leaves():
    stack = lit(1)
    stack[0, 0, 0, 0] = 9
    crop = {"x": 1, "y": 1, "width": 5, "height": 5}
    assert made(stack, RGB, View(crop=crop)).segmented() == 1


@pytest.mark.parametrize(
    ("stack", "stated", "sentence"),
    [
        (
            lit(0, 1, 2) * np.uint8([1, 2, 3]).reshape(3, 1, 1, 1),
            RGB,
            "3 of the image's 3 channels hold something: set segment to the one with the nuclei "
            "(red, green, blue)",
        ),
        (
            lit(0, 2, count=4) // np.uint8([1, 1, 2, 1]).reshape(4, 1, 1, 1),
            (),
            "2 of the image's 4 channels hold something: set segment to the one with the nuclei "
            "(0, 1, 2, 3)",
        ),
        (
            lit(0, 1, count=2) // np.uint8([1, 2]).reshape(2, 1, 1, 1),
            channels("DAPI", "Hoechst"),
            "2 of the image's 2 channels hold something: set segment to the one with the nuclei "
            "(DAPI, Hoechst)",
        ),
    ],
)
def test_auto_refuses_to_choose(stack, stated, sentence):
    assert refusal(made(stack, stated).segmented) == sentence


def test_auto_refuses_to_choose_where_the_first_and_the_last_of_three_are_equal():
    stack = lit(0, 1, 2)
    stack[1] //= 2
    assert refusal(made(stack).segmented).startswith("3 of the image's 3 channels hold something")


def test_named_channel_is_segmented_whatever_auto_would_choose():
    stated = channels("DAPI", "GFP")
    assert made(lit(0, count=2), stated, View(segment="GFP")).segmented() == 1
    assert made(lit(0, count=2), stated, View(segment=1)).segmented() == 1
    names = ["nuclei", "actin"]
    assert made(lit(0, count=2), stated, View(segment="actin", channels=names)).segmented() == 1
    assert refusal(made(lit(0, count=2), stated, View(segment="Cy5")).segmented) == (
        "there is no channel Cy5, the image has DAPI, GFP: change segment"
    )


def test_channel_that_an_earlier_stage_chose_is_not_chosen_again():
    opened = replace(made(lit(0)), load=None, view=View(segment="auto", segmented=2))
    assert opened.segmented() == 2


def test_colour_image_is_that_of_red_green_and_blue_only():
    stack = RNG.integers(0, 9, (3, 1, 12, 18), np.uint8)
    rgb = made(stack, RGB).rgb()
    np.testing.assert_array_equal(rgb, np.moveaxis(stack[:, 0], 0, 2))
    crop = {"x": 2, "y": 1, "width": 4, "height": 3}
    cut = made(stack, RGB, View(crop=crop, channels=["a", "b", "c"])).rgb()
    np.testing.assert_array_equal(cut, rgb[1:4, 2:6])
    assert made(stack).rgb() is None
    assert made(stack, channels("blue", "green", "red")).rgb() is None
    assert made(stack[:2], RGB[:2]).rgb() is None


# Along z


@pytest.mark.parametrize(
    ("dtype", "values", "how", "expected", "result"),
    [
        ("uint8", [1, 255, 7], "max", 255, "uint8"),
        ("uint8", [1, 255, 255], "sum", 511, "uint32"),
        ("uint8", [1, 2, 4], "mean", np.float32(7 / 3), "float32"),
        ("uint16", [1, 65535, 7], "max", 65535, "uint16"),
        ("uint16", [65535, 65535, 65535], "sum", 196605, "uint32"),
        ("uint16", [65535, 65535, 65532], "mean", 65534, "float32"),
        ("int16", [-5, -32768, -7], "max", -5, "int16"),
        ("int16", [-32768, -32768, 7], "sum", -65529, "float64"),
        ("int16", [-5, 2, 1], "mean", np.float32(-2 / 3), "float32"),
        ("float32", [0.5, -2, 0.25], "max", 0.5, "float32"),
        ("float32", [16777216, 1, 1], "sum", 16777218, "float64"),
        ("float32", [0.5, 0.25, 0.75], "mean", 0.5, "float32"),
        ("uint32", [1, 4294967295, 7], "max", 4294967295, "uint32"),
        ("uint32", [4294967295, 4294967295, 1], "sum", 8589934591, "float64"),
        ("uint32", [1, 2, 6], "mean", 3, "float32"),
        ("int32", [-9, 2, 1], "sum", -6, "float64"),
        ("float64", [0.1, 0.2, 0.4], "mean", (0.1 + 0.2 + 0.4) / 3, "float64"),
    ],
)
def test_projection_of_each_type(dtype, values, how, expected, result):
    stack = np.array(values, dtype)[:, None, None] * np.ones((1, 2, 3), dtype)
    before = stack.copy()
    projected = project(iter(stack), how)
    assert (projected.dtype, projected.shape) == (np.dtype(result), (2, 3))
    assert (projected == expected).all()
    np.testing.assert_array_equal(stack, before)
    if how == "max":
        assert not np.shares_memory(projected, stack)


@pytest.mark.parametrize("how", ["max", "mean", "sum", "focus"])
def test_planes_of_different_types_are_refused(how):
    planes = [GREY, GREY, GREY.astype(np.uint16) * 2]
    assert refusal(project, planes, how) == (
        "its planes are of different types (uint8 and uint16), export them alike"
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("how", ["max", "mean", "sum"])
def test_each_pixel_is_projected_on_its_own(dtype, how):
    stack = RNG.integers(0, 120, (5, 12, 18)).astype(dtype)
    expected = getattr(stack, how)(axis=0, **({} if how == "max" else {"dtype": np.float64}))
    np.testing.assert_allclose(project(stack, how), expected, rtol=1e-7)


@pytest.mark.parametrize("how", ["max", "mean", "sum", "focus"])
def test_no_more_than_three_planes_are_in_memory(how):
    alive, most = weakref.WeakSet(), 0

    class Plane(np.ndarray):
        """An array that can be counted."""

        __hash__ = object.__hash__

    def planes():
        nonlocal most
        for index in range(8):
            # The sharpest is in the middle: what came before has to be given up.
            values = RNG.integers(0, 1 + 20 * (index == 3) + index, (16, 16)).astype(np.uint8)
            plane = values.view(Plane)
            alive.add(plane)
            # Without the result, which is an array of its own unless a plane is chosen.
            most = max(most, len(alive) + (how != "focus" and index > 0))
            yield plane
            del plane

    project(planes(), how)
    assert most == 3


def stack_in_focus_at(best, dtype=np.uint16):
    """A simulated field as a microscope sees it from planes above to planes below."""
    image, _ = simulate(3, (128, 128), offset=0, read_noise=0)
    blurred = [cv2.GaussianBlur(image, (0, 0), 0.1 + 1.5 * abs(z - best)) for z in range(6)]
    return np.stack(blurred).astype(dtype)


@pytest.mark.parametrize("best", [0, 2, 5])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_focus_is_the_sharpest_plane(best, dtype):
    stack = stack_in_focus_at(best, dtype)
    opened = made([stack[::-1], stack], view=View(z="focus"))
    assert opened.sharpest(1) == best
    assert opened.sharpest(0) == 5 - best
    np.testing.assert_array_equal(opened.image(1), stack[best])
    assert opened.image(1).dtype == dtype


def test_number_of_the_sharpest_plane_is_that_of_its_file():
    opened = made([stack_in_focus_at(4)], planes=((3, 5, 7, 9, 11, 13),))
    assert opened.sharpest(0) == 11
    assert replace(opened, planes=((7,),), load=None).sharpest(0) == 7


def test_first_of_equally_sharp_planes_is_taken():
    assert made(np.zeros((1, 4, 5, 5), np.uint8)).sharpest(0) == 0
    stack = np.stack([GREY, GREY])
    assert project(iter(stack), "focus").base is stack


def test_plane_by_its_number():
    stack = RNG.integers(0, 99, (2, 3, 4, 5), np.uint8)
    np.testing.assert_array_equal(made(stack, view=View(z=2)).image(1), stack[1, 2])
    numbered = made(stack, view=View(z=20), planes=((10, 20, 30), (5, 20, 40)))
    np.testing.assert_array_equal(numbered.image(1), stack[1, 1])


@pytest.mark.parametrize(
    ("z", "planes", "shown"),
    [
        (3, (0, 1, 2), "0, 1, 2"),
        (0, (1, 2, 3, 4, 5, 6), "1, 2, 3, 4, 5, 6"),
        (7, (0, 1, 2, 3, 4, 5, 6), "0, 1, 2, ..., 6"),
    ],
)
def test_number_of_a_plane_that_is_not_there_is_refused(z, planes, shown):
    opened = made(np.zeros((1, len(planes), 4, 5), np.uint8), view=View(z=z), planes=(planes,))
    assert refusal(opened.image, 0) == (f"there is no plane {z}, there are {shown}: change z")


@pytest.mark.parametrize("z", ["max", "mean", "sum", "focus", 4])
def test_channel_of_one_plane_is_taken_as_it_is(z):
    opened = made(GREY[None, None], view=View(z=z), planes=((9,),))
    np.testing.assert_array_equal(opened.image(0), GREY)
    assert opened.image(0).dtype == np.uint8


def test_projection_is_cropped_then_resized():
    stack = RNG.integers(0, 60000, (1, 3, 12, 18)).astype(np.uint16)
    crop = {"x": 2, "y": 1, "width": 8, "height": 6}
    view = View(z="max", crop=crop, resize={"factor": 0.5})
    expected = cv2.resize(stack[0].max(axis=0)[1:7, 2:10].copy(), (4, 3), interpolation=3)
    np.testing.assert_array_equal(made(stack, view=view).image(0), expected)


# Files


def write_ome(path, *stacks, names=None):
    """An OME-TIFF with a (T, C, Z, Y, X) array for each scene."""
    with tifffile.TiffWriter(path, ome=True) as file:
        for index, stack in enumerate(stacks):
            metadata = {"axes": "TCZYX", "Name": f"scene {index}"}
            metadata |= {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
            if names:
                metadata["Channel"] = {"Name": names}
            file.write(stack, photometric="minisblack", metadata=metadata)


def random(*shape, dtype=np.uint16):
    return RNG.integers(1, 200, shape).astype(dtype)


def shown(opened):
    """What a field says of itself besides pixels."""
    names = ("names", "height", "width", "dtype", "pixel_size_um", "pixel_size_source")
    return {name: getattr(opened, name) for name in names}


def test_one_file_with_scenes_times_channels_and_planes(tmp_path):
    one, two = random(2, 3, 4, 10, 12), random(1, 2, 1, 20, 12)
    write_ome(tmp_path / "a.ome.tif", one)
    files = [File("a.ome.tif")]
    with open_field(tmp_path, files, View(z=3), time=1) as opened:
        assert opened.names == ("0", "1", "2")
        assert opened.planes == ((0, 1, 2, 3),) * 3
        np.testing.assert_array_equal(opened.image(2), one[1, 2, 3])
    write_ome(tmp_path / "a.ome.tif", one, two)
    with open_field(tmp_path, files, View(), scene=0, time=1) as opened:
        np.testing.assert_array_equal(opened.image(0), one[1, 0].max(axis=0))
    with open_field(tmp_path, files, View(), scene=1) as opened:
        assert shown(opened) == {
            **{"names": ("0", "1"), "height": 20, "width": 12, "dtype": np.uint16},
            **{"pixel_size_um": 0.5, "pixel_size_source": "OME"},
        }
        np.testing.assert_array_equal(opened.image(1), two[0, 1, 0])
    found = header(tmp_path, files, View())
    assert found.scenes == (("scene 0", 2), ("scene 1", 1))
    # What else it says is that of the largest scene.
    assert (found.names, found.planes, found.height) == (("0", "1"), (0,), 20)


def test_files_of_one_ome_tiff_dataset_are_opened_together(tmp_path):
    ids = ["a.ome.tif", "b.ome.tif"]
    stack = random(2, 10, 12)
    uuids = [f"urn:uuid:0000000{index}-0000-4000-8000-000000000000" for index in range(2)]
    data = "".join(
        f'<TiffData FirstC="{index}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">{uuid}</UUID></TiffData>'
        for index, (name, uuid) in enumerate(zip(ids, uuids, strict=True))
    )
    sizes = 'SizeX="12" SizeY="10" SizeC="2" SizeZ="1" SizeT="1"'
    for index, name in enumerate(ids):
        text = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuids[index]}">'
            f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
            f'{sizes}><Channel ID="Channel:0:0" Name="DAPI" SamplesPerPixel="1"/>'
            f'<Channel ID="Channel:0:1" Name="GFP" SamplesPerPixel="1"/>{data}</Pixels></Image>'
            "</OME>"
        )
        tifffile.imwrite(
            tmp_path / name, stack[index], description=text, metadata=None, photometric=1
        )
    with open_field(tmp_path, list(map(File, ids)), View()) as opened:
        assert opened.names == ("DAPI", "GFP")
        np.testing.assert_array_equal(opened.image(0), stack[0])
        np.testing.assert_array_equal(opened.image(1), stack[1])


def write(folder, **images):
    """TIFF files of one plane each."""
    for name, image in images.items():
        rgb = image.ndim == 3 and image.shape[2] == 3
        tifffile.imwrite(folder / f"{name}.tif", image, photometric="rgb" if rgb else "minisblack")


def test_file_for_each_channel(tmp_path):
    one, two = random(10, 12), random(10, 12, dtype=np.uint8)
    write(tmp_path, w1=one, w2=two)
    files = [File("w1.tif", "DAPI"), File("w2.tif", "FITC 488")]
    with open_field(tmp_path, files, View(segment="auto")) as opened:
        assert opened.names == ("DAPI", "FITC_488")
        assert opened.stated == channels("DAPI", "FITC 488")
        assert opened.planes == ((0,), (0,))
        assert opened.segmented() == 0
        np.testing.assert_array_equal(opened.image(0), one)
        np.testing.assert_array_equal(opened.image(1), two)
        assert opened.image(1).dtype == np.uint8
    with open_field(tmp_path, files, View(channels=["a", "b"], segment="FITC 488")) as opened:
        assert opened.names == ("a", "b")
        assert opened.segmented() == 1


def test_channel_1_of_files_is_called_1_and_is_not_the_second(tmp_path):
    write(tmp_path, w1=random(10, 12), w2=random(10, 12))
    files = [File("w1.tif", "1"), File("w2.tif", "2")]
    for names in (None, {"1": "nuclei", "2": "actin"}, ["nuclei", "actin"]):
        with open_field(tmp_path, files, View(segment=1, channels=names)) as opened:
            assert opened.segmented() == 0
            assert opened.names == (("nuclei", "actin") if names else ("1", "2"))


def test_file_for_each_plane(tmp_path):
    stack = random(3, 10, 12)
    write(tmp_path, z2=stack[0], z5=stack[1], z7=stack[2])
    files = [File("z2.tif", z=2), File("z5.tif", z=5), File("z7.tif", z=7)]
    with open_field(tmp_path, files, View()) as opened:
        assert (opened.names, opened.planes) == (("",), ((2, 5, 7),))
        np.testing.assert_array_equal(opened.image(0), stack.max(axis=0))
    with open_field(tmp_path, files, View(z=5)) as opened:
        np.testing.assert_array_equal(opened.image(0), stack[1])
    with open_field(tmp_path, files, View(z=0)) as opened:
        assert refusal(opened.image, 0) == "there is no plane 0, there are 2, 5, 7: change z"


def test_file_of_all_channels_for_each_plane(tmp_path):
    stack = random(2, 10, 12, 3, dtype=np.uint8)
    write(tmp_path, z1=stack[0], z2=stack[1])
    files = [File("z1.tif", z=1), File("z2.tif", z=2)]
    with open_field(tmp_path, files, View()) as opened:
        assert (opened.names, opened.planes) == (("red", "green", "blue"), ((1, 2),) * 3)
        np.testing.assert_array_equal(opened.rgb(), stack.max(axis=0))


def test_file_for_each_channel_and_plane_where_channels_have_different_planes(tmp_path):
    images = {name: random(10, 12) for name in ("a1", "a2", "a3", "b2", "c")}
    write(tmp_path, **images)
    files = [File("a1.tif", "a", 1), File("a2.tif", "a", 2), File("a3.tif", "a", 3)]
    files += [File("b2.tif", "b", 2), File("c.tif", "c")]
    with open_field(tmp_path, files, View(z="sum")) as opened:
        assert opened.planes == ((1, 2, 3), (2,), (0,))
        total = images["a1"].astype(np.uint32) + images["a2"] + images["a3"]
        np.testing.assert_array_equal(opened.image(0), total)
        np.testing.assert_array_equal(opened.image(1), images["b2"])
        np.testing.assert_array_equal(opened.image(2), images["c"])
    with open_field(tmp_path, files, View(z=3)) as opened:
        np.testing.assert_array_equal(opened.image(0), images["a3"])
        np.testing.assert_array_equal(opened.image(1), images["b2"])
    assert header(tmp_path, files, View()).planes == (1, 2, 3)


def test_stack_in_the_file_of_each_channel(tmp_path):
    stacks = random(2, 4, 10, 12)
    for index in range(2):
        tifffile.imwrite(
            tmp_path / f"w{index}.tif", stacks[index], imagej=True, metadata={"axes": "ZYX"}
        )
    files = [File("w0.tif", "a"), File("w1.tif", "b")]
    with open_field(tmp_path, files, View(z="max")) as opened:
        assert opened.planes == ((0, 1, 2, 3),) * 2
        np.testing.assert_array_equal(opened.image(1), stacks[1].max(axis=0))
    with open_field(tmp_path, files, View(z=2)) as opened:
        np.testing.assert_array_equal(opened.image(0), stacks[0, 2])


def test_pages_that_do_not_say_what_they_are_are_what_the_config_says(tmp_path):
    stack = random(3, 10, 12)
    for index in range(2):
        tifffile.imwrite(tmp_path / f"w{index}.tif", stack, metadata=None, photometric=1)
    files = [File("w0.tif", "a"), File("w1.tif", "b")]
    with open_field(tmp_path, files, View(pages="z")) as opened:
        np.testing.assert_array_equal(opened.image(1), stack.max(axis=0))
    with open_field(tmp_path, files[:1], View(pages="time"), time=2) as opened:
        np.testing.assert_array_equal(opened.image(0), stack[2])
    with open_field(tmp_path, [File("w0.tif")], View(pages="channel")) as opened:
        assert opened.names == ("0", "1", "2")


def test_times_in_the_file_of_each_channel(tmp_path):
    stacks = random(2, 3, 10, 12)
    for index in range(2):
        tifffile.imwrite(
            tmp_path / f"w{index}.tif", stacks[index], imagej=True, metadata={"axes": "TYX"}
        )
    files = [File("w0.tif", "a"), File("w1.tif", "b")]
    assert header(tmp_path, files, View()).scenes == (("", 3),)
    with open_field(tmp_path, files, View(), time=2) as opened:
        np.testing.assert_array_equal(opened.image(0), stacks[0, 2])
        np.testing.assert_array_equal(opened.image(1), stacks[1, 2])
        assert (opened.time, opened.times) == (2, 3)
        before = opened.at(0)
        assert (before.time, before.times, before.at(2).time) == (0, 3, 2)
        np.testing.assert_array_equal(before.image(1), stacks[1, 0])


def test_other_times_of_a_scene_are_seen_in_the_same_way(tmp_path):
    one, two = random(3, 2, 4, 10, 12), random(1, 1, 1, 20, 12)
    write_ome(tmp_path / "a.ome.tif", one, two)
    view = View(z="mean", crop={"x": 2, "y": 1, "width": 5, "height": 6})
    with open_field(tmp_path, [File("a.ome.tif")], view, scene=0, time=2) as opened:
        assert (opened.time, opened.times) == (2, 3)
        for time in range(3):
            expected = one[time, 1, :, 1:7, 2:7].mean(axis=0, dtype=np.float32)
            np.testing.assert_allclose(opened.at(time).image(1), expected, rtol=1e-6)
    with open_field(tmp_path, [File("a.ome.tif")], View(), scene=1) as opened:
        assert (opened.time, opened.times) == (0, 1)


def test_channel_that_was_exported_as_a_colour_image_is_its_only_lit_sample(tmp_path):
    one, two = np.zeros((2, 10, 12, 3), np.uint8)
    one[..., 2], two[...] = random(10, 12), random(10, 12)[..., None]
    write(tmp_path, one=one, two=two, black=one * 0)
    files = [File("one.tif", "DAPI"), File("two.tif", "GFP"), File("black.tif", "Cy5")]
    with open_field(tmp_path, files, View()) as opened:
        assert opened.names == ("DAPI", "GFP", "Cy5")
        assert opened.rgb() is None
        np.testing.assert_array_equal(opened.image(0), one[..., 2])
        np.testing.assert_array_equal(opened.image(1), two[..., 0])
        assert not opened.image(2).any() and opened.image(2).shape == (10, 12)


def test_file_of_a_channel_that_holds_several_is_refused(tmp_path):
    write(tmp_path, one=random(10, 12, 3, dtype=np.uint8))
    with open_field(tmp_path, [File("one.tif", "w1")], View()) as opened:
        assert refusal(opened.image, 0) == (
            "one.tif holds 3 channels, though its name says that it is channel w1: "
            "set metadata.pattern"
        )


def test_files_of_different_sizes_are_refused(tmp_path):
    write(tmp_path, w1=random(10, 12), w2=random(10, 13))
    files = [File("w1.tif", "a"), File("w2.tif", "b")]
    with open_field(tmp_path, files, View()) as opened:
        assert opened.image(0).shape == (10, 12)
        assert refusal(opened.image, 1) == (
            "w2.tif has 13 x 10 pixels and w1.tif 12 x 10, though their names say that they are "
            "one field: set metadata.pattern"
        )


def test_stack_in_the_file_of_a_plane_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "z1.tif", random(4, 10, 12), imagej=True, metadata={"axes": "ZYX"})
    files = [File("z1.tif", z=1), File("z2.tif", z=2)]
    assert refusal(header, tmp_path, files, View()) == (
        "z1.tif holds 4 planes, though its name says that it is one: set metadata.pattern"
    )


def test_file_of_a_channel_with_fewer_planes_or_times_than_the_first_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "w1.tif", random(4, 10, 12), imagej=True, metadata={"axes": "ZYX"})
    write(tmp_path, w2=random(10, 12))
    files = [File("w1.tif", "a"), File("w2.tif", "b")]
    with open_field(tmp_path, files, View()) as opened:
        assert refusal(opened.image, 1) == "w2.tif has fewer times or planes than w1.tif"
    write(tmp_path, w1=random(10, 12))
    with open_field(tmp_path, files, View(), time=1) as opened:
        assert refusal(opened.image, 0) == "w1.tif has fewer times or planes than w1.tif"


def test_several_images_in_the_file_of_a_channel_are_refused(tmp_path):
    write_ome(tmp_path / "a.ome.tif", random(1, 1, 1, 9, 9), random(1, 1, 1, 9, 9))
    files = [File("a.ome.tif", "DAPI")]
    assert refusal(header, tmp_path, files, View()) == (
        "the file holds 2 images, though its name says that it is a part of one: "
        "set metadata.pattern to null"
    )


def test_part_that_is_damaged_or_gone_is_refused_when_it_is_read(tmp_path):
    write(tmp_path, w1=random(10, 12))
    (tmp_path / "w2.tif").write_bytes((tmp_path / "w1.tif").read_bytes()[:100])
    files = [File("w1.tif", "a"), File("w2.tif", "b"), File("w3.tif", "c")]
    with open_field(tmp_path, files, View()) as opened:
        assert opened.image(0).shape == (10, 12)
        damaged = "the TIFF file is damaged or cut short, copy it again"
        assert refusal(opened.image, 1) == damaged
        gone = "the file is not there any more, or is a link to nothing"
        assert refusal(opened.image, 2) == gone


def test_image_larger_than_the_config_allows_is_refused_from_its_header(tmp_path):
    write(tmp_path, w1=np.zeros((1000, 2000), np.uint8))
    for files in ([File("w1.tif")], [File("w1.tif", "a")]):
        assert refusal(header, tmp_path, files, View(max_megapixels=1.5)) == (
            "the header states 2,000 x 1,000 pixels and 1 channels, more than "
            "max_image_megapixels (1.5) allows"
        )


# Headers


def scene(**facts):
    """A scene whose pixels cannot be read."""
    known = {
        **{"name": "", "times": 2, "channels": channels("DAPI", "GFP"), "planes": 3},
        **{"height": 10, "width": 12, "dtype": np.dtype(np.uint16)},
        **{"pixel_size_um": 0.325, "pixel_size_source": "OME", "load": None},
    }
    return Scene(**(known | facts))


@pytest.fixture
def scenes(monkeypatch):
    """What is in every file."""
    result = [scene()]

    @contextmanager
    def opened(*paths, **options):
        yield result

    monkeypatch.setattr(field, "open_image", opened)
    return result


@pytest.mark.parametrize(
    "files",
    [
        [File("a.tif")],
        [File("a.tif", "x"), File("b.tif", "y"), File("c.tif", "z")],
    ],
    ids=["one file", "a file a channel"],
)
@pytest.mark.parametrize("names", [None, {"0": "nuclei"}])
def test_header_and_open_field_agree_and_read_no_pixels(tmp_path, scenes, files, names):
    view = View(channels=names)
    found = header(tmp_path, files, view)
    with open_field(tmp_path, files, view) as opened:
        assert shown(opened) == shown(found)
        assert found.planes == max(opened.planes, key=len) == (0, 1, 2)
    assert found.scenes == (("", 2),)
    assert found.names[0] == (names or {"0": found.names[0]})["0"]
    assert len(found.names) == (2 if len(files) == 1 else 3)
    assert (found.pixel_size_um, found.pixel_size_source) == (0.325, "OME")


def test_header_of_a_file_a_plane_counts_the_files(tmp_path, scenes):
    scenes[0] = scene(planes=1)
    found = header(tmp_path, [File(f"z{z}.tif", "a", z) for z in (1, 2, 9)], View())
    assert (found.planes, found.names, found.scenes) == ((1, 2, 9), ("a",), (("", 2),))


def test_header_names_all_scenes_and_describes_the_largest(tmp_path, scenes):
    scenes[:] = [
        scene(name="A", height=20, times=1, channels=channels("")),
        scene(name="B", height=50, times=4, dtype=np.dtype(np.uint8), pixel_size_um=None),
        scene(name="C", height=30, planes=9),
    ]
    found = header(tmp_path, [File("a.czi")], View())
    assert found.scenes == (("A", 1), ("B", 4), ("C", 2))
    sizes = ((20, 12), (50, 12), (30, 12))
    assert found[1:3] == (("DAPI", "GFP"), channels("DAPI", "GFP"))
    assert found[3:] == ((0, 1, 2), 50, 12, np.dtype(np.uint8), None, "OME", sizes)


@pytest.mark.parametrize(
    ("scene", "wanted", "expected"),
    [
        ("left", (), True),
        ("left", ("left",), True),
        ("left", ("right", "l?ft"), True),
        ("left", ("Left",), False),
        ("left 2", ("left",), False),
        ("left 2", ("left*",), True),
        # What has no name cannot be chosen by it.
        ("", ("left",), True),
    ],
)
def test_scenes_are_wanted_by_patterns(scene, wanted, expected):
    assert field.is_wanted(scene, wanted) is expected


def test_wrong_number_of_names_is_refused_from_the_header(tmp_path, scenes):
    sentence = "the image has 2 channels and the config names 1: change channels"
    assert refusal(header, tmp_path, [File("a.tif")], View(channels=["a"])) == sentence
