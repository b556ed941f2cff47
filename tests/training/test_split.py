"""Which slices are trained on and which are held out."""

from dataclasses import replace

import numpy as np
import pytest

from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.training.split import History, earlier_samples, split_samples


def made(n_with_object: int, n_empty: int = 0) -> list[TrainingSample]:
    image = np.zeros((8, 8))
    full, empty = np.ones((8, 8), bool), np.zeros((8, 8), bool)
    masks = [full] * n_with_object + [empty] * n_empty
    return [TrainingSample(image, mask, str(index)) for index, mask in enumerate(masks)]


def split(samples: list[TrainingSample], seed: int = 0) -> tuple[list[str], list[str]]:
    parts = split_samples(samples, np.random.default_rng(seed))
    return names(parts.training), names(parts.held_out)


def names(samples: list[TrainingSample]) -> list[str]:
    return [sample.name for sample in samples]


@pytest.mark.parametrize(
    ("count", "n_held_out"), [(1, 0), (5, 0), (6, 1), (8, 1), (15, 1), (16, 2), (80, 10), (800, 32)]
)
def test_one_in_eight_is_held_out_from_six_slices_on_and_never_more_than_32(count, n_held_out):
    assert len(split(made(count))[1]) == n_held_out


@pytest.mark.parametrize("seed", range(5))
def test_every_slice_is_on_exactly_one_side_and_in_order(seed):
    training, held_out = split(made(20, 4), seed)
    for part in (training, held_out):
        assert part == sorted(part, key=int)
    assert sorted(training + held_out, key=int) == [str(index) for index in range(24)]


@pytest.mark.parametrize("seed", range(5))
def test_held_out_slices_show_an_object_where_there_are_enough(seed):
    held_out = split_samples(made(4, 20), np.random.default_rng(seed)).held_out
    assert all(sample.labels.any() for sample in held_out)


@pytest.mark.parametrize("seed", range(8))
def test_the_only_slice_with_an_object_is_never_held_out_alone(seed):
    training = split_samples(made(1, 7), np.random.default_rng(seed)).training
    assert any(sample.labels.any() for sample in training)


@pytest.mark.parametrize("seed", range(8))
def test_an_empty_slice_is_never_the_one_that_judges(seed):
    samples = made(3, 4)
    assert split(samples, seed)[1] in (["0"], ["1"], ["2"])
    rng = np.random.default_rng(seed)
    slices = [replace(sample, image=rng.random((8, 8))) for sample in samples]
    digests = [sample.digest for sample in slices]
    met = History(frozenset(digests[:2]), frozenset(digests[4:5]))
    assert names(split_samples(slices, rng, history=met).held_out) == ["2"]


def test_who_retrains_after_each_slice_has_one_held_out_from_the_sixth_on_and_learns_the_others():
    rng = np.random.default_rng(0)
    full = np.ones((8, 8), bool)
    samples = [TrainingSample(rng.random((8, 8)), full, str(index)) for index in range(12)]
    history, held_out = History(), []
    for count in range(4, 13):
        split = split_samples(samples[:count], rng, history=history)
        held_out.append(names(split.held_out))
        trained_on = history.trained_on | {sample.digest for sample in split.training}
        history = History(trained_on, frozenset(sample.digest for sample in split.held_out))
    assert held_out == [[], [], *[["5"]] * 7]


@pytest.mark.parametrize("group", ["", "scan"])
@pytest.mark.parametrize("count", [8, 16])
@pytest.mark.parametrize("seed", range(8))
def test_one_or_two_held_out_slices_are_not_those_with_the_smallest_objects(seed, count, group):
    image = np.zeros((count, count))
    sizes = [min(z + 1, count - z) for z in range(count)]  # of a ball, cut along its axis
    samples = [
        TrainingSample(image, np.tri(count, count, size - count, dtype=bool), str(z), group)
        for z, size in enumerate(sizes)
    ]
    held_out = split_samples(samples, np.random.default_rng(seed)).held_out
    smallest = sorted(range(count), key=lambda z: sizes[z])[: count // 4]
    assert len(held_out) == count // 8
    assert not {str(z) for z in smallest} & set(names(held_out))


def test_what_was_held_out_before_is_held_out_again_and_new_slices_are_learned_from():
    rng = np.random.default_rng(0)
    full = np.ones((8, 8), bool)
    samples = [TrainingSample(rng.random((8, 8)), full, str(index)) for index in range(8)]
    digests = [sample.digest for sample in samples]
    history = History(frozenset(digests[:5]), frozenset(digests[5:6]))
    split = split_samples(samples, rng, history=history)
    assert names(split.held_out) == ["5"]
    assert names(split.training) == ["0", "1", "2", "3", "4", "6", "7"]


@pytest.mark.parametrize("n_empty", [0, 2])
def test_a_patient_who_was_held_out_whole_can_be_learned_from_alone(n_empty):
    rng = np.random.default_rng(0)
    full, empty = np.ones((8, 8), bool), np.zeros((8, 8), bool)
    masks = [full] * 8 + [empty] * n_empty
    samples = [
        TrainingSample(rng.random((8, 8)), mask, str(n), "C") for n, mask in enumerate(masks)
    ]
    history = History(frozenset(["of other patients"]), frozenset(s.digest for s in samples[:8]))
    found = split_samples(samples, rng, history=history)
    assert len(found.held_out) == 1
    assert found.held_out[0].shows_object
    assert sum(sample.shows_object for sample in found.training) == 7


def test_a_single_new_slice_with_the_smallest_object_is_learned_from():
    sizes = [5, 6, 7, 8, 9, 2, 6]
    samples = [
        TrainingSample(np.full((9, 9), n), np.tri(9, 9, size - 9, dtype=bool), str(n))
        for n, size in enumerate(sizes)
    ]
    history = History(frozenset(sample.digest for sample in samples[:5]))
    rng = np.random.default_rng(0)
    assert split_samples(samples[:6], rng, history=history).held_out == []
    assert names(split_samples([*samples[:5], samples[6]], rng, history=history).held_out) == ["6"]


def test_a_slice_the_model_has_seen_is_never_held_out():
    rng = np.random.default_rng(0)
    full = np.ones((8, 8), bool)
    samples = [TrainingSample(rng.random((8, 8)), full, str(index)) for index in range(16)]
    seen = {sample.digest for sample in samples[:14]}
    split = split_samples(samples, rng, history=History(frozenset(seen)))
    assert set(names(split.held_out)) < {"14", "15"}
    assert len(split.training) == 15
    all_seen = History(frozenset(sample.digest for sample in samples))
    assert split_samples(samples, rng, history=all_seen).held_out == []


def test_the_seed_decides_the_split():
    assert split(made(16), 3) == split(made(16), 3)
    assert len({tuple(split(made(16), seed)[1]) for seed in range(10)}) > 1


def of_groups(**sizes: int) -> list[TrainingSample]:
    """Slices of volumes, each slice another picture."""
    full, count = np.ones((8, 8), bool), iter(range(1000))
    return [
        TrainingSample(np.full((8, 8), next(count)), full, f"{group} {number}", group)
        for group, size in sizes.items()
        for number in range(size)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_whole_volumes_are_held_out_where_there_are_three_or_more(seed):
    split = split_samples(of_groups(a=8, b=6, c=7, d=9), np.random.default_rng(seed))
    held_out = {sample.group for sample in split.held_out}
    assert len(held_out) == 1
    assert held_out.isdisjoint(sample.group for sample in split.training)
    assert not split.leaks


@pytest.mark.parametrize("sizes", [{"a": 20}, {"a": 10, "b": 10}])
def test_where_no_volume_can_be_spared_neighbours_are_held_out_and_it_is_said(sizes):
    for seed in range(5):
        samples = of_groups(**sizes)
        split = split_samples(samples, np.random.default_rng(seed))
        places = [[s is sample for s in samples].index(True) for sample in split.held_out]
        assert len(places) == len(samples) // 8
        assert places == list(range(places[0], places[0] + len(places)))
        assert split.leaks


def test_a_volume_the_model_has_met_is_not_held_out():
    samples = of_groups(a=8, b=6, c=7, d=3, e=3)
    history = History(frozenset(s.digest for s in samples if s.group not in ("d", "e")))
    for seed in range(5):
        split = split_samples(samples, np.random.default_rng(seed), history=history)
        assert {sample.group for sample in split.held_out} in ({"d"}, {"e"})
        assert not split.leaks


def test_what_was_accepted_as_predicted_is_held_out_with_its_volume_at_most_and_never_tells():
    plain = of_groups(a=20)
    samples = [replace(sample, is_as_predicted=i % 4 > 0) for i, sample in enumerate(plain)]
    for seed in range(5):
        split = split_samples(samples, np.random.default_rng(seed))
        assert len(split.held_out) == 2
        assert not any(sample.is_as_predicted for sample in split.held_out)
    all_accepted = [replace(sample, is_as_predicted=True) for sample in plain]
    assert split_samples(all_accepted, np.random.default_rng(0)).held_out == []
    volumes = [
        replace(sample, is_as_predicted=i % 2 > 0)
        for i, sample in enumerate(of_groups(a=8, b=8, c=8, d=8))
    ]
    split = split_samples(volumes, np.random.default_rng(0))
    assert len({sample.group for sample in split.held_out}) == 1
    assert [sample.is_as_predicted for sample in split.held_out] == [False, True] * 4
    assert not any(sample.is_as_predicted for sample in split.scored)
    assert len(split.scored) == 4


def test_what_was_accepted_as_predicted_keeps_no_corrected_slice_from_being_held_out():
    plain = of_groups(a=8, b=8, c=8, d=8)
    samples = [replace(one, is_as_predicted=one.group in ("a", "b")) for one in plain]
    for seed in range(20):
        split = split_samples(samples, np.random.default_rng(seed))
        assert {sample.group for sample in split.held_out} in ({"c"}, {"d"})
        assert not split.leaks
    # One of ten that were held out tells; of the new ones others are held out beside it.
    before = [replace(one, is_as_predicted=i % 10 > 0) for i, one in enumerate(of_groups(a=10))]
    rest = [replace(one, is_as_predicted=True) for one in of_groups(b=22)[10:]]
    new = of_groups(e=72)[32:]
    history = History(
        frozenset(one.digest for one in rest), frozenset(one.digest for one in before)
    )
    split = split_samples([*before, *rest, *new], np.random.default_rng(0), history=history)
    assert len(split.scored) == (10 + 12 + 40) // 8


@pytest.mark.parametrize("sizes", [(12, 12, 12), (12, 8, 6), (8, 6, 5, 4, 4), (6, 6, 6, 2)])
def test_of_the_image_that_was_just_corrected_most_slices_are_learned_from(sizes):
    samples = of_groups(**dict(zip("abcde", sizes, strict=False)))
    trained_on, held_out = set(), set()
    for group in dict.fromkeys(sample.group for sample in samples):
        known = [sample for sample in samples if sample.group <= group]
        history = History(frozenset(trained_on), frozenset(held_out))
        split = split_samples(known, np.random.default_rng(0), history=history)
        new = [sample.group == group for sample in split.held_out]
        assert sum(new) <= sum(sample.group == group for sample in known) // 2
        trained_on |= {sample.digest for sample in split.training}
        held_out = {sample.digest for sample in split.held_out}


def test_earlier_samples_are_those_its_parent_met_spread_over_all():
    mask = np.ones((4, 4), bool)
    samples = [TrainingSample(np.full((4, 4), n), mask, str(n)) for n in range(60)]
    digests = [sample.digest for sample in samples]
    met = History(frozenset(digests[:40]), frozenset(digests[40:50]))
    found = [int(sample.name) for sample in earlier_samples(samples, met)]
    assert len(found) == 16
    assert (found[0], found[-1]) == (0, 49)
    assert max(np.diff(found)) <= 4
    few = History(frozenset(digests[2:5]))
    assert names(earlier_samples(samples, few)) == ["2", "3", "4"]
    assert earlier_samples(samples, History()) == []
