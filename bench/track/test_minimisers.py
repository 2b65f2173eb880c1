"""Batch solvers for 20 iterations, and the normal equations of the largest race problem.

All sides of the race have the same loss at the start, R's nnet included where it is installed; what
a solver returns has the loss it says.
"""

from functools import partial

import numpy as np
import pytest

from bench.instruments.minimising import (
    BATCH_SOLVERS,
    check_end,
    check_products,
    check_start,
    jacobian,
    minimise,
)
from bench.problems import MADE, made, sine
from bench.rivals import minimisers, nnet

N_ITER = 20

pytestmark = pytest.mark.benchmark(max_time=0.3, min_rounds=4)


@pytest.mark.parametrize("problem", (made(*MADE[0]), sine(3)), ids=lambda problem: problem.name)
def test_same_start(problem):
    check_start(problem)


def test_rivals_say_the_loss_they_have():
    problem = sine(0)
    network, X, y, start = problem.network, problem.X, problem.y, problem.start
    check_end(problem, "MLPRegressor", minimisers.train_mlp(network, X, y, max_iter=N_ITER))
    check_end(problem, "SciPy", minimisers.train_scipy(network, X, y, start, N_ITER))


def test_nnet_reaches_a_goal():
    if nnet.missing():
        pytest.skip(nnet.missing())
    problem, goal = sine(0), 0.001
    arguments = problem.network, problem.X, problem.y, [problem.start]
    (fit,) = nnet.train(*arguments, max_iter=1000, goal=goal, least_seconds=0)
    check_end(problem, "nnet", fit)
    assert fit.loss <= goal and 1 < fit.n_iter < 1000
    (earlier,) = nnet.train(*arguments, max_iter=int(fit.n_iter), least_seconds=0)
    assert earlier.loss > goal


@pytest.mark.parametrize("solver", BATCH_SOLVERS)
def test_iterations(benchmark, solver):
    problem = made(*MADE[0])
    run = partial(minimise, solver, problem, max_iter=N_ITER)
    parameters, history, *_ = run()
    loss, _ = problem.objective.loss_and_gradient(parameters)
    before, _ = problem.objective.loss_and_gradient(problem.start)
    np.testing.assert_allclose(history.loss, loss, rtol=1e-12)
    assert loss < before
    benchmark(run)
    benchmark.extra_info |= {"iterations": history.n_iter, "evaluations": history.n_fun}


def test_normal_equations(time_per_sample):
    problem = made(*MADE[-1])
    objective, start = problem.objective, problem.start
    check_products(objective, start, jacobian(problem, start))
    run = partial(objective.normal_equations, start)
    what = "normal equations " + "-".join(map(str, problem.network.layer_sizes))
    flops = start.size * (start.size + 1)
    time_per_sample(run, what, "fastbp", start.dtype, len(problem.X), flops)
