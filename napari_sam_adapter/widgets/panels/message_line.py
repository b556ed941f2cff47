"""What happened last, in a line that stays in view, as long as it is true."""

from __future__ import annotations

from enum import Enum

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_sam_adapter.widgets.panels.small import Said

STARTING = "Starting the model…"
OPEN_AN_IMAGE = (
    "Open an image to begin: drop its file onto the window, or File ▸ Open File(s), or "
    "File ▸ Open Sample."
)


class _Until(Enum):
    """How long a sentence is true."""

    ANOTHER = "another sentence"
    IMAGE = "another image is chosen"
    EDIT = "something is painted, undone or redone, or another image is chosen"
    MASKS = "the masks or the classes are changed, or another image is chosen"


class MessageLine(Said):
    """The sentence said last. Without an image, and without news, it says to open one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(STARTING, parent)
        self._until = _Until.ANOTHER
        self._has_image = True
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("What happened last")
        self.setToolTip("What happened last, and what may come next")

    def say(self, sentence: str, is_problem: bool = False) -> None:
        """Say something that is true whatever image is chosen."""
        self._show(sentence, is_problem, _Until.ANOTHER)

    def say_of_image(self, sentence: str, is_problem: bool = False) -> None:
        """Say something about the image that is chosen; it goes with the image."""
        self._show(sentence, is_problem, _Until.IMAGE)

    def refuse(self, sentence: str) -> None:
        """Say what is wrong with the masks; it goes as soon as they are changed."""
        self._show(sentence, True, _Until.MASKS)

    def advise(self, sentence: str) -> None:
        """Say what may be done about masks; it goes as soon as they are chosen or changed."""
        self._show(sentence, False, _Until.MASKS)

    def say_ready(self, sentence: str) -> None:
        """Say that the model has started, if nothing was said since: an answer matters more."""
        if self.text() == STARTING:
            self.say(sentence)
        elif self.text() == OPEN_AN_IMAGE:
            self.say_of_image(f"{OPEN_AN_IMAGE} {sentence}")

    def on_image(self, has_image: bool) -> None:
        """Forget what was said of the image that was chosen before."""
        self._has_image = has_image
        if self._until is not _Until.ANOTHER or self.text() == STARTING:
            self._show_nothing_new()

    def on_masks(self) -> None:
        """Forget what was wrong with masks or classes: it may be mended."""
        if self._until is _Until.MASKS:
            self._show_nothing_new()

    def on_edit(self, elsewhere: str) -> None:
        """Say what undo or redo has changed out of view, if anything, until the next edit."""
        self.on_masks()
        if elsewhere:
            self._show(elsewhere, False, _Until.EDIT)
        elif self._until is _Until.EDIT:
            self._show_nothing_new()

    def _show_nothing_new(self) -> None:
        is_starting = self.text() == STARTING
        if not self._has_image:
            self.say_of_image(OPEN_AN_IMAGE)
        elif not is_starting:
            self.say_of_image("")

    def _show(self, sentence: str, is_problem: bool, until: _Until) -> None:
        self._until = until
        super().say(sentence, is_problem)
