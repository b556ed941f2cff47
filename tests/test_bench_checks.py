"""What `make bench` sees to so that nothing wins by doing less, besides comparing numbers."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import import_time

ROOT = Path(__file__).parents[1]


def test_an_import_is_timed_where_nothing_of_the_package_is_loaded():
    command = [sys.executable, "-m", "bench.import_time"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) >= 0


def test_an_import_that_is_no_longer_one_is_not_timed():
    with pytest.raises(RuntimeError, match="imported before"):
        import_time.main()
