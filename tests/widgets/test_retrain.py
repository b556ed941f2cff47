"""Retraining from the dock: real processes, real weights, the real button."""

import os
import signal

import numpy as np
import pytest
from qtpy.QtCore import QTimer

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.engine.trainer import Trainer
from napari_sam_adapter.metrics import dice
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.versions.adapter_store import AdapterStore
from napari_sam_adapter.widgets.retrain import adoption


@pytest.fixture
def corrected(person, polyps):
    """A person who has corrected four slices."""
    person.predict_all()
    for position in range(4):
        person.correct(position, polyps.masks[position])
    person.go_to(0)
    return person


@pytest.fixture
def with_own_process(corrected):
    """The same person, whose training process no other test has and none takes over."""
    corrected.controller.session.trainer = Trainer()
    return corrected


def process_is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_retraining_makes_a_version_that_predicts_better_and_leaves_no_process(
    with_own_process, polyps, end_after
):
    end_after(60)
    person = with_own_process
    person.go_to(6)
    before = dice(person.labels.data[6] > 0, polyps.masks[6] > 0)
    person.retrain(gear="quick", minutes=30)
    person.wait(lambda: person.controller.session.trainer.pid is not None)
    pid = person.controller.session.trainer.pid
    assert person.dock.retrain_panel.button.text() == "Stop"
    person.wait_for_training()
    assert person.controller.session.in_use.version.number == 1
    row = person.dock.versions_panel.list.currentItem()
    assert [row.text(column) for column in (0, 1)] == ["● v1", "4"]
    # The slice in view was predicted anew, by the new version.
    adapter_id = person.controller.session.in_use.version.card.adapter_id
    person.wait(lambda: person.tracker.adapter_of((6,)) == adapter_id)
    after = dice(person.labels.data[6] > 0, polyps.masks[6] > 0)
    assert after > before + 0.1
    assert person.dock.retrain_panel.button.text() == "Retrain"
    person.wait(lambda: process_is_gone(pid))


def test_the_window_predicts_and_stays_live_while_training_runs(corrected):
    person = corrected
    person.begin_training(gear="full")
    ticks = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start(5)
    person.go_to(7)
    person.predict()
    assert person.tracker.state((7,)) is SliceState.PREDICTED
    # How long the gaps are is measured by bench/window_gaps.py; here: ticks keep coming.
    n_steps = len(person.dock.retrain_panel.curve.losses)
    person.wait(lambda: len(ticks) > 50)
    person.wait(lambda: len(person.dock.retrain_panel.curve.losses) > n_steps)
    timer.stop()
    assert person.controller.retraining.is_running
    person.stop_training()


def test_stop_keeps_the_best_state_as_a_version(corrected):
    person = corrected
    person.begin_training()
    person.dock.retrain_panel.button.click()
    assert not person.dock.retrain_panel.button.isEnabled()
    person.wait_for_training()
    version = person.controller.session.in_use.version
    assert version.number == 1
    assert version.card.training["ended"] == "stopped"
    load_adapter(version.path)
    assert person.dock.retrain_panel.button.isEnabled()


@pytest.mark.troubled
def test_training_killed_from_outside_is_reported_and_can_be_started_again(corrected):
    person = corrected
    person.begin_training()
    os.kill(person.controller.session.trainer.pid, signal.SIGKILL)
    person.wait(lambda: not person.controller.retraining.is_running)
    assert "killed by signal 9" in person.message
    assert "The version in use has not changed" in person.message
    assert person.controller.session.in_use.version is None
    person.retrain()
    person.wait_for_training()
    assert person.controller.session.in_use.version.number == 1


def test_a_folder_that_takes_no_version_is_told_at_once_and_the_button_works_again(corrected):
    person = corrected
    store = person.controller.session.store
    store.folder.parent.joinpath("file").write_text("not a folder")
    person.controller.session.store = AdapterStore(store.folder.parent / "file")
    person.retrain()
    person.wait_for_training()
    assert "could not be written" in person.message
    assert person.controller.session.in_use.version is None
    assert person.dock.retrain_panel.button.text() == "Retrain"
    assert person.dock.retrain_panel.button.isEnabled()


def test_closing_the_window_asks_and_ends_the_training_process(corrected):
    person = corrected
    person.begin_training()
    pid = person.controller.session.trainer.pid
    manager = person.viewer.window._task_status_manager
    assert any("retraining the adapter" in text for text in manager.get_status())
    manager.cancel_all()  # what napari does once the person has confirmed
    person.wait(lambda: process_is_gone(pid))
    person.wait(lambda: not person.controller.retraining.is_running)
    assert person.controller.session.store.versions() == []


def test_removing_the_layers_while_training_runs_still_makes_the_version(corrected):
    person = corrected
    person.begin_training()
    person.viewer.layers.clear()
    person.stop_training()
    assert person.controller.session.in_use.version.number == 1


def test_retraining_says_what_it_made_and_never_changes_what_was_corrected(corrected, polyps):
    person = corrected
    human = {z: person.tracker.human_pixels((z,), person.labels.data[z]) for z in range(4)}
    person.retrain()
    person.wait_for_training()
    person.settle()
    # What training has said stays readable.
    assert person.message.startswith("v1 is trained and in use; Predict all ")
    person.predict_all()
    for z, mask in human.items():
        np.testing.assert_array_equal(person.labels.data[z][mask], polyps.masks[z][mask])


def test_the_next_version_continues_from_the_one_in_use_at_its_size_or_another(corrected):
    person = corrected
    panel = person.dock.retrain_panel
    panel.size_box.value = 192
    person.retrain()
    person.wait_for_training()
    assert person.controller.session.in_use.version.card.input_size == 192
    assert panel.size_box.value == 192
    panel.size_box.value = 128
    person.retrain()
    person.wait_for_training()
    assert person.controller.session.in_use.version.card.input_size == 128
    assert person.controller.session.in_use.version.number == 2
    first, second = person.controller.session.store.versions()
    assert second.card.parent_id == first.card.adapter_id
    assert "trained from v1" in person.dock.versions_panel.list.topLevelItem(0).toolTip(0)


def test_stop_at_once_is_heard(corrected):
    person = corrected
    person.retrain(gear="quick", minutes=30)
    person.dock.retrain_panel.button.click()
    person.wait_for_training()
    assert "stopped before its first step" in person.message
    assert person.dock.retrain_panel.button.isEnabled()
    assert person.dock.retrain_panel.button.text() == "Retrain"


def test_a_file_taken_in_while_training_runs_keeps_its_number(corrected, adapter_file):
    person = corrected
    person.begin_training()
    person.dock.versions_panel.load_requested.emit(adapter_file)
    person.stop_training()
    first, second = person.controller.session.store.versions()
    assert first.path.read_bytes() == adapter_file.read_bytes()
    assert second.card.gear == "quick"


def test_what_a_person_chose_while_training_ran_stays_in_use_as_it_was_not_compared(
    corrected, adapter_file
):
    person = corrected
    person.begin_training(gear="auto")
    person.dock.versions_panel.load_requested.emit(adapter_file)
    person.stop_training()
    assert person.controller.session.in_use.version.number == 1
    assert "v2 is trained, and v1 stays in use: you have chosen that" in person.message
    person.dock.versions_panel.choose(2)
    assert person.controller.session.in_use.version.number == 2


def test_it_is_said_that_no_gear_follows_where_another_model_was_chosen_meanwhile(
    corrected, adapter_file
):
    person = corrected
    person.retrain(gear="auto", minutes=1)
    person.wait(lambda: len(person.dock.retrain_panel.curve.losses) >= 1)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    person.wait_for_training()
    assert len(person.controller.session.store.versions()) == 2
    assert "late was to follow, and does not" in person.message


def test_a_version_of_the_base_model_before_is_kept_though_another_one_is_chosen_meanwhile(
    corrected,
):
    person = corrected
    person.begin_training()
    person.controller.session.choose_base("mobile_sam")
    person.stop_training()
    (version,) = person.controller.session.store.versions()
    assert person.controller.session.in_use.version is None
    assert f"v{version.number} is trained, and the base model stays in use" in person.message
    assert not person.dock.retrain_panel.unfinished.isVisibleTo(person.dock)


def gears_of(person) -> list[str]:
    versions = person.controller.session.store.versions()
    by_number = sorted(versions, key=lambda version: version.number)
    return [version.card.training["gear_of_this_run"] for version in by_number]


def wait_for_versions(person, count: int):
    person.wait(lambda: len(person.controller.session.store.versions()) >= count)
    person.wait_for_training()


def test_the_gears_follow_each_other_while_they_gain_something(with_own_process, monkeypatch):
    corrected = with_own_process
    monkeypatch.setattr(adoption, "LEAST_GAIN", -2.0)
    said = []
    controller, pids = corrected.controller, set()
    controller.said.connect(lambda sentence, problem: said.append(sentence))
    controller.retraining.reported.connect(lambda _: pids.add(controller.session.trainer.pid))
    corrected.retrain(gear="auto", minutes=0.05)
    wait_for_versions(corrected, 3)
    assert gears_of(corrected) == ["quick", "late", "full"]
    (pid,) = pids - {None}
    # One process took all gears, and none waits for more.
    corrected.wait(lambda: process_is_gone(pid))
    assert sum("late goes on from it, and Stop ends that" in sentence for sentence in said) == 1
    assert sum("full goes on from it, and Stop ends that" in sentence for sentence in said) == 1
    versions = {v.number: v for v in corrected.controller.session.store.versions()}
    assert versions[3].card.parent_id == versions[2].card.adapter_id
    rates = [versions[n].card.training["config"]["adapter_learning_rate"] for n in (1, 2, 3)]
    assert rates == [1e-3, 1e-3, 2.5e-4], "full forgets less of what late has learned"


def test_that_no_gear_follows_as_another_image_is_chosen_is_said(corrected, polyps, monkeypatch):
    monkeypatch.setattr(adoption, "LEAST_GAIN", -2.0)
    other = corrected.viewer.add_image(polyps.frames[0].copy(), name="other", rgb=True)
    corrected.dock.layers_panel.image_box.value = corrected.viewer.layers["image"]
    corrected.retrain(gear="auto", minutes=0.05)
    corrected.dock.layers_panel.image_box.value = other
    wait_for_versions(corrected, 1)
    corrected.settle()
    assert gears_of(corrected) == ["quick"]
    assert "Training ends here, with v1: late was to follow" in corrected.message


def test_the_gears_go_on_though_other_pixels_are_put_into_the_image(corrected, monkeypatch):
    monkeypatch.setattr(adoption, "LEAST_GAIN", -2.0)
    image = corrected.viewer.layers["image"]
    corrected.retrain(gear="auto", minutes=0.05)
    image.data = image.data[..., ::-1].copy()
    wait_for_versions(corrected, 2)
    assert gears_of(corrected)[:2] == ["quick", "late"]


@pytest.fixture
def gains_nothing(corrected, polyps, monkeypatch):
    """A person with slices enough for one to be held out, of whom no gear gains anything."""
    monkeypatch.setattr(adoption, "LEAST_GAIN", 2.0)
    for position in (4, 5):
        corrected.correct(position, polyps.masks[position])
    return corrected


def test_a_gear_that_gains_nothing_is_the_last(gains_nothing, monkeypatch):
    monkeypatch.setattr(adoption, "ENOUGH", 1)
    # Of which quick gets five seconds: the held-out slice is scored before the first step.
    gains_nothing.retrain(gear="auto", minutes=1)
    wait_for_versions(gains_nothing, 1)
    gains_nothing.settle()
    assert gears_of(gains_nothing) == ["quick"]
    assert "no gain, so training ends here" in gains_nothing.message
    assert gains_nothing.dock.retrain_panel.button.text() == "Retrain"


def test_few_held_out_slices_do_not_end_the_gears(gains_nothing):
    gains_nothing.retrain(gear="auto", minutes=0.2)
    # Not full: after seconds of training, the promotion gate may well hold late's version back.
    wait_for_versions(gains_nothing, 2)
    assert gears_of(gains_nothing)[:2] == ["quick", "late"]


def test_stop_ends_all_gears(corrected, monkeypatch):
    monkeypatch.setattr(adoption, "LEAST_GAIN", -2.0)
    corrected.begin_training(gear="auto")
    corrected.dock.retrain_panel.button.click()
    wait_for_versions(corrected, 1)
    corrected.settle()
    assert gears_of(corrected) == ["quick"]
    assert "best state before you stopped" in corrected.message
