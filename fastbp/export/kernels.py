"""A network's forward pass of one sample, with its weights in the code, for other compiled code.

Each layer becomes a function of its own of one piece of memory, in which the numbers of all layers
stand side by side, filled up to whole vectors with zeros. A layer of many units adds up its weights
input by input, the units in the lanes; one of fewer units than a vector has lanes takes a dot
product for each.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from numba import from_dtype, types
from numba.core import cgutils, config
from numba.extending import intrinsic
from numpy.typing import NDArray

from fastbp.export.fitted import FittedNetwork, Layer
from fastbp.machine import (  # noqa: F401 - they give elementary functions compiled bodies
    elementary_cpu,
    normal_cpu,
)
from fastbp.machine.chip import VECTOR_BYTES
from fastbp.machine.elementary import exp
from fastbp.machine.jit import for_users, part
from fastbp.machine.simd import lanes, load, splat, store, sum_lanes
from fastbp.machine.views import View, borrow, new_view, stretch

__all__ = ["compiled_predict"]

_STACK_BYTES = 2**16
_PANEL = 4  # vectors whose sums wait for each other as little as registers allow


def compiled_predict(network: FittedNetwork) -> Any:
    """Make ``predict(x)``, compiled at its first call, for Python and for compiled code."""
    n_lanes = VECTOR_BYTES // network.dtype.itemsize
    padded = [-(-size // n_lanes) * n_lanes for size in network.layer_sizes]
    starts = np.cumsum([0, *padded]).tolist()
    steps = [
        _layer(layer, starts[i], starts[i + 1], padded[i + 1], n_lanes)
        for i, layer in enumerate(network.layers)
    ]
    if network.scale is not None and network.mean is not None:
        steps.append(_scaled(starts[-2], network.scale, network.mean))
    forward: Callable = reduce(_one_after_the_other, steps)
    n_features, n_outputs = network.n_features, network.n_outputs
    n_inputs, outputs, dtype = padded[0], starts[-2], network.dtype.type
    has_one_output = n_outputs == 1
    message = f"x has another length than the {n_features} features of the network."

    make = _memory(starts[-1], network.dtype)

    @part
    def door(numbers):
        forward(borrow(numbers))

    @for_users
    def predict(x):
        if len(x) != n_features:
            raise ValueError(message)
        numbers = make()
        for i in range(n_features):
            numbers[i] = x[i]
        for i in range(n_features, n_inputs):
            numbers[i] = 0
        door(numbers)
        if has_one_output:
            return numbers[outputs]
        result = np.empty(n_outputs, dtype)
        for j in range(n_outputs):
            result[j] = numbers[outputs + j]
        return result

    return predict


def _memory(n_numbers: int, dtype: np.dtype) -> Callable:
    """Make a function that gives memory for some numbers: on the stack, where that is not much.

    To ask for it elsewhere takes as long as a small network.
    """
    number_type = dtype.type
    if config.DISABLE_JIT or n_numbers * dtype.itemsize > _STACK_BYTES:
        return for_users(lambda: np.empty(n_numbers, number_type))
    number = from_dtype(dtype)
    view = View(number, 1)

    @intrinsic
    def on_the_stack(typing_context):
        def generate(context, builder, signature, arguments):
            kind = context.get_value_type(number)
            data = cgutils.alloca_once(builder, kind, size=n_numbers)
            data.align = VECTOR_BYTES
            length = context.get_constant(types.intp, n_numbers)
            return new_view(context, builder, view, data, length)

        return view(), generate

    return on_the_stack


def _one_after_the_other(first: Callable, second: Callable) -> Callable:
    @part
    def both(numbers):
        first(numbers)
        second(numbers)

    return both


def _padded(array: NDArray[np.floating], n_lanes: int) -> NDArray[np.floating]:
    """Fill rows up to whole vectors, and make one row of them."""
    beyond = -array.shape[-1] % n_lanes
    return np.pad(np.atleast_2d(array), ((0, 0), (0, beyond))).ravel()


def _layer(layer: Layer, x_start: int, z_start: int, n_padded: int, n_lanes: int) -> Callable:
    """Make the function of one layer: from its inputs to its outputs."""
    n_in, n_out = layer.weights.shape
    biases = _padded(layer.biases, n_lanes)
    if n_out < n_lanes:
        products = _by_unit(_padded(layer.weights.T, n_lanes), biases, n_out)
    else:
        products = _by_input(_padded(layer.weights, n_lanes), biases, n_in, n_padded)
    activate = _softmax(n_out) if layer.is_softmax else _elementwise(layer.activation.value)
    x_length = -(-n_in // n_lanes) * n_lanes

    @part
    def run(numbers):
        z = stretch(numbers, z_start, n_padded)
        products(stretch(numbers, x_start, x_length), z)
        activate(z)
        for j in range(n_out, n_padded):
            z[j] = 0

    return run


def _by_unit(weights: NDArray, biases: NDArray, n_out: int) -> Callable:
    @part
    def products(x, z):
        w = borrow(weights)
        store(z, 0, load(borrow(biases), 0))
        for j in range(n_out):
            total = splat(z, 0.0)
            for i in range(0, x.size, lanes(x)):
                total = total + load(x, i) * load(w, j * x.size + i)
            z[j] += sum_lanes(total)

    return products


def _by_input(weights: NDArray, biases: NDArray, n_in: int, n_padded: int) -> Callable:
    def panel_of(n):
        @part
        def panel(x, z, column):
            w, total = borrow(weights), load(borrow(biases), column, n)
            for i in range(n_in):
                total = total + x[i] * load(w, i * n_padded + column, n)
            store(z, column, total)

        return panel

    wide, narrow = panel_of(_PANEL), panel_of(1)

    @part
    def products(x, z):
        whole = z.size // (_PANEL * lanes(z)) * (_PANEL * lanes(z))
        for column in range(0, whole, _PANEL * lanes(z)):
            wide(x, z, column)
        for column in range(whole, z.size, lanes(z)):
            narrow(x, z, column)

    return products


def _elementwise(value: Callable) -> Callable:
    compiled = part(value)

    @part
    def activate(z):
        for i in range(0, z.size, lanes(z)):
            store(z, i, compiled(load(z, i)))

    return activate


def _softmax(n_out: int) -> Callable:
    @part
    def activate(z):
        top = z[0]
        for j in range(1, n_out):
            top = max(top, z[j])
        for i in range(0, z.size, lanes(z)):
            store(z, i, exp(load(z, i) - top))
        total = z[0]
        for j in range(1, n_out):
            total += z[j]
        for i in range(0, z.size, lanes(z)):
            store(z, i, load(z, i) / total)

    return activate


def _scaled(start: int, scale: NDArray, mean: NDArray) -> Callable:
    n_outputs = len(mean)

    @part
    def undo(numbers):
        factors, shifts = borrow(scale), borrow(mean)
        for j in range(n_outputs):
            numbers[start + j] = numbers[start + j] * factors[j] + shifts[j]

    return undo
