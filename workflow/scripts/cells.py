"""Secondary objects: from nuclei to their cells, the cytoplasm, and rings around nuclei."""

import math

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import watershed as flood

from nucleiflow.batch import open_batch
from nucleiflow.counting import occurrences
from nucleiflow.field import Field, pick
from nucleiflow.images import ImageError
from nucleiflow.labels import border_pixels
from nucleiflow.tiles import local
from threshold import METHODS as THRESHOLDS
from threshold import manual

# Rows that are worked on together, so that whole numbers of 64 bits need little memory.
STRIP = 256


def secondary(
    labels: np.ndarray, image: np.ndarray | None, method: str, options: dict, ring: dict | None
) -> dict[str, np.ndarray]:
    """Make what belongs to each nucleus; all of it has the number of its nucleus.

    Parameters
    ----------
    labels : (Y, X) array of int32
        0 background, 1..n nuclei; left unmodified.
    image : (Y, X) array of numbers, or None
        The channel that shows cells; used by `watershed` alone.
    method, options
        `none`, or the name of a function below and its arguments.
    ring : dict or None
        Arguments of `ring_around`.

    Returns
    -------
    objects : dict of (Y, X) arrays of int32
        `cells`, each with its whole nucleus, and `cytoplasm`, the same without any nucleus, unless
        the method is `none`; `ring`, if there is to be one, inside its own cell. Cytoplasm and
        ring of a nucleus can be empty.
    """
    objects = {}
    if method != "none":
        objects["cells"] = METHODS[method](labels, image, **options)
        objects["cytoplasm"] = np.where(labels == 0, objects["cells"], 0)
    if ring is not None:
        around = ring_around(labels, **ring)
        if "cells" in objects:
            around[around != objects["cells"]] = 0
        objects["ring"] = around
    return objects


def distance(labels: np.ndarray, image: np.ndarray | None, max_distance: float) -> np.ndarray:
    """Each pixel up to a distance goes to the nearest nucleus ('Distance - N' in CellProfiler)."""
    return expanded(labels, 0, max_distance) | labels


def watershed(
    labels: np.ndarray,
    image: np.ndarray,
    channel: str | int,
    sigma: float,
    threshold: str | float,
    borders: str,
    compactness: float,
    max_distance: float | None,
    fill_holes: bool,
) -> np.ndarray:
    """Flood a channel from the nuclei, as far as it is above a threshold.

    The channel is smoothed by a Gaussian of `sigma` pixels before. `borders` says where cells
    meet: on `edges`, so that Sobel's gradient is flooded ('Watershed - Gradient' in
    CellProfiler), in the `dark` between bright cells, so that the inverted intensity is
    ('Watershed - Image'), or on `bright` membranes, so that the intensity is. To this comes
    `compactness` times the distance to the nucleus (Neubert and Protzel 2014), which keeps dim
    cells from being swallowed, as the regularisation of CellProfiler's 'Propagation' does.
    Intensities count from 0 to 1, the 1st to the 99th percentile of the foreground, and lengths in
    median diameters of the nuclei, so that the same value does for other cameras and objectives.

    Foreground that does not hang together with a nucleus, by edges or corners, belongs to no
    cell. A hole is filled where one cell alone encloses it.
    """
    if not labels.any():
        return np.zeros_like(labels)
    smooth = image.astype(np.float32)
    if sigma > 0:
        smooth = cv2.GaussianBlur(smooth, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    if isinstance(threshold, str):
        mask = np.ones(labels.shape, bool) if threshold == "none" else THRESHOLDS[threshold](smooth)
    else:
        mask = manual(smooth, threshold)
    if max_distance is not None:
        mask &= expanded(labels, 0, max_distance) > 0
    mask |= labels > 0
    low, high = np.percentile(smooth[mask], (1, 99))
    scaled = (smooth - np.float32(low)) / np.float32(high - low if high > low else 1)
    areas = occurrences(labels)[1:]
    diameter = math.sqrt(4 / math.pi * np.median(areas[areas > 0]))
    cells = flood(
        SURFACES[borders](scaled, diameter),
        labels,
        connectivity=2,
        mask=mask,
        compactness=compactness / diameter,
    )
    cells = cells.astype(np.int32, copy=False)
    return without_holes(cells) if fill_holes else cells


METHODS = {function.__name__: function for function in (distance, watershed)}


def edges(image: np.ndarray, diameter: float) -> np.ndarray:
    """Magnitude of Sobel's gradient of a float32 image, in its units for so many pixels."""
    dx, dy = (
        cv2.Sobel(image, cv2.CV_32F, *order, scale=diameter / 8, borderType=cv2.BORDER_REPLICATE)
        for order in ((1, 0), (0, 1))
    )
    return cv2.magnitude(dx, dy)


def dark(image: np.ndarray, diameter: float) -> np.ndarray:
    """The image upside down."""
    return -image


def bright(image: np.ndarray, diameter: float) -> np.ndarray:
    """The image as it is."""
    return image


# What is flooded, from low to high, by where cells meet.
SURFACES = {function.__name__: function for function in (edges, dark, bright)}


def without_holes(labels: np.ndarray) -> np.ndarray:
    """Labels with the background filled that one object alone encloses, (Y, X) array of int32."""
    count, ground = cv2.connectedComponents((labels == 0).view(np.uint8), connectivity=4)
    lowest, highest = np.full(count, np.iinfo(np.int32).max, np.int32), np.zeros(count, np.int32)
    for one, other in (
        (np.s_[1:], np.s_[:-1]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[:, :-1], np.s_[:, 1:]),
    ):
        beside = (labels[one] == 0) & (labels[other] > 0)
        np.minimum.at(lowest, ground[one][beside], labels[other][beside])
        np.maximum.at(highest, ground[one][beside], labels[other][beside])
    hole = lowest == highest
    # Component 0 is the objects themselves.
    hole[0] = False
    hole[border_pixels(ground)] = False
    return np.where(hole[ground], highest[ground], labels)


def ring_around(labels: np.ndarray, gap: float, width: float) -> np.ndarray:
    """A ring around each nucleus: pixels farther than `gap` and up to `gap` plus `width` from it.

    Each goes to the nearest nucleus, so that rings of neighbours share no pixel. Lengths in
    pixels; (Y, X) array of int32.
    """
    return expanded(labels, gap, gap + width)


def expanded(labels: np.ndarray, above: float, up_to: float) -> np.ndarray:
    """The number of the nearest nucleus, where it is farther than one distance and up to another.

    With the nuclei it equals scikit-image's `expand_labels`, also where two are equally near,
    and costs less: distances are compared as whole numbers, their squares.

    Parameters
    ----------
    labels : (Y, X) array of int32
    above, up_to : float
        Distances in pixels from centre to centre.

    Returns
    -------
    nearest : (Y, X) array of int32
        0 on nuclei, and where none is at such a distance.
    """
    result = np.zeros_like(labels)
    if not labels.any():
        return result
    rows, columns = distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    lower, upper = square_below(above), square_below(up_to)
    for top in range(0, len(labels), STRIP):
        strip = slice(top, top + STRIP)
        row, column = rows[strip], columns[strip]
        down = (row - np.arange(top, top + len(row))[:, None]).astype(np.int64)
        right = (column - np.arange(labels.shape[1])).astype(np.int64)
        square = down * down + right * right
        inside = (square > lower) & (square <= upper)
        result[strip][inside] = labels[row[inside], column[inside]]
    return result


def square_below(distance: float) -> int:
    """The largest whole number whose root, as a float, is not above a distance."""
    square = int(distance * distance)
    while math.sqrt(square + 1) <= distance:
        square += 1
    while math.sqrt(square) > distance:
        square -= 1
    return square


def cell_channel(field: Field, channel: str | int) -> int:
    """Index of the channel that shows cells; `auto` is the only one besides that of the nuclei."""
    if channel != "auto":
        return pick(channel, field.names, field.stated, "cells.watershed.channel")
    segmented = field.segmented()
    others = [index for index in range(len(field.names)) if index != segmented]
    if len(others) != 1:
        found = ", ".join(field.names[index] for index in others) or "none"
        raise ImageError(
            f"besides that of the nuclei there has to be one channel, and there is {found}: set "
            "cells.watershed.channel to the one that shows cells, or cells.method to distance"
        )
    return others[0]


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    settings = dict(settings)
    view, image, labels = settings.pop("view", None), None, item.read("labels")
    if view is not None:
        with item.field(view) as field:
            image = field.image(cell_channel(field, settings["options"]["channel"]))
        if image.shape != labels.shape:
            raise ImageError(
                f"the labels have {labels.shape} pixels and the image {image.shape}: "
                "the image changed while the workflow ran, run it again"
            )
    if "window" not in item.record:
        return secondary(labels, image, **settings)
    labels, numbers = local(labels, item.record)
    found = secondary(labels, image, **settings)
    return {name: numbers[objects] for name, objects in found.items()}


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        batch.map(compute)
        batch.join_tiles()
