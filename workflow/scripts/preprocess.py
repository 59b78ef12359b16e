"""Stage 1, preprocess: from the image file to the picture that the threshold works on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from nucleiflow.batch import open_batch
from nucleiflow.field import Field, nuclear_channel, pick
from nucleiflow.flat_field import corrected
from nucleiflow.images import ImageError
from nucleiflow.kernel import structuring_element

# Reduced images keep these many pixels of a ball's radius and of a standard deviation.
REDUCED_RADIUS = 10
REDUCED_SIGMA = 8
# Up to this radius OpenCV's own way is the faster one.
SMALL_DISC = 10
# Percentile that is taken for the background's intensity: there are fields full of nuclei.
GROUND_PERCENTILE = 5
# How much the logarithm compresses: of values from 0 to 255 it is log(1 + value).
COMPRESSION = 255


def preprocess(raw: np.ndarray, denoise: dict, background: dict, log: bool) -> np.ndarray:
    """Denoise the channel with the nuclei, remove its background, compress its bright nuclei.

    In this order, as noise would pull down what is taken for the background, and the logarithm
    of a sum of nucleus and background is no sum.

    Parameters
    ----------
    raw : (Y, X) array
        The channel as the camera wrote it, cropped and resized; left unmodified.
    denoise, background : dict
        `{method, options}`: the name of a function below and its arguments.
    log : bool

    Returns
    -------
    preprocessed : (Y, X) array of uint8, uint16 or float32
        Integers of 8 and 16 bits without sign keep their type, others become float32.
    """
    image = METHODS[denoise["method"]](as_working(raw), **denoise["options"])
    return finish(image, background, log)


def finish(denoised: np.ndarray, background: dict, log: bool) -> np.ndarray:
    """What comes after denoising; arguments and result as of `preprocess`."""
    image = BACKGROUNDS[background["method"]](denoised, **background["options"])
    return logarithm(image) if log else image


def as_working(raw: np.ndarray) -> np.ndarray:
    """An array in one piece, of uint8, uint16 or else float32."""
    working = raw if raw.dtype in (np.uint8, np.uint16) else raw.astype(np.float32)
    return np.ascontiguousarray(working)


def weighted_sum(channels: Iterable[tuple[np.ndarray, float]]) -> np.ndarray:
    """Channels of one image times their weights, added up.

    (Y, X) arrays in and out. Where all are uint8 or uint16, the sum is rounded and clipped to
    the range of the larger type, else it is float32.
    """
    total, types = np.float64(0), []
    for image, weight in channels:
        total = total + image * np.float64(weight)
        types.append(image.dtype)
    dtype = np.result_type(*types)
    if dtype not in (np.uint8, np.uint16):
        return total.astype(np.float32)
    return np.rint(total).clip(0, np.iinfo(dtype).max).astype(dtype)


def gaussian(image: np.ndarray, sigma: float | None, kernel: int | None) -> np.ndarray:
    """Gaussian blur; what is not given is derived from the other, as OpenCV does."""
    _fits(image, kernel or 1, "preprocess.denoise.gaussian.kernel")
    return cv2.GaussianBlur(image, (kernel or 0, kernel or 0), sigma or 0)


def median(image: np.ndarray, kernel: int) -> np.ndarray:
    """Median of a square window."""
    _fits(image, kernel, "preprocess.denoise.median.kernel")
    if image.dtype == np.uint8 or kernel <= 5:
        return cv2.medianBlur(image, kernel)
    # OpenCV has large windows for 8 bits only. SciPy takes as long to import as all the rest.
    from scipy import ndimage

    return ndimage.median_filter(image, kernel, mode="nearest")


def bilateral(
    image: np.ndarray, diameter: int, sigma_color: float, sigma_space: float
) -> np.ndarray:
    """Bilateral filter; `sigma_color` in the image's own units."""
    _fits(image, diameter, "preprocess.denoise.bilateral.diameter")
    if image.dtype == np.uint16:
        result = cv2.bilateralFilter(image.astype(np.float32), diameter, sigma_color, sigma_space)
        return np.rint(result).astype(np.uint16)
    return cv2.bilateralFilter(image, diameter, sigma_color, sigma_space)


def nlmeans(image: np.ndarray, h: float, template_window: int, search_window: int) -> np.ndarray:
    """Non-local means (Buades et al. 2005); `h` in the image's own units.

    16-bit images are compared by absolute differences, the only way that OpenCV has for them.
    Floats are processed as 16-bit integers between their minimum and maximum.
    """
    _fits(image, template_window, "preprocess.denoise.nlmeans.template_window")
    if image.dtype == np.uint8:
        return cv2.fastNlMeansDenoising(image, None, h, template_window, search_window)
    if image.dtype == np.uint16:
        return cv2.fastNlMeansDenoising(
            image, [h], None, template_window, search_window, cv2.NORM_L1
        )
    low = image.min()
    integers, scale = _as_16_bit(image, low, image.max())
    denoised = nlmeans(integers, h * scale, template_window, search_window)
    return (denoised / scale + low).astype(np.float32)


def nlmeans_multi(
    image: Sequence[np.ndarray], frames: int, h: float, template_window: int, search_window: int
) -> np.ndarray:
    """Non-local means that looks for similar patches in neighbouring times, too.

    Parameters
    ----------
    image : `frames` (Y, X) arrays of one type, uint8, uint16 or float32
        The one in the middle is denoised. The order of the others does not matter.
    h, template_window, search_window
        As of `nlmeans`.
    """
    _fits(image[0], template_window, "preprocess.denoise.nlmeans_multi.template_window")
    windows = (template_window, search_window)
    if image[0].dtype == np.uint8:
        return cv2.fastNlMeansDenoisingMulti(image, frames // 2, frames, None, h, *windows)
    if image[0].dtype == np.uint16:
        return cv2.fastNlMeansDenoisingMulti(
            image, frames // 2, frames, [h], None, *windows, cv2.NORM_L1
        )
    low, high = min(map(np.min, image)), max(map(np.max, image))
    integers, scale = zip(*(_as_16_bit(each, low, high) for each in image), strict=True)
    denoised = nlmeans_multi(integers, frames, h * scale[0], *windows)
    return (denoised / scale[0] + low).astype(np.float32)


def neighbours(time: int, times: int, frames: int) -> list[int]:
    """The `frames` times around one of `times`, with this one in the middle.

    At the ends of a series the window is shifted, as OpenCV has no other than full windows; what
    lies on which side makes no difference to it.
    """
    if times < frames:
        has = "one time" if times == 1 else f"{times} times"
        raise ImageError(
            f"nlmeans_multi compares {frames} times of a series in one file, which has {has}: set "
            "preprocess.denoise.method to nlmeans"
            + (", or make preprocess.denoise.nlmeans_multi.frames smaller" if times > 2 else "")
        )
    start = min(max(time - frames // 2, 0), times - frames)
    window = [each for each in range(start, start + frames) if each != time]
    return [*window[: frames // 2], time, *window[frames // 2 :]]


def nlmeans_colored(
    image: np.ndarray | None, h: float, h_color: float, template_window: int, search_window: int
) -> np.ndarray:
    """Non-local means on an 8-bit RGB image, (Y, X, 3) in and out, as in the OpenCV workshop."""
    if image is None or image.dtype != np.uint8:
        raise ImageError(
            "nlmeans_colored needs an 8-bit RGB image: set preprocess.denoise.method to nlmeans"
        )
    _fits(image, template_window, "preprocess.denoise.nlmeans_colored.template_window")
    bgr = np.ascontiguousarray(image[..., ::-1])
    result = cv2.fastNlMeansDenoisingColored(bgr, None, h, h_color, template_window, search_window)
    return result[..., ::-1]


def none(image: np.ndarray) -> np.ndarray:
    """The image as it is."""
    return image


METHODS = {function.__name__: function for function in (gaussian, median, bilateral, nlmeans, none)}


def rolling_ball(image: np.ndarray, radius: int) -> np.ndarray:
    """The image without what a ball rolling under it touches (Sternberg 1983).

    The background is that of scikit-image's `rolling_ball`. Larger balls roll under a reduced
    image, of the darkest pixels of each square, as in ImageJ. A ball is as high as it is wide, in
    units of intensity: floats are stretched to the range of 16 bits, lest it be a needle to them.
    """
    if image.dtype != np.float32:
        return _above(image, _under_ball(image, radius))
    low, scale = _range(image.min(), image.max())
    stretched = (image - low) * np.float32(scale)
    return _above(stretched, _under_ball(stretched, radius)) / np.float32(scale)


def _under_ball(image: np.ndarray, radius: int) -> np.ndarray:
    # It is not needed otherwise, and takes time to import.
    from skimage.restoration import rolling_ball as ground_of

    workers = max(1, cv2.getNumThreads())
    factor = -(-radius // REDUCED_RADIUS)
    if factor == 1:
        return ground_of(image, radius=radius, workers=workers)
    height, width = image.shape
    edges = (0, -height % factor, 0, -width % factor)
    darkest = cv2.copyMakeBorder(image, *edges, cv2.BORDER_REPLICATE)
    whole = darkest.shape
    darkest = darkest.reshape(-1, factor, whole[1]).min(axis=1)
    darkest = darkest.reshape(len(darkest), -1, factor).min(axis=2)
    steps = np.arange(-(radius // factor), radius // factor + 1.0) * factor
    squares = steps[:, None] ** 2 + steps**2
    ball = np.sqrt(np.clip(radius**2 - squares, 0, None))
    ball[squares > radius**2] = np.inf
    ground = ground_of(darkest, kernel=ball, workers=workers).astype(np.float32)
    ground = cv2.resize(ground, whole[::-1])[:height, :width]
    return ground if image.dtype == np.float32 else np.rint(ground)


def tophat(image: np.ndarray, radius: int) -> np.ndarray:
    """The image without its opening by a disc: what is smaller than the disc stays.

    Equal to OpenCV's top-hat with an ellipse of 2 radius + 1 pixels, whatever the radius.
    """
    disc = structuring_element("ellipse", 2 * radius + 1)
    if radius <= SMALL_DISC:
        return cv2.morphologyEx(image, cv2.MORPH_TOPHAT, disc)
    return image - _extreme(_extreme(image, disc, np.minimum), disc, np.maximum)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """What of the image is above its Gaussian blur; a large one blurs a reduced image."""
    factor = int(sigma / REDUCED_SIGMA)
    if factor < 2:
        return _above(image, cv2.GaussianBlur(image, (0, 0), sigma))
    height, width = image.shape
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    factors = np.array([width / size[0], height / size[1]])
    # Reducing and enlarging blur, too: their variances are those of a square and of a triangle.
    sigmas = np.sqrt(sigma**2 - (factors**2 - 1) / 12 - factors**2 / 6) / factors
    border = cv2.BORDER_REFLECT
    small = cv2.GaussianBlur(small, (0, 0), sigmas[0], sigmaY=sigmas[1], borderType=border)
    ground = cv2.resize(small, (width, height))
    return _above(image, ground if image.dtype == np.float32 else np.rint(ground))


def constant(image: np.ndarray, value: float | None) -> np.ndarray:
    """The image minus a value in its own units; None takes the 5th percentile of the image."""
    if value is None:
        value = np.percentile(image, GROUND_PERCENTILE, method="lower")
    elif image.dtype != np.float32:
        value = round(min(value, np.iinfo(image.dtype).max))
    return _above(image, image.dtype.type(value))


BACKGROUNDS = {
    "none": none,
    "rolling_ball": rolling_ball,
    "tophat": tophat,
    "gaussian": blurred,
    "constant": constant,
}


def logarithm(image: np.ndarray) -> np.ndarray:
    """Compress bright intensities: `max * log(1 + 255 * value / max) / log(256)`.

    `max` is the largest value of the image. 0 and it stay what they are, a fifteenth of it
    becomes about a half; negative values become 0. The type stays; integers are rounded. The
    result is the same picture for the same nuclei in 8 bits, 16 bits and floats.
    """
    top = image.max()
    if image.dtype == np.float32:
        result = np.maximum(image, 0)
        return _compressed(result / top) * top if top > 0 else result
    values = np.arange(int(top) + 1) / max(1, int(top))
    return np.rint(_compressed(values) * top).astype(image.dtype)[image]


def _compressed(fraction: np.ndarray) -> np.ndarray:
    # Exactly 1 at 1.
    return np.log2(1 + COMPRESSION * fraction) / np.log2(fraction.dtype.type(1 + COMPRESSION))


def _above(image: np.ndarray, ground: np.ndarray | np.number) -> np.ndarray:
    """What of an image is above its background, in its type; nothing is below 0."""
    return image - np.minimum(image, ground).astype(image.dtype)


def _extreme(image: np.ndarray, disc: np.ndarray, choose: np.ufunc) -> np.ndarray:
    """Minimum or maximum of a disc around each pixel, of those in the image.

    A row of the disc is covered by two runs of a power of two pixels, which are made from those
    of half their length (Urbach and Wilkinson 2008): the work grows with the radius, not with
    its square.
    """
    height, width = image.shape
    radius = len(disc) // 2
    least, greatest = (-np.inf, np.inf) if image.dtype == np.float32 else (0, 65535)
    if image.dtype == np.uint8:
        greatest = 255
    outside = greatest if choose is np.minimum else least
    runs = cv2.copyMakeBorder(image, *[radius] * 4, cv2.BORDER_CONSTANT, value=outside)
    result = np.full_like(image, outside)
    lengths, length = disc.sum(axis=1), 1
    for wanted in np.unique(lengths):
        while 2 * length <= wanted:
            runs = choose(runs[:, :-length], runs[:, length:])
            length *= 2
        first = radius - wanted // 2
        last = first + wanted - length
        row = choose(runs[:, first : first + width], runs[:, last : last + width])
        for shift in np.flatnonzero(lengths == wanted):
            choose(result, row[shift : shift + height], out=result)
    return result


def _as_16_bit(image: np.ndarray, low: float, high: float) -> tuple[np.ndarray, float]:
    """Floats as 16-bit integers between two values, and how many integers a unit has."""
    low, scale = _range(low, high)
    return np.rint((image - low) * scale).astype(np.uint16), scale


def _range(low: float, high: float) -> tuple[float, float]:
    """The lower of two values, and what stretches their difference to 16 bits."""
    low, high = float(low), float(high)
    return low, np.iinfo(np.uint16).max / (high - low) if high > low else 1.0


def _fits(image: np.ndarray, size: int, key: str) -> None:
    if size > min(image.shape[:2]):
        raise ImageError(
            f"a kernel of {size} pixels is larger than the image of {image.shape[1]} x "
            f"{image.shape[0]}: make {key} smaller"
        )


def compute(item, settings: dict) -> dict:
    """One image of the batch."""
    denoise, background, log = (settings[key] for key in ("denoise", "background", "log"))
    method, options = denoise["method"], denoise["options"]
    with item.field(settings["view"]) as field:
        weights = chosen(field, settings["combine"])
        segmented = shown(field, weights)
        item.facts.update(facts(field, segmented))
        if settings["view"]["z"] == "focus":
            plane = field.sharpest(segmented)
            item.facts["plane"] = plane
            field = replace(field, view=replace(field.view, z=plane))
        field = corrected(field, settings.get("illumination"), item.record, exact=False)

        def picture(moment: Field) -> np.ndarray:
            return of_channels(moment.image, segmented, weights)

        raw = picture(field)
        if method == "nlmeans_colored":
            colors = nlmeans_colored(field.rgb(), **options)
            denoised = of_channels(lambda index: colors[..., index], segmented, weights)
            preprocessed = finish(denoised, background, log)
        elif method == "nlmeans_multi":
            times = neighbours(field.time, field.times, options["frames"])
            series = [as_working(picture(field.at(time))) for time in times]
            preprocessed = finish(nlmeans_multi(series, **options), background, log)
        else:
            preprocessed = preprocess(raw, denoise, background, log)
    return {"channel": raw, "preprocessed": preprocessed}


def chosen(field: Field, combine: dict[str, float] | None) -> dict[int, float]:
    """Weights of channels by their indices; none where one channel is taken as it is."""
    weights = {}
    for name, weight in (combine or {}).items():
        index = pick(name, field.names, field.stated, "preprocess.combine")
        if index in weights:
            raise ImageError(
                f"preprocess.combine names channel {field.names[index] or index} twice: leave "
                f"out one of {', '.join(combine)}"
            )
        weights[index] = weight
    return weights


def shown(field: Field, weights: dict[int, float]) -> int:
    """Index of the channel with the nuclei, for pictures and tables.

    Of combined channels it is the one with the largest weight, where neither the config nor a
    name tells.
    """
    if not weights or field.view.segment != "auto" or nuclear_channel(field.names) is not None:
        return field.segmented()
    return max(sorted(weights), key=weights.get)


def of_channels(
    image: Callable[[int], np.ndarray], segmented: int, weights: dict[int, float]
) -> np.ndarray:
    """The channel with the nuclei, or the weighted sum of channels, by a function of the index."""
    if not weights:
        return image(segmented)
    return weighted_sum((image(index), weights[index]) for index in sorted(weights))


def facts(field: Field, segmented: int) -> dict:
    """What the tables say of an image."""
    return {
        "height": field.height,
        "width": field.width,
        "dtype": str(field.dtype),
        "channels": ";".join(field.names),
        "segmented": field.names[segmented],
        "segmented_index": segmented,
        "planes": max(map(len, field.planes)),
        "stated_pixel_size_um": field.pixel_size_um,
        "stated_pixel_size_source": field.pixel_size_source,
    }


if "snakemake" in globals():
    with open_batch(snakemake) as batch:
        batch.map(compute)
