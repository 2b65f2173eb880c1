"""Views of a stretch of an array, as a vector or a matrix, at the cost of an addition.

``vector[start : start + m * n].reshape(m, n)`` says the same, and is what Python does here.
Compiled, numba would check a slice and ask a library function whether a reshape needs a copy, some
50 ns a view, which is as long as the arithmetic of a small layer. These views hold no reference to
the array: they are for the inside of a kernel, whose caller holds it.
"""

from typing import Any

from numba import types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array, populate_array

__all__ = ["matrix", "row", "stretch"]


def matrix(vector: Any, start: int, m: int, n: int) -> Any:
    """View ``m * n`` numbers from ``start`` on as a row-major (m, n) matrix."""
    return vector[start : start + m * n].reshape(m, n)


def stretch(vector: Any, start: int, n: int) -> Any:
    """View ``n`` numbers from ``start`` on as a vector."""
    return vector[start : start + n]


def row(matrix: Any, i: int) -> Any:
    """View row ``i`` of a row-major matrix as a vector."""
    return matrix[i]


@intrinsic
def _view(typing_context, vector, start, shape):  # type: ignore[no-untyped-def]
    result = types.Array(vector.dtype, len(shape), "C")

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        source = make_array(vector)(context, builder, arguments[0])
        lengths = [builder.extract_value(arguments[2], i) for i in range(len(shape))]
        strides = [source.itemsize]
        for length in reversed(lengths[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        view = make_array(result)(context, builder)
        populate_array(
            view,
            data=builder.gep(source.data, [arguments[1]]),
            shape=lengths,
            strides=strides,
            itemsize=source.itemsize,
            meminfo=None,
        )
        return impl_ret_borrowed(context, builder, result, view._getvalue())

    return result(vector, types.intp, types.UniTuple(types.intp, len(shape))), generate


@overload(matrix, target="cpu")
def _matrix(vector, start, m, n):  # type: ignore[no-untyped-def]
    return lambda vector, start, m, n: _view(vector, start, (m, n))


@overload(stretch, target="cpu")
def _stretch(vector, start, n):  # type: ignore[no-untyped-def]
    return lambda vector, start, n: _view(vector, start, (n,))


@overload(row, target="cpu")
def _row(matrix, i):  # type: ignore[no-untyped-def]
    return lambda matrix, i: _view(matrix, i * matrix.shape[1], (matrix.shape[1],))
