"""Every batch solver keeps to its limits and ends where it is asked to."""

import math

import numpy as np
import pytest

from fastbp.solvers.stopping import Clock, EarlyStopping
from helpers.surfaces import (
    BAYESIAN,
    EVERY_SOLVER,
    EVERY_SOLVER_AND_BAYESIAN,
    SOLVERS,
    START,
    Rosenbrock,
    losses_from,
    minimise,
    watched,
    weighted_problem,
)


@pytest.mark.parametrize("max_iter", [1, 2, 7])
@EVERY_SOLVER_AND_BAYESIAN
def test_max_iter_is_kept(solver, max_iter, rng):
    result = minimise(solver, *weighted_problem(rng), max_iter=max_iter)
    assert result.stop_reason == "max_iter"
    assert result.history.n_iter == max_iter


@pytest.mark.parametrize("max_fun", [1, 2, 3, 4, 5, 12])
@EVERY_SOLVER_AND_BAYESIAN
def test_max_fun_is_kept(solver, max_fun, rng):
    objective, start = weighted_problem(rng)
    result = minimise(solver, watched(objective), start, max_fun=max_fun)
    assert result.stop_reason == "max_fun"
    assert result.history.n_fun == objective.n_calls
    if solver == "lbfgs":  # SciPy looks at it after a line search, of 20 evaluations at most
        assert max_fun <= objective.n_calls <= max_fun + 20
    else:
        assert objective.n_calls == max_fun


@EVERY_SOLVER_AND_BAYESIAN
def test_without_time_only_the_start_is_evaluated(solver, rng):
    objective, start = weighted_problem(rng)
    result = minimise(solver, watched(objective), start, clock=Clock(max_time=0.0))
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

    objective, start = weighted_problem(rng)
    start_loss, _ = objective.loss_and_gradient(start)
    result = minimise(solver, watched(objective, change), start, clock=clock)
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

    objective, start = weighted_problem(rng)
    result = minimise(solver, watched(objective, change), start, clock=clock)
    assert result.stop_reason == "interrupted"
    assert objective.n_calls == result.history.n_fun == last_call


@pytest.mark.parametrize("last_call", [2, 3, 4, 5, 6, 7, 12])
@EVERY_SOLVER_AND_BAYESIAN
def test_ctrl_c_keeps_the_best_so_far(solver, last_call, rng):
    def change(call, p, *answer):
        if call == last_call:
            raise KeyboardInterrupt
        return answer

    objective, start = weighted_problem(rng)
    answer = objective.loss_and_gradient
    start_loss, _ = answer(start)
    result = minimise(solver, watched(objective, change), start)
    assert result.stop_reason == "interrupted"
    assert objective.n_calls == last_call
    assert result.history.loss == pytest.approx(answer(result.parameters)[0], rel=1e-12)
    if solver != BAYESIAN:
        assert result.history.loss == losses_from(start_loss, result).min()


@EVERY_SOLVER
def test_ctrl_c_before_anything_is_known_goes_on_up(solver):
    def change(call, p, *answer):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimise(solver, watched(Rosenbrock(), change), START)


@EVERY_SOLVER_AND_BAYESIAN
def test_loss_goal_ends_it(solver, rng):
    objective, start = weighted_problem(rng)
    start_loss, _ = objective.loss_and_gradient(start)
    result = minimise(solver, objective, start, loss_goal=0.9 * start_loss)
    assert result.stop_reason == "goal"
    assert result.history.loss <= 0.9 * start_loss
    assert result.history.loss == result.history.loss_curve[-1]
    assert all(loss > 0.9 * start_loss for loss in result.history.loss_curve[:-1])


@EVERY_SOLVER_AND_BAYESIAN
def test_a_goal_that_the_start_reaches_ends_it_at_once(solver, rng):
    objective, start = weighted_problem(rng)
    result = minimise(solver, watched(objective), start, loss_goal=1e6)
    assert result.stop_reason == "goal"
    assert (objective.n_calls, result.history.n_iter) == (1, 1)
    np.testing.assert_array_equal(result.parameters, start)


@EVERY_SOLVER
def test_gtol_ends_it(solver, rng):
    objective, start = weighted_problem(rng)
    result = minimise(solver, objective, start, gtol=1e-2)
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

    objective = watched(Rosenbrock(), change)
    result = minimise(solver, objective, START, n_iter_no_change=n_iter_no_change)
    assert result.stop_reason == "tolerance"
    assert result.history.n_iter == n_iter_no_change + 1


@EVERY_SOLVER_AND_BAYESIAN
def test_the_best_validation_score_decides(solver, rng):
    scores, asked = iter([1.0, math.nan, 3.0, 2.0, 3.0, math.nan, 2.5, 2.0, 9.0]), []

    def score(parameters):
        asked.append(parameters.copy())
        return next(scores)

    early_stopping = EarlyStopping(score, "no_improvement", threshold=3, tol=0.1)
    objective, start = weighted_problem(rng)
    answer = objective.loss_and_gradient
    result = minimise(solver, objective, start, early_stopping=early_stopping)
    assert result.stop_reason == "validation"
    assert result.history.n_iter == len(asked) == len(result.history.validation_scores) == 7
    assert result.history.best_validation_score == 3.0
    np.testing.assert_array_equal(result.parameters, asked[2])
    if solver != BAYESIAN:  # whose weight decay has changed since
        assert result.history.loss == answer(asked[2])[0] == result.history.loss_curve[2]
        assert result.history.gradient_norm == result.history.gradient_norm_curve[2]
