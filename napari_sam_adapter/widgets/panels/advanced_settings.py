"""What few people change about a training run: the recipe, and what a new adapter sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QGridLayout, QLabel, QWidget
from superqt import QCollapsible

from napari_sam_adapter.adapter.config import Condition, condition_names
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.presets import PRESETS
from napari_sam_adapter.widgets.panels.small import let_shrink

LARGEST_WEIGHT = 100.0
WEIGHT_WIDTH = 96


class AdvancedSettings(QCollapsible):
    """A recipe, and a check box with a weight for each condition."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._shown: object = None
        self._may_choose = True
        self.recipe_box = QComboBox()
        let_shrink(self.recipe_box)
        for name, preset in PRESETS.items():
            self.recipe_box.addItem(preset.title, name)
        self.recipe_box.setToolTip(
            "How to train. The published recipes also end after their number of epochs, do not "
            "practise boxes and points, and know one gear, full, which auto stands for then."
        )
        self.checks = {name: QCheckBox(name.replace("_", " ")) for name in condition_names()}
        self.weights = {name: QDoubleSpinBox() for name in self.checks}
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        grid.addWidget(QLabel("Recipe"), 0, 0)
        grid.addWidget(self.recipe_box, 0, 1, 1, 2)
        self.upright_box = QCheckBox("Left and right differ")
        self.upright_box.setToolTip(
            "Training does not turn or mirror the slices: for classes that are told apart by where "
            "they lie, such as the left and the right kidney"
        )
        grid.addWidget(self.upright_box, 1, 0, 1, 3)
        self.others_box = QCheckBox("Learn from other images, too")
        self.others_box.setChecked(True)
        self.others_box.setToolTip(
            "What was corrected and accepted in the project's other images is not forgotten; of "
            "three images or more, a whole one can be held out"
        )
        grid.addWidget(self.others_box, 2, 0, 1, 3)
        self._heading = QLabel("The adapter sees, with weights:")
        grid.addWidget(self._heading, 3, 0, 1, 3)
        for row, (name, check) in enumerate(self.checks.items(), start=4):
            weight = self.weights[name]
            weight.setRange(-LARGEST_WEIGHT, LARGEST_WEIGHT)
            weight.setSingleStep(0.1)
            weight.setFixedWidth(WEIGHT_WIDTH)
            weight.setAccessibleName(f"Weight of {name}")
            check.toggled.connect(self._enable)
            grid.addWidget(check, row, 0, 1, 2)
            grid.addWidget(weight, row, 2)
        self.addWidget(content)
        # superqt draws its arrows once, in the colours before napari's theme: black on dark.
        self.setCollapsedIcon(QIcon())
        self.setExpandedIcon(QIcon())
        self.toggled.connect(self._show_arrow)
        self._show_arrow()
        self.toggleButton().setToolTip(
            "What few people change: the recipe, what is learned from, and what a new adapter sees"
        )
        # A line of text, not one more big button.
        self.toggleButton().setStyleSheet(
            "QPushButton { background: transparent; border: none; padding: 0; text-align: left; }"
        )
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.show_version((), None)

    @property
    def recipe(self) -> TrainingConfig:
        """The chosen recipe; how long to train is set elsewhere."""
        config = PRESETS[self.recipe_box.currentData()].config
        if not self.upright_box.isChecked():
            return config
        return replace(config, augmentation="upright" if config.augmentation == "views" else "none")

    @property
    def conditions(self) -> Mapping[str, float] | None:
        """Weights of the chosen conditions by name; None where the version in use has its own."""
        if not self._may_choose:
            return None
        return {n: self.weights[n].value() for n, box in self.checks.items() if box.isChecked()}

    def show_version(
        self,
        default: Sequence[Condition],
        fixed: Sequence[Condition] | None,
        upright: bool = False,
    ) -> None:
        """Show what the version in use was trained with, and offer what may still be chosen.

        Parameters
        ----------
        default : sequence of Condition
            The base model's own.
        fixed : sequence of Condition or None
            Those of the version in use; None for the base model.
        upright : bool
            Whether the version in use was trained on slices as they lie; the next one will be.
        """
        if (default, fixed, upright) == self._shown:
            return  # what the person has chosen stays
        self._shown = default, fixed, upright
        self.upright_box.setChecked(upright)
        self._may_choose = fixed is None
        given = {c.name: c.weight for c in (default if fixed is None else fixed)}
        for name, check in self.checks.items():
            check.setChecked(name in given)
            self.weights[name].setValue(given.get(name, 1.0))
        tip = (
            "What a new adapter computes its prompts from (docs/conditions.md)"
            if self._may_choose
            else "The version in use keeps what it was trained with. Start from the base model to "
            "change it."
        )
        for widget in (self._heading, *self.checks.values(), *self.weights.values()):
            widget.setToolTip(tip)
        self._enable()

    def _show_arrow(self) -> None:
        self.setText(f"{'▾' if self.isExpanded() else '▸'} Advanced")
        self.content().setVisible(self.isExpanded())  # superqt only makes it flat: Tab would go in

    def _enable(self) -> None:
        for name, check in self.checks.items():
            check.setEnabled(self._may_choose)
            self.weights[name].setEnabled(self._may_choose and check.isChecked())
