"""Which images are controls: values of a column that the plate map, names or a sheet give."""

import difflib
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

# In any case, without what is between their letters: negative, Neg. control, negcon.
NEGATIVE = re.compile(r"neg(ative)?(con(trols?)?|ctrls?)?")
POSITIVE = re.compile(r"pos(itive)?(con(trols?)?|ctrls?)?")
SHOWN = 10

Value = str | float | bool


class Controls(NamedTuple):
    """Which images are controls.

    Attributes
    ----------
    column : str
        Of images.csv.
    negative, positive : tuple of str
        Its texts for controls; there may be no positive ones.
    wells : tuple of str
        Columns of images.csv that tell a well of a plate.
    """

    column: str
    negative: tuple[str, ...]
    positive: tuple[str, ...]
    wells: tuple[str, ...] = ("well",)


def find(
    texts: dict[str, Collection[str]], settings: dict, wells: Iterable[str] = ("well",)
) -> Controls | None:
    """The controls of a dataset; None where nothing tells of any.

    Parameters
    ----------
    texts : dict of collections of str
        The different texts of each column that may tell.
    settings : dict
        `summary: controls` of the config. -1 and 1, with 0 for what is no control, are how
        CellProfiler's CalculateStatistics wants negative and positive controls named.
    wells : iterable of str
        See `Controls`.

    Raises
    ------
    ValueError
        A sentence, where the column or the values that the config names are not there.
    """
    column, negative, positive = (settings[key] for key in ("column", "negative", "positive"))
    if column is None:
        return None
    if column == "auto":
        columns = [name for name in texts if "control" in name.lower()]
    elif column in texts:
        columns = [column]
    else:
        near = difflib.get_close_matches(column, texts, 1)
        raise ValueError(
            f"config: summary.controls.column is {column}, which neither the plate map nor names "
            f"tell (there are {', '.join(texts)})"
            + (f", did you mean {near[0]}?" if near else ": name one, or null")
        )
    for name in columns:
        found = Controls(
            name,
            _matching(texts[name], negative, NEGATIVE, -1),
            _matching(texts[name], positive, POSITIVE, 1),
            tuple(wells),
        )
        if found.negative and (found.positive or positive in ("auto", None)):
            return found
    if (column, negative, positive) in (("auto", "auto", "auto"), ("auto", "auto", None)):
        return None
    if not columns:
        raise ValueError(
            "config: summary.controls names values, but no column of the plate map has control in "
            "its name: set summary.controls.column"
        )
    (name, *_), key, value = columns, "negative", negative
    if _matching(texts[name], negative, NEGATIVE, -1):
        key, value = "positive", positive
    there = sorted(texts[name])
    more = " ..." if len(there) > SHOWN else ""
    raise ValueError(
        f"config: summary.controls.{key} is {value}, which is no value of the column {name}: there "
        f"are {', '.join(there[:SHOWN])}{more}"
    )


def _matching(
    texts: Collection[str], wanted: Value | list[Value] | None, word: re.Pattern, number: int
) -> tuple[str, ...]:
    """Texts of a column that are the wanted ones, or that convention calls so."""
    if wanted == "auto":
        if set(map(_number, texts)) <= {-1, 0, 1} and -1 in map(_number, texts):
            return tuple(text for text in texts if _number(text) == number)
        return tuple(text for text in texts if word.fullmatch(re.sub(r"[^a-z]", "", text.lower())))
    values = wanted if isinstance(wanted, list) else [] if wanted is None else [wanted]
    return tuple(text for text in texts if any(_same(text, str(value)) for value in values))


def _same(text: str, wanted: str) -> bool:
    number = _number(text)
    return text.lower() == wanted.lower() or (number is not None and number == _number(wanted))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
