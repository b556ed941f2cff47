"""Errors of ours that nothing guards end in the dialog, too, wherever they come from.

Qt and napari's events leave what a callback raises to Python's hook, where napari has its own: that
shows the error with its traceback. What none of our code has to do with goes on to that hook.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_sam_adapter.errors import sentence_of
from napari_sam_adapter.widgets.trouble import has_window, is_shown, show_trouble

LOGGER = logging.getLogger(__name__)
_OURS = __name__.partition(".")[0]


class UncaughtHook:
    """Stands before the hook that was there; `sys.excepthook` calls it."""

    def __init__(self, before: Callable[..., Any]) -> None:
        self._before = before

    def __call__(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Open the dialog once for an error of ours, while it is not closed; log it."""
        is_ours = any(map(_is_ours, _frames(error)))
        if not (isinstance(error, Exception) and is_ours and has_window()):
            self._before(kind, error, trace)
            return
        LOGGER.error("unexpected error", exc_info=error)
        sentence = sentence_of(error)
        if not is_shown(sentence):
            details = "".join(traceback.format_exception(error))
            show_trouble(None, sentence, details, _kept())


def catch_uncaught() -> None:
    """Put the hook before the one that is there, and before that of napari if it runs only then."""
    _put_before()
    QTimer.singleShot(0, _put_before)


def _put_before() -> None:
    if not isinstance(sys.excepthook, UncaughtHook):
        sys.excepthook = UncaughtHook(sys.excepthook)


def _frames(error: BaseException | None) -> Iterator[TracebackType]:
    """Walk the frames of an error and of its causes: napari's events raise one of their own."""
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            yield trace
            trace = trace.tb_next
        error = error.__cause__


def _is_ours(trace: TracebackType) -> bool:
    return str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] == _OURS


def _kept() -> str:
    """Say what is kept, in every dock that is open: which one it was about is not known."""
    docks = [one for one in QApplication.allWidgets() if hasattr(one, "what_is_kept")]
    return " ".join(dict.fromkeys(str(one.what_is_kept()) for one in docks if one.is_open))
