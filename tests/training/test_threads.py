"""A training step takes as many threads as other programs leave cores, where time ends the run."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from napari_sam_adapter.training import loop, threads
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.loop import train_adapter
from napari_sam_adapter.training.threads import CpuTimes, FreeThreads, free_cores


class Machine:
    """Four cores that this process may use, of which other programs take so many."""

    def __init__(self) -> None:
        self.others = 0.0
        self.time = CpuTimes(4, busy=100.0, own=5.0, wall=1000.0)

    def goes_on(self, seconds: float, own: float = 0.0) -> None:
        busy = self.time.busy + (self.others + own) * seconds
        self.time = CpuTimes(4, busy, self.time.own + own * seconds, self.time.wall + seconds)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(threads.CpuTimes, "now", lambda: machine.time)
    monkeypatch.setattr(threads.time, "monotonic", lambda: machine.time.wall)
    return machine


@contextmanager
def given(n_threads: int) -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


@pytest.fixture
def four_threads() -> Iterator[None]:
    with given(4):
        yield


@pytest.fixture
def crowded(machine: Machine, four_threads: None) -> FreeThreads:
    """The threads of a run beside programs that keep three cores busy."""
    free = FreeThreads()
    machine.others = 3.0
    machine.goes_on(2.0)
    return free


def within(free: FreeThreads) -> int:
    with free.used():
        return torch.get_num_threads()


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("others", "expected"), [(0.0, 4), (0.4, 4), (1.0, 3), (2.9, 1), (4.0, 1), (9.0, 1)]
)
def test_each_core_that_others_keep_busy_costs_a_thread_but_the_last(machine, others, expected):
    free = FreeThreads()
    machine.others = others
    machine.goes_on(1.5)
    assert within(free) == expected
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_what_this_process_computes_itself_leaves_it_its_threads(machine):
    free = FreeThreads()
    machine.goes_on(1.5, own=3.9)
    assert within(free) == 4


def test_the_threads_come_back_when_the_others_are_done(machine, crowded):
    assert within(crowded) == 1
    machine.others = 0.0
    machine.goes_on(0.5, own=1.0)
    assert within(crowded) == 1, "half a second is too short to tell"
    machine.goes_on(2.0, own=1.0)
    assert within(crowded) == 4


def test_the_threads_come_back_after_a_step_that_failed(crowded):
    with pytest.raises(RuntimeError, match="broken"), crowded.used():
        raise RuntimeError("broken")
    assert torch.get_num_threads() == 4


def test_a_process_that_was_given_one_thread_keeps_to_it(machine):
    with given(1):
        free = FreeThreads()
        machine.goes_on(2.0)
        assert torch.get_num_threads() == within(free) == 1


def test_the_real_machine_tells_its_times():
    before = CpuTimes.now()
    sum(range(3_000_000))
    after = CpuTimes.now()
    assert after.own > before.own
    assert after.busy >= before.busy
    assert after.n_cores > 0
    assert free_cores(before, after) <= after.n_cores


@pytest.mark.parametrize(("limit", "adapts"), [({}, True), ({"max_steps": 2}, False)])
def test_only_runs_that_end_by_time_look_at_the_machine(
    small_sam, samples, monkeypatch, limit, adapts
):
    asked = []
    monkeypatch.setattr(loop, "FreeThreads", lambda: asked.append(1) or FreeThreads())
    config = TrainingConfig(gear="quick", max_seconds=0.2, **limit)
    list(train_adapter(small_sam, samples[:2], config))
    assert bool(asked) == adapts
