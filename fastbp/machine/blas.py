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
_before: list[int] = []


@cache
def _libraries() -> list[Any]:
    # It looks through all that is loaded, which takes some milliseconds. Its own limits would ask
    # each library for its version, too, at every fit: as long as some gradients of a small table.
    return ThreadpoolController().select(user_api="blas").lib_controllers


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread inside of a block; blocks of several threads may overlap.

    The number is the process's: the first to come in sets it, the last to go out puts it back.
    """
    global _n_inside, _before
    with _lock:
        if _n_inside == 0:
            _before = [library.num_threads for library in _libraries()]
            _set([1] * len(_before))
        _n_inside += 1
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if _n_inside == 0:
                _set(_before)


def _set(n_threads: list[int]) -> None:
    # Newer versions listen to the first thread that sets the number, and to no other.
    openblas: Any = getattr(threadpoolctl, "OpenBLASController", None)
    if hasattr(openblas, "clear_controlling_thread"):
        openblas.clear_controlling_thread(force=True)
    for library, n in zip(_libraries(), n_threads, strict=True):
        library.set_num_threads(n)
