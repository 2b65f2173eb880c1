"""Processes, threads and signals.

What could hang or kill a process runs in one of its own, under a hard timeout.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fastbp

PACKAGE = Path(fastbp.__file__).parent
pytestmark = pytest.mark.subprocess
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX alone")

# The smallest kernel, so that a cold start is short.
FIT = """
import numpy as np, warnings
warnings.simplefilter("ignore")
from fastbp import BackpropRegressor
X = np.random.RandomState(0).standard_normal((4000, 5))
y = np.tanh(X.sum(axis=1))
def fit(seed=0, **parameters):
    net = BackpropRegressor("squared_error", (8,), "tanh", max_iter=5, random_state=seed, n_jobs=2,
                            **parameters)
    return net.fit(X, y).predict(X).tobytes()
"""


def test_importing_loads_no_compiler(python):
    code = "import sys, fastbp; print('numba' in sys.modules, 'llvmlite' in sys.modules)"
    assert python(code).split() == ["False", "False"]


def test_parameters_and_errors_need_no_compiler(python):
    code = """
import sys
from fastbp import BackpropRegressor
try:
    BackpropRegressor(batch_size=0).fit([[1.0]], [1.0])
except ValueError as error:
    print('batch_size' in str(error), 'numba' in sys.modules)
"""
    assert python(code).split() == ["True", "False"]


def test_threads_that_all_fit_first_get_the_serial_results(python, tmp_path):
    code = f"""{FIT}
from concurrent.futures import ThreadPoolExecutor
solvers = [{{"solver": s, "batch_size": b}} for s in ("sgd", "adam", "lbfgs") for b in (1, 64)]
jobs = [(seed, parameters) for parameters in solvers for seed in (0, 1)]
with ThreadPoolExecutor(8) as pool:
    together = list(pool.map(lambda job: fit(job[0], **job[1]), jobs))
print(together == [fit(seed, **parameters) for seed, parameters in jobs])
"""
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path / "cache")).split() == ["True"]


def test_threads_predict_from_one_estimator(python):
    code = f"""{FIT}
from concurrent.futures import ThreadPoolExecutor
net = BackpropRegressor("squared_error", (8,), max_iter=2, random_state=0, n_jobs=2).fit(X, y)
with ThreadPoolExecutor(8) as pool:
    print(len({{p.tobytes() for p in pool.map(lambda _: net.predict(X), range(64))}}))
"""
    assert python(code).split() == ["1"]


@pytest.mark.parametrize("solver", ["lm", "bfgs", "lbfgs"])
def test_the_number_of_blas_threads_changes_no_bit(python, solver):
    """It is as many as there are cores, unless a variable or loky says otherwise."""
    code = f"""{FIT}
import hashlib
from threadpoolctl import threadpool_info
X = np.random.RandomState(0).standard_normal((400, 20))
y = np.tanh(X.sum(axis=1))
def n_threads():
    return {{library["filepath"]: library["num_threads"] for library in threadpool_info()}}
before = n_threads()
net = BackpropRegressor(hidden_layer_sizes=(20,), activation="tanh", solver="{solver}",
                        max_iter=30, tol=0, random_state=0, n_init=2, n_jobs=2).fit(X, y)
assert n_threads().items() >= before.items()
print(hashlib.sha256(net.predict(X).tobytes()).hexdigest())
"""
    threads = ("1", "2", "4")
    assert len({python(code, OMP_NUM_THREADS=n, OPENBLAS_NUM_THREADS=n) for n in threads}) == 1


@POSIX
def test_fit_fork_fit(python):
    code = f"""{FIT}
import os
expected = fit(solver="lbfgs")
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if fit(solver="lbfgs") == expected else 1)
    children.append(pid)
print([os.waitpid(pid, 0)[1] for pid in children], fit(solver="lbfgs") == expected)
"""
    assert python(code, timeout=120).strip() == "[0, 0, 0] True"


@POSIX
def test_a_fork_while_other_threads_import_and_compile_hangs_no_child(python, tmp_path):
    """The child compiles a kernel, the smallest, for which it needs their locks."""
    code = f"""{FIT}
import os, threading, time
thread = threading.Thread(target=fit)
thread.start()
codes = []
for _ in range(3):
    time.sleep(0.5)
    pid = os.fork()
    if pid == 0:
        from fastbp.backends.cpu import load_kernels
        kernels = load_kernels()
        kernels.penalise(1, np.ones(1), np.ones(1), 0.5, 2.0)
        os._exit(0)
    codes.append(os.waitpid(pid, 0)[1])
thread.join()
print(codes)
"""
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path)).strip() == "[0, 0, 0]"


@POSIX
def test_a_fork_while_other_threads_fit_hangs_no_child(python):
    code = f"""{FIT}
import os, threading, time
expected, stop = fit(solver="lbfgs"), threading.Event()
def fit_on():
    while not stop.is_set():
        fit(solver="lbfgs")
threads = [threading.Thread(target=fit_on) for _ in range(3)]
for thread in threads:
    thread.start()
codes = []
for _ in range(20):
    time.sleep(0.01)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if fit(solver="lbfgs") == expected else 1)
    codes.append(os.waitpid(pid, 0)[1])
stop.set()
for thread in threads:
    thread.join()
print(set(codes))
"""
    assert python(code).strip() == "{0}"


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@POSIX
def test_multiprocessing_gives_the_serial_results(python, method, tmp_path):
    (tmp_path / "work.py").write_text(FIT)
    code = f"""
import multiprocessing, sys
sys.path.insert(0, ".")
import work
if __name__ == "__main__":
    expected = [work.fit(seed) for seed in range(4)]
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        print(pool.map(work.fit, range(4)) == expected)
"""
    (tmp_path / "main.py").write_text(code)
    run = "import runpy; runpy.run_path('main.py', run_name='__main__')"
    assert python(run, timeout=120).split() == ["True"]


@POSIX
@pytest.mark.parametrize(
    "solver", ["sgd-online", "adam", "adam-full", "adam-team", "lbfgs-threads"]
)
def test_ctrl_c_ends_a_long_fit_within_a_second(tmp_path, solver):
    name, _, mode = solver.partition("-")
    # So that the first seconds see an update.
    hidden = {"full": (32,), "team": (32,), "threads": (128,)}.get(mode, (128, 128))
    code = f"""
import warnings, time, sys, threading
import numpy as np
from fastbp import BackpropRegressor
X = np.random.RandomState(0).standard_normal((400_000, 64)).astype(np.float32)
y = X[:, 0]
small = BackpropRegressor("squared_error", (4,), "relu", solver="{name}", tol=1e9, batch_size=10)
net = BackpropRegressor("squared_error", {hidden}, "relu", solver="{name}", max_iter=10**6,
    max_fun=10**6, n_iter_no_change=10**6, n_jobs={2 if mode in ("threads", "team") else 1},
    batch_size={ {"online": 1, "full": 400_000}.get(mode, 200) })
small.set_params(batch_size=net.batch_size if net.batch_size == 1 else 10).fit(X[:99], y[:99])
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    net.max_iter = 1
    first = {hidden if mode in ("full", "team") else (4,)}
    net.set_params(hidden_layer_sizes=first).fit(X, y)  # compiles
net.set_params(hidden_layer_sizes={hidden}, max_iter=10**6)
threading.Timer(2.0, lambda: print("fitting", flush=True)).start()
with warnings.catch_warnings(record=True) as record:
    warnings.simplefilter("always")
    net.fit(X, y)
print(net.stop_reason_, any("interrupted by user" in str(w.message) for w in record),
      np.isfinite(net.coefs_[0]).all(), flush=True)
"""
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore SIGINT, and their children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            assert process.stdout.readline().strip() == "fitting"
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            output = process.stdout.readline().split()
            waited = time.monotonic() - sent
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    assert output == ["interrupted", "True", "True"]
    assert waited < 5  # a second on a machine of one's own; this says that it did not wait for more


# Batches that are worth a team (backends/cpu/team.py).
TEAM = """
import numpy as np, os, warnings
warnings.simplefilter("ignore")
from fastbp import BackpropRegressor
X = np.random.RandomState(0).standard_normal((1500, 16))
y = np.tanh(X.sum(axis=1))
def fit(seed=0, n_jobs=2, max_iter=4, **parameters):
    net = BackpropRegressor("squared_error", (48, 48), "tanh", max_iter=max_iter, batch_size=300,
                            random_state=seed, n_jobs=n_jobs, **parameters)
    return net.fit(X, y).predict(X).tobytes()
expected = [fit(seed, n_jobs=1) for seed in range(3)]
assert fit() == expected[0]  # compiles
"""


@pytest.mark.parametrize("n_rounds", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_a_team_beside_busy_processes_ends_with_the_bits_of_one_thread(python, n_rounds):
    code = f"""{TEAM}
import subprocess, sys
busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
try:
    print({{fit(n_jobs=2 + round % 3) == expected[0] for round in range({n_rounds})}})
finally:
    for process in busy:
        process.kill()
"""
    assert python(code, timeout=300).strip() == "{True}"


@POSIX
def test_a_fork_while_a_team_works_hangs_no_child(python):
    code = f"""{TEAM}
import threading, time
stop = threading.Event()
def fit_on():
    while not stop.is_set():
        fit()
threads = [threading.Thread(target=fit_on) for _ in range(2)]
for thread in threads:
    thread.start()
codes = []
for _ in range(10):
    time.sleep(0.02)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if fit() == expected[0] else 1)
    codes.append(os.waitpid(pid, 0)[1])
stop.set()
for thread in threads:
    thread.join()
print(set(codes))
"""
    assert python(code, timeout=120).strip() == "{0}"


def test_teams_in_threads_of_others(python):
    code = f"""{TEAM}
from concurrent.futures import ThreadPoolExecutor
from sklearn.model_selection import GridSearchCV
from joblib import parallel_backend
with ThreadPoolExecutor(6) as pool:
    together = list(pool.map(lambda i: fit(i % 3, 2 + i % 2), range(30)))
print(together == [expected[i % 3] for i in range(30)])
print(fit(n_init=3, n_jobs=3) == fit(n_init=3, n_jobs=1))
net = BackpropRegressor("squared_error", (48, 48), batch_size=300, max_iter=2, n_jobs=2)
with parallel_backend("threading"):
    search = GridSearchCV(net, {{"alpha": [0.1, 0.2]}}, cv=2, n_jobs=2).fit(X, y)
print(np.isfinite(search.best_score_))
"""
    assert python(code, timeout=120).split() == ["True"] * 3


@POSIX
def test_many_ctrl_c_while_a_team_works(python):
    """Wherever it strikes, the fit ends, and the next one has its bits."""
    code = f"""{TEAM}
import signal, threading, time
for round in range(30):
    timer = threading.Timer(0.001 * round, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        fit(max_iter=40)
        timer.join()
        time.sleep(1)
    except KeyboardInterrupt:  # before the training, or after it
        pass
print(fit() == expected[0])
"""
    assert python(code, timeout=120).split() == ["True"]


def test_memory_stays_flat_over_many_fits(python):
    pytest.importorskip("resource")
    code = f"""{FIT}
import resource, sys
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def many(n):
    for seed in range(n):
        for parameters in ({{}}, {{"solver": "lbfgs"}}, {{"solver": "sgd", "batch_size": 512}}):
            fit(seed, **parameters)
many(20)
before = peak()
many(200)
print(peak() - before)
"""
    in_a_mebibyte = 2**20 if sys.platform == "darwin" else 1024
    assert int(python(code)) < 20 * in_a_mebibyte


@POSIX
@pytest.mark.parametrize("n_fits", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_many_fits_leave_nothing_behind_and_have_the_bits_of_each_alone(n_fits, python):
    assert python(f"from helpers.soak import main; print(main({n_fits}))")


@POSIX
@pytest.mark.parametrize("seconds", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_forks_and_signals_among_fits_on_a_busy_machine(seconds, python):
    """No child hangs, all end as they were told to, and no fit has other bits."""
    assert "forks" in python(f"from helpers.soak import rough; print(rough({seconds}))")


def test_fits_in_an_event_loop_and_in_threads_beside_it(python):
    """As in a notebook, whose cells run in an event loop."""
    code = f"""{FIT}
import asyncio
async def main():
    inside = fit(0)
    return inside, await asyncio.gather(*(asyncio.to_thread(fit, seed) for seed in range(4)))
inside, beside = asyncio.run(main())
print(inside == beside[0], beside == [fit(seed) for seed in range(4)])
"""
    assert python(code).split() == ["True", "True"]
