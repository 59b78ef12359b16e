"""Families of measurements through `cp_measure`, CellProfiler's own definitions as a library.

What is passed is what CellProfiler passes: objects numbered 1..n, and intensities in float64 from 0
to 1, where 1 is the largest value of the file's type or what the config says. Source: Muñoz et al.
2025, arXiv:2507.01163.

- Texture rounds intensities to grey levels of this full scale, not of the object's own range, and
  counts what is rounded to black as background, all as in CellProfiler.
- Costes' thresholds are searched for on a grid of the full scale: 65535 steps for 16 bits.
- Granularity is computed of the whole image, objects and background, and depends on both.
- Magnitudes of Zernike moments are in shares of the full scale. Nothing else depends on it.

Whatever is undefined is NaN, and so is all of a channel for objects with a pixel that is not a
number; to other objects such a pixel is black.
"""

import warnings
from collections.abc import Iterable
from contextlib import suppress

import numpy as np
from cp_measure.core.measurecolocalization import (
    get_correlation_costes,
    get_correlation_manders_fold,
    get_correlation_overlap,
    get_correlation_pearson,
    get_correlation_rwc,
)
from cp_measure.core.measuregranularity import get_granularity
from cp_measure.core.measureobjectintensitydistribution import (
    get_radial_distribution,
    get_radial_zernikes,
)
from cp_measure.core.measureobjectsizeshape import get_zernike
from cp_measure.core.measuretexture import get_texture
from scipy.ndimage import find_objects
from threadpoolctl import threadpool_limits

from nucleiflow.families import named
from nucleiflow.images import ImageError, full_scale
from nucleiflow.packed import packed


def columns_of(
    labels: np.ndarray,
    channels: dict[str, np.ndarray],
    families: dict[str, dict],
    white: float | None = None,
) -> dict[str, np.ndarray]:
    """Columns of all objects that are of their shape, of a channel, or of two channels.

    Parameters
    ----------
    labels : (Y, X) array of int32
        0 background, 1..n without gaps.
    channels : dict of (Y, X) arrays of numbers
        None for the families of shape, one or two for those of a channel or a pair, by the names
        with which columns end. Left unmodified.
    families : dict of dict
        Options by family, see `nucleiflow.families`. Other families count for nothing.
    white : float or None
        Intensity that becomes 1; None for `full_scale` of a channel's type.

    Returns
    -------
    dict of (n,) arrays of float64
        In the order of `named`.

    Raises ImageError where white is not known and needed: texture or Costes' method is asked for,
    and intensities are no integers and exceed 1.
    """
    # By the number of channels.
    functions = (OF_SHAPE, OF_CHANNEL, OF_PAIR)[len(channels)]
    chosen = {family: options for family, options in families.items() if family in functions}
    if not chosen:
        return {}
    count = int(labels.max(initial=0))
    scales = [white or full_scale(raw.dtype) for raw in channels.values()]
    images, missing = [], np.zeros(count + 1, bool)
    for raw, scale in zip(channels.values(), scales, strict=True):
        image = raw.astype(np.float64) / scale
        bad = ~np.isfinite(image)
        if bad.any():
            image[bad] = 0
            missing[labels[bad]] = True
        images.append(image)
    if white is None and _need_white(chosen):
        _check_scales(images, scales)
    # Several threads of BLAS make texture, with its many short products, several times as slow.
    found: dict[str, np.ndarray] = {}
    for family, options in chosen.items():
        names = named({family: options}, list(channels))
        values = np.full((len(names), count), np.nan)
        if count:
            # Objects too small or too even for a measurement are no news.
            with np.errstate(all="ignore"), warnings.catch_warnings(), threadpool_limits(1):
                warnings.simplefilter("ignore")
                values[:] = functions[family](labels, images, max(scales, default=1), **options)
        values[~np.isfinite(values)] = np.nan
        values[:, missing[1:]] = np.nan
        found |= dict(zip(names, values, strict=True))
    return found


def _need_white(families: dict[str, dict]) -> bool:
    metrics = families.get("colocalization", {}).get("metrics", ())
    return "texture" in families or "costes" in metrics


def _check_scales(images: list[np.ndarray], scales: list[float]) -> None:
    """Refuse intensities above 1 where nothing tells how large they can be."""
    for image, scale in zip(images, scales, strict=True):
        if scale == 1 and image.max(initial=0) > 1:
            raise ImageError(
                f"its intensities are no whole numbers and reach {image.max():g}, and texture and "
                "Costes' method must know which is white: set measure.max_intensity"
            )


# A function a family: from labels, the images of its channels and what was white in them to values
# in the order of the family's columns.


def _texture(
    labels: np.ndarray, images: list[np.ndarray], _: float, scale: list[int], gray_levels: int
) -> list[np.ndarray]:
    image = np.clip(images[0], 0, 1)
    parts = (get_texture(labels, image, pixels, gray_levels) for pixels in scale)
    return [values for part in parts for values in part.values()]


def _granularity(
    labels: np.ndarray,
    images: list[np.ndarray],
    _: float,
    spectrum_length: int,
    subsample: float,
    background_subsample: float,
    background_radius: int,
) -> list[np.ndarray]:
    options = (subsample, background_subsample, background_radius, spectrum_length)
    return list(get_granularity(labels, images[0], *options).values())


def _radial_distribution(
    labels: np.ndarray,
    images: list[np.ndarray],
    _: float,
    bins: int,
    maximum_radius: int | None,
) -> np.ndarray:
    options = (maximum_radius is None, bins, maximum_radius or 0)
    order, parts = [], []
    # Of the whole image, it goes over all pixels for each of several groups of objects.
    for numbers, own, image in packed(labels, images[0]):
        order += numbers
        parts.append(list(get_radial_distribution(own, image, *options).values()))
    return np.concatenate(parts, axis=1)[:, np.argsort(order)]


def _radial_zernikes(
    labels: np.ndarray, images: list[np.ndarray], _: float, degree: int
) -> list[np.ndarray]:
    return list(get_radial_zernikes(labels, images[0], degree).values())


def _zernike(
    labels: np.ndarray, images: list[np.ndarray], _: float, degree: int
) -> list[np.ndarray]:
    return list(get_zernike(labels, None, degree).values())


def _colocalization(
    labels: np.ndarray,
    images: list[np.ndarray],
    white: float,
    metrics: list[str],
    threshold: float,
    costes_search: str,
) -> list[np.ndarray]:
    first, second = images
    bounded = [np.clip(image, 0, 1) for image in images]
    # As CellProfiler for images of 0 to 1. More steps than 16 bits tell nothing more.
    steps = 255 if white == 1 else int(np.clip(round(white), 2, 65535))
    compute = {
        # Of objects, CellProfiler has no slope, which comes second here.
        "correlation": lambda: list(get_correlation_pearson(first, second, labels).values())[:1],
        "overlap": lambda: _overlap(first, second, labels, threshold),
        "manders": lambda: get_correlation_manders_fold(first, second, labels, threshold).values(),
        "rwc": lambda: get_correlation_rwc(first, second, labels, threshold).values(),
        "costes": lambda: get_correlation_costes(
            *bounded, labels, costes_search.capitalize(), scale_max=steps
        ).values(),
    }
    return [values for metric in metrics for values in compute[metric]()]


def _overlap(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, threshold: float
) -> Iterable[np.ndarray]:
    """Overlap and both K; NaN for black objects, on which the library fails."""
    try:
        return get_correlation_overlap(first, second, labels, threshold).values()
    except ZeroDivisionError:
        values = np.full((3, labels.max()), np.nan)
        for index, box in enumerate(find_objects(labels)):
            alone = (labels[box] == index + 1).astype(np.int32)
            with suppress(ZeroDivisionError):
                found = get_correlation_overlap(first[box], second[box], alone, threshold)
                values[:, [index]] = list(found.values())
        return values


OF_SHAPE = {"zernike": _zernike}
OF_CHANNEL = {
    "texture": _texture,
    "granularity": _granularity,
    "radial_distribution": _radial_distribution,
    "radial_zernikes": _radial_zernikes,
}
OF_PAIR = {"colocalization": _colocalization}
