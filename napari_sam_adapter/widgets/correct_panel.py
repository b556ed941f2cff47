"""Where the slices stand: the ruler, the counts, Accept and Fill between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sam_adapter.annotations import SliceState
from napari_sam_adapter.widgets.slice_ruler import STATE_COLOURS, SliceRuler

_SHOWN = (SliceState.PREDICTED, SliceState.CORRECTED, SliceState.ACCEPTED)


class CorrectPanel(QWidget):
    """The states of all slices, the state of the one in view, and what may be done to them."""

    slice_requested = Signal(int)
    accept_requested = Signal()
    fill_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.in_view = QLabel("Open an image to begin.")
        self.in_view.setWordWrap(True)
        self.ruler = SliceRuler()
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.accept_button = QPushButton("Accept slice")
        self.accept_button.setToolTip(
            "This mask needs no change: train on it and keep it (Shift+A). Again to take it back."
        )
        self.fill_button = QPushButton("Fill between")
        self.fill_button.setToolTip(
            "Interpolate the shapes between the slices you have corrected or accepted; yours stay "
            "as they are"
        )
        counts = QHBoxLayout()
        counts.addWidget(self.legend, 1)
        counts.addWidget(self.fill_button)
        row = QHBoxLayout()
        row.addWidget(self.in_view, 1)
        row.addWidget(self.accept_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.ruler)
        layout.addLayout(counts)
        self.ruler.slice_requested.connect(self.slice_requested)
        self.accept_button.clicked.connect(self.accept_requested)
        self.fill_button.clicked.connect(self.fill_requested)
        self.show_nothing()

    def show_nothing(self) -> None:
        """No layers are chosen."""
        self.ruler.hide()
        self.fill_button.hide()
        self.in_view.setText("Predict a slice, then correct its mask.")
        self.accept_button.setText("Accept slice")
        self._show_counts(Counter())

    def show_states(self, states: Sequence[SliceState], current: int, description: str) -> None:
        """Show all states and describe the slice in view."""
        self.ruler.setVisible(len(states) > 1)
        self.fill_button.setVisible(len(states) > 1)
        self.ruler.set_states(states, current)
        self.in_view.setText(description)
        accepted = states[current] is SliceState.ACCEPTED
        self.accept_button.setText("Take back" if accepted else "Accept slice")
        self._show_counts(Counter(states))

    def show_running(self, done: int, total: int) -> None:
        """Let nothing be filled while slices are being written; see `Prediction.progressed`."""
        self.fill_button.setEnabled(total == 0)

    def _show_counts(self, counts: Counter[SliceState]) -> None:
        parts = (
            f'<span style="color:{STATE_COLOURS[state]}">■</span>'
            f"&nbsp;{counts[state]}&nbsp;{state.value}"
            for state in _SHOWN
        )
        self.legend.setText("&nbsp; ".join(parts))
