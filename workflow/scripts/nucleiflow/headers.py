"""What a config asks for that images do not have, as far as their headers tell."""

from collections.abc import Sequence

from nucleiflow import flat_field
from nucleiflow.field import Header, channel_names, nuclear_channel, pick, refuse_plane
from nucleiflow.geometry import refuse_outside
from nucleiflow.images import ImageError
from nucleiflow.lengths import micrometres, needs_pixel_size, pixels
from nucleiflow.pixel_size import pixel_size
from nucleiflow.readers import Channel


def problem(header: Header, directory: str, config: dict) -> str:
    """Why every image of a directory like this one would fail; empty where nothing tells.

    Parameters
    ----------
    header : Header
    directory : str
        Of the image.
    config : dict
        The whole config.

    Each sentence is that with which the image itself would fail. Of a file with several scenes the
    header tells those of the largest one, which may be another kind of picture.
    """
    if len(header.scenes) > 1:
        return ""
    try:
        names = channel_names(header.stated, config["channels"])
        refuse_channels(names, header.stated, config)
        if len(header.planes) > 1 and not isinstance(config["z"], str):
            refuse_plane(config["z"], header.planes)
        refuse_outside((header.height, header.width), config["preprocess"]["crop"])
        if config["labels"] is None:
            _refuse_lengths(header, config)
        if config["illumination"]["method"] == "flat_field":
            _refuse_flat_field(header._replace(names=names), directory, config)
    except ImageError as error:
        return str(error)
    return ""


def refuse_channels(names: Sequence[str], stated: Sequence[Channel], config: dict) -> None:
    """Raise ImageError where the config names a channel that is not among some.

    `names` are those of the tables, `stated` those of the files, as in `nucleiflow.field.Field`.
    """
    asked = {}
    if config["segment"] != "auto":
        asked["segment"] = [config["segment"]]
    cells = config["cells"]
    if cells["method"] == "watershed" and cells["watershed"]["channel"] != "auto":
        asked["cells.watershed.channel"] = [cells["watershed"]["channel"]]
    if isinstance(config["measure"]["channels"], list):
        asked["measure.channels"] = config["measure"]["channels"]
    if config["labels"] is None:
        asked["preprocess.combine"] = config["preprocess"]["combine"] or ()
    for key, wanted in asked.items():
        for channel in wanted:
            pick(channel, names, stated, key)


def _refuse_lengths(header: Header, config: dict) -> None:
    """Refuse micrometres where the size of a pixel is not known."""
    filters = config["watershed"]["filters"]
    limits = [each[end] for each in filters for end in ("min", "max")]
    stated = header.pixel_size_um, header.pixel_size_source
    if pixel_size(*stated, config["pixel_size_um"])[0] != "":
        return
    for value in (config["diameter"], *limits):
        if needs_pixel_size(value):
            pixels(value, None, micrometres(value)[1])


def _refuse_flat_field(header: Header, directory: str, config: dict) -> None:
    """Refuse the user's flat field of the channel with the nuclei where it does not fit."""
    if config["segment"] == "auto":
        nuclear = nuclear_channel(header.names)
    else:
        nuclear = pick(config["segment"], header.names, header.stated, "segment")
    if nuclear is None:
        return
    path = config["illumination"]["flat_field"]["path"]
    try:
        flat_field.files_of(path, directory)
    except ImageError:
        # Refused where the rules ask for it.
        return
    shape = header.height, header.width
    flat_field.given(path, header.names, header.stated, nuclear, directory, shape)
