"""Adapter files without an adapter, for whoever never looks at the tensors."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.adapter.config import AdapterConfig


def adapter_file(
    path: Path,
    adapter_id: str,
    class_names: tuple[str, ...] = ("object",),
    base_model: str = "lite_medsam",
    **training: object,
) -> Path:
    """Write a file with a card."""
    card = AdapterCard(
        adapter_id=adapter_id,
        base_model=base_model,
        base_sha256="00",
        gear="full",
        input_size=128,
        normalisation="min-max",
        standing_prompt="whole_image_box",
        class_names=class_names,
        adapter=AdapterConfig(),
        training=training,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"x": np.zeros(1, np.float32)}, path, metadata=card.to_metadata())
    return path
