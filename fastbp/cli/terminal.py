"""What a person at a terminal sees while work goes on; a pipe gets none of it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress", "timed"]

_SECONDS_BETWEEN_LINES = 0.1


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], object]]:
    """Show a progress line on stderr while a block runs, if stderr is a terminal.

    Parameters
    ----------
    label : str
        What is going on.
    total : int
        How many steps there are at most.

    Yields
    ------
    advance : callable
        To be called with the number of steps just done.
    """
    if not sys.stderr.isatty():
        yield lambda steps: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        line = _Line(label, total)
        try:
            yield line.advance
        finally:
            line.erase()
    else:
        with tqdm(total=total, desc=label, leave=False) as bar:
            yield bar.update


@contextmanager
def timed(label: str) -> Iterator[None]:
    """Print a label before a block runs, and how many seconds it took after."""
    print(label, end=" ", flush=True)
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:6.2f} s", flush=True)


class _Line:
    """A percentage, rewritten in place."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done = label, max(total, 1), 0
        self.shown_at = -_SECONDS_BETWEEN_LINES

    def advance(self, steps: int) -> None:
        self.done += steps
        now = time.monotonic()
        if now - self.shown_at >= _SECONDS_BETWEEN_LINES:
            self.shown_at = now
            print(f"\r{self.label}: {self.done / self.total:4.0%}", end="", file=sys.stderr)
            sys.stderr.flush()

    def erase(self) -> None:
        print("\r" + " " * (len(self.label) + 6) + "\r", end="", file=sys.stderr, flush=True)
