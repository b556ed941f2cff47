"""Tell which method a checkpoint is of that cannot be used, by the names of its tensors."""

from __future__ import annotations

from collections.abc import Iterable

# Other methods, by what only their checkpoints hold. The first mark that is found decides, so what
# builds on another method comes before it. Names as in the code of
# tianrun-chen/SAM-Adapter-PyTorch, facebookresearch/sam2 and sam3, hitachinsk/SAMed,
# cchen-cc/MA-SAM, computational-cell-analytics/micro-sam, MedicineToken/Medical-SAM-Adapter.
_MARKS = (
    (".trunk.prompt_generator.", "SAM2-Adapter"),
    ("detector.backbone.", "SAM 3"),
    ("image_encoder.trunk.", "SAM 2"),
    ("sam_mask_decoder.", "SAM 2"),
    ("w_a_000", "SAMed (LoRA)"),
    ("q_FacTs", "MA-SAM or micro-sam (FacT)"),
    ("w_a_linear_q", "micro-sam (LoRA)"),
    ("linear_a_q", "a LoRA of SAM"),
    ("lora_", "a LoRA of SAM"),
    ("_Adapter.", "Medical SAM Adapter"),
)


def other_method(keys: Iterable[str]) -> str:
    """Name the method whose checkpoints hold such tensors; empty where none is recognised."""
    names = list(keys)
    return next((method for mark, method in _MARKS if any(mark in name for name in names)), "")
