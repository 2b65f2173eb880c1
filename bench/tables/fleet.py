"""Many small networks, online and in small batches: in lanes, against one after the other.

`fit_many`, one thread, 442 rows of 10 inputs, shuffled in every epoch, all that a fit does counted:
checks, histories, the last gradient. Starts are two vectors full of random starts of 100 epochs;
folds are eight learning rates on five folds. Both ways are checked to be at the same weights after
two epochs. Times are CPU time. They take turns, and a gain is the median of the turns: a neighbour
slows down both.
"""

import time
import warnings

import numpy as np
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

import fastbp.model_selection.fit_many as module
from bench.cases import DTYPES, assert_same
from bench.instruments import machine
from bench.instruments.markdown import number, ratio, table
from bench.instruments.options import parse_names, parser
from fastbp import BackpropRegressor, fit_many

ROUNDS = 9
N_ROWS, N_EPOCHS = 442, 100
DIGITS = {"float64": 1e-9, "float32": 1e-3}
#: Hidden units, and how much faster than one after the other is wanted, by dtype.
UNITS = {16: {"float64": 4, "float32": 6}, 50: {"float64": 2.5, "float32": 3.5}}
RULES = {
    "plain": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.01},
    "adam": {"solver": "adam", "learning_rate_init": 0.001},
    "adam, batches of 2": {"solver": "adam", "learning_rate_init": 0.001, "batch_size": 2},
    "adam, batches of 8": {"solver": "adam", "learning_rate_init": 0.001, "batch_size": 8},
}


def problem(dtype):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_ROWS, 10))
    y = np.tanh(X.sum(axis=1) / 3) + 0.1 * rng.standard_normal(N_ROWS)
    return X.astype(dtype), y.astype(dtype)


def starts(dtype):
    return [{"random_state": seed} for seed in range(2 * 64 // np.dtype(dtype).itemsize)], None


def folds(dtype):
    grid = [{"learning_rate_init": rate} for rate in np.geomspace(0.001, 0.02, 8)]
    return grid, list(KFold(5).split(np.zeros(N_ROWS)))


TABLES = {"starts": starts, "folds": folds}


def one_after_the_other(tasks):
    return [False] * len(tasks)


def compare(units, dtype, rule, grid, splits):
    """Nanoseconds a sample and network: in lanes, and one after the other, of each turn."""
    X, y = problem(dtype)
    net = BackpropRegressor(
        hidden_layer_sizes=(units,),
        activation="tanh",
        batch_size="online",
        n_iter_no_change=N_EPOCHS,
        random_state=0,
    ).set_params(**rule)
    n_samples = N_ROWS if splits is None else sum(len(rows) for rows, _ in splits)
    ways = {"lanes": module.go_side_by_side, "alone": one_after_the_other}
    times, weights = {way: [] for way in ways}, {}
    try:
        for turn in range(ROUNDS + 1):  # the first compiles, and is compared
            for way, choice in ways.items():
                module.go_side_by_side = choice
                net.max_iter = N_EPOCHS if turn > 0 else 2
                since = time.process_time()
                nets = fit_many(X, y, grid, splits, estimator=net)
                spent = time.process_time() - since
                if turn > 0:
                    times[way].append(1e9 * spent / (n_samples * N_EPOCHS * len(grid)))
                else:
                    flat = nets if splits is None else sum(nets, [])
                    weights[way] = np.concatenate([each.coefs_[0].ravel() for each in flat])
            assert_same(weights["lanes"], weights["alone"], DIGITS)
    finally:
        module.go_side_by_side = ways["lanes"]
    return {way: np.array(each) for way, each in times.items()}


def main(arguments):
    names = parse_names(parser("fleet", __doc__), TABLES, arguments).names
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        print(machine.line())
        for name in names:
            rows = []
            for units, goals in UNITS.items():
                for rule, options in RULES.items():
                    for dtype in DTYPES:
                        kind = np.dtype(dtype).name
                        times = compare(units, dtype, options, *TABLES[name](dtype))
                        lanes, alone = times["lanes"], times["alone"]
                        goal = goals[kind] if rule == "plain" else None
                        gain = ratio(float(np.median(alone / lanes)), 1.0, goal)
                        cells = [number(alone.min()), number(lanes.min()), gain]
                        rows.append([f"10-{units}-1, {rule}", kind, *cells])
            header = [name, "dtype", "one after the other, ns", "in lanes, ns", "gain"]
            table(header, rows)
