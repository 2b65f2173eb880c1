"""Resilient backpropagation: the gradient's signs alone, a step of its own for every parameter.

A parameter's step grows by 1.2 while its derivative keeps its sign, and is halved when that
changes: a minimum was jumped over. In iRprop+ such a change takes the parameter's last move back,
if the loss has risen too. How large a derivative is does not matter, so badly scaled weights do no
harm. The loss may rise on the way; the best parameters are returned.

References
----------
Riedmiller & Braun, "A direct adaptive method for faster backpropagation learning: the RPROP
algorithm", ICNN 1993. Igel & Huesken, "Empirical evaluation of the improved Rprop learning
algorithms", Neurocomputing 50 (2003), for iRprop+. What is done with a loss that is not finite, to
halve all steps and try again, is not theirs.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend, iterations
from fastbp.solvers.stopping import Stop

__all__ = ["State", "minimise"]

_GROW, _SHRINK = 1.2, 0.5
#: Of a step whose signs' product is 0, 1, or -1, the last.
_FACTORS = np.array([1.0, _GROW, _SHRINK])
_FIRST_STEP, _MIN_STEP, _MAX_STEP = 0.1, 1e-10, 50.0


@dataclass
class State:
    """What iRprop+ keeps from one iteration to the next; arrays are (n_parameters,).

    Attributes
    ----------
    steps : ndarray
        How far each parameter goes.
    moves : ndarray
        Where each went last.
    last_signs : ndarray
        The signs of the last gradient, 0 after a jump.
    last_loss : float
        The loss of the last iteration but one.
    """

    steps: NDArray[np.float64]
    moves: NDArray[np.float64]
    last_signs: NDArray[np.float64]
    last_loss: float = math.inf


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by iRprop+; see `descend`."""
    return descend(iterations(_begin, _iterate), objective, parameters, options)


def _begin(descent: Descent) -> State:
    steps = np.full(descent.point.parameters.size, _FIRST_STEP)
    return State(steps, np.zeros_like(steps), np.zeros_like(steps))


def _iterate(descent: Descent, state: State) -> None:
    point, steps = descent.point, state.steps
    signs = np.sign(point.gradient)
    agreement = signs * state.last_signs
    jumped = agreement < 0
    steps *= _FACTORS[agreement.astype(np.intp)]
    steps.clip(_MIN_STEP, _MAX_STEP, out=steps)
    if steps.max() <= _MIN_STEP:
        raise Stop("step_size")
    moves = -signs * steps
    np.copyto(moves, -state.moves if point.loss > state.last_loss else 0.0, where=jumped)
    # After a jump neither growth nor another halving in the next iteration.
    np.copyto(signs, 0.0, where=jumped)
    state.moves, state.last_signs, state.last_loss = moves, signs, point.loss
    trial = descent.evaluate(point.parameters + state.moves)
    while not trial.is_finite:
        if state.steps.max() <= _MIN_STEP:
            raise Stop("step_size")
        state.steps = np.maximum(_SHRINK * state.steps, _MIN_STEP)
        state.moves = _SHRINK * state.moves
        trial = descent.evaluate(point.parameters + state.moves)
    descent.accept(trial)
