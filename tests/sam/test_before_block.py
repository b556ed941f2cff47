"""Whoever encodes can be asked before each block whether to go on."""

import pytest
import torch

from napari_sam_adapter.sam.base import go_on
from napari_sam_adapter.sam.encode import encode_image
from napari_sam_adapter.sam.plain_vit import PlainViT, PlainViTConfig
from napari_sam_adapter.sam.tiny_vit import TinyViT


class NotNowError(Exception):
    pass


def test_an_encoder_asks_before_each_block_and_goes_on_unasked_afterwards(small_sam, stack):
    encoder, n_asked = small_sam.base.encoder, 0

    def ask():
        nonlocal n_asked
        n_asked += 1

    expected = encode_image(small_sam, stack.frames[0]).features
    found = encode_image(small_sam, stack.frames[0], 2, ask).features
    assert n_asked == 2 * sum(stage.depth for stage in encoder.layout)
    assert torch.equal(found[:1], expected)
    assert encoder.before_block is go_on


def test_an_encoder_that_was_stopped_encodes_the_next_time(small_sam, stack):
    def stop():
        raise NotNowError

    expected = encode_image(small_sam, stack.frames[0]).features
    with pytest.raises(NotNowError):
        encode_image(small_sam, stack.frames[0], 1, stop)
    assert torch.equal(encode_image(small_sam, stack.frames[0]).features, expected)


@pytest.mark.parametrize("config", [PlainViTConfig(32, 4, 2, (1, 3)), None])
def test_both_families_of_encoders_ask_before_each_block(config):
    encoder = TinyViT() if config is None else PlainViT(config)
    asked = []
    encoder.before_block = lambda: asked.append(1)
    with torch.no_grad():
        encoder(torch.zeros(1, 3, 64, 64))
    assert len(asked) == sum(stage.depth for stage in encoder.layout)
