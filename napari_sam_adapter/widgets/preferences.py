"""The plugin's page in napari's Preferences: keys, and what a training run begins with.

The page itself is described in the manifest (``configurations``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from napari.settings import get_plugin_settings

NAME = "napari-sam-adapter"


def preference(section: str, key: str) -> Any:
    """Return a preference, e.g. ``preference("training", "gear")``; None without the page.

    The page is there if napari knows the plugin by its manifest, which it does not in every test.
    """
    settings = _settings()
    return None if settings is None else getattr(getattr(settings, section), key)


def on_preferences_changed(section: str, act: Callable[[], None]) -> Callable[[], None]:
    """Call something whenever a preference of a section changes.

    Returns
    -------
    callable
        Stops that.
    """
    settings = _settings()
    if settings is None:
        return lambda: None
    events = getattr(settings, section).events

    def changed(_: Any) -> None:
        act()

    events.connect(changed)

    def stop() -> None:
        with contextlib.suppress(ValueError, RuntimeError):
            events.disconnect(changed)

    return stop


def _settings() -> Any:
    try:
        return get_plugin_settings(NAME)
    except (KeyError, ValueError):
        return None
