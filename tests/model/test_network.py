"""Network and Data: layout, packing, the border."""

import numpy as np
import pytest
from scipy import sparse

from fastbp import Network, loss_and_gradient
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
        np.matrix(np.arange(12.0).reshape(4, 3)),
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


def test_read_only_and_unaligned_arrays_are_copied():
    X = np.arange(12.0).reshape(4, 3)
    X.flags.writeable = False
    assert as_data(X).X.flags.writeable
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
