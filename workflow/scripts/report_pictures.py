"""The report's pictures: outlines of flagged images, and of some from all over the dataset."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from nucleiflow import pages, report
from nucleiflow.job import logged

FLAGGED = 24
SIDE, PROBE = 1600, 480
# Bytes of all pictures together: in the report they take 16 / 9 of it. None needs more than this.
BUDGET, LARGEST = 3_000_000, 400_000
STYLE = """
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem }
.grid figure { margin: 0 } .grid button { border: 0; padding: 0; background: none; cursor: zoom-in;
  width: 100% }
.grid img { width: 100%; aspect-ratio: 1; object-fit: cover; display: block; background: #ddd }
.grid figcaption { overflow-wrap: anywhere; line-height: 1.35 } .grid b { font-weight: 600 }
dialog { border: 0; padding: 0; max-width: 98vw; max-height: 98vh; background: #111; color: #eee }
dialog::backdrop { background: rgb(0 0 0 / .8) }
dialog img { display: block; max-width: 98vw; max-height: calc(98vh - 2.6rem); margin: auto;
  min-width: min(60vw, 60vh); image-rendering: auto }
dialog p { margin: 0; padding: .5rem 1rem; max-width: none }
"""
SCRIPT = """
const dialog = document.querySelector("dialog"), large = dialog.querySelector("img");
const buttons = [...document.querySelectorAll(".grid button")];
let shown = 0;
function show(index) {
  shown = (index + buttons.length) % buttons.length;
  const picture = buttons[shown].querySelector("img");
  large.src = picture.src;
  dialog.querySelector("p").textContent = `${picture.alt} (${shown + 1} of ${buttons.length}; ` +
    "arrow keys for the others, Esc to close)";
  if (!dialog.open) dialog.showModal();
}
buttons.forEach((button, index) => button.addEventListener("click", () => show(index)));
dialog.addEventListener("click", () => dialog.close());
dialog.addEventListener("keydown", event => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) show(shown + step);
});
"""


def drawn_by_lot(images: pd.DataFrame, count: int, seed: int = 1) -> pd.DataFrame:
    """So many images, as evenly from all directories as possible and the same ones each time.

    Each directory gives one image before any gives two; which ones decides a hash of their names.
    """
    texts = (images["directory"] + "\0" + images["image"]).tolist()
    lots = [
        hashlib.blake2b(f"{seed}\0{text}".encode(), digest_size=8).hexdigest() for text in texts
    ]
    table = images.assign(lot=lots).sort_values("lot", kind="stable")
    table["turn"] = table.groupby("directory").cumcount()
    chosen = table.sort_values(["turn", "lot"], kind="stable").index[:count]
    return images.loc[sorted(chosen)]


def fitted(picture: np.ndarray, limit: int) -> bytes:
    """A picture as WebP of at most so many bytes, as large and as good as these allow.

    Parameters
    ----------
    picture : (Y, X, 3) array of uint8, RGB
        Left unmodified.
    limit : int
        At least some thousand. Thin outlines on dark images take two thirds of the bytes of JPEG.
    """
    longest = max(picture.shape[:2])
    side = min(PROBE, longest)
    content = webp(picture, side)
    # Bytes grow a little less than pixels. What a small one takes tells how large it can be.
    larger = int(min(SIDE, longest, side * (limit / len(content)) ** 0.66))
    if larger > side:
        side, content = larger, webp(picture, larger)
    while len(content) > limit and side > PROBE // 8:
        side = round(side * max(0.5, min(0.95, (limit / len(content)) ** 0.6)))
        content = webp(picture, side)
    return content


def webp(picture: np.ndarray, side: int) -> bytes:
    """A picture (RGB) as the bytes of a WebP file of so many pixels on its longer side."""
    factor = side / max(picture.shape[:2])
    if factor < 1:
        size = [max(1, round(length * factor)) for length in picture.shape[1::-1]]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_WEBP_QUALITY, 70]
    return cv2.imencode(".webp", picture[..., ::-1], options)[1].tobytes()


def gallery(title: str, text: str, pictures: Sequence[tuple[str, str, bytes]]) -> str:
    """HTML of thumbnails that open in full: name, what is to be said of it, and WebP of each."""
    figures = "\n".join(
        f'<figure><button><img src="{pages.data_uri(content, "image/webp")}" '
        f'alt="{pages.escape(name)}"></button>'
        f"<figcaption><b>{pages.escape(name)}</b> {pages.escape(said)}</figcaption></figure>"
        for name, said, content in pictures
    )
    inside = f'<div class="grid">{figures}</div>' if pictures else pages.paragraph("None.")
    return pages.heading(title) + pages.paragraph(text) + inside


def rows_to_show(images: pd.DataFrame, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Flagged images, at most `FLAGGED` from all of them, and others by lot."""
    flagged = images[images["flagged"]]
    return drawn_by_lot(flagged, FLAGGED), drawn_by_lot(images.drop(flagged.index), count)


def pictures_of(rows: pd.DataFrame, folder: Path, limit: int) -> list[tuple[str, str, bytes]]:
    """The overlays of images, with their names and what is to be said of them."""
    made = []
    for row in rows.itertuples():
        data = np.fromfile(folder / row.overlay, np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
        said = f"{row.objects:.0f} nuclei"
        said += f"; {' '.join(sorted(row.flags))}: {row.reasons}" if row.flags else ""
        name = report.path_of(row.directory, row.image)
        made.append((name, said, fitted(picture, limit)))
    return made


def pictures_page(
    flagged: Sequence[tuple[str, str, bytes]],
    others: Sequence[tuple[str, str, bytes]],
    all_flagged: int,
) -> str:
    """The page of both galleries."""
    text = (
        "Outlines should follow the edges of the nuclei. Where they lie too far in or out, change "
        "the level of refine in watershed; where touching nuclei are one object, lower the bias of "
        "pieces in markers; where one nucleus is several, raise it. Click a picture to see it in "
        "full."
    )
    left = all_flagged - len(flagged)
    more = f" There are {left} more, which images.csv names." if left else ""
    why = f"Images in which something is unusual, with the reason.{more}"
    lot = "Drawn by lot, as evenly from all directories as possible."
    parts = [pages.paragraph(text)]
    parts += [gallery("Flagged images", why, flagged)] if all_flagged else []
    parts.append(gallery("A sample of the images", lot, others))
    parts.append('<dialog><img alt=""><p></p></dialog>')
    return pages.page("Pictures", parts, STYLE, SCRIPT)


if "snakemake" in globals():
    with logged(snakemake):
        path = Path(snakemake.input.images)
        images, _ = report.read_images(path, texts=["overlay"])
        images = images[images["overlay"] != ""]
        chosen = rows_to_show(images, snakemake.params.settings["pictures"])
        limit = min(LARGEST, BUDGET // max(sum(map(len, chosen)), 1))
        galleries = [pictures_of(rows, path.parent, limit) for rows in chosen]
        page = pictures_page(*galleries, int(images["flagged"].sum()))
        pages.write(Path(snakemake.output[0]), page)
