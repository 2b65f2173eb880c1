"""`to_onnx`: onnxruntime's results are the estimator's, alone and in pipelines."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor, BackpropSearchCV, to_onnx
from fastbp.estimators.table_encoder import TableEncoder
from helpers.exports import (
    CLASSIFIERS,
    REGRESSORS,
    TOLERANCE,
    assert_close,
    fitted_classifier,
    fitted_regressor,
    inputs,
)

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def _run(model, X, names=None):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(names, X if isinstance(X, dict) else {"X": X})


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_predicts_the_same(name, dtype):
    net, X = fitted_regressor(name, dtype), inputs(300, dtype)
    (prediction,) = _run(to_onnx(net), X, ["variable"])
    assert prediction.dtype == dtype
    assert_close(prediction, net.predict(X).reshape(300, -1), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_predicts_the_same(name, dtype):
    net, X = fitted_classifier(name, dtype), inputs(300, dtype)
    labels, p = _run(to_onnx(net), X, ["label", "probabilities"])
    np.testing.assert_array_equal(labels, net.predict(X))
    assert p.dtype == dtype
    assert_close(p, net.predict_proba(X), dtype)


def test_the_model_is_of_the_opset_that_most_runtimes_know():
    model = to_onnx(fitted_regressor("wide"))
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 17)]
    assert model.ir_version == 8


@pytest.mark.parametrize(
    ("name", "operators"),
    [
        ("hidden relu", ["Gemm", "Relu", "Gemm", "Identity"]),
        ("hidden logistic", ["Gemm", "Sigmoid", "Gemm", "Identity"]),
        ("hidden silu", ["Gemm", "Sigmoid", "Mul", "Gemm", "Identity"]),
        ("hidden identity", ["Gemm", "Gemm", "Identity"]),
    ],
)
def test_an_operator_of_onnx_is_used_where_there_is_one(name, operators):
    nodes = to_onnx(fitted_regressor(name)).graph.node
    assert [node.op_type for node in nodes] == operators


def test_weights_that_were_assigned_are_exported():
    net, X = fitted_regressor("hidden tanh"), inputs(5)
    net.coefs_[1] = np.ones((6, 1))
    assert_close(_run(to_onnx(net), X)[0].ravel(), net.predict(X), "float64")


def _fit(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def _net(kind=BackpropRegressor, **parameters):
    return kind(
        hidden_layer_sizes=(6,), activation="gelu", max_iter=2, random_state=0, **parameters
    )


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_a_pipeline_with_a_regressor_predicts_the_same(n_outputs, dtype):
    pytest.importorskip("skl2onnx")
    X = 100 + inputs(200, dtype)
    y = np.c_[X[:, 0], X[:, 1] ** 2, X[:, 2]][:, :n_outputs]
    model = _fit(make_pipeline(StandardScaler(), _net(scale_target=True)), X, y.squeeze())
    (prediction,) = _run(to_onnx(model), X)
    assert_close(prediction, model.predict(X).reshape(200, -1), dtype)


@pytest.mark.parametrize("labels", [["a", "b"], [3, 4, 5], [False, True], [0.0, 1.0, 2.0]])
def test_a_pipeline_with_a_classifier_predicts_the_same(labels):
    pytest.importorskip("skl2onnx")
    X, y = 100 + inputs(200), np.resize(labels, 200)
    model = _fit(make_pipeline(StandardScaler(), _net(BackpropClassifier)), X, y)
    label, p = _run(to_onnx(model), X)
    np.testing.assert_array_equal(label, model.predict(X))
    assert_close(p, model.predict_proba(X), "float64")


def test_a_pipeline_with_several_labels_a_row_predicts_the_same():
    pytest.importorskip("skl2onnx")
    X = inputs(200)
    model = _fit(make_pipeline(StandardScaler(), _net(BackpropClassifier)), X, (X > 0).astype(int))
    label, p = _run(to_onnx(model), X)
    np.testing.assert_array_equal(label, model.predict(X))
    assert_close(p, model.predict_proba(X), "float64")


def test_a_search_predicts_the_same():
    pytest.importorskip("skl2onnx")
    X = inputs(60)
    pipeline = make_pipeline(StandardScaler(), _net())
    grid = {"backpropregressor__alpha": [0.1, 1.0]}
    model = _fit(GridSearchCV(pipeline, grid, cv=2), X, X[:, 0])
    assert_close(_run(to_onnx(model), X)[0].ravel(), model.predict(X), "float64")


def test_a_search_of_ours_over_networks_alone_needs_no_skl2onnx(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    X = inputs(60)
    model = _fit(BackpropSearchCV(_net(), {"alpha": [0.1, 1.0]}, cv=2), X, X[:, 0])
    assert_close(_run(to_onnx(model), X)[0].ravel(), model.predict(X), "float64")


def test_an_ensemble_predicts_the_same():
    pytest.importorskip("skl2onnx")
    X = inputs(60)
    model = _fit(VotingRegressor([("net", _net()), ("line", Ridge())]), X, X[:, 0])
    assert_close(_run(to_onnx(model), X)[0].ravel(), model.predict(X), "float64")


_ENSEMBLE = """
import numpy as np, onnxruntime, skl2onnx
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.model_selection import GridSearchCV
import fastbp.export.skl2onnx
from fastbp import BackpropClassifier, BackpropRegressor

fastbp.export.skl2onnx.register()
X = np.random.default_rng(0).standard_normal((40, 3))
net = BackpropRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=3)
classifier = BackpropClassifier((4,), solver="lbfgs", max_iter=3)
for model, y in (
    (BaggingClassifier(classifier, 2), np.resize(["a", "b"], 40)),
    (BaggingRegressor(net, 2, max_features=2), X[:, 0]),
    (GridSearchCV(net, {"alpha": [0.1, 1.0]}, cv=2), X[:, 0]),
):
    model.fit(X, y)
    options = {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None
    converted = skl2onnx.to_onnx(model, X[:1], target_opset=17, options=options)
    session = onnxruntime.InferenceSession(converted.SerializeToString())
    result = session.run(None, {"X": X})[-1]
    expected = model.predict_proba(X) if options else model.predict(X)[:, None]
    np.testing.assert_allclose(result, expected, rtol=1e-9)
"""
_OPTIONS_FIRST = """
import numpy as np, onnxruntime, skl2onnx
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from fastbp import BackpropClassifier

X = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
model = make_pipeline(StandardScaler(), BackpropClassifier((4,), solver="lbfgs", tol=1e-2))
model.fit(X, np.resize(["a", "b"], 40))
converted = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
label, p = onnxruntime.InferenceSession(converted.SerializeToString()).run(None, {"X": X})
assert (label == model.predict(X)).all()
np.testing.assert_allclose(p, model.predict_proba(X), atol=1e-5)
"""


@pytest.mark.subprocess
@pytest.mark.parametrize("code", [_OPTIONS_FIRST, _ENSEMBLE], ids=["options", "ensembles"])
def test_skl2onnx_itself_converts_with_nothing_converted_before(code):
    pytest.importorskip("skl2onnx")
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_skl2onnx_itself_converts_columns_of_several_types():
    skl2onnx = pytest.importorskip("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    table = pd.DataFrame({"size": np.arange(40.0), "colour": ["red", "green"] * 20})
    columns = ColumnTransformer(
        [("a", StandardScaler(), ["size"]), ("b", OneHotEncoder(), ["colour"])],
        sparse_threshold=0,
    )
    model = _fit(make_pipeline(columns, _net()), table, np.arange(40.0))
    converted = skl2onnx.to_onnx(
        model,
        initial_types=[
            ("size", FloatTensorType([None, 1])),
            ("colour", StringTensorType([None, 1])),
        ],
        target_opset=17,
    )
    rows = {
        "size": table[["size"]].to_numpy(np.float32),
        "colour": table[["colour"]].to_numpy(object),
    }
    assert_close(_run(converted, rows)[0].ravel(), model.predict(table), "float32")


TABLE = pd.DataFrame({"size": np.arange(40.0), "colour": ["red", ""] * 20, "age": [1, 2] * 20})


@pytest.fixture(scope="module")
def table_model():
    pytest.importorskip("skl2onnx")
    return _fit(make_pipeline(TableEncoder(), StandardScaler(), _net()), TABLE, TABLE["size"])


def test_a_table_of_text_has_an_input_for_each_column(table_model):
    rows = pd.DataFrame(
        {
            "size": [1.0, np.nan, 3.0, 4.0, 5.0],
            "colour": ["red", "", "green", "nan", "<NA>"],
            "age": [1.0, 2.0, 3.0, np.nan, 1.0],
        }
    )
    inputs = {name: rows[[name]].to_numpy() for name in rows}
    assert_close(
        _run(to_onnx(table_model), inputs)[0].ravel(), table_model.predict(rows), "float64"
    )
    unnamed = _fit(make_pipeline(TableEncoder(), _net()), TABLE.to_numpy(object), TABLE["size"])
    assert [one.name for one in to_onnx(unnamed).graph.input] == ["x0", "x1", "x2"]


def test_a_table_of_numbers_is_one_input():
    pytest.importorskip("skl2onnx")
    X = inputs(40)
    X[3, 1] = np.nan
    model = _fit(make_pipeline(TableEncoder(), _net()), X, X[:, 0])
    assert_close(_run(to_onnx(model), X)[0].ravel(), model.predict(X), "float64")


def test_skl2onnx_itself_converts_a_table_of_text(table_model):
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    converted = skl2onnx.to_onnx(table_model, TABLE, target_opset=17)  # of whole numbers, too
    rows = {name: TABLE[[name]].to_numpy() for name in TABLE}
    assert_close(_run(converted, rows)[0].ravel(), table_model.predict(TABLE), "float64")
    texts = TABLE[["colour", "colour", "size", "age"]].set_axis([*"abcd"], axis=1)
    model = _fit(make_pipeline(TableEncoder(), _net()), texts, TABLE["size"])
    tensors = [("ab", StringTensorType([None, 2])), ("cd", FloatTensorType([None, 2]))]
    converted = skl2onnx.to_onnx(model, initial_types=tensors, target_opset=17)
    rows = {"ab": texts[["a", "b"]].to_numpy(), "cd": texts[["c", "d"]].to_numpy(np.float32)}
    assert_close(_run(converted, rows)[0].ravel(), model.predict(texts), "float64")
    with pytest.raises(ValueError, match="'abcd' is text.*a tensor for each column"):
        skl2onnx.to_onnx(model, initial_types=[("abcd", StringTensorType([None, 4]))])


def test_what_is_no_fitted_network_is_an_error():
    with pytest.raises(ValueError, match="to_onnx needs a fitted model.*call fit first"):
        to_onnx(BackpropRegressor())
    with pytest.raises(
        ValueError, match="to_onnx takes a fitted .*not Pipeline.*if they are fitted"
    ):
        to_onnx(make_pipeline(StandardScaler(), BackpropRegressor()))


@pytest.mark.parametrize("package", ["onnx", "skl2onnx"])
def test_a_missing_package_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    model = make_pipeline(StandardScaler(), _net())
    _fit(model, inputs(20), inputs(20)[:, 0])
    with pytest.raises(ImportError, match=f"needs .*{package}"):
        to_onnx(model)
