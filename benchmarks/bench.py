"""Everything that is measured, one after another: by `make bench`, or longer `make bench-full`.

Each part is a process of its own, as what one holds in memory would count for the next. With
`--write`, what parts print is put into a page, where it takes the place of what they printed
before; parts that did not run, or lack what they take, keep theirs.
"""

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from measured import SKIPPED

HERE = Path(__file__).resolve().parent


class Part(NamedTuple):
    """A program, and its options, short and full; None where it is left out."""

    program: str
    short: tuple[str, ...] | None = ()
    full: tuple[str, ...] | None = ()


# From the root of the checkout.
SMALL = "../shared/data/dsb2018/images"
PARTS = {
    name: Part(name)
    for name in ("accuracy", "methods", "filters", "markers", "floods", "measuring", "reading")
} | {
    "inventory": Part("inventory", ("--files", "10000"), ()),
    "planning": Part("planning", (), ("--full",)),
    "tables": Part("tables", ("--rows", "1000000"), ()),
    "report": Part("report", ("--images", "10000"), ()),
    "speed": Part("speed", (), ("--images", "200")),
    "speed-small": Part("speed", None, ("--data", SMALL, "--times", "4", "--rounds", "2")),
    "speed-workshop": Part("speed", None, ("--preset", "workshop", "--pictures", "--rounds", "2")),
    "speed-cellprofiler": Part(
        "versus_cellprofiler", None, ("--data", SMALL, "--times", "4", "--rounds", "1")
    ),
    "speed-threads": Part("speed", None, ("--threads", "--images", "200")),
    "memory": Part("memory", ("--many", "30"), ()),
    "memory-large": Part("memory", None, ("--large",)),
    "memory-tiles": Part("memory", None, ("--tiles",)),
    "slurm": Part("slurm", ("--images", "100"), ("--images", "1000", "--time-factor", "0.6")),
    "slurm-queue": Part("slurm", None, ("--batches", "300", "--jobs", "20", "--together", "4")),
    "kills": Part("kills", ("3",), ("50",)),
}
PACKAGES = ("numpy", "opencv-python-headless", "scikit-image", "pyarrow", "snakemake")
TITLE = """# What was measured

Made by `python benchmarks/bench.py --full --write benchmarks/RESULTS.md`, or with `--only` and some
parts. Machines are shared and noisy: what counts are ratios of what was measured in one run.
"""


def main() -> int:
    """Run the parts; returns how many failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="what takes more than an hour, too")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--write", type=Path, help="a page of Markdown")
    arguments = parser.parse_args()
    failed = 0
    for part in arguments.only:
        program, *every = PARTS[part]
        options = every[arguments.full]
        if options is None:
            continue
        start = time.perf_counter()
        status, output = run([sys.executable, str(HERE / f"{program}.py"), *options])
        failed += status not in (0, SKIPPED)
        if arguments.write and status == 0:
            command = " ".join(["python", f"benchmarks/{program}.py", *options])
            told = section(command, output, time.perf_counter() - start)
            page = arguments.write.read_text() if arguments.write.exists() else TITLE
            arguments.write.write_text(placed(page, part, told))
    return failed


def run(command: list[str]) -> tuple[int, str]:
    """Exit status and output of a command, whose output is shown as it comes."""
    where = {"cwd": HERE.parent, "env": os.environ | {"PYTHONUNBUFFERED": "1"}}
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **where) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def section(command: str, output: str, seconds: float) -> str:
    """What a part printed, with the command, the day, the machine and versions."""
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    facts = {
        "command": f"`{command}`",
        "when": f"{datetime.date.today()}, {seconds:.0f} s",
        "machine": machine(),
        "versions": f"Python {platform.python_version()}, {versions}",
    }
    table = "".join(f"| {name} | {text} |\n" for name, text in facts.items())
    return f"| | |\n| --- | --- |\n{table}\n```\n{output.rstrip()}\n```\n"


def machine() -> str:
    """Processor, cores, memory and system."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    name = found[1].strip() if found else platform.machine()
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} cores, {memory:.0f} GB, {platform.system()} {platform.release()}"


def placed(page: str, part: str, told: str) -> str:
    """The page with the section of a part, in the order of the parts."""
    title, *sections = re.split(r"^## ([\w-]+)\n\n", page, flags=re.M)
    found = dict(zip(sections[::2], sections[1::2], strict=True)) | {part: told}
    texts = [f"## {name}\n\n{found[name].rstrip()}\n" for name in PARTS if name in found]
    return "\n".join([title.rstrip() + "\n", *texts])


if __name__ == "__main__":
    sys.exit(main())
