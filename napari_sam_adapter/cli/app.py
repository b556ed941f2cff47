"""Assemble the commands."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_sam_adapter import __version__
from napari_sam_adapter.cli import catalog, demo, evaluate, predict, project, train

app = typer.Typer(
    name="napari-sam-adapter",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Adapter-tuned Segment Anything: predict, correct, retrain.",
)
app.command("demo")(demo.demo)
app.command("predict")(predict.predict)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(catalog.models, name="models")
app.add_typer(catalog.adapters, name="adapters")
app.add_typer(project.project, name="project")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show version."),
    ] = False,
) -> None:
    """Adapter-tuned Segment Anything: predict, correct, retrain."""
    del version
