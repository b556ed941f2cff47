"""What the dock says of predictions: what was done, by whom, and what was left as it is."""

from __future__ import annotations

from collections.abc import Sequence

from napari_sam_adapter.sam.prompts import Prompts
from napari_sam_adapter.widgets.panels.slice_words import at_start


def stays_first(slice_: str) -> str:
    """Say that a corrected mask was left as it is, and how it is predicted all the same."""
    return (
        f"{at_start(slice_)} is corrected, so its mask stays. Press Predict slice again to "
        "predict what you left untouched: your own pixels stay, and Ctrl+Z takes it back."
    )


def predicted(prompts: Prompts, by: str) -> str:
    """Say from which prompts, if any, and by whom: ``from 1 box by v2``."""
    counts = ((len(prompts.boxes), "box", "boxes"), (len(prompts.points), "point", "points"))
    described = " and ".join(f"{n} {one if n == 1 else more}" for n, one, more in counts if n)
    return f"from {described} by {by}" if described else f"by {by}"


def summary(
    done: int,
    wanted: int,
    where: str,
    how: str,
    skipped: Sequence[str],
    least: tuple[float, str] | None,
    left: tuple[int, int],
    *,
    was_corrected: bool = False,
) -> str:
    """Sum up a job.

    Parameters
    ----------
    done, wanted : int
        How many slices it has come to, and to how many it was to come.
    where : str
        Which slice, of a single one.
    how : str
        See `predicted`.
    skipped : sequence of str
        For each slice that could not be predicted, which it is and why.
    least : tuple of float and str, or None
        The lowest confidence, and the slice that has it.
    left : tuple of int
        How many corrected or accepted slices were left out, and how many became that meanwhile.
    was_corrected : bool
        Whether the slice was, and counts as predicted from now on.
    """
    n_predicted = done - len(skipped) - left[1]
    stays = _stays(sum(left))
    if skipped:
        more = f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        return f"{n_predicted} slices predicted.{stays} Skipped {skipped[0]}{more}"
    if done < wanted:
        return f"Cancelled: {n_predicted} of {wanted} slices were predicted {how}.{stays}"
    if not n_predicted:
        return f"Nothing was predicted.{stays}"
    one, several = f"{at_start(where)} is predicted", f"{n_predicted} slices predicted"
    what = one if wanted == 1 else several
    if least is not None:
        confidence, index = least
        how += f" ({'confidence' if wanted == 1 else f'least sure of {index},'} {confidence:.0%})"
    if was_corrected:
        stays += " It is not learned from any more until you paint in it or accept it."
    return f"{what} {how}.{stays} Correct the masks with napari's brush, or accept them."


def _stays(n_left: int) -> str:
    if not n_left:
        return ""
    slices = "slice stays as it is" if n_left == 1 else "slices stay as they are"
    return f" {n_left} corrected or accepted {slices}."
