"""How one gradient moves the parameters: the rules of the stochastic solvers.

With gradient g, learning rate r and the parameters w,

=============  ==========================================================================
rule           one step
=============  ==========================================================================
PLAIN          w <- w - r g
MOMENTUM       v <- m v - r g;  w <- w + v                                     (Polyak 1964)
NESTEROV       v <- m v - r g;  w <- w + m v - r g      (Sutskever et al. 2013, reformulated)
ADAM           u <- b1 u + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;
               w <- w - r sqrt(1 - b2^t) / (1 - b1^t)  u / (sqrt(v) + e)  (Kingma & Ba 2015)
=============  ==========================================================================

A `Rule` is its numbers, ``MOVES`` its arithmetic, written once, in plain Python, for whatever
numbers or vectors of numbers kernels compute with (see ``activations.py``).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.machine.elementary import one, reciprocal, reciprocal_sqrt, tiny, where

__all__ = [
    "ADAM",
    "MOMENTUM",
    "MOVES",
    "NESTEROV",
    "PLAIN",
    "Moments",
    "Rule",
    "adam",
    "sgd",
    "step_size",
]

PLAIN, MOMENTUM, NESTEROV, ADAM = range(4)


class Rule(NamedTuple):
    """An update rule with its constants.

    Attributes
    ----------
    kind : int
        PLAIN, MOMENTUM, NESTEROV or ADAM.
    learning_rate : float
        The step size r; for ADAM before its correction for the first steps.
    beta_1 : float
        The momentum m, or the decay of Adam's first moment.
    beta_2 : float
        The decay of Adam's second moment.
    epsilon : float
        What Adam adds to the root of the second moment.
    """

    kind: int
    learning_rate: float
    beta_1: float
    beta_2: float
    epsilon: float


def sgd(learning_rate: float, momentum: float, nesterovs_momentum: bool) -> Rule:
    """Gradient descent, with momentum where it is not 0."""
    kind = PLAIN if momentum == 0 else NESTEROV if nesterovs_momentum else MOMENTUM
    return Rule(kind, float(learning_rate), float(momentum), 0.0, 0.0)


def adam(learning_rate: float, beta_1: float, beta_2: float, epsilon: float) -> Rule:
    """Adam (Kingma & Ba 2015, algorithm 1, in the order of its section 2's last paragraph)."""
    return Rule(ADAM, float(learning_rate), float(beta_1), float(beta_2), float(epsilon))


@dataclass
class Moments:
    """What a rule remembers from step to step.

    Attributes
    ----------
    first, second : ndarray of shape (n_parameters,)
        Velocity or first moment, and second moment; zeros at the start.
    n_steps : int
        Number of steps made.
    """

    first: NDArray[np.floating]
    second: NDArray[np.floating]
    n_steps: int = field(default=0)

    @classmethod
    def zeros(cls, n_parameters: int, dtype: np.dtype) -> "Moments":
        """No step made yet."""
        return cls(np.zeros(n_parameters, dtype), np.zeros(n_parameters, dtype))

    def copy(self) -> "Moments":
        """Copy, with arrays of their own."""
        return Moments(self.first.copy(), self.second.copy(), self.n_steps)


def step_size(rule: Any, n_steps: Any) -> Any:
    """Learning rate of step number n_steps = 1, 2, ...: Adam's starts are corrected for bias."""
    if rule.kind == ADAM:
        correction_2 = math.sqrt(1.0 - rule.beta_2 ** float(n_steps))
        return rule.learning_rate * correction_2 / (1.0 - rule.beta_1 ** float(n_steps))
    return rule.learning_rate


# Each move takes a gradient g, a parameter w and moments u and v, or vectors of them, and gives the
# new (w, u, v). Nothing may be reordered: w - rate * (g + decay * w) with the decay drawn out would
# be (1 - rate * decay) * w, which in float32 is w.


def _plain(rule, rate, g, w, u, v):  # type: ignore[no-untyped-def]
    return w - rate * g, u, v


def _momentum(rule, rate, g, w, u, v):  # type: ignore[no-untyped-def]
    u = rule.beta_1 * u - rate * g
    return w + u, u, v


def _nesterov(rule, rate, g, w, u, v):  # type: ignore[no-untyped-def]
    u = rule.beta_1 * u - rate * g
    return w + (rule.beta_1 * u - rate * g), u, v


def _adam(rule, rate, g, w, u, v):  # type: ignore[no-untyped-def]
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


MOVES: dict[int, Callable] = {PLAIN: _plain, MOMENTUM: _momentum, NESTEROV: _nesterov, ADAM: _adam}
