"""``return_std=True``: coverage where the noise is known, committees, and where it is refused."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor, BackpropSearchCV, fit_many
from helpers.fits import SHORT
from helpers.guards import NEEDS_A_COMPILER

pytestmark = [SHORT, NEEDS_A_COMPILER]
LM = {"solver": "lm", "activation": "tanh", "max_iter": 200, "random_state": 0}
COMMITTEE = {"n_init": 4, "keep_all": True, "solver": "lbfgs", "max_iter": 40, "random_state": 0}


def _noisy(rng, n, scale=1.0, noise=0.3):
    """Rows of a known function with known noise, in units that are not the network's."""
    X = rng.uniform(-2, 2, (n, 2))
    y = np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] + noise * rng.standard_normal(n)
    return X, 20 * (scale - 1) + scale * y


@pytest.mark.parametrize("scale_target", [False, True])
@pytest.mark.parametrize(("alpha", "n"), [("bayes", 60), ("bayes", 300), (0.01, 300)])
def test_an_interval_of_95_percent_covers_as_much(alpha, n, scale_target, rng):
    scale = 50.0 if scale_target else 1.0
    covered = []
    for seed in range(8):
        net = BackpropRegressor(
            hidden_layer_sizes=(6,), alpha=alpha, scale_target=scale_target,
            **LM | {"random_state": seed, "n_init": 2},
        ).fit(*_noisy(rng, n, scale))  # fmt: skip
        X, y = _noisy(rng, 1000, scale)
        prediction, std = net.predict(X, return_std=True)
        covered.append(np.mean(np.abs(y - prediction) < 1.96 * std))
        assert np.sqrt(net._posterior.noise) * (net.target_scale_ if scale_target else 1) == (
            pytest.approx(0.3 * scale, rel=0.4)
        )
    assert 0.92 < np.mean(covered) < 0.98


def test_doubt_grows_where_there_were_no_rows(rng):
    X, y = _noisy(rng, 200)
    net = BackpropRegressor(hidden_layer_sizes=(6,), alpha="bayes", **LM).fit(X, y)
    _, inside = net.predict(X, return_std=True)
    _, outside = net.predict(4 * X, return_std=True)
    assert np.median(outside) > 1.3 * np.median(inside)


def test_a_linear_network_is_ordinary_least_squares(rng):
    X = rng.standard_normal((30, 3))
    y = X @ [1, 2, 3] + 5 + rng.standard_normal(30)
    net = BackpropRegressor(hidden_layer_sizes=(), **LM | {"alpha": 0, "tol": 1e-10}).fit(X, y)
    at = rng.standard_normal((10, 3))
    prediction, std = net.predict(at, return_std=True)
    design, j = (np.column_stack([rows, np.ones(len(rows))]) for rows in (X, at))
    line = LinearRegression().fit(X, y)
    noise = np.sum((y - line.predict(X)) ** 2) / (30 - 4)
    variance = noise * (1 + np.einsum("ni,ij,nj->n", j, np.linalg.inv(design.T @ design), j))
    np.testing.assert_allclose(prediction, line.predict(at))
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-6)


def test_a_linear_network_with_alpha_found_is_nearly_bayesian_ridge(rng):
    X = rng.standard_normal((200, 5))
    y = X @ [1, 2, 0, 0, 1] + rng.standard_normal(200)
    net = BackpropRegressor(hidden_layer_sizes=(), alpha="bayes", **LM | {"tol": 1e-8}).fit(X, y)
    _, std = net.predict(X, return_std=True)
    _, theirs = BayesianRidge().fit(X, y).predict(X, return_std=True)
    np.testing.assert_allclose(std, theirs, rtol=0.02)


def test_a_sample_weight_counts_rows(rng):
    X, y = _noisy(rng, 60)
    counts = rng.integers(0, 4, 60)
    fit = BackpropRegressor(hidden_layer_sizes=(3,), **LM | {"alpha": 0.1, "gtol": 1e-9})
    _, weighted = clone(fit).fit(X, y, counts).predict(X, return_std=True)
    _, repeated = clone(fit).fit(X.repeat(counts, 0), y.repeat(counts)).predict(X, return_std=True)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-5)


def test_several_outputs_float32_threads_and_copies(rng):
    X, y = _noisy(rng, 200)
    Y = np.column_stack([y, 100 * y])
    fit = BackpropRegressor(hidden_layer_sizes=(5,), alpha=0.1, scale_target=True, **LM)
    net = clone(fit).fit(X, Y)
    prediction, std = net.predict(X, return_std=True)
    assert prediction.shape == std.shape == (200, 2)
    np.testing.assert_allclose(std[:, 1], 100 * std[:, 0], rtol=0.1)
    monkeyed = net.set_params(n_jobs=2).predict(X, return_std=True)[1]
    assert np.array_equal(std, monkeyed)
    assert np.array_equal(std, pickle.loads(pickle.dumps(net)).predict(X, return_std=True)[1])
    single = clone(fit).fit(X.astype(np.float32), Y.astype(np.float32))
    prediction, of_single = single.predict(X.astype(np.float32), return_std=True)
    assert prediction.dtype == of_single.dtype == np.float32
    np.testing.assert_allclose(of_single, std, rtol=0.05)
    pipeline = make_pipeline(StandardScaler(), clone(fit)).fit(X, Y)
    assert pipeline.predict(X, return_std=True)[1].shape == (200, 2)


@pytest.mark.parametrize(
    ("parameters", "n"),
    [
        ({"solver": "adam"}, 50),
        ({"solver": "lbfgs", "n_init": 2}, 50),
        ({"solver": "lbfgs", "keep_all": True}, 50),
        ({"solver": "lm", "hidden_layer_sizes": (30,), "alpha": 0, "activation": "tanh"}, 20),
    ],
)
def test_where_it_is_not_known_the_error_names_the_ways(parameters, n, rng):
    X, y = _noisy(rng, n)
    net = BackpropRegressor(**{"max_iter": 20, "random_state": 0} | parameters).fit(X, y)
    assert net.predict(X).shape == (n,)
    with pytest.raises(ValueError, match=r"solver='lm'.*alpha='bayes'.*keep_all.*quantile"):
        net.predict(X, return_std=True)


def test_after_lm_a_committee_has_its_spread_and_one_network_its_posterior(rng):
    X, y = _noisy(rng, 80)
    fit = {"hidden_layer_sizes": (3,), "solver": "lm", "alpha": 0.1, "random_state": 0}
    one = BackpropRegressor(**fit).fit(X, y)
    of_one = BackpropRegressor(keep_all=True, **fit).fit(X, y)
    np.testing.assert_array_equal(
        of_one.predict(X, return_std=True), one.predict(X, return_std=True)
    )
    committee = BackpropRegressor(keep_all=True, n_init=3, **fit).fit(X, y)
    of_each = []
    for parameters in committee.members_:
        one.coefs_, one.intercepts_ = one._network.unpack(parameters)
        of_each.append(one.predict(X))
    spread = committee.predict(X, return_std=True)[1]
    np.testing.assert_allclose(spread, np.std(of_each, axis=0, ddof=1), rtol=1e-8)


def test_a_committee_is_the_mean_and_the_spread_of_its_networks(rng):
    X, y = _noisy(rng, 80)
    net = BackpropRegressor(scale_target=True, **COMMITTEE).fit(X, 1000 + 50 * y)
    each = []
    for parameters in net.members_:
        one = BackpropRegressor(scale_target=True, **COMMITTEE | {"n_init": 1, "keep_all": False})
        one.fit(X, 1000 + 50 * y)
        one.coefs_, one.intercepts_ = one._network.unpack(parameters)
        each.append(one.predict(X))
    prediction, std = net.predict(X, return_std=True)
    assert len(each) == 4
    assert np.array_equal(net._parameters(), net.members_[0])
    np.testing.assert_allclose(prediction, np.mean(each, axis=0))
    np.testing.assert_allclose(std, np.std(each, axis=0, ddof=1), rtol=1e-8)
    assert np.array_equal(prediction, net.predict(X))
    _, far = net.predict(10 * X, return_std=True)
    assert far.mean() > 3 * std.mean()
    # The first start and the best are what they are without keep_all.
    alone = BackpropRegressor(scale_target=True, **COMMITTEE | {"keep_all": False})
    alone.fit(X, 1000 + 50 * y)
    assert np.array_equal(alone.init_losses_, net.init_losses_)
    assert np.array_equal(alone.coefs_[0], net.coefs_[0])
    assert len(alone.members_) == 1


def test_a_committee_has_the_same_bits_in_threads_copies_and_searches(rng):
    X, y = _noisy(rng, 80)
    net = BackpropRegressor(**COMMITTEE).fit(X, y)
    expected = net.predict(X, return_std=True)
    others = [
        clone(net).set_params(n_jobs=3).fit(X, y),
        pickle.loads(pickle.dumps(net)),
        fit_many(X, y, [{}], estimator=net)[0],
        BackpropSearchCV(net, {"alpha": [1e-4]}, cv=2).fit(X, y).best_estimator_,
    ]
    for other in others:
        for got, wanted in zip(other.predict(X, return_std=True), expected, strict=True):
            assert np.array_equal(got, wanted)


def test_a_committees_own_coefficients_may_be_edited(rng):
    X, y = _noisy(rng, 30)
    net = BackpropRegressor(**COMMITTEE).fit(X, y)
    before = net.predict(X)
    net.intercepts_[-1][:] += 4
    np.testing.assert_allclose(net.predict(X), before + 1)  # one of four
    net.intercepts_ = [array.copy() for array in net.intercepts_]
    net.intercepts_[-1] -= 4
    np.testing.assert_allclose(net.predict(X), before)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_a_committee_of_classifiers_means_probabilities(kind, rng):
    X = rng.standard_normal((60, 3))
    labels = {
        "binary": np.where(X[:, 0] + rng.standard_normal(60) > 0, "yes", "no"),
        "multiclass": np.digitize(X[:, 1] + rng.standard_normal(60), [-0.5, 0.5]),
        "multilabel": (X[:, :2] + rng.standard_normal((60, 2)) > 0).astype(int),
    }[kind]
    committee = COMMITTEE | {"alpha": 1.0}
    net = BackpropClassifier(**committee).fit(X, labels)
    one = BackpropClassifier(**committee | {"keep_all": False}).fit(X, labels)
    each = []
    for parameters in net.members_:
        one.coefs_, one.intercepts_ = one._network.unpack(parameters)
        each.append(one.predict_proba(X))
    assert len(each) == 4
    p = net.predict_proba(X)
    np.testing.assert_allclose(p, np.mean(each, axis=0))
    np.testing.assert_allclose(net.predict_log_proba(X), np.log(p), atol=1e-12)
    if kind == "multilabel":
        assert np.array_equal(net.predict(X), p > 0.5)
    else:
        assert np.array_equal(net.predict(X), net.classes_[p.argmax(axis=1)])
    assert np.isfinite(net.predict_log_proba(1e6 * X)).all()
    for predict in (net.predict_one, net.predict_proba_one):
        with pytest.raises(ValueError, match="committee of 4"):
            predict(X[0])


def test_what_is_for_one_network_refuses_a_committee(rng):
    X, y = _noisy(rng, 30)
    net = BackpropRegressor(**COMMITTEE | {"solver": "adam"}).fit(X, y)
    with pytest.raises(ValueError, match=r"predict_one is for one network.*predict\(\[x\]\)"):
        net.predict_one(X[0])
    for method in ("partial_fit", "learn_one"):
        with pytest.raises(AttributeError) as error:
            getattr(net, method)
        assert "keep_all=True keeps several" in str(error.value.__cause__)
    with pytest.raises(ValueError, match=r"keep_all=True.*warm_start=True"):
        clone(net).set_params(warm_start=True).fit(X, y)
    before = net.predict(X)
    net.set_params(keep_all=False, n_init=1)
    for go_on in (
        lambda: net.partial_fit(X, y),
        lambda: net.learn_one(X[0], y[0]),
        lambda: net.set_params(warm_start=True).fit(X, y),
    ):
        with pytest.raises(ValueError, match="committee of 4"):
            go_on()
        assert np.array_equal(net.predict(X), before)
    net.set_params(warm_start=False).fit(X, y)
    assert len(net.members_) == 1
    assert isinstance(net.predict_one(X[0]), float)


def test_what_is_learnt_after_lm_is_not_told_of(rng):
    X, y = _noisy(rng, 60)
    net = BackpropRegressor(hidden_layer_sizes=(3,), **LM).fit(X, y)
    net.set_params(solver="sgd").learn_one(X[0], y[0])
    with pytest.raises(ValueError, match="does not tell"):
        net.predict(X, return_std=True)


def test_a_start_that_diverges_is_no_member(rng):
    X = 3 * rng.standard_normal((50, 2))
    net = BackpropRegressor(
        hidden_layer_sizes=(10,), n_init=8, keep_all=True, solver="sgd", random_state=1,
        learning_rate_init=0.2, momentum=0, max_iter=30, batch_size=10,
    ).fit(X, X[:, 0])  # fmt: skip
    assert 2 <= len(net.members_) == np.isfinite(net.init_losses_).sum() < 8
    assert np.isfinite(net.predict(X, return_std=True)).all()
