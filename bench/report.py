"""The table for the README: what a sample costs through the public interfaces.

``python bench/report.py`` prints it in Markdown, in less than three minutes. An epoch is the
difference of a long and a short ``fit`` of the same data, the shuffle of every epoch included, so
what a fit does once (checks, copies, the first weights) drops out. Implementations take turns, and
the best of some rounds counts. All of it is one process with one thread.

Before a case is timed all three have trained for an epoch from the same ``random_state``, and must
have arrived at the same weights; else nothing is printed but what differs.
"""

import math
import sys
import time
import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

import machine
import numpy_baseline
from cases import DTYPES, Case, assert_same, make_data
from fastbp import BackpropRegressor
from rivals import baseline_net, estimator_options

CASES = (
    Case("online", (10, 50, 1), "tanh", 1, 2_000),
    Case("mini-batch of 32", (8, 50, 1), "relu", 32, 8_000),
    Case("mini-batch of 200", (8, 100, 1), "relu", 200, 20_000),
    Case("mini-batch of 256", (90, 256, 256, 1), "relu", 256, 2_560),
    Case("full batch", (64, 64, 64, 1), "relu", 4_000, 4_000),
)
PREDICTED = Case("predict", (10, 50, 1), "tanh", 200, 20_000)
DIGITS = {"float64": 1e-9, "float32": 1e-4}
ROUNDS = 7
SECONDS = 0.1  # what a long fit takes, or more


def fit_estimator(Estimator, case, X, y, n_epochs):
    return Estimator(max_iter=n_epochs, **estimator_options(case)).fit(X, y.ravel())


def fit_numpy(case, X, y, n_epochs):
    random_state = np.random.RandomState(0)
    case.network.initial_parameters(random_state, X.dtype)  # the shuffles are drawn after these
    net, step = baseline_net(case, X.dtype)
    numpy_baseline.fit(net, X, y, case.batch_size, step, n_epochs, random_state)
    return net


FITS = {
    "fastbp": partial(fit_estimator, BackpropRegressor),
    "NumPy": fit_numpy,
    "MLPRegressor": partial(fit_estimator, MLPRegressor),
}
RIVALS = ("NumPy", "MLPRegressor")


def fitted_parameters(case, fitted):
    if isinstance(fitted, numpy_baseline.Net):
        return fitted.layers.flat
    return case.network.pack(fitted.coefs_, fitted.intercepts_, fitted.coefs_[0].dtype)


def check_epoch(case, X, y):
    """Train for one epoch everywhere; the weights must be MLPRegressor's."""
    fitted = {name: fit(case, X, y, 1) for name, fit in FITS.items()}
    expected = fitted_parameters(case, fitted["MLPRegressor"])
    for model in fitted.values():
        assert_same(fitted_parameters(case, model), expected, DIGITS)
    return fitted


def predictions(X, fitted):
    runs = {name: partial(fitted[name].predict, X) for name in ("fastbp", "MLPRegressor")}
    runs["NumPy"] = partial(numpy_baseline.predict, fitted["NumPy"], X)
    return {name: runs[name] for name in FITS}


def check_predictions(runs):
    expected = runs["MLPRegressor"]()
    for run in runs.values():
        assert_same(run().ravel(), expected, DIGITS)


def seconds(run, *arguments):
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def epochs_worth_timing(fit):
    """Choose epochs of a long fit, such that it takes about ``SECONDS`` longer than a short one."""
    per_epoch = (seconds(fit, 4) - seconds(fit, 1)) / 3
    return min(1000, max(3, math.ceil(SECONDS / max(per_epoch, 1e-6))))


def time_epochs(case, X, y):
    """Give seconds of an epoch, by implementation."""
    fits = {name: partial(fit, case, X, y) for name, fit in FITS.items()}
    n_epochs = {name: epochs_worth_timing(fit) for name, fit in fits.items()}
    short, long = dict.fromkeys(fits, math.inf), dict.fromkeys(fits, math.inf)
    for _ in range(ROUNDS):
        for name, fit in fits.items():
            short[name] = min(short[name], seconds(fit, 1))
            long[name] = min(long[name], seconds(fit, 1 + n_epochs[name]))
    return {name: (long[name] - short[name]) / n_epochs[name] for name in fits}


def time_predictions(runs):
    """Give seconds of a prediction, by implementation."""
    best = dict.fromkeys(runs, math.inf)
    for _ in range(3 * ROUNDS):
        for name, run in runs.items():
            best[name] = min(best[name], seconds(run))
    return best


def measure(case, dtype):
    """Check a case, then time it; gives (case, dtype, {implementation: seconds a sample})."""
    X, y = make_data(case, dtype)
    fitted = check_epoch(case, X, y)
    if case is PREDICTED:
        runs = predictions(X, fitted)
        check_predictions(runs)
        times = time_predictions(runs)
    else:
        times = time_epochs(case, X, y)
    return case, np.dtype(dtype).name, {name: time / len(X) for name, time in times.items()}


def number(x):
    """Write a number with two or three digits that matter."""
    return f"{x:#.3g}" if 1 <= x < 100 else f"{x:.0f}" if x >= 100 else f"{x:.2g}"


def table(rows):
    """Give the lines of the table in Markdown."""
    heads = ["mode", "network", "dtype", *(f"{name}, µs" for name in FITS)]
    yield _line(heads + [f"{rival} / fastbp" for rival in RIVALS])
    yield _line(["---"] * 3 + ["--:"] * (len(FITS) + len(RIVALS)))
    for case, dtype, times in rows:
        figures = [number(1e6 * times[name]) for name in FITS]
        ratios = [number(times[rival] / times["fastbp"]) for rival in RIVALS]
        yield _line([case.mode, f"{case.net_name} {case.activation}", dtype, *figures, *ratios])


def _line(cells):
    return f"| {' | '.join(cells)} |"


def losses(rows):
    """Say in a line for each rival where it is faster than fastbp."""
    for rival in RIVALS:
        lost = [
            f"{case.mode} {case.net_name} {dtype} ({number(times[rival] / times['fastbp'])})"
            for case, dtype, times in rows
            if times[rival] < times["fastbp"]
        ]
        yield f"fastbp is slower than {rival}: {', '.join(lost) or 'in none of these'}."


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)  # every fit here ends at max_iter
    with threadpool_limits(1):
        rows = [measure(case, dtype) for case in (*CASES, PREDICTED) for dtype in DTYPES]
        print(f"Time per sample. {machine.line()}\n")
    print("\n".join(table(rows)) + "\n")
    print("\n\n".join(losses(rows)))


if __name__ == "__main__":
    try:
        main()
    except AssertionError as difference:
        sys.exit(f"The implementations do not compute the same; there is no table.\n{difference}")
