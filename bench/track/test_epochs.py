"""An epoch in the steady state: online, in mini-batches, and of the full batch.

Before it is timed, each implementation has gone through the same rows from the same parameters,
and ended where the NumPy baseline ends, which `test_baseline.py` holds against the textbook.
"""

import numpy as np
import pytest

from bench.cases import DTYPES, SIZES, Case, assert_same_training, make_data, training_flops
from bench.rivals import RIVALS

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
    slow = mode == "online" and implementation in ("NumPy", "scikit-learn", "PyTorch")
    n_rows = N_ROWS[size] // 10 if slow else N_ROWS[size]
    return Case(mode, SIZES[size], activation, batch_size or n_rows, n_rows, alpha=0.0)


@pytest.mark.parametrize("implementation", RIVALS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_epoch(time_per_sample, mode, size, dtype, implementation):
    case, rival = make_case(mode, size, implementation), RIVALS[implementation]
    if rival.missing() is not None:
        pytest.skip(rival.missing())
    if not rival.fits(case, dtype):
        pytest.skip(f"{implementation} does not do this")
    X, y = make_data(case, dtype)
    run, parameters = rival.epochs(case, X, y)
    run()
    baseline_run, baseline_parameters = RIVALS["NumPy"].epochs(case, X, y)
    baseline_run()
    digits = getattr(rival, "DIGITS", DIGITS)
    assert_same_training(parameters(), baseline_parameters(), digits)
    what = f"{mode} {case.net_name} {case.activation}"
    time_per_sample(run, what, implementation, dtype, len(X), training_flops(case.sizes))
    assert np.isfinite(parameters()).all()
