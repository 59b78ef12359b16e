"""Stage 3, markers: from the mask to one seed a nucleus."""

import inspect
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from nucleiflow.basins import clear_peaks, climb, partition, saddles
from nucleiflow.batch import Batch, open_batch
from nucleiflow.counting import looked_up
from nucleiflow.distance import distance_transform
from nucleiflow.field import View
from nucleiflow.images import ImageError
from nucleiflow.joining import stem
from nucleiflow.kernel import structuring_element
from nucleiflow.label_files import folder_of
from nucleiflow.masks import find_mask, nearest, read_mask, without_gaps
from nucleiflow.pieces import merge
from nucleiflow.pieces import pieces as find_pieces
from nucleiflow.regions import surroundings

# Response of the Laplacian of a Gaussian to the disc that it fits, over the disc's contrast.
DISC = 2 / np.e
# No nucleus is told from others below this diameter in pixels.
LEAST_DIAMETER = 4.0
# Images are reduced to where the Gaussian of that Laplacian has this standard deviation or more.
REDUCED_SIGMA = 4


def find_markers(
    mask: np.ndarray,
    method: str,
    options: dict,
    distance_mask: int | str,
    sure_background: dict,
    image: np.ndarray | None = None,
    diameter: float = 0.0,
    seeds: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Seeds of the nuclei, and the way to them.

    Parameters
    ----------
    mask : (Y, X) array of uint8, 0 or 255
    method, options
        The name of a function below, and those of its arguments that are not named here. It gives
        an array of uint8, of which each 8-connected piece that is not 0 is a seed, or one of
        int32, of which each number from 1 to n is one.
    distance_mask : 3, 5 or "precise"
        See `nucleiflow.distance`.
    sure_background : dict
        `{shape, size, iterations}` of the dilation outside of which all is background.
    image : (Y, X) array of uint8, uint16 or float32
        The preprocessed image, for methods that look at it.
    diameter : float
        Of a typical nucleus in pixels; 0 where there is none.
    seeds : (Y, X) array of int32
        Those of the user, for `image`.

    Returns
    -------
    dict of (Y, X) arrays
        distance : float32, pixels to the background
        sure_foreground : uint8, 255 in the seeds
        sure_background : uint8, 0 where there certainly is no nucleus, 255 elsewhere
        unknown : uint8, 255 where it is open to which nucleus a pixel belongs, if to any
        markers : int32, 1 background, 2 and more seeds, 0 unknown
    """
    distance = distance_transform(mask, distance_mask)
    known = {
        "image": image,
        "mask": mask,
        "distance": distance,
        "diameter": diameter,
        "seeds": seeds,
    }
    inputs = {name: known[name] for name in arguments(method) if name in known}
    labels = foreground = METHODS[method](**inputs, **options)
    if labels.dtype == np.int32:
        foreground = (labels > 0).astype(np.uint8) * np.uint8(255)
    else:
        _, labels = cv2.connectedComponents(labels)
    possible = dilated(mask, **sure_background)
    unknown = cv2.subtract(possible, foreground)
    markers = labels + 1
    np.copyto(markers, 0, where=unknown > 0)
    return {
        "distance": distance,
        "sure_foreground": foreground,
        "sure_background": possible,
        "unknown": unknown,
        "markers": markers,
    }


def fraction(distance: np.ndarray, mask: np.ndarray, value: float) -> np.ndarray:
    """Where the distance exceeds a fraction of the image's largest, as in the OpenCV workshop."""
    # In single precision, as by OpenCV's threshold.
    level = np.float32(value * distance.max())
    return (distance > level).view(np.uint8) * np.uint8(255)


def fraction_of_object(distance: np.ndarray, mask: np.ndarray, value: float) -> np.ndarray:
    """Where the distance exceeds a fraction of the largest in the same object of the mask."""
    count, objects = cv2.connectedComponents(mask)
    largest = np.zeros(count, np.float32)
    inside = mask > 0
    np.maximum.at(largest, objects[inside], distance[inside])
    return ((distance > value * largest[objects]) & inside).astype(np.uint8) * np.uint8(255)


def h_maxima(
    distance: np.ndarray, mask: np.ndarray, h: float, fraction: float, sigma: float
) -> np.ndarray:
    """Peaks of the smoothed distance that rise clearly above the saddle to any higher one.

    Clearly is by more than `h` pixels plus a `fraction` of their own height, which makes the
    method independent of the size of the nuclei. A seed is the peak down to that much below its
    top. Each object of the mask has at least one.

    The seeds are the regional maxima after a morphological reconstruction (Soille 2003, 6.3.4).
    They are found from the saddles between the slopes of all peaks, because the time for that
    does not grow with the size of the nuclei.
    """
    return clear_seeds(smoothed(distance, sigma), mask, h, fraction)


def clear_seeds(surface: np.ndarray, mask: np.ndarray, h: float, fraction: float) -> np.ndarray:
    """The clear peaks of any surface, as `h_maxima` has them; nowhere below 0 in the mask."""
    # The frame gives every pixel of the mask eight neighbours.
    height = np.pad(np.where(mask > 0, surface, np.float32(-1)), 1, constant_values=-1)
    pixels = np.flatnonzero(height >= 0)
    slope, peaks = climb(height, pixels)
    tops = height.ravel()[peaks]
    owner = clear_peaks(tops, *saddles(height, pixels, slope), h, fraction)
    cut = (tops * np.float32(1 - fraction) - np.float32(h))[owner]
    high = np.zeros(height.shape, np.uint8)
    high.ravel()[pixels] = height.ravel()[pixels] >= cut[slope[pixels]]
    # A peak that is not clear can reach above the cut of the one that owns it, with a gap between.
    _, parts = cv2.connectedComponents(high)
    seeds = np.zeros(parts.max() + 1, np.uint8)
    seeds[parts.ravel()[peaks[owner]]] = 255
    return np.ascontiguousarray(seeds[parts[1:-1, 1:-1]])


def peaks(
    distance: np.ndarray, mask: np.ndarray, diameter: float, min_distance: float, sigma: float
) -> np.ndarray:
    """Peaks of the smoothed distance, the highest ones of those that are near each other.

    Near is by less than `min_distance` diameters along rows and along columns, rounded to pixels.
    Equal to scikit-image's `peak_local_max`. A mask without any background is one seed.
    """
    if mask.all():
        return mask.copy()
    height = np.where(mask > 0, smoothed(distance, sigma), np.float32(0))
    reach = max(round(min_distance * diameter), 1)
    highest = cv2.dilate(height, structuring_element("rectangle", 2 * reach + 1))
    tops = ((height == highest) & (height > 0)).astype(np.uint8)
    # Only equally high ones can be near each other by now. The first one stays.
    window = (2 * reach - 1, 2 * reach - 1)
    border = cv2.BORDER_CONSTANT
    number = cv2.boxFilter(tops, cv2.CV_32S, window, normalize=False, borderType=border)
    for y, x in zip(*np.nonzero(tops * (number > 1)), strict=True):
        if tops[y, x]:
            tops[max(y - reach + 1, 0) : y + reach, max(x - reach + 1, 0) : x + reach] = 0
            tops[y, x] = 1
    return tops * np.uint8(255)


def log(image: np.ndarray, mask: np.ndarray, diameter: float, min_contrast: float) -> np.ndarray:
    """Middles of bright blobs as large as a nucleus, by the Laplacian of a Gaussian.

    Its standard deviation is the radius over the square root of two, which answers most to a disc
    of that radius (Lindeberg 1998). A blob's contrast is that of the disc that would give the same
    answer; it must exceed `min_contrast` of the image's, which is the median in the mask less the
    median outside.
    """
    seeds = np.zeros_like(mask)
    if not mask.any():
        return seeds
    ground = outside_level(image, mask)
    contrast = float(np.median(image[mask > 0])) - ground
    sigma = max(diameter / 8**0.5, 0.5)
    shrink = max(int(sigma / REDUCED_SIGMA), 1)
    size = tuple(-(-side // shrink) for side in mask.shape[::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    sigma /= shrink
    small = cv2.GaussianBlur(small - np.float32(ground), (0, 0), sigma)
    answer = cv2.Laplacian(small, cv2.CV_32F, scale=-(sigma**2) / DISC)
    highest = cv2.dilate(answer, structuring_element("rectangle", 3))
    tops = (answer == highest) & (answer > max(min_contrast * contrast, 0))
    seeds[nearest(tops, mask.shape) & (mask > 0)] = 255
    return seeds


def intensity(
    image: np.ndarray, mask: np.ndarray, diameter: float, fraction: float, smoothing: float
) -> np.ndarray:
    """Peaks of the smoothed image that rise clearly above the saddle to any higher one.

    Clearly is by more than a `fraction` of their own height above the background, so that bright
    and dim nuclei count alike. `smoothing` is a standard deviation in diameters. Seeds are as those
    of `h_maxima`.
    """
    height = image.astype(np.float32) - np.float32(outside_level(image, mask))
    return clear_seeds(np.maximum(smoothed(height, smoothing * diameter), 0), mask, 0.0, fraction)


def image(mask: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """The user's seeds, as far as they lie in the mask: (Y, X) array of int32 without gaps."""
    return without_gaps(np.where(mask > 0, seeds, 0))


def pieces(
    image: np.ndarray, mask: np.ndarray, distance: np.ndarray, diameter: float, bias: float
) -> np.ndarray:
    """The mask divided at every waist and every dark line, and joined where it is one nucleus.

    Whether two pieces that touch are one nucleus is told by the shape of both together, and by
    waist, dark line, edge and difference in brightness between them: see `nucleiflow.pieces`.
    `bias` is added to the log odds; above 0 joins more.

    Returns
    -------
    labels : (Y, X) array of int32
        0 background, 1..n, which cover the mask.
    """
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    diameter = max(diameter, LEAST_DIAMETER)
    labels, net = cut_in_pieces(image, mask, distance, diameter)
    number = merge(find_pieces(labels, net, distance), diameter, bias)
    return looked_up(number.astype(np.int32), labels)


METHODS = {
    function.__name__: function
    for function in (fraction, fraction_of_object, h_maxima, peaks, log, intensity, image, pieces)
}


def arguments(method: str) -> list[str]:
    """Names of the arguments of a method."""
    return list(inspect.signature(METHODS[method]).parameters)


def cut_in_pieces(
    image: np.ndarray, mask: np.ndarray, distance: np.ndarray, diameter: float
) -> tuple[np.ndarray, np.ndarray]:
    """The mask in too many pieces rather than too few, and the image above the ground nearby.

    Takes (Y, X) arrays. Returns int32 labels, 0 background and 1..n, and float32.
    """
    values = image.astype(np.float32)
    around = cv2.dilate(mask, structuring_element("rectangle", 3)) > 0
    values -= surroundings(values, around, 0.75 * diameter)
    del around
    waists = partition(cv2.GaussianBlur(distance, (0, 0), 1), mask, h=0.15)
    blur = max(0.105 * diameter, 0.5)
    lines = partition(cv2.GaussianBlur(values, (0, 0), blur), mask, fraction=0.03)
    both = waists.astype(np.int64) * (int(lines.max()) + 1) + lines
    # Most pixels are as the one before.
    first = np.flatnonzero(np.diff(both, prepend=-1))
    _, number = np.unique(both[first], return_inverse=True)
    labels = np.zeros(mask.shape, np.int32)
    labels.ravel()[np.flatnonzero(mask > 0)] = np.repeat(
        number + 1, np.diff(first, append=both.size)
    )
    return labels, values


def smoothed(surface: np.ndarray, sigma: float) -> np.ndarray:
    """A surface after a Gaussian blur, or itself where the standard deviation is 0."""
    return cv2.GaussianBlur(surface, (0, 0), sigma) if sigma else surface


def outside_level(image: np.ndarray, mask: np.ndarray) -> float:
    """Median of an image outside of a mask, or its minimum where the mask is everywhere."""
    outside = image[mask == 0]
    return float(np.median(outside) if outside.size else image.min())


def dilated(mask: np.ndarray, shape: str, size: int, iterations: int) -> np.ndarray:
    """The mask after a number of dilations."""
    if iterations == 0:
        return mask.copy()
    return cv2.dilate(mask, structuring_element(shape, size), iterations=iterations)


def seeds_file(root: Path, place: tuple[str, str, list[str]], files: list[Path]) -> Path:
    """The image of seeds that belongs to an image.

    Parameters
    ----------
    root : Path
        Of all images of seeds.
    place : (str, str, list of str)
        What `places` gives.
    files : list of Path
        Of the image.

    Raises ImageError where there is none, or several.
    """
    directory, name, others = place
    found = find_mask(root, directory, name, others)
    # Where seeds lie beside the images, an image without seeds finds itself.
    if found is None or any(found.exists() and found.samefile(file) for file in files):
        where = root if directory == "." else root / directory
        raise ImageError(f"it has no image of seeds: put one into {where}, called {name}.tif")
    return found


def read_seeds(path: Path, shape: tuple[int, int], view: View, full: tuple[int, int]) -> np.ndarray:
    """Seeds from a file, cropped and resized as the image was, as labels.

    Takes what `nucleiflow.masks.read_mask` takes. No seed is lost where the image becomes smaller.
    """
    if view.resize is None:
        return read_mask(path, shape, view, full)
    cropped = (view.crop["height"], view.crop["width"]) if view.crop else full
    try:
        seeds = read_mask(path, cropped, replace(view, resize=None), full)
    except ImageError:
        # It may be one of what came out.
        return read_mask(path, shape, view, full)
    return placed(seeds, shape)


def placed(seeds: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels in another size, of which each has a pixel at least unless two need the same one."""
    result = nearest(seeds, shape)
    lost = np.ones(seeds.max(initial=0) + 1, bool)
    lost[result.ravel()] = lost[0] = False
    old = np.nonzero(lost[seeds])
    new = (
        ((place + 0.5) * after / before).astype(np.intp)
        for place, after, before in zip(old, shape, seeds.shape, strict=True)
    )
    result[tuple(new)] = seeds[old]
    return result


def places(batch: Batch) -> dict[str, tuple[str, str, list[str]]]:
    """By image of a batch: its directory and name in the dataset, and other names of its seeds.

    A batch of a sample is of several directories, and its images have other names.
    """
    directories = batch.settings.get("directories")
    count = Counter(item.record["member"] for item in batch.items)
    result = {}
    for item in batch.items:
        record = item.record
        directory, name = record["directory"], record["image"]
        if directories:
            member = batch.plan.images[record["member"]]
            directory = directories[record["member"]]
            name = member.metadata[1] + name.removeprefix(member.name)
        # Files that hold several images have a name that is that of none.
        files = item.files if count[record["member"]] == 1 else []
        result[record["image"]] = (directory, name, [stem(Path(file.path).name) for file in files])
    return result


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    settings, given = dict(settings), {}
    mask, record, method = item.read("mask"), item.record, settings["method"]
    if "image" in arguments(method):
        given["image"] = item.read("preprocessed")
    if method == "image":
        root, view = folder_of(settings["options"]["path"]), View(**settings.pop("view"))
        settings["options"] = {}
        settings.pop("directories", None)
        files = [item.folder / file.path for file in item.files]
        path = seeds_file(root, settings.pop("places")[record["image"]], files)
        given["seeds"] = read_seeds(path, mask.shape, view, (record["height"], record["width"]))
    return find_markers(mask, **settings, **given, diameter=record["diameter"])


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        if batch.settings["method"] == "image":
            batch.settings = batch.settings | {"places": places(batch)}
        batch.map(compute)
