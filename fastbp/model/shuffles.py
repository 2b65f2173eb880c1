"""The order in which rows are visited, drawn as NumPy's RandomState draws it.

scikit-learn shuffles with ``random_state.permutation(n)`` once an epoch. For a small network that
takes as long as half the epoch, and the interpreter's lock with it. So the kernels shuffle by
themselves (``machine/shuffle.py``): they take the state of the user's own generator, draw from it
what `permutation` would, and the generator gets its state back at the end. Not numba's generator,
which is another one for each thread.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Generator", "Shuffles"]


class Generator(NamedTuple):
    """State of a Mersenne Twister as the kernels see it; no words mean that nothing is shuffled.

    Attributes
    ----------
    words : ndarray of shape (624,) or (0,)
        The state, changed in place.
    position : ndarray of shape (1,)
        How many of the words are used up.
    """

    words: NDArray[np.uint32]
    position: NDArray[np.int64]


class Shuffles:
    """A RandomState lent to the kernels, as a context.

    Parameters
    ----------
    random_state : RandomState or None
        Where the shuffles are drawn from; None shuffles nothing. It must not be used inside the
        context, and has advanced by all the shuffles after it.

    Attributes
    ----------
    generator : Generator
        Its state; without words if there is nothing to shuffle, or if it is no Mersenne Twister.
    """

    def __init__(self, random_state: np.random.RandomState | None) -> None:
        self._random_state = random_state
        self.generator = Generator(np.empty(0, np.uint32), np.zeros(1, np.int64))

    @property
    def are_compiled(self) -> bool:
        """Whether kernels can shuffle by themselves, or have nothing to shuffle."""
        return self._random_state is None or len(self.generator.words) > 0

    def __enter__(self) -> "Shuffles":
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Bring the RandomState up to the shuffles so far."""
        if len(self.generator.words):
            state = {"key": self.generator.words, "pos": int(self.generator.position[0])}
            self._random_state.set_state(self._state | {"state": state})  # type: ignore[union-attr]

    def shuffle(self, rows: NDArray[np.int64]) -> None:
        """Shuffle rows in place, in Python."""
        if self._random_state is not None:
            self.give_back()
            self._random_state.shuffle(rows)  # draws as permutation does, but makes no other array
            self._take()

    @property
    def state(self) -> tuple[bytes, int]:
        """Where the generator stands: equal states shuffle alike."""
        return self.generator.words.tobytes(), int(self.generator.position[0])

    @state.setter
    def state(self, state: tuple[bytes, int]) -> None:
        words, position = state
        self.generator.words[:] = np.frombuffer(words, np.uint32)
        self.generator.position[0] = position

    def _take(self) -> None:
        if self._random_state is None:
            return
        self._state = self._random_state.get_state(legacy=False)
        if self._state["bit_generator"] == "MT19937":
            words, position = self._state["state"]["key"], self._state["state"]["pos"]
            self.generator = Generator(words.copy(), np.array([position], np.int64))
