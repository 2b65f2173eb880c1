r"""Products of small matrices in the chip's registers: the inner loop of batch mode.

A product C = A B is cut into tiles of C, of m rows by n vectors, so small that all of a tile's sums
stay in registers while k runs over the inner dimension:

    for k:                         B[k]:   b0      b1         n vectors, loaded once
        for each row r < m:      A[r, k]:  s, copied to all lanes
            sum[r, 0] += s * b0            m * n multiply-adds that wait for none of each other
            sum[r, 1] += s * b1

With 8 rows of 3 vectors (AVX-512; 6 rows of 1, which is two registers, for AVX2) that is 24
multiply-adds for 11 loads. A core of today does two of each in a cycle and needs 8 to 10 sums in
flight to do so, since a sum is ready for the next only after 4 or 5: so the multiply-adds set the
pace, which is what "at the limit of the chip" means. Edges are tiles of 4, 2 and 1 rows, with more
vectors, so that there are still enough sums.

What is done with a tile's sums before they are stored costs next to nothing there, and a pass over
memory elsewhere: adding to C, multiplying by the slopes that C holds, relu forward and backward. A
product's kind is compared twice a tile, so that all kinds are one loop, compiled once.

Every number of C is the sum over k in order, from its start, whatever tile it falls into; its bits
do not depend on the other rows.

The tile's loop is emitted as LLVM instructions by `_tile`, since Python has no name for "16 local
variables"; everything around it is Python.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from fastbp.machine.chip import has_avx512
from fastbp.machine.jit import OPTIONS, part, routine
from fastbp.machine.simd import lanes
from fastbp.machine.vector import (
    llvm_type,
    multiply_add,
    number_bytes,
    spread,
    vector_of,
    vector_pointer,
)
from fastbp.machine.views import matrix, struct_of

__all__ = [
    "TILE_VECTORS",
    "add_product",
    "gate_product",
    "product",
    "product_above_0",
    "scale_by_product",
]

_INDEX = ir.IntType(64)
#: Rows of a tile, and how many vectors wide it may be: as many sums as there are registers for, and
#: among the edges enough for a single row, which sums of rows are (bias gradients, one output).
_WIDTHS = (
    {8: (3, 2, 1), 4: (4, 2, 1), 2: (4, 2, 1), 1: (8, 7, 6, 5, 4, 3, 2, 1)}
    if has_avx512()
    else {6: (1,), 4: (1,), 2: (2, 1), 1: (4, 3, 2, 1)}
)


def product(a: Any, b: Any, start: Any, c: Any, n_vectors: int) -> None:
    """C = start + A B, in the first vectors of each row.

    a : (m, k) or larger, row- or column-major.  b : (k, l).  start : (l,), added to every row.
    c : (m, l), overwritten.  n_vectors : whole vectors of a row to compute.
    """
    n = n_vectors * lanes(c)
    c[:, :n] = start[:n] + _factor(a, b, c) @ b[:, :n]


def add_product(a: Any, b: Any, c: Any, n_vectors: int) -> None:
    """C += A B, in the first vectors of each row; shapes as `product`."""
    n = n_vectors * lanes(c)
    c[:, :n] += _factor(a, b, c) @ b[:, :n]


def product_above_0(a: Any, b: Any, start: Any, c: Any, n_vectors: int) -> None:
    """C = max(0, start + A B): a product and relu in one; shapes as `product`."""
    product(a, b, start, c, n_vectors)
    part = c[:, : n_vectors * lanes(c)]
    np.copyto(part, 0, where=part < 0)


def scale_by_product(a: Any, b: Any, c: Any, n_vectors: int) -> None:
    """C *= A B, in the first vectors of each row; shapes as `product`."""
    n = n_vectors * lanes(c)
    c[:, :n] *= _factor(a, b, c) @ b[:, :n]


def gate_product(a: Any, b: Any, gate: Any, c: Any, n_vectors: int) -> None:
    """C = A B where the gate is not 0, else 0; shapes as `product`, the gate's as C's."""
    n = n_vectors * lanes(c)
    c[:, :n] = np.where(gate[: len(c), :n] == 0, 0, _factor(a, b, c) @ b[:, :n])


def _factor(a: Any, b: Any, c: Any) -> Any:
    return a[: len(c), : len(b)]


_ROWS = tuple(_WIDTHS)
_WIDEST = tuple(widths[0] for widths in _WIDTHS.values())
#: Vectors of a row of the best tile: a product of so many, or a multiple, has no narrow edge.
TILE_VECTORS = _WIDEST[0]


@routine
def _all_tiles(kind, a, b, other, c, n_vectors):
    """Go through the tiles of C: all of a panel of columns, whose part of B stays in the cache.

    other : what a kind needs beside A and B: (1, l) where sums start, else (m, l).
    """
    m, row = c.shape[0], 0
    for rows, widest in zip(_ROWS, _WIDEST):  # noqa: B905 - numba knows no strict
        end = row + _height(rows, m - row)
        column = 0
        while row < end and column < n_vectors:
            vectors = _width(rows, widest, n_vectors - column)
            _tiles(kind, rows, vectors, a, b, other, c, row, end, column)
            column += vectors
        row = end


@part
def _height(rows, left):
    """Rows that tiles of so many rows take of those that are left: 4 + 4 is better than 6 + 2."""
    taken = left // rows * rows
    return taken - 6 if rows == 6 and left >= 8 and left - taken == 2 else taken


@part
def _width(rows, widest, left):
    """Vectors of the next panel: the widest there is, but no single one at the end."""
    if left >= widest + 2 or left == widest:
        return widest
    if left == widest + 1:
        return (left + 1) // 2 if rows == 1 or widest == 3 else widest
    if rows == 1:
        return left
    return 2 if left >= 2 else 1


_STORE, _STORE_ABOVE_0, _ADD, _SCALE, _GATE = range(5)


@overload(product, target="cpu", jit_options=OPTIONS)
def _product(a, b, start, c, n_vectors):
    return lambda a, b, start, c, n_vectors: _all_tiles(
        _STORE, a, b, matrix(start, 0, 1, start.size), c, n_vectors
    )


@overload(add_product, target="cpu", jit_options=OPTIONS)
def _add_product(a, b, c, n_vectors):
    return lambda a, b, c, n_vectors: _all_tiles(_ADD, a, b, c, c, n_vectors)


@overload(product_above_0, target="cpu", jit_options=OPTIONS)
def _product_above_0(a, b, start, c, n_vectors):
    return lambda a, b, start, c, n_vectors: _all_tiles(
        _STORE_ABOVE_0, a, b, matrix(start, 0, 1, start.size), c, n_vectors
    )


@overload(scale_by_product, target="cpu", jit_options=OPTIONS)
def _scale_by_product(a, b, c, n_vectors):
    return lambda a, b, c, n_vectors: _all_tiles(_SCALE, a, b, c, c, n_vectors)


@overload(gate_product, target="cpu", jit_options=OPTIONS)
def _gate_product(a, b, gate, c, n_vectors):
    return lambda a, b, gate, c, n_vectors: _all_tiles(_GATE, a, b, gate, c, n_vectors)


@intrinsic
def _tiles(typing_context, kind, rows, vectors, a, b, other, c, row, end, column):
    """Compute tiles of ``rows`` rows and some vectors: those of C from a row on, below each other.

    row, end : the first tile's first row, and the row behind the last.  column : a vector's number.
    """
    vector = vector_of(c)

    def generate(context, builder, signature, arguments):
        # A caller's kind is a constant, and LLVM would make a copy of all this for each: the first
        # attribute forbids it to inline, the second to specialise.
        builder.function.attributes.add("noinline")
        builder.function.attributes.add("noduplicate")
        # Where its loops begin decides how many lines of the cache each takes, 5 % of the time. It
        # is not to depend on what stands before it. (llvmlite knows no such attribute.)
        set.add(builder.function.attributes, "align 64")
        kind, rows, vectors, *_, row, end, column = arguments
        views = [
            struct_of(context, builder, view, value)
            for view, value in zip((a, b, other, c), arguments[3:7], strict=True)
        ]
        first = builder.mul(column, _constant(vector.n_lanes))
        code = builder.add(builder.mul(rows, _constant(16)), vectors)
        after = builder.append_basic_block("after")
        switch = builder.switch(code, after)
        for n_rows, n_vectors in [(n, width) for n in _WIDTHS for width in _WIDTHS[n]]:
            case = builder.append_basic_block(f"tiles{n_rows}x{n_vectors}")
            switch.add_case(_constant(n_rows * 16 + n_vectors), case)
            loop = builder.append_basic_block(f"tile{n_rows}x{n_vectors}")
            builder.position_at_end(case)
            builder.branch(loop)
            builder.position_at_end(loop)
            i = builder.phi(_INDEX)
            _Tile(builder, vector, i, first, n_rows, n_vectors).emit(kind, *views)
            next_i = builder.add(i, _constant(n_rows))
            i.add_incoming(row, case)
            i.add_incoming(next_i, builder.basic_block)
            builder.cbranch(builder.icmp_signed("<", next_i, end), loop, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    numbers = [types.intp] * 3
    return types.void(*numbers, a, b, other, c, *numbers), generate


class _Tile(NamedTuple):
    """A tile's place in C, its size, and the builder of its instructions."""

    builder: Any
    vector: Any
    row: Any
    first: Any
    n_rows: int
    n_vectors: int

    def emit(self, kind, a, b, other, c):
        """Emit what the kinds of product do with a tile."""
        sums = self._sum(a, b, self._begin(kind, other))
        self._end(kind, sums, other, c)

    def _begin(self, kind, other):
        """Emit the sums' first values: a row for all, or those of C, or zeros."""
        builder, zero = self.builder, ir.Constant(llvm_type(self.vector), None)
        places = [(r, v) for r in range(self.n_rows) for v in range(self.n_vectors)]

        def one_row():
            start = builder.gep(other.data, [self.first])
            row = [self._load(self._vector(start, v)) for v in range(self.n_vectors)]
            return {(r, v): row[v] for r, v in places}

        def same_place():
            return {place: self._load(self._at(other, *place)) for place in places}

        begun, results = builder.append_basic_block("begun"), {}
        switch = builder.switch(kind, begun)
        results[builder.basic_block] = dict.fromkeys(places, zero)
        for kinds, emit in [((_STORE, _STORE_ABOVE_0), one_row), ((_ADD,), same_place)]:
            case = self._case(switch, kinds)
            builder.position_at_end(case)
            results[case] = emit()
            builder.branch(begun)
        builder.position_at_end(begun)
        chosen = {place: builder.phi(llvm_type(self.vector)) for place in places}
        for block, values in results.items():
            for place in places:
                chosen[place].add_incoming(values[place], block)
        return chosen

    def _end(self, kind, sums, other, c):
        """Emit what becomes of the sums, and how they are stored.

        Each kind has stores of its own, so that their values need not meet again in one place.
        """
        builder, zero = self.builder, ir.Constant(llvm_type(self.vector), None)

        def plain(place):
            return sums[place]

        def above_0(place):
            below = builder.fcmp_ordered("<", sums[place], zero)
            return builder.select(below, zero, sums[place])

        def scaled(place):
            return builder.fmul(sums[place], there(place))

        def gated(place):
            shut = builder.fcmp_ordered("==", there(place), zero)
            return builder.select(shut, zero, sums[place])

        def there(place):
            return self._load(self._at(other, *place))

        blocks = [(builder.append_basic_block("plain"), plain)]
        switch, after = builder.switch(kind, blocks[0][0]), builder.append_basic_block("after")
        for code, value_of in [(_STORE_ABOVE_0, above_0), (_SCALE, scaled), (_GATE, gated)]:
            blocks.append((self._case(switch, [code]), value_of))
        for block, value_of in blocks:
            builder.position_at_end(block)
            for place in sums:
                builder.store(value_of(place), self._at(c, *place), align=self._align)
            builder.branch(after)
        builder.position_at_end(after)

    def _case(self, switch, kinds):
        """Add a block for some kinds of product."""
        case = self.builder.append_basic_block("kind")
        for kind in kinds:
            switch.add_case(_constant(kind), case)
        return case

    def _sum(self, a, b, begin):
        """Emit the loop over k, with the sums and the addresses in A and B as its variables."""
        builder = self.builder
        before = builder.basic_block
        loop, done = (builder.append_basic_block(name) for name in ("loop", "done"))
        first_a = builder.gep(a.data, [builder.mul(self.row, a.stride_0)])
        first_b = builder.gep(b.data, [self.first])
        builder.branch(loop)
        builder.position_at_end(loop)
        k, at_a, at_b = (builder.phi(type_) for type_ in (_INDEX, first_a.type, first_b.type))
        sums = {place: builder.phi(llvm_type(self.vector)) for place in begin}
        row_of_b = [self._load(self._vector(at_b, v)) for v in range(self.n_vectors)]
        new = {}
        for r in range(self.n_rows):
            number = builder.load(builder.gep(at_a, [builder.mul(a.stride_0, _constant(r))]))
            copies = spread(builder, number, self.vector.n_lanes)
            for v in range(self.n_vectors):
                new[r, v] = multiply_add(builder, copies, row_of_b[v], sums[r, v])
        next_k = builder.add(k, _constant(1))
        variables = [
            (k, _constant(0), next_k),
            (at_a, first_a, builder.gep(at_a, [a.stride_1])),
            (at_b, first_b, builder.gep(at_b, [b.stride_0])),
            *((sums[place], begin[place], new[place]) for place in begin),
        ]
        for variable, at_first, next_value in variables:
            variable.add_incoming(at_first, before)
            variable.add_incoming(next_value, loop)
        branch = builder.cbranch(builder.icmp_signed("<", next_k, b.length_0), loop, done)
        # The sums fill the pipeline; a second copy of the loop would take the registers that
        # addresses need: it costs products with a short k 6 % (AVX2).
        _forbid_to_unroll(builder.module, branch)
        builder.position_at_end(done)
        return new

    def _at(self, matrix, r, v):
        row = self.builder.mul(self.builder.add(self.row, _constant(r)), matrix.stride_0)
        place = self.builder.add(row, self.first)
        return self._vector(self.builder.gep(matrix.data, [place]), v)

    def _vector(self, pointer, v):
        at = self.builder.gep(pointer, [_constant(v * self.vector.n_lanes)])
        return vector_pointer(self.builder, at, self.vector)

    def _load(self, pointer):
        return self.builder.load(pointer, align=self._align)

    @property
    def _align(self):
        return number_bytes(self.vector)


def _forbid_to_unroll(module, branch):
    """Mark a loop's branch backwards; the mark names itself first, as LLVM wants it."""
    wish = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    mark = ir.values.MDValue(module, [wish], name=str(len(module.metadata)))
    mark.operands = (mark, wish)
    branch.set_metadata("llvm.loop", mark)


def _constant(number):
    return ir.Constant(_INDEX, number)
