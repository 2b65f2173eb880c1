"""What a fit leaves in an estimator: parameters and curves; predictions by them; pickling."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from fastbp.backends.cpu.one_sample import OneSample
from fastbp.backends.cpu.predict import Predictor, predict
from fastbp.diagnostics.uncertainty import Posterior
from fastbp.estimators.checks import check_inputs
from fastbp.estimators.uncertainty import mean_of
from fastbp.machine.threads import is_worth_threads
from fastbp.model.data import as_data
from fastbp.model.network import Network
from fastbp.solvers.registry import SOLVERS
from fastbp.solvers.stochastic import OptimiserState, invscaled_rate
from fastbp.training.task import FitResult
from fastbp.training.warn import warn
from fastbp.version import __version__

__all__ = ["FittedEstimator"]


class FittedEstimator(BaseEstimator):
    """An estimator that keeps what a fit found, predicts by it, and is pickled with it."""

    # Of the constructor's parameters, those that count after a fit, too.
    solver: str
    learning_rate: str
    learning_rate_init: float
    power_t: float
    n_jobs: int | None

    # What a fit sets. The parameters are in `_one_sample`, of which `coefs_` are views.
    coefs_: list[NDArray[np.floating]]
    intercepts_: list[NDArray[np.floating]]
    loss_: float
    t_: int
    gradient_norm_: float
    _network: Network
    _state: OptimiserState | None
    _one_sample: OneSample | None
    #: Predicts tables by the same parameters.
    _predictor: Predictor | None
    #: Of a committee, the parameters of all starts but the best, whose are `coefs_`.
    _other_parameters: tuple[NDArray[np.floating], ...] = ()
    #: How far the data determine the parameters, where the fit tells.
    _posterior: Posterior | None = None
    #: The constructor's parameters that single samples are learnt by, once one was.
    _learns_by: tuple | None = None

    def _set_fitted(self, network: Network, result: FitResult) -> None:
        history = result.history
        self._take_network(network)
        self._state, self._learns_by = result.state, None
        self._posterior = result.posterior
        self._other_parameters = tuple(
            each for each in result.all_parameters if each is not result.parameters
        )
        self._adopt(result.parameters)
        self.stop_reason_ = result.stop_reason
        self.n_iter_ = history.n_iter
        self.n_fun_ = history.n_fun
        self.t_ = history.n_samples_seen
        self.loss_ = history.loss
        self.gradient_norm_ = history.gradient_norm
        self.loss_curve_ = history.loss_curve
        self.time_curve_ = history.time_curve
        self.n_fun_curve_ = history.n_fun_curve
        self.gradient_norm_curve_ = history.gradient_norm_curve
        self.init_losses_ = result.init_losses
        self.best_loss_ = history.best_loss
        self.validation_scores_ = history.validation_scores
        self.best_validation_score_ = history.best_validation_score
        for name in ("alpha_", "effective_parameters_", "path_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        if result.path is not None:
            self.path_ = result.path
        if result.alpha is not None:
            self.alpha_, self.effective_parameters_ = result.alpha, result.effective_parameters

    def _take_network(self, network: Network) -> None:
        self._network = network
        self.n_layers_ = len(network.layer_sizes)
        self.n_outputs_ = network.layer_sizes[-1]
        last = network.last_activation
        self.out_activation_ = last if isinstance(last, str) else last.name

    def _adopt(self, parameters: NDArray[np.floating]) -> None:
        """Keep parameters where single samples are learnt, and show them from there."""
        one = OneSample(self._network, parameters)
        self.coefs_, self.intercepts_ = list(one.coefs), list(one.intercepts)
        # A committee's have to go the slow way, on which they are refused.
        self._one_sample = None if self._other_parameters else one
        self._predictor = None if self._other_parameters else Predictor(one.padded)

    def _parameters(self) -> NDArray[np.floating]:
        """`coefs_` and `intercepts_`, as they are now, in one vector."""
        is_single = getattr(self.coefs_[0], "dtype", None) == np.float32
        dtype = np.dtype(np.float32 if is_single else np.float64)
        return self._network.pack(self.coefs_, self.intercepts_, dtype)

    @property
    def members_(self) -> list[NDArray[np.floating]]:
        """The parameter vectors of the networks that predict: with ``keep_all=True`` of all starts.

        The first is the best's, which `coefs_` and `intercepts_` are. Starts that diverged are not
        there.
        """
        own = self._parameters()
        return [own, *(other.astype(own.dtype, copy=False) for other in self._other_parameters)]

    def _check_is_fitted(self) -> None:
        if "coefs_" not in vars(self):  # to ask scikit-learn takes as long as to predict a row
            check_is_fitted(self)

    def _outputs(self, X: Any, network: Network) -> NDArray[np.floating]:
        """Check inputs, and predict: (n_samples, n_outputs)."""
        return mean_of(self._outputs_of_each(X, network))

    def _outputs_of_each(self, X: Any, network: Network) -> list[NDArray[np.floating]]:
        """Check inputs, and predict by each network of the committee."""
        predictor, one = self.__dict__.get("_predictor"), self.__dict__.get("_one_sample")
        if (
            predictor is None
            or one is None
            or not one.holds(self.coefs_, self.intercepts_)
            or not predictor.is_finite
        ):
            return self._of_each_network(predict, X, network)
        X = check_inputs(self, X)
        data = as_data(X, dtype=one.padded.dtype, is_finite=True)
        found = [predictor.predict(network, data, self._n_threads(data.n_samples, network))]
        _warn_of_overflow(found)
        return found

    def _of_each_network(
        self, function: Callable[..., NDArray[np.floating]], X: Any, network: Network
    ) -> list[NDArray[np.floating]]:
        """Check inputs, and work something out from them by each network of the committee.

        Of the one there is, where there is no committee.
        function : (network, parameters, data, n_threads) -> ndarray.
        """
        X, found = check_inputs(self, X), []
        for parameters in self.members_:
            data = as_data(X, dtype=parameters.dtype, is_finite=True)
            n_threads = self._n_threads(data.n_samples, network)
            found.append(function(network, parameters, data, n_threads))
        _warn_of_overflow(found)
        return found

    def _n_threads(self, n_samples: int, network: Network) -> int:
        """How many threads go through some rows."""
        if is_worth_threads(n_samples, 2 * network.n_parameters):
            return effective_n_jobs(self.n_jobs)
        return 1

    def _store_learnt_moments(self) -> None:
        """Take the moments over from the samples learnt one by one, if there were any."""
        if self._learns_by is not None and self._one_sample is not None and self._state is not None:
            self._state.moments = self._one_sample.moments()
            self._state.history.n_samples_seen = self.t_
            if self._is_invscaled:
                self._state.rule = self._state.rule._replace(learning_rate=self._invscaled_rate)
        self._learns_by = None

    @property
    def _is_invscaled(self) -> bool:
        """Whether the learning rate falls with the rows seen."""
        return self.learning_rate == "invscaling" and SOLVERS[self.solver].has_schedule

    @property
    def _invscaled_rate(self) -> float:
        return invscaled_rate(self.learning_rate_init, self.t_, self.power_t)

    @classmethod
    @cache
    def _default_parameters(cls) -> dict[str, Any]:
        # Read once: callbacks that look at each iteration copy the estimator as often.
        return {name: each.default for name, each in inspect.signature(cls).parameters.items()}

    def __getstate__(self) -> dict:
        self._store_learnt_moments()
        state = dict(super().__getstate__(), _fastbp_version=__version__)
        for name in ("_one_sample", "_predictor"):
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict) -> None:
        state = dict(state)
        of_pickle = state.pop("_fastbp_version", "a version before 0.1.0")
        if of_pickle != __version__:
            warn(
                f"This {type(self).__name__} was pickled by fastbp {of_pickle} and is loaded by "
                f"{__version__}: it may predict something else. Fit it anew, or install that "
                "version."
            )
        # A pickle lacks what parameters have come since.
        super().__setstate__(self._default_parameters() | state)
        if "coefs_" in state:
            self._adopt(self._parameters())


def _warn_of_overflow(found: list[NDArray[np.floating]]) -> None:
    if not all(np.isfinite(array).all() for array in found):
        warn(
            "Some predictions overflow to infinity or NaN: their inputs are far outside of what "
            "the network was trained on. Scale them as in training.",
            RuntimeWarning,
        )
