"""Which pixel size is believed: the config's, the file's, never a printer's unless asked for."""

import pytest

from nucleiflow.pixel_size import pixel_size
from nucleiflow.readers import RESOLUTION_TAG

NOT_USED = "TIFF resolution tag says 84.6667 µm, not used"


@pytest.mark.parametrize(
    ("stated", "source", "asked", "expected"),
    [
        (None, "", None, ("", "")),
        (0.325, "OME", None, (0.325, "OME")),
        (1.3668, "MetaMorph", None, (1.3668, "MetaMorph")),
        (84.66666666, RESOLUTION_TAG, None, ("", NOT_USED)),
        (0.5, RESOLUTION_TAG, None, ("", "TIFF resolution tag says 0.5 µm, not used")),
        (0.5, RESOLUTION_TAG, "resolution_tag", (0.5, "TIFF resolution tag")),
        # What is better than the tag stays better.
        (0.325, "OME", "resolution_tag", (0.325, "OME")),
        (None, "", "resolution_tag", ("", "")),
        # A number in the config wins over everything.
        (0.325, "OME", 0.65, (0.65, "config")),
        (84.66666666, RESOLUTION_TAG, 0.65, (0.65, "config")),
        (None, "", 0.65, (0.65, "config")),
    ],
)
def test_pixel_size_and_where_it_comes_from(stated, source, asked, expected):
    assert pixel_size(stated, source, asked) == expected
