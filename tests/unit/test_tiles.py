"""Where large images are cut, and one record from those of their tiles."""

import numpy as np
import pytest

from nucleiflow import tiles

RECORD = {
    "image": "slide",
    "status": "ok",
    "stage": "",
    "message": "",
    "objects": 0,
    "seconds": {},
}


def cut(height=300, width=500, size=256, overlap=20):
    return tiles.cut((height, width), size, overlap)


def test_image_that_fits_is_not_cut():
    assert cut(256, 256) == []
    assert cut(1, 1) == []


def test_cores_cover_the_image_once_and_windows_reach_over_them():
    found = cut()
    seen = np.zeros((300, 500), int)
    for tile in found:
        core, window = tiles.part_of(tile["core"]), tiles.part_of(tile["window"])
        seen[core] += 1
        assert max(part.stop - part.start for part in core) <= 256
        assert all(w.start == max(c.start - 20, 0) for c, w in zip(core, window, strict=True))
        ends = zip(core, window, (300, 500), strict=True)
        assert all(w.stop == min(c.stop + 20, end) for c, w, end in ends)
    assert (seen == 1).all()
    assert len(found) == 4


def test_one_pixel_more_than_a_tile_gives_halves_and_not_a_strip_of_one_pixel():
    assert [tile["core"] for tile in cut(100, 257)] == [[0, 0, 100, 128], [0, 128, 100, 257]]


@pytest.mark.parametrize(
    ("asked", "diameter", "expected"),
    [
        (40, "auto", 40),
        ("auto", "auto", 128),
        ("auto", 60.5, 242),
        ("auto", 10, 128),
        ("auto", "12 um", 128),
    ],
)
def test_overlap_is_wider_than_nuclei(asked, diameter, expected):
    assert tiles.overlap_of(asked, diameter) == expected


def test_record_of_a_whole_image_stays_as_it_is():
    assert tiles.split(RECORD) == [RECORD]


def test_tiles_are_called_by_their_place_and_have_facts_of_their_own():
    record = RECORD | {"tiles": cut()}
    record["tiles"][1]["facts"] = {"diameter": 12.0}
    first, second, *_ = tiles.split(record)
    assert [first["image"], second["image"]] == ["slide_y0_x0", "slide_y0_x250"]
    assert first["whole"] == second["whole"] == "slide"
    assert "diameter" not in first
    assert second["diameter"] == 12.0
    assert second["window"] == [0, 230, 170, 500]
    assert tiles.shape_of(record) == (300, 500)


def parts_of(record, facts):
    parts = [part | found for part, found in zip(tiles.split(record), facts, strict=True)]
    for part in parts:
        part["seconds"]["threshold"] = 0.5
    return parts


def test_facts_of_an_image_from_those_of_its_tiles():
    record = RECORD | {"tiles": cut(256, 512, overlap=0)}
    quality = [
        {
            "image": {"objects": n, "foreground": share, "median_area": area, "border_share": at},
            "channels": {"DAPI": {"saturated": share, "focus": focus, "glare": 1.5}},
        }
        for n, share, area, at, focus in ((30, 0.2, 50.0, 0.1, 4.0), (10, 0.4, 70.0, 0.5, None))
    ]
    facts = [
        {"objects": 30, "dropped": "debris 3, min_area 1", "threshold": 10.0, "height": 256},
        {"objects": 10, "dropped": "debris 4", "threshold": 20.0, "height": 256},
    ]
    facts = [found | {"quality": each} for found, each in zip(facts, quality, strict=True)]
    found = tiles.joined(record, parts_of(record, facts), facts)
    assert found["objects"] == 40
    assert found["dropped"] == "debris 7, min_area 1"
    assert found["threshold"] == 15.0
    assert found["height"] == 256
    assert found["seconds"] == {"threshold": 1.0}
    image = found["quality"]["image"]
    assert image == {
        "objects": 40,
        "foreground": pytest.approx(0.3),
        "median_area": 60.0,
        # 3 and 5 objects of 40.
        "border_share": pytest.approx(0.2),
    }
    channel = found["quality"]["channels"]["DAPI"]
    assert channel == {"saturated": pytest.approx(0.3), "focus": 4.0, "glare": 3.0}
    # The next stage has them again.
    assert [part["threshold"] for part in tiles.split(found)] == [10.0, 20.0]


def test_what_was_dropped_in_overlaps_counts_by_the_share_of_cores():
    record = RECORD | {"tiles": cut(256, 512, overlap=128)}
    facts = [{"dropped": "debris 6"}, {"dropped": "debris 6"}]
    assert tiles.joined(record, parts_of(record, facts), facts)["dropped"] == "debris 8"


def test_image_of_which_a_tile_failed_has_failed_with_its_sentence():
    record = RECORD | {"tiles": cut()}
    parts = tiles.split(record)
    parts[2] |= {"status": "failed", "stage": "threshold", "message": "it is dark"}
    found = tiles.joined(record, parts, [{"objects": 1}, {}, {}, {}])
    assert (found["status"], found["stage"], found["message"]) == (
        "failed",
        "threshold",
        "it is dark",
    )
    assert all(part["status"] == "failed" for part in tiles.split(found))


def test_image_without_objects_has_no_median():
    record = RECORD | {"tiles": cut(256, 512)}
    facts = [{"objects": 0, "dropped": "", "threshold": None, "diameter": None}] * 2
    found = tiles.joined(record, parts_of(record, facts), facts)
    assert (found["objects"], found["dropped"], found["threshold"]) == (0, "", None)


def test_own_objects_of_a_tile_come_first():
    labels = np.array([[0, 7, 9], [3, 8, 700]], np.int32)
    small, numbers = tiles.local(labels, {"first": 7, "last": 9})
    np.testing.assert_array_equal(small, [[0, 1, 3], [4, 2, 5]])
    np.testing.assert_array_equal(numbers, [0, 7, 8, 9, 3, 700])
    np.testing.assert_array_equal(numbers[small], labels)
    assert small.dtype == np.int32


def test_tile_without_own_objects():
    small, numbers = tiles.local(np.array([[0, 4]], np.int32), {"first": 9, "last": 8})
    np.testing.assert_array_equal(small, [[0, 1]])
    np.testing.assert_array_equal(numbers, [0, 4])


def test_other_objects_get_the_numbers_of_their_nuclei_or_none():
    numbers = np.array([0, 7, 8, 3], np.int32)
    found = tiles.renumbered(np.array([[3, 7, 8, 5, 0, 99]], np.int32), numbers)
    np.testing.assert_array_equal(found, [[3, 1, 2, 0, 0, 0]])


def test_columns_of_places_are_moved_and_no_others():
    names = ["area", "bbox-0", "bbox-1", "bbox-2", "bbox-3", "centroid-0", "cells_centroid-1"]
    names += ["centroid_weighted-1_GFP", "centroid_local-0", "moments-0-1", "intensity_mean"]
    assert tiles.offsets(names, {"window": [100, 20, 300, 400]}) == {
        "bbox-0": 100,
        "bbox-1": 20,
        "bbox-2": 100,
        "bbox-3": 20,
        "centroid-0": 100,
        "cells_centroid-1": 20,
        "centroid_weighted-1_GFP": 20,
    }
