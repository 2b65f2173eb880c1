"""The same numbers in any container give the same bits."""

import numpy as np
import pandas as pd
import pytest

from fastbp import BackpropRegressor
from helpers.fits import SHORT

pytestmark = SHORT
NAMES = ["a", "b", "c"]


def _frame(X):
    return pd.DataFrame(X, columns=NAMES)


def _of_arrow(X):
    pytest.importorskip("pyarrow")
    return _frame(X).astype("double[pyarrow]")


def _arrow_table(X):
    pa = pytest.importorskip("pyarrow")
    return pa.table(dict(zip(NAMES, X.T, strict=True)))


def _polars(X):
    return pytest.importorskip("polars").DataFrame(X, schema=NAMES)


def _tensor(array):
    return pytest.importorskip("torch").from_numpy(array)


TABLES = {
    "list": lambda X: X.tolist(),
    "matrix": np.asmatrix,
    "masked array without a mask": np.ma.masked_array,
    "frame": _frame,
    "frame of sparse columns": lambda X: _frame(X).astype(pd.SparseDtype(float, 0)),
    "frame of categories": lambda X: _frame(X).astype("category"),
    "frame of arrow columns": _of_arrow,
    "arrow table": _arrow_table,
    "polars": _polars,
    "tensor": _tensor,
}
TARGETS = {
    "list": lambda y: y.tolist(),
    "tuple": tuple,
    "series": pd.Series,
    "arrow series": lambda y: _of_arrow(np.c_[y, y, y])["a"],
    "arrow array": lambda y: pytest.importorskip("pyarrow").array(y),
    "polars": lambda y: pytest.importorskip("polars").Series(y),
    "tensor": _tensor,
}


def _rows(problem):
    X, y = problem(n_features=3)
    return np.where(X < 0.3, 0, X), y


def _net():
    return BackpropRegressor(hidden_layer_sizes=(3,), max_iter=3, random_state=0)


def _assert_same(X, y, plain_X, plain_y):
    net, expected = _net().fit(X, y), _net().fit(plain_X, plain_y)
    np.testing.assert_array_equal(net.coefs_[0], expected.coefs_[0])
    np.testing.assert_array_equal(net.predict(X), expected.predict(plain_X))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("kind", [kind for kind in TABLES if kind != "matrix"])
def test_any_container_of_inputs(kind, problem):
    X, y = _rows(problem)
    _assert_same(TABLES[kind](X), y, X, y)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_is_refused_as_scikit_learn_does(problem):
    X, y = _rows(problem)
    with pytest.raises(TypeError, match="np.matrix is not supported"):
        _net().fit(TABLES["matrix"](X), y)


@pytest.mark.parametrize("kind", TARGETS)
def test_any_container_of_targets(kind, problem):
    X, y = _rows(problem)
    _assert_same(X, TARGETS[kind](y), X, y)


@pytest.mark.parametrize("mode", ["r", "c", "r+"])
def test_inputs_and_targets_in_a_file(mode, problem, tmp_path):
    arrays = _rows(problem)
    for name, array in zip("Xy", arrays, strict=True):
        array.tofile(tmp_path / name)
    X, y = (
        np.memmap(tmp_path / name, float, mode, shape=array.shape)
        for name, array in zip("Xy", arrays, strict=True)
    )
    _assert_same(X, y, *arrays)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "X"), arrays[0].ravel())
