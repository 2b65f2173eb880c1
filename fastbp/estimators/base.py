"""What a regressor and a classifier share on the way down: fit and partial_fit."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import _fit_context
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if

from fastbp.backends.dask import is_collection
from fastbp.estimators.collections import PartitionedTable, check_collections, in_memory
from fastbp.estimators.fitted_state import FittedEstimator
from fastbp.estimators.parameters import (
    CONSTRAINTS,
    ValidOnes,
    check_solver,
    has_partial_fit,
    refuse_early_stopping,
)
from fastbp.estimators.target_summary import TargetSummary
from fastbp.estimators.uncertainty import refuse_committee
from fastbp.export.skl2onnx import NetworkToOnnx
from fastbp.model.activations import Activation
from fastbp.model.losses import Loss
from fastbp.model.network import Network
from fastbp.solvers.monitor import current_watchers
from fastbp.solvers.registry import SOLVERS
from fastbp.training.callbacks import CallbackSupportMixin, FitReport
from fastbp.training.checkpoint import Keeper, KeptTraining
from fastbp.training.fit import fit
from fastbp.training.generators import generator_of, use_again
from fastbp.training.task import FitTask, Start
from fastbp.training.validation_set import Table, ValidationSet, split
from fastbp.version import SITE, guide

__all__ = ["BackpropEstimator"]

_VALID = ValidOnes()


class BackpropEstimator(NetworkToOnnx, CallbackSupportMixin, FittedEstimator):
    """A network trained by backpropagation; subclasses say what its targets are."""

    # Where the "?" of its picture in a notebook leads.
    _doc_link_module = "fastbp"
    _doc_link_template = f"{SITE}/generated/api/fastbp.{{estimator_name}}.html"

    # What a subclass's constructor sets; its docstring says what each is.
    hidden_layer_sizes: Any
    activation: Any
    alpha: float | str
    random_state: Any
    tol: float
    warm_start: bool
    early_stopping: bool | str
    validation_fraction: float
    output_activation: str | Activation | None
    n_init: int
    gtol: float | None
    keep_all: bool
    record_path: bool

    _parameter_constraints: ClassVar[dict] = CONSTRAINTS

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        # scikit-learn reads the constructor's signature at every fit, a tenth of a small one.
        return super()._get_param_names()

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

    def _check_same_layers(self, network: Network) -> None:
        fitted = self._network.layer_sizes
        if network.layer_sizes != fitted:
            raise ValueError(
                f"warm_start and partial_fit go on with the fitted network of layers {fitted}, but "
                f"hidden_layer_sizes and the data now ask for {network.layer_sizes}. Leave them as "
                "they were, or fit anew with warm_start=False."
            )


_known_network = lru_cache(maxsize=64)(Network)


def _network_of(*arguments: Any) -> Network:
    """Make a network, or give the one that was made of the same: its checks take a while."""
    try:
        return _known_network(*arguments)
    except TypeError:  # it holds what has no hash, which the checks refuse
        return Network(*arguments)
