"""Files and directories that appear whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Bytes that are written at a time: for a megabyte or more, Linux 6.18 takes ten times as long.
PIECE = 1 << 18


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path beside `path` to write a file or directory to, which takes its place at the end.

    Where the block raises, what it wrote is removed and `path` stays as it was. What a killed
    process left is removed by the next one that writes the same path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{_escaped(path.name)}.*.part"):
        remove(left)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        yield temporary
        if temporary.is_dir():
            # A directory can replace an empty one only.
            remove(path)
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def write(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file of some parts, one after another; memory views are of bytes."""
    with path.open("wb", buffering=PIECE) as file:
        for part in map(memoryview, parts):
            for start in range(0, len(part), PIECE):
                file.write(part[start : start + PIECE])


def printable(text: str) -> str:
    """A text that may hold names of files, on one line and without what terminals obey."""
    return "".join(char if char.isprintable() else _code(char) for char in text)


def _code(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def remove(path: Path) -> None:
    """Remove a file or a directory with all it holds, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _escaped(name: str) -> str:
    return "".join(f"[{char}]" if char in "[*?" else char for char in name)
