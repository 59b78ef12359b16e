"""Stage 2, threshold: from the denoised image to a mask of the nuclei."""

import cv2
import numpy as np
from skimage import filters

from nucleiflow.basins import partition
from nucleiflow.batch import open_batch
from nucleiflow.counting import looked_up, occurrences
from nucleiflow.images import ImageError
from nucleiflow.kernel import structuring_element
from nucleiflow.labels import border_pixels
from nucleiflow.lengths import pixels, side_of_pixel
from nucleiflow.medians import median
from nucleiflow.reduced import enlarged, reduced
from nucleiflow.regions import quantiles, surroundings
from nucleiflow.scale import diameter as typical_diameter

OPERATIONS = {
    "open": cv2.MORPH_OPEN,
    "close": cv2.MORPH_CLOSE,
    "erode": cv2.MORPH_ERODE,
    "dilate": cv2.MORPH_DILATE,
    "gradient": cv2.MORPH_GRADIENT,
}
# How much of the threshold of least cross-entropy every pixel of a nucleus reaches.
NEAR_LI = 0.8
# Variance of what rounding to whole numbers adds.
ROUNDING = 1 / 12


def threshold(
    image: np.ndarray,
    method: str,
    options: dict,
    morphology: list[dict],
    fill_holes: bool,
    clear_border: bool,
    min_area: int,
    diameter: float | None = None,
) -> np.ndarray:
    """Separate nuclei from background.

    Parameters
    ----------
    image : (Y, X) array of uint8, uint16 or float32
        Left unmodified.
    method, options
        The name of a function below and its arguments.
    morphology : list of dict
        Steps `{operation, shape, size, iterations}`, in order.
    fill_holes, clear_border : bool
    min_area : int
        Objects with fewer pixels are dropped.
    diameter : float or None
        Of a typical nucleus in pixels, if it is known; `half_maximum` works at its scale.

    Returns
    -------
    mask : (Y, X) array of uint8, 0 or 255
    """
    if method == "half_maximum":
        options = options | {"diameter": diameter}
    mask = METHODS[method](image, **options).astype(np.uint8) * np.uint8(255)
    for step in morphology:
        mask = morph(mask, **step)
    if fill_holes:
        mask = without_holes(mask)
    if clear_border:
        mask = without_border_objects(mask)
    if min_area > 1:
        mask = drop_small(mask, min_area)
    return mask


def otsu(image: np.ndarray) -> np.ndarray:
    """Above the threshold that best separates two classes (Otsu 1979)."""
    if constant(image):
        return np.zeros(image.shape, bool)
    return image > otsu_level(image)


def triangle(image: np.ndarray) -> np.ndarray:
    """Above the threshold farthest from the line from peak to end of the histogram (Zack 1977)."""
    if constant(image):
        return np.zeros(image.shape, bool)
    if image.dtype == np.uint8:
        level, _ = cv2.threshold(image, 0, 255, cv2.THRESH_TRIANGLE)
        return image > level
    low, high = float(image.min()), float(image.max())
    # The method needs a smooth histogram, so 256 classes for other types, too.
    scaled = np.subtract(image, np.float32(low), dtype=np.float32)
    scaled *= np.float32(255 / (high - low))
    return triangle(scaled.astype(np.uint8))


def li(image: np.ndarray) -> np.ndarray:
    """Above the threshold of minimum cross-entropy (Li and Tam 1998)."""
    if constant(image):
        return np.zeros(image.shape, bool)
    return image > filters.threshold_li(image)


def manual(image: np.ndarray, value: float) -> np.ndarray:
    """Above a given value, in the image's own units."""
    return image > value


def adaptive(image: np.ndarray, block_size: int, weights: str, offset: float) -> np.ndarray:
    """Above the mean of the neighbourhood plus an offset, in the image's own units.

    For `weights` gaussian, the standard deviation follows from the block size as in OpenCV's
    `adaptiveThreshold`, which this equals on 8 bits up to its rounding of the mean.
    """
    _fits(image, "block", block_size, "threshold.adaptive.block_size")
    size = (block_size, block_size)
    values = image.astype(np.float32)
    border = cv2.BORDER_REPLICATE | cv2.BORDER_ISOLATED
    if weights == "gaussian":
        local_mean = cv2.GaussianBlur(values, size, 0, borderType=border)
    else:
        local_mean = cv2.blur(values, size, borderType=border)
    # The mean is rounded: with nothing to spare, flat ground would lie above itself.
    spare = np.abs(local_mean) * np.float32(4e-6)
    return values > local_mean + np.float32(offset) + spare


def yen(image: np.ndarray) -> np.ndarray:
    """Above the threshold of maximum correlation between the classes (Yen et al. 1995)."""
    if constant(image):
        return np.zeros(image.shape, bool)
    with np.errstate(divide="ignore"):
        return image > filters.threshold_yen(hist=histogram(image))


def isodata(image: np.ndarray) -> np.ndarray:
    """Above the lowest threshold midway between the means of its classes (Ridler, Calvard 1978).

    Equal to scikit-image's `threshold_isodata` with a class a value, but in double precision,
    so that it holds for images of more than 16 million pixels.
    """
    if constant(image):
        return np.zeros(image.shape, bool)
    counts, values = histogram(image)
    below = np.cumsum(counts)
    total = np.cumsum(counts * values.astype(np.float64))
    lower = total[:-1] / below[:-1]
    higher = (total[-1] - total[:-1]) / (below[-1] - below[:-1])
    # The first value that reaches the middle from below: above it, the difference falls again.
    distance = (lower + higher) / 2 - values[:-1]
    fixed = (distance >= 0) & (distance < values[1] - values[0])
    return image > values[:-1][fixed][0]


def minimum(image: np.ndarray) -> np.ndarray:
    """Above the valley between the two peaks of the smoothed histogram (Prewitt, Mendelsohn 1966).

    Raises ImageError where smoothing does not leave two peaks, as in an image without nuclei:
    taking it for empty would hide that the method fails on sparse nuclei, too.
    """
    if constant(image):
        return np.zeros(image.shape, bool)
    try:
        level = filters.threshold_minimum(hist=coarse_histogram(image))
    except RuntimeError as error:
        raise ImageError(
            "the histogram has no two peaks, one of the background and one of the nuclei: "
            "set threshold.method to otsu or li"
        ) from error
    return image > level


def multiotsu(image: np.ndarray, classes: int, background_classes: int) -> np.ndarray:
    """Above one of the thresholds that best separate several classes (Liao et al. 2001).

    More than 8 bits are put into 256 classes first. With fewer different values than classes,
    each value is a class.
    """
    _some_foreground("multiotsu", classes, background_classes)
    if constant(image):
        return np.zeros(image.shape, bool)
    levels = multiotsu_levels(image, classes)
    return image > levels[min(background_classes, len(levels)) - 1]


def kmeans(image: np.ndarray, classes: int, background_classes: int) -> np.ndarray:
    """Above one of the borders between clusters of intensities (Lloyd 1982).

    It starts from the thresholds of `multiotsu`, which minimise the same sum of squares up to
    the width of a class, so the result is that of the best of many random starts.
    """
    _some_foreground("kmeans", classes, background_classes)
    if constant(image):
        return np.zeros(image.shape, bool)
    counts, values = occupied(*histogram(image))
    below = np.concatenate([[0], np.cumsum(counts)])
    total = np.concatenate([[0], np.cumsum(counts * values)])
    cuts = cuts_at(values, multiotsu_levels(image, classes))
    # The sum of squares falls with every change, so this ends.
    while True:
        ends = np.concatenate([[0], cuts, [values.size]])
        means = np.diff(total[ends]) / np.diff(below[ends])
        moved = cuts_at(values, (means[:-1] + means[1:]) / 2)
        if np.array_equal(moved, cuts):
            break
        cuts = moved
    cut = cuts[min(background_classes, cuts.size) - 1]
    return image > (values[cut - 1] + values[cut]) / 2


def gaussian_mixture(image: np.ndarray, classes: int, background_classes: int) -> np.ndarray:
    """Where a mixture of Gaussians has the bright classes more probable (Dempster et al. 1977).

    It starts from the classes of `multiotsu`. The threshold is searched above the mean of the
    brightest class of background: a wide bright class reaches below a narrow dark one.
    """
    _some_foreground("gaussian_mixture", classes, background_classes)
    if constant(image):
        return np.zeros(image.shape, bool)
    counts, values = occupied(*histogram(image))
    cuts = cuts_at(values, multiotsu_levels(image, classes))
    member = np.searchsorted(cuts, np.arange(values.size), side="right")
    shares = (member == np.arange(cuts.size + 1)[:, None]).astype(np.float64)
    # No class is narrower than the rounding of its values.
    width = 1.0 if image.dtype.kind == "u" else (values[-1] - values[0]) / 65536
    likelihood = -np.inf
    for _ in range(500):
        weights = shares @ counts
        means = shares @ (counts * values) / weights
        spread = (shares * (values - means[:, None]) ** 2) @ counts / weights
        spread = np.maximum(spread, width**2 * ROUNDING)
        logs = np.log(weights / counts.sum() / np.sqrt(spread))[:, None]
        logs = logs - (values - means[:, None]) ** 2 / (2 * spread[:, None])
        top = logs.max(axis=0)
        shares = np.exp(logs - top)
        sums = shares.sum(axis=0)
        shares /= sums
        # A class that lost all its pixels has no mean: it stays as good as empty.
        shares = np.maximum(shares, 1e-300)
        before, likelihood = likelihood, float(counts @ (top + np.log(sums)) / counts.sum())
        if likelihood - before < 1e-7:
            break
    order = np.argsort(means, kind="stable")
    dark = order[: min(background_classes, cuts.size)]
    bright = (shares[dark].sum(axis=0) < 0.5) & (values > means[dark[-1]])
    if not bright.any():
        return np.zeros(image.shape, bool)
    # The mean of a class of background has a value below it, so this is not the first.
    cut = int(np.argmax(bright))
    return image > (values[cut - 1] + values[cut]) / 2


def robust_background(
    image: np.ndarray,
    lower_fraction: float,
    upper_fraction: float,
    average: str,
    deviation: str,
    deviations: float,
) -> np.ndarray:
    """Above the average of the background plus some deviations, as in CellProfiler.

    Average and deviation are those of the image without these fractions of its dimmest and
    brightest pixels; `mad` is the median absolute deviation from the median, not scaled.
    """
    if constant(image):
        return np.zeros(image.shape, bool)
    low = int(image.size * lower_fraction)
    high = image.size - int(image.size * upper_fraction)
    kept = np.partition(image.ravel(), (low, high - 1))[low:high].astype(np.float64)
    level = kept.mean() if average == "mean" else np.median(kept)
    spread = kept.std() if deviation == "sd" else np.median(np.abs(kept - np.median(kept)))
    return image > level + deviations * spread


def hysteresis(
    image: np.ndarray,
    low: float | None,
    high: float | None,
    low_factor: float,
    high_factor: float,
) -> np.ndarray:
    """Objects (8-connected) above the low threshold that reach above the high one.

    `low` and `high` are in the image's own units. Where they are None, they lie the factor of the
    way from the background, the median of what Otsu's threshold leaves out, to that threshold.
    A `low` above `high` counts as `high`.
    """
    if constant(image):
        return np.zeros(image.shape, bool)
    if low is None or high is None:
        level = otsu_level(image)
        ground = float(np.median(image[image <= level]))
        low = ground + low_factor * (level - ground) if low is None else low
        high = ground + high_factor * (level - ground) if high is None else high
    _, objects = cv2.connectedComponents((image > min(low, high)).view(np.uint8), connectivity=8)
    keep = np.zeros(objects.max() + 1, bool)
    keep[objects[image > high]] = True
    keep[0] = False
    return looked_up(keep, objects)


def niblack(image: np.ndarray, window: int, k: float, min_contrast: float) -> np.ndarray:
    """Above the mean of the window plus `k` of its standard deviations (Niblack 1986).

    scikit-image's `threshold_niblack`, made for dark ink, with -k. `min_contrast` times the
    standard deviation of the image's noise is the least height above the mean, so that empty
    ground stays dark.
    """
    _fits(image, "window", window, "threshold.niblack.window")
    if constant(image):
        return np.zeros(image.shape, bool)
    values = image.astype(np.float64)
    mean, deviation = local_statistics(values, window)
    deviation *= k
    mean += np.maximum(deviation, min_contrast * noise(image), out=deviation)
    return values > mean


def sauvola(image: np.ndarray, window: int, k: float, min_contrast: float) -> np.ndarray:
    """Above the threshold of Sauvola and Pietikäinen (2000), for bright nuclei.

    Their method finds dark ink on paper, so it is scikit-image's `threshold_sauvola` of the
    inverted image: white is the level that a thousandth of the pixels exceeds, and `r` half the
    distance from there to the minimum. `min_contrast` as in `niblack`.
    """
    _fits(image, "window", window, "threshold.sauvola.window")
    if constant(image):
        return np.zeros(image.shape, bool)
    # Of everything that reaches the level, a thousandth lies above it: debris does not count.
    rank = image.size - 1 - image.size // 1000
    white = float(np.partition(image.ravel(), rank)[rank])
    span = white - float(image.min())
    if span == 0:
        return image > white
    inverted = white - np.minimum(image, image.dtype.type(white)).astype(np.float64)
    mean, deviation = local_statistics(inverted, window)
    deviation *= 2 / span
    deviation -= 1
    deviation *= k
    level = (1 + deviation) * mean
    mean -= min_contrast * noise(image)
    return inverted < np.minimum(level, mean, out=level)


def local_otsu(image: np.ndarray, window: int, min_contrast: float) -> np.ndarray:
    """Above Otsu's threshold of the neighbourhood.

    The image is cut into tiles of about `window` x `window` pixels. A tile whose two classes
    have means closer than `min_contrast` standard deviations of the image's noise holds no
    nuclei: it takes the threshold of the nearest tile that does, but at least so many deviations
    above its own mean. Between the centres of tiles thresholds are interpolated. Without any
    tile that holds nuclei there is no foreground.
    """
    _fits(image, "window", window, "threshold.local_otsu.window")
    if constant(image):
        return np.zeros(image.shape, bool)
    rows, columns = (max(round(side / window), 1) for side in image.shape)
    least = min_contrast * noise(image)
    levels, floors = np.zeros((2, rows, columns))
    empty = np.ones((rows, columns), np.uint8)
    tops = np.linspace(0, image.shape[0], rows + 1).round().astype(int)
    lefts = np.linspace(0, image.shape[1], columns + 1).round().astype(int)
    for row, column in np.ndindex(rows, columns):
        tile = image[tops[row] : tops[row + 1], lefts[column] : lefts[column + 1]]
        floors[row, column] = tile.mean(dtype=np.float64) + least
        if constant(tile):
            continue
        levels[row, column] = otsu_level(tile)
        bright = tile > levels[row, column]
        contrast = tile[bright].mean(dtype=np.float64) - tile[~bright].mean(dtype=np.float64)
        empty[row, column] = contrast < least
    if empty.all():
        return np.zeros(image.shape, bool)
    _, nearest = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    known = np.zeros(nearest.max() + 1)
    known[nearest[empty == 0]] = levels[empty == 0]
    levels = np.where(empty, np.maximum(known[nearest], floors), levels)
    level = cv2.resize(levels, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return image > level


def half_maximum(
    image: np.ndarray, contrast: float, level: float, ground: float, diameter: float | None = None
) -> np.ndarray:
    """Above a threshold for each nucleus, half-way between it and the ground around it.

    So bright and dim nuclei end where a microscope shows the edge of a sharp body, whatever is
    beside them. What is wider than `ground` diameters is taken off first, by an opening. Whatever
    then rises above noise and above the threshold of least cross-entropy (Li and Tam 1998) is
    divided between the peaks of the blurred image. Each part is cut at the fraction `level`
    between the ground near it and the median of its bright half.

    Parameters
    ----------
    image : (Y, X) array of uint8, uint16 or float32
    contrast : float
        Least height of a nucleus above the ground near it, in standard deviations of noise.
    level : float
        From 0, the ground, to 1, the nucleus.
    ground : float
        Radius of the opening in diameters.
    diameter : float or None
        Of a typical nucleus in pixels. None finds it from the objects above Otsu's threshold.
    """
    mask = np.zeros(image.shape, bool)
    if constant(image):
        return mask
    if diameter is None:
        above = image > otsu_level(image)
        diameter = typical_diameter(above.view(np.uint8) * np.uint8(255))
    # No nucleus is smaller than that, and none fills the image.
    diameter = max(min(diameter, min(image.shape) / 4), 4.0)
    values = image.astype(np.float32)
    values -= opening(values, ground * diameter)
    if constant(values):
        return mask
    counts, classes = fine_histogram(values)
    dark = np.flatnonzero(values <= otsu_class(counts, classes))
    # A sample of them is enough for medians.
    dark = values.ravel().take(dark[:: max(dark.size // 16384, 1)])
    middle = float(np.median(dark))
    # Of integers, rounding is noise, too; of floats, the last digits of what was computed.
    least = ROUNDING**0.5 if image.dtype.kind == "u" else 1e-6 * float(np.abs(image).max())
    spread = max(1.4826 * float(np.median(np.abs(dark - middle))), least)
    # In an empty field the dark class is the lower half of the noise, much less wide; in a
    # crowded one, differences between neighbours are nuclei.
    spread = max(spread, min(noise(image), 6 * spread))
    values -= np.float32(middle)
    # What half of the least contrast does not reach, no nucleus' edge can be.
    possible = values > max(contrast / 2 * spread, NEAR_LI * li_level(counts, classes - middle))
    if not possible.any():
        return mask
    blur = max(0.105 * diameter, 1.0)
    # What is not possible takes no part any more.
    part = partition(cv2.GaussianBlur(values, (0, 0), blur), possible, fraction=0.15)
    values -= surroundings(values, possible, diameter / 2)
    places, count = np.flatnonzero(possible), int(part.max())
    net = values.ravel().take(places)
    bright = net > (quantiles(part, net, 0.9, count) / 2).astype(np.float32).take(part)
    height = quantiles(np.where(bright, part, 0), net, 0.5, count)
    limit = np.where(height > contrast * spread, level * height, np.inf)
    mask.ravel()[places] = net > limit.astype(np.float32).take(part)
    return mask


def edges(
    image: np.ndarray, sigma: float, low: float, high: float, min_contrast: float, close: int
) -> np.ndarray:
    """Regions brighter than the edges around them (Canny 1986).

    Edges are those of OpenCV's `Canny` on the image after a Gaussian blur of `sigma` pixels. Its
    two thresholds are `low` and `high` times Otsu's threshold of the gradient's magnitude, and
    the high one is at least `min_contrast` times its median, which is noise. Gaps up to about
    `close` pixels in the edges are bridged; whatever these divide off and is brighter, on
    average, than the edges that it touches, is foreground, with these edges.
    """
    _fits(image, "kernel", close, "threshold.edges.close")
    if constant(image):
        return np.zeros(image.shape, bool)
    smooth = image.astype(np.float32)
    if sigma > 0:
        smooth = cv2.GaussianBlur(smooth, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    dx, dy = (
        cv2.Sobel(smooth, cv2.CV_32F, *order, borderType=cv2.BORDER_REPLICATE)
        for order in ((1, 0), (0, 1))
    )
    magnitude = cv2.magnitude(dx, dy)
    if constant(magnitude):
        return np.zeros(image.shape, bool)
    upper = max(high * otsu_level(magnitude), min_contrast * float(np.median(magnitude)))
    # Canny takes gradients as 16-bit integers only.
    scale = np.iinfo(np.int16).max / float(magnitude.max())
    walls = cv2.Canny(
        *(np.rint(slope * np.float32(scale)).astype(np.int16) for slope in (dx, dy)),
        min(low / high, 1.0) * upper * scale,
        upper * scale,
        L2gradient=True,
    )
    walls = cv2.morphologyEx(walls, cv2.MORPH_CLOSE, structuring_element("ellipse", close))
    count, regions = cv2.connectedComponents(~walls, connectivity=4)
    # A frame without region makes neighbours of the image's outermost pixels, too.
    framed = cv2.copyMakeBorder(regions, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    rows, columns = np.nonzero(walls)
    inner = np.bincount(regions.ravel(), smooth.ravel(), count)
    pixels = np.bincount(regions.ravel(), minlength=count)
    outer, touching = np.zeros((2, count))
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        beside = framed[rows + down, columns + right]
        outer += np.bincount(beside, smooth[rows, columns], count)
        touching += np.bincount(beside, minlength=count)
    bright = inner * touching > outer * pixels
    # Component 0 is the edges themselves.
    bright[0] = False
    inside = bright[regions].view(np.uint8)
    around = cv2.dilate(inside, structuring_element("rectangle", 3))
    return (inside > 0) | ((around > 0) & (walls > 0))


METHODS = {
    function.__name__: function
    for function in (
        otsu,
        triangle,
        li,
        yen,
        isodata,
        minimum,
        multiotsu,
        kmeans,
        gaussian_mixture,
        robust_background,
        manual,
        hysteresis,
        adaptive,
        niblack,
        sauvola,
        local_otsu,
        edges,
        half_maximum,
    )
}


def otsu_level(image: np.ndarray) -> float:
    """Otsu's threshold of an image of two values or more."""
    if image.dtype == np.uint8:
        return cv2.threshold(image, 0, 255, cv2.THRESH_OTSU)[0]
    return otsu_class(*histogram(image))


def otsu_class(counts: np.ndarray, values: np.ndarray) -> float:
    """Otsu's threshold of a histogram: scikit-image's `threshold_otsu`, to the last bit.

    Takes counts of classes, not all of them in one, and their middles.
    """
    some = np.flatnonzero(counts)
    counts, values = (each[some[0] : some[-1] + 1] for each in (counts, values))
    counts = counts.astype(np.float32)
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    dark = np.cumsum(counts * values) / below
    bright = (np.cumsum((counts * values)[::-1]) / above[::-1])[::-1]
    return values[np.argmax(below[:-1] * above[1:] * (dark[:-1] - bright[1:]) ** 2)]


def li_level(counts: np.ndarray, classes: np.ndarray) -> float:
    """The threshold of minimum cross-entropy of a histogram, by Li and Tam's iteration.

    Takes counts of classes of equal width and their middles.
    """
    width = float(classes[1] - classes[0])
    low = float(classes[0]) - width / 2
    # Above the lowest value, as scikit-image has it: logarithms need positive means.
    above = classes - low
    below, total = np.cumsum(counts), np.cumsum(counts * above)
    level = total[-1] / below[-1]
    for _ in range(100):
        cut = min(max(int(np.searchsorted(above, level)), 1), above.size - 1)
        if below[cut - 1] in (0, below[-1]):
            break
        dark = total[cut - 1] / below[cut - 1]
        bright = (total[-1] - total[cut - 1]) / (below[-1] - below[cut - 1])
        before, level = level, (bright - dark) / (np.log(bright) - np.log(dark))
        if abs(level - before) < width / 2:
            break
    return level + low


def fine_histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts in 4,096 classes of a float image of two values or more, and their middles."""
    low, high = float(values.min()), float(values.max())
    width = (high - low) / 4096
    counts = np.zeros(4096, np.int64)
    # Some rows at a time, whose copies stay in the processor's cache.
    for row in range(0, len(values), 64):
        number = (values[row : row + 64] - np.float32(low)) * np.float32(1 / width)
        number = np.minimum(number, 4095).astype(np.uint16)
        counts += occurrences(number, 4096)
    return counts, low + width * (np.arange(4096) + 0.5)


def opening(image: np.ndarray, radius: float) -> np.ndarray:
    """A grey opening by a disc, smoothed, on an image reduced to where its radius is 6 pixels.

    Never above the image.
    """
    shrink = max(int(radius / 6), 1)
    small = cv2.GaussianBlur(reduced(image, shrink), (0, 0), 1, borderType=cv2.BORDER_REPLICATE)
    reach = max(round(radius / shrink), 1)
    disc = structuring_element("ellipse", 2 * reach + 1)
    opened = cv2.morphologyEx(small, cv2.MORPH_OPEN, disc, borderType=cv2.BORDER_REPLICATE)
    opened = cv2.GaussianBlur(opened, (0, 0), reach / 2, borderType=cv2.BORDER_REPLICATE)
    return np.minimum(enlarged(opened, shrink, image.shape), image)


def multiotsu_levels(image: np.ndarray, classes: int) -> np.ndarray:
    """Thresholds between so many classes, or fewer where there are fewer values."""
    counts, values = coarse_histogram(image)
    classes = min(classes, np.count_nonzero(counts))
    # The library gives the middle of the last class below, but the whole of it lies below.
    half = (values[1] - values[0]) / 2
    return filters.threshold_multiotsu(classes=classes, hist=(counts, values)) + half


def occupied(counts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A histogram without its empty classes, values in double precision."""
    return counts[counts > 0], values[counts > 0].astype(np.float64)


def cuts_at(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """How many of the sorted values lie at or below each level, without cuts that divide none."""
    cuts = np.unique(np.searchsorted(values, levels, side="right"))
    return cuts[(cuts > 0) & (cuts < values.size)]


def local_statistics(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the window around each pixel of a float64 image."""
    size, border = (window, window), cv2.BORDER_REFLECT_101
    mean = cv2.blur(values, size, borderType=border)
    deviation = cv2.sqrBoxFilter(values, cv2.CV_64F, size, borderType=border)
    deviation -= mean * mean
    np.maximum(deviation, 0, out=deviation)
    return mean, np.sqrt(deviation, out=deviation)


def noise(image: np.ndarray) -> float:
    """Standard deviation of the noise, from the median difference of pixels next to each other.

    Five pixels apart, as a blur makes those beside each other alike. Integers have no less noise
    than rounding makes.
    """
    image = image if image.shape[1] > 1 else image.T
    apart = min(5, image.shape[1] - 1)
    some = image[:: max(image.shape[0] // 512, 1)]
    difference = median(cv2.absdiff(some[:, apart:], some[:, :-apart]))
    least = ROUNDING**0.5 if image.dtype.kind == "u" else 0.0
    # The median of a Gaussian's absolute value is 0.6745 standard deviations.
    return max(difference / (0.6745 * 2**0.5), least)


def _fits(image: np.ndarray, what: str, size: int, key: str) -> None:
    if size > min(image.shape):
        raise ImageError(
            f"a {what} of {size} pixels is larger than the image of {image.shape[1]} x "
            f"{image.shape[0]}: make {key} smaller"
        )


def _some_foreground(method: str, classes: int, background_classes: int) -> None:
    if background_classes >= classes:
        raise ImageError(
            f"threshold.{method}.background_classes is {background_classes}, which leaves no "
            f"class of threshold.{method}.classes, {classes}, to the nuclei: make it smaller"
        )


def morph(
    mask: np.ndarray, operation: str, shape: str = "rectangle", size: int = 3, iterations: int = 1
) -> np.ndarray:
    """One morphological step on a 0/255 mask."""
    if size > min(mask.shape):
        raise ImageError(
            f"a kernel of {size} pixels is larger than the image of {mask.shape[1]} x "
            f"{mask.shape[0]}: make size in threshold.morphology smaller"
        )
    kernel = structuring_element(shape, size)
    return cv2.morphologyEx(mask, OPERATIONS[operation], kernel, iterations=iterations)


def without_holes(mask: np.ndarray) -> np.ndarray:
    """The mask with the background that objects (8-connected) enclose filled.

    Equal to SciPy's `binary_fill_holes`, several times as fast.
    """
    _, background = cv2.connectedComponents(~mask, connectivity=4)
    filled = np.full(background.max() + 1, 255, np.uint8)
    filled[border_pixels(background)] = 0
    # Component 0 is the mask itself.
    filled[0] = 255
    return looked_up(filled, background)


def without_border_objects(mask: np.ndarray) -> np.ndarray:
    """The mask without objects (8-connected) that touch the edge of the image.

    Equal to scikit-image's `clear_border`, several times as fast.
    """
    count, labels = cv2.connectedComponents(mask, connectivity=8)
    keep = np.full(count, 255, np.uint8)
    keep[border_pixels(labels)] = 0
    keep[0] = 0
    return looked_up(keep, labels)


def drop_small(mask: np.ndarray, min_area: int) -> np.ndarray:
    """The mask without objects (8-connected) of fewer than `min_area` pixels."""
    _, labels = cv2.connectedComponents(mask, connectivity=8)
    keep = np.where(occurrences(labels) >= min_area, np.uint8(255), np.uint8(0))
    keep[0] = 0
    return looked_up(keep, labels)


def constant(image: np.ndarray) -> bool:
    """Whether all pixels are equal: no threshold divides them, so there is no nucleus."""
    return image.min() == image.max()


def histogram(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts and their values: one class a value for integers, 65,536 classes for floats."""
    if image.dtype.kind == "u":
        low = int(image.min())
        found = occurrences(image)[low:]
        return found, np.arange(low, low + found.size)
    return _classes(image, 1 << 16)


def coarse_histogram(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts and their values: 256 classes, or for integers as few as hold equally many values."""
    if image.dtype.kind != "u":
        return _classes(image, 256)
    counts, values = histogram(image)
    # Classes of unequal numbers of values would be peaks and valleys by themselves.
    width = -(-counts.size // 256)
    counts = np.pad(counts, (0, -counts.size % width)).reshape(-1, width).sum(axis=1)
    return counts, values[::width] + (width - 1) / 2


def _classes(image: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    # In double precision, as float32 has no room for classes between values close to each other.
    ends = np.float64(image.min()), np.float64(image.max())
    counts, edges = np.histogram(image, count, ends)
    return counts, (edges[:-1] + edges[1:]) / 2


def edge_level(image: np.ndarray, mask: np.ndarray) -> float | None:
    """Median of the image where the mask ends: the threshold, also of methods that have many.

    Takes (Y, X) arrays. None where the mask has no outline in the image.
    """
    inside = cv2.erode(mask, structuring_element("cross", 3))
    outline = image[inside != mask]
    return float(np.median(outline)) if outline.size else None


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    settings = dict(settings)
    asked, scale = settings.pop("diameter"), settings.pop("scale", {})
    image, diameter = item.read("preprocessed"), None
    if asked != "auto":
        diameter = pixels(asked, side_of_pixel(item.record, image.shape, **scale))
    mask = threshold(image, **settings, diameter=diameter)
    item.facts["diameter"] = diameter or typical_diameter(mask)
    item.facts["threshold"] = edge_level(image, mask)
    return {"mask": mask}


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        batch.map(compute)
