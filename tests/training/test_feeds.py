"""What a training step is fed: the same picture that prediction sees, in many views."""

import itertools

import numpy as np
import pytest
import torch

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.sam import devices, late
from napari_sam_adapter.sam import encode as encode_module
from napari_sam_adapter.sam.encode import VIEWS
from napari_sam_adapter.sam.feature_cache import FeatureCache
from napari_sam_adapter.sam.feature_files import FeatureFiles
from napari_sam_adapter.sam.input_format import InputFormat
from napari_sam_adapter.sam.preprocess import encoder_input, mirrored
from napari_sam_adapter.training import feed, feeds
from napari_sam_adapter.training.augment import N_ORIENTATIONS, View, apply_view
from napari_sam_adapter.training.feeds import EmbeddingFeed, ImageFeed, LateFeed
from napari_sam_adapter.training.prepared_sample import PreparedSample
from napari_sam_adapter.training.samples import TrainingSample


def plain_view(sample: TrainingSample, size: int):
    return PreparedSample(sample, 1, InputFormat(size)).render(View())


def smooth(*shape: int) -> np.ndarray:
    rows, columns = np.linspace(0, 3, shape[0])[:, None], np.linspace(0, 2, shape[1])
    picture = np.sin(rows + columns**2)
    return picture if len(shape) == 2 else picture[..., None] * np.linspace(0.5, 1, shape[2])


@pytest.mark.parametrize("shape", [(64, 64), (40, 90), (200, 120, 3), (90, 150, 4)])
def test_training_sees_a_slice_as_prediction_does(shape):
    image = smooth(*shape)
    mask = smooth(*shape[:2]) > 0.3
    seen, target, geometry = plain_view(TrainingSample(image, mask, "s"), 64)
    expected, expected_geometry = encoder_input(image, InputFormat(64))
    assert geometry == expected_geometry
    assert torch.equal(seen, expected)
    covered = encoder_input(mask.astype(np.float32), InputFormat(64))[0][:, :1]
    assert (target - covered).abs().mean() < 0.01


@pytest.mark.parametrize("input_format", [InputFormat(64), InputFormat(64, "imagenet", "squash")])
@pytest.mark.parametrize("shape", [(64, 64), (40, 90), (200, 120, 3)])
def test_a_slice_mirrored_in_training_is_the_view_that_prediction_averages(shape, input_format):
    image, mask = smooth(*shape), smooth(*shape[:2]) > 0.3
    prepared = PreparedSample(TrainingSample(image, mask, "s"), 1, input_format)
    x, geometry = encoder_input(image, input_format)
    for orientation, axes in {0: VIEWS[0], 2: VIEWS[1], 6: VIEWS[2], 4: VIEWS[3]}.items():
        seen, target, seen_geometry = prepared.render(View(orientation))
        assert torch.equal(seen, mirrored(x, axes, geometry)), orientation
        assert seen_geometry == geometry
        assert torch.equal(target, mirrored(prepared.render(View())[1], axes, geometry))


@pytest.mark.parametrize("orientation", range(N_ORIENTATIONS))
def test_a_view_that_comes_again_shows_what_random_ones_show(orientation):
    sample = TrainingSample(smooth(64, 40), smooth(64, 40) > 0.3, "s")
    prepared = PreparedSample(sample, 1, InputFormat(64))
    again = prepared.render(View(orientation))
    once = apply_view(prepared.image, prepared.target, View(orientation), InputFormat(64))
    for one, other in zip(again[:2], once[:2], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert again[2] == once[2]


def test_a_thin_line_is_not_lost_from_the_target():
    mask = np.zeros((512, 512), bool)
    mask[200] = True
    _, target, _ = plain_view(TrainingSample(smooth(512, 512), mask, "s"), 64)
    assert float(target.sum()) * 8**2 == pytest.approx(mask.sum(), rel=0.01)


def test_nan_pixels_are_trained_on_as_they_are_predicted_on():
    image = smooth(64, 64)
    image[5:9, 7] = np.nan
    seen, _, _ = plain_view(TrainingSample(image, smooth(64, 64) > 0, "s"), 64)
    torch.testing.assert_close(seen, encoder_input(image, InputFormat(64))[0], atol=1e-5, rtol=0)


def test_a_slice_that_cannot_be_used_is_named(small_sam, samples):
    flat = TrainingSample(np.zeros((32, 32)), np.ones((32, 32), bool), "slice 17")
    with pytest.raises(ImageError, match="slice 17"):
        ImageFeed(small_sam, [*samples[:2], flat], 0)


def test_slices_beyond_the_memory_set_aside_are_prepared_when_they_come(
    small_sam, samples, monkeypatch
):
    plenty = ImageFeed(small_sam, samples[:3], 0)
    with torch.no_grad():
        expected = [plenty.at(i).embedding for i in range(6)]
        monkeypatch.setattr(feed, "CACHE_BYTES", 0)
        short = ImageFeed(small_sam, samples[:3], 0)
        for position, embedding in enumerate(expected):
            torch.testing.assert_close(short.at(position).embedding, embedding)
    assert not short._prepared


@pytest.mark.parametrize("feed", [ImageFeed, LateFeed, EmbeddingFeed])
def test_every_slice_comes_once_before_any_comes_again(small_sam, feed):
    # A view may turn and crop a slice, but keeps its aspect ratio: that tells which one it is.
    shapes = [(64, 64), (64, 48), (64, 32), (64, 16)]
    samples = [TrainingSample(smooth(*hw), smooth(*hw) > 0, str(hw)) for hw in shapes]
    fed = feed(small_sam, samples, 0)
    with torch.no_grad():
        ratios = [min(hw) / max(hw) for hw in (fed.at(i).geometry.content_hw for i in range(8))]
    for half in (ratios[:4], ratios[4:]):
        assert sorted(half) == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=0.05)


def test_the_quick_feed_encodes_no_orientation_twice(small_sam, samples, monkeypatch):
    encode, count = small_sam.encode, itertools.count()

    def counted(images: torch.Tensor) -> torch.Tensor:
        next(count)
        return encode(images)

    monkeypatch.setattr(small_sam, "encode", counted)
    feed = EmbeddingFeed(small_sam, samples[:1], 0)
    for position in range(40):
        feed.at(position)
    assert 1 <= next(count) <= N_ORIENTATIONS


@pytest.mark.parametrize(("augmentation", "views"), [("upright", 1), ("none", 1), ("flip", 2)])
def test_the_quick_feed_turns_slices_only_where_they_may_be(
    small_sam, samples, monkeypatch, augmentation, views
):
    seen = []
    monkeypatch.setattr(
        small_sam, "encode", lambda x: seen.append(x) or torch.zeros(1, 256, 16, 16)
    )
    feed = EmbeddingFeed(small_sam, samples[:1], 0, augmentation)
    for position in range(20):
        feed.at(position)
    assert len(seen) == views
    if views == 2:
        torch.testing.assert_close(seen[0], seen[1].flip(-1))


@pytest.mark.parametrize("n_fit", [0, 2, 6])
def test_the_quick_feed_keeps_no_more_than_there_is_room_for(
    small_sam, samples, monkeypatch, n_fit
):
    with torch.no_grad():
        plenty = EmbeddingFeed(small_sam, samples[:3], 0, "flip")
        embedding, target, _ = plenty._encoded(0, 0)
        size = 4 * (embedding.numel() + target.numel())
        monkeypatch.setattr(feeds, "CACHE_BYTES", n_fit * size)
        short = EmbeddingFeed(small_sam, samples[:3], 0, "flip")
        fed = [short.at(position) for position in range(12)]
    assert len(short._cache) == n_fit
    assert {one.name for one in fed} == {sample.name for sample in samples[:3]}


@pytest.mark.parametrize("room", [None, 0])
def test_the_late_feed_depends_on_the_position_alone(small_sam, samples, monkeypatch, room):
    if room is not None:
        monkeypatch.setattr(feeds, "CACHE_BYTES", room)
    with torch.no_grad():
        feed = LateFeed(small_sam, samples[:3], 0)
        expected = [feed.at(i).embedding for i in range(24)]
        again = LateFeed(small_sam, samples[:3], 0)
        for position in (23, 4, 0, 11):
            assert torch.equal(again.at(position).embedding, expected[position])
    assert bool(feed._cache) == (room is None)


def test_the_late_feed_encodes_no_view_twice(small_sam, samples, monkeypatch):
    encode, count = late.encode_before, itertools.count()

    def counted(*given):
        next(count)
        return encode(*given)

    monkeypatch.setattr(feeds, "encode_before", counted)
    monkeypatch.setattr(encode_module, "encode_before", counted)
    feed = LateFeed(small_sam, samples[:2], 0)
    for position in range(80):
        feed.at(position)
    assert 2 * feeds.LATE_VIEWS < next(count) <= 2 * feeds.LATE_VIEWS + 1  # one to see its size


def test_the_full_feed_shows_another_view_of_a_slice_each_time(small_sam, samples):
    feed = ImageFeed(small_sam, samples[:1], 0)
    with torch.no_grad():
        seen = [feed.at(i).embedding for i in range(4)]
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(seen, 2))


def test_the_quick_feed_carries_no_gradient_and_the_others_do(small_sam, samples):
    small_sam.requires_grad_(True)
    features = [
        feed(small_sam, samples[:1], 0).at(0).embedding
        for feed in (EmbeddingFeed, LateFeed, ImageFeed)
    ]
    assert [x.requires_grad for x in features] == [False, True, True]


@pytest.mark.parametrize(
    ("feed", "per_slice", "kept"),
    [(EmbeddingFeed, N_ORIENTATIONS, N_ORIENTATIONS), (LateFeed, feeds.LATE_VIEWS, 1)],
)
def test_what_is_fed_is_the_same_with_a_cache_and_encoded_once(
    tuned_sam, samples, tmp_path, monkeypatch, feed, per_slice, kept
):
    """Random crops are encoded in each run, whatever comes again is not."""
    count = itertools.count()
    whole, before = tuned_sam.encode, late.encode_before

    def counted(compute):
        def call(*given):
            next(count)
            return compute(*given)

        return call

    monkeypatch.setattr(tuned_sam, "encode", counted(whole))
    for module in (feeds, encode_module):
        monkeypatch.setattr(module, "encode_before", counted(before))

    def fed(cache) -> tuple[list[torch.Tensor], int]:
        start = next(count)
        one = feed(tuned_sam, samples[:2], 0, cache=cache)
        with torch.no_grad():
            found = [one.at(position).embedding for position in range(60)]
        return found, next(count) - start - 1

    files = FeatureFiles(tmp_path, 1024**3)
    expected, plain = fed(None)
    cold, at_first = fed(FeatureCache(files=files))
    warm, later = fed(FeatureCache(files=files))
    for one, other, third in zip(expected, cold, warm, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)
    assert plain == at_first + (feed is LateFeed)  # one more, to see its size
    assert at_first - later == 2 * kept
    assert len(list(tmp_path.iterdir())) == 2 * kept
    assert later == 2 * (per_slice - kept)


@pytest.mark.parametrize("feed", [ImageFeed, LateFeed, EmbeddingFeed])
def test_the_encoder_runs_in_half_precision_where_that_is_faster(
    small_sam, samples, feed, monkeypatch
):
    """Without it a full step took 1.8 times as long, and nothing else showed it."""
    monkeypatch.setattr(devices, "uses_bfloat16", lambda device: True)
    seen: list[torch.dtype] = []
    layer = small_sam.base.image_encoder.layers[1].blocks[0].mlp.fc1
    hook = layer.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    feed(small_sam, samples[:1], 0).at(0)
    hook.remove()
    assert set(seen) == {torch.bfloat16}


@pytest.mark.parametrize("feed", [ImageFeed, LateFeed, EmbeddingFeed])
def test_what_comes_depends_on_the_position_alone(small_sam, samples, feed):
    """Whoever begins in the middle, after a crash or as one of several processes, sees the same."""
    with torch.no_grad():
        from_the_start = feed(small_sam, samples[:3], 7)
        seen = [from_the_start.at(position) for position in range(20)]
        late = feed(small_sam, samples[:3], 7).at(19)
        other = feed(small_sam, samples[:3], 8)
        elsewhere = [other.at(position).name for position in range(20)]
    torch.testing.assert_close(late.embedding, seen[19].embedding)
    assert torch.equal(late.target, seen[19].target)
    assert late.rng.random() == seen[19].rng.random()
    assert elsewhere != [fed.name for fed in seen]
