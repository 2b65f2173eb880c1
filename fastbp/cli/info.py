"""``python -m fastbp info`` and ``warmup``: what is installed here, and compiling it ahead."""

import platform
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropRegressor, Network, Objective, __version__
from fastbp.backends.cpu.jacobian import input_gradient, parameter_jacobian
from fastbp.backends.cpu.layout import layout_of
from fastbp.backends.device import describe_gpu
from fastbp.cli.terminal import timed
from fastbp.model.activations import ACTIVATIONS
from fastbp.model.data import as_data
from fastbp.model.losses import LOSSES
from fastbp.model.objective import NO_PATIENCE, EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import UPDATE_RULES, Moments, Rule

__all__ = ["info", "warmup"]


def info() -> None:
    """Print versions, what the processor offers, and where compiled code is kept."""
    import joblib

    from fastbp.machine.chip import chip

    cpu = chip()
    facts = {"fastbp": __version__, "Python": platform.python_version()}
    for package in ("numpy", "scipy", "scikit-learn", "numba", "llvmlite"):
        facts[package] = version(package)
    facts["CPU"] = f"{cpu.name} ({platform.machine()})"
    facts["vectors"] = f"{cpu.vector_bits} bits"
    facts["FMA"] = "yes" if cpu.fused else "no"
    facts["cores"] = f"{joblib.cpu_count()} for this process"
    facts["GPU"] = describe_gpu()
    facts["cache"] = _describe_cache()
    for name, fact in facts.items():
        print(f"{name:13} {fact}")


def warmup() -> None:
    """Compile every kernel for float64 and float32, and keep the code."""
    X = np.random.default_rng(0).standard_normal((2000, 100))
    # With the online epochs these call every kernel; the last one's batch is too much for one
    # compiled call.
    steps: dict[str, dict[str, Any]] = {
        "adam, mini-batches": {"solver": "adam", "batch_size": 100},
        "the same in threads": {"solver": "adam", "batch_size": 200, "n_jobs": 2},
        "lbfgs": {"solver": "lbfgs"},
        "sgd, one large batch": {"solver": "sgd", "batch_size": "full"},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for dtype in ("float64", "float32"):
            inputs = X.astype(dtype)
            for name, parameters in steps.items():
                net = BackpropRegressor(hidden_layer_sizes=(1000,), max_iter=1, **parameters)
                with timed(f"{dtype}  {name:20}"):
                    net.fit(inputs, inputs[:, 0])
            with timed(f"{dtype}  {'functions':20}"):
                _compile_functions(np.dtype(dtype))
            with timed(f"{dtype}  {'online, every rule':20}"):
                _train_online(inputs)
            with timed(f"{dtype}  {'lm':20}"):
                small = BackpropRegressor(hidden_layer_sizes=(5,), max_iter=1, solver="lm")
                small.fit(inputs, inputs[:, 0])
            with timed(f"{dtype}  {'prediction':20}"):
                net.predict(inputs)
            with timed(f"{dtype}  {'derivatives':20}"):
                _differentiate(inputs)
            with timed(f"{dtype}  {'one sample':20}"):
                net.learn_one(inputs[0], 0.0).predict_one(inputs[0])
    print(f"Compiled code: {_describe_cache()}")


def _compile_functions(dtype: np.dtype) -> None:
    """Compile every activation and loss, with slopes and without, which kernels call by address."""
    for name in ACTIVATIONS:
        for for_training in (True, False):
            layout_of(Network((1, 1), output_activation=name), dtype, for_training)
    for loss in LOSSES.values():
        own = () if loss.parameter is None else (0.5,)
        layout_of(Network((1, 2), loss=loss.name, loss_parameters=own), dtype)
        if not loss.is_for_classes:
            # The canonical activation of none.
            network = Network((1, 2), "relu", loss.name, "softplus", own)
            layout_of(network, dtype)


def _differentiate(X: Any) -> None:
    """Work out derivatives of predictions with respect to inputs and to parameters."""
    network, data = Network((X.shape[1], 1)), as_data(X)
    parameters = np.zeros(network.n_parameters, X.dtype)
    input_gradient(network, parameters, data)
    parameter_jacobian(network, parameters, data, np.arange(len(X)))


def _train_online(X: Any) -> None:
    """Make an epoch by each update rule, which have a kernel each."""
    network = Network((X.shape[1], 1))
    start = np.zeros(network.n_parameters, X.dtype)
    objective = Objective(network, as_data(X, X[:, 0]))
    for name in UPDATE_RULES:
        rule, moments = Rule.of(name, 1e-6, 0.9, 0.999, 1e-8), Moments.zeros(len(start), X.dtype)
        run = objective.run(start, 1, rule, moments, Shuffles(None))
        run.epochs(EpochPlan(rule, NO_PATIENCE, 1))


def _describe_cache() -> str:
    from fastbp.machine.cache import cache_directory

    directory = cache_directory()
    if directory is None:
        return "none; every process compiles anew"
    sizes = [entry.stat().st_size for entry in directory.glob("*.nb?")]
    return f"{directory} ({len(sizes)} files, {sum(sizes):,} bytes)"
