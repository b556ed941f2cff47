"""Commands of the palette: each opens the dock where it is not open yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
from napari.utils.notifications import show_info

from napari_sam_adapter.sam.feature_files import delete_feature_files

if TYPE_CHECKING:
    from napari_sam_adapter.widgets.dock import SamAdapterDock


def open_dock(viewer: napari.Viewer) -> SamAdapterDock:
    """Return the viewer's dock, opening it if need be."""
    dock: SamAdapterDock
    _, dock = viewer.window.add_plugin_dock_widget("napari-sam-adapter", "SAM Adapter")
    return dock


def predict_slice(viewer: napari.Viewer) -> None:
    """Predict the slice in view."""
    open_dock(viewer).controller.prediction.predict_slice()


def predict_all(viewer: napari.Viewer) -> None:
    """Predict all slices that are not accepted."""
    open_dock(viewer).controller.prediction.predict_all()


def accept_slice(viewer: napari.Viewer) -> None:
    """Accept the slice in view, or take that back."""
    open_dock(viewer).controller.toggle_accepted()


def next_slice(viewer: napari.Viewer) -> None:
    """Go to the next slice to correct."""
    open_dock(viewer).controller.next_slice.go()


def fill_between(viewer: napari.Viewer) -> None:
    """Fill the slices between the corrected ones."""
    open_dock(viewer).controller.filling.fill()


def retrain(viewer: napari.Viewer) -> None:
    """Retrain on the corrected and accepted slices."""
    open_dock(viewer).retrain_panel.request()


def delete_encoded() -> None:
    """Delete what is kept of encoded slices for the next time."""
    show_info(f"{delete_feature_files()} files of encoded slices were deleted.")


def blink(viewer: napari.Viewer) -> None:
    """Blink the slice in view between two versions and the masks."""
    open_dock(viewer).controller.comparing.blink()


def change_map(viewer: napari.Viewer) -> None:
    """Show what changed in the slice in view from one version to the other."""
    open_dock(viewer).controller.comparing.show_map()
