"""What ``project show`` tells of a mask explains it, and agrees with what the dock shows."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from napari_sam_adapter.cli import main
from napari_sam_adapter.engine.predictor import Predictor
from napari_sam_adapter.project.journal import read_journal


@pytest.fixture
def volume():
    return np.random.default_rng(0).integers(0, 255, (9, 64, 64)).astype(np.uint8)


@pytest.fixture
def two_objects(monkeypatch):
    """Let the model mark two objects everywhere; helped predictions ask for its logits."""

    def predict_logits(self, image, model):
        logits = np.full((1, *image.shape[:2]), -9.0, np.float32)
        logits[:, 10:20, 10:20] = logits[:, 40:50, 40:50] = 9.0
        return logits, ""

    monkeypatch.setattr(Predictor, "predict_logits", predict_logits)


def shown(folder, capsys):
    """``project show`` of the only image: as JSON, and as text without its line breaks."""
    capsys.readouterr()
    outputs = []
    for options in (["--json"], []):
        with pytest.raises(SystemExit):
            main(["project", "show", str(folder), *options])
        outputs.append(capsys.readouterr().out)
    (image,) = json.loads(outputs[0])["images"]
    return image, outputs[1]


def made_with(image, z):
    (one,) = [one for one in image["slices"] if one["index"] == [z]]
    return one["made_with"]


def disk(radius=10):
    rows, columns = np.indices((64, 64))
    return (np.hypot(rows - 32, columns - 32) <= radius).astype(np.uint8)


def test_help_its_settings_and_the_slices_it_leaned_on_are_told_also_on_another_day(
    open_person, volume, two_objects, folder, capsys
):
    person = open_person(volume, scale=(2, 1, 1))
    person.predict()
    person.wait_for_record()
    person.correct(1, disk())
    person.correct(6, disk())
    person.dock.help_panel.smooth_box.setValue(0.3)
    person.dock.help_panel.heed_box.setChecked(True)
    person.dock.predict_panel.number_box.setChecked(True)
    person.predict_all()
    person.dock.shutdown()
    image, text = shown(folder, capsys)
    told = made_with(image, 3)
    as_of = told.pop("as_of")
    assert told == {
        "base": "lite_medsam",
        "smooth": 0.3,
        "heeded": [[1], [6]],
        "spacing": [2.0, 1.0, 1.0],
        "numbered": True,
    }
    events = read_journal(next(folder.glob("images/*/journal.jsonl"))).events
    last_correction = max(event.at for event in events if event.do == "painted")
    first_of_the_run = min(event.at for event in events if "heeded" in event.details)
    assert last_correction <= as_of <= first_of_the_run
    assert made_with(image, 8)["heeded"] == [[6]]
    words = " ".join(text.replace("│", " ").split())
    assert "smoothed across" in words
    person.viewer.layers.clear()
    again = open_person(volume, scale=(2, 1, 1))
    again.wait_for_record()
    assert again.tracker.history_of((3,)).now.made_with == {**told, "as_of": as_of}


def test_the_first_prediction_of_an_image_is_explained_though_its_record_opened_after_it(
    open_person, volume, two_objects, folder, capsys
):
    person = open_person(volume)
    person.dock.help_panel.smooth_box.setValue(1.0)
    person.predict()
    person.wait_for_record()
    person.dock.shutdown()
    assert made_with(shown(folder, capsys)[0], 0) == {"base": "lite_medsam", "smooth": 1.0}


def test_a_prediction_that_was_undone_gives_way_to_how_the_one_before_was_made(
    open_person, volume, two_objects, folder, capsys
):
    person = open_person(volume)
    person.predict()
    person.wait_for_record()
    person.dock.help_panel.smooth_box.setValue(1.0)
    person.predict()
    person.undo()
    person.dock.shutdown()
    assert made_with(shown(folder, capsys)[0], 0) == {"base": "lite_medsam"}


def test_a_filled_slice_names_the_corrected_ones_on_either_side(
    open_person, volume, folder, capsys
):
    person = open_person(volume)
    person.wait_for_record()
    layer = person.viewer.add_labels(np.zeros(volume.shape, np.uint8), name="mine")
    person.dock.layers_panel.labels_box.value = layer
    person.wait_for_record()
    for z in (0, 4, 8):
        person.correct(z, disk())
    person.dock.correct_panel.fill_button.click()
    person.wait(lambda: not person.controller.prediction.is_running)
    person.dock.shutdown()
    image, text = shown(folder, capsys)
    told = made_with(image, 5)
    events = read_journal(next(folder.glob("images/*/journal.jsonl"))).events
    corrected = max(event.at for event in events if event.do == "painted")
    assert corrected <= told.pop("as_of") <= events[-1].at
    assert told == {"between": [[4], [8]], "spacing": [1.0, 1.0]}
    assert made_with(image, 4) == {}
    assert "interpolation" in text


def test_it_is_told_where_a_slice_was_predicted_in_bf16(open_polyps, folder, capsys, monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_ADAPTER_BF16", "1")
    predictor = Predictor()
    person = open_polyps(own_predictor=predictor)
    person.predict()
    person.wait_for_record()
    person.dock.shutdown()
    image, text = shown(folder, capsys)
    assert made_with(image, 0) == {"base": "lite_medsam", "bf16": True}
    assert "bf16" in text


def test_views_are_told_where_an_adapter_looks_twice(
    open_polyps, turned_adapter_file, folder, capsys
):
    person = open_polyps()
    person.controller.versions.load_file(turned_adapter_file)
    person.predict()
    person.wait_for_record()
    person.dock.shutdown()
    assert made_with(shown(folder, capsys)[0], 0) == {"views": 2}


def test_rounds_are_the_same_in_the_dock_and_in_project_show(open_polyps, polyps, folder, capsys):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    for z in range(2):
        person.correct(z, polyps.masks[z].astype(np.uint8))
    with person.labels.block_history():
        person.paint(1, 20, 20)
        person.paint(1, 60, 60)
    person.retrain()
    person.paint(2)
    person.wait_for_training()
    person.undo()
    person.labels.n_edit_dimensions = 3
    person.paint(4)
    person.dock.correct_panel.accept_button.click()
    in_dock = [
        {"slices": len(one.slices), **asdict(one.effort)} for one in person.dock.effort_plot.rounds
    ]
    person.dock.shutdown()
    image, _ = shown(folder, capsys)
    assert len(in_dock) == 2
    for told, seen in zip(image["rounds"], in_dock, strict=True):
        assert told == {**seen, "seconds": pytest.approx(seen["seconds"])}
