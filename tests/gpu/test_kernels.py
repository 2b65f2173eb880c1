"""Every kernel of the GPU against the oracle and the CPU's kernels."""

import numpy as np
import pytest
from scipy import sparse
from test_kernels import EVERY_NETWORK, RULES, _case, _name, _oracle, _output_activations

from fastbp import Network, Objective
from fastbp.backends.cpu.predict import predict
from fastbp.backends.device import has_gpu, why_no_gpu
from fastbp.model import update_rules
from fastbp.model.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastbp.model.data import as_data
from fastbp.model.losses import LOSSES
from helpers.guards import DTYPES, assert_guards_untouched, guarded

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)

from fastbp.backends.gpu import fleet
from fastbp.backends.gpu import full_pass as device_table
from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.full_pass import DeviceTable
from fastbp.backends.gpu.kernels import online_kernel
from fastbp.backends.gpu.objective import DeviceObjective
from fastbp.backends.gpu.tiling import BYTES_OF_SUMS
from fastbp.machine import gpu
from fastbp.model.objective import NO_PATIENCE, Leg, Patience
from helpers.gpu_cases import (
    NUMPY_MAY_WARN,
    Case,
    Guards,
    assert_close,
    assert_same_course,
    assert_same_training,
    legs_of,
    on_the_cpu,
    on_the_gpu,
)

pytestmark = [pytest.mark.gpu, NUMPY_MAY_WARN]

#: Numbers around a four, a warp's square and the few units of which a thread takes one.
TILE_SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 31, 32, 33, 40]
#: Rows around a tile of eight; several tiles.
TILE_ROWS = [1, 2, 7, 8, 9, 17, 33, 65] + ([] if gpu.SIMULATED else [2113, 5000])

TOLERANCES = {np.float64: 1e-12, np.float32: 1e-4}


def _data(network, n_samples, rng, dtype=np.float64, weighted=True):
    """Parameters and data of a network."""
    parameters, X, y, weights = _case(network, n_samples, rng, weighted)
    return parameters.astype(dtype), as_data(X, y, weights, dtype)


def _trainable(network, n_samples, rng, dtype=np.float64, weighted=True, zeros=(), **more):
    """Make a case to be trained from small parameters; some rows may have a weight of 0."""
    parameters, data = _data(network, n_samples, rng, dtype, weighted)
    if zeros:
        weights = data.weights.copy()
        weights[list(zeros)] = 0
        data = as_data(data.X, data.y, weights, dtype)
    return Case(network, data, (0.5 * parameters).astype(dtype), **more)


@pytest.fixture(params=["shared", "device"])
def memory(request, monkeypatch):
    """Tiles and weights in the chip's shared memory, or where they do not fit there."""
    if request.param == "device":
        monkeypatch.setattr(device_table, "_bytes_of_a_tile", lambda *_: 10**9)
        _keep_weights_in_the_devices_memory(monkeypatch)
    return request.param


def _keep_weights_in_the_devices_memory(monkeypatch):
    monkeypatch.setattr(fleet, "online_kernel", lambda kind, _: online_kernel(kind, False))


def _take_tiles_of(n_rows, monkeypatch):
    monkeypatch.setattr(device_table, "_TILE_ROWS", (n_rows,))


# The loss and its gradient over all rows.


@pytest.mark.parametrize("network", EVERY_NETWORK, ids=_name)
def test_loss_and_gradient_against_the_oracle(network, rng):
    for weighted in (True, False):
        parameters, X, y, weights = _case(network, 9, rng, weighted)
        data = as_data(X, y, weights)
        loss, gradient = DeviceObjective(network, data, 0.3).loss_and_gradient(parameters)
        expected_loss, expected = _oracle(network, parameters, X, y, weights, 0.3)
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        assert_close(gradient, expected, 1e-12)
        loss_there, there = Objective(network, data, 0.3).loss_and_gradient(parameters)
        assert loss == pytest.approx(loss_there, rel=1e-12)
        assert_close(gradient, there, 1e-12)


@pytest.mark.parametrize("network", EVERY_NETWORK[::3], ids=_name)
def test_float32_gradient_is_close_and_stays_float32(network, rng):
    parameters, X, y, weights = _case(network, 9, rng)
    data = as_data(X, y, weights, np.float32)
    parameters = parameters.astype(np.float32)
    loss, gradient = DeviceObjective(network, data, 0.3).loss_and_gradient(parameters)
    expected_loss, expected = _oracle(network, parameters, data.X, data.y, data.weights, 0.3)
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
    _take_tiles_of(n_rows, monkeypatch)
    _check_all_passes(Network((5, 9, 4, 3), "softplus"), n_samples, dtype, rng, monkeypatch)


@pytest.mark.parametrize("n_rows", [8, 32])
@pytest.mark.parametrize("n_slots", [1, 2])
def test_several_tiles_of_a_slot(n_slots, n_rows, memory, rng, monkeypatch):
    _take_tiles_of(n_rows, monkeypatch)
    monkeypatch.setattr(device_table, "MOST_SLOTS", n_slots)
    _check_all_passes(Network((3, 9, 8, 2), "tanh"), 75, np.float64, rng, monkeypatch)


def _check_all_passes(network, n_samples, dtype, rng, monkeypatch):
    """Loss, gradient and predictions, with guards round every array on both sides."""
    tolerance = TOLERANCES[dtype]
    parameters, X, y, weights = _case(network, n_samples, rng)
    X, y, weights, parameters = (guarded(a.astype(dtype)) for a in (X, y, weights, parameters))
    guards = Guards(monkeypatch)
    objective = DeviceObjective(network, as_data(X, y, weights), alpha=0.1)
    assert np.shares_memory(objective.data.X, X)
    expected_loss, expected = _oracle(network, parameters, X, y, weights, 0.1)
    for _ in range(2):  # the second time, the sums of the first lie there
        loss, gradient = objective.loss_and_gradient(parameters)
        assert loss == pytest.approx(expected_loss, rel=tolerance)
        assert_close(gradient, expected, tolerance)
    prediction = DeviceTable(network, DeviceTables([as_data(X)])).predict(parameters)
    assert prediction.dtype == dtype
    assert_close(prediction, predict(network, parameters, as_data(X)), tolerance)
    assert_guards_untouched(X, y, weights, parameters)
    guards.assert_untouched()


def test_a_tile_shrinks_until_it_fits_the_shared_memory(rng, monkeypatch):
    network = Network((12, 20, 3), "tanh")
    parameters, data = _data(network, 70, rng)
    monkeypatch.setattr(device_table, "TILES_OF_A_BATCH", 1)
    expected_loss, expected = Objective(network, data).loss_and_gradient(parameters)
    seen = []
    for n_bytes in (10**6, 20_000, 12_000, 8000, 4000):
        monkeypatch.setattr(gpu, "most_shared_bytes", lambda n=n_bytes: BYTES_OF_SUMS + n)
        objective = DeviceObjective(network, data)
        loss, gradient = objective.loss_and_gradient(parameters)
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        assert_close(gradient, expected, 1e-12)
        tile = objective._table._tile
        assert tile.shared_bytes <= n_bytes
        seen.append((tile.n_rows, tile.in_shared))
    assert seen == [(64, True), (32, True), (16, True), (8, True), (64, False)]


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_sparse_rows_are_the_dense_rows(container, memory, rng):
    network = Network((20, 9, 1), "tanh")
    parameters, X, y, weights = _case(network, 21, rng)
    X[rng.uniform(size=X.shape) < 0.8] = 0
    X[[0, 8, 20]] = 0  # rows without entries
    results = []
    for inputs in (X, container(X)):
        data = as_data(inputs, y, weights)
        objective = DeviceObjective(network, data, 0.1)
        prediction = DeviceTable(network, DeviceTables([data])).predict(parameters)
        results.append((*objective.loss_and_gradient(parameters), prediction))
    for dense, other in zip(*results, strict=True):
        np.testing.assert_array_equal(other, dense)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_training_on_sparse_rows_is_training_on_the_dense_rows(batch_size, rng):
    network = Network((10, 4, 1), "tanh")
    parameters, X, y, weights = _case(network, 11, rng)
    X[rng.uniform(size=X.shape) < 0.8] = 0
    X[4] = 0
    folds = [np.arange(8), np.arange(4, 11)]  # two tables, one behind the other
    results = []
    for container in (np.asarray, sparse.csr_matrix):
        cases = [
            Case(network, as_data(container(X[fold]), y[fold], weights[fold]), 0.5 * parameters,
                 batch_size=batch_size)
            for fold in folds
        ]  # fmt: skip
        (leg,) = legs_of(RULES["momentum"], 2)
        results.append(on_the_gpu(cases, [{0: leg, 1: leg}]))
    for dense, other in zip(*results, strict=True):
        assert dense.losses == other.losses
        np.testing.assert_array_equal(dense.parameters, other.parameters)


def test_duplicate_entries_of_a_sparse_row_are_summed():
    X = sparse.csr_matrix(
        (np.array([1.0, 2.0, 4.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2)
    )
    table = DeviceTable(Network((2, 1)), DeviceTables([as_data(X)]))
    assert table.predict(np.array([1.0, 10.0, 0.0])).ravel().tolist() == [30.0, 4.0]


def test_a_sparse_table_without_any_entry(rng):
    network = Network((3, 4, 1), "softplus")
    parameters, X, y, weights = _case(network, 5, rng)
    empty = as_data(sparse.csr_matrix(X.shape), y, weights)
    loss, gradient = DeviceObjective(network, empty, 0.1).loss_and_gradient(parameters)
    expected_loss, expected = _oracle(network, parameters, np.zeros_like(X), y, weights, 0.1)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert_close(gradient, expected, 1e-12)


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
    table = DeviceTable(network, DeviceTables([as_data(np.zeros((1, 1), dtype))]))
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


@pytest.mark.parametrize("batch_size", [None, 1, 5])
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_reach_the_loss(activation, bad, batch_size, rng):
    network = Network((3, 4, 1), activation)
    parameters, data = _data(network, 5, rng)
    parameters[-1] = bad  # the output's bias
    if batch_size is None:
        loss, _ = DeviceObjective(network, data).loss_and_gradient(parameters)
    else:
        case = Case(network, data, parameters, batch_size=batch_size)
        (course,) = on_the_gpu([case], [{0: leg} for leg in legs_of(RULES["plain"], 3)])
        (loss,) = course.losses  # and training has ended
    assert not np.isfinite(loss)


@pytest.mark.parametrize("batch_size", [1, 3, 5])
@pytest.mark.parametrize("place", [0, 12, -1], ids=["weight", "hidden bias", "output bias"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_parameter_ends_training_wherever_it_is(bad, place, batch_size, rng):
    """Units whose activation hides an infinity: the loss alone would not show it."""
    network = Network((3, 4, 1), "logistic")
    parameters, data = _data(network, 5, rng)
    parameters[place] = bad
    case = Case(network, data, parameters, batch_size=batch_size)
    for others in ([], [_trainable(network, 5, rng, batch_size=batch_size)]):
        cases = [case, *others]
        (leg,) = legs_of(RULES["plain"], 3)
        courses = on_the_gpu(cases, [dict.fromkeys(range(len(cases)), leg)])
        assert len(courses[0].losses) == 1
        assert not np.isfinite(courses[0].losses[0])
        for course in courses[1:]:
            assert len(course.losses) == 3
            assert np.isfinite(course.parameters).all()


def test_saturated_units_have_finite_gradients(rng):
    for activation in HIDDEN_ACTIVATIONS:
        network = Network((3, 4, 1), activation)
        parameters, data = _data(network, 5, rng)
        loss, gradient = DeviceObjective(network, data).loss_and_gradient(parameters * 1e6)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()


# Epochs of mini-batches.


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("batch_size", [2, 3, 8, 13])
@pytest.mark.parametrize("rule", RULES)
def test_mini_batches_of_one_network(rule, batch_size, weighted, rng):
    """One network is trained by the whole grid; 13 rows leave a last batch of one."""
    zeros = (2, 5, 6) if weighted else ()
    case = _trainable(
        Network((4, 5, 3, 2), "tanh"), 13, rng, weighted=weighted, zeros=zeros,
        batch_size=batch_size,
    )  # fmt: skip
    assert_same_training(case, RULES[rule], rule)


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize(("rule", "batch_size"), list(zip(RULES, [2, 3, 8, 13], strict=True)))
def test_mini_batches_of_two_networks(rule, batch_size, weighted, rng):
    """Each is trained by a block."""
    network = Network((4, 5, 2), "tanh")
    zeros = (2, 5, 6) if weighted else ()
    case = _trainable(network, 13, rng, weighted=weighted, zeros=zeros, batch_size=batch_size)
    other = case._replace(network=network, seed=1, alpha=0.0)
    assert_same_training(case, RULES[rule], rule, others=[other])


@pytest.mark.parametrize("is_alone", [True, False], ids=["grid", "blocks"])
@pytest.mark.parametrize("rule", RULES)
@DTYPES
def test_batches_of_several_tiles(dtype, rule, is_alone, memory, rng, monkeypatch):
    n_rows, batch_size, n = (8, 20, 45) if rule in ("plain", "adam") else (32, 40, 75)
    _take_tiles_of(n_rows, monkeypatch)
    case = _trainable(Network((3, 9, 2), "softplus"), n, rng, dtype, batch_size=batch_size)
    others = [] if is_alone else [case._replace(seed=1)]
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    assert_same_training(case, RULES[rule], rule, (1, 1), tolerance, others)


@pytest.mark.skipif(not gpu.SIMULATED, reason="a compiled kernel keeps the number of slots")
@pytest.mark.parametrize("n_slots", [1, 2])
def test_several_tiles_of_a_slot_in_a_batch(n_slots, rng, monkeypatch):
    for module in (fleet, device_table):
        monkeypatch.setattr(module, "MOST_SLOTS", n_slots)
    monkeypatch.setattr("fastbp.backends.gpu.kernels.batch.MOST_SLOTS", n_slots)
    case = _trainable(Network((3, 4, 2), "tanh"), 45, rng, batch_size=40)
    assert_same_training(case, RULES["nesterov"], "nesterov", (1, 1))


@pytest.mark.skipif(gpu.SIMULATED, reason="thousands of rows")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch_size", [700, 3000, 5000])
def test_batches_of_more_tiles_than_slots(batch_size, rule, rng):
    case = _trainable(Network((5, 40, 33, 2), "tanh"), 5000, rng, batch_size=batch_size)
    assert_same_training(case, RULES[rule], tolerance=1e-9)


@pytest.mark.parametrize("is_alone", [True, False], ids=["grid", "blocks"])
@pytest.mark.parametrize("batch_size", [2, 3, 4])
@pytest.mark.parametrize("rule", ["plain", "adam"])
def test_batches_without_weight_make_no_step(rule, batch_size, is_alone, rng):
    """Neither a batch whose weights are all 0, nor a last one of one row, which counts."""
    zeros = (0, 1, 2, 3, 8, 9, 10, 11, 12)
    network = Network((4, 5, 2), "tanh")
    case = _trainable(network, 13, rng, zeros=zeros, batch_size=batch_size, seed=None)
    others = [] if is_alone else [case._replace(seed=1)]
    assert_same_training(case, RULES[rule], rule, others=others)


@pytest.mark.parametrize("place", ["inputs", "hidden", "outputs"])
@pytest.mark.parametrize("size", [1, 4, 8, 13, 33])
def test_mini_batches_of_every_size_of_a_layer(size, place, rng, monkeypatch):
    sizes = {"inputs": 3, "hidden": 4, "outputs": 2} | {place: size}
    network = Network(tuple(sizes.values()), "softplus")
    guards = Guards(monkeypatch)
    case = _trainable(network, 5, rng, batch_size=3)
    others = [] if size % 2 else [case._replace(seed=1)]
    assert_same_training(case, RULES["adam"], "adam", (1, 1), others=others)
    guards.assert_untouched()


@pytest.mark.parametrize("batch_size", [4, 7])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", ["logistic", "softplus", "exp"])
def test_mini_batches_of_output_activations(output, loss, batch_size, rng):
    case = _trainable(Network((3, 4, 3), "relu", loss, output), 7, rng, batch_size=batch_size)
    assert_same_training(case, RULES["momentum"], "momentum")


def test_a_network_of_more_parameters_than_a_chunk(rng):
    """Parameters are moved in chunks of 256."""
    case = _trainable(Network((20, 14, 9, 2), "tanh"), 6, rng, batch_size=4)
    assert case.network.n_parameters > 256
    assert_same_training(case, RULES["adam"], "adam", (1, 1))
    assert_same_training(case, RULES["adam"], "adam", (1, 1), others=[case._replace(seed=1)])


# Online mode.


def _check_online(network, rng, rule, n_samples=7, dtype=np.float64, **more):
    tolerance = more.pop("tolerance", 1e-10 if dtype == np.float64 else 1e-3)
    case = _trainable(network, n_samples, rng, dtype, **more)
    assert_same_training(case, RULES[rule], rule, (1, 1), tolerance)


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_online_epochs_of_every_activation(loss, activation, rng):
    for i, rule in enumerate(RULES):
        network = Network((3, 4, 1), activation, loss)
        _check_online(network, rng, rule, 4, weighted=i % 2 == 0)


@pytest.mark.parametrize(
    ("loss", "output"), [(loss, output) for loss in LOSSES for output in _output_activations(loss)]
)
def test_online_epochs_of_every_output_activation(loss, output, rng):
    for rule in ("plain", "adam"):
        _check_online(Network((3, 4, 3), "tanh", loss, output), rng, rule, 4)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9, 13, 31, 33, 40])
@pytest.mark.parametrize("place", ["inputs", "first", "second", "outputs", "no hidden layer"])
def test_online_epochs_of_every_size_of_a_layer(size, place, rng, monkeypatch):
    """By each rule in one place or another, and in both memories."""
    sizes = {"inputs": 3, "first": 4, "second": 5, "outputs": 2} | {place: size}
    layers = tuple(sizes.values())[:4] if place in list(sizes)[:4] else (size, 3)
    number = size + len(place)
    rule, dtype = list(RULES)[number % 4], (np.float64, np.float32)[number // 4 % 2]
    if number % 3 == 0:
        _keep_weights_in_the_devices_memory(monkeypatch)
    guards = Guards(monkeypatch)
    _check_online(Network(layers, "tanh"), rng, rule, 4, dtype)
    guards.assert_untouched()


@pytest.mark.parametrize("layers", [(4, 2), (4, 5, 2), (4, 3, 5, 4, 2)])
@pytest.mark.parametrize("rule", RULES)
@DTYPES
def test_online_epochs_in_both_memories(dtype, rule, layers, memory, rng):
    _check_online(Network(layers, "softplus"), rng, rule, 6, dtype)


@pytest.mark.parametrize("decay", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("layers", [(4, 5, 3, 2), (4, 2)])
def test_online_epochs_with_a_large_weight_decay(layers, decay, rng):
    for rule in ("plain", "momentum", "adam"):
        alpha = decay / RULES[rule].learning_rate
        _check_online(
            Network(layers, "tanh"), rng, rule, 12, weighted=False, alpha=alpha, tolerance=1e-8
        )


@pytest.mark.parametrize("layers", [(3, 2), (3, 4, 2), (3, 4, 5, 2)])
@pytest.mark.parametrize("rule", ["nesterov", "adam"])
def test_online_rows_without_weight_make_no_step(rule, layers, rng, monkeypatch):
    """At either end of a chunk, next to each other, and a whole chunk of them."""
    monkeypatch.setattr(fleet, "ROWS_OF_A_CHUNK", 3)
    zeros = (0, 3, 4, 5, 8, 9, 12)
    case = _trainable(Network(layers, "tanh"), 13, rng, zeros=zeros, seed=None)
    assert_same_training(case, RULES[rule], rule)
    assert_same_training(case._replace(seed=5), RULES[rule], rule, (1,))


@pytest.mark.parametrize("layers", [(3, 2), (3, 5, 2)])
@pytest.mark.parametrize("rule", ["plain", "momentum"])
def test_online_epochs_of_several_chunks(rule, layers, rng):
    case = _trainable(Network(layers, "tanh"), 2 * fleet.ROWS_OF_A_CHUNK + 3, rng)
    assert_same_training(case, RULES[rule], rule, (1,), tolerance=1e-9)


@pytest.mark.parametrize("layers", [(3, 2), (3, 5, 2), (3, 4, 5, 2)])
def test_the_chunks_change_no_bit_of_the_parameters(layers, rng, monkeypatch):
    case = _trainable(Network(layers, "tanh"), 11, rng)
    courses = []
    for n_rows in (32, 4, 1):
        monkeypatch.setattr(fleet, "ROWS_OF_A_CHUNK", n_rows)
        courses += on_the_gpu([case], [{0: leg} for leg in legs_of(RULES["adam"], 2)])
    for course in courses[1:]:
        np.testing.assert_array_equal(course.parameters, courses[0].parameters)
        assert course.losses == pytest.approx(courses[0].losses, rel=1e-13)


def test_online_epochs_with_guards_in_a_table_of_chunks(rng, monkeypatch):
    monkeypatch.setattr(fleet, "ROWS_OF_A_CHUNK", 4)
    guards = Guards(monkeypatch)
    _check_online(Network((3, 5, 4, 2), "tanh"), rng, "momentum", 9)
    guards.assert_untouched()


def test_weights_of_online_mode_lie_in_shared_memory_where_they_fit(rng, monkeypatch):
    asked = []

    def spy(kind, in_shared):
        asked.append(in_shared)
        return online_kernel(kind, in_shared)

    monkeypatch.setattr(fleet, "online_kernel", spy)
    network = Network((12, 40, 1), "tanh")
    for n_bytes in (48 * 1024, 10_000):
        monkeypatch.setattr(gpu, "most_shared_bytes", lambda n=n_bytes: BYTES_OF_SUMS + n)
        _check_online(network, rng, "adam", 3)
    assert asked == [True, True, False, False] or asked == [True, False]
    monkeypatch.setattr(gpu, "most_shared_bytes", lambda: BYTES_OF_SUMS + 512)
    with pytest.raises(MemoryError, match="batch_size=32 or so, or device='cpu'"):
        _check_online(network, rng, "adam", 3)


# Fleets of many networks.


def _many(batch_sizes, rng, dtype=np.float64):
    """Networks that differ in everything that they may, on two folds of one table."""
    n_in, n_out, n = 3, 2, 15
    X = rng.standard_normal((n, n_in))
    y = np.round(np.exp(rng.standard_normal((n, n_out))))
    weights = rng.uniform(0, 3, n)
    weights[[1, 7]] = 0
    folds = [
        as_data(X[:11], y[:11], weights[:11], dtype),
        as_data(X[4:], y[4:], None, dtype),
    ]
    networks = [
        Network((n_in, 4, n_out), "tanh"),
        Network((n_in, n_out), "identity", "poisson"),
        Network((n_in, 3, 9, 4, n_out), "softplus"),
        Network((n_in, 12, 2, n_out), "relu", "poisson", "softplus"),
        Network((n_in, 5, n_out), "sin", output_activation="logistic"),
    ]
    return [
        Case(
            network,
            folds[i % 2],
            (0.4 * rng.standard_normal(network.n_parameters)).astype(dtype),
            alpha=0.1 * i,
            batch_size=batch_sizes[i % len(batch_sizes)],
            seed=[0, 3, 0, None, 7][i],
        )
        for i, network in enumerate(networks)
    ]


@pytest.mark.parametrize(("rule", "batch_sizes"), [
    ("plain", [1]), ("momentum", [2, 5]), ("nesterov", [1]), ("adam", [1]), ("adam", [3, 11, 4]),
])  # fmt: skip
@DTYPES
def test_each_of_many_networks_is_what_it_is_alone(dtype, rule, batch_sizes, memory, rng):
    cases = _many(batch_sizes, rng, dtype)
    legs = [leg._replace(rule=leg.rule._replace(learning_rate=0.02)) for leg in
            legs_of(RULES[rule], 2, 1)]  # fmt: skip
    courses = on_the_gpu(cases, [dict.fromkeys(range(len(cases)), leg) for leg in legs])
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    for case, course in zip(cases, courses, strict=True):
        assert_same_course(course, on_the_cpu(case, legs), tolerance)


@pytest.mark.parametrize("batch_sizes", [[1], [4, 3]])
def test_legs_of_their_own_for_some_of_many_networks(batch_sizes, rng, monkeypatch):
    """Rates, numbers of epochs and patience differ, and some rest; each has its own course."""
    guards = Guards(monkeypatch)
    cases, rule = _many(batch_sizes, rng), RULES["momentum"]
    slow = rule._replace(learning_rate=0.001)
    launches = [
        {0: Leg(rule, NO_PATIENCE, 3), 2: Leg(slow, NO_PATIENCE, 1), 4: Leg(rule, NO_PATIENCE, 2)},
        {3: Leg(slow, NO_PATIENCE, 2)},
        {4: Leg(slow, Patience(0.0, 0, 0.0, 1.0), 5), 2: Leg(rule, NO_PATIENCE, 3)},
        {0: Leg(slow, NO_PATIENCE, 2), 1: Leg(slow, Patience(0.0, 2, 0.0, 2.0), 4),
         2: Leg(slow, NO_PATIENCE, 1), 3: Leg(rule, NO_PATIENCE, 1)},
    ]  # fmt: skip
    courses = on_the_gpu(cases, launches)
    guards.assert_untouched()
    for i, case in enumerate(cases):
        legs = [launch[i] for launch in launches if i in launch]
        assert_same_course(courses[i], on_the_cpu(case, legs))
    assert [len(course.losses) for course in courses] == [5, 1, 5, 3, 4]


@pytest.mark.parametrize("diverges", [False, True])
@pytest.mark.parametrize("batch_size", [1, 9])
def test_a_network_leaves_nothing_behind_where_the_next_one_is_trained(batch_size, diverges, rng):
    """When the first has ended, the second takes its place; it has its weights elsewhere."""
    first = _trainable(Network((3, 8, 2), "tanh"), 9, rng, alpha=1.0, batch_size=batch_size)
    if diverges:
        first.parameters[-1] = np.nan
    network = Network((3, 5, 2), "tanh")
    second = first._replace(network=network, parameters=np.full(network.n_parameters, 0.1))
    leg = Leg(RULES["adam"], NO_PATIENCE, 1)
    launches = [{0: leg, 1: leg}, *[{1: leg}] * 5]
    courses = on_the_gpu([first, second], launches)
    assert_same_course(courses[1], on_the_cpu(second, [leg] * 6))
    if not diverges:
        assert_same_course(courses[0], on_the_cpu(first, [leg]))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_networks_that_draw_alike_part_where_one_ends_earlier(batch_size, rng):
    """They share the orders of rows as long as they have made the same epochs, and no longer."""
    network = Network((3, 4, 1), "tanh")
    first = _trainable(network, 9, rng, batch_size=batch_size)
    second = first._replace(parameters=-first.parameters)
    rule = RULES["plain"]
    one, two, three = (Leg(rule, NO_PATIENCE, n) for n in (1, 2, 3))
    impatient = Leg(rule, Patience(0.0, 0, 0.0, 1.0), 4)
    launches = [{0: three, 1: impatient}, {0: one, 1: two}, {0: two, 1: two}]
    courses = on_the_gpu([first, second], launches)
    for i, case in enumerate((first, second)):
        assert_same_course(courses[i], on_the_cpu(case, [launch[i] for launch in launches]))
    assert courses[0].next_draw == courses[1].next_draw
    np.testing.assert_equal([len(course.losses) for course in courses], [6, 6])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_orders_are_drawn_once_for_networks_that_draw_alike(batch_size, rng, monkeypatch):
    drawn = []
    draw = fleet.Order.draw
    monkeypatch.setattr(fleet.Order, "draw", lambda order, n: (drawn.append(order), draw(order, n)))
    network = Network((3, 4, 1), "tanh")
    case = _trainable(network, 9, rng, batch_size=batch_size)
    cases = [case, case._replace(alpha=1.0), case._replace(seed=1), case._replace(seed=None)]
    leg = Leg(RULES["plain"], NO_PATIENCE, 2)
    launches = [dict.fromkeys(range(4), leg)] * 2
    courses = on_the_gpu(cases, launches)
    assert len(set(map(id, drawn))) == 2 * 3
    for each, course in zip(cases, courses, strict=True):
        assert_same_course(course, on_the_cpu(each, [leg, leg]))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_generators_that_kernels_cannot_draw_from(batch_size, rng):
    """Their epochs are made one at a launch, in the order that NumPy draws."""
    network = Network((3, 4, 1), "tanh")
    case = _trainable(network, 9, rng, batch_size=batch_size, seed=np.random.PCG64)
    case = case._replace(seed=lambda: np.random.PCG64(5))
    assert_same_training(case, RULES["plain"], "plain", (1, 1, 1))
    assert_same_training(case, RULES["plain"], "plain", (1, 1), others=[case, case])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_launch_visits_so_many_rows_at_most(batch_size, rng, monkeypatch):
    monkeypatch.setattr(fleet, "_ROWS_OF_A_LAUNCH", 30)
    case = _trainable(Network((3, 4, 1), "tanh"), 13, rng, batch_size=batch_size)
    (leg,) = legs_of(RULES["adam"], 5)
    (course,) = on_the_gpu([case], [{0: leg}, {0: leg._replace(most=3)}, {0: leg._replace(most=1)}])
    assert len(course.losses) == 2 + 2 + 1
    assert_same_course(course, on_the_cpu(case, [leg]))


def test_a_fleets_gradient_is_the_objectives(rng):
    for batch_size in (1, 4):
        cases = _many([batch_size], rng)
        tables = [cases[0].data, cases[1].data]
        for case in cases[:3]:
            place = [table is case.data for table in tables].index(True)
            member = fleet.Member(
                case.network, place, case.alpha, batch_size, case.parameters,
                update_rules.Moments.zeros(case.parameters.size, np.dtype(float)),
                fleet.Shuffles(None),
            )  # fmt: skip
            walk = fleet.DeviceWalk(fleet.Fleet([member], DeviceTables(tables), 0), 0)
            elsewhere = 0.3 * rng.standard_normal(case.parameters.size)
            objective = Objective(case.network, case.data, case.alpha)
            _, expected = objective.loss_and_gradient(elsewhere)
            assert_close(walk.gradient(elsewhere), expected, 1e-12)
            np.testing.assert_array_equal(walk.parameters, case.parameters)


# When training ends within a launch.


@pytest.mark.parametrize("is_alone", [True, False], ids=["grid", "blocks"])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_epochs_end_where_the_patience_does(batch_size, is_alone, rng):
    network = Network((3, 4, 1), "tanh")
    case = _trainable(network, 10, rng, weighted=False, batch_size=batch_size, seed=None)
    others = [] if is_alone else [case._replace(parameters=2 * case.parameters)]

    def course(patience, most=6):
        rule = update_rules.sgd(0.001, 0.0, True)
        legs = [Leg(rule, patience, most)]
        launch = dict.fromkeys(range(1 + len(others)), legs[0])
        made = on_the_gpu([case, *others], [launch])
        for each, one in zip([case, *others], made, strict=True):
            assert_same_course(one, on_the_cpu(each, legs))
        return made[0].losses

    falling = course(NO_PATIENCE)
    assert len(falling) == 6
    assert (np.diff(falling) < 0).all()
    assert len(course(NO_PATIENCE, 2)) == 2
    assert len(course(Patience(np.inf, 0, 10.0, 2.0))) == 4
    assert len(course(Patience(0.0, 0, 0.0, 2.0))) == 3
    assert len(course(Patience(0.0, 2, 0.0, 2.0))) == 1
    middle = (falling[2] + falling[3]) / 2  # no bit of a loss decides
    assert len(course(Patience(middle, 0, 0.0, 1.0))) == 2
    assert len(course(Patience(middle, 0, 0.0, 3.0))) == 6


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch_size", [1, 4, 10])
@DTYPES
def test_a_training_that_diverges_ends_with_a_loss_that_is_not_finite(dtype, batch_size, rule, rng):
    case = _trainable(
        Network((3, 4, 1), "relu"), 10, rng, dtype, weighted=False, batch_size=batch_size
    )
    huge = {np.float64: 1e200, np.float32: 1e25}[dtype]
    rule = RULES[rule]._replace(learning_rate=huge if rule != "adam" else huge**1.4)
    ordinary = case._replace(seed=1)
    for cases in ([case], [case, ordinary]):
        launch = {0: Leg(rule, NO_PATIENCE, 9)}
        if len(cases) > 1:
            launch[1] = Leg(rule._replace(learning_rate=0.001), NO_PATIENCE, 2)
        courses = on_the_gpu(cases, [launch])
        assert len(courses[0].losses) < 9
        assert not np.isfinite(courses[0].losses[-1])
        assert np.isfinite(courses[0].losses[:-1]).all()
        for course in courses[1:]:
            assert_same_course(
                course, on_the_cpu(ordinary, [launch[1]]), 1e-10 if dtype == np.float64 else 1e-3
            )


@pytest.mark.parametrize("batch_size", [1, 4, 10])
def test_a_second_moment_that_overflows_ends_training(batch_size, rng):
    """Adam would stand still, without a word and with a finite loss."""
    network = Network((3, 4, 1), "relu")
    case = _trainable(network, 10, rng, weighted=False, batch_size=batch_size)
    case = case._replace(data=case.data._replace(y=np.sign(case.data.y) * 1e160), alpha=0.0)
    (course,) = on_the_gpu([case], [{0: Leg(RULES["adam"], NO_PATIENCE, 3)}])
    assert len(course.losses) == 1
    assert not np.isfinite(course.losses[-1])


# Bits.


@pytest.mark.parametrize("batch_size", [None, 1, 5])
def test_the_same_call_gives_the_same_bits(batch_size, rng):
    network = Network((4, 9, 2), "tanh")
    parameters, data = _data(network, 20, rng)
    results = []
    for _ in range(2):
        if batch_size is None:
            results.append(DeviceObjective(network, data, 0.1).loss_and_gradient(parameters))
        else:
            case = Case(network, data, parameters, batch_size=batch_size)
            launches = [dict.fromkeys(range(2), leg) for leg in legs_of(RULES["adam"], 2)]
            courses = on_the_gpu([case, case], launches)
            np.testing.assert_equal(courses[1], courses[0])
            results.append(courses[0])
    np.testing.assert_equal(results[1], results[0])


@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("rule", ["momentum", "adam"])
def test_the_bits_do_not_depend_on_how_epochs_are_cut_into_launches(rule, batch_size, rng):
    case = _trainable(Network((4, 5, 2), "tanh"), 11, rng, batch_size=batch_size)
    (whole,) = on_the_gpu([case], [{0: leg} for leg in legs_of(RULES[rule], 3)])
    (parts,) = on_the_gpu([case], [{0: leg} for leg in legs_of(RULES[rule], 1, 2)])
    np.testing.assert_equal(parts, whole)


def test_the_bits_do_not_depend_on_who_else_is_trained(rng):
    for batch_sizes in ([1], [4]):
        cases = _many(batch_sizes, rng)
        leg = Leg(RULES["momentum"], NO_PATIENCE, 2)
        together = on_the_gpu(cases, [dict.fromkeys(range(len(cases)), leg)])
        fewer = on_the_gpu(cases[:2], [dict.fromkeys(range(2), leg)])
        for one, other in zip(fewer, together, strict=False):
            assert_same_course(other, one, 1e-12)


def test_the_bits_do_not_depend_on_the_number_of_blocks(rng, monkeypatch):
    network = Network((4, 9, 2), "tanh")
    parameters, data = _data(network, 60, rng)
    launch, results = gpu.launch, []
    for most in (1000, 3, 1):

        def few_blocks(function, n_blocks, *arguments, most=most):
            launch(function, min(n_blocks, most), *arguments)

        monkeypatch.setattr(gpu, "launch", few_blocks)
        prediction = DeviceTable(network, DeviceTables([data])).predict(parameters)
        results.append((*DeviceObjective(network, data).loss_and_gradient(parameters), prediction))
    for other in results[1:]:
        np.testing.assert_equal(other, results[0])


@pytest.mark.parametrize("batch_size", [None, 1, 5])
def test_results_do_not_depend_on_the_number_of_threads(batch_size, rng, monkeypatch):
    network = Network((4, 9, 3, 2), "tanh")
    parameters, data = _data(network, 14, rng)
    for n_threads in (1, 2, 3, 7, 16) if gpu.SIMULATED else (32, 64, 96, 256):
        for module in (device_table, fleet):
            monkeypatch.setattr(module, "n_threads_for", lambda _, n=n_threads: n)
        if batch_size is None:
            loss, gradient = DeviceObjective(network, data, 0.1).loss_and_gradient(parameters)
            expected_loss, expected = Objective(network, data, 0.1).loss_and_gradient(parameters)
            assert loss == pytest.approx(expected_loss, rel=1e-12)
            assert_close(gradient, expected, 1e-12)
            prediction = DeviceTable(network, DeviceTables([data])).predict(parameters)
            assert_close(prediction, predict(network, parameters, data), 1e-12)
        else:
            case = Case(network, data, 0.5 * parameters, batch_size=batch_size)
            assert_same_training(case, RULES["adam"], None, (1, 1))
            assert_same_training(case, RULES["adam"], None, (1,), others=[case])


def test_predictions_do_not_depend_on_the_grouping_of_rows(rng):
    network = Network((5, 33, 7, 2), "tanh")
    parameters, data = _data(network, 20, rng)
    tables = [as_data(data.X[start : start + 7]) for start in range(0, 20, 7)]
    together = DeviceTables(tables)
    parts = [DeviceTable(network, together, i).predict(parameters) for i in range(len(tables))]
    whole = DeviceTable(network, DeviceTables([as_data(data.X)])).predict(parameters)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_samples", [1, 3, 8, 20])
@DTYPES
def test_predictions_are_the_cpus(dtype, n_samples, loss, memory, rng):
    network = Network((5, 12, 7, 3), "silu", loss)
    parameters, data = _data(network, n_samples, rng, dtype)
    prediction = DeviceTable(network, DeviceTables([as_data(data.X)])).predict(parameters)
    expected = predict(network, parameters, data)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    assert prediction.shape == (n_samples, 3)
    assert_close(prediction, expected, tolerance)


def test_evaluations_are_counted(rng):
    network = Network((3, 1))
    parameters, data = _data(network, 5, rng)
    objective = DeviceObjective(network, data)
    for _ in range(3):
        objective.loss_and_gradient(parameters)
    assert objective.n_evaluations == 3
