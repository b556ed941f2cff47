"""The loop without a window: predict, correct (simulated), retrain, predict better.

Corrections are simulated: the ground truth takes the place of the person's brush, and everything
this module writes says so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.metrics import dice
from napari_sam_adapter.report import SheetRow, write_contact_sheet
from napari_sam_adapter.storage import write_atomically

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam
    from napari_sam_adapter.training.job import TrainingJob

# How many slices the person has corrected at the end of each round. The first round is small: a
# person wants to see the model learn before correcting many.
CORRECTED_SLICES = (4, 12)
SECONDS_PER_ROUND = 60.0
MAXIMUM_HELD_OUT = 16
SHEET_ROWS = 5


@dataclass(frozen=True, slots=True)
class DemoData:
    """What the demo works on.

    Attributes
    ----------
    images : sequence of ndarray, each (Y, X) or (Y, X, 3)
    masks : sequence of ndarray of bool, each (Y, X)
    names : sequence of str
    source : str
        Where it comes from, shown on the report.
    """

    images: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]
    names: Sequence[str]
    source: str


@dataclass(frozen=True, slots=True)
class DemoProgress:
    """Something to show while the demo runs."""

    message: str
    share: float


@dataclass(frozen=True, slots=True)
class DemoRound:
    """One turn of the loop.

    Attributes
    ----------
    corrected_slices : int
        Corrected so far, this round's included.
    pixels_to_correct : float
        Mean share of a new slice's pixels that differed from the truth before correcting.
    dice_before, dice_after : float
        Mean Dice on the held-out slices before and after this round's retraining.
    seconds : float
        Of retraining.
    adapter : str
        File name of the adapter this round made.
    """

    round: int
    corrected_slices: int
    pixels_to_correct: float
    dice_before: float
    dice_after: float
    seconds: float
    adapter: str


def synthetic_demo_data(n_frames: int = 32) -> DemoData:
    """Return synthetic polyp-like frames with their truth."""
    from napari_sam_adapter.data.synthetic import synthetic_polyps

    stack = synthetic_polyps(n_frames, seed=7)
    names = [f"synthetic frame {index}" for index in range(n_frames)]
    masks = [mask.astype(bool) for mask in stack.masks]
    return DemoData(list(stack.frames), masks, names, "synthetic polyp-like frames (not real data)")


def run_demo(
    data: DemoData, out: Path, *, seconds_per_round: float = SECONDS_PER_ROUND, device: str = "auto"
) -> Iterator[DemoProgress | DemoRound]:
    """Run the loop for two rounds and write ``contact-sheet.png`` and ``report.json``.

    Parameters
    ----------
    data : DemoData
        The last part is held out: never trained on, and all scores are of it.
    out : Path
        Folder for the report and the adapters.

    Yields
    ------
    DemoProgress or DemoRound

    Raises
    ------
    ImageError
        If there are fewer than eight slices.
    """
    from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
    from napari_sam_adapter.sam.checkpoint import load_adapter
    from napari_sam_adapter.sam.devices import choose_device
    from napari_sam_adapter.sam.registry import DEFAULT_MODEL

    pool, held_out = _split(len(data.images))
    chosen = choose_device(device)
    model = build_adapted_sam(ModelSettings.default(DEFAULT_MODEL)).to_device(chosen)
    yield DemoProgress("Predicting the held-out slices with the base model", 0.0)
    first_masks = _predict(model, data, held_out)
    masks = first_masks
    adapter: Path | None = None
    rounds: list[DemoRound] = []
    for number, share in enumerate(CORRECTED_SLICES, start=1):
        corrected = pool[: max(1, share * len(pool) // CORRECTED_SLICES[-1])]
        new = corrected[rounds[-1].corrected_slices if rounds else 0 :]
        yield DemoProgress(f"Round {number}: predicting {len(new)} new slices", 0.0)
        wrong = [
            np.mean(m != data.masks[i])
            for m, i in zip(_predict(model, data, new), new, strict=True)
        ]
        path = out / f"adapter-round-{number}.safetensors"
        start = time.monotonic()
        yield from _retrain(_job(data, corrected, path, adapter, seconds_per_round, device), number)
        seconds = time.monotonic() - start
        adapter, before = path, masks
        model = load_adapter(path)[0].to_device(chosen)
        masks = _predict(model, data, held_out)
        rounds.append(
            DemoRound(
                round=number,
                corrected_slices=len(corrected),
                pixels_to_correct=float(np.mean(wrong)),
                dice_before=_mean_dice(before, data, held_out),
                dice_after=_mean_dice(masks, data, held_out),
                seconds=round(seconds, 1),
                adapter=path.name,
            )
        )
        yield rounds[-1]
    _write_report(out, data, held_out, rounds, first_masks, masks)


def _split(count: int) -> tuple[list[int], list[int]]:
    """Return the slices to correct, at most half of all, and the held-out ones."""
    if count < 8:
        raise ImageError(f"The demo needs at least 8 slices with masks, found {count}.")
    n_pool = min(CORRECTED_SLICES[-1], count // 2)
    return list(range(n_pool)), list(range(n_pool, min(count, n_pool + MAXIMUM_HELD_OUT)))


def _job(
    data: DemoData,
    corrected: Sequence[int],
    path: Path,
    init: Path | None,
    seconds: float,
    device: str,
) -> TrainingJob:
    from napari_sam_adapter.sam.registry import DEFAULT_MODEL
    from napari_sam_adapter.training.config import TrainingConfig
    from napari_sam_adapter.training.job import TrainingJob
    from napari_sam_adapter.training.samples import TrainingSample

    return TrainingJob(
        samples=[TrainingSample(data.images[i], data.masks[i], data.names[i]) for i in corrected],
        out=path,
        config=TrainingConfig(gear="full", max_seconds=seconds),
        base=DEFAULT_MODEL,
        init=init,
        device=device,
        notes={"source": data.source, "corrections": "simulated from the ground truth"},
    )


def _retrain(job: TrainingJob, number: int) -> Iterator[DemoProgress]:
    from napari_sam_adapter.training.events import StepReport
    from napari_sam_adapter.training.job import run_job

    for event in run_job(job):
        if isinstance(event, StepReport):
            text = f"Round {number}: retraining on {len(job.samples)} slices, loss {event.loss:.3f}"
            yield DemoProgress(text, event.progress)


def _predict(model: AdaptedSam, data: DemoData, indices: Sequence[int]) -> list[np.ndarray]:
    from napari_sam_adapter.sam.predict import predict_masks

    return [predict_masks(model, data.images[index]).mask for index in indices]


def _mean_dice(masks: Sequence[np.ndarray], data: DemoData, indices: Sequence[int]) -> float:
    return float(np.mean([dice(m, data.masks[i]) for m, i in zip(masks, indices, strict=True)]))


def _write_report(
    out: Path,
    data: DemoData,
    held_out: Sequence[int],
    rounds: Sequence[DemoRound],
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
) -> None:
    rows = []
    for place in np.linspace(0, len(held_out) - 1, min(SHEET_ROWS, len(held_out))).astype(int):
        index = held_out[place]
        truth = data.masks[index]
        tiles = [
            (f"Dice {dice(masks[place], truth):.2f}", masks[place]) for masks in (before, after)
        ]
        rows.append(SheetRow(data.names[index], data.images[index], tiles, truth))
    columns = ("held-out image", "before (base model)", f"after {len(rounds)} rounds", "truth")
    write_contact_sheet(out / "contact-sheet.png", data.source, columns, rows)
    report = {
        "source": data.source,
        "corrections": "simulated from the ground truth",
        "held_out": [data.names[index] for index in held_out],
        "rounds": [asdict(one) for one in rounds],
    }
    write_atomically(out / "report.json", json.dumps(report, indent=2).encode())
