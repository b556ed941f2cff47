"""What ``make bench`` prints and writes, without measuring anything."""

import json
import sys
from types import ModuleType

import pytest
import torch

from bench.__main__ import main, measure, table
from bench.measuring import CannotRunError, check_equal
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
