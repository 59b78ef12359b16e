"""What the readers of microscope vendors' formats have in common."""

import colorsys
import errno
import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from nucleiflow.images import ImageError
from nucleiflow.readers import Channel

RGB = tuple(Channel(color, color) for color in ("red", "green", "blue"))
# Around the colour circle, 60 degrees each.
HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
# Less saturated colours look white.
GREY = 0.25


def library(module: str, kind: str) -> ModuleType:
    """A vendor's library, which is imported only where one of its files is opened.

    Raises
    ------
    ImageError
        Where it is not installed.
    """
    name = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ImageError(
            f"reading {kind} files needs {name}, which is not installed: "
            "pip install -r requirements-vendor.txt, or make install EXTRAS=vendor"
        ) from None
    except ImportError as error:
        # Installed, but a library of the system is missing or too old.
        raise ImageError(
            f"reading {kind} files needs {name}, which does not load: {error}"
        ) from error


def color_name(red: float, green: float, blue: float) -> str:
    """The nearest of the colours that channels are shown in; empty for black.

    The three are in one unit, 0 is dark.
    """
    top = max(red, green, blue)
    if top <= 0:
        return ""
    hue, saturation, _ = colorsys.rgb_to_hsv(red / top, green / top, blue / top)
    return "white" if saturation < GREY else HUES[round(hue * len(HUES)) % len(HUES)]


def pixel_size(x_um: float, y_um: float, source: str) -> tuple[float | None, str]:
    """The side of a pixel and its source; None and empty where it has none or is not square."""
    # A millimetre is no pixel of a microscope but a unit that was mistaken.
    known = all(math.isfinite(side) and 0 < side < 1000 for side in (x_um, y_um))
    if not known or abs(x_um - y_um) > 0.01 * max(x_um, y_um):
        return None, ""
    return x_um, source


def distinct(names: list[str]) -> list[str]:
    """Names of scenes, in their order, with a number after those that repeat."""
    given, result = set(names), []
    for name in names:
        new, number = name, 1
        while new in result or (number > 1 and new in given):
            number += 1
            new = f"{name} ({number})"
        result.append(new)
    return result


def absent(time: int, channel: int, z: int) -> ImageError:
    """What to raise for a plane that a file promises and does not hold."""
    return ImageError(
        f"the file holds no pixels of time {time}, channel {channel}, plane {z} (counted from 0): "
        "was its acquisition stopped early?"
    )


@contextmanager
def header() -> Iterator[None]:
    """Parse a header: what a damaged one makes of the system's errors is the file's own fault."""
    try:
        yield
    except MemoryError as error:
        raise ValueError("the header asks for more memory than there is") from error
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOVERFLOW):
            raise ValueError("the header points out of the file") from error
        raise
