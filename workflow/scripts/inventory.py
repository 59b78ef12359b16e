"""The inventory: what every image is, from its headers, in a table and in a page of text."""

import functools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from nucleiflow.dataset import counted
from nucleiflow.field import File, Header, View, header, is_wanted
from nucleiflow.files import printable, replaced
from nucleiflow.images import ImageError
from nucleiflow.job import JobError, logged, tell
from nucleiflow.pixel_size import pixel_size
from nucleiflow.plan import Image, load
from nucleiflow.plate_map import PlateMap, read_plate_map
from nucleiflow.spreadsheet import write_rows
from nucleiflow.workers import Crash, in_processes

FACTS = (
    "files",
    "bytes",
    "scenes",
    "times",
    "channels",
    "planes",
    "height",
    "width",
    "dtype",
    "pixel_size_um",
    "pixel_size_source",
    "status",
    "message",
)
# Rows and columns of plates of 96, 384 and 1536 wells; others fit into these.
PLATES = ((8, 12), (16, 24), (32, 48))
# A well of these. OME-Zarr plates may call theirs otherwise.
WELL = re.compile(r"([A-Z]|A[A-F])(0[1-9]|[1-3]\d|4[0-8])")
# How many different values are listed before only the rest's number is told.
LISTED = 8


def rows(plan_path: Path, view: View, asked: float | str | None) -> list[dict]:
    """A row for each image of a batch.

    `status` is `ok`, `incomplete` where a file is missing or its name tells nothing, and
    `unreadable`; `message` says why. `asked` is the config's pixel size.
    """
    batch, _, root, columns = load(plan_path)
    result = []
    for image in batch.images:
        row = {"directory": batch.directory, "image": image.name, "file": image.files[0].path}
        row |= dict(zip(columns, image.metadata, strict=True))
        row |= {"files": len(image.files), "bytes": image.size, "status": "ok", "message": ""}
        result.append(row | _facts(image, root / batch.folder, view, asked))
    return result


def _facts(image: Image, folder: Path, view: View, asked: float | str | None) -> dict:
    if image.problem:
        return {"status": "incomplete", "message": image.problem}
    try:
        files = [File(file.path, file.channel, file.z) for file in image.files]
        found = header(folder, files, view)
        if any(file.channel or file.z is not None for file in files):
            # The config names the channels of a field, not those of each file.
            alone = replace(view, channels=None)
            for file in files[1:]:
                _compare(header(folder, [file], alone), found, file.path)
    except (ImageError, OSError) as error:
        return {"status": "unreadable", "message": str(error)}
    size, source = pixel_size(found.pixel_size_um, found.pixel_size_source, asked)
    wanted = [scene for scene in found.scenes if is_wanted(scene[0], view.scenes)]
    return {
        "scenes": ";".join(name for name, _ in wanted),
        "times": sum(times for _, times in wanted),
        "channels": ";".join(found.names),
        "planes": len(found.planes),
        "height": found.height,
        "width": found.width,
        "dtype": str(found.dtype),
        "pixel_size_um": size,
        "pixel_size_source": source,
    }


def _compare(part: Header, first: Header, path: str) -> None:
    """A file of a field must be as large as the first, or it will fail."""
    if (part.height, part.width) != (first.height, first.width):
        raise ImageError(
            f"{path} has {part.width} x {part.height} pixels, other files of the field have "
            f"{first.width} x {first.height}"
        )


def page(rows: Iterable[dict], dataset: dict, plate_map: PlateMap | None) -> str:
    """The inventory in words, one line a topic, with a grid for each plate.

    `dataset` is what was found before any header was read: `path`, `columns`, `naming`,
    `batches` (their number), `ignored`, `loops`, `set_aside` (by reason: number of files, first),
    and `mem_mb` of the largest batch.
    """
    counts = {name: Counter() for name in (*dataset["columns"], *FACTS, "directory", "size")}
    plates: dict[str, Counter] = {}
    problems: dict[str, list[str]] = {"incomplete": [], "unreadable": []}
    keys, images, number, files, size = set(), 0, 0, 0, 0
    for row in rows:
        number += 1
        files += row["files"]
        size += row["bytes"]
        images += row.get("times", 1)
        if row["status"] != "ok":
            place = "" if row["directory"] == "." else f"{row['directory']}/"
            problems[row["status"]].append(f"{place}{row['image']}: {row['message']}")
        else:
            counts["size"][f"{row['width']} x {row['height']}"] += 1
        for name, counter in counts.items():
            if row.get(name, "") != "":
                counter[row[name]] += 1
        if WELL.fullmatch(row["well"]):
            plates.setdefault(row["plate"] or row["directory"], Counter())[row["well"]] += 1
        if plate_map:
            keys.add(tuple(row[name] for name in plate_map.join))
    lines = []
    lines.append(("images", _images(images, number, counts["directory"], dataset["batches"])))
    aside = [f"{n:,} {why}, such as {file}" for why, (n, file) in dataset["set_aside"].items()]
    lines.append(("files", f"{files:,} of images, {size / 1e9:.3g} GB"))
    lines += [("set aside", text) for text in aside]
    if dataset["ignored"]:
        lines.append(("left alone", f"{counted(dataset['ignored'], 'file')} with other endings"))
    lines += [("not followed", f"{path}, which links back") for path in dataset["loops"]]
    if dataset["naming"]:
        lines.append(("names", f"read as {dataset['naming']}"))
    lines += [(name, _listed(counts[name])) for name in dataset["columns"] if counts[name]]
    for name, title in (
        ("channels", "channels"),
        ("scenes", "scenes"),
        ("planes", "planes"),
        ("times", "times"),
        ("size", "pixels"),
        ("dtype", "type"),
        ("pixel_size_um", "pixel size"),
        ("pixel_size_source", "stated by"),
    ):
        if counts[name]:
            lines.append((title, _listed(counts[name], number)))
    for status, title in (("incomplete", "missing"), ("unreadable", "unreadable")):
        found = problems[status]
        lines += [(title, text) for text in found[:LISTED]]
        if len(found) > LISTED:
            lines.append((title, f"and {len(found) - LISTED:,} more, see the table"))
    if plate_map:
        without = [" ".join(key) for key in plate_map.rows if key not in keys]
        text = f"{counted(len(plate_map.rows), 'row')} in {plate_map.path}"
        text += f", {len(without):,} of them without images: {_few(without)}" if without else ""
        lines.append(("plate map", text))
    lines.append(
        ("jobs", f"{dataset['batches']:,} on Slurm, the largest asks for {dataset['mem_mb']:,} MB")
    )
    width = max(len(title) for title, _ in lines)
    text = "\n".join(f"{title:<{width}}  {printable(line)}" for title, line in lines)
    grids = [grid(plate, wells) for plate, wells in sorted(plates.items())]
    return "\n\n".join([f"inventory of {dataset['path']}\n{text}", *grids]) + "\n"


def grid(plate: str, wells: dict[str, int]) -> str:
    """A plate as text: the number of images in each of its wells."""
    places = {}
    for well, count in wells.items():
        letters, column = WELL.fullmatch(well).groups()
        places[_row(letters), int(column)] = count
    height, width = max(row for row, _ in places), max(column for _, column in places)
    height, width = next(size for size in PLATES if size[0] >= height and size[1] >= width)
    cell = max(len(str(width)), *(len(str(count)) for count in places.values())) + 1
    lines = [f"plate {printable(plate)}".strip() + f": images in {counted(len(places), 'well')}"]
    lines.append("  " + "".join(f"{column:>{cell}}" for column in range(1, width + 1)))
    for row in range(1, height + 1):
        counts = (places.get((row, column), ".") for column in range(1, width + 1))
        lines.append(f"{_letters(row):>2}" + "".join(f"{count:>{cell}}" for count in counts))
    return "\n".join(lines)


def _row(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def _letters(row: int) -> str:
    return chr(ord("A") + row - 1) if row <= 26 else "A" + chr(ord("A") + row - 27)


def _images(images: int, entries: int, directories: Counter, batches: int) -> str:
    text = f"{images:,} in {counted(len(directories), 'directory', 'directories')}, "
    text += counted(batches, "batch", "batches")
    return text if images == entries else f"{text}; {counted(entries, 'file')} or fields hold them"


def _listed(counter: Counter, total: int = 0) -> str:
    """Values with how often they occur; of one alone the value, of many the first ones."""
    if len(counter) == 1 and counter.total() == (total or counter.total()):
        return str(next(iter(counter))).replace(";", " + ")
    if not total:
        return f"{len(counter):,}: {_few(sorted(map(str, counter), key=_natural))}"
    common = [
        f"{str(value).replace(';', ' + ')} ({count:,})"
        for value, count in counter.most_common(LISTED)
    ]
    return ", ".join(common) + (f" and {len(counter) - LISTED:,} more" * (len(counter) > LISTED))


def _few(values: list[str]) -> str:
    more = f" ... {values[-1]}" if len(values) > LISTED else ""
    return ", ".join(values[:LISTED]) + more


def _natural(text: str) -> list:
    """Numbers in a text sort by their value."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]


def read(plans: list[Path], view: View, asked: float | str | None, workers: int) -> Iterator[dict]:
    """The rows of all batches in their order, from headers read by so many processes."""
    work = functools.partial(rows, view=view, asked=asked)
    for plan, batch in zip(plans, in_processes(work, plans, workers), strict=True):
        if isinstance(batch, Crash):
            raise JobError(
                f"reading the headers of the images in {plan} crashed ({batch.signal}): name the "
                "damaged file in exclude"
            )
        yield from batch


if "snakemake" in globals():
    with logged(snakemake):
        params = snakemake.params
        dataset = params.dataset
        plans = [Path(params.plans, f"{name}.json") for name in dataset["names"]]
        workers = max(1, min(snakemake.threads, os.cpu_count() or 1, len(plans)))
        found = list(read(plans, View(**params.view), params.pixel_size_um, workers))
        columns = ["directory", "image", "file", *dataset["columns"], *FACTS]
        path = Path(params.table)
        with replaced(path) as part:
            write_rows(part, columns, found)
        plate_map = params.plate_map and read_plate_map(**params.plate_map)
        text = page(found, dataset, plate_map)
        tell(f"{text}\nA row for each image is in {path}")
