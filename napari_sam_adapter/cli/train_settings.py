"""What the options of ``train`` mean: settings, or a sentence that names the option."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.adapter.classes import check_class_names, renamings
from napari_sam_adapter.adapter.config import AdapterConfig, Condition
from napari_sam_adapter.cli.console import say
from napari_sam_adapter.errors import ConditionError, TrainingError
from napari_sam_adapter.sam.adapter_base import base_of_adapter
from napari_sam_adapter.sam.registry import DEFAULT_MODEL, base_model
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.presets import PRESETS, USUAL_MINUTES

if TYPE_CHECKING:
    from napari_sam_adapter.training.job import TrainingJob

# Where the option is called otherwise than what it sets.
_OPTIONS = {"max_seconds": "--minutes", "max_steps": "--steps", "max_epochs": "--epochs"}


def config_of(
    preset: str,
    given: Mapping[str, Any],
    minutes: float | None,
    steps: int | None,
    epochs: int | None,
    seed: int,
) -> TrainingConfig:
    """Return the preset with what is given changed; a time or number of steps replaces its own."""
    if preset not in PRESETS:
        raise TrainingError(f"There is no preset {preset!r}; known are: {', '.join(PRESETS)}.")
    recipe = PRESETS[preset].config
    changes = {"seed": seed} | {key: value for key, value in given.items() if value is not None}
    if steps is not None or epochs is not None:
        changes |= {"max_seconds": math.inf, "max_steps": steps, "max_epochs": epochs}
    elif recipe.max_epochs is None:
        gear = given["gear"] or recipe.gear
        minutes = USUAL_MINUTES[gear] if minutes is None and gear in USUAL_MINUTES else minutes
    if minutes is not None:
        if not minutes > 0:
            raise TrainingError(f"--minutes must be a number above 0, got {minutes:g}.")
        changes["max_seconds"] = 60.0 * minutes
    try:
        return replace(recipe, **changes)
    except ValueError as error:
        raise TrainingError(_of_option(error)) from error


def _of_option(error: ValueError) -> str:
    """Say what is wrong with a setting, whose name comes first, as the person called it."""
    setting, _, what = str(error).partition(" ")
    option = _OPTIONS.get(setting, f"--{setting.replace('_', '-')}")
    return f"{option} {what}."


def base_of(model: str | None, init: Path | None) -> str:
    """Return the name of the base model: the one asked for, that of ``init``, or the usual one."""
    if model is not None:
        return model
    return DEFAULT_MODEL if init is None else base_of_adapter(read_card(init))


def class_names_of(classes: str | None, init: Path | None) -> tuple[str, ...]:
    """Return the names asked for, or those of ``init``."""
    known = ("object",) if init is None else read_card(init).class_names
    if classes is None:
        return known
    names = tuple(name.strip() for name in classes.split(","))
    try:
        check_class_names(names)
    except ValueError as error:
        raise TrainingError(f"--classes {classes!r}: {error}.") from error
    if init is not None and len(names) >= len(known):  # fewer are refused in any case
        try:
            renamings(known, names)
        except ValueError as error:
            raise TrainingError(
                f"{init} knows the classes {', '.join(known)}, and --classes names "
                f"{', '.join(names)}: {error}. Give them in the adapter's order, with masks whose "
                "values are in that order, and new ones behind them; or train without --init."
            ) from error
    return names


def say_renamed(job: TrainingJob) -> None:
    """Say which classes of the adapter that a run starts from get another name."""
    if job.init is None or job.class_names is None:
        return
    for label, before, after in renamings(read_card(job.init).class_names, job.class_names):
        say(f"Class {label} was called {before} and is called {after} from now on.")


def adapter_of(base: str, conditions: str | None, reduction: int | None) -> AdapterConfig | None:
    """Return the base model's adapter with what is asked for changed; None where nothing is."""
    if conditions is None and reduction is None:
        return None
    adapter = base_model(base).adapter
    if conditions is not None:
        try:
            chosen = tuple(_condition(term) for term in conditions.split(","))
            adapter = replace(adapter, conditions=chosen)
        except ValueError as error:
            raise ConditionError(f"--conditions {conditions!r}: {error}.") from error
    if reduction is not None:
        try:
            adapter = replace(adapter, reduction=reduction)
        except ValueError as error:
            raise ConditionError(_of_option(error)) from error
    return adapter


def _condition(term: str) -> Condition:
    name, _, weight = (part.strip() for part in term.partition("="))
    try:
        value = float(weight or 1.0)
    except ValueError as error:
        raise ValueError(
            f"the weight of {name} must be a number, as in {name}=0.5, got {weight!r}"
        ) from error
    return Condition(name, value)
