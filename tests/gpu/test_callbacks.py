"""Callbacks are told of a training on the GPU as of one on the CPU."""

import numpy as np
import pytest

from fastbp import BackpropRegressor, fit_many
from fastbp.backends.device import has_gpu, why_no_gpu
from helpers.callbacks import Fitted, stops_at
from helpers.fits import SHORT

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)
if not hasattr(BackpropRegressor, "set_callbacks"):
    pytest.skip("scikit-learn has no callbacks before 1.9", allow_module_level=True)

from helpers.gpu_cases import NUMPY_MAY_WARN

pytestmark = [pytest.mark.gpu, NUMPY_MAY_WARN, SHORT]


@pytest.mark.parametrize("parameters", [
    {"solver": "sgd", "batch_size": "online"}, {"solver": "adam", "batch_size": 5, "n_init": 2},
    {"solver": "rprop"},
])  # fmt: skip
def test_callbacks_are_told_the_same(parameters, problem):
    X, y = problem(12, 3)
    told = []
    for device in ("cpu", "cuda"):
        callback = Fitted(stops_at(1))  # the second iteration, or start
        net = BackpropRegressor(hidden_layer_sizes=(3,), max_iter=3, random_state=0, device=device)
        net.set_params(**parameters).set_callbacks(callback).fit(X, y)
        # Starts that go side by side begin together, and end so.
        told.append((net.stop_reason_, sorted(callback.told), callback.kept[-1][0].predict(X)))
    (reason, hooks, on_the_cpu), (same_reason, same_hooks, on_the_gpu) = told
    assert (same_reason, same_hooks) == (reason, hooks)
    assert reason == ("max_iter" if "n_init" in parameters else "callback")
    np.testing.assert_allclose(on_the_gpu, on_the_cpu, rtol=1e-6)


def test_of_many_fits_they_are_told_the_same(problem):
    X, y = problem(12, 3)
    told = []
    for device in ("cpu", "cuda"):
        callback = Fitted(stops_at(1, 0))  # the first iteration of the second
        net = BackpropRegressor(
            hidden_layer_sizes=(3,), solver="sgd", batch_size="online", max_iter=3, random_state=0
        )
        net.set_params(device=device).set_callbacks(callback)
        nets = fit_many(X, y, [{}, {"alpha": 0.1}], estimator=net)
        told.append((sorted(callback.told), [each.stop_reason_ for each in nets]))
    assert told[0] == told[1]
    assert told[0][1] == ["max_iter", "callback"]
