"""Pieces of a mask that touch, and which of them are one nucleus."""

from dataclasses import dataclass

import numpy as np

from nucleiflow.regions import ellipticity, moments

# Log odds that two pieces which touch are one nucleus, of `likeness`: a logistic regression on
# 2,439 pairs in every second image of the Data Science Bowl 2018 (benchmarks/pieces.py).
ODDS = {
    "constant": -16.5,
    "ellipticity": 4.3,
    "valley": -10.7,
    "middle": 15.0,
    "edge": -11.2,
    "waist": 3.6,
    "evenness": 8.0,
    "size": -1.6,
}


@dataclass
class Pieces:
    """Pieces and the pairs of them that touch; sums, so that those of joined pieces add up.

    Attributes
    ----------
    shape : (n + 1, 6) array of float64
        As `nucleiflow.regions.moments` gives them.
    light : (n + 1,) array of float64
        Sums of the intensity above ground.
    depth : (n + 1,) array of float64
        Largest distance to the background in pixels.
    first, second : (m,) arrays of int
        The pieces of each pair, the lower number first.
    border : (m, 4) array of float64
        Over the pairs of pixels, one on each side: their number, and the sums of the intensity of
        the dimmer one, of both on average, and of the gradient.
    pass_ : (m,) array of float64
        Largest distance to the background on the border.
    """

    shape: np.ndarray
    light: np.ndarray
    depth: np.ndarray
    first: np.ndarray
    second: np.ndarray
    border: np.ndarray
    pass_: np.ndarray

    @property
    def count(self) -> int:
        """Number of pieces."""
        return len(self.light) - 1


def pieces(labels: np.ndarray, net: np.ndarray, distance: np.ndarray) -> Pieces:
    """Look at all pieces and their borders.

    Parameters
    ----------
    labels : (Y, X) array of int32
        0 background, 1..n pieces.
    net : (Y, X) array of float32
        Intensity above the ground.
    distance : (Y, X) array of float32
        Distance to the background in pixels.
    """
    count = int(labels.max())
    flat, light, far = (part.ravel() for part in (labels, net, distance))
    width, there, pairs = labels.shape[1], flat > 0, []
    inside = np.flatnonzero(there)
    for step, last in ((1, -1), (width - 1, 0), (width, None), (width + 1, -1)):
        differs = np.zeros(flat.size, bool)
        touching = differs[: max(flat.size - step, 0)]
        np.not_equal(flat[: touching.size], flat[step:], out=touching)
        touching &= there[: touching.size]
        touching &= there[step:]
        if last is not None:
            # What follows in the flat array is in the next row.
            differs.reshape(labels.shape)[:, last] = False
        here = np.flatnonzero(differs)
        pairs.append((here, here + step))
    one, other = np.concatenate(pairs, axis=1)
    border = (
        np.ones(one.size),
        np.minimum(light[one], light[other]),
        (light[one] + light[other]) / 2,
        (_steepness(net, one) + _steepness(net, other)) / 2,
    )
    own = flat[inside]
    # In one type, as NumPy is slow where it has to convert.
    depth = np.zeros(count + 1, np.float32)
    np.maximum.at(depth, own, far[inside])
    return Pieces(
        moments(labels, count),
        np.bincount(own, light[inside], count + 1),
        depth.astype(np.float64),
        *_pairs(
            flat[one],
            flat[other],
            np.stack(border, axis=1),
            np.minimum(far[one], far[other]),
            count,
        ),
    )


def _steepness(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Length of the gradient a pixel at some places of the flat image, by Sobel's filter.

    Of all places it would take the memory of three more images.
    """
    height, width = image.shape
    row, column = np.divmod(places, width)
    rows = [np.clip(row + step, 0, height - 1) * width for step in (-1, 0, 1)]
    columns = [np.clip(column + step, 0, width - 1) for step in (-1, 0, 1)]
    flat = image.ravel()
    down, right = np.zeros((2, places.size), np.float32)
    for weight, beside in zip((1, 2, 1), range(3), strict=True):
        for sign, end in ((-1, 0), (1, 2)):
            down += sign * weight * flat[rows[end] + columns[beside]]
            right += sign * weight * flat[rows[beside] + columns[end]]
    return np.hypot(down, right) / np.float32(8)


def _pairs(
    one: np.ndarray, other: np.ndarray, border: np.ndarray, pass_: np.ndarray, count: int
) -> tuple[np.ndarray, ...]:
    """Each pair once, its borders added up."""
    low, high = np.minimum(one, other).astype(np.int64), np.maximum(one, other)
    pair, index = np.unique(low * (count + 1) + high, return_inverse=True)
    sums = [np.bincount(index, part, pair.size) for part in border.T]
    deepest = np.zeros(pair.size)
    np.maximum.at(deepest, index, pass_)
    return *np.divmod(pair, count + 1), np.stack(sums, axis=1), deepest


def likeness(found: Pieces, diameter: float) -> dict[str, np.ndarray]:
    """What tells whether the pieces of a pair are one nucleus; each (m,) array of float64.

    Parameters
    ----------
    found : Pieces
    diameter : float
        Of a typical nucleus, in pixels.

    Returns
    -------
    dict
        ellipticity : of the union
        valley, middle : intensity of the dimmer side and of both along the border, over that of
            the dimmer piece
        edge : gradient along the border a pixel, over that intensity
        waist : distance to the background on the border over that in the slimmer piece
        evenness : intensity of the dimmer piece over that of the brighter one
        size : diameter of the smaller piece over the typical one
    """
    one, other = found.first, found.second
    area = found.shape[:, 0]
    mean = np.maximum(found.light / np.maximum(area, 1), 1e-3)
    dim, bright = np.minimum(mean[one], mean[other]), np.maximum(mean[one], mean[other])
    _, valley, middle, edge = (found.border / found.border[:, :1]).T / dim
    depth = np.minimum(found.depth[one], found.depth[other])
    told = {
        "ellipticity": ellipticity(found.shape[one] + found.shape[other]),
        "valley": valley,
        "middle": middle,
        "edge": edge,
        "waist": found.pass_ / np.maximum(depth, 0.1),
        "evenness": dim / bright,
        "size": np.sqrt(np.minimum(area[one], area[other]) * 4 / np.pi) / diameter,
    }
    # Without light in one of them, ratios are boundless.
    return {name: np.clip(values, -9, 9) for name, values in told.items()}


def log_odds(told: dict[str, np.ndarray]) -> np.ndarray:
    """Log odds that the pieces of each pair are one nucleus, from `likeness`."""
    return ODDS["constant"] + sum(ODDS[name] * values for name, values in told.items())


def merge(found: Pieces, diameter: float, bias: float) -> np.ndarray:
    """Join the likeliest pairs, one after another, until none is likely any more.

    Parameters
    ----------
    found : Pieces
    diameter : float
        Of a typical nucleus, in pixels.
    bias : float
        Added to the log odds.

    Returns
    -------
    (n + 1,) array of int
        The number of the nucleus, from 1, of each piece.
    """
    owner = np.arange(found.count + 1)
    while found.first.size:
        odds = log_odds(likeness(found, diameter)) + bias
        best = np.zeros(found.count + 1)
        np.maximum.at(best, found.first, odds)
        np.maximum.at(best, found.second, odds)
        likely = (odds > 0) & (odds == best[found.first]) & (odds == best[found.second])
        if not likely.any():
            break
        # Of pairs that are equally likely and share a piece, the first; the others come later.
        for side in (found.first, found.second):
            chosen = np.flatnonzero(likely)
            _, first = np.unique(side[chosen], return_index=True)
            likely[np.delete(chosen, first)] = False
        chained = np.intersect1d(found.first[likely], found.second[likely])
        likely &= ~np.isin(found.first, chained)
        found, new = joined(found, likely)
        owner = new[owner]
    return owner


def joined(found: Pieces, pairs: np.ndarray) -> tuple[Pieces, np.ndarray]:
    """The pieces after some pairs, that share no piece, became one; and each one's new number."""
    target = np.arange(found.count + 1)
    target[found.second[pairs]] = found.first[pairs]
    left, new = np.unique(target, return_inverse=True)
    depth = np.zeros(left.size)
    np.maximum.at(depth, new, found.depth)
    one, other = new[found.first], new[found.second]
    apart = one != other
    sums = [np.bincount(new, part, left.size) for part in (*found.shape.T, found.light)]
    pairs = _pairs(one[apart], other[apart], found.border[apart], found.pass_[apart], left.size - 1)
    return Pieces(np.stack(sums[:-1], axis=1), sums[-1], depth, *pairs), new
