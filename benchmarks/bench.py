"""Everything that is measured, one after another: `make bench`.

Each part is a process of its own, as what one holds in memory would count for the next.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run all parts; returns how many failed."""
    parts = (
        "accuracy.py",
        "methods.py",
        "filters.py",
        "markers.py",
        "floods.py",
        "measuring.py",
        "reading.py",
        "inventory.py",
        "planning.py",
        "tables.py",
        "report.py",
        "speed.py",
        "slurm.py",
    )
    return sum(subprocess.run([sys.executable, HERE / part]).returncode != 0 for part in parts)


if __name__ == "__main__":
    sys.exit(main())
