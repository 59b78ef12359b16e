"""Tests of what a stage's results depend on beside its script."""

import ast
import itertools
from pathlib import Path

import pytest

from nucleiflow import sources

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


def parsed(path: Path) -> set[Path]:
    """What Python's parser finds that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            module = SCRIPTS / name.replace(".", "/")
            found.add(module.with_suffix(".py"))
            if module.name == "readers":
                found.update(module.glob("*.py"))
    return {path for path in found if path.exists()}


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.py")))
def test_all_that_a_script_imports(script: str):
    pending, expected = [SCRIPTS / script], set()
    while pending:
        new = parsed(pending.pop()) - expected
        expected |= new
        pending += new
    assert sources.modules(SCRIPTS / script) == expected


def test_the_fingerprint_changes_with_a_module_of_a_module(tmp_path: Path):
    package = tmp_path / "nucleiflow"
    package.mkdir()
    (tmp_path / "stage.py").write_text("from nucleiflow import (\n    one,  # why\n    two,\n)\n")
    (package / "one.py").write_text("def late():\n    from nucleiflow.three import name as other\n")
    for name in ("two", "three", "four"):
        (package / f"{name}.py").write_text("")
    names = {path.stem for path in sources.modules(tmp_path / "stage.py")}
    assert names == {"one", "two", "three"}
    seen = [sources.fingerprint(tmp_path / "stage.py")]
    for name in ("three", "four", "one"):
        (package / f"{name}.py").write_text("VALUE = 1\n" + (package / f"{name}.py").read_text())
        seen.append(sources.fingerprint(tmp_path / "stage.py"))
    assert [before == after for before, after in itertools.pairwise(seen)] == [
        False,
        True,
        False,
    ]
