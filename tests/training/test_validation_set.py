"""Validating on rows of one's own: scores, criteria, best weights, and what may be given."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import Network, loss_and_gradient
from fastbp.solvers.stopping import CRITERIA
from helpers.cases import STOCHASTIC_SOLVERS
from helpers.fits import SHORT, vector_of
from helpers.guards import DTYPES
from helpers.validation import EVERY_SOLVER, SOLVERS, make_net

EVERY_CRITERION = pytest.mark.parametrize("criterion", [True, *CRITERIA])


def _assert_same(net, other):
    np.testing.assert_array_equal(vector_of(net), vector_of(other))
    assert net.validation_scores_ == other.validation_scores_
    assert net.loss_curve_ == other.loss_curve_


def _score(net, X_val, y_val, sample_weight_val=None):
    """Score of the fitted weights, from their predictions or by the public loss."""
    if net.early_stopping is True:
        return r2_score(y_val, net.predict(X_val), sample_weight=sample_weight_val)
    sizes = (X_val.shape[1], *net.hidden_layer_sizes, net.n_outputs_)
    network = Network(sizes, net.activation, net.loss, net.output_activation)
    X_val, vector = X_val.astype(np.float64), vector_of(net).astype(np.float64)
    return -loss_and_gradient(network, vector, X_val, y_val, sample_weight_val)[0]


# Scores


@SHORT
@EVERY_SOLVER
@pytest.mark.parametrize("criterion", [True, "GL5", "PQ2", "UP3"])
@DTYPES
def test_the_weights_kept_are_those_of_the_best_score(solver, criterion, dtype, rows):
    X, y, validation = rows(dtype=dtype)
    net = make_net(solver, early_stopping=criterion).fit(X, y, **validation)
    assert len(net.validation_scores_) == net.n_iter_
    assert net.best_validation_score_ == max(net.validation_scores_) > net.validation_scores_[-1]
    rel = 1e-12 if dtype == np.float64 else 1e-5
    assert _score(net, **validation) == pytest.approx(net.best_validation_score_, rel=rel)
    assert net.best_loss_ is None
    assert net.coefs_[0].dtype == dtype


@SHORT
@EVERY_SOLVER
@pytest.mark.parametrize("criterion", [True, "GL5"])
def test_every_score_is_that_of_the_weights_after_its_iteration(solver, criterion, problem):
    X, y = problem()
    X, y, validation = X[30:], y[30:], {"X_val": X[:30], "y_val": y[:30]}
    patience = {"n_iter_no_change": 100, "learning_rate_init": 0.003}
    net = make_net(solver, early_stopping=criterion, max_iter=4, **patience).fit(X, y, **validation)
    n_checked = 0
    for n_iter, score in enumerate(net.validation_scores_, start=1):
        shorter = make_net(solver, early_stopping=criterion, max_iter=n_iter, **patience)
        shorter.fit(X, y, **validation)
        assert shorter.validation_scores_ == net.validation_scores_[:n_iter]
        if score == max(shorter.validation_scores_):
            assert _score(shorter, **validation) == pytest.approx(score, rel=1e-12)
            n_checked += 1
    assert n_checked > 1


@SHORT
@pytest.mark.parametrize("solver", ["adam", "lm", "rprop"])
@pytest.mark.parametrize("criterion", [True, "GL5"])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_validation_weights_count(solver, criterion, n_outputs, rows):
    X, y, validation = rows(n_outputs=n_outputs)
    weights = np.linspace(0, 3, len(validation["y_val"]))
    net = make_net(solver, early_stopping=criterion)
    weighted = net.fit(X, y, **validation, sample_weight_val=weights).best_validation_score_
    assert _score(net, **validation, sample_weight_val=weights) == pytest.approx(
        weighted, rel=1e-11
    )
    ones = net.fit(X, y, **validation, sample_weight_val=np.ones_like(weights)).validation_scores_
    plain = net.fit(X, y, **validation).validation_scores_
    assert plain == pytest.approx(ones, rel=1e-12)
    assert weighted not in plain


@SHORT
@EVERY_CRITERION
def test_scores_of_poisson(criterion, rows):
    X, y, validation = rows(positive=True)
    net = make_net("adam", loss="poisson", early_stopping=criterion).fit(X, y, **validation)
    assert _score(net, **validation) == pytest.approx(net.best_validation_score_, rel=1e-12)


@SHORT
def test_minus_the_loss_is_without_the_weight_decay(rows):
    X, y, validation = rows()
    net = make_net("adam", alpha=5.0, early_stopping="UP8", max_iter=5).fit(X, y, **validation)
    predicted = net.predict(validation["X_val"])
    loss = np.mean((predicted - validation["y_val"]) ** 2) / 2
    assert net.best_validation_score_ == pytest.approx(-loss, rel=1e-12)


# What is trained on, and when it stops


@SHORT
@EVERY_SOLVER
@pytest.mark.parametrize("criterion", [True, "GL5"])
def test_with_rows_given_it_trains_on_all_of_x(solver, criterion, rows):
    X, y, _ = rows()
    few = {"max_iter": 3, "learning_rate_init": 0.001}
    plain = make_net(solver, early_stopping=False, **few).fit(X, y)
    # Validated on its own targets, the last weights are the best.
    net = make_net(solver, early_stopping=criterion, **few).fit(X, y, X_val=X, y_val=y)
    assert np.argmax(net.validation_scores_) == net.n_iter_ - 1 == 2
    np.testing.assert_array_equal(vector_of(net), vector_of(plain))
    assert net.loss_curve_ == plain.loss_curve_


@SHORT
@EVERY_SOLVER
@pytest.mark.parametrize("criterion", [True, "GL5"])
def test_rows_given_are_validated_on_and_not_trained_on(solver, criterion, rows):
    X, y, validation = rows()
    net = make_net(solver, early_stopping=criterion).fit(X, y, **validation)
    others = {"X_val": validation["X_val"][::-1], "y_val": -validation["y_val"]}
    other = make_net(solver, early_stopping=criterion).fit(X, y, **others)
    n = min(net.n_iter_, other.n_iter_)
    assert other.loss_curve_[:n] == net.loss_curve_[:n]
    assert other.validation_scores_ != net.validation_scores_


@SHORT
@EVERY_SOLVER
def test_the_rows_set_aside_are_those_one_would_give(solver, rows):
    """The split, drawn once more: rows set aside and rows given are the same to a training."""
    from sklearn.model_selection import train_test_split

    X, y, _ = rows()
    set_aside = make_net(solver, early_stopping="UP8", max_iter=10, shuffle=False).fit(X, y)
    generator = np.random.RandomState(0)
    Network((5, 8, 1), "tanh").initial_parameters(generator, np.float64)
    X, X_val, y, y_val = train_test_split(X, y, random_state=generator, test_size=0.1)
    given = make_net(solver, early_stopping="UP8", max_iter=10, shuffle=False)
    _assert_same(given.fit(X, y, X_val=X_val, y_val=y_val), set_aside)


@EVERY_SOLVER
def test_no_improvement_for_long_ends_it(solver, rows):
    X, y, validation = rows()
    net = make_net(solver, max_iter=1000, n_iter_no_change=3).fit(X, y, **validation)
    assert net.stop_reason_ == "validation"
    best = int(np.argmax(net.validation_scores_))
    assert net.n_iter_ >= best + 1 + 3
    assert net.n_iter_ < 1000


@EVERY_CRITERION
@pytest.mark.parametrize("solver", ["rprop", "adam"])
def test_every_criterion_trains_and_is_what_stops(solver, criterion, rows):
    X, y, validation = rows()
    net = make_net(solver, early_stopping=criterion, max_iter=3000, gtol=0).fit(X, y, **validation)
    assert net.stop_reason_ == "validation"
    assert net.best_validation_score_ > net.validation_scores_[0]
    assert net.best_validation_score_ > net.validation_scores_[-1]
    assert _score(net, **validation) == pytest.approx(net.best_validation_score_, rel=1e-12)
    if criterion is not True:  # Prechelt's criteria look at the end of each strip of 5
        assert net.n_iter_ % 5 == 0


@pytest.mark.parametrize("solver", ["sgd", "rprop", "cg", "lm"])
@pytest.mark.parametrize("percent", [1, 2, 3, 5])
def test_gl_stops_at_the_first_strip_so_many_percent_above_the_lowest(solver, percent, rows):
    X, y, validation = rows()
    net = make_net(solver, early_stopping=f"GL{percent}", max_iter=3000, gtol=0).fit(
        X, y, **validation
    )
    assert net.stop_reason_ == "validation"
    assert net.n_iter_ % 5 == 0
    errors = -np.array(net.validation_scores_[4::5])
    above = 100 * (errors / np.minimum.accumulate(errors) - 1)
    assert above[-1] > percent
    assert (above[:-1] <= percent).all()


@SHORT
def test_true_without_rows_does_nothing_for_lbfgs_as_in_mlpregressor(rows):
    X, y, validation = rows()
    plain = make_net("lbfgs", early_stopping=False).fit(X, y)
    without = make_net("lbfgs").fit(X, y)
    np.testing.assert_array_equal(vector_of(without), vector_of(plain))
    assert without.loss_curve_ == plain.loss_curve_
    assert without.validation_scores_ is None
    assert without.best_validation_score_ is None
    assert without.best_loss_ == plain.best_loss_ == plain.loss_
    with_rows = make_net("lbfgs").fit(X, y, **validation)
    assert with_rows.stop_reason_ == "validation"
    assert with_rows.best_loss_ is None
    assert not np.array_equal(vector_of(with_rows), vector_of(plain))


@SHORT
@EVERY_SOLVER
def test_a_criterion_without_rows_sets_rows_aside(solver, rows):
    X, y, _ = rows()
    net = make_net(solver, early_stopping="GL5").fit(X, y)
    assert len(net.validation_scores_) == net.n_iter_


@SHORT
@EVERY_SOLVER
def test_a_warm_start_validates_on_the_rows_of_its_own_call(solver, rows):
    X, y, validation = rows()
    net = make_net(solver, warm_start=True, max_iter=3, learning_rate_init=0.003)
    before = net.fit(X, y, **validation).validation_scores_
    net.fit(X, y, **validation)
    if solver in STOCHASTIC_SOLVERS:  # whose curves go on
        assert net.validation_scores_[:3] == before
        assert len(net.validation_scores_) == 6
    else:
        assert len(net.validation_scores_) == net.n_iter_
    assert net.best_validation_score_ == max(net.validation_scores_)
    assert _score(net, **validation) == pytest.approx(net.best_validation_score_, rel=1e-12)


@SHORT
@EVERY_SOLVER
def test_the_same_bits_for_any_number_of_threads(solver, rows):
    X, y, validation = rows()
    nets = [make_net(solver, n_jobs=n_jobs).fit(X, y, **validation) for n_jobs in (1, 2, 4)]
    for net in nets[1:]:
        _assert_same(net, nets[0])


# What may be given


@SHORT
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
@pytest.mark.parametrize("solver", ["adam", "lm"])
def test_sparse_rows_are_dense_rows(solver, container, rows):
    X, y, validation = rows()
    X, X_val = np.where(X > 0, X, 0), np.where(validation["X_val"] > 0, validation["X_val"], 0)
    dense = make_net(solver).fit(X, y, X_val=X_val, y_val=validation["y_val"])
    for inputs, inputs_val in ((X, container(X_val)), (container(X), X_val)):
        net = make_net(solver).fit(inputs, y, X_val=inputs_val, y_val=validation["y_val"])
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
    X, y, validation = rows()
    net = make_net("adam").fit(X, y, **validation)
    converted = {name: convert(array) for name, array in validation.items()}
    _assert_same(make_net("adam").fit(X, y, **converted), net)


@SHORT
def test_the_rows_given_are_not_written_to(rows):
    X, y, validation = rows()
    weights = np.linspace(1, 2, len(validation["y_val"]))
    copies = {name: array.copy() for name, array in validation.items()}
    for array in validation.values():
        array.flags.writeable = False
    for solver in SOLVERS:
        make_net(solver, max_iter=3).fit(X, y, **validation, sample_weight_val=weights)
    for name, array in copies.items():
        np.testing.assert_array_equal(validation[name], array)
    np.testing.assert_array_equal(weights, np.linspace(1, 2, len(weights)))


@SHORT
def test_tables_with_names(rows):
    X, y, validation = rows()
    names = list("abcde")
    frame, frame_val = (pd.DataFrame(t, columns=names) for t in (X, validation["X_val"]))
    y_val = pd.Series(validation["y_val"])
    plain = make_net("adam").fit(X, y, **validation)
    net = make_net("adam").fit(frame, pd.Series(y), X_val=frame_val, y_val=y_val)
    _assert_same(net, plain)
    assert list(net.feature_names_in_) == names
    with pytest.raises(ValueError, match="X_val.*feature names should match") as error:
        make_net("adam").fit(frame, y, X_val=frame_val[names[::-1]], y_val=y_val)
    assert "X_val" in str(error.value)
    with pytest.raises(ValueError, match="X_val.*(?s:.)*names"):
        other = frame_val.rename(columns={"a": "z"})
        make_net("adam").fit(frame, y, X_val=other, y_val=y_val)
    frame_val.loc[frame_val.index[2], "d"] = np.nan
    with pytest.raises(ValueError, match="X_val.*NaN in column 'd', row 2"):
        make_net("adam").fit(frame, y, X_val=frame_val, y_val=y_val)


@SHORT
def test_a_column_of_targets_is_a_row_of_them_with_a_warning(rows):
    X, y, validation = rows()
    plain = make_net("adam", max_iter=3).fit(X, y, **validation)
    y_val = validation["y_val"].reshape(-1, 1)
    with pytest.warns(DataConversionWarning):
        net = make_net("adam", max_iter=3).fit(X, y, X_val=validation["X_val"], y_val=y_val)
    _assert_same(net, plain)


@SHORT
@pytest.mark.parametrize("solver", ["adam", "lm"])
def test_a_pipeline_scales_them_as_it_scales_x(solver, rows):
    X, y, validation = rows()
    X, X_val, y_val = 100 * X + 7, 100 * validation["X_val"] + 7, validation["y_val"]
    weights = np.linspace(0, 1, len(y_val))
    scaler = StandardScaler().fit(X)
    by_hand = make_net(solver).fit(
        scaler.transform(X),
        y,
        X_val=scaler.transform(X_val),
        y_val=y_val,
        sample_weight_val=weights,
    )
    with config_context(enable_metadata_routing=True):
        net = make_net(solver).set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
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
