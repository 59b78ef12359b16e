"""What the profiles say, without a cluster."""

import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from cluster import BIN, ROOT

GROUP = re.compile(r'^    group:\n        "(\w+)"', re.MULTILINE)


def profile(name: str) -> dict:
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


@pytest.fixture(scope="module")
def rules(tmp_path_factory) -> set[str]:
    """The names of all rules, as Snakemake gives them."""
    done = subprocess.run(
        [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--list-rules"],
        cwd=tmp_path_factory.mktemp("run"),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def groups() -> set[str]:
    files = [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    return {group for file in files for group in GROUP.findall(file.read_text())}


def test_default_profile_leaves_the_slurm_profile_alone():
    # Snakemake merges profiles/default after --profile: it would win.
    assert profile("default").keys() & profile("slurm").keys() == set()


def test_profiles_name_rules_and_groups_that_exist(rules, groups):
    # Snakemake accepts unknown names in silence.
    assert {"preprocess", "threshold", "markers", "watershed", "measure", "overlay"} <= rules
    assert groups == {"batch", "sample"}
    for name in ("default", "slurm"):
        settings = profile(name)
        for key in ("set-threads", "set-resources", "groups"):
            named = settings.get(key, {}).keys()
            assert named <= rules, f"{key} of profiles/{name} names no rule: {named - rules}"
        named = settings.get("group-components", {}).keys()
        assert named <= groups, f"group-components of profiles/{name}: {named - groups}"


def test_every_key_of_the_slurm_profile_is_commented():
    lines = (ROOT / "profiles" / "slurm" / "config.yaml").read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(r"[a-z]", line):
            assert before.startswith("# "), f"no comment above {line}"


def test_the_slurm_profile_names_no_cluster():
    assert not (profile("slurm")["default-resources"] or {}).keys() & {
        "slurm_account",
        "slurm_partition",
        "constraint",
        "qos",
    }


@pytest.mark.parametrize("slurm_installed", [True, False])
def test_profile_from_a_fresh_clone(clone: Path, images: Path, tmp_path: Path, slurm_installed):
    """`snakemake --profile slurm` literally, also where Slurm's commands are missing."""
    environment = dict(os.environ)
    if not slurm_installed:
        # All that Snakemake needs but sbatch, sinfo and the like.
        environment["PATH"] = str(tmp_path / "bin")
        (tmp_path / "bin").mkdir()
        for name in ("bash", "which"):
            (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        [BIN / "snakemake", "--profile", "slurm", "-n", "--config", f"images={images}"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Using profiles slurm and workflow specific profile profiles/default" in done.stderr
    assert "24 images in 3 directories" in done.stdout
    # Three batches of six stages each, not lowered to the cores of this machine.
    assert re.findall(r"^ +threads: (\d+)$", done.stdout, re.MULTILINE) == ["4"] * 18
