"""Validating on rows of one's own: scores, rules, best weights, and what is refused."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor, Network, loss_and_gradient
from fastbp.solvers.stopping import CRITERIA
from helpers.cases import BATCH_SOLVERS, STOCHASTIC_SOLVERS
from helpers.guards import DTYPES

SOLVERS = (*STOCHASTIC_SOLVERS, *BATCH_SOLVERS)
EVERY_SOLVER = pytest.mark.parametrize("solver", SOLVERS)
EVERY_RULE = pytest.mark.parametrize("rule", [True, *CRITERIA])
SHORT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N_TRAINED = 40


def _net(solver, **parameters):
    defaults = {
        "hidden_layer_sizes": (8,),
        "activation": "tanh",
        "max_iter": 60,
        "random_state": 0,
        "early_stopping": True,
        "learning_rate_init": 0.05,
        "tol": 0,
    }
    return BackpropRegressor(solver=solver, **defaults | parameters)


@pytest.fixture
def rows(problem):
    """Rows to train on and rows to validate on, few and noisy, so that a net overfits."""

    def make(n_outputs=1, dtype=np.float64, positive=False):
        X, y = problem(n_samples=70, n_outputs=n_outputs, dtype=dtype, positive=positive)
        if not positive:
            noise = np.sin(7 * np.arange(y.size)).reshape(y.shape)
            y = (y + noise).astype(dtype)
        held_out = {"X_val": X[N_TRAINED:], "y_val": y[N_TRAINED:]}
        return X[:N_TRAINED], y[:N_TRAINED], held_out

    return make


def _vector(net):
    return np.concatenate([array.ravel() for array in net.coefs_ + net.intercepts_])


def _assert_same(net, other):
    np.testing.assert_array_equal(_vector(net), _vector(other))
    assert net.validation_scores_ == other.validation_scores_
    assert net.loss_curve_ == other.loss_curve_


def _score(net, X_val, y_val, sample_weight_val=None):
    """Score of the fitted weights, from their predictions or by the public loss."""
    if net.early_stopping is True:
        return r2_score(y_val, net.predict(X_val), sample_weight=sample_weight_val)
    sizes = (X_val.shape[1], *net.hidden_layer_sizes, net.n_outputs_)
    network = Network(sizes, net.activation, net.loss, net.output_activation)
    X_val, vector = X_val.astype(np.float64), _vector(net).astype(np.float64)
    return -loss_and_gradient(network, vector, X_val, y_val, sample_weight_val)[0]


# Scores.


@SHORT
@EVERY_SOLVER
@pytest.mark.parametrize("rule", [True, "GL5", "PQ2", "UP3"])
@DTYPES
def test_the_weights_kept_are_those_of_the_best_score(solver, rule, dtype, rows):
    X, y, held_out = rows(dtype=dtype)
    net = _net(solver, early_stopping=rule).fit(X, y, **held_out)
    assert len(net.validation_scores_) == net.n_iter_
    assert net.best_validation_score_ == max(net.validation_scores_) > net.validation_scores_[-1]
    rel = 1e-12 if dtype == np.float64 else 1e-5
    assert _score(net, **held_out) == pytest.approx(net.best_validation_score_, rel=rel)
    assert net.best_loss_ is None
    assert net.coefs_[0].dtype == dtype


@SHORT
@EVERY_SOLVER
@pytest.mark.parametrize("rule", [True, "GL5"])
def test_every_score_is_that_of_the_weights_after_its_iteration(solver, rule, problem):
    X, y = problem()
    X, y, held_out = X[30:], y[30:], {"X_val": X[:30], "y_val": y[:30]}
    patience = {"n_iter_no_change": 100, "learning_rate_init": 0.003}
    net = _net(solver, early_stopping=rule, max_iter=4, **patience).fit(X, y, **held_out)
    n_checked = 0
    for n_iter, score in enumerate(net.validation_scores_, start=1):
        shorter = _net(solver, early_stopping=rule, max_iter=n_iter, **patience)
        shorter.fit(X, y, **held_out)
        assert shorter.validation_scores_ == net.validation_scores_[:n_iter]
        if score == max(shorter.validation_scores_):
            assert _score(shorter, **held_out) == pytest.approx(score, rel=1e-12)
            n_checked += 1
    assert n_checked > 1


@SHORT
@pytest.mark.parametrize("solver", ["adam", "lm", "rprop"])
@pytest.mark.parametrize("rule", [True, "GL5"])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_validation_weights_count(solver, rule, n_outputs, rows):
    X, y, held_out = rows(n_outputs=n_outputs)
    weights = np.linspace(0, 3, len(held_out["y_val"]))
    net = _net(solver, early_stopping=rule)
    weighted = net.fit(X, y, **held_out, sample_weight_val=weights).best_validation_score_
    assert _score(net, **held_out, sample_weight_val=weights) == pytest.approx(weighted, rel=1e-11)
    ones = net.fit(X, y, **held_out, sample_weight_val=np.ones_like(weights)).validation_scores_
    plain = net.fit(X, y, **held_out).validation_scores_
    assert plain == pytest.approx(ones, rel=1e-12)
    assert weighted not in plain


@SHORT
@EVERY_RULE
def test_scores_of_poisson(rule, rows):
    X, y, held_out = rows(positive=True)
    net = _net("adam", loss="poisson", early_stopping=rule).fit(X, y, **held_out)
    assert _score(net, **held_out) == pytest.approx(net.best_validation_score_, rel=1e-12)


@SHORT
def test_minus_the_loss_is_without_the_weight_decay(rows):
    X, y, held_out = rows()
    net = _net("adam", alpha=5.0, early_stopping="UP8", max_iter=5).fit(X, y, **held_out)
    predicted = net.predict(held_out["X_val"])
    loss = np.mean((predicted - held_out["y_val"]) ** 2) / 2
    assert net.best_validation_score_ == pytest.approx(-loss, rel=1e-12)


# What is trained on, and when it stops.


@SHORT
@EVERY_SOLVER
@pytest.mark.parametrize("rule", [True, "GL5"])
def test_with_rows_given_it_trains_on_all_of_x(solver, rule, rows):
    X, y, _ = rows()
    few = {"max_iter": 3, "learning_rate_init": 0.001}
    plain = _net(solver, early_stopping=False, **few).fit(X, y)
    # Validated on its own targets, the last weights are the best.
    net = _net(solver, early_stopping=rule, **few).fit(X, y, X_val=X, y_val=y)
    assert np.argmax(net.validation_scores_) == net.n_iter_ - 1 == 2
    np.testing.assert_array_equal(_vector(net), _vector(plain))
    assert net.loss_curve_ == plain.loss_curve_


@SHORT
@EVERY_SOLVER
@pytest.mark.parametrize("rule", [True, "GL5"])
def test_rows_given_are_validated_on_and_not_trained_on(solver, rule, rows):
    X, y, held_out = rows()
    net = _net(solver, early_stopping=rule).fit(X, y, **held_out)
    others = {"X_val": held_out["X_val"][::-1], "y_val": -held_out["y_val"]}
    other = _net(solver, early_stopping=rule).fit(X, y, **others)
    n = min(net.n_iter_, other.n_iter_)
    assert other.loss_curve_[:n] == net.loss_curve_[:n]
    assert other.validation_scores_ != net.validation_scores_


@SHORT
@EVERY_SOLVER
def test_the_rows_set_aside_are_those_one_would_give(solver, rows):
    """The split, drawn once more: rows set aside and rows given are the same to a training."""
    from sklearn.model_selection import train_test_split

    X, y, _ = rows()
    set_aside = _net(solver, early_stopping="UP8", max_iter=10, shuffle=False).fit(X, y)
    generator = np.random.RandomState(0)
    Network((5, 8, 1), "tanh").initial_parameters(generator, np.float64)
    X, X_val, y, y_val = train_test_split(X, y, random_state=generator, test_size=0.1)
    given = _net(solver, early_stopping="UP8", max_iter=10, shuffle=False)
    _assert_same(given.fit(X, y, X_val=X_val, y_val=y_val), set_aside)


@EVERY_SOLVER
def test_no_improvement_for_long_ends_it(solver, rows):
    X, y, held_out = rows()
    net = _net(solver, max_iter=1000, n_iter_no_change=3).fit(X, y, **held_out)
    assert net.stop_reason_ == "validation"
    best = int(np.argmax(net.validation_scores_))
    assert net.n_iter_ >= best + 1 + 3
    assert net.n_iter_ < 1000


@EVERY_RULE
@pytest.mark.parametrize("solver", ["rprop", "adam"])
def test_every_rule_trains_and_is_what_stops(solver, rule, rows):
    X, y, held_out = rows()
    net = _net(solver, early_stopping=rule, max_iter=3000, gtol=0).fit(X, y, **held_out)
    assert net.stop_reason_ == "validation"
    assert net.best_validation_score_ > net.validation_scores_[0]
    assert net.best_validation_score_ > net.validation_scores_[-1]
    assert _score(net, **held_out) == pytest.approx(net.best_validation_score_, rel=1e-12)
    if rule is not True:  # Prechelt's rules look at the end of each strip of 5
        assert net.n_iter_ % 5 == 0


@pytest.mark.parametrize("solver", ["sgd", "rprop", "cg", "lm"])
@pytest.mark.parametrize("percent", [1, 2, 3, 5])
def test_gl_stops_at_the_first_strip_so_many_percent_above_the_lowest(solver, percent, rows):
    X, y, held_out = rows()
    net = _net(solver, early_stopping=f"GL{percent}", max_iter=3000, gtol=0).fit(X, y, **held_out)
    assert net.stop_reason_ == "validation"
    assert net.n_iter_ % 5 == 0
    errors = -np.array(net.validation_scores_[4::5])
    above = 100 * (errors / np.minimum.accumulate(errors) - 1)
    assert above[-1] > percent
    assert (above[:-1] <= percent).all()


@SHORT
def test_true_without_rows_does_nothing_for_lbfgs_as_in_mlpregressor(rows):
    X, y, held_out = rows()
    plain = _net("lbfgs", early_stopping=False).fit(X, y)
    without = _net("lbfgs").fit(X, y)
    np.testing.assert_array_equal(_vector(without), _vector(plain))
    assert without.loss_curve_ == plain.loss_curve_
    assert without.validation_scores_ is None
    assert without.best_validation_score_ is None
    assert without.best_loss_ == plain.best_loss_ == plain.loss_
    with_rows = _net("lbfgs").fit(X, y, **held_out)
    assert with_rows.stop_reason_ == "validation"
    assert with_rows.best_loss_ is None
    assert not np.array_equal(_vector(with_rows), _vector(plain))


@SHORT
@EVERY_SOLVER
def test_a_rule_without_rows_sets_rows_aside(solver, rows):
    X, y, _ = rows()
    net = _net(solver, early_stopping="GL5").fit(X, y)
    assert len(net.validation_scores_) == net.n_iter_


@SHORT
@EVERY_SOLVER
def test_a_warm_start_validates_on_the_rows_of_its_own_call(solver, rows):
    X, y, held_out = rows()
    net = _net(solver, warm_start=True, max_iter=3, learning_rate_init=0.003)
    before = net.fit(X, y, **held_out).validation_scores_
    net.fit(X, y, **held_out)
    if solver in STOCHASTIC_SOLVERS:  # whose curves go on
        assert net.validation_scores_[:3] == before
        assert len(net.validation_scores_) == 6
    else:
        assert len(net.validation_scores_) == net.n_iter_
    assert net.best_validation_score_ == max(net.validation_scores_)
    assert _score(net, **held_out) == pytest.approx(net.best_validation_score_, rel=1e-12)


@SHORT
@EVERY_SOLVER
def test_the_same_bits_for_any_number_of_threads(solver, rows):
    X, y, held_out = rows()
    nets = [_net(solver, n_jobs=n_jobs).fit(X, y, **held_out) for n_jobs in (1, 2, 4)]
    for net in nets[1:]:
        _assert_same(net, nets[0])


# What may be given.


@SHORT
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
@pytest.mark.parametrize("solver", ["adam", "lm"])
def test_sparse_rows_are_dense_rows(solver, container, rows):
    X, y, held_out = rows()
    X, X_val = np.where(X > 0, X, 0), np.where(held_out["X_val"] > 0, held_out["X_val"], 0)
    dense = _net(solver).fit(X, y, X_val=X_val, y_val=held_out["y_val"])
    for inputs, inputs_val in ((X, container(X_val)), (container(X), X_val)):
        net = _net(solver).fit(inputs, y, X_val=inputs_val, y_val=held_out["y_val"])
        _assert_same(net, dense)


@SHORT
@pytest.mark.parametrize(
    "convert",
    [
        lambda a: a.tolist(),
        lambda a: a.astype(">f8"),
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=0)[::2],
    ],
    ids=["list", "big-endian", "fortran", "strided"],
)
def test_containers_of_any_kind(convert, rows):
    X, y, held_out = rows()
    net = _net("adam").fit(X, y, **held_out)
    converted = {name: convert(array) for name, array in held_out.items()}
    _assert_same(_net("adam").fit(X, y, **converted), net)


@SHORT
def test_the_rows_given_are_not_written_to(rows):
    X, y, held_out = rows()
    weights = np.linspace(1, 2, len(held_out["y_val"]))
    copies = {name: array.copy() for name, array in held_out.items()}
    for array in held_out.values():
        array.flags.writeable = False
    for solver in SOLVERS:
        _net(solver, max_iter=3).fit(X, y, **held_out, sample_weight_val=weights)
    for name, array in copies.items():
        np.testing.assert_array_equal(held_out[name], array)
    np.testing.assert_array_equal(weights, np.linspace(1, 2, len(weights)))


@SHORT
def test_tables_with_names(rows):
    X, y, held_out = rows()
    names = list("abcde")
    frame, frame_val = (pd.DataFrame(t, columns=names) for t in (X, held_out["X_val"]))
    y_val = pd.Series(held_out["y_val"])
    plain = _net("adam").fit(X, y, **held_out)
    net = _net("adam").fit(frame, pd.Series(y), X_val=frame_val, y_val=y_val)
    _assert_same(net, plain)
    assert list(net.feature_names_in_) == names
    with pytest.raises(ValueError, match="X_val.*feature names should match") as error:
        _net("adam").fit(frame, y, X_val=frame_val[names[::-1]], y_val=y_val)
    assert "X_val" in str(error.value)
    with pytest.raises(ValueError, match="X_val.*(?s:.)*names"):
        other = frame_val.rename(columns={"a": "z"})
        _net("adam").fit(frame, y, X_val=other, y_val=y_val)
    frame_val.loc[frame_val.index[2], "d"] = np.nan
    with pytest.raises(ValueError, match="X_val.*NaN in column 'd', row 2"):
        _net("adam").fit(frame, y, X_val=frame_val, y_val=y_val)


@SHORT
def test_a_column_of_targets_is_a_row_of_them_with_a_warning(rows):
    X, y, held_out = rows()
    plain = _net("adam", max_iter=3).fit(X, y, **held_out)
    y_val = held_out["y_val"].reshape(-1, 1)
    with pytest.warns(DataConversionWarning):
        net = _net("adam", max_iter=3).fit(X, y, X_val=held_out["X_val"], y_val=y_val)
    _assert_same(net, plain)


@SHORT
@pytest.mark.parametrize("solver", ["adam", "lm"])
def test_a_pipeline_scales_them_as_it_scales_x(solver, rows):
    X, y, held_out = rows()
    X, X_val, y_val = 100 * X + 7, 100 * held_out["X_val"] + 7, held_out["y_val"]
    weights = np.linspace(0, 1, len(y_val))
    scaler = StandardScaler().fit(X)
    by_hand = _net(solver).fit(
        scaler.transform(X),
        y,
        X_val=scaler.transform(X_val),
        y_val=y_val,
        sample_weight_val=weights,
    )
    with config_context(enable_metadata_routing=True):
        net = _net(solver).set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        model = make_pipeline(StandardScaler(), net, transform_input=["X_val"])
        model.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weights)
        _assert_same(model[-1], by_hand)
        grid = GridSearchCV(model, {"backpropregressor__alpha": [0.1]}, cv=2)
        grid.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weights)
        by_hand.set_params(alpha=0.1).fit(
            scaler.transform(X),
            y,
            X_val=scaler.transform(X_val),
            y_val=y_val,
            sample_weight_val=weights,
        )
        _assert_same(grid.best_estimator_[-1], by_hand)


# What is refused, and that nothing is left of it.


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
    "NaN in y_val": (lambda X, y: {"X_val": X, "y_val": _spoil(y, np.nan)}, "contains NaN"),
    "infinity in y_val": (lambda X, y: {"X_val": X, "y_val": _spoil(y, -np.inf)}, "infinity"),
    "text in y_val": (lambda X, y: {"X_val": X, "y_val": ["a"] * len(y)}, "are numbers"),
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
        "contains NaN",
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
    X, y, held_out = rows()
    held_out = make(held_out["X_val"], held_out["y_val"])
    net = _net(solver)
    with pytest.raises(ValueError, match=message) as error:
        net.fit(X, y, **held_out)
    assert re.search(r"\b(X|y|sample_weight)_val\b", str(error.value))
    assert vars(net) == vars(_net(solver))


@pytest.mark.parametrize(
    ("outputs", "outputs_val"), [(1, 2), (2, 1), (2, 3), (3, 2)], ids=["1-2", "2-1", "2-3", "3-2"]
)
def test_another_number_of_outputs_is_refused(outputs, outputs_val, rows):
    X, y, _ = rows(n_outputs=outputs)
    X_val, y_val, _ = rows(n_outputs=outputs_val)
    with pytest.raises(ValueError, match="y_val has shape .* but y has shape"):
        _net("adam").fit(X, y, X_val=X_val, y_val=y_val)


@EVERY_SOLVER
def test_rows_that_nobody_would_look_at_are_refused(solver, rows):
    X, y, held_out = rows()
    with pytest.raises(ValueError, match="early_stopping=False takes no notice.*'GL5'"):
        _net(solver, early_stopping=False).fit(X, y, **held_out)


def test_a_negative_count_is_refused_as_one_of_y_val(rows):
    X, y, held_out = rows(positive=True)
    with pytest.raises(ValueError, match="negative in row 3") as error:
        y_val = held_out["y_val"].copy()
        y_val[3] = -1
        _net("adam", loss="poisson").fit(X, y, X_val=held_out["X_val"], y_val=y_val)
    assert "y_val" in str(error.value)


def test_too_large_for_float32_is_said_of_x_val(rows):
    X, y, held_out = rows()
    X_val = held_out["X_val"] * 1e39
    with pytest.raises(ValueError, match="too large for float32") as error:
        _net("adam").fit(X.astype(np.float32), y, X_val=X_val, y_val=held_out["y_val"])
    assert "X_val" in str(error.value)


def test_masked_entries_and_dates_are_refused(rows):
    X, y, held_out = rows()
    masked = np.ma.masked_greater(held_out["X_val"], 1)
    with pytest.raises(ValueError, match=r"X_val.*masked array"):
        _net("adam").fit(X, y, X_val=masked, y_val=held_out["y_val"])
    dates = held_out["X_val"].astype("datetime64[s]")
    with pytest.raises(ValueError, match=r"X_val.*dates"):
        _net("adam").fit(X, y, X_val=dates, y_val=held_out["y_val"])


@SHORT
def test_a_fitted_estimator_stays_what_it_was(rows):
    X, y, held_out = rows()
    net = _net("adam", max_iter=3).fit(X, y, **held_out)
    before = dict(vars(net))
    for make, _ in REFUSED.values():
        with pytest.raises(ValueError):
            net.fit(X[:30], y[:30], **make(held_out["X_val"], held_out["y_val"]))
        assert vars(net) == before


@EVERY_SOLVER
def test_scores_that_are_not_finite_are_never_the_best(solver, rows):
    """Validation rows so far out that predictions of a linear net overflow."""
    X, y, held_out = rows()
    X_val = np.sign(held_out["X_val"]) * 1.7e308
    net = _net(solver, hidden_layer_sizes=(), max_iter=3, early_stopping="GL5")
    with pytest.warns(ConvergenceWarning):
        net.fit(X, y, X_val=X_val, y_val=held_out["y_val"])
    assert not np.isfinite(net.validation_scores_).any()
    assert np.isfinite(_vector(net)).all()
