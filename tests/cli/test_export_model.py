"""`fastbp export`: the written file predicts what the model does, from the table's own numbers."""

import sys

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

from fastbp import BackpropRegressor, load, save
from fastbp.cli.main import main
from helpers.command_line import HEADER, error_of


class Unknown(StandardScaler):
    """A transformer that skl2onnx does not know."""


PARAMETERS = {"solver": "lm", "hidden_layer_sizes": (3,), "max_iter": 4, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def table(rows):
    return pd.DataFrame(np.array(rows, dtype=float), columns=HEADER)


@pytest.fixture
def fitted(table, tmp_path):
    def fit(*steps):
        model = make_pipeline(*steps, BackpropRegressor(**PARAMETERS))
        model.fit(table[["rooms", "age"]], table["price"] / 100)
        save(model, tmp_path / "model.fastbp")
        return tmp_path / "model.fastbp"

    return fit


def _run(source):
    names = {}
    exec(source, names)  # noqa: S102
    return names


@pytest.mark.parametrize(
    "steps",
    [
        (StandardScaler(),),
        (StandardScaler(with_std=False), "passthrough"),
        (StandardScaler(with_mean=False), MinMaxScaler((-1, 1))),
        (),
    ],
)
def test_scaling_is_part_of_it(steps, fitted, table, capsys):
    path = fitted(*steps)
    assert main(["export", str(path), "--to", "numpy", "-o", "-"]) == 0
    output = capsys.readouterr()
    inputs = table[["rooms", "age"]]
    prediction = _run(output.out)["predict"](inputs.to_numpy())
    np.testing.assert_allclose(prediction, load(path).predict(inputs), rtol=1e-9)
    assert "in this order: rooms, age" in output.err


def test_each_format_is_written_beside_the_model(rows, write, tmp_path, table, capsys):
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.fastbp"
    labelled = [[*row[:2], "dear" if float(row[2]) > 400 else "cheap"] for row in rows]
    data = write([HEADER, *labelled])
    arguments = ["--target", "price", "--max-iter", "20", "--save", str(path)]
    assert main(["fit", str(data), *arguments]) == 0
    for name, suffix in (("numpy", ".py"), ("c", ".c"), ("onnx", ".onnx")):
        assert main(["export", str(path), "--to", name]) == 0
        written = path.with_suffix(suffix)
        assert f"Wrote {written}" in capsys.readouterr().out
        assert written.stat().st_size > 0
    inputs = table[["rooms", "age"]]
    functions = _run(path.with_suffix(".py").read_text())
    expected = load(path).predict_proba(inputs)
    np.testing.assert_allclose(functions["predict_proba"](inputs.to_numpy()), expected, rtol=1e-9)
    session = runtime.InferenceSession(path.with_suffix(".onnx"))
    labels, probabilities = session.run(None, {"X": inputs.to_numpy()})
    np.testing.assert_allclose(probabilities, expected, atol=1e-9)
    assert labels.tolist() == load(path).predict(inputs).tolist()


def test_what_cannot_be_exported_is_one_line(fitted, write, rows, table, tmp_path, capsys):
    clipped = fitted(MinMaxScaler(clip=True))
    assert "MinMaxScaler does more" in error_of(capsys, "export", clipped, "--to", "c")
    other = tmp_path / "other.joblib"
    joblib.dump(make_pipeline(PolynomialFeatures(), BackpropRegressor(**PARAMETERS)), other)
    assert "not" in error_of(capsys, "export", other, "--to", "c")
    assert "cannot read" in error_of(capsys, "export", tmp_path / "none", "--to", "c")
    path = fitted(StandardScaler())
    error = error_of(capsys, "export", path, "--to", "c", "-o", path)
    assert "would overwrite" in error
    assert not list(tmp_path.glob("*.c"))


def _fit(lines, write, tmp_path):
    path = tmp_path / "model.fastbp"
    arguments = ["--target", "price", "--max-iter", "5", "--save", str(path)]
    assert main(["fit", str(write(lines)), *arguments]) == 0
    return path


def test_source_does_not_fill_missing_values_and_says_what_to_give(
    rows, write, table, tmp_path, capsys
):
    rows[0][1] = ""
    path = _fit([HEADER, *rows], write, tmp_path)
    capsys.readouterr()
    assert main(["export", str(path), "--to", "numpy", "-o", "-"]) == 0
    output = capsys.readouterr()
    rooms, age = load(path)[0].means_
    assert f"give the column's mean: 'rooms' {rooms:.6g}, 'age' {age:.6g}\n" in output.err
    inputs = table[["rooms", "age"]]
    prediction = _run(output.out)["predict"](inputs.to_numpy())
    np.testing.assert_allclose(prediction, load(path).predict(inputs), rtol=1e-9)


def test_onnx_fills_missing_values(rows, write, table, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    rows[0][1] = ""
    path = _fit([HEADER, *rows], write, tmp_path)
    assert main(["export", str(path), "--to", "onnx"]) == 0
    inputs = table[["rooms", "age"]]
    inputs.iloc[3, 0] = inputs.iloc[5, 1] = np.nan
    session = runtime.InferenceSession(path.with_suffix(".onnx"))
    (prediction,) = session.run(None, {"X": inputs.to_numpy()})
    np.testing.assert_allclose(prediction.ravel(), load(path).predict(inputs), rtol=1e-9)


@pytest.mark.parametrize("of_classes", [False, True])
def test_onnx_takes_columns_of_text(of_classes, rows, write, table, tmp_path, rng, capsys):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    cities = rng.choice(["Bern", "Basel", "NA"], len(rows)).tolist()
    if of_classes:
        rows = [[*row[:2], "dear" if float(row[2]) > 400 else "cheap"] for row in rows]
    lines = [["the city", *HEADER], *([c, *row] for c, row in zip(cities, rows, strict=True))]
    path = _fit(lines, write, tmp_path)
    assert main(["export", str(path), "--to", "onnx"]) == 0
    assert "in this order: the city, rooms, age" in capsys.readouterr().err
    new = table[["rooms", "age"]].astype({"rooms": float})
    new.insert(0, "the city", ["Rome", "", "nan", *cities[3:]])
    new.iloc[4, 1] = np.nan
    session = runtime.InferenceSession(path.with_suffix(".onnx"))
    names = [one.name for one in session.get_inputs()]
    assert names == ["the_city", "rooms", "age"]
    result, *p = session.run(
        None, {n: new[[c]].to_numpy() for n, c in zip(names, new, strict=True)}
    )
    model = load(path)
    if of_classes:
        assert result.tolist() == model.predict(new).tolist()
        np.testing.assert_allclose(p[0], model.predict_proba(new), rtol=1e-9)
    else:
        np.testing.assert_allclose(result.ravel(), model.predict(new), rtol=1e-9)
    for name in ("c", "numpy"):
        error = error_of(capsys, "export", path, "--to", name)
        assert "columns of text" in error
        assert "--to onnx" in error


def test_onnx_takes_what_skl2onnx_does(fitted, table, tmp_path, capsys):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    path = fitted(MinMaxScaler(clip=True))
    assert main(["export", str(path), "--to", "onnx"]) == 0
    inputs = 2 * table[["rooms", "age"]]
    session = runtime.InferenceSession(path.with_suffix(".onnx"))
    (prediction,) = session.run(None, {"X": inputs.to_numpy()})
    np.testing.assert_allclose(prediction.ravel(), load(path).predict(inputs), rtol=1e-9)
    capsys.readouterr()
    unknown = make_pipeline(Unknown(), BackpropRegressor(**PARAMETERS))
    unknown.fit(inputs, table["price"])
    joblib.dump(unknown, tmp_path / "unknown.joblib")
    error = error_of(capsys, "export", tmp_path / "unknown.joblib", "--to", "onnx")
    assert "Unknown" in error


def test_without_onnx_it_says_what_to_install(fitted, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    error = error_of(capsys, "export", fitted(StandardScaler()), "--to", "onnx")
    assert "pip install 'fastbp[onnx]'" in error
