"""Predictions of many rows, checked against the NumPy baseline before they are timed."""

import pytest

from bench.cases import DTYPES, SIZES, Case, assert_same, make_data, prediction_flops
from bench.rivals import RIVALS

DIGITS = {"float64": 1e-12, "float32": 1e-5}
N_ROWS = {"small": 20_000, "medium": 5_000, "large": 2_000}

pytestmark = pytest.mark.benchmark(max_time=0.3, min_rounds=4)


@pytest.mark.parametrize("implementation", ("fastbp", "NumPy", "scikit-learn"))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ("tanh", "relu"))
@pytest.mark.parametrize("size", SIZES)
def test_predict(time_per_sample, size, activation, dtype, implementation):
    case = Case("predict", SIZES[size], activation, N_ROWS[size], N_ROWS[size])
    X, _ = make_data(case, dtype)
    run = RIVALS[implementation].prediction(case, X)
    expected = RIVALS["NumPy"].prediction(case, X)()
    assert_same(run().reshape(expected.shape), expected, DIGITS)
    what = f"predict {case.net_name} {activation}"
    time_per_sample(run, what, implementation, dtype, len(X), prediction_flops(case.sizes))
