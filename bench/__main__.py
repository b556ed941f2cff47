"""``python -m bench``, or ``make bench``: measure, print the table, and write it as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.machine import fix_precision, fix_threads, header, load
from bench.measuring import Row, say
from bench.parts import run_apart
from bench.table import PARTS, in_order


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts that are asked for; return 1 if one of them failed."""
    given = _parser().parse_args(arguments)
    fix_threads(given.threads)
    for entry in header(given.threads, fix_precision()):
        say(entry)
    say(f"load average before: {load()}")
    rows, failures = measure(given.rows, given.out)
    say(f"load average after: {load()}\n")
    for entry in table(rows):
        say(entry)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def measure(parts: Sequence[str], out: Path | None = None) -> tuple[list[Row], list[str]]:
    """Run parts one after the other.

    Parameters
    ----------
    parts : sequence of str
        Keys of `PARTS`.
    out : Path, optional
        Written after each part, so that a long run leaves what it has.

    Returns
    -------
    rows : list of Row
        In the order of the table.
    failures : list of str
        A sentence for each part that failed.
    """
    rows: list[Row] = []
    failures = []
    for part in parts:
        start = time.monotonic()
        say(f"\n== {part} ==")
        found, failure = run_apart(part)
        rows = in_order(rows + found)
        if failure:
            failures.append(failure)
            say(failure)
        say(f"{part} took {time.monotonic() - start:.0f} s")
        if out is not None:
            out.write_text(json.dumps([row.described() for row in rows], indent=2) + "\n")
    return rows, failures


def table(rows: Sequence[Row]) -> list[str]:
    """Return the table in Markdown."""
    found = ["| what | value | pass | goal | ok | |", "|---|---|---|---|---|---|"]
    words = {True: "yes", False: "no", None: "-"}
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.3g}"
        sign = "<=" if row.smaller else ">="
        found.append(
            f"| {row.name} | {value} | {sign} {row.pass_:g} | {sign} {row.goal:g} | "
            f"{words[row.ok]} | {row.note} |"
        )
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=_parts, default=list(PARTS), metavar="PART,PART")
    parser.add_argument("--out", type=Path, help="Write the rows here as JSON.")
    parser.add_argument("--threads", type=int, default=1, help="In each process that computes.")
    return parser


def _parts(text: str) -> list[str]:
    asked = text.split(",")
    unknown = sorted(set(asked) - set(PARTS))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no part {', '.join(unknown)}; expected some of {', '.join(PARTS)}"
        )
    return [part for part in PARTS if part in asked]


if __name__ == "__main__":
    sys.exit(main())
