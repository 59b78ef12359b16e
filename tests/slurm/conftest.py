"""Fixtures: the cluster, the workflow, and a dataset."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from cluster import ROOT, Cluster, missing_for_accounting, why_not
from cluster_runs import BATCHES, CONFIG, local_tables

# What a clone does not hold.
NOT_CLONED = (".git", ".venv", ".snakemake", ".*_cache", "__pycache__", "results", "demo", "bench")


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A running cluster, or a skip with the reason why there can be none."""
    if reason := why_not():
        pytest.skip(reason)
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(autouse=True)
def cluster_of_its_own(request) -> Iterator[None]:
    """No test finds jobs or nodes as another one left them, also where that one failed."""
    yield
    # Not where it was skipped.
    if cluster := request.node.funcargs.get("slurm"):
        cluster.end_jobs()
        cluster.resume_nodes()


@pytest.fixture(scope="session")
def accounting(slurm: Cluster) -> Cluster:
    """The same, where `sacct` answers."""
    if not slurm.accounting:
        missing = ", ".join(missing_for_accounting())
        pytest.skip(f"no accounting, {missing} missing: apt-get install slurmdbd mariadb-server")
    return slurm


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """The workflow as it is when the tests start."""
    target = tmp_path_factory.mktemp("source") / "nucleiflow"
    shutil.copytree(ROOT, target, symlinks=True, ignore=shutil.ignore_patterns(*NOT_CLONED))
    return target


@pytest.fixture(scope="session")
def local(slurm, tmp_path_factory, source, images) -> dict[str, pd.DataFrame]:
    """The tables of a run without Slurm."""
    run = tmp_path_factory.mktemp("local")
    found = local_tables(slurm, run, source, f"images={images}", *CONFIG)
    assert len(found["images.csv"]) == 24
    assert found["images.csv"]["batch"].nunique() == BATCHES
    assert len(found["objects.csv"]) > 100
    return found


@pytest.fixture(scope="session")
def few(images) -> list[str]:
    """The config of a dataset of two batches."""
    return [f"images={images / 'day 2'}", *CONFIG]


@pytest.fixture(scope="session")
def few_tables(slurm, tmp_path_factory, source, few) -> dict[str, pd.DataFrame]:
    """Its tables of a run without Slurm."""
    found = local_tables(slurm, tmp_path_factory.mktemp("few"), source, *few)
    assert found["images.csv"]["batch"].nunique() == 2
    assert len(found["objects.csv"]) > 20
    return found


@pytest.fixture
def clone(tmp_path: Path, source: Path) -> Path:
    """A fresh copy of the workflow, to run in."""
    return Path(shutil.copytree(source, tmp_path / "nucleiflow", symlinks=True))


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """Three directories of eight 16-bit images with 0 to 14 round nuclei each."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(7)
    for plate, size in (("day 1/plate", 160), ("day 1/plate.2", 200), ("day 2", 128)):
        (root / plate).mkdir(parents=True)
        for index in range(8):
            image = plate_image(random, size, 2 * index)
            tifffile.imwrite(root / plate / f"well_{index:02}.tif", image)
    return root


def plate_image(random: np.random.Generator, size: int, nuclei: int) -> np.ndarray:
    """A (size, size) uint16 image of blurred disks on a dark, noisy background."""
    y, x = np.mgrid[:size, :size]
    image = random.normal(400, 12, (size, size))
    for _ in range(nuclei):
        center_y, center_x = random.uniform(0, size, 2)
        radius = random.uniform(5, 9)
        distance = np.hypot(y - center_y, x - center_x)
        image += random.uniform(1500, 6000) / (1 + np.exp(distance - radius))
    return image.clip(0, 65535).astype(np.uint16)
