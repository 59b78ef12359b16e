"""What benchmarks share: seconds, CPU seconds and memory of a command with all its children."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

# Exit status of a program that lacks what it takes, as of the tests of GNU's programs.
SKIPPED = 77


class Cost(NamedTuple):
    """Wall seconds, CPU seconds, and the most that one process held in memory, in MB."""

    seconds: float
    cpu: float
    memory: float


def cost(command: list[str], folder: Path, written: Path | None = None) -> Cost:
    """Run a command in a directory; its output goes to a file, or is shown only where it fails."""
    # As for users, whose Python compiles a module once and not in each process.
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    with written.open("w+b") if written else tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            print(output.read().decode(errors="replace")[-5000:])
            sys.exit(f"failed with exit status {process.returncode}: {' '.join(command)}")
    # Linux counts kilobytes, macOS bytes.
    memory = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1024)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, memory)


def skip(reason: str) -> NoReturn:
    """End a program that lacks what it takes, so that what was measured before stays."""
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)
