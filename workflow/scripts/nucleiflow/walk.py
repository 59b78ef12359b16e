"""Directories of the dataset and the files in them."""

import os
from collections.abc import Callable, Iterator

# Called with the path of a link below the dataset, where it leads, and whether to a directory.
Leaving = Callable[[str, str, bool], None]


class DatasetError(ValueError):
    """What is wrong with the dataset as a whole, in one sentence for its owner."""


def walk(
    root: str, loops: list[str], exclude: str, leaving: Leaving | None = None
) -> Iterator[tuple[str, list[tuple[str, int | None, int]]]]:
    """Directories from `root` on with their files, both in the order of their names.

    A file is its name, its size in bytes and the time of its last change in ns; a directory
    that is an OME-Zarr has no size. `leaving` is called for links that lead out of the root;
    directories among them are not followed. Without it, links are followed wherever they lead.
    """
    top = os.path.realpath(root)
    pending = [("", (top,))]
    while pending:
        directory, above = pending.pop()
        files, below = [], []
        try:
            entries = sorted(os.scandir(os.path.join(root, directory)), key=lambda e: e.name)
        except OSError as error:
            where = os.path.join(root, directory)
            raise DatasetError(
                f"images: cannot look into {where} ({error.strerror}), check its permissions"
            ) from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not _is_text(entry.name):
                raise DatasetError(
                    f"images: the name {os.fsencode(entry.name)!r} in {directory or root} "
                    "is not valid UTF-8, rename it"
                )
            path = f"{directory}/{entry.name}" if directory else entry.name
            real = os.path.realpath(entry.path) if entry.is_symlink() else ""
            is_directory = _is_directory(entry)
            if real and leaving and real != exclude and not is_below(real, top):
                leaving(path, real, is_directory)
                if is_directory:
                    continue
            if entry.name.lower().endswith(".zarr") and is_directory:
                for link, target in links_below(entry.path) if leaving else ():
                    if not is_below(target, top):
                        leaving(f"{path}/{link}", target, True)
                files.append((entry.name, None, 0))
            elif is_directory:
                real = real or os.path.join(above[-1], entry.name)
                if real in above:
                    loops.append(path)
                elif real != exclude:
                    below.append((path, (*above, real)))
            else:
                files.append((entry.name, *size_and_time(entry)))
        pending.extend(sorted(below, reverse=True))
        yield directory or ".", files


def is_below(path: str, top: str) -> bool:
    """Whether a real path is another one or lies below it."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def links_below(folder: str) -> Iterator[tuple[str, str]]:
    """The links in a directory that is one image: their paths below it, and where they lead.

    What links lead to is not looked into.
    """
    pending = [folder]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            # Reading the image will tell.
            continue
        for entry in entries:
            if entry.is_symlink():
                yield os.path.relpath(entry.path, folder), os.path.realpath(entry.path)
            elif entry.is_dir():
                pending.append(entry.path)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_directory(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads back to itself: as an image, its job reports it.
        return False


def size_and_time(path: str | os.DirEntry) -> tuple[int, int]:
    """Of the file, or zeros for a link to nothing, which is for its job to report."""
    try:
        status = os.stat(path) if isinstance(path, str) else path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
