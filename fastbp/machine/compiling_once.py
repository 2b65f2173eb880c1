"""Compiling once a machine: of processes that miss the same code, one compiles, the others load it.

A hundred workers that start at once on one home would compile every kernel a hundred times. So
whoever misses code in the cache first locks a file beside the place where the code will be, and
whoever finds that file locked looks into the cache until the code is there or the file is free.

The system gives a lock back when its holder dies, so that no lock is ever stale, and a lock file
that lies about says nothing. A holder that hangs is waited for `LIMIT` seconds. Where files cannot
be locked (Windows, some network drives, a full disk) everybody compiles.

Who waits holds no lock, neither the compiler's nor another: threads compile other kernels
meanwhile, and forks go on. The file is locked only by who holds the compiler's lock, so no forked
child ever inherits one.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import local
from typing import BinaryIO, TypeVar

from fastbp.machine.compiler import COMPILING

if sys.platform != "win32":
    import fcntl

__all__ = ["load_or_compile", "missed"]

#: How many seconds another process is waited for; compiling the longest kernel takes a few.
LIMIT = 120.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25

T = TypeVar("T")


class _Missing(Exception):
    """Code is not in the cache, and whoever looked for it is not to compile it yet."""

    def __init__(self, lock_file: Path) -> None:
        super().__init__(str(lock_file))
        self.lock_file = lock_file


class _Here(local):
    """What this thread is at: whether it loads or compiles, and may compile."""

    is_at_it, may_compile = False, True


_here = _Here()


def missed(lock_file: Path) -> None:
    """Say that code is not in the cache; returns to who may compile it.

    Parameters
    ----------
    lock_file : Path
        By this file processes agree on who compiles it.
    """
    if not _here.may_compile:
        raise _Missing(lock_file)


def load_or_compile(work: Callable[[], T]) -> T:
    """Do work that loads code or else compiles it, unless another process is compiling that code.

    Parameters
    ----------
    work : callable
        It looks into the cache and calls `missed` before it compiles. It may be called several
        times, so it is to have done nothing by then.

    Returns
    -------
    result : object
        What ``work`` returns.
    """
    if _here.is_at_it:  # the outermost call waits: it holds no lock
        return work()
    _here.is_at_it = True
    try:
        return _wait_or_do(work)
    finally:
        _here.is_at_it, _here.may_compile = False, True


def _wait_or_do(work: Callable[[], T]) -> T:
    latest, pause = time.monotonic() + LIMIT, _FIRST_PAUSE
    while True:
        _here.may_compile = False
        try:
            return work()
        except _Missing as missing:
            lock_file = missing.lock_file
        with COMPILING, _locked(lock_file) as is_free:
            if is_free or time.monotonic() > latest:
                _here.may_compile = True
                return work()  # which looks again: the code may have come just before
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)


@contextmanager
def _locked(lock_file: Path) -> Iterator[bool]:
    """Lock a file until the block ends; False if another process has, True if nobody can."""
    try:
        file = open(lock_file, "ab")
    except OSError:
        yield True
        return
    with file:
        yield _lock(file)


def _lock(file: BinaryIO) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # no locks there
    return True
