"""How parameters move: one algorithm a file, over any objective.

A solver is a function ``minimise(objective, parameters, options)`` that returns the new
parameters, a `History` and the reason why it stopped (see ``stopping.py``). It does not change the
parameters. ``stochastic.py`` goes through the rows in batches; all others are batch methods over
anything that has ``loss_and_gradient(parameters)`` (lm: ``normal_equations(parameters)`` too), and
``descent.py`` is what they share. ``monitor.py`` is what happens at the end of an iteration.
``registry.py`` lists them: to add one, write its file and its entry there.
"""

from fastbp.solvers.descent import Minimised, Options
from fastbp.solvers.history import History
from fastbp.solvers.registry import SOLVERS, Solver

__all__ = ["SOLVERS", "History", "Minimised", "Options", "Solver"]
