"""The demo's loop without a window."""

import json

import numpy as np
import pytest
from PIL import Image

from napari_sam_adapter.demo import (
    DemoData,
    DemoProgress,
    DemoRound,
    run_demo,
    synthetic_demo_data,
)
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.sam.checkpoint import load_adapter


def shortened(data: DemoData, count: int) -> DemoData:
    return DemoData(data.images[:count], data.masks[:count], data.names[:count], data.source)


@pytest.fixture(scope="module")
def data(stack) -> DemoData:
    masks = [mask.astype(bool) for mask in stack.masks]
    names = [f"frame {index}" for index in range(len(masks))]
    return shortened(DemoData(list(stack.frames), masks, names, "tests"), 8)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "new folder"
    return out, list(run_demo(data, out, seconds_per_round=2.0, device="cpu"))


def rounds_of(events) -> list[DemoRound]:
    return [event for event in events if isinstance(event, DemoRound)]


def test_the_demo_runs_two_rounds(finished):
    first, second = rounds_of(finished[1])
    assert (first.round, second.round) == (1, 2)
    assert 0 < first.corrected_slices < second.corrected_slices


def test_scores_of_a_round_begin_where_those_of_the_last_ended(finished):
    first, second = rounds_of(finished[1])
    assert second.dice_before == first.dice_after
    assert all(0 <= one.pixels_to_correct <= 1 for one in (first, second))


def test_progress_is_told_in_words_and_shares(finished):
    progress = [event for event in finished[1] if isinstance(event, DemoProgress)]
    assert progress
    assert all(event.message and 0 <= event.share <= 1 for event in progress)


def test_the_report_tells_the_rounds_and_that_corrections_were_simulated(finished, data):
    report = json.loads((finished[0] / "report.json").read_text())
    assert report["corrections"] == "simulated from the ground truth"
    assert report["source"] == data.source
    assert [one["dice_after"] for one in report["rounds"]] == [
        one.dice_after for one in rounds_of(finished[1])
    ]


def test_held_out_slices_are_never_trained_on(finished):
    out, events = finished
    held_out = json.loads((out / "report.json").read_text())["held_out"]
    for one in rounds_of(events):
        trained_on = load_adapter(out / one.adapter)[1].training["slices"]
        assert len(trained_on) == one.corrected_slices
        assert not set(trained_on) & set(held_out)


def test_each_round_continues_from_the_one_before(finished):
    out, events = finished
    first, second = (load_adapter(out / one.adapter)[1] for one in rounds_of(events))
    assert (first.parent_id, second.parent_id) == ("", first.adapter_id)


def test_the_contact_sheet_is_a_picture(finished):
    with Image.open(finished[0] / "contact-sheet.png") as sheet:
        assert min(sheet.size) > 300
        assert np.asarray(sheet).std() > 5


def test_too_few_slices_are_refused(data, tmp_path):
    with pytest.raises(ImageError, match="at least 8 slices with masks, found 7"):
        list(run_demo(shortened(data, 7), tmp_path))


def test_the_demos_own_data_call_themselves_synthetic():
    data = synthetic_demo_data(8)
    assert "synthetic" in data.source
    assert len(data.images) == len(data.masks) == len(data.names) == 8
    assert all(mask.dtype == bool and mask.any() for mask in data.masks)
