"""CPU seconds a megapixel of CellProfiler, and of the workflow with its default config.

Both read the same images, on one core each; CellProfiler has one worker, and writes labels and
tables. The workflow does so with all that it makes by default, overlays among it, and then with
`keep: [labels, csv]`, without them. The cost of an image more is the difference between a run on
all images and one on an eighth of them, over the others. Runs of both take turns, and each counts
with its median.

CellProfiler 4.2 is not among what this project installs, as it needs Python 3.9 and Java:
NUCLEIFLOW_CELLPROFILER names an interpreter that has it (`pip install cellprofiler==4.2.8`;
wxPython and mysqlclient may be missing), and JAVA_HOME a Java.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median

from measured import cost, skip
from speed import FEW, copied, megapixels, print_costs, set_apart, workflow_command

HERE = Path(__file__).resolve().parent
NAMES = ("CellProfiler", "workflow", "labels and tables")
# As the workflow's workers: no library has threads of its own.
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def main() -> None:
    """Run both and print what they cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="directory with images")
    parser.add_argument("--times", type=int, default=1, help="copies of each image (1)")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each (2)")
    arguments = parser.parse_args()
    python = os.environ.get("NUCLEIFLOW_CELLPROFILER")
    if not python:
        skip("NUCLEIFLOW_CELLPROFILER names no interpreter that has CellProfiler")
    os.environ |= ALONE
    told = "import importlib.metadata as m; print(m.version('cellprofiler'))"
    version = subprocess.run(
        [python, "-c", told], capture_output=True, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copied(arguments.data, folder / "images", arguments.times)
        set_apart(folder)
        pipeline = folder / "pipeline.cppipe"
        cost([python, str(HERE / "versus_pipeline.py"), str(pipeline)], folder)
        spent: dict[tuple[str, int], list[float]] = {}
        for _ in range(arguments.rounds):
            for share in (FEW, 1):
                images, results = ("images" if share == 1 else "some"), folder / f"results{share}"
                theirs = [python, "-m", "cellprofiler", "-c", "-r", "-p"]
                theirs += [str(pipeline), "-i", images, "-o", f"cellprofiler{share}"]
                ours = workflow_command(folder, None, share)
                for name, command in zip(
                    NAMES, (theirs, ours, [*ours, "keep=[labels, csv]"]), strict=True
                ):
                    for left in (results, folder / f"cellprofiler{share}"):
                        shutil.rmtree(left, ignore_errors=True)
                    spent.setdefault((name, share), []).append(cost(command, folder).cpu)
        middle = {key: median(values) for key, values in spent.items()}
        print(
            f"{megapixels(folder, 1):.1f} megapixels, CellProfiler {version}, "
            f"{arguments.rounds} rounds"
        )
        print(
            "CPU seconds a megapixel, over those of the workflow, over those for labels and tables"
        )
        print_costs(folder, middle, NAMES, beside=NAMES[1:])


if __name__ == "__main__":
    main()
