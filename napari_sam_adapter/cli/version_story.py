"""What `project show` says of a version below the table: what it was made from, and how."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Enough to tell hashes apart; --json has them whole.
BASE_DIGITS, DIGITS = 12, 8
WIDTH = 10


def version_story(adapter: dict[str, Any]) -> list[str]:
    """Return lines about a version; what its file does not say is left out.

    Parameters
    ----------
    adapter : dict
        One of the ``adapters`` of `provenance_of`.
    """
    training = adapter["training"]
    rows = {
        "note": " ".join(adapter["note"].split()),
        "parent": adapter["parent"],
        "base": f"{adapter['base']}, sha256 {adapter['base_sha256'][:BASE_DIGITS]}",
        "classes": ", ".join(adapter["classes"]),
        "run": _run(training),
        "settings": _settings(training.get("config", {})),
        "slices": _slices(training),
        "scores": _scores(training.get("held_out_scores", ())),
        "earlier": _scores(training.get("earlier_scores", ())),
        "curve": _curve(training.get("curve", {})),
    }
    title = f"{adapter['version']} {adapter['name']}".rstrip()
    return [title, *(f"  {name:{WIDTH}}{text}" for name, text in rows.items() if text)]


def _run(training: dict[str, Any]) -> str:
    if "steps" not in training:
        return ""
    where = " in ".join(training[key] for key in ("device", "precision") if key in training)
    parts = (
        training.get("gear_of_this_run", ""),
        f"{training['steps']} steps in {training.get('seconds', 0):.0f} s",
        f"on {where}" if where else "",
        training.get("ended", ""),
    )
    return ", ".join(part for part in parts if part)


def _settings(config: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in config.items() if value is not None)


def _slices(training: dict[str, Any]) -> str:
    """Name each slice, with the starts of the hashes of its image and its mask."""
    names, masks = training.get("slices", []), training.get("masks", [])
    if not names:
        return ""
    held_out = set(training.get("held_out", ()))
    said = []
    for name, digests in zip(names, masks or [()] * len(names), strict=False):
        short = " ".join(digest[:DIGITS] for digest in digests)
        rest = [short] if short else []
        if digests and digests[0] in held_out:
            rest.append("held out")
        said.append(f"{name} ({', '.join(rest)})" if rest else name)
    return f"{len(names)}: {'; '.join(said)}"


def _scores(rows: Iterable[tuple[str, float, float]]) -> str:
    """Name Dice before and after of each slice."""
    return "; ".join(f"{name}: {before:.3f} → {after:.3f}" for name, before, after in rows)


def _curve(curve: dict[str, Any]) -> str:
    losses, scores = curve.get("loss", []), curve.get("held_out_dice", [])
    said = []
    if losses:
        said.append("loss " + " → ".join(_point(point) for point in _ends(losses)))
    if scores:
        best = max(scores, key=lambda point: point[1])
        said.append("held-out Dice " + " → ".join(map(_point, _ends(scores))))
        said[-1] += f", at best {_point(best)}"
    return "; ".join(said)


def _ends(points: list[Any]) -> list[Any]:
    return [points[0], points[-1]] if len(points) > 1 else points


def _point(point: tuple[int, float]) -> str:
    step, value = point
    return f"{value:.3f} (step {step})"
