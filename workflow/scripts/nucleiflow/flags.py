"""What is wrong with an image, in sentences: from its numbers and those of its whole directory.

The numbers are those of `nucleiflow.quality` in the records of the stage measure. Limits are the
config's, or found without tuning: a number that no image in order has, and with enough images in
a directory what is far from most of them, in deviations of the median, with a least distance, as
the deviation of alike images is next to nothing.
"""

import csv
import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nucleiflow.columns import CHANNELS
from nucleiflow.spreadsheet import true_text

# The key of the config's section `qc` for each flag.
KEYS = {
    "out_of_focus": "focus",
    "saturated": "saturated",
    "empty": "empty",
    "too_crowded": "too_crowded",
    "debris": "debris",
    "uneven": "uneven",
}
FLAGS = tuple(KEYS)
# Columns of images.csv: those of an image, and those of each of its channels.
OF_IMAGE, JUDGED = (
    ("foreground", "median_area", "border_share", "debris"),
    ("flags", "flag_reasons", "excluded"),
)
OF_CHANNEL = tuple(column.name for column in CHANNELS)
# From so many images on, a directory tells what is usual in it.
ENOUGH = 8
# What is so many deviations from the median is not usual.
DEVIATIONS = 5
# Below this no image is in focus; nor less than about half (exp -0.6) of what is usual.
LEAST_FOCUS, FOCUS_SPREAD = 1.5, 0.12
MOST_SATURATED = 0.001
# So few nuclei, as a share of what is usual, are hardly any. What is found rises so many deviations
# of the noise above the background where there is nothing; in uneven light more, but then without
# a spectrum that falls.
HARDLY_ANY, NOTHING, UNEVEN_NOTHING = 0.05, 2.0, 3.0
# Nuclei that cover so much can hardly be told apart; where others cover less than half, so much.
MOST_FOREGROUND, MUCH_FOREGROUND, CROWDED_SPREAD = 0.5, 0.3, math.log(2) / DEVIATIONS
# A piece that was dropped counts as so much of a nucleus, if nuclei rise so many deviations of the
# noise above the background, so that it is none itself.
SPECK, CLEAR = 0.1, 5.0
# Dirt as large as so many nuclei, and a share of those there are, or what is not usual.
DIRT, DIRT_SHARE, DIRT_SPREAD = 2.0, 0.02, 0.2
# Ground half as bright where it is dark, if nuclei do not outshine the difference; and a fourth
# less than usual, if they do not do so by far.
LEAST_EVENNESS, LEAST_SPAN = 0.5, 0.3
EVEN_SPREAD, UNUSUAL_EVENNESS, UNUSUAL_SPAN = 0.06, 0.75, 0.05


class Usual(NamedTuple):
    """Of a number in a directory: median, and deviation as 1.4826 of the median deviation."""

    median: float
    deviation: float


@dataclass
class Seen:
    """What flags have to know of all images, batch by batch.

    Attributes
    ----------
    channels : dict with the names of all channels, in the order in which they were seen
    """

    channels: dict[str, None] = field(default_factory=dict)
    _numbers: dict[str, dict[str, array]] = field(default_factory=dict)

    def add(self, records: list[dict]) -> None:
        """Look at the records of a batch."""
        for record in records:
            of_directory = self._numbers.setdefault(record["directory"], {})
            self.channels |= dict.fromkeys(record.get("quality", {}).get("channels", ()))
            for name, value in _in_directory(numbers(record)).items():
                of_directory.setdefault(name, array("d")).append(value)

    def usual(self) -> dict[str, dict[str, Usual]]:
        """What is usual in each directory, of the numbers of which there are enough."""
        return {
            directory: {
                name: _usual(np.asarray(values))
                for name, values in of_directory.items()
                if len(values) >= ENOUGH
            }
            for directory, of_directory in self._numbers.items()
        }


@dataclass(frozen=True)
class Judge:
    """Gives the columns of quality of an image.

    Attributes
    ----------
    qc : dict
        That section of the config.
    channels : sequence of str
    usual : dict
        As of `Seen`.
    """

    qc: dict
    channels: Sequence[str] = ()
    usual: dict[str, dict[str, Usual]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Their names."""
        of_channels = [_suffixed(name, channel) for channel in self.channels for name in OF_CHANNEL]
        return [*OF_IMAGE, *JUDGED, *of_channels]

    def of_record(self, record: dict) -> dict:
        """Their values, empty where there are none."""
        row = dict.fromkeys(self.columns, "")
        quality = record.get("quality")
        found = {}
        if quality and record["status"] == "ok":
            known = quality["image"] | {"debris": dirt(record)}
            row |= {name: _shown(known[name]) for name in OF_IMAGE}
            for channel, of_channel in quality["channels"].items():
                row |= {_suffixed(name, channel): _shown(of_channel[name]) for name in OF_CHANNEL}
            found = flags(record, self.qc, self.usual.get(record["directory"], {}))
        excluded = not found.keys().isdisjoint(self.qc["exclude"])
        row |= {"flags": " ".join(found), "flag_reasons": "; ".join(found.values())}
        return row | {"excluded": "true" if excluded else "false"}


def numbers(record: dict) -> dict[str, float]:
    """What flags look at: numbers of the image and of its channel with the nuclei.

    Those of `nucleiflow.quality`, and `debris`. What is not known is left out, all of it of an
    image that failed. Where noise was taken for nuclei, there are no objects, and what looks like
    numbers of nuclei is left out.
    """
    quality = record.get("quality")
    if not quality or record["status"] != "ok":
        return {}
    known = {**_nuclear(record), **quality["image"], "debris": dirt(record)}
    known = {name: value for name, value in known.items() if value is not None}
    signal_to_noise = known.get("signal_to_noise", math.inf)
    spectrum_falls = known.get("power_slope", 0.0) < 0
    least = NOTHING if spectrum_falls else UNEVEN_NOTHING
    if signal_to_noise < least:
        return {"objects": 0, "signal_to_noise": signal_to_noise, "least": least}
    return known


def dirt(record: dict) -> float:
    """Dirt in an image, in areas of a nucleus: what glares, and a part for each dropped speck."""
    nuclear = _nuclear(record)
    specks = re.findall(r"(?:debris|min_area) (\d+)", record.get("dropped") or "")
    if (nuclear.get("signal_to_noise") or math.inf) < CLEAR:
        specks = []
    return round(SPECK * sum(map(int, specks)) + (nuclear.get("glare") or 0.0), 4)


def flags(record: dict, qc: dict, usual: dict[str, Usual]) -> dict[str, str]:
    """The flags of an image in the order of `FLAGS`, each with a sentence.

    Parameters
    ----------
    record : dict
        Of the image in its batch, with its `quality`.
    qc : dict
        That section of the config: for each key of `KEYS` a limit, `auto`, or None for off.
    usual : dict of Usual
        What is usual in its directory.
    """
    known, found = numbers(record), {}
    for flag, key in KEYS.items():
        if known and qc[key] is not None:
            limit = None if qc[key] == "auto" else qc[key]
            sentence = CHECKS[flag](record, known, limit, usual)
            if sentence:
                found[flag] = sentence
    return found


def excluded_images(path: Path) -> set[tuple[str, str]]:
    """Batch and name of the images in an images.csv that are kept out of the objects."""
    with path.open(newline="", encoding="utf-8") as file:
        return {
            (row["batch"], true_text(row["image"]))
            for row in csv.DictReader(file)
            if row["excluded"] == "true"
        }


# The checks: from a record, its numbers, a limit or None for `auto`, and what is usual in its
# directory to a sentence, or None where nothing is wrong.


def _out_of_focus(
    record: dict, known: dict, limit: float | None, usual: dict[str, Usual]
) -> str | None:
    if "focus" not in known:
        return None
    value, here = known["focus"], None
    if limit is None:
        limit = LEAST_FOCUS
        lowest = _far(usual.get("focus"), FOCUS_SPREAD, -1)
        if lowest is not None and math.exp(lowest) > limit:
            limit, here = math.exp(lowest), math.exp(usual["focus"].median)
    if value >= limit:
        return None
    return f"out of focus: the focus{_of(record)} is {value:.3g}, below {limit:.3g}{_here(here)}"


def _saturated(
    record: dict, known: dict, limit: float | None, usual: dict[str, Usual]
) -> str | None:
    limit = MOST_SATURATED if limit is None else limit
    channels = record["quality"]["channels"]
    over = {
        name: found["saturated"]
        for name, found in channels.items()
        if found["saturated"] is not None and found["saturated"] > limit
    }
    if not over:
        return None
    each = ", ".join(
        f"{_percent(share)} of the pixels{f' of {name}' if name else ''}"
        for name, share in over.items()
    )
    return f"saturated: {each} are at the top of the scale, more than {_percent(limit)}"


def _empty(record: dict, known: dict, limit: float | None, usual: dict[str, Usual]) -> str | None:
    value, here = known["objects"], None
    if value == 0 and limit != 0:
        if record["quality"]["image"]["objects"] == 0:
            return "empty: no nucleus was found"
        return (
            f"empty: what was found is noise, {known['signal_to_noise']:.3g} of its deviations "
            f"above the background, less than {known['least']:g}"
        )
    if limit is None:
        limit = 1
        if "objects" in usual and usual["objects"].median * HARDLY_ANY > limit:
            limit, here = usual["objects"].median * HARDLY_ANY, usual["objects"].median
    if value >= limit:
        return None
    return f"nearly empty: {value} nuclei were found, fewer than {limit:.3g}{_here(here)}"


def _too_crowded(
    record: dict, known: dict, limit: float | None, usual: dict[str, Usual]
) -> str | None:
    value, here = known.get("foreground", 0.0), None
    if limit is None:
        limit = MOST_FOREGROUND
        highest = _far(usual.get("foreground"), CROWDED_SPREAD, 1)
        if highest is not None and math.exp(highest) < limit:
            limit, here = max(math.exp(highest), MUCH_FOREGROUND), usual["foreground"].median
    if value <= limit:
        return None
    here = None if here is None else _percent(math.exp(here))
    return (
        f"too crowded: nuclei cover {_percent(value)} of the image, "
        f"more than {_percent(limit)}{_here(here)}"
    )


def _debris(record: dict, known: dict, limit: float | None, usual: dict[str, Usual]) -> str | None:
    value, here = known.get("debris", 0.0), None
    if limit is None:
        limit = DIRT + DIRT_SHARE * known["objects"]
        highest = _far(usual.get("debris"), DIRT_SPREAD, 1)
        if highest is not None and max(highest, DIRT) < limit:
            limit, here = max(highest, DIRT), usual["debris"].median
    if value <= limit:
        return None
    return f"debris: dirt that counts as {value:.3g} nuclei, more than {limit:.3g}{_here(here)}"


def _uneven(record: dict, known: dict, limit: float | None, usual: dict[str, Usual]) -> str | None:
    if "evenness" not in known:
        return None
    value, span, here = known["evenness"], known.get("span", 0.0), None
    if limit is None:
        if known.get("foreground", 0.0) > MUCH_FOREGROUND:
            # Between so many nuclei, what shines is theirs.
            return None
        limit = LEAST_EVENNESS if span > LEAST_SPAN else 0.0
        lowest = _far(usual.get("evenness"), EVEN_SPREAD, -1)
        if lowest is not None and span > UNUSUAL_SPAN:
            lowest = min(math.exp(lowest), UNUSUAL_EVENNESS)
            if lowest > limit:
                limit, here = lowest, _percent(math.exp(usual["evenness"].median))
    if value >= limit:
        return None
    return (
        f"uneven light: where the background{_of(record)} is dark, it is {_percent(value)} of what "
        f"it is where it is bright, less than {_percent(limit)}{_here(here)}"
    )


CHECKS = dict(
    zip(FLAGS, (_out_of_focus, _saturated, _empty, _too_crowded, _debris, _uneven), strict=True)
)
# Numbers that have a usual range in a directory, some of them as logarithms.
LOGARITHMS = ("focus", "foreground", "evenness")
PLAIN = ("objects", "debris")


def _in_directory(known: dict[str, float]) -> dict[str, float]:
    """What is compared to the other images of the directory."""
    found = {name: math.log(known[name]) for name in LOGARITHMS if known.get(name, 0) > 0}
    return found | {name: float(known[name]) for name in PLAIN if name in known}


def _usual(values: np.ndarray) -> Usual:
    median = float(np.median(values))
    return Usual(median, 1.4826 * float(np.median(np.abs(values - median))))


def _far(usual: Usual | None, least: float, sign: int) -> float | None:
    """What is no longer usual, above (1) or below (-1), with a least deviation."""
    if usual is None:
        return None
    return usual.median + sign * DEVIATIONS * max(usual.deviation, least)


def _nuclear(record: dict) -> dict:
    """The numbers of the channel with the nuclei, none where it was not measured."""
    channels = record["quality"]["channels"]
    return channels.get(record.get("segmented") or "", channels.get("", {}))


def _of(record: dict) -> str:
    return f" of {record['segmented']}" if record.get("segmented") else ""


def _here(usual: float | str | None) -> str:
    if usual is None:
        return ""
    return f" (usual in its directory: {usual if isinstance(usual, str) else f'{usual:.3g}'})"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _suffixed(name: str, channel: str) -> str:
    return f"{name}_{channel}" if channel else name


def _shown(value: float | None) -> float | str:
    return "" if value is None else value
