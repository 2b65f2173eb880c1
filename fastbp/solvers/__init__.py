"""How parameters move: one algorithm a file, over any objective.

A solver is a function ``minimise(objective, parameters, options)`` that returns the new
parameters, a `History` and the reason why it stopped (see ``stopping.py``). It does not change the
parameters. ``stochastic.py`` goes through the rows in batches and needs an `Objective`; all others
are batch methods over anything that has ``loss_and_gradient(parameters)`` (lm:
``normal_equations(parameters)`` too), and ``descent.py`` is what they share. To add one, write its
file and name it in `BATCH_SOLVERS`; the tests pick it up.
"""

from fastbp.solvers import (
    bfgs,
    conjugate_gradient,
    gradient_descent,
    lbfgs,
    levenberg_marquardt,
    rprop,
    scaled_conjugate_gradient,
)
from fastbp.solvers.descent import Options
from fastbp.solvers.history import History

__all__ = ["BATCH_SOLVERS", "STOCHASTIC_SOLVERS", "History", "Options"]

STOCHASTIC_SOLVERS = ("sgd", "adam")

#: The batch methods by name.
BATCH_SOLVERS = {
    "lbfgs": lbfgs.minimise,
    "bfgs": bfgs.minimise,
    "cg": conjugate_gradient.minimise,
    "scg": scaled_conjugate_gradient.minimise,
    "lm": levenberg_marquardt.minimise,
    "rprop": rprop.minimise,
    "gd": gradient_descent.minimise,
}
