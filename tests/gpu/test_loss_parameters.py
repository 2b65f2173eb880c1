"""A loss's own number reaches every kernel of the GPU.

No loss of the registry has one yet; so one is registered here, in a process of its own, before the
kernels are made.
"""

import pytest

from fastbp.backends.device import has_gpu, why_no_gpu

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)

pytestmark = [pytest.mark.gpu, pytest.mark.subprocess]

CODE = """
import numpy as np
from fastbp.machine.elementary import where
from fastbp.model.losses import LOSSES, Loss

def huber(prediction, y, delta):
    size = abs(prediction - y)
    return where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))

def huber_gradient(prediction, y, delta):
    error = prediction - y
    return where(abs(error) <= delta, error, where(error < 0, -delta, delta))

LOSSES["huber"] = Loss(
    "huber", huber, huber_gradient, "identity", canonical=None, parameter="delta"
)

from helpers import oracle
oracle.LOSSES["huber"] = (
    lambda p, y, d: (p - y) ** 2 / 2 if abs(p - y) <= d else d * (abs(p - y) - d / 2),
    lambda p, y, d: min(max(p - y, -d), d),
)

from fastbp import Network, Objective
from fastbp.backends.gpu.objective import DeviceObjective
from helpers.cases import RULES
from helpers.gpu_cases import assert_close, assert_same_training, data_of, trainable

rng = np.random.default_rng(0)
network = Network((3, 5, 2), "tanh", "huber", loss_parameters=(0.5, 1.5))
swapped = Network((3, 5, 2), "tanh", "huber", loss_parameters=(1.5, 0.5))
for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-4)):
    parameters, data = data_of(network, 20, rng, dtype)
    loss, gradient = DeviceObjective(network, data, 0.1).loss_and_gradient(parameters)
    expected_loss, expected = Objective(network, data, 0.1).loss_and_gradient(parameters)
    assert abs(loss - expected_loss) <= tolerance * expected_loss
    assert_close(gradient, expected, tolerance)
    other_loss, _ = DeviceObjective(swapped, data, 0.1).loss_and_gradient(parameters)
    assert abs(other_loss - loss) > 1e-3 * loss
for batch_size in (1, 7):
    for rule in ("momentum", "adam"):
        case = trainable(network, 20, rng, batch_size=batch_size)
        assert_same_training(case, RULES[rule])
        assert_same_training(case, RULES[rule], (1, 1), others=[case._replace(network=swapped)])
print("reached")
"""


def test_a_losss_own_number_reaches_every_kernel(python, tmp_path):
    assert python(CODE, NUMBA_CACHE_DIR=str(tmp_path / "cache")) == "reached\n"
