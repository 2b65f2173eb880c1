"""The normal equations of least squares against a whole Jacobian in NumPy."""

import itertools

import numpy as np
import pytest
from scipy import sparse

from fastbp import Network, Objective
from fastbp.backends.cpu.layout import layout_of, padded_length
from fastbp.backends.cpu.normal_equations import NormalEquations
from fastbp.model.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastbp.model.data import as_data
from helpers import oracle
from helpers.guards import DTYPES, SIZES, assert_guards_untouched, guarded

TOLERANCE = {np.float64: 1e-12, np.float32: 2e-5}
HIDDEN = {0: (), 1: (5,), 2: (5, 3), 3: (3, 5, 4)}
#: Layers whose parameters fill one panel, parts of several, and many.
LAYERS = [(1, 1), (4, 5, 2), (3, 23, 1), (4, 9, 7, 2)]


def _case(layers, n_samples, rng, activation="tanh", output_activation=None, weighted=True):
    network = Network(layers, activation, output_activation=output_activation)
    parameters = 0.7 * rng.standard_normal(network.n_parameters)
    X = rng.standard_normal((n_samples, layers[0]))
    y = rng.standard_normal((n_samples, layers[-1]))
    return network, parameters, X, y, rng.uniform(0, 3, n_samples) if weighted else None


def _jacobian(network, parameters, X):
    """Derivatives of all predictions, (n_samples, n_outputs, n_parameters), and the predictions.

    Backpropagation as in the oracle, for all rows at once, and with each output in turn in the
    place of the error.
    """
    coefs, intercepts = network.unpack(np.asarray(parameters, np.float64))
    nets, outputs = oracle.forward(
        coefs, intercepts, X, network.activation, network.last_activation
    )
    n, n_outputs = outputs[-1].shape
    jacobian = np.empty((n, n_outputs, network.n_parameters))
    for j in range(n_outputs):
        delta = np.zeros((n, n_outputs))
        delta[:, j] = oracle.ACTIVATIONS[network.last_activation][1](nets[-1])[:, j]
        weights, biases = [], []
        for layer in reversed(range(len(coefs))):
            weights.insert(0, np.einsum("ni,nj->nij", outputs[layer], delta).reshape(n, -1))
            biases.insert(0, delta)
            if layer > 0:
                slope = oracle.ACTIVATIONS[network.activation][1](nets[layer - 1])
                delta = (delta @ coefs[layer].T) * slope
        jacobian[:, j] = np.hstack(weights + biases)
    return jacobian, outputs[-1]


def _expected(network, parameters, X, y, weights):
    """Sums of w e^2 / 2, J' w e and J' w J."""
    jacobian, predictions = _jacobian(network, parameters, np.asarray(X, np.float64))
    weights = np.ones(len(X)) if weights is None else np.asarray(weights, np.float64)
    errors = predictions - y
    return (
        np.sum(weights[:, None] * errors**2) / 2,
        np.einsum("n,nk,nkp->p", weights, errors, jacobian),
        np.einsum("n,nkp,nkq->pq", weights, jacobian, jacobian),
    )


def _compare(sums, expected, tolerance):
    (loss, gradient, products), (expected_loss, expected_gradient, expected_products) = (
        sums,
        expected,
    )
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    for array, other in (
        (gradient, expected_gradient),
        (np.triu(products), np.triu(expected_products)),
    ):
        assert array.shape == other.shape
        np.testing.assert_allclose(array, other, atol=tolerance * np.abs(other).max(), rtol=0)


def test_the_reference_jacobian_against_central_differences(rng):
    network, parameters, X, _, _ = _case((3, 4, 3, 2), 6, rng, "silu", "softplus")
    jacobian, _ = _jacobian(network, parameters, X)
    for k in range(network.n_parameters):
        moved = parameters + 1e-6 * np.eye(network.n_parameters)[k]
        _, above = _jacobian(network, moved, X)
        _, below = _jacobian(network, 2 * parameters - moved, X)
        np.testing.assert_allclose(jacobian[:, :, k], (above - below) / 2e-6, atol=1e-8)


@pytest.mark.parametrize("n_outputs", [1, 2, 3])
@pytest.mark.parametrize(
    ("activation", "depth"),
    [("identity", 0), *itertools.product(HIDDEN_ACTIVATIONS, [1, 2, 3])],
)
@DTYPES
def test_every_activation_and_depth(activation, depth, n_outputs, dtype, rng):
    layers = (4, *HIDDEN[depth], n_outputs)
    for weighted in (False, True):
        network, parameters, X, y, weights = _case(layers, 9, rng, activation, weighted=weighted)
        parameters, X, y = (a.astype(dtype) for a in (parameters, X, y))
        if weighted:
            weights = weights.astype(dtype)
            weights[2] = 0
        sums = NormalEquations(network, as_data(X, y, weights)).sums(parameters, 1)
        assert sums[1].dtype == sums[2].dtype == dtype
        _compare(sums, _expected(network, parameters, X, y, weights), TOLERANCE[dtype])


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("output_activation", ACTIVATIONS)
@DTYPES
def test_every_output_activation(output_activation, depth, dtype, rng):
    """Errors are those of the predictions, also where the slope of the last layer is not 1."""
    layers = (4, *HIDDEN[depth], 2)
    network, parameters, X, y, weights = _case(layers, 9, rng, "tanh", output_activation)
    parameters, X, y, weights = (a.astype(dtype) for a in (0.5 * parameters, X, y, weights))
    sums = NormalEquations(network, as_data(X, y, weights)).sums(parameters, 1)
    _compare(sums, _expected(network, parameters, X, y, weights), TOLERANCE[dtype])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", ["inputs", "first", "second", "outputs", "rows", "no hidden"])
@DTYPES
def test_every_size_around_the_vector_width(size, place, dtype, rng):
    sizes = {"inputs": 3, "first": 4, "second": 5, "outputs": 2, "rows": 5} | {place: size}
    *layers, n_samples = [sizes[name] for name in ("inputs", "first", "second", "outputs", "rows")]
    if place == "no hidden":
        layers = [size, 2]
    network, *arrays = _case(tuple(layers), n_samples, rng)
    # Guard values round each array: a kernel that reads or writes past an end meets them.
    parameters, X, y, weights = (guarded(a.astype(dtype)) for a in arrays)
    sums = NormalEquations(network, as_data(X, y, weights)).sums(parameters, 2)
    _compare(sums, _expected(network, parameters, X, y, weights), TOLERANCE[dtype])
    assert_guards_untouched(parameters, X, y, weights)


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("n_samples", [*range(-9, 10), 31, 32, 33])
@DTYPES
def test_every_number_of_rows_around_a_block(n_samples, layers, dtype, rng):
    """Below 0: so many fewer than a block, and as many more than two."""
    from fastbp.backends.cpu import kernels

    block = kernels.make_workspace(layout_of(Network(layers), dtype), dtype).block_rows
    if n_samples <= 0:
        n_samples = block + n_samples
    else:
        n_samples = 2 * block + n_samples
    network, *arrays = _case(layers, n_samples, rng)
    parameters, X, y, weights = (a.astype(dtype) for a in arrays)
    sums = NormalEquations(network, as_data(X, y, weights)).sums(parameters, 1)
    _compare(sums, _expected(network, parameters, X, y, weights), TOLERANCE[dtype])


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_array])
@DTYPES
def test_sparse_rows_are_the_dense_rows(container, dtype, rng):
    network, parameters, X, y, weights = _case((20, 6, 2), 300, rng)
    X[rng.uniform(size=X.shape) < 0.8] = 0
    parameters, X = parameters.astype(dtype), X.astype(dtype)
    dense = NormalEquations(network, as_data(X, y, weights)).sums(parameters, 1)
    other = NormalEquations(network, as_data(container(X), y, weights)).sums(parameters, 1)
    assert other[0] == dense[0]
    np.testing.assert_array_equal(other[1], dense[1])
    np.testing.assert_array_equal(other[2], dense[2])


# The kernel itself


def _guarded_call(network, arrays, dtype, rows, first, last):
    """Call the kernel with guard values round everything it may write to."""
    from fastbp.backends.cpu import kernels

    parameters, X, y, weights = (guarded(a.astype(dtype)) for a in arrays)
    layout, n = layout_of(network, dtype), network.n_parameters
    workspace = kernels.make_workspace(layout, dtype)
    jacobian_workspace = kernels.make_jacobian_workspace(layout, workspace, n, dtype)
    jacobian_workspace = type(jacobian_workspace)(*map(guarded, jacobian_workspace))
    written = {
        name: guarded(array)
        for name, array in workspace._asdict().items()
        if isinstance(array, np.ndarray) and array.dtype == dtype
    }
    n_padded = padded_length(n, dtype)
    products, gradient = guarded(np.ones(n_padded**2, dtype)), guarded(np.ones(n_padded, dtype))
    data = as_data(X, y, weights)
    loss = kernels.add_normal_equations(
        layout, parameters, data, rows, workspace._replace(**written), jacobian_workspace,
        first, last, products, gradient, 1.0,
    )  # fmt: skip
    assert_guards_untouched(parameters, X, y, weights, products, gradient)
    assert_guards_untouched(*jacobian_workspace, *written.values())
    return loss, gradient - 1, products.reshape(n_padded, n_padded) - 1


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("n_samples", [1, 2, 15, 16, 17, 300])
@DTYPES
def test_the_kernel_adds_and_writes_nowhere_else(n_samples, layers, dtype, rng):
    from fastbp.backends.cpu import kernels

    network, *arrays = _case(layers, n_samples, rng)
    n, width = network.n_parameters, kernels.panel_width(dtype)
    rows = rng.permutation(n_samples)[: max(1, n_samples * 2 // 3)]
    expected = _expected(
        network, arrays[0].astype(dtype), *(a.astype(dtype)[rows] for a in arrays[1:])
    )
    n_panels = -(-n // width)
    whole = _guarded_call(network, arrays, dtype, rows, 0, n_panels)
    # The sums were begun with ones, which have roundings of their own.
    tolerance = 10 * TOLERANCE[dtype]
    _compare((whole[0], whole[1][:n], whole[2][:n, :n]), expected, tolerance)
    for first, last in {(0, 1), (n_panels - 1, n_panels), (n_panels // 3, n_panels // 2)}:
        loss, gradient, products = _guarded_call(network, arrays, dtype, rows, first, last)
        mine = slice(first * width, last * width)
        assert loss == whole[0]
        np.testing.assert_array_equal(gradient[mine], whole[1][mine])
        np.testing.assert_array_equal(products[mine], whole[2][mine])
        gradient[mine] = products[mine] = 0
        assert not gradient.any()
        assert not products.any()


@pytest.mark.parametrize("layers", [*LAYERS, (8, 31, 9, 3)])
@DTYPES
def test_the_bits_are_the_same_for_any_number_of_threads_and_cuts(layers, dtype, rng, monkeypatch):
    network, parameters, X, y, weights = _case(layers, 1000, rng)
    parameters, data = parameters.astype(dtype), as_data(X.astype(dtype), y, weights)
    loss, gradient, products = NormalEquations(network, data).sums(parameters, 1)
    for flops, n_threads in itertools.product((1e9, 1.0), (1, 2, 3, 5, 16)):
        monkeypatch.setattr("fastbp.machine.threads._FLOPS_PER_CALL", flops)
        other = NormalEquations(network, data).sums(parameters, n_threads)
        assert other[0] == pytest.approx(loss, rel=1e-13)
        np.testing.assert_array_equal(other[1], gradient)
        np.testing.assert_array_equal(np.triu(other[2]), np.triu(products))


def test_workspaces_are_used_again_and_hold_nothing_back(rng):
    network, parameters, X, y, weights = _case((4, 9, 2), 50, rng)
    equations = NormalEquations(network, as_data(X, y, weights))
    first = equations.sums(parameters, 2)
    for n_threads in (1, 2, 3):
        equations.sums(rng.standard_normal(parameters.size), n_threads)
        again = equations.sums(parameters, n_threads)
        assert again[0] == first[0]
        np.testing.assert_array_equal(again[1], first[1])
        np.testing.assert_array_equal(np.triu(again[2]), np.triu(first[2]))
        assert not np.shares_memory(again[1], first[1])
        assert not np.shares_memory(again[2], first[2])


def test_a_workspace_that_another_thread_has_just_taken_is_no_error(rng):
    """What is looked at and then taken may be gone in between, where no lock holds all threads."""

    class TakenInBetween(list):
        def __len__(self):
            length = super().__len__()
            self.clear()
            return length

    network, parameters, X, y, weights = _case((4, 9, 2), 50, rng)
    equations = NormalEquations(network, as_data(X, y, weights))
    expected, *_ = equations.sums(parameters, 1)
    assert equations._workspaces
    equations._workspaces = TakenInBetween(equations._workspaces)
    loss, *_ = equations.sums(parameters, 1)
    assert loss == expected


# What the solvers see


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@DTYPES
def test_loss_and_gradient_are_those_of_the_objective(activation, alpha, dtype, rng):
    network, parameters, X, y, weights = _case((4, 5, 3, 2), 2500, rng, activation)
    parameters, data = parameters.astype(dtype), as_data(X.astype(dtype), y, weights)
    objective = Objective(network, data, alpha)
    expected_loss, expected_gradient = objective.loss_and_gradient(parameters)
    loss, gradient, _ = objective.normal_equations(parameters)
    tolerance = TOLERANCE[dtype]
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(
        gradient, expected_gradient, atol=tolerance * np.abs(expected_gradient).max(), rtol=0
    )
    assert objective.n_evaluations == 2


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_the_hessian_has_the_weight_decay_and_is_a_mean(weighted, rng):
    network, parameters, X, y, weights = _case((4, 5, 2), 40, rng, weighted=weighted)
    _, _, products = _expected(network, parameters, X, y, weights)
    total_weight = 40 if weights is None else weights.sum()
    on_weights = np.arange(network.n_weights)
    products[on_weights, on_weights] += 0.3
    objective = Objective(network, as_data(X, y, weights), alpha=0.3)
    _, _, hessian = objective.normal_equations(parameters)
    expected = np.triu(products) / total_weight
    np.testing.assert_allclose(np.triu(hessian), expected, atol=1e-12 * np.abs(expected).max())


def test_a_linear_nets_hessian_is_its_second_derivative(rng):
    network, parameters, X, y, weights = _case((4, 2), 30, rng)
    objective = Objective(network, as_data(X, y, weights), alpha=0.3)
    _, gradient, hessian = objective.normal_equations(parameters)
    hessian = np.triu(hessian) + np.triu(hessian, 1).T
    step = rng.standard_normal(parameters.size)
    _, moved, _ = objective.normal_equations(parameters + step)
    np.testing.assert_allclose(moved - gradient, hessian @ step, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_reach_the_diagonal(bad, rng):
    network, parameters, X, y, _ = _case((3, 4, 1), 5, rng, "identity")
    parameters[-2] = bad  # a hidden unit's bias
    loss, _, hessian = Objective(network, as_data(X, y)).normal_equations(parameters)
    assert not np.isfinite(loss)
    assert not np.isfinite(hessian.diagonal()).all()
