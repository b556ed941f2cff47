"""Base models: what is known of each, and files of a person's own."""

import pytest
import torch

from napari_sam_adapter.errors import CheckpointError, WeightsError
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.base_model import check_input_size
from napari_sam_adapter.sam.build import assemble
from napari_sam_adapter.sam.checkpoint import load_adapter, save_adapter
from napari_sam_adapter.sam.registry import BASE_MODELS, base_model
from napari_sam_adapter.sam.tiny_vit import TinyViT


@pytest.fixture
def own_mobile_sam(tmp_path):
    """A file as MobileSAM's: batch norms apart, and a classifier nobody needs."""
    torch.manual_seed(0)
    base = assemble("mobile_sam", 256)
    state = {}
    for key, value in base.state_dict().items():
        name, _, part = key.rpartition(".")
        module = base.get_submodule(name) if name else base
        folded = key.startswith("image_encoder.") and isinstance(module, torch.nn.Conv2d)
        if not folded or ".neck." in key:
            state[key] = value
        elif part == "weight":
            state[f"{name}.c.weight"] = value
            width = value.shape[0]
            state |= {f"{name}.bn.weight": torch.ones(width), f"{name}.bn.bias": torch.zeros(width)}
            state |= {
                f"{name}.bn.running_mean": torch.zeros(width),
                f"{name}.bn.running_var": torch.ones(width),
                f"{name}.bn.num_batches_tracked": torch.tensor(1),
            }
    state |= {
        "image_encoder.norm_head.weight": torch.ones(320),
        "image_encoder.norm_head.bias": torch.ones(320),
        "image_encoder.head.weight": torch.ones(1000, 320),
        "image_encoder.head.bias": torch.ones(1000),
    }
    path = tmp_path / "my_mobile_sam.pt"
    torch.save(state, path)
    return path


def test_every_model_says_its_licence_source_and_hash():
    for model in BASE_MODELS.values():
        assert all((model.licence, model.source, model.citation, model.title))
        assert len(model.weights.sha256) == 64
        assert model.weights.n_bytes > 1e7
        assert model.weights.url.startswith("https://") or model.weights.package
        assert model.default_input_size in model.input_sizes


def test_sizes_without_window_padding_are_offered_for_plain_vits():
    for name in ("sam_vit_b", "sam_vit_l", "sam_vit_h", "medsam_vit_b"):
        assert {448, 672, 896, 1024} <= set(base_model(name).input_sizes)


def test_other_multiples_of_the_patch_size_are_possible_for_plain_vits():
    check_input_size(base_model("sam_vit_b"), 320)
    for size in (330, 0, 4096):
        with pytest.raises(WeightsError, match=f"another multiple of 16 up to 2048.*not {size}"):
            check_input_size(base_model("sam_vit_b"), size)


@pytest.mark.parametrize(
    ("name", "slice_shape", "expected"),
    [
        ("lite_medsam", (35, 50), 56),
        ("lite_medsam", (57, 20), 112),
        ("lite_medsam", (113, 113), 128),
        ("lite_medsam", (1080, 1920), 128),
        ("sam_vit_b", (100, 100), 448),
        ("sam_vit_b", (512, 512), 1024),
        ("mobile_sam", (50, 64), 256),
    ],
)
def test_small_slices_are_not_enlarged_beyond_what_their_masks_need(name, slice_shape, expected):
    assert base_model(name).input_size_for(slice_shape) == expected


def test_weights_that_are_not_here_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_ADAPTER_MODELS", str(tmp_path))
    assert not base_model("sam_vit_b").weights.is_here
    with pytest.raises(WeightsError, match=r"models fetch sam_vit_b.*copy sam_vit_b_01"):
        build_adapted_sam(ModelSettings.default("sam_vit_b"))


def test_a_file_of_ones_own_is_a_base_model_with_its_own_hash(own_mobile_sam):
    model = base_model(f"mobile_sam@{own_mobile_sam}")
    assert model.short_name == "mobile_sam"
    assert model.weights.sha256 != base_model("mobile_sam").weights.sha256
    sam = build_adapted_sam(ModelSettings.default(model.name, 256))
    assert isinstance(sam.base.image_encoder, TinyViT)
    with torch.no_grad():
        assert sam.encode(torch.rand(1, 3, 256, 256)).shape == (1, 256, 16, 16)


def test_an_adapter_knows_the_file_it_was_trained_on(own_mobile_sam, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_ADAPTER_MODELS", str(tmp_path / "models"))
    name = f"mobile_sam@{own_mobile_sam}"
    path = tmp_path / "a.safetensors"
    save_adapter(path, build_adapted_sam(ModelSettings.default(name, 256)), gear="full")
    model, card = load_adapter(path, base=name)
    assert model.settings.base == base_model(name).name
    assert card.base_model == "mobile_sam"
    model, _ = load_adapter(path)  # the file is known by its hash
    assert model.settings.base == base_model(name).name
    own_mobile_sam.unlink()
    with pytest.raises(
        CheckpointError, match=r"weights file for.*--model mobile_sam@/path/to/file"
    ):
        load_adapter(path)


def test_a_model_keeps_the_hash_of_its_weights_though_their_file_is_replaced(
    own_mobile_sam, tmp_path
):
    name, path = f"mobile_sam@{own_mobile_sam}", tmp_path / "a.safetensors"
    model = build_adapted_sam(ModelSettings.default(name, 256))
    known_as = base_model(name).weights.sha256
    state = torch.load(own_mobile_sam, weights_only=True)
    torch.save({key: value * 1.01 for key, value in state.items()}, own_mobile_sam)
    assert base_model(name).weights.sha256 != known_as
    assert model.base_sha256 == known_as
    assert save_adapter(path, model, gear="full").base_sha256 == known_as
    with pytest.raises(CheckpointError, match="these are"):
        load_adapter(path, base=name)


@pytest.mark.parametrize("asked", ["sam_vit_b", "medsam_vit_b", "lite_medsam"])
def test_a_file_of_another_model_is_named_and_so_is_what_was_asked_for(own_mobile_sam, asked):
    with pytest.raises(WeightsError, match=f"weights of mobile_sam, and {asked} was asked for"):
        build_adapted_sam(ModelSettings.default(f"{asked}@{own_mobile_sam}"))


def test_models_are_named_as_they_are_asked_for(tmp_path):
    path = tmp_path / "sam_b.pth"
    torch.save({"image_encoder.patch_embed.proj.weight": torch.zeros(768, 3, 16, 16)}, path)
    with pytest.raises(WeightsError, match=r"weights of sam_vit_b, and sam_vit_l was asked for"):
        base_model(f"sam_vit_l@{path}").build(448)
    with pytest.raises(WeightsError, match=r"do not fit the base model medsam_vit_b: "):
        base_model(f"medsam_vit_b@{path}").build(448)


@pytest.mark.parametrize(
    ("tensor", "method"),
    [
        ("image_encoder.trunk.prompt_generator.shared_mlp.bias", "SAM2-Adapter"),
        ("image_encoder.trunk.blocks.0.norm1.weight", "SAM 2"),
        ("w_a_000", "SAMed"),
        ("image_encoder.blocks.0.attn.qkv.linear_a_q.weight", "a LoRA of SAM"),
        ("image_encoder.blocks.0.MLP_Adapter.D_fc1.weight", "Medical SAM Adapter"),
        ("image_encoder.prompt_generator.shared_mlp.bias", "original SAM-Adapter.*adapters import"),
    ],
)
def test_a_checkpoint_of_another_method_is_no_base_model_and_named(tmp_path, tensor, method):
    path = tmp_path / "theirs.pth"
    patches = torch.zeros(768, 3, 16, 16)  # as ViT-B's own
    torch.save({tensor: torch.zeros(2), "image_encoder.patch_embed.proj.weight": patches}, path)
    with pytest.raises(WeightsError, match=f"looks like a checkpoint of .*{method}"):
        base_model(f"sam_vit_b@{path}").build(448)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("litemedsam", "lite_medsam"), ("SAM_vit_b", "sam_vit_b"), ("mobilesam", "mobile_sam")],
)
def test_a_name_that_is_nearly_right_is_answered_by_the_right_one(asked, meant):
    with pytest.raises(WeightsError, match=rf"named '{asked}'; did you mean {meant}\? Known are:"):
        base_model(asked)


def test_a_file_without_a_model_is_told_how_it_is_given(own_mobile_sam):
    with pytest.raises(WeightsError, match=f"the model it is a version of: .*@{own_mobile_sam}"):
        base_model(str(own_mobile_sam))


def test_a_missing_file_of_ones_own_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no file of weights at .*nowhere\.pth"):
        base_model(f"sam_vit_b@{tmp_path / 'nowhere.pth'}")
