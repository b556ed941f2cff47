"""What rounds cost can be seen by round and by slice, in each quantity, with mouse or keys."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_sam_adapter.project.effort import Effort, Round
from napari_sam_adapter.widgets.panels.effort_plot import EffortPlot

FIRST = Round({(0,): Effort(6, 900, 40.0), (3,): Effort(2, 100, 10.0)}, Effort(8, 1000, 50.0))
SECOND = Round({(1,): Effort(1, 300, 5.0)}, Effort(1, 300, 5.0))


def named(index):
    return f"slice {index[0]}"


@pytest.fixture
def plot(qtbot):
    shown = EffortPlot()
    qtbot.addWidget(shown)
    shown.setFixedWidth(300)
    shown.show_rounds([FIRST, SECOND], named)
    shown.show()
    qtbot.waitExposed(shown)
    return shown


def bar_heights(plot, n_rounds=2):
    """How many pixels tall each bar is drawn."""
    image = plot.bars.grab().toImage()
    heights = []
    for position in range(n_rounds):
        # Beside the dots, which lie on the bars.
        middle = int((position + 0.5) * plot.bars._width) - 13
        column = [image.pixelColor(middle, y) for y in range(image.height())]
        heights.append(sum(one.green() - one.red() > 40 for one in column))
    return np.array(heights)


@pytest.mark.parametrize(("quantity", "means"), [(0, (25, 5)), (1, (4, 1)), (2, (500, 300))])
def test_each_quantity_has_bars_in_proportion_to_what_a_slice_cost(plot, quantity, means):
    plot.quantity_box.setCurrentIndex(quantity)
    first, second = bar_heights(plot)
    assert second / first == pytest.approx(means[1] / means[0], abs=0.08)


def test_every_slice_is_a_dot_over_the_bar_of_its_round(plot):
    assert [bar.dots for bar in plot.bars._bars] == [(40.0, 10.0), (5.0,)]
    plot.quantity_box.setCurrentIndex(2)
    assert [bar.dots for bar in plot.bars._bars] == [(900.0, 100.0), (300.0,)]
    assert plot.bars._bars[0].text == "500 px"


def test_keys_and_clicks_bring_a_round_into_focus_whose_slices_are_listed(plot, qtbot):
    assert "Round 2, 1 slice: 5 s, 1 stroke, 300 px" in plot.slices.text()
    assert "Slice 1: 5 s" in plot.slices.text()
    plot.bars.setFocus()
    qtbot.keyClick(plot.bars, Qt.Key.Key_Left)
    assert plot.slices.text().startswith("Round 1, 2 slices: 50 s, 8 strokes, 1,000 px")
    assert plot.slices.text().index("Slice 0: 40 s") < plot.slices.text().index("Slice 3: 10 s")
    assert plot.bars.accessibleDescription().startswith("Round 1")
    qtbot.keyClick(plot.bars, Qt.Key.Key_Left)  # there is none before
    assert plot.slices.text().startswith("Round 1")
    place = QPoint(int(1.5 * plot.bars._width), 20)
    qtbot.mouseClick(plot.bars, Qt.MouseButton.LeftButton, pos=place)
    assert plot.slices.text().startswith("Round 2")


def test_everything_is_reached_with_the_keyboard(plot):
    for widget in (plot.quantity_box, plot.bars):
        assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus


def test_the_round_that_goes_on_stays_in_focus_and_so_does_one_that_was_chosen(plot):
    plot.show_rounds([FIRST, SECOND, SECOND])
    assert plot.slices.text().startswith("Round 3")
    plot.choose_round(0)
    plot.show_rounds([FIRST, SECOND, SECOND, SECOND])
    assert plot.slices.text().startswith("Round 1")
    plot.show_rounds([FIRST])  # another image
    assert plot.slices.text().startswith("Round 1")
    plot.show_rounds(())
    assert plot.isHidden()


def test_of_many_slices_those_that_cost_most_are_listed(plot):
    many = {(z,): Effort(1, 10, float(z)) for z in range(20)}
    plot.show_rounds([Round(many, sum(many.values(), Effort()))], named)
    assert plot.slices.text().count("Slice ") == 5
    assert "Slice 19: 19 s" in plot.slices.text()
    assert "and 15 that cost less" in plot.slices.text()


def test_forty_rounds_fit_the_narrowest_dock(plot):
    plot.show_rounds([SECOND] * 40)
    assert plot.minimumSizeHint().width() <= 300
    assert [plot.bars.position_at(x) for x in (0, 299)] == [0, 39]
    image = plot.bars.grab().toImage()
    floor = [image.pixelColor(x, image.height() // 2) for x in range(image.width())]
    assert sum(one.green() - one.red() > 40 for one in floor) > 40 * 3
