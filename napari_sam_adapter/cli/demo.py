"""``napari-sam-adapter demo``: the loop in the window, or headless with a report."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from napari_sam_adapter.cli.console import errors, output, print_table, progress_bar, say
from napari_sam_adapter.demo import (
    DemoData,
    DemoProgress,
    DemoRound,
    run_demo,
    synthetic_demo_data,
)
from napari_sam_adapter.errors import EngineError, ImageError


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="No window: simulate the person, write a report.")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Folder for the report, where there is no window.")
    ] = Path("demo-output"),
    images: Annotated[
        Path | None,
        typer.Option(help="Your own images (with --masks); in a window all of one size."),
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Their masks, paired by file stem.")] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or mps; the window has it in its Preferences.")
    ] = "auto",
) -> None:
    """Show the loop: predict, correct, retrain, predict better.

    With a display it opens napari with a sample stack and the dock. Without one, or with
    --headless, corrections are simulated from the ground truth.

    Example: [bold]napari-sam-adapter demo --headless --out demo-output[/]
    """
    data = _data(images, masks)
    if not headless and not has_display():
        errors.print("There is no display: running headless.")
        headless = True
    if headless:
        _run_headless(data, out, device)
        return
    try:
        from napari_sam_adapter.widgets.launch import open_demo
    except Exception as error:  # a missing Qt binding shows in many ways
        raise EngineError(
            f"napari cannot open a window here ({error}). Install a Qt binding with "
            'pip install "napari-sam-adapter[all]", or use --headless.'
        ) from error
    open_demo(data)


def has_display() -> bool:
    """Tell whether a window can be opened here."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _data(images: Path | None, masks: Path | None) -> DemoData:
    if images is None and masks is None:
        return synthetic_demo_data()
    if images is None or masks is None:
        raise ImageError("--images and --masks go together: give both folders, or neither.")
    from napari_sam_adapter.data.files import pair_by_stem
    from napari_sam_adapter.data.mask_values import MergedValues
    from napari_sam_adapter.data.stacks import read_slices

    slices = list(read_slices(pair_by_stem(images, masks), note=MergedValues(say)))
    if not slices:
        raise ImageError(f"No slice in {images} has any contrast: there is nothing to segment.")
    arrays, truths, names, _ = (list(column) for column in zip(*slices, strict=True))
    return DemoData(arrays, truths, names, f"images from {images.name or images}")


def _run_headless(data: DemoData, out: Path, device: str) -> None:
    output.print(f"Data: {data.source}. Corrections are simulated from the ground truth.")
    rounds: list[DemoRound] = []
    with progress_bar() as progress:
        task = progress.add_task("Starting", total=1.0)
        for event in run_demo(data, out, device=device):
            if isinstance(event, DemoProgress):
                progress.update(task, description=event.message, completed=event.share)
            else:
                rounds.append(event)
    print_table(_table(rounds))
    output.print(f"Report: {out / 'contact-sheet.png'} and {out / 'report.json'}", soft_wrap=True)


def _table(rounds: Sequence[DemoRound]) -> Table:
    table = Table(
        "round",
        "corrected slices",
        "pixels wrong before correcting",
        "held-out Dice before",
        "after",
        "seconds",
        title="Two rounds of predict, correct (simulated), retrain",
    )
    for one in rounds:
        table.add_row(
            str(one.round),
            str(one.corrected_slices),
            f"{one.pixels_to_correct:.1%}",
            f"{one.dice_before:.3f}",
            f"{one.dice_after:.3f}",
            f"{one.seconds:.0f}",
        )
    return table
