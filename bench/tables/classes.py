"""Classification: epochs and probabilities, against MLPClassifier, PyTorch and JAX.

One thread. An epoch and `predict_proba` of scikit-learn's digits (64-100-10, Adam, batches of 200),
of 20,000 rows of two classes (20-50-1, logistic, batches of 32), and online of 784-128-10 with a
softmax. Before a case is timed, all have trained for an epoch from the same weights and arrived at
the same ones, and predict the same probabilities; else nothing is printed but what differs. A ratio
is the rival's time over fastbp's, in brackets the goal that the project has set itself; "limit" is
as in ``tables/report.py``.
"""

import os
import warnings
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from bench.cases import (
    DTYPES,
    Case,
    assert_same,
    make_data,
    n_weights,
    prediction_flops,
    training_flops,
)
from bench.instruments import limits, machine
from bench.instruments.markdown import number, ratio, table
from bench.instruments.options import parse_names, parser
from bench.instruments.timing import CLASSIFIERS, best_of, fit, time_epochs
from bench.rivals import available

RIVALS = ("scikit-learn", "PyTorch", "JAX")
DIGITS = {"float64": 1e-9, "float32": 1e-3}

#: Each case, and how many times MLPClassifier's speed is wanted.
CASES = {
    "digits, 64-100-10 / 200": (
        Case("mini-batch", (64, 100, 10), "relu", 200, 1797, 0.0, loss="cross_entropy"),
        10,
    ),
    "two classes, 20-50-1 / 32": (
        Case("mini-batch", (20, 50, 1), "logistic", 32, 20_000, 0.0, loss="binary_cross_entropy"),
        30,
    ),
    "784-128-10, online": (
        Case("online", (784, 128, 10), "tanh", 1, 1000, 0.0, loss="cross_entropy"),
        40,
    ),
}


def epochs(case, dtype):
    """Seconds a sample of an epoch, by implementation, and the least that the core could take."""
    if case.batch_size == 1:
        limit = limits.stream(n_weights(case.sizes), dtype)
    else:
        limit = training_flops(case.sizes) / limits.peak(dtype)
    return time_epochs(case, dtype, ("fastbp", *RIVALS)), limit


def probabilities(case, dtype):
    """The same of `predict_proba`, of networks that have just been initialised."""
    X, y = make_data(case, dtype)
    runs = {}
    for name, Estimator in CLASSIFIERS.items():
        model = fit(Estimator, case, X, y, 1)
        coefs, intercepts = case.network.unpack(
            case.network.initial_parameters(np.random.RandomState(0), np.dtype(dtype))
        )
        model.coefs_, model.intercepts_ = coefs, intercepts
        runs[name] = partial(model.predict_proba, X)
    for name, rival in available(case, dtype).items():
        if name in RIVALS and name not in runs:
            runs[name] = rival.prediction(case, X)
    expected = runs["fastbp"]()
    for run in runs.values():
        got = run()
        assert_same(got, expected[:, -got.shape[1] :], DIGITS)  # of two classes, some give one
    times = {name: time / len(X) for name, time in best_of(runs, 15).items()}
    return times, prediction_flops(case.sizes) / limits.peak(dtype)


TABLES = {"epochs": epochs, "probabilities": probabilities}


def main(arguments):
    names = parse_names(parser("classes", __doc__), TABLES, arguments).names
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        print(machine.line())
        if hasattr(os, "sched_setaffinity"):  # JAX takes all the cores there are
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        for name in names:
            rows = []
            for title, (case, goal) in CASES.items():
                for dtype in DTYPES:
                    times, limit = TABLES[name](case, dtype)
                    own = times["fastbp"]
                    goals = {"scikit-learn": goal, "JAX": 1}
                    ratios = [
                        ratio(times.get(rival), own, goals.get(rival) if name == "epochs" else None)
                        for rival in RIVALS
                    ]
                    rows.append(
                        [
                            title,
                            np.dtype(dtype).name,
                            number(1e9 * own),
                            number(limit / own),
                            *ratios,
                        ]
                    )
            table([name, "dtype", "ns a row", "limit", "MLPClassifier", *RIVALS[1:]], rows)
