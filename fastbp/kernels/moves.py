"""How a gradient moves the parameters: the arithmetic of ``update_rules``, over whole vectors."""

import math

from fastbp.machine.elementary import one, tiny, where
from fastbp.machine.jit import part
from fastbp.machine.simd import lanes, load, store
from fastbp.machine.vectorised import reciprocal, reciprocal_sqrt
from fastbp.update_rules import ADAM, MOMENTUM, NESTEROV, PLAIN

__all__ = ["MOVES", "move_all", "step_size"]


@part
def step_size(rule, n_steps):
    """Learning rate of step number n_steps = 1, 2, ...: Adam's starts are corrected for bias."""
    if rule.kind == ADAM:
        correction_2 = math.sqrt(1.0 - rule.beta_2 ** float(n_steps))
        return rule.learning_rate * correction_2 / (1.0 - rule.beta_1 ** float(n_steps))
    return rule.learning_rate


# Each move takes a vector of gradients g, of parameters w and of moments u and v, and gives the new
# (w, u, v). Nothing may be reordered: w - rate * (g + decay * w) with the decay drawn out would be
# (1 - rate * decay) * w, which in float32 is w.


@part
def _plain(rule, rate, g, w, u, v):
    return w - rate * g, u, v


@part
def _momentum(rule, rate, g, w, u, v):
    u = rule.beta_1 * u - rate * g
    return w + u, u, v


@part
def _nesterov(rule, rate, g, w, u, v):
    u = rule.beta_1 * u - rate * g
    return w + (rule.beta_1 * u - rate * g), u, v


@part
def _adam(rule, rate, g, w, u, v):
    u = rule.beta_1 * u + (1.0 - rule.beta_1) * g
    v = rule.beta_2 * v + (1.0 - rule.beta_2) * (g * g)
    # The moments of a weight whose gradient stays 0 fade until they are denormal numbers, which
    # take a chip a hundred times as long: such are 0.
    least = tiny(v)
    u = where(abs(u) < least, 0, u)
    is_zero = v < least
    v = where(is_zero, 0, v)
    root = v * reciprocal_sqrt(where(is_zero, one(v), v))
    divisor = root + rule.epsilon
    divisor = where(divisor < least, least, divisor)
    return w - rate * u * reciprocal(divisor), u, v


MOVES = {PLAIN: _plain, MOMENTUM: _momentum, NESTEROV: _nesterov, ADAM: _adam}


def _loop(move, n_moments):
    """Make a loop of one rule over a stretch of parameters; moments it has not are not touched."""
    has_first, has_second = n_moments > 0, n_moments > 1

    @part
    def run(rule, rate, scale, decay, gradient, w, u, v, start, end):
        for i in range(start, end, lanes(w)):
            old = load(w, i)
            g = scale * load(gradient, i) + decay * old
            new_w, new_u, new_v = move(rule, rate, g, old, load(u, i), load(v, i))
            store(w, i, new_w)
            if has_first:
                store(u, i, new_u)
            if has_second:
                store(v, i, new_v)

    return run


_move_plain = _loop(_plain, 0)
_move_momentum = _loop(_momentum, 1)
_move_nesterov = _loop(_nesterov, 1)
_move_adam = _loop(_adam, 2)


@part
def move_all(rule, rate, scale, decay, gradient, w, u, v, start, end):
    """Move a stretch of parameters by one step along scale * gradient + decay * w.

    gradient, w, u, v : (n,), the last three changed in place.  start, end : whole vectors.
    """
    if rule.kind == PLAIN:
        _move_plain(rule, rate, scale, decay, gradient, w, u, v, start, end)
    elif rule.kind == MOMENTUM:
        _move_momentum(rule, rate, scale, decay, gradient, w, u, v, start, end)
    elif rule.kind == NESTEROV:
        _move_nesterov(rule, rate, scale, decay, gradient, w, u, v, start, end)
    else:
        _move_adam(rule, rate, scale, decay, gradient, w, u, v, start, end)
