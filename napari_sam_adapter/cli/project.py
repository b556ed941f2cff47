"""``napari-sam-adapter project``: where every mask and adapter of a project comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from napari_sam_adapter.cli import options
from napari_sam_adapter.cli.console import output, print_json, print_table, progress_bar
from napari_sam_adapter.cli.version_story import version_story

project = typer.Typer(no_args_is_help=True, help="Look into a project folder, or make it again.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A project folder.")]


@project.callback()
def _group() -> None:
    """Look into a project folder, or make it again."""


@project.command("show")
def show(folder: Folder, as_json: options.Json = False) -> None:
    """Show where every mask and every adapter comes from.

    For a slice: who predicted it, what was changed, how long that took, when it was accepted. For
    an adapter: its parent, its base model, its settings, the slices and masks it learned from, its
    scores and its curve; with --json the whole hashes, every point of the curve, and more.

    Example: [bold]napari-sam-adapter project show my-project[/]
    """
    from napari_sam_adapter.project.project import open_existing
    from napari_sam_adapter.project.provenance import provenance_of

    found = provenance_of(open_existing(folder))
    if as_json:
        print_json(found)
        return
    print_table(_adapters(found))
    for one in found["adapters"]:
        for line in version_story(one):
            output.print(line, soft_wrap=True)
    if found["adapters"]:
        output.print("Whole hashes, and every point of the curves: --json.")
    for image in found["images"]:
        print_table(_slices(image))
        for number, one in enumerate(image["rounds"], 1):
            output.print(
                f"Round {number}: {_counted(one, 'slices')}, {_counted(one, 'strokes')}, "
                f"{_counted(one, 'pixels')}, {one['seconds']:.0f} s"
            )
        for trouble in image["troubles"]:
            output.print(trouble, soft_wrap=True)
    for trouble in found["troubles"]:
        output.print(trouble, soft_wrap=True)


@project.command("replay")
def replay(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder of the new project; must not be there.")],
    images: Annotated[
        Path | None,
        typer.Option(help="Where the images are now, if they have moved: a folder of their files."),
    ] = None,
    keep_adapters: Annotated[
        bool, typer.Option(help="Copy the adapters instead of training them again.")
    ] = False,
    predict: Annotated[
        bool,
        typer.Option(
            "--predict/--no-predict",
            help="Predict again what a stored adapter or the base model has predicted, and count "
            "the slices that come out identical.",
        ),
    ] = True,
    device: options.Device = "auto",
) -> None:
    """Make a project again from its journals: the masks, then each adapter from the same slices.

    The masks are those of the journals, pixel by pixel. Masks that were predicted are predicted
    again by the very adapter that did it, to show that it still makes the same of the image.

    Example: [bold]napari-sam-adapter project replay my-project --out again[/]
    """
    from napari_sam_adapter.project.project import open_existing
    from napari_sam_adapter.project.rerun import rerun

    with progress_bar("{task.fields[note]}") as bar:
        task = bar.add_task("Replaying", total=None, note="")
        for said in rerun(
            open_existing(folder),
            out,
            images=images,
            keep_adapters=keep_adapters,
            predict=predict,
            device=device,
        ):
            if said.is_result:
                output.print(said.sentence, soft_wrap=True)
            else:
                bar.update(task, note=said.sentence)


def _adapters(found: dict[str, Any]) -> Table:
    table = Table(
        "", "version", "parent", "base", "made", "slices", "held-out Dice", title="Adapters"
    )
    for one in found["adapters"]:
        training = one["training"]
        before, after = (training.get(f"held_out_dice_{when}") for when in ("before", "after"))
        in_use = "in use" if one["version"] == found["active"] else ""
        table.add_row(
            "held back" if one["held_back"] and not in_use else in_use,
            f"{one['version']} {one['name']}".rstrip(),
            one["parent"],
            one["base"],
            one["created"][:16].replace("T", " "),
            str(training.get("n_slices", "")),
            "" if after is None else f"{_dice(before)} → {_dice(after)}",
        )
    return table


def _counted(effort: dict[str, Any], things: str) -> str:
    number = effort[things]
    return f"{number} {things.removesuffix('s') if number == 1 else things}"


def _dice(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _slices(image: dict[str, Any]) -> Table:
    from napari_sam_adapter.annotations.made_with import in_words

    title = f"{image['name']} ({image['source'] or 'no file'})"
    columns = ("slice", "predicted by", "confidence", "strokes", "pixels", "seconds", "accepted")
    table = Table(*columns, title=title)
    for one in image["slices"]:
        effort = one["effort"]
        table.add_row(
            ", ".join(map(str, one["index"])) or "the image",
            ", ".join(filter(None, (one["adapter"] or "nobody", in_words(one["made_with"])))),
            "" if one["confidence"] is None else f"{one['confidence']:.2f}",
            str(effort["strokes"]),
            str(effort["pixels"]),
            f"{effort['seconds']:.0f}",
            (one["accepted_at"] or "")[:16].replace("T", " "),
        )
    return table
