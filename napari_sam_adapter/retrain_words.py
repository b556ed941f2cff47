"""What the dock says of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_sam_adapter.adapter_version import AdapterVersion
from napari_sam_adapter.retrain_request import MarkedImage


def started(images: Sequence[MarkedImage]) -> str:
    """Say on what a run has started."""
    here, others = len(images[0].masks), images[1:]
    slices = "1 slice" if here == 1 else f"{here} slices"
    if others:
        what = "another image" if len(others) == 1 else f"{len(others)} other images"
        slices += f" here and {sum(len(one.masks) for one in others)} of {what} of the project"
    return f"Retraining on {slices}. Go on working."


def summary(version: AdapterVersion) -> str:
    """Sum up the run that made a version which is in use now."""
    training = version.card.training
    before, after = training["held_out_dice_before"], training["held_out_dice_after"]
    if before is None:
        score = "Too few slices to hold one out, so there is no score yet."
    else:
        score = (
            f"Dice on {training['n_held_out']} held-out: {before:.2f} before, {after:.2f} after."
        )
    classes = training.get("held_out_dice_classes", {})
    if len(version.card.class_names) > 1 and classes:
        score += f" By class: {', '.join(f'{name} {dice:.2f}' for name, dice in classes.items())}."
    how = {
        "completed": "is trained and in use",
        "stopped": "holds the best state before you stopped, and is in use",
        "diverged": "holds the best state before training broke down, and is in use",
    }[training["ended"]]
    return f"v{version.number} {how}. {score}"


def goes_on(version: AdapterVersion, gear: str) -> str:
    """Say that a run is followed by one in the next gear."""
    return f"{summary(version)} Going on with the gear {gear}; press Stop when it is good enough."


def gains_no_more(version: AdapterVersion) -> str:
    """Say that no further gear follows, as the last one gained nothing."""
    return f"{summary(version)} That is no gain, so training ends here."


def held_back(version: AdapterVersion, in_use: str) -> str:
    """Say why a version is held back, and what can be done."""
    return (
        f"v{version.number} is held back, and {in_use} stays in use. {version.verdict.reason} "
        "Click it in the list of versions to use it all the same, or correct more and retrain."
    )


def in_other_project(version: AdapterVersion, project: Path) -> str:
    """Say where a version is whose project is not the one that is open."""
    return f"v{version.number} of the project {project} is trained. Choose that folder to use it."


def homeless(project: Path, path: Path) -> str:
    """Say that a run has ended as its project was moved or deleted, and where its adapter is."""
    return (
        f"The project {project} was moved or deleted, so the retraining has ended. What it has "
        f"learned is kept in {path}: it becomes a version when you choose the project where it is "
        "now, or load that file with ⋯ beside the versions."
    )
