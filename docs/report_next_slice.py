"""Print the tables of docs/results.md on the choice of the next slice, and draw the plot.

    python docs/report_next_slice.py OUT docs/pictures/next-slice.png

OUT is what docs/measure_next_slice.py wrote. Only seeds that all strategies have finished count.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from measure_next_slice import N_FIRST, N_PER_ROUND, N_ROUNDS, Line, lines
from measure_next_slice_data import SETTINGS

STRATEGIES = {"ours": "#0072b2", "random": "#999999", "even": "#d55e00"}
Runs = dict[tuple[int, str], list[Line]]
Measure = Callable[[Line], float]


def main() -> None:
    """Print and draw what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    found = {name: finished(given.out, name) for name in SETTINGS}
    found = {name: runs for name, runs in found.items() if runs}
    figure, axes = plt.subplots(
        len(found), len(MEASURES), figsize=(4.2 * len(MEASURES), 3.2 * len(found)), squeeze=False
    )
    for row, (name, runs) in zip(axes, found.items(), strict=True):
        for axis, (title, measure) in zip(row, MEASURES.items(), strict=True):
            table(f"{name}, {title}", runs, measure)
            draw(axis, f"{name}, {title}", runs, measure)
        forgetting(name, runs)
        held_back(name, runs)
    axes[0, 0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(given.picture, dpi=110)


def finished(out: Path, setting: str) -> Runs:
    """Return the rounds of each seed and strategy, the common first one included."""
    known = {(one["seed"], one["strategy"], one["round"]): one for one in lines(out, setting)}
    runs: Runs = {}
    for seed in sorted({key[0] for key in known}):
        keys = {
            s: [(seed, "first", 0), *((seed, s, r) for r in range(1, N_ROUNDS + 1))]
            for s in STRATEGIES
        }
        if all(key in known for wanted in keys.values() for key in wanted):
            runs |= {(seed, s): [known[key] for key in wanted] for s, wanted in keys.items()}
    return runs


def is_taught(line: Line, taught: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """Return which slices of the stack are corrected."""
    wanted = {tuple(index) for index in (line["taught"] if taught is None else taught)}
    return np.array([tuple(index) in wanted for index in line["indices"]])


def not_corrected(line: Line) -> float:
    """Return the mean Dice of the slices not corrected yet."""
    return float(np.array(line["dice"])[~is_taught(line)].mean())


def whole_stack(line: Line) -> float:
    """Return the mean Dice of what the person has: corrected slices are right."""
    return float(np.where(is_taught(line), 1.0, line["dice"]).mean())


def test_set(line: Line) -> float:
    """Return the mean Dice of the slices that are never corrected."""
    return float(np.mean(line["test"]))


MEASURES: dict[str, Measure] = {
    "slices not corrected yet": not_corrected,
    "whole stack, corrected slices right": whole_stack,
    "test slices": test_set,
}


def values(runs: Runs, strategy: str, measure: Measure) -> np.ndarray:
    """Return a measure as (seeds, rounds)."""
    chosen = [rounds for (_, name), rounds in runs.items() if name == strategy]
    return np.array([[measure(line) for line in rounds] for rounds in chosen])


def table(title: str, runs: Runs, measure: Measure) -> None:
    """Print means over seeds by number of corrected slices, and ours against the others."""
    counts = [N_FIRST + N_PER_ROUND * number for number in range(N_ROUNDS + 1)]
    print(f"\n| {title} | {' | '.join(map(str, counts))} | mean of rounds 1 to {N_ROUNDS} |")
    print("|---" * (len(counts) + 2) + "|")
    mean = {}
    for strategy in STRATEGIES:
        found = values(runs, strategy, measure)
        mean[strategy] = found[:, 1:].mean(axis=1)
        cells = " | ".join(f"{value:.3f}" for value in found.mean(axis=0))
        print(f"| {strategy} | {cells} | {mean[strategy].mean():.3f} |")
    for other in ("random", "even"):
        by = mean["ours"] - mean[other]
        print(f"\nours - {other}: {by.mean():+.3f}; by seed {', '.join(f'{d:+.3f}' for d in by)}")


def draw(axis: plt.Axes, title: str, runs: Runs, measure: Measure) -> None:
    """Plot means over seeds, and each seed faintly."""
    counts = [N_FIRST + N_PER_ROUND * number for number in range(N_ROUNDS + 1)]
    for strategy, colour in STRATEGIES.items():
        found = values(runs, strategy, measure)
        axis.plot(counts, found.T, color=colour, alpha=0.2, linewidth=0.8)
        axis.plot(counts, found.mean(axis=0), color=colour, marker="o", label=strategy)
    axis.set(title=title, xlabel="corrected slices", ylabel="mean Dice")


def forgetting(name: str, runs: Runs) -> None:
    """Print how a round changes the mean Dice on slices corrected earlier: all, and those replayed.

    Held-out slices are not trained on, so they are not replayed.
    """
    for kind in ("corrected earlier", "and learned from"):
        changes = {}
        for (seed, strategy), rounds in runs.items():
            for before, line in pairwise(rounds):
                left_out = line["held_out"] if kind == "and learned from" else []
                earlier = [index for index in before["taught"] if index not in left_out]
                chosen = is_taught(line, earlier)
                change = np.array(line["dice"])[chosen] - np.array(before["dice"])[chosen]
                changes[f"{strategy}, seed {seed}, round {line['round']}"] = float(change.mean())
        found = np.array(list(changes.values()))
        print(f"\n{name}, slices {kind}: {len(found)} rounds, mean change {found.mean():+.3f},")
        print(f"lowered by more than 0.01 in {int((found < -0.01).sum())} rounds. The lowest:")
        for key, value in sorted(changes.items(), key=lambda one: one[1])[:5]:
            print(f"{value:+.3f} ({key})")


def held_back(name: str, runs: Runs) -> None:
    """Print how the test slices judge the versions that were held back, and the others."""
    kinds: dict[str, list[float]] = {"promoted": [], "held back": [], "held back, forgotten": []}
    for rounds in runs.values():
        for before, line in pairwise(rounds):
            kind = "promoted" if line["promoted"] else "held back"
            kind += ", forgotten" if line["forgotten"] else ""
            kinds[kind].append(float(np.mean(line["test_of_new"])) - test_set(before))
    for kind, changes in kinds.items():
        better = sum(change > 0 for change in changes)
        print(
            f"\n{name}, {kind}: {len(changes)} versions, {better} of them better on the test set,"
        )
        print(f"mean change {np.mean(changes or [np.nan]):+.3f}")


if __name__ == "__main__":
    main()
