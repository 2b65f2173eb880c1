"""Which fits are trained in the lanes of a vector on the CPU, and that they end as they should."""

import time

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from fastbp import BackpropClassifier, BackpropRegressor, fit_many
from fastbp.backends.cpu.fleet import Fleet
from fastbp.training.side_by_side import go_side_by_side
from helpers.fits import vector_of
from helpers.guards import NEEDS_A_COMPILER

pytestmark = [
    NEEDS_A_COMPILER,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
ONLINE = {
    "hidden_layer_sizes": (5,),
    "activation": "tanh",
    "batch_size": "online",
    "solver": "sgd",
    "max_iter": 6,
    "random_state": 0,
}


@pytest.fixture
def n_in_lanes(monkeypatch):
    """Count the networks that lanes train."""
    counts = []
    make = Fleet.__init__

    def counted(self, members, *rest):
        counts.append(len(members))
        make(self, members, *rest)

    monkeypatch.setattr(Fleet, "__init__", counted)
    return counts


def _tasks(X, y, grid, n_init=1):
    nets = [BackpropRegressor(**ONLINE | {"n_init": n_init} | each) for each in grid]
    return [net._fit_task(X, y, None) for net in nets]


def test_lanes_are_for_enough_networks_of_a_kind(problem):
    X, y = problem()
    seeds = [{"random_state": seed} for seed in range(6)]
    assert go_side_by_side(_tasks(X, y, seeds)) == [True] * 6
    assert go_side_by_side(_tasks(X, y, seeds[:5])) == [False] * 5
    assert go_side_by_side(_tasks(X, y, [{}], n_init=6)) == [True]
    assert go_side_by_side(_tasks(X, y, [{}], n_init=9)) == [False]  # one in a second vector
    nine = [{"random_state": seed} for seed in range(9)]
    assert go_side_by_side(_tasks(X, y, nine)) == [True] * 8 + [False]
    wide = [each | {"solver": "adam"} for each in seeds]  # gains less, and needs more of them
    assert go_side_by_side(_tasks(X, y, wide)) == [False] * 6
    assert go_side_by_side(_tasks(X, y, [*wide, {"solver": "adam"}])) == [True] * 7
    batches = [each | {"batch_size": 4} for each in nine]
    assert go_side_by_side(_tasks(X, y, batches)) == [True] * 8 + [False]
    assert go_side_by_side(_tasks(X, y, batches[:6])) == [False] * 6
    assert go_side_by_side(_tasks(X, y, [{"batch_size": 9}], n_init=8)) == [False]
    mixed = [*seeds, {"solver": "adam"}, {"batch_size": 8}, {"hidden_layer_sizes": (6,)}]
    assert go_side_by_side(_tasks(X, y, mixed)) == [True] * 6 + [False] * 3
    rates = [
        {"learning_rate_init": rate, "alpha": rate} for rate in (0.05, 0.03, 0.01, 1e-3, 1e-4, 1e-5)
    ]
    assert go_side_by_side(_tasks(X, y, rates)) == [True] * 6
    X32, y32 = problem(dtype=np.float32)
    assert go_side_by_side(_tasks(X32, y32, seeds)) == [False] * 6  # of sixteen lanes
    assert go_side_by_side(_tasks(X32, y32, seeds + seeds)) == [True] * 12


@pytest.mark.parametrize(
    "each",
    [
        {"verbose": True},
        {"record_path": True},
        {"solver": "lbfgs"},
        {"learning_rate": "invscaling", "power_t": -0.5},
        {"alpha": 10.0, "learning_rate_init": 0.1},
        {"random_state": np.random.RandomState(np.random.PCG64(0))},
    ],
)
def test_what_is_looked_at_or_does_not_fit_is_trained_by_itself(each, problem):
    assert go_side_by_side(_tasks(*problem(), [each], n_init=8)) == [False]


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"early_stopping": True},
        {"learning_rate": "adaptive"},
        {"batch_size": 7},
        {"batch_size": 4, "early_stopping": True},
    ],
)
def test_starts_in_lanes_have_the_same_bits_each_time(solver, options, problem, n_in_lanes):
    X, y = problem(n_samples=80)
    fits = [
        BackpropRegressor(
            **ONLINE | {"solver": solver, "max_iter": 40, "n_init": 14, "n_jobs": n_jobs} | options
        ).fit(X, y)
        for n_jobs in (1, 1, 2, 3)
    ]
    assert n_in_lanes == [14] * 4
    for other in fits[1:]:
        np.testing.assert_array_equal(vector_of(other), vector_of(fits[0]))
        np.testing.assert_array_equal(other.init_losses_, fits[0].init_losses_)
        assert other.loss_curve_ == fits[0].loss_curve_
    seed = np.random.RandomState(0)
    alone = BackpropRegressor(**ONLINE | {"solver": solver, "max_iter": 40} | options)
    alone.set_params(random_state=seed).fit(X, y)
    assert fits[0].init_losses_[0] == pytest.approx(alone.loss_, rel=1e-9)


@pytest.mark.parametrize("batch_size", ["online", 2])
def test_folds_of_other_lengths_and_tolerances_end_by_themselves(batch_size, problem, n_in_lanes):
    X, y = problem(n_samples=61)
    grid = [
        {"tol": tol, "learning_rate_init": rate} for tol in (0.01, 1e-9) for rate in (0.001, 0.01)
    ]
    base = BackpropRegressor(
        **ONLINE | {"batch_size": batch_size, "max_iter": 60, "n_iter_no_change": 2}
    )
    splits = list(KFold(4).split(X))
    nets = fit_many(X, y, grid, splits, estimator=base, n_jobs=2)
    assert n_in_lanes == [16]
    n_iter = set()
    for each, of_one in zip(grid, nets, strict=True):
        for (rows, _), net in zip(splits, of_one, strict=True):
            alone = BackpropRegressor(**base.get_params() | each).fit(X[rows], y[rows])
            np.testing.assert_allclose(vector_of(net), vector_of(alone), rtol=1e-8, atol=1e-10)
            assert (net.n_iter_, net.stop_reason_) == (alone.n_iter_, alone.stop_reason_)
            n_iter.add(net.n_iter_)
    assert len(n_iter) > 3


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifiers(n_classes, problem, n_in_lanes):
    X, y = problem(n_samples=60)
    labels = np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes))
    net = BackpropClassifier(**ONLINE | {"n_init": 6, "max_iter": 20}).fit(X, labels)
    assert n_in_lanes == [6]
    alone = BackpropClassifier(**ONLINE | {"max_iter": 20}).fit(X, labels)
    assert net.init_losses_[0] == pytest.approx(alone.loss_, rel=1e-9)
    assert net.loss_ == min(net.init_losses_)


def test_one_that_diverges_is_reported_and_leaves_the_others_alone(problem, n_in_lanes):
    X, y = problem()
    grid = [{"random_state": seed} for seed in range(5)] + [{"learning_rate_init": 1e200}]
    base = BackpropRegressor(**ONLINE | {"activation": "relu", "alpha": 0.0})
    *good, bad = fit_many(X, y, grid, estimator=base, errors="return")
    assert n_in_lanes == [6]
    assert isinstance(bad, ValueError)
    assert "non-finite" in str(bad)
    for each, net in zip(grid, good, strict=False):
        alone = BackpropRegressor(**base.get_params() | each).fit(X, y)
        np.testing.assert_allclose(vector_of(net), vector_of(alone), rtol=1e-9, atol=1e-11)


def test_max_time_ends_them_all(problem, n_in_lanes):
    X, y = problem()
    net = BackpropRegressor(
        **ONLINE | {"n_init": 8, "max_iter": 10**9, "tol": 0.0, "n_iter_no_change": 10**9}
    ).set_params(max_time=0.2)
    since = time.perf_counter()
    with pytest.warns(ConvergenceWarning, match="max_time"):
        net.fit(X, y)
    assert time.perf_counter() - since < 60
    assert n_in_lanes == [8]
    assert net.stop_reason_ == "time"


def test_ctrl_c_between_calls_keeps_the_best_so_far(problem, monkeypatch):
    X, y = problem()
    train, calls = Fleet.epochs, []

    def interrupted(self, plans):
        calls.append(len(plans))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(self, {i: plan._replace(max_epochs=2) for i, plan in plans.items()})

    monkeypatch.setattr(Fleet, "epochs", interrupted)
    net = BackpropRegressor(**ONLINE | {"n_init": 8, "max_iter": 100})
    with pytest.warns(UserWarning, match="interrupted"):
        net.fit(X, y)
    assert net.stop_reason_ == "interrupted"
    assert net.n_iter_ == 4
    assert calls == [8, 8, 8]


class Interrupted(BackpropRegressor):
    """A regressor whose twentieth score is interrupted."""

    n_scores = 0

    @property
    def _score_for_early_stopping(self):
        def score(y, prediction, sample_weight):
            Interrupted.n_scores += 1
            if Interrupted.n_scores == 20:
                raise KeyboardInterrupt
            return r2_score(y, prediction, sample_weight=sample_weight)

        return score


def test_ctrl_c_in_a_score_ends_all_networks_of_the_fleet(n_in_lanes, problem, monkeypatch):
    X, y = problem()
    monkeypatch.setattr(Interrupted, "n_scores", 0)
    many = ONLINE | {"n_init": 8, "max_iter": 1000, "early_stopping": True, "n_iter_no_change": 999}
    with pytest.warns(UserWarning, match="interrupted"):
        net = Interrupted(**many).fit(X, y)
    assert n_in_lanes == [8]
    assert net.stop_reason_ == "interrupted"
    assert 20 <= Interrupted.n_scores < 40
