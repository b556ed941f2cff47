"""Measure what the choice of the next slice is worth: ours against random and even spacing.

    python docs/measure_next_slice.py DATA OUT [--settings hippocampus] [--seeds 0,1,2,3,4]

An annotator who is always right starts with two slices and the base model, then corrects two more a
round. Every version is trained by `run_job` and continues from the one in use, as in the dock, on
all slices corrected so far; where it is held back (`promotion`), the one before stays in use.
Each finished round is one line in OUT; what is there is not run again. DATA is laid out as
docs/results.md says.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure_next_slice_data import SETTINGS, Setting, Stack

from napari_sam_adapter.confidence import confidence
from napari_sam_adapter.metrics import mean_class_dice
from napari_sam_adapter.next_slice import next_slice
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.sam.predict import predict_masks
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob, run_job
from napari_sam_adapter.versions.promotion import verdict_of
from napari_sam_adapter.volumes.slice_source import SliceIndex

N_FIRST = N_PER_ROUND = 2
N_ROUNDS = 5
Line = dict[str, Any]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    known = ", ".join(SETTINGS)
    parser.add_argument("--settings", default="hippocampus", help=f"Of {known}.")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--strategies", default="ours,random,even")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for seed in map(int, given.seeds.split(",")):
        for name in given.settings.split(","):
            run(SETTINGS[name], seed, given.strategies.split(","), given.data, given.out)


def run(setting: Setting, seed: int, strategies: Sequence[str], data: Path, out: Path) -> None:
    """Run all rounds of a seed; the first one is the same for all strategies."""
    known = {(line["strategy"], line["round"]): line for line in lines(out, setting.name, seed)}
    stack, test = setting.load(data, seed)
    rng = np.random.default_rng([seed, 1])
    first = [stack.indices[i] for i in rng.choice(len(stack.indices), N_FIRST, replace=False)]
    while not any(stack.labels[index].any() for index in first):  # it must see what an object is
        first = [stack.indices[i] for i in rng.choice(len(stack.indices), N_FIRST, replace=False)]
    for strategy in strategies:
        before: Line | None = None
        for number in range(N_ROUNDS + 1):
            key = ("first" if number == 0 else strategy, number)
            if key not in known:
                picked = first if before is None else pick(strategy, stack, before, seed)
                line = one_round(setting, seed, key, (stack, test), before, picked, out)
                write(out, line)
                known[key] = line
                if number > 1:
                    adapter_path(out, before).unlink()
            before = known[key]
        adapter_path(out, before).unlink(missing_ok=True)  # that of the first round is kept


def pick(strategy: str, stack: Stack, before: Line, seed: int) -> list[SliceIndex]:
    """Choose the slices of the next round, one after the other."""
    taught = [tuple(index) for index in before["taught"]]
    rng = np.random.default_rng([seed, 2, before["round"]])
    signal = unsure(strategy, stack, before)
    picked: list[SliceIndex] = []
    for _ in range(N_PER_ROUND):
        left = [index for index in stack.indices if index not in [*taught, *picked]]
        if strategy == "random":
            picked.append(left[rng.integers(len(left))])
            continue
        width = {"width": float(strategy.split(":")[2])} if ":" in strategy else {}
        found = next_slice(signal, [*taught, *picked], **width)
        assert found is not None
        picked.append(found.index)
    return picked


def unsure(strategy: str, stack: Stack, before: Line) -> dict[SliceIndex, float | None]:
    """Return the uncertainty of all slices, by the signal that a strategy of tuning names."""
    if strategy == "even":
        return dict.fromkeys(stack.indices)
    signal = strategy.split(":")[1] if ":" in strategy else "confidence"
    values = np.array(before[signal])
    values = 1.0 - values if signal == "confidence" else values / max(values.max(), 1e-9)
    return dict(zip(stack.indices, values.tolist(), strict=True))


def one_round(
    setting: Setting,
    seed: int,
    key: tuple[str, int],
    stacks: tuple[Stack, Stack],
    before: Line | None,
    picked: Sequence[SliceIndex],
    out: Path,
) -> Line:
    """Correct the picked slices, train the next version, and see what it makes of every slice."""
    stack, test = stacks
    taught = [*(tuple(index) for index in (before or {"taught": []})["taught"]), *picked]
    line: Line = {
        "setting": setting.name,
        "seed": seed,
        "strategy": key[0],
        "round": key[1],
        "picked": picked,
        "taught": taught,
        "indices": stack.indices,
    }
    target = adapter_path(out, line)
    target.parent.mkdir(exist_ok=True)
    job = TrainingJob(
        samples=[stack.sample(index) for index in taught],
        out=target,
        config=TrainingConfig(
            gear=setting.gear,
            max_seconds=math.inf,
            max_steps=setting.first_steps if before is None else setting.steps,
            seed=seed,
            augmentation=setting.augmentation,
        ),
        base="lite_medsam",
        init=None if before is None else adapter_path(out, before),
        input_size=setting.input_size if before is None else None,
        class_names=setting.class_names,
        device="cpu",
    )
    *_, saved = run_job(job)
    assert isinstance(saved, AdapterSaved)
    verdict = verdict_of(saved.card.training)
    held_out = set(saved.card.training["held_out"])
    line |= {
        "promoted": verdict.promoted,
        "forgotten": verdict.has_forgotten,
        "held_out": [index for index in taught if stack.sample(index).digest in held_out],
    }
    line["test_of_new"] = predict(target, test)["dice"]
    if before is not None and not verdict.promoted:
        shutil.copy(adapter_path(out, before), target)
    line["reason"] = verdict.reason
    line |= predict(target, stack)
    line["test"] = predict(target, test)["dice"]
    return line


def predict(adapter: Path, stack: Stack) -> dict[str, list[float]]:
    """Return Dice and what the prediction says of itself, for all slices of a stack."""
    model, card = load_adapter(adapter)
    views = model.spec.views_for(card)
    columns: dict[str, list[float]] = {name: [] for name in ("dice", "confidence", "wrong", "area")}
    for index in stack.indices:
        found = predict_masks(model, stack.images[index], views=views)
        truth = stack.labels[index]
        highest = found.probabilities().max(axis=0)
        sure = confidence(card, found.expected_dice, views)
        assert sure is not None
        columns["dice"].append(mean_class_dice(found.labels, truth, model.settings.n_classes))
        columns["confidence"].append(sure)
        columns["wrong"].append(float(np.minimum(highest, 1 - highest).mean()))
        columns["area"].append(float((found.labels != 0).mean()))
    return {name: [round(value, 5) for value in column] for name, column in columns.items()}


def adapter_path(out: Path, line: Line) -> Path:
    """Return where a round's adapter lies until the next one is trained."""
    name = "-".join(str(line[part]) for part in ("setting", "seed", "strategy", "round"))
    return out / "adapters" / f"{name.replace(':', '_')}.safetensors"


def write(out: Path, line: Line) -> None:
    """Add a finished round."""
    with (out / f"rounds-{line['setting']}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(
        f"{line['setting']} {line['seed']} {line['strategy']} {line['round']}: picked "
        f"{line['picked']}, test {np.mean(line['test']):.3f}",
        flush=True,
    )


def lines(out: Path, setting: str, seed: int | None = None) -> list[Line]:
    """Read the finished rounds."""
    path = out / f"rounds-{setting}.jsonl"
    text = path.read_text() if path.exists() else ""
    found = [json.loads(one) for one in text.splitlines()]
    return [line for line in found if seed in (None, line["seed"])]


if __name__ == "__main__":
    main()
