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

A rule here is only its numbers; ``kernels/moves.py`` holds the arithmetic.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ADAM", "MOMENTUM", "NESTEROV", "PLAIN", "Moments", "Rule", "adam", "sgd"]

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
