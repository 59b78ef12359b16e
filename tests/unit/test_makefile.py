"""What `make run` says of a command that is not complete or names what is not there."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say where the images are: make run IMAGES=/path/to/images"),
        (["IMAGES=here", "CONFIG=mine.yaml"], "there is no file mine.yaml, check CONFIG"),
        (["IMAGES=here", "CONFIG=tests"], "there is no file tests, check CONFIG"),
    ],
)
def test_a_mistake_is_named_before_anything_runs(arguments, sentence):
    # As if everything was installed.
    command = ["make", "--silent", "--old-file=install", "run", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (2, sentence)
