"""Every batch solver: what it reaches, that its loss does not rise, and what it returns."""

import time

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.model.data import as_data
from helpers.guards import DTYPES
from helpers.surfaces import (
    BAYESIAN,
    EVERY_SOLVER,
    EVERY_SOLVER_AND_BAYESIAN,
    RISING,
    START,
    Rosenbrock,
    losses_from,
    minimise,
    watched,
    weighted_problem,
)

#: Evaluations until Rosenbrock's function is below 1e-6: about twice as many as were measured. A
#: new solver has as many as the slowest.
ROSENBROCK_BUDGET = {
    "lbfgs": 85, "bfgs": 85, "cg": 180, "scg": 200, "lm": 55, "rprop": 7000, "gd": 3800,
}  # fmt: skip
#: Iterations to the least-squares solution, about twice as many as were measured, and how near to
#: it. SciPy ends L-BFGS where an iteration lowers the loss by less than 2.2e-9.
LINEAR_BUDGET = {
    "lbfgs": (60, 1e-8), "bfgs": (60, 1e-8), "cg": (30, 1e-8), "scg": (40, 1e-8),
    "lm": (10, 1e-8), "rprop": (350, 1e-8), "gd": (300, 1e-8),
}  # fmt: skip


# What is reached


@EVERY_SOLVER
def test_rosenbrocks_function_is_minimised_within_a_budget(solver):
    objective = watched(Rosenbrock())
    budget = ROSENBROCK_BUDGET.get(solver.split("-")[0], 7000)
    result = minimise(solver, objective, START, max_iter=10**6, max_fun=budget, loss_goal=1e-6)
    assert result.stop_reason == "goal"
    assert Rosenbrock().loss_and_gradient(result.parameters)[0] <= 1e-6
    assert objective.n_calls == result.history.n_fun <= budget


@pytest.mark.parametrize("n_outputs", [1, 2])
@EVERY_SOLVER
def test_without_hidden_layers_it_is_linear_least_squares(solver, n_outputs, rng):
    X = rng.standard_normal((200, 5)) + 0.3 * rng.standard_normal((200, 1))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = 2.0 + X @ rng.standard_normal((5, n_outputs)) + 0.01 * rng.standard_normal((200, n_outputs))
    expected, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(200)]), y)
    max_iter, tolerance = LINEAR_BUDGET.get(solver.split("-")[0], (350, 1e-8))
    objective = Objective(Network((5, n_outputs)), as_data(X, y))
    start = rng.standard_normal(6 * n_outputs)
    result = minimise(solver, objective, start, max_iter=max_iter, gtol=1e-9)
    np.testing.assert_allclose(result.parameters, expected.ravel(), atol=tolerance)
    assert result.stop_reason != "max_iter"


@pytest.mark.slow
def test_a_sine_by_a_1_5_1_net_takes_as_many_evaluations_as_is_told_of_the_solvers():
    """Of 30 starts each is solved; Levenberg-Marquardt is the first, Rprop by far the last.

    Hagan & Menhaj, "Training feedforward networks with the Marquardt algorithm", IEEE TNN 5 (1994).
    """
    X = np.linspace(-1, 1, 41)[:, None]
    network, medians = Network((1, 5, 1), "tanh"), []
    for solver in ("lm", "bfgs", "cg-polak-ribiere", "rprop"):
        n_evaluations = []
        for seed in range(30):
            objective = Objective(network, as_data(X, np.sin(np.pi * X)))
            start = network.initial_parameters(np.random.RandomState(seed), np.dtype(float))
            result = minimise(solver, objective, start, loss_goal=0.001, max_iter=2000)
            assert result.stop_reason == "goal"
            n_evaluations.append(result.history.n_fun)
        medians.append(np.median(n_evaluations))
    assert medians == sorted(medians)
    assert medians[0] < 0.1 * medians[-1]


@EVERY_SOLVER
@DTYPES
def test_loss_never_rises(solver, dtype, rng):
    objective, start = weighted_problem(rng, dtype)
    start_loss, _ = objective.loss_and_gradient(start)
    result = minimise(solver, objective, start, max_iter=60)
    curve = losses_from(start_loss, result)
    assert result.history.n_iter > 5
    assert result.history.loss == curve.min() < 0.8 * start_loss
    if solver not in RISING:
        assert (np.diff(curve) <= 0).all()


# What is returned


@pytest.mark.parametrize("limit", [{"max_iter": 9}, {"max_fun": 14}, {"max_iter": 100}])
@EVERY_SOLVER_AND_BAYESIAN
@DTYPES
def test_the_history_is_that_of_the_calls(solver, limit, dtype, rng):
    objective, start = weighted_problem(rng, dtype)
    answer = objective.loss_and_gradient
    began = time.perf_counter()
    result = minimise(solver, watched(objective), start, **limit)
    elapsed, history = time.perf_counter() - began, result.history
    curves = (history.loss_curve, history.gradient_norm_curve, history.time_curve)
    assert [len(curve) for curve in curves] == [history.n_iter] * 3
    assert history.n_fun == objective.n_calls
    assert history.time_curve[0] > 0
    assert (np.diff([*history.time_curve, elapsed]) >= 0).all()
    loss, gradient = answer(result.parameters)
    exactly = 0.0 if solver != BAYESIAN else 1e-12 if dtype == np.float64 else 1e-5
    assert history.loss == pytest.approx(loss, rel=exactly, abs=0)
    assert history.gradient_norm == pytest.approx(np.abs(gradient).max(), rel=exactly, abs=exactly)
    if solver not in RISING:
        assert history.loss == history.loss_curve[-1] == history.best_loss
        assert history.gradient_norm == history.gradient_norm_curve[-1]


@EVERY_SOLVER_AND_BAYESIAN
@DTYPES
def test_the_start_is_not_changed_and_the_dtype_stays(solver, dtype, rng):
    objective, start = weighted_problem(rng, dtype)
    before = start.copy()
    start.flags.writeable = False
    result = minimise(solver, objective, start, max_iter=5)
    np.testing.assert_array_equal(start, before)
    assert result.parameters.dtype == dtype
    assert result.parameters.shape == start.shape
    assert not np.shares_memory(result.parameters, start)
    assert (result.parameters != start).any()


@EVERY_SOLVER
def test_every_point_asked_for_is_of_the_starts_dtype(solver):
    def change(call, p, *answer):
        assert p.dtype == np.float32
        return answer

    minimise(solver, watched(Rosenbrock(), change), START.astype(np.float32), max_iter=10)


@EVERY_SOLVER_AND_BAYESIAN
def test_the_bits_are_the_same_for_any_number_of_threads(solver, rng):
    seed = rng.integers(2**31)
    results = []
    for n_threads in (1, 2, 3):
        problem = weighted_problem(np.random.default_rng(seed), n_samples=3000, n_threads=n_threads)
        results.append(minimise(solver, *problem, max_iter=6))
    for other in results[1:]:
        np.testing.assert_array_equal(other.parameters, results[0].parameters)
        assert other.history.loss_curve == results[0].history.loss_curve


@EVERY_SOLVER_AND_BAYESIAN
def test_verbose_prints_a_line_an_iteration(solver, rng, capsys):
    result = minimise(solver, *weighted_problem(rng), max_iter=3, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for i, (line, loss) in enumerate(zip(lines, result.history.loss_curve, strict=True), start=1):
        assert line.startswith(f"Iteration {i}, loss = {loss:.8f}, gradient = ")
    minimise(solver, *weighted_problem(rng), max_iter=3)
    assert not capsys.readouterr().out
