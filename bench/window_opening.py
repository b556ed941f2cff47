"""Computing time until the package is imported, and until the dock is open: fresh processes.

The dock is opened as its menu entry does, in a napari that is open and shows a stack; counted is
this process's computing time (user and system, all threads) until nothing is left to be drawn. The
process that predicts, which the dock starts, computes meanwhile and is not counted.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from bench.measuring import Row, cpu_seconds, in_fresh_process, say
from bench.table import line

ROUNDS = 5


def rows() -> Iterator[Row]:
    """Measure both, each in several processes of which the least counts."""
    yield line("import napari_sam_adapter, CPU s").row(least("import"))
    yield line("dock opens, CPU s").row(least("dock"))


def least(what: str) -> float:
    """Return the least seconds of several fresh processes."""
    window = what == "dock"
    found = [float(in_fresh_process(__name__, what, window=window)) for _ in range(ROUNDS)]
    say(f"  {what}: {', '.join(f'{one:.3f}' for one in sorted(found))} CPU s")
    return min(found)


def import_package() -> float:
    """Import the package; nothing of it, and nothing it needs, is loaded yet."""
    start = cpu_seconds()
    import napari_sam_adapter

    assert napari_sam_adapter.__version__
    return cpu_seconds() - start


def open_dock() -> float:
    """Open the dock in a napari that is open."""
    import napari
    import numpy as np
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (8, 256, 256), dtype=np.uint8))
    for _ in range(30):
        QApplication.processEvents()
        time.sleep(0.02)
    start = cpu_seconds()
    _, dock = viewer.window.add_plugin_dock_widget("napari-sam-adapter", "SAM Adapter")
    for _ in range(5):
        QApplication.processEvents()
    seconds = cpu_seconds() - start
    assert dock.isVisible()
    dock.shutdown()
    return seconds


if __name__ == "__main__":
    print(import_package() if sys.argv[1] == "import" else open_dock(), flush=True)
    os._exit(0)  # without taking napari down politely
