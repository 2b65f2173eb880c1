"""Rows of data, and the small things that are done to a block of one layer's numbers."""

from fastbp.machine.jit import part
from fastbp.machine.simd import lanes, load, load_first, splat, store, sum_lanes
from fastbp.machine.views import row

__all__ = ["clear_padding", "gather", "gather_targets", "n_vectors", "square_sum", "vector_sum"]


@part
def n_vectors(n, array):
    """How many vectors it takes to hold n of an array's numbers."""
    return (n + lanes(array) - 1) // lanes(array)


@part
def gather(data, rows, x):
    """Copy rows of the inputs, dense or sparse, into a block.

    data : Data.  rows : (n,) row numbers.  x : (n, padded n_features), overwritten.
    """
    n_features = data.X.shape[1]
    for i in range(rows.size):
        target = row(x, i)
        if data.row_starts.size == 0:
            source = row(data.X, rows[i])
            whole = n_features // lanes(x) * lanes(x)
            for k in range(0, whole, lanes(x)):
                store(target, k, load(source, k))
            if whole < n_features:
                store(target, whole, load_first(source, whole, n_features - whole))
        else:
            for k in range(0, target.size, lanes(x)):
                store(target, k, splat(x, 0.0))
            for place in range(data.row_starts[rows[i]], data.row_starts[rows[i] + 1]):
                target[data.columns[place]] += data.values[place]


@part
def gather_targets(data, rows, workspace):
    """Copy targets and sample weights of some rows into the workspace, output by output."""
    n, n_block = rows.size, workspace.block_rows
    for j in range(data.y.shape[1]):
        for i in range(n):
            workspace.targets[j * n_block + i] = data.y[rows[i], j]
    if data.weights.size > 0:
        for i in range(n):
            workspace.row_weights[i] = data.weights[rows[i]]
    else:
        for i in range(n):
            workspace.row_weights[i] = 1
    end = n_vectors(n, data.y) * lanes(data.y)
    for i in range(n, end):
        workspace.row_weights[i] = 0
        for j in range(data.y.shape[1]):  # the last row's, as predictions are: of a finite loss
            workspace.targets[j * n_block + i] = data.y[rows[n - 1], j]


@part
def clear_padding(x, n):
    """Set the padding of a block to 0: all but the first n numbers of each row.

    An activation has made f(0) of it in every row, which is 0 for most but not for the logistic
    function and others; NaN is not 0 either.
    """
    start = n // lanes(x) * lanes(x)
    if n == x.shape[1] or x[0, n] == 0:
        return
    for i in range(x.shape[0]):
        target = row(x, i)
        store(target, start, load_first(target, start, n - start))
        for k in range(start + lanes(x), x.shape[1], lanes(x)):
            store(target, k, splat(x, 0.0))


@part
def square_sum(w):
    """Sum of squares of whole vectors, what weight decay penalises: |W|^2."""
    total = splat(w, 0.0)
    for i in range(0, w.size, lanes(w)):
        v = load(w, i)
        total = total + v * v
    return float(sum_lanes(total))


@part
def vector_sum(v):
    """Sum of whole vectors."""
    total = splat(v, 0.0)
    for i in range(0, v.size, lanes(v)):
        total = total + load(v, i)
    return sum_lanes(total)
