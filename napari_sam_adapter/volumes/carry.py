"""What the corrected slices nearby say of a slice, added to the logits of its prediction.

Objects change little from slice to slice: the mask of a neighbour is a guess of where each class is
here, the better the nearer it is. Boxes around the neighbour's objects were tried as prompts and
help less (docs/results.md). Numpy only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.fill_between import signed_distance

# The logit that the mask of the very next slice is worth far from its border. Found on hippocampi
# and mitochondria (docs/results.md); between 3 and 6 Dice moves by less than 0.02.
STRENGTH = 4.0


def prior_from_neighbours(
    known: Mapping[int, np.ndarray],
    position: int,
    n_classes: int,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> np.ndarray:
    """Return what to add to a slice's logits because of the nearest known slices around it.

    Parameters
    ----------
    known : mapping of int to ndarray of int, shape (Y, X)
        Corrected labels by their position along one slider axis; label k is the k-th class.
    position : int
        The slice to predict.
    n_classes : int
        K.
    spacing : tuple of float
        Size of a voxel: from slice to slice, along Y, along X; in any one unit.

    Returns
    -------
    ndarray of float32, shape (K, Y, X)
        The sum of what the nearest known slice on either side says (`carried_prior`), as if the
        two spoke independently; with a slice on one side only, what that one says.

    Raises
    ------
    ImageError
        If no other slice is known, or as `carried_prior`.
    """
    nearest = neighbours(known, position)
    if not nearest:
        raise ImageError("No other slice is corrected, so nothing can be carried to this one.")
    priors = [
        carried_prior(known[other], n_classes, abs(other - position), spacing) for other in nearest
    ]
    return np.asarray(np.sum(priors, axis=0, dtype=np.float32))


def neighbours(known: Iterable[int], position: int) -> tuple[int, ...]:
    """Return the nearest known positions before and after one, itself aside; none, one or two."""
    places = sorted(known)
    before = [place for place in places if place < position]
    after = [place for place in places if place > position]
    return (*before[-1:], *after[:1])


def carried_prior(
    labels: np.ndarray,
    n_classes: int,
    n_slices: int = 1,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> np.ndarray:
    """Return what the labels of one slice say of another, as logits to add.

    Parameters
    ----------
    labels : ndarray of int or bool, shape (Y, X)
        Of the neighbour; label k is the k-th class.
    n_classes : int
        K.
    n_slices : int
        How many slices away it is; 1 is the next one.
    spacing : tuple of float
        Size of a voxel: from slice to slice, along Y, along X; in any one unit.

    Returns
    -------
    ndarray of float32, shape (K, Y, X)

    Raises
    ------
    ImageError
        If the labels are no slice, or the distance is not positive.

    Notes
    -----
    ``STRENGTH / sqrt(n) * tanh(d / (n s))`` of the signed distance d to the border of the class, n
    slices of s away: borders are expected to move sideways by about as much as one goes across.
    Measured log odds of a class against d are straight lines at first, too, whose slopes fall as n
    grows. A class that the neighbour does not show is held back by all of it: a prediction that is
    surer than that prevails.
    """
    if labels.ndim != 2:
        raise ImageError(f"The labels of a slice must be (Y, X), not {labels.shape}.")
    if n_slices < 1:
        raise ImageError(f"A neighbour is at least one slice away, not {n_slices}.")
    if not all(np.isfinite(size) and size > 0 for size in spacing):
        raise ImageError(f"A voxel's size must be positive along each axis, got {spacing}.")
    reach = n_slices * spacing[0]
    distances = [signed_distance(labels == k, spacing[1:]) for k in range(1, n_classes + 1)]
    prior = STRENGTH / np.sqrt(n_slices) * np.tanh(np.stack(distances) / reach)
    return np.asarray(prior, np.float32)
