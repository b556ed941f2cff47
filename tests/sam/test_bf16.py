"""bf16 gives the masks of fp32: on real weights and real images; embeddings also of a plain ViT."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_sam_adapter.data.pairs import read_pair
from napari_sam_adapter.sam.devices import decide_bfloat16
from napari_sam_adapter.sam.encode import encode_image, for_prompts
from napari_sam_adapter.sam.plain_vit import VIT_B, PlainViT
from napari_sam_adapter.sam.predict import decode_masks
from napari_sam_adapter.sam.prompts import Prompts

POLYPS = Path(__file__).parents[2] / ".." / "shared" / "data" / "kvasir_seg_352" / "val"
N_IMAGES = 18


def overlap(found: np.ndarray, expected: np.ndarray) -> float:
    return float((found & expected).sum() / (found | expected).sum())


def masks_in(precision, model, image, box):
    """Predict without a prompt and from the box, in one precision."""
    decide_bfloat16(precision == "bf16")
    try:
        embedding = encode_image(model, image)
        boxed = Prompts(boxes=box)
        embedding = for_prompts(model, image, embedding, boxed)
        return [decode_masks(model, embedding, one).labels > 0 for one in (Prompts(), boxed)]
    finally:
        decide_bfloat16(None)


@pytest.mark.skipif(not POLYPS.is_dir(), reason="the real polyp images are not on this machine")
def test_masks_of_real_polyps_are_those_of_fp32(lite_medsam):
    overlaps = []
    paths = (sorted((POLYPS / part).iterdir())[:N_IMAGES] for part in ("images", "masks"))
    for pair in map(read_pair, *paths):
        rows, columns = np.nonzero(pair.labels)
        box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
        expected = masks_in("fp32", lite_medsam, pair.image, box)
        found = masks_in("bf16", lite_medsam, pair.image, box)
        overlaps.append([overlap(*both) for both in zip(found, expected, strict=True)])
    prompt_free, boxed = np.transpose(overlaps)
    assert not (prompt_free == 1).all(), "bf16 was not used"
    # Of a single image it may be less, by how a CPU rounds.
    for found in (prompt_free, boxed):
        assert found.mean() >= 0.99
        assert found.min() >= 0.98


def test_the_embedding_of_a_plain_vit_is_within_two_hundredths_of_fp32():
    torch.manual_seed(0)
    encoder = PlainViT(VIT_B, grid=14).eval().requires_grad_(False)
    for name, parameter in encoder.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            nn.init.trunc_normal_(parameter, std=0.02)
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        exact = encoder(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = encoder(images).float()
    error = (found - exact).pow(2).mean().sqrt() / exact.pow(2).mean().sqrt()
    assert 0 < error < 2e-2
