"""What the dock says of a run: a few short sentences, in plain words."""

from pathlib import Path

import pytest

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.project.retrain_words import gains_no_more, goes_on, held_back, summary
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.versions.adapter_version import AdapterVersion


@pytest.fixture
def version():
    """Return a function that makes a version of so many held-out slices."""

    def make(n, before=0.5, after=0.7, *, leaks=False):
        training = {
            "ended": "completed",
            "held_out_dice_before": before if n else None,
            "held_out_dice_after": after if n else None,
            "held_out_scores": [[f"scan, slice {z}", before, after] for z in range(n)],
            "held_out_leaks": leaks,
        }
        card = AdapterCard(
            adapter_id="a",
            base_model="lite_medsam",
            base_sha256="",
            gear="quick",
            input_size=256,
            normalisation="min-max",
            standing_prompt="none",
            class_names=("object",),
            adapter=base_model("lite_medsam").adapter,
            training=training,
        )
        return AdapterVersion(2, Path("adapter-0002.safetensors"), card)

    return make


def test_a_plain_score_is_said_in_two_sentences_with_the_next_step(version):
    assert summary(version(8)) == (
        "v2 is trained and in use; Predict all uses it on the other slices. Dice on 8 held-out "
        "slices: 0.50 before, 0.70 after."
    )


def test_a_score_of_a_volume_that_was_learned_from_is_said_to_be_too_kind(version):
    assert summary(version(8, leaks=True)).endswith(
        " These scores are too kind: the slices are of images that it learned from, too."
    )
    assert "too kind" in goes_on(version(1, leaks=True), "late")


def test_a_run_that_ends_by_itself_is_not_said_to_go_on_until_it_is_stopped(version):
    assert goes_on(version(8), "late").startswith(
        "v2 is trained and in use; late goes on from it, and Stop ends that. Dice on 8 "
    )


def test_one_held_out_slice_is_said_to_say_little(version):
    assert summary(version(1)).endswith("0.70 after. One slice says little.")
    assert "says little" in summary(version(1, leaks=True))
    assert summary(version(3)).endswith("3 slices say little.")


@pytest.mark.parametrize("leaks", [False, True])
@pytest.mark.parametrize("n", [0, 1, 3, 8])
def test_nothing_takes_more_than_three_sentences(version, n, leaks):
    made = version(n, leaks=leaks)
    fallen = version(max(n, 1), 0.9, 0.1, leaks=leaks)
    told = summary(made), goes_on(made, "late"), gains_no_more(made), held_back(fallen, "v1")
    for said in told:
        assert said.endswith(".")
        assert said.count(". ") <= 2


def test_a_version_that_is_held_back_is_told_with_why_and_what_to_do(version):
    assert held_back(version(6, 0.9, 0.1), "v1") == (
        "v2 is held back, and v1 stays in use. Dice fell by 0.80 on 6 held-out slices, most on "
        '"scan, slice 0" (−0.80). Correct more and retrain, or click v2 in the list of versions to '
        "use it all the same."
    )
