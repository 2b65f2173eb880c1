"""Activations and losses on the GPU: the registries' records, chosen once a layer.

Each record becomes a loop over a layer's numbers, which a block's threads share, and the loops
become one function that compares the code once and runs the right one.
"""

from fastbp.machine.choice import choose_by_code
from fastbp.machine.elementary_gpu import lane, number
from fastbp.machine.gpu_kernels import cuda, load1, part, store1
from fastbp.model.activations import ACTIVATIONS
from fastbp.model.losses import LOSSES

__all__ = ["activate_with_slope", "loss_and_gradient"]


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


def _loss_link(wanted, record, others):
    value, gradient = part(record.value), part(record.gradient)

    @part
    def choose(code, parameter, prediction, y):
        if code == wanted:
            p, target, own = lane(prediction), lane(y), lane(parameter)
            return number(value(p, target, own)), number(gradient(p, target, own))
        return others(code, parameter, prediction, y)

    return choose


@part
def _no_loss(code, parameter, prediction, y):
    return prediction, prediction


#: ``activate_with_slope(code, z, s, n)``: z <- f(z) and s <- f'(z) for n numbers. A thread touches
#: every blockDim-th, so that it needs no barrier after having written them itself.
activate_with_slope = choose_by_code(
    _activation_link, map(_activation_loop, ACTIVATIONS.values()), _no_activation
)

#: ``loss_and_gradient(code, parameter, prediction, y) -> (loss, d loss / d prediction)`` of one
#: output of one row.
loss_and_gradient = choose_by_code(_loss_link, LOSSES.values(), _no_loss)
