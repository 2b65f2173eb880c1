"""Validation rows that are refused, and that nothing is left of them."""

import re

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from helpers.fits import SHORT, vector_of
from helpers.validation import EVERY_SOLVER, make_net


def _spoil(array, value):
    spoilt = np.array(array, dtype=np.float64)
    spoilt[(-1,) * spoilt.ndim] = value
    return spoilt


REFUSED = {
    "X_val alone": (lambda X, y: {"X_val": X}, "X_val and y_val go together"),
    "y_val alone": (lambda X, y: {"y_val": y}, "X_val and y_val go together"),
    "weights alone": (lambda X, y: {"sample_weight_val": y**2}, "X_val and y_val go together"),
    "too few features": (lambda X, y: {"X_val": X[:, :4], "y_val": y}, "has 4 features"),
    "too many features": (lambda X, y: {"X_val": np.c_[X, X], "y_val": y}, "has 10 features"),
    "other lengths": (lambda X, y: {"X_val": X, "y_val": y[:-1]}, "inconsistent numbers"),
    "NaN in X_val": (lambda X, y: {"X_val": _spoil(X, np.nan), "y_val": y}, "NaN in column 4"),
    "infinity in X_val": (lambda X, y: {"X_val": _spoil(X, np.inf), "y_val": y}, "infinity in"),
    "NaN in y_val": (lambda X, y: {"X_val": X, "y_val": _spoil(y, np.nan)}, "is NaN"),
    "infinity in y_val": (lambda X, y: {"X_val": X, "y_val": _spoil(y, -np.inf)}, "infinity"),
    "text in y_val": (lambda X, y: {"X_val": X, "y_val": ["a"] * len(y)}, "is 'a'"),
    "too many outputs": (lambda X, y: {"X_val": X, "y_val": np.c_[y, y]}, "as many outputs"),
    "no rows": (lambda X, y: {"X_val": X[:0], "y_val": y[:0]}, "0 sample"),
    "one row": (lambda X, y: {"X_val": X[:1], "y_val": y[:1]}, "1 row"),
    "one feature less": (lambda X, y: {"X_val": X[0], "y_val": y}, "2D array"),
    "a negative weight": (
        lambda X, y: {"X_val": X, "y_val": y, "sample_weight_val": _spoil(y**2, -1)},
        "is -1.0, but negative weights",
    ),
    "weights of zero": (
        lambda X, y: {"X_val": X, "y_val": y, "sample_weight_val": 0 * y},
        "zero for every row",
    ),
    "NaN in the weights": (
        lambda X, y: {"X_val": X, "y_val": y, "sample_weight_val": _spoil(y**2, np.nan)},
        r"sample_weight\[\d+\] is NaN",
    ),
    "too few weights": (
        lambda X, y: {"X_val": X, "y_val": y, "sample_weight_val": y[:-1] ** 2},
        "one weight a row",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("solver", ["adam", "lm"])
def test_what_is_wrong_is_refused_and_named(name, solver, rows):
    make, message = REFUSED[name]
    X, y, validation = rows()
    validation = make(validation["X_val"], validation["y_val"])
    net = make_net(solver)
    with pytest.raises(ValueError, match=message) as error:
        net.fit(X, y, **validation)
    assert re.search(r"\b(X|y|sample_weight)_val\b", str(error.value))
    assert vars(net) == vars(make_net(solver))


@pytest.mark.parametrize(
    ("outputs", "outputs_val"), [(1, 2), (2, 1), (2, 3), (3, 2)], ids=["1-2", "2-1", "2-3", "3-2"]
)
def test_another_number_of_outputs_is_refused(outputs, outputs_val, rows):
    X, y, _ = rows(n_outputs=outputs)
    X_val, y_val, _ = rows(n_outputs=outputs_val)
    with pytest.raises(ValueError, match="y_val has shape .* but y has shape"):
        make_net("adam").fit(X, y, X_val=X_val, y_val=y_val)


@EVERY_SOLVER
def test_rows_that_nobody_would_look_at_are_refused(solver, rows):
    X, y, validation = rows()
    with pytest.raises(ValueError, match="early_stopping=False takes no notice.*'GL5'"):
        make_net(solver, early_stopping=False).fit(X, y, **validation)


def test_a_negative_count_is_refused_as_one_of_y_val(rows):
    X, y, validation = rows(positive=True)
    with pytest.raises(ValueError, match="y is -1 in row 3") as error:
        y_val = validation["y_val"].copy()
        y_val[3] = -1
        make_net("adam", loss="poisson").fit(X, y, X_val=validation["X_val"], y_val=y_val)
    assert "y_val" in str(error.value)


def test_too_large_for_float32_is_said_of_x_val(rows):
    X, y, validation = rows()
    X_val = validation["X_val"] * 1e39
    with pytest.raises(ValueError, match="too large for float32") as error:
        make_net("adam").fit(X.astype(np.float32), y, X_val=X_val, y_val=validation["y_val"])
    assert "X_val" in str(error.value)


def test_masked_entries_and_dates_are_refused(rows):
    X, y, validation = rows()
    masked = np.ma.masked_greater(validation["X_val"], 1)
    with pytest.raises(ValueError, match=r"X_val.*masked array"):
        make_net("adam").fit(X, y, X_val=masked, y_val=validation["y_val"])
    dates = validation["X_val"].astype("datetime64[s]")
    with pytest.raises(ValueError, match=r"X_val.*dates"):
        make_net("adam").fit(X, y, X_val=dates, y_val=validation["y_val"])


@SHORT
def test_a_fitted_estimator_stays_what_it_was(rows):
    X, y, validation = rows()
    net = make_net("adam", max_iter=3).fit(X, y, **validation)
    before = dict(vars(net))
    for make, _ in REFUSED.values():
        with pytest.raises(ValueError):
            net.fit(X[:30], y[:30], **make(validation["X_val"], validation["y_val"]))
        assert vars(net) == before


@EVERY_SOLVER
def test_scores_that_are_not_finite_are_never_the_best(solver, rows):
    """Validation rows so far out that predictions of a linear net overflow."""
    X, y, validation = rows()
    X_val = np.sign(validation["X_val"]) * 1.7e308
    net = make_net(solver, hidden_layer_sizes=(), max_iter=3, early_stopping="GL5")
    with pytest.warns(ConvergenceWarning):
        net.fit(X, y, X_val=X_val, y_val=validation["y_val"])
    assert not np.isfinite(net.validation_scores_).any()
    assert np.isfinite(vector_of(net)).all()
