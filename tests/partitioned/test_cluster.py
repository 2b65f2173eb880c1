"""Fits on a cluster whose workers are threads of this process; ``test_faults.py`` has processes."""

import gc
import time
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from fastbp import BackpropClassifier, BackpropRegressor, BackpropSearchCV
from fastbp.backends.dask import cluster, faults

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

#: A few iterations are enough here.
pytestmark = pytest.mark.filterwarnings("ignore:solver=")


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(600, 3))
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2]


def _workers(n):
    return distributed.Client(
        processes=False, n_workers=n, threads_per_worker=1, dashboard_address=":0"
    )


def _lazy(*arrays):
    return [da.from_array(array, chunks=(70, *array.shape[1:])) for array in arrays]


def _regressor(solver, **parameters):
    return BackpropRegressor(
        hidden_layer_sizes=(4,), activation="tanh", solver=solver, max_iter=4, random_state=0
    ).set_params(**parameters)


def _assert_nothing_is_held(client):
    """Wait for the client to let go of what nobody has any longer."""
    end = time.monotonic() + 10
    while client.futures and time.monotonic() < end:
        time.sleep(0.01)
    assert not client.futures


def test_the_bits_are_those_of_threads_for_any_number_of_workers(data):
    solvers = ("rprop", "lbfgs", "lm", "adam")
    expected = {solver: _regressor(solver).fit(*_lazy(*data)) for solver in solvers}
    for n in (1, 2, 3):
        with _workers(n) as client:
            for solver, net in expected.items():
                found = _regressor(solver).fit(*_lazy(*data))
                for mine, theirs in zip(found.coefs_, net.coefs_, strict=True):
                    np.testing.assert_array_equal(mine, theirs, err_msg=f"{solver}, {n} workers")
            _assert_nothing_is_held(client)


def _sleep(part, n_threads):
    time.sleep(0.5)
    return (float(part),)


def test_a_long_wait_leaves_no_result_on_the_cluster(monkeypatch):
    """Whatever is left is computed again when its worker dies, and its rows with it."""
    monkeypatch.setattr(cluster, "_PATIENCE", 0.1)
    with _workers(1) as client:
        parts = client.map(float, [1, 2])
        gc.disable()
        try:
            assert cluster.Cluster(client).sum(_sleep, parts) == (3.0,)
            end = time.monotonic() + 10
            while len(client.futures) > 2 and time.monotonic() < end:
                time.sleep(0.01)
            assert len(client.futures) == 2
        finally:
            gc.enable()


class _CtrlCAtItsEnd:
    def __del__(self):
        raise KeyboardInterrupt


def test_ctrl_c_that_arrives_while_a_future_is_let_go_is_not_lost():
    with _workers(1) as client, pytest.raises(KeyboardInterrupt), faults.told_apart(client):
        _CtrlCAtItsEnd()


def test_classes_scores_and_validation_on_a_cluster(data):
    X, labels = data[0], np.where(data[1] > 0, "yes", "no")
    net = BackpropClassifier(
        (4,),
        solver="bfgs",
        max_iter=5,
        random_state=0,
        early_stopping=True,
        class_weight="balanced",
    )
    lazy_X, lazy_labels = _lazy(X, labels)
    given = {"X_val": X[:50], "y_val": labels[:50]}
    here = clone(net).fit(X, labels, **given)
    with _workers(2):
        lazy_given = {"X_val": lazy_X, "y_val": lazy_labels}
        there = clone(net).fit(lazy_X, lazy_labels, **given)
        lazily = clone(net).fit(lazy_X, lazy_labels, **lazy_given)
        np.testing.assert_array_equal(there.predict(lazy_X).compute(), there.predict(X))
        assert there.score(lazy_X, lazy_labels) == there.score(X, labels)
    assert there.validation_scores_ == here.validation_scores_
    assert lazily.validation_scores_ == clone(net).fit(
        X, labels, X_val=X, y_val=labels
    ).validation_scores_  # fmt: skip


@pytest.mark.parametrize("search", [GridSearchCV, BackpropSearchCV])
def test_joblib_spreads_a_search(search, data):
    net, grid = _regressor("adam", max_iter=3), {"alpha": [0.1, 1.0]}
    here = search(net, grid, cv=3).fit(*data)
    with _workers(2), joblib.parallel_config("dask"):
        there = search(net, grid, cv=3).fit(*data)
    np.testing.assert_array_equal(
        there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"]
    )


def test_a_client_for_asynchronous_code_is_refused(data):
    import asyncio

    async def fit():
        async with distributed.Client(
            processes=False, asynchronous=True, dashboard_address=":0", n_workers=1
        ):
            _regressor("rprop").fit(*_lazy(*data))

    with pytest.raises(ValueError, match="asynchronous=True"):
        asyncio.run(fit())


def test_dask_ml_calls_partial_fit_block_by_block(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrappers = pytest.importorskip("dask_ml.wrappers")
    X, y = data
    net = _regressor("adam")
    incremental = wrappers.Incremental(net, shuffle_blocks=False).fit(*_lazy(X, y))
    by_hand = clone(net)
    for start in range(0, len(X), 70):
        by_hand.partial_fit(X[start : start + 70], y[start : start + 70])
    np.testing.assert_array_equal(incremental.predict(X), by_hand.predict(X))
