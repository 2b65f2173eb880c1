"""Networks in lanes: their samples, and what comes of the output layer's net inputs."""

import numpy as np

from fastbp.machine.by_address import call
from fastbp.machine.jit import part
from fastbp.machine.simd import lanes, load, splat
from fastbp.machine.views import stretch

__all__ = ["errors", "inputs_of", "put_row", "sample_of", "square_sum"]


@part
def sample_of(network, workspace, i):
    """View the sample at place i: inputs, targets, and the sample weight for each target."""
    last = network.activations.size
    n = (network.sizes[0] + 2 * network.sizes[last]) * lanes(workspace.samples)
    return stretch(workspace.samples, i * n, n)


@part
def inputs_of(network, workspace, i):
    """View the inputs of the sample at place i."""
    sample = sample_of(network, workspace, i)
    return stretch(sample, 0, network.sizes[0] * lanes(sample))


@part
def put_row(members, place, sample, lane):
    """Copy a row, by its place in the orders of rows, to a lane's sample; returns its weight."""
    v, length = lanes(sample), members.length
    row = stretch(members.table, np.int64(members.rows[place]) * length, length)
    for k in range(length):
        sample[k * v + lane] = row[k]
    return float(row[length - 1])


@part
def errors(network, workspace, i):
    """From the output layer's net inputs of sample i to its error signals and losses."""
    v, last = lanes(workspace.outputs), network.activations.size
    n, start = network.sizes[last] * v, network.starts[last] * v
    z, delta = stretch(workspace.outputs, start, n), stretch(workspace.deltas, start, n)
    if network.softmax != 0:
        call(network.softmax, (z, delta), (v, v))
    sample, first = sample_of(network, workspace, i), network.sizes[0] * v
    arrays = (
        workspace.loss_parameters,
        z,
        stretch(sample, first, n),
        stretch(sample, first + n, n),
        delta,
        workspace.losses,
    )
    call(network.loss, arrays)
    total = load(workspace.losses, 0)
    for j in range(v, n, v):
        total = total + load(workspace.losses, j)
    return total


@part
def square_sum(vector, n):
    """Sum of the squares of n vectors, lane by lane."""
    v = lanes(vector)
    even, odd = splat(vector, 0.0), splat(vector, 0.0)
    for i in range(0, n // 2 * 2 * v, 2 * v):
        even = even + load(vector, i) * load(vector, i)
        odd = odd + load(vector, i + v) * load(vector, i + v)
    if n % 2 == 1:
        last = load(vector, (n - 1) * v)
        even = even + last * last
    return even + odd
