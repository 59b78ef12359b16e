"""Writes the pipeline that `versus_cellprofiler.py` compares with, by CellProfiler's interpreter.

Otsu's threshold, clumps divided by shape, size, shape and intensity of each nucleus, labels as
16-bit TIFF and tables: what the workflow does by default, but for pictures and quality. What is not
named here is at CellProfiler's default.
"""

import sys

import cellprofiler_core.pipeline
import cellprofiler_core.preferences
from cellprofiler_core.utilities.core.modules import fill_modules, instantiate_module

NUCLEI, DNA = "Nuclei", "DNA"
# Modules, and their settings by the words beside them in CellProfiler's window.
MODULES = [
    ("Images", {}),
    ("Metadata", {}),
    ("NamesAndTypes", {"Name to assign these images": DNA}),
    ("Groups", {}),
    (
        "IdentifyPrimaryObjects",
        {
            "Select the input image": DNA,
            "Name the primary objects to be identified": NUCLEI,
            "Typical diameter of objects, in pixel units (Min,Max)": "8,80",
            "Discard objects touching the border of the image?": "No",
            "Method to distinguish clumped objects": "Shape",
            "Method to draw dividing lines between clumped objects": "Shape",
            "Use advanced settings?": "Yes",
            "Threshold strategy": "Global",
            "Thresholding method": "Otsu",
            "Two-class or three-class thresholding?": "Two classes",
        },
    ),
    (
        "MeasureObjectSizeShape",
        {
            "Select object sets to measure": NUCLEI,
            "Calculate the Zernike features?": "No",
            "Calculate the advanced features?": "No",
        },
    ),
    (
        "MeasureObjectIntensity",
        {"Select images to measure": DNA, "Select objects to measure": NUCLEI},
    ),
    (
        "ConvertObjectsToImage",
        {
            "Select the input objects": NUCLEI,
            "Name the output image": "Labels",
            "Select the color format": "uint16",
        },
    ),
    (
        "SaveImages",
        {
            "Select the image to save": "Labels",
            "Select image name for file prefix": DNA,
            "Saved file format": "tiff",
            "Image bit depth": "16-bit integer",
        },
    ),
    ("ExportToSpreadsheet", {"Export all measurement types?": "Yes"}),
]


def main() -> None:
    """Write the pipeline to the file that is named."""
    cellprofiler_core.preferences.set_headless()
    fill_modules()
    pipeline = cellprofiler_core.pipeline.Pipeline()
    for number, (name, settings) in enumerate(MODULES, 1):
        module = instantiate_module(name)
        module.set_module_num(number)
        for text, value in settings.items():
            found = [setting for setting in module.settings() if setting.text == text]
            if not found:
                sys.exit(f"{name} has no setting '{text}': this needs CellProfiler 4.2")
            for setting in found:
                setting.value = value
        pipeline.add_module(module)
    with open(sys.argv[1], "w") as file:
        pipeline.dump(file)


if __name__ == "__main__":
    main()
