"""How one gradient moves the parameters: the rules of the stochastic solvers, each a record.

With gradient g, learning rate r and the parameters w,

=============  ==========================================================================
rule           one step
=============  ==========================================================================
plain          w <- w - r g
momentum       v <- m v - r g;  w <- w + v                                     (Polyak 1964)
nesterov       v <- m v - r g;  w <- w + m v - r g      (Sutskever et al. 2013, reformulated)
adam           u <- b1 u + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;
               w <- w - r sqrt(1 - b2^t) / (1 - b1^t)  u / (sqrt(v) + e)  (Kingma & Ba 2015)
=============  ==========================================================================

The arithmetic is written once, in plain Python, for whatever numbers or vectors of numbers kernels
compute with (see ``activations.py``). To add a rule, write its record here and, by hand, its
formulas in ``tests/helpers/oracle.py``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.machine.elementary import one, reciprocal, reciprocal_sqrt, tiny, where

__all__ = ["UPDATE_RULES", "Moments", "Rule", "UpdateRule", "adam", "sgd"]


class UpdateRule(NamedTuple):
    """How a step is made.

    Attributes
    ----------
    name : str
        Its name.
    n_moments : int
        How many vectors it remembers from step to step: none, the first, or both.
    move : callable
        ``move(rule, rate, g, w, u, v) -> (w, u, v)``, from a gradient g, a parameter w and moments
        u and v, or vectors of them, to the new ones. Nothing may be reordered in it: w - rate * (g
        + decay * w) with the decay drawn out would be (1 - rate * decay) * w, which in float32 is
        w.
    step_size : callable or None
        ``step_size(rule, power_1, power_2) -> rate`` of step number t, where the powers are beta_1
        and beta_2 to the t. None is the learning rate at every step.
    is_plain : bool
        Whether the step is w - rate * g: online mode then has weight decay for nothing.
    """

    name: str
    n_moments: int
    move: Callable
    step_size: Callable | None = None
    is_plain: bool = False


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


def _adam_step_size(rule, power_1, power_2):  # type: ignore[no-untyped-def]
    # The moments start from 0: their first values are too small, which this corrects.
    return rule.learning_rate * math.sqrt(1.0 - power_2) / (1.0 - power_1)


#: The rules by name; a `Rule` has the position of its own.
UPDATE_RULES = {
    record.name: record
    for record in (
        UpdateRule("plain", 0, _plain, is_plain=True),
        UpdateRule("momentum", 1, _momentum),
        UpdateRule("nesterov", 1, _nesterov),
        UpdateRule("adam", 2, _adam, _adam_step_size),
    )
}
_RECORDS = tuple(UPDATE_RULES.values())


class Rule(NamedTuple):
    """An update rule's constants, for kernels.

    Attributes
    ----------
    code : int
        The rule's position in `UPDATE_RULES`.
    learning_rate : float
        The step size r; for adam before its correction for the first steps.
    beta_1 : float
        The momentum m, or the decay of adam's first moment.
    beta_2 : float
        The decay of adam's second moment.
    epsilon : float
        What adam adds to the root of the second moment.
    """

    code: int
    learning_rate: float
    beta_1: float
    beta_2: float
    epsilon: float

    @classmethod
    def of(
        cls,
        name: str,
        learning_rate: float,
        beta_1: float = 0.0,
        beta_2: float = 0.0,
        epsilon: float = 0.0,
    ) -> "Rule":
        """Give constants to the rule of a name."""
        code = list(UPDATE_RULES).index(name)
        return cls(code, float(learning_rate), float(beta_1), float(beta_2), float(epsilon))

    @property
    def record(self) -> UpdateRule:
        """What the rule does."""
        return _RECORDS[self.code]


def sgd(learning_rate: float, momentum: float, nesterovs_momentum: bool) -> Rule:
    """Gradient descent, with momentum where it is not 0."""
    name = "plain" if momentum == 0 else "nesterov" if nesterovs_momentum else "momentum"
    return Rule.of(name, learning_rate, momentum)


def adam(learning_rate: float, beta_1: float, beta_2: float, epsilon: float) -> Rule:
    """Adam (Kingma & Ba 2015, algorithm 1, in the order of its section 2's last paragraph)."""
    return Rule.of("adam", learning_rate, beta_1, beta_2, epsilon)


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
