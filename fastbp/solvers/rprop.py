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

import numpy as np
from numpy.typing import NDArray

from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend
from fastbp.solvers.stopping import Stop

__all__ = ["minimise"]

_GROW, _SHRINK = 1.2, 0.5
_FIRST_STEP, _MIN_STEP, _MAX_STEP = 0.1, 1e-10, 50.0


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by iRprop+; see `descend`."""
    return descend(_irprop_plus, objective, parameters, options)


def _irprop_plus(descent: Descent) -> None:
    point = descent.point
    steps = np.full(point.parameters.size, _FIRST_STEP)
    moves, last_signs = np.zeros_like(steps), np.zeros_like(steps)
    last_loss = np.inf
    while True:
        signs = np.sign(point.gradient)
        agreement = signs * last_signs
        jumped = agreement < 0
        steps *= np.where(jumped, _SHRINK, np.where(agreement > 0, _GROW, 1.0))
        np.clip(steps, _MIN_STEP, _MAX_STEP, out=steps)
        if steps.max() <= _MIN_STEP:
            raise Stop("step_size")
        taken_back = -moves if point.loss > last_loss else 0.0
        moves = np.where(jumped, taken_back, -signs * steps)
        # After a jump neither growth nor another halving in the next iteration.
        last_signs, last_loss = np.where(jumped, 0.0, signs), point.loss
        trial = descent.evaluate(point.parameters + moves)
        while not trial.is_finite:
            if steps.max() <= _MIN_STEP:
                raise Stop("step_size")
            steps, moves = np.maximum(_SHRINK * steps, _MIN_STEP), _SHRINK * moves
            trial = descent.evaluate(point.parameters + moves)
        point = trial
        descent.accept(point)
