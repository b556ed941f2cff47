"""A walk through the gears ends about when its minutes are over, counted from the click."""

import pytest

from napari_sam_adapter.training.gear_clock import MARGIN_S, GearClock

QUICK, LATE, FULL = 15.0, 25.0, 80.0


class Walk:
    """Three gears in two minutes; each takes some seconds beside its training."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.clock = GearClock([QUICK, LATE, FULL], now=lambda: self.time)

    def up_to_full(self, around: float) -> float:
        self.time += QUICK + around
        late = self.clock.next_gear()
        self.time += late + around
        return self.clock.next_gear()


@pytest.mark.parametrize("around", [0.0, 5.0, 12.0])
def test_the_last_gear_makes_up_for_what_all_three_take_besides_and_a_little_more(around):
    walk = Walk()
    full = walk.up_to_full(around)
    assert walk.time + full + around == pytest.approx(1000.0 + 120.0 - MARGIN_S)


def test_the_gears_before_have_all_their_time():
    walk = Walk()
    walk.time += QUICK + 50.0
    assert walk.clock.next_gear() == LATE


def test_the_last_gear_keeps_half_of_its_time_on_a_slow_machine():
    assert Walk().up_to_full(around=200.0) == FULL / 2


def test_runs_that_ended_early_do_not_make_the_last_gear_longer():
    walk = Walk()
    walk.time += 1.0
    walk.clock.next_gear()
    walk.time += 1.0
    assert walk.clock.next_gear() == FULL
