"""Draw synthetic polyp-like colonoscopy frames whose lesion masks are exact.

The plugin's sample data, its demo and its tests need frames that anybody may share, so this
module paints them: no patient data goes in, and the result calls itself synthetic. A frame is
a height field (wall, lesions, stalks) under the endoscope's own lamp, coloured as mucosa, then
seen through a slightly blurred, noisy camera. Lesion and mucosa share their colours on purpose:
shape, surface pattern and rim shading give a lesion away, a colour threshold does not.

Inside, lengths are in units of the frame's short side, with the origin at the frame's centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from math import ceil, cos, exp, hypot, pi, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

__all__ = ["SyntheticStack", "synthetic_polyps"]

Image = NDArray[np.floating[Any]]  # float32 when it runs; numpy's stubs cannot promise as much
Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

MIN_SIDE = 32
TWO_LESIONS_SHARE = 0.15
PEDUNCULATED_SHARE = 0.4
LESION_RADIUS = (0.08, 0.22)
# Light that bounced between the walls lost its green and blue: dark tissue looks redder.
CHANNEL_GAMMA = np.array([0.8, 1.12, 1.2], dtype=np.float32)
BASE_COLOUR = np.array([0.86, 0.52, 0.42], dtype=np.float32)
REDNESS_TINT = np.array([0.02, -0.22, -0.17], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class SyntheticStack:
    """``frames``, uint8 (N, Y, X, 3) RGB; ``masks``, uint8 (N, Y, X), 1 inside a lesion, else 0."""

    frames: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True, slots=True)
class _Grid:
    """Coordinates of a frame's pixels, both float32 (Y, X), and the pixels of its short side."""

    y: Image
    x: Image
    short_side: int

    def noise(self, rng: np.random.Generator, cell: float) -> Image:
        """Return smooth noise, mean 0, deviation about 1, with features of size ``cell``."""
        step = max(cell * self.short_side, 1.0)
        rows, columns = (_bumps(length, step) for length in self.y.shape)
        lattice = rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32)
        return np.ascontiguousarray((columns @ (rows @ lattice).T).T)


@dataclass(slots=True)
class _Scene:
    """What the lamp, at (y, x), will light; the images, float32 (Y, X), are edited in place."""

    grid: _Grid
    lamp: tuple[float, float]
    height: Image
    redness: Image
    brightness: Image


@dataclass(frozen=True, slots=True)
class _Blob:
    """An irregular ellipse: ``rho``, (Y, X), is 0 at its centre and 1 on its outline."""

    y: float
    x: float
    radius: float
    has_stalk: bool
    rho: Image


def synthetic_polyps(
    n_frames: int = 24,
    size_hw: tuple[int, int] = (256, 256),
    *,
    seed: int = 0,
    empty_share: float = 0.0,
) -> SyntheticStack:
    """Draw synthetic colonoscopy frames with one or two polyps each, and their masks.

    Frame ``i`` depends on ``seed``, ``i``, ``size_hw`` and ``empty_share`` only: asking for
    more frames keeps the first ones as they were.

    Parameters
    ----------
    n_frames : int
        Number of frames, at least 1.
    size_hw : tuple of int
        Height and width of a frame in pixels, at least 32 each.
    seed : int
        Seed of all randomness, at least 0.
    empty_share : float
        Share of frames without any lesion, in [0, 1]. Where ``n_frames * empty_share`` is no
        whole number, the seed decides whether their count is rounded down or up.

    Returns
    -------
    SyntheticStack
        ``frames``, uint8 (N, Y, X, 3) RGB, and ``masks``, uint8 (N, Y, X) of 0 and 1.

    Raises
    ------
    ValueError
        If an argument is outside its range.
    """
    _check_arguments(n_frames, size_hw, seed, empty_share)
    (height, width), short = size_hw, min(size_hw)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    grid = _Grid((y - (height - 1) / 2) / short, (x - (width - 1) / 2) / short, short)
    root = np.random.SeedSequence(seed)
    is_empty = _choose_empty(np.random.default_rng(root), n_frames, empty_share)
    drawn = [_draw_frame(s, grid, e) for s, e in zip(root.spawn(n_frames), is_empty, strict=True)]
    return SyntheticStack(np.stack([frame for frame, _ in drawn]), np.stack([m for _, m in drawn]))


def _check_arguments(n_frames: int, size_hw: tuple[int, int], seed: int, share: float) -> None:
    if n_frames < 1:
        raise ValueError(f"n_frames must be at least 1, got {n_frames}")
    if len(size_hw) != 2 or min(size_hw) < MIN_SIDE:
        raise ValueError(f"size_hw must be two sides of at least {MIN_SIDE} pixels, got {size_hw}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"empty_share must be within [0, 1], got {share}")


def _choose_empty(rng: np.random.Generator, n_frames: int, share: float) -> list[bool]:
    """Choose the empty frames one after the other, so that a longer stack starts the same.

    After any i frames, i * share of them are empty, rounded down or up.
    """
    chosen: list[bool] = []
    for i in range(n_frames):
        behind = i * share - sum(chosen)
        may_take = sum(chosen) < (i + 1) * share - 1e-9
        chosen.append(may_take and rng.random() * (1 - behind) < share)
    return chosen


def _draw_frame(seed: np.random.SeedSequence, grid: _Grid, is_empty: bool) -> tuple[Bytes, Bytes]:
    """Draw one frame, uint8 (Y, X, 3), and its mask, uint8 (Y, X)."""
    # One stream per stage: the wall is the same whether or not a lesion sits on it.
    wall_rng, lesion_rng, camera_rng = (np.random.default_rng(s) for s in seed.spawn(3))
    scene = _draw_wall(wall_rng, grid)
    blobs = [] if is_empty else _draw_blobs(lesion_rng, grid)
    mask = np.zeros(grid.y.shape, dtype=bool)
    for blob in blobs:
        mask |= blob.rho < 1
    for blob in blobs:
        _add_lesion(lesion_rng, scene, blob, outside=~mask)
    aperture = _aperture(camera_rng, grid)
    seen = _light(wall_rng, scene) * aperture[..., None]
    return _photograph(camera_rng, seen), (mask & (aperture > 0.5)).astype(np.uint8)


@lru_cache(maxsize=64)
def _bumps(length: int, step: float) -> sparse.csr_array:
    """Return Gaussian bumps, (length, count), ``step`` apart, whose squares sum up to about 1."""
    distance = np.arange(length)[:, None] / step - np.arange(-2, ceil(length / step) + 3)
    bumps = np.where(np.abs(distance) < 3, np.exp(-pi / 2 * distance**2), 0)
    # Sparse, as BLAS would spread such small products over busy threads, and round them its way.
    return sparse.csr_array(bumps.astype(np.float32))


def _draw_wall(rng: np.random.Generator, grid: _Grid) -> _Scene:
    """Draw bare mucosa: undulation, grain, patchy redness, vessels and folds."""
    noise = partial(grid.noise, rng)
    redness = 0.32 * noise(0.3) + 0.22 * noise(0.1) + 0.12 * noise(0.03)
    for cell, width in ((0.16, 0.05), (0.07, 0.07)):
        # The zero lines of smooth noise branch like vessels; they fade in and out.
        vessels = np.exp(-((noise(cell) / width) ** 2)) * np.clip(0.4 + 0.6 * noise(0.2), 0, 1)
        redness += 1.1 * vessels
    return _Scene(
        grid=grid,
        lamp=(rng.uniform(-0.35, 0.35), rng.uniform(-0.35, 0.35)),
        height=0.02 * noise(0.35) + 0.0022 * noise(0.06) + 0.0005 * noise(0.02),
        redness=redness,
        brightness=(1 + 0.07 * noise(0.25) + 0.03 * noise(0.015)) * _folds(rng, grid),
    )


def _folds(rng: np.random.Generator, grid: _Grid) -> Image:
    """Return the shade, 0 to about 1.2, of folds that ring a lumen; it often lies out of frame."""
    bearing, distance = rng.uniform(0, 2 * pi), rng.uniform(0.2, 1.0)
    dy, dx = grid.y - distance * sin(bearing), grid.x - distance * cos(bearing)
    # A colon's lumen is a rounded triangle, and its folds follow it.
    bulge = 1 + 0.12 * np.cos(3 * np.arctan2(dy, dx) + rng.uniform(0, 2 * pi))
    radius = np.hypot(dy, dx) * bulge * (1 + 0.09 * grid.noise(rng, 0.3)) + 0.02
    # The logarithm is perspective: folds crowd towards the lumen.
    phase = (rng.uniform(0.9, 1.6) * np.log2(radius) + rng.uniform()) % 1
    # Going outwards, the wall darkens into the pocket behind a fold, then its lit lip stands out.
    pocket = np.exp((phase - 1) / 0.22) * np.clip((1 - phase) / 0.05, 0, 1)
    lip = np.exp(-((phase / 0.12) ** 2))
    strength = np.clip(0.5 + 0.5 * grid.noise(rng, 0.5) + 0.1 / radius, 0, 1)
    lumen = 1 - 0.9 * np.exp(-((radius / 0.15) ** 2))
    return np.asarray((1 + strength * (0.2 * lip - 0.5 * pocket)) * lumen)


def _draw_blobs(rng: np.random.Generator, grid: _Grid) -> list[_Blob]:
    """Draw the outlines of one lesion, or of two that stay apart."""
    first = _draw_blob(rng, grid)
    for _ in range(20 if rng.random() < TWO_LESIONS_SHARE else 0):
        other = _draw_blob(rng, grid)
        if hypot(other.y - first.y, other.x - first.x) > 1.4 * (other.radius + first.radius):
            return [first, other]
    return [first]


def _draw_blob(rng: np.random.Generator, grid: _Grid) -> _Blob:
    has_stalk = bool(rng.random() < PEDUNCULATED_SHARE)
    roughness, elongation = (0.05, 0.12) if has_stalk else (0.12, 0.3)
    # Centres stay well inside the frame, outlines need not; on a long frame they spread along it.
    bearing, distance = rng.uniform(0, 2 * pi), 0.72 * rng.random() ** 0.5
    y = float(distance * sin(bearing) * grid.y[-1, 0])
    x = float(distance * cos(bearing) * grid.x[0, -1])
    turn, aspect = rng.uniform(0, pi), exp(rng.uniform(-elongation, elongation))
    u = (cos(turn) * (grid.x - x) + sin(turn) * (grid.y - y)) * aspect
    v = (cos(turn) * (grid.y - y) - sin(turn) * (grid.x - x)) / aspect
    theta, outline = np.arctan2(v, u), np.ones_like(u)
    for k in range(2, 7):
        outline += rng.normal(0, roughness / (k - 1)) * np.cos(k * theta + rng.uniform(0, 2 * pi))
    radius = rng.uniform(*LESION_RADIUS)
    return _Blob(y, x, radius, has_stalk, rho=np.hypot(u, v) / (radius * outline))


def _add_lesion(rng: np.random.Generator, scene: _Scene, blob: _Blob, outside: Mask) -> None:
    """Put one lesion into the scene; its stalk and shadow fall ``outside`` all lesions only."""
    mask, soft = blob.rho < 1, np.clip((1 - blob.rho) / 0.15, 0, 1)
    # The lesion hides the folds, vessels and stalk behind it, but lies in the same shade.
    cover = mask * np.float32(0.9 if blob.has_stalk else 0.7)
    scene.brightness += cover * (scene.brightness[mask].mean() - scene.brightness)
    scene.redness += cover * (scene.redness[mask].mean() - scene.redness)
    if blob.has_stalk:
        _add_stalk(rng, scene, blob, outside)
    # A shadow lies all around it, deepest on the side that faces away from the lamp.
    depth, softness, reach = (0.45, 0.35, 0.3) if blob.has_stalk else (0.2, 0.25, 0.1)
    away_y, away_x = blob.y - scene.lamp[0], blob.x - scene.lamp[1]
    behind = (scene.grid.y - blob.y) * away_y + (scene.grid.x - blob.x) * away_x
    reach /= blob.radius * max(hypot(away_y, away_x), 1e-3)
    shadow = np.clip((1 + softness - blob.rho + reach * behind) / softness, 0, 1)
    scene.brightness *= 1 - depth * shadow * outside
    steepness, flatness = (0.85, 2) if blob.has_stalk else (rng.uniform(0.3, 0.5), 3)
    dome = steepness * np.clip(1 - blob.rho**flatness, 0, 1) ** (0.5 if blob.has_stalk else 1)
    lumps = soft * scene.grid.noise(rng, blob.radius * 0.3)
    pits = soft * scene.grid.noise(rng, max(blob.radius * 0.09, 0.012))
    scene.height += blob.radius * (dome + 0.05 * lumps + 0.012 * pits)
    # The hue may go either way, and its spread is that of the wall: colour alone tells little.
    scene.redness += rng.normal(0.1, 0.4) * soft + 0.25 * lumps + 0.25 * pits
    scene.brightness *= 1 + rng.normal(0.03, 0.07) * soft + 0.05 * pits


def _add_stalk(rng: np.random.Generator, scene: _Scene, blob: _Blob, outside: Mask) -> None:
    """Raise a round, slightly bent ridge of mucosa from under the blob's head to the wall."""
    bearing = rng.uniform(0, 2 * pi)
    dy, dx = (scene.grid.y - blob.y) / blob.radius, (scene.grid.x - blob.x) / blob.radius
    along, across = cos(bearing) * dx + sin(bearing) * dy, cos(bearing) * dy - sin(bearing) * dx
    across = across - rng.uniform(-0.2, 0.2) * along**2
    foot = np.clip(along / rng.uniform(1.8, 2.6), 0, 1)
    width = 0.36 + 0.3 * foot**3
    # Nothing of it shows through a head, and its foot melts into the wall.
    shown = np.clip((1 - foot) / 0.3, 0, 1) * (along > 0) * outside
    ridge = np.clip(1 - (across / width) ** 2, 0, 1)
    crease = np.exp(-(((np.abs(across) / width - 1.15) / 0.35) ** 2))
    scene.height += 0.35 * blob.radius * ridge * shown
    scene.brightness *= 1 + (0.12 * ridge - 0.3 * crease) * shown


def _light(rng: np.random.Generator, scene: _Scene) -> Image:
    """Return what the lamp makes of the scene, (Y, X, 3), 0 to 1: lit mucosa and mirror glints."""
    grid = scene.grid
    slope_y, slope_x = np.gradient(scene.height, np.float32(1 / grid.short_side))
    to_y, to_x, to_z = scene.lamp[0] - grid.y, scene.lamp[1] - grid.x, 0.75
    distance2 = to_y**2 + to_x**2 + to_z**2
    facing = to_z - slope_y * to_y - slope_x * to_x
    facing /= np.sqrt((1 + slope_y**2 + slope_x**2) * distance2)
    light = (0.2 + 0.85 * np.clip(facing, 0, 1)) * (to_z**2 / distance2) ** 0.8
    light = np.clip(light * scene.brightness * rng.uniform(0.95, 1.25), 0.01, None)
    base = BASE_COLOUR * (1 + rng.normal(0, [0.03, 0.08, 0.1])).astype(np.float32)
    tint = 1 + REDNESS_TINT * scene.redness[..., None]
    # Wet mucosa mirrors the lamp wherever its fine ripple happens to face halfway to it.
    off_y = slope_y - 0.6 * to_y + 0.45 * grid.noise(rng, 0.028)
    off_x = slope_x - 0.6 * to_x + 0.45 * grid.noise(rng, 0.028)
    wet = np.clip(0.1 + 0.5 * grid.noise(rng, 0.15), 0, 1) * np.clip(scene.brightness, 0, 1)
    glints = np.clip(3 * np.exp(-(off_y**2 + off_x**2) / 0.015) * wet - 0.6, 0, 1)
    colour = base * tint * np.power(light[..., None], CHANNEL_GAMMA)
    return np.asarray(np.clip(colour + glints[..., None], 0, 1))


def _aperture(rng: np.random.Generator, grid: _Grid) -> Image:
    """Return what the endoscope lets through, 0 to 1: a vignette, mostly with a dark border."""
    y, x = np.abs(grid.y / grid.y[0, 0]), np.abs(grid.x / grid.x[0, 0])
    kind = rng.choice(["none", "octagon", "rounded"], p=[0.4, 0.35, 0.25])
    if kind == "octagon":
        edge = np.maximum(np.maximum(x, y) / 0.97, (x + y) / rng.uniform(1.5, 1.75))
    else:
        edge = (x**4 + y**4) ** 0.25 / rng.uniform(0.97, 1.05)
    border = 1 if kind == "none" else np.clip((1 - edge) / 0.012 + 0.5, 0, 1)
    return np.asarray((1 - 0.25 * np.clip(edge, 0, 1) ** 4) * border)


def _photograph(rng: np.random.Generator, image: Image) -> Bytes:
    """Blur an image, (Y, X, 3) of 0 to 1, a little, add sensor noise and round it to uint8."""
    sigma = rng.uniform(0.4, 0.9) * min(image.shape[:2]) / 256
    image = ndimage.gaussian_filter(image, (sigma, sigma, 0))
    image += 0.012 + 0.012 * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), dtype=np.uint8)
