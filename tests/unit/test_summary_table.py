"""Medians, deviations, Z'-factors and normalised values, by hand."""

import csv
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import median_abs_deviation

import summary_table
from nucleiflow.columns import added
from nucleiflow.controls import Controls
from nucleiflow.derived import OURS
from nucleiflow.job import JobError

CONTROLS = Controls("control", ("neg",), ("pos",))
NEGATIVE_ONLY = Controls("control", ("neg",), ())
ROOT = math.sqrt(2)


def tables(folder, images, names=None, **measured):
    """images.csv and objects.parquet.

    `images` are dictionaries of cells; `values` are those of the objects of each, by default of
    the column area, or a list for each of the columns in `measured`.
    """
    rows, columns = [], {"batch": [], "image": [], **{name: [] for name in measured or ["area"]}}
    for index, cells in enumerate(images):
        cells = {"batch": "b", "image": f"i{index}", "status": "ok", "directory": "d", **cells}
        values = cells.pop("values", [])
        for value in values:
            columns["batch"].append(cells["batch"])
            columns["image"].append(cells["image"])
            for name, one in zip(measured or ["area"], value if measured else [value], strict=True):
                columns[name].append(one)
        rows.append({"plate": "", "well": ""} | cells)
    with (folder / "images.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    kinds = dict.fromkeys(columns, pa.float64()) | {"batch": pa.string(), "image": pa.string()}
    fields = [
        pa.field((names or {}).get(name, name), (kinds | measured)[name], metadata={OURS: name})
        for name in columns
    ]
    table = pa.table(list(columns.values()), schema=pa.schema(fields))
    pq.write_table(table, folder / "objects.parquet", row_group_size=3)


def summary(folder, group_by=("directory",), measurements="auto", controls=None, others=()):
    return summary_table.summary_table(
        folder / "images.csv",
        folder / "objects.parquet",
        group_by,
        measurements,
        controls,
        others,
    )


def column(table, name):
    """Values with None for what is missing."""
    return [None if pd.isna(value) else value for value in table[name]]


# Groups


def test_a_row_a_directory_in_the_order_of_the_images(tmp_path):
    images = [
        {"directory": "b", "values": [1, 2, 3, 4, 100]},
        {"directory": "b", "status": "failed"},
        {"directory": "a/c"},
        {"directory": "b", "values": [2]},
        {"directory": "Zürich, 1", "values": [7, 9]},
    ]
    tables(tmp_path, images)
    table = summary(tmp_path)
    assert table.columns.tolist() == [
        *("directory", "images", "failed", "objects", "median_area", "mad_area")
    ]
    assert table["directory"].tolist() == ["b", "a/c", "Zürich, 1"]
    assert table["images"].tolist() == [3, 1, 1]
    assert table["failed"].tolist() == [1, 0, 0]
    assert table["objects"].tolist() == [6, 0, 2]
    # 1, 2, 2, 3, 4, 100 lie 1.5, 0.5, 0.5, 0.5, 1.5, 97.5 from 2.5.
    assert column(table, "median_area") == [2.5, None, 8.0]
    assert column(table, "mad_area") == [1.0, None, 1.0]


def test_groups_are_of_any_columns_and_a_missing_value_is_one(tmp_path):
    images = [
        {"plate": "0012", "well": "A01", "dose": "0.5", "values": [1]},
        {"plate": "", "well": "A01", "dose": "0.5", "values": [3]},
        {"plate": "12", "well": "A01", "dose": "1", "values": [5]},
        {"plate": "0012", "well": "A02", "dose": "1", "values": [7]},
        {"plate": "", "well": "A01", "dose": "0.5", "values": [4]},
        {"plate": "NA", "well": "A01", "dose": "0.5", "values": [9]},
    ]
    tables(tmp_path, images)
    table = summary(tmp_path, ["plate", "well"])
    assert column(table, "plate") == ["0012", None, "12", "0012", "NA"]
    assert table["well"].tolist() == ["A01", "A01", "A01", "A02", "A01"]
    assert table["median_area"].tolist() == [1, 3.5, 5, 7, 9]
    assert summary(tmp_path, ["dose"])["median_area"].tolist() == [3.5, 6.0]
    assert summary(tmp_path, ["image"])["objects"].tolist() == [1] * 6


def test_flagged_and_excluded_images_are_counted_where_images_tell(tmp_path):
    images = [
        {"flags": "out_of_focus", "excluded": "True"},
        {"flags": "empty;debris", "excluded": "false"},
        {"flags": "", "excluded": ""},
        {"directory": "e", "flags": "", "excluded": "False"},
    ]
    tables(tmp_path, images)
    table = summary(tmp_path)
    assert table.columns.tolist()[1:6] == ["images", "failed", "flagged", "excluded", "objects"]
    assert table["flagged"].tolist() == [2, 0]
    assert table["excluded"].tolist() == [1, 0]


def test_values_that_are_missing_do_not_count(tmp_path):
    images = [
        {"directory": "a", "values": [None, 1, math.nan, 5]},
        {"directory": "b", "values": [None]},
    ]
    tables(tmp_path, images)
    table = summary(tmp_path)
    assert table["objects"].tolist() == [4, 1]
    assert column(table, "median_area") == [3.0, None]
    assert column(table, "mad_area") == [2.0, None]


def test_no_object_at_all_leaves_medians_empty(tmp_path):
    images = [{"control": "neg"}, {"control": "pos"}]
    tables(tmp_path, images)
    table = summary(tmp_path, controls=CONTROLS)
    assert table["objects"].tolist() == [0]
    names = ["median_area", "mad_area", "percent_area", "zprime_area", "zprime_robust_area"]
    assert table.columns.tolist()[4:] == names
    assert table[names].isna().all(axis=None)


def test_medians_are_those_of_other_libraries(tmp_path):
    random = np.random.default_rng(5)
    images = [
        {"directory": f"d{random.integers(7)}", "values": list(random.normal(size=count))}
        for count in random.integers(0, 30, 60)
    ]
    tables(tmp_path, images)
    table = summary(tmp_path).set_index("directory")
    for directory in table.index:
        chosen = [each["values"] for each in images if each["directory"] == directory]
        values = np.concatenate(chosen)
        assert table.loc[directory, "median_area"] == np.median(values)
        assert table.loc[directory, "mad_area"] == median_abs_deviation(values)


def test_many_images_are_read_in_several_pieces(tmp_path):
    # images.csv is read by the megabyte, and each piece numbers its texts anew.
    count = 30_000
    name = "a long name of a directory that takes some room in the file of images"
    images = [
        {"directory": f"{name} {index // 100}", "values": [index] if index % 9 == 0 else []}
        for index in range(count)
    ]
    tables(tmp_path, images)
    assert (tmp_path / "images.csv").stat().st_size > 2_500_000
    table = summary(tmp_path)
    assert table["directory"].tolist() == [f"{name} {index}" for index in range(count // 100)]
    assert table["images"].tolist() == [100] * 300
    expected = [
        np.median([i for i in range(n * 100, n * 100 + 100) if i % 9 == 0]) for n in range(300)
    ]
    assert table["median_area"].tolist() == expected


@pytest.mark.parametrize("block", [1, 7, 20])
def test_medians_are_taken_of_some_groups_at_a_time(tmp_path, monkeypatch, block):
    random = np.random.default_rng(6)
    images = [
        {
            **{
                "directory": f"d{random.integers(9)}",
                "plate": f"P{index % 3}",
                "well": f"W{index % 8}",
            },
            **{
                "control": ("neg", "pos", "x", "x")[index % 4],
                "values": list(random.normal(size=n)),
            },
        }
        for index, n in enumerate(random.integers(0, 9, 60))
    ]
    tables(tmp_path, images)
    expected = summary(tmp_path, controls=CONTROLS)
    assert expected.notna()[["median_area", "percent_area"]].all(axis=None)
    monkeypatch.setattr(summary_table, "BLOCK", block)
    pd.testing.assert_frame_equal(summary(tmp_path, controls=CONTROLS), expected)


def test_columns_are_read_one_after_the_other(tmp_path, monkeypatch):
    kinds = {"area": pa.int64(), "eccentricity": pa.float64(), "intensity_mean": pa.float64()}
    tables(tmp_path, [{"values": [(index, 0.5, 1.0) for index in range(5)]}], **kinds)
    read = []
    original = pq.ParquetFile.read_row_group

    def watched(self, index, columns):
        read.append((index, *columns))
        return original(self, index, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    assert summary(tmp_path)["median_area"].tolist() == [2]
    groups = [("batch", "image"), ("area",), ("eccentricity",), ("intensity_mean",)]
    assert read == [(index, *columns) for columns in groups for index in (0, 1)]


# Measurements


MEASURED = {
    name: pa.float64()
    for name in (
        *("area", "area_um2", "moments_hu-0", "moments_hu-1", "intensity_mean_DAPI"),
        *("intensity_mean_GFP", "intensity_mean_corrected_GFP", "cells_intensity_mean_GFP"),
        *("cells_area", "ratio_n_GFP", "dose"),
    )
}


@pytest.mark.parametrize(
    ("measurements", "expected"),
    [
        ("auto", ["area", "intensity_mean_DAPI", "intensity_mean_GFP"]),
        ([], []),
        (["intensity_mean_GFP", "area"], ["intensity_mean_GFP", "area"]),
        (
            ["intensity_mean_GFP", "intensity_mean"],
            ["intensity_mean_GFP", "intensity_mean_DAPI"],
        ),
        (["cells_intensity_mean"], ["cells_intensity_mean_GFP"]),
        (["intensity_mean_corrected"], ["intensity_mean_corrected_GFP"]),
        (["moments_hu"], ["moments_hu-0", "moments_hu-1"]),
        (["area_um2", "cells_area"], ["area_um2", "cells_area"]),
        (["ratio_n"], ["ratio_n_GFP"]),
    ],
)
def test_a_property_stands_for_its_columns_of_all_channels(measurements, expected):
    others = added({"n": "intensity_mean / cells_intensity_mean"}, None)
    assert summary_table.chosen(measurements, MEASURED, others) == expected


@pytest.mark.parametrize("name", ["eccentricity", "intensity_mean_Cy3", "mean"])
def test_a_measurement_that_objects_lack_is_refused_in_a_sentence(name):
    with pytest.raises(JobError) as caught:
        summary_table.chosen([name], MEASURED)
    assert str(caught.value) == (
        f"config: summary.measurements names {name}, which objects do not have: there are area, "
        "area_um2, moments_hu, intensity_mean, intensity_mean_corrected, cells_intensity_mean, "
        "cells_area"
    )


def test_columns_under_cellprofilers_names_are_found_by_ours(tmp_path):
    theirs = {"area": "Nuclei_AreaShape_Area", "batch": "Metadata_Batch", "image": "Metadata_Image"}
    tables(tmp_path, [{"values": [1, 2, 6]}], theirs)
    assert summary(tmp_path, measurements=["area"])["median_area"].tolist() == [2]


def test_a_column_that_images_lack_is_refused_in_a_sentence(tmp_path):
    tables(tmp_path, [{"values": [1]}])
    with pytest.raises(JobError) as caught:
        summary(tmp_path, ["directory", "dose"])
    assert str(caught.value) == (
        f"config: summary names dose, which is no column of {tmp_path / 'images.csv'}: there are "
        "plate, well, batch, image, status, directory"
    )


def test_objects_of_unknown_images_are_refused_in_a_sentence(tmp_path):
    tables(tmp_path, [{"values": [1]}, {"values": [2]}])
    text = (tmp_path / "images.csv").read_text()
    (tmp_path / "images.csv").write_text("".join(text.splitlines(keepends=True)[:-1]))
    with pytest.raises(JobError) as caught:
        summary(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'objects.parquet'} has objects of images that are not in images.csv: remove "
        "both and run again"
    )


# Controls


def plate(name, shift=0, scale=1, **cells):
    """Two negative controls with medians 10 and 12, two positive ones with 30 and 34, a drug."""
    wells = {
        "A01": ("neg", [9, 10, 95]),
        "A02": ("neg", [12]),
        "B01": ("pos", [29, 31]),
        "B02": ("pos", [34, 34, 1]),
        "C01": ("drug", [21.5]),
    }
    return [
        {
            **{"plate": name, "well": well, "control": kind},
            "values": [value * scale + shift for value in values],
            **cells,
        }
        for well, (kind, values) in wells.items()
    ]


def test_z_prime_and_per_cent_of_a_plate(tmp_path):
    tables(tmp_path, plate("P"))
    table = summary(tmp_path, ["well"], controls=CONTROLS)
    # Means 11 and 32, standard deviations of two wells sqrt(2) and 2 sqrt(2).
    assert table["zprime_area"].tolist() == pytest.approx([1 - 3 * 3 * ROOT / 21] * 5)
    # Medians 11 and 32, absolute deviations from them 1 and 2.
    assert table["zprime_robust_area"].tolist() == pytest.approx([1 - 3 * 1.4826 * 3 / 21] * 5)
    expected = [(median - 11) / 0.21 for median in (10, 12, 30, 34, 21.5)]
    assert table["percent_area"].tolist() == pytest.approx(expected)
    assert expected[4] == pytest.approx(50)


def test_each_plate_is_compared_with_its_own_controls(tmp_path):
    tables(tmp_path, [*plate("P"), *plate("Q", shift=1000, scale=-5)])
    table = summary(tmp_path, ["plate", "control"], controls=CONTROLS)
    half = len(table) // 2
    assert table["median_area"][:3].tolist() == [11.0, 31.0, 21.5]
    for name in ("percent_area", "zprime_area", "zprime_robust_area"):
        assert table[name][:half].tolist() == pytest.approx(table[name][half:].tolist())
    assert table["percent_area"].tolist()[2] == pytest.approx(50)


def test_a_group_of_several_plates_is_normalised_by_plate_and_has_no_z_prime(tmp_path):
    tables(tmp_path, [*plate("P"), *plate("Q", shift=1000, scale=2)])
    table = summary(tmp_path, ["control"], controls=CONTROLS).set_index("control")
    # 21.5 of P and 1043 of Q are both half way.
    assert table.loc["drug", "median_area"] == (21.5 + 1043) / 2
    assert table.loc["drug", "percent_area"] == pytest.approx(50)
    assert table["zprime_area"].isna().all()


def test_negative_controls_alone_give_a_robust_z(tmp_path):
    tables(tmp_path, plate("P"))
    table = summary(tmp_path, ["well"], controls=NEGATIVE_ONLY)
    assert table.columns.tolist()[-1] == "robust_z_area"
    assert not [name for name in table if "zprime" in name or "percent" in name]
    expected = [(median - 11) / 1.4826 for median in (10, 12, 30, 34, 21.5)]
    assert table["robust_z_area"].tolist() == pytest.approx(expected)


def test_images_of_a_well_are_one_well(tmp_path):
    images = plate("P")
    split = [
        {**each, "values": [value], "site": str(site)}
        for each in images
        for site, value in enumerate(each["values"])
    ]
    tables(tmp_path, images)
    whole = summary(tmp_path, ["plate"], controls=CONTROLS)
    tables(tmp_path, split)
    parts = summary(tmp_path, ["plate"], controls=CONTROLS)
    assert parts.drop(columns="images").equals(whole.drop(columns="images"))


@pytest.mark.parametrize(
    ("values", "percent", "robust_z"),
    [
        # Controls that do not differ say nothing.
        ({"neg": [5, 5], "pos": [5, 5]}, None, None),
        ({"neg": [5, 7], "pos": [6, 6]}, None, 4 / 1.4826),
        # One well of each is enough to normalise, and too little for a spread.
        ({"neg": [5], "pos": [15]}, 50, None),
        ({"neg": [], "pos": [1, 2]}, None, None),
        ({"neg": [5, 7], "pos": []}, None, 4 / 1.4826),
    ],
)
def test_controls_that_say_nothing_leave_cells_empty(tmp_path, values, percent, robust_z):
    images = [
        {"well": f"{kind}{index}", "control": kind, "values": [value]}
        for kind, medians in values.items()
        for index, value in enumerate(medians)
    ]
    tables(tmp_path, [*images, {"well": "C01", "control": "x", "values": [10]}])
    both = summary(tmp_path, ["well"], controls=CONTROLS).iloc[-1]
    for name in ("zprime_area", "zprime_robust_area"):
        assert pd.isna(both.get(name))
    found = both.get("percent_area")
    assert pd.isna(found) if percent is None else found == pytest.approx(percent)
    alone = summary(tmp_path, ["well"], controls=NEGATIVE_ONLY).iloc[-1]
    found = alone["robust_z_area"]
    assert pd.isna(found) if robust_z is None else found == pytest.approx(robust_z)


def test_directories_are_plates_where_names_tell_none_and_each_has_controls(tmp_path):
    images = [*plate("", directory="a"), *plate("", shift=500, scale=3, directory="b")]
    tables(tmp_path, images)
    table = summary(tmp_path, ["directory", "control"], controls=CONTROLS)
    assert table["zprime_area"].tolist() == pytest.approx([1 - 3 * 3 * ROOT / 21] * 6)
    assert table["percent_area"].tolist()[2::3] == pytest.approx([50, 50])


def test_all_is_one_plate_where_a_directory_has_no_controls(tmp_path):
    images = plate("")
    images[-1]["directory"] = "other"
    tables(tmp_path, images)
    table = summary(tmp_path, controls=CONTROLS)
    assert table["zprime_area"].tolist() == pytest.approx([1 - 3 * 3 * ROOT / 21] * 2)
    assert table["percent_area"].tolist()[1] == pytest.approx(50)


def test_wells_of_directories_without_plates_are_not_mixed(tmp_path):
    # The same two wells twice: four wells of negative controls, with medians 10, 12, 20 and 22.
    images = [
        {"directory": folder, "well": well, "control": "neg", "values": [value]}
        for folder, well, value in (
            ("a", "A1", 10),
            ("a", "A2", 12),
            ("b", "A1", 20),
            ("b", "A2", 22),
        )
    ]
    images.append({"directory": "c", "well": "A1", "control": "x", "values": [16 + 1.4826 * 5]})
    tables(tmp_path, images)
    table = summary(tmp_path, controls=NEGATIVE_ONLY)
    assert table["robust_z_area"].tolist()[2] == pytest.approx(1)


def test_excluded_wells_have_no_objects_and_do_not_count(tmp_path):
    images = plate("P")
    tables(tmp_path, images)
    before = summary(tmp_path, controls=CONTROLS)
    broken = {"plate": "P", "well": "A03", "control": "neg", "excluded": "True"}
    tables(tmp_path, [*images, broken])
    after = summary(tmp_path, controls=CONTROLS)
    assert after["zprime_area"].equals(before["zprime_area"])
    assert after["excluded"].tolist() == [1]


@pytest.mark.parametrize(
    ("negative", "positive", "expected"),
    [
        ([10, 12], [30, 34], 1 - 3 * 3 * ROOT / 21),
        # Zhang's factor does not ask which is above.
        ([30, 34], [10, 12], 1 - 3 * 3 * ROOT / 21),
        ([0, 0, 0], [4, 4], 1.0),
        ([0, 2], [1, 1], None),
        ([0], [1, 2], None),
        ([0, 1], [], None),
    ],
)
def test_z_prime_by_hand(negative, positive, expected):
    values = np.array(negative, float), np.array(positive, float)
    found = summary_table.z_prime(*values, np.mean, summary_table._deviation)
    assert math.isnan(found) if expected is None else found == pytest.approx(expected)
