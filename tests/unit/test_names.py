"""What names of files and folders say: the presets, expressions of users, and wells."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleiflow import names
from nucleiflow.names import PRESETS, NamesError, Parsed, auto, by_config, nearest, normal, well

UUID = "E94C24BD-45E4-450A-9919-257C714278F7"
# UUIDs can begin with a digit, which is no part of the number of the wavelength.
DIGIT = "045200D6-DAE1-4224-AFDE-9EFD107D85EB"
# A path of each preset as microscopes write it, and what it says: directory, name, channel, z,
# plate, well, site, time and other columns.
SAMPLES = {
    "imagexpress": [
        (
            f"2023-02-21/1334/ZStep_2/Projection-Mix_E07_s1_w1{UUID}.tif",
            ("2023-02-21/1334", "Projection-Mix_E07_s1", "1", 2),
            ("Projection-Mix", "E07", "1", ""),
        ),
        (
            f"1334/Projection-Mix_E07_s2_w2{DIGIT}.tif",
            ("1334", "Projection-Mix_E07_s2", "2", None),
            ("Projection-Mix", "E07", "2", ""),
        ),
        (
            f"Projection-Mix_E07_s2_w12{DIGIT}.tif",
            (".", "Projection-Mix_E07_s2", "12", None),
            ("Projection-Mix", "E07", "2", ""),
        ),
        (
            f"25468/TimePoint_1/ZStep_20/CRC-104-10X_O18_s3_w1{UUID}.tif",
            ("25468/TimePoint_1", "CRC-104-10X_O18_s3_t1", "1", 20),
            ("CRC-104-10X", "O18", "3", "1"),
        ),
        (
            "TimePoint_03/20210819-p01-NJW_a01.TIF",
            ("TimePoint_03", "20210819-p01-NJW_A01_t3", "", None),
            ("20210819-p01-NJW", "A01", "", "3"),
        ),
        (
            f"IXMtest_A01_s1{UUID}.tif",
            (".", "IXMtest_A01_s1", "", None),
            ("IXMtest", "A01", "1", ""),
        ),
        (f"IXMtest_A01{UUID}.tif", (".", "IXMtest_A01", "", None), ("IXMtest", "A01", "", "")),
        ("AF48_w2.tif", (".", "AF48", "2", None), ("", "AF48", "", "")),
        (
            "timepoint1/PNC_n3_18T40670_t1_C05_s0_w0_z4.tif",
            ("timepoint1", "PNC_n3_18T40670_C05_s0_t1", "0", 4),
            ("PNC_n3_18T40670", "C05", "0", "1"),
        ),
        (
            "PNC_n3_18T40670_t1_C05_s0_w0_z4.tif",
            (".", "PNC_n3_18T40670_C05_s0_t1", "0", 4),
            ("PNC_n3_18T40670", "C05", "0", "1"),
        ),
    ],
    "phenix": [
        (
            "BR00116991/Images/r01c01f01p01-ch5sk1fk1fl1.tiff",
            ("BR00116991/Images", "A01_s1_t1", "5", 1),
            ("", "A01", "1", "1"),
        ),
        (
            "r16c24f144p05-ch10sk12fk1fl1.tiff",
            (".", "P24_s144_t12", "10", 5),
            ("", "P24", "144", "12"),
        ),
        ("R02C12F003P01-CH2.TIF", (".", "B12_s3", "2", 1), ("", "B12", "3", "")),
        ("r32c48f01p01-ch1sk1fk1fl1.tiff", (".", "AF48_s1_t1", "1", 1), ("", "AF48", "1", "1")),
    ],
    "incell": [
        (
            "p/A - 01(fld 01 wv DAPI - DAPI).tif",
            ("p", "A01_s1", "DAPI", None),
            ("", "A01", "1", ""),
        ),
        (
            "A - 01(fld 1 wv UV - DAPI z 3 time 2 - 2636ms).tif",
            (".", "A01_s1_t2", "UV - DAPI", 3),
            ("", "A01", "1", "2"),
        ),
        (
            "B - 02(fld 01 wv Blue - FITC - time 01 - 0 ms).tif",
            (".", "B02_s1_t1", "Blue - FITC", None),
            ("", "B02", "1", "1"),
        ),
        (
            "B - 4(fld 1 wv Cy3 - Cy3- time 3 - 7200000 ms).tif",
            (".", "B04_s1_t3", "Cy3", None),
            ("", "B04", "1", "3"),
        ),
        (
            "F - 001(fld 01 wv TL-Brightfield - DAPI).tif",
            (".", "F01_s1", "TL-Brightfield - DAPI", None),
            ("", "F01", "1", ""),
        ),
        (
            "P - 22(fld 4 wv TL-Phase Contrast - Cy3 wix 1).tif",
            (".", "P22_s4", "TL-Phase Contrast - Cy3", None),
            ("", "P22", "4", ""),
        ),
        (
            "Plate1_HA41_B - 01(fld 01 wv 390 - Blue).tif",
            (".", "Plate1_HA41_B01_s1", "390 - Blue", None),
            ("", "B01", "1", ""),
        ),
        ("A - 13(fld 2).tif", (".", "A13_s2", "", None), ("", "A13", "2", "")),
        ("A_01_f2_c1_xUV_mDAPI_z3_t2.tif", (".", "A01_s2_t2", "1", 3), ("", "A01", "2", "2")),
    ],
    "cellvoyager": [
        (
            "plate1/20170615-Kim2_C10_T0001F012L01A02Z03C04.tif",
            ("plate1", "20170615-Kim2_C10_s12_t1", "4", 3),
            ("20170615-Kim2", "C10", "12", "1"),
        ),
        (
            "AssayPlate_Greiner_#655090_C02_T0010F001L01A01Z01C01.png",
            (".", "AssayPlate_Greiner_#655090_C02_s1_t10", "1", 1),
            ("AssayPlate_Greiner_#655090", "C02", "1", "10"),
        ),
        ("B07_T0001F001L01A01Z01C01.TIFF", (".", "B07_s1_t1", "1", 1), ("", "B07", "1", "1")),
    ],
    "incucyte": [
        ("A1_1.tif", (".", "A1_1", "", None), ("", "A01", "1", "", "", "")),
        (
            "red/VID1_A1_2_2020y05m04d_12h30m.tif",
            ("red", "VID1_A1_2_2020y05m04d_12h30m", "", None),
            ("VID1", "A01", "2", "", "2020y05m04d_12h30m", ""),
        ),
        (
            "001_SUM159_AC_P24_16_01d06h00m.tif",
            (".", "001_SUM159_AC_P24_16_01d06h00m", "", None),
            ("", "P24", "16", "", "", "01d06h00m"),
        ),
        (
            "VID558_B10_6_00d00h00m.tif",
            (".", "VID558_B10_6_00d00h00m", "", None),
            ("VID558", "B10", "6", "", "", "00d00h00m"),
        ),
    ],
    "sbs": [
        ("1049/Channel1-01-A-01.tif", ("1049", "A01", "1", None), ("", "A01", "", "")),
        ("Channel2-96-H-12.BMP", (".", "H12", "2", None), ("", "H12", "", "")),
        ("Channel1-384-P-24.tif", (".", "P24", "1", None), ("", "P24", "", "")),
    ],
    "cellomics": [
        (
            "AS_09125_050116030001_D03f00d0.tif",
            (".", "AS_09125_050116030001_D03_s0", "0", None),
            ("AS_09125_050116030001", "D03", "0", ""),
        ),
        (
            "x/AS_09047_050428030001_O01f12d2.TIF",
            ("x", "AS_09047_050428030001_O01_s12", "2", None),
            ("AS_09047_050428030001", "O01", "12", ""),
        ),
        (
            "CARD-CelIns-CX7_260803130001_B02f100d1.png",
            (".", "CARD-CelIns-CX7_260803130001_B02_s100", "1", None),
            ("CARD-CelIns-CX7_260803130001", "B02", "100", ""),
        ),
    ],
    "micromanager": [
        (
            "2N4R-1/Pos0/img_000000000_DAPI_000.tif",
            ("2N4R-1/Pos0", "s0_t0", "DAPI", 0),
            ("", "", "0", "0"),
        ),
        (
            "x/1-Pos_000_002/img_000000012_561 nm_007.tif",
            ("x/1-Pos_000_002", "s1-Pos_000_002_t12", "561 nm", 7),
            ("", "", "1-Pos_000_002", "12"),
        ),
        (
            "A1-Site_3/img_000000000_Cy5_000.tif",
            ("A1-Site_3", "A01_s3_t0", "Cy5", 0),
            ("", "A01", "3", "0"),
        ),
        (
            "2019/img_000000000_State0 - Acquired Image_000.tif",
            ("2019", "t0", "State0 - Acquired Image", 0),
            ("", "", "", "0"),
        ),
        ("img_000000000__001.tif", (".", "t0", "", 1), ("", "", "", "0")),
        (
            "x/Default/img_channel001_position008_time000000029_z200.tif",
            ("x/Default", "s8_t29", "1", 200),
            ("", "", "8", "29"),
        ),
        (
            "img_channel000_position000_time000000000_z000.tif",
            (".", "s0_t0", "0", 0),
            ("", "", "0", "0"),
        ),
        ("d/beads_1_MMStack_Pos10.ome.tif", ("d", "beads_1_s10", "", None), ("", "", "10", "")),
        ("beads_1_MMStack_Default.ome.tif", (".", "beads_1", "", None), ("", "", "", "")),
        (
            "t_MMStack_2-Pos_001_003.ome.tif",
            (".", "t_s2-Pos_001_003", "", None),
            ("", "", "2-Pos_001_003", ""),
        ),
        ("d/t_MMStack_cell_1.tif", ("d", "t_cell_1", "", None), ("", "", "", "")),
        ("t_MMStack_H12-Site_0.ome.tif", (".", "t_H12_s0", "", None), ("", "H12", "0", "")),
    ],
}
COMPANIONS = {
    "imagexpress": [
        f"1334/Projection-Mix_E07_s1_w2_thumb{UUID}.tif",
        f"1334/ZStep_1/Projection-Mix_E07_s1_w2_thumb{DIGIT}.TIF",
        "A01_s1_w1_thumb.tif",
    ],
    "cellvoyager": ["p/DC_sCMOS #1_CAM1.tif", "SC_BP445-45_40x_M10_CH01.tif"],
    "micromanager": ["beads_1_MMStack_Pos0_1.ome.tif", "x/t_MMStack_1-Pos_000_001_12.ome.tif"],
}
# Names that people give, and of public datasets; none tells anything for certain.
PLAIN = [
    *("field_01.tif", "IMG_0001.png", "a.tif", "a01.tif", "A01.tif", "plate1_A01.tif", "a1_1.tif"),
    *("b1e3aeb0c562.png", "00071198d059.png", "a01f00d0.png", "d03f00d1.tif", "nuclei-opening.png"),
    *("12bit.cropped.tiff", "quad-tile.jpg.tiff", "minisblack-2c-8b-alpha.tiff", "sample_B2_3.tif"),
    *("Experiment-12.tif", "img_001.tif", "img_DAPI.tif", "DAPI/img1.tif", "Pos0/img.tif"),
    *("A_01_f2.tif", "control - 01.tif", "DC_motor.tif", "Channel1.tif", "r1c1.tif", "x.ome.tif"),
    *("2020-01-01/T01_C2.tif", "WE00020---B005--PO01--LO001--CO6--SL010.tif", "C1-01.tif"),
]


def expression(pattern, path):
    return by_config(pattern).parse(path)


def refusal(function, *arguments):
    with pytest.raises(NamesError) as caught:
        function(*arguments)
    text = str(caught.value)
    assert text.startswith("config: metadata.pattern ") and "\n" not in text
    return text


# Presets


@pytest.mark.parametrize(
    ("preset", "path", "expected", "metadata"),
    [(preset, *sample) for preset, samples in SAMPLES.items() for sample in samples],
)
def test_presets_read_what_microscopes_write(preset, path, expected, metadata):
    assert PRESETS[preset].parse(path) == Parsed(*expected, metadata)
    assert not PRESETS[preset].is_companion(path)
    assert auto([path]).name == preset


def test_every_preset_has_samples_and_columns():
    assert set(SAMPLES) == set(PRESETS)
    assert all(len(samples) >= 3 for samples in SAMPLES.values())
    standard = ("plate", "well", "site", "time")
    for name, naming in PRESETS.items():
        others = ("date", "elapsed") if name == "incucyte" else ()
        assert naming.columns == standard + others
        assert naming.joins == (name != "incucyte")


@pytest.mark.parametrize(("preset", "paths"), COMPANIONS.items())
def test_thumbnails_shading_images_and_continued_stacks_are_no_images(preset, paths):
    image = SAMPLES[preset][0][0]
    assert all(map(PRESETS[preset].is_companion, paths))
    assert auto([*paths, image]).name == preset


def test_thumbnails_alone_are_nothing_to_measure():
    assert auto(COMPANIONS["imagexpress"]) is None
    assert nearest(COMPANIONS["imagexpress"]) is None


@pytest.mark.parametrize("path", PLAIN)
def test_plain_names_match_no_preset(path):
    assert [name for name, naming in PRESETS.items() if naming.parse(path)] == []
    assert auto([path]) is None


def test_auto_takes_a_preset_only_where_it_explains_every_path():
    paths = [path for path, *_ in SAMPLES["phenix"]] * 10
    assert auto(paths).name == "phenix"
    assert auto([*paths, "overview.tif"]) is None
    assert auto([]) is None


def test_nearest_names_the_preset_of_most_and_counts_them():
    paths = [path for path, *_ in SAMPLES["imagexpress"]] + COMPANIONS["imagexpress"]
    naming, count = nearest([*paths, "overview.tif"])
    assert (naming.name, count) == ("imagexpress", 13)
    assert nearest([*paths, *("overview.tif",) * 13])[1] == 13
    assert nearest([*paths, *("overview.tif",) * 14]) is None
    assert nearest(PLAIN) is None
    assert nearest([]) is None


def test_nearest_counts_all_of_many_paths():
    paths = [f"r01c01f{site:04}p01-ch1.tiff" for site in range(5000)] + ["overview.tif"] * 4000
    assert nearest(paths)[1] == 5000


@pytest.mark.parametrize(
    ("folder", "preset", "images", "companions"),
    [
        ("imagexpress", "imagexpress", 2, 20),
        ("phenix", "phenix", 1, 0),
        ("sbs-plate", "sbs", 24, 0),
        ("cellprofiler-human", "cellomics", 1, 0),
        ("uneven-field", "cellomics", 12, 0),
        ("dsb2018", None, 0, 0),
        ("workshop", None, 0, 0),
        ("formats", None, 0, 0),
    ],
)
def test_real_folders(data, folder, preset, images, companions):
    root = data / folder
    endings = (".tif", ".tiff", ".png")
    paths = [path for path in root.rglob("*") if path.suffix.lower() in endings]
    paths = [path.relative_to(root).as_posix() for path in paths]
    assert len(paths) >= 3
    naming = auto(paths)
    assert (naming.name if naming else None) == preset
    if naming:
        aside = [path for path in paths if naming.is_companion(path)]
        fields = {naming.parse(path)[:2] for path in paths if path not in aside}
        assert (len(fields), len(aside)) == (images, companions)


def test_fields_of_a_real_imagexpress_plate(data):
    root = data / "imagexpress"
    paths = [path.relative_to(root).as_posix() for path in root.rglob("*.tif")]
    naming = PRESETS["imagexpress"]
    parsed = [naming.parse(path) for path in paths if not naming.is_companion(path)]
    assert {(told.directory, told.name) for told in parsed} == {
        ("2023-02-21/1334", "Projection-Mix_E07_s1"),
        ("2023-02-21/1334", "Projection-Mix_E07_s2"),
    }
    assert {told.channel for told in parsed} == {"1", "2", "3", "4"}
    assert {told.z for told in parsed} == {None, 1, 2, 3}
    parts = [told[:4] for told in parsed]
    assert len(set(parts)) == len(parts)


# Directory and name


@pytest.mark.parametrize(
    ("pattern", "path", "directory", "name", "channel"),
    [
        # Channels as folders: the field lies above them.
        (r"(?P<channel>DAPI|GFP)/", "x/DAPI/img1.tif", "x", "img1", "DAPI"),
        (r"(?P<channel>DAPI|GFP)/", "DAPI/img1.tif", ".", "img1", "DAPI"),
        (r"(?P<channel>DAPI|GFP)/", "DAPI/p1/img1.tif", ".", "p1-img1", "DAPI"),
        (r"(?P<channel>DAPI|GFP)", "x/day 1_DAPI/img1.tif", "x", "day 1_img1", "DAPI"),
        (r"(?P<channel>DAPI|GFP)", "x/DAPI_day 1/img1.tif", "x", "day 1-img1", "DAPI"),
        (r"(?P<channel>DAPI|GFP)/(?P<z>\d+)/", "x/GFP/007/img1.tif", "x", "img1", "GFP"),
        # Channels in the name of the file: what stands around is the field's.
        (r"(?P<channel>DAPI|GFP)", "x/s1_DAPI_day2.tif", "x", "s1_day2", "DAPI"),
        (r"_(?P<channel>ch\d\d)", "Series - 1_ch00.ome.tif", ".", "Series - 1_ome", "ch00"),
        (r"_(?P<channel>\d+)\.", "cells_007.tif", ".", "cells", "7"),
        (r"_(?P<channel>\d+)\.", "cells_000.tif", ".", "cells", "0"),
        (r"(?P<channel>\w+)\.", "embryo 1/DAPI.tif", "embryo 1", "embryo 1", "DAPI"),
        (r"(?P<channel>\w+)\.", "DAPI.tif", ".", "image", "DAPI"),
        # What the match covers without a group is left out.
        (r"_\d+_(?P<channel>\w)_x", "a_1234_C_x_b.tif", ".", "a_b", "C"),
        # No ending.
        (r"_(?P<channel>\d)", "v1.5/a_2_b", "v1.5", "a_b", "2"),
        # A group that took no part.
        (r"/(?P<site>\d)(_(?P<channel>\w+))?\.", "p/1.tif", "p", "s1", ""),
    ],
)
def test_fields_of_channels_in_folders_and_names(pattern, path, directory, name, channel):
    told = expression(pattern, path)
    assert told[:3] == (directory, name, channel)


def test_parts_of_a_name_stand_in_one_order():
    pattern = (
        r"(?P<time>\d+)h_(?P<drug>[a-z]+/?[a-z]*)_(?P<site>\d+)_(?P<plate>P\d+)_"
        r"(?P<row>\d+)-(?P<column>\d+)_(?P<dose>\d+)_(?P<channel>\w)_(?P<z>\d+)"
    )
    told = expression(pattern, "x/run 1_012h_dmso_03_P007_3-4_050_C_05-b.tif")
    assert told == Parsed(
        "x", "run 1_P007_C04_s3_t12_dmso_050_b", "C", 5, ("P007", "C04", "3", "12", "dmso", "050")
    )
    assert by_config(pattern).columns == ("plate", "well", "site", "time", "drug", "dose")


def test_a_plate_that_is_a_folder_is_no_part_of_the_name():
    told = expression(r"(?P<plate>[^/]+)/(?P<well>\w\d+)_(?P<channel>\d)", "d/P1/B2_1.tif")
    assert told == Parsed("d/P1", "B02", "1", None, ("P1", "B02", "", ""))


def test_a_group_in_a_folder_cannot_put_a_slash_into_the_name():
    told = expression(r"(?P<who>[^/]+/[^/]+)/(?P<channel>\w)", "ada/day 1/C.tif")
    assert told == Parsed("ada/day 1", "ada-day 1", "C", None, ("", "", "", "", "ada/day 1"))


def test_without_channel_and_plane_files_are_images_of_their_own_names():
    naming = by_config(r"(?P<well>[A-H]\d+)_(?P<day>\d+)")
    assert not naming.joins
    told = naming.parse("p/x_B3_007 a.ome.tif")
    assert told == Parsed("p", "x_B3_007 a.ome", "", None, ("", "B03", "", "", "007"))
    assert naming.parse("p/x.tif") is None


@given(st.lists(st.sampled_from(["x", "DAPI", "GFP", "a b", "z_01", "A01"]), min_size=1), st.data())
def test_every_file_lies_below_its_field(folders, draw):
    pattern = draw.draw(
        st.sampled_from(
            [r"(?P<channel>DAPI|GFP)", r"z_(?P<z>\d+)/.*(?P<channel>GFP)?", r"(?P<z>0)"]
        )
    )
    path = "/".join(folders) + ".tif"
    told = expression(pattern, path)
    if told:
        assert told.directory == "." or path.startswith(told.directory + "/")
        assert told.name and "/" not in told.name


# Wells


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, "A01") for text in ("A1", "a1", "A01", "a01", "A001", "A - 01", "A-1", "A 1")),
        *((text, "A12") for text in ("r01c12", "R1C12", "A_12", "A:12", " A12 ")),
        *(("H12", "H12"), ("P24", "P24"), ("AF48", "AF48"), ("af48", "AF48"), ("r27c01", "AA01")),
        *(("R12", "R12"), ("C3", "C03"), ("r32c48", "AF48")),
    ],
)
def test_wells_have_one_spelling(text, expected):
    assert well(text) == expected
    assert normal("well", text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "A", "12", "A0", "A49", "A100", "AG1", "BA1", "A1B", "r0c1", "r33c1", "r1c0", "Ä1", "A²"],
)
def test_what_is_no_well_is_refused(text):
    with pytest.raises(ValueError, match=r"is no (well|row|column)"):
        well(text)


def test_every_well_of_every_plate_stays_itself():
    wells = {
        names.well_at(str(row), str(column)) for row in range(1, 33) for column in range(1, 49)
    }
    assert len(wells) == 1536
    assert {well(text) for text in wells} == wells


def test_metadata_are_compared_in_one_form():
    assert normal("site", "007") == "7"
    assert normal("site", "000") == "0"
    assert normal("site", "1-Pos_000") == "1-Pos_000"
    assert normal("time", "0010") == "10"
    assert normal("plate", "007") == "007"
    assert [normal(column, "") for column in ("well", "site", "time", "plate")] == [""] * 4
    with pytest.raises(ValueError, match=r"'2\.5' is not a whole number"):
        normal("time", "2.5")


# What the config says


def test_the_config_names_a_preset_an_expression_or_nothing():
    assert by_config(None) is None
    assert by_config("phenix") is PRESETS["phenix"]
    naming = by_config(r"(?P<site>\d+)")
    assert (naming.name, naming.columns) == ("metadata.pattern", ("plate", "well", "site", "time"))
    assert not naming.is_companion("x_thumb.tif")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (
            "imagexpres",
            "'imagexpres' is no preset, did you mean imagexpress? (known: auto, phenix,",
        ),
        ("ImageXpress", "did you mean imagexpress?"),
        ("cell voyager", "did you mean cellvoyager?"),
        ("none", "'none' is no preset (known:"),
        ("(?P<well>[A-H", "is no regular expression (unterminated character set"),
        ("(?<well>[A-H]1)", "named groups are written (?P<well>...)"),
        ("(?P<well>a)(?P<well>b)", "redefinition of group name 'well'"),
        (r"([A-H]\d+)_s\d", "has no named group"),
        (r"(?P<row>[A-H])", "has a group row, add a group column to it"),
        (r"(?P<column>\d)", "has a group column, add a group row to it"),
        (r"(?P<well>\w)(?P<row>\w)(?P<column>\d)", "use either well or row and column"),
        (r"(?P<batch>\d)", "has a group batch, which is a column of the tables"),
        (r"(?P<Well>\w\d)", "has a group Well, write it well"),
        (r"(?P<Site>\w\d)", "has a group Site, write it site"),
    ],
)
def test_patterns_that_cannot_be_used_are_refused_in_a_sentence(pattern, expected):
    text = refusal(by_config, pattern)
    assert expected in text and repr(pattern) in text


@pytest.mark.parametrize("name", names.RESERVED)
def test_columns_of_the_tables_are_no_groups(name):
    assert f"has a group {name}, " in refusal(by_config, f"(?P<{name}>x)")


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (
            r"_(?P<well>\w+)\.",
            "p/x_A99.tif",
            "finds a wrong well in p/x_A99.tif: '99' is no column",
        ),
        (r"(?P<well>\w+)_", "12_1.tif", "wrong well in 12_1.tif: '12' is no well"),
        (r"(?P<row>\w)(?P<column>\w)_", "A0_1.tif", "wrong row and column in A0_1.tif: '0' is no"),
        (r"(?P<row>\w)(?P<column>\d)?_", "A_1.tif", "wrong row and column in A_1.tif: '' is no"),
        (
            r"_(?P<z>\w+)\.",
            "x_top.tif",
            "finds a wrong z in x_top.tif: 'top' is not a whole number",
        ),
        (r"_(?P<time>\w+)\.", "x_24h.tif", "wrong time in x_24h.tif: '24h' is not a whole number"),
    ],
)
def test_groups_that_hold_what_they_cannot_are_refused_with_the_path(pattern, path, expected):
    assert expected in refusal(by_config(pattern).parse, path)


def test_well_and_plane_that_took_no_part_are_unknown():
    pattern = r"^(?P<row>[A-H])?(?P<column>\d+)?_(z(?P<z>\d+))?(?P<channel>\w*)"
    assert expression(pattern, "_GFP.tif") == Parsed(".", "image", "GFP", None, ("",) * 4)


def test_patterns_of_presets_cover_the_whole_ending():
    for naming in PRESETS.values():
        path = next(path for path, *_ in SAMPLES[naming.name] if path.lower().endswith(".tif"))
        assert naming.parse(path + ".csv") is None
        assert naming.parse(path[:-4] + ".tif\n") is None
        assert isinstance(naming.pattern, re.Pattern)
