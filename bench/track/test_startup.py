"""How soon a new process is there: imports, and the first fit with an empty and a filled cache.

Each round is a Python process of its own, timed from its start to its end; what the statements in
question took inside of it is in ``extra_info``: NumPy and the data were there before them. A first
fit is cold when nothing is compiled (an empty NUMBA_CACHE_DIR), cached when an earlier process has
left its code there.
"""

import pytest

from bench.instruments.fresh_process import run_python

FIT = """
import numpy as np
X = np.random.default_rng(0).standard_normal((200, 10))
y = np.tanh(X[:, 0] + X[:, 1])
import time
start = time.perf_counter()
from {module} import {estimator} as Estimator
prediction = Estimator(random_state=0).fit(X, y).predict(X)
print(time.perf_counter() - start)
assert np.corrcoef(prediction, y)[0, 1] > 0.8
"""
FITS = {
    "fastbp": FIT.format(module="fastbp", estimator="BackpropRegressor"),
    "sklearn": FIT.format(module="sklearn.neural_network", estimator="MLPRegressor"),
}
IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def time_process(benchmark, code, cache, rounds):
    seconds = []
    benchmark.pedantic(lambda: seconds.append(float(run_python(code, cache))), rounds=rounds)
    benchmark.extra_info["seconds_inside"] = min(seconds)


@pytest.mark.parametrize("module", ("fastbp", "sklearn.neural_network", "numpy"))
def test_import(benchmark, tmp_path, module):
    code = IMPORT.format(module)
    run_python(code, tmp_path)  # the files are in memory from now on
    time_process(benchmark, code, tmp_path, rounds=5)


def test_cold_first_fit(benchmark, tmp_path):
    time_process(benchmark, FITS["fastbp"], tmp_path, rounds=1)


@pytest.mark.parametrize("implementation", FITS)
def test_cached_first_fit(benchmark, tmp_path, implementation):
    run_python(FITS[implementation], tmp_path)
    time_process(benchmark, FITS[implementation], tmp_path, rounds=3)
