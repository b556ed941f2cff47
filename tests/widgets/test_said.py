"""What the dock says is read well under every theme; what went wrong is red."""

from itertools import pairwise

import pytest
from napari.utils.theme import get_theme
from pyqtgraph import PlotWidget
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QLabel

from napari_sam_adapter.widgets.panels.training_curve import (
    DICE_COLOUR,
    LOSS_COLOUR,
    MOMENT_MS,
    TrainingCurve,
)


def luminance(colour):
    parts = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in colour.getRgbF()[:3]
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def contrast_of(one, other):
    """As WCAG defines it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def contrast(label):
    """Of the text to what is painted under it."""
    ground = label.grab().toImage().pixelColor(label.width() - 2, 2)
    return contrast_of(ground, label.palette().windowText().color())


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("colour", [LOSS_COLOUR, DICE_COLOUR])
def test_lines_of_the_training_curve_stand_out_from_either_ground(theme, colour):
    """WCAG asks graphics for 3 to 1."""
    ground = QColor(get_theme(theme).background.as_hex())
    assert contrast_of(ground, QColor(colour)) >= 3


@pytest.mark.parametrize("themes", [("dark", "light"), ("light", "dark")], ids="-".join)
def test_problems_are_read_well_also_after_the_theme_changes(open_person, themes):
    person = open_person(show=True)
    first, then = themes
    person.viewer.theme = first
    person.settle()
    person.dock.message.say("The disk is full.", True)
    person.dock.project_panel.show_problem("masks is not recorded: the disk is full.")
    labels = (person.dock.message, person.dock.project_panel.not_recorded)
    for theme in (first, then):
        person.viewer.theme = theme
        person.settle()
        for label in labels:
            assert contrast(label) >= 4.5
            red, green, _, _ = label.palette().windowText().color().getRgbF()
            assert red > 1.4 * green
    person.dock.message.say("Ready.", False)
    assert person.dock.message.styleSheet() == ""


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_legend_of_the_curve_is_read_well(open_person, theme):
    person = open_person(show=True)
    person.viewer.theme = theme
    person.dock.retrain_panel.curve.add_loss(1, 0.5)
    person.settle()
    legend = person.dock.retrain_panel.curve.findChild(QLabel)
    assert "loss" in legend.text()
    assert contrast(legend) >= 4.5


@pytest.mark.parametrize("themes", [("dark", "light"), ("light", "dark")], ids="-".join)
def test_the_numbers_beside_the_curve_are_read_well_also_after_the_theme_changes(
    open_person, themes
):
    person = open_person(show=True)
    person.viewer.theme = themes[0]
    curve = person.dock.retrain_panel.curve
    curve.add_loss(1, 0.5)
    for theme in themes:
        person.viewer.theme = theme
        person.settle()
        ground = curve.grab().toImage().pixelColor(1, 1)
        for name in ("left", "bottom"):
            axis = curve.findChild(PlotWidget).getAxis(name)
            for colour in (axis.textPen().color(), axis.pen().color()):
                assert contrast_of(ground, colour) >= 4.5
            assert axis.labelStyle["color"] == axis.textPen().color().name()


@pytest.mark.parametrize("n_steps", [3, 9, 11, 12, 13, 14, 19, 25, 140, 12000])
def test_the_numbers_below_the_curve_do_not_touch_each_other(qtbot, n_steps):
    curve = TrainingCurve()
    qtbot.addWidget(curve)
    curve.setFixedWidth(266)  # of a dock of 300 pixels
    for step in (1, n_steps):
        curve.add_loss(step, 0.5)
    qtbot.wait(2 * MOMENT_MS)
    curve.show()
    qtbot.waitExposed(curve)
    page = curve.grab()
    painter = QPainter(page)
    *_, texts = curve.findChild(PlotWidget).getAxis("bottom").generateDrawSpecs(painter)
    painter.end()
    assert len(texts) >= 2
    for (left, *_), (right, *_) in pairwise(sorted(texts, key=lambda one: one[0].left())):
        assert right.left() - left.right() > 6
