"""Warnings point at the user's line where there is one, and belong to the module "fastbp"."""

import inspect
import warnings

import pytest
from joblib import Parallel, delayed
from sklearn.exceptions import DataConversionWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor
from fastbp.training.warn import warn

SHORT = BackpropRegressor(hidden_layer_sizes=(2,), max_iter=1, random_state=0)


def _overflowing(X, y):
    net = make_pipeline(
        StandardScaler(),
        BackpropRegressor(hidden_layer_sizes=(9,), random_state=0, learning_rate_init=0.1, tol=0.1),
    )
    net.fit(X, y)[-1].coefs_[1][:] = 1e200
    net[-1].coefs_[0][:] = 1e200
    return net


def _quick():
    return BackpropRegressor(solver="lbfgs", tol=0.1)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda X, y: SHORT.fit(X, y), "stopped early"),
        (lambda X, y: make_pipeline(StandardScaler(), SHORT).fit(X, y), "stopped early"),
        (lambda X, y: _overflowing(X, y).predict(X), "overflow"),
        (
            lambda X, y: _quick().fit(X, y[:, None]),
            "column-vector y",
        ),
    ],
    ids=["fit", "pipeline", "predict", "column"],
)
def test_a_warning_points_at_the_users_line(call, said, problem):
    X, y = problem()
    with pytest.warns(Warning, match=said) as record:
        call(X, y)
    assert [warning.filename for warning in record] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module="fastbp")
        call(X, y)


def test_a_column_of_targets_warns_by_scikit_learns_category(problem):
    X, y = problem()
    with pytest.warns(DataConversionWarning, match="ravel"):
        BackpropRegressor(tol=10.0).fit(X, y[:, None])


def test_without_a_users_line_it_points_at_what_the_user_called(problem):
    X, y = problem()
    with pytest.warns(Warning, match="stopped early") as record:
        Parallel(n_jobs=2, backend="threading")(delayed(SHORT.fit)(X, y) for _ in range(2))
    called = inspect.unwrap(BackpropRegressor.fit)
    assert {warning.filename for warning in record} == {inspect.getfile(called)}


def test_a_module_whose_name_begins_like_ours_is_the_users(tmp_path):
    code = compile("def call(warn):\n    warn('said')", "theirs.py", "exec")
    module = {"__name__": "fastbp_of_theirs"}
    exec(code, module)  # noqa: S102
    with pytest.warns(UserWarning, match="said") as record:
        module["call"](warn)
    assert (record[0].filename, record[0].lineno) == ("theirs.py", 2)
