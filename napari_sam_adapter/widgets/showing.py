"""What the dock's panels show of where things stand: versions, classes, slices, help, runs."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.next_slice import uncertainty_of
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.widgets.layers.binding import source_of
from napari_sam_adapter.widgets.panels.slice_words import describe_slice

if TYPE_CHECKING:
    from napari_sam_adapter.widgets.dock import SamAdapterDock

NOT_RECORDED = "Not all that is done here is recorded: see Project, at the top."


class Showing(QObject):
    """Brings what the controller knows into the panels of a dock."""

    def __init__(self, dock: SamAdapterDock) -> None:
        super().__init__(dock)
        self._dock, self._controller = dock, dock.controller

    def everything(self) -> None:
        """Show what there is at the start."""
        self.versions()
        self.classes()
        self.slices()
        self.unfinished()

    def problem(self) -> None:
        """Show why something is not recorded, and, however the dock is scrolled, that it is so."""
        recording, kept = self._controller.keepers
        lacking = recording if recording.problem else kept
        problem, is_tried_again = lacking.problem, lacking.is_tried_again
        self._dock.project_panel.show_problem(problem, is_tried_again=is_tried_again)
        self._dock.not_recorded.say(NOT_RECORDED, True)
        self._dock.not_recorded.setVisible(bool(problem))

    def layers(self) -> None:
        """Show which masks layer is worked on."""
        binding = self._controller.binding
        if binding is not None:
            self._dock.layers_panel.choose_labels(binding.labels)

    def help(self) -> None:
        """Offer the help that the image has: that of volumes, or of large pictures."""
        image = self._controller.layers.image
        with contextlib.suppress(ImageError):  # the dock says what is wrong with it
            self._dock.help_panel.show_image(None if image is None else source_of(image))

    def versions(self) -> None:
        """Show which versions there are, and what follows from the one in use."""
        store = self._controller.session.store
        versions = store.versions()
        active = self._controller.session.in_use.version
        self._dock.versions_panel.show_versions(
            versions, active, self._controller.session.adapter_name
        )
        self._dock.compare_panel.show_versions(
            versions, active, self._controller.comparing.other(versions)
        )
        self._dock.project_panel.show_project(self._controller.session.project.folder)
        spec = base_model(self._controller.session.in_use.reference.base)
        self._dock.models_panel.show_base(spec.name)
        size = None if active is None else active.card.input_size
        self._dock.retrain_panel.show_input_sizes(spec.input_sizes, size)
        own = None if active is None else active.card.adapter.conditions
        upright = active is not None and active.card.keeps_upright
        self._dock.retrain_panel.advanced.show_version(spec.adapter.conditions, own, upright)
        self._show_choices()
        if store.unreadable:
            self._dock.message.say(store.unreadable[0], True)

    def unfinished(self) -> None:
        """Offer to resume a run that was interrupted, and the log of the last one."""
        plan = self._controller.retraining.unfinished()
        self._dock.retrain_panel.show_unfinished(0 if plan is None else plan.n_slices)
        self._dock.retrain_panel.show_log(self._dock.log_path() is not None)

    def _show_choices(self) -> None:
        session = self._controller.session
        self._dock.predict_panel.show_choices(
            session.in_use.knows_mirror_images, session.in_use.views > 1, len(session.classes) == 1
        )

    def classes(self) -> None:
        """Show the classes, and the one that is painted with."""
        self._show_choices()
        self._dock.classes_panel.show_classes(self._controller.session.classes)
        self._dock.classes_panel.show_selected(self._controller.classes.label)

    def slices(self) -> None:
        """Show where the slices stand."""
        binding = self._controller.binding
        if binding is None or not binding.is_alive:
            self._dock.correct_panel.show_nothing(self._controller.layers.image is not None)
            self._dock.retrain_panel.show_ready(0, self._controller.elsewhere.count)
            self._dock.effort_plot.show_rounds(())
            return
        source = binding.source
        states = [binding.tracker.state(index) for index in source.indices()]
        index = binding.index_in_view()
        position = binding.source.flat(index)
        unsure = uncertainty_of(binding.tracker, source.indices())
        name_of = self._controller.session.adapter_name
        describe = partial(describe_slice, binding, name_of=name_of)
        self._dock.correct_panel.ruler.describe = describe
        self._dock.correct_panel.show_states(
            states,
            position,
            describe(position),
            list(unsure.values()),
            sum(map(binding.tracker.is_filled, source.indices())),
        )
        self._dock.retrain_panel.show_ready(
            len(binding.tracker.ready()),
            self._controller.elsewhere.count,
            len(binding.tracker.left_out()),
        )
        record = self._controller.recording.record_of(binding)
        rounds = () if record is None else record.ledger.worked_rounds
        self._dock.effort_plot.show_rounds(rounds, source.describe)
