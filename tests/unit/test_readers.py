"""What is the same for all kinds of image files: how they are chosen, checked and refused."""

import errno
import importlib.util
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image

from nucleiflow import readers
from nucleiflow.images import ImageError
from nucleiflow.readers import FAMILIES, Channel, Scene, family_of, missing_library, open_image

SCRIPTS = Path(readers.__file__).parents[2]
GREY = np.random.default_rng(1).integers(1, 256, (20, 30), np.uint8)

EMPTY = "the file is empty (0 bytes), copy it again"
WEB_PAGE = "the file is a web page, not an image: download it again"
LFS = "the file is a Git LFS pointer, not an image: run `git lfs pull`"
GONE = "the file is not there any more, or is a link to nothing"


def refusal(path, **options) -> str:
    """The sentence with which a file is refused, when it is opened or when it is read."""
    with pytest.raises(ImageError) as caught, open_image(path, **options) as scenes:
        for scene in scenes:
            scene.read()
    return str(caught.value)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A file of a family that is made up: `state` says what its header and its planes hold."""
    path = tmp_path / "image.fake"
    path.write_bytes(b"image")
    state = SimpleNamespace(
        path=path, plane=GREY, scenes=None, calls=[], loads=[], entered=0, left=0, error=None
    )

    def load(time, channel, z):
        state.loads.append((time, channel, z))
        if isinstance(state.plane, Exception):
            raise state.plane
        return state.plane

    @contextmanager
    def opened(path, *others, **options):
        state.calls.append((path, *others, options))
        if state.error:
            raise state.error
        state.entered += 1
        try:
            yield [state.scene] if state.scenes is None else state.scenes
        finally:
            state.left += 1

    state.scene = Scene("", 1, (Channel(),), 1, *GREY.shape, GREY.dtype, None, "", load)
    monkeypatch.setitem(sys.modules, "nucleiflow.readers.fake", SimpleNamespace(opened=opened))
    monkeypatch.setitem(FAMILIES, "fake", "fake")
    return state


def holding(fake, plane, **facts):
    """The fake family's file, with a plane."""
    fake.plane = plane
    height, width = plane.shape
    fake.scene = replace(fake.scene, height=height, width=width, dtype=plane.dtype, **facts)
    return fake.path


# Families


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("a.tif", "tiff"),
        ("a.TIFF", "tiff"),
        ("a.ome.tif", "tiff"),
        ("a.stk", "tiff"),
        ("a.lsm", "tiff"),
        ("a.Png", "picture"),
        ("a.jpg", "picture"),
        ("a.JPEG", "picture"),
        ("a.bmp", "picture"),
        ("a.czi", "zeiss"),
        ("a.nd2", "nikon"),
        ("a.lif", "leica"),
        ("a.zarr", "ome_zarr"),
        ("a.ome.ZARR", "ome_zarr"),
        ("day 1/p.zarr/A/1/0", "ome_zarr"),
        ("p.OME.ZARR/A/12", "ome_zarr"),
        ("p.zarr/a.tif", "tiff"),
    ],
)
def test_family_of_a_file_is_told_by_its_ending(path, family):
    assert family_of(Path(path)) == family


@pytest.mark.parametrize(
    ("path", "ending"), [("a.gif", "gif"), ("a", ""), ("zarr/a", ""), ("a.zarr.ZIP", "zip")]
)
def test_unknown_ending_is_refused(tmp_path, path, ending):
    sentence = f"no reader knows files that end in .{ending}"
    with pytest.raises(ImageError) as caught:
        family_of(Path(path))
    assert str(caught.value) == sentence
    assert refusal(tmp_path / path) == sentence


def test_every_family_is_a_module(schema):
    for family in set(FAMILIES.values()):
        assert (SCRIPTS / "nucleiflow/readers" / f"{family}.py").is_file()
    assert sorted(FAMILIES) == sorted(schema["properties"]["extensions"]["items"]["enum"])


@pytest.mark.parametrize(
    ("ending", "library"), [("czi", "pylibCZIrw"), ("nd2", "nd2"), ("lif", "liffile")]
)
def test_library_that_is_not_installed_is_named(monkeypatch, ending, library):
    asked = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: asked.append(name))
    assert missing_library(ending) == library
    assert asked == [library]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "found")
    assert missing_library(ending) is None


@pytest.mark.parametrize("ending", ["tif", "png", "zarr", "gif", ""])
def test_no_other_ending_asks_for_a_library(monkeypatch, ending):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert missing_library(ending) is None


def test_only_the_family_of_the_file_is_imported(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    program = (
        "import sys; from pathlib import Path; from nucleiflow.readers import open_image\n"
        "with open_image(Path(sys.argv[1])) as scenes: print(scenes[0].load(0, 0, 0).shape)\n"
        "print(sorted(name for name in sys.modules if name.startswith('nucleiflow.readers.')))\n"
        "print([name for name in ('zarr', 'tifffile', 'nd2', 'liffile') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.png"],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    shape, families, libraries = done.stdout.splitlines()
    assert (shape, families) == ("(20, 30)", "['nucleiflow.readers.picture']")
    assert "zarr" not in libraries and "nd2" not in libraries and "liffile" not in libraries


def test_family_gets_the_files_and_only_tiff_what_its_pages_are(fake, tmp_path, monkeypatch):
    with open_image(fake.path, tmp_path / "other", pages="z"):
        pass
    monkeypatch.setitem(FAMILIES, "fake", "tiff")
    monkeypatch.setitem(
        sys.modules, "nucleiflow.readers.tiff", sys.modules["nucleiflow.readers.fake"]
    )
    with open_image(fake.path, pages="z"):
        pass
    assert fake.calls == [(fake.path, tmp_path / "other", {}), (fake.path, {"pages": "z"})]


# What is no image


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.JPG", "a.bmp", "a.czi", "a.nd2", "a.lif"])
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


def test_missing_zarr_directory_is_refused(tmp_path):
    assert refusal(tmp_path / "a.zarr") == GONE


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_without_permission_is_refused(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    assert refusal(tmp_path / "a.png") == "the file may not be read, check its permissions"


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_permission_denied_is_the_files_own(fake, monkeypatch, code):
    def fail(path):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(os.path, "getsize", fail)
    assert refusal(fake.path) == "the file may not be read, check its permissions"


@pytest.mark.parametrize("ending", ["tif", "png", "jpg", "bmp", "czi", "nd2", "lif"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", EMPTY),
        (b"\n<!DOCTYPE html><html>404</html>", WEB_PAGE),
        (b"  <HTML><body>sign in</body></HTML>", WEB_PAGE),
        (b'<?xml version="1.0"?><Error/>', WEB_PAGE),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", LFS),
    ],
    ids=["empty", "doctype", "html", "xml", "lfs"],
)
def test_what_users_mistake_for_an_image_is_named(tmp_path, content, sentence, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    assert refusal(path) == sentence


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("html_as.tif", WEB_PAGE),
        ("lfs_pointer.tif", LFS),
        ("truncated_half.tif", "the TIFF file is damaged or cut short, copy it again"),
        ("truncated_head200.tif", "the TIFF file is damaged or cut short, copy it again"),
        ("truncated_label.png", "the PNG file is cut short, copy it again"),
        ("zero_byte.png", EMPTY),
        ("zero_byte.tif", EMPTY),
    ],
)
def test_real_broken_file_is_refused_in_one_sentence(data, name, sentence):
    assert refusal(data / "broken" / name) == sentence


def test_no_broken_file_is_left_out_of_these_tests(data):
    assert len(list((data / "broken").iterdir())) == 7


# Sizes


@pytest.mark.parametrize(
    ("facts", "axis"),
    [
        ({"height": 0}, "rows"),
        ({"width": 0}, "columns"),
        ({"channels": ()}, "channels"),
        ({"planes": 0}, "planes"),
        ({"times": 0}, "times"),
    ],
)
def test_image_without_pixels_is_refused(fake, facts, axis):
    fake.scene = replace(fake.scene, **facts)
    assert refusal(fake.path) == f"the file holds an image without {axis}"
    assert fake.loads == []
    assert fake.entered == fake.left == 1


def test_tiff_without_rows_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].tags["ImageLength"].valueoffset
    content[offset : offset + 2] = bytes(2)
    path.write_bytes(content)
    assert refusal(path) == "the TIFF file is damaged or cut short, copy it again"


def test_image_that_is_too_large_is_refused_before_a_plane_is_loaded(fake):
    fake.scene = replace(fake.scene, height=100_000, width=50_000, channels=(Channel(),) * 3)
    assert refusal(fake.path, max_megapixels=14_999) == (
        "the header states 50,000 x 100,000 pixels and 3 channels, more than max_image_megapixels "
        "(14999) allows"
    )
    assert fake.loads == []
    with open_image(fake.path, max_megapixels=15_000) as (scene,):
        assert (scene.height, scene.width) == (100_000, 50_000)
    assert fake.loads == []


def test_every_scene_is_checked(fake):
    fake.scenes = [fake.scene, replace(fake.scene, height=10**6, width=10**6)]
    assert refusal(fake.path, max_megapixels=1000).startswith(
        "the header states 1,000,000 x 1,000,000 pixels and 1 channels, more than "
    )


def test_planes_of_another_size_than_stated_are_damage(fake):
    fake.scene = replace(fake.scene, height=21)
    assert refusal(fake.path) == "the FAKE file is damaged or cut short, copy it again"


# Values


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_not_a_number_is_refused_with_the_count_of_pixels(fake, dtype):
    plane = np.ones((4, 4), dtype)
    plane[0, 0], plane[1, 1], plane[2, 2] = np.nan, np.inf, -np.inf
    assert refusal(holding(fake, plane)) == (
        "3 pixels are not numbers (NaN or infinite), export it again"
    )


def test_planes_that_are_not_asked_for_may_hold_anything(tmp_path):
    stack = np.ones((2, 4, 4), np.float32)
    stack[1, 0, 0] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    with open_image(tmp_path / "a.tif", pages="z") as (scene,):
        np.testing.assert_array_equal(scene.load(0, 0, 0), stack[0])
        with pytest.raises(ImageError, match=r"^1 pixels are not numbers"):
            scene.load(0, 0, 1)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_numbers_are_refused_before_a_plane_is_loaded(fake, dtype):
    assert refusal(holding(fake, np.ones((4, 4), dtype))) == (
        "the file holds complex numbers, which are not an image of light"
    )
    assert fake.loads == []


def test_complex_tiff_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), np.complex64))
    assert refusal(tmp_path / "a.tif") == (
        "the file holds complex numbers, which are not an image of light"
    )


def test_values_that_are_no_numbers_are_refused(fake):
    assert refusal(holding(fake, np.full((4, 4), "a"))) == (
        "the file holds values of type <U1, not numbers"
    )


TYPES = [
    *((name, name) for name in ("uint8", "uint16", "uint32", "uint64", "float32", "float64")),
    *((name, name) for name in ("int8", "int16", "int32", "int64")),
    *((f">{code}", name) for code, name in (("u2", "uint16"), ("i4", "int32"), ("f4", "float32"))),
    (">f2", "float32"),
    ("float16", "float32"),
    ("bool", "uint8"),
]


@pytest.mark.parametrize(("dtype", "becomes"), TYPES)
def test_type_is_that_of_the_file_or_the_next_that_stages_know(fake, dtype, becomes):
    plane = (GREY % 100 - 50.0 * (np.dtype(dtype).kind not in "ub")).astype(dtype)
    with open_image(holding(fake, plane)) as (scene,):
        loaded = scene.load(0, 0, 0)
    assert (str(scene.dtype), str(loaded.dtype)) == (becomes, becomes)
    assert loaded.dtype.isnative and scene.dtype.isnative
    np.testing.assert_array_equal(loaded, plane)


def test_plane_of_the_right_type_is_not_copied(fake):
    with open_image(holding(fake, GREY)) as (scene,):
        assert scene.load(0, 0, 0) is GREY


def test_read_loads_the_channels_and_planes_that_are_asked_for_and_no_others(fake):
    fake.scene = replace(fake.scene, times=2, channels=(Channel("a"), Channel("b")), planes=3)
    with open_image(fake.path) as (scene,):
        assert scene.read(1, channels=[1], planes=[2, 0]).shape == (1, 2, 20, 30)
        assert fake.loads == [(1, 1, 2), (1, 1, 0)]
        assert scene.read().shape == (2, 3, 20, 30)
    assert fake.loads[2:] == [(0, channel, z) for channel in (0, 1) for z in (0, 1, 2)]


# Errors


ERRORS = [
    ValueError("bad magic"),
    KeyError("tag"),
    IndexError(3),
    ZeroDivisionError(),
    RuntimeError("inflate: -3"),
    RecursionError(),
    OSError("not enough bytes"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("when", ["opened", "loaded"])
def test_what_a_library_raises_is_one_sentence(fake, error, when):
    fake.error, fake.plane = (error, GREY) if when == "opened" else (None, error)
    with pytest.raises(ImageError) as caught, open_image(fake.path) as (scene,):
        scene.load(0, 0, 0)
    assert str(caught.value) == "the FAKE file is damaged or cut short, copy it again"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("family", "sentence"),
    [
        ("tiff", "the TIFF file is damaged or cut short, copy it again"),
        ("ome_zarr", "the OME-Zarr image is damaged or cut short, copy it again"),
    ],
)
def test_damage_names_the_kind_of_the_file(fake, monkeypatch, family, sentence):
    fake.error = ValueError()
    monkeypatch.setitem(FAMILIES, "fake", family)
    monkeypatch.setitem(
        sys.modules, f"nucleiflow.readers.{family}", sys.modules["nucleiflow.readers.fake"]
    )
    assert refusal(fake.path) == sentence


@pytest.mark.parametrize(
    "error",
    [
        ImageError("the file is a slide, export it"),
        MemoryError("8 GB"),
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.ESTALE, "Stale file handle"),
        KeyboardInterrupt(),
    ],
    ids=["image", "memory", "disk", "network", "interrupt"],
)
@pytest.mark.parametrize("when", ["opened", "loaded"])
def test_what_is_not_damage_passes_as_it_is(fake, error, when):
    fake.scene = replace(fake.scene, load=raising(error))
    fake.error = error if when == "opened" else None
    with pytest.raises(type(error)) as caught, open_image(fake.path) as (scene,):
        scene.load(0, 0, 0)
    assert caught.value is error
    assert fake.entered == fake.left == (when == "loaded")


def raising(error):
    def load(time, channel, z):
        raise error

    return load


def test_disk_that_fails_before_the_file_is_opened_is_not_the_files_fault(fake, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os.path, "getsize", fail)
    with pytest.raises(OSError, match="Input/output error") as caught, open_image(fake.path):
        pass
    assert not isinstance(caught.value, ImageError)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_of_who_reads_the_image_are_not_damage(fake, error):
    with pytest.raises(type(error)) as caught, open_image(fake.path) as (scene,):
        scene.load(0, 0, 0)
        raise error
    assert caught.value is error
    assert fake.entered == fake.left == 1


@pytest.mark.parametrize("ending", ["tif", "png"])
def test_errors_of_who_reads_a_real_image_are_not_damage(tmp_path, ending):
    Image.fromarray(GREY).save(tmp_path / f"a.{ending}")
    with pytest.raises(ValueError, match=r"^mine$"), open_image(tmp_path / f"a.{ending}") as scenes:
        np.testing.assert_array_equal(scenes[0].load(0, 0, 0), GREY)
        raise ValueError("mine")


def test_reading_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY)
    before = path.read_bytes(), path.stat().st_mtime_ns
    path.chmod(0o444)
    with open_image(path) as (scene,):
        np.testing.assert_array_equal(scene.load(0, 0, 0), GREY)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
