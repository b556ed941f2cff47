"""From the plan of an unfinished run back to what is trained on."""

from __future__ import annotations

from pathlib import Path

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.adapter.config import Condition
from napari_sam_adapter.project.image_record import ImageIdentity
from napari_sam_adapter.project.pixels import pixels_of
from napari_sam_adapter.project.run_folder import RunFolder
from napari_sam_adapter.retrain_request import RetrainRequest
from napari_sam_adapter.training.config import TrainingConfig


def request_of(project: Path, run: RunFolder) -> RetrainRequest:
    """Ask for the same training again, to go on where it stood.

    Parameters
    ----------
    project : Path
    run : RunFolder

    Raises
    ------
    SamAdapterError
        If the image or its masks are not there any more.
    """
    plan = run.plan
    record = project / "images" / plan.record
    identity = ImageIdentity.read(record)
    conditions = None
    if plan.conditions is not None:
        conditions = tuple(Condition(name, weight) for name, weight in plan.conditions.items())
    return RetrainRequest(
        source=pixels_of(record, identity),
        masks=plan.masks(project),
        image_name=identity.name,
        config=TrainingConfig.from_dict(plan.config),
        input_size=plan.input_size,
        classes=Classes(plan.class_names, plan.class_colors),
        conditions=conditions,
        checkpoint=run.checkpoint,
    )
