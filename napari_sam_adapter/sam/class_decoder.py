"""SAM's mask decoder, read out once per class."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from napari_sam_adapter.sam.modeling import MaskDecoder


def decode_classes(
    decoder: MaskDecoder,
    further_classes: Iterable[nn.Module],
    *,
    image_embeddings: Tensor,
    image_pe: Tensor,
    sparse: Tensor,
    dense: Tensor,
) -> Tensor:
    """Map embeddings to the mask logits of each class.

    SAM makes its single mask from its first mask token by a small network, the hypernetwork, whose
    32 numbers weigh the 32 channels of the upscaled image embedding. Here every class has a
    hypernetwork of its own on that same token. Tokens are not added for the classes: they would
    attend to each other, and the masks of an untrained model would no longer be SAM's.

    Parameters
    ----------
    decoder : MaskDecoder
        Its first hypernetwork is that of the first class.
    further_classes : iterable of Module
        The hypernetworks of the others.
    image_embeddings : Tensor, shape (B, 256, h, w)
        With n > 1 prompts, B is 1.
    image_pe : Tensor, shape (1, 256, h, w)
    sparse : Tensor, shape (n, p, 256)
    dense : Tensor, shape (n, 256, h, w)

    Returns
    -------
    Tensor, shape (B or n, K, 4h, 4w)
        For one class what `MaskDecoder` gives with ``multimask_output=False``.
    """
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([tokens.expand(len(sparse), -1, -1), sparse], dim=1)
    source = image_embeddings.repeat_interleave(len(tokens), dim=0) + dense
    position = image_pe.repeat_interleave(len(tokens), dim=0)
    tokens_out, features = decoder.transformer(source, position, tokens)
    features = features.transpose(1, 2).reshape(source.shape)
    upscaled = decoder.output_upscaling(features)  # (B, 32, 4h, 4w)
    first_mask_token = tokens_out[:, 1]  # the token before it is the quality estimate's
    networks = (decoder.output_hypernetworks_mlps[0], *further_classes)
    weights = torch.stack([network(first_mask_token) for network in networks], dim=1)
    masks: Tensor = (weights @ upscaled.flatten(2)).unflatten(2, upscaled.shape[2:])
    return masks


def new_class(decoder: MaskDecoder) -> nn.Module:
    """Return the hypernetwork of one more class, which starts as the first class is now."""
    network: nn.Module = copy.deepcopy(decoder.output_hypernetworks_mlps[0])
    return network
