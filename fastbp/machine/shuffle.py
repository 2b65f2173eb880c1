"""Shuffling rows with the state of NumPy's RandomState: the swaps of its `permutation`.

Fisher and Yates's shuffle, from the end: row i changes places with a row j <= i. NumPy draws j by
masking a 32-bit word to the bits of i and drawing again while it is larger, which a chip predicts
wrongly every other time. Here the words of a whole round of the generator are masked and written
down one after the other, each over the one before if that was too large: no branch depends on a
draw.

Reference: Matsumoto & Nishimura, "Mersenne Twister", ACM TOMACS 8 (1998).
"""

import numpy as np

from fastbp.machine.jit import kernel, part

__all__ = ["shuffle", "shuffle_rows"]

_N, _M = 624, 397
_UPPER, _LOWER, _MATRIX = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x9908B0DF)
_TEMPER_B, _TEMPER_C = np.uint32(0x9D2C5680), np.uint32(0xEFC60000)
_ONE = np.uint32(1)


@part
def _next_word(words, i, next_i, far):
    y = (words[i] & _UPPER) | (words[next_i] & _LOWER)
    words[i] = words[far] ^ (y >> _ONE) ^ ((y & _ONE) * _MATRIX)


@part
def _next_round(words):
    """Advance all 624 words of the state."""
    for i in range(_N - _M):
        _next_word(words, i, i + 1, i + _M)
    for i in range(_N - _M, _N - 1):
        _next_word(words, i, i + 1, i + _M - _N)
    _next_word(words, _N - 1, 0, _M - 1)


@part
def _tempered(y):
    y = y ^ (y >> np.uint32(11))
    y = y ^ ((y << np.uint32(7)) & _TEMPER_B)
    y = y ^ ((y << np.uint32(15)) & _TEMPER_C)
    return y ^ (y >> np.uint32(18))


@part
def shuffle(generator, rows, draws):
    """Shuffle rows in place, as ``rows[random_state.permutation(len(rows))]``.

    generator : Generator, advanced.  rows : (n,).  draws : (n + 1,) of integers, scratch.
    """
    words, position = generator.words, generator.position[0]
    # draws[i] is the place that row i changes with; i falls when a draw is small enough.
    i = np.int64(rows.size - 1)
    mask = np.int64(1)
    while mask < i:
        mask = 2 * mask + 1
    while i > 0:
        if position == _N:
            _next_round(words)
            position = 0
        lowest = mask >> 1  # while i is above it, the mask stays
        while i > lowest and position < _N:
            draw = np.int64(_tempered(words[position])) & mask
            position += 1
            draws[i] = draw
            i -= np.int64(draw <= i)
        if i <= lowest:
            mask = lowest
    generator.position[0] = position
    for k in range(rows.size - 1, 0, -1):
        j = draws[k]
        rows[k], rows[j] = rows[j], rows[k]


@kernel
def shuffle_rows(generator, rows, draws):
    """Shuffle rows in place: `shuffle`, for Python to call."""
    shuffle(generator, rows, draws)
