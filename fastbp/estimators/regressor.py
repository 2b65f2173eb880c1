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
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fastbp.backends.cpu.predict import predict
from fastbp.backends.device import DEVICES
from fastbp.estimators.checks import (
    check_inputs,
    check_sample_weight,
    check_targets,
    check_training_data,
    check_validation_data,
)
from fastbp.estimators.inspection import InspectionMixin
from fastbp.estimators.one_sample import OneSampleMixin, has_partial_fit
from fastbp.model.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastbp.model.data import as_data
from fastbp.model.losses import LOSSES
from fastbp.model.network import Network
from fastbp.solvers import BATCH_SOLVERS, STOCHASTIC_SOLVERS
from fastbp.solvers.conjugate_gradient import UPDATES
from fastbp.solvers.stopping import RULES
from fastbp.training.fit import train
from fastbp.training.task import Fitted, Job, Start, check_solver
from fastbp.training.validation_set import Table, split

__all__ = ["BackpropRegressor"]


class BackpropRegressor(InspectionMixin, OneSampleMixin, RegressorMixin, BaseEstimator):
    """Multilayer perceptron for regression, trained by compiled backpropagation.

    A drop-in for scikit-learn's ``MLPRegressor``: the same parameters in the same order with
    the same defaults, the same attributes, and for the same ``random_state`` the same numbers. It
    adds online mode, batch solvers for small tables, restarts, validation rows of one's own, more
    activations, and a choice of output activation.

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
    solver : str, default="adam"
        "adam" or "sgd" go through the rows in batches. The others use all rows at every step:
        "lm" is Levenberg-Marquardt, for squared errors and up to some thousand parameters; "bfgs"
        and, for more parameters, "lbfgs" are quasi-Newton methods; "cg" is conjugate gradients,
        "scg" Moller's scaled conjugate gradients; "rprop" is iRprop+; "gd" steepest descent with a
        line search.
    alpha : float or "bayes", default=0.0001
        Strength of the weight decay: ``alpha / 2 * |weights|^2``, divided by the sum of sample
        weights, is added to the loss of a batch. Biases are not penalised. "bayes" (lm) finds it
        from the training data, by Bayesian regularisation; a sample weight is then the number of
        times that a row counts. It is exact in float64 alone.
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
        Epochs, for batch solvers iterations, at most.
    shuffle : bool, default=True
        Whether sgd and adam visit the rows in a new order every epoch.
    random_state : int, RandomState or None, default=None
        Where initial weights, the validation split and the shuffles are drawn from.
    tol : float, default=1e-4
        Smallest improvement of the loss, or of the validation score, that counts; for batch
        solvers the largest entry of the gradient at convergence, where ``gtol`` is None.
    verbose : bool, default=False
        Whether to print a line an iteration.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights that are there.
    momentum : float, default=0.9
        Momentum of sgd, from 0 to 1.
    nesterovs_momentum : bool, default=True
        Whether sgd's momentum is Nesterov's.
    early_stopping : bool or str, default=False
        Whether to validate after each iteration, on rows given to `fit` or else on
        ``validation_fraction`` of the rows, set aside; to stop by the scores, and to restore the
        weights that had the best. True stops when the R^2 no longer rises. The others are
        Prechelt's rules: "GL1", "GL2", "GL3", "GL5" stop when the validation loss is so many
        percent above its lowest; "PQ0.5", "PQ0.75", "PQ1", "PQ2", "PQ3" when it is, relative to
        the progress in training; "UP2", "UP3", "UP4", "UP6", "UP8" when it rose in so many strips
        of 5 iterations in a row. (True without rows given does nothing for lbfgs, as in
        MLPRegressor.)
    validation_fraction : float, default=0.1
        The part set aside, from 0 to 1.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's moments.
    epsilon : float, default=1e-8
        What Adam adds to the root of the second moment.
    n_iter_no_change : int, default=10
        More epochs in a row than this without improvement by ``tol`` end the training; for a
        batch solver, iterations that change the loss by 2.2e-9 of it or less.
    max_fun : int, default=15000
        Evaluations of the loss that batch solvers may make; lbfgs looks at it between iterations.
    n_jobs : int or None, default=None
        Threads for batches of many rows and for predictions, in joblib's meaning. The results
        have the same bits for any number.
    output_activation : str or None, default=None
        Activation of the output layer: any of the above, or "exp". None takes the one that
        belongs to the loss, "identity" for squared_error and "exp" for poisson.
    n_init : int, default=1
        Random starts, of which the best is kept, by final loss or validation score. They run in
        ``n_jobs`` threads; the first is the one that ``n_init=1`` makes. When `fit` goes on from
        weights that are there, it goes on from those alone, and `partial_fit` makes one start.
    gtol : float or None, default=None
        Stop when no entry of the gradient is larger. None is ``tol`` for batch solvers, and lbfgs
        then stops too where MLPRegressor's does, when an iteration lowers the loss by less than
        2.2e-9. For sgd and adam None is never; a number costs them one more pass over the rows an
        epoch.
    loss_goal : float or None, default=None
        Stop when the loss is not higher.
    max_time : float or None, default=None
        Seconds a fit may take, all starts together.
    cg_update : {"polak-ribiere", "fletcher-reeves", "hestenes-stiefel"}, default="polak-ribiere"
        The formula of solver "cg".
    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where `fit` and `partial_fit` compute: on the CPU, on an NVIDIA GPU (``pip install
        'fastbp[cuda13]'``), or on the GPU if there is one. The data stay there for the whole fit;
        the fitted model is the same, and predicts on the CPU. A GPU pays for batches of thousands
        of rows, and for hundreds of small networks at once (``n_init``, `fit_many`,
        `BackpropSearchCV`). "lm" computes on the CPU.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer. They are what predictions and warm starts use: edit them freely.
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer.
    loss_ : float
        The loss at the last iteration; for batch solvers, of the weights that are kept.
    best_loss_ : float or None
        The lowest loss of all iterations (None where a validation score decides).
    loss_curve_ : list of float
        The loss at each iteration.
    time_curve_ : list of float
        Seconds of training until the end of each iteration.
    gradient_norm_ : float
        The largest entry of the loss's gradient, in absolute value, at the weights that are kept
        (NaN where it was not worked out: after `partial_fit` and `learn_one`, and after sgd and
        adam were interrupted or ran out of time).
    gradient_norm_curve_ : list of float
        The same after each iteration. Unless ``gtol`` is given, sgd and adam have NaN there, but
        for the last epoch where its weights are kept.
    validation_scores_ : list of float or None
        R^2 on the validation rows after each iteration, for Prechelt's rules minus the loss
        (with early stopping).
    best_validation_score_ : float or None
        The highest of them.
    stop_reason_ : str
        Why training stopped. Converged: "gradient_norm", "tolerance", "goal", "validation",
        "learning_rate"; a limit: "max_iter", "max_fun", "time"; no way on: "line_search",
        "step_size", "diverged"; told to: "one_epoch", "interrupted".
    init_losses_ : ndarray of shape (n_init,)
        The final loss of each start; their spread shows the local minima. NaN for a start that
        diverged, or that no time was left for.
    alpha_ : float
        The weight decay that was found, with ``alpha="bayes"``.
    effective_parameters_ : float
        How many parameters the data determine, with ``alpha="bayes"``.
    n_iter_ : int
        Iterations of the latest call.
    n_fun_ : int
        Evaluations of the loss over all rows in the latest call; an epoch counts as one.
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
    networks", AISTATS 2010. Each solver's file in ``fastbp/solvers`` names its papers.

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
        "solver": [StrOptions({*STOCHASTIC_SOLVERS, *BATCH_SOLVERS})],
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
        "early_stopping": ["boolean", StrOptions(set(RULES))],
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
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "gtol": [None, Interval(Real, 0, None, closed="left")],
        "loss_goal": [None, Interval(Real, None, None, closed="neither")],
        "max_time": [None, Interval(Real, 0, None, closed="left")],
        "cg_update": [StrOptions(set(UPDATES))],
        "device": [StrOptions(set(DEVICES))],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float | str = 0.0001,
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
        output_activation: str | None = None,
        n_init: int = 1,
        gtol: float | None = None,
        loss_goal: float | None = None,
        max_time: float | None = None,
        cg_update: str = "polak-ribiere",
        device: str = "cpu",
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
        self.n_init = n_init
        self.gtol = gtol
        self.loss_goal = loss_goal
        self.max_time = max_time
        self.cg_update = cg_update
        self.device = device

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
        X_val : array-like or sparse matrix of shape (n_val, n_features), default=None
            Inputs to validate on, with ``early_stopping``; no rows are set aside then. In a
            `Pipeline`, ``transform_input=["X_val"]`` transforms them as X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            The targets to validate on.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of 0 or more.

        Returns
        -------
        self : BackpropRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or a parameter is wrong, the solver needs too much memory, or the training
            diverges. The estimator is then what it was before.
        """
        with self._all_or_nothing():
            validation = (X_val, y_val, sample_weight_val)
            return self._fit(X, y, sample_weight, validation, one_epoch=False)

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
                f"partial_fit does not support early_stopping={self.early_stopping!r}: it sees no "
                "data to set aside. Set early_stopping=False, or use fit."
            )
        with self._all_or_nothing():
            return self._fit(X, y, sample_weight, (None, None, None), one_epoch=True)

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
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        validation: tuple[Any, ArrayLike | None, ArrayLike | None],
        one_epoch: bool,
    ) -> "BackpropRegressor":
        job = self._job(X, y, sample_weight, validation, one_epoch)
        self._set_fitted(job.network, train(job))
        return self

    def _job(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        validation: tuple[Any, ArrayLike | None, ArrayLike | None] = (None, None, None),
        one_epoch: bool = False,
    ) -> Job:
        """Check everything, and draw what has to be drawn: all of a fit but the training."""
        check_solver(self)
        goes_on = hasattr(self, "coefs_") and (self.warm_start or one_epoch)
        X, y = check_training_data(self, X, y, reset=not goes_on)
        weights = check_sample_weight(sample_weight, X.shape[0], X.dtype)
        table = Table(X, check_targets(y, self.loss), weights)
        held_out = self._given_to_validate(table, *validation)
        # Numbers are drawn in MLPRegressor's order: weights, validation split, shuffles.
        random_state = check_random_state(self.random_state)
        network = self._new_network(X.shape[1], 1 if y.ndim == 1 else y.shape[1])
        if goes_on:
            self._check_same_layers(network)
            self._bring_up_to_date()
            parameters, last = self._parameters(), self._training
        else:
            parameters, last = network.initial_parameters(random_state, X.dtype), None
        if held_out is None and self.early_stopping and self._sets_aside():
            table, held_out = split(table, self.validation_fraction, random_state)
        start, n_init = Start(parameters, random_state), 1 if goes_on or one_epoch else self.n_init
        return Job(self, network, table, held_out, start, last, n_init, one_epoch)

    def _given_to_validate(
        self, table: Table, X_val: Any, y_val: Any, sample_weight_val: Any
    ) -> Table | None:
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
        given = (X_val, y_val, sample_weight_val)
        return Table(*check_validation_data(self, *given, table.y, table.X.dtype))

    def _sets_aside(self) -> bool:
        """Whether early stopping takes rows of the training data: for lbfgs as MLPRegressor."""
        return self.solver != "lbfgs" or isinstance(self.early_stopping, str)

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
        self.n_fun_ = history.n_fun
        self.t_ = history.n_samples_seen
        self.loss_ = history.loss
        self.gradient_norm_ = history.gradient_norm
        self.loss_curve_ = history.loss_curve
        self.time_curve_ = history.time_curve
        self.gradient_norm_curve_ = history.gradient_norm_curve
        self.init_losses_ = fitted.init_losses
        self.best_loss_ = history.best_loss
        self.validation_scores_ = history.validation_scores
        self.best_validation_score_ = history.best_validation_score
        for name in ("alpha_", "effective_parameters_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        if fitted.bayes is not None:
            self.alpha_, self.effective_parameters_ = fitted.bayes
