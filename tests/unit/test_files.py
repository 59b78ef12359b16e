"""Files and directories appear whole or not at all."""

import numpy as np
import pytest

from nucleiflow.files import PIECE, printable, remove, replaced, write


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_file_appears_when_the_block_ends(tmp_path):
    with replaced(tmp_path / "deep/er/a.txt") as part:
        part.write_text("new")
        assert listing(tmp_path / "deep/er") == [part.name] != ["a.txt"]
    assert listing(tmp_path / "deep/er") == ["a.txt"]
    assert (tmp_path / "deep/er/a.txt").read_text() == "new"


def test_file_is_replaced_at_once(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replaced(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_where_the_block_raises(tmp_path, error):
    with pytest.raises(error), replaced(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise error
    with pytest.raises(error), replaced(tmp_path / "folder") as part:
        part.mkdir()
        (part / "a").write_text("half")
        raise error
    assert listing(tmp_path) == []


def test_what_was_there_stays_where_the_block_raises(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "a").write_text("old")
    with pytest.raises(ValueError), replaced(path) as part:
        part.mkdir()
        raise ValueError
    assert listing(tmp_path) == ["folder", "folder/a"]


def test_block_that_wrote_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replaced(tmp_path / "a.txt"):
        pass
    assert listing(tmp_path) == []


def test_directory_replaces_one_that_is_not_empty(tmp_path):
    path = tmp_path / "folder"
    (path / "sub").mkdir(parents=True)
    (path / "sub/old").write_text("old")
    with replaced(path) as part:
        part.mkdir()
        (part / "new").write_text("new")
    assert listing(tmp_path) == ["folder", "folder/new"]


@pytest.mark.parametrize("name", ["a.txt", "day [1] *?.txt"])
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, name):
    (tmp_path / f".{name}.01234567.part").write_text("half")
    (tmp_path / f".{name}.89abcdef.part").mkdir()
    (tmp_path / f".{name}.89abcdef.part/x").write_text("half")
    (tmp_path / ".other.01234567.part").write_text("of another job")
    with replaced(tmp_path / name) as part:
        part.write_text("new")
    assert listing(tmp_path) == sorted([name, ".other.01234567.part"])


def test_remove_takes_files_directories_links_and_nothing(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("x")
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "folder/sub").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    for name in ("link", "folder", "file", "nothing"):
        remove(tmp_path / name)
    assert listing(tmp_path) == ["kept", "kept/file"]


def test_names_are_shown_on_one_line_and_cannot_colour_the_terminal():
    assert printable("Zellkörper (1) $x;") == "Zellkörper (1) $x;"
    assert printable("a\nb\x1b[31m\t\u202e\x7f") == r"a\nb\x1b[31m\t\u202e\x7f"


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, 3 * PIECE + 7])
def test_parts_of_any_size_are_written_one_after_another(tmp_path, size: int):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    write(tmp_path / "a", [b"x", data.data, b"", data.tobytes(), b"y"])
    assert (tmp_path / "a").read_bytes() == b"x" + 2 * data.tobytes() + b"y"
