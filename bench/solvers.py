"""The tables of the batch solvers: what they need to the same error, and what they spend.

``python bench/solvers.py`` prints all of them in Markdown; ``python bench/solvers.py race`` one:
race, sin, cost, lm, proben1. One thread. In brackets stands the goal the project has set itself.
Before anything is timed, all sides have the same loss at the start, and the loss a rival ends at is
that of its parameters in fastbp; else nothing is printed but what differs.
"""

import math
import statistics
import sys
import time
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.linalg import blas
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.preprocessing import scale
from threadpoolctl import threadpool_limits

import machine
import proben1
from cases import assert_same
from fastbp import BackpropRegressor, Network, Objective
from fastbp.model.data import as_data
from fastbp.solvers import BATCH_SOLVERS, Options
from fastbp.solvers.stopping import Clock
from report import number, ratio, table
from rivals import minimisers, nnet
from timing import best_of, seconds

ROUNDS = 5
MADE = ((1000, 5, 10), (2000, 10, 20), (5000, 10, 50))
COSTLY = ((5000, 10, 50), (20_000, 10, 20), (2000, 64, 64))
COST_GOAL, LM_GOAL = 1.3, 0.6
MOST_ITERATIONS, MOST_EVALUATIONS = 5_000, 50_000
PATIENCE = 10  # times the rival's time


class Problem(NamedTuple):
    """Data and a network of one hidden layer of tanh units, with its start."""

    name: str
    X: np.ndarray
    y: np.ndarray
    n_hidden: int
    seed: int = 0

    @property
    def network(self):
        """The network as fastbp describes it."""
        return Network((self.X.shape[1], self.n_hidden, 1), "tanh")

    @property
    def start(self):
        """The parameters that all sides start from."""
        return self.network.initial_parameters(np.random.RandomState(self.seed), self.X.dtype)

    @property
    def objective(self):
        """The training error as fastbp computes it, made anew."""
        return Objective(self.network, as_data(self.X, self.y))


def made(n_rows, n_inputs, n_hidden, dtype=np.float64):
    """Normal inputs, and tanh of a linear function of them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_inputs))
    y = np.tanh(X @ rng.standard_normal((n_inputs, 1)))
    name = f"{n_rows} rows, {n_inputs}-{n_hidden}-1"
    return Problem(name, X.astype(dtype), y.astype(dtype), n_hidden)


def standardised(name, X, y, n_hidden=10):
    """Data of scikit-learn's."""
    X, y = scale(X), scale(y)[:, None]
    return Problem(f"{name}, {X.shape[1]}-{n_hidden}-1", X, y, n_hidden)


def race_problems():
    """What is raced over: made data, where the error falls to about 0, and two with noise."""
    friedman = make_friedman1(1000, 10, noise=1.0, random_state=0)
    return [
        *(made(*sizes) for sizes in MADE),
        standardised("diabetes", *load_diabetes(return_X_y=True)),
        standardised("friedman1", *friedman),
    ]


def minimise(solver, problem, goal=-math.inf, max_iter=MOST_ITERATIONS, most_seconds=math.inf):
    """Train by a solver of ours, from the arrays on, until the goal or a limit."""
    options = Options(
        max_iter=max_iter,
        max_fun=MOST_EVALUATIONS,
        gtol=0.0,
        n_iter_no_change=math.inf,
        loss_goal=goal,
        clock=Clock(most_seconds),
    )
    return BATCH_SOLVERS[solver](problem.objective, problem.start, options)


def fit(solver, problem, goal, most_seconds=math.inf):
    """Train by the estimator, as MLPRegressor is; returns why it stopped."""
    net = BackpropRegressor(
        hidden_layer_sizes=(problem.n_hidden,),
        activation="tanh",
        solver=solver,
        alpha=0,
        max_iter=MOST_ITERATIONS,
        max_fun=MOST_EVALUATIONS,
        n_iter_no_change=math.inf,
        gtol=0,
        loss_goal=goal,
        max_time=None if math.isinf(most_seconds) else most_seconds,
        random_state=problem.seed,
    )
    return net.fit(problem.X, problem.y.ravel()).stop_reason_


def _nnet(problem):
    return nnet.train(problem.network, problem.X, problem.y, [problem.start])[0]


def _mlp(problem):
    return minimisers.train_mlp(problem.network, problem.X, problem.y, max_iter=100)


def _scipy(problem):
    return minimisers.train_scipy(problem.network, problem.X, problem.y, problem.start)


#: Rivals of the race: how they train for 100 iterations, and the goal for the ratio.
RACERS = {"nnet": (_nnet, 5), "MLPRegressor": (_mlp, 10), "SciPy CG over NumPy": (_scipy, 10)}


def racers():
    """The rivals that are installed."""
    return {name: racer for name, racer in RACERS.items() if name != "nnet" or not nnet.missing()}


def check_start(problem):
    """Require the same loss on all sides at the start, and NumPy's gradient there."""
    network, X, y, start = problem.network, problem.X, problem.y, problem.start
    loss, gradient = problem.objective.loss_and_gradient(start)
    losses = {}
    losses["NumPy"], theirs = minimisers.numpy_loss_and_gradient(network, X, y)(start)
    np.testing.assert_allclose(theirs, gradient, rtol=0, atol=1e-9 * np.abs(gradient).max())
    if problem.seed == 0:
        mlp = minimisers.mlp_start(network, X, y)
        np.testing.assert_array_equal(mlp.parameters, start)
        losses["MLPRegressor"] = mlp.loss
    if not nnet.missing():
        (fit,) = nnet.train(network, X, y, [start], max_iter=0, least_seconds=0)
        losses["nnet"] = fit.loss
        np.testing.assert_allclose(fit.parameters, start, rtol=0, atol=1e-12)
    for name, other in losses.items():
        np.testing.assert_allclose(other, loss, rtol=1e-9, err_msg=f"{name}, {problem.name}")


def check_end(problem, name, fit):
    """Require that a rival's parameters have the loss it says.

    Not to the last digit: nnet's units are 0 and 1 beyond 15.
    """
    loss, _ = problem.objective.loss_and_gradient(fit.parameters)
    np.testing.assert_allclose(fit.loss, loss, rtol=1e-3, err_msg=f"{name}, {problem.name}")


def time_race(problem):
    """Rivals' fits, and seconds by (rival, solver) for those that reach the rival's loss."""
    check_start(problem)
    fits = {name: train(problem) for name, (train, _) in racers().items()}
    for solver in BATCH_SOLVERS:
        minimise(solver, problem, max_iter=2)  # compiled from here on
    runs = {}
    for name, its in fits.items():
        check_end(problem, name, its)
        for solver in BATCH_SOLVERS:
            if name == "MLPRegressor":
                run = partial(fit, solver, problem, its.loss)
                reason = run(PATIENCE * its.seconds)
            else:
                run = partial(minimise, solver, problem, its.loss)
                reason = run(most_seconds=PATIENCE * its.seconds).stop_reason
            if reason == "goal":
                runs[name, solver] = run
    times = dict.fromkeys(runs, math.inf)
    for _ in range(ROUNDS):
        for name, (train, _) in racers().items():
            fits[name] = min(fits[name], train(problem), key=lambda fit: fit.seconds)
        for key, run in runs.items():
            times[key] = min(times[key], seconds(run))
    return fits, times


def race():
    """Time to the loss at which a rival is after 100 iterations from the same start.

    Ours includes the making of the objective, beside MLPRegressor all of ``fit``. nnet makes 99
    iterations of 100, and its time is the mean of calls in a row. A dash: not there in 5,000
    iterations, 50,000 evaluations or ten times the rival's time.
    """
    rows, all_rows = [], []
    for problem in race_problems():
        fits, times = time_race(problem)
        for name, its in fits.items():
            own = {solver: times.get((name, solver), math.inf) for solver in BATCH_SOLVERS}
            best = min(own, key=own.get)
            cells = [number(1e3 * its.seconds), f"{its.loss:.2e}", best, milliseconds(own[best])]
            rows.append(
                [problem.name, name, *cells, ratio(its.seconds, own[best], RACERS[name][1])]
            )
            all_rows.append([problem.name, name, *map(milliseconds, own.values())])
    heads = ["its ms", "its loss", "our best of 7", "ms", "ratio"]
    table(["race, tanh, float64", "rival, 100 iterations", *heads], rows)
    table(["ms to the loss", "of", *BATCH_SOLVERS], all_rows)


def milliseconds(time):
    """Write seconds as milliseconds, or a dash where the goal was not reached."""
    return number(1e3 * time) if math.isfinite(time) else "-"


def sine(seed):
    """One period of a sine, 41 points, for a 1-5-1 net."""
    x = np.linspace(-1, 1, 41)[:, None]
    return Problem("sine", x, np.sin(np.pi * x), 5, seed)


def sin():
    """One period of a sine to a mean squared error of 0.002, from 30 starts."""
    goal, max_iter, problems = 0.001, 1000, [sine(seed) for seed in range(30)]
    for problem in problems:
        check_start(problem)
    rows = []
    for solver in BATCH_SOLVERS:
        run = partial(minimise, solver, goal=goal, max_iter=max_iter)
        results = [run(problem) for problem in problems]
        times = [min(seconds(run, problem) for _ in range(3)) for problem in problems]
        courses = [
            (time, result.history.n_iter)
            for time, result in zip(times, results, strict=True)
            if result.stop_reason == "goal"
        ]
        rows.append([solver, *_successes(courses, len(problems))])
    if not nnet.missing():
        starts, (_, X, y, *_) = [problem.start for problem in problems], problems[0]
        fits = nnet.train(problems[0].network, X, y, starts, max_iter, goal, 0.05)
        courses = [(fit.seconds, fit.n_iter) for fit in fits if fit.loss <= goal]
        rows.append(["nnet", *_successes(courses, len(problems))])
    table(["sine, 1-5-1, MSE 0.002", "reached", "median ms", "median iterations"], rows)


def _successes(courses, n):
    if not courses:
        return [f"0 of {n}", "-", "-"]
    times, iterations = zip(*courses, strict=True)
    median = statistics.median(iterations)
    return [f"{len(courses)} of {n}", milliseconds(statistics.median(times)), f"{median:g}"]


def cost():
    """What a solver's 100 iterations take, over what their gradients take."""
    solvers = ("gd", "cg", "scg", "rprop", "bfgs", "lbfgs")
    rows = []
    for sizes in COSTLY:
        problem = made(*sizes)
        check_start(problem)
        objective, start = problem.objective, problem.start
        options = Options(max_iter=100, gtol=0.0, n_iter_no_change=math.inf)
        runs = {name: partial(BATCH_SOLVERS[name], objective, start, options) for name in solvers}
        n_fun = {name: run().history.n_fun for name, run in runs.items()}
        gradient, times = math.inf, dict.fromkeys(runs, math.inf)
        for _ in range(ROUNDS):
            for name, run in runs.items():
                one = best_of({"": partial(objective.loss_and_gradient, start)}, 20)[""]
                gradient, times[name] = min(gradient, one), min(times[name], seconds(run))
        shares = [times[name] / (n_fun[name] * gradient) for name in solvers]
        cells = [f"{x:.2f}" if x <= COST_GOAL else f"**{x:.2f}**" for x in shares]
        rows.append([problem.name, f"{1e6 * gradient:.0f}", *cells])
    names = [f"{name} (SciPy's)" if name == "lbfgs" else name for name in solvers]
    table([f"time / gradients ({COST_GOAL})", "gradient, µs", *names], rows)


def jacobian(problem, parameters):
    """The derivatives of the predictions, a row for each row of the data, in Fortran's order."""
    (w1, w2), (b1, _) = problem.network.unpack(parameters)
    hidden = np.tanh(problem.X @ w1 + b1)
    delta = (1 - hidden * hidden) * w2.ravel()
    n = len(hidden)
    first = (problem.X[:, :, None] * delta[:, None, :]).reshape(n, -1)
    return np.asfortranarray(np.hstack([first, hidden, delta, np.ones((n, 1), hidden.dtype)]))


def lm():
    """An iteration of Levenberg-Marquardt beside the BLAS's J'J, of a J that is there already.

    An iteration is the difference of runs of 6 and of 1, over the difference in number; trials are
    the steps tried in one: 1 where every step was taken.
    """
    rows = []
    for sizes in MADE:
        for dtype in (np.float64, np.float32):
            problem = made(*sizes, dtype)
            start, objective = problem.start, problem.objective
            J = jacobian(problem, start)
            check_products(objective, start, J)
            syrk, gemm = blas.get_blas_funcs(("syrk", "gemm"), (J,))
            runs = {
                "normal": partial(objective.normal_equations, start),
                "syrk": partial(syrk, 1.0, J, trans=1),
                "gemm": partial(gemm, 1.0, J, J, trans_a=1),
                "short": partial(minimise, "lm", problem, max_iter=1),
                "long": partial(minimise, "lm", problem, max_iter=6),
            }
            short, long = (runs[name]().history for name in ("short", "long"))
            times = best_of(runs, 2 * ROUNDS)
            n_iter, n_fun = long.n_iter - short.n_iter, long.n_fun - short.n_fun
            times["iteration"] = (times["long"] - times["short"]) / n_iter
            names = ("iteration", "normal", "syrk", "gemm")
            cells = [number(1e3 * times[name]) for name in names] + [number(n_fun / n_iter - 1)]
            for name, goal in (("normal", ""), ("iteration", f" ({LM_GOAL})")):
                of_blas = number(min(times["syrk"], times["gemm"]) / times[name])
                cells.append(of_blas + (goal if sizes == MADE[-1] else ""))
            rows.append([problem.name, np.dtype(dtype).name, *cells])
    heads = ["iteration, ms", "normal equations", "syrk", "gemm", "trials"]
    table(["lm", "dtype", *heads, "BLAS / normal equations", "BLAS / iteration"], rows)


def check_products(objective, parameters, J):
    """Require that the normal equations are those of a J."""
    _, _, hessian = objective.normal_equations(parameters)
    expected = np.triu(J.T @ J / J.dtype.type(len(J)))
    assert_same(np.triu(hessian), expected, {"float64": 1e-9, "float32": 1e-4})


TABLES = {
    "race": race,
    "sin": sin,
    "cost": cost,
    "lm": lm,
    "proben1": proben1.proben1,
}


def main(names):
    import warnings

    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        print(machine.line())
        print(f"Left out: {nnet.missing() or 'nothing'}.\n")
        for name in names or TABLES:
            since = time.perf_counter()
            TABLES[name]()
            print(f"({name}: {time.perf_counter() - since:.0f} s)\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except AssertionError as difference:
        sys.exit(f"The implementations do not compute the same; there is no table.\n{difference}")
