"""What the estimators' parameters may be, alone and together."""

from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from fastbp.backends.device import DEVICES
from fastbp.model.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS, Activation
from fastbp.model.losses import Loss, loss_of, losses_where
from fastbp.solvers.conjugate_gradient import UPDATES
from fastbp.solvers.registry import SOLVERS, names_where
from fastbp.solvers.stopping import CRITERIA

__all__ = [
    "CONSTRAINTS",
    "ValidOnes",
    "check_solver",
    "has_partial_fit",
    "refuse_early_stopping",
]

#: What each parameter may be, but for the loss.
CONSTRAINTS: dict[str, list] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(HIDDEN_ACTIVATIONS)), Activation, list, tuple],
    "solver": [StrOptions(set(SOLVERS))],
    "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"bayes"})],
    "batch_size": [
        StrOptions({"auto", "online", "full"}),
        Interval(Integral, 1, None, closed="left"),
    ],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean", StrOptions(set(CRITERIA))],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [
        Interval(Integral, 1, None, closed="left"),
        Options(Real, {np.inf}),
    ],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "n_jobs": [
        None,
        Interval(Integral, None, -1, closed="right"),
        Interval(Integral, 1, None, closed="left"),
    ],
    "output_activation": [None, StrOptions(set(ACTIVATIONS)), Activation],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "gtol": [None, Interval(Real, 0, None, closed="left")],
    "loss_goal": [None, Interval(Real, None, None, closed="neither")],
    "max_time": [None, Interval(Real, 0, None, closed="left")],
    "cg_update": [StrOptions(set(UPDATES))],
    "device": [StrOptions(set(DEVICES))],
    "keep_all": ["boolean"],
    "record_path": ["boolean"],
    "checkpoint": [str, PathLike, None],
    "checkpoint_every": [Interval(Real, 0, None, closed="left")],
}


class ValidOnes:
    """Parameters that were found valid one by one, which a fit need not find out again.

    Constraints look at types and values, of lists and tuples at the type alone. Other types are not
    remembered: whether an object is valid may change, and it would be kept alive.
    """

    _TYPES = frozenset({bool, float, int, str, type(None)})
    _MOST = 1000

    def __init__(self) -> None:
        self._found: set[tuple] = set()

    def key(self, estimator: Any) -> tuple | None:
        """Give what tells one estimator's parameters from another's; None if they are not kept."""
        own, key = vars(estimator), [type(estimator)]
        for name in estimator._get_param_names():
            value = own.get(name, estimator)  # which is of no such type
            kind = type(value)
            if kind in self._TYPES:
                key += [kind, value]
            elif kind in (list, tuple):
                key.append(kind)
            else:
                return None
        return tuple(key)

    def __contains__(self, key: tuple | None) -> bool:
        """Whether parameters were found valid before."""
        return key in self._found

    def add(self, key: tuple | None) -> None:
        """Remember parameters."""
        if key is not None:
            if len(self._found) >= self._MOST:  # of a search through random numbers
                self._found.clear()
            self._found.add(key)


def check_solver(estimator: Any, loss: str | Loss) -> None:
    """Refuse parameters that do not go together.

    Parameters
    ----------
    estimator : BackpropEstimator
        Whose parameters they are.
    loss : str or Loss
        Its loss.

    Raises
    ------
    ValueError
        If the solver cannot do what another parameter asks for.
    """
    solver, wants_bayes = SOLVERS[estimator.solver], isinstance(estimator.alpha, str)
    if wants_bayes and solver.bayesian is None:
        fitting = names_where(lambda each: each.bayesian is not None)
        raise ValueError(
            f"alpha='bayes' is found by {_listed(fitting)} alone, and this is "
            f"solver={solver.name!r}. Take {_listed(fitting)}, or give alpha a number."
        )
    if estimator.device == "cuda" and "cuda" not in solver.devices:
        fitting = names_where(lambda each: "cuda" in each.devices)
        raise ValueError(
            f"solver={solver.name!r} computes on the CPU alone, and device='cuda'. Take "
            f"device='cpu' or 'auto', or one of the solvers {fitting}."
        )
    if wants_bayes and estimator.early_stopping:
        raise ValueError(
            "alpha='bayes' finds the weight decay from all rows and needs none to validate on. Set "
            "early_stopping=False, or give alpha a number."
        )
    if estimator.keep_all and estimator.warm_start:
        raise ValueError(
            "keep_all=True keeps a committee of networks, and warm_start=True goes on with one. "
            "Set one of them to False."
        )
    if not solver.takes_loss(loss):
        fitting = names_where(lambda each: each.takes_loss(loss) and not each.is_stochastic)
        losses = losses_where(lambda each: solver.takes_loss(each.name))
        raise ValueError(
            f"solver={solver.name!r} is for squared errors, and loss={loss_of(loss).name!r}. Take "
            f"one of the solvers {fitting}, or {' or '.join(f'loss={name!r}' for name in losses)}."
        )


def _listed(names: list[str]) -> str:
    return " or ".join(f"solver={name!r}" for name in names)


def has_partial_fit(estimator: Any) -> bool:
    """Whether an estimator's solver can go on from where it is; AttributeError says why not."""
    if SOLVERS[estimator.solver].rule is None:
        fitting = " and ".join(map(repr, names_where(lambda each: each.is_stochastic)))
        raise AttributeError(
            f"partial_fit and learn_one exist for solver={fitting}, not for {estimator.solver!r}, "
            "which needs all rows at every step. Use fit, with warm_start=True to go on."
        )
    if estimator.keep_all:
        raise AttributeError(
            "partial_fit and learn_one go on with one network, and keep_all=True keeps several. "
            "Use fit, or set keep_all=False."
        )
    return True


def refuse_early_stopping(estimator: Any, method: str) -> None:
    """Refuse early stopping in a method that has no rows to set aside."""
    if estimator.early_stopping:
        raise ValueError(
            f"{method} does not support early_stopping={estimator.early_stopping!r}: it sees no "
            "data to set aside. Set early_stopping=False, or use fit."
        )
