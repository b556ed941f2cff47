"""``napari-sam-adapter models`` and ``napari-sam-adapter adapters``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.cli import options
from napari_sam_adapter.cli.console import (
    output,
    print_json,
    print_table,
    progress_bar,
    stop_on_interrupt,
)
from napari_sam_adapter.sam.base_model import BaseModel
from napari_sam_adapter.sam.registry import BASE_MODELS, base_model
from napari_sam_adapter.sam.weight_files import MODELS_VARIABLE, models_folder

models = typer.Typer(
    help="List the base models with licence and size, or download one.\n\n"
    "Example: [bold]napari-sam-adapter models fetch mobile_sam[/]"
)
adapters = typer.Typer(no_args_is_help=True, help="Look into adapter files, or import them.")


@models.callback(invoke_without_command=True)
def list_models(context: typer.Context, as_json: options.Json = False) -> None:
    """List the base models with licence, size and whether they are here."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        print_json({model.name: _model_as_json(model) for model in BASE_MODELS.values()})
        return
    table = Table(
        Column("name", no_wrap=True), "what it is", "licence", "MB", "here", "input sizes"
    )
    for model in BASE_MODELS.values():
        sizes = ", ".join(str(size) for size in model.input_sizes)
        megabytes = f"{model.weights.n_bytes / 1e6:.0f}"
        here = "yes" if model.weights.is_here else "to download"
        table.add_row(model.name, model.title, model.licence, megabytes, here, sizes)
    print_table(table)
    output.print(
        f"Downloads are kept in {models_folder()}; the environment variable {MODELS_VARIABLE} "
        "moves that folder, and files copied into it by hand are used.",
        soft_wrap=True,
    )


@models.command("fetch")
def fetch_model(
    name: Annotated[str, typer.Argument(help="Name of a base model, e.g. sam_vit_b.")],
) -> None:
    """Download the weights of a base model; Ctrl+C stops, and the next try continues.

    Example: [bold]napari-sam-adapter models fetch mobile_sam[/]
    """
    from napari_sam_adapter.sam.fetch import fetch

    weights = base_model(name).weights
    what_follows = "Stopping; what has arrived is kept."
    with stop_on_interrupt(what_follows) as should_stop, progress_bar() as bar:
        task = bar.add_task(f"Downloading {weights.name}", total=weights.n_bytes)
        path = fetch(
            weights,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            should_stop=should_stop,
        )
    output.print(f"{name} is here: {path}", soft_wrap=True)


def _model_as_json(model: BaseModel) -> dict[str, object]:
    weights = model.weights
    return {
        "title": model.title,
        "licence": model.licence,
        "source": model.source,
        "citation": model.citation,
        "url": weights.url,
        "sha256": weights.sha256,
        "bytes": weights.n_bytes,
        "here": weights.is_here,
        "input_sizes": list(model.input_sizes),
    }


@adapters.callback()
def _group() -> None:
    """Look into adapter files, or import them."""


@adapters.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="An adapter file (.safetensors).")],
    as_json: options.Json = False,
) -> None:
    """Show what an adapter belongs to and how it was made.

    Example: [bold]napari-sam-adapter adapters show polyps.safetensors[/]
    """
    card = read_card(file)
    if as_json:
        print_json(asdict(card))
        return
    table = Table("what", "value")
    values = asdict(card)
    training = values.pop("training")
    for key, value in values.items():
        table.add_row(key, str(value))
    for key, value in training.items():
        table.add_row(f"training.{key}", str(value))
    print_table(table)


@adapters.command("import")
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A checkpoint of the original SAM-Adapter (.pth).")],
    out: Annotated[Path, typer.Option(help="The adapter file to write (.safetensors).")],
    model: Annotated[
        str | None,
        typer.Option(
            help="The base model that it is an adapter of; NAME@FILE for weights of your own.",
            show_default="SAM's of the checkpoint's size",
        ),
    ] = None,
    base_out: Annotated[
        Path | None,
        typer.Option(
            help="Write the checkpoint's own encoder here, as base weights (.pth). Only needed "
            "where SAM's own weights are not at hand, or are not those it was trained on."
        ),
    ] = None,
) -> None:
    """Turn a checkpoint of the original SAM-Adapter into an adapter file.

    The size of the ViT and of its input are read from the file. Nothing in it is executed.

    Example: [bold]napari-sam-adapter adapters import model_epoch_best.pth
    --out polyps.safetensors[/]
    """
    from napari_sam_adapter.sam.original import import_original

    card = import_original(file, out, base=model, base_out=base_out)
    output.print(
        f"Wrote {out}: an adapter of {card.base_model} at {card.input_size} x {card.input_size} "
        "pixels. It takes no boxes or points: its position encoding is its own, and prompts were "
        "never trained with it.",
        soft_wrap=True,
    )
    if base_out is not None:
        output.print(f"Use it with --model {card.base_model}@{base_out}", soft_wrap=True)
