"""Rows of the time from a click on Retrain to a Dice on images nobody has corrected.

A version counts from when it is in use, and one that is held back never does. Scoring is not
counted, nor is what the window does before the click, while a person corrects (`bench.walk`).
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.measuring import Row, say
from bench.table import lines_of
from bench.walk import N_IMAGES, versions_of_a_click
from napari_sam_adapter.training.presets import USUAL_MINUTES


def rows() -> Iterator[Row]:
    """Press Retrain once, and look when its versions reach which Dice.

    Raises
    ------
    CannotRunError
        If the images are not here.
    """
    lines = {float(one.name.split()[-1]): one for one in lines_of("learning")}
    say(f"Learning from {N_IMAGES} polyp images, from the click")
    reached: dict[float, tuple[float, str]] = {}
    for number, version in enumerate(versions_of_a_click(USUAL_MINUTES["late"]), start=1):
        say(f"  v{number}, {version.gear}: {version.seconds:.1f} s, Dice {version.dice:.3f}")
        for wanted in lines:
            if version.dice >= wanted:
                note = f"v{number}, {version.gear}, Dice {version.dice:.3f}"
                reached.setdefault(wanted, (version.seconds, note))
        if len(reached) == len(lines):
            break  # scoring the next one would take as long again
    for wanted, line in lines.items():
        yield line.row(*reached.get(wanted, (None, "not reached by any version")))
