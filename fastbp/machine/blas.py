"""BLAS held to one thread while a solver runs.

Its bits depend on the number of its threads, the matrices of solvers are too small to gain by them,
and where several fits run at once, each with as many threads as there are cores, they hinder each
other: two at a time were seen to take 26 times as long as with a thread each.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

import threadpoolctl
from threadpoolctl import ThreadpoolController

from fastbp.machine.forks import wait_for

__all__ = ["one_blas_thread"]

_lock = Lock()
wait_for(_lock)
_n_inside = 0
_limit: Any = None


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all libraries, which takes some milliseconds


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread inside of a block; blocks of several threads may overlap.

    The number is the process's: the first to come in sets it, the last to go out puts it back.
    """
    global _n_inside, _limit
    with _lock:
        if _n_inside == 0:
            _take_control()
            _limit = _controller().limit(limits=1, user_api="blas")
        _n_inside += 1
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if _n_inside == 0:
                _take_control()
                _limit.restore_original_limits()


def _take_control() -> None:
    """Let this thread set the number: newer versions listen to the first that did, and no other."""
    openblas: Any = getattr(threadpoolctl, "OpenBLASController", None)
    if hasattr(openblas, "clear_controlling_thread"):
        openblas.clear_controlling_thread(force=True)
