"""Flat fields: how unevenly the light falls on a directory's images, from these images alone."""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.polynomial.legendre import legvander

from nucleiflow import plan
from nucleiflow.batch import expanded
from nucleiflow.field import File, View, header, open_field
from nucleiflow.files import printable, replaced
from nucleiflow.flat_field import FACTS, channel_file, normalised, rank, save
from nucleiflow.images import ImageError
from nucleiflow.job import logged, tell
from nucleiflow.workers import Crash, in_processes

# Longest side, in pixels, of the reduced image on which objects are told from background.
REDUCED = 512
# Tiles along a side, in each of which the background is averaged.
TILES = 24
# The least part of a tile that must be background.
LEAST_SEEN = 0.1
# Deviations of the noise above or below which a pixel is no background.
CLIP = 2.5
# From fewer images no more than a surface of the second degree can be told from their nuclei.
MANY = 5
# Of the images in a tile, those between these quantiles are averaged.
QUANTILES = (0.1, 0.5)
# What is left of the light at least: less than that is the extrapolation of a polynomial.
LEAST_LIGHT = 0.05
# Images taken of files that hold several: as many in all as this, if there are fewer files.
FROM_FILES = 200


@dataclass(frozen=True)
class Background:
    """The background of an image in tiles.

    Attributes
    ----------
    levels, seen : (T, U) arrays of float64
        Its mean in each tile in units of the image, and the fraction of the tile that is
        background and no object; 0 where that is too little to tell.
    """

    levels: np.ndarray
    seen: np.ndarray


def background(image: np.ndarray) -> Background:
    """Average what is no object, in tiles.

    A low percentile of large blocks is a first guess at the background. Pixels that differ from
    it by more than the noise are objects, which are widened by what they shine around them.
    The rest gives a better guess, a surface of the second degree, twice. Where nothing is left,
    all counts as background.

    Parameters
    ----------
    image : (Y, X) array of numbers
    """
    small = _reduced(image)
    guess = _low(small)
    for _ in range(3):
        residual = small - guess
        kept = _without_objects(residual)
        area = _tiled(np.ones(small.shape))
        count = _tiled(kept)
        levels = _tiled(small * kept) / np.maximum(count, 1)
        seen = count / area
        weights = np.where(seen >= LEAST_SEEN, seen, 0)
        guess = surface(_fitted(levels, weights, small.shape, 2), small.shape)
    if not weights.any():
        return Background(_tiled(small) / area, np.ones(area.shape))
    return Background(levels, weights)


def flat_field(
    backgrounds: list[Background], shape: tuple[int, int], offset: float = 0.0, degree: int = 4
) -> np.ndarray:
    """The light that each pixel gets, from the background of several images.

    The backgrounds, each divided by its own level, are averaged in each tile over those images
    that are darker there than most, but not the darkest: what adds to background is what nuclei
    shine around them. Tiles count by how much of them is seen, dim images less than others. A
    polynomial is fitted to the averages, in which tiles far off count for nothing.

    Parameters
    ----------
    backgrounds : list of Background
        Of images of one shape and channel. Their order does not matter.
    shape : (int, int)
        Rows and columns of the images.
    offset : float
        What the camera adds to the light, in units of the images.
    degree : int
        Of the polynomial; 2 at most where there are fewer than 5 images.

    Returns
    -------
    flat : (Y, X) array of float32
        1 on average.

    Raises
    ------
    ImageError
        Where no image has a background above the offset.
    """
    light = np.stack([each.levels for each in backgrounds]) - offset
    # Squared: between the nuclei of a crowd it is brighter than far from them.
    seen = np.stack([each.seen for each in backgrounds]) ** 2
    degree = degree if len(backgrounds) >= MANY else min(degree, 2)
    tiles = np.ones(light.shape[1:])
    for _ in range(4):
        level = (seen * tiles * light).sum((1, 2)) / np.maximum((seen * tiles**2).sum((1, 2)), 1e-9)
        lit = level > 0
        if not lit.any():
            raise ImageError(
                f"no image of the sample has a background above illumination.offset ({offset:g}): "
                "set it to what the camera gives without light"
            )
        scale = level[lit][:, None, None]
        # Of dim images the noise is large beside the light; very bright ones may be spoilt.
        trust = np.minimum(scale / np.median(scale), 1)
        averages, weights = _lower(light[lit] / scale, seen[lit] * trust)
        coefficients = _robustly_fitted(averages, weights, shape, degree)
        tiles = _tile_values(coefficients, light.shape[1:], shape)
        tiles /= tiles.mean()
    flat = surface(coefficients, shape)
    flat = np.maximum(flat / flat.mean(), LEAST_LIGHT)
    return normalised(flat)


def surface(coefficients: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A polynomial of Legendre's, (D, D) coefficients, at every pixel of an image."""
    rows, columns = (_basis(length, len(coefficients)) for length in shape)
    return rows @ coefficients @ columns.T


def _reduced(image: np.ndarray) -> np.ndarray:
    """An image of a longest side of REDUCED at most, blurred a little, as float32."""
    factor = REDUCED / max(image.shape)
    small = image.astype(np.float32)
    if factor < 1:
        size = [max(1, round(length * factor)) for length in image.shape[::-1]]
        small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), 1.0)


def _low(image: np.ndarray) -> np.ndarray:
    """A low percentile of large blocks, interpolated between their centres."""
    rows, columns = (np.array_split(np.arange(length), min(length, 8)) for length in image.shape)
    low = [[np.percentile(image[np.ix_(y, x)], 20) for x in columns] for y in rows]
    return cv2.resize(np.float32(low), image.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _without_objects(residual: np.ndarray) -> np.ndarray:
    """Where there is background and noise alone, as an array of bool.

    The width of the noise is that below its centre, where no object adds to it.
    """
    center, noise = float(np.percentile(residual, 25)), np.inf
    kept = np.ones(residual.shape, bool)
    for _ in range(12):
        below = residual[kept & (residual < center)]
        noise = 1.4826 * float(np.median(center - below)) if below.size else 0.0
        kept = np.abs(residual - center) <= CLIP * noise
        if not kept.any():
            return np.ones(residual.shape, bool)
        before, center = center, float(np.median(residual[kept]))
        if abs(center - before) <= 1e-3 * noise:
            break
    objects = (residual > center + CLIP * noise).astype(np.uint8)
    # Single pixels are noise.
    objects = cv2.morphologyEx(objects, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    halo = cv2.dilate(objects, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    return (halo == 0) & kept


def _starts(length: int) -> np.ndarray:
    """Where tiles begin along a side."""
    count = min(length, TILES)
    return np.arange(count) * length // count


def _tiled(image: np.ndarray) -> np.ndarray:
    """Sums over tiles."""
    sums = np.add.reduceat(image.astype(np.float64), _starts(image.shape[0]), axis=0)
    return np.add.reduceat(sums, _starts(image.shape[1]), axis=1)


def _basis(length: int, count: int) -> np.ndarray:
    """Legendre's polynomials along a side at the centres of pixels, (length, count) array."""
    return legvander((2 * np.arange(length) + 1) / length - 1, count - 1)


def _tile_basis(tiles: int, length: int, count: int) -> np.ndarray:
    """Their means over the tiles of a side, (tiles, count) array."""
    starts = np.arange(tiles) * length // tiles
    sums = np.add.reduceat(_basis(length, count), starts, axis=0)
    return sums / np.diff([*starts, length])[:, None]


def _tile_values(
    coefficients: np.ndarray, tiles: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Means of a polynomial over tiles."""
    rows, columns = (
        _tile_basis(*each, len(coefficients)) for each in zip(tiles, shape, strict=True)
    )
    return rows @ coefficients @ columns.T


def _fitted(
    values: np.ndarray, weights: np.ndarray, shape: tuple[int, int], degree: int
) -> np.ndarray:
    """Coefficients of the polynomial of a degree that fits the means of tiles, (D, D) array."""
    rows, columns = (
        _tile_basis(*each, degree + 1) for each in zip(values.shape, shape, strict=True)
    )
    # A side of few pixels has room for few terms.
    terms = [
        (i, j)
        for i in range(min(degree + 1, len(rows)))
        for j in range(min(degree + 1 - i, len(columns)))
    ]
    design = np.stack([np.outer(rows[:, i], columns[:, j]).ravel() for i, j in terms], axis=1)
    root = np.sqrt(weights.ravel())
    found = np.linalg.lstsq(design * root[:, None], values.ravel() * root, rcond=None)[0]
    coefficients = np.zeros((degree + 1, degree + 1))
    coefficients[tuple(np.transpose(terms))] = found
    return coefficients


def _robustly_fitted(
    values: np.ndarray, weights: np.ndarray, shape: tuple[int, int], degree: int
) -> np.ndarray:
    """The same with Tukey's biweight: tiles far from the surface count less, or nothing."""
    robust = weights
    for _ in range(10):
        coefficients = _fitted(values, robust, shape, degree)
        residual = values - _tile_values(coefficients, values.shape, shape)
        width = 4.685 * 1.4826 * np.median(np.abs(residual[weights > 0])) + 1e-12
        robust = weights * np.clip(1 - (residual / width) ** 2, 0, None) ** 2
    return coefficients


def _lower(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means of the values between two quantiles along the first axis, sums of weights."""
    order = np.argsort(values, axis=0, kind="stable")
    values, weights = (np.take_along_axis(each, order, 0) for each in (values, weights))
    above = np.cumsum(weights, axis=0)
    total = above[-1]
    low, high = (quantile * total for quantile in QUANTILES)
    share = np.minimum(above, high) - np.maximum(above - weights, low)
    share = np.maximum(share, 0)
    whole = share.sum(axis=0)
    return (share * values).sum(axis=0) / np.where(whole > 0, whole, 1), total


Place = tuple[str, tuple[int, int]]


def backgrounds_of(job: tuple) -> list[tuple[str, tuple[int, int], Background]] | str:
    """Name, shape and background of each channel of an image, or why there is none."""
    folder, files, view, scene, time = job
    try:
        with open_field(folder, files, view, scene, time) as field:
            found = []
            for index, name in enumerate(field.names):
                image = field.image(index)
                found.append((name, image.shape, background(image)))
            return found
    except (MemoryError, OSError):
        raise
    except ImageError as error:
        return str(error)
    except Exception as error:
        logging.info("%s", files[0].path, exc_info=error)
        return f"unexpected {type(error).__name__}: {error}"


def scenes_of(job: tuple) -> list[tuple[int, int]] | str:
    """Scene and time of the images to take of a file, or what is wrong with it."""
    folder, name, files, view, count = job
    try:
        scenes = header(folder, files, view).scenes
    except (MemoryError, OSError):
        raise
    except Exception as error:
        return str(error)
    images = sorted(expanded(name, scenes, view.scenes), key=lambda image: rank(image[0]))
    return [(scene, time) for _, scene, time, _ in images[:count]]


def gathered(
    batch: plan.Batch, root: Path, view: View, threads: int
) -> tuple[dict[Place, list[Background]], list[str]]:
    """Backgrounds of a directory's sample by channel and shape, and why images gave none."""
    folder = root / batch.folder
    problems = [
        f"{image.files[0].path}: {image.problem}" for image in batch.images if image.problem
    ]
    images = [
        (image.name, [File(file.path, file.channel, file.z) for file in image.files])
        for image in batch.images
        if not image.problem
    ]
    count = max(1, FROM_FILES // max(len(images), 1))
    looks = [(folder, name, files, view, count) for name, files in images]
    jobs = []
    for (_, files), scenes in zip(images, _computed(scenes_of, looks, threads), strict=True):
        if isinstance(scenes, str):
            problems.append(f"{files[0].path}: {scenes}")
        else:
            jobs += [(folder, files, view, scene, time) for scene, time in scenes]
    found = defaultdict(list)
    for job, channels in zip(jobs, _computed(backgrounds_of, jobs, threads), strict=True):
        if isinstance(channels, str):
            problems.append(f"{job[1][0].path}: {channels}")
        else:
            for name, shape, each in channels:
                found[name, shape].append(each)
    return found, problems


def _computed(function, jobs: list, threads: int) -> Iterator:
    """Results of jobs in their order; a sentence for one that crashed."""
    workers = max(1, min(threads, len(jobs)))
    for result in in_processes(function, jobs, workers, cv2.setNumThreads, (1,)):
        yield f"reading it crashed ({result.signal})" if isinstance(result, Crash) else result


def write(
    found: dict[Place, list[Background]], offset: float, degree: int, folder: Path
) -> tuple[list[dict], list[str]]:
    """Write a flat field for each channel and shape.

    The most common shape of a channel has the file `CHANNEL.tif`, others have theirs in the name.

    Returns a description of each, and sentences on those that could not be estimated.
    """
    common = {}
    for (name, shape), backgrounds in found.items():
        common.setdefault(name, Counter())[shape] += len(backgrounds)
    descriptions, problems = [], []
    for (name, shape), backgrounds in sorted(found.items(), key=lambda item: item[0]):
        height, width = shape
        first = max(common[name], key=lambda each: (common[name][each], each)) == shape
        file = (
            f"{channel_file(name)}.tif" if first else f"{channel_file(name)}_{width}x{height}.tif"
        )
        try:
            flat = flat_field(backgrounds, shape, offset, degree)
        except ImageError as error:
            problems.append(f"channel {name}: {error}" if name else str(error))
            continue
        save(flat, folder / file)
        low, high = float(flat.min()), float(flat.max())
        descriptions.append(
            {
                "channel": name,
                "file": file,
                "height": height,
                "width": width,
                "images": len(backgrounds),
                "low": round(low, 4),
                "high": round(high, 4),
            }
        )
    return descriptions, problems


def estimate(plan_path: Path, options: dict, threads: int, folder: Path) -> None:
    """The flat fields of a directory, and what is known of them."""
    batch, _, root, _ = plan.load(plan_path)
    view = View(**options["view"])
    # A sum of planes has the offset of each, one plane has it once.
    view = replace(view, z="mean" if view.z == "sum" else view.z)
    found, skipped = gathered(batch, root, view, threads)
    flat_fields, problems = write(found, options["offset"], options["degree"], folder)
    for sentence in skipped:
        logging.warning("left out: %s", sentence)
    if not flat_fields and not problems:
        problems.append(
            "no image of the sample could be read: raise illumination.estimate.images, or give one "
            "with illumination.flat_field"
        )
    for sentence in problems:
        tell(f"illumination of {printable(batch.directory)}: {sentence}", logging.WARNING)
    for each in flat_fields:
        logging.info("%s: %g to %g", each["file"], each["low"], each["high"])
    facts = {
        "directory": batch.directory,
        "offset": options["offset"],
        "flat_fields": flat_fields,
        "problems": problems,
        "left_out": skipped,
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


if "snakemake" in globals():
    with logged(snakemake), replaced(Path(snakemake.output.flat_fields)) as folder:
        folder.mkdir()
        params = snakemake.params
        estimate(Path(params.plan), params.settings, snakemake.threads, folder)
