"""An encoder with a cache computes what it computes without one, and nothing twice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam_adapter import __version__
from napari_sam_adapter.adapter.config import AdapterConfig, Condition
from napari_sam_adapter.sam import devices, encode, feature_cache
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.encode import Encoder, encode_image, for_prompts
from napari_sam_adapter.sam.feature_cache import FeatureCache, feature_key
from napari_sam_adapter.sam.feature_files import FeatureFiles
from napari_sam_adapter.sam.late import encoder_key, prefix_key
from napari_sam_adapter.sam.predict import decode_masks
from napari_sam_adapter.sam.preprocess import encoder_input, mirrored
from napari_sam_adapter.sam.prompts import Prompts

MEGABYTE = 1024**2


@pytest.fixture
def frame(stack) -> np.ndarray:
    return np.ascontiguousarray(stack.frames[0][:, :50])


@pytest.fixture
def files(tmp_path) -> FeatureFiles:
    return FeatureFiles(tmp_path, 512 * MEGABYTE)


@pytest.fixture
def n_encoded(monkeypatch) -> dict[str, int]:
    """Count how often an encoder, or a part of one, computes."""
    counts = {"whole": 0, "before": 0, "after": 0, "base": 0}

    def counted(owner, method: str, name: str) -> None:
        original = getattr(owner, method)

        def count(*given):
            counts[name] += 1
            return original(*given)

        monkeypatch.setattr(owner, method, count)

    counted(AdaptedSam, "encode", "whole")
    counted(AdaptedSam, "encode_by_base", "base")
    counted(encode, "encode_before", "before")
    counted(encode, "encode_after", "after")
    return counts


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("keeps_prefixes", [False, True])
def test_results_are_equal_with_a_cold_a_warm_and_no_cache(
    tuned_sam, frame, files, keeps_prefixes, bf16, monkeypatch
):
    monkeypatch.setattr(devices, "uses_bfloat16", lambda device: bf16)
    plain = encode_image(tuned_sam, frame, 4)
    cold = Encoder(tuned_sam, FeatureCache(files=files), keeps_prefixes=keeps_prefixes)
    found = cold.image(frame, 4)
    assert not found.is_known
    warm = Encoder(tuned_sam, FeatureCache(files=files), keeps_prefixes=keeps_prefixes)
    again = warm.image(frame, 4)
    assert again.is_known
    in_memory = Encoder(tuned_sam, FeatureCache({"embedding": MEGABYTE}))
    in_memory.image(frame, 4)
    for one in (found, again, in_memory.image(frame, 4)):
        assert torch.equal(one.features, plain.features)
        masks = decode_masks(tuned_sam, one).low_res_masks
        np.testing.assert_array_equal(masks, decode_masks(tuned_sam, plain).low_res_masks)


def test_nothing_is_encoded_twice_and_a_view_that_is_missing_alone(
    tuned_sam, frame, files, n_encoded
):
    Encoder(tuned_sam, FeatureCache(files=files)).image(frame, 1)
    assert n_encoded["whole"] == 1
    encoder = Encoder(tuned_sam, FeatureCache(files=files))
    assert not encoder.image(frame, 2).is_known
    assert n_encoded["whole"] == 2
    assert encoder.image(frame, 2).is_known
    assert n_encoded == {"whole": 2, "before": 0, "after": 0, "base": 0}


@pytest.mark.parametrize("bf16", [False, True])
def test_after_the_late_gear_only_the_late_part_is_encoded(
    tuned_sam, frame, files, n_encoded, bf16, monkeypatch
):
    monkeypatch.setattr(devices, "uses_bfloat16", lambda device: bf16)
    Encoder(tuned_sam, FeatureCache(files=files), keeps_prefixes=True).image(frame)
    with torch.no_grad():
        for part in tuned_sam.adapter.parts_after(tuned_sam.base.encoder.late_cut):
            for parameter in part.parameters():
                parameter += 0.01
    n_encoded.update(dict.fromkeys(n_encoded, 0))
    later = Encoder(tuned_sam, FeatureCache(files=files), keeps_prefixes=True).image(frame)
    assert n_encoded == {"whole": 0, "before": 0, "after": 1, "base": 0}
    assert torch.equal(later.features, encode_image(tuned_sam, frame).features)


def test_the_base_models_own_embedding_is_found_too(tuned_sam, frame, files):
    """Predicted with the base model first, boxes are answered by it later."""
    settings = tuned_sam.settings
    base = build_adapted_sam(ModelSettings.default(settings.base, settings.input_size))
    Encoder(base, FeatureCache(files=files)).image(frame)
    tuned_sam.settings = tuned_sam.settings.with_changes(box_answers="base")
    prompts = Prompts(np.array([[5, 5, 40, 40]], np.float32))
    expected = for_prompts(tuned_sam, frame, encode_image(tuned_sam, frame), prompts)
    encoder = Encoder(tuned_sam, FeatureCache(files=files))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AdaptedSam, "encode_by_base", None)
        found = encoder.for_prompts(frame, encoder.image(frame), prompts)
    assert torch.equal(found.base_features, expected.base_features)
    assert not torch.equal(found.base_features, found.features)


@pytest.fixture
def x(lite_medsam, frame) -> torch.Tensor:
    return encoder_input(frame, lite_medsam.settings.input_format)[0]


def key_of(model: AdaptedSam, image: np.ndarray, **changes) -> str:
    """Return the key of a slice's embedding as `Encoder` makes it."""
    encoder = Encoder(model, FeatureCache())
    if changes:
        model.settings = model.settings.with_changes(**changes)
    return encoder._keys("embedding", encoder.input_of(image)[0], encoder_key(model))[0]


def test_whatever_changes_the_result_changes_the_key(tuned_sam, frame, x, monkeypatch):
    def usual() -> str:
        return feature_key("embedding", x, "base", "adapter", 1)

    other_image = frame.copy()
    other_image[3, 4, 0] ^= 1
    keys = {
        "as it is": key_of(tuned_sam, frame),
        "one bit of the image": key_of(tuned_sam, other_image),
        "normalisation": key_of(tuned_sam, frame, normalisation="imagenet"),
        "padding": key_of(tuned_sam, frame, fit="squash"),
        "size": key_of(tuned_sam, frame, input_size=112),
        "by hand": usual(),
        "kind": feature_key("prefix", x, "base", "adapter", 1),
        "base": feature_key("embedding", x, "other base", "adapter", 1),
        "adapter": feature_key("embedding", x, "base", "other adapter", 1),
        "mirrored": feature_key("embedding", x.flip(-1), "base", "adapter", 1),
    }
    assert usual() == keys["by hand"]
    for name, value in {
        "uses_bfloat16": lambda device: True,
        "__version__": __version__ + ".1",
        "FORMAT": "0",
        "_machine": lambda device, threads: ("another",),
    }.items():
        with monkeypatch.context() as patch:
            patch.setattr(feature_cache, name, value)
            keys[name] = usual()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "1.0")
        keys["torch"] = usual()
    keys["threads"] = feature_key("embedding", x, "base", "adapter", 99)
    assert len(set(keys.values())) == len(keys), keys


def test_a_run_with_fewer_threads_for_a_while_takes_what_the_usual_number_has_computed(
    tuned_sam, frame, monkeypatch
):
    """And what it computes itself is not taken for that of the usual number."""
    cache = FeatureCache({"embedding": 10**9})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    encoder = Encoder(tuned_sam, cache)
    encoder.image(frame)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert encoder.image(frame).is_known
    assert not encoder.image(frame[::-1].copy()).is_known
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert not Encoder(tuned_sam, cache).image(frame[::-1].copy()).is_known


def test_every_weight_of_the_adapter_changes_what_is_looked_for(tuned_sam):
    def changed(parameter) -> tuple[str, str]:
        before = parameter.detach().clone()
        with torch.no_grad():
            parameter.view(-1)[0] += 1
            found = encoder_key(tuned_sam), prefix_key(tuned_sam)
            parameter.copy_(before)
        return found

    whole, before = encoder_key(tuned_sam), prefix_key(tuned_sam)
    late = tuned_sam.adapter.parts_after(tuned_sam.base.encoder.late_cut)
    late_ones = {id(p) for part in late for p in part.parameters()}
    assert late_ones
    for parameter in tuned_sam.adapter.parameters():
        found = changed(parameter)
        assert found[0] != whole
        assert (found[1] == before) is (id(parameter) in late_ones)


@pytest.mark.parametrize("keeps_prefixes", [False, True])
def test_features_of_the_wrong_shape_are_computed_again(
    tuned_sam, frame, files, keeps_prefixes, n_encoded
):
    expected = encode_image(tuned_sam, frame).features
    Encoder(tuned_sam, FeatureCache(files=files), keeps_prefixes=keeps_prefixes).image(frame)
    keys = [path.stem for path in files.folder.iterdir()]
    assert len(keys) == 1 + keeps_prefixes
    for wrong in ({"features": torch.zeros(1, 256, 3, 3)}, {"something": torch.zeros(2)}):
        for key in keys:
            files.write(key, wrong)
        n_encoded.update(dict.fromkeys(n_encoded, 0))
        encoder = Encoder(tuned_sam, FeatureCache(files=files), keeps_prefixes=keeps_prefixes)
        assert torch.equal(encoder.image(frame).features, expected)
        assert n_encoded["before" if keeps_prefixes else "whole"] == 1
        found = Encoder(tuned_sam, FeatureCache(files=files)).image(frame)
        assert found.is_known, "what was wrong is replaced"


def test_conditions_of_somebody_else_leave_nothing_on_the_disk(
    lite_medsam, frame, files, monkeypatch
):
    """What they compute may be another thing tomorrow, under the same name."""
    own = Condition("somebody_elses")
    config = replace(AdapterConfig(), conditions=(*AdapterConfig().conditions, own))
    monkeypatch.setattr(
        "napari_sam_adapter.adapter.module.image_condition", lambda name, **_: lambda x: x
    )
    monkeypatch.setattr("napari_sam_adapter.adapter.config.condition_names", lambda: (own.name,))
    model = AdaptedSam(lite_medsam.base, lite_medsam.settings.with_changes(adapter=config)).eval()
    cache = FeatureCache({"embedding": MEGABYTE, "prefix": MEGABYTE}, files)
    encoder = Encoder(model, cache, keeps_prefixes=True)
    encoder.image(frame)
    assert encoder.image(frame).is_known
    assert files.size() == 0


def test_views_are_kept_apart(tuned_sam, frame, files):
    encoder = Encoder(tuned_sam, FeatureCache(files=files))
    x, geometry = encoder.input_of(frame)
    views = [mirrored(x, axes, geometry) for axes in encode.VIEWS]
    found = [encoder.embedding(view) for view in views]
    for view, embedding in zip(views, found, strict=True):
        assert torch.equal(Encoder(tuned_sam).embedding(view), embedding)
        assert torch.equal(encoder.embedding(view), embedding)
