"""Nothing that was acknowledged is lost when the program is killed."""

import os
import re
import subprocess
import sys

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked for each of 200 deaths")
def test_work_killed_at_200_random_moments_comes_back_to_the_last_line(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "tests.project.killed", str(tmp_path), "200"],
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert result.returncode == 0, result.stderr
    # It was indeed at work when it was killed.
    lines, _, behind, versions = map(int, re.findall(r"\d+", result.stdout))
    assert lines > 300
    assert behind > 50
    assert versions > 50
