"""`fastbp fit`: what it reports, what it saves, and which files and options it refuses."""

import gzip
import io
import re
import sys

import numpy as np
import pandas as pd
import pytest

from fastbp import load
from fastbp.backends import device
from fastbp.cli import fit_csv
from fastbp.cli.main import main
from helpers.command_line import HEADER, error_of, r2_of


@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8")]
)
def test_fit_reports_the_error_on_held_out_rows(rows, write, capsys, delimiter, encoding):
    path = write([HEADER, *rows], delimiter, encoding)
    assert main(["fit", str(path), "--target", "price"]) == 0
    output = capsys.readouterr()
    assert r2_of(output.out) > 0.9
    assert "80 rows, 2 inputs (rooms, age)" in output.out
    assert "Training on 64 rows, testing on 16" in output.out
    assert "validation rows" in output.out
    assert not output.err


def test_bayesian_regularisation_needs_no_validation_rows(rows, write, capsys):
    path = write([HEADER, *rows])
    arguments = ("--target", "price", "--solver", "lm", "--alpha", "bayes", "--hidden", "5")
    assert main(["fit", str(path), *arguments]) == 0
    output = capsys.readouterr()
    assert r2_of(output.out) > 0.9
    assert not output.err


def test_the_units_are_the_targets(rows, write, capsys):
    small = [[*row[:-1], repr(float(row[-1]) / 1000)] for row in rows]
    errors = []
    for table in (rows, small):
        main(["fit", str(write([HEADER, *table])), "--target", "price"])
        errors.append(float(re.search(r"RMSE +(\S+)", capsys.readouterr().out)[1]))
    assert errors[0] == pytest.approx(1000 * errors[1], rel=1e-2)


def _saved_model(lines, write, tmp_path):
    saved = tmp_path / "model.fastbp"
    arguments = ["--target", "price", "--save", str(saved), "--test-fraction", "0.5"]
    assert main(["fit", str(write(lines)), *arguments]) == 0
    return load(saved)


def test_a_saved_model_predicts_what_was_reported(rows, write, tmp_path, capsys):
    model = _saved_model([HEADER, *rows], write, tmp_path)
    table = pd.DataFrame(np.array(rows, dtype=float), columns=HEADER)
    inputs = table[["rooms", "age"]]
    assert model.predict(inputs).shape == (80,)
    assert model.score(inputs, table["price"]) > 0.9
    output = capsys.readouterr()
    assert "--save" not in output.err
    assert "a DataFrame with the file's names of columns" in output.out


def test_a_saved_model_refuses_columns_in_another_order(rows, write, tmp_path):
    model = _saved_model([HEADER, *rows], write, tmp_path)
    assert list(model.feature_names_in_) == ["rooms", "age"]
    table = pd.DataFrame(np.array(rows, dtype=float), columns=HEADER)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[["age", "rooms"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(table[["rooms", "age"]].to_numpy())


def test_names_are_kept_without_pandas(rows, write, tmp_path, monkeypatch):
    (tmp_path / "pandas.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pandas")
    model = _saved_model([HEADER, *rows], write, tmp_path)
    assert list(model.feature_names_in_) == ["rooms", "age"]


def test_options_reach_the_network(rows, write, tmp_path):
    saved = tmp_path / "model.fastbp"
    arguments = (
        "--target price --hidden 7 3 --activation relu --solver sgd --max-iter 4 "
        "--batch-size online --seed 5 --alpha 0.5"
    ).split()
    assert main(["fit", str(write([HEADER, *rows])), *arguments, "--save", str(saved)]) == 0
    net = load(saved)[-1]
    assert [coefs.shape for coefs in net.coefs_] == [(2, 7), (7, 3), (3, 1)]
    assert (net.activation, net.solver, net.batch_size) == ("relu", "sgd", "online")
    assert (net.n_iter_, net.random_state, net.alpha) == (4, 5, 0.5)


def test_the_loss_and_the_number_of_starts_reach_the_network(rows, write, tmp_path):
    saved = tmp_path / "model.fastbp"
    arguments = "--target price --loss huber --n-init 2 --max-iter 5 --save".split()
    assert main(["fit", str(write([HEADER, *rows])), *arguments, str(saved)]) == 0
    net = load(saved)[-1]
    assert net.loss == "huber"
    assert len(net.init_losses_) == 2


def test_a_loss_above_zero_refuses_zero_wherever_it_stands(rows, write, capsys):
    for i, row in enumerate(rows):
        row[-1] = str(i)  # one of them is in the split's test rows, or in its training rows
    arguments = ["--target", "price", "--max-iter", "2", "--loss"]
    data = write([HEADER, *rows[::-1]])
    assert "line 81: column 'price' has 0" in error_of(capsys, "fit", data, *arguments, "gamma")
    assert main(["fit", str(data), *arguments, "poisson"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--loss poisson", "line 5: column 'price' has -1, which --loss poisson does not take"),
        ("--loss huber --solver lm", "solver='lm' is for squared errors"),
        ("--plot loss.csv", "has to end in one of"),
        ("--plot none/loss.png", "cannot write none"),
    ],
)
def test_what_does_not_go_together_is_one_line(rows, write, capsys, arguments, said):
    if "--plot" in arguments:
        pytest.importorskip("matplotlib")
    rows[3][-1] = "-1"
    error = error_of(capsys, "fit", write([HEADER, *rows]), "--target", "price", *arguments.split())
    assert said in error


def test_the_loss_is_drawn(rows, write, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    path = tmp_path / "loss.png"
    arguments = ["--target", "price", "--max-iter", "5", "--plot", str(path)]
    assert main(["fit", str(write([HEADER, *rows])), *arguments]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert f"Drawn: {path}" in capsys.readouterr().out


def test_without_matplotlib_nothing_is_trained(rows, write, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    data = write([HEADER, *rows])
    error = error_of(capsys, "fit", data, "--target", "price", "--plot", tmp_path / "loss.png")
    assert "pip install 'fastbp[plot]'" in error


def test_a_packed_file_and_standard_input_are_read_alike(
    rows, write, tmp_path, monkeypatch, capsys
):
    plain = write([HEADER, *rows])
    packed, in_capitals = tmp_path / "houses.csv.gz", tmp_path / "OTHER.CSV.GZ"
    for name in (packed, in_capitals):
        name.write_bytes(gzip.compress(plain.read_bytes()))
    reports = []
    for name in (plain, packed, in_capitals, "-"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(plain.read_bytes())))
        assert main(["fit", str(name), "--target", "price", "--max-iter", "5"]) == 0
        reports.append(re.sub(r"^.*: 80 rows|\(.* s with", "", capsys.readouterr().out))
    assert len(set(reports)) == 1
    for content in (plain.read_bytes(), packed.read_bytes()[:-9], packed.read_bytes()[:90] + b"no"):
        packed.write_bytes(content)
        assert "cannot read" in error_of(capsys, "fit", packed, "--target", "price")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert "standard input is empty" in error_of(capsys, "fit", "-", "--target", "price")
    monkeypatch.setattr(sys, "stdin", None)
    assert "it is closed" in error_of(capsys, "fit", "-", "--target", "price")


def test_the_seed_decides(rows, write, capsys):
    path = str(write([HEADER, *rows]))
    results = []
    for seed in ("1", "1", "2"):
        main(["fit", path, "--target", "price", "--max-iter", "5", "--seed", seed])
        results.append(r2_of(capsys.readouterr().out))
    assert results[0] == results[1] != results[2]


def test_dropped_columns_may_hold_anything(rows, write, capsys):
    lines = [["name", *HEADER], *(["a house, say", *row] for row in rows)]
    assert main(["fit", str(write(lines)), "--target", "price", "--drop", "name"]) == 0
    assert "2 inputs (rooms, age)" in capsys.readouterr().out


def test_an_empty_line_is_no_row(rows, write, capsys):
    assert main(["fit", str(write([HEADER, *rows, []])), "--target", "price"]) == 0
    assert "80 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        (0, "three", ["column 'rooms' has 'three'", "not a number", "--drop rooms"]),
        (0, "3,5", ["'3,5'", "decimals are written with a point"]),
        (2, "", ["column 'price' has no value ('')"]),
        (2, "NA", ["column 'price' has no value ('NA')"]),
        (1, "inf", ["infinite"]),
        (1, "1e999", ["infinite"]),
        (1, "1e300", ["column 'age' has '1e300'", "too large", "--drop age"]),
        (2, "-1e300", ["column 'price' has '-1e300'", "too large"]),
        (0, "1_0", ["'1_0'", "not a number", "without underscores"]),
        (2, "1_0", ["'1_0'", "not a number", "without underscores"]),
        (2, "cheap", ["column 'price' has 'cheap'"]),
    ],
)
def test_a_cell_that_is_no_number_is_named(rows, write, capsys, column, cell, said):
    rows[4][column] = cell
    error = error_of(capsys, "fit", write([HEADER, *rows]), "--target", "price")
    assert "line 6" in error
    assert all(words in error for words in said), error
    assert ("--drop" in error) == (column != 2)


def test_the_line_is_the_files_own(rows, write, capsys):
    rows[4][0] = "three"
    lines = [["name", *HEADER], [], *(["two\nlines", *row] for row in rows)]
    error = error_of(capsys, "fit", write(lines), "--target", "price", "--drop", "name")
    assert "line 12:" in error


def test_decimal_commas_are_no_text(rows, write, capsys):
    for columns in ((0,), (2,)):
        lines = [
            [f"{float(cell):.0f},5" if i in columns else cell for i, cell in enumerate(row)]
            for row in rows
        ]
        error = error_of(capsys, "fit", write([HEADER, *lines], ";"), "--target", "price")
        assert "line 2: column" in error
        assert "decimals are written with a point" in error


def test_a_space_may_stand_before_a_quote(rows, tmp_path, capsys):
    path = tmp_path / "houses.csv"
    lines = [", ".join(f'"{cell}"' for cell in row) for row in [["a, b", *HEADER[1:]], *rows]]
    path.write_text("\n".join(lines))
    assert main(["fit", str(path), "--target", "price", "--max-iter", "1"]) == 0
    assert "2 inputs (a, b, age)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"rooms,age,price\n", "0 rows below its header"),
        (b"rooms,age,price\n1,2,3\n", "1 rows below its header"),
        (b"rooms,age,price\n1,2,3\n1,2\n", "line 3 has 2 cells where the header has 3"),
        (b"rooms,age,price\n1,2,3,4\n", "line 2 has 4 cells where the header has 3"),
        (b'rooms,age,price\n1,2,3\n\n"1,2,3\n1,2,3\n', "row of lines 4 to 5 has 1 cells where"),
        (b"price\n1\n2\n", "no column besides 'price'"),
        (b"rooms,price,price\n1,2,3\n", "2 columns named 'price'"),
        (b"rooms,Price\n1,2\n", "did you mean 'Price'? Its columns: rooms, Price"),
        (b"rooms,cost\n1,2\n", "no column 'price'. Its columns: rooms, cost"),
        (b"rooms,price\n" + b"1,2\n" * 20, "is 2 in every row"),
        (b"\xff\xfer\x00o\x00", "not a text file in UTF-8"),
        (b"rooms,price\n1,\xe9\n", "not a text file in UTF-8"),
        (b'rooms,price\n1,"' + b"2" * 200_000 + b'"\n', "not a CSV file"),
        (b"rooms,price\n1,\x00\n", "houses.csv"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, capsys, content, said):
    path = tmp_path / "houses.csv"
    path.write_bytes(content)
    assert said in error_of(capsys, "fit", path, "--target", "price")


def test_a_file_that_cannot_be_read_is_refused(tmp_path, capsys):
    for path in (tmp_path / "none.csv", tmp_path):
        assert f"cannot read {path}" in error_of(capsys, "fit", path, "--target", "price")


def test_saving_is_tried_before_the_training(rows, write, tmp_path, capsys):
    data = write([HEADER, *rows])
    content = data.read_bytes()
    for path, said in (
        (tmp_path / "none" / "model", "cannot write"),
        (tmp_path, "cannot write"),
        (data, "would overwrite what is read"),
        ("-", "not to standard output"),
    ):
        assert said in error_of(capsys, "fit", data, "--target", "price", "--save", path)
    assert data.read_bytes() == content
    never = tmp_path / "never"
    error_of(capsys, "fit", data, "--target", "size", "--save", never)
    assert not never.exists()


@pytest.mark.parametrize("fraction", ["0.001", "0.99"])
def test_a_split_that_leaves_too_little_is_refused(rows, write, capsys, fraction):
    arguments = ("--target", "price", "--test-fraction", fraction)
    assert "for testing" in error_of(capsys, "fit", write([HEADER, *rows]), *arguments)


def test_a_training_that_diverges_says_so(rows, write, capsys):
    arguments = ("--target", "price", "--solver", "sgd", "--alpha", "1e9")
    main(["fit", str(write([HEADER, *rows])), *arguments])
    assert "the loss was no longer finite; these are the last good" in capsys.readouterr().out


def test_no_gpu_is_one_line_before_the_file_is_read(capsys, monkeypatch):
    for module in (device, fit_csv):
        monkeypatch.setattr(module, "why_no_gpu", lambda: "there is none")
    error = error_of(capsys, "fit", "none.csv", "--target", "price", "--device", "cuda")
    assert "--device cuda needs a GPU, but there is none" in error


def test_the_target_cannot_be_dropped(rows, write, capsys):
    arguments = ("--target", "price", "--drop", "age", "price")
    error = error_of(capsys, "fit", write([HEADER, *rows]), *arguments)
    assert "--drop price: that is the target" in error


def test_a_fit_that_learnt_nothing_is_remarked(rows, write, rng, capsys):
    remark = "no better than always saying the mean"
    main(["fit", str(write([HEADER, *rows])), "--target", "price"])
    assert remark not in capsys.readouterr().out
    for row in rows:
        row[-1] = repr(float(rng.normal()))
    arguments = ["--target", "price", "--solver", "lbfgs", "--alpha", "0"]
    assert main(["fit", str(write([HEADER, *rows])), *arguments]) == 0
    output = capsys.readouterr().out
    assert r2_of(output) < 0
    assert remark in output


def test_pandas_row_numbers_are_told_however_often_they_were_written(rows, write, tmp_path, capsys):
    path = write([HEADER, *rows])
    for _ in range(3):
        pd.read_csv(path).to_csv(path)
    saved = tmp_path / "model.fastbp"
    arguments = ["--target", "price", "--max-iter", "5", "--save", str(saved)]
    assert main(["fit", str(path), *arguments]) == 0
    assert "'', 'Unnamed: 0.1', 'Unnamed: 0': pandas and R label" in capsys.readouterr().out
    assert list(load(saved).feature_names_in_) == ["rooms", "age"]


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_a_first_column_without_a_name_labels_rows(rows, write, tmp_path, capsys, name):
    lines = [[name, *HEADER], *([str(i), *row] for i, row in enumerate(rows))]
    assert list(_saved_model(lines, write, tmp_path).feature_names_in_) == ["rooms", "age"]
    assert "Left out the first column, whose header is " + repr(name) in capsys.readouterr().out
    main(["fit", str(write(lines)), "--target", "price", "--drop", name, "--max-iter", "1"])
    assert "Left out" not in capsys.readouterr().out


def test_row_labels_are_no_inputs(write, capsys):
    lines = [["", "price"], *([str(i), str(i)] for i in range(20))]
    error = error_of(capsys, "fit", write(lines), "--target", "price")
    assert "no column besides 'price'" in error
    assert "labels the rows" in error
    assert main(["fit", str(write(lines)), "--target", "", "--max-iter", "1"]) == 0


# Classes.


def _with_classes(rows, of_price):
    return [[rooms, age, of_price(float(price))] for rooms, age, price in rows]


@pytest.mark.parametrize(
    ("of_price", "classes"),
    [
        (lambda price: "dear" if price > 400 else "cheap", r"2 classes \(cheap, dear\)"),
        (lambda price: str(min(max(int(price // 300), 0), 2)), r"3 classes \(0, 1, 2\)"),
    ],
    ids=["text", "numbers"],
)
def test_text_and_few_whole_numbers_are_classes(rows, write, tmp_path, capsys, of_price, classes):
    path = write([HEADER, *_with_classes(rows, of_price)])
    saved = tmp_path / "model.fastbp"
    assert main(["fit", str(path), "--target", "price", "--save", str(saved)]) == 0
    output = capsys.readouterr()
    assert re.search(f"'price' is taken for {classes}; --task regression", output.out)
    assert float(re.search(r"accuracy +(\S+)", output.out)[1]) > 0.8
    assert not output.err
    table = pd.read_csv(path)
    model = load(saved)
    assert model.score(table[["rooms", "age"]], table["price"]) > 0.8
    assert model.predict_proba(table[["rooms", "age"]]).shape[0] == 80


def test_whole_numbers_can_be_trained_on_as_numbers(rows, write, capsys):
    path = write([HEADER, *_with_classes(rows, lambda price: str(int(price // 300)))])
    main(["fit", str(path), "--target", "price", "--task", "regression"])
    assert r2_of(capsys.readouterr().out) > 0.5
    many = write([HEADER, *_with_classes(rows, lambda price: str(int(price)))])
    main(["fit", str(many), "--target", "price"])
    assert r2_of(capsys.readouterr().out) > 0.5


@pytest.mark.parametrize(
    ("of_price", "arguments", "said"),
    [
        (lambda price: f"{price:.3f}", ("--task", "classification"), "different labels in 80 rows"),
        (lambda price: "dear" if price > 400 else "", ("--task", "classification"), "no value"),
        (lambda price: "dear" if price > 400 else "cheap", ("--solver", "lm"), "numeric targets"),
        (lambda price: "dear" if price > 400 else "cheap", ("--alpha", "bayes"), "numeric targets"),
        (lambda price: "dear" if price > 400 else "cheap", ("--loss", "huber"), "numeric targets"),
        (lambda price: "same", (), "'same' in every row"),
    ],
)
def test_classes_that_cannot_be_learnt_are_one_line(rows, write, capsys, of_price, arguments, said):
    path = write([HEADER, *_with_classes(rows, of_price)])
    assert said in error_of(capsys, "fit", path, "--target", "price", *arguments)


def test_a_class_of_one_row_is_named(rows, write, capsys):
    labelled = _with_classes(rows, lambda price: "dear" if price > 400 else "cheap")
    labelled[7][-1] = "priceless"
    error = error_of(capsys, "fit", write([HEADER, *labelled]), "--target", "price")
    assert "priceless is the label of 1 of 80 rows" in error
