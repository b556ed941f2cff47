"""What there is to know of a version, as text that the keyboard and screen readers reach."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QPlainTextEdit, QSizePolicy, QWidget

ROWS_SHOWN = 8


class VersionDetails(QPlainTextEdit):
    """A few lines to read, select and scroll; Tab goes on to the next widget."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setTabChangesFocus(True)
        self.setAccessibleName("About the version")
        self.setToolTip("About the row you are on in the list: what it learned from, how it scored")
        # Lines are broken anywhere if need be; before Qt breaks them anew it would show a bar.
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._fit()

    def show_text(self, text: str) -> None:
        """Show what is known of a version, from its beginning."""
        self.setPlainText(text)
        self.setAccessibleDescription(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Take more or fewer rows where lines are broken anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Take as many rows as there are, up to a bound: of the base model there is one to tell."""
        rows = round(self.document().size().height())  # of plain text, Qt counts it in rows
        shown = min(max(rows, 1), ROWS_SHOWN)
        policy = Qt.ScrollBarPolicy
        self.setVerticalScrollBarPolicy(
            policy.ScrollBarAsNeeded if rows > shown else policy.ScrollBarAlwaysOff
        )
        around = self.contentsMargins()  # what the theme puts around it
        margins = around.top() + around.bottom() + 2 * round(self.document().documentMargin())
        self.setFixedHeight(shown * self.fontMetrics().lineSpacing() + margins)
