"""``napari-sam-adapter train``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table

from napari_sam_adapter.cli import options
from napari_sam_adapter.cli.console import (
    is_first_process,
    print_json,
    print_table,
    progress_bar,
    say,
    stop_on_interrupt,
)
from napari_sam_adapter.cli.train_settings import (
    adapter_of,
    base_of,
    class_names_of,
    config_of,
    say_renamed,
)
from napari_sam_adapter.data.files import pair_by_stem
from napari_sam_adapter.data.mask_values import MergedValues
from napari_sam_adapter.data.stacks import read_slices
from napari_sam_adapter.errors import TrainingError
from napari_sam_adapter.training.launch import check_launch
from napari_sam_adapter.training.presets import PRESETS
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.versions.promotion import LEAKS, verdict_of

if TYPE_CHECKING:
    from napari_sam_adapter.training.job import AdapterSaved, TrainingJob


def train(  # noqa: PLR0913 - each argument is an option of the command
    images: options.Images,
    masks: options.Masks,
    out: Annotated[Path, typer.Option(help="The adapter file to write (.safetensors).")],
    preset: Annotated[
        str, typer.Option(help=f"Recipe: {', '.join(PRESETS)}; options given override it.")
    ] = "interactive",
    gear: Annotated[
        str | None,
        typer.Option(
            help="quick: mask decoder only; late: also the adapter of the encoder's last part; "
            "full: the whole adapter and the decoder."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Time to train; 1.5 for quick, 2 for late, 3 for full.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Train this many steps instead, however long they take.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Likewise, in passes over the training images.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Slices per step and process; their gradients are added up one by one."),
    ] = None,
    max_images: Annotated[
        int | None, typer.Option(help="Train on a random choice of this many images.")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Adapter file to start from.")] = None,
    input_size: Annotated[
        int | None,
        typer.Option(
            help="Side of the encoder's input, e.g. 128, 192, 256; may differ from that of --init. "
            "By default what suits the size of the images."
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of the classes of mask values 1, 2, ..., separated by commas; with --init "
            "in the adapter's order, new ones behind."
        ),
    ] = None,
    conditions: Annotated[
        str | None,
        typer.Option(
            help="What the prompts are computed from, with weights, e.g. "
            "'patch_embedding,high_frequency,gradient=0.5'."
        ),
    ] = None,
    reduction: Annotated[
        int | None,
        typer.Option(
            help="The adapter's bottleneck is the width of its stage divided by this: less is "
            "larger, for many images."
        ),
    ] = None,
    augmentation: Annotated[
        str | None,
        typer.Option(
            help="How slices are varied: views (turned, mirrored, cropped, brightened), upright "
            "(neither turned nor mirrored: left and right tell classes apart), flip, or none."
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Regular expression that finds the patient or video in an image's file name, e.g. "
            "'^(case[0-9]+)'; whole groups are held out then. Stacks, and "
            "DICOM images of one patient, are groups anyway."
        ),
    ] = None,
    model: options.Model = None,
    device: options.Device = "auto",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue the same command where a crash or kill ended it, or begin."
        ),
    ] = False,
    checkpoint_steps: Annotated[
        int, typer.Option(help="Steps between two checkpoints (OUT.checkpoint).")
    ] = 100,
    seed: Annotated[int, typer.Option(help="For the choice, order and augmentation.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Train an adapter on images and masks; Ctrl+C keeps the best state so far.

    Example: [bold]napari-sam-adapter train --images train/images --masks train/masks
    --out polyps.safetensors --max-images 16[/]
    """
    from napari_sam_adapter.training.job import TrainingJob
    from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
    from napari_sam_adapter.training.starting_model import check_start

    check_launch()
    given = {"gear": gear, "augmentation": augmentation, "batch_size": batch_size}
    config = config_of(preset, given, minutes, steps, epochs, seed)
    class_names = class_names_of(classes, init)
    base = base_of(model, init)
    pattern = _pattern_of(group_by)
    checkpoint = RunCheckpoint(Path(f"{out}.checkpoint"), max(1, checkpoint_steps), resume)
    job = TrainingJob(
        samples=(),
        out=out,
        config=config,
        base=base,
        init=init,
        input_size=input_size,
        adapter=adapter_of(base, conditions, reduction),
        class_names=class_names,
        device=device,
        checkpoint=checkpoint,
        notes={"preset": preset},
    )
    check_start(job)  # reading the images may take minutes
    # Processes that share a run are one: the first one, which writes, holds it.
    with checkpoint.held() if is_first_process() else nullcontext():
        pairs = _choose(pair_by_stem(images, masks, say), max_images, seed)
        job = replace(job, samples=_read_samples(pairs, class_names, pattern))
        if resume and not checkpoint.path.is_file():
            say(f"There is no checkpoint {checkpoint.path} to go on from: the run begins anew.")
        saved = _run(job)
    if saved is not None:
        _report(saved, as_json)


def _choose(
    pairs: list[tuple[Path, Path]], max_images: int | None, seed: int
) -> list[tuple[Path, Path]]:
    if max_images is None or max_images >= len(pairs):
        return pairs
    if max_images < 1:
        raise TrainingError(f"--max-images must be at least 1, got {max_images}.")
    chosen = np.random.default_rng(seed).choice(len(pairs), size=max_images, replace=False)
    return [pairs[index] for index in sorted(chosen)]


def _pattern_of(group_by: str | None) -> re.Pattern[str] | None:
    try:
        return None if group_by is None else re.compile(group_by)
    except re.error as error:
        raise TrainingError(
            f"--group-by {group_by!r} is no regular expression: {error}."
        ) from error


def _read_samples(
    pairs: Sequence[tuple[Path, Path]],
    class_names: tuple[str, ...],
    pattern: re.Pattern[str] | None,
) -> list[TrainingSample]:
    slices = read_slices(pairs, class_names, pattern, MergedValues(say))
    return [TrainingSample(*one) for one in slices]


def _run(job: TrainingJob) -> AdapterSaved | None:
    """Run the job; of several processes that share it, only the main one has something to say."""
    from napari_sam_adapter.training.events import (
        StepReport,
        TrainingFinished,
        TrainingStarted,
        ValidationReport,
    )
    from napari_sam_adapter.training.job import AdapterSaved, run_job

    saved: AdapterSaved | None = None
    columns = ("loss {task.fields[loss]}", "held-out Dice {task.fields[dice]}")
    with stop_on_interrupt() as should_stop, progress_bar(*columns) as progress:
        task = progress.add_task(f"Training ({job.config.gear})", total=1.0, loss="-", dice="-")
        for event in run_job(job, should_stop=should_stop):
            match event:
                case TrainingStarted():
                    say_renamed(job)
                case StepReport():
                    progress.update(task, completed=event.progress, loss=f"{event.loss:.3f}")
                case ValidationReport():
                    progress.update(task, dice=f"{event.dice:.3f}")
                case TrainingFinished(message=message, steps=steps) if message and steps:
                    say(message)  # without a step, it is the error that follows
                case AdapterSaved():
                    saved = event
    return saved


def _report(saved: AdapterSaved, as_json: bool) -> None:
    summary = dict(saved.card.training)
    if as_json:
        print_json({"adapter": str(saved.path), "adapter_id": saved.card.adapter_id, **summary})
        return
    table = Table("adapter", "slices", "steps", "seconds", "held-out Dice before", "after", "ended")
    table.add_row(
        str(saved.path),
        f"{summary['n_training']} + {summary['n_held_out']} held out",
        str(summary["steps"]),
        f"{summary['seconds']:.0f}",
        _score(summary["held_out_dice_before"]),
        _score(summary["held_out_dice_after"]),
        str(summary["ended"]),
    )
    print_table(table)
    verdict = verdict_of(summary)
    if not verdict.promoted:
        say(f"The new adapter is worse than what it was trained from. {verdict.reason}")
    elif verdict.leaks:
        say(LEAKS)


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
