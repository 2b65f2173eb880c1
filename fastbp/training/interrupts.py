"""Ctrl-C: the first ends a training and keeps what it has learnt, a second soon after is raised.

Else a grid search, or a loop over `partial_fit`, could not be left: each fit would take its own.
"""

import time

from fastbp.training.warn import warn

__all__ = ["keep_or_raise"]

_SOON = 2.0
_last = -float("inf")


def keep_or_raise(has_learnt: bool) -> None:
    """Warn that a training was interrupted and keeps its weights, or raise.

    Parameters
    ----------
    has_learnt : bool
        Whether it has changed the weights.

    Raises
    ------
    KeyboardInterrupt
        If it has not, or if another training was interrupted within the last two seconds.
    """
    global _last
    before, _last = _last, time.monotonic()
    if not has_learnt or _last - before < _SOON:
        raise KeyboardInterrupt
    warn("Training interrupted by user. The weights so far are kept.")
