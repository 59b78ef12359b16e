"""`preview` and `sweep` on a real Slurm: a job a batch of the sample, and the same results."""

import subprocess
from pathlib import Path

import numpy as np
import tifffile
import yaml
from cluster import BIN
from cluster_runs import assert_done, finish, minutes, terminal

SWEEP = {
    "sweep": {
        "parameters": {
            "threshold.method": ["otsu", "li"],
            "markers.pieces.bias": {"from": -1, "to": 1, "step": 1},
            "threshold.morphology": [[], [{"operation": "open", "iterations": 2}]],
        }
    },
    "sample": {"images": 15},
}


def test_all_settings_of_a_batch_are_one_job(slurm, clone: Path, images: Path, tmp_path: Path):
    (clone / "my.yaml").write_text(yaml.safe_dump(SWEEP))
    config = ["--configfile", "my.yaml", "--config", f"images={images}"]

    earlier = slurm.jobs()
    assert_done(finish(slurm, clone, "sweep", *config), clone)
    jobs = slurm.jobs_after(earlier)
    assert [job["JobState"] for job in jobs] == ["COMPLETED"] * 2
    # One setting after another, whatever their number: the CPUs of one, and the time of all.
    assert {job["NumCPUs"] for job in jobs} == {"4"}
    assert all(minutes(job["TimeLimit"]) == 2 * (1 + 4 + 12 + 12) for job in jobs)
    assert len(list((clone / "results" / "sweep").glob("sheet-*.jpg"))) == 2
    assert "12 settings on 15 images: look at the outlines in results/sweep" in terminal(clone)

    earlier = slurm.jobs()
    assert_done(finish(slurm, clone, "preview", *config), clone)
    jobs = slurm.jobs_after(earlier)
    assert [job["JobState"] for job in jobs] == ["COMPLETED"] * 2
    assert "15 images, 0 failed: look at results/preview/preview.jpg" in terminal(clone)

    # The same as on this machine alone.
    here = tmp_path / "here"
    here.mkdir()
    command = ["--snakefile", clone / "Snakefile", "--configfile", clone / "my.yaml"]
    done = subprocess.run(
        [BIN / "snakemake", "sweep", "--cores", "all", *command, "--config", f"images={images}"],
        cwd=here,
        env=slurm.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, expected = labels(clone), labels(here)
    # The preview's setting is none of the sweep's.
    assert len(expected) == 12 * 15
    assert len(found) == 13 * 15
    assert all((found[name] == image).all() for name, image in expected.items())


def labels(run: Path) -> dict[str, np.ndarray]:
    folder = run / "results" / "tuning" / "watershed"
    return {str(path.relative_to(folder)): tifffile.imread(path) for path in folder.rglob("*.tif")}
