"""How long torch's threads wait for each other at full speed before they sleep."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

# Turns of GNU OpenMP's waiting loop. Its own number, 300,000, is some milliseconds in which a
# thread that waits keeps its core from the very thread it waits for, where another program has the
# other core: a slice took 12 s instead of 0.5 s. With 3,000 it takes 1 s, and without other
# programs as long as before (docs/performance.md).
SPINS = 3000


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make torch's OpenMP threads sleep soon while they wait, on Linux.

    The library reads it once, so this comes before the first import of torch, in processes that
    are ours alone. Who has set either variable of the library keeps that. Others than GNU's, on
    macOS and Windows, give a core away while they wait, and take no notice.
    """
    if not environment.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        environment["GOMP_SPINCOUNT"] = str(SPINS)
