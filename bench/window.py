"""Rows of the window: a click, pauses while training, prediction while training, opening."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from bench import window_opening
from bench.measuring import Row, in_fresh_process, say
from bench.table import line

CLICK = "click on Predict with a cached embedding to painted mask, 512 px image, p95, s"
GAP = "event-loop gap in the window while training, "
SLOW_DOWN = "prediction while training, one core each, slow-down"


def rows() -> Iterator[Row]:
    """Measure each in processes of its own, with a real window where one is meant."""
    say("A click on Predict slice, until the mask is painted")
    seconds = json.loads(in_fresh_process("bench.window_click", window=True))
    p50, p95 = np.percentile(seconds, (50, 95))
    yield line(CLICK).row(float(p95), f"{len(seconds)} clicks, median {p50:.3f} s")
    say("Pauses of the window during a minute of full training")
    alone = np.asarray(
        json.loads(in_fresh_process("bench.window_gaps", "alone", window=True))["gaps_ms"]
    )
    say(
        f"  napari alone, the same strokes: p99 {np.percentile(alone, 99):.1f} ms, "
        f"worst {alone.max():.1f} ms"
    )
    found = json.loads(in_fresh_process("bench.window_gaps", window=True))
    gaps = np.asarray(found["gaps_ms"])
    p50, p99 = np.percentile(gaps, (50, 99))
    note = f"{len(gaps)} ticks, {found['strokes']} strokes, {found['steps']} training steps"
    yield line(f"{GAP}p99, ms").row(float(p99), f"{note}; median {p50:.1f} ms")
    above = int((gaps > 50).sum())
    yield line(f"{GAP}worst, ms").row(float(gaps.max()), f"{above} gaps above 50 ms")
    say("Prediction of new slices, alone and while training")
    found = json.loads(in_fresh_process("bench.while_training"))
    alone, meanwhile = np.median(found["alone"]), np.median(found["meanwhile"])
    note = (
        f"{alone:.3f} s alone, {meanwhile:.3f} s meanwhile, {len(found['alone'])} slices each; the "
        f"training took {found['cores'][0]:.2f} cores"
    )
    yield line(SLOW_DOWN).row(float(meanwhile / alone), note)
    say("Import, and opening the dock")
    yield from window_opening.rows()
