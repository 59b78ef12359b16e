"""What each preprocess method costs: milliseconds a megapixel, and the ratio to the library's.

The image is a simulated field of 16 bits, as the camera wrote it; the options are the config's
defaults. The library's function works on the same image with the same options, and what stands
above the background that it finds is taken from the image. Rolling balls of the library take a
minute for the whole image, so both sides of a comparison work on as much of it as `PART` says.
The best of several rounds counts, taken in turn.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from scipy import ndimage
from skimage.restoration import rolling_ball
from stages import SCHEMA, preprocess, stage_settings

from simulate import simulate

# Rows and columns of the image that slow functions work on.
PART = {"rolling_ball": 512, "nlmeans": 512, "nlmeans_multi": 256}


def nlmeans(image: np.ndarray, h: float, template_window: int, search_window: int) -> np.ndarray:
    """OpenCV's, which compares 16 bits by absolute differences."""
    windows = (template_window, search_window)
    return cv2.fastNlMeansDenoising(image, [h], None, *windows, cv2.NORM_L1)


def nlmeans_multi(
    series: Sequence[np.ndarray], frames: int, h: float, template_window: int, search_window: int
) -> np.ndarray:
    """OpenCV's on the same times."""
    windows = (template_window, search_window)
    return cv2.fastNlMeansDenoisingMulti(
        series, frames // 2, frames, [h], None, *windows, cv2.NORM_L1
    )


def bilateral(
    image: np.ndarray, diameter: int, sigma_color: float, sigma_space: float
) -> np.ndarray:
    """OpenCV's, which takes 16 bits as floats."""
    result = cv2.bilateralFilter(image.astype(np.float32), diameter, sigma_color, sigma_space)
    return np.rint(result).astype(np.uint16)


def tophat(image: np.ndarray, radius: int) -> np.ndarray:
    """OpenCV's with an ellipse."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.morphologyEx(image, cv2.MORPH_TOPHAT, disc)


def logarithm(image: np.ndarray) -> np.ndarray:
    """NumPy's of every pixel."""
    return np.rint(np.log1p(image / image.max() * 255) / np.log(256) * image.max())


DENOISERS: dict[str, Callable] = {
    "gaussian": lambda image, sigma, kernel: cv2.GaussianBlur(image, (0, 0), sigma),
    "median": lambda image, kernel: ndimage.median_filter(image, kernel),
    "bilateral": bilateral,
    "nlmeans": nlmeans,
    "nlmeans_multi": nlmeans_multi,
}
BACKGROUNDS: dict[str, Callable] = {
    "rolling_ball": lambda image, radius: image - rolling_ball(image, radius=radius, workers=1),
    "tophat": tophat,
    "gaussian": lambda image, sigma: cv2.subtract(image, cv2.GaussianBlur(image, (0, 0), sigma)),
    "constant": lambda image, value: cv2.subtract(image, int(np.percentile(image, 5))),
}


def best_of(functions: Sequence[Callable], rounds: int) -> list[float]:
    """Seconds that each function takes in its best round."""
    best = [np.inf] * len(functions)
    for _ in range(rounds):
        for index, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def compared(name: str, pixels: int, rounds: int, *functions: Callable) -> None:
    """Print what the first function costs, and the ratio to the second."""
    ours, theirs = best_of(functions, rounds)
    cost = ours * 1e3 / (pixels / 1e6)
    print(f"  {name:28}{cost:8.1f} ms a megapixel{ours / theirs:8.2f} x the library's", flush=True)


def main() -> None:
    """Print what every method costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns (2048)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    whole = simulate(1, (arguments.size, arguments.size))[0]
    print(f"Filters on {whole.shape[1]} x {whole.shape[0]} pixels of 16 bits")
    for step, ours, theirs in (
        ("denoise", preprocess.METHODS, DENOISERS),
        ("background", preprocess.BACKGROUNDS, BACKGROUNDS),
    ):
        group = SCHEMA["properties"]["preprocess"]["properties"][step]["properties"]
        for method in group["method"]["enum"]:
            if method not in theirs:
                continue
            config = {"preprocess": {step: {"method": method}}}
            options = stage_settings(config)["preprocess"][step]["options"]
            part = PART.get(method, arguments.size)
            image = whole[:part, :part].copy()
            # Of each there is one input: a picture, or as many as a series has.
            taken = [image] * options["frames"] if method == "nlmeans_multi" else image
            function = ours.get(method, preprocess.nlmeans_multi)
            compared(
                f"{step} {method}",
                image.size,
                arguments.rounds,
                partial(function, taken, **options),
                partial(theirs[method], taken, **options),
            )
    compared(
        "log",
        whole.size,
        arguments.rounds,
        partial(preprocess.logarithm, whole),
        partial(logarithm, whole),
    )


if __name__ == "__main__":
    main()
