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
    runtime = pytest.importorskip("onnxruntime")
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


def test_missing_values_are_not_filled_and_it_says_so(write, rows, table, tmp_path, capsys):
    path = tmp_path / "model.fastbp"
    arguments = ["--target", "price", "--max-iter", "5", "--save", str(path)]
    rows[0][1] = ""
    assert main(["fit", str(write([HEADER, *rows])), *arguments]) == 0
    capsys.readouterr()
    assert main(["export", str(path), "--to", "numpy", "-o", "-"]) == 0
    output = capsys.readouterr()
    assert "are not replaced in the export" in output.err
    inputs = table[["rooms", "age"]]
    prediction = _run(output.out)["predict"](inputs.to_numpy())
    np.testing.assert_allclose(prediction, load(path).predict(inputs), rtol=1e-9)
    named = [
        ["city", *HEADER],
        *(["Bern Basel".split()[i % 2], *row] for i, row in enumerate(rows)),
    ]
    assert main(["fit", str(write(named)), *arguments]) == 0
    capsys.readouterr()
    assert "columns of text" in error_of(capsys, "export", path, "--to", "onnx")


def test_without_onnx_it_says_what_to_install(fitted, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    error = error_of(capsys, "export", fitted(StandardScaler()), "--to", "onnx")
    assert "pip install 'fastbp[onnx]'" in error
