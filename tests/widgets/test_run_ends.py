"""However a run ends, another one can be begun, and what may go on is on offer."""

from unittest.mock import MagicMock

import pytest

from napari_sam_adapter.errors import TrainingError
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.run_folder import RunFolder, RunPart, RunPlan, unfinished_runs
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.widgets.retrain import retraining
from napari_sam_adapter.widgets.retrain.retraining import Retraining

PLAN = RunPlan(
    run="one",
    parts=(RunPart("image-0123456789", 1, ((0,),), "|u1"),),
    base="lite_medsam",
    parent="",
    config=TrainingConfig().to_dict(),
)


class Window:
    """The retraining of a window without a dock, and what it tells."""

    def __init__(self, project):
        session = MagicMock()
        session.project, session.trainer.last_log = project, ""
        self.retraining = Retraining(session, MagicMock(), MagicMock())
        self.said, self.changed = [], []
        self.retraining.said.connect(lambda sentence, problem: self.said.append(sentence))
        self.retraining.changed.connect(self.changed.append)


@pytest.fixture
def project(folder):
    project = Project(folder)
    project.create()
    return project


@pytest.fixture
def window(qtbot, project):
    return Window(project)


@pytest.fixture
def training(monkeypatch):
    """Return the steps of runs: functions that are called instead of training."""
    steps = []

    def train(trainer, start, request):
        for step in steps:
            step()
        yield from ()

    monkeypatch.setattr(retraining, "train", train)
    monkeypatch.setattr(retraining, "request_of", lambda project, run: None)
    return steps


def fail():
    raise TrainingError("The memory is full.")


def resume_to_the_end(window, qtbot):
    window.retraining.resume()
    qtbot.waitUntil(lambda: not window.retraining.is_running)


def test_a_run_that_ends_while_the_drive_does_not_answer_can_be_followed_by_another(
    window, project, training, silent_drive, qtbot
):
    RunFolder(project.folder, PLAN).leave()
    training.append(lambda: silent_drive.add(project.folder))
    resume_to_the_end(window, qtbot)
    assert window.changed == [True, False]
    silent_drive.clear()
    assert unfinished_runs(project.folder) == [PLAN]


def test_a_resumed_run_that_fails_before_its_first_checkpoint_stays_on_offer(
    window, project, training, qtbot
):
    RunFolder(project.folder, PLAN).leave()
    training.append(fail)
    resume_to_the_end(window, qtbot)
    assert "The memory is full." in window.said[-1]
    assert window.retraining.unfinished() == PLAN


@pytest.mark.parametrize("press", [Retraining.resume, Retraining.discard])
def test_that_another_window_has_resumed_the_run_on_offer_is_said_and_it_is_offered_no_more(
    window, project, press
):
    RunFolder(project.folder, PLAN).leave()
    assert window.retraining.unfinished() == PLAN
    theirs = RunFolder(project.folder, PLAN)
    press(window.retraining)
    assert window.said == ["That run goes on in another window, or has ended."]
    assert window.changed == [False]
    theirs.finish()
