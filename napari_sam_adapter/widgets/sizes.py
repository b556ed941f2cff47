"""Keep the dock usable at 300 pixels: long texts must not decide its width."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox

_SHORTEST = 8


def let_shrink(box: QComboBox) -> None:
    """Let a list be narrower than its longest entry."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_SHORTEST)
