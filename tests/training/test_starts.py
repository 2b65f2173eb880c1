"""Several starts: the first one is that of a single fit, the best one is kept."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from fastbp import BackpropRegressor, Network
from fastbp.training import fit as training
from fastbp.training import side_by_side
from helpers.fits import (
    EVERY_MODE,
    EVERY_SOLVER,
    SEEDS,
    SHORT,
    assert_same,
    fitted_attributes,
    make_net,
)


@SHORT
@EVERY_MODE
def test_the_first_start_is_that_of_a_single_fit(mode, problem):
    X, y = problem()
    first_was_best = set()
    for seed in SEEDS:
        alone = make_net(mode, random_state=seed).fit(X, y)
        net = make_net(mode, random_state=seed, n_init=2).fit(X, y)
        assert alone.init_losses_.tolist() == [alone.loss_]
        assert net.init_losses_.shape == (2,)
        assert net.init_losses_[0] == alone.loss_
        assert net.init_losses_[1] != alone.loss_
        assert net.loss_ == min(net.init_losses_)
        is_best = bool(net.loss_ == alone.loss_)
        first_was_best.add(is_best)
        if is_best:
            expected = fitted_attributes(alone) | {"init_losses_": net.init_losses_}
            assert_same(fitted_attributes(net), expected)
    assert first_was_best == {True, False}


@SHORT
@EVERY_MODE
def test_more_starts_are_never_worse_and_the_first_ones_stay(mode, problem):
    X, y = problem()
    losses = [make_net(mode, n_init=n_init).fit(X, y).init_losses_ for n_init in (2, 5)]
    # Two are trained one after the other; of five, small networks online, one in each lane.
    np.testing.assert_allclose(losses[1][:2], losses[0], rtol=1e-12)
    assert len(set(losses[1])) == 5


@SHORT
@EVERY_MODE
@pytest.mark.parametrize("early_stopping", [False, True])
def test_starts_have_the_same_bits_for_any_number_of_threads(mode, early_stopping, problem):
    X, y = problem()
    nets = [
        make_net(mode, n_init=5, n_jobs=n_jobs, early_stopping=early_stopping, max_iter=8).fit(X, y)
        for n_jobs in (None, 1, 2, 4, 9)
    ]
    for net in nets[1:]:
        assert_same(fitted_attributes(net), fitted_attributes(nets[0]))


def _state(random_state):
    name, keys, *rest = random_state.get_state()
    return name, keys.tolist(), *rest


@SHORT
@EVERY_MODE
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_generator_advances_by_the_first_start_alone(mode, early_stopping, problem):
    X, y = problem()
    numpys_state = np.random.get_state()[1].copy()  # noqa: NPY002
    states, losses = [], []
    for n_init in (1, 3):
        generator = np.random.RandomState(7)
        net = make_net(mode, random_state=generator, n_init=n_init, n_jobs=2)
        losses.append(net.set_params(early_stopping=early_stopping).fit(X, y).init_losses_)
        states.append(_state(generator))
    assert states[0] == states[1] != _state(np.random.RandomState(7))
    assert losses[0][0] == losses[1][0]
    by_number = make_net(mode, random_state=7, n_init=3, early_stopping=early_stopping).fit(X, y)
    np.testing.assert_array_equal(by_number.init_losses_, losses[1])
    np.testing.assert_array_equal(np.random.get_state()[1], numpys_state)  # noqa: NPY002


@pytest.fixture
def numpys_own():
    """NumPy's global generator, seeded; its state is put back."""
    generator = np.random.mtrand._rand
    before = generator.get_state()
    generator.seed(3)
    yield generator
    generator.set_state(before)


@SHORT
@EVERY_SOLVER
def test_without_a_seed_numpys_generator_advances_by_the_first_start_alone(
    mode, problem, numpys_own
):
    X, y = problem()
    states, losses = [], []
    for n_init in (1, 3):
        numpys_own.seed(7)
        losses.append(make_net(mode, random_state=None, n_init=n_init).fit(X, y).init_losses_)
        states.append(_state(numpys_own))
    assert states[0] == states[1]
    assert losses[0][0] == losses[1][0]
    again = make_net(mode, random_state=None, n_init=3).fit(X, y)
    assert not set(again.init_losses_) & set(losses[1])


@SHORT
@EVERY_SOLVER
def test_with_a_seed_numpys_generator_is_left_alone(mode, problem, numpys_own):
    X, y = problem()
    before = _state(numpys_own)
    make_net(mode, n_init=3, n_jobs=2).fit(X, y)
    assert _state(numpys_own) == before


@SHORT
@EVERY_MODE
def test_the_best_start_is_that_of_the_best_score(mode, problem, monkeypatch):
    X, y = problem(n_samples=50)
    scores = []  # of each start
    make = training.make_early_stopping

    def noted(*arguments):
        early_stopping, own = make(*arguments), []
        scores.append(own)

        def score(parameters):
            own.append(early_stopping.score(parameters))
            return own[-1]

        return replace(early_stopping, score=score)

    monkeypatch.setattr(training, "make_early_stopping", noted)
    monkeypatch.setattr(side_by_side, "make_early_stopping", noted)
    kept, lowest = [], []
    for seed in SEEDS:
        scores.clear()
        net = make_net(
            mode, random_state=seed, n_init=4, early_stopping=True, learning_rate_init=0.01
        )
        net.fit(X[30:], y[30:], X_val=X[:30], y_val=y[:30])
        best = [max(each) for each in scores]
        assert net.validation_scores_ == scores[np.argmax(best)]
        assert net.best_validation_score_ == max(best)
        assert net.score(X[:30], y[:30]) == pytest.approx(max(best), rel=1e-12)
        assert net.loss_ == net.init_losses_[np.argmax(best)]
        kept.append(np.argmax(best))
        lowest.append(np.argmin(net.init_losses_))
    assert kept != lowest  # or the test could not tell a score from a loss


def _spoil_starts(monkeypatch, spoilt):
    """Make initial weights too large for a finite loss, of starts of some numbers."""
    draw, numbers = Network.initial_parameters, itertools.count()

    def drawn(self, random_state, dtype):
        parameters = draw(self, random_state, dtype)
        return parameters * 1e200 if next(numbers) in spoilt else parameters

    monkeypatch.setattr(Network, "initial_parameters", drawn)


@SHORT
@EVERY_MODE
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_starts_that_diverge_spoil_nothing_while_one_is_left(
    mode, n_jobs, early_stopping, problem, monkeypatch
):
    X, y = problem()
    net = make_net(mode, n_init=4, n_jobs=n_jobs, early_stopping=early_stopping)
    sound = clone(net).fit(X, y)
    _spoil_starts(monkeypatch, {0, 3})
    net.fit(X, y)
    np.testing.assert_array_equal(np.isfinite(net.init_losses_), [False, True, True, False])
    np.testing.assert_array_equal(net.init_losses_[1:3], sound.init_losses_[1:3])
    assert net.loss_ in net.init_losses_[1:3]
    assert np.isfinite(net.predict(X)).all()


@SHORT
@EVERY_MODE
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_where_all_starts_diverge_it_is_an_error_and_the_estimator_stays(
    mode, n_jobs, problem, monkeypatch
):
    X, y = problem()
    net = make_net(mode, n_init=3, n_jobs=n_jobs).fit(X, y)
    before = dict(vars(net))
    _spoil_starts(monkeypatch, range(100))
    for each in (net, clone(net)):
        with pytest.raises(ValueError, match="(non-finite|NaN or infinite).*[sS]cale X and y"):
            each.fit(X, y)
    assert vars(net) == before
    assert not hasattr(each, "n_features_in_")


@SHORT
@pytest.mark.parametrize(("mode", "rate"), [("sgd-16", 0.2), ("sgd-full", 0.2)])
def test_a_rate_at_which_some_starts_diverge(mode, rate, problem):
    X, y = problem()
    parameters = {"activation": "relu", "momentum": 0, "max_iter": 60, "learning_rate_init": rate}
    n_diverged = 0
    for seed in SEEDS:
        alone, net = (make_net(mode, random_state=seed, n_init=n, **parameters) for n in (1, 6))
        try:
            alone.fit(3 * X, 3 * y)
        except ValueError:
            n_diverged += 1
        assert np.isfinite(net.fit(3 * X, 3 * y).predict(X)).all()
        assert net.stop_reason_ != "diverged"
    assert 0 < n_diverged < len(SEEDS)


@SHORT
@EVERY_SOLVER
def test_a_warm_start_goes_on_from_the_weights_that_are_there_alone(mode, problem):
    X, y = problem()
    net = make_net(mode, n_init=4, warm_start=True).fit(X, y)
    assert net.init_losses_.shape == (4,)
    alone = copy.deepcopy(net).set_params(n_init=1).fit(X, y)
    net.fit(X, y)
    assert net.init_losses_.tolist() == [net.loss_]
    assert_same(fitted_attributes(net), fitted_attributes(alone))


@SHORT
@pytest.mark.parametrize("mode", ["adam", "sgd", "lm", "lbfgs"])
def test_starts_in_threads_inside_of_a_grid_search_in_threads(mode, problem):
    X, y = problem()
    grid = {"alpha": [0.01, 1.0], "hidden_layer_sizes": [(3,), (6,)]}
    net = make_net(mode, n_init=3, n_jobs=2, max_iter=5)
    serial = GridSearchCV(net, grid, cv=3).fit(X, y)
    with parallel_config(backend="threading"):
        threaded = GridSearchCV(net, grid, cv=3, n_jobs=2).fit(X, y)
    name = "mean_test_score"
    np.testing.assert_array_equal(threaded.cv_results_[name], serial.cv_results_[name])
    assert threaded.best_params_ == serial.best_params_


def test_starts_that_no_time_was_left_for_are_told(problem):
    X, y = problem(n_samples=500)
    net = BackpropRegressor(solver="lm", activation="tanh", hidden_layer_sizes=(10,), alpha=1.0)
    net.set_params(max_iter=500, random_state=0).fit(X, y)  # compiles, which takes its time
    net.set_params(n_init=500, max_time=0.5)
    with pytest.warns(ConvergenceWarning, match="of 500 starts had converged") as record:
        net.fit(X, y)
    assert [warning.filename for warning in record] == [__file__]
    assert net.stop_reason_ == "gradient_norm"
    assert 1 < len(net.init_losses_) < 500
    assert net.loss_ == np.nanmin(net.init_losses_)


@SHORT
@pytest.mark.parametrize("mode", ["adam", "lbfgs"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_starts_are_drawn_as_they_are_needed(mode, n_jobs, problem):
    """So a fit of as many starts as there is time for can be had."""
    X, y = problem()
    net = make_net(mode, n_init=10**9, n_jobs=n_jobs, max_time=0.2, max_iter=3)
    net.fit(X, y)
    one_by_one = make_net(mode, n_init=2, max_iter=3).fit(X, y)
    np.testing.assert_array_equal(net.init_losses_[:2], one_by_one.init_losses_)
    assert 2 <= len(net.init_losses_) < 10**6
