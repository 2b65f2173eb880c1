"""What can be compiled ahead: a small piece of work for each, which calls its kernels."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.fleet import n_lanes
from fastbp.backends.cpu.jacobian import input_gradient, parameter_jacobian
from fastbp.backends.cpu.layout import layout_of
from fastbp.backends.cpu.objective import Objective
from fastbp.backends.cpu.one_sample import OneSample
from fastbp.backends.cpu.predict import predict
from fastbp.estimators.regressor import BackpropRegressor
from fastbp.model.activations import ACTIVATIONS
from fastbp.model.data import as_data
from fastbp.model.losses import LOSSES
from fastbp.model.network import Network
from fastbp.model.objective import NO_PATIENCE, EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import UPDATE_RULES, Moments, Rule

__all__ = ["WARMUPS"]


def _fit(**parameters: Any) -> Callable[[NDArray], None]:
    def fit(X: NDArray) -> None:
        BackpropRegressor(max_iter=1, **parameters).fit(X, X[:, 0])

    return fit


def _predict(X: NDArray) -> None:
    network = Network((X.shape[1], 1))
    predict(network, np.zeros(network.n_parameters, X.dtype), as_data(X))


def _compile_functions(X: NDArray) -> None:
    """Compile every activation and loss, with slopes and without, which kernels call by address."""
    for name in ACTIVATIONS:
        for for_training in (True, False):
            layout_of(Network((1, 1), output_activation=name), X.dtype, for_training)
    for loss in LOSSES.values():
        own = () if loss.parameter is None else (0.5,)
        layout_of(Network((1, 2), loss=loss.name, loss_parameters=own), X.dtype)
        if not loss.is_for_classes:
            # The canonical activation of none.
            network = Network((1, 2), "relu", loss.name, "softplus", own)
            layout_of(network, X.dtype)


def _differentiate(X: NDArray) -> None:
    """Work out derivatives of predictions with respect to inputs and to parameters."""
    network, data = Network((X.shape[1], 1)), as_data(X)
    parameters = np.zeros(network.n_parameters, X.dtype)
    input_gradient(network, parameters, data)
    parameter_jacobian(network, parameters, data, np.arange(len(X)))


def _train_online(X: NDArray) -> None:
    """Make an epoch by each update rule, which have a kernel each."""
    network = Network((X.shape[1], 1))
    start = np.zeros(network.n_parameters, X.dtype)
    objective = Objective(network, as_data(X, X[:, 0]))
    for rule, moments in _rules(network, X.dtype):
        run = objective.run(start, 1, rule, moments, Shuffles(None))
        run.epochs(EpochPlan(rule, NO_PATIENCE, 1))


def _train_in_lanes(X: NDArray) -> None:
    """Train as many networks as fill the lanes, online by each update rule, and in batches."""
    for parameters in (
        {"batch_size": 8},
        {"momentum": 0.0},
        {"nesterovs_momentum": False},
        {"nesterovs_momentum": True},
        {"solver": "adam"},
    ):
        net = BackpropRegressor(
            hidden_layer_sizes=(5,), max_iter=1, batch_size="online", n_init=n_lanes(X.dtype)
        ).set_params(**{"solver": "sgd", **parameters})
        net.fit(X[:50, :3], X[:50, 0])


def _learn_one(X: NDArray) -> None:
    """Predict and learn a sample by each update rule, which have a kernel each."""
    network = Network((X.shape[1], 1))
    net = OneSample(network, np.zeros(network.n_parameters, X.dtype))
    net.predict(X[0])
    for rule, moments in _rules(network, X.dtype):
        net.start_learning(rule, 0.0, moments)
        net.learn(X[0], X[0, :1])


def _rules(network: Network, dtype: np.dtype) -> list[tuple[Rule, Moments]]:
    return [
        (Rule.of(name, 1e-6, 0.9, 0.999, 1e-8), Moments.zeros(network.n_parameters, dtype))
        for name in UPDATE_RULES
    ]


#: What can be compiled ahead, by name. Together they call every kernel.
WARMUPS: dict[str, Callable[[NDArray], None]] = {
    "mini-batches": _fit(solver="adam", batch_size=100),
    "threads": _fit(solver="adam", batch_size=200, hidden_layer_sizes=(1000,), n_jobs=2),
    "online": _train_online,
    "lanes": _train_in_lanes,
    "one-sample": _learn_one,
    # A batch that is too much for one compiled call; what it takes is a gradient over all rows.
    "large-batches": _fit(solver="sgd", batch_size="full", hidden_layer_sizes=(1000,)),
    "lbfgs": _fit(solver="lbfgs"),
    "bfgs": _fit(solver="bfgs", hidden_layer_sizes=(5,)),
    "lm": _fit(solver="lm", hidden_layer_sizes=(5,)),
    "predict": _predict,
    "derivatives": _differentiate,
    "functions": _compile_functions,
}
