"""What the estimator promises, beyond MLPRegressor's numbers."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.neural_network import MLPRegressor

from fastbp import BackpropRegressor
from fastbp.model.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from helpers.guards import NEEDS_A_COMPILER, OVERFLOWS_IN_PYTHON, TOO_SLOW_IN_PYTHON

SOLVERS = {
    "online": {"solver": "sgd", "batch_size": "online", "momentum": 0},
    "online-nesterov": {"solver": "sgd", "batch_size": "online", "learning_rate_init": 1e-4},
    "mini-batch": {"solver": "sgd", "batch_size": 16},
    "full": {"solver": "sgd", "batch_size": "full"},
    "adam": {"solver": "adam"},
    "lbfgs": {"solver": "lbfgs"},
}
EVERY_SOLVER = pytest.mark.parametrize("solver", SOLVERS)
SHORT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def _net(solver="adam", **parameters):
    defaults = {"hidden_layer_sizes": (6,), "max_iter": 15, "random_state": 0}
    return BackpropRegressor(**defaults | SOLVERS[solver] | parameters)


def _snapshot(estimator):
    return {
        name: [a.copy() for a in value] if name in ("coefs_", "intercepts_") else value
        for name, value in vars(estimator).items()
    }


def _same(a, b):
    for name in ("coefs_", "intercepts_"):
        for x, y in zip(a[name], b[name], strict=True):
            np.testing.assert_array_equal(x, y)
    assert a.keys() == b.keys()
    assert all(a[name] is b[name] for name in a if name not in ("coefs_", "intercepts_"))


@SHORT
@EVERY_SOLVER
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_every_solver_lowers_the_loss(solver, dtype, n_outputs, problem):
    X, y = problem(n_outputs=n_outputs, dtype=dtype)
    net = _net(solver).fit(X, y)
    assert net.loss_curve_[-1] < net.loss_curve_[0]
    assert len(net.loss_curve_) == net.n_iter_
    assert net.loss_ == net.loss_curve_[-1]
    assert all(array.dtype == dtype for array in net.coefs_ + net.intercepts_)
    assert net.predict(X).dtype == dtype
    assert net.predict(X).shape == y.shape


@TOO_SLOW_IN_PYTHON
@SHORT
@EVERY_SOLVER
def test_the_same_seed_gives_the_same_bits(solver, problem):
    X, y = problem(n_samples=3000)
    fits = [_net(solver, n_jobs=n_jobs).fit(X, y) for n_jobs in (None, 1, 2, 4)]
    for other in fits[1:]:
        np.testing.assert_array_equal(other.coefs_[0], fits[0].coefs_[0])
        assert other.loss_curve_ == fits[0].loss_curve_
        np.testing.assert_array_equal(other.predict(X), fits[0].predict(X))


@SHORT
@EVERY_SOLVER
def test_online_and_batch_by_name_or_number(solver, problem):
    X, y = problem()
    named = {"online": 1, "online-nesterov": 1, "full": len(X)}
    if solver not in named:
        pytest.skip("has no name")
    by_number = _net(solver, batch_size=named[solver]).fit(X, y)
    np.testing.assert_array_equal(by_number.coefs_[0], _net(solver).fit(X, y).coefs_[0])


@SHORT
@EVERY_SOLVER
def test_weights_of_one_are_no_weights(solver, problem):
    X, y = problem()
    plain = _net(solver).fit(X, y)
    for weights in (np.ones(len(y)), 1.0, np.ones(len(y), dtype=int).tolist()):
        np.testing.assert_array_equal(_net(solver).fit(X, y, weights).coefs_[0], plain.coefs_[0])


@SHORT
@pytest.mark.parametrize("solver", ["full", "lbfgs"])
def test_whole_weights_are_repetitions(solver, problem):
    X, y = problem()
    weights = np.arange(len(y)) % 3
    weighted = _net(solver).fit(X, y, weights)
    repeated = _net(solver).fit(X.repeat(weights, axis=0), y.repeat(weights))
    np.testing.assert_allclose(weighted.coefs_[0], repeated.coefs_[0], rtol=1e-7)


@SHORT
def test_online_a_weight_scales_the_step_and_zero_skips_the_row(problem):
    X, y = problem()
    weights = np.ones(len(y))
    weights[10:20] = 0
    kept = weights > 0
    options = {"shuffle": False, "alpha": 0}
    # Scaled by w / mean(w): without the ten rows the rate has to be larger by as much.
    rate = 0.001 / weights.mean()
    skipped = _net("online", **options).fit(X, y, weights)
    left_out = _net("online", learning_rate_init=rate, **options).fit(X[kept], y[kept])
    np.testing.assert_allclose(skipped.coefs_[0], left_out.coefs_[0], rtol=1e-10)


@SHORT
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("output_activation", [None, *ACTIVATIONS])
def test_every_activation_trains(activation, output_activation, problem):
    X, y = problem(positive=True)
    net = _net(activation=activation, output_activation=output_activation, max_iter=40)
    net.set_params(learning_rate_init=0.003).fit(X, y)
    assert net.loss_curve_[-1] < net.loss_curve_[0]
    assert net.out_activation_ == (output_activation or "identity")
    assert net.check_gradient(X[:20], y[:20]) < 1e-4


@SHORT
def test_poisson_predicts_positive_means(problem):
    X, y = problem(n_samples=300, positive=True)
    net = _net(loss="poisson", solver="lbfgs", max_iter=100).fit(X, y)
    assert net.out_activation_ == "exp"
    assert (net.predict(X) > 0).all()
    assert net.predict(X).mean() == pytest.approx(y.mean(), rel=1e-2)
    assert net.score(X, y) > 0.5


@SHORT
@EVERY_SOLVER
def test_edited_weights_are_what_predict_and_warm_starts_use(solver, problem):
    import pickle

    X, y = problem()
    net = _net(solver, warm_start=True).fit(X, y)
    net.coefs_[-1][:] = 0
    net.intercepts_[-1] = np.array([7.0])
    assert set(net.predict(X)) == {7.0}
    assert set(pickle.loads(pickle.dumps(net)).predict(X)) == {7.0}
    again = pickle.loads(pickle.dumps(net)).set_params(max_iter=1).fit(X, y)
    assert again.loss_curve_[-1] > 5  # it started from a prediction of 7
    net.coefs_[0] = np.ones((2, 2))
    with pytest.raises(ValueError, match=r"coefs_\[0\] has shape \(2, 2\)"):
        net.predict(X)


@SHORT
@EVERY_SOLVER
def test_a_failed_fit_leaves_the_estimator_as_it_was(solver, problem):
    X, y = problem()
    net = _net(solver).fit(X, y)
    before = _snapshot(net)
    for bad_X, bad_y in ((X[:, :2], y[:-1]), (X[:, :2] * np.nan, y), (X[:, :2], ["a"] * len(y))):
        with pytest.raises(ValueError):
            net.fit(bad_X, bad_y)
        _same(vars(net), before)
    new = _net(solver)
    with pytest.raises(ValueError):
        new.fit(X * np.nan, y)
    assert not hasattr(new, "n_features_in_")
    with pytest.raises(NotFittedError):
        new.predict(X)


@OVERFLOWS_IN_PYTHON
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("solver", ["online", "mini-batch", "full"])
@pytest.mark.parametrize("rate", [10.0, 1e3, 1e200])
def test_a_rate_that_diverges_is_an_error_and_the_estimator_stays(method, solver, rate, problem):
    X, y = problem()
    net = _net(solver, activation="identity", max_iter=400)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(X, y)
    net.set_params(learning_rate_init=rate, tol=0)
    before = _snapshot(net)
    with pytest.raises(ValueError, match="non-finite|diverged.*learning_rate_init"):
        for _ in range(400):
            getattr(net, method)(1e3 * X, 1e3 * y)
            before = _snapshot(net)
    _same(vars(net), before)


@SHORT
@OVERFLOWS_IN_PYTHON
def test_a_training_that_diverges_keeps_the_best_validation_score(rng):
    """As MLPRegressor does; without a score it is an error that begins with its words."""
    X, y = 3 * rng.standard_normal((150, 4)), rng.standard_normal((150, 3))
    parameters = {
        "activation": "identity",
        "solver": "sgd",
        "learning_rate_init": 0.3,
        "max_iter": 60,
        "random_state": 1,
    }
    net = BackpropRegressor(**parameters, early_stopping=True)
    with pytest.warns(ConvergenceWarning, match="best finite weights are kept"):
        net.fit(X, y)
    assert net.stop_reason_ == "diverged"
    theirs = MLPRegressor(**parameters, early_stopping=True)
    with np.errstate(all="ignore"):
        theirs.fit(X, y)
    assert net.best_validation_score_ == pytest.approx(theirs.best_validation_score_, rel=1e-9)
    np.testing.assert_allclose(net.predict(X), theirs.predict(X), rtol=1e-9)
    for each in (net, theirs):
        message = "Solver produced non-finite parameter weights. The input data may contain large "
        message += "values and need to be preprocessed."
        with pytest.raises(ValueError, match=message), np.errstate(all="ignore"):
            each.set_params(early_stopping=False).fit(X, y)


def test_huge_targets_with_lbfgs_are_an_error_or_finite(problem):
    X, y = problem()
    with pytest.raises(ValueError, match="NaN or infinite at the initial weights"):
        _net("lbfgs").fit(X, y * 1e200)


@OVERFLOWS_IN_PYTHON
def test_moments_that_overflow_are_an_error_not_a_standstill(problem):
    X, y = problem()
    with pytest.raises(ValueError, match="non-finite parameter weights.*Scale X and y"):
        _net("adam").fit(1e150 * X, 1e150 * y)


@SHORT
def test_adam_survives_a_huge_rate_finite(problem):
    X, y = problem()
    net = _net("adam", learning_rate_init=1e3, activation="tanh").fit(X, y)
    assert np.isfinite(net.predict(X)).all()


@SHORT
def test_warm_start_goes_on_and_fit_begins_anew(problem):
    X, y = problem()
    net = _net(max_iter=5).fit(X, y)
    np.testing.assert_array_equal(net.fit(X, y).coefs_[0], _net(max_iter=5).fit(X, y).coefs_[0])
    losses = list(net.loss_curve_)
    net.set_params(warm_start=True).fit(X, y)
    assert net.loss_curve_[:5] == losses
    assert len(net.loss_curve_) == 10
    assert net.loss_ < losses[-1]
    net.set_params(hidden_layer_sizes=(7,))
    with pytest.raises(ValueError, match=r"\(5, 6, 1\).*\(5, 7, 1\).*warm_start=False"):
        net.fit(X, y)


@SHORT
def test_switching_the_solver_between_warm_starts(problem):
    X, y = problem()
    net = _net("lbfgs", warm_start=True).fit(X, y)
    loss = net.loss_
    assert net.best_loss_ == loss
    net.set_params(solver="adam", early_stopping=True).fit(X, y)
    assert net.loss_ < 1.5 * loss
    net.set_params(solver="sgd", early_stopping=False).partial_fit(X, y)
    net.set_params(solver="lbfgs").fit(X, y)
    assert net.best_loss_ == net.loss_
    assert net.loss_ <= loss


def test_partial_fit_keeps_moments_and_takes_changed_parameters(problem):
    X, y = problem()
    net = _net("adam", shuffle=False, batch_size="full")
    for _ in range(3):
        net.partial_fit(X, y)
    assert net._state.moments.n_steps == 3
    assert net.stop_reason_ == "one_epoch"
    before = [coef.copy() for coef in net.coefs_]
    net.set_params(learning_rate_init=1e-12).partial_fit(X, y)
    np.testing.assert_allclose(net.coefs_[0], before[0], atol=1e-10)
    net.set_params(solver="sgd").partial_fit(X, y)
    assert net._state.moments.n_steps == 1


def test_partial_fit_exists_for_sgd_and_adam_only(problem):
    X, y = problem()
    assert hasattr(_net("adam"), "partial_fit")
    assert not hasattr(_net("lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping"):
        _net("adam", early_stopping=True).partial_fit(X, y)


@SHORT
def test_verbose_prints_a_line_an_iteration(problem, capsys):
    X, y = problem()
    for solver in ("adam", "lbfgs"):
        _net(solver, verbose=True, max_iter=3).fit(X, y)
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(",")[0] for line in lines] == [f"Iteration {i}" for i in (1, 2, 3)]
    _net("adam", verbose=True, tol=10.0, n_iter_no_change=1, early_stopping=True).fit(X, y)
    output = capsys.readouterr().out
    assert "Validation score: " in output
    assert "Validation score did not improve more than tol=10.000000 for 1" in output


@SHORT
def test_check_gradient_before_and_after_a_fit(problem):
    X, y = problem(n_outputs=2)
    net = _net(activation="tanh", tol=1.0)
    assert net.check_gradient(X, y, np.arange(len(X))) < 1e-8
    assert not hasattr(net, "n_features_in_")
    net.fit(X, y)
    before = _snapshot(net)
    assert net.check_gradient(X.astype(np.float32), y) < 1e-8
    _same(vars(net), before)


def test_check_gradient_finds_a_wrong_gradient(problem):
    from fastbp import Network, Objective
    from fastbp.diagnostics.gradient_check import gradient_error
    from fastbp.model.data import as_data

    class Wrong(Objective):
        def loss_and_gradient(self, parameters):
            loss, gradient = super().loss_and_gradient(parameters)
            gradient[3] *= 1.01
            return loss, gradient

    X, y = problem()
    network = Network((5, 4, 1), "tanh")
    parameters = network.initial_parameters(np.random.RandomState(0), np.float64)
    assert gradient_error(Wrong(network, as_data(X, y)), parameters) > 1e-4


@SHORT
def test_float32_is_close_to_float64(problem):
    X, y = problem()
    in_float32 = _net(activation="tanh").fit(X.astype(np.float32), y.astype(np.float32))
    in_float64 = _net(activation="tanh").fit(X, y)
    np.testing.assert_allclose(in_float32.coefs_[0], in_float64.coefs_[0], rtol=5e-4, atol=1e-4)


@TOO_SLOW_IN_PYTHON
@SHORT
def test_float32_keeps_a_small_weight_decay(rng):
    """(1 - rate * alpha) w is w in float32; w - rate * (g + alpha w) is not."""
    X = rng.standard_normal((2000, 10)).astype(np.float32)
    y = np.tanh(X[:, 0] + X[:, 1])
    parameters = {"hidden_layer_sizes": (50,), "activation": "tanh", "max_iter": 5}
    in_float32, in_float64 = (
        _net("online", alpha=2e-5, **parameters).fit(X.astype(dtype), y.astype(dtype))
        for dtype in (np.float32, np.float64)
    )
    ratios = [
        np.linalg.norm(coef.astype(np.float64)) / np.linalg.norm(expected)
        for coef, expected in zip(in_float32.coefs_, in_float64.coefs_, strict=True)
    ]
    # All of the decay is 2e-5 * 0.001 * 10,000 steps = 2e-4.
    assert ratios == pytest.approx([1, 1], abs=1e-5)


@SHORT
def test_float32_network_goes_on_in_float32_and_predicts_float64_inputs(problem):
    X, y = problem()
    net = _net(warm_start=True).fit(X.astype(np.float32), y)
    assert net.predict(X).dtype == np.float32
    assert net.fit(X, y).coefs_[0].dtype == np.float32


@SHORT
@pytest.mark.filterwarnings("ignore:batch_size=16 is larger")
@pytest.mark.parametrize("n_samples", [1, 2, 3])
@EVERY_SOLVER
def test_few_rows_and_one_column(solver, n_samples, problem):
    X, y = problem(n_samples=n_samples, n_features=1)
    assert np.isfinite(_net(solver).fit(X, y).predict(X)).all()


@SHORT
@EVERY_SOLVER
def test_degenerate_data(solver, problem):
    X, y = problem()
    cases = {
        "constant column": (np.c_[X, np.ones(len(X))], y),
        "all columns constant": (np.ones_like(X), y),
        "duplicate columns": (np.c_[X, X], y),
        "constant target": (X, np.full_like(y, 3.0)),
        "tiny inputs": (X * 1e-12, y),
        "subnormal inputs": (X * 1e-310, y),
    }
    for name, (inputs, targets) in cases.items():
        net = _net(solver).fit(inputs, targets)
        assert np.isfinite(net.predict(inputs)).all(), name


@SHORT
@OVERFLOWS_IN_PYTHON
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@EVERY_SOLVER
def test_the_largest_numbers_are_an_error_or_finite(solver, dtype, activation, problem):
    X, y = problem(dtype=dtype)
    huge = (np.sign(X) * np.finfo(dtype).max).astype(dtype)
    for inputs, targets in ((huge, y), (X, huge[:, 0])):
        net = _net(solver, activation=activation)
        try:
            net.fit(inputs, targets)
        except ValueError as error:
            assert "diverged" in str(error) or "NaN or infinite" in str(error)
        else:
            assert np.isfinite(net.loss_)
            assert all(np.isfinite(array).all() for array in net.coefs_ + net.intercepts_)


def test_zero_gradient_at_the_start_stops_at_once(problem):
    X, _ = problem()
    net = _net("lbfgs", activation="tanh", warm_start=True, tol=1e-3).fit(X, np.zeros(len(X)))
    for array in net.coefs_ + net.intercepts_:
        array[:] = 0
    net.fit(X, np.zeros(len(X)))
    assert net.loss_ == 0
    assert net.stop_reason_ == "gradient_norm"
    assert not np.any(net.coefs_[0])


@SHORT
def test_parameters_are_checked_at_fit_and_numpy_scalars_accepted(problem):
    X, y = problem()
    net = BackpropRegressor(
        hidden_layer_sizes=np.array([4, 3]),
        alpha=np.float32(0.1),
        batch_size=np.int64(16),
        tol=np.float64(1.0),
        random_state=np.int64(0),
    )
    assert net.fit(X, y).n_layers_ == 4
    assert _net("adam", tol=np.float32(10)).fit(X, y).n_iter_ == 12


@NEEDS_A_COMPILER
@SHORT
def test_varied_input_types_add_no_compilations(problem):
    from fastbp.backends.cpu import kernels

    X, y = problem()
    for solver in SOLVERS:
        _net(solver).fit(X, y).predict(X)
    compiled = {name: len(getattr(kernels, name).signatures) for name in _kernel_names()}
    varied = [
        np.asfortranarray(X), X[::-1], X[::2].repeat(2, axis=0), X.tolist(), X.astype(">f8"),
        sparse.csr_matrix(X), sparse.csc_array(X), np.broadcast_to(X[0], X.shape), X.astype(int),
    ]  # fmt: skip
    read_only = X.copy()
    read_only.flags.writeable = False
    for inputs in [*varied, read_only]:
        for solver in SOLVERS:
            _net(solver).fit(inputs, y, np.ones(len(y))).predict(inputs)
            _net(solver, activation="sin", hidden_layer_sizes=(3, 2)).fit(inputs, y.astype(int))
    assert {n: len(getattr(kernels, n).signatures) for n in _kernel_names()} == compiled


def _kernel_names():
    from fastbp.backends.cpu import kernels

    return [name for name in kernels.__all__ if hasattr(getattr(kernels, name), "signatures")]


@SHORT
@EVERY_SOLVER
def test_the_arrays_given_are_not_written_to(solver, problem):
    X, y = problem()
    weights = np.linspace(0, 1, len(y))
    copies = X.copy(), y.copy(), weights.copy()
    net = _net(solver).fit(X, y, weights)
    net.predict(X)
    if hasattr(net, "partial_fit"):
        net.partial_fit(X, y, weights)
    with pytest.raises(ValueError):
        net.fit(X, y, -weights)
    for array, copied in zip((X, y, weights), copies, strict=True):
        np.testing.assert_array_equal(array, copied)


@OVERFLOWS_IN_PYTHON
@SHORT
def test_predictions_that_overflow_are_not_silent(problem):
    X, y = problem(positive=True)
    net = _net(loss="poisson", tol=10.0).fit(X, y)
    with pytest.warns(RuntimeWarning, match="overflow to infinity"):
        net.predict(X * 1e6)


@SHORT
def test_a_pickle_says_which_version_made_it(problem, monkeypatch):
    import pickle

    X, y = problem()
    net = _net("lbfgs").fit(X, y)
    pickled = pickle.dumps(net)
    assert not hasattr(pickle.loads(pickled), "_fastbp_version")
    monkeypatch.setattr("fastbp.estimators.fitted_state.__version__", "9.9")
    with pytest.warns(UserWarning, match=r"pickled by fastbp 0.*loaded by 9\.9") as record:
        loaded = pickle.loads(pickled)
    assert record[0].filename == __file__
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))


@SHORT
@NEEDS_A_COMPILER
def test_numpys_numbers_are_taken_as_pythons(problem):
    """No kernel is compiled anew for their types."""
    X, y = problem()
    numbers = {"learning_rate_init": 0.015625, "power_t": 0.5, "momentum": 0.5, "alpha": 0.25}
    nets = [
        _net("mini-batch", learning_rate="invscaling", **{k: of(v) for k, v in numbers.items()})
        for of in (float, np.float32)
    ]
    from fastbp.backends.cpu import kernels

    results, n_compiled = [], []
    for net in nets:
        results.append(net.fit(X, y).predict(X))
        n_compiled.append(len(kernels.batch_epochs.signatures))
    np.testing.assert_array_equal(*results)
    assert n_compiled[0] == n_compiled[1]


@SHORT
def test_a_rate_that_falls_to_0_is_no_error(problem):
    X, y = problem()
    net = _net("mini-batch", learning_rate="invscaling", power_t=1e3, max_iter=3).fit(X, y)
    assert np.isfinite(net.loss_)
