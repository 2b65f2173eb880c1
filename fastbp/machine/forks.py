"""What a fork has to wait for.

A forked child has one thread, but all locks as they were: one that another thread held is never
given back there. So a fork waits while another thread imports the kernels or compiles one.
"""

import logging  # noqa: F401 - see below
import os
from threading import RLock
from typing import Protocol

__all__ = ["LOADING", "wait_for"]


class _Lock(Protocol):
    def acquire(self) -> object: ...
    def release(self) -> object: ...


#: Held while kernels are imported, or made ready for an estimator.
LOADING = RLock()
_locks: list[_Lock] = [LOADING]


def wait_for(lock: _Lock) -> None:
    """Let forks wait for a lock; one that a thread takes while it holds another comes later."""
    _locks.append(lock)


def _acquire() -> None:
    for lock in _locks:
        lock.acquire()


def _release() -> None:
    for lock in reversed(_locks):
        lock.release()


# What was registered last is acquired first. numba logs while it compiles, so a fork may take the
# lock of `logging`, which is imported above and registers its own, only after the compiler's.
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_release)
