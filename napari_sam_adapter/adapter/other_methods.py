"""Tell what a checkpoint is of that cannot be used where it is given, by the names of its tensors.

Nothing in a file is executed, and no tensor is read.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open

OURS = "napari-sam-adapter itself, an adapter: give it as one (--adapter or --init)"
ORIGINAL = (
    "the original SAM-Adapter, which becomes an adapter by 'napari-sam-adapter adapters import "
    "FILE --out ADAPTER'"
)
# Others, by what only their checkpoints hold. The first mark that is found decides, so what
# builds on another method comes before it. Names as in the code of
# tianrun-chen/SAM-Adapter-PyTorch, facebookresearch/sam2 and sam3, hitachinsk/SAMed,
# cchen-cc/MA-SAM, computational-cell-analytics/micro-sam, MedicineToken/Medical-SAM-Adapter,
# SysCV/sam-hq, OpenGVLab/SAM-Med2D, yformer/EfficientSAM, huggingface/transformers.
_MARKS = (
    ("adapter.stages.", OURS),
    (".trunk.prompt_generator.", "SAM2-Adapter"),
    (".prompt_generator.", ORIGINAL),
    ("detector.backbone.", "SAM 3"),
    ("image_encoder.trunk.", "SAM 2"),
    ("sam_mask_decoder.", "SAM 2"),
    ("memory_attention.", "SAM 2"),
    ("w_a_000", "SAMed (LoRA)"),
    ("q_FacTs", "MA-SAM or micro-sam (FacT)"),
    ("w_a_linear_q", "micro-sam (LoRA)"),
    ("linear_a_q", "a LoRA of SAM"),
    ("lora_", "a LoRA of SAM"),
    ("_Adapter.", "Medical SAM Adapter"),
    (".Adapter.channel.", "SAM-Med2D"),
    ("hf_token.", "HQ-SAM"),
    ("compress_vit_feat", "HQ-SAM"),
    ("hq_token.", "HQ-SAM as Hugging Face saves it"),
    ("final_output_upscaling_layers", "EfficientSAM"),
    ("vision_encoder.", "SAM as Hugging Face saves it, with other names than Meta's file"),
)
_LARGEST_TABLE = 2**26  # bytes; names of tensors take thousands


def other_method(names: Iterable[str]) -> str:
    """Name the method whose checkpoints hold such tensors; empty where none is recognised."""
    names = list(names)
    return next((method for mark, method in _MARKS if any(mark in name for name in names)), "")


def tensor_names(path: Path) -> list[str]:
    """Return the names of a file's tensors: of safetensors, or of what torch writes today.

    In the latter, they are among all other strings of its table. Empty where they are not found.

    Raises
    ------
    OSError, ValueError or zipfile.BadZipFile
        If the file cannot be read, or is damaged.
    """
    if not zipfile.is_zipfile(path):
        try:
            with safe_open(str(path), framework="numpy") as tensors:
                return list(tensors.keys())
        except SafetensorError:
            return []
    with zipfile.ZipFile(path) as archive:
        tables = [one for one in archive.infolist() if one.filename.endswith("data.pkl")]
        if len(tables) != 1 or tables[0].file_size > _LARGEST_TABLE:
            return []
        table = archive.read(tables[0])
    return [given for _, given, _ in pickletools.genops(table) if isinstance(given, str)]
