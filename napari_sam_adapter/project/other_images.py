"""What a training run may learn from besides the image that is open: the project's other images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_sam_adapter.project.image_record import ImageIdentity
from napari_sam_adapter.project.overview import ImageOverview
from napari_sam_adapter.project.project import Project, last_change


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
    latest: dict[str, tuple[Path, ImageIdentity]] = {}
    for record, identity in project.records():
        known = latest.get(identity.digest)
        if known is None or last_change(record) > last_change(known[0]):
            latest[identity.digest] = record, identity
    latest.pop(own.digest, None)
    kind = (own.is_colour, own.dtype)
    return [one for one in latest.values() if (one[1].is_colour, one[1].dtype) == kind]


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
        done = overview.done
        on_disk = 0 if done is None else done.n_corrected + done.n_accepted
        counts.append(known.get(record, 0 if overview.is_missing else on_disk))
    return Elsewhere(sum(counts), sum(count > 0 for count in counts))
