"""Slices beside the one in view are encoded ahead, and nobody waits for that."""

import os
import signal
import threading

import numpy as np
import pytest
from napari.settings import get_plugin_settings
from npe2 import PluginManager, PluginManifest

from napari_sam_adapter.data.lazy import LazyStack
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.engine.predictor import Predictor
from napari_sam_adapter.widgets.jobs import QuietJob
from napari_sam_adapter.widgets.predict import ahead_of_slider
from napari_sam_adapter.widgets.predict.ahead_of_slider import REST_MS

NAME = "napari-sam-adapter"


class WatchedPredictor(Predictor):
    """Notes what it was asked for, and what came of it."""

    def __init__(self):
        super().__init__()
        self.ahead, self.replies = [], []

    @property
    def pid(self):
        return self._process.pid

    @property
    def is_encoding(self):
        return self._turns.is_working_ahead

    def encode_ahead(self, image, model):
        done = super().encode_ahead(image, model)
        self.ahead.append((image.copy(), done))
        return done

    def predict(self, *given):
        self.replies.append(super().predict(*given))
        return self.replies[-1]

    def slices_ahead(self, stack):
        """Return which slices of a stack were encoded."""
        return [
            z
            for image, done in self.ahead
            for z, one in enumerate(stack)
            if done and np.array_equal(image, one)
        ]


@pytest.fixture(scope="module")
def frames():
    return synthetic_polyps(9, (96, 96), seed=11).frames


@pytest.fixture
def watcher():
    watched = WatchedPredictor()
    yield watched
    watched.close()


@pytest.fixture
def open_watched(open_person, watcher):
    """Return a function that opens a stack with a prediction process of the test's own."""
    return lambda image: open_person(image, own_predictor=watcher, rgb=True)


def rest(person):
    ahead = person.controller.ahead
    person.wait(lambda: not ahead.work.is_waiting and not ahead.work.is_running)


def test_after_resting_on_a_slice_its_neighbours_are_not_encoded_anew(
    open_watched, frames, watcher
):
    person = open_watched(frames)
    person.predict()
    assert not watcher.replies[-1].cached
    person.go_to(3)
    rest(person)
    for z in (4, 2, 3):
        person.go_to(z)
        person.predict()
        assert watcher.replies[-1].index == (z,)
        assert watcher.replies[-1].cached, z
    person.go_to(8)
    person.predict()
    assert not watcher.replies[-1].cached, "nobody could know"


def test_the_neighbour_ahead_comes_before_the_one_behind(open_watched, frames, watcher):
    person = open_watched(frames)
    person.predict()
    person.go_to(2)
    rest(person)
    watcher.ahead.clear()
    person.go_to(1)
    rest(person)
    assert person.controller.next_slice.suggested() == (4,)
    assert watcher.slices_ahead(frames) == [1, 0, 2, 4]


def test_moving_quickly_through_the_stack_sends_nothing(open_watched, frames, watcher, monkeypatch):
    person = open_watched(frames)
    person.predict()
    rest(person)
    watcher.ahead.clear()
    timer, starts = person.controller.ahead.work.timer, []
    timer.setInterval(600_000)  # a slow machine moves slowly
    start = timer.start
    monkeypatch.setattr(timer, "start", lambda: starts.append(1) or start())
    for z in (1, 2, 3, 4, 5, 6, 7, 8, 7, 6):
        n_starts = len(starts)
        person.go_to(z)
        person.wait(lambda n=n_starts: len(starts) > n)  # the wait begins anew with each slice
    assert watcher.ahead == []


def test_a_request_of_the_person_waits_for_no_queue(open_watched, frames, watcher):
    person = open_watched(frames)
    person.predict()
    rest(person)
    os.kill(watcher.pid, signal.SIGSTOP)  # or it may be done before anybody looks
    person.go_to(4)
    person.wait(lambda: watcher.is_encoding)
    n_ended = len(watcher.ahead)
    person.go_to(8)
    os.kill(watcher.pid, signal.SIGCONT)
    person.predict()
    assert watcher.replies[-1].index == (8,)
    assert len(watcher.ahead) <= n_ended + 1, "more than the slice under way came first"


def test_nothing_is_encoded_ahead_while_a_training_run_computes(
    open_watched, frames, watcher, qtbot
):
    person = open_watched(frames)
    person.predict()
    person.paint(0)
    rest(person)
    person.retrain(minutes=30)
    watcher.ahead.clear()
    person.go_to(4)
    qtbot.wait(3 * REST_MS)
    assert person.controller.retraining.is_running
    assert watcher.ahead == []
    person.wait(lambda: bool(person.dock.retrain_panel.curve.losses))
    person.stop_training()
    person.wait(lambda: watcher.slices_ahead(frames)[:2] == [4, 5])


def test_slices_on_a_disk_are_encoded_ahead_like_those_in_memory(open_watched, frames, watcher):
    lazy = LazyStack(frames.shape, frames.dtype, lambda index: frames[index], is_colour=True)
    person = open_watched(lazy)
    person.predict()
    person.go_to(4)
    rest(person)
    assert watcher.slices_ahead(frames)[:3] == [4, 5, 3]


def test_where_reading_is_slow_one_slice_is_read_ahead_and_no_more(
    open_watched, frames, watcher, qtbot, monkeypatch
):
    monkeypatch.setattr(ahead_of_slider, "SLOW_SECONDS", -1.0)
    person = open_watched(frames)
    person.predict()
    person.go_to(4)
    rest(person)
    person.go_to(6)
    qtbot.wait(3 * REST_MS)
    assert len(watcher.ahead) == 1
    person.predict()
    assert len(watcher.replies) == 2


def test_the_preference_turns_it_off(plugin_settings, open_watched, frames, watcher, qtbot):
    manager = PluginManager.instance()
    if NAME not in manager:
        manager.register(PluginManifest.from_distribution(NAME))
    get_plugin_settings(NAME).computing.encode_ahead = False
    person = open_watched(frames)
    person.predict()
    person.go_to(4)
    qtbot.wait(3 * REST_MS)
    assert watcher.ahead == []


def test_an_error_is_silent_and_not_tried_again_until_the_slider_moves(
    open_watched, frames, watcher, qtbot
):
    flat = frames.copy()
    flat[3] = 7  # no contrast: nothing can be predicted
    person = open_watched(flat)
    person.predict()
    rest(person)
    said = person.message
    asked = []
    original = watcher.encode_ahead
    watcher.encode_ahead = lambda *given: asked.append(1) or original(*given)
    person.go_to(3)
    qtbot.wait(4 * REST_MS)
    rest(person)
    assert person.message == said
    assert len(asked) == 1


def test_closing_while_a_slice_is_encoded_leaves_no_process(open_watched, frames, watcher):
    person = open_watched(frames)
    person.predict()
    rest(person)
    pid = watcher.pid
    os.kill(pid, signal.SIGSTOP)  # or it may be done before anybody looks
    person.go_to(4)
    person.wait(lambda: watcher.is_encoding)
    person.dock.shutdown()
    person.wait(lambda: not person.controller.ahead.work.is_running)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not any(one.name == "quiet job" for one in threading.enumerate())


def test_what_a_quiet_job_raises_ends_it_with_nothing(wait):
    found = []
    job = QuietJob(lambda: 1 / 0)
    job.finished.connect(found.append)
    job.start()
    wait(lambda: bool(found))
    assert found == [None]
