"""One layer, a block of rows at a time: the three matrix products of backpropagation.

All matrices are row-major. A layer with one output unit, which most regression networks have,
is a vector: its loops run along the fan-in, so that the inner loop is long there too.
"""

from fastbp.machine.jit import part

__all__ = ["add_gradient", "backward", "forward", "gather", "square_sum"]


@part
def gather(data, rows, x):
    """Copy rows of the inputs, dense or sparse, into a block.

    data : Data.  rows : (n,) row numbers.  x : (n, n_features), overwritten.
    """
    if data.row_starts.size == 0:
        for i in range(rows.size):
            row = rows[i]
            for k in range(x.shape[1]):
                x[i, k] = data.X[row, k]
    else:
        x[:, :] = 0
        for i in range(rows.size):
            row = rows[i]
            for place in range(data.row_starts[row], data.row_starts[row + 1]):
                x[i, data.columns[place]] += data.values[place]


@part
def forward(x, w, b, z):
    """Net inputs z = x W + b of a block of rows.

    x : (n, fan_in).  w : (fan_in, fan_out).  b : (fan_out,).  z : (n, fan_out), overwritten.
    """
    n, fan_in = x.shape
    fan_out = b.size
    if fan_out == 1:
        for i in range(n):
            total = b[0]
            for k in range(fan_in):
                total += x[i, k] * w[k, 0]
            z[i, 0] = total
        return
    for i in range(n):
        for j in range(fan_out):
            z[i, j] = b[j]
        for k in range(fan_in):
            x_ik = x[i, k]
            for j in range(fan_out):
                z[i, j] += x_ik * w[k, j]


@part
def backward(delta, w, delta_below):
    """Send the error signals through the weights: delta_below = (delta W^T) * slope_below.

    delta : (n, fan_out).  w : (fan_in, fan_out).
    delta_below : (n, fan_in), holds the slopes f'(z) of the layer below and is multiplied.
    """
    n, fan_out = delta.shape
    fan_in = w.shape[0]
    if fan_out == 1:
        for i in range(n):
            delta_i = delta[i, 0]
            for k in range(fan_in):
                delta_below[i, k] *= delta_i * w[k, 0]
        return
    for i in range(n):
        for k in range(fan_in):
            total = delta[i, 0] * w[k, 0]
            for j in range(1, fan_out):
                total += delta[i, j] * w[k, j]
            delta_below[i, k] *= total


@part
def add_gradient(x, delta, w_gradient, b_gradient):
    """Add a block's gradient: x^T delta to the weights', the sum of delta to the biases'.

    x : (n, fan_in).  delta : (n, fan_out).
    w_gradient : (fan_in, fan_out).  b_gradient : (fan_out,).  Both are added to.
    """
    n, fan_in = x.shape
    fan_out = delta.shape[1]
    for i in range(n):
        for j in range(fan_out):
            b_gradient[j] += delta[i, j]
    if fan_out == 1:
        for i in range(n):
            delta_i = delta[i, 0]
            for k in range(fan_in):
                w_gradient[k, 0] += x[i, k] * delta_i
        return
    for k in range(fan_in):
        for i in range(n):
            x_ik = x[i, k]
            for j in range(fan_out):
                w_gradient[k, j] += x_ik * delta[i, j]


@part
def square_sum(w):
    """Sum of squares of a vector, what weight decay penalises: |W|^2."""
    total = w.dtype.type(0)
    for i in range(w.size):
        total += w[i] * w[i]
    return float(total)
