"""A search: `BackpropSearchCV` against `GridSearchCV`, both round a `BackpropRegressor`.

60 fits of diabetes (12 settings, 5 folds) in one thread, and of ten times as many rows made of it.
Both find the same scores, which is checked after two epochs. They take turns, and CPU time counts,
since one thread works: a gain is the median of the turns.
"""

import time
import warnings

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale
from threadpoolctl import threadpool_limits

from bench.cases import DTYPES
from bench.instruments import machine
from bench.instruments.markdown import number, ratio, table
from bench.instruments.options import parse_names, parser
from fastbp import BackpropRegressor, BackpropSearchCV

ROUNDS, N_EPOCHS = 7, 100
DIGITS = {"float64": 1e-7, "float32": 1e-2}
KINDS = (GridSearchCV, BackpropSearchCV)
#: How the network is trained, and how much faster than one after the other is wanted.
SETTINGS = {
    "adam, batches of 200": ({"solver": "adam", "learning_rate_init": 0.01}, 1),
    "online": (
        {"solver": "sgd", "momentum": 0.0, "batch_size": "online", "learning_rate_init": 0.003},
        3,
    ),
}
GRID = {"alpha": [1e-4, 1e-3, 1e-2], "tol": [1e-4, 1e-5, 1e-6, 1e-7]}
TABLES = {"small": 1, "large": 10}


def problem(dtype, times):
    """Diabetes, or so many times as many rows, each near one of its rows."""
    X, y = (scale(array) for array in load_diabetes(return_X_y=True))
    X, y = np.tile(X, (times, 1)), np.tile(y, times)
    X += (times > 1) * 0.05 * np.random.default_rng(0).standard_normal(X.shape)
    return X.astype(dtype), y.astype(dtype)


def seconds(kind, net, X, y):
    """CPU seconds of a search, and its mean scores."""
    since = time.process_time()
    search = kind(net, GRID).fit(X, y)
    return time.process_time() - since, search.cv_results_["mean_test_score"]


def compare(options, dtype, times):
    """Milliseconds a fit of both searches, in turns."""
    X, y = problem(dtype, times)
    net = BackpropRegressor("squared_error", (16,), "tanh", random_state=0, max_iter=2, **options)
    of_both, by_dtype = (
        [seconds(kind, net, X, y)[1] for kind in KINDS],
        DIGITS[np.dtype(dtype).name],
    )
    np.testing.assert_allclose(*of_both, rtol=by_dtype)
    net.set_params(max_iter=max(5, N_EPOCHS // times))
    turns = [[seconds(kind, net, X, y)[0] for kind in KINDS] for _ in range(ROUNDS)]
    return 1e3 * np.array(turns).T / 60


def main(arguments):
    names = parse_names(parser("searches", __doc__), TABLES, arguments).names
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        print(machine.line())
        for name in names:
            rows = []
            for setting, (options, goal) in SETTINGS.items():
                for dtype in DTYPES:
                    grid, own = compare(options, dtype, TABLES[name])
                    gain = ratio(float(np.median(grid / own)), 1.0, goal)
                    cells = [number(np.median(grid)), number(np.median(own)), gain]
                    rows.append([setting, np.dtype(dtype).name, *cells])
            table([name, "dtype", "GridSearchCV, ms a fit", "BackpropSearchCV", "gain"], rows)
