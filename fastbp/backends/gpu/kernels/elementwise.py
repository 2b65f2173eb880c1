"""Activations and losses on the GPU: the registries' records, chosen once a layer.

Each record becomes a loop over a layer's numbers, which a block's threads share, and the loops
become one function that compares the code once and runs the right one. ``softmax.py`` has the one
activation that looks at all units of its layer.
"""

from functools import cache

from fastbp.backends.gpu.kernels.placement import RAW_OUTPUTS, OwnRecords
from fastbp.machine.choice import choose_by_code
from fastbp.machine.elementary_gpu import lane, number
from fastbp.machine.gpu_kernels import cuda, load1, part, store1
from fastbp.model.activations import ACTIVATIONS
from fastbp.model.losses import LOSSES

__all__ = ["elementwise"]


def _activation_loop(record):
    value, slope = part(record.value), part(record.slope)

    @part
    def loop(z, s, n):
        i = cuda.threadIdx.x
        while i < n:
            net = lane(load1(z, i))
            a = value(net)
            store1(z, i, number(a))
            store1(s, i, number(slope(net, a)))
            i += cuda.blockDim.x

    return loop


def _raw_output_loop(record):
    value = part(record.value)

    @part
    def loop(z, s, n):
        i = cuda.threadIdx.x
        while i < n:
            raw = load1(z, i)
            store1(s, i, raw)
            store1(z, i, number(value(lane(raw))))
            i += cuda.blockDim.x

    return loop


def _activation_link(wanted, loop, others):
    @part
    def choose(code, z, s, n):
        if code == wanted:
            loop(z, s, n)
        else:
            others(code, z, s, n)

    return choose


@part
def _no_activation(code, z, s, n):
    pass


@part
def _no_loop(z, s, n):
    pass


def _loss_link(wanted, record, others):
    value, gradient = part(record.value), part(record.gradient)
    has_raw_value = record.raw_value is not None
    raw_value = part(record.raw_value) if has_raw_value else value

    @part
    def choose(code, is_canonical, parameter, prediction, y, kept):
        if code == wanted:
            p, target, own, of_z = lane(prediction), lane(y), lane(parameter), lane(kept)
            if has_raw_value and is_canonical:
                loss = raw_value(of_z, target, own)
            else:
                loss = value(p, target, own)
            if is_canonical:
                error = p - target
            else:
                error = of_z * gradient(p, target, own)
            return number(loss), number(error)
        return others(code, is_canonical, parameter, prediction, y, kept)

    return choose


@part
def _no_loss(code, is_canonical, parameter, prediction, y, kept):
    return prediction, prediction


@cache
def elementwise(own: OwnRecords):
    """Make the functions of all activations and losses, a user's own included.

    ``activate_with_slope(code, z, s, n)``: z <- f(z) and s <- f'(z) for n numbers, or s <- z where
    the loss needs that. A thread touches every blockDim-th, so that it needs no barrier after
    having written them itself.

    ``loss_and_error(code, is_canonical, parameter, prediction, y, kept) -> (loss, d loss / d z)``
    of one output of one row; ``kept`` is what the output layer left in s: its slope, or what the
    loss's raw value is worked out from.
    """
    loops = [
        *map(_activation_loop, ACTIVATIONS.values()),
        *map(_raw_output_loop, RAW_OUTPUTS.values()),
        _no_loop,  # the softmax's code
        *map(_activation_loop, own.activations),
    ]
    losses = [*LOSSES.values(), *own.losses]
    return (
        choose_by_code(_activation_link, loops, _no_activation),
        choose_by_code(_loss_link, losses, _no_loss),
    )
