"""Activations and losses over a block of numbers, chosen once for the whole block.

The registries hold plain functions, which here meet whole vectors. Each becomes a loop over a
block, and the loops become one function that compares the code once and runs the right one
(``machine/switch.py``). So the choice costs one comparison a layer and block, never one a number,
and all activations are one compile for each dtype.
"""

from fastbp.machine import elementary_cpu  # noqa: F401 - gives elementary functions compiled bodies
from fastbp.machine.jit import part, routine
from fastbp.machine.simd import lanes, load, splat, store, sum_lanes
from fastbp.machine.switch import switch
from fastbp.model.activations import ACTIVATIONS
from fastbp.model.losses import LOSSES

__all__ = ["activate", "activate_with_slope", "output_error"]


def _activation_loops(value, slope):
    value, slope = part(value), part(slope)

    @routine
    def values(z, s):
        for i in range(0, z.size, lanes(z)):
            store(z, i, value(load(z, i)))

    @routine
    def values_and_slopes(z, s):
        for i in range(0, z.size, lanes(z)):
            net = load(z, i)
            a = value(net)
            store(z, i, a)
            store(s, i, slope(net, a))

    return values, values_and_slopes


def _loss_loop(value, gradient):
    value, gradient = part(value), part(gradient)

    @routine
    def error(canonical, parameters, prediction, y, weights, delta):
        total = splat(y, 0.0)
        for i in range(0, y.size, lanes(y)):
            p, target, weight = load(prediction, i), load(y, i), load(weights, i)
            parameter = load(parameters, i)
            total = total + weight * value(p, target, parameter)
            if canonical:
                store(delta, i, weight * (p - target))
            else:
                store(delta, i, load(delta, i) * (weight * gradient(p, target, parameter)))
        return float(sum_lanes(total))

    return error


def _choose_activation(loops):
    loop_of_code = switch(loops)

    @routine
    def choose(code, z, s):
        loop_of_code(code, (z, s))

    return choose


def _choose_loss(loops):
    loop_of_code = switch(loops)

    @routine
    def choose(code, canonical, parameters, prediction, y, weights, delta):
        return loop_of_code(code, (canonical, parameters, prediction, y, weights, delta))

    return choose


_LOOPS = [_activation_loops(record.value, record.slope) for record in ACTIVATIONS.values()]

#: ``activate(code, z, s)``: z <- f(z), for a vector z of whole vectors; s is not looked at.
activate = _choose_activation([values for values, _ in _LOOPS])

#: ``activate_with_slope(code, z, s)``: z <- f(z) and s <- f'(z), for vectors of one length.
activate_with_slope = _choose_activation([both for _, both in _LOOPS])

#: ``output_error(code, canonical, parameters, prediction, y, weights, delta) -> float``: for
#: vectors of one length, return the sum of weights * loss and leave weights * d loss / d z in
#: ``delta``, which held the slopes of the output activation. Weights of 0 make padding count for
#: nothing.
output_error = _choose_loss(
    [_loss_loop(record.value, record.gradient) for record in LOSSES.values()]
)
