"""What a person at a terminal sees while work goes on; a pipe gets none of it."""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["InputError", "counted", "errors_in_a_line", "progress", "say", "timed"]

_SECONDS_BETWEEN_LOOKS = 0.1


class InputError(ValueError):
    """What a user gave cannot be used; the message says what, where, and what to do."""


def say(message: str) -> None:
    """One line on stderr, whatever the message quotes."""
    print("fastbp:", *message.split(), file=sys.stderr)


def counted(counts: dict[str, int]) -> str:
    """Say how many there are of some columns: 3 of 'age', 1 of 'rooms'."""
    return ", ".join(f"{n} of {name!r}" for name, n in counts.items())


@contextmanager
def errors_in_a_line() -> Iterator[None]:
    """Say in one line what an estimator raises; what it warns of is in the report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            yield
        except ValueError as error:
            raise InputError(str(error)) from error


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], object]]:
    """Show a progress bar on stderr while a block runs, if stderr is a terminal.

    Without rich it is a percentage, and how to get the bar.

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
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        shown = _percentage(label, total)
    else:
        # What is printed to stdout meanwhile goes there, be it a pipe.
        console = Console(stderr=True)
        shown = _bar(Progress(console=console, transient=True, redirect_stdout=False), label, total)
    with shown as show:
        yield _Steps(show).advance


@contextmanager
def timed(label: str) -> Iterator[None]:
    """Print a label before a block runs, and how many seconds it took after."""
    print(label, end=" ", flush=True)
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:6.2f} s", flush=True)


class _Steps:
    """Counts steps, of which there may be 100,000 a second, and shows how many now and then."""

    def __init__(self, show: Callable[[int], object]) -> None:
        self._show, self._done, self._shown_at = show, 0, -_SECONDS_BETWEEN_LOOKS

    def advance(self, steps: int) -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._shown_at >= _SECONDS_BETWEEN_LOOKS:
            self._shown_at = now
            self._show(self._done)


@contextmanager
def _bar(bar: Any, label: str, total: int) -> Iterator[Callable[[int], object]]:
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def _percentage(label: str, total: int) -> Iterator[Callable[[int], object]]:
    hint = " (a bar with the time left: pip install 'fastbp[progress]')"

    def show(done: int) -> None:
        print(f"\r{label}: {done / max(total, 1):4.0%}{hint}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        width = len(f"{label}: 100%{hint}")
        print("\r" + " " * width + "\r", end="", file=sys.stderr, flush=True)
