"""Network and Data: layout, packing, the border."""

import weakref

import numpy as np
import pytest
from scipy import sparse

from fastbp import Network, Objective, loss_and_gradient
from fastbp.model.data import as_data


def test_parameters_are_weights_then_biases():
    network = Network((2, 3, 1))
    assert (network.n_weights, network.n_parameters) == (9, 13)
    coefs, intercepts = network.unpack(np.arange(13.0))
    np.testing.assert_array_equal(coefs[0], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(coefs[1], [[6], [7], [8]])
    np.testing.assert_array_equal(intercepts[0], [9, 10, 11])
    np.testing.assert_array_equal(intercepts[1], [12])


def test_unpack_gives_views_and_pack_a_copy():
    network = Network((2, 3, 1))
    parameters = np.arange(13.0)
    coefs, intercepts = network.unpack(parameters)
    coefs[0][0, 0] = 99
    assert parameters[0] == 99
    packed = network.pack(coefs, intercepts, np.float64)
    np.testing.assert_array_equal(packed, parameters)
    assert not np.shares_memory(packed, parameters)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda coefs: coefs.pop(), "coefs_ holds 1 arrays"),
        (lambda coefs: coefs.__setitem__(0, np.ones((3, 2))), r"coefs_\[0\] has shape \(3, 2\)"),
        (lambda coefs: coefs[1].__setitem__(0, np.nan), r"coefs_\[1\] holds NaN"),
    ],
)
def test_pack_refuses_what_does_not_fit(change, message):
    network = Network((2, 3, 1))
    coefs, intercepts = network.unpack(np.arange(13.0))
    change(coefs)
    with pytest.raises(ValueError, match=message):
        network.pack(coefs, intercepts, np.float64)


def test_initial_parameters_lie_within_glorots_bound():
    network = Network((50, 30, 2), activation="logistic")
    parameters = network.initial_parameters(np.random.RandomState(0), np.float32)
    coefs, intercepts = network.unpack(parameters)
    assert parameters.dtype == np.float32
    for coef, intercept in zip(coefs, intercepts, strict=True):
        bound = np.sqrt(2 / sum(coef.shape))
        assert 0.9 * bound < np.abs(coef).max() <= bound
        assert 0 < np.abs(intercept).max() <= bound


def test_too_many_parameters_are_refused_before_they_are_allocated():
    with pytest.raises(ValueError, match="hidden_layer_sizes.*more than the"):
        Network((10**6, 10**6, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer_sizes": (10, 0, 1)}, "layer_sizes=.*two or more whole numbers of 1 or more"),
        ({"layer_sizes": (3,)}, "layer_sizes="),
        ({"layer_sizes": (3, 2.5, 1)}, "layer_sizes="),
        ({"activation": "foo"}, r"activation='foo' is not one of \['identity'"),
        ({"activation": ["relu"]}, "activation="),
        ({"output_activation": "foo"}, "output_activation='foo'"),
        ({"loss": "foo"}, "loss='foo' is not one of"),
        ({"loss_parameters": (1.0,)}, "loss_parameters=.*takes no parameter"),
    ],
)
def test_what_is_no_network_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Network(**{"layer_sizes": (3, 1)} | arguments)


def test_a_list_of_sizes_is_a_tuple():
    network = Network([10, np.int64(3), 1])
    assert network == Network((10, 3, 1))
    assert hash(network) == hash(Network((10, 3, 1)))
    assert all(type(size) is int for size in network.layer_sizes)


def test_poisson_needs_positive_predictions():
    with pytest.raises(ValueError, match="predictions above 0.*softplus"):
        Network((2, 1), loss="poisson", output_activation="tanh")
    assert Network((2, 1), loss="poisson", output_activation="softplus")


@pytest.mark.parametrize(
    "X",
    [
        np.asfortranarray(np.arange(12.0).reshape(4, 3)),
        np.arange(24.0).reshape(8, 3)[::2],
        np.arange(12.0).reshape(4, 3)[::-1],
        np.broadcast_to(np.arange(3.0), (4, 3)),
        np.arange(12.0).reshape(4, 3).astype(">f8"),
        np.arange(12).reshape(4, 3),
        np.arange(12.0).reshape(4, 3).tolist(),
        np.arange(12.0).reshape(4, 3).view(np.matrix),
    ],
)
def test_data_is_of_one_kind(X):
    data = as_data(X)
    np.testing.assert_array_equal(data.X, np.asarray(X))
    assert type(data.X) is np.ndarray
    assert data.X.dtype == np.float64
    assert data.X.dtype.isnative
    assert data.X.flags.c_contiguous
    assert data.X.flags.aligned
    assert data.X.flags.writeable


def test_read_only_arrays_are_shared():
    X, y = np.arange(12.0).reshape(4, 3), np.arange(4.0)
    weights = np.ones(4)
    for array in (X, y, weights):
        array.flags.writeable = False
    data = as_data(X, y, weights)
    for own, given in ((data.X, X), (data.y, y), (data.weights, weights)):
        assert type(own) is np.ndarray
        assert own.flags.carray
        assert np.shares_memory(own, given)
    assert not X.flags.writeable


def test_a_shared_array_lives_as_long_as_it_is_used():
    X = np.arange(12.0).reshape(4, 3)
    X.flags.writeable = False
    own = as_data(X).X
    alive = weakref.ref(X)
    del X
    assert alive() is not None
    np.testing.assert_array_equal(own, np.arange(12.0).reshape(4, 3))
    del own
    assert alive() is None


def test_unaligned_arrays_are_copied():
    raw = np.zeros(12 * 8 + 1, dtype=np.uint8)[1:].view(np.float64).reshape(4, 3)
    assert not raw.flags.aligned
    assert as_data(raw).X.flags.aligned


def test_float32_is_kept_and_an_overflow_into_it_is_named():
    assert as_data(np.ones((2, 2), np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match="y holds .* too large for float32"):
        as_data(np.ones((2, 2), np.float32), np.array([1.0, 1e300]))


def test_sparse_rows_keep_their_arrays():
    X = sparse.random(10, 6, 0.3, format="csc", random_state=0)
    data = as_data(X, np.ones(10))
    assert data.n_samples == 10
    assert data.X.shape == (0, 6)
    rebuilt = sparse.csr_matrix((data.values, data.columns, data.row_starts), shape=X.shape)
    np.testing.assert_array_equal(rebuilt.toarray(), X.toarray())


def test_loss_and_gradient_names_a_wrong_parameter_vector():
    with pytest.raises(ValueError, match=r"parameters has shape \(3,\).*\(13,\)"):
        loss_and_gradient(Network((2, 3, 1)), np.ones(3), np.ones((4, 2)), np.ones(4))


X, Y = np.arange(12.0).reshape(4, 3), np.arange(4.0)


def _with_indices(indices, starts):
    matrix = sparse.csr_array(X)
    matrix.indices, matrix.indptr = np.array(indices, np.int32), np.array(starts, np.int32)
    return matrix


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": X[0]}, r"X has shape \(3,\)"),
        ({"X": X[:0], "y": Y[:0]}, "X has shape.*nothing"),
        ({"X": [[], [], [], []]}, r"X has shape \(4, 0\).*nothing"),
        ({"X": X * 1j}, "Complex"),
        ({"y": Y[:3]}, r"y has shape \(3,\), but X has 4 rows"),
        ({"y": np.arange(8.0)}, r"y has shape \(8,\)"),
        ({"sample_weight": np.ones(5)}, r"sample_weight has shape \(5,\), but X has 4 rows"),
        ({"sample_weight": np.ones((4, 1))}, "sample_weight has shape"),
        ({"sample_weight": [1, -1, 1, 1]}, "negative weight"),
        ({"sample_weight": np.zeros(4)}, "all weights are 0"),
        ({"sample_weight": [1, np.nan, 1, 1]}, "sample_weight holds NaN"),
        ({"X": _with_indices([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 3], [0, 2, 5, 8, 11])}, "sparse"),
        ({"X": _with_indices([0, 1, 2, 0, 1, 2, 0, -1, 2, 0, 1], [0, 2, 5, 8, 11])}, "sparse"),
        ({"X": _with_indices([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1], [0, 2, 5, 4, 11])}, "sparse"),
        ({"X": _with_indices([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1], [0, 2, 5, 8, 12])}, "sparse"),
        ({"parameters": np.zeros(3)}, r"parameters has shape \(3,\)"),
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"alpha": np.nan}, "alpha is nan"),
        ({"network": Network((2, 1))}, "3 inputs"),
        ({"network": Network((3, 1), loss="poisson"), "y": -Y}, "y is -.*counts"),
    ],
)
def test_loss_and_gradient_checks_its_arguments(arguments, message):
    usual = {"network": Network((3, 1)), "parameters": np.zeros(4), "X": X, "y": Y}
    with pytest.raises(ValueError, match=message):
        loss_and_gradient(**usual | arguments)


@pytest.mark.parametrize("method", ["loss_and_gradient", "normal_equations"])
def test_an_objective_checks_its_parameters(method):
    evaluate = getattr(Objective(Network((3, 1)), as_data(X, Y)), method)
    with pytest.raises(ValueError, match=r"parameters has shape \(5,\)"):
        evaluate(np.zeros(5))
    expected = evaluate(np.arange(4.0))
    read_only = np.arange(4, dtype=np.float32)
    read_only.flags.writeable = False
    for given in ([0, 1, 2, 3], np.arange(8.0)[::2] / 2, read_only):
        for result, value in zip(evaluate(given), expected, strict=True):
            np.testing.assert_array_equal(result, value)
