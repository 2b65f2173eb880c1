"""Activations and losses over a block of numbers, chosen once for the whole block.

The registries hold plain scalar functions. Each becomes a loop over a block, and the loops become
one function that compares the code once and runs the right one: ``activate`` is, unfolded,

    if code == 0: loop over identity
    elif code == 1: loop over logistic
    ...

So the choice costs one comparison a layer and block, never one a number, and all activations are
one compile for each dtype.
"""

from fastbp.activations import ACTIVATIONS
from fastbp.losses import LOSSES
from fastbp.machine import vectorised  # noqa: F401 - gives exp and tanh their compiled bodies
from fastbp.machine.jit import exact, part

__all__ = ["activate", "activate_with_slope", "output_error"]


def _activation_loops(value, slope):
    value, slope = exact(value), exact(slope)

    @part
    def values(z):
        for i in range(z.size):
            z[i] = value(z[i])

    @part
    def values_and_slopes(z, s):
        for i in range(z.size):
            a = value(z[i])
            s[i] = slope(z[i], a)
            z[i] = a

    return values, values_and_slopes


def _loss_loop(value, slope):
    value, slope = exact(value), exact(slope)

    @part
    def error(canonical, prediction, y, weight, delta):
        total = 0.0
        for j in range(y.size):
            total += value(prediction[j], y[j])
            if canonical:
                delta[j] = weight * (prediction[j] - y[j])
            else:
                delta[j] *= weight * slope(prediction[j], y[j])
        return weight * total

    return error


def _choose(loops, arity):
    """Fold a list of loops into one function of (code, *arguments)."""
    chosen = _ENDS[arity]
    for code, loop in reversed(list(enumerate(loops))):
        chosen = _LINKS[arity](code, loop, chosen)
    return chosen


def _link_1(mine, loop, others):
    @part
    def choose(code, z):
        if code == mine:
            loop(z)
        else:
            others(code, z)

    return choose


def _link_2(mine, loop, others):
    @part
    def choose(code, z, s):
        if code == mine:
            loop(z, s)
        else:
            others(code, z, s)

    return choose


def _link_5(mine, loop, others):
    @part
    def choose(code, canonical, prediction, y, weight, delta):
        if code == mine:
            return loop(canonical, prediction, y, weight, delta)
        return others(code, canonical, prediction, y, weight, delta)

    return choose


@part
def _end_1(code, z):
    pass


@part
def _end_2(code, z, s):
    pass


@part
def _end_5(code, canonical, prediction, y, weight, delta):
    return 0.0


_LINKS = {1: _link_1, 2: _link_2, 5: _link_5}
_ENDS = {1: _end_1, 2: _end_2, 5: _end_5}

_ACTIVATION_LOOPS = [
    _activation_loops(record.value, record.slope) for record in ACTIVATIONS.values()
]

#: ``activate(code, z)``: z <- f(z), for a vector z.
activate = _choose([values for values, _ in _ACTIVATION_LOOPS], arity=1)

#: ``activate_with_slope(code, z, s)``: z <- f(z) and s <- f'(z), for vectors of one length.
activate_with_slope = _choose([both for _, both in _ACTIVATION_LOOPS], arity=2)

#: ``output_error(code, canonical, prediction, y, weight, delta) -> float``: for one row's vectors
#: of length n_outputs, return weight * loss and leave weight * d loss / d z in ``delta``, which
#: held the slopes of the output activation.
output_error = _choose(
    [_loss_loop(record.value, record.slope) for record in LOSSES.values()], arity=5
)
