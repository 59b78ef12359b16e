"""CPU seconds: the workflow, the same functions in a loop, and the workshop's steps in a loop.

All three read the same 16-bit TIFF files, on one core each, and count imports.

workflow  `snakemake --cores 1` with the default config, everything that it starts included: every
          stage's files written and read, tables, overlays, the report's plots.
loop      one process: read the file, preprocess, threshold, markers, watershed, measure, the
          image's table as CSV, the overlay encoded as JPEG; at the end objects.csv. No
          intermediate file is written.
workshop  one process: read the file, scale it to 8 bits and three channels, the steps of the
          OpenCV workshop with regionprops_table of its five properties, the table as CSV, the
          outlines drawn and encoded as JPEG.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from measured import cost

ROOT = Path(__file__).resolve().parent.parent
# So many fields are simulated; turned and mirrored they become eight times as many.
VIEWS = 8


def main() -> None:
    """Make images, run all three and print what they cost; or run one of the loops."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=52, help="number of images (52)")
    parser.add_argument("--size", type=int, default=2048, help="rows and columns (2048)")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(PARTS[arguments.part](arguments), "objects")
        return
    megapixels = arguments.images * arguments.size**2 / 1e6
    print(f"Speed on {arguments.images} images of {arguments.size} x {arguments.size} pixels")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        script = [sys.executable, __file__, "--images", str(arguments.images)]
        script += ["--size", str(arguments.size), "--folder", str(folder), "--part"]
        cost([*script, "simulate"], folder)
        loop = cost([*script, "loop"], folder)
        workflow = cost(
            [
                *(sys.executable, "-m", "snakemake", "--cores", "1"),
                *("--snakefile", str(ROOT / "Snakefile"), "--config", "images=images"),
            ],
            folder,
        )
        rows = (folder / "results" / "objects.csv").read_bytes().count(b"\n") - 1
        _same(rows, (folder / "loop.csv").read_bytes().count(b"\n") - 1)
        workshop = cost([*script, "workshop"], folder)
    for name, result, against, other in (
        ("workflow", workflow, loop, "loop"),
        ("loop", loop, workshop, "workshop"),
        ("workshop", workshop, None, ""),
    ):
        ratio = f"{result.cpu / against.cpu:6.2f} x {other}" if against else ""
        print(
            f"  {name:10}{result.cpu:8.1f} CPU s{result.cpu / megapixels:8.3f} a megapixel{ratio}"
        )
    print(f"  ({megapixels:.0f} megapixels, {rows} objects)")


def simulate_images(arguments: argparse.Namespace) -> int:
    """Two plates; a field is used eight times, turned and mirrored."""
    import numpy as np
    import stages  # noqa: F401 (finds the scripts)
    import tifffile

    from simulate import PLATES, simulate

    for index in range(arguments.images):
        plate, view = index // VIEWS % 2, index % VIEWS
        if view == 0:
            image, _ = simulate([1, index], (arguments.size,) * 2, **PLATES[plate])
        turned = np.rot90(image if view < 4 else image.T, view % 4)
        path = arguments.folder / "images" / f"plate{plate + 1}" / f"{index:03}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.ascontiguousarray(turned), photometric="minisblack")
    return 0


def loop(arguments: argparse.Namespace) -> int:
    """The functions of the stages, one image after another, nothing written between them."""
    import cv2
    import pandas as pd
    import pyarrow as pa
    import pyarrow.csv
    from stages import read, segment, stage_settings

    from measure import as_csv, measure
    from nucleiflow.display import for_display
    from nucleiflow.images import encode_picture
    from overlay import overlay

    cv2.setNumThreads(1)
    options = stage_settings({})
    drawing = options["overlay"]
    stretch, ending, _ = (drawing.pop(key) for key in ("stretch", "format", "cells_color"))
    properties = options["measure"]["properties"]
    tables = []
    for path in _files(arguments.folder):
        raw = read(path)
        labels = segment(raw, options)
        table = measure(labels, [("", raw)], properties, frame=0)
        as_csv(table)
        picture = overlay(for_display(raw, stretch), labels, lines=False, **drawing)
        encode_picture(picture, ending)
        table.insert(0, "image", path.stem)
        tables.append(table)
    objects = pa.Table.from_pandas(pd.concat(tables), preserve_index=False)
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
    for path in _files(arguments.folder):
        nuclei = cv2.normalize(tifffile.imread(path), None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
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
        markers = cv2.watershed(image, markers)
        image[markers == -1] = [0, 255, 255]
        cv2.imencode(".jpg", image)
        properties = ["label", "area", "equivalent_diameter_area", "intensity_mean", "perimeter"]
        table = pd.DataFrame(regionprops_table(markers, nuclei, properties=properties))
        table.to_csv()
        count += len(table) - 1
    return count


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "images").rglob("*.tif"))


def _same(workflow: int, loop: int) -> None:
    if workflow != loop:
        sys.exit(f"the workflow found {workflow} objects and the loop {loop}: no fair comparison")


PARTS = {"simulate": simulate_images, "loop": loop, "workshop": workshop}


if __name__ == "__main__":
    main()
