"""What the dock says of a training run."""

from __future__ import annotations

from collections.abc import Sequence

from napari_sam_adapter.adapter_version import AdapterVersion
from napari_sam_adapter.project.other_images import Elsewhere
from napari_sam_adapter.retrain_request import MarkedImage


def started(images: Sequence[MarkedImage]) -> str:
    """Say on what a run has started."""
    here, others = len(images[0].masks), images[1:]
    slices = counted(here, Elsewhere(sum(len(one.masks) for one in others), len(others)))
    return f"Retraining on {slices}. Go on working."


def counted(here: int, elsewhere: Elsewhere) -> str:
    """Say how many slices there are to learn from, in the open image and in others."""
    slices = "1 slice" if here == 1 else f"{here} slices"
    if not elsewhere.n_images:
        return slices
    n = elsewhere.n_images
    what = "another image" if n == 1 else f"{n} other images"
    return f"{slices} here and {elsewhere.n_slices} of {what} of the project"


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
