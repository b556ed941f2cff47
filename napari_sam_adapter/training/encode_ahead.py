"""Encode what a run will ask for first, before anybody has asked for the run."""

from __future__ import annotations

from collections.abc import Callable

from napari_sam_adapter.sam.devices import choose_device
from napari_sam_adapter.sam.feature_cache import FeatureCache, Kind
from napari_sam_adapter.sam.late import prepare_late
from napari_sam_adapter.training.feeds import feed_for
from napari_sam_adapter.training.job import TrainingJob
from napari_sam_adapter.training.starting_model import starting_model

_KIND: dict[str, Kind] = {"quick": "embedding", "late": "prefix"}


def encode_ahead(
    job: TrainingJob, cache: FeatureCache, n_views: int, check_way: Callable[[], None]
) -> None:
    """Fill a cache with what the first steps of a run take from it, as far as there is room.

    On a GPU nothing is encoded: there it takes little time, and the memory is everybody's.

    Parameters
    ----------
    job : TrainingJob
        Its samples may be some of those that the run will have.
    cache : FeatureCache
    n_views : int
        How many orientations of each slice, at most.
    check_way : callable
        Called before each block of the encoder; what it raises ends the work, and what was encoded
        by then stays.

    Raises
    ------
    SamAdapterError
        As the run would.
    """
    kind = _KIND.get(job.config.gear)
    if kind is None or choose_device(job.device).type != "cpu":
        return
    model, _ = starting_model(job)
    if job.config.gear == "late":
        prepare_late(model)
    model.base.encoder.before_block = check_way
    feed = feed_for(model, job.samples, job.config, cache)
    for _ in feed.encode_ahead(n_views):
        check_way()
        if cache.is_full(kind):
            return  # more would push out what comes first
