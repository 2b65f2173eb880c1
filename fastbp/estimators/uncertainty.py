"""How sure predictions are: the spread of a committee, the posterior of a least-squares fit.

A committee is the networks of all starts (``n_init``, ``keep_all=True``). Its prediction is the
mean of theirs; where they have learnt different things, it does not know.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.jacobian import parameter_jacobian
from fastbp.model.data import Data
from fastbp.model.network import Network
from fastbp.solvers.registry import names_where

__all__ = ["mean_of", "refuse_committee", "standard_deviation"]


def mean_of(found: list[NDArray[np.floating]]) -> NDArray[np.floating]:
    """Mean of what each network of a committee says, summed in float64; of one, what it says."""
    if len(found) == 1:
        return found[0]
    return np.mean(found, axis=0, dtype=np.float64).astype(found[0].dtype)


def standard_deviation(
    estimator: Any, X: Any, outputs: list[NDArray[np.floating]]
) -> NDArray[np.floating]:
    """Give the standard deviation of predictions, in the units of the network.

    Parameters
    ----------
    estimator : BackpropRegressor
        A fitted estimator.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The inputs.
    outputs : list of ndarray of shape (n_samples, n_outputs)
        What each of its networks predicts.

    Returns
    -------
    deviation : ndarray of shape (n_samples, n_outputs)
        Of a committee, of its networks from their mean; else of targets from their prediction.

    Raises
    ------
    ValueError
        If the fit was of a kind that does not tell.
    """
    if len(outputs) > 1:
        return np.std(outputs, axis=0, ddof=1, dtype=np.float64).astype(outputs[0].dtype)
    posterior = estimator._posterior
    if posterior is None:
        solvers = " or ".join(repr(name) for name in names_where(lambda x: x.needs_half_square))
        raise ValueError(
            "return_std=True, but this fit does not tell how sure it is. Fit with solver="
            f"{solvers}, alpha='bayes' at best, on more rows than parameters that they determine; "
            "or with n_init=5, keep_all=True for the spread of a committee. Quantiles are the "
            "other way: loss='quantile', quantile=[0.05, 0.5, 0.95] learns an interval."
        )

    def deviation(
        network: Network, parameters: NDArray[np.floating], data: Data, n_threads: int
    ) -> NDArray[np.floating]:
        jacobian_of = partial(parameter_jacobian, network, parameters, data)
        return posterior.standard_deviation(jacobian_of, outputs[0].shape, n_threads)

    (found,) = estimator._of_each_network(deviation, X, estimator._network)
    return found.astype(outputs[0].dtype)


def refuse_committee(estimator: Any, method: str, cure: str) -> None:
    """Refuse a committee in a method that is for one network."""
    if estimator._other_parameters:
        raise ValueError(
            f"{method} is for one network, and this is a committee of "
            f"{1 + len(estimator._other_parameters)} (keep_all=True). {cure}, or fit anew with "
            "keep_all=False."
        )
