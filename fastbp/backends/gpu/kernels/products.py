"""The two products of backpropagation for a tile of rows, shared out among a block's threads.

A tile's numbers lie in a workspace, unit by unit: ``workspace[unit * stride + row]``, with the
stride four more than the rows, so that threads next to each other find theirs in different banks. A
thread keeps a small square of the result in registers and walks down the summed dimension; for each
step it loads two or three times four numbers and makes 16 or 32 multiplications and additions with
them.

    product     z (units, rows)      = b + W^T x         forward, W (n_in, n_units)
                                  or   z * (W^T x)       backward, where W is the transposed copy,
                                                         x the deltas, and z the slopes below
    add_outer   gradient (n_in, n_out) += x d^T          summed over the tile's rows

Eight threads lie along the units and four across, so that a warp's loads are few cache lines. Where
a layer has fewer than eight units (the output of a regression has one) a thread takes one number.
"""

from fastbp.machine.gpu_kernels import cuda, load1, load4, part, store1, store4

__all__ = ["add_outer", "add_row_sums", "products"]

_FEW_UNITS = 8


def products(n_fours):
    """Make the product whose threads take 4 * n_fours rows of four units each."""
    n_rows_each = 4 * n_fours
    n_sums = 4 * n_rows_each

    @part
    def add_step(sums, x, x_place, w, w_place):
        """Add one input's part to the sums of rows i and units j, which are at 4 i + j."""
        w_0, w_1, w_2, w_3 = load4(w, w_place)
        for four in range(n_fours):
            a = load4(x, x_place + 4 * four)
            for i in range(4):
                place = 16 * four + 4 * i
                sums[place] += a[i] * w_0
                sums[place + 1] += a[i] * w_1
                sums[place + 2] += a[i] * w_2
                sums[place + 3] += a[i] * w_3

    @part
    def product_of_squares(x, n_in, w, w_stride, n_units, bias, z, stride, n_rows, scales):
        sums = cuda.local.array(n_sums, x.dtype)
        n_groups = n_rows // n_rows_each
        n_items = (n_units + 31) // 32 * n_groups * 8
        item = cuda.threadIdx.x
        while item < n_items:
            rest = item // 8
            unit = 4 * (rest // n_groups * 8 + item % 8)
            row = rest % n_groups * n_rows_each
            item += cuda.blockDim.x
            if unit >= n_units:
                continue
            for j in range(4):
                start = x.dtype.type(0) if scales else bias[unit + j]
                for i in range(n_rows_each):
                    sums[4 * i + j] = start
            x_place, w_place, left = row, unit, n_in
            while left >= 4:  # four steps at a time, so that counting costs little
                add_step(sums, x, x_place, w, w_place)
                add_step(sums, x, x_place + stride, w, w_place + w_stride)
                add_step(sums, x, x_place + 2 * stride, w, w_place + 2 * w_stride)
                add_step(sums, x, x_place + 3 * stride, w, w_place + 3 * w_stride)
                x_place, w_place, left = x_place + 4 * stride, w_place + 4 * w_stride, left - 4
            while left > 0:
                add_step(sums, x, x_place, w, w_place)
                x_place, w_place, left = x_place + stride, w_place + w_stride, left - 1
            for j in range(4):
                for four in range(n_fours):
                    place = (unit + j) * stride + row + 4 * four
                    a, b, c, d = (
                        sums[16 * four + j],
                        sums[16 * four + 4 + j],
                        sums[16 * four + 8 + j],
                        sums[16 * four + 12 + j],
                    )
                    if scales:
                        s_0, s_1, s_2, s_3 = load4(z, place)
                        a, b, c, d = s_0 * a, s_1 * b, s_2 * c, s_3 * d
                    store4(z, place, a, b, c, d)

    @part
    def product(x, n_in, w, w_stride, n_units, bias, z, stride, n_rows, scales):
        """Z <- bias + W^T x, or, if it scales, z <- z * (W^T x).

        x : workspace from the inputs' first unit on.  w : (n_in, w_stride).  bias : (n_units,).
        z : workspace from the outputs' first unit on, with space for a multiple of four.
        """
        if n_units >= _FEW_UNITS:
            product_of_squares(x, n_in, w, w_stride, n_units, bias, z, stride, n_rows, scales)
            return
        n_padded = (n_units + 3) // 4 * 4  # whose weights are zeros
        item = cuda.threadIdx.x
        while item < n_padded * n_rows:
            unit, row = item // n_rows, item % n_rows
            total = x.dtype.type(0) if scales else bias[unit]
            x_place, w_place, left = row, unit, n_in
            while left > 0:
                total += load1(x, x_place) * load1(w, w_place)
                x_place, w_place, left = x_place + stride, w_place + w_stride, left - 1
            place = unit * stride + row
            z[place] = z[place] * total if scales else total
            item += cuda.blockDim.x

    return product


@part
def _add_rows(sums, x, x_place, d, d_places, start, stride):
    """Add four rows' part to the sums of inputs i and units j, which are at 4 i + j."""
    d_0 = load4(d, d_places[0] + start)
    d_1 = load4(d, d_places[1] + start)
    d_2 = load4(d, d_places[2] + start)
    d_3 = load4(d, d_places[3] + start)
    for i in range(4):
        a = load4(x, x_place + i * stride)
        for row in range(4):
            sums[4 * i] += a[row] * d_0[row]
            sums[4 * i + 1] += a[row] * d_1[row]
            sums[4 * i + 2] += a[row] * d_2[row]
            sums[4 * i + 3] += a[row] * d_3[row]


@part
def add_outer(x, n_in, d, n_out, stride, n_rows, gradient, gradient_stride, is_first):
    """Gradient <- x d^T, or, if it is not the first, gradient + x d^T, summed over rows.

    x, d : workspace from their first units on.  n_rows : a multiple of eight.
    gradient : (n_in, gradient_stride).
    """
    if n_out < _FEW_UNITS:
        item = cuda.threadIdx.x
        while item < n_in * n_out:
            k, j = item // n_out, item % n_out
            total = x.dtype.type(0)
            for row in range(0, n_rows, 4):
                x_0, x_1, x_2, x_3 = load4(x, k * stride + row)
                d_0, d_1, d_2, d_3 = load4(d, j * stride + row)
                total += x_0 * d_0 + x_1 * d_1 + x_2 * d_2 + x_3 * d_3
            place = k * gradient_stride + j
            gradient[place] = total if is_first else gradient[place] + total
            item += cuda.blockDim.x
        return
    sums = cuda.local.array(16, x.dtype)
    n_across = (n_out + 31) // 32
    n_items = (n_in + 15) // 16 * n_across * 32
    item = cuda.threadIdx.x
    while item < n_items:
        rest = item // 32
        unit_in = 4 * (rest // n_across * 4 + item % 32 // 8)
        unit_out = 4 * (rest % n_across * 8 + item % 8)
        item += cuda.blockDim.x
        if unit_in >= n_in or unit_out >= n_out:
            continue
        for i in range(16):
            sums[i] = 0
        x_place, row = unit_in * stride, 0
        # Four units are four strides apart from the next thread's, which are as good as two for the
        # banks. So every second thread begins with another of its units, and each load of a warp
        # finds all of the banks.
        turn = unit_out // 8 % 4
        u_0, u_1 = unit_out + turn, unit_out + (turn + 1) % 4
        u_2, u_3 = unit_out + (turn + 2) % 4, unit_out + (turn + 3) % 4
        places = (u_0 * stride, u_1 * stride, u_2 * stride, u_3 * stride)
        while row < n_rows:
            _add_rows(sums, x, x_place, d, places, row, stride)
            _add_rows(sums, x, x_place + 4, d, places, row + 4, stride)
            x_place, row = x_place + 8, row + 8
        for i in range(4):
            if unit_in + i < n_in:
                place = (unit_in + i) * gradient_stride
                a, b, c, e = sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]
                if not is_first:
                    a, b = load1(gradient, place + u_0) + a, load1(gradient, place + u_1) + b
                    c, e = load1(gradient, place + u_2) + c, load1(gradient, place + u_3) + e
                store1(gradient, place + u_0, a)
                store1(gradient, place + u_1, b)
                store1(gradient, place + u_2, c)
                store1(gradient, place + u_3, e)


@part
def add_row_sums(d, n_out, stride, n_rows, gradient, is_first):
    """Gradient <- the sums of d over rows, or gradient plus them.

    d : workspace from its first unit on.  gradient : (n_out,).
    """
    j = cuda.threadIdx.x
    while j < n_out:
        total = d.dtype.type(0)
        for row in range(0, n_rows, 4):
            d_0, d_1, d_2, d_3 = load4(d, j * stride + row)
            total += (d_0 + d_1) + (d_2 + d_3)
        gradient[j] = total if is_first else gradient[j] + total
        j += cuda.blockDim.x
