"""Threads of our own, to run compiled code that holds no lock.

Work is cut into pieces by its size alone and their results are combined in order, so the bits do
not depend on the number of threads. One pool lives as long as its process, and holds as many
threads as were ever busy at once; a forked child, which inherits the pool's object but none of its
threads, makes a new one.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from operator import length_hint
from threading import Event, Lock
from typing import TypeVar

__all__ = ["is_worth_threads", "rows_per_call", "run_all", "run_slabs", "run_team"]

_FLOPS_PER_CALL = 1e9
_FLOPS_WORTH_A_THREAD = 1e6  # some 50 microseconds
_MAX_THREADS = 4096

T = TypeVar("T")

_pools: dict[int, ThreadPoolExecutor] = {}


def rows_per_call(flops_per_row: float, block: int = 1) -> int:
    """How many rows a compiled call may visit: some hundredths of a second, in whole blocks.

    Then Python looks for Ctrl-C.
    """
    return block * math.ceil(_FLOPS_PER_CALL / flops_per_row / block)


def is_worth_threads(n_rows: int, flops_per_row: float) -> bool:
    """Whether rows take longer than to hand some of them to another thread."""
    return n_rows * flops_per_row > _FLOPS_WORTH_A_THREAD


def run_all(
    task: Callable[[T], Iterator[None]],
    pieces: Iterable[T],
    n_threads: int,
    stop: Event | None = None,
) -> None:
    """Run a task on every piece, in threads, and return when all have ended.

    Parameters
    ----------
    task : generator function
        Called with one piece and run to its end; where it yields it may be stopped, which
        happens after Ctrl-C or when another piece has raised. What it raises is raised here.
    pieces : iterable
        The pieces, each drawn when a thread is free for it.
    n_threads : int
        How many threads at most, the calling one among them.
    stop : Event, default=None
        Set after Ctrl-C, before it waits for what is running, so that tasks may look at it; set by
        a task, it ends the others.
    """
    n_threads = min(n_threads, length_hint(pieces, _MAX_THREADS), _MAX_THREADS)
    if n_threads <= 1 and stop is None:  # nobody to stop: small sums would wait for locks
        for piece in pieces:
            for _ in task(piece):
                pass
        return
    stop = Event() if stop is None else stop
    waiting, drawing = enumerate(pieces), Lock()
    errors: list[tuple[bool, int, BaseException]] = []  # Ctrl-C first, then the first piece's

    def work() -> None:
        number = -1
        try:
            while not (stop.is_set() or errors):
                with drawing:
                    number, piece = next(waiting, (-1, None))
                if number < 0:
                    return
                for _ in task(piece):  # type: ignore[arg-type]
                    if stop.is_set() or errors:
                        return
        except BaseException as error:
            if not isinstance(error, Exception):
                stop.set()
            errors.append((isinstance(error, Exception), number, error))

    others: list[Future] = []
    try:
        for _ in range(n_threads - 1):
            others.append(_pool().submit(work))
        work()
    except BaseException:  # between two of them
        stop.set()
        raise
    finally:
        # No thread may still write into arrays that the caller goes on using.
        if others:
            _await(others, stop)
    if errors:
        raise min(errors, key=lambda each: each[:2])[-1]


def run_slabs(
    task: Callable[[list[slice]], Iterator[None]],
    n_rows: int,
    flops_per_row: float,
    n_threads: int,
) -> None:
    """Run a task on slabs of rows, one for each thread, where every row is on its own.

    Parameters
    ----------
    task : generator function
        Called with the slices of rows of one slab, each for one compiled call, after which it
        yields.
    n_rows : int
        How many rows there are.
    flops_per_row : float
        Floating-point operations that a row takes.
    n_threads : int
        How many threads, the calling one among them.
    """
    per_call, per_slab = rows_per_call(flops_per_row), math.ceil(n_rows / n_threads)
    if n_rows <= per_call and n_threads == 1:  # a small table, of which Python is to take no more
        for _ in task([slice(0, n_rows)]):
            pass
        return

    def run_slab(begin: int) -> Iterator[None]:
        end = min(begin + per_slab, n_rows)
        return task([slice(i, min(i + per_call, end)) for i in range(begin, end, per_call)])

    run_all(run_slab, range(0, n_rows, per_slab), n_threads)


def run_team(
    lead: Callable[[], T],
    assist: Callable[[int], object],
    n_helpers: int,
    dismiss: Callable[[], None],
) -> T:
    """Run a leader in this thread and helpers beside it, and return when all have ended.

    The leader must get on without any of them: a helper may come late or never.

    Parameters
    ----------
    lead : callable
        The leader; what it returns is returned.
    assist : callable
        Called with each helper's number: 1, 2, ...
    n_helpers : int
        How many helpers.
    dismiss : callable
        Makes helpers return soon, and those return at once that start later; called in any case.
    """
    helpers: list[Future] = []
    is_over = Event()  # for what waits in the pool though its submission has failed

    def assist_in_time(number: int) -> None:
        if not is_over.is_set():
            assist(number)

    try:
        for i in range(1, n_helpers + 1):
            helpers.append(_pool().submit(assist_in_time, i))
        result = lead()
    finally:
        is_over.set()
        dismiss()
        _await(helpers, Event())
    for helper in helpers:
        if not helper.cancelled():
            helper.result()  # raises what it has raised
    return result


def _await(others: list[Future], stop: Event) -> None:
    for other in others:
        other.cancel()
    try:
        wait(others)
    except KeyboardInterrupt:
        stop.set()
        wait(others)
        raise


def _pool() -> ThreadPoolExecutor:
    """Give the process's pool; it makes a thread where none is idle."""
    process = os.getpid()
    if process not in _pools:
        _pools[process] = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="fastbp")
    return _pools[process]
