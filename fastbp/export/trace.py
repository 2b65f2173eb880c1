"""What an activation is made of: it runs once on a symbol, and each operation is written down.

A symbol takes part in NumPy's own protocols (NEP 13 and 18), by which the functions of
``fastbp.elementary`` and all operators ask it what to do. So a record's ``value(z)`` runs as it
stands, a user's as well as fastbp's.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

__all__ = ["CONSTANT", "INPUT", "ONE", "Operation", "trace"]

#: Names of operations beside NumPy's functions: z itself, a plain number, a 1 for each z.
INPUT, CONSTANT, ONE = "input", "constant", "one"
#: NumPy's and SciPy's functions that writers know.
_FUNCTIONS = {
    *("add", "subtract", "multiply", "divide", "negative", "absolute"),
    *("less", "less_equal", "greater", "greater_equal", "equal"),
    *("exp", "expm1", "log", "log1p", "tanh", "sin", "cos", "sqrt", "ndtr"),
}


class Operation(NamedTuple):
    """One step of a computation.

    Attributes
    ----------
    name : str
        NumPy's name of the function, SciPy's "ndtr", or `INPUT`, `CONSTANT`, `ONE`.
    arguments : tuple of int
        The numbers of the operations whose results it takes, all of them before its own.
    constant : float
        The number that a `CONSTANT` is.
    """

    name: str
    arguments: tuple[int, ...] = ()
    constant: float = 0.0


class _Tape:
    """Operations in order; what was written down once is found again, not repeated."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._numbers: dict[Operation, int] = {}

    def add(self, operation: Operation) -> int:
        if operation not in self._numbers:
            self._numbers[operation] = len(self.operations)
            self.operations.append(operation)
        return self._numbers[operation]


class _Symbol(NDArrayOperatorsMixin):
    """The result of an operation, for Python's and NumPy's functions to go on with."""

    def __init__(self, tape: _Tape, number: int, dtype: np.dtype) -> None:
        self.tape, self.number, self.dtype = tape, number, dtype

    def after(self, name: str, *arguments: Any) -> "_Symbol":
        """Write an operation down."""
        number = self.tape.add(Operation(name, tuple(map(self.number_of, arguments))))
        return _Symbol(self.tape, number, self.dtype)

    def number_of(self, argument: Any) -> int:
        """Give the number of a symbol's operation, or that of a plain number."""
        if isinstance(argument, _Symbol):
            return argument.number
        return self.tape.add(Operation(CONSTANT, constant=float(argument)))

    def astype(self, dtype: Any) -> "_Symbol":
        """Stay what it is: all numbers are of one dtype."""
        del dtype
        return self

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> "_Symbol":
        name = ufunc.__name__
        if method != "__call__" or options or name not in _FUNCTIONS:
            raise TypeError(f"{name} is none of the functions that can be written")
        return self.after(name, *inputs)

    def __array_function__(
        self, function: Any, types: Any, arguments: Any, options: Any
    ) -> "_Symbol":
        if not options and function is np.where and len(arguments) == 3:
            return self.after("where", *arguments)
        if not options and function is np.ones_like:
            return self.after(ONE, self)
        if not options and function is np.full_like:
            return self.after(ONE, self) * arguments[1]
        raise TypeError(f"{function.__name__} is none of the functions that can be written")

    def __getitem__(self, key: Any) -> "_Symbol":
        if key != ():
            raise TypeError("an activation is of one number, and takes no part of an array")
        return self

    def __bool__(self) -> bool:
        raise TypeError("an if would need one number: write where(condition, a, b)")


def trace(
    value: Callable, dtype: np.dtype, known: Mapping[str, Callable] | None = None
) -> list[Operation]:
    """Find out which operations an activation's value is made of.

    Parameters
    ----------
    value : callable
        ``value(z) -> a`` of an `Activation` that looks at one unit alone (a softmax does not).
    dtype : dtype
        Of the numbers it is for.
    known : mapping of str to callable, default=None
        Functions of one number that are to be one operation of that name where they are found.

    Returns
    -------
    operations : list of Operation
        Each one needed for the last, which is the result. The first is `INPUT`.

    Raises
    ------
    ValueError
        If it calls what cannot be written.
    """
    tape = _Tape()
    z = _Symbol(tape, tape.add(Operation(INPUT)), dtype)
    try:
        result = z.number_of(value(z))
    except Exception as error:
        name = getattr(value, "__name__", repr(value))
        raise ValueError(
            f"The activation's value {name!r} cannot be exported: {error}. Write it of arithmetic, "
            "comparisons and the functions of fastbp.elementary (exp, log, tanh, where, ...)."
        ) from error
    operations = tape.operations[: result + 1]
    for name, function in (known or {}).items():
        for argument in range(len(operations)):
            found = function(_Symbol(tape, argument, dtype)).number
            if argument < found < len(operations):
                operations[found] = Operation(name, (argument,))
    return _needed(operations)


def _needed(operations: list[Operation]) -> list[Operation]:
    """Keep the input and what leads to the last operation, numbered anew."""
    waiting, needed = [len(operations) - 1], {0}
    while waiting:
        number = waiting.pop()
        if number not in needed:
            needed.add(number)
            waiting += operations[number].arguments
    order = sorted(needed)
    places = {number: place for place, number in enumerate(order)}
    return [
        operation._replace(arguments=tuple(places[argument] for argument in operation.arguments))
        for operation in (operations[number] for number in order)
    ]
