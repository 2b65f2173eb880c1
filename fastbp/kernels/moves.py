"""How a gradient moves the parameters: the arithmetic of ``update_rules``.

Every gradient that occurs here is an outer product plus weight decay,

    g = outer(x, delta) + decay * W,

online because a sample's gradient is the outer product of a layer's inputs and error signals, and
in batch mode with x = [1 / sum of weights] and delta the summed gradient, as one long row. So one
function serves both, and online the gradient is never written down: each weight is read, moved and
stored once.
"""

import math

from fastbp.machine.jit import exact, part
from fastbp.update_rules import ADAM, MOMENTUM, NESTEROV, PLAIN

__all__ = ["move", "step_size"]


@part
def step_size(rule, n_steps):
    """Learning rate of step number n_steps = 1, 2, ...: Adam's starts are corrected for bias."""
    if rule.kind == ADAM:
        correction_2 = math.sqrt(1.0 - rule.beta_2 ** float(n_steps))
        return rule.learning_rate * correction_2 / (1.0 - rule.beta_1 ** float(n_steps))
    return rule.learning_rate


@exact  # reordered, w - rate * decay * w becomes (1 - rate * decay) * w, which is w in float32
def move(rule, rate, x, delta, decay, w, u, v):
    """Move W by one step along g = outer(x, delta) + decay * W.

    rule : Rule.  rate : the step's learning rate.  x : (m,).  delta : (n,).
    w, u, v : (m, n), the parameters and their first and second moments; changed in place.
    """
    T = w.dtype.type
    rate, decay = T(rate), T(decay)
    beta_1, beta_2, epsilon = T(rule.beta_1), T(rule.beta_2), T(rule.epsilon)
    rest_1, rest_2 = T(1.0 - rule.beta_1), T(1.0 - rule.beta_2)
    m, n = w.shape
    if rule.kind == PLAIN:
        for k in range(m):
            for j in range(n):
                w[k, j] -= rate * (x[k] * delta[j] + decay * w[k, j])
    elif rule.kind == MOMENTUM:
        for k in range(m):
            for j in range(n):
                u[k, j] = beta_1 * u[k, j] - rate * (x[k] * delta[j] + decay * w[k, j])
                w[k, j] += u[k, j]
    elif rule.kind == NESTEROV:
        for k in range(m):
            for j in range(n):
                r_g = rate * (x[k] * delta[j] + decay * w[k, j])
                u_kj = beta_1 * u[k, j] - r_g
                u[k, j] = u_kj
                w[k, j] += beta_1 * u_kj - r_g
    else:
        for k in range(m):
            for j in range(n):
                g = x[k] * delta[j] + decay * w[k, j]
                u_kj = beta_1 * u[k, j] + rest_1 * g
                v_kj = beta_2 * v[k, j] + rest_2 * (g * g)
                u[k, j] = u_kj
                v[k, j] = v_kj
                w[k, j] -= rate * u_kj / (math.sqrt(v_kj) + epsilon)
