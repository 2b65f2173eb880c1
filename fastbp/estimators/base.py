"""What a regressor and a classifier share: fit, partial_fit, fitted state, pickling."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fastbp.backends.cpu.one_sample import OneSample
from fastbp.backends.cpu.predict import Predictor, predict
from fastbp.backends.dask import is_collection
from fastbp.diagnostics.uncertainty import Posterior
from fastbp.estimators.checks import check_inputs
from fastbp.estimators.collections import (
    PartitionedTable,
    check_collections,
    in_memory,
)
from fastbp.estimators.parameters import (
    CONSTRAINTS,
    ValidOnes,
    check_solver,
    has_partial_fit,
    refuse_early_stopping,
)
from fastbp.estimators.target_summary import TargetSummary
from fastbp.estimators.uncertainty import mean_of, refuse_committee
from fastbp.export.skl2onnx import NetworkToOnnx
from fastbp.machine.threads import is_worth_threads
from fastbp.model.activations import Activation
from fastbp.model.data import as_data
from fastbp.model.losses import Loss
from fastbp.model.network import Network
from fastbp.solvers.monitor import current_watchers
from fastbp.solvers.registry import SOLVERS
from fastbp.solvers.stochastic import OptimiserState, invscaled_rate
from fastbp.training.callbacks import CallbackSupportMixin, FitReport
from fastbp.training.checkpoint import Keeper, KeptTraining
from fastbp.training.fit import fit
from fastbp.training.generators import generator_of, use_again
from fastbp.training.task import FitResult, FitTask, Start
from fastbp.training.validation_set import Table, ValidationSet, split
from fastbp.training.warn import warn
from fastbp.version import SITE, __version__, guide

__all__ = ["BackpropEstimator"]

_VALID = ValidOnes()


class BackpropEstimator(NetworkToOnnx, CallbackSupportMixin, BaseEstimator):
    """A network trained by backpropagation; subclasses say what its targets are."""

    # Where the "?" of its picture in a notebook leads.
    _doc_link_module = "fastbp"
    _doc_link_template = f"{SITE}/generated/api/fastbp.{{estimator_name}}.html"

    # What a subclass's constructor sets; its docstring says what each is.
    hidden_layer_sizes: Any
    activation: Any
    solver: str
    alpha: float | str
    learning_rate: str
    learning_rate_init: float
    power_t: float
    random_state: Any
    tol: float
    warm_start: bool
    early_stopping: bool | str
    validation_fraction: float
    n_jobs: int | None
    output_activation: str | Activation | None
    n_init: int
    gtol: float | None
    keep_all: bool
    record_path: bool

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

    _parameter_constraints: ClassVar[dict] = CONSTRAINTS

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        # scikit-learn reads the constructor's signature at every fit, a tenth of a small one.
        return super()._get_param_names()

    @classmethod
    @cache
    def _default_parameters(cls) -> dict[str, Any]:
        # Read once: callbacks that look at each iteration copy the estimator as often.
        return {name: each.default for name, each in inspect.signature(cls).parameters.items()}

    def _validate_params(self) -> None:
        key = _VALID.key(self)
        if key not in _VALID:
            super()._validate_params()
            _VALID.add(key)

    @property
    @abstractmethod
    def _loss(self) -> str | Loss:
        """The loss, by name or a user's own."""

    @property
    def _loss_parameters(self) -> tuple[float, ...]:
        """The loss's own number for each output, or one for all; empty where it has none."""
        return ()

    @property
    def _repeats_target(self) -> bool:
        """Whether several outputs learn one target."""
        return False

    @property
    @abstractmethod
    def _score_for_early_stopping(self) -> Callable[..., float] | None:
        """What ``early_stopping=True`` goes by: (y, prediction, sample_weight=weights).

        None is minus the loss.
        """

    @abstractmethod
    def _check_rows(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> Table:
        """Check rows to train or to validate on."""

    def _check_table(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> Table | PartitionedTable:
        """Check rows to train or to validate on, in memory or in Dask collections."""
        if is_collection(X):
            return check_collections(self, X, y, sample_weight, reset=reset)
        y, sample_weight = in_memory(y, sample_weight)
        return self._check_rows(X, y, sample_weight, reset=reset)

    #: Whether targets are labels.
    _has_labels: ClassVar[bool] = False
    #: Attributes that `_check_rows` goes by where it learns nothing.
    _what_checks_know: ClassVar[tuple[str, ...]] = ("n_features_in_", "feature_names_in_")

    @abstractmethod
    def _learn_targets(self, summary: TargetSummary) -> None:
        """Learn from all partitions' targets what `_check_rows` is to learn with ``reset``."""

    def _prepare_for_partitions(self, summary: TargetSummary) -> None:
        """Make the checks of a partition's rows independent of the other rows."""

    def _weight_of_classes(self, summary: TargetSummary) -> float | None:
        """Sum of all rows' weights, times those of their classes; None where classes have none."""
        del summary
        return None

    @abstractmethod
    def _loss_of_best_constant(self, summary: TargetSummary) -> float:
        """Loss of predicting the same for each row; 0 where the summary does not tell."""

    def _check_rows_go_on(self, table: Table) -> None:
        """Refuse rows that a fitted network cannot go on with, but for their columns."""

    def _strata(self, table: Table) -> NDArray | None:
        """Give classes of which rows set aside are to have as much as the others."""
        del table
        return None

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        resume_from: str | PathLike[str] | None = None,
    ) -> Self:
        """Train on all of the data.

        Parameters
        ----------
        X : array-like, sparse matrix or Dask collection of shape (n_samples, n_features)
            The inputs. float32 inputs are trained on in float32, all others in float64. A Dask
            Array or DataFrame is trained on partition by partition: on the cluster of the current
            `distributed.Client`, or in ``n_jobs`` of Dask's threads here.
        y : array-like or Dask collection of shape (n_samples,) or (n_samples, n_outputs)
            The targets, or the labels of a classifier.
        sample_weight : array-like or Dask collection of shape (n_samples,), default=None
            Weights of 0 or more.
        X_val : array-like, sparse matrix or Dask collection, (n_val, n_features), default=None
            Inputs to validate on, with ``early_stopping``; no rows are set aside then. In a
            `Pipeline`, ``transform_input=["X_val"]`` transforms them as X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            The targets to validate on.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of 0 or more.
        resume_from : str or path-like, default=None
            The checkpoint of a fit that was cut short, to go on from with the same data and
            parameters; to the same bits, as if it had not been. Limits such as ``max_iter`` may be
            others.

        Returns
        -------
        self : estimator
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or a parameter is wrong, the solver needs too much memory, or the training
            diverges. The estimator is then what it was before.
        RuntimeError
            If a partition of Dask collections cannot be read, or their cluster is lost. Likewise.
        """
        # Before the copy that a failed fit goes back to: it has to know which callbacks to end.
        report = FitReport.of(self, X, y, sample_weight)
        with self._all_or_nothing():
            validation = (X_val, y_val, sample_weight_val)
            task = self._fit_task(X, y, sample_weight, validation, resume_from=resume_from)
            self._set_fitted(task.network, fit(task._replace(report=report)))
            if report is not None:
                report.end()
            if resume_from is None:
                use_again(task.start.random_state, self.random_state)
        return self

    @available_if(has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one epoch on some data, going on from the weights and moments that are there.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of 0 or more.

        Returns
        -------
        self : estimator
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or a parameter is wrong, or the training diverges. The estimator is then
            what it was before.
        """
        refuse_early_stopping(self, "partial_fit")
        with self._all_or_nothing():
            task = self._fit_task(X, y, sample_weight, one_epoch=True)
            self._set_fitted(task.network, fit(task))
            use_again(task.start.random_state, self.random_state)
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Leave the estimator as it was if an exception passes; solvers work on copies."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.update(before)  # first: somebody may be predicting
            for name in self.__dict__.keys() - before.keys():
                del self.__dict__[name]
            raise

    def _fit_task(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        validation: tuple[Any, ArrayLike | None, ArrayLike | None] = (None, None, None),
        one_epoch: bool = False,
        resume_from: str | PathLike[str] | None = None,
    ) -> FitTask:
        """Check everything, and draw what has to be drawn: all of a fit but the training."""
        check_solver(self, self._loss)
        goes_on = hasattr(self, "coefs_") and (self.warm_start or one_epoch)
        table = self._check_table(X, y, sample_weight, reset=not goes_on)
        if goes_on:
            refuse_committee(self, "warm_start or partial_fit", "Leave both")
            if isinstance(table, Table):
                self._check_rows_go_on(table)
        rows_to_validate = self._given_to_validate(table, *validation)
        # Numbers are drawn in MLPRegressor's order: weights, validation split, shuffles.
        random_state = generator_of(self.random_state)
        kept = None if resume_from is None else KeptTraining(resume_from)
        network = self._new_network(table.n_features, table.n_outputs)
        if kept is not None:
            # The file's own take their place in the end.
            parameters, state = np.zeros(network.n_parameters, table.dtype), None
            random_state = kept.generator_before(self.random_state)
        elif goes_on:
            self._check_same_layers(network)
            self._store_learnt_moments()
            parameters, state = self._parameters(), self._state
        else:
            parameters, state = network.initial_parameters(random_state, table.dtype), None
        keeper = Keeper.of(self, random_state, one_epoch)
        if rows_to_validate is None and self._sets_rows_aside:
            if not isinstance(table, Table):
                raise ValueError(
                    f"early_stopping={self.early_stopping!r} sets no rows of Dask collections "
                    "aside. Give rows to validate on, fit(X, y, X_val=..., y_val=...): Dask "
                    f"collections or arrays. {guide('dask')}"
                )
            strata = self._strata(table)
            table, rows_to_validate = split(table, self.validation_fraction, random_state, strata)
        scored_on = None
        if rows_to_validate is not None:
            score = self._score_for_early_stopping
            scored_on = ValidationSet.of(rows_to_validate, parameters.dtype, score)
        task = FitTask(
            estimator=self,
            network=network,
            data=table.data(parameters.dtype),
            validation=scored_on,
            start=Start(parameters, random_state),
            state=state,
            n_init=1 if one_epoch else self._n_starts,
            one_epoch=one_epoch,
            watchers=current_watchers(),
            checkpoint=keeper,
        )
        if keeper is not None:
            keeper.identify(task)
        return task if kept is None else kept.resume(task)

    @property
    def _n_starts(self) -> int:
        """How many starts a fit makes: one where it goes on from the weights that are there."""
        return 1 if self.warm_start and hasattr(self, "coefs_") else self.n_init

    def _given_to_validate(
        self, table: Table | PartitionedTable, X_val: Any, y_val: Any, sample_weight_val: Any
    ) -> Table | PartitionedTable | None:
        if X_val is None and y_val is None and sample_weight_val is None:
            return None
        if X_val is None or y_val is None:
            raise ValueError(
                "X_val and y_val go together, with sample_weight_val if you like: give both or "
                "neither."
            )
        if not self.early_stopping:
            raise ValueError(
                "X_val and y_val are given, but early_stopping=False takes no notice of them. Set "
                "early_stopping=True, or a rule such as 'GL5'."
            )
        try:
            to_validate = self._check_table(X_val, y_val, sample_weight_val, reset=False)
            if to_validate.n_samples < 2:
                raise ValueError("There is 1 row, and 2 are the fewest to validate on.")
            if to_validate.n_outputs != table.n_outputs:
                raise ValueError(
                    f"y_val has shape {to_validate.y_shape}, but y has shape {table.y_shape}: "
                    "give it as many outputs."
                )
        except ValueError as error:
            raise ValueError(f"In the data to validate on (X_val, y_val): {error}") from error
        return to_validate

    @property
    def _sets_rows_aside(self) -> bool:
        """Whether early stopping takes rows of the training data."""
        by_criterion = isinstance(self.early_stopping, str)
        return bool(self.early_stopping) and (by_criterion or SOLVERS[self.solver].stops_by_score)

    def _new_network(self, n_features: int, n_outputs: int) -> Network:
        sizes = self.hidden_layer_sizes
        hidden = list(sizes) if np.iterable(sizes) else [sizes]
        if not all(isinstance(size, int | np.integer) and size > 0 for size in hidden):
            raise ValueError(
                f"hidden_layer_sizes must be > 0, whole numbers, one a layer; got {hidden}."
            )
        layer_sizes = (n_features, *(int(size) for size in hidden), n_outputs)
        return _network_of(
            layer_sizes,
            tuple(one) if isinstance(one := self.activation, list) else one,
            self._loss,
            self.output_activation,
            self._loss_parameters,
        )

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

    def _n_threads(self, n_samples: int, network: Network) -> int:
        """How many threads go through some rows."""
        if is_worth_threads(n_samples, 2 * network.n_parameters):
            return effective_n_jobs(self.n_jobs)
        return 1

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

    @property
    def members_(self) -> list[NDArray[np.floating]]:
        """The parameter vectors of the networks that predict: with ``keep_all=True`` of all starts.

        The first is the best's, which `coefs_` and `intercepts_` are. Starts that diverged are not
        there.
        """
        own = self._parameters()
        return [own, *(other.astype(own.dtype, copy=False) for other in self._other_parameters)]

    def _check_same_layers(self, network: Network) -> None:
        fitted = self._network.layer_sizes
        if network.layer_sizes != fitted:
            raise ValueError(
                f"warm_start and partial_fit go on with the fitted network of layers {fitted}, but "
                f"hidden_layer_sizes and the data now ask for {network.layer_sizes}. Leave them as "
                "they were, or fit anew with warm_start=False."
            )

    def _parameters(self) -> NDArray[np.floating]:
        """`coefs_` and `intercepts_`, as they are now, in one vector."""
        is_single = getattr(self.coefs_[0], "dtype", None) == np.float32
        dtype = np.dtype(np.float32 if is_single else np.float64)
        return self._network.pack(self.coefs_, self.intercepts_, dtype)

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


_known_network = lru_cache(maxsize=64)(Network)


def _network_of(*arguments: Any) -> Network:
    """Make a network, or give the one that was made of the same: its checks take a while."""
    try:
        return _known_network(*arguments)
    except TypeError:  # it holds what has no hash, which the checks refuse
        return Network(*arguments)


def _warn_of_overflow(found: list[NDArray[np.floating]]) -> None:
    if not all(np.isfinite(array).all() for array in found):
        warn(
            "Some predictions overflow to infinity or NaN: their inputs are far outside of what "
            "the network was trained on. Scale them as in training.",
            RuntimeWarning,
        )
