"""A file of one's own is looked at before it is chosen as a base model, and is not loaded."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from segment_anything import sam_model_registry

from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam.at_a_glance import own_base
from napari_sam_adapter.sam.registry import BASE_MODELS, LITE_MEDSAM


def weights(variant: str, folder: Path) -> Path:
    """Write a file with the names of a published one; its tensors share one number each."""
    with torch.device("meta"):
        names = sam_model_registry[variant]().state_dict()
    path = folder / f"{variant}.pth"
    torch.save({f"module.{name}": torch.zeros(1) for name in names}, path)
    return path


@pytest.mark.parametrize("variant", ["vit_b", "vit_l", "vit_h"])
def test_weights_of_another_model_are_refused_when_they_are_chosen(tmp_path, variant):
    path = weights(variant, tmp_path)
    for name, model in BASE_MODELS.items():
        if model.architecture == variant:
            assert own_base(f"{name}@{path}") == f"{name}@{path}"
            continue
        with pytest.raises(
            WeightsError, match=f"are those of sam_{variant}.*, not of {name}. Choose the model"
        ):
            own_base(f"{name}@{path}")


def test_weights_of_a_tiny_vit_are_no_plain_vit():
    path = LITE_MEDSAM.weights.locate()
    assert own_base(f"lite_medsam@{path}")
    with pytest.raises(WeightsError, match="those of lite_medsam or mobile_sam, not of sam_vit_b"):
        own_base(f"sam_vit_b@{path}")


def test_safetensors_that_were_cut_short_are_refused_when_they_are_chosen(tmp_path):
    path = tmp_path / "own.safetensors"
    save_file({"image_encoder.pos_embed": torch.zeros(1000)}, path)
    assert own_base(f"sam_vit_b@{path}")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"safetensors was not loaded: .*a part of the file"):
        own_base(f"sam_vit_b@{path}")
