"""Keys of the dock. They work on the viewer and, because layer keys win, on its layers too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

    from napari_sam_adapter.widgets.dock import SamAdapterDock

KEYS = {
    "Shift-P": "predict the slice in view",
    "Shift-A": "accept the slice in view, or take that back",
    "Shift-R": "retrain on the corrected and accepted slices",
}


def bind_keys(viewer: napari.Viewer, dock: SamAdapterDock) -> None:
    """Bind `KEYS` for as long as the viewer lives."""

    def retrain() -> None:
        if not dock.controller.is_training:
            dock.controller.retrain(dock.retrain_panel.config())

    actions: dict[str, Callable[[], None]] = {
        "Shift-P": dock.controller.predict_slice,
        "Shift-A": dock.controller.toggle_accepted,
        "Shift-R": retrain,
    }

    def bind_on(target: Any) -> None:
        for key, action in actions.items():
            target.bind_key(key, _handler(action), overwrite=True)

    bind_on(viewer)
    for layer in viewer.layers:
        bind_on(layer)
    viewer.layers.events.inserted.connect(lambda event: bind_on(event.value))


def _handler(action: Callable[[], None]) -> Callable[[Any], Iterator[None] | None]:
    def handle(_: Any) -> None:
        action()

    return handle
