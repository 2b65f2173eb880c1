"""The solvers by name: what each one is, and what it needs of a loss, a device and the memory.

To add one, write its file and its entry here; parameters, errors and tests ask the entry.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.model import update_rules
from fastbp.model.losses import Loss, loss_of
from fastbp.model.update_rules import Rule
from fastbp.solvers import (
    bayesian_regularisation,
    bfgs,
    conjugate_gradient,
    gradient_descent,
    lbfgs,
    levenberg_marquardt,
    rprop,
    scaled_conjugate_gradient,
    stochastic,
)
from fastbp.solvers.descent import Minimised

__all__ = ["SOLVERS", "Solver", "names_where"]

_MAX_MATRIX_BYTES = 2**30


@dataclass(frozen=True)
class Solver:
    """A solver.

    Attributes
    ----------
    name : str
        The name a user chooses it by.
    algorithm : callable
        ``algorithm(objective, parameters, options) -> Minimised``. The options are those of
        ``stochastic.py`` if it has a rule, else those of ``descent.py``.
    rule : callable or None
        ``rule(estimator) -> Rule``, from an estimator's parameters: the solver then goes through
        the rows in batches. None is a batch solver, which uses all rows at every step.
    has_schedule : bool
        Whether ``learning_rate`` is for it.
    bayesian : callable or None
        As ``algorithm``, for ``alpha="bayes"``; None where it cannot find the weight decay.
    state, bayesian_state : type or None
        Of a batch solver, the dataclass of what it keeps from one iteration to the next, with
        which a checkpoint can go on; None where it is out of reach.
    devices : tuple of str
        Where its objective can be computed.
    needs_half_square : bool
        Whether it is for sums of squares alone.
    keeps_matrix : bool
        Whether it keeps a matrix of the number of parameters squared.
    stops_by_score : bool
        Whether ``early_stopping=True`` sets rows aside for it.

    Examples
    --------
    >>> from fastbp.solvers import SOLVERS
    >>> [name for name, solver in SOLVERS.items() if not solver.is_stochastic]
    ['lbfgs', 'bfgs', 'cg', 'scg', 'lm', 'rprop', 'gd']
    >>> SOLVERS["lm"].takes_loss("poisson")
    False
    """

    name: str
    algorithm: Callable[[Any, NDArray[np.floating], Any], Minimised]
    rule: Callable[[Any], Rule] | None = None
    has_schedule: bool = False
    bayesian: Callable[[Any, NDArray[np.floating], Any], Minimised] | None = None
    state: type | None = None
    bayesian_state: type | None = None
    devices: tuple[str, ...] = ("cpu", "cuda")
    needs_half_square: bool = False
    keeps_matrix: bool = False
    stops_by_score: bool = True

    @property
    def is_stochastic(self) -> bool:
        """Whether it goes through the rows in batches."""
        return self.rule is not None

    @property
    def can_be_kept(self) -> bool:
        """Whether a checkpoint can hold its trainings."""
        return self.is_stochastic or self.state is not None

    def takes_loss(self, loss: str | Loss) -> bool:
        """Whether it can minimise a loss."""
        return loss_of(loss).is_half_square or not self.needs_half_square

    def minimise(self, objective: Any, parameters: NDArray[np.floating], options: Any) -> Minimised:
        """Minimise an objective.

        Parameters
        ----------
        objective : Objective
            What is minimised (``model/objective.py``).
        parameters : ndarray of shape (n_parameters,)
            The start; not changed.
        options : Options
            ``stochastic.Options`` or ``descent.Options``.

        Returns
        -------
        result : Minimised
            The new parameters, the history, and why it stopped.

        Raises
        ------
        ValueError
            If a matrix would take more than 1 GiB.
        """
        self._check_matrix_fits(parameters.size)
        return self.algorithm(objective, parameters, options)

    def minimise_bayesian(
        self, objective: Any, parameters: NDArray[np.floating], options: Any
    ) -> Minimised:
        """Minimise, and find the weight decay; see `minimise`."""
        assert self.bayesian is not None
        self._check_matrix_fits(parameters.size)
        return self.bayesian(objective, parameters, options)

    def _check_matrix_fits(self, n_parameters: int) -> None:
        n_bytes = 8 * n_parameters**2 if self.keeps_matrix else 0
        if n_bytes > _MAX_MATRIX_BYTES:
            fitting = names_where(lambda each: not each.keeps_matrix and not each.is_stochastic)
            raise ValueError(
                f"solver={self.name!r} works with matrices of {n_parameters} x {n_parameters} "
                f"numbers, {n_bytes / 2**30:.1f} GiB each where 1 GiB is allowed. Take smaller "
                f"hidden_layer_sizes, or one of the solvers {fitting}, which keep a few vectors."
            )


def names_where(condition: Callable[[Solver], bool]) -> list[str]:
    """Names of the solvers for which a condition holds, for error messages."""
    return sorted(solver.name for solver in SOLVERS.values() if condition(solver))


def _sgd_rule(estimator: Any) -> Rule:
    return update_rules.sgd(
        estimator.learning_rate_init, estimator.momentum, estimator.nesterovs_momentum
    )


def _adam_rule(estimator: Any) -> Rule:
    return update_rules.adam(
        estimator.learning_rate_init, estimator.beta_1, estimator.beta_2, estimator.epsilon
    )


SOLVERS = {
    solver.name: solver
    for solver in (
        Solver("sgd", stochastic.minimise, rule=_sgd_rule, has_schedule=True),
        Solver("adam", stochastic.minimise, rule=_adam_rule),
        # True does nothing for lbfgs, as in MLPRegressor.
        Solver("lbfgs", lbfgs.minimise, stops_by_score=False),
        Solver("bfgs", bfgs.minimise, state=bfgs.State, keeps_matrix=True),
        Solver("cg", conjugate_gradient.minimise, state=conjugate_gradient.State),
        Solver("scg", scaled_conjugate_gradient.minimise, state=scaled_conjugate_gradient.State),
        Solver(
            "lm",
            levenberg_marquardt.minimise,
            bayesian=bayesian_regularisation.minimise,
            state=levenberg_marquardt.Damping,
            bayesian_state=bayesian_regularisation.State,
            devices=("cpu",),
            needs_half_square=True,
            keeps_matrix=True,
        ),
        Solver("rprop", rprop.minimise, state=rprop.State),
        Solver("gd", gradient_descent.minimise, state=gradient_descent.State),
    )
}
