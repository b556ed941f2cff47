"""``napari-sam-adapter models`` and ``napari-sam-adapter adapters``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.cli import options
from napari_sam_adapter.cli.console import output, print_json
from napari_sam_adapter.sam.registry import BASE_MODELS

adapters = typer.Typer(no_args_is_help=True, help="Look into adapter files.")


def models() -> None:
    """List the base models with licence, size and source.

    Example: [bold]napari-sam-adapter models[/]
    """
    table = Table("name", "what it is", "licence", "MB", "input sizes", "source")
    for model in BASE_MODELS.values():
        sizes = ", ".join(str(size) for size in model.input_sizes)
        megabytes = f"{model.n_bytes / 1e6:.0f}"
        table.add_row(model.name, model.title, model.licence, megabytes, sizes, model.source)
    output.print(table)


@adapters.callback()
def _group() -> None:
    """Look into adapter files."""


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
    output.print(table)
