"""Simulated plates: fields of fluorescent nuclei whose true labels are known."""

import argparse
from pathlib import Path

import cv2
import numpy as np
import tifffile

from nucleiflow.images import encode_tiff

# What differs from plate to plate: see `simulate`. More plates start again with the first.
PLATES = (
    {"diameter": 30.0, "density": 1.0, "brightness": 2500.0},
    {"diameter": 20.0, "density": 1.3, "brightness": 900.0},
)
COLUMNS, ROWS = 12, "ABCDEFGH"
# Visible share of a nucleus that an earlier one covers in part: less is not drawn.
VISIBLE = 0.8


def simulate(
    seed: int | list[int] | np.random.Generator,
    shape: tuple[int, int] = (512, 512),
    diameter: float = 30.0,
    density: float = 1.0,
    brightness: float = 2500.0,
    dim: float = 0.06,
    background: float = 150.0,
    vignetting: float = 0.35,
    psf: float = 1.2,
    offset: float = 100.0,
    read_noise: float = 4.0,
) -> tuple[np.ndarray, np.ndarray]:
    """One field of view of stained nuclei as a 16-bit camera sees it.

    Nuclei are irregular ellipses of several sizes and brightnesses with chromatin texture and
    nucleoli, alone and in touching groups; those at the edge are cut. Light falls off from a
    centre that is not the image's. Noise is that of photons (one count a photon) and of the
    camera.

    Parameters
    ----------
    seed : int, list of int or Generator
        The same seed gives the same field.
    shape : (int, int)
        Rows and columns.
    diameter : float
        Median diameter of the nuclei in pixels.
    density : float
        Number of nuclei, 1 for a fifth of the field covered.
    brightness : float
        Median intensity amid the nuclei in counts, where all the light falls.
    dim : float
        Fraction of the nuclei that are 3 to 6 times dimmer.
    background : float
        Light outside of nuclei, in counts.
    vignetting : float
        Fraction of the light that is lost at the darkest corner, about.
    psf : float
        Standard deviation of the blur in pixels.
    offset, read_noise : float
        Of the camera, in counts.

    Returns
    -------
    image : (Y, X) array of uint16
    labels : (Y, X) array of int32
        0 background, 1..n nuclei without gaps.
    """
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    light = np.zeros(shape, np.float32)
    wanted = 0.2 * density * shape[0] * shape[1] / (np.pi / 4 * diameter**2)
    texture = _texture(rng, max(diameter / 12, 1.0))
    drawn = 0
    # Groups of touching nuclei: each one starts alone, and most end so.
    for _ in range(round(wanted * 3)):
        if drawn >= wanted:
            break
        center = rng.uniform(0, shape)
        group_diameter = diameter * rng.lognormal(0, 0.15)
        previous = 0.0
        for _ in range(rng.geometric(0.5)):
            semi_axes = _semi_axes(rng, group_diameter)
            if previous:
                angle = rng.uniform(0, 2 * np.pi)
                step = (previous + semi_axes.mean()) * rng.uniform(0.9, 1.05)
                center = center + step * np.array([np.sin(angle), np.cos(angle)])
            if not _inside(center, shape):
                break
            level = brightness * rng.lognormal(0, 0.35)
            if rng.random() < dim:
                level = brightness / rng.uniform(3, 6)
            done = _draw(rng, labels, light, drawn + 1, center, semi_axes, level, texture)
            drawn += done
            if not done:
                break
            previous = semi_axes.mean()
    return _camera(rng, light, background, vignetting, psf, offset, read_noise), labels


def _semi_axes(rng: np.random.Generator, diameter: float) -> np.ndarray:
    """Two half axes, in pixels, of an ellipse of about a diameter."""
    radius = diameter / 2 * rng.lognormal(0, 0.12)
    stretch = np.sqrt(rng.uniform(1.0, 1.7))
    return np.array([radius * stretch, radius / stretch])


def _inside(center: np.ndarray, shape: tuple[int, int]) -> bool:
    return bool(((center >= 0) & (center < shape)).all())


def _draw(
    rng: np.random.Generator,
    labels: np.ndarray,
    light: np.ndarray,
    label: int,
    center: np.ndarray,
    semi_axes: np.ndarray,
    level: float,
    texture: np.ndarray,
) -> bool:
    """Add a nucleus to `labels` and `light`, unless earlier ones leave too little of it."""
    reach = int(semi_axes.max() * 1.3) + 2
    top, left = (int(value) - reach for value in center)
    rows = slice(max(top, 0), min(top + 2 * reach + 1, labels.shape[0]))
    columns = slice(max(left, 0), min(left + 2 * reach + 1, labels.shape[1]))
    y, x = np.ogrid[rows, columns]
    y, x = np.float32(y - center[0]), np.float32(x - center[1])
    turn = rng.uniform(0, np.pi)
    along = (x * np.cos(turn) + y * np.sin(turn)) / semi_axes[0]
    across = (y * np.cos(turn) - x * np.sin(turn)) / semi_axes[1]
    # A few waves along the outline make it irregular.
    angle = np.arctan2(across, along)
    outline = 1.0
    for waves in (2, 3, 4):
        outline = outline + rng.normal(0, 0.06 / waves**0.5) * np.cos(
            waves * angle + rng.uniform(0, 2 * np.pi)
        )
    radius = np.hypot(along, across) / outline
    nucleus = radius <= 1
    free = nucleus & (labels[rows, columns] == 0)
    # An earlier nucleus must not cut it in two.
    if (
        free.sum() < max(VISIBLE * nucleus.sum(), 1)
        or cv2.connectedComponents(free.astype(np.uint8), connectivity=4)[0] > 2
    ):
        return False
    # Thinner towards the rim, so darker there in a widefield microscope.
    profile = np.sqrt(np.clip(1.15 - radius**2, 0, None))
    for _ in range(rng.integers(0, 4)):
        spot = rng.uniform(-0.5, 0.5, 2)
        size = rng.uniform(0.12, 0.22)
        distance = (along - spot[0]) ** 2 + (across - spot[1]) ** 2
        profile *= 1 - rng.uniform(0.2, 0.45) * np.exp(-distance / (2 * size**2))
    corner = rng.integers(0, np.array(texture.shape) - free.shape)
    profile *= texture[corner[0] :, corner[1] :][: free.shape[0], : free.shape[1]]
    labels[rows, columns][free] = label
    light[rows, columns][free] = level * profile[free]
    return True


def _texture(rng: np.random.Generator, grain: float) -> np.ndarray:
    """Chromatin: smooth noise around 1, with grains of a size in pixels, to cut pieces from."""
    side = int(grain * 120) + 64
    coarse, fine = (
        cv2.GaussianBlur(rng.standard_normal((side, side), np.float32), (0, 0), sigma)
        for sigma in (grain * 1.5, grain * 0.6)
    )
    return np.clip(1 + 0.1 * coarse / coarse.std() + 0.08 * fine / fine.std(), 0.5, None)


def _camera(
    rng: np.random.Generator,
    light: np.ndarray,
    background: float,
    vignetting: float,
    psf: float,
    offset: float,
    read_noise: float,
) -> np.ndarray:
    """From the light of the nuclei to counts: blur, haze, uneven illumination and noise."""
    sharp = cv2.GaussianBlur(light, (0, 0), psf)
    # Light from out of focus: a wide skirt around each nucleus, smooth enough for every 4th pixel.
    small = cv2.resize(light, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    haze = cv2.resize(cv2.GaussianBlur(small, (0, 0), 3 * psf), light.shape[::-1])
    expected = 0.94 * sharp + 0.06 * haze + background
    height, width = light.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - np.float32(rng.uniform(-0.4, 0.4))
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] - np.float32(rng.uniform(-0.4, 0.4))
    expected *= 1 - vignetting * (y**2 + x**2) / (y**2 + x**2).max()
    counts = rng.poisson(expected) + rng.normal(offset, read_noise, light.shape)
    return np.clip(np.rint(counts), 0, np.iinfo(np.uint16).max).astype(np.uint16)


def write_plates(
    folder: Path, images: int = 12, size: int = 512, seed: int = 1, plates: int = 2
) -> None:
    """Write plates and their true labels.

    `images` fields of `size` x `size` pixels a plate become `images/plate1/A01_f1.tif` ... below
    `folder`, and their labels `truth/plate1/A01_f1.tif` ...; plates differ in size, density and
    brightness of their nuclei.
    """
    for plate in range(plates):
        for kind in ("images", "truth"):
            (folder / kind / f"plate{plate + 1}").mkdir(parents=True, exist_ok=True)
        for index in range(images):
            image, labels = simulate(
                [seed, plate, index], (size, size), **PLATES[plate % len(PLATES)]
            )
            name = f"plate{plate + 1}/{field_name(index)}.tif"
            tifffile.imwrite(folder / "images" / name, image, photometric="minisblack")
            encode_tiff(folder / "truth" / name, labels)


def write_plate_map(path: Path, plates: int = 2) -> None:
    """Write a plate map of the first rows of plates: what might have been done to their wells.

    Columns 1 and 2 are negative controls, 12 is a positive one, and between them the dose of a
    compound grows threefold from column to column. Nuclei are simulated without any effect of it.
    """
    lines = ["plate,well,compound,dose_uM,control"]
    for plate in range(plates):
        for column in range(1, COLUMNS + 1):
            well, name = f"plate{plate + 1},A{column:02d}", f"placebo {plate + 1}"
            if column <= 2:
                lines.append(f"{well},DMSO,0,negative control")
            elif column < COLUMNS:
                exponent, half = divmod(column - 7, 2)
                dose = 10.0**exponent * (3 if half else 1)
                lines.append(f"{well},{name},{dose:g},")
            else:
                lines.append(f"{well},placebo,,positive control")
    path.write_text("\n".join(lines) + "\n")


def field_name(index: int) -> str:
    """Well and field of an image: one field of all 96 wells, then the next field of all."""
    field, well = divmod(index, COLUMNS * len(ROWS))
    row, column = divmod(well, COLUMNS)
    return f"{ROWS[row]}{column + 1:02d}_f{field + 1}"


def main() -> None:
    """`python simulate.py FOLDER` writes plates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where images/ and truth/ are made")
    parser.add_argument("--images", type=int, default=12, help="images a plate (12)")
    parser.add_argument("--size", type=int, default=512, help="rows and columns (512)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other images (1)")
    parser.add_argument("--plates", type=int, default=2, help="number of plates (2)")
    write_plates(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
