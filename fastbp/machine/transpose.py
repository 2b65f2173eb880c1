"""Transposing a matrix in registers, a square block of vectors at a time."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from fastbp.machine.extremes import smaller
from fastbp.machine.jit import OPTIONS
from fastbp.machine.simd import lanes
from fastbp.machine.vector import number_bytes, vector_of, vector_pointer
from fastbp.machine.views import struct_of

__all__ = ["transpose"]

_INDEX = ir.IntType(64)


def transpose(a: Any, b: Any) -> None:
    """B = A^T for matrices of whole vectors: b : (k, l), of which (k, m) are written; a : (m, k).

    Rows of both are padded to whole vectors; what lies in the padding of A goes nowhere.
    """
    b[:, : len(a)] = a[:, : len(b)].T


@overload(transpose, target="cpu", jit_options=OPTIONS)
def _overload_transpose(a, b):
    def blocks(a, b):
        n = lanes(a)
        for i in range(0, a.shape[0], n):
            for j in range(0, b.shape[0], n):
                if i + n <= a.shape[0] and j + n <= b.shape[0]:
                    _transpose_block(a, b, i, j)
                else:
                    for row in range(i, smaller(i + n, a.shape[0])):
                        for column in range(j, smaller(j + n, b.shape[0])):
                            b[column, row] = a[row, column]

    return blocks


@intrinsic
def _transpose_block(typing_context, a, b, i, j):
    """Transpose the square block of whole vectors at row i and column j of A."""
    vector = vector_of(a)
    n = vector.n_lanes

    def generate(context, builder, signature, arguments):
        align = number_bytes(vector)
        first, second = (
            struct_of(context, builder, view, value)
            for view, value in zip((a, b), arguments[:2], strict=True)
        )
        i, j = arguments[2:]

        def row_of(struct, row, column, r):
            row = builder.add(row, ir.Constant(_INDEX, r))
            place = builder.add(builder.mul(row, struct.stride_0), column)
            return vector_pointer(builder, builder.gep(struct.data, [place]), vector)

        rows = [builder.load(row_of(first, i, j, r), align=align) for r in range(n)]
        for r, row in enumerate(_exchanged(builder, rows)):
            builder.store(row, row_of(second, j, i, r), align=align)
        return context.get_dummy_value()

    return types.void(a, b, types.intp, types.intp), generate


def _exchanged(builder, rows):
    """Transpose n vectors of n lanes: halves change places, then quarters in each half ..."""
    n, distance = len(rows), len(rows) // 2
    indices = ir.VectorType(ir.IntType(32), n)
    while distance:
        upper = [bool(lane & distance) for lane in range(n)]
        low = [lane - distance + n if up else lane for lane, up in enumerate(upper)]
        high = [lane + n if up else lane + distance for lane, up in enumerate(upper)]
        for r in range(n):
            if not r & distance:
                a, b = rows[r], rows[r + distance]
                rows[r] = builder.shuffle_vector(a, b, ir.Constant(indices, low))
                rows[r + distance] = builder.shuffle_vector(a, b, ir.Constant(indices, high))
        distance //= 2
    return rows
