"""Numbers that threads share: no addition is lost, and what was written before is seen."""

import threading
import time

import numpy as np
import pytest

from fastbp.machine.atomics import atomic_add, atomic_load, atomic_replace, atomic_store, pause
from fastbp.machine.waiting import clock_and_yield, nanoseconds, yield_core
from helpers.guards import NEEDS_A_COMPILER, compiled


def _in_threads(n, run):
    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@compiled
def _count(numbers, by_replacing, n):
    for _ in range(n):
        if by_replacing == 0:
            atomic_add(numbers, 1, 1)
        else:
            old = atomic_load(numbers, 1)
            while not atomic_replace(numbers, 1, old, old + 1):
                pause()
                old = atomic_load(numbers, 1)
    return 0


@pytest.mark.parametrize("by_replacing", [0, 1])
def test_no_addition_is_lost(by_replacing):
    numbers = np.array([7, 0, 7])
    _count(numbers, by_replacing, 1)
    _in_threads(3, lambda _: _count(numbers, by_replacing, 20_000))
    assert numbers.tolist() == [7, 60_001, 7]


@compiled
def _hand_over(turn, box, member, n, leave):
    wrong = 0
    for i in range(n):
        while atomic_load(turn, 0) % 2 != member:
            yield_core(leave)
        if member == 0:
            for k in range(box.size):
                box[k] = i
        else:
            for k in range(box.size):
                wrong += box[k] != i
        atomic_store(turn, 0, atomic_load(turn, 0) + 1)
    return wrong


def test_what_was_written_before_a_store_is_seen_after_the_load():
    turn, box = np.zeros(1, np.int64), np.zeros(16, np.int64)
    _, leave = clock_and_yield() or pytest.skip("no sched_yield")
    _hand_over(turn, box, 0, 0, leave)
    wrong = [None, None]

    def run(member):
        wrong[member] = _hand_over(turn, box, member, 500, leave)

    _in_threads(2, run)
    assert wrong == [0, 0]


@compiled
def _try(numbers):
    return (
        atomic_add(numbers, 0, 2),
        atomic_replace(numbers, 0, 3, 9),
        atomic_replace(numbers, 0, 4, 8),
    )


def test_what_they_return():
    numbers = np.array([1])
    assert _try(numbers) == (1, True, False)
    assert numbers[0] == 9


@NEEDS_A_COMPILER
def test_the_clock_is_pythons():
    clock, leave = clock_and_yield() or pytest.skip("no clock_gettime")

    @compiled
    def read(clock, leave):
        yield_core(leave)
        return nanoseconds(clock)

    before = time.monotonic_ns()
    between = read(clock, leave)
    assert before < between < time.monotonic_ns()
