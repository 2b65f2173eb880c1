"""An epoch in the steady state: online, in mini-batches, and of the full batch.

Before it is timed, each implementation has gone through the same rows from the same parameters,
and ended where the NumPy baseline ends, which `test_baseline.py` holds against the textbook.
"""

import numpy as np
import pytest

from cases import DTYPES, SIZES, Case, assert_same, make_data, training_flops
from rivals import EPOCHS

DIGITS = {"float64": 1e-9, "float32": 1e-3}

# Rows of an epoch, so that a round takes some milliseconds. Online in Python fewer are enough.
N_ROWS = {"small": 20_000, "medium": 4_000, "large": 1_000}
MODES = {
    "online": ("tanh", 1),
    "batches of 32": ("relu", 32),
    "batches of 200": ("relu", 200),
    "full batch": ("tanh", None),
}

pytestmark = pytest.mark.benchmark(max_time=0.3, min_rounds=4)


def make_case(mode, size, implementation):
    activation, batch_size = MODES[mode]
    slow = mode == "online" and implementation != "fastbp"
    n_rows = N_ROWS[size] // 10 if slow else N_ROWS[size]
    return Case(mode, SIZES[size], activation, batch_size or n_rows, n_rows)


@pytest.mark.parametrize("implementation", EPOCHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_epoch(time_per_sample, mode, size, dtype, implementation):
    case = make_case(mode, size, implementation)
    X, y = make_data(case, dtype)
    run, parameters = EPOCHS[implementation](case, X, y)
    run()
    baseline_run, baseline_parameters = EPOCHS["numpy"](case, X, y)
    baseline_run()
    assert_same(parameters(), baseline_parameters(), DIGITS)
    what = f"{mode} {case.net_name} {case.activation}"
    time_per_sample(run, what, implementation, dtype, len(X), training_flops(case.sizes))
    assert np.isfinite(parameters()).all()
