"""The dock: it composes the panels and connects them to the controller."""

from __future__ import annotations

import atexit
import contextlib
from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.next_slice import uncertainty_of
from napari_sam_adapter.project.run_log import log_path, read_log
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.session import Session, open_last
from napari_sam_adapter.widgets.binding import source_of
from napari_sam_adapter.widgets.canvas_focus import CanvasFocus
from napari_sam_adapter.widgets.classes_panel import ClassesPanel
from napari_sam_adapter.widgets.close_guard import CloseGuard
from napari_sam_adapter.widgets.compare_panel import ComparePanel
from napari_sam_adapter.widgets.controller import DockController
from napari_sam_adapter.widgets.correct_panel import CorrectPanel
from napari_sam_adapter.widgets.effort_plot import EffortPlot
from napari_sam_adapter.widgets.features_on_disk import FeaturesOnDisk
from napari_sam_adapter.widgets.help_panel import HelpPanel
from napari_sam_adapter.widgets.keys import Action, Keys
from napari_sam_adapter.widgets.layers_panel import LayersPanel
from napari_sam_adapter.widgets.log_dialog import LogDialog
from napari_sam_adapter.widgets.models_panel import ModelsPanel
from napari_sam_adapter.widgets.predict_panel import PredictPanel
from napari_sam_adapter.widgets.preferences import preference
from napari_sam_adapter.widgets.project_panel import ProjectPanel
from napari_sam_adapter.widgets.prompts_panel import PromptsPanel
from napari_sam_adapter.widgets.retrain_panel import RetrainPanel
from napari_sam_adapter.widgets.section import Section
from napari_sam_adapter.widgets.slice_words import describe_slice
from napari_sam_adapter.widgets.slider_strips import SliderStrips
from napari_sam_adapter.widgets.small import PROBLEM_COLOUR
from napari_sam_adapter.widgets.trouble import what_is_kept
from napari_sam_adapter.widgets.versions_panel import VersionsPanel
from napari_sam_adapter.widgets.wiring import connect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STARTING = "Starting the model…"


class SamAdapterDock(QWidget):
    """Predict, correct, retrain.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari.
    session : Session, optional
        For tests and scripts; by default the project chosen last.
    """

    # Qt sends events while the constructor still runs.
    is_open = False
    _was_docked = False
    _close_guard: CloseGuard | None = None

    def __init__(self, napari_viewer: napari.Viewer, session: Session | None = None) -> None:
        super().__init__()
        # napari hands plugins a proxy whose layers are proxies too; they are compared by identity.
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        trouble = ""
        if session is None:
            device = preference("computing", "device") or "auto"
            session, trouble = open_last(device)
        self.controller = DockController(viewer, session, self)
        self._close_guard = CloseGuard(self)
        self.features_on_disk = FeaturesOnDisk(session)
        self.slider_strips = SliderStrips(self.controller.layers, self)
        self.project_panel = ProjectPanel()
        self.layers_panel = LayersPanel(viewer)
        self.models_panel = ModelsPanel()
        self.versions_panel = VersionsPanel()
        self.compare_panel = ComparePanel()
        self.predict_panel = PredictPanel()
        self.help_panel = HelpPanel()
        self.prompts_panel = PromptsPanel()
        self.classes_panel = ClassesPanel()
        self.correct_panel = CorrectPanel()
        self.retrain_panel = RetrainPanel()
        self.effort_plot = EffortPlot()
        self.keys_line = QLabel()
        self.keys_line.setWordWrap(True)
        self.keys_line.setToolTip("Keys work in the viewer; Preferences, SAM Adapter changes them")
        self.message = QLabel(STARTING)
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.message.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.message.setAccessibleName("What happened last")
        self._build_layout()
        CanvasFocus(viewer, self, self.versions_panel.list, self.classes_panel.list)
        connect(self)
        self.keys = Keys(viewer, self, self._actions(), self._show_keys)
        self.layers_panel.announce()
        self.show_versions()
        self.show_classes()
        self.show_slices()
        self.show_unfinished()
        if trouble:
            self.on_said(trouble, True)
        self.controller.start_engine()
        self.is_open = True
        self.destroyed.connect(lambda *_: self.shutdown())
        atexit.register(session.close)

    def event(self, event: QEvent) -> bool:
        """Notice being docked, and being taken out: that is all napari's x button does."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._was_docked = True
            elif self._was_docked:
                self._on_taken_out()
        if event.type() == QEvent.Type.Show and self._close_guard is not None:
            self._close_guard.watch(self.window())
        handled: bool = super().event(event)
        return handled

    def _on_taken_out(self) -> None:
        """End everything, but let a training run finish: its version is there next time."""
        retraining = self.controller.retraining
        if retraining.is_running:
            retraining.changed.connect(lambda running: None if running else self.shutdown())
        else:
            self.shutdown()

    def shutdown(self) -> None:
        """End everything that runs and let go of the viewer; safe to call twice."""
        if not self.is_open:
            return
        self.is_open = False
        if self._close_guard is not None:
            self._close_guard.let_go()
        self.slider_strips.close()
        self.layers_panel.stop_listening()
        self.keys.close()
        self.features_on_disk.close()
        self.controller.close()
        atexit.unregister(self.controller.session.close)

    def _build_layout(self) -> None:
        content = QWidget()
        content.setMinimumWidth(0)
        column = QVBoxLayout(content)
        sections: Sequence[tuple[str, Sequence[QWidget]]] = (
            ("Project", (self.project_panel, self.layers_panel)),
            ("Model", (self.models_panel, self.versions_panel, self.compare_panel)),
            ("1 · Predict", (self.predict_panel, self.help_panel, self.prompts_panel)),
            ("2 · Correct", (self.classes_panel, self.correct_panel)),
            ("3 · Retrain", (self.retrain_panel, self.effort_plot)),
        )
        self.sections = [Section(title, panels) for title, panels in sections]
        for section in self.sections:
            column.addWidget(section)
        column.addWidget(self.keys_line)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area, 1)
        # What was said last stays in view, however far the panels are scrolled.
        self.message.setContentsMargins(9, 0, 9, 9)
        outer.addWidget(self.message)
        self.setMinimumWidth(300)

    def _actions(self) -> dict[str, Action]:
        """Return what the keys do, by the names of `KEYS`."""
        controller = self.controller
        return {
            "predict_slice": Action(
                controller.prediction.predict_slice, self.predict_panel.slice_button
            ),
            "accept_slice": Action(controller.toggle_accepted, self.correct_panel.accept_button),
            "next_slice": Action(controller.next_slice.go, self.correct_panel.next_button),
            "blink": Action(controller.comparing.blink, self.compare_panel.blink_button),
            "retrain": Action(self.retrain_panel.request, self.retrain_panel.button),
        }

    def _show_keys(self, line: str, problem: str) -> None:
        self.keys_line.setText(f"<small>{line}</small>")
        if problem:
            self.on_said(problem, True)

    def on_said(self, sentence: str, is_problem: bool) -> None:
        """Show a sentence for the person."""
        self.message.setStyleSheet(f"color: {PROBLEM_COLOUR};" if is_problem else "")
        self.message.setText(sentence)

    def what_is_kept(self) -> str:
        """Say whether what the person has done is on the disk; for `show_trouble`."""
        return what_is_kept(self.controller.recording)

    def on_engine_ready(self, sentence: str) -> None:
        """Say that the prediction process has started."""
        # The person may have clicked already; the answer to that matters more.
        if self.message.text() == STARTING:
            self.on_said(sentence, False)

    def on_slice_requested(self, position: int) -> None:
        """Go to a slice, by its position among all."""
        binding = self.controller.binding
        if binding is not None:
            binding.show(binding.source.index_of(position))

    def say_place(self) -> None:
        """Say where the project lies, and put that on the clipboard."""
        folder = str(self.controller.session.project.folder)
        QApplication.clipboard().setText(folder)
        self.on_said(f"This project lies in {folder}; that is on the clipboard now.", False)

    def show_log(self) -> None:
        """Open the log of the last training run, also of a window that was closed or died."""
        path = self._log_path()
        if path is not None:
            LogDialog(read_log(path, self.controller.retraining.log), str(path), self).show()

    def _log_path(self) -> Path | None:
        return log_path(self.controller.session.project.folder, self.controller.retraining.log)

    def on_layers_changed(self) -> None:
        """Show which masks layer is worked on."""
        binding = self.controller.binding
        if binding is not None:
            self.layers_panel.choose_labels(binding.labels)

    def show_help(self) -> None:
        """Offer the help that the image has: that of volumes, or of large pictures."""
        image = self.controller.layers.image
        with contextlib.suppress(ImageError):  # the dock says what is wrong with it
            self.help_panel.show_image(None if image is None else source_of(image))

    def show_versions(self) -> None:
        """Show which versions there are, and what follows from the one in use."""
        store = self.controller.session.store
        versions = store.versions()
        active = self.controller.session.in_use.version
        self.versions_panel.show_versions(versions, active, self.controller.session.adapter_name)
        self.compare_panel.show_versions(
            versions, active, self.controller.comparing.other(versions)
        )
        self.project_panel.show_project(self.controller.session.project.folder)
        spec = base_model(self.controller.session.in_use.reference.base)
        self.models_panel.show_base(spec.name)
        size = None if active is None else active.card.input_size
        self.retrain_panel.show_input_sizes(spec.input_sizes, size)
        own = None if active is None else active.card.adapter.conditions
        upright = active is not None and active.card.keeps_upright
        self.retrain_panel.advanced.show_version(spec.adapter.conditions, own, upright)
        self._show_choices()
        if store.unreadable:
            self.on_said(store.unreadable[0], True)

    def show_unfinished(self) -> None:
        """Offer to resume a run that was interrupted, and the log of the last one."""
        plan = self.controller.retraining.unfinished()
        self.retrain_panel.show_unfinished(0 if plan is None else plan.n_slices)
        self.retrain_panel.show_log(self._log_path() is not None)

    def _show_choices(self) -> None:
        session = self.controller.session
        self.predict_panel.show_choices(
            session.in_use.knows_mirror_images, session.in_use.views > 1, len(session.classes) == 1
        )

    def show_classes(self) -> None:
        """Show the classes, and the one that is painted with."""
        self._show_choices()
        self.classes_panel.show_classes(self.controller.session.classes)
        self.classes_panel.show_selected(self.controller.classes.label)

    def show_slices(self) -> None:
        """Show where the slices stand."""
        binding = self.controller.binding
        if binding is None or not binding.is_alive:
            self.correct_panel.show_nothing()
            self.retrain_panel.show_ready(0)
            self.effort_plot.show_rounds(())
            return
        source = binding.source
        states = [binding.tracker.state(index) for index in source.indices()]
        index = binding.index_in_view()
        position = binding.source.flat(index)
        unsure = uncertainty_of(binding.tracker, source.indices())
        self.correct_panel.ruler.describe = lambda at: source.describe(source.index_of(at))
        self.correct_panel.show_states(
            states,
            position,
            describe_slice(binding, position, self.controller.session.adapter_name),
            list(unsure.values()),
        )
        self.retrain_panel.show_ready(len(binding.tracker.ready()))
        record = self.controller.recording.record_of(binding)
        rounds = () if record is None else record.ledger.worked_rounds
        self.effort_plot.show_rounds(rounds, source.describe)
