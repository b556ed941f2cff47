"""A long volume takes as much memory as a short one; docs/measure_memory.py has the long ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "measure_memory.py"


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is asked of POSIX systems")
def test_ten_times_the_slices_take_the_same_memory():
    pytest.importorskip("nibabel")
    command = [sys.executable, SCRIPT, "--slices", "4,40", "--ways", "predict", "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    short, long = json.loads(done.stdout)["predict"]
    assert long["mib"] < 1.05 * short["mib"]
    assert len(long["marked"]) == 40
    assert long["marked"][:4] == short["marked"]
