"""How epochs and calls are timed: in turns, in one process, the best of some rounds.

fastbp and scikit-learn are timed through ``fit``: an epoch is the difference of a long and a short
fit of the same data, the shuffle of every epoch included, so what a fit does once (checks, copies,
the first weights) drops out. The others run their epoch in the order of the rows, without a
shuffle.
"""

import math
import time
import warnings
from functools import partial
from statistics import median

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bench.cases import assert_same, assert_same_training, make_data
from bench.rivals import available
from bench.rivals.sklearn_net import estimator_options, targets
from fastbp import BackpropClassifier, BackpropRegressor

ROUNDS = 5
SECONDS = 0.08  # what a long fit takes, or more
RACE_SECONDS = 1.0  # of both sides of a race together, or more
DIGITS = {"float64": 1e-9, "float32": 1e-2}
ESTIMATORS = {"fastbp": BackpropRegressor, "scikit-learn": MLPRegressor}
CLASSIFIERS = {"fastbp": BackpropClassifier, "scikit-learn": MLPClassifier}


def seconds(run, *arguments):
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def cpu_seconds(run, *arguments):
    """Seconds of the CPU: what one thread takes on a machine that others use, too."""
    start = time.process_time()
    run(*arguments)
    return time.process_time() - start


def check_epoch(case, dtype, names):
    """Train for one epoch everywhere; all must arrive at the same parameters."""
    X, y = make_data(case, dtype)
    expected = None
    for name, rival in available(case, dtype, names).items():
        run, parameters = rival.epochs(case, X, y)
        run()
        got = parameters().copy()
        expected = got if expected is None else expected
        try:
            assert_same_training(got, expected, getattr(rival, "DIGITS", DIGITS))
        except AssertionError as difference:
            raise AssertionError(f"{name}, {case.net_name}: {difference}") from difference


def fit(Estimator, case, X, y, n_epochs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # every fit here ends at max_iter
        estimator = Estimator(max_iter=n_epochs, **estimator_options(case))
        return estimator.fit(X, targets(case, y))


def time_epochs(case, dtype, names):
    """Seconds a sample of those of the named implementations that can run the case, by name."""
    check_epoch(case, dtype, names)
    X, y = make_data(case, dtype)
    estimators = CLASSIFIERS if case.is_of_classes else ESTIMATORS
    short, long, n_epochs = {}, {}, {}
    for name, rival in available(case, dtype, names).items():
        if name in estimators:
            long[name] = partial(fit, estimators[name], case, X, y)
            short[name] = partial(long[name], 1)
            per_epoch = seconds(long[name], 2) - seconds(short[name])
            n_epochs[name] = min(1000, max(2, math.ceil(SECONDS / max(per_epoch, 1e-5))))
            long[name] = partial(long[name], 1 + n_epochs[name])
        else:
            long[name], _ = rival.epochs(case, X, y)
            n_epochs[name] = 1
            long[name]()
    best_short, best_long = dict.fromkeys(long, math.inf), dict.fromkeys(long, math.inf)
    for _ in range(ROUNDS):
        for name in long:
            if name in short:
                best_short[name] = min(best_short[name], seconds(short[name]))
            for _ in range(1 if name in short else 3):
                best_long[name] = min(best_long[name], seconds(long[name]))
    return {
        name: (best_long[name] - (best_short[name] if name in short else 0))
        / n_epochs[name]
        / len(X)
        for name in long
    }


def best_of(runs, rounds, in_a_row=1):
    """Seconds of each of some functions, taking turns, so many calls in a row."""
    best = dict.fromkeys(runs, math.inf)
    for _ in range(rounds):
        for name, run in runs.items():
            best[name] = min(best[name], seconds(_repeat, run, in_a_row) / in_a_row)
    return best


def _repeat(run, times):
    for _ in range(times):
        run()


def race(ours, theirs):
    """Seconds of our fastest call, and the median ratio of theirs to ours, turn by turn.

    Of the thread's CPU time, so it holds on a machine that others use, too.
    """
    clock, own, ratios = time.thread_time, [], []
    end = time.perf_counter() + RACE_SECONDS
    while time.perf_counter() < end or len(own) < 30:
        begin = clock()
        ours()
        between = clock()
        theirs()
        own.append(between - begin)
        ratios.append((clock() - between) / own[-1])
    return min(own), median(ratios)


def fitted_alike(case, dtype):
    """A fitted estimator of each kind, with the same weights."""
    X, y = make_data(case, dtype)
    models = {name: fit(Estimator, case, X, y, 1) for name, Estimator in ESTIMATORS.items()}
    predictions = [np.asarray(model.predict(X)) for model in models.values()]
    assert_same(predictions[0], predictions[1], DIGITS)
    return models, X, y
