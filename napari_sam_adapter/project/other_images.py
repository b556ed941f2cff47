"""What a training run may learn from besides the image that is open: the project's other images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.overview import ImageOverview
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.record_folders import last_change


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """How much there is to learn from in other images.

    Attributes
    ----------
    n_slices : int
        Corrected and accepted ones.
    n_images : int
        That have such slices.
    """

    n_slices: int = 0
    n_images: int = 0


def other_images(project: Project, own: ImageIdentity) -> list[tuple[Path, ImageIdentity]]:
    """List records of other images of the same kind: colours, and type of the pixels.

    Images of another kind are hardly of the same task. Of several masks layers of one image the
    one worked on last counts, and none of the image that is open.

    Parameters
    ----------
    project : Project
    own : ImageIdentity
        The image that is open.
    """
    records = _latest(project.records())
    return [
        (record, identity)
        for record, identity in records
        if not identity.is_same(own) and _kind(identity) == _kind(own)
    ]


def ready_elsewhere(project: Project, own: ImageIdentity, known: Mapping[Path, int]) -> Elsewhere:
    """Count what other images have to learn from; reads journals that have changed since.

    Parameters
    ----------
    project : Project
    own : ImageIdentity
    known : mapping of Path to int
        Ready slices of records that are open here, whose journals may be a moment behind.
    """
    counts = []
    for record, identity in other_images(project, own):
        overview = ImageOverview.of(record, identity)
        on_disk = 0 if overview.done is None else overview.done.n_ready
        counts.append(known.get(record, 0 if overview.is_missing else on_disk))
    return Elsewhere(sum(counts), sum(count > 0 for count in counts))


def _latest(records: list[tuple[Path, ImageIdentity]]) -> list[tuple[Path, ImageIdentity]]:
    """Of the records of each image, return the one that was written to last."""
    # Of some records of earlier versions only the coarse digest is known.
    finer = {one.digest: one.known_by for _, one in records if one.fine_digest}
    latest: dict[str, tuple[Path, ImageIdentity]] = {}
    for record, identity in records:
        key = identity.fine_digest or finer.get(identity.digest, identity.digest)
        if key not in latest or last_change(record) > last_change(latest[key][0]):
            latest[key] = record, identity
    return list(latest.values())


def _kind(identity: ImageIdentity) -> tuple[bool, np.dtype[Any]]:
    """Return what images have in common that are learned from together."""
    return identity.is_colour, np.dtype(identity.dtype).newbyteorder("=")
