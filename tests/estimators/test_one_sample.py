"""`predict_one` is `predict`, and `learn_one` is `partial_fit`, for one row."""

import copy
import datetime
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastbp import BackpropRegressor
from fastbp.backends.cpu.layout import pad
from helpers.guards import DTYPES, NEEDS_A_COMPILER

pytestmark = [
    NEEDS_A_COMPILER,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

SOLVERS = {
    "plain": {"solver": "sgd", "momentum": 0},
    "plain-without-decay": {"solver": "sgd", "momentum": 0, "alpha": 0},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "nesterov": {"solver": "sgd"},
    "adam": {"solver": "adam"},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
    "adam-invscaling": {"solver": "adam", "learning_rate": "invscaling"},  # which Adam ignores
}
EVERY_SOLVER = pytest.mark.parametrize("solver", SOLVERS)
DEPTHS = pytest.mark.parametrize("hidden", [(), (6,), (9, 4), (17, 5, 8)], ids=str)


def _net(solver="plain", **parameters):
    defaults = {
        "hidden_layer_sizes": (6,),
        "activation": "tanh",
        "batch_size": 1,
        "max_iter": 3,
        "random_state": 0,
        "learning_rate_init": 0.01,
    }
    return BackpropRegressor("squared_error", **defaults | SOLVERS[solver] | parameters)


def _assert_same(a, b):
    for name in ("coefs_", "intercepts_"):
        for x, y in zip(getattr(a, name), getattr(b, name), strict=True):
            np.testing.assert_array_equal(x, y)
    assert a.t_ == b.t_
    assert a.loss_ == b.loss_


def _learn_both_ways(one, table, X, y):
    """Teach one estimator by `learn_one` and another by `partial_fit`, comparing at each row."""
    for x, target in zip(X, y, strict=True):
        assert one.learn_one(x, target) is one
        table.partial_fit(x[np.newaxis], target[np.newaxis])
        _assert_same(one, table)


@pytest.fixture
def snapshot():
    """Describe all that learning changes; a copy, so that it stays."""

    def describe(net):
        training = copy.deepcopy(net)._state  # with the moments as they are now
        return [
            *(array.copy() for array in net.coefs_ + net.intercepts_),
            training.moments.first,
            training.moments.second,
            np.array([training.moments.n_steps, net.t_, net.loss_, net.n_iter_]),
            np.array(net.loss_curve_),
        ]

    return describe


def _unchanged(before, after):
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


@DEPTHS
@DTYPES
@pytest.mark.parametrize("n_outputs", [1, 3, 17])
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_predict_one_is_predict(activation, n_outputs, dtype, hidden, problem):
    X, y = problem(n_outputs=n_outputs, dtype=dtype)
    net = _net(hidden_layer_sizes=hidden, activation=activation).fit(X, y)
    expected = net.predict(X)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    for x, prediction in zip(X, expected, strict=True):
        got = net.predict_one(x)
        if n_outputs == 1:
            assert type(got) is float
        else:
            assert got.shape == (n_outputs,)
            assert got.dtype == dtype
        np.testing.assert_allclose(got, prediction, rtol=0, atol=tolerance * np.abs(expected).max())
        np.testing.assert_array_equal(net.predict_one(x.tolist()), got)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_predict_one_of_any_solver_and_loss(loss, problem):
    X, y = problem(positive=True)
    for solver in ("sgd", "adam", "lbfgs"):
        net = _net(solver="plain", hidden_layer_sizes=(4,)).set_params(solver=solver, loss=loss)
        net.fit(X, y)
        got = [net.predict_one(x) for x in X]
        np.testing.assert_allclose(got, net.predict(X), rtol=1e-12)


def test_predictions_do_not_change_what_was_predicted_before(problem):
    X, y = problem(n_outputs=3)
    net = _net().fit(X, y)
    first = net.predict_one(X[0])
    kept = first.copy()
    net.predict_one(X[1])
    np.testing.assert_array_equal(first, kept)


@EVERY_SOLVER
@DTYPES
@pytest.mark.parametrize("hidden", [(), (6,), (9, 4)], ids=str)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_learn_one_is_partial_fit(n_outputs, hidden, dtype, solver, problem):
    X, y = problem(n_outputs=n_outputs, dtype=dtype)
    one, table = (_net(solver, hidden_layer_sizes=hidden).fit(X, y) for _ in range(2))
    history = one.loss_curve_.copy()
    _learn_both_ways(one, table, X[:12], y[:12])
    assert one.loss_curve_ == history
    assert one.n_iter_ == 3
    np.testing.assert_array_equal(one.predict(X), table.predict(X))
    # The moments too, which the next steps show.
    one.partial_fit(X, y)
    table.partial_fit(X, y)
    np.testing.assert_array_equal(one.coefs_[0], table.coefs_[0])


@EVERY_SOLVER
def test_learn_one_between_partial_fits(solver, problem):
    X, y = problem()
    one, table = (_net(solver).fit(X, y) for _ in range(2))
    for _ in range(3):
        _learn_both_ways(one, table, X[:5], y[:5])
        for net in (one, table):
            net.partial_fit(X[5:20], y[5:20])
        np.testing.assert_array_equal(one.coefs_[0], table.coefs_[0])
        one.predict_one(X[0])


@EVERY_SOLVER
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_learn_one_begins_where_nothing_is_fitted(n_outputs, solver, problem):
    X, y = problem(n_outputs=n_outputs)
    one, table = _net(solver), _net(solver)
    _learn_both_ways(one, table, X[:10], y[:10])
    np.testing.assert_array_equal(one.predict(X), table.predict(X))


@EVERY_SOLVER
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["deepcopy", "copy", "pickle"],
)
def test_copies_go_on_with_the_moments_and_by_themselves(copied, solver, problem):
    X, y = problem()
    one, table = (_net(solver).fit(X, y) for _ in range(2))
    _learn_both_ways(one, table, X[:5], y[:5])
    other = copied(one)
    _assert_same(other, one)
    other_table = copy.deepcopy(table)
    _learn_both_ways(one, table, X[5:9], y[5:9])
    _learn_both_ways(other, other_table, X[9:14], y[9:14])
    assert not np.array_equal(one.coefs_[0], other.coefs_[0])
    _assert_same(one, table)
    assert other.predict_one(X[0]) == pytest.approx(other.predict(X[:1])[0], rel=1e-12)


def test_coefs_are_changed_in_place(problem):
    X, y = problem()
    net = _net().fit(X, y)
    arrays = net.coefs_ + net.intercepts_
    before = [array.copy() for array in arrays]
    net.learn_one(X[0], y[0])
    assert all(a is b for a, b in zip(arrays, net.coefs_ + net.intercepts_, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


@DEPTHS
def test_edited_and_assigned_weights_are_what_is_used(hidden, problem):
    X, y = problem()
    one, table = (_net("nesterov", hidden_layer_sizes=hidden).fit(X, y) for _ in range(2))
    one.predict_one(X[0])
    one.learn_one(X[0], y[0])
    table.partial_fit(X[:1], y[:1])
    changes = [
        lambda net: net.coefs_[0].__setitem__(..., 0.5 * net.coefs_[0]),
        lambda net: net.intercepts_[-1].__setitem__(0, 7.0),
        lambda net: net.coefs_.__setitem__(0, 0.5 * net.coefs_[0]),
        lambda net: net.intercepts_.__setitem__(-1, np.array([-3.0])),
        lambda net: setattr(net, "coefs_", [2 * coef for coef in net.coefs_]),
        lambda net: net.coefs_[-1].__setitem__((0, 0), 1.5),
    ]
    for change in changes:
        before = one.predict_one(X[1])
        for net in (one, table):
            change(net)
        assert one.predict_one(X[1]) != before
        assert one.predict_one(X[1]) == pytest.approx(one.predict(X[1:2])[0], rel=1e-12)
        assert one.predict_one(X[1]) == pytest.approx(table.predict(X[1:2])[0], rel=1e-12)
        _learn_both_ways(one, table, X[2:4], y[2:4])
        assert one.predict_one(X[1]) == pytest.approx(table.predict(X[1:2])[0], rel=1e-12)


def test_assigned_weights_of_a_wrong_shape_are_an_error(problem):
    X, y = problem()
    net = _net().fit(X, y)
    net.coefs_[0] = np.ones((2, 2))
    for call in (lambda: net.predict_one(X[0]), lambda: net.learn_one(X[0], y[0])):
        with pytest.raises(ValueError, match=r"coefs_\[0\] has shape \(2, 2\)"):
            call()


BAD_X = {
    "NaN": lambda x: np.r_[np.nan, x[1:]],
    "infinite": lambda x: np.r_[np.inf, x[1:]],
    "minus-infinite": lambda x: np.r_[x[:-1], -np.inf],
    "too-few": lambda x: x[1:],
    "too-many": lambda x: np.r_[x, 1.0],
    "a-table": lambda x: x[np.newaxis],
    "two-rows": lambda x: np.array([x, x]),
    "a-number": lambda x: x[0],
    "words": lambda x: ["a"] * len(x),
    "dates": lambda x: np.zeros(len(x), dtype="M8[D]"),
    "time-spans": lambda x: np.zeros(len(x), dtype="m8[s]"),
    "dates-among-objects": lambda x: [*x[1:], datetime.date(2020, 1, 1)],
    "masked": lambda x: np.ma.masked_array(x, mask=np.arange(len(x)) == 1),
    "complex": lambda x: x + 0j,
}
BAD_Y = {
    "NaN": np.nan,
    "infinite": -np.inf,
    "too-many": [1.0, 2.0],
    "a-table": [[1.0]],
    "none": [],
    "None": None,
    "a-date": np.datetime64("2020-01-01"),
    "a-date-object": datetime.date(2020, 1, 1),
    "masked": np.ma.masked,
    "masked-array": np.ma.masked_array([1.0], mask=[True]),
    "complex": 1j,
}


@pytest.mark.parametrize("activation", ["tanh", "logistic", "relu", "softplus"])
@pytest.mark.parametrize("bad", BAD_X)
def test_a_bad_sample_is_an_error_and_changes_nothing(bad, activation, problem, snapshot):
    X, y = problem()
    net = _net("nesterov", activation=activation).fit(X, y)
    for _ in range(2):  # before the first update, and after one
        before = snapshot(net)
        with pytest.raises(ValueError):
            net.predict_one(BAD_X[bad](X[0]))
        with pytest.raises(ValueError):
            net.learn_one(BAD_X[bad](X[0]), y[0])
        _unchanged(before, snapshot(net))
        net.learn_one(X[0], y[0])


@pytest.mark.parametrize("bad", BAD_Y)
def test_a_bad_target_is_an_error_and_changes_nothing(bad, problem, snapshot):
    X, y = problem()
    net = _net("adam").fit(X, y)
    for _ in range(2):
        before = snapshot(net)
        with pytest.raises(ValueError):
            net.learn_one(X[0], BAD_Y[bad])
        _unchanged(before, snapshot(net))
        net.learn_one(X[0], y[0])


@pytest.mark.parametrize("bad", ["NaN", "two-rows", "words", "dates", "masked", "complex"])
def test_a_bad_first_sample_leaves_the_estimator_unfitted(bad, problem):
    X, y = problem()
    net = _net()
    with pytest.raises(ValueError):
        net.learn_one(BAD_X[bad](X[0]), y[0])
    assert not hasattr(net, "coefs_")


def test_a_refused_sample_is_named(problem):
    X, y = problem()
    net = _net(activation="relu").fit(X, y)
    with pytest.raises(ValueError, match=r"x\[2\] is nan"):
        net.predict_one([0, 0, np.nan, 0, 0])
    with pytest.raises(ValueError, match=r"x\[2\] is nan"):
        net.learn_one([0, 0, np.nan, 0, 0], 1.0)
    with pytest.raises(ValueError, match=r"y\[0\] is inf"):
        net.learn_one(X[0], np.inf)
    with pytest.raises(ValueError, match=r"x has shape \(2,\), but one sample .* \(5,\)"):
        net.learn_one([0, 0], 1.0)
    for bad, said in (
        ("dates", "x holds dates"),
        ("dates-among-objects", "x holds dates"),
        ("masked", "x is a masked array"),
        ("complex", "x holds complex numbers"),
        ("words", r"x\[0\] is 'a'"),
    ):
        for call in (net.predict_one, lambda x: net.learn_one(x, 1.0)):
            with pytest.raises(ValueError, match=said):
                call(BAD_X[bad](X[0]))


@pytest.mark.parametrize("solver", ["plain", "nesterov", "adam"])
def test_a_changed_rate_takes_effect(solver, problem):
    X, y = problem()
    one, table = (_net(solver).fit(X, y) for _ in range(2))
    _learn_both_ways(one, table, X[:4], y[:4])
    for net in (one, table):
        net.set_params(learning_rate_init=0.1, alpha=0.5)
    _learn_both_ways(one, table, X[4:8], y[4:8])
    if solver != "nesterov":  # whose velocity goes on for a while
        before = one.coefs_[0].copy()
        one.set_params(learning_rate_init=1e-13).learn_one(X[8], y[8])
        np.testing.assert_allclose(one.coefs_[0], before, atol=1e-9)


@pytest.mark.parametrize(("before", "after"), [("nesterov", "adam"), ("adam", "plain")])
def test_a_changed_solver_starts_with_moments_of_its_own(before, after, problem):
    X, y = problem()
    one, table = (_net(before).fit(X, y) for _ in range(2))
    _learn_both_ways(one, table, X[:4], y[:4])
    for net in (one, table):
        net.set_params(**SOLVERS[after])
    _learn_both_ways(one, table, X[4:8], y[4:8])


@pytest.mark.parametrize("change", [{"learning_rate_init": -1.0}, {"alpha": -1}])
def test_a_wrong_parameter_is_an_error(change, problem):
    X, y = problem()
    net = _net().fit(X, y)
    for _ in range(2):
        with pytest.raises(ValueError, match=next(iter(change))):
            net.set_params(**change).learn_one(X[0], y[0])
        net.set_params(**{name: getattr(_net(), name) for name in change})
        net.learn_one(X[0], y[0])


@pytest.mark.parametrize("learnt", [False, True])
@pytest.mark.parametrize("change", [{"activation": "relu"}, {"loss": "poisson"}])
def test_another_network_than_the_fitted_is_an_error(change, learnt, problem):
    X, y = problem()
    net = _net().fit(X, y)
    if learnt:
        net.learn_one(X[0], y[0])
    with pytest.raises(ValueError, match="not the fitted network"):
        net.set_params(**change).learn_one(X[0], y[0])


def test_lbfgs_has_no_learn_one(problem):
    X, y = problem()
    net = _net().set_params(solver="lbfgs").fit(X, y)
    assert not hasattr(net, "learn_one")
    with pytest.raises(AttributeError, match="has no attribute 'learn_one'"):
        net.learn_one(X[0], y[0])
    assert net.predict_one(X[0]) == pytest.approx(net.predict(X[:1])[0], rel=1e-12)
    one = net.set_params(**SOLVERS["nesterov"])
    table = copy.deepcopy(one)
    _learn_both_ways(one, table, X[:3], y[:3])


def test_early_stopping_is_an_error_fitted_or_not(problem):
    X, y = problem()
    for net in (_net(early_stopping=True), _net().fit(X, y).set_params(early_stopping=True)):
        with pytest.raises(ValueError, match="does not support early_stopping=True"):
            net.learn_one(X[0], y[0])
    net = _net().fit(X, y).learn_one(X[0], y[0]).set_params(early_stopping=True)
    with pytest.raises(ValueError, match="learn_one does not support early_stopping=True"):
        net.learn_one(X[0], y[0])


def test_predict_one_of_an_unfitted_estimator_is_sklearns_error():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        _net().predict_one([1.0, 2.0])


@pytest.mark.parametrize("solver", ["plain", "momentum", "nesterov"])
@pytest.mark.parametrize("rate", [10.0, 1e3, 1e200])
def test_divergence_is_an_error_and_the_last_update_not_made(rate, solver, problem, snapshot):
    X, y = problem()
    net = _net(solver, activation="identity").fit(X, y).set_params(learning_rate_init=rate)
    with pytest.raises(ValueError, match="diverged.*learning_rate_init"):
        for i in range(2000):
            before = snapshot(net)
            net.learn_one(1e3 * X[i % 60], 1e3 * y[i % 60])
    _unchanged(before, snapshot(net))


def test_moments_that_overflow_are_an_error(problem):
    """As `partial_fit` says, of an Adam whose second moment is infinite."""
    X, y = problem()
    net = _net("adam", activation="identity").fit(X, y)
    for _ in range(2):
        with pytest.raises(ValueError, match="diverged"):
            net.learn_one(1e100 * X[0], 1e100 * y[0])
        assert np.isfinite(net.predict(X)).all()


def test_a_penalty_that_overflows_is_an_error_and_changes_nothing(problem, snapshot):
    X, y = problem(dtype=np.float32)
    net = _net(activation="tanh").fit(X, y)
    net.coefs_[0][0, 0] = 1e25  # whose square is no float32
    before = snapshot(net)
    with pytest.raises(ValueError, match="diverged"):
        net.learn_one(X[0], y[0])
    _unchanged(before, snapshot(net))


def test_a_number_too_large_for_float32_is_an_error(problem, snapshot):
    X, y = problem(dtype=np.float32)
    net = _net(activation="tanh").fit(X, y)
    before = snapshot(net)
    for call in (
        lambda: net.predict_one([1e300, 0, 0, 0, 0]),
        lambda: net.learn_one([1e300, 0, 0, 0, 0], 1.0),
        lambda: net.learn_one(X[0], 1e300),
    ):
        with pytest.raises(ValueError):
            call()
    _unchanged(before, snapshot(net))


def test_predictions_that_overflow_are_not_silent(problem):
    X, y = problem(positive=True)
    net = _net(activation="relu").set_params(loss="poisson").fit(X, y)
    with pytest.warns(RuntimeWarning, match="overflows to infinity") as record:
        for sign in (1, -1):
            net.predict_one(sign * 1e6 * X[0])
    assert record[0].filename == __file__


@EVERY_SOLVER
@DTYPES
@pytest.mark.parametrize("activation", ["logistic", "softplus"])
def test_padding_stays_zero(activation, dtype, solver, problem):
    X, y = problem(n_outputs=3, dtype=dtype)
    net = _net(solver, activation=activation, hidden_layer_sizes=(9, 4)).fit(X, y)
    for x, target in zip(X, y, strict=True):
        net.learn_one(x, target)
    network, workspace = net._network, net._one_sample._workspace
    for padded in (workspace.parameters, workspace.first, workspace.second):
        left = padded.copy()
        pad(network, np.zeros(network.n_parameters, dtype), left)
        assert not left.any()


@pytest.mark.parametrize("warm", [False, True])
def test_threads_that_share_an_estimator_get_the_serial_results(warm, problem):
    X, y = problem(n_samples=200, n_outputs=2)
    net = _net(hidden_layer_sizes=(40, 20)).fit(X, y)
    serial = copy.deepcopy(net)
    expected = [serial.predict_one(x).tobytes() for x in X]
    if warm:
        net.predict_one(X[0])
    barrier = threading.Barrier(8)

    def predict_all(_):
        barrier.wait()
        return [net.predict_one(x).tobytes() for x in X]

    with ThreadPoolExecutor(8) as pool:
        assert all(got == expected for got in pool.map(predict_all, range(8)))


@pytest.mark.slow
def test_threads_that_all_predict_first_leave_a_plan_of_arrays_that_live(problem):
    """A plan holds addresses and no reference: its workspace has to be the one that is kept."""
    from fastbp.backends.cpu import kernels

    X, y = problem()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            one_sample = _net().fit(X[:5], y[:5])._one_sample
            barrier = threading.Barrier(8)

            def predict(_, one_sample=one_sample, barrier=barrier):
                barrier.wait()
                return one_sample.predict(X[0])

            with ThreadPoolExecutor(8) as pool:
                assert len({p.tobytes() for p in pool.map(predict, range(8))}) == 1
            kept = kernels.write_plan(kernels.Net(one_sample._layout, one_sample._workspace))
            np.testing.assert_array_equal(one_sample._plan, kept)
    finally:
        sys.setswitchinterval(interval)


def test_no_sample_compiles_a_kernel_anew(problem):
    """A row of a pandas frame is read-only; others are strided, or not aligned."""
    from fastbp.backends.cpu import kernels

    X, y = problem()
    net = _net().fit(X, y)
    sample = X[0].copy()
    expected = net.predict_one(sample)
    net.learn_one(sample, 0.5)
    ones = (kernels.predict_one, *kernels.LEARN_ONE_KERNELS)
    n_compiled = [len(each.signatures) for each in ones]
    read_only = sample.copy()
    read_only.setflags(write=False)
    strided = np.repeat(sample, 2)[::2]
    unaligned = np.frombuffer(b"." + sample.tobytes(), offset=1)
    for each in (read_only, strided, unaligned):
        net = _net().fit(X, y)
        assert net.predict_one(each) == expected
        net.learn_one(each, 0.5)
    assert n_compiled == [len(each.signatures) for each in ones]
