"""What ``make bench`` prints and writes, without measuring anything."""

import json
import os
import subprocess
import sys
from functools import partial
from types import ModuleType, SimpleNamespace

import pytest
import torch

from bench import learning, measuring, steps, walk
from bench.__main__ import main, measure, table
from bench.measuring import (
    CannotRunError,
    FailedError,
    Timing,
    Variant,
    check_equal,
    interleaved,
)
from bench.parts import run_apart, run_part
from bench.table import LINES, PARTS, in_order, line, lines_of

KEYS = ["name", "value", "pass", "goal", "ok"]


@pytest.fixture
def part(monkeypatch):
    """Return a function that puts another `rows` in the place of a part's."""

    def put(name, rows):
        module = ModuleType(PARTS[name])
        module.rows = rows
        monkeypatch.setitem(sys.modules, PARTS[name], module)

    return put


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    # Another one would not see the rows of `part`.
    monkeypatch.setattr("bench.__main__.run_apart", run_part)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    # The bench fixes these for itself and its children; other tests must not see it.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("NAPARI_SAM_ADAPTER_BF16", "0")


def volume_rows():
    # In the wrong order on purpose.
    yield line("peak memory at 1,024 lazy slices against 64").row(1.0345678)
    yield line("volume throughput against a plain loop over stock, bf16").row(2.0)


def test_rows_are_written_as_json_in_the_order_of_the_table(part, tmp_path):
    part("volume", volume_rows)
    part("window", lambda: iter([one.row(0.01) for one in reversed(lines_of("window"))]))
    out = tmp_path / "rows.json"
    assert main(["--rows", "volume,window", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert [list(row) for row in rows] == [KEYS] * len(rows)
    expected = [one.name for one in LINES if one.part in ("volume", "window")]
    assert [row["name"] for row in rows] == expected
    memory = next(row for row in rows if row["name"].startswith("peak memory"))
    assert list(memory.values())[1:] == [1.0346, 1.05, 1.02, True]
    throughput = next(row for row in rows if row["name"].startswith("volume"))
    assert list(throughput.values())[1:] == [2.0, 2.5, 4.0, False]


def test_a_part_whose_variants_are_not_equal_fails_the_run_and_gets_no_figure(
    part, tmp_path, capsys
):
    def unequal():
        x = torch.ones(4)
        check_equal("ours", x + 0.1, x, 1e-5)
        yield from volume_rows()

    part("volume", unequal)
    out = tmp_path / "rows.json"
    assert main(["--rows", "volume", "--out", str(out)]) == 1
    assert "ours is off by a relative rms of 1.0e-01, above 1e-05" in capsys.readouterr().err
    assert {(row["value"], row["ok"]) for row in json.loads(out.read_text())} == {(None, None)}


def test_other_parts_are_measured_after_one_has_failed(part):
    def unequal():
        check_equal("ours", torch.zeros(1), torch.ones(1), 1e-5)
        yield

    part("window", unequal)
    part("volume", volume_rows)
    rows, failures = measure(["window", "volume"])
    assert len(failures) == 1
    assert [row.name for row in rows if row.value is not None] == [
        one.name for one in lines_of("volume")
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (subprocess.CalledProcessError(1, ["train"]), "returned non-zero exit status 1"),
        (FailedError("train failed:\nout of memory"), "out of memory"),
        (KeyError(), "KeyError"),
    ],
)
def test_whatever_goes_wrong_in_a_part_fails_it_alone_and_its_first_rows_are_kept(
    error, said, part, tmp_path, capsys
):
    def breaks():
        yield next(volume_rows())
        raise error

    part("volume", breaks)
    part("window", lambda: iter([one.row(0.01) for one in lines_of("window")]))
    out = tmp_path / "rows.json"
    assert main(["--rows", "window,volume", "--out", str(out)]) == 1
    ended = capsys.readouterr()
    assert "The part volume failed: " in ended.err
    assert said in ended.err
    values = {row["name"]: row["value"] for row in json.loads(out.read_text())}
    missing = [name for name, value in values.items() if value is None]
    assert missing == ["volume throughput against a plain loop over stock, bf16"]
    # A line of the table stays a line.
    assert sum(entry.startswith("| ") for entry in ended.out.splitlines()) == 1 + len(values)
    assert "out of memory |" not in ended.out


def test_a_version_that_cannot_be_scored_says_why(monkeypatch, tmp_path):
    (tmp_path / "kvasir_seg_352").mkdir()
    monkeypatch.setenv(walk.DATA, str(tmp_path))
    made = [{"gear": "quick", "seconds": 19.0, "file": "v1.safetensors"}]
    monkeypatch.setattr(walk, "in_fresh_process", lambda *given, **more: json.dumps(made))
    rows, failure = run_part("learning")
    assert {row.value for row in rows} == {None}
    assert failure.startswith("The part learning failed: evaluate failed (2):")
    assert "kvasir_seg_352/val/images" in "".join(failure.split())


def test_rows_of_learning_are_those_of_the_table_from_the_click(monkeypatch):
    versions = [
        walk.Version("quick", 19.0, 0.71),
        walk.Version("late", 53.0, 0.79),
        walk.Version("full", 150.0, 0.9),
    ]
    monkeypatch.setattr(learning, "versions_of_a_click", lambda minutes: iter(versions))
    rows = list(learning.rows())
    assert [(row.name, row.pass_, row.goal) for row in rows] == [
        (one.name, one.pass_, one.goal) for one in lines_of("learning")
    ]
    assert [row.value for row in rows] == [19.0, 150.0, 150.0]
    assert rows[0].note == "v1, quick, Dice 0.710"


def test_a_dice_that_no_version_reaches_is_not_measured(monkeypatch):
    versions = [walk.Version("quick", 19.0, 0.71)]
    monkeypatch.setattr(learning, "versions_of_a_click", lambda minutes: iter(versions))
    assert [row.value for row in learning.rows()] == [19.0, None, None]


def test_images_that_are_not_here_leave_learning_unmeasured_and_say_what_to_name(monkeypatch):
    monkeypatch.delenv(walk.DATA, raising=False)
    rows, failure = run_part("learning")
    assert not failure
    assert {row.value for row in rows} == {None}
    assert all(walk.DATA in row.note for row in rows)


def test_a_variant_is_prepared_and_finds_its_own_memory_before_it_is_timed(monkeypatch):
    done, clock = [], iter(range(1000))
    monkeypatch.setattr(measuring, "cpu_seconds", lambda: done.append("clock") or next(clock))
    variants = {
        name: Variant(partial(done.append, f"run {name}"), partial(done.append, f"prepare {name}"))
        for name in "ab"
    }
    took = interleaved(variants, 2)
    turn = "prepare x, run x, clock, run x, clock"
    turns = [word for name in "ab" for word in turn.replace("x", name).split(", ")]
    assert done == turns * 3
    assert set(took) == {"a", "b"}
    done.clear()
    interleaved(variants, 1, twice=False)
    assert done.count("run a") == 2


def end_at_once(part):
    os._exit(1)


def test_a_part_is_measured_in_a_process_of_its_own_which_may_end(monkeypatch):
    monkeypatch.delenv(walk.DATA, raising=False)
    rows, failure = run_apart("learning")
    assert not failure
    assert all(walk.DATA in row.note for row in rows)
    monkeypatch.setattr("bench.parts.run_part", end_at_once)
    rows, failure = run_apart("learning")
    assert "its process ended" in failure
    assert len(rows) == len(lines_of("learning"))


@pytest.mark.parametrize(("pays", "precision"), [(False, "fp32"), (True, "bf16")])
def test_all_steps_of_a_model_take_turns_in_the_precision_that_pays(pays, precision, monkeypatch):
    asked, checked = [], []

    def timed(variants, rounds):
        asked.append((list(variants), rounds))
        return {name: Timing(8.0 / 2**place, 1.0) for place, name in enumerate(variants)}

    def setting(name):
        return SimpleNamespace(
            name=name,
            model_for=lambda gear: name,
            stepper=lambda model, gear: SimpleNamespace(take=float),
            model=None,
            inputs=lambda: [None],
        )

    monkeypatch.setattr(steps, "uses_bfloat16", lambda device: pays)
    monkeypatch.setattr(steps, "lite_medsam", lambda: setting("LiteMedSAM"))
    monkeypatch.setattr(steps, "vit_b", lambda: setting("ViT-B 512 px"))
    monkeypatch.setattr(steps, "plain_step", lambda setting: None)
    monkeypatch.setattr(steps, "check_gear", lambda *given: checked.append(given[1:]))
    monkeypatch.setattr(steps, "interleaved", timed)
    monkeypatch.setattr(steps, "_refreshed", lambda *given: (0.1, precision))
    rows = in_order(list(steps.rows()))
    variants = ["plain, fp32", "full", "late", "quick"]
    assert [names for names, _ in asked] == [variants, variants]
    assert all(rounds >= 5 for _, rounds in asked)
    assert checked == [
        (gear, name, pays) for name in ("LiteMedSAM", "ViT-B 512 px") for gear in variants[1:]
    ]
    assert [(row.name, row.value) for row in rows] == list(
        zip(
            [one.name for one in lines_of("steps")],
            [2.0, 2.0, 4.0, 4.0, 8.0, 8.0, 0.1],
            strict=True,
        )
    )
    assert all(row.note.startswith(precision) for row in rows)


def test_a_part_that_cannot_run_here_says_why_and_does_not_fail(part):
    def no_display():
        raise CannotRunError("there is no display")
        yield

    part("window", no_display)
    rows, failures = measure(["window"])
    assert failures == []
    assert {(row.value, row.note) for row in rows} == {(None, "not measured: there is no display")}
    assert all("| - | not measured: there is no display |" in entry for entry in table(rows)[2:])


def test_a_result_that_is_not_a_number_is_not_equal():
    x = torch.ones(4)
    with pytest.raises(Exception, match="is off by"):
        check_equal("ours", x * float("nan"), x, 1e-5)


def test_less_is_better_only_where_the_line_says_so():
    speed, memory = (line(name) for name in (LINES[0].name, LINES[4].name))
    assert (speed.row(1.6).ok, speed.row(1.5).ok) == (True, False)
    assert (memory.row(0.20).ok, memory.row(0.21).ok) == (True, False)


def test_rows_the_table_does_not_know_come_last():
    unknown = LINES[0].row(1.0)
    unknown = type(unknown)("something else", 1.0, 1.0, 1.0)
    rows = in_order([unknown, LINES[-1].row(0.1), LINES[0].row(2.0)])
    assert [row.name for row in rows] == [LINES[0].name, LINES[-1].name, "something else"]


def test_an_unknown_part_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["--rows", "encoders"])
    assert "there is no part encoders; expected some of encoder, steps" in capsys.readouterr().err


def test_growth_over_slices_tells_time_per_slice_and_memory(monkeypatch, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    from bench import growth

    counts = []

    def predicted(*asked):
        counts.extend(asked)
        return [{"slices": n, "mib": 900.0 + n / 64, "cpu_s": 3.0 + n / 4} for n in asked]

    monkeypatch.setattr(growth, "predicted", predicted)
    curves = growth.by_slices()
    assert counts == [16, 64, 256, 1024]
    for curve in curves:
        growth.tell(curve)
    said = capsys.readouterr().out
    assert "| predict | 438 ms a slice | 297 ms a slice | 262 ms a slice | 253 ms a slice |" in said
    assert "| predict | 900 MiB | 901 MiB | 904 MiB | 916 MiB |" in said
    growth.draw(curves, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size
