"""A saved model is the same model: it predicts, describes and trains on with the same bits."""

import json
import os
import stat
import threading

import numpy as np
import pytest
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

from conftest import REPOSITORY
from fastbp import Activation, BackpropClassifier, BackpropRegressor, Loss, load, save
from fastbp.estimators.table_encoder import TableEncoder
from fastbp.storage import replacement
from helpers.fits import EVERY_MODE, EVERY_STOCHASTIC_MODE, SHORT, make_net
from helpers.kept import DATA, kept_models, rows
from helpers.own_records import cubed, cubed_gradient, gauss, gauss_slope
from helpers.saved import assert_same_model

pytestmark = SHORT
KEPT = sorted(DATA.glob("format-1-*.fastbp"))
GAUSS = Activation("gauss", gauss, gauss_slope)


@pytest.fixture
def again(tmp_path):
    """Save and load a model."""

    def run(model):
        save(model, tmp_path / "model.fastbp")
        loaded = load(tmp_path / "model.fastbp")
        assert_same_model(model, loaded)
        return loaded

    return run


@EVERY_MODE
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
def test_a_regressor_is_the_same_for_every_solver(mode, dtype, problem, again):
    X, y = problem(dtype=dtype)
    net = make_net(mode, max_iter=4).fit(X, y)
    loaded = again(net)
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X), strict=True)
    assert loaded.predict_one(X[0]) == net.predict_one(X[0])


@pytest.mark.parametrize(
    "parameters",
    [
        {"early_stopping": True, "validation_fraction": 0.3},
        {"early_stopping": "GL5", "loss": "absolute_error"},
        {"solver": "lm", "alpha": "bayes"},
        {"scale_target": True, "n_init": 3},
        {"solver": "lm", "lm_acceleration": True},
        {"loss": "quantile", "quantile": np.array([0.1, 0.5, 0.9])},
        {"loss": "huber", "huber_delta": np.float32(0.5)},
        {"loss": "poisson", "scale_target": True},
        {"activation": ["tanh", "relu"], "hidden_layer_sizes": [3, 2], "output_activation": "sin"},
        {"hidden_layer_sizes": np.array([3, 2]), "learning_rate": "invscaling", "solver": "sgd"},
        {"hidden_layer_sizes": (), "n_iter_no_change": np.inf, "loss_goal": 0.1, "max_time": 100},
        {"random_state": np.random.RandomState(7)},
        {"random_state": None, "warm_start": np.True_},
    ],
    ids=str,
)
def test_a_regressor_is_the_same_whatever_its_parameters(parameters, problem, again):
    X, y = problem(positive=True)
    net = make_net("adam", **{"max_iter": 4} | parameters).fit(X, y)
    np.testing.assert_array_equal(again(net).predict(X), net.predict(X))


def test_a_committee_and_doubts_and_the_path_are_kept(problem, again):
    X, y = problem()
    committee = make_net("adam", n_init=3, keep_all=True).fit(X, y)
    for ours, theirs in zip(
        again(committee).predict(X, return_std=True),
        committee.predict(X, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    net = make_net("lm", record_path=True).fit(X, y)
    loaded = again(net)
    np.testing.assert_array_equal(loaded.path_, net.path_)
    np.testing.assert_array_equal(
        loaded.predict(X, return_std=True)[1], net.predict(X, return_std=True)[1]
    )


def test_several_outputs_that_are_scaled(problem, again):
    X, y = problem(n_outputs=3)
    net = make_net("adam", scale_target=True).fit(X, 50 + 7 * y)
    np.testing.assert_array_equal(again(net).predict(X), net.predict(X))


LABELS = {
    "int": [3, 7],
    "int8": np.array([3, 7, 9], np.int8),
    "unsigned": np.array([3, 7, 9], np.uint64),
    "str": ["no", "yes"],
    "text of objects": np.array(["ä", "b\n", '"c"'], object),
    "bool": [False, True],
    "float": [1.0, 2.0, -3.0],
    "float32": np.array([1.0, 2.0], np.float32),
    "one": ["a"],
    "multilabel": np.eye(3, dtype=int),
    "two labels": np.array([[0, 1], [1, 1]]),
    "sparse": sparse.csr_matrix(np.eye(3, dtype=int)),
}


@pytest.mark.parametrize("labels", LABELS)
def test_a_classifier_is_the_same_for_labels_of_every_type(labels, problem, again):
    X, _ = problem()
    classes = LABELS[labels]
    n = classes.shape[0] if sparse.issparse(classes) else len(classes)
    chosen = np.arange(len(X)) % n
    y = classes[chosen] if sparse.issparse(classes) else np.asarray(classes)[chosen]
    net = BackpropClassifier((4,), max_iter=3, random_state=0).fit(X, y)
    loaded = again(net)
    assert loaded.classes_.dtype == net.classes_.dtype
    np.testing.assert_array_equal(loaded.predict_proba(X), net.predict_proba(X))
    before, after = net.predict(X), loaded.predict(X)
    if sparse.issparse(before):
        before, after = before.toarray(), after.toarray()
    np.testing.assert_array_equal(after, before, strict=True)
    net.partial_fit(X, y)
    loaded.partial_fit(X, y)
    np.testing.assert_array_equal(loaded.predict_proba(X), net.predict_proba(X))


def test_soft_labels_and_class_weights(problem, again):
    X, _ = problem()
    y = np.full((len(X), 2), 0.5)
    net = BackpropClassifier((4,), soft_labels=True, max_iter=3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(again(net).predict_proba(X), net.predict_proba(X))
    y = np.arange(len(X)) % 2
    net = BackpropClassifier((4,), class_weight={0: 2.0, 1: np.float64(3)}, max_iter=3).fit(X, y)
    assert again(net).class_weight == {0: 2.0, 1: 3.0}


def test_names_of_features(problem, again):
    pd = pytest.importorskip("pandas")
    X, y = problem()
    table = pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    net = make_net("lm").fit(table, y)
    loaded = again(net)
    np.testing.assert_array_equal(loaded.predict(table), net.predict(table))
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(table.rename(columns={"column 0": "other"}))


def test_one_that_is_not_fitted(again):
    again(BackpropRegressor(activation="tanh", random_state=3))
    again(BackpropClassifier((4, 5), class_weight="balanced"))


@EVERY_STOCHASTIC_MODE
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
def test_training_goes_on_with_the_same_bits(mode, dtype, problem, again):
    X, y = problem(dtype=dtype)
    net = make_net(mode, random_state=np.random.RandomState(3)).fit(X, y)
    loaded = again(net)
    for model in (net, loaded):
        for _ in range(3):
            model.partial_fit(X, y)
        if mode.endswith("online"):
            model.learn_one(X[0], y[0])
        model.set_params(warm_start=True, max_iter=3).fit(X, y)
    for one, other in zip(net.coefs_, loaded.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert net.loss_curve_ == loaded.loss_curve_


def test_in_the_middle_of_learning_one_by_one(problem, again):
    X, y = problem()
    net = make_net("adam-online", learning_rate_init=0.01)
    for x, target in zip(X[:20], y[:20], strict=True):
        net.learn_one(x, target)
    loaded = again(net)
    for x, target in zip(X[20:], y[20:], strict=True):
        net.learn_one(x, target)
        loaded.learn_one(x, target)
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))
    assert loaded.t_ == net.t_ == len(X)


def test_weights_that_were_edited(problem, again):
    X, y = problem()
    net = make_net("lm").fit(X, y)
    net.coefs_[0] = net.coefs_[0] * 2
    net.intercepts_[-1][0] = 5
    np.testing.assert_array_equal(again(net).predict(X), net.predict(X))


@pytest.mark.parametrize(
    "scaler",
    [
        StandardScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        MinMaxScaler((-1, 1), clip=True),
    ],
    ids=str,
)
def test_a_pipeline(scaler, problem, again):
    X, y = problem()
    model = make_pipeline(scaler, "passthrough", make_net("adam")).fit(10 * X + 3, y)
    np.testing.assert_array_equal(again(model).predict(X), model.predict(X))


def test_a_pipeline_of_missing_numbers_and_one_not_fitted(problem, again):
    X, y = problem()
    X[3, 1] = np.nan  # then the scaler counts by column
    model = make_pipeline(StandardScaler(), make_net("adam"))
    again(model)
    model[0].fit(X)
    again(model)


def test_other_models_are_refused_by_name(tmp_path, problem):
    X, y = problem()
    path = tmp_path / "model.fastbp"

    class Mine(BackpropRegressor):
        pass

    refused = [
        (StandardScaler(), "within a Pipeline"),
        (PolynomialFeatures(), "PolynomialFeatures.*skops"),
        (Mine(), "Mine.*joblib"),
        (make_pipeline(PolynomialFeatures(), make_net("lm")), "'polynomialfeatures'.*skops"),
        (make_pipeline(StandardScaler()), "ends in BackpropRegressor"),
        (make_pipeline(StandardScaler(), make_net("lm"), memory=str(tmp_path)), "memory"),
        (make_pipeline(StandardScaler().set_output(transform="pandas"), make_net("lm")), "output"),
        (make_net("adam", activation=GAUSS), "activation is .*gauss.*joblib.dump"),
        (make_net("adam", activation=[GAUSS]), "activation.0 is .*gauss"),
        (make_net("adam", loss=Loss("cubed", cubed, cubed_gradient)), "loss is .*cubed"),
        (BackpropRegressor(hidden_layer_sizes=range(2, 4)), "hidden_layer_sizes is range"),
        (BackpropRegressor(alpha=-1), "alpha"),
        (
            BackpropRegressor(random_state=np.random.RandomState(np.random.PCG64(0))),
            "random_state is a RandomState over PCG64",
        ),
    ]
    for model, message in refused:
        with pytest.raises(ValueError, match=message):
            save(model, path)
    net = make_net("lm").fit(X, y)
    net.note_ = "mine"
    with pytest.raises(ValueError, match=r"the attributes \['note_'\]"):
        save(net, path)
    assert not list(tmp_path.iterdir())


def test_the_official_reader_sees_the_arrays(tmp_path, problem):
    safetensors = pytest.importorskip("safetensors")
    from safetensors.numpy import load_file

    X, y = problem()
    net = make_net("adam").fit(X, y)
    path = tmp_path / "net.safetensors"
    save(net, path)
    arrays = load_file(path)
    np.testing.assert_array_equal(arrays["coefs.0"], net.coefs_[0])
    np.testing.assert_array_equal(arrays["intercepts.1"], net.intercepts_[1])
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata()["format"] == "fastbp"
        assert json.loads(file.metadata()["document"])["class"] == "BackpropRegressor"


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_file_of_format_1_is_read_for_ever(path):
    model = load(path)
    expected = json.loads(path.with_suffix(".json").read_text())
    predict = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    prediction = predict(rows()[0])
    tolerance = 1e-5 if prediction.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(prediction, expected, rtol=tolerance, atol=tolerance)


def test_there_is_a_file_of_format_1_of_each_kind():
    assert {path.stem for path in KEPT} == {f"format-1-{name}" for name in kept_models()}


SKOPS = {
    "adam": lambda: make_net("adam", scale_target=True),
    "lm, in doubt": lambda: make_net("lm", alpha="bayes"),
    "a committee": lambda: make_net("adam", n_init=2, keep_all=True),
    "polynomials": lambda: make_pipeline(PolynomialFeatures(), make_net("lbfgs")),
    "a table": lambda: make_pipeline(TableEncoder(), make_net("adam")),
    "labels": lambda: BackpropClassifier((3,), max_iter=2),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", SKOPS)
def test_skops_keeps_all_with_the_types_in_the_guide(name, problem):
    io = pytest.importorskip("skops.io")
    X, y = problem()
    model = SKOPS[name]().fit(X, y > 0 if name == "labels" else y)
    data = io.dumps(model)
    untrusted = io.get_untrusted_types(data=data)
    guide = (REPOSITORY / "docs/guide/saving.md").read_text()
    assert all(one.removeprefix("fastbp.") in guide for one in untrusted), untrusted
    np.testing.assert_array_equal(io.loads(data, trusted=untrusted).predict(X), model.predict(X))


# Written whole or not at all.


@pytest.mark.parametrize("fails", ["fsync", "replace", "open"])
def test_a_failed_write_leaves_the_old_file(fails, tmp_path, problem, monkeypatch):
    X, y = problem()
    path = tmp_path / "model.fastbp"
    save(make_net("lm").fit(X, y), path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    owner = replacement if fails == "open" else replacement.os
    monkeypatch.setattr(owner, fails, full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        save(make_net("adam").fit(X, y), path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_open_to_others_as_any_and_links_are_followed(tmp_path, problem):
    X, y = problem()
    net, path, link = make_net("lm").fit(X, y), tmp_path / "model", tmp_path / "link"
    plain = tmp_path / "plain"
    plain.write_text("")
    path.write_text("")
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("no links here")
    save(net, link)
    assert link.is_symlink()
    load(path)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    with pytest.raises(FileNotFoundError):
        save(net, tmp_path / "no folder" / "model")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def test_a_reader_sees_the_old_or_the_new_file(tmp_path, problem):
    X, y = problem()
    path = os.fspath(tmp_path / "model.fastbp")
    nets = [make_net("adam", random_state=i).fit(X, y) for i in range(2)]
    save(nets[0], path)
    done, failures = threading.Event(), []

    def read():
        while not done.is_set():
            seen = load(path).coefs_[0]
            if not any(np.array_equal(seen, net.coefs_[0]) for net in nets):
                failures.append(seen)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(30):
        save(nets[i % 2], path)
    done.set()
    reader.join()
    assert not failures
