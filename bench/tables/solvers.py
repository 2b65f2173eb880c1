"""The tables of the batch solvers: what they need to the same error, and what they spend.

``python bench/run.py solvers`` prints all of them in Markdown, ``python bench/run.py solvers race``
one: race, sin, cost, lm, proben1. One thread, whose CPU time race and sin take. In brackets stands
the goal the project has set itself. Before anything is timed, all sides have the same loss at the
start, and the loss a rival ends at is that of its parameters in fastbp; else nothing is printed but
what differs.
"""

import math
import statistics
import time
import warnings
from functools import partial

import numpy as np
from scipy.linalg import blas
from threadpoolctl import threadpool_limits

from bench.instruments import machine
from bench.instruments.markdown import number, ratio, table
from bench.instruments.minimising import (
    BATCH_SOLVERS,
    check_end,
    check_products,
    check_start,
    fit,
    jacobian,
    minimise,
)
from bench.instruments.options import parse_names, parser
from bench.instruments.timing import best_of, cpu_seconds, seconds
from bench.problems import MADE, made, race_problems, sine
from bench.rivals import minimisers, nnet
from bench.tables import proben1
from fastbp.solvers import SOLVERS, Options
from fastbp.solvers.stopping import Limits

ROUNDS = 5
COSTLY = ((5000, 10, 50), (20_000, 10, 20), (2000, 64, 64))
COST_GOAL, LM_GOAL = 1.3, 0.6
PATIENCE = 10  # times the rival's time


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
            times[key] = min(times[key], cpu_seconds(run))
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


def sin():
    """One period of a sine to a mean squared error of 0.002, from 30 starts."""
    goal, max_iter, problems = 0.001, 1000, [sine(seed) for seed in range(30)]
    for problem in problems:
        check_start(problem)
    rows = []
    for solver in BATCH_SOLVERS:
        run = partial(minimise, solver, goal=goal, max_iter=max_iter)
        results = [run(problem) for problem in problems]
        times = [min(cpu_seconds(run, problem) for _ in range(3)) for problem in problems]
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
        options = Options(Limits(max_iter=100, gtol=0.0, n_iter_no_change=math.inf))
        runs = {
            name: partial(SOLVERS[name].minimise, objective, start, options) for name in solvers
        }
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


TABLES = {
    "race": race,
    "sin": sin,
    "cost": cost,
    "lm": lm,
    "proben1": proben1.proben1,
}


def main(arguments):
    names = parse_names(parser("solvers", __doc__), TABLES, arguments).names
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        print(machine.line())
        print(f"Left out: {nnet.missing() or 'nothing'}.\n")
        for name in names:
            since = time.perf_counter()
            TABLES[name]()
            print(f"({name}: {time.perf_counter() - since:.0f} s)\n")
