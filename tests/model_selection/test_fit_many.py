"""`fit_many` on the CPU: each network is what fitting it alone gives, mostly to the last bit."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, KFold, ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp.model_selection.fit_many
from fastbp import BackpropRegressor, fit_many

SHORT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
BASE = BackpropRegressor(
    hidden_layer_sizes=(7,), activation="tanh", max_iter=8, batch_size=16, random_state=3
)
GRIDS = {
    "sgd": [
        {"solver": "sgd", "momentum": momentum, "learning_rate": rate}
        for momentum in (0.0, 0.9)
        for rate in ("constant", "adaptive", "invscaling")
    ],
    "adam": ParameterGrid({"alpha": [0, 1.0], "hidden_layer_sizes": [(5,), (4, 3), ()]}),
    "online": [
        {"batch_size": "online", "solver": solver, "shuffle": shuffle}
        for solver in ("sgd", "adam")
        for shuffle in (True, False)
    ],
    "batch solvers": ParameterGrid({"solver": ["lbfgs", "cg", "gd", "rprop", "lm"]}),
    "bayesian": [{"solver": "lm", "alpha": "bayes"}, {"solver": "lm", "alpha": 0.1}],
    "starts": [{"n_init": 3}, {"n_init": 2, "solver": "lbfgs"}, {}],
    "early stopping": [
        {"early_stopping": criterion, "solver": solver, "validation_fraction": 0.3}
        for criterion in (True, "GL5")
        for solver in ("adam", "lbfgs", "cg")
    ],
    "seeds": [{"random_state": seed} for seed in (0, 1, 2)],
}
EVERY_GRID = pytest.mark.parametrize("name", GRIDS)


def _bits(net):
    return b"".join(array.tobytes() for array in (*net.coefs_, *net.intercepts_))


def _assert_same(net, alone):
    assert _bits(net) == _bits(alone)
    assert net.get_params().keys() == alone.get_params().keys()
    different = {
        name
        for name in {*vars(net), *vars(alone)} - set(net.get_params())
        if not name.startswith("_") and name != "time_curve_"
        if pickle.dumps(getattr(net, name)) != pickle.dumps(getattr(alone, name))
    }
    assert not different


def _assert_close(net, alone):
    """As networks that are trained in the lanes of a vector are, which round in another order."""
    for a, b in zip(net.coefs_ + net.intercepts_, alone.coefs_ + alone.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(net.loss_curve_, alone.loss_curve_, rtol=1e-10)
    np.testing.assert_allclose(net.gradient_norm_, alone.gradient_norm_, rtol=1e-8)
    names = ("n_iter_", "n_fun_", "t_", "stop_reason_", "_no_improvement_count")
    for name in names:
        assert getattr(net, name, None) == getattr(alone, name, None)


#: The grids whose networks are trained in lanes.
IN_LANES = {"online": _assert_close}


def _alone(grid, X, y, folds, base=BASE, weights=None):
    """Fit each by itself."""
    fitted = []
    for each in grid:
        for fold in folds:
            net = clone(base).set_params(**each)
            w = None if weights is None else weights[fold]
            fitted.append(net.fit(X[fold], y[fold], w))
    return fitted


def _flat(nets):
    return [net for of_one in nets for net in of_one]


def _folds(n=60):
    return [train for train, _ in KFold(3).split(np.zeros(n))]


# Each is what it is alone.


@SHORT
def test_what_is_set_beside_the_parameters_comes_along(problem):
    X, y = problem()
    with config_context(enable_metadata_routing=True):
        base = clone(BASE).set_fit_request(sample_weight=True)
        (net,) = fit_many(X, y, [{"max_iter": 9}], estimator=base)
        requests = net.get_metadata_routing().fit.requests
    assert requests["sample_weight"] is True
    assert base.max_iter == 8


@EVERY_GRID
@pytest.mark.parametrize("n_jobs", [None, 2])
@SHORT
def test_each_network_is_what_it_is_alone(name, n_jobs, problem):
    X, y = problem()
    grid, folds = GRIDS[name], _folds()
    nets = fit_many(X, y, grid, folds, estimator=BASE, n_jobs=n_jobs)
    assert [len(of_one) for of_one in nets] == [3] * len(grid)
    check = IN_LANES.get(name, _assert_same)
    for net, alone in zip(_flat(nets), _alone(grid, X, y, folds), strict=True):
        check(net, alone)


@EVERY_GRID
@SHORT
def test_without_folds_each_is_fitted_to_all_rows(name, problem):
    X, y = problem()
    nets = fit_many(X, y, GRIDS[name], estimator=BASE)
    for net, alone in zip(nets, _alone(GRIDS[name], X, y, [slice(None)]), strict=True):
        _assert_same(net, alone)


@SHORT
def test_without_an_estimator_it_is_the_default_one(problem):
    X, y = problem()
    (net,) = fit_many(X, y, [{"max_iter": 3, "random_state": 0}])
    _assert_same(net, BackpropRegressor(max_iter=3, random_state=0).fit(X, y))


@pytest.mark.parametrize("kind", ["index", "bool", "list", "bool list", "repeated", "unsorted"])
@SHORT
def test_folds_are_row_numbers_or_masks(kind, problem, rng):
    X, y = problem()
    rows = [np.arange(0, 40), np.arange(10, 60)]
    masks = [np.isin(np.arange(60), fold) for fold in rows]
    folds = {
        "index": rows,
        "bool": masks,
        "list": [fold.tolist() for fold in rows],
        "bool list": [mask.tolist() for mask in masks],
        "repeated": [rng.integers(0, 60, 50) for _ in rows],
        "unsorted": [rng.permutation(fold) for fold in rows],
    }[kind]
    nets = fit_many(X, y, [{}, {"alpha": 1}], iter(folds), estimator=BASE)
    alone = _alone([{}, {"alpha": 1}], X, y, [np.asarray(fold) for fold in folds])
    for net, expected in zip(_flat(nets), alone, strict=True):
        _assert_same(net, expected)


@pytest.mark.parametrize(
    "folds",
    [
        KFold(3),
        KFold(3).split(np.zeros(60)),
        list(KFold(3).split(np.zeros(60))),
        [[train.tolist(), test.tolist()] for train, test in KFold(3).split(np.zeros(60))],
    ],
    ids=["splitter", "generator", "pairs", "lists"],
)
@SHORT
def test_folds_may_be_a_splitter_or_its_pairs(folds, problem):
    X, y = problem()
    (nets,) = fit_many(X, y, [{}], folds, estimator=BASE)
    for net, alone in zip(nets, _alone([{}], X, y, _folds()), strict=True):
        _assert_same(net, alone)


@SHORT
def test_a_fold_of_two_rows_is_no_pair(problem):
    X, y = problem()
    net = clone(BASE).set_params(batch_size=1)
    ((found,),) = fit_many(X, y, [{}], [(3, 7)], estimator=net)
    assert _bits(found) == _bits(clone(net).fit(X[[3, 7]], y[[3, 7]]))


@pytest.mark.parametrize(
    ("folds", "error", "message"),
    [
        (3, TypeError, "folds=3 is neither a splitter nor a list of rows.*KFold"),
        ("all", TypeError, "folds='all' is neither"),
        (KFold(61), ValueError, r"folds=KFold\(n_splits=61.* cannot split these rows"),
        (GroupKFold(3), ValueError, "folds=GroupKFold.*groups"),
        ([np.arange(9), []], ValueError, r"folds\[1\] has no rows"),
        ([(np.arange(9), [1]), ([], [1])], ValueError, r"folds\[1\]\[0\] has no rows"),
        ([np.zeros(60, dtype=bool)], ValueError, r"folds\[0\] has no rows"),
        ([np.ones(9, dtype=bool)], ValueError, r"folds\[0\] is a mask of 9 rows, but X has 60"),
        ([np.arange(61)], ValueError, r"folds\[0\] asks for row 60, but X has 60 rows"),
        ([[-61, 0, 1]], ValueError, r"folds\[0\] asks for row -61"),
        ([[0.5, 1.0]], ValueError, r"folds\[0\] has dtype float64"),
        ([["a", "b"]], ValueError, r"folds\[0\] has dtype"),
        (range(60), ValueError, r"folds\[0\] has shape \(\).*folds=\[rows\]"),
        ([np.zeros((2, 9), dtype=int)], ValueError, r"folds\[0\] has shape \(2, 9\)"),
    ],
)
def test_what_are_no_folds_is_named(folds, error, message, problem):
    with pytest.raises(error, match=message):
        fit_many(*problem(), [{}], folds, estimator=BASE)


@pytest.mark.parametrize(
    "estimator", [make_pipeline(StandardScaler(), BASE), BackpropRegressor, Ridge(), "adam"]
)
def test_another_estimator_is_named(estimator, problem):
    with pytest.raises(TypeError, match="estimator is .*BackpropRegressor.*BackpropSearchCV"):
        fit_many(*problem(), [{}], estimator=estimator)


def test_a_single_dict_of_parameters_is_refused(problem):
    with pytest.raises(TypeError, match=r"parameters is a dict.*a list of them.*ParameterGrid"):
        fit_many(*problem(), {"alpha": [0.1, 1.0]}, estimator=BASE)


@pytest.mark.parametrize("n_jobs", [1, 2])
@SHORT
def test_sample_weights_go_with_their_rows(n_jobs, problem, rng):
    X, y = problem()
    weights = rng.uniform(0, 2, 60) * (np.arange(60) % 5 > 0)
    grid = [{}, {"solver": "lbfgs"}, {"batch_size": 1}, {"early_stopping": True}]
    nets = fit_many(X, y, grid, _folds(), estimator=BASE, sample_weight=weights, n_jobs=n_jobs)
    for net, alone in zip(_flat(nets), _alone(grid, X, y, _folds(), weights=weights), strict=True):
        _assert_same(net, alone)
    unweighted = fit_many(X, y, grid, _folds(), estimator=BASE)
    assert _bits(_flat(nets)[0]) != _bits(_flat(unweighted)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("is_sparse", [False, True])
@SHORT
def test_any_table_a_fit_takes(dtype, n_outputs, is_sparse, problem):
    X, y = problem(dtype=dtype, n_outputs=n_outputs)
    X = sparse.csr_matrix(np.where(X > 0, X, 0)) if is_sparse else X
    grid = [{}, {"solver": "lbfgs"}, {"batch_size": 1}]
    nets = _flat(fit_many(X, y, grid, _folds(), estimator=BASE))
    for net, alone in zip(nets, _alone(grid, X, y, _folds()), strict=True):
        assert net.coefs_[0].dtype == dtype
        assert net.n_outputs_ == n_outputs
        _assert_same(net, alone)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil"])
@pytest.mark.parametrize("with_folds", [False, True])
@SHORT
def test_any_sparse_format(form, with_folds, problem):
    X, y = problem()
    X = sparse.csr_array(np.where(X > 0, X, 0))
    folds = _folds() if with_folds else None
    nets = fit_many(X.asformat(form), y, [{}], folds, estimator=BASE)
    alone = _alone([{}], X, y, folds or [slice(None)])
    for net, expected in zip(_flat(nets) if with_folds else nets, alone, strict=True):
        _assert_same(net, expected)


@SHORT
def test_tables_of_pandas_keep_their_names(problem):
    X, y = problem()
    table, target = pd.DataFrame(X, columns=list("abcde")), pd.Series(y, index=range(100, 160))
    table.index = target.index
    weights = pd.Series(np.linspace(0.1, 1, 60), index=target.index)
    nets = fit_many(table, target, [{}], _folds(), estimator=BASE, sample_weight=weights)
    alone = _alone([{}], X, y, _folds(), weights=weights.to_numpy())
    for net, expected in zip(_flat(nets), alone, strict=True):
        assert _bits(net) == _bits(expected)
        assert list(net.feature_names_in_) == list("abcde")
        net.predict(table)
        with pytest.raises(ValueError, match="feature names"):
            net.predict(table[table.columns[::-1]])


@SHORT
def test_lists_are_tables(problem):
    X, y = problem()
    nets = fit_many(X.tolist(), y.tolist(), [{}], [[0, 2, 5, 7, 8, 9] * 4], estimator=BASE)
    (alone,) = _alone([{}], X, y, [[0, 2, 5, 7, 8, 9] * 4])
    _assert_same(nets[0][0], alone)


@pytest.mark.parametrize("n_jobs", [1, 2])
@SHORT
def test_without_a_seed_each_is_another_network(n_jobs, problem):
    X, y = problem()
    base = clone(BASE).set_params(random_state=None)
    nets = fit_many(X, y, [{}] * 4, estimator=base, n_jobs=n_jobs)
    assert len({_bits(net) for net in nets}) == 4
    assert all(np.isfinite(net.loss_) and net.n_iter_ == 8 for net in nets)


@SHORT
def test_the_fitted_networks_are_estimators_like_others(problem):
    X, y = problem()
    net, other = fit_many(X, y, [{"warm_start": True}, {}], estimator=BASE)
    alone = clone(BASE).set_params(warm_start=True).fit(X, y)
    for each in (net, alone):
        each.fit(X, y).partial_fit(X, y)
        each.learn_one(X[0], y[0])
    _assert_same(net, alone)
    assert _bits(pickle.loads(pickle.dumps(other))) == _bits(other)
    assert not any(np.shares_memory(a, b) for a, b in zip(net.coefs_, other.coefs_, strict=True))


# None, one and many.


def test_no_parameters_are_no_networks(problem):
    assert fit_many(*problem(), []) == []
    assert fit_many(*problem(), [], _folds()) == []
    assert fit_many(*problem(), iter(()), n_jobs=2) == []


def test_no_folds_are_no_networks_for_each_of_the_parameters(problem):
    assert fit_many(*problem(), [{}, {"alpha": 1}], []) == [[], []]


@SHORT
def test_parameters_may_be_any_iterable(problem):
    X, y = problem()
    nets = fit_many(X, y, ({"alpha": alpha} for alpha in (0, 1, 2)), estimator=BASE)
    assert [net.alpha for net in nets] == [0, 1, 2]


# What is left alone.


@SHORT
def test_nothing_given_is_written_to(problem):
    X, y = problem()
    weights = np.linspace(0.1, 1, 60)
    grid = [{"hidden_layer_sizes": [3, 2]}, {"solver": "lbfgs"}, {"batch_size": 1}]
    folds = _folds()
    base = clone(BASE)
    base.random_state = np.random.RandomState(0)
    arrays = [X, y, weights, *folds]
    for array in arrays:
        array.flags.writeable = False
    before = pickle.dumps((arrays, grid, base.__dict__))
    for n_jobs in (1, 2):
        fit_many(X, y, grid, folds, estimator=base, sample_weight=weights, n_jobs=n_jobs)
        fit_many(X, y, grid, estimator=base, sample_weight=weights, n_jobs=n_jobs)
    assert pickle.dumps((arrays, grid, base.__dict__)) == before


@SHORT
def test_a_fitted_estimator_stays_as_it_was(problem):
    X, y = problem()
    base = clone(BASE).set_params(warm_start=True).fit(X, y)
    before = pickle.dumps(base.__dict__)
    (net,) = fit_many(X, y, [{}], estimator=base)
    assert pickle.dumps(base.__dict__) == before
    assert _bits(net) == _bits(base)  # begun anew, not gone on


@pytest.mark.parametrize("n_jobs", [1, 2])
@SHORT
def test_numpys_generator_is_used_only_where_there_is_no_seed(n_jobs, problem):
    X, y = problem()
    before = np.random.get_state()  # noqa: NPY002
    fit_many(X, y, GRIDS["starts"], estimator=BASE, n_jobs=n_jobs)
    assert pickle.dumps(np.random.get_state()) == pickle.dumps(before)  # noqa: NPY002


# Errors.

DIVERGING = {"solver": "sgd", "learning_rate_init": 1e6}
BAD = {
    "diverging": (DIVERGING, ValueError, "non-finite parameter weights"),
    "wrong value": ({"batch_size": -3}, ValueError, "'batch_size' parameter"),
    "wrong name": ({"n_hidden": 3}, ValueError, "Invalid parameter 'n_hidden'"),
    "wrong together": ({"alpha": "bayes"}, ValueError, "alpha='bayes' is found by solver='lm'"),
    "wrong layers": ({"hidden_layer_sizes": (0,)}, ValueError, "hidden_layer_sizes must be > 0"),
    "too large": (
        {"hidden_layer_sizes": (5000,), "solver": "bfgs"}, ValueError, "35001 x 35001",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("n_jobs", [1, 2])
@SHORT
def test_the_first_error_is_raised(name, n_jobs, problem):
    parameters, kind, message = BAD[name]
    X, y = problem()
    with pytest.raises(kind, match=message):
        fit_many(X, y, [{}, parameters, {}], _folds(), estimator=BASE, n_jobs=n_jobs)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("n_jobs", [1, 2])
@SHORT
def test_each_error_is_returned_in_its_networks_place(name, n_jobs, problem):
    parameters, kind, message = BAD[name]
    X, y = problem()
    grid = [{}, parameters, {"alpha": 1}]
    nets = fit_many(X, y, grid, _folds(), estimator=BASE, n_jobs=n_jobs, errors="return")
    assert [len(of_one) for of_one in nets] == [3, 3, 3]
    for error in nets[1]:
        assert isinstance(error, kind)
        assert re.search(message, str(error))
        with pytest.raises(kind, match=message):
            clone(BASE).set_params(**parameters).fit(X, y)
    alone = _alone([grid[0], grid[2]], X, y, _folds())
    for net, expected in zip(nets[0] + nets[2], alone, strict=True):
        _assert_same(net, expected)


@SHORT
def test_wrong_data_of_one_fold_are_that_folds_error(problem):
    X, y = problem()
    X[5, 2], y[50] = np.nan, np.inf
    folds = [np.arange(20), np.arange(20, 40), np.arange(40, 60), [7]]
    (nets,) = fit_many(X, y, [{}], folds, estimator=BASE, errors="return")
    assert re.search("X contains NaN in column 2", str(nets[0]))
    assert "y[10] is infinity" in str(nets[2])
    _assert_same(nets[1], clone(BASE).fit(X[20:40], y[20:40]))
    assert not isinstance(nets[3], BackpropRegressor) or nets[3].n_iter_ > 0
    with pytest.raises(ValueError, match="X contains NaN in column 2"):
        fit_many(X, y, [{}], folds, estimator=BASE)


@pytest.mark.parametrize("errors", ["raise", "return"])
def test_tables_of_other_lengths_are_refused(errors, problem):
    X, y = problem()
    for arguments in ({"y": y[:-1]}, {"sample_weight": np.ones(59)}, {"X": X[:-1]}):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            fit_many(**{"X": X, "y": y, "parameters": [{}], "errors": errors} | arguments)


@pytest.mark.parametrize("fold", [[60], [-61], np.ones(59, bool)])
def test_rows_that_are_not_there_are_refused(fold, problem):
    with pytest.raises((IndexError, ValueError)):
        fit_many(*problem(), [{}], [fold])


@pytest.mark.parametrize("errors", ["ignore", None, True])
def test_what_to_do_with_errors_is_one_of_two(errors, problem):
    with pytest.raises(ValueError, match="neither 'raise' nor 'return'"):
        fit_many(*problem(), [{}], errors=errors)


@SHORT
def test_a_gpu_that_is_missing_is_the_error_of_those_that_want_it(problem, monkeypatch):
    monkeypatch.setattr("fastbp.backends.device.why_no_gpu", lambda: "there is none")
    X, y = problem()
    grid = [{"device": "cuda"}, {"device": "auto"}, {"device": "cuda", "solver": "lbfgs"}, {}]
    nets = fit_many(X, y, grid, estimator=BASE, errors="return")
    for i in (0, 2):
        assert isinstance(nets[i], RuntimeError)
        assert "there is none" in str(nets[i])
    assert _bits(nets[1]) == _bits(nets[3])
    with pytest.raises(RuntimeError, match="there is none"):
        fit_many(X, y, grid, estimator=BASE)


# Warnings.


def _warnings_of(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [(each.category, str(each.message)) for each in caught]


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(
    ("parameters", "category"),
    [
        ({}, ConvergenceWarning),
        ({"solver": "lbfgs", "max_iter": 2}, ConvergenceWarning),
        ({"batch_size": 1000}, UserWarning),
        ({"tol": 100.0, "max_iter": 100}, None),
    ],
    ids=str,
)
def test_the_warnings_are_those_of_a_fit(n_jobs, parameters, category, problem):
    X, y = problem()
    alone = _warnings_of(lambda: clone(BASE).set_params(**parameters).fit(X, y))
    assert any(each is category for each, _ in alone) == (category is not None)
    grid = [parameters, parameters]
    together = _warnings_of(lambda: fit_many(X, y, grid, estimator=BASE, n_jobs=n_jobs))
    assert sorted(together, key=str) == sorted(alone * 2, key=str)


def test_a_column_of_targets_is_warned_of_as_in_a_fit(problem):
    X, y = problem()
    caught = _warnings_of(lambda: fit_many(X, y[:, None], [{}], estimator=BASE))
    assert DataConversionWarning in [category for category, _ in caught]


@pytest.mark.parametrize("parameters", [{}, {"max_time": 0, "n_init": 2}], ids=str)
def test_a_warning_points_at_the_users_call(parameters, problem):
    X, y = problem()
    with pytest.warns(ConvergenceWarning) as caught:
        fit_many(X, y, [parameters], estimator=BASE)
    assert {each.filename for each in caught} == {__file__}


def test_warnings_made_errors_are_errors_like_others(problem):
    X, y = problem()
    with pytest.raises(ConvergenceWarning):
        fit_many(X, y, [{}], estimator=BASE)
    (error,) = fit_many(X, y, [{}], estimator=BASE, errors="return")
    assert isinstance(error, ConvergenceWarning)


# Ctrl-C.


@pytest.mark.parametrize("n_starts", [1, 3])
def test_after_ctrl_c_no_other_network_is_begun(n_starts, problem, monkeypatch):
    """A solver keeps Ctrl-C to itself and hands back what it has: what is left is not trained."""
    begun, fit_starts = [], fastbp.model_selection.fit_many.fit_starts

    def interrupted(task, clock, n_jobs):
        begun.append(task)
        results = fit_starts(task, clock, n_jobs)
        clock.interrupted.set()
        return results

    monkeypatch.setattr(fastbp.model_selection.fit_many, "fit_starts", interrupted)
    X, y = problem()
    with pytest.raises(KeyboardInterrupt):
        fit_many(X, y, [{"n_init": n_starts}] * 5, estimator=BASE)
    assert len(begun) == 1


@pytest.mark.subprocess
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_ends_all_of_it_soon(n_jobs, python):
    """Those in other threads too: each would take hours."""
    code = f"""
import os, signal, threading, time
import numpy as np
from fastbp import BackpropRegressor, fit_many
X = np.random.RandomState(0).standard_normal((2000, 5)); y = np.tanh(X.sum(axis=1))
net = BackpropRegressor("squared_error", (8,), tol=0, n_iter_no_change=10**9, max_time=9)
fit_many(X, y, [{{"max_iter": 1, "tol": 1e9, "n_iter_no_change": 1}}], estimator=net,
         errors="return")
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
timer = threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT))
timer.start()
since = time.monotonic()
try:
    fit_many(X, y, [{{"max_iter": 10**8}}] * 3, estimator=net, n_jobs={n_jobs})
    print("not interrupted", flush=True)
except KeyboardInterrupt:
    print(time.monotonic() - since, flush=True)
os._exit(0)
"""
    assert 0.5 < float(python(code, timeout=200)) < 6
