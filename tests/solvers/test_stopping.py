"""The criteria that end a training, against sequences by hand and Prechelt's formulas."""

import dataclasses
import math
import time

import numpy as np
import pytest

from fastbp.solvers.history import History
from fastbp.solvers.monitor import Monitor
from fastbp.solvers.stopping import CRITERIA, Clock, EarlyStopping, Stop

NAN = math.nan


def _stops_at(criterion, errors, losses=None):
    """Iteration, from 1 on, at which a criterion first says stop; None if it never does."""
    history, remaining = History(), iter(errors)
    early_stopping = EarlyStopping.by_name(criterion, lambda parameters: -next(remaining))
    for t, loss in enumerate(losses or [1.0] * len(errors), start=1):
        history.loss_curve.append(loss)
        Monitor(history, early_stopping).record_score(np.zeros(1))
        if early_stopping.says_stop(history):
            return t
    return None


# Prechelt's criteria


def test_the_criteria_are_the_fourteen_of_the_paper():
    thresholds = {"GL": [1, 2, 3, 5], "PQ": [0.5, 0.75, 1, 2, 3], "UP": [2, 3, 4, 6, 8]}
    assert CRITERIA == tuple(
        f"{criterion}{n}" for criterion, numbers in thresholds.items() for n in numbers
    )
    made = [EarlyStopping.by_name(name, float) for name in CRITERIA]
    assert [(early_stopping.criterion, early_stopping.threshold) for early_stopping in made] == [
        (criterion, n) for criterion, numbers in thresholds.items() for n in numbers
    ]


def test_gl_is_the_percentage_above_the_lowest_of_the_strips():
    """Strips end at 9, 8, 8.25 (3.125 % above 8) and 8.5 (6.25 %); the rest does not matter."""
    errors = [value for end in (9, 8, 8.25, 8.5) for value in (20, 1, 20, 1, end)]
    assert _stops_at("GL3", errors) == 15
    assert _stops_at("GL5", errors) == 20
    assert _stops_at("GL1", np.linspace(2, 1, 50).tolist()) is None


def test_gl_has_to_be_above_its_number():
    # 100 (132 / 128 - 1) = 3.125
    early_stopping = EarlyStopping(float, "GL", 3.125)
    history = History(validation_scores=[-1, -1, -1, -1, -128, -1, -1, -1, -1, -132])
    assert not early_stopping.says_stop(history)
    assert dataclasses.replace(early_stopping, threshold=3.0).says_stop(history)


def test_pq_is_gl_over_the_progress_of_the_last_strip():
    """GL = 100 / 128 %, P = 1000 / 1024 per mille of the second strip: 0.8."""
    errors = [1.0] * 9 + [1 + 1 / 128]
    losses = [4.0, 2.0, 2.0, 2.0, 2.0] + [1 + 5 / 1024, 1.0, 1.0, 1.0, 1.0]
    assert _stops_at("PQ0.5", errors, losses) == 10
    assert _stops_at("PQ0.75", errors, losses) == 10
    assert _stops_at("PQ1", errors, losses) is None


def test_pq_without_progress_stops_at_any_generalisation_loss():
    assert _stops_at("PQ3", [1.0] * 9 + [1.0001], [1.0] * 10) == 10
    assert _stops_at("PQ3", [1.0] * 10, [1.0] * 10) is None


def test_pq_goes_on_where_the_training_loss_is_0():
    assert _stops_at("PQ0.5", [1.0] * 9 + [2.0], [0.0] * 10) is None


def test_up_counts_strips_whose_error_has_risen_in_a_row():
    ends = [5.0, 6.0, 5.5, 6.0, 7.0, 7.5]  # of six strips; what lies between does not matter
    errors = [value for end in ends for value in (9.0, 1.0, 9.0, 1.0, end)]
    assert _stops_at("UP2", errors) == 25
    assert _stops_at("UP3", errors) == 30
    assert _stops_at("UP4", errors) is None


def test_up_is_no_rise_where_nothing_changes():
    assert _stops_at("UP2", [1.0] * 50) is None
    assert _stops_at("UP2", np.arange(50.0).tolist()) == 15


def _prechelts_stop(criterion, errors, losses):
    """The same from the paper's formulas, all worked out anew at the end of each strip."""
    name, number = criterion[:2], float(criterion[2:])
    for t in range(5, len(errors) + 1, 5):
        ends, strip = errors[4:t:5], losses[t - 5 : t]
        loss = 100 * (ends[-1] / min(ends) - 1)
        progress = 1000 * (sum(strip) / (5 * min(strip)) - 1)
        rises = [later > earlier for earlier, later in zip(ends, ends[1:], strict=False)]
        stops = {
            "GL": loss > number,
            "PQ": loss / progress > number,
            "UP": len(rises) >= number and all(rises[-int(number) :]),
        }
        if stops[name]:
            return t
    return None


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_stops_where_the_paper_does(criterion, rng):
    stops = []
    for _ in range(40):
        trend = np.linspace(0, 1, 100)
        errors = np.exp(-3 * trend + 3 * trend**2 + 0.01 * rng.standard_normal(100).cumsum())
        losses = (np.exp(-trend) + 0.001 * rng.random(100)).tolist()
        stops.append(_stops_at(criterion, errors.tolist(), losses))
        assert stops[-1] == _prechelts_stop(criterion, errors.tolist(), losses)
    assert len(set(stops)) > 2


@pytest.mark.parametrize("criterion", ["GL5", "PQ0.5"])
def test_an_error_of_nan_ends_it_at_a_look_and_not_between(criterion):
    losses = [1.0, 0.99, 0.98, 0.97, 0.96] * 2
    assert _stops_at(criterion, [1.0] * 9 + [NAN], losses) == 10
    assert _stops_at(criterion, [1.0] * 4 + [NAN] + [1.0] * 5, losses) == 5
    for where in (0, 3, 5, 8):
        errors = [1.0] * 10
        errors[where] = NAN
        assert _stops_at(criterion, errors, losses) is None
        assert _stops_at(criterion, [*errors[:9], 2.0], losses) == 10


# No improvement


def test_scores_are_taken_down_and_the_best_is_known():
    scores = [1.0, 3.0, 2.0, 3.0, 4.0]
    remaining, asked, history = iter(scores), [], History()

    def score(parameters):
        asked.append(parameters)
        return next(remaining)

    early_stopping = EarlyStopping(score, "no_improvement", 10)
    points = [np.full(2, i) for i in range(5)]
    assert [Monitor(history, early_stopping).record_score(p) for p in points] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert history.validation_scores == scores
    assert history.best_validation_score == 4.0
    assert all(a is p for a, p in zip(asked, points, strict=True))


def _no_improvements(scores, threshold, tol=0.0):
    """The counts after each score, and whether each is a reason to stop."""
    remaining, history = iter(scores), History()
    early_stopping = EarlyStopping(lambda p: next(remaining), "no_improvement", threshold, tol)
    counts, stops = [], []
    for _ in scores:
        Monitor(history, early_stopping).record_score(np.zeros(1))
        counts.append(history.n_no_improvement)
        stops.append(early_stopping.says_stop(history))
    return counts, stops


def test_an_improvement_is_one_by_at_least_tol():
    counts, stops = _no_improvements([0, 0.5, 1, 1.25, 1.5, 2.25, 2, 3.25], 1, tol=0.5)
    #  above the best by:             -  0.5 0.5 0.25 0.25 0.75      1
    assert counts == [0, 0, 0, 1, 2, 0, 1, 0]
    assert stops == [count > 1 for count in counts]


def test_without_tol_a_score_as_good_is_an_improvement():
    assert _no_improvements([1, 1, 0.5, 1, 0, 0, 0], 2)[0] == [0, 0, 1, 0, 1, 2, 3]
    assert _no_improvements([1, 1, 0.5, 1, 0, 0, 0], 2)[1] == [False] * 6 + [True]
    assert not any(_no_improvements([1] + [0] * 50, math.inf)[1])


def test_it_is_looked_at_after_every_iteration_not_strip():
    assert _no_improvements([1, 0], 0)[1] == [False, True]


@pytest.mark.parametrize("never_best", [NAN, -math.inf])
def test_nan_is_never_the_best_score(never_best):
    remaining, history = iter([never_best, 1.0, never_best, 2.0, never_best]), History()
    early_stopping = EarlyStopping(lambda p: next(remaining), "no_improvement", 10, tol=0.1)
    best = [Monitor(history, early_stopping).record_score(np.zeros(1)) for _ in range(5)]
    assert best == [False, True, False, True, False]
    assert history.best_validation_score == 2.0
    assert history.n_no_improvement == 1


def test_scores_of_nan_alone_are_no_improvement():
    counts, stops = _no_improvements([NAN] * 4, 2)
    assert counts == [1, 2, 3, 4]
    assert stops == [False, False, True, True]


# Losses, clocks, histories


def test_record_loss_counts_losses_that_are_not_lower_by_tol():
    history = History(best_loss=math.inf)
    counts = []
    for loss in (4.0, 3.5, 3.25, 3.0, 2.0, 2.25, 1.75, 1.0):
        history.record_losses([loss], tol=0.5)
        counts.append(history.n_no_improvement)
    #  below the best by:  - 0.5 0.25 0.25 1 - 0.25 0.75
    assert counts == [0, 0, 1, 2, 0, 1, 2, 0]
    assert history.loss_curve == [4.0, 3.5, 3.25, 3.0, 2.0, 2.25, 1.75, 1.0]
    assert (history.loss, history.best_loss) == (1.0, 1.0)


def test_record_loss_counts_nothing_where_a_score_decides():
    history = History()
    for loss in (1.0, 2.0, 3.0):
        history.record_losses([loss], tol=0.0)
    assert (history.loss, history.loss_curve) == (3.0, [1.0, 2.0, 3.0])
    assert (history.best_loss, history.n_no_improvement) == (None, 0)


def test_a_clock_without_a_limit_never_rings():
    Clock().check()
    Clock(_start=-1e300).check()


def test_a_clock_rings_when_its_time_is_up():
    for clock in (Clock(max_time=0.0), Clock(max_time=10.0, _start=time.perf_counter() - 11.0)):
        with pytest.raises(Stop) as stop:
            clock.check()
        assert stop.value.reason == "time"
    Clock(max_time=1e6, _start=time.perf_counter() - 11.0).check()


def test_an_interruption_is_seen_before_the_time():
    clock = Clock(max_time=0.0)
    clock.interrupted.set()
    with pytest.raises(KeyboardInterrupt):
        clock.check()
    assert not Clock().interrupted.is_set()  # each has one of its own


def test_a_copy_of_a_history_has_lists_of_its_own():
    history = History(
        n_iter=3, loss=0.5, loss_curve=[1.0], gradient_norm_curve=[2.0], time_curve=[3.0],
        n_fun_curve=[4], validation_scores=[4.0], best_validation_score=4.0,
    )  # fmt: skip
    copy = history.copy()
    assert copy == history
    lists = [field.name for field in dataclasses.fields(History) if "list" in str(field.type)]
    assert len(lists) == 5
    for name in lists:
        getattr(copy, name).append(9.0)
        assert len(getattr(history, name)) == 1
    copy.n_iter = 4
    assert history.n_iter == 3
    assert History().copy().validation_scores is None
