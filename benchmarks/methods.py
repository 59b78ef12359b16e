"""What each threshold costs: milliseconds a megapixel, and the ratio to the library's function.

The image is a simulated field of 16 bits, blurred as the default config does; the options are
the config's defaults. The library works on the same image with the same options, and the mask is
made from its threshold. Where it takes hours for a class a value, it gets the 256 classes that
the method uses. The best of several rounds counts, taken in turn.
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
from skimage import filters
from stages import SCHEMA, stage_settings, threshold

from simulate import simulate

CRITERIA = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 0.01)


def kmeans(image: np.ndarray, classes: int, background_classes: int) -> np.ndarray:
    """OpenCV's clusters of pixels, from one start."""
    cv2.setRNGSeed(1)
    values = image.reshape(-1, 1).astype(np.float32)
    _, _, centers = cv2.kmeans(values, classes, None, CRITERIA, 1, cv2.KMEANS_PP_CENTERS)
    means = np.sort(centers.ravel())
    return image > means[background_classes - 1 : background_classes + 1].mean()


def hysteresis(image: np.ndarray, low_factor: float, high_factor: float, **_) -> np.ndarray:
    """The library's hysteresis between thresholds found as the method finds them."""
    level = filters.threshold_otsu(image)
    ground = np.median(image[image <= level])
    low, high = (ground + factor * (level - ground) for factor in (low_factor, high_factor))
    return filters.apply_hysteresis_threshold(image, low, high)


def multiotsu(image: np.ndarray, classes: int, background_classes: int) -> np.ndarray:
    """The library's thresholds from 256 classes."""
    levels = filters.threshold_multiotsu(image.astype(np.float32), classes)
    return image > levels[background_classes - 1]


def sauvola(image: np.ndarray, window: int, k: float, **_) -> np.ndarray:
    """The library's threshold of the inverted image."""
    inverted = image.max() - image
    return inverted < filters.threshold_sauvola(inverted, window, k)


def adaptive(image: np.ndarray, block_size: int, weights: str, offset: float) -> np.ndarray:
    """The library's local threshold, whose offset is subtracted."""
    return image > filters.threshold_local(image, block_size, weights, -offset)


# The others rest on no function that does the same to 16 bits.
LIBRARY: dict[str, Callable] = {
    "otsu": lambda image: image > filters.threshold_otsu(image),
    "triangle": lambda image: image > filters.threshold_triangle(image),
    "li": lambda image: image > filters.threshold_li(image),
    "adaptive": adaptive,
    "yen": lambda image: image > filters.threshold_yen(image),
    "isodata": lambda image: image > filters.threshold_isodata(image),
    "minimum": lambda image: image > filters.threshold_minimum(image.astype(np.float32)),
    "multiotsu": multiotsu,
    "kmeans": kmeans,
    "hysteresis": hysteresis,
    "niblack": lambda image, window, k, **_: image > filters.threshold_niblack(image, window, -k),
    "sauvola": sauvola,
}


def main() -> None:
    """Print what every method costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns (2048)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    image = cv2.GaussianBlur(simulate(1, (arguments.size, arguments.size))[0], (0, 0), 1)
    megapixels = image.size / 1e6
    print(f"Thresholds on {image.shape[1]} x {image.shape[0]} pixels of 16 bits")
    for method in SCHEMA["properties"]["threshold"]["properties"]["method"]["enum"]:
        options = stage_settings({"threshold": {"method": method}})["threshold"]["options"]
        ours, theirs = threshold.METHODS[method], LIBRARY.get(method)
        best = {ours: np.inf} | ({theirs: np.inf} if theirs else {})
        for _ in range(arguments.rounds):
            for function in best:
                start = time.perf_counter()
                function(image, **options)
                best[function] = min(best[function], time.perf_counter() - start)
        ratio = f"{best[ours] / best[theirs]:8.2f} x the library's" if theirs else ""
        print(
            f"  {method:20}{best[ours] * 1e3 / megapixels:8.1f} ms a megapixel{ratio}", flush=True
        )


if __name__ == "__main__":
    main()
