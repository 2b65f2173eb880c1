"""What a sample costs, against the rivals and the limit of this core.

``python bench/run.py report`` prints all tables in Markdown, in some ten minutes; ``python
bench/run.py report online`` one: online, rules, batch, full, predict, one, search. A ratio is the
rival's time over fastbp's; "limit" is what `instruments/limits.py` measures that the core could do
at best, over what fastbp takes. In brackets stands the goal the project has set itself for a ratio.
Before a case is timed, every implementation has trained for an epoch from the same weights and must
have arrived at the same ones; else nothing is printed but what differs.
"""

import os
import warnings
from functools import partial

import joblib
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale
from threadpoolctl import threadpool_limits

from bench.cases import DTYPES, Case, make_data, n_weights, training_flops
from bench.instruments import limits, machine
from bench.instruments.markdown import number, ratio, table
from bench.instruments.options import parse_names, parser
from bench.instruments.timing import ESTIMATORS, best_of, fitted_alike, seconds, time_epochs
from bench.rivals import RIVALS
from fastbp import Objective
from fastbp.model.data import as_data

ONLINE = ((10, 16, 1), (10, 50, 1), (32, 128, 1), (64, 256, 4), (784, 128, 10))
ONLINE_GOALS = {"C": 1.5, "FANN": 6, "JAX": 2.5, "scikit-learn": 300}
WIDE_GOALS = ONLINE_GOALS | {"JAX": 1.6, "scikit-learn": 50}
BATCH = {
    ((8, 100, 1), 200): {"float64": 15, "float32": 35, "JAX": 7, "PyTorch": 40},
    ((8, 50, 1), 32): {"float64": 60, "float32": 120, "JAX": 15, "PyTorch": 300},
    ((8, 64, 64, 1), 256): {"float64": 4.5, "float32": 6, "JAX": 2.5, "PyTorch": 9},
    ((90, 256, 256, 1), 256): {"float64": 2, "float32": 2.4, "JAX": 1.25, "PyTorch": 2},
}
FULL = ((64, 128, 128, 1), (16, 64, 64, 1))
PREDICTED = {((10, 50, 1), "tanh"): 4, ((10, 50, 1), "relu"): 4, ((64, 128, 128, 1), "relu"): 1.2}


def online():
    """Online, plain SGD, tanh."""
    rivals = ("C", "FANN", "JAX", "scikit-learn")
    rows = []
    for sizes in ONLINE:
        n_rows = 2_000 if sizes[0] < 64 else 500
        goals = WIDE_GOALS if sizes[0] == 784 else ONLINE_GOALS
        for dtype in DTYPES:
            for alpha in (0.0, 1e-4):
                case = Case("online", sizes, "tanh", 1, n_rows, alpha)
                times = time_epochs(case, dtype, ("fastbp", *rivals))
                own, best = times["fastbp"], limits.stream(n_weights(sizes), dtype)
                ratios = [ratio(times.get(name), own, goals[name]) for name in rivals]
                name = f"{case.net_name}, alpha={alpha:g}"
                rows.append(
                    [name, np.dtype(dtype).name, number(1e9 * own), number(best / own), *ratios]
                )
    table(["online", "dtype", "ns", "limit", *rivals], rows)


def rules():
    """Online with the other rules, against FANN's plain SGD."""
    rows = []
    for sizes in ONLINE:
        n_rows = 2_000 if sizes[0] < 64 else 500
        for dtype in DTYPES:
            plain = Case("online", sizes, "tanh", 1, n_rows, 0.0)
            fann = time_epochs(plain, dtype, ("fastbp", "FANN")).get("FANN")
            cells = []
            for rule in ("momentum", "nesterov", "adam"):
                own = time_epochs(plain._replace(rule=rule), dtype, ("fastbp",))["fastbp"]
                cells += [number(1e9 * own), ratio(fann, own, 4)]
            rows.append([plain.net_name, np.dtype(dtype).name, *cells])
    heads = ["momentum, ns", "FANN plain", "Nesterov, ns", "FANN plain", "Adam, ns", "FANN plain"]
    table(["online", "dtype", *heads], rows)


def batch():
    """Mini-batches, Adam, relu."""
    rivals = ("scikit-learn", "NumPy", "JAX", "PyTorch")
    rows = []
    for (sizes, batch_size), goals in BATCH.items():
        for dtype in DTYPES:
            name = np.dtype(dtype).name
            case = Case("mini-batch", sizes, "relu", batch_size, 80 * batch_size, 0.0)
            case = case._replace(n_rows=min(20_000, max(case.n_rows, 5_120)))
            times = time_epochs(case, dtype, ("fastbp", *rivals))
            own, best = times["fastbp"], training_flops(sizes) / limits.peak(dtype)
            goal = goals | {"scikit-learn": goals[name]}
            if dtype == np.float64:
                goal = {"scikit-learn": goals[name]}
            ratios = [ratio(times.get(rival), own, goal.get(rival)) for rival in rivals]
            what = f"{case.net_name} / {batch_size}"
            rows.append([what, name, number(1e9 * own), number(best / own), *ratios])
    table(["mini-batch", "dtype", "ns", "limit", *rivals], rows)


def full():
    """Loss and gradient of 20,000 rows, relu, beside the BLAS on a 768 x 768 product."""
    rows = []
    for sizes in FULL:
        for dtype in DTYPES:
            case = Case("full", sizes, "relu", 20_000, 20_000)
            X, y = make_data(case, dtype)
            objectives = {n: Objective(case.network, as_data(X, y), n_threads=n) for n in (1, 2)}
            start = case.network.initial_parameters(np.random.RandomState(0), np.dtype(dtype))
            gradients = [o.loss_and_gradient(start)[1] for o in objectives.values()]
            np.testing.assert_array_equal(*gradients)
            runs = {n: partial(o.loss_and_gradient, start) for n, o in objectives.items()}
            times = best_of(runs, 15)
            rate = training_flops(sizes) * len(X) / times[1] / 1e9
            blas, peak = limits.blas(dtype) / 1e9, limits.peak(dtype) / 1e9
            cells = [rate, blas, rate / blas, rate / peak, times[1] / times[2]]
            rows.append([case.net_name, np.dtype(dtype).name, *map(number, cells)])
            rows[-1][4] += " (0.8)"
            rows[-1][6] += " (1.8)"
    table(["full batch", "dtype", "GFLOP/s", "BLAS", "of BLAS", "limit", "2 threads"], rows)


def predict():
    """Predictions of 20,000 rows."""
    rows = []
    for (sizes, activation), goal in PREDICTED.items():
        for dtype in DTYPES:
            case = Case("predict", sizes, activation, 200, 20_000)
            models, X, _ = fitted_alike(case, dtype)
            runs = {name: partial(model.predict, X) for name, model in models.items()}
            runs["NumPy"] = RIVALS["NumPy"].prediction(case, X)
            times = {name: time / len(X) for name, time in best_of(runs, 25).items()}
            own = times["fastbp"]
            cells = [ratio(times["scikit-learn"], own, goal), ratio(times["NumPy"], own)]
            name = f"{case.net_name} {activation}"
            rows.append([name, np.dtype(dtype).name, number(1e9 * own), *cells])
    table(["predict", "dtype", "ns a row", "scikit-learn", "NumPy"], rows)


def one():
    """One sample: predict_one and learn_one, 10-50-1."""
    rows = []
    for dtype in DTYPES:
        for rule in ("plain", "nesterov", "adam"):
            case = Case("one", (10, 50, 1), "tanh", 1, 500, rule=rule)
            models, X, y = fitted_alike(case, dtype)
            own, theirs = models["fastbp"], models["scikit-learn"]
            x, target, row, targets = X[0], float(y[0, 0]), X[:1], y[0]
            own.predict_one(x), own.learn_one(x, target), theirs.partial_fit(row, targets)
            runs = {
                "predict_one": lambda own=own, x=x: own.predict_one(x),
                "predict": lambda theirs=theirs, row=row: theirs.predict(row),
                "learn_one": lambda own=own, x=x, t=target: own.learn_one(x, t),
                "partial_fit": lambda m=theirs, row=row, t=targets: m.partial_fit(row, t),
            }
            times = best_of(runs, 20, 100)
            cells = [
                number(1e6 * times["predict_one"]),
                ratio(times["predict"], times["predict_one"], 40),
                number(1e6 * times["learn_one"]),
                ratio(times["partial_fit"], times["learn_one"], 100),
            ]
            rows.append([f"10-50-1 tanh, {rule}", np.dtype(dtype).name, *cells])
    heads = ["predict_one, µs", "scikit-learn, predict", "learn_one, µs", "partial_fit"]
    table(["one sample", "dtype", *heads], rows)


def search():
    """A grid search of small fits: 12 settings, 5 folds, diabetes, at most 300 epochs of Adam."""
    X, y = (scale(array) for array in load_diabetes(return_X_y=True))
    grid = {
        "hidden_layer_sizes": [(20,), (50,), (100,)],
        "alpha": [1e-4, 0.1],
        "activation": ["relu", "tanh"],
    }

    def run(Estimator, n_jobs=1):
        with joblib.parallel_config(backend="threading"):
            search = GridSearchCV(Estimator(max_iter=300, random_state=0), grid, n_jobs=n_jobs)
            return search.fit(X, y)

    scores = [run(Estimator).best_score_ for Estimator in ESTIMATORS.values()]
    np.testing.assert_allclose(*scores, rtol=1e-6)
    own = min(seconds(run, ESTIMATORS["fastbp"]) for _ in range(3))
    two = min(seconds(run, ESTIMATORS["fastbp"], 2) for _ in range(3))
    theirs = min(seconds(run, ESTIMATORS["scikit-learn"]) for _ in range(2))
    row = ["60 fits", "float64", number(own), ratio(theirs, own, 15), ratio(own, two, 1.7)]
    table(["grid search", "dtype", "s", "scikit-learn", "2 threads"], [row])


TABLES = {f.__name__: f for f in (online, rules, batch, full, predict, one, search)}


def main(arguments):
    names = parse_names(parser("report", __doc__), TABLES, arguments).names
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        print(machine.line())
        absent = [
            f"{name} ({rival.missing()})" for name, rival in RIVALS.items() if rival.missing()
        ]
        print(f"Left out: {', '.join(absent) or 'none'}.\n")
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        for name in names:
            if cores:  # JAX takes all the cores there are, whatever it is told
                os.sched_setaffinity(0, cores if name in ("full", "search") else {min(cores)})
            TABLES[name]()
