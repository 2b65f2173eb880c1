"""What a user calls for one sample at a time: `predict_one` and `learn_one`.

The general methods check a table, copy it, and unpack parameters: a hundred microseconds for a
network that computes for a tenth of one. These check what one sample needs.
"""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fastbp.backends.cpu.one_sample import OneSample
from fastbp.estimators.base import BackpropEstimator
from fastbp.estimators.parameters import check_solver, has_partial_fit, refuse_early_stopping
from fastbp.estimators.refusals import checked_sample
from fastbp.estimators.target_scaling import TargetScaling
from fastbp.estimators.uncertainty import refuse_committee
from fastbp.training.options import next_state

__all__ = ["OneSampleEstimator"]

#: Found by identity; to ask a dtype for its kind takes a fifth of a microsecond.
_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


class OneSampleEstimator(BackpropEstimator):
    """An estimator that predicts and learns single samples."""

    #: Whether the network learns other numbers than the user's targets: those of `_encode_one`.
    _encodes_targets = False
    #: How predictions are brought to the user's units, where they are in others.
    _target_scaling: TargetScaling | None = None

    def _encode_one(self, y: Any) -> NDArray[np.floating]:
        raise NotImplementedError

    def predict_one(self, x: ArrayLike) -> float | NDArray[np.floating]:
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
            If x has another shape or holds what is no finite number, or if this is a committee.
        """
        if type(x) is not np.ndarray or x.dtype not in _FLOATS:
            x = checked_sample(x, "x")
        one = self.__dict__.get("_one_sample")
        if one is None or not one.holds(self.coefs_, self.intercepts_):
            check_is_fitted(self)
            refuse_committee(self, "predict_one", "Call predict([x])")
            one = OneSample(self._network, self._parameters())  # of arrays that a user assigned
        prediction = one.predict(x)
        y = prediction if len(prediction) > 1 else prediction.item()
        return y if self._target_scaling is None else self._target_scaling.undo(y)

    @available_if(has_partial_fit)
    def learn_one(self, x: ArrayLike, y: ArrayLike) -> Self:
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
            Its target; its label, of a classifier that knows its classes.

        Returns
        -------
        self : estimator
            The estimator.

        Raises
        ------
        ValueError
            If x or y has another shape or is not finite, if a parameter is wrong, or if the loss is
            no longer finite. Nothing has changed then.
        """
        if type(x) is not np.ndarray or x.dtype not in _FLOATS:
            x = checked_sample(x, "x")
        if self._encodes_targets:
            y = self._encode_one(y)
        elif not isinstance(y, float):  # as a float64 is, too
            y = checked_sample(y, "y")
        one = self.__dict__.get("_one_sample")
        if (
            one is None
            or self._learns_by != _learning_parameters(self)
            or not one.holds(self.coefs_, self.intercepts_)
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
            one = self._start_learning()
        if self.learning_rate == "invscaling" and self._is_invscaled:
            one.set_rate(self._invscaled_rate)
        self.loss_ = one.learn(x, y)
        self.t_ += 1
        return self

    def _start_learning(self) -> OneSample:
        """Take the parameters as they are now, and the moments of the training so far."""
        refuse_committee(self, "learn_one", "Call fit with all rows")
        self._validate_params()
        check_solver(self, self._loss)
        refuse_early_stopping(self, "learn_one")
        fitted = self._network
        network = self._new_network(fitted.layer_sizes[0], fitted.layer_sizes[-1])
        if network != fitted:
            raise ValueError(
                f"The parameters now describe {network}, not the fitted network {fitted}. Leave "
                "them as they were, or fit anew."
            )
        self._store_learnt_moments()
        parameters = self._parameters()
        one = self._one_sample
        if one is None or not one.holds(self.coefs_, self.intercepts_):
            self._adopt(parameters)
            one = self._one_sample
        assert one is not None
        self._state = next_state(self, parameters, self._state, one_epoch=True)
        one.repeats_target = self._repeats_target
        one.start_learning(self._state.rule, float(self.alpha), self._state.moments)
        self._learns_by = _learning_parameters(self)
        self.gradient_norm_ = math.nan  # that of the weights before
        self._posterior = None
        return one


def _learning_parameters(estimator: Any) -> tuple:
    return (  # plain accesses: an attrgetter takes twice as long, at every call of learn_one
        estimator._loss,
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
        estimator.__dict__.get("huber_delta"),
        estimator.__dict__.get("quantile"),
    )
