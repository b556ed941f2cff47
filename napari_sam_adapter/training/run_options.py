"""What is around a training run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_sam_adapter.sam.feature_cache import FeatureCache
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.training.split import NO_HISTORY, History
from napari_sam_adapter.training.workers import ALONE, Workers


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What is around a run, and does not change what it computes.

    Attributes
    ----------
    history : History
        What the model was trained on before; it decides what can be held out.
    should_stop : callable
        Asked before each step; once true, the run ends with the state it would keep now.
    workers : Workers
        The processes that share the run.
    checkpoint : RunCheckpoint or None
        Where the run writes its state to continue from.
    started_from : str
        Describes the model, so that the run of another one is not continued.
    cache : FeatureCache or None
        Where features of earlier runs and of predictions are.
    """

    history: History = NO_HISTORY
    should_stop: Callable[[], bool] = lambda: False
    workers: Workers = ALONE
    checkpoint: RunCheckpoint | None = None
    started_from: str = ""
    cache: FeatureCache | None = None
