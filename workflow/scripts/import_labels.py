"""Labels made elsewhere, in the place of those that the watershed makes."""

from collections import Counter
from pathlib import Path

import numpy as np

from nucleiflow.batch import open_batch
from nucleiflow.field import Field, View
from nucleiflow.geometry import cut_out
from nucleiflow.images import ImageError
from nucleiflow.joining import stem
from nucleiflow.label_files import folder_of
from nucleiflow.masks import find_mask, read_truth
from preprocess import facts


def shape_of(field: Field) -> tuple[int, int]:
    """Rows and columns of an image after crop and resize."""
    # One value that stands for all pixels takes no memory.
    whole = np.broadcast_to(np.uint8(0), (field.height, field.width))
    return cut_out(whole, field.view.crop, field.view.resize).shape


def label_file(root: Path, directory: str, image: str, files: list[Path], alone: bool) -> Path:
    """The file, or directory of files, with the labels of an image.

    Parameters
    ----------
    root : Path
        Of all label images.
    directory, image : str
        As in `images.csv`.
    files : list of Path
        Of the image. Labels may be called like these instead.
    alone : bool
        The files hold no other image, so that their name is that of one.

    Raises ImageError where there is none, or several.
    """
    found = find_mask(root, directory, image, [stem(file.name) for file in files if alone])
    # Where labels lie beside the images, an image without labels finds itself.
    if found is None or any(found.exists() and found.samefile(file) for file in files):
        where = root if directory == "." else root / directory
        raise ImageError(
            f"it has no label image: put one into {where}, called {image}.tif or "
            f"{image}_cp_masks.png"
        )
    return found


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    view, record = settings["view"], item.record
    with item.field(view) as field:
        segmented = field.segmented()
        item.facts.update(facts(field, segmented))
        if view["z"] == "focus":
            item.facts["plane"] = field.sharpest(segmented)
        full, shape = (field.height, field.width), shape_of(field)
    files = [item.folder / file.path for file in item.files]
    alone = record["member"] not in settings["shared"]
    path = label_file(Path(settings["root"]), record["directory"], record["image"], files, alone)
    truth = read_truth(path, shape, View(**view), full)
    if truth.kind == "colours":
        raise ImageError(
            f"the label image {path.name} holds colours, and labels are numbers: save it as 16 or "
            "32 bits of grey, 0 for background and a number for each nucleus"
        )
    item.facts["objects"] = int(truth.labels.max(initial=0))
    return {"labels": truth.labels}


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        images = Counter(item.record["member"] for item in batch.items)
        batch.settings = batch.settings | {
            # No param of the rule: labels that were moved are the same labels.
            "root": str(folder_of(snakemake.config["labels"])),
            "shared": {member for member, count in images.items() if count > 1},
        }
        batch.map(compute)
