"""Threads that wait for each other give their core away soon, unless a person has set it."""

import subprocess
import sys

import pytest

from napari_sam_adapter.openmp import SPINS, wait_briefly

ENTRIES = {
    "the command line": ("napari_sam_adapter.cli", "main(['models'])"),
    "a computing process": ("napari_sam_adapter.engine.__main__", "main()"),
}
SCRIPT = """
import importlib, os, sys
entry = importlib.import_module({module!r})
wait_briefly = entry.wait_briefly
def look():
    wait_briefly()
    print("torch" in sys.modules, os.environ["GOMP_SPINCOUNT"], flush=True)
entry.wait_briefly = look
entry.{call}
"""


def test_threads_sleep_soon():
    environment = {"PATH": "/bin"}
    wait_briefly(environment)
    assert environment == {"PATH": "/bin", "GOMP_SPINCOUNT": str(SPINS)}


@pytest.mark.parametrize("variable", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_a_setting_of_the_person_stays(variable):
    environment = {variable: "ACTIVE"}
    wait_briefly(environment)
    assert environment == {variable: "ACTIVE"}


@pytest.mark.parametrize("entry", ENTRIES)
def test_it_is_set_before_torch_could_read_it(entry, monkeypatch):
    for variable in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(variable, raising=False)
    module, call = ENTRIES[entry]
    script = SCRIPT.format(module=module, call=call)
    run = subprocess.run(
        [sys.executable, "-c", script], input="", capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"False {SPINS}\n")
