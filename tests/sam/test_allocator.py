"""Memory that a step has freed serves the next one, where the C library is glibc."""

import platform
import subprocess
import sys

import pytest

# A process of its own: what is set stays set, and the suite's other processes must not differ.
SCRIPT = """
import ctypes, resource, sys
from napari_sam_adapter.sam.allocator import give_freed_memory_back, keep_freed_memory
if sys.argv[1] != "leave":
    assert keep_freed_memory()
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
free.argtypes = [ctypes.c_void_p]
def touch():
    block = malloc(64 * 2**20)
    ctypes.memset(block, 1, 64 * 2**20)
    free(block)
touch()
if sys.argv[1] == "give back":
    assert give_freed_memory_back()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    command = [sys.executable, "-c", SCRIPT, mode]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_large_buffers_are_used_again_without_new_pages():
    assert page_faults("keep") * 10 < page_faults("leave")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_what_was_kept_spares_nobody_page_faults_after_it_was_given_back():
    assert page_faults("give back") > page_faults("keep") * 10
