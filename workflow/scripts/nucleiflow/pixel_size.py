"""Which pixel size is believed."""

from nucleiflow.readers import RESOLUTION_TAG


def pixel_size(
    stated: float | None, source: str, asked: float | str | None
) -> tuple[float | str, str]:
    """Side of a pixel in micrometres and its source; empty where it is not known.

    Parameters
    ----------
    stated, source
        What the file says, as in `nucleiflow.readers.Scene`.
    asked : float, str or None
        A number, which wins, or `resolution_tag`: without it, a TIFF's resolution tag alone is
        recorded and not used.
    """
    if isinstance(asked, float):
        return asked, "config"
    if source == RESOLUTION_TAG and asked != "resolution_tag":
        return "", f"{source} says {stated:.6g} µm, not used"
    return ("" if stated is None else stated), source
