"""Numbers that tell whether an image is fit to be measured: focus, light, noise, saturation."""

import functools
import math
from typing import NamedTuple

import cv2
import numpy as np

from nucleiflow.labels import border_pixels
from nucleiflow.medians import median
from nucleiflow.reduced import reduced

# What a camera or a converter of so many bits gives at most, in an integer type of 8 or 16 bits:
# of 8, 10, 12, 14 and 16 bits, and of 10, 12 and 14 bits in the upper bits of 16.
FULL_SCALE = (255, 1023, 4095, 16383, 65535, 65472, 65520, 65532)
# Without one of these, so many pixels at the image's highest value, and so many times more than at
# any value in the uppermost part of its range below, are saturated.
PLATEAU, STEEPER, UPPERMOST = 10, 4, 0.05
# Standard deviation of the blur before the Laplacian: so many pixels, or this share of a nucleus.
SIGMA, SIGMA_SHARE = 1.5, 1 / 20
# Nuclei wider than twice this are made smaller before focus is measured.
WIDE = 30
# What lies so near to a nucleus, as a share of its diameter or in pixels, is not ground.
NEAR_SHARE, NEAR = 1 / 4, 4
# Of ground, so much of the image must be left, or all that is no nucleus is taken.
LEAST_GROUND = 0.01
# So many pixels are looked at for medians, and so many tiles along each side for the spectrum.
SAMPLE, SPECTRA = 1 << 15, 5
# The parts behind the point of its multiples are spread more evenly than those of any other number.
GOLDEN = (5**0.5 - 1) / 2
# Pixels so many times as far above ground as nuclei are not nuclei.
GLARING = 6
# Side of the pieces of an image whose spectra are averaged, and the least side of one.
TILE, LEAST_TILE = 256, 32
# Tiles along each side in which the level of the ground is measured.
LIGHT_TILES = 8
# Rows that are filtered at a time: what fits into the processor's cache takes half the time.
ROWS = 128
# A filter of the whole image takes less than nine looks at more than this share of its pixels.
DENSE = 8
# Beyond this no sum of squares is a number.
HUGE = 1e150
# Second differences along rows and columns: nothing of a smooth image, and of white noise so many
# times its standard deviation (Immerkaer 1996). Whole numbers, which leave nothing of a constant.
RESIDUAL = np.outer((1, -2, 1), (1, -2, 1)).astype(np.float32)
GAIN = 6


class Places(NamedTuple):
    """Where to look in the channels of an image.

    Attributes
    ----------
    nuclei, ground : (n,) arrays of int64
        Some pixels of nuclei, and some that are far from them, in the raveled image.
    ends : (t,) array of int64
        Where the pixels of the ground in each tile of the image end, which stand together.
    near : (Y, X) array of uint8
        1 in nuclei and around them, else 0.
    area : float
        Of a typical nucleus, in pixels: half of the area of all belongs to larger ones. 0 without.
    """

    nuclei: np.ndarray
    ground: np.ndarray
    ends: np.ndarray
    near: np.ndarray
    area: float


class Channel(NamedTuple):
    """A channel, whose values are made float32 where they are looked at: (value - low) / scale.

    What is not finite counts as `fill`.
    """

    image: np.ndarray
    low: float
    scale: float
    fill: float | None

    def values(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """A part of it as (y, x) array of float32."""
        return self._converted(self.image[rows, columns])

    def at(self, indices: np.ndarray) -> np.ndarray:
        """Pixels of the raveled image as (n,) array of float32."""
        return self._converted(self.image.ravel().take(indices))

    def _converted(self, part: np.ndarray) -> np.ndarray:
        if (self.low, self.scale) == (0, 1):
            return part.astype(np.float32)
        part = part.astype(np.float64)
        if self.fill is not None:
            part[~(np.abs(part) < HUGE)] = self.fill
        return ((part - self.low) / self.scale).astype(np.float32)


def of_nuclei(labels: np.ndarray, frame: int = 0) -> tuple[dict, Places]:
    """What the labels alone tell of an image, and where to look in its channels.

    Parameters
    ----------
    labels : (Y, X) array of int32
        0 background, other numbers nuclei.
    frame : int
        Width of the frame of the image in which there can be no label.

    Returns
    -------
    numbers : dict
        `objects`, `foreground` (share of the pixels), `median_area` (pixels), `border_share`
        (share of the objects that touch the border); None where there is nothing to tell.
    places : Places
    """
    inside = labels > 0
    at = np.flatnonzero(inside)
    areas = np.bincount(labels.ravel()[at])
    areas = np.sort(areas[areas > 0])
    on_border = np.unique(border_pixels(labels, frame))
    numbers = {
        "objects": areas.size,
        "foreground": _rounded(at.size / labels.size),
        "median_area": _rounded(np.median(areas)) if areas.size else None,
        "border_share": _rounded((on_border > 0).sum() / areas.size) if areas.size else None,
    }
    typical = float(areas[np.searchsorted(np.cumsum(areas), at.size / 2)]) if areas.size else 0.0
    near = inside.view(np.uint8)
    if areas.size:
        reach = max(NEAR, math.ceil(NEAR_SHARE * _diameter(typical)))
        near = cv2.dilate(near, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    ground = np.flatnonzero((near ^ 1).view(bool))
    if ground.size < LEAST_GROUND * labels.size:
        ground = np.flatnonzero(~inside)
    ground, ends = _by_tiles(_some(ground), labels.shape)
    return numbers, Places(_some(at), ground, ends, near, typical)


def of_channel(image: np.ndarray, places: Places, camera: np.ndarray | None = None) -> dict:
    """What is to be known of a channel.

    Parameters
    ----------
    image : (Y, X) array of numbers
        Left unmodified. Pixels that are not finite count as background.
    places : Places
        Of the image's nuclei.
    camera : (Y, X) array of numbers
        What the camera wrote, where the image was corrected since.

    Returns
    -------
    dict of float or None
        `focus`, `power_slope`, `saturated`, `lowest`, `background`, `noise`, `signal_to_noise` and
        `evenness`, the level of the ground where it is low over that where it is high; `span`, how
        far the one is below the other, over how far nuclei rise above the ground; `glare`, pixels
        that rise more than 6 times as far as nuclei, in areas of a nucleus. None where there is no
        such number.
    """
    saturated, lowest = extremes(image if camera is None else camera)
    found = {"focus": None, "power_slope": None, "saturated": saturated, "lowest": lowest}
    found |= dict.fromkeys(("background", "noise", "signal_to_noise", "evenness", "span", "glare"))
    channel = opened(image)
    if channel:
        found["power_slope"] = power_slope(channel)
    if channel and places.area:
        found["focus"] = focus(channel, places)
    if channel and places.ground.size:
        ground = channel.at(places.ground)
        level, noise = median(ground), noise_of(channel, places.ground)
        step = 1.0 if channel.image.dtype.kind in "iu" else 0.0
        reach = max(2 * (noise or 0.0), step / channel.scale)
        zero, (low, high) = -channel.low / channel.scale, light(ground, places.ends, reach)
        found["background"] = level * channel.scale + channel.low
        found["noise"] = None if noise is None else noise * channel.scale
        found["evenness"] = max(low - zero, 0) / (high - zero) if high > zero else None
        if places.nuclei.size:
            signal = median(channel.at(places.nuclei)) - level
            found["signal_to_noise"] = signal / noise if noise else None
            if signal > 0:
                glaring = (level + GLARING * signal) * channel.scale + channel.low
                found["glare"] = np.count_nonzero(image > glaring) / places.area
                found["span"] = (high - low) / signal
    return {name: _rounded(value) for name, value in found.items()}


def opened(image: np.ndarray) -> Channel | None:
    """An image as `Channel`, or None where no pixel is finite."""
    # Else each look at some of its pixels would copy all of them.
    image = np.ascontiguousarray(image)
    if image.dtype.kind in "iu" and image.dtype.itemsize <= 2:
        return Channel(image, 0.0, 1.0, None)
    low, high, fill = float(image.min()), float(image.max()), None
    if not (abs(low) < HUGE and abs(high) < HUGE):
        finite = image[np.abs(image.astype(np.float64)) < HUGE]
        if not finite.size:
            return None
        low, high, fill = float(finite.min()), float(finite.max()), float(np.median(finite))
    return Channel(image, low, high - low or 1.0, fill)


def extremes(image: np.ndarray) -> tuple[float | None, float | None]:
    """Shares of saturated pixels, and of pixels at the image's lowest value.

    Saturated are pixels at the full scale of a known number of bits. Where the image's highest
    value is none, they are those at its highest value, if there are many more of them than at
    values little below: where light is cut off, a tail of few bright pixels ends in many equal
    ones, as of cameras and converters that stop short of their type.

    Returns None for an image without a finite pixel.
    """
    whole, values = image.dtype.kind in "iu", image
    low, high = values.min(), values.max()
    if not (whole or (np.isfinite(low) and np.isfinite(high))):
        values = image[np.isfinite(image)]
        if not values.size:
            return None, None
        low, high = values.min(), values.max()
    at_high = np.count_nonzero(values == high)
    lowest = np.count_nonzero(values == low) / image.size
    if whole and image.dtype.itemsize <= 2 and int(high) in FULL_SCALE:
        return at_high / image.size, lowest
    if at_high < PLATEAU or low == high:
        return 0.0, lowest
    start = float(high) - UPPERMOST * (float(high) - float(low))
    _, below = np.unique(values[(values < high) & (values >= start)], return_counts=True)
    cut = below.size and at_high > STEEPER * below.max()
    return (at_high / image.size if cut else 0.0), lowest


def focus(channel: Channel, places: Places) -> float | None:
    """How much of the image of nuclei is fine detail: large where they are sharp.

    The variance of the Laplacian of a blurred image over that of the image itself, in and around
    nuclei, without the part of each that noise has, times squares of the blur and of the diameter
    of a nucleus. So it depends neither on exposure, noise and number of nuclei nor on their size
    and the magnification: what counts is the blur as a share of a nucleus. It is about 5 to 10
    where nuclei are sharp and below 1 where a Gaussian blurs a quarter of a diameter.

    Parameters
    ----------
    channel : Channel
    places : Places
        Of at least one nucleus.

    Returns
    -------
    float, or None where there is nothing but noise.
    """
    diameter = _diameter(places.area)
    factor = max(int(diameter / WIDE), 1)
    diameter /= factor
    sigma = max(SIGMA, SIGMA_SHARE * diameter)
    reach = round(3 * sigma) + 1
    height, width = (side // factor for side in channel.image.shape)
    columns = slice(0, width * factor)
    # Number of pixels, sums of values, of their squares, and of those of noise and of detail.
    sums = np.zeros(5)
    for top in range(0, height, ROWS):
        rows = slice(top * factor, min(top + ROWS, height) * factor, factor)
        near = np.ascontiguousarray(places.near[rows, columns][:, ::factor])
        count = cv2.countNonZero(near)
        if not count:
            continue
        first = max(top - reach, 0)
        end = min(top + ROWS + reach, height)
        part = channel.values(slice(first * factor, end * factor), columns)
        part = reduced(part, factor) if factor > 1 else part
        inner = slice(top - first, top - first + len(near))
        noise = cv2.filter2D(part, -1, RESIDUAL)[inner]
        detail = _laplacian(part, sigma)[inner]
        part = part[inner]
        squares = (cv2.norm(each, cv2.NORM_L2SQR, near) for each in (part, noise, detail))
        sums += count, cv2.mean(part, near)[0] * count, *squares
    if not sums[0]:
        return None
    mean, square, noise, fine = sums[1:] / sums[0]
    noise /= GAIN**2
    variance = square - mean**2 - noise
    # The square of the mean leaves that much of rounding.
    if variance <= noise / 2 or variance <= 1e-9 * mean**2:
        return None
    fine = max(fine - _passing(sigma) * noise, 0.0)
    return float((sigma * diameter) ** 2 * fine / variance)


def power_slope(channel: Channel) -> float | None:
    """Slope of the power spectrum on logarithmic axes, smaller (more negative) for more blur.

    The model is CellProfiler's PowerLogLogSlope (Field 1997; Bray et al. 2012): the power summed
    over rings of frequencies, from the second one up to an eighth of a cycle a pixel, so that white
    noise gives 1 and a spectrum that falls with the power b of the frequency 1 - b. Spectra are
    those of tiles of 256 pixels under Hann's window, averaged (Welch 1967).

    Parameters
    ----------
    channel : Channel

    Returns
    -------
    float, or None where the image is constant or less than 32 pixels high or wide.
    """
    side = min(*channel.image.shape, TILE)
    if side < LEAST_TILE:
        return None
    side = 1 << int(math.log2(side))
    window, ring, weight = _rings(side)
    power = np.zeros((side, side), np.float32)
    for top in _starts(channel.image.shape[0], side):
        for left in _starts(channel.image.shape[1], side):
            tile = channel.values(slice(top, top + side), slice(left, left + side))
            spectrum = cv2.dft(cv2.multiply(cv2.subtract(tile, cv2.mean(tile)[0]), window))
            cv2.accumulateSquare(spectrum, power)
    sums = np.bincount(ring.ravel(), (power * weight).ravel())
    radii = np.arange(2, side // 8 + 1)
    if not (sums[radii] > 0).all():
        return None
    along, power = np.log(radii), np.log(sums[radii])
    along -= along.mean()
    return float((along * power).sum() / (along * along).sum())


def noise_of(channel: Channel, indices: np.ndarray) -> float | None:
    """Standard deviation of the noise at some pixels, from how far they differ from their like.

    As many of a Gaussian's values as are below its standard deviation are below that of the
    differences, so that pixels of other things have little part in it. None where all pixels are
    at the border.
    """
    height, width = channel.image.shape
    row, column = np.divmod(indices, width)
    inner = (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)
    indices = indices[inner]
    if not indices.size:
        return None
    whole = channel.image.dtype.kind in "iu" and channel.image.dtype.itemsize <= 2
    if whole and indices.size > channel.image.size / DENSE:
        # Sums of small whole numbers are exact in any order.
        total = cv2.filter2D(channel.values(slice(None)), -1, RESIDUAL).ravel()[indices]
    else:
        total = np.zeros(indices.size, np.float32)
        for (down, right), weight in np.ndenumerate(RESIDUAL):
            total += weight * channel.at(indices + (down - 1) * width + right - 1)
    return float(np.quantile(np.abs(total), 0.6827)) / GAIN


def light(ground: np.ndarray, ends: np.ndarray, reach: float) -> tuple[float, float]:
    """The level of the ground where it is low and where it is high, as light falls unevenly.

    The level of a tile of the image is the mean of its values, where those far from their median
    count as at the end of their reach: finer than the median where values are few whole numbers.
    Low and high are the 5th and 95th percentile of tiles.

    Parameters
    ----------
    ground : (n,) array of float32
        Values of the ground, at least one.
    ends : (t,) array of int64
        Where the values of each tile end. Tiles with less than a quarter of the usual number of
        them, as nuclei cover the rest, do not count.
    reach : float
    """
    sizes = np.diff(ends, prepend=0)
    # All tiles at once, each sorted in a row of its own, behind which nothing is.
    some = np.flatnonzero(sizes >= max(np.median(sizes[sizes > 0]) / 4, 1))
    sizes, starts = sizes[some], (ends - sizes)[some]
    place = np.arange(sizes.max())
    there = place < sizes[:, None]
    tiles = np.full(there.shape, np.inf, ground.dtype)
    tiles[there] = ground[(starts[:, None] + place)[there]]
    tiles.sort(axis=1)
    tile = np.arange(sizes.size)
    middle = (tiles[tile, (sizes - 1) // 2] + tiles[tile, sizes // 2]) / ground.dtype.type(2)
    middle = middle[:, None]
    np.clip(tiles, middle - ground.dtype.type(reach), middle + ground.dtype.type(reach), out=tiles)
    levels = np.add.reduce(tiles, axis=1, dtype=np.float64, where=there) / sizes
    low, high = np.percentile(levels, (5, 95))
    return float(low), float(high)


def _by_tiles(indices: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of a raveled image sorted by tiles, and where those of each tile end."""
    down, across = (
        (np.arange(side) * LIGHT_TILES // max(side, 1)).astype(np.uint8) for side in shape
    )
    row, column = np.divmod(indices, shape[1])
    tile = down[row] * np.uint8(LIGHT_TILES) + across[column]
    order = np.argsort(tile, kind="stable")
    return indices.take(order), np.cumsum(np.bincount(tile, minlength=LIGHT_TILES**2))


def _laplacian(values: np.ndarray, sigma: float) -> np.ndarray:
    """The Laplacian of the values after a Gaussian blur."""
    side = 2 * round(3 * sigma) + 1
    smooth = cv2.GaussianBlur(values, (side, side), sigma)
    return cv2.Laplacian(smooth, cv2.CV_32F, ksize=1)


def _diameter(area: float) -> float:
    return math.sqrt(4 / math.pi * area)


def _some(indices: np.ndarray) -> np.ndarray:
    """So many indices at most, evenly from all: one of each stretch of them.

    Each time another one, as a step of always the same length can meet few columns of an image.
    """
    step = indices.size / SAMPLE
    if step <= 1:
        return indices
    return indices.take((_spread() * step).astype(np.intp), mode="clip")


@functools.cache
def _spread() -> np.ndarray:
    """A number from each of so many stretches of length 1."""
    number = np.arange(SAMPLE)
    return number + number * GOLDEN % 1


@functools.cache
def _passing(sigma: float) -> float:
    """The variance that is left of white noise of variance 1 by the Laplacian of its blur."""
    side = 2 * math.ceil(6 * sigma) + 5
    dot = np.zeros((side, side), np.float32)
    dot[side // 2, side // 2] = 1
    return float(cv2.norm(_laplacian(dot, sigma), cv2.NORM_L2SQR))


@functools.cache
def _rings(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hann's window, and the frequency and weight of each number of OpenCV's packed spectrum.

    That holds the real and imaginary parts of one half of the frequencies: in columns 2k - 1 and 2k
    those of k along rows; in the first and last column, of 0 and the highest along rows, those of
    k along columns in rows 2k - 1 and 2k. All but the four real ones stand for two.
    """
    hann = cv2.createHanningWindow((side, side), cv2.CV_32F) ** 2
    packed = (np.arange(side) + 1) // 2
    along_rows = np.broadcast_to(packed, (side, side))
    along_columns = np.minimum(np.arange(side), side - np.arange(side))[:, None]
    along_columns = np.repeat(along_columns, side, axis=1)
    along_columns[:, [0, -1]] = packed[:, None]
    weight = np.full((side, side), 2.0)
    weight[np.ix_([0, -1], [0, -1])] = 1
    radius = np.rint(np.hypot(along_rows, along_columns)).astype(np.int64)
    return hann, radius, weight


def _starts(length: int, side: int) -> np.ndarray:
    """Where some tiles begin, evenly over a length."""
    return np.linspace(0, length - side, min(SPECTRA, -(-length // side))).astype(int)


def _rounded(value: float | None) -> float | None:
    """Six digits, which are more than are sure."""
    return None if value is None else float(f"{value:.6g}")
