"""The dataset as the config describes it: looked at once, and refused before anything runs."""

import difflib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from nucleiflow import (
    columns,
    controls,
    dataset,
    field,
    headers,
    label_files,
    names,
    plate_map,
    samples,
)
from nucleiflow.controls import Controls
from nucleiflow.dataset import Dataset
from nucleiflow.images import ImageError
from nucleiflow.plan import MEGAPIXELS, BatchSize, File
from nucleiflow.plate_map import PlateMap
from nucleiflow.readers import Channel, missing_library, ome_tiff
from nucleiflow.settings import secondary
from nucleiflow.sheets import SheetError
from nucleiflow.walk import DatasetError

SHEET_SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "sheet.schema.yaml"
# So many images of a directory are looked at, at most, where its largest one will not do.
SOME = 5
# Columns of tables that no plate map can give, and no group of file names.
RESERVED = {
    *names.RESERVED,
    *(column.name for column in (*columns.PLACE, *columns.IMAGES, *columns.OBJECT)),
    *(column.name for column in columns.CHANNELS),
}


def survey(config: dict, view: dict, results: str) -> Dataset:
    """Look at the dataset.

    Parameters
    ----------
    config : dict
        The whole config.
    view : dict
        Arguments of `nucleiflow.field.View`.
    results : str
        Directory of the results.

    Raises
    ------
    DatasetError
        A sentence on what is wrong with the dataset as a whole, or with its sheet or plate map.
    """
    if config["images"] is None:
        raise DatasetError(
            "config: images is not set, name a directory: --config images=/path/to/images"
        )
    path = os.path.abspath(os.path.expanduser(config["images"]))
    look = _look(field.View(**view))
    megapixels = config["batch_megapixels"]
    size = BatchSize(config["batch_size"], MEGAPIXELS if megapixels == "auto" else megapixels)
    if path.lower().endswith(".zarr"):
        raise DatasetError(
            f"images: {path} is an image or a plate itself: name the directory in which it lies"
        )
    try:
        if path.lower().endswith((".csv", ".tsv", ".txt")) and not os.path.isdir(path):
            if config["exclude"] or config["metadata"]["pattern"] not in ("auto", None):
                key = "exclude" if config["exclude"] else "metadata.pattern"
                raise DatasetError(
                    f"config: {key} concerns a directory, and images is a sample sheet ({path}): "
                    "say it in the sheet"
                )
            schema = yaml.safe_load(SHEET_SCHEMA.read_text())
            sheet = samples.read_samples(path, schema)
            found = dataset.find_in_sheet(sheet, size, look, config["follow_links"])
        else:
            labels = []
            for folder in filter(None, (config["labels"], _seeds(config))):
                labels += label_files.inside(label_files.folder_of(folder), path)
            found = dataset.find(
                path,
                config["extensions"],
                size,
                look,
                results,
                config["exclude"],
                config["metadata"]["pattern"],
                config["follow_links"],
                labels,
            )
        _check_libraries(found)
        _check_columns(found, config)
        _check_channels(found, config)
        _check_headers(found, look, config)
        _check_labels(found, config["labels"], "labels", "label image")
        _check_labels(found, _seeds(config), "markers.image.path", "image of seeds")
        wells = read_plate_map(config)
        _check_report(found, wells, config["report"])
        if wells:
            _check_plate_map(found, wells, config)
            digest = hashlib.blake2b(Path(wells.path).read_bytes(), digest_size=16)
            found.plate_map = digest.hexdigest()
        _check_groups(found, wells, config["summary"]["group_by"])
        found.controls = _controls(found, wells, config["summary"]["controls"])
    except (names.NamesError, SheetError) as error:
        raise DatasetError(str(error)) from None
    return found


def read_plate_map(config: dict) -> PlateMap | None:
    """The plate map of the config; raises SheetError."""
    path = config["metadata"]["plate_map"]
    if path is None:
        return None
    path = os.path.abspath(os.path.expanduser(path))
    if not os.path.isfile(path):
        raise SheetError(f"config: metadata.plate_map: there is no file {path}, check the path")
    return plate_map.read_plate_map(path, config["metadata"]["join"], RESERVED)


def _look(view: field.View) -> dataset.Look:
    as_stated = replace(view, channels=None)

    def header(folder: str, files: Sequence[File]) -> field.Header | None:
        try:
            parts = [field.File(file.path, file.channel, file.z) for file in files]
            found = field.header(Path(folder), parts, as_stated)
        except Exception:
            # Whatever is wrong with the file, its job will say it better.
            return None
        try:
            return found._replace(names=field.channel_names(found.stated, view.channels))
        except ImageError:
            # For `_check_headers`.
            return found

    def set_of(folder: str, path: str) -> Sequence[str]:
        return ome_tiff.ome_files(Path(folder, path))

    return dataset.Look(header, set_of)


def _check_libraries(found: Dataset) -> None:
    for ending in sorted(found.endings):
        if library := missing_library(ending):
            raise DatasetError(
                f"images: reading .{ending} files needs {library}, which is not installed: "
                "pip install -r requirements-vendor.txt, or make install EXTRAS=vendor"
            )


def _is_taken(name: str, config: dict) -> bool:
    """Whether the tables have, or may have, a column of this name."""
    beside = secondary(config)
    prefixes = ("intensity", "seconds", "ratio", *config["measure"]["families"], *beside)
    prefixes += tuple(column.name for column in columns.CHANNELS)
    prefixes = tuple(f"{prefix}_" for prefix in prefixes)
    return name in RESERVED or columns.find(name) is not None or name.startswith(prefixes)


def _check_columns(found: Dataset, config: dict) -> None:
    """Refuse what a file name or a sheet tells under the name of another column."""
    for name in found.columns:
        if _is_taken(name, config):
            raise DatasetError(
                f"images: {found.naming} tells a column {name}, which the tables have already: "
                "give it another name"
            )


def _check_channels(found: Dataset, config: dict) -> None:
    """Refuse what would fail for every image, as far as file names tell the channels."""
    for channels, directory in found.channel_sets.items():
        if channels == ("",):
            continue
        stated = [Channel(name) for name in channels]
        try:
            shown = field.channel_names(stated, config["channels"])
            headers.refuse_channels(shown, stated, config)
            of_files = f"the files are of the channels {', '.join(shown)}"
            if config["segment"] == "auto" and field.nuclear_channel(shown) is None:
                raise ImageError(f"{of_files}: set segment to the one with the nuclei")
            cells = config["cells"]
            by_image = cells["method"] == "watershed" and cells["watershed"]["channel"] == "auto"
            if by_image and len(shown) != 2:
                raise ImageError(
                    f"{of_files}: set cells.watershed.channel to the one that shows cells"
                )
        except ImageError as error:
            raise _of_directory(found, directory, str(error)) from None


def _check_headers(found: Dataset, look: dataset.Look, config: dict) -> None:
    """Refuse what would fail for every image, as far as headers tell; name what will for some."""
    for header, directories in found.headers.items():
        problem = headers.problem(header, directories[0], config)
        if problem and not _some_fit(found, look, directories[0], config):
            found.unfit |= dict.fromkeys(directories, problem)
    if found.unfit and len(found.unfit) == sum(map(len, found.headers.values())):
        raise _of_directory(found, *next(iter(found.unfit.items())))


def _some_fit(found: Dataset, look: dataset.Look, directory: str, config: dict) -> bool:
    """Whether some others of a directory's images will do, where its largest will not."""
    batches = [batch for batch in found.batches.values() if batch.directory == directory]
    images = [image for batch in batches for image in batch.images if image.size]
    folder = os.path.join(found.root, batches[0].folder)
    for image in images[:: -(-len(images) // SOME) or 1]:
        header = look.header(folder, image.files)
        if header is not None and not headers.problem(header, directory, config):
            return True
    return False


def _of_directory(found: Dataset, directory: str, problem: str) -> DatasetError:
    where = found.path if directory == "." else directory
    return DatasetError(f"images: in {where}, {problem}")


def _seeds(config: dict) -> str | None:
    """The directory of the seeds, if seeds are not found here."""
    if config["labels"] is not None or config["markers"]["method"] != "image":
        return None
    return config["markers"]["image"]["path"]


def _check_labels(found: Dataset, labels: str | None, key: str, what: str) -> None:
    """Refuse label images that are not there, and name the images that lack one."""
    if labels is None:
        return
    folder = label_files.folder_of(labels)
    if not folder.is_dir():
        raise DatasetError(
            f"config: {key} is {folder}, where there is no directory, check the path"
        )
    lacking = [
        image.name if batch.directory == "." else f"{batch.directory}/{image.name}"
        for batch in found.batches.values()
        for image in label_files.without_labels(folder, batch)
    ]
    if len(lacking) == found.images:
        raise DatasetError(
            f"config: {key}: no file in {folder} is called like an image, such as "
            f"{lacking[0]}.tif or {lacking[0]}_cp_masks.png, check names and directories"
        )
    found.incomplete += [f"{name}: it has no {what}" for name in lacking]


def _check_report(found: Dataset, wells: PlateMap | None, report: dict) -> None:
    """Refuse columns that nothing tells."""
    told = [*found.columns, *(wells.table.column_names if wells else ())]
    for key, known in (("group_by", ["auto", "directory", *told]), ("dose", ["auto", *told])):
        if report[key] is not None and report[key] not in known:
            near = difflib.get_close_matches(report[key], known, 1)
            raise DatasetError(
                f"config: report.{key} is {report[key]}, which neither names, a sheet nor the "
                f"plate map tell (there are {', '.join(known)})"
                + (f", did you mean {near[0]}?" if near else ": name one of them")
            )


def _check_plate_map(found: Dataset, plate_map: PlateMap, config: dict) -> None:
    """Refuse a plate map that cannot be joined to every image."""
    by_sheet = found.naming == "sheet"
    for name in plate_map.table.column_names:
        if name in found.columns or _is_taken(name, config):
            raise DatasetError(
                f"{plate_map.path}: the tables have a column {name} already: rename that of the "
                "plate map, or name it in metadata.join"
            )
    missing = [name for name in plate_map.join if name not in found.columns]
    if missing:
        told, columns = f"config: metadata.join names {missing[0]}", ", ".join(found.columns)
        raise DatasetError(
            f"{told}, which is no column of the sheet (there are {columns}): add it"
            if by_sheet
            else f"{told}, which file names do not tell (they tell {columns}): add a group of this "
            "name to metadata.pattern"
        )
    places = [found.columns.index(name) for name in plate_map.join]
    for batch in found.batches.values():
        for image in batch.images:
            key = tuple(image.metadata[place] for place in places)
            if key in plate_map.rows or image.problem:
                continue
            what = " and ".join(
                f"{name} {value}" for name, value in zip(plate_map.join, key, strict=True)
            )
            file = os.path.normpath(os.path.join(batch.folder, image.files[0].path))
            if not all(key):
                name = plate_map.join[key.index("")]
                raise DatasetError(
                    f"{plate_map.path}: the sheet tells no {name} of {file} to join by: write it"
                    if by_sheet
                    else f"{plate_map.path}: the name of {file} tells no {name} to join by: set "
                    "metadata.pattern"
                )
            raise DatasetError(f"{plate_map.path} has no row for {what} ({file}), add one")


def _check_groups(found: Dataset, wells: PlateMap | None, group_by: Sequence[str]) -> None:
    """Refuse to summarise by what no column of images.csv tells."""
    told = [*found.columns, *(wells.table.column_names if wells else ())]
    known = [*dict.fromkeys((*(column.name for column in columns.PLACE), *names.STANDARD, *told))]
    for name in group_by:
        if name not in known and name not in (column.name for column in columns.IMAGES):
            near = difflib.get_close_matches(name, known, 1)
            raise DatasetError(
                f"config: summary.group_by names {name}, which is no column of images.csv (there "
                f"are {', '.join(known)})"
                + (f", did you mean {near[0]}?" if near else ": name one of them")
            )


def _controls(found: Dataset, wells: PlateMap | None, chosen: dict) -> Controls | None:
    """Which images are controls, as the plate map, names or the sheet tell."""
    texts: dict[str, set[str]] = {}
    if wells:
        for name, column in zip(wells.table.column_names, wells.table.columns, strict=True):
            # As images.csv spells them.
            texts[name] = set(map(str, column.drop_null().to_pylist()))
    for place, name in enumerate(found.columns):
        images = (image for batch in found.batches.values() for image in batch.images)
        if name == chosen["column"] or "control" in name.lower():
            texts[name] = {image.metadata[place] for image in images} - {""}
        else:
            texts[name] = set()
    try:
        return controls.find(texts, chosen, wells.join if wells else ("well",))
    except ValueError as error:
        raise DatasetError(str(error)) from None
