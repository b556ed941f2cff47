"""Scores of the distance between two outlines, or two surfaces, with pixel or voxel spacing.

MONAI computes them; it is installed with the extra ``metrics``. It needs torch, which is imported
here only when something is measured.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from dataclasses import dataclass

import numpy as np

from napari_sam_adapter.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class SurfaceScores:
    """Scores of one mask.

    Attributes
    ----------
    hausdorff95 : float
        95 % Hausdorff distance in the unit of the spacing, 0 if both masks are empty, nan if only
        one is: nothing is a distance from nothing.
    surface_dice : float
        Share of both surfaces that lies within the tolerance of the other one, 0 to 1; 1 if both
        masks are empty, 0 if only one is.
    """

    hausdorff95: float
    surface_dice: float


@dataclass(frozen=True, slots=True)
class SurfaceSettings:
    """How surfaces are measured.

    Attributes
    ----------
    spacing : tuple of float, or None
        Size of a pixel (Y, X) or voxel (Z, Y, X), in any unit; None counts pixels.
    tolerance : float, or None
        Distance that still counts as the same place, in the unit of the spacing; None takes the
        smallest spacing, one pixel.
    """

    spacing: tuple[float, ...] | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if self.spacing is not None and not all(0 < size < math.inf for size in self.spacing):
            raise EvaluationError(
                f"Every spacing must be a positive number, got {_listed(self.spacing)}."
            )
        if self.tolerance is not None and not 0 <= self.tolerance < math.inf:
            raise EvaluationError(
                f"The surface tolerance must be a distance of 0 or more, got {self.tolerance:g}."
            )

    @property
    def forgiven(self) -> float:
        """The tolerance, or one pixel where none was given."""
        return min(self.spacing or (1.0,)) if self.tolerance is None else self.tolerance

    def spacing_of(self, n_axes: int) -> tuple[float, ...]:
        """Return the spacing of masks with a number of axes.

        Raises
        ------
        EvaluationError
            If the spacing has another number of values.
        """
        spacing = self.spacing or (1.0,) * n_axes
        if len(spacing) != n_axes:
            wanted = (
                "two values, Y,X, for a picture" if n_axes == 2 else "three, Z,Y,X, for a stack"
            )
            raise EvaluationError(
                f"The spacing {_listed(spacing)} has {len(spacing)} values; expected {wanted}."
            )
        return spacing


def is_installed() -> bool:
    """Tell whether MONAI is there, without importing it."""
    return importlib.util.find_spec("monai") is not None


def surface_scores(
    mask: np.ndarray, truth: np.ndarray, settings: SurfaceSettings | None = None
) -> SurfaceScores:
    """Measure how far two surfaces lie apart.

    Parameters
    ----------
    mask, truth : ndarray of bool, shape (Y, X) or (Z, Y, X), alike
        The image's border closes an object that touches it.
    settings : SurfaceSettings, optional

    Returns
    -------
    SurfaceScores

    Raises
    ------
    EvaluationError
        If the spacing does not fit the masks, or MONAI is not installed.

    Notes
    -----
    Hausdorff: the 95th percentile of the distances from the border pixels of each mask to the
    nearest of the other, and the larger of the two (``monai.metrics.compute_hausdorff_distance``).
    Surface Dice: Nikolov et al., arXiv:1809.04430, with the length or area of each element of the
    surface as DeepMind's code defines it (``monai.metrics.compute_surface_dice``, subvoxels).
    """
    settings = settings or SurfaceSettings()
    spacing = settings.spacing_of(mask.ndim)
    n_empty = int(not mask.any()) + int(not truth.any())
    if n_empty:
        return SurfaceScores(0.0, 1.0) if n_empty == 2 else SurfaceScores(math.nan, 0.0)
    return _measured_by_monai(mask, truth, spacing, settings.forgiven)


def _measured_by_monai(
    mask: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...], tolerance: float
) -> SurfaceScores:
    if not is_installed():
        raise EvaluationError(
            "Surfaces are measured by the package monai, which is not installed; install it with: "
            "pip install 'napari-sam-adapter[metrics]'"
        )
    import torch
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    # One image of one class, which is not the background: (1, 1, ...).
    pair = [torch.from_numpy(np.ascontiguousarray(one, bool))[None, None] for one in (mask, truth)]
    with warnings.catch_warnings():
        # MONAI warns of an argument of its own that it passes to itself.
        warnings.simplefilter("ignore", FutureWarning)
        distance = compute_hausdorff_distance(
            *pair, include_background=True, percentile=95, spacing=spacing
        )
        overlap = compute_surface_dice(
            *pair, [tolerance], include_background=True, spacing=spacing, use_subvoxels=True
        )
    return SurfaceScores(float(distance), float(overlap))


def _listed(spacing: tuple[float, ...]) -> str:
    return ",".join(f"{size:g}" for size in spacing)
