"""OME-Zarr: pixels and what metadata say of them, plates, series, and stores cut short."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr

from nucleiflow.images import ImageError
from nucleiflow.readers import Channel, ome_zarr
from nucleiflow.readers.ome_zarr import opened, size_and_time, wells

SCRIPTS = Path(ome_zarr.__file__).parents[2]
RNG = np.random.default_rng(3)
LENGTHS = {"t": 2, "c": 3, "z": 4, "y": 20, "x": 28}
TYPES = {"t": "time", "c": "channel"}
FORMATS = {"0.4": 2, "0.5": 3}
VERSIONS = pytest.mark.parametrize("version", FORMATS)
V3_CODECS = {"blosc": zarr.codecs.BloscCodec(cname="lz4"), "zstd": zarr.codecs.ZstdCodec(level=3)}
V2_CODECS = {
    "blosc": numcodecs.Blosc("lz4", shuffle=numcodecs.Blosc.SHUFFLE),
    "zstd": numcodecs.Zstd(3),
}


def pixels(axes: str, dtype="uint16") -> np.ndarray:
    """Values that are all different from 0, the fill value."""
    return RNG.integers(1, 250, [LENGTHS[axis] for axis in axes]).astype(dtype)


def attributes_of(version: str, ome: dict) -> dict:
    return {"ome": {"version": version, **ome}} if version == "0.5" else ome


def write_image(
    path: Path,
    values: np.ndarray,
    axes: str,
    version: str,
    levels: int = 2,
    scale: tuple = (0.65, 0.65),
    unit: str | None = "micrometer",
    image: dict | None = None,
    ome: dict | None = None,
    **array,
) -> Path:
    """A pyramid as OME-Zarr writers make it, with the scales of its levels in y and x."""
    steps = tuple(2 if axis in "yx" else 1 for axis in axes)
    datasets, level = [], values
    group = zarr.open_group(path, mode="w", zarr_format=FORMATS[version])
    array = {"chunks": tuple(8 if a in "yx" else 1 for a in axes), **array}
    for number in range(levels):
        shape = level.shape
        group.create_array(
            str(number),
            shape=shape,
            dtype=level.dtype,
            chunk_key_encoding={"name": "v2" if version == "0.4" else "default", "separator": "/"},
            **array,
        )[...] = level
        sizes = dict(zip("yx", scale, strict=True))
        factors = [sizes[axis] * 2**number if axis in sizes else 1.0 for axis in axes]
        scaling = {"type": "scale", "scale": factors}
        datasets.append({"path": str(number), "coordinateTransformations": [scaling]})
        level = level[tuple(slice(None, None, step) for step in steps)]
    described = [
        {"name": axis, "type": TYPES.get(axis, "space")}
        | ({"unit": unit} if axis in "zyx" and unit else {})
        for axis in axes
    ]
    multiscales = {"version": version, "axes": described, "datasets": datasets, **(image or {})}
    group.attrs.update(attributes_of(version, {"multiscales": [multiscales], **(ome or {})}))
    return path


def write_group(path: Path, version: str, ome: dict) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=FORMATS[version])
    group.attrs.update(attributes_of(version, ome))


def attributes_file(path: Path, version: str) -> Path:
    return path / ("zarr.json" if version == "0.5" else ".zattrs")


def edit(path: Path, version: str, change) -> None:
    """Change the OME metadata of a group."""
    file = attributes_file(path, version)
    document = json.loads(file.read_text())
    change(document["attributes"]["ome"] if version == "0.5" else document)
    file.write_text(json.dumps(document))


def only_scene(path: Path):
    with opened(path) as scenes:
        (scene,) = scenes
        return scene


def refusal(path: Path) -> str:
    """The sentence with which an image, or the first of its planes, is refused."""
    with pytest.raises(ImageError) as caught, opened(path) as scenes:
        scenes[0].load(0, 0, 0)
    return str(caught.value)


def load_error(path: Path) -> Exception:
    """What reading the first plane of a damaged image raises."""
    with opened(path) as scenes, pytest.raises(Exception, match=r"\w|^$") as caught:
        scenes[0].load(0, 0, 0)
    return caught.value


def expected(values: np.ndarray, axes: str, t: int, c: int, z: int) -> np.ndarray:
    index = {"t": t, "c": c, "z": z}
    plane = values[tuple(index.get(axis, slice(None)) for axis in axes)]
    return plane if axes.index("y") < axes.index("x") else plane.T


def chunk_files(array: Path) -> list[Path]:
    names = (".zarray", ".zattrs", "zarr.json")
    return sorted(f for f in array.rglob("*") if f.is_file() and f.name not in names)


@VERSIONS
@pytest.mark.parametrize("axes", ["tczyx", "czyx", "cyx", "zyx", "tyx", "yx", "yxc", "zcyx", "cxy"])
def test_every_plane_of_every_order_of_axes(tmp_path, version, axes):
    values = pixels(axes)
    path = write_image(tmp_path / "a.ome.zarr", values, axes, version)
    with opened(path) as (scene,):
        t, c, z = (LENGTHS[axis] if axis in axes else 1 for axis in "tcz")
        assert (scene.times, len(scene.channels), scene.planes) == (t, c, z)
        assert (scene.height, scene.width, scene.dtype) == (20, 28, np.dtype("uint16"))
        for position in np.ndindex(t, c, z):
            plane = scene.load(*position)
            assert plane.dtype == np.uint16 and plane.flags.c_contiguous
            np.testing.assert_array_equal(plane, expected(values, axes, *position))
            part = slice(3, 20), slice(5, 17)
            found = scene.load_part(*position, part)
            assert found.dtype == np.uint16 and found.flags.c_contiguous
            np.testing.assert_array_equal(found, plane[part])


@VERSIONS
@pytest.mark.parametrize("codec", ["auto", "blosc", "zstd", None])
def test_compressions(tmp_path, version, codec):
    values = pixels("cyx")
    codecs = {"0.4": V2_CODECS, "0.5": V3_CODECS}[version]
    path = write_image(
        tmp_path / "a.zarr", values, "cyx", version, compressors=codecs.get(codec, codec)
    )
    np.testing.assert_array_equal(only_scene(path).load(0, 2, 0), values[2])


def test_shards(tmp_path):
    values = pixels("czyx")
    path = write_image(
        tmp_path / "a.zarr", values, "czyx", "0.5", chunks=(1, 1, 8, 8), shards=(1, 4, 16, 32)
    )
    assert len(chunk_files(path / "0")) == 3 * 2
    scene = only_scene(path)
    for c, z in np.ndindex(3, 4):
        np.testing.assert_array_equal(scene.load(0, c, z), values[c, z])


@VERSIONS
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float16", "float32", "float64"])
def test_values_keep_their_type(tmp_path, version, dtype):
    values = pixels("yx", dtype)
    scene = only_scene(write_image(tmp_path / "a.zarr", values, "yx", version))
    assert scene.dtype == np.dtype(dtype)
    plane = scene.load(0, 0, 0)
    assert plane.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(plane, values)


def test_big_endian_values_come_in_the_order_of_the_machine(tmp_path):
    values = pixels("yx", ">u2")
    path = write_image(tmp_path / "a.zarr", values, "yx", "0.4")
    assert json.loads((path / "0/.zarray").read_text())["dtype"] == ">u2"
    scene = only_scene(path)
    plane = scene.load(0, 0, 0)
    assert scene.dtype.isnative and plane.dtype.isnative
    np.testing.assert_array_equal(plane, values)


@VERSIONS
@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_full_resolution_is_read_whatever_the_number_of_levels(tmp_path, version, levels):
    values = pixels("yx")
    path = write_image(tmp_path / "a.zarr", values, "yx", version, levels=levels)
    scene = only_scene(path)
    np.testing.assert_array_equal(scene.load(0, 0, 0), values)
    assert scene.pixel_size_um == 0.65


@VERSIONS
def test_levels_in_the_wrong_order(tmp_path, version):
    values = pixels("yx")
    path = write_image(tmp_path / "a.zarr", values, "yx", version, levels=3)
    edit(path, version, lambda ome: ome["multiscales"][0]["datasets"].reverse())
    scene = only_scene(path)
    assert (scene.height, scene.width, scene.pixel_size_um) == (20, 28, 0.65)
    np.testing.assert_array_equal(scene.load(0, 0, 0), values)


@VERSIONS
def test_smaller_levels_are_not_needed(tmp_path, version):
    values = pixels("yx")
    path = write_image(tmp_path / "a.zarr", values, "yx", version)
    for file in (path / "1").glob("*z*"):
        file.unlink()
    np.testing.assert_array_equal(only_scene(path).load(0, 0, 0), values)


@VERSIONS
def test_names_and_colors_of_channels(tmp_path, version):
    stated = [{"label": "DAPI", "color": "0000FF"}, {"label": "", "color": "#00ff00"}]
    path = write_image(
        tmp_path / "a.zarr",
        pixels("cyx"),
        "cyx",
        version,
        image={"name": "field 1"},
        ome={"omero": {"channels": stated}},
    )
    scene = only_scene(path)
    assert scene.channels == (Channel("DAPI", "blue"), Channel("", "green"), Channel())
    assert scene.name == "field 1"


@pytest.mark.parametrize(
    ("color", "name"),
    [
        ("FF0000", "red"),
        ("00FFFF", "cyan"),
        ("FF00FF", "magenta"),
        ("FFFF00", "yellow"),
        ("FFFFFF", "white"),
        ("0099FF", ""),
        (None, ""),
    ],
)
def test_colors(tmp_path, color, name):
    omero = {"channels": [{"label": "c", "color": color}]}
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", "0.4", ome={"omero": omero})
    assert only_scene(path).channels == (Channel("c", name),)


@VERSIONS
def test_channels_without_metadata_have_no_names(tmp_path, version):
    scene = only_scene(write_image(tmp_path / "a.zarr", pixels("cyx"), "cyx", version))
    assert scene.channels == (Channel(), Channel(), Channel())
    assert scene.name == ""


@VERSIONS
@pytest.mark.parametrize(
    ("scale", "unit", "size"),
    [
        ((0.325, 0.325), "micrometer", 0.325),
        ((0.325, 0.325), "\N{MICRO SIGN}m", 0.325),
        ((325.0, 325.0), "nanometer", 0.325),
        ((0.0005, 0.0005), "millimeter", 0.5),
        ((5e-7, 5e-7), "meter", 0.5),
        ((0.5, 0.504), "micrometer", 0.504),
        ((0.5, 0.51), "micrometer", None),
        ((0.5, 0.5), None, None),
        ((0.5, 0.5), "furlong", None),
        ((0.0, 0.0), "micrometer", None),
    ],
)
def test_pixel_size(tmp_path, version, scale, unit, size):
    path = write_image(tmp_path / "a.zarr", pixels("zyx"), "zyx", version, scale=scale, unit=unit)
    scene = only_scene(path)
    assert scene.pixel_size_um == (size and pytest.approx(size, rel=1e-12))
    assert scene.pixel_size_source == ("OME-Zarr" if size else "")


@VERSIONS
def test_pixel_size_is_the_product_of_both_scales_and_leaves_shifts_alone(tmp_path, version):
    whole = [
        {"type": "scale", "scale": [1.0, 0.5, 0.5]},
        {"type": "translation", "translation": [0.0, 7.0, 9.0]},
    ]
    path = write_image(
        tmp_path / "a.zarr",
        pixels("cyx"),
        "cyx",
        version,
        image={"coordinateTransformations": whole},
    )
    assert only_scene(path).pixel_size_um == pytest.approx(0.325, rel=1e-12)


def test_no_scale_is_no_pixel_size(tmp_path):
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", "0.4")

    def forget(ome):
        for dataset in ome["multiscales"][0]["datasets"]:
            del dataset["coordinateTransformations"]

    edit(path, "0.4", forget)
    assert only_scene(path).pixel_size_um is None


@pytest.mark.parametrize("named", [None, ["t", "c", "z", "y", "x"]])
def test_versions_before_0_4_have_no_units(tmp_path, named):
    values = pixels("tczyx")
    path = write_image(tmp_path / "a.zarr", values, "tczyx", "0.4")

    def older(ome):
        multiscales = ome["multiscales"][0]
        del multiscales["axes"]
        if named:
            multiscales["axes"] = named
        for dataset in multiscales["datasets"]:
            del dataset["coordinateTransformations"]

    edit(path, "0.4", older)
    scene = only_scene(path)
    assert (scene.times, len(scene.channels), scene.planes) == (2, 3, 4)
    assert scene.pixel_size_um is None
    np.testing.assert_array_equal(scene.load(1, 2, 3), values[1, 2, 3])


@VERSIONS
def test_axes_are_known_by_their_types_too(tmp_path, version):
    values = pixels("tcyx")
    path = write_image(tmp_path / "a.zarr", values, "tcyx", version)

    def rename(ome):
        for axis, name in zip(ome["multiscales"][0]["axes"], ("T", "dye", "Y", "X"), strict=True):
            axis["name"] = name

    edit(path, version, rename)
    np.testing.assert_array_equal(only_scene(path).load(1, 2, 0), values[1, 2])


@VERSIONS
def test_an_axis_that_is_not_known_may_have_one_position(tmp_path, version):
    values = pixels("tcyx")
    several = write_image(tmp_path / "several.zarr", values, "tcyx", version)
    single = write_image(tmp_path / "single.zarr", values[:1], "tcyx", version)
    for path in (several, single):
        edit(
            path,
            version,
            lambda ome: ome["multiscales"][0]["axes"][0].update(name="angle", type="other"),
        )
    scene = only_scene(single)
    assert (scene.times, len(scene.channels)) == (1, 3)
    np.testing.assert_array_equal(scene.load(0, 1, 0), values[0, 1])
    assert refusal(several) == (
        "the OME-Zarr image has 2 positions on the axis angle, which is not known: export one "
        "of them"
    )


@VERSIONS
def test_a_plane_is_read_from_its_own_chunks_alone(tmp_path, version):
    values = pixels("czyx")
    path = write_image(tmp_path / "a.zarr", values, "czyx", version)
    files = chunk_files(path / "0")
    assert len(files) == 3 * 4 * 3 * 4
    prefix = path / ("0/c/1/2" if version == "0.5" else "0/1/2")
    for file in files:
        if prefix not in file.parents:
            file.write_bytes(b"not pixels")
    for file in (path / "1").rglob("*"):
        if file.is_file():
            file.unlink()
    with opened(path) as (scene,):
        np.testing.assert_array_equal(scene.load(0, 1, 2), values[1, 2])
    with pytest.raises(Exception, match=r"\w|^$") as caught:
        scene.load(0, 1, 3)
    assert not isinstance(caught.value, OSError)


@VERSIONS
def test_chunks_of_several_planes_are_read_once(tmp_path, version, monkeypatch):
    values = pixels("tczyx")
    path = write_image(tmp_path / "a.zarr", values, "tczyx", version, chunks=(1, 2, 3, 20, 28))
    reads = []
    original = zarr.storage.LocalStore.get

    def counting(self, key, *args, **kwargs):
        reads.append(key)
        return original(self, key, *args, **kwargs)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", counting)
    with opened(path) as (scene,):
        for z in range(3):
            np.testing.assert_array_equal(scene.load(1, 2, z), values[1, 2, z])
        assert len([key for key in reads if "z" not in key]) == 1
        first = scene.load(1, 2, 0)
        first[:] = 0
        np.testing.assert_array_equal(scene.load(1, 2, 0), values[1, 2, 0])
        np.testing.assert_array_equal(scene.load(0, 0, 3), values[0, 0, 3])


def test_planes_of_huge_chunks_are_not_kept(tmp_path, monkeypatch):
    values = pixels("czyx")
    path = write_image(tmp_path / "a.zarr", values, "czyx", "0.5", chunks=(5, 5, 20, 28))
    array = ome_zarr._pixels(ome_zarr._node(path / "0"))
    monkeypatch.setattr(ome_zarr, "KEPT_BYTES", values.nbytes)
    assert ome_zarr._depth(array, list("czyx")) == (3, 4, 1, 1)
    monkeypatch.setattr(ome_zarr, "KEPT_BYTES", values.nbytes - 1)
    assert ome_zarr._depth(array, list("czyx")) == (1, 1, 1, 1)
    scene = only_scene(path)
    for c, z in np.ndindex(3, 4):
        np.testing.assert_array_equal(scene.load(0, c, z), values[c, z])


@VERSIONS
def test_chunks_that_hold_nothing_need_not_be_there(tmp_path, version):
    values = pixels("cyx")
    values[0] = 0
    path = write_image(tmp_path / "a.zarr", values, "cyx", version)
    assert len(chunk_files(path / "0")) == 2 * 3 * 4
    scene = only_scene(path)
    assert scene.load(0, 0, 0).max() == 0
    np.testing.assert_array_equal(scene.load(0, 1, 0), values[1])


@VERSIONS
@pytest.mark.parametrize("how", ["gone", "links to nothing"])
def test_a_copy_without_any_chunk(tmp_path, version, how):
    path = write_image(tmp_path / "a.zarr", pixels("cyx"), "cyx", version)
    for file in chunk_files(path / "0"):
        file.unlink()
        if how == "links to nothing":
            file.symlink_to("annex")
    assert only_scene(path).height == 20
    assert refusal(path) == (
        "the directory 0 of the OME-Zarr image holds no pixels (no chunk files), copy the image "
        "again"
    )


def test_chunks_under_names_that_the_metadata_do_not_give(tmp_path):
    path = write_image(tmp_path / "a.zarr", pixels("cyx"), "cyx", "0.4")
    file = path / "0/.zarray"
    document = json.loads(file.read_text())
    assert document["dimension_separator"] == "/"
    file.write_text(json.dumps(document | {"dimension_separator": "."}))
    assert "holds no pixels" in refusal(path)


@VERSIONS
@pytest.mark.parametrize("codec", ["auto", "gzip", None])
@pytest.mark.parametrize("missing", [1, 10])
def test_chunks_cut_short_are_an_error_and_none_of_the_disk(tmp_path, version, codec, missing):
    gzip = {"0.4": numcodecs.GZip(), "0.5": zarr.codecs.GzipCodec()}[version]
    compressors = {"auto": "auto", "gzip": gzip, None: None}[codec]
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", version, compressors=compressors)
    file = chunk_files(path / "0")[5]
    file.write_bytes(file.read_bytes()[:-missing])
    error = load_error(path)
    assert getattr(error, "errno", None) is None


@pytest.mark.parametrize("keep", [1, 20, -1])
def test_shards_cut_short(tmp_path, keep):
    path = write_image(
        tmp_path / "a.zarr", pixels("yx"), "yx", "0.5", chunks=(8, 8), shards=(24, 32)
    )
    (file,) = chunk_files(path / "0")
    file.write_bytes(file.read_bytes()[:keep])
    assert "checksum" in str(load_error(path))


@VERSIONS
@pytest.mark.parametrize("keep", [1, 15, 40, -1])
def test_blosc_is_not_given_chunks_cut_short(tmp_path, version, keep):
    """It would read beyond their end: wrong pixels, or the end of the process."""
    codec = {"0.4": V2_CODECS, "0.5": V3_CODECS}[version]["blosc"]
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", version, compressors=codec)
    file = chunk_files(path / "0")[5]
    file.write_bytes(file.read_bytes()[:keep])
    assert refusal(path) == (
        f"the file {file.relative_to(path).as_posix()} of the OME-Zarr image is cut short, copy "
        "the image again"
    )


def test_blosc_is_not_given_parts_of_shards_cut_short(tmp_path):
    values = pixels("zyx")
    shard = zarr.codecs.ShardingCodec(
        chunk_shape=(1, 8, 8),
        codecs=[zarr.codecs.BytesCodec(), V3_CODECS["blosc"]],
        index_location="start",
    )
    options = {"chunks": (4, 24, 32), "serializer": shard, "compressors": None}
    path = write_image(tmp_path / "a.zarr", values, "zyx", "0.5", **options)
    (file,) = chunk_files(path / "0")
    file.write_bytes(file.read_bytes()[:-1])
    with opened(path) as (scene,):
        for z in range(3):
            np.testing.assert_array_equal(scene.load(0, 0, z), values[z])
        with pytest.raises(ImageError) as caught:
            scene.load(0, 0, 3)
    assert str(caught.value) == (
        "the file 0/c/0/0/0 of the OME-Zarr image is cut short, copy the image again"
    )


@pytest.mark.parametrize("codec", ["auto", None])
@pytest.mark.parametrize(
    ("version", "options"), [("0.4", {}), ("0.5", {}), ("0.5", {"shards": (24, 32)})]
)
def test_empty_chunk_files_are_not_black(tmp_path, version, codec, options):
    path = write_image(
        tmp_path / "a.zarr", pixels("yx"), "yx", version, compressors=codec, **options
    )
    file = chunk_files(path / "0")[0]
    file.write_bytes(b"")
    assert refusal(path) == (
        f"the file {file.relative_to(path).as_posix()} of the OME-Zarr image is empty (0 bytes), "
        "copy the image again"
    )


@VERSIONS
def test_series_of_bioformats2raw(tmp_path, version):
    path = tmp_path / "slide.zarr"
    write_group(path, version, {"bioformats2raw.layout": 3})
    planes = {name: pixels("yx") for name in ("0", "1", "2", "10")}
    for name, values in planes.items():
        write_image(path / name, values, "yx", version)
    write_image(path / "3", pixels("yx"), "yx", version, ome={"image-label": {"version": version}})
    with opened(path) as scenes:
        assert [scene.name for scene in scenes] == ["0", "1", "2", "10"]
        for scene in scenes:
            np.testing.assert_array_equal(scene.load(0, 0, 0), planes[scene.name])
    write_group(path / "OME", version, {"series": ["2", "0"]})
    with opened(path) as scenes:
        assert [scene.name for scene in scenes] == ["2", "0"]
        np.testing.assert_array_equal(scenes[0].load(0, 0, 0), planes["2"])
    for name in ("2", "0"):
        edit(path / name, version, lambda ome: ome["multiscales"][0].update(name="scan"))
    with opened(path) as scenes:
        assert [scene.name for scene in scenes] == ["2", "0"]
    edit(path / "2", version, lambda ome: ome["multiscales"][0].update(name="overview"))
    with opened(path) as scenes:
        assert [scene.name for scene in scenes] == ["overview", "scan"]


@VERSIONS
def test_series_without_images(tmp_path, version):
    path = tmp_path / "slide.zarr"
    write_group(path, version, {"bioformats2raw.layout": 3})
    assert refusal(path) == (
        "the OME-Zarr directory holds no image, copy the whole directory again"
    )


def write_plate(path: Path, version: str) -> dict[str, np.ndarray]:
    """A plate of three wells, the second with two fields, as in the specification."""
    rows, columns = [{"name": "A"}, {"name": "AF"}], [{"name": "1"}, {"name": "12"}]
    listed = [
        {"path": "A/1", "rowIndex": 0, "columnIndex": 0},
        {"path": "A/12", "rowIndex": 0, "columnIndex": 1},
        {"path": "AF/12", "rowIndex": 1, "columnIndex": 1},
    ]
    write_group(path, version, {"plate": {"rows": rows, "columns": columns, "wells": listed}})
    for row in ("A", "AF"):
        zarr.open_group(path / row, mode="w", zarr_format=FORMATS[version])
    fields = {}
    for well, sites in {"A/1": ["0"], "A/12": ["0", "1"], "AF/12": ["5"]}.items():
        images = [{"path": site, "acquisition": 1} for site in sites]
        write_group(path / well, version, {"well": {"images": images}})
        for site in sites:
            fields[f"{well}/{site}"] = pixels("cyx")
            write_image(path / well / site, fields[f"{well}/{site}"], "cyx", version)
    return fields


@VERSIONS
def test_plate(tmp_path, version):
    path = tmp_path / "plate.zarr"
    fields = write_plate(path, version)
    assert wells(path) == [
        ("A/1/0", "A01", "0"),
        ("A/12/0", "A12", "0"),
        ("A/12/1", "A12", "1"),
        ("AF/12/5", "AF12", "5"),
    ]
    for name, values in fields.items():
        np.testing.assert_array_equal(only_scene(path / name).load(0, 1, 0), values[1])
    assert refusal(path) == (
        "the OME-Zarr directory is a plate whose list of wells is empty or damaged, export it again"
    )


@VERSIONS
@pytest.mark.parametrize("damage", ["gone", "cut short", "not a well"])
def test_a_damaged_well_is_one_field_that_says_so(tmp_path, version, damage):
    path = tmp_path / "plate.zarr"
    write_plate(path, version)
    file = attributes_file(path / "A/12", version)
    if damage == "gone":
        for metadata in (path / "A/12").glob("*z*"):
            metadata.unlink()
        sentence = (
            "the directory 12 holds no Zarr metadata (zarr.json, .zattrs or .zarray), copy the "
            "image again"
        )
    elif damage == "cut short":
        file.write_bytes(file.read_bytes()[:-9])
        sentence = (
            f"the OME-Zarr metadata in 12/{file.name} are damaged or cut short, copy the image "
            "again"
        )
    else:
        edit(path / "A/12", version, lambda ome: ome["well"].pop("images"))
        sentence = (
            "the OME-Zarr directory is a well whose list of fields is damaged, export it again"
        )
    assert wells(path) == [("A/1/0", "A01", "0"), ("A/12", "A12", "0"), ("AF/12/5", "AF12", "5")]
    assert refusal(path / "A/12") == sentence


@VERSIONS
def test_what_is_no_plate_has_no_wells(tmp_path, version):
    image = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", version)
    (tmp_path / "file.zarr").write_bytes(b"x")
    (tmp_path / "empty.zarr").mkdir()
    write_plate(tmp_path / "plate.zarr", version)
    file = attributes_file(tmp_path / "plate.zarr", version)
    assert wells(image) is None
    assert wells(tmp_path / "file.zarr") is None
    assert wells(tmp_path / "empty.zarr") is None
    assert wells(tmp_path / "not there.zarr") is None
    assert wells(tmp_path / "plate.zarr/A/1") is None
    edit(tmp_path / "plate.zarr", version, lambda ome: ome["plate"]["wells"][0].update(path="../a"))
    assert wells(tmp_path / "plate.zarr") is None
    file.write_text(file.read_text()[:-9])
    assert wells(tmp_path / "plate.zarr") is None


def test_a_plate_is_listed_without_importing_zarr(tmp_path):
    path = tmp_path / "plate.zarr"
    write_plate(path, "0.5")
    program = (
        "import sys, threading; from pathlib import Path\n"
        "from nucleiflow.readers.ome_zarr import opened, wells\n"
        "print(len(wells(Path(sys.argv[1]))))\n"
        "with opened(Path(sys.argv[1], 'A/1/0')) as (scene,): print(scene.width)\n"
        "print('zarr' in sys.modules, threading.active_count())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["4", "28", "False", "1"]


def test_labels_are_no_image(tmp_path):
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", "0.5", ome={"image-label": {}})
    assert refusal(path) == (
        "the OME-Zarr directory holds labels of objects, not an image of light"
    )


@VERSIONS
def test_a_bare_array_or_group(tmp_path, version):
    zarr.create_array(
        tmp_path / "array.zarr", data=pixels("yx"), zarr_format=FORMATS[version], chunks=(8, 8)
    )
    assert refusal(tmp_path / "array.zarr") == (
        "the directory is a Zarr array without OME metadata, export it as OME-Zarr"
    )
    zarr.open_group(tmp_path / "group.zarr", mode="w", zarr_format=FORMATS[version])
    assert refusal(tmp_path / "group.zarr") == (
        "the directory group.zarr holds no image with OME metadata (multiscales), export it as "
        "OME-Zarr"
    )


def test_no_store_at_all(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    assert refusal(tmp_path / "a.zarr") == (
        "the directory a.zarr holds no Zarr metadata (zarr.json, .zattrs or .zarray), copy the "
        "image again"
    )
    (tmp_path / "b.zarr").write_bytes(b"PK")
    assert refusal(tmp_path / "b.zarr") == (
        "the file is named like an OME-Zarr directory, but is none: unpack it"
    )
    assert refusal(tmp_path / "c.zarr") == (
        "a file of the OME-Zarr image is not there any more, or is a link to nothing"
    )


@VERSIONS
@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe\xfd", b"[1]"])
def test_damaged_metadata(tmp_path, version, content):
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", version)
    attributes_file(path, version).write_bytes(content)
    name = attributes_file(path, version).name
    assert refusal(path) == (
        f"a.zarr/{name} holds no OME-Zarr metadata"
        if content == b"[1]"
        else f"the OME-Zarr metadata in a.zarr/{name} are damaged or cut short, copy the image "
        "again"
    )


@VERSIONS
def test_full_resolution_that_is_not_there(tmp_path, version):
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", version)
    (path / "0").rename(tmp_path / "elsewhere")
    assert refusal(path) == (
        "the directory 0 holds no Zarr metadata (zarr.json, .zattrs or .zarray), copy the image "
        "again"
    )
    zarr.open_group(path / "0", mode="w", zarr_format=FORMATS[version])
    assert refusal(path) == (
        "the directory 0 of the OME-Zarr image holds no array, copy the image again"
    )


@VERSIONS
@pytest.mark.parametrize("outside", ["../other.zarr/0", "/tmp", "", "."])
def test_levels_outside_of_the_image(tmp_path, version, outside):
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", version)
    write_image(tmp_path / "other.zarr", pixels("yx"), "yx", version)
    edit(path, version, lambda ome: ome["multiscales"][0]["datasets"][0].update(path=outside))
    assert refusal(path) == (
        f"the OME-Zarr metadata name {outside}, which is no directory of the image"
    )


@VERSIONS
@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        (["c", "y"], "the axes in the OME-Zarr metadata (c, y) do not fit pixels with 3 axes"),
        (["y", "y", "x"], "the axes in the OME-Zarr metadata (y, y, x) do not fit pixels"),
        (["c", "z", "x"], "the OME-Zarr image has the axes c, z, x, but x and y are needed"),
        (None, "the axes in the OME-Zarr metadata (none) do not fit pixels with 3 axes"),
    ],
)
def test_axes_that_do_not_fit(tmp_path, version, axes, sentence):
    path = write_image(tmp_path / "a.zarr", pixels("cyx"), "cyx", version)
    described = axes and [{"name": axis, "type": TYPES.get(axis, "space")} for axis in axes]
    edit(path, version, lambda ome: ome["multiscales"][0].update(axes=described))
    assert refusal(path).startswith(sentence)


def test_values_that_are_no_numbers(tmp_path):
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", "0.4")
    file = path / "0/.zarray"
    document = json.loads(file.read_text())
    for stated in ("|S4", [["a", "<u2"]], "nonsense"):
        file.write_text(json.dumps(document | {"dtype": stated}))
        assert refusal(path) == (
            f"the OME-Zarr holds values of the type {stated}, which are no image"
        )


@VERSIONS
def test_compression_that_is_not_known(tmp_path, version):
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", version)
    file = path / "0" / {"0.4": ".zarray", "0.5": "zarr.json"}[version]
    document = json.loads(file.read_text())
    if version == "0.4":
        document["compressor"] = {"id": "jpeg_of_1999"}
    else:
        document["codecs"][-1] = {"name": "jpeg_of_1999", "configuration": {}}
    file.write_text(json.dumps(document))
    sentence = refusal(path)
    assert sentence.startswith("the OME-Zarr is compressed in a way that is not known (")
    assert "jpeg_of_1999" in sentence


@pytest.mark.parametrize("key", ["compressor", "filters"])
def test_pickled_chunks_are_not_run(tmp_path, key):
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", "0.4", compressors=None)
    file = path / "0/.zarray"
    document = json.loads(file.read_text())
    pickle = {"id": "pickle", "protocol": 5}
    document[key] = [pickle] if key == "filters" else pickle
    file.write_text(json.dumps(document))
    assert refusal(path) == "the OME-Zarr holds Python objects (pickle), which are not read"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_permissions_are_the_images_fault_and_the_disk_is_not(tmp_path, monkeypatch, number):
    path = write_image(tmp_path / "a.zarr", pixels("yx"), "yx", "0.5")
    scene = only_scene(path)

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "read_bytes", fail)
    kind = ImageError if number == errno.EACCES else OSError
    with pytest.raises(kind), opened(path):
        pass
    with pytest.raises(kind):
        scene.load(0, 0, 0)


@VERSIONS
def test_size_and_time(tmp_path, version):
    path = write_image(tmp_path / "a.zarr", pixels("cyx"), "cyx", version)
    files = [file for file in path.rglob("*") if file.is_file()]
    for number, file in enumerate(files):
        os.utime(file, ns=(0, 1000 + number))
    total = sum(file.stat().st_size for file in files)
    assert size_and_time(path) == (total, 999 + len(files))
    hidden = path / "0/.hidden"
    hidden.write_bytes(b"12345")
    os.utime(hidden, ns=(0, 5_000_000_000))
    (path / "link").symlink_to("nothing")
    (path / "loop").symlink_to(path)
    assert size_and_time(path) == (total + 5, 5_000_000_000)
    assert size_and_time(tmp_path / "not there") == (0, 0)


@VERSIONS
def test_a_store_is_left_as_it_was(tmp_path, version):
    path = tmp_path / "plate.zarr"
    write_plate(path, version)

    def state():
        return {
            str(file): (file.stat().st_mtime_ns, file.is_file() and file.read_bytes())
            for file in [path, *path.rglob("*")]
        }

    before = state()
    for name, _, _ in wells(path):
        only_scene(path / name).load(0, 2, 0)
    size_and_time(path)
    assert state() == before
    assert len(before) > 100


def read_in_worker(job: tuple[Path, int]) -> int:
    path, channel = job
    with opened(path) as (scene,):
        return int(scene.load(0, channel, 0).sum())


@VERSIONS
def test_reads_in_forked_workers_after_the_parent_has_read(tmp_path, version):
    """A process that hung would be ended by the time limit: so in a process of its own."""
    values = pixels("cyx")
    path = write_image(tmp_path / "a.zarr", values, "cyx", version)
    program = (
        "import multiprocessing, sys, threading; from pathlib import Path\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "sys.path[:0] = sys.argv[2:]\n"
        "from test_ome_zarr import opened, read_in_worker\n"
        "path = Path(sys.argv[1])\n"
        "with opened(path) as (scene,): print(scene.load(0, 0, 0).sum())\n"
        "assert threading.active_count() > 1\n"
        "for _ in range(3):\n"
        "    with ProcessPoolExecutor(2, multiprocessing.get_context('fork')) as pool:\n"
        "        print(*pool.map(read_in_worker, [(path, c) for c in range(3)] * 4))\n"
        "    with opened(path) as (scene,): print(scene.load(0, 0, 0).sum())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path, Path(__file__).parent, SCRIPTS],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    sums = [int(total) for total in values.sum(axis=(1, 2))]
    assert [int(word) for word in done.stdout.split()] == [sums[0], *(sums * 4 + sums[:1]) * 3]
