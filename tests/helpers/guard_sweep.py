"""Networks of all sizes, through every kernel of the CPU, with all arrays beside guard pages.

From ``tests``, ``python -m helpers.guard_sweep`` goes through all of them, which takes minutes, and
``python -m helpers.guard_sweep 20`` through every twentieth. The case at work is named on stderr.
"""

import faulthandler
import sys
import warnings
from typing import NamedTuple

import numpy as np
from scipy import sparse

from fastbp import BackpropRegressor, Network, Objective
from fastbp.backends.cpu.jacobian import input_gradient, parameter_jacobian
from fastbp.backends.cpu.layout import layout_of
from fastbp.backends.cpu.one_sample import OneSample
from fastbp.backends.cpu.predict import predict
from fastbp.machine import threads
from fastbp.model.activations import HIDDEN_ACTIVATIONS
from fastbp.model.data import as_data
from fastbp.model.losses import LOSSES
from fastbp.model.objective import NO_PATIENCE, EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments
from fastbp.solvers import SOLVERS
from helpers.cases import RULES, make_case, output_activations
from helpers.guard_pages import guard_kernels

#: Around the widths of a vector and of every tile, and of several.
SIZES = [*range(1, 34), 47, 48, 49, 63, 64, 65, 127, 128, 129]
DTYPES = ("float64", "float32")
#: From 16 vectors on, parameters are padded to an odd number of vectors: more than the panels hold.
N_PARAMETERS = range(100, 306)
N_RANDOM = 400
#: A step of `LEARNING_RATE` halves the weights by the third, and makes them 0 by the last.
ALPHAS = (0.0, 0.1, 500.0, 1000.0)
LEARNING_RATE = 1e-3  # so small that nothing overflows


class Case(NamedTuple):
    """A network, the data to train it with, and whether calls are cut to few blocks of rows."""

    layers: tuple[int, ...]
    n_samples: int
    dtype: str
    activation: str
    loss: str
    output_activation: str
    alpha: float
    is_sparse: bool
    is_weighted: bool
    is_cut: bool


def all_cases():
    """List the cases, the same ones every time."""
    rng = np.random.default_rng(0)
    cases = []
    for size in SIZES:
        for place in range(6):  # inputs, three layers, outputs, rows
            sizes = [3, 4, 5, 6, 2, 5]
            sizes[place] = size
            *layers, n_samples = sizes
            cases += [_with_any_options(rng, tuple(layers), n_samples, dtype) for dtype in DTYPES]
        for layers in [(size, 1), (3, size), (3, size, 1), (size, size, size)]:
            n_samples = int(rng.choice(SIZES))
            cases += [_with_any_options(rng, layers, n_samples, dtype) for dtype in DTYPES]
    for dtype in DTYPES:
        for layers in [(1, 1), (5, 4, 3), (3, 7, 7, 2), (9, 40, 30, 1)]:
            block = _block_rows(layers, dtype)
            for n_samples in [block - 1, block, block + 1, 2 * block + 3, 16 * block + 1]:
                for is_cut in (False, True):
                    case = _with_any_options(rng, layers, n_samples, dtype)
                    cases.append(case._replace(is_cut=is_cut))
    for _ in range(N_RANDOM):
        layers = [int(n) for n in rng.choice(SIZES, rng.integers(2, 7))]
        n_samples, dtype = int(rng.integers(1, 300)), DTYPES[rng.integers(2)]
        cases.append(_with_any_options(rng, tuple(layers), n_samples, dtype))
    return cases


def _with_any_options(rng, layers, n_samples, dtype):
    loss = ["squared_error", str(rng.choice(list(LOSSES)))][rng.integers(2)]
    options = {
        "activation": str(rng.choice(list(HIDDEN_ACTIVATIONS))),
        "loss": loss,
        "output_activation": str(rng.choice(output_activations(loss))),
        "alpha": ALPHAS[rng.integers(len(ALPHAS))],
    }
    flags = {name: bool(rng.integers(2)) for name in ("is_sparse", "is_weighted", "is_cut")}
    return Case(layers, n_samples, dtype, **options, **flags)


def _block_rows(layers, dtype):
    from fastbp.backends.cpu import kernels

    return kernels.make_workspace(layout_of(Network(layers), dtype), dtype).block_rows


def visit(case, rng):
    """Send a case through every kernel."""
    own = (0.3,) if LOSSES[case.loss].parameter else ()
    network = Network(case.layers, case.activation, case.loss, case.output_activation, own)
    # Of batches of more rows than a call may visit, the gradient is summed first, then a step made.
    threads._FLOPS_PER_CALL = 200 * network.n_parameters if case.is_cut else 1e9
    parameters, X, y, weights = make_case(network, case.n_samples, rng, case.is_weighted)
    parameters = (0.3 * parameters / np.sqrt(max(case.layers))).astype(case.dtype)
    rules = [rule._replace(learning_rate=LEARNING_RATE) for rule in RULES.values()]
    if case.is_weighted:
        weights[rng.uniform(size=len(weights)) < 0.2] = 0
        weights[0] = 1
    if case.is_sparse:
        X[rng.uniform(size=X.shape) < 0.7] = 0
        table = sparse.csr_array(X)
    else:
        table = X
    data = as_data(table, y, weights, case.dtype)
    objective = Objective(network, data, case.alpha, n_threads=2)
    objective.loss_and_gradient(parameters)
    predict(network, parameters, data, n_threads=2)
    input_gradient(network, parameters, data, n_threads=2)
    if network.n_parameters <= 2000 and not LOSSES[case.loss].is_softmax:
        parameter_jacobian(network, parameters, data, np.arange(0, case.n_samples, 3))
    if LOSSES[case.loss].is_half_square and network.n_parameters <= 2000:
        objective.normal_equations(parameters)
    for batch_size in {1, min(1 + int(rng.integers(40)), case.n_samples), case.n_samples}:
        for rule in rules:
            moments = Moments.zeros(parameters.size, parameters.dtype)
            with Shuffles(np.random.RandomState(0)) as shuffles:
                run = objective.run(parameters, batch_size, rule, moments, shuffles)
                run.epochs(EpochPlan(rule, NO_PATIENCE, 2))
        run.gradient(parameters)
    one = OneSample(network, parameters)
    for rule in rules:
        one.start_learning(rule, case.alpha, Moments.zeros(parameters.size, parameters.dtype))
        for i in (0, -1):
            one.learn(X[i], y[i])
    one.predict(X[0])


def visit_normal_equations(n_parameters, dtype, rng):
    """Send a linear network of so many parameters through the normal equations."""
    threads._FLOPS_PER_CALL = 1e9
    network = Network((n_parameters - 1, 1))
    parameters, X, y, weights = make_case(network, int(rng.choice([7, 40, 150])), rng)
    objective = Objective(network, as_data(X, y, weights, dtype), n_threads=2)
    objective.normal_equations(parameters.astype(dtype))


def fit_by_every_solver(dtype, rng):
    """Send a small problem through the estimator."""
    threads._FLOPS_PER_CALL = 1e9
    X = rng.standard_normal((70, 5)).astype(dtype)
    y = np.tanh(X @ rng.standard_normal((5, 3))).astype(dtype)
    table = sparse.csr_matrix(np.where(np.abs(X) < 0.5, 0, X))
    modes = [{"solver": name} for name in SOLVERS] + [
        {"solver": name, "batch_size": batch_size}
        for name, solver in SOLVERS.items()
        if solver.is_stochastic
        for batch_size in (1, 16)
    ]
    for parameters in [*modes, {"solver": "lm", "alpha": "bayes"}]:
        net = BackpropRegressor(
            "squared_error", (9, 4), "silu", max_iter=2, random_state=0, n_jobs=2, **parameters
        )
        for inputs, weights in ((X, None), (table, rng.uniform(1, 2, len(X)))):
            net.fit(inputs, y, sample_weight=weights).predict(inputs)
        net.predict_one(X[0])
        if SOLVERS[net.solver].is_stochastic:
            net.learn_one(X[0], y[0])


def fit_in_lanes(dtype, rng):
    """Train as many networks as fill the lanes by every update rule, online and in batches."""
    threads._FLOPS_PER_CALL = 1e9
    X = rng.standard_normal((37, 5)).astype(dtype)
    y = np.tanh(X @ rng.standard_normal((5, 3))).astype(dtype)
    for hidden in ((9,), (4, 7)):
        for rule in (
            {"momentum": 0.0},
            {"nesterovs_momentum": False},
            {"nesterovs_momentum": True},
            {"solver": "adam"},
        ):
            for batch_size in (1, 4, 7):
                BackpropRegressor(
                    "squared_error",
                    hidden,
                    max_iter=2,
                    random_state=0,
                    batch_size=batch_size,
                    n_init=15,
                ).set_params(**{"solver": "sgd", "alpha": 0.1} | rule).fit(X, y)


def main(step=1):
    """Go through every step-th case; prints how many there were, and the calls of each kernel."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    cases = list(enumerate(all_cases()))[::step]
    n_calls = guard_kernels()
    for seed, case in cases:
        print(seed, case, file=sys.stderr)
        visit(case, np.random.default_rng(seed))
    for dtype in DTYPES:
        for n in N_PARAMETERS[:: min(step, 5)]:  # fewer than a vector has numbers: none is left out
            print(n, "parameters", dtype, file=sys.stderr)
            visit_normal_equations(n, dtype, np.random.default_rng(n))
        print("every solver", dtype, file=sys.stderr)
        fit_by_every_solver(dtype, np.random.default_rng(0))
        fit_in_lanes(dtype, np.random.default_rng(0))
    print(len(cases), *(f"{name}:{n}" for name, n in n_calls.items()))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
