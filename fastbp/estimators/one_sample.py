"""What a user calls for one sample at a time: `predict_one` and `learn_one`.

The general methods check a table, copy it, and unpack parameters: a hundred microseconds for a
network that computes for a tenth of one. These check what one sample needs.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fastbp.backends.cpu.one_sample import Single
from fastbp.model.network import Network
from fastbp.solvers import STOCHASTIC_SOLVERS
from fastbp.solvers.stochastic import Training, invscaled_rate
from fastbp.training.task import check_solver, next_training

__all__ = ["OneSampleMixin", "has_partial_fit"]


def has_partial_fit(estimator: Any) -> bool:
    """Whether an estimator's solver can go on from where it is; AttributeError says why not."""
    if estimator.solver not in STOCHASTIC_SOLVERS:
        raise AttributeError(
            "partial_fit and learn_one exist for solver='sgd' and 'adam', not for "
            f"{estimator.solver!r}, which needs all rows at every step. Use fit, with "
            "warm_start=True to go on."
        )
    return True


class OneSampleMixin:
    """Prediction and learning of single samples, for an estimator with a `Single`."""

    _network: Network
    _training: Training | None
    _single: Single | None
    #: The parameters that the `Single` learns by, once it has learnt.
    _learns_by: tuple | None = None

    def predict_one(self: Any, x: ArrayLike) -> float | NDArray[np.floating]:
        """Predict the target of one sample, in about a microsecond.

        Parameters
        ----------
        x : array-like of shape (n_features,)
            The sample; without names of features.

        Returns
        -------
        y : float, or ndarray of shape (n_outputs,) where there are several
            The prediction.

        Raises
        ------
        ValueError
            If x has another shape or holds NaN or infinity.
        """
        single = self.__dict__.get("_single")
        if single is None or not single.holds(self.coefs_, self.intercepts_):
            check_is_fitted(self)
            single = Single(self._network, self._parameters())  # of arrays that a user assigned
        prediction = single.predict(x)
        return prediction if len(prediction) > 1 else prediction.item()

    @available_if(has_partial_fit)
    def learn_one(self: Any, x: ArrayLike, y: ArrayLike) -> Any:
        """Make one online update for one sample, in place.

        It does what ``partial_fit`` does with a table of one row, without its checks of tables and
        without a copy: ``coefs_`` change in place, and ``loss_`` becomes the sample's loss before
        the update. ``loss_curve_`` and ``n_iter_`` stay what they are. The first call on an
        estimator that is not fitted is a ``partial_fit``, which draws the initial weights. The
        schedule "adaptive" goes by epochs, and leaves the rate as it is here.

        Parameters
        ----------
        x : array-like of shape (n_features,)
            The sample; without names of features.
        y : float, or array-like of shape (n_outputs,)
            Its target.

        Returns
        -------
        self : BackpropRegressor
            The estimator.

        Raises
        ------
        ValueError
            If x or y has another shape or is not finite, if a parameter is wrong, or if the loss is
            no longer finite. Nothing has changed then.
        """
        single = self.__dict__.get("_single")
        if (
            single is None
            or self._learns_by != _learning_parameters(self)
            or not single.holds(self.coefs_, self.intercepts_)
        ):
            if not hasattr(self, "coefs_"):
                if np.ndim(x) != 1:
                    raise ValueError(
                        f"x has shape {np.shape(x)}, but one sample is (n_features,). For a table "
                        "of samples there is partial_fit."
                    )
                return self.partial_fit(
                    np.reshape(x, (1, -1)), np.reshape(y, (1, -1) if np.size(y) > 1 else 1)
                )
            single = self._start_learning()
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            single.set_rate(invscaled_rate(self.learning_rate_init, self.t_, self.power_t))
        self.loss_ = single.learn(x, y)
        self.t_ += 1
        return self

    def _start_learning(self: Any) -> Single:
        """Take the parameters as they are now, and the moments of the training so far."""
        self._validate_params()
        check_solver(self)
        if self.early_stopping:
            raise ValueError(
                f"learn_one does not support early_stopping={self.early_stopping!r}: it sees no "
                "data to set aside. Set early_stopping=False, or use fit."
            )
        fitted = self._network
        network = self._new_network(fitted.layer_sizes[0], fitted.layer_sizes[-1])
        if network != fitted:
            raise ValueError(
                f"The parameters now describe {network}, not the fitted network {fitted}. Leave "
                "them as they were, or fit anew."
            )
        self._bring_up_to_date()
        parameters = self._parameters()
        if self._single is None or not self._single.holds(self.coefs_, self.intercepts_):
            self._adopt(parameters)
        self._training = next_training(self, parameters, self._training, one_epoch=True)
        self._single.start_learning(self._training.rule, float(self.alpha), self._training.moments)
        self._learns_by = _learning_parameters(self)
        self.gradient_norm_ = math.nan  # that of the weights before
        return self._single

    def _bring_up_to_date(self: Any) -> None:
        """Take the moments over from the samples learnt one by one, if there were any."""
        if self._learns_by is not None and self._single is not None:
            self._training.moments = self._single.moments()
            self._training.history.n_samples_seen = self.t_
            if self.solver == "sgd" and self.learning_rate == "invscaling":
                rate = invscaled_rate(self.learning_rate_init, self.t_, self.power_t)
                self._training.rule = self._training.rule._replace(learning_rate=rate)
        self._learns_by = None

    def _adopt(self: Any, parameters: NDArray[np.floating]) -> None:
        """Keep parameters where single samples are learnt, and show them from there."""
        self._single = Single(self._network, parameters)
        self.coefs_, self.intercepts_ = list(self._single.coefs), list(self._single.intercepts)

    def __getstate__(self: Any) -> dict:
        self._bring_up_to_date()
        state: dict = dict(super().__getstate__())  # type: ignore[call-overload]
        state.pop("_single", None)
        return state

    def __setstate__(self: Any, state: dict) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        if "coefs_" in state:
            self._adopt(self._parameters())


def _learning_parameters(estimator: Any) -> tuple:
    return (
        estimator.loss,
        estimator.activation,
        estimator.output_activation,
        estimator.solver,
        estimator.alpha,
        estimator.learning_rate,
        estimator.learning_rate_init,
        estimator.momentum,
        estimator.nesterovs_momentum,
        estimator.early_stopping,
        estimator.beta_1,
        estimator.beta_2,
        estimator.epsilon,
    )
