"""The demo: simulated plates, the whole workflow on them, and how well it found the nuclei.

`make demo` runs it; by hand: `python workflow/demo.py [DIRECTORY]`.
"""

import csv
import subprocess
import sys
from pathlib import Path

CONFIG = """\
# The config of the demo: what its file names say, and what was done to its wells.
images: images
metadata:
  pattern: '(?P<plate>[^/]+)/(?P<well>[A-H][0-9]+)_f(?P<site>[0-9]+)'
  plate_map: plate_map.csv
"""
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import cv2  # noqa: E402
import numpy as np  # noqa: E402

import evaluate  # noqa: E402
import simulate  # noqa: E402
from nucleiflow import images  # noqa: E402
from nucleiflow.display import for_display  # noqa: E402


def main(folder: Path) -> int:
    """Simulate, run, compare; returns the exit status."""
    if not (folder / "truth").is_dir():
        print(f"Simulating two plates in {_shown(folder / 'images')} ...", flush=True)
        simulate.write_plates(folder)
    simulate.write_plate_map(folder / "plate_map.csv")
    (folder / "config.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--logger", "rich"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(folder / "config.yaml")]
    command += ["--report", "results/report.html", "--report-after-run"]
    print("Running the workflow on them ...", flush=True)
    done = subprocess.run(command, check=False)
    if done.returncode:
        return done.returncode
    print(compare(folder))
    return 0


def compare(folder: Path) -> str:
    """Compare with the truth, and draw the README's picture."""
    results = folder / "results"
    with (results / "images.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    total = evaluate.Matches(0, 0, 0)
    for row in rows:
        truth = images.decode_tiff(folder / "truth" / row["directory"] / row["file"])
        labels = images.decode_tiff(results / row["labels"])
        total = evaluate.Matches(*np.add(total, evaluate.match(truth, labels)))
    picture = draw(folder, rows[0])
    return "\n".join(
        [
            f"{total.tp + total.fn} nuclei are true, F1 against them is {total.f1:.3f} "
            "(intersection over union above 0.5)",
            f"An image and its outlines: {_shown(picture)}",
            "Your own images: make run IMAGES=/path/to/images",
        ]
    )


def draw(folder: Path, row: dict) -> Path:
    """An image and its outlines side by side, in one file."""
    image = images.decode_tiff(folder / "images" / row["directory"] / row["file"])
    data = np.fromfile(folder / "results" / row["overlay"], np.uint8)
    overlay = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    path = folder / "results" / "example.jpg"
    both = np.hstack([for_display(image), overlay])
    path.write_bytes(images.encode_picture(both, "jpg"))
    return path


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo").resolve()))
