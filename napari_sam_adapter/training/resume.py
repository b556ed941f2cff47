"""Checkpoints of an unfinished run, so that it goes on after a crash as if nothing had happened."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from napari_sam_adapter.errors import CheckpointError, WeightsError
from napari_sam_adapter.sam.weights import read_plain
from napari_sam_adapter.storage import write_atomically
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.training.samples import TrainingSample

VERSION = 1
# What a run is known by, in words.
_PARTS = {
    "slices": "the images or their masks",
    "start": "what it starts from (base model, its weights, adapter, or their settings)",
    "batches": "how many batches a step takes (processes, times those each adds up)",
}


def identity_of(
    config: TrainingConfig, samples: Sequence[TrainingSample], start: str, n_batches: int = 1
) -> str:
    """Describe a run so that another one is not continued by mistake.

    Parameters
    ----------
    config : TrainingConfig
    samples : sequence of TrainingSample
    start : str
        What the run started from: base model, adapter id, shape of the adapter.
    n_batches : int
        Of a step, over all processes: the number of steps and the learning rate follow from it.
    """
    values = {
        "config": config.to_dict(),
        "slices": [[sample.digest, sample.labels_digest] for sample in samples],
        "start": start,
        "batches": n_batches,
    }
    return json.dumps(values, sort_keys=True)


def write_run(checkpoint: RunCheckpoint, identity: str, state: Mapping[str, Any]) -> None:
    """Write the state of a run, atomically.

    Raises
    ------
    StorageError
        If it cannot be written; the checkpoint before stays.
    """
    buffer = io.BytesIO()
    torch.save({"version": VERSION, "identity": identity, **state}, buffer)
    # What was moved meanwhile must not come into being again at its old place.
    makes_folder = checkpoint.belongs_to is None
    write_atomically(checkpoint.path, buffer.getvalue(), makes_folder=makes_folder)


def read_run(checkpoint: RunCheckpoint, identity: str) -> dict[str, Any] | None:
    """Read the state of a run that is to be continued; None where there is none.

    Raises
    ------
    CheckpointError
        If the file is damaged, or is another run's.
    """
    if not checkpoint.resume or not checkpoint.path.is_file():
        return None
    try:
        state = read_plain(checkpoint.path)
    except WeightsError as error:
        raise CheckpointError(f"{error} Train without --resume to begin again.") from error
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise CheckpointError(
            f"{checkpoint.path} is no checkpoint of a run of this version. Train without --resume "
            "to begin again."
        )
    if state["identity"] != identity:
        raise CheckpointError(
            f"{checkpoint.path} belongs to another run. Other than in that one are "
            f"{_difference(json.loads(state['identity']), json.loads(identity))}. Repeat the "
            "command as it was, or train without --resume to begin again."
        )
    return state


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Say in what two identities differ."""
    found = [words for part, words in _PARTS.items() if one.get(part) != other.get(part)]
    mine, theirs = one["config"], other["config"]
    settings = sorted(k for k in mine | theirs if mine.get(k) != theirs.get(k))
    return "; ".join([*found, *settings])
