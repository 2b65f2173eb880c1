"""The face: `BackpropRegressor`, a scikit-learn estimator.

It validates, calls a solver, and keeps the fitted attributes. `fit` runs down the house: checked
arrays become `Data`, the parameters a `Network`, both an `Objective`; a solver minimises it.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context, clone
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fastbp.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastbp.data import as_data
from fastbp.gradient_check import gradient_error
from fastbp.losses import LOSSES
from fastbp.network import Network
from fastbp.objective import Objective, predict
from fastbp.one_sample import OneSampleMixin, has_partial_fit
from fastbp.training import Fitted, Table, train
from fastbp.validation import (
    check_inputs,
    check_sample_weight,
    check_targets,
    check_training_data,
)

__all__ = ["BackpropRegressor"]


class BackpropRegressor(OneSampleMixin, RegressorMixin, BaseEstimator):
    """Multilayer perceptron for regression, trained by compiled backpropagation.

    A drop-in for scikit-learn's ``MLPRegressor``: the same parameters in the same order with
    the same defaults, the same attributes, and for the same ``random_state`` the same numbers. It
    adds online mode, more activations, and a choice of output activation.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default="squared_error"
        Half the squared error, or half the Poisson deviance with a log link (targets of 0 or
        more), summed over outputs.
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer; ``()`` is a linear model.
    activation : str, default="relu"
        Of the hidden layers: "identity", "logistic", "tanh", "relu", "softsign", "softplus",
        "leaky_relu", "elu", "silu" or "sin".
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        Adam, stochastic gradient descent, or limited-memory BFGS.
    alpha : float, default=0.0001
        Strength of the weight decay: ``alpha / 2 * |weights|^2``, divided by the sum of sample
        weights, is added to the loss of a batch. Biases are not penalised.
    batch_size : int, "auto", "online" or "full", default="auto"
        Rows of a mini-batch for sgd and adam. "auto" is min(200, n_samples), "online" is 1,
        an update after every sample, "full" is all rows.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        Schedule for sgd: always ``learning_rate_init``; ``learning_rate_init / t^power_t`` after t
        rows; or a fifth of it each time that training makes no progress.
    learning_rate_init : float, default=0.001
        The (initial) step size of sgd and adam.
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Epochs, for lbfgs iterations, at most.
    shuffle : bool, default=True
        Whether sgd and adam visit the rows in a new order every epoch.
    random_state : int, RandomState or None, default=None
        Where initial weights, the validation split and the shuffles are drawn from.
    tol : float, default=1e-4
        Smallest improvement of the loss, or of the validation score, that counts; for lbfgs the
        largest entry of the gradient at convergence.
    verbose : bool, default=False
        Whether to print a line an iteration.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights that are there.
    momentum : float, default=0.9
        Momentum of sgd, from 0 to 1.
    nesterovs_momentum : bool, default=True
        Whether sgd's momentum is Nesterov's.
    early_stopping : bool, default=False
        Whether sgd and adam set ``validation_fraction`` of the rows aside, stop when the R^2 on
        them no longer rises, and restore the weights that had the best.
    validation_fraction : float, default=0.1
        The part set aside, from 0 to 1.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's moments.
    epsilon : float, default=1e-8
        What Adam adds to the root of the second moment.
    n_iter_no_change : int, default=10
        More epochs in a row than this without improvement by ``tol`` end the training.
    max_fun : int, default=15000
        Evaluations of the loss that lbfgs may make.
    n_jobs : int or None, default=None
        Threads for batches of many rows and for predictions, in joblib's meaning. The results
        have the same bits for any number.
    output_activation : str or None, default=None
        Activation of the output layer: any of the above, or "exp". None takes the one that
        belongs to the loss, "identity" for squared_error and "exp" for poisson.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer. They are what predictions and warm starts use: edit them freely.
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer.
    loss_ : float
        The loss at the last iteration.
    best_loss_ : float or None
        The lowest loss of all iterations (sgd, adam; None with early stopping).
    loss_curve_ : list of float
        The loss at each iteration.
    validation_scores_ : list of float or None
        R^2 on the validation rows after each epoch (sgd, adam with early stopping).
    best_validation_score_ : float or None
        The highest of them.
    stop_reason_ : str
        Why training stopped: "tolerance", "validation", "learning_rate", "gradient_norm",
        "max_iter", "max_fun", "line_search", "one_epoch", "interrupted" or "diverged".
    n_iter_ : int
        Iterations of the latest call.
    t_ : int
        Rows seen by sgd and adam in all calls.
    n_layers_ : int
        Number of layers, the input counted.
    n_outputs_ : int
        Number of outputs.
    out_activation_ : str
        Activation of the output layer.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Names of the features, where X had them.

    See Also
    --------
    sklearn.neural_network.MLPRegressor : The estimator whose interface this is.

    Notes
    -----
    What differs from ``MLPRegressor``: with several outputs ``loss_`` sums over them, as the
    gradient does, where theirs is averaged; a batch of one row is scaled by its sample weight; a
    training that diverges raises ValueError and leaves the estimator as it was; parameters
    changed between calls of `partial_fit` take effect.

    References
    ----------
    Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors", Nature
    323 (1986). Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010. Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from fastbp import BackpropRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = BackpropRegressor("squared_error", (20,), "tanh", alpha=10, solver="lbfgs",
    ...                         max_iter=1000, random_state=0)
    >>> model = make_pipeline(StandardScaler(), net).fit(X, y / 100)
    >>> round(model.score(X, y / 100), 1)
    0.5
    """

    _parameter_constraints: ClassVar[dict] = {
        "loss": [StrOptions(set(LOSSES))],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(HIDDEN_ACTIVATIONS))],
        "solver": [StrOptions({"sgd", "adam", "lbfgs"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
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
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [None, Integral],
        "output_activation": [None, StrOptions(set(ACTIVATIONS))],
    }

    def __init__(
        self,
        loss: str = "squared_error",
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
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        n_jobs: int | None = None,
        output_activation: str | None = None,
    ) -> None:
        self.loss = loss
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
        self.output_activation = output_activation

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> "BackpropRegressor":
        """Train on all of the data.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs. float32 inputs are trained on in float32, all others in float64.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of 0 or more.

        Returns
        -------
        self : BackpropRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or a parameter is wrong, or the training diverges. The estimator is then
            what it was before.
        """
        with self._all_or_nothing():
            return self._fit(X, y, sample_weight, one_epoch=False)

    @available_if(has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> "BackpropRegressor":
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
        self : BackpropRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or a parameter is wrong, or the training diverges. The estimator is then
            what it was before.
        """
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True: it sees no data to set aside. "
                "Set early_stopping=False, or use fit."
            )
        with self._all_or_nothing():
            return self._fit(X, y, sample_weight, one_epoch=True)

    def predict(self, X: Any) -> NDArray[np.floating]:
        """Predict targets.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predictions, in the dtype of the weights.

        Raises
        ------
        ValueError
            If X is not a finite table of numbers with the features of the fit.
        """
        check_is_fitted(self)
        X = check_inputs(self, X)
        parameters = self._parameters()
        data = as_data(X, dtype=parameters.dtype, is_finite=True)
        n_threads = effective_n_jobs(self.n_jobs)
        prediction = predict(self._network, parameters, data, n_threads)
        if not np.isfinite(prediction).all():
            warnings.warn(
                "Some predictions overflow to infinity or NaN: their inputs are far outside of "
                "what the network was trained on. Scale them as in training.",
                RuntimeWarning,
                stacklevel=2,
            )
        return prediction.ravel() if prediction.shape[1] == 1 else prediction

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
            smooth activations; more where a sample lies within h of the kink of a relu.
        """
        self._validate_params()
        fitted = hasattr(self, "coefs_")
        X, y = check_training_data(self if fitted else clone(self), X, y, reset=not fitted)
        weights = check_sample_weight(sample_weight, X.shape[0], X.dtype)
        data = as_data(X, check_targets(y, self.loss), weights, np.float64)
        if fitted:
            network = self._network
            parameters = self._parameters().astype(data.dtype)
        else:
            network = self._new_network(data.X.shape[1], data.y.shape[1])
            random_state = check_random_state(self.random_state)
            parameters = network.initial_parameters(random_state, data.dtype)
        n_threads = effective_n_jobs(self.n_jobs)
        return gradient_error(Objective(network, data, self.alpha, n_threads), parameters)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Leave the estimator as it was if an exception passes; solvers work on copies."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None, one_epoch: bool
    ) -> "BackpropRegressor":
        goes_on = hasattr(self, "coefs_") and (self.warm_start or one_epoch)
        X, y = check_training_data(self, X, y, reset=not goes_on)
        weights = check_sample_weight(sample_weight, X.shape[0], X.dtype)
        y = check_targets(y, self.loss)
        # Numbers are drawn in MLPRegressor's order: weights, validation split, shuffles.
        random_state = check_random_state(self.random_state)
        network = self._new_network(X.shape[1], 1 if y.ndim == 1 else y.shape[1])
        if goes_on:
            self._check_same_layers(network)
            self._bring_up_to_date()
            parameters, last = self._parameters(), self._training
        else:
            parameters, last = network.initial_parameters(random_state, X.dtype), None
        table = Table(X, y, weights)
        fitted = train(self, network, parameters, table, random_state, last, one_epoch)
        self._set_fitted(network, fitted)
        return self

    def _new_network(self, n_features: int, n_outputs: int) -> Network:
        sizes = self.hidden_layer_sizes
        hidden = list(sizes) if np.iterable(sizes) else [sizes]
        if not all(isinstance(size, int | np.integer) and size > 0 for size in hidden):
            raise ValueError(
                f"hidden_layer_sizes must be > 0, whole numbers, one a layer; got {hidden}."
            )
        layer_sizes = (n_features, *(int(size) for size in hidden), n_outputs)
        return Network(layer_sizes, self.activation, self.loss, self.output_activation)

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

    def _set_fitted(self, network: Network, fitted: Fitted) -> None:
        history = fitted.history
        self._network, self._training = network, fitted.training
        self._learns_by = None
        self._adopt(fitted.parameters)
        self.n_layers_ = len(network.layer_sizes)
        self.n_outputs_ = network.layer_sizes[-1]
        self.out_activation_ = network.last_activation
        self.stop_reason_ = fitted.stop_reason
        self.n_iter_ = history.n_iter
        self.t_ = history.n_samples_seen
        self.loss_ = history.loss
        self.loss_curve_ = history.loss_curve
        if fitted.training is not None:
            self.best_loss_ = history.best_loss
            self.validation_scores_ = history.validation_scores
            self.best_validation_score_ = history.best_validation_score
        else:  # of an earlier fit by another solver
            for name in ("best_loss_", "validation_scores_", "best_validation_score_"):
                self.__dict__.pop(name, None)
