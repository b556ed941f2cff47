"""Where the slices stand: the ruler, the counts; Accept, and go on; Next slice; Fill between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.widgets.panels.section import SPACING
from napari_sam_adapter.widgets.panels.slice_ruler import STATE_COLOURS, SliceRuler

GO_ON_WIDTH = 28
_SHOWN = (SliceState.PREDICTED, SliceState.CORRECTED, SliceState.ACCEPTED)

FILL = (
    "Interpolate the shapes between the slices you have corrected or accepted; yours stay as they "
    "are"
)


class CorrectPanel(QWidget):
    """The states of all slices, the state of the one in view, and what may be done to them."""

    slice_requested = Signal(int)
    accept_requested = Signal()
    accept_and_go_on_requested = Signal()
    next_requested = Signal()
    fill_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.in_view = QLabel()
        self.in_view.setWordWrap(True)
        self.ruler = SliceRuler()
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.in_view.setToolTip("What has become of the slice in view")
        self.legend.setToolTip("Colours of the strip, and how many slices have each")
        self.accept_button = QPushButton("Accept")
        self.accept_button.setToolTip(
            "This mask needs no change: train on it and keep it. Again to take it back."
        )
        self.go_on_button = QPushButton("»")
        self.go_on_button.setAccessibleName("Accept, and go on")
        self.go_on_button.setToolTip(
            "For a row of good slices: accept this one, and go to the next one along the slider "
            "that is not accepted"
        )
        self.go_on_button.setFixedWidth(GO_ON_WIDTH)
        self.next_button = QPushButton("Next")
        self.next_button.setToolTip(
            "Go to a slice that is worth correcting: nothing near it is corrected, or the "
            "model is unsure there. Again for another one."
        )
        self.fill_button = QPushButton("Fill between")
        self.fill_button.setToolTip(FILL)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.accept_button, 1)
        row.addWidget(self.go_on_button)
        row.addWidget(self.next_button, 1)
        row.addWidget(self.fill_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addWidget(self.in_view)
        layout.addWidget(self.ruler)
        layout.addWidget(self.legend)
        layout.addLayout(row)
        self.ruler.position_chosen.connect(self.slice_requested)
        self.accept_button.clicked.connect(self.accept_requested)
        self.go_on_button.clicked.connect(self.accept_and_go_on_requested)
        self.next_button.clicked.connect(self.next_requested)
        self.fill_button.clicked.connect(self.fill_requested)
        self.show_nothing()

    def show_nothing(self, has_image: bool = False) -> None:
        """No masks are chosen, perhaps no image either."""
        self.ruler.hide()
        self.go_on_button.hide()
        self.next_button.hide()
        self.fill_button.hide()
        self.in_view.setText(
            "Predict a slice, then correct its mask." if has_image else "Open an image to begin."
        )
        self.accept_button.setText("Accept")
        self._show_counts(Counter())

    def show_states(
        self,
        states: Sequence[SliceState],
        current: int,
        description: str,
        uncertainty: Sequence[float | None] = (),
        n_filled: int = 0,
    ) -> None:
        """Show all states, how unsure the predictions are, and describe the slice in view.

        Of the slices whose state is predicted, `n_filled` were so by interpolation.
        """
        self.ruler.setVisible(len(states) > 1)
        self.go_on_button.setVisible(len(states) > 1)
        self.next_button.setVisible(len(states) > 1)
        self.fill_button.setVisible(len(states) > 1)
        self.ruler.set_states(states, current, uncertainty)
        self.in_view.setText(description)
        accepted = states[current] is SliceState.ACCEPTED
        self.accept_button.setText("Take back" if accepted else "Accept")
        self._show_counts(Counter(states), n_filled)

    def show_running(self, done: int, total: int) -> None:
        """Let nothing be filled while slices are being written; see `Prediction.progressed`."""
        self.fill_button.setEnabled(total == 0)
        self.fill_button.setToolTip(FILL if total == 0 else "Slices are being written: a moment")

    def _show_counts(self, counts: Counter[SliceState], n_filled: int = 0) -> None:
        words = {state: f"{counts[state]}&nbsp;{state.value}" for state in _SHOWN}
        if n_filled:
            n_predicted = counts[SliceState.PREDICTED] - n_filled
            words[SliceState.PREDICTED] = f"{n_predicted}&nbsp;predicted, {n_filled}&nbsp;filled"
        parts = (
            f'<span style="color:{STATE_COLOURS[state]}">■</span>&nbsp;{said}'
            for state, said in words.items()
        )
        # Small, so that one line is enough in a dock of the usual width.
        self.legend.setText(f"<small>{'&nbsp; '.join(parts)}</small>")
