"""Items that are made in a thread, a few ahead of whoever takes them."""

import threading
import time

import pytest

from napari_sam_adapter.ahead import ahead


def numbers(n, made):
    def make(should_stop):
        for number in range(n):
            made.append(number)
            yield number

    return make


def settled(made, expected):
    """Wait until as many items were made as are expected; return how many when no more are."""
    n, end = -1, time.monotonic() + 600
    while len(made) < expected and time.monotonic() < end:
        time.sleep(0.01)
    while n != len(made):
        n = len(made)
        time.sleep(0.3)
    return n


def test_items_come_in_order_and_all():
    with ahead(numbers(50, [])) as items:
        assert list(items) == list(range(50))


def test_they_are_made_in_another_thread_and_only_when_one_is_taken():
    threads = []

    def make(should_stop):
        threads.append(threading.current_thread())
        yield 1

    with ahead(make) as items:
        assert threads == []
        assert next(items) == 1
    assert threads != [threading.current_thread()]
    assert not threads[0].is_alive()


def test_no_more_are_made_ahead_than_may_wait():
    made = []
    with ahead(numbers(50, made), depth=3) as items:
        next(items)
        assert settled(made, 1 + 3 + 1) == 1 + 3 + 1


def test_an_error_comes_after_all_items_before_it():
    def make(should_stop):
        yield 1
        raise OSError("the disk is gone")

    with ahead(make) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="the disk is gone"):
            next(items)


def test_leaving_early_ends_the_thread_and_closes_the_generator():
    closed = threading.Event()

    def make(should_stop):
        try:
            while True:
                yield 1
        finally:
            closed.set()

    before = threading.active_count()
    with ahead(make) as items:
        next(items)
    assert closed.is_set()
    assert threading.active_count() == before


def test_an_item_that_takes_long_is_told_to_stop():
    def make(should_stop):
        yield 1
        while not should_stop():
            time.sleep(0.01)

    with ahead(make) as items:
        next(items)  # and leaving does not wait for ever
