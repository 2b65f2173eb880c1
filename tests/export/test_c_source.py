"""`to_c`: a strict compiler takes it without a warning, and its results are the estimator's."""

import ctypes
import shutil
import subprocess
from itertools import count

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor, to_c
from helpers.exports import (
    CLASSIFIERS,
    N_FEATURES,
    REGRESSORS,
    TOLERANCE,
    assert_close,
    fitted_classifier,
    fitted_regressor,
    inputs,
)

COMPILER = shutil.which("gcc") or shutil.which("cc")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-O1"]
NUMBERS = count()
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")

MANY_ROWS = """
void many(int n, const real *x, real *y);
void many(int n, const real *x, real *y)
{{
    for (int i = 0; i < n; i++)
        {function}(x + {n_in} * i, y + {n_out} * i);
}}
"""
MANY_CLASSES = """
void classes(int n, const real *x, int *y);
void classes(int n, const real *x, int *y)
{{
    for (int i = 0; i < n; i++)
        y[i] = predict(x + {n_in} * i);
}}
"""


def _compile(source, folder):
    file = folder / f"net{next(NUMBERS)}.c"
    file.write_text(source)
    library = file.with_suffix(".so")
    command = [COMPILER, *STRICT, "-shared", "-fPIC", str(file), "-o", str(library), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return ctypes.CDLL(str(library))


def _run(function, X, result):
    function(len(X), *(ctypes.c_void_p(array.ctypes.data) for array in (X, result)))
    return result


def _values(net, X, folder, function):
    n_out = 1 if np.ndim(X) == 1 else net.n_outputs_
    n_out = max(n_out, 2) if function == "predict_proba" else n_out
    source = to_c(net) + MANY_ROWS.format(function=function, n_in=N_FEATURES, n_out=n_out)
    return _run(_compile(source, folder).many, X, np.empty((len(X), n_out), net.coefs_[0].dtype))


@needs_compiler
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_predicts_the_same(name, dtype, tmp_path):
    net, X = fitted_regressor(name, dtype), inputs(10_000, dtype)
    y = _values(net, X, tmp_path, "predict")
    assert_close(y, net.predict(X).reshape(y.shape), dtype)


@needs_compiler
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_predicts_the_same(name, dtype, tmp_path):
    net, X = fitted_classifier(name, dtype), inputs(10_000, dtype)
    p = _values(net, X, tmp_path, "predict_proba")
    assert_close(p, net.predict_proba(X), dtype)
    if name == "multilabel":
        source = to_c(net) + MANY_ROWS.replace("real *y", "int *y").format(
            function="predict", n_in=N_FEATURES, n_out=3
        )
        labels = _run(_compile(source, tmp_path).many, X, np.empty((len(X), 3), np.intc))
    else:
        library = _compile(to_c(net) + MANY_CLASSES.format(n_in=N_FEATURES), tmp_path)
        numbers = _run(library.classes, X, np.empty(len(X), np.intc))
        labels = np.resize(net.classes_, p.shape[1])[numbers]
    np.testing.assert_array_equal(labels, net.predict(X))


@needs_compiler
def test_nan_is_nan_and_infinity_too(tmp_path):
    net = fitted_regressor("hidden relu")
    X = np.array([[np.nan, 0, 0, 0]])
    assert np.isnan(_values(net, X, tmp_path, "predict")).all()


def test_it_needs_nothing_but_math_h():
    source = to_c(fitted_regressor("hidden gelu"))
    assert source.count("#include") == 1
    assert "alloc" not in source


def test_the_classes_are_named_and_end_no_comment():
    source = to_c(fitted_classifier("text"))
    assert "0  blue __ " in source
    assert source.index("#include") > source.index("2  red_") > source.index("1  green_")
    assert source[: source.index("#include")].count("*/") == 1


def test_the_identity_is_no_function():
    assert "activation" not in to_c(fitted_regressor("hidden identity"))


def test_what_is_no_fitted_network_is_an_error():
    with pytest.raises(ValueError, match="to_c needs a fitted model.*call fit first"):
        to_c(BackpropRegressor())
    pipeline = make_pipeline(StandardScaler(), BackpropRegressor())
    with pytest.raises(ValueError, match=r"to_c takes a fitted .* not Pipeline.*model\[-1\]"):
        to_c(pipeline)
