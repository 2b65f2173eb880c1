"""Dask arrays and DataFrames in fit and predict, in Dask's threads: what comes out and is refused.

The data are small; the same numbers as in memory are expected, to the rounding of sums that are
made in another order.
"""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning

from fastbp import BackpropClassifier, BackpropRegressor

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
delayed = pytest.importorskip("dask").delayed

_N = 230

#: A few iterations are enough here.
pytestmark = pytest.mark.filterwarnings("ignore:solver=")


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(_N, 3))
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
    return X, y


def _regressor(**parameters):
    return BackpropRegressor(
        hidden_layer_sizes=(4,),
        activation="tanh",
        random_state=0,
        **{"solver": "rprop", "alpha": 0.1, "max_iter": 4} | parameters,
    )


def _classifier(**parameters):
    return BackpropClassifier((4,), solver="bfgs", max_iter=8, random_state=0, **parameters)


def _lazy(array, chunks=50):
    return da.from_array(array, chunks=(chunks, *array.shape[1:]))


def _assert_same(one, other, rtol=1e-6):
    assert one.loss_ == pytest.approx(other.loss_, rel=rtol)
    for mine, theirs in zip(one.coefs_, other.coefs_, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol)


_BATCH_SOLVERS = ["lbfgs", "bfgs", "cg", "scg", "lm", "rprop", "gd"]


@pytest.mark.parametrize("solver", _BATCH_SOLVERS)
def test_batch_solvers_come_to_the_same(solver, data):
    X, y = data
    net = _regressor(solver=solver)
    _assert_same(clone(net).fit(_lazy(X), _lazy(y)), net.fit(X, y))


def test_accelerated_steps_are_those_in_memory(data):
    X, y = data
    net = _regressor(solver="lm", lm_acceleration=True, max_iter=6)
    lazy = clone(net).fit(_lazy(X), _lazy(y))
    _assert_same(lazy, net.fit(X, y))
    assert lazy.n_fun_ == net.n_fun_
    assert lazy.loss_ != clone(net).set_params(lm_acceleration=False).fit(X, y).loss_


@pytest.mark.parametrize("solver", ["rprop", "adam"])
def test_the_bits_do_not_depend_on_threads(solver, data):
    X, y = map(_lazy, data)
    one, three = (_regressor(solver=solver, n_jobs=n).fit(X, y) for n in (1, 3))
    for a, b in zip(one.coefs_, three.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("batch_size", ["online", 7])
def test_one_partition_without_shuffles_is_trained_on_as_in_memory(solver, batch_size, data):
    X, y = data
    net = _regressor(solver=solver, batch_size=batch_size, shuffle=False)
    _assert_same(clone(net).fit(_lazy(X, _N), _lazy(y, _N)), net.fit(X, y), rtol=1e-12)


def test_sgd_goes_through_partitions_one_after_the_other(data):
    X, y = data
    net = _regressor(solver="sgd", batch_size=10, shuffle=False, alpha=0).fit(_lazy(X), _lazy(y))
    # 50 rows are whole batches, so cuts between partitions are cuts between batches.
    _assert_same(net, _regressor(solver="sgd", batch_size=10, shuffle=False, alpha=0).fit(X, y))
    assert net.t_ == 4 * _N
    shuffled = _regressor(solver="sgd", batch_size=10).fit(_lazy(X), _lazy(y))
    again = _regressor(solver="sgd", batch_size=10).fit(_lazy(X), _lazy(y))
    assert shuffled.loss_curve_ == again.loss_curve_ != net.loss_curve_


def test_online_steps_are_scaled_by_the_mean_weight_of_all_rows(data):
    X, y = data
    weights = np.linspace(0, 3, _N)
    net = _regressor(solver="sgd", batch_size=1, shuffle=False, alpha=0)
    lazy = clone(net).fit(_lazy(X), _lazy(y), _lazy(weights))
    _assert_same(lazy, net.fit(X, y, weights))


def test_sample_weights(data):
    X, y = data
    weights = np.random.default_rng(1).integers(0, 3, size=_N).astype(float)
    weights[50:100] = 0  # of a whole partition
    lazy = _regressor().fit(_lazy(X), _lazy(y), _lazy(weights))
    _assert_same(lazy, _regressor().fit(X, y, weights))
    _assert_same(_regressor().fit(_lazy(X), _lazy(y), 2.0), _regressor().fit(X, y, 2.0))


def test_float32_stays_float32(data):
    X, y = (array.astype(np.float32) for array in data)
    lazy = _regressor().fit(_lazy(X), _lazy(y))
    assert lazy.coefs_[0].dtype == lazy.predict(_lazy(X)).compute().dtype == np.float32
    _assert_same(lazy, _regressor().fit(X, y), rtol=1e-3)


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e150])
def test_targets_are_scaled_as_in_memory(unit, data):
    X, y = data[0], (data[1] + 7) * unit
    net = _regressor(scale_target=True)
    lazy = clone(net).fit(_lazy(X), _lazy(y))
    net.fit(X, y)
    assert lazy.target_mean_ == pytest.approx(net.target_mean_, rel=1e-12)
    assert lazy.target_scale_ == pytest.approx(net.target_scale_, rel=1e-12)
    _assert_same(lazy, net)


def test_a_constant_target_has_scale_one(data):
    X, y = data[0], np.column_stack([data[1], np.full(_N, 0.1)])
    lazy = _regressor(scale_target=True).fit(_lazy(X), _lazy(y))
    assert lazy.target_scale_[1] == 1.0
    assert lazy.predict(_lazy(X)).compute().shape == (_N, 2)


def test_several_quantiles_of_one_target(data):
    X, y = data
    net = _regressor(loss="quantile", quantile=[0.1, 0.5, 0.9])
    lazy = clone(net).fit(_lazy(X), _lazy(y))
    _assert_same(lazy, net.fit(X, y))
    assert lazy.score(_lazy(X), _lazy(y)) == pytest.approx(net.score(X, y), rel=1e-6)


def _labels(y):
    return np.array(["low", "mid", "top"])[np.digitize(y, [-0.5, 0.7])]


@pytest.mark.parametrize("class_weight", [None, "balanced", {"low": 3.0, "top": 0.5}])
def test_classes(class_weight, data):
    X, labels = data[0], _labels(data[1])
    weights = np.linspace(1, 2, _N)
    net = _classifier(class_weight=class_weight)
    lazy = clone(net).fit(_lazy(X), _lazy(labels), _lazy(weights))
    _assert_same(lazy, net.fit(X, labels, weights), rtol=1e-5)
    assert lazy.classes_.tolist() == ["low", "mid", "top"]
    found = lazy.predict(_lazy(X))
    assert found.dtype == labels.dtype
    np.testing.assert_array_equal(found.compute(), lazy.predict(X))
    for method in ("predict_proba", "predict_log_proba"):
        p = getattr(lazy, method)(_lazy(X))
        assert p.shape == (_N, 3)
        np.testing.assert_array_equal(p.compute(), getattr(lazy, method)(X))
    assert lazy.score(_lazy(X), _lazy(labels)) == lazy.score(X, labels)


def test_a_label_may_be_in_one_partition_alone(data):
    X, labels = data[0], np.zeros(_N, int)
    labels[-3:] = 5
    lazy = _classifier().fit(_lazy(X), _lazy(labels))
    assert lazy.classes_.tolist() == [0, 5]
    _assert_same(lazy, _classifier().fit(X, labels), rtol=1e-5)


def test_several_labels_a_row_and_soft_labels(data):
    X, y = data
    several = np.column_stack([y > 0, X[:, 0] > 0]).astype(int)
    _assert_same(
        _classifier().fit(_lazy(X), _lazy(several)), _classifier().fit(X, several), rtol=1e-5
    )
    p = np.abs(X) / np.abs(X).sum(axis=1, keepdims=True)
    soft = {"soft_labels": True, "class_weight": "balanced"}
    _assert_same(
        _classifier(**soft).fit(_lazy(X), _lazy(p)), _classifier(**soft).fit(X, p), rtol=1e-5
    )


def _frame(data):
    X, y = data
    return pd.DataFrame(X, columns=["a", "b", "c"]).assign(target=y)


def test_data_frames(data):
    frame = _frame(data)
    lazy_frame = dd.from_pandas(frame, npartitions=4)
    features = ["a", "b", "c"]
    net = _regressor(early_stopping=True)
    given = {"X_val": frame[features], "y_val": frame["target"]}
    lazy_given = {"X_val": lazy_frame[features], "y_val": lazy_frame["target"]}
    lazy = clone(net).fit(lazy_frame[features], lazy_frame["target"], **lazy_given)
    _assert_same(lazy, net.fit(frame[features], frame["target"], **given))
    assert lazy.feature_names_in_.tolist() == features
    np.testing.assert_allclose(lazy.validation_scores_, net.validation_scores_, rtol=1e-6)
    found = lazy.predict(lazy_frame[features])
    assert np.isnan(found.shape[0])
    np.testing.assert_array_equal(found.compute(), lazy.predict(frame[features]))
    score = lazy.score(lazy_frame[features], lazy_frame["target"])
    assert score == pytest.approx(lazy.score(frame[features], frame["target"]))
    with pytest.raises(ValueError, match="feature names should match"):
        lazy.predict(lazy_frame[["b", "a", "c"]])
    mixed = clone(net).fit(lazy_frame[features], lazy_frame["target"], **given)
    _assert_same(mixed, lazy)


def test_columns_of_files_are_cut_alike(data, tmp_path):
    pytest.importorskip("pyarrow")
    frame = _frame(data).assign(other=1.0, w=np.linspace(1, 2, _N))
    # Dask joins small files; how many, depends on the columns that are read of them.
    for i in range(5):
        frame[i * 46 : i * 46 + 46].to_parquet(tmp_path / f"{i}.parquet")
    read = dd.read_parquet(tmp_path)
    features = ["a", "b", "c"]
    X, y, weights = read[features], read["target"], read["w"]
    assert len({X.optimize().npartitions, y.optimize().npartitions}) == 2
    lazy = _regressor().fit(X, y, weights)
    _assert_same(lazy, _regressor().fit(frame[features], frame["target"], frame["w"]))
    two = _regressor().fit(X, read[["target", "w"]])
    _assert_same(two, _regressor().fit(frame[features], frame[["target", "w"]]))
    with pytest.raises(ValueError, match="sample_weight is a Dask collection of shape"):
        _regressor().fit(X, y, read[["w", "other"]])


def test_empty_partitions_and_columns_in_chunks(data):
    X, y = data
    cut = da.from_array(X, chunks=((0, 100, 0, 130), (2, 1)))
    lazy = _regressor().fit(cut, da.from_array(y, chunks=60))
    _assert_same(lazy, _regressor().fit(X, y))
    np.testing.assert_array_equal(lazy.predict(cut).compute(), lazy.predict(X))


def test_targets_in_memory_go_with_lazy_inputs(data):
    X, y = data
    _assert_same(_regressor().fit(_lazy(X), y), _regressor().fit(_lazy(X), _lazy(y)), rtol=0)
    _assert_same(_regressor().fit(X, _lazy(y)), _regressor().fit(X, y), rtol=0)


def test_restarts_warm_starts_and_epochs_one_by_one(data):
    X, y = map(_lazy, data)
    net = _regressor(n_init=3, n_jobs=2).fit(X, y)
    assert net.init_losses_.shape == (3,)
    assert net.loss_ == net.init_losses_.min()
    warm = _regressor(warm_start=True).fit(X, y)
    assert warm.fit(X, y).loss_curve_[0] <= warm.loss_curve_[0]
    one_by_one = _regressor(solver="adam", batch_size=20)
    for _ in range(3):
        one_by_one.partial_fit(X, y)
    assert len(one_by_one.loss_curve_) == 3
    classifier = BackpropClassifier((3,), random_state=0, batch_size=20)
    classifier.partial_fit(X, y > 0, classes=[False, True])
    assert classifier.n_iter_ == 1


def test_an_lm_fit_tells_standard_deviations_and_finds_alpha(data):
    X, y = data
    net = _regressor(solver="lm", alpha="bayes")
    lazy = clone(net).fit(_lazy(X), _lazy(y))
    net.fit(X, y)
    assert lazy.alpha_ == pytest.approx(net.alpha_, rel=1e-5)
    mean, deviation = lazy.predict(_lazy(X), return_std=True)
    np.testing.assert_allclose(deviation.compute(), net.predict(X, return_std=True)[1], rtol=1e-5)
    np.testing.assert_array_equal(mean.compute(), lazy.predict(X))


def test_the_fitted_model_is_an_ordinary_one(data):
    X, y = data
    lazy = _regressor(max_iter=4).fit(_lazy(X), _lazy(y))
    again = pickle.loads(pickle.dumps(lazy))
    np.testing.assert_array_equal(again.predict(X), lazy.predict(X))
    assert isinstance(lazy.predict(X), np.ndarray)
    assert not any("dask" in type(value).__module__ for value in vars(lazy).values())


def test_lazy_predictions_are_of_the_model_as_it_was(data):
    X, y = data
    net = _regressor(max_iter=4).fit(X, y)
    before, found = net.predict(X), net.predict(_lazy(X))
    net.fit(X, -y)
    np.testing.assert_array_equal(found.compute(), before)


def _frame_with(data, value, place):
    frame = _frame(data)
    frame.iloc[place, 1] = value
    return frame


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (lambda X, y: (_with(X, (120, 1), np.nan), y), r"partition 2 of X and y: Input X contains"),
        (lambda X, y: (X, _with(y, 120, np.inf)), r"partition 2 of X and y: y\[20\] is infinity"),
        (lambda X, y: (X[:200], y), "y has 230 rows, but X has 200"),
        (lambda X, y: (X[:0], y[:0]), "without a row"),
        (lambda X, y: (X, np.array(["a"] * _N)), "y has dtype|could not convert|numbers"),
    ],
)
def test_wrong_data_are_refused_where_they_are(spoilt, message, data):
    X, y = spoilt(*data)
    net = _regressor()
    with pytest.raises(ValueError, match=message):
        net.fit(_lazy(X), _lazy(y))
    assert not hasattr(net, "coefs_")


def _with(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def test_a_cell_of_a_frame_is_named(data):
    frame = dd.from_pandas(_frame_with(data, np.nan, 100), npartitions=4)
    with pytest.raises(ValueError, match=r"partition 1 of X and y.*NaN.*'b'"):
        _regressor().fit(frame[["a", "b", "c"]], frame["target"])


def test_what_a_partition_lacks_is_told(data):
    X, y = data
    with pytest.raises(ValueError, match=r"In partition 1 .*inconsistent numbers of samples"):
        unknown = [_unknown(array[:100], array[100:cut]) for array, cut in ((X, 200), (y, 190))]
        _regressor().fit(*unknown)
    with pytest.raises(ValueError, match="y has 2 partitions, and X has 1"):
        _regressor().fit(_unknown(X), _unknown(y[:100], y[100:]))
    with pytest.raises(ValueError, match="lengths of X's partitions are not known"):
        _regressor().fit(_unknown(X), y)
    with pytest.raises(ValueError, match=r"partition 4 .*sample_weight\[29\] is -1"):
        _regressor().fit(_lazy(X), _lazy(y), _lazy(_with(np.ones(_N), _N - 1, -1.0)))
    with pytest.raises(ValueError, match="sums to 0"):
        _regressor().fit(_lazy(X), _lazy(y), _lazy(np.zeros(_N)))


def _unknown(*parts):
    """Make an array whose lengths Dask does not know."""
    blocks = [
        da.from_delayed(delayed(part), (np.nan, *part.shape[1:]), part.dtype) for part in parts
    ]
    return da.concatenate(blocks, allow_unknown_chunksizes=True)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"early_stopping": True}, "sets no rows of Dask collections aside"),
        ({"device": "cuda"}, "device='cuda' is for data in memory"),
        ({"solver": "sgd", "batch_size": "full"}, "takes all rows at every step"),
        ({"solver": "adam", "checkpoint": "file"}, "Take a batch solver, or checkpoint=None"),
    ],
)
def test_what_is_not_for_collections_is_said(parameters, message, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        _regressor(**parameters).fit(*map(_lazy, data))


def test_a_column_of_targets(data):
    X, y = data
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        lazy = _regressor().fit(_lazy(X), _lazy(y[:, np.newaxis]))
    assert lazy.predict(_lazy(X)).ndim == 1


def test_a_checkpoint_of_partitions(data, tmp_path):
    X, y = map(_lazy, data)
    whole = _regressor(max_iter=9).fit(X, y)
    file = tmp_path / "kept"
    _regressor(checkpoint=file, checkpoint_every=0.0).fit(X, y)
    resumed = _regressor(max_iter=9).fit(X, y, resume_from=file)
    np.testing.assert_array_equal(resumed.coefs_[0], whole.coefs_[0])
    with pytest.raises(ValueError, match="other data"):
        _regressor(max_iter=9).fit(X, y + 1, resume_from=file)


def test_what_learns_nothing_is_told_of(data):
    X, y = data
    with pytest.warns(UserWarning, match="Nothing was learnt"):
        _regressor(alpha=1e9).fit(_lazy(X), _lazy(y))
