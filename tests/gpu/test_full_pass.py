"""Loss, gradient and predictions of all rows on the GPU, against the oracle and the CPU."""

import numpy as np
import pytest
from scipy import sparse

from fastbp import Network, Objective
from fastbp.backends.cpu.predict import predict
from fastbp.backends.device import has_gpu, why_no_gpu
from fastbp.model.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastbp.model.data import as_data
from fastbp.model.losses import LOSSES
from helpers.cases import EVERY_NETWORK, by_the_oracle, make_case, name_of, own_numbers
from helpers.guards import DTYPES, assert_guards_untouched, guarded

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)

from fastbp.backends.gpu import full_pass
from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.full_pass import FullPass
from fastbp.backends.gpu.objective import DeviceObjective
from fastbp.backends.gpu.tiling import BYTES_OF_SUMS
from fastbp.machine import gpu
from helpers.gpu_cases import NUMPY_MAY_WARN, Guards, assert_close, data_of, take_tiles_of

pytestmark = [pytest.mark.gpu, NUMPY_MAY_WARN]

#: Numbers around a four, a warp's square and the few units of which a thread takes one.
TILE_SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 31, 32, 33, 40]
#: Rows around a tile of eight; several tiles.
TILE_ROWS = [1, 2, 7, 8, 9, 17, 33, 65] + ([] if gpu.SIMULATED else [2113, 5000])

TOLERANCES = {np.float64: 1e-12, np.float32: 1e-4}


# The loss and its gradient over all rows.


@pytest.mark.parametrize("network", EVERY_NETWORK, ids=name_of)
def test_loss_and_gradient_against_the_oracle(network, rng):
    for weighted in (True, False):
        parameters, X, y, weights = make_case(network, 9, rng, weighted)
        data = as_data(X, y, weights)
        loss, gradient = DeviceObjective(network, data, 0.3).loss_and_gradient(parameters)
        expected_loss, expected = by_the_oracle(network, parameters, X, y, weights, 0.3)
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        assert_close(gradient, expected, 1e-12)
        loss_there, there = Objective(network, data, 0.3).loss_and_gradient(parameters)
        assert loss == pytest.approx(loss_there, rel=1e-12)
        assert_close(gradient, there, 1e-12)


@pytest.mark.parametrize("network", EVERY_NETWORK[::3], ids=name_of)
def test_float32_gradient_is_close_and_stays_float32(network, rng):
    parameters, X, y, weights = make_case(network, 9, rng)
    data = as_data(X, y, weights, np.float32)
    parameters = parameters.astype(np.float32)
    loss, gradient = DeviceObjective(network, data, 0.3).loss_and_gradient(parameters)
    expected_loss, expected = by_the_oracle(network, parameters, data.X, data.y, data.weights, 0.3)
    assert gradient.dtype == np.float32
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    assert_close(gradient, expected, 1e-4)


@pytest.mark.parametrize("size", TILE_SIZES)
@pytest.mark.parametrize("place", ["inputs", "hidden", "outputs"])
@DTYPES
def test_every_size_of_a_layer(size, place, dtype, rng, monkeypatch):
    sizes = {"inputs": 3, "hidden": 4, "outputs": 2} | {place: size}
    network = Network((sizes["inputs"], sizes["hidden"], sizes["outputs"]), "softplus")
    _check_all_passes(network, 5, dtype, rng, monkeypatch)


@pytest.mark.parametrize("n_samples", TILE_ROWS)
@DTYPES
def test_every_number_of_rows(n_samples, dtype, rng, monkeypatch):
    _check_all_passes(Network((3, 9, 2), "softplus"), n_samples, dtype, rng, monkeypatch)


@pytest.mark.parametrize("n_samples", [5, 33, 40])
@pytest.mark.parametrize("n_rows", [16, 32, 64])
@DTYPES
def test_large_tiles(n_rows, n_samples, dtype, memory, rng, monkeypatch):
    take_tiles_of(n_rows, monkeypatch)
    _check_all_passes(Network((5, 9, 4, 3), "softplus"), n_samples, dtype, rng, monkeypatch)


@pytest.mark.parametrize("n_rows", [8, 32])
@pytest.mark.parametrize("n_slots", [1, 2])
def test_several_tiles_of_a_slot(n_slots, n_rows, memory, rng, monkeypatch):
    take_tiles_of(n_rows, monkeypatch)
    monkeypatch.setattr(full_pass, "MAX_SLOTS", n_slots)
    _check_all_passes(Network((3, 9, 8, 2), "tanh"), 75, np.float64, rng, monkeypatch)


def _check_all_passes(network, n_samples, dtype, rng, monkeypatch):
    """Loss, gradient and predictions, with guards round every array on both sides."""
    tolerance = TOLERANCES[dtype]
    parameters, X, y, weights = make_case(network, n_samples, rng)
    X, y, weights, parameters = (guarded(a.astype(dtype)) for a in (X, y, weights, parameters))
    guards = Guards(monkeypatch)
    objective = DeviceObjective(network, as_data(X, y, weights), alpha=0.1)
    assert np.shares_memory(objective.data.X, X)
    expected_loss, expected = by_the_oracle(network, parameters, X, y, weights, 0.1)
    for _ in range(2):  # the second time, the sums of the first lie there
        loss, gradient = objective.loss_and_gradient(parameters)
        assert loss == pytest.approx(expected_loss, rel=tolerance)
        assert_close(gradient, expected, tolerance)
    prediction = FullPass(network, DeviceTables([as_data(X)])).predict(parameters)
    assert prediction.dtype == dtype
    assert_close(prediction, predict(network, parameters, as_data(X)), tolerance)
    assert_guards_untouched(X, y, weights, parameters)
    guards.assert_untouched()


def test_a_tile_shrinks_until_it_fits_the_shared_memory(rng, monkeypatch):
    network = Network((12, 20, 3), "tanh")
    parameters, data = data_of(network, 70, rng)
    monkeypatch.setattr(full_pass, "TILES_OF_A_BATCH", 1)
    expected_loss, expected = Objective(network, data).loss_and_gradient(parameters)
    seen = []
    for n_bytes in (10**6, 20_000, 12_000, 8000, 4000):
        monkeypatch.setattr(gpu, "max_shared_bytes", lambda n=n_bytes: BYTES_OF_SUMS + n)
        objective = DeviceObjective(network, data)
        loss, gradient = objective.loss_and_gradient(parameters)
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        assert_close(gradient, expected, 1e-12)
        tile = objective._full_pass._tile
        assert tile.shared_bytes <= n_bytes
        seen.append((tile.n_rows, tile.in_shared))
    assert seen == [(64, True), (32, True), (16, True), (8, True), (64, False)]


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_sparse_rows_are_the_dense_rows(container, memory, rng):
    network = Network((20, 9, 1), "tanh")
    parameters, X, y, weights = make_case(network, 21, rng)
    X[rng.uniform(size=X.shape) < 0.8] = 0
    X[[0, 8, 20]] = 0  # rows without entries
    results = []
    for inputs in (X, container(X)):
        data = as_data(inputs, y, weights)
        objective = DeviceObjective(network, data, 0.1)
        prediction = FullPass(network, DeviceTables([data])).predict(parameters)
        results.append((*objective.loss_and_gradient(parameters), prediction))
    for dense, other in zip(*results, strict=True):
        np.testing.assert_array_equal(other, dense)


def test_duplicate_entries_of_a_sparse_row_are_summed():
    X = sparse.csr_matrix(
        (np.array([1.0, 2.0, 4.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2)
    )
    table = FullPass(Network((2, 1)), DeviceTables([as_data(X)]))
    assert table.predict(np.array([1.0, 10.0, 0.0])).ravel().tolist() == [30.0, 4.0]


def test_a_sparse_table_without_any_entry(rng):
    network = Network((3, 4, 1), "softplus")
    parameters, X, y, weights = make_case(network, 5, rng)
    empty = as_data(sparse.csr_matrix(X.shape), y, weights)
    loss, gradient = DeviceObjective(network, empty, 0.1).loss_and_gradient(parameters)
    expected_loss, expected = by_the_oracle(network, parameters, np.zeros_like(X), y, weights, 0.1)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert_close(gradient, expected, 1e-12)


def test_saturated_units_have_finite_gradients(rng):
    for activation in HIDDEN_ACTIVATIONS:
        network = Network((3, 4, 1), activation)
        parameters, data = data_of(network, 5, rng)
        loss, gradient = DeviceObjective(network, data).loss_and_gradient(parameters * 1e6)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()


def test_evaluations_are_counted(rng):
    network = Network((3, 1))
    parameters, data = data_of(network, 5, rng)
    objective = DeviceObjective(network, data)
    for _ in range(3):
        objective.loss_and_gradient(parameters)
    assert objective.n_evaluations == 3


# Elementary functions, through the activations.


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_where_it_is_difficult(name, dtype, rng):
    """A layer whose weights are 0: the biases are the net inputs, their gradient the slopes."""
    z = np.array([-700, -90, -20, -3, -1e-3, -1e-9, 0, 1e-9, 1e-3, 0.5, 3, 20, 85, 700, np.nan])
    z = z.astype(dtype)
    record = ACTIVATIONS[name]
    with np.errstate(over="ignore"):
        value = record.value(z)
        expected_slope = record.slope(z, value)
    finite = np.isfinite(value)
    assert finite[:-2].all() or name == "exp"
    network = Network((1, len(z)), "tanh", "squared_error", name)
    parameters = np.concatenate([np.zeros(len(z)), z]).astype(dtype)
    table = FullPass(network, DeviceTables([as_data(np.zeros((1, 1), dtype))]))
    prediction = table.predict(parameters)[0]
    tolerance = 1e-14 if dtype == np.float64 else 2e-6
    assert np.isnan(prediction[-1])
    np.testing.assert_allclose(prediction, value, rtol=tolerance, atol=tolerance * 1e-3)
    y = np.where(finite, value, 0) - dtype(0.5)
    data = as_data(np.zeros((1, 1), dtype), y[np.newaxis])
    _, gradient = DeviceObjective(network, data).loss_and_gradient(parameters)
    with np.errstate(over="ignore"):
        expected = (value - y) * expected_slope
    assert np.isnan(gradient[-1])
    np.testing.assert_allclose(gradient[len(z) :], expected, rtol=1e-5, atol=1e-7)


# Predictions.


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_samples", [1, 3, 8, 20])
@DTYPES
def test_predictions_are_the_cpus(dtype, n_samples, loss, memory, rng):
    network = Network((5, 12, 7, 3), "silu", loss, None, own_numbers(loss))
    parameters, data = data_of(network, n_samples, rng, dtype)
    prediction = FullPass(network, DeviceTables([as_data(data.X)])).predict(parameters)
    expected = predict(network, parameters, data)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    assert prediction.shape == (n_samples, 3)
    assert_close(prediction, expected, tolerance)


def test_predictions_do_not_depend_on_the_grouping_of_rows(rng):
    network = Network((5, 33, 7, 2), "tanh")
    parameters, data = data_of(network, 20, rng)
    tables = [as_data(data.X[start : start + 7]) for start in range(0, 20, 7)]
    together = DeviceTables(tables)
    parts = [FullPass(network, together, i).predict(parameters) for i in range(len(tables))]
    whole = FullPass(network, DeviceTables([as_data(data.X)])).predict(parameters)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_the_bits_do_not_depend_on_the_number_of_blocks(rng, monkeypatch):
    network = Network((4, 9, 2), "tanh")
    parameters, data = data_of(network, 60, rng)
    launch, results = gpu.launch, []
    for max_blocks in (1000, 3, 1):

        def few_blocks(function, n_blocks, *arguments, limit=max_blocks):
            launch(function, min(n_blocks, limit), *arguments)

        monkeypatch.setattr(gpu, "launch", few_blocks)
        prediction = FullPass(network, DeviceTables([data])).predict(parameters)
        results.append((*DeviceObjective(network, data).loss_and_gradient(parameters), prediction))
    for other in results[1:]:
        np.testing.assert_equal(other, results[0])
