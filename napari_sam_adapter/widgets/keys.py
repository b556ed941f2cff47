"""Keys of the dock. They work on the viewer and, because layer keys win, on its layers too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer

from napari_sam_adapter.widgets.prompt_layers import is_prompt_layer

if TYPE_CHECKING:
    import napari

    from napari_sam_adapter.widgets.dock import SamAdapterDock

KEYS = {
    "Shift-P": "predict the slice in view",
    "Shift-A": "accept the slice in view, or take that back",
    "Shift-N": "go to the slice where a correction would teach most",
    "Shift-B": "blink the slice in view between two versions and your masks",
    "Shift-R": "retrain on the corrected and accepted slices",
}


def bind_keys(viewer: napari.Viewer, dock: SamAdapterDock) -> None:
    """Bind `KEYS` on the viewer and on its layers; they do nothing once the dock is closed."""
    actions: dict[str, Callable[[], None]] = {
        "Shift-P": dock.controller.prediction.predict_slice,
        "Shift-A": dock.controller.toggle_accepted,
        "Shift-N": dock.controller.next_slice.go,
        "Shift-B": dock.controller.comparing.blink,
        "Shift-R": dock.retrain_panel.request,
    }

    def bind_on(target: Any, keys: Iterable[str] = tuple(KEYS)) -> None:
        for key in keys:
            target.bind_key(key, _handler(actions[key], dock), overwrite=True)

    def bind_on_layer(layer: Layer) -> None:
        # Other layers have tools of their own on these keys.
        if isinstance(layer, Image | Labels):
            bind_on(layer)
        elif is_prompt_layer(layer):
            bind_on(layer, ["Shift-P"])  # predicting is what follows a box

    bind_on(viewer)
    for layer in viewer.layers:
        bind_on_layer(layer)
    dock.controller.prompts.layer_taken.connect(bind_on_layer)
    viewer.layers.events.inserted.connect(
        lambda event: bind_on_layer(event.value) if dock.is_open else None
    )


def _handler(action: Callable[[], None], dock: SamAdapterDock) -> Callable[[Any], None]:
    def handle(_: Any) -> None:
        if dock.is_open:
            action()

    return handle
