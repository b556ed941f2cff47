"""Background jobs end without keeping what their listeners hold."""

import gc
import weakref

import pytest
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication

from napari_sam_adapter.widgets.jobs import Job
from napari_sam_adapter.widgets.trouble import TroubleDialog


class Volume:
    """Something large."""


def test_a_job_that_has_ended_keeps_nothing_that_its_listeners_hold(qtbot):
    owner, volume, ended = QObject(), Volume(), []
    kept = weakref.ref(volume)

    def begin(volume: Volume) -> None:
        job = Job(lambda: [1], "a test", lambda: None, owner)
        job.event_reported.connect(lambda event: (event, volume))
        job.failed.connect(lambda sentence: (sentence, volume))
        job.finished.connect(lambda: ended.append(type(volume)))
        job.start()

    begin(volume)
    qtbot.waitUntil(lambda: bool(ended), timeout=60_000)
    qtbot.wait(1)
    del volume
    gc.collect()
    assert kept() is None
    assert owner.children(), "Qt keeps the job itself"


@pytest.mark.troubled
def test_a_job_that_fails_again_and_again_opens_one_dialog(qtbot):
    owner, failed = QObject(), []
    for n in range(1, 4):
        job = Job(lambda: [1 / 0], "a test", lambda: None, owner)
        job.failed.connect(failed.append)
        job.start()
        qtbot.waitUntil(lambda n=n: len(failed) == n, timeout=60_000)
        qtbot.wait(1)
    shown = [one for one in QApplication.topLevelWidgets() if isinstance(one, TroubleDialog)]
    (dialog,) = (one for one in shown if one.isVisible())
    assert "ZeroDivisionError" in dialog.text()
    dialog.close()
