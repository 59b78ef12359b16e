"""The dataset as the config describes it, on real files: what is known and refused beforehand."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucleiflow import settings, survey
from nucleiflow.plan import Extent
from nucleiflow.sheets import SheetError
from nucleiflow.survey import SHEET_SCHEMA, DatasetError, read_plate_map

GREY = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
# Well, site and channel, which `auto` takes for ImageXpress.
FIELDS = [f"{well}_s1_w{w}.tif" for well in ("A01", "A02", "B01") for w in (1, 2)]


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    return path


@pytest.fixture
def look(schema, root, tmp_path):
    """Surveys the images with a config that is changed from the defaults, as `dataset.smk` does."""

    def look(**changes):
        config = settings.load({"images": str(root)} | changes, schema)
        view = {key: config[key] for key in ("segment", "channels", "z", "pages")}
        view |= {key: config["preprocess"][key] for key in ("crop", "resize")}
        view["max_megapixels"] = config["max_image_megapixels"]
        return survey.survey(config, view, str(tmp_path / "results"))

    return look


@pytest.fixture
def refusal(look):
    def refusal(**changes):
        with pytest.raises(DatasetError) as caught:
            look(**changes)
        return str(caught.value)

    return refusal


def write(root, *names, image=GREY, **options):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(root / name, image, **options)


def text(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def images(found):
    return [image for batch in found.batches.values() for image in batch.images]


def extents(found):
    return [batch.extent for batch in found.batches.values()]


# The dataset


def test_images_that_are_not_set_are_asked_for(refusal):
    assert refusal(images=None) == (
        "config: images is not set, name a directory: --config images=/path/to/images"
    )


def test_settings_of_the_dataset_are_those_of_the_config(look, root, tmp_path):
    write(root, *(f"{index:02}.tif" for index in range(30)), "x_mask.tif", "1.tiff")
    (root / "results").symlink_to(tmp_path / "results")
    write(tmp_path / "results", "overlay.tif")
    found = look(extensions=["tif"], exclude=["*_mask.tif"], batch_size=1)
    assert (found.path, found.images, len(found.batches), found.ignored) == (str(root), 30, 30, 1)
    assert found.set_aside == {"exclude": ["x_mask.tif"]}


def test_path_of_images_may_start_at_home_or_here(look, root, monkeypatch):
    write(root, "1.tif")
    monkeypatch.setenv("HOME", str(root.parent))
    assert look(images="~/images").path == str(root)
    monkeypatch.chdir(root.parent)
    assert look(images="images").path == str(root)


@pytest.mark.parametrize("images", ["none", "none.csv"])
def test_images_that_are_not_there_are_refused(refusal, tmp_path, images):
    path = tmp_path / images
    what = "file" if path.suffix else "directory"
    sentence = f"there is no {what} {path}, check the path"
    assert refusal(images=str(path)) == ("" if path.suffix else "images: ") + sentence


def test_names_are_read_as_the_config_says(look, root):
    write(root, *FIELDS)
    auto, fields = look(segment="1"), r"(?P<well>[A-H]\d\d)_s(?P<site>\d)_w(?P<channel>\d)"
    assert (auto.naming, auto.images) == ("imagexpress", 3)
    found = look(metadata={"pattern": fields}, segment="1")
    assert (found.naming, found.images) == ("metadata.pattern", 3)
    assert look(metadata={"pattern": None}).images == 6


# Headers


def test_header_of_one_plane_gives_its_megapixels(look, root):
    write(root, "1.tif")
    found = look()
    assert extents(found) == [Extent(20 * 30 / 1e6, 1, 1)]
    assert found.kinds() == ["30 x 20 pixels of uint16"]


def test_header_of_an_ome_tiff_gives_times_channels_and_planes(look, root):
    stack = np.zeros((3, 4, 2, 20, 30), np.uint8)
    metadata = {"axes": "TZCYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    write(root, "1.ome.tif", image=stack, metadata=metadata)
    found = look()
    assert extents(found) == [Extent(0.0006, 3, 8, 2)]
    assert found.kinds() == ["30 x 20 pixels of uint8, 2 channels (DAPI, GFP), 4 planes, 3 times"]


def test_header_of_a_joined_field_counts_all_its_files(look, root):
    write(root, *(f"A01_s1_w{w}_z{z}.tif" for w in (1, 2, 3) for z in (1, 2)), image=GREY[:10])
    fields = r"(?P<well>A\d\d)_s(?P<site>\d)_w(?P<channel>\d)_z(?P<z>\d)"
    found = look(metadata={"pattern": fields}, segment="2")
    assert extents(found) == [Extent(0.0003, 1, 6, 3)]
    assert found.kinds() == ["30 x 10 pixels of uint16, 3 channels (1, 2, 3), 2 planes"]


@pytest.mark.parametrize(
    ("pages", "extent"), [("z", (1, 5)), ("time", (5, 1)), ("channel", (1, 5, 5))]
)
def test_pages_that_do_not_say_what_they_are_are_what_the_config_says(look, root, pages, extent):
    write(root, "1.tif", image=np.zeros((5, 20, 30), np.uint8), photometric="minisblack")
    assert extents(look(pages=pages)) == [Extent(0.0006, *extent)]


def test_files_of_one_ome_tiff_dataset_are_found(look, root):
    uuids = {
        name: f"urn:uuid:0000000{i}-0000-0000-0000-000000000000" for i, name in enumerate("ab")
    }
    for name, uuid in uuids.items():
        data = "".join(
            f'<TiffData FirstC="{c}" FirstT="0" FirstZ="0" IFD="0" PlaneCount="1">'
            f'<UUID FileName="{other}.ome.tif">{uuids[other]}</UUID></TiffData>'
            for c, other in enumerate(uuids)
        )
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            'SizeX="30" SizeY="20" SizeZ="1" SizeC="2" SizeT="1">'
            '<Channel ID="Channel:0" Name="DAPI" SamplesPerPixel="1"/>'
            '<Channel ID="Channel:1" Name="GFP" SamplesPerPixel="1"/>'
            f"{data}</Pixels></Image></OME>"
        )
        write(root, f"{name}.ome.tif", description=xml, metadata=None)
    write(root, "c.tif")
    found = look()
    assert [[file.path for file in image.files] for image in images(found)] == [
        ["a.ome.tif", "b.ome.tif"],
        ["c.tif"],
    ]
    assert extents(found) == [Extent(0.0006, 1, 2, 2)]


@pytest.mark.parametrize("content", [b"", b"no image", b"<html></html>", bytes(5000)])
def test_files_that_cannot_be_read_are_left_to_their_jobs(look, root, content):
    (root / "1.tif").write_bytes(content)
    found = look()
    assert (found.images, extents(found)) == (1, [Extent(4.0, 1, 1)])
    assert found.incomplete == []


def test_extent_is_that_of_an_image_that_can_be_read(look, root):
    write(root, "1.tif")
    (root / "2.tif").write_bytes(bytes(9000))
    assert extents(look()) == [Extent(0.0006, 1, 1)]


def test_image_that_is_larger_than_allowed_is_left_to_its_job(look, root):
    write(root, "1.tif", image=np.zeros((1100, 1000), np.uint8))
    assert extents(look(max_image_megapixels=1)) == [Extent(4.0, 1, 1)]
    assert extents(look(max_image_megapixels=2)) == [Extent(1.1, 1, 1)]


def test_real_microscopes_are_told_by_their_names(look, data):
    found = look(images=str(data / "phenix"), segment="5")
    assert found.naming == "phenix"
    assert found.incomplete == []
    assert all(len(image.files) > 1 and image.metadata[1] for image in images(found))
    megapixels, number, layers, channels = extents(found)[0]
    assert (megapixels, number) == (1080 * 1080 / 1e6, 1)
    files = images(found)[0].files
    assert (layers, channels) == (len(files), len({file.channel for file in files}))


# Libraries


@pytest.mark.parametrize("ending", ["czi", "nd2", "lif"])
def test_missing_library_is_refused_before_anything_runs(refusal, look, root, monkeypatch, ending):
    write(root, "1.tif")
    (root / f"2.{ending.upper()}").write_bytes(b"x")
    monkeypatch.setattr(survey, "missing_library", lambda name: "lib" if name == ending else None)
    assert refusal() == (
        f"images: reading .{ending} files needs lib, which is not installed: "
        "pip install -r requirements-vendor.txt, or make install EXTRAS=vendor"
    )
    assert look(extensions=["tif"]).images == 1
    monkeypatch.setattr(survey, "missing_library", lambda name: None)
    assert look().images == 2


# Channels


def test_channels_of_file_names_need_a_choice(refusal, root):
    write(root, *(f"plate 1/{name}" for name in FIELDS))
    assert refusal() == (
        "images: in plate 1, the files are of the channels 1, 2: set segment to the one with the "
        "nuclei"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"segment": "1"},
        {"segment": 2},
        {"segment": 0},
        {"channels": ["DAPI", "GFP"]},
        {"channels": {"1": "DAPI"}},
        {"channels": {2: "Hoechst 33342", 1: "GFP"}},
        {"channels": ["a", "b"], "segment": "b"},
        {"channels": ["a", "b"], "segment": "2"},
    ],
    ids=["name", "number", "index", "list", "dict", "both", "given", "original"],
)
def test_channels_are_known_by_name_number_or_the_config(look, root, changes):
    write(root, *FIELDS)
    found = look(**changes)
    assert (found.images, found.channel_sets) == (3, {("1", "2"): "."})


def test_channels_that_are_called_like_a_stain_need_no_choice(look, refusal, root):
    names = r"(?P<well>A\d\d)_(?P<channel>\w+)\.tif"
    write(root, "A01_DAPI.tif", "A01_GFP.tif")
    assert look(metadata={"pattern": names}).images == 1
    write(root, "A01_H2B_mCherry.tif")
    assert refusal(metadata={"pattern": names}) == (
        f"images: in {root}, the files are of the channels DAPI, GFP, H2B_mCherry: set segment to "
        "the one with the nuclei"
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"segment": "DAPI"}, "there is no channel DAPI, the image has 1, 2: change segment"),
        (
            {"segment": "red", "channels": ["a", "b"]},
            "there is no channel red, the image has a, b: change segment",
        ),
        ({"segment": 7}, "there is no channel 7, the image has 1, 2: change segment"),
        (
            {"channels": ["DAPI", "GFP", "RFP"]},
            "the image has 2 channels and the config names 3: change channels",
        ),
        (
            {"channels": {"w3": "DAPI"}},
            "there is no channel w3, the image has 1, 2: change channels",
        ),
        (
            {"channels": ["a", "b"]},
            "the files are of the channels a, b: set segment to the one with the nuclei",
        ),
    ],
    ids=["segment", "colour", "index", "list", "dict", "auto"],
)
def test_channels_that_do_not_fit_the_files_are_refused(refusal, root, changes, sentence):
    write(root, *FIELDS)
    assert refusal(**changes) == f"images: in {root}, {sentence}"


TWO = {"image": np.zeros((2, 3, 20, 30), np.uint8)}
TWO["metadata"] = {"axes": "CZYX", "Channel": {"Name": ["DAPI", "GFP"]}}
FLAT = {"method": "flat_field", "flat_field": {"path": "../flat.tif"}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"segment": "Hoechst"},
            "there is no channel Hoechst, the image has DAPI, GFP: change segment",
        ),
        (
            {"measure": {"channels": ["GFP", "RFP"]}},
            "there is no channel RFP, the image has DAPI, GFP: change measure.channels",
        ),
        (
            {"preprocess": {"combine": {"DAPI": 1, "2": 0.5}}},
            "there is no channel 2, the image has DAPI, GFP: change preprocess.combine",
        ),
        (
            {"cells": {"method": "watershed", "watershed": {"channel": "actin"}}},
            "there is no channel actin, the image has DAPI, GFP: change cells.watershed.channel",
        ),
        (
            {"channels": ["a", "b", "c"]},
            "the image has 2 channels and the config names 3: change channels",
        ),
        (
            {"channels": {"RFP": "x"}},
            "there is no channel RFP, the image has DAPI, GFP: change channels",
        ),
        ({"z": 3}, "there is no plane 3, there are 0, 1, 2: change z"),
        (
            {"preprocess": {"crop": {"x": 10, "y": 0, "width": 21, "height": 20}}},
            "the crop of 21 x 20 pixels at x=10, y=0 reaches out of the image of 30 x 20 pixels: "
            "change preprocess.crop",
        ),
        (
            {"diameter": "12 um"},
            "the config says 12 um, and the image does not state the size of its pixels: set "
            "pixel_size_um, or give pixels",
        ),
        (
            {"watershed": {"filters": [{"property": "area", "max": "50 um2"}]}},
            "the config says 50 um2, and the image does not state the size of its pixels: set "
            "pixel_size_um, or give square pixels",
        ),
        (
            {"illumination": FLAT},
            "the image has 30 x 20 pixels and its flat field flat.tif 30 x 10: give one of the "
            "size of the image, before crop and resize",
        ),
    ],
)
def test_config_that_fits_no_image_by_its_header_is_refused(
    look, refusal, root, monkeypatch, changes, sentence
):
    write(root, "1.ome.tif", "2.ome.tif", **TWO)
    write(root.parent, "flat.tif", image=np.ones((10, 30), np.float32))
    monkeypatch.chdir(root)
    assert refusal(**changes) == f"images: in {root}, {sentence}"
    # Without headers there is nothing to tell it by.
    for path in root.iterdir():
        path.write_bytes(b"no image")
    assert look(**changes).unfit == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"segment": "gfp", "z": 2, "measure": {"channels": ["DAPI", 1]}},
        {"preprocess": {"combine": {"DAPI": 1, "1": 0.5}}},
        {"preprocess": {"crop": {"x": 10, "y": 0, "width": 20, "height": 20}}},
        {"diameter": "12 um", "pixel_size_um": 0.5},
        # What finds nuclei is not asked for where they were found elsewhere.
        {"diameter": "12 um", "preprocess": {"combine": {"RFP": 1}}, "labels": "../seen"},
        # The flat field of another channel than that with the nuclei.
        {"illumination": FLAT | {"flat_field": {"path": {"GFP": "../flat.tif"}}}},
        {"illumination": FLAT, "segment": "GFP", "channels": ["x", "GFP"]},
    ],
)
def test_config_that_fits_the_headers_is_not_refused(look, root, monkeypatch, changes):
    write(root, "1.ome.tif", **TWO)
    write(root.parent / "seen", "1.ome.tif")
    write(root.parent, "flat.tif", image=np.ones((20, 30), np.float32))
    monkeypatch.chdir(root)
    found = look(**changes)
    assert (found.images, found.unfit) == (1, {})


def test_directories_whose_images_do_not_fit_are_named(look, root):
    write(root, "a/1.tif", "b/1.tif")
    write(root, "c/1.ome.tif", "d/1.ome.tif", **TWO)
    found = look(segment="GFP")
    why = "there is no channel GFP, the image has one: change segment"
    assert found.unfit == {"a": why, "b": why}
    assert f"; the images of 2 directories will fail, such as a: {why}" in found.summary()


def test_file_with_several_scenes_is_not_judged_by_the_largest(look, root):
    path = root / "1.ome.tif"
    with tifffile.TiffWriter(path) as file:
        for name, channels, size in (("overview", ["Grey"], 300), ("field", ["DAPI", "GFP"], 30)):
            image = np.zeros((len(channels), size, size), np.uint8)
            file.write(image, metadata={"axes": "CYX", "Name": name, "Channel": {"Name": channels}})
    (kind,) = look(segment="GFP").kinds()
    assert kind == "300 x 300 pixels of uint8, 1 channel (Grey), 2 scenes"


def test_directory_of_which_some_images_fit_is_not_refused(look, root):
    write(root, "1.tif", image=np.zeros((200, 300), np.uint16))
    write(root, *(f"{index}.ome.tif" for index in range(2, 9)), **TWO)
    assert look(segment="GFP").unfit == {}


def test_channels_of_an_incomplete_field_do_not_count(look, root):
    write(root, *FIELDS)
    (root / "B01_s1_w2.tif").unlink()
    found = look(channels=["DAPI", "GFP"])
    assert [image.problem != "" for image in images(found)] == [False, False, True]


# Plate maps


PLATE = ["well,dose", "A1,0.5", "A2,1", "B1,2"]


def test_plate_map_is_joined_to_every_image(look, root, tmp_path):
    write(root, *FIELDS)
    path = text(tmp_path / "map.csv", *PLATE)
    found = look(metadata={"plate_map": path}, segment="1")
    assert found.images == 3
    assert len(found.plate_map) == 32
    text(tmp_path / "map.csv", *PLATE[:3], "B1,3")
    other = look(metadata={"plate_map": path}, segment="1")
    assert other.plate_map != found.plate_map
    assert other.batches == found.batches
    assert look(segment="1").plate_map == ""


def test_plate_map_may_say_more_than_there_is(look, root, tmp_path):
    write(root, *FIELDS)
    path = text(tmp_path / "map.csv", *PLATE, "H12,9")
    assert look(metadata={"plate_map": path}, segment="1").images == 3


@pytest.mark.parametrize(("folder", "shown"), [("", ""), ("day 1/", "day 1/")])
def test_well_that_the_plate_map_lacks_is_named_with_a_file(refusal, root, tmp_path, folder, shown):
    write(root, *(folder + name for name in FIELDS))
    path = text(tmp_path / "map.csv", *PLATE[:2], PLATE[3])
    assert refusal(metadata={"plate_map": path}, segment="1") == (
        f"{path} has no row for well A02 ({shown}A02_s1_w1.tif), add one"
    )


def test_plate_and_well_are_both_named(refusal, look, root, tmp_path):
    write(root, *(f"p{plate}_A01_s1_w1.tif" for plate in (1, 2)))
    path = text(tmp_path / "map.csv", "barcode,well,dose", "p1,A1,5")
    assert refusal(metadata={"plate_map": path}) == (
        f"{path} has no row for plate p2 and well A01 (p2_A01_s1_w1.tif), add one"
    )
    text(tmp_path / "map.csv", "barcode,well,dose", "p1,A1,5", "p2,A1,7")
    assert look(metadata={"plate_map": path}).images == 2


def test_plate_map_needs_names_that_tell_wells(refusal, root, tmp_path):
    write(root, "day 1/1.tif")
    path = text(tmp_path / "map.csv", *PLATE)
    assert refusal(metadata={"plate_map": path}) == (
        f"{path}: the name of day 1/1.tif tells no well to join by: set metadata.pattern"
    )


def test_images_that_fail_anyway_need_no_row(look, root, tmp_path):
    write(root, *FIELDS, "overview.tif")
    (root / "B01_s1_w2.tif").unlink()
    path = text(tmp_path / "map.csv", *PLATE[:3])
    metadata = {"plate_map": path, "pattern": "imagexpress"}
    found = look(metadata=metadata, segment="1")
    assert [image.name for image in images(found) if image.problem] == ["B01_s1", "overview"]


DOSES = r"(?P<well>A\d\d)_(?P<dose>\d+)uM"


def test_column_that_both_plate_map_and_names_tell_is_refused(refusal, look, root, tmp_path):
    write(root, "A01_5uM.tif")
    path = text(tmp_path / "map.csv", "well,dose,drug", "A01,5,a")
    metadata = {"plate_map": path, "pattern": DOSES}
    assert refusal(metadata=metadata) == (
        f"{path}: the tables have a column dose already: rename that of the plate map, or name it "
        "in metadata.join"
    )
    assert look(metadata=metadata | {"join": ["well", "dose"]}).images == 1


def test_join_by_what_names_do_not_tell_is_refused(refusal, root, tmp_path):
    write(root, "A01_5uM.tif")
    path = text(tmp_path / "map.csv", "well,batch no,drug", "A01,5,a")
    metadata = {"plate_map": path, "pattern": DOSES, "join": ["well", "batch no"]}
    assert refusal(metadata=metadata) == (
        "config: metadata.join names batch no, which file names do not tell (they tell plate, "
        "well, site, time, dose): add a group of this name to metadata.pattern"
    )


@pytest.mark.parametrize(
    "column",
    [
        *("area", "bbox-1", "intensity_mean_DAPI", "label", "image", "pixel_size_um", "mask"),
        *("flags", "focus", "signal_to_noise_DAPI"),
    ],
)
def test_column_of_the_tables_is_refused_in_a_plate_map(refusal, root, tmp_path, column):
    write(root, *FIELDS)
    path = text(tmp_path / "map.csv", f"well,{column}", "A1,5")
    said = refusal(metadata={"plate_map": path}, segment="1")
    assert said.startswith(str(path)) and f" column {column}" in said and "rename" in said


@pytest.mark.parametrize("column", ["area", "intensity_mean_1", "mask", "channels"])
def test_column_of_the_tables_is_refused_in_file_names(refusal, root, column):
    write(root, "A01_5.tif")
    assert refusal(metadata={"pattern": f"A01_(?P<{column}>[0-9])"}) == (
        f"images: metadata.pattern tells a column {column}, which the tables have already: "
        "give it another name"
    )


@pytest.mark.parametrize(
    ("key", "change"),
    [("exclude", {"exclude": ["x"]}), ("metadata.pattern", {"metadata": {"pattern": "sbs"}})],
)
def test_what_concerns_directories_is_refused_with_a_sheet(refusal, tmp_path, key, change):
    path = text(tmp_path / "sheet.csv", "file", "a.tif")
    assert refusal(images=str(path), **change) == (
        f"config: {key} concerns a directory, and images is a sample sheet ({path}): "
        "say it in the sheet"
    )


def test_store_instead_of_its_directory_is_refused(refusal, root):
    store = root / "a.zarr"
    store.mkdir()
    assert refusal(images=str(store)) == (
        f"images: {store} is an image or a plate itself: name the directory in which it lies"
    )


def test_wrong_plate_map_is_refused_with_its_own_sentence(refusal, root, tmp_path):
    write(root, *FIELDS)
    path = text(tmp_path / "map.csv", "well,dose", "A1,5", "A01,7")
    assert refusal(metadata={"plate_map": path}, segment="1") == (
        f"{path} lines 2 and 3 are both of well A01: remove one, or add a column that tells them "
        "apart to metadata.join"
    )


def test_controls_are_those_of_the_plate_map(look, root, tmp_path):
    write(root, *FIELDS)
    path = text(tmp_path / "map.csv", "well,control,dose", "A01,neg,0", "A02,pos,1.50", "B01,,3")
    options = {"segment": 1, "metadata": {"plate_map": path}}
    assert look(**options).controls == ("control", ("neg",), ("pos",), ("well",))
    chosen = {"column": "dose", "negative": 0, "positive": 1.5}
    assert look(**options, summary={"controls": chosen}).controls == (
        *("dose", ("0.0",), ("1.5",), ("well",)),
    )
    assert look(**options, summary={"controls": {"column": None}}).controls is None
    assert look(segment=1).controls is None


def test_controls_may_be_told_by_names(look, root):
    write(root, "neg_1.tif", "pos_1.tif", "x_1.tif")
    pattern = r"(?P<control>[a-z]+)_(?P<site>\d)"
    found = look(metadata={"pattern": pattern})
    assert found.controls == ("control", ("neg",), ("pos",), ("well",))


def test_controls_that_are_not_there_are_refused(refusal, root, tmp_path):
    write(root, *FIELDS)
    path = text(tmp_path / "map.csv", "well,drug", "A01,DMSO", "A02,x", "B01,x")
    options = {"segment": 1, "metadata": {"plate_map": path}}
    assert refusal(**options, summary={"controls": {"column": "Drug"}}) == (
        "config: summary.controls.column is Drug, which neither the plate map nor names tell "
        "(there are drug, plate, well, site, time), did you mean drug?"
    )
    chosen = {"column": "drug", "negative": "DMSO", "positive": "y"}
    assert refusal(**options, summary={"controls": chosen}) == (
        "config: summary.controls.positive is y, which is no value of the column drug: there are "
        "DMSO, x"
    )


@pytest.mark.parametrize("name", ["directory", "well", "drug", "image", "status", "dtype"])
def test_summary_may_be_by_any_column_of_images(look, root, tmp_path, name):
    write(root, *FIELDS)
    path = text(tmp_path / "map.csv", "well,drug", "A01,DMSO", "A02,x", "B01,x")
    look(segment=1, metadata={"plate_map": path}, summary={"group_by": ["plate", name]})


@pytest.mark.parametrize(
    ("name", "advice"),
    [("wells", ", did you mean well?"), ("area", ": name one of them")],
)
def test_summary_by_what_nothing_tells_is_refused(refusal, root, name, advice):
    write(root, *FIELDS)
    assert refusal(segment=1, summary={"group_by": [name]}) == (
        f"config: summary.group_by names {name}, which is no column of images.csv (there are "
        f"directory, batch, image, plate, well, site, time){advice}"
    )


def test_plate_map_is_read_from_home_or_here(schema, tmp_path, monkeypatch):
    text(tmp_path / "map.csv", *PLATE)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in ("~/map.csv", "map.csv"):
        found = read_plate_map(settings.load({"metadata": {"plate_map": path}}, schema))
        assert (found.path, found.rows) == (
            str(tmp_path / "map.csv"),
            {("A01",): 0, ("A02",): 1, ("B01",): 2},
        )
    assert read_plate_map(settings.load({}, schema)) is None
    with pytest.raises(
        SheetError,
        match=r"^config: metadata.plate_map: there is no file .*none\.csv, check the path$",
    ):
        read_plate_map(settings.load({"metadata": {"plate_map": "none.csv"}}, schema))


# Sample sheets


def test_sheet_is_read_and_its_files_looked_up(look, root):
    write(root, "a/1.tif", "a/2.tif", "b/3.tif", image=GREY[:10])
    path = text(
        root / "sheet.csv",
        "file,directory,image,channel,well,dose",
        "a/1.tif,p,x,DAPI,A1,5",
        "a/2.tif,p,x,GFP,A1,5",
        "b/3.tif,q,,DAPI,B2,7",
    )
    found = look(images=path)
    assert (found.path, found.root) == (path, str(root))
    assert found.columns == ("plate", "well", "site", "time", "dose")
    assert [(batch.directory, batch.folder) for batch in found.batches.values()] == [
        ("p", ""),
        ("q", ""),
    ]
    assert [(image.name, image.metadata) for image in images(found)] == [
        ("x", ("", "A01", "", "", "5")),
        ("3", ("", "B02", "", "", "7")),
    ]
    assert extents(found) == [Extent(0.0003, 1, 2, 2), Extent(0.0003, 1, 1)]
    assert found.channel_sets == {("DAPI", "GFP"): "p", ("DAPI",): "q"}


def test_sheet_that_is_wrong_is_refused_with_its_own_sentence(refusal, root):
    path = text(root / "sheet.tsv", "file\twell", "1.tif\tZ99")
    assert refusal(images=path) == (
        f"{path} line 2, column well: '99' is no column of a plate, columns are 1 to 48, correct it"
    )


def test_directory_that_is_named_like_a_sheet_is_one(look, root):
    write(root / "old.csv", "1.tif")
    assert look(images=str(root / "old.csv")).images == 1


def test_plate_map_is_joined_to_a_sheet(look, refusal, root, tmp_path):
    write(root, "a/1.tif")
    plate = text(tmp_path / "map.csv", *PLATE)
    path = text(root / "sheet.csv", "file,directory,well", "a/1.tif,a,A1")
    assert look(images=path, metadata={"plate_map": plate}).images == 1
    text(root / "sheet.csv", "file,directory,well", "a/1.tif,a,C1")
    assert refusal(images=path, metadata={"plate_map": plate}) == (
        f"{plate} has no row for well C01 (a/1.tif), add one"
    )


@pytest.mark.parametrize(
    ("columns", "changes", "sentence"),
    [
        (
            "site,dose",
            {},
            "{plate}: the tables have a column dose already: rename that of the plate map, or "
            "name it in metadata.join",
        ),
        (
            "site,drug",
            {},
            "{plate}: the sheet tells no well of a/1.tif to join by: write it",
        ),
        (
            "well,drug",
            {"join": ["well", "batch no"]},
            "config: metadata.join names batch no, which is no column of the sheet (there are "
            "plate, well, site, time, drug): add it",
        ),
    ],
    ids=["twice", "empty", "missing"],
)
def test_plate_map_that_does_not_fit_a_sheet_is_refused(
    refusal, root, tmp_path, columns, changes, sentence
):
    write(root, "a/1.tif")
    plate = text(tmp_path / "map.csv", "well,batch no,dose", "A1,7,5")
    path = text(root / "sheet.csv", f"file,{columns}", "a/1.tif,A1,x")
    metadata = {"plate_map": plate, **changes}
    assert refusal(images=path, metadata=metadata) == sentence.format(plate=plate)


def test_name_that_tells_a_column_of_a_chosen_family_is_refused(refusal, look, root):
    write(root, "A01_5.tif")
    pattern = {"pattern": r"(?P<well>A\d\d)_(?P<granularity_1>\d)"}
    said = refusal(metadata=pattern, measure={"families": ["granularity"]})
    assert said.startswith(
        "images: metadata.pattern tells a column granularity_1, which the tables"
    )
    assert look(metadata=pattern, measure={"families": ["texture"]}).columns[-1] == "granularity_1"


@pytest.mark.parametrize("column", ["area", "labels", "mask", "pixel_size_um"])
def test_name_that_tells_a_column_of_the_tables_is_refused(refusal, root, column):
    write(root, "A01_5.tif")
    assert refusal(metadata={"pattern": rf"(?P<well>A\d\d)_(?P<{column}>\d)"}) == (
        f"images: metadata.pattern tells a column {column}, which the tables have already: "
        "give it another name"
    )


def test_schema_of_sheets_comes_with_the_code():
    assert Path(survey.__file__).parents[2] / "schemas/sheet.schema.yaml" == SHEET_SCHEMA
    assert SHEET_SCHEMA.is_file()
