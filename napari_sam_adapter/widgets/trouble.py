"""What a person sees of an error of the program: a sentence, what was kept, details to copy."""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QApplication, QMessageBox, QPushButton, QWidget

from napari_sam_adapter.errors import SamAdapterError, sentence_of

if TYPE_CHECKING:
    from napari_sam_adapter.widgets.record.kept_layers import KeptLayers
    from napari_sam_adapter.widgets.record.recording import Recording

LOGGER = logging.getLogger(__name__)
_SHOWN: set[TroubleDialog] = set()
KEPT = "Your masks and corrections are kept: what was painted is in the project folder."
OPENING = (
    "Your masks are in the viewer, and the project is about to record them; what was recorded "
    "before is in its folder."
)
OF_FILE = "It is left as it is, and nothing was opened. Other files open as before."
NOT_SAVED = (
    "Nothing was saved. The masks are in the viewer as before, and what the project has recorded "
    "of them stays there."
)
GO_ON = "You can go on working; if it happens again, send the details to the developers."


def what_is_kept(recording: Recording, kept: KeptLayers) -> str:
    """Say whether what the person has done is on the disk, or why not."""
    return recording.problem or kept.problem or (OPENING if recording.is_busy else KEPT)


class TroubleDialog(QMessageBox):
    """Says what happened and what was kept; a button copies the details. Blocks nothing.

    Parameters
    ----------
    sentence : str
    details : str
        For developers: a traceback, or the log of a process.
    kept : str
        What became of the person's work; "" where none can be concerned.
    parent : QWidget or None
    advice : str
        What to do; by default, where the program is at fault.
    """

    def __init__(
        self,
        sentence: str,
        details: str,
        kept: str = "",
        parent: QWidget | None = None,
        advice: str = GO_ON,
    ) -> None:
        super().__init__(QMessageBox.Icon.Warning, "SAM Adapter", sentence, parent=parent)
        self.details = details
        self.setInformativeText(f"{kept} {advice}".lstrip())
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setModal(False)
        self.addButton(QMessageBox.StandardButton.Close)
        self.copy_button = QPushButton("Copy details")
        self.addButton(self.copy_button, QMessageBox.ButtonRole.ActionRole)
        self.copy_button.setVisible(bool(details))
        # A message box closes on any of its buttons.
        self.copy_button.clicked.disconnect()
        self.copy_button.clicked.connect(self.copy)

    def copy(self) -> None:
        """Put sentence and details on the clipboard."""
        QApplication.clipboard().setText(f"{self.text()}\n\n{self.details}")
        self.copy_button.setText("Copied")


def has_window() -> bool:
    """Whether somebody can see a dialog."""
    return QApplication.instance() is not None and any(
        widget.isVisible() for widget in QApplication.topLevelWidgets()
    )


def show_trouble(
    asker: QObject | None, sentence: str, details: str, kept: str = ""
) -> TroubleDialog:
    """Open the dialog over the widget that an object belongs to; a dock knows what is kept."""
    while asker is not None and not isinstance(asker, QWidget):
        asker = asker.parent()
    return _show(TroubleDialog(sentence, details, kept or _kept_by(asker), asker))


def is_shown(sentence: str) -> bool:
    """Whether a dialog says a sentence already: what fails again and again opens no second one."""
    return any(dialog.text() == sentence for dialog in _SHOWN)


def tell_of_file(error: Exception, kept: str = OF_FILE) -> None:
    """Show what is wrong with a file of the person's, which no developer can mend.

    Where the program is at fault, that is told with the details, and logged.

    Parameters
    ----------
    error : Exception
        It is being handled.
    kept : str
        What became of the file and of the person's work.
    """
    if isinstance(error, SamAdapterError):
        _show(TroubleDialog(str(error), "", advice=kept))
        return
    LOGGER.exception("unexpected error")
    _show(TroubleDialog(sentence_of(error), traceback.format_exc(), kept))


def _show(dialog: TroubleDialog) -> TroubleDialog:
    # One without a parent would go with the last name it has in Python.
    _SHOWN.add(dialog)
    dialog.destroyed.connect(lambda *_: _SHOWN.discard(dialog))
    dialog.show()
    return dialog


def _kept_by(asker: QObject | None) -> str:
    while asker is not None:
        tell = getattr(asker, "what_is_kept", None)
        if tell is not None:
            return str(tell())
        asker = asker.parent()
    return ""


def tell(owner: QObject | None, error: Exception) -> None:
    """Show an error that is being handled; whoever expects it handles it before."""
    LOGGER.exception("unexpected error")
    show_trouble(owner, sentence_of(error), traceback.format_exc())


def guarded(
    owner: QObject | None, act: Callable[..., Any], *, once: bool = False
) -> Callable[..., None]:
    """Let an action of a button, key or timer end in the dialog, never in a traceback.

    Parameters
    ----------
    owner : QObject or None
        Over whose widget the dialog opens.
    act : callable
        Its own errors with a message for the person are expected to be handled in it.
    once : bool
        Open the dialog for a sentence once, and only log it later: what nobody asks for goes on by
        itself, and may fail many times a second.
    """
    told: set[str] = set()

    @functools.wraps(act)
    def guard(*arguments: Any) -> None:
        try:
            act(*arguments)
        except Exception as error:  # the boundary: every failure becomes a message
            if once and sentence_of(error) in told:
                LOGGER.exception("unexpected error, again")
                return
            told.add(sentence_of(error))
            tell(owner, error)

    return guard


def take_all(*steps: Callable[[], object]) -> None:
    """Take the steps in which something is closed; one that fails is told and stops no other."""
    for step in steps:
        guarded(None, step)()
