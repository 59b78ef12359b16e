"""Damages files at random and reads them; run by test_fuzz.py in a process of its own.

    python tests/unit/fuzz.py EXAMPLES FILE...

Ends with status 0 if every damaged file gave planes or an ImageError, each in seconds and within
memory; else with what went wrong.
"""

import faulthandler
import logging
import resource
import shutil
import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow" / "scripts"))

from nucleiflow.images import ImageError
from nucleiflow.readers import ome_zarr, open_image

# Seconds for one file, and what it may take beyond what the process has from the start.
PATIENCE = 30
MEMORY = 1_500_000_000
# No file here has a hundredth of it.
MEGAPIXELS = 100
logging.disable(logging.CRITICAL)


@st.composite
def damage(draw, size: int) -> tuple[int, list[tuple[int, bytes]]]:
    """How much of a file is left, and what is written over it where."""
    length = draw(st.one_of(st.just(size), st.integers(0, size)))
    # Headers are mostly at one of the ends.
    places = st.one_of(
        st.integers(0, min(size, 400)), st.integers(0, size), st.integers(max(0, size - 400), size)
    )
    edits = draw(st.lists(st.tuples(places, st.binary(min_size=1, max_size=8)), max_size=6))
    return length, edits


def damaged(data: bytes, length: int, edits: list[tuple[int, bytes]]) -> bytes:
    """Those bytes."""
    changed = bytearray(data)
    for place, text in edits:
        changed[place : place + len(text)] = text
    return bytes(changed[:length])


def read(path: Path) -> None:
    """Read all there is; only an ImageError may come of it."""
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    try:
        with open_image(path, max_megapixels=MEGAPIXELS) as scenes:
            for scene in scenes[:4]:
                for channel in range(min(len(scene.channels), 4)):
                    for z in {0, scene.planes - 1}:
                        plane = scene.load(scene.times - 1, channel, z)
                        assert plane.shape == (scene.height, scene.width)
                        assert plane.dtype == scene.dtype
    except ImageError as error:
        text = str(error)
        assert text and "\n" not in text, text
    faulthandler.cancel_dump_traceback_later()
    if path.is_dir():
        ome_zarr.wells(path)


def fuzz(target: Path, image: Path, examples: int) -> None:
    """Damage a file, which is an image or a part of it, so often, and put random bytes into it."""
    data = target.read_bytes()
    options = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    @options
    @given(damage(len(data)))
    def edited(change):
        target.write_bytes(damaged(data, *change))
        read(image)

    @options
    @given(st.binary(max_size=600), st.integers(0, 16))
    def replaced(tail, kept):
        target.write_bytes(data[:kept] + tail)
        read(image)

    edited()
    replaced()
    target.write_bytes(data)


def main(examples: int, files: list[Path]) -> None:
    """Fuzz each image, in a copy."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    for source in files:
        with tempfile.TemporaryDirectory() as folder:
            image = Path(folder, source.name)
            if source.is_dir():
                shutil.copytree(source, image)
                for part in sorted(path for path in image.rglob("*") if path.is_file()):
                    fuzz(part, image, examples)
            else:
                shutil.copyfile(source, image)
                fuzz(image, image, examples)


if __name__ == "__main__":
    main(int(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
