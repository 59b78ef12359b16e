"""What all tests share: the real test data and the schema of the config."""

import os
from pathlib import Path

import hypothesis
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent

# The same examples in every run, however busy the machine is.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")


@pytest.fixture(scope="session")
def data() -> Path:
    """The directory of real public images, which are no part of the repository."""
    beside = ROOT.parent / "shared" / "data"
    named = os.environ.get("NUCLEIFLOW_TEST_DATA")
    for path in [Path(named)] if named else [beside]:
        if path.is_dir():
            return path
    pytest.skip(f"real test images: NUCLEIFLOW_TEST_DATA is {named or 'not set'}, no {beside}")


@pytest.fixture(scope="session")
def schema() -> dict:
    """The schema of the config."""
    return yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
