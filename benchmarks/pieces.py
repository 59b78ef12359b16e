"""What tells one nucleus from two: fits the odds in `nucleiflow.pieces` to masks.

The masks of every second image of dsb2018 (`dsb2018/images` and `dsb2018/masks` below
NUCLEIFLOW_TEST_DATA, or else below `../shared/data` beside the checkout) say of each pair of
pieces that touch whether it belongs to one nucleus. Pieces are joined by the truth for three
rounds, so that there are pieces of all sizes among them. Each image counts the same, however many
nuclei it has.
"""

import os
from pathlib import Path

import cv2
import numpy as np
from measured import skip
from scipy.optimize import minimize
from scipy.sparse import coo_array
from stages import ROOT, preprocess, read, stage_settings, threshold

import markers
from nucleiflow.distance import distance_transform
from nucleiflow.pieces import ODDS, Pieces, joined, likeness, pieces
from nucleiflow.scale import diameter

ROUNDS = 3


def owners(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The nucleus of each piece, by its pixels; 0 where two thirds lie outside of any."""
    shape = int(labels.max()) + 1, int(truth.max()) + 1
    table = coo_array((np.ones(labels.size), (labels.ravel(), truth.ravel())), shape).toarray()
    table[:, 0] *= 0.5
    return table.argmax(axis=1)


def examples(found: Pieces, own: np.ndarray, size: float) -> tuple[list, list]:
    """What is seen of the pairs that touch in each round, and whether they are one nucleus."""
    seen, same = [], []
    for _ in range(ROUNDS):
        if not found.first.size:
            break
        one, other = own[found.first], own[found.second]
        known = (one > 0) & (other > 0)
        seen.append(np.stack(list(likeness(found, size).values()), axis=1)[known])
        same.append((one == other)[known])
        pairs, taken = (one == other) & known, set()
        for pair in np.flatnonzero(pairs):
            ends = {found.first[pair], found.second[pair]}
            pairs[pair] = not ends & taken
            taken |= ends if pairs[pair] else set()
        if not pairs.any():
            break
        found, new = joined(found, pairs)
        before, own = own, np.zeros(found.count + 1, int)
        own[new] = before
    return seen, same


def fitted(seen: np.ndarray, same: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Logistic regression: the constant, then a factor for each column of `seen`."""
    mean, spread = seen.mean(axis=0), seen.std(axis=0)
    columns = np.column_stack([np.ones(len(seen)), (seen - mean) / spread])
    sign = np.where(same, 1, -1)

    def loss(factors: np.ndarray) -> float:
        penalty = 1e-3 * (factors[1:] ** 2).sum()
        return (weight * np.logaddexp(0, -sign * (columns @ factors))).sum() + penalty

    factors = minimize(loss, np.zeros(columns.shape[1])).x
    scaled = factors[1:] / spread
    return np.concatenate([[factors[0] - (scaled * mean).sum()], scaled])


def main() -> None:
    """Print the odds that fit best beside those in use."""
    data = Path(os.environ.get("NUCLEIFLOW_TEST_DATA", ROOT.parent / "shared" / "data"))
    folder = data / "dsb2018"
    if not folder.is_dir():
        skip(f"there is no {folder}, set NUCLEIFLOW_TEST_DATA to the folder above it")
    cv2.setNumThreads(1)
    options = stage_settings({})
    steps = {key: options["preprocess"][key] for key in ("denoise", "background", "log")}
    seen, same, weights = [], [], []
    for name in sorted(path.name for path in (folder / "images").iterdir())[::2]:
        image = preprocess.preprocess(read(folder / "images" / name), **steps)
        mask = threshold.threshold(image, **options["threshold"])
        if not mask.any():
            continue
        size = max(diameter(mask), markers.LEAST_DIAMETER)
        distance = distance_transform(mask, options["markers"]["distance_mask"])
        labels, net = markers.cut_in_pieces(image, mask, distance, size)
        truth = read(folder / "masks" / name)
        found = pieces(labels, net, distance)
        more, known = examples(found, owners(labels, truth), size)
        seen += more
        same += known
        nuclei = len(np.unique(truth)) - 1
        weights += [np.full(len(part), 1 / max(5, nuclei)) for part in known]
    factors = fitted(np.concatenate(seen), np.concatenate(same), np.concatenate(weights))
    print(f"{sum(map(len, same)):,} pairs")
    for (name, used), factor in zip(ODDS.items(), factors, strict=True):
        print(f"  {name:12}{factor:8.1f}  (in use {used:.1f})")


if __name__ == "__main__":
    main()
