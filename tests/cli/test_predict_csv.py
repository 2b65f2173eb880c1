"""`fastbp predict`: a saved model's predictions for a file, and which files it refuses."""

import csv
import io
import os
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastbp import BackpropRegressor, load, save
from fastbp.cli.main import main
from helpers.command_line import HEADER, error_of

PARAMETERS = {"solver": "lm", "hidden_layer_sizes": (2,), "max_iter": 3, "random_state": 0}


@pytest.fixture
def fitted(write, tmp_path, capsys):
    """Fit a table by the command line, and give the model's path."""

    def fit(lines, *arguments, name="model.fastbp"):
        data, saved = write(lines), tmp_path / name
        command = ["fit", str(data), "--target", "price", "--max-iter", "30", "--save", str(saved)]
        assert main([*command, *arguments]) == 0
        data.unlink()
        fit.report = capsys.readouterr().out
        return saved

    return fit


@pytest.fixture
def predicted(capsys):
    """What the command writes to standard output, as header and rows, and what to stderr."""

    def predict(*arguments):
        assert main(["predict", *map(str, arguments)]) == 0
        output = capsys.readouterr()
        header, *rows = csv.reader(io.StringIO(output.out))
        return header, rows, output.err

    return predict


def _table(rows):
    return pd.DataFrame(np.array(rows, dtype=float), columns=HEADER)


@pytest.mark.parametrize("name", ["model.fastbp", "model", "model.joblib"])
def test_predictions_are_the_models_whatever_the_order(rows, write, fitted, predicted, name):
    path = fitted([HEADER, *rows], name=name)
    model = joblib.load(path) if name.endswith("joblib") else load(path)
    assert ("joblib.load" in fitted.report) == name.endswith("joblib")
    expected = model.predict(_table(rows)[["rooms", "age"]])
    in_order = [["rooms", "age"], *(row[:2] for row in rows)]
    header, predictions, errors = predicted(path, write(in_order))
    assert header == ["prediction"]
    assert not errors
    np.testing.assert_allclose(np.array(predictions, float)[:, 0], expected)
    mixed = [["age", "owner", "rooms"], *([row[1], "a, b", row[0]] for row in rows)]
    header, again, errors = predicted(path, write(mixed, ";"))
    assert again == predictions
    assert errors == "fastbp: ignored columns that the model does not know: 'owner'\n"


def test_a_file_is_written_whole(rows, write, fitted, tmp_path, capsys):
    path, data, out = fitted([HEADER, *rows]), write([HEADER, *rows]), tmp_path / "out.csv"
    assert main(["predict", str(path), str(data), "-o", str(out)]) == 0
    assert not capsys.readouterr().out
    assert len(pd.read_csv(out)) == 80
    for taken in (path, data):
        before = taken.read_bytes()
        error = error_of(capsys, "predict", path, data, "-o", taken)
        assert "would overwrite what is read" in error
        assert taken.read_bytes() == before
    error = error_of(capsys, "predict", path, data, "-o", tmp_path / "none" / "out.csv")
    assert "cannot write" in error


@pytest.mark.skipif(os.name != "posix", reason="POSIX alone")
def test_a_pipe_and_a_link_stay_what_they_are(rows, write, fitted, tmp_path):
    path, data = fitted([HEADER, *rows]), write([HEADER, *rows])
    pipe, link, out = (tmp_path / name for name in ("pipe", "link", "out.csv"))
    os.mkfifo(pipe)
    link.symlink_to(out)
    with ThreadPoolExecutor() as pool:
        received = pool.submit(pipe.read_text)
        assert main(["predict", str(path), str(data), "-o", str(pipe)]) == 0
        assert received.result(60).startswith("prediction\n")
        received = pool.submit(pipe.read_bytes)
        save(load(path), pipe)
        assert received.result(60) == path.read_bytes()
    assert pipe.is_fifo()
    assert main(["predict", str(path), str(data), "-o", str(link)]) == 0
    assert link.is_symlink()
    assert out.read_text().startswith("prediction\n")


def test_labels_and_probabilities(rows, write, fitted, predicted, capsys):
    lines = [[*row[:2], "dear" if float(row[2]) > 400 else "cheap"] for row in rows]
    path = fitted([HEADER, *lines])
    data = write([HEADER[:2], *(row[:2] for row in rows)])
    model, inputs = load(path), _table(rows)[["rooms", "age"]]
    header, labels, _ = predicted(path, data)
    assert header == ["prediction"]
    assert [label for [label] in labels] == model.predict(inputs).tolist()
    header, probabilities, _ = predicted(path, data, "--proba")
    assert header == ["cheap", "dear"]
    np.testing.assert_allclose(np.array(probabilities, float), model.predict_proba(inputs))
    numbers = fitted([HEADER, *rows])
    data = write([HEADER, *rows])
    assert "--proba is for classes" in error_of(capsys, "predict", numbers, data, "--proba")


def test_text_is_one_hot_and_missing_values_are_filled(rows, rng, write, fitted, predicted):
    cities = rng.choice(["Bern", "Basel", ""], len(rows)).tolist()
    lines = [
        [city, *row[:2], repr(float(row[2]) + 300 * (city == "Bern"))]
        for city, row in zip(cities, rows, strict=True)
    ]
    lines[7][2] = "n/a"
    path = fitted([["city", *HEADER], *lines], "--solver", "lm", "--hidden", "4")
    assert "each label becomes a column of 0 and 1: city" in fitted.report
    assert "replaced by the column's mean: 1 of 'age'" in fitted.report
    assert f"a label of their own: {cities.count('')} of 'city'" in fitted.report
    new = [["age", "city", "rooms"], ["10", "Basel", "5"], ["10", "Bern", "5"], ["", "Rome", "5"]]
    _, predictions, errors = predicted(path, write(new))
    [basel], [bern], _ = np.array(predictions, float)
    assert 200 < bern - basel < 400
    assert "replaced by the column's mean in the training: 1 of 'age'" in errors
    assert "texts that the training had none of" in errors
    assert "1 of 'city'" in errors
    table = pd.DataFrame({"city": ["Basel"], "rooms": [5.0], "age": [10.0]})
    assert load(path).predict(table) == pytest.approx(basel)


def test_a_table_of_text_without_rows_is_one_line(rows, write, fitted, capsys):
    path = fitted([["city", *HEADER], *([f"{i % 3} St", *row] for i, row in enumerate(rows))])
    assert "has no rows" in error_of(capsys, "predict", path, write([["city", *HEADER]]))


def test_a_column_of_names_is_no_column_of_labels(rows, write, capsys):
    lines = [["owner", *HEADER], *([f"owner {i}", *row] for i, row in enumerate(rows))]
    error = error_of(capsys, "fit", write(lines), "--target", "price")
    assert "'owner' has 80 different texts in 80 rows" in error
    assert "--drop owner" in error


def test_a_column_without_any_value_is_named(rows, write, capsys):
    lines = [["none", *HEADER], *(["", *row] for row in rows)]
    assert "'none' has no value" in error_of(capsys, "fit", write(lines), "--target", "price")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([["rooms"], ["1"]], "lacks columns that the model was trained on: age. Its columns: room"),
        ([["rooms", "age", "age"], ["1", "2", "3"]], "2 columns named 'age'"),
        ([["rooms", "age"], ["1", "old"]], "line 2: column 'age' has 'old', which is not a number"),
        ([["rooms", "age"], ["1", ""]], "line 2: column 'age' has no value"),
        ([["rooms", "age"], ["1_0", "2"]], "without underscores"),
        ([["rooms", "age"]], "has no rows"),
    ],
)
def test_a_table_that_the_model_cannot_take_is_one_line(rows, write, fitted, capsys, lines, said):
    error = error_of(capsys, "predict", fitted([HEADER, *rows]), write(lines))
    assert said in error
    assert "--drop" not in error


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_file_that_holds_no_model_is_one_line(rows, write, tmp_path, capsys):
    data = write([HEADER, *rows])
    refused = {
        "none.fastbp": (None, "cannot read"),
        "none.joblib": (None, "cannot read"),
        "text.fastbp": (b"rooms,age", "is not loaded"),
        "text.joblib": (b"rooms,age", "holds no model that joblib loads"),
    }
    for name, (content, said) in refused.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert said in error_of(capsys, "predict", tmp_path / name, data)
    joblib.dump([1, 2], tmp_path / "list.joblib")
    assert "holds no model, but a list" in error_of(
        capsys, "predict", tmp_path / "list.joblib", data
    )
    X = _table(rows).to_numpy()
    save(BackpropRegressor(**PARAMETERS), tmp_path / "new.fastbp")
    fitted = BackpropRegressor(**PARAMETERS).fit(X, X[:, 0])
    save(fitted, tmp_path / "bare.fastbp")
    for name in ("new.fastbp", "bare.fastbp"):
        assert "keeps no names of columns" in error_of(capsys, "predict", tmp_path / name, data)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_pipeline_of_scikit_learns_and_several_outputs(rows, write, tmp_path, predicted):
    table = _table(rows).assign(city=["Bern", "Basel"] * 40)
    encoder = make_column_transformer(
        (OneHotEncoder(), ["city"]), (StandardScaler(), ["rooms", "age"])
    )
    model = make_pipeline(encoder, BackpropRegressor(**PARAMETERS))
    inputs = table[["city", "rooms", "age"]]
    model.fit(inputs, table[["price", "age"]] / 100)
    joblib.dump(model, tmp_path / "own.joblib")
    table.to_csv(tmp_path / "new.csv")
    header, predictions, errors = predicted(tmp_path / "own.joblib", tmp_path / "new.csv")
    assert header == ["prediction_0", "prediction_1"]
    assert "does not know: '', 'price'" in errors
    np.testing.assert_allclose(np.array(predictions, float), model.predict(inputs))
