"""Threads of our own, to run compiled code that holds no lock.

Work is cut into pieces by its size alone and their results are combined in order, so the bits do
not depend on the number of threads. A pool lives as long as its process; a forked child, which
inherits the pool's object but none of its threads, makes a new one.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

__all__ = ["rows_per_call", "run_all"]

_FLOPS_PER_CALL = 1e9

T = TypeVar("T")

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def rows_per_call(flops_per_row: float, block: int = 1) -> int:
    """How many rows a compiled call may visit: some hundredths of a second, in whole blocks.

    Then Python looks for Ctrl-C.
    """
    return block * math.ceil(_FLOPS_PER_CALL / flops_per_row / block)


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
        The pieces.
    n_threads : int
        How many threads; 1 runs everything in the calling thread.
    stop : Event, default=None
        Set after Ctrl-C, before it waits for what is running, so that tasks may look at it; set by
        a task, it ends the others.
    """
    stop = Event() if stop is None else stop

    def run(piece: T) -> None:
        if not stop.is_set():
            for _ in task(piece):
                if stop.is_set():
                    return

    if n_threads == 1:
        for piece in pieces:
            run(piece)
        return
    futures = [_pool(n_threads).submit(run, piece) for piece in pieces]
    try:
        for future in futures:
            future.result()
    except BaseException:
        stop.set()
        raise
    finally:
        # No thread may still write into arrays that the caller goes on using.
        for future in futures:
            future.cancel()
        wait(futures)


def _pool(n_threads: int) -> ThreadPoolExecutor:
    key = (os.getpid(), n_threads)
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(n_threads, thread_name_prefix="fastbp")
    return _pools[key]
