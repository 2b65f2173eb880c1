"""What makes small calls quick changes nothing but their time."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from sklearn.utils._param_validation import InvalidParameterError

from fastbp import BackpropClassifier, BackpropRegressor
from fastbp.training.generators import generator_of, use_again
from helpers.fits import SHORT, fitted_attributes, make_net, vector_of
from helpers.guards import OVERFLOWS_IN_PYTHON

pytestmark = SHORT


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_plain_array_gives_what_the_long_way_gives(dtype, problem):
    X, y = problem(dtype=dtype)
    others = [np.repeat(X, 2, axis=1)[:, ::2], np.asfortranarray(X), pd.DataFrame(X)]
    if dtype == np.float64:  # which these become
        others += [X.astype(X.dtype.newbyteorder()), X.tolist()]
    net = make_net("adam").fit(X, y)
    expected, weights = net.predict(X), vector_of(net)
    for other in others:
        np.testing.assert_array_equal(net.predict(other), expected)
        np.testing.assert_array_equal(vector_of(make_net("adam").fit(other, y)), weights)


def test_a_plain_array_forgets_the_names_of_the_fit_before(problem):
    X, y = problem()
    net = make_net("adam").fit(pd.DataFrame(X, columns=list("abcde")), y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        net.predict(X)
    net.fit(X[:, :3], y)
    assert not hasattr(net, "feature_names_in_")
    assert net.n_features_in_ == 3
    with pytest.raises(ValueError, match="X has 5 features, but BackpropRegressor is expecting 3"):
        net.predict(X)
    with pytest.raises(ValueError, match="X has 5 features, but BackpropRegressor is expecting 3"):
        net.partial_fit(X, y)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_in_plain_arrays(wrong, problem):
    X, y = problem()
    net = make_net("adam").fit(X, y)
    bad_X, bad_y = X.copy(), y.copy()
    bad_X[3, 2] = bad_y[4] = wrong
    for call in (net.predict, lambda X: net.fit(X, y), lambda X: net.partial_fit(X, y)):
        with pytest.raises(ValueError, match=r"Input X contains .* in column 2, row 3"):
            call(bad_X)
    for call in (net.fit, net.partial_fit):
        with pytest.raises(ValueError, match=r"y\[4\] is "):
            call(X, bad_y)


@OVERFLOWS_IN_PYTHON
def test_the_largest_numbers_are_finite_though_their_sum_is_not(problem):
    X, y = problem()
    largest = np.full_like(X, np.finfo(float).max)
    assert make_net("adam").fit(X, y).predict(largest).shape == y.shape


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((0, 5)), np.zeros(0), "0 sample"),
        (np.zeros((3, 0)), np.zeros(3), "0 feature"),
        (np.zeros(5), np.zeros(5), "Expected 2D array"),
        (np.zeros((3, 5)), np.zeros(4), "inconsistent numbers of samples"),
        (np.zeros((3, 5), complex), np.zeros(3), "Complex data not supported"),
        (np.zeros((3, 5)), np.zeros((3, 1, 1)), "dim"),
    ],
)
def test_what_is_no_table_is_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        BackpropRegressor().fit(X, y)


def test_edited_weights_are_what_predicts(problem):
    X, y = problem()
    net = make_net("adam").fit(X, y)
    before = net.predict(X)
    net.intercepts_[-1][0] += 1
    np.testing.assert_allclose(net.predict(X), before + 1, rtol=1e-12)
    net.intercepts_[-1] = net.intercepts_[-1] + 1  # assigned
    np.testing.assert_allclose(net.predict(X), before + 2, rtol=1e-12)
    net.coefs_[0][0, 0] = np.nan
    with pytest.raises(ValueError, match=r"coefs_\[0\] holds NaN or infinity"):
        net.predict(X)


def test_weights_edited_to_infinity_are_named(problem):
    X, y = problem()
    net = make_net("adam").fit(X, y)
    net.coefs_[0][0, 0] = np.inf  # of which tanh makes 1
    with pytest.raises(ValueError, match=r"coefs_\[0\] holds NaN or infinity"):
        net.predict(X)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_probabilities_follow_edited_weights(n_outputs, problem):
    X, y = problem()
    labels = np.digitize(y, [0.0] if n_outputs == 1 else [-0.3, 0.3])
    net = BackpropClassifier((5,), max_iter=5, random_state=0).fit(X, labels)
    net.intercepts_[-1][-1] += 100
    np.testing.assert_allclose(net.predict_proba(X)[:, -1], 1)
    assert (net.predict(X) == labels.max()).all()


def test_many_threads_predict_at_once(problem):
    X, y = problem(n_samples=500)
    net = make_net("adam").fit(X, y)
    expected = net.predict(X)
    with ThreadPoolExecutor(8) as pool:
        for prediction in pool.map(net.predict, [X] * 200):
            np.testing.assert_array_equal(prediction, expected)


def test_parameters_found_valid_do_not_stand_for_others(problem):
    X, y = problem()
    net = make_net("adam").fit(X, y).fit(X, y)
    for name, wrong in (
        ("shuffle", 1),
        ("max_iter", 2.0),
        ("tol", -1.0),
        ("hidden_layer_sizes", 0),
    ):
        with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter"):
            make_net("adam").fit(X, y).set_params(**{name: wrong}).fit(X, y)
    sizes = [3]
    net.set_params(hidden_layer_sizes=sizes).fit(X, y)
    sizes[0] = -1  # the same list
    with pytest.raises(ValueError, match="hidden_layer_sizes must be > 0"):
        net.fit(X, y)
    with pytest.raises(ValueError, match="activation"):
        net.set_params(hidden_layer_sizes=(3,), activation=[["tanh"]]).fit(X, y)


def test_generators_used_again_draw_the_same(problem):
    X, y = problem()
    nets = [make_net("adam", random_state=seed).fit(X, y) for seed in (1, 2, 1, 2)]
    for one, other in zip(nets[:2], nets[2:], strict=True):
        assert fitted_attributes(one).keys() == fitted_attributes(other).keys()
        np.testing.assert_array_equal(vector_of(one), vector_of(other))
    generator = generator_of(5)
    generator.standard_normal(3)  # one of which is kept for the next call
    use_again(generator, 5)
    assert generator_of(6).standard_normal() == np.random.RandomState(6).standard_normal()
    with pytest.raises(ValueError, match="Seed must be between 0"):
        use_again(generator_of(5), 5) or generator_of(-1)


def test_a_generator_of_the_users_own_is_never_used_again(problem):
    X, y = problem()
    mine = np.random.RandomState(3)
    make_net("adam", random_state=mine).fit(X, y)
    state = mine.get_state()[1].copy()
    make_net("adam", random_state=0).fit(X, y)
    np.testing.assert_array_equal(mine.get_state()[1], state)
    assert generator_of(mine) is mine
