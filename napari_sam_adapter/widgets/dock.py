"""The dock: it composes the panels and connects them to the controller."""

from __future__ import annotations

import atexit
import contextlib
from typing import TYPE_CHECKING
from weakref import WeakSet

import napari
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QLabel,
    QMainWindow,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project import run_log
from napari_sam_adapter.project.home import folded_sections, remember_folded
from napari_sam_adapter.project.retrain_words import interrupted
from napari_sam_adapter.session.session import Session, open_last
from napari_sam_adapter.widgets.close_guard import CloseGuard
from napari_sam_adapter.widgets.controller import DockController
from napari_sam_adapter.widgets.features_on_disk import FeaturesOnDisk
from napari_sam_adapter.widgets.keys import Action, Keys
from napari_sam_adapter.widgets.panels.canvas_focus import CanvasFocus
from napari_sam_adapter.widgets.panels.classes_panel import ClassesPanel
from napari_sam_adapter.widgets.panels.compare_panel import ComparePanel
from napari_sam_adapter.widgets.panels.correct_panel import CorrectPanel
from napari_sam_adapter.widgets.panels.effort_plot import EffortPlot
from napari_sam_adapter.widgets.panels.focus_ring import FocusRing
from napari_sam_adapter.widgets.panels.help_panel import HelpPanel
from napari_sam_adapter.widgets.panels.layers_panel import LayersPanel
from napari_sam_adapter.widgets.panels.log_dialog import LogDialog
from napari_sam_adapter.widgets.panels.message_line import OPEN_AN_IMAGE, STARTING, MessageLine
from napari_sam_adapter.widgets.panels.models_panel import ModelsPanel
from napari_sam_adapter.widgets.panels.predict_panel import PredictPanel
from napari_sam_adapter.widgets.panels.project_panel import ProjectPanel
from napari_sam_adapter.widgets.panels.prompts_panel import PromptsPanel
from napari_sam_adapter.widgets.panels.retrain_panel import RetrainPanel
from napari_sam_adapter.widgets.panels.section import SPACING, Section
from napari_sam_adapter.widgets.panels.slider_strips import SliderStrips
from napari_sam_adapter.widgets.panels.small import Said
from napari_sam_adapter.widgets.panels.versions_panel import VersionsPanel
from napari_sam_adapter.widgets.preferences import preference
from napari_sam_adapter.widgets.showing import Showing
from napari_sam_adapter.widgets.trouble import guarded, take_all, what_is_kept
from napari_sam_adapter.widgets.wiring import connect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


# Docks whose x was pressed; they record on until the window closes or a new dock takes over.
_RESTING: WeakSet[SamAdapterDock] = WeakSet()


def _end_resting(viewer: napari.Viewer) -> str:
    """End the dock that records on in a viewer, if there is one: two must not do so.

    Returns
    -------
    str
        The name of the run that it was training; "" where it was not.
    """
    run = ""
    for dock in list(_RESTING):
        if dock.controller.layers.viewer is viewer:
            run = run or dock.controller.retraining.run_name
            dock.shutdown()
            dock.deleteLater()  # else it would stay in the window, with all that it knows
    return run


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
    is_open = is_resting = False
    _was_docked = False
    _close_guard: CloseGuard | None = None
    controller: DockController

    def __init__(self, napari_viewer: napari.Viewer, session: Session | None = None) -> None:
        super().__init__()
        # napari hands plugins a proxy whose layers are proxies too; they are compared by identity.
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        trouble = ""
        run = _end_resting(viewer)
        if session is None:
            device = preference("computing", "device") or "auto"
            session, trouble = open_last(device)
        self.controller = DockController(viewer, session, self)
        self._close_guard = CloseGuard(self)
        # Once: the dialog's end is another coming back.
        self._look_at_classes = guarded(self, self.controller.classes.look, once=True)
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
        self.not_recorded = Said()
        self.not_recorded.hide()
        self.message = MessageLine()
        self.showing = Showing(self)
        self._build_layout()
        CanvasFocus(viewer, self, self.versions_panel.list, self.classes_panel.list)
        connect(self)
        self.keys = Keys(viewer, self, self._actions(), self._show_keys)
        self.message.on_image(self.layers_panel.image_box.value is not None)
        self.layers_panel.announce()
        self.showing.everything()
        if trouble or session.trouble:
            self.message.say(f"{trouble} {session.trouble}".strip(), True)
        self.controller.start_engine()
        self.is_open = True
        self.destroyed.connect(lambda *_: self.shutdown())
        atexit.register(session.close)
        self._see_to_unfinished(run)

    def _see_to_unfinished(self, run: str) -> None:
        """Go on with what the dock before was training; offer what was interrupted otherwise."""
        retraining = self.controller.retraining
        plan = retraining.unfinished()
        if plan is None or self.message.text() not in (STARTING, OPEN_AN_IMAGE):
            return  # what is wrong with the project matters more
        if not retraining.take_over(run):
            again = "Resume, under 3 · Retrain, goes on with it."
            self.message.say(f"{interrupted(plan.n_slices)} {again}")

    def event(self, event: QEvent) -> bool:
        """Notice being docked, and being taken out: that is all napari's x button does."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._was_docked = True
                QTimer.singleShot(0, self._watch_window)  # napari is still putting it in
            elif self._was_docked:
                self._on_taken_out()
        if event.type() == QEvent.Type.Show:
            self._watch_window()
        if event.type() == QEvent.Type.WindowActivate and self.is_open and not self.is_resting:
            self._on_person_comes()
        handled: bool = super().event(event)
        return handled

    def _watch_window(self) -> None:
        """Listen to napari's window, also while the dock floats in one of its own."""
        holder = self.window()
        above = holder.parentWidget()
        window = holder if above is None else above.window()
        if self.is_open and self._close_guard is not None and isinstance(window, QMainWindow):
            self._close_guard.watch(window)

    def _on_person_comes(self) -> None:
        """See what was done in another window; a run keeps the classes that it learns."""
        if not self.controller.retraining.is_running:
            self._look_at_classes()

    def _on_taken_out(self) -> None:
        """Stay with the window, out of sight: whoever paints on without a dock loses nothing."""
        self.rest()
        window = None if self._close_guard is None else self._close_guard.window
        if window is None:
            self.shutdown()
            return
        _RESTING.add(self)
        # napari is still taking it out.
        QTimer.singleShot(0, lambda: self._stay_with(window))

    def _stay_with(self, window: QWidget) -> None:
        """Be destroyed, and so shut down, together with the window."""
        if self.is_open:
            self.setParent(window)

    def rest(self) -> None:
        """Show and predict nothing more; go on recording, and let a training run finish.

        It is safe to call twice, and also runs after Qt has destroyed the dock.
        """
        if self.is_resting:
            return
        self.is_resting = True
        take_all(self.slider_strips.close, self.keys.close, self.controller.rest)

    def shutdown(self) -> None:
        """End everything that runs and let go of the viewer; safe to call twice."""
        if not self.is_open:
            return
        self.is_open = False
        if self._close_guard is not None:
            take_all(self._close_guard.let_go)
        take_all(
            *(self.rest, self.layers_panel.stop_listening, self.features_on_disk.close),
            self.controller.close,
        )
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
        folded = folded_sections()
        for section in self.sections:
            section.heading.setChecked(section.title not in folded)
            section.heading.toggled.connect(self._remember_folded)
            column.addWidget(section)
        column.setSpacing(SPACING)
        column.setContentsMargins(9, SPACING, 9, SPACING)
        column.addWidget(self.keys_line)
        column.addStretch(1)
        area = self._area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area, 1)
        # What was said last stays in view, however far the panels are scrolled.
        self.not_recorded.setContentsMargins(9, 0, 9, 0)
        outer.addWidget(self.not_recorded)
        self.message.setContentsMargins(9, 0, 9, 9)
        outer.addWidget(self.message)
        self.setMinimumWidth(300)
        self.focus_ring = FocusRing(self)

    def _remember_folded(self) -> None:
        # A folder that cannot be written is told of where something could be lost.
        with contextlib.suppress(StorageError):
            remember_folded(one.title for one in self.sections if not one.heading.isChecked())

    def _actions(self) -> dict[str, Action]:
        """Return what the keys do, by the names of `KEYS`."""
        controller = self.controller
        return {
            "predict_slice": Action(
                controller.prediction.predict_slice, self.predict_panel.slice_button
            ),
            "accept_slice": Action(controller.accepting.toggle, self.correct_panel.accept_button),
            "next_slice": Action(controller.next_slice.go, self.correct_panel.next_button),
            "accept_and_go_on": Action(
                controller.accepting.accept_and_go_on, self.correct_panel.go_on_button
            ),
            "blink": Action(controller.comparing.blink, self.compare_panel.blink_button),
            "retrain": Action(self.retrain_panel.request, self.retrain_panel.button),
        }

    def _show_keys(self, line: str, problem: str) -> None:
        self.keys_line.setText(f"<small>{line}</small>")
        if problem:
            self.message.say(problem, True)

    def what_is_kept(self) -> str:
        """Say whether what the person has done is on the disk; for `show_trouble`."""
        return what_is_kept(*self.controller.keepers)

    def on_slice_requested(self, position: int) -> None:
        """Go to a slice, by its position among all."""
        binding = self.controller.binding
        if binding is not None:
            binding.show(binding.source.index_of(position))

    def show_curve(self) -> None:
        """Scroll as little as it takes to see the training that was just asked for."""
        if self.controller.retraining.is_running:
            QTimer.singleShot(0, self._scroll_to_curve)  # the layout has to make room for it first

    def _scroll_to_curve(self) -> None:
        curve = self.retrain_panel.curve
        if curve.isVisible():  # not where its section is folded
            line = self.fontMetrics().lineSpacing()  # a text above may soon break into one more
            self._area.ensureWidgetVisible(curve, 0, 2 * line)

    def say_place(self) -> None:
        """Say where the project lies, and put that on the clipboard."""
        folder = str(self.controller.session.project.folder)
        QApplication.clipboard().setText(folder)
        self.message.say(f"This project lies in {folder}; that is on the clipboard now.", False)

    def show_log(self) -> None:
        """Open the log of the last training run, also of a window that was closed or died."""
        path = self.log_path()
        if path is not None:
            LogDialog(
                run_log.read_log(path, self.controller.retraining.log), str(path), self
            ).show()

    def log_path(self) -> Path | None:
        """Return where the log of the last training run lies, if there is one."""
        return run_log.log_path(
            self.controller.session.project.folder, self.controller.retraining.log
        )
