"""`BackpropClassifier`: its parameters, what its labels may be, and its predictions.

`fit` and `partial_fit` are those of all estimators and stand in ``base.py``, `learn_one` in
``one_sample.py``, `check_gradient` and `stationary_point` in ``inspection.py``; ``labels.py`` has
how labels become targets.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from numbers import Real
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logsumexp
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels

from fastbp.estimators.base import BackpropEstimator
from fastbp.estimators.checks import check_labelled_data, check_sample_weight
from fastbp.estimators.collections import in_memory, over_partitions
from fastbp.estimators.inspection import InspectedEstimator
from fastbp.estimators.labels import Labels, accuracy, class_accuracy
from fastbp.estimators.parameters import has_partial_fit
from fastbp.estimators.scores import label_accuracy
from fastbp.estimators.target_summary import TargetSummary
from fastbp.estimators.uncertainty import mean_of
from fastbp.model.network import Network
from fastbp.solvers.registry import names_where
from fastbp.training.validation_set import Table

__all__ = ["BackpropClassifier"]


class BackpropClassifier(ClassifierMixin, InspectedEstimator):
    """Multilayer perceptron for classification, trained by compiled backpropagation.

    A drop-in for scikit-learn's ``MLPClassifier``: the same parameters in the same order with
    the same defaults, the same attributes, and for the same ``random_state`` the same numbers. Two
    classes are one logistic output, three or more a softmax, several labels a row a logistic output
    each; the loss is the cross-entropy. It adds online mode, batch solvers for small tables,
    restarts, validation rows of your own, more activations, class weights and soft labels.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer; ``()`` is logistic regression.
    activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter,
    shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping,
    validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun, n_jobs, n_init, gtol,
    loss_goal, max_time, cg_update, device
        As of `BackpropRegressor`, but for: ``solver="lm"`` and ``alpha="bayes"``, which are for
        squared errors; and ``early_stopping=True``, which goes by the accuracy. For two classes
        the rows it sets aside hold as much of each as the others.
    class_weight : dict, "balanced" or None, default=None
        Multiplies the sample weights of the rows of each class: ``{class: weight}``, 1 where a
        class is not named. "balanced" makes all classes weigh the same; `partial_fit`, which does
        not see all rows, refuses it. For one label a row.
    soft_labels : bool, default=False
        Whether y is the probability of each class, (n_samples, n_classes), rows summing to 1,
        instead of a label. The classes are then 0, 1, 2, ...
    keep_all : bool, default=False
        As of `BackpropRegressor`: the probabilities are the mean of those of all starts' networks.
    record_path : bool, default=False
    checkpoint, checkpoint_every
        As of `BackpropRegressor`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    coefs_, intercepts_, loss_, best_loss_, loss_curve_, gradient_norm_, gradient_norm_curve_,
    time_curve_, n_fun_curve_, path_, validation_scores_, best_validation_score_, stop_reason_,
    init_losses_, n_iter_, n_fun_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_,
    feature_names_in_
        As of `BackpropRegressor`.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : The estimator whose interface this is.
    BackpropRegressor : The same for numbers.

    Notes
    -----
    What differs from ``MLPClassifier``: losses and `predict_log_proba` are worked out from the net
    inputs of the output layer and are exact where a probability is below the rounding error, which
    theirs is clipped at; a batch of one row is scaled by its sample weight; a training that
    diverges raises ValueError and leaves the estimator as it was; parameters changed between calls
    of `partial_fit` take effect.

    References
    ----------
    Bridle, "Probabilistic interpretation of feedforward classification network outputs",
    Neurocomputing, Springer (1990). Bishop, "Pattern Recognition and Machine Learning", Springer
    (2006), section 5.2.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp import BackpropClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = BackpropClassifier((10,), "tanh", solver="bfgs", random_state=0, tol=1e-3).fit(X, y)
    >>> net.predict(X[[0, 75, 149]])
    array([0, 1, 2])
    >>> bool(net.score(X, y) > 0.95)
    True
    """

    #: That of the loss; there is no choice.
    output_activation = None
    lm_acceleration = False
    _encodes_targets = True
    _labels: Labels

    _has_labels = True
    _what_checks_know = (*BackpropEstimator._what_checks_know, "_labels")
    _parameter_constraints: ClassVar[dict] = {
        **{
            name: values
            for name, values in BackpropEstimator._parameter_constraints.items()
            if name != "output_activation"
        },
        "solver": [StrOptions(set(names_where(lambda each: not each.needs_half_square)))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "soft_labels": ["boolean"],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool | str = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        n_jobs: int | None = None,
        n_init: int = 1,
        gtol: float | None = None,
        loss_goal: float | None = None,
        max_time: float | None = None,
        cg_update: str = "polak-ribiere",
        device: str = "cpu",
        class_weight: dict | str | None = None,
        soft_labels: bool = False,
        keep_all: bool = False,
        record_path: bool = False,
        checkpoint: str | PathLike[str] | None = None,
        checkpoint_every: float = 60.0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.n_jobs = n_jobs
        self.n_init = n_init
        self.gtol = gtol
        self.loss_goal = loss_goal
        self.max_time = max_time
        self.cg_update = cg_update
        self.device = device
        self.class_weight = class_weight
        self.soft_labels = soft_labels
        self.keep_all = keep_all
        self.record_path = record_path
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every

    @available_if(has_partial_fit)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on some data, going on from the weights and moments that are there.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            The labels; some of the classes may be missing.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of 0 or more.
        classes : array-like of shape (n_classes,), default=None
            All classes there will be; the first call needs them.

        Returns
        -------
        self : estimator
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or a parameter is wrong, the classes are missing or not those of the first
            call, or the training diverges. The estimator is then what it was before.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all rows, and partial_fit sees some of them. Give "
                "the weights as a dict, compute_class_weight('balanced', classes=..., y=...) of "
                "scikit-learn for instance."
            )
        with self._all_or_nothing():
            self._take_classes(y, classes)
            return super().partial_fit(X, y, sample_weight)

    def _take_classes(self, y: Any, classes: ArrayLike | None) -> None:
        """Take the classes of a first `partial_fit`, or compare those of another."""
        is_first = not hasattr(self, "classes_")
        if classes is None:
            if is_first and not self.soft_labels:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            return
        classes = unique_labels(classes)
        if not is_first:
            if not np.array_equal(self.classes_, classes):
                raise ValueError(
                    f"`classes={classes}` is not the same as on last call to partial_fit, was: "
                    f"{self.classes_}"
                )
        elif not self.soft_labels:
            is_multilabel = type_of_target(y).startswith("multilabel")
            self._given_labels = Labels(y if is_multilabel else classes)

    @over_partitions
    def predict(self, X: Any) -> Any:
        """Predict labels.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs.

        Returns
        -------
        y : ndarray of shape (n_samples,), or (n_samples, n_classes) of several labels a row
            The most probable class; of several labels a row, all that are more probable than not.
        """
        self._check_is_fitted()
        return self._labels.decode(self._outputs(X, self._network))

    @over_partitions
    def predict_proba(self, X: Any) -> NDArray[np.floating]:
        """Predict probabilities.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            The probability of each class, in the order of ``classes_``.
        """
        self._check_is_fitted()
        if self._network.layer_sizes[-1] > 1:
            return self._outputs(X, self._network)
        # 1 - p has no digits left where p is close to 1.
        return mean_of([expit(np.hstack([-z, z])) for z in self._raw_outputs(X)])

    @over_partitions
    def predict_log_proba(self, X: Any) -> NDArray[np.floating]:
        """Predict logarithms of probabilities, which are finite where the probability is not > 0.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            The logarithm of the probability of each class, worked out from the net inputs of the
            output layer.
        """
        self._check_is_fitted()
        raw, is_single = self._raw_outputs(X), self._network.layer_sizes[-1] == 1
        if is_single:
            raw = [np.hstack([-z, z]) for z in raw]
        of_each = [self._log_probabilities(z) for z in raw]
        log_p = of_each[0]
        if len(of_each) > 1:
            log_p = logsumexp(of_each, axis=0) - log_p.dtype.type(np.log(len(of_each)))
        p = mean_of([expit(z) for z in raw]) if is_single else self._outputs(X, self._network)
        # Probabilities that round to the same number are to be as close in their logarithms.
        return np.log(p, where=p > 0.5, out=log_p)

    def _log_probabilities(self, z: NDArray[np.floating]) -> NDArray[np.floating]:
        """From net inputs of the output layer to logarithms of probabilities."""
        if self._labels.loss == "binary_cross_entropy":
            return -np.logaddexp(0, -z)
        z = z - z.max(axis=1, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=1, keepdims=True))

    def predict_one(self, x: ArrayLike) -> Any:
        """Predict the label of one sample, in some microseconds.

        Parameters
        ----------
        x : array-like of shape (n_features,)
            The sample; without names of features.

        Returns
        -------
        label : object, or ndarray of shape (n_classes,) of several labels a row
            What `predict` says of it.

        Raises
        ------
        ValueError
            If x has another shape or holds what is no finite number.
        """
        outputs = super().predict_one(x)
        if self._labels.is_multilabel:
            return (np.atleast_1d(outputs) > 0.5).astype(int)
        if isinstance(outputs, float):
            number = int(outputs > 0.5 and len(self.classes_) > 1)
        else:
            number = int(outputs.argmax())
        return self.classes_[number]

    def predict_proba_one(self, x: ArrayLike) -> NDArray[np.floating]:
        """Predict the probabilities of one sample, in about a microsecond.

        Parameters
        ----------
        x : array-like of shape (n_features,)
            The sample; without names of features.

        Returns
        -------
        p : ndarray of shape (n_classes,)
            The probability of each class, in the order of ``classes_``.

        Raises
        ------
        ValueError
            If x has another shape or holds what is no finite number.
        """
        p = super().predict_one(x)
        return np.array([1 - p, p], self.coefs_[0].dtype) if isinstance(p, float) else p

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy of the predictions.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            The labels. Of probabilities (``soft_labels=True``) the highest counts.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            The part of the rows that are right; of several labels a row, all have to be.
        """
        prediction, y, sample_weight = in_memory(self.predict(X), y, sample_weight)
        if self.soft_labels and np.ndim(y) == 2:
            y = np.asarray(y).argmax(axis=1)
        return label_accuracy(y, prediction, sample_weight)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _raw_outputs(self, X: Any) -> list[NDArray[np.floating]]:
        """Net inputs of the output layer, of each network: (n_samples, n_outputs)."""
        return self._outputs_of_each(X, _without_output_activation(self._network))

    def _decode_gradient(self, gradient: NDArray[np.floating]) -> NDArray[np.floating]:
        if self._network.layer_sizes[-1] > 1:
            return gradient
        return np.concatenate([-gradient, gradient], axis=1)

    @property
    def classes_(self) -> NDArray:
        """The classes, sorted."""
        try:
            return self._labels.classes
        except AttributeError:
            raise AttributeError("classes_ is not known before a fit.") from None

    @property
    def _label_binarizer(self) -> Any:
        """What encodes labels, under the name that MLPClassifier has for it."""
        return self._labels.binarizer

    @property
    def _loss(self) -> str:
        labels = self.__dict__.get("_labels")
        return "cross_entropy" if labels is None else labels.loss

    @property
    def _score_for_early_stopping(self) -> Callable[..., float]:
        return class_accuracy if self._labels.loss == "cross_entropy" else accuracy

    def _check_rows(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> Table:
        X, y = check_labelled_data(self, X, y, reset=reset, is_soft=self.soft_labels)
        weights = check_sample_weight(sample_weight, X.shape[0], X.dtype)
        given = self.__dict__.pop("_given_labels", None)
        if given is not None:
            self._labels = given
        elif reset:
            self._labels = Labels(y, self.soft_labels)
        if not self.soft_labels and (given is not None or not reset):
            self._refuse_other_classes(unique_labels(y))
        targets = self._labels.encode(y, X.dtype)
        return Table(X, targets, self._weighted_by_class(targets, weights))

    def _learn_targets(self, summary: TargetSummary) -> None:
        self.__dict__.setdefault("_given_labels", Labels(summary.labels, self.soft_labels))

    def _prepare_for_partitions(self, summary: TargetSummary) -> None:
        if self.class_weight == "balanced":
            balanced = _balanced(self._weight_of_each(summary))
            self.class_weight = dict(zip(self.classes_.tolist(), balanced, strict=True))

    def _weight_of_classes(self, summary: TargetSummary) -> float | None:
        if self.class_weight is None:
            return None
        return float(self._weight_of_each(summary) @ self._class_weights())

    def _weight_of_each(self, summary: TargetSummary) -> NDArray[np.float64]:
        """Sum of the sample weights of each class: (n_classes,)."""
        if summary.label_weights is None:
            return summary.mean * summary.total_weight
        assert summary.labels is not None
        weight_of = dict(zip(summary.labels.tolist(), summary.label_weights, strict=True))
        return np.array([weight_of.get(label, 0.0) for label in self.classes_.tolist()])

    def _loss_of_best_constant(self, summary: TargetSummary) -> float:
        if summary.label_weights is None or self.class_weight is not None:
            return 0.0
        parts = summary.label_weights / summary.total_weight
        return float(-(parts @ np.log(parts, where=parts > 0, out=np.zeros_like(parts))))

    def _refuse_other_classes(self, classes: NDArray) -> None:
        if not len(np.setdiff1d(classes, self.classes_)):
            return
        if self.warm_start:
            self._refuse_to_go_on_with(classes)
        raise ValueError(
            f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has "
            f"{classes}."
        )

    def _refuse_to_go_on_with(self, classes: NDArray) -> None:
        raise ValueError(
            "warm_start can only be used where `y` has the same classes as in the previous call to "
            f"fit. Previously got {self.classes_}, `y` has {classes}"
        )

    def _check_rows_go_on(self, table: Table) -> None:
        if self.warm_start and not (self.soft_labels or self._labels.is_multilabel):
            present = self._labels.number_of_each(table.y).any(axis=0)
            if not present.all():
                self._refuse_to_go_on_with(self.classes_[present])

    def _strata(self, table: Table) -> NDArray | None:
        if table.y.shape[1] > 1:
            return None
        is_second = table.y > 0.5
        counts = len(is_second) - is_second.sum(), is_second.sum()
        if 1 in counts and len(self.classes_) > 1:
            number = counts.index(1)
            raise ValueError(
                "The least populated classes in y have only 1 member, which is too few: "
                "early_stopping sets rows of each class aside. Classes with too few members are: "
                f"['{bool(number)}'], which is {self.classes_[number]!r}. Give more rows of it, "
                "rows to validate on (X_val, y_val), or set early_stopping=False."
            )
        return is_second

    def _weighted_by_class(self, targets: NDArray, weights: NDArray | None) -> NDArray | None:
        """Multiply the sample weights by those of the classes."""
        if self.class_weight is None:
            return weights
        if self._labels.is_multilabel:
            raise ValueError(
                "class_weight is for one label a row, and y has several. Give sample_weight."
            )
        of_each = self._labels.number_of_each(targets)
        if self.class_weight == "balanced":
            of_class = _balanced(of_each.sum(axis=0) if weights is None else weights @ of_each)
        else:
            of_class = self._class_weights()
        by_class = (of_each @ of_class).astype(targets.dtype)
        return by_class if weights is None else weights * by_class

    def _class_weights(self) -> NDArray[np.float64]:
        """Give the weights that the user has given to classes: (n_classes,)."""
        assert isinstance(self.class_weight, dict)
        classes = self.classes_.tolist()
        unknown = [label for label in self.class_weight if label not in classes]
        if unknown:
            raise ValueError(
                f"class_weight names {unknown[0]!r}, which is no class of y: {self.classes_}."
            )
        return np.array([self.class_weight.get(label, 1.0) for label in classes])

    def _encode_one(self, label: Any) -> NDArray[np.floating]:
        if "_labels" not in self.__dict__:
            raise ValueError(
                "learn_one begins where the classes are known: call fit, or partial_fit with "
                "classes=..., first."
            )
        return self._labels.encode_one(label, self.coefs_[0].dtype)


@lru_cache(maxsize=64)
def _without_output_activation(network: Network) -> Network:
    return replace(network, loss="squared_error", output_activation="identity")


def _balanced(counts: NDArray[np.floating]) -> NDArray[np.floating]:
    """Weights of classes with which all have the same sum."""
    return counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1e-300))
