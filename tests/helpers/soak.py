"""Many fits in one process: memory stays flat, nothing is left open, and bits are those alone.

Run ``python -m helpers.soak 2000`` from ``tests/`` for some minutes of it, and ``python -m
helpers.soak rough 300`` for 300 seconds with forks and signals, beside processes that keep the
machine busy.
"""

import hashlib
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fastbp import BackpropRegressor

SOLVERS = ("adam", "sgd", "online", "lbfgs", "lm", "bfgs", "cg", "scg", "rprop", "gd")
#: Bytes by which the peak may rise once all kernels are compiled: the allocator's own ways.
MAX_GROWTH = 8 * 2**20
#: This one, and two others for each of three fits at a time.
MOST_THREADS = 1 + 3 * 2


#: Seconds after which a child that was told to end, or has three fits to do, hangs.
PATIENCE = 60.0
N_BUSY = 2


def _net(seed):
    """Make a network and data that follow from the seed."""
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
    return net, X, y[:, 0] if n_outputs == 1 else y


def fit(seed):
    """Fit a network whose shape, solver and data follow from the seed; returns its bits."""
    net, X, y = _net(seed)
    return hashlib.sha256(net.fit(X, y).predict(X).tobytes()).hexdigest()


def state():
    """Peak memory in bytes, open descriptors, threads."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return peak, len(os.listdir("/dev/fd")), threading.active_count()


def main(n_fits):
    """Fit so often, in turn and in threads; returns what has grown, as text."""
    warnings.simplefilter("ignore")
    n_warm = min(n_fits, 200)
    bits = [fit(seed) for seed in range(n_warm)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(fit, range(n_warm))) == bits
    before = state()
    with ThreadPoolExecutor(3) as pool:
        for _ in range(0, n_fits, n_warm):
            assert list(pool.map(fit, range(n_warm))) == bits
    after = state()
    growth = after[0] - before[0]
    assert growth < MAX_GROWTH, f"{growth} bytes in {n_fits} fits"
    assert after[1] == before[1], (before, after)
    assert after[2] <= MOST_THREADS, (before, after)  # the pool has as many as were busy at once
    _, n_descriptors, n_threads = after
    return f"{n_fits} fits: peak +{growth} bytes; {n_descriptors} descriptors, {n_threads} threads"


def rough(seconds, n_seeds=40):
    """Fit in threads for so long while children are forked and signals come; returns what was done.

    Every fourth fork's child fits and ends, others are ended while they fit by SIGTERM, SIGINT and
    SIGKILL; then Ctrl-C comes to a fit of this process. All other fits have the bits of each alone.
    """
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    bits, counts, rng = [fit(seed) for seed in range(n_seeds)], [0] * 4, np.random.RandomState(0)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(N_BUSY)]
    stop, before, end = threading.Event(), state(), time.monotonic() + seconds

    def fit_on(first):
        for n, seed in enumerate(itertools.cycle(range(n_seeds))):
            if stop.is_set():
                return n
            assert fit((seed + first) % n_seeds) == bits[(seed + first) % n_seeds]

    try:
        with ThreadPoolExecutor(2) as pool:
            fitting = [pool.submit(fit_on, first) for first in (0, n_seeds // 2)]
            try:
                while time.monotonic() < end:
                    for i, number in enumerate((None, "SIGTERM", "SIGINT", "SIGKILL")):
                        _fork(bits, number and signal.Signals[number], rng)
                        counts[i] += 1
                    _interrupt_a_fit(rng)
                    seed = rng.randint(n_seeds)
                    assert fit(seed) == bits[seed]
            finally:
                stop.set()
            n_fits = sum(each.result() for each in fitting)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    after = state()
    assert after[2] <= before[2] + 3, (before, after)  # fastbp keeps pools of 2 and 3 threads
    growth = after[0] - before[0]
    return f"{sum(counts)} forks, {counts[0]} interruptions, {n_fits} fits beside; +{growth} bytes"


def _fork(bits, number, rng):
    """Fork a child that fits, and wait for its end, after a signal if one is given."""
    pid = os.fork()
    if pid == 0:
        _be_a_child(bits, number, int(rng.randint(len(bits))))
    deadline = time.monotonic() + PATIENCE
    time.sleep(rng.uniform(0, 0.3) if number else 0)
    while True:
        if number:
            os.kill(pid, number)  # the first Ctrl-C may end no more than a fit
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"a child hangs that was sent {number}")
        time.sleep(0.02)
    expected = {None: 0, signal.SIGINT: 3}.get(number, None if number is None else -number)
    assert os.waitstatus_to_exitcode(status) == expected, (number, status)


def _be_a_child(bits, number, first):
    """Fit: three networks, or until a signal comes; never returns."""
    code = 1
    try:
        seeds = ((first + i) % len(bits) for i in itertools.count())
        for seed in itertools.islice(seeds, None if number else 3):
            if fit(seed) != bits[seed] and number != signal.SIGINT:
                os._exit(2)
        code = 0
    except KeyboardInterrupt:
        code = 3
    finally:
        os._exit(code)


def _interrupt_a_fit(rng):
    """Send Ctrl-C to a fit that would take hours, and require that it ends."""
    net, X, y = _net(rng.randint(1000))
    endless = {"max_iter": 10**9, "max_fun": 10**9, "tol": 0, "gtol": None, "n_init": 1}
    net.set_params(**endless, n_iter_no_change=np.inf, learning_rate_init=1e-9)
    timer = threading.Timer(rng.uniform(0, 0.3), os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        net.fit(X, y)
        timer.join()  # if the fit had no way on and ended by itself
        time.sleep(0.1)
    except KeyboardInterrupt:
        pass
    timer.join()
    assert all(np.isfinite(array).all() for array in getattr(net, "coefs_", []))


if __name__ == "__main__":
    if sys.argv[1] == "rough":
        print(rough(float(sys.argv[2])))
    else:
        print(main(int(sys.argv[1])))
