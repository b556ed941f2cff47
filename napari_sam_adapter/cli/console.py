"""Where the command line writes: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from napari_sam_adapter.training.launch import rank

# Names of files, images and versions may look like [markup] or :emoji: codes; they are shown as
# they are. What is to be styled is a `Text`.
output = Console(markup=False, emoji=False)
errors = Console(stderr=True, markup=False, emoji=False)
_WIDEST = 240  # characters; longer values (settings of an adapter) go on in the next line


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of standard output."""
    output.print(json.dumps(values), soft_wrap=True, highlight=False)


def print_table(table: Table) -> None:
    """Print a table, as wide as its contents where no terminal tells how wide it may be."""
    is_limited = output.is_terminal or "COLUMNS" in os.environ
    wide = Console(markup=False, emoji=False, width=_WIDEST)
    (output if is_limited else wide).print(table)


def is_first_process() -> bool:
    """Whether this process speaks to the person: launchers number those that share a run."""
    return rank() == 0


def which_process() -> str:
    """Return words for an error of another process than the first: it may be its alone."""
    return "" if is_first_process() else f" in process {rank()}"


def say(text: str) -> None:
    """Tell the person something beside the results; of several processes, the first one does."""
    if is_first_process():
        errors.print(text, soft_wrap=True, highlight=False)


def progress_bar(*extra_columns: str) -> Progress:
    """Return a progress bar on standard error that vanishes when it is done."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *(TextColumn(column, markup=False) for column in extra_columns),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        # In a log file a bar is noise, and an error must stay one line.
        disable=not errors.is_terminal or not is_first_process(),
    )


@contextmanager
def stop_on_interrupt(
    what_follows: str = "Stopping after this step; the best state so far is kept.",
) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl+C into a polite request to stop; a second one ends the program."""
    stopped = False

    def request_stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        del number, frame
        if stopped:
            raise KeyboardInterrupt
        stopped = True
        errors.print(what_follows)

    previous = signal.signal(signal.SIGINT, request_stop)
    try:
        yield lambda: stopped
    finally:
        signal.signal(signal.SIGINT, previous)
