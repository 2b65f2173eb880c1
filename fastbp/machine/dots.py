"""Dot products of rows: products whose inner dimension lies along the lanes.

A layer with one output is a dot product for each row of a block. As many rows as a vector has lanes
are multiplied with the same vector at once, lane by lane, and then every row's lanes are summed.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from fastbp.machine.chip import max_accumulators
from fastbp.machine.jit import OPTIONS
from fastbp.machine.simd import lanes
from fastbp.machine.vector import llvm_type, multiply_add, number_bytes, vector_of, vector_pointer
from fastbp.machine.views import place_of, struct_of

__all__ = ["dots"]

_INDEX = ir.IntType(64)


def dots(a: Any, first: int, last: int, b: Any, b_start: int, n_vectors: int) -> Any:
    """Dot products of as many rows of A as a vector has lanes with one vector b, as a vector.

    a : (m, l).  first : the first row's number.  last : a row number; rows beyond it are replaced
    by it.  b : 1-d.  b_start : where in b the vector begins.  n_vectors : its length.
    """
    rows = [min(first + lane, last) for lane in range(lanes(a))]
    n = n_vectors * lanes(a)
    return a[rows, :n] @ b[b_start : b_start + n]


@intrinsic
def _dots(typing_context, a, first, last, b, b_start, n_vectors):
    vector = vector_of(a)

    def generate(context, builder, signature, arguments):
        matrix = struct_of(context, builder, a, arguments[0])
        first, last, _, b_start, n_vectors = arguments[1:]
        other = place_of(context, builder, b, arguments[3], b_start)
        sums: list = []
        step = min(max_accumulators(), vector.n_lanes)
        for begin in range(0, vector.n_lanes, step):
            rows = []
            for lane in range(begin, begin + step):
                row = builder.add(first, ir.Constant(_INDEX, lane))
                row = builder.select(builder.icmp_signed("<", row, last), row, last)
                rows.append(builder.gep(matrix.data, [builder.mul(row, matrix.stride_0)]))
            sums += _sums_of_products(builder, vector, rows, other, n_vectors)
        return _one_lane_each(builder, sums)

    return vector(a, types.intp, types.intp, b, types.intp, types.intp), generate


def _sums_of_products(builder, vector, rows, other, n_vectors):
    """Emit a loop along some rows that multiplies each with the other vector, lane by lane."""
    before = builder.basic_block
    loop, done = (builder.append_basic_block(name) for name in ("loop", "done"))
    align = number_bytes(vector)

    def load(pointer, place):
        return builder.load(
            vector_pointer(builder, builder.gep(pointer, [place]), vector), align=align
        )

    builder.branch(loop)
    builder.position_at_end(loop)
    i = builder.phi(_INDEX)
    sums = [builder.phi(llvm_type(vector)) for _ in rows]
    place = builder.mul(i, ir.Constant(_INDEX, vector.n_lanes))
    factor = load(other, place)
    new = [
        multiply_add(builder, load(row, place), factor, total)
        for row, total in zip(rows, sums, strict=True)
    ]
    next_i = builder.add(i, ir.Constant(_INDEX, 1))
    i.add_incoming(ir.Constant(_INDEX, 0), before)
    i.add_incoming(next_i, loop)
    for total, value in zip(sums, new, strict=True):
        total.add_incoming(ir.Constant(llvm_type(vector), None), before)
        total.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", next_i, n_vectors), loop, done)
    builder.position_at_end(done)
    return new


def _one_lane_each(builder, vectors):
    """Sum the lanes of n vectors of n lanes: lane i of the result is the sum of vector i.

    Two vectors become one that holds half sums of both, the first's in the lanes whose number has
    bit 0 clear, the second's in the others; then two of those one by bit 1; and so on. n - 1
    additions do the work of n log2(n).
    """
    n_lanes, bit = len(vectors), 1
    lane_of = ir.VectorType(ir.IntType(32), n_lanes)
    while len(vectors) > 1:
        own = [i + n_lanes * bool(i & bit) for i in range(n_lanes)]
        partner = [(i ^ bit) + n_lanes * bool(i & bit) for i in range(n_lanes)]
        vectors = [
            builder.fadd(
                builder.shuffle_vector(a, b, ir.Constant(lane_of, own)),
                builder.shuffle_vector(a, b, ir.Constant(lane_of, partner)),
            )
            for a, b in zip(vectors[0::2], vectors[1::2], strict=True)
        ]
        bit *= 2
    return vectors[0]


@overload(dots, target="cpu", jit_options=OPTIONS)
def _overload_dots(a, first, last, b, b_start, n_vectors):
    return lambda a, first, last, b, b_start, n_vectors: _dots(
        a, first, last, b, b_start, n_vectors
    )
