"""Whole runs on what microscopes leave: plates, channels, planes, times, sheets; the inventory."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from PIL import Image
from project import Project, nuclei
from pylibCZIrw import czi
from skimage.measure import regionprops_table

pytestmark = pytest.mark.long

SHAPES = ["area", "centroid-0", "centroid-1", "perimeter", "solidity"]


def test_plate_of_two_channels_with_its_plate_map(fresh: Project, data: Path):
    fresh.images = data / "sbs-plate"
    plate_map = data / "sbs-plate" / "1049_Metadata.csv"
    config = ["segment=2", "batch_size=9", f"metadata={{plate_map: {plate_map}}}"]
    output = fresh.snakemake("all", *config).stdout
    assert "24 images in 1 directory" in output
    assert "names read as sbs: 24 wells; 640 x 640 pixels of uint8, 2 channels (1, 2)" in output

    doses = dict.fromkeys(["01", "02"], 0) | {f"{column:02}": column - 2 for column in range(3, 13)}
    images = pd.read_csv(fresh.results / "images.csv")
    wells = [f"{row}{column}" for row in "AB" for column in doses]
    assert images["well"].tolist() == images["image"].tolist() == wells
    assert images["SBS_Doses"].tolist() == 2 * list(doses.values())
    assert images["ImageNumber"].tolist() == list(range(1, 25))
    assert (images["status"] == "ok").all()
    assert (images["channels"] == "1;2").all() and (images["segmented"] == 2).all()
    assert images["pixel_size_um"].isna().all()

    objects = pd.read_parquet(fresh.results / "objects.parquet")
    assert objects["SBS_Doses"].dtype == np.int64
    assert objects.groupby("well").size().tolist() == images["objects"].tolist()
    assert (objects["SBS_Doses"] == objects["well"].str[1:].map(doses)).all()
    assert objects.notna().drop(columns=["plate", "site", "time"]).all(axis=None)
    (summary,) = fresh.rows("summary.csv")
    assert (summary["images"], summary["objects"]) == ("24", str(len(objects)))
    for channel in (1, 2):
        values = objects[f"intensity_mean_{channel}"]
        assert float(summary[f"median_intensity_mean_{channel}"]) == values.median()
        # Wells of the map's column SBS_Controls that have images: -1 in columns 01 and 02, 1 in 12.
        medians = values.groupby(objects["well"]).median()
        low, high = medians[["A01", "A02", "B01", "B02"]], medians[["A12", "B12"]]
        factor = 1 - 3 * (low.std() + high.std()) / abs(low.mean() - high.mean())
        assert float(summary[f"zprime_intensity_mean_{channel}"]) == pytest.approx(factor)
        middle = 100 * (values.median() - low.median()) / (high.median() - low.median())
        assert float(summary[f"percent_intensity_mean_{channel}"]) == pytest.approx(middle)
    table = pd.read_csv(fresh.results / "report" / "plates" / "wells.csv")
    assert table["well"].tolist() == wells
    assert table["SBS_Doses"].tolist() == images["SBS_Doses"].tolist()
    assert table["objects_an_image"].tolist() == images["objects"].tolist()
    for channel in (1, 2):
        medians = objects.groupby("well")[f"intensity_mean_{channel}"].median()
        np.testing.assert_allclose(table[f"median_intensity_mean_{channel}"], medians, rtol=1e-6)
    # Doses on a logarithmic axis with 0 apart, of the count and of four measurements.
    curve = (fresh.results / "report" / "plates" / "dose_01.svg").read_text()
    texts = re.findall(r">([^<>\n]+)</text>", curve)
    assert texts.count("SBS_Doses") == 5
    assert texts[: texts.index("SBS_Doses")] == ["1", "2", "3", "5", "7", "10", "0"]
    assert {"negative control (4 wells)", "positive control (2 wells)"} <= set(texts)
    assert "median of intensity mean 1" in texts
    # Both channels, against scikit-image on the files themselves. Channel 2 shows nuclei.
    row = images[images["well"] == "B07"].iloc[0]
    labels = tifffile.imread(fresh.results / row["labels"])
    ours = objects[objects["well"] == "B07"]
    for channel in (1, 2):
        raw = tifffile.imread(fresh.images / f"Channel{channel}-19-B-07.tif")
        theirs = regionprops_table(labels, raw, properties=["intensity_mean", "intensity_max"])
        for name, values in theirs.items():
            np.testing.assert_allclose(ours[f"{name}_{channel}"], values, rtol=1e-12)
    assert (ours["intensity_mean_2"] > np.median(raw)).all()

    # What only concerns the tables runs no stage again.
    other = fresh.run / "map.tsv"
    other.write_text("Well\tdrug\n" + "".join(f"{well}\tnone\n" for well in wells))
    changed = [*config[:2], f"metadata={{plate_map: {other}}}"]
    assert fresh.stages_planned(*changed) == {}
    assert fresh.planned(*changed)["object_table"] == 1
    fresh.snakemake(*changed)
    assert {row["drug"] for row in fresh.rows("objects.csv")} == {"none"}


def test_plate_map_that_lacks_a_well_is_refused(fresh: Project, data: Path):
    fresh.images = data / "sbs-plate"
    path = fresh.run / "map.csv"
    path.write_text("well;dose\nA01;1\n")
    said = fresh.snakemake("segment=2", f"metadata={{plate_map: {path}}}", success=False).stdout
    assert f"nucleiflow: {path} has no row for well A02 (Channel1-02-A-02.tif), add one" in said
    assert "Traceback" not in said


def write_formats(folder: Path, image: np.ndarray) -> dict[str, tuple[str, str]]:
    """One field of nuclei in several formats; the time and the channels of each image."""
    dark, stain = np.zeros_like(image), image // 2
    tifffile.imwrite(folder / "plain.tif", image)
    # Of three planes the middle one holds the nuclei, which are the second channel.
    stack = np.stack([[stain, stain, stain], [dark, image, dark]])
    channels = {"Name": ["GFP", "DAPI"]}
    tifffile.imwrite(folder / "ome.ome.tif", stack, metadata={"axes": "CZYX", "Channel": channels})
    times = np.stack([[dark, image], [image, image]])
    tifffile.imwrite(folder / "movie.tif", times, imagej=True, metadata={"axes": "TZYX"})
    root = zarr.open_group(folder / "stored.zarr", mode="w", zarr_format=3)
    axes = [{"name": name, "type": "space"} for name in "yx"]
    axes.insert(0, {"name": "c", "type": "channel"})
    scale = [{"name": "multiscales", "axes": axes, "datasets": [{"path": "0"}]}]
    labels = [{"label": "DAPI"}, {"label": "GFP"}]
    root.attrs["ome"] = {"version": "0.5", "multiscales": scale, "omero": {"channels": labels}}
    root["0"] = np.stack([image, stain])
    with czi.create_czi(str(folder / "slide.czi")) as file:
        for time, channel in np.ndindex(2, 2):
            plane = (stain, image)[channel]
            file.write(plane[..., None], plane={"T": time, "C": channel})
        file.write_metadata(channel_names={0: "GFP", 1: "DAPI"}, scale_x=6.5e-7, scale_y=6.5e-7)
    eight = (image >> 4).astype(np.uint8)
    Image.fromarray(np.dstack([0 * eight, 0 * eight, eight])).save(folder / "blue.png")
    return {
        "blue": ("", "red;green;blue"),
        "movie_t0": ("0", ""),
        "movie_t1": ("1", ""),
        "ome": ("", "GFP;DAPI"),
        "plain": ("", ""),
        "slide_t0": ("0", "GFP;DAPI"),
        "slide_t1": ("1", "GFP;DAPI"),
        "stored": ("", "DAPI;GFP"),
    }


def test_the_same_field_in_other_formats_gives_the_same_nuclei(fresh: Project):
    image = nuclei(5)
    expected = write_formats(fresh.images, image)
    fresh.snakemake()
    rows = {row["image"]: row for row in fresh.rows("images.csv")}
    assert {name: (row["time"], row["channels"]) for name, row in rows.items()} == expected
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert rows["ome"]["planes"] == "3" and rows["movie_t0"]["planes"] == "2"
    assert rows["ome"]["segmented"] == rows["stored"]["segmented"] == "DAPI"
    sizes = {row["pixel_size_source"]: row["pixel_size_um"] for row in rows.values()}
    assert sizes == {"": "", "CZI": "0.65"}
    objects = pd.read_csv(fresh.results / "objects.csv")
    tables = {name: part.reset_index(drop=True) for name, part in objects.groupby("image")}
    for name in set(expected) - {"blue"}:
        pd.testing.assert_frame_equal(tables[name][SHAPES], tables["plain"][SHAPES])
        own = "intensity_sum" + ("_DAPI" if "GFP" in expected[name][1] else "")
        np.testing.assert_array_equal(tables[name][own], tables["plain"]["intensity_sum"])
    # Sixteen times darker, other thresholds may move an edge.
    assert len(tables["blue"]) == len(tables["plain"]) > 2
    assert (tables["blue"]["intensity_sum_red"] == 0).all()
    # What an image does not have is empty.
    assert tables["plain"][["intensity_mean_DAPI", "intensity_mean_blue"]].isna().all(axis=None)
    labels = tifffile.imread(fresh.results / rows["ome"]["labels"])
    means = [image[labels == label].mean() for label in range(1, labels.max() + 1)]
    np.testing.assert_allclose(tables["ome"]["intensity_mean_DAPI"], means, rtol=1e-12)
    # The sharpest plane of a stack instead of all of them is remembered by the later stages.
    path = fresh.run / "focus.yaml"
    path.write_text("z: focus\n")
    fresh.snakemake("--configfile", str(path))
    rows = {row["image"]: row for row in fresh.rows("images.csv")}
    assert (rows["ome"]["plane"], rows["plain"]["plane"]) == ("1", "0")
    again = pd.read_csv(fresh.results / "objects.csv")
    focused = again[again["image"] == "ome"].reset_index(drop=True)
    np.testing.assert_array_equal(focused["intensity_sum_DAPI"], tables["plain"]["intensity_sum"])


def write_plate(folder: Path) -> None:
    """Three fields of two channels as an ImageXpress writes them, and what lies beside."""
    folder.mkdir()
    for site in (1, 2, 3):
        for channel in (1, 2):
            tifffile.imwrite(folder / f"exp_B02_s{site}_w{channel}.tif", nuclei(site) // channel)
    tifffile.imwrite(folder / "exp_B02_s1_w1_thumb.tif", nuclei(1)[::4, ::4])
    (folder / "exp.HTD").write_text("the microscope's own")


def test_field_that_lacks_a_channel_fails_alone(fresh: Project):
    write_plate(fresh.images / "plate")
    (fresh.images / "plate" / "exp_B02_s2_w2.tif").unlink()
    sentence = "the file of channel 2 is missing, which other images of the directory have"
    output = fresh.snakemake("segment=1", "max_failed=0.4").stdout
    assert f"1 image will fail: plate/exp_B02_s2: {sentence}" in output
    assert "1 file set aside (companions of imagexpress)" in output
    found = [(row["image"], row["status"], row["message"]) for row in fresh.rows("images.csv")]
    assert found == [
        ("exp_B02_s1", "ok", ""),
        ("exp_B02_s2", "failed", sentence),
        ("exp_B02_s3", "ok", ""),
    ]
    assert {(row["well"], row["site"]) for row in fresh.rows("objects.csv")} == {
        ("B02", "1"),
        ("B02", "3"),
    }


NAMES = ((1, "DAPI"), (2, "GFP"))


def test_sample_sheet_instead_of_a_directory(fresh: Project):
    write_plate(fresh.images / "plate")
    lines = ["file;image;channel;well;dose"]
    lines += [f"plate/exp_B02_s{s}_w{c}.tif;f{s};{n};b2;{s}" for s in (1, 2) for c, n in NAMES]
    sheet = fresh.images / "sheet.csv"
    sheet.write_text("\n".join(lines))
    fresh.images = sheet
    output = fresh.snakemake().stdout
    assert "2 images in 1 directory" in output and "by the sheet: 1 well" in output
    objects = pd.read_csv(fresh.results / "objects.csv")
    assert set(objects["image"]) == {"f1", "f2"} and set(objects["well"]) == {"B02"}
    assert (objects["dose"] == objects["image"].str[1:].astype(int)).all()
    assert {"intensity_mean_DAPI", "intensity_mean_GFP"} < set(objects.columns)
    assert fresh.planned() == {}
    sheet.write_text(sheet.read_text().replace("f2;GFP;b2", "f2;GFP;b99"))
    said = fresh.snakemake("--dry-run", success=False).stdout
    assert f"nucleiflow: {sheet} line 5, column well: '99' is no column of a plate" in said


def test_inventory(fresh: Project):
    write_plate(fresh.images / "plate")
    (fresh.images / "plate" / "exp_B02_s2_w2.tif").unlink()
    (fresh.images / "plate" / "exp_B02_s3_w1.tif").write_bytes(b"II*\0")
    for _ in range(2):
        output = fresh.snakemake("inventory", "segment=1").stdout
        said = [line for line in output.splitlines() if "Traceback" in line]
        assert said == []
        page = output[output.index("nucleiflow: inventory of") :]
        for line in (
            r"images      3 in 1 directory, 1 batch",
            r"set aside   1 companions of imagexpress, such as plate/exp_B02_s1_w1_thumb.tif",
            r"left alone  1 file with other endings",
            r"well        B02",
            r"site        3: 1, 2, 3",
            r"channels    1 + 2 (1)",
            r"pixels      96 x 96 (1)",
            "missing     plate/exp_B02_s2: the file of channel 2 is missing, which other images of "
            "the directory have",
            "unreadable  plate/exp_B02_s3: the TIFF file is damaged or cut short, copy it again",
            " B  .  3  .",
        ):
            assert line in page, page
    rows = fresh.rows("inventory.csv")
    assert [(row["image"], row["status"], row["width"]) for row in rows] == [
        ("exp_B02_s1", "ok", "96"),
        ("exp_B02_s2", "incomplete", ""),
        ("exp_B02_s3", "unreadable", ""),
    ]
    assert rows[0]["files"] == "2"
    assert not (fresh.results / "preprocess").exists()


@pytest.mark.parametrize("name", ["imagexpress", "phenix"])
def test_real_files_of_microscopes(fresh: Project, data: Path, name: str):
    shutil.copytree(data / name, fresh.images / name)
    fresh.snakemake(f"segment={ {'imagexpress': 1, 'phenix': 5}[name] }")
    rows = fresh.rows("images.csv")
    found = [
        (
            row["image"],
            row["channels"],
            row["planes"],
            row["pixel_size_um"],
            row["well"],
            row["site"],
        )
        for row in rows
    ]
    assert (
        found
        == {
            "imagexpress": [
                (f"Projection-Mix_E07_s{site}", "1;2;3;4", "3", "1.3668", "E07", str(site))
                for site in (1, 2)
            ],
            "phenix": [("A01_s1_t1", "2;3;5", "1", "", "A01", "1")],
        }[name]
    )
    assert all(int(row["objects"]) > 10 for row in rows)
    assert {row["pixel_size_source"] for row in rows} <= {
        "MetaMorph",
        "TIFF resolution tag says 6.45036 µm, not used",
    }
