r"""Products of small matrices in the chip's registers: the inner loop of batch mode.

A product C = A B is cut into tiles of C, of m rows by n vectors, so small that all of a tile's sums
stay in registers while k runs over the inner dimension:

    for k:                         B[k]:   b0      b1         n vectors, loaded once
        for each row r < m:      A[r, k]:  s, copied to all lanes
            sum[r, 0] += s * b0            m * n multiply-adds that wait for none of each other
            sum[r, 1] += s * b1

With 8 rows of 2 vectors that is 16 multiply-adds for 10 loads. A core of today does two of each in
a cycle and needs 8 to 10 sums in flight to do so, since a sum is ready for the next only after 4 or
5: so the multiply-adds set the pace, which is what "at the limit of the chip" means. Edges are tiles
of 4, 2 and 1 rows, with more vectors, so that there are still enough sums.

Every number of C is the sum over k in order, from its start, whatever tile it falls into; its bits
do not depend on the other rows.

The tile's loop is emitted as LLVM instructions by `_tile`, since Python has no name for "16 local
variables"; everything around it is Python. `dots` is the other kind of product, in which the lanes
run along the inner dimension.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from fastbp.machine.chip import has_avx512, most_accumulators
from fastbp.machine.jit import OPTIONS, part, routine
from fastbp.machine.simd import (
    lanes,
    llvm_type,
    multiply_add,
    spread,
    vector_of,
    vector_pointer,
)
from fastbp.machine.views import place_of, struct_of

__all__ = ["add_product", "dots", "product", "scale_by_product", "transpose"]

_INDEX = ir.IntType(64)
#: Rows of a tile, and how many vectors wide it may be: as many sums as there are registers for, and
#: among the edges enough for a single row, which sums of rows are (bias gradients, one output).
_WIDTHS = (
    {8: (3, 2, 1), 4: (4, 2, 1), 2: (4, 2, 1), 1: (8, 7, 6, 5, 4, 3, 2, 1)}
    if has_avx512()
    else {4: (1,), 2: (2, 1), 1: (4, 3, 2, 1)}
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


def scale_by_product(a: Any, b: Any, start: Any, c: Any, n_vectors: int) -> None:
    """C *= start + A B, in the first vectors of each row; shapes as `product`."""
    n = n_vectors * lanes(c)
    c[:, :n] *= start[:n] + _factor(a, b, c) @ b[:, :n]


def _factor(a: Any, b: Any, c: Any) -> Any:
    return a[: len(c), : len(b)]


def dots(a: Any, first: int, last: int, b: Any, b_start: int, n_vectors: int) -> Any:
    """Dot products of as many rows of A as a vector has lanes with one vector b, as a vector.

    a : (m, l).  first : the first row's number.  last : a row number; rows beyond it are replaced
    by it.  b : 1-d.  b_start : where in b the vector begins.  n_vectors : its length.
    """
    rows = [min(first + lane, last) for lane in range(lanes(a))]
    n = n_vectors * lanes(a)
    return a[rows, :n] @ b[b_start : b_start + n]


_ROWS = tuple(_WIDTHS)
_WIDEST = tuple(widths[0] for widths in _WIDTHS.values())


@routine
def _all_tiles(kind, a, b, start, c, n_vectors):
    """Go through the tiles of C: all of a panel of columns, whose part of B stays in the cache."""
    m, row = c.shape[0], 0
    for rows, widest in zip(_ROWS, _WIDEST):
        end = row + (m - row) // rows * rows
        column = 0
        while row < end and column < n_vectors:
            vectors = _width(rows, widest, n_vectors - column)
            for i in range(row, end, rows):
                _tile(kind, rows, vectors, a, b, start, c, i, column)
            column += vectors
        row = end


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


_STORE, _ADD, _SCALE = range(3)


@overload(product, target="cpu", jit_options=OPTIONS)
def _product(a, b, start, c, n_vectors):  # type: ignore[no-untyped-def]
    return lambda a, b, start, c, n_vectors: _all_tiles(_STORE, a, b, start, c, n_vectors)


@overload(add_product, target="cpu", jit_options=OPTIONS)
def _add_product(a, b, c, n_vectors):  # type: ignore[no-untyped-def]
    return lambda a, b, c, n_vectors: _all_tiles(_ADD, a, b, c, c, n_vectors)


@overload(scale_by_product, target="cpu", jit_options=OPTIONS)
def _scale_by_product(a, b, start, c, n_vectors):  # type: ignore[no-untyped-def]
    return lambda a, b, start, c, n_vectors: _all_tiles(_SCALE, a, b, start, c, n_vectors)


@intrinsic
def _tile(typing_context, kind, rows, vectors, a, b, start, c, i, column):  # type: ignore[no-untyped-def]
    """Compute the tile of C at row i and vector ``column``, of ``rows`` rows and some vectors."""
    vector = vector_of(c)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind, rows, vectors, *_, i, column = arguments
        a, b, start, c = (
            struct_of(context, builder, view, value)
            for view, value in zip(signature.args[3:7], arguments[3:7], strict=True)
        )
        first = builder.mul(column, ir.Constant(_INDEX, vector.n_lanes))
        c_row = builder.add(builder.mul(i, c.stride_0), first)
        state = _Tile(
            vector=vector,
            n_k=b.length_0,
            a=builder.gep(a.data, [builder.mul(i, a.stride_0)]),
            a_row=a.stride_0,
            a_k=a.stride_1,
            b=builder.gep(b.data, [first]),
            b_k=b.stride_0,
            start=None if signature.args[5].ndim == 2 else builder.gep(start.data, [first]),
            c=builder.gep(c.data, [c_row]),
            c_row=c.stride_0,
        )
        code = builder.add(builder.mul(rows, ir.Constant(_INDEX, 16)), vectors)
        after = builder.append_basic_block("after")
        switch = builder.switch(code, after)
        for n_rows, n_vectors in [(n, width) for n in _WIDTHS for width in _WIDTHS[n]]:
            case = builder.append_basic_block(f"tile{n_rows}x{n_vectors}")
            switch.add_case(ir.Constant(_INDEX, n_rows * 16 + n_vectors), case)
            builder.position_at_end(case)
            state.emit(builder, n_rows, n_vectors, signature.args[0].literal_value)
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    if not isinstance(kind, types.IntegerLiteral):
        return None
    return types.void(kind, types.intp, types.intp, a, b, start, c, types.intp, types.intp), generate


class _Tile:
    """Addresses, and distances in numbers, of a tile: what its instructions are made from."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def emit(self, builder, n_rows, n_vectors, kind):  # type: ignore[no-untyped-def]
        places = [(r, v) for r in range(n_rows) for v in range(n_vectors)]
        c = {place: self._c(builder, *place) for place in places}
        if self.start is None:
            begin = {place: self._load(builder, c[place]) for place in places}
        else:
            row = [self._load(builder, self._vector(builder, self.start, v)) for v in range(n_vectors)]
            begin = {(r, v): row[v] for r, v in places}
        sums = self._sum(builder, n_rows, n_vectors, begin)
        for place in places:
            value = sums[place]
            if kind == _SCALE:
                value = builder.fmul(value, self._load(builder, c[place]))
            builder.store(value, c[place], align=self.vector.dtype.bitwidth // 8)

    def _sum(self, builder, n_rows, n_vectors, begin):  # type: ignore[no-untyped-def]
        """Emit the loop over k, with the sums and the two addresses as its variables."""
        before = builder.basic_block
        loop, done = (builder.append_basic_block(name) for name in ("loop", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        k, a, b = (builder.phi(type_) for type_ in (_INDEX, self.a.type, self.b.type))
        sums = {place: builder.phi(llvm_type(self.vector)) for place in begin}
        row_of_b = [
            self._load(builder, self._vector(builder, b, v)) for v in range(n_vectors)
        ]
        new = {}
        for r in range(n_rows):
            at = builder.gep(a, [builder.mul(self.a_row, ir.Constant(_INDEX, r))])
            copies = spread(builder, builder.load(at), self.vector.n_lanes)
            for v in range(n_vectors):
                new[r, v] = multiply_add(builder, copies, row_of_b[v], sums[r, v])
        next_k = builder.add(k, ir.Constant(_INDEX, 1))
        variables = [
            (k, ir.Constant(_INDEX, 0), next_k),
            (a, self.a, builder.gep(a, [self.a_k])),
            (b, self.b, builder.gep(b, [self.b_k])),
            *((sums[place], begin[place], new[place]) for place in begin),
        ]
        for variable, at_first, next_value in variables:
            variable.add_incoming(at_first, before)
            variable.add_incoming(next_value, loop)
        builder.cbranch(builder.icmp_signed("<", next_k, self.n_k), loop, done)
        builder.position_at_end(done)
        return new

    def _c(self, builder, r, v):  # type: ignore[no-untyped-def]
        row = builder.gep(self.c, [builder.mul(self.c_row, ir.Constant(_INDEX, r))])
        return self._vector(builder, row, v)

    def _vector(self, builder, pointer, v):  # type: ignore[no-untyped-def]
        at = builder.gep(pointer, [ir.Constant(_INDEX, v * self.vector.n_lanes)])
        return vector_pointer(builder, at, self.vector)

    def _load(self, builder, pointer):  # type: ignore[no-untyped-def]
        return builder.load(pointer, align=self.vector.dtype.bitwidth // 8)


@intrinsic
def _dots(typing_context, a, first, last, b, b_start, n_vectors):  # type: ignore[no-untyped-def]
    vector = vector_of(a)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        matrix = struct_of(context, builder, a, arguments[0])
        first, last, _, b_start, n_vectors = arguments[1:]
        other = place_of(context, builder, b, arguments[3], b_start)
        sums: list = []
        step = min(most_accumulators(), vector.n_lanes)
        for begin in range(0, vector.n_lanes, step):
            rows = []
            for lane in range(begin, begin + step):
                row = builder.add(first, ir.Constant(_INDEX, lane))
                row = builder.select(builder.icmp_signed("<", row, last), row, last)
                rows.append(builder.gep(matrix.data, [builder.mul(row, matrix.stride_0)]))
            sums += _sums_of_products(builder, vector, rows, other, n_vectors)
        return _one_lane_each(builder, sums)

    return vector(a, types.intp, types.intp, b, types.intp, types.intp), generate


def _sums_of_products(builder, vector, rows, other, n_vectors):  # type: ignore[no-untyped-def]
    """Emit a loop along some rows that multiplies each with the other vector, lane by lane."""
    before = builder.basic_block
    loop, done = (builder.append_basic_block(name) for name in ("loop", "done"))
    align = vector.dtype.bitwidth // 8

    def load(pointer, place):  # type: ignore[no-untyped-def]
        return builder.load(vector_pointer(builder, builder.gep(pointer, [place]), vector), align=align)

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


def _one_lane_each(builder, vectors):  # type: ignore[no-untyped-def]
    """Sum the lanes of n vectors of n lanes: lane i of the result is the sum of vector i.

    Two vectors become one that holds half sums of both, the first's in the lanes whose number has
    bit 0 clear, the second's in the others; then two of those one by bit 1; and so on. n - 1 additions
    do the work of n log2(n).
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
def _overload_dots(a, first, last, b, b_start, n_vectors):  # type: ignore[no-untyped-def]
    return lambda a, first, last, b, b_start, n_vectors: _dots(
        a, first, last, b, b_start, n_vectors
    )


def transpose(a: Any, b: Any) -> None:
    """B = A^T for matrices of whole vectors: b : (k, l), of which (k, m) are written; a : (m, k).

    Rows of both are padded to whole vectors; what lies in the padding of A goes nowhere.
    """
    b[:, : len(a)] = a[:, : len(b)].T


@overload(transpose, target="cpu", jit_options=OPTIONS)
def _overload_transpose(a, b):  # type: ignore[no-untyped-def]
    def blocks(a, b):  # type: ignore[no-untyped-def]
        n = lanes(a)
        for i in range(0, a.shape[0], n):
            for j in range(0, b.shape[0], n):
                if i + n <= a.shape[0] and j + n <= b.shape[0]:
                    _transpose_block(a, b, i, j)
                else:
                    for row in range(i, min(i + n, a.shape[0])):
                        for column in range(j, min(j + n, b.shape[0])):
                            b[column, row] = a[row, column]

    return blocks


@intrinsic
def _transpose_block(typing_context, a, b, i, j):  # type: ignore[no-untyped-def]
    """Transpose the square block of whole vectors at row i and column j of A."""
    vector = vector_of(a)
    n = vector.n_lanes

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        align = vector.dtype.bitwidth // 8
        first, second = (
            struct_of(context, builder, view, value)
            for view, value in zip((a, b), arguments[:2], strict=True)
        )
        i, j = arguments[2:]

        def row_of(struct, row, column, r):  # type: ignore[no-untyped-def]
            row = builder.add(row, ir.Constant(_INDEX, r))
            place = builder.add(builder.mul(row, struct.stride_0), column)
            return vector_pointer(builder, builder.gep(struct.data, [place]), vector)

        rows = [builder.load(row_of(first, i, j, r), align=align) for r in range(n)]
        for r, row in enumerate(_exchanged(builder, rows)):
            builder.store(row, row_of(second, j, i, r), align=align)
        return context.get_dummy_value()

    return types.void(a, b, types.intp, types.intp), generate


def _exchanged(builder, rows):  # type: ignore[no-untyped-def]
    """Transpose n vectors of n lanes: halves change places, then quarters in each half, and so on."""
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
