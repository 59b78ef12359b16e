"""Files of microscope vendors: CZI written with ZEISS's library, ND2 and LIF by hand."""

import hashlib
import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from pylibCZIrw import czi

from nucleiflow.images import ImageError
from nucleiflow.readers import Channel, leica, nikon, open_image, vendor, zeiss

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (30, 50)


def ramp(value: int, dtype: type = np.uint16, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A plane that differs from others by its level, and from itself mirrored or turned."""
    rows, columns = np.indices(shape)
    return (value + 3 * rows + columns).astype(dtype)


def code(scene: int, time: int, channel: int, z: int) -> int:
    return 1000 * scene + 400 * time + 200 * channel + 20 * z


# CZI


def write_czi(path: Path, write: Callable, metadata: str = "", **described) -> Path:
    """A CZI file whose pixels `write(writer)` adds; `metadata` replaces what the library writes."""
    with czi.create_czi(str(path)) as writer:
        write(writer)
        writer.write_metadata("test", **described)
    if metadata:
        with czi.edit_czi(str(path)) as editor, editor.edit_session() as session:
            session.set_xml(f"<ImageDocument><Metadata>{metadata}</Metadata></ImageDocument>")
    return path


def write_all(writer: czi.CziWriter) -> None:
    """Two scenes of two tiles, which overlap by 5 columns, with 2 times, 2 channels, 3 planes."""
    for scene, time, channel, z in np.ndindex(2, 2, 2, 3):
        plane = {"T": time, "C": channel, "Z": z}
        for tile in range(2):
            at = (-100 + 300 * scene + 45 * tile, 40)
            value = code(scene, time, channel, z) + 45 * tile
            writer.write(ramp(value), location=at, plane=plane, scene=scene)


@pytest.fixture
def full_czi(tmp_path: Path) -> Path:
    names = {0: "DAPI", 1: "AF488"}
    return write_czi(
        tmp_path / "full.czi", write_all, channel_names=names, scale_x=325e-9, scale_y=325e-9
    )


CHANNELS = """<Information><Image><Dimensions><Channels>{}</Channels>{}</Dimensions></Image>
</Information>"""


def test_czi_has_scenes_times_channels_planes_and_composed_tiles(full_czi: Path) -> None:
    with zeiss.opened(full_czi) as scenes:
        assert [scene.name for scene in scenes] == ["scene 0", "scene 1"]
        for index, scene in enumerate(scenes):
            assert (scene.times, scene.planes) == (2, 3)
            assert scene.channels == (Channel("DAPI"), Channel("AF488"))
            assert (scene.height, scene.width, scene.dtype) == (30, 95, np.uint16)
            assert scene.pixel_size_um == pytest.approx(0.325)
            assert scene.pixel_size_source == "CZI"
            for time, channel, z in np.ndindex(2, 2, 3):
                plane = scene.load(time, channel, z)
                assert plane.dtype == np.uint16
                expected = ramp(code(index, time, channel, z), shape=(30, 95))
                np.testing.assert_array_equal(plane, expected)


def test_czi_planes_outlive_the_file(full_czi: Path) -> None:
    with zeiss.opened(full_czi) as scenes:
        plane = scenes[0].load(0, 0, 0)
    assert plane.flags.owndata and plane.flags.c_contiguous
    np.testing.assert_array_equal(plane, ramp(0, shape=(30, 95)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("compression", ["uncompressed:", "zstd0:", "zstd1:"])
def test_czi_keeps_types_and_values(tmp_path: Path, dtype: type, compression: str) -> None:
    plane = ramp(0, dtype)
    if dtype == np.float32:
        plane[0, 0] = -1.5e9
    path = write_czi(
        tmp_path / "a.czi", lambda writer: writer.write(plane, compression_options=compression)
    )
    with zeiss.opened(path) as (scene,):
        assert scene.dtype == dtype
        assert scene.name == ""
        np.testing.assert_array_equal(scene.load(0, 0, 0), plane)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_czi_colour_images_have_channels_red_green_blue(tmp_path: Path, dtype: type) -> None:
    # The library writes blue, green, red.
    bgr = np.dstack([ramp(100, dtype), ramp(50, dtype), ramp(10, dtype)])
    path = write_czi(tmp_path / "rgb.czi", lambda writer: writer.write(bgr))
    with zeiss.opened(path) as (scene,):
        assert scene.channels == vendor.RGB
        for channel, start in enumerate((10, 50, 100)):
            np.testing.assert_array_equal(scene.load(0, channel, 0), ramp(start, dtype))


def test_czi_channels_of_different_types_keep_their_values(tmp_path: Path) -> None:
    def write(writer: czi.CziWriter) -> None:
        writer.write(ramp(5, np.uint8), plane={"C": 0})
        writer.write(ramp(60000), plane={"C": 1})

    path = write_czi(tmp_path / "mixed.czi", write)
    with zeiss.opened(path) as (scene,):
        assert scene.dtype == np.uint16
        np.testing.assert_array_equal(scene.load(0, 0, 0), ramp(5))
        np.testing.assert_array_equal(scene.load(0, 1, 0), ramp(60000))


def test_czi_axes_need_not_start_at_zero(tmp_path: Path) -> None:
    def write(writer: czi.CziWriter) -> None:
        for time in (4, 5):
            writer.write(ramp(time), location=(7, -9), plane={"T": time, "C": 1, "Z": 3}, scene=2)

    path = write_czi(tmp_path / "late.czi", write)
    with zeiss.opened(path) as (scene,):
        assert (scene.times, len(scene.channels), scene.planes) == (2, 1, 1)
        np.testing.assert_array_equal(scene.load(0, 0, 0), ramp(4))
        np.testing.assert_array_equal(scene.load(1, 0, 0), ramp(5))


def test_czi_plane_that_was_not_written_is_an_error_and_not_black(tmp_path: Path) -> None:
    def write(writer: czi.CziWriter) -> None:
        for channel, z in [(0, 0), (0, 1), (1, 0)]:
            writer.write(ramp(1), plane={"C": channel, "Z": z})

    path = write_czi(tmp_path / "gap.czi", write)
    with zeiss.opened(path) as (scene,):
        assert scene.load(0, 0, 1)[0, 0] == 1
        with pytest.raises(ImageError, match="no pixels of time 0, channel 1, plane 1"):
            scene.load(0, 1, 1)


@pytest.mark.parametrize(
    ("xml", "channel"),
    [
        ('<Channel Id="Channel:0" Name="DAPI"/>', Channel("DAPI")),
        (
            '<Channel Id="Channel:0" Name="Ch1-T2"><Fluor>Hoechst 33342</Fluor></Channel>',
            Channel("Hoechst 33342"),
        ),
        ('<Channel Id="Channel:0" Name="ChA-T1"/>', Channel("ChA-T1")),
        ('<Channel Id="Channel:0"><Color>#FF0000FF</Color></Channel>', Channel("", "blue")),
        ('<Channel Name="a"><Color>#00ff33</Color></Channel>', Channel("a", "green")),
        ('<Channel Name="a"><Color>#FFFFFFFF</Color></Channel>', Channel("a", "white")),
        ('<Channel Name="a"><Color>none</Color></Channel>', Channel("a")),
        ("", Channel()),
    ],
)
def test_czi_channel_names_and_colors(tmp_path: Path, xml: str, channel: Channel) -> None:
    path = write_czi(
        tmp_path / "a.czi", lambda writer: writer.write(ramp(0)), CHANNELS.format(xml, "")
    )
    with zeiss.opened(path) as (scene,):
        assert scene.channels == (channel,)


def test_czi_color_of_the_display_comes_first(tmp_path: Path) -> None:
    display = """<DisplaySetting><Channels><Channel Id="Channel:0" Name="DAPI">
        <Color>#FF0064FF</Color></Channel></Channels></DisplaySetting>"""
    xml = CHANNELS.format('<Channel Id="Channel:0"><Color>#FFFF0000</Color></Channel>', "")
    path = write_czi(tmp_path / "a.czi", lambda writer: writer.write(ramp(0)), xml + display)
    with zeiss.opened(path) as (scene,):
        assert scene.channels == (Channel("DAPI", "blue"),)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ("1.3e-07", "1.3e-07", 0.13),
        ("1.000e-07", "1.005e-07", 0.1),
        ("1e-07", "2e-07", None),
        ("0", "0", None),
        ("1", "1", None),
        ("NaN", "NaN", None),
    ],
)
def test_czi_pixel_size_is_in_metres(tmp_path: Path, x: str, y: str, expected: float) -> None:
    xml = "".join(
        f'<Distance Id="{axis}"><Value>{value}</Value></Distance>'
        for axis, value in [("X", x), ("Y", y), ("Z", "2e-6")]
    )
    path = write_czi(
        tmp_path / "a.czi",
        lambda writer: writer.write(ramp(0)),
        f"<Scaling><Items>{xml}</Items></Scaling>",
    )
    with zeiss.opened(path) as (scene,):
        assert scene.pixel_size_um == (None if expected is None else pytest.approx(expected))
        assert scene.pixel_size_source == ("" if expected is None else "CZI")


def test_czi_scenes_of_a_plate_are_named_by_their_wells(tmp_path: Path) -> None:
    def write(writer: czi.CziWriter) -> None:
        for scene in range(3):
            writer.write(ramp(scene), location=(100 * scene, 0), scene=scene)

    xml = CHANNELS.format(
        "",
        """<S><Scenes>
        <Scene Index="0" Name="P1"><ArrayName>A1</ArrayName></Scene>
        <Scene Index="1" Name="P1"><Shape Name="B7"/></Scene>
        <Scene Index="2" Name="ScanRegion0"/>
        </Scenes></S>""",
    )
    with zeiss.opened(write_czi(tmp_path / "a.czi", write, xml)) as scenes:
        assert [scene.name for scene in scenes] == ["A1-P1", "B7-P1", "ScanRegion0"]
        assert [scene.load(0, 0, 0)[0, 0] for scene in scenes] == [0, 1, 2]


@pytest.mark.parametrize(
    "stated",
    [
        "<ContrastMethod>Brightfield</ContrastMethod>",
        "<IlluminationType>Transmitted</IlluminationType>",
    ],
)
def test_czi_brightfield_is_refused_unless_fluorescence_is_there_too(
    tmp_path: Path, stated: str
) -> None:
    light = f"<Channel>{stated}</Channel>"
    fluorescence = "<Channel><ContrastMethod>Fluorescence</ContrastMethod></Channel>"
    path = write_czi(
        tmp_path / "a.czi", lambda writer: writer.write(ramp(0)), CHANNELS.format(light, "")
    )
    with pytest.raises(ImageError, match="transmitted light"), zeiss.opened(path):
        pass
    both = write_czi(
        tmp_path / "b.czi",
        lambda writer: writer.write(ramp(0)),
        CHANNELS.format(light + fluorescence, ""),
    )
    with zeiss.opened(both) as scenes:
        assert len(scenes) == 1


def test_czi_disk_errors_pass_with_their_number(full_czi: Path) -> None:
    with pytest.raises(OSError) as caught, zeiss.opened(full_czi.with_name("gone.czi")):
        pass
    assert caught.value.errno == 2


# Where the number is from the start of the first segment of a name, its new value and its layout.
@pytest.mark.parametrize(
    ("segment", "offset", "value", "layout"),
    [
        # Numbers of dimensions, which end the process in libCZI 6.1.
        (b"ZISRAWDIRECTORY", 32 + 128 + 28, 77, "<i"),
        (b"ZISRAWSUBBLOCK", 32 + 16 + 28, 77, "<i"),
        (b"ZISRAWSUBBLOCK", 32 + 16 + 28, -1, "<i"),
        # The size of a tile, for which libCZI would ask for memory or fill in black.
        (b"ZISRAWSUBBLOCK", 32 + 8, 2**50, "<q"),
        (b"ZISRAWSUBBLOCK", 32 + 8, -1, "<q"),
        (b"ZISRAWSUBBLOCK", 32 + 8, 2998, "<q"),
        # The number of tiles.
        (b"ZISRAWDIRECTORY", 32, 2**31 - 1, "<i"),
    ],
)
def test_czi_numbers_that_the_library_trusts_are_looked_at_first(
    full_czi: Path, segment: bytes, offset: int, value: int, layout: str
) -> None:
    data = bytearray(full_czi.read_bytes())
    struct.pack_into(layout, data, data.index(segment) + offset, value)
    full_czi.write_bytes(data)
    with pytest.raises(ImageError, match="the CZI file is damaged or cut short"):
        read_all(full_czi)


# LIF


def lif_axis(number: int, count: int, step: int, length: float = 0.0, unit: str = "m") -> str:
    return (
        f'<DimensionDescription DimID="{number}" NumberOfElements="{count}" Origin="0" '
        f'Length="{length}" Unit="{unit}" BitInc="0" BytesInc="{step}"/>'
    )


def lif_channel(step: int, bits: int = 16, lut: str = "Gray", inner: str = "", **more) -> str:
    stated = {"DataType": 0, "ChannelTag": 0, "BitInc": 0, **more}
    attributes = " ".join(f'{key}="{value}"' for key, value in stated.items())
    return (
        f'<ChannelDescription {attributes} Resolution="{bits}" NameOfMeasuredQuantity="" Min="0" '
        f'Max="1" Unit="" LUTName="{lut}" IsLUTInverted="0" BytesInc="{step}">{inner}'
        "</ChannelDescription>"
    )


def lif_series(name: str, block: str, size: int, channels: list, axes: list, more: str = "") -> str:
    return (
        f"<Element Name={quoteattr(name)}><Data><Image><ImageDescription>"
        f"<Channels>{''.join(channels)}</Channels><Dimensions>{''.join(axes)}</Dimensions>"
        f'</ImageDescription>{more}</Image></Data><Memory Size="{size}" MemoryBlockID="{block}"/>'
        "</Element>"
    )


def write_lif(path: Path, series: str, blocks: dict[str, bytes]) -> Path:
    """A LIF container: a header in XML, then the blocks of pixels, each with its name."""
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="project.lif"><Memory Size="0" '
        f'MemoryBlockID="none"/><Children>{series}</Children></Element></LMSDataContainerHeader>'
    ).encode("utf-16-le")
    with path.open("wb") as file:
        file.write(struct.pack("<IIBI", 0x70, len(xml) + 5, 0x2A, len(xml) // 2) + xml)
        for name, data in blocks.items():
            text = name.encode("utf-16-le")
            head = struct.pack("<IIBQBI", 0x70, len(text) + 14, 0x2A, len(data), 0x2A, len(name))
            file.write(head + text + data)
    return path


def lif_gray(
    array: np.ndarray, name: str, block: str = "b", um: float = 0.25, **more
) -> tuple[str, dict]:
    """A series of a (time, z, channel, y, x) array, as a confocal stores it."""
    t, z, c, y, x = array.shape
    steps = array.strides
    axes = [
        lif_axis(1, x, steps[4], um * 1e-6 * (x - 1)),
        lif_axis(2, y, steps[3], um * 1e-6 * (y - 1)),
        *([lif_axis(3, z, steps[1], 1e-6)] if z > 1 else []),
        *([lif_axis(4, t, steps[0], 10, "s")] if t > 1 else []),
    ]
    dyes = ["DAPI", "ALEXA 488"]
    described = [
        lif_channel(
            steps[2] * index,
            8 * array.itemsize,
            ("Blue", "Green")[index],
            "<ChannelProperty><Key>DyeName</Key><Value>Leica/"
            f"{dyes[index]}</Value></ChannelProperty>",
        )
        for index in range(c)
    ]
    return lif_series(name, block, array.nbytes, described, axes, **more), {block: array.tobytes()}


def stack(scene: int = 0) -> np.ndarray:
    """A (time, z, channel, y, x) array of 2 times, 3 planes and 2 channels."""
    return np.array(
        [[[ramp(code(scene, t, c, z)) for c in range(2)] for z in range(3)] for t in range(2)]
    )


@pytest.fixture
def full_lif(tmp_path: Path) -> Path:
    first, blocks = lif_gray(stack(0), "Series001")
    second, more = lif_gray(stack(1), "Position 1", "c")
    folder = (
        '<Element Name="day 1"><Memory Size="0" MemoryBlockID="f"/>'
        f"<Children>{second}</Children></Element>"
    )
    return write_lif(tmp_path / "full.lif", first + folder, {**blocks, "f": b"", **more})


def test_lif_has_series_times_channels_and_planes(full_lif: Path) -> None:
    with leica.opened(full_lif) as scenes:
        assert [scene.name for scene in scenes] == ["Series001", "day 1/Position 1"]
        for index, scene in enumerate(scenes):
            assert (scene.times, scene.planes) == (2, 3)
            assert scene.channels == (Channel("DAPI", "blue"), Channel("ALEXA 488", "green"))
            assert (scene.height, scene.width, scene.dtype) == (*SHAPE, np.uint16)
            assert scene.pixel_size_um == pytest.approx(0.25)
            assert scene.pixel_size_source == "LIF"
            for time, channel, z in np.ndindex(2, 2, 3):
                expected = ramp(code(index, time, channel, z))
                np.testing.assert_array_equal(scene.load(time, channel, z), expected)


def test_lif_agrees_with_the_library(full_lif: Path) -> None:
    import liffile

    with liffile.LifFile(full_lif) as lif, leica.opened(full_lif) as scenes:
        for image, scene in zip(lif.images, scenes, strict=True):
            assert (image.path, image.sizes) == (
                scene.name,
                {"T": 2, "Z": 3, "C": 2, "Y": 30, "X": 50},
            )
            for time, channel, z in np.ndindex(2, 2, 3):
                np.testing.assert_array_equal(
                    scene.load(time, channel, z), image.frame(T=time, C=channel, Z=z)
                )


def test_lif_rows_may_be_padded(tmp_path: Path) -> None:
    padded = np.full((30, 52), 9, np.uint8)
    padded[:, :50] = ramp(1, np.uint8)
    series = lif_series(
        "a", "b", padded.size, [lif_channel(0, 8)], [lif_axis(1, 50, 1), lif_axis(2, 30, 52)]
    )
    path = write_lif(tmp_path / "a.lif", series, {"b": padded.tobytes()})
    with leica.opened(path) as (scene,):
        np.testing.assert_array_equal(scene.load(0, 0, 0), ramp(1, np.uint8))


def test_lif_axes_may_be_stored_in_any_order(tmp_path: Path) -> None:
    # As XZY scans store it: the rows of all planes lie side by side.
    stored = np.ascontiguousarray(np.stack([ramp(0), ramp(500)], axis=1))
    axes = [lif_axis(1, 50, 2), lif_axis(3, 2, 100), lif_axis(2, 30, 200)]
    series = lif_series("a", "b", stored.nbytes, [lif_channel(0)], axes)
    path = write_lif(tmp_path / "a.lif", series, {"b": stored.tobytes()})
    with leica.opened(path) as (scene,):
        assert scene.planes == 2
        np.testing.assert_array_equal(scene.load(0, 0, 0), ramp(0))
        np.testing.assert_array_equal(scene.load(0, 0, 1), ramp(500))


def test_lif_colour_images_go_by_the_tags_of_their_channels(tmp_path: Path) -> None:
    bgr = np.dstack([ramp(100, np.uint8), ramp(50, np.uint8), ramp(10, np.uint8)])
    channels = [lif_channel(i, 8, ChannelTag=tag) for i, tag in enumerate((3, 2, 1))]
    axes = [lif_axis(1, 50, 3), lif_axis(2, 30, 150)]
    path = write_lif(
        tmp_path / "a.lif",
        lif_series("a", "b", bgr.size, channels, axes),
        {"b": bgr.tobytes()},
    )
    with leica.opened(path) as (scene,):
        assert [channel.name for channel in scene.channels] == ["blue", "green", "red"]
        for channel, start in enumerate((100, 50, 10)):
            np.testing.assert_array_equal(scene.load(0, channel, 0), ramp(start, np.uint8))


def test_lif_channels_may_have_different_types(tmp_path: Path) -> None:
    # The distance between columns is one for all channels.
    wide = np.zeros((2, 30, 50), np.uint16)
    wide[0].view(np.uint8)[:, ::2] = ramp(3, np.uint8)
    wide[1] = ramp(700)
    channels = [lif_channel(0, 8), lif_channel(3000, 12)]
    series = lif_series("a", "b", 6000, channels, [lif_axis(1, 50, 2), lif_axis(2, 30, 100)])
    path = write_lif(tmp_path / "a.lif", series, {"b": wide.tobytes()})
    with leica.opened(path) as (scene,):
        assert scene.dtype == np.uint16
        np.testing.assert_array_equal(scene.load(0, 0, 0), ramp(3, np.uint8))
        np.testing.assert_array_equal(scene.load(0, 1, 0), ramp(700))


@pytest.mark.parametrize(
    ("described", "more", "expected"),
    [
        (lif_channel(0, lut="Gray"), "", Channel("Gray", "white")),
        (lif_channel(0, lut="Magenta"), "", Channel("Magenta", "magenta")),
        (lif_channel(0, lut="Glow (O&amp;U)"), "", Channel("Glow (O&U)", "")),
        (
            lif_channel(0, lut="Blue"),
            '<Attachment><WideFieldChannelInfo UserDefName="Hoechst"/></Attachment>',
            Channel("Hoechst", "blue"),
        ),
        (
            lif_channel(0, lut="Blue"),
            '<Attachment><WideFieldChannelInfo UserDefName="" FluoCubeName="A4"/></Attachment>',
            Channel("A4", "blue"),
        ),
    ],
)
def test_lif_channel_names_and_colors(
    tmp_path: Path, described: str, more: str, expected: Channel
) -> None:
    axes = [lif_axis(1, 50, 2), lif_axis(2, 30, 100)]
    series = lif_series("a", "b", 3000, [described], axes, more)
    path = write_lif(tmp_path / "a.lif", series, {"b": ramp(0).tobytes()})
    with leica.opened(path) as (scene,):
        assert scene.channels == (expected,)


@pytest.mark.parametrize(
    ("x", "y", "unit", "expected"),
    [
        (49 * 5e-7, 29 * 5e-7, "m", 0.5),
        (-49 * 5e-7, 29 * 5e-7, "m", 0.5),
        (49 * 0.5, 29 * 0.5, "µm", 0.5),
        (49 * 0.5, 29 * 0.6, "um", None),
        (49.0, 29.0, "", None),
        (0.0, 0.0, "m", None),
    ],
)
def test_lif_pixel_size_is_between_the_first_and_the_last(
    tmp_path: Path, x: float, y: float, unit: str, expected: float | None
) -> None:
    axes = [lif_axis(1, 50, 2, x, unit), lif_axis(2, 30, 100, y, unit)]
    series = lif_series("a", "b", 3000, [lif_channel(0)], axes)
    path = write_lif(tmp_path / "a.lif", series, {"b": ramp(0).tobytes()})
    with leica.opened(path) as (scene,):
        assert scene.pixel_size_um == (None if expected is None else pytest.approx(expected))
        assert scene.pixel_size_source == ("" if expected is None else "LIF")


def test_lif_tiles_are_scenes(tmp_path: Path) -> None:
    tiles = np.array([ramp(0), ramp(900), ramp(50)])
    axes = [lif_axis(1, 50, 2), lif_axis(2, 30, 100), lif_axis(10, 3, 3000)]
    series = lif_series("TileScan 1", "b", tiles.nbytes, [lif_channel(0)], axes)
    with leica.opened(write_lif(tmp_path / "a.lif", series, {"b": tiles.tobytes()})) as scenes:
        assert [scene.name for scene in scenes] == [f"TileScan 1/tile {i}" for i in range(3)]
        assert [scene.load(0, 0, 0)[0, 0] for scene in scenes] == [0, 900, 50]


def test_lif_series_that_is_no_image_costs_no_other_series(tmp_path: Path) -> None:
    good, blocks = lif_gray(stack(), "good")
    spectrum = [lif_axis(1, 50, 2), lif_axis(2, 10, 100), lif_axis(5, 3, 1000)]
    line = [lif_axis(1, 50, 2), lif_axis(4, 30, 100)]
    bad = lif_series("lambda", "c", 3000, [lif_channel(0)], spectrum)
    bad += lif_series("line", "c", 3000, [lif_channel(0)], line)
    bad += lif_series("stopped", "d", 0, [lif_channel(0)], line)
    bad += '<Element Name="graph"><Data><EnvironmentalGraph/></Data></Element>'
    path = write_lif(tmp_path / "a.lif", bad + good, {"c": bytes(3000), "d": b"", **blocks})
    with open_image(path) as scenes:
        assert [scene.name for scene in scenes] == ["lambda", "line", "good"]
        with pytest.raises(ImageError, match=r"series lambda .* 3 steps .*emission wavelength"):
            scenes[0].load(0, 0, 0)
        with pytest.raises(ImageError, match=r"series line .* a scan along X and T"):
            scenes[1].load(0, 0, 0)
        np.testing.assert_array_equal(scenes[2].load(1, 1, 2), ramp(code(0, 1, 1, 2)))


def test_lif_series_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    first, blocks = lif_gray(stack(0), "Series001")
    second, more = lif_gray(stack(1), "Series001", "c")
    with leica.opened(write_lif(tmp_path / "a.lif", first + second, {**blocks, **more})) as scenes:
        assert [scene.name for scene in scenes] == ["Series001", "Series001 (2)"]
        assert [scene.load(0, 0, 0)[0, 0] for scene in scenes] == [0, 1000]


def test_lif_without_images_is_refused(tmp_path: Path) -> None:
    path = write_lif(tmp_path / "a.lif", "", {"none": b""})
    with pytest.raises(ImageError, match="holds no image"), leica.opened(path):
        pass


@pytest.mark.parametrize("step", [0, 1, -2, 102, 10**12])
def test_lif_axes_that_do_not_fit_are_damage(tmp_path: Path, step: int) -> None:
    axes = [lif_axis(1, 50, 2), lif_axis(2, 30, 100), lif_axis(3, 2, step)]
    series = lif_series("a", "b", 3000, [lif_channel(0)], axes)
    path = write_lif(tmp_path / "a.lif", series, {"b": ramp(0).tobytes()})
    with pytest.raises(ImageError, match="the LIF file is damaged or cut short"), open_image(path):
        pass


# ND2


def lv(name: str, value: object) -> bytes:
    """An item of Nikon's binary metadata: type, length and text of its name, value."""
    kind, data = {
        bool: lambda: (1, struct.pack("B", value)),
        int: lambda: (3, struct.pack("I", value)),
        float: lambda: (6, struct.pack("d", value)),
        str: lambda: (8, f"{value}\0".encode("utf-16-le")),
        dict: lambda: (11, b"".join(lv(key, item) for key, item in value.items())),
    }[type(value)]()
    head = struct.pack("BB", kind, len(name) + 1) + f"{name}\0".encode("utf-16-le")
    if kind == 11:
        size = len(head) + 12 + len(data)
        return head + struct.pack("<IQ", len(value), size) + data + bytes(8 * len(value))
    return head + data


def nd2_loop(kind: int, parameters: dict, inner: dict | None = None) -> dict:
    below = {"ppNextLevelEx": {"i0000000000": inner}} if inner else {}
    return {"eType": kind, "uLoopPars": parameters, **below}


def nd2_time(count: int, inner: dict | None = None) -> dict:
    times = {"uiCount": count, "dStart": 0.0, "dPeriod": 1.0, "dDuration": 1.0}
    return nd2_loop(1, times, inner)


def nd2_z(count: int, inner: dict | None = None) -> dict:
    return nd2_loop(4, {"uiCount": count, "dZStep": 0.5}, inner)


def nd2_points(names: list[str], inner: dict | None = None) -> dict:
    points = {
        f"i{i:010}": {"dPosX": float(i), "dPosY": 0.0, "dPosName": name}
        for i, name in enumerate(names)
    }
    return nd2_loop(2, {"uiCount": len(names), "Points": points}, inner)


def nd2_plane(name: str, color: int, components: int = 1) -> dict:
    return {"sDescription": name, "uiColor": color, "uiCompCount": components}


TWO = [nd2_plane("DAPI", 0xFF0000), nd2_plane("GFP", 0x00FF00)]


def write_nd2(
    path: Path,
    frames: dict[int, np.ndarray],
    planes: list[dict],
    experiment: dict | None = None,
    row: int = 0,
    stated: dict | None = None,
    compression: int = 2,
    **attributes: int,
) -> Path:
    """An ND2 file of (Y, X, component) frames by their number, with a map of its chunks."""
    height, width, components = next(iter(frames.values())).shape
    bits = 8 * next(iter(frames.values())).itemsize
    row = row or width * components * bits // 8
    sizes = {
        "uiWidth": width,
        "uiWidthBytes": row,
        "uiHeight": height,
        "uiComp": components,
        "uiBpcInMemory": bits,
        "uiBpcSignificant": 12 if bits == 16 else bits,
        "uiSequenceCount": len(frames),
        "eCompression": compression,
        **attributes,
    }
    picture = {
        "bCalibrated": True,
        "dCalibration": 0.65,
        "sPicturePlanes": {
            "uiCount": len(planes),
            "sPlaneNew": {f"a{i}": plane for i, plane in enumerate(planes)},
        },
        **(stated or {}),
    }
    chunks = {
        "ImageAttributesLV!": lv("SLxImageAttributes", sizes),
        "ImageMetadataSeqLV|0!": lv("SLxPictureMetadata", picture),
    }
    if experiment:
        chunks["ImageMetadataLV!"] = lv("SLxExperiment", experiment)
    for number, frame in frames.items():
        padded = np.zeros((height, row), np.uint8)
        pixels = np.ascontiguousarray(frame).view(np.uint8).reshape(height, -1)
        padded[:, : pixels.shape[1]] = pixels
        data = zlib.compress(padded.tobytes()) if compression == 0 else padded.tobytes()
        chunks[f"ImageDataSeq|{number}!"] = bytes(8) + data

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack("IIQ", 0x0ABECEDA, len(name), len(data)) + name + data

    content = chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"))
    places = b""
    for name, data in chunks.items():
        places += name.encode() + struct.pack("QQ", len(content), len(data))
        content += chunk(name.encode().ljust(4072, b"\0"), data)
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("Q", len(content))
    path.write_bytes(content + chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", places + end))
    return path


def nd2_frames(*shape: int) -> dict[int, np.ndarray]:
    """Frames of two channels, numbered along (time, position, z)."""
    return {
        number: np.dstack([ramp(code(p, t, c, z)) for c in range(2)])
        for number, (t, p, z) in enumerate(np.ndindex(*shape))
    }


@pytest.fixture
def full_nd2(tmp_path: Path) -> Path:
    experiment = nd2_time(2, nd2_points(["A1", "A1", ""], nd2_z(4)))
    return write_nd2(tmp_path / "full.nd2", nd2_frames(2, 3, 4), TWO, experiment)


def test_nd2_has_positions_times_channels_and_planes(full_nd2: Path) -> None:
    with nikon.opened(full_nd2) as scenes:
        assert [scene.name for scene in scenes] == ["A1", "A1 (2)", "position 2"]
        for index, scene in enumerate(scenes):
            assert (scene.times, scene.planes) == (2, 4)
            assert scene.channels == (Channel("DAPI", "blue"), Channel("GFP", "green"))
            assert (scene.height, scene.width, scene.dtype) == (*SHAPE, np.uint16)
            assert (scene.pixel_size_um, scene.pixel_size_source) == (0.65, "ND2")
            for time, channel, z in np.ndindex(2, 2, 4):
                plane = scene.load(time, channel, z)
                np.testing.assert_array_equal(plane, ramp(code(index, time, channel, z)))


def test_nd2_agrees_with_the_library(full_nd2: Path) -> None:
    import nd2

    with nd2.ND2File(full_nd2) as file, nikon.opened(full_nd2) as scenes:
        assert file.sizes == {"T": 2, "P": 3, "Z": 4, "C": 2, "Y": 30, "X": 50}
        whole = file.asarray()
        for position, time, channel, z in np.ndindex(3, 2, 2, 4):
            plane = scenes[position].load(time, channel, z)
            np.testing.assert_array_equal(plane, whole[time, position, z, channel])


def test_nd2_planes_outlive_the_file(full_nd2: Path) -> None:
    with nikon.opened(full_nd2) as scenes:
        plane = scenes[0].load(0, 1, 0)
    assert plane.flags.owndata and plane.flags.writeable and plane.flags.c_contiguous
    np.testing.assert_array_equal(plane, ramp(200))


@pytest.mark.parametrize(
    ("experiment", "times", "planes"),
    [
        (None, 1, 1),
        (nd2_z(6), 1, 6),
        (nd2_time(6), 6, 1),
        (nd2_z(3, nd2_time(2)), 2, 3),
        (nd2_time(2, nd2_z(3)), 2, 3),
        (nd2_time(1, nd2_z(6)), 1, 6),
    ],
)
def test_nd2_loops_may_be_nested_in_any_order(
    tmp_path: Path, experiment: dict | None, times: int, planes: int
) -> None:
    frames = {number: ramp(number * 10)[..., None] for number in range(times * planes)}
    path = write_nd2(tmp_path / "a.nd2", frames, [nd2_plane("DAPI", 0)], experiment)
    with nikon.opened(path) as (scene,):
        assert (scene.name, scene.times, scene.planes) == ("", times, planes)
        assert scene.channels == (Channel("DAPI"),)
        z_outside = experiment and experiment["eType"] == 4
        for time, z in np.ndindex(times, planes):
            number = z * times + time if z_outside else time * planes + z
            np.testing.assert_array_equal(scene.load(time, 0, z), ramp(number * 10))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("row", [0, 1024])
@pytest.mark.parametrize("compression", [0, 2])
def test_nd2_keeps_types_and_values(
    tmp_path: Path, dtype: type, row: int, compression: int
) -> None:
    frame = np.dstack([ramp(1, dtype), ramp(40, dtype)])
    path = write_nd2(tmp_path / "a.nd2", {0: frame}, TWO, row=row, compression=compression)
    with nikon.opened(path) as (scene,):
        assert scene.dtype == dtype
        for channel, value in enumerate((1, 40)):
            np.testing.assert_array_equal(scene.load(0, channel, 0), ramp(value, dtype))


@pytest.mark.parametrize("alpha", [0, 1])
def test_nd2_colour_images_have_channels_red_green_blue(tmp_path: Path, alpha: int) -> None:
    bgr = np.dstack([ramp(start, np.uint8) for start in (100, 50, 10, 0)[: 3 + alpha]])
    path = write_nd2(tmp_path / "a.nd2", {0: bgr}, [nd2_plane("Brightfield", 0, 3 + alpha)])
    with nikon.opened(path) as (scene,):
        assert scene.channels == vendor.RGB
        for channel, start in enumerate((10, 50, 100)):
            np.testing.assert_array_equal(scene.load(0, channel, 0), ramp(start, np.uint8))


def test_nd2_colour_and_grey_channels_side_by_side(tmp_path: Path) -> None:
    frame = np.dstack([ramp(start) for start in (1, 100, 50, 10)])
    planes = [nd2_plane("DAPI", 0xFF0000), nd2_plane("Brightfield", 0, 3)]
    with nikon.opened(write_nd2(tmp_path / "a.nd2", {0: frame}, planes)) as (scene,):
        assert scene.channels == (Channel("DAPI", "blue"), *vendor.RGB)
        for channel, start in enumerate((1, 10, 50, 100)):
            np.testing.assert_array_equal(scene.load(0, channel, 0), ramp(start))


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"dAspect": 1.0}, 0.65),
        ({"dAspect": -1.0}, 0.65),
        ({"dAspect": 1.5}, None),
        ({"bCalibrated": False}, None),
        ({"dCalibration": -1.0}, None),
    ],
)
def test_nd2_pixel_size_is_that_of_square_pixels(
    tmp_path: Path, stated: dict, expected: float | None
) -> None:
    path = write_nd2(tmp_path / "a.nd2", nd2_frames(1, 1, 1), TWO, stated=stated)
    with nikon.opened(path) as (scene,):
        assert scene.pixel_size_um == expected
        assert scene.pixel_size_source == ("ND2" if expected else "")


@pytest.mark.parametrize("axis", ["ePictureXAxis", "ePictureYAxis"])
def test_nd2_line_scans_are_refused(tmp_path: Path, axis: str) -> None:
    path = write_nd2(tmp_path / "a.nd2", nd2_frames(1, 1, 1), TWO, stated={axis: 2})
    with pytest.raises(ImageError, match="line scan"), nikon.opened(path):
        pass


def test_nd2_frame_of_an_acquisition_that_was_stopped_is_an_error(tmp_path: Path) -> None:
    frames = {number: frame for number, frame in nd2_frames(3, 1, 1).items() if number < 2}
    path = write_nd2(tmp_path / "a.nd2", frames, TWO, nd2_time(3))
    with nikon.opened(path) as (scene,):
        assert scene.times == 3
        np.testing.assert_array_equal(scene.load(1, 0, 0), ramp(400))
        with pytest.raises(ImageError, match="no pixels of time 2, channel 0, plane 0"):
            scene.load(2, 0, 0)


@pytest.mark.parametrize(
    ("experiment", "more", "sentence"),
    [
        (None, {}, "holds 4 images and does not say what they are"),
        (nd2_loop(7, {"uiCount": 4}), {}, r"an axis \(CustomLoop\)"),
        (nd2_z(4), {"compression": 1}, "compressed with loss"),
    ],
)
def test_nd2_that_cannot_be_read_is_refused(
    tmp_path: Path, experiment: dict | None, more: dict, sentence: str
) -> None:
    path = write_nd2(tmp_path / "a.nd2", nd2_frames(4, 1, 1), TWO, experiment, **more)
    with pytest.raises(ImageError, match=sentence), nikon.opened(path):
        pass


def test_nd2_of_the_old_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.nd2"
    path.write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(1000))
    with pytest.raises(ImageError, match="old kind"), nikon.opened(path):
        pass


def test_nd2_map_that_points_out_of_the_file_is_damage(full_nd2: Path) -> None:
    data = bytearray(full_nd2.read_bytes())
    entry = data.rindex(b"ImageDataSeq|23!") + len(b"ImageDataSeq|23!")
    for offset in (len(data), 2**40, 2**63 - 1):
        data[entry : entry + 8] = struct.pack("Q", offset)
        full_nd2.write_bytes(data)
        with pytest.raises(ImageError, match="damaged or cut short"), open_image(full_nd2):
            pass


def test_nd2_map_that_points_at_another_frame_is_damage(full_nd2: Path) -> None:
    data = bytearray(full_nd2.read_bytes())
    first, second = (data.rindex(name) + len(name) for name in (b"Seq|0!", b"Seq|1!"))
    data[first : first + 8] = data[second : second + 8]
    full_nd2.write_bytes(data)
    with open_image(full_nd2) as scenes:
        np.testing.assert_array_equal(scenes[0].load(0, 0, 1), ramp(20))
        with pytest.raises(ImageError, match="damaged or cut short"):
            scenes[0].load(0, 0, 0)


# All of them


@pytest.fixture(params=["czi", "nd2", "lif"])
def full(request: pytest.FixtureRequest) -> Path:
    """One whole file of each format."""
    return request.getfixturevalue(f"full_{request.param}")


def read_all(path: Path) -> str:
    """A hash of all that a file holds."""
    digest = hashlib.sha256()
    with open_image(path, max_megapixels=1) as scenes:
        for scene in scenes:
            for time in range(scene.times):
                digest.update(scene.read(time).tobytes())
    return digest.hexdigest()


def test_files_are_opened_for_reading_only(full: Path) -> None:
    before, status = full.read_bytes(), full.stat()
    full.chmod(0o400)
    first = read_all(full)
    after = full.stat()
    assert full.read_bytes() == before
    assert (after.st_size, after.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert [path.name for path in full.parent.iterdir()] == [full.name]
    assert read_all(full) == first


def test_cut_files_are_damaged_wherever_they_are_cut(full: Path) -> None:
    data = full.read_bytes()
    cut = full.with_name(f"cut{full.suffix}")
    for tenth in range(1, 10):
        cut.write_bytes(data[: len(data) * tenth // 10])
        with pytest.raises(ImageError, match="damaged or cut short, copy it again"):
            read_all(cut)
    cut.write_bytes(data[:-1])
    with pytest.raises(ImageError, match="damaged or cut short, copy it again"):
        read_all(cut)


def test_random_bytes_are_damaged(full: Path) -> None:
    path = full.with_name(f"noise{full.suffix}")
    start = full.read_bytes()[:16]
    for seed in range(10):
        noise = random.Random(seed).randbytes(5000)
        path.write_bytes(noise if seed % 2 else start + noise)
        with pytest.raises(ImageError, match="damaged or cut short, copy it again"):
            read_all(path)


# Reads files given on standard input, and says for each what became of it.
JUDGE = """
import sys
sys.path[:0] = sys.argv[1:]
from pathlib import Path
from nucleiflow.images import ImageError
from test_vendor import read_all
for line in sys.stdin:
    try:
        read_all(Path(line.strip()))
    except ImageError:
        print("refused", flush=True)
    else:
        print("read", flush=True)
"""


def test_flipped_bytes_never_end_the_process(full: Path, tmp_path: Path) -> None:
    """In a process of its own, as a library in C could take the tests down with it."""
    data, chance, paths = full.read_bytes(), random.Random(1), []
    folder = tmp_path / "flipped"
    folder.mkdir()
    for number in range(60):
        flipped = bytearray(data)
        for _ in range(4):
            # In the headers, which are at the beginning and at the end.
            at = chance.choice([chance.randrange(3000), -chance.randrange(1, 3000)])
            flipped[at] = chance.randrange(256)
        paths.append(folder / f"{number}{full.suffix}")
        paths[-1].write_bytes(flipped)
    ended = subprocess.run(
        [sys.executable, "-c", JUDGE, str(ROOT / "workflow/scripts"), str(Path(__file__).parent)],
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert set(ended.stdout.split()) <= {"read", "refused"}
    assert len(ended.stdout.split()) == 60


def bytes_read() -> int:
    """What this process has asked the system to read so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.skipif(not os.access("/proc/self/io", os.R_OK), reason="Linux counts bytes read")
@pytest.mark.parametrize("kind", ["czi", "nd2", "lif"])
def test_one_plane_is_read_without_the_rest(tmp_path: Path, kind: str) -> None:
    planes = [ramp(100 * number, shape=(500, 500)) for number in range(20)]
    path = tmp_path / f"big.{kind}"
    if kind == "czi":
        write_czi(
            path,
            lambda writer: [writer.write(p, plane={"Z": z}) for z, p in enumerate(planes)],
        )
    elif kind == "nd2":
        frames = {number: plane[..., None] for number, plane in enumerate(planes)}
        write_nd2(path, frames, [nd2_plane("DAPI", 0)], nd2_z(20))
    else:
        write_lif(path, *lif_gray(np.array(planes)[None, :, None], "a"))
    assert path.stat().st_size > 10e6
    read_all(path)
    start = bytes_read()
    with open_image(path) as (scene,):
        headers = bytes_read() - start
        plane = scene.load(0, 0, 13)
    # A plane has 500,000 bytes.
    assert headers < 200_000
    assert 500_000 <= bytes_read() - start - headers < 600_000
    np.testing.assert_array_equal(plane, planes[13])


def test_files_can_be_read_from_forked_processes_and_threads(full: Path) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    expected = read_all(full)
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        assert list(pool.map(read_all, [full] * 4, timeout=120)) == [expected] * 4
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(read_all(full))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == [expected] * 3


@pytest.mark.parametrize(
    ("kind", "modules", "library"),
    [
        ("CZI", ["pylibCZIrw", "pylibCZIrw.czi"], "pylibCZIrw"),
        ("ND2", ["nd2"], "nd2"),
        ("LIF", ["liffile"], "liffile"),
    ],
)
def test_missing_library_is_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, modules: list[str], library: str
) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(b"anything")
    with pytest.raises(ImageError) as caught, open_image(path):
        pass
    assert str(caught.value) == (
        f"reading {kind} files needs {library}, which is not installed: "
        "pip install -r requirements-vendor.txt, or make install EXTRAS=vendor"
    )


@pytest.mark.parametrize(
    ("color", "name"),
    [
        ((0, 0, 255), "blue"),
        ((0, 100, 255), "blue"),
        ((0, 255, 51), "green"),
        ((10, 0, 0), "red"),
        ((255, 85, 0), "red"),
        ((255, 255, 0), "yellow"),
        ((0, 255, 255), "cyan"),
        ((255, 0, 255), "magenta"),
        ((255, 0, 10), "red"),
        ((200, 200, 200), "white"),
        ((0, 0, 0), ""),
    ],
)
def test_colors_have_the_nearest_name(color: tuple[int, int, int], name: str) -> None:
    assert vendor.color_name(*color) == name


def test_names_of_scenes_become_distinct_and_stay_in_order() -> None:
    names = ["a", "b", "a", "a (2)", "a", ""]
    assert vendor.distinct(names) == ["a", "b", "a (3)", "a (2)", "a (4)", ""]


# make


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("extras", "installs", "sentence"),
    [("", False, ""), ("vendor", True, ""), ("zeiss", False, "EXTRAS=zeiss is unknown")],
)
def test_make_installs_the_libraries_when_asked(extras: str, installs: bool, sentence: str) -> None:
    command = ["make", "--dry-run", "install", f"EXTRAS={extras}", "VENV=elsewhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode == 0) == (not sentence)
    assert sentence in done.stderr
    assert (
        "install --quiet --disable-pip-version-check -r requirements-vendor.txt" in done.stdout
    ) == installs
