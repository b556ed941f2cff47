"""What a training run of a project learns from, also of images that are not open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.adapter.config import Condition
from napari_sam_adapter.annotations.slice_history import SliceHistory
from napari_sam_adapter.errors import SamAdapterError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.mending import RecordContents, in_short, read_record
from napari_sam_adapter.project.other_images import other_images
from napari_sam_adapter.project.pixels import image_of
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.retrain_request import MarkedImage, RetrainRequest
from napari_sam_adapter.project.retrain_words import left_out
from napari_sam_adapter.project.run_folder import RunFolder, RunPart, RunPlan
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.volumes.slice_source import SliceIndex, SliceSource


def request_of(project: Project, run: RunFolder) -> RetrainRequest:
    """Ask for the same training again, to go on where it stood.

    Raises
    ------
    SamAdapterError
        If an image or its masks are not there any more.
    """
    plan = run.plan
    conditions = None
    if plan.conditions is not None:
        conditions = tuple(Condition(name, weight) for name, weight in plan.conditions.items())
    return RetrainRequest(
        images=tuple(marked_image(project, part) for part in plan.parts),
        config=TrainingConfig.from_dict(plan.config),
        input_size=plan.input_size,
        classes=Classes(plan.class_names, plan.class_colors),
        conditions=conditions,
        checkpoint=run.checkpoint,
        run=plan.run,
    )


def marked_image(project: Project, part: RunPart, moved_to: Path | None = None) -> MarkedImage:
    """Return an image of the project with the masks of a part.

    Parameters
    ----------
    project : Project
    part : RunPart
    moved_to : Path, optional
        See `pixels.image_of`.

    Raises
    ------
    SamAdapterError
        If the image or its masks are not there any more.
    """
    record = project.folder / "images" / part.record
    identity = ImageIdentity.read(record)
    return _marked(record, identity, part.known(project.folder), moved_to)


def with_other_images(
    project: Project, plan: RunPlan, request: RetrainRequest
) -> tuple[RunPlan, RetrainRequest, list[str]]:
    """Add what was corrected and accepted in the other images of a project.

    Which images these are: `other_images`.

    Returns
    -------
    plan, request
        With more parts and images.
    missed : list of str
        Sentences about images that cannot be learned from, or whose journal is damaged.
    """
    parts, images, missed = list(plan.parts), list(request.images), []
    own = ImageIdentity.read(project.folder / "images" / plan.parts[0].record)
    for record, identity in other_images(project, own):
        try:
            contents = read_record(record, identity)
            part, ready, n_left_out = _ready_part(contents)
            if n_left_out:
                missed.append(f"{identity.name}: {left_out(n_left_out)}.")
            if ready:
                images.append(_marked(record, identity, ready))
                parts.append(part)
                if contents.troubles:
                    missed.append(f"{identity.name}: {in_short(contents.troubles)}")
        except SamAdapterError as error:
            missed.append(f"{identity.name} is left out: {error}")
    return (
        replace(plan, parts=tuple(parts)),
        replace(request, images=tuple(images)),
        missed,
    )


def _marked(
    record: Path,
    identity: ImageIdentity,
    known: Mapping[SliceIndex, SliceHistory],
    moved_to: Path | None = None,
) -> MarkedImage:
    image = image_of(record, identity, moved_to)
    # The file tells also where the record is of before patients were told apart.
    patient = identity.patient or image.patient
    source = SliceSource(image.data, is_colour=image.is_colour, axes=image.geometry.axes)
    masks = {index: one.seen.unpacked() for index, one in known.items()}
    as_predicted = {index for index, one in known.items() if one.is_as_predicted}
    who = (identity.name, record.name, patient, identity.source)
    return MarkedImage(source, masks, *who, as_predicted)


def _ready_part(
    contents: RecordContents,
) -> tuple[RunPart, dict[SliceIndex, SliceHistory], int]:
    """Return the slices of a record to train on, and how many others are left out."""
    judged = {
        index: known
        for index, known in contents.slices().items()
        if known.accepted or known.corrected
    }
    ready = {index: known for index, known in judged.items() if not known.holds_below_0}
    line = max([contents.journal.last, *contents.file_lines.values()]) + 1
    part = RunPart(contents.folder.name, line, tuple(ready), contents.dtype.str)
    return part, ready, len(judged) - len(ready)
