"""Pictures of the final losses of several starts."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from fastbp import BackpropRegressor, RestartsDisplay


def test_losses_are_drawn_from_the_lowest_on(pyplot, fit, nothing_is_cut_off):
    net = fit(n_init=6)
    display = RestartsDisplay.from_estimator(net)
    starts, losses = display.points_.get_data()
    assert list(starts) == [1, 2, 3, 4, 5, 6]
    assert list(losses) == sorted(net.init_losses_)
    assert display.figure_ is display.ax_.figure
    nothing_is_cut_off(display.figure_)


def test_starts_that_end_together_are_one_minimum(pyplot):
    losses = [3.0, 1.0, 1.001, np.nan, 3.001, 1.002, 2.0]
    display = RestartsDisplay(losses).plot()
    assert display.minima_ == [(1.0, 3), (2.0, 1), (3.0, 2)]
    assert [text.get_text() for text in display.ax_.texts] == ["3 starts"]
    assert "(1 more diverged)" in display.ax_.get_xlabel()
    assert len(display.plot(tol=0).minima_) == 6
    assert len(display.plot(tol=1).minima_) == 1


@pytest.mark.parametrize(
    ("losses", "scale"), [([1, 100], "log"), ([1, 1.1], "linear"), ([0, 5], "linear")]
)
def test_the_axis_suits_the_losses(pyplot, losses, scale):
    assert RestartsDisplay(losses).plot().ax_.get_yscale() == scale
    ax = pyplot.subplots()[1]
    assert RestartsDisplay([1, 2]).plot(ax, log_scale=True).ax_ is ax
    assert ax.get_yscale() == "log"


def test_equal_losses_are_drawn(pyplot):
    display = RestartsDisplay([0.5] * 4).plot()
    assert display.minima_ == [(0.5, 4)]
    display.figure_.canvas.draw()


def test_a_classifier_is_drawn(pyplot, classify):
    assert len(RestartsDisplay.from_estimator(classify(n_init=3)[0]).points_.get_xdata()) == 3


def test_wrong_choices_are_named(pyplot, fit):
    with pytest.raises(NotFittedError, match="not fitted"):
        RestartsDisplay.from_estimator(BackpropRegressor())
    with pytest.raises(ValueError, match="from two starts on"):
        RestartsDisplay.from_estimator(fit())
    with pytest.raises(ValueError, match="from two starts on"):
        RestartsDisplay([np.nan, np.nan]).plot()
