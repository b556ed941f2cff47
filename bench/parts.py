"""Parts of the bench, each in a process of its own, and what becomes of one that fails."""

from __future__ import annotations

import importlib
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from traceback import format_exception

from bench.measuring import CannotRunError, FailedError, Row
from bench.table import PARTS, lines_of


def run_apart(part: str) -> tuple[list[Row], str]:
    """Return what `run_part` does, in a process of its own: no part finds memory of another."""
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            return apart.submit(run_part, part).result()
    except BrokenProcessPool:
        rows = [one.row(None, "not measured: its process ended") for one in lines_of(part)]
        return rows, f"The part {part} failed: its process ended, perhaps for lack of memory."


def run_part(part: str) -> tuple[list[Row], str]:
    """Return the rows of a part, and a sentence if it failed.

    Lines that were not measured have the value None and say why.
    """
    rows: list[Row] = []
    failure = why = ""
    try:
        # One after the other, so that those measured before a failure are kept.
        for row in importlib.import_module(PARTS[part]).rows():
            rows.append(row)
    except ModuleNotFoundError as error:
        why = f"not measured: there is no module {error.name}"
    except CannotRunError as error:
        why = f"not measured: {error}"
    except Exception as error:  # noqa: BLE001 - the other parts are to be measured all the same
        # What nobody foresaw says what kind of error it is, and where.
        said = error if isinstance(error, FailedError) else "".join(format_exception(error))
        why = f"not measured: {(str(error) or type(error).__name__).splitlines()[0]}"
        failure = f"The part {part} failed: {said}"
    known = {row.name for row in rows}
    rows += [one.row(None, why) for one in lines_of(part) if one.name not in known]
    return rows, failure
