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
    is_for_one : bool, default=False
        Whether there will be one shuffle, which Python then makes: to take the state out and put it
        back takes longer than to shuffle a small table.
    """

    def __init__(
        self, random_state: np.random.RandomState | None, is_for_one: bool = False
    ) -> None:
        self._random_state, self._is_for_one = random_state, is_for_one
        self._lent: Generator | None = None

    @property
    def generator(self) -> Generator:
        """Its state; without words if there is nothing to shuffle, or it is no Mersenne Twister."""
        if self._lent is None:
            self._lent = self._take()
        return self._lent

    @property
    def are_compiled(self) -> bool:
        """Whether kernels shuffle by themselves, or have nothing to shuffle."""
        if self._random_state is None:
            return True
        return not self._is_for_one and len(self.generator.words) > 0

    def __enter__(self) -> "Shuffles":
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Bring the RandomState up to the shuffles so far."""
        if self._lent is not None and len(self._lent.words):
            state = {"key": self._lent.words, "pos": int(self._lent.position[0])}
            self._random_state.set_state(self._state | {"state": state})  # type: ignore[union-attr]

    def move_to(self, words: NDArray[np.uint32], position: NDArray[np.int64]) -> None:
        """Let the generator's state lie in arrays of the caller's, where kernels have many."""
        words[:], position[:] = self.generator
        self._lent = Generator(words, position)

    def shuffle(self, rows: NDArray[np.int64]) -> None:
        """Shuffle rows in place, in Python."""
        if self._random_state is not None:
            self.give_back()
            self._lent = None
            self._random_state.shuffle(rows)  # draws as permutation does, but makes no other array

    def seeds(self, n: int) -> list[int | None]:
        """Draw seeds for generators that shuffle elsewhere; None where nothing is shuffled."""
        if self._random_state is None:
            return [None] * n
        self.give_back()
        self._lent = None
        return self._random_state.randint(2**31, size=n).tolist()

    @property
    def state(self) -> tuple[bytes, int]:
        """Where the generator stands: equal states shuffle alike."""
        return self.generator.words.tobytes(), int(self.generator.position[0])

    @state.setter
    def state(self, state: tuple[bytes, int]) -> None:
        words, position = state
        self.generator.words[:] = np.frombuffer(words, np.uint32)
        self.generator.position[0] = position

    def _take(self) -> Generator:
        if self._random_state is not None:
            self._state = self._random_state.get_state(legacy=False)
            if self._state["bit_generator"] == "MT19937":
                words, position = self._state["state"]["key"], self._state["state"]["pos"]
                return Generator(words.copy(), np.array([position], np.int64))
        return Generator(np.empty(0, np.uint32), np.zeros(1, np.int64))
