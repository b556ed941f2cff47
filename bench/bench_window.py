"""Computing time until the package is imported, and until the dock is open: fresh processes.

    xvfb-run -a python bench/bench_window.py

The dock is opened as its menu entry does, in a napari that is open and shows a stack; counted is
this process's computing time (user and system, all threads) until nothing is left to be drawn. The
process that predicts, which the dock starts, computes meanwhile and is not counted.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROUNDS = 5
ROOT = Path(__file__).parents[1]


def rows() -> list[dict[str, Any]]:
    """Measure both; return rows of name, value, pass_, goal and ok, where less is better."""
    found = {
        "import napari_sam_adapter, CPU s": (least("import"), 0.3, 0.1),
        "dock opens, CPU s": (least("dock"), 1.0, 0.5),
    }
    return [
        {"name": name, "value": value, "pass_": limit, "goal": goal, "ok": value <= limit}
        for name, (value, limit, goal) in found.items()
    ]


def least(what: str) -> float:
    """Return the least seconds of several fresh processes."""
    display = sys.platform.startswith("linux") and not os.environ.get("DISPLAY")
    command = [sys.executable, __file__, "--child", what]
    if what == "dock" and display and shutil.which("xvfb-run"):
        command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", *command]
    seconds = []
    with tempfile.TemporaryDirectory() as home:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "NAPARI_SAM_ADAPTER_HOME": home,
            "PYTHONPATH": os.pathsep.join(paths),
        }
        for _ in range(ROUNDS):
            done = subprocess.run(
                command, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
            seconds.append(float(done.stdout.splitlines()[-1]))
    return min(seconds)


def cpu_seconds() -> float:
    """Return the computing time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


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


def child(what: str) -> None:
    """Measure in this process, print the seconds, and end without taking napari down politely."""
    print(import_package() if what == "import" else open_dock(), flush=True)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    print(json.dumps(rows(), indent=2))
