"""How parameters move: one algorithm a file, over any objective.

A solver is a function ``minimise(objective, parameters, options)`` that returns the new
parameters, a `History` and the reason why it stopped (see ``stopping.py``). It changes neither
the parameters nor, but for what a docstring says, the options it is given. An objective needs
``loss_and_gradient(parameters)``, and for the stochastic solvers ``epoch(...)``: see `Objective`.
"""

from fastbp.solvers import lbfgs, stochastic
from fastbp.solvers.history import History

__all__ = ["History", "lbfgs", "stochastic"]
