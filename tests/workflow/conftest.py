"""Fixtures of the tests of the whole workflow."""

import shutil
from pathlib import Path

import pytest
from project import LEFT_OUT, ROOT, Project, write_dataset


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A run that is complete. Not to be changed: see `project`."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(ROOT, folder / "clone", symlinks=True, ignore=LEFT_OUT)
    write_dataset(folder / "images")
    (folder / "run").mkdir()
    project = Project(folder / "clone", folder / "images", folder / "run")
    project.snakemake("all")
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the complete run, to be changed."""
    return finished.copy(tmp_path)


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """No image yet, nothing run yet, with the workflow of this checkout."""
    (tmp_path / "images").mkdir()
    (tmp_path / "run").mkdir()
    return Project(ROOT, tmp_path / "images", tmp_path / "run")
