"""Who hears whom in the dock: panels ask, the controller acts, panels show what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_sam_adapter.project.mending import in_short
from napari_sam_adapter.widgets.trouble import guarded
from napari_sam_adapter.widgets.uncaught import catch_uncaught

if TYPE_CHECKING:
    from napari_sam_adapter.widgets.dock import SamAdapterDock


def connect(dock: SamAdapterDock) -> None:
    """Connect panels and controller of a dock.

    What a person asks for never ends in a traceback (`trouble.guarded`), nor does what callbacks of
    napari and Qt do by themselves (`uncaught`).
    """
    catch_uncaught()
    for signal, act in _requests(dock):
        signal.connect(guarded(dock, act))
    _connect_answers(dock)


def _requests(dock: SamAdapterDock) -> list[tuple[Any, Callable[..., Any]]]:
    """List what panels may ask for, and who does it."""
    controller = dock.controller
    prediction, retraining = controller.prediction, controller.retraining
    comparing, classes, versions = controller.comparing, controller.classes, controller.versions
    return [
        (dock.layers_panel.layers_chosen, controller.layers.choose),
        (dock.layers_panel.image_chosen, controller.in_front.bring),
        (dock.layers_panel.image_waits, controller.in_front.say_that_it_waits),
        (dock.layers_panel.orientation_requested, controller.orientation.work_in_view),
        (dock.models_panel.base_requested, controller.base.choose),
        (dock.models_panel.fetch_requested, controller.fetching.start),
        (dock.models_panel.cancel_requested, controller.fetching.cancel),
        (dock.versions_panel.version_requested, versions.activate),
        (dock.versions_panel.load_requested, versions.load_file),
        (dock.versions_panel.export_requested, versions.export),
        (dock.versions_panel.description_requested, versions.describe),
        (dock.versions_panel.delete_requested, versions.delete),
        (dock.compare_panel.other_requested, comparing.compare_with),
        (dock.compare_panel.blink_requested, comparing.blink),
        (dock.compare_panel.map_requested, comparing.show_map),
        (dock.project_panel.folder_requested, controller.open_project),
        (dock.project_panel.images_requested, controller.images.look),
        (dock.project_panel.image_requested, controller.opening.open_record),
        (
            dock.project_panel.troubles_requested,
            lambda said: dock.message.say(in_short(said), True),
        ),
        (dock.project_panel.file_requested, controller.opening.open_file),
        (dock.project_panel.place_requested, dock.say_place),
        (dock.predict_panel.slice_requested, prediction.predict_slice),
        (dock.predict_panel.all_requested, prediction.predict_all),
        (dock.predict_panel.cancel_requested, prediction.cancel),
        (dock.predict_panel.care_requested, controller.set_care),
        (dock.predict_panel.number_box.toggled, prediction.number_objects),
        (dock.help_panel.help_requested, prediction.choose_help),
        (dock.correct_panel.accept_requested, controller.accepting.toggle),
        (dock.correct_panel.accept_and_go_on_requested, controller.accepting.accept_and_go_on),
        (dock.correct_panel.slice_requested, dock.on_slice_requested),
        (dock.correct_panel.next_requested, controller.next_slice.go),
        (dock.correct_panel.fill_requested, controller.filling.fill),
        (dock.prompts_panel.boxes_requested, controller.add_boxes),
        (dock.prompts_panel.points_requested, controller.add_points),
        (dock.prompts_panel.kind_requested, controller.prompts.mark),
        (dock.classes_panel.class_requested, classes.choose),
        (dock.classes_panel.add_requested, classes.add),
        (dock.classes_panel.rename_requested, classes.rename),
        (dock.classes_panel.recolor_requested, classes.recolor),
        (dock.classes_panel.remove_requested, classes.remove_last),
        (dock.retrain_panel.retrain_requested, retraining.start),
        (dock.retrain_panel.stop_requested, retraining.stop),
        (dock.retrain_panel.resume_requested, retraining.resume),
        (dock.retrain_panel.discard_requested, retraining.discard),
        (dock.retrain_panel.log_requested, dock.show_log),
    ]


def _connect_answers(dock: SamAdapterDock) -> None:
    controller = dock.controller
    layers, retraining = controller.layers, controller.retraining
    dock.layers_panel.labels_of = layers.labels_of
    dock.layers_panel.is_held = controller.in_front.is_held
    controller.getting_ready.settings = dock.retrain_panel.settings
    controller.images.listed.connect(dock.project_panel.images_menu.show_images)
    controller.images.looked.connect(dock.project_panel.images_menu.show_image)
    controller.opening.opened.connect(dock.layers_panel.choose_image)
    controller.orientation.opened.connect(dock.layers_panel.choose_image)
    controller.orientation.offered.connect(dock.layers_panel.orientation_button.setVisible)
    controller.said.connect(dock.message.say)
    controller.said_of_image.connect(dock.message.say_of_image)
    controller.engine_ready.connect(dock.message.say_ready)
    layers.image_changed.connect(lambda: dock.message.on_image(layers.image is not None))
    for needs_masks in (retraining, controller.filling):
        needs_masks.refused.connect(dock.message.refuse)
    controller.unchosen.advised.connect(dock.message.advise)
    layers.edited.connect(dock.message.on_edit)
    for other_masks in (layers.changed, layers.states_changed):
        other_masks.connect(dock.message.on_masks)
    controller.classes_changed.connect(dock.message.on_masks)
    controller.versions_changed.connect(dock.showing.versions)
    controller.classes_changed.connect(dock.showing.classes)
    controller.classes.selected.connect(dock.classes_panel.show_selected)
    for keeper in controller.keepers:
        keeper.problem_changed.connect(dock.showing.problem)
    controller.prompts.kind_changed.connect(dock.prompts_panel.show_kind)
    controller.fetching.progressed.connect(dock.models_panel.show_progress)
    controller.prediction.progressed.connect(dock.predict_panel.show_progress)
    controller.prediction.progressed.connect(dock.correct_panel.show_running)
    layers.changed.connect(dock.showing.layers)
    layers.image_changed.connect(dock.showing.help)
    layers.image_changed.connect(dock.showing.slices)
    layers.slices_changed.connect(dock.showing.slices)
    controller.elsewhere.counted.connect(dock.showing.slices)
    retraining.changed.connect(dock.retrain_panel.show_training)
    for asked in (dock.retrain_panel.retrain_requested, dock.retrain_panel.resume_requested):
        asked.connect(dock.show_curve)  # after the run was begun
    retraining.reported.connect(dock.retrain_panel.show_event)
    retraining.changed.connect(lambda running: dock.showing.unfinished())
    controller.session.project_changed.connect(dock.showing.unfinished)
    controller.session.project_changed.connect(dock.predict_panel.reset)
    controller.session.project_changed.connect(dock.help_panel.reset)
    controller.session.project_changed.connect(dock.retrain_panel.reset)
