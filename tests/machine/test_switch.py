"""A switch runs the piece that its code names."""

from fastbp.machine.jit import kernel, part
from fastbp.machine.switch import switch
from helpers.guards import NEEDS_A_COMPILER

pytestmark = NEEDS_A_COMPILER


def _constant(value):
    @part
    def constant(x):
        return value

    return constant


@part
def _twice(x):
    return 2.0 * x


@part
def _half(x):
    return 0.5 * x


def _kernel_of(pieces):
    chosen = switch(pieces)

    def switched(code, x):
        return chosen(code, (x,))

    switched.__qualname__ = "_".join(piece.__name__ for piece in pieces)
    return kernel(switched)


def test_the_code_chooses_the_piece():
    run = _kernel_of([_half, _twice])
    assert [run(code, 3.0) for code in (0, 1)] == [1.5, 6.0]


def test_constants_of_pieces_are_told_apart():
    """Each has a type of its own to the compiler, and the first one's is not that of all."""
    run = _kernel_of([_constant(0), _constant(1), _constant(2)])
    assert [run(code, 3.0) for code in range(3)] == [0, 1, 2]
