"""Trainings of ours and of scikit-learn's networks that are to come to the same numbers."""

import itertools
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

EPOCHS = 20
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}

METHODS = {
    f"sgd-{schedule}-{name}": {"solver": "sgd", "learning_rate": schedule} | momentum
    for schedule, (name, momentum) in itertools.product(
        ["constant", "invscaling", "adaptive"],
        {
            "plain": {"momentum": 0},
            "momentum": {"momentum": 0.9, "nesterovs_momentum": False},
            "nesterov": {"momentum": 0.8, "nesterovs_momentum": True},
        }.items(),
    )
} | {"adam": {"solver": "adam"}, "lbfgs": {"solver": "lbfgs"}}

#: Whether rows are trained on in one fit, in calls of partial_fit, or in two fits.
WAYS = ["fit", "partial_fit", "warm_start"]


def covering_table(factors, is_possible):
    """Cases such that each possible pair of values of two factors is in one, found greedily."""
    pairs = {
        pair
        for one, other in itertools.combinations(factors, 2)
        for pair in itertools.product(((one, v) for v in factors[one]),
                                      ((other, v) for v in factors[other]))
        if is_possible(dict(pair))
    }  # fmt: skip
    cases = []
    while pairs:
        case = dict(min(pairs, key=repr))
        for name, values in factors.items():
            if name not in case:
                case[name] = max(
                    (v for v in values if is_possible(case | {name: v})),
                    key=lambda v: sum(
                        ((name, v), item) in pairs or (item, (name, v)) in pairs
                        for item in case.items()
                    ),
                )
        cases.append({name: case[name] for name in factors})
        pairs -= set(itertools.combinations(cases[-1].items(), 2))
    return cases


def covers_every_pair(table, factors, is_possible):
    """Whether each pair of values of two factors is in a case, or is not possible."""
    seen = {pair for case in table for pair in itertools.combinations(case.items(), 2)}
    return all(is_possible(case) for case in table) and all(
        tuple(zip((one, other), pair, strict=True)) in seen
        or not is_possible(dict(zip((one, other), pair, strict=True)))
        for one, other in itertools.combinations(factors, 2)
        for pair in itertools.product(factors[one], factors[other])
    )


def train(estimator, case, X, y, weights, **first):
    """Train as a case says; ``first`` are arguments of a first `partial_fit`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Got `batch_size`|batch_size=")
        # scikit-learn 1.7 with a SciPy that came after it
        warnings.filterwarnings("ignore", "scipy.optimize: The `disp`", DeprecationWarning)
        if case["way"] == "fit":
            estimator.fit(X, y, weights)
        elif case["way"] == "warm_start":
            estimator.set_params(warm_start=True, max_iter=EPOCHS // 2)
            estimator.fit(X, y, weights)
            # After early stopping their coefs_ ARE its stored best weights, and going on
            # overwrites both, so that it no longer restores the best. Copies part the two.
            estimator.coefs_ = [coef.copy() for coef in estimator.coefs_]
            estimator.intercepts_ = [intercept.copy() for intercept in estimator.intercepts_]
            estimator.fit(X, y, weights)
        else:
            for epoch in range(EPOCHS):
                estimator.partial_fit(X, y, weights, **(first if epoch == 0 else {}))
    return estimator


def assert_same_weights(got, expected, case):
    assert got.n_iter_ == expected.n_iter_
    for mine, theirs in zip(
        got.coefs_ + got.intercepts_, expected.coefs_ + expected.intercepts_, strict=True
    ):
        assert mine.dtype == case["dtype"]
        error = np.abs(mine - theirs).max() / np.abs(theirs).max()
        assert error < TOLERANCE[case["dtype"]]
