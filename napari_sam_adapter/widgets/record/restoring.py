"""Between a record and a masks layer: which belong together, what comes back, what to write down.

Nobody's work is lost or mixed: where a record has other masks than the layer, each is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels

from napari_sam_adapter.annotations.slice_history import SliceHistory
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.widgets.layers.placement import new_labels_layer

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam_adapter.project.image_record import ImageRecord, RecordMark, Restored
    from napari_sam_adapter.project.project import Project
    from napari_sam_adapter.project.record_opening import LookedAt, Opened
    from napari_sam_adapter.volumes.slice_source import SliceIndex
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice

# Which record a masks layer belongs to outlives the dock: it may be closed and opened again.
MARKS: WeakKeyDictionary[Labels, RecordMark] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Placed:
    """Which record goes with which masks layer, and a sentence if that was not plain."""

    binding: LayerBinding
    opened: Opened
    said: str = ""


def place(
    layers: LayerChoice,
    image: Image,
    binding: LayerBinding | None,
    opened: Opened,
    project: Project,
    besides: Collection[Path],
) -> Placed:
    """Find the masks layer for a record that was opened, or another record for a masks layer.

    Parameters
    ----------
    layers : LayerChoice
    image : Image
    binding : LayerBinding or None
        The masks layer that it was opened for; None where there was none.
    opened : Opened
    project : Project
    besides : collection of Path
        Records of other masks layers, and of those that were deleted.

    Raises
    ------
    ImageError
        If a masks layer cannot be made.
    StorageError
        If another record cannot be opened.
    """
    binding = binding or layers.binding or _binding_left(layers, image, opened)
    if binding is None:
        return Placed(_new_binding(layers, image, opened), opened)
    binding.check_all()  # strokes that nobody was told of count, too
    if fits(binding, opened, project):
        return Placed(binding, opened)
    theirs = binding.labels
    if is_from_elsewhere(theirs, project):
        own = _new_binding(layers, image, opened)
        theirs.visible = False
        return Placed(
            own,
            opened,
            f"{theirs.name!r} belongs to another project, where it is kept; it is hidden. Choose "
            "it as masks to keep it in this project, too.",
        )
    others = set(besides)
    while not fits(binding, opened, project):  # a new record has nothing that could be mixed
        others.add(opened.record.folder)
        opened = opened.another(theirs.dtype, others)
    return Placed(
        binding,
        opened,
        f"The project has other masks of this image; {theirs.name!r} is kept beside them, in "
        f"{opened.record.folder.name}.",
    )


def _binding_left(layers: LayerChoice, image: Image, opened: Opened) -> LayerBinding | None:
    """Take up the masks layer of a record that stayed in the viewer without its image, if any."""
    bound = [binding.labels for binding in layers.bindings()]
    for layer in layers.viewer.layers:
        if isinstance(layer, Labels) and layer not in bound and _is_of(layer, opened.record):
            return layers.take_up(image, layer)
    return None


def _is_of(labels: Labels, record: ImageRecord) -> bool:
    """Whether a masks layer was recorded there, whoever has worked on the record since."""
    mark = MARKS.get(labels)
    return mark is not None and (mark.folder == record.folder or record.goes_on_from(mark))


def _new_binding(layers: LayerChoice, image: Image, opened: Opened | LookedAt) -> LayerBinding:
    labels = new_labels_layer(layers.viewer, image, opened.dtype)
    layers.choose(image, labels)
    if layers.binding is None:
        raise ImageError("The masks layer could not be made for this image.")
    return layers.binding


def is_from_elsewhere(labels: Labels, project: Project) -> bool:
    """Whether a masks layer was recorded in another project until now."""
    mark = MARKS.get(labels)
    return mark is not None and not mark.folder.is_relative_to(project.folder)


def fits(binding: LayerBinding, opened: Opened, project: Project) -> bool:
    """Whether a masks layer may be recorded where its image has been recorded before.

    It may not where a person's work would be lost or mixed: the record lacks what was adopted, it
    has other masks of a slice that somebody worked on here, or it is another project's and has
    other masks at all.
    """
    labels, slices = binding.labels, opened.restored.slices
    if not slices or opened.record.goes_on_from(MARKS.get(labels)):
        return True  # there is nothing to mix; or what is known here is newer: undo and redo
    if not np.can_cast(opened.dtype, labels.dtype):
        return False
    is_strict = is_from_elsewhere(labels, project)
    for index in binding.tracker.known():
        known, there = binding.tracker.history_of(index), slices.get(index)
        if known is None or (there is not None and _are_alike(known, there)):
            continue
        is_adopted = known.now.adapter is None and known.now.number > 0
        if is_strict or (is_adopted and (there is None or not _same_pixels(known, there))):
            return False
        if not is_adopted and known.holds_work and there is not None:
            return False
    return True


def bring_back(binding: LayerBinding, restored: Restored, record: ImageRecord | None = None) -> int:
    """Write slices into the layer that no person has done anything to since; return how many.

    Parameters
    ----------
    binding : LayerBinding
    restored : Restored
    record : ImageRecord, optional
        What brings them back, where the layer is recorded there from now on.
    """
    count, mark = 0, MARKS.get(binding.labels)
    is_newer = record is not None and record.goes_on_from(mark)  # here: undo and redo
    for index, history in restored.slices.items():
        known = binding.tracker.history_of(index)
        if known is not None:
            is_same = mark is not None and _are_alike(known, history)
            if is_newer or is_same or not _gives_way(known, history):
                continue
        binding.labels.data[index] = history.seen.unpacked()
        binding.tracker.restore(index, history)
        count += 1
    binding.labels.refresh()
    return count


def _gives_way(known: SliceHistory, there: SliceHistory) -> bool:
    """Whether a slice is as it was, or only predicted where somebody has corrected it before."""
    if _same_pixels(known, there):
        return True
    return not known.holds_work and (known.now.number == 0 or there.holds_work)


def state_what_differs(binding: LayerBinding, record: ImageRecord, restored: Restored) -> None:
    """Write down what happened to slices before their record was open.

    Lines about undo and redo name the predictions that they lead to: these are stated, too.
    """
    for index, known in what_differs(binding, restored):
        for snapshot in known.within_reach():
            record.state(index, SliceHistory(snapshot, snapshot.written))
        record.state(index, known)


def what_differs(
    binding: LayerBinding, restored: Restored | None
) -> Iterator[tuple[SliceIndex, SliceHistory]]:
    """Yield the slices that are not as they were brought back, and what is known of them."""
    slices = {} if restored is None else restored.slices
    for index in binding.tracker.known():
        known, there = binding.tracker.history_of(index), slices.get(index)
        if known is not None and (there is None or not _are_alike(known, there)):
            yield index, known


def show(
    layers: LayerChoice, image: Image, binding: LayerBinding | None, looked: LookedAt
) -> tuple[LayerBinding, int]:
    """Bring back in a masks layer of its own what is there to be looked at.

    Returns
    -------
    binding : LayerBinding
    n_back : int
        How many slices came back.

    Raises
    ------
    ImageError
        If a masks layer cannot be made.
    """
    own = _new_binding(layers, image, looked)
    if binding is not None:
        binding.labels.visible = False
    # What becomes of them here is followed in place; what came back stays known as it was.
    slices = {index: copy(history) for index, history in looked.restored.slices.items()}
    return own, bring_back(own, replace(looked.restored, slices=slices))


def _same_pixels(one: SliceHistory, other: SliceHistory) -> bool:
    return one.seen == other.seen


def _are_alike(one: SliceHistory, other: SliceHistory) -> bool:
    if not _same_pixels(one, other):
        return False
    if (one.now.number, one.accepted) != (other.now.number, other.accepted):
        return False
    # Most are, and unpacking each of a large volume's slices would take seconds.
    is_packed_alike = one.now.human == other.now.human and one.now.written == other.now.written
    return is_packed_alike or np.array_equal(
        one.human(one.seen.unpacked()), other.human(other.seen.unpacked())
    )


def summary(restored: Restored, n_back: int) -> str:
    """Say what came back."""
    strokes = "1 stroke" if restored.n_strokes == 1 else f"{restored.n_strokes} strokes"
    slices = "1 slice" if n_back == 1 else f"{n_back} slices"
    more = "".join(f" {line}" for line in restored.troubles[:3])
    return f"Restored {strokes} on {slices}.{more}"
