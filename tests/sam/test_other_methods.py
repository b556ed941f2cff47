"""Checkpoints of other methods are named, and nothing else is taken for them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.errors import CheckpointError, WeightsError
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.at_a_glance import own_base
from napari_sam_adapter.sam.checkpoint import save_adapter
from napari_sam_adapter.sam.original import read_original
from napari_sam_adapter.sam.registry import LITE_MEDSAM, base_model

# As their code saves them; what stands beside SAM's own names tells them apart.
PATCHES, DECODER = "image_encoder.patch_embed.proj.weight", "mask_decoder.iou_token.weight"
PROMPTS = "prompt_encoder.no_mask_embed.weight"
FOREIGN = {
    "SAM2-Adapter": ["image_encoder.trunk.prompt_generator.shared_mlp1.weight", DECODER],
    "SAM 2": ["image_encoder.trunk.patch_embed.proj.weight", "sam_mask_decoder.iou_token.weight"],
    "SAM 3": ["detector.backbone.vision_backbone.trunk.pos_embed"],
    r"SAMed \(LoRA\)": ["w_a_000", "w_b_000", PROMPTS, DECODER],
    r"MA-SAM or micro-sam \(FacT\)": ["q_FacTs_000", "v_FacTs_000", "FacTu.weight", DECODER],
    r"micro-sam \(LoRA\)": [PATCHES, "image_encoder.blocks.0.attn.qkv.w_a_linear_q.weight"],
    "a LoRA of SAM": [PATCHES, "image_encoder.blocks.0.attn.qkv.lora_A"],
    "Medical SAM Adapter": [PATCHES, "image_encoder.blocks.0.Space_Adapter.D_fc1.weight"],
    "SAM-Med2D": [PATCHES, "image_encoder.blocks.0.Adapter.channel.0.weight", DECODER],
    "HQ-SAM": [PATCHES, DECODER, "mask_decoder.hf_token.weight"],
    "EfficientSAM": [DECODER, "mask_decoder.final_output_upscaling_layers.0.0.weight"],
    "SAM as Hugging Face saves it": ["vision_encoder.patch_embed.projection.weight", DECODER],
}


def foreign_file(folder: Path, names: list[str], wrapper: str = "state_dict") -> Path:
    state = dict.fromkeys(names, torch.zeros(2)) | {"epoch": 3}
    if PATCHES in state:
        state[PATCHES] = torch.zeros(1).expand(1024, 3, 16, 16)
    path = folder / "foreign.pth"
    torch.save({wrapper: state, "optimizer": {"state": {0: {"step": torch.zeros(1)}}}}, path)
    return path


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state", "net"])
@pytest.mark.parametrize("method", FOREIGN)
def test_a_checkpoint_of_another_method_is_named(tmp_path, method, wrapper):
    with pytest.raises(CheckpointError, match=f"like a checkpoint of {method}.*, which"):
        read_original(foreign_file(tmp_path, FOREIGN[method], wrapper))


@pytest.mark.parametrize("method", FOREIGN)
def test_it_is_named_as_a_base_model_too(tmp_path, method):
    path = foreign_file(tmp_path, FOREIGN[method])
    with pytest.raises(WeightsError, match=f"like a checkpoint of {method}.*Choose"):
        base_model(f"sam_vit_l@{path}").build(64)


@pytest.mark.parametrize("method", FOREIGN)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_it_is_named_where_an_adapter_or_a_base_is_chosen_without_loading_it(
    tmp_path, method, suffix
):
    path = foreign_file(tmp_path, FOREIGN[method])
    if suffix == ".safetensors":
        save_file({name: torch.zeros(2) for name in FOREIGN[method]}, path)
    with pytest.raises(CheckpointError, match=f"adapter.*a checkpoint of {method}.*Give an"):
        read_card(path)
    with pytest.raises(WeightsError, match=f"no base model: .*a checkpoint of {method}.*Choose"):
        own_base(f"sam_vit_l@{path}")


def test_weights_of_sam_given_as_an_adapter_are_called_a_base_model(tmp_path):
    path = foreign_file(tmp_path, [PATCHES, PROMPTS, DECODER])
    with pytest.raises(CheckpointError, match=rf"of a SAM without an adapter.*NAME@{path}"):
        read_card(path)


def test_an_adapter_given_as_a_base_model_or_to_be_imported_is_called_an_adapter(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_adapter(path, build_adapted_sam(ModelSettings.default("lite_medsam", 56)), gear="full")
    for choose in (own_base, lambda name: base_model(name).build(64)):
        with pytest.raises(WeightsError, match="napari-sam-adapter itself, an adapter: give it as"):
            choose(f"mobile_sam@{path}")
    with pytest.raises(CheckpointError, match="napari-sam-adapter itself, an adapter: give it as"):
        read_original(path)


def test_weights_without_an_encoder_known_here_are_refused_by_their_names(tmp_path):
    path = foreign_file(tmp_path, ["conv1.weight", "fc.weight"])
    with pytest.raises(WeightsError, match=r"no base model.*first entries are conv1.weight"):
        base_model(f"sam_vit_b@{path}").build(64)


def test_a_plain_sam_checkpoint_is_offered_as_a_base_model(tmp_path):
    path = foreign_file(tmp_path, [PATCHES, PROMPTS, DECODER])
    with pytest.raises(CheckpointError, match=r"plain SAM checkpoint.*--model sam_vit_l@"):
        read_original(path)


def test_parts_of_sam_without_its_encoder_are_no_plain_sam(tmp_path):
    path = foreign_file(tmp_path, [PROMPTS, DECODER])
    with pytest.raises(CheckpointError, match="no method that is known here"):
        read_original(path)


def test_a_base_model_is_taken_out_of_a_training_scripts_checkpoint(tmp_path):
    own = torch.load(LITE_MEDSAM.weights.locate(), weights_only=True)
    state = {f"sam.{key}": value for key, value in own.items()}
    path = tmp_path / "as_micro_sam_exports_it.pt"
    torch.save({"model_state": state, "decoder_state": {"out.weight": torch.zeros(2)}}, path)
    found = base_model(f"lite_medsam@{path}").build(64).state_dict()
    expected = LITE_MEDSAM.build(64).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
