"""What an adapter file says of the run that made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_sam_adapter.training.config import GEARS
from napari_sam_adapter.training.events import (
    PairedScore,
    StepReport,
    TrainingEvent,
    TrainingFinished,
    ValidationReport,
)
from napari_sam_adapter.training.split import NO_HISTORY, History

if TYPE_CHECKING:
    from napari_sam_adapter.adapter.card import AdapterCard
    from napari_sam_adapter.sam.adapted import AdaptedSam
    from napari_sam_adapter.training.job import TrainingJob

POINTS_KEPT = 100


class Curve:
    """The course of a run; of one that was resumed, since then."""

    def __init__(self) -> None:
        self._losses: list[tuple[int, float]] = []
        self._scores: list[tuple[int, float]] = []

    def add(self, event: TrainingEvent) -> None:
        """Take note of an event."""
        if isinstance(event, StepReport):
            self._losses.append((event.step, event.loss))
        elif isinstance(event, ValidationReport):
            self._scores.append((event.step, event.dice))

    def described(self) -> dict[str, list[list[float]]]:
        """Return it for JSON.

        Returns
        -------
        dict
            ``loss``: at most 100 pairs of a step and the mean loss of the steps up to it.
            ``held_out_dice``: pairs of a step and a mean Dice.
        """
        width = max(1, -(-len(self._losses) // POINTS_KEPT))
        bins = [self._losses[at : at + width] for at in range(0, len(self._losses), width)]
        return {
            "loss": [
                [part[-1][0], round(sum(loss for _, loss in part) / len(part), 4)] for part in bins
            ],
            "held_out_dice": [[step, round(dice, 4)] for step, dice in self._scores],
        }


def gear_of(gear: str, parent: AdapterCard | None) -> str:
    """Name the deepest gear in the adapter's history: after ``full``, the encoder is adapted."""
    gears = [gear] if parent is None or parent.gear not in GEARS else [gear, parent.gear]
    return max(gears, key=list[str](GEARS).index)


def new_classes(model: AdaptedSam, parent: AdapterCard | None) -> list[str]:
    """Name the classes that the adapter a run started from does not know."""
    known = len(model.settings.class_names) if parent is None else len(parent.class_names)
    return list(model.settings.class_names[known:])


def training_summary(
    finished: TrainingFinished, job: TrainingJob, history: History = NO_HISTORY
) -> dict[str, Any]:
    """Return the training summary of an adapter file: plain data for people and programs.

    ``trained_on`` names by digest all slices that the adapter or one of its parents learned from,
    so that the next run holds out none of them. ``masks`` are the digests of image and mask of
    each of ``slices``.
    """
    return {
        "n_slices": len(job.samples),
        "n_training": len(finished.trained_on),
        "n_held_out": len(finished.held_out),
        "held_out_dice_before": finished.held_out_before,
        "held_out_dice_after": finished.held_out_after,
        "held_out_scores": _rows(finished.held_out_scores),
        "earlier_scores": _rows(finished.earlier_scores),
        "held_out_leaks": finished.held_out_leaks,
        "last_loss": finished.last_loss,
        "steps": finished.steps,
        "seconds": round(finished.seconds, 1),
        "ended": finished.reason,
        "gear_of_this_run": job.config.gear,
        "slices": [sample.name for sample in job.samples],
        "masks": [[sample.digest, sample.labels_digest] for sample in job.samples],
        "trained_on": sorted({*history.trained_on, *finished.trained_on}),
        "held_out": list(finished.held_out),
        "config": job.config.to_dict(),
        **job.notes,
    }


def _rows(scores: Sequence[PairedScore]) -> list[list[Any]]:
    return [[name, round(before, 4), round(after, 4)] for name, before, after in scores]
