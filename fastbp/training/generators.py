"""Random generators that are used again: to make one takes as long as to train on a few rows.

NumPy seeds a new `RandomState` from the operating system before it takes the seed it is given. To
seed one that is there gives the same numbers, fifty times as fast.
"""

import copy
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray
from sklearn.utils import check_random_state

__all__ = ["copy_of", "generator_of", "use_again"]

_MOST = 16
_spare: list[np.random.RandomState] = []


def generator_of(random_state: Any) -> np.random.RandomState:
    """Give the generator that a parameter ``random_state`` stands for.

    Parameters
    ----------
    random_state : int, RandomState or None
        The parameter.

    Returns
    -------
    generator : RandomState
        Of an int one of its own; it may come back by `use_again`.
    """
    if not isinstance(random_state, int):
        return check_random_state(random_state)
    try:
        generator = _spare.pop()
    except IndexError:
        generator = _new()
    generator.seed(random_state)
    return generator


def copy_of(generator: np.random.RandomState) -> np.random.RandomState:
    """Give another generator that draws the same: `copy.deepcopy`, five times as fast."""
    state = generator.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return copy.deepcopy(generator)
    other = _new()
    other.set_state(state)
    return other


def use_again(generator: np.random.RandomState, random_state: Any) -> None:
    """Take back the generator of a parameter, which nobody else has any more."""
    if isinstance(random_state, int) and len(_spare) < _MOST:
        _spare.append(generator)


class _Zeros(ISeedSequence):
    """Seeds a generator that takes its state from elsewhere afterwards."""

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray:
        """Give zeros."""
        return np.zeros(n_words, dtype)


def _new() -> np.random.RandomState:
    return np.random.RandomState(np.random.MT19937(_Zeros()))  # type: ignore[arg-type]
