"""`BackpropRegressor`: its parameters, what its targets may be, and its predictions.

`fit` and `partial_fit` are those of all estimators and stand in ``base.py``, `predict_one` and
`learn_one` in ``one_sample.py``, `check_gradient`, `stationary_point` and `input_gradient` in
``inspection.py``; ``uncertainty.py`` has standard deviations and committees.
"""

from collections.abc import Callable
from numbers import Real
from os import PathLike
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions

from fastbp.estimators.base import BackpropEstimator
from fastbp.estimators.checks import (
    check_quantiles,
    check_sample_weight,
    check_targets,
    check_training_data,
)
from fastbp.estimators.collections import in_memory, over_partitions
from fastbp.estimators.inspection import InspectedEstimator
from fastbp.estimators.refusals import checked_sample
from fastbp.estimators.scores import r2
from fastbp.estimators.target_scaling import TargetScaling
from fastbp.estimators.target_summary import TargetSummary
from fastbp.estimators.uncertainty import mean_of, standard_deviation
from fastbp.model.activations import Activation
from fastbp.model.losses import Loss, loss_of, losses_where
from fastbp.training.validation_set import Table

__all__ = ["BackpropRegressor"]


class BackpropRegressor(RegressorMixin, InspectedEstimator):
    """Multilayer perceptron for regression, trained by compiled backpropagation.

    A drop-in for scikit-learn's ``MLPRegressor``: the same parameters in the same order with
    the same defaults, the same attributes, and for the same ``random_state`` the same numbers. It
    adds online mode, batch solvers for small tables, restarts, validation rows of your own, more
    activations, and a choice of output activation.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        Summed over outputs: "squared_error" (half of it), "absolute_error", "huber", "quantile"
        (the pinball loss), "log_cosh", and with a log link "poisson" (half the deviance, for
        targets of 0 or more) and "gamma" (likewise, above 0). Or your own `Loss`, on the CPU.
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer; ``()`` is a linear model.
    activation : str, Activation or list of them, default="relu"
        Of the hidden layers, or one for each: "identity", "logistic", "tanh", "relu", "softsign",
        "softplus", "leaky_relu", "elu", "silu", "gelu", "mish", "sin", or your own `Activation`.
    solver : str, default="adam"
        "adam" or "sgd" go through the rows in batches. The others use all rows at every step:
        "lm" is Levenberg-Marquardt, for squared errors and up to some thousand parameters; "bfgs",
        self-scaled, and for more parameters "lbfgs" are quasi-Newton methods; "cg" is conjugate
        gradients, "scg" Moller's scaled conjugate gradients; "rprop" is iRprop+; "gd" steepest
        descent with a line search.
    alpha : float or "bayes", default=0.0001
        Strength of the weight decay: ``alpha / 2 * |weights|^2``, divided by the sum of sample
        weights, is added to the loss of a batch. Biases are not penalised. "bayes" (lm) finds it
        from the training data, by Bayesian regularisation; a sample weight is then the number of
        times that a row counts. It is accurate only in float64.
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
        weights that had the best. True stops when the R^2 no longer rises, or minus the
        loss where that is neither "squared_error" nor "poisson". The others are
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
        Threads for batches that are worth it and for predictions, in joblib's meaning. The
        results have the same bits for any number.
    output_activation : str, Activation or None, default=None
        Activation of the output layer: any of the above, or "exp". None takes the one that
        belongs to the loss, "exp" for poisson and gamma and else "identity".
    n_init : int, default=1
        Random starts, of which the best is kept, by final loss or validation score. They run in
        ``n_jobs`` threads, small networks online or in batches of up to 8 rows in the lanes of a
        vector (see `fit_many`); the first is the one that ``n_init=1`` makes, in lanes to rounding.
        When `fit` goes on from weights that are there, it goes on from those alone, and
        `partial_fit` makes one start.
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
    lm_acceleration : bool, default=False
        Whether solver "lm" bends its steps by their geodesic acceleration (Transtrum & Sethna,
        2012): for smooth activations such as "tanh", not "relu". Typically it then takes fewer
        iterations, of which each costs two gradients more, and may end in another minimum.
    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where `fit` and `partial_fit` compute: on the CPU, on an NVIDIA GPU (``pip install
        'fastbp[cuda13]'``), or on the GPU if there is one. The data stay there for the whole fit;
        the fitted model is the same, and predicts on the CPU. A GPU pays for batches of thousands
        of rows, and for hundreds of small networks at once (``n_init``, `fit_many`,
        `BackpropSearchCV`). "lm" computes on the CPU.
    huber_delta : float, default=1.35
        Loss "huber" is half the square of errors up to this, and linear beyond; above 0.
    quantile : float or array-like of float, default=0.5
        Which quantile loss "quantile" fits, between 0 and 1. Several, in rising order, are for one
        target: the network has so many outputs, in that order, which may cross.
    scale_target : bool, default=False
        Whether to train on (y - mean) / standard deviation, weighted and for each output, as the
        first fit or `partial_fit` finds them; for losses of positive targets on y / mean. `predict`
        gives the units of y; losses, ``loss_goal``, ``tol`` and ``huber_delta`` are in scaled ones.
    keep_all : bool, default=False
        Whether the networks of all ``n_init`` starts are kept, as a committee: `predict` is their
        mean, and `coefs_` and all else describe the best. Not with ``warm_start``, `partial_fit`,
        `learn_one` and `predict_one`, which are for one network.
    record_path : bool, default=False
        Whether to keep the parameters at the start and after each iteration in ``path_``, for an
        `ErrorSurfaceDisplay`.
    checkpoint : str, path-like or None, default=None
        A file that `fit` keeps its state in while it trains, for ``fit(..., resume_from=file)`` to
        go on from with the same bits. For one fit at a time: a fit whose file another has written
        since it began ends with an error. On the CPU, with ``n_init=1``, not for lbfgs.
    checkpoint_every : float, default=60.0
        Seconds from one writing of it to the next, which is between two iterations.

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
    n_fun_curve_ : list of int
        Evaluations of the loss over all rows until the end of each iteration, as of ``n_fun_``, but
        over all calls.
    gradient_norm_ : float
        The largest entry of the loss's gradient, in absolute value, at the weights that are kept
        (NaN where it was not worked out: after `partial_fit` and `learn_one`, and after sgd and
        adam were interrupted or ran out of time).
    gradient_norm_curve_ : list of float
        The same after each iteration. Unless ``gtol`` is given, sgd and adam have NaN there, but
        for the last epoch where its weights are kept.
    validation_scores_ : list of float or None
        R^2 on the validation rows after each iteration, for Prechelt's rules and other losses than
        "squared_error" and "poisson" minus the loss (with early stopping).
    best_validation_score_ : float or None
        The highest of them.
    stop_reason_ : str
        Why training stopped. Converged: "gradient_norm", "tolerance", "goal", "validation",
        "learning_rate"; a limit: "max_iter", "max_fun", "time"; no lower point: "line_search",
        "step_size", "diverged"; told to: "one_epoch", "callback",
        "interrupted".
    init_losses_ : ndarray of shape (n_starts,)
        The final loss of each start; their spread shows the local minima. NaN for a start that
        diverged. There are ``n_init`` of them, fewer where ``max_time``, a callback or Ctrl-C let
        no more begin.
    target_mean_, target_scale_ : float or ndarray of shape (n_outputs,)
        What was subtracted from y and what it was divided by, with ``scale_target=True``.
    members_ : list of ndarray of shape (n_parameters,)
        The parameters of the networks that predict, the best first: one, or with ``keep_all=True``
        those of all starts that did not diverge.
    alpha_ : float
        The weight decay that was found, with ``alpha="bayes"``.
    effective_parameters_ : float
        How many parameters the data determine, with ``alpha="bayes"``.
    path_ : ndarray of shape (n_points, n_parameters)
        The parameters (weights of all layers, then biases) at the start and after each iteration of
        the latest call, with ``record_path=True``: of 1000 points or more, every 2nd, 4th, ...
        The first point and the last are always there; early stopping keeps the best, which may be
        an earlier one.
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

    _what_checks_know = (
        *BackpropEstimator._what_checks_know,
        "_target_scaling",
        "_encodes_targets",
    )
    _parameter_constraints: ClassVar[dict] = {
        "loss": [StrOptions(set(losses_where(lambda each: not each.is_for_classes))), Loss],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
        "quantile": [Interval(Real, 0, 1, closed="neither"), "array-like"],
        "scale_target": ["boolean"],
        "lm_acceleration": ["boolean"],
        **BackpropEstimator._parameter_constraints,
    }

    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
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
        output_activation: str | Activation | None = None,
        n_init: int = 1,
        gtol: float | None = None,
        loss_goal: float | None = None,
        max_time: float | None = None,
        cg_update: str = "polak-ribiere",
        lm_acceleration: bool = False,
        device: str = "cpu",
        huber_delta: float = 1.35,
        quantile: Any = 0.5,
        scale_target: bool = False,
        keep_all: bool = False,
        record_path: bool = False,
        checkpoint: str | PathLike[str] | None = None,
        checkpoint_every: float = 60.0,
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
        self.lm_acceleration = lm_acceleration
        self.device = device
        self.huber_delta = huber_delta
        self.quantile = quantile
        self.scale_target = scale_target
        self.keep_all = keep_all
        self.record_path = record_path
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every

    @over_partitions
    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict targets.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs.
        return_std : bool, default=False
            Whether to tell the standard deviation, too. After ``solver="lm"`` it is that of targets
            about their prediction, by Laplace's approximation: the noise in the training data, one
            for all outputs (before their scaling is undone), and the doubt about the weights that
            ``alpha`` and the data leave. It is right near a minimum of the loss on rows that
            represent all, a sample weight being the number of times that a row is there. Of a
            committee (``keep_all=True``) it is that of the networks, whatever the solver: their
            doubt alone, without noise.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predictions, in the dtype of the weights.
        std : ndarray of the same shape
            Their standard deviation, in the units of y; with ``return_std=True``.

        Raises
        ------
        ValueError
            If X is not a finite table of numbers with the features of the fit, or the fit does not
            tell a standard deviation.
        """
        self._check_is_fitted()
        outputs = self._outputs_of_each(X, self._network)
        prediction, scaling = _flat(mean_of(outputs)), self._target_scaling
        if scaling is not None:
            prediction = scaling.undo(prediction)
        if not return_std:
            return prediction
        deviation = _flat(standard_deviation(self, X, outputs))
        return prediction, deviation if scaling is None else scaling.undo_in_differences(deviation)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Score predictions: R^2, for several quantiles minus the mean of their summed losses.

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
        score : float
            Higher is better.
        """
        prediction, y, sample_weight = in_memory(self.predict(X), y, sample_weight)
        if not self._repeats_target:
            return r2(y, prediction, sample_weight)
        value, own = loss_of(self.loss).value, np.array(self._loss_parameters)
        losses = value(prediction.astype(float), np.reshape(y, (-1, 1)), own).sum(axis=1)
        return -float(np.average(losses, weights=sample_weight))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = loss_of(self.loss).positive
        return tags

    @property
    def _loss(self) -> str | Loss:
        return self.loss

    @property
    def _loss_parameters(self) -> tuple[float, ...]:
        name = loss_of(self.loss).parameter
        given = () if name is None else getattr(self, name)
        return tuple(given) if np.iterable(given) else (given,)

    @property
    def _repeats_target(self) -> bool:
        return len(self._loss_parameters) > 1

    @property
    def _score_for_early_stopping(self) -> Callable[..., float] | None:
        return r2 if loss_of(self.loss).has_r2_score else None

    def _check_rows(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> Table:
        X, y = check_training_data(self, X, y, reset=reset)
        weights = check_sample_weight(sample_weight, X.shape[0], X.dtype)
        check_targets(y, self.loss)
        if reset:
            self._learn_scale(y, weights)
        return Table(X, self._encode(y), weights)

    def _decode_gradient(self, gradient: NDArray[np.floating]) -> NDArray[np.floating]:
        scaling = self._target_scaling
        if scaling is None:
            return gradient
        return scaling.undo_in_differences(gradient.swapaxes(1, 2)).swapaxes(1, 2)

    def _learn_scale(self, y: NDArray, weights: NDArray | None) -> None:
        """Learn the targets' mean and scale, if they are to be scaled, or forget those before."""
        for name in ("_target_scaling", "target_mean_", "target_scale_"):
            self.__dict__.pop(name, None)
        given = self.__dict__.pop("_given_scaling", None)
        if self.scale_target:
            scaling = given or TargetScaling.of(y, weights, loss_of(self.loss).positive)
            self._target_scaling = scaling
            self.target_mean_, self.target_scale_ = scaling.mean, scaling.scale
        self._encodes_targets = self.scale_target

    def _learn_targets(self, summary: TargetSummary) -> None:
        self._given_scaling = TargetScaling.of_summary(summary, loss_of(self.loss).positive)

    def _loss_of_best_constant(self, summary: TargetSummary) -> float:
        if not loss_of(self.loss).is_half_square:
            return 0.0
        scale = 1.0 if self._target_scaling is None else self._target_scaling.scale
        return float(0.5 * np.sum((summary.deviation / scale) ** 2))

    def _encode(self, y: NDArray) -> NDArray:
        """Give the numbers that the network is to predict."""
        if self._target_scaling is not None:
            y = self._target_scaling.apply(y)
        return self._for_all_outputs(y)

    def _encode_one(self, y: Any) -> NDArray[np.floating]:
        assert self._target_scaling is not None
        return self._target_scaling.apply(checked_sample(y, "y"))

    def _for_all_outputs(self, y: NDArray) -> NDArray:
        """Repeat one target for each of several quantiles."""
        if not self._repeats_target:
            return y
        check_quantiles(self._loss_parameters, y)
        return np.repeat(y[:, np.newaxis], len(self._loss_parameters), axis=1)


def _flat(outputs: NDArray[np.floating]) -> NDArray[np.floating]:
    """Give a single output as (n_samples,)."""
    return outputs.ravel() if outputs.shape[1] == 1 else outputs
