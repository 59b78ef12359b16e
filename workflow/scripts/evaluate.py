"""How well labels agree with the truth: nuclei found, missed and invented."""

import logging
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from nucleiflow import table_parts
from nucleiflow.batch import Batch, Item, open_batch
from nucleiflow.counting import occurrences
from nucleiflow.display import for_display
from nucleiflow.field import View
from nucleiflow.images import ImageError, encode_picture
from nucleiflow.joining import stem
from nucleiflow.labels import outlines
from nucleiflow.masks import find_mask, nearest, read_mask, read_truth

__all__ = ["Matches", "Score", "find_mask", "match", "pooled", "read_mask", "score"]

# Above this intersection over union, no object can match two.
MATCHED = 0.5
# A part of a split or merged object counts if it is larger than this share of the largest part.
RELEVANT = 0.1
# What became of an object, of the truth or found.
MATCH, MISSED, FALSE, SPLIT, MERGED = "matched", "missed", "false", "split", "merged"
# Colours that people who confuse red and green can tell apart (Okabe and Ito 2008).
COLORS = {
    MISSED: (213, 94, 0),
    FALSE: (86, 180, 233),
    SPLIT: (240, 228, 66),
    MERGED: (204, 121, 167),
}
PLAIN = (170, 170, 170)
# Pixels of the longer side of a picture, about.
SIDE = 1200
# Of the table, that wait in memory until they are written.
ROWS = 50_000
OBJECTS = pa.schema(
    [
        *((name, pa.string()) for name in ("directory", "batch", "image", "of")),
        ("label", pa.int32()),
        ("kind", pa.string()),
        ("iou", pa.float64()),
        ("match", pa.int32()),
        ("area", pa.int64()),
        ("centroid-0", pa.float64()),
        ("centroid-1", pa.float64()),
        ("boundary_offset", pa.float64()),
    ]
)


class Matches(NamedTuple):
    """Numbers of objects; those of several images may be added up.

    Attributes
    ----------
    tp : int
        True positives: objects that match one of the truth.
    fp : int
        False positives: objects that match none.
    fn : int
        False negatives: objects of the truth that nothing matches.
    """

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        """Share of the objects that are true; 1 without any object."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the truth that was found; 1 where there was nothing to find."""
        return _share(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where both images are empty."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def ap(self) -> float:
        """Average precision as the Data Science Bowl has it, tp / (tp + fp + fn).

        That is the Jaccard index of objects, f1 / (2 - f1); 1 where both images are empty.
        """
        return _share(self.tp, self.tp + self.fp + self.fn)


class Score(NamedTuple):
    """How well the labels of one image, or of several together, agree with the truth.

    Attributes
    ----------
    thresholds : tuple of float
        Of the intersection over union.
    truth, found : int
        Numbers of objects.
    tp : (thresholds,) array of int
        Pairs that match at each threshold.
    splits, merges : int
        Objects of the truth that were found in pieces; found objects that cover several of the
        truth. See `Comparison`.
    missed, false : int
        Objects of the truth and found ones, respectively, that match none above an intersection
        over union of 0.5, and are no part of a split or merge.
    pairs : int
        Pairs that match at 0.5.
    boundary_offset : float
        Mean over these pairs of how far the outline of a found object lies outside of the true
        one, in pixels: the difference between the radii of circles of their areas. Negative where
        found objects are too small; NaN without a pair.
    """

    thresholds: tuple[float, ...]
    truth: int
    found: int
    tp: np.ndarray
    splits: int
    merges: int
    missed: int
    false: int
    pairs: int
    boundary_offset: float

    @property
    def fp(self) -> np.ndarray:
        """Found objects that match none, at each threshold."""
        return self.found - self.tp

    @property
    def fn(self) -> np.ndarray:
        """Objects of the truth that nothing matches, at each threshold."""
        return self.truth - self.tp

    def at(self, threshold: float) -> Matches:
        """The numbers at one of the thresholds."""
        if threshold not in self.thresholds:
            raise ValueError(f"threshold is {threshold}, must be one of {self.thresholds}")
        tp = int(self.tp[self.thresholds.index(threshold)])
        return Matches(tp, self.found - tp, self.truth - tp)

    def f1(self, threshold: float) -> float:
        """F1 at one of the thresholds."""
        return self.at(threshold).f1

    @property
    def mean_f1(self) -> float:
        """Mean of F1 over the thresholds."""
        return float(np.mean([self.f1(threshold) for threshold in self.thresholds]))


class Side(NamedTuple):
    """Objects of the truth, or those that were found, one entry each.

    Attributes
    ----------
    labels, areas : (n,) array of int64
        Numbers in the image, and pixels.
    kinds : (n,) array of str
        `matched`, `split`, `merged`, and `missed` of the truth or `false` of what was found.
    iou : (n,) array of float64
        The largest intersection over union with any object of the other side.
    match : (n,) array of int64
        The number of the object that it matches above 0.5, or 0.
    """

    labels: np.ndarray
    areas: np.ndarray
    kinds: np.ndarray
    iou: np.ndarray
    match: np.ndarray


class Comparison(NamedTuple):
    """All objects of an image and what became of them.

    An object lies in one of the other side if more than half of its pixels do. An object of the
    truth is `split` if several found objects lie in it, each larger within it than a tenth of the
    largest; these are `split`, too. A found object is `merged` if several of the truth lie in it
    likewise; these are `merged`, too. What is both is `split`. Others are `matched` if their
    intersection over union with one exceeds 0.5, else `missed` or `false`. Splits and merges are
    after Caicedo et al. 2019 (Cytometry A 95, 952-965), who ask for an intersection over union
    above 0.1; a clump of ten nuclei found as one has none.

    Attributes
    ----------
    truth, found : Side
    iou : sparse array
        As of `overlaps`.
    splits, merges : int
        Objects of the truth that are split, and found objects that are merged.
    """

    truth: Side
    found: Side
    iou: csr_array
    splits: int
    merges: int

    def offsets(self) -> np.ndarray:
        """Boundary offset of each object of the truth in pixels, see `Score`; NaN unmatched."""
        result = np.full(self.truth.labels.size, np.nan)
        matched = self.truth.match > 0
        places = np.searchsorted(self.found.labels, self.truth.match[matched])
        radius, true_radius = (
            np.sqrt(areas / np.pi)
            for areas in (self.found.areas[places], self.truth.areas[matched])
        )
        result[matched] = radius - true_radius
        return result


def match(truth: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> Matches:
    """Match objects one to one where their intersection over union exceeds a threshold.

    From a threshold of 0.5 on, an object can exceed it with one other at most. Below, the most
    pairs that are possible are made.

    Parameters
    ----------
    truth, labels : (Y, X) array of integers
        0 background, other numbers objects. Gaps in the numbers are no objects.
    threshold : float
        From 0 to below 1. A pair of exactly this intersection over union is no match.

    Returns
    -------
    Matches

    Raises
    ------
    ValueError
        Where the shapes differ, the arrays are not of integers or hold negative numbers, or the
        threshold is out of range.

    References
    ----------
    Caicedo et al. 2019, Nucleus segmentation across imaging experiments: the 2018 Data Science
    Bowl, Nature Methods 16, 1247-1253.
    """
    iou, true_objects, found_objects = overlaps(truth, labels)
    tp = _pairs(iou, threshold)
    return Matches(tp, found_objects - tp, true_objects - tp)


def score(truth: np.ndarray, labels: np.ndarray, thresholds: Sequence[float]) -> Score:
    """Compare the labels of an image with the truth at several thresholds.

    Parameters
    ----------
    truth, labels : (Y, X) array of integers
        0 background, other numbers objects.
    thresholds : sequence of float
        Of the intersection over union, from 0 to below 1. A pair of exactly this is no match.

    Raises ValueError as `match` does.
    """
    return scored(compare(truth, labels), thresholds)


def scored(compared: Comparison, thresholds: Sequence[float]) -> Score:
    """The numbers of a comparison."""
    offsets = compared.offsets()
    pairs = int(np.count_nonzero(np.isfinite(offsets)))
    return Score(
        tuple(thresholds),
        compared.truth.labels.size,
        compared.found.labels.size,
        np.array([_pairs(compared.iou, threshold) for threshold in thresholds], int),
        compared.splits,
        compared.merges,
        int((compared.truth.kinds == MISSED).sum()),
        int((compared.found.kinds == FALSE).sum()),
        pairs,
        float(np.nanmean(offsets)) if pairs else math.nan,
    )


def pooled(scores: Sequence[Score]) -> Score:
    """The score of the objects of several images together, at least one.

    An image counts as much as it has objects. The mean of the images' own scores is another
    number: there, an image of one nucleus counts as much as one of a thousand.
    """
    pairs = sum(one.pairs for one in scores)
    offset = sum(one.pairs * one.boundary_offset for one in scores if one.pairs)
    names = ("truth", "found", "tp", "splits", "merges", "missed", "false", "pairs")
    totals = {name: sum(getattr(one, name) for one in scores) for name in names}
    offset = offset / pairs if pairs else math.nan
    return Score(scores[0].thresholds, **totals, boundary_offset=offset)


def compare(truth: np.ndarray, labels: np.ndarray) -> Comparison:
    """Say of every object of an image what became of it.

    Parameters and errors as of `match`.
    """
    shared, true_areas, found_areas = _intersections(truth, labels)
    iou = _iou(shared, true_areas, found_areas)
    rows, columns = shared.nonzero()
    pieces, split = _composed(rows, columns, shared.data, true_areas, found_areas)
    clump, merged = _composed(columns, rows, shared.data, found_areas, true_areas)
    best_true, best_found = np.zeros(true_areas.size), np.zeros(found_areas.size)
    np.maximum.at(best_true, rows, iou.data)
    np.maximum.at(best_found, columns, iou.data)
    match_true, match_found = np.zeros(true_areas.size, int), np.zeros(found_areas.size, int)
    pair = iou.data > MATCHED
    match_true[rows[pair]], match_found[columns[pair]] = columns[pair], rows[pair]
    return Comparison(
        _side(true_areas, best_true, match_true, split=pieces, merged=merged, alone=MISSED),
        _side(found_areas, best_found, match_found, split=split, merged=clump, alone=FALSE),
        iou,
        int(pieces.sum()),
        int(clump.sum()),
    )


def overlaps(truth: np.ndarray, labels: np.ndarray) -> tuple[csr_array, int, int]:
    """Intersection over union of all pairs of objects that share a pixel.

    Parameters
    ----------
    truth, labels : (Y, X) array of integers
        0 background, other numbers objects.

    Returns
    -------
    iou : sparse (largest of truth + 1, largest of labels + 1) array of float64, CSR
        By the numbers of the objects; row and column 0 are empty.
    true_objects, found_objects : int
        How many objects there are in `truth` and in `labels`.
    """
    shared, true_areas, found_areas = _intersections(truth, labels)
    iou = _iou(shared, true_areas, found_areas)
    return iou, int(np.count_nonzero(true_areas)), int(np.count_nonzero(found_areas))


def _intersections(
    truth: np.ndarray, labels: np.ndarray
) -> tuple[csr_array, np.ndarray, np.ndarray]:
    """Pixels that pairs of objects share, and areas by number, that of the background 0."""
    for name, array in (("truth", truth), ("labels", labels)):
        if array.dtype.kind not in "iu":
            raise ValueError(f"{name} are of type {array.dtype}, must be integers")
        if array.size and array.min() < 0:
            raise ValueError(f"{name} hold negative numbers")
    if truth.shape != labels.shape:
        raise ValueError(f"truth has the shape {truth.shape} and labels {labels.shape}")
    true_areas, found_areas = (occurrences(array, 1) for array in (truth, labels))
    both = (truth > 0) & (labels > 0)
    rows, columns = truth[both].astype(np.int64), labels[both].astype(np.int64)
    # Equal pairs are added up, which gives the intersections.
    shared = coo_array(
        (np.ones(rows.size), (rows, columns)), shape=(true_areas.size, found_areas.size)
    ).tocsr()
    true_areas[0] = found_areas[0] = 0
    return shared, true_areas, found_areas


def _iou(shared: csr_array, true_areas: np.ndarray, found_areas: np.ndarray) -> csr_array:
    iou = shared.copy()
    rows, columns = iou.nonzero()
    iou.data /= true_areas[rows] + found_areas[columns] - iou.data
    return iou


def _pairs(iou: csr_array, threshold: float) -> int:
    """How many pairs exceed a threshold, each object in one pair at most."""
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold is {threshold}, must be from 0 to below 1")
    if threshold >= MATCHED:
        return int((iou.data > threshold).sum())
    pairs = iou.copy()
    pairs.data = (pairs.data > threshold).astype(np.int8)
    pairs.eliminate_zeros()
    return int((maximum_bipartite_matching(pairs) >= 0).sum())


def _composed(
    wholes: np.ndarray,
    parts: np.ndarray,
    shared: np.ndarray,
    whole_areas: np.ndarray,
    part_areas: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Which objects consist of several of the other side, and which those are, by number.

    `wholes`, `parts` and `shared` are the pairs that share pixels, and how many.
    """
    inside = 2 * shared > part_areas[parts]
    wholes, parts, shared = wholes[inside], parts[inside], shared[inside]
    largest = np.zeros(whole_areas.size)
    np.maximum.at(largest, wholes, shared)
    relevant = shared > RELEVANT * largest[wholes]
    composed = np.bincount(wholes[relevant], minlength=whole_areas.size) > 1
    of_several = np.zeros(part_areas.size, bool)
    of_several[parts[relevant & composed[wholes]]] = True
    return composed, of_several


def _side(
    areas: np.ndarray,
    iou: np.ndarray,
    match: np.ndarray,
    split: np.ndarray,
    merged: np.ndarray,
    alone: str,
) -> Side:
    """One side of a comparison, from arrays by number, without the numbers that no object has."""
    kinds = np.where(match > 0, MATCH, alone)
    kinds = np.select([split, merged], [SPLIT, MERGED], kinds)
    labels = np.flatnonzero(areas)
    return Side(labels, areas[labels], kinds[labels], iou[labels], match[labels])


def object_table(truth: np.ndarray, labels: np.ndarray, compared: Comparison) -> pa.Table:
    """A row for each object, those of the truth first: OBJECTS without where the image is."""
    offsets = compared.offsets()
    places = np.searchsorted(compared.truth.labels, compared.found.match)
    # Unmatched ones are 0, which no object is, and get the last entry.
    places[compared.found.match == 0] = -1
    sides = (
        ("truth", truth, compared.truth, offsets),
        ("found", labels, compared.found, np.append(offsets, np.nan)[places]),
    )
    tables = []
    for name, image, side, offset in sides:
        columns = {"of": [name] * side.labels.size, "label": side.labels, "kind": side.kinds}
        columns |= {"iou": side.iou, "match": side.match, "area": side.areas}
        for axis, middle in enumerate(_centroids(image, side.labels)):
            columns[f"centroid-{axis}"] = middle
        columns["boundary_offset"] = pa.array(offset, pa.float64(), from_pandas=True)
        tables.append(pa.table(columns, schema=pa.schema(list(OBJECTS)[3:])))
    return pa.concat_tables(tables)


def _centroids(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean row and column of objects."""
    rows, columns = np.nonzero(image)
    numbers = image[rows, columns]
    sums = (np.bincount(numbers, place, labels.max(initial=0) + 1) for place in (rows, columns))
    areas = np.bincount(numbers, minlength=labels.max(initial=0) + 1)[labels]
    return tuple(total[labels] / areas for total in sums)


def draw(
    image: np.ndarray, truth: np.ndarray, labels: np.ndarray, compared: Comparison, title: str
) -> np.ndarray:
    """A picture of what is wrong: outlines by kind, a title and a legend with numbers.

    Parameters
    ----------
    image : (Y, X, 3) array of uint8, RGB
    truth, labels : (Y, X) array of int32
    compared : Comparison
        Of these.
    title : str

    Returns
    -------
    picture : (Y', X', 3) array of uint8, RGB
        Small images are enlarged by a whole number, large ones shrunk. Missed objects have their
        true outline, dashed; all others the outline that was found, and merged ones both.
    """
    factor = SIDE / max(labels.shape)
    factor = max(1, math.floor(factor)) if factor > 0.5 else factor
    shape = tuple(max(1, round(length * factor)) for length in labels.shape)
    shrunk = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    picture = cv2.resize(image, shape[::-1], interpolation=shrunk)
    # Dimmed, so that outlines stand out on bright nuclei, too.
    picture = (picture * 0.7).astype(np.uint8)
    truth, labels = nearest(truth, shape), nearest(labels, shape)
    rows, columns = np.indices(shape, sparse=True)
    dashes = (rows + columns) // 6 % 2 == 0
    true_edges = outlines(truth) & dashes
    missed = true_edges & _is_of(MISSED, truth, compared.truth)
    edges = outlines(labels)
    picture[edges & _is_of(MATCH, labels, compared.found)] = PLAIN
    thick = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
    for kind, color in COLORS.items():
        edge = missed if kind == MISSED else edges & _is_of(kind, labels, compared.found)
        picture[cv2.dilate(edge.astype(np.uint8), thick) > 0] = color
    picture[true_edges & _is_of(MERGED, truth, compared.truth)] = COLORS[MERGED]
    counts = {
        MISSED: (compared.truth.kinds == MISSED).sum(),
        FALSE: (compared.found.kinds == FALSE).sum(),
        SPLIT: compared.splits,
        MERGED: compared.merges,
    }
    return _captioned(picture, title, counts)


def _is_of(kind: str, labels: np.ndarray, side: Side) -> np.ndarray:
    """Pixels of objects of a kind, (Y, X) array of bool."""
    chosen = np.zeros(side.labels.max(initial=0) + 1, bool)
    chosen[side.labels[side.kinds == kind]] = True
    return chosen[labels]


def _captioned(picture: np.ndarray, title: str, counts: dict[str, int]) -> np.ndarray:
    """A picture with its title above it and a legend below."""
    width = max(picture.shape[1], 700)
    result = np.full((picture.shape[0] + 68, width, 3), 255, np.uint8)
    result[34:-34, : picture.shape[1]] = picture
    # OpenCV's font has no letters outside ASCII.
    _write(result, title.encode("ascii", "replace").decode(), 8, 23)
    left = 8
    entries = [(kind, f"{kind} {counts[kind]}", color) for kind, color in COLORS.items()]
    for kind, text, color in [*entries, (MATCH, "right", PLAIN)]:
        middle = result.shape[0] - 17
        # A dark ground, as in the picture: yellow cannot be seen on white.
        result[middle - 9 : middle + 10, left : left + 40] = 40
        thickness = 1 if kind == MATCH else 3
        for start in range(left + 4, left + 36, 8 if kind == MISSED else 32):
            end = min(start + (4 if kind == MISSED else 32), left + 36)
            cv2.line(result, (start, middle), (end, middle), color, thickness)
        _write(result, text, left + 46, middle + 6)
        left += 138
    return result


def _write(picture: np.ndarray, text: str, x: int, y: int) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(picture, text, (x, y), font, 0.55, (0, 0, 0), 1, cv2.LINE_AA)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def compute(item: Item, settings: dict) -> dict:
    """One image of the batch."""
    path = mask_of(item, settings)
    if path is None:
        return {}
    truth, labels, kind = both(item, path, settings)
    compared = compare(truth, labels)
    result = scored(compared, settings["thresholds"])
    item.result = object_table(truth, labels, compared)
    item.facts["mask"] = path.relative_to(settings["masks"]).as_posix()
    item.facts["mask_kind"] = kind
    item.facts["score"] = result._asdict() | {"tp": result.tp.tolist()}
    return {}


def mask_of(item: Item, settings: dict) -> Path | None:
    """The mask of an image of the batch, or None."""
    image, others = item.record["image"], [stem(file.path) for file in item.files]
    if len(others) == 1 and image.startswith(others[0] + "_"):
        # One of several positions or times in a file.
        others = []
    path = find_mask(Path(settings["masks"]), item.record["directory"], image, others)
    if path is not None and item.source.exists() and os.path.samefile(path, item.source):
        return None
    return path


def both(item: Item, path: Path, settings: dict) -> tuple[np.ndarray, np.ndarray, str]:
    """The objects of an image that are true, those that were found, and the kind of the mask."""
    labels = item.read("labels")
    if settings["background"]:
        labels = np.maximum(labels - 1, 0)
    full = item.record["height"], item.record["width"]
    truth, kind = read_truth(path, labels.shape, View(**settings["view"]), full)
    return truth, labels, kind


def tables(batch: Batch) -> Iterator[pa.Table]:
    """Compare a batch; gives the objects of some images at a time, `ROWS` or so, at least once."""
    waiting, rows = [OBJECTS.empty_table()], 0
    for image in batch.each(compute):
        for item in image:
            if item.result is not None:
                place = (item.record[name] for name in ("directory", "batch", "image"))
                columns = [pa.array([name] * len(item.result), pa.string()) for name in place]
                columns += item.result.columns
                waiting.append(pa.table(columns, schema=OBJECTS))
                rows += len(item.result)
                item.result = None
        if rows >= ROWS:
            yield pa.concat_tables(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def badness(score: dict) -> tuple[float, int]:
    """By which the worst images come first."""
    score = Score(**score | {"tp": np.array(score["tp"])})
    return score.mean_f1, -int(score.fp.sum() + score.fn.sum())


def write_worst(batch: Batch) -> None:
    """Draw the worst images of a batch, as many as may be among the worst of all."""
    items = [item for item in batch.items if "score" in item.record]
    items.sort(key=lambda item: badness(item.record["score"]))
    for item in items[: batch.settings["worst"]]:
        truth, labels, _ = both(item, mask_of(item, batch.settings), batch.settings)
        image = ground(item, batch.settings["view"], labels.shape)
        record, score = item.record, item.record["score"]
        title = f"{record['directory']}/{record['image']}".removeprefix("./")[-60:]
        title += f": {score['truth']} true, {score['found']} found"
        title += f", mean F1 {badness(score)[0]:.2f}"
        picture = draw(image, truth, labels, compare(truth, labels), title)
        (batch.folder / f"{record['image']}.jpg").write_bytes(encode_picture(picture, "jpg"))


def ground(item: Item, view: dict, shape: tuple[int, int]) -> np.ndarray:
    """The image under the outlines, black where it cannot be read any more."""
    try:
        with item.field(view) as field:
            image = for_display(field.image(field.segmented()))
        if image.shape[:2] == shape:
            return image
        logging.warning("%s changed its size, outlines are drawn on black", item.source)
    except ImageError as error:
        logging.warning("%s: %s, outlines are drawn on black", item.source, error)
    return np.zeros((*shape, 3), np.uint8)


if "snakemake" in globals():
    with open_batch(snakemake, whole=True) as batch:
        path = batch.folder / "objects.parquet"
        table_parts.write_parquet(tables(batch), path, compression="zstd")
        write_worst(batch)
