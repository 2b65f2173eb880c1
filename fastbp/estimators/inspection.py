"""What a user asks about a network's place on the error surface.

Is the gradient right? Is this a minimum? What does a prediction depend on?
"""

from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state

from fastbp.backends.cpu.jacobian import input_gradient
from fastbp.backends.device import make_objective
from fastbp.diagnostics.gradient_check import gradient_error
from fastbp.diagnostics.stationary_point import StationaryPoint, stationary_point
from fastbp.estimators.one_sample import OneSampleEstimator
from fastbp.estimators.uncertainty import mean_of
from fastbp.model.objective import NetworkLoss

__all__ = ["InspectedEstimator"]


class InspectedEstimator(OneSampleEstimator):
    """An estimator with `check_gradient`, `stationary_point` and `input_gradient`."""

    def check_gradient(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Compare backpropagation with central differences, for learning and for trust.

        The gradient is taken where the network stands: at the fitted weights, or at the initial
        weights that ``random_state`` gives. Every parameter is moved up and down by h, and
        (L(p + h) - L(p - h)) / 2h compared with the compiled gradient, in float64.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs. Two passes over them are made for each parameter: some hundred rows do.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of 0 or more.

        Returns
        -------
        error : float
            The largest difference, relative to the largest entry of the gradient. About 1e-9 for
            smooth activations; more where a sample lies within h of the kink of a relu, and where
            training has left next to no gradient to be relative to: check before it.
        """
        objective, parameters = self._objective_here(X, y, sample_weight)
        return gradient_error(objective, parameters)

    def stationary_point(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        tol: float | None = None,
    ) -> StationaryPoint:
        """Tell what point of the error surface the fitted weights are: a minimum, a saddle, ...

        Works out the gradient and the extreme eigenvalues of the Hessian, by Lanczos iterations
        over differences of gradients, in float64. Where an activation has a kink (relu,
        leaky_relu, elu), a sample that lies next to it makes a curvature of its own, as large as
        the step is small: there only the gradient tells something.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs of the training.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets of the training.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights of the training.
        tol : float, default=None
            The largest entry of the gradient that a stationary point may have. None is the
            estimator's ``gtol``, or else ``tol``.

        Returns
        -------
        point : StationaryPoint
            ``kind`` in a word, ``gradient_norm``, ``smallest_eigenvalue`` and
            ``largest_eigenvalue``; printed, it is a sentence.

        Raises
        ------
        ValueError
            If the data are wrong.
        NotFittedError
            If there are no fitted weights.
        """
        self._check_is_fitted()
        objective, parameters = self._objective_here(X, y, sample_weight)
        if tol is None:
            tol = self.tol if self.gtol is None else self.gtol
        if not tol >= 0:
            raise ValueError(f"tol={tol} is no limit of a gradient. Give a number of 0 or more.")
        return stationary_point(objective, parameters, float(tol))

    def input_gradient(self, X: Any) -> NDArray[np.floating]:
        """Differentiate predictions with respect to the inputs: which of them matter, and how.

        Backpropagation goes on below the first layer, to the inputs, from 1 in the place of each
        output's error; it takes about as long as the gradient of the loss, for each output. Where
        an activation has a kink (relu, leaky_relu), it is the slope on one side.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs.

        Returns
        -------
        gradient : ndarray of shape (n_samples, n_outputs, n_features)
            The derivative of each output of `predict`, in the units of y, with respect to each
            feature; of a classifier, of each column of `predict_proba`.

        Raises
        ------
        ValueError
            If X is not a finite table of numbers with the features of the fit.
        NotFittedError
            If there are no fitted weights.
        """
        self._check_is_fitted()
        return self._decode_gradient(
            mean_of(self._of_each_network(input_gradient, X, self._network))
        )

    def _decode_gradient(self, gradient: NDArray[np.floating]) -> NDArray[np.floating]:
        """From derivatives of the network's outputs to those of predictions."""
        return gradient

    def _objective_here(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[NetworkLoss, NDArray[np.float64]]:
        """Objective of some data in float64, and the fitted or else the initial parameters."""
        self._validate_params()
        fitted = hasattr(self, "coefs_")
        checker = self if fitted else clone(self)
        table = checker._check_rows(X, y, sample_weight, reset=not fitted)
        data = table.data(np.dtype(np.float64))
        if fitted:
            network = self._network
            parameters = self._parameters().astype(data.dtype)
        else:
            network = checker._new_network(data.X.shape[1], data.y.shape[1])
            random_state = check_random_state(self.random_state)
            parameters = network.initial_parameters(random_state, data.dtype)
        alpha = getattr(self, "alpha_", 0.0) if isinstance(self.alpha, str) else self.alpha
        n_threads = effective_n_jobs(self.n_jobs)
        return make_objective("cpu", network, data, float(alpha), n_threads), parameters
