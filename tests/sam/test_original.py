"""Checkpoints of the original SAM-Adapter: files of just their keys and shapes, random values."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything.modeling.prompt_encoder import PositionEmbeddingRandom
from torch.nn import functional

from napari_sam_adapter.adapter.high_frequency import high_frequency_components
from napari_sam_adapter.errors import (
    CheckpointError,
    PromptError,
    SamAdapterError,
    StorageError,
    WeightsError,
)
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.adapter_base import base_of_adapter
from napari_sam_adapter.sam.base import build_mask_decoder
from napari_sam_adapter.sam.build import assemble, check_weights
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.sam.original import (
    _write_base_weights,
    adapter_state,
    import_original,
    read_original,
    settings_of_original,
)
from napari_sam_adapter.sam.plain_vit import VIT_B, VIT_H, VIT_L, PlainViT
from napari_sam_adapter.sam.predict import predict_masks
from napari_sam_adapter.sam.prompts import Prompts
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.sam.weight_files import file_sha256

GENERATOR = "image_encoder.prompt_generator"
# Width, depth, and the numbers of tensors and parameters that were counted on the reference code.
PUBLISHED = {
    "b": (VIT_B, 329, 93_792_820),
    "l": (VIT_L, 521, 312_453_412),
    "h": (VIT_H, 649, 641_271_604),
}


# As the source says: blocks whose attention sees the whole grid, and the width of a head.
GLOBAL_ATTENTION = {
    "b": ({2, 5, 8, 11}, 64),
    "l": ({5, 11, 17, 23}, 64),
    "h": ({7, 15, 23, 31}, 80),
}


def shapes(variant: str, grid: int = 64) -> dict[str, tuple[int, ...]]:
    """Return the table of the reference code's model, written down from its source."""
    config = PUBLISHED[variant][0]
    width, bottleneck = config.width, config.width // 32
    with torch.device("meta"):
        base = assemble(f"vit_{variant}", 16 * grid, grid).state_dict()
    table = {
        key.replace(".vit.", "."): tuple(value.shape)
        for key, value in base.items()
        if not key.startswith("prompt_encoder.")
    }
    table |= {
        f"{GENERATOR}.shared_mlp.weight": (width, bottleneck),
        f"{GENERATOR}.shared_mlp.bias": (width,),
        f"{GENERATOR}.embedding_generator.weight": (bottleneck, width),
        f"{GENERATOR}.embedding_generator.bias": (bottleneck,),
        f"{GENERATOR}.prompt_generator.proj.weight": (bottleneck, 3, 16, 16),
        f"{GENERATOR}.prompt_generator.proj.bias": (bottleneck,),
        "pe_layer.positional_encoding_gaussian_matrix": (2, 128),
        "no_mask_embed.weight": (1, 256),
    }
    for block in range(config.depth):
        table[f"{GENERATOR}.lightweight_mlp_{block}.0.weight"] = (bottleneck, bottleneck)
        table[f"{GENERATOR}.lightweight_mlp_{block}.0.bias"] = (bottleneck,)
    return table


def small_file(variant: str, **changes) -> dict[str, torch.Tensor]:
    """Tensors of the right shapes that share one number each, so that the file is small."""
    state = {key: torch.zeros(1).expand(shape) for key, shape in shapes(variant).items()}
    return {key: value for key, value in {**state, **changes}.items() if value is not None}


def random_state(table: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {key: torch.randn(shape, generator=generator).mul_(0.05) for key, shape in table.items()}


def overlapping_state(table: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Return tensors that differ, and share their numbers: each begins a little further on.

    Their file takes as much as the largest of them.
    """
    sizes = [math.prod(shape) for shape in table.values()]
    numbers = torch.randn(max(sizes) + 7 * len(sizes), generator=torch.Generator().manual_seed(4))
    numbers *= 0.05
    return {
        key: numbers[7 * index :][:size].view(shape)
        for index, ((key, shape), size) in enumerate(zip(table.items(), sizes, strict=True))
    }


def write_checkpoint(
    variant: str, folder: Path, make_state=random_state
) -> tuple[Path, dict[str, torch.Tensor]]:
    """Write a checkpoint at 64 pixels: real widths and depth, a grid of 4 x 4."""
    state = make_state(shapes(variant, grid=4))
    path = folder / "model_epoch_best.pth"
    torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, path)
    return path, state


@pytest.fixture(scope="module")
def random_checkpoint(tmp_path_factory):
    return write_checkpoint("b", tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def imported(random_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    out, base = folder / "adapter.safetensors", folder / "base.pth"
    card = import_original(random_checkpoint[0], out, base_out=base)
    return out, base, card


def logits_by_formula(
    variant: str, state: dict[str, torch.Tensor], images: torch.Tensor
) -> torch.Tensor:
    """The reference code's forward pass, from its description."""
    encoder = PlainViT(PUBLISHED[variant][0], grid=4).requires_grad_(False)
    own = {k.removeprefix("image_encoder."): v for k, v in state.items() if "image_encoder" in k}
    encoder.vit.load_state_dict({k: v for k, v in own.items() if "prompt_generator" not in k})

    def linear(x, name):
        weight, bias = state[f"{GENERATOR}.{name}.weight"], state[f"{GENERATOR}.{name}.bias"]
        return x @ weight.T + bias

    patches = encoder.vit.patch_embed(images)
    proj = f"{GENERATOR}.prompt_generator.proj"
    high = high_frequency_components(images, 0.25)
    h = functional.conv2d(high, state[f"{proj}.weight"], state[f"{proj}.bias"], stride=16)
    f = linear(patches, "embedding_generator") + h.movedim(1, -1)
    x = patches + encoder.vit.pos_embed
    for index, block in enumerate(encoder.vit.blocks):
        tuned = linear(f, f"lightweight_mlp_{index}.0")
        tuned = tuned * 0.5 * (1 + torch.erf(tuned / math.sqrt(2)))
        x = block(x + linear(tuned, "shared_mlp"))
    embedding = encoder.vit.neck(x.movedim(-1, 1))
    decoder = build_mask_decoder()
    prefix = "mask_decoder."
    decoder.load_state_dict(
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    )
    position = PositionEmbeddingRandom(128)
    matrix = state["pe_layer.positional_encoding_gaussian_matrix"]
    position.positional_encoding_gaussian_matrix.copy_(matrix)
    with torch.no_grad():
        masks, _ = decoder(
            image_embeddings=embedding,
            image_pe=position((4, 4))[None],
            sparse_prompt_embeddings=torch.zeros(1, 0, 256),
            dense_prompt_embeddings=state["no_mask_embed.weight"]
            .reshape(1, 256, 1, 1)
            .expand(1, 256, 4, 4),
            multimask_output=False,
        )
    return masks


@pytest.mark.parametrize("variant", PUBLISHED)
def test_files_of_the_published_keys_and_shapes_are_recognised(variant, tmp_path):
    table = shapes(variant)
    assert len(table) == PUBLISHED[variant][1]
    width, depth = PUBLISHED[variant][0].width, PUBLISHED[variant][0].depth
    whole, head = GLOBAL_ATTENTION[variant]
    assert table["image_encoder.pos_embed"] == (1, 64, 64, width)
    for block in range(depth):  # distances along 64 cells of a grid, or 14 of a window
        distances = 127 if block in whole else 27
        assert table[f"image_encoder.blocks.{block}.attn.rel_pos_h"] == (distances, head)
    counted = sum(math.prod(shape) for key, shape in table.items() if "gaussian" not in key)
    assert counted == PUBLISHED[variant][2]  # the position encoding is no parameter
    path = tmp_path / "model_epoch_last.pth"
    torch.save(small_file(variant), path)
    checkpoint = read_original(path)
    assert (checkpoint.base, checkpoint.input_size) == (f"sam_vit_{variant}", 1024)


@pytest.mark.parametrize("variant", PUBLISHED)
def test_a_checkpoint_of_the_published_shapes_fits_the_model_and_its_base_strictly(
    variant, tmp_path
):
    """By names and shapes: the numbers of ViT-H take more memory than small machines have."""
    path, base_file = tmp_path / "model_epoch_last.pth", tmp_path / "base.pth"
    torch.save(small_file(variant), path)
    checkpoint = read_original(path)
    with torch.device("meta"):
        base = assemble(f"vit_{variant}", 1024)
        model = AdaptedSam(base, settings_of_original(checkpoint, checkpoint.base))
    adapter = {name: value.to("meta") for name, value in adapter_state(checkpoint.state).items()}
    model.load_state_dict(adapter, strict=True)
    _write_base_weights(checkpoint, base_file)
    sha256, asked = file_sha256(base_file), checkpoint.base
    check_weights(f"vit_{variant}", base_file, sha256, 1024, asked=asked)


def check_by_formula(variant: str, state: dict[str, torch.Tensor], out: Path, base: Path) -> None:
    model, card = load_adapter(out, base=f"sam_vit_{variant}@{base}")
    assert (card.base_model, card.input_size) == (f"sam_vit_{variant}", 64)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    images = torch.from_numpy((image / 255 - mean) / deviation).float().permute(2, 0, 1)[None]
    expected = logits_by_formula(variant, state, images)[0].numpy()
    found = predict_masks(model, image).low_res_masks
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert expected.std() > 0


def test_an_imported_checkpoint_computes_what_the_formula_says(random_checkpoint, imported):
    out, base, _ = imported
    check_by_formula("b", random_checkpoint[1], out, base)


def test_so_does_one_of_vit_l(tmp_path):
    # ViT-H takes the same way, and is checked by its shapes.
    path, state = write_checkpoint("l", tmp_path, overlapping_state)
    out, base = tmp_path / "adapter.safetensors", tmp_path / "base.pth"
    import_original(path, out, base_out=base)
    check_by_formula("l", state, out, base)


def test_the_adapter_file_leaves_the_encoder_out(imported):
    out, base, _ = imported
    assert out.stat().st_size < 0.05 * base.stat().st_size


def test_the_reference_code_squashes_its_images(imported):
    model, card = load_adapter(imported[0], base=f"sam_vit_b@{imported[1]}")
    assert (card.fit, card.normalisation) == ("squash", "imagenet")
    assert predict_masks(model, np.eye(30, 90)).mask.shape == (30, 90)


def test_prompts_are_off_and_the_reason_is_said(imported):
    model, _ = load_adapter(imported[0], base=f"sam_vit_b@{imported[1]}")
    box = Prompts(np.array([[2, 2, 20, 20]], np.float32))
    with pytest.raises(PromptError, match="position encoding is its own"):
        predict_masks(model, np.eye(64), box)


@pytest.mark.parametrize(
    "prompts",
    [
        Prompts(np.array([[2, 2, 20, 20]], np.float32)),
        Prompts(points=np.array([[9, 9]]), is_object=np.array([True])),
    ],
    ids=["box", "point"],
)
@pytest.mark.parametrize("box_answers", ["adapter", "base"])
def test_a_base_that_was_written_of_a_checkpoint_answers_to_no_prompts_and_says_why(
    imported, prompts, box_answers
):
    settings = ModelSettings.default(f"sam_vit_b@{imported[1]}", 64)
    model = build_adapted_sam(settings.with_changes(box_answers=box_answers))
    assert predict_masks(model, np.eye(64)).mask.shape == (64, 64)
    words = r"The weights of sam_vit_b@.*base\.pth were never trained with boxes and points"
    with pytest.raises(PromptError, match=words):
        predict_masks(model, np.eye(64), prompts)


def test_an_encoder_that_is_not_the_bases_is_refused_and_what_to_do_is_said(
    random_checkpoint, imported, tmp_path
):
    _, base, _ = imported
    state = torch.load(base, weights_only=True)
    state["image_encoder.blocks.3.norm1.bias"] += 1
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"1 of its tensors.*3\.norm1\.bias.*base-out"):
        import_original(
            random_checkpoint[0],
            tmp_path / "a.safetensors",
            base=f"sam_vit_b@{tmp_path / 'other.pth'}",
        )


@pytest.mark.parametrize("other", ["lite_medsam", "sam_vit_l"])
def test_a_base_model_of_another_kind_is_refused_in_words(random_checkpoint, tmp_path, other):
    with pytest.raises(CheckpointError, match=rf"trained on SAM ViT-B, and {other} is another"):
        import_original(random_checkpoint[0], tmp_path / "a.safetensors", base=other)


def test_the_encoders_folder_is_made_and_a_file_of_the_wrong_size_named(
    random_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setenv("NAPARI_SAM_ADAPTER_MODELS", str(tmp_path / "models"))
    base = tmp_path / "new" / "base.pth"
    card = import_original(random_checkpoint[0], tmp_path / "a.safetensors", base_out=base)
    assert base.is_file()
    assert base_of_adapter(card) == f"sam_vit_b@{base}"  # the adapter is used without naming it
    with pytest.raises(WeightsError, match="the weights of sam_vit_b, and sam_vit_l was asked"):
        base_model(f"sam_vit_l@{base}").build(64)


def test_a_checkpoint_given_as_an_adapter_says_how_to_import_it(random_checkpoint):
    with pytest.raises(CheckpointError, match=r"a checkpoint of the original.*adapters import"):
        load_adapter(random_checkpoint[0])


def test_without_sams_weights_the_way_out_is_named(random_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_ADAPTER_MODELS", str(tmp_path))
    with pytest.raises(WeightsError, match=r"models fetch sam_vit_b.*--base-out"):
        import_original(random_checkpoint[0], tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"no_mask_embed.weight": None}, "missing no_mask_embed.weight"),
        ({"extra": torch.zeros(2)}, "unexpected extra"),
        (
            {f"{GENERATOR}.lightweight_mlp_3.0.bias": torch.zeros(25)},
            r"lightweight_mlp_3\.0\.bias has shape \(25,\), expected \(24,\)",
        ),
        ({"image_encoder.pos_embed": None}, r"missing image_encoder\.pos_embed"),
    ],
)
def test_an_incomplete_checkpoint_names_what_is_wrong(tmp_path, change, words):
    path = tmp_path / "broken.pth"
    torch.save(small_file("b", **change), path)
    with pytest.raises(CheckpointError, match=f"not a complete SAM-Adapter checkpoint.*{words}"):
        read_original(path)


@pytest.mark.parametrize("variant", ["l", "h"])
def test_so_does_one_of_a_large_encoder_in_its_last_block(tmp_path, variant):
    path, depth = tmp_path / "broken.pth", PUBLISHED[variant][0].depth
    tune = f"{GENERATOR}.lightweight_mlp_{{}}.0.bias"
    distances = f"image_encoder.blocks.{depth - 1}.attn.rel_pos_w"
    windowed = (27, GLOBAL_ATTENTION[variant][1])
    for change, words in (
        ({tune.format(depth - 1): None}, f"missing {tune.format(depth - 1)}"),
        ({tune.format(depth): torch.zeros(3)}, f"unexpected {tune.format(depth)}"),
        ({distances: torch.zeros(windowed)}, f"{distances} has shape {windowed}, expected (127, "),
    ):
        torch.save(small_file(variant, **change), path)
        with pytest.raises(CheckpointError, match=re.escape(words)):
            read_original(path)


@pytest.mark.parametrize(
    "around",
    [
        lambda state: state | {"epoch": 3, "best": "0.9"},
        lambda state: {f"module.model.{key}": value for key, value in state.items()},
        lambda state: {"epoch": 3, "net": state, "optimizer": {"state": {0: {"step": 1}}}},
        lambda state: {"model": "sam", "checkpoint": {"model_state": state}},
    ],
    ids=["beside others", "prefixed", "net", "nested twice"],
)
def test_what_training_scripts_put_around_a_checkpoint_is_taken_off(tmp_path, around):
    path = tmp_path / "wrapped.pth"
    torch.save(around(small_file("b")), path)
    assert read_original(path).base == "sam_vit_b"


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["no_mask_embed.weight", "image_encoder.neck.0.weight"])
def test_tensors_that_are_no_numbers_are_refused_before_anything_is_written(tmp_path, name, value):
    path, base = tmp_path / "broken.pth", tmp_path / "base.pth"
    broken = torch.full((1,), value).expand(shapes("b")[name])
    torch.save(small_file("b", **{name: broken}), path)
    with pytest.raises(CheckpointError, match=rf"tensor '{name}' holds values that are not num"):
        import_original(path, tmp_path / "a.safetensors", base_out=base)
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_base_model_beside_one_to_be_written_is_refused(random_checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="--model or --base-out, not both"):
        import_original(
            random_checkpoint[0],
            tmp_path / "a.safetensors",
            base="sam_vit_b",
            base_out=tmp_path / "base.pth",
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "base_out", "words"),
    [
        ("model.pth", None, r"FILE model\.pth and --out model\.pth are"),
        ("a.safetensors", "sub/../model.pth", r"FILE model\.pth and --base-out sub"),
        ("new.pth", "sub/../new.pth", r"--out new\.pth and --base-out sub/\.\./new\.pth are"),
        ("sam.pth", "new.pth", r"sam\.pth is there already and is not an adapter"),
        ("sub", "new.pth", "sub is a folder"),
        ("a.safetensors", "sub", "sub is a folder"),
    ],
)
def test_an_import_overwrites_no_weights_and_leaves_nothing_behind(
    tmp_path, monkeypatch, out, base_out, words
):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    torch.save(small_file("b"), "model.pth")
    torch.save(torch.zeros(2), "sam.pth")
    before = {path: path.read_bytes() for path in tmp_path.glob("*.pth")}
    base = None if base_out is None else Path(base_out)
    with pytest.raises(SamAdapterError, match=words):
        import_original(Path("model.pth"), Path(out), base_out=base)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.pth")} == before
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "sub"])


def test_base_weights_are_written_beside_what_is_there_and_never_over_it(
    random_checkpoint, imported, tmp_path
):
    out, base = tmp_path / "a.safetensors", tmp_path / "base.pth"
    for content in (b"somebody's thesis", imported[1].read_bytes()[:-1]):
        base.write_bytes(content)
        with pytest.raises(StorageError, match=r"base\.pth is there already and holds something"):
            import_original(random_checkpoint[0], out, base_out=base)
        assert base.read_bytes() == content
        assert not out.exists()


def test_the_same_import_can_be_made_again(random_checkpoint, imported, tmp_path):
    base = imported[1]
    before = base.stat().st_mtime_ns
    card = import_original(random_checkpoint[0], tmp_path / "again.safetensors", base_out=base)
    assert card.base_sha256 == load_adapter(imported[0])[1].base_sha256
    assert base.stat().st_mtime_ns == before


def test_an_imported_adapter_can_be_trained_on(imported):
    model, _ = load_adapter(imported[0], base=f"sam_vit_b@{imported[1]}")
    assert isinstance(model, AdaptedSam)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {
        "adapter",
        "mask_decoder",
        "prompt_embedding",
    }
