"""What the dock says of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_sam_adapter.project.other_images import Elsewhere
from napari_sam_adapter.project.retrain_request import MarkedImage
from napari_sam_adapter.versions.adapter_version import AdapterVersion
from napari_sam_adapter.versions.promotion import ENOUGH

NOT_ON_OFFER = "That run goes on in another window, or has ended."
_NEXT = "Predict all uses it on the other slices"


def started(images: Sequence[MarkedImage]) -> str:
    """Say on what a run has started."""
    here, others = len(images[0].masks), images[1:]
    slices = counted(here, Elsewhere(sum(len(one.masks) for one in others), len(others)))
    return f"Retraining on {slices}. Go on working."


def interrupted(n_slices: int) -> str:
    """Say that a run has been left unfinished."""
    return f"A retraining on {_slices(n_slices)} was interrupted."


def counted(here: int, elsewhere: Elsewhere) -> str:
    """Say how many slices there are to learn from, in the open image and in others."""
    if not elsewhere.n_images:
        return _slices(here)
    n = elsewhere.n_images
    whose = f"of {'another image' if n == 1 else f'{n} other images'} of the project"
    if not here:
        return f"{_slices(elsewhere.n_slices)} {whose}"
    return f"{_slices(here)} here and {elsewhere.n_slices} {whose}"


def _slices(count: int) -> str:
    return "1 slice" if count == 1 else f"{count} slices"


def left_out(n_slices: int) -> str:
    """Say that slices are not learned from, and why, without a full stop."""
    which = "1 slice holds" if n_slices == 1 else f"{n_slices} slices hold"
    return f"{which} labels below 0 and {'is' if n_slices == 1 else 'are'} left out"


def summary(version: AdapterVersion) -> str:
    """Sum up the run that made a version which is in use now, and name the next step."""
    return _told(f"{_how(version)}; {_NEXT}", _score(version), _caveat(version))


def goes_on(version: AdapterVersion, gear: str) -> str:
    """Say that a run is followed by one in the next gear."""
    how = f"{_how(version)}; {gear} goes on from it, and Stop ends that"
    return _told(how, _score(version), _caveat(version))


def gains_no_more(version: AdapterVersion) -> str:
    """Say that no further gear follows, as the last one gained nothing."""
    score = f"{_score(version)}: no gain, so training ends here"
    return _told(f"{_how(version)}; {_NEXT}", score, _caveat(version))


def ends_here(in_use: str, gear: str) -> str:
    """Say why the next gear does not follow, though it was said to."""
    return _told(
        f"Training ends here, with {in_use}: {gear} was to follow, but the masks that it learns "
        "from are not the chosen ones",
        "To go on, choose them under Masks, with their image under Image or opened, and retrain",
    )


def ends_before(gear: str) -> str:
    """Say that the next gear does not follow; "" where none was to."""
    return f"Training ends with it: {gear} was to follow, and does not." if gear else ""


def held_back(version: AdapterVersion, in_use: str) -> str:
    """Say why a version is held back, and what can be done."""
    return _told(
        f"v{version.number} is held back, and {in_use} stays in use",
        version.verdict.in_short,
        f"Correct more and retrain, or click v{version.number} in the list of versions to use it "
        "all the same",
    )


def not_compared(version: AdapterVersion, in_use: str) -> str:
    """Say why a version is not in use where the person has chosen another model meanwhile."""
    return _told(
        f"v{version.number} is trained, and {in_use} stays in use: you have chosen that meanwhile, "
        "and the two were not compared",
        f"Click v{version.number} in the list of versions to use it",
    )


def _how(version: AdapterVersion) -> str:
    how = {
        "completed": "is trained and in use",
        "stopped": "holds the best state before you stopped, and is in use",
        "diverged": "holds the best state before training broke down, and is in use",
    }[version.card.training["ended"]]
    return f"v{version.number} {how}"


def _score(version: AdapterVersion) -> str:
    training = version.card.training
    before, after = training["held_out_dice_before"], training["held_out_dice_after"]
    if before is None:
        return "Too few newly corrected slices to hold one out, so there is no score yet"
    slices = (
        "1 held-out slice" if version.verdict.n == 1 else f"{version.verdict.n} held-out slices"
    )
    return f"Dice on {slices}: {before:.2f} before, {after:.2f} after"


def _caveat(version: AdapterVersion) -> str:
    """Say what to think of the score; "" where there is nothing against it, or none."""
    n, leaks = version.verdict.n, version.verdict.leaks
    if leaks and n == 1:
        return "That is too kind, and says little: one slice, of an image that it learned from, too"
    if leaks:
        return "These scores are too kind: the slices are of images that it learned from, too"
    if n and n < ENOUGH:
        return "One slice says little" if n == 1 else f"{n} slices say little"
    return ""


def _told(*sentences: str) -> str:
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


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


def kept_outside(project: Path, path: Path, reason: str) -> str:
    """Say that a project does not take what was learned for it, and where it is meanwhile."""
    return (
        f"The new version could not be put into the project {project}: {reason}. It is kept as "
        f"{path}. Once that is mended (free some space, if the disk is full), load that file with "
        "⋯ beside the versions."
    )
