"""Open napari with a sample stack and the dock, for ``napari-sam-adapter demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import napari
import numpy as np

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.widgets.commands import open_dock

if TYPE_CHECKING:
    from napari_sam_adapter.demo import DemoData


def open_demo(data: DemoData) -> None:
    """Show a stack with the dock and run napari until its window is closed."""
    viewer = napari.Viewer(title="napari-sam-adapter demo")
    add_demo_layers(viewer, data)
    open_dock(viewer)
    napari.run()


def add_demo_layers(viewer: napari.Viewer, data: DemoData) -> None:
    """Add the images as a stack, and their truth as a hidden layer.

    Raises
    ------
    ImageError
        If the images differ in size, so that they are no stack.
    """
    shapes = {image.shape for image in data.images}
    if len(shapes) > 1:
        raise ImageError(
            "The images differ in size or in colour, so they make no stack. Use --headless, or "
            "open them one by one in napari."
        )
    stack: np.ndarray[Any, Any] = np.stack(list(data.images))
    truth = np.stack(list(data.masks)).astype(np.uint8)
    viewer.add_labels(truth, name="truth (for comparison)", visible=False)
    viewer.add_image(stack, name=data.source, rgb=stack.ndim == 4)
