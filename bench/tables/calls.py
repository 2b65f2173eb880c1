"""Small calls: what a call costs where there is little to compute, against scikit-learn.

predict, partial_fit, a fit of one epoch and predict_proba of 10-50-1 and, for three classes,
10-50-3, through the estimators' public methods, all checks included. The two sides take turns in
one process with one thread, whose CPU time is taken, and a ratio is the median of theirs over ours,
turn by turn: it holds on a machine that others use, too. "µs" is the fastest call of ours. Before a
case is timed, both have predicted the same, or trained to the same weights.
"""

import warnings
from functools import partial

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from bench.cases import DTYPES, assert_same
from bench.instruments import machine
from bench.instruments.markdown import number, ratio, table
from bench.instruments.options import parse_names, parser
from bench.instruments.timing import race
from fastbp import BackpropClassifier, BackpropRegressor

DIGITS = {"float64": 1e-9, "float32": 1e-3}
SIDES = {"regressor": (BackpropRegressor, MLPRegressor),
         "classifier": (BackpropClassifier, MLPClassifier)}  # fmt: skip
ACTIVATIONS = ("tanh", "relu")
N_TRAINING = 1000

#: Kind of estimator, number of classes, method, rows, and the ratio that is wanted.
CASES = {
    **{f"predict {n}": ("regressor", 0, "predict", n, goal)
       for n, goal in ((1, 1), (200, 1.5), (2000, 1), (20_000, 1.5))},
    **{f"partial_fit {n}": ("regressor", 0, "partial_fit", n, 1) for n in (1, 200)},
    "fit, 1 epoch 100": ("regressor", 0, "fit", 100, 1),
    **{f"predict_proba, {k} classes {n}": ("classifier", k, "predict_proba", n, 1)
       for k in (2, 3) for n in (1, 200, 2000)},
}  # fmt: skip


def make_rows(n, n_classes, dtype):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 10))
    y = np.tanh(X[:, 0] + X[:, 1]) + 0.1 * rng.standard_normal(n)
    if n_classes:
        return X.astype(dtype), np.digitize(y, np.linspace(-0.5, 0.5, n_classes + 1)[1:-1])
    return X.astype(dtype), y.astype(dtype)


def calls(case, activation, dtype):
    """Give a call of either side, after they have come to the same."""
    kind, n_classes, method, n, _ = case
    X, y = make_rows(max(n, N_TRAINING), n_classes, dtype)
    runs = []
    for Estimator in SIDES[kind]:
        model = Estimator((50,), activation, max_iter=1, random_state=0) if n_classes else (
            Estimator("squared_error", (50,), activation, max_iter=1, random_state=0))  # fmt: skip
        model.fit(X[:N_TRAINING], y[:N_TRAINING])
        rows = X[:n].copy(), y[:n].copy()
        is_training = method in ("fit", "partial_fit")
        run = partial(getattr(model, method), *rows if is_training else rows[:1])
        runs.append((run, lambda made, yes=is_training: made.coefs_[0] if yes else made))
    assert_same(*(what(run()) for run, what in runs), DIGITS)
    return [run for run, _ in runs]


def main(arguments):
    names = parse_names(parser("calls", __doc__), CASES, arguments).names
    warnings.simplefilter("ignore")  # every fit here ends at max_iter
    with threadpool_limits(1):
        print(f"{machine.line()}\n")
        rows = []
        for name in names:
            cells = [name, f"{CASES[name][-1]:g}"]
            for activation in ACTIVATIONS:
                for dtype in DTYPES:
                    seconds, times = race(*calls(CASES[name], activation, dtype))
                    cells += [number(1e6 * seconds), ratio(times, 1.0)]
            rows.append(cells)
        heads = [f"{activation}, {np.dtype(dtype).name}, µs" for activation in ACTIVATIONS
                 for dtype in DTYPES]  # fmt: skip
        table(["call, rows", "goal", *(cell for head in heads for cell in (head, "ratio"))], rows)
