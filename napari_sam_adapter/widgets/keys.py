"""Keys of the dock. They work on the viewer and, because layer keys win, on its layers too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari.layers import Image, Labels, Layer
from napari.utils.key_bindings import coerce_keybinding

from napari_sam_adapter.widgets.predict.prompt_layers import is_prompt_layer
from napari_sam_adapter.widgets.preferences import on_preferences_changed, preference
from napari_sam_adapter.widgets.trouble import guarded

if TYPE_CHECKING:
    import napari
    from qtpy.QtWidgets import QWidget

    from napari_sam_adapter.widgets.dock import SamAdapterDock

# What is done, its usual key, and what the dock's line of keys calls it; the names are those of the
# manifest's configurations.
KEYS = {
    "predict_slice": ("Shift-P", "predict"),
    "accept_slice": ("Shift-A", "accept"),
    "next_slice": ("Shift-N", "next"),
    "accept_and_go_on": ("Shift-D", "accept, go on"),
    "blink": ("Shift-B", "before / after"),
    "retrain": ("Shift-R", "retrain"),
}


@dataclass(frozen=True, slots=True)
class Action:
    """What a key does.

    Attributes
    ----------
    act : callable
    button : QWidget
        That does the same; its tooltip names the key.
    """

    act: Callable[[], None]
    button: QWidget


class Keys:
    """The keys of one dock, as Preferences say; they do nothing once the dock is closed.

    Parameters
    ----------
    viewer : Viewer
    dock : SamAdapterDock
    actions : mapping of str to Action
        By the names in `KEYS`.
    show : callable
        Called with the line of keys, and a sentence where Preferences cannot be followed.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        dock: SamAdapterDock,
        actions: Mapping[str, Action],
        show: Callable[[str, str], None],
    ) -> None:
        self._viewer, self._dock, self._actions, self._show = viewer, dock, actions, show
        self._tips = {name: action.button.toolTip() for name, action in actions.items()}
        self._bound: WeakSet[Any] = WeakSet()
        self._is_open = True
        self.keys: dict[str, str] = {}
        self._stop = on_preferences_changed("keys", self.bind)
        dock.controller.prompts.layer_taken.connect(self._bind_on_layer)
        viewer.layers.events.inserted.connect(self._on_inserted)
        self.bind()

    def bind(self) -> None:
        """Bind the keys as Preferences have them now."""
        for target in self._bound:
            for key in self.keys.values():
                target.bind_key(key, None, overwrite=True)
        self._bound.clear()
        self.keys, problem = _chosen()
        self._bind_on(self._viewer)
        for layer in self._viewer.layers:
            self._bind_on_layer(layer)
        for name, action in self._actions.items():
            tip = self._tips[name]
            key = self.keys[name].replace("-", "+")
            action.button.setToolTip(f"{tip} ({key})" if tip else key)
        self._show(self._line(), problem)

    def _line(self) -> str:
        pairs = ((self.keys[name].replace("-", "+"), what) for name, (_, what) in KEYS.items())
        return " · ".join(f"{key} {what}" for key, what in pairs)

    def close(self) -> None:
        """Do nothing more; let go of the viewer and of Preferences."""
        self._is_open = False
        self._stop()
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)

    def _bind_on(self, target: Any, names: Iterable[str] = tuple(KEYS)) -> None:
        for name in names:
            target.bind_key(self.keys[name], self._handler(name), overwrite=True)
        self._bound.add(target)

    def _bind_on_layer(self, layer: Layer) -> None:
        # Other layers have tools of their own on these keys.
        if isinstance(layer, Image | Labels):
            self._bind_on(layer)
        elif is_prompt_layer(layer):
            self._bind_on(layer, ["predict_slice"])  # predicting is what follows a box

    def _on_inserted(self, event: Any) -> None:
        self._bind_on_layer(event.value)

    def _handler(self, name: str) -> Callable[[Any], None]:
        act = guarded(self._dock, self._actions[name].act)

        def handle(_: Any) -> None:
            if self._is_open:
                act()

        return handle


def _chosen() -> tuple[dict[str, str], str]:
    """Return the key of each action, and a sentence where Preferences cannot be followed.

    No two actions share a key: of those that want the same one, that whose usual key it is has it,
    else the first; the others have their usual ones. That may take a key from yet another action,
    which then has its usual one; as these are all different, it comes to an end.
    """
    keys, refused = {}, {}
    for name, (usual, _) in KEYS.items():
        wanted = str(preference("keys", name) or usual).strip()
        keys[name] = _key_of(wanted)
        if not keys[name]:
            keys[name], refused[name] = usual, f"{wanted!r} is no key"
    while len(set(keys.values())) < len(keys):
        for name in reversed(KEYS):
            usual, key = KEYS[name][0], keys[name]
            if key != usual and list(keys.values()).count(key) > 1:
                keys[name], refused[name] = usual, f"{key} has another meaning already"
    problems = [f"{why}: {KEYS[name][1]} is on {KEYS[name][0]}" for name, why in refused.items()]
    return keys, f"In Preferences, {'; '.join(problems)}." if problems else ""


def _key_of(wanted: str) -> str:
    """Return a key as napari writes it, with hyphens; "" where it is none.

    ``Shift P`` is Shift+P; to napari it would be two keys, one after the other.
    """
    key = str(coerce_keybinding("-".join(re.split(r"[\s+-]+", wanted)))).replace("+", "-")
    return "" if key.endswith("-") else key
