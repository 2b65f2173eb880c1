"""Many fits in one process: memory stays flat, nothing is left open, and bits are those alone.

Run ``python -m helpers.soak 2000`` from ``tests/`` for some minutes of it.
"""

import hashlib
import os
import resource
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fastbp import BackpropRegressor

SOLVERS = ("adam", "sgd", "online", "lbfgs", "lm", "bfgs", "cg", "scg", "rprop", "gd")
#: Bytes by which the peak may rise once all kernels are compiled: the allocator's own ways.
MAX_GROWTH = 8 * 2**20


def fit(seed):
    """Fit a network whose shape, solver and data follow from the seed; returns its bits."""
    rng = np.random.RandomState(seed)
    n, n_features, n_outputs = rng.randint(2, 400), rng.randint(1, 20), rng.randint(1, 4)
    dtype = (np.float64, np.float32)[rng.randint(2)]
    X = rng.standard_normal((n, n_features)).astype(dtype)
    y = np.tanh(rng.standard_normal((n, n_outputs))).astype(dtype)
    solver = SOLVERS[rng.randint(len(SOLVERS))]
    parameters = {"solver": solver}
    if solver == "online":
        parameters = {"solver": "sgd", "batch_size": "online", "learning_rate_init": 1e-3}
    net = BackpropRegressor(
        hidden_layer_sizes=tuple(rng.randint(1, 12, size=rng.randint(3))),
        activation=("relu", "tanh", "logistic")[rng.randint(3)],
        n_jobs=int(rng.randint(1, 4)),
        n_init=int(rng.randint(1, 3)),
        max_iter=5,
        random_state=seed,
        **parameters,
    )
    net.fit(X, y[:, 0] if n_outputs == 1 else y)
    return hashlib.sha256(net.predict(X).tobytes()).hexdigest()


def state():
    """Peak memory in bytes, open descriptors, threads."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return peak, len(os.listdir("/dev/fd")), threading.active_count()


def main(n_fits):
    """Fit so often, in turn and in threads; returns what has grown, as text."""
    warnings.simplefilter("ignore")
    n_warm = min(n_fits, 200)
    bits = [fit(seed) for seed in range(n_warm)]
    with ThreadPoolExecutor(3) as pool:  # makes all threads there will be
        assert list(pool.map(fit, range(n_warm))) == bits
    before = state()
    with ThreadPoolExecutor(3) as pool:
        for _ in range(0, n_fits, n_warm):
            assert list(pool.map(fit, range(n_warm))) == bits
    after = state()
    growth = after[0] - before[0]
    assert growth < MAX_GROWTH, f"{growth} bytes in {n_fits} fits"
    assert after[1:] == before[1:], (before, after)
    _, n_descriptors, n_threads = after
    return f"{n_fits} fits: peak +{growth} bytes; {n_descriptors} descriptors, {n_threads} threads"


if __name__ == "__main__":
    print(main(int(sys.argv[1])))
