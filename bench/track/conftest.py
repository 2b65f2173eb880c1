"""What all benchmarks share: one BLAS thread, the clock with its extra figures, and the table.

``pytest bench/track`` times everything and ends with a table of nanoseconds a sample and of ratios
to the NumPy baseline of the same run. No test asserts anything about time.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository, for `bench`

from bench.instruments import machine

_RESULTS = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[_RESULTS] = []


def pytest_benchmark_update_machine_info(config, machine_info):
    del config
    with threadpool_limits(1):
        machine_info.update(machine.describe())


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture
def time_per_sample(benchmark, request):
    """Time ``run``, warmed up already, and note what a sample takes."""

    def time(run, what, implementation, dtype, n_samples, flops):
        benchmark(run)
        if benchmark.stats is None:  # --benchmark-disable
            return
        nanoseconds = 1e9 * benchmark.stats.stats.min / n_samples
        benchmark.extra_info |= machine.describe() | {
            "ns_per_sample": nanoseconds,
            "GFLOP/s": flops / nanoseconds,
        }
        key = (what, np.dtype(dtype).name)
        request.config.stash[_RESULTS].append((key, implementation, nanoseconds))

    return time


def pytest_terminal_summary(terminalreporter, config):
    table = {}
    for key, implementation, nanoseconds in config.stash[_RESULTS]:
        table.setdefault(key, {})[implementation] = nanoseconds
    if not table:
        return
    terminalreporter.section("ns per sample, best round (NumPy's time / this time)")
    for (what, dtype), row in table.items():
        cells = (_cell(name, time, row.get("NumPy")) for name, time in row.items())
        terminalreporter.write_line(f"{what:34}{dtype:9}" + "".join(cells))
    with threadpool_limits(1):
        terminalreporter.write_line(machine.line())


def _cell(name, time, baseline):
    ratio = "" if baseline is None else f"({baseline / time:.2f})"
    return f"{name} {time:>9.0f} {ratio:<8} "
