"""Commands of the palette: each opens the dock where it is not open yet.

As with buttons and keys, what goes wrong in them is said in a dialog, never in a traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
from napari.utils.notifications import show_info

from napari_sam_adapter.sam.feature_files import delete_feature_files
from napari_sam_adapter.widgets.trouble import guarded, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam_adapter.widgets.dock import SamAdapterDock


def open_dock(viewer: napari.Viewer) -> SamAdapterDock:
    """Return the viewer's dock, opening it if need be."""
    dock: SamAdapterDock
    _, dock = viewer.window.add_plugin_dock_widget("napari-sam-adapter", "SAM Adapter")
    return dock


def predict_slice(viewer: napari.Viewer) -> None:
    """Predict the slice in view."""
    _act_in_dock(viewer, lambda dock: dock.controller.prediction.predict_slice())


def predict_all(viewer: napari.Viewer) -> None:
    """Predict all slices that are neither corrected nor accepted."""
    _act_in_dock(viewer, lambda dock: dock.controller.prediction.predict_all())


def work_in_view(viewer: napari.Viewer) -> None:
    """Work on the planes that the viewer shows."""
    _act_in_dock(viewer, lambda dock: dock.controller.orientation.work_in_view())


def accept_slice(viewer: napari.Viewer) -> None:
    """Accept the slice in view, or take that back."""
    _act_in_dock(viewer, lambda dock: dock.controller.accepting.toggle())


def accept_and_go_on(viewer: napari.Viewer) -> None:
    """Accept the slice in view, and go to the next one that is not accepted."""
    _act_in_dock(viewer, lambda dock: dock.controller.accepting.accept_and_go_on())


def next_slice(viewer: napari.Viewer) -> None:
    """Go to the next slice to correct."""
    _act_in_dock(viewer, lambda dock: dock.controller.next_slice.go())


def fill_between(viewer: napari.Viewer) -> None:
    """Fill the slices between the corrected ones."""
    _act_in_dock(viewer, lambda dock: dock.controller.filling.fill())


def retrain(viewer: napari.Viewer) -> None:
    """Retrain on the corrected and accepted slices."""
    _act_in_dock(viewer, lambda dock: dock.retrain_panel.request())


def delete_encoded() -> None:
    """Delete what is kept of encoded slices for the next time."""
    guarded(
        None, lambda: show_info(f"{delete_feature_files()} files of encoded slices were deleted.")
    )()


def blink(viewer: napari.Viewer) -> None:
    """Blink the slice in view between two versions and the masks."""
    _act_in_dock(viewer, lambda dock: dock.controller.comparing.blink())


def change_map(viewer: napari.Viewer) -> None:
    """Show what changed in the slice in view from one version to the other."""
    _act_in_dock(viewer, lambda dock: dock.controller.comparing.show_map())


def _act_in_dock(viewer: napari.Viewer, act: Callable[[SamAdapterDock], object]) -> None:
    try:
        dock = open_dock(viewer)
    except Exception as error:  # noqa: BLE001 - the boundary, as in `guarded`
        tell(None, error)
    else:
        guarded(dock, act)(dock)
