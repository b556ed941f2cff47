"""Tell which method a checkpoint is of that cannot be used, by the names of its tensors."""

from __future__ import annotations

from collections.abc import Iterable

# Other methods, by what only their checkpoints hold.
_MARKS = (
    ("image_encoder.trunk.", "SAM2-Adapter"),
    ("sam_mask_decoder.", "SAM 2"),
    ("linear_a_q", "SAMed (LoRA)"),
    ("lora", "a LoRA of SAM"),
    ("_Adapter.", "Medical SAM Adapter"),
    ("Adapter_", "Medical SAM Adapter"),
)


def other_method(keys: Iterable[str]) -> str:
    """Name the method whose checkpoints hold such tensors; empty where none is recognised."""
    names = list(keys)
    return next((method for mark, method in _MARKS if any(mark in name for name in names)), "")
