"""Bad input: a ValueError that names the parameter or the column, the cause and the cure."""

import datetime

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.utils._param_validation import InvalidParameterError

from fastbp import BackpropRegressor

PARAMETERS = {
    "loss": ["hinge", None, 3],
    "hidden_layer_sizes": ["big", 0, -1, 2.5, None],
    "activation": ["swish", None, np.tanh],
    "solver": ["newton", None],
    "alpha": [-1, "0.1", None],
    "batch_size": [0, -5, 2.5, "all", None],
    "learning_rate": ["optimal", 0.1],
    "learning_rate_init": [0, -0.1, "fast"],
    "power_t": [-1],
    "max_iter": [0, 1.5, None],
    "shuffle": ["yes"],
    "random_state": [-1, "seed"],
    "tol": [-1, None],
    "verbose": ["no"],
    "warm_start": ["no"],
    "momentum": [-0.1, 1.1],
    "nesterovs_momentum": ["no"],
    "early_stopping": ["no", "GL0", "GL4"],
    "validation_fraction": [-0.1, 1.0],
    "beta_1": [1.0, -0.1],
    "beta_2": [1.0, -0.1],
    "epsilon": [0, -1],
    "n_iter_no_change": [0, 2.5],
    "max_fun": [0],
    "n_jobs": ["all", 1.5, 0],
    "output_activation": ["softmax", 1],
    "n_init": [0, 1.5, "auto"],
    "gtol": [-1e-9, "small"],
    "loss_goal": [np.nan, "low"],
    "max_time": [-1, "long"],
    "device": ["gpu", None, 0],
    "huber_delta": [0, -1.0, "wide", None],
    "quantile": [0, 1, 1.5, "half", None],
    "scale_target": ["yes", 2],
    "record_path": ["yes", 2, None],
    "cg_update": ["powell", None],
    "lm_acceleration": ["yes", 2, None],
    "keep_all": ["yes", 2],
    "checkpoint": [3, b"kept"],
    "checkpoint_every": [-1, "often", None],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in PARAMETERS for value in PARAMETERS[name]]
)
def test_every_wrong_parameter_is_named_at_fit(name, value, problem):
    estimator = BackpropRegressor(**{name: value})  # not here, as scikit-learn has it
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter"):
        estimator.fit(*problem())


def test_every_parameter_is_checked():
    assert set(PARAMETERS) == set(BackpropRegressor().get_params())
    assert set(PARAMETERS) == set(BackpropRegressor._parameter_constraints)


@pytest.mark.parametrize("sizes", [(0,), (5, -1), (2.5,), ("a",), [[3, 4]], (None,)])
def test_wrong_layer_sizes_are_named(sizes, problem):
    with pytest.raises(ValueError, match="hidden_layer_sizes must be > 0, whole numbers"):
        BackpropRegressor(hidden_layer_sizes=sizes).fit(*problem())


def test_too_large_a_network_is_refused(problem):
    with pytest.raises(ValueError, match="hidden_layer_sizes.*Take smaller layers"):
        BackpropRegressor(hidden_layer_sizes=(10**5, 10**5)).fit(*problem())


@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
@pytest.mark.parametrize("place", [(0, 0), (3, 2), (-1, -1)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_not_finite_inputs_name_column_and_row(value, what, place, dtype, problem):
    X, y = problem(dtype=dtype)
    fitted = BackpropRegressor(tol=10.0).fit(X, y)
    X[place] = value
    message = f"X contains {what} in column {place[1] % 5}, row {place[0] % 60}"
    with pytest.raises(ValueError, match=message):
        fitted.fit(X, y)
    with pytest.raises(ValueError, match=message):
        fitted.predict(X)
    with pytest.raises(ValueError, match=message):
        fitted.fit(sparse.csr_matrix(X), y)


def test_columns_of_a_table_are_named(problem):
    X, y = problem()
    table = pd.DataFrame(X, columns=["age", "height", "weight", "pulse", "room"])
    fitted = BackpropRegressor(tol=10.0).fit(table, y)
    assert list(fitted.feature_names_in_) == list(table.columns)
    with pytest.raises(ValueError, match="'weight', row 4"):
        fitted.predict(table.assign(weight=np.where(np.arange(60) == 4, np.nan, 1.0)))
    with pytest.raises(ValueError, match="X holds text in column 'room'.*OneHotEncoder"):
        fitted.fit(table.assign(room=["blue"] * 60), y)
    with pytest.raises(ValueError, match="dates"):
        fitted.fit(table.assign(room=pd.Timestamp("2020-01-01")), y)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(table[table.columns[::-1]])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("blue", "X holds text in {}, row 3: 'blue'.*OneHotEncoder"),
        (datetime.date(2020, 1, 1), "X holds dates or time spans in {}"),
        (pd.Timestamp("2020-01-01"), "X holds dates or time spans in {}"),
        (np.datetime64("2020-01-01"), "X holds dates or time spans in {}"),
        (np.timedelta64(1, "D"), "X holds dates or time spans in {}"),
        (pd.NA, "X holds <NA> in {}, row 3, which is no number"),
        (1j, "X holds 1j in {}, row 3"),
        (10**400, "X holds 1000.* in {}, row 3"),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_no_number_among_objects_is_named(value, message, problem):
    X, y = problem()
    fitted = BackpropRegressor(tol=10.0).fit(X, y)
    kind = TypeError if value is pd.NA or value == 1j else ValueError  # as scikit-learn has it
    objects = X.astype(object)
    objects[3, 1] = value
    for table in (objects, objects.tolist()):
        for call in (fitted.predict, lambda table: fitted.fit(table, y)):
            with pytest.raises(kind, match=message.format("column 1")):
                call(table)
    with pytest.raises(kind, match=message.format("column 'b'")):
        fitted.fit(pd.DataFrame(objects, columns=list("abcde")), y)


class _Temporal:
    """A dtype as polars has it."""

    def __init__(self, is_temporal):
        self.is_temporal = lambda: is_temporal


class _Frame:
    """A frame as polars has it, whose dates become numbers."""

    def __init__(self, X, dtypes):
        self.X, self.dtypes = X, dtypes
        self.shape, self.columns = X.shape, ["age", "born", "room", "pulse", "weight"]

    def __len__(self):
        return len(self.X)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.X, dtype=dtype)


def test_dates_of_a_frame_are_found_by_the_kind_of_its_columns(problem):
    X, y = problem()
    number, date = _Temporal(False), _Temporal(True)
    fitted = BackpropRegressor(tol=10.0).fit(_Frame(X, [number] * 5), y)
    frame = _Frame(X, [number, date, number, number, number])
    for call in (fitted.predict, lambda frame: fitted.fit(frame, y)):
        with pytest.raises(ValueError, match="X holds dates or time spans in column 'born'"):
            call(frame)


def test_dates_in_polars_are_refused(problem):
    pl = pytest.importorskip("polars")
    X, y = problem()
    frame = pl.DataFrame({"age": X[:, 0], "born": [datetime.date(2020, 1, 1)] * 60})
    with pytest.raises(ValueError, match="X holds dates or time spans in column 'born'"):
        BackpropRegressor().fit(frame, y)
    with pytest.raises(ValueError, match="y holds dates"):
        BackpropRegressor().fit(X, frame["born"])


@pytest.mark.parametrize(
    "column",
    [
        pd.array([1, 2, 3] * 20, dtype="Int64"),
        pd.array([1.5, 2.0, 3.0] * 20, dtype="Float64"),
        pd.array([True, False, True] * 20, dtype="boolean"),
        np.arange(60, dtype=np.uint8),
        np.arange(60, dtype=np.float16),
        np.arange(60, dtype=np.longdouble),
        np.arange(60).astype(object),
    ],
)
def test_every_kind_of_number_is_taken(column, problem):
    X, y = problem()
    table = pd.DataFrame(X, columns=list("abcde")).assign(a=column)
    as_floats = table.assign(a=np.asarray(column, dtype=np.float64))
    got = BackpropRegressor(tol=10.0, random_state=0).fit(table, y).predict(table)
    expected = BackpropRegressor(tol=10.0, random_state=0).fit(as_floats, y).predict(as_floats)
    np.testing.assert_array_equal(got, expected)


def test_missing_values_of_nullable_columns_are_named(problem):
    X, y = problem()
    table = pd.DataFrame(X, columns=list("abcde"))
    table["c"] = pd.array([None, *range(59)], dtype="Int64")
    with pytest.raises(ValueError, match="NaN in column 'c', row 0"):
        BackpropRegressor().fit(table, y)


def _with(y, value):
    """A list in which one entry is another."""
    return [*y[:3].tolist(), value, *y[4:].tolist()]


@pytest.mark.parametrize(
    ("bad_y", "message"),
    [
        (lambda y: np.where(np.arange(60) == 59, np.nan, y), r"y\[59\] is NaN.*impute"),
        (lambda y: np.where(np.arange(60) == 59, np.inf, y), r"y\[59\] is infinity.*impute"),
        (lambda y: y[:-1], "X has 60 rows and y has 59: inconsistent.*one target or label"),
        (lambda y: y.astype(str), "y has dtype.*numbers"),
        (lambda y: _with(y, None), r"y\[3\] is None"),
        (lambda y: np.array(_with(y, None)), r"y\[3\] is None"),
        (lambda y: _with(y, pd.NA), r"y\[3\] is <NA>"),
        (lambda y: np.array(_with(y, np.inf), dtype=object), r"y\[3\] is infinity"),
        (lambda y: _with(y, "a"), r"y\[3\] is 'a'"),
        (lambda y: _with(y, 10**400), r"y\[3\] is 1000.*finite"),
        (lambda y: pd.Series([None] + [1] * 59, dtype="Int64"), r"y\[0\] is <NA>"),
        (lambda y: np.where(np.arange(120).reshape(60, 2) == 7, np.nan, 1), r"y\[3, 1\] is NaN"),
        (lambda y: np.array(["a"] * 60, dtype=object), r"y\[0\] is 'a'"),
        (lambda y: _with(y, datetime.date(2020, 1, 1)), "y holds dates"),
        (lambda y: _with(y, np.datetime64("2020")), "y holds dates"),
        (lambda y: y + 1j, "Complex data not supported"),
        (lambda y: y.reshape(3, 4, 5), "dim 3|inconsistent"),
        (lambda y: np.zeros(60, dtype="M8[D]"), "y holds dates"),
        (lambda y: None, "y"),
        (lambda y: np.ma.masked_array(y, mask=y > 0), "y is a masked array.*filled"),
    ],
)
def test_wrong_targets_are_named(bad_y, message, problem):
    X, y = problem()
    with pytest.raises(ValueError, match=message):
        BackpropRegressor().fit(X, bad_y(y))


@pytest.mark.parametrize(
    ("bad_X", "message"),
    [
        (lambda X: X + 1j, "Complex data not supported"),
        (lambda X: X[:, 0], "Expected 2D array"),
        (lambda X: X.reshape(60, 5, 1), "dim 3"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X[:, :0], "0 feature"),
        (lambda X: 3.0, "Expected 2D array"),
        (lambda X: np.full((60, 5), "a"), "X holds text in column 0"),
        (lambda X: np.full((60, 5), "a", dtype=object), "X holds text in column 0"),
        (lambda X: np.full((60, 5), "2020-01-01", dtype="M8[D]"), "X holds dates"),
        (lambda X: np.ma.masked_array(X, mask=X > 0), "X is a masked array.*SimpleImputer"),
    ],
)
def test_wrong_inputs_are_named(bad_X, message, problem):
    X, y = problem()
    with pytest.raises(ValueError, match=message):
        BackpropRegressor().fit(bad_X(X), y)
    fitted = BackpropRegressor(tol=10.0).fit(X, y)
    with pytest.raises(ValueError, match=message):
        fitted.predict(bad_X(X))


def test_another_number_of_features_is_named(problem):
    X, y = problem()
    fitted = BackpropRegressor(tol=10.0).fit(X, y)
    for call in (lambda: fitted.predict(X[:, :3]), lambda: fitted.partial_fit(X[:, :3], y)):
        with pytest.raises(ValueError, match="3 features, but BackpropRegressor is expecting 5"):
            call()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(60), r"sample_weight\[0\] is -1.0.*negative"),
        (np.zeros(60), "sample_weight is zero for every row"),
        (np.ones(59), r"sample_weight has shape \(59,\)"),
        (np.ones((60, 1)), r"sample_weight has shape \(60, 1\)"),
        (np.full(60, np.nan), r"sample_weight\[0\] is NaN"),
        (np.full(60, np.inf), r"sample_weight\[0\] is infinity"),
        (["a"] * 60, r"sample_weight\[0\] is 'a'"),
        ([*range(59), None], r"sample_weight\[59\] is None"),
        (np.ma.masked_array(np.ones(60), mask=np.arange(60) > 9), "sample_weight is a masked"),
        (np.ones(60, dtype="m8[D]"), "sample_weight holds dates"),
        (np.ones(60) * 1j, "Complex data not supported"),
    ],
)
def test_wrong_sample_weights_are_named(weights, message, problem):
    X, y = problem()
    for solver in ("adam", "lbfgs"):
        net = BackpropRegressor(solver=solver, early_stopping=True)
        with pytest.raises(ValueError, match=message):
            net.fit(X, y, sample_weight=weights)
        with pytest.raises(ValueError, match="In the data to validate on.*" + message):
            net.fit(X, y, X_val=X, y_val=y, sample_weight_val=weights)


def test_negative_counts_are_refused_by_poisson(problem):
    X, y = problem(positive=True)
    y[[7, 9]] = -1
    message = "y is -.* in row 7, but loss='poisson' is for counts"
    with pytest.raises(ValueError, match=message):
        BackpropRegressor(loss="poisson").fit(X, y)


def test_poisson_refuses_an_output_activation_with_negative_values(problem):
    with pytest.raises(ValueError, match="output_activation='tanh'.*'softplus'"):
        BackpropRegressor(loss="poisson", output_activation="tanh").fit(*problem(positive=True))


def test_what_does_not_fit_into_float32_is_refused(problem):
    X, y = problem(dtype=np.float32)
    with pytest.raises(ValueError, match="y holds .* too large for float32"):
        BackpropRegressor().fit(X, y.astype(np.float64) * 1e300)
    fitted = BackpropRegressor(tol=10.0).fit(X, y)
    with pytest.raises(ValueError, match="X holds .* too large for float32"):
        fitted.predict(X.astype(np.float64) * 1e300)


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.999])
def test_a_validation_set_that_is_too_small_is_named(fraction, problem):
    net = BackpropRegressor(early_stopping=True, validation_fraction=fraction)
    with pytest.raises(ValueError, match="validation_fraction"):
        net.fit(*problem())


def test_a_batch_larger_than_the_data_is_clipped_with_a_warning(problem):
    X, y = problem()
    with pytest.warns(UserWarning, match="batch_size=61 is larger than the 60 rows") as record:
        clipped = BackpropRegressor(batch_size=61, tol=10.0, random_state=0).fit(X, y)
    assert record[0].filename == __file__
    full = BackpropRegressor(batch_size="full", tol=10.0, random_state=0).fit(X, y)
    np.testing.assert_array_equal(clipped.coefs_[0], full.coefs_[0])


def test_a_column_vector_of_targets_warns_as_scikit_learn_does(problem):
    from sklearn.exceptions import DataConversionWarning

    X, y = problem()
    with pytest.warns(DataConversionWarning):
        assert BackpropRegressor(tol=10.0).fit(X, y[:, None]).predict(X).shape == (60,)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_edited_weights_that_are_not_finite_are_refused(problem):
    X, y = problem()
    fitted = BackpropRegressor(tol=10.0).fit(X, y)
    fitted.coefs_[0][2, 3] = np.nan
    for call in (fitted.predict, lambda X: fitted.partial_fit(X, y)):
        with pytest.raises(ValueError, match=r"coefs_\[0\] holds NaN or infinity"):
            call(X)
