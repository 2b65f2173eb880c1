"""Backpropagation of one sample by one block, with the update: forward, error, backward.

    first hidden layer   thread j has column j:   w <- move(x_last[k] delta_j);  z_j += x[k] w
    other layers         thread j sums z_j; where a layer has few units, several threads share it
    softmax              thread 0 has all outputs, if there is one
    error                thread j has output j
    backward, update     thread k has row k:      below_k += w delta_j;  w <- move(x_k delta_j)

As on the CPU (``cpu/kernels/online.py``) the first hidden layer's update waits for the next
sample's forward pass, so every weight is loaded and stored once a sample, and no thread needs
another one's weights. Rows of weights are an odd number of numbers long, so reading a column down
is as good as reading a row along.
"""

from typing import Any, NamedTuple

from fastbp.backends.gpu.kernels.elementwise import elementwise
from fastbp.backends.gpu.kernels.placement import (
    ACTIVATION,
    BIASES,
    CANONICAL,
    DELTAS,
    INPUTS,
    LOSS,
    N_IN,
    N_LAYERS,
    N_OUT,
    N_SHARERS,
    OUTPUTS,
    SOFTMAX_CODE,
    STRIDE,
    WEIGHTS,
)
from fastbp.backends.gpu.kernels.softmax import softmax
from fastbp.backends.gpu.kernels.update_rules import mover
from fastbp.machine.gpu_kernels import cuda, load1, part, store1, tail

__all__ = ["BlockNetwork", "Pending", "SamplePasses", "Step", "sample_passes"]


class BlockNetwork(NamedTuple):
    """A network as its block trains it.

    Attributes
    ----------
    layout : (n_layers + 1, N_FIELDS)
        Its layout (``placement.py``).
    loss_parameters : (n_outputs,)
        The loss's own number for each output.
    vectors : parameters, first and second moments, each (n,)
        What training changes; moments that the rule has not are not touched.
    """

    layout: Any
    loss_parameters: Any
    vectors: Any


class Step(NamedTuple):
    """How the next update is made: the rule, the step size, and alpha over the mean weight."""

    rule: Any
    rate: float
    decay: float


class Pending(NamedTuple):
    """The first hidden layer's update that waits, if there is one, and its sample's inputs."""

    is_there: bool
    x: Any


class SamplePasses(NamedTuple):
    """The passes of one sample, for one update rule."""

    forward: Any
    errors: Any
    backward: Any
    flush: Any


def sample_passes(record, own):
    """Make the passes for an update rule, of which a block makes one after another.

    own : OwnRecords, a user's own activations and losses.
    """
    move = mover(record)
    activate_with_slope, loss_and_error = elementwise(own)
    has_first, has_second = record.n_moments > 0, record.n_moments > 1

    @part
    def move_one(step, decay, product, vectors, place):
        """Move a parameter against its gradient; returns what it was and what it is."""
        parameters, first, second = vectors
        w = load1(parameters, place)
        zero = parameters.dtype.type(0)
        u = load1(first, place) if has_first else zero
        v = load1(second, place) if has_second else zero
        new_w, new_u, new_v = move(step.rule, step.rate, product + decay * w, w, u, v)
        store1(parameters, place, new_w)
        if has_first:
            store1(first, place, new_u)
        if has_second:
            store1(second, place, new_v)
        return w, new_w

    @part
    def net_inputs(network, layer, x, z, sums, is_pending, x_last, deltas, step):
        """Net inputs of a layer; the first hidden layer's pending update is made on the way.

        Returns a thread's share of the sum of squares of the weights that it moved.
        """
        layout, vectors = network.layout, network.vectors
        n_in, n_out, stride = layout[layer, N_IN], layout[layer, N_OUT], layout[layer, STRIDE]
        start, biases = layout[layer, WEIGHTS], layout[layer, BIASES]
        n_sharers = layout[layer, N_SHARERS]
        step_down = n_sharers * stride
        parameters, zero = vectors[0], vectors[0].dtype.type(0)
        squares = zero
        item = cuda.threadIdx.x
        while item < n_out * n_sharers:
            unit, sharer = item, 0
            while unit >= n_out:
                unit, sharer = unit - n_out, sharer + 1
            k, place, total = sharer, start + sharer * stride + unit, zero
            if is_pending:
                delta = load1(deltas, unit)
                while k < n_in:
                    old, w = move_one(step, step.decay, load1(x_last, k) * delta, vectors, place)
                    squares += old * old
                    total += load1(x, k) * w
                    k, place = k + n_sharers, place + step_down
            else:
                while k < n_in:
                    total += load1(x, k) * load1(parameters, place)
                    k, place = k + n_sharers, place + step_down
            store1(sums, item, total)
            item += cuda.blockDim.x
        if n_sharers > 1:
            cuda.syncthreads()
        j = cuda.threadIdx.x
        while j < n_out:
            total = load1(parameters, biases + j)
            place, sharer = j, 0
            while sharer < n_sharers:
                total += load1(sums, place)
                place, sharer = place + n_out, sharer + 1
            store1(z, j, total)
            j += cuda.blockDim.x
        return squares

    @part
    def forward(network, x, workspace, sums, pending, step):
        """Compute outputs and slopes of all layers for one sample; returns as `net_inputs`."""
        layout, squares = network.layout, network.vectors[0].dtype.type(0)
        for layer in range(1, layout[0, N_LAYERS] + 1):
            z = tail(workspace, layout[layer, OUTPUTS])
            slopes = tail(workspace, layout[layer, DELTAS])
            below = x if layer == 1 else tail(workspace, layout[layer, INPUTS])
            is_pending = pending.is_there and layer == 1
            squares += net_inputs(
                network, layer, below, z, sums, is_pending, pending.x, slopes, step
            )
            if layout[layer, ACTIVATION] == SOFTMAX_CODE:
                cuda.syncthreads()
                softmax(z, slopes, layout[layer, N_OUT], 1)
            else:
                activate_with_slope(layout[layer, ACTIVATION], z, slopes, layout[layer, N_OUT])
            cuda.syncthreads()
        return squares

    @part
    def errors(network, y, weight, workspace):
        """Error signals of the output layer; returns a thread's share of the loss."""
        layout = network.layout
        last = layout[0, N_LAYERS]
        outputs = tail(workspace, layout[last, OUTPUTS])
        deltas = tail(workspace, layout[last, DELTAS])
        total = 0.0
        j = cuda.threadIdx.x
        while j < layout[last, N_OUT]:
            loss, error = loss_and_error(
                layout[0, LOSS], layout[0, CANONICAL] != 0, network.loss_parameters[j],
                outputs[j], y[j], deltas[j],
            )  # fmt: skip
            total += weight * loss
            deltas[j] = weight * error
            j += cuda.blockDim.x
        return total

    @part
    def backward(network, x, workspace, step):
        """Error signals of all layers, and the update of all but the first hidden layer's weights.

        Returns a thread's share of the sum of squares of the weights that it moved.
        """
        layout, vectors = network.layout, network.vectors
        zero = vectors[0].dtype.type(0)
        squares = zero
        for layer in range(layout[0, N_LAYERS], 0, -1):
            deltas = tail(workspace, layout[layer, DELTAS])
            n_in, n_out, stride = layout[layer, N_IN], layout[layer, N_OUT], layout[layer, STRIDE]
            j = cuda.threadIdx.x
            while j < n_out:
                move_one(step, zero, load1(deltas, j), vectors, layout[layer, BIASES] + j)
                j += cuda.blockDim.x
            if layer == 1 and layout[0, N_LAYERS] > 1:
                break
            below = x if layer == 1 else tail(workspace, layout[layer, INPUTS])
            k = cuda.threadIdx.x
            while k < n_in:
                a, total = load1(below, k), zero
                start = layout[layer, WEIGHTS] + k * stride
                j = 0
                while j < n_out:
                    delta = load1(deltas, j)
                    old, _ = move_one(step, step.decay, a * delta, vectors, start + j)
                    squares += old * old
                    total += old * delta
                    j += 1
                if layer > 1:
                    place = layout[layer - 1, DELTAS] + k
                    store1(workspace, place, load1(workspace, place) * total)
                k += cuda.blockDim.x
            cuda.syncthreads()
        return squares

    @part
    def flush(network, x_last, workspace, step):
        """Make the first hidden layer's pending update; returns a thread's share of squares."""
        layout, vectors = network.layout, network.vectors
        squares, stride = vectors[0].dtype.type(0), layout[1, STRIDE]
        j = cuda.threadIdx.x
        while j < layout[1, N_OUT]:
            delta = workspace[layout[1, DELTAS] + j]
            for k in range(layout[1, N_IN]):
                place = layout[1, WEIGHTS] + k * stride + j
                old, _ = move_one(step, step.decay, load1(x_last, k) * delta, vectors, place)
                squares += old * old
            j += cuda.blockDim.x
        cuda.syncthreads()
        return squares

    return SamplePasses(forward, errors, backward, flush)
