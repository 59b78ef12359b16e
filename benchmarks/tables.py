"""What joining the tables of batches costs: seconds, CPU seconds and memory of a process each.

10,000 tables of 1,000 objects with the default properties become one of 10 million rows. The
yardstick is a plain copy by pyarrow: each part is read, and written to one file with the same
compression. Formats of the joined table are compared to the same copy. What is read is in the
disk's cache.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from measured import Cost, cost

# In the order in which they need each other, see joining.py.
STEPS = (
    *("plain copy", "objects.parquet", "plain copy as CSV", "objects.csv", "objects.csv.gz"),
    *("objects.sqlite", "objects/ by directory", "summary.csv by well"),
)
ROWS = 1000


def main() -> None:
    """Print what each table costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="objects (10,000,000)")
    count = max(1, parser.parse_args().rows // ROWS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, str(count))
        step("make", folder)
        print(f"{count * ROWS:,} objects from {count:,} tables, {os.cpu_count()} cores")
        costs: dict[str, Cost] = {}
        for name in STEPS:
            costs[name] = step(name, folder)
            show(name, costs[name], costs["plain copy"])
        pair = costs["objects.parquet"], costs["objects.csv"]
        seconds, cpu, memory = zip(*pair, strict=True)
        both = Cost(sum(seconds), sum(cpu), max(memory))
        show("objects.parquet and .csv", both, costs["plain copy"])


def step(name: str, folder: Path) -> Cost:
    """A step in a process of its own, whose memory is then none that this one had."""
    script = Path(__file__).with_name("joining.py")
    return cost([sys.executable, str(script), name, str(folder)], Path.cwd())


def show(what: str, result: Cost, copy: Cost) -> None:
    """One line."""
    print(
        f"  {what:26}{result.seconds:8.1f} s ({result.seconds / copy.seconds:4.2f} x)"
        f"{result.cpu:8.1f} CPU s ({result.cpu / copy.cpu:4.2f} x){result.memory:8.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    main()
