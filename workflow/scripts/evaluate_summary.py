"""The last word of `snakemake evaluate`: the scores, and whether too many images failed."""

from pathlib import Path

import pandas as pd

from nucleiflow.files import replaced
from nucleiflow.job import JobError, logged, tell
from nucleiflow.safe_tables import true_names


def summary(images: pd.DataFrame, overall: pd.DataFrame, unmasked: int, folder: Path) -> str:
    """The lines for the terminal; `unmasked` images lie in batches without any mask."""
    scored = images[images["status"] == "ok"]
    failed = (images["status"] == "failed").sum()
    without = (images["status"] == "no mask").sum() + unmasked
    lines = [
        f"{len(scored)} images compared with their masks, {without} without a mask, "
        f"{failed} failed; {overall['truth'][0]} true nuclei, {overall['found'][0]} found",
        f"{'IoU above':14}{'F1':>8}{'precision':>11}{'recall':>8}{'AP':>8}   (all nuclei together)",
    ]
    names = ("f1_pooled", "precision_pooled", "recall_pooled", "ap_pooled")
    rows = [(f"{row['iou_above']:g}", *row[list(names)]) for _, row in overall.iterrows()]
    rows.append(("mean", *overall[list(names)].mean()))
    lines += [f"{row[0]:14}{row[1]:8.3f}{row[2]:11.3f}{row[3]:8.3f}{row[4]:8.3f}" for row in rows]
    each = overall["f1_mean_of_images"].mean()
    score = overall["ap_mean_of_images"].mean()
    lines.append(f"mean over images and limits: F1 {each:.3f}, AP {score:.3f}")
    totals = scored[["splits", "merges", "missed", "false"]].sum().astype(int)
    lines.append(", ".join(f"{name} {number}" for name, number in totals.items()))
    for kind, what in (
        ("binary", "binary masks: objects that touch each other count as one"),
        ("colours", "masks in colours: each colour is one object"),
    ):
        if number := (scored["mask_kind"] == kind).sum():
            lines.append(f"{number} {what}")
    lines.append(f"tables    {folder / 'images.csv'}, {folder / 'objects.csv'}")
    lines.append(f"pictures  {folder / 'worst'}")
    return "\n".join(lines) + "\n"


def check(images: pd.DataFrame, max_failed: float, folder: Path) -> None:
    """Raise JobError where no image could be compared, or more than a fraction failed."""
    failed = images[images["status"] == "failed"]
    if (images["status"] == "ok").any() and len(failed) <= max_failed * len(images):
        return
    if failed.empty:
        raise JobError(
            "no image has a mask, though some masks are called like images: see the names in "
            f"{folder / 'images.csv'}"
        )
    first = failed.iloc[0]
    raise JobError(
        f"{len(failed)} of {len(images)} images could not be compared, more than max_failed "
        f"({max_failed:g}) allows: see {folder / 'images.csv'}; the first: "
        f"{first['directory']}/{first['image']}: {first['message']}"
    )


if "snakemake" in globals():
    with logged(snakemake):
        path, params = Path(snakemake.input.images), snakemake.params
        images = true_names(pd.read_csv(path, keep_default_na=False))
        check(images, params.max_failed, path.parent)
        overall = pd.read_csv(snakemake.input.overall)
        text = summary(images, overall, params.unmasked, path.parent)
        tell(text.rstrip())
        with replaced(Path(snakemake.output[0])) as part:
            part.write_text(text)
