"""An adapted model is its base until it is trained, and shares nothing it could change."""

import numpy as np
import pytest
import torch
from segment_anything.modeling import PromptEncoder

from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.class_decoder import decode_classes
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts
from napari_sam_adapter.sam.registry import LITE_MEDSAM

SQUARE = InputGeometry.fit((128, 128), 128)
WIDE = InputGeometry.fit((60, 200), 128)


@pytest.fixture(scope="module")
def embeddings(lite_medsam) -> torch.Tensor:
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return lite_medsam.encode(images)


def test_an_unknown_base_model_names_those_there_are():
    with pytest.raises(WeightsError, match=r"no base model named 'sam3'; known are: .*lite_medsam"):
        ModelSettings.default("sam3")


@pytest.mark.parametrize("input_size", [0, 100, 1024])
def test_an_input_size_that_is_not_offered_names_those_that_are(input_size):
    with pytest.raises(WeightsError, match=f"input sizes 56, 112, 128, .* 256, not {input_size}"):
        ModelSettings.default("lite_medsam", input_size)


def test_only_the_adapter_and_the_decoder_belong_to_the_model(lite_medsam):
    names = {name.split(".")[0] for name in lite_medsam.state_dict()}
    assert names == {"adapter", "mask_decoder"}
    assert {name for name, _ in lite_medsam.named_parameters()} == set(lite_medsam.state_dict())


def test_the_decoder_is_a_copy_of_the_bases(lite_medsam):
    own = lite_medsam.mask_decoder.state_dict()
    for key, value in lite_medsam.base.mask_decoder.state_dict().items():
        assert torch.equal(own[key], value)
        assert own[key].data_ptr() != value.data_ptr()


def test_the_seed_decides_the_adapters_inner_weights():
    settings = ModelSettings.default("lite_medsam")
    first, again, other = (build_adapted_sam(settings, seed=seed) for seed in (4, 4, 5))
    key = "adapter.stages.1.mlp_tune.0.weight"
    assert torch.equal(first.state_dict()[key], again.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], other.state_dict()[key])


def test_a_fresh_model_encodes_as_its_base(lite_medsam):
    images = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = lite_medsam.encode(images)
        torch.testing.assert_close(found, lite_medsam.base.image_encoder(images), rtol=0, atol=1e-6)


def test_a_tuned_adapter_changes_the_encoding(tuned_sam):
    images = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        change = tuned_sam.encode(images) - tuned_sam.base.image_encoder(images)
    assert change.abs().max() > 1e-3


@pytest.mark.parametrize("geometry", [SQUARE, WIDE])
def test_the_standing_prompt_is_a_box_around_the_slice(lite_medsam, embeddings, geometry):
    base = lite_medsam.base
    height, width = geometry.content_hw
    box = torch.tensor([[0.0, 0.0, width - 1.0, height - 1.0]])
    with torch.no_grad():
        sparse, dense = base.prompt_encoder(points=None, boxes=box, masks=None)
        expected, _ = base.mask_decoder(
            image_embeddings=embeddings[:1],
            image_pe=base.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        found = lite_medsam.decode(embeddings[:1], geometry)
    assert found.shape == (1, 1, 128, 128)
    torch.testing.assert_close(found, expected)


def test_the_standing_prompt_none_asks_without_a_box(lite_medsam, embeddings):
    settings = ModelSettings(LITE_MEDSAM.name, 128, "none")
    without_box = AdaptedSam(lite_medsam.base, settings)
    with torch.no_grad():
        found = without_box.decode(embeddings[:1], SQUARE)
        assert torch.equal(found, without_box.decode(embeddings[:1], WIDE))
        assert not torch.allclose(found, lite_medsam.decode(embeddings[:1], SQUARE))


def test_slices_of_a_batch_do_not_mix(lite_medsam, embeddings):
    with torch.no_grad():
        together = lite_medsam.decode(embeddings, WIDE)
        alone = [lite_medsam.decode(one[None], WIDE) for one in embeddings]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


def prompt_embeddings(encoder: PromptEncoder, prompts: Prompts, geometry: InputGeometry):
    points, boxes = prompts.at_input(geometry)
    return encoder(
        points=None if points is None else tuple(map(torch.from_numpy, points)),
        boxes=None if boxes is None else torch.from_numpy(boxes),
        masks=None,
    )


GIVEN = {
    "boxes": Prompts(np.array([[5, 6, 30, 50], [20, 10, 50, 40]], np.float32)),
    "points": Prompts(points=np.array([[9, 40], [33, 8]]), is_object=np.array([True, False])),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("size_hw", [(56, 112), (112, 56)])
def test_an_input_need_not_be_square(size_hw, given):
    """Against `segment_anything`'s own modules, made for that grid."""
    height, width = size_hw
    model = build_adapted_sam(ModelSettings.default("lite_medsam", 112))
    images = torch.rand(1, 3, *size_hw, generator=torch.Generator().manual_seed(0))
    geometry = InputGeometry(size_hw, size_hw, 112)
    encoder = PromptEncoder(256, (height // 4, width // 4), size_hw, 16)
    encoder.load_state_dict(model.base.prompt_encoder.state_dict())
    standing = Prompts(np.array([[0, 0, width - 1, height - 1]], np.float32))
    prompts = GIVEN[given]
    if given == "points":  # the standing box comes along
        prompts = Prompts(standing.boxes, prompts.points, prompts.is_object)
    with torch.no_grad():
        embedding = model.encode(images)
        assert embedding.shape == (1, 256, height // 4, width // 4)
        for asked, answered in ((NO_PROMPTS, standing), (GIVEN[given], prompts)):
            sparse, dense = prompt_embeddings(encoder, answered, geometry)
            expected, _ = model.base.mask_decoder(
                image_embeddings=embedding,
                image_pe=encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
            found = model.decode(embedding, geometry, asked)
            assert found.shape[-2:] == size_hw
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
            by_base = model.decode_by_base(embedding, geometry, asked)
            torch.testing.assert_close(by_base, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("given", GIVEN)
def test_a_square_input_is_decoded_to_the_last_bit_as_by_the_bases_prompt_encoder(
    lite_medsam, embeddings, given
):
    encoder = lite_medsam.base.prompt_encoder
    settings = ModelSettings(LITE_MEDSAM.name, 128, "none")
    model = AdaptedSam(lite_medsam.base, settings)
    with torch.no_grad():
        sparse, dense = prompt_embeddings(encoder, GIVEN[given], SQUARE)
        expected = decode_classes(
            model.mask_decoder,
            (),
            image_embeddings=embeddings[:1],
            image_pe=encoder.get_dense_pe(),
            sparse=sparse,
            dense=dense,
        )
        assert torch.equal(model.decode(embeddings[:1], SQUARE, GIVEN[given]), expected)


def test_the_grid_of_an_own_position_encoding_need_not_be_square_either(lite_medsam):
    settings = ModelSettings(LITE_MEDSAM.name, 128, "none", own_prompt_embedding=True)
    model = AdaptedSam(lite_medsam.base, settings)
    own = model.prompt_embedding
    embedding = torch.randn(1, 256, 12, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, _ = model.mask_decoder(
            image_embeddings=embedding,
            image_pe=own.pe_layer((12, 20))[None],
            sparse_prompt_embeddings=torch.zeros(1, 0, 256),
            dense_prompt_embeddings=own.no_mask_embed.weight[..., None, None].expand(
                1, 256, 12, 20
            ),
            multimask_output=False,
        )
        found = model.decode(embedding, InputGeometry((48, 80), (48, 80), 128))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
