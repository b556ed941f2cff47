"""Computing time until the package is imported, and until the dock is open: fresh processes.

The dock is opened as its menu entry does, in a napari that is open and shows a stack; counted is
this process's computing time (user and system, all threads) until the dock says that it is ready,
so that nothing it puts off is left out. The process that predicts, which the dock starts, computes
meanwhile and is not counted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from bench.measuring import Row, cpu_seconds, in_fresh_process, say
from bench.table import line

ROUNDS, LIMIT_S = 5, 60


def rows() -> Iterator[Row]:
    """Measure both, each in several processes of which the least counts."""
    yield line("import napari_sam_adapter, CPU s").row(least("bench.import_time"))
    yield line("dock opens, CPU s").row(least(__name__, window=True))


def least(module: str, *, window: bool = False) -> float:
    """Return the least seconds that a module tells in several fresh processes."""
    found = [float(in_fresh_process(module, window=window)) for _ in range(ROUNDS)]
    say(f"  {module}: {', '.join(f'{one:.4f}' for one in sorted(found))} CPU s")
    return min(found)


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
    end = time.monotonic() + LIMIT_S
    while not dock.message.text().startswith("Ready"):
        if time.monotonic() > end:
            raise TimeoutError(f"the dock is not ready, it says: {dock.message.text()}")
        QApplication.processEvents()
        time.sleep(0.02)
    seconds = cpu_seconds() - start
    assert dock.isVisible()
    dock.shutdown()
    return seconds


if __name__ == "__main__":
    print(open_dock(), flush=True)
    os._exit(0)  # without taking napari down politely
