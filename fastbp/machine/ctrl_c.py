"""Ctrl-C that arrives where no exception leads out."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any

__all__ = ["raising_what_callbacks_swallow"]


@contextmanager
def raising_what_callbacks_swallow() -> Iterator[None]:
    """Raise Ctrl-C at the end of a block if a callback or a ``__del__`` has swallowed it.

    Python looks for Ctrl-C when it runs its own code next. While LLVM works for seconds, that is a
    function that LLVM calls back; while Dask does, at times the ``__del__`` of a future. Out of
    these no exception leads: Python reports and drops it.
    """
    swallowed, before = [], sys.unraisablehook

    def keep(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, Exception):
            before(unraisable)
        else:
            swallowed.append(unraisable.exc_value or unraisable.exc_type())

    if current_thread() is not main_thread():  # no signal arrives elsewhere
        yield
        return
    sys.unraisablehook = keep
    try:
        yield
    finally:
        sys.unraisablehook = before
    if swallowed:
        raise swallowed[0]
