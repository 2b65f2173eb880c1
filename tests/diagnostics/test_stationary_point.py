"""Where training has ended: minimum, flat minimum, saddle, maximum, or on the way."""

import itertools
import re

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from fastbp import BackpropRegressor, Network, loss_and_gradient
from fastbp.diagnostics.stationary_point import StationaryPoint
from helpers.cases import BATCH_SOLVERS, STOCHASTIC_SOLVERS

SHORT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
#: So that there are fewer than 50 parameters and more: a dense Hessian, and Lanczos iterations.
BOTH_PATHS = pytest.mark.parametrize("n_features", [5, 30], ids=["dense", "lanczos"])
N_HIDDEN = 2


@pytest.fixture
def data(problem):
    """Rows enough to determine every weight of the small nets below."""

    def make(n_features=5, **parameters):
        return problem(n_samples=200, n_features=n_features, **parameters)

    return make


def _net(**parameters):
    defaults = {
        "hidden_layer_sizes": (N_HIDDEN,),
        "activation": "tanh",
        "solver": "lm",
        "alpha": 0.1,
        "tol": 1e-8,
        "max_iter": 5000,
        "n_iter_no_change": np.inf,
        "random_state": 0,
    }
    return BackpropRegressor(**defaults | parameters)


def _network(net):
    sizes = (net.n_features_in_, *net.hidden_layer_sizes, net.n_outputs_)
    return Network(sizes, net.activation, net.loss, net.output_activation)


def _vector(net):
    return np.concatenate([array.ravel() for array in net.coefs_ + net.intercepts_])


def _set_vector(net, vector):
    net.coefs_, net.intercepts_ = _network(net).unpack(np.array(vector, dtype=np.float64))


def _extreme_eigenvalues(net, X, y, sample_weight=None, alpha=None):
    """Of the Hessian, entry by entry from differences of gradients."""
    network, p = _network(net), _vector(net).astype(np.float64)
    alpha = net.alpha if alpha is None else alpha

    def gradient(at):
        return loss_and_gradient(network, at, X, y, sample_weight, alpha)[1]

    h = 1e-5
    hessian = [(gradient(p + h * e) - gradient(p - h * e)) / (2 * h) for e in np.eye(p.size)]
    eigenvalues = np.linalg.eigvalsh((np.array(hessian) + np.transpose(hessian)) / 2)
    return eigenvalues[0], eigenvalues[-1]


def _assert_extremes(point, expected, near=1e-6):
    """Equal but for a part of the largest."""
    found = point.smallest_eigenvalue, point.largest_eigenvalue
    np.testing.assert_allclose(found, expected, rtol=0, atol=near * np.abs(expected).max())


# Curvatures.


@pytest.mark.parametrize("n_features", [1, 5, 70])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("alpha", [0.0, 20.0])
def test_a_linear_network_has_the_hessian_of_least_squares(
    n_features, n_outputs, weighted, alpha, problem
):
    X, y = problem(n_samples=200, n_features=n_features, n_outputs=n_outputs)
    weights = np.linspace(0, 2, len(y)) if weighted else np.ones(len(y))
    net = _net(hidden_layer_sizes=(), alpha=alpha).fit(X, y, weights)
    point = net.stationary_point(X, y, weights)
    inputs = np.c_[X, np.ones(len(X))]
    decay = np.diag([alpha] * n_features + [0.0])
    hessian = (inputs.T @ (weights[:, None] * inputs) + decay) / weights.sum()
    eigenvalues = np.linalg.eigvalsh(hessian)
    _assert_extremes(point, [eigenvalues[0], eigenvalues[-1]], near=1e-8)
    assert point.kind == "minimum"
    assert point.gradient_norm <= point.tol == 1e-8


@BOTH_PATHS
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_curvatures_of_a_trained_net_are_those_of_the_dense_hessian(n_features, n_outputs, data):
    X, y = data(n_features, n_outputs=n_outputs)
    net = _net().fit(X, y)
    assert (_vector(net).size > 50) == (n_features == 30)
    point = net.stationary_point(X, y)
    assert point.kind in ("minimum", "flat")
    _assert_extremes(point, _extreme_eigenvalues(net, X, y))
    assert point.gradient_norm == pytest.approx(net.gradient_norm_, abs=1e-12)


@SHORT
@BOTH_PATHS
@pytest.mark.parametrize("activation", ["tanh", "logistic", "softplus", "sin"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_curvatures_on_the_way_are_those_of_the_dense_hessian(n_features, activation, loss, data):
    X, y = data(n_features, positive=True)
    net = _net(solver="adam", loss=loss, activation=activation, max_iter=3).fit(X, y)
    point = net.stationary_point(X, y)
    _assert_extremes(point, _extreme_eigenvalues(net, X, y))
    assert point.kind == "not stationary"


@SHORT
@BOTH_PATHS
def test_weights_and_decay_count(n_features, data):
    X, y = data(n_features)
    weights = np.linspace(0, 2, len(y))
    net = _net(alpha=3.0).fit(X, y, weights)
    point = net.stationary_point(X, y, weights)
    assert point.kind in ("minimum", "flat")
    _assert_extremes(point, _extreme_eigenvalues(net, X, y, weights))
    assert net.stationary_point(X, y).kind == "not stationary"
    kept = weights > 0
    again = net.stationary_point(X[kept], y[kept], weights[kept])
    assert (again.kind, again.tol) == (point.kind, point.tol)
    np.testing.assert_allclose(again[1:4], point[1:4], rtol=1e-6, atol=1e-9)
    less = net.set_params(alpha=1.0).stationary_point(X, y, weights)
    assert less.kind == "not stationary"
    _assert_extremes(less, _extreme_eigenvalues(net, X, y, weights))


def test_the_decay_that_was_found_counts(data):
    X, y = data()
    net = _net(alpha="bayes", tol=1e-6).fit(X, y)
    point = net.stationary_point(X, y)
    assert point.kind in ("minimum", "flat")
    assert point.gradient_norm == pytest.approx(net.gradient_norm_, abs=1e-12)
    _assert_extremes(point, _extreme_eigenvalues(net, X, y, alpha=net.alpha_))
    other = net.set_params(alpha=100 * net.alpha_).stationary_point(X, y)
    assert other.kind == "not stationary"


# Kinds.


@BOTH_PATHS
def test_all_weights_zero_is_a_saddle_where_y_goes_with_x(n_features, data):
    """There tanh is linear and the Hessian known: hidden and output weights share -mean(y x)."""
    X, y = data(n_features)
    y -= y.mean()
    net = _net(tol=1.0).fit(X, y)
    _set_vector(net, np.zeros(_vector(net).size))
    net.set_params(alpha=0, tol=1e-12)
    point = net.stationary_point(X, y)
    assert point.kind == "saddle"
    assert point.gradient_norm <= 1e-12
    slope = np.linalg.norm(X.T @ y) / len(y)
    _assert_extremes(point, [-slope, max(1.0, slope)])
    # Enough of a decay makes a minimum of it, but for the hidden biases, which nothing holds.
    decayed = net.set_params(alpha=2 * slope * len(y)).stationary_point(X, y)
    assert decayed.kind == "flat"


@BOTH_PATHS
def test_from_the_saddle_there_is_a_way_down(n_features, data):
    X, y = data(n_features)
    y -= y.mean()
    net = _net(tol=1.0).fit(X, y)
    zero = np.zeros(_vector(net).size)
    _set_vector(net, zero)
    assert net.set_params(alpha=0, tol=1e-12).stationary_point(X, y).kind == "saddle"
    beside = zero.copy()
    network, n = _network(net), X.shape[1] * N_HIDDEN
    beside[:n:N_HIDDEN] = 1e-3 * X.T @ y / np.linalg.norm(X.T @ y)  # the first unit's weights
    beside[n] = 1e-3
    losses = [loss_and_gradient(network, p, X, y)[0] for p in (zero, beside)]
    assert losses[1] < losses[0]


def test_a_maximum():
    """Two rows and two parameters: sin is at its lowest where the targets are highest."""
    X, y = np.array([[1.0], [-1.0]]), np.array([1.0, 2.0])
    net = _net(hidden_layer_sizes=(), output_activation="sin", tol=10.0, alpha=0).fit(X, y)
    _set_vector(net, [0.0, -np.pi / 2])
    point = net.stationary_point(X, y, tol=1e-12)
    assert point.kind == "maximum"
    # Each row curves by (sin z - y) (-sin z) = -(1 + y), half of it in every entry.
    eigenvalues = np.linalg.eigvalsh(-0.5 * np.array([[5.0, -1.0], [-1.0, 5.0]]))
    _assert_extremes(point, eigenvalues)


@SHORT
@BOTH_PATHS
@pytest.mark.parametrize("seed", range(3))
def test_random_weights_are_not_stationary(n_features, seed, data):
    X, y = data(n_features)
    net = _net(tol=1e9, random_state=seed).fit(X, y)  # stays where it starts
    assert net.n_iter_ == 1
    point = net.stationary_point(X, y, tol=1e-4)
    assert point.kind == "not stationary"
    network = _network(net)
    expected = np.abs(loss_and_gradient(network, _vector(net), X, y, None, 0.1)[1]).max()
    assert point.gradient_norm == pytest.approx(expected, rel=1e-12)
    _assert_extremes(point, _extreme_eigenvalues(net, X, y))


def _teacher(X, rng, **parameters):
    """A net of random weights and targets that it meets: its Hessian is J'J, never negative."""
    net = _net(alpha=0, tol=1e9, **parameters).fit(X, np.zeros(len(X)))
    _set_vector(net, rng.uniform(0.2, 0.8, _vector(net).size) * np.sign(_vector(net)))
    return net.set_params(tol=1e-10), net.predict(X)


FLAT = {
    "constant column": lambda X: np.c_[X, np.full(len(X), 2.0)],
    "column of zeros": lambda X: np.c_[X, np.zeros(len(X))],
    "same column twice": lambda X: np.c_[X, X[:, 0]],
}


@pytest.mark.parametrize("column", FLAT)
@BOTH_PATHS
@pytest.mark.parametrize("hidden", [(), (N_HIDDEN,)], ids=["linear", "tanh"])
def test_a_column_too_many_makes_a_minimum_flat(column, n_features, hidden, data, rng):
    X, _ = data(n_features)
    net, y = _teacher(X, rng, hidden_layer_sizes=hidden)
    assert net.stationary_point(X, y).kind == "minimum"
    # The same function of one column more, whose weights are 0 and bring nothing new.
    more = FLAT[column](X)
    other = clone(net).set_params(tol=1e9).fit(more, y).set_params(tol=1e-10)
    other.coefs_ = [np.vstack([net.coefs_[0], 0 * net.coefs_[0][:1]]), *net.coefs_[1:]]
    other.intercepts_ = net.intercepts_
    point = other.stationary_point(more, y)
    assert point.kind == "flat"
    assert abs(point.smallest_eigenvalue) < 1e-8
    # What the data leave open, a decay holds; it would move the weights, but curves all the same.
    held = other.set_params(alpha=1.0).stationary_point(more, y, tol=1e9)
    assert held.kind == "minimum"


@BOTH_PATHS
def test_a_unit_that_does_nothing_makes_a_minimum_flat(n_features, data, rng):
    """A softplus that is off for every row."""
    X, _ = data(n_features)
    net, y = _teacher(X, rng, activation="softplus")
    assert net.stationary_point(X, y).kind == "minimum"
    net.intercepts_[0][0] = -1e3
    y = net.predict(X)
    point = net.stationary_point(X, y)
    assert point.kind == "flat"
    assert abs(point.smallest_eigenvalue) < 1e-6 * point.largest_eigenvalue


@BOTH_PATHS
def test_two_units_alike_make_a_minimum_flat(n_features, data, rng):
    """Of their common output weight, each may take any share."""
    X, _ = data(n_features)
    net, _ = _teacher(X, rng)
    net.coefs_[0][:, 1] = net.coefs_[0][:, 0]
    net.intercepts_[0][1] = net.intercepts_[0][0]
    net.coefs_[1][:] = [[0.2], [0.5]]
    y = net.predict(X)
    point = net.stationary_point(X, y)
    assert point.kind == "flat"
    _assert_extremes(point, _extreme_eigenvalues(net, X, y))


@BOTH_PATHS
def test_units_of_relu_may_always_be_scaled(n_features, data, rng):
    """Incoming weights times c and outgoing ones over c are the same function."""
    X, _ = data(n_features)
    net, y = _teacher(X, rng, activation="relu")
    assert net.stationary_point(X, y).kind == "flat"


@pytest.mark.parametrize("scale", [1e-3, 1e-2, 1.0, 1e2, 1e3])
@pytest.mark.parametrize("n_hidden", [3, 9], ids=["dense", "lanczos"])
def test_a_minimum_is_no_saddle_in_other_units(n_hidden, scale, data, rng):
    """Inputs in other units, and first weights to match, are the same function."""
    X, _ = data()
    net, y = _teacher(X, rng, hidden_layer_sizes=(n_hidden,))
    net.coefs_[0] = net.coefs_[0] / scale
    point = net.stationary_point(X * scale, y, tol=1e-6)
    assert point.kind in ("minimum", "flat")


@SHORT
def test_after_every_solver_it_is_told_whether_the_point_is_stationary(data):
    X, y = data()
    reached = set()
    for solver in (*STOCHASTIC_SOLVERS, *BATCH_SOLVERS):
        net = _net(solver=solver, max_iter=400, alpha=3.0, tol=1e-5).fit(X, y)
        point = net.stationary_point(X, y)
        assert point.gradient_norm == pytest.approx(net.gradient_norm_, abs=1e-12)
        assert (point.kind != "not stationary") == (net.gradient_norm_ <= 1e-5)
        if net.stop_reason_ == "gradient_norm":
            reached.add(solver)
    assert {"lm", "bfgs", "cg"} <= reached
    assert "sgd" not in reached


# What it says, and from where it takes its tolerance.


def test_it_is_said_in_a_sentence_that_names_the_kind():
    kinds = ("minimum", "flat", "saddle", "maximum", "not stationary")
    sentences = {str(StationaryPoint(kind, 0.25, -0.5, 2.0, 0.125)) for kind in kinds}
    assert len(sentences) == len(kinds)
    for kind in kinds:
        sentence = str(StationaryPoint(kind, 0.25, -0.5, 2.0, 0.125))
        assert re.fullmatch(rf"(A {kind}: |{kind.capitalize()}: )[^\n]*\.", sentence)
        assert "curvatures from -0.5 to 2" in sentence
    assert "gradient is 0.25, more than 0.12" in sentence


@SHORT
def test_a_fits_sentence_names_its_kind(data):
    X, y = data()
    net = _net().fit(X, y)
    assert str(net.stationary_point(X, y)).startswith("A minimum: ")
    assert str(net.stationary_point(X, y, tol=0.0)).startswith("Not stationary: ")


@SHORT
def test_tol_is_the_estimators_gtol_or_tol(data):
    X, y = data()
    net = _net(tol=1e9).fit(X, y)
    stationary = {"tol": 1e9}, {"tol": 0, "gtol": 1e9}
    not_stationary = {"tol": 1e-9}, {"tol": 1e9, "gtol": 1e-9}, {"tol": 1e9, "gtol": 0}
    for parameters, told in itertools.product((*stationary, *not_stationary), (None, 1e9, 1e-9)):
        net.set_params(**{"gtol": None} | parameters)
        point = net.stationary_point(X, y, tol=told)
        expected = parameters.get("gtol", parameters["tol"]) if told is None else told
        assert point.tol == expected
        assert (point.kind == "not stationary") == (expected < 1)


# What is given to it.


@SHORT
def test_it_changes_nothing(data):
    X, y = data()
    weights = np.linspace(0, 1, len(y))
    net = _net(solver="adam", max_iter=3).fit(X, y)
    before, vector, copies = dict(vars(net)), _vector(net), (X.copy(), y.copy(), weights.copy())
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (net.stationary_point(X, y, weights) for _ in range(2))
    assert first == second
    assert vars(net) == before
    np.testing.assert_array_equal(_vector(net), vector)
    for array, copied in zip((X, y, weights), copies, strict=True):
        np.testing.assert_array_equal(array, copied)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@SHORT
@BOTH_PATHS
def test_it_is_the_same_in_any_form_and_for_any_number_of_threads(n_features, problem):
    X, y = problem(n_samples=3000, n_features=n_features)
    X[X < 0.5] = 0
    net = _net(solver="adam", max_iter=3).fit(X, y)
    point = net.stationary_point(X, y)
    for other in (sparse.csr_array(X), X.tolist(), np.asfortranarray(X)):
        assert net.stationary_point(other, y.tolist()) == point
    assert net.set_params(n_jobs=2).stationary_point(X, y) == point


@SHORT
@BOTH_PATHS
def test_float32_weights_are_looked_at_in_float64(n_features, data):
    X, y = data(n_features, dtype=np.float32)
    net = _net(solver="lbfgs", max_iter=50).fit(X, y)
    assert net.coefs_[0].dtype == np.float32
    point = net.stationary_point(X, y)
    _assert_extremes(point, _extreme_eigenvalues(net, X.astype(np.float64), y))


def test_without_a_fit_there_is_nothing_to_look_at(data):
    with pytest.raises(NotFittedError):
        _net().stationary_point(*data())


REFUSED = {
    "NaN in X": lambda X, y: (np.where(X == X[3, 2], np.nan, X), y),
    "infinity in y": lambda X, y: (X, np.where(y == y[-1], np.inf, y)),
    "too few features": lambda X, y: (X[:, :4], y),
    "too many features": lambda X, y: (np.c_[X, X], y),
    "other lengths": lambda X, y: (X, y[:-1]),
    "no rows": lambda X, y: (X[:0], y[:0]),
    "text": lambda X, y: (X, ["a"] * len(y)),
    "negative weights": lambda X, y: (X, y, -np.ones(len(y))),
    "weights of zero": lambda X, y: (X, y, np.zeros(len(y))),
    "weights of NaN": lambda X, y: (X, y, np.full(len(y), np.nan)),
    "too few weights": lambda X, y: (X, y, np.ones(len(y) - 1)),
}


@SHORT
@pytest.mark.parametrize("name", REFUSED)
def test_wrong_data_are_refused(name, data):
    X, y = data()
    net = _net(max_iter=3).fit(X, y)
    with pytest.raises(ValueError):
        net.stationary_point(*REFUSED[name](X, y))


@SHORT
@pytest.mark.parametrize("method", ["stationary_point", "check_gradient"])
@pytest.mark.parametrize(("n_fitted", "n_given"), [(1, 2), (2, 1), (2, 3)])
def test_another_number_of_outputs_is_refused(method, n_fitted, n_given, data):
    """And not read from beyond the end of an array."""
    X, y = data(n_outputs=3)
    targets = {1: y[:, 0], 2: y[:, :2], 3: y}
    net = _net(max_iter=3).fit(X, targets[n_fitted])
    with pytest.raises(ValueError, match="outputs"):
        getattr(net, method)(X, targets[n_given])


@SHORT
@BOTH_PATHS
def test_weights_whose_loss_overflows_are_not_stationary(n_features, data):
    X, y = data(n_features)
    net = _net(max_iter=3).fit(X, y)
    net.coefs_[1][:] = 1e200
    point = net.stationary_point(X, y)
    assert point.kind == "not stationary"
    assert str(point).startswith("Not stationary: ")


def test_a_weight_decay_too_large_for_eigenvalues_is_no_error():
    X = np.random.RandomState(0).standard_normal((20, 3))
    net = BackpropRegressor(hidden_layer_sizes=(), max_iter=1, random_state=0)
    with pytest.warns(ConvergenceWarning):
        net.fit(X, X[:, 0])
    for layer in (*net.coefs_, *net.intercepts_):
        layer[...] = 0
    net.alpha = 1e308
    point = net.stationary_point(X[:1], X[:1, 0], tol=np.inf)
    assert point.kind in ("undetermined", "minimum", "flat")
