"""A loss's own number reaches every kernel of the GPU."""

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.backends.device import has_gpu, why_no_gpu
from helpers.cases import RULES

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)

from fastbp.backends.gpu.objective import DeviceObjective
from helpers.gpu_cases import assert_close, assert_same_training, data_of, trainable

pytestmark = pytest.mark.gpu


def test_a_losss_own_number_reaches_every_kernel(rng):
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
