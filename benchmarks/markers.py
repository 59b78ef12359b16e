"""What seeds cost: milliseconds a megapixel, and the ratio to the library's function.

The mask and the image are those of a simulated field of 16 bits, blurred and thresholded by Otsu's
method. Options are the config's defaults, and the library's function gets the same. The distance
transform, which all methods share, is not counted. The best of several rounds counts, taken in
turn; large images of the library's slow functions are cut.
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
from skimage.feature import blob_log, peak_local_max
from skimage.morphology import h_maxima
from stages import SCHEMA, markers, stage_settings

from nucleiflow.distance import distance_transform
from nucleiflow.scale import diameter
from simulate import simulate

# Rows and columns of the image that slow functions of the library get.
PART = {"h_maxima": 512}


def peaks(distance: np.ndarray, diameter: float, min_distance: float, sigma: float, **_) -> None:
    """Local maxima of the blurred distance."""
    reach = max(round(min_distance * diameter), 1)
    smooth = cv2.GaussianBlur(distance, (0, 0), sigma)
    peak_local_max(smooth, min_distance=reach, exclude_border=False)


def log(image: np.ndarray, diameter: float, **_) -> None:
    """Blobs of one size."""
    sigma = diameter / 8**0.5
    blob_log(image.astype(np.float32), sigma, sigma, 1, threshold=100)


def maxima(distance: np.ndarray, h: float, sigma: float, **_) -> None:
    """Maxima by reconstruction, above saddles by a number of pixels alone."""
    h_maxima(cv2.GaussianBlur(distance, (0, 0), sigma), h)


LIBRARY: dict[str, Callable] = {"peaks": peaks, "log": log, "h_maxima": maxima}


def main() -> None:
    """Print what every method costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns (2048)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    whole = cv2.GaussianBlur(simulate(1, (arguments.size, arguments.size))[0], (0, 0), 1)
    level, _ = cv2.threshold(whole, 0, 65535, cv2.THRESH_OTSU)
    print(f"Seeds on {whole.shape[1]} x {whole.shape[0]} pixels of 16 bits")
    for method in SCHEMA["properties"]["markers"]["properties"]["method"]["enum"]:
        if method == "image":
            continue
        options = stage_settings({"markers": {"method": method}})["markers"]["options"]
        part = PART.get(method, arguments.size)
        image = whole[:part, :part].copy()
        mask = (image > level).astype(np.uint8) * np.uint8(255)
        known = {
            "image": image,
            "mask": mask,
            "distance": distance_transform(mask, 5),
            "diameter": diameter(mask),
        }
        names = markers.arguments(method)
        calls = [(markers.METHODS[method], {n: known[n] for n in names if n in known})]
        if method in LIBRARY:
            calls.append((LIBRARY[method], known))
        best = [np.inf] * len(calls)
        for _ in range(arguments.rounds):
            for index, (function, inputs) in enumerate(calls):
                start = time.perf_counter()
                function(**inputs, **options)
                best[index] = min(best[index], time.perf_counter() - start)
        cost = best[0] * 1e9 / image.size
        ratio = f"{best[0] / best[1]:8.2f} x the library's" if len(best) > 1 else ""
        print(f"  {method:20}{cost:8.1f} ms a megapixel{ratio}", flush=True)


if __name__ == "__main__":
    main()
