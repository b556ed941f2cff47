"""Noise on image embeddings, which makes a model unsure of slices it knows by heart."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

NOISE_GRID = (4, 4)


def blurred_embedding(embedding: Tensor, rng: np.random.Generator) -> Tensor:
    """Add noise to an image embedding (1, C, h, w), so that the model is unsure of its slice.

    Soon after training begins, the prompt-free masks of the training slices have hardly an error
    left that a click could mend, and the model would learn to overlook clicks. Noise, most of it
    smooth over a quarter of the slice, brings back errors like those on slices it does not know.
    """
    generator = torch.Generator(embedding.device).manual_seed(int(rng.integers(2**63)))
    shape, size = (1, embedding.shape[1], *NOISE_GRID), (embedding.shape[-2], embedding.shape[-1])
    coarse = torch.randn(shape, generator=generator, device=embedding.device)
    smooth = functional.interpolate(coarse, size, mode="bicubic")
    fine = torch.randn(embedding.shape, generator=generator, device=embedding.device)
    level = float(rng.uniform(0.0, 1.0)) * embedding.detach().std()
    return embedding + level * (smooth + 0.5 * fine)
