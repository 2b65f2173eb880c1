"""Losses of classes in the kernels of the GPU: what the tables of cases do not ask of them."""

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.backends.cpu.predict import predict
from fastbp.backends.device import has_gpu, why_no_gpu
from fastbp.model.data import as_data
from helpers.cases import RULES
from helpers.guards import DTYPES

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)

from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.full_pass import FullPass
from fastbp.backends.gpu.objective import DeviceObjective
from helpers.gpu_cases import (
    NUMPY_MAY_WARN,
    Case,
    Guards,
    assert_close,
    assert_same_training,
    data_of,
    on_the_gpu,
    plans_of,
    take_tiles_of,
    trainable,
)

pytestmark = [pytest.mark.gpu, NUMPY_MAY_WARN]

#: Around a four, the few units of which a thread takes one, and the threads of the simulator.
N_CLASSES = pytest.mark.parametrize("n_classes", [2, 3, 4, 5, 8, 9, 33])
CLASS_LOSSES = pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
BATCH_SIZES = pytest.mark.parametrize("batch_size", [1, 4, 12], ids=["online", "mini", "full"])


@N_CLASSES
@DTYPES
def test_passes_of_every_number_of_classes(dtype, n_classes, memory, rng, monkeypatch):
    network = Network((3, 4, n_classes), "tanh", "cross_entropy")
    parameters, data = data_of(network, 10, rng, dtype)
    expected_loss, expected = Objective(network, data, 0.1).loss_and_gradient(parameters)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    guards = Guards(monkeypatch)
    loss, gradient = DeviceObjective(network, data, 0.1).loss_and_gradient(parameters)
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    assert_close(gradient, expected, tolerance)
    p = FullPass(network, DeviceTables([as_data(data.X)])).predict(parameters)
    assert_close(p, predict(network, parameters, data), tolerance)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=tolerance)
    guards.assert_untouched()


@N_CLASSES
@BATCH_SIZES
def test_epochs_of_every_number_of_classes(batch_size, n_classes, rng, monkeypatch):
    """A single network's batches are the grid's, those of several a block's."""
    case = trainable(
        Network((3, 4, n_classes), "tanh", "cross_entropy"), 6, rng, batch_size=batch_size
    )
    guards = Guards(monkeypatch)
    others = [] if n_classes % 2 else [case._replace(seed=1)]
    assert_same_training(case, RULES["adam"], (1, 1), others=others)
    guards.assert_untouched()


@pytest.mark.parametrize("layers", [(4, 3), (4, 5, 6, 3)])
@BATCH_SIZES
@DTYPES
def test_epochs_in_both_memories(dtype, batch_size, layers, memory, rng):
    network = Network(layers, "tanh", "cross_entropy")
    case = trainable(network, 9, rng, dtype, zeros=(2, 5), batch_size=batch_size)
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    assert_same_training(case, RULES["momentum"], (1, 1), tolerance)


@BATCH_SIZES
def test_networks_of_several_losses_side_by_side(batch_size, rng):
    case = trainable(
        Network((3, 4, 3), "tanh", "cross_entropy"), 7, rng, batch_size=batch_size, seed=3
    )
    others = [
        case._replace(network=Network((3, 4, 3), *more))
        for more in (
            ("tanh", "binary_cross_entropy"),
            ("relu", "squared_error"),
            ("tanh", "squared_error", "logistic"),  # whose slopes are needed
        )
    ]
    assert_same_training(case, RULES["adam"], (1, 1), others=others)


@CLASS_LOSSES
@BATCH_SIZES
def test_the_same_training_gives_the_same_bits(batch_size, loss, memory, rng, monkeypatch):
    take_tiles_of(8, monkeypatch)
    case = trainable(Network((3, 5, 5), "tanh", loss), 12, rng, batch_size=batch_size)
    plans = [{0: plan} for plan in plans_of(RULES["adam"], 2)]
    (first,), (second,) = on_the_gpu([case], plans), on_the_gpu([case], plans)
    assert first.losses == second.losses
    np.testing.assert_array_equal(first.parameters, second.parameters)


@CLASS_LOSSES
@DTYPES
def test_losses_are_exact_where_probabilities_underflow(dtype, loss, memory):
    """The net inputs are the biases: the wrong class is sure, its loss is how sure."""
    network = Network((1, 3), "identity", loss)
    parameters = np.array([0, 0, 0, 0, 800, -800], dtype)
    data = as_data(np.ones((2, 1)), np.array([[0, 0, 1], [0, 1, 0]]), None, dtype)
    expected = {
        "cross_entropy": (1600 + 0) / 2,
        "binary_cross_entropy": (800 + np.log(2) + 800 + np.log(2)) / 2,
    }[loss]
    computed, gradient = DeviceObjective(network, data).loss_and_gradient(parameters)
    assert computed == pytest.approx(expected, rel=1e-6)
    half = 0.5 * (loss == "binary_cross_entropy")
    np.testing.assert_allclose(gradient[3:], [half, 0.5, -0.5], atol=1e-30)
    for batch_size in (1, 2):
        case = Case(network, data, parameters, 0.0, batch_size, None)
        tolerance = 1e-12 if dtype == np.float64 else 1e-6
        assert_same_training(case, RULES["plain"], (1, 1), tolerance, by_oracle=False)


@DTYPES
def test_nan_in_is_nan_out(dtype, memory):
    network = Network((1, 3), "identity", "cross_entropy")
    table = FullPass(network, DeviceTables([as_data(np.ones((1, 1), dtype))]))
    for place in range(3):
        parameters = np.array([0, 0, 0, 1, 2, 3], dtype)
        parameters[3 + place] = np.nan
        assert np.isnan(table.predict(parameters)).all()
