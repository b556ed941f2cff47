"""The command line: one file per command, all callers of the same core as the window."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from napari_sam_adapter.errors import SamAdapterError
from napari_sam_adapter.openmp import wait_briefly


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; bad input ends with one clear line and exit code 2."""
    wait_briefly()
    for stream in (sys.stdout, sys.stderr):
        # A name that a pipe's encoding lacks, as on Windows, comes out escaped, and ends nothing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    from rich.text import Text

    from napari_sam_adapter.cli.app import app
    from napari_sam_adapter.cli.console import errors, which_process

    try:
        app(args=list(arguments) if arguments is not None else None)
    except (SamAdapterError, PermissionError) as error:
        title, said = Text(f"Error{which_process()}:", "bold red"), str(error)
        if isinstance(error, PermissionError):
            said = f"{error.filename} may not be read or written ({error.strerror})."
        errors.print(title, " ".join(said.split()), soft_wrap=True)
        sys.exit(2)
