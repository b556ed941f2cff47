"""Sample data for File > Open Sample. Nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_sam_adapter.data.files import read_image

LayerData = tuple[Any, dict[str, Any], str]


def synthetic_polyps_sample() -> list[LayerData]:
    """Return 24 synthetic polyp-like frames, and their truth as a hidden layer."""
    from napari_sam_adapter.data.synthetic import synthetic_polyps

    stack = synthetic_polyps(24, seed=7)
    frames: LayerData = (
        stack.frames,
        {"name": "synthetic polyps (not real)", "rgb": True},
        "image",
    )
    truth: LayerData = (
        stack.masks,
        {"name": "truth of the synthetic polyps", "visible": False},
        "labels",
    )
    return [frames, truth]


def retina_sample() -> list[LayerData]:
    """Return the retina photograph that scikit-image ships."""
    return [_packaged_picture("retina.jpg", "retina (scikit-image)")]


def histology_sample() -> list[LayerData]:
    """Return the immunohistochemistry section that scikit-image ships."""
    return [_packaged_picture("ihc.png", "histology section (scikit-image)")]


def _packaged_picture(file_name: str, layer_name: str) -> LayerData:
    import skimage.data

    path = Path(skimage.data.__file__).parent / file_name
    return read_image(path), {"name": layer_name, "rgb": True}, "image"
