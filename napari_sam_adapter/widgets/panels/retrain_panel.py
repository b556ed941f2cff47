"""Retrain on the corrected slices: one button, a time, a live curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from magicgui.widgets import ComboBox, Container, FloatSpinBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_sam_adapter.project.other_images import Elsewhere
from napari_sam_adapter.project.retrain_words import counted, interrupted, left_out
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import (
    StepReport,
    TrainingFinished,
    TrainingStarted,
    ValidationReport,
)
from napari_sam_adapter.training.presets import USUAL_MINUTES, Stretch, walk_of
from napari_sam_adapter.widgets.panels.advanced_settings import AdvancedSettings
from napari_sam_adapter.widgets.panels.small import let_shrink
from napari_sam_adapter.widgets.panels.training_curve import TrainingCurve
from napari_sam_adapter.widgets.preferences import preference

AUTO = "auto"
GEAR_CHOICES = [
    ("auto: gear after gear", AUTO),
    ("quick: mask decoder only", "quick"),
    ("late: and last adapters", "late"),
    ("full: adapter and decoder", "full"),
]
NOTHING = Elsewhere()
SUITED_SIZE = "as suits the slices"
INPUT_SIZE = (
    "The long side of a slice is scaled to this. Larger sees more detail and trains slower; a "
    "version trained at a small size may go on at a larger one."
)


@dataclass(frozen=True, slots=True)
class RetrainSettings:
    """What the person has set.

    Attributes
    ----------
    config : TrainingConfig
    input_size : int or None
        None is what suits the slices.
    conditions : mapping of str to float, or None
        Weights by name; None where the version in use has them already.
    learns_from_others : bool
        Whether slices of the project's other images are learned from, too.
    next : RetrainSettings or None
        What is to follow where this run has gained something.
    """

    config: TrainingConfig
    input_size: int | None
    conditions: Mapping[str, float] | None
    learns_from_others: bool = True
    next: RetrainSettings | None = None

    @property
    def gears(self) -> list[TrainingConfig]:
        """Settings of training of this run and of those that are to follow."""
        return [self.config, *([] if self.next is None else self.next.gears)]


class RetrainPanel(QWidget):
    """Settings, the Retrain button that becomes Stop, progress and curve.

    Attributes
    ----------
    retrain_requested : Signal(object)
        A `RetrainSettings`.
    stop_requested, resume_requested, discard_requested, log_requested : Signal()
    """

    retrain_requested = Signal(object)
    stop_requested = Signal()
    resume_requested = Signal()
    discard_requested = Signal()
    log_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_training = False
        self.ready = QLabel()
        self.ready.setWordWrap(True)
        self.ready.setToolTip("Slices that are corrected or accepted")
        self.gear_box = ComboBox(
            label="Gear",
            choices=GEAR_CHOICES,
            value=AUTO,
            tooltip="auto begins with quick and goes on to late and full while that gains "
            "something; each makes a version that you can use at once. late and full learn more "
            "from the same slices; quick is enough for small changes.",
        )
        self.minutes_box = FloatSpinBox(
            label="Minutes",
            value=USUAL_MINUTES["late"],
            min=0.1,
            max=240.0,
            step=0.5,
            tooltip="How long to train, all gears together. Stop at any time; the best state so "
            "far is kept.",
        )
        self.size_box = ComboBox(label="Input", choices=[], tooltip=INPUT_SIZE)
        boxes = [self.gear_box, self.minutes_box, self.size_box]
        self._form = Container(widgets=boxes, labels=True)
        self._form.margins = (0, 0, 0, 0)
        for box in (self.gear_box, self.size_box):
            let_shrink(box.native)
        self.advanced = AdvancedSettings()
        self.button = QPushButton("Retrain")
        self.button.clicked.connect(self._on_clicked)
        self.progress = QProgressBar()
        self.progress.setMaximum(1000)
        self.progress.setToolTip("How much of the time, or of the recipe, is over")
        self.time_left = QLabel()
        self._running = QWidget()
        running = QHBoxLayout(self._running)
        running.setContentsMargins(0, 0, 0, 0)
        running.addWidget(self.progress, 1)
        running.addWidget(self.time_left)
        self.unfinished = UnfinishedRow()
        self.unfinished.resume_button.clicked.connect(self.resume_requested)
        self.unfinished.discard_button.clicked.connect(self.discard_requested)
        self.curve = TrainingCurve()
        self.log_button = QPushButton("Log…")
        self.log_button.setToolTip("What the last training run reported")
        self.log_button.clicked.connect(self.log_requested)
        for shown_later in (self._running, self.curve, self.log_button):
            shown_later.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        # The button first, as under 1 · Predict: it is in view where the settings are not.
        for above in (self.unfinished, self.ready):
            layout.addWidget(above)
        row = QHBoxLayout()
        row.addWidget(self.button, 1)
        row.addWidget(self.log_button)
        layout.addLayout(row)
        for below in (self._running, self.curve, self._form.native, self.advanced):
            layout.addWidget(below)
        self.button.setToolTip(
            "Train the next adapter version on the corrected and accepted slices. While it trains: "
            "end now and keep the best state so far"
        )
        self._begin_as_preferred()
        self.show_ready(0)
        self.advanced.others_box.toggled.connect(lambda: self.show_ready(*self._ready))
        self.show_training(False)

    def _begin_as_preferred(self) -> None:
        gear, minutes, others = (
            preference("training", key) for key in ("gear", "minutes", "learn_from_other_images")
        )
        self.gear_box.value = gear or self.gear_box.value
        self.minutes_box.value = minutes or self.minutes_box.value
        self.advanced.others_box.setChecked(others is not False)

    def settings(self) -> RetrainSettings:
        """Return the settings as they stand."""
        gear, seconds = self.gear_box.value, 60.0 * float(self.minutes_box.value)
        others = self.advanced.others_box.isChecked()
        recipe, settings = self.advanced.recipe, None
        walk = walk_of(recipe) if gear == AUTO else (Stretch(gear),)
        for stretch in reversed(walk):
            config = replace(
                recipe,
                gear=stretch.gear,
                max_seconds=stretch.time * seconds,
                decoder_learning_rate=stretch.rate * recipe.decoder_learning_rate,
                adapter_learning_rate=stretch.rate * recipe.adapter_learning_rate,
                start_share=stretch.start_share,
            )
            settings = RetrainSettings(
                config, self.size_box.value, self.advanced.conditions, others, settings
            )
        assert settings is not None
        return settings

    def request(self) -> None:
        """Ask for retraining with the settings as they stand, as the button does."""
        if not self._is_training:
            self.retrain_requested.emit(self.settings())

    def show_input_sizes(self, sizes: Sequence[int], current: int | None) -> None:
        """Offer input sizes, and choose that of the version in use.

        Parameters
        ----------
        sizes : sequence of int
            What the base model offers, in pixels.
        current : int or None
            Of the version in use; None for the base model, whose adapter gets what suits slices.
        """
        offered: list[tuple[str, int | None]] = [] if current is not None else [(SUITED_SIZE, None)]
        known = set(sizes) if current is None else {*sizes, current}
        self.size_box.choices = [*offered, *((f"{size} px", size) for size in sorted(known))]
        self.size_box.value = current

    def show_ready(self, here: int, elsewhere: Elsewhere = NOTHING, n_left_out: int = 0) -> None:
        """Show how many slices there are to train on, in the open image and in others.

        And how many of the open image are left out, for their labels below 0.
        """
        self._ready = here, elsewhere, n_left_out
        if not self.advanced.others_box.isChecked():
            elsewhere = NOTHING
        are = "is" if here + elsewhere.n_slices == 1 else "are"
        but = f"; {left_out(n_left_out)}" if n_left_out else ""
        if not here and elsewhere.n_slices:
            but += "; correct or accept one of this image first"
        self.ready.setText(f"<b>{counted(here, elsewhere)}</b> {are} ready to train on{but}")

    def show_unfinished(self, n_slices: int) -> None:
        """Offer to go on with a run that learns from so many slices; 0 is none."""
        self.unfinished.show_run(n_slices)

    def show_log(self, is_there: bool) -> None:
        """Offer the log of the last run, where there is one."""
        self.log_button.setVisible(is_there)

    def show_training(self, training: bool) -> None:
        """Turn the button into Stop while training runs."""
        self._is_training = training
        self.button.setText("Stop" if training else "Retrain")
        self.button.setEnabled(True)
        # The settings make room for the curve; they could not be changed now anyway.
        self._form.native.setVisible(not training)
        self.advanced.setVisible(not training)
        self._running.setVisible(training)
        if training:
            self.progress.setValue(0)
            self.time_left.setText("starting…")
            self.curve.clear()
            self.curve.show()
        elif len(self.curve.losses) < 2:
            self.curve.hide()  # there is no line in it

    def reset(self) -> None:
        """Put away the curve of another project's run, unless that still goes on."""
        self.curve.setVisible(self._is_training)

    def show_event(self, event: object) -> None:
        """Show an event of the training run."""
        match event:
            case TrainingStarted():
                self.time_left.setText("preparing slices…")
                self.time_left.setToolTip(f"Computed on {event.device}, {event.precision}")
            case StepReport():
                self.progress.setValue(round(1000 * event.progress))
                self.time_left.setText(f"{format_seconds(event.seconds_left)} left")
                self.curve.add_loss(event.step, event.loss)
            case ValidationReport():
                self.curve.add_dice(event.step, event.dice)
            case TrainingFinished():
                self.progress.setValue(1000)
                self.time_left.setText("saving…")

    def _on_clicked(self) -> None:
        if self._is_training:
            self.button.setText("Stopping…")
            self.button.setEnabled(False)
            self.stop_requested.emit()
        else:
            self.request()


class UnfinishedRow(QWidget):
    """Offers to go on with a run that a closed or killed window has left behind."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.resume_button = QPushButton("Resume")
        self.resume_button.setToolTip("Go on from the last checkpoint, with the same slices")
        self.discard_button = QPushButton("Discard")
        self.discard_button.setToolTip("Forget that run; your corrections stay")
        buttons = QHBoxLayout()
        buttons.addWidget(self.resume_button)
        buttons.addWidget(self.discard_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        layout.addLayout(buttons)
        self.show_run(0)

    def show_run(self, n_slices: int) -> None:
        """Name the run, or hide where there is none."""
        self.text.setText(interrupted(n_slices))
        self.setVisible(n_slices > 0)


def format_seconds(seconds: float) -> str:
    """Return a time for people: ``45 s``, ``1:30 min``."""
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d} min"
