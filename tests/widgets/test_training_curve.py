"""The live curve of a long run costs no more than that of a short one."""

import numpy as np
import pytest
from pyqtgraph import PlotDataItem

from napari_sam_adapter.widgets.panels.training_curve import MOST_POINTS, TrainingCurve

N_STEPS = 70_000


@pytest.fixture
def curve(qtbot):
    curve = TrainingCurve()
    qtbot.addWidget(curve)
    return curve


@pytest.fixture
def drawn(monkeypatch):
    """Which steps were drawn of a line, each time that one was."""
    drawn = []
    set_data = PlotDataItem.setData

    def noting(line, *data, **options):
        if len(data) == 2:
            drawn.append(list(data[0]))
        set_data(line, *data, **options)

    monkeypatch.setattr(PlotDataItem, "setData", noting)
    return drawn


def test_each_step_of_a_short_run_has_a_point(curve):
    for step in range(1, 4):
        curve.add_loss(step, step)
    np.testing.assert_allclose(curve.losses, [(1, 1.0), (2, 1.5), (3, 2.0)])


def test_a_long_run_has_some_hundred_points_from_its_beginning_to_its_end(curve):
    random = np.random.default_rng(0)
    for step in range(1, N_STEPS + 1):
        curve.add_loss(step, 1.0 - step / N_STEPS + random.normal(0, 0.05))
    assert MOST_POINTS / 2 <= len(curve.losses) <= MOST_POINTS
    steps, losses = np.transpose(curve.losses)
    assert steps[0] <= 4 * N_STEPS / MOST_POINTS
    assert steps[-1] == N_STEPS
    assert len(set(np.diff(steps)[:-1])) == 1
    np.testing.assert_allclose(losses, 1.0 - steps / N_STEPS, atol=0.03)


def test_steps_that_come_within_a_moment_are_drawn_together(curve, drawn, qtbot):
    curve.add_loss(1, 0.5)
    assert drawn[0] == [1]
    n_before = len(drawn)
    for step in range(2, 200):
        curve.add_loss(step, 0.5)
    curve.add_dice(199, 0.9)
    assert len(drawn) <= n_before + 2 * 5  # a slow machine may take longer than a moment for them
    qtbot.waitUntil(lambda: drawn[-2:] == [[*range(1, 200)], [199]])
    curve.clear()
    assert drawn[-2:] == [[], []]
