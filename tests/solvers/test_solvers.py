"""Every batch solver: what it reaches, the limits it keeps to, and what it survives."""

import math
import time
import tracemalloc
from typing import get_args

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.backends.cpu.predict import predict
from fastbp.model.data import as_data
from fastbp.solvers import SOLVERS as REGISTRY
from fastbp.solvers.conjugate_gradient import UPDATES
from fastbp.solvers.descent import Descent
from fastbp.solvers.line_search import line_search
from fastbp.solvers.stopping import Clock, EarlyStopping, StopReason
from helpers.guards import DTYPES
from helpers.runs import batch_options


def _named_solvers():
    for name, solver in REGISTRY.items():
        if name == "cg":
            for update in UPDATES:
                yield f"cg-{update}", (solver.minimise, {"cg_update": update})
        elif not solver.is_stochastic:
            yield name, (solver.minimise, {})


SOLVERS = dict(_named_solvers())
BAYESIAN = "lm-bayesian"
WITH_BAYESIAN = SOLVERS | {BAYESIAN: (REGISTRY["lm"].minimise_bayesian, {})}

EVERY_SOLVER = pytest.mark.parametrize("solver", SOLVERS)
EVERY_SOLVER_AND_BAYESIAN = pytest.mark.parametrize("solver", WITH_BAYESIAN)

#: Those whose loss may rise from one iteration to the next.
RISING = ("rprop", BAYESIAN)

#: Evaluations until Rosenbrock's function is below 1e-6: about twice as many as were measured.
ROSENBROCK_BUDGET = {
    "lbfgs": 85, "bfgs": 85, "cg": 180, "scg": 200, "lm": 55, "rprop": 7000, "gd": 3800,
}  # fmt: skip

#: Iterations to the least-squares solution, about twice as many as were measured, and how near to
#: it. SciPy ends L-BFGS where an iteration lowers the loss by less than 2.2e-9.
LINEAR_BUDGET = {
    "lbfgs": (60, 1e-8), "bfgs": (60, 1e-8), "cg": (30, 1e-8), "scg": (40, 1e-8),
    "lm": (10, 1e-8), "rprop": (350, 1e-8), "gd": (300, 1e-8),
}  # fmt: skip

START = np.array([-1.2, 1.0])


class Surface:
    """A loss over the plane; ``answer`` is what its normal equations are."""

    def loss_and_gradient(self, parameters):
        return self.answer(parameters)[:2]

    def normal_equations(self, parameters):
        return self.answer(parameters)


class Rosenbrock(Surface):
    """The banana valley, 100 (y - x^2)^2 + (1 - x)^2."""

    def answer(self, parameters):
        x, y = map(float, parameters)
        # Plain numbers: what is too large becomes infinity without a warning.
        a, b = y - x * x, 1 - x
        gradient = np.array([-400 * x * a - 2 * b, 200 * a])
        hessian = np.array([[800 * x * x + 2, -400 * x], [-400 * x, 200.0]])
        return 100 * a * a + b * b, gradient, hessian


class Plane(Surface):
    """-x - y, which falls for ever."""

    def answer(self, parameters):
        return -sum(map(float, parameters)), -np.ones(2), np.ones((2, 2))


class Plateau(Surface):
    """(e^-2x + e^-0.2y) / 2, which falls for ever and by ever less."""

    def answer(self, parameters):
        rates = np.array([1.0, 0.1])
        errors = np.exp(np.minimum(-rates * parameters, 700.0))
        slopes = -rates * errors
        with np.errstate(over="ignore"):
            return errors @ errors / 2, slopes * errors, np.diag(slopes * slopes)


def _watched(objective, change=None):
    """Count an objective's calls in n_calls; ``change(call, p, *answer)`` may change answers."""
    objective.n_calls = 0

    def watch(method):
        def answer(parameters):
            objective.n_calls += 1
            result = method(parameters)
            return result if change is None else change(objective.n_calls, parameters, *result)

        return answer

    objective.loss_and_gradient = watch(objective.loss_and_gradient)
    objective.normal_equations = watch(objective.normal_equations)
    return objective


def _minimise(solver, objective, start, **options):
    """Minimise with no stopping rule but those named, and a limit that ends what would hang."""
    minimise, own = WITH_BAYESIAN[solver]
    defaults = {"max_iter": 300, "gtol": 0.0, "n_iter_no_change": math.inf}
    result = minimise(objective, start, batch_options(**(defaults | own | options)))
    assert result.stop_reason in get_args(StopReason)
    return result


def _bend(
    rng, dtype=np.float64, layers=(4, 6, 2), n_samples=60, alpha=0.1, n_threads=1, activation="tanh"
):
    """Make a weighted problem for a net, and a start."""
    network = Network(layers, activation)
    X = rng.standard_normal((n_samples, layers[0])).astype(dtype)
    y = np.sin(X @ rng.standard_normal((layers[0], layers[-1])))
    y += 0.1 * rng.standard_normal(y.shape)
    data = as_data(X, y, rng.uniform(0, 2, n_samples))
    start = network.initial_parameters(np.random.RandomState(0), np.dtype(dtype))
    return Objective(network, data, alpha, n_threads), start


def _curve(start_loss, result):
    return np.array([start_loss, *result.history.loss_curve])


# What is reached


@EVERY_SOLVER
def test_rosenbrocks_function_is_minimised_within_a_budget(solver):
    objective = _watched(Rosenbrock())
    budget = ROSENBROCK_BUDGET[solver.split("-")[0]]
    result = _minimise(solver, objective, START, max_iter=10**6, max_fun=budget, loss_goal=1e-6)
    assert result.stop_reason == "goal"
    assert Rosenbrock().loss_and_gradient(result.parameters)[0] <= 1e-6
    assert objective.n_calls == result.history.n_fun <= budget


@pytest.mark.parametrize("n_outputs", [1, 2])
@EVERY_SOLVER
def test_without_hidden_layers_it_is_linear_least_squares(solver, n_outputs, rng):
    X = rng.standard_normal((200, 5)) + 0.3 * rng.standard_normal((200, 1))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = 2.0 + X @ rng.standard_normal((5, n_outputs)) + 0.01 * rng.standard_normal((200, n_outputs))
    expected, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(200)]), y)
    max_iter, tolerance = LINEAR_BUDGET[solver.split("-")[0]]
    objective = Objective(Network((5, n_outputs)), as_data(X, y))
    start = rng.standard_normal(6 * n_outputs)
    result = _minimise(solver, objective, start, max_iter=max_iter, gtol=1e-9)
    np.testing.assert_allclose(result.parameters, expected.ravel(), atol=tolerance)
    assert result.stop_reason != "max_iter"


@pytest.mark.parametrize("c2", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("first_step", [1e-9, 1e-3, 1.0, 1e3, 1e9])
def test_line_search_finds_a_strong_wolfe_point(first_step, c2):
    descent = Descent(Rosenbrock(), START, batch_options(gtol=0.0))
    descent.begin(START)
    start, direction = descent.point, np.array([1.0, -0.3])
    slope = start.gradient @ direction
    assert slope < 0
    point, step = line_search(descent, direction, first_step, c2)
    np.testing.assert_array_equal(point.parameters, start.parameters + step * direction)
    assert point.loss <= start.loss + 1e-4 * step * slope
    assert abs(point.gradient @ direction) <= c2 * abs(slope)


class Waves(Surface):
    """t / 2 - sin 3t in one dimension: each valley on the way lies higher than the one before."""

    def answer(self, parameters):
        t = float(parameters[0])
        slope = np.array([0.5 - 3 * math.cos(3 * t)])
        return t / 2 - math.sin(3 * t), slope, np.outer(slope, slope)


@pytest.mark.parametrize("c2", [0.1, 0.9])
@pytest.mark.parametrize("first_step", np.arange(0.1, 10, 0.3))
def test_line_search_does_not_stay_in_a_valley_above_the_start(first_step, c2):
    descent = Descent(Waves(), np.zeros(1), batch_options(gtol=0.0))
    descent.begin(np.zeros(1))
    point, step = line_search(descent, np.ones(1), first_step, c2)
    assert point.parameters.tolist() == [step]
    assert point.loss <= 1e-4 * step * -2.5
    assert abs(point.gradient[0]) <= c2 * 2.5


# The loss does not rise, whatever the objective does


@EVERY_SOLVER
@DTYPES
def test_loss_never_rises(solver, dtype, rng):
    objective, start = _bend(rng, dtype)
    start_loss, _ = objective.loss_and_gradient(start)
    result = _minimise(solver, objective, start, max_iter=60)
    curve = _curve(start_loss, result)
    assert result.history.n_iter > 5
    assert result.history.loss == curve.min() < 0.8 * start_loss
    if solver not in RISING:
        assert (np.diff(curve) <= 0).all()


def _signs(*signs):
    return lambda call, p, loss, gradient, *hessian: (loss, gradient * signs, *hessian)


def _random_gradient(call, p, loss, gradient, *hessian):
    return loss, np.random.default_rng(call).standard_normal(gradient.shape), *hessian


def _zero_entry(call, p, loss, gradient, *hessian):
    return loss, gradient * (np.arange(gradient.size) % 2), *hessian


WRONG_GRADIENTS = {
    "all signs": _signs(-1),
    "some signs": lambda call, p, loss, gradient, *hessian: (
        loss, gradient * (1 - 2 * (np.arange(gradient.size) % 2)), *hessian,
    ),
    "random": _random_gradient,
    "entries missing": _zero_entry,
    "too large": _signs(1e6),
    "too small": _signs(1e-6),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_GRADIENTS)
@EVERY_SOLVER
@DTYPES
def test_with_a_wrong_gradient_it_ends_no_higher(solver, wrong, dtype, rng):
    network_objective, network_start = _bend(rng, dtype)
    for clean, start in (
        (Rosenbrock(), START.astype(dtype)),
        (network_objective, network_start),
    ):
        start_loss, _ = clean.loss_and_gradient(start)
        answer = clean.loss_and_gradient
        result = _minimise(
            solver, _watched(clean, WRONG_GRADIENTS[wrong]), start, max_iter=1000, max_fun=3000
        )
        assert np.isfinite(result.parameters).all()
        assert result.history.loss == answer(result.parameters)[0] <= start_loss
        if solver not in RISING:
            assert (np.diff(_curve(start_loss, result)) <= 0).all()


def _bad_loss(bad, loss, gradient, *hessian):
    return bad, gradient, *hessian


def _bad_gradient(bad, loss, gradient, *hessian):
    return loss, np.array([bad, -bad]), *hessian


def _all_bad(bad, loss, gradient, *hessian):
    return bad, np.array([bad, -bad]), *(np.full((2, 2), bad) for _ in hessian)


SPOILT = {"loss": _bad_loss, "gradient": _bad_gradient, "all": _all_bad}
EVERY_BAD_NUMBER = pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])


@EVERY_BAD_NUMBER
@pytest.mark.parametrize("spoilt", SPOILT)
@EVERY_SOLVER
@DTYPES
def test_a_region_of_nan_or_infinity_is_survived(solver, spoilt, bad, dtype):
    """Beyond x = 0.3 of Rosenbrock's valley, whose minimum is at 1."""

    def change(call, p, *answer):
        return SPOILT[spoilt](bad, *answer) if p[0] > 0.3 else answer

    start = START.astype(dtype)
    result = _minimise(solver, _watched(Rosenbrock(), change), start, max_fun=3000)
    start_loss, _ = Rosenbrock().loss_and_gradient(start)
    assert np.isfinite(result.parameters).all()
    assert result.parameters[0] <= 0.3
    assert result.history.loss == Rosenbrock().loss_and_gradient(result.parameters)[0] < start_loss
    assert np.isfinite(result.history.loss_curve).all()


@EVERY_BAD_NUMBER
@pytest.mark.parametrize("spoilt", SPOILT)
@EVERY_SOLVER
@DTYPES
def test_nan_or_infinity_from_some_evaluation_on_ends_it(solver, spoilt, bad, dtype):
    start = START.astype(dtype)
    start_loss, _ = Rosenbrock().loss_and_gradient(start)
    for first_bad in (2, 3, 4, 5, 9):

        def change(call, p, *answer, first_bad=first_bad):
            return SPOILT[spoilt](bad, *answer) if call >= first_bad else answer

        result = _minimise(solver, _watched(Rosenbrock(), change), start)
        loss, _ = Rosenbrock().loss_and_gradient(result.parameters)
        assert np.isfinite(result.parameters).all()
        assert result.history.loss == loss <= start_loss
        assert result.stop_reason in ("diverged", "line_search", "step_size")
        assert result.history.n_fun < first_bad + 500


@EVERY_BAD_NUMBER
@pytest.mark.parametrize("spoilt", SPOILT)
@EVERY_SOLVER
def test_nan_or_infinity_at_the_start_is_diverged(solver, spoilt, bad):
    objective = _watched(Rosenbrock(), lambda call, p, *answer: SPOILT[spoilt](bad, *answer))
    result = _minimise(solver, objective, START)
    assert result.stop_reason == "diverged"
    assert (objective.n_calls, result.history.n_fun, result.history.n_iter) == (1, 1, 0)
    np.testing.assert_array_equal(result.parameters, START)


@pytest.mark.parametrize("surface", [Plane, Plateau])
@EVERY_SOLVER
@DTYPES
def test_without_a_minimum_parameters_stay_finite(solver, surface, dtype):
    start = np.array([0.5, -1.0], dtype)
    result = _minimise(solver, surface(), start, max_fun=10_000)
    start_loss, _ = surface().loss_and_gradient(start)
    assert np.isfinite(result.parameters).all()
    assert np.isfinite(result.history.loss)
    assert result.history.loss < start_loss
    assert result.stop_reason != "max_fun", "an iteration that goes on for ever"


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e-30, 1e30, 1e120, 1e200])
@EVERY_SOLVER
def test_a_scale_far_from_1_is_survived(solver, scale):
    def change(call, p, *answer):
        with np.errstate(over="ignore"):
            return tuple(scale * part for part in answer)

    result = _minimise(solver, _watched(Rosenbrock(), change), START, max_fun=3000)
    start_loss, _ = Rosenbrock().loss_and_gradient(START)
    assert np.isfinite(result.parameters).all()
    assert Rosenbrock().loss_and_gradient(result.parameters)[0] <= start_loss


class Bowl(Surface):
    """x^2 + y^2."""

    def answer(self, parameters):
        return float(parameters @ parameters), 2 * parameters, 2 * np.eye(2)


@EVERY_SOLVER
def test_where_squares_are_0_there_is_nothing_to_divide_by(solver):
    for size in np.geomspace(1e-163, 1e-155, 161):
        start = size * np.array([1.0, 0.5])
        result = _minimise(solver, Bowl(), start, max_iter=100)
        assert np.isfinite(result.parameters).all()
        assert result.history.loss <= start @ start


NETWORKS = {
    "linear": Network((3, 1)),
    "relu": Network((3, 8, 5, 1), "relu"),
    "tanh": Network((3, 8, 5, 1), "tanh"),
    "exp": Network((3, 5, 1), "tanh", output_activation="exp"),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(
    ("X_scale", "y_scale"),
    [(1.0, 0.0), (1e12, 0.0), (1e-12, 1e-12), (1e12, 1.0), (1.0, 1e15), (1e6, 1e15)],
)
@EVERY_SOLVER_AND_BAYESIAN
@DTYPES
def test_data_of_any_scale_are_survived(solver, X_scale, y_scale, network, dtype, rng):
    """A target of 0 too, with which a loss can fall until nothing is left to divide by."""
    X = (X_scale * rng.standard_normal((40, 3))).astype(dtype)
    y = (y_scale * (1 + rng.standard_normal(40))).astype(dtype)
    start = network.initial_parameters(np.random.RandomState(0), np.dtype(dtype))
    start_loss, _ = Objective(network, as_data(X, y)).loss_and_gradient(start)
    result = _minimise(solver, Objective(network, as_data(X, y)), start, max_fun=3000)
    assert np.isfinite(result.parameters).all()
    if solver != BAYESIAN:
        assert result.history.loss <= start_loss


@pytest.mark.parametrize("gtol", [0.0, 1e-4])
@EVERY_SOLVER_AND_BAYESIAN
@DTYPES
def test_a_gradient_of_0_at_the_start_ends_it_at_once(solver, gtol, dtype):
    network = Network((2, 3, 1), "tanh")
    X = np.arange(8.0).reshape(4, 2).astype(dtype)
    objective = _watched(Objective(network, as_data(X, np.array([1.0, -1.0, 2.0, -2.0]))))
    start = np.zeros(network.n_parameters, dtype)
    result = _minimise(solver, objective, start, gtol=gtol)
    assert result.stop_reason == "gradient_norm"
    assert (objective.n_calls, result.history.n_fun, result.history.n_iter) == (1, 1, 1)
    assert result.history.gradient_norm == 0.0
    np.testing.assert_array_equal(result.parameters, start)


# Limits


@pytest.mark.parametrize("max_iter", [1, 2, 7])
@EVERY_SOLVER_AND_BAYESIAN
def test_max_iter_is_kept(solver, max_iter, rng):
    result = _minimise(solver, *_bend(rng), max_iter=max_iter)
    assert result.stop_reason == "max_iter"
    assert result.history.n_iter == max_iter


@pytest.mark.parametrize("max_fun", [1, 2, 3, 4, 5, 12])
@EVERY_SOLVER_AND_BAYESIAN
def test_max_fun_is_kept(solver, max_fun, rng):
    objective, start = _bend(rng)
    result = _minimise(solver, _watched(objective), start, max_fun=max_fun)
    assert result.stop_reason == "max_fun"
    assert result.history.n_fun == objective.n_calls
    if solver == "lbfgs":  # SciPy looks at it after a line search, of 20 evaluations at most
        assert max_fun <= objective.n_calls <= max_fun + 20
    else:
        assert objective.n_calls == max_fun


@EVERY_SOLVER_AND_BAYESIAN
def test_without_time_only_the_start_is_evaluated(solver, rng):
    objective, start = _bend(rng)
    result = _minimise(solver, _watched(objective), start, clock=Clock(max_time=0.0))
    assert result.stop_reason == "time"
    assert objective.n_calls == 1
    np.testing.assert_array_equal(result.parameters, start)


@pytest.mark.parametrize("last_call", [1, 2, 5, 8])
@EVERY_SOLVER_AND_BAYESIAN
def test_time_up_ends_it_before_the_next_evaluation(solver, last_call, rng):
    clock = Clock()

    def change(call, p, *answer):
        if call == last_call:
            clock.max_time = 0.0
        return answer

    objective, start = _bend(rng)
    start_loss, _ = objective.loss_and_gradient(start)
    result = _minimise(solver, _watched(objective, change), start, clock=clock)
    assert result.stop_reason == "time"
    assert objective.n_calls == result.history.n_fun == last_call
    if solver != BAYESIAN:
        assert result.history.loss <= start_loss


@pytest.mark.parametrize("last_call", [1, 2, 5, 8])
@EVERY_SOLVER_AND_BAYESIAN
def test_an_event_interrupts(solver, last_call, rng):
    clock = Clock()

    def change(call, p, *answer):
        if call == last_call:
            clock.interrupted.set()
        return answer

    objective, start = _bend(rng)
    result = _minimise(solver, _watched(objective, change), start, clock=clock)
    assert result.stop_reason == "interrupted"
    assert objective.n_calls == result.history.n_fun == last_call


@pytest.mark.parametrize("last_call", [2, 3, 4, 5, 6, 7, 12])
@EVERY_SOLVER_AND_BAYESIAN
def test_ctrl_c_keeps_the_best_so_far(solver, last_call, rng):
    def change(call, p, *answer):
        if call == last_call:
            raise KeyboardInterrupt
        return answer

    objective, start = _bend(rng)
    answer = objective.loss_and_gradient
    start_loss, _ = answer(start)
    result = _minimise(solver, _watched(objective, change), start)
    assert result.stop_reason == "interrupted"
    assert objective.n_calls == last_call
    assert result.history.loss == pytest.approx(answer(result.parameters)[0], rel=1e-12)
    if solver != BAYESIAN:
        assert result.history.loss == _curve(start_loss, result).min()


@EVERY_SOLVER
def test_ctrl_c_before_anything_is_known_goes_on_up(solver):
    def change(call, p, *answer):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _minimise(solver, _watched(Rosenbrock(), change), START)


@EVERY_SOLVER_AND_BAYESIAN
def test_loss_goal_ends_it(solver, rng):
    objective, start = _bend(rng)
    start_loss, _ = objective.loss_and_gradient(start)
    result = _minimise(solver, objective, start, loss_goal=0.9 * start_loss)
    assert result.stop_reason == "goal"
    assert result.history.loss <= 0.9 * start_loss
    assert result.history.loss == result.history.loss_curve[-1]
    assert all(loss > 0.9 * start_loss for loss in result.history.loss_curve[:-1])


@EVERY_SOLVER_AND_BAYESIAN
def test_a_goal_that_the_start_reaches_ends_it_at_once(solver, rng):
    objective, start = _bend(rng)
    result = _minimise(solver, _watched(objective), start, loss_goal=1e6)
    assert result.stop_reason == "goal"
    assert (objective.n_calls, result.history.n_iter) == (1, 1)
    np.testing.assert_array_equal(result.parameters, start)


@EVERY_SOLVER
def test_gtol_ends_it(solver, rng):
    objective, start = _bend(rng)
    result = _minimise(solver, objective, start, gtol=1e-2)
    assert result.stop_reason == "gradient_norm"
    *before, last = result.history.gradient_norm_curve
    assert last == result.history.gradient_norm <= 1e-2
    assert all(norm > 1e-2 for norm in before)


@pytest.mark.parametrize("n_iter_no_change", [0, 1, 3])
@pytest.mark.parametrize("solver", [name for name in SOLVERS if name != "lbfgs"])
def test_no_progress_for_too_long_ends_it(solver, n_iter_no_change):
    """A loss with a huge constant: no iteration lowers it by as much as 2.2e-9 of it."""

    def change(call, p, loss, *rest):
        return loss + 1e12, *rest

    objective = _watched(Rosenbrock(), change)
    result = _minimise(solver, objective, START, n_iter_no_change=n_iter_no_change)
    assert result.stop_reason == "tolerance"
    assert result.history.n_iter == n_iter_no_change + 1


# What is handed back


@pytest.mark.parametrize("limit", [{"max_iter": 9}, {"max_fun": 14}, {"max_iter": 100}])
@EVERY_SOLVER_AND_BAYESIAN
@DTYPES
def test_the_history_is_that_of_the_calls(solver, limit, dtype, rng):
    objective, start = _bend(rng, dtype)
    answer = objective.loss_and_gradient
    began = time.perf_counter()
    result = _minimise(solver, _watched(objective), start, **limit)
    elapsed, history = time.perf_counter() - began, result.history
    curves = (history.loss_curve, history.gradient_norm_curve, history.time_curve)
    assert [len(curve) for curve in curves] == [history.n_iter] * 3
    assert history.n_fun == objective.n_calls
    assert history.time_curve[0] > 0
    assert (np.diff([*history.time_curve, elapsed]) >= 0).all()
    loss, gradient = answer(result.parameters)
    exactly = 0.0 if solver != BAYESIAN else 1e-12 if dtype == np.float64 else 1e-5
    assert history.loss == pytest.approx(loss, rel=exactly, abs=0)
    assert history.gradient_norm == pytest.approx(np.abs(gradient).max(), rel=exactly, abs=exactly)
    if solver not in RISING:
        assert history.loss == history.loss_curve[-1] == history.best_loss
        assert history.gradient_norm == history.gradient_norm_curve[-1]


@EVERY_SOLVER_AND_BAYESIAN
@DTYPES
def test_the_start_is_not_changed_and_the_dtype_stays(solver, dtype, rng):
    objective, start = _bend(rng, dtype)
    before = start.copy()
    start.flags.writeable = False
    result = _minimise(solver, objective, start, max_iter=5)
    np.testing.assert_array_equal(start, before)
    assert result.parameters.dtype == dtype
    assert result.parameters.shape == start.shape
    assert not np.shares_memory(result.parameters, start)
    assert (result.parameters != start).any()


@EVERY_SOLVER
def test_every_point_asked_for_is_of_the_starts_dtype(solver):
    def change(call, p, *answer):
        assert p.dtype == np.float32
        return answer

    _minimise(solver, _watched(Rosenbrock(), change), START.astype(np.float32), max_iter=10)


@EVERY_SOLVER_AND_BAYESIAN
def test_the_bits_are_the_same_for_any_number_of_threads(solver, rng):
    seed = rng.integers(2**31)
    results = []
    for n_threads in (1, 2, 3):
        problem = _bend(np.random.default_rng(seed), n_samples=3000, n_threads=n_threads)
        results.append(_minimise(solver, *problem, max_iter=6))
    for other in results[1:]:
        np.testing.assert_array_equal(other.parameters, results[0].parameters)
        assert other.history.loss_curve == results[0].history.loss_curve


@EVERY_SOLVER_AND_BAYESIAN
def test_the_best_validation_score_decides(solver, rng):
    scores, asked = iter([1.0, math.nan, 3.0, 2.0, 3.0, math.nan, 2.5, 2.0, 9.0]), []

    def score(parameters):
        asked.append(parameters.copy())
        return next(scores)

    rule = EarlyStopping(score, "no_improvement", threshold=3, tol=0.1)
    objective, start = _bend(rng)
    answer = objective.loss_and_gradient
    result = _minimise(solver, objective, start, early_stopping=rule)
    assert result.stop_reason == "validation"
    assert result.history.n_iter == len(asked) == len(result.history.validation_scores) == 7
    assert result.history.best_validation_score == 3.0
    np.testing.assert_array_equal(result.parameters, asked[2])
    if solver != BAYESIAN:  # whose weight decay has changed since
        assert result.history.loss == answer(asked[2])[0] == result.history.loss_curve[2]
        assert result.history.gradient_norm == result.history.gradient_norm_curve[2]


@EVERY_SOLVER_AND_BAYESIAN
def test_verbose_prints_a_line_an_iteration(solver, rng, capsys):
    result = _minimise(solver, *_bend(rng), max_iter=3, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for i, (line, loss) in enumerate(zip(lines, result.history.loss_curve, strict=True), start=1):
        assert line.startswith(f"Iteration {i}, loss = {loss:.8f}, gradient = ")
    _minimise(solver, *_bend(rng), max_iter=3)
    assert not capsys.readouterr().out


# Levenberg-Marquardt


def _constant_column(rng):
    X = rng.standard_normal((30, 3))
    X[:, 1] = 1.0
    return X, X[:, 0] - X[:, 2] ** 2


def _duplicate_columns(rng):
    X = rng.standard_normal((30, 2))[:, [0, 1, 0, 1]]
    return X, np.tanh(X[:, 0]) * X[:, 1]


def _fewer_rows_than_weights(rng):
    X = rng.standard_normal((4, 6))
    return X, rng.standard_normal(4)


def _one_row(rng):
    return rng.standard_normal((1, 3)), np.array([2.0])


def _constant_target(rng):
    return rng.standard_normal((30, 3)), np.full(30, 3.0)


def _all_columns_0(rng):
    return np.zeros((30, 3)), rng.standard_normal(30)


RANK_DEFICIENT = [
    _constant_column, _duplicate_columns, _fewer_rows_than_weights, _one_row, _constant_target,
    _all_columns_0,
]  # fmt: skip
EVERY_RANK_DEFICIENT = pytest.mark.parametrize("make", RANK_DEFICIENT)
EVERY_DEPTH = pytest.mark.parametrize("hidden", [(), (5,), (4, 3)], ids=str)


@EVERY_RANK_DEFICIENT
@EVERY_DEPTH
@DTYPES
def test_lm_goes_down_where_j_has_not_full_rank(make, hidden, dtype, rng):
    X, y = make(rng)
    network = Network((X.shape[1], *hidden, 1), "tanh")
    objective = Objective(network, as_data(X.astype(dtype), y), alpha=0.0)
    start = network.initial_parameters(np.random.RandomState(1), np.dtype(dtype))
    start_loss, _ = objective.loss_and_gradient(start)
    result = _minimise("lm", objective, start)
    curve = _curve(start_loss, result)
    assert (np.diff(curve) <= 0).all()
    assert curve[-1] < start_loss
    assert np.isfinite(result.parameters).all()


@pytest.mark.parametrize("solver", ["lm", "bfgs", BAYESIAN])
def test_too_large_a_matrix_is_refused_before_it_is_made(solver):
    start = np.zeros(20_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"20000 x 20000.*'lbfgs'") as refusal:
        _minimise(solver, None, start)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6
    assert all(name in SOLVERS or name == "cg" for name in ("lbfgs", "cg", "scg", "rprop"))
    assert all(repr(name) in str(refusal.value) for name in ("lbfgs", "cg", "scg", "rprop"))


def test_lm_is_for_the_squared_error_alone(rng):
    network = Network((3, 4, 1), "tanh", "poisson")
    objective = Objective(network, as_data(rng.standard_normal((9, 3)), np.arange(9.0)))
    start = network.initial_parameters(np.random.RandomState(0), np.dtype(float))
    for failing in (
        lambda: objective.normal_equations(start),
        lambda: _minimise("lm", objective, start),
    ):
        with pytest.raises(ValueError, match="'squared_error', not of 'poisson'"):
            failing()


# Bayesian regularisation


def _noisy_sine(n_hidden, seed, order=None, n_outputs=1):
    """60 noisy rows of a sine and a start; rows may be put in another order."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (60, 1))
    y = np.sin(3 * X + np.arange(n_outputs)) + 0.3 * rng.standard_normal((60, n_outputs))
    if order is not None:
        X, y = X[order], y[order]
    network = Network((1, n_hidden, n_outputs), "tanh")
    start = network.initial_parameters(np.random.RandomState(seed), np.dtype(float))
    return Objective(network, as_data(X, y)), start


def _distance_from_sine(objective, parameters):
    X = np.linspace(-1, 1, 200)[:, None]
    error = predict(objective.network, parameters, as_data(X)) - np.sin(3 * X)
    return math.sqrt(np.mean(error**2))


@pytest.mark.parametrize("seed", [1, 2, 3, 7])
def test_bayesian_regularisation_holds_a_net_that_is_too_large(seed):
    objective, start = _noisy_sine(20, seed)
    result = _minimise(BAYESIAN, objective, start, gtol=1e-5)
    assert objective.network.n_parameters == 61
    assert 4 < result.effective_parameters < 20
    assert result.alpha == objective.alpha > 0
    unregularised, _ = _noisy_sine(20, seed)
    other = _minimise("lm", unregularised, start)
    assert unregularised.alpha == 0
    assert _distance_from_sine(objective, result.parameters) < 0.7 * _distance_from_sine(
        unregularised, other.parameters
    )


def _evidence(objective, parameters, ridge):
    """Parameters that the data determine, and alpha by MacKay's formula, worked out whole.

    ridge : of the largest diagonal entry of J'J, what is determined by less is not determined.
    """
    n_rows, n_weights = objective.data.n_samples, objective.network.n_weights
    n_outputs = objective.network.layer_sizes[-1]
    decay = np.where(np.arange(parameters.size) < n_weights, objective.alpha, 0.0)
    loss, _, hessian = objective.normal_equations(parameters)
    products = n_rows * (np.triu(hessian) + np.triu(hessian, 1).T) - np.diag(decay)
    added = np.diag(decay + ridge * products.diagonal().max())
    determined = np.linalg.solve(products + added, products).diagonal()
    square_sum = np.sum(parameters[:n_weights] ** 2)
    errors = 2 * n_rows * loss - objective.alpha * square_sum
    n_left = n_rows * n_outputs - determined.sum()
    return determined.sum(), determined[:n_weights].sum() * errors / square_sum / n_left


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("n_hidden", [3, 20])
@pytest.mark.parametrize("seed", range(1, 5))
def test_alpha_is_a_fixed_point_of_the_evidence(seed, n_hidden, n_outputs):
    """Within what is left open: how small a number is still one, where J has not full rank."""
    objective, start = _noisy_sine(n_hidden, seed, n_outputs=n_outputs)
    result = _minimise(BAYESIAN, objective, start, gtol=1e-6, max_iter=2000)
    assert result.stop_reason == "gradient_norm"
    most = _evidence(objective, result.parameters, 1e-13)
    least = _evidence(objective, result.parameters, 1e-10)
    found = (result.effective_parameters, result.alpha)
    assert (np.array(found) > 0.995 * np.minimum(least, most)).all()
    assert (np.array(found) < 1.005 * np.maximum(least, most)).all()
    if n_hidden == 3:
        assert most == pytest.approx(least, rel=0.01)


@pytest.mark.parametrize(("n_hidden", "seed"), [(3, 0), (5, 2), (20, 1)])
def test_alpha_does_not_hang_on_the_rounding_of_sums(n_hidden, seed):
    """Another order of the rows changes the last bits of H, and nothing that could be meant."""
    found = []
    for i in range(5):
        order = np.random.default_rng(i).permutation(60) if i else np.arange(60)
        problem = _noisy_sine(n_hidden, seed, order)
        result = _minimise(BAYESIAN, *problem, gtol=1e-6, max_iter=1000)
        found.append((result.alpha, result.effective_parameters))
    np.testing.assert_allclose(found, [found[0]] * 5, rtol=0.02)


def test_a_weight_of_2_is_a_row_said_twice_to_the_evidence(rng):
    X = rng.uniform(-1, 1, (40, 1))
    y = np.sin(3 * X) + 0.3 * rng.standard_normal((40, 1))
    network = Network((1, 4, 1), "tanh")
    start = network.initial_parameters(np.random.RandomState(0), np.dtype(float))
    results = [
        _minimise(BAYESIAN, Objective(network, data), start, gtol=1e-7)
        for data in (as_data(X, y, np.full(40, 2.0)), as_data(np.repeat(X, 2, 0), np.repeat(y, 2)))
    ]
    assert [result.stop_reason for result in results] == ["gradient_norm"] * 2
    weighted, repeated = ((result.alpha, result.effective_parameters) for result in results)
    assert weighted == pytest.approx(repeated, rel=1e-2)


def _linear_without_noise(rng):
    X = rng.standard_normal((40, 3))
    return X, X @ [1.0, 2.0, 3.0] + 1.0


def _target_0(rng):
    return rng.standard_normal((40, 3)), np.zeros(40)


@pytest.mark.parametrize("make", [*RANK_DEFICIENT, _linear_without_noise, _target_0])
@EVERY_DEPTH
@DTYPES
def test_bayesian_regularisation_stays_finite_on_odd_data(make, hidden, dtype, rng):
    X, y = make(rng)
    network = Network((X.shape[1], *hidden, 1), "tanh")
    objective = Objective(network, as_data(X.astype(dtype), y))
    start = network.initial_parameters(np.random.RandomState(0), np.dtype(dtype))
    result = _minimise(BAYESIAN, objective, start)
    assert np.isfinite(result.parameters).all()
    assert np.isfinite(result.history.loss_curve).all()
    assert 0 < result.alpha <= 1e10
    assert 0 <= result.effective_parameters <= network.n_parameters * (1 + 1e-6)
