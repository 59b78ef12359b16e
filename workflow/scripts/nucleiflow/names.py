"""What the names of files and folders say: plate, well, site, channel, plane and time.

A naming is a regular expression with named groups. Those of common microscopes come with the
project, others are written by users.
"""

import difflib
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

# What every image has, whether its name tells or not.
STANDARD = ("plate", "well", "site", "time")
# Groups that become no column of their own: parts of an image and of a well.
PARTS = ("channel", "z", "row", "column")
# Columns of the tables that names may not take.
RESERVED = (
    *("directory", "batch", "image", "file", "status", "stage", "message"),
    *("objects", "label", "field"),
)
# Plates of 1536 wells have 32 rows, A to AF, and 48 columns.
ROWS = (*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "AA", "AB", "AC", "AD", "AE", "AF")
COLUMNS = 48
WELL = re.compile(r"([A-Z]{1,2})[\s_:-]*([0-9]+)|R([0-9]+)C([0-9]+)", re.ASCII | re.IGNORECASE)
SEPARATORS = "_-. "


class NamesError(ValueError):
    """What is wrong with metadata.pattern, in one sentence for its author."""


class Parsed(NamedTuple):
    """What the name of a file says.

    Attributes
    ----------
    directory : str
        That of the field, below the dataset with `/`; `.` for the dataset itself. The file lies
        in it, or deeper where folders are channels or planes.
    name : str
        Of the image: files of one directory and name are one image.
    channel : str
        Empty where the name tells none.
    z : int or None
    metadata : tuple of str
        In the order of `Naming.columns`, empty where the name tells nothing.
    """

    directory: str
    name: str
    channel: str
    z: int | None
    metadata: tuple[str, ...]


@dataclass(frozen=True)
class Naming:
    """How names are read.

    Attributes
    ----------
    name : str
        Of the preset, or `metadata.pattern`.
    pattern : re.Pattern
        Searched in the path of a file below the dataset, with `/`. Its groups are those of
        `STANDARD` and `PARTS` and any others.
    companions : re.Pattern or None
        Finds image files that are no images of their own: thumbnails, shading images.
    """

    name: str
    pattern: re.Pattern
    companions: re.Pattern | None = None

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the metadata: `STANDARD`, then other groups in the order of the pattern."""
        return STANDARD + tuple(
            group for group in self.pattern.groupindex if group not in (*STANDARD, *PARTS)
        )

    @functools.cached_property
    def joins(self) -> bool:
        """Whether a field can have several files, which then are one image."""
        return bool(self._parts)

    @functools.cached_property
    def _parts(self) -> tuple[str, ...]:
        return tuple(group for group in ("channel", "z") if group in self.pattern.groupindex)

    def is_companion(self, path: str) -> bool:
        """Whether a file is an image that belongs to others and is none to measure."""
        return self.companions is not None and self.companions.search(path) is not None

    def parse(self, path: str) -> Parsed | None:
        """What the path of a file below the dataset says, or None where it does not match.

        Where files are joined, the image's name is made of plate, well, site, time and other
        groups, and of what stands around the match; what the match covers outside of groups is
        left out. Otherwise it is the file's name without its ending.

        Raises NamesError where a group holds what it cannot: no well, or no whole number in
        `z` and `time`.
        """
        match = self.pattern.search(path)
        if match is None:
            return None
        texts = match.groupdict("")
        group = "row and column"
        try:
            if "row" in texts:
                row, column = texts["row"], texts["column"]
                texts["well"] = well_at(row, column) if row or column else ""
            for group in ("well", "site", "time"):
                if text := texts.get(group):
                    texts[group] = normal(group, text)
            group = "z"
            z = whole_number(texts["z"]) if texts.get("z") else None
        except ValueError as error:
            raise NamesError(
                f"config: metadata.pattern {self.name} finds a wrong {group} in {path}: {error}, "
                "correct the group or rename the file"
            ) from None
        metadata = tuple([texts.get(column, "") for column in self.columns])
        directory, name = self._place(path, match, metadata)
        return Parsed(directory, name, _without_zeros(texts.get("channel", "")), z, metadata)

    def _place(self, path: str, match: re.Match, metadata: tuple[str, ...]) -> tuple[str, str]:
        """Directory and name of the image that a file is part of."""
        base = path.rfind("/") + 1
        dot = path.rfind(".", base)
        stem = dot if dot > base else len(path)
        if not self.joins:
            return path[: base - 1] if base else ".", path[base:stem]
        top = base
        for group in self._parts:
            start, end = match.span(group)
            if start < top and start < end:
                # Folders of channels or planes lie below the field's directory.
                top = path.rfind("/", 0, start) + 1
        plate, well, site, time, *others = metadata
        if plate and match.start("plate") < base:
            plate = ""
        parts = (
            path[top : match.start()].rstrip(SEPARATORS + "/"),
            plate,
            well,
            f"s{site}" if site else "",
            f"t{time}" if time else "",
            *others,
            path[match.end() : stem].lstrip(SEPARATORS + "/"),
        )
        directory = path[: top - 1] if top else "."
        name = "_".join([part for part in parts if part]).replace("/", "-")
        if not name:
            name = directory.rpartition("/")[2] if top else "image"
        return directory, name


@functools.lru_cache(4096)
def normal(column: str, text: str) -> str:
    """A text of metadata in the form in which names, plate maps and sheets are compared.

    Wells become `A01`; sites that are numbers, and times, lose leading zeros. Raises ValueError
    where a well is none, or a time no whole number.
    """
    if not text:
        return ""
    if column == "well":
        return well(text)
    if column == "time":
        return str(whole_number(text))
    return _without_zeros(text) if column == "site" else text


def well(text: str) -> str:
    """A well as `A01` to `AF48`, from `a1`, `A - 01`, `r01c01` and the like.

    Raises ValueError where it is none.
    """
    match = WELL.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no well such as A01")
    return well_at(match[1] or match[3], match[2] or match[4])


@functools.lru_cache(4096)
def well_at(row: str, column: str) -> str:
    """The well in a row (`A` or `1`, `AF` or `32`) and column (`1`, `01`) of a plate.

    Raises ValueError where a plate has no such row or column.
    """
    number = int(row) if _is_number(row) else 0
    letters = ROWS[number - 1] if 0 < number <= len(ROWS) else row.upper()
    if letters not in ROWS:
        raise ValueError(f"{row!r} is no row of a plate, rows are A to AF or 1 to {len(ROWS)}")
    if not _is_number(column) or not 0 < int(column) <= COLUMNS:
        raise ValueError(f"{column!r} is no column of a plate, columns are 1 to {COLUMNS}")
    return f"{letters}{int(column):02d}"


def whole_number(text: str) -> int:
    """Digits as a number; raises ValueError where there is anything else."""
    if not _is_number(text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def by_config(pattern: str | None) -> Naming | None:
    """The naming that the config asks for: a preset's name, a regular expression, or none.

    Raises NamesError where it is neither, or where its groups cannot be used.
    """
    if pattern is None or pattern in PRESETS:
        return PRESETS.get(pattern)
    shown = f"config: metadata.pattern {pattern!r}"
    if re.fullmatch(r"[\w -]*", pattern):
        near = difflib.get_close_matches(pattern.lower(), PRESETS, 1)
        raise NamesError(
            f"{shown} is no preset{f', did you mean {near[0]}?' if near else ''} (known: auto, "
            f"{', '.join(PRESETS)}; or a regular expression with groups such as (?P<well>...))"
        )
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        hint = "named groups are written (?P<well>...)" if "(?<" in pattern else "correct it"
        raise NamesError(f"{shown} is no regular expression ({error}): {hint}") from None
    _check_groups(shown, list(compiled.groupindex))
    return Naming("metadata.pattern", compiled)


def auto(paths: Sequence[str]) -> Naming | None:
    """The first preset that explains every path, or None.

    Each must match or be a companion, and at least one match.
    """
    for naming in PRESETS.values():
        search, matched = naming.pattern.search, False
        for path in paths:
            if search(path) is not None:
                matched = True
            elif not naming.is_companion(path):
                break
        else:
            if matched:
                return naming
    return None


def nearest(paths: Sequence[str]) -> tuple[Naming, int] | None:
    """The preset that explains most paths, and how many, where that is at least half of them.

    It is what to ask about where `auto` found none.
    """
    # A look at some tells that none comes near, which is so for most datasets.
    sample = paths[:: 1 + len(paths) // 1000]
    best, most = None, 0
    for naming in PRESETS.values():
        if 4 * _explained(naming, sample) < len(sample):
            continue
        explained = _explained(naming, paths)
        if explained > most:
            best, most = naming, explained
    return (best, most) if best and 2 * most >= len(paths) else None


def _explained(naming: Naming, paths: Sequence[str]) -> int:
    """How many paths match or are companions; none where none matches."""
    search = naming.pattern.search
    others = [path for path in paths if search(path) is None]
    if len(others) == len(paths):
        return 0
    return len(paths) - len(others) + sum(map(naming.is_companion, others))


def _check_groups(shown: str, groups: list[str]) -> None:
    known = {*STANDARD, *PARTS, *RESERVED}
    if not groups:
        raise NamesError(
            f"{shown} has no named group, so that it tells nothing: write (?P<well>...) around "
            "what is the well, likewise for plate, site, time, channel or z"
        )
    for group in groups:
        if group in RESERVED:
            raise NamesError(
                f"{shown} has a group {group}, which is a column of the tables: "
                "give it another name"
            )
        if group not in known and group.lower() in known:
            raise NamesError(f"{shown} has a group {group}, write it {group.lower()}")
    if ("row" in groups) != ("column" in groups):
        one, other = ("row", "column") if "row" in groups else ("column", "row")
        raise NamesError(f"{shown} has a group {one}, add a group {other} to it")
    if "row" in groups and "well" in groups:
        raise NamesError(f"{shown} has groups well and row, use either well or row and column")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _without_zeros(text: str) -> str:
    return text.lstrip("0") or "0" if _is_number(text) else text


# Parts of the patterns of presets.
IMAGE = r"(?i:\.(?:tiff?|png|jpe?g|bmp))\Z"
ROW, COLUMN = r"(?:A[A-F]|[A-Z])", r"(?:0[1-9]|[1-3][0-9]|4[0-8])"
UUID = r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}"


def _preset(name: str, pattern: str, companions: str = "", flags: int = re.IGNORECASE) -> Naming:
    flags |= re.ASCII | re.VERBOSE
    return Naming(
        name, re.compile(pattern, flags), re.compile(companions, flags) if companions else None
    )


# The most specific first. A group stands in a pattern only once: where a microscope writes it in
# one of several places, the pattern looks ahead for it.
PRESETS = {
    naming.name: naming
    for naming in (
        # r01c02f03p04-ch5sk1fk1fl1.tiff: row, column, field, plane, channel, time (sk) of Opera
        # Phenix and Operetta (Harmony).
        _preset(
            "phenix",
            rf"""(?<![A-Z0-9]) r(?P<row>0[1-9]|[12][0-9]|3[0-2]) c(?P<column>{COLUMN})
            f(?P<site>\d{{1,4}}) p(?P<z>\d{{1,4}}) -ch(?P<channel>\d{{1,2}})
            (?:sk(?P<time>\d+) fk\d+ fl\d+)? {IMAGE}""",
        ),
        # PLATE_A01_T0001F001L01A01Z01C01.tif: time, field, time line, action, plane, channel of
        # Yokogawa CV7000 and CV8000; beside it the camera's dark (DC) and shading (SC) images.
        _preset(
            "cellvoyager",
            rf"""(?:^|/) (?:(?P<plate>[^/]*)_)? (?P<well>{ROW}{COLUMN})
            _T(?P<time>\d{{4}}) F(?P<site>\d{{3,4}}) L\d+ A\d+ Z(?P<z>\d{{2,3}})
            C(?P<channel>\d{{1,2}}) {IMAGE}""",
            rf"(?:^|/) [DS]C_ [^/]* {IMAGE}",
        ),
        # A - 01(fld 1 wv UV - DAPI z 3 time 2 - 2636ms).tif of the IN Cell Analyzer, and
        # A_01_f2_c1_xUV_mDAPI_z3_t2.tif from version 7.2 on. Excitation and emission tell
        # channels apart; where they have one name, that is the channel's.
        _preset(
            "incell",
            rf"""(?<![A-Z0-9]) (?P<row>{ROW}) (?:\ -\ |_) 0*(?P<column>[1-3][0-9]|4[0-8]|[1-9])
            (?:\(fld\ |_f(?=\d+_c\d+_x)) (?P<site>\d+)
            (?:(?:\ wv\ (?:([^()/]+)\ -\ (?=\4[\ )-]))?|_c) (?P<channel>[^()/]+?))?
            (?:\ wix\ \d+|_x[^/]*?_m[^/]*?)?
            (?:[\ _]z\ ?(?P<z>\d+))? (?:(?:\ ?-)?[\ _]t(?:ime\ )?(?P<time>\d+)(?:\ -\ \d+\ ?ms)?)?
            \)? {IMAGE}""",
        ),
        # PLATE_D03f00d0.tif: well, field, channel (dye) of Cellomics ArrayScan and CellInsight.
        _preset(
            "cellomics",
            rf"""(?:^|/) (?P<plate>[^/]+)_ (?P<well>{ROW}{COLUMN})
            f(?P<site>\d{{2,3}}) d(?P<channel>\d{{1,2}}) {IMAGE}""",
        ),
        # Channel1-01-A-01.tif: channel, number of the well, row, column of CellProfiler's plates.
        _preset(
            "sbs",
            rf"""(?<![A-Z0-9]) Channel(?P<channel>\d+) -\d{{2,4}} -(?P<row>{ROW})
            -(?P<column>{COLUMN}) {IMAGE}""",
        ),
        # Micro-Manager: POSITION/img_000000000_DAPI_000.tif of version 1.4 (time, channel, plane),
        # img_channel000_position000_time000000000_z000.tif of 2.0, NAME_MMStack_POSITION.ome.tif.
        # A position is Pos0, 1-Pos_000_000 of a grid or A1-Site_0 of a plate. Stacks of more than
        # 4 GB go on in files with a number at their end.
        _preset(
            "micromanager",
            rf"""(?:
              (?:^|/)
              (?=(?:[^/]*/)? img_ (?:channel\d+_position\d+_time)? (?P<time>\d{{9}})_)
              (?=(?:[^/]*/)? img_ (?:channel|\d{{9}}_) (?P<channel>[^/]*?)
                 (?:_position\d+_time\d{{9}}_z|_) (?P<z>\d{{3,}}) {IMAGE})
              (?:(?:[^/]*/)? img_channel\d+_position)?
            | _MMStack_ (?=[^/]+\.tiff?\Z))
            (?:(?:Pos|(?P<well>{ROW}\d{{1,2}})-Site_|(?<=_position)|(?=\d+-Pos_))
               (?P<site>\d+(?:-Pos_\d+_\d+)?) (?=/|_time|(?:\.ome)?\.tiff?\Z)
            | (?<=_MMStack_)Default(?=\.) | (?<=_MMStack_)(?=[^/]*\Z) | (?=[^/]*/?img_) )
            (?:[^/]*/)? (?:img_.*|_time.*|(?:\.ome)?\.tiff?\Z)?""",
            r"""_MMStack_ (?:Pos\d+|Default|[A-Z]+\d+-Site_\d+|\d+-Pos_\d+_\d+)
            _\d{1,2}\.ome\.tiff?\Z""",
        ),
        # TimePoint_1/ZStep_2/PLATE_A01_s1_w1UUID.tif of the ImageXpress (MetaXpress), where any of
        # folders, site, wavelength and UUID may be missing, but not all; thumbnails beside it.
        # timepoint0/PLATE_t0_A01_s0_w0_z0.tif of the ImageXpress HCS.ai.
        _preset(
            "imagexpress",
            rf"""(?:^|/)
            (?:(?=(?:TimePoint_?|(?:ZStep_\d+/)?[^/]*_t)(?P<time>\d+)[/_.])|)
            (?:TimePoint_?\d+/)?
            (?:(?=(?:ZStep_|[^/]*_z)(?P<z>\d+)[/_.])|)
            (?:ZStep_\d+/)?
            (?:(?P<plate>[^/]*?)_)?? (?:t\d+_)? (?P<well>{ROW}{COLUMN})
            (?(time)|(?(z)|(?=_[sw]\d|_?{UUID})))
            (?:_s(?P<site>\d+))? (?:_w(?P<channel>\d{{1,2}}?))?
            (?:_z\d+)? (?:_t\d+)? (?:_?{UUID})? {IMAGE}""",
            rf"_thumb (?:_?{UUID})? {IMAGE}",
        ),
        # VID1_A1_1_2020y05m04d_12h30m.tif of the Incucyte: vessel, well, site, and the date or
        # the time passed; any other name may stand for the vessel where a time follows.
        _preset(
            "incucyte",
            rf"""(?:(?:^|/)(?:(?P<plate>VID\d+)_(?:[^/]*_)?)?|_(?=[^/]*\dh\d\dm\.))
            (?P<well>[A-P](?:1[0-9]|2[0-4]|0?[1-9]))_(?P<site>\d{{1,3}})
            (?:_(?:(?P<date>\d{{4}}y\d\dm\d\dd_\d\dh\d\dm)|(?P<elapsed>\d{{2,3}}d\d\dh\d\dm)))?
            {IMAGE}""",
            flags=0,
        ),
    )
}
