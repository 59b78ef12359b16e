"""Lengths and areas of the config, in pixels."""

import pytest

from nucleiflow import lengths
from nucleiflow.images import ImageError

RECORD = {
    "height": 100,
    "width": 200,
    "stated_pixel_size_um": 0.5,
    "stated_pixel_size_source": "OME",
}


@pytest.mark.parametrize(
    ("value", "power", "found"),
    [
        (12.0, 1, 12.0),
        (30, 2, 30.0),
        ("12 um", 1, 24.0),
        ("12um", 1, 24.0),
        ("12 \u00b5m", 1, 24.0),
        ("12 \u03bcm", 1, 24.0),
        (" .5 um ", 1, 1.0),
        ("1e1 um", 1, 20.0),
        ("50 um2", 2, 200.0),
        ("50 um^2", 2, 200.0),
        ("50 µm²", 2, 200.0),
    ],
)
def test_lengths_and_areas_in_pixels_of_half_a_micrometre(value, power, found):
    assert lengths.pixels(value, 0.5, power) == found


@pytest.mark.parametrize(
    ("value", "power", "unit"), [("12 um", 1, "pixels"), ("50 um2", 2, "square pixels")]
)
def test_micrometres_without_a_pixel_size_fail_the_image_in_one_sentence(value, power, unit):
    with pytest.raises(ImageError) as caught:
        lengths.pixels(value, None, power)
    assert str(caught.value) == (
        f"the config says {value}, and the image does not state the size of its pixels: set "
        f"pixel_size_um, or give {unit}"
    )
    assert lengths.pixels(7.0, None, power) == 7.0


@pytest.mark.parametrize(
    "text", ["", "um", "12", "12 nm", "12 um3", "-3 um", "0 um", "1e999 um", "a 12 um", "12 m"]
)
def test_other_texts_are_no_lengths(text):
    with pytest.raises(ValueError, match="is no length or area"):
        lengths.micrometres(text)


@pytest.mark.parametrize(("value", "power"), [("12 um", 2), ("12 um2", 1)])
def test_a_length_is_no_area(value, power):
    with pytest.raises(ValueError, match="is no"):
        lengths.pixels(value, 1.0, power)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("12.0 \u03bcm", "12 um"), ("012um", "12 um"), ("5e1 µm²", "50 um2"), ("0.1 um", "0.1 um")],
)
def test_one_spelling_stands_for_all(text, spelled):
    assert lengths.spelled(text) == lengths.spelled(spelled) == spelled


def test_only_micrometres_need_a_pixel_size():
    assert not lengths.needs_pixel_size("auto", 12.0, None, 3, "12 nm")
    assert lengths.needs_pixel_size(3, "12 um")


@pytest.mark.parametrize(
    ("shape", "asked", "crop", "side"),
    [
        ((100, 200), None, None, 0.5),
        ((100, 200), 0.3, None, 0.3),
        ((50, 100), None, None, 1.0),
        ((300, 600), 0.3, None, 0.1),
        ((10, 20), None, {"x": 0, "y": 0, "width": 20, "height": 10}, 0.5),
        ((5, 10), None, {"x": 0, "y": 0, "width": 20, "height": 10}, 1.0),
    ],
)
def test_side_of_a_pixel_grows_as_the_image_shrinks_and_crops_do_not_count(
    shape, asked, crop, side
):
    assert lengths.side_of_pixel(RECORD, shape, asked, crop) == pytest.approx(side, rel=1e-12)


def test_a_resolution_tag_is_believed_where_the_config_says_so():
    record = RECORD | {"stated_pixel_size_source": "TIFF resolution tag"}
    assert lengths.side_of_pixel(record, (100, 200)) is None
    assert lengths.side_of_pixel(record, (100, 200), "resolution_tag") == 0.5
    assert lengths.side_of_pixel({"height": 1, "width": 1}, (1, 1)) is None
