"""CPU seconds: the workflow, the same functions in a loop, and the workshop's steps in a loop.

All read the same files, on one core each. Whole cost counts imports and the start of Snakemake;
the cost of an image is the difference between a run on all images and one on an eighth of them,
over the others, so that what is paid once is left out. With --rounds N all run so many times in
turns, and the least of each counts, as what else a machine does only adds. What the workflow itself
writes of its images' seconds is printed, too.

workflow  `snakemake --cores 1 tables`, everything that it starts included: every stage's files
          written and read, tables, overlays. The report's pages, of which the loops have nothing
          like, come after it by another command, and their cost is told by itself.
loop      one process: read the file, preprocess, threshold, markers, watershed, measure with the
          numbers of quality, the image's table as CSV, the overlay encoded; at the end
          objects.csv. No intermediate file is written.
workshop  one process: read the file, scale it to 8 bits and three channels, the steps of the
          OpenCV workshop with regionprops_table of its five properties, the table as CSV, the
          outlines drawn and encoded, as JPEG by default and as PNG with --preset workshop. With
          --pictures it writes these, the table and the nine pictures of its steps, which are what
          the workflow writes with that preset; without, nothing.

With --data DIR, the images of a directory instead of simulated ones, with --times N each so many
times, as a few images are no more than noise beside what a run costs. With --threads, wall seconds
of the stages of one batch with one and with two threads instead; needs two idle cores.
"""

import argparse
import csv
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from measured import cost

ROOT = Path(__file__).resolve().parent.parent
# So many fields are simulated; turned and mirrored they become eight times as many.
VIEWS = 8
# One of so many images is among those of the smaller run.
FEW = 8
STAGES = ("preprocess", "threshold", "markers", "watershed", "measure", "overlay")


def main() -> None:
    """Make images, run all three and print what they cost; or run one of the loops."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=52, help="number of images (52)")
    parser.add_argument("--size", type=int, default=2048, help="rows and columns (2048)")
    parser.add_argument("--preset", choices=["workshop"], help="config (default)")
    parser.add_argument("--data", type=Path, help="directory with images (simulated ones)")
    parser.add_argument("--times", type=int, default=1, help="copies of each of these (1)")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each (1)")
    parser.add_argument("--pictures", action="store_true", help="the workshop's loop writes files")
    parser.add_argument("--threads", action="store_true", help="one thread against two")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--share", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(PARTS[arguments.part](arguments), "objects")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        script = [sys.executable, __file__, "--images", str(arguments.images)]
        script += ["--size", str(arguments.size), "--folder", str(folder)]
        script += ["--preset", arguments.preset] if arguments.preset else []
        script += ["--pictures"] if arguments.pictures else []
        if arguments.data:
            copied(arguments.data, folder / "images", arguments.times)
        else:
            cost([*script, "--part", "simulate"], folder)
        set_apart(folder)
        if arguments.threads:
            _compare_threads(folder, arguments.preset)
        else:
            _compare(folder, script, arguments.preset, arguments.rounds)


def _compare(folder: Path, script: list[str], preset: str | None, rounds: int) -> None:
    """Run all three on all images and on some of them, and print what they cost."""
    found, rows = {}, {}
    for share in (FEW, 1) * rounds:
        part = [*script, "--share", str(share), "--part"]
        run = workflow_command(folder, preset, share)
        results = folder / f"results{share}"
        shutil.rmtree(results, ignore_errors=True)
        spent = {
            "workflow": cost([*run, "--", "tables"], folder),
            "report": cost(run, folder),
            "loop": cost([*part, "loop"], folder),
            "workshop": cost([*part, "workshop"], folder),
        }
        for name, each in spent.items():
            found[name, share] = min(each.cpu, found.get((name, share), each.cpu))
        rows[share] = (results / "objects.csv").read_bytes().count(b"\n") - 1
        _same(rows[share], (folder / "loop.csv").read_bytes().count(b"\n") - 1)
    names = ("workflow", "loop", "workshop")
    count, pixels = len(_files(folder, 1)), megapixels(folder, 1)
    print(f"{count} images, {pixels:.1f} megapixels, {rows[1]} objects")
    print("CPU seconds a megapixel, over those of the loop, over those of the workshop")
    print_costs(folder, found, names, beside=names[1:])
    seconds = _in_stages(folder / "results1" / "images.csv") / pixels
    print(f"  what images.csv says of its stages: {seconds:.3f} seconds a megapixel")
    report = found["report", 1]
    print(f"  the report's pages after it, planned anew: {report:.1f} CPU seconds in all")


def print_costs(
    folder: Path, spent: dict[tuple[str, int], float], names: Sequence[str], beside: Sequence[str]
) -> None:
    """Print CPU seconds a megapixel, whole and of an image more, and their ratios to some others.

    `spent` are the CPU seconds of each name on all images (1) and on one of FEW.
    """
    whole, some = (megapixels(folder, share) for share in (1, FEW))
    for what in ("whole", "an image"):
        each = {}
        for name in names:
            every, few = spent[name, 1], spent[name, FEW]
            each[name] = every / whole if what == "whole" else (every - few) / (whole - some)
        for name, value in each.items():
            ratios = "".join(f"{value / each[other]:8.2f}" for other in beside)
            print(f"  {what:10}{name:20}{value:8.3f}{ratios}")


def _in_stages(path: Path) -> float:
    """Seconds of all images in all stages, from reading to writing, without what jobs take."""
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        return sum(
            float(value) for row in rows for key, value in row.items() if key.startswith("seconds_")
        )


def _compare_threads(folder: Path, preset: str | None) -> None:
    """Wall seconds of the stages with one and with two threads, by their benchmark files."""
    seconds = {}
    for threads in (1, 2):
        command = workflow_command(folder, preset, 1, threads)
        cost([*command, "--set-threads", *(f"{stage}={threads}" for stage in STAGES)], folder)
        # With as many cores as threads, the stages of several batches run one after another.
        seconds[threads] = _walls(folder / "results1" / "benchmarks.csv")
        shutil.rmtree(folder / "results1")
    for stage in (*STAGES, "all"):
        one, two = (
            sum(each.values()) if stage == "all" else each[stage] for each in seconds.values()
        )
        print(f"  {stage:12}{one:8.1f} s with 1 thread{two:8.1f} s with 2{one / two:8.2f} x")


def _walls(path: Path) -> dict[str, float]:
    """Seconds of each stage by Snakemake's benchmarks, all batches together."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["rule"] in STAGES]
    return {stage: sum(float(row["s"]) for row in rows if row["rule"] == stage) for stage in STAGES}


def workflow_command(folder: Path, preset: str | None, share: int, cores: int = 1) -> list[str]:
    """The command of the workflow on all images, or on some of them."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--quiet", "all"]
    command += ["--snakefile", str(ROOT / "Snakefile")]
    if preset:
        command += ["--configfile", str(ROOT / f"config/presets/{preset}.yaml")]
    return [
        *(*command, "--config", f"images={'images' if share == 1 else 'some'}"),
        *(f"results=results{share}", *(["segment=auto"] if preset else [])),
    ]


def copied(data: Path, target: Path, times: int) -> None:
    """Copy a directory of images, each so many times under other names."""
    for path in data.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(data)
            place.parent.mkdir(parents=True, exist_ok=True)
            for number in range(times):
                name = f"{path.stem}_{number}{path.suffix}" if number else path.name
                shutil.copyfile(path, place.with_name(name))


def set_apart(folder: Path) -> None:
    """Some images of each size in a directory of their own, as hard links.

    Symbolic ones would lead out of the dataset, where the workflow follows none.
    """
    for path in _files(folder, 1)[::FEW]:
        link = folder / "some" / path.relative_to(folder / "images")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.hardlink_to(path)


def megapixels(folder: Path, share: int) -> float:
    from stages import read

    return sum(read(path).size for path in _files(folder, share)) / 1e6


def simulate_images(arguments: argparse.Namespace) -> int:
    """Fields of two kinds in one directory; each is used eight times, turned and mirrored."""
    import numpy as np
    import stages  # noqa: F401 (finds the scripts)
    import tifffile

    from simulate import PLATES, simulate

    for index in range(arguments.images):
        plate, view = index // VIEWS % 2, index % VIEWS
        if view == 0:
            image, _ = simulate([1, index], (arguments.size,) * 2, **PLATES[plate])
        turned = np.rot90(image if view < 4 else image.T, view % 4)
        path = arguments.folder / "images" / f"{index:03}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, np.ascontiguousarray(turned), photometric="minisblack")
    return 0


def loop(arguments: argparse.Namespace) -> int:
    """The functions of the stages, one image after another, nothing written between them."""
    import cv2
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv
    import yaml
    from stages import ROOT, read, segment, stage_settings

    from measure import as_csv, as_table, columns_of
    from nucleiflow.display import for_display
    from nucleiflow.images import encode_picture
    from nucleiflow.quality import of_channel, of_nuclei
    from nucleiflow.workers import reuse_memory
    from overlay import overlay

    cv2.setNumThreads(1)
    reuse_memory()
    config = {}
    if arguments.preset:
        config = yaml.safe_load((ROOT / f"config/presets/{arguments.preset}.yaml").read_text())
        config["segment"] = "auto"
    options = stage_settings(config)
    lines = options["watershed"]["background"]
    drawing = options["overlay"]
    stretch, ending, _ = (drawing.pop(key) for key in ("stretch", "format", "cells_color"))
    properties = options["measure"]["properties"]
    tables = []
    for path in _files(arguments.folder, arguments.share):
        raw = read(path)
        labels = segment(raw, options)
        columns = columns_of({"nuclei": labels}, [("", raw)], properties, int(lines))
        table = as_table(columns)
        as_csv(table)
        _, places = of_nuclei(np.maximum(labels, 1) - 1 if lines else labels, int(lines))
        of_channel(raw, places)
        picture = overlay(for_display(raw, stretch), labels, lines=lines, **drawing)
        encode_picture(picture, ending)
        tables.append(table.add_column(0, "image", [pa.array([path.stem] * len(table))]))
    objects = pa.concat_tables(tables)
    pa.csv.write_csv(objects, arguments.folder / "loop.csv")
    return len(objects)


def workshop(arguments: argparse.Namespace) -> int:
    """The workshop's script, around which only the loop and the conversion to 8 bits are new."""
    import cv2
    import numpy as np
    import pandas as pd
    import tifffile
    from skimage.measure import regionprops_table
    from skimage.segmentation import clear_border

    cv2.setNumThreads(1)
    count = 0
    kernel = np.ones((3, 3), np.uint8)
    for path in _files(arguments.folder, arguments.share):
        tiff = path.suffix.startswith(".tif")
        pixels = tifffile.imread(path) if tiff else cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        nuclei = cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
        image = cv2.cvtColor(nuclei, cv2.COLOR_GRAY2BGR)
        blurred = cv2.GaussianBlur(nuclei, (3, 3), 0)
        _, thresh = cv2.threshold(blurred, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        opening = cv2.morphologyEx(thresh, cv2.MORPH_OPEN, kernel, iterations=7)
        opening = clear_border(opening)
        sure_bg = cv2.dilate(opening, kernel, iterations=10)
        dist_transform = cv2.distanceTransform(opening, cv2.DIST_L2, 5)
        _, sure_fg = cv2.threshold(dist_transform, 0.6 * dist_transform.max(), 255, 0)
        sure_fg = np.uint8(sure_fg)
        unknown = cv2.subtract(sure_bg, sure_fg)
        _, markers = cv2.connectedComponents(sure_fg)
        markers = markers + 1
        markers[unknown == 255] = 0
        seeds = markers.copy() if arguments.pictures else None
        markers = cv2.watershed(image, markers)
        image[markers == -1] = [0, 255, 255]
        _, outlined = cv2.imencode(".png" if arguments.preset else ".jpg", image)
        properties = ["label", "area", "equivalent_diameter_area", "intensity_mean", "perimeter"]
        table = pd.DataFrame(regionprops_table(markers, nuclei, properties=properties))
        text = table.to_csv()
        if arguments.pictures:
            steps = [nuclei, blurred, opening, sure_bg, sure_fg, unknown, dist_transform]
            folder = arguments.folder / "pictures" / path.stem
            folder.mkdir(parents=True, exist_ok=True)
            for number, picture in enumerate([*steps, seeds, markers]):
                # PNG holds integers of 8 and 16 bits only.
                ending = "png" if picture.dtype == np.uint8 else "tif"
                cv2.imwrite(str(folder / f"{number}.{ending}"), picture)
            outlined.tofile(folder / "outlines")
            (folder / "nuclei-data.csv").write_text(text)
        count += len(table) - 1
    return count


def _files(folder: Path, share: int) -> list[Path]:
    """All images, or some of them."""
    images = (folder / ("images" if share == 1 else "some")).rglob("*.*")
    return sorted(path for path in images if path.is_file())


def _same(workflow: int, loop: int) -> None:
    if workflow != loop:
        sys.exit(f"the workflow found {workflow} objects and the loop {loop}: no fair comparison")


PARTS = {"simulate": simulate_images, "loop": loop, "workshop": workshop}


if __name__ == "__main__":
    main()
