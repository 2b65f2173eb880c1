"""One function that runs one of several, chosen by a code: for GPUs; CPUs have ``switch.py``.

A compiled loop cannot look a function up in a dictionary. What stands in for it is, unfolded,

    if code == 0: piece 0
    elif code == 1: piece 1
    ...

each ``if`` a function of its own, so that a new piece in a registry is a new link here.
"""

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["choose_by_code"]


def choose_by_code(
    link: Callable[[int, Any, Callable], Callable], pieces: Iterable, end: Callable
) -> Callable:
    """Fold pieces into one function that runs the one whose position it is given.

    Parameters
    ----------
    link : callable
        ``link(code, piece, others) -> function``: the function runs the piece if it is asked for
        ``code``, and else calls ``others``, which has the same signature.
    pieces : iterable
        What can be chosen.
    end : callable
        What runs for a code that none has.

    Returns
    -------
    chosen : callable
        The first link.
    """
    chosen = end
    for code, piece in reversed(list(enumerate(pieces))):
        chosen = link(code, piece, chosen)
    return chosen
