"""Background jobs end without keeping what their listeners hold."""

import gc
import weakref

from qtpy.QtCore import QObject

from napari_sam_adapter.widgets.jobs import Job


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
