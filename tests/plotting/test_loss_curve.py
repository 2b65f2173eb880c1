"""Pictures of a training: loss, validation, gradient norm."""

import sys

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor, LossCurveDisplay
from fastbp.plotting.training_curves import TrainingCurves
from helpers.fits import SHORT

draw = LossCurveDisplay.from_estimator


def test_the_line_is_the_loss_curve(pyplot, fit):
    net = fit()
    display = draw(net, color="red", linewidth=3)
    line = display.lines_[0]["loss"]
    epochs, losses = line.get_data()
    assert list(epochs) == [1, 2, 3, 4, 5]
    assert list(losses) == net.loss_curve_
    assert (line.get_color(), line.get_linewidth()) == ("red", 3)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("epoch", "loss")
    assert display.figure_ is display.ax_.figure
    assert display.axes_ == [display.ax_]
    assert display.ax_.get_legend() is None


@pytest.mark.parametrize(
    ("x", "attribute", "label"),
    [
        ("time", "time_curve_", "time (ms)"),
        ("evaluations", "n_fun_curve_", "evaluations of the loss"),
    ],
)
def test_time_and_evaluations_are_what_it_is_drawn_over(pyplot, fit, x, attribute, label):
    net = fit(solver="lm")
    net.time_curve_ = [0.002, 0.004, 0.008, 0.01, 0.0125]
    display = draw(net, x=x)
    assert list(display.lines_[0]["loss"].get_xdata()) == getattr(net, attribute)
    assert display.ax_.get_xlabel() == label
    assert draw(net).ax_.get_xlabel() == "iteration"


@pytest.mark.parametrize(
    ("longest", "label", "shown"),
    [(3e-5, "time (µs)", "30"), (0.03, "time (ms)", "30"), (90.0, "time (s)", "90")],
)
def test_seconds_have_short_numbers(pyplot, longest, label, shown):
    display = LossCurveDisplay([TrainingCurves([2.0, 1.0], time=[0.0, longest])]).plot(x="time")
    axis = display.ax_.xaxis
    assert (axis.get_label_text(), axis.get_major_formatter()(longest)) == (label, shown)


def test_a_score_has_a_panel_and_the_kept_epoch_is_marked(
    pyplot, fit, legend_of, nothing_is_cut_off
):
    net = fit(early_stopping=True, max_iter=30)
    display = draw(net)
    assert [ax.get_ylabel() for ax in display.axes_] == ["loss", "validation R²"]
    assert list(display.lines_[0]["validation"].get_ydata()) == net.validation_scores_
    kept = int(np.argmax(net.validation_scores_)) + 1
    assert legend_of(display.ax_) == ["loss", f"weights kept (epoch {kept})"]
    star = display.axes_[1].lines[-1]
    assert (list(star.get_xdata()), list(star.get_ydata())) == (
        [kept],
        [net.best_validation_score_],
    )
    nothing_is_cut_off(display.figure_)


def test_a_classifier_is_scored_by_accuracy(pyplot, classify):
    display = draw(classify(early_stopping=True)[0])
    assert display.axes_[1].get_ylabel() == "validation accuracy"


@pytest.mark.parametrize(
    "parameters",
    [{"early_stopping": "GL5"}, {"early_stopping": True, "loss": "huber"}],
    ids=["a criterion of Prechelt's", "a loss without R^2"],
)
def test_a_validation_loss_is_named_and_drawn_beside_the_loss(pyplot, fit, legend_of, parameters):
    net = fit(max_iter=30, **parameters)
    display = draw(net)
    assert len(display.axes_) == 1
    assert legend_of(display.ax_)[:2] == ["training loss", "validation loss"]
    shown = display.lines_[0]["validation"].get_ydata()
    np.testing.assert_array_equal(shown, -np.array(net.validation_scores_))
    kept = int(np.argmin(shown)) + 1
    assert legend_of(display.ax_)[2] == f"weights kept (epoch {kept})"
    with pytest.raises(ValueError, match="no validation score that is no loss"):
        draw(net, show=("loss", "validation"))


def test_the_gradient_norm_has_a_panel(pyplot, fit):
    net = fit(solver="bfgs")
    display = draw(net, show=("loss", "gradient_norm"))
    assert [ax.get_ylabel() for ax in display.axes_] == ["loss", "gradient norm"]
    assert list(display.lines_[0]["gradient_norm"].get_ydata()) == net.gradient_norm_curve_
    with pytest.raises(ValueError, match="sgd and adam do with gtol=0"):
        draw(fit(), show="gradient_norm")
    draw(fit(gtol=0), show="gradient_norm")


def test_several_have_colours_marks_and_names(pyplot, fit, legend_of, nothing_is_cut_off):
    nets = {solver: fit(solver=solver, max_iter=20) for solver in ("adam", "lm", "bfgs", "cg")}
    display = LossCurveDisplay.from_estimators(nets, x="evaluations")
    lines = [each["loss"] for each in display.lines_]
    assert legend_of(display.ax_) == list(nets)
    assert len({line.get_color() for line in lines}) == 4
    assert len({line.get_marker() for line in lines}) == 4
    nothing_is_cut_off(display.figure_)


def test_drawing_on_the_same_axes_goes_on_with_colours_and_piles_nothing_up(pyplot, fit, legend_of):
    first = draw(fit(early_stopping=True), name="A")
    second = draw(fit(early_stopping=True, alpha=1.0), name="B", ax=first.axes_)
    third = draw(fit(), name="C", ax=first.axes_)
    assert first.axes_ == second.axes_ == third.axes_ == first.figure_.axes
    colours = {display.lines_[0]["loss"].get_color() for display in (first, second, third)}
    assert len(colours) == 3
    assert legend_of(first.ax_) == ["A", "B", "C", "weights kept"]
    norms = draw(fit(solver="lm"), show=("loss", "gradient_norm"))
    again = draw(fit(solver="bfgs"), ax=norms.axes_)
    assert set(again.lines_[0]) == {"loss", "gradient_norm"}


def test_given_axes_are_drawn_on(pyplot, fit):
    figure, (left, right) = pyplot.subplots(ncols=2)
    display = draw(fit(early_stopping=True), ax=left, log_scale=False)
    assert (display.ax_, display.figure_) == (left, figure)
    assert left.get_yscale() == "linear"
    assert display.plot(ax=right, log_scale=True) is display
    assert display.ax_ is right
    assert right.get_yscale() == "log"
    assert len(figure.axes) == 2
    with pytest.raises(ValueError, match=r"ax holds 1 Axes.*Give ax=pyplot.subplots\(2\)\[1\]"):
        display.plot(ax=left, show=("loss", "validation"))
    assert len(display.plot(ax=pyplot.subplots(2)[1]).axes_) == 2


def test_bare_curves_can_be_drawn(pyplot):
    display = LossCurveDisplay([TrainingCurves(np.array([30.0, 2.0, 1.0]))]).plot()
    assert list(display.lines_[0]["loss"].get_ydata()) == [30.0, 2.0, 1.0]
    assert display.ax_.get_yscale() == "log"
    assert LossCurveDisplay([TrainingCurves([3.0, -1.0])]).plot().ax_.get_yscale() == "linear"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: make_pipeline(StandardScaler(), net),
        lambda net: TransformedTargetRegressor(make_pipeline(StandardScaler(), net)),
        lambda net: GridSearchCV(net, {"alpha": [0.1]}, cv=2),
    ],
    ids=["pipeline", "transformed target", "grid search"],
)
def test_the_network_is_found_inside(pyplot, fit, wrap):
    assert len(draw(fit(wrap)).lines_[0]["loss"].get_ydata()) == 5


@SHORT
def test_scikit_learns_network_is_drawn_too(pyplot, problem):
    theirs = MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, early_stopping=True).fit(*problem())
    assert [ax.get_ylabel() for ax in draw(theirs).axes_] == ["loss", "validation R²"]
    with pytest.raises(ValueError, match="x='time' needs time_curve_"):
        draw(theirs, x="time")


def test_what_has_no_curve_is_refused(pyplot, problem):
    with pytest.raises(NotFittedError, match="not fitted"):
        draw(BackpropRegressor())
    with pytest.raises(NotFittedError, match="not fitted"):
        draw(make_pipeline(StandardScaler(), BackpropRegressor()))
    with pytest.raises(ValueError, match="LinearRegression keeps no loss_curve_"):
        draw(LinearRegression().fit(*problem()))


def test_wrong_choices_are_named(pyplot, fit):
    net = fit()
    with pytest.raises(ValueError, match=r"x='hours' is unknown. Take one of \['epochs'"):
        draw(net, x="hours")
    for show in ("weights", (), ("loss", "loss")):
        with pytest.raises(ValueError, match="panels are some of"):
            draw(net, show=show)
    with pytest.raises(ValueError, match=r"ax holds 0 Axes, and the panels \['loss'\]"):
        draw(net, ax=[])
    for ax in ("left", pyplot.figure(), [pyplot.figure()]):
        with pytest.raises(TypeError, match=r"ax=.* is no matplotlib Axes. Give one, such as"):
            draw(net, ax=ax)
    for wrong in ([net], {}, net):
        with pytest.raises(ValueError, match="a dict of one estimator or more by their names"):
            LossCurveDisplay.from_estimators(wrong)


def test_a_missing_matplotlib_is_named_with_its_cure(fit, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"LossCurveDisplay .* pip install 'fastbp\[plot\]"):
        draw(fit())
